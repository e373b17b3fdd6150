"""The README's table: generated from the committed results, between two comments."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.results import COMMITTED, BadResultsError, Results, as_text, load, save
from benchmarks.tables import Line, footnote, rows_table
from engine.files import write_whole

README = Path(__file__).parents[1] / "README.md"
NOT_YET = "`make bench` measures it on your machine.\n"  # as long as no results are committed
BEGIN, END = "<!-- benchmarks: made by `gradloom bench --readme` -->\n", "<!-- /benchmarks -->"


def section(results: Results | None) -> str:
    """Return what stands between the comments: what is asked, and where ours is slower."""
    if results is None:
        return NOT_YET
    return f"{rows_table(results, _belongs)}\n{footnote(results)}"


def _belongs(line: Line) -> bool:
    return line.asked is not None or line.slower


def committed() -> Results | None:
    """Return the committed results, if there are some."""
    return load(COMMITTED) if COMMITTED.exists() else None


def with_section(text: str, content: str) -> str:
    """Return a README with this between the comments. Raises BadResultsError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadResultsError(f"the README lacks the comments {BEGIN.strip()} and {END}")
    return f"{before}{BEGIN}{content}{END}{after}"


def publish(results: Results) -> None:
    """Make these the committed results, and the README's table theirs.

    Raises BadResultsError for a run that was not full, or in which something failed.
    """
    if results["scale"] != "full" or results["failures"]:
        raise BadResultsError("the README's table is of a full run in which nothing failed")
    as_saved: Results = json.loads(as_text(results))  # fewer digits, and as many as the file has
    text = with_section(README.read_text(encoding="utf-8"), section(as_saved))
    save(COMMITTED, results)
    write_whole(README, text.encode())
