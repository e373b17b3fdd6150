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

import numpy as np

from engine.compiled.adjoint import adjoint
from engine.compiled.blocks import ADJOINT, Instruction, L, Lists, S, View
from engine.compiled.columns import LOOP, TAKE
from engine.compiled.describe import headline
from engine.compiled.instructions import ROWS
from engine.compiled.instructions.row import plural
from engine.compiled.paths import Lifted, Paths
from engine.compiled.program import Program
from engine.compiled.repeats import Repeat, folded
from engine.compiled.source.inputs import arguments_of, numbers_wanted, parameters_of
from engine.drawing import Arrow, Box, Cluster, Drawing, Key, Picture, Row
from engine.errors import TraceError

LIMIT = 60  # boxes of instructions, beyond which they are rolled up
_FRAMES = (  # by the space of what is written there
    "shared: once a run",
    "lanes: for each example",
    "backward, shared: once a run",
    "backward, lanes: for each example",
)
_LISTED = 8  # of what a tooltip names
_GUARD = "custom"  # the family whose colour guards have


def draw_program(
    program: Program,
    *,
    backward: bool = False,
    limit: int = LIMIT,
    rankdir: Literal["LR", "TB", "RL", "BT"] = "LR",
    theme: Literal["auto", "light", "dark"] = "auto",
    format: Literal["svg", "png", "pdf", "html", "dot", "txt"] = "svg",
) -> Drawing:
    """Return the instructions of a program's path used last as a picture.

    A box says what an instruction does, and for how many scalar operations it stands; frames tell
    what is computed once a run from what is computed for each example. Where there are more than
    `limit` instructions, those of one kind in a row share a box, and copies are arrows only. With
    `backward` the instructions of the gradient are there, too, in frames of their own: what they
    read of the forward ones is what a run keeps.

    Raises TraceError before the program's first call, ValueError for a limit below 1, and TypeError
    for `backward` where the program's result is not one number.

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
    return Drawing(picture_of(program, limit, backward=backward), rankdir, theme, format)


def lifted_of(program: Program) -> tuple[Paths, Lifted]:
    """The paths of a program for its last call's arguments, and the one used last.

    Raises TraceError where it was not called yet.
    """
    paths = program._last
    lifted = paths.lifted() if paths is not None else None
    if paths is None or lifted is None:
        raise TraceError(f"{program!r}: call it once, then there is something to draw")
    return paths, lifted


def picture_of(program: Program, limit: int = LIMIT, *, backward: bool = False) -> Picture:
    """Return the picture of a program's instructions; see `draw_program`."""
    paths, lifted = lifted_of(program)
    return _Writer(program, paths, lifted, limit, backward).picture()


def stood_for(lifted: Lifted) -> Counter[int]:
    """By instruction, the operations of the tape that it stands for; of a loop those of all steps,
    as far as they are counted."""
    tape, instruction = lifted.tape, lifted.origins.instruction
    found = zip(tape.op, instruction, strict=True)
    counts = Counter(k for op, k in found if k >= 0 and (op >= 0 or op == TAKE))
    for node in np.flatnonzero(tape.op == LOOP).tolist():
        if instruction[node] >= 0:
            counts[instruction[node]] += tape.loops[int(tape.number[node])].recorded
    return counts


class _Writer:
    """Writes the picture of one program."""

    def __init__(
        self, program: Program, paths: Paths, lifted: Lifted, limit: int, backward: bool
    ) -> None:
        self.program, self.paths, self.lifted = program, paths, lifted
        self.blocks = lifted.blocks
        instructions, self.lists = self.blocks.instructions, self.blocks.lists
        self.all = [*itertools.chain(*instructions)]
        self.frames = [i.out.space for i in self.all]  # of each, by where it is run
        self.forward = len(self.all)
        # where what repeats begins, the instructions of an iteration, and how many iterations
        self.repeats = [
            *_repeats(instructions[S], 0),
            *_repeats(instructions[L], len(instructions[S])),
        ]
        self.wanted = self._wanted() if backward else []
        if backward:
            given = (instructions, self.lists, self.blocks.rows, self.blocks.outputs, self.wanted)
            back = adjoint(*given)
            for space, section in ((L, back.lanes), (S, back.shared)):
                some = [i for i in section if not ROWS[i.kind].is_start]
                self.repeats += _repeats(some, len(self.all))
                self.all += some
                self.frames += [space | ADJOINT] * len(some)
        self.titles = [ROWS[i.kind].title(self.lists, i) for i in self.all]
        self.scalars = stood_for(lifted)
        # by instruction, the repeat that it is in
        self.repeat_of = {
            k: r
            for r, (first, period, count) in enumerate(self.repeats)
            for k in range(first, first + period * count)
        }
        self.groups = self._groups(limit)

    def _groups(self, limit: int) -> list[list[int]]:
        """The instructions of each box: first each alone, or in all iterations of what repeats,
        then coarser, until they fit."""
        alone, place = [], 0
        for first, period, count in [*self.repeats, (len(self.all), 0, 0)]:
            alone += [[k] for k in range(place, first)]
            place = first + period * count
            alone += [[*range(first + p, place, period)] for p in range(period)]
        self.is_coarse = len(alone) > limit
        if not self.is_coarse:
            return alone

        def where(k: int) -> tuple[int, int]:
            return self.frames[k], self.repeat_of.get(k, -1)

        alone = [group for group in alone if not ROWS[self.all[group[0]].kind].is_copy]
        groups = _in_a_row(alone, lambda k: (where(k), self._kind(k)))
        if len(groups) <= limit:
            return groups
        return _in_a_row(
            groups, lambda k: (where(k), k if ROWS[self.all[k].kind].is_product else -1)
        )

    def _wanted(self) -> list[tuple[int, int]]:
        """The rows whose gradient is wanted."""
        paths, blocks = self.paths, self.blocks
        if not isinstance(paths.paths[0].structure, int):
            raise TypeError(f"{self.program._name()} returns more than one number: no gradient")
        rows = {n: (S, row) for row, n in enumerate(blocks.shared_inputs)}
        rows |= {n: (L, row) for row, n in enumerate(blocks.lane_inputs)}
        rows |= {n: (L, row) for n, row in blocks.split_inputs.items()}
        wanted = self.program._wanted_last(paths)
        return [rows[n] for n in numbers_wanted(paths, paths.paths[0], wanted)]

    def _kind(self, k: int) -> str:
        """What several instructions in a row have in common, if they share a box."""
        return re.sub(r"s\b", "", re.sub(r"\d[\d,]*", "#", self.titles[k]))

    def picture(self) -> Picture:
        inputs = list(self._inputs())
        box_of = self._boxes_of(inputs)
        boxes = [self._box(group) for group in self.groups]
        used: dict[tuple[str, str], set[tuple[int, int]]] = {}
        name = {k: box.id for box, group in zip(boxes, self.groups, strict=True) for k in group}
        for k, i in enumerate(self.all):
            row = ROWS[i.kind]
            written = [x for view in row.writes(self.lists, i) for x in _rows(self.lists, view)]
            read = [x for view in row.reads(self.lists, i) for x in _rows(self.lists, view)]
            if k not in name:  # a copy: its rows come from where those that it copies do
                for (own, to), (space, source) in zip(written, read, strict=True):
                    if source in box_of[space]:
                        box_of[own][to] = box_of[space][source]
                continue
            for space, source in read:
                for source_box in box_of[space].get(source, ()):  # constants have no box
                    if source_box != name[k]:
                        used.setdefault((source_box, name[k]), set()).add((space, source))
            for space, to in written:  # an adjoint is a sum of what several instructions add
                before = box_of[space].get(to, ()) if space & ADJOINT else ()
                box_of[space][to] = (*(x for x in before if x != name[k]), name[k])
        carried = self._carried(used)
        guards, watched = self._guards(box_of)
        gradients = list(self._gradients(inputs, box_of, used))
        arrows = [
            Arrow(a, b, len(rows), detail=plural(len(rows), "number"))
            for (a, b), rows in used.items()
        ]
        roots = {x for space, row in self.blocks.outputs for x in box_of[space].get(row, ())}
        sources = {arrow.source for arrow in (*arrows, *watched)} | roots
        shown = [box for box, _, _ in inputs if box.id in sources] + boxes
        whole = tuple(_as_root(box) if box.id in roots else box for box in shown)
        every = (*whole, *guards, *gradients)
        clusters = [
            Cluster(f"c{space}", title, count=sum(self.scalars[k] for k in self._of(space)))
            for space, title in enumerate(_FRAMES)
            if any(box.cluster == f"c{space}" for box in every)
            or any(self.frames[first] == space for first, _, _ in self.repeats)
        ]
        for r, (first, period, count) in enumerate(self.repeats):
            title = f"for t in range({count})" + f", carries {carried[r]}" * (carried[r] > 0)
            size = sum(self.scalars[k] for k in range(first, first + period * count))
            clusters.append(Cluster(f"r{r}", title, f"c{self.frames[first]}", count=size))
        caption = self._caption(len(every))
        return Picture(every, (*arrows, *watched), tuple(clusters), caption, _legend(every))

    def _carried(self, used: dict[tuple[str, str], set[tuple[int, int]]]) -> list[int]:
        """How many numbers each repeat carries from an iteration to the next. Arrows for these,
        which would go backwards, are taken away."""
        carried = [0] * len(self.repeats)
        place = {f"i{group[-1]}": (n, group[0]) for n, group in enumerate(self.groups)}
        for arrow in [*used]:
            if arrow[0] in place and arrow[1] in place:
                (n, k), (m, j) = place[arrow[0]], place[arrow[1]]
                r = self.repeat_of.get(k, -1)
                if n >= m and r >= 0 and r == self.repeat_of.get(j):
                    carried[r] += round(len(used.pop(arrow)) / (self.repeats[r][2] - 1))
        return carried

    def _boxes_of(
        self, inputs: list[tuple[Box, int, Sequence[int]]]
    ) -> tuple[dict[int, tuple[str, ...]], ...]:
        """By row of S, L and their adjoints, the boxes that it comes from: so far, the inputs, and
        the result for its own adjoint."""
        box_of: tuple[dict[int, tuple[str, ...]], ...] = ({}, {}, {}, {})
        for box, space, rows in inputs:
            box_of[space].update(dict.fromkeys(rows, (box.id,)))
        for space, row in self.blocks.outputs:
            last = [
                k
                for k, group in enumerate(self.groups)
                for i in map(self.all.__getitem__, group)
                for view in ROWS[i.kind].writes(self.lists, i)
                if (space, row) in _rows(self.lists, view)
            ]
            if last:
                box_of[space | ADJOINT][row] = (f"i{self.groups[last[-1]][-1]}",)
        return box_of

    def _gradients(
        self,
        inputs: list[tuple[Box, int, Sequence[int]]],
        box_of: Sequence[dict[int, tuple[str, ...]]],
        used: dict[tuple[str, str], set[tuple[int, int]]],
    ) -> Iterator[Box]:
        """Boxes of what the backward instructions leave for the inputs, with arrows to them."""
        split = {
            self.blocks.shared_inputs.index(n): row for n, row in self.blocks.split_inputs.items()
        }
        wanted = {*self.wanted}
        for box, own, rows in inputs:
            places = [(L, split[row]) if own == S and row in split else (own, row) for row in rows]
            asked = [place for place in places if place in wanted]
            if not asked:
                continue
            space = asked[0][0] | ADJOINT
            title, detail = f"gradient by {box.title}", plural(len(asked), "number")
            made = replace(box, id=f"d{box.id}", title=title, detail=detail, cluster=f"c{space}")
            for _, row in asked:
                for source in box_of[space].get(row, ()):
                    used.setdefault((source, made.id), set()).add((space, row))
            yield _as_root(made)

    def _of(self, space: int) -> Iterator[int]:
        return (k for k in range(len(self.all)) if self.frames[k] == space)

    def _caption(self, boxes: int) -> str:
        name = self.program._name()
        parts = [f"{name}: {headline(self.blocks)}"]
        if len(self.paths.paths) > 1:
            parts.append(f"the path used last of {len(self.paths.paths)}")
        away = self.blocks.recorded - self.scalars.total()
        if away:
            parts.append(f"{away:,} scalars were constants, repeated or not used")
        if len(self.all) > self.forward:
            parts.append(f"{plural(len(self.all) - self.forward, 'instruction')} backward")
        if self.is_coarse:
            parts.append(f"drawn as {boxes} boxes, without copies; print(program) lists them all")
        return "; ".join(parts)

    def _box(self, group: list[int]) -> Box:
        last = group[-1]
        families = {ROWS[self.all[k].kind].colour(self.all[k]) for k in group}
        count = sum(self.scalars[k] for k in group)
        kinds = {self._kind(k) for k in group}
        repeat = self.repeat_of.get(last)
        times = 1 if repeat is None else self.repeats[repeat][2]
        title, label = _spanned([self.titles[k] for k in group]), ""
        repeats = len(group) // times
        listed = [self.titles[k] for k in group[: len(group) // times]]
        if len(kinds) > 1:
            names = Counter(ROWS[self.all[k].kind].named(self.all[k]) for k in group).most_common()
            title, repeats = plural(len(group) // times, "instruction"), 1
            label = ", ".join([name for name, _ in names[:3]]) + ", …" * (len(names) > 3)
            listed = [f"{each // times} × {name}" for name, each in names]
        more = [f"… and {len(listed) - _LISTED} more"] if len(listed) > _LISTED else []
        stands = [plural(count, "scalar operation")] * (last < self.forward)
        return Box(
            id=f"i{last}",
            kind="fold",
            title=title,
            label=label,
            rows=(Row("scalars", count),) if count else (),
            count=count,
            operations=max(1, count),
            repeats=repeats,
            cluster=f"c{self.frames[last]}" if repeat is None else f"r{repeat}",
            family=families.pop() if len(families) == 1 else "",
            detail="\n".join([*listed[:_LISTED], *more, *stands]),
        )

    def _inputs(self) -> Iterator[tuple[Box, int, Sequence[int]]]:
        """Boxes of arguments and of Values that are read, with their space and rows."""
        paths, program = self.paths, self.program
        count = itertools.count()

        def box(name: str, shape: Sequence[int], space: int, what: str) -> Box:
            size = math.prod(shape)
            title = f"{name}: {' × '.join(map(str, shape))}" if shape else name
            detail = f"{what}\n{plural(size, 'number')}"
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

    def _guards(
        self, box_of: Sequence[dict[int, tuple[str, ...]]]
    ) -> tuple[list[Box], list[Arrow]]:
        """What is checked at every run, by the box that it is checked of."""
        tape = self.lifted.tape
        found: dict[tuple[str, int], list[str]] = {}
        for check in self.blocks.checks:
            for source in box_of[check.space].get(check.row, ()):
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


def _repeats(instructions: Sequence[Instruction], first: int) -> Iterator[tuple[int, int, int]]:
    """Where what repeats begins among instructions from number `first` on, how many an iteration
    has, and how many iterations there are."""
    for x in folded(instructions):
        if isinstance(x, Repeat):
            yield first, len(x.body), x.count
            first += len(x.body) * x.count
        else:
            first += 1


def _in_a_row(groups: list[list[int]], key: Callable[[int], object]) -> list[list[int]]:
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


def _rows(lists: Lists, view: View) -> list[tuple[int, int]]:
    """The rows of a view, each with its space."""
    return [(view.space, max(row, ~row)) for row in lists.rows(view).tolist()]


def _legend(boxes: Sequence[Box]) -> tuple[Key, ...]:
    found = dict.fromkeys(box.family for box in boxes if box.operations)
    others = {"": "copies, look-ups and tapes", _GUARD: "guard", "reduction": "sums and products"}
    return tuple(Key("family", family, others.get(family, family)) for family in found)


def _as_root(box: Box) -> Box:
    return replace(box, is_root=True)
