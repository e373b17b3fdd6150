"""Columns: the nodes that a run of a function made, read off as arrays.

In: a `Recording`. Out: `Columns`, in which the nodes stand in the order in which they were made,
and operands are numbers in place of objects. Nothing is dropped or computed here. Nodes are told
apart by their ids, which are their own as long as the recording lives.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.compiled.scans import Scan, index_of, scan_of
from engine.compiled.sequential import Ints, Longs, loop
from engine.compiled.trace import Recording, is_take
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.value import Value

Array = np.ndarray[Any, np.dtype[Any]]
# What a node is that no row of the table makes. LOOP is one by `scan` or `while_loop`, RESULT a
# number that it gives.
INPUT, CONSTANT, DRAW, TAKE, LOOP, RESULT = range(-1, -7, -1)
UNKNOWN = -7


def coded() -> tuple[dict[Op, int], Array]:
    """The code of each operation, its place in the table, and by code how many operands it has.

    Rows may be added to the table, and replaced in it, at any time.
    """
    return _coded(tuple(TABLE.values()))


@functools.lru_cache(maxsize=4)
def _coded(table: tuple[Op, ...]) -> tuple[dict[Op, int], Array]:
    arity = [op.arity for op in table] + [0] * -UNKNOWN  # the latter for what no row makes
    return {op: code for code, op in enumerate(table)}, np.array(arity, np.int16)


@dataclass(slots=True)
class Columns:
    """Operations by row, behind the rows of `leaves`: a row is a place in `[*leaves, *nodes]`.

    An operand in `a`, `b` and `c` is a row, or ~k for the number `literals[k]`. Of a look-up, `a`
    is the index, and its entries are `c` operands from place `b` on in `entries`; so are the
    operands of a loop, of which `a` is the first. Of a RESULT, `a` is the loop, and `b` says which
    it is. `roots` are the results, followed by the nodes of guards.
    """

    leaves: Sequence[Any]  # inputs, draws, and Values from outside, read or not
    nodes: Sequence[Any]
    code: Array  # the place in the table, or what else it is
    a: Array
    b: Array
    c: Array
    entries: Array
    roots: Array
    literals: Array
    loops: list[Scan]  # in the order of their nodes

    def numbers(self, nodes: Sequence[int]) -> list[float]:
        """What some nodes gave when they were recorded."""
        return [self.nodes[i]._data for i in nodes]


def columns_of(recording: Recording, leaves: Sequence[Value] = ()) -> Columns:
    """Return the columns of a recording. `leaves` are the first of the Values from outside.

    Interior Values from outside bring the graph along that they were computed by.
    """
    reader = _Reader(recording, leaves, recording.nodes)
    roots = [x for x in reader.found if x.op is not None]
    if roots:
        reader = _Reader(recording, leaves, with_outside(recording, roots))
    return reader.columns()


def with_outside(recording: Recording, roots: Sequence[Value]) -> list[Value]:
    """The nodes of a recording behind those from outside, which `roots` depend on."""
    made = {*recording.nodes}
    order = [x for x in topological_order(roots, stop=made) if x.op is not None]
    if any(operand in made for x in order for operand, _ in x._operands()):
        # Nodes that were made in a way of their own, as by unpickling, are among the others.
        ends = [y for y in recording.outputs if isinstance(y, Value)]
        nodes = topological_order([*ends, *[guard.node for guard in recording.guards]])
        return [x for x in nodes if x.op is not None]
    return order + recording.nodes


class _Reader:
    """Operands of all kinds in one column, so that what they are is looked up once.

    Nodes are read some at a time, so that they are fetched from memory but once.
    """

    def __init__(self, recording: Recording, leaves: Sequence[Value], nodes: list[Value]) -> None:
        self.recording, self.nodes = recording, nodes
        self.leaves = [*dict.fromkeys([*recording.inputs, *recording.draws, *leaves])]
        parts = [_read(nodes[k : k + _PART]) for k in range(0, len(nodes), _PART)] or [_read([])]
        self.ids, self.code, a, b = (np.concatenate(x) for x in list(zip(*parts, strict=True))[:4])
        arity = coded()[1][self.code]
        self.second, self.third = np.flatnonzero(arity >= 2), np.flatnonzero(arity == 3)
        self.takes = np.flatnonzero((self.code == TAKE) | (self.code == LOOP))
        chosen = [nodes[i]._operands()[1:] for i in self.takes.tolist()]
        self.lengths = [len(entries) for entries in chosen]
        roots = [*recording.outputs, *[guard.node for guard in recording.guards]]
        self.rest = [nodes[i]._rest[0] for i in self.third.tolist()]
        self.rest += [pair for entries in chosen for pair in entries]
        self.rest += [(y, 0.0) if isinstance(y, Value) else (None, y) for y in roots]
        self.used = np.concatenate([a, b[self.second], _ids([x for x, _ in self.rest])])
        entries = sum(self.lengths)
        self.sizes = [len(nodes), len(self.second), len(self.third), entries, len(roots)]
        numbers = [x for part in parts for x in part[4]]  # of literals
        numbers += [x for part in parts for x in part[5]]
        numbers += [x for y, x in self.rest if y is None]
        self.numbers = np.zeros(len(self.used))
        self.numbers[self.used == id(None)] = numbers
        self._look_up()

    def _look_up(self) -> None:
        """The row of each operand. Those that are no rows yet are `found`, in their order of use,
        and the entries `unknown` of the column are the ones told by `which`."""
        ids = np.concatenate([_ids(self.leaves), self.ids])
        slots = 1 << (4 * len(ids)).bit_length()
        self.row = np.full(len(self.used), -1, np.int32)
        table = np.zeros(slots, np.int32)
        count = len(ids)
        _find_rows.over(count)(ids, self.used, self.row, table, count, len(self.used), slots - 1)
        self.unknown = np.flatnonzero((self.row < 0) & (self.used != id(None)))
        _, first, which = np.unique(self.used[self.unknown], return_index=True, return_inverse=True)
        use = np.full(len(first), 3 * len(self.nodes) + 1)
        np.minimum.at(use, which, self._uses()[self.unknown])
        order = np.lexsort((first, use))
        self.which = np.argsort(order)[which]
        self.found = [self._operand(k) for k in self.unknown[first[order]].tolist()]

    def _operand(self, k: int) -> Value:
        count, with_second = self.sizes[0], sum(self.sizes[:2])
        if k < count:
            found = self.nodes[k]._a
        elif k < with_second:
            found = self.nodes[int(self.second[k - count])]._b
        else:
            found = self.rest[k - with_second][0]
        assert found is not None
        return found

    def _uses(self) -> Array:
        """A number for each operand, in the order of nodes and of their operands."""
        at = [
            3 * np.arange(len(self.nodes)),
            3 * self.second + 1,
            3 * self.third + 2,
            np.repeat(3 * self.takes + 1, self.lengths),
            np.full(self.sizes[4], 3 * len(self.nodes)),
        ]
        return np.concatenate(at)

    def columns(self) -> Columns:
        """All of it as numbers."""
        added: list[Value] = []
        row_of = np.full(len(self.found), -1, np.int32)
        number_of = np.zeros(len(self.found))
        for k, leaf in enumerate(self.found):
            if self.recording.made_inside(leaf):
                number_of[k] = leaf._data
            else:
                row_of[k] = len(self.leaves) + len(added)
                added.append(leaf)
        if added:
            self.row[self.row >= len(self.leaves)] += len(added)
        self.row[self.unknown] = row_of[self.which]
        self.numbers[self.unknown] = number_of[self.which]
        constant = np.flatnonzero(self.row < 0)
        self.row[constant] = ~np.arange(len(constant), dtype=np.int32)
        a, second, third, entries, roots = np.split(self.row, np.cumsum(self.sizes[:-1]))
        b, c = (np.full(len(self.nodes), -1, np.int32) for _ in range(2))
        b[self.second], c[self.third] = second, third
        c[self.takes] = self.lengths
        b[self.takes] = np.cumsum([0, *self.lengths])[:-1]
        results = np.flatnonzero(self.code == RESULT).tolist()
        b[results] = [index_of(_op(self.nodes[i])) or 0 for i in results]
        loops = [scan_of(_op(self.nodes[i])) for i in np.flatnonzero(self.code == LOOP).tolist()]
        columns = (a, b, c, entries, roots, self.numbers[constant])
        return Columns(
            self.leaves + added, self.nodes, self.code, *columns, [x for x in loops if x]
        )


_PART = 4_096  # nodes that are read at a time


def _read(part: list[Value]) -> tuple[Any, ...]:
    """The ids of some nodes, their codes, the ids of their first and second operands, and the
    numbers of those of them that are literals."""
    ops = [x.op for x in part]
    codes, arity_of = coded()
    look_up: Any = codes.get
    code = np.fromiter(map(look_up, ops, itertools.repeat(UNKNOWN)), np.int16, len(part))
    for i in np.flatnonzero(code == UNKNOWN).tolist():
        code[i] = code_beside(_op(part[i]))
    a, b = _ids([x._a for x in part]), _ids([x._b for x in part])
    first = np.flatnonzero(a == id(None)).tolist()
    second = np.flatnonzero((b == id(None)) & (arity_of[code] >= 2)).tolist()
    return _ids(part), code, a, b, [part[i]._x for i in first], [part[i]._y for i in second]


def code_beside(op: Op) -> int:
    """What a node is by an operation that is not in the table."""
    if is_take(op):
        return TAKE
    if scan_of(op) is not None:
        return LOOP
    return UNKNOWN if index_of(op) is None else RESULT


def _op(node: Value) -> Op:
    assert node.op is not None
    return node.op


def _ids(objects: Sequence[object]) -> Array:
    """The ids of objects. An id is where CPython has the object, which is what NumPy's arrays of
    objects are made of; to call `id` for each takes twice as long."""
    held = np.fromiter(objects, object, len(objects))
    ids = np.empty(len(objects), np.int64)
    ctypes.memmove(ids.ctypes.data, held.ctypes.data, ids.nbytes)
    return ids


@loop
def _slot(identity: int, mask: int) -> int:
    """Where to look for an id first. Nodes of one page of memory are kept together."""
    page = ((identity >> 12) * 0x1E3779B97F4A7C15) & 0x7FFFFFFFFFFFFFFF
    return ((page >> 31) & mask & ~255) | ((identity >> 4) & 255 & mask)


@loop
def _find_rows(
    ids: Longs, used: Longs, row: Ints, table: Ints, count: int, operands: int, mask: int
) -> int:
    """The place of each id of `used` among `ids`; `table` has such places plus 1, or 0."""
    for i in range(count):
        at = _slot(ids[i], mask)
        while table[at]:
            at = (at + 1) & mask
        table[at] = i + 1
    for k in range(operands):
        at = _slot(used[k], mask)
        while table[at] and ids[table[at] - 1] != used[k]:
            at = (at + 1) & mask
        if table[at]:
            row[k] = table[at] - 1
    return 0
