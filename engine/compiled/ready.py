"""What a machine runs, made ready: its instructions and their adjoint, and code for some width."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.compiled import assembly, objects
from engine.compiled.adjoint import Backward, adjoint
from engine.compiled.blocks import POOL_HEADER, Array, Instruction, L, S, View
from engine.compiled.fingerprints import row_fingerprint
from engine.compiled.instructions import ROWS, matrices
from engine.compiled.interpreter import Interpreter
from engine.compiled.lift import Blocks
from engine.compiled.native import driver
from engine.compiled.native.layout import Layout
from engine.ops import TABLE

NARROW = 64  # inputs of an example, up to which they are copied, and batches read as columns
Buffers = tuple[Array, Array, Array, Array]  # rows of S and of L, adjoints of S and of L


@dataclass(slots=True, eq=False)
class Ready:
    """A machine's instructions made ready for chunks of `width` lanes."""

    width: int
    backward: bool
    training: bool
    hot: bool
    whole: bool  # whether all rows have their numbers, also those that only a loop uses
    drive: Callable[[int], None] | None = None  # None: by the interpreter
    code: objects.Code | None = None  # keeps `drive` alive
    interpreter: Interpreter | None = None
    large: bool = False  # whether it has products for BLAS
    in_place: View | None = None  # inputs of L that are read where the examples lie


class Maker:
    """The instructions of a lifted function, with its guards and its adjoint, for one dtype."""

    def __init__(
        self, blocks: Blocks, wanted: Sequence[tuple[int, int]], dtype: str, native: bool
    ) -> None:
        self.blocks, self.dtype, self.native = blocks, np.dtype(dtype), native
        self.outputs = [(int(space), int(row)) for space, row in blocks.outputs]
        self._wanted = list(wanted)  # space and row
        self.columns = [row for space, row in wanted if space == L]  # adjoints to be asked for
        # The pool has words about the run under way: each machine has its own. The driver's lists
        # are at its end.
        self._listed = len(blocks.lists.pool)
        pool = driver.pool_with_lists(blocks.lists.pool, self.outputs, self.columns)
        self.lists = dataclasses.replace(blocks.lists, pool=pool)
        self.instructions = _with_guards(blocks)
        checks = [(check.row, check.order, check.length) for check in blocks.checks]
        self.checks = np.array(checks, np.int64).reshape(-1, 3)
        with np.errstate(all="ignore"):
            self.expected = np.array([check.number for check in blocks.checks]).astype(dtype)
        self._operations_of: dict[bool, Array] = {}

    @functools.cached_property
    def backward(self) -> Backward:
        """The adjoint of the instructions."""
        given = (self.instructions, self.lists, self.blocks.rows)
        return adjoint(*given, self.outputs, self._wanted)

    def ready(
        self,
        width: int,
        backward: bool,
        training: bool,
        hot: bool,
        whole: bool,
        buffers: Buffers,
    ) -> Ready:
        """Have what runs chunks of some width: machine code, or the interpreter on these buffers,
        where something can't be emitted."""
        parts = self._parts(backward)
        made = Ready(width, backward, training, hot, whole)
        steps = self.backward.steps if backward else np.zeros(0, np.int32)
        size = objects.vector_bytes() if self.native else 32
        e = Layout(self.lists, steps, width, self.dtype.name, size, hot)
        e.inner = self.backward.inner if backward else {}
        every = [i for some in parts.values() for i in some]
        inside = [i for some in self._inside(backward) for i in some]
        if not (self.native and all(ROWS[i.kind].emits(e, i) for i in every + inside)):
            given = (parts, self.lists, steps, buffers, width, self.checks, self.expected, e.inner)
            made.interpreter = Interpreter(*given)
            return made
        frame = driver.Outline(
            self.blocks.rows,
            (len(self.blocks.shared_inputs), len(self.blocks.lane_inputs)),
            self.outputs,
            self._listed,
            self.columns if backward else (),
            len(self.checks) > 0,
            backward,
            training,
            tuple(parts),
        )
        made.in_place = e.in_place = None if whole else self.in_place(backward)
        if not whole:
            checked = [(check.space, check.row) for check in self.blocks.checks]
            assembly.note_read(e, every, self.blocks.rows, [*self.outputs, *checked])
        key = self._key(width, hot, whole, parts, frame)

        def make() -> tuple[None, str]:
            return None, assembly.text_of(e, parts, frame)

        if frame.calls_routines:
            assembly.link(e.number)
        _, made.code = objects.code(key, make, quick=not hot)
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        made.drive = prototype(made.code.address("drive"))
        made.large = any(matrices.is_large(i, width) for i in every + inside)
        return made

    def _parts(self, backward: bool) -> dict[str, Sequence[Instruction]]:
        parts: dict[str, Sequence[Instruction]] = {
            "forward_shared": self.instructions[S],
            "forward_lanes": self.instructions[L],
        }
        if backward:
            made = self.backward
            parts |= {"begin": made.begin, "backward_lanes": made.lanes}
            parts["backward_shared"] = made.shared
        return {name: some for name, some in parts.items() if some}

    def _inside(self, backward: bool) -> Iterator[Sequence[Instruction]]:
        """The instructions of the steps of loops."""
        for step in self.lists.inner:
            yield from step.instructions
        for made in self.backward.inner.values() if backward else ():
            yield from (made.begin, made.lanes, made.shared)

    def in_place(self, backward: bool) -> View | None:
        """The inputs of L that are read in place, if there are any: many, and all of them together
        what products multiply with, and what nothing else reads."""
        inputs = len(self.blocks.lane_inputs)
        every = [i for some in self._parts(backward).values() for i in some]
        own = [ROWS[i.kind].in_place(i) for i in every]
        found = {x for x in own if x and x.space == L and NARROW < x.count <= inputs - x.first}
        if len(found) != 1:
            return None
        (view,) = found
        rows = [row for space, row in self.outputs if space == L]
        rows += [check.row for check in self.blocks.checks if check.space == L]
        for i, mine in zip(every, own, strict=True):
            for x in ROWS[i.kind].reads(self.lists, i):
                if x.space == L and x is not mine:
                    rows += self.lists.rows(x).tolist()
        last = view.first + view.count
        return None if any(view.first <= max(row, ~row) < last for row in rows) else view

    def _key(self, width: int, hot: bool, whole: bool, parts: Any, frame: driver.Outline) -> str:
        """All that the emitted code depends on."""
        lists, s = self.lists, self.lists.segments
        told: list[Any] = [width, self.dtype.name, hot, whole, lists.exact, self._wanted]
        told += [parts, frame, lists.constants, lists.inner]
        told += [*self._inside(frame.backward)]
        columns = [lists.pool[POOL_HEADER:], s.code, s.out, s.a, s.b, s.c]
        columns += [self.backward.steps] if frame.backward else []
        told += [hashlib.sha256(column.tobytes()).hexdigest() for column in columns]
        table = list(TABLE)  # as segments number it
        names = {table[code] for code in np.flatnonzero(np.bincount(s.code)).tolist()} | {"pass_on"}
        some = [*parts.values(), *self._inside(frame.backward)]
        names |= {i.name for part in some for i in part if i.name}
        told += [(name, row_fingerprint(name)) for name in sorted(names)]
        return repr([*told, assembly.sources()])

    def operations(self, backward: bool) -> Array:
        """The operations of segments, as their loop reads them."""
        found = self._operations_of.get(backward)
        if found is None:
            s = self.lists.segments
            steps = self.backward.steps if backward else np.zeros_like(s.code)
            columns = [s.code, s.out, s.a, s.b, s.c, steps]
            found = np.ascontiguousarray(np.stack(columns, axis=1).astype(np.int32))
            found = self._operations_of[backward] = found if len(found) else np.zeros(1, np.int32)
        return found


def _with_guards(blocks: Blocks) -> tuple[list[Instruction], list[Instruction]]:
    """The instructions of S and of L, each with its guards at the end."""
    first, both = 0, (list(blocks.instructions[S]), list(blocks.instructions[L]))
    for space in (S, L):
        count = sum(check.space == space for check in blocks.checks)
        if count:
            both[space].append(Instruction("guard", View(space, 0, 0), shape=(first, count)))
        first += count
    return both
