"""Calls that can't work: what is wrong with a function, its arguments or argnums, in sentences.

The transforms take functions from the user and call them. What Python would say of a call that
does not fit names neither the transform nor what to write.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

from engine.value import Value


def check_transform(name: str, f: Any, argnums: Any = 0) -> None:
    """Raise TypeError for what is no function, and for what argnums can't be."""
    if isinstance(f, Value) or not callable(f):
        what = f"the Value {f!r}" if isinstance(f, Value) else f"a {type(f).__name__}: {f!r}"
        raise TypeError(f"engine.{name} takes a function, so f itself, not f(x); this is {what}")
    check_argnums(argnums)


def check_argnums(argnums: Any) -> None:
    """Raise TypeError for what is no position, and ValueError for one that is named twice."""
    positions = [argnums] if names_one(argnums) else argnums
    for i in positions:
        if (
            isinstance(i, bool | Value | type)
            or hasattr(i, "__len__")
            or not hasattr(i, "__index__")
        ):
            hint = ", and keywords have none: wrap f in a lambda" if isinstance(i, str) else ""
            raise TypeError(
                f"argnums is the position of an argument, or a tuple of positions, not {i!r}{hint}"
            )
    if len(set(positions)) < len(positions) or not len(positions):
        raise ValueError(f"argnums names one argument or more, each once, not {argnums!r}")


def names_one(argnums: Any) -> bool:
    """Whether `argnums` names an argument, and not a sequence of arguments."""
    return not isinstance(argnums, list | tuple | range)


def positions_in(argnums: Any, args: Sequence[Any]) -> list[int]:
    """The positions in a call's arguments that `argnums` names, counted from the start.

    Raises ValueError for one that the call does not have, and for one that is named twice.
    """
    positions = map(operator.index, [argnums] if names_one(argnums) else argnums)
    chosen = []
    for i in positions:
        if not -len(args) <= i < len(args):
            raise ValueError(
                f"argnums names argument {i}, but the call has {len(args)}, keywords not counted"
            )
        chosen.append(i % len(args))
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"argnums {argnums!r} names one argument of the {len(args)} twice")
    return chosen


def one_for_each(primals: Any, vectors: Any, name: str) -> tuple[tuple[Any, ...], Any]:
    """The primals as a tuple, and their vectors likewise.

    Raises TypeError where there are several primals and one vector.
    """
    if not isinstance(primals, list | tuple):
        return (primals,), (vectors,)
    if not isinstance(vectors, list | tuple):
        raise TypeError(
            f"{name} has an entry for each primal, as primals is a {type(primals).__name__} of "
            f"f's {len(primals)} arguments; write (v,) where there is one, not a "
            f"{type(vectors).__name__}"
        )
    return tuple(primals), vectors


def check_arguments(
    f: Callable[..., Any], args: Sequence[Any], keywords: dict[str, Any], error: TypeError
) -> None:
    """Raise TypeError where `error` came of a call that f's signature does not allow."""
    try:
        shape = inspect.signature(f)
    except (TypeError, ValueError):  # some functions written in C don't tell
        return
    try:
        shape.bind(*args, **keywords)
    except TypeError as mismatch:
        name = getattr(f, "__name__", type(f).__name__)
        given = "1 positional argument" if len(args) == 1 else f"{len(args)} positional arguments"
        text = f"{name}{shape} can't be called with {given}: {mismatch}"
        if len(args) != 1 and _takes_one(shape):
            text += "; where they are one list, write (x,), a tuple with an entry an argument"
        elif len(args) == 1 and isinstance(args[0], list) and not keywords:
            text += "; several arguments are given one by one, or as a tuple: (x, y)"
        raise TypeError(text) from error


def _takes_one(shape: inspect.Signature) -> bool:
    try:
        shape.bind(None)
    except TypeError:
        return False
    return True


def check_signature(function: Any, what: str, arguments: int) -> None:
    """Raise TypeError where a function can't be called with so many positional arguments."""
    if not callable(function):
        raise TypeError(f"{what} is a function, not {function!r}")
    try:
        shape = inspect.signature(function)
    except ValueError:  # some functions written in C don't tell
        return
    try:
        shape.bind(*range(arguments))
    except TypeError:
        raise TypeError(f"{what} must take {arguments} arguments, and takes {shape}") from None
