"""One neuron, of two inputs: a line through the plane, fitted to labelled points.

Two clouds of normal points are told apart by a single sigmoid neuron, a = σ(w·x + b), trained by
gradient descent on C = ½ Σ (a - y)². With `--activation linear` it is a = w·x + b, and the cost has
its least where linear algebra finds it without any descent: both are shown.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

import nn
from nn import plots
from nn.data import blobs, train_test_split
from nn.programs import Options, Report
from nn.programs import problem as common
from nn.programs.problem import Problem
from nn.programs.sigmoid_networks import HalfSquaredError, four_equations, make_model

SUMMARY = "one sigmoid or linear neuron on points in the plane, gradient descent"
OPTIONS = {
    "activation": {
        "choices": ("sigmoid", "linear"),
        "help": "of the neuron (default sigmoid)",
    }
}
POINTS, EPOCHS = 500, 1_000
LEARNING_RATE = 5e-3
CENTERS, SPREAD = [[-1.0, -0.5], [1.0, 0.5]], 0.8


def problem(options: Options) -> Problem:
    """Return what is trained: the neuron on four fifths of the points."""
    points = POINTS if options.points is None else options.points
    X, y = blobs(points, centers=CENTERS, std=SPREAD, seed=options.seed)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y[:, None], test_size=0.2, seed=options.seed
    )
    model = make_model([2, 1], random.Random(options.seed))
    rate = LEARNING_RATE
    if _is_linear(options):
        model = nn.Sequential(model[0])
        # where the cost curves most, steps longer than 2 / curvature would only grow
        rate = min(rate, 1.0 / float(np.linalg.norm(_with_ones(X_train), 2)) ** 2)
    return Problem(
        model,
        HalfSquaredError(),
        nn.SGD(model.parameters(), lr=rate),
        *(X_train, y_train, X_test, y_test),
        points,
        EPOCHS,
    )


def run(options: Options) -> Report:
    """Train the neuron, and say where its line is."""
    p = problem(options)
    linear = _is_linear(options)
    by_hand = None
    if not linear:
        by_hand = common.largest_difference(
            common.engine_gradients(p, p.X, p.y), four_equations(p.model, p.X, p.y)
        )
    history = p.fit(options)
    comparison = p.compare_paths()
    w1, w2, b = (v.data for v in p.model.parameters())
    figures = common.figures("neuron", p, options, history)
    figures |= {
        "activation": "linear" if linear else "sigmoid",
        "weights": [w1, w2],
        "bias": b,
        "least_squares": _least_squares(p.X, p.y) if linear else None,
        "four_equations_difference": by_hand,
        **common.compared(comparison),
    }
    text = [
        *common.lines(figures, comparison),
        f"the line   {w1:.3f} x1 {w2:+.3f} x2 {b - 0.5 * linear:+.3f} = 0",
    ]
    if linear:
        v1, v2, c = figures["least_squares"]
        text.append(f"solved     {v1:.3f} x1 {v2:+.3f} x2 {c - 0.5:+.3f} = 0, by linear algebra")
    else:
        text.append(
            f"by hand    the equations of backpropagation and the engine differ by {by_hand:.1e} "
            "of the largest entry"
        )
    pictures = [] if options.out is None else _draw(options.out, p, history)
    return Report(figures, "\n".join(text), pictures)


def _is_linear(options: Options) -> bool:
    return options.own.get("activation") == "linear"


def _with_ones(X: Any) -> Any:
    return np.column_stack([X, np.ones(len(X))])


def _least_squares(X: Any, y: Any) -> list[float]:
    """The two weights and the bias of the least cost."""
    return np.linalg.lstsq(_with_ones(X), y.ravel())[0].tolist()  # type: ignore[no-any-return]


def _draw(out: Path, p: Problem, history: nn.History) -> list[Path]:
    """Write the cost by step, and the line with the held-out points."""
    wrong = ((nn.predict(p.model, p.X_test) >= 0.5) != (p.y_test >= 0.5)).ravel()
    boundary = plots.decision_boundary(
        lambda grid: np.clip(nn.predict(p.model, grid), 0.0, 1.0),
        *(p.X_test, p.y_test),
        wrong=wrong,
        steps=200,
    )
    pictures = {
        "cost": (plots.loss_curve(history.loss), "Neuron: training cost"),
        "boundary": (boundary, "Neuron: held-out points"),
    }
    return common.saved(out, "neuron", pictures)
