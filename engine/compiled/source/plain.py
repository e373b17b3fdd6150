"""Instructions as one would write them down: others of the same table that say the same.

A segment is its operations, one by one, and so is a loop, with the segments before and after it;
products of one number each, where these follow each other,
are multiplications and additions of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.compiled.blocks import Array, Instruction, L, Lists, S, View
from engine.ops import TABLE


def singles(i: Instruction, lists: Lists, steps: Array) -> Iterator[Instruction]:
    """The operations of a segment, each as a "map"; those of a "segment_back" as "edge"s, of which
    `steps` says as in `Backward` which there are."""
    s, names, space = lists.segments, list(TABLE), i.out.space & L
    places = range(i.shape[0], sum(i.shape))
    for k in places if i.kind == "segment" else reversed(places):
        name = names[s.code[k]]
        rows = (*(s.a[k], s.b[k], s.c[k])[: TABLE[name].arity], s.out[k])
        *operands, out = (View(space, int(row), 1) for row in rows)
        if i.kind == "segment":
            yield Instruction("map", out, tuple(operands), name=name)
            continue
        for j, x in enumerate(operands):
            if steps[k] >> j & 1:
                given = (out.adjoint, *operands, out)
                yield Instruction("edge", x.adjoint, given, (j,), name, bool(steps[k] >> j & 8))


_Both = tuple[list[Instruction], list[Instruction]]


def plain(both: _Both, lists: Lists, rows: tuple[int, int]) -> tuple[_Both, Lists, tuple[int, int]]:
    """The instructions with multiplications and additions in place of products of one number each,
    where these follow each other; lists for them, and how many rows they have."""
    work = _Plain(lists, list(rows), [])
    made = ([*work.of(both[S])], [*work.of(both[L])])
    pool = np.array([*lists.pool.tolist(), *work.pool], np.int64)
    return made, Lists(pool, lists.segments, lists.constants, lists.exact), (*work.rows,)  # type: ignore[return-value]


class _Plain(NamedTuple):
    lists: Lists
    rows: list[int]  # so far
    pool: list[int]  # more of it

    def of(self, instructions: Sequence[Instruction]) -> Iterator[Instruction]:
        run: list[Instruction] = []
        for i in [*_joined(instructions), None]:
            single = i is not None and i.kind == "product" and i.shape[:2] == (1, 1)
            if run and not (single and i is not None and _follows(i, run[-1])):
                yield from self._written(run)
                run = []
            if single and i is not None:
                run.append(i)
            elif i is not None:
                yield i

    def _written(self, run: list[Instruction]) -> Iterator[Instruction]:
        """A run of products of one number each, as multiplications and additions."""
        first = run[0]
        count = max(len(run), first.out.count)
        of_each = [None if x is None else x._replace(count=count) for x in first.operands]
        operands: list[View] = []
        for x, shared in zip(of_each, (True, False, True, False), strict=True):
            if x is not None and shared and (first.out.space == L or count > len(run)):
                kind = "broadcast" if first.out.space == L else "gather"
                if count > len(run):  # the same row for all
                    place = len(self.lists.pool) + len(self.pool)
                    self.pool.extend([x.first] * count)
                    x = View(S, place, count, True)
                copy = self._fresh(first.out.space, count)
                yield Instruction(kind, copy, (x,))
                x = copy
            if x is not None:
                operands.append(x)
        total, rest = operands[0], operands[1:]
        for k, (x, name) in enumerate(zip(rest, ("mul", "add", "add"), strict=False)):
            last = k == len(rest) - 1
            out = first.out._replace(count=count) if last else self._fresh(first.out.space, count)
            yield Instruction("map", out, (total, x), name=name)
            total = out

    def _fresh(self, space: int, count: int) -> View:
        self.rows[space] += count
        return View(space, self.rows[space] - count, count)


def _joined(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The instructions with segments and loops that follow each other as one segment."""
    made: list[Instruction] = []
    for i in instructions:
        if i.kind == "loop":
            i = i._replace(kind="segment", shape=i.shape[:2])
        before = made[-1] if made else None
        both = before is not None and before.kind == i.kind == "segment"
        if both and before is not None and sum(before.shape) == i.shape[0]:
            made.pop()
            end = i.out.first + i.out.count
            out = before.out._replace(count=end - before.out.first)
            i = i._replace(out=out, shape=(before.shape[0], before.shape[1] + i.shape[1]))
        made.append(i)
    return made


def _follows(i: Instruction, before: Instruction) -> bool:
    """Whether all rows of an instruction are those after the rows of another."""
    pairs = zip((i.out, *i.operands), (before.out, *before.operands), strict=True)
    return i.shape[2] == before.shape[2] == 1 and all(
        x is y is None or (x is not None and y is not None and x.first == y.first + 1)
        for x, y in pairs
    )
