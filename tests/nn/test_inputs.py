"""Models of several inputs: in fit, predict, evaluate and compare_paths, by place and by name."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn

_rng = np.random.default_rng(0)
A, B = _rng.normal(size=(40, 2)), _rng.normal(size=(40, 1))
Y = A[:, :1] * B
WAYS = {"by place": (A, B), "by name": {"b": B, "a": A}}
PATHS = ["scalar", "vectorised"]


class Two(nn.Module):
    def __init__(self) -> None:
        rng = random.Random(0)
        self.left, self.right = nn.Linear(2, 3, rng=rng), nn.Linear(1, 3, rng=rng)
        self.out = nn.Linear(3, 1, rng=rng)

    def forward(self, a: list[Any], b: list[Any]) -> Any:
        pairs = zip(self.left(a), self.right(b), strict=True)
        return self.out([engine.tanh(x + y) for x, y in pairs])


class Joined(Two):
    """The same on one input."""

    def forward(self, x: list[Any]) -> Any:  # type: ignore[override]
        return super().forward(x[:2], x[2:])


def fitted(model: nn.Module, X: Any, y: Any = Y, **options: Any) -> list[float]:
    told: dict[str, Any] = {"epochs": 3, "batch_size": 16, "shuffle": True, "progress": False}
    optimizer = nn.Adam(model.parameters(), lr=0.01)
    history = nn.fit(model, X, y, loss=nn.MSELoss(), optimizer=optimizer, **{**told, **options})
    return [*history.loss, *history.val_loss, *[p.data for p in model.parameters()]]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", WAYS)
def test_several_inputs_are_trained_on_as_one_of_all_their_numbers(way: str, path: Any) -> None:
    X, joined = WAYS[way], np.hstack([A, B])
    options: dict[str, Any] = {"path": path, "sample_weight": np.arange(40.0)}
    found = fitted(Two(), X, validation_data=(X, Y), **options)
    expected = fitted(Joined(), joined, validation_data=(joined, Y), **options)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-14)
    outputs = nn.predict(Two(), X, path=path)
    assert outputs == pytest.approx(nn.predict(Joined(), joined, path=path), rel=1e-12)
    loss = nn.evaluate(Two(), X, Y, loss=nn.MSELoss(), path=path)
    assert loss == pytest.approx(np.mean((outputs - Y) ** 2))


@pytest.mark.parametrize("way", WAYS)
def test_paths_are_compared(way: str) -> None:
    comparison = nn.compare_paths(Two(), WAYS[way], Y, loss=nn.MSELoss())
    assert comparison.largest_difference <= 1e-12 * comparison.largest_gradient


def test_a_loader_has_the_target_last() -> None:
    loader = nn.DataLoader(nn.TensorDataset(A, B, Y), batch_size=16)
    found = fitted(Two(), loader, None, batch_size=None, shuffle=False)
    assert found == fitted(Two(), (A, B), shuffle=False)


@pytest.mark.parametrize("path", PATHS)
def test_checkpoints_and_early_stopping(path: Any, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    stopping = nn.EarlyStopping(patience=2)
    options: dict[str, Any] = {"path": path, "validation_data": ((A, B), Y)}
    whole = fitted(Two(), (A, B), early_stopping=stopping, **options)
    options |= {"early_stopping": stopping, "checkpoint": tmp_path}
    fitted(Two(), (A, B), **{**options, "epochs": 1})
    assert fitted(Two(), (A, B), **options) == whole
    with pytest.raises(nn.CheckpointError, match="examples"):
        fitted(Two(), (A, B[::-1]), **options)


def test_a_nan_is_named_with_its_input() -> None:
    spoilt = A.copy()
    spoilt[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"X\[0\] has nan in row 3, column 1"):
        fitted(Two(), (spoilt, B))
    with pytest.raises(ValueError, match=r"X\['a'\] has nan in row 3, column 1"):
        fitted(Two(), {"a": spoilt, "b": B})


TUPLE = "Several inputs are a tuple of arrays, or a dict"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ((A, B[1:]), Y, r"different numbers of rows: X\[0\] 40, X\[1\] 39"),
        ({"a": A, "b": B[1:]}, Y, r"different numbers of rows: X\['a'\] 40, X\['b'\] 39"),
        (A, Y, rf"Two.forward\(a, b\) can't be called.*inputs of X, 1: missing .*'b'\. {TUPLE}"),
        ((A, B, B), Y, "inputs of X, 3: too many"),
        ({"a": A}, Y, r"inputs of X, \['a'\]: missing a required argument: 'b'"),
        ({"a": A, "c": B}, Y, r"inputs of X, \['a', 'c'\]"),
        ({1: A, 2: B}, Y, r"forward's names for them as keys, not \[1, 2\]"),
        ([A, B], Y, r"several inputs of a model are a tuple of arrays, X=\(a, b\)"),
        ([A, A], Y, r"X has 2 rows and y has 40: several inputs of a model are a tuple"),
        ((A, B), (Y, Y), "X has 40 rows and y has 2: several targets .* np.column_stack"),
        ((), Y, "X is empty"),
    ],
)
def test_what_does_not_fit_is_said(X: Any, y: Any, message: str, path: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fitted(Two(), X, y, path=path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("held_out", [A, {"a": A, "c": B}])
def test_validation_data_of_other_inputs_are_refused_before_the_first_update(
    held_out: Any, path: Any
) -> None:
    model = Two()
    before = [p.data for p in model.parameters()]
    with pytest.raises(TypeError, match="can't be called with the inputs of X"):
        fitted(model, (A, B), path=path, validation_data=(held_out, Y))
    assert [p.data for p in model.parameters()] == before


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["dict", "tuple"])
def test_a_loss_of_one_output_says_so_and_a_function_takes_several(kind: str, path: Any) -> None:
    class Outputs(Two):
        def forward(self, a: list[Any], b: list[Any]) -> Any:
            outputs = {"left": self.left(a), "out": super().forward(a, b)}
            return outputs if kind == "dict" else tuple(outputs.values())

    with pytest.raises(TypeError, match=rf"several outputs, a {kind}, and MSELoss is of one: "):
        fitted(Outputs(), (A, B), path=path)

    def loss(output: Any, target: Any) -> Any:
        return (output["out" if kind == "dict" else 1][0] - target[0]) ** 2

    optimizer = nn.Adam((model := Outputs()).parameters(), lr=0.01)
    told: dict[str, Any] = {"epochs": 3, "batch_size": 16, "shuffle": True, "progress": False}
    nn.fit(model, (A, B), Y, loss=loss, optimizer=optimizer, path=path, **told)
    found = [p.data for p in model.parameters()]
    assert found == pytest.approx(fitted(Two(), (A, B), path=path)[3:], rel=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_predictions_of_several_outputs_are_as_the_model_has_them(path: Any) -> None:
    class Outputs(Two):
        def forward(self, a: list[Any], b: list[Any]) -> Any:
            return {"left": self.left(a), "both": (self.right(b), super().forward(a, b))}

    found = nn.predict(Outputs(), (A, B), path=path)
    assert found["left"].shape == (40, 3)  # type: ignore[call-overload]
    right, out = found["both"]  # type: ignore[call-overload]
    assert right.shape == (40, 3) and out == pytest.approx(nn.predict(Two(), (A, B)))
