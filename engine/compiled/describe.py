"""What a compiled function became, as text: its instructions, for a learner to read."""

from __future__ import annotations

import itertools

from engine.compiled.lift import Blocks, Instruction, L, S
from engine.compiled.paths import Paths
from engine.ops import TABLE


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
        f"inputs: {_plural(len(blocks.shared_inputs), 'number')} shared, "
        f"{len(blocks.lane_inputs)} in each lane",
    ]
    if blocks.checks:
        lines.append(f"checked at every run: {_plural(len(blocks.checks), 'guard')}")
    if len(paths.paths) > 1:
        lines.append(f"this is the path used last of {len(paths.paths)}")
    for title, space in (("shared: once a run", S), ("lanes: for each example", L)):
        if blocks.instructions[space]:
            lines.append(title)
            lines += _folded([_line(i, blocks) for i in blocks.instructions[space]])
    return "\n".join(lines)


def headline(blocks: Blocks) -> str:
    """How many scalar operations became how many instructions."""
    shared, lanes = blocks.instructions
    products = [i for i in (*shared, *lanes) if i.kernel == "mm"]
    return (
        f"{blocks.recorded} scalar operations became "
        f"{_plural(len(shared) + len(lanes), 'instruction')}, "
        f"{_plural(len(products), 'matrix product')}"
    )


def titles(blocks: Blocks) -> list[str]:
    """What each instruction does, those of S first."""
    return [_line(i, blocks)[0] for i in itertools.chain(*blocks.instructions)]


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _folded(lines: list[tuple[str, str]]) -> list[str]:
    """What and where, in columns; several of one kind in a row as one line."""
    folded = []
    for text, group in itertools.groupby(lines, key=lambda line: line[0]):
        rows = [where for _, where in group]
        if len(rows) == 1:
            folded.append(f"  {text:<48} {rows[0]}")
        else:
            folded.append(f"  {len(rows)} times: {text}")
    return folded


def _line(i: Instruction, blocks: Blocks) -> tuple[str, str]:
    """One instruction: what and how large, and which rows it writes and reads."""
    here = "sl"[i.space]
    size = i.n * i.cols if i.kernel == "mm" else i.n
    out = _rows(here, i.out, size)
    if i.kernel == "mm":
        columns = f"{i.cols} × lanes" if i.space == L and i.cols > 1 else str(i.cols)
        columns = "lanes" if i.space == L and i.cols == 1 else columns
        text = f"matrix product ({i.n} × {i.inner}) @ ({i.inner} × {columns})"
        parts = [_rows("s", i.a, i.n * i.inner), _rows(here, i.b, i.inner * i.cols)]
        if i.bias >= 0:
            text += " + bias"
            parts.append(_rows("s", i.bias, i.n))
        if i.init >= 0:
            text += " + rows"
            parts.append(_rows(here, i.init, size))
        return text, f"{out} = {', '.join(parts)}"
    if i.kernel == "dot":
        terms = [_plural(i.inner, "product")] if i.inner else []
        terms += [_plural(i.cols, "term")] if i.cols else []
        return f"{_plural(i.n, 'sum')} of {' and '.join(terms)}", out
    if i.kernel == "max":
        return f"{i.n} largest of {i.inner}", out
    if i.kernel == "take":
        return f"look-up of {i.n} among {i.inner} entries", out
    if i.kernel == "draw":
        return _plural(i.n, "draw"), out
    if i.kernel.startswith("broadcast"):
        return f"repeat {i.n} in every lane", out + _source(i, "s")
    if i.kernel.startswith("gather"):
        return f"copy {i.n}", out + _source(i, here)
    if i.kernel == "segment":
        written = blocks.written(i)
        rows = _rows(here, written[0], written[-1] - written[0] + 1)
        return f"tape of {_plural(i.n, 'operation')}", rows
    op = TABLE[i.kernel.removeprefix("ew_")]
    operands = [_rows(here, row, i.n) for row in (i.a, i.b, i.c)[: op.arity]]
    return f"{op.name} of {i.n}", f"{out} = {', '.join(operands)}"


def _source(i: Instruction, space: str) -> str:
    return "" if i.kernel.endswith("_list") else f" = {_rows(space, i.a, i.n)}"


def _rows(space: str, first: int, count: int) -> str:
    return f"{space}{first}" if count == 1 else f"{space}{first}:{first + count}"
