"""What each pass of lifting found in a function, as plain data: counts, tables, scalars.

In goes a `Program` that was called. Its function is run once more, with source lines recorded, as
the path used last; so each scalar that it performs is known with its label and its line.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from engine import modes
from engine.compiled.blocks import S
from engine.compiled.columns import CONSTANT, DRAW, INPUT, TAKE
from engine.compiled.describe import titles
from engine.compiled.instructions import ROWS
from engine.compiled.instructions.row import plural
from engine.compiled.program import Program
from engine.compiled.repeats import Repeat, folded
from engine.graph import topological_order
from engine.lifting.by_instructions import lifted_of
from engine.lines import Line, Recorder
from engine.value import Value

SHOWN = 40  # rows of a table
SCALARS = 36  # of an instruction that are listed
AWAY = ("constant", "changes nothing", "computed before", "not used")  # why a scalar fell away


class Scalar(NamedTuple):
    """One operation that the function performed: its sign, the user's name, the source line."""

    op: str
    label: str
    line: Line | None


class Opened(NamedTuple):
    """An instruction with the scalars that it stands for."""

    title: str
    space: str  # "shared" or "lanes"
    size: int
    scalars: list[Scalar]  # the first of them
    lines: list[tuple[str, int]]  # source lines, those of most scalars first


class Table(NamedTuple):
    """A heading for each column, rows of texts and numbers, and how many rows were left out."""

    heads: tuple[str, ...]
    rows: list[tuple[str | int, ...]]
    more: int = 0


class Pass(NamedTuple):
    """What is there after a pass: so many of something, and what was done, in a sentence."""

    name: str
    number: int
    things: str
    said: str
    table: Table | None


class Passes:
    """The passes over the path that a program used last.

    `steps` are the passes, `opened` the instructions with their scalars, and `root_values` what the
    function returned. Raises TraceError as `lifted_of` does, and where the function no longer does
    what it did when it was traced.
    """

    def __init__(self, program: Program) -> None:
        paths, self.lifted = lifted_of(program)
        recorder = Recorder()
        with modes.recorded_by(recorder):
            recording, self.places = paths.record_again()
        self.recorder = recorder
        self.root_values = [y for y in recording.outputs if isinstance(y, Value)]
        guarded = [guard.node for guard in recording.guards]
        nodes = topological_order([*self.root_values, *guarded])
        self.recorded = [node for node in nodes if node.op is not None]
        self.fate = self._fates()
        self.opened = list(self._opened())
        self.steps = list(self._steps())

    def _fates(self) -> list[str | int]:
        """By recorded scalar its instruction, or why it has none, one of `AWAY`."""
        tape, origins = self.lifted.tape, self.lifted.origins
        seen: set[int] = set()
        found: list[str | int] = []
        for node in self.recorded:
            place = self.places[node]
            operands = {self.places.get(a) for a, _ in node._operands() if a is not None}
            if tape.op[place] == CONSTANT:
                found.append("constant")
            elif tape.op[place] in (INPUT, DRAW) or place in operands:
                found.append("changes nothing")
            elif not origins.used[place]:
                found.append("not used")
            elif place in seen:
                found.append("computed before")
            else:
                found.append(origins.instruction[place])
            seen.add(place)
        return found

    def _opened(self) -> Iterator[Opened]:
        blocks = self.lifted.blocks
        inside: dict[int, list[Value]] = {}
        for node, fate in zip(self.recorded, self.fate, strict=True):
            if isinstance(fate, int):
                inside.setdefault(fate, []).append(node)
        spaces = [i.out.space for i in itertools.chain(*blocks.instructions)]
        for k, (title, space) in enumerate(zip(titles(blocks), spaces, strict=True)):
            nodes = inside.get(k, [])
            lines = Counter(str(self._line(node) or "a line that is not known") for node in nodes)
            yield Opened(
                title,
                "shared" if space == S else "lanes",
                len(nodes),
                [Scalar(node._op, node.label, self._line(node)) for node in nodes[:SCALARS]],
                lines.most_common(),
            )

    def _line(self, node: Value) -> Line | None:
        return self.recorder.line(self.recorder.spots.get(node))

    def _steps(self) -> Iterator[Pass]:
        tape, origins = self.lifted.tape, self.lifted.origins
        operations = Counter(node._op for node in self.recorded)
        yield Pass(
            "recorded",
            len(self.recorded),
            "scalar operations",
            "The function ran once on numbers that remember where they come from. However many "
            "examples a batch has, this is recorded for one.",
            _table(("operation", "times"), operations.most_common()),
        )
        kept = [k for k, op in enumerate(tape.op) if origins.instruction[k] >= 0 and op != DRAW]
        away = Counter(fate for fate in self.fate if isinstance(fate, str))
        said = "Nothing fell away: each is used, and is computed once."
        if away:
            said = (
                "What is a constant was computed for good; x × 1 is x; what was computed before "
                "is not computed again; and what no result needs was dropped."
            )
        rows = [(reason, away[reason]) for reason in AWAY if away[reason]]
        yield Pass(
            "dropped", len(kept), "operations left", said, _table(("what fell away", "times"), rows)
        )
        yield self._sums(kept)
        heads = {origins.head[k] for k in kept}
        by_level: dict[tuple[int, int], Counter[str]] = {}
        by_group: dict[int, Counter[str]] = {}
        spaces = [i.out.space for i in itertools.chain(*self.lifted.blocks.instructions)]
        for k in sorted(heads):
            space = spaces[origins.instruction[k]]
            what = "sum" if self._parts[k] > 1 else self._sign(k)
            by_level.setdefault((space, -origins.level[k]), Counter())[what] += 1
        for k in kept:
            by_group.setdefault(origins.group[k], Counter())[self._sign(k)] += 1
        yield Pass(
            "levels",
            len(by_level),
            "levels",
            "Each is computed as late as its users allow: so what corresponds in two neurons, or "
            "in two steps of a sequence, meets on one level. What no example changes comes first.",
            _table(
                ("space", "level", "computed there"),
                [
                    ("shared" if space == S else "lanes", -level, _listed(found))
                    for (space, level), found in sorted(by_level.items())
                ],
            ),
        )
        yield Pass(
            "groups",
            len(by_group),
            "groups",
            "On a level, the same operation on many numbers is one group. Sums in one group become "
            "a matrix product where they share their right-hand sides.",
            _table(
                ("group", "scalars", "which"),
                [
                    (n, found.total(), _listed(found))
                    for n, (_, found) in enumerate(sorted(by_group.items()), 1)
                ],
            ),
        )
        loops = [*self._loops()]
        if loops:
            yield Pass(
                "loops",
                len(loops),
                "loops",
                "What runs step by step is recorded step by step: the same operations, or the same "
                "instructions, again and again. Each becomes a loop, which is emitted once.",
                _table(("loop", "scalars"), loops),
            )
        yield Pass(
            "instructions",
            len(self.opened),
            "instructions",
            "Rows are given out group by group, so that operands lie side by side; where they "
            "can't, they are copied first. Open one to see the scalars that it stands for.",
            None,
        )

    def _loops(self) -> Iterator[tuple[str, int]]:
        """What each loop does, and for how many scalars it stands."""
        opened = iter(self.opened)
        for x in itertools.chain(*map(folded, self.lifted.blocks.instructions)):
            if isinstance(x, Repeat):
                size = sum(next(opened).size for _ in range(x.count * len(x.body)))
                yield f"for t in range({x.count}): {plural(len(x.body), 'instruction')}", size
                continue
            each = next(opened)
            if ROWS[x.kind].is_loop:
                yield each.title, each.size

    def _sums(self, kept: Sequence[int]) -> Pass:
        tape, origins = self.lifted.tape, self.lifted.origins
        self._parts = Counter(origins.head[k] for k in kept)
        forms: dict[int, Counter[str]] = {}
        for k in kept:
            if self._parts[origins.head[k]] > 1:
                forms.setdefault(origins.head[k], Counter())[tape.names[tape.op[k]]] += 1
        found = Counter(_listed(form) for form in forms.values())
        return Pass(
            "sums",
            len(self._parts),
            "sums and single operations",
            "A chain of additions, with the products that it adds, is one sum of products; a "
            "chain of maxima is one largest number.",
            _table(("of", "sums"), found.most_common()),
        )

    def _sign(self, k: int) -> str:
        """The name of an operation of the tape."""
        tape = self.lifted.tape
        return tape.names[tape.op[k]] if tape.op[k] >= 0 else "look-up" * int(tape.op[k] == TAKE)


def _listed(found: Counter[str]) -> str:
    parts = [f"{count:,} {what}" for what, count in found.most_common()]
    return ", ".join(parts[:6]) + ", …" * (len(parts) > 6)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[Hashable, ...]]) -> Table | None:
    shown = [tuple(x if isinstance(x, int) else str(x) for x in row) for row in rows[:SHOWN]]
    return Table(heads, shown, max(0, len(rows) - SHOWN)) if rows else None
