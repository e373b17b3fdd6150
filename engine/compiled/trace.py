"""Tracing: run a function once on Values, and note what a replay has to repeat and to check.

In: a function, and its arguments with Values in them. Out: a `Recording`: the results, as nodes of
an ordinary graph, and the guards, draws and look-ups that the graph alone does not tell.

A guard says: this node had this number, and the rest of the path depends on it. Comparisons that
Python branched on, and numbers read by `.data`, become guards; so does a look-up whose index must
be in range. They are kept in the order in which they arose: a guard means something only where
all guards before it hold.

A loop by `engine.scan` or `engine.while_loop` is recorded as one node, whose step was run once, in
a recording of its own (`scans`).
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine import modes
from engine.calculus import Ruled
from engine.compiled.changes import run_once
from engine.compiled.scans import Operand, Scan, UnrollError, result_of, same_nodes
from engine.compiled.surroundings import Surroundings
from engine.conditions import Condition
from engine.copying import set_operands
from engine.errors import TraceError, user_line
from engine.functions import FUNCTIONS, checked_index, prod
from engine.functions import sum as total_of
from engine.iteration import (
    Step,
    another_step,
    as_condition,
    holds,
    one_step,
    without_end,
)
from engine.ops import TABLE, Op
from engine.randomness import draw, stream
from engine.trees import flatten, flatten_like
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

    __slots__ = ("_nodes", "note", "of_step")

    def __init__(self, *, of_step: bool = False) -> None:
        self.of_step = of_step  # of a loop: what it makes is of no use outside of it
        self._nodes: list[Value] = []
        self.note: Callable[[Value], None] = self._nodes.append

    @property
    def is_over(self) -> bool:
        """Whether this is about a step of a loop, and of no use any more."""
        return self.of_step and self.note is _forget

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
        """Whether the function made this node, or reached it from outside.

        Raises TraceError where it was made in a step of a loop, which is over.
        """
        made = None if node.scope is None else node.scope.made
        if made is not None and made is not self.made and made.is_over:
            raise TraceError(
                "a Value that was made in a step of scan or while_loop is used outside of it; have "
                "the step return it, in the carry or as y"
            )
        return made is self.made


Evaluate = Callable[[Recording, list[Value]], list[float]]
_EAGER = 20_000  # operations of a loop up to which its numbers are computed as Python does


def is_take(op: Op) -> bool:
    """Whether this is a look-up: the index, then the entries that it chooses from."""
    return op.pullback is _pull_back_take


def record_call(
    f: Callable[..., Any],
    build: Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]],
    inputs: list[Value],
    outcomes: Sequence[float],
    around: Surroundings,
    evaluate: Evaluate | None = None,
    *,
    first: bool = True,
    unrolled: bool = False,
) -> Recording:
    """Run f on the arguments that `build` makes of the Values `inputs`, and return the Recording.

    `outcomes` are the numbers that the first guards are to have, whatever this run computes: a
    replay found them, perhaps by rounding otherwise. `evaluate` gives the numbers of a recording's
    outputs, from Values that count as its inputs; it is for loops of very many steps. `first` says
    that no other path of the same surroundings was traced before; with `unrolled` loops by `scan`
    and `while_loop` are traced step by step. Raises TraceError where f changes
    what it reads, and TypeError where it returns something that holds no numbers.
    """

    def run() -> Recording:
        try:
            trace = Trace(outcomes, evaluate, unrolled=unrolled)
            return _recorded(f, *build(inputs), inputs, trace)
        except UnrollError:
            return _recorded(f, *build(inputs), inputs, Trace(outcomes, evaluate, unrolled=True))

    return run_once(run, around, getattr(f, "__name__", type(f).__name__), first=first)


def _recorded(
    f: Callable[..., Any],
    args: Sequence[Any],
    keywords: dict[str, Any],
    inputs: list[Value],
    trace: Trace,
    *,
    rest: bool = False,
) -> Recording:
    """What a run of f records; of a step of a loop, `rest` may be None."""
    made = Made(of_step=rest)
    with modes.traced_by(trace), modes.enable_grad(), modes.scope("compiled"):
        scope = modes.state.scope
        scope.made = made
        for leaf in inputs if rest else ():
            leaf.scope = scope
        try:
            result = f(*args, **keywords)
        finally:
            nodes = made.end()
            for node in nodes:
                if isinstance(node.op, Ruled):  # its derivative was told; now it is its number
                    node.op = TABLE["identity"]
                    set_operands(node, node._operands()[:1])
    if result is None:
        raise TypeError("the function returned None; does it lack a return statement?")
    outputs, rebuild = flatten([x for x in result if x is not None] if rest else result)
    outputs = [y if isinstance(y, Value) else to_float(y) for y in outputs]
    return Recording(outputs, rebuild, inputs, trace.guards, trace.draws, nodes, made)


class Trace:
    """What `Value` and the functions report to while a function is traced; `unrolled` says that
    loops are traced step by step."""

    def __init__(
        self,
        outcomes: Sequence[float] = (),
        evaluate: Evaluate | None = None,
        *,
        unrolled: bool = False,
    ) -> None:
        self.guards: list[Guard] = []
        self.draws: list[Value] = []
        self._demands: list[Any] | None = None  # in a step of a scan: they are asked after it
        self._outcomes, self._evaluate, self.unrolled = outcomes, evaluate, unrolled
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
            number = self._known[node] = self._guard(node)
        return number

    def demand(self, node: Value) -> bool:
        """Whether a condition holds, where else an error is raised: a guard, which in a step of a
        scan is one for all steps."""
        if self._demands is None:
            return bool(self.read(node))
        self._demands.append(node)
        return True

    def _guard(self, node: Value) -> float:
        k = len(self.guards)
        number = self._outcomes[k] if k < len(self._outcomes) else node._data
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

    def scan(self, step: Step, carry: Any, entries: Sequence[Any]) -> tuple[Any, Any] | None:
        """A loop over entries: a node for each of its numbers; None where it has to be traced step
        by step."""
        first = entries[0]
        asked: list[Any] = []
        recording = self._step(lambda c, x: one_step(step, c, x, 0), carry, first, asked)
        rows = _rows_of(entries, first)
        if recording is None or rows is None:
            return None
        given, rebuild = flatten(carry)
        loop = Scan(recording, len(given), len(entries), conditional=False)
        operands = [*_operands(itertools.chain.from_iterable(rows))]

        def steps() -> Iterator[list[float]]:
            last, found = rebuild(_leaves(given)), []
            for t, row in enumerate(rows):
                x = None if first is None else flatten(first)[1](_leaves(row))
                last, y = one_step(step, last, x, t)
                found += _data(flatten(y)[0]) if y is not None else []
                found += [1.0] if asked else []
                yield []
            yield [*_data(flatten_like(last, carry, "the carry")), *found]

        results = self._results(loop, given, operands, steps)
        if results is None:
            return None
        parts = iter(results)
        last = [*itertools.islice(parts, len(given))]
        if not loop.given:
            return rebuild(last), None
        found = [recording.rebuild([*last, *itertools.islice(parts, loop.given)]) for _ in entries]
        if asked:
            held = total_of(parts.pop() for parts in found)
            if not self.demand(FUNCTIONS["equal"](held, float(len(entries)))):
                raise RuntimeError(
                    f"in a step of scan a loop or a solution has not ended as it should, "
                    f"{user_line()}; call the function without compile to see in which"
                )
        return rebuild(last), None if len(found[0]) == 1 else [y for _, y in found]

    def while_loop(
        self, condition: Callable[[Any], Any], step: Step, carry: Any, limit: int
    ) -> tuple[Any] | None:
        """A loop as long as a condition holds, whose end is a guard; None where it has to be traced
        step by step."""

        def both(carry: Any, x: Any) -> tuple[Any, Any]:
            found = as_condition(condition(carry), condition)
            return another_step(step, carry, 0), found

        recording = self._step(both, carry, None)
        if recording is None:
            return None
        given, rebuild = flatten(carry)
        loop = Scan(recording, len(given), limit, conditional=True)

        def steps() -> Iterator[list[float]]:
            last, count = rebuild(_leaves(given)), 0
            while count < limit and holds(condition, last):
                last, count = another_step(step, last, count), count + 1
                yield []
            ended = float(count < limit or not holds(condition, last))
            yield [*_data(flatten_like(last, carry, "the carry")), count, ended]

        results = self._results(loop, given, [], steps)
        if results is None:
            return None
        last, ended = rebuild(results[: len(given)]), results[-1]
        if not self.demand(ended):
            raise RuntimeError(without_end(limit, last))
        return (last,)

    def _results(
        self,
        loop: Scan,
        carry: list[Any],
        entries: list[Operand],
        steps: Callable[[], Iterator[list[float]]],
    ) -> list[Value] | None:
        """The nodes of what a loop gives. The numbers are those that `steps` yields in the end, or
        if there are very many steps what machine code computes; None where they are not as many as
        the step has shown."""
        given = [*_operands(carry)]
        most = _EAGER // (1 + len(loop.recording.nodes)) if self._evaluate else loop.count
        with modes.traced_by(None), modes.no_grad(), modes.scope("numbers"):
            modes.state.scope.made = _Nobody
            last = collections.deque(itertools.islice(steps(), most + 1), maxlen=1)
            numbers = last[0]
        if not numbers and self._evaluate:
            with modes.enable_grad(), modes.scope("numbers"):
                made = modes.state.scope.made = Made()
                node = loop.node(given, entries)
                results: list[Any] = [result_of(node, k, 0.0) for k in range(loop.results)]
                nothing = Recording(results, list, [], [], [], made.end(), made)
            outside = [*dict.fromkeys(x for x, _ in node._operands() if x is not None)]
            numbers = self._evaluate(nothing, outside)
        if len(numbers) != loop.results:
            return None
        with modes.enable_grad():
            node = loop.node(given, entries)
            found = [result_of(node, k, x) for k, x in enumerate(numbers)]
        return found if modes.state.recording else [x.detach() for x in found]

    def _step(
        self, call: Callable[..., Any], carry: Any, x: Any, asked: list[Any] | None = None
    ) -> Recording | None:
        """What a step records; None where it branches, draws, keeps state, or takes no Values. What
        it demands is added to `asked`, if given, and whether all of it holds is its last output."""
        try:
            numbers, rebuild = flatten((carry,) if x is None else (carry, x))
            if self.unrolled or not flatten(carry)[0]:
                return None
            runs = []
            for _ in range(2):
                trace, inputs = Trace((), self._evaluate), _leaves(numbers)
                demands = trace._demands = None if asked is None else []
                args = [*rebuild(inputs), *([None] if x is None else [])]

                def whole(*args: Any, demands: Any = demands) -> tuple[Any, ...]:
                    return (*call(*args), prod(demands) if demands else None)

                runs.append(_recorded(whole, args, {}, inputs, trace, rest=True))
                if trace.guards or trace.draws:
                    return None
                if asked is not None:
                    asked[:] = demands or []
        except Exception:  # it is raised again, step by step, where it is the user's
            return None
        return runs[0] if same_nodes(*runs) else None


class _Nobody:
    """Who is told of nodes that are no one's."""

    is_over = True
    note = staticmethod(_forget)


def _data(numbers: Iterable[Any]) -> list[float]:
    return [x._data if isinstance(x, Value) else to_float(x) for x in numbers]


def _leaves(numbers: Iterable[Any]) -> list[Value]:
    return [computed_leaf(x) for x in _data(numbers)]


def _operands(numbers: Iterable[Any]) -> Iterator[tuple[Value | None, float]]:
    return ((x, x._data) if isinstance(x, Value) else (None, to_float(x)) for x in numbers)


def _rows_of(entries: Sequence[Any], first: Any) -> list[list[Any]] | None:
    """The numbers of each entry; None where they differ in structure, or are none."""
    try:
        if first is None:
            return [[]] * len(entries) if set(entries) == {None} else None
        return [flatten_like(x, first, "an entry") for x in entries]
    except (TypeError, ValueError):
        return None


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
