"""More data than memory: the same bits from files, chunks and arrays, and what is wrong by name."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
from benchmarks import streaming
from nn.data import DataLoader, Rows, Standardizer, TensorDataset, read_npy_folder

Array = np.ndarray[Any, np.dtype[Any]]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 6)).astype(np.float32)
Y = (X[:, :1] - X[:, 1:2]).astype(np.float32)


@pytest.fixture(params=["array", "memmap", "folder", "zarr", "dask", "ragged dask"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """X, stored in many ways."""
    if request.param == "array":
        yield X
    elif request.param == "memmap":
        np.save(tmp_path / "x.npy", X)
        yield np.load(tmp_path / "x.npy", mmap_mode="r")
    elif request.param == "folder":
        for k, part in enumerate(np.split(X, [100, 100, 740])):
            np.save(tmp_path / f"{k}.npy", part)
        yield read_npy_folder(tmp_path)
    elif request.param == "zarr":
        zarr = pytest.importorskip("zarr")
        sync = pytest.importorskip("zarr.core.sync")
        array = zarr.create_array(
            str(tmp_path / "x.zarr"), shape=X.shape, chunks=(64, 6), dtype=X.dtype
        )
        array[:] = X
        yield array
        sync.cleanup_resources()  # its threads
    else:
        da, dask = pytest.importorskip("dask.array"), pytest.importorskip("dask")
        chunks = ((300, 1, 699), (2, 4)) if request.param == "ragged dask" else 128
        with dask.config.set(scheduler="synchronous"):
            yield da.from_array(X, chunks=chunks)


def trained(data: Any, loader: bool) -> Array:
    model = nn.Linear(6, 1)
    for k, parameter in enumerate(model.parameters()):
        parameter.data = 0.1 * k
    options: dict[str, Any] = {"loss": nn.MSELoss(), "epochs": 2, "dtype": "float32"}
    options["optimizer"] = nn.SGD(model.parameters(), lr=0.01)
    if loader:
        pairs = TensorDataset(data, Y)
        nn.fit(model, DataLoader(pairs, 32, shuffle=True, block_size=50, window=3), **options)
    else:
        nn.fit(model, data, Y, batch_size=32, shuffle=True, **options)
    return np.array([p.data for p in model.parameters()])


@pytest.mark.parametrize("loader", [True, False])
def test_training_gives_the_same_bits_wherever_rows_lie(stored: Any, loader: bool) -> None:
    assert (trained(stored, loader) == trained(X, loader)).all()


def test_predictions_losses_and_scales_are_the_same(stored: Any) -> None:
    model = nn.Linear(6, 1)
    assert (nn.predict(model, stored) == nn.predict(model, X)).all()
    loss = nn.MSELoss()
    assert nn.evaluate(model, stored, Y, loss=loss) == nn.evaluate(model, X, Y, loss=loss)
    here, there = Standardizer().fit(X), Standardizer().fit(stored)
    assert (here.mean_ == there.mean_).all() and (here.scale_ == there.scale_).all()
    scaled = there.transform(stored)
    assert scaled.dtype == np.float32
    assert (np.asarray(scaled) == here.transform(X)).all()
    assert (
        np.asarray(there.inverse_transform(scaled)) == here.inverse_transform(here.transform(X))
    ).all()


@pytest.mark.parametrize(
    "rows",
    [
        3,
        -1,
        slice(90, 110),
        slice(5, 2),
        slice(None, None, -7),
        [5, 5, 999, 0],
        [],
        (4, 2),
        np.s_[:, 1],
    ],
)
def test_rows_are_those_of_numpy(rows: Any) -> None:
    parts = Rows(np.split(X, [100, 100, 740]))
    rows = np.array(rows, int) if isinstance(rows, list) else rows
    assert np.array_equal(parts[rows], X[rows])
    with pytest.raises(IndexError, match="no row 1000 of 1000"):
        parts[1000]


def test_blocks_are_shuffled_within_a_window() -> None:
    loader = DataLoader(TensorDataset(X), 1000, shuffle=True, block_size=100, window=2)
    (order,) = loader.epoch(random.Random(1))
    assert sorted(order) == list(range(1000))
    for first in range(0, 1000, 200):
        assert len({row // 100 for row in order[first : first + 200]}) == 2
    assert (order == loader.epoch(random.Random(1))[0]).all()
    assert (order != loader.epoch(random.Random(2))[0]).any()
    with pytest.raises(ValueError, match="set shuffle=True"):
        DataLoader(TensorDataset(X), block_size=10)
    with pytest.raises(ValueError, match="window is a whole number of at least 1, not 0"):
        DataLoader(TensorDataset(X), shuffle=True, block_size=10, window=0)


def test_a_folder_that_is_wrong_is_told_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        read_npy_folder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"has no \.npy file"):
        read_npy_folder(tmp_path)
    np.save(tmp_path / "a.npy", X)
    for wrong, message in [
        (X[:, :3], r"b\.npy has rows of the shape \(3,\), and .*a\.npy has \(6,\)"),
        (X.astype(float), r"b\.npy has the dtype float64, and .*a\.npy has float32"),
        (np.array([{}], object), r"b\.npy is no array of numbers"),
        (np.array(1.0), r"b\.npy has no rows"),
    ]:
        np.save(tmp_path / "b.npy", wrong, allow_pickle=True)
        with pytest.raises(ValueError, match=message):
            read_npy_folder(tmp_path)
    (tmp_path / "b.npy").write_text("1,2")
    with pytest.raises(ValueError, match=r"b\.npy is no array"):
        read_npy_folder(tmp_path)


def test_a_file_that_changes_or_goes_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    rows = read_npy_folder(tmp_path)
    np.save(tmp_path / "a.npy", X[:10])
    with pytest.raises(ValueError, match=r"a\.npy was changed"):
        rows[:]
    (tmp_path / "a.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.npy was removed"):
        rows[:]


def test_what_is_not_finite_is_found_in_its_row(tmp_path: Path) -> None:
    wrong = X.copy()
    wrong[777, 2] = np.nan
    np.save(tmp_path / "a.npy", wrong)
    rows = read_npy_folder(tmp_path)
    for call in (
        lambda: nn.predict(nn.Linear(6, 1), rows),
        lambda: Standardizer().fit(rows),
        lambda: Standardizer().fit(X).transform(rows),
    ):
        with pytest.raises(ValueError, match="X has nan in row 777, column 2"):
            call()


def test_rows_of_which_dask_does_not_know_how_many_are_refused() -> None:
    da = pytest.importorskip("dask.array")
    array = da.from_array(X, chunks=128)
    with pytest.raises(ValueError, match=r"call compute_chunk_sizes"):
        nn.predict(nn.Linear(6, 1), array[array[:, 0] > 0])


@pytest.mark.slow
def test_ten_times_the_memory_that_it_takes_trains_to_the_same_bits(tmp_path: Path) -> None:
    """In processes of their own: from a file of 800 MB, and from memory."""
    file = streaming.written(tmp_path / "x.npy", 400_000)
    read, held = streaming.measured(file), streaming.measured(file, "memory")
    assert read["parameters"] == held["parameters"]
    assert read["bytes"] * 10 < 800e6 < held["bytes"]
