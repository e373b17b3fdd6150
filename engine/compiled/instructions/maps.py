"""Operations of the scalar table: on blocks of rows, and one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.compiled.blocks import ADJOINT, NAN_SEEN, Instruction, Lists, View
from engine.compiled.instructions.row import Row, plural
from engine.compiled.native import vectormath
from engine.compiled.native.layout import AtHand, note_nan
from engine.ops import TABLE, Op

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.layout import Layout
    from engine.compiled.native.numbers import Lanes

_TOGETHER = 4  # edges that are computed in one loop


def passed(e: Layout, f: Function, op: Op, k: int, g: Lanes, numbers: Sequence[Lanes]) -> Lanes:
    """What passes to operand k, of the adjoint g, the operands and the result: g times the
    partial, nothing where the edge is cut. This is policy 3, for all that is emitted."""
    p = vectormath.partial(f, op, k, *numbers)
    cut = vectormath.cut(f, op, k, *numbers[:-1])
    if e.lists.exact:
        p = f.literal(p, g.width) if isinstance(p, float) else p
        y, nothing = vectormath.row(f, "pass_on", g, p), -0.0
    elif isinstance(p, float) and abs(p) == 1.0:
        y, nothing = (g if p == 1.0 else -g), 0.0
    else:
        y, nothing = g * p, 0.0
    return y if cut is None else f.select(cut, nothing, y)


class Map(Row):
    """out = op(operands), for the operation `name`, row by row."""

    kind = "map"

    def colour(self, i: Instruction) -> str:
        """That of the operation."""
        return TABLE[i.name].family

    def title(self, lists: Lists, i: Instruction) -> str:
        """The operation."""
        return f"{i.name} of {i.out.count}"

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """A result depends on what its operands do, but where an edge is cut everywhere."""
        cuts = TABLE[i.name].cuts
        if any(cut is not True and a.is_wanted(x) for cut, x in zip(cuts, i.operands, strict=True)):
            a.mark(i.out)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """An edge for each operand that is wanted."""
        g = a.arrived(i.out)
        if g is None:
            return
        operands = (g, *i.operands, i.out)
        for k, x in enumerate(i.operands):
            if x is not None and TABLE[i.name].cuts[k] is not True and a.is_wanted(x):
                a.add("edge", x, operands, name=i.name, shape=(k,))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Number by number."""
        m.map(i.name, [m.rows(x) for x in i.operands], m.rows(i.out))
        if i.name == "pass_on":
            m.note_nan(m.rows(i.out))

    def emits(self, e: Layout, i: Instruction) -> bool:
        """Not if the forward loops, or calls what has no counterpart."""
        return vectormath.translates(e.number, i.name)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector by vector."""
        operands = [e.operand(f, x) for x in i.operands if x is not None]
        buffer, out = e.place(i.out)

        def body(o: Any, w: int, used: int) -> None:
            y = vectormath.row(f, i.name, *[x(o, w, used) for x in operands])
            f.store(y, buffer, o + out, used)

        e.flat(f, e.numbers(i.out), body)
        if i.name == "pass_on":
            note_nan(e, f, i.out)


class Edge(Row):
    """What passes from a map's result to its operand `shape[0]`: operands are the adjoint of the
    result, the map's operands, and its result."""

    kind = "edge"
    colour = Map.colour

    def named(self, i: Instruction) -> str:
        """The operation."""
        return f"back through {i.name}"

    def title(self, lists: Lists, i: Instruction) -> str:
        """The operation, and which of several operands."""
        to = f", to operand {i.shape[0] + 1}" if TABLE[i.name].arity > 1 else ""
        return f"back through {i.name} of {i.out.count}{to}"

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The adjoint; the numbers, if the partial depends on them, or where the edge is cut."""
        op, k = TABLE[i.name], i.shape[0]
        plain = not callable(op.partials[k]) and isinstance(op.cuts[k], bool)
        yield from (x for x in i.operands[: 1 if plain else None] if x is not None)

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Number by number."""
        g, *numbers = (m.rows(x) for x in i.operands)
        m.edge(i.name, i.shape[0], g, numbers, m.rows(i.out), i.adds)

    def emits(self, e: Layout, i: Instruction) -> bool:
        """As its map."""
        return vectormath.translates(e.number, i.name)

    def fuses(self, some: Sequence[Instruction], i: Instruction) -> bool:
        """Edges of one map, to rows that are not the same."""
        return len(some) < _TOGETHER and all(
            i.operands == other.operands and abs(i.out.first - other.out.first) >= i.out.count
            for other in some
        )

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector by vector, several edges at once."""
        op = TABLE[i.name]
        given = [e.operand(f, x) for x in i.operands if x is not None]

        def body(o: Any, w: int, used: int) -> None:
            g, *numbers = (x(o, w, used) for x in given)
            for each in (i, *more):
                y = passed(e, f, op, each.shape[0], g, numbers)
                buffer, out = e.place(each.out)
                if each.adds:
                    y = f.load(buffer, o + out, w, used) + y
                f.store(y, buffer, o + out, used)

        e.flat(f, e.numbers(i.out), body)


class Segment(Row):
    """`shape[1]` operations on single rows, from place `shape[0]` of the segments on."""

    kind, word, family = "segment", "tape", ""

    def title(self, lists: Lists, i: Instruction) -> str:
        """How long it is."""
        return f"tape of {plural(i.shape[1], 'operation')}"

    def writes(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The results of its operations, which follow each other."""
        yield View(i.out.space, int(lists.segments.out[i.shape[0]]), i.shape[1])

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The operands of each operation."""
        columns = (lists.segments.a, lists.segments.b, lists.segments.c)
        table = _rows_by_code()
        for k in _places(i):
            arity = table[lists.segments.code[k]].arity
            yield from (View(i.out.space, int(column[k]), 1) for column in columns[:arity])

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """Row by row; which operands are wanted is noted for `adjoint`."""
        depends, steps = a.depends[i.out.space], a.made.steps
        passing = [
            [(k, 1 << k) for k, cut in enumerate(op.cuts) if cut is not True]
            for op in _rows_by_code()
        ]
        for k, code, out, *operands in _operations(a.lists, i):
            flags = 0
            for j, bit in passing[code]:
                if depends[operands[j]]:
                    flags |= bit
            if flags:
                depends[out] = 1
                steps[k] = flags

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The operations at whose results something arrives, from the last to the first."""
        written, steps = a.written[i.out.space], a.made.steps
        some = False
        for k, _, out, *operands in reversed(list(_operations(a.lists, i))):
            flags = int(steps[k])
            if not flags:
                continue
            if not written[out]:
                steps[k] = 0
                continue
            some = True
            for j in range(3):
                if flags >> j & 1:
                    if written[operands[j]]:
                        flags |= 8 << j
                    written[operands[j]] = 1
            steps[k] = flags
        if some:
            a.append(i._replace(kind="segment_back", out=i.out.adjoint))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Operation by operation."""
        values, table = m.buffers[i.out.space], _rows_by_code()
        for _, code, out, *operands in _operations(m.lists, i):
            op = table[code]
            numbers = [values[x : x + 1] for x in operands[: op.arity]]
            m.map(op.name, numbers, values[out : out + 1])
            if op.name == "pass_on":
                m.note_nan(values[out])

    def emits(self, e: Layout, i: Instruction) -> bool:
        """If each of its operations can be."""
        table = _rows_by_code()
        return all(vectormath.translates(e.number, table[k].name) for k in _codes(e.lists, i))

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Where it is written out, and the lanes are one vector."""
        return e.writes_out(i) and e.straight(i.out.space)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Written out one after the other, or a loop over the columns."""
        if e.writes_out(i):
            self._write_out(e, f, i)
            return
        space = i.out.space
        buffer, width = e.buffer(space), e.width(space)
        table = _rows_by_code()

        def operation(k: Lanes) -> list[Lanes]:
            at = (k + i.shape[0]) * WORDS
            out, *rows = (f.operation_word(at + 1 + j) * width for j in range(4))

            def case(op: Op) -> Callable[[], None]:
                def body(o: Any, w: int) -> None:
                    given = [f.load(buffer, row + o, w) for row in rows[: op.arity]]
                    y = vectormath.row(f, op.name, *given)
                    f.store(y, buffer, out + o)
                    if op.name == "pass_on":
                        f.note_nan(y, NAN_SEEN)

                return lambda: e.lane_strips(f, space, body)

            cases = {code: case(table[code]) for code in sorted(_codes(e.lists, i))}
            f.switch(f.operation_word(at), cases)
            return []

        f.loop(i.shape[1], operation)

    def _write_out(self, e: Layout, f: Function, i: Instruction) -> None:
        table = _rows_by_code()

        def body(o: Any, w: int) -> None:
            rows = AtHand(e, f, i.out.space, o, w)
            for _, code, out, *operands in _operations(e.lists, i):
                op = table[code]
                y = vectormath.row(f, op.name, *map(rows.read, operands[: op.arity]))
                rows.write(out, y)
                if op.name == "pass_on":
                    f.note_nan(y, NAN_SEEN)

        e.lane_strips(f, i.out.space, body)


class SegmentBack(Row):
    """The edges of a segment's operations, from the last to the first, as `Backward.steps` say."""

    kind, word, family = "segment_back", "back through tape", ""

    def title(self, lists: Lists, i: Instruction) -> str:
        """How long it is."""
        return f"back through tape of {plural(i.shape[1], 'operation')}"

    def writes(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The adjoints of the operands, as far as they are asked for."""
        space = i.out.space & ~ADJOINT
        segment = i._replace(out=i.out._replace(space=space))
        yield from (view.adjoint for view in Segment().reads(lists, segment))

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The adjoint of each result, and what its edges are computed of."""
        space = i.out.space & ~ADJOINT
        for k in _places(i):
            out = View(space, int(lists.segments.out[k]), 1)
            yield from (out, out.adjoint)
        yield from Segment().reads(lists, i._replace(out=i.out._replace(space=space)))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Edge by edge."""
        values, adjoints = m.buffers[i.out.space & ~ADJOINT], m.buffers[i.out.space]
        table = _rows_by_code()
        for k, code, out, *operands in reversed(list(_operations(m.lists, i))):
            op, flags = table[code], int(m.steps[k])
            numbers = [values[x : x + 1] for x in (*operands[: op.arity], out)]
            for j in range(op.arity):
                if flags >> j & 1:
                    x = operands[j]
                    given = (adjoints[out : out + 1], numbers, adjoints[x : x + 1])
                    m.edge(op.name, j, *given, bool(flags >> j & 8))

    def emits(self, e: Layout, i: Instruction) -> bool:
        """As its segment."""
        return Segment().emits(e, i)

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Where it is written out, and the lanes are one vector."""
        return e.writes_out(i) and e.straight(i.out.space)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Written out one after the other, or a loop over the columns."""
        if e.writes_out(i):
            self._write_out(e, f, i)
            return
        space = i.out.space & ~ADJOINT
        values, adjoints, width = e.buffer(space), e.buffer(i.out.space), e.width(space)
        places = _places(i)
        codes = e.lists.segments.code[places.start : places.stop]
        active = e.steps[places.start : places.stop] != 0
        table = _rows_by_code()
        last = places.stop - 1

        def operation(k: Lanes) -> list[Lanes]:
            at = f.binary("sub", f.index(last), k) * WORDS
            out, *rows = (f.operation_word(at + 1 + j) * width for j in range(4))
            flags = f.operation_word(at + 5)

            def case(op: Op) -> Callable[[], None]:
                return lambda: e.lane_strips(
                    f, space, lambda o, w: edges(op, flags, out, rows, o, w)
                )

            cases = {code: case(table[code]) for code in sorted({*codes[active].tolist()})}
            live = f.holds("ne", flags, 0)
            f.when(live, lambda: f.switch(f.operation_word(at), cases))
            return []

        def edges(op: Op, flags: Lanes, out: Any, rows: Any, o: Any, w: int) -> None:
            for j, cut in enumerate(op.cuts):
                if cut is True:
                    continue

                def edge(j: int = j) -> None:
                    g = f.load(adjoints, out + o, w)
                    given = [f.load(values, row + o, w) for row in (*rows[: op.arity], out)]
                    y = passed(e, f, op, j, g, given)
                    before = f.load(adjoints, rows[j] + o, w)
                    adds = f.holds("ne", f.binary("and", flags, 8 << j), 0)
                    f.store(f.select(adds, before + y, y), adjoints, rows[j] + o)

                f.when(f.holds("ne", f.binary("and", flags, 1 << j), 0), edge)

        f.loop(i.shape[1], operation)

    def _write_out(self, e: Layout, f: Function, i: Instruction) -> None:
        table = _rows_by_code()

        def body(o: Any, w: int) -> None:
            rows = AtHand(e, f, i.out.space & ~ADJOINT, o, w)
            for k, code, out, *operands in reversed(list(_operations(e.lists, i))):
                flags = int(e.steps[k])
                if not flags:
                    continue
                op, g = table[code], rows.arrived(out, last=True)
                numbers = [*map(rows.read, operands[: op.arity]), rows.read(out)]
                for j, row in enumerate(operands[: op.arity]):
                    if flags >> j & 1:
                        rows.add(row, passed(e, f, op, j, g, numbers), bool(flags >> j & 8))
            rows.finish()

        e.lane_strips(f, i.out.space & ~ADJOINT, body)


WORDS = 6  # of an operation, as the loop over segments reads them: columns, and its steps


def _places(i: Instruction) -> range:
    return range(i.shape[0], i.shape[0] + i.shape[1])


def _operations(lists: Lists, i: Instruction) -> Iterator[tuple[int, ...]]:
    """Place, code, out, a, b and c of each operation."""
    s, places = lists.segments, _places(i)
    columns = [x[places.start : places.stop].tolist() for x in (s.code, s.out, s.a, s.b, s.c)]
    return zip(places, *columns, strict=True)


def _codes(lists: Lists, i: Instruction) -> set[int]:
    """The operations that occur in a segment."""
    places = _places(i)
    return {*lists.segments.code[places.start : places.stop].tolist()}


def _rows_by_code() -> list[Op]:
    """The scalar table as segments number it."""
    return list(TABLE.values())
