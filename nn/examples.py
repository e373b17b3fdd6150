"""The examples of a run: checked, as arrays with one row each, and the batches of every epoch."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from nn.data import DataLoader, Rows
from nn.data.streams import streamed
from nn.identity import of_array
from nn.inputs import Inputs
from nn.losses import Loss

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
ClassWeight: TypeAlias = Mapping[Any, float] | Literal["balanced"] | None
_AS_THEY_ARE = {np.dtype(kind) for kind in "?bBhHiIlLqQefd"}  # types that data stay in
_LOOKED_AT = 1 << 18  # numbers that are looked at together


class Examples:
    """What `fit` trains on: X, y, and a weight for each example, or None where all count alike.

    X and y are arrays or nested lists, or X is a loader, which then says the batches too: one of
    ours is told the order, another one is read anew for every epoch, into the same arrays.

    Raises TypeError and ValueError as `fit` does, before anything is changed.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        loss: Loss,
        *,
        batch_size: int | None,
        shuffle: bool,
        seed: int,
        sample_weight: Any = None,
        class_weight: ClassWeight = None,
    ) -> None:
        if not isinstance(shuffle, bool | np.bool):
            raise TypeError(f"shuffle is True or False, not {shuffle!r}")
        self._seed, self._shuffle = seed, shuffle
        self._loader = X if isinstance(X, DataLoader) else None
        if is_loader(X, y) and (batch_size is not None or shuffle):
            raise ValueError("a DataLoader has its own batch_size and shuffle: set them there")
        foreign = self._loader is None and is_loader(X, y)
        if foreign and sample_weight is not None:
            raise ValueError(
                f"sample_weight has a number for each row, and a {type(X).__name__} has rows of "
                "its own: give X and y, or an nn.DataLoader"
            )
        self._passes = passes = _Passes(X, y, loss) if foreign else None
        self.X, self.y = (passes.X, passes.y) if passes else checked_data(X, y, loss, "X", "y")
        self._class_weight = class_weight
        self.weights = _weights(self.y, sample_weight, class_weight)
        if passes is not None:
            self.size, self.starts = max(passes.sizes), np.cumsum([0, *passes.sizes])
        else:
            own = self._loader.batch_size if self._loader is not None else len(self.X)
            self.size = own if batch_size is None else batch_size
            self.starts = np.append(np.arange(0, len(self.X), self.size), len(self.X))
        if self._loader is not None:  # which may leave the last examples out
            self.starts = self.starts[: len(self._loader) + 1]
        self.updates = len(self.starts) - 1
        if self.updates == 0:
            raise ValueError(
                f"the DataLoader has no batch: {len(self.X)} examples are fewer than its "
                f"batch_size of {self.size}, and drop_last leaves them out"
            )

    @property
    def each_epoch(self) -> int:
        """How many examples an epoch is about."""
        return int(self.starts[-1])

    @property
    def order(self) -> str:
        """How the order of the examples comes about."""
        if self._passes is not None:
            return f"another loader's, batches of {self._passes.sizes}"
        if self._loader is None:
            return "shuffled" if self._shuffle else "as given"
        own = " by its own generator" if self._loader.generator else ""
        blocks = self._loader.block_size
        by = f" in blocks of {blocks}, {self._loader.window} at once" if blocks else ""
        return f"a DataLoader's, shuffle={self._loader.shuffle}{by}{own}"

    def epoch(self, number: int) -> tuple[Array, Array]:
        """Return the rows of an epoch in their order, and where batches start and end in it.

        The order depends on the seed and the number, 0 for the first, alone: so a run can go on
        from any epoch. Only a DataLoader's own generator goes its own way, and a loader that is
        not ours, of which as many passes are read as it takes.
        """
        if self._passes is not None:
            self._passes.read_on(number)
            if self.weights is not None:
                self.weights[:] = _weights(self.y, None, self._class_weight)
        if self._loader is not None:
            own = None if self._loader.generator else random.Random(f"{self._seed} {number}")
            batches = self._loader.epoch(own)
            return np.concatenate(batches), self.starts
        if not self._shuffle:
            return np.arange(len(self.X)), self.starts
        return np.random.default_rng([self._seed, number]).permutation(len(self.X)), self.starts

    @property
    def are_read_anew(self) -> bool:
        """Whether the examples themselves are others in every epoch."""
        return self._passes is not None

    @property
    def generator(self) -> random.Random | None:
        """What a DataLoader of its own randomness draws from."""
        return None if self._loader is None else self._loader.generator

    def identity(self) -> dict[str, Any]:
        """All that the batches depend on, in words, but for the state of a loader's generator."""
        loader = self._loader
        return {
            "examples": f"X {self.X.identity()}; y {of_array(self.y, float)}",
            "weights": of_array(self.weights),
            "batch size": self.size,
            "order": self.order,
            "drop_last": loader is not None and loader.drop_last,
        }


def is_loader(X: Any, y: Any = None) -> bool:
    """Whether this gives batches, in place of X and y: an iterable that can't be indexed, such as
    PyTorch's DataLoader, or without y a list of what it gives: tuples, lists or dicts of arrays."""
    if isinstance(X, list) and y is None and X:
        return all(map(_is_batch, X))
    is_data = hasattr(X, "__getitem__") or hasattr(X, "__array__")
    is_data = is_data or (hasattr(X, "__next__") and y is not None)
    return hasattr(X, "__iter__") and not is_data


def _is_batch(item: Any) -> bool:
    fields = [*item.values()] if isinstance(item, Mapping) else item
    return isinstance(fields, list | tuple) and getattr([None, *fields][-1], "ndim", 0) > 0


class _Passes:
    """What a loader that is not ours gives in a pass, in arrays in which the next one follows.

    A loader that can be gone through only once, such as a generator, gives the same again.
    """

    def __init__(self, loader: Any, y: Any, loss: Loss) -> None:
        if y is not None:
            raise TypeError("a DataLoader stands for X and y: give it alone, without y")
        self._loader, self._loss, self._number = loader, loss, 0
        self.X, self.y, self.sizes = self._read()

    def read_on(self, number: int) -> None:
        """Go on to the pass of a number, 0 for the first. Raises ValueError where it has other
        batches than that."""
        while self._number < number and not hasattr(self._loader, "__next__"):
            X, y, sizes = self._read()
            self._number += 1
            if (X.form, y.shape[1:], sizes) != (self.X.form, self.y.shape[1:], self.sizes):
                raise ValueError(
                    f"pass {self._number} of the {type(self._loader).__name__} has batches of "
                    f"{sizes} examples, and the first has {self.sizes}: all are to have as many of "
                    "the same shape"
                )
            for kept, new in zip((*self.X.arrays, self.y), (*X.arrays, y), strict=True):
                kept[:] = new

    def _read(self) -> tuple[Inputs, Array, list[int]]:
        batches = []
        for k, batch in enumerate(self._loader):
            X, y = checked_data(*_pair(batch), self._loss, f"X of batch {k}", f"y of batch {k}")
            batches.append((X, y))
            if (X.form, y.shape[1:]) != (batches[0][0].form, batches[0][1].shape[1:]):
                raise ValueError(f"batch {k} has examples of another shape than batch 0")
        if not batches:
            raise ValueError(f"the {type(self._loader).__name__} gives no batch")
        columns = zip(*((*X.arrays, y) for X, y in batches), strict=True)
        *arrays, targets = map(np.concatenate, columns)
        return Inputs(tuple(arrays), batches[0][0].names), targets, [len(X) for X, _ in batches]


_TARGETS = {"y", "target", "targets", "label", "labels"}  # in batches that are dicts


def _pair(batch: Any) -> tuple[Any, Any]:
    """X and y of a batch: its last field is y, or of a dict the one that is called so."""
    if isinstance(batch, Mapping):
        targets = [name for name in batch if name in _TARGETS]
        inputs = {name: x for name, x in batch.items() if name not in _TARGETS}
        if len(targets) == 1 and inputs:
            return next(iter(inputs.values())) if len(inputs) == 1 else inputs, batch[targets[0]]
    if isinstance(batch, list | tuple) and len(batch) > 1:
        *several, y = batch
        X = tuple(several) if len(several) > 1 else several[0]
        fields = isinstance(X, list) and all(getattr(part, "ndim", 0) > 0 for part in X)
        return tuple(X) if fields else X, y
    raise TypeError(
        "a batch is a tuple or list of inputs with y as the last, or a dict in which y is called "
        f"one of {sorted(_TARGETS)}, not {batch!r:.200}"
    )


def _weights(y: Array, sample_weight: Any, class_weight: ClassWeight) -> Array | None:
    """What each example counts by, or None for 1."""
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(y))
    if sample_weight is not None:
        weights = np.array(checked_rows(sample_weight, "sample_weight"), np.float64)
        if weights.shape != (len(y),):
            raise ValueError(
                f"sample_weight has the shape {weights.shape}; for {len(y)} examples it is "
                f"({len(y)},)"
            )
    if class_weight is not None:
        weights = weights * _of_classes(y, class_weight)
    wrong = ~((weights >= 0.0) & (weights < np.inf))
    if wrong.any() or not weights.any():
        place = int(np.argmax(wrong))
        raise ValueError(
            f"weights of examples are finite, at least 0, and not all 0; that of row {place} is "
            f"{weights[place]}"
        )
    return weights


def _of_classes(y: Array, class_weight: Any) -> Array:
    """The weight of each example's class."""
    y = np.asarray(y)
    if y.ndim > 1 and y.shape[-1] > 1:
        labels = np.argmax(y.reshape(len(y), -1), axis=1).astype(float)
    else:
        labels = y.reshape(-1)
    classes, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if isinstance(class_weight, str) and class_weight == "balanced":
        return np.asarray(len(y) / (len(classes) * counts))[places]
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f'class_weight is a dict such as {{0: 1.0, 1: 10.0}}, or "balanced", not '
            f"{class_weight!r}"
        )
    unknown = [label for label in class_weight if label not in classes.tolist()]
    if unknown:
        raise ValueError(f"class_weight names {unknown}; the classes in y are {classes.tolist()}")
    return np.array([float(class_weight.get(label, 1.0)) for label in classes.tolist()])[places]


def checked_rows(data: Any, name: str) -> Array:
    """The data as an array with one row an example: numbers of any type, where they lie; chunked
    arrays as `Rows`.

    Raises TypeError for what is no numbers, ValueError for inf, nan, and rows of different lengths.
    """
    data = streamed(data)
    try:
        if hasattr(data, "detach") and hasattr(data, "cpu"):  # a tensor, perhaps with a gradient
            data = data.detach().cpu()
        array: Any = data if isinstance(data, Rows) else np.asarray(data)
        if array.dtype.kind == "c":
            raise TypeError("complex numbers have no order, and no gradient here")
        if array.dtype not in _AS_THEY_ARE:
            if isinstance(data, Rows):
                array = Rows([data], each=lambda rows: np.asarray(rows, dtype=np.float64))
            else:
                array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        sequence = isinstance(data, list | tuple | np.ndarray)
        rows = [row for row in data if hasattr(row, "__len__")] if sequence else []
        if rows and len(rows) == len(data) and len({len(row) for row in rows}) > 1:
            first = next(i for i, row in enumerate(data) if len(row) != len(data[0]))
            raise ValueError(
                f"the rows of {name} have different lengths: row 0 has {len(data[0])} numbers, "
                f"row {first} has {len(data[first])}"
            ) from None
        several = isinstance(data, list) and any(getattr(part, "ndim", 0) > 1 for part in data)
        hint = "; several inputs of a model are a tuple of arrays, X=(a, b)" if several else ""
        raise TypeError(f"{name} must be numbers, one row an example: {error}{hint}") from None
    if array.ndim == 0:
        raise ValueError(f"{name} is one number; it needs one row an example")
    if where := _first_not_finite(array):
        column = f", column {where[-1]}" if array.ndim > 1 else ""
        between = "".join(f", position {place}" for place in where[1:-1])
        raise ValueError(f"{name} has {array[where]} in row {where[0]}{between}{column}")
    found: Array = array  # or Rows, of which no more is asked than slices, shape and dtype
    return found


def _first_not_finite(array: Array) -> tuple[int, ...]:
    """Where the first inf or nan is, or () if there is none. Rows are looked at some at a time."""
    if array.dtype.kind != "f" or not array.size:
        return ()
    some = max(1, _LOOKED_AT * len(array) // array.size)
    for first in range(0, len(array), some):
        finite = np.isfinite(array[first : first + some])
        if not finite.all():
            row, *others = np.argwhere(~finite)[0].tolist()
            return (first + row, *others)
    return ()


def checked_inputs(X: Any, name: str) -> Inputs:
    """The inputs of a model: one, or several as a tuple, or as a dict by forward's names for them.

    Raises what `checked_rows` does, and ValueError for no inputs and for different lengths.
    """
    if not isinstance(X, tuple | Mapping):
        return Inputs((checked_rows(X, name),))
    by_name = isinstance(X, Mapping)
    parts = {f"{name}[{key!r}]": part for key, part in dict(X if by_name else enumerate(X)).items()}
    if not parts:
        raise ValueError(f"{name} is empty: there are no inputs")
    if by_name and not all(isinstance(key, str) for key in X):
        raise TypeError(f"a dict of inputs has forward's names for them as keys, not {[*X]}")
    arrays = tuple(checked_rows(part, label) for label, part in parts.items())
    if len({*map(len, arrays)}) > 1:
        rows = ", ".join(f"{label} {len(x)}" for label, x in zip(parts, arrays, strict=True))
        raise ValueError(
            f"the inputs have different numbers of rows: {rows}. A tuple has an array for each "
            "input of the model; write the rows of one input as a list or an array"
        )
    return Inputs(arrays, tuple(X) if by_name else ("",) * len(arrays))


def checked_data(X: Any, y: Any, loss: Loss, X_name: str, y_name: str) -> tuple[Inputs, Array]:
    """The data as arrays of as many rows, or what a loader as X has in a pass.

    Raises what `checked_inputs` does, and ValueError.
    """
    if loss.reduction == "none":
        raise ValueError('a loss with reduction="none" is many numbers; use "mean" or "sum"')
    if isinstance(X, DataLoader) and y is None:
        *several, y = X.arrays()
        if not several:
            raise ValueError("X and y of each example are needed; the DataLoader gives one array")
        X = several[0] if len(several) == 1 else tuple(several)
    elif is_loader(X, y):
        passes = _Passes(X, y, loss)
        return passes.X, passes.y
    if y is None:
        raise TypeError(f"{y_name} is missing: give X and y, or a DataLoader in place of both")
    inputs, targets = checked_inputs(X, X_name), checked_rows(y, y_name)
    if len(inputs) != len(targets):
        hint = ""
        if _are_arrays(X, len(targets)):
            hint = ": several inputs of a model are a tuple of arrays, X=(a, b)"
        elif _are_arrays(y, len(inputs)):
            hint = ": several targets of an example are a row of one array, as by np.column_stack"
        raise ValueError(f"{X_name} has {len(inputs)} rows and {y_name} has {len(targets)}{hint}")
    if len(inputs) == 0:
        raise ValueError(f"{X_name} has no rows: there are no examples")
    return inputs, targets


def _are_arrays(data: Any, rows: int) -> bool:
    """Whether this is a list of arrays, each of so many rows."""
    return isinstance(data, list | tuple) and {np.shape(part)[:1] for part in data} == {(rows,)}
