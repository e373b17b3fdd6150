"""What writers of expressions share: how tightly a text binds, and the places in an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.compiled.writing.algebra import ALL, Expr, Places

# How tightly a text binds.
ATOM, POWER, SIGN, PRODUCT, MATMUL, SUM = 100, 80, 70, 60, 55, 50


class Writer:
    """Writes expressions. For each kind a method "_kind" says a text and how tightly that binds."""

    comma = ", "  # between places
    first = ""  # place of a slice

    def text(self, e: Expr, above: int = 0) -> str:
        """An expression, in parentheses where what is around it binds as tightly."""
        written, binds = getattr(self, "_" + e.kind)(e)
        return self.grouped(written) if binds < above else written

    def grouped(self, written: str) -> str:
        """A text in parentheses."""
        return f"({written})"

    def selection(self, items: Sequence[Any]) -> str:
        """What an array is indexed with."""
        return self.comma.join(map(self._item, items))

    def _item(self, item: Any) -> str:
        if isinstance(item, slice):
            if item == ALL:
                return ":"
            step = "" if item.step is None else f":{item.step}"
            return f"{item.start or self.first}:{item.stop}{step}"
        if isinstance(item, Places):
            return self.listed(item.numbers)
        return self.text(item) if isinstance(item, Expr) else str(item)

    def listed(self, places: Sequence[int]) -> str:
        """A list of places."""
        return str([*places])
