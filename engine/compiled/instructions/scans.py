"""Loops by `engine.scan` and `engine.while_loop`: a step of instructions on rows of its own.

The operands of both rows are the first carry, what is the same in all steps in S and in L, and the
entries of all steps in S and in L. `out` has the results of the loop, the carries that are saved
for the way back, and room for those that are computed again there: see `blocks.Inner`, which
`shape[0]` is the place of.

Lanes are gone through vector by vector, all steps of each. A step has its rows in buffers on the
stack, of which LLVM makes registers where it can; on the way back a step is computed again from its
carry, so that nothing else of it is kept. Where there are many steps, only some carries are saved,
and those between are computed again, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compiled.blocks import ADJOINT, Array, Inner, Instruction, L, Lists, S, View, runs_of
from engine.compiled.instructions.row import Row

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.layout import Layout
    from engine.compiled.native.numbers import Lanes

CARRY, SAME, LANE_SAME, ENTRIES, LANE_ENTRIES = range(5)  # operands
_FEW = 32  # rows that are kept at hand
_VECTORS = 4  # of lanes that go through a step with products together
_SPACES = {SAME: S, LANE_SAME: L, ENTRIES: S, LANE_ENTRIES: L}


class Scan(Row):
    """A loop, forwards."""

    kind, word, family = "scan", "scan", ""
    is_loop, moves = True, False

    def title(self, lists: Lists, i: Instruction) -> str:
        """How often it runs, and what it carries."""
        inner = _inner(lists, i)
        head = "while a condition holds" if inner.conditional else f"for t in range({inner.count})"
        return f"{head}: carries {inner.carries}"

    def inside(self, lists: Lists, i: Instruction) -> Inner:
        """The step."""
        return _inner(lists, i)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """The steps from the last to the first. What each passes on to all of them is added up."""
        inner = _inner(a.lists, i)
        results = i.out.part(0, inner.results)
        wanted = [a.is_wanted(view) for view in i.operands]
        if not any(wanted) or a.arrived(results) is None:
            return
        carry, *others = inner.inputs
        space = i.out.space
        chosen = [(space, row) for row in carry]
        for k, rows in enumerate(others, 1):
            chosen += [(_SPACES[k], row) for row in rows if wanted[k]]
        ends = inner.outputs[: inner.carries] if inner.conditional else inner.outputs
        a.made.inner[i.shape[0]] = a.of_inner(inner, ends, chosen)
        for view, is_wanted in zip(i.operands, wanted, strict=True):
            if view is not None and is_wanted:
                a.fill(view)
        flags = sum(1 << k for k, is_wanted in enumerate(wanted) if is_wanted)
        operands = (*i.operands, i.out)
        a.append(Instruction("scan_back", i.out.adjoint, operands, i.shape, flags=flags))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Step by step."""
        steps = _Steps(m, i)
        carry = m.buffers[steps.space][m.lists.rows(i.operand(CARRY))]
        running = np.ones(steps.lanes, bool)
        taken = np.zeros(steps.lanes)
        inner, results, saved = steps.inner, steps.results, steps.saved
        for t in range(inner.count):
            if t % inner.every == 0:
                saved[t // inner.every] = carry
            found = steps.forward(carry, t)
            if inner.conditional:
                running = running & (found[-1] != 0.0)
                if not running.any():
                    break
                taken += running
                found = np.where(running, found[:-1], carry)
            elif inner.given:
                first = inner.carries + t * inner.given
                results[first : first + inner.given] = found[inner.carries :]
            carry = found[: inner.carries]
        else:
            if inner.conditional:
                running = running & (steps.forward(carry, 0)[-1] != 0.0)
        results[: inner.carries] = carry
        if inner.conditional:
            results[inner.carries] = taken
            results[inner.carries + 1] = ~running

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector of lanes by vector of lanes."""
        loop = _Emission(e, f, i)
        e.lane_strips(f, loop.space, lambda o, w: loop.forward(o), loop.together)


class ScanBack(Row):
    """A loop, backwards: `flags` say which operands are wanted. The last operand is `out` of the
    loop itself."""

    kind, word, family = "scan_back", "back through scan", ""
    is_loop, moves = True, False

    def title(self, lists: Lists, i: Instruction) -> str:
        """How often it runs."""
        inner = _inner(lists, i)
        return f"for t in reversed(range({inner.count})): back through {inner.carries} carried"

    def writes(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The adjoints of the operands that are wanted."""
        yield from (view.adjoint for k, view in enumerate(i.operands) if view and i.flags >> k & 1)

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Step by step."""
        steps = _Steps(m, i)
        inner, saved, kept = steps.inner, steps.saved, steps.kept
        adjoints = m.buffers[i.out.space][i.out.first : i.out.first + inner.results]
        g = adjoints[: inner.carries].copy()
        taken = np.full(steps.lanes, inner.count)
        if inner.conditional:
            taken = steps.results[inner.carries].astype(int)
        for s in reversed(range(-(-int(taken.max(initial=0)) // inner.every))):
            begin, end = s * inner.every, min((s + 1) * inner.every, int(taken.max()))
            carry = saved[s].copy()
            for t in range(begin, end) if inner.every > 1 else ():
                kept[t - begin] = carry
                found = steps.forward(carry, t)[: inner.carries]
                carry = np.where(t < taken, found, carry) if inner.conditional else found
            for t in reversed(range(begin, end)):
                carry = kept[t - begin] if inner.every > 1 else saved[s]
                steps.forward(carry, t)
                seeds = list(np.where(t < taken, g, m.lists.nothing))
                first = inner.carries + t * inner.given
                seeds += [] if inner.conditional else list(adjoints[first : first + inner.given])
                found = steps.backward(seeds, t)
                g = np.where(t < taken, found, g)
        view = i.operands[CARRY]
        if view is not None and i.flags & 1:
            np.add.at(m.buffers[view.space | ADJOINT], m.rows_and_signs(view)[0], g)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector of lanes by vector of lanes."""
        loop = _Emission(e, f, i)
        e.lane_strips(f, loop.space, lambda o, w: loop.backward(o), loop.together)


def _together(e: Layout, space: int, inner: Inner) -> int:
    """How many vectors of lanes go through the steps together: several where there are matrix
    products, so that a row of a matrix is read once for all of them."""
    if not any(i.kind == "product" for i in inner.instructions[L]):
        return 1
    return next(n for n in (_VECTORS, 2, 1) if e.width(space) % (e.vector * n) == 0 or n == 1)


def _inner(lists: Lists, i: Instruction) -> Inner:
    return lists.inner[i.shape[0]]


# --- in Python ----------------------------------------------------------------------------------


class _Steps:
    """A loop in the interpreter: its step, with buffers of its own."""

    def __init__(self, m: Interpreter, i: Instruction) -> None:
        self.m, self.i, self.inner = m, i, _inner(m.lists, i)
        self.space = i.out.space & ~ADJOINT
        self.lanes = m.width(self.space)
        self.step = m.of_inner(self.inner, self.lanes, i.shape[0])
        inner, rows = self.inner, m.buffers[self.space][i.out.first : i.out.first + i.out.count]
        shape = (-1, inner.carries, self.lanes)
        self.results, saved = rows[: inner.results], rows[inner.results :]
        self.saved = saved[: inner.saved * inner.carries].reshape(shape)
        first, count = inner.saved * inner.carries, inner.kept * inner.carries
        self.kept = saved[first : first + count].reshape(shape)
        for k in (SAME, LANE_SAME):
            if i.operands[k] is not None:
                found = m.lists.rows(i.operand(k))
                to = self.step.buffers[_SPACES[k]]
                to[inner.inputs[k]] = m.buffers[_SPACES[k]][found]

    def _entry(self, k: int, t: int) -> Array:
        """The rows of entry t."""
        rows = self.m.lists.rows(self.i.operand(k))
        size = len(self.inner.inputs[k])
        found: Array = rows[t * size : (t + 1) * size]
        return found

    def forward(self, carry: Array, t: int) -> Array:
        """Compute step t; return the next carry, and what it gives."""
        inner, buffers = self.inner, self.step.buffers
        buffers[self.space][inner.inputs[CARRY]] = carry
        for k in (ENTRIES, LANE_ENTRIES):
            if self.i.operands[k] is not None:
                buffers[_SPACES[k]][inner.inputs[k]] = self.m.buffers[_SPACES[k]][self._entry(k, t)]
        self.step.run_all("forward")
        return np.stack([buffers[space][row] for space, row in inner.outputs])

    def backward(self, seeds: list[Array], t: int) -> Array:
        """Take step t back; return the adjoint of its carry. Others are added to those of the
        operands."""
        inner, m = self.inner, self.m
        values, adjoints = self.step.buffers[:2], self.step.buffers[2:]
        assert len(values) == 2
        ends = inner.outputs[: len(seeds)]
        for space, row in ends:
            adjoints[space][row] = m.lists.nothing
        for (space, row), seed in zip(ends, seeds, strict=True):
            adjoints[space][row] += seed
        self.step.run_all("backward")
        for k, space in _SPACES.items():
            view = self.i.operands[k]
            if view is None or not self.i.flags >> k & 1:
                continue
            rows = m.lists.rows(view) if k < ENTRIES else self._entry(k, t)
            np.add.at(m.buffers[space | ADJOINT], rows, adjoints[space][inner.inputs[k]])
        found: Array = adjoints[self.space][inner.inputs[CARRY]].copy()
        return found


# --- as machine code ----------------------------------------------------------------------------


class _Emission:
    """A loop at one vector of lanes.

    The carry, and on the way back its adjoint, are in buffers between steps. What is few is copied
    row by row, so that LLVM has it in registers.
    """

    def __init__(self, e: Layout, f: Function, i: Instruction) -> None:
        self.e, self.f, self.i, self.inner = e, f, i, _inner(e.lists, i)
        self.space = i.out.space & ~ADJOINT
        self.back = i.kind == "scan_back"
        out = i.operands[-1] if self.back else i.out
        assert out is not None
        self.out = out  # of the loop itself
        self.together = _together(e, self.space, self.inner)
        self.w = min(e.width(self.space), e.vector * self.together)
        self.widths = (1, self.w if self.space == L else 1)
        sizes = [rows * width for rows, width in zip(self.inner.rows, self.widths, strict=True)]
        self.rooms = [self._room(k, sizes) for k in range(4 if self.back else 2)]
        self.carry, self.g = (f.room(self.inner.carries * self.w) for _ in range(2))
        own = dataclasses.replace(e.lists, constants=self.inner.constants)
        self.layout = e.of_inner(own, self.widths[L], self.rooms)
        self.known: dict[tuple[int, int], Lanes] = {}  # rows that are the same in all steps
        self.ends = [row for _, row in self.inner.outputs]

    def _room(self, space: int, sizes: list[int]) -> str:
        """A buffer for the step's own rows, or the adjoints of these."""
        if not self.inner.room:
            return self.f.room(sizes[space & 1])
        first = self.out.first + self.out.count - self.inner.room
        place = first * self.e.width(self.space) + (sizes[S] if space & 1 == L else 0)
        return self.f.address(self.e.buffer(self.space | (space & ADJOINT)), place)

    # --- rows ---

    def _load(self, space: int, row: Any) -> Lanes:
        """A row of the program."""
        if space & 1 == S:
            return self.f.load(self.e.buffer(space), row)
        return self.f.load(self.e.buffer(space), row * self.e.lanes + self.o, self.w)

    def _store(self, y: Lanes, space: int, row: Any, *, adds: bool = False) -> None:
        place = row if space & 1 == S else row * self.e.lanes + self.o
        self.f.store(y, self.e.buffer(space), place, adds=adds)

    def _own(self, space: int, row: Any) -> Lanes:
        """A row of the step, or its adjoint."""
        at_hand = self.f.sums_of_rows if space & ADJOINT else self.f.rows
        found = at_hand.get((space & ~ADJOINT, row)) if isinstance(row, int) else None
        width = self.widths[space & 1]
        return self.f.load(self.rooms[space], row * width, width) if found is None else found

    def _set(self, y: Lanes, space: int, row: Any) -> None:
        """Set a row of the step."""
        width = self.widths[space]
        y = self.f.widened(y, width)
        self.f.store(y, self.rooms[space], row * width)
        if isinstance(row, int):
            self.f.rows[space, row] = y

    def _each(self, rows: Sequence[int], body: Callable[[Any, Any], None]) -> None:
        """Run body(j, row) for each of some rows: one after the other if they are few."""
        if len(rows) <= _FEW:
            for j, row in enumerate(rows):
                body(j, row)
            return
        place = 0
        for first, _, count in runs_of(np.array(rows)):

            def one(k: Any, j: int = place, row: int = first) -> None:
                body(k + j, k + row)

            self.f.loop(count, one)
            place += count

    def _row(self, view: View, k: Any) -> Any:
        """The row that is number k of a view."""
        if view.listed:
            return self.f.word("%pool", k + view.first)
        return k + view.first

    def _copy_in(self, k: int, first: Any) -> None:
        """Have rows of an operand, from number `first` on, be those of inputs."""
        view, space = self.i.operands[k], _SPACES[k]
        if view is not None:

            def copy(j: Any, row: Any) -> None:
                self._set(self._load(space, self._row(view, first + j)), space, row)

            self._each(self.inner.inputs[k], copy)

    def _add_out(self, k: int, t: Any) -> None:
        """Add the adjoints of some inputs to those of an operand."""
        view, rows, space = self.i.operands[k], self.inner.inputs[k], _SPACES[k] | ADJOINT
        if view is not None and self.i.flags >> k & 1:
            first = t * len(rows) if k >= ENTRIES else 0

            def add(j: Any, row: Any) -> None:
                to = self._row(view, first + j)
                self._store(self._own(space, row), space, to, adds=True)

            self._each(rows, add)

    def _saved(self, s: Any, first: int = 0) -> Any:
        """The first row of a carry that is saved, or kept."""
        return s * self.inner.carries + (
            self.out.first + self.inner.results + first * self.inner.carries
        )

    # --- the carry, or its adjoint ---

    def _carries(self, body: Callable[[Any, Any], None]) -> None:
        self._each(range(self.inner.carries), body)

    def _held(self, room: str, j: Any) -> Lanes:
        """Number j of the carry, or of its adjoint."""
        return self.f.load(room, j * self.w, self.w)

    def _hold(self, room: str, read: Callable[[Any], Lanes]) -> None:
        """Have read(j) be number j of it."""
        self._carries(lambda j, _: self.f.store(read(j), room, j * self.w))

    def _save(self, room: str, space: int, first: Any) -> None:
        """Have it in rows of the program."""
        self._carries(lambda j, _: self._store(self._held(room, j), space, first + j))

    # --- a step ---

    def begin(self, o: Any) -> None:
        """Have what is the same in all steps in place, for the lanes from offset `o` on."""
        self.o = o
        before, self.f.rows = self.f.rows, {}
        for space in (S, L):
            for row, number in self.inner.constants[space].items():
                x = self.f.literal(number, self.widths[space])
                self.f.store(x, self.rooms[space], row * self.widths[space])
        self._copy_in(SAME, 0)
        self._copy_in(LANE_SAME, 0)
        self.known, self.f.rows = self.f.rows, before

    def step(self, t: Any, after: Callable[[], None]) -> None:
        """Compute step t, and do what comes after it, while its rows are at hand."""
        f = self.f
        before = f.rows, f.sums_of_rows
        f.rows, f.sums_of_rows = dict(self.known), {}
        self._each(
            self.inner.inputs[CARRY],
            lambda j, row: self._set(self._held(self.carry, j), self.space, row),
        )
        for k in (ENTRIES, LANE_ENTRIES):
            self._copy_in(k, t * len(self.inner.inputs[k]))
        self._write(*self.inner.instructions)
        after()
        f.rows, f.sums_of_rows = before

    def _take_over(self, here: Lanes | None = None) -> None:
        """Have the next carry be the carry, in the lanes that are `here`."""

        def take(j: Any, row: Any) -> None:
            y = self._own(self.space, row)
            if here is not None:
                y = self.f.select(here, y, self._held(self.carry, j))
            self.f.store(y, self.carry, j * self.w)

        self._each(self.ends[: self.inner.carries], take)

    def _write(self, *parts: Sequence[Instruction]) -> None:
        assert self.layout.write is not None
        self.layout.write(self.layout, self.f, [i for part in parts for i in part])

    # --- all of them ---

    def forward(self, o: Any) -> None:
        """All steps."""
        view = self.i.operands[CARRY]
        self.begin(o)
        if view is not None:
            self._hold(self.carry, lambda j: self._load(self.space, self._row(view, j)))
        if self.inner.conditional:
            self._until()
        else:
            self._blocks()
        self._save(self.carry, self.space, self.out.first)

    def _blocks(self) -> None:
        """All steps, with a carry saved before each of some."""
        f, inner = self.f, self.inner
        first = self.out.first + inner.carries

        def one(t: Any) -> None:
            def give() -> None:
                self._each(
                    self.ends[inner.carries :],
                    lambda j, row: self._store(
                        self._own(self.space, row), self.space, t * inner.given + (first + j)
                    ),
                )
                self._take_over()

            self.step(t, give)

        def block(s: Any) -> None:
            self._save(self.carry, self.space, self._saved(s))
            f.loop(self._length(s), lambda u: one(s * inner.every + u))

        f.loop(inner.saved, block)

    def _length(self, s: Any, count: Lanes | None = None) -> Any:
        """How many steps there are from a saved carry to the next; of `count` all in all."""
        inner, f = self.inner, self.f
        if count is None and inner.count % inner.every == 0:
            return inner.every
        left = (f.index(inner.count) if count is None else count) - s * inner.every
        return f.whole(f.holds("slt", left, inner.every), left, inner.every)

    def _until(self) -> None:
        """Steps as long as the condition holds in any lane; the others keep what they have."""
        f, inner, w = self.f, self.inner, self.w
        one, none = f.literal(1.0, w), f.literal(0.0, w)

        def again(t: Any, running: Lanes, taken: Lanes) -> tuple[Lanes, list[Lanes]]:
            within = f.holds("slt", t, inner.count)
            s = f.result(f"sdiv i64 {t.name}, {inner.every}", "index", 1)
            first = within & f.holds("eq", s * inner.every, t)
            f.when(first, lambda: self._save(self.carry, self.space, self._saved(s)))
            found: list[Lanes] = []

            def look() -> None:
                goes_on = (running != 0.0) & (self._own(self.space, self.ends[-1]) != 0.0)
                more = within & f.any(goes_on)
                self._take_over(goes_on & f.widened(more, w))  # beyond the limit nothing is
                counted = f.select(goes_on & f.widened(more, w), taken + one, taken)
                found.extend((more, f.select(goes_on, one, none), counted))

            self.step(t, look)
            more, *following = found
            return more, following

        running, taken = f.until(again, [one, none])
        first = self.out.first + inner.carries
        self._store(taken, self.space, first)
        self._store(f.select(running != 0.0, none, one), self.space, first + 1)

    def backward(self, o: Any) -> None:
        """All steps, from the last to the first."""
        f, inner, out = self.f, self.inner, self.i.out
        self.begin(o)
        self._hold(self.g, lambda j: self._load(out.space, j + out.first))
        taken, count, blocks = None, None, f.index(inner.saved)
        if inner.conditional:
            taken = self._load(self.space, out.first + inner.carries)
            count = f.largest(taken)
            more = f.binary("plus", count, inner.every - 1)
            blocks = f.result(f"sdiv i64 {more.name}, {inner.every}", "index", 1)

        def here(t: Any) -> Lanes | None:
            """The lanes that take a step."""
            if taken is None:
                return None
            return f.widened(f.number_of(f.word_like(t)), self.w) < taken

        def restore(row: Any) -> None:
            self._hold(self.carry, lambda j: self._load(self.space, row + j))

        def block(k: Any) -> None:
            s = blocks - 1 - k
            length = f.word_like(self._length(s, count))
            if inner.every > 1:
                restore(self._saved(s))

                def keep(u: Any) -> None:
                    self._save(self.carry, self.space, self._saved(u, inner.saved))
                    t = s * inner.every + u
                    self.step(t, lambda: self._take_over(here(t)))

                f.loop(length, keep)

            def back(k: Any) -> None:
                u = length - 1 - k
                t = s * inner.every + u
                restore(self._saved(u, inner.saved) if inner.every > 1 else self._saved(t))
                self.step(t, lambda: self._back_through(t, here(t)))

            f.loop(length, back)

        f.loop(blocks, block)
        view = self.i.operands[CARRY]
        if view is not None and self.i.flags & 1:
            self._carries(
                lambda j, _: self._store(
                    self._held(self.g, j), out.space, self._row(view, j), adds=True
                )
            )

    def _back_through(self, t: Any, here: Lanes | None) -> None:
        """Take the adjoints of what step t gives back through it, to the carry and the operands."""
        f, inner, out = self.f, self.inner, self.i.out
        nothing = f.literal(self.layout.lists.nothing, self.w)
        adjoints = self.space | ADJOINT
        first = t * inner.given + (out.first + inner.carries)

        carried, given = self.ends[: inner.carries], self.ends[inner.carries :]
        given = [] if inner.conditional else given
        at_hand = max(len(carried), len(given)) <= _FEW

        def add(row: Any, seed: Lanes) -> None:
            if at_hand:
                before = f.sums_of_rows.get((self.space, row))
                f.sums_of_rows[self.space, row] = seed if before is None else before + seed
            else:
                f.store(seed, self.rooms[adjoints], row * self.w, adds=True)

        def seed(j: Any, row: Any) -> None:
            g = self._held(self.g, j)
            add(row, g if here is None else f.select(here, g, nothing))

        if not at_hand:
            distinct = [*dict.fromkeys(carried + given)]
            self._each(
                distinct, lambda _, row: f.store(nothing, self.rooms[adjoints], row * self.w)
            )
        self._each(carried, seed)
        self._each(given, lambda j, row: add(row, self._load(out.space, first + j)))
        made = self.e.inner[self.i.shape[0]]
        self._write(made.begin, made.lanes, made.shared)
        if max(map(len, inner.inputs)) > _FEW:
            self.layout.flush(f)
        for k in _SPACES:
            self._add_out(k, t)

        def take(j: Any, row: Any) -> None:
            g = self._own(adjoints, row)
            g = g if here is None else f.select(here, g, self._held(self.g, j))
            f.store(g, self.g, j * self.w)

        self._each(inner.inputs[CARRY], take)
