"""Sums of products: matrix products, products whose sum runs over lanes, and sums as lists say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compiled.blocks import ADJOINT, NOTED, TRANSPOSED, ZERO, Instruction, L, Lists, S, View
from engine.compiled.instructions.row import Row, of_lanes, plural
from engine.compiled.native import tiles
from engine.compiled.native.layout import Rows, note_nan

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.emit import Function, Lanes
    from engine.compiled.native.layout import Layout

_SMALL = 16  # multiplications up to which a product is written out row by row
_RUNS = 1200  # terms of sums up to which they are written out, rather than read at run time
BLAS_FROM = 8_000_000  # multiplications, from which on BLAS, on one thread, is as fast


class Product(Row):
    """out = bias + init + matrix @ block: operands are a matrix of S, the block, a bias of S and
    an init as large as `out`, or None.

    `shape` is (n, inner, cols): n x inner is the matrix, as it is used: TRANSPOSED says that it
    lies as inner x n. A row of the block has cols times as many numbers as there are lanes. Sums
    begin with 0.0 if ZERO is a flag, else with -0.0, which changes nothing that it is added to.
    """

    kind, word, is_product = "product", "matrix product", True

    def title(self, lists: Lists, i: Instruction) -> str:
        """The shapes, and what is added."""
        n, inner, cols = i.shape
        more = [" + bias"] * (i.operands[2] is not None) + [" + rows"] * (i.operands[3] is not None)
        left = f"({inner} × {n})ᵀ" if i.flags & TRANSPOSED else f"({n} × {inner})"
        right = f"({inner} × {of_lanes(i.out.space, cols)})"
        return f"matrix product {left} @ {right}{''.join(more)}"

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """The result depends on each operand."""
        if any(map(a.is_wanted, i.operands)):
            a.mark(i.out)

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
        n, inner, cols = i.shape
        matrix, block, bias, init = (m.rows(x) if x is not None else None for x in i.operands)
        assert matrix is not None and block is not None
        matrix = matrix.reshape(inner, n).T if i.flags & TRANSPOSED else matrix.reshape(n, inner)
        y = m.product(matrix, block.reshape(inner, -1))
        y = y + (0.0 if i.flags & ZERO else -0.0)
        y = y if bias is None else y + bias
        y = y.reshape(n * cols, -1)
        m.put(m.rows(i.out), y if init is None else y + init, i.adds)
        if i.flags & NOTED:
            m.note_nan(m.rows(i.out))

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Where it is small."""
        return _is_straight(e, i)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """In tiles whose sums stay in registers, or by BLAS where that is there and better."""
        if _is_straight(e, i):
            self._straight(e, f, i)
        elif is_large(i, e.width(i.out.space)):
            gemm = f.word("%job", e.job("gemm"))
            there = f.holds("ne", gemm, 0)
            f.when(there, lambda: self._by_blas(e, f, i))
            f.when(~there, lambda: self._tiled(e, f, i))
        else:
            self._tiled(e, f, i)
        if i.flags & NOTED:
            note_nan(e, f, i.out)

    def _straight(self, e: Layout, f: Function, i: Instruction) -> None:
        rows = Rows(e, f, i.out.space & ~ADJOINT, 0, e.lanes)
        matrix, block, bias, init = i.operands
        assert matrix is not None and block is not None
        n, inner, cols = i.shape
        for k in range(n):
            for c in range(cols):
                y = f.literal(0.0, e.lanes) if i.flags & ZERO else None
                terms = []
                if bias is not None:
                    terms.append(f.widened(rows.read(bias.first + k, S), e.lanes))
                if init is not None:
                    terms.append(rows.read(init.first + k * cols + c))
                for j in range(inner):
                    at = j * n + k if i.flags & TRANSPOSED else k * inner + j
                    weight = f.widened(rows.read(matrix.first + at, S), e.lanes)
                    x = block.first + j * cols + c
                    terms.append(weight * rows.read_in(block.space, x))
                for term in terms:
                    y = term if y is None else y + term
                assert y is not None
                out = i.out.first + k * cols + c
                if i.out.space & ADJOINT:
                    rows.add(out, y, i.adds)
                else:
                    rows.write(out, y)

    def _by_blas(self, e: Layout, f: Function, i: Instruction) -> None:
        n, inner, cols = i.shape
        columns = cols * e.width(i.out.space)
        matrix, block, bias, init = i.operands
        assert matrix is not None and block is not None
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
            total = f.literal(0.0, w) if i.flags & ZERO else None
            parts = []
            if bias is not None:
                parts.append(f.widened(f.load("%vs", row + bias.first), w))
            if init is not None:
                source, at = e.place(init)
                parts.append(f.load(source, row * columns + at + c, w, used))
            if i.adds:
                parts.append(f.load(buffer, row * columns + out + c, w, used))
            for part in parts:
                total = part if total is None else total + part
            return total

        return begin

    def _tiled(self, e: Layout, f: Function, i: Instruction) -> None:
        n, inner, cols = i.shape
        columns = cols * e.width(i.out.space)
        matrix, block, bias, init = i.operands
        assert matrix is not None and block is not None
        values, at = e.place(block)
        buffer, out = e.place(i.out)
        weights, first = e.place(matrix)
        if columns == 1 and inner > 1 and not i.flags & TRANSPOSED:

            def put(_: Any, row: Any, total: Lanes, used: int) -> None:
                w = total.width
                total = total + 0.0 if i.flags & ZERO else total
                if bias is not None:
                    total = total + f.load("%vs", row + bias.first, w, used)
                if init is not None:
                    total = total + f.load(e.buffer(init.space), row + init.first, w, used)
                if i.adds:
                    total = f.load(buffer, row + out, w, used) + total
                f.store(total, buffer, row + out, used)

            tiles.reductions(
                *(e, f, 1, n, inner),
                lambda _, c, w, used: f.load(values, c + at, w, used),
                lambda row, c, w, used: f.load(weights, row * inner + first + c, w, used, -0.0),
                put,
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


class Outer(Row):
    """out = a @ bᵀ, where the sum runs over columns and lanes: operands are blocks of n and of
    inner rows, `shape` is (n, inner, cols), and `out` an n x inner matrix of S."""

    kind, word, is_product = "outer", "matrix product", True

    def title(self, lists: Lists, i: Instruction) -> str:
        """The shapes."""
        n, inner, cols = i.shape
        columns = of_lanes(_given(i.operands[0]).space, cols)
        return f"matrix product ({n} × {columns}) @ ({inner} × {columns})ᵀ"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """By a product of arrays."""
        n, inner, _ = i.shape
        a, b = (m.rows(x) for x in i.operands)
        y = m.product(a.reshape(n, -1), b.reshape(inner, -1).T)
        m.put(m.rows(i.out), y.reshape(-1, 1), i.adds)

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Where it is small."""
        return _is_straight(e, i)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """In tiles whose sums stay in registers, or by BLAS where that is there and better."""
        n, inner, cols = i.shape
        a, b = i.operands
        assert a is not None and b is not None
        columns = cols * e.width(a.space)
        if _is_straight(e, i):
            self._straight(e, f, i)
        elif is_large(i, e.width(a.space)):
            there = f.holds("ne", f.word("%job", e.job("gemm")), 0)
            given = (e.place(b), columns, True), (e.place(a), columns, False)
            size = (inner, n, columns)
            f.when(there, lambda: _gemm(e, f, size, *given, e.place(i.out), i.adds))
            f.when(~there, lambda: self._tiled(e, f, i))
        else:
            self._tiled(e, f, i)

    def _straight(self, e: Layout, f: Function, i: Instruction) -> None:
        rows = Rows(e, f, L, 0, e.lanes)
        n, inner, cols = i.shape
        a, b = i.operands
        assert a is not None and b is not None
        places, products = [], []
        for k in range(n):
            for c in range(cols):
                g = rows.arrived(a.first + k * cols + c)
                for j in range(inner):
                    places.append(i.out.first + k * inner + j)
                    products.append(g * rows.read_in(b.space, b.first + j * cols + c))
        for place, total in zip(places, f.sums(products), strict=True):
            rows.add(place, total, True, S)

    def _tiled(self, e: Layout, f: Function, i: Instruction) -> None:
        n, inner, cols = i.shape
        a, b = i.operands
        assert a is not None and b is not None
        columns = cols * e.width(a.space)
        (left, at_a), (right, at_b), (buffer, out) = e.place(a), e.place(b), e.place(i.out)

        def of_a(row: Any, c: Any, w: int = 1, used: int = 1) -> Lanes:
            return f.load(left, row * columns + at_a + c, w, used)

        def of_b(j: Any, c: Any, w: int = 1, used: int = 1) -> Lanes:
            return f.load(right, j * columns + at_b + c, w, used)

        def put(x: Lanes, row: Any, j: Any, w: int, used: int) -> None:
            place = row * inner + out + j
            if i.adds:
                x = f.load(buffer, place, w, used) + x
            f.store(x, buffer, place, used)

        if columns == 1:
            tiles.products(
                *(e, f, n, 1, inner),
                lambda row, _: of_a(row, 0),
                lambda _, j, w, used: f.load(right, j + at_b, w, used),
                lambda *_: None,
                put,
            )
        elif inner == 1:
            tiles.reductions(
                *(e, f, 1, n, columns),
                lambda _, c, w, used: of_b(0, c, w, used),
                of_a,
                lambda _, row, x, used: put(x, 0, row, x.width, used),
            )
        else:
            tiles.reductions(
                *(e, f, n, inner, columns),
                of_a,
                of_b,
                lambda row, j, x, used: put(x, row, j, x.width, used),
            )


def is_large(i: Instruction, width: int) -> bool:
    """Whether a product, of so many lanes, is better left to BLAS."""
    return i.kind in ("product", "outer") and math.prod(i.shape) * width > BLAS_FROM


def _is_straight(e: Layout, i: Instruction) -> bool:
    """Whether a product is so small that it is written out with the single rows around it."""
    g = i.operands[0] if i.kind == "outer" else i.out
    assert g is not None
    few = math.prod(i.shape) <= _SMALL
    return g.space & ~ADJOINT == L and e.lanes > 1 and e.straight(L) and few


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


class Dot(Row):
    """Each row of `out` is a sum of `shape[0]` products, of rows from the first two operands, and
    of `shape[1]` rows from the third; all are lists, or None. What the first or the third list
    negates is subtracted. Sums begin as those of `product` do."""

    kind, word = "dot", "sums"

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many, and of what."""
        inner, cols = i.shape
        terms = [plural(inner, "product")] * bool(inner) + [plural(cols, "term")] * bool(cols)
        return f"{plural(i.out.count, 'sum')} of {' and '.join(terms)}"

    mark = Product.mark

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """Each row of a product gets the adjoint times the other; single terms get it as it is."""
        left, right, single = i.operands
        wanted = [a.is_wanted(x) for x in i.operands]
        g = a.arrived(i.out) if any(wanted) else None
        if g is None:
            return
        if wanted[2] and single is not None:
            a.add("scatter", single, (g,), shape=(i.shape[1],))
        for mine, other, own in ((left, right, wanted[0]), (right, left, wanted[1])):
            if own and mine is not None:
                a.add("scatter", mine, (g, other), shape=(i.shape[0],))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Sum by sum."""
        left, right, single = i.operands
        source, out = m.buffers[i.out.space], m.rows(i.out)
        total = np.full_like(out, 0.0 if i.flags & ZERO else -0.0)
        if single is not None:
            rows, signs = m.rows_and_signs(single)
            for terms in (signs * source[rows]).reshape(len(out), -1, out.shape[1]).swapaxes(0, 1):
                total = total + terms
        if left is not None:
            rows, signs = m.rows_and_signs(left)
            products = signs * source[rows] * source[m.lists.rows(_given(right))]
            for terms in products.reshape(len(out), -1, out.shape[1]).swapaxes(0, 1):
                total = total + terms
        out[:] = total
        if i.flags & NOTED:
            m.note_nan(out)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Regular sums as vectors, others term by term, very many as the lists say at run time."""
        tables = [_table(e, x, i.out.count) for x in i.operands]
        if not _writes_out(e, i.out, tables):
            _sums_at_run_time(e, f, i)
        elif e.width(i.out.space) > 1:

            def lanes(o: Any, w: int) -> None:
                rows = Rows(e, f, i.out.space, o, w)
                for k in range(i.out.count):
                    _one_sum(f, rows, i, tables, k)

            e.lane_strips(f, i.out.space, lanes)
        else:
            _sums_in_parts(e, f, i, tables)
        if i.flags & NOTED:
            note_nan(e, f, i.out)


def _given(view: View | None) -> View:
    assert view is not None
    return view


def _table(e: Layout, view: View | None, n: int) -> Any:
    """A list as a table, a row for each sum; without columns where there is none."""
    return np.zeros((n, 0), np.int64) if view is None else e.lists.rows(view).reshape(n, -1)


def _writes_out(e: Layout, sums: View, tables: list[Any]) -> bool:
    """Whether the terms are so few, or so regular, that they are written out."""
    terms = sum(len(table[0]) for table in tables)
    if e.width(sums.space) > 1:
        return sums.count * terms <= _RUNS
    size = 0  # about how many machine instructions it becomes
    for way, _, count in _parts(tables):
        each = -(-count // e.vector) if way == "across" else 1
        size += -(-terms // e.vector) if way == "along" else terms * each
    return size <= 2 * _RUNS


def _parts(tables: list[Any]) -> list[tuple[str, int, int]]:
    """How sums in S, or of one lane, are computed: several "across" at once, one "along" its
    contiguous terms, or one "single" term after the other."""
    table = np.concatenate(tables, axis=1)
    negative = table < 0
    steps = np.diff(np.where(negative, ~table, table), axis=0)
    regular = ((steps == 0) | (steps == 1)).all(axis=1)
    regular &= (negative[1:] == negative[:-1]).all(axis=1)
    same = np.zeros(len(steps), bool)
    same[1:] = (steps[1:] == steps[:-1]).all(axis=1)
    left, right = tables[0], tables[1]
    inner = left.shape[1]
    parts, first = [], 0
    while first < len(table):
        last = first + 1
        if last < len(table) and regular[first]:
            last += 1
            while last < len(table) and regular[last - 1] and same[last - 1]:
                last += 1
        count = last - first
        if count >= 4 or (count > 1 and inner < 4):
            parts.append(("across", first, count))
        else:
            for k in range(first, last):
                contiguous = (
                    inner >= 4
                    and table.shape[1] == 2 * inner
                    and (table[k] >= 0).all()
                    and (np.diff(left[k]) == 1).all()
                    and (np.diff(right[k]) == 1).all()
                )
                parts.append(("along" if contiguous else "single", k, 1))
        first = last
    return parts


def _added(total: Lanes | None, x: Lanes, negative: bool) -> Lanes:
    """total + x, or - x; a total that has not begun is nothing."""
    if total is None:
        return -x if negative else x
    return total - x if negative else total + x


def _one_sum(f: Function, rows: Rows, i: Instruction, tables: list[Any], k: int) -> None:
    """A sum, term after term."""
    left, right, single = (table[k].tolist() for table in tables)
    y = f.literal(0.0, rows.width) if i.flags & ZERO else None
    for x in single:
        y = _added(y, rows.read(max(x, ~x)), x < 0)
    for x, other in zip(left, right, strict=True):
        y = _added(y, rows.read(max(x, ~x)) * rows.read(other), x < 0)
    assert y is not None
    rows.write(i.out.first + k, y)


def _sums_in_parts(e: Layout, f: Function, i: Instruction, tables: list[Any]) -> None:
    """In S, or for one lane."""
    left, right, single = tables
    buffer, out = e.place(i.out)
    zero = f.literal(0.0) if i.flags & ZERO else None
    constants = e.lists.constants[i.out.space]
    pending: dict[int, list[tuple[int, Lanes]]] = {}  # sums that are still vectors, by width

    def term(row: int, moves: bool, o: Any, w: int, used: int) -> Lanes:
        if moves:
            return f.load(buffer, o + row, w, used)
        if row in constants:
            return f.literal(constants[row], w)
        return f.widened(f.load(buffer, row), w)

    for way, first, count in _parts(tables):
        if way == "across":
            moving = [_moves(table, first, count) for table in tables]
            for o, w, used in e.strips(count):
                y = None if zero is None else f.widened(zero, w)
                for x, moves in zip(single[first].tolist(), moving[2], strict=True):
                    y = _added(y, term(max(x, ~x), moves, o, w, used), x < 0)
                products = zip(left[first].tolist(), right[first].tolist(), strict=True)
                for j, (x, other) in enumerate(products):
                    product = term(max(x, ~x), moving[0][j], o, w, used)
                    y = _added(y, product * term(other, moving[1][j], o, w, used), x < 0)
                assert y is not None
                f.store(y, buffer, out + first + o, used)
        elif way == "along":
            y = None
            for o, w, used in e.strips(left.shape[1]):
                w = w if y is None else y.width
                x = f.load(buffer, int(left[first, 0]) + o, w, used, -0.0)
                x = x * f.load(buffer, int(right[first, 0]) + o, w, used)
                y = x if y is None else y + x
            assert y is not None
            pending.setdefault(y.width, []).append((first, y))
        else:
            _one_sum(f, Rows(e, f, i.out.space, 0, 1), i, tables, first)
    for some in pending.values():
        for (first, _), y in zip(some, f.sums([y for _, y in some]), strict=True):
            f.store(y if zero is None else zero + y, buffer, out + first)


def _moves(table: Any, first: int, count: int) -> list[bool]:
    """Whether each operand's row goes up from one sum of a run to the next, or stays."""
    rows = np.where(table < 0, ~table, table)
    if count == 1:
        return [True] * table.shape[1]
    return [bool(step) for step in (rows[first + 1] - rows[first]).tolist()]


def _sums_at_run_time(e: Layout, f: Function, i: Instruction) -> None:
    """Sum by sum, term by term, as the lists say."""
    space = i.out.space
    buffer, width = e.buffer(space), e.width(space)
    left, right, single = i.operands

    def one(k: Any) -> list[Lanes]:
        def body(o: Any, w: int) -> None:
            def plus(view: View, other: View | None, count: int, y: Lanes) -> Lanes:
                def term(j: Any, y: Lanes) -> list[Lanes]:
                    row, negative = e.listed(f, k * count + view.first + j)
                    x = f.load(buffer, row * width + o, w)
                    if other is not None:
                        x = x * f.load(
                            buffer, e.listed(f, k * count + other.first + j)[0] * width + o, w
                        )
                    return [y + f.select(negative, -x, x)]

                return f.loop(count, term, [y])[0]

            y = f.literal(0.0 if i.flags & ZERO else -0.0, w)
            if single is not None:
                y = plus(single, None, i.shape[1], y)
            if left is not None:
                y = plus(left, right, i.shape[0], y)
            f.store(y, buffer, k * width + i.out.first * width + o)

        e.lane_strips(f, space, body)
        return []

    f.loop(i.out.count, one)


# --- the instruction "scatter" with factors, or several targets for each row ---------------------


def scatter_products(e: Layout, f: Function, i: Instruction) -> None:
    """Emit a `scatter` of each row to several targets, times factors if there are any."""
    g, factors = i.operands[0], i.operands[1] if len(i.operands) > 1 else None
    assert g is not None
    targets = _table(e, i.out, g.count)
    others = _table(e, factors, g.count)
    if not _writes_out(e, g, [targets, others]):
        _scatter_at_run_time(e, f, i)
        return
    if e.width(g.space) > 1:

        def lanes(o: Any, w: int) -> None:
            rows = Rows(e, f, g.space & ~ADJOINT, o, w)
            for k in range(g.count):
                _one_scatter(rows, i, g.first + k, targets[k].tolist(), others[k].tolist())
            rows.finish()

        e.lane_strips(f, g.space, lanes)
        return
    for way, first, count in _parts([targets, others]):
        mine, other = targets[first].tolist(), others[first].tolist()
        if way == "single":
            rows = Rows(e, f, g.space & ~ADJOINT, 0, 1)
            _one_scatter(rows, i, g.first + first, mine, other)
            continue
        e.flush(f)
        if way == "along":
            _scatter_along(e, f, i, g.first + first, mine[0], other[0])
        else:
            moves = _moves(targets, first, count), _moves(others, first, count)
            _scatter_across(e, f, i, g.first + first, count, mine, other, moves)


def _one_scatter(rows: Rows, i: Instruction, g: int, targets: list[int], others: list[int]) -> None:
    """What passes from one row, target by target."""
    adjoint = rows.arrived(g)
    for j, row in enumerate(targets):
        other = others[j] if others else 0
        y = adjoint * rows.read(max(other, ~other)) if others else adjoint
        rows.add(max(row, ~row), -y if (row < 0) != (other < 0) else y, i.adds)


def _scatter_along(e: Layout, f: Function, i: Instruction, g: int, target: int, other: int) -> None:
    """What passes from one row to targets that follow each other."""
    adjoint, buffer = f.load(e.buffer(i.out.space), g), e.buffer(i.out.space)
    values = e.buffer(i.out.space & ~ADJOINT)
    for o, w, used in e.strips(i.shape[0]):
        y = f.widened(adjoint, w) * f.load(values, other + o, w, used)
        if i.adds:
            y = f.load(buffer, target + o, w, used) + y
        f.store(y, buffer, target + o, used)


def _scatter_across(
    e: Layout,
    f: Function,
    i: Instruction,
    g: int,
    count: int,
    targets: list[int],
    others: list[int],
    moves: tuple[list[bool], list[bool]],
) -> None:
    """What passes from several rows at once, the targets and factors going up by one, or staying:
    then what passes to a target is summed up."""
    buffer, values = e.buffer(i.out.space), e.buffer(i.out.space & ~ADJOINT)
    strips = e.strips(count)
    totals: list[tuple[int, Lanes]] = []
    for j, row in enumerate(targets):
        other = others[j] if others else 0
        negative = (row < 0) != (other < 0)
        row, other = max(row, ~row), max(other, ~other)
        total: Lanes | None = None
        for o, w, used in strips:
            w = w if moves[0][j] else strips[0][1]
            y = f.load(buffer, g + o, w, used, 0.0)
            if others and moves[1][j]:
                y = y * f.load(values, other + o, w, used)
            elif others:
                y = y * f.widened(f.load(values, other), w)
            if not moves[0][j]:
                total = y if total is None else total + y
                continue
            y = -y if negative else y
            if i.adds:
                y = f.load(buffer, row + o, w, used) + y
            f.store(y, buffer, row + o, used)
        if total is not None:
            totals.append((row, -total if negative else total))
    for (row, _), y in zip(totals, f.sums([y for _, y in totals]), strict=True):
        f.store(f.load(buffer, row) + y if i.adds else y, buffer, row)


def _scatter_at_run_time(e: Layout, f: Function, i: Instruction) -> None:
    """Row by row, target by target, as the lists say."""
    g, factors = _given(i.operands[0]), i.operands[1] if len(i.operands) > 1 else None
    buffer, values = e.buffer(i.out.space), e.buffer(i.out.space & ~ADJOINT)
    width, inner = e.width(g.space), i.shape[0]

    def one(k: Any) -> list[Lanes]:
        def body(o: Any, w: int) -> None:
            adjoint = f.load(buffer, k * width + g.first * width + o, w)

            def target(j: Any) -> list[Lanes]:
                row, negative = e.listed(f, k * inner + i.out.first + j)
                y = f.select(negative, -adjoint, adjoint)
                if factors is not None:
                    other, minus = e.listed(f, k * inner + factors.first + j)
                    x = f.load(values, other * width + o, w)
                    y = y * f.select(minus, -x, x)
                to = row * width + o
                f.store(f.load(buffer, to, w) + y if i.adds else y, buffer, to)
                return []

            f.loop(inner, target)

        e.lane_strips(f, g.space, body)
        return []

    f.loop(g.count, one)
