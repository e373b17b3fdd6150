"""What a node of an eager graph costs, from 1,000 to 10,000,000 of them.

A chain of operations is built, ordered, gone back through, copied, pickled and freed. (`moons` has
the eager engine beside micrograd.)
"""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

import engine
from benchmarks import facts
from benchmarks.harness import Figure, Row, Scale
from engine.graph import topological_order

_BYTES = 300  # a node while it is ordered and differentiated, about
_COPIED = 1_000_000  # nodes up to which the graph is copied and pickled too


def figures(scale: Scale) -> Iterator[Figure]:
    """The stages of a chain, with the collector on and off."""
    for collector in (True, False):
        state = "on" if collector else "off"
        yield Figure(
            "eager-stages" if collector else "eager-stages-no-collector",
            f"Eager Values: a chain of operations, stage by stage (collector {state})",
            "nodes",
            _chains(scale, collector),
            per_x=True,
        )


def _chains(scale: Scale, collector: bool) -> Iterator[tuple[float, Row]]:
    for power in range(*scale.of((3, 8), (3, 6), (2, 4))):
        length = 10**power
        if length * _BYTES > facts.memory("MemAvailable") > 0:
            break
        yield (
            length,
            Row(
                f"chain-{length}",
                f"a chain of {length:,} operations",
                stages=lambda: chain(length),  # noqa: B023, called before the next
                collector=collector,
            ),
        )


def chain(length: int) -> dict[str, float]:
    """Seconds of each stage in the life of a chain of operations."""
    seconds: dict[str, float] = {}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - began
        return result

    def build() -> engine.Value:
        y = engine.Value(1.0)
        for _ in range(length):
            y = y * 1.0000001
        return y

    held = [stage("build", build)]
    stage("order", lambda: topological_order((held[0],)))
    stage("backward, ordering included", held[0].backward)
    if length <= _COPIED:
        stage("copy", lambda: copy.deepcopy(held[0]))
        pickled = stage("pickle", lambda: pickle.dumps(held[0]))
        stage("unpickle", lambda: pickle.loads(pickled))
    stage("free", held.clear)
    return seconds
