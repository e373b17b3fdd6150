"""Optimisers against PyTorch's figures, frozen and live."""

import math
from typing import Any

import pytest

import nn
from engine import Value
from optimizer_cases import CASES, descend, kept, optimizer_figures
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
