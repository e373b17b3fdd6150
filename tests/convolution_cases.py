"""The cases of convolutions and pooling that are compared with PyTorch, for `oracle_cases`.

A case is a layer with its settings and the shape of an example, or a model that is trained. PyTorch
is an argument, never an import.
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable
from typing import Any

State = Callable[[Any], dict[str, Any]]

# --- layers ---------------------------------------------------------------------------------

_SETTINGS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...]]]] = {
    "Conv1d": [
        ((1, 1, 1), {}, (1, 1)),
        ((2, 3, 3), {}, (2, 7)),
        ((2, 4, 2, 2, 1, 2, 2), {}, (2, 6)),
        ((1, 2, 4), {"padding": "same"}, (1, 5)),  # one more zero behind than before
        ((1, 2, 4), {"padding": "same", "dilation": 2, "bias": False}, (1, 3)),
        ((1, 1, 3), {"padding": 5}, (1, 2)),  # windows that see nothing but padding
        ((2, 2, 3), {"padding": "valid", "stride": (2,)}, (2, 8)),
        ((1, 1, 3), {"padding": 2, "padding_mode": "circular"}, (1, 4)),
    ],
    "Conv2d": [
        ((1, 2, 3), {}, (1, 5, 4)),
        ((3, 2, (2, 3)), {"bias": False}, (3, 3, 3)),
        ((2, 2, 3), {"padding": 1}, (2, 3, 4)),
        ((2, 3, 2), {"stride": (1, 2), "padding": (0, 1)}, (2, 3, 3)),
        ((1, 1, (3, 2)), {"dilation": (1, 3), "padding": "same"}, (1, 4, 3)),
        ((4, 4, 2), {"groups": 2}, (4, 3, 3)),
        ((3, 6, 2), {"groups": 3, "stride": 2, "padding": 1}, (3, 2, 3)),
        ((1, 1, 3), {"padding": 2, "padding_mode": "reflect"}, (1, 3, 4)),
        ((1, 1, 3), {"padding": (3, 1), "padding_mode": "replicate"}, (1, 2, 2)),
        ((1, 1, 3), {"padding": 2, "padding_mode": "circular"}, (1, 2, 3)),
        ((1, 1, 2), {"padding": "same", "padding_mode": "reflect"}, (1, 3, 2)),
    ],
    "MaxPool1d": [
        ((2,), {}, (2, 5)),
        ((3, 1, 1), {}, (1, 4)),
        ((3, 2), {"ceil_mode": True}, (1, 6)),
        ((2, 3), {"ceil_mode": True, "dilation": 2}, (1, 7)),
    ],
    "MaxPool2d": [
        ((2,), {}, (2, 5, 4)),
        (((3, 2), 2, 1), {}, (1, 4, 5)),
        ((2,), {"stride": (1, 2), "dilation": (2, 1)}, (1, 4, 4)),
        ((3,), {"ceil_mode": True}, (2, 2, 4)),  # a window larger than the picture
        ((2, 2, 1), {"ceil_mode": True}, (1, 4, 3)),  # none that begins in the padding
    ],
    "AvgPool1d": [
        ((2,), {}, (2, 5)),
        ((3, 2, 1), {}, (1, 6)),
        ((3, 2, 1), {"count_include_pad": False}, (1, 6)),
        ((3, 2, 1), {"ceil_mode": True}, (1, 5)),
    ],
    "AvgPool2d": [
        ((2,), {}, (2, 5, 4)),
        (((2, 3), 1, (1, 0)), {}, (1, 3, 4)),
        ((3, 2, 1), {"ceil_mode": True}, (1, 4, 5)),
        ((3, 2, 1), {"ceil_mode": True, "count_include_pad": False}, (1, 4, 5)),
        ((2,), {"divisor_override": 3}, (1, 2, 4)),
    ],
}
LAYERS = {
    f"{name}{arguments} {settings} of {shape}": (name, arguments, settings, shape)
    for name, cases in _SETTINGS.items()
    for arguments, settings, shape in cases
}
# What PyTorch refuses as well: when it is made, or of an example of the shape.
REFUSED: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "channels": ("Conv2d", (3, 1, 2), {}, (1, 4, 4)),
    "too small": ("Conv2d", (1, 1, 3), {}, (1, 2, 4)),
    "too small to pool": ("MaxPool2d", (3,), {}, (1, 4, 2)),
    "one channel without its list": ("Conv2d", (1, 1, 3), {}, (4, 4)),
    "groups of inputs": ("Conv1d", (3, 2, 1), {"groups": 2}, ()),
    "groups of outputs": ("Conv1d", (2, 3, 1), {"groups": 2}, ()),
    "same, in strides": ("Conv2d", (1, 1, 3, 2), {"padding": "same"}, ()),
    "a name for padding": ("Conv2d", (1, 1, 3), {"padding": "full"}, ()),
    "padding_mode": ("Conv2d", (1, 1, 3), {"padding_mode": "constant"}, ()),
    "three sizes": ("Conv2d", (1, 1, (3, 3, 3)), {}, (1, 4, 4)),
    "reflected twice": ("Conv1d", (1, 1, 3), {"padding": 2, "padding_mode": "reflect"}, (1, 2)),
    "wrapped twice": ("Conv1d", (1, 1, 3), {"padding": 3, "padding_mode": "circular"}, (1, 2)),
    "more than half a window": ("MaxPool2d", (3, 1, 2), {}, (1, 4, 4)),
    "no divisor": ("AvgPool2d", (2,), {"divisor_override": 0}, (1, 4, 4)),
    "no stride": ("AvgPool1d", (2, 0), {}, (1, 4)),
}


def drawn(rng: random.Random, *shape: int) -> Any:
    """Nested lists of numbers, of which some are equal: pooling meets ties."""
    if shape:
        return [drawn(rng, *shape[1:]) for _ in range(shape[0])]
    return rng.choice([rng.gauss(0.0, 1.0), 0.0, 1.0])


def example_of(name: str) -> Any:
    """The example that a layer's case is about."""
    return drawn(random.Random(name), *LAYERS[name][3])


def layer_of(framework: Any, name: str) -> Any:
    """The layer of a case, in either framework."""
    layer, arguments, settings, _ = LAYERS[name]
    return getattr(framework, layer)(*arguments, **settings)


def flat(x: Any) -> list[Any]:
    """What nested lists hold."""
    return [y for part in x for y in flat(part)] if isinstance(x, list) else [x]


def weighted(numbers: Any) -> Any:
    """A sum to which each number contributes differently."""
    return sum((i % 7 + 1.0) * y for i, y in enumerate(numbers))


def layer_figure(torch: Any, name: str, state_of: State) -> Any:
    """The outputs, and the gradients of their weighted sum."""
    layer = layer_of(torch.nn, name).double()
    load(torch, layer, state_of(layer))
    x = torch.tensor(example_of(name), dtype=torch.float64, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of padding that costs a copy
        y = layer(x)
    weighted(y.flatten()).backward()
    return {
        "repr": repr(layer),
        "outputs": y.tolist(),
        "gradient": x.grad.tolist(),
        "parameters": {key: p.grad.tolist() for key, p in layer.named_parameters()},
    }


def load(torch: Any, model: Any, state: dict[str, Any]) -> None:
    """Give a model of PyTorch's the numbers of a state."""
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in state.items()})


# --- training -------------------------------------------------------------------------------

EXAMPLES, BATCH, EPOCHS = 13, 5, 10  # 30 steps
TRAINED: dict[str, tuple[Callable[[Any], list[Any]], tuple[int, ...]]] = {
    "pictures": (
        lambda f: [
            *(f.Conv2d(1, 2, 3), f.ReLU(), f.MaxPool2d(2)),
            *(f.Flatten(), f.Linear(8, 3)),
        ],
        (1, 6, 6),
    ),
    "padded pictures, deeper": (
        lambda f: [
            *(f.Conv2d(2, 3, 3, padding=1), f.Tanh(), f.AvgPool2d(2, ceil_mode=True)),
            *(f.Conv2d(3, 2, 2, padding="same", groups=1), f.ReLU(), f.MaxPool2d(3, 1, 1)),
            *(f.Flatten(), f.Linear(18, 3)),
        ],
        (2, 5, 5),
    ),
    "strides, groups and dilation": (
        lambda f: [
            *(f.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False), f.LeakyReLU()),
            *(f.Conv2d(4, 2, 2, dilation=2, padding=1, padding_mode="reflect"), f.Tanh()),
            *(f.Flatten(), f.Linear(18, 3)),
        ],
        (2, 6, 5),
    ),
    "signals": (
        lambda f: [
            *(f.Conv1d(2, 3, 3, padding=1), f.Tanh(), f.MaxPool1d(2)),
            *(f.Conv1d(3, 2, 2), f.AvgPool1d(2), f.Flatten(), f.Linear(2, 3)),
        ],
        (2, 7),
    ),
}


def model_of(framework: Any, name: str) -> Any:
    """The model that is trained, in either framework."""
    return framework.Sequential(*TRAINED[name][0](framework))


def data_of(name: str) -> tuple[list[Any], list[int]]:
    """Examples and their classes."""
    rng = random.Random(name)
    X = [drawn(rng, *TRAINED[name][1]) for _ in range(EXAMPLES)]
    return X, [rng.randrange(3) for _ in X]


SETTINGS = {"lr": 0.02, "momentum": 0.9}  # of stochastic gradient descent


def trained_figure(torch: Any, name: str, state_of: State) -> list[float]:
    """The loss of every update, and then the parameters."""
    model = model_of(torch.nn, name).double()
    load(torch, model, state_of(model))
    X, y = data_of(name)
    X, y = torch.tensor(X, dtype=torch.float64), torch.tensor(y)
    loss, losses = torch.nn.CrossEntropyLoss(), []
    optimizer = torch.optim.SGD(model.parameters(), **SETTINGS)
    for _, first in itertools.product(range(EPOCHS), range(0, EXAMPLES, BATCH)):
        optimizer.zero_grad()
        step_loss = loss(model(X[first : first + BATCH]), y[first : first + BATCH])
        step_loss.backward()
        optimizer.step()
        losses.append(step_loss.item())
    return [*losses, *[number for p in model.parameters() for number in p.flatten().tolist()]]


def convolution_figures(torch: Any, state_of: State) -> dict[str, Any]:
    """PyTorch's figures for all cases, by their names."""
    return {
        **{name: layer_figure(torch, name, state_of) for name in LAYERS},
        **{f"training on {name}": trained_figure(torch, name, state_of) for name in TRAINED},
    }
