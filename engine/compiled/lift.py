"""Lifting: find the blocks in a tape of scalars.

In: a `Tape`. Out: `Blocks`, a short list of instructions on rows of numbers, each of which stands
for many scalar operations. There are two spaces of rows. In the shared space S a row is one
number; whatever depends on no batched input lives there. In the lane space L a row has one number
for each example of a batch, and is computed after all of S.

The passes:

1. `_mark`: space of each node, and how often it is used. What nobody uses is dropped.
2. `_find_sums`: an addition chain, with the products in it, becomes one sum of products.
3. `_schedule`: the level of each node, as late as possible, so that what corresponds in two
   parts of a computation meets on one level.
4. `_group`: nodes of one space, level and operation become one block; sums of products with the
   same right-hand sides become the rows of a matrix, and such matrices that are equal become one
   matrix product. This finds dense layers, weights shared over positions, and convolutions.
5. `_emit_*`: rows are handed out block by block, in an order in which operands are contiguous
   where that can be; where it can't, they are gathered first.

With ``lifted=False`` every node is an instruction of its own: the plain tape, which computes each
scalar, and each step of the chain rule, as the eager engine does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from engine.compiled.kernels import EXACT
from engine.compiled.tape import CONSTANT, DRAW, INPUT, TAKE, Tape
from engine.ops import TABLE

S, L = 0, 1  # the two spaces
POOL_HEADER = 5  # words of the pool that have a meaning of their own: see `kernels`
GATHER_FROM = 4  # operands in runs shorter than this are gathered, in blocks of at least as many


class Instruction(NamedTuple):
    """One block operation. Rows are row numbers in `space`, unless the kernel says otherwise.

    What the fields mean to each kernel is said in `kernels`.
    """

    kernel: str
    space: int
    n: int  # the rows of the result
    out: int
    a: int = 0
    b: int = 0
    c: int = 0
    inner: int = 0
    cols: int = 1
    bias: int = -1
    init: int = -1
    list_1: int = 0  # places in the pool
    list_2: int = 0
    list_3: int = 0


class Check(NamedTuple):
    """A guard at its row: `length` 0 means that the row equals `number`, else it is an index."""

    row: int
    space: int
    order: int
    length: int
    number: float


@dataclass(slots=True)
class Segments:
    """Operations on single rows, in columns: what the instructions "segment" stand for.

    A segment has `n` of them from place `list_1` on. `code` is the place of the operation in the
    table. This is a tape: where nothing is wide, there is nothing to make blocks of.
    """

    code: list[int] = field(default_factory=list)
    out: list[int] = field(default_factory=list)
    a: list[int] = field(default_factory=list)
    b: list[int] = field(default_factory=list)
    c: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Blocks:
    """A lifted function: instructions for S, then for L, and where numbers go in and come out."""

    instructions: tuple[list[Instruction], list[Instruction]]
    rows: tuple[int, int]  # of S and L
    constants: tuple[dict[int, float], dict[int, float]]  # rows that are filled beforehand
    shared_inputs: list[int]  # numbers of the inputs in the first rows of S
    lane_inputs: list[int]  # and of L
    split_inputs: dict[int, int]  # shared inputs with a row of their own in L, for gradients
    outputs: list[tuple[int, int]]  # space and row
    checks: list[Check]
    pool: list[int]
    segments: Segments
    recorded: int

    def written(self, i: Instruction) -> Sequence[int]:
        """The rows that an instruction writes, in its own space."""
        if i.kernel == "segment":
            return self.segments.out[i.list_1 : i.list_1 + i.n]
        return range(i.out, i.out + (i.n * i.cols if i.kernel == "mm" else i.n))

    def read(self, i: Instruction) -> Iterator[tuple[int, int]]:
        """The rows that an instruction reads, each with its space; often ones several times."""

        def block(space: int, first: int, count: int) -> Iterator[tuple[int, int]]:
            return ((space, row) for row in range(first, first + count))

        def listed(space: int, first: int, count: int) -> Iterator[tuple[int, int]]:
            return ((space, max(row, ~row)) for row in self.pool[first : first + count])

        here, kernel, n = i.space, i.kernel, i.n
        if kernel == "mm":
            yield from block(S, i.a, n * i.inner)
            yield from block(here, i.b, i.inner * i.cols)
            yield from block(S, i.bias, n if i.bias >= 0 else 0)
            yield from block(here, i.init, n * i.cols if i.init >= 0 else 0)
        elif kernel == "dot":
            yield from listed(here, i.list_1, n * i.inner)
            yield from listed(here, i.list_2, n * i.inner)
            yield from listed(here, i.list_3, n * i.cols)
        elif kernel == "max":
            yield from listed(here, i.list_1, n * i.inner)
        elif kernel == "take":
            yield i.b, i.a
            yield from listed(i.c, i.list_1, n * i.inner)
        elif kernel.startswith(("gather", "broadcast")):
            source = S if kernel.startswith("broadcast") else here
            yield from (listed(source, i.list_1, n) if kernel.endswith("_list") else ())
            yield from (() if kernel.endswith("_list") else block(source, i.a, n))
        elif kernel == "segment":
            arities = [op.arity for op in TABLE.values()]
            columns = (self.segments.a, self.segments.b, self.segments.c)
            for k in range(i.list_1, i.list_1 + n):
                for column in columns[: arities[self.segments.code[k]]]:
                    yield here, column[k]
        elif kernel != "draw":
            arity = TABLE[kernel.removeprefix("ew_")].arity
            for first in (i.a, i.b, i.c)[:arity]:
                yield from block(here, first, n)


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


@dataclass(slots=True)
class _Sum:
    """bias + init + Σ sign * l * r + Σ sign * single. In a matrix product l is the matrix's.

    `zero` says that 0.0 is a term too, as in Python's `sum`: it makes a sum of -0.0 be 0.0.
    """

    products: list[tuple[int, int]]  # (l, r); a sign of -1 is said by ~l
    singles: list[int] = field(default_factory=list)
    bias: int = -1
    init: int = -1
    matrix: bool = False
    zero: bool = False
    chains: bool = False  # a step of the chain rule is among the products


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
    lanes = list(lane_inputs)
    there_are = bool(lanes) if batched is None else batched
    return _Lift(tape, lanes, list(split), lifted, there_are).run()


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
    lanes = list(lane_inputs)
    work = _Lift(tape, lanes, list(split), True, bool(lanes) if batched is None else batched)
    blocks = work.run()
    return blocks, work.origins(blocks)


class _Lift:
    def __init__(
        self, tape: Tape, lanes: list[int], split: list[int], lifted: bool, batched: bool
    ) -> None:
        self.tape, self.lanes, self.split, self.lifted = tape, lanes, split, lifted
        self.batched = batched
        self.arguments = tape.op.count(INPUT) - len(tape.leaves)
        n = len(tape)
        # One entry a node and one more, which the operand -1 (none) reaches.
        self.space = [S] * n + [S]
        self.uses = [0] * (n + 1)
        self.user = [-1] * (n + 1)
        self.absorbed = bytearray(n + 1)
        self.sums: dict[int, _Sum] = {}
        self.maxima: dict[int, list[int]] = {}
        self.late = [0] * (n + 1)
        self.row = [-1] * (n + 1)
        self.lane_row: dict[int, int] = {}  # rows of L that repeat a row of S
        self.out: tuple[list[Instruction], list[Instruction]] = ([], [])
        self.rows = [0, 0]
        self.constants: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self.pool: list[int] = [0] * POOL_HEADER
        self.pool[EXACT] = int(not lifted)
        self.segments = Segments()
        self.open = [-1, -1]  # where the segment under way begins, in S and in L
        self.lists: dict[tuple[int, ...], int] = {}
        self.gathered: dict[tuple[int, ...], int] = {}
        names = tape.names
        self.add, self.sub, self.neg, self.mul, self.step, self.square, self.maximum, self.det = (
            names.index(name)
            for name in ("add", "sub", "neg", "mul", "pass_on", "square", "maximum", "detach")
        )
        self.arity = [op.arity for op in TABLE.values()]

    def run(self) -> Blocks:
        self._mark()
        if self.lifted:
            self._find_sums()
            self._find_maxima()
        self._schedule()
        shared = self._place_inputs()
        groups = self._group()
        for key in sorted(groups):
            space, tag, members = key >> _SPACE_SHIFT, (key & _TAG_MASK) - _TAG_BASE, groups[key]
            if isinstance(members, int):
                if tag >= 0:
                    self._emit_one(tag, space, members)
                    continue
                members = [members]
            if tag >= 0:
                self._emit_elementwise(tag, space, members)
            elif tag == _SUM:
                self._emit_sums(space, members)
            elif tag == _TAKE:
                self._emit_takes(space, members)
            elif tag == _DRAW:
                self._emit_draws(space, members)
            else:
                self._emit_maxima(space, members)
        self._end_segment(S)
        self._end_segment(L)
        tape = self.tape
        checks = []
        for order, guard in enumerate(tape.guards):
            node = guard.place
            if tape.op[node] != CONSTANT or guard.kind == "index":
                length = int(guard.number) if guard.kind == "index" else 0
                number = 0.0 if length else guard.number
                checks.append(Check(self.row[node], self.space[node], order, length, number))
        return Blocks(
            self.out,
            (self.rows[S], self.rows[L]),
            self.constants,
            shared,
            self.lanes,
            {i: self.rows_of_split[i] for i in self.split},
            [(self.space[y], self.row[y]) for y in tape.outputs],
            checks,
            self.pool,
            self.segments,
            tape.recorded,
        )

    def origins(self, blocks: Blocks) -> Origins:
        """What became of each node, once all is done."""
        tape, sums = self.tape, self.sums
        count = len(tape)
        maker: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for k, instruction in enumerate(itertools.chain(*blocks.instructions)):
            maker[instruction.space].update(dict.fromkeys(blocks.written(instruction), k))
        group_of = [-1] * len(self.space)
        groups = self._group()
        for k, key in enumerate(sorted(groups)):
            members = groups[key]
            for i in [members] if isinstance(members, int) else members:
                group_of[i] = k
        head, group, level, instruction_of = list(range(count)), [-1] * count, [0] * count, []
        for i in range(count - 1, -1, -1):  # what uses a node comes behind it
            if self.absorbed[i]:
                head[i] = head[self.user[i]]
            made_by, root = head[i], sums.get(head[i])
            # Products of two lanes are no part of the matrix product, but of a sum before it.
            own = root is not None and root.matrix and root.init > count and self.absorbed[i]
            if own and tape.op[i] in (self.mul, self.step, self.square):
                assert root is not None
                b = tape.a[i] if tape.op[i] == self.square else tape.b[i]
                both = self.space[tape.a[i]] == self.space[b] == L
                made_by = root.init if both and sums[root.init].products else made_by
            operation = tape.op[i] not in (INPUT, CONSTANT) and self.uses[i]
            group[i] = group_of[made_by] if operation else -1
            level[i] = -self.late[made_by]
            row = self.row[made_by]
            instruction_of.append(maker[self.space[made_by]][row] if operation else -1)
        used = [self.uses[i] > 0 for i in range(count)]
        return Origins(used, head, group, level, instruction_of[::-1])

    # --- 1: spaces and uses ---

    def _operands(self, i: int) -> Sequence[int]:
        tape = self.tape
        op = tape.op[i]
        if op >= 0:
            return (tape.a[i], tape.b[i], tape.c[i])[: self.arity[op]]
        return (tape.a[i], *tape.entries[i]) if op == TAKE else ()

    def _mark(self) -> None:
        tape, space, uses, user = self.tape, self.space, self.uses, self.user
        op, a, b, c = tape.op, tape.a, tape.b, tape.c
        in_lanes = {*self.lanes, *self.split}
        for i in range(len(tape)):
            code = op[i]
            if code >= 0:
                if space[a[i]] or space[b[i]] or space[c[i]]:
                    space[i] = L
            elif code == INPUT:
                space[i] = L if tape.number[i] in in_lanes else S
            elif code == DRAW:
                space[i] = L if self.batched else S
            elif code == TAKE:
                space[i] = max(space[j] for j in self._operands(i))
        for i in (*tape.outputs, *[guard.place for guard in tape.guards]):
            uses[i] += 2  # never absorbed
        for i in range(len(tape) - 1, -1, -1):
            if uses[i] and op[i] >= 0:
                j = a[i]
                uses[j] += 1
                user[j] = i
                j = b[i]
                if j >= 0:
                    uses[j] += 1
                    user[j] = i
                    j = c[i]
                    if j >= 0:
                        uses[j] += 1
                        user[j] = i
            elif uses[i] and op[i] == TAKE:
                for j in self._operands(i):
                    uses[j] += 2

    # --- 2: sums of products ---

    def _find_sums(self) -> None:
        tape, space, uses, user = self.tape, self.space, self.uses, self.user
        op = tape.op
        add, sub, neg = self.add, self.sub, self.neg
        products = (self.mul, self.step, self.square)
        parts = (add, sub, neg, *products)
        # 1: a part of the sum that its only user belongs to; 2: a product that may become one
        part = bytearray(len(tape) + 1)
        roots = []
        for i in range(len(tape) - 1, -1, -1):
            code = op[i]
            if code < 0 or not uses[i]:
                continue
            if code in parts:
                u = user[i]
                inside = uses[i] == 1 and space[u] == space[i]
                inside = inside and (op[u] in (add, sub) or (op[u] == neg and part[u] == 1))
                if inside:
                    part[i] = 2 if code in products else 1
                elif code in (add, sub):
                    roots.append(i)
        for root in reversed(roots):
            self._lift_sum(root, part)

    def _lift_sum(self, root: int, part: bytearray) -> None:
        """Collect the terms of a sum, and keep it if it is worth a block of its own."""
        tape, space = self.tape, self.space
        op, a, b = tape.op, tape.a, tape.b
        inner, products, singles = [], [], []
        mixed = zero = chains = False
        stack = [(root, 1)]  # terms are met from the last to the first
        while stack:
            i, sign = stack.pop()
            kind = part[i]
            if kind == 1 or i == root:
                inner.append(i)
                code = op[i]
                if code == self.neg:
                    stack.append((a[i], -sign))
                else:
                    stack.append((a[i], sign))
                    stack.append((b[i], sign if code == self.add else -sign))
            elif kind == 2:
                inner.append(i)
                x = a[i]
                code = op[i]
                chains = chains or code == self.step
                if code == self.step and op[b[i]] == CONSTANT and tape.number[b[i]] == -1.0:
                    stack.append((x, -sign))
                    continue
                y = x if code == self.square else b[i]
                products.append((sign, x, y))
                if space[x] != space[y]:
                    mixed = True
            elif op[i] == CONSTANT and tape.number[i] == 0.0:
                # x - 0.0 is x, and so is x + -0.0; but -0.0 + 0.0 is 0.0
                zero = zero or sign * math.copysign(1.0, tape.number[i]) > 0.0
            else:
                singles.append(i if sign > 0 else ~i)
        products.reverse()
        singles.reverse()
        terms = len(products) + len(singles) + zero
        if not (terms >= 3 or len(products) >= 2 or mixed):
            return
        for i in inner:
            self.absorbed[i] = i != root
        if space[root] == L:
            self.sums[root] = self._lane_sum(products, singles)
        else:
            self.sums[root] = self._shared_sum(products, singles)
        # A sum of steps of the chain rule may not be -0.0: then nothing would have arrived.
        self.sums[root].zero, self.sums[root].chains = zero or chains, chains

    def _lane_sum(self, products: list[tuple[int, int, int]], singles: list[int]) -> _Sum:
        """A sum in L: a matrix product if shared numbers meet lanes, else a dot row by row."""
        space = self.space
        mixed, both = [], []
        for sign, x, y in products:
            if space[x] == space[y]:
                both.append((x if sign > 0 else ~x, y))
            elif space[x] == S:
                mixed.append((x if sign > 0 else ~x, y))
            else:
                mixed.append((y if sign > 0 else ~y, x))
        if not mixed:
            return _Sum(both, singles)
        shared = [x for x in singles if space[max(x, ~x)] == S]
        lanes = [x for x in singles if space[max(x, ~x)] == L]
        return _Sum(
            mixed,
            bias=self._one_of(S, [], shared),
            init=self._one_of(L, both, lanes),
            matrix=True,
        )

    def _shared_sum(self, products: list[tuple[int, int, int]], singles: list[int]) -> _Sum:
        if len(products) < 2:
            return _Sum([(x if sign > 0 else ~x, y) for sign, x, y in products], singles)
        oriented = []
        for sign, x, y in products:
            if self._rank(y) < self._rank(x):
                x, y = y, x
            oriented.append((x if sign > 0 else ~x, y))
        total = _Sum(oriented, matrix=True)
        rest = self._one_of(S, [], singles)
        if rest >= 0 and rest < len(self.tape) and self.tape.op[rest] in (INPUT, CONSTANT):
            total.bias = rest
        else:
            total.init = rest
        return total

    def _rank(self, i: int) -> int:
        """Parameters and constants are the matrix; of computed operands the earlier ones are."""
        op = self.tape.op[i]
        if op == INPUT:  # of two the leaf; else whichever, but always the same one
            number = int(self.tape.number[i])
            return number - (1 << 41 if number >= self.arguments else 1 << 40)
        return -1 if op == CONSTANT else self._depth()[i]

    def _depth(self) -> list[int]:
        if not hasattr(self, "depth"):
            tape = self.tape
            self.depth = depth = [0] * (len(tape) + 1)
            depth[-1] = -1
            for i in range(len(tape)):
                if tape.op[i] >= 0:
                    depth[i] = 1 + max(depth[tape.a[i]], depth[tape.b[i]], depth[tape.c[i]])
        return self.depth

    def _one_of(self, space: int, products: list[tuple[int, int]], singles: list[int]) -> int:
        """One node for some terms: the term itself if it is one, else a sum made for it."""
        if not products and not singles:
            return -1
        if not products and len(singles) == 1 and singles[0] >= 0:
            return singles[0]
        i = len(self.space)
        self.space.append(space)
        self.late.append(0)
        self.row.append(-1)
        self.sums[i] = _Sum(products, singles, chains=bool(products))
        return i

    def _find_maxima(self) -> None:
        """The chain of maxima under a `detach`, as in softmax: no gradient, so one operation."""
        tape, space, uses, user = self.tape, self.space, self.uses, self.user
        op = tape.op
        for root in range(len(tape)):
            if op[root] != self.maximum or uses[root] != 1 or op[user[root]] != self.det:
                continue
            inner, terms, stack = [], [], [root]
            while stack:
                i = stack.pop()
                same = op[i] == self.maximum and uses[i] == 1 and space[i] == space[root]
                if same:
                    inner.append(i)
                    stack += (tape.b[i], tape.a[i])
                else:
                    terms.append(i)
            if len(terms) >= 3:
                for i in inner:
                    self.absorbed[i] = i != root
                self.maxima[root] = terms

    # --- 3: levels ---

    def _schedule(self) -> None:
        """Give each node the latest level before all of its users; results have level 0."""
        tape, late, space = self.tape, self.late, self.space
        op, a, b, c, uses, absorbed = tape.op, tape.a, tape.b, tape.c, self.uses, self.absorbed
        sums, maxima = self.sums, self.maxima
        for i in range(len(tape) - 1, -1, -1):
            if not uses[i] or absorbed[i]:
                continue
            operands: Iterable[int]
            if i in sums:
                self._schedule_sum(i)
                continue
            if i in maxima:
                operands = maxima[i]
            elif op[i] >= 0:
                operands = (a[i], b[i], c[i])
            elif op[i] == TAKE:
                operands = self._operands(i)
            else:
                continue
            before, here = late[i] - 1, space[i]
            for j in operands:
                if j >= 0 and before < late[j] and space[j] == here:
                    late[j] = before

    def _schedule_sum(self, i: int) -> None:
        late, space = self.late, self.space
        total = self.sums[i]
        before, here = late[i] - 1, space[i]
        for x, y in total.products:
            x = max(x, ~x)
            if before < late[x] and space[x] == here:
                late[x] = before
            if before < late[y] and space[y] == here:
                late[y] = before
        singles = [max(x, ~x) for x in total.singles]
        for x in (*singles, total.bias, total.init):
            if x >= 0 and before < late[x] and space[x] == here:
                late[x] = before
        for x in (total.bias, total.init):
            if x >= len(self.tape):  # made for this sum: nothing else uses it
                self._schedule_sum(x)

    # --- 4: groups ---

    def _group(self) -> dict[int, int | list[int]]:
        """The nodes of each space, level and operation; a node alone without a list of its own.

        A key is one number, in the order of space, level, operation: there may be millions.
        """
        groups: dict[int, int | list[int]] = {}
        tape, uses, absorbed = self.tape, self.uses, self.absorbed
        space, late = self.space, self.late
        op, sums, maxima = tape.op, self.sums, self.maxima
        tags = {TAKE: _TAKE, DRAW: _DRAW}
        first = (_LEVEL_BASE << _LEVEL_SHIFT) + _TAG_BASE
        made = range(len(tape) + 1, len(space))  # sums that `_one_of` made
        for i in itertools.chain(range(len(tape)), made):
            if i in sums:
                tag = _SUM
            elif i in maxima:
                tag = _MAX
            else:
                code = op[i]
                if not uses[i] or absorbed[i] or code in (INPUT, CONSTANT):
                    continue
                tag = code if code >= 0 else tags[code]
            key = (space[i] << _SPACE_SHIFT) + (late[i] << _LEVEL_SHIFT) + tag + first
            members = groups.get(key)
            if members is None:
                groups[key] = i
            elif isinstance(members, int):
                groups[key] = [members, i]
            else:
                members.append(i)
        return groups

    # --- 5: rows and instructions ---

    def _new_rows(self, space: int, count: int) -> int:
        first = self.rows[space]
        self.rows[space] = first + count
        return first

    def _place_inputs(self) -> list[int]:
        """Give inputs the first rows, in their order, and constants the next ones."""
        tape = self.tape
        count = sum(1 for op in tape.op if op == INPUT)
        lanes = {i: row for row, i in enumerate(self.lanes)}
        self.rows[L] = len(self.lanes)
        shared = [i for i in range(count) if i not in lanes]
        shared_row = {i: row for row, i in enumerate(shared)}
        self.rows[S] = len(shared)
        self.rows_of_split = {i: self._new_rows(L, 1) for i in self.split}
        for i in self.split:  # contiguous rows of S make one instruction of it
            self._append(Instruction("broadcast", L, 1, self.rows_of_split[i], a=shared_row[i]))
        for node, op in enumerate(tape.op):
            if op == INPUT:
                i = int(tape.number[node])
                rows = self.rows_of_split if i in self.rows_of_split else lanes
                self.row[node] = rows[i] if self.space[node] == L else shared_row[i]
            elif op == CONSTANT and self.uses[node]:
                row = self.row[node] = self._new_rows(S, 1)
                self.constants[S][row] = tape.number[node]
        return shared

    def _list(self, rows: Sequence[int]) -> int:
        """The place in the pool of a list of rows."""
        key = tuple(rows)
        place = self.lists.get(key)
        if place is None:
            place = self.lists[key] = len(self.pool)
            self.pool += key
        return place

    def _constant_block(self, space: int, nodes: Sequence[int]) -> int:
        """Rows of `space` filled with the numbers of constants, one after the other."""
        key = (-1 - space, *nodes)
        first = self.gathered.get(key)
        if first is None:
            first = self.gathered[key] = self._new_rows(space, len(nodes))
            for k, node in enumerate(nodes):
                self.constants[space][first + k] = self.tape.number[node]
        return first

    def _is_constant(self, i: int) -> bool:
        return i < len(self.tape) and self.tape.op[i] == CONSTANT

    def _rows_in(self, space: int, nodes: Sequence[int]) -> list[int]:
        """The rows of nodes as operands in `space`; what is shared is broadcast to lanes first."""
        if space == S:
            if len(nodes) > 1 and all(map(self._is_constant, nodes)):
                first = self._constant_block(S, nodes)
                return list(range(first, first + len(nodes)))
            return [self.row[i] for i in nodes]
        missing = [i for i in nodes if self.space[i] == S and i not in self.lane_row]
        if missing and all(map(self._is_constant, nodes)):
            first = self._constant_block(L, nodes)
            return list(range(first, first + len(nodes)))
        if missing:
            missing = list(dict.fromkeys(missing))
            live = [i for i in missing if not self._is_constant(i)]
            for i in missing:
                if self._is_constant(i):
                    self.lane_row[i] = self._constant_block(L, [i])
            if live:
                first = self._new_rows(L, len(live))
                self._emit_copy("broadcast", first, [self.row[i] for i in live])
                for k, i in enumerate(live):
                    self.lane_row[i] = first + k
        return [self.row[i] if self.space[i] == L else self.lane_row[i] for i in nodes]

    def _emit_copy(self, kernel: str, out: int, rows: Sequence[int], space: int = L) -> None:
        """Copy rows to new ones: from where they begin, or by a list."""
        first = rows[0]
        if first >= 0 and _is_run(rows):
            copy = Instruction(kernel, space, len(rows), out, a=first)
        else:
            copy = Instruction(f"{kernel}_list", space, len(rows), out, list_1=self._list(rows))
        self._append(copy)

    def _contiguous(self, space: int, rows: Sequence[int]) -> int:
        """The first of contiguous rows with the numbers of `rows`; ~row is a row's negative."""
        first = rows[0]
        if first >= 0 and _is_run(rows):
            return first
        key = (space, *rows)
        found = self.gathered.get(key)
        if found is None:
            found = self.gathered[key] = self._new_rows(space, len(rows))
            self._emit_copy("gather", found, rows, space)
        return found

    def _append(self, instruction: Instruction) -> None:
        self._end_segment(instruction.space)
        self.out[instruction.space].append(instruction)

    def _append_one(self, code: int, space: int, out: int, rows: Sequence[int]) -> None:
        """An operation on single rows: part of the segment under way, or of a new one."""
        segments = self.segments
        if self.open[space] < 0:
            self._end_segment(1 - space)  # both write into the same columns
            self.open[space] = len(segments.code)
        segments.code.append(code)
        segments.out.append(out)
        segments.a.append(rows[0])
        segments.b.append(rows[1] if len(rows) > 1 else 0)
        segments.c.append(rows[2] if len(rows) > 2 else 0)

    def _end_segment(self, space: int) -> None:
        first = self.open[space]
        if first >= 0:
            self.open[space] = -1
            count = len(self.segments.code) - first
            self.out[space].append(Instruction("segment", space, count, 0, list_1=first))

    def _emit_one(self, code: int, space: int, i: int) -> None:
        """A node that is alone on its level."""
        tape, row = self.tape, self.row
        operands = [x for x in (tape.a[i], tape.b[i], tape.c[i]) if x >= 0]
        rows = [row[x] for x in operands] if space == S else self._rows_in(L, operands)
        out = row[i] = self.rows[space]
        self.rows[space] = out + 1
        self._append_one(code, space, out, rows)

    def _emit_elementwise(self, code: int, space: int, members: list[int]) -> None:
        tape, row = self.tape, self.row
        if not self.lifted:
            for i in members:
                self._emit_one(code, space, i)
            return
        columns = (tape.a, tape.b, tape.c)[: self.arity[code]]
        # in the order of their operands' rows, so that operands are contiguous
        members.sort(key=lambda i: [row[column[i]] for column in columns])
        rows = [self._rows_in(space, [column[i] for i in members]) for column in columns]
        count = len(members)
        out = self._new_rows(space, count)
        for k, i in enumerate(members):
            row[i] = out + k
        kernel = "ew_" + tape.names[code]
        starts = _runs(rows)
        if len(starts) > 1 and count >= GATHER_FROM and len(starts) * GATHER_FROM > count:
            firsts = [self._contiguous(space, column) for column in rows]
            self._append(Instruction(kernel, space, count, out, *firsts))
            return
        for first, last in zip(starts, [*starts[1:], count], strict=True):
            operands = [column[first] for column in rows]
            if last - first == 1:
                self._append_one(code, space, out + first, operands)
            else:
                self._append(Instruction(kernel, space, last - first, out + first, *operands))

    def _emit_sums(self, space: int, members: list[int]) -> None:
        """Sums of one level: matrix products where right-hand sides are shared, else dots."""
        dots: list[int] = []
        by_right: dict[tuple[int, ...], list[tuple[tuple[int, ...], int]]] = {}
        for i in members:
            total = self.sums[i]
            if not total.matrix:
                dots.append(i)
                continue
            pairs = sorted([(right, left) for left, right in total.products])
            rights = [right for right, _ in pairs]
            key = (total.zero, total.init >= 0, total.bias >= 0, *rights)
            by_right.setdefault(key, []).append((tuple(left for _, left in pairs), i))
        for matrix in _matrices(by_right, self.sums, space).values():
            if not self._emit_matrix(space, matrix):
                dots += [i for outputs in matrix.outputs for i in outputs]
        by_form: dict[tuple[int, int, bool], list[int]] = {}
        for i in dots:
            total = self.sums[i]
            total.singles += [x for x in (total.bias, total.init) if x >= 0]
            form = (len(total.products), len(total.singles), total.zero)
            by_form.setdefault(form, []).append(i)
        for (products, singles, zero), nodes in by_form.items():
            self._emit_dots(space, products, singles, zero, nodes)

    def _emit_matrix(self, space: int, matrix: _Matrix) -> bool:
        """Emit a matrix product; not if dots are as good, since each number is used but once."""
        row = self.row
        # Matrix rows in the order of their numbers' rows; likewise the columns of the product.
        order = sorted(range(len(matrix.left)), key=lambda k: _signed(row, matrix.left[k][0]))
        left = [_signed(row, x) for k in order for x in matrix.left[k]]
        if space == S and min(len(order), len(matrix.rights)) == 1:
            one = len(order) == len(matrix.rights) == 1
            if one or left[0] < 0 or not _is_run(left):
                return False
        places = sorted(range(len(matrix.rights)), key=lambda q: row[matrix.rights[q][0]])
        right = [row[matrix.rights[q][j]] for j in range(len(matrix.left[0])) for q in places]
        outputs = [matrix.outputs[k][q] for k in order for q in places]
        sums = [self.sums[i] for i in outputs]
        bias = init = -1
        biases = [[row[self.sums[matrix.outputs[k][q]].bias] for q in places] for k in order]
        if sums[0].bias >= 0 and all(len({*of_row}) == 1 for of_row in biases):
            bias = self._contiguous(S, [of_row[0] for of_row in biases])
        elif sums[0].bias >= 0:  # it goes by columns, not by rows
            init = self._contiguous(S, [x for of_row in biases for x in of_row])
        if sums[0].init >= 0:
            init = self._contiguous(space, self._rows_in(space, [total.init for total in sums]))
        a, b = self._contiguous(S, left), self._contiguous(space, right)
        out = self._new_rows(space, len(outputs))
        for k, i in enumerate(outputs):
            row[i] = out + k
        n, inner, cols = len(order), len(matrix.left[0]), len(places)
        self._append(
            Instruction(
                *("mm", space, n, out, a, b, _flags(sums)),
                inner=inner,
                cols=cols,
                bias=bias,
                init=init,
            )
        )
        return True

    def _emit_dots(
        self, space: int, products: int, singles: int, zero: bool, nodes: list[int]
    ) -> None:
        row = self.row
        sums = [self.sums[i] for i in nodes]
        left = [x for total in sums for x, _ in total.products]
        right = [y for total in sums for _, y in total.products]
        single = [x for total in sums for x in total.singles]
        lists = []
        for operands in (left, right, single):
            rows = self._rows_in(space, [max(x, ~x) for x in operands])
            signed = [r if x >= 0 else ~r for r, x in zip(rows, operands, strict=True)]
            lists.append(self._list(signed))
        out = self._new_rows(space, len(nodes))
        for k, i in enumerate(nodes):
            row[i] = out + k
        self._append(
            Instruction(
                "dot",
                space,
                len(nodes),
                out,
                c=_flags(sums),
                inner=products,
                cols=singles,
                list_1=lists[0],
                list_2=lists[1],
                list_3=lists[2],
            )
        )

    def _emit_maxima(self, space: int, members: list[int]) -> None:
        by_length: dict[int, list[int]] = {}
        for i in members:
            by_length.setdefault(len(self.maxima[i]), []).append(i)
        for length, nodes in by_length.items():
            rows = self._rows_in(space, [x for i in nodes for x in self.maxima[i]])
            out = self._new_rows(space, len(nodes))
            for k, i in enumerate(nodes):
                self.row[i] = out + k
            self._append(
                Instruction("max", space, len(nodes), out, inner=length, list_1=self._list(rows))
            )

    def _emit_takes(self, space: int, members: list[int]) -> None:
        tape = self.tape
        calls: dict[tuple[int, int], list[int]] = {}
        for i in members:
            calls.setdefault((tape.a[i], len(tape.entries[i])), []).append(i)
        for (index, length), nodes in calls.items():
            # entry after entry, the numbers of each together; all in one space
            table = [tape.entries[i][t] for t in range(length) for i in nodes]
            shared = all(self.space[x] == S for x in table)
            source = S if shared else L
            rows = [self.row[x] for x in table] if shared else self._rows_in(L, table)
            out = self._new_rows(space, len(nodes))
            for k, i in enumerate(nodes):
                self.row[i] = out + k
            self._append(
                Instruction(
                    "take",
                    space,
                    len(nodes),
                    out,
                    a=self.row[index],
                    b=self.space[index],
                    c=source,
                    inner=length,
                    list_1=self._list(rows),
                )
            )

    def _emit_draws(self, space: int, members: list[int]) -> None:
        out = self._new_rows(space, len(members))
        for k, i in enumerate(members):
            self.row[i] = out + k
        calls = [int(self.tape.number[i]) for i in members]
        self._append(Instruction("draw", space, len(members), out, list_1=self._list(calls)))


_SUM, _MAX, _TAKE, _DRAW = -1, -2, -3, -4  # what a group holds that is no row of the table
# The key of a group: space, level and operation in one number.
_TAG_BASE, _TAG_MASK, _LEVEL_SHIFT = 8, (1 << 12) - 1, 12
_LEVEL_BASE, _SPACE_SHIFT = 1 << 40, 54


@dataclass(slots=True)
class _Matrix:
    """A matrix product found: `left[k][j]` times `rights[q][j]`, summed over j, is part of the
    node `outputs[k][q]`."""

    left: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]
    outputs: list[list[int]]


def _matrices(
    by_right: dict[tuple[int, ...], list[tuple[tuple[int, ...], int]]],
    sums: dict[int, _Sum],
    space: int,
) -> dict[tuple[object, ...], _Matrix]:
    """Merge groups with equal matrices. A group's rows and columns are put into an order that
    depends on the matrix alone, so that equal ones are recognised whatever they multiply."""
    found: dict[tuple[object, ...], _Matrix] = {}
    for (zero, init, bias, *right), rows in by_right.items():
        rows.sort(key=lambda entry: (min(entry[0]), sum(entry[0]), entry[0]))
        columns = list(zip(*[left for left, _ in rows], strict=True))
        order = sorted(range(len(right)), key=columns.__getitem__)
        left = [tuple([row[j] for j in order]) for row, _ in rows]
        # In S a bias may differ from column to column: then it is added like an init.
        biases = tuple(sums[i].bias for _, i in rows) if space == L else ()
        key = (zero, init, bias, biases, *left)
        matrix = found.get(key)
        if matrix is None:
            matrix = found[key] = _Matrix(left, [], [[] for _ in rows])
        matrix.rights.append(tuple(right[j] for j in order))
        for outputs, (_, i) in zip(matrix.outputs, rows, strict=True):
            outputs.append(i)
    return found


def _flags(sums: Sequence[_Sum]) -> int:
    """What holds for some sums: 1 that 0.0 is a term, 2 that steps of the chain rule are."""
    return int(sums[0].zero) + 2 * any(total.chains for total in sums)


def _signed(row: list[int], x: int) -> int:
    return row[x] if x >= 0 else ~row[~x]


def _is_run(rows: Sequence[int]) -> bool:
    """Whether each row follows the one before."""
    first = rows[0]
    return all(row == first + k for k, row in enumerate(rows))


def _runs(columns: Sequence[Sequence[int]]) -> list[int]:
    """Where a run starts: places up to which all columns go up by one, row for row."""
    count = len(columns[0])
    if count <= 16:
        return [
            k for k in range(count) if k == 0 or any(col[k] != col[k - 1] + 1 for col in columns)
        ]
    breaks = np.zeros(count, dtype=bool)
    breaks[0] = True
    for column in columns:
        breaks[1:] |= np.diff(np.asarray(column)) != 1
    return [int(k) for k in np.flatnonzero(breaks)]
