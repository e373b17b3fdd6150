"""A plugin for pytest, in the runs that `tests/mutants` starts: which tests run, in which order.

`MUTANTS_LIMITS` says how many bytes and how many seconds of the processor a process may use.
`MUTANTS_TESTS` names a file with a test or a file of tests a line; others are left out.
`MUTANTS_KNOWN` names one with the seconds of tests: of a file, the new and the quick go first.
`MUTANTS_SECONDS` names a file that is told how long each test took, if it passed.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

if "MUTANTS_LIMITS" in os.environ:
    for _what, _limit in zip(
        (resource.RLIMIT_AS, resource.RLIMIT_CPU),
        map(int, os.environ["MUTANTS_LIMITS"].split()),
        strict=True,
    ):
        resource.setrlimit(_what, (_limit, _limit))

_seconds: dict[str, float] = {}
_failed: set[str] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    listed = os.environ.get("MUTANTS_TESTS")
    if listed is None:
        return
    rank = {line: i for i, line in enumerate(Path(listed).read_text().splitlines())}
    known = Path(os.environ["MUTANTS_KNOWN"])
    seconds = json.loads(known.read_text()) if known.exists() else {}

    def place(item: pytest.Item) -> tuple[int, float]:
        test = item.nodeid
        return rank.get(test, rank.get(test.partition("::")[0], len(rank))), seconds.get(test, 0.0)

    items[:] = sorted((item for item in items if place(item)[0] < len(rank)), key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report = yield
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if not report.passed:
        _failed.add(report.nodeid)
    return report


def pytest_sessionfinish() -> None:
    told = os.environ.get("MUTANTS_SECONDS")
    if told is not None:
        passed = {test: spent for test, spent in _seconds.items() if test not in _failed}
        Path(told).write_text(json.dumps(passed))
