"""Long runs leave nothing behind: memory does not grow with steps, however many."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value

STEPS = 100_000
MOST = 2**18  # bytes: less than 3 a step, which no object is
STATM = Path("/proc/self/statm")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not STATM.exists(), reason="says nothing of its memory"),
]


def resident() -> int:
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def eager() -> Callable[[int], Any]:
    model, optimizer = nn.MLP(2, [4, 1]), None
    optimizer = nn.SGD(model.parameters(), lr=1e-6)

    def work(count: int) -> None:
        for _ in range(count // 20):  # a step is some 40 nodes
            optimizer.zero_grad()
            ((model([0.5, -0.25]) - 1.0) ** 2).backward()
            optimizer.step()

    return work


def calls() -> Callable[[int], Any]:
    w = Value(0.3)
    program = engine.compile(lambda x: engine.tanh(w * x[0] + x[1]), wrt=w)

    def work(count: int) -> None:
        for k in range(count):
            w.data = k % 7
            program.value_and_grad([0.1 * (k % 5), 1.0])

    return work


def batches() -> Callable[[int], Any]:
    program = engine.compile(lambda p, x: engine.sin(p * x), in_axes=(None, 0), reduce="mean")
    X = np.linspace(0.0, 1.0, 8)

    def work(count: int) -> None:
        for k in range(count):
            program.grad(0.1 * (k % 5), X)

    return work


def paths() -> Callable[[int], Any]:
    program = engine.compile(lambda x: x * x if x > 0.0 else -x)

    def work(count: int) -> None:
        for k in range(count):
            program.grad(float(k % 3 - 1))

    return work


def training() -> Callable[[int], Any]:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = nn.Adam(model.parameters(), lr=1e-6)
    X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0], [0.0]])

    def work(count: int) -> None:
        for _ in range(20):
            nn.fit(
                *(model, X, y),
                loss=nn.MSELoss(),
                optimizer=optimizer,
                epochs=max(1, count // 20),
                progress=False,
            )

    return work


@pytest.mark.parametrize("make", [eager, calls, batches, paths, training], ids=lambda f: f.__name__)
def test_memory_stays_the_same(make: Callable[[], Callable[[int], Any]]) -> None:
    work = make()
    work(STEPS // 10)
    sizes = [resident()]
    for _ in range(3):
        work(STEPS)
        sizes.append(resident())
    # what grows grows each time; allocators settle
    assert min(np.diff(sizes)) < MOST, sizes
