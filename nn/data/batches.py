"""Data sets and batches under PyTorch's names (torch.utils.data): for a loop, or for `nn.fit`.

A data set is anything with a length and examples by number, such as a list of pairs. A loader
gives tuples of arrays, a row an example.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from engine.errors import whole
from nn.data.streams import Array, Rows, streamed


class Dataset(Protocol):
    """What a loader reads from: examples, numbered from 0; each a tuple of fields, or one field."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class TensorDataset:
    """Rows of arrays that belong together, such as X and y: example i is the tuple of rows i.

    Raises ValueError for no arrays, for a single number, and for different lengths.

    >>> pairs = TensorDataset([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    >>> len(pairs), pairs[1]
    (2, (array([3., 4.]), np.int64(1)))
    """

    def __init__(self, *arrays: Any) -> None:
        try:
            self.arrays: tuple[Any, ...] = tuple(
                array if isinstance(array, Rows) else np.asarray(array)
                for array in map(streamed, arrays)
            )
        except ValueError as error:
            raise ValueError(
                f"a data set needs rows of one length in each array: {error}"
            ) from None
        if not arrays or any(array.ndim == 0 for array in self.arrays):
            raise ValueError("a data set needs arrays with a row an example, such as X and y")
        if len({len(array) for array in self.arrays}) > 1:
            lengths = ", ".join(str(len(array)) for array in self.arrays)
            raise ValueError(f"the arrays have different numbers of rows: {lengths}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.arrays)


class Subset:
    """Some examples of another data set, by their numbers there.

    Raises IndexError for a number that the data set does not have.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, [int(index) for index in indices]
        size = len(dataset)
        for index in self.indices:
            if not -size <= index < size:
                raise IndexError(f"there is no example {index} in a data set of {size}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


def random_split(
    dataset: Dataset, lengths: Sequence[float], generator: random.Random | None = None
) -> list[Subset]:
    """Return parts of a data set, drawn without replacement, in these lengths.

    Lengths are counts, or shares that add up to 1: then each is rounded down, and the examples
    left over go one each to the first parts. `generator` None draws from Python's `random`.
    Raises ValueError where the lengths are neither, or don't add up.

    >>> training, test = random_split(list("abcdefgh"), [0.75, 0.25], random.Random(0))
    >>> len(training), [test[i] for i in range(len(test))]
    (6, ['h', 'g'])
    """
    size = len(dataset)
    if any(not 0 <= length < math.inf for length in lengths):
        raise ValueError(f"lengths are counts or shares of at least 0, not {list(lengths)}")
    if math.isclose(math.fsum(lengths), 1.0) and max(lengths) <= 1:
        counts = [math.floor(size * share) for share in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [int(length) for length in lengths]
        if counts != list(lengths) or sum(counts) != size:
            raise ValueError(
                f"the lengths {list(lengths)} are not the counts of {size} examples, nor shares "
                "that add up to 1"
            )
    order = _shuffled(size, generator)
    ends = np.cumsum(counts).tolist()
    return [
        Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)
    ]


class DataLoader:
    """Batches of a data set: each a tuple of arrays, such as X and y, with a row an example.

    Every pass over it is an epoch, in a new order if `shuffle`, drawn from `generator` (None:
    Python's `random`). A last, smaller batch is left out if `drop_last`. Examples are read from
    the data set once, at first use, and kept; the arrays of a TensorDataset stay where they are,
    in a file too.

    With a `block_size`, `shuffle` reads files block by block: blocks of so many rows come in a
    random order, and rows are shuffled among as many as `window` blocks have. The order depends on
    the generator and these numbers alone, not on where the rows lie.

    Raises ValueError for an empty data set or a batch size that is no whole number from 1, and at
    first use where examples differ in their fields or their shapes.

    >>> loader = DataLoader(TensorDataset([[0.0], [1.0], [2.0]], [5, 6, 7]), batch_size=2)
    >>> len(loader)
    2
    >>> for X, y in loader:
    ...     print(X.tolist(), y.tolist())
    [[0.0], [1.0]] [5, 6]
    [[2.0]] [7]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: random.Random | None = None,
        *,
        block_size: int | None = None,
        window: int = 8,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError("the data set is empty: there are no batches of it")
        self.dataset, self.batch_size = dataset, whole("batch_size", batch_size, 1)
        self.block_size = None if block_size is None else whole("block_size", block_size, 1)
        self.window = whole("window", window, 1)
        if block_size is not None and not shuffle:
            raise ValueError("block_size is how rows are shuffled: set shuffle=True too")
        _check_generator(generator)
        self.shuffle, self.drop_last, self.generator = shuffle, drop_last, generator
        self._arrays: tuple[Array, ...] | None = None

    def __len__(self) -> int:
        """How many batches an epoch has."""
        size = len(self.dataset)
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        arrays = self.arrays()
        for rows in self.epoch():
            yield tuple(array[rows] for array in arrays)

    def arrays(self) -> tuple[Array, ...]:
        """Return all examples, in the data set's order: an array a field, a row an example."""
        if self._arrays is None:
            self._arrays = _read(self.dataset)
        return self._arrays

    def epoch(self, generator: random.Random | None = None) -> list[Array]:
        """Return the row numbers of each batch of the next epoch.

        They are drawn from `generator` if one is given, else from the loader's own.
        """
        _check_generator(generator)
        size = len(self.dataset)
        drawn = generator or self.generator
        if self.shuffle and self.block_size is not None:
            rows = _shuffled_by_blocks(size, self.block_size, self.window, drawn)
        else:
            order = _shuffled(size, drawn) if self.shuffle else range(size)
            rows = np.array(order, dtype=np.intp)
        return [rows[k * self.batch_size : (k + 1) * self.batch_size] for k in range(len(self))]


def _check_generator(generator: random.Random | None) -> None:
    if generator is not None and not isinstance(generator, random.Random):
        raise TypeError(f"generator is a random.Random, such as random.Random(0): {generator!r}")


def _shuffled(size: int, generator: random.Random | None) -> list[int]:
    _check_generator(generator)
    order = list(range(size))
    shuffle: Callable[[list[int]], None] = (generator or random).shuffle
    shuffle(order)
    return order


def _shuffled_by_blocks(
    size: int, block: int, window: int, generator: random.Random | None
) -> Array:
    """Row numbers: blocks of them in a random order, and shuffled within a window's rows."""
    draw: Callable[[int], int] = (generator or random).getrandbits
    rng = np.random.default_rng(draw(128))
    order = np.concatenate(
        [
            np.arange(k * block, min(size, (k + 1) * block), dtype=np.intp)
            for k in rng.permutation(-(-size // block)).tolist()
        ]
    )
    for first in range(0, size, window * block):
        rng.shuffle(order[first : first + window * block])
    return order


def _read(dataset: Dataset) -> tuple[Array, ...]:
    """All examples, an array a field: rows of arrays at once, others one by one."""
    rows: list[int] | None = None
    base = dataset
    while type(base) is Subset:
        rows = base.indices if rows is None else [base.indices[row] for row in rows]
        base = base.dataset
    if type(base) is TensorDataset:
        return base.arrays if rows is None else tuple(array[rows] for array in base.arrays)
    examples = [_fields(dataset[i]) for i in range(len(dataset))]
    for i, fields in enumerate(examples):
        if len(fields) != len(examples[0]):
            raise ValueError(
                f"example {i} has {len(fields)} fields, and example 0 has {len(examples[0])}"
            )
        for k, (field, first) in enumerate(zip(fields, examples[0], strict=True)):
            if field.shape != first.shape:
                raise ValueError(
                    f"field {k} of example {i} has the shape {field.shape}, and of example 0 "
                    f"{first.shape}: one array can't hold both"
                )
    return tuple(np.stack(column) for column in zip(*examples, strict=True))


def _fields(example: Any) -> list[Array]:
    """A tuple or list holds fields, as for PyTorch; anything else is one."""
    fields = example if isinstance(example, tuple | list) else [example]
    return [np.asarray(field) for field in fields]
