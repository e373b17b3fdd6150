"""What is asked of every test: that it passes in any order (`--order-seed N`)."""

from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--order-seed`."""
    parser.addoption("--order-seed", type=int, help="shuffle the files, and the tests of each")


def pytest_report_header(config: pytest.Config) -> str:
    """Say the seed of the order."""
    seed = config.getoption("--order-seed")
    return "" if seed is None else f"order: --order-seed {seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle, but keep the tests of a file together: they share what is dear to make."""
    seed = config.getoption("--order-seed")
    if seed is not None:
        rng = random.Random(seed)
        files = sorted({item.path for item in items})
        rank = dict(zip(files, rng.sample(range(len(files)), len(files)), strict=True))
        rng.shuffle(items)
        items.sort(key=lambda item: rank[item.path])
