"""Blocks of rows as arrays: what an instruction reads, and whose adjoints it adds to.

A `Block` is an array that some rows of a space are: an input, or what an instruction wrote. An
instruction is about rows wherever they are; `Draft.at` says which parts of which arrays these are,
as one expression, and as a function that adds to the adjoints of these parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.compiled.blocks import L
from engine.compiled.writing.algebra import (
    ALL,
    LANES,
    ZERO,
    Expr,
    Places,
    Shape,
    array,
    full,
    index,
    join,
    moved,
    named,
    plus,
    reshaped,
    times,
    total,
)

_MOST_PIECES = 12  # of a joined array, from which on a list of places is clearer


@dataclass(slots=True)
class Statement:
    """`target = expr`; with a selection, `target[selection] += expr`.

    `role` is what the target is for: "product", "value", "cost",
    "index"; "adjoint" and "gradient" of `about`.
    """

    target: Expr
    expr: Expr
    role: str
    about: Expr | None = None
    selection: tuple[Any, ...] | None = None
    flat: bool = False  # the selection is one of the target as a list of rows
    repeated: bool = False  # a place may be there twice
    sets: bool = False  # what is selected, in place of adding to it
    steps: range | None = None  # of the loop that it is in, whose step the selection says


@dataclass(slots=True)
class Block:
    """An array of rows: `layout` is its shape without the lanes that all blocks of L end in."""

    space: int
    layout: tuple[int, ...]
    value: Expr
    whole: list[Expr] = field(default_factory=list)  # adjoints of all of it
    parts: list[Statement] = field(default_factory=list)  # and of parts
    constants: list[float] | None = None
    copied: bool = False  # from another one, which its adjoint is not called by

    @property
    def full(self) -> Shape:
        """The shape with lanes."""
        return (*self.layout, *lanes(self.space))

    @property
    def rows(self) -> int:
        """How many rows it is."""
        return math.prod(self.layout)

    @property
    def uniform(self) -> bool:
        """Whether the value is that of each row alike."""
        return bool(self.layout) and len(self.value.shape) <= len(lanes(self.space))


class Operand(NamedTuple):
    """Rows to read, or to add to the adjoints of: both stand for `layout` numbers, and lanes."""

    expr: Expr
    add: Callable[[Expr], None]


def lanes(space: int) -> Shape:
    """The axis that is at the end of arrays of a space, and of its adjoints."""
    return (LANES,) if space & L else ()


def line(count: int) -> tuple[int, ...]:
    """The layout of so many rows that are nothing else."""
    return (count,) if count > 1 else ()


class Draft:
    """All rows, as places in blocks; and the statements so far."""

    def __init__(self) -> None:
        self.places: tuple[dict[int, tuple[Block, int]], ...] = ({}, {})
        self.statements: list[Statement] = []
        self._names = itertools.count()
        self._known: dict[Expr, Statement] = {}

    # --- writing ---

    def fresh(self, shape: Shape) -> Expr:
        """A name for something of a shape."""
        return named(next(self._names), shape)

    def emit(self, expr: Expr, role: str, about: Expr | None = None) -> Expr:
        """Compute something, once: return its name."""
        if expr.kind in ("name", "number"):
            return expr
        found = self._known.get(expr)
        if found is None:
            found = self._known[expr] = Statement(self.fresh(expr.shape), expr, role, about)
            self.statements.append(found)
        found.about = found.about or about
        return found.target

    def result(self, expr: Expr, role: str, about: Expr | None = None) -> Expr:
        """Give something a statement of its own, whatever it is."""
        for statement in self.statements:
            if statement.target == expr and statement.role in ("value", "adjoint"):
                statement.role, statement.about = role, about
                return expr
        found = self.fresh(expr.shape)
        self.statements.append(Statement(found, expr, role, about))
        return found

    def add(self, block: Block, rows: Sequence[int]) -> Block:
        """Let rows be those of a block."""
        for k, row in enumerate(rows):
            self.places[block.space][row] = (block, k)
        return block

    def adjoint(self, block: Block) -> Expr:
        """The adjoint of a block, once all that reads it has added to it; 0 if nothing did."""
        expr = ZERO
        for term in block.whole:
            expr = plus(expr, term)
        if block.parts:
            target = self.fresh(block.full)
            flat = any(part.flat for part in block.parts)
            start = Expr("copy", (expr, flat), block.full)
            start = Expr("zeros", (), block.full) if expr == ZERO else start
            self.statements.append(Statement(target, start, "adjoint", block.value))
            for part in block.parts:
                part.target = target
                self.statements.append(part)
            expr = target
        elif expr != ZERO:
            expr = self.emit(expr, "adjoint", None if block.copied else block.value)
        block.whole, block.parts = [expr], []
        return expr

    # --- reading, and adding to adjoints ---

    def runs(self, space: int, rows: list[int]) -> int:
        """Of how many runs of one block's rows a list is; the same row again and again is one."""
        if len(set(rows)) == 1:
            return 1
        places = [self.places[space][max(row, ~row)] for row in rows]
        return 1 + sum(a is not b or j != k + 1 for (a, k), (b, j) in itertools.pairwise(places))

    def at(self, space: int, rows: Sequence[int], layout: tuple[int, ...]) -> Operand:
        """Rows as one expression; ~row is the negative of a row."""
        negative = [row < 0 for row in rows]
        if any(negative):
            found = self.at(space, [row if row >= 0 else ~row for row in rows], layout)
            signs = array([-1.0 if sign else 1.0 for sign in negative], layout)
            if signs.kind == "array":
                signs = Expr("array", signs.parts, (*layout, *[1] * len(lanes(space))))
            return Operand(times(signs, found.expr), lambda c: found.add(times(signs, c)))
        places = [self.places[space][row] for row in rows]
        blocks = list({id(block): block for block, _ in places}.values())
        if all(block.constants is not None for block in blocks):
            numbers = [block.constants[k] for block, k in places if block.constants is not None]
            literal = array(numbers, layout)
            if literal.kind == "array":
                literal = Expr("array", literal.parts, (*layout, *[1] * len(lanes(space))))
            return Operand(literal, _nothing)
        repeated = self._repeated(space, rows, layout)
        if repeated is not None:
            return repeated
        if len(blocks) == 1:
            return self._part(blocks[0], [k for _, k in places], layout)
        return self._joined(space, places, blocks, layout)

    def _repeated(self, space: int, rows: Sequence[int], layout: tuple[int, ...]) -> Operand | None:
        """Rows that are the same all along an axis: read once, and broadcast."""
        lane = lanes(space)
        if len(layout) == 1 and layout[0] > 1 and len(set(rows)) == 1:
            one = self.at(space, rows[:1], ())
            shape = (*layout, *lane)
            return Operand(one.expr, lambda c: one.add(total(c, shape, (0,))))
        if len(layout) != 2 or layout[0] == 1:
            return None
        n, m = layout
        lines = [tuple(rows[k * m : (k + 1) * m]) for k in range(n)]
        shape = (*layout, *lane)
        if len(set(lines)) == 1:
            row = self.at(space, lines[0], (m,))
            expr = row.expr if _is_small(row.expr, space) else index(row.expr, (None,))
            return Operand(expr, lambda c: row.add(total(c, shape, (0,))))
        if m > 1 and all(len(set(line)) == 1 for line in lines):
            column = self.at(space, [line[0] for line in lines], (n,))
            expr = column.expr if _is_small(column.expr, space) else index(column.expr, (ALL, None))
            return Operand(expr, lambda c: column.add(total(c, shape, (1,))))
        return None

    def _part(self, block: Block, places: list[int], layout: tuple[int, ...]) -> Operand:
        """Places in one block."""
        _space, lane = block.space, lanes(block.space)
        shape: Shape = (*layout, *lane)
        if places == list(range(block.rows)):
            value = block.value if block.uniform else relaid(block.value, block.layout, layout)

            def add_all(c: Expr) -> None:
                block.whole.append(relaid(c, layout, block.layout))

            return Operand(value, add_all)
        n = len(places)
        if len(layout) == 2 and layout[0] > 1 and sorted(places) == list(range(block.rows)):
            a, b = layout
            if places == [j * a + k for k in range(a) for j in range(b)]:  # transposed
                order = (1, 0, *range(2, 2 + len(lane)))
                whole = self._part(block, list(range(block.rows)), (b, a))
                if len(whole.expr.shape) == len(order):
                    return Operand(
                        moved(whole.expr, order),
                        lambda c: whole.add(moved(full(c, shape), order)),
                    )
        selection, natural, flat = _selection(block.layout, places)
        if block.uniform:
            value = block.value
        else:
            value = block.value
            if value.shape[: len(block.layout)] != block.layout:
                value = full(value, block.full)
            if flat:
                value = relaid(value, block.layout, (block.rows,))
            value = relaid(index(value, selection), natural, layout)
        repeated = len(set(places)) < n

        def add(c: Expr) -> None:
            c = relaid(c, layout, natural)
            if repeated:
                c = full(c, (*natural, *lane))
            if c != ZERO:
                block.parts.append(Statement(ZERO, c, "adjoint", None, selection, flat, repeated))

        return Operand(value, add)

    def _joined(
        self,
        space: int,
        places: list[tuple[Block, int]],
        blocks: list[Block],
        layout: tuple[int, ...],
    ) -> Operand:
        """Places in several blocks: their parts one after the other, or a selection of those."""
        n, lane = len(places), lanes(space)
        runs = [list(run) for _, run in itertools.groupby(places, key=lambda place: id(place[0]))]
        if len(runs) > _MOST_PIECES and len(runs) > 2 * len(blocks):
            starts = dict(
                zip(
                    map(id, blocks),
                    itertools.accumulate([b.rows for b in blocks], initial=0),
                    strict=False,
                )
            )
            together = Block(space, (sum(b.rows for b in blocks),), ZERO)
            every = self._pieces(space, [[(b, k) for k in range(b.rows)] for b in blocks])
            together.value = self.emit(every.expr, "value")
            found = self._part(together, [starts[id(b)] + k for b, k in places], layout)

            def through(c: Expr) -> None:
                found.add(c)
                adjoint = self.adjoint(together)
                together.whole = []
                every.add(adjoint)

            return Operand(found.expr, through)
        pieces = self._pieces(space, runs)

        def add(c: Expr) -> None:
            c = relaid(full(c, (*layout, *lane)), layout, (n,))
            pieces.add(self.emit(c, "value"))

        return Operand(relaid(pieces.expr, (n,), layout), add)

    def _pieces(self, space: int, runs: list[list[tuple[Block, int]]]) -> Operand:
        lane = lanes(space)
        parts, ends = [], []
        last = 0
        for run in runs:
            block = run[0][0]
            m = len(run)
            if block.constants is not None:
                literal = array([block.constants[k] for _, k in run], (m,))
                if literal.kind == "array":
                    literal = Expr("array", literal.parts, (m, *[1] * len(lane)))
                part = Operand(literal, _nothing)
            else:
                places = [k for _, k in run]
                if m > 1 and len(set(places)) == 1:
                    one = self._part(block, places[:1], ())
                    part = _spread(one, (m, *lane))
                else:
                    part = self._part(block, places, (m,))
            ends.append((last, last + m, part))
            last += m
            parts.append(full(part.expr, (m, *lane)))

        def add(c: Expr) -> None:
            for first, end, part in ends:
                part.add(index(c, (slice(first, end),)))

        return Operand(join(parts), add)


def relaid(e: Expr, layout: tuple[int, ...], other: tuple[int, ...]) -> Expr:
    """What stands for numbers in one layout, in another; what all of them share stays as it is."""
    if layout == other or e.shape in ((), (LANES,)):
        return e
    rest = len(e.shape) - len(layout)
    last = e.shape[-1:] if rest >= 1 else ()
    e = full(e, (*layout, *last))
    return reshaped(e, (*other, *last))


def _spread(one: Operand, shape: Shape) -> Operand:
    return Operand(one.expr, lambda c: one.add(total(c, shape, (0,))))


def _nothing(c: Expr) -> None:
    pass


def _is_small(e: Expr, space: int) -> bool:
    """Whether an expression has no axis but perhaps the lanes."""
    return len(e.shape) <= len(lanes(space))


def _selection(
    layout: tuple[int, ...], places: list[int]
) -> tuple[tuple[Any, ...], tuple[int, ...], bool]:
    """How to index an array of a layout for some of its places, the layout of the result, and
    whether the array must be a list for that."""
    n = len(places)
    inner = math.prod(layout[1:])
    if n == 1:
        at, rest = [], places[0]
        for k in range(len(layout)):
            size = math.prod(layout[k + 1 :])
            at.append(rest // size)
            rest %= size
        return tuple(at), (), False
    first, step = places[0], places[1] - places[0]
    if step > 0 and all(p == first + k * step for k, p in enumerate(places)):
        if len(layout) == 1:
            return (slice(first, places[-1] + 1, None if step == 1 else step),), (n,), False
        if step == 1 and first % inner == 0 and n % inner == 0:
            chosen = slice(first // inner, (first + n) // inner)
            return (chosen,), (n // inner, *layout[1:]), False
        if step == 1 and first // inner == places[-1] // inner and len(layout) == 2:
            start = first % inner
            return (first // inner, slice(start, start + n)), (n,), False
        if step == inner and len(layout) == 2:
            start = first // inner
            lines = ALL if n == layout[0] else slice(start, start + n)
            return (lines, first % inner), (n,), False
        return (slice(first, places[-1] + 1, None if step == 1 else step),), (n,), True
    return (Places(tuple(places), (n,)),), (n,), len(layout) != 1
