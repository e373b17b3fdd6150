"""Operations of the scalar table on single rows, one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compiled.blocks import ADJOINT, NAN_SEEN, Array, Instruction, L, Lists, View, runs_of
from engine.compiled.columns import coded
from engine.compiled.instructions.maps import passed
from engine.compiled.instructions.row import Row, plural
from engine.compiled.native import vectormath
from engine.compiled.native.layout import AtHand
from engine.compiled.sequential import Bytes, Ints, PlainLoop, is_worth_it, loop
from engine.ops import TABLE, Op

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.layout import Layout
    from engine.compiled.native.numbers import Lanes
    from engine.compiled.source.derive import Derive


class _Operations(Row):
    """Operations on single rows: written out one after the other, or a loop over the columns. Its
    parts are maps, or edges, of one row."""

    moves = False

    def run(self, m: Interpreter, i: Instruction) -> None:
        """One after the other."""
        m.run_parts(i)

    def emits(self, e: Layout, i: Instruction) -> bool:
        """If each of the operations can be."""
        table = _rows_by_code()
        return all(vectormath.translates(e.number, table[k].name) for k in _codes(e.lists, i))

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Where it is written out, and the lanes are one vector."""
        return not self.is_loop and e.writes_out and e.straight(i.out.space)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """In the way that the layout says."""
        (self._write_out if e.writes_out else self._loop)(e, f, i)

    @abstractmethod
    def _write_out(self, e: Layout, f: Function, i: Instruction) -> None:
        """One after the other, with rows at hand."""

    @abstractmethod
    def _loop(self, e: Layout, f: Function, i: Instruction) -> None:
        """A loop that reads the columns at run time."""


class Segment(_Operations):
    """`shape[1]` operations on single rows, from place `shape[0]` of the segments on."""

    kind, word, family = "segment", "tape", ""

    def title(self, lists: Lists, i: Instruction) -> str:
        """How long it is."""
        return f"tape of {plural(i.shape[1], 'operation')}"

    def writes(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The results of its operations; rows of constants may lie between them."""
        for first, _, count in runs_of(lists.segments.out[_at(i)]):
            yield View(i.out.space, first, count)

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The operands of each operation."""
        for _, _, _, operands in _each(lists, i):
            yield from operands

    def note_read(self, e: Layout, i: Instruction, read: tuple[Array, Array]) -> None:
        """The operands of all operations at once."""
        _note_operands(e.lists, i, read, slice(None))

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """Row by row; which operands are wanted is noted for `adjoint`."""
        table = [
            sum(1 << k for k, cut in enumerate(op.cuts) if cut is not True)
            for op in _rows_by_code()
        ]
        _over(_mark, a, i, a.depends[i.out.space], table)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The operations at whose results something arrives, from the last to the first."""
        if over_arrivals(a, i):
            a.append(i._replace(kind="segment_back", out=i.out.adjoint))

    def cost(self, i: Instruction) -> int:
        """As much for each operation as for a map of one row."""
        return 4 * max(i.out.count, i.shape[1])

    def _loop(self, e: Layout, f: Function, i: Instruction) -> None:
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

    def parts(self, lists: Lists, steps: Array, i: Instruction) -> Iterator[Instruction]:
        """Each operation as a map."""
        for _, op, out, operands in _each(lists, i):
            yield Instruction("map", out, operands, name=op.name)


class SegmentBack(_Operations):
    """The edges of a segment's operations, from the last to the first, as `Backward.steps` say."""

    kind, word, family = "segment_back", "back through tape", ""

    def title(self, lists: Lists, i: Instruction) -> str:
        """How long it is."""
        return f"back through tape of {plural(i.shape[1], 'operation')}"

    def writes(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The adjoints of the operands, as far as they are asked for."""
        for _, _, _, operands in _each(lists, i):
            yield from (x.adjoint for x in operands)

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The adjoint of each result, and what its edges are computed of."""
        for _, _, out, operands in _each(lists, i):
            yield from (out, out.adjoint, *operands)

    def note_read(self, e: Layout, i: Instruction, read: tuple[Array, Array]) -> None:
        """The operands and results of the operations that pass anything on."""
        active = e.steps[_at(i)] != 0
        _note_operands(e.lists, i, read, active)
        read[i.out.space & ~ADJOINT][e.lists.segments.out[_at(i)][active]] = True

    def _loop(self, e: Layout, f: Function, i: Instruction) -> None:
        space = i.out.space & ~ADJOINT
        values, adjoints, width = e.buffer(space), e.buffer(i.out.space), e.width(space)
        codes, active = e.lists.segments.code[_at(i)], e.steps[_at(i)] != 0
        table = _rows_by_code()
        last = sum(i.shape) - 1

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

    def parts(self, lists: Lists, steps: Array, i: Instruction) -> Iterator[Instruction]:
        """Each edge that passes anything on."""
        for k, op, out, operands in reversed([*_each(lists, i)]):
            given, flags = (out.adjoint, *operands, out), int(steps[k])
            for j, x in enumerate(operands):
                if flags >> j & 1:
                    yield Instruction("edge", x.adjoint, given, (j,), op.name, bool(flags >> j & 8))

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """Edge by edge; what is written as a whole, as a whole, too."""
        whole = next((places for places in d.sweeps if i.shape[0] in places), None)
        if whole is None:
            super().in_arrays(d, i)
            return
        d.sweeps[whole]()
        d.sweeps[whole] = lambda: None


WORDS = 6  # of an operation, as the loop over segments reads them: columns, and its steps


def _at(i: Instruction) -> slice:
    return slice(i.shape[0], i.shape[0] + i.shape[1])


def _operations(lists: Lists, i: Instruction) -> Iterator[tuple[int, ...]]:
    """Place, code, out, a, b and c of each operation."""
    s, at = lists.segments, _at(i)
    columns = [x[at].tolist() for x in (s.code, s.out, s.a, s.b, s.c)]
    return zip(range(at.start, at.stop), *columns, strict=True)


def _each(lists: Lists, i: Instruction) -> Iterator[tuple[int, Op, View, tuple[View, ...]]]:
    """Place, operation, the row of the result and those of the operands."""
    table, space = _rows_by_code(), i.out.space & L
    for k, code, out, *operands in _operations(lists, i):
        op = table[code]
        yield k, op, View(space, out, 1), tuple(View(space, x, 1) for x in operands[: op.arity])


def _note_operands(lists: Lists, i: Instruction, read: tuple[Array, Array], which: Any) -> None:
    """Note the rows that some operations of a segment read."""
    s, at = lists.segments, _at(i)
    arity = coded()[1][s.code[at][which]]
    for k, column in enumerate((s.a, s.b, s.c)):
        read[i.out.space & ~ADJOINT][column[at][which][arity > k]] = True


def _codes(lists: Lists, i: Instruction) -> set[int]:
    """The operations that occur in a segment, or in an iteration of a loop."""
    first, total, *more = i.shape
    total = more[0] if more else total
    return {*np.flatnonzero(np.bincount(lists.segments.code[first : first + total])).tolist()}


def _rows_by_code() -> list[Op]:
    """The scalar table as segments number it."""
    return list(TABLE.values())


# --- what the adjoint finds out about them, operation by operation ------------------------------


def over_arrivals(a: Adjoint, i: Instruction) -> int:
    """Note in the steps where something arrives, and what adds; return whether any does."""
    return _over(_arrive, a, i, a.written[i.out.space], [])


def _over(run: PlainLoop, a: Adjoint, i: Instruction, rows: bytearray, passing: list[int]) -> int:
    """Run a loop below over a segment, and return what it does."""
    s, at, steps = a.lists.segments, _at(i), a.made.steps
    columns: list[Any] = [column[at] for column in (s.code, s.out, s.a, s.b, s.c, steps)]
    given: tuple[Any, Any] = (np.frombuffer(rows, np.uint8), np.array(passing, np.uint8))
    if not is_worth_it(i.shape[1]):
        columns, given = [column.tolist() for column in columns], (rows, passing)
    found = run.over(i.shape[1])(*columns, *given, i.shape[1])
    steps[at] = columns[-1]
    return found


@loop
def _mark(
    code: Ints,
    out: Ints,
    a: Ints,
    b: Ints,
    c: Ints,
    steps: Ints,
    depends: Bytes,
    passing: Bytes,
    count: int,
) -> int:
    """`steps` gets the operands that are wanted, of those that are `passing` anything, by code."""
    for k in range(count):
        given = passing[code[k]]
        flags = 0
        if given & 1 and depends[a[k]]:
            flags = 1
        if given & 2 and depends[b[k]]:
            flags = flags | 2
        if given & 4 and depends[c[k]]:
            flags = flags | 4
        if flags:
            depends[out[k]] = 1
            steps[k] = flags
    return 0


@loop
def _arrive(
    code: Ints,
    out: Ints,
    a: Ints,
    b: Ints,
    c: Ints,
    steps: Ints,
    written: Bytes,
    passing: Bytes,
    count: int,
) -> int:
    """`steps` loses the operations at which nothing arrives, and gets what adds to what is there;
    return whether anything arrives at any."""
    some = 0
    for k in range(count - 1, -1, -1):
        flags = steps[k]
        if flags and not written[out[k]]:
            steps[k] = 0
        elif flags:
            some = 1
            for j in range(3):
                if flags & (1 << j):
                    x = c[k] if j == 2 else (b[k] if j else a[k])
                    if written[x]:
                        flags = flags | (8 << j)
                    written[x] = 1
            steps[k] = flags
    return some
