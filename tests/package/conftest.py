"""The tests of this folder build the packages and install them, in environments of their own.

`make test-package` runs them. Everything is below pytest's temporary folder, and removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from workshop import Workshop


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)  # compared as text: there are 20,000 items
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.package)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("package")
    yield Workshop(folder)
    shutil.rmtree(folder, ignore_errors=True)  # a gigabyte
