"""Changes: to run a function that is traced, and to refuse what a replay would not do again.

A function may read what is around it, and may write there; not both, unless it writes first. What
it changed is found by comparing afterwards. Whether an attribute was read before it was written is
found by a second run, in which the objects concerned note what is done to them.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from engine import locks
from engine.compiled.places import Attributes, Place, State, process_states
from engine.compiled.surroundings import Surroundings
from engine.errors import TraceError, is_ours, user_line

T = TypeVar("T")
_ATTEMPTS = 3  # to trace without the random state of the process changing
_HEAP_TYPE = 1 << 9  # the flag of such classes
_standing = locks.freed()


def run_once(run: Callable[[], T], around: Surroundings, name: str, *, first: bool = True) -> T:
    """Run a function of this name, and return what it returns.

    `first` is False where it ran before, on another path. Raises TraceError where it changes what
    it reads; all is then as it was, as it is where the function itself raises.
    """
    for place in around.places:
        place.mark()
    result = _run_quietly(run, around, name)
    changed = [place for place in around.places if place.changed() or _ignored(place)]
    if not changed:
        return result
    if memos := _memos(changed):  # what they hold is the object's alone: no part of the trace
        _restore(around)
        for item, attribute in memos:
            getattr(item, attribute)
        around.renew()
        return run_once(run, around, name, first=first)
    attributes = [p for p in changed if isinstance(p, Attributes) and _can_note(p.item)]
    if len(attributes) < len(changed):
        hard = [place for place in changed if place not in attributes]
        _restore(around)
        _refuse(name, hard[0].label, _line_of(run, around, hard))
    names = {id(p.item): {*p.changed_names(), *p.ignored} for p in attributes}
    known = {id(p.item): p.ignored for p in attributes}
    _restore(around)
    with _noting([p.item for p in attributes], names) as notes:
        result = _run_quietly(run, around, name)
    for place in attributes:
        for attribute in sorted(names[id(place.item)]):
            line = notes.line(place.item, attribute)
            late = not first and attribute not in known[id(place.item)]
            if line or late:
                _restore(around)
                _refuse(name, f"{place.label}.{attribute}", line or "on another path")
        around.ignore(place, sorted(names[id(place.item)]))
    return result


def _memos(changed: Sequence[Place]) -> list[tuple[Any, str]]:
    """The cached properties that are new, with their objects, if nothing else has changed."""
    found: list[tuple[Any, str]] = []
    for place in changed:
        if not isinstance(place, Attributes) or place.ignored:
            return []
        for name in place.changed_names():
            of_class = inspect.getattr_static(type(place.item), name, None)
            if name in place.before or not isinstance(of_class, functools.cached_property):
                return []
            found.append((place.item, name))
    return found


def _ignored(place: Place) -> bool:
    return isinstance(place, Attributes) and bool(place.ignored)


def _can_note(item: Any) -> bool:
    """Whether an object's class is written in Python, so that another may stand for it."""
    return bool(type(item).__flags__ & _HEAP_TYPE)


def _restore(around: Surroundings) -> None:
    for place in around.places:
        place.restore()


def _run_quietly(run: Callable[[], T], around: Surroundings, name: str) -> T:
    """Run with stand-ins for what goes on by being used, and with no draw from the process's
    random states."""
    for attempt in range(_ATTEMPTS):
        own, shared = _states_of_generators(around), process_states()
        states = own + shared
        around.refusals.clear()
        try:
            with _stand_ins(around):
                result = run()
            if around.refusals:  # and the function caught the error
                raise TraceError(around.refusals[0])
        except BaseException:
            _restore(around)
            raise
        if not (drawn := [state for state in states if state.changed()]):
            return result
        # From the process's another thread may have drawn: then once more.
        alone = threading.active_count() == 1 or attempt == _ATTEMPTS - 1
        if alone or drawn[0] not in shared:
            drawn[0].restore()
            _restore(around)
            line = _line_of(run, around, drawn[:1])
            for state in states:
                state.restore()
            raise TraceError(
                f"{name} draws from {drawn[0].label}, {line}, and a replay would repeat the same "
                "numbers; use engine.random(), which is drawn anew, or draw before and give the "
                "numbers as arguments"
            )
        _restore(around)
    raise AssertionError("the last attempt returns or raises")


def _states_of_generators(around: Surroundings) -> list[State]:
    """The random states of generators that tell theirs."""
    return [
        State(f"{label}, a {type(item).__name__}", item.get_state, item.set_state)
        for label, item in around.generators
    ]


@contextmanager
def _stand_ins(around: Surroundings) -> Iterator[None]:
    if not around.stand_ins:
        yield
        return
    with _standing:  # two threads would take each other's for the originals
        for (_, put), _, other in around.stand_ins:
            put(other)
        try:
            yield
        finally:
            for (get, put), original, other in around.stand_ins:
                if get() is other:
                    put(original)


def _refuse(name: str, what: str, line: str) -> None:
    raise TraceError(
        f"{name} reads {what} and changes it, {line}, and a replay would begin with the same at "
        "every call; give it as an argument and return what it becomes, or call the function "
        "itself (nn.fit and nn.predict then take the scalar path)"
    )


# --- in which order attributes are read and written -------------------------------------------


class _Notes:
    """What is done first to the attributes of some objects, and where those read are written."""

    def __init__(self, names: dict[int, set[str]]) -> None:
        self._names = names
        self._read: set[tuple[int, str]] = set()
        self._written: dict[tuple[int, str], str] = {}

    def read(self, owner: Any, name: str) -> None:
        """An attribute is about to be read; of the dict of all, each of interest."""
        names = self._names.get(id(owner), set())
        for one in names if name == "__dict__" else names & {name}:
            if (id(owner), one) not in self._written:
                self._read.add((id(owner), one))

    def wrote(self, owner: Any, name: str) -> None:
        """An attribute is about to be written."""
        self._written.setdefault((id(owner), name), user_line())

    def line(self, owner: Any, name: str) -> str:
        """Where an attribute that had been read was written; "" where it was written first."""
        place = (id(owner), name)
        if place in self._read or place not in self._written:
            return self._written.get(place, "in a way that can't be followed")
        return ""


@contextmanager
def _noting(owners: Sequence[Any], names: dict[int, set[str]]) -> Iterator[_Notes]:
    """Have objects note in which order their attributes are read and written."""
    notes = _Notes(names)
    before = [(owner, type(owner)) for owner in owners]
    try:
        for owner, kind in before:
            object.__setattr__(owner, "__class__", _noting_class(kind, notes))
        yield notes
    finally:
        for owner, kind in before:
            object.__setattr__(owner, "__class__", kind)


def _noting_class(kind: Any, notes: _Notes) -> Any:
    read, write = kind.__getattribute__, kind.__setattr__

    def get(self: Any, name: str) -> Any:
        notes.read(self, name)
        return read(self, name)

    def put(self: Any, name: str, value: Any) -> None:
        notes.wrote(self, name)
        write(self, name, value)

    members = {
        "__slots__": (),
        "__getattribute__": get,
        "__setattr__": put,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__hash__": kind.__hash__,
    }
    return type.__new__(type(kind), kind.__name__, (kind,), members)


# --- the line ---------------------------------------------------------------------------------


def _line_of(run: Callable[[], Any], around: Surroundings, changed: Sequence[Place]) -> str:
    """The user's line that changes a place: the function runs once more, and is looked at line by
    line. Everything is then put back."""
    last: list[str] = []
    found: list[str] = []

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        if not found and last and any(place.changed() for place in changed):
            found.append(last[0])
        code = frame.f_code
        last[:] = [f"at {code.co_filename}:{frame.f_lineno} in {code.co_name}"]
        return look

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return None if is_ours(frame) else look(frame, event, argument)

    outer = sys.gettrace()
    try:
        with _stand_ins(around):
            sys.settrace(enter)
            run()
    except Exception:  # it was not asked for, and the refusal says enough
        pass
    finally:
        sys.settrace(outer)
        if not found and last and any(place.changed() for place in changed):
            found.append(last[0])
        _restore(around)
    return found[0] if found else "in the function"
