"""What a compiled function became, as text: its instructions, for a learner to read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from engine.compiled.blocks import Instruction, L, Lists, S
from engine.compiled.instructions import ROWS
from engine.compiled.instructions.row import plural
from engine.compiled.lift import Blocks
from engine.compiled.paths import Paths
from engine.compiled.repeats import Repeat, folded


def describe(name: str, paths: Paths) -> str:
    """Return the instructions of the path used last, with their shapes.

    Rows of S are single numbers, shared by the batch; rows of L have a number for each lane.
    """
    path = paths.paths[0]
    lifted = [blocks for key, blocks in path.blocks.items() if key[0]]
    if not lifted:
        return f"{name}: not run yet"
    blocks = lifted[-1]
    lines = [
        f"{name}: {headline(blocks)}",
        f"inputs: {plural(len(blocks.shared_inputs), 'number')} shared, "
        f"{len(blocks.lane_inputs)} in each lane",
    ]
    if blocks.checks:
        lines.append(f"checked at every run: {plural(len(blocks.checks), 'guard')}")
    if len(paths.paths) > 1:
        lines.append(f"this is the path used last of {len(paths.paths)}")
    instructions, lists = blocks.instructions, blocks.lists
    for title, space in (("shared: once a run", S), ("lanes: for each example", L)):
        if instructions[space]:
            lines.append(title)
            lines += _lines(folded(instructions[space]), lists)
    return "\n".join(lines)


def headline(blocks: Blocks) -> str:
    """How many scalar operations became how many instructions."""
    every: list[Instruction] = []
    steps = [some for inner in blocks.lists.inner for some in inner.instructions]
    for some in (*blocks.instructions, *steps):
        for x in folded(some):
            every += x.body if isinstance(x, Repeat) else [x]
    products = sum(ROWS[i.kind].is_product for i in every)
    recorded, became = (
        plural(blocks.recorded, "scalar operation"),
        plural(len(every), "instruction"),
    )
    return f"{recorded} became {became}, {plural(products, 'matrix product')}"


def titles(blocks: Blocks) -> list[str]:
    """What each instruction does, those of S first."""
    instructions, lists = blocks.instructions, blocks.lists
    return [ROWS[i.kind].title(lists, i) for i in itertools.chain(*instructions)]


def _steps(i: Instruction, lists: Lists) -> list[str]:
    """The lines of what a loop does in each step."""
    found = ROWS[i.kind].inside(lists, i)
    return [] if found is None else _lines(folded([*itertools.chain(*found.instructions)]), lists)


def _lines(instructions: Sequence[Instruction | Repeat], lists: Lists) -> list[str]:
    """What and where, in columns; several of one kind in a row as one line, and what repeats as a
    loop, with the rows of its first iteration."""
    lines: list[str] = []
    for repeats, some in itertools.groupby(instructions, key=lambda x: isinstance(x, Repeat)):
        if not repeats:
            plain = [i for i in some if isinstance(i, Instruction)]
            texts = [(*ROWS[i.kind].text(lists, i), _steps(i, lists)) for i in plain]
            for (text, inside), group in itertools.groupby(texts, key=lambda x: (x[0], x[2])):
                rows = [where for _, where, _ in group]
                alone = f"  {text:<48} {rows[0]}"
                lines.append(alone if len(rows) == 1 else f"  {len(rows)} times: {text}")
                lines += [f"  {line}" for line in inside]
            continue
        for x in some:
            if isinstance(x, Repeat):
                lines.append(f"  for t in range({x.count}):")
                lines += [f"  {line}" for line in _lines(x.body, lists)]
    return lines
