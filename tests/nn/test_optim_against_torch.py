"""Optimisers and schedulers against PyTorch's figures, frozen and live."""

import math
from typing import Any

import pytest

import nn
from engine import Value
from optimizer_cases import (
    BATCH,
    CASES,
    EPOCHS,
    RUNS,
    SCHEDULES,
    WEIGHTS,
    X,
    Y,
    descend,
    kept,
    optimizer_figures,
    rates,
)
from oracle_cases import Figures, frozen, numbers


@pytest.fixture(
    params=["frozen", pytest.param("live", marks=pytest.mark.oracle)],
    scope="module",
)
def figures(request: pytest.FixtureRequest) -> Figures:
    """PyTorch's figures by the names of the cases."""
    if request.param == "frozen":
        return frozen("optimizer_figures")
    return optimizer_figures(pytest.importorskip("torch"))


def assert_agree(actual: Any, expected: Any) -> None:
    """To 1e-10 of the largest number in each column."""
    assert len(actual) == len(expected)
    for column, (found, wanted) in enumerate(zip(actual, expected, strict=True)):
        allowed = 1e-10 * max(abs(x) for _, x in numbers(wanted))
        for (place, y), (_, x) in zip(numbers(found), numbers(wanted), strict=True):
            near = math.isclose(y, x, rel_tol=0.0, abs_tol=allowed)
            assert near, f"[{column}]{place} is {y!r}, expected {x!r}"


@pytest.mark.parametrize("name", CASES)
def test_steps(figures: Figures, name: str) -> None:
    actual, expected = kept(descend(nn, Value, name)), figures[name]
    if "refused" in (actual, expected):
        assert actual == expected
    else:
        assert_agree(actual, expected)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(figures: Figures, name: str) -> None:
    actual, expected = rates(nn, nn, Value, name), figures[f"rates of {name}"]
    assert_agree(actual, expected)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("name", RUNS)
def test_training(figures: Figures, name: str, path: str) -> None:
    optimizer_name, settings, interval, scheduler_name, told = RUNS[name]
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    model.load_state_dict(WEIGHTS)
    optimizer, scheduler = getattr(nn, optimizer_name)(model.parameters(), **settings), None
    if scheduler_name:
        scheduler = getattr(nn, scheduler_name)(optimizer, **told, interval=interval)
    options = {"loss": nn.MSELoss(), "epochs": EPOCHS, "batch_size": BATCH, "progress": False}
    options |= {"optimizer": optimizer, "scheduler": scheduler}
    history = nn.fit(model, X, Y, path=path, **options)
    parameters = [p.data for p in model.parameters()]
    assert_agree([[*history.step_loss, *parameters]], [figures[name]])
