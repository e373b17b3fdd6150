"""Elementary functions on vectors of numbers, for machine code.

Each is written without a branch, so that it holds for all lanes of a vector at once: the argument
is reduced, a polynomial is evaluated, and the ends of the range are selected. They are within 2
units in the last place of the true result, as the tests on published tables show. Single precision
is computed in double. A row of the operation table that is not here is translated from its plain
Python; functions of the C library are then called lane by lane.

The reduction of `exp` by ln 2 in two parts, and the polynomial of `log`, with its coefficients,
are those of FDLIBM (Sun Microsystems 1993, freely distributable).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

from engine.compiled.native.emit import Function, Lanes, UntranslatableError
from engine.ops import TABLE, Op
from engine.rebind import rebind

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_MAGIC = 1.5 * 2.0**52  # added to a number below 2 ** 51 it leaves the nearest integer in the bits
_MAGIC_BITS = 0x4338000000000000
_BIAS, _SHIFT = 1023, 52  # of the exponent in a double
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)


def _polynomial(f: Function, x: Lanes, coefficients: list[float]) -> Lanes:
    """The polynomial with these coefficients, highest first: pairs of terms in powers of x², so
    that half of the operations need not wait for each other."""
    square = x * x
    if len(coefficients) % 2:
        coefficients = [0.0, *coefficients]
    total: Lanes | None = None
    for high, low in zip(coefficients[::2], coefficients[1::2], strict=True):
        pair = x * high + low if high else f.literal(low, x.width)
        total = pair if total is None else total * square + pair
    assert total is not None
    return total


def _power_of_two(f: Function, k: Lanes) -> Lanes:
    """2 ** k for integers from -1022 to 1023."""
    return f.bits(f.binary("shl", k + _BIAS, _SHIFT))


def _reduced(f: Function, x: Lanes) -> tuple[Lanes, Lanes]:
    """(k, r) with x = k ln 2 + r, k an integer and r within half of ln 2."""
    shifted = x * _LOG2_E + _MAGIC
    n = shifted - _MAGIC
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    return f.bits(shifted) - _MAGIC_BITS, r


_EXP = [1.0 / math.factorial(k) for k in range(13, -1, -1)]


def _exp(f: Function, x: Lanes) -> Lanes:
    x = f.select(x > 720.0, 720.0, x)
    x = f.select(x < -760.0, -760.0, x)
    k, r = _reduced(f, x)
    half = f.binary("ashr", k, 1)  # 2 ** k itself may be beyond the range, or subnormal
    p = _polynomial(f, r, _EXP)
    return p * _power_of_two(f, half) * _power_of_two(f, k - half)


def _expm1_reduced(f: Function, x: Lanes) -> Lanes:
    """e ** x - 1 for x up to 44."""
    k, r = _reduced(f, x)
    q = r + r * r * _polynomial(f, r, _EXP[:-2])
    scale = _power_of_two(f, k)
    return scale * q + (scale - 1.0)


def _expm1(f: Function, x: Lanes) -> Lanes:
    near = f.select(x > 40.0, 0.0, f.select(x < -40.0, -40.0, x))
    return f.select(x > 40.0, _exp(f, x), _expm1_reduced(f, near))


def _log(f: Function, x: Lanes) -> Lanes:
    tiny = x < 2.2250738585072014e-308
    bits = f.bits(f.select(tiny, x * 2.0**54, x))
    offset = bits - 0x3FE6A09E00000000  # the bits of sqrt(1/2)
    k = f.binary("ashr", offset, _SHIFT)
    m = f.bits(bits - f.binary("shl", k, _SHIFT))  # from sqrt(1/2) to sqrt(2)
    n = f.bits(k + _MAGIC_BITS) - _MAGIC
    n = f.select(tiny, n - 54.0, n)
    t = m - 1.0
    s = t / (t + 2.0)
    z = s * s
    half = 0.5 * t * t
    rest = z * _polynomial(f, z, list(_LOG[::-1]))
    out = n * _LN2_HIGH - ((half - (s * (half + rest) + n * _LN2_LOW)) - t)
    out = f.select(x < math.inf, out, x)  # inf is inf, nan is nan
    return f.select(x > 0.0, out, f.select(x == 0.0, -math.inf, f.select(x < 0.0, math.nan, x)))


def _log1p(f: Function, x: Lanes) -> Lanes:
    u = x + 1.0
    lost = x - (u - 1.0)  # what rounding took away
    out = _log(f, u) + lost / u
    return f.select((u > 0.0) & (u < math.inf), out, _log(f, u))


def _tanh(f: Function, x: Lanes) -> Lanes:
    size = f.call("fabs", x)
    size = f.select(size > 22.0, 22.0, size)
    t = _expm1_reduced(f, size + size)
    return f.call("copysign", t / (t + 2.0), x)


def _sigmoid(f: Function, x: Lanes) -> Lanes:
    small = _exp(f, -f.call("fabs", x))
    return f.select(x >= 0.0, 1.0, small) / (small + 1.0)


def _pow(f: Function, x: Lanes, y: Lanes) -> Lanes:
    """Small whole and half exponents that are known by products and a square root."""
    c = y.constant
    if c is None or abs(c) > 4.0 or c + c != math.floor(c + c):
        return f.call_each("pow", x, f.widened(y, x.width) if y.width < x.width else y)
    size, whole = abs(c), math.floor(abs(c))
    out: Lanes = f.literal(1.0, x.width)
    for _ in range(whole):
        out = out * x
    if size != whole:
        # x + 0.0: the square root of -0.0 is -0.0, but its power 0.0; and (-inf) ** 0.5 is inf
        root = f.select(x == -math.inf, math.inf, f.call("sqrt", x + 0.0))
        out = root if whole == 0 else root * f.call("fabs", out)
    return 1.0 / out if c < 0 else out


def _divide(f: Function, x: Any, y: Any) -> Lanes:
    return f.binary("div", x, y)


# Rows that are written anew here, instead of being translated from their forwards.
_ROWS: dict[str, Callable[..., Lanes]] = {
    "div": _divide,
    "reciprocal": lambda f, x: 1.0 / x,
    "chain": lambda f, g, p: f.select((g == 0.0) | (p == 0.0), 0.0, g * p),
    "sqrt": lambda f, x: f.call("sqrt", x),
    "round": lambda f, x: f.call("roundeven", x),
    "floor": lambda f, x: f.call("floor", x),
    "ceil": lambda f, x: f.call("ceil", x),
    "relu": lambda f, x: f.select(x <= 0.0, 0.0, x),
    "pow": _pow,
    "exp": lambda f, x: f.in_double(_exp, x),
    "expm1": lambda f, x: f.in_double(_expm1, x),
    "log": lambda f, x: f.in_double(_log, x),
    "log1p": lambda f, x: f.in_double(_log1p, x),
    "tanh": lambda f, x: f.in_double(_tanh, x),
    "sigmoid": lambda f, x: f.in_double(_sigmoid, x),
}
_ORIGINAL = {name: TABLE[name] for name in _ROWS}  # a row may be replaced under its name


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
        like = x if isinstance(x, Lanes) else y
        sides = [s if isinstance(s, Lanes) else self._f.literal(s, like.width) for s in (x, y)]
        return self._f.call("copysign", *sides)

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

    def __getattr__(self, name: str) -> Callable[..., Lanes]:
        if name not in _IN_LIBRARY:
            raise UntranslatableError(f"math.{name}")
        return lambda *operands: self._f.call_each(name, *operands)


_IN_LIBRARY = {
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh"),
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
    return f.traced(_in(f, op.forward), *lanes)


def partial(f: Function, op: Op, i: int, *operands: Lanes) -> Any:
    """Partial number i of a row by its operands and result: Lanes, or a number if constant."""
    p = op.partials[i]
    return f.traced(_in(f, p), *operands) if callable(p) else float(p)


def _in(f: Function, function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function whose names mean what they do on Lanes."""
    assert isinstance(function, FunctionType)
    names: dict[str, Any] = {}
    for name in function.__code__.co_names:
        meaning = function.__globals__.get(name)
        if name in TABLE and isinstance(meaning, FunctionType) and meaning is TABLE[name].forward:
            names[name] = lambda *operands, _name=name: row(f, _name, *operands)
        elif meaning is math:
            names[name] = _Math(f)
        elif isinstance(meaning, FunctionType):
            names[name] = _in(f, meaning)
    return rebind(function, names)
