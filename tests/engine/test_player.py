"""The player: its steps against the engine, its HTML as structure; see tests/browser too."""

import html
import json
import math
import random
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import engine
import nn
from engine import DrawingError, GraphError, Value
from engine.drawing import Arrow, Box, Picture, Player, placing
from engine.drawing.formula import Term, partial, written
from engine.drawing.theme import number_text
from engine.ops import TABLE
from random_graphs import ENGINE, random_graph, run
from sanitised import Sanitised, svg_in

NASTY = 'a<b>&"c"\'\\n|{x}\n<script>alert(1)</script> \U0001f600 שלום'


@pytest.fixture(scope="module")
def player() -> Player:
    return engine.step_through(neuron())


def neuron() -> Value:
    x, w, b = (Value(v, label=name) for v, name in ((2.0, "x"), (-1.5, "w"), (2.6, "b")))
    with engine.scope("neuron"):
        y = engine.tanh(w * x + b)
    y.label = "y"
    return y * y


def said(root: Value, phase: str = "backward") -> str:
    steps = engine.step_through(root).steps
    return "\n".join(
        line for step in steps if step["phase"] == phase for line in (step["text"], *step["notes"])
    )


# --- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_what_a_formula_says_is_what_the_row_computes(name: str) -> None:
    op = TABLE[name]
    numbers = [low + 0.3 * (high - low) for low, high in op.samples]
    terms = [Term(f"x{k}", x) for k, x in enumerate(numbers)]
    out = written(op, *terms)
    assert out.value == op.forward(*numbers)
    assert all(term.text in out.text for term in terms)
    for k, p in enumerate(op.partials):
        term = partial(op, k, terms, Term("out", out.value))
        assert (term is None) == isinstance(p, float)
        assert term is None or term.value == p(*numbers, out.value)


def test_formulas_have_the_brackets_they_need() -> None:
    x, y = Term("x", 3.0), Term("−2", -2.0)
    assert (x - (x - y)).text == "x − (x − (−2))"
    assert (y * (x + 1.0)).text == "−2 × (x + 1)"
    assert (x / (x * y)).text == "x / (x × (−2))"
    assert (-(x + y)).text == "−(x + (−2))"
    assert written(TABLE["square"], y).text == "(−2)²"
    assert written(TABLE["remainder"], x, 2.0).__neg__().text == "−(x % 2)"


# --- steps --------------------------------------------------------------------------------------


def test_the_steps_go_forward_and_back_again(player: Player) -> None:
    phases = [step["phase"] for step in player.steps]
    assert phases == ["start", *["forward"] * 4, "seed", *["backward"] * 4, "leaves"]
    forward = [step["nodes"] for step in player.steps[1:5]]
    assert [step["nodes"] for step in player.steps[6:10]] == forward[::-1]


def test_a_step_has_its_rule_with_the_numbers_in_it(player: Player) -> None:
    texts = [step["text"] for step in player.steps]
    assert texts[3] == "y = tanh(v2) = tanh(−0.4) = −0.3799"
    assert texts[7] == (
        "∂y/∂v2 = sech(v2)² = sech(−0.4)² = 0.8556\n"
        "v2.grad += y.grad × ∂y/∂v2 = −0.7599 × 0.8556 = −0.6502"
    )
    assert texts[-1].splitlines()[0] == "w.grad = ∂v3/∂w = −1.3"


def test_contributions_that_add_up_are_shown_as_a_sum(player: Player) -> None:
    twice = player.steps[6]
    assert twice["text"].splitlines()[-1] == "y.grad = −0.3799 + (−0.3799) = −0.7599"
    assert twice["notes"] == ["y is more than one operand here: each passes its own part."]
    x = Value(1.0, label="x")
    lines = said(sum(k * x for k in range(1, 7))).splitlines()
    assert "x.grad = 6 + 5 + 4 = 15" in lines
    assert "x.grad = 20 (of 5 contributions) + 1 = 21" in lines


MODEL = nn.MLP(2, [3, 1], rng=random.Random(1))


def network() -> Value:
    """What a network of 2, 3 and 1 neurons makes of two numbers; its parameters have no labels."""
    out = MODEL([Value(1.0, label="x1"), Value(-2.0, label="x2")])
    out.label = "out"
    return out


def test_a_neuron_is_one_sum_in_the_names_of_its_module() -> None:
    steps = engine.step_through(network()).steps
    assert len(steps) == 2 * 7 + 3  # three sums, three ReLUs, one sum
    _, formula, numbers, result = steps[1]["text"].split(" = ")
    assert formula == "w₁ × x1 + w₂ × x2 + b"
    assert float(result.replace("\N{MINUS SIGN}", "-")) == pytest.approx(
        eval(numbers.replace("\N{MINUS SIGN}", "-").replace("×", "*")), rel=1e-3
    )
    passed = [step for step in steps if step["phase"] == "backward" and step["node"] == "out"]
    lines = passed[0]["text"].splitlines()
    assert "b₍₄₎.grad += out.grad = 1" in lines
    assert len(lines) == 7 and lines[0].startswith("w₁₍₄₎.grad += out.grad × h₁")


def test_parameters_are_called_as_their_modules_call_them() -> None:
    first = engine.step_through(network()).steps[0]["text"]
    assert [line.split(" = ")[0] for line in first.splitlines()] == [
        *("x1", "x2", "w₁", "w₂", "b", "w₁₍₂₎", "w₂₍₂₎", "b₍₂₎", "w₁₍₃₎", "w₂₍₃₎", "b₍₃₎"),
        *("w₁₍₄₎", "w₂₍₄₎", "w₃₍₄₎", "b₍₄₎"),
    ]
    dense = nn.Linear(1, 2)
    y1, y2 = dense([Value(1.0, label="x")])
    text = engine.step_through(y1 * y2).steps[0]["text"]
    assert {line.split(" = ")[0] for line in text.splitlines()} == {
        *("x", "w₁₁", "w₂₁", "b₁", "b₂")
    }


def test_inputs_and_units_stand_below_each_other_in_their_order() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    [y] = model([Value(0.5, label="x1"), Value(-1.0, label="x2")])
    boxes = [g for g in drawn(engine.step_through(y)).iter() if g.get("class") == "gl-box"]
    heights = {}
    for box in boxes:
        name = next(text for text in box if "gl-name" in text.get("class", ""))
        heights[name.text or ""] = float(box.get("transform", "").rstrip(")").split()[-1])
    assert heights["x1"] < heights["x2"]
    units = [next(h for name, h in heights.items() if f"+ b{k}" in name) for k in "₁₂₃"]
    assert units == sorted(units) and len({*units}) == 3


def test_what_is_no_sum_of_products_is_told_operation_by_operation() -> None:
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    shared = x * y
    root = engine.tanh(shared * 0.1) + (shared + x) * y + shared
    texts = [step["text"] for step in engine.step_through(root, limit=2).steps]
    assert not any("x × y + " in text for text in texts)


@pytest.mark.parametrize("limit", [None, 9, 1000])
def test_what_arrives_at_a_leaf_is_its_gradient(limit: int | None) -> None:
    root = network()
    steps = engine.step_through(root, limit=limit).steps
    leaves = [v for v in engine.graph.topological_order((root,)) if v.op is None]
    assert sorted(steps[-1]["numbers"]["grads"]) == sorted(engine.gradients(root, leaves))


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_backward(seed: int) -> None:
    graph = random_graph(seed, 0)
    leaves = [Value(x) for x in graph.inputs]
    root = run(graph, ENGINE, leaves)
    steps = engine.step_through(root, limit=1000).steps
    assert all(leaf.grad == 0.0 for leaf in leaves)  # nobody's gradient was touched
    root.backward()
    order = engine.graph.topological_order((root,))
    for step in steps:
        if step["phase"] == "backward":
            (adjoint,), (node,) = step["numbers"]["adjoints"], step["nodes"]
            assert adjoint == order[node].grad
    found = [order[i].grad for i in steps[-1]["nodes"]]
    assert steps[-1]["numbers"]["grads"] == found
    totals = {
        p["target"]: p["total"]
        for step in steps
        if step["phase"] == "backward"
        for passed in step["numbers"]["passed"]
        for p in passed
    }
    assert all(total == order[i].grad for i, total in totals.items())


def test_where_says_which_arm_was_taken_and_that_nothing_poisons_the_other() -> None:
    x = Value(0.0, label="x")
    text = said(engine.where(x > 0, x.log(), 3.0) + x)
    assert "the third operand was taken, and the second gets 0" in text
    assert "v1.grad is 0: nothing arrived" in text
    assert "A derivative is not finite here, and does no harm." in text
    assert "x was not chosen here: the edge is cut" in said(engine.relu(Value(-1.0, label="x")))
    assert "here −inf is born" in said(x.log() * 0.0, "forward")


def test_a_kink_is_told_with_its_convention() -> None:
    text = said(engine.relu(Value(0.0, label="x")))
    assert "x = 0 is at a kink or a jump. ReLU(x): The larger of x and 0" in text
    both = said(engine.maximum(Value(2.0, label="a"), Value(2.0, label="b")))
    assert "a = 2, b = 2 is at a kink" in both
    assert "kink" not in said(engine.relu(Value(1.0)))


def test_a_leaf_that_was_changed_since_is_told() -> None:
    x = Value(2.0, label="x")
    y = x * 3.0
    x.data = 5.0
    assert said(y, "forward") == "v1 = x × 3 = 2 × 3 = 6\nx was 2 then, and is 5 now."


def test_operations_of_ones_own_and_checkpoints() -> None:
    cube = engine.custom_op("cube", lambda x: x**3, [lambda x, out: 3 * x**2])
    x = Value(2.0, label="x")
    assert said(cube(x)).startswith("∂v1/∂x = 12\n")
    assert "x.grad += 4, as checkpoint computes it" in said(engine.checkpoint(lambda x: x * x)(x))
    with pytest.raises(GraphError, match="made by hand"):
        engine.step_through(Value(1.0, (x,), "op"))


def test_a_lone_leaf_and_a_constant_have_steps_too() -> None:
    steps = engine.step_through(Value(2.0, label="x")).steps
    assert [step["phase"] for step in steps] == ["start", "seed", "leaves"]
    assert steps[-1]["text"] == "x.grad = ∂x/∂x = 1"


def test_names_are_told_apart() -> None:
    a, b, c = Value(1.0, label="x"), Value(2.0, label="x"), Value(3.0, label="v1")
    assert said(a * b + c, "forward") == "v2 = x × x₍₂₎ = 1 × 2 = 2\nv3 = v2 + v1 = 2 + 3 = 5"


# --- folded -------------------------------------------------------------------------------------


def test_a_large_graph_is_folded_and_a_step_stands_for_many() -> None:
    weights = [Value(0.1 * k, label=f"w[{k}]") for k in range(120)]
    out = engine.tanh(engine.dot(weights, [Value(0.5)] * 120))
    player = engine.step_through(out)
    assert len(player.steps) <= 2 * len(player.picture.boxes) + 3 <= 203
    step = player.steps[1]
    assert step["title"].startswith("Σ of 120 products: 239 operations")
    assert "… and 236 more operations" in step["text"] and step["text"].count("\n") == 4
    out.backward()
    assert player.steps[-1]["numbers"]["grads"] == [
        v.grad for v in engine.graph.topological_order((out,)) if v.op is None
    ]
    assert "nodes, folded to" in player._repr_html_()
    assert len(player._repr_html_()) < 100_000


def test_what_is_no_value_and_other_options_are_refused() -> None:
    with pytest.raises(TypeError, match="not a float"):
        engine.step_through(1.0)
    with pytest.raises(TypeError, match=r"not a list; take one of it, \[0\]"):
        engine.step_through([Value(1.0)])
    with pytest.raises(ValueError, match="theme"):
        engine.step_through(Value(1.0), theme="blue")
    for limit in (0, 1001, 2.5):
        with pytest.raises(ValueError, match="from 1 to 1,000"):
            engine.step_through(Value(1.0), limit=limit)


# --- HTML ---------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Counts elements and classes, and collects texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, name: str) -> int:
        return sum(name in (attrs.get("class") or "").split() for _, attrs in self.tags)


def given(player: Player) -> dict[str, Any]:
    """What the player's script goes by."""
    return json.loads(re.findall(r'json">(.*?)</script>', player._repr_html_() or "")[0])


def drawn(player: Player) -> ET.Element:
    [image] = Sanitised(player._repr_html_() or "").images
    return svg_in(image)


def test_every_box_arrow_and_step_is_in_the_page(player: Player) -> None:
    boxes, arrows = len(player.picture.boxes), len(player.picture.arrows)
    names = [name for part in drawn(player).iter() for name in part.get("class", "").split()]
    assert (names.count("gl-box"), names.count("gl-arrow"), names.count("gl-note")) == (
        boxes,
        arrows,
        arrows,
    )
    page = Page(player._repr_html_())
    assert sum(tag == "li" for tag, _ in page.tags) == len(player.steps)
    data = given(player)
    assert [step["phase"] for step in data["steps"]] == [step["phase"] for step in player.steps]
    assert len(data["arrows"]) == arrows
    noted = {a for step in data["steps"] for a, _ in step["arrows"]}
    assert noted == set(range(arrows))  # no literals here: something flows back everywhere
    assert dict(data["steps"][-1]["grads"])[0] == number_text(
        player.steps[-1]["numbers"]["grads"][0]
    )


def test_where_nothing_is_trusted_an_image_and_all_steps_are_left(player: Player) -> None:
    left = Sanitised(player._repr_html_())
    assert len(left.images) == 1 and left.unknown == []
    heading, *_ = [line for line in left.words.splitlines() if line]
    assert heading == "All steps, to read or to jump to"
    assert all(step["title"] in left.words for step in player.steps)
    assert "Speed" not in left.words  # a control that controls nothing


def test_nothing_clashes_and_nothing_is_fetched(player: Player, tmp_path: Path) -> None:
    text = player.save(tmp_path / "player").read_text()
    page = Page(text)
    assert not [attrs for _, attrs in page.tags if "id" in attrs]
    addresses = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert [address[:11] for address in addresses if address] == ["data:image/"]
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text)
    rules = re.sub(r"/\*.*?\*/", "", re.findall(r"<style>(.*?)</style>", text, re.S)[1], flags=re.S)
    for selector in re.findall(r"([^{}]+)\{[^{}]*\}", rules):
        for part in selector.split(","):
            part = part.strip()
            assert ".gradloom-player" in part or part in ("from", "to"), part


def test_it_can_be_read_without_seeing_it(player: Player) -> None:
    page, controls = Page(player._repr_html_()), Page(given(player)["controls"])
    buttons = [attrs for tag, attrs in controls.tags if tag == "button"]
    assert len(buttons) == 5 and all(attrs["aria-label"] for attrs in buttons)
    assert [a["aria-live"] for _, a in controls.tags if "aria-live" in a] == ["polite"]
    roots = [attrs for _, attrs in page.tags if attrs.get("class") == "gradloom-player"]
    assert roots[0]["tabindex"] == "0" and "Arrow keys" in (roots[0]["aria-label"] or "")
    assert drawn(player).get("role") == "img"
    assert [attrs["alt"] for tag, attrs in page.tags if tag == "img"]


def test_labels_are_texts() -> None:
    x = Value(1.0, label=NASTY)
    with engine.scope(NASTY):
        y = x * x
    y.label = "</script><script>alert(2)</script>"
    player = engine.step_through(y)
    page = Page(player._repr_html_())
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    shown = "".join([*page.texts, *drawn(player).itertext()])
    assert NASTY.replace("\n", " ↵ ") in shown and y.label in shown
    assert "\N{FIRST STRONG ISOLATE}" in shown  # right to left stays within the name
    ET.fromstring(player._repr_mimebundle_()["image/svg+xml"])


def test_a_notebook_gets_html_a_picture_and_a_text(player: Player) -> None:
    bundle = player._repr_mimebundle_()
    assert bundle["text/html"] == player._repr_html_()
    assert bundle["text/plain"] == "Player(11 steps; see .steps, .save(path))"
    picture = bundle["image/svg+xml"]
    assert "light-dark" not in picture and "--background: #ffffff" in picture
    texts = [t.text for t in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert "0.8556" not in texts and "−0.6502" in texts  # gradients, not partials
    dark = engine.step_through(neuron(), theme="dark")
    assert "--background: #15181d" in dark._repr_mimebundle_()["image/svg+xml"]
    assert 'data-theme="dark"' in dark._repr_html_()


def test_the_same_graph_gives_the_same_page(player: Player) -> None:
    assert engine.step_through(neuron())._repr_html_() == player._repr_html_()


def test_save_writes_a_whole_page(player: Player, tmp_path: Path) -> None:
    path = player.save(tmp_path / "player")
    text = path.read_text()
    assert path.name == "player.html" and text.startswith("<!doctype html>")
    assert "default-src 'none'" in text and html.escape("Step by step: v3") in text
    assert [p.name for p in tmp_path.iterdir()] == ["player.html"]
    with pytest.raises(ValueError, match=r"saved as \.html, not as '\.svg'"):
        player.save(tmp_path / "player.svg")


def test_without_a_renderer_boxes_stand_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: object) -> bytes:
        raise DrawingError("no renderer")

    monkeypatch.setattr(placing, "render_source", none)
    arrows = tuple(Arrow(a, b) for a, b in ("ac", "bc", "cd", "ad"))
    plan = placing.place(Picture(tuple(Box(k, "leaf") for k in "abcd"), arrows), [(40, 20)] * 4)
    xs = [x for x, _ in plan.centres]
    assert xs[0] == xs[1] < xs[2] < xs[3] < plan.width
    assert len({*plan.centres}) == 4 and len(plan.curves) == 4
    assert all(math.isfinite(z) for curve in plan.curves for point in curve for z in point)
    picture = drawn(engine.step_through(neuron()))
    assert sum(part.get("class") == "gl-box" for part in picture.iter()) == 7
