"""The special functions: against mpmath, SciPy's conventions, and the coefficients once more."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import optimize, special, stats

import engine
from engine import ops

INF, NAN = math.inf, math.nan

# --- accuracy --------------------------------------------------------------------------------

TRUTH: dict[str, Callable[..., Any]] = {
    "gammaln": lambda x: mpmath.log(abs(mpmath.gamma(x))),
    "digamma": mpmath.digamma,
    "erfinv": mpmath.erfinv,
    "i0": lambda x: mpmath.besseli(0, x),
    "i1": lambda x: mpmath.besseli(1, x),
    "i0e": lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
    "i1e": lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
    "log1mexp": lambda x: mpmath.log(-mpmath.expm1(-x)),
    "betaln": lambda x, y: mpmath.log(mpmath.beta(x, y)),
    "xlogy": lambda x, y: x * mpmath.log(y),
    "xlog1py": lambda x, y: x * mpmath.log1p(y),
    "polygamma": lambda n, x: mpmath.polygamma(int(n), x),
}
# The largest error in units of the last place, where a change of an operand by one unit does not
# change the result by more; and intervals of the operands.
ACCURACY: list[tuple[str, float, list[tuple[float, ...]]]] = [
    ("gammaln", 16.0, [(1e-3, 3.0), (3.0, 1e4), (-20.0, 0.0)]),
    ("digamma", 8.0, [(1e-3, 3.0), (3.0, 1e5), (-20.0, 0.0)]),
    ("erfinv", 3.0, [(-1.0, 1.0), (-0.01, 0.01), (0.99, 1.0)]),
    ("i0", 10.0, [(-20.0, 20.0), (100.0, 700.0)]),
    ("i1", 10.0, [(-20.0, 20.0), (100.0, 700.0), (-0.01, 0.01)]),
    ("i0e", 10.0, [(-20.0, 20.0), (100.0, 1e4)]),
    ("i1e", 10.0, [(-20.0, 20.0), (100.0, 1e4)]),
    ("log1mexp", 3.0, [(0.0, 3.0), (3.0, 40.0)]),
    ("betaln", 10.0, [(0.05, 8.0, 0.05, 8.0), (0.05, 8.0, 8.0, 1e9), (8.0, 1e3, 8.0, 1e9)]),
    ("xlogy", 3.0, [(-3.0, 3.0, 0.0, 5.0)]),
    ("xlog1py", 3.0, [(-3.0, 3.0, -1.0, 5.0)]),
    *[
        ("polygamma", 12.0, [(n, n, 1e-3, 20.0), (n, n, 20.0, 1e4)])
        for n in (1.0, 2.0, 3.0, 4.0, 7.0)
    ],
    *[("polygamma", 12.0, [(n, n, -20.0, 0.0)]) for n in (1.0, 2.0, 3.0, 4.0)],
]


def condition(truth: Callable[..., Any], xs: Sequence[Any], result: Any) -> Any:
    """How far the result moves, relative to itself, where the operands do by their size."""
    total = mpmath.mpf(1)
    for k, x in enumerate(xs):
        if k == 0 and truth is TRUTH["polygamma"]:
            continue
        h = x * mpmath.mpf(10) ** -20
        moved = truth(*xs[:k], x + h, *xs[k + 1 :])
        total += abs((moved - result) / (h / x) / result)
    return total


@pytest.mark.parametrize(("name", "most", "intervals"), ACCURACY)
def test_values_are_within_units_of_the_last_place(
    name: str, most: float, intervals: list[tuple[float, ...]]
) -> None:
    rng, truth = random.Random(name), TRUTH[name]
    with mpmath.workdps(50):
        for bounds in intervals:
            for _ in range(60):
                xs = [rng.uniform(*bounds[k : k + 2]) for k in range(0, len(bounds), 2)]
                exact = [*map(mpmath.mpf, xs)]
                true = truth(*exact)
                unit = math.ulp(float(true)) * condition(truth, exact, true)
                off = abs(getattr(engine, name)(*xs) - true) / unit
                assert off <= most, (xs, float(off))


@pytest.mark.parametrize("zero", [1.0, 2.0])
def test_the_logarithm_of_gamma_keeps_its_digits_around_its_zeros(zero: float) -> None:
    xs = [zero + sign * z for sign in (-1, 1) for z in (1e-15, 1e-7, 1e-3, 0.2, 0.25, 0.26)]
    compiled = engine.compile(engine.gammaln, in_axes=0)(xs)
    for x, y in zip(xs, compiled, strict=True):
        with mpmath.workdps(50):
            true = float(mpmath.loggamma(mpmath.mpf(x)))
        assert [engine.gammaln(x), y] == pytest.approx([true] * 2, rel=1e-14, abs=0.0), x
    assert engine.gammaln(zero) == 0.0


@pytest.mark.parametrize("name", ["gammaln", "digamma", "erfinv", "i0", "i1", "i0e", "i1e"])
def test_compiled_programs_have_the_same_numbers(name: str) -> None:
    """Below and above every place where formulas change, in both precisions."""
    x = [0.49, 0.51, 0.999, -0.3] if name == "erfinv" else [1e-3, 0.5, 2.5, 14.9, 15.1, 60.0, -2.5]
    function = getattr(engine, name)
    expected = np.array([engine.value_and_grad(function)(each) for each in x]).T
    for dtype, near in ((np.float64, 1e-14), (np.float32, 2e-5)):
        found = engine.compile(function, in_axes=0, dtype=dtype).value_and_grad(x)
        np.testing.assert_allclose(found, expected, rtol=near, atol=near)


def test_derivatives_of_any_order_are_polygamma() -> None:
    f = engine.gammaln
    for n in range(6):
        f = engine.grad(f)
        assert f(2.5) == pytest.approx(float(mpmath.polygamma(n, 2.5)), rel=1e-13)


# --- conventions -----------------------------------------------------------------------------

POINTS = (0.0, -0.0, 0.5, 1.0, 2.0, 15.0, 1e308, INF, NAN)
# Where SciPy is not followed, and why
OURS = {
    ("i0", INF): INF,  # as the limit is; SciPy 1.17 and PyTorch 2.13 have nan
    ("i1", INF): INF,
    ("betaln", INF, INF): -INF,  # as the limit is, where SciPy has nan
}
ONE_OPERAND = ("gammaln", "digamma", "erfinv", "i0", "i1", "i0e", "i1e")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ONE_OPERAND)
def test_ends_are_as_in_scipy(name: str) -> None:
    negative = (-1.0, -2.0) if name in ("gammaln", "digamma") else [-x for x in POINTS]
    for x in (*POINTS, *negative):
        expected = OURS.get((name, abs(x)), getattr(special, name)(x))
        if (name, abs(x)) in OURS and name == "i1":
            expected = math.copysign(expected, x)
        assert getattr(engine, name)(x) == pytest.approx(expected, rel=1e-14, nan_ok=True), x


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["xlogy", "xlog1py", "betaln"])
def test_ends_of_two_operands_are_as_in_scipy(name: str) -> None:
    others = [0.0, 0.5, 1.0, 20.0] if name == "betaln" else [*POINTS, -1.0, -2.0]
    for x in others:
        for y in [*others, INF] if name == "betaln" and x > 0.0 else others:
            expected = OURS.get((name, x, y), getattr(special, name)(x, y))
            actual = getattr(engine, name)(x, y)
            assert actual == pytest.approx(expected, rel=1e-14, abs=1e-15, nan_ok=True), (x, y)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_polygamma_is_scipys(n: int) -> None:
    for x in (*POINTS, -1.0, -0.5, -2.5, -7.25):
        expected = special.polygamma(n, x)
        assert engine.polygamma(n, x) == pytest.approx(expected, rel=1e-12, nan_ok=True), x


def test_polygamma_of_an_order_that_is_none_is_nan() -> None:
    assert math.isnan(engine.polygamma(1.5, 2.0))
    assert math.isnan(engine.polygamma(-1, 2.0))
    assert math.isnan(engine.polygamma(5, -0.5))


def test_the_gradient_of_x_log_y_at_its_edge_is_pytorchs() -> None:
    gradient = engine.grad(engine.xlogy, (0, 1))
    assert gradient(0.0, 0.0) == (0.0, pytest.approx(NAN, nan_ok=True))
    assert gradient(0.0, 2.0) == (math.log(2.0), 0.0)
    assert engine.grad(engine.xlog1py, (0, 1))(0.0, -1.0)[0] == 0.0


def test_bessel_functions_at_0_have_the_slopes_of_their_series() -> None:
    assert [engine.grad(f)(0.0) for f in (engine.i0, engine.i1, engine.i0e, engine.i1e)] == [
        *(0.0, 0.5, 0.0, 0.5)
    ]


def test_the_names_of_others_are_known() -> None:
    assert engine.lgamma(2.5) == engine.gammaln(2.5)
    assert engine.psi(2.5) == engine.digamma(2.5)


def test_printed_numpy_calls_scipy() -> None:
    program = engine.compile(lambda x: engine.gammaln(x) + engine.log1mexp(x))
    program.grad(2.5)
    text = program.source("numpy")
    assert "from scipy import special" in text
    assert "special.gammaln(x)" in text and "special.digamma(x)" in text
    names: dict[str, Any] = {}
    exec(text, names)
    value, gradients = names["value_and_gradient"](2.5)
    assert value == pytest.approx(program(2.5), rel=1e-14)
    assert gradients["x"] == pytest.approx(program.grad(2.5), rel=1e-14)


# --- where the coefficients come from ---------------------------------------------------------


def mp_inverse(w: Any) -> Any:
    """y with erfc(y) = e ** -w²."""
    start = mpmath.erfinv(1 - mpmath.exp(-w * w))
    return mpmath.findroot(lambda y: mpmath.log(mpmath.erfc(y)) + w * w, start)


def mp_far(n: int) -> Callable[[Any], Any]:
    return lambda t: mpmath.besseli(n, 1 / t) * mpmath.exp(-1 / t) / mpmath.sqrt(t)


@pytest.mark.parametrize(
    ("coefficients", "function", "low", "high"),
    [
        (ops._ERFINV, lambda z: mpmath.erfinv(mpmath.sqrt(z)) / mpmath.sqrt(z), "0", "0.25"),
        (ops._ERFINV_TAIL, mp_inverse, "0.83", "6.1"),
        (ops._I0_FAR, mp_far(0), "0", "1/15"),
        (ops._I1_FAR, mp_far(1), "0", "1/15"),
    ],
    ids=["erfinv", "erfinv tail", "i0 far", "i1 far"],
)
def test_polynomials_go_through_the_nodes_of_chebyshev(
    coefficients: tuple[float, ...], function: Callable[[Any], Any], low: str, high: str
) -> None:
    n = len(coefficients)
    with mpmath.workdps(50):
        a, b = mpmath.mpmathify(low), mpmath.mpmathify(high)
        middle, half = (a + b) / 2, (b - a) / 2
        nodes = [middle + half * mpmath.cos((2 * k + 1) * mpmath.pi / (2 * n)) for k in range(n)]
        powers = mpmath.matrix([[x**k for k in range(n)] for x in nodes])
        values = mpmath.matrix([function(x) for x in nodes])
        assert [float(c) for c in mpmath.lu_solve(powers, values)][::-1] == list(coefficients)


# --- likelihoods -----------------------------------------------------------------------------


def test_a_beta_distribution_is_fitted_as_scipy_does() -> None:
    data = stats.beta.rvs(2.5, 1.5, size=300, random_state=0)

    def surprise(theta: Any, x: Any) -> Any:
        a, b = engine.exp(theta[0]), engine.exp(theta[1])
        density = engine.xlogy(a - 1.0, x) + engine.xlog1py(b - 1.0, -x)
        return engine.betaln(a, b) - density

    loss = engine.compile(surprise, in_axes=(None, 0), reduce="mean")
    found = optimize.minimize(
        lambda theta: loss.value_and_grad(theta, data), [0.0, 0.0], jac=True, tol=1e-9
    )
    a, b, *_ = stats.beta.fit(data, floc=0.0, fscale=1.0)
    assert np.exp(found.x) == pytest.approx([a, b], rel=1e-5)


def test_the_order_of_a_polygamma_is_given_to_the_method() -> None:
    x = engine.Value(2.5)
    assert x.polygamma(1).data == engine.polygamma(1, 2.5)
    assert engine.grad(lambda x: x.polygamma(1))(2.5) == engine.polygamma(2, 2.5)
