"""Places: where a function finds something besides its arguments, and what is there now.

A place is a dict's entries, a container's contents, a closure's cell. Going through it gives what
is there, one object after the other; `then` is what was there when it was first seen. Numbers are
told apart by type and bits: 1, 1.0 and True are three, 0.0 and -0.0 two, and nan is one.
"""

from __future__ import annotations

import copy
import itertools
import marshal
import operator
import random
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Set
from contextvars import ContextVar
from types import CellType, FunctionType, MappingProxyType
from typing import Any

import numpy as np

PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
CONTAINERS = (list, tuple, dict, set, frozenset, deque)
_ABSENT: Any = object()
_code_of = operator.attrgetter("__code__")
_defaults_of = operator.attrgetter("__defaults__")
_kwdefaults_of = operator.attrgetter("__kwdefaults__")
_contents_of = operator.attrgetter("cell_contents", "cell_contents")


def bits(x: Any) -> Any:
    """A key for a plain number or text, None for anything else."""
    if type(x) in PLAIN:
        return type(x), (repr(x) if x == 0 or x != x else x)
    return (x.dtype.str, x.tobytes()) if isinstance(x, np.generic) else None


def same(x: Any, y: Any) -> bool:
    """Whether two are one object, or the same number or text."""
    return x is y or (type(x) is type(y) and bits(x) is not None and bits(x) == bits(y))


class Place(ABC):
    """The base: a place is gone through, and is put back as it was."""

    label = ""  # what it is called in messages

    def __init__(self) -> None:
        self.then = list(self.live)

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """What stands there, and what it depends on."""

    @property
    def live(self) -> Iterable[Any]:
        """What is gone through to see what is there now: where it can be, the container itself."""
        return self

    @property
    def quick(self) -> tuple[Callable[[Any], Any], Any, list[Any]] | None:
        """A function that runs no code of Python's, what to call it with, and what it gave then:
        for places that have one, in place of `live`."""
        return None

    @property
    def tests(self) -> list[tuple[str, Any, Any]] | None:
        """Whether something else is there now, as a few texts, each of two objects; None: ask."""
        return None

    def now(self) -> list[Any]:
        """What is there now; nothing where the place is gone."""
        try:
            return list(self.live)
        except (KeyError, AttributeError, ValueError, RuntimeError):
            return [_ABSENT]

    def changed(self) -> bool:
        """Whether something else is there now."""
        now = self.now()
        return len(now) != len(self.then) or not all(map(same, now, self.then))

    def mark(self) -> None:  # noqa: B027, a place that keeps nothing else has nothing to do
        """Remember what is there, to put it back; most places know it from the beginning."""

    def restore(self) -> None:  # noqa: B027, nor has one that nobody writes to
        """Put back what was there."""

    def key(self, token: Callable[[Any], Any]) -> Any:
        """What was there, with a token for each object, for comparing two states."""
        return tuple(map(token, self.then))


class Entries(Place):
    """Some entries of a dict, by their names: globals, names of a module, or of a class `owner`."""

    def __init__(
        self, label: str, mapping: Any, names: Iterable[str], owner: type | None = None
    ) -> None:
        self.mapping, self.owner = mapping, owner
        self._choose(names)
        self.label = label or ", ".join(self.names)
        super().__init__()

    @property
    def _counted(self) -> bool:
        """Whether names that are new matter: in a class they stand before those of its bases."""
        return self.owner is not None

    def _choose(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._known = frozenset(self.mapping) if self._counted else frozenset()
        chosen = (*self.names, *self.names[:1])  # of a single one itemgetter makes no tuple
        self._get = operator.itemgetter(*chosen) if chosen else lambda mapping: ()

    @property
    def size(self) -> int | None:
        """How many entries there were, if that matters."""
        return len(self._known) if self._counted else None

    @property
    def quick(self) -> tuple[Callable[[Any], Any], Any, list[Any]]:
        """The entries by their names."""
        return self._get, self.mapping, self.then[: len(self.then) - (self.size is not None)]

    @property
    def tests(self) -> list[tuple[str, Any, Any]] | None:
        """Name by name."""
        found = [(f"{{}}[{n!r}] is not {{}}", self.mapping, x) for n, x in self._then().items()]
        if self.size is not None and self.then[-1]:
            found.append((f"len({{}}) != {self.size}", self.mapping, None))
        return found

    def __iter__(self) -> Iterator[Any]:
        found = self._get(self.mapping)
        return iter(found if self.size is None else (*found, len(self.mapping) == self.size))

    def _then(self) -> dict[str, Any]:
        return dict(zip(self.names, self.then, strict=False))

    def changed_names(self) -> list[str]:
        """The names that have other objects now, or none."""
        now, then = self.mapping, self._then()
        changed = [n for n in then if not same(now.get(n, _ABSENT), then[n])]
        new = [n for n in now if n not in self._known] if self._counted else []
        return changed + [n for n in new if not n.startswith("__")]

    def changed(self) -> bool:
        """Whether a name has another object now."""
        return bool(self.changed_names())

    def restore(self) -> None:
        """Put back what was there."""
        for name, old in self._then().items():
            if self.mapping.get(name, _ABSENT) is old:
                continue
            if self.owner is None:
                self.mapping[name] = old
            else:
                setattr(self.owner, name, old)

    def key(self, token: Callable[[Any], Any]) -> Any:
        """The names belong to it."""
        return self.names, tuple(map(token, self._then().values()))


class Attributes(Entries):
    """An object's attributes, of which `wanted` are the names of interest, None for all."""

    def __init__(
        self, label: str, item: Any, names: Iterable[str], wanted: Set[str] | None
    ) -> None:
        self.item, self.wanted = item, wanted
        self.ignored: set[str] = set()
        self.before = dict(vars(item))
        super().__init__(label, vars(item), names)

    @property
    def size(self) -> int:
        """How many attributes there were."""
        return len(self.before)

    def mark(self) -> None:
        """Remember all attributes, also those of no interest."""
        self.before = dict(self.mapping)

    def changed_names(self) -> list[str]:
        """The names of interest that have other objects now, or none, or are new."""
        new = [n for n in self.mapping if n not in self.before and n not in self.ignored]
        return super().changed_names() + [n for n in new if self.wanted is None or n in self.wanted]

    def ignore(self, names: Iterable[str]) -> None:
        """Look at some names no more."""
        self.ignored.update(names)
        then = self._then()
        self._choose([name for name in self.names if name not in self.ignored])
        self.mark()
        self.then = [then[name] for name in (*self.names, *self.names[:1])] + [True]

    def restore(self) -> None:
        """Put back what was there, and take away what was not."""
        for name in [name for name in self.mapping if name not in self.before]:
            del self.mapping[name]
        for name, old in self.before.items():
            if self.mapping.get(name, _ABSENT) is not old:
                self.mapping[name] = old


class Slots(Place):
    """The attributes of an object that has no dict."""

    def __init__(self, label: str, owner: Any, names: Iterable[str]) -> None:
        self.label, self.owner, self.names = label, owner, tuple(names)
        super().__init__()

    def __iter__(self) -> Iterator[Any]:
        return iter([getattr(self.owner, name, _ABSENT) for name in self.names])

    def restore(self) -> None:
        """Put back what was there."""
        for name, old in zip(self.names, self.then, strict=True):
            if old is not _ABSENT:
                object.__setattr__(self.owner, name, old)


class Cell(Place):
    """A variable of an enclosing function."""

    def __init__(self, label: str, cell: CellType) -> None:
        self.label, self.cell = label, cell
        super().__init__()

    @property
    def quick(self) -> tuple[Callable[[Any], Any], Any, list[Any]]:
        """What is in it, twice, since two are a tuple."""
        return _contents_of, self.cell, self.then * 2

    @property
    def tests(self) -> list[tuple[str, Any, Any]] | None:
        """One."""
        return [("{}.cell_contents is not {}", self.cell, self.then[0])]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.cell.cell_contents,))

    def restore(self) -> None:
        """Put back what was there."""
        self.cell.cell_contents = self.then[0]


class State(Place):
    """The state of a random generator that has `get_state` and `set_state`, or as these are given.

    It is looked at before and after a trace, not at every call: to draw elsewhere is allowed.
    """

    def __init__(self, label: str, get: Callable[[], Any], put: Callable[[Any], object]) -> None:
        self.label, self._get, self._put = label, get, put
        self._state = get()
        self._told = _told(self._state)
        super().__init__()

    def __iter__(self) -> Iterator[Any]:
        return iter((_told(self._get()) == self._told,))

    def restore(self) -> None:
        """Put it back."""
        self._put(self._state)


def process_states() -> list[State]:
    """The random states of the process: Python's, NumPy's, and PyTorch's if it was imported."""
    states = [
        State("Python's random", random.getstate, random.setstate),
        State("numpy.random", np.random.get_state, np.random.set_state),
    ]
    if torch := sys.modules.get("torch"):
        states.append(State("torch's random", torch.get_rng_state, torch.set_rng_state))
    return states


def _told(state: Any) -> Any:
    """A state in a form that can be compared."""
    if isinstance(state, tuple):
        plain = {*map(type, state)} == {int}  # hundreds of them
        return state if plain else tuple(map(_told, state))
    return np.asarray(state).tobytes() if hasattr(state, "__array__") else state


class Definitions(Place):
    """The code and the defaults of functions, which may be set anew."""

    label = "a function's code"

    def __init__(self, functions: Iterable[FunctionType]) -> None:
        self.functions = list(functions)
        super().__init__()

    def __iter__(self) -> Iterator[Any]:
        functions = self.functions
        readers = (_code_of, _defaults_of, _kwdefaults_of)
        return itertools.chain.from_iterable(map(read, functions) for read in readers)


class Variable(Place):
    """A context variable."""

    def __init__(self, label: str, variable: ContextVar[Any]) -> None:
        self.label, self.variable = label, variable
        super().__init__()

    def __iter__(self) -> Iterator[Any]:
        return iter((self.variable.get(_ABSENT),))

    def restore(self) -> None:
        """Put back what was there."""
        self.variable.set(self.then[0])


class Contents(Place):
    """What a list, a dict, a set or an array of objects holds."""

    def __init__(self, label: str, container: Any) -> None:
        self.label, self.container = label, container
        self._copies = [(container, _copied(container))]
        super().__init__()

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain(self.container, self.container.values())

    @property
    def live(self) -> Iterable[Any]:
        """Of a list the list itself."""
        if isinstance(self.container, dict | MappingProxyType):
            return self
        return self.container.flat if isinstance(self.container, np.ndarray) else self.container

    def restore(self) -> None:
        """Put back what was there."""
        for container, before in self._copies:
            _refill(container, before)


class Numbers(Contents):
    """Numbers and texts in lists, dicts and sets, all of them nested in one."""

    def __init__(self, label: str, container: Any, parts: Iterable[Any]) -> None:
        self.label, self.container = label, container
        self._copies = [(part, _copied(part)) for part in parts]
        self._bytes = marshal.dumps(container, 2)  # version 2 knows no references: it is the same
        self.then = [True]

    def __iter__(self) -> Iterator[Any]:
        return iter((marshal.dumps(self.container, 2) == self._bytes,))

    @property
    def live(self) -> Iterable[Any]:
        """Compared as one."""
        return self

    def key(self, token: Callable[[Any], Any]) -> Any:
        """The numbers."""
        return self._bytes


class Array(Place):
    """An array of numbers."""

    def __init__(self, label: str, array: Any) -> None:
        self.label, self.array = label, array
        self._copy = array.copy()
        self._bytes = array.tobytes()
        self.then = [True]

    def __iter__(self) -> Iterator[Any]:
        array = self.array
        same = array.tobytes() == self._bytes and array.shape == self._copy.shape
        return iter((same and array.dtype == self._copy.dtype,))

    def restore(self) -> None:
        """Put back the numbers."""
        if self.changed():
            self.array[...] = self._copy

    def key(self, token: Callable[[Any], Any]) -> Any:
        """The numbers, and how they are arranged."""
        return self._copy.dtype.str, self._copy.shape, self._bytes


class Buffer(Array):
    """Numbers that NumPy can make an array of, and takes from where they are."""

    def __init__(self, label: str, item: Any) -> None:
        self.item = item
        array = self._read()
        self._before = array.copy() if hasattr(type(item), "__array__") else copy.copy(item)
        if array.dtype == object:
            raise TypeError("these are objects, and no numbers")
        super().__init__(label, array)
        self.size = array.size

    def _read(self) -> Any:
        return np.asarray(self.item)

    def __iter__(self) -> Iterator[Any]:
        self.array = self._read()
        return super().__iter__()

    def restore(self) -> None:
        """Put back the numbers, where that can be."""
        if self.changed() and hasattr(self.item, "__setitem__"):
            self.item[:] = self._before


def _copied(container: Any) -> Any:
    return container.copy() if hasattr(container, "copy") else container


def _refill(container: Any, copy: Any) -> None:
    """Have a container hold what its copy holds."""
    if isinstance(container, np.ndarray):
        container[...] = copy
    elif isinstance(container, list):
        container[:] = copy
    elif isinstance(container, dict | set):
        container.clear()
        container.update(copy)
    elif isinstance(container, deque):
        container.clear()
        container.extend(copy)
