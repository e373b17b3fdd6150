"""The table of operations: what an operation is called, computes, and passes back.

One row an operation. Everything else in the project reads this table: the methods of `Value` and
the functions of `engine`, the reverse sweep on floats and on Values, the machine code, the
labels in drawings, the derivative tests, the reference page. To add an operation, add a row.

A row is a forward on plain floats (its docstring gives formula, domain and the convention at a
kink), one partial derivative per operand (a function of the operands and then the result, or a
float where it is constant), and a call of `row`. Where an operand is not chosen (the arm that
`where` did not take) a row cuts the edge to it: nothing passes there, whatever the partial and the
adjoint are. Two rules keep a row readable by all readers:

- A forward never raises. It reaches IEEE 754's result (inf, nan) by comparisons, where Python's
  `math` would raise, so that the same code can be jitted.
- A partial is straight-line: operators, literals, and names of other rows; so is the predicate
  that says where an edge is cut. Where a denominator may be 0 it says ``div(a, b)``, because
  ``a / b`` raises on Python floats. Branches belong into the forward of a named row (`step`,
  `less`, `where`), so that a recorded derivative holds for other inputs too. A higher derivative
  is that of the partial as written: where terms of it would cancel, the partial names a row that
  keeps every digit (`sech`, `one_minus_square`, `direction`).

This module imports nothing of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Partial = Any  # a float or a function of floats; a union would cost a check in every sweep
Pullback = Callable[[Sequence[Any], Any, Any], Sequence[Any]]  # of contributions, or None
Interval = tuple[float, float]
# Where an edge is cut: everywhere, nowhere, or where a function of the operands is not 0.
Cut = bool | Callable[..., float]

inf = math.inf
nan = math.nan
_EXP_MAX = 709.782712893384  # the largest x with a finite exp(x)
_SINH_MAX = 710.4758600739439  # the largest x with a finite sinh(x) and cosh(x)
_PI = math.pi
_LN2 = math.log(2.0)
_LN10 = math.log(10.0)
_SQRT_HALF = math.sqrt(0.5)
_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
_ONE_OVER_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
_DEGREES, _RADIANS = 180.0 / math.pi, math.pi / 180.0  # in a radian, in a degree
_ALL_WHOLE = 4503599627370496.0  # 2 ** 52: from here on every double is a whole number
_BCE_SMALLEST = 9.999999960041972e-13  # 1e-12 rounded to single precision


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """An operation: a row of `TABLE`, or one made by `engine.custom_op`.

    `partials[i]`, the derivative with respect to operand i, is a function of (*operands, result),
    or a float where it is the same everywhere. `samples[i]` is an interval of operand i that is
    free of kinks and poles. An operation with a `pullback` computes all of its contributions at
    once instead: a function of (operands, result, adjoint), which gives None for nothing; of an
    adjoint that is a Value, which is -0.0 where nothing arrived, it gives such Values. An operation
    made by hand has no `forward`.

    `cuts[i]` says where nothing passes to operand i, since it was not chosen. An operand whose
    partial is the literal 0.0 never gets anything. `kink` is a function of the operands that says
    where the row jumps or has a corner; None if it has no such place. `family` is the part of the
    table that a row stands in, for drawings. `latex` is the name of the function in LaTeX, or how
    it is written of its operands #1 and #2; else it is called by its name.
    """

    name: str
    label: str
    forward: Callable[..., float] | None
    partials: tuple[Partial, ...]
    samples: tuple[Interval, ...] = ()
    aliases: tuple[str, ...] = ()
    pullback: Pullback | None = None
    family: str = "custom"
    cuts: tuple[Cut, ...] = ()
    kink: Callable[..., bool] | None = None
    latex: str = ""
    arity: int = field(init=False)
    plain: int = field(init=False)  # its operands, 1 or 2, if they always get adjoint * partial

    def __post_init__(self) -> None:
        given = self.cuts or (False,) * len(self.partials)
        never = [isinstance(p, float) and p == 0.0 for p in self.partials]
        cuts = tuple(a or b for a, b in zip(never, given, strict=True))
        plain = self.pullback is None and not any(cuts) and len(cuts) <= 2
        object.__setattr__(self, "arity", len(cuts))
        object.__setattr__(self, "cuts", cuts)
        object.__setattr__(self, "plain", len(cuts) if plain else 0)

    def cuts_at(self, k: int, numbers: Sequence[float]) -> bool:
        """Whether nothing passes to operand k where the operands are these."""
        cut = self.cuts[k]
        return cut if isinstance(cut, bool) else bool(cut(*numbers))

    @property
    def is_flat(self) -> bool:
        """Whether the derivative is 0 everywhere, by every operand."""
        return self.pullback is None and all(cut is True for cut in self.cuts)

    def has_kink(self, numbers: Sequence[float]) -> bool:
        """Whether it jumps or has a corner at these operands."""
        found = self.kink is not None and all(map(math.isfinite, numbers))
        return found and self.kink(*numbers)  # type: ignore[misc]

    @property
    def doc(self) -> str:
        """One line: the formula, its domain, the convention at a kink."""
        return (self.forward.__doc__ if self.forward else None) or ""

    def __reduce__(self) -> str | tuple[Any, ...]:
        # A row is pickled and copied by its name, so that `node.op is TABLE["add"]` stays true.
        if TABLE.get(self.name) is self:
            return (_row, (self.name,))
        fields = (self.name, self.label, self.forward, self.partials, self.samples, self.aliases)
        return (Op, (*fields, self.pullback, self.family, self.cuts, self.kink, self.latex))


TABLE: dict[str, Op] = {}


def _row(name: str) -> Op:
    return TABLE[name]


_family = ""  # of the rows that follow: set at the head of each part of the table


def row(
    forward: Callable[..., float],
    partials: Sequence[Partial],
    label: str,
    samples: Sequence[Interval],
    aliases: tuple[str, ...] = (),
    *,
    cuts: tuple[Cut, ...] = (),
    kink: Callable[..., bool] | None = None,
    latex: str = "",
) -> None:
    """Add an operation to the table, under the name of its forward."""
    name = forward.__name__
    assert len(partials) == len(samples), f"{name}: one partial and interval an operand"
    assert len(cuts) in (0, len(partials)), f"{name}: one cut an operand"
    TABLE[name] = Op(
        name,
        label,
        forward,
        tuple(partials),
        tuple(samples),
        aliases,
        family=_family,
        cuts=cuts,
        kink=kink,
        latex=latex,
    )


# Kinks that several rows have, as functions of their operands.


def _at_zero(x: float) -> bool:
    return x == 0.0


def _at_equal(x: float, y: float) -> bool:
    return x == y


def _at_whole(x: float) -> bool:
    return math.fabs(x) < _ALL_WHOLE and x == math.floor(x)


def _at_whole_quotient(x: float, y: float) -> bool:
    return y != 0.0 and x % y == 0.0


# --- arithmetic -----------------------------------------------------------------------------

_family = "arithmetic"


def _first(x: float, y: float, out: float) -> float:
    return x


def _second(x: float, y: float, out: float) -> float:
    return y


def add(x: float, y: float) -> float:
    """x + y."""
    return x + y


row(add, (1.0, 1.0), "+", [(-2, 2), (-2, 2)])


def sub(x: float, y: float) -> float:
    """x - y."""
    return x - y


row(sub, (1.0, -1.0), "-", [(-2, 2), (-2, 2)], ("subtract",))


def mul(x: float, y: float) -> float:
    """x * y."""
    return x * y


row(mul, (_second, _first), "*", [(-2, 2), (-2, 2)], ("multiply",))


def div(x: float, y: float) -> float:
    """x / y; x / 0 is an infinity of the signs of x and 0, and 0 / 0 is nan."""
    if y != 0.0:
        return x / y
    if x == 0.0 or x != x:
        return nan
    return math.copysign(inf, x) * math.copysign(1.0, y)


def _div_dx(x: float, y: float, out: float) -> float:
    return reciprocal(y)


def _div_dy(x: float, y: float, out: float) -> float:
    return -div(out, y)  # not -x / y²: y² over- and underflows long before the result does


row(
    div,
    (_div_dx, _div_dy),
    "/",
    [(-2, 2), (0.5, 2)],
    ("divide", "true_divide"),
    latex=r"\frac{#1}{#2}",
)


def neg(x: float) -> float:
    """-x."""
    return -x


row(neg, (-1.0,), "neg", [(-2, 2)], ("negative",))


def pow(x: float, y: float) -> float:
    """x ** y in the reals: nan for x < 0 and y not whole; x ** 0 is 1 at every x."""
    if x < 0.0 and x != -inf and floor(y) != y:
        return nan
    odd = x <= 0.0 and y - 2.0 * floor(0.5 * y) == 1.0  # then the result has the sign of x
    size = math.fabs(x)
    if size == 0.0 and y < 0.0:
        return math.copysign(inf, x) if odd else inf
    exponent = y * log2(size)  # the binary logarithm of the result's size
    if not exponent > 1023.0 or size == inf or y == inf or y == -inf:
        return math.pow(x, y)
    if exponent >= 2046.0:
        return -inf if odd else inf
    root = math.pow(size, 0.5 * y)  # math.pow would raise where root * root reaches inf
    return -root * root if odd else root * root


def _pow_dx(x: float, y: float, out: float) -> float:
    # `chain`: the derivative of x ** 0 is 0 even where 0 ** -1 is inf; `where`: so is its own.
    # At (0, 1) this has no derivative by y: what is added is 0, and says so.
    less_one = y - 1.0
    origin = equal(x, 0.0) * equal(y, 0.0)
    jump = where(equal(y, 1.0), where(equal(x, 0.0), nan, 0.0), 0.0)
    slope = pow(x, less_one) + chain(less_one, jump)
    return chain(y, where(origin, 0.0, slope))


def _pow_dy(x: float, y: float, out: float) -> float:
    # 0 ** y does not change with y >= 0; up to y = 1 that has no derivative by x.
    flat = equal(x, 0.0) * (1.0 - less(y, 0.0))
    smooth = less(1.0, y) + equal(y, 0.0)
    jump = where(flat, where(smooth, 0.0, nan), 0.0)
    return chain(out, where(flat, 0.0, log(x))) + chain(x, jump)


row(pow, (_pow_dx, _pow_dy), "**", [(0.5, 2), (-2, 2)], ("power",))


def square(x: float) -> float:
    """x * x."""
    return x * x


def _square_dx(x: float, out: float) -> float:
    return 2.0 * x


row(square, (_square_dx,), "**2", [(-2, 2)])


def reciprocal(x: float) -> float:
    """1 / x; 1 / 0 is an infinity of the zero's sign."""
    return div(1.0, x)


def _reciprocal_dx(x: float, out: float) -> float:
    return -out * out


row(reciprocal, (_reciprocal_dx,), "1/x", [(0.5, 2)])


def sqrt(x: float) -> float:
    """The square root; nan for x < 0. Its derivative at 0 is inf."""
    return nan if x < 0.0 else math.sqrt(x)


def _sqrt_dx(x: float, out: float) -> float:
    return div(0.5, out)


row(sqrt, (_sqrt_dx,), "sqrt", [(0.5, 2)], latex=r"\sqrt{#1}")


def cbrt(x: float) -> float:
    """The real cube root, of negative numbers too. Its derivative at 0 is inf."""
    return math.cbrt(x)


def _cbrt_dx(x: float, out: float) -> float:
    return div(1.0, 3.0 * out * out)


row(cbrt, (_cbrt_dx,), "cbrt", [(0.5, 2)], latex=r"\sqrt[3]{#1}")


def hypot(x: float, y: float) -> float:
    """sqrt(x² + y²) without overflow on the way; the derivatives at (0, 0) are 0."""
    return math.hypot(x, y)


def _hypot_dx(x: float, y: float, out: float) -> float:
    return direction(x, y)


def _hypot_dy(x: float, y: float, out: float) -> float:
    return direction(y, x)


def _at_origin(x: float, y: float) -> bool:
    return x == 0.0 and y == 0.0


row(hypot, (_hypot_dx, _hypot_dy), "hypot", [(0.5, 2), (0.5, 2)], kink=_at_origin)


def direction(x: float, y: float) -> float:
    """x / hypot(x, y), the cosine of the angle of the point (x, y); 0 at (0, 0)."""
    if math.fabs(x) == inf and math.fabs(y) < inf:
        return sign(x)
    length = math.hypot(x, y)
    return 0.0 if length == 0.0 else x / length


def _direction_dx(x: float, y: float, out: float) -> float:
    across = direction(y, x)  # not 1 - out²: that cancels where y is small
    length = hypot(x, y)
    return across * across / (length + equal(length, 0.0))


def _direction_dy(x: float, y: float, out: float) -> float:
    length = hypot(x, y)
    return -(out * direction(y, x) / (length + equal(length, 0.0)))


row(
    direction,
    (_direction_dx, _direction_dy),
    "direction",
    [(0.5, 2), (0.5, 2)],
    kink=_at_origin,
    latex=r"\frac{#1}{\sqrt{#1^{2} + #2^{2}}}",
)


def one_minus_square(x: float) -> float:
    """1 - x², as (1 - x) (1 + x): exact near -1 and 1, too."""
    return (1.0 - x) * (1.0 + x)


def _one_minus_square_dx(x: float, out: float) -> float:
    return -2.0 * x


row(one_minus_square, (_one_minus_square_dx,), "1-x²", [(-2, 2)], latex="(1 - #1^{2})")


def chain(g: float, p: float) -> float:
    """g * p, but 0 where either is exactly 0, even against inf or nan: for partials at edges."""
    return 0.0 if g == 0.0 or p == 0.0 else g * p


row(chain, (_second, _first), "chain", [(0.5, 2), (-2, -0.5)])


# A recorded sweep is a computation on adjoints, in which -0.0 stands for nothing. It is made of
# these three, of `where` for edges that are cut, and of `add`, to which -0.0 changes nothing.


def nothing(g: float) -> float:
    """1 where an adjoint g is -0.0, which says that nothing has arrived, else 0."""
    return 1.0 if g == 0.0 and math.copysign(1.0, g) < 0.0 else 0.0


row(nothing, (0.0,), "nothing", [(0.5, 2)])


def arrive(g: float) -> float:
    """g as the adjoint that a sweep starts from: nothing (-0.0) where it is exactly 0."""
    return -0.0 if g == 0.0 else g


row(arrive, (1.0,), "arrive", [(0.5, 2)])


def pass_on(g: float, p: float) -> float:
    """g * p as a step of the chain rule: nothing (-0.0) where g is, else a number, never -0.0."""
    if nothing(g):
        return -0.0
    product = g * p
    return 0.0 if product == 0.0 else product


def _pass_on_cut_p(g: float, p: float) -> float:
    return nothing(g)


row(
    pass_on,
    (_second, _first),
    "pass_on",
    [(0.5, 2), (-2, -0.5)],
    cuts=(False, _pass_on_cut_p),
)


def identity(x: float) -> float:
    """x, as a node of its own."""
    return x


row(identity, (1.0,), "=", [(-2, 2)])


def detach(x: float) -> float:
    """x as a constant: the derivative is 0 everywhere."""
    return x


row(detach, (0.0,), "detach", [(-2, 2)])


# --- exponentials and logarithms ------------------------------------------------------------

_family = "exponential"


def exp(x: float) -> float:
    """e ** x; inf above 709.78."""
    return inf if x > _EXP_MAX else math.exp(x)


def _exp_dx(x: float, out: float) -> float:
    return out


row(exp, (_exp_dx,), "exp", [(-2, 2)], latex=r"\exp")


def exp2(x: float) -> float:
    """2 ** x; inf from 1024 on."""
    return inf if x >= 1024.0 else math.pow(2.0, x)


def _exp2_dx(x: float, out: float) -> float:
    return _LN2 * out


row(exp2, (_exp2_dx,), "exp2", [(-2, 2)], latex="2^{#1}")


def expm1(x: float) -> float:
    """e ** x - 1, exact for small x too."""
    return inf if x > _EXP_MAX else math.expm1(x)


def _expm1_dx(x: float, out: float) -> float:
    return exp(x)  # not out + 1, which is 0 long before exp(x) is


row(expm1, (_expm1_dx,), "expm1", [(-2, 2)])


def log(x: float) -> float:
    """The natural logarithm; -inf at 0, nan for x < 0."""
    if x > 0.0:
        return math.log(x)
    return -inf if x == 0.0 else nan


def _log_dx(x: float, out: float) -> float:
    return reciprocal(x)


row(log, (_log_dx,), "log", [(0.5, 2)], latex=r"\log")


def log1p(x: float) -> float:
    """log(1 + x), exact for small x too; -inf at -1, nan below."""
    if x > -1.0:
        return math.log1p(x)
    return -inf if x == -1.0 else nan


def _log1p_dx(x: float, out: float) -> float:
    return reciprocal(1.0 + x)


row(log1p, (_log1p_dx,), "log1p", [(-0.5, 2)])


def log2(x: float) -> float:
    """The logarithm to base 2; -inf at 0, nan for x < 0."""
    if x > 0.0:
        return math.log2(x)
    return -inf if x == 0.0 else nan


def _log2_dx(x: float, out: float) -> float:
    return reciprocal(x * _LN2)


row(log2, (_log2_dx,), "log2", [(0.5, 2)], latex=r"\log_{2}")


def log10(x: float) -> float:
    """The logarithm to base 10; -inf at 0, nan for x < 0."""
    if x > 0.0:
        return math.log10(x)
    return -inf if x == 0.0 else nan


def _log10_dx(x: float, out: float) -> float:
    return reciprocal(x * _LN10)


row(log10, (_log10_dx,), "log10", [(0.5, 2)], latex=r"\log_{10}")


def logaddexp(x: float, y: float) -> float:
    """log(e ** x + e ** y) without overflow on the way."""
    if x == y:
        return x + _LN2
    return (x if x > y else y) + log1p(exp(-math.fabs(x - y)))


def _logaddexp_dx(x: float, y: float, out: float) -> float:
    return sigmoid(x - y)


def _logaddexp_dy(x: float, y: float, out: float) -> float:
    return sigmoid(y - x)


row(logaddexp, (_logaddexp_dx, _logaddexp_dy), "logaddexp", [(-2, 2), (-2, 2)])


def logaddexp2(x: float, y: float) -> float:
    """log2(2 ** x + 2 ** y) without overflow on the way."""
    if x == y:
        return x + 1.0
    return (x if x > y else y) + log1p(exp2(-math.fabs(x - y))) / _LN2


def _logaddexp2_dx(x: float, y: float, out: float) -> float:
    return sigmoid(_LN2 * (x - y))


def _logaddexp2_dy(x: float, y: float, out: float) -> float:
    return sigmoid(_LN2 * (y - x))


row(logaddexp2, (_logaddexp2_dx, _logaddexp2_dy), "logaddexp2", [(-2, 2), (-2, 2)])


def log1mexp(x: float) -> float:
    """log(1 - e ** -x), exact for small and large x too; -inf at 0, nan below."""
    return log(-expm1(-x)) if x < _LN2 else log1p(-exp(-x))


def _log1mexp_dx(x: float, out: float) -> float:
    return div(exp(-x), -expm1(-x))


row(log1mexp, (_log1mexp_dx,), "log1mexp", [(0.5, 2)])


# --- circular -----------------------------------------------------------------------------

_family = "trigonometric"


def sin(x: float) -> float:
    """The sine of x radians; nan at infinities."""
    return math.sin(x) if -inf < x < inf else nan


def _sin_dx(x: float, out: float) -> float:
    return cos(x)


row(sin, (_sin_dx,), "sin", [(-2, 2)], latex=r"\sin")


def cos(x: float) -> float:
    """The cosine of x radians; nan at infinities."""
    return math.cos(x) if -inf < x < inf else nan


def _cos_dx(x: float, out: float) -> float:
    return -sin(x)


row(cos, (_cos_dx,), "cos", [(-2, 2)], latex=r"\cos")


def tan(x: float) -> float:
    """The tangent of x radians; nan at infinities."""
    return math.tan(x) if -inf < x < inf else nan


def _tan_dx(x: float, out: float) -> float:
    return 1.0 + out * out


row(tan, (_tan_dx,), "tan", [(-1, 1)], latex=r"\tan")


def asin(x: float) -> float:
    """The arc sine in radians, in [-π/2, π/2]; nan outside [-1, 1]."""
    return math.asin(x) if -1.0 <= x <= 1.0 else nan


def _asin_dx(x: float, out: float) -> float:
    return div(1.0, sqrt(one_minus_square(x)))


row(asin, (_asin_dx,), "asin", [(-0.8, 0.8)], ("arcsin",), latex=r"\arcsin")


def acos(x: float) -> float:
    """The arc cosine in radians, in [0, π]; nan outside [-1, 1]."""
    return math.acos(x) if -1.0 <= x <= 1.0 else nan


def _acos_dx(x: float, out: float) -> float:
    return div(-1.0, sqrt(one_minus_square(x)))


row(acos, (_acos_dx,), "acos", [(-0.8, 0.8)], ("arccos",), latex=r"\arccos")


def atan(x: float) -> float:
    """The arc tangent in radians, in [-π/2, π/2]."""
    return math.atan(x)


def _atan_dx(x: float, out: float) -> float:
    return 1.0 / (1.0 + x * x)


row(atan, (_atan_dx,), "atan", [(-2, 2)], ("arctan",), latex=r"\arctan")


def atan2(x: float, y: float) -> float:
    """The angle of the point with ordinate x and abscissa y, in [-π, π]; flat at (0, 0)."""
    return math.atan2(x, y)


def _atan2_dx(x: float, y: float, out: float) -> float:
    length = hypot(x, y)  # the gradient at (0, 0) is 0, as PyTorch's
    return direction(y, x) / (length + equal(length, 0.0))


def _atan2_dy(x: float, y: float, out: float) -> float:
    length = hypot(x, y)
    return -(direction(x, y) / (length + equal(length, 0.0)))


def _atan2_kink(x: float, y: float) -> bool:
    return x == 0.0 and y <= 0.0  # there it jumps from -π to π


row(
    atan2,
    (_atan2_dx, _atan2_dy),
    "atan2",
    [(0.5, 2), (0.5, 2)],
    ("arctan2",),
    kink=_atan2_kink,
)


def rad2deg(x: float) -> float:
    """An angle of x radians in degrees."""
    return x * _DEGREES


row(rad2deg, (_DEGREES,), "rad2deg", [(-2, 2)], ("degrees",))


def deg2rad(x: float) -> float:
    """An angle of x degrees in radians."""
    return x * _RADIANS


row(deg2rad, (_RADIANS,), "deg2rad", [(-90, 90)], ("radians",))


# --- hyperbolic, erf and cross entropy: made of exponentials ------------------------------------

_family = "exponential"


def sinh(x: float) -> float:
    """(e ** x - e ** -x) / 2."""
    return math.sinh(x) if math.fabs(x) <= _SINH_MAX else inf * x


def _sinh_dx(x: float, out: float) -> float:
    return cosh(x)


row(sinh, (_sinh_dx,), "sinh", [(-2, 2)], latex=r"\sinh")


def cosh(x: float) -> float:
    """(e ** x + e ** -x) / 2."""
    return math.cosh(x) if math.fabs(x) <= _SINH_MAX else inf * math.fabs(x)


def _cosh_dx(x: float, out: float) -> float:
    return sinh(x)


row(cosh, (_cosh_dx,), "cosh", [(-2, 2)], latex=r"\cosh")


def sech(x: float) -> float:
    """1 / cosh(x), without overflow on the way."""
    small = exp(-math.fabs(x))
    return 2.0 * small / (1.0 + small * small)


def _sech_dx(x: float, out: float) -> float:
    return -out * tanh(x)


row(sech, (_sech_dx,), "sech", [(-2, 2)], latex=r"\operatorname{sech}")


def asinh(x: float) -> float:
    """The inverse of sinh."""
    return math.asinh(x)


def _asinh_dx(x: float, out: float) -> float:
    return 1.0 / hypot(1.0, x)


row(asinh, (_asinh_dx,), "asinh", [(-2, 2)], ("arcsinh",))


def acosh(x: float) -> float:
    """The inverse of cosh, at least 0; nan for x < 1."""
    return math.acosh(x) if x >= 1.0 else nan


def _acosh_dx(x: float, out: float) -> float:
    return div(1.0, sqrt(x - 1.0) * sqrt(x + 1.0))


row(acosh, (_acosh_dx,), "acosh", [(1.5, 3)], ("arccosh",))


def atanh(x: float) -> float:
    """The inverse of tanh; infinite at -1 and 1, nan beyond."""
    if -1.0 < x < 1.0:
        return math.atanh(x)
    return inf * x if x == 1.0 or x == -1.0 else nan


def _atanh_dx(x: float, out: float) -> float:
    return reciprocal(one_minus_square(x))


row(atanh, (_atanh_dx,), "atanh", [(-0.8, 0.8)], ("arctanh",))


def erf(x: float) -> float:
    """The error function."""
    return math.erf(x)


def _erf_dx(x: float, out: float) -> float:
    return _TWO_OVER_SQRT_PI * exp(-x * x)


row(erf, (_erf_dx,), "erf", [(-2, 2)])


def erfc(x: float) -> float:
    """1 - erf(x), exact in the upper tail."""
    return math.erfc(x)


def _erfc_dx(x: float, out: float) -> float:
    return -_TWO_OVER_SQRT_PI * exp(-x * x)


row(erfc, (_erfc_dx,), "erfc", [(-2, 2)])


def binary_cross_entropy(p: float, t: float) -> float:
    """-(t log p + (1 - t) log(1 - p)) for p in [0, 1], the logarithms not below -100."""
    return (t - 1.0) * clamp_min(log1p(-p), -100.0) - t * clamp_min(log(p), -100.0)


def _binary_cross_entropy_dp(p: float, t: float, out: float) -> float:
    # PyTorch's: finite at 0 and 1, where its denominator is 1e-12 in single precision.
    return (p - t) / clamp_min(p * (1.0 - p), _BCE_SMALLEST)


def _binary_cross_entropy_dt(p: float, t: float, out: float) -> float:
    return clamp_min(log1p(-p), -100.0) - clamp_min(log(p), -100.0)


row(
    binary_cross_entropy,
    (_binary_cross_entropy_dp, _binary_cross_entropy_dt),
    "BCE",
    [(0.2, 0.8), (0.2, 0.8)],
)


# --- activations ----------------------------------------------------------------------------

_family = "activation"


def tanh(x: float) -> float:
    """(e ** x - e ** -x) / (e ** x + e ** -x)."""
    return math.tanh(x)


def _tanh_dx(x: float, out: float) -> float:
    return square(sech(x))  # not 1 - out²: that loses its digits from x = 5 on


row(tanh, (_tanh_dx,), "tanh", [(-2, 2)], latex=r"\tanh")


def sigmoid(x: float) -> float:
    """1 / (1 + e ** -x), exact in both tails."""
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    small = exp(x)
    return small / (1.0 + small)


def _sigmoid_dx(x: float, out: float) -> float:
    return 0.25 * square(sech(0.5 * x))  # not out * (1 - out), which is 0 from x = 37 on


row(sigmoid, (_sigmoid_dx,), "sigmoid", [(-2, 2)], latex=r"\sigma")


def softplus(x: float) -> float:
    """log(1 + e ** x), exact in both tails."""
    return (x if x > 0.0 else 0.0) + log1p(exp(-math.fabs(x)))


def _softplus_dx(x: float, out: float) -> float:
    return sigmoid(x)


row(softplus, (_softplus_dx,), "softplus", [(-2, 2)])


def log_sigmoid(x: float) -> float:
    """log(sigmoid(x)), exact in both tails."""
    return -softplus(-x)


def _log_sigmoid_dx(x: float, out: float) -> float:
    return sigmoid(-x)


row(log_sigmoid, (_log_sigmoid_dx,), "log_sigmoid", [(-2, 2)])


def relu(x: float) -> float:
    """The larger of x and 0; the derivative at 0 is 0."""
    return 0.0 if x <= 0.0 else x


def _relu_cut(x: float) -> float:
    return less_equal(x, 0.0)


row(relu, (1.0,), "ReLU", [(0.5, 2)], cuts=(_relu_cut,), kink=_at_zero)


def leaky_relu(x: float, slope: float = 0.01) -> float:
    """x for x > 0, else slope * x; the derivative at 0 is the slope."""
    return slope * x if x <= 0.0 else x


def _leaky_relu_dx(x: float, slope: float, out: float) -> float:
    return where(less_equal(x, 0.0), slope, 1.0)  # chosen, not added up: slope may be infinite


def _leaky_relu_dslope(x: float, slope: float, out: float) -> float:
    return clamp_max(x, 0.0)  # whose derivative at 0 is 1, so that mixed derivatives agree there


def _leaky_relu_kink(x: float, slope: float) -> bool:
    return x == 0.0 and slope != 1.0


row(
    leaky_relu,
    (_leaky_relu_dx, _leaky_relu_dslope),
    "leaky_relu",
    [(-2, -0.5), (0.01, 0.5)],
    kink=_leaky_relu_kink,
)


def elu(x: float, alpha: float = 1.0) -> float:
    """x for x > 0, else alpha * (e ** x - 1); the derivative at 0 is alpha, the second one 0."""
    return alpha * math.expm1(x) if x <= 0.0 else x


def _elu_dx(x: float, alpha: float, out: float) -> float:
    return where(less_equal(x, 0.0), alpha * exp(-relu(-x)), 1.0)  # see leaky_relu


def _elu_dalpha(x: float, alpha: float, out: float) -> float:
    return expm1(clamp_max(x, 0.0))  # see leaky_relu


def _elu_kink(x: float, alpha: float) -> bool:
    return x == 0.0 and alpha != 1.0


row(elu, (_elu_dx, _elu_dalpha), "elu", [(-2, -0.5), (0.5, 2)], kink=_elu_kink)


def gelu(x: float) -> float:
    """x * Φ(x) with the exact normal distribution function Φ."""
    return 0.5 * x * math.erfc(-x * _SQRT_HALF)


def _gelu_dx(x: float, out: float) -> float:
    return 0.5 * erfc(-x * _SQRT_HALF) + x * (_ONE_OVER_SQRT_TWO_PI * exp(-0.5 * x * x))


row(gelu, (_gelu_dx,), "gelu", [(-2, 2)])


def silu(x: float) -> float:
    """x * sigmoid(x), also known as swish."""
    return x * sigmoid(x)


def _silu_dx(x: float, out: float) -> float:
    return sigmoid(x) + x * (0.25 * square(sech(0.5 * x)))


row(silu, (_silu_dx,), "silu", [(-2, 2)])


# --- choosing and rounding ------------------------------------------------------------------

_family = "choice"


def abs(x: float) -> float:
    """The absolute value; the derivative at 0 is 0."""
    return math.fabs(x)


def _abs_dx(x: float, out: float) -> float:
    return sign(x)


row(
    abs,
    (_abs_dx,),
    "abs",
    [(0.5, 2)],
    ("absolute", "fabs"),
    kink=_at_zero,
    latex=r"\left|#1\right|",
)


def sign(x: float) -> float:
    """-1, 0 or 1, as x is below, at or above 0; the derivative is 0 everywhere."""
    if x > 0.0:
        return 1.0
    return -1.0 if x < 0.0 else x


row(sign, (0.0,), "sign", [(0.5, 2)], kink=_at_zero)


def step(x: float) -> float:
    """1 for x > 0, else 0; the derivative is 0 everywhere."""
    if x > 0.0:
        return 1.0
    return 0.0 if x <= 0.0 else nan


row(step, (0.0,), "step", [(0.5, 2)], kink=_at_zero)


def floor(x: float) -> float:
    """The largest whole number not above x; the derivative is 0 everywhere."""
    if math.fabs(x) < _ALL_WHOLE:
        return math.copysign(math.floor(x), x)
    return x


row(
    floor,
    (0.0,),
    "floor",
    [(0.2, 0.8)],
    kink=_at_whole,
    latex=r"\left\lfloor #1 \right\rfloor",
)


def ceil(x: float) -> float:
    """The smallest whole number not below x; the derivative is 0 everywhere."""
    return -floor(-x)


row(
    ceil,
    (0.0,),
    "ceil",
    [(0.2, 0.8)],
    kink=_at_whole,
    latex=r"\left\lceil #1 \right\rceil",
)


def trunc(x: float) -> float:
    """The nearest whole number towards 0; the derivative is 0 everywhere."""
    return math.copysign(floor(math.fabs(x)), x)


def _trunc_kink(x: float) -> bool:
    return x != 0.0 and _at_whole(x)


row(trunc, (0.0,), "trunc", [(0.2, 0.8)], kink=_trunc_kink)


def round(x: float) -> float:
    """The nearest whole number, halves to the even one; the derivative is 0 everywhere."""
    if math.fabs(x) < _ALL_WHOLE:
        whole = math.floor(x)
        rest = x - whole
        if rest > 0.5 or (rest == 0.5 and whole % 2 == 1):
            whole += 1
        return math.copysign(whole, x)
    return x


def _at_half(x: float) -> bool:
    return x - math.floor(x) == 0.5


row(round, (0.0,), "round", [(0.6, 1.4)], ("rint",), kink=_at_half)


def less(x: float, y: float) -> float:
    """1 for x < y, else 0; the derivative is 0 everywhere."""
    return 1.0 if x < y else 0.0


row(less, (0.0, 0.0), "<", [(0, 1), (2, 3)], kink=_at_equal)


def less_equal(x: float, y: float) -> float:
    """1 for x <= y, else 0; the derivative is 0 everywhere."""
    return 1.0 if x <= y else 0.0


row(less_equal, (0.0, 0.0), "<=", [(0, 1), (2, 3)], kink=_at_equal)


def equal(x: float, y: float) -> float:
    """1 for x == y, else 0; the derivative is 0 everywhere."""
    return 1.0 if x == y else 0.0


row(equal, (0.0, 0.0), "==", [(0, 1), (2, 3)], kink=_at_equal)


def where(condition: float, x: float, y: float) -> float:
    """x where the condition holds (is not 0), else y; the arm not taken gets the derivative 0."""
    return x if condition else y


def _where_cut_x(condition: float, x: float, y: float) -> float:
    return equal(condition, 0.0)


def _where_cut_y(condition: float, x: float, y: float) -> float:
    return 1.0 - equal(condition, 0.0)


row(
    where,
    (0.0, 1.0, 1.0),
    "where",
    [(1, 1), (-2, 2), (-2, 2)],
    cuts=(True, _where_cut_x, _where_cut_y),
)


def _below(x: float, y: float) -> float:
    return less(x, y)


def _above(x: float, y: float) -> float:
    return less(y, x)


def maximum(x: float, y: float) -> float:
    """The larger of x and y, nan if either is; equal operands get half of the gradient each."""
    if x != x or y != y:
        return nan
    return y if x < y else x


def _share(x: float, y: float, out: float) -> float:
    return 1.0 - 0.5 * equal(x, y)


row(
    maximum,
    (_share, _share),
    "max",
    [(0, 1), (2, 3)],
    cuts=(_below, _above),
    kink=_at_equal,
    latex=r"\max",
)


def minimum(x: float, y: float) -> float:
    """The smaller of x and y, nan if either is; equal operands get half of the gradient each."""
    if x != x or y != y:
        return nan
    return y if y < x else x


row(
    minimum,
    (_share, _share),
    "min",
    [(0, 1), (2, 3)],
    cuts=(_above, _below),
    kink=_at_equal,
    latex=r"\min",
)


def clamp_min(x: float, low: float) -> float:
    """x, but at least low; the derivative at the bound is 1."""
    return x if x >= low or x != x else low  # nan, if either is


def _clamp_min_cut_low(x: float, low: float) -> float:
    return 1.0 - less(x, low)


row(
    clamp_min,
    (1.0, 1.0),
    "clamp_min",
    [(0, 1), (2, 3)],
    cuts=(_below, _clamp_min_cut_low),
    kink=_at_equal,
)


def clamp_max(x: float, high: float) -> float:
    """x, but at most high; the derivative at the bound is 1."""
    return x if x <= high or x != x else high


def _clamp_max_cut_high(x: float, high: float) -> float:
    return 1.0 - less(high, x)


row(
    clamp_max,
    (1.0, 1.0),
    "clamp_max",
    [(0, 1), (2, 3)],
    cuts=(_above, _clamp_max_cut_high),
    kink=_at_equal,
)


def fmod(x: float, y: float) -> float:
    """x - y * trunc(x / y): the remainder with the sign of x, as C's fmod."""
    if y == 0.0 or math.fabs(x) == inf:
        return nan
    return math.copysign(math.fabs(x) % math.fabs(y), x)


def _fmod_dy(x: float, y: float, out: float) -> float:
    return -sign(x) * sign(y) * floor_divide(abs(x), abs(y))


def _fmod_kink(x: float, y: float) -> bool:
    return x != 0.0 and _at_whole_quotient(x, y)  # from -y to y it is x


row(fmod, (1.0, _fmod_dy), "fmod", [(3.2, 3.8), (1.0, 1.05)], kink=_fmod_kink)


def remainder(x: float, y: float) -> float:
    """x - y * floor(x / y): the remainder with the sign of y, as Python's %."""
    return nan if y == 0.0 else x % y


def _remainder_dy(x: float, y: float, out: float) -> float:
    return -floor_divide(x, y)


row(
    remainder,
    (1.0, _remainder_dy),
    "%",
    [(3.2, 3.8), (1.0, 1.05)],
    ("mod",),
    kink=_at_whole_quotient,
)


def floor_divide(x: float, y: float) -> float:
    """The largest whole number not above x / y, as Python's //; the derivative is 0 everywhere."""
    return div(x, y) if y == 0.0 else x // y


row(floor_divide, (0.0, 0.0), "//", [(3.2, 3.8), (1.0, 1.05)], kink=_at_whole_quotient)


# --- special functions, as SciPy names them: what likelihoods are made of ---------------------

# They are straight code, in which `where` chooses among numbers: so it can be written out.
# What the coefficients are of is said beside them, highest power first; those that no formula has
# interpolate at the nodes of Chebyshev, as the tests do again.

_family = "special"

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_SHIFT = 8  # from where on the asymptotic series of the gamma function have all digits
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)


def _over(divisor: Callable[[int], float]) -> tuple[float, ...]:
    """Bernoulli's numbers of even order k by divisor(k), the last first."""
    return tuple(b / divisor(2 * j + 2) for j, b in enumerate(_BERNOULLI))[::-1]


_GAMMALN = _over(lambda k: float(k * (k - 1)))  # DLMF 5.11.1
_DIGAMMA = _over(float)  # DLMF 5.11.2
_ZETA = _over(lambda k: float(math.factorial(k)))[::-1]  # DLMF 25.11.43, the first first
# log Γ(2 + z) / z in powers of z up to 1/4 (DLMF 5.7.3)
_GAMMALN_NEAR = (
    2.1207184805554665e-07,
    -4.492469198764566e-07,
    9.55141213040742e-07,
    -2.039215753801366e-06,
    4.374866789907488e-06,
    -9.439488275268397e-06,
    2.050721277567069e-05,
    -4.492623673813314e-05,
    9.945751278180853e-05,
    -0.00022315475845357939,
    0.0005096695247430425,
    -0.001192753911703261,
    0.0028905103307415234,
    -0.007385551028673986,
    0.020580808427784546,
    -0.0673523010531981,
    0.3224670334241132,
    0.42278433509846713,
)
# erfinv(x) / x in powers of x² up to 1/4, and the inverse of erfc(y) = e ** -w² in powers of w
_ERFINV = (
    0.11314166859159029,
    -0.07607360776328573,
    0.07345020539520401,
    0.008446011584224939,
    0.03159332043375326,
    0.031145242581416724,
    0.036522988083139016,
    0.042832578482160585,
    0.05173148498700453,
    0.06495961132717862,
    0.08655212936268364,
    0.1275561753044084,
    0.23201366653465907,
    0.886226925452758,
)
_ERFINV_TAIL = (
    3.7972610900537815e-08,
    -1.7782148299431482e-06,
    3.77671375789659e-05,
    -0.00048154768947508567,
    0.004112206679884315,
    -0.024841646118197905,
    0.10927644609230065,
    -0.35467612106322544,
    0.8496040896029782,
    -1.4793971252038598,
    1.7904425112268363,
    -0.3003975765652359,
    0.04303886887523379,
)
# The power series of I0(x) and of 2 I1(x) / x by x² / 4 (DLMF 10.25.2), for x up to 15
_BESSEL_FAR = 15.0
_I0 = tuple(1 / math.factorial(k) ** 2 for k in range(29))[::-1]
_I1 = tuple(1 / (math.factorial(k) * math.factorial(k + 1)) for k in range(29))[::-1]
# and of the derivative of I1(x), for x up to 1
_I1_SLOPE = tuple((k + 0.5) / (math.factorial(k) * math.factorial(k + 1)) for k in range(13))[::-1]
# sqrt(x) e ** -x I0(x) and I1(x) by 1 / x from there on
_I0_FAR = (
    651538.0707452616,
    -208439.74828445708,
    31522.2383365471,
    -2733.9444345779707,
    171.0842706180046,
    -3.978094814948381,
    0.8653131603335361,
    0.22505255938567262,
    0.09064583597219401,
    0.04474185927204628,
    0.029219407064941392,
    0.028050629086158255,
    0.04986778505018376,
    0.3989422804014327,
)
_I1_FAR = (
    -697921.6905469322,
    223876.26706169822,
    -33963.86506769632,
    2953.1930705416025,
    -185.75711231396164,
    4.212039174055678,
    -0.9872075863291107,
    -0.2662685152994272,
    -0.11078392006481448,
    -0.057525314455801196,
    -0.040907169360969296,
    -0.04675104847951651,
    -0.1496033551505424,
    0.3989422804014327,
)


def _horner(x: float, coefficients: tuple[float, ...]) -> float:
    total = 0.0
    for c in coefficients:
        total = total * x + c
    return total


def _stirling(x: float) -> float:
    """What log Γ(x) is above (x - 1/2) log x - x + log(2 π) / 2, for x from 8 on."""
    return _horner(1.0 / (x * x), _GAMMALN) / x


def gammaln(x: float) -> float:
    """log |Γ(x)|; inf at 0 and at negative whole numbers, where Γ has its poles."""
    zero = where(less(1.5, x), 2.0, 1.0)
    z = x - zero
    if math.fabs(z) <= 0.25:  # where Python's lgamma loses digits
        return z * _horner(z, _GAMMALN_NEAR) - where(equal(zero, 2.0), 0.0, log1p(z))
    if x <= 0.0 and floor(x) == x:
        return inf
    return x * (log(x) - 1.0) if x > 1e30 else math.lgamma(x)


def _gammaln_dx(x: float, out: float) -> float:
    return digamma(x)


row(gammaln, (_gammaln_dx,), "gammaln", [(0.5, 3)], ("lgamma",), latex=r"\log\Gamma")


def digamma(x: float) -> float:
    """Γ'(x) / Γ(x); an infinity at 0, nan at negative whole numbers."""
    y = where(less(x, 0.0), 1.0 - x, x)
    z = y + _SHIFT
    t = 1.0 / (z * z)
    total = log(z) - (0.5 / z + t * _horner(t, _DIGAMMA))
    for k in range(_SHIFT - 1, 0, -1):
        total = total - 1.0 / (y + k)
    total = total - div(1.0, y)
    rest = x - round(x)  # Γ(x) Γ(1 - x) is π / sin(π x)
    reflected = total - _PI / tan(_PI * where(equal(rest, 0.0), nan, rest))
    return where(less(x, 0.0), reflected, total)


def _digamma_dx(x: float, out: float) -> float:
    return polygamma(1.0, x)


row(digamma, (_digamma_dx,), "digamma", [(0.5, 3)], ("psi",), latex=r"\psi")


def polygamma(n: float, x: float) -> float:
    """The derivative of digamma of order n, a whole number; for x < 0 nan if n is above 4."""
    if n == 0.0:
        return digamma(x)
    # n! times the zeta function of Hurwitz of s and y, by Euler's and Maclaurin's sum
    s, y = n + 1.0, where(less(x, 0.0), 1.0 - x, x)
    z = y + _SHIFT
    t, factor = 1.0 / (z * z), s
    tail = 1.0 / n + 0.5 / z
    for k, c in enumerate(_ZETA):
        factor = factor * t
        tail = tail + c * factor
        factor = factor * (s + (2 * k + 1.0)) * (s + (2 * k + 2.0))
    total = pow(z, -n) * tail
    for k in range(_SHIFT - 1, -1, -1):
        total = total + pow(y + k, -s)
    total = round(exp(gammaln(s))) * total
    # the derivatives of cot(π x) by its own powers
    c = div(1.0, tan(_PI * (x - round(x))))
    q = 1.0 + c * c
    fourth = where(equal(n, 4.0), c * (16.0 + 24.0 * c * c), nan)
    third = where(equal(n, 3.0), -2.0 - 6.0 * c * c, fourth)
    slope = where(equal(n, 1.0), -1.0, where(equal(n, 2.0), 2.0 * c, third))
    reflected = -pow(_PI, s) * (q * slope) - total
    odd = n - 2.0 * floor(0.5 * n)
    value = where(less(x, 0.0), reflected, (2.0 * odd - 1.0) * total)
    return where(less(n, 0.0) + (1.0 - equal(floor(n), n)), nan, value)


def _polygamma_dx(n: float, x: float, out: float) -> float:
    return polygamma(n + 1.0, x)


row(
    polygamma,
    (0.0, _polygamma_dx),
    "polygamma",
    [(1, 1), (0.5, 3)],
    latex=r"\psi^{(#1)}(#2)",
)


def betaln(x: float, y: float) -> float:
    """log |B(x, y)|, with B(x, y) = Γ(x) Γ(y) / Γ(x + y), without large terms that cancel."""
    a, b = minimum(x, y), maximum(x, y)
    if a == 0.0:
        return inf
    if b < _SHIFT or a <= 0.0:
        return gammaln(a) + gammaln(b) - gammaln(a + b)
    if b == inf:
        return -inf
    both, rest = a + b, _stirling(b) - _stirling(a + b)
    if a < _SHIFT:
        return gammaln(a) + (a - (b - 0.5) * log1p(a / b)) - a * log(both) + rest
    powers = (a - 0.5) * log(a / both) - b * log1p(a / b)
    return powers + (_HALF_LOG_TWO_PI - 0.5 * log(b) + (_stirling(a) + rest))


def _betaln_dx(x: float, y: float, out: float) -> float:
    return digamma(x) - digamma(x + y)


def _betaln_dy(x: float, y: float, out: float) -> float:
    return digamma(y) - digamma(x + y)


row(
    betaln,
    (_betaln_dx, _betaln_dy),
    "betaln",
    [(0.5, 3), (0.5, 3)],
    latex=r"\log\mathrm{B}",
)


def xlogy(x: float, y: float) -> float:
    """x log(y), 0 where x is 0, unless y is nan; its derivative by x at (0, 0) is 0."""
    return 0.0 if x == 0.0 and y == y else x * log(y)


def _xlogy_dx(x: float, y: float, out: float) -> float:
    return where(equal(x, 0.0) * less_equal(y, 0.0), 0.0, log(y))  # PyTorch's


def _xlogy_dy(x: float, y: float, out: float) -> float:
    return div(x, y)


row(xlogy, (_xlogy_dx, _xlogy_dy), "xlogy", [(0.5, 2), (0.5, 2)], latex=r"#1 \log #2")


def xlog1py(x: float, y: float) -> float:
    """x log(1 + y), 0 where x is 0, unless y is nan; its derivative by x at (0, -1) is 0."""
    return 0.0 if x == 0.0 and y == y else x * log1p(y)


def _xlog1py_dx(x: float, y: float, out: float) -> float:
    return where(equal(x, 0.0) * less_equal(y, -1.0), 0.0, log1p(y))


def _xlog1py_dy(x: float, y: float, out: float) -> float:
    return div(x, 1.0 + y)


row(
    xlog1py,
    (_xlog1py_dx, _xlog1py_dy),
    "xlog1py",
    [(0.5, 2), (-0.5, 2)],
    latex=r"#1 \log(1 + #2)",
)


def erfinv(x: float) -> float:
    """The inverse of erf; infinite at -1 and 1, nan beyond."""
    size = math.fabs(x)
    if size <= 0.5:
        return x * _horner(x * x, _ERFINV)
    if size >= 1.0:
        return inf * x if size == 1.0 else nan
    # Six digits, and one step of Halley's method to all of them
    tail = 1.0 - size
    y = _horner(sqrt(-log(tail)), _ERFINV_TAIL)
    step = (erfc(y) - tail) / (_TWO_OVER_SQRT_PI * exp(-y * y))
    return math.copysign(y + step / (1.0 - step * y), x)


def _erfinv_dx(x: float, out: float) -> float:
    return exp(out * out) / _TWO_OVER_SQRT_PI


row(erfinv, (_erfinv_dx,), "erfinv", [(-0.8, 0.8)], latex=r"\operatorname{erf}^{-1}")


def i0(x: float) -> float:
    """The modified Bessel function of the first kind of order 0."""
    size = math.fabs(x)
    if size <= _BESSEL_FAR:
        return _horner(0.25 * x * x, _I0)
    if size > 720.0:
        return inf
    half = exp(0.5 * size)
    return half * (half * _horner(1.0 / size, _I0_FAR) / sqrt(size))


def _i0_dx(x: float, out: float) -> float:
    return i1(x)


row(i0, (_i0_dx,), "i0", [(-2, 2)], latex="I_0")


def i1(x: float) -> float:
    """The modified Bessel function of the first kind of order 1."""
    size = math.fabs(x)
    if size <= _BESSEL_FAR:
        return 0.5 * x * _horner(0.25 * x * x, _I1)
    if size > 720.0:
        return inf * x
    half = exp(0.5 * size)
    return math.copysign(half * (half * _horner(1.0 / size, _I1_FAR) / sqrt(size)), x)


def _i1_slope(x: float) -> float:
    """I1'(x), for x up to 1: the derivatives of I0(x) - I1(x) / x cancel near 0."""
    return _horner(0.25 * x * x, _I1_SLOPE)


def _i1_dx(x: float, out: float) -> float:
    return where(less(abs(x), 1.0), _i1_slope(x), i0(x) - div(out, x))


row(i1, (_i1_dx,), "i1", [(0.5, 2)], latex="I_1")


def i0e(x: float) -> float:
    """e ** -|x| I0(x), which does not overflow; the derivative at 0 is 0."""
    size = math.fabs(x)
    if size <= _BESSEL_FAR:
        return exp(-size) * _horner(0.25 * x * x, _I0)
    return _horner(1.0 / size, _I0_FAR) / sqrt(size)


def _i0e_dx(x: float, out: float) -> float:
    return i1e(x) - sign(x) * out


row(i0e, (_i0e_dx,), "i0e", [(0.5, 2)], kink=_at_zero, latex=r"e^{-|#1|} I_0(#1)")


def i1e(x: float) -> float:
    """e ** -|x| I1(x), which does not overflow."""
    size = math.fabs(x)
    if size <= _BESSEL_FAR:
        return exp(-size) * (0.5 * x * _horner(0.25 * x * x, _I1))
    return math.copysign(_horner(1.0 / size, _I1_FAR) / sqrt(size), x)


def _i1e_dx(x: float, out: float) -> float:
    near = exp(-abs(x)) * _i1_slope(x)
    return where(less(abs(x), 1.0), near, i0e(x) - div(out, x)) - sign(x) * out


row(i1e, (_i1e_dx,), "i1e", [(0.5, 2)], latex=r"e^{-|#1|} I_1(#1)")
