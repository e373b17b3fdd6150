"""Surroundings: all that a function reads besides its arguments, found by walking from it.

In: functions and other objects that are called. Out: `Surroundings`: the places of numbers, texts,
flags and objects that their code can reach, and what is there, to be compared at every call. The
walk goes over code without running it: by the globals, the closure and the defaults of a function
to whatever they hold, by an object's class to its methods, and so on. An attribute is of interest
if its name stands in code that was reached. Code of the standard library, of NumPy, of this
project and of other installed packages than the function's own is not gone into.
"""

from __future__ import annotations

import argparse
import array
import functools
import inspect
import itertools
import operator
import sys
import types
import weakref
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from engine import value
from engine.compiled import places
from engine.compiled.places import CONTAINERS, PLAIN, Place, bits
from engine.compiled.reads import HOUSE, origin, reads_of
from engine.compiled.stateful import has_state, is_stateful, original_of, stand_in
from engine.value import Value

MOST = 4_096  # numbers of a container that are watched; a larger one is told by identity
_MOST_IN_ALL = 16 * MOST
_FEW = 24  # objects that are looked at one by one
_LONGEST_LABEL = 80  # of a path of attributes; beyond, a class's name begins another
_IMMUTABLE = (tuple, frozenset)
_SEPARATOR, _END = (object(),), (object(),)
_METHOD_WRAPPERS = (types.BuiltinMethodType, types.MethodWrapperType)
# Classes of the standard library that hold data of the user's.
_OPEN = (types.SimpleNamespace, argparse.Namespace, UserDict, UserList, ChainMap)
_NUMBERS = (int, float, complex, str, bytes)  # of a class of one's own, told by which it is
# Methods that no name in code calls; of the house's classes only the first, since those are told.
_CALLED = ("__call__", "__iter__", "__getitem__", "__len__")
_NOT_CALLED = {"__repr__", "__str__", "__format__", "__reduce__", "__getstate__", "__setstate__"}
Holder = tuple[Callable[[], Any], Callable[[Any], None]]  # to get what a place holds, and to set it


def item_of(mapping: Any, key: Any) -> Holder:
    """An entry as a place to look at and to fill."""
    return (
        functools.partial(operator.getitem, mapping, key),
        functools.partial(operator.setitem, mapping, key),
    )


def attribute_of(owner: Any, name: str) -> Holder:
    """An attribute as a place to look at and to fill."""
    put = setattr if isinstance(owner, type) else object.__setattr__  # no checks of the user's
    return functools.partial(getattr, owner, name), functools.partial(put, owner, name)


class Surroundings:
    """What is around some objects that are called, and how it was when this was made."""

    def __init__(self, roots: Sequence[Any]) -> None:
        self._roots = roots
        self.renew()

    def renew(self) -> None:
        """Look around once more, and note how everything is now."""
        self._walk = _Walk(self._roots)
        self.places = self._walk.places()
        self.stand_ins = self._walk.stand_ins  # of objects that go on by being used
        self.refusals = self._walk.refusals  # what these said
        self.generators = self._walk.generators  # with states that can be told
        vars(self).pop("key", None)
        self._watch()

    @property
    def objects(self) -> list[Any]:
        """All objects that were reached, in an order that depends on code and data alone."""
        return list(self._walk.seen.values())

    def _watch(self) -> None:
        """Note how everything is, in such a way that `hold` runs no code of Python's for most."""
        watched = [p for p in self.places if not isinstance(p, places.Definitions)]
        self.only_functions = not watched  # what is looked at, besides their code
        functions = self._walk.functions
        self.functions = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]
        quick = [p.quick for p in watched if p.quick is not None]
        others = [p for p in watched if p.quick is None]
        of_values = [p for p in others if _is_list_of_values(p)]
        listed = [p for p in others if p.live is not p and not _is_list_of_values(p)]
        others = [p for p in others if p.live is p]
        sized = [p for p in watched if isinstance(p, places.Entries) and p.size is not None]
        sized = [p for p in sized if p.then[-1]]
        self._of_values, self._values = [p.live for p in of_values], [p.then for p in of_values]
        self._readers, self._read = [q[0] for q in quick], [q[1] for q in quick]
        self._live = [p.live for p in listed]
        self._rest = [*[part for p in others for part in (p, _SEPARATOR)], _END]
        self._sized = [*[p.mapping for p in sized], *self._live]
        self._sizes = [*[p.size for p in sized], *[len(p.then) for p in listed]]
        then = [*[q[2] for q in quick], *[p.then for p in listed]]
        rest = [part for p in others for part in (p.then, _SEPARATOR)]
        self._then = [*itertools.chain(*then, *rest, _END)]

    def hold(self) -> bool:
        """Whether all is as it was, object by object: fast, and no where an equal number is."""
        for f, code, defaults, by_keyword in self.functions:
            if f.__code__ is not code or f.__defaults__ is not defaults:
                return False
            if f.__kwdefaults__ is not by_keyword:
                return False
        if self.only_functions:
            return True
        try:
            # Lists are equal without a look at their items only where these are the same.
            value.compared = _END
            if self._of_values != self._values or value.compared is not _END:
                return False
            if [*map(len, self._sized)] != self._sizes:
                return False
            quick = map(operator.call, self._readers, self._read)
            now = itertools.chain.from_iterable(itertools.chain(quick, self._live, self._rest))
            return all(map(operator.is_, now, self._then))
        except (KeyError, AttributeError, TypeError, ValueError, RuntimeError):
            return False  # something is gone

    @property
    def tests(self) -> list[tuple[str, Any, Any]] | None:
        """`hold` as texts, each of two objects, one of which is true where it would not; None
        where that is no faster."""
        tests = []
        for part in ("code", "defaults", "kwdefaults"):
            of = operator.attrgetter(f"__{part}__")
            tests += [(f"{{}}.__{part}__ is not {{}}", f[0], of(f[0])) for f in self.functions]
        for place in self.places:
            if not isinstance(place, places.Definitions):
                if place.tests is None:
                    return None
                tests += place.tests
        return tests if len(tests) <= _FEW else None

    def hold_exactly(self) -> bool:
        """Whether all is as it was, number by number; if so it holds fast from now on, too."""
        if any(place.changed() for place in self.places):
            return False
        for place in self.places:
            place.mark()
            place.then = place.now()
        self._watch()
        return True

    def ignore(self, place: places.Attributes, names: Sequence[str]) -> None:
        """Watch some attributes no more: they are written before they are read."""
        place.ignore(names)
        self._watch()

    @functools.cached_property
    def key(self) -> Any:
        """A key for the state: two have the same one if the function can't tell them apart."""
        return self._walk.key(self.places)


def _is_list_of_values(place: Place) -> bool:
    return type(place.live) is list and {*map(type, place.then)} == {Value}


class _Walk:
    """One walk: what was seen on it, in its order, which depends on code and data alone."""

    def __init__(self, roots: Sequence[Any]) -> None:
        self.seen: dict[int, Any] = {}  # it keeps them, so that their ids stay their own
        self.stand_ins: list[tuple[Holder, Any, Any]] = []
        self.refusals: list[str] = []
        self.generators: list[tuple[str, Any]] = []
        self._own = {_top(root) for root in roots}
        self._names: set[str] = set()
        self._any_name = False
        self._any_of: set[type] = set()  # classes whose code reads attributes by any name
        self._pending: deque[tuple[Any, str, Holder | None]] = deque()
        self._new: deque[tuple[Any, str]] = deque()  # whose attributes are to be looked at
        self._objects: list[tuple[Any, str]] = []
        self._classes: list[type] = []
        self._modules: list[types.ModuleType] = []
        self.functions: list[types.FunctionType] = []
        self._globals: dict[int, tuple[dict[str, Any], dict[str, None]]] = {}
        self._attributes: dict[int, dict[str, None]] = {}  # of objects, classes and modules
        self._found: list[Place] = []
        self._watched: set[int] = set()  # what is told by what it holds, and not by which it is
        self._numbers = 0
        for root in roots:
            self._visit(root, "the function")
        self._go()

    def _go(self) -> None:
        known: Any = None
        while True:
            while self._pending or self._new:
                if self._pending:
                    self._expand(*self._pending.popleft())
                else:
                    self._look(*self._new.popleft())
            now = len(self._names), self._any_name, len(self._any_of)
            if known == now:
                return
            known = now  # more names have turned up: look at all once more
            self._new.extend((owner, owner.__name__) for owner in self._named())
            self._new.extend(self._objects)

    def _named(self) -> list[Any]:
        return [*self._modules, *self._classes]

    def places(self) -> list[Place]:
        """All places, each object's attributes together."""
        found: list[Place] = [
            places.Entries("", mapping, names) for mapping, names in self._globals.values() if names
        ]
        for owner in self._named():
            names = self._attributes.get(id(owner), {})
            kind = owner if isinstance(owner, type) else None
            if (names or kind) and not (kind and self._is_told(kind)):
                found.append(places.Entries(owner.__name__, vars(owner), names, kind))
        for owner, label in self._objects:
            names = self._attributes.get(id(owner), {})
            own = _vars(owner)
            if own is not None:
                kept = [name for name in names if name in own]
                found.append(places.Attributes(label, owner, kept, self._wanted(owner)))
            if slots := [name for name in names if own is None or name not in own]:
                found.append(places.Slots(label, owner, slots))
        if self.functions:
            found.append(places.Definitions(self.functions))
        return found + self._found

    def key(self, all_places: Sequence[Place]) -> Any:
        """The state as one key: objects that hold others by their place in the walk."""
        number = {i: k for k, i in enumerate(self.seen)}
        watched = self._watched
        kinds = tuple(
            id(type(item)) if i in watched or isinstance(item, tuple) else i
            for i, item in self.seen.items()
        )

        def token(item: Any) -> Any:
            if (plain := bits(item)) is not None:
                return plain
            if isinstance(item, tuple):
                return type(item), tuple(map(token, item))
            return ("", number[id(item)]) if id(item) in watched else id(item)

        return kinds, tuple(place.key(token) for place in all_places)

    # --- the walk ---

    def _visit(self, item: Any, label: str, holder: Holder | None = None) -> None:
        if type(item) in PLAIN:
            return
        item = original_of(item)  # of a trace in another thread
        if holder is not None and (other := stand_in(item, label, self.refusals)) is not None:
            self.stand_ins.append((holder, item, other))
        if id(item) not in self.seen:
            self.seen[id(item)] = item
            self._pending.append((item, label, holder))

    def _expand(self, item: Any, label: str, holder: Holder | None) -> None:
        if has_state(item):
            self.generators.append((label, item))
        if type(item) is Value or is_stateful(item) or has_state(item):
            return
        if isinstance(item, types.FunctionType):
            self._expand_function(item)
        elif isinstance(item, types.MethodType):
            self._visit(item.__func__, label)
            self._visit(item.__self__, label)
        elif isinstance(item, _METHOD_WRAPPERS):
            if not isinstance(item.__self__, types.ModuleType):
                self._visit(item.__self__, label)
        elif isinstance(item, functools.partial):
            self._visit(item.func, label)
            self._visit(item.args, label)
            self._visit(item.keywords, label)
        elif isinstance(item, types.ModuleType):
            if not self._is_library(item.__name__):
                self._modules.append(item)
                self._new.append((item, item.__name__))
        elif isinstance(item, type):
            self._expand_class(item)
        elif isinstance(item, weakref.ref):
            self._visit(item(), label)
        elif isinstance(item, property):
            for function in (item.fget, item.fset):
                self._visit(function, label)
        elif isinstance(item, staticmethod | classmethod):
            self._visit(item.__func__, label)
        elif isinstance(item, functools.cached_property):
            self._visit(item.func, label)
        elif isinstance(item, ContextVar):
            self._found.append(places.Variable(label, item))
            self._visit(item.get(None), label)
        elif isinstance(item, operator.attrgetter | operator.methodcaller):
            self._any_name = True
        elif isinstance(item, types.MappingProxyType):
            self._found.append(places.Contents(label, item))
            for name, value in item.items():
                self._visit(value, f"{label}[{name!r}]")
        elif isinstance(item, np.ndarray):
            self._expand_array(item, label)
        elif isinstance(item, array.array | bytearray) or hasattr(type(item), "__array__"):
            self._expand_buffer(item, label)
        elif isinstance(item, CONTAINERS):
            self._expand_container(item, label)
        else:
            self._expand_object(item, label)

    def _expand_function(self, f: types.FunctionType) -> None:
        library = self._is_library(f.__module__)
        reads = reads_of(f.__code__)
        if not library or origin(f.__module__) == "house":
            self._names |= reads.attributes
        if not library:
            self.functions.append(f)
            self._any_name = self._any_name or reads.any_name
            names = self._globals.setdefault(id(f.__globals__), (f.__globals__, {}))[1]
            for name in sorted(reads.globals & f.__globals__.keys()):
                value = f.__globals__[name]
                if not isinstance(value, types.ModuleType):
                    names[name] = None
                self._visit(value, name, item_of(f.__globals__, name))
            for name in sorted(reads.imports & sys.modules.keys()):
                self._visit(sys.modules[name], name)
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            if not library and id(cell) not in self.seen:
                self.seen[id(cell)] = cell
                self._found.append(places.Cell(name, cell))
            self._visit(value, name, attribute_of(cell, "cell_contents"))
        if f.__defaults__:
            self._visit(f.__defaults__, f.__name__, attribute_of(f, "__defaults__"))
        if f.__kwdefaults__:
            self._visit(f.__kwdefaults__, f.__name__)
        if f.__dict__ and not library:
            self._objects.append((f, f.__name__))
            self._new.append((f, f.__name__))

    def _expand_class(self, kind: type) -> None:
        if type(kind) is not type:
            self._visit(type(kind), kind.__name__)
        for base in kind.__mro__[:-1]:
            where = origin(base.__module__)
            if base not in self._classes and (where == "house" or not self._is_told(base)):
                self.seen[id(base)] = base
                self._classes.append(base)
                self._new.append((base, base.__name__))

    def _expand_array(self, numbers: Any, label: str) -> None:
        if numbers.dtype != object:
            if numbers.size <= MOST and self._fits(numbers.size):
                self._watched.add(id(numbers))
                self._found.append(places.Array(label, numbers))
            return
        self._watched.add(id(numbers))
        self._found.append(places.Contents(label, numbers))
        for i, item in enumerate(numbers.flat):
            if type(item) is Value:
                self.seen[id(item)] = item
                continue
            self._visit(item, label, item_of(numbers.flat, i))

    def _expand_buffer(self, item: Any, label: str) -> None:
        """What NumPy can make an array of: a Series, a tensor, numbers of one type in a row."""
        try:
            found = places.Buffer(label, item)
        except Exception:  # it does not let itself be read, as a tensor under gradients
            return
        if found.size <= MOST and self._fits(found.size):
            self._watched.add(id(item))
            self._found.append(found)

    def _expand_container(self, container: Any, label: str) -> None:
        plain, numbers, parts = _measured(container)
        mutable = [part for part in parts if not isinstance(part, _IMMUTABLE)]
        if numbers > MOST:
            if not isinstance(container, dict) or len(container) > MOST:
                return  # told by identity
        elif plain:
            if mutable and self._fits(numbers):
                self._found.append(places.Numbers(label, container, mutable))
                self._watched.add(id(container))
            return
        if not isinstance(container, _IMMUTABLE):
            self._watched.add(id(container))
            self._found.append(places.Contents(label, container))
        settable = isinstance(container, list | dict)
        for key, item in _entries(container):
            if type(item) is Value:
                self.seen[id(item)] = item
                continue
            holder = item_of(container, key) if settable else None
            self._visit(item, f"{label}[{key!r}]" if isinstance(key, str) else label, holder)
        if _vars(container) is not None:  # of a class of its own
            self._expand_object(container, label)

    def _expand_object(self, item: Any, label: str) -> None:
        kind = type(item)
        where = origin(kind.__module__)
        if wrapped := (_vars(item) or {}).get("__wrapped__"):
            self._visit(wrapped, label)
        if where == "standard" and not isinstance(item, _OPEN):
            return
        if str(kind.__module__).partition(".")[0] == HOUSE[0]:  # the engine's: no user's data
            return
        self._visit(kind, kind.__name__)
        if label == "the function" or not 0 < len(label) <= _LONGEST_LABEL:
            label = kind.__name__
        if not isinstance(item, _NUMBERS):
            self._watched.add(id(item))
        self._objects.append((item, label))
        self._new.append((item, label))

    def _look(self, owner: Any, label: str) -> None:
        """Visit those of an object's attributes whose names have turned up."""
        mapping = vars(owner) if isinstance(owner, type) else _attributes_of(owner)
        looked = self._attributes.setdefault(id(owner), {})
        wanted = self._wanted(owner)
        few = mapping if wanted is None or len(mapping) < len(wanted) else sorted(wanted)
        for name in [n for n in few if n not in looked and n in mapping]:
            if wanted is not None and name not in wanted:
                continue
            looked[name] = None
            value = mapping[name]
            if isinstance(owner, type):
                function = getattr(value, "fget", getattr(value, "__func__", value))
                if (
                    isinstance(function, types.FunctionType)
                    and reads_of(function.__code__).any_name
                ):
                    self._any_of.add(owner)
                self._visit(value, f"{label}.{name}", attribute_of(owner, name))
            elif isinstance(value, types.ModuleType):
                self._visit(value, name)
            else:
                own = _vars(owner) or {}
                holder = item_of(own, name) if name in own else attribute_of(owner, name)
                self._visit(value, f"{label}.{name}", holder)

    def _wanted(self, owner: Any) -> set[str] | None:
        """The names of interest of an object, a class or a module; None for all."""
        if isinstance(owner, type):
            return self._of_class(owner)
        if not isinstance(owner, types.ModuleType) and self._reads_all(type(owner)):
            return None
        return self._names

    def _of_class(self, kind: type) -> set[str]:
        if origin(kind.__module__) == "house":
            return self._names.union(_CALLED)
        special = {n for n in vars(kind) if n.startswith("__") and callable(vars(kind)[n])}
        return self._names | (special - _NOT_CALLED)

    def _reads_all(self, kind: type) -> bool:
        """Whether an object's attributes are read by code that is not gone into, or by any name."""
        if self._any_name or origin(kind.__module__) in ("house", "installed"):
            return True
        return any(
            base in self._any_of
            or (base.__bases__ != (object,) and self._is_told(base) and base.__module__ != "typing")
            for base in kind.__mro__[:-1]
        )

    def _is_library(self, module: str | None) -> bool:
        return origin(module) != "own" and str(module).partition(".")[0] not in self._own

    def _is_told(self, kind: type) -> bool:
        """Whether a class's code is a library's."""
        return self._is_library(kind.__module__)

    def _fits(self, numbers: int) -> bool:
        self._numbers += numbers
        return self._numbers <= _MOST_IN_ALL


def _top(root: Any) -> str:
    """The package of the function itself, if it is no library's."""
    root = getattr(root, "__func__", root)
    module = getattr(root, "__module__", None) or type(root).__module__
    top = str(module).partition(".")[0]
    return top if origin(module) == "installed" else ""


def _attributes_of(owner: Any) -> Any:
    """An object's attributes by their names: of its dict and of its slots."""
    kind: Any = type(owner)
    own, slots = _vars(owner), _slots_of(kind)
    if own is not None and not slots:
        return own
    return {name: getattr(owner, name) for name in slots if hasattr(owner, name)} | (own or {})


def _vars(item: Any) -> dict[str, Any] | None:
    """An object's dict, if it has one, without asking its `__getattr__`."""
    own = inspect.getattr_static(item, "__dict__", None)
    if isinstance(own, types.GetSetDescriptorType | types.MemberDescriptorType):
        own = own.__get__(item)
    return own if isinstance(own, dict) else None


@functools.lru_cache(maxsize=1024)
def _slots_of(kind: Any) -> tuple[str, ...]:
    # of a function that would be `__globals__`, and so all there is
    of_all = [vars(base) for base in kind.__mro__ if base.__module__ != "builtins"]
    kinds = types.MemberDescriptorType
    return tuple(name for of in of_all for name, item in of.items() if isinstance(item, kinds))


def _measured(container: Any) -> tuple[bool, int, list[Any]]:
    """Whether there is nothing but numbers and texts in a container and those within it, how many,
    as far as `MOST`, and the containers."""
    pending, parts, numbers, plain = [container], [], 0, True
    ids = {id(container)}
    while pending:
        part = pending.pop()
        parts.append(part)
        plain = plain and type(part) in CONTAINERS and type(part) is not deque
        for key, item in _entries(part):
            plain = plain and (type(key) in PLAIN or _is_plain(key))
            if type(item) in PLAIN:
                numbers += 1
                if numbers > MOST:
                    return plain, numbers, parts
            elif type(item) in CONTAINERS:
                if id(item) not in ids:
                    ids.add(id(item))
                    pending.append(item)
                elif type(item) is not tuple:
                    plain = False  # perhaps a link to what it is part of
            else:
                plain = False
    return plain, numbers, parts


def _is_plain(key: Any) -> bool:
    """Whether a key is a tuple of numbers and texts."""
    return type(key) is tuple and all(type(x) in PLAIN or _is_plain(x) for x in key)


def _entries(container: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(container, dict):
        return iter(list(container.items()))
    return iter(list(enumerate(container)))
