"""The unit circle, 2-10-5-1 on about 8,000 points: a full batch a step."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.dense import JAX, TORCH, Task, contenders
from benchmarks.harness import Array, Asked, Contender, Row, Scale
from nn.data import unit_circle
from nn.programs.unit_circle import LEARNING_RATE, make_model

AUTOGRAD = "autograd"


def task(points: int) -> Task:
    """Points of [-5, 5]², and whether they are inside."""
    X, y = unit_circle(points, seed=0)
    model = make_model(random.Random(0))
    batch, check = points, (points, 20)
    return Task(X, y, model, lr=LEARNING_RATE, batch=batch, check=check, sigmoid=True)


def autograd_steps(task: Task, steps: int) -> Contender:
    """The task in autograd: NumPy, and a gradient."""
    import autograd
    import autograd.numpy as np_

    def loss(parameters: list[Any]) -> Any:
        W1, b1, W2, b2, W3, b3 = parameters
        h = np_.maximum(task.X @ W1.T + b1, 0.0)
        h = np_.maximum(np_.dot(h, W2.T) + b2, 0.0)
        outputs = 1.0 / (1.0 + np_.exp(-(np_.dot(h, W3.T) + b3)))
        return np_.mean((outputs - task.y) ** 2)

    gradient = autograd.value_and_grad(loss)
    first = task.weights()

    def train(steps: int) -> tuple[list[float], list[Array]]:
        parameters, losses = first, []
        for _ in range(steps):
            value, slopes = gradient(parameters)
            parameters = [p - task.lr * g for p, g in zip(parameters, slopes, strict=True)]
            losses.append(float(value))
        return losses, parameters

    def numbers() -> Array:
        losses, parameters = train(task.check[1])
        return np.hstack([losses, *(p.ravel() for p in parameters)])

    return Contender(work=lambda: train(steps), numbers=numbers, units=steps)


def rows(scale: Scale) -> Iterator[Row]:
    """One row: a step."""
    points, steps, slow_steps = scale.of((8000, 200, 20), (8000, 40, 5), (200, 2, 2))
    circle = task(points)
    yield Row(
        "unit-circle",
        f"unit circle 2-10-5-1, {points:,} rows, full batch, SGD, a step",
        {
            **contenders(circle, epochs=steps, torch_epochs=slow_steps),
            AUTOGRAD: lambda: autograd_steps(circle, slow_steps),
        },
        asked=[Asked(5.0, TORCH), Asked(2.0, JAX)],
    )
