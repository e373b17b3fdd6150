"""Instructions as one would write them down: others of the same table that say the same.

Loops have the iterations right before them that are as their own; products of one number each,
where these follow each other, are multiplications and additions of blocks: rows of the table say
so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.compiled.blocks import Instruction, L, Lists, S, View
from engine.compiled.instructions import ROWS

_Both = tuple[list[Instruction], list[Instruction]]


def plain(both: _Both, lists: Lists, rows: tuple[int, int]) -> tuple[_Both, Lists, tuple[int, int]]:
    """The instructions put more plainly, lists for them, and how many rows they have."""
    work = Plain(lists, list(rows), [])
    made = ([*work.of(both[S])], [*work.of(both[L])])
    pool = np.array([*lists.pool.tolist(), *work.pool], np.int64)
    return made, Lists(pool, lists.segments, lists.constants, lists.exact), (*work.rows,)  # type: ignore[return-value]


class Plain(NamedTuple):
    """What rows of the table see while they put instructions more plainly."""

    lists: Lists
    rows: list[int]  # so far
    pool: list[int]  # more of it

    def of(self, instructions: Sequence[Instruction]) -> Iterator[Instruction]:
        """These, more plainly."""
        run: list[Instruction] = []
        for i in instructions:
            if run and not ROWS[i.kind].joins(i, run[-1]):
                yield from ROWS[run[-1].kind].plainly(self, run)
                run = []
            run.append(i)
        if run:
            yield from ROWS[run[-1].kind].plainly(self, run)

    def fresh(self, space: int, count: int) -> View:
        """Rows that nothing else has."""
        self.rows[space] += count
        return View(space, self.rows[space] - count, count)

    def repeated(self, x: View, count: int) -> View:
        """A row, so many times."""
        place = len(self.lists.pool) + len(self.pool)
        self.pool.extend([x.first] * count)
        return View(x.space, place, count, True)
