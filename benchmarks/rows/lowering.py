"""What compiling costs as graphs grow: tracing, lowering, and machine code.

Tracing is running the function once on Values; lowering leads from recorded nodes to blocks; of
these machine code is made. Every round has other points, so that no code is found on the disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks import ours
from benchmarks.harness import Asked, Row, Scale
from benchmarks.rows.moons import loss_of, make_model, moons

_seeds = itertools.count(2)


def prepared(points: int) -> tuple[dict[str, float], int]:
    """Compile the moons loss over some points of its own: seconds by pass, and its operations."""
    X, y = moons(points, next(_seeds))
    model = make_model()
    return ours.passes(lambda: loss_of(model, X, y, lambda x: x), model.parameters())


def rows(scale: Scale) -> Iterator[Row]:
    """Few points, and many."""
    sizes = scale.of(((230, 0.5), (2000, 5.0)), ((230, 0.5),), ((4, 0.5),))
    for points, seconds in sizes:
        _, nodes = prepared(points)  # and what all graphs share is loaded by now
        yield Row(
            f"lowering-{points}",
            f"compiling {nodes:,} scalar operations",
            stages=lambda: prepared(points)[0],  # noqa: B023
            asked=[Asked(seconds=seconds, of="lowering")],
        )
