"""Pictures: their structure, never their pixels."""

import html
import json
import random
import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

import engine
import nn
from engine import DrawingError, Value
from engine.drawing import Arrow, Box, Drawing, Picture, render
from engine.drawing.theme import DARK, LIGHT, colours_of, dark_of_light
from engine.drawing.tree import to_tree
from engine.drawing.widths import width
from engine.ops import TABLE
from sanitised import Sanitised, svg_in

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'a<b>&"c"\'\\n|{x}\n<script>alert(1)</script> \U0001f600 \u202eabc\x00'


def example() -> Value:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    with engine.scope("neuron"):
        with engine.scope("product"):
            c = a * b
        d = engine.tanh(c + 10.0)
    d.backward()
    return d


def test_numbers_gradients_operations_and_scopes_are_drawn() -> None:
    source = engine.draw(example()).source
    assert {"<B>a</B>", "<B>b</B>"} <= set(re.findall(r"<B>.*?</B>", source))
    assert sorted(re.findall(r"label=<(\*|\+|tanh)>", source)) == ["*", "+", "tanh"]
    assert source.count(">data<") == source.count(">grad<") == 5
    assert source.count("subgraph cluster_") == 2 and "label=<neuron>" in source
    shown = [line for line in source.splitlines() if "->" in line and "style=invis" not in line]
    assert len(shown) == 5 + 3  # operands to operations, operations to results
    assert ">\N{MINUS SIGN}6<" in source and "label=<10>" in source


def network() -> tuple[nn.MLP, Value]:
    model = nn.MLP(2, [3, 1], rng=random.Random(1))
    return model, model([Value(1.0, label="x₁"), Value(-2.0, label="x₂")]) - 1.0


def test_numbers_of_modules_have_short_names_in_frames_that_are_numbered() -> None:
    model, error = network()
    picture = engine.draw(error).picture
    hidden, out = (f"w₁ w₂ b h{k}" for k in "₁₂₃"), "w₁ w₂ w₃ b y"
    names = Counter(box.label for box in picture.boxes if box.label)
    assert names == Counter(" ".join([*hidden, out, "x₁ x₂"]).split())
    frames = {cluster.id: cluster for cluster in picture.clusters}
    for box in picture.boxes:
        if box.label.startswith("h"):
            frame = frames[box.cluster or ""]
            assert frame.name == f"Neuron {'₀₁₂₃'.index(box.label[1])}"
            assert frames[frame.parent or ""].name == "Layer 1"
    assert [c.name for c in picture.clusters if c.name.startswith("Layer")] == [
        "Layer 1",
        "Layer 2",
    ]
    model.layers[0].neurons[0].w[0].label = "mine"
    assert "mine" in {box.label for box in engine.draw(error).picture.boxes}
    dense = nn.Sequential(nn.Linear(11, 2), nn.Tanh(), nn.Linear(2, 1))
    labels = {box.label for box in engine.draw(dense([1.0] * 11)[0]).picture.boxes}
    assert {"w₁₁", "w₂₂", "w₂,₁₁", "b₁", "b₂", "y"} <= labels


def test_of_a_module_only_the_numbers_that_are_there_have_names() -> None:
    layer = nn.Linear(2, 3)
    second = layer([1.0, 2.0])[1]
    drawn = Counter(box.label for box in engine.draw(second).picture.boxes if box.label)
    assert drawn == Counter(["w₂₁", "w₂₂", "b₂", "y"])


def test_a_layer_stands_behind_what_it_takes_and_inputs_at_the_left() -> None:
    _, error = network()
    picture = engine.draw(error).picture
    label = {box.id: box.label or box.title for box in picture.boxes}
    assert Counter((label[a], label[b]) for a, b in picture.waits()) == {
        ("x₁", "w₁"): 3,
        ("x₂", "w₂"): 3,
        ("x₂", "w₁"): 1,
        ("h₁", "w₁"): 1,
        ("h₂", "w₂"): 1,
        ("h₃", "w₃"): 1,
        ("y", ""): 1,
    }
    shared = Value(0.5)  # a leaf with several uses may be needed before
    with engine.scope("a"):
        first = shared * 2.0
    with engine.scope("b"):
        second = first * shared
    assert {b for _, b in engine.draw(second).picture.waits()} == {"n1"}  # the 2.0


def test_numbers_are_short_and_zero_has_no_sign() -> None:
    source = engine.draw(Value(-0.0) * 123456.789 + 1e-9).source
    assert "label=<1e\N{MINUS SIGN}09>" in source
    assert "label=<1.235e+05>" in source and "\N{MINUS SIGN}0<" not in source


def test_frames_are_nested_as_scopes_are() -> None:
    body = engine.draw(example()).source
    outer, inner = body.index("label=<neuron>"), body.index("label=<product>")
    assert outer < inner < body.index("\t}\n", inner) < body.index("\t}\n", body.index("\t}\n") + 1)


def test_a_weight_is_drawn_in_the_frame_that_uses_it_and_an_input_outside() -> None:
    x, w, v = Value(1.0, label="x"), Value(2.0, label="w"), Value(3.0, label="v")
    with engine.scope("layer"):
        y = x * w + x * v
    before, frame = engine.draw(y).source.split("subgraph cluster_c0")
    assert "<B>x</B>" in before and "<B>w</B>" not in before
    assert "<B>w</B>" in frame.split("\t}\n")[0] and "<B>v</B>" in frame.split("\t}\n")[0]


def test_a_label_is_never_markup() -> None:
    x = Value(1.0, label=NASTY)
    with engine.scope(NASTY):
        y = x * 2.0
    drawing = engine.draw(y)
    assert "<script>" not in drawing.source and "\x00" not in drawing.source
    root = ET.fromstring(drawing.render("svg"))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert (
        "<script>alert(1)</script> \U0001f600 \N{REPLACEMENT CHARACTER}abc\N{REPLACEMENT CHARACTER}"
        in texts
    )
    assert 'a<b>&"c"\'\\n|{x}' in texts
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


def test_backslashes_in_a_label_are_shown() -> None:
    root = ET.fromstring(engine.draw(Value(1.0, label=r"\N \frac{a}{b} \\")).render("svg"))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert r"\N \frac{a}{b} \\" in texts


def test_an_empty_and_a_blank_label_are_drawn() -> None:
    for label in ("", " ", "\n", "<", ">"):
        assert engine.draw(Value(1.0, label=label) + 1.0).render("svg").startswith(b"<?xml")


def test_operands_of_a_difference_come_in_their_order() -> None:
    a, b = Value(1.0, label="a"), Value(2.0, label="b")
    source = engine.draw(b - a).source
    names = dict(re.findall(r"(n\d+) \[label=<<TABLE.*?<B>(\w)</B>", source))
    assert [names[n] for n in re.findall(r"(n\d+) -> op", source)] == ["b", "a"]
    assert "ordering=in" in source


def test_a_large_graph_is_folded_and_says_so() -> None:
    x = Value(1.0)
    for _ in range(1200):
        x = (x + 1.0).sin()
    drawing = engine.draw(x)
    assert len(drawing.picture.boxes) <= 60
    assert "2,401" in drawing.source or "3,601 nodes, folded to" in drawing.source
    assert not engine.draw(x, limit=5000).picture.is_folded


def test_only_values_are_drawn() -> None:
    with pytest.raises(TypeError, match="not a float"):
        engine.draw([1.0])
    with pytest.raises(ValueError, match="rankdir"):
        engine.draw_dot(Value(1.0), rankdir="up")
    with pytest.raises(ValueError, match=r"svg, png, .*, not 'gout'.*drawing\.save"):
        engine.draw(Value(1.0)).render("gout")
    with pytest.raises(TypeError, match="not a NoneType"):
        engine.draw(None)
    with pytest.raises(TypeError, match="not a Linear; draw what it returns"):
        engine.draw(nn.Linear(1, 1))


def test_micrograds_draw_dot_has_its_arguments() -> None:
    drawing = engine.draw_dot(example(), format="png", rankdir="TB")
    assert drawing.format == "png" and "rankdir=TB" in drawing.source


def test_options_are_checked() -> None:
    x = Value(1.0)
    for options, message in (
        ({"color": "red"}, "value, gradient, derivative"),
        ({"theme": "blue"}, '"auto", "light" or "dark"'),
        ({"depth": -1}, "depth is a whole number of at least 0"),
        ({"limit": 0}, "limit is a whole number of at least 1"),
        ({"radius": 1.5}, "radius is a whole number"),
        ({"around": Value(2.0)}, "not in the graph"),
    ):
        with pytest.raises(ValueError, match=message):
            engine.draw(x, **options)
    with pytest.raises(TypeError, match="around takes a Value"):
        engine.draw(x, around="x")


def test_jupyter_gets_an_image_a_page_and_a_tree() -> None:
    drawing = engine.draw(example())
    bundle = drawing._repr_mimebundle_()
    assert ET.fromstring(bundle["image/svg+xml"].encode()).tag.endswith("svg")
    assert bundle["text/html"] == drawing._repr_html_()
    assert bundle["text/plain"] == str(drawing)


def test_a_page_may_narrow_a_picture_as_far_as_its_letters_can_be_read() -> None:
    for shown in (engine.draw(example()), engine.step_through(example())):
        (image,) = Sanitised(shown._repr_mimebundle_()["text/html"]).images
        (least,) = map(float, re.findall(r"min-width:([0-9.]+)px", image["style"] or ""))
        svg = svg_in(image)
        sizes = [
            float(s)
            for s in re.findall(r'font(?:-size="|: )([0-9.]+)', ET.tostring(svg, "unicode"))
        ]
        unit = 4 / 3 if svg.attrib["width"].endswith("pt") else 1.0
        natural = float(image["width"] or 0.0)
        assert min(sizes) * unit * least / natural == pytest.approx(12.0, rel=0.01)  # pixels


def test_where_nothing_is_trusted_an_image_is_left_and_no_word_of_it() -> None:
    left = Sanitised(engine.draw(example())._repr_html_() or "")
    [image] = left.images
    assert ET.tostring(svg_in(image)) == ET.tostring(svg_of(engine.draw(example())))
    assert "boxes" in (image["alt"] or "") and int(image["width"] or 0) > 300
    assert left.words.strip() == "" and left.unknown == []


@pytest.mark.parametrize(
    ("ending", "begin"),
    [
        ("svg", b"<?xml"),
        ("png", b"\x89PNG"),
        ("dot", b"digraph"),
        ("html", b"<!doctype html>"),
        ("txt", b"tanh = "),
    ],
)
def test_save_writes_the_format_of_the_ending(tmp_path: Path, ending: str, begin: bytes) -> None:
    path = engine.draw(example()).save(tmp_path / f"graph.{ending}")
    assert path.read_bytes().startswith(begin)
    assert list(tmp_path.iterdir()) == [path]


def test_save_without_ending_takes_the_drawings_format(tmp_path: Path) -> None:
    assert engine.draw(example()).save(tmp_path / "graph").name == "graph.svg"


def test_save_takes_names_as_people_write_them(tmp_path: Path) -> None:
    drawing = engine.draw(example())
    assert drawing.save(tmp_path / "graph.PNG").read_bytes().startswith(b"\x89PNG")
    assert drawing.save(tmp_path / "graph.").name == "graph.svg"
    assert drawing.save(tmp_path / ("x" * 250 + ".svg")).exists()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        drawing.save(tmp_path / "nowhere" / "graph.svg")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "graph.svg"
    path.write_text("old")
    drawing = engine.draw(example())
    monkeypatch.setattr(Path, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        drawing.save(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_without_a_renderer_there_is_source_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *args, **keywords: None)
    monkeypatch.setattr(render.importlib.util, "find_spec", lambda name: None)
    drawing = engine.draw(example())
    with pytest.raises(DrawingError, match=r"pip install 'gradloom\[viz\]'"):
        drawing.render("svg")
    bundle = drawing._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    for text in (bundle["text/plain"], html.unescape(bundle["text/html"])):
        assert "pip install" in text and str(drawing) in text


def test_the_dot_program_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\necho "<svg>found $1</svg>"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert b"found -Tsvg" in engine.draw(example()).render("svg")


def test_a_failing_renderer_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho broken font >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(DrawingError, match="broken font"):
        engine.draw(example()).render("svg")


def svg_of(drawing: Drawing) -> ET.Element:
    return ET.fromstring(drawing.render("svg"))


def tooltips(drawing: Drawing) -> list[str]:
    return [title.text or "" for title in svg_of(drawing).iter(f"{SVG}title")]


def test_hovering_tells_full_numbers_label_and_scopes() -> None:
    y = example()
    found = tooltips(engine.draw(y))
    assert found[0] == "Computation graph"
    assert any(text.startswith("a\nleaf: 2.0\ngrad -0.0040228") for text in found)
    assert any(text.startswith("*: -6.0") and "in neuron/product" in text for text in found)


def test_an_svg_describes_itself_and_has_no_ids() -> None:
    root = svg_of(engine.draw(example()))
    assert root.get("role") == "img"
    assert (
        "12 boxes" in (root.find(f"{SVG}desc").text or "")
        or "boxes" in root.find(f"{SVG}desc").text
    )
    assert not [e for e in root.iter() if e.get("id")]  # a page may hold several pictures


def test_a_label_is_text_in_tooltips_trees_and_pages() -> None:
    x = Value(1.0, label=NASTY)
    with engine.scope(NASTY):
        y = x * 2.0
    drawing = engine.draw(y, path=True, color="derivative")
    page = drawing.render("html").decode()
    [image] = Sanitised(page).images
    drawn = [text for part in svg_in(image).iter() for text in (part.text, part.tail) if text]
    assert "\x00" not in "".join(drawn) and NASTY.split("\n")[0] in "\n".join(drawn)
    assert page.count("<script>") == 1 and "alert" not in page
    assert "\u202e" not in str(drawing)


@pytest.mark.parametrize("color", [None, "value", "gradient", "derivative"])
def test_every_colour_of_a_light_picture_has_a_dark_one(color: str) -> None:
    drawing = engine.draw(example(), color=color, path=True)
    used = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', drawing.render("svg").decode()))
    pairs = dark_of_light()
    assert used <= set(pairs)
    dark = engine.draw(example(), color=color, path=True, theme="dark")
    in_dark = re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', dark.render("svg").decode())
    assert set(in_dark) == {pairs[colour] for colour in used}


def test_a_light_colour_has_one_dark_colour() -> None:
    pairs: dict[str, set[str]] = {}
    for light, dark in zip(colours_of(LIGHT).values(), colours_of(DARK).values(), strict=True):
        pairs.setdefault(light, set()).add(dark)
    assert all(len(dark) == 1 for dark in pairs.values())
    families = {op.family for op in TABLE.values()} | {"custom", "reduction"}
    assert families == set(LIGHT.families) == set(DARK.families)


def test_a_page_follows_its_reader_unless_told_a_theme() -> None:
    for theme, schemes in (("auto", "light dark"), ("light", "light"), ("dark", "dark")):
        page = engine.draw(example(), theme=theme).render("html").decode()
        assert f"color-scheme:{schemes}}}" in page
        [image] = Sanitised(page).images
        dark = json.loads(image["data-dark"] or "")
        assert bool(dark) == (theme == "auto") and dark.get("#ffffff", "#15181d") == "#15181d"


# --- colours and paths ------------------------------------------------------------------------


def test_gradients_are_computed_for_the_picture_and_grad_is_left_alone() -> None:
    x = Value(3.0, label="x")
    y = x * x - x
    picture = engine.draw(y, color="gradient").picture
    [box] = [box for box in picture.boxes if box.label == "x"]
    assert ("grad", 5.0, None) in box.rows and box.shade == 1.0
    assert x.grad == y.grad == 0.0
    assert [key.text for key in picture.legend][:2] == ["gradient", "\N{MINUS SIGN}5"]


def test_values_shade_boxes_by_size_and_sign() -> None:
    a, b = Value(4.0, label="a"), Value(-1.0, label="b")
    shades = {box.label: box.shade for box in engine.draw(a + b, color="value").picture.boxes}
    assert shades["a"] == 1.0 and shades["b"] == -0.5  # the root of its share


def test_infinite_and_undefined_numbers_have_colours_or_none() -> None:
    x = Value(0.0, label="x")
    picture = engine.draw([x.log(), x / x, x + 1.0], color="value").picture
    shades = [box.shade for box in picture.boxes if box.kind == "operation"]
    assert shades == [-1.0, None, 1.0]


def test_local_derivatives_are_written_on_the_arrows() -> None:
    x, y = Value(3.0, label="x"), Value(5.0, label="y")
    picture = engine.draw(x * y + 2.0, color="derivative").picture
    labels = {(arrow.source, arrow.target): arrow.label for arrow in picture.arrows}
    assert labels == {("n0", "n2"): "5", ("n1", "n2"): "3", ("n2", "n4"): "1", ("n3", "n4"): ""}


def test_both_operands_of_a_power_have_their_own_derivative() -> None:
    x = Value(2.0)
    arrows = engine.draw(x**x, color="derivative").picture.arrows
    assert [arrow.label for arrow in arrows] == ["4", "2.773"]


def test_a_custom_operation_has_its_derivatives() -> None:
    cube = engine.custom_op("cube", lambda x: x**3, [lambda x, out: 3 * x * x])
    picture = engine.draw(cube(Value(2.0)), color="derivative", path=True).picture
    assert [arrow.label for arrow in picture.arrows] == ["12"]
    assert picture.boxes[-1].family == "custom"


def test_the_strongest_path_is_marked() -> None:
    a, b, c = Value(2.0, label="a"), Value(10.0, label="b"), Value(1.0, label="c")
    y = a * b + c
    y.label = "y"
    picture = engine.draw(y, path=True).picture
    marked = [box.label for box in picture.boxes if box.is_marked]
    assert marked == ["a", "", "y"]  # dy/da is 10: that by b is 2, and by c 1
    assert len([arrow for arrow in picture.arrows if arrow.is_marked]) == 2
    assert picture.legend[-1].text == "where most of the gradient passes: 10 at its end, a"


def test_a_path_ends_where_no_gradient_passes() -> None:
    picture = engine.draw((Value(-1.0).relu() * 2.0), path=True).picture
    assert [box.title for box in picture.boxes if box.is_marked] == ["ReLU", "*"]
    flat = engine.draw(Value(0.5).floor(), path=True).picture
    assert flat.legend[-1].text == "no gradient passes"


def test_paths_and_colours_go_through_folded_pictures() -> None:
    xs = [Value(0.001 * i) for i in range(200)]
    y = engine.sum(x * x for x in xs).tanh()
    picture = engine.draw(y, path=True, color="gradient").picture
    assert picture.is_folded and all(box.is_marked for box in picture.boxes)
    assert [arrow.is_marked for arrow in picture.arrows] == [True]


def test_around_draws_what_a_number_is_made_of_and_who_uses_it() -> None:
    x = Value(1.0, label="x")
    a = x.sin()
    a.label = "a"
    b = a.exp()
    c = b * x
    d = c + 1.0
    picture = engine.draw(d, around=a, radius=1).picture
    shown = {box.title or box.label for box in picture.boxes}
    assert shown == {"x", "sin", "exp", "…"}
    assert [box.label for box in picture.boxes if box.is_marked] == ["a"]
    assert "3 of 6 nodes" in picture.caption
    assert {(p.source, p.target) for p in picture.arrows} >= {("n0", "u_n0"), ("n2", "u_n2")}


def test_several_results_are_drawn_together() -> None:
    x = Value(2.0, label="x")
    drawing = engine.draw([x * 3.0, x + 1.0])
    assert sum(box.is_root for box in drawing.picture.boxes) == 2
    assert str(drawing).count("(above)") == 1


# --- the text tree ----------------------------------------------------------------------------


def test_a_printed_drawing_is_a_tree() -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    y = (a * b).tanh() + a
    y.backward()
    assert str(engine.draw(y)).splitlines() == [
        "+ = 1 (grad 1)",
        "├─ tanh = −1 (grad 1)",
        "│  └─ * = −6 (grad 2.458e−05)",
        "│     ├─ a = 2 (grad 0.9999)",
        "│     └─ b = −3 (grad 4.915e−05)",
        "└─ a = 2 (grad 0.9999) (above)",
    ]


def test_a_tree_is_no_deeper_and_longer_than_it_should_be() -> None:
    x = Value(1.0)
    for _ in range(30):
        x = x.sin()
    assert len(str(engine.draw(x)).splitlines()) == 17
    lines = to_tree(engine.draw(x).picture, depth=100, lines=5).splitlines()
    assert len(lines) == 6 and lines[-1] == "… and more: 26 boxes are not shown"


def test_a_cycle_of_boxes_is_written_once() -> None:
    picture = Picture(
        (Box("a", "fold", "A", operations=1), Box("b", "fold", "B", operations=1, is_root=True)),
        (Arrow("a", "b"), Arrow("b", "a")),
    )
    assert to_tree(picture).splitlines() == ["B", "└─ A", "   └─ B (above)"]
    assert Drawing(picture).render("svg").count(b"<polygon") >= 2


LABELS = (
    "x\u0302",
    "y\u0303\u0304",
    "w₁₁",
    "权重",
    "한국어",
    "σ²",
    "Größe",
    "имя",
    "שלום",
    "m" * 30,
)


@pytest.mark.parametrize("label", LABELS)
def test_a_label_of_any_script_has_its_natural_room(label: str) -> None:
    svg = svg_of(engine.draw(Value(2.0, label=label)))
    [text] = [text for text in svg.iter(f"{SVG}text") if text.text == label]
    assert "textLength" not in text.attrib and text.get("text-anchor") == "middle"
    low, high = spans(svg)[0]
    natural = width(label, float(text.get("font-size", "0")))
    assert low <= float(text.get("x", "0")) - natural / 2
    assert float(text.get("x", "0")) + natural / 2 <= high
    numbers = 45.0  # for data and grad
    assert high - low < max(numbers, 1.3 * natural) + 24.0


def spans(svg: ET.Element) -> list[tuple[float, float]]:
    """From where to where each box reaches, its first outline."""
    found = []
    for group in svg.iter(f"{SVG}g"):
        if group.get("class") == "node":
            numbers = re.findall(r"-?[0-9.]+", group.find(f"{SVG}path").get("d", ""))
            found.append((min(map(float, numbers[::2])), max(map(float, numbers[::2]))))
    return found


def test_the_legend_calls_tanh_an_activation() -> None:
    names = [key.text for key in engine.draw(engine.tanh(Value(0.5) + 1.0)).picture.legend]
    assert names == ["arithmetic", "activation"]
