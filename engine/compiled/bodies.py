"""Bodies: what the operations of a loop read, told once for all of its iterations.

A loop is a stretch of single operations in which the same ones come again and again. In: the
columns of operations and where a loop lies in them. Out: a `Body`, which says of each operand where
it comes from: the same iteration, the one before, a row that is the same in all iterations, or rows
that are others in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.compiled.blocks import Array, Segments
from engine.compiled.columns import coded
from engine.ops import TABLE, Op

HERE, BEFORE, SAME, ELSEWHERE = range(4)


class Operand(NamedTuple):
    """Where an operand comes from: `at` is the operation's place in the body if it is of this
    iteration (HERE) or of the one BEFORE, the row if that is the SAME in all, else (ELSEWHERE) the
    row in the first iteration. There `stride` says how many rows further it is in each of the
    next, None if that differs: the columns of operations say it."""

    kind: int
    at: int
    stride: int | None = None


@dataclass(slots=True)
class Body:
    """The operations of an iteration, `count` of which follow each other from place `first` on."""

    first: int
    count: int
    codes: list[int]
    out: list[Operand]  # ELSEWHERE: the row of each result
    operands: list[list[Operand]]

    @property
    def ops(self) -> list[Op]:
        """The operations themselves."""
        table = list(TABLE.values())
        return [table[code] for code in self.codes]

    @property
    def carried(self) -> list[int]:
        """The operations whose results the next iteration reads."""
        found = {x.at for operands in self.operands for x in operands if x.kind == BEFORE}
        return sorted(found)

    def part(self, first: int, total: int) -> Body:
        """The same for some of the iterations: `total` operations from place `first` on."""
        period = len(self.codes)
        skipped = (first - self.first) // period

        def moved(x: Operand) -> Operand:
            return x._replace(at=x.at + skipped * x.stride) if x.stride else x

        operands = [[*map(moved, some)] for some in self.operands]
        return Body(first, total // period, self.codes, [*map(moved, self.out)], operands)


def body_of(segments: Segments, first: int, total: int, period: int) -> Body:
    """The body of a loop of `total` operations, `period` in each iteration; those of an iteration
    before the first lie right before them, if there is one."""
    count = total // period
    at = slice(first, first + total)
    rows = segments.out[at].reshape(count, period)
    before = segments.out[max(0, first - period) : first + total - period]
    before = np.concatenate([np.full(total - len(before), -1), before]).reshape(count, period)
    here = {int(row): q for q, row in enumerate(rows[-1])}
    earlier = {int(row): q for q, row in enumerate(before[-1])}
    arities = coded()[1]
    codes = segments.code[first : first + period].tolist()
    columns = [x[at].reshape(count, period) for x in (segments.a, segments.b, segments.c)]
    moving = [
        [_kind(column[:, p], rows, before, here, earlier) for column in columns[: arities[code]]]
        for p, code in enumerate(codes)
    ]
    read = [
        columns[j][:, p]
        for p, operands in enumerate(moving)
        for j, x in enumerate(operands)
        if x.kind == ELSEWHERE
    ]
    if read:
        # what is read as one of many rows is in memory for all that read it
        in_memory = _made_lately(np.stack(read), rows, before)
        known = {*np.unique(np.concatenate(read)).tolist()}
        for p, operands in enumerate(moving):
            for j, x in enumerate(operands):
                kept = x.kind in (HERE, BEFORE) and x.at in in_memory
                if kept or (x.kind == SAME and x.at in known):
                    operands[j] = _elsewhere(columns[j][:, p])
    out = [_elsewhere(rows[:, p]) for p in range(period)]
    return Body(first, count, codes, out, moving)


def _made_lately(read: Array, rows: Array, before: Array) -> set[int]:
    """Of which operations results are read, by columns of rows, in the iteration that made them or
    in the next one."""
    count, period = rows.shape
    low, high = int(before.min()), int(rows.max())
    maker = np.full(high - low + 2, -2 * period)  # of long ago, at the end for rows out of range
    made = np.concatenate([before[:1].ravel(), rows.ravel()])
    maker[made - low] = np.arange(-period, count * period)
    inside = (read >= low) & (read <= high)
    found = maker[np.where(inside, read - low, -1)]
    late = np.arange(count) - found // period < 2
    return {*np.unique(found[late] % period).tolist()}


def _kind(
    column: Array, rows: Array, before: Array, here: dict[int, int], earlier: dict[int, int]
) -> Operand:
    last = int(column[-1])
    for kind, places, every in ((HERE, here, rows), (BEFORE, earlier, before)):
        q = places.get(last)
        if q is not None and (every[:, q] == column).all():
            return Operand(kind, q)
    if (column == last).all():
        return Operand(SAME, last)
    return _elsewhere(column)


def _elsewhere(column: Array) -> Operand:
    steps = np.diff(column)
    even = bool((steps == steps[:1]).all())
    return Operand(ELSEWHERE, int(column[0]), int(steps[0]) if even and len(steps) else None)
