"""Nested arguments: take numbers out of lists, tuples, dicts and arrays, and put others back.

The derivative functions accept and return such structures; this is the one place that knows
their kinds. NumPy arrays come back as arrays: of floats, or of objects where they hold Values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine.value import Value

Rebuild = Callable[[Iterator[Any]], Any]


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Return the leaves of `tree`, and a function that puts other leaves in their places.

    Raises TypeError for a leaf that is no number and no Value.

    >>> leaves, rebuild = flatten({"w": [1.0, 2.0], "b": 3.0})
    >>> leaves, rebuild([x * 10 for x in leaves])
    ([1.0, 2.0, 3.0], {'w': [10.0, 20.0], 'b': 30.0})
    """
    leaves: list[Any] = []
    rebuild = _flatten(tree, leaves)
    return leaves, lambda others: rebuild(iter(others))


def _flatten(tree: Any, leaves: list[Any]) -> Rebuild:
    if isinstance(tree, Value | int | float | np.number):
        leaves.append(tree)
        return next
    if isinstance(tree, dict):
        parts = {key: _flatten(item, leaves) for key, item in tree.items()}
        return lambda others: {key: part(others) for key, part in parts.items()}
    if isinstance(tree, list):
        items = [_flatten(item, leaves) for item in tree]
        return lambda others: [part(others) for part in items]
    if isinstance(tree, tuple):
        items = [_flatten(item, leaves) for item in tree]
        named = type(tree) if hasattr(tree, "_fields") else None  # a named tuple
        if named is not None:
            return lambda others: named(*[part(others) for part in items])
        return lambda others: tuple(part(others) for part in items)
    if isinstance(tree, np.ndarray):
        entries = [_flatten(item, leaves) for item in tree.ravel().tolist()]
        return lambda others: to_array([part(others) for part in entries], tree.shape)
    raise TypeError(
        f"derivatives are taken by numbers, Values, and lists, tuples, dicts and arrays of them, "
        f"not by a {type(tree).__name__}: {tree!r}"
    )


def to_array(items: list[Any], shape: tuple[int, ...]) -> Any:
    """Return the items as an array: of floats, of objects if there is a Value among them."""
    if any(isinstance(item, Value) for item in items):
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(shape)
    return np.array(items, dtype=np.float64).reshape(shape)
