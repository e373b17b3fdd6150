"""Tables of results: what they say of each row, and that the README's is the committed run's."""

from pathlib import Path

import pytest

from bench_results import figure, race, results, stage
from benchmarks import readme
from benchmarks.results import BadResultsError, load
from benchmarks.tables import (
    crossing,
    crossing_text,
    figure_table,
    footnote,
    number_text,
    report,
    rows_table,
    time_text,
)


def lines(*rows) -> list[str]:
    """The table's lines below its headings."""
    return rows_table(results(list(rows))).splitlines()[2:]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (race("a", 3.0), "| Peer | 3 ms | 3x (2.97 to 3.03) |  |"),
        (race("a", 3.0, asked=2.5), "| 3x (2.97 to 3.03) | 2.5x: met |"),
        (race("a", 2.4, asked=2.5), "| 2.4x (2.38 to 2.42) | **2.5x: falls short** |"),
        (race("a", 0.5), "| **0.5x (0.495 to 0.505), slower** |  |"),
        (race("a", 0.5, asked=2.0), "| **0.5x (0.495 to 0.505), slower** | **2x: falls short** |"),
        (race("a", 0.8, asked=1 / 1.3), "| 0.8x (0.792 to 0.808) | at most 1.3x its time: met |"),
        (race("a", 0.7, asked=1 / 1.3), "| **at most 1.3x its time: falls short** |"),
        (stage("a", 0.4, 0.5), "| the work of a; lowering | 400 ms |  |  |  |  | at most 500 ms: "),
        (stage("a", 0.6, 0.5), "| **at most 500 ms: falls short** |"),
    ],
)
def test_a_line_says_what_was_asked_and_where_ours_is_slower(row, expected: str) -> None:
    [line] = lines(row)
    assert expected in line


def test_a_line_has_the_public_way_and_the_machine_alone() -> None:
    [line] = lines(race("a", 3.0))
    assert line.startswith("| the work of a | 1 ms | 500 us | Peer |")


def test_a_row_on_a_busy_machine_says_so() -> None:
    [line] = lines({**race("a", 3.0), "others": 0.9})
    assert line.startswith("| the work of a, MACHINE BUSY |")
    made = results([{**race("a", 3.0), "others": 0.9}, stage("b", 1.0, 1.0)])
    assert "other processes used up to 0.90 cores" in footnote(made)


def test_figures_from_elsewhere_are_shown_as_such() -> None:
    row = {**race("a", 3.0), "known": {"C": 5e-4}}
    assert lines(row)[1].endswith("| C (elsewhere) | 500 us | 0.5x, another machine |  |")


def test_a_row_of_bytes_is_told_in_megabytes() -> None:
    row = {**race("a", 10.0, asked=9.0), "unit": "bytes", "asked": []}
    row["times"] = [{**t, "seconds": 2.5e6 * t["seconds"] / 1e-3} for t in row["times"]]
    assert lines(row)[0].startswith("| the work of a | 2.5 MB | 1.25 MB | Peer | 25 MB | 10x")


def test_the_footnote_names_the_older_build() -> None:
    made = results([race("a", 3.0)])
    made["machine"]["against"] = {"gradloom": "0.0.9", "commit": "abc"}
    assert "; older build: 0.0.9, commit abc" in footnote(made)


def test_the_report_says_where_it_was_measured_and_what_was_skipped() -> None:
    text = report(results([race("a", 3.0)], failures={"b": "DisagreementError: no"}))
    assert "Abacus 1, 2 cores, 4.0 GiB" in text and "Peer with 2 threads" in text
    assert "Skipped: Other: other is not installed (a)." in text
    assert "**b failed**: DisagreementError: no" in text
    assert "- Peer: 2 threads (a)" in text
    assert "float64 and the garbage collector on" in footnote(results([]))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.0, "2 s"),
        (0.99996, "1 s"),
        (0.0123456, "12.3 ms"),
        (9.996e-4, "1 ms"),
        (1e-6, "1 us"),
        (1.5e-9, "1.5 ns"),
        (123.4, "123 s"),
    ],
)
def test_times_have_three_digits(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "1"), (0.98765, "0.988"), (12_345.0, "12,300"), (0.0102, "0.0102"), (99.96, "100")],
)
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert number_text(number) == text


@pytest.mark.parametrize(
    ("slow", "fast", "place"),
    [
        ([1.0, 2.0, 4.0], [2.0, 2.0, 2.0], 10.0),
        ([1.0, 4.0, 8.0], [2.0, 2.0, 2.0], 10.0**0.5),
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], None),
        ([3.0, 3.0, 3.0], [2.0, 2.0, 2.0], 1.0),
        ([3.0, 1.0, 4.0], [2.0, 2.0, 2.0], 10.0 * 10.0**0.5),  # the last time that it changes
    ],
)
def test_two_curves_cross_where_their_logarithms_do(slow, fast, place: float | None) -> None:
    made = figure([1.0, 10.0, 100.0], slow, fast)
    found = crossing(made, "slow", "fast")
    assert found == (None if place is None else pytest.approx(place))
    text = crossing_text(made, "slow", "fast")
    assert ("slow is faster than fast up to the end" in text) == (place is None)
    assert text in figure_table(made)


def test_a_figure_is_a_table_over_its_axis() -> None:
    made = {**figure([1000.0, 2000.0], [1.0, 2.0], [0.1, 0.2]), "crossings": []}
    assert figure_table(made).splitlines() == [  # type: ignore[arg-type]
        "| batch | slow | fast |",
        "| --- | --- | --- |",
        "| 1,000 | 1 s | 100 ms |",
        "| 2,000 | 2 s | 200 ms |",
    ]
    over = figure_table({**made, "per_x": True})  # type: ignore[arg-type]
    assert over.startswith("Time over batch:") and "| 2,000 | 1 ms | 100 us |" in over


# --- the README ---


@pytest.mark.parametrize("page", readme.PAGES, ids=[page.name for page in readme.PAGES])
def test_pages_have_the_tables_of_the_committed_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == readme.with_section(text, readme.section(page, readme.committed()))


def test_the_long_table_has_what_is_asked_and_where_ours_is_slower() -> None:
    rows = [race("asked", 3.0, asked=2.0), race("slower", 0.5), race("neither", 9.0)]
    text = readme.all_lines(results(rows))
    assert "the work of asked" in text and "the work of slower" in text
    assert "the work of neither" not in text


def test_the_short_table_has_five_rows_each_beside_one_peer() -> None:
    made = readme.committed()
    assert made is not None
    table = readme.few_lines(made).splitlines()
    assert len(table) == 2 + len(readme.CHOSEN) == 7
    assert all(peer in line for line, peer in zip(table[2:], readme.CHOSEN.values(), strict=True))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page and a place for results of a checkout that is not this one."""
    monkeypatch.setattr(readme, "PAGES", {tmp_path / "page.md": readme.all_lines})
    monkeypatch.setattr(readme, "COMMITTED", tmp_path / "results.json")
    text = f"# before\n{readme.BEGIN}{readme.NOT_YET}{readme.END}\nafter\n"
    (tmp_path / "page.md").write_text(text)
    return tmp_path


def test_publishing_writes_the_results_and_the_table(checkout: Path) -> None:
    made = results([race("asked", 3.0, asked=2.0)])
    readme.publish(made)
    assert load(checkout / "results.json") == made == readme.committed()
    page = checkout / "page.md"
    section = readme.section(page, made)
    assert page.read_text() == f"# before\n{readme.BEGIN}{section}{readme.END}\nafter\n"
    assert "Abacus 1" in section


@pytest.mark.parametrize("changes", [{"scale": "quick"}, {"failures": {"xor": "no"}}])
def test_only_a_full_run_without_failures_is_published(changes, checkout: Path) -> None:
    with pytest.raises(BadResultsError, match="a full run in which nothing failed"):
        readme.publish(results([], **changes))
    assert not (checkout / "results.json").exists()


def test_a_page_without_the_comments_is_told_and_left(checkout: Path) -> None:
    (checkout / "page.md").write_text("nothing here\n")
    with pytest.raises(BadResultsError, match="lacks the comments"):
        readme.publish(results([race("asked", 3.0, asked=2.0)]))
    assert (checkout / "page.md").read_text() == "nothing here\n"
    assert not (checkout / "results.json").exists()
