"""Measuring in turn: what is timed, in which order, and what comes out. The clock is a made-up
one, which moves only where a contender says so."""

import dataclasses
import gc
from types import SimpleNamespace

import pytest

from benchmarks import harness
from benchmarks.harness import (
    EAGER,
    OURS,
    TINY,
    Asked,
    Contender,
    DisagreementError,
    Row,
    SkippedError,
    measured,
)

SCALE = dataclasses.replace(TINY, rounds=4, fewest=3, budget=1e9)


class Clock:
    """Seconds that pass only when `tick` is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.speed = 0.0, 1.0
        clock = SimpleNamespace(perf_counter=lambda: self.now)
        monkeypatch.setattr(harness, "time", clock)

    def tick(self, seconds: float) -> None:
        self.now += seconds * self.speed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def lasting(clock: Clock, seconds: float, **options) -> Contender:
    return Contender(work=lambda: clock.tick(seconds), numbers=lambda: [1.0], **options)


def seconds_of(result, name: str) -> float:
    return next(times["seconds"] for times in result["times"] if times["name"] == name)


def test_times_are_of_a_unit_and_ratios_say_how_many_times_as_fast_ours_is(clock: Clock) -> None:
    row = Row(
        "row",
        "work",
        {OURS: lambda: lasting(clock, 8.0, units=4), "Peer": lambda: lasting(clock, 6.0)},
        asked=[Asked(2.5, "Peer")],
        known={"elsewhere": 1.0},
    )
    result = measured(row, SCALE)
    assert (seconds_of(result, OURS), seconds_of(result, "Peer")) == (2.0, 6.0)
    [ratio] = result["ratios"]
    assert (ratio["of"], ratio["peer"], ratio["median"]) == (OURS, "Peer", 3.0)
    assert result["rounds"] == len(ratio["all"]) == 4
    assert result["asked"] == [{"ratio": 2.5, "peer": "Peer", "seconds": None, "of": OURS}]
    assert result["known"] == {"elsewhere": 1.0}


def test_a_ratio_is_within_its_round(clock: Clock) -> None:
    began = []  # a call of each begins a round; the machine is slower in every round

    def lasting_longer(seconds: float) -> Contender:
        def work() -> None:
            began.append(seconds)
            clock.tick(seconds * (1 + (len(began) - 1) // 2))

        return Contender(work, numbers=None)

    contenders = {OURS: lambda: lasting_longer(1.0), "Peer": lambda: lasting_longer(3.0)}
    result = measured(Row("row", "work", contenders), SCALE)
    assert result["ratios"][0]["all"] == [3.0] * 4
    assert len({*result["times"][0]["all"]}) == 4


def test_each_round_begins_with_another_contender(clock: Clock) -> None:
    calls: list[str] = []

    def made(name: str) -> Contender:
        def work() -> None:
            calls.append(name)
            clock.tick(1.0)

        return Contender(work, numbers=None)

    row = Row("row", "work", {name: lambda name=name: made(name) for name in (OURS, "B", "C")})
    measured(row, dataclasses.replace(SCALE, rounds=3))
    rounds = calls[-9:]
    assert rounds == [OURS, "B", "C", "B", "C", OURS, "C", OURS, "B"]


def test_what_prepares_is_not_timed_and_a_part_is_subtracted(clock: Clock) -> None:
    contender = lasting(
        clock, 5.0, before=lambda: clock.tick(100.0), less=lambda: clock.tick(1.0), units=2
    )
    result = measured(Row("row", "work", {OURS: lambda: contender}), SCALE)
    assert seconds_of(result, OURS) == 2.0


def test_work_that_is_clocked_says_its_seconds_itself(clock: Clock) -> None:
    def work() -> float:
        clock.tick(100.0)
        return 2.5

    contender = Contender(work, numbers=None, clocked=True, before=lambda: clock.tick(1.0))
    result = measured(Row("row", "work", {OURS: lambda: contender}), SCALE)
    assert seconds_of(result, OURS) == 2.5


def test_a_part_that_takes_longer_than_the_whole_is_an_error(clock: Clock) -> None:
    contender = lasting(clock, 1.0, less=lambda: clock.tick(2.0))
    with pytest.raises(RuntimeError, match="too busy to measure"):
        measured(Row("row", "work", {OURS: lambda: contender}), SCALE)


def test_short_work_is_repeated_and_long_work_has_fewer_rounds(clock: Clock) -> None:
    scale = dataclasses.replace(SCALE, seconds=1.0, rounds=15, fewest=2, budget=50.0)
    calls = []

    def work() -> None:
        calls.append(clock.now)
        clock.tick(0.125)

    result = measured(Row("row", "work", {OURS: lambda: Contender(work, numbers=None)}), scale)
    assert seconds_of(result, OURS) == 0.125
    assert result["rounds"] == 15
    assert len(calls) == 2 + 15 * (1 + 8)  # one more each, back into the caches
    long = measured(Row("row", "work", {OURS: lambda: lasting(clock, 20.0)}), scale)
    assert long["rounds"] == 2


def test_a_library_that_is_missing_is_skipped_with_a_word(clock: Clock) -> None:
    def missing() -> Contender:
        import no_such_library_at_all  # type: ignore[import-not-found]  # noqa: F401

        raise AssertionError

    contenders = {OURS: lambda: lasting(clock, 1.0), "Peer": missing}
    result = measured(Row("row", "work", contenders), SCALE)
    assert result["skipped"] == {"Peer": "no_such_library_at_all is not installed"}
    assert [times["name"] for times in result["times"]] == [OURS]
    with pytest.raises(ModuleNotFoundError):
        measured(Row("row", "work", {OURS: missing}), SCALE)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ([1.0, 2.1], r"gradloom and Peer differ by 0\.1, where the largest number is 2\.1"),
        ([1.0, float("nan")], "gradloom and Peer differ by nan"),
        ([1.0], "gradloom computes 2 numbers, and Peer 1"),
    ],
)
def test_contenders_must_compute_the_same(theirs, message: str, clock: Clock) -> None:
    ran = []
    contenders = {
        OURS: lambda: Contender(lambda: ran.append(1), numbers=lambda: [1.0, 2.0]),
        "Peer": lambda: Contender(lambda: ran.append(2), numbers=lambda: theirs),
    }
    with pytest.raises(DisagreementError, match=message):
        measured(Row("row", "work", contenders), SCALE)
    assert not ran


def test_rounding_is_no_disagreement_and_parts_are_not_compared(clock: Clock) -> None:
    contenders = {
        OURS: lambda: lasting(clock, 1.0),
        "Peer": lambda: Contender(lambda: clock.tick(1.0), numbers=lambda: [1.0 + 1e-12]),
        "Part": lambda: Contender(lambda: clock.tick(1.0), numbers=None),
    }
    assert len(measured(Row("row", "work", contenders), SCALE)["times"]) == 3


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_as_the_row_says_and_put_back(on: bool, clock: Clock) -> None:
    seen = []

    def work() -> None:
        seen.append(gc.isenabled())
        clock.tick(1.0)

    row = Row("row", "work", {OURS: lambda: Contender(work, numbers=None)}, collector=on)
    assert measured(row, SCALE)["collector"] is on
    assert {*seen} == {on}
    assert gc.isenabled()


@pytest.mark.parametrize(("work", "others"), [([5.0, 8.0], 1.5), ([None, None], None)])
def test_what_other_processes_do_meanwhile_is_noted(
    work, others, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter(work)
    monkeypatch.setattr(harness.facts, "work_of_others", lambda: next(told))
    row = Row("row", "work", stages=lambda: clock.tick(2.0 / 3) or {"all": 1.0})
    assert measured(row, dataclasses.replace(SCALE, rounds=3))["others"] == others


def test_stages_are_told_one_by_one(clock: Clock) -> None:
    row = Row("row", "work", stages=lambda: {"first": 1.0, "second": 2.0})
    result = measured(row, SCALE)
    assert [times["name"] for times in result["times"]] == ["first", "second"]
    assert seconds_of(result, "second") == 2.0
    assert result["ratios"] == []


def test_a_contender_that_cannot_do_the_work_is_skipped_with_its_reason(clock: Clock) -> None:
    def refuse() -> Contender:
        raise SkippedError("it has no such option")

    row = Row("row", "work", {OURS: lambda: lasting(clock, 1.0), EAGER: refuse})
    assert measured(row, SCALE)["skipped"] == {EAGER: "it has no such option"}


def test_a_clocked_contender_says_its_seconds_itself(clock: Clock) -> None:
    slow = lasting(clock, 100.0)
    told = Contender(work=lambda: slow.work() or 3.0, numbers=slow.numbers, clocked=True)
    for fewest, rounds in ((1, 1), (3, 4)):
        scale = dataclasses.replace(SCALE, fewest=fewest, budget=1.0 if fewest == 1 else 1e9)
        result = measured(Row("row", "work", {OURS: lambda: told}), scale)
        assert (seconds_of(result, OURS), result["rounds"]) == (3.0, rounds)
