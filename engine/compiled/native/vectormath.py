"""Rows of the operation table on vectors of numbers, for machine code.

A row that is in one of the tables here is written anew, of the functions on vectors that
`elementary` and `compensated` have. Most of these compute in double precision, single precision
too, and so do the special functions. Other rows are translated from their plain Python; what they
call of the C library and is not here either is called lane by lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from engine.compiled.branches import UntranslatableError
from engine.compiled.fingerprints import row_fingerprint
from engine.compiled.native import compensated, elementary
from engine.compiled.native.function import Function
from engine.compiled.native.numbers import FLOAT, Lanes
from engine.ops import TABLE, Op
from engine.rebind import rebind


def _by_products(y: Lanes) -> bool:
    """Whether a power is computed by products and a square root."""
    c = y.constant
    return c is not None and abs(c) <= 4.0 and c + c == math.floor(c + c)


def _pow(f: Function, x: Lanes, y: Lanes) -> Lanes:
    """By products and a square root where the exponent is known to be small, whole or half."""
    c = y.constant
    if not _by_products(y):
        return f.in_double(compensated.pow, x, y)
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


def _pow_dx(f: Function, x: Lanes, y: Lanes, out: Lanes) -> Lanes:
    """y * (out / x), which saves a power; where one of these or y - 1 lost digits, the C library's
    is taken."""
    less_one = y - 1.0
    if _by_products(less_one):
        return f.traced(on_lanes(f, TABLE["pow"].partials[0]), x, y, out)
    quotient = out / x
    sizes = [f.call("fabs", part) for part in (out, quotient)]
    normal = [(size >= f.smallest) & (size < math.inf) for size in sizes]
    return elementary.unless(
        f,
        ~(normal[0] & normal[1] & (less_one != y)),
        y * quotient,
        lambda: _chain(f, y, f.call_each("pow", x, less_one)),
    )


def _chain(f: Function, g: Lanes, p: Lanes) -> Lanes:
    return f.select((g == 0.0) | (p == 0.0), 0.0, g * p)


def _divide(f: Function, x: Any, y: Any) -> Lanes:
    return f.binary("div", x, y)


def _is_nothing(f: Function, g: Lanes) -> Lanes:
    return (g == 0.0) & (f.call("copysign", f.literal(1.0, g.width), g) < 0.0)


def _pass_on(f: Function, g: Lanes, p: Lanes) -> Lanes:
    product = g * p
    return f.select(_is_nothing(f, g), -0.0, f.select(product == 0.0, 0.0, product))


# Functions of `math`, and `sigmoid`, on vectors.
_FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    name: getattr(module, name)
    for module, names in (
        (
            elementary,
            "exp exp2 expm1 log log1p sin cos tan atan sinh cosh tanh asinh acosh atanh sigmoid",
        ),
        (compensated, "pow log2 log10 erf erfc"),
    )
    for name in names.split()
}


def _function(name: str) -> Callable[..., Lanes]:
    """A function of these for numbers of either precision."""
    function = _FUNCTIONS[name]
    if name in elementary.IN_SINGLE:
        return function
    return lambda f, *operands: f.in_double(function, *operands)


_FUSED = ("add", "sub", "mul", "square")  # a product may be added to something unrounded

# Rows that are written anew here, instead of being translated from their forwards.
_ROWS: dict[str, Callable[..., Lanes]] = {
    "div": _divide,
    "reciprocal": lambda f, x: 1.0 / x,
    "chain": _chain,
    "nothing": lambda f, g: f.select(_is_nothing(f, g), 1.0, 0.0),
    "pass_on": _pass_on,
    "sqrt": lambda f, x: f.call("sqrt", x),
    "round": lambda f, x: f.call("roundeven", x),
    "floor": lambda f, x: f.call("floor", x),
    "ceil": lambda f, x: f.call("ceil", x),
    "maximum": lambda f, x, y: f.select((x < y) | (y != y), y, x),
    "minimum": lambda f, x, y: f.select((y < x) | (y != y), y, x),
    "relu": lambda f, x: f.select(x <= 0.0, 0.0, x),
    **{name: _function(name) for name in _FUNCTIONS},
    "pow": _pow,
}
# Partials that are written anew: they are computed of the row's result where that saves time.
_PARTIALS: dict[tuple[str, int], Callable[..., Lanes]] = {
    ("pow", 0): lambda f, *operands: f.in_double(_pow_dx, *operands),
    ("tanh", 0): elementary.tanh_dx,
    ("sigmoid", 0): elementary.sigmoid_dx,
    ("silu", 0): lambda f, *operands: f.in_double(elementary.silu_dx, *operands),
}
# A row may be replaced under its name.
_ORIGINAL = {name: TABLE[name] for name in (*_ROWS, *(name for name, _ in _PARTIALS))}


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

    def __getattr__(self, name: str) -> Callable[..., Lanes]:
        if name in _FUNCTIONS:
            return lambda *operands: _function(name)(self._f, *self._alike(*operands))
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

    def abs(self, x: Any) -> Lanes:
        return self._f.call("fabs", x)

    def where(self, condition: Lanes, x: Any, y: Any) -> Lanes:
        return self._f.select(condition, x, y)

    def clip(self, x: Any, low: Any, high: Any) -> Lanes:
        return row(self._f, "minimum", row(self._f, "maximum", x, low), high)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Callable[..., Lanes]:
        if name not in _OF_ARRAYS:
            raise UntranslatableError(f"numpy.{name}")
        return lambda *operands: row(self._f, name, *operands)


_OF_ARRAYS = {"maximum", "minimum", "sign", "square"}  # whose results are NumPy's to the last bit
_IN_LIBRARY = {"asin", "acos", "atan2", "cbrt", "hypot", "lgamma"}


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
    forward = op.forward
    assert isinstance(forward, FunctionType)
    if name in _FUSED:
        return f.traced(on_lanes(f, forward), *lanes)

    def translated(f: Function, *lanes: Lanes) -> Lanes:
        with f.uncontracted():  # where terms cancel, what an unrounded product leaves may be huge
            return f.traced(on_lanes(f, forward), *lanes)

    return f.in_double(translated, *lanes) if op.family == "special" else translated(f, *lanes)


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
    written = _PARTIALS.get((op.name, i))
    if written is not None and _ORIGINAL[op.name] is op:
        return written(f, *operands)
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
