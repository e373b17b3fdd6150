"""Nested arguments: take numbers out of lists, tuples, dicts and arrays, and put others back.

The derivative functions accept and return such structures; this is the one place that knows
their kinds. NumPy arrays come back as arrays: of floats, or of objects where they hold Values; an
array of no dimension is one number. Dataclasses and named tuples come back as what they are,
other sequences (ranges, deques) as lists, mappings as dicts, and whatever else NumPy takes for an
array (the columns of a data frame) as arrays.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

from engine.conditions import as_number
from engine.deferred import numpy_class
from engine.value import Value

Rebuild = Callable[[Iterator[Any]], Any]


ENDLESS = "what holds itself, or is nested hundreds of times, is no structure of numbers"


def flatten(tree: Any) -> tuple[list[Any], Callable[[Iterable[Any]], Any]]:
    """Return the leaves of `tree`, and a function that puts other leaves in their places.

    Raises TypeError for a leaf that is no number and no Value.

    >>> leaves, rebuild = flatten({"w": [1.0, 2.0], "b": 3.0})
    >>> leaves, rebuild([x * 10 for x in leaves])
    ([1.0, 2.0, 3.0], {'w': [10.0, 20.0], 'b': 30.0})
    """
    parts, rebuild_parts = flatten_parts(tree)
    ndarray = numpy_class("ndarray")
    if not any(isinstance(part, ndarray) for part in parts):
        return parts, rebuild_parts
    leaves: list[Any] = []
    for part in parts:
        items = part.ravel().tolist() if isinstance(part, ndarray) else [part]
        for item in items:
            _check_leaf(item)
        leaves += items
    # Of the parts only the shapes are kept: leaves may hold large graphs.
    shapes = [part.shape if isinstance(part, ndarray) else None for part in parts]

    def rebuild(others: Iterable[Any]) -> Any:
        rest = iter(others)
        return rebuild_parts(
            [
                next(rest)
                if shape is None
                else to_array([next(rest) for _ in range(math.prod(shape))], shape)
                for shape in shapes
            ]
        )

    return leaves, rebuild


def flatten_argument(
    arg: Any,
) -> tuple[list[Any], Callable[[list[Any]], Any]] | None:
    """`flatten`, or None for what is handed on as it is: a bool, a range, what has no numbers."""
    if isinstance(arg, bool | range):
        return None
    try:
        return flatten(arg)
    except TypeError:
        return None


def flatten_parts(tree: Any) -> tuple[list[Any], Callable[[Iterable[Any]], Any]]:
    """The same with an array as one part, not number by number."""
    parts: list[Any] = []
    try:
        rebuild = _flatten(tree, parts)
    except RecursionError:
        raise ValueError(ENDLESS) from None
    return parts, lambda others: rebuild(iter(others))


def _flatten(tree: Any, parts: list[Any]) -> Rebuild:
    if isinstance(tree, _LEAF):
        parts.append(tree)
        return next
    if isinstance(tree, dict):
        entries = {key: _flatten(item, parts) for key, item in tree.items()}
        return lambda others: {key: entry(others) for key, entry in entries.items()}
    if isinstance(tree, list | tuple):
        items = [_flatten(item, parts) for item in tree]
        kind = type(tree)
        if hasattr(kind, "_make"):  # a named tuple
            return lambda others: kind._make(item(others) for item in items)
        sequence = list if isinstance(tree, list) else tuple
        if all(item is next for item in items):  # as lists of parameters are
            return lambda others: sequence(itertools.islice(others, len(items)))
        return lambda others: sequence(item(others) for item in items)
    simple = simplified(tree)
    if is_record(tree):
        again = record_maker(tree)
        fields = _flatten(simple, parts)
        return lambda others: again(fields(others))
    if simple is not tree:
        return _flatten(simple, parts)
    if not is_array(tree):
        _check_leaf(tree)
    parts.append(tree)
    return next


_LEAF = (Value, float, int, Real)  # NumPy's numbers and fractions are Real


def _check_leaf(leaf: Any) -> None:
    if not isinstance(leaf, _LEAF):
        raise TypeError(
            "here numbers and Values are needed, and lists, tuples, dicts, dataclasses and arrays "
            f"of them, not a {type(leaf).__name__}: {leaf!r}{instead_of(leaf)}"
        )


def instead_of(leaf: Any) -> str:
    """What to write in place of something that holds numbers in a way that is not known here."""
    if isinstance(leaf, Decimal):
        return "; write float(x)"
    if isinstance(leaf, complex):
        return "; give the real and the imaginary part as two numbers"
    if _is_module(leaf):
        return "; for a module's parameters write loss.backward(), or engine.gradients(loss, ...)"
    if isinstance(leaf, set | frozenset):
        return "; write sorted(x), since a set has no order"
    return "; write list(x)" if hasattr(leaf, "__next__") else ""


def simplified(tree: Any) -> Any:
    """The number, list, dict or array that an unusual container stands for; else what it is.

    A comparison under trace is the number that it counts as.

    >>> simplified(range(3))
    [0, 1, 2]
    """
    if is_array(tree):
        return tree if tree.ndim else tree.item()
    if isinstance(tree, str | bytes | list | tuple | dict) or _is_module(tree):
        return tree
    if isinstance(tree, numpy_class("generic")):
        return tree
    if is_record(tree):
        found = ((name, getattr(tree, name)) for name in record_fields(tree))
        return {name: item for name, item in found if not is_static(item)}
    if isinstance(tree, Mapping):
        return dict(tree)
    if isinstance(tree, Sequence):
        return list(tree)
    arrays = hasattr(tree, "__array__") and not isinstance(tree, type)  # not the class of some
    return _as_array(tree) if arrays else as_number(tree)


def is_record(tree: Any) -> bool:
    """Whether this is an instance of a dataclass, but no module, whose parameters are its own."""
    return dataclasses.is_dataclass(tree) and not isinstance(tree, type) and not _is_module(tree)


def _is_module(tree: Any) -> bool:
    return hasattr(tree, "named_parameters")


def is_static(item: Any) -> bool:
    """What a dataclass may hold beside its numbers."""
    plain = item is None or isinstance(item, str | bool)
    return plain or (callable(item) and not hasattr(item, "__array__"))


def record_fields(record: Any) -> list[str]:
    """The names of a dataclass's fields."""
    return [field.name for field in dataclasses.fields(record)]


def vars_by_field(record: Any) -> dict[str, Any]:
    """What a dataclass's fields hold, by their names."""
    return {name: getattr(record, name) for name in record_fields(record)}


def record_maker(record: Any) -> Callable[[dict[str, Any]], Any]:
    """How to make a dataclass like this one, with other things in some of its fields."""
    kind, numbers = type(record), simplified(record)
    kept = getattr(record, "__dict__", {}) | vars_by_field(record)  # beside slots, and in them
    kept = {name: x for name, x in kept.items() if name not in numbers}

    def again(others: dict[str, Any]) -> Any:
        made = object.__new__(kind)
        for name, item in (kept | others).items():
            object.__setattr__(made, name, item)  # it may be frozen
        return made

    return again


def flatten_like(tree: Any, like: Any, name: str) -> list[Any]:
    """Return the leaves of `tree` in the order of those of `like`, which it must match.

    Raises ValueError where keys, lengths or shapes differ, naming `name` and the place.

    >>> flatten_like({"b": 2.0, "a": 1.0}, {"a": 0.0, "b": 0.0}, "tangents")
    [1.0, 2.0]
    """
    if isinstance(tree, Value | float) and isinstance(like, Value | float):  # as most are
        return [tree]
    like, tree = simplified(like), simplified(tree)
    if isinstance(like, dict):
        if not isinstance(tree, dict) or tree.keys() != like.keys():
            keys = list(tree) if isinstance(tree, dict) else type(tree).__name__
            raise ValueError(f"{name} must have the keys {list(like)}, not {keys}")
        return [x for key in like for x in flatten_like(tree[key], like[key], f"{name}[{key!r}]")]
    if is_array(like):
        try:
            array = _as_array(tree)
        except ValueError:  # of lists of several lengths
            raise ValueError(f"{name} must have the shape {like.shape}, and is no array") from None
        if array.shape != like.shape:
            raise ValueError(f"{name} must have the shape {like.shape}, not {array.shape}")
        return flatten(array)[0]
    if isinstance(like, list | tuple):
        if not (isinstance(tree, list | tuple) or is_array(tree)) or len(tree) != len(like):
            length = len(tree) if hasattr(tree, "__len__") else "one number"
            raise ValueError(f"{name} must have {len(like)} entries, not {length}")
        pairs = enumerate(zip(tree, like, strict=True))
        return [x for i, (t, u) in pairs for x in flatten_like(t, u, f"{name}[{i}]")]
    leaves = flatten(tree)[0]
    if isinstance(tree, list | tuple | dict) or len(leaves) != 1:
        raise ValueError(f"{name} must be one number, not {len(leaves)}")
    return leaves


def holds_value(tree: Any) -> bool:
    """Whether there is a Value anywhere in a nested structure."""
    if isinstance(tree, _LEAF):
        return isinstance(tree, Value)
    simple = simplified(tree)
    if isinstance(simple, dict):
        return any(map(holds_value, simple.values()))
    if isinstance(simple, list | tuple):
        return any(map(holds_value, simple))
    if is_array(simple):
        return simple.dtype == object and any(map(holds_value, simple.ravel().tolist()))
    return isinstance(simple, Value)


def is_array(tree: Any) -> bool:
    """Whether this is an array of NumPy."""
    return isinstance(tree, numpy_class("ndarray"))


def _as_array(tree: Any) -> Any:
    import numpy as np

    return np.asarray(tree)


def to_array(items: list[Any], shape: tuple[int, ...]) -> Any:
    """Return the items as an array: of floats, or of objects if they are anything else."""
    import numpy as np

    if all(isinstance(item, int | float | np.number) for item in items):
        return np.array(items, dtype=np.float64).reshape(shape)
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)
