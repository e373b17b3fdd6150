"""The tape: a recorded graph as flat columns, with constants folded and repetitions dropped.

In: a `Recording`. Out: a `Tape`, in which a node is its place: operands come before results.
Nothing is reordered or rewritten here beyond what keeps every number as it is: operations on
constants are numbers, x * 1, x / 1 and x ** 1 are x, and what was computed before is not
computed again. x * 0 is not 0, nor x - x: x may be infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.columns import (
    CONSTANT,
    DRAW,
    INPUT,
    LOOP,
    RESULT,
    TAKE,
    UNKNOWN,
    Array,
    code_beside,
    coded,
    columns_of,
    with_outside,
)
from engine.compiled.numbering import numbered, reached_by
from engine.compiled.scans import Scan, index_of, scan_of
from engine.compiled.sequential import is_worth_it
from engine.compiled.trace import Recording
from engine.errors import TraceError
from engine.ops import TABLE
from engine.value import Value


class TapeGuard(NamedTuple):
    """A guard of the trace with its node's place; it does not keep the recorded graph alive."""

    place: int
    kind: str  # "equals" or "index"
    number: float
    line: str


@dataclass(slots=True, eq=False)
class Tape:
    """A traced function as columns. `op[i]` is the place of node i's row in `names`, or one of
    INPUT (`number` is the number of the input), CONSTANT (its number), DRAW (its call), TAKE, LOOP
    (`number` is its place in `loops`), RESULT.

    `a`, `b` and `c` are the operands' places, -1 for none. Of TAKE, `a` is the index, and its
    entries are `c` places from `b` on in `entries`; so are the operands of a LOOP, of which `a` is
    the first. Of a RESULT, `a` is the loop, and `b` which of its numbers it is. `leaves` are the
    Values from outside, numbered after the inputs.
    """

    names: list[str]
    op: Array  # int16
    a: Array  # int32, as the next ones
    b: Array
    c: Array
    entries: Array
    number: Array  # float64
    leaves: list[Value] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    guards: list[TapeGuard] = field(default_factory=list)
    recorded: int = 0  # the scalar operations that the function performed
    loops: list[Looped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.op)

    def equals(self, other: Tape) -> bool:
        """Whether both compute the same, leaves and lines aside."""
        mine = (self.op, self.a, self.b, self.c, self.entries)
        others = (other.op, other.a, other.b, other.c, other.entries)
        numbers = self.number.view(np.int64), other.number.view(np.int64)
        same = all(map(np.array_equal, (*mine, numbers[0]), (*others, numbers[1])))
        pairs = zip(self.loops, other.loops, strict=False)
        return same and len(self.loops) == len(other.loops) and all(x.equals(y) for x, y in pairs)


@dataclass(frozen=True, slots=True)
class Looped:
    """A loop of a tape. A step's inputs are the carry and an entry, its leaves are `outside`: which
    of the Values from outside that the loop has among its operands."""

    scan: Scan
    tape: Tape  # of a step
    outside: list[int]

    @classmethod
    def of(cls, scan: Scan) -> Looped:
        """With the tape of a step."""
        tape = tape_of(scan.recording, scan.outside)
        place = {x: k for k, x in enumerate(scan.outside)}
        return cls(scan, tape, [place[x] for x in tape.leaves])

    @property
    def recorded(self) -> int:
        """How many scalar operations there are in all steps; in one, if nobody knows how many."""
        return self.tape.recorded * (1 if self.scan.conditional else self.scan.count)

    def equals(self, other: Looped) -> bool:
        """Whether both compute the same, of the same operands."""
        mine, others = self.scan, other.scan
        return (
            (mine.carries, mine.count, mine.conditional)
            == (others.carries, others.count, others.conditional)
            and self.outside == other.outside
            and self.tape.equals(other.tape)
        )


def tape_of(
    recording: Recording,
    leaves: Sequence[Value] = (),
    places: dict[Value, int] | None = None,
) -> Tape:
    """Return the tape of a recording. `leaves`, as far as it reaches them, come first, in order.

    Into `places` it writes where on the tape each recorded node is, for who wants to look at it.

    Raises TraceError for a node whose operation is not in the table: made by hand, by a custom
    operation, or a checkpoint outside of the function.
    """
    if not is_worth_it(len(recording.nodes)):
        return _Plain(recording, leaves, {} if places is None else places).tape()
    x = columns_of(recording, leaves)
    reached = reached_by(x)
    for i in np.flatnonzero((x.code == UNKNOWN) & (reached[len(x.leaves) :] > 0)).tolist():
        raise TraceError(_unknown(x.nodes[i]))
    found = numbered(x, len(recording.inputs), len(recording.draws), reached)
    if places is not None:
        rows = zip([*x.leaves, *x.nodes], found.place.tolist(), strict=True)
        places.update((node, place) for node, place in rows if place >= 0)
    return Tape(
        [*TABLE],
        *(found.op, found.a, found.b, found.c, found.entries, found.number),
        [x.leaves[row] for row in found.leaves],
        found.results[: len(recording.outputs)],
        _guards(recording, found.results[len(recording.outputs) :]),
        *_with_loops(found.recorded, found.op, x.loops),
    )


def _with_loops(
    recorded: int, op: Sequence[int] | Array, scans: Sequence[Scan]
) -> tuple[int, list[Looped]]:
    """How many scalar operations there are with those of all steps, as far as these are counted;
    and the loops."""
    loops = [*map(Looped.of, scans)]
    codes = np.array(op)
    recorded -= int(((codes == LOOP) | (codes == RESULT)).sum())
    return recorded + sum(x.recorded for x in loops), loops


def _guards(recording: Recording, places: Sequence[int]) -> list[TapeGuard]:
    pairs = zip(recording.guards, places, strict=True)
    return [TapeGuard(place, guard.kind, guard.number, guard.line) for guard, place in pairs]


class _Plain:
    """The same in plain Python, which for few nodes is faster: columns are lists, and what was
    computed before is found in dicts. `place` gets the place of each node."""

    def __init__(
        self, recording: Recording, leaves: Sequence[Value], place: dict[Value, int]
    ) -> None:
        self.recording, self.place = recording, place
        self.codes, _ = coded()
        self.op: list[int] = []
        self.operands: list[tuple[int, int, int]] = []
        self.number: list[float] = []
        self.entries: list[int] = []
        self.known: dict[tuple[int, ...], int] = {}  # the place of each operation computed so far
        self.constants: dict[float | str, int] = {}
        self.ends = [y for y in recording.outputs if isinstance(y, Value)]
        self.ends += [guard.node for guard in recording.guards]
        self.loops: list[Scan] = []
        nodes, used = recording.nodes, self._operands_of(recording.nodes)
        made = {*nodes, *leaves}
        roots = [x for x in used if x.op is not None and x not in made]
        if roots:
            nodes = with_outside(recording, roots)
            used = self._operands_of(nodes)
        reached: set[Value | None] = {*self.ends}
        self.nodes: list[Value] = []
        for node in reversed(nodes):
            if node in reached:
                self.nodes.append(node)
                reached.add(node._a)
                reached.add(node._b)
                if node._rest:
                    reached.update([x for x, _ in node._rest])
        self.nodes.reverse()
        for i, leaf in enumerate(recording.inputs):
            place[leaf] = self.add(INPUT, number=float(i))
        for k, leaf in enumerate(recording.draws):
            place[leaf] = self.add(DRAW, number=float(k))
        outside = dict.fromkeys(leaves)
        found = [x for x in used if x.op is None and x not in place and x not in outside]
        outside |= dict.fromkeys(x for x in found if not recording.made_inside(x))
        self.leaves = [x for x in outside if x in reached and x not in place]
        for k, leaf in enumerate(self.leaves, len(recording.inputs)):
            place[leaf] = self.add(INPUT, number=float(k))

    def _operands_of(self, nodes: Sequence[Value]) -> dict[Value, None]:
        """What some nodes are computed of, and the results, in the order of their first use."""
        found: dict[Any, None] = {}
        for node in nodes:
            found[node._a] = found[node._b] = None
            if node._rest:
                found.update([(x, None) for x, _ in node._rest])
        found.update(dict.fromkeys(self.ends))
        found.pop(None, None)
        return found

    def tape(self) -> Tape:
        """Give each node its place."""
        for node in self.nodes:
            self._place(node)
        outputs = [
            self.operand(y, 0.0) if isinstance(y, Value) else self.constant(y)
            for y in self.recording.outputs
        ]
        guards = [self.operand(guard.node, 0.0) for guard in self.recording.guards]
        operands = np.array(self.operands, np.int32).reshape(-1, 3)
        a, b, c = (column.copy() for column in operands.T)
        return Tape(
            [*TABLE],
            np.array(self.op, np.int16),
            *(a, b, c),
            np.array(self.entries, np.int32),
            np.array(self.number, np.float64),
            self.leaves,
            outputs,
            _guards(self.recording, guards),
            *_with_loops(len(self.nodes), self.op, self.loops),
        )

    def add(self, op: int, a: int = -1, b: int = -1, c: int = -1, number: float = 0.0) -> int:
        """Append a node and return its place."""
        self.op.append(op)
        self.operands.append((a, b, c))
        self.number.append(number)
        return len(self.op) - 1

    def constant(self, x: float) -> int:
        """The place of a number."""
        key: float | str = x if x == x and x != 0.0 else repr(x)  # -0.0 is not 0.0; nan is nan
        found = self.constants.get(key)
        if found is None:
            found = self.constants[key] = self.add(CONSTANT, number=x)
        return found

    def operand(self, x: Value | None, number: float) -> int:
        """The place of an operand, or of the number that it is."""
        found = None if x is None else self.place.get(x)
        if found is None:
            return self.constant(number if x is None else x._data)
        return found

    def _place(self, node: Value) -> None:
        """Give an operation its place: that of one computed before, or a new one."""
        assert node.op is not None
        op, number, place = self.op, self.number, self.place
        code, arity = self.codes.get(node.op, UNKNOWN), node.op.arity
        key: tuple[int, ...]
        a = place.get(node._a)  # type: ignore[arg-type]
        if a is None:
            a = self.operand(node._a, node._x)
        if code == UNKNOWN:
            key = self._beside(node, a)
        elif arity == 1:
            if code == _IDENTITY:
                place[node] = a
                return
            if op[a] == CONSTANT:  # what it gives was computed when it was recorded
                place[node] = self.constant(node._data)
                return
            key = (code, a)
        else:
            b = place.get(node._b)  # type: ignore[arg-type]
            if b is None:
                b = self.operand(node._b, node._y)
            if arity == 3:
                c = self.operand(*node._rest[0])
                if op[a] == CONSTANT:  # `where`: its arm is known
                    place[node] = b if number[a] else c
                    return
                key = (code, a, b, c)
            else:
                if op[b] == CONSTANT:
                    if op[a] == CONSTANT:
                        place[node] = self.constant(node._data)
                        return
                    if number[b] == 1.0 and code in (_MUL, _DIV, _POW):
                        place[node] = a
                        return
                elif code == _MUL and op[a] == CONSTANT and number[a] == 1.0:
                    place[node] = b
                    return
                key = (code, a, b)
        found = self.known.get(key)
        place[node] = self._new(key) if found is None else found

    def _beside(self, node: Value, a: int) -> tuple[int, ...]:
        """The key of an operation that is not in the table."""
        assert node.op is not None
        code, index, scan = code_beside(node.op), index_of(node.op), scan_of(node.op)
        if code == UNKNOWN:
            raise TraceError(_unknown(node))
        if index is not None:
            return (RESULT, a, index)
        operands = [self.operand(x, y) for x, y in node._operands()[1:]]
        if scan is None:
            return (TAKE, a, *operands)
        self.loops.append(scan)  # each is one of its own, whatever its operands are
        return (UNKNOWN - len(self.loops), a, *operands)

    def _new(self, key: tuple[int, ...]) -> int:
        if key[0] == TAKE or key[0] < UNKNOWN:
            loop = UNKNOWN - key[0] - 1  # its place in `loops`
            op, number = (TAKE, 0.0) if key[0] == TAKE else (LOOP, float(loop))
            found = self.add(op, key[1], len(self.entries), len(key) - 2, number)
            self.entries += key[2:]
        else:
            found = self.add(*key)
        self.known[key] = found
        return found


_IDENTITY, _MUL, _DIV, _POW = map([*TABLE].index, ("identity", "mul", "div", "pow"))


def _unknown(node: Value) -> str:
    assert node.op is not None
    label = f" labelled {node.label!r}" if node.label else ""
    return (
        f"the operation {node.op.name!r} of a node{label} is not in the table, so it can't be "
        "compiled: a custom operation, a checkpoint or a node made by hand, reached from outside "
        "of the function; compute it inside, in functions of engine, or give its number as an "
        "argument"
    )
