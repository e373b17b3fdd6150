"""A claimed derivative beside the estimated one: does it lie within the error bars?

In: a number and an `Estimate`. Out: a `Verdict`, which is the only place where a tolerance is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engine.differences import DOUBLE, Estimate


@dataclass(frozen=True)
class Verdict:
    """A claimed derivative in one direction beside the estimated one."""

    given: float
    found: Estimate
    tolerance: float

    @property
    def conclusive(self) -> bool:
        """Whether the error bar is short beside the numbers."""
        if self.found.kind in ("jump", "steep", "isolated"):
            return True
        if math.fabs(self.given) <= 4096.0 * self.found.blur:  # as good as 0
            return True
        sizes = (self.given, self.found.low, self.found.high, self.found.chord)
        return self.tolerance <= 0.1 * max(map(math.fabs, sizes))

    @property
    def agrees(self) -> bool:
        """Whether the claimed number may be right."""
        if self.found.kind in ("jump", "isolated"):
            return False
        if self.found.kind == "steep":
            return self.given == self.found.best.value
        low, high = self.found.low - self.tolerance, self.found.high + self.tolerance
        return low <= self.given <= high

    def agrees_with(self, given: float) -> bool:
        """Whether another number may be right."""
        return replace(self, given=given).agrees


def judged(given: float, found: Estimate, precision: float = DOUBLE, size: float = 0.0) -> Verdict:
    """The verdict on a derivative that was added up from terms of a size."""
    sides = (found.left, found.right) if found.kind == "kink" else (found.best,)
    error = max(side.error for side in sides if side is not None)
    size = max(size, math.fabs(given)) if math.isfinite(given) else 0.0
    return Verdict(given, found, 4.0 * error + (math.sqrt(precision) + 64.0 * precision) * size)


def number(x: float) -> str:
    """A number as messages show it: ten digits."""
    return f"{x:.10g}"
