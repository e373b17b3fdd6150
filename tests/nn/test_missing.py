"""What an option needs, a package or a folder, is looked for before work begins; and what is left
out where a package is missing is left out with a word."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine.compiled import jitted
from nn.cli import main


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have packages be as if they were not installed."""

    def hide(*names: str) -> None:
        for name in names:
            loaded = [known for known in sys.modules if known.startswith(f"{name}.")]
            for known in (name, *loaded):
                monkeypatch.setitem(sys.modules, known, None)

    return hide


@pytest.fixture
def without_numba(without: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(jitted, "DISABLED", False)
    without("numba", "llvmlite")
    jitted.require.cache_clear()  # it was looked for before
    yield
    jitted.require.cache_clear()


class Training:
    """A run of 200 rows, and what came of it."""

    def __init__(self) -> None:
        self.model = nn.Sequential(nn.Linear(2, 1))
        self.X = np.random.default_rng(0).normal(size=(200, 2))
        self.before = self.numbers()
        self.epochs: list[int] = []

    def numbers(self) -> list[float]:
        return [p.data for p in self.model.parameters()]

    def fit(self, **options: Any) -> nn.History:
        given = {"loss": nn.MSELoss(), "optimizer": nn.SGD(self.model.parameters(), lr=0.1)}
        given |= {"epochs": 2, "progress": False}
        given["callbacks"] = [lambda epoch, history: self.epochs.append(epoch)]
        return nn.fit(self.model, self.X, self.X[:, :1], **given | options)


@pytest.fixture
def training() -> Training:
    return Training()


# --- told before the first update ---------------------------------------------------------------


def test_a_checkpoint_without_safetensors(
    training: Training, tmp_path: Path, without: Callable[..., None]
) -> None:
    without("safetensors")
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[io\]'"):
        training.fit(checkpoint=tmp_path / "run")
    assert (training.numbers(), training.epochs) == (training.before, [])


def test_a_checkpoint_where_nothing_can_be_written(training: Training, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"can't write to .*run: Not a directory"):
        training.fit(checkpoint=tmp_path / "file" / "run")
    assert (training.numbers(), training.epochs) == (training.before, [])


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a training began")

    monkeypatch.setattr(nn, "fit", refused)


@pytest.mark.parametrize("program", ["xor", "unit-circle", "names-gpt"])
def test_pictures_of_a_program_without_matplotlib(
    program: str,
    no_training: None,
    tmp_path: Path,
    without: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    without("matplotlib")
    assert main(["run", program, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "gradloom: a plot needs matplotlib: pip install 'gradloom[plot]'\n"
    )


def test_a_graph_of_a_program_without_graphviz(
    no_training: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert main(["run", "unit-circle", "--out", str(tmp_path)]) == 1
    assert "no renderer for graphs was found" in capsys.readouterr().err


def test_scikit_learn_is_loaded_by_its_estimators_alone() -> None:
    code = "import sys, nn; assert 'sklearn' not in dir(nn); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


def test_estimators_without_scikit_learn(
    without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without("sklearn")
    monkeypatch.delitem(sys.modules, "nn.sklearn", raising=False)
    monkeypatch.delitem(vars(nn), "sklearn", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[sklearn\]'"):
        _ = nn.sklearn


def test_a_live_plot_without_matplotlib(without: Callable[..., None]) -> None:
    without("matplotlib")
    with pytest.raises(ImportError, match=r"gradloom\[plot\]"):
        nn.LivePlot()


def test_a_drawing_into_a_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = engine.draw(engine.Value(1.0) * 2.0)
    monkeypatch.setattr(type(drawing), "render", lambda *_: pytest.fail("a layout began"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        drawing.save(tmp_path / "none" / "graph.svg")


def test_a_file_is_not_run_for_a_picture_that_has_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.py"
    file.write_text("raise SystemExit('a long computation')\n")
    assert main(["draw", f"{file}:y", "--out", str(tmp_path / "none" / "y.svg")]) == 1
    assert "there is no folder" in capsys.readouterr().err


# --- left out with a word ---------------------------------------------------------------------


def test_auto_trains_on_the_scalar_path_without_numba(
    training: Training, without_numba: None, capsys: pytest.CaptureFixture[str]
) -> None:
    history = training.fit(progress=True, validation_data=(training.X, training.X[:, :1]))
    assert (history.path, len(history.val_loss)) == ("scalar", 2)
    assert history.reason == "compiling needs Numba: pip install numba"
    out, err = capsys.readouterr()
    assert "scalar path: compiling needs Numba: pip install numba" in out + err


def test_auto_minimizes_on_the_scalar_path_without_numba(without_numba: None) -> None:
    w = engine.Value(1.0)
    history = nn.minimize(lambda: (w - 3) ** 2, nn.SGD([w], lr=0.25), steps=3, progress=False)
    assert (history.path, w.data) == ("scalar", 2.75)
    assert "pip install numba" in history.reason


def test_predictions_and_losses_need_no_numba(training: Training, without_numba: None) -> None:
    w = training.model.state_dict()
    expected = training.X @ w["0.weight"].T + w["0.bias"]
    with pytest.warns(RuntimeWarning, match="on the scalar path: compiling needs Numba"):
        np.testing.assert_allclose(nn.predict(training.model, training.X), expected, rtol=1e-12)
    with pytest.warns(RuntimeWarning, match="on the scalar path: compiling needs Numba"):
        loss = nn.evaluate(training.model, training.X, expected, loss=nn.MSELoss())
    assert loss < 1e-28


@pytest.mark.parametrize("path", ["vectorised", "float32"])
def test_what_is_asked_for_says_what_to_install(
    path: str, training: Training, without_numba: None
) -> None:
    options = {"path": path} if path == "vectorised" else {"dtype": "float32"}
    with pytest.raises(ImportError, match="compiling needs Numba: pip install numba"):
        training.fit(**options)
    assert training.numbers() == training.before
    with pytest.raises(ImportError, match="pip install numba"):
        nn.predict(training.model, training.X, path="vectorised")


def test_compile_says_what_to_install(without_numba: None) -> None:
    with pytest.raises(ImportError, match="compiling needs Numba: pip install numba"):
        engine.compile(lambda x: x * x)


def test_a_program_trains_and_tells_without_numba(
    without_numba: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "xor", "--points", "8", "--epochs", "1", "--json"]) == 0
    out = capsys.readouterr().out
    assert '"path": "scalar"' in out and '"gradient_difference": null' in out


def test_texts_and_pages_of_a_drawing_need_no_graphviz(
    monkeypatch: pytest.MonkeyPatch, without: Callable[..., None]
) -> None:
    without("graphviz")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    drawing = engine.draw(engine.Value(2.0, label="x < 3") * 3.0)
    assert "x < 3 = 2" in str(drawing)
    assert drawing.render("dot").startswith(b"digraph {")
    page = drawing.render("html").decode()
    assert "x &lt; 3 = 2" in page and "gradloom[viz]" in page
