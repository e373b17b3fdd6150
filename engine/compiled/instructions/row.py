"""What a row of the table of instructions says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.compiled.blocks import ADJOINT, Array, Inner, Instruction, Lists, View

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.layout import Layout
    from engine.compiled.source.c_statements import Section
    from engine.compiled.source.derive import Derive
    from engine.compiled.source.plain import Plain


class Row(ABC):
    """A row of the table of instructions. A new one says what each of these methods does; one that
    lacks a method without a default is refused when the table is made."""

    kind = ""
    word = ""  # what it is, in a word or two; "" for the operation's name
    family = "reduction"  # of the scalar table, for a colour; "" for what computes nothing wide
    is_start = False  # of sums, which something is added to
    is_copy = False  # of rows as they are: an arrow is enough of a picture
    is_product = False  # of matrices
    is_loop = False  # over operations on single rows
    moves = True  # whether it is emitted for rows, or lists, that are known at run time only

    def named(self, i: Instruction) -> str:
        """What it is, in a word or two."""
        return self.word or i.name

    def colour(self, i: Instruction) -> str:
        """The family of the scalar table whose colour it has."""
        return self.family

    @abstractmethod
    def title(self, lists: Lists, i: Instruction) -> str:
        """What it does, and how large it is."""

    def text(self, lists: Lists, i: Instruction) -> tuple[str, str]:
        """The same, and which rows it writes and reads."""
        operands = [view for view in i.operands if view is not None]
        read = "" if any(view.listed for view in operands) else ", ".join(map(spelled, operands))
        out, *more = map(spelled, self.writes(lists, i))
        where = f"{out}, …" if more else out
        return self.title(lists, i), f"{where} = {read}" if read else where

    def inside(self, lists: Lists, i: Instruction) -> Inner | None:
        """What it does again and again, on rows of its own."""
        return None

    def writes(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The rows that it writes."""
        yield i.out

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The rows that it reads, but for those of `out` where it adds."""
        yield from (view for view in i.operands if view is not None)

    def in_place(self, i: Instruction) -> View | None:
        """The operand that may be inputs of L which are read in place, where the examples lie."""
        return None

    def note_read(self, e: Layout, i: Instruction, read: tuple[Array, Array]) -> None:
        """Note in `read`, by space, which rows its code reads from memory."""
        for view in self.reads(e.lists, i):
            if not view.space & ADJOINT:
                rows = e.lists.rows(view)
                read[view.space][np.where(rows < 0, ~rows, rows)] = True

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """Say in `a` whether `out` depends on what is wanted: if any operand does."""
        if any(map(a.is_wanted, i.operands)):
            a.mark(i.out)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:  # noqa: B027, none passes nothing on
        """Add to `a` the instructions that pass the adjoint of `out` on to the operands."""

    @abstractmethod
    def run(self, m: Interpreter, i: Instruction) -> None:
        """Compute it in Python: the slow twin of what is emitted."""

    def cost(self, i: Instruction) -> int:
        """About how long it takes, forwards and backwards, in tenths of a nanosecond."""
        return 4 * i.out.count

    def emits(self, e: Layout, i: Instruction) -> bool:
        """Whether it can be emitted."""
        return True

    def straight(self, e: Layout, i: Instruction) -> bool:
        """Whether it is emitted as straight-line code that keeps single rows at hand (`AtHand`)."""
        return False

    def fuses(self, some: Sequence[Instruction], i: Instruction) -> bool:
        """Whether `emit` takes i together with some that come right before it."""
        return False

    @abstractmethod
    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Append machine instructions for it, and for more that it fuses with, to a function."""

    # --- as a text ---

    def parts(self, lists: Lists, steps: Array, i: Instruction) -> Iterator[Instruction]:
        """Others of the table that say the same, one after the other: texts have these, where a row
        does not say what they have in its place. `steps` are those of `Backward`."""
        raise TypeError(f"the row {self.kind!r} of the table of instructions has no text")

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """Write it down as statements about arrays, which are those of NumPy and of LaTeX."""
        for each in self.parts(d.lists, d.steps, i):
            d.write_down(each)

    def in_c(self, c: Section, i: Instruction) -> None:
        """Write it down in C, for one example."""
        for each in self.parts(c.lists, c.steps, i):
            c.write_down(each)

    def joins(self, i: Instruction, before: Instruction) -> bool:
        """Whether it is put more plainly together with the one before it, for arrays."""
        return False

    def plainly(self, p: Plain, some: Sequence[Instruction]) -> Iterator[Instruction]:
        """What is written down of it, and of those that it joins, in place of them."""
        yield from some


def spelled(view: View) -> str:
    """Rows as they are called in a text: s0:3 are three of S, dl5 the adjoint of one of L."""
    letter = "d" * (view.space & ADJOINT > 0) + "sl"[view.space % 2]
    if view.listed:
        return f"{view.count} of {letter}"
    end = f":{view.first + view.count}" if view.count > 1 else ""
    return f"{letter}{view.first}{end}"


def plural(count: int, noun: str) -> str:
    """So many of something."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def of_lanes(space: int, cols: int) -> str:
    """How wide a block of so many columns is."""
    if space % 2 == 0:
        return str(cols)
    return "lanes" if cols == 1 else f"{cols} × lanes"
