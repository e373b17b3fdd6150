"""Loops as recurrences, x_{t+1} = f(x_t) for t = 0, 1, …, and their adjoints, from the last t on.

In: the operations of a loop's body, and which rows these write and read in each iteration. Out:
statements of a `Draft`, whose results are arrays with an entry for each iteration. What is read
once, and is short, stands where it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.compiled.blocks import Array
from engine.compiled.writing.algebra import ZERO, Expr, Shape, at, call, full, index, plus, times
from engine.compiled.writing.arrays import Block, Draft, Statement, lanes
from engine.compiled.writing.formulas import partial_of
from engine.ops import Op

_MOST = 12  # operations of what stands where it is read


class _Own(NamedTuple):
    """An operand that is the result of operation `q`, so many iterations `ago`."""

    q: int
    ago: int


class Reads:
    """What the operations of a body read: `outs` and `reads` are the rows of results and of
    operands, by operation an array over the iterations.

    Raises ValueError where an operand is neither a result of the loop, each time as many iterations
    ago, nor from elsewhere.
    """

    def __init__(self, outs: Sequence[Array], reads: Sequence[Sequence[Array]]) -> None:
        self.count, self.outs = len(outs[0]), outs
        place = {row: (p, t) for p, rows in enumerate(outs) for t, row in enumerate(rows.tolist())}
        self.first: list[dict[int, int]] = [{} for _ in outs]  # rows that are read before t = 0
        self.operands = [[self._operand(rows, place) for rows in some] for some in reads]
        self.lag = [-min(first, default=0) for first in self.first]  # entries of these
        if any(len(first) != lag for first, lag in zip(self.first, self.lag, strict=True)):
            raise ValueError("an entry before the first iteration is read by nobody")

    def _operand(self, rows: Array, place: dict[int, tuple[int, int]]) -> _Own | Array:
        own = [place.get(row) for row in rows.tolist()]
        last = own[-1]
        if last is None:
            if any(own):
                raise ValueError("rows of a loop among others")
            return rows
        ago = self.count - 1 - last[1]
        same = [(last[0], t) for t in range(self.count - ago)]
        if own[ago:] != same or any(own[:ago]):
            raise ValueError("rows that are not as many iterations ago each time")
        for t, row in enumerate(rows[:ago].tolist()):
            if self.first[last[0]].setdefault(t - ago, row) != row:
                raise ValueError("two beginnings")
        return _Own(last[0], ago)

    def like(self, other: Reads) -> bool:
        """Whether operands come from where they do in a loop of other iterations: if not from
        results, from rows that are as far apart."""
        return all(
            x == y
            if isinstance(x, _Own) or isinstance(y, _Own)
            else len({*np.diff(x).tolist()}) == 1 or len({*np.diff(y).tolist()}) > 1
            for some, others in zip(self.operands, other.operands, strict=True)
            for x, y in zip(some, others, strict=True)
        )


class Recurrence(Reads):
    """A loop that is written down; `kept` says whose results others read."""

    def __init__(
        self,
        draft: Draft,
        space: int,
        ops: Sequence[Op],
        outs: Sequence[Array],
        reads: Sequence[Sequence[Array]],
        kept: Sequence[bool],
    ) -> None:
        super().__init__(outs, reads)
        self.draft, self.space, self.ops = draft, space, ops
        self.steps = range(self.count)
        self.back = self.steps[::-1]
        self.arrays: dict[int, Expr] = {}
        self.blocks: dict[int, Block] = {}
        self.exprs: list[Expr] = []
        self.lines: list[Statement] = []  # of the loop
        self._forward(kept)
        draft.statements += self.lines

    # --- forward ---

    def _forward(self, kept: Sequence[bool]) -> None:
        uses = Counter(x.q for some in self.operands for x in some if isinstance(x, _Own))
        for p, rows in enumerate(self.outs):
            if kept[p] or self.lag[p]:
                self._array(p, rows)
        for p, op in enumerate(self.ops):
            e = call(op.name, *[self._read(x) for x in self.operands[p]])
            if p not in self.arrays and (uses[p] > 1 or e.size > _MOST):
                self._array(p, self.outs[p])
            if p in self.arrays:
                self._let(self.arrays[p], self.lag[p], e, self.steps)
                e = at(self.arrays[p], self.lag[p])
            self.exprs.append(e)

    def _array(self, p: int, rows: Array) -> None:
        """Have results be an array, behind the entries that are read before the first."""
        draft, lag = self.draft, self.lag[p]
        shape = (self.count + lag,)
        array = self.arrays[p] = self._fresh((*shape, *lanes(self.space)), "value")
        block = self.blocks[p] = Block(self.space, shape, array)
        for t, row in enumerate(rows.tolist()):
            draft.places[self.space][row] = (block, t + lag)
        for t, row in sorted(self.first[p].items()):
            e = draft.at(self.space, [row], ()).expr
            draft.statements.append(Statement(array, e, "value", None, (t + lag,), sets=True))

    def _fresh(self, shape: Shape, role: str, about: Expr | None = None) -> Expr:
        """An array whose entries the loop fills."""
        array = self.draft.fresh(shape)
        self.draft.statements.append(Statement(array, Expr("empty", (), shape), role, about))
        return array

    def _read(self, x: _Own | Array) -> Expr:
        """An operand in iteration t."""
        if isinstance(x, _Own):
            return at(self.arrays[x.q], self.lag[x.q] - x.ago) if x.ago else self.exprs[x.q]
        same = bool((x == x[0]).all())
        rows, layout = (x[:1], ()) if same else (x, (self.count,))
        e = self.draft.at(self.space, rows.tolist(), layout).expr
        if same or len(e.shape) <= len(lanes(self.space)):
            return e
        return at(self.draft.emit(e, "value") if e.kind == "array" else e)

    def _let(
        self,
        array: Expr,
        further: int,
        e: Expr,
        steps: range,
        about: Expr | None = None,
        *,
        adds: bool = False,
    ) -> None:
        """Say what an array's entry is, or has added, in each step."""
        role = "value" if steps.step > 0 else "adjoint"
        selection = (Expr("step", (further, 1), ()),)
        told = Statement(array, e, role, about, selection, sets=not adds, steps=steps)
        self.lines.append(told)

    # --- backward ---

    def backward(self, flags: Sequence[int]) -> None:
        """Write down what passes to operands: bit j of an operation's flags asks for operand j."""
        self.adjoints: dict[int, Expr] = {}  # of arrays to which something else adds
        for p in self.blocks:
            self._begin(p)
        self.here: list[Expr] = [ZERO] * len(self.ops)
        self.lines = []
        found = [x for p in reversed(range(len(self.ops))) for x in self._passed(p, flags[p])]
        self.draft.statements += self.lines
        for rows, layout, y in found:
            self.draft.at(self.space, rows.tolist(), layout).add(y)
        for p, first in enumerate(self.first):
            for t, row in first.items():
                entry = index(self.adjoints[p], (t + self.lag[p],))
                self.draft.at(self.space, [row], ()).add(entry)

    def _begin(self, p: int) -> None:
        """Begin the adjoint of an array with what arrives from behind the loop."""
        draft, block = self.draft, self.blocks[p]
        in_parts = bool(block.parts)
        e = draft.adjoint(block)
        if in_parts:
            self.adjoints[p] = e
        elif e != ZERO or self.lag[p]:
            self.adjoints[p] = array = draft.fresh(block.full)
            copy = Expr("copy", (full(e, block.full), False), block.full)
            start = Expr("zeros", (), block.full) if e == ZERO else copy
            draft.statements.append(Statement(array, start, "adjoint", block.value))

    def _passed(self, p: int, flags: int) -> Iterator[tuple[Array, tuple[int, ...], Expr]]:
        """Write down what an operation passes on within the loop; return what it passes to rows
        that are no results of it, and in which layout."""
        steps = self.back
        g = self.here[p]
        if p in self.adjoints:
            if g != ZERO:
                self._let(self.adjoints[p], self.lag[p], g, steps, self.arrays[p], adds=True)
            g = at(self.adjoints[p], self.lag[p])
        wanted = [j for j in range(len(self.operands[p])) if flags >> j & 1]
        if g == ZERO or not wanted:
            return
        if g.size > (_MOST if len(wanted) == 1 else 3):
            array = self._fresh((self.count, *g.shape), "adjoint", self.arrays.get(p))
            self._let(array, 0, g, steps)
            g = at(array)
        args = tuple(map(self._read, self.operands[p]))
        earlier: dict[_Own, Expr] = {}
        for j in wanted:
            x = self.operands[p][j]
            y = times(g, partial_of(self.ops[p].name, j, args, self.exprs[p]))
            if isinstance(x, _Own):
                if x.ago:
                    earlier[x] = plus(earlier.get(x, ZERO), y)
                else:
                    self.here[x.q] = plus(self.here[x.q], y)
            elif (x == x[0]).all():
                each = full(y, lanes(self.space))
                yield x[:1], (), Expr("over", (each, self.count), each.shape)
            else:
                array = self._fresh((self.count, *lanes(self.space)), "adjoint")
                self._let(array, 0, y, steps)
                yield x, (self.count,), array
        for x, y in earlier.items():
            to = self.adjoints[x.q], self.lag[x.q] - x.ago
            self._let(*to, y, steps, self.arrays[x.q], adds=True)
