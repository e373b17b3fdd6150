"""What a notebook shows in JupyterLab: the graph, the player, a plot that grows, a progress bar."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DRAWN = """\
import engine
x, w, b = (engine.Value(v, label=name) for v, name in ((2.0, "x"), (-1.5, "w"), (2.6, "b")))
y = engine.tanh(w * x + b)
engine.draw(y)"""
PLAYED = "engine.step_through(y)"
TRAINED = """\
import random
import nn
rng = random.Random(1)
X, t = nn.data.moons(60)
model = nn.MLP(2, [8, 8, 1], rng=rng)
history = nn.fit(model, X, t.ravel(), loss=nn.BCEWithLogitsLoss(), epochs=12, path="scalar",
                 optimizer=nn.SGD(model.parameters(), lr=0.1), callbacks=[nn.LivePlot(0.0)])"""
WIDE = """\
z = 0.5 * (engine.sigmoid(2.0 * (w * x + b) + 1.0) - 3.0) ** 2
z.backward()
display(engine.draw(z), engine.step_through(z))"""
LAST_LINES = (  # of cells: each is to show one picture
    "history",
    "history.plot()",
    "ax = history.plot()\nax.set_title('named')\nax",
    "import matplotlib.pyplot as plt\nhistory.plot()\nplt.show()",
    "history.plot()\nNone",
    "nn.plots.decision_boundary(lambda grid: grid[:, 0], X, t)",
    "nn.draw_network(model).figure",
)
CELLS = (DRAWN, PLAYED, TRAINED, WIDE, *LAST_LINES)
PATIENCE = 60_000  # milliseconds: a machine may be busy


@pytest.fixture(scope="module")
def lab(chromium: Any, jupyterlab: tuple[str, Path]) -> Iterator[Any]:
    """A page with the notebook, being run."""
    pytest.importorskip("ipywidgets", reason="no ipywidgets: pip install 'gradloom[browser]'")
    address, folder = jupyterlab
    cells = [
        {"cell_type": "code", "id": f"cell{k}", "source": source, "metadata": {}}
        | {"outputs": [], "execution_count": None}
        for k, source in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "seen.ipynb").write_text(json.dumps(whole))
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/lab/tree/seen.ipynb?reset")
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    _run_all(page)
    yield page
    page.close()


def _run_all(page: Any) -> None:
    """Run the notebook, and again as long as the kernel does not listen yet."""
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for()
    for _ in range(20):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(2000)
        asked = page.locator(".jp-Dialog .jp-mod-accept")  # that it can't run yet
        if asked.count():
            asked.first.click()
        elif "[ ]" not in page.locator(".jp-InputPrompt").first.inner_text():
            return
    raise AssertionError("nothing runs in JupyterLab")


def cell(page: Any, k: int) -> Any:
    found = page.locator(".jp-Notebook .jp-CodeCell").nth(k)
    found.evaluate("cell => cell.scrollIntoView({block: 'end'})")
    return found


def test_a_plot_grows_and_a_progress_bar_runs_while_it_trains(
    lab: Any, keep_picture: Callable[..., bytes]
) -> None:
    outputs = cell(lab, 2)
    plot = outputs.locator(".jp-OutputArea-output img")
    plot.first.wait_for()
    before = plot.first.get_attribute("src")
    bar = outputs.locator(".jupyter-widgets .progress-bar")
    bar.wait_for(state="attached")  # it may be 0 wide as yet
    cell(lab, 2)
    keep_picture(lab, "jupyterlab-training")
    lab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    cell(lab, 2)
    assert plot.count() == 1 and plot.first.get_attribute("src") != before
    assert "720/720" in outputs.inner_text()  # twelve times sixty examples
    assert "width: 100%" in (bar.get_attribute("style") or "")
    keep_picture(lab, "jupyterlab-trained")
    assert outputs.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


@pytest.mark.parametrize("k", range(len(LAST_LINES)), ids=LAST_LINES)
def test_a_plot_is_one_picture(lab: Any, k: int) -> None:
    lab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    outputs = cell(lab, len(CELLS) - len(LAST_LINES) + k)
    picture = outputs.locator(".jp-OutputArea-output img")
    picture.first.wait_for()
    assert picture.count() == 1
    assert picture.evaluate("image => image.naturalWidth") > 400
    assert picture.bounding_box()["height"] > 200


def test_the_graph_is_drawn(lab: Any, keep_picture: Callable[..., bytes]) -> None:
    picture = cell(lab, 0).locator(".jp-OutputArea-output svg:has(text)")
    picture.wait_for()  # alive: one can hover over it
    assert picture.locator("title").count() > 5
    size = picture.bounding_box()
    assert size["width"] > 300 and size["height"] > 60
    keep_picture(lab, "jupyterlab-graph")


LETTERS = "svg => [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect().height)"
SCROLLS = """svg => {
    for (let part = svg; part; part = part.parentElement)
        if (part.scrollWidth > part.clientWidth && getComputedStyle(part).overflowX === "auto")
            return true;
    return false;
}"""


def test_letters_of_a_wide_graph_are_not_made_smaller_than_one_can_read(lab: Any) -> None:
    """JupyterLab narrows pictures to its page; these scroll instead."""
    lab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    pictures = cell(lab, 3).locator(".jp-OutputArea-output svg:has(.gl-grad), .gradloom-graph")
    pictures.nth(1).wait_for()
    for picture in pictures.all():
        assert picture.bounding_box()["width"] > 1100  # more than the page has
        assert min(filter(None, picture.evaluate(LETTERS))) > 10.0  # pixels, of a line
        assert picture.evaluate(SCROLLS)


def test_the_player_steps(lab: Any, keep_picture: Callable[..., bytes]) -> None:
    player = cell(lab, 1).locator(".gradloom-player")
    player.locator(".gl-count", has_text="1 / 9").wait_for()
    forth = player.get_by_label("One step forth")
    for _ in range(3):
        forth.click()
    assert player.locator(".gl-count").inner_text() == "4 / 9"
    assert "tanh(−0.4) = −0.3799" in player.locator(".gl-now").inner_text()
    keep_picture(lab, "jupyterlab-player")
    player.focus()
    lab.keyboard.press("End")
    lab.keyboard.press("ArrowLeft")
    assert player.locator(".gl-count").inner_text() == "8 / 9"
    assert lab.locator(".jp-Cell.jp-mod-selected").count() <= 1
    assert [text for text in player.locator(".gl-note").all_text_contents() if text]
