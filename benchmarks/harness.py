"""Measuring one piece of work in several libraries, in turn.

In: a `Row`, which says what is done, by whom, and what is asked of us. Out: its `Measured`, plain
enough for JSON. Every round measures every contender once, beginning with another one each time,
so that a slow moment of the machine meets all; ratios are taken within a round, and their median
and quartiles are what counts. Before anything is timed, all contenders must have computed the
same numbers.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar

import numpy as np

from benchmarks import facts

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T")
OURS = "gradloom"  # through the public way in, as users call it
ALONE = "gradloom, the machine alone"  # without what Python does around a call
BUILT = "gradloom, value_and_grad"  # where the public way is through buffers: the one with lists
EAGER = "gradloom, eager"  # on Values, nothing compiled
OLDER = "older build"  # the same in another environment: see `against`
_LITTLE = 500  # objects that may be left by the work before
_ATTEMPTS = 5  # at a difference of two times that is above 0


class DisagreementError(Exception):
    """Two contenders computed different numbers: there is nothing to compare."""


class SkippedError(Exception):
    """A contender can't do the work here, and why."""


def twin(name: str) -> str:
    """Return what a way or a stage of ours is called in the older build."""
    return f"{OLDER}{name.removeprefix(OURS)}" if name.startswith(OURS) else f"{OLDER}, {name}"


@dataclass(frozen=True)
class Scale:
    """How much is measured: `rounds` at most and `fewest` at least, as long as a row is below
    `budget` seconds; one measurement repeats the work for about `seconds`."""

    name: str
    rounds: int
    fewest: int
    seconds: float
    budget: float

    def of(self, full: T, quick: T, tiny: T) -> T:
        """Return what belongs to this scale."""
        return {"full": full, "quick": quick, "tiny": tiny}[self.name]


FULL = Scale("full", rounds=15, fewest=3, seconds=0.05, budget=20.0)
QUICK = Scale("quick", rounds=5, fewest=2, seconds=0.005, budget=0.6)
TINY = Scale("tiny", rounds=2, fewest=2, seconds=0.0, budget=0.0)  # for tests
SCALES = {scale.name: scale for scale in (FULL, QUICK, TINY)}


@dataclass
class Contender:
    """One library's way of doing the work.

    A call of `work` does it `units` times. `before` is called before each measurement, untimed.
    The time of `less`, such as preparing without running, is subtracted. `numbers` returns what
    the work computes, to be compared; None where that is only a part of the others' work. Work
    that is `clocked` returns the seconds of a unit itself.
    """

    work: Callable[[], Any]
    numbers: Callable[[], Any] | None
    units: float = 1
    before: Callable[[], Any] | None = None
    less: Callable[[], Any] | None = None
    clocked: bool = False
    note: str = ""


@dataclass(frozen=True)
class Asked:
    """What is asked: that `of` is at least `ratio` times as fast as `peer`, or that it takes at
    most `seconds`."""

    ratio: float | None = None
    peer: str | None = None
    seconds: float | None = None
    of: str = OURS


@dataclass(frozen=True)
class Row:
    """A piece of work, and who does it.

    `contenders` are made when the row is measured, ours first; one whose library is missing is
    skipped, and one that raises SkippedError. In their place `stages` may be a function that
    returns the seconds of each part of some work. `known` are figures from elsewhere, in seconds,
    shown beside ours. `collector` says whether Python's garbage collector is on while measuring.
    `skipped` are contenders that are known to be missing, and why. `unit` is "s", or "bytes" where
    contenders, all `clocked`, return these.
    """

    name: str
    work: str
    contenders: dict[str, Callable[[], Contender]] = field(default_factory=dict)
    stages: Callable[[], dict[str, float]] | None = None
    asked: Sequence[Asked] = ()
    known: dict[str, float] = field(default_factory=dict)
    dtype: str = "float64"
    collector: bool = True
    tolerance: float = 1e-9
    skipped: dict[str, str] = field(default_factory=dict)
    unit: str = "s"


@dataclass(frozen=True)
class Figure:
    """Rows along an axis: the same work, growing. `title` and `x` are for its plot; with `per_x`
    it shows times over x. `crossings` are pairs of contenders of which the second becomes faster
    somewhere along it."""

    name: str
    title: str
    x: str
    points: Iterator[tuple[float, Row]]
    per_x: bool = False
    crossings: Sequence[tuple[str, str]] = ()


class Times(TypedDict):
    """Seconds for one unit of work: the median, the quartiles, and all in their order."""

    name: str
    seconds: float
    low: float
    high: float
    all: list[float]
    note: str


class Ratio(TypedDict):
    """How many times as fast as a peer one of ours was, within each round."""

    of: str
    peer: str
    median: float
    low: float
    high: float
    all: list[float]


class AskedFigure(TypedDict):
    """An `Asked`, as JSON has it."""

    ratio: float | None
    peer: str | None
    seconds: float | None
    of: str


class _Unit(TypedDict, total=False):
    unit: str  # seconds where it is left out, as in older files


class Measured(_Unit):
    """What came out of a row. `others` is how many cores other processes kept busy meanwhile:
    then times mean little, most of all those of libraries with threads of their own."""

    name: str
    work: str
    dtype: str
    collector: bool
    rounds: int
    others: float | None
    times: list[Times]
    skipped: dict[str, str]
    ratios: list[Ratio]
    asked: list[AskedFigure]
    known: dict[str, float]


def measured(row: Row, scale: Scale) -> Measured:
    """Check a row's contenders against each other, measure them, and return what came out.

    Raises DisagreementError where one computes other numbers than the first.
    """
    contenders, skipped = made(row)
    agree(contenders, row.tolerance)
    before, began = facts.work_of_others(), time.perf_counter()
    with collector(row.collector):
        all_times = _raced(contenders, scale) if contenders else _staged(row, scale)
    after, seconds = facts.work_of_others(), time.perf_counter() - began
    others = None
    if before is not None and after is not None and seconds > 0.0:
        others = max(0.0, after - before) / seconds
    times = [
        _times(name, each, contenders[name].note if contenders else "")
        for name, each in all_times.items()
    ]
    return {
        "name": row.name,
        "work": row.work,
        "dtype": row.dtype,
        "collector": row.collector,
        "rounds": len(times[0]["all"]),
        "others": others,
        "times": times,
        "skipped": {**row.skipped, **skipped},
        "ratios": [
            _ratio(of, peer, all_times)
            for of in all_times
            for peer in all_times
            if _compared(of, peer)
        ],
        "asked": [
            {"ratio": a.ratio, "peer": a.peer, "seconds": a.seconds, "of": a.of} for a in row.asked
        ],
        "known": dict(row.known),
        "unit": row.unit,
    }


def _compared(of: str, peer: str) -> bool:
    """Whether a ratio is taken: of ours to a peer, and of anything to its twin."""
    if peer.startswith(OLDER):
        return peer == twin(of)
    return of.startswith(OURS) and not peer.startswith(OURS)


def made(row: Row) -> tuple[dict[str, Contender], dict[str, str]]:
    """Return a row's contenders, and why others are skipped."""
    contenders: dict[str, Contender] = {}
    skipped: dict[str, str] = {}
    for name, make in row.contenders.items():
        try:
            contenders[name] = make()
        except ModuleNotFoundError as error:
            if name.startswith(OURS) or (error.name or "").split(".")[0] in ("engine", "nn"):
                raise
            skipped[name] = f"{error.name} is not installed"
        except SkippedError as error:
            skipped[name] = str(error)
    return contenders, skipped


def agree(contenders: dict[str, Contender], tolerance: float) -> None:
    """Raise DisagreementError where a contender computes other numbers than the first.

    Numbers differ by at most `tolerance` times the largest of them.
    """
    first, ours = "", np.zeros(0)
    for name, contender in contenders.items():
        if contender.numbers is None:
            continue
        theirs = np.asarray(contender.numbers(), np.float64)
        if not first:
            first, ours = name, theirs
        if ours.shape != theirs.shape:
            raise DisagreementError(
                f"{first} computes {ours.size} numbers, and {name} {theirs.size}"
            )
        largest = max(float(np.abs(ours).max()), float(np.abs(theirs).max()))
        difference = float(np.abs(ours - theirs).max())
        if not difference <= tolerance * largest:  # a nan is a disagreement too
            raise DisagreementError(
                f"{first} and {name} differ by {difference:.3g}, where the largest number is "
                f"{largest:.3g} and {tolerance:.0e} of it is allowed"
            )


@contextmanager
def collector(on: bool) -> Iterator[None]:
    """Python's garbage collector on or off for a while."""
    before = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if before else gc.disable)()


def _raced(contenders: dict[str, Contender], scale: Scale) -> dict[str, list[float]]:
    """Seconds for a unit of work by contender, one entry a round."""
    counts, one_round = {}, 0.0
    found: dict[str, list[float]] = {}
    for name, contender in contenders.items():
        counts[name], once, seconds = repeats(contender, scale)
        one_round += counts[name] * seconds
        found[name] = [once]
    if scale.fewest == 1 and one_round > scale.budget > 0.0:
        return found  # that was a round, and there is time for no more
    found = {name: [] for name in contenders}
    names = list(contenders)
    for k in range(_rounds(one_round, scale)):
        first = k % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(once_measured(contenders[name], counts[name]))
    return found


def _rounds(one_round: float, scale: Scale) -> int:
    return max(scale.fewest, min(scale.rounds, int(scale.budget / max(one_round, 1e-9))))


def repeats(contender: Contender, scale: Scale) -> tuple[int, float, float]:
    """How often the work is repeated in a measurement; seconds for a unit and for a call of it."""
    if contender.clocked:
        began = time.perf_counter()
        seconds = once_measured(contender, 1)
        return 1, seconds, time.perf_counter() - began
    once = _timed(contender, contender.work, 1)
    if once < 10.0 * scale.seconds:  # in a long one, what is done only once is little
        once = _timed(contender, contender.work, 1)
    return max(1, math.ceil(scale.seconds / max(once, 1e-9))), once / contender.units, once


def once_measured(contender: Contender, count: int) -> float:
    """Seconds for one unit of work."""
    if contender.clocked:
        if contender.before is not None:
            contender.before()
        _collect()
        return float(contender.work())
    for _ in range(_ATTEMPTS):
        idle = 0.0
        if contender.less is not None:
            idle = _timed(contender, contender.less, count)
        elif count > 1 and contender.before is None:
            contender.work()  # back into the caches, after the others
        seconds = _timed(contender, contender.work, count) - idle
        if seconds > 0.0:
            return seconds / (count * contender.units)
    raise RuntimeError(
        "the work takes less time than a part of it: the machine is too busy to measure on"
    )


def _timed(contender: Contender, work: Callable[[], Any], count: int) -> float:
    """Seconds for some calls in a row.

    What others left behind is collected before, and the last result is freed afterwards:
    otherwise one contender would pay for the other's garbage.
    """
    if contender.before is not None:
        contender.before()
    _collect()
    began = time.perf_counter()
    for _ in range(count):
        kept = work()
    seconds = time.perf_counter() - began
    del kept
    return seconds


def _collect() -> None:
    """Collect garbage if there can be some: going through all that is loaded takes a while."""
    newest, *older = gc.get_count()
    if newest > _LITTLE or any(older):
        gc.collect()


def _staged(row: Row, scale: Scale) -> dict[str, list[float]]:
    """Seconds of each stage, one entry a round."""
    assert row.stages is not None
    found: dict[str, list[float]] = {}
    began = time.perf_counter()
    done = 0
    while done < scale.fewest or (
        done < scale.rounds and time.perf_counter() - began < scale.budget
    ):
        _collect()
        for name, seconds in row.stages().items():
            found.setdefault(name, []).append(seconds)
        done += 1
    return found


def _times(name: str, seconds: list[float], note: str) -> Times:
    low, high = _quartiles(seconds)
    median = statistics.median(seconds)
    return {
        "name": name,
        "seconds": median,
        "low": low,
        "high": high,
        "all": seconds,
        "note": note,
    }


def _ratio(of: str, peer: str, all_times: dict[str, list[float]]) -> Ratio:
    by_round = [x / ours for x, ours in zip(all_times[peer], all_times[of], strict=True)]
    low, high = _quartiles(by_round)
    median = statistics.median(by_round)
    return {"of": of, "peer": peer, "median": median, "low": low, "high": high, "all": by_round}


def _quartiles(numbers: list[float]) -> tuple[float, float]:
    low, high = np.quantile(numbers, [0.25, 0.75]).tolist()
    return low, high
