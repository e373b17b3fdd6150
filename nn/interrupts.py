"""Ctrl-C while training: it is noted, and acted on where nothing is half done."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Stopped(KeyboardInterrupt):
    """Ctrl-C, at a point where everything is in a state to stop at."""


class Interrupts:
    """For the time of a `with` block, Ctrl-C sets `asked` instead of raising KeyboardInterrupt.

    A second one raises it. Only Python's own handling is replaced, and only in the main thread:
    elsewhere nothing changes. `check` raises Stopped once it was asked for.

    >>> with Interrupts() as interrupts:
    ...     interrupts.asked  # nobody has pressed it
    False
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def check(self) -> None:
        """Raise Stopped if it was asked for."""
        if self.asked:
            raise Stopped
