"""The README does what it says: its code runs, prints what its comments promise, and draws."""

import contextlib
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import page_blocks

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = page_blocks.blocks(README)
PICTURE = ROOT / "notebooks" / "pictures" / "first-gradient.svg"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the first block defines; it runs in a folder of its own."""
    folder = tmp_path_factory.mktemp("readme")
    found: dict[str, Any] = {"folder": folder}
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        exec(BLOCKS[0], found)
    return found


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0] for block in BLOCKS])
def test_a_block_prints_what_its_comments_say(block: str, names: dict[str, Any]) -> None:
    if "from sklearn" in block:
        pytest.importorskip("sklearn")
    page_blocks.run_block(block, names["folder"], dict(names))


def test_the_example_comes_first_and_its_picture_soon() -> None:
    lines = README.splitlines()
    assert lines.index("```python") < 10
    assert next(i for i, line in enumerate(lines) if PICTURE.name in line) < 25


def texts(svg: Path) -> list[str | None]:
    return [text.text for text in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_is_the_one_that_the_example_draws(names: dict[str, Any]) -> None:
    assert texts(names["folder"] / "graph.svg") == texts(PICTURE)


SHOWN = [ROOT / path for path in re.findall(r"!\[[^]]*\]\(([^)]*\.svg)\)", README)]


@pytest.mark.parametrize("svg", SHOWN, ids=[svg.stem for svg in SHOWN])
def test_a_picture_has_no_letters_under_9_points_where_it_is_shown(svg: Path) -> None:
    root = ET.parse(svg).getroot()
    width = float(root.attrib["width"].removesuffix("pt")) * 96 / 72  # in pixels
    sizes = [float(size) for part in root.iter() if (size := part.get("font-size"))]
    assert min(sizes) * min(1.0, 880 / width) >= 9.0  # GitHub's page is 880 pixels wide


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
