"""Elementary functions on vectors of numbers, for machine code.

Each is written without a branch, so that it holds for all lanes of a vector at once: the argument
is reduced, a polynomial is evaluated, and the ends of the range are selected. They are within 2
units in the last place of the true result, which the tests look up; most are within 1. Single
precision is computed in double. A row of the operation table that is not here is translated from
its plain Python; functions of the C library are then called lane by lane.

The reduction of `exp` by ln 2 in two parts, the polynomial of `log`, the parts of π/2 and the
polynomials of `sin` and `cos`, with their coefficients, are those of FDLIBM (Sun Microsystems 1993,
freely distributable).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from engine.compiled.branches import UntranslatableError
from engine.compiled.fingerprints import row_fingerprint
from engine.compiled.native.function import Function
from engine.compiled.native.numbers import FLOAT, Lanes
from engine.ops import TABLE, Op
from engine.rebind import rebind

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_MAGIC = 1.5 * 2.0**52  # added to a number below 2 ** 51 it leaves the nearest integer in the bits
_ONE_BITS, _MAGIC_BITS = 0x3FF0000000000000, 0x4338000000000000
_SQRT_HALF_BITS = 0x3FE6A09E00000000  # near enough
_SHIFT = 52  # of the exponent in the bits of a double
_SMALLEST = 2.2250738585072014e-308  # that is normal
_EXP_MAX = 709.782712893384  # the largest x with a finite e ** x

# (e ** r - 1 - r) / r² for r within half of ln 2, lowest power first: the polynomial through its
# values at the Chebyshev nodes of order 11 but for the one in the middle, 0. The relative error of
# e ** r - 1 is below 3e-17, that of e ** r below 1e-17. A test computes them again.
_EXP = (
    0.5000000000000006,
    0.1666666666666667,
    0.04166666666657314,
    0.008333333333326141,
    0.0013888888932488599,
    0.00019841269874800493,
    2.4801504346997686e-05,
    2.7557255425746435e-06,
    2.7626357241447223e-07,
    2.510520637395701e-08,
)
# (log((1 + s) / (1 - s)) - 2 s) / s in powers of s², lowest first
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
# (sin r - r) / r³ and (cos r - 1 + r²/2) / r⁴ for r within π/4, in powers of r², lowest first
_SIN = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
_COS = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)
_TWO_OVER_PI = 6.36619772367581382433e-01
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624871116645580e-21)
_HALF_PI_REST = 8.47842766036889956997e-32
_FAR = 8.0e5  # up to which multiples of the parts of π/2, of 33 bits each, are exact


def _polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """The polynomial with these coefficients, lowest first: pairs of terms in powers of x², so
    that half of the operations need not wait for each other."""
    square = x * x
    total: Any = None
    for k in range((len(coefficients) - 1) // 2 * 2, -1, -2):
        pair: Any = coefficients[k]
        if k + 1 < len(coefficients):
            pair = x * coefficients[k + 1] + pair
        total = pair if total is None else total * square + pair
    assert isinstance(total, Lanes)
    return total


def _reduced(x: Lanes, exact: bool = False) -> tuple[Lanes, Lanes]:
    """(shifted, q) for x = k ln 2 + r, with k an integer and r within half of ln 2: k is in the
    last bits of `shifted`, and q is e ** r - 1. If `exact`, what rounding takes from r counts."""
    shifted = x * _LOG2_E + _MAGIC
    n = shifted - _MAGIC
    high = x - n * _LN2_HIGH
    r = high - n * _LN2_LOW
    rest = r * r * _polynomial(r, _EXP)
    if exact:
        rest = rest + ((high - r) - n * _LN2_LOW)
    return shifted, r + rest


def _exponent(f: Function, shifted: Lanes) -> Lanes:
    """k in the bits of the exponent: added to those of a number, they multiply it by 2 ** k."""
    return f.binary("shl", f.bits(shifted), _SHIFT)


def _power_of_two(f: Function, exponent: Lanes) -> Lanes:
    """2 ** k for k from -1022 to 1023."""
    return f.bits(exponent + _ONE_BITS)


def _scaled(f: Function, x: Lanes, y: Lanes, exponent: Lanes) -> Lanes:
    """y * 2 ** k, which is e ** x: where that may be subnormal, k is too low for an exponent."""
    bits = f.bits(y) + exponent
    by_two_steps = f.bits(bits + (128 << _SHIFT)) * 2.0**-128
    return f.select(x < -708.0, by_two_steps, f.bits(bits))


def _exp(f: Function, x: Lanes) -> Lanes:
    near = f.select(x < -760.0, -760.0, x)
    shifted, q = _reduced(near)
    y = _scaled(f, near, q + 1.0, _exponent(f, shifted))
    return f.select(f.compare("ugt", x, _EXP_MAX), x * math.inf, y)  # nan is nan


def _expm1(f: Function, x: Lanes) -> Lanes:
    near = f.select(x > 710.0, 710.0, f.select(x < -40.0, -40.0, x))
    shifted, q = _reduced(near, exact=True)
    scale = _power_of_two(f, _exponent(f, shifted) - (1 << _SHIFT))  # half of 2 ** k
    y = scale * q + (scale - 0.5)
    return f.select(f.call("fabs", x) < 2.0**-54, x, y + y)


def _log_of(m: Lanes, n: Lanes, rest: Lanes) -> Lanes:
    """n ln 2 + log(m) + rest, for m from sqrt(1/2) to sqrt(2)."""
    t = m - 1.0
    s = t / (t + 2.0)
    z = s * s
    return n * _LN2_HIGH - ((s * (t - z * _polynomial(z, _LOG)) - rest) - t)


def _split(f: Function, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """(m, k, and k as an exponent) for x = m * 2 ** k, with m from sqrt(1/2) to sqrt(2)."""
    bits = f.bits(x)
    k = f.binary("ashr", bits - _SQRT_HALF_BITS, _SHIFT)
    exponent = f.binary("shl", k, _SHIFT)
    return f.bits(bits - exponent), k, exponent


def _log(f: Function, x: Lanes) -> Lanes:
    tiny = x < _SMALLEST
    m, k, _ = _split(f, f.select(tiny, x * 2.0**54, x))
    n = f.bits(k + _MAGIC_BITS) - f.select(tiny, _MAGIC + 54.0, _MAGIC)
    y = _log_of(m, n, n * _LN2_LOW)
    y = f.select(x < math.inf, y, x)  # inf is inf, nan is nan
    return f.select(x <= 0.0, f.select(x < 0.0, math.nan, -math.inf), y)


def _log1p(f: Function, x: Lanes) -> Lanes:
    u = x + 1.0
    m, k, exponent = _split(f, u)
    n = f.bits(k + _MAGIC_BITS) - _MAGIC
    # What rounding took away, divided by u: near 1 by this polynomial, else it hardly matters.
    lost = x - (u - 1.0)
    t = m - 1.0
    twice = f.bits((_ONE_BITS + (1 << _SHIFT)) - exponent)  # 2 * 2 ** -k
    rest = (lost * twice) * (t * (t * 0.5 - 0.5) + 0.5)
    y = _log_of(m, n, n * _LN2_LOW + rest)
    y = f.select(x < math.inf, y, x)
    y = f.select(x <= -1.0, f.select(x < -1.0, math.nan, -math.inf), y)
    return f.call("copysign", y, x)


def _tanh(f: Function, x: Lanes) -> Lanes:
    """E / (E + 2) with E = e ** 2|x| - 1."""
    size = f.call("fabs", x)
    near = f.select(size > 22.0, 22.0, size)
    shifted, q = _reduced(near + near)
    power = _power_of_two(f, _exponent(f, shifted))
    above = power * q + (power - 1.0)
    return f.call("copysign", above / (above + 2.0), x)


def _sigmoid(f: Function, x: Lanes) -> Lanes:
    """1 / (1 + e) or e / (1 + e) with e = exp(-|x|); far below 0 as e - e² / (1 + e), where the
    rounding of e is added again."""
    near = -f.call("fabs", x)
    near = f.select(near < -760.0, -760.0, near)
    shifted, q = _reduced(near)
    exponent = _exponent(f, shifted)
    e = _scaled(f, near, q + 1.0, exponent)
    tail = (x < -1.0986) & (x > -700.0)
    power = _power_of_two(f, exponent)
    rounding = power * q + (power - e)
    above = f.select(tail, -(e * e), f.select(x >= 0.0, 1.0, e))
    quotient = above / (e + 1.0)
    y = f.select(tail, e + (quotient + rounding), quotient)
    return f.select(x == x, y, x)


def _quarters(f: Function, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """(k in the last bits, r, and what rounding took from r) for x = k π/2 + r, with r within
    π/4."""
    shifted = x * _TWO_OVER_PI + _MAGIC
    n = shifted - _MAGIC
    r, lost = x, f.literal(0.0, x.width)
    with f.uncontracted():
        for part in _HALF_PI:
            before, product = r, n * part
            r = before - product
            lost = lost + ((before - r) - product)
        rest = n * _HALF_PI_REST - lost
        high = r - rest
        return f.bits(shifted), high, (r - high) - rest


def _wave(f: Function, x: Lanes, quarters: int, name: str) -> Lanes:
    """The sine of x and so many right angles."""
    k, r, low = _quarters(f, x)
    z = r * r
    cube = z * r
    sine = r - ((z * (low * 0.5 - cube * _polynomial(z, _SIN[1:])) - low) - cube * _SIN[0])
    half = z * 0.5
    one_less = 1.0 - half
    cosine = one_less + (((1.0 - one_less) - half) + (z * (z * _polynomial(z, _COS)) - r * low))
    k = k + quarters
    odd = f.binary("ashr", f.binary("shl", k, 63), 63)  # all bits, or none
    even = f.integers(-1, x.width) - odd
    chosen = f.binary(
        "or", f.binary("and", f.bits(sine), even), f.binary("and", f.bits(cosine), odd)
    )
    y = f.bits(chosen + f.binary("shl", f.binary("and", k, 2), 62))
    near = f.call("fabs", x) <= _FAR  # not for inf and nan
    return _unless(f, ~near, y, lambda: f.call_each(name, x))


def _sin(f: Function, x: Lanes) -> Lanes:
    return _wave(f, x, 0, "sin")


def _cos(f: Function, x: Lanes) -> Lanes:
    return _wave(f, x, 1, "cos")


def _falling(f: Function, x: Lanes) -> Lanes:
    """e ** x for x <= 0."""
    near = f.select(x < -760.0, -760.0, x)
    shifted, q = _reduced(near)
    return _scaled(f, near, q + 1.0, _exponent(f, shifted))


def _near(f: Function) -> float:
    """Up to where 1 less the result, as it is rounded, has all digits but one."""
    return 1.0 if f.single else 2.5


def _unless(f: Function, far: Lanes, plain: Lanes, exact: Callable[[], Lanes]) -> Lanes:
    """`plain`, and what is `exact` in lanes far out: that is computed only if there are any."""
    (y,) = f.when(f.any(far), lambda: [f.select(far, exact(), plain)], [plain])
    return y


def _tanh_dx(f: Function, x: Lanes, out: Lanes) -> Lanes:
    """1 - out ** 2; far out sech(x) ** 2, for which the result saves the division: 1 + e ** -2|x|
    is 2 / (1 + |out|)."""
    size = f.call("fabs", x)

    def exact() -> Lanes:
        above = f.call("fabs", out) + 1.0
        return _falling(f, -(size + size)) * (above * above)

    return _unless(f, size > _near(f), 1.0 - out * out, exact)


def _sigmoid_dx(f: Function, x: Lanes, out: Lanes) -> Lanes:
    """out * (1 - out); far to the right sech(x / 2) ** 2 / 4: 1 / (1 + e ** -|x|) is the result."""
    return _unless(
        f,
        x > _near(f),
        out * (1.0 - out),
        lambda: _falling(f, -f.call("fabs", x)) * (out * out),
    )


def _silu_dx(f: Function, x: Lanes, out: Lanes) -> Lanes:
    positive = _sigmoid(f, x)
    return positive + x * _sigmoid_dx(f, x, positive)


def _pow(f: Function, x: Lanes, y: Lanes) -> Lanes:
    """Small whole and half exponents that are known by products and a square root."""
    c = y.constant
    if c is None or not abs(c) <= 4.0 or c + c != math.floor(c + c):
        return f.call_each("pow", x, y)
    size, whole = abs(c), math.floor(abs(c))
    # 1 / x first: a power of x may be beyond the range where its reciprocal is not.
    base = 1.0 / x if c <= -1.0 else x
    out: Lanes = f.literal(1.0, x.width)
    for _ in range(whole):
        out = out * base
    if size != whole:
        # Unlike square roots, powers of -0.0 and of -inf are those of 0.0 and of inf.
        root = f.call("sqrt", f.call("fabs", base))
        root = f.select((x < 0.0) & (x > -math.inf), math.nan, root)
        out = root if whole == 0 else root * f.call("fabs", out)
    return 1.0 / out if c == -0.5 else out


def _divide(f: Function, x: Any, y: Any) -> Lanes:
    return f.binary("div", x, y)


def _is_nothing(f: Function, g: Lanes) -> Lanes:
    return (g == 0.0) & (f.call("copysign", f.literal(1.0, g.width), g) < 0.0)


def _pass_on(f: Function, g: Lanes, p: Lanes) -> Lanes:
    product = g * p
    return f.select(_is_nothing(f, g), -0.0, f.select(product == 0.0, 0.0, product))


_FUSED = ("add", "sub", "mul", "square")  # a product may be added to something unrounded

# Rows that are written anew here, instead of being translated from their forwards.
_ROWS: dict[str, Callable[..., Lanes]] = {
    "div": _divide,
    "reciprocal": lambda f, x: 1.0 / x,
    "chain": lambda f, g, p: f.select((g == 0.0) | (p == 0.0), 0.0, g * p),
    "nothing": lambda f, g: f.select(_is_nothing(f, g), 1.0, 0.0),
    "pass_on": _pass_on,
    "sqrt": lambda f, x: f.call("sqrt", x),
    "round": lambda f, x: f.call("roundeven", x),
    "floor": lambda f, x: f.call("floor", x),
    "ceil": lambda f, x: f.call("ceil", x),
    "maximum": lambda f, x, y: f.select((x < y) | (y != y), y, x),
    "minimum": lambda f, x, y: f.select((y < x) | (y != y), y, x),
    "relu": lambda f, x: f.select(x <= 0.0, 0.0, x),
    "pow": _pow,
    "exp": lambda f, x: f.in_double(_exp, x),
    "expm1": lambda f, x: f.in_double(_expm1, x),
    "log": lambda f, x: f.in_double(_log, x),
    "log1p": lambda f, x: f.in_double(_log1p, x),
    "tanh": lambda f, x: f.in_double(_tanh, x),
    "sigmoid": lambda f, x: f.in_double(_sigmoid, x),
    "sin": lambda f, x: f.in_double(_sin, x),
    "cos": lambda f, x: f.in_double(_cos, x),
}
# Partials that are written anew: they are computed of the row's result where that saves time.
_PARTIALS: dict[str, Callable[..., Lanes]] = {
    "tanh": _tanh_dx,
    "sigmoid": _sigmoid_dx,
    "silu": _silu_dx,
}
# A row may be replaced under its name.
_ORIGINAL = {name: TABLE[name] for name in (*_ROWS, *_PARTIALS)}


class _Math:
    """Stands for the module `math` in a row's forward."""

    def __init__(self, f: Function) -> None:
        self._f = f

    def fabs(self, x: Any) -> Lanes:
        return self._f.call("fabs", x)

    def floor(self, x: Any) -> Lanes:
        return self._f.call("floor", x)

    def sqrt(self, x: Any) -> Lanes:
        return self._f.call("sqrt", x)

    def copysign(self, x: Any, y: Any) -> Lanes:
        return self._f.call("copysign", *self._alike(x, y))

    def exp(self, x: Any) -> Lanes:
        return self._f.in_double(_exp, x)

    def expm1(self, x: Any) -> Lanes:
        return self._f.in_double(_expm1, x)

    def log(self, x: Any) -> Lanes:
        return self._f.in_double(_log, x)

    def log1p(self, x: Any) -> Lanes:
        return self._f.in_double(_log1p, x)

    def tanh(self, x: Any) -> Lanes:
        return self._f.in_double(_tanh, x)

    def sin(self, x: Any) -> Lanes:
        return self._f.in_double(_sin, x)

    def cos(self, x: Any) -> Lanes:
        return self._f.in_double(_cos, x)

    def __getattr__(self, name: str) -> Callable[..., Lanes]:
        if name not in _IN_LIBRARY:
            raise UntranslatableError(f"math.{name}")
        return lambda *operands: self._f.call_each(name, *self._alike(*operands))

    def _alike(self, *operands: Any) -> list[Lanes]:
        """Numbers among the operands as literals."""
        width = max(x.width for x in operands if isinstance(x, Lanes))
        return [x if isinstance(x, Lanes) else self._f.literal(x, width) for x in operands]


class _NumPy:
    """Stands for NumPy in the rule of an optimiser, which is about arrays too."""

    def __init__(self, f: Function) -> None:
        self._f = f

    def sqrt(self, x: Any) -> Lanes:
        return self._f.call("sqrt", x)

    def maximum(self, x: Any, y: Any) -> Lanes:
        return row(self._f, "maximum", x, y)  # type: ignore[no-any-return]


_IN_LIBRARY = {
    *("tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh"),
    *("atanh", "log2", "log10", "cbrt", "hypot", "pow", "erf", "erfc"),
}


def row(f: Function, name: str, *operands: Any) -> Any:
    """What a row of the table gives, for Lanes and numbers. Raises UntranslatableError."""
    op = TABLE[name]
    if not any(isinstance(x, Lanes) for x in operands):
        assert op.forward is not None
        return op.forward(*operands)
    width = max(x.width for x in operands if isinstance(x, Lanes))
    lanes = [f.widened(x, width) if isinstance(x, Lanes) else f.literal(x, width) for x in operands]
    written = _ROWS.get(name)
    if written is not None and _ORIGINAL[name] is op:
        return written(f, *lanes)
    assert isinstance(op.forward, FunctionType)
    if name in _FUSED:
        return f.traced(on_lanes(f, op.forward), *lanes)
    with f.uncontracted():  # where terms cancel, what an unrounded product leaves may be huge
        return f.traced(on_lanes(f, op.forward), *lanes)


def translates(number: str, name: str) -> bool:
    """Whether a row of the table, its partials and its cuts can be emitted.

    Raises TraceError for a forward that calls itself.
    """
    key = (number, TABLE[name])
    if key not in _translatable:
        row_fingerprint(name)  # refuses what calls itself
        f, op = Function(number), TABLE[name]
        x = Lanes(f, "%x", FLOAT, 2)
        try:
            row(f, name, *[x] * op.arity)
            for k in range(op.arity):
                partial(f, op, k, *[x] * (op.arity + 1))
                cut(f, op, k, *[x] * op.arity)
            _translatable[key] = True
        except (UntranslatableError, TypeError, AttributeError):  # a row may do anything
            _translatable[key] = False
    return _translatable[key]


_translatable: dict[tuple[str, Op], bool] = {}


def partial(f: Function, op: Op, i: int, *operands: Lanes) -> Any:
    """Partial number i of a row by its operands and result: Lanes, or a number if constant."""
    p = op.partials[i]
    written = _PARTIALS.get(op.name)
    if written is not None and _ORIGINAL[op.name] is op:
        return f.in_double(written, *operands)
    return f.traced(on_lanes(f, p), *operands) if callable(p) else float(p)


def cut(f: Function, op: Op, i: int, *operands: Lanes) -> Lanes | None:
    """Where the edge to operand i is cut; None if nowhere. Everywhere is asked by nobody."""
    where = op.cuts[i]
    return None if isinstance(where, bool) else f.traced(on_lanes(f, where), *operands) != 0.0


def on_lanes(f: Function, function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function whose names mean what they do on Lanes."""
    assert isinstance(function, FunctionType)
    names: dict[str, Any] = {}
    for name in function.__code__.co_names:
        meaning = function.__globals__.get(name)
        if name in TABLE and isinstance(meaning, FunctionType) and meaning is TABLE[name].forward:
            names[name] = lambda *operands, _name=name: row(f, _name, *operands)
        elif meaning is math:
            names[name] = _Math(f)
        elif meaning is np:
            names[name] = _NumPy(f)
        elif isinstance(meaning, FunctionType):
            names[name] = on_lanes(f, meaning)
    return rebind(function, names)
