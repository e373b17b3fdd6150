"""Rows: numbers of rows for nodes, and the instructions that copy them to where they are needed.

Operands of an instruction follow each other where that can be; where it can't, they are copied
first. Rows of some nodes are a list where these are few, and an array where they are many; both
come to the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.compiled.blocks import POOL_HEADER, Inner, Instruction, L, Lists, S, View
from engine.compiled.columns import CONSTANT, INPUT, RESULT
from engine.compiled.lift.marks import Column, Nodes

LONG = 64  # rows from which on an array is faster


class Rows:
    """The rows given out so far, what they hold, and the instructions that fill them.

    `row` has the row of each node in its own space, `lane_row` the row of L that repeats one of S.
    """

    def __init__(self, nodes: Nodes, made: int, lanes: list[int], split: list[int]) -> None:
        self.nodes, self.lanes = nodes, lanes
        self.row: Column = nodes.new(nodes.count + made, -1)
        self.lane_row: Column = nodes.new(nodes.count + made, -1)
        # the same for single entries: of an array each would be one of NumPy's numbers
        self.row_at, self.lane_at = self.viewed(self.row), self.viewed(self.lane_row)
        self.space_at, self.op_at = self.viewed(nodes.space), self.viewed(nodes.op)
        self.narrow_at = self.viewed(nodes.narrow)
        self.out: tuple[list[Instruction], list[Instruction]] = ([], [])
        self.rows = [0, 0]
        self.constants: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self.pool: list[int] = [0] * POOL_HEADER
        self.lists: dict[bytes, int] = {}
        self.gathered: dict[tuple[int, bytes], int] = {}
        # single operations: a segment has those from `open` on, in S and in L
        size = nodes.count
        self.segments = [nodes.new(size) for _ in range(5)]
        self.segment_at = [self.viewed(column) for column in self.segments]
        self.single, self.open = 0, [-1, -1]
        # loops by `scan`: their steps, and the lists of these; and the numbers that each gives
        self.inner: list[tuple[Inner, Lists]] = []
        self._results: dict[int, list[int]] = {}
        self.split_rows: dict[int, int] = {}
        self.shared = self._place_inputs(split)

    def viewed(self, column: Column) -> Any:
        """A column whose entries are Python's numbers."""
        return memoryview(column) if self.nodes.many else column

    def _place_inputs(self, split: list[int]) -> list[int]:
        """Give inputs the first rows, in their order, and constants the next ones."""
        nodes, row = self.nodes, self.row_at
        inputs = nodes.which(INPUT)
        lanes = {i: k for k, i in enumerate(self.lanes)}
        self.rows[L] = len(self.lanes)
        shared = [i for i in range(len(inputs)) if i not in lanes]
        shared_row = {i: k for k, i in enumerate(shared)}
        self.rows[S] = len(shared)
        self.split_rows = {i: self.new(L, 1) for i in split}
        for i in split:  # contiguous rows of S make one instruction of it
            out = View(L, self.split_rows[i], 1)
            self.append(Instruction("broadcast", out, (View(S, shared_row[i], 1),)))
        for node in inputs:
            i = int(nodes.number[node])
            rows = self.split_rows if i in self.split_rows else lanes
            row[node] = rows[i] if self.space_at[node] == L else shared_row[i]
        for node in nodes.which(CONSTANT):
            if nodes.uses[node]:
                row[node] = self.new(S, 1)
                self.constants[S][row[node]] = float(nodes.number[node])
        return shared

    def new(self, space: int, count: int) -> int:
        """The first of so many new rows."""
        first = self.rows[space]
        self.rows[space] = first + count
        return first

    def give(self, space: int, members: Column) -> int:
        """Give nodes new rows, one after the other; return the first."""
        out = self.new(space, len(members))
        if isinstance(members, np.ndarray):
            self.row[members] = np.arange(out, out + len(members))
        else:
            for k, i in enumerate(members):
                self.row_at[i] = out + k
        return out

    # --- rows of operands ---

    def of(self, nodes: Column) -> Column:
        """The rows of nodes in their own space."""
        if isinstance(nodes, np.ndarray):
            return self.row[nodes]
        row = self.row_at
        return [row[i] for i in nodes]

    def listed(self, rows: Column) -> int:
        """The place in the pool of a list of rows."""
        key = _key(rows)
        place = self.lists.get(key)
        if place is None:
            place = self.lists[key] = len(self.pool)
            self.pool += rows.tolist() if isinstance(rows, np.ndarray) else rows
        return place

    def results_of(self, node: int) -> list[int]:
        """The nodes that are the numbers of a loop."""
        if not self._results:
            for k in self.nodes.which(RESULT):
                self._results.setdefault(int(self.nodes.a[k]), []).append(k)
        return self._results.get(node, [])

    def is_constant(self, i: int) -> bool:
        """Whether a node is a known number; those that passes made are none."""
        return i < self.nodes.count and bool(self.op_at[i] == CONSTANT)

    def _all_constant(self, nodes: Column) -> bool:
        if isinstance(nodes, np.ndarray):
            count = self.nodes.count
            inside = (nodes < count).all()
            return bool(inside and (self.nodes.op[nodes] == CONSTANT).all())
        return all(map(self.is_constant, nodes))

    def _constant_block(self, space: int, nodes: Column) -> Column:
        """Rows of `space` filled with the numbers of constants, one after the other."""
        key = (-1 - space, _key(nodes))
        first = self.gathered.get(key)
        if first is None:
            first = self.gathered[key] = self.new(space, len(nodes))
            for k, node in enumerate(nodes):
                self.constants[space][first + k] = float(self.nodes.number[node])
        rows = range(first, first + len(nodes))
        return np.array(rows) if isinstance(nodes, np.ndarray) else list(rows)

    def rows_in(self, space: int, nodes: Column) -> Column:
        """The rows of nodes as operands in `space`; what is shared is broadcast to lanes first."""
        if space == S:
            if len(nodes) > 1 and self._all_constant(nodes):
                return self._constant_block(S, nodes)
            return self.of(nodes)
        if isinstance(nodes, np.ndarray):
            shared = self.nodes.space[nodes] == S
            missing = nodes[shared & (self.lane_row[nodes] < 0)].tolist()
        else:
            own, lane = self.space_at, self.lane_at
            missing = [i for i in nodes if own[i] == S and lane[i] < 0]
        if missing and self._all_constant(nodes):
            return self._constant_block(L, nodes)
        if missing:
            self.repeat([*dict.fromkeys(missing)])
        if isinstance(nodes, np.ndarray):
            return np.where(shared, self.lane_row[nodes], self.row[nodes])
        return [self.row_at[i] if own[i] == L else lane[i] for i in nodes]

    def repeat(self, missing: Sequence[int]) -> None:
        """Give nodes of S a row in L, too."""
        live = [i for i in missing if not self.is_constant(i)]
        for i in missing:
            if self.is_constant(i):
                self.lane_at[i] = self._constant_block(L, [i])[0]
        if live:
            first = self.new(L, len(live))
            self._copy("broadcast", View(L, first, len(live)), [self.row_at[i] for i in live])
            for k, i in enumerate(live):
                self.lane_at[i] = first + k

    def _copy(self, kind: str, out: View, rows: Column) -> None:
        """Copy rows to new ones: from where they begin, or by a list."""
        listed = not is_run(rows)
        first = self.listed(rows) if listed else int(rows[0])
        source = View(S if kind == "broadcast" else out.space, first, len(rows), listed)
        self.append(Instruction(kind, out, (source,)))

    def contiguous(self, space: int, rows: Column) -> int:
        """The first of contiguous rows with the numbers of `rows`; ~row is a row's negative."""
        if is_run(rows):
            return int(rows[0])
        key = (space, _key(rows))
        found = self.gathered.get(key)
        if found is None:
            found = self.gathered[key] = self.new(space, len(rows))
            self._copy("gather", View(space, found, len(rows)), rows)
        return found

    # --- instructions ---

    def append(self, instruction: Instruction) -> None:
        """Append an instruction, which ends the segment under way in its space."""
        self.end_segment(instruction.out.space)
        self.out[instruction.out.space].append(instruction)

    def append_one(self, code: int, space: int, out: int, rows: Sequence[int]) -> None:
        """An operation on single rows: part of the segment under way, or of a new one."""
        self.begin_segment(space)
        k = self.single
        for column, number in zip(self.segment_at, (code, out, *rows), strict=False):
            column[k] = number
        self.single = k + 1

    def begin_segment(self, space: int) -> None:
        """Have a segment under way in a space, the one that is or a new one."""
        if self.open[space] < 0:
            self.end_segment(1 - space)  # both write into the same columns
            self.open[space] = self.single

    def end_segment(self, space: int) -> None:
        """Append the segment under way in a space, if there is one."""
        first = self.open[space]
        if first >= 0:
            self.open[space] = -1
            rows = self.segment_at[1]
            out = View(space, int(rows[first]), int(rows[self.single - 1] - rows[first]) + 1)
            self.out[space].append(Instruction("segment", out, shape=(first, self.single - first)))

    def finish(self) -> list[Any]:
        """End what is under way; return the columns of segments."""
        self.end_segment(S)
        self.end_segment(L)
        return [np.array(column[: self.single], np.int32) for column in self.segments]


def _key(rows: Column) -> bytes:
    """What tells lists of rows apart."""
    if isinstance(rows, np.ndarray):
        return rows.astype(np.int64).tobytes()
    return array("q", rows).tobytes()


def is_run(rows: Column) -> bool:
    """Whether each row follows the one before, and none is a negative."""
    first = rows[0]
    if first < 0:
        return False
    if isinstance(rows, np.ndarray):
        return bool(rows[-1] - first == len(rows) - 1 and (np.diff(rows) == 1).all())
    return all(row == first + k for k, row in enumerate(rows))


def runs(columns: Sequence[Column]) -> list[int]:
    """Where a run starts: places up to which all columns go up by one, row for row."""
    count = len(columns[0])
    if not isinstance(columns[0], np.ndarray):
        return [
            k for k in range(count) if k == 0 or any(col[k] != col[k - 1] + 1 for col in columns)
        ]
    breaks = np.zeros(count, dtype=bool)
    breaks[0] = True
    for column in columns:
        breaks[1:] |= np.diff(column) != 1
    return [int(k) for k in np.flatnonzero(breaks)]


def product(
    space: int,
    out: int,
    shape: tuple[int, int, int],
    firsts: tuple[int, int, int, int],
    flags: int,
) -> Instruction:
    """A matrix product of this shape, of the rows where matrix, block, bias and init begin; -1 for
    none."""
    n, inner, cols = shape
    matrix, block, bias, init = firsts
    operands = (
        View(S, matrix, n * inner),
        View(space, block, inner * cols),
        View(S, bias, n) if bias >= 0 else None,
        View(space, init, n * cols) if init >= 0 else None,
    )
    return Instruction("product", View(space, out, n * cols), operands, shape, flags=flags)


def dots(
    space: int, out: int, count: int, products: int, singles: int, places: list[int], flags: int
) -> Instruction:
    """So many sums, each of so many products and single terms, whose lists are at these places."""
    views = [View(space, place, count * products, True) for place in places[:2]]
    operands = (
        *(views if products else (None, None)),
        View(space, places[2], count * singles, True) if singles else None,
    )
    shape = (products, singles)
    return Instruction("dot", View(space, out, count), operands, shape, flags=flags)
