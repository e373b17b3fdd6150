"""Layers that read sequences, trained: a step of `nn.fit` beside PyTorch's own layer, eagerly.

The network is written once, as PyTorch's users write it, for both: the layer, and a number from its
last output. PyTorch has its data in place, and batches as views.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import nn
from benchmarks import ours
from benchmarks.harness import ALONE, OURS, Array, Asked, Contender, Row, Scale

TORCH = "PyTorch eager"
# Not Adam, which makes steps of rounding errors: keys' biases have the gradient 0.
LR, MOMENTUM, BATCHES = 0.01, 0.9, 4


def rows(scale: Scale) -> Iterator[Row]:
    """Recurrent layers on sequences of two lengths, and attention."""
    for name, kind, inputs, size, length, batch in (
        ("lstm", "LSTM", 8, 32, 24, 32),
        ("lstm-long", "LSTM", 8, 32, 64, 64),
        ("gru", "GRU", 8, 32, 24, 32),
        ("rnn", "RNN", 8, 32, 24, 32),
        ("attention", "MultiheadAttention", 16, 4, 8, 32),
    ):
        length, batch = scale.of((length, batch), (length, batch), (4, 3))
        sizes = scale.of((inputs, size), (inputs, size), (4, 2))
        numbers = np.random.default_rng(0)
        X = numbers.normal(size=(BATCHES * batch, length, sizes[0]))
        y = X[:, :, :1].mean(axis=1)
        model = network(nn, kind, *sizes)
        fitting = ours.Fitting(
            *(
                model,
                X,
                y,
                nn.MSELoss(),
                lambda p: nn.SGD(p, lr=LR, momentum=MOMENTUM),
                batch,
                "float64",
            ),
            check=(len(X), 2),
        )
        work = "16 wide, 4 heads" if kind == "MultiheadAttention" else f"{size} wide"
        yield Row(
            f"sequences-{name}",
            f"a training step of nn.{kind}, {work}, {batch} sequences of {length}",
            {
                OURS: lambda fitting=fitting: ours.fit(fitting, 8, 8 * BATCHES),  # type: ignore[misc]
                ALONE: lambda fitting=fitting: ours.fit_alone(fitting, 8, 8 * BATCHES),  # type: ignore[misc]
                TORCH: lambda kind=kind, sizes=sizes, f=fitting: _torch(kind, sizes, f),  # type: ignore[misc]
            },
            asked=[Asked(1.0, TORCH)],
        )


def network(framework: Any, kind: str, *sizes: int) -> Any:
    """A layer, and a number from its last output, in either framework."""
    attends = kind == "MultiheadAttention"

    class Network(framework.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = getattr(framework, kind)(*sizes, batch_first=True)
            self.head = framework.Linear(sizes[0] if attends else sizes[1], 1)

        def forward(self, x: Any) -> Any:
            output, _ = self.layer(x, x, x, need_weights=False) if attends else self.layer(x)
            return self.head(output[-1] if framework is nn else output[:, -1])

    return Network()


def _torch(kind: str, sizes: tuple[int, int], fitting: ours.Fitting) -> Contender:
    import torch

    model = network(torch.nn, kind, *sizes).double()
    first = {key: torch.tensor(x) for key, x in fitting.model.state_dict().items()}
    X, y = (torch.tensor(part).split(fitting.batch_size) for part in (fitting.X, fitting.y))
    optimizer: Any = None

    def reset() -> None:
        nonlocal optimizer
        model.load_state_dict(first)
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

    def train(epochs: int) -> list[Any]:
        losses = []
        for _ in range(epochs):
            for x, wanted in zip(X, y, strict=True):
                optimizer.zero_grad()
                loss = torch.nn.functional.mse_loss(model(x), wanted)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
        return losses

    def numbers() -> Array:
        reset()
        losses = train(fitting.check[1])
        moved = [p.detach().numpy().ravel() for p in model.parameters()]
        return np.hstack([[loss.item() for loss in losses], *moved])

    return Contender(
        work=lambda: train(1),
        before=reset,
        units=BATCHES,
        numbers=numbers,
        note=f"{torch.get_num_threads()} threads",
    )
