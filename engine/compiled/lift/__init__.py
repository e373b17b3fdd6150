"""Lifting: find the blocks in a tape of scalars.

In: a `Tape`. Out: `Blocks`, a short list of instructions on rows of numbers, each of which stands
for many scalar operations. There are two spaces of rows. In the shared space S a row is one
number; whatever depends on no batched input lives there. In the lane space L a row has one number
for each example of a batch, and is computed after all of S.

The passes, each in a file of its own:

1. `marks`: space of each node, and how often it is used. What nobody uses is dropped.
2. `sums`, by the loops in `terms`: an addition chain, with the products in it, becomes one sum of
   products.
3. `levels`: the level of each node, as late as possible, so that what corresponds in two
   parts of a computation meets on one level; and nodes of one space, level and operation as one
   group. Where level after level has next to nothing on it, nodes stay single operations, in the
   order in which they were recorded.
4. `rows`, `emit`, `products`: rows are handed out group by group, in an order in which operands
   are contiguous where that can be; where it can't, they are gathered first. Sums of products with
   the same right-hand sides become the rows of a matrix, and such matrices that are equal become
   one matrix product. This finds dense layers, weights shared over positions, and convolutions.
5. `loops`: single operations that come again and again become loops: integrators, filters,
   recursions over data. Those that `engine.scan` says are loops are one node each: `nested`.

Passes that go node by node are loops of `sequential`: machine code where there are many nodes.
With ``lifted=False`` every node is an instruction of its own: the plain tape, which computes each
scalar, and each step of the chain rule, as the eager engine does.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine.compiled.blocks import L, Lists, S, Segments
from engine.compiled.columns import CONSTANT
from engine.compiled.lift import emit, wide
from engine.compiled.lift.levels import (
    TAG_DRAW,
    TAG_LOOP,
    TAG_SUM,
    TAG_TAKE,
    Groups,
    in_order,
    mark_narrow,
    schedule,
)
from engine.compiled.lift.lifted import Blocks, Check
from engine.compiled.lift.loops import LEAST, reroll
from engine.compiled.lift.marks import Column, Nodes
from engine.compiled.lift.nested import Lift, emit_loop, joined
from engine.compiled.lift.products import Terms, emit_sums
from engine.compiled.lift.rows import LONG, Rows
from engine.compiled.lift.sums import Maxima, Sums, find_maxima, find_sums
from engine.compiled.tape import Tape

__all__ = ["Blocks", "Check", "lift", "run_passes"]


def lift(
    tape: Tape,
    lane_inputs: Iterable[int] = (),
    split: Iterable[int] = (),
    *,
    lifted: bool = True,
    batched: bool | None = None,
) -> Blocks:
    """Return the blocks of a tape.

    `lane_inputs` are the numbers of the batched inputs; `split` those of shared inputs whose
    gradient is wanted for each example, and which therefore count as batched. `batched` says
    whether there are examples where no input is batched.
    """
    return run_passes(tape, list(lane_inputs), list(split), lifted, batched)[0]


def run_passes(
    tape: Tape,
    lanes: list[int],
    split: list[int],
    lifted: bool,
    batched: bool | None,
    space: int | None = None,
) -> tuple[Blocks, Rows, Terms, Groups]:
    """Return the blocks of a tape, and what the passes noted on the way to them. Where a `space` is
    given, the outputs are in that one."""
    nodes = Nodes.of(tape)
    nodes.mark([*lanes, *split], bool(lanes) if batched is None else batched)
    sums, maxima, groups = _scheduled(nodes, lifted)
    rows, terms = Rows(nodes, sums.made, lanes, split), Terms(nodes, sums)

    def lift_step(step: Tape, lanes: list[int], in_lanes: bool) -> Blocks:
        return run_passes(step, lanes, [], lifted, in_lanes, L if in_lanes else S)[0]

    _emit(rows, groups, terms, maxima, lift_step)
    outputs = [(rows.space_at[y], rows.row_at[y]) for y in tape.outputs]
    if space == L:
        outputs = [(L, rows.rows_in(L, [y])[0]) for y in tape.outputs]
    segments = Segments(*rows.finish())
    instructions = tuple([*reroll(some, segments)] for some in rows.out)
    lists = Lists(np.array(rows.pool, np.int64), segments, rows.constants, exact=not lifted)
    blocks = Blocks(
        instructions,  # type: ignore[arg-type]
        joined(rows, lists),
        (rows.rows[S], rows.rows[L]),
        rows.shared,
        lanes,
        rows.split_rows,
        outputs,
        sorted(_checks(tape, rows), key=lambda check: (check.space, check.order)),
        tape.recorded,
    )
    return blocks, rows, terms, groups


def _scheduled(nodes: Nodes, lifted: bool) -> tuple[Sums, Maxima, Groups]:
    """Sums, chains of maxima and groups; of what is found to be narrow no sums. If it is not to be
    lifted, each operation of the scalar table by itself."""
    if not lifted:
        sums, maxima = Sums.none(nodes), Maxima.none(nodes)
        return sums, maxima, schedule(nodes, sums, maxima, apart=True)
    sums, maxima = find_sums(nodes), find_maxima(nodes)
    groups = schedule(nodes, sums, maxima)
    if mark_narrow(nodes, maxima, groups):
        sums, maxima = find_sums(nodes), find_maxima(nodes)
        groups = schedule(nodes, sums, maxima)
    if len(groups) >= LEAST:  # else there is no loop
        groups = in_order(nodes, groups)
    return sums, maxima, groups


def _emit(rows: Rows, groups: Groups, terms: Terms, maxima: Maxima, lift_step: Lift) -> None:
    """Emit all groups in their order."""
    starts, spaces, tags = map(rows.viewed, (groups.start, groups.space, groups.tag))
    members, g, count, repeated = rows.viewed(groups.members), 0, len(groups), False
    while g < count:
        first, last, space, tag = starts[g], starts[g + 1], spaces[g], tags[g]
        if tag >= 0 and emit.are_single(rows, members, first, last):
            if space == L and rows.narrow_at[members[first]] and not repeated:
                repeated = True
                emit.repeat(rows)
            done = emit.ones(rows, groups, g)
            if done == g:
                for k in range(first, last):
                    emit.one(rows, tag, space, members[k])
            g = max(done, g + 1)
            continue
        g += 1
        long = rows.nodes.many and last - first >= LONG and (tag >= 0 or tag == TAG_SUM)
        own: Column = groups.members[first:last] if long else list(members[first:last])
        if tag >= 0:
            emit.elementwise(rows, tag, space, own)
        elif tag == TAG_SUM and long:
            wide.emit_sums(rows, terms.sums, space, own)
        elif tag == TAG_SUM:
            emit_sums(rows, terms, space, own)
        elif tag == TAG_TAKE:
            emit.takes(rows, space, own)
        elif tag == TAG_DRAW:
            emit.draws(rows, space, own)
        elif tag == TAG_LOOP:
            for node in own:
                emit_loop(rows, space, node, lift_step)
        else:
            emit.maxima(rows, maxima, space, own)


def _checks(tape: Tape, rows: Rows) -> Iterable[Check]:
    """What guards check of which rows."""
    for order, guard in enumerate(tape.guards):
        node = guard.place
        if tape.op[node] != CONSTANT or guard.kind == "index":
            length = int(guard.number) if guard.kind == "index" else 0
            number = 0.0 if length else guard.number
            yield Check(rows.row_at[node], rows.space_at[node], order, length, number)
