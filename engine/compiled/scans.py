"""Scans: loops by `engine.scan` and `engine.while_loop`, as a trace records them.

In: what a step gave when it was run once, on Values that stand for the carry and for an entry. Out:
a `Scan`, which one node of the recording stands for. Its operands are the first carry, the Values
from outside that the step reads, and the entries of all steps; what the loop gives are nodes of
their own, which say which of its numbers they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.ops import Op
from engine.value import Value, record_result

if TYPE_CHECKING:
    from engine.compiled.trace import Recording

Operand = tuple[Value | None, float]


class UnrollError(Exception):
    """A gradient is recorded through a loop: it is to be traced step by step."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A loop of `count` steps, or of at most so many where a condition says how many.

    `recording` is that of a step: of its inputs the first `carries` are the carry, the others an
    entry; its outputs are the next carry, followed by what the step gives, or by the condition.
    """

    recording: Recording
    carries: int
    count: int
    conditional: bool
    outside: list[Value] = field(init=False)  # what the step reads besides its inputs

    def __post_init__(self) -> None:
        object.__setattr__(self, "outside", [*_outside(self.recording)])

    @property
    def columns(self) -> int:
        """How many numbers an entry has."""
        return len(self.recording.inputs) - self.carries

    @property
    def given(self) -> int:
        """How many numbers a step gives besides the carry."""
        return 0 if self.conditional else len(self.recording.outputs) - self.carries

    @property
    def results(self) -> int:
        """How many numbers the loop gives: the last carry, then those of each step; of a
        conditional one how many steps it took, and whether it ended."""
        return self.carries + (2 if self.conditional else self.count * self.given)

    def pull_back(self, args: Sequence[Any], out: Any, adjoint: Any) -> Sequence[Any]:
        """Raise UnrollError: the derivative of a loop is not recorded."""
        raise UnrollError

    def node(self, carry: Iterable[Operand], entries: Iterable[Operand]) -> Value:
        """The node that stands for the loop."""
        operands = [*carry, *((x, x._data) for x in self.outside), *entries]
        name = "while_loop" if self.conditional else "scan"
        op = Op(name, name, None, (0.0,) * len(operands), pullback=self.pull_back)
        return record_result(op, 0.0, operands)


@dataclass(frozen=True, slots=True)
class _Result:
    """Which of a loop's numbers a node is."""

    index: int

    def pull_back(self, args: Sequence[Any], out: Any, adjoint: Any) -> Sequence[Any]:
        raise UnrollError


_result_ops: dict[int, Op] = {}


def result_of(loop: Value, index: int, number: float) -> Value:
    """The node of one of a loop's numbers."""
    op = _result_ops.get(index)
    if op is None:
        op = Op("result", "result", None, (0.0,), pullback=_Result(index).pull_back)
        _result_ops[index] = op
    return record_result(op, number, [(loop, 0.0)])


def scan_of(op: Op) -> Scan | None:
    """The loop that an operation stands for."""
    found = getattr(op.pullback, "__self__", None)
    return found if isinstance(found, Scan) else None


def index_of(op: Op) -> int | None:
    """Which of a loop's numbers an operation gives."""
    found = getattr(op.pullback, "__self__", None)
    return found.index if isinstance(found, _Result) else None


def _outside(recording: Recording) -> Iterable[Value]:
    """What a step reads that it did not make."""
    inside = {*recording.nodes, *recording.inputs}
    read = [x for node in recording.nodes for x, _ in node._operands()]
    read += [y for y in recording.outputs if isinstance(y, Value)]
    found = (x for x in read if x is not None and x not in inside)
    return (x for x in dict.fromkeys(found) if x.op is not None or not recording.made_inside(x))


def same_nodes(one: Recording, other: Recording) -> bool:
    """Whether two runs of a step recorded the same: one that keeps state does not."""
    return spelled(one) == spelled(other)


def spelled(recording: Recording, outer: Mapping[Value, Any] | None = None) -> list[Any]:
    """What tells recordings apart: for each node its operation (of a loop how many steps it has,
    and the same of a step) and its operands, literals as texts; then the results. `outer` are the
    names of what is around a step."""
    level = len(outer or ())
    names = {**(outer or {}), **{x: (level, ~k) for k, x in enumerate(recording.inputs)}}
    names |= {x: (level, k) for k, x in enumerate(recording.nodes)}

    def name(x: Value | float | None, number: float = 0.0) -> Any:
        if not isinstance(x, Value):
            return repr(number if x is None else x)
        if x not in names and x.op is None and recording.made_inside(x):
            return repr(x._data)
        return names.get(x, id(x))

    told: list[Any] = []
    for node in recording.nodes:
        assert node.op is not None
        scan = scan_of(node.op)
        kind = node.op if scan is None else (scan.count, spelled(scan.recording, names))
        told.append((kind, *(name(*pair) for pair in node._operands())))
    return [*told, *map(name, recording.outputs)]
