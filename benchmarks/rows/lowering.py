"""What compiling costs as graphs grow: from the function to its first gradient, and pass by pass.

The graphs are micrograd's moons. From the function to the gradient it is beside the eager build of
the same graph, with all machine code in the caches. Pass by pass it is tracing, which runs the
function once on Values; lowering, which leads from recorded nodes to blocks; and making machine
code of these: every round has other points, so that no code is found on the disk. What a node costs
is measured with the costs of a graph of one node taken off.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import engine
from benchmarks import facts, ours
from benchmarks.harness import OURS, Asked, Contender, Figure, Row, Scale
from benchmarks.rows.moons import loss_of, make_model, moons, operations

BUILD = "the eager build of the graph"
COMPILED, RUN = f"{OURS}, to the first gradient", f"{OURS}, a gradient"
_seeds = itertools.count(2)
_BYTES = 800  # a node while it is compiled, about
_LIMIT = 300.0  # seconds for a graph, as the one before tells


def prepared(points: int) -> tuple[dict[str, float], int]:
    """Compile the moons loss over some points of its own: seconds by pass, and its operations."""
    X, y = moons(points, next(_seeds))
    model = make_model()
    return ours.passes(lambda: loss_of(model, X, y, lambda x: x), model.parameters())


@functools.cache
def graph(points: int) -> tuple[Callable[[], Any], list[engine.Value]]:
    """The moons loss over some points, always the same, and the network's parameters."""
    X, y = moons(points)
    model = make_model()
    return lambda: loss_of(model, X, y, lambda x: x), model.parameters()


def rows(scale: Scale) -> Iterator[Row]:
    """Few points, and many."""
    sizes = scale.of(((230, 0.5, 4.0), (2000, 5.0, 3.0)), ((230, 0.5, 4.0),), ((4, 0.5, 4.0),))
    for points, seconds, times in sizes:
        loss, parameters = graph(points)
        yield Row(
            f"getting-in-{points}",
            f"{operations(points):,} scalar operations, from the function to its first gradient",
            {
                OURS: lambda: ours.first_gradient(loss, parameters),  # noqa: B023, before the next
                BUILD: lambda: Contender(loss, None),  # noqa: B023
            },
            asked=[Asked(1.0 / times, BUILD)],
            collector=False,
        )
        yield Row(
            f"lowering-{points}",
            f"compiling {operations(points):,} scalar operations",
            stages=lambda: prepared(points)[0],  # noqa: B023
            asked=[Asked(seconds=seconds, of="lowering")],
        )


def figures(scale: Scale) -> Iterator[Figure]:
    """What a node costs in graphs from 1,000 to 10,000,000."""
    yield Figure(
        "node-cost",
        "What a node costs, compiled and run, fixed costs apart",
        "nodes",
        _growing(scale),
        per_x=True,
    )


def _growing(scale: Scale) -> Iterator[tuple[float, Row]]:
    """Graphs as long as they fit, and take no more than a while."""
    one = engine.Value(1.0)
    before, last = 1, 0.0
    for points in scale.of((2, 15, 155, 1550, 15_500), (2, 50), (2,)):
        nodes = operations(points)
        if last * points / before > _LIMIT or not facts.fits(nodes * _BYTES):
            break
        began = time.perf_counter()
        yield nodes, _costs(f"node-cost-{nodes}", *graph(points), one)
        before, last = points, time.perf_counter() - began
        graph.cache_clear()


def _costs(
    name: str, loss: Callable[[], Any], parameters: list[engine.Value], one: engine.Value
) -> Row:
    def compiled() -> Contender:
        contender = ours.first_gradient(loss, parameters)
        contender.less = ours.first_gradient(lambda: one * one, [one]).work
        return contender

    def run() -> Contender:
        contender = ours.gradient(engine.compile(loss, wrt=parameters))
        contender.less = ours.gradient(engine.compile(lambda: one * one, wrt=[one])).work
        return contender

    return Row(name, "one graph of them", {COMPILED: compiled, RUN: run})
