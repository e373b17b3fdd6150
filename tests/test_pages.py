"""The pages of the site do what they say: all blocks of a page run in order, in one namespace."""

import os
from pathlib import Path
from unittest import mock

import pytest

import page_blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if page_blocks.blocks(page.read_text())]
OTHERS = {  # whose packages only `make test-oracles` and `make test-distributed` have
    "oracle": {"torch", "sklearn", "keras"},
    "distributed": {"dask"},
}


def needs(page: Path) -> list[pytest.MarkDecorator]:
    imported = page_blocks.imports(page.read_text())
    marks = [getattr(pytest.mark, name) for name, those in OTHERS.items() if imported & those]
    # A port that is taken, for one, is no matter.
    return marks + [pytest.mark.filterwarnings("default")] * ("dask" in imported)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=str(page.relative_to(DOCS)), marks=needs(page)) for page in PAGES],
)
def test_a_page_prints_what_its_comments_say(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    if absent := page_blocks.missing(text):
        pytest.skip(f"not installed: {', '.join(absent)}")
    with mock.patch.dict(os.environ):  # Dask adds to it
        page_blocks.run(text, tmp_path, {})


def test_a_wrong_promise_is_noticed(tmp_path: Path) -> None:
    page = "```python\nx = 1\n```\ntext\n```python\nprint(x + 1)  # 3\n```\n"
    with pytest.raises(AssertionError, match="'2' is not '3'"):
        page_blocks.run(page, tmp_path, {})


def test_every_page_that_people_are_sent_to_answers_its_25_questions() -> None:
    rows = (DOCS / "how-to" / "what-people-ask.md").read_text().splitlines()
    numbers = [int(row.split("|")[1]) for row in rows if row.startswith("| ") and row[2].isdigit()]
    assert numbers == [*range(1, 26)]
