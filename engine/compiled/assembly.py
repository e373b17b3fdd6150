"""Assembly: a program's text in LLVM's language, its parts instruction by instruction, and the
driver that runs them; and the routines that drivers share, linked to it by name."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.compiled import cache, objects
from engine.compiled.blocks import Instruction, L, S
from engine.compiled.instructions import ROWS
from engine.compiled.native import routines
from engine.compiled.native.driver import Outline, drive
from engine.compiled.native.function import Function, calls
from engine.compiled.native.layout import Layout
from engine.compiled.repeats import Repeat, folded, moved
from engine.compiled.threads import compiling

_PIECE = 64  # single operations of a segment that are written out together
_LONG = 500  # lines of a function: the time that LLVM takes grows faster than its length


def text_of(e: Layout, parts: dict[str, Sequence[Instruction]], frame: Outline) -> str:
    """Return the text of a module whose function `drive` runs the parts, by their names."""
    e.write = write
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
    e: Layout,
    name: str,
    instructions: Sequence[Instruction],
    declared: set[str],
) -> Iterator[str]:
    """A part as a function; a long one as several, and one that calls them."""
    pieces: list[str] = []
    f = Function(e.number)
    groups = [*_groups(e, instructions)]
    for k, group in enumerate(groups):
        _emit(e, f, group)
        last = k + 1 == len(groups)
        # a loop is a function of its own, since it is always worth good code
        alone = _is_loop(group) or (not last and _is_loop(groups[k + 1]))
        if len(f.lines) > _LONG or last or alone:
            e.flush(f)
        if len(f.lines) > _LONG or alone or (pieces and last):
            pieces.append(f"{name}_{len(pieces)}")
            declared |= f.declared
            yield f.text(pieces[-1], good=_is_loop(group))
            f = Function(e.number)
    if pieces:
        yield calls(name, pieces)
    else:
        declared |= f.declared
        yield f.text(name)


def write(e: Layout, f: Function, instructions: Sequence[Instruction]) -> None:
    """Append instructions to a function: those of the step of a loop."""
    for group in _groups(e, instructions):
        _emit(e, f, group)


def _emit(e: Layout, f: Function, group: list[Instruction] | Repeat) -> None:
    if isinstance(group, Repeat):
        e.flush(f)
        _repeat(e, f, group)
        return
    if not ROWS[group[0].kind].straight(e, group[0]):
        e.flush(f)
    ROWS[group[0].kind].emit(e, f, *group)


def _groups(e: Layout, instructions: Sequence[Instruction]) -> Iterator[list[Instruction] | Repeat]:
    """Repeats, and instructions that are emitted together."""
    for repeats, some in itertools.groupby(
        folded(instructions), key=lambda x: isinstance(x, Repeat)
    ):
        if repeats:
            yield from (x for x in some if isinstance(x, Repeat))
            continue
        plain = (x for x in some if isinstance(x, Instruction))
        yield from _fused([piece for i in plain for piece in _pieces(e, i)])


def _is_loop(group: list[Instruction] | Repeat) -> bool:
    return isinstance(group, Repeat) or ROWS[group[0].kind].is_loop


def _repeat(e: Layout, f: Function, repeat: Repeat) -> None:
    """All iterations. Instructions are emitted together where they move on together."""
    strides = dict(zip(map(id, repeat.body), repeat.strides, strict=True))
    groups = [
        [*some]
        for group in _fused(repeat.body)
        for _, some in itertools.groupby(group, key=lambda i: strides[id(i)][0])
    ]

    def iteration(t: Any) -> None:
        for group in groups:
            ROWS[group[0].kind].emit(e, f, *[moved(i, strides[id(i)], t) for i in group])

    f.loop(repeat.count, iteration)


def _pieces(e: Layout, i: Instruction) -> Iterator[Instruction]:
    """The instruction; a long segment that is written out as several."""
    if not i.kind.startswith("segment") or not e.writes_out:
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


_linked: dict[str, objects.Code] = {}  # the routines, by type of numbers


def link(number: str) -> None:
    """Have the routines for a type of numbers found by their names, in all code loaded later."""
    with compiling:
        if number not in _linked:
            key = f"routines of {number}, {sources()}"
            _, code = objects.code(key, lambda: (None, routines.text(number)))
            for name in (routines.name_of(routine, number) for routine in routines.ROUTINES):
                cache.llvm().add_symbol(name, code.address(name))
            _linked[number] = code


@functools.cache
def sources() -> str:
    """A hash over the code that emits: what it makes is kept on disk."""
    here = Path(__file__).parent
    folders = [here / "native", here / "instructions"]
    files = [
        Path(__file__),
        here / "repeats.py",
        here / "bodies.py",
        *(file for folder in folders for file in folder.glob("*.py")),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
