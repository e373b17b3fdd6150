"""The player as a file, opened from disk in Chromium without a network."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine
import nn
from engine import Value

NASTY = 'a<b>&"c"\'\\n|{x}\n<script>alert(1)</script> \U0001f600 שלום עולם'
Open = Callable[..., Any]


def loss() -> Value:
    x, w, b = (Value(v, label=name) for v, name in ((2.0, "x"), (-1.5, "w"), (2.6, "b")))
    with engine.scope("neuron"):
        y = engine.tanh(w * x + b)
    y.label = "y"
    out = (y - 1.0) ** 2 + 0.1 * y
    out.label = "loss"
    return out


@pytest.fixture(scope="module")
def player() -> Any:
    return engine.step_through(loss())


@pytest.fixture(scope="module")
def path(player: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return player.save(tmp_path_factory.mktemp("player") / "player.html")


def seen(page: Any) -> str:
    """The text of the step that is shown."""
    return page.locator(".gl-now").inner_text()


def says(page: Any, step: dict[str, Any]) -> None:
    """The page shows a step: its title, each line, each note."""
    text = seen(page)
    assert all(part in text for part in (step["title"], *step["text"].splitlines()))
    assert all(note in text for note in step["notes"])


def test_every_step_is_reached_by_clicking(player: Any, path: Path, open_page: Open) -> None:
    page = open_page(path)
    forth, back = page.get_by_label("One step forth"), page.get_by_label("One step back")
    for k, step in enumerate(player.steps):
        says(page, step)
        assert page.locator(".gl-count").inner_text() == f"{k + 1} / {len(player.steps)}"
        forth.click(force=True)
    says(page, player.steps[-1])  # there is nothing behind
    for step in reversed(player.steps):
        says(page, step)
        back.click(force=True)
    page.get_by_label("Last step").click()
    says(page, player.steps[-1])
    page.get_by_label("First step").click()
    says(page, player.steps[0])


def test_every_step_is_reached_by_keyboard(player: Any, path: Path, open_page: Open) -> None:
    page = open_page(path)  # and nothing is clicked
    for step in player.steps:
        says(page, step)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    says(page, player.steps[0])
    page.keyboard.press("End")
    says(page, player.steps[-1])
    page.keyboard.press("ArrowLeft")
    says(page, player.steps[-2])
    for _ in range(5):  # past the player, what scrolls and the first buttons to the one that plays
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.ariaLabel") == "Play":
            break
    assert page.evaluate("document.activeElement.ariaLabel") == "Play"
    page.keyboard.press("Space")
    says(page, player.steps[-1])


def test_it_plays_and_pauses(player: Any, path: Path, open_page: Open) -> None:
    page = open_page(path)
    page.locator(".gl-speed input").fill("4")
    page.locator(".gradloom-player").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause").click()
    k = int(page.locator(".gl-count").inner_text().split()[0])
    assert 1 < k < len(player.steps)
    page.get_by_role("button", name="Play", exact=True).click()
    count = len(player.steps)
    page.locator(".gl-count", has_text=f"{count} / {count}").wait_for()
    says(page, player.steps[-1])
    assert page.get_by_role("button", name="Play", exact=True).count() == 1


def test_the_graph_shows_what_the_step_is_about(path: Path, open_page: Open) -> None:
    page = open_page(path)
    names = ".gl-box.is-now .gl-name"
    assert page.locator(names).all_text_contents() == ["w", "x", "b"]
    assert page.locator(".gl-box .gl-data:visible").count() == 3
    page.get_by_label("One step forth").click()
    assert page.locator(names).all_text_contents() == ["v1"]
    assert page.locator(".gl-arrow.is-now").count() == 2
    page.get_by_label("Last step").click()
    page.get_by_label("One step back").click()  # the product passes on to both factors
    notes = [text for text in page.locator(".gl-note").all_text_contents() if text]
    assert notes == ["−4.552", "+3.414"]
    changed = page.locator(".gl-grad.gl-changed").all_text_contents()
    assert sorted(changed) == sorted(["−4.552", "3.414"])
    assert page.locator(".gl-box.is-near .gl-name").all_text_contents() == ["w", "x"]


def test_a_step_of_the_list_is_jumped_to(player: Any, path: Path, open_page: Open) -> None:
    page = open_page(path)
    page.locator("summary").click()
    page.locator(".gl-all li").nth(6).click()
    says(page, player.steps[6])
    assert page.locator("li[aria-current=step]").count() == 1


def test_hostile_labels_are_shown_as_text(tmp_path: Path, open_page: Open) -> None:
    x = Value(1.0, label=NASTY)
    with engine.scope(NASTY):
        y = engine.exp(x) * 2.0
    y.label = "</script></style><img src=x onerror=alert(1)>"
    page = open_page(engine.step_through(y).save(tmp_path / "player.html"))
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    assert NASTY.replace("\n", " ↵ ") in seen(page)
    assert NASTY.replace("\n", " ↵ ") in page.locator(".gl-box title").first.text_content()
    page.get_by_label("Last step").click()
    page.get_by_label("One step back").click()
    assert y.label in page.locator(".gl-all").text_content()
    assert page.locator("img").count() == 0 and alerts == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_or_dark_as_the_system_or_the_caller_has_it(
    scheme: str, path: Path, tmp_path: Path, open_page: Open, keep_picture: Any
) -> None:
    def paper(page: Any) -> str:
        look = "getComputedStyle(document.querySelector('.gradloom-player')).backgroundColor"
        return page.evaluate(look)

    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 29)"}
    page = open_page(path, color_scheme=scheme)
    assert paper(page) == colours[scheme]
    for k in (3, 11, 15):
        page.locator(".gl-place").fill(str(k))
        keep_picture(page, f"player-{scheme}-{k}")
    other = {"light": "dark", "dark": "light"}[scheme]
    fixed = engine.step_through(loss(), theme=other).save(tmp_path / "fixed.html")
    assert paper(open_page(fixed, color_scheme=scheme)) == colours[other]


def test_nothing_moves_for_those_who_prefer_that(path: Path, open_page: Open) -> None:
    page = open_page(path, reduced_motion="reduce")
    page.get_by_label("One step forth").click()
    look = "getComputedStyle(document.querySelector('.gl-arrow.is-now path')).animationName"
    assert page.evaluate(look) == "none"


def test_without_scripts_the_graph_and_all_steps_are_there(
    player: Any, path: Path, open_page: Open
) -> None:
    page = open_page(path, java_script_enabled=False)
    assert page.locator("li").count() == len(player.steps)
    assert page.locator("li").last.is_visible()
    assert page.locator(".gl-controls").count() == 0
    assert page.locator(".gl-view img").evaluate("image => image.naturalWidth") > 300


def test_two_players_in_a_page_do_not_meddle(tmp_path: Path, open_page: Open) -> None:
    one = engine.step_through(Value(1.0, label="one") * 2.0)
    two = engine.step_through(Value(1.0, label="two") * 3.0)
    path = tmp_path / "both.html"
    path.write_text(f"<meta charset=utf-8>{one._repr_html_()}{two._repr_html_()}", "utf-8")
    page = open_page(path)
    page.get_by_label("One step forth").last.click()
    counts = page.locator(".gl-count").all_inner_texts()
    assert counts == ["1 / 5", "2 / 5"]
    assert "one = 1" in page.locator(".gl-now").first.inner_text()


def test_where_a_page_has_other_things_it_takes_no_key_before_it_has_the_focus(
    player: Any, tmp_path: Path, open_page: Open
) -> None:
    path = tmp_path / "host.html"
    path.write_text(f"<meta charset=utf-8><p>text</p>{player._repr_html_()}", "utf-8")
    page = open_page(path)
    page.keyboard.press("ArrowRight")
    says(page, player.steps[0])
    page.locator(".gradloom-player").focus()
    page.keyboard.press("ArrowRight")
    says(page, player.steps[1])


SPANS = """svg => [...svg.querySelectorAll("text")].filter(text => text.textContent).map(text => {
    const box = text.closest("g").getBoundingClientRect(), own = text.getBoundingClientRect();
    return [text.textContent, parseFloat(getComputedStyle(text).fontSize)
        * text.getScreenCTM().a, own.left - box.left, box.right - own.right];
})"""


def test_a_small_network_is_a_slide(tmp_path: Path, open_page: Open, keep_picture: Any) -> None:
    model = nn.MLP(2, [3, 1], rng=random.Random(1))
    out = model([Value(1.0, label="x1"), Value(-2.0, label="x2")])
    out.label = "out"
    page = open_page(engine.step_through(out).save(tmp_path / "mlp.html"))
    names = page.locator(".gl-box .gl-name").all_text_contents()
    assert names[:2] == ["x1", "x2"] and "w₁ × x1 + w₂ × x2 + b" in names[2]
    boxes = [page.locator(".gl-box").nth(k).bounding_box() for k in range(len(names))]
    columns = [boxes[k]["x"] for k in (0, 2, 3, len(names) - 1)]  # input, sum, ReLU, output
    assert names[-1].startswith("out = ") and columns == sorted(set(columns))
    assert abs(boxes[2]["x"] - boxes[4]["x"]) < 100  # neurons of a layer below one another
    middle = sum(box["y"] for box in boxes[2:-1]) / len(boxes[2:-1])
    assert abs(boxes[-1]["y"] - middle) < boxes[-1]["height"]
    texts = page.locator(".gl-stage").evaluate(SPANS)
    assert min(size for _, size, _, _ in texts) >= 12.0  # pixels, which are 9 points
    frame, whole = page.locator(".gl-view").bounding_box(), page.locator(".gl-stage").bounding_box()
    assert whole["width"] <= frame["width"] + 1 and whole["height"] <= frame["height"] + 1
    said = page.locator(".gl-now")
    assert page.locator(".gl-now p").count() == 15  # two inputs, nine weights, four biases
    last = page.locator(".gl-now p").last.bounding_box()
    assert said.bounding_box()["y"] + said.bounding_box()["height"] - last["y"] < 3 * last["height"]
    keep_picture(page, "player-mlp-start")
    page.keyboard.press("End")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    keep_picture(page, "player-mlp-backward")


def test_it_starts_where_a_notebook_runs_the_scripts_of_an_output(
    player: Any, tmp_path: Path, open_page: Open
) -> None:
    path = tmp_path / "host.html"
    path.write_text("<meta charset=utf-8><div id=output></div>", "utf-8")
    page = open_page(path)
    # As VS Code does it: the scripts of an output are copied, run, and taken away again.
    page.evaluate(
        """text => {
            const host = document.getElementById("output");
            host.innerHTML = text;
            for (const old of [...host.getElementsByTagName("script")]) {
                const script = document.createElement("script");
                script.text = old.innerText;
                if (old.type) script.type = old.type;
                host.appendChild(script).parentNode.removeChild(script);
            }
        }""",
        player._repr_html_(),
    )
    page.get_by_label("One step forth").click()
    says(page, player.steps[1])


def test_it_follows_the_theme_of_the_notebook(player: Any, tmp_path: Path, open_page: Open) -> None:
    look = "getComputedStyle(document.querySelector('.gradloom-player')).backgroundColor"
    for attribute in ('data-jp-theme-light="false"', 'class="vscode-dark"'):
        path = tmp_path / "host.html"
        path.write_text(f"<body {attribute}>{player._repr_html_()}", "utf-8")
        assert open_page(path, color_scheme="light").evaluate(look) == "rgb(21, 24, 29)"


def test_it_survives_nbconvert(player: Any, tmp_path: Path, open_page: Open) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbconvert = pytest.importorskip("nbconvert")
    v4 = nbformat.v4
    output = v4.new_output("execute_result", player._repr_mimebundle_())
    notebook = v4.new_notebook(cells=[v4.new_code_cell("player", outputs=[output])])
    nothing = {"mathjax_url": "", "require_js_url": "", "mermaid_js_url": ""}  # to be fetched
    text, _ = nbconvert.HTMLExporter(**nothing).from_notebook_node(notebook)
    path = tmp_path / "notebook.html"
    path.write_text(text, "utf-8")
    page = open_page(path, viewport={"width": 700, "height": 600})
    stage = page.locator(".gl-stage")
    natural = stage.evaluate("(svg) => svg.viewBox.baseVal.width")
    assert stage.bounding_box()["width"] >= natural > 700  # it scrolls, and is not made smaller
    page.get_by_label("Last step").click()
    says(page, player.steps[-1])


def test_its_buttons_are_large_enough_for_a_thumb(path: Path, open_page: Open) -> None:
    page = open_page(path, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for control in page.locator(".gl-controls button, .gl-controls input, .gl-all summary").all():
        assert control.bounding_box()["height"] >= 44


def test_a_large_graph_is_scrolled_to_where_something_happens(
    tmp_path: Path, open_page: Open, keep_picture: Any
) -> None:
    x = Value(1.0, label="x")
    for k in range(40):
        x = engine.tanh(x + 0.1 * k)
    player = engine.step_through(x, limit=200)
    page = open_page(player.save(tmp_path / "chain.html"))
    for k in (1, 30, 60, 100, len(player.steps) - 2):
        page.locator(".gl-place").fill(str(k))
        frame = page.locator(".gl-view").bounding_box()
        box = page.locator(".gl-box.is-now").bounding_box()
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    keep_picture(page, "player-chain")
