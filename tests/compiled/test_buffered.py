"""Programs with buffers: the same numbers as by value_and_grad, on every path."""

from __future__ import annotations

import math

import numpy as np
import pytest

import engine
from engine import Value


def f(p, scale):
    return scale * engine.sin(p[0]) * p[1] + engine.exp(p[0] - p[1])


def test_the_value_and_the_gradient_are_those_of_the_program() -> None:
    program = engine.compile(f, argnums=(0, 1))
    buffered = program.buffered([0.0, 0.0], 1.0)
    for numbers in ([0.5, -1.0, 2.0], [1.5, 3.0, -1.0]):
        buffered.numbers[:] = numbers
        value, (by_p, by_scale) = program.value_and_grad(numbers[:2], numbers[2])
        assert buffered() == value
        assert buffered.gradient.tolist() == [*by_p, by_scale]


def test_the_gradient_is_by_argnums() -> None:
    buffered = engine.compile(f, argnums=1).buffered([0.5, -1.0], 2.0)
    value = buffered()
    assert buffered.gradient == pytest.approx([(value - math.exp(1.5)) / 2.0])


def test_leaves_of_wrt_follow_the_arguments() -> None:
    w, unused = Value(2.0), Value(7.0)
    program = engine.compile(lambda x: w * x * x, wrt=[unused, w])
    buffered = program.buffered(3.0)
    assert buffered.numbers.tolist() == [3.0, 7.0, 2.0]
    buffered.numbers[:] = 2.0, 1.0, 5.0
    assert buffered() == 20.0
    assert buffered.gradient.tolist() == [0.0, 4.0]


def test_other_leaves_are_read_at_every_call() -> None:
    w, c = Value(2.0), Value(3.0)
    buffered = engine.compile(lambda: w * c, wrt=[w]).buffered()
    assert buffered() == 6.0
    c.data = 5.0
    assert buffered() == 10.0
    assert buffered.gradient.tolist() == [5.0]


def test_a_branch_that_comes_out_otherwise_is_traced() -> None:
    program = engine.compile(lambda x: x * x if x > 0 else -3.0 * x)
    buffered = program.buffered(1.0)
    figures = []
    for x in (2.0, -2.0, 3.0, -1.0):
        buffered.numbers[0] = x
        figures.append((buffered(), buffered.gradient[0]))
    assert figures == [(4.0, 4.0), (6.0, -3.0), (9.0, 6.0), (3.0, -3.0)]


def test_what_was_not_chosen_spoils_no_gradient() -> None:
    def g(x):
        return engine.where(x > 0, engine.sqrt(x) * x, 0.0) + x * 2.0

    buffered = engine.compile(g).buffered(0.0)
    assert buffered() == 0.0
    assert buffered.gradient.tolist() == [engine.grad(g)(0.0)]


def test_draws_are_new_at_every_call() -> None:
    buffered = engine.compile(lambda x: x * engine.random()).buffered(1.0)
    assert len({buffered() for _ in range(5)}) == 5


def test_single_precision() -> None:
    buffered = engine.compile(f, dtype=np.float32).buffered([0.5, -1.0], 2.0)
    assert buffered.numbers.dtype == buffered.gradient.dtype == np.float32
    assert buffered() == pytest.approx(f([0.5, -1.0], 2.0), rel=1e-6)


def test_what_has_no_buffers() -> None:
    with pytest.raises(ValueError, match="without batched arguments"):
        engine.compile(lambda x: x, in_axes=0, reduce="sum").buffered([1.0, 2.0])
    with pytest.raises(TypeError, match="a gradient is of one number"):
        engine.compile(lambda x: [x, x]).buffered(1.0)
