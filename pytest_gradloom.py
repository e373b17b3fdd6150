"""gradloom in pytest: the fixture `gradients`, and a section that says what is wrong with one.

pytest loads this module whenever it starts, so it imports nothing of the project.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator

import pytest


@pytest.fixture
def gradients() -> Callable[..., None]:
    """`engine.testing.assert_gradients`: ``gradients(f, x)``, or ``gradients(fun, x, jac=jac)``."""
    from engine.testing import assert_gradients

    return assert_gradients


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what a WrongGradientError knows, line by line, to the report of a failed test."""
    report = yield
    testing = sys.modules.get("engine.testing")
    error = call.excinfo.value if call.excinfo else None
    if testing is not None and isinstance(error, testing.WrongGradientError):
        report.sections.append(("wrong gradient", error.table()))
    return report
