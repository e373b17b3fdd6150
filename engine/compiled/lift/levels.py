"""Levels: when each node is computed, and what is computed together.

A node's level is the latest one before all of its users, so that what corresponds in two parts of
a computation meets on one level. Nodes of one space, level and operation become one group.

What runs step by step, as an integrator, has very many levels with little on each. Blocks of so
few would take far longer to be emitted than they save, so such nodes are `narrow`: they stay
single operations, in the order in which they were recorded, and may be found to be `loops`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.compiled.columns import DRAW, LOOP, RESULT, TAKE
from engine.compiled.lift.marks import Column, Nodes
from engine.compiled.lift.sums import Maxima, Sums
from engine.compiled.lift.terms import BIAS, FIELDS, INIT, PRODUCT, SINGLE
from engine.compiled.sequential import Bytes, Ints, Shorts, loop

# groups that no row of the table makes, and how many there are
TAG_SUM, TAG_MAX, TAG_TAKE, TAG_DRAW, TAG_LOOP = -1, -2, -3, -4, -5
_TAGS = 5
NARROW = 24  # operations of a space on a level from which on they are worth blocks
NARROW_FROM = 200  # operations on levels that follow each other, all of fewer, which are narrow


@dataclass(slots=True)
class Groups:
    """Group g is the nodes from `start[g]` up to `start[g + 1]` of `members`, in ascending order,
    which are in `space[g]` and of the operation `tag[g]`. Groups are in the order of computation.
    """

    members: Column
    start: Column
    space: Column
    tag: Column
    late: Column  # by node: 0 for results, -1 before these

    def __len__(self) -> int:
        return len(self.space)


def schedule(nodes: Nodes, sums: Sums, maxima: Maxima, *, apart: bool = False) -> Groups:
    """Give each node its level and its group; with `apart` each of a row of the table has a group
    of its own."""
    total = nodes.count + sums.made
    late, tag = nodes.new(total), nodes.new(total, 0, np.int16)
    columns = (nodes.op, nodes.a, nodes.b, nodes.c, nodes.entries, nodes.arity)
    of_sums = (sums.of_node, sums.table, sums.left, sums.right, sums.singles)
    of_maxima = (maxima.of_node, maxima.start, maxima.terms)
    levels = 1 - _lower_all.over(nodes.count)(
        *(*columns, *of_sums, *of_maxima, nodes.uses, nodes.absorbed, nodes.space, late),
        nodes.count,
    )
    chosen = nodes.new(total)
    count = _choose.over(nodes.count)(
        *(nodes.op, sums.of_node, maxima.of_node, nodes.uses, nodes.absorbed, tag, chosen),
        *(nodes.count, total),
    )
    members = chosen[:count]
    tags = _TAGS + len(nodes.arity)
    if not nodes.many:
        space = nodes.space
        keys = {i: ((space[i] * levels + late[i]) * tags) + tag[i] for i in members}
        members.sort(key=keys.__getitem__)  # stable: members stay in ascending order
        ordered = [keys[i] for i in members]
        start = [
            k
            for k in range(count)
            if k == 0 or ordered[k] != ordered[k - 1] or (apart and tag[members[k]] >= 0)
        ]
        firsts = [members[k] for k in start]
        spaces, kinds = [space[i] for i in firsts], [tag[i] for i in firsts]
        return Groups(members, [*start, count], spaces, kinds, late)
    other = nodes.new(count)
    when = nodes.space[:total].astype(np.int32) * levels + late + (levels - 1)
    key: Column
    for key, size in ((tag.astype(np.int32) + _TAGS, tags), (when, 2 * levels)):
        _sort_by.over(nodes.count)(key, members, other, nodes.new(size + 1), count, size)
        members, other = other, members
    key = when[members].astype(np.int64) * tags + tag[members]
    starts = np.flatnonzero((np.diff(key, prepend=-99) != 0) | (apart & (tag[members] >= 0)))
    firsts = members[starts]
    ends = np.append(starts, count).astype(np.int32)
    return Groups(members, ends, nodes.space[firsts], tag[firsts], late)


def mark_narrow(nodes: Nodes, maxima: Maxima, groups: Groups) -> bool:
    """Mark the nodes that are narrow, by their levels when all sums are found. If there are any,
    return True, and have nothing be part of a sum, so that these are found anew."""
    single = len(groups) == len(groups.members) and TAG_SUM not in groups.tag
    if single or len(groups) * NARROW < NARROW_FROM:
        return False  # all of them are single operations as it is, or on few levels
    width = nodes.new(2 * nodes.count + 2)
    given = (nodes.op, nodes.uses, nodes.user, nodes.absorbed, nodes.space, maxima.of_node)
    found = _mark_narrow.over(nodes.count)(*(*given, groups.late, width, nodes.narrow, nodes.count))
    if found:
        nodes.space = nodes.space[: nodes.count]
        nodes.absorbed = nodes.new(nodes.count, 0, np.uint8)
    return found > 0


def in_order(nodes: Nodes, groups: Groups) -> Groups:
    """Groups of which single operations that follow each other are in the order in which they were
    recorded, each by itself: steps of a computation lie one after the other then."""
    members, start = np.array(groups.members, np.int32), np.array(groups.start, np.int32)
    space, tag = np.array(groups.space, np.uint8), np.array(groups.tag, np.int16)
    size, firsts = np.diff(start), members[start[:-1]]
    narrow = np.array(nodes.narrow)[firsts.clip(max=nodes.count - 1)] > 0
    single = (tag >= 0) & ((size == 1) | ((size < NARROW) & narrow))
    run = np.cumsum(np.diff(np.where(single, space, 2 + np.arange(len(size))), prepend=-1) != 0)
    of_member = np.repeat(run, size)
    apart = np.repeat(single, size)
    order = np.lexsort((np.where(apart, members, np.arange(len(members))), of_member))
    begins = apart | np.isin(np.arange(len(members)), start[:-1])
    tags, spaces = np.repeat(tag, size)[order], np.repeat(space, size)
    starts = np.flatnonzero(begins)
    made = Groups(
        members[order],
        np.append(starts, len(members)).astype(np.int32),
        spaces[starts],
        tags[starts],
        groups.late,
    )
    if not nodes.many:
        made.members, made.start = made.members.tolist(), made.start.tolist()
        made.space, made.tag = made.space.tolist(), made.tag.tolist()
    return made


@loop
def _mark_narrow(
    op: Shorts,
    uses: Ints,
    user: Ints,
    absorbed: Bytes,
    space: Bytes,
    max_of: Ints,
    late: Ints,
    width: Ints,
    narrow: Bytes,
    count: int,
) -> int:
    """`width` counts what is on each level; what is no operation of the scalar table ends a run of
    narrow levels."""
    for i in range(count - 1, -1, -1):
        if uses[i]:
            if absorbed[i]:
                late[i] = late[user[i]]
            if op[i] >= 0 and max_of[i] < 0:
                width[space[i] - 2 * late[i]] += 1
            elif op[i] in (TAKE, DRAW, LOOP) or max_of[i] >= 0:
                width[space[i] - 2 * late[i]] += NARROW
    found = 0
    for here in range(2):
        first = here
        run = 0
        for k in range(here, 2 * count + 2, 2):
            if width[k] < NARROW and k < 2 * count:
                run += width[k]
                continue
            if run < NARROW_FROM:
                for j in range(first, k, 2):
                    width[j] = NARROW
            else:
                found += run
            first = k
            run = 0
    if found:
        for i in range(count):
            narrow[i] = uses[i] and op[i] >= 0 and width[space[i] - 2 * late[i]] < NARROW
    return found


@loop
def _lower(late: Ints, space: Bytes, x: int, before: int, here: int) -> int:
    """Have an operand computed before a level, if it is in the same space."""
    if x >= 0 and before < late[x] and space[x] == here:
        late[x] = before
    return 0


@loop
def _lower_terms(
    late: Ints,
    space: Bytes,
    table: Ints,
    left: Ints,
    right: Ints,
    singles: Ints,
    k: int,
    before: int,
    here: int,
) -> int:
    """The same for the terms of a sum."""
    for j in range(table[k * FIELDS + PRODUCT], table[k * FIELDS + FIELDS + PRODUCT]):
        x = left[j]
        if x < 0:
            x = ~x
        if before < late[x] and space[x] == here:
            late[x] = before
        x = right[j]
        if before < late[x] and space[x] == here:
            late[x] = before
    for j in range(table[k * FIELDS + SINGLE], table[k * FIELDS + FIELDS + SINGLE]):
        x = singles[j]
        if x < 0:
            x = ~x
        if before < late[x] and space[x] == here:
            late[x] = before
    return 0


@loop
def _lower_all(
    op: Shorts,
    a: Ints,
    b: Ints,
    c: Ints,
    entries: Ints,
    arity: Shorts,
    sum_of: Ints,
    table: Ints,
    left: Ints,
    right: Ints,
    singles: Ints,
    max_of: Ints,
    start: Ints,
    terms: Ints,
    uses: Ints,
    absorbed: Bytes,
    space: Bytes,
    late: Ints,
    count: int,
) -> int:
    """Give each node the latest level before all of its users; return the earliest."""
    first = 0
    for i in range(count - 1, -1, -1):
        if not uses[i] or absorbed[i]:
            continue
        before = late[i] - 1
        here = space[i]
        code = op[i]
        k = sum_of[i]
        if k >= 0:
            _lower_terms(late, space, table, left, right, singles, k, before, here)
            for side in range(2):
                x = table[k * FIELDS + (INIT if side else BIAS)]
                _lower(late, space, x, before, here)
                if x >= count:  # made for this sum: nothing else uses it
                    if late[x] < first:
                        first = late[x]
                    _lower_terms(
                        late,
                        space,
                        table,
                        left,
                        right,
                        singles,
                        sum_of[x],
                        late[x] - 1,
                        space[x],
                    )
        elif max_of[i] >= 0:
            for j in range(start[max_of[i]], start[max_of[i] + 1]):
                _lower(late, space, terms[j], before, here)
        elif code >= 0:
            _lower(late, space, a[i], before, here)
            if arity[code] >= 2:
                _lower(late, space, b[i], before, here)
                if arity[code] == 3:
                    _lower(late, space, c[i], before, here)
        elif code == RESULT:
            _lower(late, space, a[i], before, here)
        elif code in (TAKE, LOOP):
            _lower(late, space, a[i], before, here)
            for j in range(b[i], b[i] + c[i]):
                _lower(late, space, entries[j], before, here)
        if before < first:
            first = before
    return first


@loop
def _choose(
    op: Shorts,
    sum_of: Ints,
    max_of: Ints,
    uses: Ints,
    absorbed: Bytes,
    tag: Shorts,
    chosen: Ints,
    count: int,
    total: int,
) -> int:
    """List the nodes that have a group, and their tags."""
    found = 0
    for i in range(total):
        kind = 0
        if sum_of[i] >= 0:
            kind = TAG_SUM
        elif max_of[i] >= 0:
            kind = TAG_MAX
        else:
            code = op[i]
            if not uses[i] or absorbed[i] or not (code >= 0 or code in (TAKE, DRAW, LOOP)):
                continue
            kind = code
            if code == TAKE:
                kind = TAG_TAKE
            elif code == LOOP:
                kind = TAG_LOOP
            elif code == DRAW:
                kind = TAG_DRAW
        tag[i] = kind
        chosen[found] = i
        found += 1
    return found


@loop
def _sort_by(keys: Ints, members: Ints, into: Ints, places: Ints, count: int, size: int) -> int:
    """Sort members by their keys, which are below `size`; equal ones stay as they are."""
    for k in range(count):
        places[keys[members[k]] + 1] += 1
    for k in range(size):
        places[k + 1] += places[k]
    for k in range(count):
        key = keys[members[k]]
        into[places[key]] = members[k]
        places[key] += 1
    return 0
