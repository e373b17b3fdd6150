"""Operations and their derivatives as formulas, in names and in numbers.

Everything comes from the table of operations: a row's label says how it is written, and its
partials, straight-line functions of names of other rows, are called with terms in place of numbers
(`rebind`, as for recorded derivatives), which write down what is computed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from functools import partialmethod
from typing import Any

from engine.drawing.theme import number_text
from engine.ops import TABLE, Op
from engine.rebind import rebind

_COMPARED, _SUM, _PRODUCT, _POWER, ATOM = range(5)  # how tightly what is written holds together
_STRENGTHS = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "**": _POWER}
_SIGNS = {"-": "\N{MINUS SIGN}", "*": "×"}


def sign(label: str) -> str:
    """An operation's label as it is written in formulas: × for *, and a real minus sign."""
    return "x²" if label == TABLE["square"].label else _SIGNS.get(label, label)


class Term:
    """A piece of a formula: its text, the number it stands for, and how tightly it holds."""

    __slots__ = ("strength", "text", "value")

    def __init__(self, text: str, value: float, strength: int = ATOM) -> None:
        self.text, self.value, self.strength = text, value, strength

    def within(self, strength: int, *, first: bool = False) -> str:
        """The text as an operand, in brackets where it needs them."""
        signed = self.text.startswith("\N{MINUS SIGN}") and not first
        return f"({self.text})" if self.strength < strength or signed else self.text

    @property
    def side(self) -> str:
        """The text as one side of an equation: a comparison is in brackets there."""
        return self.within(_SUM, first=True)

    def __add__(self, other: Any) -> Term:
        if isinstance(other, Term) and other.strength == _COMPARED and other.value == 0.0:
            return self  # r + (r == 0), against a division by 0 that does not happen here
        return written(TABLE["add"], self, other)

    def __mul__(self, other: Any) -> Term:
        if other is self:
            return written(TABLE["square"], self)
        return written(TABLE["mul"], self, other)

    def _with(self, row: str, other: Any) -> Term:
        return written(TABLE[row], self, other)

    def _after(self, row: str, other: Any) -> Term:
        return written(TABLE[row], other, self)

    __radd__, __rmul__ = partialmethod(_after, "add"), partialmethod(_after, "mul")
    __sub__, __rsub__ = partialmethod(_with, "sub"), partialmethod(_after, "sub")
    __truediv__, __rtruediv__ = partialmethod(_with, "div"), partialmethod(_after, "div")

    def __neg__(self) -> Term:
        return written(TABLE["neg"], self)


def written(op: Op, *operands: Term | float) -> Term:
    """An operation on terms and plain numbers as a term.

    >>> x = Term("x", -2.0)
    >>> written(TABLE["tanh"], x).text, (1.0 - x * x).text, (2.0 * Term("−2", -2.0)).text
    ('tanh(x)', '1 − x²', '2 × (−2)')
    """
    terms = [x if isinstance(x, Term) else Term(number_text(x), x) for x in operands]
    value = op.forward(*[t.value for t in terms]) if op.forward is not None else math.nan
    label = op.label
    if op.arity == 2 and not any(c.isalnum() for c in label):
        strength = _STRENGTHS.get(label, _COMPARED)
        left = terms[0].within(strength + (strength == _POWER), first=strength < _POWER)
        right = terms[1].within(strength + (label != "+"))
        return Term(f"{left} {sign(label)} {right}", value, strength)
    if op.arity == 1:
        x = terms[0]
        if op is TABLE["neg"]:
            return Term(f"\N{MINUS SIGN}{x.within(_PRODUCT)}", value, _PRODUCT)
        if op is TABLE["square"]:
            return Term(f"{x.within(ATOM)}²", value, _POWER)
        if op is TABLE["reciprocal"]:
            return Term(f"1 / {x.within(_POWER)}", value, _PRODUCT)
        if op is TABLE["identity"]:
            return Term(x.text, value, x.strength)
    return Term(f"{label}({', '.join(t.text for t in terms)})", value)


def _chosen(condition: Term | float, x: Term | float, y: Term | float) -> Term | float:
    """`where` within a derivative: the arm that is taken, for a short formula."""
    held = condition.value if isinstance(condition, Term) else condition
    return x if held else y


# The functions of all rows, by their names, on terms.
_WRITERS: dict[str, Callable[..., Any]] = {
    **{name: functools.partial(written, op) for name, op in TABLE.items()},
    "where": _chosen,
    "chain": functools.partial(written, TABLE["mul"]),  # a step of the chain rule, to the reader
}


@functools.lru_cache(maxsize=256)
def _writing(op: Op, k: int) -> Callable[..., Any]:
    return rebind(op.partials[k], _WRITERS)


def partial(op: Op, k: int, operands: Sequence[Term], out: Term) -> Term | None:
    """The derivative of an operation by operand `k`, written down; None where it is a number only.

    >>> print(partial(TABLE["tan"], 0, [Term("x", 0.0)], Term("y", 0.0)).side)
    1 + y²
    """
    if TABLE.get(op.name) is not op or isinstance(op.partials[k], float):
        return None  # one of `custom_op` calculates with floats
    term = _writing(op, k)(*operands, out)
    return term if isinstance(term, Term) else Term(number_text(term), term)
