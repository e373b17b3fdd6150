"""Loops: find what comes again and again among operations on single rows.

What runs step by step, as an integrator or a filter, was recorded operation by operation. Its
single operations, in the order in which they were recorded, repeat with a period: the same ones,
with operands as far behind them. Where that saves much, a segment is cut into what comes before,
a loop with the operations of one iteration as its body, and what comes after.

The period is looked for by the distances at which some operations in a row come again, and is the
one with which the least is left to be written out; what else repeats is found in what is left.
Iterations in which an operand comes from elsewhere than in nearly all others are left outside.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.compiled.blocks import Array, Instruction, Segments, View
from engine.compiled.columns import coded
from engine.compiled.periods import FEWEST, left, periods, runs, stretches

LEAST = 100  # operations of a loop
_NEAR = 64  # distances up to which operands tell operations apart
_SAVED = 0.7  # of a stretch, what may be left at most
_USUAL = 0.75  # of the iterations: the share with which an operand has a usual place


def reroll(instructions: list[Instruction], segments: Segments) -> Iterator[Instruction]:
    """The instructions, with segments cut where there are loops in them."""
    for i in instructions:
        if i.kind != "segment" or i.shape[1] < LEAST:
            yield i
            continue
        place, end = i.shape[0], sum(i.shape)
        for first, total, period in _Stretch(segments, *i.shape).loops():
            if first > place:
                yield part_of("segment", i, segments, place, first - place)
            segments.looped += total
            yield part_of("loop", i, segments, first, total, period)
            place = first + total
        if end > place:
            yield part_of("segment", i, segments, place, end - place)


def part_of(
    kind: str, i: Instruction, s: Segments, first: int, total: int, *more: int
) -> Instruction:
    """A segment or a loop of some of the operations of one."""
    row = int(s.out[first])
    out = View(i.out.space, row, int(s.out[first + total - 1]) - row + 1)
    return Instruction(kind, out, shape=(first, total, *more))


class _Stretch:
    """Operations that follow each other, and what each of them reads of the others."""

    def __init__(self, segments: Segments, first: int, count: int) -> None:
        at = slice(first, first + count)
        self.first, self.count = first, count
        code, out = segments.code[at], segments.out[at]
        arity = coded()[1][code]
        low, high = int(out.min()), int(out.max())
        maker = np.full(high - low + 1, -1, np.int32)
        maker[out - low] = np.arange(count)
        places = np.arange(count)
        self.behind: list[Array] = []  # how far behind an operand was made; 0 for elsewhere
        self.codes = words = code.astype(np.uint64) + np.uint64(1)
        for j, column in enumerate((segments.a[at], segments.b[at], segments.c[at])):
            inside = (arity > j) & (column >= low) & (column <= high)
            made = np.where(inside, maker[np.where(inside, column - low, 0)], -1)
            behind = np.where(made >= 0, places - made, 0)
            self.behind.append(behind)
            near = np.where(behind <= _NEAR, behind, 0).astype(np.uint64)
            words = words * np.uint64(0x9E3779B97F4A7C15) + near
        self.words = words ^ (words >> np.uint64(29))

    def loops(self) -> list[tuple[int, int, int]]:
        """Where loops begin, how many operations they have, and how many an iteration, in order."""
        found = sorted(self._within(0, self.count, 3))
        return [(self.first + begin, total, period) for begin, total, period in found]

    def _within(self, begin: int, end: int, more: int) -> Iterator[tuple[int, int, int]]:
        """Those between two places; what is left beside them is looked at up to `more` times."""
        if end - begin < LEAST or not more:
            return
        # by operations and their operands, or else by operations alone
        for words in (self.words, self.codes):
            words = words[begin:end]
            lefts = {p: left(words, p, LEAST) for p in periods(words)}
            limit, place = _SAVED * (end - begin), begin
            for period in sorted((p for p in lefts if lefts[p] <= limit), key=lambda p: lefts[p]):
                for run in runs(words, period, LEAST):
                    longer = self._longer(period, run[0] + begin, run[1] + begin, place, end)
                    for first, total in self._verified(period, *longer):
                        yield from self._within(place, first, more - 1)
                        yield first, total, period
                        place = first + total
                if place > begin:
                    yield from self._within(place, end, more - 1)
                    return

    def _longer(self, period: int, first: int, last: int, begin: int, end: int) -> tuple[int, int]:
        """A run with what before and after it has the same operations: the operands of early
        iterations may be near to what is far from later ones."""
        differs = np.flatnonzero(
            self.codes[begin:first] != self.codes[begin + period : first + period]
        )
        first = begin + int(differs[-1]) + 1 if len(differs) else begin
        differs = np.flatnonzero(self.codes[last:end] != self.codes[last - period : end - period])
        return first, last + int(differs[0]) if len(differs) else end

    def _verified(self, period: int, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The loops of a run, with the cut that carries the least; the iteration before the first
        is none of theirs."""
        first = first + self._cut(period, first)
        count = (last - first) // period
        if count < FEWEST + 1:
            return
        at = slice(first, first + count * period)
        good = np.ones(count, bool)
        for column in self.behind:
            behind = column[at].reshape(count, period)
            usual = np.median(behind, axis=0).astype(np.int64)
            as_usual = behind == usual
            near = (usual > 0) & (usual <= np.arange(period) + period)
            good &= (as_usual | ~near | (as_usual.mean(axis=0) < _USUAL)).all(axis=1)
        for one, other in stretches(good):
            if other - one > FEWEST:
                yield first + (one + 1) * period, (other - one - 1) * period

    def _cut(self, period: int, first: int) -> int:
        """How many operations later a body had better begin: there the fewest results are read by
        the iteration that follows."""
        furthest = np.zeros(period, np.int64)  # reader of a result
        begin = first + 2 * period  # where all is as usual
        for column in self.behind:
            behind = column[begin : begin + period]
            reader = np.flatnonzero((behind > 0) & (behind <= period))
            made = (reader - behind[reader]) % period
            np.maximum.at(furthest, made, behind[reader])
        crossed = np.zeros(2 * period + 1, np.int64)
        np.add.at(crossed, np.arange(period) + 1, furthest > 0)
        np.add.at(crossed, np.arange(period) + 1 + furthest, -1 * (furthest > 0))
        crossed = np.cumsum(crossed)[: 2 * period]
        return int(np.argmin(crossed[:period] + crossed[period:]))
