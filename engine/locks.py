"""Locks that a forked process can take, whatever the other threads of its parent were doing.

A fork copies locks as they are, and none of the threads that would release them. This module
imports nothing of the engine.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_waited_for: list[tuple[int, Any]] = []  # in the order in which a thread takes them
_freed: weakref.WeakSet[Any] = weakref.WeakSet()


def waited_for(depth: int, lock: Any = None) -> Any:
    """Return a new lock, as `threading.RLock()`, or one that there is; a fork waits until no other
    thread has it.

    For what must not be left half done, and takes a moment. A thread that has one takes only those
    of a greater `depth`.
    """
    lock = threading.RLock() if lock is None else lock
    _waited_for.append((depth, lock))
    _waited_for.sort(key=lambda pair: pair[0])
    return lock


def freed() -> Any:
    """Return a new lock, as `threading.RLock()`, that no other thread has in a forked process.

    For what begins anew each time, and may take long.
    """
    lock = threading.RLock()
    _freed.add(lock)
    return lock


def _before() -> None:
    for _, lock in _waited_for:
        lock.acquire()


def _after() -> None:
    for _, lock in reversed(_waited_for):
        lock.release()


def _after_in_child() -> None:
    _after()
    for lock in list(_freed):
        if not lock._is_owned():
            lock._at_fork_reinit()  # as Python's own modules do


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
