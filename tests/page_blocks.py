"""The Python of a page in Markdown: run in order, in one namespace, and held to its comments.

A comment after a print says what is printed; … in it stands for anything.
"""

from __future__ import annotations

import contextlib
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def blocks(page: str) -> list[str]:
    """The blocks of Python in a page."""
    return re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def imports(page: str) -> set[str]:
    """The packages that a page's blocks import."""
    code = "\n".join(blocks(page))
    return {*re.findall(r"^\s*(?:import|from) (\w+)", code, flags=re.MULTILINE)}


def missing(page: str) -> list[str]:
    """Those that are not installed."""
    return sorted(name for name in imports(page) if find_spec(name) is None)


def run(page: str, folder: Path, names: dict[str, Any]) -> None:
    """Run a page's blocks in a folder. Raises AssertionError where another line is printed."""
    for block in blocks(page):
        run_block(block, folder, names)


def run_block(block: str, folder: Path, names: dict[str, Any]) -> None:
    """Run one block in a folder, in these names, and compare what it prints."""
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        exec(block, names)
    promised = re.findall(r"print\(.*\)  # (.*)", block)
    printed = output.getvalue().splitlines()
    assert len(promised) == len(printed), f"{printed} is not {promised}"
    for promise, line in zip(promised, printed, strict=True):
        pattern = ".*".join(re.escape(part.strip()) for part in promise.split("…"))
        assert re.fullmatch(pattern, line), f"{line!r} is not {promise!r}"
