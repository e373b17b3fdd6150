"""Pictures: their structure, never their pixels."""

import html
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import engine
from engine import DrawingError, Value
from engine.drawing import Drawing, render

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
    assert re.findall(r"label=<(\*|\+|tanh)>", source) == ["+", "tanh", "*"]
    assert source.count(">data<") == source.count(">grad<") == 5
    assert source.count("subgraph cluster_") == 2 and "label=<neuron>" in source
    assert source.count("->") == 5 + 3  # operands to operations, operations to results
    assert ">\N{MINUS SIGN}6<" in source and "label=<10>" in source


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
    before, frame = engine.draw(y).source.split("subgraph cluster_0")
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


def test_a_large_graph_is_refused_with_advice() -> None:
    x = Value(1.0)
    for _ in range(1200):
        x = x + 1.0
    with pytest.raises(DrawingError, match=r"1,201 nodes.*Draw a part of it.*limit="):
        engine.draw(x)
    assert isinstance(engine.draw(x, limit=2000), Drawing)


def test_only_values_are_drawn() -> None:
    with pytest.raises(TypeError, match="not a float"):
        engine.draw([1.0])
    with pytest.raises(ValueError, match="rankdir"):
        engine.draw_dot(Value(1.0), rankdir="up")
    with pytest.raises(ValueError, match=r"svg, png, pdf, dot, not 'gout'.*drawing\.save"):
        engine.draw(Value(1.0)).render("gout")
    with pytest.raises(TypeError, match="not a NoneType"):
        engine.draw(None)


def test_micrograds_draw_dot_has_its_arguments() -> None:
    drawing = engine.draw_dot(example(), format="png", rankdir="TB")
    assert drawing.format == "png" and "rankdir=TB" in drawing.source


def test_jupyter_gets_an_svg_and_a_text() -> None:
    bundle = engine.draw(example())._repr_mimebundle_()
    assert ET.fromstring(bundle["image/svg+xml"].encode()).tag.endswith("svg")
    assert bundle["text/plain"].startswith("Drawing(")


@pytest.mark.parametrize(
    ("ending", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("dot", b"digraph")]
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
    assert set(bundle) == {"text/plain"} and "digraph" in bundle["text/plain"]


def test_the_dot_program_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho found $1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert engine.draw(example()).render("svg") == b"found -Tsvg\n"


def test_a_failing_renderer_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho broken font >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(DrawingError, match="broken font"):
        engine.draw(example()).render("svg")


def test_the_core_loads_neither_drawing_nor_numba() -> None:
    code = (
        "import sys, engine; x = engine.Value(1.0); (x * x).backward(); engine.hessian(abs)(1.0)\n"
        "loaded = {'numba', 'graphviz', 'engine.drawing', 'nn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, html.unescape(done.stderr)
