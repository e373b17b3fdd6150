"""The chain rule on a tape: out of a tape that computes numbers, one that computes derivatives.

In: a `Tape` without loops, and seeds: nodes, each in a color. Forwards, tangents go from operands
to results; backwards, adjoints from results to operands. A node has one number for each color that
reaches it, and no others are computed: that is what makes derivatives sparse. Where every seed has
a color of its own, what reaches the end is the pattern of the derivatives (`pattern`); where few
colors do, it is a compressed matrix (`derived`).

What an edge passes on is recorded once for each operation and operand, as the eager sweep records
it (`calculus.record_rule`), and then written out on columns for all edges of that kind. Constants
are folded, and repetitions dropped, as in any recording (`numbering`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from engine import modes
from engine.calculus import record_rule
from engine.compiled.columns import CONSTANT, DRAW, INPUT, TAKE, Array, Columns, coded
from engine.compiled.numbering import numbered, reached_by
from engine.compiled.sequential import Bytes, Ints, loop
from engine.compiled.tape import Tape
from engine.functions import FUNCTIONS
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.value import computed_leaf

# Operands of a rule's steps: the first are those of the edge's node.
_STEP = 6  # behind four operands, the node itself and what is passed on: the steps


def _is_another(index: Any, entry: Any, place: Any, from_end: Any) -> Any:
    """Where the edge from an entry of a look-up is cut."""
    equal = FUNCTIONS["equal"]
    return 1.0 - (equal(index, place) + equal(index, from_end))


_ENTRY = Op("entry", "take", None, (0.0, 1.0, 0.0, 0.0), cuts=(True, _is_another, True, True))


class Seeding(NamedTuple):
    """Nodes whose tangents, or adjoints, are 1, each in a color."""

    nodes: Sequence[int]
    colors: Array
    forward: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """How far seeds reach: `node` and `color` of pairs, of which the first are the seeds, and the
    contributions that they are made of: over an edge, from a pair to a pair, in their order."""

    seeding: Seeding
    node: Array
    color: Array
    sure: Array  # whether it has arrived whatever the inputs are
    edge: Array
    before: Array
    after: Array


class Chain:
    """The edges of a tape along which derivatives of its outputs may pass."""

    def __init__(self, tape: Tape) -> None:
        assert not tape.loops
        self.tape, self._columns = tape, _columns_of(tape)
        useful = reached_by(self._columns)
        node, slot, operand, place = _operands_of(tape)
        passing, cut = _passing(tape.op[node], slot)
        leading = useful[node].view(bool) & (tape.op[operand] != CONSTANT) & passing
        kept = np.flatnonzero(leading)
        kept = kept[np.argsort(node[kept], kind="stable")]
        self._node, self._slot, self._operand = node[kept], slot[kept], operand[kept]
        self._place, self._cut = place[kept], cut[kept]

    def carry(self, seedings: Sequence[Seeding]) -> Reach:
        """How far the seeds of one of these reach: that which takes fewest contributions.

        They take turns with more and more room, since sums over all inputs are dear for tangents,
        and numbers that all outputs read for adjoints."""
        room = 4 * (len(self._node) + max(len(seeding.nodes) for seeding in seedings))
        while True:
            for seeding in seedings:
                reach = self._carried(seeding, room)
                if reach is not None:
                    return reach
            room *= 4

    def _carried(self, seeding: Seeding, room: int) -> Reach | None:
        """How far seeds reach; None where that takes more contributions than there is room for."""
        nodes, colors, forward = seeding
        ends = (self._operand, self._node) if forward else (self._node, self._operand)
        order = slice(None) if forward else slice(None, None, -1)
        source, target = (np.ascontiguousarray(x[order], np.int32) for x in ends)
        cut = np.ascontiguousarray(self._cut[order])
        edges, seeds = len(cut), len(nodes)
        pairs = seeds + room
        slots = 1 << (2 * pairs).bit_length()
        node, color, follow = (np.zeros(pairs, np.int32) for _ in range(3))
        edge, before, after = (np.zeros(room, np.int32) for _ in range(3))
        node[:seeds], color[:seeds] = nodes, colors
        sure, made = np.ones(pairs, np.uint8), np.zeros(1, np.int32)
        head, table = np.full(len(self.tape), -1, np.int32), np.zeros(slots, np.int32)
        count = _carry.on_columns(edges + seeds)(
            *(source, target, cut, node, color, sure, follow, head, table),
            *(edge, before, after, made, edges, seeds, room, slots - 1),
        )
        if count < 0:
            return None
        size = int(made[0])
        edge = edge[:count] if forward else edges - 1 - edge[:count]
        pair = node[:size].copy(), color[:size].copy(), sure[:size].copy()
        return Reach(seeding, *pair, edge.copy(), before[:count].copy(), after[:count].copy())

    def pattern(self, inputs: Sequence[int]) -> tuple[Array, Array]:
        """Which outputs depend on which of the inputs: for each output where its entries begin,
        and which inputs they are."""
        outputs = self.tape.outputs
        columns = Seeding(inputs, np.arange(len(inputs)), forward=True)
        rows = Seeding(outputs, np.arange(len(outputs)), forward=False)
        reach = self.carry([columns, rows])
        if reach.seeding.forward:
            row, column = _ends(reach, outputs)
        else:
            column, row = _ends(reach, inputs)
        order = np.lexsort((column, row))
        starts = np.searchsorted(row[order], np.arange(len(outputs) + 1))
        return starts.astype(np.int32), column[order].astype(np.int32)

    def derived(self, reach: Reach, nodes: Array, colors: Array) -> Tape:
        """The tape whose outputs are the numbers of these pairs; 0 where a color does not reach."""
        tape, op = self.tape, self.tape.op[self._node]
        kind = np.where(op == TAKE, -1, 4 * op.astype(np.int64) + self._slot)
        kinds, which = np.unique(
            2 * kind[reach.edge] + reach.sure[reach.before], return_inverse=True
        )
        rules = [_rule_of(k) for k in kinds.tolist()]
        previous = _previous(reach.after)
        added = (previous >= 0) | (reach.after < len(reach.seeding.nodes))  # to what was there
        size = np.array([len(rule.codes) for rule in rules], np.int64)[which] + added
        start = len(tape) + np.cumsum(size) - size
        value = start + size - 1
        rows = _Rows(len(tape), int(size.sum()), self._columns.literals)
        zero, one = rows.literals_of([0.0, 1.0]).tolist()
        number = np.full(len(reach.node), one)  # where that of each pair is
        number[reach.after] = value
        given = self._given(rows)
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which, minlength=len(rules)))
        for rule, first, last in zip(rules, [0, *ends], ends, strict=False):
            own = order[first:last]
            edge, at, literals = reach.edge[own], start[own], rows.literals_of(rule.literals)
            operands = [x[edge] for x in given] + [self._node[edge], number[reach.before[own]]]
            operands += [at + step for step in range(len(rule.codes))]
            for step, (code, refs) in enumerate(zip(rule.codes, rule.operands, strict=True)):
                chosen = [operands[ref] if ref >= 0 else literals[~ref] for ref in refs]
                rows.write(at + step, code, *chosen)
        add = coded()[0][TABLE["add"]]
        before = np.where(previous >= 0, value[previous], one)
        rows.write(value[added], add, before[added], value[added] - 1)
        pair = _pairs(reach, nodes, colors)
        wanted = np.where(pair >= 0, number[pair], zero)
        unsure = np.flatnonzero((pair >= 0) & (reach.sure[pair] == 0))
        last = rows.more(len(unsure))  # -0.0 says that nothing arrived: that is 0
        rows.write(last, add, wanted[unsure], zero)
        wanted[unsure] = last
        return self._numbered(rows, wanted)

    def _given(self, rows: _Rows) -> list[Array]:
        """The operands of each edge's node; of a look-up its index, the entry, and the two indices
        that take it."""
        tape, node = self.tape, self._node
        given = [x[node].astype(np.int64) for x in (tape.a, tape.b, tape.c, tape.c)]
        own = np.flatnonzero(tape.op[node] == TAKE)
        place = self._place[own]
        given[1][own] = self._operand[own]
        given[2][own] = rows.literals_of(place)
        given[3][own] = rows.literals_of(place - tape.c[node[own]])
        return given

    def _numbered(self, rows: _Rows, outputs: Array) -> Tape:
        """The tape with more rows, as far as these outputs and the guards need them."""
        tape, base = self.tape, self._columns
        roots = np.append(outputs, [guard.place for guard in tape.guards]).astype(np.int32)
        code = np.append(base.code, rows.code)
        operands = zip((base.a, base.b, base.c), rows.operands, strict=True)
        a, b, c = (np.append(x, y).astype(np.int32) for x, y in operands)
        found = _originals(len(base.leaves), code, a)
        direct = code != TAKE  # which has places of entries in b and c
        for column, own in ((a, True), (b, direct), (c, direct), (roots, True)):
            chosen = (column >= 0) & own
            column[chosen] = found[column[chosen]]
        literals = np.concatenate(rows.literals)
        entries = found[base.entries]
        x = _Columns(base.leaves, range(len(code)), code, a, b, c, entries, roots, literals, [])
        draws = int((tape.op == DRAW).sum())
        given = len(base.leaves) - len(tape.leaves)
        made = numbered(x, given - draws, draws, reached_by(x))
        places = zip(tape.guards, made.results[len(outputs) :], strict=True)
        return Tape(
            [*TABLE],
            *(made.op, made.a, made.b, made.c, made.entries, made.number),
            [tape.leaves[row - given] for row in made.leaves],
            made.results[: len(outputs)],
            [guard._replace(place=place) for guard, place in places],
            made.recorded,
        )


class _Rows:
    """Rows of operations that are written behind those of a tape. An operand is a row, or ~k for a
    literal, of which the tape's come first."""

    def __init__(self, first: int, count: int, literals: Array) -> None:
        self._first, self._known = first, len(literals)
        self.code = np.zeros(count, np.int16)
        self.operands = [np.full(count, -1, np.int64) for _ in range(3)]
        self.literals = [literals]

    def literals_of(self, numbers: Sequence[float] | Array) -> Array:
        """Numbers as operands."""
        self.literals.append(np.array(numbers, np.float64))
        first, self._known = self._known, self._known + len(numbers)
        return ~np.arange(first, self._known)

    def more(self, count: int) -> Array:
        """Further rows, at the end."""
        size = len(self.code) + count
        self.code = np.resize(self.code, size)
        self.operands = [np.append(x, np.full(count, -1)) for x in self.operands]
        return np.arange(size - count, size) + self._first

    def write(self, rows: Array, code: int, *operands: Array | int) -> None:
        """Have an operation in some rows."""
        self.code[rows - self._first] = code
        for column, operand in zip(self.operands, operands, strict=False):
            column[rows - self._first] = operand


def gradient_of(tape: Tape, inputs: Sequence[int]) -> Tape:
    """The tape of the gradient of its one output, by some of its inputs."""
    chain, color = Chain(tape), np.zeros(1, np.int32)
    reach = chain.carry([Seeding(tape.outputs, color, forward=False)])
    return chain.derived(reach, np.array(inputs, np.int64), np.zeros(len(inputs), np.int64))


# --- edges --------------------------------------------------------------------------------------


class _Columns(Columns):
    """Columns of operations that nobody recorded."""

    def numbers(self, nodes: Sequence[int]) -> list[float]:
        """What some of them give that depend on literals alone; the operands of each come first."""
        forwards: Any = [op.forward for op in TABLE.values()]
        arity, first, rows = coded()[1].tolist(), len(self.leaves), np.array(nodes, np.int64)
        literals, found = self.literals.tolist(), dict[int, float]()
        columns = [column[rows].tolist() for column in (self.code, self.a, self.b, self.c)]
        for row, code, *refs in zip((rows + first).tolist(), *columns, strict=True):
            if code >= 0:
                given = [
                    literals[~ref] if ref < 0 else found.get(ref) for ref in refs[: arity[code]]
                ]
                if None not in given:
                    found[row] = forwards[code](*given)
        return [found.get(row, 0.0) for row in (rows + first).tolist()]


def _originals(first: int, code: Array, a: Array) -> Array:
    """Of what each row is a copy, a row or a literal. Sums pass on adjoints as they are, so that
    copies of copies are as many as terms."""
    of = np.arange(first + len(code), dtype=np.int32)
    copies = first + np.flatnonzero(code == coded()[0][TABLE["identity"]])
    of[copies] = a[copies - first]
    while True:  # twice as far each time
        further = np.where(of < 0, of, of[np.maximum(of, 0)])
        if np.array_equal(further, of):
            return of
        of = further


def _columns_of(tape: Tape) -> Columns:
    """A tape as columns, constants as copies of literals."""
    first = int(((tape.op == INPUT) | (tape.op == DRAW)).sum())
    code = tape.op[first:].copy()
    a, b, c = (column[first:].copy() for column in (tape.a, tape.b, tape.c))
    constants = np.flatnonzero(code == CONSTANT)
    code[constants] = coded()[0][TABLE["identity"]]
    a[constants] = ~np.arange(len(constants))
    roots, literals = np.array(tape.outputs, np.int32), tape.number[first:][constants]
    rows = range(first), range(len(code))
    return _Columns(*rows, code, a, b, c, tape.entries, roots, literals, [])


def _operands_of(tape: Tape) -> tuple[Array, Array, Array, Array]:
    """All operands: the node that has it, its slot, which node it is, and of an entry of a look-up
    its place."""
    arity, takes = coded()[1][tape.op], np.flatnonzero(tape.op == TAKE)
    length = tape.c[takes]
    parts = []
    for k, column in enumerate((tape.a, tape.b, tape.c)):
        own = np.flatnonzero(arity > k)
        parts.append((own, np.full(len(own), k), column[own], np.zeros(len(own), np.int64)))
    node = np.repeat(takes, length)
    place = np.arange(len(node)) - np.repeat(np.cumsum(length) - length, length)
    operand = tape.entries[np.repeat(tape.b[takes], length) + place]
    parts.append((node, np.ones(len(node), np.int64), operand, place))
    node, slot, operand, place = (np.concatenate(x) for x in zip(*parts, strict=True))
    return node, slot, operand, place


def _passing(op: Array, slot: Array) -> tuple[Array, Array]:
    """Whether anything passes over an edge to a slot of an operation; and whether it is cut
    there for some inputs."""
    cuts = np.zeros((len(TABLE), 3), np.int8)  # 1 where that depends, 2 where nothing passes
    for code, row in enumerate(TABLE.values()):
        for k, cut in enumerate(row.cuts):
            cuts[code, k] = (2 if cut else 0) if isinstance(cut, bool) else 1
    found = np.where(op == TAKE, 1, cuts[np.maximum(op, 0), slot])
    return found < 2, (found == 1).astype(np.uint8)


class _Rule(NamedTuple):
    """What passes over an edge, as steps: the code of each, and its operands: those of the edge's
    node, its result, what is passed on, steps, and literals as ~k."""

    codes: list[int]
    operands: list[list[int]]
    literals: list[float]


def _rule_of(kind: int) -> _Rule:
    """The rule of a kind of edge: of an operation and a slot, or of an entry, if sure or not."""
    kind, sure = kind >> 1, bool(kind & 1)
    table = tuple(TABLE.values())
    return _rule(table, *((table[kind >> 2], kind & 3) if kind >= 0 else (_ENTRY, 1)), sure)


@functools.lru_cache(maxsize=1024)
def _rule(table: tuple[Op, ...], op: Op, slot: int, sure: bool) -> _Rule:
    codes = {row: code for code, row in enumerate(table)}
    with modes.enable_grad(), modes.errstate("ignore"):
        *args, result, g = leaves = [computed_leaf(0.5) for _ in range(_STEP)]
        passed: Any = record_rule(op, slot, args[: op.arity], result, g, sure=sure)
        place = {leaf: k for k, leaf in enumerate(leaves)}
        made = _Rule([], [], [])
        nodes = topological_order([passed], stop=leaves)
        for node in nodes or [FUNCTIONS["identity"](passed)]:
            operands = []
            for operand, number in node._operands():
                if operand is None:
                    made.literals.append(number)
                operands.append(~(len(made.literals) - 1) if operand is None else place[operand])
            place[node] = _STEP + len(made.codes)
            made.codes.append(codes[node.op])  # type: ignore[index]
            made.operands.append(operands)
    return made


# --- pairs of a node and a color ------------------------------------------------------------------


def _previous(after: Array) -> Array:
    """The contribution before each that goes to the same pair; -1 for the first."""
    order = np.argsort(after, kind="stable")
    again = np.flatnonzero(after[order[1:]] == after[order[:-1]])
    previous = np.full(len(after), -1, np.int64)
    previous[order[again + 1]] = order[again]
    return previous


def _pairs(reach: Reach, nodes: Array, colors: Array) -> Array:
    """Which pairs these are; -1 where a color does not reach."""
    most = 1 + max(int(reach.color.max(initial=0)), int(colors.max(initial=0)))
    keys = reach.node.astype(np.int64) * most + reach.color
    order = np.argsort(keys)
    sought = np.asarray(nodes, np.int64) * most + colors
    at = np.minimum(np.searchsorted(keys[order], sought), len(keys) - 1)
    return np.where(keys[order[at]] == sought, order[at], -1)


def _ends(reach: Reach, nodes: Sequence[int]) -> tuple[Array, Array]:
    """The entries of some nodes, of which one may come twice: which it is, and the color."""
    order = np.argsort(reach.node, kind="stable")
    sorted_nodes = reach.node[order]
    first = np.searchsorted(sorted_nodes, nodes, "left")
    count = np.searchsorted(sorted_nodes, nodes, "right") - first
    which = np.repeat(np.arange(len(count)), count)
    at = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + first[which]
    return which, reach.color[order[at]]


@loop
def _pair(
    owner: int,
    tint: int,
    node: Ints,
    color: Ints,
    sure: Bytes,
    follow: Ints,
    head: Ints,
    table: Ints,
    size: int,
    mask: int,
) -> int:
    """The pair of a node and a color; `size`, where it is put, if it is new."""
    at = (((owner * 0x9E3779B1 + tint) * 0x1E3779B97F4A7C15 & 0x7FFFFFFFFFFFFFFF) >> 31) & mask
    while table[at]:
        k = table[at] - 1
        if node[k] == owner and color[k] == tint:
            return k  # type: ignore[no-any-return]
        at = (at + 1) & mask
    table[at] = size + 1
    node[size] = owner
    color[size] = tint
    sure[size] = 0
    follow[size] = head[owner]
    head[owner] = size
    return size


@loop
def _carry(
    source: Ints,
    target: Ints,
    cut: Bytes,
    node: Ints,
    color: Ints,
    sure: Bytes,
    follow: Ints,
    head: Ints,
    table: Ints,
    edge: Ints,
    before: Ints,
    after: Ints,
    made: Ints,
    edges: int,
    seeds: int,
    room: int,
    mask: int,
) -> int:
    """Carry colors over all edges; return how many contributions that took, -1 for too many."""
    for k in range(seeds):
        _pair(node[k], color[k], node, color, sure, follow, head, table, k, mask)
        sure[k] = 1
    size = seeds
    done = 0
    for e in range(edges):
        p = head[source[e]]
        while p >= 0:
            if done == room:
                return -1
            q = _pair(target[e], color[p], node, color, sure, follow, head, table, size, mask)
            size += q == size
            if sure[p] and not cut[e]:
                sure[q] = 1
            edge[done] = e
            before[done] = p
            after[done] = q
            done += 1
            p = follow[p]
    made[0] = size
    return done
