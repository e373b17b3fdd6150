"""Compiled programs follow the chain rule as the slow twin does, where numbers are wild."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from chain_rule import derivatives, tensors, wild_graph
from engine import Value
from random_graphs import ENGINE, Graph, run

SEEDS = [
    *range(4),
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 60)),
]
NEIGHBOUR = [0.3, 0.7]  # an ordinary example in the same batch


def by_the_twin(graph: Graph, order: int) -> list[float]:
    inputs = [Value(x) for x in graph.inputs]
    found = tensors(run(graph, ENGINE, inputs), inputs, order, derivatives)
    return [float(x) for x in found[-(len(inputs) ** order) :]]


@pytest.mark.parametrize("seed", SEEDS)
def test_programs_follow_the_slow_rule(seed: int) -> None:
    graph = wild_graph(seed, steps=7)

    def f(x: Any) -> Any:
        return run(graph, ENGINE, x)

    point = list(graph.inputs)
    first, second = by_the_twin(graph, 1), by_the_twin(graph, 2)
    found = {
        "gradient": (engine.compile(f).grad(point), first),
        "batch": (engine.compile(f, in_axes=0).grad([point, NEIGHBOUR])[0], first),
        "recorded": (engine.compile(engine.grad(f), in_axes=0)([point, NEIGHBOUR])[0], first),
        "hessian": (np.ravel(engine.compile(engine.hessian(f))(point)), second),
    }
    for how, (actual, expected) in found.items():
        scale = max([0.0, *np.abs(np.array(expected)[np.isfinite(expected)])])
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12 * scale, err_msg=how)


TRAPS: dict[str, tuple[Callable[..., Any], list[float]]] = {
    "exp and log": (lambda w, x: engine.log(engine.exp(w[0] * x)) + w[1], [1000.0, 1.0]),
    "a comparison": (lambda w, x: (w[0] * x > 0) * engine.sqrt(w[0] * x) + w[1] * x, [0.0, 1.0]),
    "nested arms": (
        lambda w, x: engine.where(
            w[0] * x > 0, engine.where(x > 5, engine.log(w[0] * x), engine.sqrt(w[0])), w[1] * x
        ),
        [0.0, 1.0],
    ),
    "a nan that a comparison swallows": (
        lambda w, x: (
            engine.where(engine.grad(lambda v: engine.log(engine.exp(v)))(w[0] * x) > 0, w[1], x)
            * w[1]
        ),
        [1000.0, 2.0],
    ),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TRAPS)
def test_a_shared_argument_gets_what_each_example_passes_on(name: str, dtype: str) -> None:
    f, w = TRAPS[name]
    xs = [1.0, 0.001, 1.0]
    each = np.array([engine.grad(f)(w, x) for x in xs])
    lanes = engine.compile(f, in_axes=(None, 0), dtype=dtype).grad(w, xs)
    np.testing.assert_allclose(lanes, each, rtol=1e-5)
    total = engine.compile(f, in_axes=(None, 0), reduce="sum", dtype=dtype).grad(w, xs)
    np.testing.assert_allclose(total, each.sum(axis=0), rtol=1e-5)


def test_nothing_that_is_summed_over_lanes_is_nothing_without_emitted_code_too() -> None:
    f, w = TRAPS["nested arms"]
    program = engine.compile(f, in_axes=(None, 0), reduce="sum", native=False)
    assert program.grad(w, [1.0, 0.001, 1.0]) == [0.0, 2.001]
