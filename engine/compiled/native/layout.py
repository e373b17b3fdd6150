"""Where rows lie, and which adjoints were written to: what all emitting functions share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.compiled.kernels import NAN_SEEN
from engine.compiled.lift import Blocks, Instruction, L, S
from engine.compiled.native.emit import INDEX, TRUTH, Function, Lanes
from engine.ops import TABLE

STRIPS = 8  # strips of a block up to which it is written without a loop


class Layout:
    """The rows of a lifted function, for chunks of `lanes` examples.

    `vector` is how many numbers a vector register holds. While adjoints are emitted, from the last
    instruction to the first, `written` says to which rows' adjoints something was written, and
    `ranges` collects those that have to be 0 before.
    """

    def __init__(self, blocks: Blocks, lanes: int, dtype: str, vector_bytes: int) -> None:
        self.blocks, self.lanes = blocks, lanes
        self.number = "float" if dtype == "float32" else "double"
        self.vector = vector_bytes // (4 if dtype == "float32" else 8)
        self.pool = np.array(blocks.pool, np.int64)
        self.names = list(TABLE)  # as segments number them
        self.written = (bytearray(blocks.rows[S]), bytearray(blocks.rows[L]))
        self.ranges: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])

    # --- adjoints: who writes first ---

    def clear(self, space: int, first: int, count: int) -> None:
        """Have the rows to which nothing was written be 0 at first."""
        written, end = self.written[space], first + count
        row = written.find(0, first, end)
        while row >= 0:
            last = written.find(1, row, end)
            last = end if last < 0 else last
            written[row:last] = b"\1" * (last - row)
            self.ranges[space].append((row, last))
            row = written.find(0, last, end)

    def adds(self, space: int, first: int, count: int, shared: bool = False) -> bool:
        """Whether what is now written to some rows is added; else it is the first there.

        `shared` rows are those of S that are written for each chunk of lanes.
        """
        written = self.written[space]
        if not shared and not any(written[first : first + count]):
            written[first : first + count] = b"\1" * count
            return False
        self.clear(space, first, count)
        return True

    def arrived(self, space: int, first: int, count: int) -> bool:
        """Whether anything arrived at the adjoints of some rows; if at some of them, then the
        others are 0."""
        if not any(self.written[space][first : first + count]):
            return False
        self.clear(space, first, count)
        return True

    def width(self, space: int) -> int:
        return self.lanes if space == L else 1

    def strips(self, count: int) -> list[tuple[int, int, int]]:
        """Pieces of `count` numbers in a row: offset, width of the vector, and how many of its
        entries are used."""
        full = count // self.vector * self.vector
        pieces = [(offset, self.vector, self.vector) for offset in range(0, full, self.vector)]
        if count > full:
            width = 1
            while width < count - full:
                width *= 2
            pieces.append((full, width, count - full))
        return pieces

    def flat(
        self,
        f: Function,
        count: int,
        body: Callable[[Any, int, int], None],
        unrolled: int = STRIPS,
    ) -> None:
        """Run body(offset, width, used) over `count` numbers in a row."""
        pieces = self.strips(count)
        full = count // self.vector
        if full > unrolled:

            def some(i: Lanes) -> list[Lanes]:
                body(i, self.vector, self.vector)
                return []

            f.loop(full * self.vector, some, step=self.vector)
            pieces = pieces[full:]
        for offset, width, used in pieces:
            body(offset, width, used)

    def runs(self, first: int, count: int) -> list[tuple[int, int, int]]:
        """A list of the pool as runs: the first row, the sign, and the length of each."""
        rows = self.pool[first : first + count]
        if not count:
            return []
        signs = rows < 0
        rows = np.where(signs, ~rows, rows)
        breaks = np.ones(count, bool)
        breaks[1:] = (np.diff(rows) != 1) | (signs[1:] != signs[:-1])
        starts = np.flatnonzero(breaks)
        lengths = np.diff([*starts, count])
        return [
            (int(rows[s]), -1 if signs[s] else 1, int(n))
            for s, n in zip(starts, lengths, strict=True)
        ]

    def constant(self, space: int, first: int, count: int) -> float | None:
        """The number that fills all of some rows, if there is one."""
        constants = self.blocks.constants[space]
        x = constants.get(first)
        if x is None or x != x or (x == 0.0 and count > 1):
            return x if count == 1 else None
        return x if all(constants.get(first + k) == x for k in range(count)) else None

    def operand(
        self, f: Function, space: int, first: int, count: int
    ) -> Callable[[Any, int, int], Lanes]:
        """How to read rows strip by strip."""
        constant = self.constant(space, first, count)
        if constant is not None:
            return lambda o, width, used: f.literal(constant, width)
        base, buffer = first * self.width(space), "%vl" if space == L else "%vs"
        return lambda o, width, used: f.load(buffer, o + base, width, used)

    def values(self, space: int) -> str:
        return "%vl" if space == L else "%vs"

    def adjoints(self, space: int) -> str:
        return "%gl" if space == L else "%gs"

    def lane_strips(self, f: Function, space: int, body: Callable[[Any, int], None]) -> None:
        """Run body(offset, width) for the strips of one row."""
        width = self.width(space)
        vector = min(width, self.vector)

        def some(i: Lanes) -> list[Lanes]:
            body(i, vector)
            return []

        f.loop(width, some, step=vector)

    def straight(self, space: int) -> bool:
        """Whether the lanes of a row are one vector, so that code for them has no loop."""
        return self.width(space) <= self.vector

    def each(self, f: Function, count: int, body: Callable[[Any], None]) -> None:
        """Run body(k) for k below count."""
        if count * max(1, self.lanes // self.vector) <= 2 * STRIPS:
            for k in range(count):
                body(k)
            return

        def some(k: Lanes) -> list[Lanes]:
            body(k)
            return []

        f.loop(count, some)

    def copies(self, i: Instruction) -> list[tuple[int, int, int]]:
        return self.runs(i.list_1, i.n) if i.kernel.endswith("_list") else [(i.a, 1, i.n)]


class Rows:
    """Single rows and their adjoints, kept at hand in straight-line code.

    A row that was read or computed is not read again; an adjoint is stored only by `flush`, if
    nothing has used it up until then. `o` is the offset of the lanes at hand, `w` how many; where
    they are those of a loop, nothing is kept beyond its body: `finish` ends it.
    """

    def __init__(self, e: Layout, f: Function, space: int, o: Any, w: int) -> None:
        self._e, self._f, self._space, self._o, self._w = e, f, space, o, w
        self._alone = not isinstance(o, int)
        self._values = {} if self._alone else f.rows
        self._sums = {} if self._alone else f.sums_of_rows

    def _place(self, space: int, row: int) -> tuple[Any, int]:
        return (self._o + row * self._e.lanes, self._w) if space == L else (row, 1)

    def read(self, row: int, space: int | None = None) -> Lanes:
        """The number, or numbers, of a row."""
        space = self._space if space is None else space
        x = self._values.get((space, row))
        if x is None:
            place, width = self._place(space, row)
            constant = self._e.blocks.constants[space].get(row)
            if constant is not None:
                x = self._f.literal(constant, width)
            else:
                x = self._f.load(self._e.values(space), place, width)
            self._values[space, row] = x
        return x

    def write(self, row: int, y: Lanes) -> None:
        """Set a row."""
        self._values[self._space, row] = y
        self._f.store(y, self._e.values(self._space), self._place(self._space, row)[0])

    def arrived(self, row: int, space: int | None = None) -> Lanes | None:
        """The adjoint of a row, which is used up; None where nothing arrived."""
        space = self._space if space is None else space
        g = self._sums.pop((space, row), None)
        if g is None and self._e.written[space][row]:
            g = self._f.load(self._e.adjoints(space), *self._place(space, row))
        return g

    def add(self, row: int, y: Lanes, space: int | None = None) -> None:
        """Add to the adjoint of a row."""
        space = self._space if space is None else space
        if space != self._space:  # S is written to for each chunk of lanes
            self._e.clear(space, row, 1)
        before = self.arrived(row, space)
        self._sums[space, row] = y if before is None else before + y

    def finish(self) -> None:
        """End the body of a loop."""
        if self._alone:
            _store(self._e, self._f, self._sums, self._o)


def flush(e: Layout, f: Function) -> None:
    """Store the adjoints at hand, which code other than that of single rows is about to use."""
    _store(e, f, f.sums_of_rows, 0)
    f.sums_of_rows.clear()


def _store(e: Layout, f: Function, sums: dict[tuple[int, int], Lanes], o: Any) -> None:
    for (space, row), g in sums.items():
        f.store(g, e.adjoints(space), o + row * e.lanes if space == L else row)
        e.written[space][row] = 1


def note_nan(e: Layout, f: Function, buffer: str, first: int, count: int) -> None:
    """Note whether there is a nan among some numbers: the exact rule might have none."""
    e.flat(f, count, lambda o, w, used: note(f, f.load(buffer, o + first, w, used)))


def note(f: Function, x: Lanes) -> None:
    """Note whether there is a nan among the lanes at hand."""
    found = f.compare("uno", x, x)
    if x.width > 1:
        cast = f.result(f"bitcast {found.type} {found.name} to i{x.width}", TRUTH, 1)
        any_ = f.result(f"icmp ne i{x.width} {cast.name}, 0", TRUTH, 1)
    else:
        any_ = found
    word = f.result(f"zext i1 {any_.name} to i64", INDEX, 1)
    text = f"getelementptr inbounds i64, ptr %pool, i64 {NAN_SEEN}"
    where = f.result(text, INDEX, 1)
    before = f.result(f"load i64, ptr {where.name}, align 8", INDEX, 1, pure=False)
    either = f.result(f"or i64 {before.name}, {word.name}", INDEX, 1, pure=False)
    f.lines.append(f" store i64 {either.name}, ptr {where.name}, align 8")
