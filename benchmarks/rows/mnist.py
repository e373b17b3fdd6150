"""MNIST's shape, 784-50-10 in single precision: matrix products are nearly all of the work.

The digits are random numbers, since a step costs the same on any. The five matrix products that a
step can't do without are measured by themselves, in NumPy, to see how much is left beside them.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import numpy as np

import nn
from benchmarks import ours
from benchmarks.dense import JAX, TORCH, Task, contenders, fitting_of
from benchmarks.harness import OURS, Asked, Contender, Row, Scale

NUMBA, SCALAR = "Numba's fallback", "the scalar path"
PRODUCTS = "NumPy, the five matrix products alone"
PIXELS, HIDDEN, CLASSES, BATCH = 784, 50, 10, 64


def task(examples: int) -> Task:
    """Random pixels and classes."""
    rng = np.random.default_rng(0)
    X = rng.random((examples, PIXELS), np.float32)
    y = rng.integers(0, CLASSES, examples).astype(np.float64)
    source = random.Random(0)
    model = nn.Sequential(
        nn.Linear(PIXELS, HIDDEN, rng=source), nn.ReLU(), nn.Linear(HIDDEN, CLASSES, rng=source)
    )
    return Task(
        *(X, y, model),
        lr=1e-3,
        batch=BATCH,
        check=(5 * BATCH + 7, 1),
        dtype="float32",
        cross_entropy=True,
        adam=True,
        by_epoch=True,
    )


def products(task: Task) -> Contender:
    """X W1ᵀ and H W2ᵀ forwards; dZ2ᵀ H, dZ2 W2 and dZ1ᵀ X backwards: for each batch, in place."""
    W1, _, W2, _ = task.weights()
    into_hidden, into_scores = np.ascontiguousarray(W1.T), np.ascontiguousarray(W2.T)
    batches = [task.X[i : i + BATCH] for i in range(0, len(task.X), BATCH)]
    hidden = np.ones((BATCH, HIDDEN), np.float32)
    scores = np.ones((BATCH, CLASSES), np.float32)
    dW1, dW2 = np.ones_like(W1), np.ones_like(W2)
    d_hidden = np.ones_like(hidden)

    def epoch() -> None:
        for x in batches:
            n = len(x)
            np.matmul(x, into_hidden, out=hidden[:n])
            np.matmul(hidden[:n], into_scores, out=scores[:n])
            np.matmul(scores[:n].T, hidden[:n], out=dW2)
            np.matmul(scores[:n], W2, out=d_hidden[:n])
            np.matmul(d_hidden[:n].T, x, out=dW1)

    return Contender(work=epoch, numbers=None, note="BLAS as NumPy has it")


def rows(scale: Scale) -> Iterator[Row]:
    """An epoch beside the peers; and beside our other paths."""
    examples = scale.of(60_000, 6_400, 5 * BATCH + 7)
    digits = task(examples)
    made = contenders(digits, epochs=scale.of(3, 2, 1), torch_epochs=1)
    yield Row(
        "mnist",
        f"784-50-10, batch 64, Adam, float32, an epoch of {examples:,} random examples",
        made | {PRODUCTS: lambda: products(digits)},
        asked=[Asked(2.0, TORCH), Asked(1.0, JAX), Asked(1 / 1.3, PRODUCTS)],
        dtype="float32",
        tolerance=2e-3,
    )
    few = scale.of(16, 4, 2)
    by_path = dataclasses.replace(digits, check=(few, 1))
    fitting = fitting_of(by_path)
    epochs = scale.of(3, 2, 1)
    yield Row(
        "mnist-paths",
        f"784-50-10, an epoch of {examples:,} examples by nn.fit's paths",
        {
            OURS: lambda: ours.fit_epochs(fitting, epochs),
            NUMBA: lambda: ours.fit_epochs(fitting, epochs, native=False),
            SCALAR: lambda: ours.fit_few(fitting_of(by_path, "float64"), few),
        },
        dtype="float32",
        tolerance=2e-3,
    )
