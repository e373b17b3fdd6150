"""The examples of a run: checked where they lie, in their own type, and not copied."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
from nn import examples

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
LABELS = np.arange(20) % 4


def model() -> nn.Module:
    layers = nn.Linear(3, 5, rng=random.Random(0)), nn.Tanh(), nn.Linear(5, 4, rng=random.Random(1))
    return nn.Sequential(*layers)


def fitted(X: Any, y: Any, path: str = "vectorised", **options: Any) -> list[float]:
    trained = model()
    options = {"epochs": 2, "batch_size": 8, "shuffle": True, "progress": False} | options
    optimizer = nn.Adam(trained.parameters())
    loss = nn.CrossEntropyLoss()
    return nn.fit(trained, X, y, loss=loss, optimizer=optimizer, path=path, **options).step_loss


@pytest.mark.parametrize("kind", ["?", "u1", "i2", "u8", "e", "f", ">f4", "g", "O", "U8"])
def test_numbers_of_any_type_are_those_that_they_are_as_floats(kind: str) -> None:
    numbers = np.round(X > 0.0).astype(kind)
    for path in ("vectorised", "scalar"):
        expected = fitted((X > 0.0).astype(float), LABELS.astype(float), path)
        assert fitted(numbers, LABELS.astype(np.uint8), path) == expected


def test_models_see_floats_whatever_the_type_of_the_data() -> None:
    seen = []

    class Noting(nn.Module):
        def __init__(self) -> None:
            self.inner = model()

        def forward(self, x: Any) -> Any:
            seen.extend(map(type, x))
            return self.inner(x)

    nn.predict(Noting(), np.ones((2, 3), int), path="scalar")
    assert {*seen} == {float}


def test_metrics_see_floats_whatever_the_type_of_the_labels() -> None:
    seen = []

    def noted(y: Any, predicted: Any) -> float:
        seen.append(y.dtype.name)
        return 0.0

    fitted(X, LABELS.astype(np.uint8), metrics=[noted])
    assert {*seen} == {"float64"}


def test_memory_maps_are_trained_on_without_a_copy(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", np.tile(X, (100, 1)))
    y = np.tile(LABELS, 100)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert fitted(mapped, y) == fitted(np.array(mapped), y)


def test_checks_copy_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "_LOOKED_AT", 1000)
    large = np.tile(X, (10_000, 1))
    tracemalloc.start()
    assert examples.checked_rows(large, "X") is large
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < large.nbytes // 20


@pytest.mark.parametrize("some", [1, 7, 60, 1 << 20])
def test_the_first_number_that_is_not_finite_is_named(
    some: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "_LOOKED_AT", some)
    spoilt = X.copy()
    spoilt[17, 2], spoilt[18, 0] = np.inf, np.nan
    with pytest.raises(ValueError, match="X has inf in row 17, column 2"):
        fitted(spoilt, LABELS)
    deep = np.zeros((4, 2, 3))
    deep[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="X has nan in row 3, position 1, column 2"):
        examples.checked_rows(deep, "X")


@pytest.mark.parametrize("path", ["scalar", "vectorised", "auto"])
@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ((X, LABELS[:, None] * [1.0, 1.0, 1.0]), r"a target of shape \(\) or \(4,\), not \(3,\)"),
        ((X, LABELS + 4), "4"),
    ],
    ids=["another shape", "another class"],
)
def test_validation_data_that_do_not_fit_are_found_before_the_first_update(
    path: str, held_out: Any, message: str
) -> None:
    trained = model()
    before = [p.data for p in trained.parameters()]
    with pytest.raises((ValueError, IndexError), match=message):
        nn.fit(
            trained,
            X,
            LABELS,
            loss=nn.CrossEntropyLoss(),
            optimizer=nn.SGD(trained.parameters(), lr=0.1),
            epochs=1,
            path=path,  # type: ignore[arg-type]
            validation_data=held_out,
            progress=False,
        )
    assert [p.data for p in trained.parameters()] == before
