"""Where a computation is not smooth, or nearly: the operations that are close to their ties.

In: the nodes that a run made, with their lines. Out: a `Kink` for each operation whose operands are
near a place where its row says that it jumps or has a corner. A row says so of the place itself;
those that come into question are 0, the other operands, and whole and half multiples of 1 and of
the other operands.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.differences import estimate, ladder
from engine.errors import user_frame
from engine.explaining.words import number
from engine.lines import Line, Recorder, spot
from engine.ops import Op
from engine.value import Value


@dataclass(frozen=True, slots=True)
class Kink:
    """An operation near its tie.

    `operands` are the numbers it was given, `tie` those of the tie, which differ by `distance` at
    most. `left` and `right` are its derivatives by operand `k` on both sides of the tie; None where
    it jumps there, by `jump`, and for a comparison in Python, whose two sides are the user's.
    `line` is where it stands.
    """

    operation: str
    operands: tuple[float, ...]
    tie: tuple[float, ...]
    distance: float
    k: int = 0
    left: float | None = None
    right: float | None = None
    jump: float = 0.0
    line: Line | None = None

    def __str__(self) -> str:
        """One sentence."""
        call = f"{self.operation}({', '.join(map(number, self.operands))})"
        where = "at its tie" if self.distance == 0.0 else f"{number(self.distance)} from its tie"
        text = f"{call} is {where}"
        if self.left is not None and self.right is not None:
            by = f" by operand {self.k + 1}" if len(self.operands) > 1 else ""
            sides = f"{number(self.left)} below it and {number(self.right)} above"
            text += f", where the derivative{by} is {sides}"
        if self.jump:
            text += f", and the value jumps by {number(self.jump)}"
        return f"{text}\n  {self.line}" if self.line else text


class TieRecorder(Recorder):
    """A recorder that keeps comparisons of nearly equal numbers, too."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self._eps = eps
        self.near: list[Kink] = []

    def compared(self, name: str, node: Value, other: Any, swapped: bool) -> None:
        """A node was compared with a number or a node."""
        frame = user_frame()
        pair = node._data, float(other._data if isinstance(other, Value) else other)
        distance = math.fabs(pair[0] - pair[1])
        # Comparisons in this project's own code are checks, and mean nothing to the user.
        if distance <= _reach(self._eps, pair) and frame is sys._getframe(2) and name != "equal":
            line = self.line(spot(frame))
            self.near.append(Kink(name, pair, (pair[1], pair[1]), distance, line=line))

    def kinks(self) -> Iterator[Kink]:
        """All of them, in the order of making; comparisons in Python come last."""
        for node, at in self.spots.items():
            if node.op is not None and node not in self.cuts:
                found = nearest(node.op, [x for _, x in node._operands()], self._eps)
                if found is not None:
                    yield _with_sides(node.op, found, self.line(at))
        yield from self.near


def _reach(eps: float, numbers: Sequence[float]) -> float:
    return eps * max(1.0, *map(math.fabs, numbers))


def nearest(op: Op, numbers: Sequence[float], eps: float) -> Kink | None:
    """The closest tie of an operation within reach of these operands, if there is one."""
    best: Kink | None = None
    if op.kink is None or not all(map(math.isfinite, numbers)):
        return None
    for k, tie in _candidates(numbers):
        distance = max(math.fabs(a - b) for a, b in zip(tie, numbers, strict=True))
        near = distance <= _reach(eps, numbers) and (best is None or distance < best.distance)
        if near and op.has_kink(tie):
            best = Kink(op.name, tuple(numbers), tie, distance, k)
    return best


def _candidates(numbers: Sequence[float]) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Operands with one of them moved to where a tie may be; all of them at 0."""
    for k, x in enumerate(numbers):
        others = [y for i, y in enumerate(numbers) if i != k]
        places = [x, 0.0, *others]
        for unit in (0.5, *(0.5 * y for y in others if y)):
            count = x / unit
            if math.fabs(count) < 2.0**52:
                places += [math.floor(count) * unit, math.ceil(count) * unit]
        for place in places:
            yield k, (*numbers[:k], place, *numbers[k + 1 :])
    yield 0, (0.0,) * len(numbers)


def _with_sides(op: Op, kink: Kink, line: Line | None) -> Kink:
    """The same with the derivatives of both sides, and its line."""
    k, tie, forward = kink.k, kink.tie, op.forward
    assert forward is not None
    found = estimate(lambda t: forward(*tie[:k], tie[k] + t, *tie[k + 1 :]), ladder(tie[k]))
    if found.kind == "jump":  # a slope that reaches over it means nothing
        return replace(kink, jump=found.jump, line=line)
    if found.left is not None and found.right is not None:
        return replace(kink, left=found.left.value, right=found.right.value, line=line)
    return replace(kink, line=line)
