"""The cases that are compared with PyTorch, and PyTorch's figures for them.

A case is defined here once, as data or as a function of the framework (`nn` or `torch.nn`). The
tests compute it with gradloom; the figures come from data/*.json, where data/make_oracles.py has
frozen them, or from PyTorch in the same process. PyTorch is an argument, never an import: the
tests of the frozen figures do without it.
"""

from __future__ import annotations

import inspect
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nn
import random_graphs
from convolution_cases import convolution_figures
from engine.ops import TABLE
from loss_cases import LOSSES, TRAINED, loss_figure, trained_figure
from nn.data import unit_circle
from nn.programs.unit_circle import LEARNING_RATE, make_model
from optimizer_cases import optimizer_figures

DATA = Path(__file__).parent / "data"
Figures = dict[str, Any]  # by the name of a case; nested lists and dicts of numbers


def frozen(name: str) -> Figures:
    """Read the figures of a file in data."""
    figures: Figures = json.loads((DATA / f"{name}.json").read_text())
    return figures


def either(name: str, live: Callable[[Any], Figures]) -> Any:
    """Return a fixture of PyTorch's figures, by the names of the cases: those of a file, and, where
    oracles are asked, those that `live` makes with PyTorch."""
    import pytest  # which those who write the files need not have

    params = ["frozen", pytest.param("live", marks=pytest.mark.oracle)]

    @pytest.fixture(params=params, scope="module")
    def figures(request: Any) -> Figures:
        return frozen(name) if request.param == "frozen" else live(pytest.importorskip("torch"))

    return figures


def mapped(function: Callable[[Any], Any], item: Any) -> Any:
    """Return nested lists and dicts with a function applied to what is inside."""
    if isinstance(item, dict):
        return {key: mapped(function, part) for key, part in item.items()}
    return [mapped(function, part) for part in item] if isinstance(item, list) else function(item)


def numbers(item: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what nested lists and dicts hold, with its place, such as "gradient[2]"."""
    if isinstance(item, dict | list):
        parts = item.items() if isinstance(item, dict) else enumerate(item)
        for key, part in parts:
            yield from numbers(part, f"{name}.{key}" if isinstance(key, str) else f"{name}[{key}]")
    else:
        yield name.removeprefix("."), item


# --- random graphs --------------------------------------------------------------------------

SEEDS = range(1000)
_REDRAWN = 0.02  # the share of seeds of which the first graph may be unsuitable


def graph_figures(torch: Any) -> Figures:
    """For each seed the first suitable graph, with PyTorch's value and gradient.

    A graph is unsuitable where PyTorch's own float64 error is too large for a comparison with a
    tenth of the tolerance, or where nothing depends on the inputs. "rows" are the operations that
    were drawn from: a row that is added to the table later does not change the graphs. The special
    functions are none of them, since PyTorch's trigamma has nine digits (see `findings`), nor is
    log1mexp, which it lacks.
    """
    others = {op.name for op in TABLE.values() if op.family == "special"} | {"log1mexp"}
    rows = [name for name in random_graphs.ROWS if name not in others]
    figures: Figures = {"rows": rows}
    for seed in SEEDS:
        for offset in itertools.count():
            graph = random_graphs.random_graph(seed, offset, rows)
            value, *gradient = random_graphs.torch_figures(torch, graph)
            exact = random_graphs.extended_figures(graph)
            small = random_graphs.TOLERANCE / 10
            unsound = random_graphs.disagreement([value, *gradient], exact, small)
            if any(gradient) and not unsound:
                break
        figures[str(seed)] = {"offset": offset, "value": value, "gradient": gradient}
    redrawn = [seed for seed in SEEDS if figures[str(seed)]["offset"]]
    if len(redrawn) > _REDRAWN * len(SEEDS):  # then PyTorch's functions and mpmath's differ
        raise AssertionError(f"too many seeds were drawn again: {redrawn}")
    return figures


# --- layers ---------------------------------------------------------------------------------

# Every layer that needs no arguments is an activation, but for these.
_NO_ACTIVATIONS = (nn.Activation, nn.Dropout, nn.Flatten)
ACTIVATIONS = [
    name
    for name, layer in vars(nn.layers).items()
    if inspect.isclass(layer)
    and issubclass(layer, nn.Module)
    and layer.__module__ == nn.layers.__name__
    and layer not in _NO_ACTIVATIONS
    and not name.startswith("_")
    and all(
        p.default is not p.empty or p.kind is p.VAR_POSITIONAL
        for p in inspect.signature(layer).parameters.values()
    )
]
# Two functions each, so that the large numbers of one do not hide errors of the other.
POINTS = {
    "near": [-2.0, -1.0, -0.5, -1e-3, -1e-9, 0.0, 1e-9, 1e-3, 0.5, 1.0, 2.0],
    "far": [-800.0, -40.0, -20.5, -19.5, -5.0, 5.0, 19.5, 20.0, 20.5, 40.0, 800.0],
    "farther": [-745.2, -710.0, -38.0, -8.5, -8.29, 8.29, 20.0 + 2.0**-48, 30.0, 709.0, 1000.0],
    "infinite": [-math.inf, math.inf, -0.0, 5e-324, -1e-300],
}
# Rows of scores for the functions of a list, of which none is inf: that is nan in PyTorch.
SCORES = [
    [-math.inf, 0.0, 1.0],
    [-math.inf, -math.inf, 2.0],
    [1e3, 0.0, -1e3],
    [5.0, 5.0, 5.0],
    [1e308, -1e308],
    [-745.0, 0.0],
    [3.0],
]
_OF_LISTS = ("Softmax", "LogSoftmax")
ACTIVATED = {  # an activation and where it is computed; a number at a time, or a row of scores
    **{
        f"{name} {points}": (name, POINTS[points])
        for name in ACTIVATIONS
        for points in POINTS
        if not (name in _OF_LISTS and points == "infinite")
    },
    **{f"{name} of {scores}": (name, scores) for name in _OF_LISTS for scores in SCORES},
}
NORMS = {  # a norm, its settings, and what it is of: constant, tiny, large, one number
    f"{name}({settings}) of {row}": (name, settings, row)
    for name in ("LayerNorm", "RMSNorm")
    for settings in ({}, {"eps": 1e-12})
    for row in (
        [5.0, 5.0, 5.0],
        [0.0, 0.0, 0.0],
        [1e-200, 0.0, -1e-200],
        [1e-6, 0.0, -1e-6],
        [1e100, -1e100, 0.0],
        [1e4, 1e4 + 1.0, 1e4 - 1.0],
        [3.0],
    )
}


def activation(framework: Any, name: str) -> Any:
    """Make an activation layer of either framework."""
    layer = getattr(framework, name)
    # PyTorch warns where a softmax is not told along what
    return layer(dim=-1) if name in ("Softmax", "LogSoftmax") else layer()


def weighted(outputs: Any) -> Any:
    """A number that depends on each output differently (the sum of a softmax is constant)."""
    return sum((i + 1.0) * y for i, y in enumerate(outputs))


def activation_figure(torch: Any, name: str) -> Any:
    layer, points = ACTIVATED[name]
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    y = activation(torch.nn, layer)(x)
    weighted(y).backward()
    return {"outputs": y.tolist(), "gradient": x.grad.tolist()}


def norm_figure(torch: Any, name: str) -> Any:
    norm, settings, row = NORMS[name]
    x = torch.tensor(row, dtype=torch.float64, requires_grad=True)
    layer = getattr(torch.nn, norm)(len(row), **settings).double()
    y = layer(x)
    weighted(y).backward()
    weight = layer.weight.grad.tolist()
    return {"outputs": y.tolist(), "gradient": x.grad.tolist(), "weight": weight}


NETWORKS: dict[str, Callable[[Any], Any]] = {
    **{
        name: lambda framework, name=name: framework.Sequential(
            framework.Linear(3, 4), activation(framework, name), framework.Linear(4, 2)
        )
        for name in ACTIVATIONS
    },
    "one layer": lambda framework: framework.Linear(3, 2),
    "no bias": lambda framework: framework.Sequential(
        framework.Linear(3, 4, bias=False), framework.Tanh(), framework.Linear(4, 2, bias=False)
    ),
    "nested": lambda framework: framework.Sequential(
        framework.Linear(3, 3),
        framework.Sequential(framework.ReLU(), framework.Sequential(framework.Linear(3, 2))),
        framework.Sequential(framework.LeakyReLU(0.2), framework.ELU(0.5)),
        framework.Softplus(beta=2.0, threshold=5.0),
    ),
    "norms": lambda framework: framework.Sequential(
        framework.LayerNorm(3),
        framework.Linear(3, 4),
        framework.LayerNorm(4, bias=False),
        framework.RMSNorm(4),
        framework.Linear(4, 4),
        framework.RMSNorm((4,), eps=1e-2, elementwise_affine=False),
        framework.LayerNorm([4], eps=1e-3, elementwise_affine=False),
        framework.Linear(4, 2),
        framework.Dropout(0.0),
    ),
}
EXAMPLE = [0.7, -1.3, 0.4]


def state_of(model: Any) -> dict[str, Any]:
    """Numbers for the parameters of a model of either framework, by their names, in order."""
    rng = random.Random(1)

    def drawn(shape: tuple[int, ...]) -> Any:
        return [drawn(shape[1:]) for _ in range(shape[0])] if shape else rng.gauss(0.0, 1.0)

    return {key: drawn(tuple(array.shape)) for key, array in model.state_dict().items()}


def network_figure(torch: Any, name: str) -> Any:
    model = NETWORKS[name](torch.nn).double()
    state = state_of(model)
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in state.items()})
    x = torch.tensor(EXAMPLE, dtype=torch.float64, requires_grad=True)
    y = model(x)
    weighted(y).backward()
    return {
        "outputs": y.tolist(),
        "gradient": x.grad.tolist(),
        "parameters": {key: p.grad.tolist() for key, p in model.named_parameters()},
    }


def form_figure(torch: Any, name: str) -> Any:
    model = NETWORKS[name](torch.nn)
    return {"keys": list(model.state_dict()), "repr": repr(model)}


# --- training -------------------------------------------------------------------------------

TRAINING_POINTS, TRAINING_STEPS = 200, 20


def training() -> tuple[Any, Any, nn.Sequential, float]:
    """The points and labels, the model with its first weights, and the learning rate."""
    return (*unit_circle(TRAINING_POINTS, 0), make_model(random.Random(0)), LEARNING_RATE)


def training_figure(torch: Any) -> Any:
    X, y, ours, rate = training()
    X, y = torch.tensor(X), torch.tensor(y)
    model = torch.nn.Sequential(
        *[
            torch.nn.Linear(layer.in_features, layer.out_features)
            if isinstance(layer, nn.Linear)
            else getattr(torch.nn, type(layer).__name__)()
            for layer in ours.children()
        ]
    ).double()
    model.load_state_dict({key: torch.tensor(v) for key, v in ours.state_dict().items()})
    loss, optimizer = torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=rate)
    losses = []
    for _ in range(TRAINING_STEPS):
        optimizer.zero_grad()
        step_loss = loss(model(X), y)
        step_loss.backward()
        optimizer.step()
        losses.append(step_loss.item())
    return losses


# --- all of nn ------------------------------------------------------------------------------


def nn_figures(torch: Any) -> Figures:
    """PyTorch's figures for all cases of nn, by their names."""
    return {
        **{name: loss_figure(torch, name) for name in LOSSES},
        **{name: activation_figure(torch, name) for name in ACTIVATED},
        **{name: norm_figure(torch, name) for name in NORMS},
        **{f"network {name}": network_figure(torch, name) for name in NETWORKS},
        **{f"form {name}": form_figure(torch, name) for name in NETWORKS},
        "training": training_figure(torch),
        **{f"training by {name}": trained_figure(torch, name, state_of) for name in TRAINED},
    }


FILES: dict[str, Callable[[Any], Figures]] = {
    "random_graphs": graph_figures,
    "nn_figures": nn_figures,
    "convolution_figures": lambda torch: convolution_figures(torch, state_of),
    "optimizer_figures": optimizer_figures,
}
