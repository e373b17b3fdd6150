"""The blocks that networks are built of, each at work on numbers small enough to follow.

A linear layer and the activations, with what goes in and comes out; the losses on one prediction
each, at their edges too; and four optimisers on the same small task, from the same first weights:
a network 4-5-1 that learns a smooth function of four numbers, in batches of 20.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import engine
import nn
from nn import plots
from nn.programs import Options, Report
from nn.programs.problem import Problem, counted, finished, saved

SUMMARY = "layers, activations, losses and optimisers, one by one on small numbers"
POINTS, EPOCHS = 250, 50
BATCH = 20
OPTIMIZERS: dict[str, Callable[[Any], nn.Optimizer]] = {
    "SGD": lambda parameters: nn.SGD(parameters, lr=0.1),
    "Adam": lambda parameters: nn.Adam(parameters, lr=0.01),
    "RMSprop": lambda parameters: nn.RMSprop(parameters, lr=0.01),
    "Adagrad": lambda parameters: nn.Adagrad(parameters, lr=0.1),
}
ACTIVATIONS = (nn.ReLU(), nn.LeakyReLU(), nn.Sigmoid(), nn.Tanh(), nn.Softmax())
# Each loss with its input and target; the edge cases say so.
LOSSES: dict[str, tuple[nn.Loss, tuple[Any, ...]]] = {
    "MSELoss": (nn.MSELoss(), ([0.5, 2.0], [0.0, 1.0])),
    "L1Loss": (nn.L1Loss(), ([0.5, 2.0], [0.0, 1.0])),
    "CrossEntropyLoss, scores alike": (nn.CrossEntropyLoss(), ([1.0, 1.0, 1.0], 2)),
    "CrossEntropyLoss, sure and right": (nn.CrossEntropyLoss(), ([0.0, 0.0, 50.0], 2)),
    "NLLLoss": (nn.NLLLoss(), ([-0.5, -1.5, -1.7], 0)),
    "BCELoss, perfect": (nn.BCELoss(), ([0.0, 1.0], [0.0, 1.0])),
    "BCELoss, wrong": (nn.BCELoss(), ([1.0, 0.0], [0.0, 1.0])),
    "CosineEmbeddingLoss, same direction": (
        nn.CosineEmbeddingLoss(),
        ([[1.0, 2.0]], [[2.0, 4.0]], [1]),
    ),
    "CosineEmbeddingLoss, opposite": (
        nn.CosineEmbeddingLoss(),
        ([[1.0, 2.0]], [[-1.0, -2.0]], [1]),
    ),
}
PRINTED = 0.3864  # what a layer's output was in print, beside its tanh 0.3683


def problem(options: Options, optimizer: str = "Adam") -> Problem:
    """Return the small task, to be learnt with one of the OPTIMIZERS."""
    points = POINTS if options.points is None else options.points
    x = np.random.default_rng(options.seed).uniform(-1.0, 1.0, (points + points // 4, 4))
    y = np.sin(2.0 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] - 0.5 * x[:, 3:]
    rng = random.Random(options.seed)
    model = nn.Sequential(nn.Linear(4, 5, rng=rng), nn.Tanh(), nn.Linear(5, 1, rng=rng))
    return Problem(
        model,
        nn.MSELoss(),
        OPTIMIZERS[optimizer](model.parameters()),
        *(x[:points], y[:points], x[points:], y[points:]),
        points,
        EPOCHS,
        batch_size=BATCH,
        shuffle=True,
    )


def run(options: Options) -> Report:
    """Show every block, and let the optimisers learn the small task."""
    p = problem(options)
    linear, tanh = p.model[0], p.model[1]  # type: ignore[index]
    with engine.no_grad():
        before = [v.item() for v in linear(p.X[0])]
        pairs = [[z, tanh([z])[0]] for z in [PRINTED, *before]]
        activated = {str(a): a([-2.0, -0.5, 0.0, 0.5, 2.0]) for a in ACTIVATIONS}
        of_layer = {str(a): a(before) for a in ACTIVATIONS}
        each = nn.BCELoss(reduction="none")
        bce = {name: each(*LOSSES[name][1]) for name in ("BCELoss, perfect", "BCELoss, wrong")}
        # + 0.0: a loss of -0.0 is none
        losses = {name: float(loss(*inputs)) + 0.0 for name, (loss, inputs) in LOSSES.items()}
    histories, results = {}, {}
    first = p.model.state_dict()
    for name, make in OPTIMIZERS.items():
        p.model.load_state_dict(first)
        learning = replace(p, optimizer=make(p.model.parameters()))
        histories[name] = finished(learning.fit(options))
        results[name] = {"train_loss": p.train_loss(), "test_loss": p.test_loss()}
    figures = {
        "program": "building-blocks",
        "path": histories["Adam"].path,
        "seed": options.seed,
        "points": p.points,
        "epochs": p.epochs if options.epochs is None else options.epochs,
        "steps": sum(len(history.step_loss) for history in histories.values()),
        "seconds": round(sum(history.seconds for history in histories.values()), 3),
        **dict.fromkeys(("train_loss", "test_loss", "train_accuracy", "test_accuracy")),
        "batches": p.batches,
        "tanh_pairs": pairs,
        "activations": activated,
        "activations_of_layer": of_layer,
        "losses": losses,
        "losses_of_each": {name: [x + 0.0 for x in found] for name, found in bce.items()},
        "optimizers": results,
    }
    pictures = [] if options.out is None else _draw(options.out, histories)
    return Report(figures, _text(figures, linear), pictures)


def _text(figures: dict[str, Any], linear: nn.Module) -> str:
    lines = [
        f"{linear}: y = W x + b, W of shape (5, 4), b (5,); then Tanh()",
        *(f"  {z:7.4f} -> {a:7.4f}" for z, a in figures["tanh_pairs"]),
        f"  (the first pair is one in print: {PRINTED} -> 0.3683)",
    ]
    for key, of in (("_of_layer", "the layer's five sums"), ("", "-2, -0.5, 0, 0.5, 2")):
        lines.append(f"activations of {of}")
        for name, numbers in figures[f"activations{key}"].items():
            lines.append(f"  {name:32s} " + " ".join(f"{number:7.4f}" for number in numbers))
    lines.append("losses")
    lines += [f"  {name:36s} {loss:8.4f}" for name, loss in figures["losses"].items()]
    for name, found in figures["losses_of_each"].items():
        lines.append(f"  {name + ', of each':36s} " + " ".join(f"{loss:8.4f}" for loss in found))
    lines.append(
        f"optimisers, each {counted(figures['epochs'], 'epochs')} of "
        f"{counted(figures['batches'], 'batches')}: {counted(figures['points'], 'points')}, "
        f"{BATCH} in a batch; on the {figures['path']} path"
    )
    for name, result in figures["optimizers"].items():
        lines.append(
            f"  {name:8s} loss training {result['train_loss']:.5f}   "
            f"held out {result['test_loss']:.5f}"
        )
    return "\n".join(lines)


def _draw(out: Path, histories: dict[str, nn.History]) -> list[Path]:
    """Write the activations' graphs, and the optimisers' losses by epoch."""
    graphs = plots.new_axes()
    xs = np.linspace(-3.0, 3.0, 121)
    # softmax is of a list, not of a number; two are the same on the right
    for activation, style in zip(ACTIVATIONS[:-1], ("-", "--", "-", "-"), strict=True):
        with engine.no_grad():
            graphs.plot(xs, activation(xs.tolist()), style, label=type(activation).__name__)
    graphs.set(xlabel="x", ylabel="activation of x", ylim=(-1.2, 2.2))
    graphs.grid(alpha=0.3)
    graphs.legend(frameon=False)
    curves = plots.new_axes()
    for name, history in histories.items():
        style = "o-" if len(history.loss) == 1 else "-"
        curves.semilogy(range(1, len(history.loss) + 1), history.loss, style, label=name)
    curves.set(xlabel="epoch", ylabel="mean squared error")
    curves.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    curves.grid(alpha=0.3, which="both")
    curves.legend(frameon=False)
    pictures = {
        "activations": (graphs, "Activations"),
        "optimisers": (curves, "Four optimisers, one task"),
    }
    return saved(out, "building-blocks", pictures)
