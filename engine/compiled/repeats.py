"""Repeats: instructions that come again and again, on rows that move on evenly.

Layers step by step, as those of a recurrent network, are blocks in each step: a product, a map, a
copy. In: instructions of one part of a program, forwards or backwards. Out: the same, with a
`Repeat` for each stretch in which the same ones come again, which is emitted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.blocks import Instruction, View
from engine.compiled.instructions import ROWS
from engine.compiled.periods import FEWEST, left, periods, runs, stretches

_LEAST = 16  # instructions of a repeat
_SAVED = 0.7  # of all instructions, what may be left at most


class Repeat(NamedTuple):
    """A body of instructions, `count` times. `strides` say for each by how much the first rows, or
    the places of lists, of its result and its operands are further each time."""

    count: int  # type: ignore[assignment]  # a tuple's method of this name is not needed
    body: list[Instruction]
    strides: list[list[int]]


def folded(instructions: Sequence[Instruction]) -> list[Instruction | Repeat]:
    """The instructions, with those that repeat as repeats."""
    if len(instructions) < _LEAST:
        return [*instructions]
    known: dict[object, int] = {}
    words = np.array([known.setdefault(_key(i), len(known)) for i in instructions], np.uint64)
    fixed = np.array([not ROWS[i.kind].moves for i in instructions])
    words[fixed] = len(known) + np.arange(fixed.sum(), dtype=np.uint64)  # each by itself
    lefts = {p: left(words, p, _LEAST) for p in periods(words)}
    limit = _SAVED * (len(instructions) + 20)
    made: list[Instruction | Repeat] = []
    place = 0
    for period in sorted((p for p in lefts if lefts[p] <= limit), key=lambda p: lefts[p])[:1]:
        for first, last in runs(words, period, _LEAST):
            for begin, repeat in _verified(instructions, period, first, last):
                made += [*instructions[place:begin], repeat]
                place = begin + repeat.count * period
    return [*made, *instructions[place:]]


def _verified(
    instructions: Sequence[Instruction], period: int, first: int, last: int
) -> Iterator[tuple[int, Repeat]]:
    """The repeats of a run: where the rows of all views move on evenly."""
    count = (last - first) // period
    body = instructions[first : first + period]
    places = np.array(
        [
            [x.first for i in instructions[k : k + period] for x in _views(i)]
            for k in range(first, first + count * period, period)
        ]
    )
    steps = np.diff(places, axis=0)
    usual = np.median(steps, axis=0).astype(np.int64)
    for begin, end in stretches((steps == usual).all(axis=1)):
        if end - begin + 1 < FEWEST:
            continue
        start = first + begin * period
        body = [*instructions[start : start + period]]
        strides, k = [], 0
        for i in body:
            size = len(_views(i))
            strides.append(usual[k : k + size].tolist())
            k += size
        yield start, Repeat(end - begin + 1, body, strides)


def _views(i: Instruction) -> list[View]:
    return [i.out, *(x for x in i.operands if x is not None)]


def _key(i: Instruction) -> object:
    """What tells an instruction from those of other shapes."""
    views = [None if x is None else x._replace(first=0) for x in (i.out, *i.operands)]
    return (i.kind, i.name, i.shape, i.adds, i.number, i.flags, *views)


def moved(i: Instruction, strides: Sequence[int], t: Any) -> Instruction:
    """An instruction of the body in some iteration."""
    steps = iter(strides)

    def of(x: View | None) -> View | None:
        stride = 0 if x is None else next(steps)
        return x._replace(first=t * stride + x.first) if x is not None and stride else x

    out = of(i.out)
    assert out is not None
    return i._replace(out=out, operands=tuple(of(x) for x in i.operands))
