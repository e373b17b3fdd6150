"""Differential equations: against closed forms and SciPy, by their steps and by the adjoint."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import engine
from engine import Value, grad, integrate

WAYS = {
    "equal steps": {"steps": 40},
    "adaptive": {"rtol": 1e-9, "atol": 1e-11},
    "equal steps, adjoint": {"steps": 40, "derivative": "adjoint"},
    "adaptive, adjoint": {"rtol": 1e-9, "atol": 1e-11, "derivative": "adjoint"},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How it is integrated."""
    return WAYS[request.param]


def decay(t: Any, y: Any, k: Any) -> Any:
    """Whose solution is exp(-k t)."""
    return -k * y


def van_der_pol(t: Any, u: Any, mu: Any) -> Any:
    """An oscillator, as a dict."""
    return {"x": u["v"], "v": mu * (1.0 - u["x"] * u["x"]) * u["v"] - u["x"]}


def oscillation(way: dict[str, Any]) -> Callable[[Any], Any]:
    """The sum of where the oscillator is at two times."""

    def total(p: Any) -> Any:
        times = [0.0, 0.7, 2.0]
        found = integrate(van_der_pol, {"x": p[1], "v": 0.1}, times, p[0], **way)
        return found[1]["x"] + found[2]["x"]

    return total


def test_derivatives_of_decay(way: dict[str, Any]) -> None:
    def f(k: Any) -> Any:
        return integrate(decay, 1.0, [0.0, 0.5, 1.0], k, **way)[-1]

    for order in range(3):
        assert f(2.0) == pytest.approx((-1.0) ** order * math.exp(-2.0), rel=1e-6)
        f = grad(f)


@pytest.mark.parametrize("derivative", ["steps", "adjoint"])
def test_third_derivatives(derivative: Any) -> None:
    def f(k: Any) -> Any:
        return integrate(decay, 1.0, [0.0, 1.0], k, steps=12, derivative=derivative)[-1]

    assert grad(grad(grad(f)))(2.0) == pytest.approx(-math.exp(-2.0), rel=1e-3)


def test_compiled_is_eager(way: dict[str, Any]) -> None:
    f = oscillation(way)
    rows = np.array([[1.5, 2.0], [0.3, 1.0], [2.0, -1.0]])
    values, gradients = engine.compile(f, in_axes=0).value_and_grad(rows)
    for row, value, gradient in zip(rows.tolist(), values, gradients, strict=True):
        wanted = engine.value_and_grad(f)(row)
        assert value == pytest.approx(wanted[0], rel=1e-10)
        # by the adjoint the eager one is another number, as exact as the integration
        assert gradient == pytest.approx(wanted[1], rel=1e-4 if "derivative" in way else 1e-9)


def test_the_adjoint_in_a_compiled_gradient() -> None:
    def f(k: Any) -> Any:
        return integrate(decay, 1.0, [0.0, 1.0], k, steps=4, derivative="adjoint")[-1]

    assert engine.compile(grad(f))(2.0) == pytest.approx(grad(f)(2.0), rel=1e-12)


def test_the_oscillator_is_scipys(way: dict[str, Any]) -> None:
    def slope(t: float, u: Any, mu: float) -> list[float]:
        return [u[1], mu * (1.0 - u[0] * u[0]) * u[1] - u[0]]

    def total(mu: float, x: float) -> float:
        times = [0.7, 2.0]
        options: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-13, "method": "DOP853"}
        found = solve_ivp(slope, (0.0, 2.0), [x, 0.1], t_eval=times, args=(mu,), **options)
        return float(found.y[0].sum())

    value, gradient = engine.value_and_grad(oscillation(way))([1.5, 2.0])
    assert value == pytest.approx(total(1.5, 2.0), rel=1e-6)
    h = 1e-4
    by_mu = (total(1.5 + h, 2.0) - total(1.5 - h, 2.0)) / (2 * h)
    by_x = (total(1.5, 2.0 + h) - total(1.5, 2.0 - h)) / (2 * h)
    assert gradient == pytest.approx([by_mu, by_x], rel=1e-5)


def test_what_begins_at_0_may_have_a_relative_tolerance_alone() -> None:
    def last(k: Any) -> Any:
        return integrate(lambda t, y, k: [k - y[0], 0.0 * y[1]], [0.0] * 2, [0.0, 1.0], k, atol=0.0)

    wanted = 1.0 - math.exp(-1.0)
    assert last(1.0)[-1] == pytest.approx([wanted, 0.0], rel=1e-6)
    program = engine.compile(lambda k: last(k)[-1][0])
    assert program.value_and_grad(1.0) == pytest.approx((wanted, wanted), rel=1e-6)


def test_a_slope_that_depends_on_time_and_a_derivative_by_time() -> None:
    def last(end: Any) -> Any:
        return integrate(lambda t, y: engine.cos(t), 0.0, [0.0, end], rtol=1e-9)[-1]

    assert last(2.0) == pytest.approx(math.sin(2.0), rel=1e-8)
    assert grad(last)(2.0) == pytest.approx(math.cos(2.0), rel=1e-6)


def test_values_that_the_slope_reads_get_their_derivative(way: dict[str, Any]) -> None:
    k = Value(2.0)
    y = integrate(lambda t, y: -k * y, 1.0, [0.0, 0.5, 1.0], **way)[-1]
    y.backward()
    assert k.grad == pytest.approx(-math.exp(-2.0), rel=1e-6)
    assert type(k.grad) is float


def test_numbers_in_give_numbers_out(way: dict[str, Any]) -> None:
    found = integrate(lambda t, y: (-y[0], [y[0]]), (1, [0.0]), [0, 1], **way)
    assert found[0] == (1.0, [0.0])
    assert type(found[1][0]) is float
    with engine.no_grad():
        last = integrate(decay, 1.0, [0.0, 1.0], Value(1.0), **way)[-1]
    assert last.args == ()


def test_the_adjoint_keeps_no_steps() -> None:
    k = Value(1.0)
    few, many = (
        len(
            engine.trace(integrate(decay, 1.0, [0.0, 1.0], k, steps=n, derivative="adjoint")[-1])[0]
        )
        for n in (1, 200)
    )
    assert few == many


def test_the_adjoint_tells_of_a_value_that_is_read_later() -> None:
    a, b = Value(1.0), Value(2.0)

    def slope(t: Any, y: Any) -> Any:
        return -a * y if t < 0.5 else -b * y

    y = integrate(slope, 1.0, [0.0, 1.0], steps=10, derivative="adjoint")[-1]
    with pytest.raises(engine.GraphError, match="did not read at the beginning"):
        y.backward()


def test_the_adjoint_tells_where_there_is_no_way_back() -> None:
    def last(k: Any, times: int) -> Any:
        def slope(t: Any, y: Any) -> Any:
            return k * (engine.cos(t) - y)

        return integrate(slope, 1.0, np.linspace(0.0, 2.0, times), derivative="adjoint")[-1]

    with pytest.raises(RuntimeError, match=r"no way back from t = 2 to t = 0.*it comes to y = "):
        grad(last)(8.0, 2)
    # the solution is a decaying part, and (k² cos t + k sin t) / (k² + 1)
    k, h = 8.0, 1e-5

    def exact(k: float) -> float:
        steady = (k * k * math.cos(2.0) + k * math.sin(2.0)) / (k * k + 1.0)
        return steady + (1.0 - k * k / (k * k + 1.0)) * math.exp(-2.0 * k)

    assert grad(last)(k, 9) == pytest.approx((exact(k + h) - exact(k - h)) / (2 * h), rel=1e-4)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: integrate(decay, 1.0, [0.0, 0.0], 1.0), ValueError, "t[1] = 0.0 is not above"),
        (lambda: integrate(decay, 1.0, [1.0], 1.0), ValueError, "two times or more"),
        (lambda: integrate(decay, 1.0, [0.0, math.inf], 1.0), ValueError, "finite, not [0, inf]"),
        (lambda: integrate(decay, 1.0, [0.0, 1.0]), TypeError, "missing a required argument: 'k'"),
        (lambda: integrate(lambda t, y: y * y, 1.0, [0.0, 2.0]), RuntimeError, "the step fell to"),
        (
            lambda: integrate(decay, 1.0, [0.0, 1.0], 1e5, max_steps=99),
            RuntimeError,
            "if the equation is stiff",
        ),
        (lambda: integrate(decay, 1.0, [0.0, 1.0], math.nan), RuntimeError, "the slope is nan"),
        (lambda: integrate(lambda t, y: [y], 1.0, [0.0, 1.0]), ValueError, "must be one number"),
        (lambda: integrate(decay, 1.0, [0.0, 1.0], 1.0, rtol=1e-17), ValueError, "rounding allows"),
        (lambda: integrate(decay, 1.0, [0.0, 1.0], 1.0, steps=0), ValueError, "steps is a whole"),
        (lambda: integrate(decay, [], [0.0, 1.0], 1.0), ValueError, "nothing to find"),
        (
            lambda: integrate(decay, 1.0, [0.0, Value(1.0)], 1.0, derivative="adjoint"),
            TypeError,
            "times that are numbers",
        ),
        (
            lambda: integrate(lambda t, y: y * engine.random(), 1.0, [0.0, 1.0]),
            TypeError,
            "random numbers",
        ),
    ],
)
def test_bad_input_is_told(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        call()
