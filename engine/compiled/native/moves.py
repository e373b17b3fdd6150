"""Copies of rows, look-ups and maxima: what chooses among rows and computes nothing new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.compiled.lift import Instruction, L, S
from engine.compiled.native import tiles, vectormath
from engine.compiled.native.emit import INDEX, Function, Lanes
from engine.compiled.native.layout import Layout


def gather(e: Layout, f: Function, i: Instruction) -> None:
    width, buffer, out = e.width(i.space), e.values(i.space), i.out
    for first, sign, count in e.copies(i):
        read, to = e.operand(f, i.space, first, count), out * width

        def body(o: Any, w: int, used: int) -> None:
            x = read(o, w, used)  # noqa: B023
            f.store(x if sign > 0 else -x, buffer, o + to, used)  # noqa: B023

        e.flat(f, count * width, body)
        out += count


def gather_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    width, buffer, out = e.width(i.space), e.adjoints(i.space), i.out
    for first, sign, count in e.copies(i):
        adds = e.adds(i.space, first, count)

        def body(o: Any, w: int, used: int) -> None:
            g = f.load(buffer, o + out * width, w, used)  # noqa: B023
            g = g if sign > 0 else -g  # noqa: B023
            place = o + first * width  # noqa: B023
            if adds:  # noqa: B023
                g = f.load(buffer, place, w, used) + g
            f.store(g, buffer, place, used)

        e.flat(f, count * width, body)
        out += count


def broadcast(e: Layout, f: Function, i: Instruction) -> None:
    out = i.out
    for first, sign, count in e.copies(i):
        constant = e.constant(S, first, count)

        def row(k: Any) -> None:
            x = f.load("%vs", k + first) if constant is None else f.literal(constant)  # noqa: B023
            x = x if sign > 0 else -x  # noqa: B023
            to = k * e.lanes + out * e.lanes  # noqa: B023

            def body(o: Any, w: int) -> None:
                f.store(f.widened(x, w), "%vl", to + o)

            e.lane_strips(f, L, body)

        e.each(f, count, row)
        out += count


def broadcast_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    out = i.out
    for first, sign, count in e.copies(i):
        e.adds(S, first, count, shared=True)
        begin, at = first, out

        def put(row: Any, column: Any, totals: Lanes, used: int) -> None:
            place = column + begin  # noqa: B023
            totals = totals if sign > 0 else -totals  # noqa: B023
            y = f.load("%gs", place, totals.width, used) + totals
            f.store(y, "%gs", place, used)

        tiles.reductions(
            e,
            f,
            1,
            count,
            e.lanes,
            lambda row, c, w, used: None,
            lambda k, c, w, used: f.load(
                "%gl",
                k * e.lanes + at * e.lanes + c,  # noqa: B023
                w,
                used,
            ),
            put,
        )
        out += count


def maxima(e: Layout, f: Function, i: Instruction) -> None:
    width, buffer = e.width(i.space), e.values(i.space)
    rows = e.pool[i.list_1 : i.list_1 + i.n * i.inner].reshape(i.n, i.inner)

    def body(o: Any, w: int) -> None:
        for k in range(i.n):
            terms = [f.load(buffer, o + int(row) * width, w) for row in rows[k]]
            y = terms[0]
            for x in terms[1:]:
                y = vectormath.row(f, "maximum", y, x)
            f.store(y, buffer, o + (i.out + k) * width)

    e.lane_strips(f, i.space, body)


def maxima_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    """It has no derivative."""


def affine(e: Layout, i: Instruction) -> tuple[int, int, int] | None:
    """(first, entry, number): row first + t * entry + k * number has number k of entry t; or
    None if the table of a look-up is not so regular."""
    table = e.pool[i.list_1 : i.list_1 + i.n * i.inner].reshape(i.inner, i.n)
    first = int(table[0, 0])
    entry = int(table[1, 0]) - first if i.inner > 1 else 0
    number = int(table[0, 1]) - first if i.n > 1 else 1
    expected = first + entry * np.arange(i.inner)[:, None] + number * np.arange(i.n)
    return (first, entry, number) if (table == expected).all() else None


def _entry(e: Layout, f: Function, i: Instruction, lane: Any) -> Lanes:
    """Which entry a look-up takes: that of the index, or the first if there is none."""
    index = f.load("%vl", lane + i.a * e.lanes) if i.b == L else f.load("%vs", i.a)
    holds = (index >= float(-i.inner)) & (index < float(i.inner))
    index = f.select(holds, index, 0.0)
    index = f.select(index < 0.0, index + float(i.inner), index)
    return f.result(f"fptosi {index.type} {index.name} to i64", INDEX, 1)


def _look_up(
    e: Layout, f: Function, i: Instruction, move: Callable[[Any, Any, int, int], None]
) -> None:
    """Run move(row, out, width, used) for the numbers that each lane takes: from where in the
    source to where in the result."""
    table = affine(e, i)
    assert table is not None
    first, entry, number = table
    width, stride = e.width(i.space), e.width(i.c)

    def one(lane: Any) -> list[Lanes]:
        t = _entry(e, f, i, lane)
        source = t * (entry * stride) + first * stride
        if stride > 1:
            source = source + lane
        to = lane + i.out * width
        if number == stride == width == 1:
            e.flat(f, i.n, lambda o, w, used: move(source + o, to + o, w, used))
            return []

        def some(k: Any) -> list[Lanes]:
            at = source + k * (number * stride)
            move(at, to + k * width, 1, 1)
            return []

        f.loop(i.n, some)
        return []

    f.loop(width, one)


def take(e: Layout, f: Function, i: Instruction) -> None:
    source, out = e.values(i.c), e.values(i.space)
    _look_up(e, f, i, lambda at, to, w, used: f.store(f.load(source, at, w, used), out, to, used))


def take_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    source, out = e.adjoints(i.c), e.adjoints(i.space)
    for first, _, count in e.runs(i.list_1, i.n * i.inner):
        e.clear(i.c, first, count)

    def move(at: Any, to: Any, w: int, used: int) -> None:
        f.store(f.load(source, at, w, used) + f.load(out, to, w, used), source, at, used)

    _look_up(e, f, i, move)
