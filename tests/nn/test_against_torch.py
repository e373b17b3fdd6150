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
from loss_cases import (
    LOSS_BATCH,
    LOSS_EPOCHS,
    LOSSES,
    TRAINED,
    called_with,
    has_parts,
    inputs_of,
    layers_of,
    moved_of,
    settings_of,
)
from oracle_cases import (
    ACTIVATED,
    EXAMPLE,
    NETWORKS,
    NORMS,
    TRAINING_STEPS,
    Figures,
    activation,
    either,
    mapped,
    nn_figures,
    numbers,
    state_of,
    training,
    weighted,
)

figures = either("nn_figures", nn_figures)


def assert_agree(actual: Any, expected: Any, tolerance: float, absolute: bool = False) -> None:
    """Every number to its own size; with `absolute`, to the size of the largest one."""
    found, wanted = dict(numbers(actual)), dict(numbers(expected))
    assert list(found) == list(wanted)
    sizes = [abs(x) for x in wanted.values() if math.isfinite(x)]
    scale = max(sizes, default=0.0) if absolute else 0.0
    for place, x in wanted.items():
        y = found[place]
        near = math.isclose(y, x, rel_tol=tolerance, abs_tol=tolerance * scale)
        near = near or (math.isnan(y) and math.isnan(x))
        assert near, f"{place} is {y!r}, expected {x!r}"


def data_of(item: Any) -> Any:
    return mapped(lambda y: y.data, item)


def grads_of(item: Any) -> Any:
    return mapped(lambda x: x.grad, item)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(figures: Figures, name: str) -> None:
    loss, reduction, pair = LOSSES[name]
    x = mapped(Value, pair.input)
    made = getattr(nn, loss)(reduction=reduction, **pair.options)
    y = made(*called_with(loss, x, pair.target))
    engine.sum(part for _, part in numbers(y)).backward()
    # derivatives that are differences: they cancel where the loss is nearly flat
    cancels = loss in ("BCEWithLogitsLoss", "CosineEmbeddingLoss", "CrossEntropyLoss")
    assert_agree(data_of(y), figures[name]["value"], 1e-14)
    assert_agree(grads_of(x), figures[name]["gradient"], 1e-14, absolute=cancels)


BATCHES = [  # what has examples along the first dimension
    name
    for name, (_, reduction, pair) in LOSSES.items()
    if reduction == "sum" and isinstance(pair.target, list) and "one" not in name.split()
]
# sums over a batch are compiled below, a batch at a time
COMPILED = [name for name in LOSSES if name not in BATCHES and " none " not in name]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_losses(figures: Figures, name: str) -> None:
    loss, reduction, pair = LOSSES[name]
    made = getattr(nn, loss)(reduction=reduction, **pair.options)
    program = engine.compile(lambda y, t: made(*called_with(loss, y, t)))
    value, gradient = program.value_and_grad(pair.input, pair.target)
    assert_agree(value, figures[name]["value"], 1e-14)
    assert_agree(gradient, figures[name]["gradient"], 1e-13, absolute=True)


@pytest.mark.parametrize("name", BATCHES)
def test_losses_compiled_for_a_batch(figures: Figures, name: str) -> None:
    loss, _, pair = LOSSES[name]
    made = getattr(nn, loss)(reduction="sum", **pair.options)
    parts = has_parts(loss)
    inputs, count = pair.input if parts else [pair.input], len(pair.target)
    each = [
        sum(x for _, x in numbers(row)) for row in figures[name.replace(" sum ", " none ")]["value"]
    ]
    total, slopes = figures[name]["value"], figures[name]["gradient"]
    expected = {
        None: (each, slopes),
        "sum": (total, slopes),
        "mean": (total / count, mapped(lambda x: x / count, slopes)),
    }
    for reduce, (value, gradient) in expected.items():
        options = {"in_axes": 0, "reduce": reduce, "argnums": tuple(range(len(inputs)))}
        program = engine.compile(
            lambda *given: made(*called_with(loss, given[:-1] if parts else given[0], given[-1])),
            **options,
        )
        found, found_gradient = program.value_and_grad(*inputs, pair.target)
        assert_agree(np.asarray(found).tolist(), value, 1e-14, absolute=True)
        gradients = [np.asarray(part).tolist() for part in found_gradient]
        assert_agree(gradients if parts else gradients[0], gradient, 1e-13, absolute=True)


@pytest.mark.parametrize("compiled", [False, True], ids=["on Values", "compiled"])
@pytest.mark.parametrize("name", ACTIVATED)
def test_activations(figures: Figures, name: str, compiled: bool) -> None:
    layer, points = ACTIVATED[name]
    made = activation(nn, layer)
    if compiled:
        outputs = engine.compile(made)(points)
        gradient = engine.compile(lambda x: weighted(made(x))).grad(points)
    else:
        x = [Value(point) for point in points]
        y = made(x)
        weighted(y).backward()
        outputs, gradient = data_of(y), grads_of(x)
    # not to each number's own size: PyTorch's GELU cancels far below 0
    actual = {"outputs": outputs, "gradient": gradient}
    assert_agree(actual, figures[name], 1e-14, absolute=True)


@pytest.mark.parametrize("name", NORMS)
def test_norms(figures: Figures, name: str) -> None:
    norm, settings, row = NORMS[name]
    layer, x = getattr(nn, norm)(len(row), **settings), [Value(number) for number in row]
    y = layer(x)
    weighted(y).backward()
    actual = {"outputs": y, "gradient": x, "weight": layer.weight}
    expected = figures[name]
    for part, read in (("outputs", data_of), ("gradient", grads_of), ("weight", grads_of)):
        # the mean is a difference of numbers that are much larger
        assert_agree(read(actual[part]), expected[part], 1e-11, absolute=True)


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


class Pairs(nn.Module):
    """Layers and their own input, as a loss of pairs takes them."""

    def __init__(self, layers: nn.Module) -> None:
        self.layers = layers

    def forward(self, x: Any) -> Any:
        return [self.layers(x), x]


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("name", TRAINED)
def test_training_by_every_loss(figures: Figures, name: str, path: str) -> None:
    training = TRAINED[name]
    layers = layers_of(nn, training)
    layers.load_state_dict(state_of(layers))
    model = Pairs(layers) if training.last == "pairs" else layers
    history = nn.fit(
        model,
        inputs_of(name),
        training.targets,
        loss=getattr(nn, training.loss)(reduction=training.reduction, **training.options),
        optimizer=nn.SGD(moved_of(layers, training), **settings_of(training)),
        epochs=LOSS_EPOCHS,
        batch_size=LOSS_BATCH,
        path=path,
        progress=False,
        **training.told,
    )
    found = [*history.step_loss, *[p.data for p in model.parameters()]]
    assert_agree(found, figures[f"training by {name}"], 1e-10, absolute=True)


def test_no_loss_is_left_out() -> None:
    losses = {name for name in vars(nn) if name.endswith("Loss") and name != "Loss"}
    assert losses == {loss for loss, _, _ in LOSSES.values()}
    assert losses == {training.loss for training in TRAINED.values()}
