"""Origins: what became of each node of a tape, to look at."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from engine.compiled.blocks import L
from engine.compiled.columns import CONSTANT, INPUT
from engine.compiled.instructions import ROWS
from engine.compiled.lift import Blocks, run_passes
from engine.compiled.lift.levels import Groups
from engine.compiled.lift.marks import CODES
from engine.compiled.lift.products import Terms
from engine.compiled.lift.rows import Rows
from engine.compiled.lift.terms import MATRIX
from engine.compiled.tape import Tape


@dataclass(slots=True)
class Origins:
    """What the passes made of each node of a tape, by node: see `lift_with_origins`.

    Inputs and constants are no operations: they have no group and no instruction, which is -1.
    """

    used: list[bool]  # by a result, in the end
    head: list[int]  # the node that it is a part of: the last addition of a sum, or itself
    group: list[int]  # the number of its group, in the order of computation
    level: list[int]  # how many levels before the results it is computed
    instruction: list[int]  # its place among those of S, followed by those of L


def lift_with_origins(
    tape: Tape,
    lane_inputs: Iterable[int] = (),
    split: Iterable[int] = (),
    *,
    batched: bool | None = None,
) -> tuple[Blocks, Origins]:
    """Return the blocks of a tape, and which nodes of it each instruction stands for.

    The blocks are those of `lift`. Every node that is an operation and is used has one instruction;
    copies, and the sums of several biases, stand for none.
    """
    blocks, rows, terms, groups = run_passes(tape, [*lane_inputs], [*split], True, batched)
    return blocks, _origins_of(rows, terms, groups, blocks)


def _origins_of(rows: Rows, terms: Terms, groups: Groups, blocks: Blocks) -> Origins:
    """What became of each node, once all is done."""
    nodes, of_node = rows.nodes, terms.of_node
    count = nodes.count
    maker: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for k, made in enumerate(itertools.chain(*blocks.instructions)):
        for view in ROWS[made.kind].writes(blocks.lists, made):
            maker[view.space].update(dict.fromkeys(blocks.lists.rows(view).tolist(), k))
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
