"""Accuracy: NumPy's own validation tables, and the tails of the activations against mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import engine
from engine import Value
from umath_tables import FILES, FOLDER, PREFIX, ROW_NAMES, TABLES, read

# --- NumPy's tables -------------------------------------------------------------------------

MOST_ULP = 4  # NumPy's tables ask for 1 or 2; C libraries differ, glibc's worst here is 2
EVERY_TABLE = pytest.mark.parametrize("path", TABLES.values(), ids=list(TABLES))


def computed(path: Path, inputs: Any) -> list[float]:
    function = getattr(engine, path.stem.removeprefix(PREFIX))
    return [function(x) for x in inputs.tolist()]


def test_every_table_has_a_row() -> None:
    if not FILES:
        pytest.skip(f"this NumPy was installed without its test data: no tables in {FOLDER}")
    assert FILES.keys() <= ROW_NAMES


@EVERY_TABLE
def test_double_precision_table(path: Path) -> None:
    inputs, outputs = read(path, np.float64)
    assert inputs.size
    np.testing.assert_array_max_ulp(np.array(computed(path, inputs)), outputs, MOST_ULP)


@EVERY_TABLE
def test_single_precision_table(path: Path) -> None:
    """Computed in double precision and rounded once; the last bit may be a table's own rounding."""
    inputs, outputs = read(path, np.float32)
    assert inputs.size
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.array(computed(path, inputs)).astype(np.float32)
    np.testing.assert_array_max_ulp(rounded, outputs, 1)


@EVERY_TABLE
def test_methods_compute_the_same_and_raise_nothing(path: Path) -> None:
    inputs = np.array(
        [x for dtype in (np.float64, np.float32) for x in read(path, dtype)[0].tolist()]
    )
    method = getattr(Value, path.stem.removeprefix(PREFIX))
    by_method = [method(Value(x)).data for x in inputs.tolist()]
    np.testing.assert_array_equal(by_method, computed(path, inputs))


# --- tails ----------------------------------------------------------------------------------

# Room for eighteen roundings of 2.2e-16; measured with glibc, none is off by more than 5e-16.
RELATIVE = 4e-15
# Below 2.2e-308 a factor is only known to 2**-1074, and is multiplied by |x| <= 800 < 2**10.
ABSOLUTE = 2.0**-1064

POINTS = (
    *(-800.0, -745.0, -710.0, -700.0, -100.0, -40.0, -30.0, -10.0, -5.0, -2.0, -1e-5, -1e-10),
    *(-1e-300, 0.0, 1e-300, 1e-10, 1e-5, 0.5, 5.0, 10.0, 30.0, 40.0, 100.0, 700.0, 710.0, 800.0),
)
ABOVE_MINUS_ONE = (
    *(2.0**-53 - 1.0, -0.999, -0.5, -1e-10, -1e-300, 0.0, 1e-300, 1e-10, 0.5, 30.0, 40.0),
    *(700.0, 800.0, 1e300),
)

# Value and first derivative, in forms that lose nothing to cancellation at 50 digits.
TRUTH: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sigmoid": (
        lambda x: 1 / (1 + mpmath.exp(-x)),
        lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x)),
    ),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), lambda x: 1 / (1 + mpmath.exp(-x))),
    "log_sigmoid": (lambda x: -mpmath.log1p(mpmath.exp(-x)), lambda x: 1 / (1 + mpmath.exp(x))),
    "log1p": (mpmath.log1p, lambda x: 1 / (1 + x)),
    "expm1": (mpmath.expm1, mpmath.exp),
    "gelu": (lambda x: x * mpmath.ncdf(x), lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x)),
    "silu": (
        lambda x: x / (1 + mpmath.exp(-x)),
        lambda x: (1 + x / (1 + mpmath.exp(x))) / (1 + mpmath.exp(-x)),
    ),
}


def tolerance(name: str, x: float, truth: float) -> float:
    # gelu falls like e ** (-x²/2): a rounding of the exponent is magnified by the exponent's size.
    magnified = max(1.0, 0.5 * x * x) if name == "gelu" and x < 0.0 else 1.0
    return RELATIVE * magnified * abs(truth) + ABSOLUTE


def assert_close(name: str, x: float, actual: float, true: Any) -> None:
    truth = float(true)
    if math.isinf(truth):
        assert actual == truth
    else:
        assert abs(actual - truth) <= tolerance(name, x, truth), (x, actual, truth)


@pytest.mark.parametrize("name", TRUTH)
def test_tails(name: str) -> None:
    function = engine.value_and_grad(getattr(engine, name))
    with mpmath.workdps(50):
        for x in ABOVE_MINUS_ONE if name == "log1p" else POINTS:
            for actual, truth in zip(function(x), TRUTH[name], strict=True):
                assert_close(name, x, actual, truth(mpmath.mpf(x)))


# Pairs whose difference is exact: rounding it is rounding an operand, which is not a loss here.
PAIRS = [(x, 0.0) for x in POINTS] + [(0.0, x) for x in POINTS]
PAIRS += [(-800.0, -745.0), (-745.0, -745.0), (700.0, 800.0), (800.0, 800.0), (-700.0, 700.0)]
PAIRS += [(1e-10, 1e-10), (1e300, 1e300), (-1e300, 1e300)]


def test_tails_of_logaddexp() -> None:
    def truth(x: Any, y: Any) -> Any:
        larger, smaller = max(x, y), min(x, y)
        return larger + mpmath.log1p(mpmath.exp(smaller - larger))

    function = engine.value_and_grad(engine.logaddexp, (0, 1))
    with mpmath.workdps(50):
        for x, y in PAIRS:
            value, (by_x, by_y) = function(x, y)
            x, y = mpmath.mpf(x), mpmath.mpf(y)
            assert_close("logaddexp", x, value, truth(x, y))
            assert_close("logaddexp", x, by_x, 1 / (1 + mpmath.exp(y - x)))
            assert_close("logaddexp", y, by_y, 1 / (1 + mpmath.exp(x - y)))


def test_logarithms_end_as_ieee_754_says() -> None:
    assert engine.log1p(-1.0) == -math.inf
    assert math.isnan(engine.log1p(-800.0))
