"""Looking for a wrong entry: in random directions first, which are halved where one disagrees.

In: a `Subject`. Out: None, or a `WrongGradientError`, which says where, by how much, and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.differences import DOUBLE, Estimate, Slope, estimate, ladder
from engine.testing.subjects import Array, Subject

DIRECTIONS = 4
MOST_ENTRIES = 64  # that are looked at one by one
MOST_WRONG = 8  # that are looked for where there are more entries than that
_TINY = 2.0**-90  # the step of complex numbers, which nothing is subtracted from


class WrongGradientError(AssertionError):
    """A gradient that is not the function's.

    `kind` is what seems to be wrong: "sign", "factor", "transposed", "off by one", "stale",
    "missing", "branch", "term", "detached", "direction", "not finite", "shape", "random",
    or of the function: "kink", "jump", "steep", "noise". `input` and `output` name the entry,
    `given` is what the gradient says there, `expected` what the differences say, within `error`;
    `step` is the smallest one that they needed. `diagnosis` is the sentence on the kind, and
    `where` what is known of the place in the code.
    """

    def __init__(self, subject: Subject, kind: str, diagnosis: str, **found: Any) -> None:
        self.name, self.what = subject.name, subject.what
        self.kind, self.diagnosis = kind, diagnosis
        self.input: str = found.get("input", "")
        self.output: str = found.get("output", "")
        self.given: float = found.get("given", math.nan)
        self.expected: float = found.get("expected", math.nan)
        self.error: float = found.get("error", math.nan)
        self.step: float = found.get("step", math.nan)
        self.where: str = found.get("where", "")
        self.numbers: str = found.get("numbers", "")
        super().__init__(str(self))

    def __str__(self) -> str:
        """All of it, in sentences."""
        parts = [f"the {self.what} of {self.name} is wrong{self.numbers}.", self.diagnosis + "."]
        return " ".join([*parts, self.where + "."] if self.where else parts)

    def table(self) -> str:
        """The same line by line."""
        rows = {
            "what": f"{self.what} of {self.name}",
            "where": f"{self.output} by {self.input}" if self.output else self.input,
            "it is": number(self.given),
            "differences": f"{number(self.expected)} ± {self.error:.1g}, steps to {self.step:.1g}",
            "kind": self.kind,
            "diagnosis": self.diagnosis,
            "code": self.where,
        }
        if math.isnan(self.error):
            del rows["it is"], rows["differences"]
        return "\n".join(f"{name:12} {text}" for name, text in rows.items() if text)

    def __reduce__(self) -> Any:  # its arguments are no part of it, so that it can travel
        return (_again, (str(self), vars(self)))


def _again(text: str, fields: dict[str, Any]) -> WrongGradientError:
    made = WrongGradientError.__new__(WrongGradientError, text)
    made.__dict__.update(fields)
    return made


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
    """The verdict on a derivative that is a sum of terms of a size: all tolerance there is."""
    sides = (found.left, found.right) if found.kind == "kink" else (found.best,)
    error = max(side.error for side in sides if side is not None)
    size = max(size, math.fabs(given)) if math.isfinite(given) else 0.0
    return Verdict(given, found, 4.0 * error + (math.sqrt(precision) + 64.0 * precision) * size)


def number(x: float) -> str:
    """A number as messages show it: ten digits."""
    return f"{x:.10g}"


@dataclass(frozen=True)
class Entry:
    """An entry of the gradient, and what was found of it."""

    output: int
    input: int
    verdict: Verdict


class Line:
    """A subject along a line through x; what was computed is kept."""

    def __init__(self, subject: Subject, x: Array, direction: Array) -> None:
        self._subject, self._x, self._direction = subject, x, direction
        self._known: dict[float, Array | Exception] = {}

    def __call__(self, t: float) -> Array:
        if t not in self._known:
            try:
                with np.errstate(all="ignore"):
                    self._known[t] = self._subject.values(self._x + t * self._direction)
            except (ArithmeticError, ValueError) as error:
                self._known[t] = error
        found = self._known[t]
        if isinstance(found, Exception):
            raise found
        return found

    def weighted(self, weights: Array) -> Callable[[float], float]:
        """The function of one number whose derivative is asked."""
        used = np.flatnonzero(weights)
        return lambda t: float(weights[used] @ self(t)[used])

    def exact(self, weights: Array) -> float:
        """The derivative by a complex step; nan where that can't be had."""
        if self._subject.imaginary is None:
            return math.nan
        try:
            with np.errstate(all="ignore"):
                moved = self._subject.imaginary(self._x + 1j * _TINY * self._direction)
            return float((weights @ moved).imag / _TINY)
        except Exception:  # whatever a function says that has not been written for it
            return math.nan


class Search:
    """One subject at one point, with what was asked of it so far."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject = subject
        self.rng = np.random.default_rng(seed)
        self.x = subject.x
        self.outputs = len(subject.outputs)
        self.weights = self.weighting()
        self.looked_at: set[int] = set()
        self.ladder = ladder(0.0, subject.precision)
        self._verdicts: dict[bytes, Verdict] = {}
        self.kinks = False
        self._rows: dict[bytes, Array] = {}

    # --- what is asked of the subject ---

    def random(self, scale: Array) -> Array:
        """A direction with few digits, so that steps along it are exact."""
        digits = 1.0 + self.rng.integers(0, 8, scale.shape) / 8.0
        return np.asarray(scale * digits * self.rng.choice([-1.0, 1.0], scale.shape))

    def weighting(self) -> Array:
        """Weights of the results."""
        if self.outputs == 1:
            return np.ones(1)
        sizes = self.rng.uniform(1.0, 2.0, self.outputs)
        return np.asarray(sizes * self.rng.choice([-1.0, 1.0], self.outputs))

    def scales(self) -> tuple[Array, Array]:
        """The size of each entry of x, as a power of two; and ones."""
        sizes = np.where(self.x == 0.0, 1.0, np.abs(self.x))
        return np.exp2(np.round(np.log2(sizes))).astype(float), np.ones_like(self.x)

    def pulled(self, weights: Array) -> Array:
        """The claimed gradient at x; asked for once."""
        key = weights.tobytes()
        if key not in self._rows:
            self._rows[key] = self.claimed(self.x, weights)
        return self._rows[key]

    def claimed(self, x: Array, weights: Array) -> Array:
        """The claimed gradient at any point."""
        with np.errstate(all="ignore"):
            return np.asarray(self.subject.pull(x, weights), dtype=np.float64)

    def verdict(
        self,
        line: Line,
        direction: Array,
        gradient: Array,
        weights: Array,
        steps: list[float],
    ) -> Verdict:
        """What differences along a line say of a gradient."""
        used = np.flatnonzero(direction)
        with np.errstate(all="ignore"):
            parts = gradient[used] * direction[used]
            given, size = float(parts.sum()), float(np.abs(parts).sum())
        precision = self.subject.precision
        found = estimate(line.weighted(weights), steps, precision)
        if found.kind == "smooth" and 4.0 * found.best.error > math.sqrt(precision) * abs(given):
            exact = line.exact(weights)
            if math.fabs(exact - found.best.value) <= 4.0 * found.best.error:
                # No gradient is asked to be righter than the function's own rounding.
                blur = max(found.blur, found.best.noise / steps[0])
                rounding = 64.0 * max(DOUBLE * max(size, math.fabs(exact)), blur)
                found = replace(found, best=Slope(exact, rounding, _TINY))
        return judged(given, found, precision, size)

    # --- the search ---

    def wrong_entries(self) -> list[Entry]:
        """Entries that are wrong, or can't be told; none where all directions agree."""
        size = len(self.x)
        for k in range(DIRECTIONS if size > 1 else 1):
            self.weights = self.weighting()
            direction = self.random(self.scales()[k % 2])
            wrong: list[Entry] = []
            for entry in self._split(np.arange(size), direction):
                wrong.append(entry)
                if len(wrong) == MOST_WRONG and size > MOST_ENTRIES:
                    break
            if wrong:
                return wrong
            # Between kinks a direction may say what it likes; and where 1 is no step for an entry,
            # the entries know better.
            if size > 1 and k % 2 == 0 and not self.kinks:
                verdict = self._along(direction)
                if not verdict.agrees and verdict.tolerance <= 1e-3 * verdict.found.chord:
                    return [Entry(-1, -1, verdict)]
        return []

    def _along(self, direction: Array) -> Verdict:
        key = direction.tobytes() + self.weights.tobytes()
        if key not in self._verdicts:
            line = Line(self.subject, self.x, direction)
            gradient = self.pulled(self.weights)
            found = self.verdict(line, direction, gradient, self.weights, self.ladder)
            self._verdicts[key] = found
        return self._verdicts[key]

    def _split(self, places: npt.NDArray[np.intp], direction: Array) -> Iterator[Entry]:
        if len(places) == 1:
            yield from self._entry(int(places[0]))
            return
        part = np.zeros_like(direction)
        part[places] = direction[places]
        verdict = self._along(part)
        if verdict.agrees and verdict.conclusive and verdict.found.kind != "kink":
            return
        for half in np.array_split(places, 2):
            if len(self.looked_at) < MOST_ENTRIES:
                yield from self._split(half, direction)

    def _entry(self, j: int) -> Iterator[Entry]:
        """The entry j of the gradient, of that result which is the first to disagree."""
        if j in self.looked_at and self.outputs == 1:
            return
        direction = np.zeros_like(self.x)
        direction[j] = 1.0
        line = Line(self.subject, self.x, direction)
        steps = ladder(self.x[j], self.subject.precision)
        every = [self.weights] if self.outputs == 1 else [self.weights, *np.eye(self.outputs)]
        self.looked_at.add(j)
        for o, weights in enumerate(every):
            verdict = self.verdict(line, direction, self.pulled(weights), weights, steps)
            self.kinks = self.kinks or verdict.found.kind in ("kink", "border", "steep")
            if o == 0 and verdict.agrees and verdict.conclusive:
                return
            if verdict.found.kind == "isolated":
                raise ValueError(
                    f"no step from {self.subject.names[j]} = {self.x[j].item()!r} stays where "
                    f"{self.subject.name} is finite; choose a point inside of its domain"
                )
            if not (verdict.agrees and verdict.conclusive) and (o or self.outputs == 1):
                yield Entry(max(o - 1, 0), j, verdict)
                return
