"""A program as a picture: its instructions as boxes, and which of them use which.

In goes a `Program` that was called; out comes a `Drawing`. Where there are more boxes than a
reader can take in, copies become arrows, and instructions of one kind that follow each other one
box with a count; then everything between two matrix products.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from engine.compiled.describe import headline, titles
from engine.compiled.lift import Instruction, L, S
from engine.compiled.paths import Lifted, Paths
from engine.compiled.program import Program
from engine.compiled.source.inputs import arguments_of, parameters_of
from engine.compiled.tape import TAKE
from engine.drawing import Arrow, Box, Cluster, Drawing, Key, Picture, Row
from engine.errors import TraceError
from engine.ops import TABLE

LIMIT = 60  # boxes of instructions, beyond which they are rolled up
_FRAMES = ("shared: once a run", "lanes: for each example")
_LISTED = 8  # of what a tooltip names
_COPIES = ("gather", "broadcast")
_GUARD = "custom"  # the family whose colour guards have


def draw_program(
    program: Program,
    *,
    limit: int = LIMIT,
    rankdir: Literal["LR", "TB", "RL", "BT"] = "LR",
    theme: Literal["auto", "light", "dark"] = "auto",
    format: Literal["svg", "png", "pdf", "html", "dot", "txt"] = "svg",
) -> Drawing:
    """Return the instructions of a program's path used last as a picture.

    A box says what an instruction does, and for how many scalar operations it stands; frames tell
    what is computed once a run from what is computed for each example. Where there are more than
    `limit` instructions, those of one kind in a row share a box, and copies are arrows only.

    Raises TraceError before the program's first call, ValueError for a limit below 1.

    >>> import engine
    >>> layer = lambda w, x: [engine.tanh(sum(a * b for a, b in zip(row, x))) for row in w]
    >>> program = engine.compile(layer, in_axes=(None, 0))
    >>> h = program([[0.5, -1.0], [2.0, 0.0], [1.0, 1.0]], [[1.0, 2.0]])
    >>> print(draw_program(program))
    tanh of 3 (scalars 3, in lanes: for each example)
    └─ matrix product (3 × 2) @ (2 × lanes) (scalars 12, in lanes: for each example)
       ├─ w: 3 × 2 (in shared: once a run)
       └─ x: 2 (in lanes: for each example)
    (<lambda>: 15 scalar operations became 2 instructions, 1 matrix product)
    """
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"limit is a whole number from 1 on, not {limit!r}")
    return Drawing(picture_of(program, limit), rankdir, theme, format)


def lifted_of(program: Program) -> tuple[Paths, Lifted]:
    """The paths of a program for its last call's arguments, and the one used last.

    Raises TraceError where it was not called yet.
    """
    paths = program._last
    lifted = paths.lifted() if paths is not None else None
    if paths is None or lifted is None:
        raise TraceError(f"{program!r}: call it once, then there is something to draw")
    return paths, lifted


def picture_of(program: Program, limit: int = LIMIT) -> Picture:
    """Return the picture of a program's instructions; see `draw_program`."""
    paths, lifted = lifted_of(program)
    return _Writer(program, paths, lifted, limit).picture()


def stood_for(lifted: Lifted) -> Counter[int]:
    """By instruction, the operations of the tape that it stands for."""
    found = zip(lifted.tape.op, lifted.origins.instruction, strict=True)
    return Counter(k for op, k in found if k >= 0 and (op >= 0 or op == TAKE))


def family_of(instruction: Instruction) -> str:
    """The family that gives an instruction its colour; "" for what computes nothing wide."""
    kernel = instruction.kernel
    if kernel.startswith("ew_"):
        return TABLE[kernel.removeprefix("ew_")].family
    return "reduction" if kernel in ("mm", "dot", "max") else ""


class _Writer:
    """Writes the picture of one program."""

    def __init__(self, program: Program, paths: Paths, lifted: Lifted, limit: int) -> None:
        self.program, self.paths, self.lifted = program, paths, lifted
        self.blocks = lifted.blocks
        self.all = [*itertools.chain(*self.blocks.instructions)]
        self.titles = titles(self.blocks)
        self.scalars = stood_for(lifted)
        self.groups = self._groups(limit)

    def _groups(self, limit: int) -> list[list[int]]:
        """The instructions of each box: first each alone, then coarser, until they fit."""
        alone = [[k] for k in range(len(self.all))]
        if len(alone) <= limit:
            return alone
        alone = [[k] for [k] in alone if not self.all[k].kernel.startswith(_COPIES)]
        groups = _in_a_row(alone, lambda k: (self.all[k].space, self._kind(k)))
        if len(groups) <= limit:
            return groups
        return _in_a_row(
            groups, lambda k: (self.all[k].space, k if self.all[k].kernel == "mm" else -1)
        )

    def _kind(self, k: int) -> str:
        """What several instructions in a row have in common, if they share a box."""
        return re.sub(r"s\b", "", re.sub(r"\d[\d,]*", "#", self.titles[k]))

    def picture(self) -> Picture:
        inputs = list(self._inputs())
        box_of: tuple[dict[int, str], dict[int, str]] = ({}, {})  # by row of S and L
        for box, space, rows in inputs:
            box_of[space].update(dict.fromkeys(rows, box.id))
        boxes = [self._box(group) for group in self.groups]
        used: dict[tuple[str, str], set[tuple[int, int]]] = {}
        name = {k: box.id for box, group in zip(boxes, self.groups, strict=True) for k in group}
        for k, instruction in enumerate(self.all):
            own = box_of[instruction.space]
            written = self.blocks.written(instruction)
            if k not in name:  # a copy: its rows come from where those that it copies do
                for row, (space, source) in zip(
                    written, self.blocks.read(instruction), strict=True
                ):
                    if source in box_of[space]:
                        own[row] = box_of[space][source]
                continue
            for space, row in self.blocks.read(instruction):
                source_box = box_of[space].get(row, name[k])  # constants have no box
                if source_box != name[k]:
                    used.setdefault((source_box, name[k]), set()).add((space, row))
            own.update(dict.fromkeys(written, name[k]))
        guards, watched = self._guards(box_of)
        arrows = [
            Arrow(a, b, len(rows), detail=_plural(len(rows), "number"))
            for (a, b), rows in used.items()
        ]
        roots = {box_of[space].get(row) for space, row in self.blocks.outputs}
        sources = {arrow.source for arrow in (*arrows, *watched)} | roots
        shown = [box for box, _, _ in inputs if box.id in sources] + boxes
        whole = tuple(_as_root(box) if box.id in roots else box for box in shown)
        every = (*whole, *guards)
        clusters = [
            Cluster(f"c{space}", title, count=sum(self.scalars[k] for k in self._of(space)))
            for space, title in enumerate(_FRAMES)
            if any(box.cluster == f"c{space}" for box in every)
        ]
        caption = self._caption(len(every))
        return Picture(every, (*arrows, *watched), tuple(clusters), caption, _legend(every))

    def _of(self, space: int) -> Iterator[int]:
        return (k for k, i in enumerate(self.all) if i.space == space)

    def _caption(self, boxes: int) -> str:
        name = self.program._name()
        parts = [f"{name}: {headline(self.blocks)}"]
        if len(self.paths.paths) > 1:
            parts.append(f"the path used last of {len(self.paths.paths)}")
        away = self.blocks.recorded - self.scalars.total()
        if away:
            parts.append(f"{away:,} scalars were constants, repeated or not used")
        if len(self.groups) < len(self.all):
            parts.append(f"drawn as {boxes} boxes, without copies; print(program) lists them all")
        return "; ".join(parts)

    def _box(self, group: list[int]) -> Box:
        first, last = self.all[group[0]], group[-1]
        families = {family_of(self.all[k]) for k in group}
        count = sum(self.scalars[k] for k in group)
        kinds = {self._kind(k) for k in group}
        title, label, repeats = _spanned([self.titles[k] for k in group]), "", len(group)
        listed = [self.titles[k] for k in group]
        if len(kinds) > 1:
            names = Counter(_name(self.all[k]) for k in group).most_common()
            title, repeats = _plural(len(group), "instruction"), 1
            label = ", ".join([name for name, _ in names[:3]]) + ", …" * (len(names) > 3)
            listed = [f"{times} × {name}" for name, times in names]
        more = [f"… and {len(listed) - _LISTED} more"] if len(listed) > _LISTED else []
        return Box(
            id=f"i{last}",
            kind="fold",
            title=title,
            label=label,
            rows=(Row("scalars", count),) if count else (),
            count=count,
            operations=max(1, count),
            repeats=repeats,
            cluster=f"c{first.space}",
            family=families.pop() if len(families) == 1 else "",
            detail="\n".join([*listed[:_LISTED], *more, _plural(count, "scalar operation")]),
        )

    def _inputs(self) -> Iterator[tuple[Box, int, Sequence[int]]]:
        """Boxes of arguments and of Values that are read, with their space and rows."""
        paths, program = self.paths, self.program
        count = itertools.count()

        def box(name: str, shape: Sequence[int], space: int, what: str) -> Box:
            size = math.prod(shape)
            title = f"{name}: {' × '.join(map(str, shape))}" if shape else name
            detail = f"{what}\n{_plural(size, 'number')}"
            frame = f"c{space}"
            return Box(f"x{next(count)}", "fold", title, count=size, cluster=frame, detail=detail)

        next_row = [0, 0]
        for name, _, lane, shape in arguments_of(program._f, paths.signature, paths.positional):
            space, size = (L if lane else S), math.prod(shape)
            rows = range(next_row[space], next_row[space] + size)
            next_row[space] += size
            yield box(name, shape, space, "an argument"), space, rows
        leaves = [paths.leaves[k] for k in paths.paths[0].leaf_places.tolist()]
        named = program._parameter_names()
        for name, shape, found in parameters_of(leaves, next_row[S], self.blocks, named):
            yield box(name, shape, S, "Values that the function reads"), S, found

    def _guards(self, box_of: Sequence[dict[int, str]]) -> tuple[list[Box], list[Arrow]]:
        """What is checked at every run, by the box that it is checked of."""
        tape = self.lifted.tape
        found: dict[tuple[str, int], list[str]] = {}
        for check in self.blocks.checks:
            source = box_of[check.space].get(check.row)
            if source is not None:
                says = f"is {check.number:g}"
                if check.length:
                    says = f"is an index below {check.length}"
                line = tape.guards[check.order].line
                found.setdefault((source, check.space), []).append(f"{says}, {line}")
        boxes, arrows = [], []
        for k, ((source, space), lines) in enumerate(found.items()):
            title = (
                f"guard: {lines[0].split(',')[0]}" if len(lines) == 1 else f"{len(lines)} guards"
            )
            more = [f"… and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
            detail = "\n".join(["checked at every run", *lines[:_LISTED], *more])
            box = Box(f"k{k}", "fold", title, count=0, operations=1, family=_GUARD, detail=detail)
            boxes.append(replace(box, cluster=f"c{space}"))
            arrows.append(Arrow(source, f"k{k}", len(lines)))
        return boxes, arrows


def _in_a_row(groups: list[list[int]], key: Callable[[int], tuple[int, object]]) -> list[list[int]]:
    """Groups that follow each other and have the same key, as one."""
    return [
        [k for group in same for k in group]
        for _, same in itertools.groupby(groups, key=lambda group: key(group[0]))
    ]


def _spanned(texts: list[str]) -> str:
    """The text that several have in common: "4 largest of 3 to 16"."""
    parts = [re.split(r"(\d[\d,]*)", text) for text in texts]
    last = parts[-1]
    for at in range(1, len(last), 2):
        found = [int(part[at].replace(",", "")) for part in parts if at < len(part)]
        if min(found) < max(found):
            last[at] = f"{min(found):,} to {max(found):,}"
    return "".join(last)


def _name(instruction: Instruction) -> str:
    """What an instruction is, in a word or two."""
    kernel = instruction.kernel
    words = {"dot": "sums", "max": "largest", "segment": "tape", "mm": "matrix product"}
    return words.get(kernel, kernel.removeprefix("ew_"))


def _legend(boxes: Sequence[Box]) -> tuple[Key, ...]:
    found = dict.fromkeys(box.family for box in boxes if box.operations)
    others = {"": "copies, look-ups and tapes", _GUARD: "guard", "reduction": "sums and products"}
    return tuple(Key("family", family, others.get(family, family)) for family in found)


def _as_root(box: Box) -> Box:
    return replace(box, is_root=True)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
