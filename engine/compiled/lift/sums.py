"""Sums: an addition chain with the products in it is one sum of products; a chain of maxima one."""

from __future__ import annotations

from dataclasses import dataclass

from engine.compiled import blocks
from engine.compiled.lift import terms
from engine.compiled.lift.marks import Column, Nodes
from engine.compiled.lift.terms import CHAINS, FIELDS, MADE, ZERO


@dataclass(slots=True)
class Sums:
    """Sums by number: bias + init + Σ left * right + Σ single, in columns.

    `field` gives a column of `table`. Sum k is the node NODE; its products are those from PRODUCT
    up to that of sum k + 1, its singles likewise from SINGLE on; a sign of -1 is said by ~left, and
    by ~single. BIAS and INIT are nodes or -1. Of FLAGS, MATRIX says that it may be part of a matrix
    product, of which `left` is the matrix; ZERO that 0.0 is a term too, as in Python's `sum`, which
    makes a sum of -0.0 be 0.0; CHAINS that a step of the chain rule is among the products.

    `made` sums of terms of others are nodes of their own, behind those of the tape.
    """

    of_node: Column  # the number of a node's sum, or -1
    table: Column
    left: Column
    right: Column
    singles: Column
    made: int = 0

    @classmethod
    def none(cls, nodes: Nodes) -> Sums:
        """No sums, for the plain tape."""
        return cls(nodes.new(nodes.count, -1), *(nodes.new(FIELDS) for _ in range(4)))

    def field(self, name: int) -> Column:
        """One entry of each sum: a view, if this is an array."""
        return self.table[name::FIELDS]


@dataclass(slots=True)
class Maxima:
    """Chains of maxima: the terms of node i, if `of_node[i]` is k, from `start[k]` to the next."""

    of_node: Column
    start: Column
    terms: Column

    @classmethod
    def none(cls, nodes: Nodes) -> Maxima:
        """No such chains, for the plain tape."""
        return cls(nodes.new(nodes.count, -1), *(nodes.new(1) for _ in range(2)))


def find_sums(nodes: Nodes) -> Sums:
    """Find the sums of what is not narrow, and give the nodes that are made for them a space."""
    count = nodes.count
    part, roots = nodes.new(count), nodes.new(count)
    columns = (nodes.op, nodes.uses, nodes.user, nodes.space)
    found = terms.mark_parts.over(count)(*columns, part, roots, count)
    if not found:
        return Sums.none(nodes)
    nodes.make_room(2 * found)
    of_node, table = nodes.new(count + 2 * found, -1), nodes.new((3 * found + 1) * FIELDS)
    left, right, singles = nodes.new(count), nodes.new(count), nodes.new(2 * count + 2)
    at = nodes.new(10)
    at[MADE] = count
    work = [nodes.new(2 * count + 2) for _ in range(5)]
    terms.collect_sums.over(count)(
        *(nodes.op, nodes.a, nodes.b, nodes.bits(), nodes.space, part, roots, nodes.absorbed),
        *(nodes.narrow, nodes.ranks(), of_node, table, left, right, singles, *work, at),
        *(count, found),
    )
    return Sums(of_node, table, left, right, singles, int(at[MADE]) - count)


def find_maxima(nodes: Nodes) -> Maxima:
    """Find chains of maxima under a `detach`, as in softmax: no gradient, so one operation."""
    count, op = nodes.count, nodes.op
    there_are = bool((op == terms.MAXIMUM).any()) if nodes.many else terms.MAXIMUM in op
    if not there_are:
        return Maxima.none(nodes)
    found = Maxima(nodes.new(count, -1), nodes.new(count + 1), nodes.new(2 * count + 2))
    columns = (nodes.op, nodes.a, nodes.b, nodes.uses, nodes.user, nodes.space, nodes.absorbed)
    terms.collect_maxima.over(count)(
        *(*columns, nodes.new(count + 2), found.of_node, found.start, found.terms, count)
    )
    return found


def told(flags: int) -> int:
    """What an instruction says of its sums, of the flags of any: that 0.0 is a term, which it is of
    all or none, and that steps of the chain rule are."""
    return (blocks.ZERO if flags & ZERO else 0) | (blocks.NOTED if flags & CHAINS else 0)
