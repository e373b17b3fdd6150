"""Every row of the table of instructions: emitted, by the interpreter and on scalars, the same.

Buffers of a row that is run alone are full of numbers, and all of them are compared afterwards, so
that whoever writes where it should not is found out. Those of functions, which are run by the
driver with their adjoint, are full of nan: so is whoever reads a row before it is written, or adds
to an adjoint that nobody began.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from compiled.instruction_programs import (
    FORWARD,
    INPUTS,
    KINDS,
    LONG,
    WIDTHS,
    Maker,
    Program,
    alone,
    together,
)
from compiled.program_runs import Plain, Scalars, State, emitted, gemm, interpret, state_of
from engine import randomness
from engine.compiled import jitted
from engine.compiled.blocks import NAN_SEEN, SEED, STEP, L, S
from engine.compiled.instructions import ROWS, dots, matrices, moves
from engine.compiled.interpreter import Interpreter
from engine.compiled.native import layout

EMITTED = pytest.mark.skipif(jitted.DISABLED, reason="nothing is emitted without Numba")
SINGLE = pytest.param("float32", marks=pytest.mark.slow)
DTYPES = pytest.mark.parametrize("dtype", ["float64", SINGLE])
SPACES = pytest.mark.parametrize("space", [S, L], ids=["shared", "lanes"])
KIND = pytest.mark.parametrize("kind", ROWS)
SEEDS = pytest.mark.parametrize(
    "seeds", [range(20), pytest.param(range(20, 40), marks=pytest.mark.slow)], ids=str
)
# Of the largest number in a space: sums may be in another order, and the twin's numbers are double.
ALONE = {"float64": 1e-13, "float32": 2e-5}
TOGETHER = {"float64": 1e-12, "float32": 2e-4}
LARGE = 1e6
SPACE_NAMES = ("values of S", "values of L", "adjoints of S", "adjoints of L")


def test_every_row_of_the_table_has_cases() -> None:
    assert KINDS.keys() == ROWS.keys()
    for kind in ROWS:
        made = {i.kind for p in alone(kind, "float64", 8) for i in p.parts["forward_lanes"]}
        assert kind in made


# --- comparing -------------------------------------------------------------------------------


def assert_close(actual: Any, expected: Any, tolerance: float, name: str = "") -> None:
    finite = np.isfinite(expected)
    scale = np.abs(expected[finite]).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance * scale, err_msg=name)


def assert_same_state(actual: State, expected: State, tolerance: float) -> None:
    """All rows of all spaces, the pool, and which checks failed."""
    program = actual.program
    for space in range(4):
        a, b = actual.rows(space).copy(), expected.rows(space).copy()
        for i in program.parts["forward_lanes"]:
            if i.kind in ("segment_back", "loop_back") and i.out.space == space:
                a[program.loose], b[program.loose] = 0.0, 0.0
        assert_close(a, b, tolerance, SPACE_NAMES[space])
    np.testing.assert_array_equal(actual.pool, expected.pool)
    np.testing.assert_array_equal(actual.work.fail, expected.work.fail)
    np.testing.assert_array_equal(actual.work.found, expected.work.found.astype(program.dtype))


def each(programs: Sequence[Program], check: Callable[[int, Program, Any], None]) -> None:
    """Emit programs together, and check one after the other."""
    for k, (program, run) in enumerate(zip(programs, emitted(programs), strict=True)):
        try:
            check(k, program, run)
        except AssertionError as error:
            raise AssertionError(f"program {k}, {program}") from error


def check_alone(programs: Sequence[Program], tolerance: float | None = None) -> None:
    def check(k: int, program: Program, run: Any) -> None:
        state = state_of(program, random.Random(k), program.width, full=True)
        actual, expected = state.copy(program.dtype), state.copy("float64")
        run(actual)
        interpret(expected)
        assert_same_state(actual, expected, tolerance or ALONE[program.dtype])

    each(programs, check)


# --- each row alone --------------------------------------------------------------------------


@EMITTED
@DTYPES
@KIND
@pytest.mark.parametrize("count", [12, pytest.param(24, marks=pytest.mark.slow)])
def test_a_row_alone(kind: str, dtype: str, count: int) -> None:
    check_alone([*alone(kind, dtype, count)])


@KIND
def test_a_row_alone_by_numba(kind: str) -> None:
    for k, program in enumerate(alone(kind, "float64", 16)):
        state = state_of(program, random.Random(k), program.width, full=True)
        actual, expected = state.copy("float64"), state.copy("float64")
        interpret(actual, Interpreter)
        interpret(expected)
        assert_same_state(actual, expected, ALONE["float64"])


@EMITTED
@DTYPES
@pytest.mark.parametrize("name", LONG)
def test_a_list_that_is_read_at_run_time(name: str, dtype: str) -> None:
    programs = []
    for width, space in ((1, S), (1, L), (8, L), (64, L)):
        maker = Maker(random.Random(name), width)
        LONG[name](maker, space)
        programs.append(maker.alone(dtype))
    check_alone(programs)


@EMITTED
@DTYPES
def test_a_list_of_runs_is_written_out_and_the_same(dtype: str) -> None:
    """At the number of runs from which on it is not."""
    programs = []
    for count in (600, 601):
        maker = Maker(random.Random(count), 8)
        view = maker.listed(L, [(k * 2) % INPUTS for k in range(count)])
        maker.add("gather", maker.new(L, count), view)
        programs.append(maker.alone(dtype))
    check_alone(programs)


# --- many shapes -----------------------------------------------------------------------------

COLUMNS = (1, 2, 3, 5, 8, 15, 16, 17, 64)


def products(make: str, dtype: str, shapes: Iterable[tuple[int, int, int]]) -> list[Program]:
    rng = random.Random(f"{make}/{dtype}")
    programs = []
    for k, shape in enumerate(shapes):
        maker = Maker(rng, WIDTHS[k % len(WIDTHS)])
        getattr(maker, make)(S if rng.random() < 0.5 else L, shape)
        programs.append(maker.alone(dtype))
    return programs


@EMITTED
@DTYPES
@pytest.mark.parametrize("make", ["product", "transposed", "outer"])
def test_matrix_products_of_many_shapes(make: str, dtype: str) -> None:
    """Pairs of sizes up to 20, with columns of all kinds in turn."""
    rng = random.Random(make)
    pairs = [(n, inner) for n in range(1, 21) for inner in range(1, 21)]
    shapes = [(n, inner, rng.choice(COLUMNS[:5])) for n, inner in rng.sample(pairs, 40)]
    shapes += [(rng.randint(1, 5), rng.randint(1, 5), cols) for cols in COLUMNS[5:]]
    shapes += [(20, 30, 1), (1, 70, 1), (70, 1, 1), (33, 40, 3)]
    shapes += [(25, 66, 2), (50, 31, 1)]  # of tiles of several heights, in loops
    check_alone(products(make, dtype, shapes))


@EMITTED
@DTYPES
@pytest.mark.parametrize("make", ["product", "transposed", "outer"])
def test_small_matrix_products_among_single_rows(make: str, dtype: str) -> None:
    """They are written out with the single rows around them, where the lanes are one vector."""
    rng = random.Random(make)
    programs = []
    for n, inner, cols in ((2, 3, 1), (3, 2, 1), (2, 2, 2), (4, 3, 1), (1, 4, 3), (2, 4, 2)):
        maker = Maker(rng, 8)
        getattr(maker, make)(L, (n, inner, cols))
        maker.segment(L, 3)
        getattr(maker, make)(L, (n, inner, cols))
        programs.append(maker.alone(dtype))
    check_alone(programs)


@EMITTED
@DTYPES
def test_sums_of_many_forms(dtype: str) -> None:
    programs = []
    rng = random.Random(dtype)
    for k in range(60):
        maker = Maker(rng, WIDTHS[k % 2])
        form = (rng.randint(1, 20), rng.randint(0, 20), rng.choice((0, 0, 1, 3)))
        maker.dot(S if k % 4 < 2 else L, form)
        programs.append(maker.alone(dtype))
    check_alone(programs)


@EMITTED
@DTYPES
def test_adjoints_of_sums_of_many_forms(dtype: str) -> None:
    """Forwards and backwards: factors and targets in pieces that go up, stay, or follow a sum."""
    programs = []
    rng = random.Random(dtype)
    for k in range(40):
        maker = Maker(rng, WIDTHS[k % 2])
        space = S if k % 4 < 2 else L
        maker.dot(space, (rng.randint(1, 20), rng.randint(0, 20), rng.choice((0, 0, 1, 3))))
        last = maker.rows[space] - 1
        outputs = [(space, row) for row in range(INPUTS, last + 1)]
        programs.append(maker.function(dtype, outputs=outputs))
    check_functions(programs, [False] * len(programs))


@EMITTED
@DTYPES
def test_operands_that_overlap(dtype: str) -> None:
    """A row's operands begin anywhere near each other; something arrived before at some of them."""
    programs = []
    rng = random.Random(dtype)
    for n in (2, 4, 9):
        for offset in range(-n, n + 1):
            for space, width in ((S, 1), (L, rng.choice(WIDTHS[1:])))[offset % 2 :]:
                maker = Maker(rng, width)
                first = rng.randint(n, INPUTS - 2 * n)
                maker.constants[space].clear()
                a, b = maker.run(space, n)._replace(first=first), first + offset
                out = maker.new(space, n)
                maker.add("map", out, a, a._replace(first=b), name="mul")
                programs.append(maker.function(dtype))
    check_functions(programs)


@EMITTED
@DTYPES
@SPACES
@pytest.mark.parametrize("by", ["loops", "BLAS"])
def test_a_large_matrix_product(by: str, space: int, dtype: str) -> None:
    address = gemm(dtype) if by == "BLAS" else 0
    if by == "BLAS" and not address:
        pytest.skip("BLAS comes with SciPy")
    n, inner, cols = (420, 301, 1) if space == L else (210, 200, 192)
    programs = []
    for make in ("product", "transposed", "outer"):
        maker = Maker(random.Random(make), 64)
        getattr(maker, make)(space, (n, inner, cols))
        programs.append(maker.alone(dtype))
        (i,) = maker.instructions
        assert matrices.is_large(i, 64 if space == L else 1)

    def check(k: int, program: Program, run: Any) -> None:
        state = state_of(program, random.Random(k), 64, full=True)
        actual, expected = state.copy(program.dtype), state.copy("float64")
        actual.gemm = address
        run(actual)
        interpret(expected)
        assert_same_state(actual, expected, ALONE[dtype])

    each(programs, check)


# --- zeros and nan ---------------------------------------------------------------------------


@EMITTED
@DTYPES
@pytest.mark.parametrize("kind", ["product", "dot"])
def test_sums_of_zeros_have_the_sign_that_they_have_one_by_one(kind: str, dtype: str) -> None:
    rng = random.Random(kind)
    programs = []
    for k in range(24):
        maker, long = Maker(rng, WIDTHS[k % 3]), rng.choice((1, 2, 3, 5, 12, 19, 160))
        maker.rows[:] = [200, 200]
        space = S if k % 6 < 3 else L
        for constants in maker.constants:
            constants.clear()
        if kind == "product":
            maker.product(space, (rng.randint(1, 3), long % 60, rng.choice((1, 2, 9))))
        else:
            maker.dot(space, (rng.randint(1, 9), long, rng.choice((0, 0, 1))))
        programs.append(maker.alone(dtype))

    def check(k: int, program: Program, run: Any) -> None:
        state = state_of(program, random.Random(k), program.width, full=True)
        for buffer in state.buffers:
            buffer[:] = random.Random(k).choices((0.0, -0.0), k=len(buffer))
        actual, expected = state.copy(dtype), state.copy("float64")
        run(actual)
        interpret(expected, OneByOne)
        for space in range(4):
            a, b = actual.rows(space), expected.rows(space)
            np.testing.assert_array_equal(np.signbit(a), np.signbit(b), SPACE_NAMES[space])
        if dtype == "float64":
            by_numba = state.copy(dtype)
            interpret(by_numba, Interpreter)
            for a, b in zip(by_numba.buffers, expected.buffers, strict=True):
                np.testing.assert_array_equal(np.signbit(a), np.signbit(b))

    each(programs, check)


class OneByOne(Plain):
    """Products whose terms are added up one by one, beginning with none."""

    def product(self, x: Any, y: Any, out: Any) -> None:
        for j in range(x.shape[1]):
            out += x[:, j : j + 1] * y[j]


@EMITTED
@DTYPES
@pytest.mark.parametrize("kind", ["product", "dot", "map", "segment"])
def test_a_nan_is_noted_where_the_exact_rule_is_to_be_asked(kind: str, dtype: str) -> None:
    """Of sums that say so and of `pass_on`; not of others, and not of what is nobody's result."""
    rng = random.Random(kind)
    programs = []
    for k in range(24):
        maker = Maker(rng, WIDTHS[k % 4])
        space = S if k % 8 < 4 else L
        if kind == "map":
            maker.map(space, name=("pass_on", "mul")[k % 2])
        elif kind == "segment":
            maker.segment(space, (1, 30)[k % 2])
            code = [*engine_rows()].index("pass_on")
            maker.columns[0][:] = [code if rng.random() < 0.3 else c for c in maker.columns[0]]
        else:
            getattr(maker, kind)(space)
        programs.append(maker.alone(dtype, hot=k % 3 > 0))
    noted = set()

    def check(k: int, program: Program, run: Any) -> None:
        for share in (0.0, 0.05):
            numbers = random.Random(k)
            state = state_of(program, numbers, program.width, full=True)
            for buffer in state.buffers:
                special = [numbers.random() < share for _ in buffer]
                buffer[special] = numbers.choices((0.0, math.inf, math.nan), k=sum(special))
            for space in (S, L):
                for row, x in program.lists.constants[space].items():
                    state.rows(space)[row] = x
            actual, expected = state.copy(dtype), state.copy("float64")
            with np.errstate(all="ignore"):
                run(actual)
                interpret(expected)
            assert actual.pool[NAN_SEEN] == expected.pool[NAN_SEEN]
            noted.add(int(actual.pool[NAN_SEEN]))

    each(programs, check)
    assert noted == {0, 1}


def engine_rows() -> Iterable[str]:
    from engine.ops import TABLE

    return TABLE


# --- draws and guards ------------------------------------------------------------------------


@EMITTED
@SPACES
@pytest.mark.parametrize("seed", [0, -1, 2**62], ids=lambda seed: f"seed {seed}")
def test_draws_are_exactly_those_of_the_engine(seed: int, space: int) -> None:
    maker = Maker(random.Random(seed), 8)
    maker.draw(space)
    (i,) = maker.instructions
    program = maker.alone("float64")
    state = state_of(program, random.Random(0), 8, full=True)
    state.pool[SEED] = seed
    (run,) = emitted([program])
    run(state)
    drawn = state.rows(space)[i.out.first : i.out.first + i.out.count]
    for k, row in enumerate(drawn.tolist()):
        for lane, x in enumerate(row):
            ids, call = state.work.ids[lane], state.pool[i.shape[0] + k]
            counters = map(int, (seed, state.pool[STEP], ids, call))
            assert x == randomness.draw(*counters)


@EMITTED
@pytest.mark.parametrize("space", [S, L], ids=["shared", "lanes"])
def test_a_draw_in_single_precision_is_never_1(space: int) -> None:
    maker = Maker(random.Random(0), 64)
    calls = maker.listed(S, range(3000))
    maker.add("draw", maker.new(space, 3000), shape=(calls.first,))
    program = maker.alone("float32")
    (run,) = emitted([program])
    state = state_of(program, random.Random(0), 64, full=True).copy("float32")
    run(state)
    drawn = state.rows(space)[INPUTS:]
    assert drawn.min() >= 0.0 and 0.99 < drawn.max() < 1.0


# --- functions, with their adjoint -----------------------------------------------------------


def gradients_of(state: State) -> list[Any]:
    """By each wanted row."""
    columns, found = state.program.columns, []
    for space, row in state.program.wanted:
        if space == S:
            found.append(state.gs[[row]])
        else:
            found.append(state.work.lane_gradient[:, columns.index(row)])
    return found


def too_large(state: State) -> bool:
    """Whether numbers are so large, by squares of squares, that others are lost in them."""
    some = [state.rows(space) for space in range(4)]
    limit = LARGE if state.program.dtype == "float64" else 1e3
    return any(np.abs(x[np.isfinite(x)]).max(initial=0.0) > limit for x in some)


def check_functions(programs: Sequence[Program], exact_scalars: Sequence[bool] = ()) -> None:
    """By machine code and by the interpreter; in double precision, on the engine's scalars too."""
    skipped = 0

    def check(k: int, program: Program, run: Any) -> None:
        nonlocal skipped
        rng = random.Random(k)
        count = rng.choice((1, program.width, 2 * program.width + 3))
        state = state_of(program, rng, count, full=False)
        actual, expected = state.copy(program.dtype), state.copy("float64")
        interpret(expected)
        if too_large(expected):
            skipped += 1
            return
        run(actual)
        tolerance = TOGETHER[program.dtype]
        assert expected.done == 1  # emitted, what can't be trained counts no steps
        assert not np.isnan(expected.work.outputs).any()
        assert_close(actual.work.outputs, expected.work.outputs, tolerance, "outputs")
        pairs = [*zip(gradients_of(actual), gradients_of(expected), strict=True)]
        assert_close(*map(np.concatenate, zip(*pairs, strict=True)), tolerance, "gradients")
        assert actual.pool[NAN_SEEN] == expected.pool[NAN_SEEN] == 0
        if program.dtype == "float64" and (not exact_scalars or exact_scalars[k]):
            scalars = Scalars(state)
            by_hand = np.concatenate(scalars.gradients(state.work.weights.tolist()))
            assert_close(np.concatenate(gradients_of(expected)), by_hand, tolerance, "scalars")

    each(programs, check)
    assert skipped <= len(programs) // 5, skipped


@EMITTED
@DTYPES
@pytest.mark.parametrize("kind", FORWARD)
def test_the_adjoint_of_a_row(kind: str, dtype: str) -> None:
    programs = []
    for k in range(12):
        rng = random.Random(f"{kind}/{dtype}/{k}")
        maker = Maker(rng, WIDTHS[k % 4])
        for _ in range(2):
            getattr(maker, kind)(S if k // 4 % 2 else L)
        programs.append(maker.function(dtype, exact=k % 3 == 0, hot=k % 2 == 0))
    check_functions(programs)


@EMITTED
@DTYPES
@SEEDS
def test_instructions_together(dtype: str, seeds: range) -> None:
    check_functions([together(seed, dtype, exact=seed % 4 == 0) for seed in seeds])


@EMITTED
@DTYPES
@SEEDS
def test_instructions_together_whose_lists_are_read_at_run_time(
    dtype: str, seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((dots, "_RUNS"), (moves, "RUNS"), (layout, "RUNS")):
        monkeypatch.setattr(module, name, 0)
    check_functions([together(seed, dtype, exact=seed % 4 == 0) for seed in seeds])


@pytest.mark.full
@EMITTED
@DTYPES
@pytest.mark.parametrize("seeds", [range(k, k + 100) for k in range(1000, 5000, 100)])
def test_many_instructions_together(seeds: range, dtype: str) -> None:
    check_functions([together(seed, dtype, exact=seed % 4 == 0) for seed in seeds])


@pytest.mark.parametrize("seed", range(0, 30, 3))
def test_instructions_together_by_numba(seed: int) -> None:
    program = together(seed, "float64", exact=seed % 2 == 0)
    state = state_of(program, random.Random(seed), program.width + 2, full=False)
    actual, expected = state.copy("float64"), state.copy("float64")
    interpret(actual, Interpreter)
    interpret(expected)
    assert_close(actual.work.outputs, expected.work.outputs, TOGETHER["float64"])
    pairs = zip(gradients_of(actual), gradients_of(expected), strict=True)
    assert_close(*map(np.concatenate, zip(*pairs, strict=True)), TOGETHER["float64"])
