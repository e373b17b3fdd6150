"""A step on two ranks of MPI beside one process in one thread; each in processes of its own."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator

from benchmarks.harness import OURS, Asked, Contender, Row, Scale
from benchmarks.ranks import BATCH, measured

ONE = "one process, one thread"
RANKS = 2


def rows(scale: Scale) -> Iterator[Row]:
    """One row: a step of tens of milliseconds; none without mpi4py."""
    if importlib.util.find_spec("mpi4py") is None:
        return
    size = BATCH * scale.of(8, 2, 1)
    yield Row(
        "two-ranks",
        f"784-50-10, batch {BATCH:,}, a step, {RANKS} MPI ranks",
        {
            OURS: functools.partial(contender, RANKS, size),
            ONE: functools.partial(contender, 0, size),
        },
        asked=[Asked(1.6, ONE)],
    )


def contender(ranks: int, size: int) -> Contender:
    """So many ranks; 0 are one process without MPI."""
    return Contender(
        lambda: measured(ranks, size)["seconds"],
        lambda: measured(ranks, size)["parameters"],
        clocked=True,
    )
