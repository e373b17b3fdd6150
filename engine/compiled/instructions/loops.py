"""Loops: operations of the scalar table on single rows that come again and again."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.compiled.blocks import ADJOINT, NAN_SEEN, Array, Instruction, L, Lists, Segments
from engine.compiled.bodies import BEFORE, ELSEWHERE, HERE, SAME, Body, Operand, body_of
from engine.compiled.instructions.maps import passed
from engine.compiled.instructions.row import plural
from engine.compiled.instructions.segments import WORDS, Segment, SegmentBack, over_arrivals
from engine.compiled.lift.loops import part_of
from engine.compiled.native import vectormath
from engine.compiled.native.function import Function
from engine.compiled.native.numbers import FLOAT, Lanes
from engine.compiled.periods import FEWEST
from engine.compiled.writing.c_formulas import Var
from engine.compiled.writing.recurrences import Reads, Recurrence
from engine.ops import Op

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.native.layout import Layout
    from engine.compiled.source.c_statements import Section
    from engine.compiled.source.derive import Derive
    from engine.compiled.source.plain import Plain


class Loop(Segment):
    """`shape[1]` operations from place `shape[0]` of the segments on, `shape[2]` an iteration, as
    `bodies` has it. An iteration has what the next one reads of it at hand."""

    kind, word = "loop", "loop"
    is_loop = True

    def title(self, lists: Lists, i: Instruction) -> str:
        """How often it runs, what it does, and what it carries."""
        body = body_of(lists.segments, *i.shape)
        more = f", carries {len(body.carried)}" if body.carried else ""
        return f"for t in range({body.count}): {plural(len(body.codes), 'operation')}{more}"

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The iterations from the last to the first. Those at the ends at which less arrives are
        single operations."""
        if not over_arrivals(a, i):
            return
        first, total, period = i.shape
        steps = a.made.steps[first : first + total].reshape(-1, period)
        told = steps & 7  # to which operands anything passes
        changes = np.flatnonzero((told[1:] != told[:-1]).any(axis=1)) + 1
        bounds = [0, *changes.tolist(), len(told)]
        end = len(told)
        for k in range(len(bounds) - 1, 0, -1):
            begin = bounds[k - 1]
            if bounds[k] - begin >= FEWEST and told[begin].any():
                self._apart(a, i, bounds[k], end)
                shape = (first + begin * period, (bounds[k] - begin) * period, period, *i.shape[:2])
                a.append(i._replace(kind="loop_back", out=i.out.adjoint, shape=shape))
                end = begin
        self._apart(a, i, 0, end)

    def _apart(self, a: Adjoint, i: Instruction, begin: int, end: int) -> None:
        """Some iterations backwards, operation by operation."""
        first, _, period = i.shape
        if begin < end:
            shape = (first + begin * period, (end - begin) * period)
            a.append(i._replace(kind="segment_back", out=i.out.adjoint, shape=shape))

    def note_read(self, e: Layout, i: Instruction, read: tuple[Array, Array]) -> None:
        """What iterations don't have at hand."""
        body = body_of(e.lists.segments, *i.shape)
        rows = _Rows(e.lists.segments, body)
        here = read[i.out.space]
        here[[rows.before(q) for q in body.carried]] = True
        for p, operands in enumerate(body.operands):
            for j, x in enumerate(operands):
                if x.kind in (SAME, ELSEWHERE):
                    here[rows.operand(p, j)] = True

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector of lanes by vector of lanes, all iterations of each."""
        body, space = body_of(e.lists.segments, *i.shape), i.out.space
        e.lane_strips(f, space, lambda o, w: _Forward(e, f, body, space, o, w).run(), 2)

    def cost(self, i: Instruction) -> int:
        """Less than of a segment: what the next iteration reads is at hand."""
        return 2 * i.shape[1]

    def joins(self, i: Instruction, before: Instruction) -> bool:
        """With a segment right before it."""
        return before.kind == "segment" and sum(before.shape) == i.shape[0]

    def plainly(self, p: Plain, some: Sequence[Instruction]) -> Iterator[Instruction]:
        """What iterations right before it do as it does, is of the loop."""
        if len(some) == 1:
            yield from some
            return
        segment, i = some
        s, start, (first, total, period) = p.lists.segments, segment.shape[0], i.shape
        more = _earlier(s, start, i) * period
        if first - more > start:
            yield part_of("segment", i, s, start, first - more - start)
        yield part_of("loop", i, s, first - more, total + more, period)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """A recurrence, if it is one that is easily told."""
        body, space = body_of(d.lists.segments, *i.shape), i.out.space
        outs, reads = _rows_of(d.lists.segments, body)
        kept = [bool(d.kept[space][out].any()) for out in outs]
        try:
            made = Recurrence(d.rows, space, body.ops, outs, reads, kept)
        except ValueError:
            super().in_arrays(d, i)
            return
        first, total, period = i.shape

        def sweep() -> None:
            steps = d.steps[first : first + total].reshape(-1, period)
            made.backward(np.bitwise_or.reduce(steps, axis=0).tolist())

        d.sweeps[range(first, first + total)] = sweep

    def in_c(self, c: Section, i: Instruction) -> None:
        """A loop, as it is."""
        body, space = body_of(c.lists.segments, *i.shape), i.out.space
        rows = _Rows(c.lists.segments, body)

        def operation(p: int, op: Op, t: Var) -> str:
            places = [c.moving(rows.operand(p, j), t) for j in range(op.arity)]
            y = c.e.call(op.name, [c.cell(space, x) for x in places])
            return c.set(space, c.moving(rows.out(p), t), y)

        def iteration(t: Var) -> list[str]:
            return [operation(p, op, t) for p, op in enumerate(body.ops)]

        c.lines += c.each("t", body.count, iteration)


class LoopBack(SegmentBack):
    """The edges of some iterations of a loop, from the last to the first: `shape` has these as that
    of a loop, and after it the place and the operations of the whole loop."""

    kind, word = "loop_back", "back through loop"
    is_loop = True

    def title(self, lists: Lists, i: Instruction) -> str:
        """How many iterations."""
        _, total, period, *_ = i.shape
        return f"for t in reversed(range({total // period})): {plural(period, 'operation')} back"

    def note_read(self, e: Layout, i: Instruction, read: tuple[Array, Array]) -> None:
        """What edges are computed of, but for what is computed again."""
        body = _body_of_back(e.lists, i)
        rows, here = _Rows(e.lists.segments, body), read[i.out.space & ~ADJOINT]
        for number in _Use(e, body).read:
            here[rows.of(number)] = True

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector of lanes by vector of lanes, all iterations of each."""
        body, space = _body_of_back(e.lists, i), i.out.space & ~ADJOINT
        e.lane_strips(f, space, lambda o, w: _Backward(e, f, body, space, o, w).run(), 2)

    def in_c(self, c: Section, i: Instruction) -> None:
        """A loop for the iterations of which the same steps are told, in turn; few are written
        out."""
        body, space = _body_of_back(c.lists, i), i.out.space & L
        rows, ops = _Rows(c.lists.segments, body), body.ops
        first, total, period = i.shape[:3]
        steps = c.steps[first : first + total].reshape(-1, period)
        changes = np.flatnonzero((steps[1:] != steps[:-1]).any(axis=1)) + 1

        def operation(p: int, some: range, t: Var) -> list[str]:
            places = [*(rows.operand(p, j) for j in range(ops[p].arity)), rows.out(p)]
            *operands, out = (c.moving(x[some.start : some.stop][::-1], t) for x in places)
            g, *numbers = (c.cell(space | ADJOINT, out), *[c.cell(space, x) for x in operands])
            lines, flags = [], int(steps[some.start, p])
            for j, x in enumerate(operands):
                if flags >> j & 1:
                    y = c.e.passed(ops[p].name, j, c.e.text(g), numbers, c.cell(space, out))
                    lines.append(c.set(space | ADJOINT, x, y, bool(flags >> j & 8)))
            return lines

        for end, begin in itertools.pairwise([body.count, *reversed(changes.tolist()), 0]):
            some = range(begin, end)

            def iteration(t: Var, some: range = some) -> list[str]:
                return [x for p in reversed(range(period)) for x in operation(p, some, t)]

            c.lines += c.each("t", len(some), iteration)


def _earlier(segments: Segments, start: int, i: Instruction) -> int:
    """How many iterations right before a loop, from a place on, are as its own."""
    first, total, period = i.shape
    codes, found = segments.code, 0

    def reads(begin: int) -> Reads:
        body = body_of(segments, begin, total + first - begin, period)
        return Reads(*_rows_of(segments, body))

    with contextlib.suppress(ValueError):
        own = reads(first)
        while (begin := first - (found + 1) * period) >= start:
            same = codes[begin : begin + period] == codes[first : first + period]
            if not (same.all() and reads(begin).like(own)):
                break
            found += 1
    return found


def _rows_of(segments: Segments, body: Body) -> tuple[list[Array], list[list[Array]]]:
    """The rows of results and operands, by operation those of all iterations."""
    rows = _Rows(segments, body)
    reads = [[rows.operand(p, j) for j in range(op.arity)] for p, op in enumerate(body.ops)]
    return [rows.out(p) for p in range(len(reads))], reads


def _body_of_back(lists: Lists, i: Instruction) -> Body:
    """The iterations that a "loop_back" is about, as the whole loop has them."""
    first, total, period, *whole = i.shape
    return body_of(lists.segments, whole[0], whole[1], period).part(first, total)


class _Rows:
    """The rows of some iterations of a loop, by operation: one for each iteration."""

    def __init__(self, segments: Segments, body: Body) -> None:
        self._first, self._period = body.first, len(body.codes)
        self._out, shape = segments.out, (body.count, self._period)
        at = slice(body.first, body.first + body.count * self._period)
        self._outs = segments.out[at].reshape(shape)
        self._columns = [x[at].reshape(shape) for x in (segments.a, segments.b, segments.c)]

    def out(self, p: int) -> Array:
        """Those of the results."""
        return self._outs[:, p]

    def operand(self, p: int, j: int) -> Array:
        """Those of an operand."""
        return self._columns[j][:, p]

    def before(self, q: int) -> int:
        """That of a result in the iteration before the first."""
        return int(self._out[self._first - self._period + q])

    def of(self, x: _Number) -> Any:
        """Those of a number that edges read."""
        if x.kind == SAME:
            return x.at
        if x.kind == ELSEWHERE:
            return self.operand(*x.at)
        return self.out(x.at) if x.kind == HERE else [self.before(x.at), *self.out(x.at)]


class _Number(NamedTuple):
    """A number that edges read: the result of operation `at`, or an operand as in `Operand`, of
    which `at` says operation and place if it is ELSEWHERE."""

    kind: int
    at: Any


class _Use:
    """What the edges of an iteration are computed of. `needed[p]` are the operands of operation p,
    and after them its result, that its edges need. Of these some results are computed `again`, in
    that order, rather than kept by the forward pass, since a few operations on vectors take less
    time than a way through memory; the rest is `read`.

    What an edge with a corner or a cut needs is kept: there the last bit may decide."""

    def __init__(self, e: Layout, body: Body) -> None:
        self._body, ops = body, body.ops
        self.needed = [_needed(e, op, int(e.steps[body.first + p])) for p, op in enumerate(ops)]
        wanted, exact = set[_Number](), set[_Number]()
        for p, op in enumerate(ops):
            numbers = {self.number(p, k) for k in self.needed[p]}
            wanted |= numbers
            if op.kink or any(map(callable, op.cuts)):
                exact |= numbers
        again: list[int] = []
        for p, op in enumerate(ops):
            made = [x for x in self.operands(p) if x.kind == HERE]
            known = all(x in wanted or x.at in again for x in made)
            if known and _Number(HERE, p) not in exact and _is_cheap(e, op):
                again.append(p)
        self.again, self.read = self._choice(wanted, again)
        plain = self._choice(wanted, [])
        if _rows_kept(plain[1]) <= _rows_kept(self.read):
            self.again, self.read = plain

    def number(self, p: int, k: int) -> _Number:
        """Number k of operation p."""
        operands = self._body.operands[p]
        if k == len(operands):
            return _Number(HERE, p)
        x = operands[k]
        return _Number(x.kind, (p, k) if x.kind == ELSEWHERE else x.at)

    def operands(self, p: int) -> list[_Number]:
        """The operands of operation p."""
        return [self.number(p, k) for k in range(len(self._body.operands[p]))]

    def _choice(self, wanted: set[_Number], again: list[int]) -> tuple[list[int], set[_Number]]:
        """What of `again` is of use, and what is read from memory then."""
        read, used = set(wanted), list[int]()
        for p in reversed(again):
            if _Number(HERE, p) in read:
                read.remove(_Number(HERE, p))
                read.update(self.operands(p))
                used.append(p)
        return used[::-1], read


def _rows_kept(read: set[_Number]) -> int:
    """How many results of an iteration are kept for the backward pass."""
    return len({x.at for x in read if x.kind in (HERE, BEFORE)})


def _is_cheap(e: Layout, op: Op) -> bool:
    """Whether an operation takes a few instructions, of a step or two each."""
    f = Function(e.number)
    vectormath.row(f, op.name, *(Lanes(f, f"%given{k}.", FLOAT, 2) for k in range(op.arity)))
    return len(f.lines) <= 3 and not any(x in line for line in f.lines for x in ("call", "div"))


def _needed(e: Layout, op: Op, steps: int) -> set[int]:
    """Which of an operation's operands, and its result, its edges are computed of."""
    f = Function(e.number)
    g, *numbers = (Lanes(f, f"%given{k}.", FLOAT, 1) for k in range(-1, op.arity + 1))
    for j in range(op.arity):
        if steps >> j & 1:
            passed(e, f, op, j, g, numbers)
    text = "\n".join(f.lines)
    return {k for k, x in enumerate(numbers) if x.name in text}


class _Emission:
    """What both directions share: the rows of a body at one vector of lanes."""

    def __init__(self, e: Layout, f: Function, body: Body, space: int, o: Any, w: int) -> None:
        self.e, self.f, self.body, self.space, self.o, self.w = e, f, body, space, o, w
        self.ops = body.ops
        self.values, self.adjoints = e.buffer(space), e.buffer(space | ADJOINT)
        self.width, self.period = e.width(space), len(body.codes)
        self.rows = _Rows(e.lists.segments, body)
        self.invariant: dict[int, Lanes] = {}

    def at(self, row: int) -> Any:
        """The place of a row's lanes."""
        return self.o + row * self.width

    def moving(self, x: Operand, t: Any, p: int, column: int) -> Any:
        """The place of a row that is another in each iteration; `column` says it for operation p,
        where rows are not evenly apart."""
        if x.stride is not None:
            row = t * x.stride + x.at
        else:
            row = self.f.operation_word((t * self.period + (self.body.first + p)) * WORDS + column)
        return row * self.width + self.o

    def out(self, t: Any, p: int) -> Any:
        """The place of the result of operation p."""
        return self.moving(self.body.out[p], t, p, 1)

    def read(self, x: Operand, t: Any, p: int, j: int) -> Lanes:
        """An operand that is in memory."""
        return self.f.load(self.values, self.moving(x, t, p, 2 + j), self.w)

    def read_same(self) -> None:
        """Read what is the same in all iterations."""
        for operands in self.body.operands:
            for x in operands:
                if x.kind == SAME and x.at not in self.invariant:
                    constant = self.e.lists.constants[self.space].get(x.at)
                    self.invariant[x.at] = (
                        self.f.load(self.values, self.at(x.at), self.w)
                        if constant is None
                        else self.f.literal(constant, self.w)
                    )


class _Forward(_Emission):
    def run(self) -> None:
        """All iterations."""
        f, carried = self.f, self.body.carried
        self.read_same()
        start = [f.load(self.values, self.at(self.rows.before(q)), self.w) for q in carried]
        read = self.e.read and self.e.read[self.space]
        stored = [read is None or read[self.rows.out(p)].any() for p in range(self.period)]

        def iteration(t: Any, *held: Lanes) -> list[Lanes]:
            before = dict(zip(carried, held, strict=True))
            results: list[Lanes] = []
            for p, op in enumerate(self.ops):
                given = []
                for j, x in enumerate(self.body.operands[p]):
                    if x.kind == HERE:
                        given.append(results[x.at])
                    elif x.kind == BEFORE:
                        given.append(before[x.at])
                    else:
                        given.append(
                            self.invariant[x.at] if x.kind == SAME else self.read(x, t, p, j)
                        )
                y = f.widened(vectormath.row(f, op.name, *given), self.w)
                results.append(y)
                if stored[p]:
                    f.store(y, self.values, self.out(t, p))
                if op.name == "pass_on":
                    f.note_nan(y, NAN_SEEN)
            return [results[q] for q in carried]

        f.loop(self.body.count, iteration, start)


class _Backward(_Emission):
    """Adjoints of what an iteration or the one before it computes are at hand, and so are those of
    what is the same in all iterations, until the first iteration is done."""

    def run(self) -> None:
        """All iterations, from the last to the first."""
        f, e, s = self.f, self.e, self.e.lists.segments
        last = self.body.first + (self.body.count - 1) * self.period
        every = e.steps[self.body.first : last + self.period].reshape(-1, self.period)
        self.always, self.ever = (x.reduce(every).tolist() for x in (np.bitwise_and, np.bitwise_or))
        adds: dict[tuple[int, int], bool] = {}  # whether the first to pass does, in the last one
        for p in reversed(range(self.period)):
            for j, x in enumerate(self.body.operands[p]):
                if self.ever[p] >> j & 1:
                    adds.setdefault((x.kind, x.at), bool(every[-1, p] >> j & 8))
        to_same = {at: added for (kind, at), added in adds.items() if kind == SAME}
        # where something has arrived before, unless what the last iteration passes is the first to
        to_before = {at: adds.get((HERE, at), True) for kind, at in adds if kind == BEFORE}
        self.read_same()
        use = _Use(e, self.body)
        nothing = f.literal(e.lists.nothing, self.w)
        start = [
            f.load(self.adjoints, self.at(int(s.out[last + q])), self.w) if arrived else nothing
            for q, arrived in to_before.items()
        ]
        start += [nothing] * len(to_same)

        def iteration(k: Any, *held: Lanes) -> list[Lanes]:
            t = f.index(self.body.count - 1) - k
            sums = dict(zip(to_before, held, strict=False))
            same = dict(zip(to_same, held[len(to_before) :], strict=True))
            earlier: dict[int, Lanes] = {}
            numbers = {x: self._read(x, t) for x in use.read}
            for p in use.again:
                y = vectormath.row(f, self.ops[p].name, *(numbers[x] for x in use.operands(p)))
                numbers[_Number(HERE, p)] = f.widened(y, self.w)
            for p in reversed(range(self.period)):
                if self.ever[p]:
                    given = {k: numbers[use.number(p, k)] for k in use.needed[p]}
                    self._edges(t, p, given, sums, earlier, same)
            return [earlier[q] for q in to_before] + [same[row] for row in to_same]

        ended = iter(f.loop(self.body.count, iteration, start))
        for q in to_before:
            f.store(next(ended), self.adjoints, self.at(self.rows.before(q)))
        for row, added in to_same.items():
            f.store(next(ended), self.adjoints, self.at(row), adds=added)

    def _edges(
        self,
        t: Any,
        p: int,
        given: dict[int, Lanes],
        sums: dict[int, Lanes],
        earlier: dict[int, Lanes],
        same: dict[int, Lanes],
    ) -> None:
        """What operation p passes on."""
        f, op = self.f, self.ops[p]
        g = sums.pop(p, None)
        if g is None:
            g = f.load(self.adjoints, self.out(t, p), self.w)
        numbers = [given.get(k, g) for k in range(op.arity + 1)]
        for j, x in enumerate(self.body.operands[p]):
            if not self.ever[p] >> j & 1:
                continue
            y = f.widened(passed(self.e, f, op, j, g, numbers), self.w)
            if x.kind == SAME:
                same[x.at] = same[x.at] + y
            elif x.kind == ELSEWHERE:
                f.store(self._added(y, t, p, j), self.adjoints, self._operand(t, p, j))
            else:
                sums_of = sums if x.kind == HERE else earlier
                more = sums_of.get(x.at)
                sums_of[x.at] = self._added(y, t, p, j) if more is None else more + y

    def _operand(self, t: Any, p: int, j: int) -> Any:
        """The place of operand j of operation p, which is another in each iteration."""
        x = self.body.operands[p][j]
        if x.kind == ELSEWHERE:
            return self.moving(x, t, p, 2 + j)
        return self.out(t if x.kind == HERE else t - 1, x.at)

    def _added(self, y: Lanes, t: Any, p: int, j: int) -> Lanes:
        """What arrives at operand j, with what has arrived there already if that is not the first
        to; of the iterations it may be in some."""
        f, bit = self.f, 8 << j
        if not self.ever[p] & bit:
            return y
        more = f.load(self.adjoints, self._operand(t, p, j), self.w) + y
        if self.always[p] & bit:
            return more
        flags = f.operation_word((t * self.period + (self.body.first + p)) * WORDS + 5)
        return f.select(f.holds("ne", f.binary("and", flags, bit), 0), more, y)

    def _read(self, x: _Number, t: Any) -> Lanes:
        """A number that edges read."""
        if x.kind == SAME:
            return self.invariant[x.at]
        if x.kind == ELSEWHERE:
            p, j = x.at
            return self.read(self.body.operands[p][j], t, p, j)
        place = self.out(t if x.kind == HERE else t - 1, x.at)
        return self.f.load(self.values, place, self.w)
