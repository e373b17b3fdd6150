"""What an operation did not choose gets nothing; every other 0 is a number. In all sweeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from chain_rule import derivatives, tensors, wild_graph
from engine import Value
from random_graphs import ENGINE, run

INF, NAN = math.inf, math.nan

# --- a 0 that arithmetic made -----------------------------------------------------------------

NAN_AT = {
    "log of exp": (lambda x: engine.log(engine.exp(x)), 1000.0),
    "log of 1 + exp": (lambda x: engine.log(1.0 + engine.exp(x)), 1000.0),
    "a comparison times a root": (lambda x: (x > 0) * engine.sqrt(x), 0.0),
    "a literal 0 times a root": (lambda x: 0.0 * engine.sqrt(x), 0.0),
    "the root of a square": (lambda x: engine.sqrt(x * x), 0.0),
    "an angle by a quotient": (lambda x: engine.atan(1.0 / x), 0.0),
    "a kink of abs": (lambda x: engine.sqrt(abs(x)), 0.0),
}
FINITE = {  # at which point, and which derivatives of order 1, 2 and 3
    "a square less 1": (lambda x: (x - 1.0) ** 2, 1.0, [0.0, 2.0, 0.0]),
    "a root not taken": (
        lambda x: engine.where(x > 0, engine.sqrt(x), x * x),
        0.0,
        [0.0, 2.0, 0.0],
    ),
    "a logarithm not taken": (
        lambda x: engine.where(x > 0, engine.log(x), 3.0 * x),
        0.0,
        [3.0, 0.0, 0.0],
    ),
    "nested arms": (
        lambda x: engine.where(
            x > 0, engine.where(x > 1, engine.log(x - 1), engine.sqrt(x)), x * x
        ),
        1.0,
        [0.5, -0.25, 0.375],
    ),
    "an arm in an arm not taken": (
        lambda x: engine.where(x > 0, engine.where(x > -1, engine.log(x), 0.0) * x, x**3),
        0.0,
        [0.0, 0.0, 6.0],
    ),
    "relu of a root": (lambda x: engine.relu(engine.sqrt(x) - 1.0) + x, 0.0, [1.0, 0.0, 0.0]),
    "a root clamped": (lambda x: engine.clamp(engine.log(x), -5.0) * x, 0.0, [-5.0, 0.0, 0.0]),
    "a root that lost": (lambda x: engine.maximum(engine.sqrt(x), x + 1.0), 0.0, [1.0, 0.0, 0.0]),
    "exponent 0": (lambda x: x**0 + engine.pow(x, 0.0), 0.0, [0.0, 0.0, 0.0]),
    "a floor of a root": (lambda x: engine.floor(engine.sqrt(x)) + x, 0.0, [1.0, 0.0, 0.0]),
    "a root detached": (lambda x: engine.detach(engine.sqrt(x)) * x, 0.0, [0.0, 0.0, 0.0]),
    "a root not looked up": (
        lambda x: engine.take([engine.sqrt(x), x * x], Value(1.0)),
        0.0,
        [0.0, 2.0, 0.0],
    ),
}


@pytest.mark.parametrize("name", NAN_AT)
def test_zero_times_infinity_is_nan(name: str) -> None:
    f, x = NAN_AT[name]
    leaf = Value(x)
    f(leaf).backward()
    assert math.isnan(leaf.grad)
    assert math.isnan(engine.grad(f)(x)) and math.isnan(engine.jvp(f, (x,), (1.0,))[1])
    assert math.isnan(engine.gradients(f(leaf), leaf, create_graph=True).data)


@pytest.mark.parametrize("name", FINITE)
def test_what_was_not_chosen_spoils_no_derivative(name: str) -> None:
    f, x, expected = FINITE[name]
    for order in expected:
        f = engine.grad(f)
        assert f(x) == order


@pytest.mark.parametrize("name", FINITE)
def test_what_was_not_chosen_spoils_no_forward_sweep(name: str) -> None:
    f, x, expected = FINITE[name]
    for order in expected:
        f = lambda x, f=f: engine.jvp(f, (x,), (1.0,))[1]  # noqa: E731
        assert f(x) == order


def test_softmax_of_nothing_but_minus_infinity_is_not_silently_flat() -> None:
    assert np.isnan(engine.jacobian(engine.softmax)([-INF, -INF])).all()
    assert np.isnan(engine.grad(lambda p: engine.atan(p[1] / p[0]))([0.0, 1.0])).all()


# --- seeds --------------------------------------------------------------------------------------


def two(x: Any) -> Any:
    return [engine.sqrt(x), 2.0 * x]


def test_a_seed_of_0_has_not_arrived() -> None:
    _, pullback = engine.vjp(two, 0.0)
    assert pullback([0.0, 1.0]) == (2.0,)
    assert pullback([Value(0.0), Value(1.0)])[0].data == 2.0
    assert engine.jvp(lambda p: engine.sqrt(p[0]) + p[1], ([0.0, 1.0],), ([0.0, 3.0],))[1] == 3.0
    x = Value(0.0)
    two(x)[0].backward(0.0)
    assert x.grad == 0.0


def test_a_derivative_is_linear_in_its_seed_also_at_0() -> None:
    def tangent(f: Any, x: float) -> Any:  # by two reverse sweeps
        return engine.vjp(lambda u: engine.vjp(f, x)[1](u)[0], 0.0)[1](1.0)[0]

    assert tangent(lambda x: x**3, 2.0) == 12.0


def test_a_result_that_is_given_twice_is_seeded_twice() -> None:
    x = Value(3.0)
    y = x * x
    assert engine.gradients([y, y], x) == 12.0
    assert engine.gradients([y, y], x, create_graph=True).data == 12.0


# --- operations of one's own, and checkpoints -----------------------------------------------------


def test_a_literal_0_as_partial_cuts_and_a_computed_one_is_a_number() -> None:
    cut = engine.custom_op("cut", lambda x: 1.0, [0.0])
    level = engine.custom_op("level", lambda x: 1.0, [lambda x, out: 0.0])
    assert engine.grad(lambda x: cut(engine.sqrt(x)))(0.0) == 0.0
    assert math.isnan(engine.grad(lambda x: level(engine.sqrt(x)))(0.0))


def test_a_checkpoint_passes_on_zeros_that_arrived_and_nothing_else() -> None:
    exp = engine.checkpoint(engine.exp)
    assert math.isnan(engine.grad(lambda x: engine.log(exp(x)))(1000.0))
    both = engine.checkpoint(lambda x: [engine.sqrt(x), x * x])
    for order in range(1, 4):
        f: Callable[..., Any] = lambda x: both(x)[1]  # noqa: E731
        for _ in range(order):
            f = engine.grad(f)
        assert f(0.0) == [0.0, 2.0, 0.0][order - 1]
    chosen = engine.checkpoint(lambda x: engine.where(x > 0, engine.sqrt(x), 2.0 * x))
    assert engine.hessian(lambda x: chosen(x) ** 2)(0.0) == 8.0


def test_a_checkpoint_repeats_its_draws() -> None:
    engine.manual_seed(3)
    factors = []

    def f(x: Any) -> Any:
        factors.append(engine.random())
        return factors[-1] * x

    x = Value(2.0)
    engine.checkpoint(f)(x).backward()
    assert len(factors) == 2 and x.grad == factors[0].data == factors[1].data


# --- at random ----------------------------------------------------------------------------------


def same(actual: list[float], expected: list[float]) -> bool:
    """Nan where nan is, inf where inf is; numbers up to rounding, of the largest of them."""
    finite = [math.fabs(x) for x in expected if math.isfinite(x)]
    atol = 1e-12 * max(finite, default=0.0)
    return bool(np.allclose(actual, expected, rtol=1e-9, atol=atol, equal_nan=True))


def complaint(seed: int, order: int) -> str:
    """How the engine's derivatives of a wild graph differ from the twin's."""
    graph = wild_graph(seed)
    inputs = [Value(x) for x in graph.inputs]
    root = run(graph, ENGINE, inputs)
    root = root if isinstance(root, Value) else Value(root)  # it may have chosen a literal
    expected = tensors(root, inputs, order, derivatives)
    first = [float(x) for x in expected[: len(inputs)]]
    recorded = tensors(
        root, inputs, order, lambda y, xs: engine.gradients(y, xs, create_graph=True)
    )
    root.backward()
    found = {
        "recorded": (recorded, expected),
        "backward": ([x.grad for x in inputs], first),
        "gradients": (engine.gradients(root, inputs), first),
    }
    wrong = [f"{how}: {a} is not {b}" for how, (a, b) in found.items() if not same(a, b)]
    return f"{graph}: {'; '.join(wrong)}" if wrong else ""


@pytest.mark.parametrize("chunk", range(5))
def test_every_sweep_is_the_slow_one(chunk: int) -> None:
    complaints = [complaint(seed, 2) for seed in range(40 * chunk, 40 * chunk + 40)]
    assert not any(complaints), "\n".join(filter(None, complaints))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(50))
def test_every_sweep_is_the_slow_one_on_ten_thousand_graphs(chunk: int) -> None:
    seeds = range(200 * chunk, 200 * chunk + 200)
    complaints = [complaint(seed, 3 if seed % 10 == 0 else 2) for seed in seeds]
    assert not any(complaints), "\n".join(filter(None, complaints))


def test_the_graphs_have_what_the_rule_is_about() -> None:
    """Derivatives that are nan, infinite, 0 and ordinary."""
    kinds = {"nan": 0, "inf": 0, "zero": 0, "number": 0}
    for seed in range(200):
        graph = wild_graph(seed)
        inputs = [Value(x) for x in graph.inputs]
        for g in engine.gradients(run(graph, ENGINE, inputs), inputs):
            kinds["nan" if g != g else "inf" if abs(g) == INF else "number" if g else "zero"] += 1
    assert min(kinds.values()) > 10, kinds
