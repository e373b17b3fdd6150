"""The order of a graph, and the snapshot that drawings read."""

import random

import pytest

import engine
from engine import Graph, Value
from engine.graph import topological_order


@pytest.mark.parametrize("seed", range(20))
def test_every_node_stands_behind_its_operands_and_once(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [Value(rng.random()) for _ in range(3)]
    for _ in range(60):
        a, b, c = rng.choices(nodes, k=3)
        nodes.append(rng.choice([a + b, a * b, a.tanh(), engine.where(a > b, b, c), 2.0 - a]))
    roots = rng.choices(nodes, k=2)
    order = topological_order(roots)
    place = {node: i for i, node in enumerate(order)}
    assert len(place) == len(order)
    for node in order:
        assert all(place[operand] < place[node] for operand in node._prev)

    reachable, pending = set(), list(roots)
    while pending:
        node = pending.pop()
        reachable.add(node)
        pending += node._prev - reachable
    assert set(order) == reachable


def test_nodes_to_stop_at_are_left_out() -> None:
    x = Value(2.0)
    y = x * 3.0
    z = y + x
    assert topological_order([z], stop=[y]) == [x, z]
    assert topological_order([z], stop=[y, x]) == [z]


def test_equal_data_are_different_nodes() -> None:
    assert len(topological_order([Value(1.0) + Value(1.0)])) == 3


def test_a_snapshot_has_literals_operands_in_order_and_scopes() -> None:
    x = Value(2.0, label="x")
    with engine.scope("s"):
        y = 1.0 - x
    graph = Graph(y, x)
    assert [(n.kind, n.op, n.label, n.data) for n in graph.nodes] == [
        ("leaf", "", "x", 2.0),
        ("literal", "", "", 1.0),
        ("operation", "-", "", -1.0),
    ]
    (one, two) = sorted(graph.edges, key=lambda edge: edge.operand)
    assert graph.nodes[one.source].kind == "literal" and graph.nodes[two.source].label == "x"
    assert graph.nodes[graph.roots[0]].scope.name == "s"
    assert repr(graph) == "Graph(3 nodes, 2 edges)"


def test_a_snapshot_does_not_change() -> None:
    x = Value(2.0)
    y = x * x
    graph = Graph(y)
    y.backward()
    assert [node.grad for node in graph.nodes] == [0.0, 0.0]
    with pytest.raises(AttributeError):
        graph.nodes[0].data = 3.0


def test_trace_gives_micrograds_nodes_and_edges() -> None:
    x = Value(2.0)
    y = x * x
    z = y + 1
    assert engine.trace(z) == ({x, y, z}, {(x, y), (y, z)})
