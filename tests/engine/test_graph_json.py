"""Graphs as JSON: what is written can be read back, and what can't be trusted is refused."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

import engine
from engine import GraphError, Value, from_json, to_json
from engine.graph import Graph
from engine.ops import TABLE


def snapshot(*roots: Value) -> Any:
    """All that a graph shows, as text, so that nan is like nan and -0.0 is not 0.0."""
    graph = Graph(*roots)
    return repr((graph.nodes, graph.operands, graph.roots))


def every_row() -> Value:
    """One use of each row, at operands that are inputs, literals and results."""
    x = Value(0.3, label="x")
    terms = []
    for op in TABLE.values():
        middle = [(low + high) / 2.0 for low, high in op.samples]
        operands = [x * 0.0 + middle[0], *middle[1:]]
        terms.append(engine.functions.FUNCTIONS[op.name](*operands))
    return engine.sum([term for term in terms if isinstance(term, Value)])


def test_every_row_is_read_back_with_its_gradients() -> None:
    y = every_row()
    y.backward()
    again = from_json(to_json(y))
    assert snapshot(again) == snapshot(y)
    assert to_json(again) == to_json(y)
    again.backward()
    [x] = [node for node in engine.trace(y)[0] if node.label == "x"]
    [same] = [node for node in engine.trace(again)[0] if node.label == "x"]
    assert same.grad == 2.0 * x.grad  # what was written, and the same again


def test_numbers_are_exact_and_the_special_ones_words() -> None:
    rng = random.Random(0)
    numbers = [rng.uniform(-1, 1) * 10.0 ** rng.randint(-320, 308) for _ in range(300)]
    numbers += [math.inf, -math.inf, math.nan, 5e-324, -0.0, 1.7976931348623157e308]
    leaves = [Value(x) for x in numbers]
    for leaf, grad in zip(leaves, reversed(numbers), strict=True):
        leaf.grad = grad
    text = to_json(leaves)
    assert "NaN" not in text and "Infinity" not in text
    again = from_json(text)
    assert repr(again) == repr(leaves)
    products = [leaf * leaf for leaf in leaves]
    assert repr(from_json(to_json(products))) == repr(products)


def test_several_share_what_they_have_in_common() -> None:
    x, y = Value(2.0, label="x"), Value(5.0)
    first, second, copy = from_json(to_json([x * y, x, x * y]))
    assert first.args[0] is second is copy.args[0]
    assert second.label == "x"
    assert from_json(to_json([])) == []


def test_the_numbers_of_the_forward_pass_are_kept() -> None:
    x = Value(3.0)
    y = x * x
    x.data = 100.0
    again = from_json(to_json(y))
    again.backward()
    assert (again.args[0].data, again.args[0].grad) == (100.0, 6.0)


def test_reading_records_where_nothing_else_does() -> None:
    text = to_json(Value(2.0) * 3.0)
    with engine.no_grad():
        y = from_json(text)
    y.backward()
    assert y.args[0].grad == 3.0


@pytest.mark.parametrize("depth", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_depth_is_no_limit(depth: int) -> None:
    x = y = Value(1.0)
    for _ in range(depth):
        y = y.tanh()
    y.backward()
    again = from_json(to_json(y))
    for _ in range(depth):
        again = again.args[0]
    assert (again.data, again.grad) == (1.0, x.grad)


def document(*nodes: Any, **members: Any) -> str:
    return json.dumps(
        {"format": "gradloom-graph", "version": 1, "root": len(nodes) - 1, "nodes": nodes} | members
    )


X = {"op": "leaf", "label": "x", "data": 2.0, "grad": 0}
THREE = {"op": "literal", "data": 3}
MUL = {"op": "mul", "operands": [0, 1], "data": 6, "grad": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(X, THREE, MUL)[:-9], "the text is damaged in line 1, column"),
        ("[" * 100_000, "its brackets are nested too deeply"),
        ("[]", 'this is no graph: it has no "format": "gradloom-graph"'),
        (document(X, version=2), "of version 2, and version 1 is what this gradloom reads"),
        (document(X, THREE, {**MUL, "op": "tahn"}), "node 2 is of an unknown operation, 'tahn'"),
        (document(X, THREE, {**MUL, "op": "__class__"}), "unknown operation, '__class__'"),
        (document(X, THREE, {**MUL, "operands": [0, 2]}), "node 2 has the operand 2, .* no cycle"),
        (document(X, THREE, {**MUL, "operands": [0, -1]}), "node 2 has the operand -1, which"),
        (document(X, THREE, {**MUL, "operands": [0, True]}), "node 2 has the operand True, which"),
        (document(X, THREE, {**MUL, "operands": [0]}), "node 2 has 1 operands, and mul takes 2"),
        (document(X, THREE, {**MUL, "operands": 0}), "node 2 has 0 as its operands, which is a li"),
        (document(X, THREE, {**MUL, "numbers": [1]}), "node 2 has 1 numbers, and mul takes 2"),
        (document(X, 7), "node 1 is 7, and not an object"),
        (document({**X, "grads": 0}), "node 0 has 'grads', which a node of 'leaf' has not"),
        (document({**X, "label": 7}), "node 0 has 7 as its label, which is a text"),
        (document({**X, "data": "2"}), "the data of node 0 is '2', and not a float64 or"),
        (document({**X, "data": True}), "the data of node 0 is True, and not a float64 or"),
        (document({**X, "data": 10**400}), "the data of node 0 is 1000"),
        (document({"op": "leaf", "data": 1}), "the grad of node 0 is None, and not a float64"),
        (document({**X, "data": math.inf}), 'Infinity is no number in JSON; write "inf"'),
        (document(X, root=1), "the root 1 is the place of no leaf and no operation"),
        (document(X, root=None), "the root None is the place of no leaf and no operation"),
        (document(THREE), "the root 0 is the place of no leaf"),
        (document(X, nodes={}), "the document has {} as its nodes, which is a list"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(text)


def test_a_text_that_lost_anything_is_never_taken_for_another_graph() -> None:
    x, y = Value(2.0, label="x"), Value(math.inf)
    root = x * y + x.tanh()
    root.backward()
    text = to_json(root)
    for end in range(len(text)):
        with pytest.raises(ValueError):
            from_json(text[:end])


def test_what_cannot_be_written() -> None:
    twice = engine.custom_op("twice", lambda x: 2.0 * x, [2.0])
    with pytest.raises(GraphError, match="'twice' is no row of the operation table"):
        to_json(twice(Value(1.0)))
    with pytest.raises(TypeError, match="writes a Value or several, not a float"):
        to_json(1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="from_json reads a text, not a bytes"):
        from_json(b"{}")  # type: ignore[arg-type]
    with pytest.raises(engine.TraceError, match="to_json inside of a compiled function"):
        engine.compile(lambda x: [x, to_json(x)][0])(1.0)
