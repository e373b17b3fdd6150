"""Values, gradients and Hessians of tricky cases: kinks, powers at 0 and infinity, `where` traps.

The cases were measured in several tools and, where smooth, with mpmath (tests/data/SOURCE.md).
What is expected comes from the first of these that decides: mpmath; `DECIDED` below, where this
project's conventions say something else or more than the tools; the tools where they agree; else
PyTorch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import Value

Function = Callable[[list[Value]], Any]

CASES = json.loads((Path(__file__).parents[1] / "data" / "edge_cases.json").read_text())["cases"]
TOLERANCE = 1e-12  # at which the tools were compared with one another


# --- functions without a row of their own ---------------------------------------------------


def relu6(x: Value) -> Value:
    return 6.0 - engine.relu(6.0 - engine.relu(x))


def hardtanh(x: Value) -> Value:
    return 1.0 - engine.relu(2.0 - engine.relu(x + 1.0))


def hardsigmoid(x: Value) -> Value:
    return relu6(x + 3.0) / 6.0


def celu(x: Value, alpha: float) -> Value:
    return alpha * engine.elu(x / alpha, 1.0)


def selu(x: Value) -> Value:
    return 1.0507009873554805 * engine.elu(x, 1.6732632423543772)


def fmax(x: Value, y: Value) -> Value:
    return engine.where(x >= y or math.isnan(y.data), x, y)


def copysign(x: Value, y: Value) -> Value:
    return engine.where(math.copysign(1.0, y.data) < 0.0, -abs(x), abs(x))


def sharing_ties(chosen: float, xs: list[Value]) -> Value:
    """The chosen number, as the mean of all entries equal to it."""
    return engine.mean([x for x in xs if x == chosen])


def amax(xs: list[Value]) -> Value:
    return sharing_ties(max(x.data for x in xs), xs)


def sinc(x: Value) -> Value:
    t = math.pi * x  # around 0 the series, as far as a second derivative sees it
    return engine.where(x == 0.0, 1.0 - t * t / 6.0, engine.sin(t) / t)


FUNCTIONS: dict[str, Function] = {
    "abs(x)": lambda p: abs(p[0]),
    "relu(x)": lambda p: engine.relu(p[0]),
    "max(x,0) via maximum": lambda p: engine.maximum(p[0], 0.0),
    "where(x>0,x,0)": lambda p: engine.where(p[0] > 0.0, p[0], 0.0),
    "leaky_relu(x,0.01)": lambda p: engine.leaky_relu(p[0], 0.01),
    "elu(x)": lambda p: engine.elu(p[0], 1.0),
    "celu(x,alpha=2)": lambda p: celu(p[0], 2.0),
    "selu(x)": lambda p: selu(p[0]),
    "relu6(x)": lambda p: relu6(p[0]),
    "hardtanh(x)": lambda p: hardtanh(p[0]),
    "hardsigmoid(x)": lambda p: hardsigmoid(p[0]),
    "hardswish(x)": lambda p: p[0] * hardsigmoid(p[0]),
    "softsign(x)": lambda p: p[0] / (1.0 + abs(p[0])),
    "clamp(x,0,1)": lambda p: engine.clamp(p[0], 0.0, 1.0),
    "maximum(x,y) tie": lambda p: engine.maximum(*p),
    "minimum(x,y) tie": lambda p: engine.minimum(*p),
    "maximum(0.0,-0.0)": lambda p: engine.maximum(*p),
    "maximum(x,nan)": lambda p: engine.maximum(*p),
    "fmax(x,nan)": lambda p: fmax(*p),
    "fmax(x,y) tie": lambda p: fmax(*p),
    "max([x,y,z]) all tie (amax)": amax,
    "max([x,y,z],dim).values tie": max,  # Python's: the first of the largest
    "max([x,y,z]) no dim tie": amax,
    "median([x,y,z]) tie": lambda p: sharing_ties(sorted(x.data for x in p)[1], p),
    "sign(x)": lambda p: engine.sign(p[0]),
    "floor(x)": lambda p: engine.floor(p[0]),
    "round(x)": lambda p: engine.round(p[0]),
    "fmod(x,y)": lambda p: engine.fmod(*p),
    "remainder(x,y)": lambda p: p[0] % p[1],
    "remainder(x,y) at multiple": lambda p: p[0] % p[1],
    "copysign(x,y)": lambda p: copysign(*p),
    "abs(x) 2nd via x*sign(x)": lambda p: p[0] * engine.sign(p[0]),
    **{
        f"x**{y} (const exponent)": lambda p, y=float(y): p[0] ** y
        for y in ("2", "1", "0", "0.5", "1.5", "3.5", "-1", "-2", "3", "2.5", "0.333333", "0.3")
    },
    **{
        f"x**{y} (python int exponent)": lambda p, y=int(y): p[0] ** y
        for y in ("2", "1", "0", "3", "-1")
    },
    "x**y (both variable)": lambda p: p[0] ** p[1],
    **{f"({x})**x (const base)": lambda p, x=float(x): x ** p[0] for x in ("0", "-2", "1", "2")},
    "where(x>0,sqrt(x),0)": lambda p: engine.where(p[0] > 0.0, engine.sqrt(p[0]), 0.0),
    "where(x>0,log(x),0)": lambda p: engine.where(p[0] > 0.0, engine.log(p[0]), 0.0),
    "where(x!=0,sin(x)/x,1)": lambda p: engine.where(p[0] != 0.0, engine.sin(p[0]) / p[0], 1.0),
    "double-where sqrt": lambda p: engine.where(
        p[0] > 0.0, engine.sqrt(engine.where(p[0] > 0.0, p[0], 1.0)), 0.0
    ),
    "where(x<700,exp(x),x)": lambda p: engine.where(p[0] < 700.0, engine.exp(p[0]), p[0]),
    "0*sqrt(x)": lambda p: 0.0 * engine.sqrt(p[0]),
    "x/x": lambda p: p[0] / p[0],
    "1/x": lambda p: 1.0 / p[0],
    "x/y": lambda p: p[0] / p[1],
    "x*y": lambda p: p[0] * p[1],
    "x-x": lambda p: p[0] - p[0],
    "sinc(x)": lambda p: sinc(p[0]),
    "prod([x,y,z]) one zero": engine.prod,
    "prod([x,y,z]) two zeros": engine.prod,
    "x*y*z chain two zeros": lambda p: p[0] * p[1] * p[2],
    "x*x*x (reused node)": lambda p: p[0] * p[0] * p[0],
    "x+x (reused node)": lambda p: p[0] + p[0],
}


# --- what is expected -----------------------------------------------------------------------

CUT = "nothing passes to an arm that `where` did not take, whatever its derivatives"
EDGE = "a partial of x**y in which a factor is 0 is 0"
FLAT = "d(x**y)/dy is 0 at x = 0, y >= 0, and so are its own derivatives"
STEEP = "d(x**y)/dy is 0 at x = 0, y >= 0, and up to y = 1 has no derivative by x there"
KINK = "second derivatives at a kink are 0"

# Where the conventions go against the tools, or answer where these give nan: case, why (the
# convention, and what the mathematics says), and the entries that it decides.
DECIDED: dict[str, tuple[str, dict[str, Any]]] = {
    "kink-037": (KINK, {"hess": [[0, 0], [0, 0]]}),
    "pow-061": (f"{FLAT}; x**0 has all x-derivatives 0", {"hess": [[0, 0], [0, 0]]}),
    "pow-062": (STEEP, {"hess": [[0, "nan"], ["nan", 0]]}),
    "pow-063": (FLAT, {"hess": [[2, 0], [0, 0]]}),
    "pow-064": (STEEP, {"hess": [["-inf", "nan"], ["nan", 0]]}),
    "pow-065": (FLAT, {"hess": [[0, 0], [0, 0]]}),
    # By y, x**y outruns every power of y; the derivative of y * x**(y-1) is inf * 0 all the same.
    "pow-071": (EDGE, {"grad": [0, 0], "hess": [["nan", "nan"], [0, 0]]}),
    "pow-072": (EDGE, {"grad": [0, 0], "hess": [["nan", "nan"], [0, 0]]}),
    "pow-073": (EDGE, {"hess": [[0, 0], ["nan", "inf"]]}),
    "pow-075": (FLAT, {"hess": [[0]]}),
    "pow-076": (FLAT, {"hess": [[0]]}),
    "where-181": (f"{CUT}: the arm taken is constant", {"grad": [0], "hess": [[0]]}),
    "where-182": (f"{CUT}: the arm taken is constant", {"grad": [0], "hess": [[0]]}),
    "where-183": (f"{CUT}: the arm taken is constant", {"grad": [0], "hess": [[0]]}),
    "where-185": (f"{CUT}: the arm taken is x", {"grad": [1], "hess": [[0]]}),
    # Smooth: the series is 1 - (πx)²/6 + …
    "where-195": (f"{CUT}: the arm taken is the series", {"hess": [[-(math.pi**2) / 3]]}),
}


def numbers(tree: Any) -> Any:
    """The file writes inf and nan as strings."""
    return [numbers(item) for item in tree] if isinstance(tree, list) else float(tree)


def measured(case: dict[str, Any], part: str) -> Any:
    """mpmath's answer, else that of the first tool to have one, PyTorch before the others."""
    answers = (case[tool] for tool in ("mpmath", "torch", "jax", "autograd"))
    return numbers(next(a[part] for a in answers if a is not None and "error" not in a))


def expected(case: dict[str, Any], part: str) -> Any:
    if case["mpmath"] is None and part in DECIDED.get(case["id"], ("", {}))[1]:
        return numbers(DECIDED[case["id"]][1][part])
    return measured(case, part)


def assert_same(actual: Any, wanted: Any) -> None:
    """Equal to the tolerance; nan equals nan, inf equals inf, 0.0 equals -0.0."""
    np.testing.assert_allclose(actual, wanted, rtol=TOLERANCE, atol=0.0)


EVERY = pytest.mark.parametrize(
    "case", CASES, ids=[f"{c['id']} {c['name']} at {c['x']}".replace(" ", "_") for c in CASES]
)


@EVERY
def test_value(case: dict[str, Any]) -> None:
    value, _ = engine.value_and_grad(FUNCTIONS[case["name"]])(numbers(case["x"]))
    assert_same(value, expected(case, "value"))


@EVERY
def test_gradient(case: dict[str, Any]) -> None:
    _, gradient = engine.value_and_grad(FUNCTIONS[case["name"]])(numbers(case["x"]))
    assert_same(gradient, expected(case, "grad"))


@EVERY
def test_gradient_that_can_be_differentiated_again(case: dict[str, Any]) -> None:
    inputs = [Value(x) for x in numbers(case["x"])]
    output = FUNCTIONS[case["name"]](inputs)
    gradient = engine.gradients(output, inputs, create_graph=True)
    assert_same([d.data for d in gradient], expected(case, "grad"))


@EVERY
def test_hessian(case: dict[str, Any]) -> None:
    hessian = engine.hessian(FUNCTIONS[case["name"]])(numbers(case["x"]))
    assert_same(hessian, expected(case, "hess"))


@EVERY
def test_hessian_by_forward_over_reverse(case: dict[str, Any]) -> None:
    xs = numbers(case["x"])
    units = np.eye(len(xs)).tolist()
    columns = [engine.hvp(FUNCTIONS[case["name"]], [xs], [unit]) for unit in units]
    assert_same(np.transpose(columns), expected(case, "hess"))


def test_the_file_and_the_table_of_functions_name_the_same() -> None:
    assert FUNCTIONS.keys() == {case["name"] for case in CASES}


@pytest.mark.parametrize("case_id", DECIDED)
def test_a_decision_is_about_what_the_tools_do_not_settle(case_id: str) -> None:
    """An entry stays only while it differs from the tools, and never goes against mpmath."""
    [case] = [case for case in CASES if case["id"] == case_id]
    assert case["mpmath"] is None
    for part, decided in DECIDED[case_id][1].items():
        assert not np.array_equal(numbers(decided), measured(case, part), equal_nan=True)
