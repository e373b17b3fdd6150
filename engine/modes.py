"""What changes how operations are recorded: `no_grad`, `errstate`, `scope`, and tracing.

Each is a context manager, in force in the current context (`contextvars`): a thread and an
asyncio task have their own, so that what one holds over an `await` is no other's business, and
what is started inside inherits it. Recording looks at a context's state only where a module
variable says that there may be something: `watched` counts what is in force anywhere and asks for
anything but the default, `tracing` the functions being traced for compilation, watched by a
recorder, or given programs as the functions that they are, and `scoped` is true from the first
scope on. `special` counts all that is in force but scopes, for compiled programs, which look there
alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager, suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Literal
from weakref import ReferenceType

from engine import locks
from engine.errors import TraceError, one_of, user_line

watched = 0
tracing = 0
special = 0
calls = 0  # how many calls of transforms have begun
scoped = False
_lock = locks.freed()  # a frame may be freed, which counts it out, while one is counted in
_counted: set[int] = set()  # the ids of the frames that `watched` counts


def begin_call() -> int:
    """Count a call of a transform, and return its number: see `value.is_from_before`."""
    global calls
    with _lock:
        calls += 1
        return calls


class Scope:
    """A named part of a computation; nodes made in it are drawn as one cluster.

    `owner` is a weak reference to what it is of, such as a module, which this layer does not know.
    While a function is traced, the nodes of its scopes are told to `made.note` (see `compiled`).
    """

    __slots__ = ("made", "name", "owner", "parent")

    def __init__(
        self, name: str, parent: Scope | None, owner: ReferenceType[Any] | None = None
    ) -> None:
        self.name = name
        self.parent = parent
        self.owner = owner
        self.made: Any = None if parent is None else parent.made

    def __reduce__(self) -> tuple[Any, ...]:
        return Scope, (self.name, self.parent)

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


def is_under(scope: Scope | None, mark: Scope | None) -> bool:
    """Whether a scope is `mark`, or within it."""
    while scope is not None and scope is not mark:
        scope = scope.parent
    return scope is mark


class _Frame:
    """What one context manager asks for, above what was in force before."""

    __slots__ = ("__weakref__", "ended", "outer", "value")

    def __init__(self, value: Any, outer: _Frame | None, counts: bool) -> None:
        self.value, self.outer, self.ended = value, outer, False
        if counts:
            _count(self, True)

    def end(self) -> None:
        """Have it no longer in force, also where a context that inherited it lives on."""
        self.ended = True
        _count(self, False)

    def __del__(self) -> None:
        if not self.ended:
            _count(self, False)


def _count(frame: _Frame, alive: bool) -> None:
    global watched, special
    with _lock:
        (_counted.add if alive else _counted.discard)(id(frame))
        watched = len(_counted)
        special = watched + tracing


class _Setting:
    """One thing that can be in force: in each context what its innermost frame says."""

    def __init__(self, name: str, default: Any) -> None:
        self._innermost: ContextVar[_Frame | None] = ContextVar(name, default=None)
        self.default = default

    def frame(self) -> _Frame | None:
        """The innermost frame of this context that has not ended."""
        frame = self._innermost.get()
        while frame is not None and frame.ended:
            frame = frame.outer
        return frame

    def get(self) -> Any:
        """What is in force."""
        frame = self.frame()
        return self.default if frame is None else frame.value

    def enter(self, value: Any, counts: bool) -> _Frame:
        """Put a value in force; `counts` says whether `watched` counts it."""
        frame = _Frame(value, self._innermost.get(), counts)
        self._innermost.set(frame)
        return frame

    def leave(self, frame: _Frame) -> None:
        """Put in force again what was before; tasks started inside keep what they inherited."""
        if self._innermost.get() is frame:
            self._innermost.set(frame.outer)
        else:  # left in another order, or by another task that closes a generator
            frame.end()


_recording = _Setting("recording", True)
_raising = _Setting("raising", False)
_trace = _Setting("trace", None)
_recorder = _Setting("recorder", None)
_inlined = _Setting("inlined", False)
_scope: ContextVar[Scope | None] = ContextVar("scope", default=None)
current_scope = _scope.get  # of this context: every node asks
set_scope, leave_scope = _scope.set, _scope.reset  # in force once `scoped` is true


class _State:
    """What is in force in the current context."""

    recording = property(lambda _: _recording.get())
    raising = property(lambda _: _raising.get())
    trace = property(lambda _: _trace.get())  # a compiled.trace.Trace, unknown to this layer
    recorder = property(lambda _: _recorder.get())  # a lines.Recorder, unknown as well
    inlined = property(lambda _: _inlined.get())  # whether programs are called as functions
    scope = property(lambda _: _scope.get())


state: Any = _State()


class _Watched(ContextDecorator):
    """Put a value of a setting in force while entered; may be entered again inside.

    As a decorator it goes around each call of a function, of one with `async def` too.
    """

    _setting: _Setting
    _value: bool

    def __init__(self) -> None:
        self._entered: list[_Frame] = []

    def __call__(self, function: Any) -> Any:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = type(self).__name__
            raise TypeError(
                f"{name} can't decorate {function.__name__}, which yields: between its steps "
                f"other code runs; write `with engine.{name}(...):` inside, around no yield"
            )
        if not inspect.iscoroutinefunction(function):
            return super().__call__(function)

        @functools.wraps(function)
        async def inside(*args: Any, **keywords: Any) -> Any:
            with self._recreate_cm():
                return await function(*args, **keywords)

        return inside

    def _recreate_cm(self) -> _Watched:
        again: _Watched = object.__new__(type(self))  # calls at the same time share nothing
        again._value, again._entered = self._value, []
        return again

    def __enter__(self) -> None:
        counts = self._value != self._setting.default
        self._entered.append(self._setting.enter(self._value, counts))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        inner = self._setting.frame()
        while inner is not None and not any(inner is frame for frame in self._entered):
            inner = inner.outer
        frame = inner or self._entered[-1]
        self._entered[:] = [other for other in self._entered if other is not frame]
        self._setting.leave(frame)


class no_grad(_Watched):  # noqa: N801, PyTorch's name
    """Compute without recording: results are constants without operands.

    >>> from engine import Value
    >>> x = Value(3.0)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.args
    (9.0, ())
    """

    _setting = _recording
    _value = False


class enable_grad(_Watched):  # noqa: N801, PyTorch's name
    """Record again, inside of `no_grad`.

    >>> from engine import Value
    >>> with no_grad(), enable_grad():
    ...     y = Value(3.0) * 2.0
    >>> y.args
    (Value(data=3.0, grad=0.0), 2.0)
    """

    _setting = _recording
    _value = True


class errstate(_Watched):  # noqa: N801, NumPy's name
    """Say what happens when an operation makes inf or nan from finite operands.

    With "raise", a `DomainError` names the operation, its operands and the source line. With
    "ignore", the default, the number goes on as IEEE 754 has it. This watches all that is computed,
    plain numbers and arms that `where` will not take included, and reverse sweeps: there the error
    is about an operation that a finite adjoint arrived at and whose contribution is not finite, and
    the line that of `backward`, or in a compiled program of the operation. Derivatives that go
    forwards are not watched: `jvp`, `hvp`, and the entries of sparse ones. PyTorch's
    `detect_anomaly` looks at gradients only, and at nan, not at inf. `engine.find_nonfinite` says
    more, and needs no run in this mode.

    >>> from engine import Value, log
    >>> with errstate("raise"):
    ...     log(Value(0.0, label="x"))
    Traceback (most recent call last):
    engine.errors.DomainError: ...
    """

    _setting = _raising

    def __init__(self, policy: Literal["raise", "ignore"]) -> None:
        super().__init__()
        one_of("errstate's policy", policy, "raise", "ignore")
        self._value = policy == "raise"


class scope:  # noqa: N801, used like a function
    """Name a part of a computation, for drawings. Scopes nest.

    A scope is entered once: for the same name again, write ``scope(name)`` again. A generator
    should not yield inside of one.

    >>> from engine import Value
    >>> with scope("loss"):
    ...     y = Value(2.0) ** 2
    >>> y.scope
    Scope(loss)
    """

    __slots__ = ("_name", "_token")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a scope's name is a str, not {type(name).__name__}")
        self._name = name

    def __enter__(self) -> None:
        if hasattr(self, "_token"):
            raise RuntimeError(f"this scope {self._name!r} was entered before; make a new one")
        self._token = enter_scope(self._name)

    def __exit__(self, *error: object) -> None:
        with suppress(ValueError):  # a generator that was closed by another task
            leave_scope(self._token)


def enter_scope(name: str) -> Token[Scope | None]:
    """Begin a scope; what is returned ends it. `with scope(name)` in two calls, for speed."""
    global scoped
    scoped = True
    return set_scope(Scope(name, current_scope()))


def refuse_in_trace(what: str) -> None:
    """Raise TraceError while tracing: a replay would not do this again."""
    if tracing and state.trace is not None:
        raise TraceError(
            f"{what} inside of a compiled function, {user_line()}: a replay would not repeat it; "
            "take gradients with engine.grad, or outside by program.grad, and give new numbers "
            "as arguments"
        )


def traced_by(trace: Any) -> AbstractContextManager[None]:
    """Have comparisons, reads of data and the like reported to `trace`, or with None to no one."""
    return _observed(_trace, trace, counts=False)


def recorded_by(recorder: Any) -> AbstractContextManager[None]:
    """Have nodes that are made, numbers that are read and comparisons reported to `recorder`.

    What is computed is the same, with every node seen: shortcuts that make nodes unseen are off.
    """
    return _observed(_recorder, recorder, counts=True)


def inlining() -> AbstractContextManager[None]:
    """Have compiled functions called as they are, on Values."""
    return _observed(_inlined, True, counts=False)


@contextmanager
def _observed(setting: _Setting, observer: Any, counts: bool) -> Iterator[None]:
    global tracing, special
    frame = setting.enter(observer, counts)
    with _lock:
        tracing += 1
        special = watched + tracing
    try:
        yield
    finally:
        setting.leave(frame)
        frame.end()  # for tasks started inside too: there is nobody to report to any more
        with _lock:
            tracing -= 1
            special = watched + tracing
