"""Two noisy circles, one within the other, told apart by a network 2-10-2 of sigmoids.

500 points, half of them on the unit circle and half on the one of radius 0.8, each moved by a
normal step of standard deviation 0.1. The circles overlap: the best rule there is, the distance
from the origin against a threshold near 0.9, is right on 84 % of such points. The cost is
C = ½ Σ (a - y)², summed over the examples, with a one-hot target for the two outputs; 10,000 steps
of gradient descent, full batch; the model that was best on the training points is kept.

The gradients on this network are also computed by the four equations of backpropagation
(`sigmoid_networks.four_equations`), and compared with the engine's.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import nn
from nn import plots
from nn.data import circles, one_hot, train_test_split
from nn.programs import Options, Report
from nn.programs import problem as common
from nn.programs.problem import Problem, Watched
from nn.programs.sigmoid_networks import HalfSquaredError, four_equations, make_model

SUMMARY = "two noisy circles, 2-10-2 of sigmoids, gradient descent on a sum of squares"
POINTS, EPOCHS = 500, 10_000
LEARNING_RATE = 5e-3
LOOK, TELL = 100, 1_000  # steps from one look at the accuracies to the next, and between lines
PUBLISHED = "training 51.2, 85.0, 86.0, … 87.2 %; best 87.5 %, held out 83 %"


def problem(options: Options) -> Problem:
    """Return what is trained: the network on four fifths of the points."""
    points = POINTS if options.points is None else options.points
    X, y = circles(points, noise=0.1, factor=0.8, seed=options.seed)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, seed=options.seed)
    model = make_model([2, 10, 2], random.Random(options.seed))
    return Problem(
        model,
        HalfSquaredError(),
        nn.SGD(model.parameters(), lr=LEARNING_RATE),
        *(X_train, one_hot(y_train, 2), X_test, one_hot(y_test, 2)),
        points,
        EPOCHS,
    )


def run(options: Options) -> Report:
    """Train the network, keep the best, and check backpropagation by hand."""
    p = problem(options)
    by_hand = common.largest_difference(
        common.engine_gradients(p, p.X, p.y), four_equations(p.model, p.X, p.y)
    )
    watched = common.fit_watching(p, options, LOOK)
    comparison = p.compare_paths()
    figures = common.figures("circles", p, options, watched.history)
    figures |= {
        "best_step": watched.history.best_epoch,
        "four_equations_difference": by_hand,
        **common.compared(comparison),
    }
    text = [
        *common.lines(figures, comparison),
        *common.accuracy_lines(watched, TELL),
        f"published  {PUBLISHED}",
        f"by hand    the four equations and the engine differ by {by_hand:.1e} of the "
        "largest entry",
    ]
    pictures = [] if options.out is None else _draw(options.out, p, watched)
    return Report(figures, "\n".join(text), pictures)


def _draw(out: Path, p: Problem, watched: Watched) -> list[Path]:
    """Write the decision boundary, the accuracies by step, and the network."""
    labels = p.y_test.argmax(axis=1)

    def score(grid: Any) -> Any:
        outputs = nn.predict(p.model, grid)
        return outputs[:, 1] / outputs.sum(axis=1)

    wrong = nn.predict(p.model, p.X_test).argmax(axis=1) != labels
    boundary = plots.decision_boundary(score, p.X_test, labels, wrong=wrong, steps=300)
    curves = plots.accuracy_curve(
        watched.steps, watched.train, watched.test, best=watched.best, xlabel="step"
    )
    network = nn.draw_network(p.model, p.X_test[0])
    pictures = {
        "boundary": (boundary, "Circles: held-out points"),
        "accuracy": (curves, "Circles: accuracy"),
        "network": (network, "Circles: the network, on one held-out point"),
    }
    return common.saved(out, "circles", pictures)
