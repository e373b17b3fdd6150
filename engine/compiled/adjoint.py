"""The adjoint of a program: instructions in, instructions of the same table out.

In: the instructions of both spaces, and the rows whose gradient is wanted. Out: a `Backward`, which
takes the seeds in the adjoints of the outputs and leaves the gradient in those of the wanted rows.
The instructions are gone through from the last to the first; each row of the table says how its
adjoint goes on (`Row.adjoint`), and this is the only place where anything is derived.

What nothing arrives at is skipped. The first that writes to an adjoint sets it, later ones add to
it; only where some of a block's rows were written to are the others filled. Adjoints of S that
chunk after chunk of lanes adds to are filled before the first (`begin`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.compiled.blocks import ADJOINT, Array, Inner, Instruction, L, Lists, S, View, runs_of
from engine.compiled.instructions import ROWS


@dataclass(slots=True)
class Backward:
    """A program's adjoint: what is done before the lanes, for each chunk of them, and after."""

    # For each operation of the segments: 1, 2, 4 where operand 0, 1, 2 gets something; 8, 16, 32
    # where that is added to what is there.
    steps: Array
    begin: list[Instruction] = field(default_factory=list)
    lanes: list[Instruction] = field(default_factory=list)
    shared: list[Instruction] = field(default_factory=list)
    # The adjoints of the steps of loops, by their places.
    inner: dict[int, Backward] = field(default_factory=dict)


def adjoint(
    instructions: tuple[Sequence[Instruction], Sequence[Instruction]],
    lists: Lists,
    rows: tuple[int, int],
    outputs: Sequence[tuple[int, int]],
    wanted: Sequence[tuple[int, int]],
) -> Backward:
    """Return the adjoint. `rows` is how many S and L have; `outputs` and `wanted` are single rows,
    each with its space. Adjoints of the outputs count as filled."""
    return Adjoint(instructions, lists, rows).run(outputs, wanted)


class Adjoint:
    """An adjoint under construction: what the rows of the table see of it."""

    def __init__(
        self,
        instructions: tuple[Sequence[Instruction], Sequence[Instruction]],
        lists: Lists,
        rows: tuple[int, int],
    ) -> None:
        self.instructions, self.lists = instructions, lists
        # Whether a row depends on a wanted one, and whether its adjoint was written to.
        self.depends = (bytearray(rows[S]), bytearray(rows[L]))
        self.written = (bytearray(rows[S]), bytearray(rows[L]))
        self.made = Backward(steps=np.zeros(len(lists.segments.code), np.int32))
        self._section = self.made.lanes

    def run(
        self, outputs: Sequence[tuple[int, int]], wanted: Sequence[tuple[int, int]]
    ) -> Backward:
        """Go through all instructions."""
        for space, row in wanted:
            self.depends[space][row] = 1
        for space in (S, L):
            for i in self.instructions[space]:
                ROWS[i.kind].mark(self, i)
        for space, row in outputs:
            self.written[space][row] = 1
        for space, section in ((L, self.made.lanes), (S, self.made.shared)):
            self._section = section
            for i in reversed(self.instructions[space]):
                ROWS[i.kind].adjoint(self, i)
            rows = np.sort(np.array([row for place, row in wanted if place == space], np.int64))
            for first, _, count in runs_of(rows):
                self.fill(View(space, first, count))
        return self.made

    # --- what depends on what is wanted ---

    def is_wanted(self, view: View | None) -> bool:
        """Whether any of some rows depends on what is wanted."""
        if view is None:
            return False
        depends = self.depends[view.space]
        if not view.listed:
            return 1 in depends[view.first : view.first + view.count]
        rows = self.lists.rows(view)
        if view.count < 32:
            return any(depends[max(row, ~row)] for row in rows.tolist())
        return bool(np.frombuffer(depends, np.uint8)[np.where(rows < 0, ~rows, rows)].any())

    def mark(self, view: View) -> None:
        """Say that a run of rows does."""
        self.depends[view.space][view.first : view.first + view.count] = b"\1" * view.count

    # --- adjoints ---

    def arrived(self, view: View) -> View | None:
        """The adjoints of a run of rows; None where nothing arrived at any of them."""
        if 1 not in self.written[view.space][view.first : view.first + view.count]:
            return None
        self.fill(view)
        return view.adjoint

    def add(
        self, kind: str, target: View, operands: tuple[View | None, ...], **fields: Any
    ) -> None:
        """Append an instruction that contributes to the adjoints of `target`."""
        adds = self._adds(target)
        self._section.append(Instruction(kind, target.adjoint, operands, adds=adds, **fields))

    def put(self, target: View, operands: tuple[View | None, ...]) -> None:
        """Append a "put": it adds to some rows of the target, so that all of them are filled."""
        self.fill(target)
        self._section.append(Instruction("put", target.adjoint, operands, adds=True))

    def of_inner(
        self,
        inner: Inner,
        outputs: Sequence[tuple[int, int]],
        wanted: Sequence[tuple[int, int]],
    ) -> Backward:
        """The adjoint of a loop's step; what it notes about operations is noted here, too."""
        lists = dataclasses.replace(self.lists, constants=inner.constants)
        made = adjoint(inner.instructions, lists, inner.rows, outputs, wanted)
        self.made.steps += made.steps
        self.made.inner |= made.inner
        return made

    def append(self, i: Instruction) -> None:
        """Append an instruction that cares for what it writes to itself."""
        self._section.append(i)

    def _adds(self, target: View) -> bool:
        """Whether something was written to a target before; it counts as written to then."""
        written = self.written[target.space]
        if target.space == S and self._section is self.made.lanes:
            self.fill(target)
            return True
        if not target.listed:
            if 1 in written[target.first : target.first + target.count]:
                self.fill(target)
                return True
        else:
            rows = self.lists.rows(target)
            rows = np.where(rows < 0, ~rows, rows)
            flags = np.frombuffer(written, np.uint8)
            if flags[rows].any() or len({*rows.tolist()}) < target.count:
                self.fill(target)
                return True
        self._set(target)
        return False

    def _set(self, view: View) -> None:
        written = self.written[view.space]
        for first, _, count in self.lists.runs(view):
            written[first : first + count] = b"\1" * count

    def fill(self, view: View) -> None:
        """Have the rows that nothing was written to be filled."""
        written = self.written[view.space]
        shared = view.space == S and self._section is self.made.lanes
        section = self.made.begin if shared else self._section
        for begin, _, count in self.lists.runs(view):
            end = begin + count
            row = written.find(0, begin, end)
            while row >= 0:
                last = written.find(1, row, end)
                last = end if last < 0 else last
                written[row:last] = b"\1" * (last - row)
                out = View(view.space | ADJOINT, row, last - row)
                before = section[-1] if section else None
                if (
                    before is not None
                    and (before.kind, before.out.space) == ("fill", out.space)
                    and before.out.first + before.out.count == row
                ):
                    section.pop()
                    out = before.out._replace(count=before.out.count + out.count)
                section.append(Instruction("fill", out, number=self.lists.nothing))
                row = written.find(0, last, end)
