"""Predictions and losses by programs: some rows at a time, and few rows by what was compiled."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import engine
import nn
from nn import predicting
from notes import Notes

X = np.random.default_rng(0).normal(size=(120, 2))
Y = X[:, :1] * X[:, 1:]


class Noted(nn.Module):
    """Notes each time that it is run."""

    def __init__(self, notes: Notes, draws: bool = False) -> None:
        self.inner = nn.MLP(2, [3, 2], rng=random.Random(0))
        self.notes, self.draws = notes, draws

    def forward(self, x: Any) -> Any:
        self.notes.add()
        outputs = self.inner(x)
        if self.draws:
            outputs[0] = outputs[0] + engine.random()
        return [outputs[0] - outputs[1]]


def test_what_was_compiled_serves_for_few_rows_too() -> None:
    notes = Notes()
    model = Noted(notes)
    few = nn.predict(model, X[:3])
    assert len(notes) == 3
    nn.predict(model, X)
    before = len(notes)
    np.testing.assert_allclose(nn.predict(model, X[:3]), few, rtol=1e-12, atol=1e-15)
    assert len(notes) == before


@pytest.mark.parametrize("draws", [False, True])
def test_rows_in_blocks_give_what_all_at_once_give(
    draws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Noted(Notes(), draws)
    outputs = nn.predict(model, X)
    loss = nn.evaluate(model, X, Y, loss=nn.MSELoss())
    monkeypatch.setattr(predicting, "_AT_ONCE", 30)
    np.testing.assert_allclose(nn.predict(model, X), outputs, rtol=1e-12, atol=1e-15)
    assert nn.evaluate(model, X, Y, loss=nn.MSELoss()) == pytest.approx(loss, rel=1e-12)


def test_the_mode_of_every_module_is_put_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Sequential(nn.Linear(2, 1)))
    model[2].eval()
    modes = [module.training for module in model.modules()]
    nn.predict(model, X[:2])
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("path", ["auto", "scalar"])
def test_of_no_rows_nothing_is_predicted(path: Any) -> None:
    assert nn.predict(nn.Linear(2, 1), [], path=path).shape == (0,)
