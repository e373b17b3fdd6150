"""Data sets, loaders and random splits: as PyTorch's, with arrays."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
from nn import DataLoader, Subset, TensorDataset, random_split

X = np.arange(14.0).reshape(7, 2)
Y = np.arange(7)


class Squares:
    """A data set of its own kind, which counts how often it is read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[list[float], int]:
        if not 0 <= index < 7:
            raise IndexError(index)
        self.read += 1
        return X[index].tolist(), int(Y[index])


KINDS: dict[str, Callable[[], Any]] = {
    "arrays": lambda: TensorDataset(X, Y),
    "list of pairs": lambda: list(zip(X, Y, strict=True)),
    "another class": Squares,
    "subset of a subset": lambda: Subset(
        Subset(TensorDataset(X[::-1], Y[::-1]), range(6, -1, -1)), range(-7, 0)
    ),
    "subset of another class": lambda: Subset(Squares(), range(7)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_set_gives_the_same_batches(kind: str) -> None:
    loader = DataLoader(KINDS[kind](), batch_size=3)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X, strict=True)
    assert [y.tolist() for _, y in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    for array, expected in zip(loader.arrays(), (X, Y), strict=True):
        np.testing.assert_array_equal(array, expected, strict=True)


def test_a_data_set_is_read_once_and_only_where_it_is_used() -> None:
    squares = Squares()
    loader = DataLoader(Subset(squares, [4, 2]), batch_size=2)
    for _ in range(3):
        ((x, y),) = loader
        assert (x.tolist(), y.tolist()) == ([[8.0, 9.0], [4.0, 5.0]], [4, 2])
    assert squares.read == 2


def test_an_example_of_one_field_makes_a_tuple_of_one() -> None:
    ((numbers,),) = DataLoader([1.5, 2.5], batch_size=2)
    assert numbers.tolist() == [1.5, 2.5]
    assert [x.shape for (x,) in DataLoader(TensorDataset(X), batch_size=4)] == [(4, 2), (3, 2)]


@pytest.mark.parametrize("batch_size", [1, 2, 7, 9])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_has_every_row_once_in_batches_of_the_size(
    batch_size: int, drop_last: bool, shuffle: bool
) -> None:
    loader = DataLoader(
        TensorDataset(X, Y), batch_size, shuffle, drop_last, generator=random.Random(3)
    )
    full, rest = divmod(7, batch_size)
    sizes = [batch_size] * full + ([rest] if rest and not drop_last else [])
    for _ in range(2):
        batches = loader.epoch()
        assert [len(rows) for rows in batches] == sizes and len(loader) == len(sizes)
        rows = [int(row) for batch in batches for row in batch]
        assert len(set(rows)) == len(rows) and set(rows) <= set(range(7))
        if not shuffle:
            assert rows == list(range(sum(sizes)))


def test_orders_come_from_the_generator_and_differ_by_epoch() -> None:
    def orders(loader: DataLoader, *generator: random.Random) -> list[list[int]]:
        return [np.concatenate(loader.epoch(*generator)).tolist() for _ in range(3)]

    data = TensorDataset(np.arange(20))
    first = orders(DataLoader(data, 5, shuffle=True, generator=random.Random(1)))
    assert first[0] != first[1] != first[2] and first[0] != list(range(20))
    assert first == orders(DataLoader(data, 5, shuffle=True, generator=random.Random(1)))
    assert first != orders(DataLoader(data, 5, shuffle=True, generator=random.Random(2)))
    own = DataLoader(data, 5, shuffle=True, generator=random.Random(2))
    assert first == orders(own, random.Random(1))
    state = random.getstate()
    try:
        random.seed(1)
        assert first == orders(DataLoader(data, 5, shuffle=True))
    finally:
        random.setstate(state)
    iterated = DataLoader(data, 5, shuffle=True, generator=random.Random(1))
    assert [row for (batch,) in iterated for row in batch.tolist()] == first[0]


@pytest.mark.parametrize(
    ("size", "lengths", "expected"),
    [
        (10, [7, 3], [7, 3]),
        (10, [10, 0], [10, 0]),
        (10, [0.7, 0.3], [7, 3]),
        (10, [0.33, 0.33, 0.34], [4, 3, 3]),
        (11, [0.25, 0.25, 0.25, 0.25], [3, 3, 3, 2]),
        (3, [0.1, 0.2, 0.7], [1, 0, 2]),
        (7, [1], [7]),
        (1, [1, 0], [1, 0]),
    ],
)
def test_a_random_split_has_pytorchs_lengths(
    size: int, lengths: list[float], expected: list[int]
) -> None:
    parts = random_split(range(size), lengths, random.Random(0))
    assert [len(part) for part in parts] == expected
    rows = [part[i] for part in parts for i in range(len(part))]
    assert sorted(rows) == list(range(size))


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:Length of split")
@pytest.mark.parametrize("size", [1, 3, 10, 97])
@pytest.mark.parametrize(
    "shares", [[0.5, 0.5], [0.8, 0.1, 0.1], [0.999, 0.001], [1 / 3] * 3, [1 / 7] * 7, [1.0, 0.0]]
)
def test_shares_are_rounded_as_pytorch_does(size: int, shares: list[float]) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    ours, theirs = random_split(range(size), shares), torch_data.random_split(range(size), shares)
    assert [len(part) for part in ours] == [len(part) for part in theirs]


@pytest.mark.oracle
@pytest.mark.parametrize("batch_size", [1, 3, 7, 8])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_pytorchs(batch_size: int, drop_last: bool) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)),
        batch_size=batch_size,
        drop_last=drop_last,
    )
    ours = DataLoader(TensorDataset(X, Y), batch_size=batch_size, drop_last=drop_last)
    assert len(ours) == len(theirs)
    for batch, expected in zip(ours, theirs, strict=True):
        for array, tensor in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(array, tensor.numpy(), strict=True)


def test_parts_differ_by_generator_and_can_be_loaded() -> None:
    data = TensorDataset(X, Y)
    first, again, other = (
        random_split(data, [5, 2], random.Random(seed))[0].indices for seed in (0, 0, 1)
    )
    assert first == again != other
    (x, y) = DataLoader(random_split(data, [5, 2], random.Random(0))[0]).arrays()
    assert y.tolist() == first and np.array_equal(x, X[first])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: TensorDataset(), ValueError, "arrays with a row an example"),
        (lambda: TensorDataset(X, 3.0), ValueError, "arrays with a row an example"),
        (lambda: TensorDataset(X, Y, Y[:2]), ValueError, "rows: 7, 7, 2"),
        (lambda: Subset(TensorDataset(X), [0, 7]), IndexError, "no example 7 .* of 7"),
        (lambda: DataLoader([]), ValueError, "empty"),
        (lambda: DataLoader(Y, batch_size=0), ValueError, "at least 1, not 0"),
        (lambda: DataLoader(Y, batch_size=2.5), ValueError, "whole number of at least 1, not 2.5"),
        (
            lambda: DataLoader(Y, batch_size=None),
            ValueError,
            "whole number of at least 1, not None",
        ),
        (lambda: DataLoader(Y, generator=0), TypeError, r"random.Random\(0\): 0"),
        (lambda: random_split(Y, [4, 4]), ValueError, r"\[4, 4\] are not the counts of 7"),
        (lambda: random_split(Y, [0.5, 0.4]), ValueError, "add up to 1"),
        (lambda: random_split(Y, [-1, 8]), ValueError, "at least 0"),
        (lambda: random_split(Y, []), ValueError, r"\[\] are not"),
        (lambda: random_split(Y, [7], 0), TypeError, "random.Random"),
        (
            lambda: DataLoader([(1, 2), (1, 2, 3)]).arrays(),
            ValueError,
            "example 1 has 3 fields, and example 0 has 2",
        ),
        (
            lambda: DataLoader([(X[0], 1), (X[:2], 1)]).arrays(),
            ValueError,
            r"field 0 of example 1 has the shape \(2, 2\), and of example 0 \(2,\)",
        ),
    ],
)
def test_what_makes_no_batches_is_refused(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_names_are_where_they_are_expected() -> None:
    assert nn.DataLoader is nn.data.DataLoader
    assert nn.TensorDataset is nn.data.TensorDataset
    assert nn.random_split is nn.data.random_split
