"""Loops by `engine.scan` and `engine.while_loop`: an instruction each, with a step that is lifted
like all else, on rows of its own.

Of the operands, those of S stay there, so that weights are not repeated in lanes. The loop itself
is in L if any of its operands is; then what it carries is, too. What is the same in all steps, as
copies of weights, is not computed in each: those instructions of the step become the program's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from engine.compiled.blocks import (
    POOL_HEADER,
    Array,
    Inner,
    Instruction,
    L,
    Lists,
    S,
    Segments,
    View,
)
from engine.compiled.columns import coded
from engine.compiled.lift.lifted import Blocks
from engine.compiled.lift.marks import Column
from engine.compiled.lift.rows import Rows, is_run
from engine.compiled.tape import Looped, Tape

_KEPT = 8_192  # numbers of a lane up to which the carry of every step is saved

Lift = Callable[[Tape, list[int], bool], Blocks]  # of a step, its lanes, whether it is in L


def emit_loop(rows: Rows, space: int, node: int, lift: Lift) -> None:
    """Emit a loop, whose node this is."""
    nodes = rows.nodes
    looped: Looped = nodes.tape.loops[int(nodes.number[node])]
    scan, first = looped.scan, int(nodes.b[node])
    operands = [int(nodes.a[node]), *map(int, nodes.entries[first : first + int(nodes.c[node])])]
    carry = operands[: scan.carries]
    same = [operands[scan.carries + k] for k in looped.outside]
    entries = operands[scan.carries + len(scan.outside) :]
    columns = [entries[k :: scan.columns] for k in range(scan.columns)]
    # which of the step's inputs are in lanes: the carry, entries, what is the same in all steps
    in_lanes = space == L
    wide = [in_lanes] * len(carry)
    wide += [any(rows.space_at[x] == L for x in column) for column in columns]
    wide += [rows.space_at[x] == L for x in same]
    lanes = [k for k, lane in enumerate(wide) if lane]
    blocks = lift(looped.tape, lanes, in_lanes)
    place = {k: row for row, k in enumerate(lanes)}
    place |= {k: row for row, k in enumerate(k for k, lane in enumerate(wide) if not lane)}
    numbers = range(len(wide))
    of_columns = numbers[len(carry) : len(carry) + len(columns)]
    of_same = numbers[len(carry) + len(columns) :]
    kinds = [(of_same, False), (of_same, True), (of_columns, False), (of_columns, True)]
    chosen = [[k for k in some if wide[k] == lane] for some, lane in kinds]
    inputs = [[place[k] for k in some] for some in (numbers[: len(carry)], *chosen)]
    given: list[list[int]] = [carry]
    given += [[same[k - of_same.start] for k in some] for some in chosen[:2]]
    for some in chosen[2:]:  # step by step, the numbers of each together
        own = [columns[k - of_columns.start] for k in some]
        given.append([x for entry in zip(*own, strict=True) for x in entry])
    spaces = (space, S, L, S, L)
    views = [_view(rows, to, some) for to, some in zip(spaces, given, strict=True)]
    _hoist(rows, space, blocks, inputs, views)
    every = 1 if scan.count * len(carry) <= _KEPT else math.isqrt(scan.count - 1) + 1
    inner = Inner(
        blocks.instructions,
        blocks.rows,
        blocks.lists.constants,
        tuple(inputs),
        blocks.outputs,
        scan.count,
        scan.conditional,
        every,
    )
    out = View(space, rows.new(space, inner.size), inner.size)
    for k in rows.results_of(node):
        rows.row_at[k] = out.first + int(nodes.b[k])
    rows.row_at[node] = out.first
    rows.append(Instruction("scan", out, tuple(views), shape=(len(rows.inner),)))
    rows.inner.append((inner, blocks.lists))


def _hoist(
    rows: Rows,
    space: int,
    blocks: Blocks,
    inputs: list[list[int]],
    views: list[View | None],
) -> None:
    """Have the instructions of a step that do the same in all steps be the program's own, before
    the loop. What the others read of them is then an operand, as what is the same was before.

    Rows of the step are the program's with another number: all of them have moved as far.
    """
    moving = [np.zeros(n, bool) for n in blocks.rows]
    read = [np.zeros(n, bool) for n in blocks.rows]
    moving[space][inputs[0]] = True
    moving[S][inputs[3]], moving[L][inputs[4]] = True, True
    once: list[Instruction] = []
    for own in (S, L):
        rest = []
        for i in blocks.instructions[own]:
            operands, results = _rows_of(i, blocks.lists)
            moves = any(moving[to][found].any() for to, found in operands)
            if moves or i.kind in ("loop", "scan", "take"):
                rest.append(i)
                moving[own][results] = True
                for to, found in operands:
                    read[to][found] = True
            else:
                once.append(i)
        blocks.instructions[own][:] = rest
    for to, row in blocks.outputs:
        read[to][row] = True
    if not once:
        return
    base = []
    for own, k in ((S, 1), (L, 2)):
        first = rows.new(own, blocks.rows[own])
        base.append(first)
        constants = blocks.lists.constants[own]
        rows.constants[own].update({first + row: x for row, x in constants.items()})
        view = views[k]
        if view is not None:  # the same rows, in the same order
            at = first + inputs[k][0]
            rows.append(Instruction("gather", View(own, at, view.count), (view,)))
        here = read[own] & ~moving[own]
        here[list(constants)] = False
        inputs[k] = np.flatnonzero(here).tolist()
        views[k] = _listed(rows, own, [first + row for row in inputs[k]])
    for i in once:
        _emit_moved(rows, i, blocks.lists, base)


def _rows_of(i: Instruction, lists: Lists) -> tuple[list[tuple[int, Array]], Array]:
    """The rows that an instruction reads, by space, and those that it writes."""
    if i.kind in ("segment", "loop"):
        s, at = lists.segments, slice(i.shape[0], i.shape[0] + i.shape[1])
        arity = coded()[1][s.code[at]]
        columns = [x[at][arity > k] for k, x in enumerate((s.a, s.b, s.c))]
        return [(i.out.space, x) for x in columns], s.out[at]
    views = [x for x in i.operands if x is not None]
    found = [(x.space, lists.rows(x)) for x in views]
    return [(to, np.where(x < 0, ~x, x)) for to, x in found], lists.rows(i.out)


def _emit_moved(rows: Rows, i: Instruction, lists: Lists, base: list[int]) -> None:
    """Emit an instruction of a step as one of the program's."""

    def of(view: View | None) -> View | None:
        if view is None:
            return None
        first = base[view.space]
        if not view.listed:
            return view._replace(first=view.first + first)
        found = lists.rows(view)
        return view._replace(first=rows.listed(np.where(found < 0, found - first, found + first)))

    if i.kind == "segment":
        s, first = lists.segments, base[i.out.space]
        for k in range(i.shape[0], i.shape[0] + i.shape[1]):
            operands = [int(x[k]) + first for x in (s.a, s.b, s.c)][: coded()[1][s.code[k]]]
            rows.append_one(int(s.code[k]), i.out.space, int(s.out[k]) + first, operands)
        return
    out = of(i.out)
    assert out is not None
    rows.append(i._replace(out=out, operands=tuple(map(of, i.operands))))


def _view(rows: Rows, space: int, nodes: list[int]) -> View | None:
    """The rows of some nodes in a space."""
    if not nodes:
        return None
    column = np.array(nodes, np.int64) if rows.nodes.many else nodes
    return _listed(rows, space, rows.rows_in(space, column) if space == L else rows.of(column))


def _listed(rows: Rows, space: int, found: Column) -> View | None:
    """Some rows, as a run where they are one."""
    if not len(found):
        return None
    if is_run(found):
        return View(space, int(found[0]), len(found))
    return View(space, rows.listed(found), len(found), True)


def joined(rows: Rows, lists: Lists) -> Lists:
    """The lists of a program, with those of its steps behind them."""
    lists.inner = [inner for inner, _ in rows.inner]
    for inner, own in rows.inner:
        shift = len(lists.pool) - POOL_HEADER, len(lists.segments.code), len(lists.inner)
        s, t = lists.segments, own.segments
        pairs = ((s.code, t.code), (s.out, t.out), (s.a, t.a), (s.b, t.b), (s.c, t.c))
        code, out, a, b, c = (np.concatenate(pair) for pair in pairs)
        lists.segments = Segments(code, out, a, b, c, s.looped + t.looped)
        lists.pool = np.concatenate([lists.pool, own.pool[POOL_HEADER:]])
        for x in (inner, *own.inner):
            _move(x, *shift)
        lists.inner += own.inner
    return lists


def _move(inner: Inner, pool: int, segments: int, loops: int) -> None:
    """Have so many places before those of a step's lists."""
    places = {"segment": segments, "loop": segments, "scan": loops}  # that shapes begin with

    def of(view: View | None) -> View | None:
        return view._replace(first=view.first + pool) if view is not None and view.listed else view

    def moved(i: Instruction) -> Instruction:
        first = places.get(i.kind, 0)
        shape = (i.shape[0] + first, *i.shape[1:]) if first else i.shape
        out = of(i.out)
        assert out is not None
        return i._replace(out=out, operands=tuple(map(of, i.operands)), shape=shape)

    shared, lanes = inner.instructions
    inner.instructions = ([*map(moved, shared)], [*map(moved, lanes)])
