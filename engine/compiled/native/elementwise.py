"""Rows of the table on blocks, and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.compiled.lift import Instruction
from engine.compiled.native import vectormath
from engine.compiled.native.emit import Function, Lanes
from engine.compiled.native.layout import Layout, Rows, note, note_nan
from engine.ops import TABLE


def elementwise(e: Layout, f: Function, i: Instruction) -> None:
    name, width = i.kernel.removeprefix("ew_"), e.width(i.space)
    firsts = (i.a, i.b, i.c)[: TABLE[name].arity]
    operands = [e.operand(f, i.space, first, i.n) for first in firsts]
    buffer, out = e.values(i.space), i.out * width

    def body(o: Any, w: int, used: int) -> None:
        y = vectormath.row(f, name, *[x(o, w, used) for x in operands])
        f.store(y, buffer, o + out, used)

    e.flat(f, i.n * width, body)
    if name == "pass_on":
        note_nan(e, f, buffer, out, i.n * width)


def elementwise_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    op, width = TABLE[i.kernel.removeprefix("ew_")], e.width(i.space)
    firsts = (i.a, i.b, i.c)[: op.arity]
    operands = [e.operand(f, i.space, first, i.n) for first in (*firsts, i.out)]
    buffer, out = e.adjoints(i.space), i.out * width
    targets = [(k, first) for k, first in enumerate(firsts) if flags >> k & 1]
    together = len({first for _, first in targets}) == len(targets) and not any(
        0 < abs(x - y) < i.n for _, x in targets for _, y in targets
    )
    for some in [targets] if together else [[target] for target in targets]:
        adds = {k: e.adds(i.space, first, i.n) for k, first in some}

        def body(o: Any, w: int, used: int) -> None:
            g = f.load(buffer, o + out, w, used)
            numbers = [x(o, w, used) for x in operands]
            for k, first in some:  # noqa: B023, the body is run at once
                y = _contribution(e, f, op.name, k, g, numbers)
                place = o + first * width
                if adds[k]:  # noqa: B023
                    y = f.load(buffer, place, w, used) + y
                f.store(y, buffer, place, used)

        e.flat(f, i.n * width, body)


def _contribution(
    e: Layout, f: Function, name: str, k: int, g: Lanes, numbers: Sequence[Lanes]
) -> Lanes:
    """The adjoint times a partial; 0 where the edge is cut."""
    op = TABLE[name]
    p = vectormath.partial(f, op, k, *numbers)
    y = g * p if isinstance(p, Lanes) or abs(p) != 1.0 else g if p == 1.0 else -g
    cut = vectormath.cut(f, op, k, *numbers[:-1])
    return y if cut is None else f.select(cut, 0.0, y)


def segment(e: Layout, f: Function, i: Instruction) -> None:
    """Operations on single rows, one after the other."""
    part = e.blocks.segments.listed(i.list_1, i.n)

    def body(o: Any, w: int) -> None:
        rows = Rows(e, f, i.space, o, w)
        for code, out, *found in part:
            name = e.names[code]
            operands = found[: TABLE[name].arity]
            y = vectormath.row(f, name, *map(rows.read, operands))
            rows.write(out, y)
            if name == "pass_on":
                note(f, y)

    e.lane_strips(f, i.space, body)


def segment_back(e: Layout, f: Function, i: Instruction, flags: Sequence[int]) -> None:
    """Their adjoints, from the last to the first."""
    part = e.blocks.segments.listed(i.list_1, i.n)

    def body(o: Any, w: int) -> None:
        rows = Rows(e, f, i.space, o, w)
        for flag, (code, out, *found) in zip(reversed(flags), reversed(part), strict=True):
            g = rows.arrived(out) if flag else None
            if g is None:
                continue
            name = e.names[code]
            operands = found[: TABLE[name].arity]
            numbers = [*map(rows.read, operands), rows.read(out)]
            for j, row in enumerate(operands):
                if flag >> j & 1:
                    rows.add(row, _contribution(e, f, name, j, g, numbers))
        rows.finish()

    e.lane_strips(f, i.space, body)
