"""Nested arguments: take numbers out of lists, tuples, dicts and arrays, and put others back.

The derivative functions accept and return such structures; this is the one place that knows
their kinds. NumPy arrays come back as arrays: of floats, or of objects where they hold Values.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from engine.conditions import as_number
from engine.value import Value

Rebuild = Callable[[Iterator[Any]], Any]


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Return the leaves of `tree`, and a function that puts other leaves in their places.

    Raises TypeError for a leaf that is no number and no Value.

    >>> leaves, rebuild = flatten({"w": [1.0, 2.0], "b": 3.0})
    >>> leaves, rebuild([x * 10 for x in leaves])
    ([1.0, 2.0, 3.0], {'w': [10.0, 20.0], 'b': 30.0})
    """
    parts, rebuild_parts = flatten_parts(tree)
    leaves: list[Any] = []
    for part in parts:
        if isinstance(part, np.ndarray):
            for item in part.ravel().tolist():
                _check_leaf(item)
                leaves.append(item)
        else:
            leaves.append(part)
    # Of the parts only the shapes are kept: leaves may hold large graphs.
    shapes = [part.shape if isinstance(part, np.ndarray) else None for part in parts]
    if not any(isinstance(part, np.ndarray) for part in parts):
        return leaves, rebuild_parts

    def rebuild(others: list[Any]) -> Any:
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


def flatten_parts(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The same with an array as one part, not number by number."""
    parts: list[Any] = []
    rebuild = _flatten(tree, parts)
    return parts, lambda others: rebuild(iter(others))


def _flatten(tree: Any, parts: list[Any]) -> Rebuild:
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
    if not isinstance(tree, Value | float | np.ndarray):
        tree = as_known(tree)
        if isinstance(tree, list):
            return _flatten(tree, parts)
    if not isinstance(tree, np.ndarray):
        _check_leaf(tree)
    parts.append(tree)
    return next


def as_known(tree: Any) -> Any:
    """What stands for a list or an array as that: a range, a Series or a DataFrame of pandas, a
    tensor; and a comparison under trace as the number that it counts as."""
    if isinstance(tree, range):
        return list(tree)
    if hasattr(tree, "__array__") and not isinstance(tree, np.generic | np.ndarray):
        return np.asarray(tree)
    return as_number(tree)


def instead_of(leaf: Any) -> str:
    """What to write in place of something that holds numbers in a way that is not known here."""
    if isinstance(leaf, Decimal):
        return "; write float(x)"
    if dataclasses.is_dataclass(leaf):
        return "; write dataclasses.asdict(x), and take the fields by their names"
    if isinstance(leaf, set | frozenset):
        return "; write sorted(x), since a set has no order"
    return ""


def _check_leaf(leaf: Any) -> None:
    if not isinstance(leaf, Value | Real | np.number):
        raise TypeError(
            "here numbers and Values are needed, and lists, tuples, dicts and arrays of them, "
            f"not a {type(leaf).__name__}: {leaf!r}{instead_of(leaf)}"
        )


def flatten_like(tree: Any, like: Any, name: str) -> list[Any]:
    """Return the leaves of `tree` in the order of those of `like`, which it must match.

    Raises ValueError where keys, lengths or shapes differ, naming `name` and the place.

    >>> flatten_like({"b": 2.0, "a": 1.0}, {"a": 0.0, "b": 0.0}, "tangents")
    [1.0, 2.0]
    """
    tree, like = as_known(tree), as_known(like)
    if isinstance(like, dict):
        if not isinstance(tree, dict) or tree.keys() != like.keys():
            keys = list(tree) if isinstance(tree, dict) else type(tree).__name__
            raise ValueError(f"{name} must have the keys {list(like)}, not {keys}")
        return [x for key in like for x in flatten_like(tree[key], like[key], f"{name}[{key!r}]")]
    if isinstance(like, np.ndarray):
        array = np.asarray(tree)
        if array.shape != like.shape:
            raise ValueError(f"{name} must have the shape {like.shape}, not {array.shape}")
        return flatten(array)[0]
    if isinstance(like, list | tuple):
        if not isinstance(tree, list | tuple | np.ndarray) or len(tree) != len(like):
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
    if isinstance(tree, dict):
        return any(map(holds_value, tree.values()))
    if isinstance(tree, list | tuple):
        return any(map(holds_value, tree))
    if isinstance(tree, np.ndarray):
        return tree.dtype == object and any(map(holds_value, tree.ravel().tolist()))
    return isinstance(tree, Value)


def to_array(items: list[Any], shape: tuple[int, ...]) -> Any:
    """Return the items as an array: of floats, or of objects if they are anything else."""
    if all(isinstance(item, int | float | np.number) for item in items):
        return np.array(items, dtype=np.float64).reshape(shape)
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)
