"""Eager, plain tape and lifted blocks compute the same: every row of the table, random graphs,
and functions of the kinds that lifting is for; order up to 2, with BLAS and without."""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import engine
from compiled.graph_batches import TOLERANCE, batch_of
from compiled.liftable import LIFTABLE
from engine import Value
from engine.compiled import assembly, blas, jitted, machine, paths, worker
from engine.compiled.instructions import matrices
from engine.ops import TABLE, Op
from engine.randomness import drawing
from random_graphs import TOLERANCE_2, disagreement

GRAPHS = 500
CHUNK = 50  # seeds a test
SINGLE = pytest.param("float32", marks=pytest.mark.slow)
DTYPES = pytest.mark.parametrize("dtype", ["float64", SINGLE])
SEED = 3  # of draws


def in_chunks(count: int) -> Any:
    """Tests of some seeds each: all are slow, every fifth of the first 150 is not."""
    firsts = range(0, count, CHUNK)
    few = [range(i, i + CHUNK, 5) for i in firsts if i < 150]
    given = [pytest.param(seeds, id=f"some of {seeds[0]} to {seeds[-1]}") for seeds in few]
    for seeds in (range(i, i + CHUNK) for i in firsts):
        name = f"seeds {seeds[0]} to {seeds[-1]}"
        given.append(pytest.param(seeds, id=name, marks=pytest.mark.slow))
    return pytest.mark.parametrize("seeds", given)


IN_FULL = pytest.param("native in full", marks=pytest.mark.full)
SCIPY = pytest.mark.skipif(
    jitted.DISABLED or not blas.is_there(), reason="BLAS comes with SciPy, for machine code"
)
BLAS = pytest.param("BLAS", marks=[SCIPY, pytest.mark.slow])


WAYS = ["native", IN_FULL, "tape", "interpreted", BLAS]


def rows(least: int = 1) -> Any:
    """Each row of so many operands or more in each way. What is interpreted is the same for a row
    alone, lifted or not: that is tried on the tape. There Numba compiles each row, which takes
    long: all but the first of each part of the table are slow."""
    first = {op.family: op for op in reversed(TABLE.values())}
    cases = []
    for way, op in itertools.product(WAYS, TABLE.values()):
        name, marks = (way, []) if isinstance(way, str) else (*way.values, way.marks)
        slow = name == "interpreted" or (name == "tape" and op is not first[op.family])
        if op.arity >= least:
            marks = [*marks, pytest.mark.slow] if slow else marks
            cases.append(pytest.param(op, name, id=f"{op.name}-{name}", marks=marks))
    return pytest.mark.parametrize(("op", "way"), cases, indirect=["way"])


@pytest.fixture(params=WAYS, autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How programs run: as usual, as machine code, also with every matrix product by BLAS; or by
    the interpreter, lifted or the plain tape."""
    if request.param.startswith("native"):
        return str(request.param)
    if request.param == "BLAS":
        monkeypatch.setattr(matrices, "BLAS_FROM", 0)
        monkeypatch.setattr(matrices, "_SMALL", 0)
        sources = assembly.sources()  # code is kept by a name that has these
        monkeypatch.setattr(assembly, "sources", lambda: f"{sources}, all by BLAS")
        return "BLAS"
    monkeypatch.setattr(
        paths, "Machine", lambda *args, native=True, **keywords: interpreted(*args, **keywords)
    )
    if request.param == "tape":
        lift = paths.lift
        monkeypatch.setattr(
            paths, "lift", lambda *args, lifted, **keywords: lift(*args, lifted=False, **keywords)
        )
    return str(request.param)


def interpreted(*args: Any, **keywords: Any) -> machine.Machine:
    return machine.Machine(*args, native=False, **keywords)


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 16 lanes, the fewest: of 17 or 19 examples the last ones have their own."""
    monkeypatch.setattr(worker, "CHUNK_BYTES", 1)


def gather(seeds: range, way: str, complaint_of: Callable[[int], str]) -> dict[int, str]:
    """The seeds that something is wrong with, and what. As machine code one in ten is tried:
    writing code for each takes its time."""
    tried = seeds[:: 10 // seeds.step] if way == "native" else seeds
    return {seed: complaint for seed in tried if (complaint := complaint_of(seed))}


# --- one operation at a time ----------------------------------------------------------------------

SPECIALS = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e308, math.inf, -math.inf, math.nan)
FEW = (0.0, 1.0, math.inf, math.nan)  # for `where`, which has three operands
STEPS = {1: 1, 2: 7, 3: 3}  # between the special points that are tried one by one


def samples(op: Op, count: int = 5) -> list[tuple[float, ...]]:
    rng = random.Random(op.name)
    return [tuple(rng.uniform(*interval) for interval in op.samples) for _ in range(count)]


def special_points(op: Op) -> list[tuple[float, ...]]:
    return list(itertools.product(SPECIALS if op.arity < 3 else FEW, repeat=op.arity))


def function_of(op: Op) -> Callable[..., Any]:
    return engine.functions.FUNCTIONS[op.name]


def operands_of(op: Op) -> tuple[int, ...]:
    return tuple(range(op.arity))


@functools.cache
def _eager_figures(op: Op, numbers: bytes) -> list[float]:
    value_and_grad = engine.value_and_grad(function_of(op), operands_of(op))
    value, gradient = value_and_grad(*np.frombuffer(numbers).tolist())
    return [value, *gradient]


@functools.cache
def _eager_hessian(op: Op, numbers: bytes) -> Any:
    f = function_of(op)
    return np.array(engine.hessian(lambda xs: f(*xs))(np.frombuffer(numbers).tolist()))


def eager_figures(op: Op, points: Sequence[tuple[float, ...]]) -> list[list[float]]:
    """The value and the gradient of a row at each point."""
    return [_eager_figures(op, np.array(point).tobytes()) for point in points]  # 0.0 is not -0.0


def assert_same(actual: Any, expected: Any) -> None:
    """Equal to the tolerance; nan equals nan, inf equals inf."""
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE["float64"], atol=0.0)


@rows()
def test_a_row_of_shared_numbers(op: Op) -> None:
    program = engine.compile(function_of(op), argnums=operands_of(op))
    for point in [*samples(op), *special_points(op)[:: STEPS[op.arity]]]:
        value, gradient = program.value_and_grad(*point)
        assert_same([value, *gradient], eager_figures(op, [point])[0])


@rows()
def test_a_row_of_batches(op: Op) -> None:
    points = [*samples(op), *special_points(op)]
    program = engine.compile(function_of(op), in_axes=0, argnums=operands_of(op))
    value, gradient = program.value_and_grad(*np.array(points).T)
    assert_same(np.transpose([value, *gradient]), eager_figures(op, points))


def mixtures(op: Op) -> Iterator[tuple[tuple[int | None, ...], list[tuple[float, ...]]]]:
    """Which operands are batched, with points that differ in these only."""
    for axes in itertools.product((None, 0), repeat=op.arity):
        if 0 < axes.count(0) < op.arity:
            for points in (samples(op), special_points(op)):
                for first in points[:: max(1, len(points) // 6)]:
                    yield (
                        axes,
                        [
                            tuple(
                                x if axis == 0 else y
                                for x, y, axis in zip(point, first, axes, strict=True)
                            )
                            for point in points
                        ],
                    )


def arguments(points: Sequence[tuple[float, ...]], axes: Sequence[int | None]) -> list[Any]:
    columns = np.array(points).T
    return [
        column if axis == 0 else float(column[0])
        for column, axis in zip(columns, axes, strict=True)
    ]


@rows(2)
def test_a_row_of_numbers_and_batches(op: Op) -> None:
    programs: dict[Any, Any] = {}
    for axes, points in mixtures(op):
        if axes not in programs:
            programs[axes] = engine.compile(function_of(op), in_axes=axes, argnums=operands_of(op))
        value, gradient = programs[axes].value_and_grad(*arguments(points, axes))
        assert_same(np.transpose([value, *gradient]), eager_figures(op, points))


@rows()
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_a_row_reduced_over_a_batch(op: Op, reduce: str) -> None:
    points = samples(op)
    share = 1.0 if reduce == "sum" else 1.0 / len(points)
    for axes in itertools.product((None, 0), repeat=op.arity):
        if 0 not in axes:
            continue
        here = [
            tuple(x if axis == 0 else y for x, y, axis in zip(p, points[0], axes, strict=True))
            for p in points
        ]
        program = engine.compile(
            function_of(op), in_axes=axes, reduce=reduce, argnums=operands_of(op)
        )
        value, gradient = program.value_and_grad(*arguments(here, axes))
        figures = share * np.array(eager_figures(op, here))
        assert_same(value, figures[:, 0].sum())
        for k, axis in enumerate(axes):
            column = figures[:, 1 + k]
            assert_same(gradient[k], column if axis == 0 else column.sum())


@rows()
def test_second_derivatives_of_a_row(op: Op, way: str) -> None:
    def f(xs: Sequence[Any]) -> Any:
        return function_of(op)(*xs)

    points = [list(point) for point in (*samples(op), *special_points(op))]
    batched = engine.compile(engine.hessian(f), in_axes=0)(points)
    shared = engine.compile(engine.hessian(f))
    step = 1 if way == "native" else STEPS[op.arity]  # of the points that are tried one by one
    for k, (point, hessian) in enumerate(zip(points, batched, strict=True)):
        expected = _eager_hessian(op, np.array(point).tobytes())
        scale = max([0.0, *np.abs(expected[np.isfinite(expected)])])
        for actual in (hessian, shared(point)) if k % step == 0 else (hessian,):
            np.testing.assert_allclose(
                actual, expected, rtol=0.0, atol=TOLERANCE_2 * scale, err_msg=str(point)
            )


SUMS: dict[str, Callable[..., Any]] = {
    "a + b + c": lambda a, b, c: a + b + c,
    "-a - b - c": lambda a, b, c: -a - b - c,
    "-(a + b + c)": lambda a, b, c: -(a + b + c),
    "a * b + c": lambda a, b, c: a * b + c,
    "a * b - c": lambda a, b, c: a * b - c,
    "c - a * b": lambda a, b, c: c - a * b,
    "a * b + c * a": lambda a, b, c: a * b + c * a,
    "a * b - c * a": lambda a, b, c: a * b - c * a,
    "a - b + c * c": lambda a, b, c: a - b + c * c,
}


@pytest.mark.parametrize(
    "way", ["native", "tape", "interpreted"], indirect=True
)  # BLAS begins sums with 0.0
@pytest.mark.parametrize("count", [1, 8], ids=["one example", "eight examples"])
@pytest.mark.parametrize("formula", SUMS)
def test_sums_of_zeros_have_the_sign_that_they_have_eagerly(formula: str, count: int) -> None:
    f = SUMS[formula]
    for axes in itertools.product((None, 0), repeat=3):
        program = engine.compile(f, in_axes=axes)
        for point in itertools.product((0.0, -0.0, 1.0), repeat=3):
            args = [x if axis is None else [x] * count for x, axis in zip(point, axes, strict=True)]
            expected = f(*point)
            for value in np.atleast_1d(program(*args)).tolist():
                assert (value, math.copysign(1.0, value)) == (
                    expected,
                    math.copysign(1.0, expected),
                )


# --- random graphs --------------------------------------------------------------------------------


@DTYPES
@in_chunks(GRAPHS)
def test_graphs_of_shared_numbers(seeds: range, dtype: str, way: str) -> None:
    def complaint(seed: int) -> str:
        batch = batch_of(seed, dtype)
        program = engine.compile(batch.function_of_all(), dtype=dtype)
        problems = []
        for inputs, figures in [*zip(batch.examples, batch.figures, strict=True)][:3]:
            value, gradient = program.value_and_grad(inputs)
            problems.append(disagreement([value, *gradient], figures, TOLERANCE[dtype]))
        return "; ".join(filter(None, problems))

    assert gather(seeds, way, complaint) == {}


@DTYPES
@in_chunks(GRAPHS)
@pytest.mark.usefixtures("_small_chunks")
def test_graphs_of_batches_and_shared_numbers(seeds: range, dtype: str, way: str) -> None:
    def complaint(seed: int) -> str:
        batch = batch_of(seed, dtype)
        reduce = (None, "sum", "mean")[seed % 3]
        options = {"in_axes": (0, None), "reduce": reduce, "argnums": (0, 1), "dtype": dtype}
        program = engine.compile(batch.function(), **options)
        value, (by_lanes, by_shared) = program.value_and_grad(*batch.arguments())
        expected = np.array(batch.figures)
        if reduce is None:
            actual = np.empty_like(expected)
            actual[:, 0] = value
            actual[:, [1 + i for i in batch.batched]] = by_lanes
            if batch.shared:
                actual[:, [1 + i for i in batch.shared]] = by_shared
            problems = [
                disagreement(row, figures, TOLERANCE[dtype])
                for row, figures in zip(actual, expected, strict=True)
            ]
            return "; ".join(filter(None, problems))
        if reduce == "mean":
            expected = expected / len(batch.examples)
        return disagreement(
            [value, *np.ravel(by_lanes), *by_shared],
            [
                expected[:, 0].sum(),
                *expected[:, [1 + i for i in batch.batched]].ravel(),
                *expected[:, [1 + i for i in batch.shared]].sum(axis=0),
            ],
            TOLERANCE[dtype],
        )

    assert gather(seeds, way, complaint) == {}


@functools.cache
def eager_hessians(seed: int) -> list[Any]:
    """Those at the points below."""
    batch = batch_of(seed, "float64")
    hessian = engine.hessian(batch.function_of_all())
    return [np.array(hessian(point)) for point in batch.examples[:3]]


@in_chunks(100)
@pytest.mark.usefixtures("_small_chunks")
def test_second_derivatives_of_graphs(seeds: range, way: str) -> None:
    def complaint(seed: int) -> str:
        batch = batch_of(seed, "float64")
        f = batch.function_of_all()
        points = batch.examples[:3]
        gradient = engine.compile(engine.grad(f), in_axes=0)(points)
        hessian = engine.compile(engine.hessian(f), in_axes=0)(points)
        direction = [1.0 / (1 + i) for i in range(len(points[0]))]

        def slope(xs: Sequence[Any]) -> Any:
            return engine.dot(engine.grad(f)(xs), direction)

        product = engine.compile(slope, in_axes=0).grad(points)
        problems = []
        for k, expected in enumerate(eager_hessians(seed)):
            figures = batch.figures[k]
            first = [figures[0], *gradient[k]]
            problems.append(disagreement(first, figures, TOLERANCE["float64"]))
            second = [*figures, *expected.ravel(), *expected @ direction]
            found = [*figures, *hessian[k].ravel(), *product[k]]
            problems.append(disagreement(found, second, TOLERANCE_2))
        return "; ".join(filter(None, problems))

    assert gather(seeds, way, complaint) == {}


# --- what lifting is for --------------------------------------------------------------------------

FUNCTIONS = pytest.mark.parametrize("name", LIFTABLE)
COUNTS = pytest.mark.parametrize("count", [1, 19], ids=lambda count: f"{count} examples")


def penalty(function: Any) -> Any:
    """The squared length of the gradient by the parameters: its own gradient is of order 2."""

    def f(parameters: Any, x: Any) -> Any:
        gradient = engine.grad(function)(parameters, x)
        return engine.sum(g * g for matrix in gradient for row in matrix for g in row)

    return f


def function_named(name: str, order: int) -> Any:
    function = LIFTABLE[name].function
    return function if order == 1 else penalty(function)


@functools.cache
def eager_examples(name: str, order: int, count: int) -> list[list[float]]:
    """For each example its value, and its gradient by the parameters and the example."""
    value_and_grad = engine.value_and_grad(function_named(name, order), (0, 1))
    found = []
    for i, x in enumerate(LIFTABLE[name].examples(count)):
        with drawing(SEED, 0, i):
            value, (by_parameters, by_x) = value_and_grad(LIFTABLE[name].parameters(), x)
        found.append([value, *flat(by_parameters), *by_x])
    return found


def flat(matrices: Any) -> list[float]:
    return [float(x) for matrix in matrices for x in np.ravel(matrix)]


@FUNCTIONS
@COUNTS
@DTYPES
@pytest.mark.parametrize(
    ("reduce", "order"),
    [
        *((reduce, order) for order in (1, 2) for reduce in (None, "sum")),
        ("mean", 1),
        pytest.param("mean", 2, marks=pytest.mark.slow),  # the sum's, and the mean's of order 1
    ],
)
@pytest.mark.usefixtures("_small_chunks")
def test_functions_of_parameters_and_examples(
    name: str, count: int, dtype: str, order: int, reduce: Any
) -> None:
    case = LIFTABLE[name]
    parameters, examples = case.parameters(), case.examples(count)
    options = {"in_axes": (None, 0), "reduce": reduce, "argnums": (0, 1), "dtype": dtype}
    with drawing(SEED, 0):
        program = engine.compile(function_named(name, order), **options)
        value, (by_parameters, by_x) = program.value_and_grad(parameters, examples)
    expected = np.array(eager_examples(name, order, count))
    tolerance = TOLERANCE_2 if order == 2 and dtype == "float64" else TOLERANCE[dtype]
    if reduce is None:
        for k in range(count):
            actual = [value[k], *flat(matrix[k] for matrix in by_parameters), *by_x[k]]
            assert not disagreement(actual, expected[k], tolerance)
        return
    expected /= count if reduce == "mean" else 1
    end = 1 + len(flat(parameters))
    sums = [*expected[:, :end].sum(axis=0), *expected[:, end:].ravel()]
    assert not disagreement([value, *flat(by_parameters), *np.ravel(by_x)], sums, tolerance)


@FUNCTIONS
def test_functions_that_reach_their_parameters_from_outside(name: str) -> None:
    case = LIFTABLE[name]
    leaves = [[[Value(x) for x in row] for row in matrix] for matrix in case.parameters()]
    expected = np.array(eager_examples(name, 1, 7)).sum(axis=0)
    program = engine.compile(
        lambda x: case.function(leaves, x), in_axes=0, reduce="sum", wrt=leaves
    )
    for _ in range(2):  # traced, and replayed
        with drawing(SEED, 0):
            value, gradient = program.value_and_grad(case.examples(7))
        actual = [value, *flat(gradient)]
        assert not disagreement(actual, expected[: len(actual)], TOLERANCE["float64"])


@pytest.mark.parametrize("name", [name for name in LIFTABLE if name != "noisy"])
def test_a_batch_of_more_than_one_full_chunk(name: str) -> None:
    case = LIFTABLE[name]
    count = 3001
    which = np.arange(count) % 7  # examples that are repeated, but not at the same place of chunks
    program = engine.compile(case.function, in_axes=(None, 0), argnums=(0, 1))
    value, (by_parameters, by_x) = program.value_and_grad(
        case.parameters(), np.array(case.examples(7))[which].tolist()
    )
    actual = np.hstack([x.reshape(count, -1) for x in (value, *by_parameters, by_x)])
    expected = np.array(eager_examples(name, 1, 7))[which]
    scale = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(actual - expected) <= TOLERANCE["float64"] * scale).all()


@pytest.mark.parametrize("reduce", [None, "sum"])
def test_missing_data_that_is_masked_does_no_harm(reduce: Any) -> None:
    """What the untaken arm of `where` would pass on is 0, also where it is 0 times nan."""

    def f(weight: Any, x: Any) -> Any:
        return engine.where(x[1] == x[1], weight[0] * x[0] + weight[1] * x[1], 0.0)

    weight, examples = [2.0, 3.0], [[1.0, math.nan], [4.0, 5.0]]
    program = engine.compile(f, in_axes=(None, 0), reduce=reduce)
    expected = np.array([engine.grad(f)(weight, x) for x in examples])
    assert expected.tolist() == [[0.0, 0.0], [4.0, 5.0]]
    assert_same(
        program.grad(weight, examples), expected if reduce is None else expected.sum(axis=0)
    )


def test_the_ways_are_different_ways(way: str) -> None:
    case = LIFTABLE["dense"]
    program = engine.compile(case.function, in_axes=(None, 0))
    program(case.parameters(), case.examples(3))
    assert (" @ " in str(program)) == (way != "tape")
