"""The rows of the table as vectors compute them: their accuracy, and the ends of their domains."""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

import engine
from compiled.instruction_programs import Program
from compiled.program_runs import emitted, layout_of, state_of
from engine.compiled import jitted
from engine.compiled.blocks import POOL_HEADER, Instruction, Lists, S, Segments, View
from engine.compiled.instructions import ROWS
from engine.compiled.native import compensated, elementary, vectormath
from engine.ops import TABLE, Op
from umath_tables import TABLES, read

pytestmark = pytest.mark.skipif(jitted.DISABLED, reason="nothing is emitted without Numba")

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
INF, NAN = math.inf, math.nan


# --- running rows ----------------------------------------------------------------------------


@dataclass
class Request:
    """A row of the table at some points: one array of numbers an operand."""

    name: str
    operands: tuple[Any, ...]
    dtype: str
    constant: float | None = None  # of the last operand, if that is known beforehand


def program_of(request: Request) -> Program:
    """A row on n rows of S an operand, and its edges, each to adjoints that are still 0."""
    op, n = TABLE[request.name], len(request.operands[0])
    views = [View(S, k * n, n) for k in range(op.arity + 1)]
    constants: dict[int, float] = {}
    if request.constant is not None:
        last = views[op.arity - 1]
        constants = dict.fromkeys(range(last.first, last.first + n), request.constant)
    instructions = [Instruction("map", views[-1], tuple(views[:-1]), name=op.name)]
    for k, cut in enumerate(op.cuts):
        if cut is not True and not (constants and k == op.arity - 1):
            operands = (views[-1].adjoint, *views)
            fields = {"name": op.name, "shape": (k,)}
            instructions.append(Instruction("edge", views[k].adjoint, operands, **fields))
    none = np.zeros(0, np.int32)
    lists = Lists(np.zeros(POOL_HEADER, np.int64), Segments(), (constants, {}), exact=False)
    checks = np.zeros((0, 3), np.int64), np.zeros(0)
    rows, parts = ((op.arity + 1) * n, 0), {"forward_lanes": instructions}
    return Program(parts, lists, rows, 1, request.dtype, (0, 0), (), (), none, *checks)


def results(requests: Sequence[Request]) -> list[list[Any]]:
    """For each request the row's numbers, then its partial by each operand; all in one module."""
    programs = [program_of(request) for request in requests]
    found = []
    for request, program, run in zip(requests, programs, emitted(programs), strict=True):
        state, arity = state_of(program, random.Random(0), 1, full=False), len(request.operands)
        n = len(request.operands[0])
        with np.errstate(over="ignore"):
            state.vs[: arity * n] = np.concatenate(request.operands)
        state.gs[:] = 0.0
        state.gs[-n:] = 1.0
        run(state)
        found.append([state.vs[-n:], *state.gs[:-n].reshape(-1, n)[:arity]])
    return found


KEPT = {"fmod", "remainder", "floor_divide"}  # for Numba


@DTYPES
def test_all_rows_but_those_with_a_remainder_are_translated(dtype: str) -> None:
    for name, op in TABLE.items():
        program = program_of(Request(name, (np.zeros(1),) * op.arity, dtype))
        for i in program.parts["forward_lanes"]:
            assert ROWS[i.kind].emits(layout_of(program), i) == (name not in KEPT)


# --- accuracy --------------------------------------------------------------------------------


def mp_softplus(x: Any) -> Any:
    return mpmath.log1p(mpmath.exp(x))


def mp_atanh(x: Any) -> Any:
    return mpmath.atanh(x) if abs(x) < 1 else x * mpmath.inf if abs(x) == 1 else mpmath.nan


TRUTH: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "log10": mpmath.log10,
    "tan": mpmath.tan,
    "atan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "asinh": mpmath.asinh,
    "acosh": lambda x: mpmath.acosh(x) if x >= 1 else mpmath.nan,
    "atanh": mp_atanh,
    "erf": mpmath.erf,
    "erfc": lambda x: mpmath.erfc(max(-100, min(100, x))),  # as good as at its ends
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": mp_softplus,
    "log_sigmoid": lambda x: -mp_softplus(-x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
}
COMPOSED = ("softplus", "log_sigmoid", "silu")  # of the others, whose errors add up
MOST_ULP = dict.fromkeys(TRUTH, 2.0) | {"silu": 3.0}
LOGARITHMS = {"log": 0.0, "log1p": -1.0, "log2": 0.0, "log10": 0.0}  # and where they begin
TOP = {"float64": (1074, 1024), "float32": (149, 128)}  # of the exponents, below and above


def mp_true(name: str, x: float) -> tuple[float, float]:
    """The true result as the sum of a double and what rounding took from it."""
    truth = TRUTH[name](mpmath.mpf(x))
    high = float(truth)
    return high, float(truth - high) if math.isfinite(high) else 0.0


def grid(name: str, dtype: str) -> Any:
    """Points of all sizes and signs, dense where formulas change, and the ends of the range."""
    rng = np.random.default_rng(0)
    below, above = TOP[dtype]
    info = np.finfo(dtype)
    tiny, most = float(info.smallest_subnormal), float(info.max)
    sizes = 2.0 ** np.arange(-below, above, dtype=float) * rng.uniform(1.0, 2.0, below + above)
    sizes = np.minimum(sizes, most)
    edges = np.array([tiny, 2 * tiny, float(info.tiny), float(info.tiny) - tiny, most])
    near_one = 1.0 + np.concatenate([s * 2.0 ** -np.arange(1.0, 53.0) for s in (1.0, -1.0)])
    if name in LOGARITHMS:
        start = LOGARITHMS[name]
        roots = [root + rng.uniform(-1e-3, 1e-3, 50) for root in (0.5**0.5, 2.0**0.5)]
        middle = np.concatenate([rng.uniform(0.0, 4.0, 1500), near_one, *roots])
        points = [sizes, edges, start + middle, [start, -0.0, 0.0]]
        if name == "log1p":
            points += [-sizes[sizes < 1.0], -edges[:-1]]
    else:
        # Where k, the exponent of the result, goes up; and the ends of the formulas
        steps = (np.arange(-1075, 1025, 7) + 0.5) * (1.0 if name == "exp2" else math.log(2.0))
        switches = [709.782712893384, 708.0, 745.1332191019411, 40.0, 22.0, 0.55, 1.0986, 700.0]
        ends = np.array([x * (1.0 + d) for x in switches for d in (-1e-9, -1e-15, 0, 1e-15, 1e-9)])
        few = [rng.uniform(-end, end, 600) for end in (0.7, 2.0, 25.0, 760.0)]
        few += [rng.uniform(-30.0, 30.0, 600), np.arange(-40, 41) * (0.5 * math.pi)]
        few += [steps, steps * (1.0 + 1e-14), near_one - 1.0, [0.0]]
        points = [sign * x for sign in (1.0, -1.0) for x in map(np.asarray, (sizes, edges, ends))]
        points += [sign * np.asarray(x) for sign in (1.0, -1.0) for x in few]
    with np.errstate(over="ignore"):
        return np.unique(np.concatenate(points).astype(dtype))


@functools.cache
def on_grids(dtype: str) -> dict[str, tuple[Any, Any]]:
    """The points of each function, and the numbers there."""
    points = {name: grid(name, dtype) for name in TRUTH}
    found = results([Request(name, (x,), dtype) for name, x in points.items()])
    return {name: (x, y[0]) for (name, x), y in zip(points.items(), found, strict=True)}


def errors(name: str, points: Any, numbers: Any) -> Any:
    """How far numbers are from the truth, in units of its last place."""
    info = np.finfo(numbers.dtype)
    with mpmath.workdps(40):
        truth = np.array([mp_true(name, x) for x in points.tolist()])
    high, low = truth.T
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = high.astype(numbers.dtype)
        same = (numbers == rounded) | (np.isnan(numbers) & np.isnan(rounded))
        unit = np.maximum(np.spacing(np.abs(rounded)), info.smallest_subnormal).astype(float)
        found = np.abs((numbers.astype(float) - high) - low) / unit
    found[~np.isfinite(rounded) | ~np.isfinite(numbers)] = INF
    found[same & ~np.isfinite(rounded)] = 0.0
    return found


def complaint(name: str, points: Any, found: Any, most: float) -> str:
    worst = int(np.argmax(found))
    return "" if found[worst] <= most else f"{name}({points[worst]!r}) is off by {found[worst]} ulp"


@pytest.mark.parametrize("name", TRUTH)
def test_double_precision_is_within_units_of_the_last_place(name: str) -> None:
    points, numbers = on_grids("float64")[name]
    found = errors(name, points, numbers)
    if name == "silu":  # below 1e-300 its factor has few digits left
        found[np.abs(numbers) < 1e-300] = 0.0
    assert not complaint(name, points, found, MOST_ULP[name])


@pytest.mark.parametrize("name", TRUTH)
def test_single_precision_is_a_double_that_was_rounded_or_within_units(name: str) -> None:
    points, numbers = on_grids("float32")[name]
    found = errors(name, points, numbers)
    if name in COMPOSED:  # and rounded on the way
        found[np.abs(numbers) < 1e-30] = 0.0
    most = MOST_ULP[name] if name in (*COMPOSED, *elementary.IN_SINGLE) else 0.5001
    assert not complaint(name, points, found, most)


@DTYPES
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "silu"])
def test_partials_that_are_written_anew_are_those_of_the_table(name: str, dtype: str) -> None:
    op, points = TABLE[name], grid(name, dtype)
    [[_, slopes]] = results([Request(name, (points,), dtype)])
    [partial] = op.partials
    expected = np.array([partial(x, op.forward(x)) for x in points.astype(float).tolist()])
    near = 1e-15 if name == "silu" else np.finfo(dtype).tiny  # silu's has a zero
    relative = 4e-15 if dtype == "float64" else 2e-7 if name == "silu" else 5e-7
    assert (np.abs(slopes - expected) <= relative * np.abs(expected) + near).all()


@DTYPES
def test_units_in_the_last_place_are_measured(dtype: str) -> None:
    x = np.array([0.5, 1.0, 3.0, 700.0, NAN], dtype)
    with mpmath.workdps(40):
        true = np.array([float(mpmath.exp(number)) for number in x.tolist()])
    with np.errstate(over="ignore"):
        y = true.astype(dtype)
    assert (errors("exp", x, y) <= 0.5).all()
    shifted = np.nextafter(np.nextafter(y, np.array(INF, dtype)), np.array(INF, dtype))
    off = errors("exp", x[:3], shifted[:3])
    assert ((off >= 1.5) & (off <= 2.5)).all()


def test_logaddexp_is_accurate_where_nothing_cancels() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(0.0, 5.0, 500), rng.uniform(0.0, 900.0, 200)])
    y = np.round((x - rng.uniform(0.0, 40.0, 700)) * 64.0) / 64.0
    x = np.round(x * 64.0) / 64.0  # so that their difference is exact
    [[numbers, *_]] = results([Request("logaddexp", (x, y), "float64")])
    with mpmath.workdps(40):
        for a, b, number in zip(x.tolist(), y.tolist(), numbers.tolist(), strict=True):
            larger, smaller = mpmath.mpf(max(a, b)), mpmath.mpf(min(a, b))
            truth = larger + mpmath.log1p(mpmath.exp(smaller - larger))
            assert abs(number - truth) <= 2.0 * np.spacing(float(truth)), (a, b)


# --- NumPy's tables --------------------------------------------------------------------------


def row_of(name: str) -> Op:
    return next(op for op in TABLE.values() if name in (op.name, *op.aliases))


@DTYPES
def test_published_tables(dtype: str) -> None:
    """As `test_umath` has it for the rows themselves: 4 units where the C library computes."""
    tables = {name: read(path, np.dtype(dtype).type) for name, path in TABLES.items()}
    found = results([Request(row_of(name).name, (x,), dtype) for name, (x, _) in tables.items()])
    for name, [numbers, *_] in zip(tables, found, strict=True):
        own, single = name in vectormath._ROWS, name in elementary.IN_SINGLE
        most = (2 if own else 4) if dtype == "float64" else 2 if single else 1
        np.testing.assert_array_max_ulp(numbers, tables[name][1], most)


# --- where the coefficients come from ---------------------------------------------------------


def mp_odd(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """(f(x) - x) / x³ for an odd f, as a function of x² > 0."""
    return lambda z: (function(mpmath.sqrt(z)) - mpmath.sqrt(z)) / (z * mpmath.sqrt(z))


def mp_log_rest(z: Any) -> Any:
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s) - 2 * s - 2 * s * z / 3) / (s * z * z)


def mp_erfc_factor(t: Any) -> Any:
    x = mpmath.mpf(3.5) * (1 + t) / (1 - t)
    return (1 + 2 * x) * mpmath.exp(x * x) * mpmath.erfc(x)


DIGITS = mpmath.workdps(60)
with DIGITS:
    SMALL, FAR = mpmath.mpf(compensated._SMALL), mpmath.mpf(compensated._FAR)
    POLYNOMIALS: dict[str, tuple[Sequence[float], Callable[[Any], Any], Any, Any]] = {
        "log": (compensated._LOG, mp_log_rest, 0, mpmath.mpf(3) / 100),
        "erf": (
            compensated._ERF,
            lambda z: mpmath.erf(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1,
            0,
            SMALL**2,
        ),
        "erfc": (
            compensated._ERFC,
            mp_erfc_factor,
            (SMALL - 3.5) / (SMALL + 3.5),
            (FAR - 3.5) / (FAR + 3.5),
        ),
        "atan": (elementary._ATAN, mp_odd(mpmath.atan), 0, mpmath.mpf(1) / 4),
        "sinh": (elementary._SINH, mp_odd(mpmath.sinh), 0, 1),
    }


def through(nodes: Sequence[Any], function: Callable[[Any], Any]) -> list[float]:
    """The polynomial with a function's values at these nodes."""
    powers = mpmath.matrix([[x**k for k in range(len(nodes))] for x in nodes])
    values = mpmath.matrix([function(x) for x in nodes])
    return [float(c) for c in mpmath.lu_solve(powers, values)]


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_go_through_the_nodes_of_chebyshev(name: str) -> None:
    coefficients, function, low, high = POLYNOMIALS[name]
    n = len(coefficients)
    with DIGITS:
        middle, half = (high + low) / mpmath.mpf(2), (high - low) / mpmath.mpf(2)
        nodes = [middle + half * mpmath.cos((2 * k + 1) * mpmath.pi / (2 * n)) for k in range(n)]
        assert through(nodes, function) == list(coefficients)


@pytest.mark.parametrize("coefficients", [elementary._EXP, elementary._EXP_SINGLE])
def test_the_polynomials_of_exp_go_through_the_nodes(coefficients: Sequence[float]) -> None:
    """Of which the one in the middle, if there is one, is 0, where the function is not written."""
    n = len(coefficients) + len(coefficients) // 10
    with mpmath.workdps(50):
        half = mpmath.log(2) / 2
        nodes = [half * mpmath.cos((2 * k + 1) * mpmath.pi / (2 * n)) for k in range(n)]
        nodes = [x for x in nodes if abs(x) > 1e-40]
        assert through(nodes, lambda x: (mpmath.exp(x) - 1 - x) / x**2) == list(coefficients)


# --- special points --------------------------------------------------------------------------

POINTS = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-320, -1e-320, 1e308, -1e308, INF, -INF, NAN)
TOLERANCE = {"float64": 1e-13, "float32": 1e-5}
CANCELLING = {"binary_cross_entropy"}  # a difference of products, of which one may be rounded less


def special_operands(op: Op) -> tuple[Any, ...]:
    points = POINTS if op.arity < 3 else POINTS[:4] + POINTS[-3:]
    return tuple(
        np.array(column) for column in zip(*itertools.product(points, repeat=op.arity), strict=True)
    )


def expected(op: Op, operands: Sequence[float]) -> list[float]:
    """A row's number, and what it passes of an adjoint of 1 to each operand."""
    assert op.forward is not None
    out = op.forward(*operands)
    partials = [p(*operands, out) if callable(p) else p for p in op.partials]
    return [out, *[0.0 if op.cuts_at(k, operands) else p for k, p in enumerate(partials)]]


@functools.cache
def at_special_points(dtype: str) -> dict[str, tuple[Any, list[Any]]]:
    ops = [op for name, op in TABLE.items() if name not in KEPT]
    with np.errstate(over="ignore"):
        points = {
            op.name: tuple(x.astype(dtype).astype(float) for x in special_operands(op))
            for op in ops
        }
    found = results([Request(name, x, dtype) for name, x in points.items()])
    return {name: (points[name], y) for name, y in zip(points, found, strict=True)}


def assert_close(actual: Any, expected: Any, relative: float, absolute: Any) -> None:
    """Nan where nan is expected, inf where inf is, and numbers near those expected."""
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(actual - expected) > relative * np.abs(expected) + absolute
    assert not (finite & off).any(), (actual[off], expected[off])


@DTYPES
@pytest.mark.parametrize("name", [name for name in TABLE if name not in KEPT])
def test_special_points_have_the_numbers_of_the_table(name: str, dtype: str) -> None:
    points, found = at_special_points(dtype)[name]
    op = TABLE[name]
    table = np.array([expected(op, x) for x in zip(*np.array(points).tolist(), strict=True)])
    with np.errstate(over="ignore"):
        rounded = table.astype(dtype)
    for column, actual in enumerate(found):
        if column and op.partials[column - 1] == 0.0:
            continue  # no adjoint is even written
        wanted = rounded[:, column]
        near = 1e-44 if dtype == "float32" else 0.0  # its subnormal numbers are coarse
        if name in CANCELLING and column == 0:
            whole = np.nan_to_num(points, posinf=0.0, neginf=0.0)
            near = 1e-15 * np.abs(whole).max(axis=0)
        assert_close(actual, wanted, TOLERANCE[dtype], near)
        if column == 0 and name not in CANCELLING:
            zero = table[:, 0] == 0.0
            np.testing.assert_array_equal(np.signbit(actual[zero]), np.signbit(wanted[zero]))


@pytest.mark.parametrize("name", [name for name in TRUTH if name not in COMPOSED])
def test_a_nan_stays_one_whatever_its_bits_are(name: str) -> None:
    bits = [0x7FF8000000000000 + k for k in (0, 1, 0x7A2, 0xFFF, 2**51 - 1)]
    bits += [0xFFF8000000000000 + k for k in (0, 1, 0xFFF)]
    x = np.array(bits, np.uint64).view(float)
    [[numbers, slopes]] = results([Request(name, (x,), "float64")])
    assert np.isnan(numbers).all() and np.isnan(slopes).all()


@pytest.mark.parametrize(
    "name", ["exp", "expm1", "log", "log1p", "tanh", "sigmoid", "tan", "erf", "log2"]
)
def test_one_number_and_vectors_of_it_are_the_same(name: str) -> None:
    """One number alone, a whole vector and one that is partly used: the same code but for width."""
    points = grid(name, "float64")[::101]
    alone = results([Request(name, (points[k : k + 1],), "float64") for k in range(len(points))])
    [together] = results([Request(name, (points,), "float64")])
    for column in range(2):
        np.testing.assert_array_equal([x[column][0] for x in alone], together[column])


# --- powers ---------------------------------------------------------------------------------


def powers_at(kind: str) -> tuple[Any, Any]:
    """Bases and exponents whose power is a number, or hardly one."""
    rng = np.random.default_rng(2)
    n = 700
    if kind == "of all sizes":
        x = 2.0 ** rng.uniform(-1074.0, 1024.0, n)
        return x, rng.uniform(-746.0, 710.0, n) / np.log(x)
    if kind == "of bases near 1":
        x = 1.0 + rng.choice([-1.0, 1.0], n) * 2.0 ** rng.uniform(-52.0, -1.0, n)
        return x, rng.uniform(-746.0, 710.0, n) / np.log(x)
    if kind == "huge":
        x = rng.uniform(0.1, 50.0, n)
        return x, rng.uniform(709.0, 709.79, n) / np.log(x)
    if kind == "of negative numbers":
        return -rng.uniform(0.1, 50.0, n), np.round(rng.uniform(-50.0, 50.0, n))
    return rng.uniform(0.0, 3.0, n), rng.uniform(-3.0, 3.0, n)


@DTYPES
@pytest.mark.parametrize(
    "kind", ["of all sizes", "of bases near 1", "huge", "of negative numbers", "as usual"]
)
def test_powers_are_within_units_of_the_last_place(kind: str, dtype: str) -> None:
    with np.errstate(over="ignore", under="ignore"):
        x, y = (column.astype(dtype) for column in powers_at(kind))
        x, y = (column[np.isfinite(x) & np.isfinite(y)] for column in (x, y))
    [[numbers, slopes, _]] = results([Request("pow", (x, y), dtype)])
    powers = dict(enumerate(zip(x.tolist(), y.tolist(), strict=True)))
    TRUTH["pow"] = lambda k: mpmath.mpf(powers[int(k)][0]) ** mpmath.mpf(powers[int(k)][1])
    found = errors("pow", np.arange(len(x)), numbers)
    TRUTH.pop("pow")
    worst = int(np.argmax(found))
    assert found[worst] <= (1.0 if dtype == "float64" else 0.5001), (x[worst], y[worst])
    with np.errstate(over="ignore"):
        partials = [expected(TABLE["pow"], [*powers[k]])[1] for k in range(len(x))]
        wanted = np.array(partials).astype(dtype)
    least = float(np.finfo(dtype).smallest_subnormal)
    # The row has a power of y - 1, which is rounded: see below.
    assert_close(slopes, wanted, 4e-13 if dtype == "float64" else 2e-7, 2.0 * least)


# --- powers with a known exponent -----------------------------------------------------------

EXPONENTS = [k / 2 for k in range(-9, 10)] + [0.3, -0.25, 1e300, INF, -INF, NAN]
BASES = (*POINTS, 2.0, -2.0, 1e-160, 1e160, -1e160, 5e-324, 1e77, 1e-77, 1e103, 1e-103, 0.75, 1.1)


@functools.cache
def powers(dtype: str) -> dict[float, tuple[Any, list[Any]]]:
    with np.errstate(over="ignore"):
        bases = np.array(BASES, dtype).astype(float)
    requests = [
        Request("pow", (bases, np.full(len(bases), c)), dtype, constant=c) for c in EXPONENTS
    ]
    found = results(requests)
    return {c: (bases, y) for c, y in zip(EXPONENTS, found, strict=True)}


@DTYPES
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers_with_a_known_exponent(exponent: float, dtype: str) -> None:
    bases, [numbers, slopes, _] = powers(dtype)[exponent]
    op = TABLE["pow"]
    with np.errstate(over="ignore"):
        rounded = float(np.array(exponent, dtype))
        table = np.array([expected(op, (x, rounded))[:2] for x in bases.tolist()]).astype(dtype)
    units = 4.0 * np.finfo(dtype).eps
    least = float(np.finfo(dtype).smallest_subnormal)
    assert_close(numbers, table[:, 0], units, 4.0 * least)
    # The row rounds y - 1, and has a power of that: the base's logarithm says how much it matters.
    lost = 0.0
    if math.isfinite(rounded):
        lost = float(Fraction(rounded) - 1 - Fraction(rounded - 1.0))
    sizes = [abs(math.log(abs(x))) if 0.0 < abs(x) < INF else 0.0 for x in bases.tolist()]
    assert_close(slopes, table[:, 1], units + abs(lost) * np.array(sizes), 4.0 * least)
    zero = table[:, 0] == 0.0
    np.testing.assert_array_equal(np.signbit(numbers[zero]), np.signbit(table[zero, 0]))


def test_a_power_may_be_nan() -> None:
    program = engine.compile(lambda x: x**NAN, in_axes=0)
    assert np.isnan(program([2.0, 0.5])).all()
