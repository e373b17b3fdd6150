"""The notebooks run, and what is committed of their outputs can be shown to anybody.

Running them needs Jupyter and a minute or two: that test is for `make test-notebooks`. What is
committed is plain JSON, and checked with all other tests.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sanitised import Sanitised

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
PICTURES = {"image/svg+xml", "image/png"}
LARGEST = 500_000  # bytes: it should open at once, in a browser too
OF_A_MACHINE = re.compile(r"(?<![\w.:/-])(/(home|root|Users|tmp|usr|opt|var|mnt|work)/|[A-Z]:\\)")
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text_of(part: str | list[str]) -> str:
    """A text as a notebook keeps it, whole or in lines."""
    return part if isinstance(part, str) else "".join(part)


def kinds(cell: dict[str, Any]) -> list[Any]:
    """What a code cell shows: streams by their name, the rest by the types it can be shown as."""
    return [output.get("name") or sorted(output["data"]) for output in cell["outputs"]]


def test_there_are_notebooks() -> None:
    assert PATHS


@each
def test_it_is_short_and_was_run_from_top_to_bottom(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert len(notebook["cells"]) <= 20
    assert path.stat().st_size <= LARGEST
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_what_it_shows_is_fit_to_be_shown(path: Path) -> None:
    notebook = json.loads(path.read_text())
    for output in (output for cell in code_cells(notebook) for output in cell["outputs"]):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", text_of(output["text"])
        shown = output.get("data", {"text/plain": output.get("text", "")})
        left = Sanitised(text_of(shown.get("text/html", "")))
        assert left.unknown == [], "its words would be jumbled where nothing is trusted"
        assert bool(left.images) == ("text/html" in shown and bool(PICTURES & set(shown)))
        for text in map(text_of, shown.values()):
            assert "%|" not in text or "100%|" in text, "a progress bar that stands still"
            assert not OF_A_MACHINE.search(text)
            assert not ADDRESS.search(text)


@each
def test_a_second_run_would_change_no_metadata(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert all(cell["metadata"] == {} for cell in code_cells(notebook))


def test_each_text_begins_a_slide() -> None:
    nbconvert = pytest.importorskip("nbconvert")
    loader = pytest.importorskip("traitlets.config.loader")
    config = loader.PyFileConfigLoader("nbconvert_config.py", str(FOLDER)).load_config()
    text, _ = nbconvert.SlidesExporter(config=config).from_filename(str(PATHS[0]))
    cells = json.loads(PATHS[0].read_text())["cells"]
    assert text.count("<section><section>") == sum(c["cell_type"] == "markdown" for c in cells)


@pytest.mark.notebook
@each
def test_it_runs_and_shows_what_is_committed(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # nobody's own start-up files
    notebook = nbformat.read(path, as_version=4)
    committed = [kinds(cell) for cell in code_cells(notebook)]
    client = nbclient.NotebookClient(
        notebook,
        timeout=900,  # a cell; far more than any takes, also with MNIST
        coalesce_streams=True,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()  # raises where a cell does
    for cell, before in zip(code_cells(notebook), committed, strict=True):
        assert kinds(cell) == before, cell["source"]
