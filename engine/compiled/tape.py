"""The tape: a recorded graph as flat columns, with constants folded and repetitions dropped.

In: a `Recording`. Out: a `Tape`, in which a node is its place: operands come before results.
Nothing is reordered or rewritten here beyond what keeps every number as it is: operations on
constants are computed, x * 1, x / 1 and x ** 1 are x, and what was computed before is not
computed again. x * 0 is not 0, nor x - x: x may be infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.compiled.trace import Recording, is_take
from engine.errors import TraceError
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.value import Value

# What a node is that no row of the table makes; its `number` column says more.
INPUT, CONSTANT, DRAW, TAKE = -1, -2, -3, -4
_SHIFT = 24  # places below 2**24 = 16 million nodes, so that two and a code fit a small int


class TapeGuard(NamedTuple):
    """A guard of the trace with its node's place; it does not keep the recorded graph alive."""

    place: int
    kind: str  # "equals" or "index"
    number: float
    line: str


@dataclass(slots=True)
class Tape:
    """A traced function as columns. `op[i]` is the place of node i's row in `names`, or one of
    INPUT (`number` is the number of the input), CONSTANT (its number), DRAW (its call), TAKE.

    `a`, `b` and `c` are the operands' places, -1 for none; of TAKE, `a` is the index and
    `entries` has the rest. `leaves` are the Values from outside, numbered after the inputs.
    """

    names: list[str]
    op: list[int] = field(default_factory=list)
    a: list[int] = field(default_factory=list)
    b: list[int] = field(default_factory=list)
    c: list[int] = field(default_factory=list)
    number: list[float] = field(default_factory=list)
    entries: dict[int, tuple[int, ...]] = field(default_factory=dict)
    leaves: list[Value] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    guards: list[TapeGuard] = field(default_factory=list)
    recorded: int = 0  # the scalar operations that the function performed

    def __len__(self) -> int:
        return len(self.op)

    def add(self, op: int, a: int = -1, b: int = -1, c: int = -1, number: float = 0.0) -> int:
        """Append a node and return its place."""
        self.op.append(op)
        self.a.append(a)
        self.b.append(b)
        self.c.append(c)
        self.number.append(number)
        return len(self.op) - 1


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
    tape = Tape(list(TABLE))
    codes: dict[Op, int] = {op: code for code, op in enumerate(TABLE.values())}
    identity, mul, div, pow_ = (
        tape.names.index(name) for name in ("identity", "mul", "div", "pow")
    )
    forwards = [op.forward for op in TABLE.values()]
    op_column, number, add = tape.op, tape.number, tape.add
    roots = [y for y in recording.outputs if isinstance(y, Value)]
    order = topological_order([*roots, *[guard.node for guard in recording.guards]])
    known: dict[int | tuple[int, ...], int] = {}  # the place of each operation computed so far
    constants: dict[float | str, int] = {}
    place: dict[Value, int] = {} if places is None else places
    for i, leaf in enumerate(recording.inputs):
        place[leaf] = add(INPUT, number=float(i))
    for k, leaf in enumerate(recording.draws):
        place[leaf] = add(DRAW, number=float(k))
    reached = {node for node in order if node.op is None}
    found_leaves = [leaf for leaf in leaves if leaf in reached and leaf not in place]
    found_leaves += [
        node
        for node in order
        if node.op is None and node not in place and not recording.made_inside(node)
    ]
    for leaf in dict.fromkeys(found_leaves):
        place[leaf] = add(INPUT, number=float(len(recording.inputs) + len(tape.leaves)))
        tape.leaves.append(leaf)

    def constant(x: float) -> int:
        key: float | str = x if x == x and x != 0.0 else repr(x)  # -0.0 is not 0.0; nan is nan
        found = constants.get(key)
        if found is None:
            found = constants[key] = add(CONSTANT, number=x)
        return found

    for node in order:
        op = node.op
        if op is None:
            if node not in place:
                place[node] = constant(node._data)
            continue
        tape.recorded += 1
        code = codes.get(op, TAKE)
        arity = op.arity
        operand = node._a
        a = place[operand] if operand is not None else constant(node._x)
        key: int | tuple[int, ...]
        b = c = -1
        if code == TAKE:
            if not is_take(op):
                raise TraceError(_unknown(op, node))
            entries = tuple(
                constant(x) if entry is None else place[entry] for entry, x in node._operands()[1:]
            )
            key = (TAKE, a, *entries)
        elif arity == 1:
            if code == identity:
                place[node] = a
                continue
            if op_column[a] == CONSTANT:
                place[node] = constant(forwards[code](number[a]))  # type: ignore[misc]
                continue
            key = (code << 2 * _SHIFT) + a
        else:
            operand = node._b
            b = place[operand] if operand is not None else constant(node._y)
            if arity == 2:
                fixed_a, fixed_b = op_column[a] == CONSTANT, op_column[b] == CONSTANT
                if fixed_a and fixed_b:
                    place[node] = constant(forwards[code](number[a], number[b]))  # type: ignore[misc]
                    continue
                if fixed_b and number[b] == 1.0 and code in (mul, div, pow_):
                    place[node] = a
                    continue
                if fixed_a and number[a] == 1.0 and code == mul:
                    place[node] = b
                    continue
                key = (code << 2 * _SHIFT) + (a << _SHIFT) + b
            else:
                operand, x = node._rest[0]
                c = place[operand] if operand is not None else constant(x)
                if op_column[a] == CONSTANT:  # `where`: its arm is known
                    place[node] = b if number[a] else c
                    continue
                key = (code, a, b, c)
        found = known.get(key)
        if found is None:
            found = known[key] = add(code, a, b, c)
            if code == TAKE:
                tape.entries[found] = entries
        place[node] = found
    if len(tape) >> _SHIFT:
        raise TraceError(
            f"the function has {len(tape):,} operations and numbers, and a compiled one has at "
            f"most {1 << _SHIFT:,}; compile the part that it repeats"
        )
    tape.outputs = [place[y] if isinstance(y, Value) else constant(y) for y in recording.outputs]
    tape.guards = [TapeGuard(place[g.node], g.kind, g.number, g.line) for g in recording.guards]
    return tape


def _unknown(op: Op, node: Value) -> str:
    label = f" labelled {node.label!r}" if node.label else ""
    return (
        f"the operation {op.name!r} of a node{label} is not in the table, so it can't be compiled: "
        "a custom operation, a checkpoint or a node made by hand, reached from outside of the "
        "function; compute it inside, in functions of engine, or give its number as an argument"
    )
