"""Condition: what a comparison gives while a function is traced for compilation.

It is a node of the graph that is 1 or 0, so that a replay computes it anew. Only `bool()` of it,
which `if`, `and`, `or`, `not`, `max` and `sorted` call, fixes its outcome for the path being
traced; `where` takes it as it is.
"""

from __future__ import annotations

from typing import Any

from engine import modes
from engine.functions import FUNCTIONS
from engine.value import Value


class Condition:
    """A comparison under trace. Conditions combine with ``&``, ``|``, ``~``, ``==`` and ``!=``."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __bool__(self) -> bool:
        trace = modes.state.trace if modes.tracing else None
        return self.value._data != 0.0 if trace is None else trace.read(self.value) != 0.0

    def __and__(self, other: Any) -> Any:
        return self._combined("mul", other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Any:
        return self._combined("maximum", other)

    __ror__ = __or__

    def __invert__(self) -> Condition:
        return Condition(1.0 - self.value)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self._combined("equal", other)

    def __ne__(self, other: object) -> Any:
        same = self._combined("equal", other)
        return same if same is NotImplemented else ~same

    def _combined(self, name: str, other: Any) -> Any:
        if not isinstance(other, Condition | bool):
            return NotImplemented
        right = other.value if isinstance(other, Condition) else float(other)
        return Condition(FUNCTIONS[name](self.value, right))

    def __repr__(self) -> str:
        return f"Condition({self.value._data != 0.0})"
