"""Loops in equations are recurrences, and loops in NumPy: read as they stand, they give the
program's numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from compiled.loop_programs import STEPS
from compiled.test_source import balanced, printed
from engine.compiled.source import texts
from engine.compiled.source.derive import Derived
from engine.compiled.writing.algebra import LANES, Expr, Places
from engine.compiled.writing.arrays import Statement
from engine.compiled.writing.formulas import PRIME, derivative, parameters, unprimed
from engine.ops import TABLE

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


class Reader:
    """Reads statements as they stand: names are arrays, whose last axis are the examples."""

    def __init__(self, names: dict[str, Any], lanes: int) -> None:
        self.names: dict[Any, Any] = {**names, LANES: float(lanes)}
        self.lanes, self.t = lanes, 0

    def shape(self, shape: Any) -> tuple[int, ...]:
        return tuple(self.lanes if d == LANES else d for d in shape)

    def __call__(self, e: Any) -> Any:
        return getattr(self, e.kind)(e, *e.parts) if isinstance(e, Expr) else e

    def name(self, e: Expr, name: str) -> Any:
        return self.names[name]

    def number(self, e: Expr, x: float) -> Any:
        return x

    def array(self, e: Expr, *numbers: float) -> Any:
        return np.array(numbers).reshape(self.shape(e.shape))

    def call(self, e: Expr, row: str, *operands: Expr) -> Any:
        given = [*map(self, operands)]
        if PRIME not in row:
            return np.vectorize(TABLE[row].forward, otypes=[float])(*given)
        names, formula, _ = derivative(row)
        of = unprimed(row)[0]
        known = dict(zip(parameters(of), given, strict=True))
        known["out"] = np.vectorize(TABLE[of].forward, otypes=[float])(*given)
        assert names == parameters(of)
        return Reader(known, self.lanes)(formula)

    def compare(self, e: Expr, sign: str, a: Expr, b: Expr) -> Any:
        return np.where(SIGNS[sign](self(a), self(b)), 1.0, 0.0)

    def matmul(self, e: Expr, a: Expr, b: Expr) -> Any:
        return self(a) @ self(b)

    def outer(self, e: Expr, a: Expr, b: Expr) -> Any:
        return np.multiply.outer(self(a), self(b))

    def sum(self, e: Expr, operand: Expr, axes: tuple[int, ...]) -> Any:
        return np.sum(self(operand), axis=axes)

    def index(self, e: Expr, operand: Expr, selection: Any) -> Any:
        return self(operand)[self.selection(selection)]

    def selection(self, items: Any) -> tuple[Any, ...]:
        return tuple([*x.numbers] if isinstance(x, Places) else self(x) for x in items)

    def reshape(self, e: Expr, operand: Expr) -> Any:
        return np.reshape(self(operand), self.shape(e.shape))

    def move(self, e: Expr, operand: Expr, axes: tuple[int, ...]) -> Any:
        return np.transpose(self(operand), axes)

    def full(self, e: Expr, operand: Expr) -> Any:
        return np.broadcast_to(self(operand), self.shape(e.shape))

    def join(self, e: Expr, *parts: Expr) -> Any:
        return np.concatenate([*map(self, parts)])

    def zeros(self, e: Expr) -> Any:
        return np.zeros(self.shape(e.shape))

    def empty(self, e: Expr) -> Any:
        return np.full(self.shape(e.shape), np.nan)

    def copy(self, e: Expr, operand: Expr, in_order: bool) -> Any:
        return np.array(self.full(e, operand))

    def step(self, e: Expr, further: int, stride: int) -> int:
        return stride * self.t + further

    def over(self, e: Expr, term: Expr, count: int) -> Any:
        total: Any = 0.0
        for self.t in range(count):
            total = total + self(term)
        return total

    def run(self, derived: Derived) -> tuple[Any, dict[str, Any]]:
        """The value and the gradient, after all statements."""
        for _, some in itertools.groupby(derived.statements, lambda s: id(s.steps)):
            lines = [*some]
            for self.t in lines[0].steps or [0]:
                for line in lines:
                    self.do(line)
        return self(derived.value), {k: self(e) for k, e in derived.gradients.items()}

    def do(self, s: Statement) -> None:
        name, value = s.target.parts[0], self(s.expr)
        if s.selection is None:
            self.names[name] = value
            return
        target = self.names[name]
        target = target.reshape(-1, *target.shape[-1:]) if s.flat else target
        chosen = self.selection(s.selection)
        if s.sets:
            target[chosen] = value
        else:
            np.add.at(target, chosen, value)


def derived_by(program: engine.Program, args: Any, monkeypatch: pytest.MonkeyPatch) -> Derived:
    """What a program's equations are written from, without making machine code."""
    found: list[Derived] = []
    monkeypatch.setattr(texts, "latex_text", lambda derived: found.append(derived) or "")
    arguments, paths = program._prepared(args, {})
    paths.outputs(arguments, (0, 0))
    program._wanted(arguments, args)
    program.source("latex")
    return found[0]


def check(
    f: Callable[..., Any], at: list[float], monkeypatch: pytest.MonkeyPatch, *, batched: bool
) -> None:
    factors = [1.0, 1.0 + 1e-9, 1.0 - 1e-9]  # so that all take the same path
    if batched:
        examples = [[x * factor for x in at] for factor in factors]
        program = engine.compile(f, in_axes=0, reduce="sum")
    else:
        examples, program = [at], engine.compile(f)
    derived = derived_by(program, (examples if batched else at,), monkeypatch)
    both = [engine.value_and_grad(f)(x) for x in examples]
    p = np.array(examples if batched else at)
    columns = {derived.inputs[0].name: p.T}
    value, gradient = Reader(columns, len(examples)).run(derived)
    (found,) = gradient.values()
    in_numpy, gradient_in_numpy = printed(program.source())["value_and_gradient"](p)
    expected = [sum(v for v, _ in both), np.array([g for _, g in both]).reshape(p.shape)]
    for result in ([value, found.T], [in_numpy, gradient_in_numpy["p"]]):
        for actual, wanted in zip(result, expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("batched", [False, True], ids=["alone", "batch"])
@pytest.mark.parametrize("name", STEPS)
def test_read_as_they_stand_equations_give_the_numbers(
    name: str, batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if batched and name == "bisection":
        pytest.skip("a rounding decides which way is taken")
    check(STEPS[name].function, STEPS[name].at, monkeypatch, batched=batched)


def equations(name: str) -> str:
    program = engine.compile(STEPS[name].function)
    program.value_and_grad(STEPS[name].at)
    return program.source("latex")


@pytest.mark.parametrize(  # in bisection operands are no recurrence
    "name", [name for name, steps in STEPS.items() if steps.looped and name != "bisection"]
)
def test_a_loop_is_written_once(name: str) -> None:
    text = equations(name)
    assert balanced(text) and r"\text{for } t = 0, \dots, " in text
    assert "tape" not in text and len(text.splitlines()) < 110


def test_a_loop_is_written_as_people_do() -> None:
    lines = equations("horner").splitlines()
    assert [lines[k] for k in (1, 3, 4, 5, 8, 9)] == [
        r"h^{(1)}_{0} &= 0 \\",
        r"&\text{for } t = 0, \dots, 119\text{:} \\",
        r"\quad h^{(1)}_{t+1} &= h^{(1)}_{t} \, p_{0} + p_{1} \, h^{(2)}_{t} \\",
        r"C &= h^{(1)}_{120} \\[6pt]",
        r"&\text{for } t = 119, \dots, 0\text{:} \\",
        r"\quad \left(\frac{\partial C}{\partial h^{(1)}}\right)_{t} &\mathrel{+}= "
        r"\left(\frac{\partial C}{\partial h^{(1)}}\right)_{t+1} \, p_{0} \\",
    ]
    assert r"\sum_{t=0}^{119} " in lines[-2]


def test_in_numpy_a_loop_is_a_loop() -> None:
    program = engine.compile(STEPS["newton"].function)
    program.value_and_grad(STEPS["newton"].at)
    lines = [line.strip() for line in program.source().splitlines()]
    assert "h1[t + 1] = h1[t] + (p[0] - h1[t] ** 2 * h1[t]) / (3 * h1[t] ** 2)" in lines
    assert lines.count("for t in range(40):") == lines.count("for t in reversed(range(40)):") == 1


def test_what_no_loop_says_is_written_line_by_line() -> None:
    assert r"\text{for }" not in equations("bisection")
