"""What changes how operations are recorded: `no_grad`, `errstate`, `scope`, and tracing.

Each is a context manager of the current thread. Recording looks at a thread's state only where a
module variable says that there may be something: `watched` counts the contexts of all threads
that ask for anything but the default, `tracing` the functions being traced for compilation or
watched by a recorder, and `scoped` is true from the first scope on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from types import TracebackType
from typing import Any, Literal

watched = 0
tracing = 0
scoped = False
_lock = threading.Lock()


class Scope:
    """A named part of a computation; nodes made in it are drawn as one cluster."""

    __slots__ = ("name", "parent")

    def __init__(self, name: str, parent: Scope | None) -> None:
        self.name = name
        self.parent = parent

    def __repr__(self) -> str:
        return f"Scope({'/'.join(self.path)})"

    @property
    def path(self) -> tuple[str, ...]:
        """The names from the outermost scope to this one."""
        names: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            names.append(scope.name)
            scope = scope.parent
        return tuple(reversed(names))


class _State(threading.local):
    recording: bool = True
    raising: bool = False
    scope: Scope | None = None
    trace: Any = None  # a compiled.trace.Trace, which this layer does not know
    recorder: Any = None  # a lines.Recorder, which this layer does not know either
    inlined: bool = False  # whether a compiled function called now is called as it is


state = _State()


class _Watched(ContextDecorator):
    """Set one attribute of the thread's state while entered; may be entered again inside."""

    _attribute: str
    _value: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(getattr(state, self._attribute))
        self._set(self._value, 1 if self._counts() else 0)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._set(self._before.pop(), -1 if self._counts() else 0)

    def _counts(self) -> bool:
        return bool(self._value != getattr(_State, self._attribute))

    def _set(self, value: bool, change: int) -> None:
        global watched
        setattr(state, self._attribute, value)
        with _lock:
            watched += change


class no_grad(_Watched):  # noqa: N801, PyTorch's name
    """Compute without recording: results are constants without operands.

    >>> from engine import Value
    >>> x = Value(3.0)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.args
    (9.0, ())
    """

    _attribute = "recording"
    _value = False


class enable_grad(_Watched):  # noqa: N801, PyTorch's name
    """Record again, inside of `no_grad`.

    >>> from engine import Value
    >>> with no_grad(), enable_grad():
    ...     y = Value(3.0) * 2.0
    >>> y.args
    (Value(data=3.0, grad=0.0), 2.0)
    """

    _attribute = "recording"
    _value = True


class errstate(_Watched):  # noqa: N801, NumPy's name
    """Say what happens when an operation makes inf or nan from finite operands.

    With "raise", a `DomainError` names the operation, its operands and the source line. With
    "ignore", the default, the number goes on as IEEE 754 has it. This watches what is computed,
    plain numbers included; of gradients only those that are recorded (`create_graph`).

    >>> from engine import Value, log
    >>> with errstate("raise"):
    ...     log(Value(0.0, label="x"))
    Traceback (most recent call last):
    engine.errors.DomainError: ...
    """

    _attribute = "raising"

    def __init__(self, policy: Literal["raise", "ignore"]) -> None:
        super().__init__()
        if policy not in ("raise", "ignore"):
            raise ValueError(f'errstate takes "raise" or "ignore", not {policy!r}')
        self._value = policy == "raise"


class scope:  # noqa: N801, used like a function
    """Name a part of a computation, for drawings. Scopes nest.

    A scope is entered once: for the same name again, write ``scope(name)`` again. It belongs to
    the thread, so a generator should not yield inside of one.

    >>> from engine import Value
    >>> with scope("loss"):
    ...     y = Value(2.0) ** 2
    >>> y.scope
    Scope(loss)
    """

    __slots__ = ("_before", "_name")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a scope's name is a str, not {type(name).__name__}")
        self._name = name

    def __enter__(self) -> None:
        global scoped
        scoped = True
        if hasattr(self, "_before"):
            raise RuntimeError(f"this scope {self._name!r} was entered before; make a new one")
        self._before = before = state.scope
        state.scope = Scope(self._name, before)

    def __exit__(self, *error: object) -> None:
        state.scope = self._before


@contextmanager
def traced_by(trace: Any) -> Iterator[None]:
    """Have comparisons, reads of data and the like reported to `trace`, or with None to no one."""
    global tracing
    outer, state.trace = state.trace, trace
    with _lock:
        tracing += 1
    try:
        yield
    finally:
        state.trace = outer
        with _lock:
            tracing -= 1


@contextmanager
def recorded_by(recorder: Any) -> Iterator[None]:
    """Have nodes that are made, numbers that are read and comparisons reported to `recorder`.

    What is computed is the same, with every node seen: shortcuts that make nodes unseen are off.
    """
    global tracing, watched
    outer, state.recorder = state.recorder, recorder
    with _lock:
        tracing += 1
        watched += 1
    try:
        yield
    finally:
        state.recorder = outer
        with _lock:
            tracing -= 1
            watched -= 1


@contextmanager
def inlining() -> Iterator[None]:
    """Have compiled functions called as they are, on Values."""
    outer, state.inlined = state.inlined, True
    try:
        yield
    finally:
        state.inlined = outer
