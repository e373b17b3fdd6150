"""engine.kinks: what is near a tie is found, with both slopes and the line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import engine
import nn
from engine.explaining.ties import nearest
from engine.ops import TABLE, Op

# For each kind of place that a row may say: operands at it, with one to be moved.
AT = [(0.0,), (2.0,), (2.5,), (0.0, 0.5), (1.5, 1.5), (0.0, 0.0), (7.5, 2.5), (0.0, -1.0)]
KINKED = [op for op in TABLE.values() if op.kink is not None]


@pytest.mark.parametrize("op", KINKED, ids=[op.name for op in KINKED])
def test_every_row_with_a_kink_is_found_near_it_and_not_far_from_it(op: Op) -> None:
    ties = [numbers for numbers in AT if len(numbers) == op.arity and op.has_kink(numbers)]
    assert ties
    for numbers in ties:
        found = nearest(op, numbers, 0.0)
        assert found is not None and found.distance == 0.0
        for k in range(op.arity):
            moved = [x + 1e-7 * (i == k) for i, x in enumerate(numbers)]
            found = nearest(op, moved, 1e-6)
            assert found is not None and found.distance <= 1.01e-7
    for numbers in [(0.3,), (0.3, 0.7)]:
        if len(numbers) == op.arity:
            assert nearest(op, numbers, 1e-6) is None


def test_slopes_of_both_sides_distance_and_line() -> None:
    def f(x, y):
        a = engine.leaky_relu(x, 0.1)
        return a + engine.maximum(x, y)

    first, second = engine.kinks(f, 1e-8, 2e-8)
    assert (first.operation, first.operands) == ("leaky_relu", (1e-8, 0.1))
    assert (first.left, first.right) == pytest.approx((0.1, 1.0))
    assert first.distance == 1e-8 and first.line is not None
    assert first.line.text == "a = engine.leaky_relu(x, 0.1)"
    assert Path(first.line.file).name == "test_kinks.py"
    assert second.operation == "maximum" and second.distance == pytest.approx(1e-8)
    assert (second.left, second.right) == pytest.approx((0.0, 1.0))
    assert "from its tie, where the derivative by operand 1 is 0.1 below it and 1 above" in str(
        first
    )
    assert engine.kinks(f, 1e-8, 2e-8, eps=1e-9) == []


def test_jumps_and_comparisons() -> None:
    def f(x):
        if x < 2.0:
            return x
        return engine.floor(x)

    jump, comparison = engine.kinks(f, 2.0)
    assert (jump.operation, jump.left) == ("floor", None) and abs(jump.jump) == pytest.approx(1.0)
    assert comparison.operation == "less" and comparison.operands == (2.0, 2.0)
    assert comparison.line is not None and comparison.line.text == "if x < 2.0:"
    assert "jumps by 1" in str(jump)


def test_the_parameters_of_a_module() -> None:
    layer = nn.Linear(1, 1)
    layer.weight[0][0].data, layer.bias[0].data = 2.0, -1.0
    model = nn.Sequential(layer, nn.ReLU())
    (kink,) = engine.kinks(lambda: model([0.5])[0], wrt=model)
    assert kink.operation == "relu" and kink.distance == 0.0


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="kinks takes a function, which it runs, not a float"):
        engine.kinks(3.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="eps is a distance, 0 or more, not nan"):
        engine.kinks(engine.relu, 0.0, eps=math.nan)
    with pytest.raises(TypeError, match="needs inputs"):
        engine.kinks(lambda: engine.relu(0.0))
