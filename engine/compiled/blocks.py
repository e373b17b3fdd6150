"""Blocks: rows of numbers, views of them, and the instructions that compute some from others.

An instruction computes a block of rows from others. There are two spaces of rows: in the shared
space S a row is one number, in the lane space L one number for each example of a chunk. Each row
has an adjoint beside it, in the space of the same number with `ADJOINT`. A `View` names rows: a
run of them, or a list in the pool, where ~row means the negative of a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

S, L = 0, 1  # the spaces of values
ADJOINT = 2  # added to one of them: the space of the adjoints of its rows

# Flags of sums of products: 0.0 is a term, a nan is noted, the matrix lies transposed.
ZERO, NOTED, TRANSPOSED = 1, 2, 4

# The first words of the pool. What draws depend on; whether a row was inf or nan (-1 asks for
# that); whether a sum of products or a gradient was nan, so that the exact rule is to be asked.
SEED, STEP, NOT_FINITE, NAN_SEEN = range(4)
POOL_HEADER = 4


class View(NamedTuple):
    """Rows of a space: `count` from row `first` on, or those of the list at place `first`."""

    space: int
    first: int
    count: int  # type: ignore[assignment]  # a tuple's method of this name is not needed
    listed: bool = False

    @property
    def adjoint(self) -> View:
        """The adjoints of the same rows."""
        return self._replace(space=self.space | ADJOINT)

    def part(self, first: int, count: int) -> View:
        """Some of the rows."""
        return self._replace(first=self.first + first, count=count)


class Instruction(NamedTuple):
    """One block operation: `kind` is its row in the table of instructions, which says what
    `operands`, `shape`, `name`, `number` and `flags` mean to it.

    With `adds` it adds to the rows of `out`, else it sets them.
    """

    kind: str
    out: View
    operands: tuple[View | None, ...] = ()
    shape: tuple[int, ...] = ()
    name: str = ""  # of an operation of the scalar table
    adds: bool = False
    number: float = 0.0
    flags: int = 0

    @property
    def is_moving(self) -> bool:
        """Whether it is emitted for rows, or lists, whose places are known at run time only."""
        views = (self.out, *self.operands)
        return not all(x is None or isinstance(x.first, int) for x in views)

    def operand(self, k: int) -> View:
        """Operand k, which is there."""
        view = self.operands[k]
        assert view is not None
        return view


def _column() -> Array:
    return np.zeros(0, np.int32)


@dataclass(slots=True)
class Segments:
    """Operations on single rows, in columns: what the instructions "segment" stand for. `code` is
    the place of an operation in the scalar table."""

    code: Array = field(default_factory=_column)
    out: Array = field(default_factory=_column)
    a: Array = field(default_factory=_column)
    b: Array = field(default_factory=_column)
    c: Array = field(default_factory=_column)
    looped: int = 0  # how many of them are those of loops

    @property
    def single(self) -> int:
        """How many are in no loop."""
        return len(self.code) - self.looped


@dataclass(slots=True)
class Lists:
    """What instructions refer to by places: lists of rows, operations on single rows, and numbers
    that fill rows beforehand."""

    pool: Array
    segments: Segments
    constants: tuple[dict[int, float], dict[int, float]]
    exact: bool  # whether adjoints follow the chain rule exactly

    @property
    def nothing(self) -> float:
        """The adjoint where nothing has arrived: -0.0 where that counts, which changes nothing that
        it is added to."""
        return -0.0 if self.exact else 0.0

    def rows(self, view: View) -> Array:
        """The rows of a view, ~row for a negative one."""
        if view.listed:
            return self.pool[view.first : view.first + view.count]
        return np.arange(view.first, view.first + view.count)

    def runs(self, view: View) -> list[tuple[int, int, int]]:
        """The same as runs of rows: the first, the sign, and the length of each."""
        if not view.listed or not view.count:
            return [(view.first, 1, view.count)] if view.count else []
        return runs_of(self.rows(view))


def runs_of(rows: Array) -> list[tuple[int, int, int]]:
    """Rows as runs that follow each other: the first, the sign (-1 for ~row), and the length."""
    signs = rows < 0
    rows = np.where(signs, ~rows, rows)
    breaks = np.ones(len(rows), bool)
    breaks[1:] = (np.diff(rows) != 1) | (signs[1:] != signs[:-1])
    starts = np.flatnonzero(breaks)
    lengths = np.diff([*starts, len(rows)])
    return [
        (int(rows[s]), -1 if signs[s] else 1, int(n)) for s, n in zip(starts, lengths, strict=True)
    ]
