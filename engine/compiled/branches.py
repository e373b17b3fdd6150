"""Every way through a plain function: it is run once for each, and what these give is put together.

A function that is run on operands which stand for numbers (`native.numbers`, `source.formulas`)
comes to branches whose outcome is not known. The first run takes them as true; then one after the
other is taken as false.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_BRANCHES = 12  # on one way: a loop whose end depends on the numbers has no last one
_MOST_WAYS = 256
_TOO_MANY = "its forward branches too often, or loops, to be written as a formula"


class UntranslatableError(TypeError):
    """A plain function does something that can't be written out."""


class Explorer:
    """Goes through functions, one inside of the other."""

    def __init__(self) -> None:
        self._runs: list[tuple[list[bool], list[Any]]] = []  # outcomes as told, branches seen

    def outcome(self, test: Any) -> bool:
        """The way to take at a branch. Raises UntranslatableError if it is one too many."""
        if not self._runs:
            raise UntranslatableError("a branch outside of a plain function")
        told, seen = self._runs[-1]
        if len(seen) == _MOST_BRANCHES:
            raise UntranslatableError(_TOO_MANY)
        seen.append(test)
        return told[len(seen) - 1] if len(seen) <= len(told) else True

    def explored(self, run: Callable[[], T], choose: Callable[[Any, T, T], T]) -> T:
        """What run() gives on all ways: choose(branch, x, y) is x where a branch holds, else y.

        Raises UntranslatableError if there are too many, and what run() raises."""
        ways = 0

        def way(told: list[bool]) -> T:
            nonlocal ways
            ways += 1
            if ways > _MOST_WAYS:
                raise UntranslatableError(_TOO_MANY)
            self._runs.append((told, []))
            try:
                result = run()
            finally:
                _, seen = self._runs.pop()
            for k in reversed(range(len(told), len(seen))):
                other = way([*told, *[True] * (k - len(told)), False])
                result = choose(seen[k], result, other)
            return result

        return way([])
