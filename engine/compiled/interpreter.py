"""The interpreter: a program's instructions run one by one in Python, on arrays.

It computes what the emitted code does, and is its slow twin. Matrix products and rows of the table
are functions that Numba compiles (`jitted`), so that it serves as the way of a program that is not
emitted, too.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.compiled import jitted, updates
from engine.compiled.adjoint import Backward
from engine.compiled.blocks import (
    NAN_SEEN,
    NOT_FINITE,
    STEP,
    Array,
    Inner,
    Instruction,
    L,
    Lists,
    S,
    View,
    as_slice,
)
from engine.compiled.instructions import ROWS


@dataclass(slots=True)
class Work:
    """What a call is about: the words of the job (`native.job`), as arrays."""

    starts: Array
    ids: Array
    data: Array
    order: Array
    in_order: bool
    outputs: Array
    fail: Array
    found: Array
    weights: Array
    lane_gradient: Array
    backward: bool
    training: bool
    trusted: int
    theta: Array
    gradient: Array
    places: Array
    rule: Any
    slots: Array
    settings: Array
    mean: bool
    losses: Array
    apart: Array | None = None  # inputs that `data` lacks: machine code alone reads them in place


class Interpreter:
    """A program's buffers for chunks of `lanes` examples, and what its instructions see of it."""

    def __init__(
        self,
        parts: dict[str, Sequence[Instruction]],
        lists: Lists,
        steps: Array,
        buffers: tuple[Array, Array, Array, Array],
        lanes: int,
        checks: Array,
        expected: Array,
        inner: dict[int, Backward],
    ) -> None:
        self.parts, self.lists, self.steps, self.lanes = parts, lists, steps, lanes
        self.see(buffers, lanes)
        self.checks, self.expected, self.inner = checks, expected, inner
        self.ids, self.fail, self.found = (np.zeros(0, np.int64),) * 3
        self._rows_of: dict[View, tuple[Array, Any]] = {}
        self.start = self.trusted = 0
        self._counted = 1

    def see(self, buffers: tuple[Array, Array, Array, Array], lanes: int) -> None:
        """Take the buffers of S, L, and their adjoints, as rows: by the numbers of the spaces."""
        vs, vl, gs, gl = buffers
        self.dtype = vs.dtype
        self._once: dict[int, tuple[Instruction, Any]] = {}  # by the identity of what is held here
        widths = (1, lanes, 1, lanes)
        self.buffers = tuple(
            x[: len(x) // w * w].reshape(-1, w)
            for x, w in zip((vs, vl, gs, gl), widths, strict=True)
        )

    # --- what instructions ask for ---

    def once(self, i: Instruction, make: Callable[[], Any]) -> Any:
        """What an instruction has made of the buffers as they are, at its first run."""
        found = self._once.get(id(i))
        if found is None:
            found = self._once[id(i)] = i, make()
        return found[1]

    def rows(self, view: View | None) -> Array:
        """A run of rows, as an array of its own buffer."""
        assert view is not None
        return self.buffers[view.space][view.first : view.first + view.count]

    def rows_and_signs(self, view: View | None) -> tuple[Any, Any]:
        """The numbers of rows, as a slice if they follow each other, and 1 or -1 for each, in a
        column; 1 if that is for all."""
        assert view is not None
        found = self._rows_of.get(view)
        if found is None:
            listed = self.lists.rows(view)
            signs: Any = self.dtype.type(1)
            if (listed < 0).any():
                signs = np.where(listed < 0, -1, 1)[:, None].astype(self.dtype)
            rows = as_slice(np.where(listed < 0, ~listed, listed))
            found = self._rows_of[view] = rows, signs
        return found

    def send(self, view: View, numbers: Array, adds: bool) -> None:
        """Set listed rows, of which one may be there several times, or add to them."""
        (rows, signs), target = self.rows_and_signs(view), self.buffers[view.space]
        if not adds:
            target[rows] = signs * numbers
        elif isinstance(rows, slice):
            target[rows] += signs * numbers
        else:
            np.add.at(target, rows, signs * numbers)

    def width(self, space: int) -> int:
        """How many numbers a row has."""
        return self.lanes if space & 1 == L else 1

    def counted(self, space: int) -> int:
        """How many of them count."""
        return self._counted if space & 1 == L else 1

    def map(self, name: str, operands: Sequence[Array], out: Array) -> Callable[[], None]:
        """A row of the table, number by number, to be called."""
        given = [x.reshape(-1) for x in (*operands, out)]
        return functools.partial(jitted.map_of(name, self.dtype), *given)

    def edge(
        self, name: str, k: int, g: Array, numbers: Sequence[Array], to: Array, adds: bool
    ) -> Callable[[], None]:
        """What passes from a row's result to its operand k, number by number, to be called."""
        given = [x.reshape(-1) for x in (g, *numbers, to)]
        return functools.partial(
            jitted.edge_of(name, k, self.dtype), *given, adds, self.lists.exact
        )

    def move(self, rule: Any) -> Any:
        """What applies an optimiser's rule to many numbers."""
        return updates.by_numba(rule, self.dtype)

    def fold(self, name: str, source: Array, rows: Array, out: Array) -> None:
        """A row of the table on the first two of so many rows for each of `out`, on what that gives
        and the third, and so on."""
        jitted.fold_of(name, self.dtype)(source, rows, out)

    def product(self, x: Array, y: Array, out: Array) -> None:
        """Add a matrix product."""
        jitted.matrix_product(self.dtype)(np.ascontiguousarray(x), np.ascontiguousarray(y), out)

    def note_nan(self, x: Array) -> None:
        """Note whether there is a nan: the exact rule might have none."""
        if np.isnan(x.max(initial=0.0)):
            self.lists.pool[NAN_SEEN] = 1

    def of_inner(self, step: Inner, lanes: int, place: int) -> Interpreter:
        """The same for the step of a loop, with buffers of its own."""
        widths = (1, lanes)
        values, adjoints = (
            [np.zeros(n * w, self.dtype) for n, w in zip(step.rows, widths, strict=True)]
            for _ in range(2)
        )
        for rows, constants, width in zip(values, step.constants, widths, strict=True):
            for row, number in constants.items():
                rows[row * width : (row + 1) * width] = number
        parts: dict[str, Sequence[Instruction]] = {}
        parts["forward"] = [*itertools.chain(*step.instructions)]
        made = self.inner.get(place)
        if made is not None:
            parts["backward"] = [*made.begin, *made.lanes, *made.shared]
        lists = dataclasses.replace(self.lists, constants=step.constants)
        buffers = (values[S], values[L], adjoints[S], adjoints[L])
        given = (self.checks, self.expected, self.inner)
        found = type(self)(parts, lists, self.steps, buffers, lanes, *given)
        found.start, found._counted = self.start, lanes
        return found

    def run_all(self, part: str) -> None:
        """Run a part, all lanes of it."""
        self._run(part, self.start, self.lanes)

    def run_parts(self, i: Instruction) -> None:
        """Run the instructions that say the same."""
        for each in self.once(i, lambda: [*ROWS[i.kind].parts(self.lists, self.steps, i)]):
            ROWS[each.kind].run(self, each)

    # --- the driver ---

    def _run(self, part: str, start: int = 0, counted: int = 1) -> None:
        self.start, self._counted = start, counted
        for i in self.parts.get(part, ()):
            ROWS[i.kind].run(self, i)

    def drive(
        self,
        work: Work,
        outputs: Sequence[tuple[int, int]],
        inputs: tuple[int, int],
        columns: Sequence[int],
    ) -> int:
        """Run steps as `native.driver` says; return how many were done."""
        self.ids, self.fail, self.found = work.ids, work.fail, work.found
        self.trusted = work.trusted
        # which of the numbers that move the program reads, and their rows in S
        read = work.places >= 0
        self._moving = as_slice(np.flatnonzero(read)), as_slice(work.places[read])
        with np.errstate(all="ignore"):
            for step in range(len(work.starts)):
                if not self._step(work, step, outputs, inputs, columns):
                    return step
        return len(work.starts)

    def _step(
        self,
        work: Work,
        step: int,
        outputs: Sequence[tuple[int, int]],
        inputs: tuple[int, int],
        columns: Sequence[int],
    ) -> bool:
        vs, _, gs, _ = self.buffers
        pool, checked = self.lists.pool, len(self.checks) > 0
        first, last = work.starts[step].tolist()
        count = last - first
        own, places = self._moving
        if work.training:
            vs[places, 0] = work.theta[own]
            work.losses[step] = 0.0
            if checked:
                work.fail[:] = -1
        self._run("begin")
        if work.backward:
            gs[[row for space, row in outputs if space == S]] = self.lists.nothing
        self._run("forward_shared")
        if pool[NOT_FINITE] and not np.isfinite(vs).all():
            pool[NOT_FINITE] = 1
        if checked and work.fail[0] >= 0:
            work.fail[:], work.found[:] = work.fail[0], work.found[0]
        held = 0
        for start in range(0, count, self.lanes):
            held += self._chunk(work, step, start, first, count, outputs, inputs[L], columns)
        for k, (space, row) in enumerate(outputs):
            if space != S:
                continue
            if work.training:
                work.losses[step, k] = vs[row, 0] * max(1, count)
            else:
                work.outputs[k] = vs[row, 0]
            seed = work.weights[k] * (held if count else 1)
            if work.backward and seed != 0.0:
                gs[row] += seed
        if work.training and work.rule and len(outputs) > 1 and work.losses[step, 1] == 0.0:
            return False
        if work.backward:
            self._run("backward_shared")
            scale = 1.0 / work.losses[step, 1] if work.training and work.mean else 1.0
            found = gs[: inputs[S]]
            found *= gs.dtype.type(scale)
            found += 0.0
            self.note_nan(found)
        if not work.training:
            return True
        if pool[NAN_SEEN] or (checked and work.fail[: max(1, count)].max() >= 0):
            return False
        gradient = work.gradient if work.rule else work.gradient.reshape(-1, len(work.theta))[step]
        gradient[:] = 0.0
        gradient[own] = gs[places, 0]
        if work.rule:
            given = (work.theta, gradient, work.slots, work.settings[step])
            updates.apply(work.rule, *given, self.move(work.rule))
            pool[STEP] += 1
        else:
            self.ids = self.ids[count:]
        return True

    def _chunk(
        self,
        work: Work,
        step: int,
        start: int,
        first: int,
        count: int,
        outputs: Sequence[tuple[int, int]],
        inputs: int,
        columns: Sequence[int],
    ) -> int:
        """Run the examples from `start` on; return for how many of them the guards held."""
        _, vl, _, gl = self.buffers
        pool, w = self.lists.pool, min(self.lanes, count - start)
        here = np.full(self.lanes, first + start)
        here[:w] += np.arange(w)
        if work.in_order:
            vl[:inputs] = work.data[:inputs, here]
        else:
            vl[:inputs] = work.data[work.order[here]].T
        self._run("forward_lanes", start, w)
        if pool[NOT_FINITE] and not np.isfinite(vl[:, :w]).all():
            pool[NOT_FINITE] = 1
        for k, (space, row) in enumerate(outputs):
            if space == L and work.training:
                work.losses[step, k] += vl[row, :w].sum()
            elif space == L:
                work.outputs[k, start : start + w] = vl[row, :w]
        if not work.backward:
            return w
        holds = work.fail[start : start + w] < 0 if len(self.checks) else np.ones(w, bool)
        gl[[row for space, row in outputs if space == L]] = self.lists.nothing
        for k, (space, row) in enumerate(outputs):
            if space == L and work.weights[k] != 0.0:
                gl[row, :w][holds] += work.weights[k]
        self._run("backward_lanes", start, w)
        if len(columns):
            found = gl[list(columns), :w].T
            work.lane_gradient[start : start + w] = found + 0.0
            self.note_nan(found)
        return int(holds.sum())
