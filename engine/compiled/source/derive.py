"""Derive: the instructions of a lifted function as statements about arrays, forwards and then
backwards. This is the reverse sweep once more, on expressions instead of numbers.

In: `Blocks`, and what the rows of its inputs are called. Out: `Derived`, statements in order, with
the value, the gradients and the guards as expressions in their names.

Each instruction is written down by a method that computes its block and returns how its adjoint
goes on to the operands: the rules are those of `kernels`, the formulas those of the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from engine.compiled.lift import Blocks, Instruction, L, S
from engine.compiled.source.algebra import (
    ALL,
    LANES,
    ONE,
    ZERO,
    Expr,
    N,
    Shape,
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
from engine.compiled.source.blocks import Block, Operand, Rows, Statement, lanes
from engine.compiled.source.formulas import partial_of
from engine.ops import TABLE

LONG = 400  # operations of a segment, from which on they are a table and a loop
_Back = Callable[[Expr], None]


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


@dataclass(slots=True)
class Guard:
    """What the trace holds for: an expression equals a number, or is an index below a length."""

    expr: Expr
    length: int
    number: float


@dataclass(slots=True)
class Tape:
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
    guards: list[Guard]
    tapes: dict[int | str, Tape]  # by the name of the array


def derive(
    blocks: Blocks, inputs: list[Named], reduce: str | None, *, batched: bool, gradient: bool
) -> Derived:
    """Return the statements of a function of one number, with its gradient if that is asked for;
    or of several numbers, without."""
    return _Derive(blocks, inputs).run(reduce, batched, gradient)


class _Derive:
    def __init__(self, blocks: Blocks, inputs: list[Named]) -> None:
        self.blocks, self.inputs = blocks, inputs
        self.rows = Rows()
        self.backward: list[tuple[Block, _Back]] = []
        self.tapes: dict[int | str, Tape] = {}
        self.of_input: dict[str, Block] = {}
        for each in inputs:
            self._place(each)
        for space in (S, L):
            for row, x in blocks.constants[space].items():
                block = Block(space, (), number(x), constants=[x])
                self.rows.places[space][row] = (block, 0)

    def _place(self, each: Named) -> None:
        """Let the rows of an input be its array."""
        per_example = bool(each.split)
        block = Block(each.space, each.layout, named(each.name, each.shape))
        block.needs = each.wanted and not per_example
        self.rows.add(block, each.rows)
        if per_example:
            value = block.value
            value = index(value, (*[ALL] * len(each.layout), None)) if each.layout else value
            block = Block(L, each.layout, value, each.wanted)
            self.rows.add(block, each.split)
        self.of_input[each.name] = block

    def run(self, reduce: str | None, batched: bool, gradient: bool) -> Derived:
        rows, blocks = self.rows, self.blocks
        split = {row for each in self.inputs for row in each.split}
        for space in (S, L):
            for i in _merged(blocks.instructions[space]):
                if not (i.kernel == "broadcast" and i.n == 1 and i.out in split):
                    getattr(self, "_" + _method(i.kernel))(i)
        outputs = [rows.read(space, [row], ()) for space, row in blocks.outputs]
        guards = [
            Guard(rows.read(check.space, [check.row], ()).expr, check.length, check.number)
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
            if outputs[0].needs:
                output = outputs[0]
                if batched and not self._is_in_lanes():  # the same number for each example
                    seed = total(seed, full_shape, (0,))
                output.back(seed)
            for block, back in reversed(self.backward):
                adjoint = rows.adjoint(block) if block.needs else None
                if adjoint is not None:
                    back(adjoint)
            for each in self.inputs:
                if each.wanted:
                    block = self.of_input[each.name]
                    adjoint = rows.adjoint(block)
                    zeros = Expr("zeros", (), block.full)
                    found = zeros if adjoint is None else full(adjoint, block.full)
                    about = named(each.name, each.shape)
                    gradients[each.name] = rows.result(found, "gradient", about)
        return Derived(
            self.inputs,
            rows.statements,
            [output.expr for output in outputs],
            value,
            gradients,
            guards,
            self.tapes,
        )

    def _is_in_lanes(self) -> bool:
        return self.blocks.outputs[0][0] == L

    def _write(
        self,
        space: int,
        out: int,
        layout: tuple[int, ...],
        value: Expr,
        back: _Back | None,
        role: str = "value",
    ) -> Block:
        """Let rows from `out` on be a new block."""
        needs = back is not None
        block = Block(space, layout, self.rows.emit(value, role), needs)
        self.rows.add(block, range(out, out + block.rows))
        if back is not None:
            self.backward.append((block, back))
        return block

    # --- element by element ---

    def _elementwise(self, i: Instruction) -> None:
        row = i.kernel.removeprefix("ew_")
        firsts = (i.a, i.b, i.c)[: TABLE[row].arity]
        self._row(row, i.space, i.n, i.out, firsts)

    def _row(self, row: str, space: int, n: int, out: int, firsts: tuple[int, ...]) -> None:
        ranges = [range(first, first + n) for first in firsts]
        layouts: list[tuple[int, ...]] = [(n,) if n > 1 else ()]
        for rows in ranges:
            block, place = self.rows.places[space][rows[0]]
            if place == 0 and block.rows == n and not block.uniform and block.constants is None:
                last, end = self.rows.places[space][rows[-1]]
                if last is block and end == n - 1:
                    layouts.append(block.layout)
        layout = max(layouts, key=len)
        operands = [self.rows.read(space, r, layout) for r in ranges]
        args = tuple(operand.expr for operand in operands)
        value = self.rows.emit(call(row, *args), "value")
        partials = [
            (operand, partial_of(row, k, args, value))
            for k, operand in enumerate(operands)
            if operand.needs
        ]
        partials = [(operand, p) for operand, p in partials if p != ZERO]

        def back(g: Expr) -> None:
            for operand, p in partials:
                operand.back(times(g, p))

        self._write(space, out, layout, value, back if partials else None)

    def _segment(self, i: Instruction) -> None:
        names = list(TABLE)
        if i.n > LONG:
            self._tape(i, names)
            return
        for code, out, *operands in self.blocks.segments.listed(i.list_1, i.n):
            row = names[code]
            self._row(row, i.space, 1, out, tuple(operands[: TABLE[row].arity]))

    def _tape(self, i: Instruction, names: list[str]) -> None:
        """A long segment: its rows are one array, filled by a loop over a table."""
        space, part = i.space, self.blocks.segments.listed(i.list_1, i.n)
        written = {out for _, out, *_ in part}
        entries: dict[int, int] = {}
        operations = []
        for code, _, *found in part:
            row = names[code]
            operands = found[: TABLE[row].arity]
            for r in operands:
                if r not in written:
                    entries.setdefault(r, len(entries))
            operations.append((row, operands))
        count = len(entries)
        place = {**entries, **{out: count + j for j, (_, out, *_) in enumerate(part)}}
        size = count + i.n
        read = self.rows.read(space, list(entries), (count,))
        shape = (size, *lanes(space))
        array = self.rows.fresh(shape)
        tape = Tape([(row, tuple(place[r] for r in rs)) for row, rs in operations], count)
        self.tapes[array.parts[0]] = tape
        self.rows.statements.append(
            Statement(
                array, Expr("tape", (full(read.expr, (count, *lanes(space))),), shape), "tape"
            )
        )
        block = Block(space, (size,), array, read.needs)
        for r, at in place.items():
            if r not in entries:
                self.rows.places[space][r] = (block, at)

        def back(g: Expr) -> None:
            adjoint = self.rows.fresh(shape)
            start = Expr("sweep", (full(g, shape), array), shape)
            self.rows.statements.append(Statement(adjoint, start, "tape", array))
            read.back(index(adjoint, (slice(0, count),)))

        if read.needs:
            self.backward.append((block, back))

    # --- moving rows ---

    def _gather(self, i: Instruction) -> None:
        self._moved(i, i.space, self._list(i, i.list_1, i.n, i.a))

    def _broadcast(self, i: Instruction) -> None:
        self._moved(i, S, self._list(i, i.list_1, i.n, i.a))

    def _list(self, i: Instruction, place: int, count: int, first: int) -> list[int]:
        if i.kernel.endswith("_list"):
            return self.blocks.pool[place : place + count]
        return list(range(first, first + count))

    def _moved(self, i: Instruction, source: int, rows: list[int]) -> None:
        layout: tuple[int, ...] = (i.n,) if i.n > 1 else ()
        block, place = self.rows.places[source][max(rows[0], ~rows[0])]
        if i.kernel != "gather_list" and block.rows == i.n and place == 0:
            last, end = self.rows.places[source][max(rows[-1], ~rows[-1])]
            if last is block and end == i.n - 1:
                layout = block.layout
        found = self.rows.read(source, rows, layout)
        value, back = found.expr, found.back
        if source != i.space:  # to each example
            if len(value.shape) == len(layout) and layout:
                value = index(value, (*[ALL] * len(layout), None))
            shape: Shape = (*layout, LANES)

            def summed(c: Expr) -> None:
                c = total(c, shape, (len(layout),))
                found.back(c)

            back = summed
        self._write(i.space, i.out, layout, value, back if found.needs else None)

    def _take(self, i: Instruction) -> None:
        rows, pool = self.rows, self.blocks.pool
        place = rows.read(i.b, [i.a], ()).expr
        length, n, own = i.inner, i.n, i.c == L and i.b == L
        layout: tuple[int, ...] = (n,) if n > 1 else ()
        table = rows.read(i.c, pool[i.list_1 : i.list_1 + length * n], (length, *layout))
        shape = (length, *layout, *lanes(i.c))
        at = rows.emit(Expr("whole", (place,), place.shape), "index")
        source = full(table.expr, shape)
        in_lanes = i.b == L
        value = Expr("lookup", (source, at, own), (*lanes(i.b), *layout, *lanes(i.c)[own:]))
        turn = in_lanes and n > 1
        value = transposed(value) if turn else value

        def back(g: Expr) -> None:
            g = full(g, (*layout, *lanes(i.space)))
            g = transposed(g) if turn else g
            target = rows.fresh(shape)
            rows.statements.append(Statement(target, Expr("zeros", (), shape), "adjoint"))
            rest = (ALL,) * (len(layout) if own else 0)
            selection = (at, *rest, Expr("lanes", (), (LANES,))) if own else (at,)
            rows.statements.append(
                Statement(target, g, "adjoint", None, selection, repeated=in_lanes and not own)
            )
            table.back(target)

        self._write(i.space, i.out, layout, value, back if table.needs else None)

    def _draw(self, i: Instruction) -> None:
        calls = self.blocks.pool[i.list_1 : i.list_1 + i.n]
        block = self.of_input["draws"]
        for k, number_of_call in enumerate(calls):
            self.rows.places[i.space][i.out + k] = (block, number_of_call)

    def _max(self, i: Instruction) -> None:
        rows = self.blocks.pool[i.list_1 : i.list_1 + i.n * i.inner]
        layout: tuple[int, ...] = (i.n,) if i.n > 1 else ()
        found = self.rows.read(i.space, rows, (*layout, i.inner))
        shape = (*layout, i.inner, *lanes(i.space))
        self._write(i.space, i.out, layout, largest(full(found.expr, shape), len(layout)), None)

    # --- sums of products ---

    def _mm(self, i: Instruction) -> None:
        space, lane = i.space, lanes(i.space)
        n, inner, cols = i.n, i.inner, i.cols
        if n == inner == 1:
            self._multiples(i)
            return
        read = self.rows.read
        layout: tuple[int, ...] = (n,) if cols == 1 else (n, cols)
        within: tuple[int, ...] = (inner,) if cols == 1 else (inner, cols)
        matrix_rows = range(i.a, i.a + n * inner)
        if n == 1 and cols == 1 and self._natural(S, matrix_rows) == (inner,):
            layout = ()  # a vector, not a matrix of one row
        a = read(S, matrix_rows, (*layout[:1], inner))
        b = read(space, range(i.b, i.b + inner * cols), within)
        left = full(a.expr, (*layout[:1], inner))
        right = full(b.expr, (*within, *lane))
        deep = len(right.shape) > 2
        value = contract(left, right, ((1,), (0,))) if deep else matmul(left, right)
        bias = init = None
        shape = (*layout, *lane)
        if i.bias >= 0:
            bias = read(S, range(i.bias, i.bias + n), layout[:1])
            expr = bias.expr
            if expr.shape and len(shape) > 1:
                expr = index(expr, (ALL, *[None] * (len(shape) - 1)))
            value = plus(value, expr)
        if i.init >= 0:
            init = read(space, range(i.init, i.init + n * cols), layout)
            value = plus(value, init.expr)

        def back(g: Expr) -> None:
            g_full = full(g, shape) if a.needs or b.needs else g
            if a.needs:
                a.back(_by_left(g_full, right, layout, deep))
            if b.needs:
                b.back(_by_right(left, g_full, layout, deep))
            if bias is not None and bias.needs:
                bias.back(total(g, shape, tuple(range(len(layout[:1]), len(shape)))))
            if init is not None and init.needs:
                init.back(g)

        needs = a.needs or b.needs or bool(bias and bias.needs) or bool(init and init.needs)
        role = "value" if alike(left) else "product"  # a sum, where all factors are the same
        self._write(space, i.out, layout, value, back if needs else None, role)

    def _multiples(self, i: Instruction) -> None:
        """Products of one number each: rows times rows of S, or times one of them."""
        one = i.kernel == "mm"
        count = i.cols if one else i.n
        layout: tuple[int, ...] = (count,) if count > 1 else ()
        shape = (*layout, *lanes(i.space))

        def shared(first: int) -> Operand:
            """Numbers of S, one for each row or one for all, for each example."""
            found = self.rows.read(
                S, range(first, first + (1 if one else count)), () if one else layout
            )
            expr = found.expr
            if expr.shape and i.space == L:
                expr = index(expr, (ALL, None))
            axes = range(0 if one else len(layout), len(shape))
            return Operand(expr, lambda c: found.back(total(c, shape, axes)), found.needs)

        def own(first: int) -> Operand:
            return self.rows.read(i.space, range(first, first + count), layout)

        a, b = shared(i.a), own(i.b)
        terms = [shared(i.bias)] if i.bias >= 0 else []
        terms += [own(i.init)] if i.init >= 0 else []
        value = times(a.expr, b.expr)
        for term in terms:
            value = plus(value, term.expr)
        targets = [(a, b.expr), (b, a.expr), *[(term, ONE) for term in terms]]

        def back(g: Expr) -> None:
            for operand, factor in targets:
                if operand.needs:
                    operand.back(times(g, factor))

        needs = any(operand.needs for operand, _ in targets)
        self._write(i.space, i.out, layout, value, back if needs else None)

    def _natural(self, space: int, rows: range) -> tuple[int, ...] | None:
        """The layout of the block that these rows are all of."""
        block, place = self.rows.places[space][rows[0]]
        last, end = self.rows.places[space][rows[-1]]
        whole = last is block and place == 0 and end == block.rows - 1 == len(rows) - 1
        return block.layout if whole else None

    def _dot(self, i: Instruction) -> None:
        pool, space, n = self.blocks.pool, i.space, i.n
        layout: tuple[int, ...] = (n,) if n > 1 else ()
        lefts = pool[i.list_1 : i.list_1 + n * i.inner]
        rights = pool[i.list_2 : i.list_2 + n * i.inner]
        singles = pool[i.list_3 : i.list_3 + n * i.cols]
        value, backs = ZERO, list[_Back]()
        for terms in self._terms(space, n, i.cols, singles, singles):
            term, back = self._sum_of(space, layout, [singles[k] for k in terms], None)
            value = plus(value, term)
            backs += back
        for terms in self._terms(space, n, i.inner, lefts, rights):
            both = [rights[k] for k in terms]
            term, back = self._sum_of(space, layout, [lefts[k] for k in terms], both)
            value = plus(value, term)
            backs += back

        def back_all(g: Expr) -> None:
            for back in backs:
                back(g)

        self._write(space, i.out, layout, value, back_all if backs else None)

    def _terms(
        self, space: int, n: int, count: int, lefts: list[int], rights: list[int]
    ) -> list[list[int]]:
        """How n sums of `count` terms each are best read: term by term, or all at once."""
        if not count:
            return []
        columns = [list(range(j, n * count, count)) for j in range(count)]
        if n == 1 and self._runs(space, lefts) + self._runs(space, rights) <= count:
            return [list(range(count))]
        cost = sum(
            self._runs(space, [rows[k] for k in column])
            for rows in (lefts, rights)
            for column in columns
        )
        few = count <= 4 and (n == 1 or cost <= 6 * count)
        return columns if count == 1 or few else [list(range(n * count))]

    def _runs(self, space: int, rows: list[int]) -> int:
        """Of how many runs of one block's rows a list is; the same row again and again is one."""
        if len(set(rows)) == 1:
            return 1
        places = [self.rows.places[space][max(row, ~row)] for row in rows]
        return 1 + sum(a is not b or j != k + 1 for (a, k), (b, j) in itertools.pairwise(places))

    def _sum_of(
        self, space: int, layout: tuple[int, ...], lefts: list[int], rights: list[int] | None
    ) -> tuple[Expr, list[_Back]]:
        """Rows, or their products, summed where there are more than one for each result."""
        count = len(lefts) // (layout[0] if layout else 1)
        inside = layout if count == 1 else (*layout, count)
        shape = (*inside, *lanes(space))
        left = self.rows.read(space, lefts, inside)
        factors = [left] if rights is None else [left, self.rows.read(space, rights, inside)]
        value = left.expr if rights is None else times(left.expr, factors[1].expr)
        if count > 1:
            value = total(value, shape, (len(layout),))

        def back_to(operand: Operand, other: Expr) -> _Back:
            def back(g: Expr) -> None:
                if count > 1 and layout and len(g.shape) > len(lanes(space)):
                    g = index(g, (ALL, None))
                operand.back(times(g, other))

            return back

        others = [ONE] if rights is None else [factors[1].expr, left.expr]
        return value, [
            back_to(operand, other)
            for operand, other in zip(factors, others, strict=True)
            if operand.needs
        ]


def _merged(instructions: list[Instruction]) -> Iterator[Instruction]:
    """The instructions, products of one number each on rows that follow each other as one."""
    run: list[Instruction] = []
    for i in [*instructions, None]:
        single = i is not None and i.kernel == "mm" and i.n == i.inner == i.cols == 1
        if run and not (single and i is not None and _follows(i, run[-1])):
            yield run[0] if len(run) == 1 else run[0]._replace(kernel="multiples", n=len(run))
            run = []
        if single and i is not None:
            run.append(i)
        elif i is not None:
            yield i


def _follows(i: Instruction, j: Instruction) -> bool:
    """Whether all rows of i are those after the rows of j."""
    optional = all(x == y + 1 or x == y == -1 for x, y in ((i.bias, j.bias), (i.init, j.init)))
    return optional and (i.out, i.a, i.b) == (j.out + 1, j.a + 1, j.b + 1)


def _method(kernel: str) -> str:
    """The method for a kernel."""
    return "elementwise" if kernel.startswith("ew_") else kernel.removesuffix("_list")


def _by_left(g: Expr, right: Expr, layout: tuple[int, ...], deep: bool) -> Expr:
    """The adjoint of the matrix in a product, from that of the result."""
    if deep:
        return contract(g, right, ((1, 2), (1, 2)))
    if not layout:
        return matmul(right, g) if len(right.shape) == 2 else times(g, right)
    return matmul(g, transposed(right)) if len(right.shape) == 2 else outer(g, right)


def _by_right(left: Expr, g: Expr, layout: tuple[int, ...], deep: bool) -> Expr:
    """The same of what the matrix is multiplied by."""
    if deep:
        return contract(transposed(left), g, ((1,), (0,)))
    if not layout:
        return outer(left, g) if g.shape else times(g, left)
    return matmul(transposed(left), g)
