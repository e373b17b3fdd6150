"""A progress bar in a notebook that is saved: where it ended, not where it began."""

import os
from pathlib import Path

import pytest

TRAINS = """\
import random, nn
model = nn.Sequential(nn.Linear(1, 1))
optimizer = nn.SGD(model.parameters(), lr=0.1)
history = nn.fit(model, [[1.0], [2.0]], [[2.0], [4.0]], epochs=5, loss=nn.MSELoss(),
                 optimizer=optimizer, path="scalar")"""


@pytest.mark.notebook
def test_a_saved_bar_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipywidgets")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    house = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([house, os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TRAINS)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    texts = [o["data"]["text/plain"] for o in notebook.cells[0].outputs if "data" in o]
    assert len(texts) == 1 and texts[0].startswith("100%") and "10.0/10.0" in texts[0], texts
