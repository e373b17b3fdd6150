"""Nonlinear regression with exact derivatives: NIST's lower-difficulty reference data sets.

SciPy fits each model from both of NIST's starts, with the Jacobian from `engine.jacobian`, and
must find at least six of the certified digits of every parameter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import exp

optimize = pytest.importorskip("scipy.optimize")

SETS = json.loads((Path(__file__).parents[1] / "data" / "nist_lower.json").read_text())
DIGITS = 6.0


def chwirut(b: Any, x: float) -> Any:
    return exp(-b[0] * x) / (b[1] + b[2] * x)


def danwood(b: Any, x: float) -> Any:
    return b[0] * x ** b[1]


def gauss(b: Any, x: float) -> Any:
    peaks = [b[i] * exp(-((x - b[i + 1]) ** 2) / b[i + 2] ** 2) for i in (2, 5)]
    return b[0] * exp(-b[1] * x) + peaks[0] + peaks[1]


def lanczos(b: Any, x: float) -> Any:
    return engine.sum(b[i] * exp(-b[i + 1] * x) for i in (0, 2, 4))


def misra1a(b: Any, x: float) -> Any:
    return b[0] * (1.0 - exp(-b[1] * x))


def misra1b(b: Any, x: float) -> Any:
    return b[0] * (1.0 - (1.0 + b[1] * x / 2.0) ** -2)


MODELS: dict[str, Callable[[Any, float], Any]] = {
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "DanWood": danwood,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Lanczos3": lanczos,
    "Misra1a": misra1a,
    "Misra1b": misra1b,
}


def certified_digits(found: Any, certified: Any) -> Any:
    """The log relative error; NIST certifies 11 digits, so there can't be more.

    B. D. McCullough, "Assessing the reliability of statistical software: part I", The American
    Statistician 52 (1998).
    """
    error = np.abs(found - certified) / np.abs(certified)
    return -np.log10(np.maximum(error, 1e-11))


@pytest.mark.parametrize("start", ["start1", "start2"])
@pytest.mark.parametrize("name", MODELS)
def test_fit_has_the_certified_digits(name: str, start: str) -> None:
    data, model = SETS[name], MODELS[name]
    xs, ys = [x for [x] in data["x"]], data["y"]

    def residuals(b: Any) -> list[Any]:
        return [model(b, x) - y for x, y in zip(xs, ys, strict=True)]

    jacobian = engine.jacobian(residuals)
    fit = optimize.least_squares(
        fun=lambda b: np.array(residuals(b.tolist())),
        x0=data[start],
        jac=lambda b: np.array(jacobian(b.tolist())),
        method="lm",
        x_scale="jac",
        **dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15),
    )
    # A sum of squares is flat at its minimum: comparing sums, as the fit does, finds half of the
    # digits. Its next step, by the derivatives alone, finds more.
    found = fit.x - np.linalg.lstsq(fit.jac, fit.fun, rcond=None)[0]
    assert certified_digits(found, np.array(data["certified"])).min() >= DIGITS
    assert 2.0 * fit.cost == pytest.approx(data["rss"], rel=1e-6)


def test_there_is_a_model_for_every_set() -> None:
    assert MODELS.keys() == SETS.keys()
