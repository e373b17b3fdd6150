"""Results of a program: numbers put into the structures of what was returned, and of arguments."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from engine.compiled.blocks import Array
from engine.trees import is_record, record_maker, simplified


class Whole(ABC):
    """The structure of a result that is made of all numbers at once."""

    @abstractmethod
    def of(self, numbers: Array) -> Any:
        """The result. The array is its own."""


def _filled(
    structure: Any,
    number: Callable[[int], Any],
    array: Callable[[Array], Any],
    listed: Callable[[list[Any]], Any] = list,
) -> Any:
    """A structure with numbers, arrays and lists in the places that it says."""
    if isinstance(structure, int):
        return number(structure)
    given = (number, array, listed)
    if isinstance(structure, dict):
        return {key: _filled(part, *given) for key, part in structure.items()}
    if is_record(structure):
        return record_maker(structure)(_filled(simplified(structure), *given))
    if isinstance(structure, np.ndarray):
        return array(structure)
    parts = [_filled(part, *given) for part in structure]
    if hasattr(structure, "_make"):
        return type(structure)._make(parts)
    return listed(parts) if isinstance(structure, list) else tuple(parts)


def rebuilt(structure: Any, numbers: list[float], dtype: Any) -> Any:
    """A structure with numbers in the places that it says; arrays are of `dtype`."""
    if isinstance(structure, Whole):
        return structure.of(np.array(numbers, dtype))

    def array(places: Array) -> Array:
        return np.array([numbers[int(k)] for k in places.ravel()], dtype).reshape(places.shape)

    return _filled(structure, numbers.__getitem__, array)


def of_examples(structure: Any, reduce: str | None, outputs: Array) -> Any:
    """What a program returns for examples, with a column for each and their outputs in rows."""
    if reduce is not None:
        with np.errstate(all="ignore"):
            total = np.add.reduce(outputs, axis=1)
            if reduce == "mean":
                total /= outputs.shape[1]
        return rebuilt(structure, total.tolist(), outputs.dtype)
    if isinstance(structure, list) and structure == [*range(len(outputs))]:
        return outputs.T  # a flat list: as it is
    return batched(structure, outputs)


def batched(structure: Any, columns: Sequence[Array] | Array) -> Any:
    """The same with a column for each number: arrays with a leading batch axis. Lists become
    arrays where they are rectangular; tuples and dicts stay."""

    def array(places: Array) -> Array:
        stacked = np.stack([columns[int(k)] for k in places.ravel()], axis=1)
        return stacked.reshape(-1, *places.shape)

    return _filled(structure, columns.__getitem__, array, _stacked)


class GradientTree:
    """The gradient by an argument, in its structure, from one entry a number: a float, or a
    column with one number an example. Where all are columns (`stacked`), lists of them become
    arrays if they are rectangular. What is no number has the gradient None.
    """

    def __init__(self, dtype: str, stacked: bool) -> None:
        self._dtype, self._stacked = dtype, stacked

    def of(self, arg: Any, axis: Any, entries: Iterator[Any]) -> Any:
        """The gradient by `arg`, batched as `axis` says."""
        if is_record(arg):
            return record_maker(arg)(self.of(simplified(arg), axis, entries))
        arg = simplified(arg)
        if isinstance(arg, dict):
            axes = axis if isinstance(axis, dict) else dict.fromkeys(arg, axis)
            return {key: self.of(part, axes[key], entries) for key, part in arg.items()}
        if isinstance(arg, tuple) or (isinstance(arg, list) and axis != 0):
            each = axis if isinstance(axis, list | tuple) else [axis] * len(arg)
            parts = [self.of(part, a, entries) for part, a in zip(arg, each, strict=True)]
            if isinstance(arg, list):
                return _stacked(parts) if self._stacked else parts
            return type(arg)._make(parts) if hasattr(arg, "_make") else tuple(parts)
        if arg is None or isinstance(arg, str | bool) or callable(arg):
            return None
        shape = np.shape(arg)[1:] if axis == 0 else np.shape(arg)
        if not shape and not (isinstance(arg, np.ndarray) and axis is None):
            return next(entries)
        numbers = [next(entries) for _ in range(math.prod(shape))]
        if numbers and isinstance(numbers[0], np.ndarray):
            return np.stack(numbers, axis=1).reshape(-1, *shape)
        return np.array(numbers, self._dtype).reshape(shape)


def _stacked(parts: list[Any]) -> Any:
    """A list of arrays of one shape, each with a leading batch axis, as one such array."""
    if parts and all(isinstance(p, np.ndarray) and p.shape == parts[0].shape for p in parts):
        return np.stack(parts, axis=1)
    return parts
