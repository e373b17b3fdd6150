"""Derive: the instructions of a lifted function, and those of its adjoint, as statements about
arrays. Nothing is differentiated here: what `engine.compiled.adjoint` gives is written down.

In: `Blocks`, and what the rows of its inputs are called. Out: `Derived`, statements in order, with
the value, the gradients and the guards as expressions in their names.

Each row of the table of instructions has a method that writes it down once. Those of forward
instructions make blocks of their results; those of adjoints add to the adjoints of blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from engine.compiled.adjoint import adjoint
from engine.compiled.blocks import Instruction, L, S, View
from engine.compiled.lift import Blocks
from engine.compiled.source.algebra import (
    ALL,
    LANES,
    ONE,
    ZERO,
    Expr,
    N,
    alike,
    call,
    contract,
    full,
    index,
    largest,
    matmul,
    named,
    number,
    outer,
    plus,
    quotient,
    times,
    total,
    transposed,
)
from engine.compiled.source.arrays import Block, Draft, Operand, Statement, lanes
from engine.compiled.source.formulas import partial_of
from engine.compiled.source.plain import plain, singles

LONG = 400  # operations of a segment, from which on they are a table and a loop


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
class Listing:
    """A long segment: operations on single rows of an array, by their names and rows there."""

    operations: list[tuple[str, tuple[int, ...]]]
    entries: int  # rows that are filled before


@dataclass(slots=True)
class Derived:
    """A function as statements."""

    inputs: list[Named]
    statements: list[Statement]
    outputs: list[Expr]
    value: Expr
    gradients: dict[str, Expr]
    guards: list[Assertion]
    tapes: dict[int | str, Listing]  # by the name of the array


def derive(
    blocks: Blocks, inputs: list[Named], reduce: str | None, *, batched: bool, gradient: bool
) -> Derived:
    """Return the statements of a function of one number, with its gradient if that is asked for;
    or of several numbers, without."""
    return _Derive(blocks, inputs).run(reduce, batched, gradient)


class _Derive:
    def __init__(self, blocks: Blocks, inputs: list[Named]) -> None:
        self.blocks, self.inputs = blocks, inputs
        given = (blocks.instructions, blocks.lists, blocks.rows)
        self.instructions, self.lists, self.count = plain(*given)
        self.steps = np.zeros(0, np.int32)
        self.rows = Draft()
        self.tapes: dict[int | str, Listing] = {}
        self._tape_at: dict[int, tuple[Block, Operand]] = {}  # by the first operation
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
        rows, blocks = self.rows, self.blocks
        split = {row for each in self.inputs for row in each.split}
        for i in itertools.chain(*self.instructions):
            if not (i.kind == "broadcast" and i.out.count == 1 and i.out.first in split):
                self._write_down(i)
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
        return Derived(self.inputs, rows.statements, values, value, gradients, guards, self.tapes)

    def _gradients(self) -> Iterator[tuple[str, Expr]]:
        """The adjoint's instructions written down: what they leave for each input."""
        inputs = [each for each in self.inputs if each.wanted]
        wanted = [row for each in inputs for row in each.wanted_rows()]
        given = (self.instructions, self.lists, self.count)
        back = adjoint(*given, self.blocks.outputs[:1], wanted)
        self.steps = back.steps
        for i in (*back.begin, *back.lanes, *back.shared):
            self._write_down(i)
        for each in inputs:
            block = self.of_input[each.name]
            found = self.rows.adjoint(block)
            found = Expr("zeros", (), block.full) if found == ZERO else full(found, block.full)
            about = named(each.name, each.shape)
            yield each.name, self.rows.result(found, "gradient", about)

    def _write_down(self, i: Instruction) -> None:
        getattr(self, f"_{i.kind}")(i)

    # --- rows ---

    def _at(self, view: View | None, layout: tuple[int, ...]) -> Operand:
        """Rows of a view as an array of a layout, to be read or to have something added to their
        adjoints."""
        assert view is not None
        return self.rows.at(view.space & L, self.lists.rows(view).tolist(), layout)

    def _block(self, view: View | None) -> Block:
        """The block that an instruction wrote."""
        assert view is not None
        return self.rows.places[view.space & L][view.first][0]

    def _arrived(self, view: View | None) -> tuple[Expr, tuple[int, ...]]:
        """The adjoint of a block, and its layout."""
        block = self._block(view)
        return self.rows.adjoint(block), block.layout

    def _new(self, out: View, layout: tuple[int, ...], value: Expr, role: str = "value") -> None:
        """Let rows be a new block."""
        block = Block(out.space, layout, self.rows.emit(value, role), copied=value.kind == "name")
        self.rows.add(block, range(out.first, out.first + out.count))

    def _layout_of(self, view: View) -> tuple[int, ...] | None:
        """The layout of the block that some rows are all of."""
        rows = self.lists.rows(view).tolist()
        block, place = self.rows.places[view.space][max(rows[0], ~rows[0])]
        last, end = self.rows.places[view.space][max(rows[-1], ~rows[-1])]
        whole = last is block and place == 0 and end == block.rows - 1 == len(rows) - 1
        return block.layout if whole else None

    # --- element by element ---

    def _map(self, i: Instruction) -> None:
        layouts = [_line(i.out.count)]
        for x in i.operands:
            assert x is not None
            block, layout = self._block(x), self._layout_of(x)
            if layout is not None and not block.uniform and block.constants is None:
                layouts.append(layout)
        layout = max(layouts, key=len)
        self._new(i.out, layout, call(i.name, *[self._at(x, layout).expr for x in i.operands]))

    def _edge(self, i: Instruction) -> None:
        g, layout = self._arrived(i.operands[0])
        if g != ZERO:
            args = tuple(self._at(x, layout).expr for x in i.operands[1:-1])
            out = self._block(i.operands[-1]).value
            self._at(i.out, layout).add(times(g, partial_of(i.name, i.shape[0], args, out)))

    def _segment(self, i: Instruction) -> None:
        if i.shape[1] > LONG:
            self._tape(i)
            return
        for each in singles(i, self.lists, self.steps):
            self._map(each)

    def _segment_back(self, i: Instruction) -> None:
        if i.shape[0] not in self._tape_at:
            for each in singles(i, self.lists, self.steps):
                self._edge(each)
            return
        block, entries = self._tape_at[i.shape[0]]
        swept = self.rows.fresh(block.full)
        start = Expr("sweep", (full(self.rows.adjoint(block), block.full), block.value), ())
        self.rows.statements.append(Statement(swept, start, "tape", block.value))
        count = self.tapes[block.value.parts[0]].entries
        entries.add(index(swept, (slice(0, count),)))

    def _tape(self, i: Instruction) -> None:
        """A long segment: its rows are one array, filled by a loop over a table."""
        space, each = i.out.space, [*singles(i, self.lists, self.steps)]
        written = {x.out.first: None for x in each}
        used = [(x.name, [view.first for view in x.operands if view]) for x in each]
        entries = dict.fromkeys(r for _, operands in used for r in operands if r not in written)
        every = [*entries, *written]
        place = {r: k for k, r in enumerate(every)}
        count = len(entries)
        read = self.rows.at(space, list(entries), (count,))
        array = self.rows.fresh((len(every), *lanes(space)))
        start = Expr("tape", (full(read.expr, (count, *lanes(space))),), array.shape)
        self.rows.statements.append(Statement(array, start, "tape"))
        tape = Listing([(row, tuple(place[r] for r in operands)) for row, operands in used], count)
        self.tapes[array.parts[0]] = tape
        block = Block(space, (len(every),), array)
        for r in every[count:]:
            self.rows.places[space][r] = (block, place[r])
        self._tape_at[i.shape[0]] = (block, read)

    # --- moving rows ---

    def _gather(self, i: Instruction) -> None:
        source = i.operand(0)
        layout = (None if source.listed else self._layout_of(source)) or _line(i.out.count)
        value = self._at(source, layout).expr
        if i.kind == "broadcast" and layout and len(value.shape) == len(layout):
            value = index(value, (*[ALL] * len(layout), None))
        self._new(i.out, layout, value)

    _broadcast = _gather

    def _total(self, i: Instruction) -> None:
        g, layout = self._arrived(i.operands[0])
        if g != ZERO:
            terms = i.operand(0)
            kept = layout if terms.count == i.out.count else layout[:1]
            shape = (*layout, *lanes(terms.space))
            self._at(i.out, kept).add(total(g, shape, range(len(kept), len(shape))))

    def _fill(self, i: Instruction) -> None:
        """Zeros, that something is added to: only sums are written down."""

    def _guard(self, i: Instruction) -> None:
        """Written at the end, with their numbers."""

    def _take(self, i: Instruction) -> None:
        place, table, shape, own = self._look_up(i.operand(0), i.operand(1), i.out.count)
        layout = _line(i.out.count)
        value = full(table.expr, shape)
        in_lanes = place.shape == (LANES,)
        rest = shape[1 + len(layout) :] if not own else ()
        value = Expr("lookup", (value, place, own), (*place.shape, *layout, *rest))
        self._new(i.out, layout, transposed(value) if in_lanes and layout else value)

    def _put(self, i: Instruction) -> None:
        g, layout = self._arrived(i.operands[1])
        if g == ZERO:
            return
        added_rows = i.operand(1)
        place, table, shape, own = self._look_up(i.operand(0), i.out, added_rows.count)
        in_lanes = place.shape == (LANES,)
        g = full(g, (*layout, *lanes(added_rows.space)))
        g = transposed(g) if in_lanes and layout else g
        target = self.rows.fresh(shape)
        rest = (ALL,) * (len(layout) if own else 0)
        selection = (place, *rest, Expr("lanes", (), (LANES,))) if own else (place,)
        zeros = Statement(target, Expr("zeros", (), shape), "adjoint")
        added = Statement(target, g, "adjoint", selection=selection, repeated=in_lanes and not own)
        self.rows.statements += [zeros, added]
        table.add(target)

    def _look_up(
        self, at: View, entries: View, n: int
    ) -> tuple[Expr, Operand, tuple[int | str, ...], bool]:
        """The index, the table, its shape, and whether each example has one of its own."""
        place = self._at(at, ()).expr
        place = self.rows.emit(Expr("whole", (place,), lanes(at.space)), "index")
        layout = (entries.count // n, *_line(n))
        own = at.space == L == entries.space & L
        return place, self._at(entries, layout), (*layout, *lanes(entries.space)), own

    def _draw(self, i: Instruction) -> None:
        block = self.of_input["draws"]
        for k in range(i.out.count):
            call_number = int(self.lists.pool[i.shape[0] + k])
            self.rows.places[i.out.space][i.out.first + k] = (block, call_number)

    def _max(self, i: Instruction) -> None:
        layout = _line(i.out.count)
        shape = (*layout, *i.shape, *lanes(i.out.space))
        given = full(self._at(i.operands[0], (*layout, *i.shape)).expr, shape)
        self._new(i.out, layout, largest(given, len(layout)))

    # --- sums of products ---

    def _product(self, i: Instruction) -> None:
        matrix, block, (bias, init) = i.operand(0), i.operand(1), i.operands[2:]
        if i.out.space > L:
            self._product_back(i)
            return
        n, inner, cols = i.shape
        layout: tuple[int, ...] = (n,) if cols == 1 else (n, cols)
        if n == cols == 1 and self._layout_of(matrix) == (inner,):
            layout = ()  # a vector, not a matrix of one row
        left, right = self._factors(matrix, block, layout, inner, cols)
        deep = len(right.shape) > 2
        value = contract(left, right, ((1,), (0,))) if deep else matmul(left, right)
        shape = (*layout, *lanes(i.out.space))
        if bias is not None:
            expr = self._at(bias, layout[:1]).expr
            if expr.shape and len(shape) > 1:
                expr = index(expr, (ALL, *[None] * (len(shape) - 1)))
            value = plus(value, expr)
        if init is not None:
            value = plus(value, self._at(init, layout).expr)
        # A sum, where all factors are the same, is no product to name.
        self._new(i.out, layout, value, "value" if alike(left) else "product")

    def _factors(
        self, matrix: View, block: View, layout: tuple[int, ...], inner: int, cols: int
    ) -> tuple[Expr, Expr]:
        """The matrix and the block of a product whose result has a layout."""
        shape = (*layout[:1], inner)
        within = (inner,) if cols == 1 else (inner, cols)
        right = full(self._at(block, within).expr, (*within, *lanes(block.space)))
        return full(self._at(matrix, shape).expr, shape), right

    def _product_back(self, i: Instruction) -> None:
        g, layout = self._arrived(i.operands[1])
        if g != ZERO:
            inner, _, cols = i.shape
            left, right = self._factors(i.operand(0), i.out, layout, inner, cols)
            g = full(g, (*layout, *lanes(i.out.space)))
            found = _by_right(left, g, layout, len(right.shape) > 2)
            self._at(i.out, (inner,) if cols == 1 else (inner, cols)).add(found)

    def _outer(self, i: Instruction) -> None:
        g, layout = self._arrived(i.operands[0])
        if g != ZERO:
            _, inner, cols = i.shape
            _, right = self._factors(i.out, i.operand(1), layout, inner, cols)
            g = full(g, (*layout, *lanes(i.operand(0).space)))
            found = _by_left(g, right, layout, len(right.shape) > 2)
            self._at(i.out, (*layout[:1], inner)).add(found)

    def _dot(self, i: Instruction) -> None:
        n, value = i.out.count, ZERO
        lefts, rights, singles = (
            self.lists.rows(x).tolist() if x is not None else [] for x in i.operands
        )
        for some, others in ((singles, None), (lefts, rights)):
            for terms in self._terms(i.out.space, n, some, others):
                inside, (left, *right) = self._of_terms(i.out.space, n, terms, some, others)
                term = times(left.expr, right[0].expr) if right else left.expr
                if len(terms) > n:
                    shape = (*inside, *lanes(i.out.space))
                    term = total(term, shape, (len(inside) - 1,))
                value = plus(value, term)
        self._new(i.out, _line(n), value)

    def _scatter(self, i: Instruction) -> None:
        g, layout = self._arrived(i.operands[0])
        if g == ZERO:
            return
        if not i.shape:
            self._at(i.out, layout).add(g)
            return
        space, n = i.out.space & L, i.operand(0).count
        targets = self.lists.rows(i.out).tolist()
        others = self.lists.rows(i.operand(1)).tolist() if len(i.operands) > 1 else None
        for terms in self._terms(space, n, targets, others):
            _, (target, *factor) = self._of_terms(space, n, terms, targets, others)
            wide = len(terms) > n > 1 and len(g.shape) > len(lanes(space))
            each = index(g, (ALL, None)) if wide else g
            target.add(times(each, factor[0].expr) if factor else each)

    def _of_terms(
        self, space: int, n: int, terms: list[int], some: list[int], others: list[int] | None
    ) -> tuple[tuple[int, ...], list[Operand]]:
        """Rows, and perhaps others beside them, of some terms of n sums, and their layout."""
        inside = (*_line(n), *([len(terms) // n] if len(terms) > n else []))
        each = [some] if others is None else [some, others]
        return inside, [self.rows.at(space, [rows[k] for k in terms], inside) for rows in each]

    def _terms(
        self, space: int, n: int, lefts: list[int], rights: list[int] | None
    ) -> list[list[int]]:
        """How the terms of n sums are best read: term by term, or all at once."""
        count = len(lefts) // n
        if not count:
            return []
        both = (lefts, lefts if rights is None else rights)
        columns = [list(range(j, n * count, count)) for j in range(count)]
        if n == 1 and sum(self._runs(space, rows) for rows in both) <= count:
            return [list(range(count))]
        cost = sum(
            self._runs(space, [rows[k] for k in column]) for rows in both for column in columns
        )
        few = count <= 4 and (n == 1 or cost <= 6 * count)
        return columns if count == 1 or few else [list(range(n * count))]

    def _runs(self, space: int, rows: list[int]) -> int:
        """Of how many runs of one block's rows a list is; the same row again and again is one."""
        if len(set(rows)) == 1:
            return 1
        places = [self.rows.places[space][max(row, ~row)] for row in rows]
        return 1 + sum(a is not b or j != k + 1 for (a, k), (b, j) in itertools.pairwise(places))


def _line(count: int) -> tuple[int, ...]:
    """The layout of so many rows that are nothing else."""
    return (count,) if count > 1 else ()


def _by_left(g: Expr, right: Expr, layout: tuple[int, ...], deep: bool) -> Expr:
    """g @ rightᵀ, in the layout of a matrix."""
    if deep:
        return contract(g, right, ((1, 2), (1, 2)))
    if not layout:
        return matmul(right, g) if len(right.shape) == 2 else times(g, right)
    return matmul(g, transposed(right)) if len(right.shape) == 2 else outer(g, right)


def _by_right(left: Expr, g: Expr, layout: tuple[int, ...], deep: bool) -> Expr:
    """leftᵀ @ g."""
    if deep:
        return contract(transposed(left), g, ((1,), (0,)))
    if not layout:
        return outer(left, g) if g.shape else times(g, left)
    return matmul(transposed(left), g)
