"""Made-up results of benchmarks, for tests of what is done with them."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.harness import ALONE, OURS
from benchmarks.results import SCHEMA, Results, as_text

PEER = "Peer"


def times(name: str, seconds: float, spread: float = 0.01, note: str = "") -> dict[str, Any]:
    low, high = seconds * (1.0 - spread), seconds * (1.0 + spread)
    every = [low, seconds, high]
    return {"name": name, "seconds": seconds, "low": low, "high": high, "all": every, "note": note}


def race(
    name: str,
    ratio: float,
    *,
    asked: float | None = None,
    spread: float = 0.01,
    seconds: float = 1e-3,
    work: str = "",
) -> dict[str, Any]:
    """A row in which the peer takes `ratio` times as long as ours."""
    low, high = ratio * (1.0 - spread), ratio * (1.0 + spread)
    every = [low, ratio, high]
    return {
        "name": name,
        "work": work or f"the work of {name}",
        "dtype": "float64",
        "collector": True,
        "rounds": 3,
        "others": 0.01,
        "times": [
            times(OURS, seconds, spread),
            times(ALONE, 0.5 * seconds, spread),
            times(PEER, ratio * seconds, spread, "2 threads"),
        ],
        "skipped": {"Other": "other is not installed"},
        "ratios": [
            {"of": OURS, "peer": PEER, "median": ratio, "low": low, "high": high, "all": every}
        ],
        "asked": []
        if asked is None
        else [{"ratio": asked, "peer": PEER, "seconds": None, "of": OURS}],
        "known": {},
    }


def stage(name: str, seconds: float, at_most: float) -> dict[str, Any]:
    """A row of one stage without a peer."""
    return {
        "name": name,
        "work": f"the work of {name}",
        "dtype": "float64",
        "collector": True,
        "rounds": 3,
        "others": None,
        "times": [times("lowering", seconds)],
        "skipped": {},
        "ratios": [],
        "asked": [{"ratio": None, "peer": None, "seconds": at_most, "of": "lowering"}],
        "known": {},
    }


def figure(xs: list[float], slow: list[float], fast: list[float]) -> dict[str, Any]:
    """A figure of two contenders, with a crossing asked for."""
    points = []
    for x, a, b in zip(xs, slow, fast, strict=True):
        row = stage(f"point-{x}", 1.0, 1.0)
        points.append({"x": x, "row": {**row, "times": [times("slow", a), times("fast", b)]}})
    return {
        "name": "figure",
        "title": "A figure",
        "x": "batch",
        "per_x": False,
        "points": points,
        "crossings": [["slow", "fast"]],
    }


def results(rows: list[Any], figures: list[Any] | None = None, **changes: Any) -> Results:
    """A full run of a made-up machine."""
    made: Any = {
        "schema": SCHEMA,
        "gradloom": "0.1.0",
        "taken": "2026-11-22T10:00:00+00:00",
        "scale": "full",
        "seconds": 1.0,
        "machine": {
            "processor": "Abacus 1",
            "cores": 2,
            "memory_gib": 4.0,
            "system": "Linux 6.1 x86_64",
            "python": "CPython 3.11.1",
            "packages": {"numpy": "2.0.0", "torch": None},
            "collector": {"enabled": True, "thresholds": [700, 10, 10]},
            "threads": {},
            "load": [0.1, 0.1, 0.1],
            "commit": "0123456789ab",
        },
        "rows": rows,
        "figures": figures or [],
        "failures": {},
        **changes,
    }
    return json.loads(as_text(made))  # type: ignore[no-any-return]  # numbers as a file has them
