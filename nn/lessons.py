"""The exercises of the notebooks: `check` says whether an answer is right, or what is off.

An answer is a number, which is a row of a table here, or a function that is tried on some inputs:
`_exercise` notes its number in the notebooks, what it takes, and what looks at it and returns what
is wrong with it, or "".
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from numbers import Real
from types import FunctionType
from typing import Any

import numpy as np

import engine
from engine import Value

# The right number, and a hint for those who are far from it.
_NUMBERS: dict[str, tuple[float, str]] = {
    "1.1": (12.0, "t = a · a · a has three roads from a to t; each brings a²"),
    "2.1": (0.2, "the sum is 0.8 · 1 + 0.5 · (−2) + bias, and dead up to 0"),
    "2.2": (
        41.0,
        "count the weights, the inputs, their products, the bias, and a sum for each product",
    ),
    "3.1": (3.0, "the engine sees x times a constant, the number that x.data was"),
    "4.1": (160_000.0, "each of 50 sums has 100 products, for each of 32 examples"),
    "6.1": (129.0, "each of the 64 hidden units has 0.5 + 0.5 + 1, and there is a bias"),
    "7.1": (79_510.0, "a layer has a weight for each pair, and a bias for each unit"),
    "7.2": (math.log(10.0), "each digit gets the share 1/10, and the loss is −log of it"),
    "8.1": (0.25, "with a = σ(z) the slope is a (1 − a), and that is largest at a = ½"),
    "8.2": (0.25**10, "each layer multiplies by at most ¼, and there are ten"),
    "9.1": ((1.0 - 5e-4 * 0.5) ** 20_000, "each step multiplies the weight by 1 − rate · λ"),
    "9.2": (
        100.0 * math.sqrt(0.77 * 0.23 / 100.0),
        "of n digits, each right with probability p, the share varies by √(p (1 − p) / n)",
    ),
    "10.1": (0.75, "e⁰ is 1 and e to the log 3 is 3: shares of 4"),
    "10.2": (
        1.0 / 3.0,
        "a step takes w to (1 − 6 · rate) w, and that factor has to stay within −1 and 1",
    ),
    "11.1": (136.0, "the first of 16 letters looks at 1 place, the last at 16"),
    "11.2": (0.8, "at the temperature ½ scores double, and shares that were 2 to 1 become 4 to 1"),
    "12.1": (0.5, "the derivative of softplus is the sigmoid"),
    "13.1": (0.9**50, "each step multiplies what comes from the first state by 0.9"),
    "14.1": (5e5, "the slope of a root is 1 / (2 √u), and u is 10⁻¹² here"),
    "15.1": (18.0, "one pass brings 2 · 3, and leaves add up what passes bring"),
    "16.1": (5998.0, "each point meets itself and two neighbours, but for the two ends"),
    "17.1": (-0.016763822, "it is -leads[77] / slopes[77], and the smallest of the four"),
    "18.1": (2.0, "the line is where 3 x₁ + 4 x₂ = 10, and (3, 4) is 5 long"),
    "18.2": (0.081, "δ is a − y times the slope of the sigmoid, a (1 − a)"),
    "20.1": (math.log(4.0), "the loss is the mean of −log of the share, log to base e"),
    "20.2": (27.0**4, "each of the 27³ rows has a share for every letter that may come"),
    "21.1": (608.0, "each of 8 kernels has 5 · 5 weights for each of 3 channels, and a bias"),
    "21.2": (
        50.0**-0.5,
        "the variance of a sum of 50 products is 50 · s² times that of the numbers",
    ),
    "22.1": (1_600_000.0, "the error shrinks with the root of the number of paths"),
    "23.1": (288.0, "each value of a setting goes with each of all others"),
}


# Of the functions that are compared with the right one in some places: what they take, that one,
# the places, and whether slopes are compared too.
_FUNCTIONS: dict[str, tuple[str, Callable[..., Any], list[list[float]], bool]] = {
    "12.2": ("one number", engine.softplus, [[0.7], [-2.0], [-50.0], [1000.0]], True),
    "14.2": (
        "one number",
        lambda x: -engine.softplus(-x),
        [[0.3], [-2.0], [-1000.0], [600.0]],
        True,
    ),
    "15.2": (
        "one number",
        lambda x: math.exp(-abs(x)) / (1.0 + math.exp(-abs(x))) ** 2,
        [[0.5], [-3.0], [40.0], [-40.0], [700.0], [-700.0]],
        False,
    ),
    "17.2": ("one number", lambda h: 8 * h + 3, [[1], [7], [8]], False),
    "19.1": (
        "an output and a target",
        lambda y, t: engine.maximum(0.9 * (t - y), 0.1 * (y - t)),
        [[1.0, 3.0], [3.0, 1.0], [-2.0, 0.5]],
        True,
    ),
}


def check(exercise: str, answer: Any) -> None:
    """Print whether an answer is right, or what is off. `...` is no answer yet.

    Raises KeyError for an exercise that there is not.

    >>> check("1.1", 12.0)
    1.1 is right.
    >>> check("1.1", -12.0)
    1.1 is not right yet: it is right but for its sign.
    """
    exercise = str(exercise)  # some write 1.1 without the quotes
    if exercise not in _EXERCISES:
        known = ", ".join(sorted(_EXERCISES, key=float))
        raise KeyError(f"there is no exercise {exercise!r}: they are {known}")
    if answer is ... or _gives_dots(answer):
        print(f"{exercise} has no answer yet: put one in place of the three dots.")
        return
    try:
        look, takes = _EXERCISES[exercise]
        if takes and not callable(answer):
            wrong = f"a function of {takes} is asked for, not a {type(answer).__name__}"
        else:
            wrong = look(answer)
    except Exception as error:  # of the answer, which may be any function
        wrong = f"it raised {type(error).__name__}: {error}"
    end = "" if wrong.endswith((".", "?")) else "."
    print(f"{exercise} is not right yet: {wrong}{end}" if wrong else f"{exercise} is right.")


def _gives_dots(answer: Any) -> bool:
    """Whether this is a function whose answer is left open, such as ``lambda x: ...``."""
    return isinstance(answer, FunctionType) and set(answer.__code__.co_consts) - {None} == {...}


def _off(answer: Any, right: float, hint: str) -> str:
    """What is wrong with a number, "" if nothing is."""
    answer = answer.data if isinstance(answer, Value) else answer
    if isinstance(answer, bool) or not isinstance(answer, Real):
        return f"a number is asked for, not a {type(answer).__name__}"
    if math.isclose(answer, right, rel_tol=1e-6, abs_tol=1e-9):
        return ""
    if math.isclose(answer, -right, rel_tol=1e-6):
        return "it is right but for its sign"
    for factor, name in ((2.0, "twice"), (0.5, "half")):
        if math.isclose(answer, factor * right, rel_tol=1e-6):
            return f"it is {name} what it should be; {hint}"
    if math.isclose(answer, right, rel_tol=0.02):
        return f"it is close, but rounded or not exact; {hint}"
    return hint


def _values_off(
    f: Any, right: Callable[..., Any], places: Sequence[Sequence[float]], slopes: bool
) -> str:
    """At which of some places a function differs from the right one, in its value or a slope."""
    for place in places:
        names, found = ["it is"], [[float(of(*place))] for of in (f, right)]
        if slopes:
            names, every = ["its value is", "its slope is"], tuple(range(len(place)))
            both = [engine.value_and_grad(of, every)(*place) for of in (f, right)]
            found = [[value, *slopes] for value, slopes in both]
            names += names[1:] * (len(place) - 1)
        for name, a, b in zip(names, *found, strict=True):
            if not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-300):
                at = ", ".join(f"{x:g}" for x in place)
                return f"at {at if len(place) == 1 else f'({at})'} {name} {a:.6g}, not {b:.6g}"
    return ""


_EXERCISES: dict[str, tuple[Callable[[Any], str], str]] = {
    name: (functools.partial(_off, right=right, hint=hint), "")
    for name, (right, hint) in _NUMBERS.items()
}
_EXERCISES |= {
    name: (functools.partial(_values_off, right=right, places=places, slopes=slopes), takes)
    for name, (takes, right, places, slopes) in _FUNCTIONS.items()
}


def _exercise(name: str, takes: str = "") -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """What looks at the answer, which is a function of what it `takes`, or else a number."""

    def noted(look: Callable[[Any], str]) -> Callable[[Any], str]:
        _EXERCISES[name] = look, takes
        return look

    return noted


def _slope_off(f: Any, at: float, right: float) -> str:
    found = engine.grad(f)(at)
    if math.isclose(found, right, rel_tol=1e-9, abs_tol=1e-12):
        return ""
    return f"its slope at {at:g} is {found:g}, not {right:g}"


# --- what is looked at in a way of its own, by the number of the notebook ------------------------


@_exercise("1.2", "one number")
def _seven(f: Any) -> str:
    return _slope_off(f, 2.0, 7.0)


@_exercise("1.3", "one number")
def _flat(f: Any) -> str:
    wrong = _slope_off(f, 1.0, 0.0)
    if wrong:
        return wrong
    a = Value(1.0)
    uses = sum(operand is a for node in _nodes(f(a)) for operand, _ in node._operands())
    if uses >= 3:
        return ""
    return f"a is used {('never', 'once', 'twice')[uses]}, and three times are asked for"


def _nodes(root: Any) -> list[Value]:
    from engine.graph import topological_order

    return topological_order([root]) if isinstance(root, Value) else []


@_exercise("2.3", "one number")
def _revived(f: Any) -> str:
    rng = random.Random(0)
    for x in [rng.uniform(-3.0, 3.0) for _ in range(20)]:
        y, slope = engine.value_and_grad(f)(x)
        if x > 0.0 and not math.isclose(y, x):
            return f"at {x:.3g} it is {y:.3g}, where it should be the number itself"
        if x < 0.0 and slope == 0.0:
            return f"at {x:.3g} its slope is 0: it would be dead there"
        if x < 0.0 and abs(y) > 0.5 * abs(x):
            return f"at {x:.3g} it is {y:.3g}, which is more than half of that"
    return ""


@_exercise("3.2", "x and out")
def _cubes_partial(partial: Any) -> str:
    cube = engine.custom_op("cube", lambda x: x * x * x, [partial])
    for x in (-1.3, 0.7, 2.1):
        wrong = _slope_off(cube, x, 3.0 * x * x)
        if wrong:
            return wrong
        engine.gradcheck(cube, x, order=2)
    return ""


@_exercise("4.2", "one number")
def _without_a_branch(f: Any) -> str:
    program = engine.compile(f, in_axes=0)
    for s, found in zip((-3.0, -0.5, 0.5, 2.0), program([-3.0, -0.5, 0.5, 2.0]), strict=True):
        if not math.isclose(found, s if s > 0.0 else 0.01 * s):
            return f"at {s:g} it is {found:g}, not {s if s > 0.0 else 0.01 * s:g}"
    return "it still has a branch: the program checks a guard" if "guard" in str(program) else ""


@_exercise("5.1")
def _always_outside(answer: Any) -> str:
    area = 1.0 - math.pi / 100.0
    value = answer.data if isinstance(answer, Value) else answer
    if isinstance(value, Real) and math.isclose(value, 100.0 * area, rel_tol=1e-3):
        return "that is in per cent; a share between 0 and 1 is asked for"
    hint = "the circle has the area π, and the square 10 · 10"
    return (
        ""
        if isinstance(value, Real) and abs(float(value) - area) < 5e-4
        else _off(answer, area, hint)
    )


@_exercise("5.2", "two numbers")
def _inside(f: Any) -> str:
    rng = random.Random(1)
    for _ in range(200):
        x, y = rng.uniform(-5.0, 5.0), rng.uniform(-5.0, 5.0)
        score = f(Value(x), Value(y))
        score = score.data if isinstance(score, Value) else float(score)
        if (score >= 0.5) != (x * x + y * y < 1.0):
            return f"({x:.2f}, {y:.2f}) scores {score:.3g}, on the wrong side of a half"
    return ""


@_exercise("6.2", "two numbers")
def _corners(f: Any) -> str:
    for x, y in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)):
        a, b = Value(x), Value(y)
        found = f(a, b)
        if not isinstance(found, Value):
            return "it leaves the graph: write it in functions of engine"
        if not math.isclose(found.data, float(x != y), abs_tol=1e-9):
            return f"at ({x:g}, {y:g}) it is {found.data:g}, not {float(x != y):g}"
    return ""


@_exercise("13.2", "two numbers, x and a,")
def _newtons_step(f: Any) -> str:
    for a in (0.5, 8.0, 30.0):
        x = 1.0 + a
        for _ in range(30):
            x = float(f(x, a))
        if not math.isclose(x, a ** (1.0 / 3.0), rel_tol=1e-12):
            return f"after 30 steps from {1.0 + a:g} it is at {x:.6g}, not {a ** (1.0 / 3.0):.6g}"
    return ""


@_exercise("16.2", "a list")
def _arrow(f: Any) -> str:
    n = 6
    pattern = engine.sparsity(f, [1.0 + 0.1 * k for k in range(n)], of="hessian")
    found = set(zip(pattern.rows.tolist(), pattern.columns.tolist(), strict=True))
    for i in range(n):
        for j in range(n):
            if ((i, j) in found) != (i == j or 0 in (i, j)):
                there = "an" if (i, j) in found else "no"
                return f"of {n} unknowns, row {i} has {there} entry in column {j}"
    return ""


@_exercise("18.3", "two numbers")
def _both(f: Any) -> str:
    for x1, x2 in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)):
        said = float(f(x1, x2))
        if not (said > 0.9 if x1 + x2 == 2.0 else said < 0.1):
            return f"of ({x1:g}, {x2:g}) it says {said:.3g}"
    (a1, a2), (b1, b2) = (engine.grad(f, (0, 1))(*place) for place in ((0.9, 0.3), (0.2, 1.1)))
    along = math.isclose(a1 * b2, a2 * b1, rel_tol=1e-6)
    return "" if along else "it is no neuron: its slope has another direction at other points"


@_exercise("19.2", "w, g and settings")
def _clipped(rule: Any) -> str:
    w, g = [1.0, 1.0, -2.0, 3.0], [0.5, -4.0, 30.0, 0.0]
    found = rule(np.array(w), np.array(g), np.array([0.1]))
    found = found[0] if isinstance(found, tuple) else found
    for a, b, moved in zip(w, g, found, strict=True):
        expected = a - 0.1 * min(max(b, -1.0), 1.0)
        if not math.isclose(moved, expected):
            return f"it moves {a:g} by the gradient {b:g} to {moved:.4g}, not to {expected:.4g}"
    return ""


@_exercise("20.3", "scores and k")
def _share_minus_one(f: Any) -> str:
    scores = [2.0, -1.0, 0.5]
    right = engine.grad(lambda scores: -engine.log(engine.softmax(scores)[2]))(scores)
    return _list_off(f(scores, 2), right)


def _list_off(answer: list[Any], right: list[float]) -> str:
    found = [x.data if isinstance(x, Value) else float(x) for x in answer]
    if len(found) != len(right):
        return f"it gives a list of {len(found)}, not of {len(right)}"
    for k, (a, b) in enumerate(zip(found, right, strict=True)):
        if not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12):
            return f"number {k} is {a:.6g}, not {b:.6g}"
    return ""


@_exercise("21.3", "a kernel and a signal")
def _convolved(f: Any) -> str:
    found = list(f([1.0, 2.0], [1.0, 3.0, 7.0, 0.0]))
    if found == [5.0, 13.0, 14.0]:
        return "the kernel is turned round, as in mathematics; layers of networks leave it as it is"
    return _list_off(found, [7.0, 17.0, 7.0])


@_exercise("22.2", "a price")
def _put(f: Any) -> str:
    today = math.exp(-0.02)
    for price in (80.0, 99.0, 120.0):
        found, right = f(Value(price)), today * max(100.0 - price, 0.0)
        found = found.data if isinstance(found, Value) else float(found)
        if not math.isclose(found, right, abs_tol=1e-12):
            return f"at {price:g} it is {found:.6g}, not {right:.6g}"
    return _slope_off(f, 80.0, -today)


@_exercise("23.2", "a list of losses")
def _median_of_those_that_ended(f: Any) -> str:
    losses = [0.3, math.nan, 0.1, 0.2, 9.0, math.nan]
    return _list_off([f(losses)], [0.25]) and f"of {losses} it is {f(losses):g}, not 0.25"
