"""Every row at a tiny size: all who run it compute the same numbers, and it can be measured."""

import itertools
from types import SimpleNamespace

import pytest

from bench_results import results
from benchmarks import rows, runner
from benchmarks.harness import OURS, TINY, Contender, Row, agree, made
from benchmarks.results import BadResultsError, load, save
from benchmarks.rows import NAMES

WITH_PEERS = [
    *("moons", "xor", "unit-circle", "mnist", "gpt", "lotka-volterra", "block-math"),
    *("calls", "compiling", "convolutions", "sequences", "solutions", "sparse"),
]
LONG = {"convolutions", "gpt", "growth", "compiling", "sparse"}  # even at their smallest
MARKS = dict.fromkeys(LONG, pytest.mark.slow) | {"distributed": pytest.mark.distributed}
ALL = pytest.mark.parametrize("name", [pytest.param(n, marks=MARKS.get(n, ())) for n in NAMES])


def ours(row: Row) -> dict[str, Contender]:
    return {name: make() for name, make in row.contenders.items() if name.startswith(OURS)}


@pytest.mark.oracle
@pytest.mark.filterwarnings("default")  # of others' libraries
@pytest.mark.parametrize("name", WITH_PEERS)
def test_peers_compute_the_same(name: str) -> None:
    compared = 0
    for row in rows.rows_of(name, TINY):
        contenders, _ = made(row)
        agree(contenders, row.tolerance)
        compared += len(contenders) - len(ours(row))
    if not compared:
        pytest.skip("none of the peers is installed")


@ALL
def test_our_ways_compute_the_same_and_are_measured_into_a_file_that_can_be_read(
    name: str, tmp_path, monkeypatch
) -> None:
    def without_peers(row: Row) -> tuple[dict[str, Contender], dict[str, str]]:
        # over processes or in one: all of it is ours
        return made(row) if name == "distributed" else (ours(row), {})

    monkeypatch.setattr("benchmarks.harness.made", without_peers)
    # A clock that goes faster and faster: at this size what is real could be less than nothing.
    ticks = (float(k * k) for k in itertools.count())
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("benchmarks.harness.time", clock)
    part: runner.Part = {"name": name, "rows": [], "figures": [], "failure": None}
    kept = []
    runner.measure(name, TINY, part, lambda: kept.append(1))
    assert part["failure"] is None  # as there is one where two ways compute other numbers
    assert len(kept) == len(part["rows"]) + sum(len(f["points"]) for f in part["figures"])
    measured = results(part["rows"], part["figures"])
    save(tmp_path / "results.json", measured)
    try:
        again = load(tmp_path / "results.json")
    except BadResultsError as error:
        pytest.fail(str(error))
    assert [row["name"] for row in again["rows"]] == [row["name"] for row in part["rows"]]
    for row in again["rows"]:
        assert all(times["seconds"] > 0.0 for times in row["times"])
        told = {times["name"] for times in row["times"]}
        assert {asked["of"] for asked in row["asked"]} <= told
    names = [row["name"] for row in again["rows"]]
    assert len({*names}) == len(names)


def test_what_is_asked_names_contenders_of_its_row() -> None:
    for name in NAMES:
        module = rows.load(name)
        for row in module.rows(TINY) if hasattr(module, "rows") else ():
            for asked in row.asked:
                assert asked.peer is None or asked.peer in row.contenders
                assert (asked.ratio is None) == (asked.peer is None) != (asked.seconds is None)
