"""Optimisers: what a step does, groups, and complaints; on Values and inside of `fit`."""

import random

import numpy as np
import pytest

import nn
from engine import Value
from nn.data import unit_circle
from nn.programs.unit_circle import make_model

X, Y = unit_circle(40, 1)
OPTIMIZERS = {
    "SGD": lambda p: nn.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "Adam": lambda p: nn.Adam(p, lr=0.01),
    "AMSGrad": lambda p: nn.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.01),
    "AdamW": lambda p: nn.AdamW(p, lr=0.01),
    "RMSprop": lambda p: nn.RMSprop(p, lr=1e-3),
    "centred RMSprop": lambda p: nn.RMSprop(p, lr=1e-3, centered=True, momentum=0.9, alpha=0.9),
    "Adagrad": lambda p: nn.Adagrad(p, lr=0.05, lr_decay=0.1, initial_accumulator_value=0.1),
}


def trained(optimizer, path: str, **options) -> list[float]:
    """The losses and then the parameters of a short run."""
    model = make_model(random.Random(0))
    options = {"epochs": 4, "batch_size": 7, "shuffle": True, "loss": nn.MSELoss(), **options}
    options["optimizer"] = optimizer(model.parameters())
    history = nn.fit(model, X, Y, path=path, progress=False, **options)
    return [*history.step_loss, *[p.data for p in model.parameters()]]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_both_paths_take_the_same_steps(name: str) -> None:
    scalar, vectorised = (trained(OPTIMIZERS[name], path) for path in ("scalar", "vectorised"))
    np.testing.assert_allclose(vectorised, scalar, rtol=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_single_precision(name: str) -> None:
    double, single = (
        trained(OPTIMIZERS[name], "vectorised", dtype=dtype) for dtype in (np.float64, np.float32)
    )
    assert single != double
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4)


def test_the_settings_of_an_optimiser_can_be_taken_over() -> None:
    w = Value(1.0)
    first = nn.SGD([w], lr=0.1, momentum=0.9)
    w.grad = 1.0
    first.step()
    second = nn.SGD(first.param_groups)
    second.step()
    assert w.data == pytest.approx(1.0 - 0.1 - 0.1)


def test_sgd_momentum_and_decay_by_hand() -> None:
    w = Value(2.0)
    sgd = nn.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.5)
    velocity = 0.0
    expected = 2.0
    for k, g in enumerate((1.0, -2.0, 0.5)):
        w.grad = g
        sgd.step()
        g += 0.5 * expected
        velocity = g if k == 0 else 0.9 * velocity + g
        expected -= 0.1 * velocity
        assert w.data == pytest.approx(expected, rel=1e-15)


def test_adam_by_hand() -> None:
    w = Value(2.0)
    adam = nn.Adam([w], lr=0.1, betas=(0.8, 0.9), eps=0.5)
    m, v, expected = 0.0, 0.0, 2.0
    for k, g in enumerate((1.0, -2.0, 0.5), start=1):
        w.grad = g
        adam.step()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        expected -= 0.1 * m / (1 - 0.8**k) / ((v / (1 - 0.9**k)) ** 0.5 + 0.5)
        assert w.data == pytest.approx(expected, rel=1e-14)


def test_groups_have_settings_of_their_own() -> None:
    a, b = Value(1.0), Value(1.0)
    sgd = nn.SGD([{"params": [a], "lr": 1.0}, {"params": [b]}], lr=0.5)
    a.grad = b.grad = 1.0
    sgd.step()
    sgd.zero_grad(set_to_none=True)
    assert (a.data, b.data, a.grad) == (0.0, 0.5, 0.0)


def test_overflow_passes_in_silence() -> None:
    w = Value(1.0)
    adam = nn.Adam([w])
    w.grad = 1e200  # its square is inf
    adam.step()
    assert w.data == 1.0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.SGD([], lr=0.1), ValueError, "empty"),
        (lambda: nn.SGD([1.0]), TypeError, "not a float"),
        (lambda: nn.SGD([Value(1.0)], lr=-1.0), ValueError, "needs lr to be at least 0"),
        (lambda: nn.SGD([Value(1.0)], nesterov=True), ValueError, "nesterov needs"),
        (lambda: nn.SGD([{"params": [Value(1.0)], "rate": 1.0}]), ValueError, "rate"),
        (lambda: nn.SGD([v := Value(1.0), v]), ValueError, "given twice"),
        (lambda: nn.Adam([Value(1.0)], betas=(0.9, 1.0)), ValueError, "betas from 0 to below 1"),
        (lambda: nn.Adam([Value(1.0)], betas=0.9), TypeError, "betas are two numbers, not 0.9"),
        (lambda: nn.Adam([Value(1.0)], "0.1"), TypeError, "lr is a number, not '0.1'"),
        (lambda: nn.Adam([{"params": [Value(1.0)], "eps": -1.0}]), ValueError, "needs eps"),
    ],
)
def test_optimisers_complain_at_once(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
