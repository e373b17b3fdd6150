"""Derive: the instructions of a lifted function, and those of its adjoint, as statements about
arrays. Nothing is differentiated here: what `engine.compiled.adjoint` gives is written down.

In: `Blocks`, and what the rows of its inputs are called. Out: `Derived`, statements in order, with
the value, the gradients and the guards as expressions in their names.

Each row of the table of instructions says once how it is written down (`Row.in_arrays`). Those of
forward instructions make blocks of their results; those of adjoints add to the adjoints of blocks.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.compiled.adjoint import adjoint
from engine.compiled.blocks import Array, Instruction, L, S, View
from engine.compiled.instructions import ROWS
from engine.compiled.lift import Blocks
from engine.compiled.source.plain import plain
from engine.compiled.writing.algebra import (
    ALL,
    ONE,
    ZERO,
    Expr,
    N,
    full,
    index,
    named,
    number,
    quotient,
    total,
)
from engine.compiled.writing.arrays import Block, Draft, Operand, Statement, lanes


@dataclass(slots=True)
class Named:
    """An array that the printed function takes. `rows` are its numbers' rows, in their order."""

    name: str
    space: int
    layout: tuple[int, ...]
    rows: list[int]
    wanted: bool = False
    split: list[int] = field(default_factory=list)  # rows of L that repeat it, for gradients

    @property
    def shape(self) -> tuple[int | str, ...]:
        """The shape that the array has inside of the function: examples along the last axis."""
        return (*self.layout, *lanes(self.space))

    def wanted_rows(self) -> Iterator[tuple[int, int]]:
        """The same, row by row."""
        space, rows = self.gradient
        return ((space, row) for row in rows)

    @property
    def gradient(self) -> tuple[int, list[int]]:
        """The space and the rows whose adjoints are its gradient."""
        return (L, self.split) if self.split else (self.space, self.rows)


@dataclass(slots=True)
class Assertion:
    """What the trace holds for: an expression equals a number, or is an index below a length."""

    expr: Expr
    length: int
    number: float


@dataclass(slots=True)
class Derived:
    """A function as statements."""

    inputs: list[Named]
    statements: list[Statement]
    outputs: list[Expr]
    value: Expr
    gradients: dict[str, Expr]
    guards: list[Assertion]


def derive(
    blocks: Blocks, inputs: list[Named], reduce: str | None, *, batched: bool, gradient: bool
) -> Derived:
    """Return the statements of a function of one number, with its gradient if that is asked for;
    or of several numbers, without."""
    return Derive(blocks, inputs).run(reduce, batched, gradient)


class Derive:
    """Statements under construction: what rows of the table see of them."""

    def __init__(self, blocks: Blocks, inputs: list[Named]) -> None:
        self.blocks, self.inputs = blocks, inputs
        given = (blocks.instructions, blocks.lists, blocks.rows)
        self.instructions, self.lists, self.count = plain(*given)
        self.steps = np.zeros(0, np.int32)
        self.rows = Draft()
        # By the places of operations, what writes the adjoint of all of them down, once.
        self.sweeps: dict[range, Callable[[], None]] = {}
        self.of_input: dict[str, Block] = {}
        for each in inputs:
            self._place(each)
        for space in (S, L):
            for row, x in blocks.lists.constants[space].items():
                block = Block(space, (), number(x), constants=[x])
                self.rows.places[space][row] = (block, 0)

    def _place(self, each: Named) -> None:
        """Let the rows of an input be its array."""
        block = Block(each.space, each.layout, named(each.name, each.shape))
        self.rows.add(block, each.rows)
        if each.split:
            value = block.value
            value = index(value, (*[ALL] * len(each.layout), None)) if each.layout else value
            block = self.rows.add(Block(L, each.layout, value), each.split)
        self.of_input[each.name] = block

    def run(self, reduce: str | None, batched: bool, gradient: bool) -> Derived:
        """The whole function."""
        rows, blocks = self.rows, self.blocks
        for i in itertools.chain(*self.instructions):
            if i.out.first not in rows.places[i.out.space]:  # else it repeats an input in lanes
                self.write_down(i)
        outputs = [rows.at(space, [row], ()) for space, row in blocks.outputs]
        guards = [
            Assertion(rows.at(check.space, [check.row], ()).expr, check.length, check.number)
            for check in blocks.checks
        ]
        value = outputs[0].expr
        full_shape = lanes(L) if batched else ()
        value = full(value, full_shape) if batched and reduce is None else value
        seed = ONE
        if reduce is not None:
            value = total(value, full_shape, (0,))
            if reduce == "mean":
                value, seed = quotient(value, N), quotient(ONE, N)
        if len(outputs) == 1:
            value = rows.result(value, "cost")
        gradients: dict[str, Expr] = {}
        if gradient:
            if batched and blocks.outputs[0][0] == S:  # the same number for each example
                seed = total(seed, full_shape, (0,))
            outputs[0].add(seed)
            gradients = dict(self._gradients())
        values = [output.expr for output in outputs]
        return Derived(self.inputs, rows.statements, values, value, gradients, guards)

    def _gradients(self) -> Iterator[tuple[str, Expr]]:
        """The adjoint's instructions written down: what they leave for each input."""
        inputs = [each for each in self.inputs if each.wanted]
        wanted = [row for each in inputs for row in each.wanted_rows()]
        given = (self.instructions, self.lists, self.count)
        back = adjoint(*given, self.blocks.outputs[:1], wanted)
        self.steps = back.steps
        for i in (*back.begin, *back.lanes, *back.shared):
            self.write_down(i)
        for each in inputs:
            block = self.of_input[each.name]
            found = self.rows.adjoint(block)
            found = Expr("zeros", (), block.full) if found == ZERO else full(found, block.full)
            about = named(each.name, each.shape)
            yield each.name, self.rows.result(found, "gradient", about)

    def write_down(self, i: Instruction) -> None:
        """Append the statements of an instruction."""
        ROWS[i.kind].in_arrays(self, i)

    @functools.cached_property
    def kept(self) -> tuple[Array, Array]:
        """Which rows instructions read, but for those of loops that these have at hand."""
        of_s, of_l = (np.zeros(count, bool) for count in self.count)
        layout: Any = self  # of which forward instructions ask for the lists alone
        for i in itertools.chain(*self.instructions):
            ROWS[i.kind].note_read(layout, i, (of_s, of_l))
        for space, row in [*self.blocks.outputs, *[(c.space, c.row) for c in self.blocks.checks]]:
            (of_s, of_l)[space][row] = True
        return of_s, of_l

    # --- rows ---

    def at(self, view: View | None, layout: tuple[int, ...]) -> Operand:
        """Rows of a view as an array of a layout, to be read or to have something added to their
        adjoints."""
        assert view is not None
        return self.rows.at(view.space & L, self.lists.rows(view).tolist(), layout)

    def block(self, view: View | None) -> Block:
        """The block that an instruction wrote."""
        assert view is not None
        return self.rows.places[view.space & L][view.first][0]

    def arrived(self, view: View | None) -> tuple[Expr, tuple[int, ...]]:
        """The adjoint of a block, and its layout."""
        block = self.block(view)
        return self.rows.adjoint(block), block.layout

    def new(self, out: View, layout: tuple[int, ...], value: Expr, role: str = "value") -> None:
        """Let rows be a new block."""
        block = Block(out.space, layout, self.rows.emit(value, role), copied=value.kind == "name")
        self.rows.add(block, range(out.first, out.first + out.count))

    def layout_of(self, view: View) -> tuple[int, ...] | None:
        """The layout of the block that some rows are all of."""
        rows = self.lists.rows(view).tolist()
        block, place = self.rows.places[view.space][max(rows[0], ~rows[0])]
        last, end = self.rows.places[view.space][max(rows[-1], ~rows[-1])]
        whole = last is block and place == 0 and end == block.rows - 1 == len(rows) - 1
        return block.layout if whole else None
