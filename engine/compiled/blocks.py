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

_ON_STACK = 500  # rows of a loop's step that are on the stack, of which a thread may have little


def follow(rows: Array) -> bool:
    """Whether numbers go up by one from each to the next."""
    return bool((np.diff(rows) == 1).all())


def as_slice(places: Array) -> Any:
    """Places, as a slice if they follow each other: that is read and written faster."""
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) and follow(places) else places


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
class Inner:
    """The step of a loop: instructions on rows of their own, for S and for L, whose first rows are
    its inputs. `inputs` are the rows of the carry, of what is the same in all steps in S and in L,
    and of an entry in S and in L. `outputs` are those of the next carry, and of what a step gives,
    or of the condition: in the space that the carry is in.
    """

    instructions: tuple[list[Instruction], list[Instruction]]
    rows: tuple[int, int]  # of S and L
    constants: tuple[dict[int, float], dict[int, float]]
    inputs: tuple[list[int], ...]
    outputs: list[tuple[int, int]]  # space and row
    count: int  # of steps, at most
    conditional: bool  # whether a condition says how many
    every: int  # how many steps there are from one saved carry to the next

    @property
    def carries(self) -> int:
        """How many numbers are carried."""
        return len(self.inputs[0])

    @property
    def given(self) -> int:
        """How many numbers a step gives beside them."""
        return 0 if self.conditional else len(self.outputs) - self.carries

    @property
    def results(self) -> int:
        """Rows of the last carry, and of what the steps gave; if it is conditional, of how many
        there were, and of whether it ended."""
        return self.carries + (2 if self.conditional else self.count * self.given)

    @property
    def saved(self) -> int:
        """How many carries are saved for the way back, after the results."""
        return -(-self.count // self.every)

    @property
    def kept(self) -> int:
        """How many more are computed again on the way back, after those."""
        return self.every if self.every > 1 else 0

    @property
    def room(self) -> int:
        """How many rows its own have room in, after those; none where they are so few that they had
        better be on the stack."""
        return sum(self.rows) if sum(self.rows) > _ON_STACK else 0

    @property
    def size(self) -> int:
        """How many rows the instruction has."""
        return self.results + (self.saved + self.kept) * self.carries + self.room


@dataclass(slots=True)
class Lists:
    """What instructions refer to by places: lists of rows, operations on single rows, the steps of
    loops, and numbers that fill rows beforehand."""

    pool: Array
    segments: Segments
    constants: tuple[dict[int, float], dict[int, float]]
    exact: bool  # whether adjoints follow the chain rule exactly
    inner: list[Inner] = field(default_factory=list)

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
