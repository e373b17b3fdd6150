"""What moves rows, chooses among them, or makes new ones, and computes nothing of them: copies,
repetitions in lanes and their sums, look-ups, maxima, draws, fillings and guards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compiled.blocks import SEED, STEP, Array, Instruction, L, Lists, S, View
from engine.compiled.instructions.row import Row, of_lanes, plural
from engine.compiled.native import tiles, vectormath
from engine.ops import TABLE
from engine.randomness import draw

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.emit import Function, Lanes
    from engine.compiled.native.layout import Layout

_RUNS = 600  # runs of a list up to which it is written out, rather than read at run time


class Gather(Row):
    """out = the rows of the operand, negated where a list says so."""

    kind, word, family, is_copy = "gather", "gather", "", True

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"copy {i.out.count}"

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """Copies depend on what they are of."""
        if a.is_wanted(i.operands[0]):
            a.mark(i.out)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The adjoints of the copies are added to those of the rows."""
        g = a.arrived(i.out) if a.is_wanted(i.operands[0]) else None
        if g is not None:
            assert i.operands[0] is not None
            a.add("scatter", i.operands[0], (g,))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row."""
        rows, signs = m.rows_and_signs(i.operands[0])
        m.put(m.rows(i.out), signs * m.buffers[i.out.space][rows], i.adds)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Run by run; a list of many runs is read at run time."""
        view, space = i.operands[0], i.out.space
        assert view is not None
        buffer, width = e.buffer(space), e.width(space)
        runs = e.lists.runs(view)
        if len(runs) > _RUNS:

            def one(k: Lanes) -> list[Lanes]:
                row, negative = e.listed(f, k + view.first)
                to = k * width + i.out.first * width

                def body(o: Any, w: int) -> None:
                    x = f.load(buffer, row * width + o, w)
                    f.store(f.select(negative, -x, x), buffer, to + o)

                e.lane_strips(f, space, body)
                return []

            f.loop(i.out.count, one)
            return
        out = i.out.first
        for first, sign, count in runs:
            read, to = e.operand(f, View(view.space, first, count)), out * width

            def body(o: Any, w: int, used: int) -> None:
                x = read(o, w, used)  # noqa: B023, the body is run at once
                f.store(x if sign > 0 else -x, buffer, o + to, used)  # noqa: B023

            e.flat(f, count * width, body)
            out += count


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
        rows, signs = m.rows_and_signs(i.out)
        g, target = m.rows(i.operands[0]), m.buffers[i.out.space]
        inner = i.shape[0] if i.shape else 1
        numbers = signs * np.repeat(g, inner, axis=0)
        if len(i.operands) > 1:
            others, more = m.rows_and_signs(i.operands[1])
            assert i.operands[1] is not None
            numbers = numbers * (more * m.buffers[i.operands[1].space][others])
        if i.adds:
            np.add.at(target, rows, numbers)
        else:
            target[rows] = numbers

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Where it has factors: what is not straight-line code there stores what is at hand."""
        return bool(i.shape) and e.straight(i.out.space)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Run by run, or as the lists say at run time."""
        from engine.compiled.instructions import sums

        if len(i.operands) > 1 or i.shape:
            sums.scatter_products(e, f, i)
            return
        g = i.operands[0]
        assert g is not None
        space, runs = i.out.space, e.lists.runs(i.out)
        buffer, width = e.buffer(space), e.width(space)
        if len(runs) > _RUNS:

            def one(k: Lanes) -> list[Lanes]:
                row, negative = e.listed(f, k + i.out.first)
                at = k * width + g.first * width

                def body(o: Any, w: int) -> None:
                    x = f.load(e.buffer(g.space), at + o, w)
                    x, to = f.select(negative, -x, x), row * width + o
                    f.store(f.load(buffer, to, w) + x if i.adds else x, buffer, to)

                e.lane_strips(f, space, body)
                return []

            f.loop(i.out.count, one)
            return
        first_of_g = g.first
        for first, sign, count in runs:
            at, to = first_of_g * width, first * width

            def body(o: Any, w: int, used: int) -> None:
                x = f.load(e.buffer(g.space), o + at, w, used)  # noqa: B023
                x = x if sign > 0 else -x  # noqa: B023
                if i.adds:
                    x = f.load(buffer, o + to, w, used) + x  # noqa: B023
                f.store(x, buffer, o + to, used)  # noqa: B023

            e.flat(f, count * width, body)
            first_of_g += count


class Broadcast(Row):
    """out = the rows of the operand, which are of S, repeated in every lane."""

    kind, word, family, is_copy = "broadcast", "broadcast", "", True

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"repeat {i.out.count} in every lane"

    mark = Gather.mark

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The sum over the lanes is added to the adjoint of a row."""
        g = a.arrived(i.out) if a.is_wanted(i.operands[0]) else None
        if g is not None:
            assert i.operands[0] is not None
            a.add("total", i.operands[0], (g,))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row."""
        rows, signs = m.rows_and_signs(i.operands[0])
        m.rows(i.out)[:] = signs * m.buffers[S][rows]

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Row by row of each run."""
        view = i.operands[0]
        assert view is not None
        runs = e.lists.runs(view)

        def put(x: Lanes, to: Any) -> None:
            e.lane_strips(f, L, lambda o, w: f.store(f.widened(x, w), "%vl", to + o))

        if len(runs) > _RUNS:

            def one(k: Lanes) -> list[Lanes]:
                row, negative = e.listed(f, k + view.first)
                x = f.load("%vs", row)
                put(f.select(negative, -x, x), k * e.lanes + i.out.first * e.lanes)
                return []

            f.loop(i.out.count, one)
            return
        out = i.out.first
        for first, sign, count in runs:
            constant = e.constant(View(S, first, count))

            def row(k: Any) -> None:
                x = f.load("%vs", k + first) if constant is None else f.literal(constant)  # noqa: B023
                x = x if sign > 0 else -x  # noqa: B023
                put(x, k * e.lanes + out * e.lanes)  # noqa: B023

            e.each(f, count, row)
            out += count


class Total(Row):
    """Each row of `out`, of S, gets the sum of a row of the operand over its lanes; where the
    operand has several times as many rows, of as many rows that follow each other."""

    kind, word = "total", "sums over lanes"

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many, and of how many numbers."""
        g = _given(i, 0)
        return f"{plural(i.out.count, 'sum')} of {of_lanes(g.space, g.count // i.out.count)}"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row."""
        rows, signs = m.rows_and_signs(i.out)
        sums = m.rows(i.operands[0]).reshape(i.out.count, -1).sum(axis=1, keepdims=True)
        target = m.buffers[i.out.space]
        if i.adds:
            np.add.at(target, rows, signs * sums)
        else:
            target[rows] = signs * sums

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Several sums at once, for each run."""
        g = i.operands[0]
        assert g is not None
        buffer, at = e.place(g)
        target = e.buffer(i.out.space)
        length = e.numbers(g) // i.out.count
        runs = e.lists.runs(i.out)
        if len(runs) > _RUNS:

            def one(k: Lanes) -> list[Lanes]:
                row, negative = e.listed(f, k + i.out.first)
                x = _sum_of(e, f, buffer, k * length + at, length)
                x = f.select(negative, -x, x)
                f.store(f.load(target, row) + x if i.adds else x, target, row)
                return []

            f.loop(i.out.count, one)
            return
        for first, sign, count in runs:

            def put(_: Any, column: Any, totals: Lanes, used: int) -> None:
                place = column + first  # noqa: B023
                totals = totals if sign > 0 else -totals  # noqa: B023
                if i.adds:
                    totals = f.load(target, place, totals.width, used) + totals
                f.store(totals, target, place, used)

            begin = at

            def number(k: Any, c: Any, w: int, used: int) -> Lanes:
                return f.load(buffer, k * length + begin + c, w, used, -0.0)  # noqa: B023

            tiles.reductions(e, f, 1, count, length, lambda *_: None, number, put)
            at += count * length


def _sum_of(e: Layout, f: Function, buffer: str, at: Any, length: int) -> Lanes:
    """The sum of numbers in a row."""
    found: list[Lanes] = []
    tiles.reductions(
        *(e, f, 1, 1, length, lambda *_: None),
        lambda k, c, w, used: f.load(buffer, at + c, w, used, -0.0),
        lambda i, j, x, used: found.append(x),
    )
    return found[0]


class Fill(Row):
    """out = `number`."""

    kind, word, family = "fill", "fill", ""

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


class Take(Row):
    """out = the entry that an index chooses: operands are the row of the index, and the table,
    entry after entry, each of as many rows as `out`.

    An index out of range takes the first entry; a guard refuses it later.
    """

    kind, word, family = "take", "take", ""

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"look-up of {i.out.count} among {i.shape[0]} entries"

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """The result depends on the entries, not on the index."""
        if a.is_wanted(i.operands[1]):
            a.mark(i.out)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The adjoint goes to the entry that was taken."""
        table = i.operands[1]
        assert table is not None
        if a.is_wanted(table) and (g := a.arrived(i.out)) is not None:
            a.put(table, (i.operands[0], g))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """All lanes at once."""
        m.rows(i.out)[:] = m.buffers[_given(i, 1).space][_chosen(m, i, _given(i, 1), i.out)]

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Lane by lane; where entries lie at equal distances, they are read together."""
        index, table = i.operands
        assert index is not None and table is not None
        source, to = e.buffer(table.space), e.buffer(i.out.space)

        def move(at: Any, out: Any, w: int, used: int) -> None:
            f.store(f.load(source, at, w, used), to, out, used)

        _look_up(e, f, index, table, i.out, move)


class Put(Row):
    """The rows of the operand are added to the entry of `out` that an index chooses: operands
    are as for `take`, with what is added in place of the table."""

    kind, word, family = "put", "put", ""

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"add {_given(i, 1).count} to one of {i.out.count // _given(i, 1).count} entries"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """All lanes at once."""
        g = _given(i, 1)
        np.add.at(m.buffers[i.out.space], _chosen(m, i, i.out, g), m.rows(g))

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """As for `take`."""
        index, g = i.operands
        assert index is not None and g is not None
        target, source = e.buffer(i.out.space), e.buffer(g.space)

        def move(at: Any, out: Any, w: int, used: int) -> None:
            x = f.load(target, at, w, used) + f.load(source, out, w, used)
            f.store(x, target, at, used)

        _look_up(e, f, index, i.out, g, move)


def _chosen(m: Interpreter, i: Instruction, table: View, chosen: View) -> tuple[Array, Array]:
    """Rows and columns of the entries that the lanes choose: an index counts from the end where it
    is negative, and means the first entry where there is none of it."""
    rows = m.lists.rows(table).reshape(-1, chosen.count)
    index = np.broadcast_to(m.rows(_given(i, 0))[0], m.width(chosen.space))
    there = (index >= -len(rows)) & (index < len(rows))
    entry = np.where(there, index, 0).astype(np.int64) % len(rows)
    lanes = np.arange(m.width(chosen.space)) if table.space & 1 == L else np.zeros(1, np.int64)
    return rows[entry].T, np.broadcast_to(lanes, (chosen.count, len(entry)))


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

    def one(lane: Any) -> list[Lanes]:
        buffer, at = e.place(index)
        x = f.load(buffer, lane + at if e.width(index.space) > 1 else at)
        holds = (x >= float(-length)) & (x < float(length))
        x = f.select(holds, x, 0.0)
        t = f.word_of(f.select(x < 0.0, x + float(length), x))
        to = lane + chosen.first * width
        if affine is None:

            def listed(k: Any) -> list[Lanes]:
                row = f.word("%pool", t * chosen.count + table.first + k)
                at = row * stride
                move(at + lane if stride > 1 else at, to + k * width, 1, 1)
                return []

            f.loop(chosen.count, listed)
            return []
        first, entry, number = affine
        source = t * (entry * stride) + first * stride
        source = source + lane if stride > 1 else source
        if number == stride == width == 1:
            e.flat(f, chosen.count, lambda o, w, used: move(source + o, to + o, w, used))
            return []

        def some(k: Any) -> list[Lanes]:
            move(source + k * (number * stride), to + k * width, 1, 1)
            return []

        f.loop(chosen.count, some)
        return []

    f.loop(width, one)


class Max(Row):
    """Each row of `out` is the largest of as many rows of the operand, which is a list; nan if any
    is. It has no derivative."""

    kind, word = "max", "largest"

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return f"{i.out.count} largest of {i.shape[0]}"

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Row by row, as a chain of the binary operation."""
        rows = m.lists.rows(_given(i, 0)).reshape(i.out.count, -1)
        source, out = m.buffers[i.out.space], m.rows(i.out)
        out[:] = source[rows[:, 0]]
        for j in range(1, rows.shape[1]):
            m.map("maximum", [out.copy(), source[rows[:, j]]], out)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Written out, or as the list says at run time."""
        space, view = i.out.space, _given(i, 0)
        buffer, width = e.buffer(space), e.width(space)
        inner = view.count // i.out.count

        def one(row: Any, out: Any) -> None:
            def body(o: Any, w: int) -> None:
                y = f.load(buffer, row(0) * width + o, w)

                def larger(j: Any, y: Lanes) -> list[Lanes]:
                    x = f.load(buffer, row(j + 1) * width + o, w)
                    return [vectormath.row(f, "maximum", y, x)]

                if view.count <= 2 * _RUNS:
                    for j in range(inner - 1):
                        (y,) = larger(j, y)
                else:
                    (y,) = f.loop(inner - 1, larger, [y])
                f.store(y, buffer, out * width + o)

            e.lane_strips(f, space, body)

        if view.count <= 2 * _RUNS:
            rows = e.lists.rows(view).tolist()
            for k in range(i.out.count):
                one(lambda j, k=k: rows[k * inner + j], i.out.first + k)
            return

        def some(k: Any) -> list[Lanes]:
            at = k * inner + view.first
            one(lambda j: f.word("%pool", at + j), k + i.out.first)
            return []

        f.loop(i.out.count, some)


class Draw(Row):
    """out = `randomness.draw` of the seed, the step, the example, and the call that the pool has
    for each row from place `shape[0]` on."""

    kind, word, family = "draw", "draw", ""

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

        def one(lane: Any) -> list[Lanes]:
            example = f.word(ids, e.first_lane(f, i.out.space) + lane)
            own = _stirred(f, start, example)

            def call(k: Any) -> list[Lanes]:
                z = _stirred(f, own, f.word("%pool", k + i.shape[0]))
                # The upper 53 bits, as a number in [0, 1); 24 in single precision, where 53 might
                # round to 1.
                bits, scale = (11, 2.0**-53) if f.number == "double" else (40, 2.0**-24)
                x = f.number_of(f.binary("lshr", z, bits)) * scale
                f.store(x, buffer, k * width + at + lane)
                return []

            f.loop(i.out.count, call)
            return []

        f.loop(width, one)


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

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many."""
        return plural(i.shape[1], "guard")

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Example by example."""
        for k in range(i.shape[0], i.shape[0] + i.shape[1]):
            row, order, length = m.checks[k].tolist()
            if order < m.trusted:
                continue
            numbers, expected = m.buffers[i.out.space][row], float(m.expected[k])
            for lane in range(m.counted(i.out.space)):
                x, place = float(numbers[lane]), m.start + lane
                if length:
                    holds = -length <= x < length and x == np.floor(x)
                else:  # 0.0 and -0.0 are equal, but a function may tell them apart
                    same = np.copysign(1.0, x) == np.copysign(1.0, expected)
                    holds = (x == expected and (x != 0.0 or same)) or (
                        x != x and expected != expected
                    )
                if not holds and (m.fail[place] < 0 or order < m.fail[place]):
                    m.fail[place], m.found[place] = order, x

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Check by check, lane by lane."""
        buffer, width = e.buffer(i.out.space), e.width(i.out.space)
        checks, expected = (f.pointer("%job", e.job(name)) for name in ("checks", "expected"))
        fail, found = (f.pointer("%job", e.job(name)) for name in ("fail", "found"))
        trusted, first = f.word("%job", e.job("trusted")), e.first_lane(f, i.out.space)
        counted = f.index(1) if i.out.space == S else f.given("%w")

        def check(k: Any) -> list[Lanes]:
            at = (k + i.shape[0]) * 3
            row, order, length = (f.word(checks, at + j) for j in range(3))
            number = f.load(expected, k + i.shape[0])
            f.when(f.holds("sge", order, trusted), lambda: each(row, order, length, number))
            return []

        def each(row: Lanes, order: Lanes, length: Lanes, number: Lanes) -> None:
            def lane(j: Any) -> list[Lanes]:
                x, place = f.load(buffer, row * width + j), first + j
                most = f.number_of(length)
                index = (x >= -most) & (x < most) & (f.call("floor", x) == x)
                one = f.literal(1.0)
                same = f.call("copysign", one, x) == f.call("copysign", one, number)
                equal = (x == number) & (same | (x != 0.0))
                equal = equal | ((x != x) & (number != number))
                holds = f.select(f.holds("ne", length, 0), index, equal)
                before = f.word(fail, place)
                earlier = f.holds("slt", before, 0) | f.holds("slt", order, before)

                def note() -> None:
                    f.put_word(order, fail, place)
                    f.store(x, found, place)

                f.when(~holds & earlier, note)
                return []

            f.loop(counted, lane)

        f.loop(i.shape[1], check)


def _given(i: Instruction, k: int) -> View:
    view = i.operands[k]
    assert view is not None
    return view


assert "maximum" in TABLE  # which the instruction "max" is a chain of
