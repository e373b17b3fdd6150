"""Numbering: recorded columns as those of a tape, with constants folded and repetitions dropped.

In: `Columns`. Out: the columns of a tape, and the place on it of each row. This is what
`tape.tape_of` does for many nodes; what it does for few is the same in plain Python.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.compiled.columns import (
    CONSTANT,
    DRAW,
    INPUT,
    LOOP,
    RESULT,
    TAKE,
    Array,
    Columns,
    coded,
)
from engine.compiled.sequential import Bytes, Ints, Longs, Shorts, loop
from engine.ops import TABLE


@dataclass(slots=True)
class Numbered:
    """The columns of a tape, the leaves from outside that it reads, by row, and the number of
    operations that are reached; `place` has the place of each row, -1 for none."""

    op: Array
    a: Array
    b: Array
    c: Array
    entries: Array
    number: Array
    leaves: list[int]
    results: list[int]  # places of `roots`
    place: Array
    recorded: int


def numbered(x: Columns, inputs: int, draws: int, reached: Array) -> Numbered:
    """Return the columns of the tape. The first rows are `inputs`, then `draws`; both have places,
    as the Values from outside have that are `reached`."""
    given, first, count = inputs + draws, len(x.leaves), len(x.nodes)
    own = np.flatnonzero(reached[given:first])
    size = given + len(own)
    place = np.full(first + count, -1, np.int32)
    place[:given] = np.arange(given)
    place[given + own] = given + np.arange(len(own))
    most = size + count + len(x.literals)
    op: Array = np.full(most, INPUT, np.int16)
    number: Array = np.zeros(most)
    op[inputs:given] = DRAW
    number[:size] = [*range(inputs), *range(draws), *range(inputs, inputs + len(own))]
    columns: list[Array] = [np.full(most, -1, np.int32) for _ in range(3)]
    a, b, c = columns
    entries, results = np.zeros(len(x.entries), np.int32), np.zeros(len(x.roots), np.int32)
    slots = 16
    while slots < 2 * most:
        slots *= 2
    names = [*TABLE]
    rows = np.array([names.index(name) for name in ("identity", "mul", "div", "pow")], np.int64)
    size = _number_values.on_columns(count)(
        *(x.code, x.a, x.b, x.c, x.entries, _bits(x.literals), _fixed(x, reached), reached),
        *(place, op, a, b, c, entries, number.view(np.int64)),
        *(np.zeros(slots, np.int32), np.zeros(slots, np.int32), x.roots, results, rows, coded()[1]),
        *(first, count, len(x.roots), size, slots - 1),
    )
    entries = entries[: c[(op == TAKE) | (op == LOOP)].sum()].copy()
    leaves, recorded = (given + own).tolist(), int(reached[first:].sum())
    op, a, b, c = (column[:size].copy() for column in (op, a, b, c))
    number = number[:size].copy()
    return Numbered(op, a, b, c, entries, number, leaves, results.tolist(), place, recorded)


def reached_by(x: Columns) -> Array:
    """Which rows the results depend on, as bytes."""
    first, count = len(x.leaves), len(x.nodes)
    reached = np.zeros(first + count, np.uint8)
    columns = (x.code, x.a, x.b, x.c, x.entries, x.roots, reached, coded()[1])
    _reach.on_columns(count)(*columns, first, count, len(x.roots))
    return reached


def _fixed(x: Columns, reached: Array) -> Array:
    """The bits of what operations on constants give: it was computed when they were recorded. Of
    loops, their places."""
    first, count = len(x.leaves), len(x.nodes)
    fixed = np.zeros(first + count, np.uint8)
    _find_fixed.on_columns(count)(x.code, x.a, x.b, x.c, fixed, coded()[1], first, count)
    numbers = np.zeros(count)
    chosen = np.flatnonzero(fixed[first:] & reached[first:])
    numbers[chosen] = x.numbers(chosen.tolist())
    numbers[np.flatnonzero(x.code == LOOP)] = np.arange(len(x.loops))
    return _bits(numbers)


def _bits(numbers: Array) -> Array:
    """What tells numbers apart: -0.0 is not 0.0, and nan is one number."""
    return np.where(np.isnan(numbers), np.nan, numbers).view(np.int64)


# --- node by node -----------------------------------------------------------------------------

_ONE = 0x3FF0000000000000  # the bits of 1.0
_MAGNITUDE = (1 << 63) - 1  # all bits but the sign
_MIX = 0x1E3779B97F4A7C15  # an odd number that stirs bits well


@loop
def _reach(
    code: Shorts,
    a: Ints,
    b: Ints,
    c: Ints,
    entries: Ints,
    roots: Ints,
    reached: Bytes,
    arity: Shorts,
    first: int,
    count: int,
    results: int,
) -> int:
    """Mark the rows that the results depend on."""
    for k in range(results):
        if roots[k] >= 0:
            reached[roots[k]] = 1
    for i in range(count - 1, -1, -1):
        if not reached[first + i]:
            continue
        kind = code[i]
        if a[i] >= 0:
            reached[a[i]] = 1
        if kind in (TAKE, LOOP):
            for k in range(b[i], b[i] + c[i]):
                if entries[k] >= 0:
                    reached[entries[k]] = 1
        elif kind >= 0 and arity[kind] >= 2:
            if b[i] >= 0:
                reached[b[i]] = 1
            if arity[kind] == 3 and c[i] >= 0:
                reached[c[i]] = 1
    return 0


@loop
def _find_fixed(
    code: Shorts, a: Ints, b: Ints, c: Ints, fixed: Bytes, arity: Shorts, first: int, count: int
) -> int:
    """Mark operations on constants alone, and perhaps more; of a choice one arm will do."""
    for i in range(count):
        kind = code[i]
        if kind >= 0 and (a[i] < 0 or fixed[a[i]]):
            given = arity[kind]
            by_b = b[i] < 0 or fixed[b[i]]
            by_c = c[i] < 0 or fixed[c[i]]
            if given == 1 or (given == 2 and by_b) or (given == 3 and (by_b or by_c)):
                fixed[first + i] = 1
    return 0


@loop
def _operand(
    ref: int,
    literals: Longs,
    place: Ints,
    op: Shorts,
    number: Longs,
    constants: Ints,
    size: int,
    mask: int,
) -> int:
    """The place of an operand; `size`, where it is put, for a number that is new."""
    if ref >= 0:
        return place[ref]  # type: ignore[no-any-return]
    return _constant(literals[~ref], op, number, constants, size, mask)


@loop
def _constant(bits: int, op: Shorts, number: Longs, constants: Ints, size: int, mask: int) -> int:
    """The place of a constant; `size`, where it is put, if it is new."""
    at = (((bits * _MIX) & _MAGNITUDE) >> 31) & mask
    while constants[at]:
        if number[constants[at] - 1] == bits:
            return constants[at] - 1  # type: ignore[no-any-return]
        at = (at + 1) & mask
    constants[at] = size + 1
    op[size] = CONSTANT
    number[size] = bits
    return size


@loop
def _same(kind: int, x: int, y: int, z: int, op: Shorts, number: Longs, rows: Longs) -> int:
    """The place of what an operation is the same as, whatever its operands are; -1 for none."""
    if kind == rows[0]:
        return x
    if z >= 0:  # `where`: its arm may be known
        if op[x] == CONSTANT:
            return y if number[x] & _MAGNITUDE else z
    elif y >= 0:
        if op[y] == CONSTANT and number[y] == _ONE and kind in (rows[1], rows[2], rows[3]):
            return x
        if op[x] == CONSTANT and number[x] == _ONE and kind == rows[1]:
            return y
    return -1


@loop
def _known(
    kind: int,
    x: int,
    y: int,
    z: int,
    op: Shorts,
    a: Ints,
    b: Ints,
    c: Ints,
    entries: Ints,
    known: Ints,
    size: int,
    mask: int,
) -> int:
    """The place of an operation that was computed before; `size`, where it is put, if it is new."""
    mixed = kind * 31 + x
    if kind == TAKE:
        for k in range(y, y + z):
            mixed = ((mixed * _MIX) & _MAGNITUDE) + entries[k]
    else:
        mixed = ((mixed * _MIX) & _MAGNITUDE) + y
        mixed = ((mixed * _MIX) & _MAGNITUDE) + z
    at = (((mixed * _MIX) & _MAGNITUDE) >> 31) & mask
    while known[at]:
        k = known[at] - 1
        if op[k] == kind and a[k] == x and c[k] == z:
            if kind == TAKE:
                j = 0
                while j < z and entries[b[k] + j] == entries[y + j]:
                    j += 1
                if j == z:
                    return k  # type: ignore[no-any-return]
            elif b[k] == y:
                return k  # type: ignore[no-any-return]
        at = (at + 1) & mask
    known[at] = size + 1
    op[size] = kind
    a[size] = x
    b[size] = y
    c[size] = z
    return size


@loop
def _number_values(
    code: Shorts,
    a: Ints,
    b: Ints,
    c: Ints,
    entries: Ints,
    literals: Longs,
    numbers: Longs,
    reached: Bytes,
    place: Ints,
    op: Shorts,
    new_a: Ints,
    new_b: Ints,
    new_c: Ints,
    new_entries: Ints,
    number: Longs,
    constants: Ints,
    known: Ints,
    roots: Ints,
    results: Ints,
    rows: Longs,
    arity: Shorts,
    first: int,
    count: int,
    outputs: int,
    size: int,
    mask: int,
) -> int:
    """Give each operation that is reached its place: one computed before, or the next one.

    Tables of constants and of what is known have places plus 1, or 0, at hashes of the content.
    """
    looked_up = 0  # entries of look-ups that are kept
    for i in range(count):
        if not reached[first + i]:
            continue
        kind = code[i]
        given = arity[kind] if kind >= 0 else 1
        x = _operand(a[i], literals, place, op, number, constants, size, mask)
        size += x == size
        y = -1
        z = -1
        if given >= 2:
            y = _operand(b[i], literals, place, op, number, constants, size, mask)
            size += y == size
        if given == 3:
            z = _operand(c[i], literals, place, op, number, constants, size, mask)
            size += z == size
        if kind == RESULT:
            y = b[i]
            found = -1
        elif kind in (TAKE, LOOP):
            y = looked_up
            z = c[i]
            for k in range(z):
                at = entries[b[i] + k]
                at = _operand(at, literals, place, op, number, constants, size, mask)
                size += at == size
                new_entries[y + k] = at
            found = -1
        elif op[x] == CONSTANT and z < 0 and (y < 0 or op[y] == CONSTANT) and kind != rows[0]:
            found = _constant(numbers[i], op, number, constants, size, mask)
            size += found == size
        else:
            found = _same(kind, x, y, z, op, number, rows)
        if kind == LOOP:  # each is one of its own, whatever its operands are
            found = size
            op[size] = kind
            new_a[size] = x
            new_b[size] = y
            new_c[size] = z
            number[size] = numbers[i]
        elif found < 0:
            found = _known(kind, x, y, z, op, new_a, new_b, new_c, new_entries, known, size, mask)
        if found == size:
            size += 1
            looked_up += z if kind in (TAKE, LOOP) else 0
        place[first + i] = found
    for k in range(outputs):
        results[k] = _operand(roots[k], literals, place, op, number, constants, size, mask)
        size += results[k] == size
    return size
