"""Write differences.md: where gradloom, PyTorch, JAX, autograd, CasADi and the truth disagree.

`make differences` runs every row of the operation table, and what the libraries have in its place,
at ordinary points and at all kinks, ties, infinities, edges and far ends, as the fixtures have them
(nn/fixtures.py); values and first derivatives, in float64 on the CPU. The truth is the row's
forward on mpmath's numbers of 1,000 digits: its value, or the limit of its difference quotients
from each side. What all agree on is left out; what differs alike at many points is one line.
"""

from __future__ import annotations

import importlib
import itertools
import math
import operator
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "differences.md"
# The root too, and first: else tests/engine would be found as the package `engine`.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from engine.ops import TABLE, Op  # noqa: E402
from exact_rows import ExactMath, exact, mp  # noqa: E402
from nn.fixtures import edge_points, kind_of, ordinary_points  # noqa: E402

Numbers = Sequence[float]
Answer = tuple[float, ...]  # the value, and the derivative by each operand
Function = Callable[..., Any]

NEAR = 1e-6  # relatively: what differs by less is rounding
TINY = 1e-300  # and what is below is 0: some flush such numbers
DIGITS = 1000
DEFINED = ("binary_cross_entropy", "detach")  # whose derivatives are not those of their values
# What only recorded derivatives are made of; comparisons, which give booleans; x itself.
QUOTIENTS = ("fmod", "remainder", "floor_divide")  # to be known to the unit
LEFT_OUT = {"nothing", "arrive", "pass_on", "chain", "less", "less_equal", "equal", "identity"}

# --- the libraries ------------------------------------------------------------------------------

OPERATORS = {
    "polygamma": None,  # of an order that is no variable
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "neg", "pow")},
    "div": operator.truediv,
}


class PyTorch:
    """torch, with gradients by autograd."""

    name, package = "PyTorch", "torch"
    homes = ("torch", "torch.special", "torch.nn.functional")

    def __init__(self) -> None:
        self.torch = torch = importlib.import_module("torch")
        self.own: dict[str, Function] = {
            **OPERATORS,
            "log_sigmoid": torch.nn.functional.logsigmoid,
            "leaky_relu": torch.nn.functional.prelu,
            "elu": None,  # its alpha has no derivative
            "step": lambda x: torch.heaviside(x, torch.zeros_like(x)),
        }

    def answer(self, f: Function, numbers: Numbers) -> Answer:
        inputs = [self.torch.tensor([x], dtype=self.torch.float64) for x in numbers]
        for x in inputs:
            x.requires_grad_()
        y = f(*inputs)
        if not y.requires_grad:
            return (y.item(), *[0.0] * len(inputs))
        found = self.torch.autograd.grad(y.sum(), inputs, allow_unused=True)
        return (y.item(), *[0.0 if g is None else g.item() for g in found])

    def where(self, c: Any, x: Any, y: Any) -> Any:
        return self.torch.where(c != 0, x, y)


class JAX:
    """jax.numpy, jax.nn and jax.scipy, with gradients by jax.grad."""

    name, package = "JAX", "jax"
    homes = ("jax.numpy", "jax.nn", "jax.scipy.special", "jax.lax")

    def __init__(self) -> None:
        self.jax = jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.own: dict[str, Function] = {
            **OPERATORS,
            "gelu": lambda x: jax.nn.gelu(x, approximate=False),
            "clamp_min": lambda x, low: jax.numpy.clip(x, low, None),
            "clamp_max": lambda x, high: jax.numpy.clip(x, None, high),
            "step": lambda x: jax.numpy.heaviside(x, 0.0),
            "detach": jax.lax.stop_gradient,
        }
        self.graded = cache(self.graded)  # compiled once a function

    def graded(self, f: Function, count: int) -> Function:
        return self.jax.jit(self.jax.value_and_grad(f, argnums=tuple(range(count))))

    def answer(self, f: Function, numbers: Numbers) -> Answer:
        value, found = self.graded(f, len(numbers))(*numbers)
        return (float(value), *map(float, found))

    def where(self, c: Any, x: Any, y: Any) -> Any:
        return self.jax.numpy.where(c != 0, x, y)


class Autograd:
    """autograd.numpy and autograd.scipy."""

    name, package = "autograd", "autograd"
    homes = ("autograd.numpy", "autograd.scipy.special")

    def __init__(self) -> None:
        self.autograd = importlib.import_module("autograd")
        self.numpy = numpy = importlib.import_module("autograd.numpy")
        self.own: dict[str, Function] = {
            **OPERATORS,
            "sigmoid": importlib.import_module("autograd.scipy.special").expit,
            "relu": lambda x: numpy.maximum(x, 0.0),
            "clamp_min": None,  # its clip takes numbers as bounds, maximum is a row of its own
            "clamp_max": None,
        }

    def answer(self, f: Function, numbers: Numbers) -> Answer:
        count = len(numbers)
        found = self.autograd.value_and_grad(f, tuple(range(count)))(
            *map(self.numpy.float64, numbers)
        )
        return (float(found[0]), *map(float, found[1]))

    def where(self, c: Any, x: Any, y: Any) -> Any:
        return self.numpy.where(c != 0, x, y)


class CasADi:
    """casadi's SX, with gradients by casadi.gradient."""

    name, package = "CasADi", "casadi"
    homes = ("casadi",)

    def __init__(self) -> None:
        self.casadi = casadi = importlib.import_module("casadi")
        self.own: dict[str, Function] = {
            **OPERATORS,
            "square": lambda x: x**2,
            "abs": casadi.fabs,
            "maximum": casadi.fmax,
            "minimum": casadi.fmin,
            "relu": lambda x: casadi.fmax(x, 0.0),
            "remainder": None,  # C's, to the nearest multiple, is another function
        }
        self.graded = cache(self.graded)

    def graded(self, f: Function, count: int) -> Function:
        x = self.casadi.SX.sym("x", count)
        y = f(*[x[i] for i in range(count)])
        return self.casadi.Function("f", [x], [self.casadi.vertcat(y, self.casadi.gradient(y, x))])

    def answer(self, f: Function, numbers: Numbers) -> Answer:
        return tuple(map(float, self.graded(f, len(numbers))(list(numbers)).full().ravel()))

    def where(self, c: Any, x: Any, y: Any) -> Any:
        return self.casadi.if_else(c != 0, x, y)


LIBRARIES = (PyTorch, JAX, Autograd, CasADi)
COLUMNS = ("truth", "gradloom", *(library.name for library in LIBRARIES))


def function_of(library: Any, op: Op) -> Function | None:
    """What a library has in place of a row: what it says itself, or the function of its name."""
    if op.name == "where":
        return library.where
    if op.name in library.own:
        return library.own[op.name]
    for name, home in itertools.product((op.name, *op.aliases), library.homes):
        if found := getattr(importlib.import_module(home), name, None):
            return found
    return None


# --- ours, and the truth ------------------------------------------------------------------------


def our_answer(op: Op, numbers: Numbers) -> Answer:
    value = op.forward(*numbers)
    return (
        value,
        *[
            0.0 if op.cuts_at(k, numbers) else p if isinstance(p, float) else p(*numbers, value)
            for k, p in enumerate(op.partials)
        ],
    )


def limit(found: Sequence[Any]) -> Any:
    """Where numbers, each much nearer than the one before, are going; nan if that is not clear."""
    last = found[-1]
    if any(mp.isnan(one) for one in found):
        return mp.nan
    if all(one == last or abs(one - last) <= mp.mpf(10) ** -18 * abs(last) for one in found):
        return last
    pairs = list(itertools.pairwise(found))
    if all(abs(b) > 1.05 * abs(a) and a * b > 0 for a, b in pairs):
        return mp.inf * mp.sign(last)
    return mp.mpf(0) if all(abs(a) > 1.05 * abs(b) for a, b in pairs) else mp.nan


def joint_limit(f: Function, numbers: Numbers) -> Any:
    """The limit of f at these operands, the same however the infinite ones go there."""
    infinite = [k for k, x in enumerate(numbers) if math.isinf(x)]
    limits = []
    for ahead in [None, *infinite][: 1 + len(infinite) * (len(infinite) > 1)]:
        found = []
        for power in (310, 340, 370, 400):
            way = [
                math.copysign(1, x) * mp.mpf(10) ** (power * (1 + (k == ahead)))
                if k in infinite
                else mp.mpf(x)
                for k, x in enumerate(numbers)
            ]
            found.append(f(*way))
            if not infinite:
                return found[0]
        limits.append(limit(found))
    return limits[0] if all(near(float(one), float(limits[0])) for one in limits) else mp.nan


def side(f: Function, numbers: Sequence[Any], k: int, sign: int) -> Any:
    """The limit of the derivative by operand k from one side; nan where f ends there or jumps."""
    size = min([mp.mpf(1), *(abs(z) for z in numbers if z)])

    def at(step: Any) -> Any:
        return f(*numbers[:k], numbers[k] + sign * step, *numbers[k + 1 :])

    slopes, gaps, here = [], [], at(0)
    for power in (40, 60):
        t = size * mp.mpf(10) ** -power
        h = t * mp.mpf(10) ** -20
        gaps.append(abs(at(t) - here))
        slopes.append(sign * (at(t + h) - at(t - h)) / (2 * h))
    jumps = mp.isfinite(here) and not gaps[1] <= gaps[0] * mp.mpf(10) ** -4
    return mp.nan if jumps or mp.isnan(here) else limit(slopes)


def true_answer(op: Op, numbers: Numbers) -> list[list[float]]:
    """What the value and each derivative truly are: one number, or those of both sides, or none."""
    signed = any(x == 0.0 and math.copysign(1.0, x) < 0.0 for x in numbers)  # mpmath has no -0
    unknown = op.name in DEFINED or signed or any(map(math.isnan, numbers))
    if unknown or (op.name in QUOTIENTS and not abs(numbers[0]) < 1e15 * abs(numbers[1])):
        return [[] for _ in range(op.arity + 1)]
    forward = EXACT.get(op.name) or exact(op)

    def f(*xs: Any) -> Any:
        return mp.mpf(forward(*xs))

    asked: list[list[Function]] = [[f]]
    asked += [
        [lambda *xs, k=k, s=s: side(f, xs, k, s) for s in (-1, 1) if not op.is_flat]
        for k in range(op.arity)
    ]
    answers = []
    with mp.workdps(DIGITS):
        for sides in asked:
            try:
                found = [float(joint_limit(one, numbers)) for one in sides]
            except (ArithmeticError, ValueError, NotImplementedError):  # mpmath can't
                found = []
            known = [one for one in found if one == one]
            answers.append(known[:1] if len(known) > 1 and near(*known) else known)
    return answers


def power(x: Any, y: Any) -> Any:
    size = ExactMath().pow(abs(x), y)
    if x >= 0 or y == 0:
        return size
    return mp.nan if y != mp.floor(y) else size if y % 2 == 0 else -size


# Rows whose forwards go about it as only floats need it.
EXACT = {"pow": power, "floor_divide": lambda x, y: mp.floor(x / y)}


# --- the lines of the page ----------------------------------------------------------------------


def near(a: float, b: float) -> bool:
    """Whether two answers are the same but for rounding."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b or (a != a and b != b)
    return abs(a - b) <= max(TINY, NEAR * abs(b))


@dataclass
class Line:
    """One answer of one row on which somebody differs, and the points where it is so."""

    op: Op
    part: int  # 0 for the value, else the derivative by this operand, from 1
    kind: str
    points: list[tuple[float, ...]]
    answers: dict[str, list[float]]  # by column; two numbers are those of two sides

    @property
    def truth(self) -> list[float]:
        return self.answers["truth"]

    def is_wrong(self, column: str) -> bool:
        """Whether a column has what is not true; where nothing is, what is not ours."""
        expected = self.truth or self.answers["gradloom"]
        found = self.answers[column]
        within = len(expected) > 1 and min(expected) <= (found or [0.0])[0] <= max(expected)
        return bool(found) and not within and not any(near(found[0], one) for one in expected)

    @property
    def pattern(self) -> tuple[Any, ...]:
        """Who agrees with whom: lines that have this in common are one."""
        flat = [tuple(numbers) for numbers in self.answers.values()]
        alike = [
            next(i for i, b in enumerate(flat) if len(a) == len(b) and all(map(near, a, b)))
            for a in flat
        ]
        return (self.op.name, self.part, self.kind, len(flat[0]), *alike, *[a != a for a in flat])


def lines() -> list[Line]:
    """All lines of the page, those with one pattern as one."""
    libraries = [make() for make in LIBRARIES]
    merged: dict[tuple[Any, ...], Line] = {}
    for op in TABLE.values():
        if op.name in LEFT_OUT:
            continue
        functions = {library: function_of(library, op) for library in libraries}
        for numbers in [*ordinary_points(op), *edge_points(op)]:
            for line in lines_at(op, numbers, functions):
                if line.pattern in merged:
                    merged[line.pattern].points += line.points
                else:
                    merged[line.pattern] = line
    return list(merged.values())


def lines_at(
    op: Op, numbers: tuple[float, ...], functions: dict[Any, Function | None]
) -> list[Line]:
    """The lines of one point."""
    columns: dict[str, Any] = {"gradloom": our_answer(op, numbers)}
    for library, f in functions.items():
        columns[library.name] = answer(library, f, numbers)
    kind = "ordinary" if numbers in ordinary_points(op) else kind_of(op, numbers)
    told = [one for one in columns.values() if one is not None]
    parts = [k for k in range(op.arity + 1) if not all(near(told[0][k], one[k]) for one in told)]
    exact = true_answer(op, numbers) if parts else []
    return [
        Line(
            op,
            k,
            kind,
            [numbers],
            {"truth": exact[k]}
            | {name: [] if one is None else [one[k]] for name, one in columns.items()},
        )
        for k in parts
    ]


def answer(library: Any, f: Function | None, numbers: Numbers) -> Answer | None:
    """A library's answer; None where it has none."""
    if f is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return library.answer(f, numbers)
        except (NotImplementedError, RuntimeError, TypeError, ZeroDivisionError):
            return None


# --- the page -----------------------------------------------------------------------------------

SECTIONS = {
    "ordinary": ("At ordinary points", "Nothing special, and still not the same."),
    "kinks": (
        "At kinks, ties and jumps",
        "Here no derivative exists: two numbers are those of the sides, and any between them is a "
        "subgradient. What is chosen is a convention.",
    ),
    "tails": ("Far out and close to 0", "Where digits get lost, and squares over- and underflow."),
    "edges": (
        "Where a result or a derivative is infinite or not a number",
        "At the ends of domains, beyond them, and where a finite operand overflows.",
    ),
    "infinities": (
        "At infinities and nan",
        "The truth is a limit, if there is one. What IEEE arithmetic makes of a rule is all that "
        "most say: 0 * inf is nan, also where a limit exists.",
    ),
}

# What a reader should know first: row, part, operands, and a sentence with the answers to it.
SURPRISES: list[tuple[str, int, tuple[float, ...], str]] = [
    ("abs", 1, (0.0,), "The derivative of `abs` at 0 is {JAX} in JAX, 0 elsewhere; ours is 0."),
    (
        "relu",
        1,
        (0.0,),
        "`relu` at 0: PyTorch, JAX and we say {gradloom}. Written as a maximum with 0, as autograd "
        "and CasADi need it, it is {autograd}.",
    ),
    (
        "clamp_min",
        1,
        (1.0, 1.0),
        "At its bound a clamp passes {PyTorch} in PyTorch and here, {JAX} in JAX, whose `clip` is "
        "made of a maximum and a minimum.",
    ),
    (
        "hypot",
        1,
        (0.0, 0.0),
        "The gradient of `hypot` at the origin is {PyTorch} in PyTorch, autograd and CasADi, {JAX} "
        "in JAX, {gradloom} here.",
    ),
    (
        "tanh",
        1,
        (40.0,),
        "A derivative made of the result dies early: that of `tanh` at 40 is {truth}, and "
        "{PyTorch} in PyTorch, JAX and CasADi; `sigmoid` and `expm1` do the same.",
    ),
    (
        "gelu",
        0,
        (-20.0,),
        "PyTorch's exact `gelu` is {PyTorch} at -20, where it is {truth}. (JAX's is another "
        "function unless told `approximate=False`.)",
    ),
    (
        "div",
        2,
        (1e200, 1e200),
        "The derivative of x / y by y at (1e200, 1e200) is {truth}, and {JAX} in JAX and autograd: "
        "they square y first.",
    ),
    (
        "atan2",
        1,
        (1e-200, 1e-200),
        "So do all with `atan2`: at (1e-200, 1e-200) its derivative by the first operand is "
        "{truth}; PyTorch says {PyTorch}, which looks like one, the others {JAX}.",
    ),
    (
        "log",
        0,
        (1e-308,),
        "JAX on a CPU takes numbers below 2.2e-308 for 0: `log(1e-308)` is {JAX}.",
    ),
    (
        "binary_cross_entropy",
        2,
        (0.0, 0.5),
        "The gradient of PyTorch's binary cross entropy by its target is {PyTorch} at p = 0, where "
        "the loss itself grows by {gradloom} a unit.",
    ),
    (
        "maximum",
        1,
        (math.nan, 1.0),
        "nan need not stay nan: the maximum of nan and 1 passes {PyTorch} to each operand in "
        "PyTorch and here, {JAX} in JAX; CasADi's `fmax` drops the nan, as C's does.",
    ),
    (
        "acosh",
        1,
        (-2.0,),
        "Outside of its domain `acosh` is nan, and its derivative at -2 all the same {PyTorch} in "
        "PyTorch, JAX and autograd; here it is {gradloom}.",
    ),
]


def cell(numbers: Sequence[float]) -> str:
    """One answer, with six digits; -0 as 0."""
    return " and ".join(f"{number + 0.0:.6g}" for number in numbers)


def place(numbers: Numbers) -> str:
    inside = ", ".join(map(repr, numbers))
    return f"({inside})" if len(numbers) > 1 else inside


def row_of(line: Line) -> str:
    """A line as a row of a table: what differs from the truth, or else from ours, is bold."""
    cells = [cell(line.answers[name]) for name in COLUMNS]
    wrong = [name != "truth" and line.is_wrong(name) for name in COLUMNS]
    shown = [f"**{text}**" if bad else text for text, bad in zip(cells, wrong, strict=True)]
    what = "value" if line.part == 0 else f"d/d{line.part}" if line.op.arity > 1 else "d/dx"
    more = [place(numbers) for numbers in line.points[1:]]
    also = ", ".join(more[:3]) + (f" and {len(more) - 3} more" if len(more) > 3 else "")
    return f"| `{line.op.name}` | {what} | {place(line.points[0])} | {' | '.join(shown)} | {also} |"


def table(found: Sequence[Line]) -> str:
    head = f"| row | | at | {' | '.join(COLUMNS)} | also at |\n|{'---|' * (len(COLUMNS) + 4)}\n"
    return head + "\n".join(map(row_of, found))


def summary() -> str:
    """The surprises, with the answers as they are now."""
    libraries = [make() for make in LIBRARIES]
    points = []
    for name, part, numbers, sentence in SURPRISES:
        op = TABLE[name]
        functions = {library: function_of(library, op) for library in libraries}
        [line] = [line for line in lines_at(op, numbers, functions) if line.part == part]
        told = sentence.format(**{key: cell(one) or "none" for key, one in line.answers.items()})
        points.append(textwrap.fill(told, 100, initial_indent="- ", subsequent_indent="  "))
    return "\n".join(points)


def release(library: Any) -> str:
    """The installed version, without what tells one build of it from another."""
    return version(library.package).partition("+")[0]


def versions() -> str:
    """The libraries that a page is about."""
    return ", ".join(f"{one.name} {release(one)}" for one in LIBRARIES)


def page() -> str:
    """The whole page."""
    found = lines()
    parts = [
        f"# How the libraries differ\n\n{INTRODUCTION}\n\nVersions: {versions()}.",
        f"## What you would be surprised by\n\n{summary()}",
    ]
    for kind, (title, about) in SECTIONS.items():
        if here := [line for line in found if line.kind == kind]:
            parts.append(f"## {title}\n\n{textwrap.fill(about, 100)}\n\n{table(here)}")
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
Written by `make differences`, which runs every operation that gradloom has in each library, in
float64 on a CPU, at ordinary points and at kinks, ties, edges of domains, infinities, and far out.
Only what somebody answers differently is here; 0 and -0 count as alike, and so do numbers that
agree to six digits. The truth is a computation with 1,000 digits: a value, or the limit of
difference quotients. **Bold** is what is not true, or where nothing is, not ours. d/d1 is the
derivative by the first operand. A library without the operation has an empty cell. Lines in which
the same libraries agree with one another are one, with its first point's numbers."""


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
