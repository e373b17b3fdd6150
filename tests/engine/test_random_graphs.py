"""The engine on random graphs, against PyTorch (frozen, and live) and extended precision."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

import engine
import random_graphs
from oracle_cases import SEEDS, frozen
from random_graphs import ENGINE, ENGINE_OPERATORS, Graph, disagreement, engine_figures

CHUNK = 50  # seeds a test: a test for each would take longer to report than to run
in_chunks = pytest.mark.parametrize(
    "seeds",
    [SEEDS[i : i + CHUNK] for i in range(0, len(SEEDS), CHUNK)],
    ids=lambda seeds: f"seeds {seeds[0]} to {seeds[-1]}",
)


@functools.cache
def figures() -> dict[str, Any]:
    return frozen("random_graphs")


@functools.cache
def graph_of(seed: int) -> Graph:
    return random_graphs.random_graph(seed, figures()[str(seed)]["offset"], figures()["rows"])


def frozen_figures(seed: int) -> list[float]:
    figure = figures()[str(seed)]
    return [figure["value"], *figure["gradient"]]


@pytest.fixture(params=["frozen", pytest.param("live", marks=pytest.mark.oracle)])
def oracle(request: pytest.FixtureRequest) -> Callable[[int], list[float]]:
    """PyTorch's value and gradient of the graph of a seed."""
    if request.param == "frozen":
        return frozen_figures
    torch = pytest.importorskip("torch")
    return lambda seed: random_graphs.torch_figures(torch, graph_of(seed))


def gather(seeds: range, complaint_of: Callable[[int], str]) -> dict[int, str]:
    """The seeds that something is wrong with, and what."""
    return {seed: complaint for seed in seeds if (complaint := complaint_of(seed))}


@in_chunks
def test_value_and_gradient_are_those_of_pytorch(
    seeds: range, oracle: Callable[[int], list[float]]
) -> None:
    def complaint(seed: int) -> str:
        actual = engine_figures(graph_of(seed))
        return disagreement(actual, oracle(seed), random_graphs.TOLERANCE)

    assert gather(seeds, complaint) == {}


def test_value_and_gradient_are_those_of_extended_precision() -> None:
    def complaint(seed: int) -> str:
        exact = random_graphs.extended_figures(graph_of(seed))
        return disagreement(engine_figures(graph_of(seed)), exact, random_graphs.TOLERANCE)

    assert gather(SEEDS[:100], complaint) == {}


@pytest.mark.oracle
def test_second_derivatives_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def complaint(seed: int) -> str:
        graph = graph_of(seed)
        inputs = [engine.Value(x) for x in graph.inputs]
        out = random_graphs.run(graph, ENGINE, inputs)
        gradient = engine.gradients(out, inputs, create_graph=True)
        rows = [[g.data, *engine.gradients(g, inputs)] for g in gradient]
        expected = random_graphs.torch_second_figures(torch, graph)
        # beside the value: in the tails PyTorch's tanh has the slope 0, and the table's has not
        value = figures()[str(seed)]["value"]
        return "; ".join(
            f"row {i} of the Hessian: {problem}"
            for i, (row, other) in enumerate(zip(rows, expected, strict=True))
            if (
                problem := disagreement(
                    [out.data, *row], [value, *other], random_graphs.TOLERANCE_2
                )
            )
        )

    assert gather(SEEDS[:100], complaint) == {}


@in_chunks
def test_gradients_of_a_graph_are_exactly_those_of_backward(seeds: range) -> None:
    def complaint(seed: int) -> str:
        inputs = [engine.Value(x) for x in graph_of(seed).inputs]
        out = random_graphs.run(graph_of(seed), ENGINE, inputs)
        actual = engine.gradients(out, inputs)
        assert [x.grad for x in inputs] == [0.0] * len(inputs)
        out.backward()
        return "" if actual == [x.grad for x in inputs] else f"{actual} is not backward's"

    assert gather(seeds, complaint) == {}


@in_chunks
def test_gradients_that_are_recorded_are_those_of_backward(seeds: range) -> None:
    def complaint(seed: int) -> str:
        inputs = [engine.Value(x) for x in graph_of(seed).inputs]
        out = random_graphs.run(graph_of(seed), ENGINE, inputs)
        gradient = engine.gradients(out, inputs, create_graph=True)
        actual = [out.data, *[g.data for g in gradient]]
        # the same products and sums; only rounding may differ
        return disagreement(actual, engine_figures(graph_of(seed)), 1e-14)

    assert gather(seeds, complaint) == {}


@in_chunks
def test_grad_of_a_function_is_exactly_backward(seeds: range) -> None:
    def complaint(seed: int) -> str:
        graph = graph_of(seed)
        value_and_grad = engine.value_and_grad(lambda x: random_graphs.run(graph, ENGINE, x))
        value, gradient = value_and_grad(list(graph.inputs))
        same = [value, *gradient] == engine_figures(graph)
        return "" if same else f"{[value, *gradient]} is not backward's"

    assert gather(seeds, complaint) == {}


@in_chunks
def test_operators_record_exactly_what_functions_record(seeds: range) -> None:
    def complaint(seed: int) -> str:
        actual = engine_figures(graph_of(seed), ENGINE_OPERATORS)
        return "" if actual == engine_figures(graph_of(seed)) else f"{actual} is not the functions'"

    assert gather(seeds, complaint) == {}


def test_the_graphs_use_every_frozen_row_literals_and_nodes_again() -> None:
    steps = [step for seed in SEEDS for step in graph_of(seed).steps]
    assert {name for name, _ in steps} == set(figures()["rows"])
    for form in [(float, int), (int, float), (int, int, float)]:
        assert any(tuple(map(type, operands)) == form for _, operands in steps)
    assert any(len(operands) == 2 and operands[0] == operands[1] for _, operands in steps)
