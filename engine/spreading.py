"""Work spread over workers: processes, threads, or the machines that Dask or MPI knows.

In: a function and its tasks, and what runs them: anything with the `submit` of a
`concurrent.futures.Executor` or of a Dask client, or None for this process. Out: results as they
are finished. No engine is imported: what is handed in brings it along.
"""

from __future__ import annotations

import functools
import hashlib
import os
import queue
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_AHEAD = 4  # tasks for each worker that are handed out, so that none waits for the next


def finished(
    work: Callable[..., T], tasks: Iterable[tuple[Any, ...]], on: Any = None
) -> Iterator[tuple[int, T]]:
    """Yield the place of each task and what `work(*task)` returned, the first to finish first.

    Tasks are taken from `tasks` as workers get free, so that these may be more than memory holds.
    Raises what a task raises, and RuntimeError where the workers are gone.
    """
    if on is None:
        yield from ((k, work(*task)) for k, task in enumerate(tasks))
        return
    check(on)
    ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    ahead = max(_AHEAD * workers(on), 16)
    pending: dict[int, Any] = {}
    # Dask knows a task by its arguments, and would hand back an older one's result.
    keywords = {"pure": False} if hasattr(on, "scheduler_info") else {}
    rest = enumerate(tasks)
    try:
        while True:
            while len(pending) < ahead and (task := next(rest, None)) is not None:
                k, arguments = task
                pending[k] = future = _submitted(on, work, *arguments, **keywords)
                future.add_done_callback(lambda done, k=k: ended.put((k, done)))
            if not pending:
                return
            k, done = ended.get()
            del pending[k]
            yield k, done.result()
    except (CancelledError, BrokenExecutor) as error:
        raise RuntimeError(_gone(on, error)) from error
    finally:
        for future in pending.values():
            future.cancel()


def _submitted(on: Any, *what: Any, **keywords: Any) -> Any:
    try:
        return on.submit(*what, **keywords)
    except RuntimeError as error:  # so an executor says that it was shut down
        raise RuntimeError(_gone(on, error)) from error


def check(on: Any) -> None:
    """Raise TypeError for what runs no tasks, and RuntimeError for a client that is gone."""
    if not callable(getattr(on, "submit", None)):
        raise TypeError(
            f"on is a Dask client, an executor of concurrent.futures or None, not {on!r}"
        )
    status = getattr(on, "status", "running")
    if status != "running":
        raise RuntimeError(_gone(on, f"its status is {status}"))
    if hasattr(on, "scheduler_info") and not workers(on):
        raise RuntimeError(f"{type(on).__name__} has no workers; start one, and call again")


def workers(on: Any) -> int:
    """How many tasks run at the same time there, as far as one can know."""
    if hasattr(on, "scheduler_info"):  # a client of Dask
        return sum(on.nthreads().values())
    told = getattr(on, "_max_workers", None) or getattr(on, "num_workers", None)
    return int(told or os.cpu_count() or 1)


def here() -> str:
    """The name of this worker, for messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@functools.cache
def version() -> str:
    """Which version of us this process runs: its number, and a digest of the files."""
    root = Path(__file__).parent
    content = b"".join(file.read_bytes() for file in sorted(root.rglob("*.py")))
    number = sys.modules[__package__].__version__
    return f"{number} ({hashlib.sha256(content).hexdigest()[:8]})"


def check_sender(sender: str, what: str) -> None:
    """Raise RuntimeError in a worker that has another version than what sent the work."""
    if sender != (own := version()):
        raise RuntimeError(
            f"{here()} has gradloom {own}, and this {what} was sent by {sender}; install one "
            "version everywhere"
        )


def pairwise(parts: Iterable[tuple[int, T]], add: Callable[[T, T], T]) -> T:
    """Add numbered parts, in any order of arrival, by one tree: 0 and 1, 2 and 3, and so on.

    The sum is the same to the bit for the same parts. Raises ValueError where there are none.

    >>> pairwise([(2, "c"), (0, "a"), (1, "b")], lambda a, b: f"({a}{b})")
    '((ab)c)'
    """
    kept: dict[tuple[int, int], T] = {}
    for k, part in parts:
        level = 0
        while (level, k ^ 1) in kept:
            other = kept.pop((level, k ^ 1))
            part = add(other, part) if k & 1 else add(part, other)
            level, k = level + 1, k >> 1
        kept[level, k] = part
    if not kept:
        raise ValueError("there is nothing to add")
    # What is left has no partner: the subtrees of ever smaller size, from left to right.
    left = [part for _, part in sorted(kept.items())]
    return functools.reduce(lambda total, part: add(part, total), left)


def _gone(on: Any, reason: Any) -> str:
    said = str(reason) or type(reason).__name__
    return (
        f"the workers of {type(on).__name__} are gone ({said}); nothing here has changed: start "
        "others, and call again"
    )
