"""Losses, layers and training against PyTorch's figures, frozen and live."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
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


def blocks(framework: Any) -> Any:
    """A model of one's own, with modules in a list, alike and not."""

    class Blocks(framework.Module):
        def __init__(self) -> None:
            super().__init__()
            alike = [framework.Linear(3, 3) for _ in range(3)]
            self.blocks = framework.ModuleList([*alike, framework.Sequential(framework.SiLU())])
            self.blocks.append(framework.RMSNorm(3)).insert(1, framework.Tanh())
            self.head = framework.Linear(3, 2, bias=False)

        def forward(self, x: Any) -> Any:
            for block in self.blocks[1:]:
                x = block(x)
            return self.head(self.blocks[0](x))

    return Blocks()


def tied(framework: Any) -> Any:
    """A model with one parameter under two names."""
    first, last = framework.Embedding(5, 3), framework.Linear(3, 5)
    last.weight = first.weight
    return framework.Sequential(first, framework.LayerNorm(3), framework.Dropout(0.5), last)


POINTS_OF_3 = np.random.default_rng(0).normal(size=(4, 3))
# Models by what they are given: points of three numbers, pictures, or sequences of tokens.
EXCHANGED: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    **{name: (make, POINTS_OF_3) for name, make in NETWORKS.items()},
    "blocks": (blocks, POINTS_OF_3),
    "tied": (tied, np.array([[0, 4, 2], [1, 1, 3]])),
    "pictures": (
        lambda framework: framework.Sequential(
            framework.Flatten(), framework.Linear(6, 4), framework.ReLU(), framework.Linear(4, 2)
        ),
        np.random.default_rng(1).normal(size=(3, 2, 3)),
    ),
}


@pytest.mark.oracle
@pytest.mark.parametrize("name", EXCHANGED)
def test_states_go_to_pytorch_and_back(name: str) -> None:
    torch = pytest.importorskip("torch")
    make, X = EXCHANGED[name]
    ours, theirs = make(nn).eval(), make(torch.nn).double().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict()) and repr(ours) == repr(theirs)
    assert [key for key, _ in ours.named_modules()] == [key for key, _ in theirs.named_modules()]
    nn.init.normal_(ours.parameters(), rng=random.Random(0))

    def assert_alike() -> None:
        with torch.no_grad():
            expected = theirs(torch.tensor(X)).numpy()
        assert nn.predict(ours, X) == pytest.approx(expected, rel=1e-12, abs=1e-12)

    theirs.load_state_dict({k: torch.tensor(array) for k, array in ours.state_dict().items()})
    assert_alike()
    with torch.no_grad():
        for p in theirs.parameters():
            p.mul_(-0.5)
    ours.load_state_dict(theirs.state_dict())
    assert_alike()


@pytest.mark.oracle
def test_pytorch_reads_a_saved_model(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file  # which imports torch

    ours, theirs = tied(nn).eval(), tied(torch.nn).double().eval()
    nn.save(ours, tmp_path / "model.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "model.safetensors"))
    with torch.no_grad():
        expected = theirs(torch.tensor([[0, 1, 2]])).numpy()
    assert nn.predict(ours, [[0, 1, 2]]) == pytest.approx(expected, rel=1e-12, abs=1e-12)


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
