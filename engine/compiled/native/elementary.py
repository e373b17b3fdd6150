"""Elementary functions on vectors of numbers, for machine code.

Each is written without a branch, so that it holds for all lanes of a vector at once: the argument
is reduced, a polynomial is evaluated, and the ends of the range are selected. In: a function under
construction and Lanes of it; out: Lanes, within 2 units in the last place of the true result, which
the tests look up; most are within 1. All work in double precision; those of `IN_SINGLE`, which
networks have by the thousand, in single precision, too, where twice as many fit into a vector.

The reduction of `exp` by ln 2 in two parts, the polynomial of `log`, the parts of π/2 and the
polynomials of `sin` and `cos`, with their coefficients, are those of FDLIBM (Sun Microsystems 1993,
freely distributable). The other polynomials interpolate, which the tests do again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from engine.compiled.native.function import Function
from engine.compiled.native.numbers import Arithmetic, Lanes

IN_SINGLE = {"exp", "tanh", "sigmoid"}  # and their partials
_LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LN2, _LN2_LACK = 0.6931471805599453, 2.3190468138462996e-17  # the nearest double, and the rest
_HALF_PI_NEAREST, _HALF_PI_LACK = 1.5707963267948966, 6.123233995736766e-17
MAGIC = 1.5 * 2.0**52  # added to a number below 2 ** 51 it leaves the nearest integer in the bits
_ONE_BITS, MAGIC_BITS = 0x3FF0000000000000, 0x4338000000000000
_SQRT_HALF_BITS = 0x3FE6A09E00000000  # near enough
SHIFT = 52  # of the exponent in the bits of a double
SMALLEST = 2.2250738585072014e-308  # that is normal

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
# The same for single precision, through its values at those of order 6: below 3e-10.
_EXP_SINGLE = (
    0.5000000013457727,
    0.16666666681614256,
    0.04166646500604005,
    0.008333310934448869,
    0.0013933641031986701,
    0.00019890980869750327,
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
# (arctan z - z) / z³ for z within 1/2 and (sinh x - x) / x³ for x within 1, in powers of the square
_ATAN = (
    -0.33333333333333326,
    0.199999999999916,
    -0.14285714284106285,
    0.11111110990139533,
    -0.09090904370311348,
    0.07692198451257941,
    -0.06665052856794013,
    0.058664967492257074,
    -0.05157516225552972,
    0.04283578705573422,
    -0.02895352123252625,
    0.011152908092096216,
)
_SINH = (
    0.16666666666666666,
    0.008333333333333299,
    0.00019841269841324198,
    2.7557319191381816e-06,
    2.5052117695907823e-08,
    1.6057679623801638e-10,
    7.746178593018827e-13,
)


class _Format(NamedTuple):
    """Numbers of a precision: of what bits they are, and how far e ** x is one of them."""

    magic: float  # see MAGIC
    one: int  # the bits of 1.0
    shift: int  # of the exponent in the bits
    ln2: tuple[float, float]  # of whose first part the multiples are exact
    exp: tuple[float, ...]
    most: float  # the largest x with a finite e ** x
    normal: float  # down to which e ** x has all its digits
    none: float  # from which on e ** x is 0
    lift: int  # by how many powers of two it is normal from there on
    even: float  # from which on tanh(x) is 1


_DOUBLE = _Format(
    *(MAGIC, _ONE_BITS, SHIFT, (LN2_HIGH, LN2_LOW), _EXP),
    *(709.782712893384, -708.0, -760.0, 128, 22.0),
)
_SINGLE = _Format(
    *(1.5 * 2.0**23, 0x3F800000, 23, (0.693359375, -2.12194440054690583e-04), _EXP_SINGLE),
    *(88.72283172607422, -87.0, -110.0, 64, 10.0),
)
_TWO_OVER_PI = 6.36619772367581382433e-01
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624871116645580e-21)
_HALF_PI_REST = 8.47842766036889956997e-32
_FAR = 8.0e5  # up to which multiples of the parts of π/2, of 33 bits each, are exact


def polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
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


def _format(f: Arithmetic) -> _Format:
    return _DOUBLE if f.number == "double" else _SINGLE


def reduced(x: Lanes, exact: bool = False) -> tuple[Lanes, Lanes]:
    """(shifted, q) for x = k ln 2 + r, with k an integer and r within half of ln 2: k is in the
    last bits of `shifted`, and q is e ** r - 1. If `exact`, what rounding takes from r counts."""
    its = _format(x.function)
    shifted = x * _LOG2_E + its.magic
    n = shifted - its.magic
    high = x - n * its.ln2[0]
    r = high - n * its.ln2[1]
    rest = r * r * polynomial(r, its.exp)
    if exact:
        rest = rest + ((high - r) - n * its.ln2[1])
    return shifted, r + rest


def as_exponent(f: Function, shifted: Lanes) -> Lanes:
    """k in the bits of the exponent: added to those of a number, they multiply it by 2 ** k."""
    return f.binary("shl", f.bits(shifted), _format(f).shift)


def power_of_two(f: Function, exponent: Lanes) -> Lanes:
    """2 ** k where that is normal."""
    return f.bits(exponent + _format(f).one)


def scaled(f: Function, x: Lanes, y: Lanes, exponent: Lanes) -> Lanes:
    """y * 2 ** k, which is e ** x: where that may be subnormal, k is too low for an exponent."""
    its, bits = _format(f), f.bits(y) + exponent
    by_two_steps = f.bits(bits + (its.lift << its.shift)) * 2.0**-its.lift
    return f.select(x < its.normal, by_two_steps, f.bits(bits))


def power_scaled(f: Function, y: Lanes, exponent: Lanes, falls: Lanes) -> Lanes:
    """y * 2 ** k, where that may be subnormal if it `falls`, else infinite."""
    bits, away = f.bits(y) + exponent, 128 << SHIFT
    return f.select(falls, f.bits(bits + away) * 2.0**-128, f.bits(bits - away) * 2.0**128)


def _exp(f: Function, x: Lanes) -> Lanes:
    """e ** x, up to where that overflows."""
    none = _format(f).none
    near = f.select(x < none, none, x)
    shifted, q = reduced(near)
    return scaled(f, near, q + 1.0, as_exponent(f, shifted))


def exp(f: Function, x: Lanes) -> Lanes:
    y = _exp(f, x)
    return f.select(f.compare("ugt", x, _format(f).most), x * math.inf, y)  # nan is nan


def exp2(f: Function, x: Lanes) -> Lanes:
    near = f.select(x < -1100.0, -1100.0, f.select(x > 1030.0, 1030.0, x))
    shifted = near + MAGIC
    r = near - (shifted - MAGIC)
    with f.uncontracted():
        high = r * _LN2
        rest = f.call("fma", r, f.literal(_LN2, x.width), -high) + r * _LN2_LACK
    q = high + (rest + high * high * polynomial(high, _EXP))
    y = power_scaled(f, q + 1.0, as_exponent(f, shifted), x < 0.0)
    return f.select(x == x, y, x)


def expm1(f: Function, x: Lanes) -> Lanes:
    near = f.select(x > 710.0, 710.0, f.select(x < -40.0, -40.0, x))
    shifted, q = reduced(near, exact=True)
    scale = power_of_two(f, as_exponent(f, shifted) - (1 << SHIFT))  # half of 2 ** k
    y = scale * q + (scale - 0.5)
    return f.select(f.call("fabs", x) < 2.0**-54, x, y + y)


def _log_of(m: Lanes, n: Lanes, rest: Lanes) -> Lanes:
    """n ln 2 + log(m) + rest, for m from sqrt(1/2) to sqrt(2)."""
    t = m - 1.0
    s = t / (t + 2.0)
    z = s * s
    return n * LN2_HIGH - ((s * (t - z * polynomial(z, _LOG)) - rest) - t)


def split(f: Function, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """(m, k, and k as an exponent) for x = m * 2 ** k, with m from sqrt(1/2) to sqrt(2)."""
    bits = f.bits(x)
    k = f.binary("ashr", bits - _SQRT_HALF_BITS, SHIFT)
    exponent = f.binary("shl", k, SHIFT)
    return f.bits(bits - exponent), k, exponent


def log(f: Function, x: Lanes) -> Lanes:
    tiny = x < SMALLEST
    m, k, _ = split(f, f.select(tiny, x * 2.0**54, x))
    n = f.bits(k + MAGIC_BITS) - f.select(tiny, MAGIC + 54.0, MAGIC)
    y = _log_of(m, n, n * LN2_LOW)
    y = f.select(x < math.inf, y, x)  # inf is inf, nan is nan
    return f.select(x <= 0.0, f.select(x < 0.0, math.nan, -math.inf), y)


def log1p(f: Function, x: Lanes) -> Lanes:
    u = x + 1.0
    m, k, exponent = split(f, u)
    n = f.bits(k + MAGIC_BITS) - MAGIC
    # What rounding took away, divided by u: near 1 by this polynomial, else it hardly matters.
    lost = x - (u - 1.0)
    t = m - 1.0
    twice = f.bits((_ONE_BITS + (1 << SHIFT)) - exponent)  # 2 * 2 ** -k
    rest = (lost * twice) * (t * (t * 0.5 - 0.5) + 0.5)
    y = _log_of(m, n, n * LN2_LOW + rest)
    y = f.select(x < math.inf, y, x)
    y = f.select(x <= -1.0, f.select(x < -1.0, math.nan, -math.inf), y)
    return f.call("copysign", y, x)


def tanh(f: Function, x: Lanes) -> Lanes:
    """E / (E + 2) with E = e ** 2|x| - 1."""
    size = f.call("fabs", x)
    near = f.select(size > _format(f).even, _format(f).even, size)
    shifted, q = reduced(near + near)
    power = power_of_two(f, as_exponent(f, shifted))
    above = power * q + (power - 1.0)
    return f.call("copysign", above / (above + 2.0), x)


def sigmoid(f: Function, x: Lanes) -> Lanes:
    """1 / (1 + e) or e / (1 + e) with e = exp(-|x|); in double precision, far below 0, as
    e - e² / (1 + e), where the rounding of e is added again."""
    near = -f.call("fabs", x)
    if f.number == "float":
        e = _exp(f, near)
        return f.select(x == x, f.select(x >= 0.0, 1.0, e) / (e + 1.0), x)
    near = f.select(near < -760.0, -760.0, near)
    shifted, q = reduced(near)
    exponent = as_exponent(f, shifted)
    e = scaled(f, near, q + 1.0, exponent)
    tail = (x < -1.0986) & (x > -700.0)
    power = power_of_two(f, exponent)
    rounding = power * q + (power - e)
    above = f.select(tail, -(e * e), f.select(x >= 0.0, 1.0, e))
    quotient = above / (e + 1.0)
    y = f.select(tail, e + (quotient + rounding), quotient)
    return f.select(x == x, y, x)


def _quarters(f: Function, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """(k in the last bits, r, and what rounding took from r) for x = k π/2 + r, with r within
    π/4."""
    shifted = x * _TWO_OVER_PI + MAGIC
    n = shifted - MAGIC
    r, lost = x, f.literal(0.0, x.width)
    with f.uncontracted():
        for part in _HALF_PI:
            before, product = r, n * part
            r = before - product
            lost = lost + ((before - r) - product)
        rest = n * _HALF_PI_REST - lost
        high = r - rest
        return f.bits(shifted), high, (r - high) - rest


def _waves(f: Function, x: Lanes) -> tuple[Lanes, tuple[Lanes, Lanes], tuple[Lanes, Lanes]]:
    """(k in the last bits, sine of r, cosine of r) for x = k π/2 + r; a sine or cosine is the sum
    of a main part and a small one."""
    k, r, low = _quarters(f, x)
    z = r * r
    cube = z * r
    sine = r, ((z * (low * 0.5 - cube * polynomial(z, _SIN[1:])) - low) - cube * _SIN[0])
    half = z * 0.5
    one_less = 1.0 - half
    cosine = one_less, ((1.0 - one_less) - half) + (z * (z * polynomial(z, _COS)) - r * low)
    return k, (sine[0], -sine[1]), cosine


def _odd(f: Function, k: Lanes) -> Lanes:
    """All bits where k is odd, else none."""
    return f.binary("ashr", f.binary("shl", k, 63), 63)


def _either(f: Function, bits: Lanes, x: Lanes, y: Lanes) -> Lanes:
    """The bits of x where all are set, those of y where none is."""
    others = f.integers(-1, x.width) - bits
    chosen = f.binary("or", f.binary("and", f.bits(x), bits), f.binary("and", f.bits(y), others))
    return f.bits(chosen)


def _beyond(f: Function, x: Lanes, y: Lanes, name: str) -> Lanes:
    """y, but what the C library says where x is too far from 0, infinite or nan."""
    near = f.call("fabs", x) <= _FAR
    return unless(f, ~near, y, lambda: f.call_each(name, x))


def _wave(f: Function, x: Lanes, quarters: int, name: str) -> Lanes:
    """The sine of x and so many right angles."""
    k, sine, cosine = _waves(f, x)
    k = k + quarters
    y = f.bits(_either(f, _odd(f, k), cosine[0] + cosine[1], sine[0] + sine[1]))
    sign = f.binary("shl", f.binary("and", k, 2), 62)
    return _beyond(f, x, f.bits(y + sign), name)


def sin(f: Function, x: Lanes) -> Lanes:
    return _wave(f, x, 0, "sin")


def cos(f: Function, x: Lanes) -> Lanes:
    return _wave(f, x, 1, "cos")


def tan(f: Function, x: Lanes) -> Lanes:
    """The quotient of sine and cosine, or less that of cosine and sine; what rounding took from
    it is added."""
    k, sine, cosine = _waves(f, x)
    odd = _odd(f, k)
    with f.uncontracted():
        sums = [(y + rest, (y - (y + rest)) + rest) for y, rest in (sine, cosine)]
        (s, s_low), (c, c_low) = sums
        above, above_low = _either(f, odd, -c, s), _either(f, odd, -c_low, s_low)
        below, below_low = _either(f, odd, s, c), _either(f, odd, s_low, c_low)
        inverse = 1.0 / below
        y = above * inverse
        rest = f.call("fma", -y, below, above) + (above_low - y * below_low)
        y = y + rest * inverse
    return _beyond(f, x, f.select(x == 0.0, x, y), "tan")


def atan(f: Function, x: Lanes) -> Lanes:
    """By the arc tangent of x up to 1/2, of (x - 1) / (x + 1) up to 2, of -1 / x from there on."""
    size = f.call("fabs", x)
    low, high = size <= 0.5, size > 2.0
    above = f.select(low, size, f.select(high, -1.0, size - 1.0))
    below = f.select(low, 1.0, f.select(high, size, size + 1.0))
    z = above / below
    square = z * z
    start = f.select(low, 0.0, f.select(high, _HALF_PI_NEAREST, 0.5 * _HALF_PI_NEAREST))
    rest = f.select(low, 0.0, f.select(high, _HALF_PI_LACK, 0.5 * _HALF_PI_LACK))
    y = start + (z + (z * (square * polynomial(square, _ATAN)) + rest))
    return f.call("copysign", y, x)


def _half_exp(f: Function, size: Lanes) -> tuple[Lanes, Lanes]:
    """(e ** size / 2, e ** -size / 2) for size >= 0."""
    near = f.select(size > 720.0, 720.0, size)
    shifted, q = reduced(near, exact=True)
    bits = f.bits(q + 1.0) + as_exponent(f, shifted)
    half = f.bits(bits - (128 << SHIFT)) * 2.0**127  # which may overflow
    return half, 0.25 / half


def sinh(f: Function, x: Lanes) -> Lanes:
    """By a polynomial up to 1."""
    size, square = f.call("fabs", x), x * x
    rising, falling = _half_exp(f, size)
    y = f.call("copysign", rising - falling, x)
    return f.select(
        size < 1.0, x + x * (square * polynomial(square, _SINH)), f.select(x == x, y, x)
    )


def cosh(f: Function, x: Lanes) -> Lanes:
    rising, falling = _half_exp(f, f.call("fabs", x))
    return f.select(x == x, rising + falling, x)


def asinh(f: Function, x: Lanes) -> Lanes:
    """log(|x| + sqrt(1 + x²)); far out, where that is 2 |x|, the logarithm of 2 is added."""
    size = f.call("fabs", x)
    far = size > 2.0**28
    near = f.select(far, 1.0, size)
    square = near * near
    above = near + square / (f.call("sqrt", square + 1.0) + 1.0)
    y = log1p(f, f.select(far, size - 1.0, above)) + f.select(far, _LN2, 0.0)
    return f.call("copysign", y, x)


def acosh(f: Function, x: Lanes) -> Lanes:
    """log(x + sqrt(x² - 1)), as `asinh`."""
    far = x > 2.0**28
    t = f.select(far, 1.0, x) - 1.0
    above = t + f.call("sqrt", t * (t + 2.0))
    y = log1p(f, f.select(far, x - 1.0, above)) + f.select(far, _LN2, 0.0)
    return f.select(x < 1.0, math.nan, y)


def atanh(f: Function, x: Lanes) -> Lanes:
    """log((1 + |x|) / (1 - |x|)) / 2; nan beyond 1 is that of the logarithm."""
    size = f.call("fabs", x)
    y = log1p(f, (size + size) / (1.0 - size)) * 0.5
    return f.call("copysign", f.select(size > 1.0, math.nan, y), x)


def near(f: Function) -> float:
    """Up to where 1 less the result, as it is rounded, has all digits but one."""
    return 1.0 if f.single else 2.5


def unless(f: Function, far: Lanes, plain: Lanes, exact: Callable[[], Lanes]) -> Lanes:
    """`plain`, and what is `exact` in lanes far out: that is computed only if there are any."""
    (y,) = f.when(f.any(far), lambda: [f.select(far, exact(), plain)], [plain])
    return y


def tanh_dx(f: Function, x: Lanes, out: Lanes) -> Lanes:
    """1 - out ** 2; far out sech(x) ** 2, for which the result saves the division: 1 + e ** -2|x|
    is 2 / (1 + |out|)."""
    size = f.call("fabs", x)

    def exact() -> Lanes:
        above = f.call("fabs", out) + 1.0
        return _exp(f, -(size + size)) * (above * above)

    return unless(f, size > near(f), 1.0 - out * out, exact)


def sigmoid_dx(f: Function, x: Lanes, out: Lanes) -> Lanes:
    """out * (1 - out); far to the right sech(x / 2) ** 2 / 4: 1 / (1 + e ** -|x|) is the result."""
    return unless(
        f,
        x > near(f),
        out * (1.0 - out),
        lambda: _exp(f, -f.call("fabs", x)) * (out * out),
    )


def silu_dx(f: Function, x: Lanes, out: Lanes) -> Lanes:
    positive = sigmoid(f, x)
    return positive + x * sigmoid_dx(f, x, positive)
