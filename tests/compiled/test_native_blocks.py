"""Each kind of instruction as machine code, against the slow twins of the kernels.

Every buffer is full of nan at first, but for the inputs, the constants and the adjoints that the
plan says have to be 0. So whatever reads a row before it is written, or adds to an adjoint that
nobody began, is found out. Two chunks of lanes are run, and between them all is nan again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from compiled.native_runs import Buffers, Program, Written, blocks_of, run_twins, written
from compiled.twins import in_rows, twin_of
from engine.compiled import jit
from engine.compiled.lift import POOL_HEADER, Blocks, Instruction, L, S, Segments
from engine.ops import TABLE

pytestmark = pytest.mark.skipif(jit.DISABLED, reason="nothing is written out without Numba")

TOLERANCE = {"float64": 1e-12, "float32": 2e-4}  # of the largest number in a space
WIDTHS = (1, 8, 16, 64)
LARGE = 1e6
INPUTS = 32  # rows of each space
INDEX_ROW = 0  # of either space
SPARE = 3  # rows behind the others, which nobody may touch


# --- making blocks ---------------------------------------------------------------------------


class Maker:
    """Blocks under construction: instructions on rows that are there, with random operands."""

    def __init__(self, rng: random.Random, width: int) -> None:
        self.rng, self.width = rng, width
        self.rows = [INPUTS, INPUTS]
        self.pool = [0] * POOL_HEADER
        self.singles: list[tuple[int, ...]] = []  # operations of segments, as `Segments` has them
        self.instructions: list[Instruction] = []
        self.constants: tuple[dict[int, float], dict[int, float]] = ({}, {})
        for space in (S, L):  # some of the inputs are known, alone and in runs
            for _ in range(2):
                first, count = self.place(space, 3), rng.randint(1, 3)
                x = rng.choice((0.0, -0.0, 1.0, 0.75))
                self.constants[space].update(dict.fromkeys(range(first, first + count), x))

    def place(self, space: int, count: int) -> int:
        """Where so many rows may begin."""
        return self.rng.randint(0, self.rows[space] - count)

    def new(self, space: int, count: int) -> int:
        first = self.rows[space]
        self.rows[space] += count
        return first

    def list(self, entries: Iterable[int]) -> int:
        place = len(self.pool)
        self.pool += entries
        return place

    def some(self, space: int, count: int, *, signed: bool) -> list[int]:
        """A list of rows: runs of some lengths, with repetitions; ~row is a row's negative."""
        found: list[int] = []
        while len(found) < count:
            length = self.rng.choice((1, 1, 2, 5, count))
            length = min(length, count - len(found), self.rows[space])
            first, negative = self.place(space, length), signed and self.rng.random() < 0.3
            found += [~row if negative else row for row in range(first, first + length)]
        return found

    def add(self, kernel: str, space: int, n: int, count: int | None = None, **fields: Any) -> None:
        """Append an instruction with `count` new rows, or n."""
        out = self.new(space, n if count is None else count)
        self.instructions.append(Instruction(kernel, space, n, out, **fields))

    # --- of each kind ---

    def elementwise(self, space: int, n: int | None = None, row: str = "") -> None:
        n = n or self.rng.randint(1, 17)
        row = row or self.rng.choice(ROWS)
        first = self.place(space, n)
        near = [first, min(first + self.rng.randint(0, 3), self.rows[space] - n)]
        firsts = [self.rng.choice((*near, self.place(space, n))) for _ in range(TABLE[row].arity)]
        if row == "where":  # a rounding makes all the difference to a condition that is computed
            firsts[0] = self.rng.randint(0, INPUTS - n)
        self.add(f"ew_{row}", space, n, **dict(zip("abc", firsts, strict=False)))

    def gather(self, space: int) -> None:
        n = self.rng.randint(1, 17)
        self.add("gather", space, n, a=self.place(space, n))

    def gather_list(self, space: int) -> None:
        rows = self.some(space, self.rng.randint(1, 17), signed=True)
        self.add("gather_list", space, len(rows), list_1=self.list(rows))

    def broadcast(self, space: int) -> None:
        n = self.rng.randint(1, 17)
        self.add("broadcast", L, n, a=self.place(S, n))

    def broadcast_list(self, space: int) -> None:
        rows = self.some(S, self.rng.randint(1, 17), signed=False)
        self.add("broadcast_list", L, len(rows), list_1=self.list(rows))

    def mm(self, space: int, shape: tuple[int, int, int] | None = None) -> None:
        n, inner, cols = shape or (self.rng.randint(1, 4), self.rng.randint(1, 5), 1)
        for place, count in ((S, n * inner), (space, inner * cols), (space, n * cols), (S, n)):
            self.rows[place] = max(self.rows[place], count)
        self.add(
            *("mm", space, n, n * cols),
            a=self.place(S, n * inner),
            b=self.place(space, inner * cols),
            c=self.rng.choice((0, 1)),
            inner=inner,
            cols=cols,
            bias=self.rng.choice((-1, self.place(S, n))),
            init=self.rng.choice((-1, self.place(space, n * cols))),
        )

    def dot(self, space: int, form: tuple[int, int, int] | None = None) -> None:
        rng = self.rng
        n, inner, singles = form or (rng.randint(1, 9), rng.randint(0, 6), rng.randint(0, 2))
        singles = singles or int(inner == 0)
        along = 0 < inner <= self.rows[space] and rng.random() < 0.3
        lists = [
            self.columns(space, n, inner, signed=True, along=along),
            self.columns(space, n, inner, signed=False, along=along),
            self.columns(space, n, singles, signed=True),
        ]
        self.add(
            *("dot", space, n),
            c=rng.choice((0, 1)),
            inner=inner,
            cols=singles,
            list_1=self.list(lists[0]),
            list_2=self.list(lists[1]),
            list_3=self.list(lists[2]),
        )

    def columns(
        self, space: int, n: int, terms: int, *, signed: bool, along: bool = False
    ) -> list[int]:
        """The rows of n sums: of each term by its own rule, in a few pieces; or `along` a sum."""
        rng, table = self.rng, np.zeros((n, terms), np.int64)
        for j in range(terms):
            k = 0
            while k < n:
                count = min(rng.choice((1, 2, n, n)), n - k, self.rows[space])
                first, step = self.place(space, count), rng.choice((0, 1, 1))
                rows = first + step * np.arange(count)
                table[k : k + count, j] = ~rows if signed and rng.random() < 0.3 else rows
                k += count
        if along:
            for k in range(n):
                table[k] = self.place(space, terms) + np.arange(terms)
        if signed and table.size and rng.random() < 0.3:  # one sign differs from its neighbours'
            k, j = rng.randrange(n), rng.randrange(terms)
            table[k, j] = ~table[k, j]
        return [int(row) for row in table.ravel()]

    def max(self, space: int) -> None:
        n, inner = self.rng.randint(1, 4), self.rng.randint(1, 6)
        rows = self.some(space, n * inner, signed=False)
        self.add("max", space, n, inner=inner, list_1=self.list(rows))

    def take(self, space: int) -> None:
        """With an index among the inputs, which is made to be in range or not."""
        rng = self.rng
        of_index, source = (S, S) if space == S else rng.choice(((S, L), (L, S), (L, L)))
        n, length = rng.randint(1, 4), rng.randint(1, 5)
        entry, number = rng.choice(((n, 1), (1, length), (2, 1), (1, 1), (0, 1)))
        most = entry * (length - 1) + number * (n - 1) + 1
        if most > self.rows[source]:
            return
        first = self.place(source, most)
        table = [first + t * entry + k * number for t in range(length) for k in range(n)]
        if rng.random() < 0.2:  # then it stays a kernel
            rng.shuffle(table)
        fields = {"a": INDEX_ROW, "b": of_index, "c": source, "inner": length}
        self.add("take", space, n, **fields, list_1=self.list(table))

    def segment(self, space: int) -> None:
        first = len(self.singles)
        count = self.rng.choice((1, 3, 20, 150))
        for _ in range(count):
            row = self.rng.choice(ROWS)
            recent = range(max(0, self.rows[space] - 4), self.rows[space])
            rows = [self.rng.choice((*recent, self.place(space, 1))) for _ in range(3)]
            if row == "where":
                rows[0] = self.rng.randrange(INPUTS)
            self.singles.append((list(TABLE).index(row), self.new(space, 1), *rows))
        self.instructions.append(Instruction("segment", space, count, 0, list_1=first))

    # --- all of it ---

    def program(
        self, dtype: str, by_kernel: Callable[[Instruction], bool] = lambda i: False
    ) -> Program:
        """With outputs anywhere, so that adjoints arrive at some rows of an operand before."""
        rng = self.rng
        last = self.instructions[-1]
        outputs = [(last.space, self.rows[last.space] - 1 - k) for k in range(rng.randint(1, 3))]
        for space in (S, L):
            outputs += [(space, self.place(space, 1)) for _ in range(rng.randint(0, 3))]
        wanted = [(space, row) for space in (S, L) for row in range(INPUTS)]
        if rng.random() < 0.3:
            wanted = rng.sample(wanted, 5)
        blocks = blocks_of(
            sorted(self.instructions, key=lambda i: i.space),
            (self.rows[S] + SPARE, self.rows[L] + SPARE),
            outputs=list(dict.fromkeys(outputs)),
            constants=self.constants,
            pool=self.pool,
            segments=Segments(*np.array(self.singles, np.int32).reshape(-1, 5).T),
        )
        return Program(blocks, wanted, self.width, dtype, by_kernel)


ROWS = ("add", "sub", "mul", "neg", "square", "tanh", "sigmoid", "chain", "minimum", "where", "sin")


# --- running them ----------------------------------------------------------------------------


def written_rows(blocks: Blocks) -> tuple[set[int], set[int]]:
    """The rows that instructions compute."""
    found: tuple[set[int], set[int]] = (set(), set())
    segments = blocks.segments
    for i in (*blocks.instructions[S], *blocks.instructions[L]):
        if i.kernel == "segment":
            found[i.space].update(segments.out[i.list_1 : i.list_1 + i.n].tolist())
        else:
            found[i.space].update(range(i.out, i.out + i.n * (i.cols if i.kernel == "mm" else 1)))
    return found


class _TooLargeError(Exception):
    """Some number of a program is so large, by squares of squares, that others are lost in it."""


class Runs:
    """One program, run as machine code and by twins on the same numbers."""

    def __init__(self, native: Written, rng: random.Random) -> None:
        self.native, self.rng = native, rng
        self.program = native.program
        self.computed = written_rows(self.program.blocks)
        self.actual = Buffers(self.program)
        self.expected = Buffers(self.program)

    def check(self) -> None:
        """Raises AssertionError if they disagree, _TooLargeError if that would say nothing."""
        tolerance = TOLERANCE[self.program.dtype]
        self.fill(S)
        self.forward(S)
        self.native.clear(self.actual, S)
        self.expected.gs[:] = 0.0
        for _ in range(2):
            self.actual.vl[:] = self.actual.gl[:] = np.nan
            self.expected.gl[:] = 0.0
            self.fill(L)
            self.forward(L)
            self.native.clear(self.actual, L)
            self.backward(L)
            self.compare_adjoints(L, tolerance)
        self.backward(S)
        self.compare_adjoints(S, tolerance)
        for space in (S, L):
            spare = self.actual.adjoints(space)[-SPARE:]
            spare[spare == 0.0] = np.nan  # by the plan, where a segment stays with the kernels
            for rows in (self.actual.values(space)[-SPARE:], spare):
                assert np.isnan(rows).all(), "rows that are nobody's were written to"

    def fill(self, space: int) -> None:
        """Give inputs numbers, which both precisions have; the index is sometimes out of range."""
        rng, values = self.rng, self.actual.values(space)
        constants = self.program.blocks.constants[space]
        for row in range(len(values) - SPARE):
            if row in self.computed[space]:
                continue
            if row in constants:
                values[row] = constants[row]
                continue
            values[row] = [rng.uniform(-1.5, 1.5) for _ in values[row]]
            if row == INDEX_ROW:
                values[row] = [float(rng.randint(-7, 7)) for _ in values[row]]
        self.expected.values(space)[:] = values

    def forward(self, space: int) -> None:
        self.native.run(self.actual, space, backward=False)
        run_twins(self.program, self.expected, space, backward=False, twin_of=fast_twin_of)
        actual, expected = (b.values(space)[:-SPARE] for b in (self.actual, self.expected))
        if not np.abs(expected).max() < LARGE:
            raise _TooLargeError
        assert_close(actual, expected, TOLERANCE[self.program.dtype])
        # From here on both have the same numbers: a rounding may not grow backwards.
        expected[:] = actual

    def backward(self, space: int) -> None:
        """Add the adjoints of the outputs, and go through the instructions in reverse."""
        for place, row in self.program.blocks.outputs:
            if place == space:
                for buffers in (self.actual, self.expected):
                    assert not np.isnan(buffers.adjoints(space)[row]).any()
                seeds = [self.rng.uniform(-1.0, 1.0) for _ in range(self.width(space))]
                self.actual.adjoints(space)[row] += seeds
                self.expected.adjoints(space)[row] += seeds
        self.native.run(self.actual, space, backward=True)
        run_twins(self.program, self.expected, space, backward=True, twin_of=fast_twin_of)

    def width(self, space: int) -> int:
        return self.program.width if space == L else 1

    def compare_adjoints(self, space: int, tolerance: float) -> None:
        rows = [row for place, row in self.program.wanted if place == space]
        actual, expected = (b.adjoints(space)[rows] for b in (self.actual, self.expected))
        assert_close(actual, expected, tolerance)


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance * scale)


def fast_twin_of(name: str, backward: bool) -> Any:
    """The twin, but that of a matrix product by NumPy's."""
    if name == "mm":
        return mm_back_by_numpy if backward else mm_by_numpy
    return twin_of(name, backward)


def mm_by_numpy(ins, pool, ids, vs, gs, vl, gl, w):
    _, _, space, n, out, a, b, _, _, inner, cols, bias, init, *_ = map(int, ins)
    v = in_rows(space, vs, vl, w)
    block = v[b : b + inner * cols].reshape(inner, -1)
    total = vs[a : a + n * inner].reshape(n, inner) @ block
    if bias >= 0:
        total += vs[bias : bias + n, None]
    if init >= 0:
        total += v[init : init + n * cols].reshape(n, -1)
    v[out : out + n * cols] = total.reshape(n * cols, -1)


def mm_back_by_numpy(ins, pool, ids, vs, gs, vl, gl, w):
    _, _, space, n, out, a, b, _, flags, inner, cols, bias, init, *_ = map(int, ins)
    v, g = in_rows(space, vs, vl, w), in_rows(space, gs, gl, w)
    matrix = vs[a : a + n * inner].reshape(n, inner)
    block = v[b : b + inner * cols].reshape(inner, -1)
    adjoint = g[out : out + n * cols].reshape(n, -1).copy()
    if flags & 1:
        gs[a : a + n * inner] += (adjoint @ block.T).ravel()
    if flags & 2:
        g[b : b + inner * cols] += (matrix.T @ adjoint).reshape(inner * cols, -1)
    if flags & 4:
        gs[bias : bias + n] += adjoint.sum(axis=1)
    if flags & 8:
        g[init : init + n * cols] += adjoint.reshape(n * cols, -1)


def check_all(programs: Sequence[Program]) -> None:
    """Compile the programs together, and check one after the other."""
    too_large = 0
    for k, native in enumerate(written(programs)):
        try:
            Runs(native, random.Random(k)).check()
        except _TooLargeError:
            too_large += 1
        except AssertionError as error:
            blocks = native.program.blocks
            raise AssertionError(
                f"program {k}, {native.program.width} lanes, {native.program.dtype}, wanted "
                f"{native.program.wanted}, outputs {blocks.outputs}:\n"
                + "\n".join(str(i) for space in (S, L) for i in blocks.instructions[space])
            ) from error
    assert too_large <= len(programs) // 10


# --- each kind alone -------------------------------------------------------------------------

KINDS = ("elementwise", "gather", "gather_list", "broadcast", "broadcast_list", "mm", "dot")
KINDS += ("max", "take", "segment")
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


def alone(kind: str, dtype: str, count: int, widths: Sequence[int] = WIDTHS) -> Iterator[Program]:
    """Programs of one instruction, and something to read its result from."""
    rng = random.Random(f"{kind}/{dtype}")
    for k in range(count):
        maker = Maker(rng, widths[k % len(widths)])
        space = S if k // len(widths) % 2 else L
        getattr(maker, kind)(space)
        if maker.instructions:
            yield maker.program(dtype)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_an_instruction_alone(kind: str, dtype: str) -> None:
    check_all([*alone(kind, dtype, 40)])


# --- many shapes -----------------------------------------------------------------------------

COLUMNS = (1, 2, 3, 5, 8, 15, 16, 17, 64)


def products(dtype: str, shapes: Iterable[tuple[int, int, int]]) -> Iterator[Program]:
    rng = random.Random(dtype)
    for k, shape in enumerate(shapes):
        maker = Maker(rng, WIDTHS[k % len(WIDTHS)])
        maker.mm(S if rng.random() < 0.5 else L, shape)
        yield maker.program(dtype)


@DTYPES
def test_matrix_products_of_all_small_shapes(dtype: str) -> None:
    """Each pair of sizes up to 20 occurs, with columns of all kinds in turn."""
    rng = random.Random(0)
    pairs = [(n, inner) for n in range(1, 21) for inner in range(1, 21)]
    shapes = [(n, inner, rng.choice(COLUMNS[:5])) for n, inner in rng.sample(pairs, 100)]
    shapes += [(rng.randint(1, 5), rng.randint(1, 5), cols) for cols in COLUMNS[5:]]
    check_all([*products(dtype, shapes)])


@DTYPES
def test_operands_that_overlap(dtype: str) -> None:
    """A row's operands begin anywhere near each other; something arrived before at some of them."""
    programs = []
    rng = random.Random(dtype)
    for n in (2, 3, 4, 9):
        for offset in range(-n, n + 1):
            for space, width in ((S, 1), (L, rng.choice(WIDTHS[1:]))):
                maker = Maker(rng, width)
                first = rng.randint(n, INPUTS - 2 * n)
                maker.constants[space].clear()
                maker.add("ew_mul", space, n, a=first, b=first + offset)
                programs.append(maker.program(dtype))
    check_all(programs)


@DTYPES
def test_sums_of_many_forms(dtype: str) -> None:
    programs = []
    rng = random.Random(dtype)
    for k in range(60):
        maker = Maker(rng, WIDTHS[k % 2])
        form = (rng.randint(1, 20), rng.randint(0, 20), rng.choice((0, 0, 1, 3)))
        maker.dot(S if k % 4 < 2 else L, form)
        programs.append(maker.program(dtype))
    check_all(programs)


# --- zeros -----------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("kind", ["mm", "dot"])
def test_sums_of_zeros_have_the_sign_that_they_have_one_by_one(kind: str, dtype: str) -> None:
    rng = random.Random(kind)
    programs = []
    for k in range(24):
        maker, long = Maker(rng, WIDTHS[k % 3]), rng.choice((1, 2, 3, 5, 12, 19, 160))
        maker.rows[:] = [200, 200]
        if kind == "mm":
            maker.mm(S if k % 6 < 3 else L, (rng.randint(1, 3), long % 60, rng.choice((1, 2, 9))))
        else:
            maker.dot(S if k % 6 < 3 else L, (rng.randint(1, 9), long, rng.choice((0, 0, 1))))
        programs.append(maker.program(dtype))
    for native in written(programs):
        actual, expected = Buffers(native.program), Buffers(native.program)
        for buffers in (actual, expected):
            signs = random.Random(0)
            for numbers in (buffers.vs, buffers.vl):
                numbers[:] = signs.choices((0.0, -0.0), k=len(numbers))
        space = S if native.program.blocks.instructions[S] else L
        native.run(actual, space, backward=False)
        run_twins(native.program, expected, space, backward=False)
        for a, b in ((actual.vs, expected.vs), (actual.vl, expected.vl)):
            np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


# --- many instructions -----------------------------------------------------------------------


def together(seed: Any, dtype: str) -> Program:
    """Up to twelve instructions, which read the same rows in ranges that overlap in part; now and
    then some stay kernels."""
    rng = random.Random(f"{seed}/{dtype}")
    maker = Maker(rng, rng.choice(WIDTHS))
    for _ in range(rng.randint(2, 12)):
        getattr(maker, rng.choice(KINDS))(rng.choice((S, L)))
    kept = {i.out for i in maker.instructions if rng.random() < 0.3 * (rng.random() < 0.5)}
    return maker.program(dtype, lambda i: i.out in kept)


@DTYPES
def test_instructions_together(dtype: str) -> None:
    check_all([together(seed, dtype) for seed in range(80)])


@pytest.mark.full
@DTYPES
@pytest.mark.parametrize("seeds", [range(k, k + 200) for k in range(1000, 5000, 200)])
def test_many_instructions_together(seeds: range, dtype: str) -> None:
    check_all([together(seed, dtype) for seed in seeds])
