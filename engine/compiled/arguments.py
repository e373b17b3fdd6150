"""Arguments of a compiled function: numbers out of structures, and Values back into them.

In: a call's arguments and which of them are batched. Out: an `Arguments`, with the shared numbers
in one vector, the batched ones in a matrix of one row an example, a signature that says for which
calls the same traces hold, and a way to build the arguments that the function sees: for one
example, with Values in place of numbers, lists as lists and arrays as arrays of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.trees import (
    ENDLESS,
    instead_of,
    is_record,
    is_static,
    record_fields,
    record_maker,
    simplified,
    to_array,
)
from engine.value import Value, to_float

Array = np.ndarray[Any, np.dtype[Any]]
_Build = Callable[[Iterator[Any]], Any]


@dataclass(slots=True)
class Arguments:
    """The arguments of one call, taken apart.

    Inputs are numbered in the order of the arguments. `is_lane[i]` says whether input i is
    batched; `of_argument[k]` which inputs positional argument k has.
    """

    shared: list[float] = field(default_factory=list)
    lanes: list[Array] = field(default_factory=list)
    matrix: Array | None = None  # in place of `lanes`, where the caller has it at hand
    is_lane: list[bool] = field(default_factory=list)
    of_argument: list[range] = field(default_factory=list)
    count: int | None = None  # examples; None where nothing is batched
    first: int = 0  # the number of the first of them, in what they draw
    signature: tuple[Any, ...] = ()
    statics: list[Any] = field(default_factory=list)  # functions and such, told by what they read
    build: Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]] = lambda leaves: ([], {})

    def lane_matrix(self, dtype: Any) -> Array:
        """One row an example, one column a batched number."""
        if self.matrix is not None:
            return np.asarray(self.matrix, dtype)
        if self.count is None:
            return np.zeros((0, 0), dtype)
        return rows_of(self.lanes, dtype)

    def shared_vector(self, dtype: Any) -> Array:
        """The shared numbers."""
        return np.array(self.shared, dtype)

    def example(self, i: int) -> list[float]:
        """The numbers of all inputs for one example, in their order."""
        columns = iter(self.lane_matrix(np.float64)[i].tolist() if any(self.is_lane) else [])
        shared = iter(self.shared)
        return [next(columns) if lane else next(shared) for lane in self.is_lane]


def rows_of(blocks: Sequence[Array], dtype: Any) -> Array:
    """One row an example, of arrays that have examples along their first axis."""
    parts = [block if block.ndim == 2 else block.reshape(len(block), -1) for block in blocks]
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1, dtype=dtype)
    return np.ascontiguousarray(rows, dtype)


def take_apart(args: Sequence[Any], keywords: Mapping[str, Any], in_axes: Any) -> Arguments:
    """Return the arguments of a call, taken apart.

    `in_axes` is None (shared), 0 (batched along the first axis), or a tuple with one of these, or
    a tree of these, for each positional argument; keywords are shared. Raises TypeError for
    Values and for what holds no numbers, ValueError where batched arguments differ in length.
    """
    if isinstance(in_axes, tuple):
        if len(in_axes) != len(args):
            raise ValueError(
                f"in_axes names {len(in_axes)} arguments, and the call has {len(args)}"
            )
        axes = list(in_axes)
    else:
        axes = [in_axes] * len(args)
    into = Arguments()
    builds: list[_Build] = []
    keys: list[Any] = []
    for k, (arg, axis) in enumerate(zip(args, axes, strict=True)):
        before = len(into.is_lane)
        build, key = _taken(arg, axis, into, f"argument {k}")
        builds.append(build)
        keys.append(key)
        into.of_argument.append(range(before, len(into.is_lane)))
    named: dict[str, _Build] = {}
    for name, arg in keywords.items():
        named[name], key = _taken(arg, None, into, f"argument {name!r}")
        keys.append((name, key))

    def build_all(leaves: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        rest = iter(leaves)
        return [build(rest) for build in builds], {name: b(rest) for name, b in named.items()}

    into.signature = tuple(keys)
    into.build = build_all
    return into


def _taken(arg: Any, axis: Any, into: Arguments, where: str) -> tuple[_Build, Any]:
    """As `_take`. Raises ValueError where it would not end."""
    try:
        return _take(arg, axis, into, where)
    except RecursionError:
        raise ValueError(f"{where}: {ENDLESS}") from None


def _take(arg: Any, axis: Any, into: Arguments, where: str) -> tuple[_Build, Any]:
    """Add the numbers of an argument; return how to build it again, and its signature."""
    if isinstance(arg, Value):
        raise TypeError(
            f"{where} is a Value; a compiled function takes plain numbers, so give v.data, or let "
            "the function use the Value itself: leaves that it reaches are read at every call"
        )
    if isinstance(axis, tuple | list | dict):
        return _take_by_prefix(arg, axis, into, where)
    if is_record(arg):
        return _take_record(arg, axis, into, where)
    arg = simplified(arg)
    if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int) or axis):
        raise ValueError(f"in_axes says None or 0 for each argument, not {axis!r} for {where}")
    if isinstance(arg, dict):
        parts = {key: _take(x, axis, into, f"{where}[{key!r}]") for key, x in arg.items()}
        keys = tuple((key, signature) for key, (_, signature) in parts.items())
        return lambda rest: {key: part[0](rest) for key, part in parts.items()}, ("dict", keys)
    if isinstance(arg, tuple) or (isinstance(arg, list) and axis is None):
        return _take_sequence(arg, [axis] * len(arg), into, where)
    if axis == 0:
        return _take_batch(arg, into, where)
    if isinstance(arg, np.ndarray):
        numbers = _numeric(arg, where)
        shape = arg.shape
        into.shared += numbers.ravel().tolist()
        into.is_lane += [False] * numbers.size
        return _array_builder(shape), ("array", shape)
    if arg is None or isinstance(arg, str | bool):
        return lambda rest: arg, ("static", type(arg), arg)
    if callable(arg):
        into.statics.append(arg)
        return lambda rest: arg, ("static", type(arg))
    try:
        into.shared.append(to_float(arg))
    except TypeError:
        raise TypeError(
            f"{where} is a {type(arg).__name__}: {arg!r}; a compiled function takes numbers, "
            "nested lists, tuples, dicts, dataclasses and arrays of them, and str, bool, None and "
            "functions"
            f"{instead_of(arg)}"
        ) from None
    into.is_lane.append(False)
    return next, "number"


def _take_record(arg: Any, axis: Any, into: Arguments, where: str) -> tuple[_Build, Any]:
    parts = {}
    for name in record_fields(arg):
        item = getattr(arg, name)
        parts[name] = _take(item, None if is_static(item) else axis, into, f"{where}.{name}")
    again = record_maker(arg)
    keys = tuple((name, signature) for name, (_, signature) in parts.items())
    return (
        lambda rest: again({name: build(rest) for name, (build, _) in parts.items()}),
        (type(arg), keys),
    )


def _take_sequence(
    arg: Any, axes: Sequence[Any], into: Arguments, where: str
) -> tuple[_Build, Any]:
    parts = [
        _take(x, axis, into, f"{where}[{i}]")
        for i, (x, axis) in enumerate(zip(arg, axes, strict=True))
    ]
    kind = type(arg)
    keys = (kind, tuple(key for _, key in parts))
    if hasattr(kind, "_make"):  # a named tuple
        return lambda rest: kind._make(build(rest) for build, _ in parts), keys
    sequence = list if isinstance(arg, list) else tuple
    return lambda rest: sequence(build(rest) for build, _ in parts), keys


def _take_by_prefix(arg: Any, axis: Any, into: Arguments, where: str) -> tuple[_Build, Any]:
    if isinstance(axis, dict):
        if not isinstance(arg, dict) or arg.keys() != axis.keys():
            raise ValueError(f"in_axes has the keys {list(axis)} for {where}, which has others")
        parts = {key: _take(x, axis[key], into, f"{where}[{key!r}]") for key, x in arg.items()}
        keys = tuple((key, signature) for key, (_, signature) in parts.items())
        return lambda rest: {key: part[0](rest) for key, part in parts.items()}, ("dict", keys)
    if not isinstance(arg, list | tuple) or len(arg) != len(axis):
        raise ValueError(f"in_axes has {len(axis)} entries for {where}, which has not")
    return _take_sequence(arg, axis, into, where)


def _take_batch(arg: Any, into: Arguments, where: str) -> tuple[_Build, Any]:
    numbers = _numeric(arg, where)
    if numbers.ndim == 0:
        raise ValueError(f"{where} is batched (in_axes), but is one number: {arg!r}")
    if into.count is None:
        into.count = len(numbers)
    if into.count != len(numbers):
        raise ValueError(
            f"{where} has {len(numbers)} examples, and another batched argument {into.count}"
        )
    if len(numbers) == 0:
        raise ValueError(f"{where} is batched and has no examples")
    shape = numbers.shape[1:]
    into.lanes.append(numbers)
    into.is_lane += [True] * int(np.prod(shape, dtype=int))
    if isinstance(arg, np.ndarray) and shape:
        return _array_builder(shape), ("batch array", shape)
    return _list_builder(shape), ("batch", shape)


def _numeric(arg: Any, where: str) -> Array:
    """The argument as an array of numbers, one by one checked where they are Python objects."""
    try:
        numbers = np.asarray(arg)
    except ValueError as error:
        raise ValueError(f"{where}: are its rows of different lengths? {error}") from None
    if numbers.dtype.kind == "b":
        return numbers.astype(np.float64)
    if numbers.dtype.kind in "iuf":
        return numbers
    items = np.asarray(arg, dtype=object)
    if any(isinstance(x, Value) for x in items.ravel()):
        raise TypeError(f"{where} holds Values; a compiled function takes plain numbers, v.data")
    try:
        return np.array([to_float(x) for x in items.ravel()], np.float64).reshape(items.shape)
    except TypeError as error:
        raise TypeError(f"{where} holds something that is no number: {error}") from None


def _array_builder(shape: tuple[int, ...]) -> _Build:
    size = int(np.prod(shape, dtype=int))
    return lambda rest: to_array([next(rest) for _ in range(size)], shape)


def _list_builder(shape: tuple[int, ...]) -> _Build:
    if not shape:
        return next
    inner = _list_builder(shape[1:])
    return lambda rest: [inner(rest) for _ in range(shape[0])]
