"""Stateful objects: random generators, iterators and the like, which go on by being used.

A replay would not use them again. While a function is traced, a stand-in takes the place of each
that it reaches, and refuses to be used: so nothing is drawn, and the line is known.
"""

from __future__ import annotations

import functools
import io
import random
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine import modes
from engine.errors import TraceError, user_line

_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_METHODS = (types.BuiltinMethodType, types.MethodWrapperType, types.MethodType)


def is_stateful(item: Any) -> bool:
    """Whether an object goes on by being used."""
    kind = type(item)
    if isinstance(item, _GENERATORS):
        return True
    if isinstance(item, io.IOBase):  # to write there changes nothing that is computed
        return False
    return hasattr(kind, "__next__") and hasattr(kind, "__iter__")


def has_state(item: Any) -> bool:
    """Whether an object tells its state and takes it back, as PyTorch's generators do. Of these
    there are no stand-ins, since code in other languages may take one for the original."""
    return hasattr(type(item), "get_state") and hasattr(type(item), "set_state")


def stand_in(item: Any, label: str, refusals: list[str]) -> Any:
    """What takes a stateful object's place, or that of a method or a tuple of some; else None.
    What it refuses is added to `refusals`."""
    if is_stateful(item) or (isinstance(item, _METHODS) and is_stateful(item.__self__)):
        return StandIn(item, label, refusals)
    if isinstance(item, functools.partial):
        parts = [stand_in(part, label, refusals) for part in (item.func, *item.args)]
        if any(part is not None for part in parts):
            func, *args = _filled(parts, (item.func, *item.args))
            return functools.partial(func, *args, **item.keywords)
    elif isinstance(item, tuple) and len(item) <= 64:
        parts = [stand_in(part, label, refusals) for part in item]
        if any(part is not None for part in parts):
            filled = _filled(parts, item)
            return type(item)._make(filled) if hasattr(item, "_make") else tuple(filled)
    return None


def _filled(parts: list[Any], originals: tuple[Any, ...]) -> list[Any]:
    return [old if new is None else new for new, old in zip(parts, originals, strict=True)]


def original_of(item: Any) -> Any:
    """What a stand-in stands for; anything else as it is."""
    return object.__getattribute__(item, "_original") if type(item) is StandIn else item


class StandIn:
    """Refuses to be used by the thread that traces; for any other it is the original."""

    __slots__ = ("_label", "_original", "_refusals")

    def __init__(self, original: Any, label: str, refusals: list[str]) -> None:
        self._original, self._label, self._refusals = original, label, refusals

    def __getattribute__(self, name: str) -> Any:
        original = object.__getattribute__(self, "_original")
        if name == "__class__":
            return type(original)
        if modes.tracing and modes.state.trace is not None:
            refusal = _refusal(original, object.__getattribute__(self, "_label"))
            object.__getattribute__(self, "_refusals").append(refusal)
            raise TraceError(refusal)
        return getattr(original, name)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.__call__(*args, **keywords)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__iter__())

    def __next__(self) -> Any:
        return self.__next__()


def _refusal(original: Any, label: str) -> str:
    item = original.__self__ if isinstance(original, _METHODS) else original
    kind = type(item).__name__
    if isinstance(item, _GENERATORS) or not hasattr(type(item), "__next__"):
        return (
            f"the compiled function draws from {label}, a {kind}, {user_line()}, and a replay "
            "would repeat the same numbers; use engine.random(), which is drawn anew, or draw "
            "before and give the numbers as arguments"
        )
    return (
        f"the compiled function goes on with {label}, a {kind}, {user_line()}, and a replay would "
        "not; take what is next before, and give it as an argument"
    )
