"""A row that is added to the table of instructions is run, differentiated, told, drawn and printed:
nobody but the table is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from compiled import test_source, test_source_c
from engine.compiled import lift
from engine.compiled.blocks import Array, Instruction, Lists, Segments
from engine.compiled.instructions import ROWS
from engine.compiled.instructions.row import Row
from engine.compiled.lift.loops import reroll
from engine.compiled.writing.algebra import times


class Squares(Row):
    """out = the operand times itself; texts say so in the words of another row."""

    kind, word = "squares", "squares"

    def title(self, lists: Lists, i: Instruction) -> str:
        return f"squares of {i.out.count}"

    def adjoint(self, a: Any, i: Instruction) -> None:
        g = a.arrived(i.out)
        if g is not None and a.is_wanted(i.operands[0]):
            a.add("edge", i.operands[0], (g, *i.operands, i.out), name="square", shape=(0,))

    def run(self, m: Any, i: Instruction) -> None:
        m.rows(i.out)[:] = m.rows(i.operands[0]) ** 2

    def emit(self, e: Any, f: Any, i: Instruction, *more: Instruction) -> None:
        x, (buffer, out) = e.operand(f, i.operands[0]), e.place(i.out)

        def body(o: Any, w: int, used: int) -> None:
            f.store(x(o, w, used) * x(o, w, used), buffer, o + out, used)

        e.flat(f, e.numbers(i.out), body)

    def parts(self, lists: Lists, steps: Array, i: Instruction) -> Iterator[Instruction]:
        yield Instruction("map", i.out, (*i.operands, *i.operands), name="mul")


class WithWords(Squares):
    """The same with texts of its own."""

    parts = Row.parts

    def in_arrays(self, d: Any, i: Instruction) -> None:
        x = d.at(i.operands[0], (i.out.count,)).expr
        d.new(i.out, (i.out.count,), times(x, x))

    def in_c(self, c: Any, i: Instruction) -> None:
        c.row_by_row(i.out, lambda k: c.times(i.operands[0], k, i.operands[0], k))


class WithoutText(Squares):
    """The same, of which texts know nothing."""

    parts = Row.parts


def squared(instructions: list[Instruction], segments: Segments) -> Iterator[Instruction]:
    """What lifting finds, with the new instruction for maps that square."""
    for i in reroll(instructions, segments):
        yield i._replace(kind="squares", name="") if i.name == "square" else i


def norm(x: Sequence[Any]) -> Any:
    return engine.sum(engine.tanh(engine.square(engine.sin(v))) for v in x)


X = [[0.3, -1.2, 2.0], [1.5, 0.1, -0.4]]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> engine.Program:
    """A function with a row of the table that was not there before, after a call."""
    monkeypatch.setitem(ROWS, "squares", getattr(request, "param", Squares)())
    monkeypatch.setattr(lift, "reroll", squared)
    made = engine.compile(norm, in_axes=0, reduce="sum")
    made.value_and_grad(X)
    return made


@pytest.mark.parametrize("native", [True, False])
def test_it_is_run_and_differentiated(program: engine.Program, native: bool) -> None:
    found = engine.compile(norm, in_axes=0, reduce="sum", native=native).value_and_grad(X)
    examples = [engine.value_and_grad(norm)(x) for x in X]
    np.testing.assert_allclose(found[0], sum(v for v, _ in examples), rtol=1e-13)
    np.testing.assert_allclose(found[1], [g for _, g in examples], rtol=1e-13)


def test_it_is_told_and_drawn(program: engine.Program) -> None:
    assert "squares of 3" in str(program)
    assert "squares of 3" in [box.title for box in engine.draw(program).picture.boxes]
    assert any("squares of 3" in each.title for each in engine.show_lifting(program).passes.opened)


@pytest.mark.parametrize("program", [Squares, WithWords], indirect=True)
def test_it_is_printed(program: engine.Program, tmp_path: Path) -> None:
    value, gradient = program.value_and_grad(X)
    found = test_source.printed(program.source())["value_and_gradient"](np.array(X))
    test_source.agree([value, gradient], [found[0], found[1]["x"]])
    assert "h1 ** 2" in program.source() and r"^{2}" in program.source("latex")
    assert "squares of 3" in program.source("c")
    if test_source_c.CC is not None:
        test_source_c.check(program, tmp_path, ["x"], [np.array(X)])


@pytest.mark.parametrize("program", [WithoutText], indirect=True)
@pytest.mark.parametrize("kind", ["numpy", "c"])
def test_without_a_text_it_says_so(program: engine.Program, kind: Any) -> None:
    with pytest.raises(TypeError, match="'squares' of the table of instructions has no text"):
        program.source(kind)
