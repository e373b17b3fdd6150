"""What the rows of the operation table say, as expressions: they are run on operands that write
themselves down.

A partial is straight-line, so that running it once gives its formula. A forward branches: it is
run once for each way that its comparisons can come out, and `where` puts the ways together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Sequence
from functools import partialmethod
from typing import Any

from engine.compiled.branches import Explorer
from engine.compiled.writing.algebra import (
    LANES,
    ONE,
    ZERO,
    Expr,
    call,
    named,
    names_in,
    number,
    times,
)
from engine.ops import TABLE, Op
from engine.rebind import rebind

PRIME = "'"
_OPPOSITE = {"<": ">=", "<=": ">", "==": "!=", "!=": "=="}


class Symbol:
    """An operand that writes down what is done with it. Comparing two asks `_ways`."""

    __slots__ = ("e",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, e: Expr) -> None:
        self.e = e

    def _with(self, row: str, other: Any) -> Symbol:
        return _call(row, self, other)

    def _after(self, row: str, other: Any) -> Symbol:
        return _call(row, other, self)

    def _compared(self, sign: str, other: Any) -> _Test:
        return _Test(sign, self, other)

    __add__, __radd__ = partialmethod(_with, "add"), partialmethod(_after, "add")
    __sub__, __rsub__ = partialmethod(_with, "sub"), partialmethod(_after, "sub")
    __mul__, __rmul__ = partialmethod(_with, "mul"), partialmethod(_after, "mul")
    __truediv__, __rtruediv__ = partialmethod(_with, "div"), partialmethod(_after, "div")
    __lt__, __le__ = partialmethod(_compared, "<"), partialmethod(_compared, "<=")
    __gt__, __ge__ = partialmethod(_compared, ">"), partialmethod(_compared, ">=")
    __eq__, __ne__ = partialmethod(_compared, "=="), partialmethod(_compared, "!=")

    def __neg__(self) -> Symbol:
        return _call("neg", self)

    def __bool__(self) -> bool:
        return bool(_Test("!=", self, 0.0))


class _Test:
    """A comparison in a forward: Python's `if` asks how it came out."""

    def __init__(self, sign: str, a: Any, b: Any) -> None:
        x, y = _expr(a), _expr(b)
        self.e = Expr("compare", (sign, x, y), x.shape)

    def __bool__(self) -> bool:
        return _ways.outcome(self.e)


_ways = Explorer()


class _Math:
    """Stands for the module `math`: its functions are rows by the same name."""

    def __getattr__(self, name: str) -> Any:
        if name in ("inf", "nan", "pi"):
            return getattr(math, name)
        return functools.partial(_call, {"fabs": "abs"}.get(name, name))


def _expr(x: Any) -> Expr:
    return x.e if isinstance(x, Symbol) else number(x)


_as_written: list[bool] = []  # whether to leave out no step


def _call(row: str, *args: Any) -> Symbol:
    operands = map(_expr, args)
    return Symbol(Expr("call", (row, *operands), ()) if _as_written else call(row, *operands))


_names: dict[str, Any] = {name: functools.partial(_call, name) for name in TABLE}
_names["math"] = _Math()


def partial_of(row: str, k: int, args: tuple[Expr, ...], out: Expr) -> Expr:
    """The derivative of a row by operand k, on these operands: its formula where that is short,
    else the primed row. It is 0 where the edge is cut."""
    # How long it is, does not depend on how long the operands are.
    plain = tuple(e if e.kind == "number" else named(f"#{j}", e.shape) for j, e in enumerate(args))
    short = _formula(TABLE[row], k, plain, named("#out", out.shape))
    calls = list(_calls(short))
    arithmetic = all(name in TABLE and TABLE[name].family == "arithmetic" for name in calls)
    if len(calls) <= 1 or (arithmetic and len(calls) <= 3):
        return _formula(TABLE[row], k, args, out)
    return Expr("call", (primed(row, k), *args), out.shape)


def _formula(op: Op, k: int, args: tuple[Expr, ...], out: Expr) -> Expr:
    p, cut = op.partials[k], op.cuts[k]
    slope = _expr(rebind(p, _names)(*map(Symbol, args), Symbol(out))) if callable(p) else number(p)
    if isinstance(cut, bool):
        return slope
    return times(_opposite(_expr(rebind(cut, _names)(*map(Symbol, args)))), slope)


def _opposite(e: Expr) -> Expr:
    """1 where a comparison does not hold, else 0."""
    if e.kind == "number":
        return number(1.0 - e.parts[0])
    if e.kind == "call" and e.parts[:2] == ("sub", ONE):
        return _shorter(e.parts[2])
    test = indicator(e.parts[0], e.operands) if e.kind == "call" else None
    if test is None:
        return call("sub", ONE, e)
    sign, x, y = test.parts
    if sign == "==" and y == ZERO and _is_test(x):
        return _shorter(x)
    return Expr("compare", (_OPPOSITE[sign], x, y), e.shape)


def _shorter(e: Expr) -> Expr:
    """A comparison, without one of its outcome with 0."""
    test = indicator(e.parts[0], e.operands) if e.kind == "call" else None
    if test is not None and test.parts[0] == "==" and test.parts[2] == ZERO:
        return _opposite(test.parts[1]) if _is_test(test.parts[1]) else e
    return e


def _is_test(e: Expr) -> bool:
    return e.kind == "compare" or (
        e.kind == "call" and e.parts[0] in TABLE and indicator(e.parts[0], e.operands) is not None
    )


def primed(row: str, k: int) -> str:
    """What the derivative of a row by operand k is called."""
    return row + PRIME + (str(k) if TABLE[row].arity > 1 else "")


def unprimed(name: str) -> tuple[str, int]:
    """The row and the operand of such a name."""
    row, _, k = name.partition(PRIME)
    return row, int(k or 0)


def helper_of(name: str) -> str:
    """What a text calls the function that computes a row, or a primed one."""
    row, k = unprimed(name)
    if PRIME not in name:
        return row
    return f"{row}_prime" if TABLE[row].arity == 1 else f"{row}_d{parameters(row)[k]}"


def as_written(row: str) -> tuple[list[str], Expr]:
    """The same as `forward`, step by step as the row has it: nothing is simplified."""
    _as_written.append(True)
    try:
        return forward(row)
    finally:
        _as_written.pop()


def edge(row: str, k: int) -> tuple[list[str], Expr, Expr | None]:
    """What passes to operand k of a row: the names of the operands, the partial in these and `out`,
    and what is not 0 where the edge is cut; step by step as the row has it."""
    op, names = TABLE[row], parameters(row)
    args = [Symbol(named(n, ())) for n in names]
    p, cut = op.partials[k], op.cuts[k]
    _as_written.append(True)
    try:
        slope = rebind(p, _names)(*args, Symbol(named("out", ()))) if callable(p) else p
        return (
            names,
            _expr(slope),
            None if isinstance(cut, bool) else _expr(rebind(cut, _names)(*args)),
        )
    finally:
        _as_written.pop()


# What a text calls its own, beside helpers and the tables LIST_1, …
_OWN = {LANES, "np", "math", "draws", "len", "float", "t", "range", "reversed", "sum"}


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that no other has and a text does not need for itself."""
    if name.startswith("LIST_"):
        name = f"p{name}"
    while name in taken or name in _OWN or name in _helpers():
        name += "_"
    return name


@functools.cache
def _helpers() -> set[str]:
    every = [(row, k) for row, op in TABLE.items() for k in range(op.arity)]
    return {*TABLE, *(helper_of(primed(row, k)) for row, k in every)}


def derivative(name: str) -> tuple[list[str], Expr, bool]:
    """A primed row: the names of its operands, its formula, and whether that says `out`."""
    row, k = unprimed(name)
    op = TABLE[row]
    names = parameters(row)
    args = tuple(named(n, ()) for n in names)
    formula = _formula(op, k, args, named("out", ()))
    return names, formula, "out" in names_in(formula)


def forward(row: str) -> tuple[list[str], Expr]:
    """A row: the names of its operands and what it computes.

    Raises TypeError, by the row's name, where that is no formula."""
    names = parameters(row)
    f = TABLE[row].forward
    assert f is not None
    bound = rebind(f, {name: g for name, g in _names.items() if name != row})
    try:
        args = [Symbol(named(n, ())) for n in names]
        return names, _ways.explored(lambda: _expr(bound(*args)), _either)
    except TypeError as error:
        raise TypeError(f"the row {row!r} can't be written out: {error}") from error


@functools.cache
def _indicator(row: str, exactly: bool) -> tuple[list[str], Expr] | None:
    """The comparison whose outcome a row is, if it is such a row; `exactly` for nan, too."""
    op = TABLE.get(row)
    if op is None or not op.is_flat:
        return None
    try:
        names, formula = as_written(row) if exactly else forward(row)
    except TypeError:  # it does more than can be written down, as rounding does
        return None
    if formula.kind == "call" and formula.parts[0] == "where" and formula.parts[2:] == (ONE, ZERO):
        return names, formula.parts[1]
    return None


def indicator(row: str, args: Sequence[Expr], exactly: bool = False) -> Expr | None:
    """The comparison that a row is 1 for, and 0 where it does not hold; None for other rows."""
    found = _indicator(row, exactly)
    if found is None:
        return None
    names, test = found
    known = dict(zip(names, args, strict=True))
    sign, x, y = test.parts
    return Expr("compare", (sign, known.get(x.parts[0], x), known.get(y.parts[0], y)), x.shape)


def parameters(row: str) -> list[str]:
    """The names that a row has for its operands."""
    code = TABLE[row].forward.__code__  # type: ignore[union-attr]
    return list(code.co_varnames[: TABLE[row].arity])


def _either(test: Expr, x: Expr, y: Expr) -> Expr:
    """x where a comparison holds, else y; of two formulas one is enough where the other is nan."""
    if not _as_written:
        if y.kind == "number" and math.isnan(y.parts[0]):
            return x
        if x.kind == "number" and math.isnan(x.parts[0]):
            return y
    return Expr("call", ("where", test, x, y), ())


def _calls(e: Expr) -> Any:
    if e.kind == "call":
        yield e.parts[0]
    for part in e.operands:
        yield from _calls(part)
