"""Running benchmarks in processes of their own, those with the same peers in one.

So each meets a garbage collector that knows what it loaded itself, and one that crashes takes no
other with it. `python -m benchmarks.runner SCALE FILE PYTHON NAME …` is such a process: it writes
what it measured to FILE, after every row. PYTHON is that of an older build, or empty.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import engine
from benchmarks import facts, rows
from benchmarks.against import Older
from benchmarks.harness import SCALES, Measured, Row, Scale, measured
from benchmarks.results import SCHEMA, MeasuredFigure, Results, as_text
from engine.files import write_whole

ROOT = Path(__file__).parents[1]


class Part(TypedDict):
    """What one benchmark gave."""

    name: str
    rows: list[Measured]
    figures: list[MeasuredFigure]
    failure: str | None


def run(
    names: Sequence[str], scale: Scale, keep: Callable[[Results], object], older: str = ""
) -> Results:
    """Run benchmarks by name, beside their peers, or beside the older build of the Python `older`.

    `keep` is called with the results so far: before the first, after each process, and where an
    interrupt ends it. Raises OlderBuildError where there is no such build.
    """
    began = time.perf_counter()
    results: Results = {
        "schema": SCHEMA,
        "gradloom": engine.__version__,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "scale": scale.name,
        "seconds": 0.0,
        "machine": facts.facts(),
        "rows": [],
        "figures": [],
        "failures": {},
    }
    if older:
        with Older(older, scale) as asked:
            build = asked.build()
        results["machine"]["against"] = {key: build[key] for key in ("gradloom", "commit")}
    keep(results)
    for together in rows.PROCESSES:
        left = [name for name in together if name in names]
        while left:  # again for what comes after one that crashed
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "parts.json")
                try:
                    code = _in_a_process(left, scale, file, older)
                finally:
                    parts: list[Part] = json.loads(file.read_text()) if file.exists() else []
                    for part in parts:
                        results["rows"] += part["rows"]
                        results["figures"] += part["figures"]
                        if part["failure"] is not None:
                            results["failures"][part["name"]] = part["failure"]
                    results["seconds"] = time.perf_counter() - began
                    keep(results)
            if code < 0 or len(parts) < len(left):
                results["failures"][left[max(0, len(parts) - 1)]] = f"its process ended with {code}"
            left = left[max(1, len(parts)) :]
    keep(results)
    return results


def _in_a_process(names: Sequence[str], scale: Scale, file: Path, older: str) -> int:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "benchmarks.runner", scale.name, str(file), older, *names]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


def measure(
    name: str, scale: Scale, into: Part, keep: Callable[[], object], older: Older | None = None
) -> None:
    """Run one benchmark in this process; `keep` is called after every row of `into`.

    A failure ends it, and is told there.
    """

    def result(row: Row, scale: Scale) -> Measured:
        return measured(row if older is None else older.beside(name, row), scale)

    try:
        module = rows.load(name)
        for row in module.rows(scale) if hasattr(module, "rows") else ():
            print(f"  {row.work}", flush=True)
            into["rows"].append(result(row, scale))
            keep()
        few = dataclasses.replace(scale, rounds=5, fewest=1, budget=scale.budget / 10)
        for figure in module.figures(scale) if hasattr(module, "figures") else ():
            print(f"  {figure.title}", flush=True)
            found: MeasuredFigure = {
                "name": figure.name,
                "title": figure.title,
                "x": figure.x,
                "per_x": figure.per_x,
                "points": [],
                "crossings": [list(pair) for pair in figure.crossings],
            }
            into["figures"].append(found)
            for x, row in figure.points:
                found["points"].append({"x": float(x), "row": result(row, few)})
                keep()
    except Exception as error:  # whatever it is, the other benchmarks go on
        into["failure"] = f"{type(error).__name__}: {error}"


def main(arguments: Sequence[str]) -> int:
    """Be such a process; return 0, or 130 for an interrupt."""
    scale, file, python, *names = arguments
    parts: list[Part] = []

    def keep() -> None:
        write_whole(Path(file), as_text(parts).encode())

    try:
        with Older(python, SCALES[scale]) if python else nullcontext() as older:
            for name in names:
                parts.append({"name": name, "rows": [], "figures": [], "failure": None})
                began = time.perf_counter()
                measure(name, SCALES[scale], parts[-1], keep, older)
                keep()
                failure = parts[-1]["failure"]
                told = f", FAILED: {failure}" if failure else ""
                print(f"{name} took {time.perf_counter() - began:.0f} s{told}", flush=True)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
