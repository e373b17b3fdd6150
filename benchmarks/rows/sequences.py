"""Layers that read sequences, trained on one thread: a step of `nn.fit`, and of PyTorch eagerly.

The network is written once, as PyTorch's users write it, for both: the layer, and a number from its
last output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import engine
import nn
from benchmarks import ours
from benchmarks.dense import TORCH
from benchmarks.harness import OURS, Asked, Contender, Row, Scale
from benchmarks.rows.convolutions import LR, torch_eager

BATCHES = 4


def network(framework: Any, kind: str, width: int, size: int) -> Any:
    """A layer, and a number from its last output, in either framework."""
    attends = kind == "MultiheadAttention"

    class Network(framework.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            # without biases of keys: their gradient is 0, and Adam would go by its rounding
            told = {"batch_first": True, "bias": not attends}
            self.layer = getattr(framework, kind)(width, size, **told)
            self.head = framework.Linear(width if attends else size, 1)

        def forward(self, x: Any) -> Any:
            output, _ = self.layer(x, x, x, need_weights=False) if attends else self.layer(x)
            return self.head(output[-1] if framework is nn else output[:, -1])

    return Network()


def rows(scale: Scale) -> Iterator[Row]:
    """Recurrent layers, shorter and longer sequences, and attention."""
    threads = engine.get_num_threads()
    engine.set_num_threads(1)
    try:
        for name, kind, size, length, batch, dtype in (
            ("lstm", "LSTM", (8, 32), 24, 32, "float64"),
            ("lstm-float32", "LSTM", (8, 32), 24, 32, "float32"),
            ("lstm-long", "LSTM", (8, 32), 64, 64, "float64"),
            ("lstm-long-float32", "LSTM", (8, 32), 64, 64, "float32"),
            ("gru", "GRU", (8, 32), 24, 32, "float64"),
            ("rnn", "RNN", (8, 32), 24, 32, "float64"),
            ("attention", "MultiheadAttention", (16, 4), 8, 32, "float64"),
        ):
            small = scale.of(False, False, True)
            sizes = ((4, 2), 4, 3) if small else (size, length, batch)
            yield row_of(scale, name, kind, *sizes, dtype)
    finally:
        engine.set_num_threads(threads)


def row_of(
    scale: Scale, name: str, kind: str, size: tuple[int, int], length: int, batch: int, dtype: str
) -> Row:
    """A step of one network."""
    X = np.random.default_rng(0).normal(size=(BATCHES * batch, length, size[0]))
    fitting = ours.Fitting(
        model=network(nn, kind, *size),
        X=X,
        y=X[:, :, 0].mean(axis=1, keepdims=True),
        loss=nn.MSELoss(),
        make_optimizer=lambda parameters: nn.Adam(parameters, lr=LR),
        batch_size=batch,
        dtype=dtype,
        check=(len(X), 2),
    )
    epochs = scale.of(8, 4, 1)

    def in_torch() -> Contender:
        from torch import nn as theirs

        return torch_eager(fitting, network(theirs, kind, *size), batch, epochs)

    width, second = size
    told = f"{width} wide, {second} heads" if kind == "MultiheadAttention" else f"{second} wide"
    return Row(
        f"sequences-{name}",
        f"nn.{kind}, {told}, {batch} sequences of {length}, Adam, {dtype}, a step, on one thread",
        {OURS: lambda: ours.fit(fitting, epochs, epochs * BATCHES), TORCH: in_torch},
        asked=[Asked(1.0, TORCH)],
        dtype=dtype,
        tolerance=1e-9 if dtype == "float64" else 2e-3,
    )
