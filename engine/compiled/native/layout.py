"""Where rows lie, and how code goes over them: what all emitting functions share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.compiled.blocks import ADJOINT, NAN_SEEN, Array, Instruction, L, Lists, View
from engine.compiled.native.function import Function
from engine.compiled.native.job import AT
from engine.compiled.native.numbers import Lanes

if TYPE_CHECKING:
    from engine.compiled.adjoint import Backward

Signed = Callable[[Lanes], Lanes]
Write = Callable[["Layout", Function, Sequence[Instruction]], None]

STRIPS = 8  # strips of a block up to which it is written without a loop
RUNS = 600  # vectors in the runs of a list up to which it is written out, not read at run time
WRITTEN = 200  # single operations that are written out in a program that runs now and then
WRITTEN_HOT = 60_000  # and in one that runs often
_BUFFERS = ("%vs", "%vl", "%gs", "%gl")  # by space


class Layout:
    """The rows of a lifted function, for chunks of `lanes` examples.

    `vector` is how many numbers a vector register holds, `totals` how many registers are for the
    sums of a product, beside its operands; `steps` are those of `Backward`. Only if it is `hot` are
    thousands of single operations written out, which takes LLVM seconds.
    """

    def __init__(
        self, lists: Lists, steps: Array, lanes: int, dtype: str, vector_bytes: int, hot: bool
    ) -> None:
        self.lists, self.steps, self.lanes = lists, steps, lanes
        self.in_place: View | None = None  # inputs of L that are not copied
        # The rows of S and of L that are read from memory; None if all had better be there.
        self.read: tuple[Array, Array] | None = None
        self.dtype, self._vector_bytes = dtype, vector_bytes
        self.number = "float" if dtype == "float32" else "double"
        self.vector = vector_bytes // (4 if dtype == "float32" else 8)
        self.totals = 24 if vector_bytes == 64 else 12
        # whether the operations of segments are written out
        self.writes_out = lists.segments.single <= (WRITTEN_HOT if hot else WRITTEN)
        self._buffers: Sequence[str] = _BUFFERS
        # The adjoints of the steps of loops, by their places, and what writes instructions.
        self.inner: dict[int, Backward] = {}
        self.write: Write | None = None

    def of_inner(self, lists: Lists, lanes: int, buffers: Sequence[str]) -> Layout:
        """The same for the step of a loop, for so many lanes, whose rows are in buffers of its own:
        by space."""
        made = Layout(lists, self.steps, lanes, self.dtype, self._vector_bytes, hot=True)
        made._buffers, made.inner, made.write = buffers, self.inner, self.write
        return made

    def job(self, name: str) -> int:
        """The place of a word of the job."""
        return AT[name]

    def buffer(self, space: int) -> str:
        """What a space's rows are called in machine code."""
        return self._buffers[space]

    def place(self, view: View) -> tuple[str, int]:
        """The buffer of a run of rows, and where in it they begin."""
        return self._buffers[view.space], view.first * self.width(view.space)

    def is_in_place(self, view: View) -> bool:
        """Whether these rows are inputs that are not copied: see `example`."""
        known = self.in_place is not None and isinstance(view.first, int)
        return known and view == self.in_place

    def example(self, f: Function, lane: Any) -> str:
        """Where an example at hand has its inputs that are read in place."""
        return f.pointer(f.pointer("%job", self.job("rows")), lane)

    def numbers(self, view: View) -> int:
        """How many numbers the rows are."""
        return view.count * self.width(view.space)

    def first_lane(self, f: Function, space: int) -> Lanes:
        """The number of the first example at hand."""
        return f.given("%start") if space == L else f.index(0)

    def listed(self, f: Function, place: Any) -> tuple[Lanes, Lanes]:
        """A row of a list that is read at run time, and whether it is negated."""
        word = f.word("%pool", place)
        return f.binary("xor", word, f.binary("ashr", word, 63)), f.holds("slt", word, 0)

    def width(self, space: int) -> int:
        """How many numbers a row has."""
        return self.lanes if space & 1 == L else 1

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
            step = self.vector
            f.loop(full * step, lambda i: body(i, step, step), step=step)
            pieces = pieces[full:]
        for offset, width, used in pieces:
            body(offset, width, used)

    def constant(self, view: View) -> float | None:
        """The number that fills all of some rows, if there is one."""
        if view.space & ADJOINT or isinstance(view.first, Lanes):  # known at run time only
            return None
        constants = self.lists.constants[view.space]
        x = constants.get(view.first)
        if x is None or x != x or (x == 0.0 and view.count > 1):
            return x if view.count == 1 else None
        same = all(constants.get(view.first + k) == x for k in range(view.count))
        return x if same else None

    def operand(self, f: Function, view: View) -> Callable[[Any, int, int], Lanes]:
        """How to read rows strip by strip."""
        constant = self.constant(view)
        if constant is not None:
            return lambda o, width, used: f.literal(constant, width)
        buffer, base = self.place(view)
        return lambda o, width, used: f.load(buffer, o + base, width, used)

    def lane_strips(
        self, f: Function, space: int, body: Callable[[Any, int], None], together: int = 1
    ) -> None:
        """Run body(offset, width) for the strips of one row, so many vectors `together`."""
        width = self.width(space)
        vector = min(width, self.vector)
        vector *= together if width % (vector * together) == 0 else 1
        f.loop(width, lambda i: body(i, vector), step=vector)

    def straight(self, space: int) -> bool:
        """Whether the lanes of a row are one vector, so that code for them has no loop."""
        return self.width(space) <= self.vector

    def each(self, f: Function, count: int, body: Callable[[Any], None]) -> None:
        """Run body(k) for k below count."""
        few = count * max(1, self.lanes // self.vector) <= 2 * STRIPS
        f.loop(count, body, unrolled=few)

    def each_run(
        self, f: Function, view: View, body: Callable[[Any, Any, int, Signed], None]
    ) -> None:
        """Run body(k, row, count, signed) for each run of a list: `count` rows from `row` on have
        the places from k on, and signed(x) is x, or -x if they are negated. Runs of one length that
        are evenly apart, as the parts of rows of a matrix are, become a loop. A list that is
        irregular is read at run time, row by row."""
        moving = view.listed and not isinstance(view.first, int)
        groups = [] if moving else [*_even(self.lists.runs(view))]
        vectors = -(-self.width(view.space) // self.vector)
        if moving or (view.listed and len(groups) * vectors > RUNS):

            def one(k: Lanes) -> None:
                row, negative = self.listed(f, k + view.first)
                body(k, row, 1, lambda x: f.select(negative, -x, x))

            f.loop(view.count, one)
            return
        k = 0
        for row, sign, count, stride, times in groups:
            signed: Signed = operator.neg if sign < 0 else lambda x: x

            def several(
                t: Any,
                k: int = k,
                row: int = row,
                count: int = count,
                stride: int = stride,
                signed: Signed = signed,
            ) -> None:
                body(t * count + k, t * stride + row, count, signed)

            f.loop(times, several)
            k += count * times

    def flush(self, f: Function) -> None:
        """Store the adjoints at hand, which code other than that of single rows is about to use."""
        _store(self, f, f.sums_of_rows, 0)
        f.sums_of_rows.clear()


class AtHand:
    """Single rows and their adjoints, kept at hand in straight-line code.

    A row that was read or computed is not read again; an adjoint is stored only by `flush`, if
    nothing has used it up until then. `o` is the offset of the lanes at hand, `width` how many;
    where they are those of a loop, nothing is kept beyond its body: `finish` ends it.
    """

    def __init__(self, e: Layout, f: Function, space: int, o: Any, width: int) -> None:
        self._e, self._f, self._space, self._o, self.width = e, f, space, o, width
        self._alone = not isinstance(o, int)
        self._values = {} if self._alone else f.rows
        self._sums = {} if self._alone else f.sums_of_rows

    def _place(self, space: int, row: int) -> tuple[Any, int]:
        return (self._o + row * self._e.lanes, self.width) if space == L else (row, 1)

    def read(self, row: int, space: int | None = None) -> Lanes:
        """The number, or numbers, of a row."""
        space = self._space if space is None else space
        x = self._values.get((space, row))
        if x is None:
            place, width = self._place(space, row)
            constant = self._e.lists.constants[space].get(row)
            if constant is not None:
                x = self._f.literal(constant, width)
            else:
                x = self._f.load(self._e.buffer(space), place, width)
            self._values[space, row] = x
        return x

    def read_in(self, space: int, row: int) -> Lanes:
        """The same in any space, of values or of adjoints."""
        values = space & ~ADJOINT
        return self.arrived(row, values) if space & ADJOINT else self.read(row, values)

    def write(self, row: int, y: Lanes) -> None:
        """Set a row."""
        self._values[self._space, row] = y
        self._f.store(y, self._e.buffer(self._space), self._place(self._space, row)[0])

    def arrived(self, row: int, space: int | None = None, *, last: bool = False) -> Lanes:
        """The adjoint of a row; at its `last` use it need not be stored."""
        space = self._space if space is None else space
        g = self._sums.pop((space, row), None) if last else self._sums.get((space, row))
        if g is None:
            g = self._f.load(self._e.buffer(space | ADJOINT), *self._place(space, row))
        return g

    def add(self, row: int, y: Lanes, adds: bool, space: int | None = None) -> None:
        """Add to the adjoint of a row, or set it."""
        space = self._space if space is None else space
        self._sums[space, row] = self.arrived(row, space) + y if adds else y

    def finish(self) -> None:
        """End the body of a loop."""
        if self._alone:
            _store(self._e, self._f, self._sums, self._o)


def _even(runs: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int, int, int]]:
    """Runs of rows, those together that are alike and evenly apart: the first row, the sign, the
    length, how far the next one is, and how many there are."""
    k = 0
    while k < len(runs):
        row, sign, count = runs[k]
        n, stride = 1, 0
        while k + n < len(runs) and runs[k + n][1:] == (sign, count):
            step = runs[k + n][0] - runs[k + n - 1][0]
            if n > 1 and step != stride:
                break
            stride, n = step, n + 1
        n = n if n >= STRIPS else 1
        yield row, sign, count, stride, n
        k += n


def _store(e: Layout, f: Function, sums: dict[tuple[int, int], Lanes], o: Any) -> None:
    for (space, row), g in sums.items():
        f.store(g, e.buffer(space | ADJOINT), o + row * e.lanes if space == L else row)


def note_nan(e: Layout, f: Function, view: View) -> None:
    """Note whether there is a nan among some rows: the exact rule might have none."""
    buffer, first = e.place(view)
    e.flat(
        f,
        e.numbers(view),
        lambda o, w, used: f.note_nan(f.load(buffer, o + first, w, used), NAN_SEEN),
    )
