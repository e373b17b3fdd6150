"""Functions at zeros, infinities, ties, huge and tiny numbers: gradients, and Hessians, which are
symmetric or nan, and the same however they are computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from engine import Value

INF, NAN = math.inf, math.nan
Function = Callable[[list[Any]], Any]


def of_two(name: str) -> Function:
    return lambda p: getattr(engine, name)(*p)


FUNCTIONS: dict[str, Function] = {
    "norm": engine.norm,
    "logsumexp": engine.logsumexp,
    "softmax": lambda p: engine.softmax(p)[0],
    "log_softmax": lambda p: engine.log_softmax(p)[0],
    "prod": engine.prod,
    "mean": engine.mean,
    **{name: of_two(name) for name in ("hypot", "atan2", "pow", "logaddexp", "logaddexp2")},
    **{name: of_two(name) for name in ("leaky_relu", "elu")},
}
POINTS = [
    *([3e-200, 4e-200], [3e200, 4e200], [3e-320, 4e-320], [-3.0, 4.0], [1e-300, 1.0]),
    *([0.0, 0.0], [-0.0, 0.0], [0.0, 1.0], [0.0, 0.5], [0.0, 2.0], [1.0, 1.0], [-2.0, 2.0]),
    *([1e-200, 1e-200], [1e-150, 2e-150], [1e160, 1e-160], [-1e308, -1e308], [5.0, 0.0]),
    *([INF, 0.0], [0.0, INF], [-INF, 1.0], [NAN, 1.0]),
]

# What the derivatives are, where a formula of the textbook gives something else.
GRADIENTS: list[tuple[str, list[float], list[float]]] = [
    ("norm", [3e-200, 4e-200], [0.6, 0.8]),
    ("norm", [3e200, 4e200], [0.6, 0.8]),
    ("norm", [3e-320, -4e-320], [0.6, -0.8]),
    ("norm", [1.5e308, 0.0], [1.0, 0.0]),
    ("norm", [0.0, 0.0], [0.0, 0.0]),
    ("hypot", [0.0, 0.0], [0.0, 0.0]),
    ("hypot", [3e-200, 4e-200], [0.6, 0.8]),
    ("hypot", [3e200, 4e200], [0.6, 0.8]),
    ("logsumexp", [INF, 0.0], [1.0, 0.0]),
    ("logsumexp", [0.0, INF, 3.0], [0.0, 1.0, 0.0]),
    ("logsumexp", [-INF, 0.0], [0.0, 1.0]),
    ("logaddexp", [INF, 0.0], [1.0, 0.0]),
    ("logaddexp2", [INF, 0.0], [1.0, 0.0]),
    ("atan2", [0.0, 0.0], [0.0, 0.0]),
    ("atan2", [3e-200, 4e-200], [1.6e199, -1.2e199]),
    ("pow", [0.0, 1.0], [1.0, 0.0]),
]
HESSIANS: list[tuple[str, list[float], list[list[float]]]] = [
    ("norm", [0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("norm", [3e200, 4e200], [[1.28e-201, -9.6e-202], [-9.6e-202, 7.2e-202]]),
    ("hypot", [0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("hypot", [1.0, 1e-20], [[1e-40, -1e-20], [-1e-20, 1.0]]),
    ("atan2", [0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("atan2", [1e-100, 2e-100], [[-1.6e199, -1.2e199], [-1.2e199, 1.6e199]]),
    ("atan2", [1e-200, 1e-200], [[-INF, NAN], [NAN, INF]]),
    ("pow", [0.0, 1.0], [[0.0, NAN], [NAN, 0.0]]),
    ("pow", [0.0, 0.5], [[-INF, NAN], [NAN, 0.0]]),
    ("pow", [0.0, 2.0], [[2.0, 0.0], [0.0, 0.0]]),
    ("leaky_relu", [0.0, 0.1], [[0.0, 1.0], [1.0, 0.0]]),
    ("elu", [0.0, 0.1], [[0.0, 1.0], [1.0, 0.0]]),
]
TOLERANCE = 1e-13  # relative, for each entry; sums of terms that cancel have one of their own


def ids(case: Any) -> str:
    return str(case).replace(" ", "")


@pytest.mark.parametrize(("name", "point", "gradient"), GRADIENTS, ids=ids)
def test_gradients(name: str, point: list[float], gradient: list[float]) -> None:
    found = engine.grad(FUNCTIONS[name])(point)
    np.testing.assert_allclose(found, gradient, rtol=TOLERANCE)


@pytest.mark.parametrize(("name", "point", "hessian"), HESSIANS, ids=ids)
def test_hessians(name: str, point: list[float], hessian: list[list[float]]) -> None:
    found = engine.hessian(FUNCTIONS[name])(point)
    np.testing.assert_allclose(found, hessian, rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hessians_are_symmetric(name: str) -> None:
    for point in POINTS:
        if name == "pow" and max(map(abs, point)) > 1e300:
            continue  # out of range, one operand has a derivative and the other none
        if name in ("leaky_relu", "elu") and math.isnan(point[0]):
            continue  # neither above 0 nor below
        found = np.array(engine.hessian(FUNCTIONS[name])(point))
        np.testing.assert_allclose(found, found.T, rtol=1e-12, err_msg=str(point))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_way_gives_the_same_gradient(name: str) -> None:
    f = FUNCTIONS[name]
    eager = [engine.grad(f)(point) for point in POINTS]
    np.testing.assert_allclose([recorded(f, point) for point in POINTS], eager, rtol=TOLERANCE)
    np.testing.assert_allclose(engine.compile(f, in_axes=0).grad(POINTS), eager, rtol=TOLERANCE)


def recorded(f: Function, point: list[float]) -> list[float]:
    values = [Value(x) for x in point]
    return [g.data for g in engine.gradients(f(values), values, create_graph=True)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_way_gives_the_same_hessian(name: str) -> None:
    f = FUNCTIONS[name]
    eager = np.array([engine.hessian(f)(point) for point in POINTS])
    program = engine.compile(engine.hessian(f))
    compiled = [program(point) for point in POINTS]
    for found, wanted in zip(compiled, eager, strict=True):
        largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15 * largest + 1e-300)
    for point, hessian in zip(POINTS, eager, strict=True):
        if 3e-320 in point:
            continue  # forward over reverse adds in another order, and terms are out of range
        columns = [engine.hvp(f, [point], [unit]) for unit in np.eye(2).tolist()]
        largest = np.abs(hessian[np.isfinite(hessian)]).max(initial=0.0)
        near = 1e-15 * largest + 1e-300  # terms that cancel
        np.testing.assert_allclose(np.transpose(columns), hessian, rtol=1e-12, atol=near)


def test_scaling_a_norm_takes_nothing_from_it() -> None:
    """The scale is a power of two: the numbers have the digits that they have elsewhere."""
    rng = np.random.default_rng(0)
    for xs in rng.normal(size=(20, 5)):
        plain = engine.norm(xs)
        assert engine.norm(xs * 2.0**-600) == plain * 2.0**-600
        assert engine.norm(xs * 2.0**600) == plain * 2.0**600


@pytest.mark.parametrize("name", ["norm", "hypot"])
def test_lengths_hold_in_single_precision(name: str) -> None:
    program = engine.compile(FUNCTIONS[name], dtype=np.float32)
    for size in (1e-37, 1e-25, 1e-19, 1e-12, 1.0, 1e14, 1e16, 1e25, 1e37):
        value, gradient = program.value_and_grad([3.0 * size, -4.0 * size])
        assert value == pytest.approx(5.0 * size, rel=1e-6, abs=0)
        assert gradient == pytest.approx([0.6, -0.8], rel=1e-6)
