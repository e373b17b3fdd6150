"""XOR, 2-64-1: steps so small that whatever is done around the arithmetic dominates."""

from __future__ import annotations

import random
from collections.abc import Iterator

import nn
from benchmarks.dense import JAX, TORCH, Task, contenders
from benchmarks.harness import Asked, Row, Scale

BATCH = 5


def task(points: int) -> Task:
    """Points of the unit square, and whether exactly one coordinate is at least a half."""
    X, y = nn.data.xor(points)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 1))
    rng = random.Random(0)
    for p in model.parameters():
        p.data = rng.random()
    return Task(X, y, model, lr=0.01, batch=BATCH, check=(points, 1))


def rows(scale: Scale) -> Iterator[Row]:
    """One row: a step."""
    points, epochs, torch_epochs = scale.of((1000, 50, 1), (1000, 20, 1), (40, 1, 1))
    yield Row(
        "xor",
        "XOR 2-64-1, batch 5, SGD, a step",
        contenders(task(points), epochs=epochs, torch_epochs=torch_epochs),
        asked=[Asked(100.0, TORCH), Asked(1.5, JAX)],
    )
