"""Kinds of numbers on which the rows of the operation table run: fractions, mpmath's, intervals.

In: a row of the table. Out: the same row, its code rebound (see `rebind`) to other meanings of the
names it uses: `math`, the constants, and the other rows. What rows compare is decided by the
numbers; where intervals leave a comparison open, a forward takes every way, and the result is
the hull of what comes out. What can't be had is `Undefined`, which poisons only what uses it.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache, partial, reduce
from numbers import Integral
from types import FunctionType
from typing import Any

from engine import ops
from engine.ops import TABLE, Op
from engine.rebind import rebind

_WAYS = 64  # of one forward, where intervals leave comparisons open
_BITS = 2**19  # of a fraction, beyond which it takes too long to calculate with
_OTHERS = 'take numbers="mpmath" or numbers="interval"'
_APPROXIMATED = ("gammaln", "digamma", "polygamma", "erfinv", "i0", "i1", "i0e", "i1e", "_i1_slope")
_RANGE = 2**16  # mpmath's numbers end at 2 ** this: exp of more would fill the memory


class Undefined(ArithmeticError):  # noqa: N818, it is a value, too
    """What is no number of a kind, and why: `what` follows the call, `advice` the place.

    Calculating with it gives it again, and comparing it raises it, so that it does no harm to
    what does not depend on it, such as the arm that `where` did not take.
    """

    def __init__(self, what: str, advice: str, placed: bool = False) -> None:
        super().__init__(f"{what}; {advice}")
        self.what, self.advice, self.placed = what, advice, placed

    def at(self, call: str, place: str) -> Undefined:
        """The same, with the operation and the source line where it came from."""
        return self if self.placed else Undefined(f"{call} {self.what}{place}", self.advice, True)

    def _again(self, *others: Any) -> Undefined:
        return self

    def _raise(self, *others: Any) -> Any:
        raise self

    __hash__ = ArithmeticError.__hash__
    __neg__ = __abs__ = _again
    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _raise


class Number:
    """A number `x` of a kind. A float that meets it is the number that it is exactly."""

    __slots__ = ("kind", "x")

    def __init__(self, kind: Kind, x: Any) -> None:
        self.kind, self.x = kind, x

    __hash__ = object.__hash__

    def __neg__(self) -> Any:
        return Number(self.kind, -self.x)

    def __abs__(self) -> Any:
        return Number(self.kind, abs(self.x))

    def __bool__(self) -> bool:
        return bool(self.__ne__(0.0))


def _quotient(x: Any, y: Any) -> Any:
    whole = x / y
    return whole if isinstance(whole, Undefined) else whole.kind.call("floor", whole)


def _modulo(x: Any, y: Any) -> Any:
    return x - y * _quotient(x, y)


def _binary(operation: Callable[[Any, Any], Any], swapped: bool) -> Callable[[Number, Any], Any]:
    def method(self: Number, other: Any) -> Any:
        a, b = (other, self) if swapped else (self, other)
        return self.kind.applied(operation, a, b)

    return method


def _compared(holds: Callable[[int, int], bool]) -> Callable[[Number, Any], bool]:
    """A comparison: `holds` of the order (-1, 0 or 1) and 0, for each order that is possible."""

    def method(self: Number, other: Any) -> bool:
        if isinstance(other, Undefined):
            raise other
        orders = (0,) if other is self else self.kind.orders(self.x, self.kind.plain(other))
        outcomes = {holds(order, 0) for order in orders}
        return outcomes.pop() if len(outcomes) == 1 else self.kind.choose()

    return method


for _name in ("add", "sub", "mul", "truediv"):
    for _swapped in (False, True):
        _method = f"__{'r' * _swapped}{_name}__"
        setattr(Number, _method, _binary(getattr(operator, _name), _swapped))
        setattr(Undefined, _method, Undefined._again)
for _name, _operation in (("floordiv", _quotient), ("mod", _modulo)):
    setattr(Number, f"__{_name}__", _operation)
    setattr(Number, f"__r{_name}__", lambda y, x, f=_operation: f(x, y))
    setattr(Undefined, f"__{_name}__", Undefined._again)
    setattr(Undefined, f"__r{_name}__", Undefined._again)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Number, f"__{_name}__", _compared(getattr(operator, _name)))


class Kind(ABC):
    """A kind of numbers, and the table's rows on them. Subclasses know the numbers themselves."""

    name: str

    def __init__(self) -> None:
        self._script: list[bool] | None = None  # how open comparisons come out, while rows run
        self._asked = 0
        self._pending: list[list[bool]] = []
        pi = 4.0 * self.call("atan", 1.0)
        constants = {
            "_LN2": self.call("log", 2.0),
            "_LN10": self.call("log", 10.0),
            "_SQRT_HALF": self.call("sqrt", 0.5),
            "_TWO_OVER_SQRT_PI": 2.0 / self.call("sqrt", pi),
            "_ONE_OVER_SQRT_TWO_PI": 1.0 / self.call("sqrt", 2.0 * pi),
            "_DEGREES": 180.0 / pi,
            "_RADIANS": pi / 180.0,
        }
        self._constants = {getattr(ops, name): number for name, number in constants.items()}
        unbounded = dict.fromkeys(("_EXP_MAX", "_SINH_MAX", "_ALL_WHOLE"), math.inf)
        self._names: dict[str, Any] = {"math": _Math(self), **constants, **unbounded}
        for name, f in vars(ops).items():
            if isinstance(f, FunctionType) and f.__module__ == ops.__name__:
                self._names[name] = self._bound(f)
        # These two know the range of a float64; the numbers here have none.
        self._names |= {"pow": self.power, "exp2": lambda x: self.power(2.0, x)}
        # Polynomials have a float64's digits of these, and no more.
        for name in _APPROXIMATED:
            self._names[name] = partial(self.call, name)
        self._names["betaln"] = self._betaln
        # And these go by the sign of 0.0, which a float has: see `number`.
        self._names |= {"nothing": _is_nothing, "arrive": self._arrived}
        self.row: Callable[[Op], Op] = cache(self._row)

    # --- what a kind knows of its numbers ---

    def precision(self) -> AbstractContextManager[Any]:
        """What has to be entered while numbers are calculated with."""
        return nullcontext()

    def finer(self) -> Kind | None:
        """A kind to check with, for numbers that say nothing of their errors."""
        return None

    @abstractmethod
    def converted(self, x: float | Fraction) -> Any:
        """A finite float, an int or a fraction as a number, without this module's wrapper."""

    @abstractmethod
    def function(self, name: str) -> Callable[..., Any]:
        """A function of `math` on such numbers. Raises Undefined where there is none."""

    @abstractmethod
    def flaw(self, x: Any) -> Undefined | None:
        """Why a result is not to be calculated with, if so."""

    def orders(self, x: Any, y: Any) -> Sequence[int]:
        """How x may be to y: -1 for less, 0 for equal, 1 for more."""
        return ((x > y) - (x < y),)

    def whole(self, x: Any) -> int | None:
        """The number as an int, if it is a whole one."""
        return int(x) if x == int(x) else None

    def hull(self, x: Any, y: Any) -> Any:
        """The least that holds both, of numbers whose comparisons may be open."""
        raise AssertionError(f"two ways on {self.name} numbers, which leave no comparison open")

    def bounds(self, x: Any) -> tuple[Any, Any]:
        """Numbers that a number of 0 or more is between."""
        return x, x

    def radius(self, x: Any) -> Any:
        """How far what is meant may be from the number."""
        return 0

    def error(self, x: float, y: Any) -> Any:
        """How far a finite float is from a number at most."""
        return self.bounds(abs(self.converted(x) - y))[1]

    def digits(self, error: Any, y: Any) -> float:
        """How many decimal digits of `y` are right with such an error; inf where it is 0."""
        size = self.bounds(abs(y))[0]
        if error == 0:
            return math.inf
        if not size > 0:
            return 0.0
        share = as_float(error / size)
        return max(0.0, -math.log10(share)) if share > 0.0 else 300.0

    def given(self, x: Any) -> Any:
        """A number as the user gets it."""
        return x

    def text(self, x: Any, digits: int) -> str:
        """A number as it is shown, with so many digits where they don't end."""
        return str(x)

    # --- calculating ---

    def number(self, x: Any) -> Any:
        """A float as a number; -0.0, which a recorded sweep takes for nothing, inf and nan stay."""
        if isinstance(x, Number | Undefined):
            return x
        if isinstance(x, float) and (not math.isfinite(x) or _is_nothing(x)):
            return x
        return Number(self, self.plain(x))

    def plain(self, x: Any) -> Any:
        """A number or a float without the wrapper; inf and nan, which compare too, as they are."""
        if isinstance(x, Number):
            return x.x
        return x if isinstance(x, float) and not math.isfinite(x) else self.converted(x)

    def applied(self, operation: Callable[..., Any], *operands: Any) -> Any:
        """The result of an operation on numbers and floats; Undefined where there is none."""
        for x in operands:
            if isinstance(x, Undefined):
                return x
            if isinstance(x, float) and not math.isfinite(x):
                return _not_finite()
        try:
            found = operation(*map(self.plain, operands))
        except (ZeroDivisionError, ValueError):  # the latter is mpmath's, at a pole
            return _not_finite()
        except Undefined as undefined:
            return undefined
        flaw = self.flaw(found)
        return Number(self, found) if flaw is None else flaw

    def call(self, name: str, *operands: Any) -> Any:
        """A function of `math`."""
        try:
            return self.applied(self.function(name), *operands)
        except Undefined as undefined:
            return undefined

    def power(self, x: Any, y: Any) -> Any:
        """x ** y in the reals, as the row has it."""
        x, y = self.number(x), self.number(y)
        n = self.whole(y.x) if isinstance(y, Number) else 0 if y == 0.0 else None
        if n is not None:
            if n < 0 and x == 0.0:
                return math.inf
            return self.applied(lambda x: x**n, x)
        if x < 0.0:
            return math.nan
        if x == 0.0:
            return 0.0 if y > 0.0 else math.inf
        return self.call("pow", x, y)

    def _betaln(self, x: Any, y: Any) -> Any:
        return sum([self.call("gammaln", x), self.call("gammaln", y), -self.call("gammaln", x + y)])

    def _arrived(self, g: Any) -> Any:
        zero = isinstance(g, Number) and [*self.orders(g.x, self.converted(0.0))] == [0]
        return -0.0 if zero else g

    def compare(self, name: str, x: Any, y: Any) -> float:
        """A row that compares; raises Undefined where that is open."""
        return self._names[name](x, y)  # type: ignore[no-any-return]

    # --- rows, rebound ---

    def _bound(self, f: FunctionType) -> Callable[..., Any]:
        bound = cache(lambda: rebind(f, self._names))  # once all names are there
        return lambda *operands: bound()(*operands)

    def _row(self, op: Op) -> Op:
        if TABLE.get(op.name) is not op:
            return replace(op, forward=_unknown, pullback=None)
        return replace(
            op,
            forward=self._forward(op),
            partials=tuple(map(self._partial, op.partials)),
            cuts=tuple(
                cut if isinstance(cut, bool) else self._on_all_ways(rebind(cut, self._names))
                for cut in op.cuts
            ),
        )

    def _forward(self, op: Op) -> Callable[..., Any]:
        forward = self._on_all_ways(self._names[op.name])
        if op.kink is None:
            return forward
        kink = rebind(op.kink, self._names)

        def guarded(*operands: Any) -> Any:
            try:
                kink(*operands)  # which an interval may leave open
            except Undefined as undefined:
                return undefined
            return forward(*operands)

        return guarded

    def _partial(self, p: Any) -> Any:
        if callable(p):
            return self._on_all_ways(rebind(p, self._names))
        exact = self._constants.get(p)
        return p if exact is None else lambda *_: exact

    def _on_all_ways(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of numbers, run for every outcome of the comparisons that are left open."""

        def explored(*operands: Any) -> Any:
            self._pending = [[]]
            found: list[Any] = []
            try:
                while self._pending and len(found) < _WAYS:
                    self._script, self._asked = self._pending.pop(), 0
                    found.append(self.number(function(*operands)))
            except Undefined as undefined:
                found.append(undefined)
            finally:
                self._script = None
            if len(found) == 1:
                (x,) = found
                return _not_finite() if isinstance(x, float) and not math.isfinite(x) else x
            if self._pending or not all(isinstance(x, Number) for x in found):
                return _open()
            return reduce(lambda x, y: self.applied(self.hull, x, y), found)

        return explored

    def choose(self) -> bool:
        """How a comparison that is open comes out this time."""
        if self._script is None:
            raise _open()
        if self._asked == len(self._script):
            self._pending.append([*self._script, True])
            self._script.append(False)
        self._asked += 1
        return self._script[self._asked - 1]


class _Math:
    """`math`, as rows call it, on the numbers of a kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *operands: self._kind.call(name, *operands)

    def fabs(self, x: Any) -> Any:
        return abs(x)

    def copysign(self, x: Any, y: Any) -> Any:
        if isinstance(y, float):  # -0.0 and such
            return abs(x) if math.copysign(1.0, y) > 0.0 else -abs(x)
        return -abs(x) if y < 0.0 else abs(x)


def _is_nothing(g: Any) -> float:
    return float(isinstance(g, float) and not g and math.copysign(1.0, g) < 0.0)


def as_float(x: Any) -> float:
    """A number of any kind, 0 or more, as a float; inf beyond the largest."""
    try:
        return float(x)
    except OverflowError:
        return math.inf


def _not_finite() -> Undefined:
    return Undefined(
        "is not finite",
        "there is no inf and nan among these numbers: take another point, or cut it off by "
        "engine.where",
    )


def _open() -> Undefined:
    return Undefined(
        "is not decided: the interval reaches over a kink, a jump or the end of a domain",
        "take more digits, such as digits=100, or narrower arguments",
    )


def _unknown(*operands: Any) -> Any:
    return Undefined("is known on floats alone", "write it in operations of engine's own")


class Fractions(Kind):
    """`fractions.Fraction`: nothing is rounded, and roots and exponentials have no form."""

    name = "fraction"

    def text(self, x: Any, digits: int) -> str:
        if max(abs(x.numerator), x.denominator) < 10**digits:
            return str(x)
        rounded = Context(prec=digits).divide(Decimal(x.numerator), Decimal(x.denominator))
        return f"about {rounded}"

    def converted(self, x: float | Fraction) -> Fraction:
        return Fraction(x)

    def whole(self, x: Any) -> int | None:
        return super().whole(x) if abs(x) < 10_000 else None

    def flaw(self, x: Any) -> Undefined | None:
        if x.numerator.bit_length() + x.denominator.bit_length() < _BITS:
            return None
        return Undefined("has too many digits as a fraction", _OTHERS)

    def function(self, name: str) -> Callable[..., Any]:
        known: dict[str, Any] = {
            "floor": math.floor,
            "sqrt": _root,
            "hypot": lambda x, y: _root(x * x + y * y),
        }
        if name in known:
            return lambda *xs: Fraction(known[name](*xs))
        raise Undefined("has no exact form over fractions", _OTHERS)


def _root(x: Fraction) -> Fraction:
    root = Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))
    if root * root == x:
        return root
    raise Undefined("has no exact form over fractions", _OTHERS)


class Mpmath(Kind):
    """mpmath's numbers of so many decimal digits, in a context of their own."""

    name = "mpmath"

    def __init__(self, digits: int) -> None:
        try:
            from mpmath import MPContext
        except ImportError:
            raise _missing("mpmath", self.name) from None
        self._context = MPContext()
        self._context.dps = digits
        super().__init__()

    def finer(self) -> Mpmath:
        return Mpmath(2 * self._context.dps)

    def converted(self, x: float | Fraction) -> Any:
        if isinstance(x, Fraction):
            return self._context.mpf(x.numerator) / x.denominator
        return self._context.mpf(x)

    def function(self, name: str) -> Callable[..., Any]:
        mp = self._context
        known: dict[str, Any] = {
            "cbrt": lambda x: -mp.cbrt(-x) if x < 0 else mp.cbrt(x),
            "log2": lambda x: mp.log(x) / mp.ln2,
            "pow": mp.power,
            "gammaln": lambda x: mp.loggamma(x).real,
            "i0": lambda x: mp.besseli(0, x),
            "i1": lambda x: mp.besseli(1, x),
            "i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
            "i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
            "_i1_slope": lambda x: (mp.besseli(0, x) + mp.besseli(2, x)) / 2,
        }
        found: Callable[..., Any] = known.get(name) or getattr(mp, name)
        return found

    def flaw(self, x: Any) -> Undefined | None:
        _, mantissa, exponent, bits = x._mpf_
        ends = exponent + bits > _RANGE or not (mantissa or x == 0)
        return _not_finite() if ends else None

    def given(self, x: Any) -> Any:
        from mpmath import mp

        return mp.make_mpf(x._mpf_)  # of the user's own context, with all of its digits

    def text(self, x: Any, digits: int) -> str:
        return str(self._context.nstr(x, digits))


class Intervals(Kind):
    """Intervals that hold the number, rounded outwards: Arb's balls, by python-flint."""

    name = "interval"

    def __init__(self, digits: int) -> None:
        try:
            import flint
        except ImportError:
            raise _missing("python-flint", self.name) from None
        self._flint, self._digits = flint, digits
        with self.precision():
            super().__init__()

    def precision(self) -> AbstractContextManager[Any]:
        return self._flint.ctx.workdps(self._digits)

    def converted(self, x: float | Fraction) -> Any:
        if isinstance(x, Fraction):
            return self._flint.arb(self._flint.fmpq(x.numerator, x.denominator))
        return self._flint.arb(x)

    def function(self, name: str) -> Callable[..., Any]:
        arb = self._flint.arb
        known: dict[str, Any] = {
            "cbrt": self._cube_root,
            "log2": lambda x: x.log() / arb(2).log(),
            "log10": lambda x: x.log() / arb(10).log(),
            "hypot": lambda x, y: (x * x + y * y).nonnegative_part().sqrt(),
            "pow": operator.pow,
            "gammaln": lambda x: x.lgamma() if x > 0 else abs(x.gamma()).log(),
            "polygamma": self._polygamma,
            "i0": lambda x: x.bessel_i(arb(0)),
            "i1": lambda x: x.bessel_i(arb(1)),
            "i0e": lambda x: x.bessel_i(arb(0)) * (-abs(x)).exp(),
            "i1e": lambda x: x.bessel_i(arb(1)) * (-abs(x)).exp(),
            "_i1_slope": lambda x: (x.bessel_i(arb(0)) + x.bessel_i(arb(2))) / 2,
        }
        found: Callable[..., Any] = known.get(name) or getattr(arb, name)
        return found

    def flaw(self, x: Any) -> Undefined | None:
        return None if x.is_finite() else _not_finite()

    def _polygamma(self, n: Any, x: Any) -> Any:
        acb, order = self._flint.acb, self.whole(n)
        found = order is not None and order >= 0
        return acb(x).polygamma(acb(n)).real if found else self._flint.arb("nan")

    def _cube_root(self, x: Any) -> Any:
        if x == 0:  # whose root is nan
            return x
        if x.contains(0):
            return self._flint.arb(0, x.abs_upper().root(3))
        return -((-x).root(3)) if x < 0 else x.root(3)

    def orders(self, x: Any, y: Any) -> Sequence[int]:
        y = self._flint.arb(y)
        open_ = ((-1, not x >= y), (0, x.overlaps(y)), (1, not x <= y))
        return [order for order, possible in open_ if possible]

    def whole(self, x: Any) -> int | None:
        return int(x.unique_fmpz()) if x.is_exact() and x.is_integer() else None

    def hull(self, x: Any, y: Any) -> Any:
        return x.union(y)

    def bounds(self, x: Any) -> tuple[Any, Any]:
        return x.abs_lower(), x.abs_upper()

    def radius(self, x: Any) -> Any:
        return x.rad()

    def text(self, x: Any, digits: int) -> str:
        return str(x.str(digits))


def _missing(package: str, name: str) -> ImportError:
    text = f"numbers={name!r} needs the package {package}: pip install 'gradloom[exact]'"
    return ImportError(text, name=package)


def kind_of(numbers: str, digits: int) -> Kind:
    """The kind of a name, with at least so many decimal digits. Raises as `exact` does."""
    if not isinstance(digits, Integral) or digits < 1:
        raise ValueError(f"digits is a whole number, 1 or more, not {digits!r}")
    digits = max(int(digits), 20) + 10  # a float64 keeps all of its digits, and a few are lost
    if numbers == "fraction":
        return Fractions()
    if numbers == "mpmath":
        return Mpmath(digits)
    if numbers == "interval":
        return Intervals(digits)
    raise ValueError(f'numbers is "fraction", "mpmath" or "interval", not {numbers!r}')
