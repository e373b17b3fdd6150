"""docs/differences.md says what the installed libraries do now, and what we do."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from engine.ops import TABLE

FILE = Path(__file__).parents[1] / "docs" / "differences.py"
PAGE = FILE.with_suffix(".md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def differences() -> Any:
    spec = importlib.util.spec_from_file_location("differences", FILE)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(differences: Any, column: str) -> Any:
    """For each row of the page: the operation, its part, the first point, and a column's cell."""
    for name, rest in ROWS:
        what, at, *cells = rest.split(" | ")
        part = {"value": 0, "d/dx": 1, "d/d1": 1, "d/d2": 2, "d/d3": 3}[what]
        numbers = tuple(map(float, at.strip("()").split(", ")))
        yield TABLE[name], part, numbers, cells[differences.COLUMNS.index(column)].strip("* ")


def test_the_page_has_what_we_say(differences: Any) -> None:
    assert len(ROWS) > 100
    for op, part, numbers, cell in told(differences, "gradloom"):
        ours = differences.our_answer(op, numbers)[part]
        assert cell == differences.cell([ours]), (op.name, part, numbers)


def test_the_truth_is_that_of_limits(differences: Any) -> None:
    """Some whose truth is known by other means."""
    inf = float("inf")
    for name, numbers, expected in (
        ("abs", (0.0,), [[0.0], [-1.0, 1.0]]),
        ("sqrt", (0.0,), [[0.0], [inf]]),
        ("log", (0.0,), [[-inf], [inf]]),
        ("maximum", (2.0, 2.0), [[2.0], [0.0, 1.0], [0.0, 1.0]]),
        ("hypot", (inf, 2.0), [[inf], [1.0], [0.0]]),
        ("sin", (inf,), [[], []]),
        ("sub", (inf, inf), [[], [1.0], [-1.0]]),
        ("logaddexp", (-inf, 3.0), [[3.0], [0.0], [1.0]]),
        ("sign", (0.0,), [[0.0], []]),
        ("square", (1e200,), [[inf], [2e200]]),
    ):
        assert differences.true_answer(TABLE[name], numbers) == expected, name


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["PyTorch", "JAX", "Autograd", "CasADi"])
def test_the_page_has_what_an_installed_library_says(differences: Any, name: str) -> None:
    kind = getattr(differences, name)
    try:
        installed = differences.release(kind)
    except PackageNotFoundError:
        pytest.skip(f"{kind.package} is not installed")
    assert f"{kind.name} {installed}" in PAGE, "run `make differences`"
    library = kind()
    for op, part, numbers, cell in told(differences, kind.name):
        found = differences.answer(library, differences.function_of(library, op), numbers)
        now = "" if found is None else differences.cell([found[part]])
        assert cell == now, (op.name, part, numbers, "run `make differences`")
