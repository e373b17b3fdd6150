"""Sums as lists say, and the adjoints of these, which go where lists say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compiled.blocks import ADJOINT, NOTED, ZERO, Instruction, L, Lists, View
from engine.compiled.instructions.row import Row, plural
from engine.compiled.native.layout import AtHand, Layout, Signed, note_nan
from engine.compiled.writing import algebra
from engine.compiled.writing.arrays import Operand, lanes, line
from engine.compiled.writing.c_formulas import FEW, Var
from engine.compiled.writing.writer import SUM

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.numbers import Lanes
    from engine.compiled.source.c_statements import Section
    from engine.compiled.source.derive import Derive

_RUNS = 1200  # terms of sums up to which they are written out, rather than read at run time


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
        for x, factor in ((single, None), (left, right)):
            if x is not None:
                rows, signs = m.rows_and_signs(x)
                terms = signs * source[rows]
                if factor is not None:
                    terms *= source[m.rows_and_signs(factor)[0]]
                for each in terms.reshape(len(out), -1, out.shape[1]).swapaxes(0, 1):
                    total += each
        out[:] = total
        if i.flags & NOTED:
            m.note_nan(out)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Regular sums as vectors, others term by term, very many as the lists say at run time."""
        tables = [] if i.is_moving else [_table(e, x, i.out.count) for x in i.operands]
        if i.is_moving or not _writes_out(e, i.out, tables):
            _sums_at_run_time(e, f, i)
        elif e.width(i.out.space) > 1:

            def lanes(o: Any, w: int) -> None:
                rows = AtHand(e, f, i.out.space, o, w)
                for k in range(i.out.count):
                    _one_sum(f, rows, i, tables, k)

            e.lane_strips(f, i.out.space, lanes)
        else:
            _sums_in_parts(e, f, i, tables)
        if i.flags & NOTED:
            note_nan(e, f, i.out)

    def cost(self, i: Instruction) -> int:
        """One for each term."""
        return i.out.count * (i.shape[0] + 1) * max(1, i.shape[1])

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """A sum along an axis, or term by term."""
        n, value = i.out.count, algebra.ZERO
        lefts, rights, singles = (
            d.lists.rows(x).tolist() if x is not None else [] for x in i.operands
        )
        for some, others in ((singles, None), (lefts, rights)):
            for terms in _terms(d, i.out.space, n, some, others):
                inside, (left, *right) = _of_terms(d, i.out.space, n, terms, some, others)
                term = algebra.times(left.expr, right[0].expr) if right else left.expr
                if len(terms) > n:
                    shape = (*inside, *lanes(i.out.space))
                    term = algebra.total(term, shape, (len(inside) - 1,))
                value = algebra.plus(value, term)
        d.new(i.out, line(n), value)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Sum by sum."""
        (inner, cols), (left, right, single) = i.shape, i.operands

        def one(k: Var) -> list[str]:
            def term(j: Var) -> str:
                return c.text(single, c.at((cols, k), (1, j)), SUM + 1)

            def product(j: Var) -> str:
                place = c.at((inner, k), (1, j))
                return c.times(left, place, right, place)

            begin = [c.e.literal(0.0)] * bool(i.flags & ZERO)
            terms = [(cols, term), (inner, product)]
            return c.sum(begin, terms, lambda y: c.write(i.out, c.at((1, k)), y))

        few = i.out.count if i.out.count * (inner + cols) <= 4 * FEW else 1
        c.lines += c.each("i", i.out.count, one, few)


class Scatter(Row):
    """The rows of the operand, each times a factor if there is a second one, go to those of `out`.

    With factors row k of the operand goes to the `shape[0]` rows of `out` and of the factors from
    k * shape[0] on. What a list negates, of targets or factors, is negated.
    """

    kind, word, family = "scatter", "scatter", ""

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        times = " products" if len(i.operands) > 1 else ""
        return f"{'add' if i.adds else 'pass'} {i.out.count}{times} to rows"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row: a target may be there several times."""
        numbers = m.rows(i.operands[0])
        if i.shape:
            numbers = np.repeat(numbers, i.shape[0], axis=0)
        if len(i.operands) > 1:
            others, signs = m.rows_and_signs(i.operands[1])
            numbers = numbers * (signs * m.buffers[i.operand(1).space][others])
        m.send(i.out, numbers, i.adds)

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Where it has factors: what is not straight-line code there stores what is at hand."""
        return bool(i.shape) and e.straight(i.out.space)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Run by run, or as the lists say at run time."""
        if len(i.operands) > 1 or i.shape:
            _scatter_products(e, f, i)
            return
        (source, at), width = e.place(i.operand(0)), e.width(i.out.space)
        target = e.buffer(i.out.space)

        def move(k: Any, row: Any, count: int, signed: Signed) -> None:
            begin, to = k * width + at, row * width

            def body(o: Any, w: int, used: int) -> None:
                x = signed(f.load(source, o + begin, w, used))
                f.store(x, target, o + to, used, i.adds)

            e.flat(f, count * width, body)

        e.each_run(f, i.out, move)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """All at once, or target by target."""
        g, layout = d.arrived(i.operands[0])
        if g == algebra.ZERO:
            return
        if not i.shape:
            d.at(i.out, layout).add(g)
            return
        space, n = i.out.space & L, i.operand(0).count
        targets = d.lists.rows(i.out).tolist()
        others = d.lists.rows(i.operand(1)).tolist() if len(i.operands) > 1 else None
        for terms in _terms(d, space, n, targets, others):
            _, (target, *factor) = _of_terms(d, space, n, terms, targets, others)
            wide = len(terms) > n > 1 and len(g.shape) > len(lanes(space))
            each = algebra.index(g, (algebra.ALL, None)) if wide else g
            target.add(algebra.times(each, factor[0].expr) if factor else each)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Row by row, target by target."""
        g, factors = i.operand(0), i.operands[1] if len(i.operands) > 1 else None
        inner = i.shape[0] if i.shape else 1

        def target(k: Var, j: Var) -> list[str]:
            place = c.at((inner, k), (1, j))
            y = c.text(g, c.at((1, k)))
            y = y if factors is None else c.e.chain(y, c.read(factors, place))
            return [c.write(i.out, place, y, i.adds)]

        few = FEW if g.count <= FEW else 1
        c.lines += c.each("i", g.count, lambda k: c.each("j", inner, lambda j: target(k, j), few))


# --- writing terms of sums down as arrays ---


def _of_terms(
    d: Derive, space: int, n: int, terms: list[int], some: list[int], others: list[int] | None
) -> tuple[tuple[int, ...], list[Operand]]:
    """Rows, and perhaps others beside them, of some terms of n sums, and their layout."""
    inside = (*line(n), *([len(terms) // n] if len(terms) > n else []))
    each = [some] if others is None else [some, others]
    return inside, [d.rows.at(space, [rows[k] for k in terms], inside) for rows in each]


def _terms(
    d: Derive, space: int, n: int, lefts: list[int], rights: list[int] | None
) -> list[list[int]]:
    """How the terms of n sums are best read: term by term, or all at once."""
    count = len(lefts) // n
    if not count:
        return []
    both = (lefts, lefts if rights is None else rights)
    columns = [list(range(j, n * count, count)) for j in range(count)]
    if n == 1 and sum(d.rows.runs(space, rows) for rows in both) <= count:
        return [list(range(count))]
    cost = sum(d.rows.runs(space, [rows[k] for k in some]) for rows in both for some in columns)
    few = count <= 4 and (n == 1 or cost <= 6 * count)
    return columns if count == 1 or few else [list(range(n * count))]


# --- emitting sums ---


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


def _one_sum(f: Function, rows: AtHand, i: Instruction, tables: list[Any], k: int) -> None:
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
            _one_sum(f, AtHand(e, f, i.out.space, 0, 1), i, tables, first)
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

    def one(k: Any) -> None:
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

    f.loop(i.out.count, one)


# --- emitting scatters with factors, or with several targets for each row ---


def _scatter_products(e: Layout, f: Function, i: Instruction) -> None:
    """Emit a `scatter` of each row to several targets, times factors if there are any."""
    g, factors = i.operand(0), i.operands[1] if len(i.operands) > 1 else None
    tables = [] if i.is_moving else [_table(e, x, g.count) for x in (i.out, factors)]
    if i.is_moving or not _writes_out(e, g, tables):
        _scatter_at_run_time(e, f, i)
        return
    targets, others = tables
    if e.width(g.space) > 1:

        def lanes(o: Any, w: int) -> None:
            rows = AtHand(e, f, g.space & ~ADJOINT, o, w)
            for k in range(g.count):
                _one_scatter(rows, i, g.first + k, targets[k].tolist(), others[k].tolist())
            rows.finish()

        e.lane_strips(f, g.space, lanes)
        return
    for way, first, count in _parts(tables):
        mine, other = targets[first].tolist(), others[first].tolist()
        if way == "single":
            rows = AtHand(e, f, g.space & ~ADJOINT, 0, 1)
            _one_scatter(rows, i, g.first + first, mine, other)
            continue
        e.flush(f)
        if way == "along":
            _scatter_along(e, f, i, g.first + first, mine[0], other[0])
        else:
            moves = _moves(targets, first, count), _moves(others, first, count)
            _scatter_across(e, f, i, g.first + first, count, mine, other, moves)


def _one_scatter(
    rows: AtHand, i: Instruction, g: int, targets: list[int], others: list[int]
) -> None:
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
        f.store(y, buffer, target + o, used, i.adds)


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
            f.store(-y if negative else y, buffer, row + o, used, i.adds)
        if total is not None:
            totals.append((row, -total if negative else total))
    for (row, _), y in zip(totals, f.sums([y for _, y in totals]), strict=True):
        f.store(y, buffer, row, None, i.adds)


def _scatter_at_run_time(e: Layout, f: Function, i: Instruction) -> None:
    """Row by row, target by target, as the lists say."""
    e.flush(f)
    g, factors = i.operand(0), i.operands[1] if len(i.operands) > 1 else None
    buffer, values = e.buffer(i.out.space), e.buffer(i.out.space & ~ADJOINT)
    width, inner = e.width(g.space), i.shape[0]

    def one(k: Any) -> None:
        def body(o: Any, w: int) -> None:
            adjoint = f.load(buffer, k * width + g.first * width + o, w)

            def target(j: Any) -> None:
                row, negative = e.listed(f, k * inner + i.out.first + j)
                y = f.select(negative, -adjoint, adjoint)
                if factors is not None:
                    other, minus = e.listed(f, k * inner + factors.first + j)
                    x = f.load(values, other * width + o, w)
                    y = y * f.select(minus, -x, x)
                f.store(y, buffer, row * width + o, None, i.adds)

            f.loop(inner, target)

        e.lane_strips(f, g.space, body)

    f.loop(g.count, one)
