"""What an import costs, in a process that has loaded nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import fresh
from benchmarks.harness import OURS, Row, Scale


def rows(scale: Scale) -> Iterator[Row]:
    """The two packages."""
    for package in ("engine", "nn"):
        program = (
            "import time\n"
            "began = time.perf_counter()\n"
            f"import {package}\n"
            "done(time.perf_counter() - began)\n"
        )
        yield Row(
            f"import-{package}",
            f"import {package}",
            {OURS: lambda: fresh.contender(program, note="byte code kept")},  # noqa: B023
        )
