"""Rows whose forward loops, or branches often: they are compiled as loops, by Numba."""

import math

import pytest

import engine
from engine import TraceError, Value
from engine.compiled.branches import UntranslatableError
from engine.compiled.native import vectormath
from engine.compiled.native.function import Function
from engine.compiled.native.numbers import FLOAT, Lanes
from engine.compiled.writing.formulas import forward
from engine.ops import TABLE, div, row
from engine.value import record


def doubled(x: float) -> float:
    while x < 8.0:
        x = 2.0 * x
    return x


def steps(x: float) -> float:
    y = 0.0
    for k in range(40):
        if x > k:
            y = y + 1.0
    return y * x


def series(x: float) -> float:
    term, total, k = x, 1.0 + x, 2.0
    while math.fabs(term) > 1e-17:
        term = term * x / k
        total = total + term
        k = k + 1.0
    return total


def bisected(x: float) -> float:
    low, high = 0.0, 100.0
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        if middle * middle < x:
            low = middle
        else:
            high = middle
    return low


def _ratio(x: float, out: float) -> float:
    return div(out, x)


def _itself(x: float, out: float) -> float:
    return out


def _half_root(x: float, out: float) -> float:
    return div(0.5, out)


def factorial(x: float) -> float:
    return 1.0 if x < 1.0 else x * factorial(x - 1.0)


def halved(x: float) -> float:
    return x if x < 1.0 else _other(0.5 * x)


def _other(x: float) -> float:
    return halved(x)


LOOPS = {
    "doubled": (doubled, _ratio),
    "steps": (steps, _ratio),
    "series": (series, _itself),
    "bisected": (bisected, _half_root),
}
RECURSIVE = {"factorial": (factorial, _ratio), "halved": (halved, _ratio)}


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (function, partial) in {**LOOPS, **RECURSIVE}.items():
        monkeypatch.setitem(TABLE, name, TABLE["add"])  # so that it is taken out afterwards
        row(function, (partial,), name, [(1.1, 1.9)])


@pytest.mark.parametrize("name", LOOPS)
def test_a_forward_that_loops_is_not_written_out(name: str) -> None:
    f = Function("double")
    with pytest.raises(UntranslatableError):
        vectormath.row(f, name, Lanes(f, "%x", FLOAT, 4))
    assert len(f.lines) < 10_000
    with pytest.raises(TypeError, match=f"the row '{name}' can't be written out"):
        forward(name)


def test_a_forward_of_a_few_branches_still_is() -> None:
    f = Function("double")
    for name in ("pow", "div", "clamp_min", "sign"):
        vectormath.row(f, name, *[Lanes(f, "%x", FLOAT, 4)] * TABLE[name].arity)


@pytest.mark.parametrize("name", RECURSIVE)
def test_a_forward_that_calls_itself_can_not_be_compiled(name: str) -> None:
    program = engine.compile(lambda x: record(TABLE[name], (x,)))
    with pytest.raises(TraceError, match="calls itself and can't be compiled; write it as a loop"):
        program(1.5)


@pytest.mark.parametrize("name", LOOPS)
def test_rows_that_loop_compile_and_agree(name: str) -> None:
    def f(x):
        return record(TABLE[name], (x,)) * x

    program = engine.compile(f, in_axes=0)
    xs = [1.5, 3.0, 9.0, 0.25]
    values, slopes = program.value_and_grad(xs)
    assert values.tolist() == pytest.approx([f(Value(x)).data for x in xs], rel=1e-14)
    assert slopes.tolist() == pytest.approx([engine.grad(f)(x) for x in xs], rel=1e-14)
    assert all(map(math.isfinite, slopes))
