"""What moves rows, chooses among them, or makes new ones, and computes nothing of them: copies,
repetitions in lanes and their sums, look-ups, maxima, draws, fillings and guards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compiled.blocks import SEED, STEP, Array, Instruction, L, Lists, S, View
from engine.compiled.instructions.row import Row, of_lanes, plural
from engine.compiled.native import tiles, vectormath
from engine.compiled.native.layout import RUNS, Layout, Signed
from engine.compiled.writing import algebra
from engine.compiled.writing.arrays import Operand, Statement, lanes, line
from engine.compiled.writing.c_formulas import Index, Var, block
from engine.compiled.writing.writer import SUM
from engine.randomness import draw

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.numbers import Lanes
    from engine.compiled.source.c_statements import Section
    from engine.compiled.source.derive import Derive


class Gather(Row):
    """out = the rows of the operand, negated where a list says so."""

    kind, word, family, is_copy = "gather", "gather", "", True
    back = "scatter"  # how adjoints of copies are added to those of the rows

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"copy {i.out.count}"

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The adjoints of the copies are added to those of the rows."""
        g = a.arrived(i.out) if a.is_wanted(i.operands[0]) else None
        if g is not None:
            a.add(self.back, i.operand(0), (g,))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row."""
        rows, signs = m.rows_and_signs(i.operands[0])
        m.rows(i.out)[:] = signs * m.buffers[i.operand(0).space][rows]

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Run by run."""
        space = i.out.space
        buffer, width = e.buffer(space), e.width(space)

        def copy(k: Any, row: Any, count: int, signed: Signed) -> None:
            read, to = e.operand(f, View(space, row, count)), (k + i.out.first) * width

            def body(o: Any, w: int, used: int) -> None:
                f.store(signed(read(o, w, used)), buffer, o + to, used)

            e.flat(f, count * width, body)

        e.each_run(f, i.operand(0), copy)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """The same array, or a part of it, in the layout that it has."""
        d.new(i.out, *_copied(d, i))

    def in_c(self, c: Section, i: Instruction) -> None:
        """Row by row."""
        c.row_by_row(i.out, lambda k: c.text(i.operands[0], k))


class Broadcast(Gather):
    """out = the rows of the operand, which are of S, repeated in every lane: so the sum over the
    lanes is added to the adjoint of a row."""

    kind, word, back = "broadcast", "broadcast", "total"

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"repeat {i.out.count} in every lane"

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Row by row of each run."""

        def repeat(k: Any, row: Any, count: int, signed: Signed) -> None:
            constant = e.constant(View(S, row, count))

            def one(j: Any) -> None:
                x = f.load(e.buffer(S), j + row) if constant is None else f.literal(constant)
                to = (j + k + i.out.first) * e.lanes
                e.lane_strips(
                    f, L, lambda o, w: f.store(f.widened(signed(x), w), e.buffer(L), to + o)
                )

            e.each(f, count, one)

        e.each_run(f, i.operand(0), repeat)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """A copy with an axis for the lanes, where that is needed to tell it from others."""
        layout, value = _copied(d, i)
        if layout and len(value.shape) == len(layout):
            value = algebra.index(value, (*[algebra.ALL] * len(layout), None))
        d.new(i.out, layout, value)


def _copied(d: Derive, i: Instruction) -> tuple[tuple[int, ...], algebra.Expr]:
    """The layout and the value of rows that are copied."""
    source = i.operand(0)
    layout = (None if source.listed else d.layout_of(source)) or line(i.out.count)
    return layout, d.at(source, layout).expr


class Total(Row):
    """Each row of `out`, of S, gets the sum of a row of the operand over its lanes; where the
    operand has several times as many rows, of as many rows that follow each other."""

    kind, word = "total", "sums over lanes"

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many, and of how many numbers."""
        g = i.operand(0)
        return f"{plural(i.out.count, 'sum')} of {of_lanes(g.space, g.count // i.out.count)}"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row."""
        terms = m.rows(i.operands[0]).reshape(i.out.count, -1)
        sums = terms.sum(axis=1, keepdims=True, initial=-0.0)  # of nothing there is nothing
        m.send(i.out, sums, i.adds)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Several sums at once, for each run."""
        (buffer, at), target = e.place(i.operand(0)), e.buffer(i.out.space)
        length = e.numbers(i.operand(0)) // i.out.count

        def add_up(k: Any, row: Any, count: int, signed: Signed) -> None:
            begin = k * length + at
            tiles.reductions(
                *(e, f, 1, count, length, lambda _: None),
                lambda j: f.row(buffer, j * length + begin, -0.0),
                lambda _, j, x, used: f.store(signed(x), target, j + row, used, i.adds),
            )

        e.each_run(f, i.out, add_up)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """Sums along the lanes, and the axes that the operand has more."""
        g, layout = d.arrived(i.operands[0])
        if g != algebra.ZERO:
            terms = i.operand(0)
            kept = layout if terms.count == i.out.count else layout[:1]
            shape = (*layout, *lanes(terms.space))
            d.at(i.out, kept).add(algebra.total(g, shape, range(len(kept), len(shape))))

    def in_c(self, c: Section, i: Instruction) -> None:
        """Row by row: an example has one lane."""
        g, n = i.operand(0), i.out.count
        per = g.count // n
        c.lines += c.each(
            "i",
            n,
            lambda k: c.sum(
                [],
                [(per, lambda j: c.text(g, c.at((per, k), (1, j)), SUM + 1))],
                lambda y: c.write(i.out, c.at((1, k)), y, i.adds),
            ),
        )


class Fill(Row):
    """out = `number`."""

    kind, word, family, is_start = "fill", "fill", "", True

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"fill {i.out.count} with {i.number:g}"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """All at once."""
        m.rows(i.out)[:] = i.number

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector by vector."""
        buffer, out = e.place(i.out)
        e.flat(
            f,
            e.numbers(i.out),
            lambda o, w, used: f.store(f.literal(i.number, w), buffer, o + out, used),
        )

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """Zeros, that something is added to: only sums are written down."""

    def in_c(self, c: Section, i: Instruction) -> None:
        """Row by row."""
        c.row_by_row(i.out, lambda _: c.e.literal(i.number))


class Take(Row):
    """out = the entry that an index chooses: operands are the row of the index, and the table,
    entry after entry, each of as many rows as `out`.

    An index out of range takes the first entry; a guard refuses it later.
    """

    kind, word, family = "take", "take", ""
    moves = False

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"look-up of {i.out.count} among {i.shape[0]} entries"

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """The result depends on the entries, not on the index."""
        if a.is_wanted(i.operands[1]):
            a.mark(i.out)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The adjoint goes to the entry that was taken."""
        table = i.operand(1)
        if a.is_wanted(table) and (g := a.arrived(i.out)) is not None:
            a.put(table, (i.operands[0], g))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """All lanes at once."""
        m.rows(i.out)[:] = m.buffers[i.operand(1).space][_chosen(m, i, i.operand(1), i.out)]

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Lane by lane; where entries lie at equal distances, they are read together."""
        index, table = i.operand(0), i.operand(1)
        source, to = e.buffer(table.space), e.buffer(i.out.space)

        def move(at: Any, out: Any, w: int, used: int) -> None:
            f.store(f.load(source, at, w, used), to, out, used)

        _look_up(e, f, index, table, i.out, move)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """Entries of the table, by the index; by that and the lanes where each has a table."""
        place, table, shape, own = _table_of(d, i.operand(0), i.operand(1), i.out.count)
        layout = line(i.out.count)
        in_lanes = place.shape == (algebra.LANES,)
        rest = shape[1 + len(layout) :] if not own else ()
        parts = (algebra.full(table.expr, shape), place, own)
        value = algebra.Expr("lookup", parts, (*place.shape, *layout, *rest))
        d.new(i.out, layout, algebra.transposed(value) if in_lanes and layout else value)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Number by number."""
        table = i.operand(1)
        _chosen_in_c(c, i, table, i.out, lambda k, t: c.write(i.out, k, c.text(table, t)))


class Put(Row):
    """The rows of the operand are added to the entry of `out` that an index chooses: operands
    are as for `take`, with what is added in place of the table."""

    kind, word, family = "put", "put", ""
    moves = False

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"add {i.operand(1).count} to one of {i.out.count // i.operand(1).count} entries"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """All lanes at once."""
        g = i.operand(1)
        target, (rows, lanes) = m.buffers[i.out.space], _chosen(m, i, i.out, g)
        if m.width(g.space) > len(lanes):  # several lanes may choose the same number
            np.add.at(target, (rows, lanes), m.rows(g))
            return
        for own, x in zip(rows, m.rows(g), strict=True):
            target[own, lanes] += x

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """As for `take`."""
        index, g = i.operand(0), i.operand(1)
        target, source = e.buffer(i.out.space), e.buffer(g.space)

        def move(at: Any, out: Any, w: int, used: int) -> None:
            f.store(f.load(source, out, w, used), target, at, used, adds=True)

        _look_up(e, f, index, i.out, g, move)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """An array of zeros to which the operand is added where the index says, added in turn."""
        g, layout = d.arrived(i.operands[1])
        if g == algebra.ZERO:
            return
        added_rows = i.operand(1)
        place, table, shape, own = _table_of(d, i.operand(0), i.out, added_rows.count)
        in_lanes = place.shape == (algebra.LANES,)
        g = algebra.full(g, (*layout, *lanes(added_rows.space)))
        g = algebra.transposed(g) if in_lanes and layout else g
        target = d.rows.fresh(shape)
        rest = (algebra.ALL,) * (len(layout) if own else 0)
        selection = (place, *rest, algebra.Expr("lanes", (), (algebra.LANES,))) if own else (place,)
        zeros = Statement(target, algebra.Expr("zeros", (), shape), "adjoint")
        added = Statement(target, g, "adjoint", selection=selection, repeated=in_lanes and not own)
        d.rows.statements += [zeros, added]
        table.add(target)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Number by number."""
        g = i.operand(1)
        _chosen_in_c(c, i, i.out, g, lambda k, t: c.write(i.out, t, c.text(g, k), adds=True))


def _table_of(
    d: Derive, index: View, entries: View, n: int
) -> tuple[algebra.Expr, Operand, algebra.Shape, bool]:
    """The index, the table, its shape, and whether each example has one of its own."""
    place = algebra.Expr("whole", (d.at(index, ()).expr,), lanes(index.space))
    layout = (entries.count // n, *line(n))
    own = index.space == L == entries.space & L
    shape = (*layout, *lanes(entries.space))
    return d.rows.emit(place, "index"), d.at(entries, layout), shape, own


def _chosen_in_c(
    c: Section, i: Instruction, table: View, chosen: View, move: Callable[[Index, Index], str]
) -> None:
    """Statements move(row, entry) for the numbers that an index chooses."""
    n, index = chosen.count, c.text(i.operands[0], c.at())
    moves = c.each("i", n, lambda k: [move(c.at((1, k)), c.at((n, "t"), (1, k)))])
    head = f"const int t = {c.e.helper('entry')}({index}, {table.count // n});"
    c.lines += block([head, *moves])


def _chosen(m: Interpreter, i: Instruction, table: View, chosen: View) -> tuple[Array, Array]:
    """Rows and columns of the entries that the lanes choose: an index counts from the end where it
    is negative, and means the first entry where there is none of it."""
    rows = m.once(i, lambda: m.lists.rows(table).reshape(-1, chosen.count))
    index = m.rows(i.operand(0))[0]
    there = (index >= -len(rows)) & (index < len(rows))
    entry = np.where(there, index, 0).astype(np.int64) % len(rows)
    return rows[entry].T, np.arange(m.width(table.space))


def _affine(e: Layout, table: View, count: int) -> tuple[int, int, int] | None:
    """(first, entry, number): row first + t * entry + k * number has number k of entry t; or
    None if a table is not so regular."""
    rows = e.lists.rows(table).reshape(-1, count)
    first = int(rows[0, 0])
    entry = int(rows[1, 0]) - first if len(rows) > 1 else 0
    number = int(rows[0, 1]) - first if count > 1 else 1
    expected = first + entry * np.arange(len(rows))[:, None] + number * np.arange(count)
    return (first, entry, number) if (rows == expected).all() else None


def _look_up(
    e: Layout,
    f: Function,
    index: View,
    table: View,
    chosen: View,
    move: Callable[[Any, Any, int, int], None],
) -> None:
    """Run move(entry, row, width, used) for the numbers that each lane chooses: where they are in
    the table's buffer, and where in that of `chosen`."""
    length = table.count // chosen.count
    width, stride = e.width(chosen.space), e.width(table.space)
    affine = _affine(e, table, chosen.count)

    def one(lane: Any) -> None:
        buffer, at = e.place(index)
        x = f.load(buffer, lane + at if e.width(index.space) > 1 else at)
        holds = (x >= float(-length)) & (x < float(length))
        x = f.select(holds, x, 0.0)
        t = f.word_of(f.select(x < 0.0, x + float(length), x))
        to = lane + chosen.first * width
        if affine is None:

            def listed(k: Any) -> None:
                at = f.word("%pool", t * chosen.count + table.first + k) * stride
                move(at + lane if stride > 1 else at, to + k * width, 1, 1)

            f.loop(chosen.count, listed)
            return
        first, entry, number = affine
        source = t * (entry * stride) + first * stride
        source = source + lane if stride > 1 else source
        if number == stride == width == 1:
            e.flat(f, chosen.count, lambda o, w, used: move(source + o, to + o, w, used))
            return
        step = number * stride
        f.loop(chosen.count, lambda k: move(source + k * step, to + k * width, 1, 1))

    f.loop(width, one)


class Max(Row):
    """Each row of `out` is the largest of as many rows of the operand, which is a list; nan if any
    is."""

    kind, word = "max", "largest"

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"{i.out.count} largest of {i.shape[0]}"

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """It has no derivative."""

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row, as a chain of the binary operation."""
        rows = m.lists.rows(i.operand(0)).reshape(i.out.count, -1)
        m.fold("maximum", m.buffers[i.out.space], rows, m.rows(i.out))

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Written out, or as the list says at run time."""
        space, view = i.out.space, i.operand(0)
        buffer, width = e.buffer(space), e.width(space)
        inner, written = view.count // i.out.count, view.count <= 2 * RUNS and not i.is_moving
        rows = e.lists.rows(view).tolist() if written else []

        def row(place: Any) -> Any:
            return (rows[place] if written else f.word("%pool", place + view.first)) * width

        def one(k: Any) -> None:
            def body(o: Any, w: int) -> None:
                def larger(j: Any, y: Lanes) -> list[Lanes]:
                    x = f.load(buffer, row(k * inner + j + 1) + o, w)
                    return [vectormath.row(f, "maximum", y, x)]

                first = f.load(buffer, row(k * inner) + o, w)
                (y,) = f.loop(inner - 1, larger, [first], unrolled=written)
                f.store(y, buffer, (k + i.out.first) * width + o)

            e.lane_strips(f, space, body)

        f.loop(i.out.count, one, unrolled=written)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """The largest along an axis."""
        layout = line(i.out.count)
        shape = (*layout, *i.shape, *lanes(i.out.space))
        given = algebra.full(d.at(i.operands[0], (*layout, *i.shape)).expr, shape)
        d.new(i.out, layout, algebra.largest(given, len(layout)))

    def in_c(self, c: Section, i: Instruction) -> None:
        """Row by row, as a chain of the binary operation."""
        source, larger = i.operand(0), c.e.function("maximum")
        inner = i.shape[0]

        def more(k: Var, j: Var) -> str:
            return f"y = {larger}(y, {c.text(source, c.at((inner, k), (1, j), (1, 1)))});"

        def one(k: Var) -> list[str]:
            first = f"{c.e.real} y = {c.text(source, c.at((inner, k)))};"
            rest = c.each("j", inner - 1, lambda j: [more(k, j)], 1)
            return block([first, *rest, c.write(i.out, c.at((1, k)), "y")])

        c.lines += c.each("i", i.out.count, one)


class Draw(Row):
    """out = `randomness.draw` of the seed, the step, the example, and the call that the pool has
    for each row from place `shape[0]` on."""

    kind, word, family = "draw", "draw", ""
    moves = False

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return plural(i.out.count, "draw")

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """No rows."""
        yield from ()

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Number by number."""
        out, calls = m.rows(i.out), m.lists.pool[i.shape[0] : i.shape[0] + i.out.count]
        seed, step = (int(m.lists.pool[k]) for k in (SEED, STEP))
        for lane in range(out.shape[1]):
            example = int(m.ids[m.start + lane]) if m.start + lane < len(m.ids) else 0
            out[:, lane] = [draw(seed, step, example, int(call)) for call in calls]

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Number by number."""
        width, (buffer, at) = e.width(i.out.space), e.place(i.out)
        zero = f.index(0)
        start = _stirred(f, _stirred(f, zero, f.word("%pool", SEED)), f.word("%pool", STEP))
        ids = f.pointer("%job", e.job("ids"))

        def one(lane: Any) -> None:
            example = f.word(ids, e.first_lane(f, i.out.space) + lane)
            own = _stirred(f, start, example)

            def call(k: Any) -> None:
                z = _stirred(f, own, f.word("%pool", k + i.shape[0]))
                # The upper 53 bits, as a number in [0, 1); 24 in single precision, where 53 might
                # round to 1.
                bits, scale = (11, 2.0**-53) if f.number == "double" else (40, 2.0**-24)
                x = f.number_of(f.binary("lshr", z, bits)) * scale
                f.store(x, buffer, k * width + at + lane)

            f.loop(i.out.count, call)

        f.loop(width, one)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """Numbers of an input: the caller draws them."""
        for k in range(i.out.count):
            call = int(d.lists.pool[i.shape[0] + k])
            d.rows.places[i.out.space][i.out.first + k] = (d.of_input["draws"], call)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Number by number."""
        c.draws, draw = True, c.e.helper("draw")
        for k in range(i.out.count):
            call = int(c.lists.pool[i.shape[0] + k])
            c.lines.append(c.write(i.out, c.at((1, k)), f"{draw}(seed, step, example, {call}ULL)"))


def _stirred(f: Function, z: Any, counter: Lanes) -> Lanes:
    """`randomness.mix` of z and a counter: 64 bits wrap around, as the hash wants."""
    z = f.binary("plus", f.binary("xor", z, counter), -7046029254386353131)
    z = f.binary("times", f.binary("xor", z, f.binary("lshr", z, 30)), -4658895280553007687)
    z = f.binary("times", f.binary("xor", z, f.binary("lshr", z, 27)), -7723592293110705685)
    return f.binary("xor", z, f.binary("lshr", z, 31))


class Guard(Row):
    """The checks of a space, `shape[1]` from place `shape[0]` on: each notes for the examples at
    hand, unless one before it did, that its row is not the number or index that was traced."""

    kind, word, family = "guard", "guard", "custom"
    moves = False

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return plural(i.shape[1], "guard")

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Check by check, and for those examples for which one fails."""
        for k in range(i.shape[0], i.shape[0] + i.shape[1]):
            row, order, length = m.checks[k].tolist()
            if order < m.trusted:
                continue
            x = m.buffers[i.out.space][row, : m.counted(i.out.space)]
            expected = float(m.expected[k])
            if length:
                holds = (x >= -length) & (x < length) & (x == np.floor(x))
            elif expected == 0.0:  # 0.0 and -0.0 are equal, but a function may tell them apart
                holds = (x == 0.0) & (np.signbit(x) == np.signbit(expected))
            else:
                holds = x == expected if expected == expected else x != x
            for lane in np.flatnonzero(~holds).tolist():
                place = m.start + lane
                if m.fail[place] < 0 or order < m.fail[place]:
                    m.fail[place], m.found[place] = order, x[lane]

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Check by check: lane by lane only where one of all lanes fails."""
        buffer, width = e.buffer(i.out.space), e.width(i.out.space)
        checks, expected = (f.pointer("%job", e.job(name)) for name in ("checks", "expected"))
        fail, found = (f.pointer("%job", e.job(name)) for name in ("fail", "found"))
        trusted, first = f.word("%job", e.job("trusted")), e.first_lane(f, i.out.space)
        counted = f.index(1) if i.out.space == S else f.given("%w")

        def check(k: Any) -> None:
            at = (k + i.shape[0]) * 3
            row, order, length = (f.word(checks, at + j) for j in range(3))
            number = f.load(expected, k + i.shape[0])
            f.when(f.holds("sge", order, trusted), lambda: each(row, order, length, number))

        def holds_for(x: Lanes, length: Lanes, number: Lanes) -> Lanes:
            w = x.width
            most, number = f.widened(f.number_of(length), w), f.widened(number, w)
            index = (x >= -most) & (x < most) & (f.call("floor", x) == x)
            one = f.literal(1.0, w)
            same = f.call("copysign", one, x) == f.call("copysign", one, number)
            equal = (x == number) & (same | (x != 0.0))
            equal = equal | ((x != x) & (number != number))
            return f.select(f.widened(f.holds("ne", length, 0), w), index, equal)

        def each(row: Lanes, order: Lanes, length: Lanes, number: Lanes) -> None:
            vector = min(width, e.vector)

            def some(o: Any, fails: Lanes) -> list[Lanes]:
                x = f.load(buffer, row * width + o, vector)
                return [f.whole(f.any(~holds_for(x, length, number)), 1, fails)]

            (fails,) = f.loop(width, some, [f.index(0)], step=vector)
            f.when(f.holds("ne", fails, 0), lambda: lane_by_lane(row, order, length, number))

        def lane_by_lane(row: Lanes, order: Lanes, length: Lanes, number: Lanes) -> None:
            def lane(j: Any) -> None:
                x, place = f.load(buffer, row * width + j), first + j
                holds = holds_for(x, length, number)
                before = f.word(fail, place)
                earlier = f.holds("slt", before, 0) | f.holds("slt", order, before)

                def note() -> None:
                    f.put_word(order, fail, place)
                    f.store(x, found, place)

                f.when(~holds & earlier, note)

            f.loop(counted, lane)

        f.loop(i.shape[1], check)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """Checks are written at the end of a text, with their numbers."""

    def in_c(self, c: Section, i: Instruction) -> None:
        """Checks are written at the end of a section, with their numbers."""
