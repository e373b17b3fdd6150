"""Losses, layers and training against PyTorch's figures, frozen and live."""

import math
from typing import Any

import pytest

import engine
import nn
from engine import Value
from oracle_cases import (
    ACTIVATIONS,
    EXAMPLE,
    LOSSES,
    NETWORKS,
    POINTS,
    TRAINING_STEPS,
    Figures,
    activation,
    frozen,
    mapped,
    nn_figures,
    numbers,
    state_of,
    training,
    weighted,
)


@pytest.fixture(
    params=["frozen", pytest.param("live", marks=pytest.mark.oracle)],
    scope="module",
)
def figures(request: pytest.FixtureRequest) -> Figures:
    """PyTorch's figures by the names of the cases."""
    if request.param == "frozen":
        return frozen("nn_figures")
    return nn_figures(pytest.importorskip("torch"))


def assert_agree(actual: Any, expected: Any, tolerance: float, absolute: bool = False) -> None:
    """Every number to its own size; with `absolute`, to the size of the largest one."""
    found, wanted = dict(numbers(actual)), dict(numbers(expected))
    assert list(found) == list(wanted)
    scale = max(abs(x) for x in wanted.values()) if absolute else 0.0
    for place, x in wanted.items():
        y = found[place]
        near = math.isclose(y, x, rel_tol=tolerance, abs_tol=tolerance * scale)
        assert near, f"{place} is {y!r}, expected {x!r}"


def data_of(item: Any) -> Any:
    return mapped(lambda y: y.data, item)


def grads_of(item: Any) -> Any:
    return mapped(lambda x: x.grad, item)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(figures: Figures, name: str) -> None:
    loss, reduction, pair = LOSSES[name]
    x = mapped(Value, pair.input)
    inputs = x if loss == "CosineEmbeddingLoss" else [x]
    y = getattr(nn, loss)(reduction=reduction, **pair.options)(*inputs, pair.target)
    engine.sum(part for _, part in numbers(y)).backward()
    # derivatives that are differences: they cancel where the loss is nearly flat
    cancels = loss in ("BCEWithLogitsLoss", "CosineEmbeddingLoss")
    assert_agree(data_of(y), figures[name]["value"], 1e-14)
    assert_agree(grads_of(x), figures[name]["gradient"], 1e-14, absolute=cancels)


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(figures: Figures, name: str, points: str) -> None:
    x = [Value(point) for point in POINTS[points]]
    y = activation(nn, name)(x)
    weighted(y).backward()
    actual = {"outputs": data_of(y), "gradient": grads_of(x)}
    # not to each number's own size: PyTorch's GELU cancels far below 0
    assert_agree(actual, figures[f"{name} {points}"], 1e-14, absolute=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(figures: Figures, name: str) -> None:
    model = NETWORKS[name](nn)
    model.load_state_dict(state_of(model))
    x = [Value(number) for number in EXAMPLE]
    y = model(x)
    weighted(y).backward()
    actual = {
        "outputs": data_of(y),
        "gradient": grads_of(x),
        "parameters": grads_of(dict(model.named_parameters())),
    }
    assert_agree(actual, figures[f"network {name}"], 1e-14, absolute=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_of_the_state(figures: Figures, name: str) -> None:
    assert list(NETWORKS[name](nn).state_dict()) == figures[f"form {name}"]["keys"]


@pytest.mark.parametrize("name", NETWORKS)
def test_repr(figures: Figures, name: str) -> None:
    assert repr(NETWORKS[name](nn)) == figures[f"form {name}"]["repr"]


def test_training_on_the_unit_circle(figures: Figures) -> None:
    X, y, model, rate = training()
    history = nn.fit(
        model,
        X,
        y,
        loss=nn.MSELoss(),
        optimizer=nn.SGD(model.parameters(), lr=rate),
        epochs=TRAINING_STEPS,
        path="scalar",
        progress=False,
    )
    # sums over the points are in another order, and every step carries the difference on
    assert_agree(history.step_loss, figures["training"], 1e-9)
