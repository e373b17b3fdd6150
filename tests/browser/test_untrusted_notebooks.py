"""Every committed notebook as somebody sees it who downloaded it: JupyterLab trusts none of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PICTURES = {"image/svg+xml", "image/png"}
SMALLEST = (60, 40)  # pixels: a picture, not the sign of a broken one
IMAGES = """cell => [...cell.querySelectorAll(".jp-OutputArea-output img")].map(image => {
    const box = image.getBoundingClientRect();
    return [image.naturalWidth, box.width, box.height];
})"""


def drawn_in(path: Path) -> list[int]:
    """How many pictures each code cell has: those of its pages, or one where there is no page."""
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    shown = [[o["data"] for o in c["outputs"] if PICTURES & set(o.get("data", ()))] for c in cells]
    return [sum("".join(d.get("text/html", "<img ")).count("<img ") for d in c) for c in shown]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pictures_are_seen_where_nothing_is_trusted(
    path: Path,
    chromium: Any,
    jupyterlab: tuple[str, Path],
    keep_picture: Callable[..., bytes],
) -> None:
    address, folder = jupyterlab
    shutil.copy(path, folder / path.name)
    page = chromium.new_page(viewport={"width": 1200, "height": 4000})
    page.goto(f"{address}/lab/tree/{path.name}?reset")
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expected = drawn_in(path)
    cells.nth(len(expected) - 1).wait_for(timeout=60_000)
    if any(expected):
        page.locator(".jp-OutputArea-output img").nth(sum(expected) - 1).wait_for()
    assert page.locator(".jp-OutputArea-output script").count() == 0  # or else it is trusted
    for k, count in enumerate(expected):
        sizes = cells.nth(k).evaluate(IMAGES)
        assert len(sizes) == count, f"cell {k}"
        for natural, width, height in sizes:
            assert natural > 0 and width >= SMALLEST[0] and height >= SMALLEST[1], f"cell {k}"
        assert cells.nth(k).locator(".jp-RenderedHTML svg text").count() == 0
    keep_picture(page, f"untrusted-{path.stem}")
    page.close()
