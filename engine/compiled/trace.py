"""Tracing: run a function once on Values, and note what a replay has to repeat and to check.

In: a function, and its arguments with Values in them. Out: a `Recording`: the results, as nodes of
an ordinary graph, and the guards, draws and look-ups that the graph alone does not tell.

A guard says: this node had this number, and the rest of the path depends on it. Comparisons that
Python branched on, and numbers read by `.data`, become guards; so does a look-up whose index must
be in range. They are kept in the order in which they arose: a guard means something only where
all guards before it hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine import modes
from engine.compiled.changes import run_once
from engine.compiled.surroundings import Surroundings
from engine.conditions import Condition
from engine.errors import TraceError, user_line
from engine.functions import FUNCTIONS, checked_index
from engine.ops import TABLE, Op
from engine.randomness import draw, stream
from engine.trees import flatten
from engine.value import Value, computed_leaf, record, record_result, to_float


@dataclass(frozen=True, slots=True)
class Guard:
    """A node that a replay checks: it equals `number`, or is an index below `number`."""

    node: Value
    kind: Literal["equals", "index"]
    number: float
    line: str  # the user's source line


class Made:
    """The nodes that operations make under trace, told by `Value` as they are made.

    The scopes of a trace refer to it, and nodes to their scopes: so that no cycle stays behind it
    gives up its nodes when the trace ends.
    """

    __slots__ = ("_nodes", "note")

    def __init__(self) -> None:
        self._nodes: list[Value] = []
        self.note: Callable[[Value], None] = self._nodes.append

    def end(self) -> list[Value]:
        """Return the nodes, in the order in which they were made, and note no more."""
        nodes, self._nodes, self.note = self._nodes, [], _forget
        return nodes


def _forget(node: Value) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Recording:
    """What one run of a function left: its results, and what a replay has to know beside them.

    `nodes` are those that operations made, each behind its operands, and perhaps more than the
    results need; what was reached from outside is not among them.
    """

    outputs: list[Value | float]
    rebuild: Callable[[list[Any]], Any]
    inputs: list[Value]
    guards: list[Guard]
    draws: list[Value]
    nodes: list[Value]
    made: Made

    def made_inside(self, node: Value) -> bool:
        """Whether the function made this node, or reached it from outside."""
        return node.scope is not None and node.scope.made is self.made


def is_under(scope: modes.Scope | None, mark: modes.Scope | None) -> bool:
    """Whether a scope is `mark`, or within it."""
    while scope is not None and scope is not mark:
        scope = scope.parent
    return scope is mark


def is_take(op: Op) -> bool:
    """Whether this is a look-up: the index, then the entries that it chooses from."""
    return op.pullback is _pull_back_take


def record_call(
    f: Callable[..., Any],
    build: Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]],
    inputs: list[Value],
    outcomes: Sequence[float],
    around: Surroundings,
    *,
    first: bool = True,
) -> Recording:
    """Run f on the arguments that `build` makes of the Values `inputs`, and return the Recording.

    `outcomes` are the numbers that the first guards are to have, whatever this run computes: a
    replay found them, perhaps by rounding otherwise. `first` says that no other path of the same
    surroundings was traced before. Raises TraceError where f changes what it reads, and TypeError
    where it returns something that holds no numbers.
    """

    def run() -> Recording:
        return _recorded(f, *build(inputs), inputs, outcomes)

    return run_once(run, around, getattr(f, "__name__", type(f).__name__), first=first)


def _recorded(
    f: Callable[..., Any],
    args: Sequence[Any],
    keywords: dict[str, Any],
    inputs: list[Value],
    outcomes: Sequence[float],
) -> Recording:
    trace, made = Trace(outcomes), Made()
    with modes.traced_by(trace), modes.enable_grad(), modes.scope("compiled"):
        modes.state.scope.made = made
        try:
            result = f(*args, **keywords)
        finally:
            nodes = made.end()
    if result is None:
        raise TypeError("the function returned None; does it lack a return statement?")
    outputs, rebuild = flatten(result)
    outputs = [y if isinstance(y, Value) else to_float(y) for y in outputs]
    return Recording(outputs, rebuild, inputs, trace.guards, trace.draws, nodes, made)


class Trace:
    """What `Value` and the functions report to while a function is traced."""

    def __init__(self, outcomes: Sequence[float] = ()) -> None:
        self.guards: list[Guard] = []
        self.draws: list[Value] = []
        self._outcomes = outcomes
        self._known: dict[Value, float] = {}
        self._tables: dict[tuple[int, ...], tuple[Any, list[_Column]]] = {}

    def compare(self, row: str, operands: Sequence[Any], negated: bool) -> Condition:
        """A comparison: a node of the row `row`, not yet decided."""
        given = [x if isinstance(x, Value) else to_float(x) for x in operands]
        node = record(TABLE[row], given)
        return Condition(1.0 - node if negated else node)

    def read(self, node: Value) -> float:
        """The number of a node, on which all that follows may depend: a guard."""
        number = self._known.get(node)
        if number is None:
            k = len(self.guards)
            number = self._outcomes[k] if k < len(self._outcomes) else node._data
            self._known[node] = number
            self.guards.append(Guard(node, "equals", number, user_line()))
        return number

    def random(self) -> Value:
        """A leaf that is drawn anew at every replay."""
        leaf = computed_leaf(draw(stream.seed, stream.step, stream.example, len(self.draws)))
        self.draws.append(leaf)
        return leaf

    def take(self, sequence: Any, index: Value) -> Any:
        """A look-up at replay: one node for each number of an entry, of all entries' numbers."""
        length = len(sequence)
        i = checked_index(index._data, length)
        self.guards.append(Guard(index, "index", float(length), user_line()))
        rows = [flatten(entry)[0] for entry in sequence]
        key = tuple([id(x) for row in rows for x in row])  # entries may be replaced meanwhile
        if key not in self._tables:  # it keeps the numbers, so that their ids stay their own
            self._tables[key] = (rows, _columns(rows))
        columns = self._tables[key][1]
        op = _take_op(length)
        nodes = [
            record_result(op, column[i][1], ((index, index._data), *column)) for column in columns
        ]
        return flatten(sequence[i])[1](nodes)


_Column = tuple[tuple[Value | None, float], ...]
_take_ops: dict[int, Op] = {}


def _columns(rows: list[list[Any]]) -> list[_Column]:
    """For each number of an entry, that number of all entries, as operands."""
    if len({len(row) for row in rows}) != 1:
        raise TraceError(
            f"the entries that take chooses from have different structures, {user_line()}; in a "
            "compiled function each must hold as many numbers as the others"
        )
    return [
        tuple((x, x._data) if isinstance(x, Value) else (None, to_float(x)) for x in column)
        for column in zip(*rows, strict=True)
    ]


def _take_op(length: int) -> Op:
    op = _take_ops.get(length)
    if op is None:
        op = Op("take", "take", None, (0.0,) * (length + 1), pullback=_pull_back_take)
        _take_ops[length] = op
    return op


def _pull_back_take(args: Sequence[Any], out: Any, adjoint: Any) -> Sequence[Any]:
    """The adjoint goes to the entry that was taken; recorded, whichever that will be."""
    index, count = args[0], len(args) - 1
    if not isinstance(adjoint, Value):
        taken = checked_index(out._x, count) % count
        return [None, *[adjoint if t == taken else None for t in range(count)]]
    equal, where = FUNCTIONS["equal"], FUNCTIONS["where"]
    return [None] + [
        where(equal(index, float(t)) + equal(index, float(t - count)), adjoint, -0.0)
        for t in range(count)
    ]
