"""Sums of products of single rows, as lists say them: regular ones are computed as vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiled.lift import Instruction
from engine.compiled.native.emit import Function, Lanes
from engine.compiled.native.layout import Layout, Rows, flush, note_nan


def _lists(e: Layout, i: Instruction) -> tuple[Any, Any, Any]:
    """The rows of a dot's operands: left and right factors, and single terms; one row a sum."""
    n, inner, singles = i.n, i.inner, i.cols
    left = e.pool[i.list_1 : i.list_1 + n * inner].reshape(n, inner)
    right = e.pool[i.list_2 : i.list_2 + n * inner].reshape(n, inner)
    single = e.pool[i.list_3 : i.list_3 + n * singles].reshape(n, singles)
    return left, right, single


def _dot_runs(e: Layout, i: Instruction) -> list[tuple[int, int]]:
    """The sums of a dot in runs (first, count), in which each operand goes up by one row from
    sum to sum, or stays."""
    table = np.concatenate(_lists(e, i), axis=1)
    negative = table < 0
    rows = np.where(negative, ~table, table)
    steps = np.diff(rows, axis=0)
    regular = ((steps == 0) | (steps == 1)).all(axis=1)
    regular &= (negative[1:] == negative[:-1]).all(axis=1)
    same = np.zeros(len(steps), bool)
    same[1:] = (steps[1:] == steps[:-1]).all(axis=1)
    runs, first = [], 0
    while first < i.n:
        last = first + 1
        if last < i.n and regular[first]:
            last += 1
            while last < i.n and regular[last - 1] and same[last - 1]:
                last += 1
        runs.append((first, last - first))
        first = last
    return runs


def _dot_parts(e: Layout, i: Instruction) -> list[tuple[str, int, int]]:
    """How the sums of a dot in S, or of one lane, are computed: several "across" at once, one
    "along" its contiguous terms, or one "single" term after the other."""
    left, right, _ = _lists(e, i)
    parts = []
    for first, count in _dot_runs(e, i):
        if count >= 4 or (count > 1 and i.inner < 4):
            parts.append(("across", first, count))
            continue
        for k in range(first, first + count):
            contiguous = (
                i.inner >= 4
                and not i.cols
                and left[k, 0] >= 0
                and (np.diff(left[k]) == 1).all()
                and (np.diff(right[k]) == 1).all()
            )
            parts.append(("along" if contiguous else "single", k, 1))
    return parts


def size(e: Layout, i: Instruction) -> int:
    """About how many instructions a dot in S becomes, by a scale of its own."""
    size = 0
    for way, _, count in _dot_parts(e, i):
        terms = i.inner + i.cols
        if way == "across":
            size += terms * -(-count // e.vector)
        else:
            size += terms if way == "single" else -(-terms // e.vector)
    return size


def dot(e: Layout, f: Function, i: Instruction) -> None:
    left, right, single = _lists(e, i)
    width, buffer, out = e.width(i.space), e.values(i.space), i.out
    zero = f.literal(0.0) if i.c & 1 else None
    constants = e.blocks.constants[i.space]

    def term(row: int, o: Any, w: int, used: int, step: int = 1) -> Lanes:
        if row in constants and step == 0:
            return f.literal(constants[row], w)
        if step == 0:
            return f.widened(f.load(buffer, row), w)
        return f.load(buffer, o + row * width, w, used)

    def total(k: int, o: Any, w: int, used: int, steps: Any) -> Lanes:
        y = None if zero is None else f.widened(zero, w)
        for j in range(i.cols):
            row = int(single[k, j])
            x = term(max(row, ~row), o, w, used, steps[2][j])
            y = _added(y, x, row < 0)
        for j in range(i.inner):
            row, other = int(left[k, j]), int(right[k, j])
            x = term(max(row, ~row), o, w, used, steps[0][j])
            x = x * term(other, o, w, used, steps[1][j])
            y = _added(y, x, row < 0)
        assert y is not None
        return y

    def one(rows: Rows, k: int) -> None:
        """A sum, term after term."""
        y = zero
        for x in single[k].tolist():
            y = _added(y, rows.read(max(x, ~x)), x < 0)
        for x, other in zip(left[k].tolist(), right[k].tolist(), strict=True):
            y = _added(y, rows.read(max(x, ~x)) * rows.read(other), x < 0)
        assert y is not None
        rows.write(out + k, y)

    if width > 1:

        def lanes(o: Any, w: int) -> None:
            rows = Rows(e, f, i.space, o, w)
            for k in range(i.n):
                one(rows, k)

        e.lane_strips(f, i.space, lanes)
    else:
        pending: list[tuple[int, Lanes]] = []  # sums that are still vectors
        for way, first, count in _dot_parts(e, i):
            if way == "across":
                steps = _steps(e, i, first, count)
                for o, w, used in e.strips(count):
                    f.store(total(first, o, w, used, steps), buffer, out + first + o, used)
            elif way == "along":
                y = None
                for o, w, used in e.strips(i.inner):
                    if y is not None:
                        w = y.width
                    x = f.load(buffer, int(left[first, 0]) + o, w, used, -0.0)
                    x = x * f.load(buffer, int(right[first, 0]) + o, w, used)
                    y = x if y is None else y + x
                assert y is not None
                pending.append((first, y))
            else:
                one(Rows(e, f, i.space, 0, 1), first)
        by_width: dict[int, list[tuple[int, Lanes]]] = {}
        for first, y in pending:
            by_width.setdefault(y.width, []).append((first, y))
        for some in by_width.values():
            for (first, _), y in zip(some, f.sums([y for _, y in some]), strict=True):
                f.store(y if zero is None else zero + y, buffer, out + first)
    if i.c & 2:
        note_nan(e, f, buffer, out * width, i.n * width)


def _added(total: Lanes | None, x: Lanes, negative: bool) -> Lanes:
    """total + x, or - x; a total that has not begun is nothing."""
    if total is None:
        return -x if negative else x
    return total - x if negative else total + x


def _steps(e: Layout, i: Instruction, first: int, count: int) -> tuple[Any, Any, Any]:
    """How each operand's row changes from one sum to the next in a run."""
    found = []
    for table in _lists(e, i):
        rows = np.where(table < 0, ~table, table)
        found.append(
            (rows[first + 1] - rows[first]).tolist() if count > 1 else [1] * table.shape[1]
        )
    return found[0], found[1], found[2]


def dot_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    left, right, single = _lists(e, i)
    width = e.width(i.space)
    values, adjoints, out = e.values(i.space), e.adjoints(i.space), i.out
    factors = [(left, right, flags & 1), (right, left, flags & 2)]

    def one(rows: Rows, k: int) -> None:
        """The adjoints by the terms of a sum."""
        g = rows.arrived(out + k)
        if g is None:
            return
        for row in single[k].tolist() if flags & 4 else []:
            rows.add(max(row, ~row), g if row >= 0 else -g)
        for j in range(i.inner):
            negative = int(left[k, j]) < 0
            for mine, others, wanted in factors:
                if wanted:
                    row, other = int(mine[k, j]), int(others[k, j])
                    y = g * rows.read(max(other, ~other))
                    rows.add(max(row, ~row), -y if negative else y)

    if width > 1:

        def lanes(o: Any, w: int) -> None:
            rows = Rows(e, f, i.space, o, w)
            for k in range(i.n):
                one(rows, k)
            rows.finish()

        e.lane_strips(f, i.space, lanes)
        return
    for way, first, count in _dot_parts(e, i):
        if way == "single":
            one(Rows(e, f, i.space, 0, 1), first)
            continue
        flush(e, f)
        if not e.arrived(i.space, out + first, count):
            continue
        if way == "along":
            g = f.load(adjoints, out + first)
            for mine, others, wanted in factors:
                if wanted:
                    row, other = int(mine[first, 0]), int(others[first, 0])
                    adds = e.adds(i.space, row, i.inner)
                    for o, w, used in e.strips(i.inner):
                        y = f.widened(g, w) * f.load(values, other + o, w, used)
                        if adds:
                            y = f.load(adjoints, row + o, w, used) + y
                        f.store(y, adjoints, row + o, used)
        else:
            _run_back(e, f, i, flags, first, count)


def _run_back(e: Layout, f: Function, i: Instruction, flags: int, first: int, count: int) -> None:
    """The adjoints by the operands of several sums at once."""
    lists, steps = _lists(e, i), _steps(e, i, first, count)
    values, adjoints, out = e.values(i.space), e.adjoints(i.space), i.out + first
    strips = e.strips(count)
    sides = [(0, 1, flags & 1), (1, 0, flags & 2), (2, None, flags & 4)]
    widest = strips[0][1]
    totals: list[tuple[int, Lanes]] = []  # to be summed up, and added to a row
    for side, other, wanted in sides:
        if not wanted:
            continue
        for j in range(lists[side].shape[1]):
            row = int(lists[side][first, j])
            negative = (row if side == 2 else int(lists[0][first, j])) < 0
            row = max(row, ~row)
            moves = steps[side][j] == 1
            adds = e.adds(i.space, row, count) if moves else False
            total: Lanes | None = None
            for o, w, used in strips:
                w = w if moves else widest
                y = f.load(adjoints, out + o, w, used)
                if other is not None:
                    factor = int(lists[other][first, j])
                    factor = max(factor, ~factor)
                    if steps[other][j] == 1:
                        y = y * f.load(values, factor + o, w, used)
                    else:
                        y = y * f.widened(f.load(values, factor), w)
                if moves:
                    y = -y if negative else y
                    if adds:
                        y = f.load(adjoints, row + o, w, used) + y
                    f.store(y, adjoints, row + o, used)
                else:
                    total = y if total is None else total + y
            if total is not None:
                totals.append((row, -total if negative else total))
    for (row, _), y in zip(totals, f.sums([y for _, y in totals]), strict=True):
        if e.adds(i.space, row, 1):
            y = f.load(adjoints, row) + y
        f.store(y, adjoints, row)
