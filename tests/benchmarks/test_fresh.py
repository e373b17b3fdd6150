"""Work in processes of their own: what comes back, and what their caches hold."""

import pytest

from benchmarks import fresh
from benchmarks.harness import SkippedError

MARK = """
import os, pathlib
mark = pathlib.Path(os.environ["GRADLOOM_CACHE_DIR"], "mark")
known = mark.exists()
mark.touch()
done(0.5, [known])
"""


def test_a_program_says_its_seconds_and_its_numbers() -> None:
    made = fresh.contender("done(0.25, [1, 2.5])", note="a note")
    assert made.clocked and made.work() == 0.25 and made.note == "a note"
    assert made.numbers is not None and made.numbers() == [1.0, 2.5]
    assert fresh.contender("done(0.25)").numbers is None


def test_caches_are_empty_or_what_was_left_before() -> None:
    assert [fresh.run(MARK)[1], fresh.run(MARK)[1]] == [[0.0], [0.0]]
    kept = fresh._folder()
    assert [fresh.run(MARK, kept)[1], fresh.run(MARK, kept)[1]] == [[0.0], [1.0]]


def test_it_runs_with_the_engine_of_this_process() -> None:
    program = "import engine\ndone(len(engine.__file__))"
    import engine

    assert fresh.run(program)[0] == len(engine.__file__)


def test_a_missing_library_is_a_reason_to_skip_and_a_fault_none() -> None:
    with pytest.raises(SkippedError, match="no_such_library is not installed"):
        fresh.contender("import no_such_library")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        fresh.contender("1 / 0")
