"""The tables of README and documentation: made of the committed results, between two comments."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.harness import OURS
from benchmarks.results import COMMITTED, BadResultsError, Results, as_text, load, save
from benchmarks.tables import footnote, rows_table
from engine.files import write_whole

HOUSE = Path(__file__).parents[1]
CHOSEN = {  # for the README, and beside whom
    "moons": "micrograd",
    "unit-circle": "JAX jit + lax.scan",
    "mnist": "PyTorch eager",
    "gpt": "the same code on a plain scalar class",
    "lotka-volterra": "CasADi, buffered Function",
}
NOT_YET = "`make bench` measures it on your machine.\n"  # as long as no results are committed
BEGIN, END = "<!-- benchmarks: made by `gradloom bench --readme` -->\n", "<!-- /benchmarks -->"


def all_lines(results: Results) -> str:
    """Return what stands in the documentation: what is asked, and where ours is slower."""
    return rows_table(results, lambda line: line.asked is not None or line.slower)


def few_lines(results: Results) -> str:
    """Return what stands in the README: a few rows, each beside one peer."""
    return rows_table(
        results,
        lambda line: line.of == OURS and CHOSEN.get(line.row["name"]) == line.peer,
        without=("the machine alone", "asked"),
    )


PAGES = {HOUSE / "README.md": few_lines, HOUSE / "docs" / "figures.md": all_lines}


def section(page: Path, results: Results | None) -> str:
    """Return what stands between the comments of a page."""
    return NOT_YET if results is None else f"{PAGES[page](results)}\n{footnote(results)}"


def committed() -> Results | None:
    """Return the committed results, if there are some."""
    return load(COMMITTED) if COMMITTED.exists() else None


def with_section(text: str, content: str) -> str:
    """Return a page with this between the comments. Raises BadResultsError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadResultsError(f"a page lacks the comments {BEGIN.strip()} and {END}")
    return f"{before}{BEGIN}{content}{END}{after}"


def publish(results: Results) -> None:
    """Make these the committed results, and the tables of the pages theirs.

    Raises BadResultsError for a run that was not full, or in which something failed.
    """
    if results["scale"] != "full" or results["failures"]:
        raise BadResultsError("the tables are of a full run in which nothing failed")
    as_saved: Results = json.loads(as_text(results))  # fewer digits, and as many as the file has
    texts = {
        page: with_section(page.read_text(encoding="utf-8"), section(page, as_saved))
        for page in PAGES
    }
    save(COMMITTED, results)
    for page, text in texts.items():
        write_whole(page, text.encode())
