"""Convolutions over pictures of 8 by 8, as scikit-learn's digits are, on one thread.

A shallow network, of which a step is over in no time, and a deeper one, of which it is the matrix
product of the second convolution. The digits are random numbers, since a step costs the same on
any. PyTorch has its data in place, batches as views and its fused Adam.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

import engine
import nn
from benchmarks import ours
from benchmarks.dense import TORCH
from benchmarks.harness import OURS, Array, Asked, Contender, Row, Scale

SIZE, CLASSES = 8, 10
LR = 1e-3


def shallow(framework: Any, channels: int, **told: Any) -> Any:
    """Conv2d, ReLU, MaxPool2d and Linear, in either framework."""
    return framework.Sequential(
        framework.Conv2d(1, channels, 3, **told),
        framework.ReLU(),
        framework.MaxPool2d(2),
        framework.Flatten(),
        framework.Linear(channels * 9, CLASSES, **told),
    )


def deep(framework: Any, channels: int, **told: Any) -> Any:
    """The same behind one more convolution, whose padding keeps the size."""
    return framework.Sequential(
        framework.Conv2d(1, channels, 3, padding=1, **told),
        framework.ReLU(),
        framework.Conv2d(channels, channels, 3, **told),
        framework.ReLU(),
        framework.MaxPool2d(2),
        framework.Flatten(),
        framework.Linear(channels * 9, CLASSES, **told),
    )


def torch_eager(fitting: ours.Fitting, model: Any, batch: int, epochs: int) -> Contender:
    """The same training in PyTorch, step by step from Python, on one thread."""
    import torch

    dtype = getattr(torch, fitting.dtype)
    model = model.to(dtype)
    classes = isinstance(fitting.loss, nn.CrossEntropyLoss)
    X = torch.tensor(fitting.X, dtype=dtype)
    y = torch.tensor(fitting.y, dtype=torch.int64 if classes else dtype)
    fitting.reset()
    first = {key: torch.tensor(array) for key, array in fitting.model.state_dict().items()}
    loss_of = getattr(torch.nn, type(fitting.loss).__name__)()
    adam: Any = None

    def reset() -> None:
        nonlocal adam
        model.load_state_dict(first)
        adam = torch.optim.Adam(model.parameters(), lr=LR, fused=True)

    def train(rows: int, epochs: int) -> list[Any]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            batches = [*zip(X[:rows].split(batch), y[:rows].split(batch), strict=True)]
            losses = []
            for x, t in batches * epochs:
                adam.zero_grad()
                loss = loss_of(model(x), t)
                loss.backward()
                adam.step()
                losses.append(loss)
            return losses
        finally:
            torch.set_num_threads(threads)

    def numbers() -> Array:
        reset()
        losses = train(*fitting.check)
        moved = [p.detach().numpy().ravel() for p in model.parameters()]
        return np.hstack([[loss.item() for loss in losses], *moved])

    return Contender(
        work=lambda: train(len(X), epochs),
        before=reset,
        units=epochs * (len(X) // batch),
        numbers=numbers,
        note="1 thread",
    )


def rows(scale: Scale) -> Iterator[Row]:
    """A step of either network, in batches of 32 and 64, in both precisions."""
    threads = engine.get_num_threads()
    engine.set_num_threads(1)
    try:
        for make, channels in ((shallow, scale.of(8, 8, 2)), (deep, scale.of(16, 16, 2))):
            for batch in (32, 64):
                for dtype in ("float64", "float32"):
                    yield row_of(scale, make, channels, batch, dtype)
    finally:
        engine.set_num_threads(threads)


def row_of(scale: Scale, make: Any, channels: int, batch: int, dtype: str) -> Row:
    """A step of one network, in one size of batches and one precision."""
    examples = scale.of(20, 10, 2) * batch
    rng = np.random.default_rng(0)
    fitting = ours.Fitting(
        model=make(nn, channels, rng=random.Random(0)),
        X=rng.random((examples, 1, SIZE, SIZE)),
        y=rng.integers(0, CLASSES, examples).astype(np.float64),
        loss=nn.CrossEntropyLoss(),
        make_optimizer=lambda parameters: nn.Adam(parameters, lr=LR),
        batch_size=batch,
        dtype=dtype,
        check=(2 * batch, 2),
    )
    epochs = scale.of(10, 4, 1)

    def in_torch() -> Contender:
        from torch import nn as theirs

        return torch_eager(fitting, make(theirs, channels), batch, epochs)

    return Row(
        f"conv-{make.__name__}-{batch}-{dtype}",
        f"a {make.__name__} network of convolutions, {channels} channels, 8 x 8, batch {batch}, "
        f"Adam, {dtype}, a step, on one thread",
        {OURS: lambda: ours.fit(fitting, epochs, epochs * (examples // batch)), TORCH: in_torch},
        asked=[Asked(1.0, TORCH)],
        dtype=dtype,
        tolerance=1e-9 if dtype == "float64" else 2e-3,
    )
