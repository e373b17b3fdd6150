"""Origins: what became of each node of a tape, to look at."""

from __future__ import annotations

import itertools

from engine.compiled.blocks import Instruction, L
from engine.compiled.lift.levels import Groups
from engine.compiled.lift.lifted import Blocks, Origins
from engine.compiled.lift.marks import CODES
from engine.compiled.lift.products import Terms
from engine.compiled.lift.rows import Rows
from engine.compiled.lift.terms import MATRIX
from engine.compiled.tape import CONSTANT, INPUT


def origins_of(rows: Rows, terms: Terms, groups: Groups, blocks: Blocks) -> Origins:
    """What became of each node, once all is done."""
    nodes, of_node = rows.nodes, terms.of_node
    count = nodes.count
    maker: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for k, instruction in enumerate(itertools.chain(*blocks.instructions)):
        maker[instruction.out.space].update(dict.fromkeys(_written(blocks, instruction), k))
    group_of = [-1] * len(rows.row)
    for g, (first, last) in enumerate(itertools.pairwise(groups.start)):
        for i in groups.members[first:last]:
            group_of[i] = g
    head, group, level, instruction_of = list(range(count)), [-1] * count, [0] * count, []
    op, products = nodes.op, (CODES["mul"], CODES["pass_on"], CODES["square"])
    for i in range(count - 1, -1, -1):  # what uses a node comes behind it
        if nodes.absorbed[i]:
            head[i] = head[nodes.user[i]]
        made_by, k = head[i], of_node[head[i]]
        # Products of two lanes are no part of the matrix product, but of a sum before it.
        if k >= 0 and terms.flags[k] & MATRIX and nodes.absorbed[i] and op[i] in products:
            other = nodes.a[i] if op[i] == CODES["square"] else nodes.b[i]
            init = terms.init[k]
            if init >= count and rows.space_at[nodes.a[i]] == rows.space_at[other] == L:
                own = of_node[init]
                made_by = init if terms.product[own + 1] > terms.product[own] else made_by
        operation = op[i] not in (INPUT, CONSTANT) and nodes.uses[i] > 0
        group[i] = group_of[made_by] if operation else -1
        level[i] = -int(groups.late[made_by])
        row = rows.row_at[made_by]
        instruction_of.append(maker[rows.space_at[made_by]][row] if operation else -1)
    used = [bool(nodes.uses[i] > 0) for i in range(count)]
    return Origins(used, head, group, level, instruction_of[::-1])


def _written(blocks: Blocks, i: Instruction) -> list[int]:
    """The rows that an instruction sets."""
    if i.kind in ("segment", "loop"):
        first, count = i.shape[:2]
        return blocks.lists.segments.out[first : first + count].tolist()  # type: ignore[no-any-return]
    return blocks.lists.rows(i.out).tolist()  # type: ignore[no-any-return]
