"""Matrix products, also those whose sum runs over lanes."""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from engine.compiled.blocks import ADJOINT, NOTED, TRANSPOSED, ZERO, Instruction, L, Lists, S, View
from engine.compiled.instructions.row import Row, of_lanes
from engine.compiled.native import tiles
from engine.compiled.native.layout import AtHand, note_nan
from engine.compiled.writing import algebra
from engine.compiled.writing.arrays import lanes
from engine.compiled.writing.c_formulas import FEW, Var
from engine.compiled.writing.writer import SUM

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.layout import Layout
    from engine.compiled.native.numbers import Lanes
    from engine.compiled.source.c_statements import Section
    from engine.compiled.source.derive import Derive
    from engine.compiled.source.plain import Plain

LANES = 64  # of a chunk at most, where products are machine code of their own
_SMALL = 16  # multiplications up to which a product is written out row by row
BLAS_FROM = 8_000_000  # multiplications, from which on BLAS, on one thread, is as fast


class _Matrices(Row):
    """A matrix product: written out if it is small, by BLAS if it is large."""

    word, is_product = "matrix product", True

    def in_place(self, i: Instruction) -> View | None:
        """The block that is multiplied from the right, unless BLAS wants it."""
        return None if i.shape[2] > 1 or is_large(i, LANES) else i.operand(1)

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Whether it is so small that it is written out with the single rows around it."""
        few = math.prod(i.shape) <= _SMALL
        lanes = _block(i).space & ~ADJOINT == L and e.lanes > 1
        return lanes and e.straight(L) and few and not i.is_moving

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """In tiles whose sums stay in registers, or by BLAS where that is there and better."""
        if self.straight(e, i):
            self._straight(e, f, i)
        elif is_large(i, e.width(_block(i).space)):
            there = f.holds("ne", f.word("%job", e.job("gemm")), 0)
            f.when(there, lambda: self._by_blas(e, f, i))
            f.when(~there, lambda: self._tiled(e, f, i))
        else:
            self._tiled(e, f, i)
        if i.flags & NOTED:
            note_nan(e, f, i.out)

    @abstractmethod
    def _straight(self, e: Layout, f: Function, i: Instruction) -> None:
        """Written out, of single rows at hand."""

    @abstractmethod
    def _by_blas(self, e: Layout, f: Function, i: Instruction) -> None:
        """By a call of BLAS."""

    @abstractmethod
    def _tiled(self, e: Layout, f: Function, i: Instruction) -> None:
        """In tiles."""


class Product(_Matrices):
    """out = bias + init + matrix @ block: operands are a matrix of S, the block, a bias of S and
    an init as large as `out`, or None.

    `shape` is (n, inner, cols): n x inner is the matrix, as it is used: TRANSPOSED says that it
    lies as inner x n. A row of the block has cols times as many numbers as there are lanes. Sums
    begin with 0.0 if ZERO is a flag, else with -0.0, which changes nothing that it is added to.
    """

    kind = "product"

    def title(self, lists: Lists, i: Instruction) -> str:
        """The shapes, and what is added."""
        n, inner, cols = i.shape
        more = [" + bias"] * (i.operands[2] is not None) + [" + rows"] * (i.operands[3] is not None)
        left = f"({inner} × {n})ᵀ" if i.flags & TRANSPOSED else f"({n} × {inner})"
        right = f"({inner} × {of_lanes(i.out.space, cols)})"
        return f"matrix product {left} @ {right}{''.join(more)}"

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """G @ blockᵀ, matrixᵀ @ G, the sums of G's rows, and G."""
        wanted = [a.is_wanted(x) for x in i.operands]
        g = a.arrived(i.out) if any(wanted) else None
        if g is None:
            return
        matrix, block, bias, init = i.operands
        n, inner, cols = i.shape
        if wanted[0] and matrix is not None:
            a.add("outer", matrix, (g, block), shape=i.shape)
        if wanted[1] and block is not None:
            a.add(
                "product", block, (matrix, g, None, None), shape=(inner, n, cols), flags=TRANSPOSED
            )
        if wanted[2] and bias is not None:
            a.add("total", bias, (g,))
        if wanted[3] and init is not None:
            a.add("scatter", init, (g,))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """By a product of arrays."""
        n, inner, _ = i.shape
        matrix, out = m.rows(i.operand(0)), m.rows(i.out).reshape(n, -1)
        if not i.adds:
            out[:] = 0.0 if i.flags & ZERO else -0.0
        for x in i.operands[2:]:
            if x is not None:
                out += m.rows(x).reshape(n, -1)
        matrix = matrix.reshape(inner, n).T if i.flags & TRANSPOSED else matrix.reshape(n, inner)
        m.product(matrix, m.rows(i.operand(1)).reshape(inner, -1), out)
        if i.flags & NOTED:
            m.note_nan(out)

    def _straight(self, e: Layout, f: Function, i: Instruction) -> None:
        rows = AtHand(e, f, i.out.space & ~ADJOINT, 0, e.lanes)
        matrix, block, (bias, init) = i.operand(0), i.operand(1), i.operands[2:]
        n, inner, cols = i.shape
        for k in range(n):
            for c in range(cols):
                terms = [f.literal(0.0, e.lanes)] * bool(i.flags & ZERO)
                if bias is not None:
                    terms.append(f.widened(rows.read(bias.first + k, S), e.lanes))
                if init is not None:
                    terms.append(rows.read(init.first + k * cols + c))
                for j in range(inner):
                    at = j * n + k if i.flags & TRANSPOSED else k * inner + j
                    weight = f.widened(rows.read(matrix.first + at, S), e.lanes)
                    x = block.first + j * cols + c
                    terms.append(weight * rows.read_in(block.space, x))
                y, out = reduce(operator.add, terms), i.out.first + k * cols + c
                if i.out.space & ADJOINT:
                    rows.add(out, y, i.adds)
                else:
                    rows.write(out, y)

    def _by_blas(self, e: Layout, f: Function, i: Instruction) -> None:
        n, inner, cols = i.shape
        columns = cols * e.width(i.out.space)
        matrix, block, (bias, init) = i.operand(0), i.operand(1), i.operands[2:]
        (buffer, out), begins = e.place(i.out), i.adds or bias is not None or init is not None
        if begins:
            begin = self._begin(e, f, i)

            def row(k: Any) -> None:
                def body(o: Any, w: int, used: int) -> None:
                    y = begin(k, o, w, used)
                    assert y is not None
                    f.store(y, buffer, k * columns + out + o, used)

                e.flat(f, columns, body)

            e.each(f, n, row)
        transposed = bool(i.flags & TRANSPOSED)
        left = (e.place(matrix), n if transposed else inner, transposed)
        right = (e.place(block), columns, False)
        _gemm(e, f, (columns, n, inner), right, left, e.place(i.out), begins)

    def _begin(
        self, e: Layout, f: Function, i: Instruction
    ) -> Callable[[Any, Any, int, int], Lanes | None]:
        """What a sum begins with, before its products; None for nothing."""
        columns = i.shape[2] * e.width(i.out.space)
        _, _, bias, init = i.operands
        buffer, out = e.place(i.out)

        def begin(row: Any, c: Any, w: int, used: int) -> Lanes | None:
            parts = [f.literal(0.0, w)] * bool(i.flags & ZERO)
            if bias is not None:
                parts.append(f.widened(f.load(e.buffer(S), row + bias.first), w))
            if init is not None:
                source, at = e.place(init)
                parts.append(f.load(source, row * columns + at + c, w, used))
            if i.adds:
                parts.append(f.load(buffer, row * columns + out + c, w, used))
            return reduce(operator.add, parts) if parts else None

        return begin

    def _tiled(self, e: Layout, f: Function, i: Instruction) -> None:
        n, inner, cols = i.shape
        columns = cols * e.width(i.out.space)
        matrix, block, (bias, init) = i.operand(0), i.operand(1), i.operands[2:]
        in_place = e.is_in_place(block)
        values, at = (e.example(f, 0), 0) if in_place else e.place(block)
        buffer, out = e.place(i.out)
        weights, first = e.place(matrix)
        if columns == 1 and inner > 1 and not i.flags & TRANSPOSED:

            def put(_: Any, row: Any, total: Lanes, used: int) -> None:
                w = total.width
                total = total + 0.0 if i.flags & ZERO else total
                if bias is not None:
                    total = total + f.load(e.buffer(S), row + bias.first, w, used)
                if init is not None:
                    total = total + f.load(e.buffer(init.space), row + init.first, w, used)
                f.store(total, buffer, row + out, used, i.adds)

            tiles.reductions(
                *(e, f, 1, n, inner),
                lambda _: f.row(values, at),
                lambda row: f.row(weights, row * inner + first, -0.0),
                put,
            )
        elif in_place:
            begin = self._begin(e, f, i)

            def add(row: Any, lane: Any, total: Lanes, used: int) -> None:
                before = begin(row, lane, used, used)
                total = total if before is None else before + total
                f.store(total, buffer, row * columns + out + lane)

            tiles.reductions(
                *(e, f, n, columns, inner),
                lambda row: f.row(weights, row * inner + first, -0.0),
                lambda lane: f.row(e.example(f, lane), 0),
                add,
            )
        elif columns == 1 and i.flags & TRANSPOSED:  # rows of the matrix are added up
            tiles.products(
                *(e, f, 1, inner, n),
                lambda _, j: f.load(values, j + at),
                lambda j, c, w, used: f.load(weights, j * n + first + c, w, used),
                lambda _, c, w, used: f.load(buffer, c + out, w, used) if i.adds else None,
                lambda x, _, c, w, used: f.store(x, buffer, c + out, used),
            )
        else:

            def weight(row: Any, j: Any) -> Lanes:
                place = j * n + first + row if i.flags & TRANSPOSED else row * inner + first + j
                return f.load(weights, place)

            tiles.products(
                *(e, f, n, inner, columns),
                weight,
                lambda j, c, w, used: f.load(values, j * columns + at + c, w, used),
                self._begin(e, f, i),
                lambda x, row, c, w, used: f.store(x, buffer, row * columns + out + c, used),
            )

    def cost(self, i: Instruction) -> int:
        """One for each product."""
        n, inner, cols = i.shape
        return n * (inner + 1) * cols

    # --- as a text ---

    def joins(self, i: Instruction, before: Instruction) -> bool:
        """One number each, where all rows are those after the rows of the other."""
        if before.kind != "product" or i.shape != (1, 1, 1) or before.shape != i.shape:
            return False
        pairs = zip((i.out, *i.operands), (before.out, *before.operands), strict=True)
        return all(
            x is y is None or (x is not None and y is not None and x.first == y.first + 1)
            for x, y in pairs
        )

    def plainly(self, p: Plain, some: Sequence[Instruction]) -> Iterator[Instruction]:
        """Products of one number each are multiplications and additions of blocks."""
        first = some[0]
        if first.shape[:2] != (1, 1):
            yield first
            return
        space, count = first.out.space, max(len(some), first.out.count)
        operands: list[View] = []
        for x, shared in zip(first.operands, (True, False, True, False), strict=True):
            if x is None:
                continue
            x = x._replace(count=count)
            if shared and (space == L or count > len(some)):
                copy = p.fresh(space, count)
                source = p.repeated(x, count) if count > len(some) else x
                yield Instruction("broadcast" if space == L else "gather", copy, (source,))
                x = copy
            operands.append(x)
        total, *rest = operands
        for k, (x, name) in enumerate(zip(rest, ("mul", "add", "add"), strict=False)):
            last = k == len(rest) - 1
            out = first.out._replace(count=count) if last else p.fresh(space, count)
            yield Instruction("map", out, (total, x), name=name)
            total = out

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """A product of matrices, or of a matrix and a vector, and what is added."""
        matrix, block, (bias, init) = i.operand(0), i.operand(1), i.operands[2:]
        if i.out.space > L:
            self._back_in_arrays(d, i)
            return
        n, inner, cols = i.shape
        layout: tuple[int, ...] = (n,) if cols == 1 else (n, cols)
        if n == cols == 1 and d.layout_of(matrix) == (inner,):
            layout = ()  # a vector, not a matrix of one row
        left, right = _factors(d, matrix, block, layout, inner, cols)
        deep = len(right.shape) > 2
        value = algebra.contract(left, right, ((1,), (0,))) if deep else algebra.matmul(left, right)
        shape = (*layout, *lanes(i.out.space))
        if bias is not None:
            expr = d.at(bias, layout[:1]).expr
            if expr.shape and len(shape) > 1:
                expr = algebra.index(expr, (algebra.ALL, *[None] * (len(shape) - 1)))
            value = algebra.plus(value, expr)
        if init is not None:
            value = algebra.plus(value, d.at(init, layout).expr)
        # A sum, where all factors are the same, is no product to name.
        d.new(i.out, layout, value, "value" if algebra.alike(left) else "product")

    def _back_in_arrays(self, d: Derive, i: Instruction) -> None:
        """matrixᵀ @ g."""
        g, layout = d.arrived(i.operands[1])
        if g == algebra.ZERO:
            return
        inner, _, cols = i.shape
        left, right = _factors(d, i.operand(0), i.out, layout, inner, cols)
        g = algebra.full(g, (*layout, *lanes(i.out.space)))
        if len(right.shape) > 2:
            found = algebra.contract(algebra.transposed(left), g, ((1,), (0,)))
        elif not layout:
            found = algebra.outer(left, g) if g.shape else algebra.times(g, left)
        else:
            found = algebra.matmul(algebra.transposed(left), g)
        d.at(i.out, (inner,) if cols == 1 else (inner, cols)).add(found)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Sum by sum."""
        n, inner, cols = i.shape
        matrix, block, bias, init = i.operands

        def one(k: Var, column: Var) -> list[str]:
            place = c.at((cols, k), (1, column))
            begin = [c.e.literal(0.0)] * bool(i.flags & ZERO)
            begin += [] if bias is None else [c.text(bias, c.at((1, k)), SUM)]
            begin += [] if init is None else [c.text(init, place, SUM + 1)]

            def term(j: Var) -> str:
                weight = c.at((n, j), (1, k)) if i.flags & TRANSPOSED else c.at((inner, k), (1, j))
                other = c.at((cols, j), (1, column))
                if i.out.space > L:
                    return c.e.chain(c.text(block, other), c.read(matrix, weight))
                return c.times(matrix, weight, block, other)

            return c.sum(begin, [(inner, term)], lambda y: c.write(i.out, place, y, i.adds))

        few = 1 if n * cols * inner > 4 * FEW else n * cols
        c.lines += c.each("i", n, lambda k: c.each("c", cols, lambda x: one(k, x), few), few)


class Outer(_Matrices):
    """out = a @ bᵀ, where the sum runs over columns and lanes: operands are blocks of n and of
    inner rows, `shape` is (n, inner, cols), and `out` an n x inner matrix of S."""

    kind = "outer"

    def title(self, lists: Lists, i: Instruction) -> str:
        """The shapes."""
        n, inner, cols = i.shape
        columns = of_lanes(i.operand(0).space, cols)
        return f"matrix product ({n} × {columns}) @ ({inner} × {columns})ᵀ"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """By a product of arrays."""
        n, inner, _ = i.shape
        a, b, out = (m.rows(x) for x in (*i.operands, i.out))
        if not i.adds:
            out[:] = -0.0
        m.product(a.reshape(n, -1), b.reshape(inner, -1).T, out.reshape(n, inner))

    def _straight(self, e: Layout, f: Function, i: Instruction) -> None:
        rows = AtHand(e, f, L, 0, e.lanes)
        n, inner, cols = i.shape
        a, b = i.operand(0), i.operand(1)
        places, products = [], []
        for k in range(n):
            for c in range(cols):
                g = rows.arrived(a.first + k * cols + c)
                for j in range(inner):
                    places.append(i.out.first + k * inner + j)
                    products.append(g * rows.read_in(b.space, b.first + j * cols + c))
        for place, total in zip(places, f.sums(products), strict=True):
            rows.add(place, total, True, S)

    def _by_blas(self, e: Layout, f: Function, i: Instruction) -> None:
        (n, inner, cols), a, b = i.shape, i.operand(0), i.operand(1)
        columns = cols * e.width(a.space)
        given = (e.place(b), columns, True), (e.place(a), columns, False)
        _gemm(e, f, (inner, n, columns), *given, e.place(i.out), i.adds)

    def _tiled(self, e: Layout, f: Function, i: Instruction) -> None:
        n, inner, cols = i.shape
        a, b = i.operand(0), i.operand(1)
        columns = cols * e.width(a.space)
        (left, at_a), (right, at_b), (buffer, out) = e.place(a), e.place(b), e.place(i.out)
        in_place = e.is_in_place(b)

        def put(x: Lanes, row: Any, j: Any, w: int, used: int) -> None:
            f.store(x, buffer, row * inner + out + j, used, i.adds)

        if columns == 1 or in_place:

            def of_b(lane: Any, j: Any, w: int, used: int) -> Lanes:
                if in_place:
                    return f.load(e.example(f, lane), j, w, used)
                return f.load(right, j + at_b, w, used)

            tiles.products(
                *(e, f, n, columns, inner),
                lambda row, lane: f.load(left, row * columns + at_a + lane),
                of_b,
                lambda *_: None,
                put,
            )
        elif inner == 1:
            tiles.reductions(
                *(e, f, 1, n, columns),
                lambda _: f.row(right, at_b),
                lambda row: f.row(left, row * columns + at_a, -0.0),
                lambda _, row, x, used: put(x, 0, row, x.width, used),
            )
        else:
            tiles.reductions(
                *(e, f, n, inner, columns),
                lambda row: f.row(left, row * columns + at_a),
                lambda j: f.row(right, j * columns + at_b, -0.0),
                lambda row, j, x, used: put(x, row, j, x.width, used),
            )

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """g @ blockᵀ, in the layout of a matrix."""
        g, layout = d.arrived(i.operands[0])
        if g == algebra.ZERO:
            return
        _, inner, cols = i.shape
        _, right = _factors(d, i.out, i.operand(1), layout, inner, cols)
        g = algebra.full(g, (*layout, *lanes(i.operand(0).space)))
        wide = len(right.shape) == 2
        if len(right.shape) > 2:
            found = algebra.contract(g, right, ((1, 2), (1, 2)))
        elif not layout:
            found = algebra.matmul(right, g) if wide else algebra.times(g, right)
        else:
            found = (
                algebra.matmul(g, algebra.transposed(right)) if wide else algebra.outer(g, right)
            )
        d.at(i.out, (*layout[:1], inner)).add(found)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Sum by sum."""
        (n, inner, cols), (a, b) = i.shape, i.operands

        def one(k: Var, j: Var) -> list[str]:
            def term(column: Var) -> str:
                g = c.text(a, c.at((cols, k), (1, column)))
                return c.e.chain(g, c.read(b, c.at((cols, j), (1, column))))

            place = c.at((inner, k), (1, j))
            return c.sum([], [(cols, term)], lambda y: c.write(i.out, place, y, i.adds))

        few = 1 if n * cols * inner > 4 * FEW else n * inner
        c.lines += c.each("i", n, lambda k: c.each("h", inner, lambda j: one(k, j), few), few)


def _factors(
    d: Derive, matrix: View, block: View, layout: tuple[int, ...], inner: int, cols: int
) -> tuple[algebra.Expr, algebra.Expr]:
    """The matrix and the block of a product whose result has a layout, as arrays."""
    shape = (*layout[:1], inner)
    within = (inner,) if cols == 1 else (inner, cols)
    right = algebra.full(d.at(block, within).expr, (*within, *lanes(block.space)))
    return algebra.full(d.at(matrix, shape).expr, shape), right


def is_large(i: Instruction, width: int) -> bool:
    """Whether a product, of so many lanes, is better left to BLAS."""
    return i.kind in ("product", "outer") and math.prod(i.shape) * width > BLAS_FROM


def _block(i: Instruction) -> View:
    """Rows that are as wide as what is multiplied."""
    return i.operand(0) if i.kind == "outer" else i.out


def _gemm(
    e: Layout,
    f: Function,
    size: tuple[int, int, int],
    right: tuple[tuple[str, int], int, bool],
    left: tuple[tuple[str, int], int, bool],
    out: tuple[str, int],
    adds: bool,
) -> None:
    """Call BLAS, whose matrices lie by columns: for it out = right @ left, of `size` (rows,
    columns, inner); each is said by its place, its leading dimension, and whether transposed."""
    whole = {name: _on_stack(f, "i32", str(x)) for name, x in zip("mnk", size, strict=True)}
    one = _on_stack(f, f.number, f.literal(1.0).name)
    beta = _on_stack(f, f.number, f.literal(1.0 if adds else 0.0).name)
    flags, leads, places = [], [], []
    for (buffer, at), lead, transposed in (right, left):
        flags.append(_on_stack(f, "i8", str(ord("T" if transposed else "N"))))
        leads.append(_on_stack(f, "i32", str(lead)))
        places.append(f.address(buffer, at))
    given = [*flags, *whole.values(), one, places[0], leads[0], places[1], leads[1], beta]
    given += [f.address(*out), _on_stack(f, "i32", str(size[0]))]
    gemm = f.pointer("%job", e.job("gemm"))
    f.lines.append(f" call void {gemm}({', '.join(f'ptr {x}' for x in given)})")


def _on_stack(f: Function, type_: str, text: str) -> str:
    where = f.result(f"alloca {type_}", "index", 1, pure=False).name
    f.lines.append(f" store {type_} {text}, ptr {where}")
    return where
