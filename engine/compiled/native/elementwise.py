"""Rows of the table on blocks, and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.compiled.lift import Instruction
from engine.compiled.native import vectormath
from engine.compiled.native.emit import Function, Lanes
from engine.compiled.native.layout import Layout
from engine.ops import TABLE

_PLAIN = {"mul", "square"}  # rows whose contributions are multiplied as in a sum of products


def elementwise(e: Layout, f: Function, i: Instruction) -> None:
    name, width = i.kernel.removeprefix("ew_"), e.width(i.space)
    firsts = (i.a, i.b, i.c)[: TABLE[name].arity]
    operands = [e.operand(f, i.space, first, i.n) for first in firsts]
    buffer, out = e.values(i.space), i.out * width

    def body(o: Any, w: int, used: int) -> None:
        y = vectormath.row(f, name, *[x(o, w, used) for x in operands])
        f.store(y, buffer, o + out, used)

    e.flat(f, i.n * width, body)


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
    """The adjoint times a partial, as the chain rule has it."""
    p = vectormath.partial(f, TABLE[name], k, *numbers)
    if not isinstance(p, Lanes):
        return g if p == 1.0 else -g if p == -1.0 else g * p
    if name in _PLAIN:
        return g * p
    return f.select((g == 0.0) | (p == 0.0), 0.0, g * p)


def segment(e: Layout, f: Function, i: Instruction) -> None:
    columns, width = e.blocks.segments, e.width(i.space)
    constants, buffer = e.blocks.constants[i.space], e.values(i.space)

    def body(o: Any, w: int) -> None:
        values: dict[int, Lanes] = {}

        def read(row: int) -> Lanes:
            x = values.get(row)
            if x is None:
                if row in constants:
                    x = f.literal(constants[row], w)
                else:
                    x = f.load(buffer, o + row * width, w)
                values[row] = x
            return x

        for k in range(i.list_1, i.list_1 + i.n):
            name = e.names[columns.code[k]]
            rows = (columns.a[k], columns.b[k], columns.c[k])[: TABLE[name].arity]
            y = vectormath.row(f, name, *map(read, rows))
            values[columns.out[k]] = y
            f.store(y, buffer, o + columns.out[k] * width)

    e.lane_strips(f, i.space, body)


def segment_back(e: Layout, f: Function, i: Instruction, flags: Sequence[int]) -> None:
    columns, width, written = e.blocks.segments, e.width(i.space), e.written[i.space]
    constants = e.blocks.constants[i.space]
    values, adjoints = e.values(i.space), e.adjoints(i.space)

    def body(o: Any, w: int) -> None:
        numbers: dict[int, Lanes] = {}
        sums: dict[int, Lanes] = {}

        def read(row: int) -> Lanes:
            x = numbers.get(row)
            if x is None:
                if row in constants:
                    x = f.literal(constants[row], w)
                else:
                    x = f.load(values, o + row * width, w)
                numbers[row] = x
            return x

        def arrived(row: int) -> Lanes | None:
            g = sums.pop(row, None)
            if g is None and written[row]:
                g = f.load(adjoints, o + row * width, w)
            return g

        for k in range(i.list_1 + i.n - 1, i.list_1 - 1, -1):
            flag = flags[k - i.list_1]
            g = arrived(columns.out[k]) if flag else None
            if g is None:
                continue
            name = e.names[columns.code[k]]
            rows = (columns.a[k], columns.b[k], columns.c[k])[: TABLE[name].arity]
            operands = [*map(read, rows), read(columns.out[k])]
            for j, row in enumerate(rows):
                if flag >> j & 1:
                    y = _contribution(e, f, name, j, g, operands)
                    before = arrived(row)
                    sums[row] = y if before is None else before + y
        for row, g in sums.items():
            f.store(g, adjoints, o + row * width)
            written[row] = 1

    e.lane_strips(f, i.space, body)
