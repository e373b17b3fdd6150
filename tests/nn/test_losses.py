"""Losses: reductions, edges, and what they say of shapes."""

import math

import numpy as np
import pytest

import engine
import nn
from engine import Value


def test_reductions() -> None:
    y, t = [[Value(1.0), Value(2.0)], [Value(3.0), Value(5.0)]], [[0.0, 0.0], [0.0, 0.0]]
    assert nn.MSELoss()(y, t).data == 39.0 / 4
    assert nn.MSELoss("sum")(y, t).data == 39.0
    each = nn.MSELoss("none")(y, np.array(t))
    assert [[term.data for term in row] for row in each] == [[1.0, 4.0], [9.0, 25.0]]


def test_a_bare_value_is_an_output_too() -> None:
    loss = nn.MSELoss()(Value(3.0), 1.0)
    assert loss.data == 4.0
    assert nn.MSELoss("none")(Value(3.0), 1.0).data == 4.0


@pytest.mark.parametrize(
    ("p", "t", "expected"),
    [(1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, 100.0), (1.0, 0.0, 100.0), (0.5, 0.3, 0.6931)],
)
def test_binary_cross_entropy_at_its_edges(p: float, t: float, expected: float) -> None:
    assert nn.BCELoss()([p], [t]) == pytest.approx(expected, abs=1e-4)


def test_the_gradient_of_binary_cross_entropy_is_finite_at_the_edges() -> None:
    smallest = float(np.float32(1e-12))
    assert engine.grad(lambda p: nn.BCELoss()(p, 1.0))(0.0) == -1.0 / smallest
    assert engine.grad(lambda p: nn.BCELoss()(p, 1.0))(1.0) == 0.0
    assert engine.grad(lambda p: nn.BCELoss()(p, 1.0))(0.25) == pytest.approx(-4.0, rel=1e-15)


def test_a_loss_of_logits_is_told_that_a_sigmoid_is_missing() -> None:
    with pytest.raises(ValueError, match=r"the input is .*is a Sigmoid missing"):
        nn.BCELoss()([Value(1.5)], [1.0])
    with pytest.raises(ValueError, match=r"target is 2\.0"):
        nn.BCELoss()([Value(0.5)], [2.0])
    with pytest.raises(ValueError):
        nn.BCELoss()([Value(math.nan)], [1.0])


@pytest.mark.parametrize(
    ("y", "t", "message"),
    [
        ([1.0, 2.0], [1.0], "the output has 2 numbers here, the target 1"),
        ([1.0], 1.0, "the output has 1 numbers here, the target one number"),
        (1.0, [1.0], "the output is one number, the target a list of 1"),
        ([[1.0], [2.0]], [[1.0], [2.0, 3.0]], "1 numbers here, the target 2"),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_shapes_that_differ_are_named(y, t, message: str, reduction) -> None:
    with pytest.raises(ValueError, match=message):
        nn.MSELoss(reduction)(y, t)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="'average'"):
        nn.MSELoss(reduction="average")
