"""The playground, built and opened from its folder, in a real browser."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nn import cli

HOUSE = Path(__file__).parents[2]
MINUTE = 60_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("no npm: apt-get install -y npm")
    folder = tmp_path_factory.mktemp("build") / "playground"
    build = [sys.executable, str(HOUSE / "docs" / "playground" / "build.py"), str(folder)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Playground:
    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if request.url.startswith("http"):
            self.errors.append(f"fetched {request.url}")

    def open(self, folder: Path, hash: str = "") -> None:
        self.page.goto(f"{(folder / 'index.html').as_uri()}{hash}")
        self.page.wait_for_selector("#picture svg", timeout=MINUTE)

    def done(self, act: Any) -> str:
        """What is said after a run that `act` begins."""
        idle = '!document.body.hasAttribute("data-busy")'
        self.page.wait_for_function(idle, timeout=MINUTE)
        runs = self.page.evaluate("document.body.dataset.runs")
        act()
        changed = f"document.body.dataset.runs !== {json.dumps(runs)} && {idle}"
        self.page.wait_for_function(changed, timeout=MINUTE)
        return str(self.page.inner_text("#said"))

    def run(self, code: str) -> str:
        return self.done(lambda: self.page.fill("#code", code))

    def texts(self) -> list[str]:
        return list(self.page.locator("#picture svg text").all_text_contents())


@pytest.fixture(scope="module")
def opened(chromium: Any, folder: Path) -> Iterator[Playground]:
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    playground = Playground(page)
    playground.open(folder)
    yield playground
    page.close()


@pytest.fixture
def playground(opened: Playground) -> Iterator[Playground]:
    opened.page.click('[data-view="picture"]')
    yield opened
    assert opened.errors == []


def test_the_first_graph_has_values_and_gradients(
    playground: Playground, keep_picture: Any
) -> None:
    assert playground.done(lambda: playground.page.select_option("#examples", "0"))
    assert {"x1", "w2", "tanh", "0.7064", "−1.503"} <= set(playground.texts())
    keep_picture(playground.page, "playground")


def test_all_examples_run(playground: Playground) -> None:
    titles = playground.page.evaluate("EXAMPLES.map((example) => example.title)")
    assert len(titles) == 11
    for k, title in enumerate(titles):
        said = playground.done(lambda k=k: playground.page.select_option("#examples", str(k)))
        assert " ms" in said, (title, said)
        assert playground.page.locator("#said.error").count() == 0
        shown = ("#picture", "#shown", "#printed")
        assert any(playground.page.is_visible(place) for place in shown), title


def test_a_slider_computes_everything_anew(playground: Playground) -> None:
    playground.run('from engine import Value\nx = Value(3.0, label="x")\ny = x * x\nprint(y.data)')
    assert "9" in playground.texts() and playground.page.inner_text("#printed").strip() == "9.0"
    drag = "(bar) => { bar.value = 5; bar.dispatchEvent(new Event('input')); }"
    bar = playground.page.locator("#leaves input")
    playground.done(lambda: bar.evaluate(drag))
    assert {"5", "25", "10"} <= set(playground.texts())
    assert playground.page.inner_text("#printed").strip() == "25.0"
    playground.done(lambda: bar.dblclick())
    assert "9" in playground.texts()


def test_inf_and_nan_are_shown_beside_their_sliders(playground: Playground) -> None:
    code = "from engine import Value\nx, y = Value(0.0, label='x'), Value(float('nan'), label='y')"
    assert "nan" in playground.run(f"{code}\nz = x**0.5 * y")
    assert playground.page.locator("#leaves output").all_text_contents() == ["0.000", "nan"]
    assert playground.page.locator("#leaves input:disabled").count() == 1
    playground.run("from engine import Value\nx = Value(0.0, label='x')\ny = x**0.5")
    assert playground.page.inner_text("#leaves .grad") == "grad inf"


def test_a_small_gradient_stays_in_its_line(playground: Playground) -> None:
    playground.run("from engine import Value\nx = Value(-8.0, label='x')\ny = -(3e-6 * x)")
    row = playground.page.locator("#leaves label")
    assert row.locator(".grad").inner_text() == "grad −3.00e−6"
    assert row.locator("output").inner_text() == "−8.000" and row.bounding_box()["height"] < 30


def test_what_prints_need_not_draw(playground: Playground) -> None:
    assert "no Value to draw" in playground.run("x = 1")
    assert "no Value" not in playground.run("print(1)")


def test_layers_losses_and_optimisers_train_without_numpy(playground: Playground) -> None:
    code = """
import random, nn
w = nn.Linear(2, 1, rng=random.Random(0))
o = nn.Adam(w.parameters(), lr=0.1)
for step in range(10):
    o.zero_grad()
    loss = nn.MSELoss()(w([1.0, 2.0]), [3.0])
    loss.backward()
    o.step()
print(repr(loss.data))
"""
    playground.run(code)
    here: dict[str, Any] = {}
    exec(code, here)
    assert float(playground.page.inner_text("#printed")) == here["loss"].data
    said = playground.run("import nn\nnn.data.xor()")
    assert "AttributeError" in said and "this page, which has no NumPy" in said
    assert "what compiles is not in it" in playground.run("import nn\nnn.fit")


def test_an_error_is_told_with_its_line_and_the_picture_stays(playground: Playground) -> None:
    playground.run("from engine import Value\ny = Value(2.0) * 3.0")
    said = playground.run("from engine import Value\n\ny = Value([1, 2])")
    assert (
        said.startswith("line 3: TypeError: a Value holds one number") and "6" in playground.texts()
    )
    assert playground.page.inner_text("#lines .wrong") == "3"
    assert playground.run("if True print(1)").startswith("line 1: SyntaxError")
    deep = "def f(x):\n    return g(x)\ndef g(x):\n    return x.nope\nf(Value(1.0))"
    assert playground.run(deep).startswith("line 4: AttributeError")
    assert playground.run("raise SystemExit").startswith("line 1: SystemExit")
    assert "line 2: RecursionError" in playground.run("def f():\n    return f()\nf()")


def test_the_player_plays_in_it(playground: Playground) -> None:
    playground.run("from engine import Value\ny = Value(2.0, label='x') * 3.0")
    playground.done(lambda: playground.page.click('[data-view="player"]'))
    frame = playground.page.frame_locator("#player")
    frame.locator(".gl-now").wait_for(timeout=MINUTE)
    frame.locator(".gl-last").click()
    assert "x.grad" in frame.locator(".gl-now").inner_text()


def test_an_endless_loop_is_stopped_and_the_page_goes_on(playground: Playground) -> None:
    playground.page.fill("#code", "while True:\n    pass")
    playground.page.wait_for_selector("#stop", timeout=MINUTE)
    playground.page.click("#stop")
    assert "Stopped" in playground.page.inner_text("#said")
    assert "y = 8" in playground.run("from engine import Value\ny = Value(2.0) ** 3")


def test_a_program_is_shared_by_its_address(
    playground: Playground, chromium: Any, folder: Path
) -> None:
    playground.run("from engine import Value\ngrüße = Value(1.5) * 4.0  # ∂")
    playground.page.click("#share")
    hash = playground.page.evaluate("location.hash")
    page = chromium.new_page()
    other = Playground(page)
    other.open(folder, hash)
    assert "∂" in page.input_value("#code") and "grüße = 6" in page.inner_text("#said")
    page.close()


def test_an_address_that_is_cut_off_is_told(chromium: Any, folder: Path) -> None:
    page = chromium.new_page()
    page.goto(f"{(folder / 'index.html').as_uri()}#code=abcde")
    page.wait_for_function("document.body.dataset.runs", timeout=MINUTE)
    assert "was it cut off?" in page.input_value("#code")
    page.close()


def test_it_fits_a_phone_and_a_thumb(chromium: Any, folder: Path, keep_picture: Any) -> None:
    look: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
    page = chromium.new_page(**look, has_touch=True, is_mobile=True)
    playground = Playground(page)
    playground.open(folder)
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(wide) and playground.errors == []
    controls = page.locator("button:visible, select, #leaves input, summary")
    assert controls.count() == 11
    assert all(control.bounding_box()["height"] >= 44 for control in controls.all())
    keep_picture(page, "playground-phone")
    boxes = {
        name: page.locator("#picture text", has_text=name).first.bounding_box()
        for name in ("x1", "out")
    }
    assert boxes["out"]["y"] > boxes["x1"]["y"] + 300  # downwards, where there is more room
    assert all(box["x"] + box["width"] < 390 for box in boxes.values())
    page.close()


def test_the_command_opens_it_or_says_how_to_build_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli._playground(tmp_path) == 1
    assert "run `make playground`" in capsys.readouterr().err
    page = tmp_path / "build" / "playground" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    opened: list[str] = []
    monkeypatch.setattr(cli.webbrowser, "open", opened.append)
    assert cli._playground(tmp_path) == 0 and opened == [page.as_uri()]
