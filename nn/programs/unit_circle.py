"""Is a point inside of the unit circle? Two hidden layers learn it from labelled points.

Points are uniform on [-5, 5]², labelled 1 inside of the circle of radius 1, which is about 3 % of
them. A network 2-10-5-1 (ReLU, ReLU, sigmoid) is trained on four fifths of them by plain gradient
descent on the mean squared error, full batch. Always answering 0 is right for 97 %: the accuracy
on the held-out fifth has to beat that.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

import engine
import nn
from nn import plots
from nn.data import split, unit_circle
from nn.programs import Options, Report
from nn.programs import problem as common
from nn.programs.problem import Problem

SUMMARY = "points inside the unit circle, 2-10-5-1, gradient descent"
LEARNING_RATE = 0.5
POINTS, EPOCHS = 10_000, 1_000
SHOWN, WRONG = 5, 20  # points of the data, and those predicted wrong, that are written out at most
PUBLISHED = "1 false positive and 4 false negatives among about 2,000"


def make_model(rng: random.Random) -> nn.Sequential:
    """Return the network, with weights from the normal distribution and biases 0."""
    model = nn.Sequential(
        nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1), nn.Sigmoid()
    )
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, rng=rng)
            nn.init.zeros_(layer.bias)
    return model


def problem(options: Options) -> Problem:
    """Return what is trained: the network on the points that chance puts into training."""
    points = POINTS if options.points is None else options.points
    X_train, X_test, y_train, y_test = split(
        *unit_circle(points, options.seed), probability=0.8, seed=options.seed
    )
    model = make_model(random.Random(options.seed))
    return Problem(
        model,
        nn.MSELoss(),
        nn.SGD(model.parameters(), lr=LEARNING_RATE),
        *(X_train, y_train, X_test, y_test),
        points,
        EPOCHS,
    )


def run(options: Options) -> Report:
    """Train the network, and report on the held-out points."""
    if options.out is not None:
        engine.draw(engine.Value(0.0)).render("svg")  # raises now what it would at the end
    p = problem(options)
    history = p.fit(options)
    comparison = p.compare_paths(rows=len(p.X))
    predicted = nn.predict(p.model, p.X_test)
    held_out = nn.Confusion.of(p.y_test, predicted)
    figures = {
        **common.figures("unit-circle", p, options, history),
        "false_positives": held_out.false_positives,
        "false_negatives": held_out.false_negatives,
        **common.compared(comparison),
    }
    wrong = ((predicted >= 0.5) != (p.y_test >= 0.5)).ravel()
    pictures = [] if options.out is None else _draw(options.out, p, history, predicted, wrong)
    lines = [*common.data_lines(p, SHOWN), *common.lines(figures, comparison)]
    lines += _lines(p, held_out, wrong, len(history.loss))
    return Report(figures, "\n".join(lines), pictures)


def _lines(p: Problem, held_out: nn.Confusion, wrong: Any, epochs: int) -> list[str]:
    lines = [
        f"           always answering 0: {100 * float(np.mean(p.y_test == 0.0)):.2f} % held out",
        f"held out   {held_out.true_positives} true and {held_out.false_positives} false "
        f"positives, {held_out.true_negatives} true and {held_out.false_negatives} false negatives",
        f"published  {PUBLISHED}",
    ]
    if held_out.true_positives == held_out.false_positives == 0:
        lines.append(
            "no point is found inside: from these first weights the network ended at answering 0 "
            f"always; {_advice(p, epochs)}"
        )
    told = list(zip(p.X_test[wrong], p.y_test[wrong].ravel(), strict=True))
    for (x1, x2), label in told[:WRONG]:
        lines.append(f"wrong      ({x1:+.3f}, {x2:+.3f}) is {'inside' if label else 'outside'}")
    if len(told) > WRONG:
        lines.append(f"wrong      and {len(told) - WRONG:,} more")
    return lines


def _advice(p: Problem, epochs: int) -> str:
    """What to do where all is called outside."""
    inside = p.y.sum()
    if inside < 10 or not p.y_test.any():
        return f"of {len(p.y)} points to learn from {inside:.0f} lie inside: take more --points"
    return "another --seed starts elsewhere" if epochs >= EPOCHS else "more --epochs may help"


def _draw(out: Path, p: Problem, history: nn.History, predicted: Any, wrong: Any) -> list[Path]:
    """Write the loss curve, the decision boundary, and the graph of the least sure answer's loss.

    Far from the boundary all gradients are 0, as far as one can see.
    """
    boundary = plots.decision_boundary(
        lambda grid: nn.predict(p.model, grid), p.X_test, p.y_test, wrong=wrong, steps=300
    )
    turn = np.linspace(0.0, 2.0 * np.pi, 100)
    boundary.plot(np.cos(turn), np.sin(turn), "k--", linewidth=0.8)
    pictures = {
        "loss": (plots.loss_curve(history.loss), "Unit circle: training loss"),
        "boundary": (boundary, "Unit circle: held-out points, the true circle dashed"),
    }
    row = int(np.abs(predicted - 0.5).argmin())
    inputs = [engine.Value(x, label=f"x{i}") for i, x in enumerate(p.X_test[row], 1)]
    example = p.loss(p.model(inputs), p.y_test[row])
    example.label = "loss"
    p.model.label_parameters()
    p.model.zero_grad()
    example.backward()
    graph = engine.draw(example).save(out / "unit-circle-graph.svg")
    return [*common.saved(out, "unit-circle", pictures), graph]
