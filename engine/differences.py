"""Numerical derivatives with error bars: what the checks of `checking` and `testing` stand on.

In: a function of one number, and steps. Out: the slopes of one step, or an `Estimate` made of many:
the derivative, how far it may be off, and what kind of place it is. No step is trusted: the
quotients of a ladder of steps are extrapolated to the step 0 by polynomials (Richardson's method,
in Neville's form), and that entry of the table is taken that is off the least. How far off is told
by its neighbours, and by the noise: by how much the quotients of all smaller steps miss the slope,
times their step. So the steps suit the function, rounding and solvers' tolerances count as what
they are, and nothing is to be chosen. See W. H. Press et al., Numerical Recipes, section 5.7, and
J. Moré and S. Wild, "Estimating derivatives of noisy simulations" (2012), on noise.

This module imports nothing of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

RATIO = 4.0  # of a step and the next
DOUBLE = 2.0**-52  # the rounding of float64, relative
_ORDERS = 5  # of the extrapolation
Kind = Literal["smooth", "kink", "jump", "steep", "border", "isolated"]
Pair = tuple[float, float]  # a step, and a quotient


class Slopes(NamedTuple):
    """The difference quotients of one step."""

    left: float
    central: float
    right: float


def slopes(x: float, h: float, down: float, middle: float, up: float) -> Slopes:
    """The quotients at x, of the numbers at x - h, x and x + h.

    >>> slopes(1.0, 0.5, 0.25, 1.0, 2.25)  # of a square
    Slopes(left=1.5, central=2.0, right=2.5)
    """
    return Slopes((middle - down) / h, (up - down) / ((x + h) - (x - h)), (up - middle) / h)


class Slope(NamedTuple):
    """A derivative, by how much it may be off, and the smallest step that it was made of."""

    value: float
    error: float
    step: float
    noise: float = 0.0  # how far the function's values seem to be off


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the differences say of a function at a point.

    `kind` is "smooth"; "kink" where the slopes of the two sides differ; "jump" where the function
    is not continuous; "steep" where the quotients grow without bound; "border" where it is finite
    on one side only, whose slope this is; "isolated" where it is finite on no side.
    """

    kind: Kind
    best: Slope
    left: Slope | None = None
    right: Slope | None = None
    jump: float = 0.0
    chord: float = 0.0  # the largest quotient of a large step, without its sign
    blur: float = 0.0  # the slope at which the largest step changes no more than rounding does

    @property
    def low(self) -> float:
        """The smaller slope of the two sides; the derivative where they agree."""
        return min(self._ends())

    @property
    def high(self) -> float:
        """The larger slope of the two sides; the derivative where they agree."""
        return max(self._ends())

    def _ends(self) -> list[float]:
        if self.kind != "kink":
            return [self.best.value]
        return [side.value for side in (self.left, self.right) if side is not None]


def ladder(x: float = 0.0, precision: float = DOUBLE) -> list[float]:
    """Steps for a number whose scale is not known: it may be its own size, or 1; largest first.

    >>> ladder()[0], len(ladder()), min(ladder(1e-9)) < 1e-15
    (0.25, 13, True)
    """
    smallest = math.sqrt(precision) / 2.0
    sizes = {1.0, 2.0 ** round(math.log2(math.fabs(x)))} if x else {1.0}
    spans = [
        (size / RATIO, max(size * smallest, 64.0 * precision * math.fabs(x))) for size in sizes
    ]
    if len(spans) == 2 and max(sizes) < 1e8 * min(sizes):
        spans = [(max(sizes) / RATIO, min(low for _, low in spans))]
    steps = set()
    for first, last in spans:
        count = max(3, math.ceil(math.log(first / last, RATIO)))
        steps |= {first * RATIO**-k for k in range(count)}
    return sorted(steps, reverse=True)


def estimate(
    f: Callable[[float], float], steps: Sequence[float], precision: float = DOUBLE
) -> Estimate:
    """The derivative of `f` at 0, from steps in falling order.

    Where f raises ArithmeticError or ValueError, or is not finite, its domain has ended, and no
    such step is used. `precision` is the relative rounding of its results.

    >>> found = estimate(math.sin, ladder())
    >>> found.kind, abs(found.best.value - 1.0) <= found.best.error < 1e-10
    ('smooth', True)
    >>> found = estimate(abs, ladder())
    >>> found.kind, found.low, found.high
    ('kink', -1.0, 1.0)
    """
    middle = f(0.0)
    above, below = _values(f, steps), _values(f, [-h for h in steps])
    for side in (above, below):
        if len(side) < min(8, len(steps)):  # the border of the domain is near: closer steps
            closer = [min(side, default=min(steps)) * RATIO**-k for k in range(1, 9)]
            above |= _values(f, closer)
            below |= _values(f, [-h for h in closer])
            break
    chord = max((math.fabs(v[h] - middle) / h for v in (above, below) for h in [*v][:3]), default=0)
    floor = precision * math.fabs(middle)
    stair = max(_stair(f, middle, above, 1.0), _stair(f, middle, below, -1.0))
    if stair:  # steps within a stair say nothing
        floor = max(floor, stair)
        above = {h: y for h, y in above.items() if math.fabs(y - middle) >= stair}
        below = {h: y for h, y in below.items() if math.fabs(y - middle) >= stair}
    right = [(h, (y - middle) / h) for h, y in above.items()]
    left = [(h, (middle - y) / h) for h, y in below.items()]
    both = [(h, (above[h] - below[h]) / (2.0 * h)) for h in above if h in below]
    sides = [_extrapolated(q, 1, floor, precision) for q in (left, right)]
    known = [
        side for side in (*sides, _extrapolated(both, 2, floor, precision)) if side is not None
    ]
    if not known:
        return Estimate("isolated", Slope(math.nan, math.inf, 0.0), chord=chord)
    best = min(known, key=lambda slope: slope.error)
    jump = max(_jump(left, floor, precision), _jump(right, floor, precision), key=math.fabs)
    kind: Kind = "smooth"
    if math.fabs(jump) > 4.0 * min(steps) * chord:  # a kink beside 0 is none
        kind = "jump"
    elif steep := _steep(right) or _steep(left):
        kind, best = "steep", Slope(steep, 0.0, min(steps))
    elif None in sides:
        kind = "border"
    elif _differ(*sides):  # type: ignore[arg-type]
        kind = "kink"
    return Estimate(kind, best, sides[0], sides[1], jump, chord, floor / steps[0])


def _values(f: Callable[[float], float], steps: Sequence[float]) -> dict[float, float]:
    """The values where there are any, by the sizes of their steps."""
    return {math.fabs(h): y for h in steps if (y := _value(f, h)) is not None}


def _value(f: Callable[[float], float], t: float) -> float | None:
    """f(t), or None where it is not defined."""
    try:
        y = float(f(t))
    except (ArithmeticError, ValueError):
        return None
    return y if math.isfinite(y) else None


def _stair(
    f: Callable[[float], float], middle: float, values: dict[float, float], sign: float
) -> float:
    """The height of a stair, for a function that goes up in many small ones, as rounding does."""
    changes = [math.fabs(y - middle) for y in values.values() if y != middle]
    if not changes or len(changes) > len(values) - 2 or min(changes) > 0.02 * max(changes):
        return 0.0
    wide = [values[h] == _value(f, sign * (h + h * 2.0**-40)) for h in sorted(values)[-3:]]
    return min(changes) if all(wide) else 0.0


def _extrapolated(
    quotients: Sequence[Pair], power: int, floor: float, precision: float
) -> Slope | None:
    """The best entry of Neville's table: the quotients are a polynomial in step ** power.

    Of the entries that end at a step the one with the smallest error is looked at; of these the
    best, unless smaller steps are sure of something else: then the larger ones reached too far.
    """
    found: list[Slope] = []
    before: list[float] = []
    for k, (h, quotient) in enumerate(quotients):
        row = [quotient]
        errors = [math.inf]
        for j in range(1, min(k, _ORDERS) + 1):
            grown = (quotients[k - j][0] / h) ** power
            row.append(row[j - 1] + (row[j - 1] - before[j - 1]) / (grown - 1.0))
            errors.append(max(math.fabs(row[j] - row[j - 1]), math.fabs(row[j] - before[j - 1])))
        before = row
        if k:
            error = min(errors)
            value = row[errors.index(error)]
            noise = max(floor, *(math.fabs(d - value) * step for step, d in quotients[k:]))
            error += 2.0 * noise / h + 4.0 * precision * math.fabs(value)
            found.append(Slope(value, error, h, noise))
    if not found:
        return None
    if len(found) > 5:
        del found[-2:]  # hardly any smaller steps tell how much of them is noise
    best = min(found, key=lambda slope: slope.error)
    surer = [slope for slope in found if slope.step < best.step and _differ(slope, best)]
    return min(surer, key=lambda slope: slope.error, default=best)


def _differ(left: Slope, right: Slope) -> bool:
    return math.fabs(left.value - right.value) > 4.0 * (left.error + right.error)


def _jump(quotients: Sequence[Pair], floor: float, precision: float) -> float:
    """How far the function jumps on one side; 0.0 where it doesn't, as far as noise lets one see.

    Behind a jump the function goes on as from a value of its own: what is left at 0 of the line
    from there is large beside the noise, and the same from a larger step.
    """
    if len(quotients) < 8:
        return 0.0
    rests = []
    for k in (-1, -3):
        h, d = quotients[k]
        beyond = [(step - h, (step * q - h * d) / (step - h)) for step, q in quotients[:k]]
        slope = _extrapolated(beyond, 1, floor, precision)
        assert slope is not None
        rests.append(h * (d - slope.value))
        floor = max(floor, slope.noise, slope.error * h)
    steady = math.fabs(rests[1] - rests[0]) < 0.1 * math.fabs(rests[0])
    return rests[0] if steady and math.fabs(rests[0]) > 8.0 * floor else 0.0


def _steep(quotients: Sequence[Pair]) -> float:
    """An infinity where the quotients of one side grow without bound, else 0.0."""
    if len(quotients) < 8:
        return 0.0
    last = [d for _, d in quotients[-7:]]
    growth = [b - a for a, b in pairwise(last)]
    sign = math.copysign(1.0, last[-1])
    grows = all(a * sign > 0.0 for a in growth)
    even = all(0.7 < b / a < 3.6 for a, b in pairwise(growth)) if grows else 0
    return sign * math.inf if even else 0.0
