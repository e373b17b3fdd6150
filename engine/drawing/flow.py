"""The gradients of a graph, node by node and edge by edge, for pictures; no `grad` is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.graph import Graph, topological_order
from engine.sweep import arrivals, partials_of, passed
from engine.value import Value


@dataclass(frozen=True, slots=True)
class Flow:
    """`adjoints` by node: the derivatives of the roots' sum; `partials` by node and operand, and
    what is `passed` along these edges.

    Literals and edges that are cut have 0.0.
    """

    adjoints: tuple[float, ...]
    partials: tuple[tuple[float, ...], ...]
    passed: tuple[tuple[float, ...], ...]


def index_of(graph: Graph, roots: Sequence[Value]) -> dict[Value, int]:
    """The index of each Value in the snapshot of its graph."""
    places = [node.index for node in graph.nodes if node.kind != "literal"]
    return dict(zip(topological_order(roots), places, strict=True))


def flow_of(graph: Graph, roots: Sequence[Value]) -> Flow:
    """Return the adjoints and partials of a graph.

    Raises GraphError where a node was made by hand.
    """
    places = index_of(graph, roots)
    values = list(places)
    adjoints = [0.0] * len(graph.nodes)
    partials: list[tuple[float, ...]] = [()] * len(graph.nodes)
    gone: list[tuple[float, ...]] = [()] * len(graph.nodes)
    seeds = [(root, 1.0) for root in dict.fromkeys(roots)]
    for value, adjoint in zip(values, arrivals(values, seeds, values), strict=True):
        i, op = places[value], value.op
        adjoints[i] = adjoint or 0.0
        if op is not None:
            found = op.pullback(value.args, value, 1.0) if op.pullback else partials_of(value, op)
            partials[i] = tuple(p or 0.0 for p in found)
            whole = [0.0] * op.arity if adjoint is None else passed(value, adjoint)
            gone[i] = tuple(g or 0.0 for g in whole)
    return Flow(tuple(adjoints), tuple(partials), tuple(gone))


def strongest_path(graph: Graph, flow: Flow) -> list[tuple[int, int]]:
    """Return the edges (operand, node) along which the gradient is strongest, root by root.

    From each root it goes to the operand to which most of the gradient's size passes. Where
    several get the same, as the terms of a sum, to the one from which the chain of partials on to
    a leaf has the largest product. It ends at a leaf, or where nothing passes.
    """
    best = [1.0] * len(graph.nodes)  # the largest product of partials from a node to a leaf
    for i, operands in enumerate(graph.operands):
        if operands:
            best[i] = max(
                abs(p) * best[source] for source, p in zip(operands, flow.partials[i], strict=True)
            )
    path: list[tuple[int, int]] = []
    seen: set[int] = set()
    for root in graph.roots:
        i = root
        while graph.operands[i] and i not in seen:
            seen.add(i)
            passed = [abs(g) for g in flow.passed[i]]
            k = max(range(len(passed)), key=lambda k: (passed[k], best[graph.operands[i][k]]))
            if not passed[k] > 0.0:
                break
            path.append((graph.operands[i][k], i))
            i = graph.operands[i][k]
    return path
