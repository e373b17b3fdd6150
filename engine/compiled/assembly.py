"""Assembly: a program's text in LLVM's language, its parts instruction by instruction, and the
driver that runs them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engine.compiled.blocks import Instruction, L, S
from engine.compiled.instructions import ROWS
from engine.compiled.native.driver import Outline, drive
from engine.compiled.native.function import Function, calls
from engine.compiled.native.layout import Layout

_PIECE = 64  # single operations of a segment that are written out together
_LONG = 500  # lines of a function: the time that LLVM takes grows faster than its length


def text_of(e: Layout, parts: dict[str, Sequence[Instruction]], frame: Outline) -> str:
    """Return the text of a module whose function `drive` runs the parts, by their names."""
    texts: list[str] = []
    declared: set[str] = set()
    for name, instructions in parts.items():
        texts.extend(_functions(e, name, instructions, declared))
    driver = drive(e, frame)
    texts.append(driver.text("drive", "ptr noalias %job", inner=False))
    declared |= driver.declared
    return "\n".join([*sorted(declared), *texts])


def note_read(
    e: Layout,
    instructions: Sequence[Instruction],
    rows: tuple[int, int],
    others: Sequence[tuple[int, int]],
) -> None:
    """Note in the layout which rows are read from memory: by these instructions, and some `others`,
    each with its space. What only a loop uses need not be written there."""
    e.read = np.zeros(rows[S], bool), np.zeros(rows[L], bool)
    for i in instructions:
        ROWS[i.kind].note_read(e, i, e.read)
    for space, row in others:
        e.read[space][row] = True


def _functions(
    e: Layout, name: str, instructions: Sequence[Instruction], declared: set[str]
) -> Iterator[str]:
    """A part as a function; a long one as several, and one that calls them."""
    pieces: list[str] = []
    f = Function(e.number)
    some = [piece for i in instructions for piece in _pieces(e, i)]
    groups = [*_fused(some)]
    for k, (i, *more) in enumerate(groups):
        row = ROWS[i.kind]
        if not row.straight(e, i):
            e.flush(f)
        row.emit(e, f, i, *more)
        last = k + 1 == len(groups)
        # a loop is a function of its own, since it is always worth good code
        alone = row.is_loop or (not last and ROWS[groups[k + 1][0].kind].is_loop)
        if len(f.lines) > _LONG or last or alone:
            e.flush(f)
        if len(f.lines) > _LONG or alone or (pieces and last):
            pieces.append(f"{name}_{len(pieces)}")
            declared |= f.declared
            yield f.text(pieces[-1], good=row.is_loop)
            f = Function(e.number)
    if pieces:
        yield calls(name, pieces)
    else:
        declared |= f.declared
        yield f.text(name)


def _pieces(e: Layout, i: Instruction) -> Iterator[Instruction]:
    """The instruction; a long segment that is written out as several."""
    if not i.kind.startswith("segment") or not e.writes_out(i):
        yield i
        return
    first, count = i.shape
    firsts = range(first, first + count, _PIECE)
    for begin in reversed(firsts) if i.kind == "segment_back" else firsts:
        yield i._replace(shape=(begin, min(_PIECE, first + count - begin)))


def _fused(instructions: Sequence[Instruction]) -> Iterator[list[Instruction]]:
    """Instructions that are emitted together."""
    some: list[Instruction] = []
    for i in instructions:
        if some and i.kind == some[0].kind and ROWS[i.kind].fuses(some, i):
            some.append(i)
            continue
        if some:
            yield some
        some = [i]
    if some:
        yield some


@functools.cache
def sources() -> str:
    """A hash over the code that emits: what it makes is kept on disk."""
    here = Path(__file__).parent
    folders = [here / "native", here / "instructions"]
    files = [Path(__file__), *(file for folder in folders for file in folder.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
