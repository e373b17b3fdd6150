"""The cost model of many ranks: found again in what it says itself, and drawn."""

from typing import Any

import numpy as np
import pytest

from bench_results import figure, results, times
from benchmarks import scaling
from benchmarks.harness import OURS
from benchmarks.results import save
from benchmarks.rows.distributed import ADDED
from benchmarks.scaling import Costs

KNOWN = Costs(latency=4e-5, bandwidth=8e8, adding=2e9)


def measured() -> Any:
    """What would be measured if the model were right."""
    sizes = [1024.0, 65_536.0, 4e6]
    made = figure(sizes, sizes, sizes) | {"name": "collective", "crossings": []}
    for size, point in zip(sizes, made["points"], strict=True):
        took = {f"{OURS}, {count} ranks": KNOWN.gathering(size, count) for count in (2, 4)}
        took |= {ADDED: size / KNOWN.adding}
        point["row"]["times"] = [times(name, seconds) for name, seconds in took.items()]
    return made


def test_costs_are_found_in_what_was_measured() -> None:
    np.testing.assert_allclose(scaling.fitted(measured()), KNOWN)


def test_a_step_without_messages_pays_over_all_ranks_and_one_of_messages_over_none() -> None:
    free = Costs(0.0, np.inf, np.inf)
    assert (free.step(1.0, 1e6, scaling.RANKS) == 1.0 / scaling.RANKS).all()
    took = KNOWN.step(1e-6, 1e6, scaling.RANKS)
    assert np.argmin(took) == 0
    assert (np.diff(took) > 0.0).all()


def test_the_table_says_where_it_stops_paying() -> None:
    lines = scaling.table(KNOWN).splitlines()[2:]
    assert len(lines) == len(scaling.STEPS)
    for line, (seconds, parameters) in zip(lines, scaling.STEPS.values(), strict=True):
        took = KNOWN.step(seconds, parameters, scaling.RANKS)
        best = scaling.RANKS[np.argmin(took)]
        assert f"up to {best:,}, {seconds / took.min():.1f} times" in line


def test_it_is_drawn_from_a_file_of_results(tmp_path: Any, monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(scaling, "PICTURE", tmp_path / "picture.svg")
    save(tmp_path / "run.json", results([], [measured()]))
    scaling.main(str(tmp_path / "run.json"))
    assert "latency 40 us, 0.8 GB/s between ranks, 2.0 GB/s for adding" in capsys.readouterr().out
    assert "circles where more stop paying" in (tmp_path / "picture.svg").read_text()
