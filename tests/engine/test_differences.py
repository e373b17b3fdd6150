"""Numerical derivatives: their error bars hold, and the kinds of places are told apart."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from engine.differences import Estimate, estimate, ladder


def at(f: Callable[[float], float], x: float) -> Estimate:
    return estimate(lambda t: f(x + t), ladder(x))


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (math.exp, 5.0, math.exp(5.0)),
        (lambda x: math.sin(1e6 * x), 0.3, 1e6 * math.cos(3e5)),
        (math.sin, 1e8, math.cos(1e8)),
        (math.log, 1e-30, 1e30),
        (lambda x: x * x + 1.0, 1e-8, 2e-8),
        (lambda x: x * x, 1e150, 2e150),
        (math.tan, 1.57, 1.0 / math.cos(1.57) ** 2),
        (lambda x: max(x, 0.0), 1e-9, 1.0),
        (lambda x: math.sqrt(1.0 - x), 1.0 - 1e-9, -0.5 / math.sqrt(1e-9)),
        (lambda x: round(math.sin(x), 6), 0.3, math.cos(0.3)),
    ],
)
def test_slopes_of_all_scales_lie_within_their_error_bars(
    f: Callable[[float], float], x: float, slope: float
) -> None:
    found = at(f, x)
    assert found.kind in ("smooth", "border")
    assert abs(found.best.value - slope) <= 4.0 * found.best.error + 1e-7 * abs(slope)
    assert found.best.error < 0.02 * abs(slope) + 1e-9


@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_noise_lengthens_the_bars_as_far_as_needed(noise: float) -> None:
    rng, misses = random.Random(0), 0
    for _ in range(200):
        x = rng.uniform(-3.0, 3.0)
        found = at(lambda x: math.sin(x) + noise * rng.uniform(-1.0, 1.0), x)
        misses += abs(found.best.value - math.cos(x)) > 4.0 * found.best.error
        assert found.best.error < 100.0 * noise ** (4.0 / 5.0)
    assert misses <= 1


@pytest.mark.parametrize(
    ("f", "x", "kind"),
    [
        (abs, 0.0, "kink"),
        (lambda x: max(x, 2.0 * x) + 1.0, 0.0, "kink"),
        (math.floor, 2.0, "jump"),
        (lambda x: math.sin(x) + 1e-6 * (x > 0.0), 0.0, "jump"),
        (math.cbrt, 0.0, "steep"),
        (math.sqrt, 0.0, "steep"),
        (lambda x: x * math.sqrt(x), 0.0, "border"),
        (lambda x: 0.0 if x == 1.0 else math.nan, 1.0, "isolated"),
        (lambda x: x * abs(x), 0.0, "smooth"),
        (lambda x: math.exp(-1.0 / x**2) if x else 0.0, 0.0, "smooth"),
        (lambda x: 3.0, 0.5, "smooth"),
        (lambda x: min(x, 1e-9), 0.0, "kink"),
    ],
)
def test_the_kind_of_a_place(f: Callable[[float], float], x: float, kind: str) -> None:
    assert at(f, x).kind == kind


def test_a_kink_has_the_slopes_of_both_sides_and_a_jump_its_height() -> None:
    found = at(lambda x: 3.0 * max(x, 0.0) - x, 0.0)
    assert (found.low, found.high) == pytest.approx((-1.0, 2.0))
    assert at(math.floor, 2.0).jump == pytest.approx(1.0)
