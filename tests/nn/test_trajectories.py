"""The programs' losses after every step of their whole runs, against PyTorch's.

From the same first weights and the same batches, in float64.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nn
from nn.programs import Options, circles, mnist, mnist_small, unit_circle, xor
from nn.programs.handwritten import Digits
from nn.programs.mnist import LogisticCost
from nn.programs.problem import Problem
from nn.programs.sigmoid_networks import HalfSquaredError

pytestmark = pytest.mark.oracle
OPTIONS = Options(path="vectorised", quiet=True)


def random_digits(options: Options, train: int) -> Digits:
    """MNIST's shape: a step is the same on any numbers, and needs no files."""
    rng = np.random.default_rng(options.seed)
    parts = []
    for count in (train, 10):
        parts += [rng.random((count, 784)), rng.integers(0, 10, count).astype(float)]
    return Digits(*parts, (28, 28), "random")


def logistic_mnist() -> Problem:
    options = replace(OPTIONS, own={"cost": "logistic"})
    return replace(mnist.problem_of(random_digits(options, 640), options), l2=0.0)


CASES = {
    "unit-circle": lambda: unit_circle.problem(OPTIONS),
    "xor": lambda: xor.problem(OPTIONS),
    "circles": lambda: circles.problem(OPTIONS),
    "mnist": lambda: replace(mnist.problem_of(random_digits(OPTIONS, 1_600), OPTIONS), epochs=4),
    "mnist logistic": lambda: replace(logistic_mnist(), epochs=4),
    "mnist-small": lambda: replace(
        mnist_small.problem_of(random_digits(OPTIONS, 500), OPTIONS), epochs=500
    ),
}


@pytest.fixture
def torch() -> Any:
    """PyTorch on one thread: these steps are too short for more."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def torch_losses(torch: Any, p: Problem) -> list[float]:
    """The loss before every update, by PyTorch."""
    functional = torch.nn.functional
    layers = torch.nn.Sequential(
        *(
            torch.nn.Linear(layer.in_features, layer.out_features)
            if isinstance(layer, nn.Linear)
            else getattr(torch.nn, type(layer).__name__)()
            for layer in p.model.children()
        )
    ).double()
    state = p.model.state_dict()
    layers.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    loss_of = {
        nn.MSELoss: functional.mse_loss,
        nn.CrossEntropyLoss: functional.cross_entropy,
        HalfSquaredError: lambda y, t: 0.5 * ((y - t) ** 2).sum(),
        LogisticCost: lambda y, t: (
            functional.binary_cross_entropy_with_logits(y, t, reduction="sum") / len(t)
        ),
    }[type(p.loss)]
    kind = getattr(torch.optim, type(p.optimizer).__name__)
    optimizer = kind(layers.parameters(), lr=p.optimizer.param_groups[0]["lr"])
    X, y = torch.from_numpy(p.X), torch.from_numpy(p.y)
    if isinstance(p.loss, nn.CrossEntropyLoss):
        y = y.long()
    size = p.batch_size or len(X)
    batches = list(zip(X.split(size), y.split(size), strict=True))
    losses = []
    for _ in range(p.epochs):
        for x, t in batches:
            optimizer.zero_grad()
            loss = loss_of(layers(x), t)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return torch.stack(losses).tolist()


@pytest.mark.parametrize("name", CASES)
def test_every_loss_is_pytorchs(torch: Any, name: str) -> None:
    p = replace(CASES[name](), shuffle=False, dtype="float64")
    expected = torch_losses(torch, p)
    assert p.fit(OPTIONS).step_loss == pytest.approx(expected, rel=1e-9, abs=0.0)
