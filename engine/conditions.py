"""Condition: what a comparison gives while a function is traced for compilation.

It is a node of the graph that is 1 or 0, so that a replay computes it anew. In arithmetic and sums
it counts as that number, as Python's bools do, and `where` takes it as it is. Only what Python
needs to know at once fixes its outcome for the path being traced, as a guard: `bool()`, which
`if`, `and`, `or`, `not`, `max` and `sorted` call, and an index, `int()`, `float()`, a hash, a text.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partialmethod
from numbers import Integral
from typing import Any

from engine import modes
from engine.deferred import numpy_class
from engine.errors import TraceError, user_line
from engine.ops import TABLE
from engine.value import NUMBERS, Value, record


class Condition:
    """A comparison under trace: combined by ``&``, ``|`` and ``^``, in arithmetic 1 or 0."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __bool__(self) -> bool:
        trace = modes.state.trace if modes.tracing else None
        return self.value._data != 0.0 if trace is None else trace.read(self.value) != 0.0

    def __int__(self) -> int:
        return int(bool(self))

    __index__ = __int__

    def __float__(self) -> float:
        return float(bool(self))

    def __complex__(self) -> complex:
        return complex(bool(self))

    def as_integer_ratio(self) -> tuple[int, int]:
        """As a fraction, which the standard library's statistics ask for."""
        return int(self), 1

    def __round__(self, digits: int | None = None) -> int:
        return round(int(self), digits)

    def __hash__(self) -> int:
        return hash(bool(self))

    def __repr__(self) -> str:
        return repr(bool(self))

    def __format__(self, spec: str) -> str:
        return format(bool(self), spec)

    # --- combining ---

    def _combined(self, name: str, other: Any) -> Any:
        if not isinstance(other, Condition):
            whole = isinstance(other, (Integral, numpy_class("bool_")))
            if not (whole and other in (0, 1)):
                return NotImplemented
        right = other.value if isinstance(other, Condition) else float(other)
        if name == "not_equal":
            return self.value != right
        return Condition(record(TABLE[name], (self.value, right)))

    __and__ = __rand__ = partialmethod(_combined, "mul")
    __or__ = __ror__ = partialmethod(_combined, "maximum")
    __xor__ = __rxor__ = partialmethod(_combined, "not_equal")

    def __invert__(self) -> Condition:
        raise TraceError(
            f"~ of a comparison inside of a compiled function, {user_line()}: outside of one it is "
            "Python's ~True, which is -2 and no truth value; write the comparison the other way "
            "round, `not` in an if, or 1 - condition and engine.where(condition, b, a)"
        )


def as_number(operand: Any) -> Any:
    """A Condition as the Value that it counts as; anything else as it is."""
    return operand.value if isinstance(operand, Condition) else operand


def _counting(function: Callable[..., Any], *, swapped: bool = False) -> Callable[..., Any]:
    """An operator of numbers, for a Condition and a number, or a Condition alone."""

    def method(self: Condition, *others: Any) -> Any:
        if not all(isinstance(other, (Condition, Value, *NUMBERS)) for other in others):
            return NotImplemented
        operands = [self.value, *map(as_number, others)]
        return function(*(reversed(operands) if swapped else operands))

    return method


for _name in ("neg", "pos", "abs", "eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Condition, f"__{_name}__", _counting(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    _operation = getattr(operator, _name)
    setattr(Condition, f"__{_name}__", _counting(_operation))
    setattr(Condition, f"__r{_name}__", _counting(_operation, swapped=True))
