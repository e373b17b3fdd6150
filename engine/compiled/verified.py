"""Replays compared with Python: what ``engine.compile(f, verify=True)`` does at every call.

In: a run under way, and what it gave. Each example is computed again eagerly, on Values, with its
gradient recorded, so that rounding has a bound (`rounding`) for both. Where a replay is off by more
than that, the function is recorded once more, and compared with the trace, node by node.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from engine import modes
from engine.calculus import gradients
from engine.compiled.blocks import Array
from engine.compiled.lift import lift
from engine.compiled.machine import Machine
from engine.compiled.paths import Call, Path, Paths, Result
from engine.compiled.rounding import Bounds
from engine.compiled.scans import scan_of, spelled
from engine.compiled.tape import tape_of
from engine.compiled.trace import Recording, record_call
from engine.errors import ReplayError, told
from engine.lines import Recorder, argument_names, name_of, named_leaves
from engine.randomness import drawing, stream
from engine.value import Value, computed_leaf

_ADVICE = (
    "It depends on something that the trace could not see: give that as an argument, or have f "
    "read it from a Value"
)


class VerifiedPaths(Paths):
    """Paths whose runs are compared with eager ones. They keep what was recorded."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.recordings: dict[int, Recording] = {}  # by the id of the path

    @property
    def in_full(self) -> bool:
        """Every call is looked at."""
        return True

    def run_steps(self, *given: Any) -> int:
        """None in machine code: each update is looked at."""
        return 0

    def _path_of(self, recording: Recording, example: list[float]) -> Path:
        path = super()._path_of(recording, example)
        self.recordings[id(path)] = recording
        return path

    @modes.errstate("ignore")
    def _checked(self, call: Call, result: Result) -> Result:
        """Return the result. Raises ReplayError where Python computes something else."""
        shared: dict[tuple[str, int], list[tuple[float, float]]] = {}  # sums over the examples
        for i in range(call.count):
            for key, number, bound, bounds in self._eager(call, i, result.outputs.shape[1]):
                kind, k = key
                if kind == "output":
                    found = result.outputs[i, k]
                elif key in result.columns:
                    found = result.columns[key][i]
                else:
                    shared.setdefault(key, []).append((number, bound))
                    continue
                if not bounds.holds(float(found), number, bound):
                    self._refuse(call, i, key, float(found), number, bound)
        for key, parts in shared.items():
            kind, k = key
            found = result.leaves[k] if kind == "leaf" else result.inputs[self.shared.index(k)]
            terms, errors = zip(*parts, strict=True)
            bound, total = bounds.sum_of(terms, errors), float(np.sum(terms))
            if not bounds.holds(float(found), total, bound):
                example = 0 if call.count == 1 else None
                self._refuse(call, example, key, float(found), total, bound)
        return result

    def _eager(
        self, call: Call, i: int, count: int
    ) -> Iterator[tuple[tuple[str, int], float, float, Bounds]]:
        """The outputs of an example, as many as `count`, and the gradients that are wanted, as
        Python computes them, with their bounds."""
        recorder = _Comparisons()
        with modes.recorded_by(recorder), modes.enable_grad():
            inputs, outputs, _ = call.eager_outputs(i)
            if len(outputs) != count:
                raise ReplayError(
                    f"a replay of {name_of(self.f)} gives {count} numbers, and Python "
                    f"{len(outputs)}. {_ADVICE}"
                )
            wanted = {("input", k): inputs[k] for k in call.wanted.inputs}
            places = call.wanted.leaves
            for k in range(len(self.leaves)) if places is None else places:
                wanted["leaf", k] = self.leaves[k]
            weighted = [y if weight == 1.0 else y * weight for y, weight in call.seeds(outputs)]
            found = {("output", k): y for k, y in enumerate(outputs)}
            if call.weights is not None:
                slopes = gradients(weighted, [*wanted.values()], create_graph=True)
                found |= dict(zip(wanted, slopes, strict=True))
        bounds = Bounds(recorder.spots, self.dtype, recorder.cuts)
        tied = any(bounds.are_tied(*pair) for pair in recorder.pairs)  # then either way is right
        for key, y in found.items():
            node, number = (y, y._data) if isinstance(y, Value) else (None, float(y))
            yield key, number, math.inf if tied else bounds.of(node, number), bounds

    # --- what is said of a difference ---

    def _refuse(
        self,
        call: Call,
        i: int | None,
        key: tuple[str, int],
        found: float,
        number: float,
        bound: float,
    ) -> NoReturn:
        place = f" for example {i}" if self.batched and i is not None else ""
        text = (
            f"a replay of {name_of(self.f)} differs from Python{place}: {self._named(call, key)} "
            f"is {found!r}, and Python computes {number!r}; rounding explains {bound:.1e}"
        )
        for example in range(call.count) if i is None else [i]:
            if node := self._first_node(call, example):
                raise ReplayError(f"{text}. The first operation that differs: {node}. {_ADVICE}")
        raise ReplayError(
            f"{text}. Recorded once more, its operations agree: does it give another result at "
            "each call? If not, this is a mistake of gradloom's; native=False may help"
        )

    def _named(self, call: Call, key: tuple[str, int]) -> str:
        kind, k = key
        if kind == "output":
            return "the result" if isinstance(call.structure, int) else f"output {k}"
        if kind == "leaf":
            return f"the gradient by {self.leaves[k].label or f'the Value read as number {k}'}"
        arguments, _ = call.arguments.build(range(len(call.arguments.is_lane)))
        names = zip(argument_names(self.f, len(arguments)), arguments, strict=True)
        named = {n: name for own, tree in names for name, n in named_leaves(tree, own)}
        return f"the gradient by {named.get(k, f'input {k}')}"

    def _first_node(self, call: Call, i: int) -> str:
        """The first operation of an example that is another one than when it was traced, or gives
        another number."""
        which = np.array([i])
        path = next((p for p in self.paths if call.run_on(p, which, 0)[0][0] < 0), None)
        if path is None:
            return ""
        old, recorder = self.recordings[id(path)], Recorder()
        numbers = call.arguments.example(i)
        inputs = [computed_leaf(x) for x in numbers]
        example = i if self.batched else stream.example
        with modes.recorded_by(recorder), drawing(*call.draws, example):
            given = (self.f, self.build, inputs, (), self.around)
            new = record_call(*given, first=False)
        bounds = Bounds(recorder.spots, self.dtype, recorder.cuts)
        known = dict(zip(old.inputs, numbers, strict=True))
        known |= self._replayed(old, path, numbers, call.draws, example)
        for one, other, differ in _pairs(old, new, spelled(old), spelled(new)):
            if other is not None and one in known:
                number, bound = known[one], bounds.of(other)
                differ = differ or not bounds.holds(number, other._data, bound)
            if differ:
                line = None if other is None else recorder.line(recorder.spots.get(other))
                at = f", at {line}" if line else ""
                return f"{_told(one, known)} in the replay, {_told(other, {})} in Python{at}"
        return ""

    def _replayed(
        self,
        recording: Recording,
        path: Path,
        numbers: Sequence[float],
        draws: tuple[int, int],
        example: int,
    ) -> dict[Value, float]:
        """What machine code gives for each operation that was recorded."""
        nodes: list[Any] = [
            x for x in recording.nodes if x.op is not None and scan_of(x.op) is None
        ]
        tape = tape_of(dataclasses.replace(recording, outputs=nodes), self.leaves)
        machine = Machine(lift(tape, batched=False), [], self.dtype, native=self.native)
        shared: Array = np.array([*numbers, *(x._data for x in tape.leaves)], self.dtype)
        ids, trusted = np.array([example]), len(tape.guards)
        with np.errstate(all="ignore"):
            run = machine.run(shared, np.zeros((0, 0), self.dtype), ids, draws, trusted=trusted)
        return dict(zip(nodes, run.outputs[0].tolist(), strict=True))


class _Comparisons(Recorder):
    """A recorder that keeps what was compared with what."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Value, Any]] = []

    def compared(self, name: str, node: Value, other: Any, swapped: bool) -> None:
        """A node was compared with a number or a node."""
        self.pairs.append((node, other))


def _pairs(
    old: Recording, new: Recording, left: list[Any], right: list[Any], *, exact: bool = False
) -> Iterator[tuple[Value | None, Value | None, bool]]:
    """The operations of two recordings side by side, and whether they are others, in kind or in
    what they are computed of; literals count if this is `exact`. Where steps of loops differ, their
    operations come first. `left` and `right` are how the recordings are spelled."""
    spellings = zip(left[: len(old.nodes)], right[: len(new.nodes)], strict=False)
    for one, other, pair in itertools.zip_longest(old.nodes, new.nodes, spellings):
        if pair is None:
            yield one, other, True
            return
        loops = [scan_of(x.op) for x in (one, other) if x is not None and x.op is not None]
        if pair[0][0] != pair[1][0] and loops[0] is not None and loops[1] is not None:
            steps = loops[0].recording, loops[1].recording
            yield from _pairs(*steps, pair[0][0][1], pair[1][0][1], exact=True)
        kinds = pair if exact else [[x for x in p if not isinstance(x, str)] for p in pair]
        yield one, other, kinds[0] != kinds[1]


def _told(node: Value | None, known: Mapping[Value, float]) -> str:
    """An operation with its operands and its result, as numbers `known` have them."""
    if node is None:
        return "nothing"
    assert node.op is not None
    operands = [(x, y if x is None else known.get(x, y)) for x, y in node._operands()]
    return f"{told(node.op.name, operands)[0]} is {known.get(node, node._data)}"
