"""Whatever shows itself, in pages that run scripts and in pages that don't, light and dark."""

import base64
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine
import nn
from engine import Value
from sanitised import Sanitised, svg_in

Open = Callable[..., Any]
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(21, 24, 29)"
PAPER = "svg => getComputedStyle(svg.querySelector('polygon')).fill"
# As VS Code does it: the scripts of an output are copied, run, and taken away again.
AS_VSCODE = """text => {
    const host = document.getElementById("output");
    host.innerHTML = text;
    for (const old of [...host.getElementsByTagName("script")]) {
        const script = document.createElement("script");
        script.text = old.innerText;
        if (old.type) script.type = old.type;
        host.appendChild(script).parentNode.removeChild(script);
    }
}"""


def neuron() -> Value:
    x, w, b = (Value(v, label=name) for v, name in ((2.0, "x"), (-1.5, "w"), (2.6, "b")))
    y = engine.tanh(w * x + b)
    y.label = "y"
    return y


def program() -> Any:
    layer = engine.compile(lambda w, x: [engine.tanh(a * x) for a in w], in_axes=(None, 0))
    layer([0.5, -1.0], [1.0, 2.0])
    return layer


def film() -> nn.LivePlot:
    live, history = nn.LivePlot(keep=3), nn.History()
    for epoch in range(3):
        history.loss.append(1.0 / (epoch + 1))
        live(epoch, history)
    return live


SHOWN: dict[str, Callable[[], Any]] = {
    "drawing": lambda: engine.draw(neuron()),
    "player": lambda: engine.step_through(neuron()),
    "program": program,
    "lifting": lambda: engine.show_lifting(program()),
    "history": lambda: nn.History(loss=[2.0, 1.0, 0.5], step_loss=[2.0, 1.0, 0.5]),
    "plot": lambda: nn.History(loss=[2.0, 1.0, 0.5]).plot(),
    "network": lambda: nn.draw_network(nn.MLP(2, [3, 1], rng=random.Random(0))),
    "film": film,
    "explanation": lambda: engine.explain(lambda x: engine.relu(x), -1.0),
    "profile": lambda: engine.profile(lambda x: x * x, 2.0),
}
TEXTS = {"explanation", "profile"}  # which have tables and sentences, and no picture


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("runs", [True, False], ids=["scripts", "no-scripts"])
def test_an_exported_notebook_shows_it(
    kind: str, runs: bool, tmp_path: Path, open_page: Open, keep_picture: Any
) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbconvert = pytest.importorskip("nbconvert")
    v4 = nbformat.v4
    output = v4.new_output("execute_result", SHOWN[kind]()._repr_mimebundle_())
    notebook = v4.new_notebook(cells=[v4.new_code_cell(kind, outputs=[output])])
    nothing = {"mathjax_url": "", "require_js_url": "", "mermaid_js_url": ""}  # to be fetched
    text, _ = nbconvert.HTMLExporter(**nothing).from_notebook_node(notebook)
    path = tmp_path / "notebook.html"
    path.write_text(text, "utf-8")
    page = open_page(path, java_script_enabled=runs)
    shown = page.locator(".jp-OutputArea-output")
    pictures = shown.locator("img, svg:has(text)")
    if kind in TEXTS:
        assert len(shown.inner_text()) > 40 and pictures.count() == 0
    else:
        seen = [pictures.nth(k) for k in range(pictures.count()) if pictures.nth(k).is_visible()]
        assert len(seen) == (2 if kind == "lifting" and not runs else 1)
        for picture in seen:
            box = picture.bounding_box()
            assert box["width"] > 150 and box["height"] > 40
    keep_picture(page, f"exported-{kind}-{'live' if runs else 'static'}")


def test_a_film_has_every_frame_at_its_place_of_the_slider(tmp_path: Path, open_page: Open) -> None:
    (live := film()).save(tmp_path / "film.html")
    page = open_page(tmp_path / "film.html")
    seen = []
    for k in range(3):
        page.get_by_label("Frame").fill(str(k))
        _, _, data = page.locator("img").get_attribute("src").partition(",")
        seen.append(base64.b64decode(data))
    assert seen == list(live.frames.values())


@pytest.mark.parametrize("kind", ["drawing", "player"])
def test_nothing_of_an_image_is_cut_off(kind: str, tmp_path: Path, open_page: Open) -> None:
    bundle = SHOWN[kind]()._repr_mimebundle_()
    path = tmp_path / "image.svg"
    path.write_text(bundle["image/svg+xml"], "utf-8")
    page = open_page(path)
    whole, *parts = page.evaluate(
        """() => [document.rootElement, ...document.querySelectorAll("text, .gl-box")].map(
            part => { const box = part.getBoundingClientRect();
                      return [box.left, box.top, box.right, box.bottom]; })"""
    )
    assert len(parts) > 10
    for left, top, right, bottom in parts:
        assert left >= whole[0] and top >= whole[1] and right <= whole[2] and bottom <= whole[3]


@pytest.mark.parametrize("width", [1700, 1000, 390])
@pytest.mark.parametrize("runs", [True, False], ids=["scripts", "no-scripts"])
def test_letters_of_a_wide_drawing_stay_at_9_points_and_it_scrolls(
    width: int, runs: bool, tmp_path: Path, open_page: Open, keep_picture: Any
) -> None:
    output = nn.MLP(1, [2, 1], rng=random.Random(7))([-1.0])
    output.backward()
    path = engine.draw(output).save(tmp_path / "drawing.html")
    size = {"width": width, "height": 800}
    page = open_page(path, java_script_enabled=runs, viewport=size)
    drawing = page.locator("svg:has(text)" if runs else "img")
    natural, drawn = 10.0, drawing.bounding_box()["width"]
    full = float(svg_in(Sanitised(path.read_text()).images[0]).get("width", "").rstrip("pt"))
    assert natural * drawn / (full * 4 / 3) >= 8.99  # points
    host = drawing.locator("xpath=..")
    scrolls, reach = host.evaluate(
        "host => [host.scrollWidth - host.clientWidth, host.clientWidth]"
    )
    assert bool(scrolls) == (width < 1700) and reach < width
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # the page doesn't
    keep_picture(page, f"wide-drawing-{width}-{'live' if runs else 'static'}")


def test_marks_are_below_what_they_mark(tmp_path: Path, open_page: Open) -> None:
    (path := tmp_path / "page.html").write_text(
        f"<meta charset=utf-8>{SHOWN['explanation']()._repr_html_()}", "utf-8"
    )
    for text in open_page(path).locator("pre").all():
        assert text.evaluate("text => getComputedStyle(text).fontFamily") == "monospace"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_drawing_is_light_or_dark_as_its_page(
    scheme: str, tmp_path: Path, open_page: Open, keep_picture: Any
) -> None:
    path = engine.draw(neuron()).save(tmp_path / "drawing.html")
    page = open_page(path, color_scheme=scheme)
    drawing = page.locator("svg:has(text)")
    paper = {"light": LIGHT, "dark": DARK}
    assert drawing.evaluate(PAPER) == paper[scheme]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper[scheme]
    assert drawing.locator("title").count() > 5  # to be read on hovering
    keep_picture(page, f"drawing-{scheme}")
    other = {"light": "dark", "dark": "light"}[scheme]
    fixed = engine.draw(neuron(), theme=other).save(tmp_path / "fixed.html")
    page = open_page(fixed, color_scheme=scheme)
    assert page.locator("svg:has(text)").evaluate(PAPER) == paper[other]


@pytest.mark.parametrize(
    ("body", "paper"),
    [
        ('data-jp-theme-light="true"', LIGHT),
        ('data-jp-theme-light="false"', DARK),
        ('class="vscode-light"', LIGHT),
        ('class="vscode-dark"', DARK),
    ],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_drawing_has_the_theme_of_the_notebook(
    body: str, paper: str, scheme: str, tmp_path: Path, open_page: Open
) -> None:
    path = tmp_path / "host.html"
    path.write_text(f"<meta charset=utf-8><body {body}><div id=output></div>", "utf-8")
    page = open_page(path, color_scheme=scheme)
    page.evaluate(AS_VSCODE, engine.draw(neuron())._repr_html_())
    assert page.locator("svg:has(text)").evaluate(PAPER) == paper


@pytest.mark.parametrize("kind", SHOWN)
def test_the_first_choice_of_a_front_end_is_a_picture(kind: str) -> None:
    """IPython takes the bundle; others, such as marimo, HTML before it, or plots by themselves."""
    shown = SHOWN[kind]()
    bundle, page = shown._repr_mimebundle_(), shown._repr_html_()
    assert bundle.get("text/html") == page and bundle["text/plain"]
    if kind not in TEXTS:
        assert {"image/png", "image/svg+xml"} & set(bundle)
        assert page is None or "<img" in page
