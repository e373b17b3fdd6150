"""Scalar expressions and places in C99, and the functions that these need.

A row of the operation table becomes a function, step by step as its Python has it, or is the C
library's; so does what passes back through it.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from engine.compiled.writing.algebra import Expr, names_in
from engine.compiled.writing.formulas import as_written, edge, indicator
from engine.compiled.writing.writer import ATOM, PRODUCT, SIGN, SUM, Writer
from engine.ops import TABLE

FEW = 4  # statements up to which a loop is written out; of terms in all, four times as many
_TERNARY, _COMPARISON = 10, 30  # how tightly these bind
_INFIX = {"add": ("+", SUM), "sub": ("-", SUM), "mul": ("*", PRODUCT), "div": ("/", PRODUCT)}
_LIBRARY = {"abs": "fabs", "round": "rint"} | {
    name: name
    for name in (
        *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "pow", "sqrt", "cbrt", "hypot"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh"),
        *("acosh", "atanh", "erf", "erfc", "lgamma", "floor", "ceil", "trunc", "fmod", "copysign"),
    )
}
# What a text needs besides the rows of the table: these are called by name, and defined if they
# are. Python's % and // are no operators of C.
_HELPERS = {
    "op_remainder": """
static R op_remainder(R x, R y)
{
    R rest = fmod(x, y);
    if (rest == 0.0)
        return copysign(0.0, y);
    return (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}""",
    "op_floor_divide": """
static R op_floor_divide(R x, R y)
{
    R rest = fmod(x, y), quotient = (x - rest) / y, whole = floor(quotient);
    if (y == 0.0)
        return x / y;
    if (rest != 0.0 && (rest < 0.0) != (y < 0.0))
        whole = floor(quotient -= 1.0);
    if (quotient == 0.0)
        return copysign(0.0, x / y);
    return quotient - whole > 0.5 ? whole + 1.0 : whole;
}""",
    "chain": """
/* A step of the chain rule, g times p. Where g is -0.0, nothing has arrived: nothing passes. */
static R chain(R g, R p)
{
    return g == 0.0 && signbit(g) ? g : g * p + 0.0;
}""",
    "signed_row": """
/* The number of a row; of row -1 - k, the negative of that of row k. */
static R signed_row(const R *rows, int row)
{
    return row < 0 ? -rows[-1 - row] : rows[row];
}""",
    "set_row": """
static void set_row(R *rows, int row, R x)
{
    rows[row < 0 ? -1 - row : row] = row < 0 ? chain(x, -1.0) : x;
}""",
    "add_to_row": """
static void add_to_row(R *rows, int row, R x)
{
    rows[row < 0 ? -1 - row : row] += row < 0 ? chain(x, -1.0) : x;
}""",
    "entry": """
/* The place that an index means, from the end if it is negative; 0 where there is none, which a
   check refuses. */
static int entry(R x, int length)
{
    int place = x >= -length && x < length ? (int)x : 0;
    return place < 0 ? place + length : place;
}""",
    "same": """
/* Whether a number is the one that the function was traced with: 0.0 is not -0.0, nan is nan. */
static int same(R x, R y)
{
    return (x == y && (x != 0.0 || copysign(1.0, x) == copysign(1.0, y))) || (x != x && y != y);
}""",
    "is_index": """
static int is_index(R x, int length)
{
    return x >= -length && x < length && floor(x) == x;
}""",
    "draw": """
static unsigned long long mix(unsigned long long z)
{
    const unsigned long long all = 0xFFFFFFFFFFFFFFFFULL;
    z = (z + 0x9E3779B97F4A7C15ULL) & all;
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL) & all;
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EBULL) & all;
    return z ^ (z >> 31);
}

/* A number in [0, 1), the same for the same counters. */
static R draw(
    unsigned long long seed, unsigned long long step, unsigned long long example,
    unsigned long long call)
{
    return (R)(mix(mix(mix(mix(seed) ^ step) ^ example) ^ call) >> BITS) * SCALE;
}""",
}


class Index(NamedTuple):
    """A place: a number, plus what loop variables say."""

    first: int
    rest: str = ""

    def __str__(self) -> str:
        first = [str(self.first)] * bool(self.first or not self.rest)
        return " + ".join([*first, self.rest] if self.rest else first)


Var = int | str  # of a loop: 0 where it has one round


def at(*terms: tuple[int, Var]) -> Index:
    """The sum of products of strides and variables."""
    first = sum(stride * var for stride, var in terms if isinstance(var, int))
    rest = [
        var if stride == 1 else f"{stride} * {var}" for stride, var in terms if isinstance(var, str)
    ]
    return Index(first, " + ".join(rest))


def block(lines: list[str]) -> list[str]:
    """Statements with variables of their own."""
    return ["{", *[f"    {line}" for line in lines], "}"]


class Expressions(Writer):
    """Writes scalar expressions, and remembers the functions and tables that these need."""

    def __init__(self, real: str) -> None:
        self.real = real  # double or float
        self.helpers: dict[str, str] = {}  # in the order in which they must be defined
        self.tables: dict[tuple[int, ...], str] = {}

    def _number(self, e: Expr) -> tuple[str, int]:
        return self.literal(e.parts[0]), ATOM if math.copysign(1.0, e.parts[0]) > 0 else SIGN

    def _name(self, e: Expr) -> tuple[str, int]:
        return e.parts[0], ATOM

    def _call(self, e: Expr) -> tuple[str, int]:
        if (test := self._comparison(e)) is not None:
            return f"{test} ? {self.literal(1.0)} : {self.literal(0.0)}", _TERNARY
        row, *args = e.parts
        if row in _INFIX:
            sign, binds = _INFIX[row]
            return f"{self.text(args[0], binds)} {sign} {self.text(args[1], binds + 1)}", binds
        if row == "neg":
            return f"-{self.text(args[0], ATOM)}", SIGN
        if row in ("identity", "detach"):
            return getattr(self, "_" + args[0].kind)(args[0])  # type: ignore[no-any-return]
        if row == "square" and args[0].kind == "name":
            return f"{args[0].parts[0]} * {args[0].parts[0]}", PRODUCT
        if row == "reciprocal":
            return f"{self.literal(1.0)} / {self.text(args[0], PRODUCT + 1)}", PRODUCT
        if row == "where":
            test, yes = self.test(args[0]), self.text(args[1], _TERNARY + 1)
            return f"{test} ? {yes} : {self.text(args[2], _TERNARY)}", _TERNARY
        return f"{self.function(row)}({', '.join(map(self.text, args))})", ATOM

    _compare = _call

    def test(self, e: Expr) -> str:
        """A condition."""
        found = self._comparison(e)
        return f"{self.text(e, _COMPARISON + 1)} != {self.literal(0.0)}" if found is None else found

    def _comparison(self, e: Expr) -> str | None:
        """The comparison that an expression is the outcome of, if it is."""
        found = e if e.kind == "compare" else indicator(e.parts[0], e.operands, exactly=True)
        if found is None:
            return None
        sign, x, y = found.parts
        return f"{self.text(x, _COMPARISON + 1)} {sign} {self.text(y, _COMPARISON + 1)}"

    def literal(self, x: float) -> str:
        """A number."""
        if not math.isfinite(x):
            return "NAN" if math.isnan(x) else "INFINITY" if x > 0.0 else "-INFINITY"
        return repr(float(x)) + "f" * (self.real == "float")

    def call(self, row: str, operands: Sequence[Expr]) -> str:
        """A row of the table on operands."""
        return self.text(Expr("call", (row, *operands), ()))

    def function(self, row: str) -> str:
        """The function that computes a row, which is defined if need be.

        Raises TypeError, by the row's name, where C can't have it."""
        if row in _LIBRARY:
            return _LIBRARY[row] + "f" * (self.real == "float")
        name = f"op_{row}"
        if name in _HELPERS:
            return self.helper(name)
        if row not in TABLE:
            raise TypeError(f"it calls {row}, of which C is not told")
        if name not in self.helpers:
            names, formula = as_written(row)
            try:
                self._define(name, names, self.text(formula), TABLE[row].doc)
            except TypeError as error:
                raise TypeError(f"the row {row!r} can't be written in C: {error}") from error
        return name

    def passed(self, row: str, k: int, g: str, operands: Sequence[Expr], out: Expr) -> str:
        """What passes to operand k of a row: nothing where the edge is cut.

        Raises TypeError as `function` does."""
        names, slope, cut = edge(row, k)
        known = dict(zip(names, operands, strict=True)) | {"out": out}
        if cut is None and slope.kind in ("number", "name"):
            return self.chain(g, known[slope.parts[0]] if slope.kind == "name" else slope)
        read = {*names_in(slope), *(() if cut is None else names_in(cut))}
        used = [n for n in (*names, "out") if n in read]
        name = f"{row}_back" + f"_{names[k]}" * (len(names) > 1)
        if name not in self.helpers:
            adjoint = "g" if "g" not in names else "adjoint"
            try:
                y = self.chain(adjoint, slope)
                y = y if cut is None else f"{self.test(cut)} ? {self.literal(-0.0)} : {y}"
            except TypeError as error:
                raise TypeError(f"the row {row!r} can't be written in C: {error}") from error
            self._define(name, [adjoint, *used], y, f"What passes from the adjoint of {row}.")
        return f"{name}({', '.join([g, *[self.text(known[n]) for n in used]])})"

    def chain(self, g: str, slope: Expr) -> str:
        """An adjoint times a partial: one step of the chain rule."""
        if slope.kind == "number" and slope.parts[0] == 1.0:
            return g
        return f"{self.helper('chain')}({g}, {self.text(slope)})"

    def _define(self, name: str, names: Sequence[str], formula: str, doc: str) -> None:
        given = ", ".join(f"{self.real} {n}" for n in names)
        about = doc.replace("*/", "* /")
        lines = textwrap.wrap(f"return {formula};", 96, subsequent_indent="    ")
        body = textwrap.indent("\n".join(lines), "    ")
        self.helpers[name] = f"/* {about} */\nstatic {self.real} {name}({given})\n{{\n{body}\n}}"

    def helper(self, name: str) -> str:
        """One of `_HELPERS`."""
        text = _HELPERS[name].strip()
        if self.real == "float":
            text = re.sub(
                r"\b(fmod|copysign|floor)\(", r"\1f(", re.sub(r"(\d\.\d+)\b", r"\1f", text)
            )
        bits, scale = (40, "0x1p-24f") if self.real == "float" else (11, "0x1p-53")
        text = text.replace("BITS", str(bits)).replace("SCALE", scale)
        self.helpers[name] = re.sub(r"\bR\b", self.real, text)
        return name

    def table(self, rows: Sequence[int]) -> str:
        """The name of a list."""
        return self.tables.setdefault(tuple(rows), f"LIST_{len(self.tables) + 1}")
