"""The same rows in an older build: what is asked of its process, and what comes of the answers."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import engine
import nn
from bench_results import results
from benchmarks import against, rows
from benchmarks.against import Older, OlderBuildError
from benchmarks.harness import (
    EAGER,
    OLDER,
    OURS,
    TINY,
    Asked,
    Contender,
    Row,
    SkippedError,
    measured,
    twin,
)
from benchmarks.tables import rows_table, times_of


def working(number: float = 1.0) -> Contender:
    return Contender(work=lambda: 2.0, numbers=lambda: [number], clocked=True)


def skipped() -> Contender:
    raise SkippedError("it is too old")


class Answering(Older):
    """The answers of this process, by way of no other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *made: Row) -> None:
        super().__init__("python", TINY)
        self._answers = against._Answers(TINY)
        monkeypatch.setattr(rows, "rows_of", lambda name, scale: iter(made))

    def _ask(self, what, *given):
        try:
            return getattr(self._answers, what)(*given)
        except Exception as error:
            raise SkippedError(against._text(error)) from None


def test_every_way_of_ours_has_a_twin_and_peers_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contenders = {OURS: working, EAGER: working, "Peer": working}
    row = Row("a", "work", contenders, asked=[Asked(2.0, "Peer"), Asked(seconds=9.0)])
    result = measured(Answering(monkeypatch, row).beside("name", row), TINY)
    assert list(times_of(result)) == [OURS, OLDER, EAGER, f"{OLDER}, eager"]
    assert [(r["of"], r["peer"]) for r in result["ratios"]] == [
        (OURS, OLDER),
        (EAGER, f"{OLDER}, eager"),
    ]
    assert [asked["seconds"] for asked in result["asked"]] == [9.0]
    table = rows_table(results([result | {"others": None}]))
    assert "| work | 2 s |  | older build | 2 s | 1x (1 to 1) |  |" in table
    assert "| work; eager | 2 s |  | older build | 2 s | 1x (1 to 1) |  |" in table


def test_what_the_older_build_cannot_do_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Row("a", "work", {OURS: working, EAGER: working})
    older = Row("a", "work", {OURS: skipped, EAGER: working})
    result = measured(Answering(monkeypatch, older).beside("name", row), TINY)
    assert result["skipped"] == {OLDER: "it is too old"}
    assert list(times_of(result)) == [OURS, EAGER, f"{OLDER}, eager"]


def test_rows_that_the_older_build_does_not_make_are_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, new, two = (Row(name, name, {OURS: working}) for name in ("one", "new", "two"))
    older = Answering(monkeypatch, one, two)
    for row, expected in ((one, {}), (two, {}), (new, {OLDER: "it makes no such row"})):
        assert measured(older.beside("name", row), TINY)["skipped"] == expected


def test_an_error_while_rows_are_made_is_told_for_all_that_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name, scale):
        yield Row("one", "one", {OURS: working})
        raise ImportError("no such module")

    one, two, three = (Row(name, name, {OURS: working}) for name in ("one", "two", "three"))
    older = Answering(monkeypatch)
    monkeypatch.setattr(rows, "rows_of", broken)
    found = [measured(older.beside("name", row), TINY)["skipped"] for row in (one, two, three)]
    assert found == [{}, *[{OLDER: "ImportError: no such module"}] * 2]


def test_other_numbers_are_a_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    row, other = Row("a", "", {OURS: working}), Row("a", "", {OURS: lambda: working(1.5)})
    with pytest.raises(Exception, match="gradloom and older build differ by 0"):
        measured(Answering(monkeypatch, other).beside("name", row), TINY)


def test_stages_have_twins_and_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("a", "work", stages=lambda: {"order": 1.0, "free": 2.0})
    older = Row("a", "work", stages=lambda: {"order": 4.0, "free": 1.0})
    result = measured(Answering(monkeypatch, older).beside("name", row), TINY)
    assert times_of(result) == {"order": 1, "free": 2, twin("order"): 4, twin("free"): 1}
    assert [(r["of"], r["median"]) for r in result["ratios"]] == [("order", 4.0), ("free", 0.5)]
    assert "| work; order | 1 s |  | older build | 4 s | 4x" in rows_table(
        results([result | {"others": None}])
    )


def test_stages_that_the_older_build_lacks_are_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def stages():
        calls.append(1)
        raise AttributeError("no pass of this name")

    row = Row("a", "work", stages=lambda: {"order": 1.0})
    older = Answering(monkeypatch, Row("a", "work", stages=stages))
    result = measured(older.beside("name", row), TINY)
    assert result["skipped"] == {OLDER: "AttributeError: no pass of this name"}
    assert list(times_of(result)) == ["order"] and len(calls) == 1


# --- in processes ---


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with another build: a copy of this one, of another version."""
    folder = tmp_path_factory.mktemp("older")
    for package in (engine, nn):
        source = Path(package.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / source.name, ignore=ignored)
    first = folder / "engine" / "__init__.py"
    first.write_text(first.read_text().replace(f'"{engine.__version__}"', '"0.0.9"'))
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return str(python)


@pytest.mark.skipif(os.name == "nt", reason="the Python of the older build is a shell script")
def test_the_benchmarks_of_this_checkout_run_on_the_other_build(older: str) -> None:
    with Older(older, TINY) as asked:
        build = asked.build()
        assert build["gradloom"] == "0.0.9" and build["folder"] == str(Path(older).parent)
        [row] = rows.load("xor").rows(TINY)
        made = asked.beside("xor", row).contenders[OLDER]()
        assert made.numbers is not None and len(made.numbers()) > 100
        assert made.work() > 0.0


@pytest.mark.skipif(os.name == "nt", reason="the Python of the older build is a shell script")
def test_after_a_crash_the_next_question_begins_a_new_process(older: str) -> None:
    with Older(older, TINY) as asked:
        asked.build()
        assert asked._process is not None
        asked._process.kill()
        asked._process.wait()
        with pytest.raises(SkippedError, match="the process of the older build ended with -9"):
            asked._ask("build")
        assert asked.build()["gradloom"] == "0.0.9"


def test_this_very_checkout_is_no_older_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(engine.__file__).parents[1]
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with Older(str(python), TINY) as asked, pytest.raises(OlderBuildError, match="this very"):
        asked.build()


def test_a_python_without_gradloom_is_refused(tmp_path: Path) -> None:
    missing = pytest.raises(OlderBuildError, match="has no gradloom to measure")
    with Older(str(tmp_path / "nothing"), TINY) as asked, missing:
        asked.build()
