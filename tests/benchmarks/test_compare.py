"""Two runs side by side: what is a regression, and what is noise."""

import pytest

from bench_results import race, results, stage
from benchmarks.compare import changes, comparison


def verdicts(old, new) -> dict[str, str]:
    return {change.what: change.verdict for change in changes(results([old]), results([new]))}


@pytest.mark.parametrize(
    ("before", "after", "spread", "expected"),
    [
        (10.0, 10.0, 0.01, "the same within the noise"),
        (10.0, 9.0, 0.01, "**regression**"),
        (10.0, 11.0, 0.01, "better"),
        (10.0, 9.0, 0.1, "the same within the noise"),
        (10.0, 9.8, 0.0, "the same within the noise"),  # what no run repeats
        (10.0, 9.0, 0.0, "**regression**"),
    ],
)
def test_ratios_are_compared_beyond_their_spread(before, after, spread, expected: str) -> None:
    found = verdicts(race("a", before, spread=spread), race("a", after, spread=spread))
    assert found["beside Peer"] == expected


def test_a_slower_machine_is_no_regression_beside_a_peer() -> None:
    slower = race("a", 10.0, seconds=2e-3)
    assert verdicts(race("a", 10.0), slower)["beside Peer"] == "the same within the noise"


@pytest.mark.parametrize(
    ("after", "expected"), [(1.2, "**regression**"), (1.0, "the same within the noise")]
)
def test_without_a_peer_seconds_are_compared(after: float, expected: str) -> None:
    assert verdicts(stage("a", 1.0, 2.0), stage("a", after, 2.0)) == {"lowering": expected}


def test_the_machine_alone_is_compared_by_seconds() -> None:
    old, new = race("a", 10.0), race("a", 10.0)
    new["times"][1].update(seconds=7e-4, low=7e-4, high=7e-4)
    assert verdicts(old, new) == {
        "beside Peer": "the same within the noise",
        "gradloom, the machine alone": "**regression**",
    }


def test_another_machine_is_flagged_and_its_seconds_mean_nothing() -> None:
    old = results([race("a", 10.0), stage("b", 1.0, 2.0)])
    new = results([race("a", 9.0), stage("b", 5.0, 2.0)])
    new["machine"]["processor"] = "Abacus 2"
    text, regressions = comparison(old, new)
    assert "two machines, and seconds are not compared: Abacus 1, 2 cores; Abacus 2" in text
    assert [(change.row, change.what) for change in regressions] == [("a", "beside Peer")]
    assert "| b | lowering | 1 s | 5 s | -80.0 % | not comparable |" in text


def test_other_work_and_rows_of_one_run_are_not_compared() -> None:
    old = results([race("a", 10.0, work="of 10 rows"), race("gone", 1.0), race("same", 3.0)])
    new = results([race("a", 1.0, work="of 99 rows"), race("new", 1.0), race("same", 3.0)])
    text, regressions = comparison(old, new)
    assert not regressions and "Regressions: none." in text
    assert "Only in the old run, or other work there: a, gone." in text
    assert "Only in the new run, or other work there: a, new." in text


def test_a_quick_run_beside_a_full_one_is_told() -> None:
    text, _ = comparison(results([race("a", 1.0)]), results([race("a", 1.0)], scale="quick"))
    assert "The old run was full, the new one quick." in text


def test_each_line_has_old_new_and_the_change() -> None:
    text, regressions = comparison(results([race("a", 10.0)]), results([race("a", 5.0)]))
    assert "| a | beside Peer | 10x | 5x | -50.0 % | **regression** |" in text
    assert "Regressions: a beside Peer." in text and len(regressions) == 1
