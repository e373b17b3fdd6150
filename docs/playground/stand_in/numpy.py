"""What models, losses and optimisers ask of NumPy, for a browser, which has none.

An array is a list that its slices share; the entries of one of two dimensions are its rows. The
numbers are Python's, and so are the results those of NumPy's float64, inf and nan included. What is
not here is told by name.
"""

from __future__ import annotations

import builtins
import contextlib
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

float64, integer, number, intp, inf, nan, pi = float, int, float, int, math.inf, math.nan, math.pi


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"numpy.{name} is not in this page, which has no NumPy: write it in scalars and lists, "
        "or run this in Python of your own"
    )


class dtype:  # noqa: N801
    """Stands in annotations, and where a kind of number is named."""

    def __init__(self, *names: Any) -> None:
        pass

    def __class_getitem__(cls, item: Any) -> Any:
        return cls


class ndarray(dtype):  # noqa: N801
    """Numbers, or rows of numbers: those of a list at some places."""

    def __init__(self, items: list[Any], places: range | None = None) -> None:
        self._items = items
        self._places = range(len(items)) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        return (self._items[k] for k in self._places)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return ndarray(self._items, self._places[key])
        return self._items[self._places[key]]

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, tuple):  # some rows, and a column
            rows = self[key[0]]
            for row, x in zip(rows, _spread(value, len(rows)), strict=True):
                row[key[1]] = x
            return
        if not isinstance(key, slice):
            self._set(self._places[key], value)
            return
        places = self._places[key]
        for k, x in zip(places, list(_spread(value, len(places))), strict=True):
            self._set(k, x)

    def _set(self, place: int, x: Any) -> None:
        """Set a number, or those of a row."""
        if isinstance(self._items[place], ndarray):
            self._items[place][:] = x
        else:
            self._items[place] = x

    @property
    def shape(self) -> tuple[int, ...]:
        """The length, and that of the rows."""
        return (len(self), *(self[0].shape if len(self) and isinstance(self[0], ndarray) else ()))

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)

    def tolist(self) -> list[Any]:
        """The numbers, as lists."""
        return [x.tolist() if isinstance(x, ndarray) else x for x in self]

    def copy(self) -> ndarray:
        """The same numbers in a list of its own."""
        return array(self.tolist())

    def __repr__(self) -> str:
        return f"array({self.tolist()})"

    def __neg__(self) -> ndarray:
        return ndarray([-x for x in self])


def _spread(x: Any, count: int) -> Iterable[Any]:
    return x if isinstance(x, ndarray | list) else [x] * count


def _by_entries(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers as one of arrays: numbers among these stand for all entries."""

    def of_arrays(*operands: Any) -> Any:
        arrays = [x for x in operands if isinstance(x, ndarray)]
        if not arrays:
            return function(*operands)
        columns = [_spread(x, len(arrays[0])) for x in operands]
        return ndarray([of_arrays(*entries) for entries in zip(*columns, strict=True)])

    return of_arrays


def _divided(x: Any, y: Any) -> Any:
    if y != 0.0:
        return x / y
    return math.nan if x == 0.0 or x != x else math.copysign(math.inf, x) * math.copysign(1.0, y)


def _root(x: float) -> float:
    return math.nan if x < 0.0 else math.sqrt(x)


def _arithmetic(name: str, function: Callable[[Any, Any], Any]) -> None:
    entries = _by_entries(function)
    setattr(ndarray, f"__{name}__", lambda self, other: entries(self, other))
    setattr(ndarray, f"__r{name}__", lambda self, other: entries(other, self))


for _name in ("add", "sub", "mul"):
    _arithmetic(_name, getattr(operator, _name))
_arithmetic("truediv", _divided)
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _by_entries(getattr(operator, _name)))

sqrt = _by_entries(_root)
abs = _by_entries(builtins.abs)
maximum = _by_entries(lambda x, y: x if x != x or x > y else y)
where = _by_entries(lambda condition, x, y: x if condition else y)


def array(x: Any, dtype: Any = None) -> Any:
    """An array of numbers, or of lists of them; a number stays one."""
    if not isinstance(x, ndarray | list | tuple):
        return x
    return ndarray([array(entry) for entry in x])


asarray = array


def zeros(shape: Any) -> ndarray:
    """An array of zeros, of one length or two."""
    if isinstance(shape, int):
        return ndarray([0.0] * shape)
    return ndarray([zeros(shape[1]) for _ in range(shape[0])])


empty = zeros


def broadcast_to(x: Any, shape: tuple[int, ...]) -> ndarray:
    """A number as often as a shape of one length says."""
    return array(list(_spread(x, shape[0])))


class errstate(contextlib.ContextDecorator):  # noqa: N801
    """Nothing warns here."""

    def __init__(self, **settings: str) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class linalg:  # noqa: N801
    """Of linear algebra, the norm of a vector."""

    @staticmethod
    def norm(x: Any, order: float = 2.0) -> float:
        """The Euclidean norm, that of the largest entry, or another."""
        sizes = [builtins.abs(entry) for entry in x]
        if order == math.inf:
            return max(sizes, default=0.0)
        return math.hypot(*sizes) if order == 2.0 else sum(s**order for s in sizes) ** (1 / order)
