"""Marks: the nodes of a tape as columns to work on, the space of each, and how often it is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.compiled.blocks import L, S
from engine.compiled.columns import CONSTANT, DRAW, INPUT, LOOP, RESULT, TAKE, coded
from engine.compiled.sequential import Bytes, Ints, Longs, Shorts, is_worth_it, loop
from engine.compiled.tape import Tape
from engine.ops import TABLE

CODES = {name: code for code, name in enumerate(TABLE)}
Column = Any  # NumPy's for many nodes, for few a list, which plain Python is faster with


@dataclass(slots=True)
class Nodes:
    """The columns of a tape and what is found out about its nodes, some of which passes add.

    `count` nodes are the tape's; the sums that are made of terms of others are numbered on.
    """

    tape: Tape
    many: bool
    count: int
    op: Column
    a: Column
    b: Column
    c: Column
    entries: Column
    number: Column
    arity: Column
    space: Column = field(init=False)
    uses: Column = field(init=False)  # 0 for what nobody needs
    user: Column = field(init=False)  # one of those that use a node
    absorbed: Column = field(init=False)  # whether it is part of a sum, or of a chain of maxima
    narrow: Column = field(init=False)  # whether it is an operation of a segment: see `levels`

    @classmethod
    def of(cls, tape: Tape) -> Nodes:
        """The columns of a tape."""
        many = is_worth_it(len(tape))
        op, a, b, c, entries, number = (
            column if many else column.tolist()
            for column in (tape.op, tape.a, tape.b, tape.c, tape.entries, tape.number)
        )
        arity = coded()[1] if many else coded()[1].tolist()
        return cls(tape, many, len(tape), op, a, b, c, entries, number, arity)

    def new(self, size: int, fill: int = 0, dtype: Any = np.int32) -> Column:
        """A new column."""
        return np.full(size, fill, dtype) if self.many else [fill] * size

    def make_room(self, more: int) -> None:
        """Have a space for so many nodes more."""
        if self.many:
            self.space = np.concatenate([self.space, np.zeros(more, np.uint8)])
        else:
            self.space += [S] * more

    def bits(self) -> Column:
        """The bits of numbers, which tell -0.0 from 0.0."""
        bits = self.tape.number.view(np.int64)
        return bits if self.many else bits.tolist()

    def column(self, numbers: Sequence[int]) -> Column:
        """Some numbers as a column."""
        return np.array(numbers, np.int32) if self.many else list(numbers)

    def which(self, op: int) -> list[int]:
        """The nodes that are INPUT, CONSTANT, or what else no row of the table makes."""
        if self.many:
            found: list[int] = np.flatnonzero(self.op == op).tolist()
            return found
        return [i for i, x in enumerate(self.op) if x == op]

    def mark(self, in_lanes: Iterable[int], batched: bool) -> None:
        """Find the space of each node and how often it is used."""
        self.space = self.new(self.count, S, np.uint8)
        self.uses, self.user = self.new(self.count), self.new(self.count, -1)
        self.absorbed = self.new(self.count, 0, np.uint8)
        self.narrow = self.new(self.count, 0, np.uint8)
        lanes = {*in_lanes}
        for i in self.which(INPUT) if lanes else ():
            if int(self.number[i]) in lanes:
                self.space[i] = L
        for i in self.which(DRAW) if batched else ():
            self.space[i] = L
        for i in (*self.tape.outputs, *[guard.place for guard in self.tape.guards]):
            self.uses[i] += 2  # never absorbed
        columns = (self.op, self.a, self.b, self.c, self.entries, self.arity)
        _mark.over(self.count)(*columns, self.space, self.uses, self.user, self.count)

    def ranks(self) -> Column:
        """By node a number that says which of two is the matrix: see `_Sums`. Parameters and
        constants are; of computed operands the earlier ones are."""
        depth = self.new(self.count, 0, np.int64)
        _depths.over(self.count)(self.op, self.a, self.b, self.c, self.arity, depth, self.count)
        arguments = len(self.which(INPUT)) - len(self.tape.leaves)
        for i in self.which(INPUT):  # of two the leaf; else whichever, but always the same one
            number = int(self.number[i])
            depth[i] = number - (1 << 41 if number >= arguments else 1 << 40)
        for i in self.which(CONSTANT):
            depth[i] = -1
        return depth


@loop
def _mark(
    op: Shorts,
    a: Ints,
    b: Ints,
    c: Ints,
    entries: Ints,
    arity: Shorts,
    space: Bytes,
    uses: Ints,
    user: Ints,
    count: int,
) -> int:
    """Lanes make lanes; then, from the last node on, who uses whom."""
    for i in range(count):
        code = op[i]
        if code >= 0:
            given = arity[code]
            if space[a[i]] or (given >= 2 and space[b[i]]) or (given == 3 and space[c[i]]):
                space[i] = 1
        elif code == RESULT:
            space[i] = space[a[i]]
        elif code in (TAKE, LOOP):
            found = space[a[i]]
            for k in range(b[i], b[i] + c[i]):
                found = found | space[entries[k]]
            space[i] = found
    for i in range(count - 1, -1, -1):
        if uses[i]:
            code = op[i]
            if code >= 0:
                given = arity[code]
                uses[a[i]] += 1
                user[a[i]] = i
                if given >= 2:
                    uses[b[i]] += 1
                    user[b[i]] = i
                    if given == 3:
                        uses[c[i]] += 1
                        user[c[i]] = i
            elif code == RESULT:
                uses[a[i]] += 2
            elif code in (TAKE, LOOP):
                uses[a[i]] += 2
                for k in range(b[i], b[i] + c[i]):
                    uses[entries[k]] += 2
    return 0


@loop
def _depths(op: Shorts, a: Ints, b: Ints, c: Ints, arity: Shorts, depth: Longs, count: int) -> int:
    """How many operations lie before each node."""
    for i in range(count):
        code = op[i]
        if code >= 0:
            found = depth[a[i]]
            if arity[code] >= 2 and depth[b[i]] > found:
                found = depth[b[i]]
            if arity[code] == 3 and depth[c[i]] > found:
                found = depth[c[i]]
            depth[i] = found + 1
    return 0
