"""Blocks: what lifting makes of a tape, a short list of instructions on rows of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from engine.ops import TABLE

Array = np.ndarray[Any, np.dtype[Any]]
S, L = 0, 1  # the two spaces
POOL_HEADER = 5  # words of the pool that have a meaning of their own: see `kernels`


class Instruction(NamedTuple):
    """One block operation. Rows are row numbers in `space`, unless the kernel says otherwise.

    What the fields mean to each kernel is said in `kernels`.
    """

    kernel: str
    space: int
    n: int  # the rows of the result
    out: int
    a: int = 0
    b: int = 0
    c: int = 0
    inner: int = 0
    cols: int = 1
    bias: int = -1
    init: int = -1
    list_1: int = 0  # places in the pool
    list_2: int = 0
    list_3: int = 0


class Check(NamedTuple):
    """A guard at its row: `length` 0 means that the row equals `number`, else it is an index."""

    row: int
    space: int
    order: int
    length: int
    number: float


def _no_rows() -> Array:
    return np.zeros(0, np.int32)


@dataclass(slots=True, eq=False)
class Segments:
    """Operations on single rows, in int32 columns: what the instructions "segment" stand for.

    A segment has `n` of them from place `list_1` on. `code` is the place of the operation in the
    table. This is a tape: where nothing is wide, there is nothing to make blocks of.
    """

    code: Array = field(default_factory=_no_rows)
    out: Array = field(default_factory=_no_rows)
    a: Array = field(default_factory=_no_rows)
    b: Array = field(default_factory=_no_rows)
    c: Array = field(default_factory=_no_rows)

    def listed(self, first: int, count: int) -> list[tuple[int, int, int, int, int]]:
        """Some of the operations: the code, the row of the result, and those of operands."""
        part = slice(first, first + count)
        columns = (self.code, self.out, self.a, self.b, self.c)
        return list(zip(*[column[part].tolist() for column in columns], strict=True))


@dataclass(slots=True)
class Blocks:
    """A lifted function: instructions for S, then for L, and where numbers go in and come out."""

    instructions: tuple[list[Instruction], list[Instruction]]
    rows: tuple[int, int]  # of S and L
    constants: tuple[dict[int, float], dict[int, float]]  # rows that are filled beforehand
    shared_inputs: list[int]  # numbers of the inputs in the first rows of S
    lane_inputs: list[int]  # and of L
    split_inputs: dict[int, int]  # shared inputs with a row of their own in L, for gradients
    outputs: list[tuple[int, int]]  # space and row
    checks: list[Check]
    pool: list[int]
    segments: Segments
    recorded: int

    def written(self, i: Instruction) -> Sequence[int]:
        """The rows that an instruction writes, in its own space."""
        if i.kernel == "segment":
            written: list[int] = self.segments.out[i.list_1 : i.list_1 + i.n].tolist()
            return written
        return range(i.out, i.out + (i.n * i.cols if i.kernel == "mm" else i.n))

    def read(self, i: Instruction) -> Iterator[tuple[int, int]]:
        """The rows that an instruction reads, each with its space; often ones several times."""

        def block(space: int, first: int, count: int) -> Iterator[tuple[int, int]]:
            return ((space, row) for row in range(first, first + count))

        def listed(space: int, first: int, count: int) -> Iterator[tuple[int, int]]:
            return ((space, max(row, ~row)) for row in self.pool[first : first + count])

        here, kernel, n = i.space, i.kernel, i.n
        if kernel == "mm":
            yield from block(S, i.a, n * i.inner)
            yield from block(here, i.b, i.inner * i.cols)
            yield from block(S, i.bias, n if i.bias >= 0 else 0)
            yield from block(here, i.init, n * i.cols if i.init >= 0 else 0)
        elif kernel == "dot":
            yield from listed(here, i.list_1, n * i.inner)
            yield from listed(here, i.list_2, n * i.inner)
            yield from listed(here, i.list_3, n * i.cols)
        elif kernel == "max":
            yield from listed(here, i.list_1, n * i.inner)
        elif kernel == "take":
            yield i.b, i.a
            yield from listed(i.c, i.list_1, n * i.inner)
        elif kernel.startswith(("gather", "broadcast")):
            source = S if kernel.startswith("broadcast") else here
            yield from (listed(source, i.list_1, n) if kernel.endswith("_list") else ())
            yield from (() if kernel.endswith("_list") else block(source, i.a, n))
        elif kernel == "segment":
            arities = [op.arity for op in TABLE.values()]
            for code, _, *operands in self.segments.listed(i.list_1, i.n):
                yield from ((here, row) for row in operands[: arities[code]])
        elif kernel != "draw":
            arity = TABLE[kernel.removeprefix("ew_")].arity
            for first in (i.a, i.b, i.c)[:arity]:
                yield from block(here, first, n)


@dataclass(slots=True)
class Origins:
    """What the passes made of each node of a tape, by node: see `lift_with_origins`.

    Inputs and constants are no operations: they have no group and no instruction, which is -1.
    """

    used: list[bool]  # by a result, in the end
    head: list[int]  # the node that it is a part of: the last addition of a sum, or itself
    group: list[int]  # the number of its group, in the order of computation
    level: list[int]  # how many levels before the results it is computed
    instruction: list[int]  # its place among those of S, followed by those of L
