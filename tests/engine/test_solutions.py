"""Solutions of equations: against closed forms, at orders 1 to 3, eager and compiled."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value, fixed_point, grad, solve


def root(a: Any) -> Any:
    """The square root, of whose derivatives the first three are known."""
    return solve(lambda x, a: x * x - a, 1.0, a)


def root_by_steps(a: Any) -> Any:
    """The same as a fixed point, by a step that converges slowly."""
    return fixed_point(lambda x, a: x - 0.25 * (x * x - a), 1.0, a)


def anomaly(p: list[Any]) -> Any:
    """Kepler's equation: eccentricity and mean anomaly to eccentric anomaly."""
    return solve(lambda E, e, M: E - e * engine.sin(E) - M, p[1], *p)


def crossing(p: list[Any]) -> Any:
    """Of two curves, always in one point; in a dict with a list."""

    def residual(u: Any, a: Any) -> Any:
        x, (y,) = u["x"], u["y"]
        return {"x": x + x**3 + y - a, "y": [y + y**3 - x - p[1]]}

    found = solve(residual, {"x": 1.0, "y": [1.0]}, p[0])
    return found["x"] * found["y"][0]


ROOTS = pytest.mark.parametrize("f", [root, root_by_steps])
SMOOTH = pytest.mark.parametrize(
    ("f", "point"), [(anomaly, [0.3, 0.8]), (crossing, [4.2, 1.1]), (lambda p: root(p[0]), [3.0])]
)
DERIVATIVES = [1.0, 0.5, -0.25, 0.375]  # of the square root at 1, by order


# --- against closed forms -----------------------------------------------------------------------


@ROOTS
def test_derivatives_of_a_square_root_to_the_third_order(f: Callable[[Any], Any]) -> None:
    for order, factor in enumerate(DERIVATIVES):
        assert f(2.0) == pytest.approx(factor * 2.0 ** (0.5 - order), rel=1e-9)
        f = grad(f)


@ROOTS
def test_so_in_compiled_programs(f: Callable[[Any], Any]) -> None:
    for order, factor in enumerate(DERIVATIVES[:3]):
        program = engine.compile(f)
        value, slope = program.value_and_grad(2.0)
        assert value == pytest.approx(factor * 2.0 ** (0.5 - order), rel=1e-9)
        assert slope == pytest.approx(DERIVATIVES[order + 1] * 2.0 ** (-0.5 - order), rel=1e-9)
        f = grad(f)


def test_each_example_of_a_batch_has_its_own_solution() -> None:
    a = np.array([2.0, 1e-3, 1e6])
    program = engine.compile(root, in_axes=0)
    values, slopes = program.value_and_grad(a)
    np.testing.assert_allclose(values, np.sqrt(a), 1e-12)
    np.testing.assert_allclose(slopes, 0.5 / np.sqrt(a), 1e-12)
    assert str(program).count("while a condition holds") == 1


def test_keplers_equation() -> None:
    e, mean = 0.3, 0.8
    found, slopes = engine.value_and_grad(anomaly)([e, mean])
    assert found - e * math.sin(found) == pytest.approx(mean, abs=1e-15)
    share = 1.0 / (1.0 - e * math.cos(found))
    assert slopes == pytest.approx([math.sin(found) * share, share])


@SMOOTH
def test_derivatives_agree_with_differences(f: Callable[..., Any], point: list[float]) -> None:
    assert engine.gradcheck(f, (point,))
    assert engine.gradcheck(lambda p: engine.sum(grad(f)(p)), (point,), order=2)  # so to order 3
    engine.testing.assert_gradients(f, point)


@SMOOTH
def test_compiled_is_eager(f: Callable[..., Any], point: list[float]) -> None:
    rows = np.array(point) * np.random.default_rng(0).uniform(0.9, 1.1, (5, len(point)))
    values, gradients = engine.compile(f, in_axes=0).value_and_grad(rows)
    for row, value, gradient in zip(rows.tolist(), values, gradients, strict=True):
        wanted = engine.value_and_grad(f)(row)
        assert value == pytest.approx(wanted[0], rel=1e-12)
        assert gradient == pytest.approx(wanted[1], rel=1e-10)
    second = engine.compile(lambda p: engine.sum(grad(f)(p))).grad(point)
    dense = np.array(engine.hessian(f)(point))
    assert second == pytest.approx(np.sum(dense, axis=0), rel=1e-9)
    sparse = engine.sparse_hessian(f)(point).toarray()
    assert sparse == pytest.approx(dense, rel=1e-9, abs=1e-9)


def test_a_linear_system_of_many_unknowns() -> None:
    rng = np.random.default_rng(1)
    A, b = rng.normal(size=(7, 7)), rng.normal(size=7)

    def total(b: Any) -> Any:
        x = solve(
            lambda x: [engine.dot(row, x) - c for row, c in zip(A, b, strict=True)], [0.0] * 7
        )
        return engine.sum(x)

    value, gradient = engine.value_and_grad(total)(b.tolist())
    assert value == pytest.approx(np.linalg.solve(A, b).sum())
    assert gradient == pytest.approx(np.linalg.solve(A.T, np.ones(7)))


# --- what it is called with ---------------------------------------------------------------------


def test_numbers_in_give_numbers_out_in_the_structure_of_x0() -> None:
    found = solve(lambda u: (u[0] - 1.0, {"b": u[1]["b"] - u[0]}), (0, {"b": 0.0}))
    assert found == (1.0, {"b": 1.0})
    assert type(found[0]) is float
    array = solve(lambda x: x - np.array([1.0, 2.0]), np.zeros(2))
    np.testing.assert_array_equal(array, [1.0, 2.0])


def test_values_that_the_residual_reads_get_their_derivative() -> None:
    a = Value(2.0)
    x = solve(lambda x: x * x - a, 1.0)
    (x * 3.0).backward()
    assert a.grad == pytest.approx(1.5 / math.sqrt(2.0))
    program = engine.compile(lambda b: solve(lambda x: x * x - a - b, 1.0), wrt=a)
    assert program.grad(1.0) == pytest.approx(0.5 / math.sqrt(3.0))
    a.data = 7.0
    assert program(2.0) == pytest.approx(3.0)


def test_modules_that_the_step_calls_get_theirs() -> None:
    layer = nn.Linear(2, 2)
    for p in layer.parameters():
        p.data = 0.3 * p.data

    def loss() -> Any:
        return engine.sum(fixed_point(lambda h: [engine.tanh(z) for z in layer(h)], [0.1, 0.2]))

    loss().backward()
    weight = layer.parameters()[0]
    before, h = weight.data, 1e-5
    weight.data = before + h
    above = loss().data
    weight.data = before - h
    assert weight.grad == pytest.approx((above - loss().data) / (2 * h), rel=1e-6)


def test_x0_has_no_derivative_and_no_grad_keeps_none() -> None:
    assert grad(lambda x0: solve(lambda x: x * x - 2.0, x0))(1.0) == 0.0
    with engine.no_grad():
        x = solve(lambda x, a: x * x - a, 1.0, Value(2.0))
    assert isinstance(x, Value)
    assert x.args == ()


def test_it_stands_in_a_loop() -> None:
    """Implicit Euler's method."""

    def last(k: Any) -> Any:
        def step(y: Any, _: Any) -> Any:
            return solve(lambda z, y: z - y + 0.1 * k * z * z, y, y), None

        return engine.scan(step, 1.0, length=10)[0]

    eager = engine.value_and_grad(last)(2.0)
    assert engine.gradcheck(last, 2.0)
    program = engine.compile(last, in_axes=0)
    value, slope = program.value_and_grad(np.array([2.0, 1.0]))
    assert (value[0], slope[0]) == pytest.approx(eager)
    text = str(program)  # one loop in another
    assert (text.count("for t in range(10)"), text.count("while a condition holds")) == (1, 1)
    with pytest.raises(RuntimeError, match="solve has not converged"):
        program(np.array([2.0, -30.0]))


def test_forward_mode_and_a_leaf_assigned_since() -> None:
    assert engine.jvp(root, (2.0,), (3.0,))[1] == pytest.approx(1.5 / math.sqrt(2.0))
    a = Value(2.0)
    x = root(a)
    a.data = 3.0
    with pytest.raises(engine.GraphError, match="was assigned"):
        engine.gradients(x, a, create_graph=True)


# --- what can be wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: solve(lambda x: x * x + 1.0, 0.7), RuntimeError, "not converged after 50 steps"),
        (lambda: solve(lambda x: x * x, 1.0), RuntimeError, "a double root"),
        (lambda: solve(lambda x: x * x, 0.0), RuntimeError, "Jacobian is singular"),
        (lambda: solve(lambda x: [x[0] + x[1]] * 2, [1.0, 2.0]), RuntimeError, "singular"),
        (lambda: solve(engine.log, 5.0), RuntimeError, "residual is nan at x = -3.04"),
        (lambda: fixed_point(lambda x: 2.0 * x + 1.0, 1.0), RuntimeError, "not converged"),
        (lambda: fixed_point(lambda x: x, 1.0), RuntimeError, "singular"),
        (lambda: solve(lambda x: x[:1], [1.0, 2.0]), ValueError, "2 entries, not 1"),
        (lambda: solve(lambda x: None, 1.0), TypeError, "not a NoneType"),
        (lambda: solve(lambda x, a: x - a, 1.0), TypeError, "missing a required argument: 'a'"),
        (lambda: solve(lambda x: x, 1.0, tolerance=1e-17), ValueError, "what rounding allows"),
        (lambda: solve(lambda x: x, 1.0, max_steps=0), ValueError, "max_steps is a whole number"),
        (lambda: solve(1.0, 1.0), TypeError, "takes a function"),
        (lambda: solve(lambda x: x, []), ValueError, "nothing to find"),
        (lambda: solve(lambda x: x - engine.random(), 1.0), TypeError, "random numbers"),
        (lambda: root(-1.0), RuntimeError, "singular"),
        (lambda: engine.compile(root)(-1.0), RuntimeError, "singular"),
    ],
)
def test_bad_input_is_told(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        call()


def test_a_residual_that_keeps_state_is_told() -> None:
    seen: list[float] = []

    def residual(x: Any) -> Any:
        seen.append(1.0)
        return x - len(seen)

    with pytest.raises(TypeError, match="changes seen"):
        solve(residual, 0.0)


def test_an_example_of_a_batch_without_a_solution_is_told() -> None:
    program = engine.compile(root, in_axes=0)
    program(np.array([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="singular"):
        program(np.array([1.0, -1.0]))
