"""Rows that are read when they are needed: of Zarr, Dask and HDF5 arrays, and of folders of .npy.

In comes anything with a shape, a dtype and slices of rows; out go NumPy arrays of the rows asked
for, so that never more than a batch or a block of them is in memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
BLOCK_BYTES = 1 << 22  # of rows that are read together


class Rows:
    """Rows of parts that lie one after the other, read when they are asked for: arrays, files.

    It has the shape and dtype of all of them together; a number, a slice or an array of row
    numbers gives what NumPy gives. `each` is done to the rows that are read, (n, ...) to as many.
    Raises ValueError where the parts have different widths or types, by their `names`.

    >>> rows = Rows([np.zeros((2, 3)), np.ones((4, 3))])
    >>> rows.shape, rows[1:3].tolist()
    ((6, 3), [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    """

    def __init__(
        self,
        parts: Sequence[Any],
        names: Sequence[str] = (),
        each: Callable[[Array], Array] | None = None,
    ) -> None:
        self._parts, self._each = parts, each
        first = parts[0]
        for k, part in enumerate(parts):
            for what, here, there in (
                ("rows of the shape", tuple(part.shape[1:]), tuple(first.shape[1:])),
                ("the dtype", part.dtype, first.dtype),
            ):
                if here != there:
                    name, other = (names[k], names[0]) if names else (f"part {k}", "part 0")
                    raise ValueError(f"{name} has {what} {here}, and {other} has {there}")
        self._ends = np.cumsum([_length(part.shape[0]) for part in parts])
        self.shape = (int(self._ends[-1]), *map(int, first.shape[1:]))
        self.dtype = np.dtype(first.dtype) if each is None else each(self._read(0, 0)).dtype
        self.ndim, self.size = len(self.shape), math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        if isinstance(rows, tuple):
            first, *others = rows
            if isinstance(first, int | np.integer):
                return np.asarray(self[first][tuple(others)])
            if isinstance(first, slice):
                return np.asarray(self[first][(slice(None), *others)])
            raise IndexError("columns go with a row number or a slice of rows: index one by one")
        if isinstance(rows, int | np.integer):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"there is no row {rows} of {len(self)}")
            place = int(rows) % len(self)
            return np.asarray(self._of(place, place + 1)[0])
        if isinstance(rows, slice) and rows.step in (None, 1):
            low, high, _ = rows.indices(len(self))
            return self._of(low, max(low, high))
        return self._picked(np.arange(len(self))[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)

    def _picked(self, numbers: Array) -> Array:
        """Rows by their numbers: from a block to the next, so that each is read once."""
        found: Array = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        order = np.argsort(numbers, kind="stable")
        ascending = numbers[order]
        gaps = np.flatnonzero(np.diff(ascending) > max(1, _at_once(self) // 64))
        for some in np.split(order, gaps + 1):
            while len(some):  # rows near each other, as many as a block has
                low = int(numbers[some[0]])
                count = int(np.searchsorted(numbers[some], low + _at_once(self)))
                here, some = some[:count], some[count:]
                found[here] = self._of(low, int(numbers[here[-1]]) + 1)[numbers[here] - low]
        return found

    def _of(self, first: int, last: int) -> Array:
        rows = self._read(first, last)
        return rows if self._each is None else self._each(rows)

    def _read(self, first: int, last: int) -> Array:
        start, k, found = 0, int(np.searchsorted(self._ends, first, "right")), []
        while True:
            k = min(k, len(self._parts) - 1)
            start = int(self._ends[k - 1]) if k else 0
            end = min(last, int(self._ends[k]))
            found.append(np.asarray(self._parts[k][first - start : end - start]))
            if found[-1].shape != (end - first, *self._parts[k].shape[1:]):
                raise ValueError(f"rows {first} to {end - 1} came with the shape {found[-1].shape}")
            if end >= last:
                return found[0] if len(found) == 1 else np.concatenate(found)
            first, k = end, k + 1


class _File:
    """A .npy file, opened for each read and found to be as it was in the beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is no array of numbers in NumPy's format: {error}") from None
        if array.ndim == 0 or array.dtype.kind not in "biuf":
            raise ValueError(f"{path} has no rows of numbers: {array.dtype} of {array.shape}")
        self.shape, self.dtype, self._state = array.shape, array.dtype, self._now()

    def __getitem__(self, rows: slice) -> Array:
        try:
            if self._now() == self._state:
                return np.array(np.load(self._path, mmap_mode="r", allow_pickle=False)[rows])
        except FileNotFoundError:
            raise FileNotFoundError(f"{self._path} was removed while it is being read") from None
        raise ValueError(f"{self._path} was changed while it is being read: start again")

    def _now(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_size, found.st_mtime_ns


def read_npy_folder(path: str | os.PathLike[str]) -> Rows:
    """Return the rows of all .npy files of a folder, by the order of their names, unread.

    Nothing is unpickled. Raises FileNotFoundError where there is no such folder or no .npy file,
    and ValueError, with the file's name, where one is no array, or of another width or dtype; later
    where one was changed or removed.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise FileNotFoundError(f"the folder {folder} has no .npy file")
    return Rows([_File(file) for file in files], [str(file) for file in files])


def streamed(data: Any) -> Any:
    """Chunked arrays (Zarr, Dask, HDF5) as `Rows`; all else as it is."""
    is_chunked = hasattr(data, "chunks") and hasattr(data, "shape") and hasattr(data, "dtype")
    if not is_chunked or isinstance(data, np.ndarray | Rows) or len(data.shape) == 0:
        return data
    return Rows([data])


def blocks(array: Any) -> list[tuple[int, int]]:
    """From which row to before which one an array is gone through, by its shape and type alone."""
    some = _at_once(array)
    return [(k, min(k + some, len(array))) for k in range(0, len(array), some)]


def _at_once(array: Any) -> int:
    row = int(math.prod(array.shape[1:]) * array.dtype.itemsize)
    return max(1, BLOCK_BYTES // max(1, row))


def _length(count: float) -> int:
    if count != count:  # Dask's NaN: rows of which it does not know how many there are
        raise ValueError("the chunks have an unknown number of rows: call compute_chunk_sizes()")
    return int(count)
