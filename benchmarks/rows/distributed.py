"""Work over MPI's ranks and Dask's workers beside one process, and training on more than memory.

None of it without mpi4py and Dask. What runs in several processes has one thread in each.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import heston, ranks, streaming
from benchmarks.harness import OURS, Asked, Contender, Figure, Row, Scale

ONE = "one process, one thread"
POOL = "concurrent.futures, two processes"
ONE_RANK = f"{OURS}, one rank"
ONE_WORKER = f"{OURS}, one Dask worker"
RANKS = 2
ADDED = f"{OURS}, adding two"
WITHIN = 1.0 / 1.1  # what is asked of Dask on tasks of a second
INSTALLED = all(map(importlib.util.find_spec, ("mpi4py", "distributed")))


def rows(scale: Scale) -> Iterator[Row]:
    """A step, a Monte Carlo, tasks of a second, and a file larger than memory."""
    if not INSTALLED:
        return
    for name, (model, batch) in ranks.TRAININGS.items():
        size = batch * scale.of(8, 2, 1)
        yield Row(
            f"two-ranks-{name}",
            f"{model}, batch {batch:,}, a step, {RANKS} MPI ranks",
            {
                OURS: functools.partial(stepping, RANKS, name, size),
                ONE_RANK: functools.partial(stepping, 1, name, size),
                ONE: functools.partial(stepping, 0, name, size),
            },
            asked=[Asked(1.6, ONE)],
        )
    paths = scale.of(10_000_000, 200_000, 2_000)
    with ExitStack() as stack:
        greeks = functools.partial(pricing, stack, paths, paths // 80, heston.CALLS)
        yield Row(
            "heston-greeks",
            f"price, Greeks and their errors, Heston, {paths:,} paths, two Dask workers",
            {OURS: lambda: greeks(dask(2)), ONE: lambda: greeks(None)},
            tolerance=0.0,
        )
    task = scale.of(250_000, 20_000, 200)
    with ExitStack() as stack:
        tasks = functools.partial(pricing, stack, 8 * task, task, 1)
        yield Row(
            "dask-tasks",
            f"8 tasks of {task:,} paths, two Dask workers",
            {
                OURS: lambda: tasks(dask(2)),
                ONE_WORKER: lambda: tasks(dask(1)),
                POOL: lambda: tasks(pool(2)),
                ONE: lambda: tasks(None),
            },
            asked=[Asked(WITHIN, POOL), Asked(WITHIN, ONE, of=ONE_WORKER)],
            tolerance=0.0,
        )
    count = scale.of(2_500_000, 100_000, 2_000)
    with tempfile.TemporaryDirectory() as folder:
        file = functools.partial(streaming.written, Path(folder, "x.npy"), count)
        told = f"a file of {count * streaming.WIDTH * 4 / 1e9:g} GB, shuffled by blocks"
        yield Row(
            "larger-than-memory",
            f"anonymous memory that nn.fit takes, {told}",
            {OURS: lambda: streamed(file())},
            asked=[Asked(seconds=300e6)],
            dtype="float32",
            unit="bytes",
        )


def figures(scale: Scale) -> Iterator[Figure]:
    """What ranks tell each other in a step."""
    sizes = [1024 * k for k in scale.of((1, 8, 64, 512, 4_096, 65_536), (1, 64, 4_096), (1,))]
    if INSTALLED:
        yield Figure(
            "collective",
            "An allgather of MPI ranks, and what is done with it",
            "bytes from each rank",
            ((size, _gathering(size)) for size in sizes),
        )


def _gathering(size: int) -> Row:
    ways = {f"{OURS}, {count} ranks": count for count in (2, 4)} | {ADDED: 0}
    return Row(
        f"collective-{size}",
        f"an allgather of {size:,} bytes from each rank",
        {name: functools.partial(gathering, count, size) for name, count in ways.items()},
    )


def stepping(count: int, name: str, size: int) -> Contender:
    """So many ranks; 0 are one process without MPI."""
    return Contender(
        lambda: ranks.measured(count, name, size)["seconds"],
        lambda: ranks.measured(count, name, size)["parameters"],
        clocked=True,
    )


def gathering(count: int, size: int) -> Contender:
    """So many ranks; 0 is the adding."""
    return Contender(
        lambda: ranks.measured(count, "collective", size)["seconds"], None, clocked=True
    )


def pricing(
    stack: ExitStack, paths: int, block: int, calls: int, on: AbstractContextManager[Any] | None
) -> Contender:
    """Who computes them is there until the stack ends; what is done once has been done."""
    workers = on and stack.enter_context(on)

    def work() -> Any:
        return heston.estimates(workers, paths, block, calls)

    heston.estimates(workers, 8 * calls, 1, calls)
    return Contender(work, work)


def streamed(file: Path) -> Contender:
    """By a training in a process of its own."""
    return Contender(
        lambda: streaming.measured(file)["bytes"],
        lambda: streaming.measured(file)["parameters"],
        clocked=True,
    )


@contextmanager
def dask(workers: int) -> Iterator[Any]:
    """A client of so many workers of this machine."""
    distributed: Any = importlib.import_module("distributed")
    before = dict(os.environ)  # Dask adds to it
    given = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**given) as cluster, distributed.Client(cluster) as client:
        yield client
    os.environ.clear()
    os.environ.update(before)


def pool(workers: int) -> ProcessPoolExecutor:
    """So many processes."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
