"""Folding graphs: which node is in which box, and what the boxes are called."""

import random
from collections import Counter

import pytest

import engine
import nn
from engine import Graph, Value
from engine.drawing.fold import fold
from engine.drawing.picture import Picture
from random_graphs import ENGINE, random_graph, run


def check(picture: Picture, graph: Graph) -> None:
    """Every node is in exactly one box, and the arrows are the graph's edges between boxes."""
    box_of = {i: box.id for box in picture.boxes for i in box.members}
    assert sorted(i for box in picture.boxes for i in box.members) == list(range(len(graph.nodes)))
    assert all(box.count == len(box.members) for box in picture.boxes)
    edges = Counter(
        (box_of[source], box_of[target])
        for source, target, _ in graph.edges
        if box_of[source] != box_of[target]
    )
    arrows: Counter[tuple[str, str]] = Counter()
    for arrow in picture.arrows:
        arrows[arrow.source, arrow.target] += arrow.count
    assert arrows == edges
    ids = [box.id for box in picture.boxes] + [cluster.id for cluster in picture.clusters]
    assert len(ids) == len(set(ids))
    known = {None} | {cluster.id for cluster in picture.clusters}
    assert all(box.cluster in known for box in picture.boxes)
    assert all(cluster.parent in known for cluster in picture.clusters)


def titles(picture: Picture) -> list[str]:
    return [
        box.title + (f" × {box.repeats}" if box.repeats > 1 else "")
        for box in picture.boxes
        if box.kind == "operation" or (box.kind == "fold" and box.family)
    ]


def in_scopes(numbers: list[Value], rng: random.Random) -> Value:
    """A graph with scopes of any shape, left and entered as chance has it."""
    for _ in range(200):
        with engine.scope(rng.choice("ab")), engine.scope(rng.choice("cd")):
            for _ in range(rng.randint(0, 4)):
                a, b = rng.choices(numbers[-8:], k=2)
                numbers.append(rng.choice([a + b, a * b, a.tanh(), a * 2.0, engine.maximum(a, b)]))
        numbers.append(rng.choice(numbers) + numbers[-1])
    return numbers[-1]


@pytest.mark.parametrize("limit", [1, 3, 20, 60, 10_000])
@pytest.mark.parametrize("seed", range(3))
def test_every_node_is_in_one_box_and_arrows_are_those_between_boxes(seed: int, limit: int) -> None:
    rng = random.Random(seed)
    recipe = random_graph(seed, 0)
    value = run(recipe, ENGINE, [Value(x) for x in recipe.inputs])
    for root in (value, in_scopes([Value(1.0), Value(2.0, label="x")], rng)):
        graph = Graph(root)
        for depth in (None, 0, 1):
            picture = fold(graph, limit=limit, depth=depth)
            check(picture, graph)
            assert len([box for box in picture.boxes if box.kind != "literal"]) <= limit


def test_a_small_graph_is_drawn_as_it_is() -> None:
    x = Value(2.0, label="x")
    y = x * x + 1.0
    y.backward()
    picture = fold(Graph(y))
    assert [(box.kind, box.title, box.label) for box in picture.boxes] == [
        ("leaf", "", "x"),
        ("operation", "*", ""),
        ("literal", "", ""),
        ("operation", "+", ""),
    ]
    assert picture.boxes[0].rows == (("data", 2.0, None), ("grad", 4.0, None))
    assert picture.boxes[3].is_root and not picture.is_folded and picture.caption == ""
    assert [(arrow.source, arrow.target) for arrow in picture.arrows] == [
        ("n0", "n1"),
        ("n0", "n1"),
        ("n1", "n3"),
        ("n2", "n3"),
    ]


def mlp(*sizes: int) -> tuple[nn.MLP, list[Value]]:
    model = nn.MLP(sizes[0], sizes[1:], rng=random.Random(0))
    return model, [Value(0.5 * i, label=f"x{i}") for i in range(1, sizes[0] + 1)]


def test_neurons_are_sums_that_are_rolled_up_with_a_count() -> None:
    model, x = mlp(3, 40, 1)
    graph = Graph(model(x))
    picture = fold(graph)
    check(picture, graph)
    assert titles(picture) == [
        "Σ of 3 products + 1 term × 40",
        "ReLU × 40",
        "Σ of 40 products + 1 term",
    ]
    assert [(c.name, c.repeats) for c in picture.clusters] == [
        ("MLP", 1),
        ("Layer 1", 1),
        ("Neuron", 40),
        ("Layer 2", 1),
        ("Neuron", 1),
    ]
    [inputs] = [box for box in picture.boxes if box.title == "x"]
    assert inputs.count == inputs.repeats == 3  # named leaves stay outside
    parameters = [row.number for box in picture.boxes for row in box.rows if row.name[0] == "p"]
    assert parameters == [160, 41]
    assert "depth" not in picture.caption and "limit=600" in picture.caption


def test_examples_of_a_batch_are_rolled_up() -> None:
    model, _ = mlp(2, 10, 1)
    loss = engine.sum((model([0.1 * i, 0.2]) - float(i)) ** 2 for i in range(30))
    picture = fold(Graph(loss))
    check(picture, Graph(loss))
    assert [(c.name, c.repeats) for c in picture.clusters][:2] == [("MLP", 30), ("Layer", 30)]
    assert "Σ of 30 squares" in titles(picture)


def test_depth_is_the_number_of_levels_drawn_as_frames() -> None:
    model, x = mlp(3, 4, 1)
    graph = Graph(model(x))
    assert [box.title for box in fold(graph, depth=0).boxes][-1] == "MLP"
    one = fold(graph, depth=1)
    assert [box.title for box in one.boxes][-2:] == ["Layer", "Layer"]
    assert [cluster.name for cluster in one.clusters] == ["MLP"]
    assert one.caption == "60 nodes, folded to 5" and fold(graph, depth=3).caption == ""
    assert one.boxes[-2].rows[-1] == ("parameters", 16, None)
    two = fold(graph, depth=2)
    assert [box.title for box in two.boxes][-5:] == ["Neuron"] * 5
    check(one, graph)
    check(two, graph)


def test_without_depth_scopes_fold_from_the_inside_until_the_picture_fits() -> None:
    x = Value(1.0)
    for _ in range(12):
        with engine.scope("outer"):
            for _ in range(4):
                with engine.scope("inner"):
                    x = (x.tanh() * x).exp()
            x = x.sin()
    graph = Graph(x)
    picture = fold(graph, limit=80)
    assert {cluster.name for cluster in picture.clusters} == {"outer"}
    assert "nodes, folded to" in picture.caption and "depth=2) shows more" in picture.caption
    assert len(fold(graph, depth=2).boxes) > len(picture.boxes)


def test_steps_of_a_loop_are_rolled_up_though_each_needs_the_one_before() -> None:
    h = Value(0.1)
    for _ in range(300):
        with engine.scope("Cell"):
            h = engine.tanh(h * 0.5 + 0.1)
    graph = Graph(h)
    picture = fold(graph)
    check(picture, graph)
    assert [(c.name, c.repeats) for c in picture.clusters] == [("Cell", 300)]
    assert titles(picture) == ["* × 300", "+ × 300", "tanh × 300"]


def test_a_long_chain_without_names_becomes_slices() -> None:
    x = Value(1.0)
    for _ in range(5_000):
        x = x.sin()
    picture = fold(Graph(x))
    assert 10 < len(picture.boxes) <= 100
    assert picture.boxes[-1].title.startswith("steps ")


def test_labelled_and_shared_terms_of_a_sum_stay() -> None:
    a = [Value(float(i)) for i in range(60)]
    part = engine.sum(a[:20])
    part.label = "part"
    shared = engine.sum(a[20:40])
    total = part + shared + engine.sum(a[40:]) + shared
    picture = fold(Graph(total), limit=20)
    assert [(box.title, box.label) for box in picture.boxes] == [
        ("Σ of 20 terms", "part"),
        ("Σ of 20 terms", ""),
        ("Σ of 23 terms", ""),
    ]


def test_what_is_not_associative_or_not_the_tables_is_no_chain() -> None:
    plus = engine.custom_op("plus", lambda x, y: x + y, [1.0, 1.0])
    x = Value(1.0)
    for _ in range(5):
        x = plus(x, 1.0)
    for _ in range(5):
        x = 1.0 / x
    assert all(box.kind != "fold" for box in fold(Graph(x), limit=11).boxes)


def test_a_ready_grouping_is_drawn_as_it_is() -> None:
    x, y = Value(1.0, label="x"), Value(2.0)
    with engine.scope("not shown"):
        z = (x * y).tanh() + x
    graph = Graph(z)
    names = {node.index: "DOT" for node in graph.nodes if node.op in ("*", "+")}
    picture = fold(graph, groups=names)
    check(picture, graph)
    assert [box.title for box in picture.boxes if box.kind != "leaf"] == ["tanh", "DOT"]
    assert picture.clusters == ()


def test_only_a_part() -> None:
    x = Value(1.0)
    y = (x * 2.0).tanh() + x
    graph = Graph(y)
    keep = {0, 2}
    picture = fold(graph, only=keep)
    assert {i for box in picture.boxes for i in box.members} == keep
    assert [(arrow.source, arrow.target, arrow.count) for arrow in picture.arrows] == [
        ("n0", "n2", 1),
        ("b_n2", "n2", 1),  # the literal
        ("n2", "u_n2", 1),
        ("n0", "u_n0", 1),
    ]
    assert [box.kind for box in picture.boxes] == ["leaf", "operation", "more", "more", "more"]


def test_many_leaves_without_operations_share_a_box() -> None:
    leaves = [Value(float(i), label=f"name {chr(97 + i % 26)}{i // 26} end") for i in range(300)]
    [box] = fold(Graph(*leaves)).boxes
    assert (box.title, box.repeats, box.is_root) == ("leaves", 300, True)


def test_positions_of_a_sequence_are_rolled_up_though_each_adds_up_more() -> None:
    x = [Value(0.1 * i, label=f"x{i}") for i in range(20)]
    outputs = []
    for t in range(20):
        with engine.scope("Position"):
            outputs.append(engine.sum(u * 0.5 for u in x[: t + 1]).exp().log())
    graph = Graph(engine.sum(outputs))
    picture = fold(graph)
    check(picture, graph)
    assert [(c.name, c.repeats) for c in picture.clusters] == [("Position", 20)]
    assert [title for title in titles(picture) if title[0] != "Σ"][-2:] == ["exp × 20", "log × 20"]
