"""Walking a graph of nodes: the order for the reverse sweep, and a snapshot to look at.

Nothing here recurses, so a chain of a million operations works under Python's default recursion
limit. Nodes are told apart by identity, never by `==`, which compares their data.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from engine.modes import Scope
    from engine.value import Value


def topological_order(roots: Iterable[Value], stop: Iterable[Value] = ()) -> list[Value]:
    """Return all nodes that `roots` depend on, each behind its operands.

    Why an order: a node's gradient is complete only when every node that uses it has passed its
    part back. Walking the order from its end guarantees that; recursion from the root, without
    the order, visits a node that is used twice too early.

    The nodes of `stop`, and what only they depend on, are left out.
    """
    nodes: list[Value] = []
    seen = set(stop)
    add, place = seen.add, nodes.append
    stack: list[Value] = []  # nodes whose operands are being visited
    push, pop = stack.append, stack.pop
    for root in roots:
        node: Value | None = None if root in seen else root
        while node is not None:  # a new node: go down to its first operand that is new too
            add(node)
            a = node._a
            if a is not None and a not in seen:
                push(node)
                node = a
                continue
            while True:  # the first operand is placed: now the others, then the node itself
                b = node._b
                if b is None or b in seen:
                    b = _next_of_rest(node, seen, place) if node._rest else None
                if b is not None:
                    push(node)
                    node = b
                    break
                place(node)
                if not stack:
                    node = None
                    break
                node = pop()
    return nodes


def _next_of_rest(node: Value, seen: set[Value], place: Callable[[Value], None]) -> Value | None:
    """The first of the third and later operands that is new; leaves before it are placed."""
    for c, _ in node._rest:
        if c is not None and c not in seen:
            if c.op is not None:
                return c
            seen.add(c)  # at once: a look-up has many leaves, and would be searched from the start
            place(c)
    return None


@contextmanager
def collector_paused() -> Iterator[None]:
    """Python's garbage collector off: it would go through all nodes again and again, and there
    are no cycles to find."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Node(NamedTuple):
    """One node of a `Graph`: a leaf, a literal operand, or the result of an operation."""

    index: int  # type: ignore[assignment]  # tuples have a method of this name
    kind: str  # "leaf", "literal" or "operation"
    op: str  # the operation's label, "" for leaves and literals
    label: str
    data: float
    grad: float | None  # None for a literal, which has no gradient
    scope: Scope | None
    family: str = ""  # the operation's family in the table, "" for leaves and literals


class Edge(NamedTuple):
    """Operand number `operand` of node `target` is node `source`; both are indices."""

    source: int
    target: int
    operand: int


class Graph:
    """A read-only snapshot of everything that some roots depend on.

    `nodes` are in topological order, a literal operand as a node of its own; `edges` lead from
    operand to result. `operands` has the same edges by node: the indices of each one's operands,
    in their order. Later changes of data or gradients don't show in it.

    >>> from engine import Value
    >>> graph = Graph(Value(2.0, label="x") * 3.0)
    >>> [(node.kind, node.op, node.data) for node in graph.nodes]
    [('leaf', '', 2.0), ('literal', '', 3.0), ('operation', '*', 6.0)]
    >>> [tuple(edge) for edge in graph.edges]
    [(0, 2, 0), (1, 2, 1)]
    >>> graph.operands
    ((), (), (0, 1))
    """

    __slots__ = ("nodes", "operands", "roots")

    def __init__(self, *roots: Value) -> None:
        nodes: list[Node] = []
        operands: list[tuple[int, ...]] = []
        index: dict[Value, int] = {}
        for value in topological_order(roots):
            op, scope = value.op, value.scope
            if op is None:
                kind, name, family = "leaf", "", ""
                sources: tuple[int, ...] = ()
            else:
                found = []
                for operand, number in value._operands():
                    if operand is None:
                        found.append(len(nodes))
                        nodes.append(Node(len(nodes), "literal", "", "", number, None, scope))
                        operands.append(())
                    else:
                        found.append(index[operand])
                kind, sources, family = "operation", tuple(found), op.family
                name = value._op if op.label == "**" else op.label
            i = index[value] = len(nodes)
            nodes.append(Node(i, kind, name, value.label, value.data, value.grad, scope, family))
            operands.append(sources)
        self.nodes = tuple(nodes)
        self.operands = tuple(operands)
        self.roots = tuple(index[root] for root in roots)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, those of a node in the order of its operands."""
        return tuple(
            Edge(source, i, k)
            for i, sources in enumerate(self.operands)
            for k, source in enumerate(sources)
        )

    def __repr__(self) -> str:
        return f"Graph({len(self.nodes)} nodes, {sum(map(len, self.operands))} edges)"
