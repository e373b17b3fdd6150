"""Threads for large batches: how many there are, and the pool that they wait in; and the lock that
only one of them compiles under.

Compiled code runs without Python's lock, so that plain threads do. The pool is made when first
needed, and anew in a forked process, which inherits none of its threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from engine import locks

T = TypeVar("T")

compiling = locks.waited_for(1)  # around all that makes or loads machine code
_lock = locks.freed()
_wanted: int | None = None
_pool: ThreadPoolExecutor | None = None


class _Here(threading.local):
    alone = False


_here = _Here()


def get_num_threads() -> int:
    """Return how many threads a compiled program may use for a large batch.

    As many as there are processors for this process, or the number in the environment variable
    GRADLOOM_NUM_THREADS, or what `set_num_threads` said.
    """
    if _here.alone:
        return 1
    if _wanted is not None:
        return _wanted
    given = os.environ.get("GRADLOOM_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def set_num_threads(count: int) -> None:
    """Set how many threads a compiled program may use for a large batch.

    The examples of a batch are divided among them where that is worth it; sums over the examples
    may then be rounded otherwise. Raises ValueError for less than 1.
    """
    global _wanted
    if count < 1:
        raise ValueError(f"there is at least 1 thread, not {count}")
    _wanted = count


@contextmanager
def alone() -> Iterator[None]:
    """Have what this thread calls use no other thread for a while: sums are then rounded alike
    wherever they are computed."""
    before, _here.alone = _here.alone, True
    try:
        yield
    finally:
        _here.alone = before


def is_alone() -> bool:
    """Whether this thread is within `alone`."""
    return _here.alone


def run_together(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks at the same time, the first in this thread; return what each returns.

    Raises what the first of them that fails does, when all have ended.
    """
    global _pool
    with _lock:
        if _pool is None or _pool._max_workers < len(tasks) - 1:
            _pool = ThreadPoolExecutor(max(len(tasks) - 1, get_num_threads() - 1), "gradloom")
        others = [_pool.submit(task) for task in tasks[1:]]
    try:
        first = tasks[0]()
    finally:
        done = [other.exception() for other in others]  # waits for each
    for error in done:
        if error is not None:
            raise error
    return [first, *[other.result() for other in others]]


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
