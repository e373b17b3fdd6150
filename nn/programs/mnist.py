"""Handwritten digits by a network 784-50-10, ReLU between, trained with Adam in batches of 64.

The cost is the cross-entropy of the ten scores; or, with `--cost logistic`, the classical formula
with a logistic cost for each class and a term over the weights, of m examples and K classes,

    J = -1/m Σ_i Σ_k [y_ik log h_ik + (1 - y_ik) log(1 - h_ik)] + λ/2m Σ w²,

h being the sigmoid of a score, w all weights but no biases, and λ = 1.

The published figure, 96.1 %, is of a program that makes a new Adam in every step. An Adam that has
seen a single gradient g steps by lr g / (|g| + ε): by the sign of each entry, alike for the
large and the small. Kept from step to step it averages, and its steps shrink where gradients change
their sign. Both are shown after one epoch from the same weights. (The former is run as an Adam with
betas (0, 0), which is the same: nothing of the past counts.)
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

import engine
import nn
from nn import plots
from nn.data import one_hot
from nn.programs import Options, Report
from nn.programs import problem as common
from nn.programs.handwritten import DATA_OPTION, Digits, handwritten, note_lines
from nn.programs.problem import Problem

SUMMARY = "handwritten digits, 784-50-10, cross-entropy, Adam in batches of 64"
OPTIONS = {
    "data": DATA_OPTION,
    "cost": {
        "choices": ("cross-entropy", "logistic"),
        "help": "of the scores (default cross-entropy)",
    },
}
POINTS, EPOCHS = None, 10  # all points that there are
HIDDEN, CLASSES, BATCH = 50, 10, 64
LEARNING_RATE, L2 = 1e-3, 1.0
NO_MEMORY = (0.0, 0.0)  # the betas with which each step is an Adam's first
PUBLISHED = "96.1 % of the validation digits, by a new Adam in every step"


class LogisticCost(nn.BCEWithLogitsLoss):
    """The logistic cost of each class, summed over the classes; the mean is over the examples.

    >>> f"{LogisticCost()([[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]):.4f}"
    '1.3863'
    """

    def weighed(self, output: Any, target: Any) -> Any:
        """Return the sum over a list of scores, with the weight 1."""
        pairs = super().weighed(output, target)
        if not isinstance(output, list) or isinstance(output[0], list):
            return pairs
        return engine.sum([term for term, _ in pairs]), 1.0


def make_model(pixels: int, rng: random.Random) -> nn.Sequential:
    """Return the network, with PyTorch's first weights for such layers."""
    return nn.Sequential(
        nn.Linear(pixels, HIDDEN, rng=rng), nn.ReLU(), nn.Linear(HIDDEN, CLASSES, rng=rng)
    )


def problem(options: Options) -> Problem:
    """Return what is trained."""
    return problem_of(handwritten(options), options)


def problem_of(found: Digits, options: Options) -> Problem:
    """Return what is trained on so many of some digits; at most as many are held out."""
    X, y = found.X[: options.points], found.y[: options.points]
    X_test, y_test = found.X_test[: options.points], found.y_test[: options.points]
    loss: nn.Loss = nn.CrossEntropyLoss()
    l2 = 0.0
    if options.own.get("cost") == "logistic":
        loss, l2 = LogisticCost(), L2 / len(X)
        y, y_test = one_hot(y, CLASSES), one_hot(y_test, CLASSES)
    model = make_model(X.shape[1], random.Random(options.seed))
    return Problem(
        model,
        loss,
        nn.Adam(model.parameters(), lr=LEARNING_RATE),
        *(X, y, X_test, y_test),
        len(X),
        EPOCHS,
        batch_size=BATCH,
        shuffle=True,
        dtype="float32",
        l2=l2,
    )


def run(options: Options) -> Report:
    """Train the network, look at its accuracy after each epoch, and at an Adam without memory."""
    found = handwritten(options)
    p = problem_of(found, options)
    first = p.model.state_dict()
    history = p.fit(options, validation_data=(p.X_test, p.y_test), metrics=[nn.metrics.accuracy])
    by_epoch = history.metrics.get("val_accuracy", [])
    figures = common.figures("mnist", p, options, history)
    pictures = [] if options.out is None else _draw(options.out, p, found, history)
    anew = None
    if by_epoch and not history.stopped:
        anew = _without_memory(p, first, options)
    weights = [array for name, array in p.model.state_dict().items() if name.endswith("weight")]
    weights_cost = 0.5 * p.l2 * sum(float(np.square(array).sum()) for array in weights)
    figures |= {
        "data": found.source,
        "cost": options.own.get("cost", "cross-entropy"),
        "lambda": p.l2 * len(p.X),
        "weights_cost": weights_cost,
        "test_accuracy_by_epoch": by_epoch,
        "new_adam_every_step": anew,
    }
    text = [*note_lines(found), *common.data_lines(p), *common.lines(figures)]
    text.append(
        f"cost J     {figures['cost']} {figures['train_loss']:.5f} + λ/2m Σ w² {weights_cost:.5f}, "
        f"with λ = {figures['lambda']:g}"
    )
    text += [f"epoch {k:4d} held out {100 * share:.2f} %" for k, share in enumerate(by_epoch, 1)]
    if anew is not None:
        text.append(
            f"one epoch  with Adam kept {100 * by_epoch[0]:.2f} % held out; with a new Adam in "
            f"every step {100 * anew:.2f} %"
        )
    if found.source == "MNIST":
        text.append(f"published  {PUBLISHED}")
    return Report(figures, "\n".join(text), pictures)


def _without_memory(p: Problem, first: dict[str, Any], options: Options) -> float:
    """The held-out accuracy after one epoch, where every step is an Adam's first."""
    trained = p.model.state_dict()
    p.model.load_state_dict(first)
    adam = nn.Adam(p.model.parameters(), lr=LEARNING_RATE, betas=NO_MEMORY)
    p.fit(options, optimizer=adam, epochs=1, progress=False)
    share = p.test_accuracy()
    p.model.load_state_dict(trained)
    return share


def _draw(out: Path, p: Problem, found: Digits, history: nn.History) -> list[Path]:
    """Write the accuracies by epoch, which digits are taken for which, and the weights."""
    train, test = (history.metrics.get(name, []) for name in ("accuracy", "val_accuracy"))
    curve = plots.accuracy_curve(history.evaluated, train, test)
    predicted = nn.predict(p.model, p.X_test)
    matrix = plots.confusion_matrix(nn.metrics.confusion_matrix(p.y_test, predicted))
    images = plots.weight_images(p.model.state_dict()["0.weight"], found.shape)
    network = nn.draw_network(p.model, p.X_test[0], shape=found.shape)
    digits = f"Digits of {found.source}"
    pictures = {
        "accuracy": (curve, f"{digits}: accuracy"),
        "confusion": (matrix, f"{digits}: held out"),
        "weights": (images, "What each of the 50 hidden units looks for"),
        "network": (network, f"{digits}: the network, on a {found.y_test[0]:.0f}"),
    }
    return common.saved(out, "mnist", pictures)
