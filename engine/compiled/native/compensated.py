"""Functions on vectors that need more digits on the way than a double has, for machine code.

Powers, logarithms to other bases, and the error function: what rounding takes from a sum, product
or quotient is kept as a second double, as Dekker (1971) has it, with `fma` for that of a product.
In and out as in `elementary`.
"""

from __future__ import annotations

import math

from engine.compiled.native.elementary import (
    LN2_HIGH,
    LN2_LOW,
    MAGIC,
    MAGIC_BITS,
    SMALLEST,
    as_exponent,
    log,
    polynomial,
    power_of_two,
    power_scaled,
    reduced,
    split,
)
from engine.compiled.native.function import Function
from engine.compiled.native.numbers import Lanes

Two = tuple[Lanes, Lanes]  # a number as the sum of a double and what rounding took from it

_TWO_THIRDS = 0.6666666666666666, 3.700743415417188e-17
_LOG2_E = 1.4426950408889634, 2.0355273740931033e-17
_LOG10_E = 0.4342944819032518, 1.098319650216765e-17
_LOG10_2 = 0.30102999560767785, 5.630334806675098e-11  # the first of 36 bits
# (log((1 + s) / (1 - s)) - 2 s - 2 s³ / 3) / s⁵ in powers of s² up to 0.03, lowest first
_LOG = (
    0.4,
    0.2857142857142948,
    0.22222222221586813,
    0.18181818350901904,
    0.1538459332117001,
    0.13334893115781868,
    0.1170389090696686,
    0.11747473670849902,
)
# erf(x) / x - 1 in powers of x² for x within _SMALL
_ERF = (
    0.1283791670955126,
    -0.37612638903183654,
    0.11283791670942916,
    -0.026866170639419703,
    0.00522397749149922,
    -0.0008548309359482557,
    0.00012053962111222463,
    -1.486342211864553e-05,
    1.4925349834965416e-06,
)
# (1 + 2 x) e ** x² erfc(x) in powers of (x - 3.5) / (x + 3.5) for x from _SMALL to _FAR: the
# variable and factor of Shepherd and Laframboise (1981), the interval cut where erfc(x) is 0
_ERFC = (
    1.2423492448711544,
    -0.1400091801376194,
    -0.010555596332218335,
    0.09751909515325542,
    -0.11508959816018904,
    0.08798315382497934,
    -0.048823325827968,
    0.019099330940573766,
    -0.004215019907114805,
    -0.0003022678616726201,
    0.0005643844145397499,
    -0.00012151250053073315,
    -4.2782226340700866e-05,
    2.426117716841048e-05,
    2.328319292999119e-06,
    -3.814859914642157e-06,
    -4.428455355670828e-08,
    6.007239840146832e-07,
    -7.869927030080782e-09,
    -9.339997839591262e-08,
    5.461558154388637e-10,
    1.050874991595492e-08,
)
_SMALL, _FAR = 0.46875, 27.5


def _sum(x: Lanes, y: Lanes) -> Two:
    """x + y, where x is not the smaller one, or is 0."""
    total = x + y
    return total, (x - total) + y


def _product(f: Function, x: Lanes, y: Lanes) -> Two:
    product = x * y
    return product, f.call("fma", x, y, -product)


def _times(f: Function, x: Two, y: tuple[float, float]) -> Two:
    """The product with a known number."""
    high, low = _product(f, x[0], f.literal(y[0], x[0].width))
    return high, low + (x[0] * y[1] + x[1] * y[0])


def _log_of(f: Function, x: Lanes) -> tuple[Lanes, Two]:
    """(n, log(m)) for x = m * 2 ** n > 0, with m from sqrt(1/2) to sqrt(2): to 2 ** -64 of it."""
    tiny = x < SMALLEST
    m, k, _ = split(f, f.select(tiny, x * 2.0**54, x))
    n = f.bits(k + MAGIC_BITS) - f.select(tiny, MAGIC + 54.0, MAGIC)
    above, below = m - 1.0, m + 1.0
    inverse = 1.0 / below
    with f.uncontracted():
        s = above * inverse
        rest = f.call("fma", -s, below, above) - s * (m - (below - 1.0))
        s_low = rest * inverse
        square, square_low = _product(f, s, s)
        cube, cube_low = _product(f, square, s)
        third = _times(f, (cube, cube_low + s * (square_low + 3.0 * s * s_low)), _TWO_THIRDS)
    tail = cube * (square * polynomial(square, _LOG))
    with f.uncontracted():
        high, low = _sum(s + s, third[0])
        return n, _sum(high, low + ((s_low + s_low) + (third[1] + tail)))


def _ends(f: Function, x: Lanes, y: Lanes) -> Lanes:
    """A logarithm with the ends of its range."""
    y = f.select(x < math.inf, y, x)  # inf is inf, nan is nan
    return f.select(x <= 0.0, f.select(x < 0.0, math.nan, -math.inf), y)


def log2(f: Function, x: Lanes) -> Lanes:
    n, m = _log_of(f, x)
    with f.uncontracted():
        high, low = _times(f, m, _LOG2_E)
        whole, rest = _sum(n, high)
        return _ends(f, x, whole + (rest + low))


def log10(f: Function, x: Lanes) -> Lanes:
    n, m = _log_of(f, x)
    with f.uncontracted():
        high, low = _times(f, m, _LOG10_E)
        whole, rest = _sum(n * _LOG10_2[0], high)
        return _ends(f, x, whole + (rest + (n * _LOG10_2[1] + low)))


def _exp(f: Function, x: Lanes, low: Lanes) -> tuple[Two, Lanes]:
    """(y, k) for e ** (x + low) = y * 2 ** k, with k as an exponent."""
    shifted, q = reduced(x, exact=True)
    y, rest = _sum(f.literal(1.0, x.width), q)
    return (y, rest + low * y), as_exponent(f, shifted)


def _exponent(f: Function, size: Lanes, y: Lanes) -> Two:
    """y log(size)."""
    n, m = _log_of(f, size)
    with f.uncontracted():
        high, low = _sum(n * LN2_HIGH, m[0])
        high, low = _sum(high, low + (n * LN2_LOW + m[1]))
        high = f.select(size == 0.0, -math.inf, f.select(size < math.inf, high, size))
        exponent, rest = _product(f, y, high)
        return exponent, rest + y * low


def pow(f: Function, x: Lanes, y: Lanes) -> Lanes:
    """e ** (y log |x|), with the sign of x if y is odd."""
    size, rest = f.call("fabs", x), f.literal(0.0, x.width)
    if f.single:  # of whose results a double has digits enough
        exponent = y * log(f, size)
    else:
        exponent, rest = _exponent(f, size, y)
    is_one = (y == 0.0) | (x == 1.0) | ((size == 1.0) & (f.call("fabs", y) == math.inf))
    exponent = f.select(is_one, 0.0, exponent)
    near = f.select(exponent < -760.0, -760.0, f.select(exponent > 720.0, 720.0, exponent))
    rest = f.select((near == exponent) & (near != 0.0), rest, 0.0)
    (e, e_low), k = _exp(f, near, rest)
    out = power_scaled(f, e + e_low, k, near < 0.0)
    out = f.select(near == near, out, near)
    half = y * 0.5
    odd = f.call("floor", half) != half
    whole = f.call("floor", y) == y
    negative = f.call("copysign", f.literal(1.0, x.width), x) < 0.0
    out = f.select(negative & odd & whole, -out, out)
    return f.select((x < 0.0) & (x > -math.inf) & ~whole, math.nan, out)


def _tail(f: Function, size: Lanes) -> tuple[Two, Lanes]:
    """(y, k) for erfc(size) = y * 2 ** k, for a size from _SMALL to _FAR."""
    t = (size - 3.5) / (size + 3.5)
    tail = t * polynomial(t, _ERFC[1:])
    if f.single:
        shifted, q = reduced(-(size * size))
        y = (q + 1.0) * (tail + _ERFC[0]) / (size + size + 1.0)
        return (y, f.literal(0.0, y.width)), as_exponent(f, shifted)
    with f.uncontracted():
        h, h_low = _sum(f.literal(_ERFC[0], size.width), tail)
        twice = size + size
        below = twice + 1.0
        lost = f.select(twice < 1.0, (1.0 - below) + twice, (twice - below) + 1.0)
        inverse = 1.0 / below
        y = h * inverse
        y_low = (f.call("fma", -y, below, h) + (h_low - y * lost)) * inverse
        square, square_low = _product(f, size, size)
    (e, e_low), k = _exp(f, -square, -square_low)
    with f.uncontracted():
        high, low = _product(f, e, y)
        return (high, low + (e * y_low + e_low * y)), k


def _excess(x: Lanes) -> Lanes:
    """erf(x) - x for x within _SMALL."""
    return x * polynomial(x * x, _ERF)


def erf(f: Function, x: Lanes) -> Lanes:
    size = f.call("fabs", x)
    (y, low), k = _tail(f, f.select(size > 6.5, 6.5, size))
    power = power_of_two(f, k)
    far = f.call("copysign", (1.0 - y * power) - low * power, x)
    return f.select(size < _SMALL, x + _excess(x), f.select(x == x, far, x))


def erfc(f: Function, x: Lanes) -> Lanes:
    size = f.call("fabs", x)
    (y, low), k = _tail(f, f.select(size > _FAR, _FAR, size))
    tail = power_scaled(f, y + low, k, size > 0.0)
    far = f.select(x < 0.0, 2.0 - tail, f.select(x == x, tail, x))
    return f.select(size < _SMALL, (1.0 - x) - _excess(x), far)
