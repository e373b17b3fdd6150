"""The site, built as `make docs` does: no warning, nothing from elsewhere, no dead link."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

HOUSE = Path(__file__).parents[2]
PHONE = {"width": 390, "height": 844}
LARGEST = 300_000  # bytes, of a picture
SEEN = (  # pages that are looked at
    *("index", "start/tutorial", "how-to/what-people-ask", "how-to/find-a-nan"),
    *("how-to/coming-from", "explained/how-it-works", "reference/operations", "reference/engine"),
    *("lessons/01-first-gradient", "differences"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("furo", reason="no Sphinx: pip install 'gradloom[docs]'")
    folder = tmp_path_factory.mktemp("site") / "docs"
    build = [sys.executable, str(HOUSE / "docs" / "build.py"), str(folder)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


class Page(HTMLParser):
    """What a page links to, loads, and calls itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.headings = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.headings += tag == "h1"
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical",):
            self.loads.append(given.get("href", ""))
        elif "src" in given:
            self.loads.append(given["src"])

    def target(self, link: str) -> tuple[Path, str]:
        """The file that a link leads to, and the place in it."""
        parts = urlsplit(link)
        path = (self.path.parent / unquote(parts.path)).resolve() if parts.path else self.path
        return path, unquote(parts.fragment)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    made = (path for path in site.rglob("*.html") if "playground" not in path.parts[:-1])
    return {path: Page(path) for path in made}


def is_elsewhere(link: str) -> bool:
    return urlsplit(link).scheme in ("http", "https", "mailto") or link.startswith("//")


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert len(pages) > 40
    found = [(p.path.name, u) for p in pages.values() for u in p.loads if is_elsewhere(u)]
    assert found == []


def test_every_link_within_leads_somewhere(pages: dict[Path, Page]) -> None:
    dead = []
    for page in pages.values():
        for link in [*page.links, *page.loads]:
            if is_elsewhere(link) or link.startswith("data:") or not link:
                continue
            path, place = page.target(link)
            in_page = place and path in pages and place not in pages[path].anchors
            if not path.exists() or in_page:
                dead.append((page.path.name, link))
    assert dead == []


def test_every_page_has_a_title(site: Path, pages: dict[Path, Page]) -> None:
    embedded = {(p.path.parent / u).resolve() for p in pages.values() for u in p.loads}
    without = [p for p in pages if not pages[p].headings and p not in embedded]
    assert [p.name for p in without if p.name not in ("search.html",)] == []


def test_pictures_are_small(site: Path) -> None:
    pictures = [p for end in ("svg", "png") for p in (site / "_images").glob(f"*.{end}")]
    assert len(pictures) > 80
    assert [p.name for p in pictures if p.stat().st_size > LARGEST] == []


@pytest.mark.parametrize("kind", ["light", "dark", "phone"])
def test_pages_fit_and_load_without_a_complaint(
    kind: str, site: Path, open_page: Callable[..., Any], keep_picture: Callable[..., bytes]
) -> None:
    options: dict[str, Any] = {"color_scheme": "dark" if kind == "dark" else "light"}
    for name in SEEN:
        size = {"viewport": PHONE} if kind == "phone" else {}
        page = open_page(site / f"{name}.html", **options, **size)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        rgb = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, rgb[4:-1].split(", "))) < 300) == (kind == "dark"), (name, rgb)
        keep_picture(page, f"site-{name.replace('/', '-')}-{kind}")
        page.close()


def test_it_can_be_searched(site: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(site / "search.html", color_scheme="light")
    page.goto(f"{(site / 'search.html').as_uri()}?q=hessian")
    page.wait_for_selector("ul.search li a")
    titles: Iterator[str] = iter(page.locator("ul.search li a").all_text_contents())
    assert any("Hessian" in title for title in titles)
