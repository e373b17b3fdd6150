"""Build the site: pages, lessons, and a reference that is made from the tables, in one folder.

    python docs/build.py build/docs

In a folder beside it, Sphinx's source is put together: the pages of this one, the notebooks, and
what `reference` generates. Pages that show what their code draws are run. Warnings are errors, and
nothing is fetched, but for the playground: that takes npm, and is left out where there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The root too, and first: else tests/engine would be found as the package `engine`.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import reference  # noqa: E402

import page_blocks  # noqa: E402
from engine.drawing import Drawing  # noqa: E402

NOT_PAGES = shutil.ignore_patterns("build.py", "differences.py", "reference.py", "playground")
NOT_LESSONS = shutil.ignore_patterns("__pycache__", "README.md")
COMPILED = shutil.ignore_patterns("__pycache__")
LESSONS = """# Lessons

Each is a short lecture with its outputs as they came out: read it here, or run it from
`notebooks/`. Some end with exercises, which `nn.lessons.check` looks at; solutions are folded away.
"""


def build(target: Path) -> int:
    """Write the site anew; return Sphinx's exit code."""
    source = target.with_name(f"{target.name}-source")
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    gather(source)
    has_playground = build_playground(target.with_name("playground"))
    tags = ["-t", "playground"] * has_playground
    sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "2"]
    code = subprocess.run(
        [*sphinx, *tags, str(source), str(target)], cwd=ROOT, check=False
    ).returncode
    for page in source.rglob("*.html"):  # what pages embed
        shutil.copy(page, target / page.relative_to(source))
    if has_playground:
        shutil.copytree(target.with_name("playground"), target / "playground", dirs_exist_ok=True)
    return code


def gather(source: Path) -> None:
    """Put together what Sphinx reads."""
    shutil.copytree(ROOT / "docs", source, ignore=NOT_PAGES)
    shutil.copy(ROOT / "CHANGELOG.md", source / "changelog.md")
    shutil.copytree(ROOT / "nn" / "programs", source / "nn" / "programs", ignore=COMPILED)
    shutil.copytree(ROOT / "notebooks", source / "lessons", ignore=NOT_LESSONS)
    write_lessons(source / "lessons")
    reference.write(source)
    for page in source.glob("*.md"):
        page.write_text(page.read_text().replace("](../notebooks/", "](lessons/"))
    for page in sorted(source.rglob("*.md")):
        draw_pictures(page)


def write_lessons(folder: Path) -> None:
    """Write the page that lists the notebooks, and let their links lead to pages."""
    index = [LESSONS]
    for notebook in sorted(folder.glob("*.ipynb")):
        text = notebook.read_text().replace("](../docs/", "](../")
        notebook.write_text(text)
        first = "".join(json.loads(text)["cells"][0]["source"])
        heading, about = [*first.lstrip("# ").split("\n\n"), ""][:2]
        index += [f"## [{heading.strip()}]({notebook.name})", about.replace("\n", " "), ""]
    names = sorted(notebook.stem for notebook in folder.glob("*.ipynb"))
    index += ["```{toctree}", ":hidden:", *names, "```", ""]
    (folder / "index.md").write_text("\n".join(index))


def draw_pictures(page: Path) -> None:
    """Run a page that shows pictures or players which are not there."""
    shown = re.findall(r"!\[[^]]*\]\((\S+\.svg)\)|src=\"(\S+\.html)\"", text := page.read_text())
    if all((page.parent / (a or b)).exists() for a, b in shown):
        return
    if absent := page_blocks.missing(text):
        raise SystemExit(f"{page.name} draws its pictures with {', '.join(absent)}: pip install it")
    with both_themes():
        page_blocks.run(text, page.parent, {})
    page.write_text(re.sub(r"!\[([^]]*)\]\((\S+)\.svg\)", partial(by_theme, page.parent), text))


@contextlib.contextmanager
def both_themes() -> Iterator[None]:
    """Drawings that are saved as SVG are saved once more, for dark pages."""
    save = Drawing.save

    def save_both(drawing: Drawing, path: str | Path) -> Path:
        dark = Drawing(drawing.picture, drawing.rankdir, "dark", drawing.format)
        save(dark, Path(path).with_stem(f"{Path(path).stem}-dark"))
        return save(drawing, path)

    Drawing.save = save_both
    try:
        yield
    finally:
        Drawing.save = save


def by_theme(folder: Path, shown: re.Match[str]) -> str:
    """A picture in Markdown; as two, one for each theme, where there are two: they scroll on narrow
    pages."""
    alt, name = " ".join(shown[1].split()), shown[2]
    if not (folder / f"{name}-dark.svg").exists():
        return shown[0]
    pair = (("light", f"{name}.svg"), ("dark", f"{name}-dark.svg"))
    images = "\n".join(
        f"```{{image}} {file}\n:alt: {alt}\n:class: only-{theme}\n```\n" for theme, file in pair
    )
    return f"::::{{div}} drawing\n{images}\n::::"


def build_playground(folder: Path) -> bool:
    """Build the playground unless it is there, as the sources are now; return whether it is."""
    page = folder / "index.html"
    sources = (
        p for name in ("engine", "nn", "docs/playground") for p in (ROOT / name).rglob("*.*")
    )
    changed = max(p.stat().st_mtime for p in sources if "__pycache__" not in p.parts)
    if not (page.exists() and page.stat().st_mtime > changed) and shutil.which("npm"):
        script = ROOT / "docs" / "playground" / "build.py"
        once = {**os.environ, "npm_config_fetch_retries": "0"}  # without a network at once, too
        subprocess.run([sys.executable, str(script), str(folder)], env=once, check=False)
    return page.exists()


if __name__ == "__main__":
    raise SystemExit(build(Path(sys.argv[1]).resolve()))
