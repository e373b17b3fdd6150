"""From groups to instructions: single operations, elementwise blocks, look-ups, draws, maxima."""

from __future__ import annotations

import itertools

import numpy as np

from engine.compiled.blocks import Instruction, L, S, View
from engine.compiled.lift.levels import NARROW, Groups
from engine.compiled.lift.marks import Column
from engine.compiled.lift.rows import LONG, Rows, runs
from engine.compiled.lift.sums import Maxima
from engine.compiled.sequential import Bytes, Ints, Longs, Shorts, loop

MOST_RUNS = 64  # of operands: more are gathered, since each run has code of its own
GATHER_FROM = 4  # operands in runs shorter than this are gathered, in blocks of at least as many


def are_single(rows: Rows, members: Column, first: int, last: int) -> bool:
    """Whether operations of one kind are emitted one by one."""
    return last - first == 1 or (last - first < NARROW and rows.narrow_at[members[first]])


def ones(rows: Rows, groups: Groups, g: int) -> int:
    """Emit groups of operations on single rows, from group g on, as far as there are such and
    their operands have rows in the right space; return the group to go on with."""
    nodes = rows.nodes
    space = int(groups.space[g])
    given = nodes.new(2, 0, np.int64)
    given[0], given[1] = rows.rows[space], rows.single
    done: int = _ones.over(nodes.count)(
        *(groups.members, groups.start, groups.space, groups.tag),
        *(nodes.op, nodes.a, nodes.b, nodes.c, nodes.arity, nodes.space, nodes.narrow),
        *(rows.row, rows.lane_row, *rows.segments, given, g, len(groups)),
    )
    if given[1] > rows.single:
        rows.begin_segment(space)
        rows.rows[space], rows.single = int(given[0]), int(given[1])
    return done


@loop
def _ones(
    members: Ints,
    start: Ints,
    group_space: Bytes,
    group_tag: Shorts,
    op: Shorts,
    a: Ints,
    b: Ints,
    c: Ints,
    arity: Shorts,
    space: Bytes,
    narrow: Bytes,
    row: Ints,
    lane_row: Ints,
    code: Ints,
    out: Ints,
    first: Ints,
    second: Ints,
    third: Ints,
    at: Longs,
    g: int,
    groups: int,
) -> int:
    """`ones`: `at` has the next row and the next place among single operations."""
    here = group_space[g]
    while g < groups and group_space[g] == here and group_tag[g] >= 0:
        count = start[g + 1] - start[g]
        if count > 1 and (count >= NARROW or not narrow[members[start[g]]]):
            break
        given = arity[group_tag[g]]
        k = at[1]
        for m in range(start[g], start[g + 1]):
            i = members[m]
            x = a[i]
            first[k] = row[x] if space[x] == here else lane_row[x]
            found = first[k]
            if given >= 2:
                x = b[i]
                second[k] = row[x] if space[x] == here else lane_row[x]
                found = found | second[k]
            if given == 3:
                x = c[i]
                third[k] = row[x] if space[x] == here else lane_row[x]
                found = found | third[k]
            if found < 0:
                return g
            k += 1
        for m in range(start[g], start[g + 1]):
            i = members[m]
            code[at[1]] = op[i]
            out[at[1]] = at[0]
            row[i] = at[0]
            at[0] += 1
            at[1] += 1
        g += 1
    return g


def one(rows: Rows, code: int, space: int, i: int) -> None:
    """An operation on single rows, some of which may have to be repeated in L first."""
    nodes = rows.nodes
    operands = [int(column[i]) for column in (nodes.a, nodes.b, nodes.c)[: nodes.arity[code]]]
    found = rows.of(operands) if space == S else rows.rows_in(L, operands)
    out = rows.row_at[i] = rows.new(space, 1)
    rows.append_one(code, space, out, found)


def repeat(rows: Rows) -> None:
    """Give what narrow operations in L read of S a row in L, all at once."""
    nodes = rows.nodes
    at = np.flatnonzero((np.array(nodes.narrow) > 0) & (np.array(nodes.space[: nodes.count]) == L))
    read = np.unique([np.array(column)[at] for column in (nodes.a, nodes.b, nodes.c)]).tolist()
    rows.repeat([x for x in read if x >= 0 and rows.space_at[x] == S])


def elementwise(rows: Rows, code: int, space: int, members: Column) -> None:
    """Operations of one kind, in the order of their operands' rows, so that these are
    contiguous."""
    nodes = rows.nodes
    columns = [nodes.a, nodes.b, nodes.c][: nodes.arity[code]]
    if isinstance(members, np.ndarray):
        keys = [rows.row[column[members]] for column in columns]
        members = members[np.lexsort(keys[::-1])]
        operands = [column[members] for column in columns]
    else:
        views = [rows.viewed(column) for column in columns]
        row = rows.row_at
        members = sorted(members, key=lambda i: [row[view[i]] for view in views])
        operands = [[view[i] for i in members] for view in views]
    found = [rows.rows_in(space, nodes_of) for nodes_of in operands]
    count = len(members)
    out = rows.give(space, members)
    starts = runs(found)
    scattered = len(starts) * GATHER_FROM > count or len(starts) > MOST_RUNS
    if len(starts) > 1 and count >= GATHER_FROM and scattered:
        firsts = [rows.contiguous(space, column) for column in found]
        rows.append(_map(nodes.tape.names[code], View(space, out, count), firsts))
        return
    for first, last in itertools.pairwise([*starts, count]):
        each = [int(column[first]) for column in found]
        if last - first == 1:
            rows.append_one(code, space, out + first, each)
        else:
            part = View(space, out + first, last - first)
            rows.append(_map(nodes.tape.names[code], part, each))


def _map(name: str, out: View, firsts: list[int]) -> Instruction:
    operands = tuple(out._replace(first=first) for first in firsts)
    return Instruction("map", out, operands, name=name)


def maxima(rows: Rows, found: Maxima, space: int, members: list[int]) -> None:
    """Chains of maxima: an instruction for those of one length."""
    by_length: dict[int, list[int]] = {}
    start, terms = found.start, found.terms
    for i in members:
        k = found.of_node[i]
        by_length.setdefault(int(start[k + 1] - start[k]), []).append(i)
    for length, nodes in by_length.items():
        parts = [terms[start[k] : start[k] + length] for k in (found.of_node[i] for i in nodes)]
        operands = [int(x) for part in parts for x in part]
        listed = rows.listed(rows.rows_in(space, as_column(rows, operands)))
        out = View(space, rows.give(space, nodes), len(nodes))
        given = (View(space, listed, len(operands), True),)
        rows.append(Instruction("max", out, given, shape=(length,)))


def takes(rows: Rows, space: int, members: list[int]) -> None:
    """Look-ups: an instruction for those of one index and length."""
    nodes = rows.nodes
    calls: dict[tuple[int, int], list[int]] = {}
    for i in members:
        calls.setdefault((int(nodes.a[i]), int(nodes.c[i])), []).append(i)
    for (index, length), own in calls.items():
        # entry after entry, the numbers of each together; all in one space
        tables = [nodes.entries[nodes.b[i] : nodes.b[i] + length] for i in own]
        table = [int(x) for entries in zip(*tables, strict=True) for x in entries]
        shared = all(rows.space_at[x] == S for x in table)
        column = as_column(rows, table)
        found = rows.of(column) if shared else rows.rows_in(L, column)
        listed, out = rows.listed(found), View(space, rows.give(space, own), len(own))
        entries = View(S if shared else L, listed, len(table), True)
        chosen_by = View(rows.space_at[index], rows.row_at[index], 1)
        rows.append(Instruction("take", out, (chosen_by, entries), shape=(length,)))


def draws(rows: Rows, space: int, members: list[int]) -> None:
    """Draws of random numbers."""
    out = View(space, rows.give(space, members), len(members))
    calls = [int(rows.nodes.number[i]) for i in members]
    rows.append(Instruction("draw", out, shape=(rows.listed(calls),)))


def as_column(rows: Rows, nodes: list[int]) -> Column:
    """Nodes as an array where they are many."""
    return np.array(nodes, np.int64) if rows.nodes.many and len(nodes) >= LONG else nodes
