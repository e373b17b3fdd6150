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

SUMMARY = "points inside the unit circle, 2-10-5-1, gradient descent"
LEARNING_RATE = 0.5
POINTS, EPOCHS = 10_000, 1_000


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


def run(options: Options) -> Report:
    """Train the network, and report on the held-out points."""
    points = POINTS if options.points is None else options.points
    epochs = EPOCHS if options.epochs is None else options.epochs
    X, y = unit_circle(points, options.seed)
    X_train, X_test, y_train, y_test = split(X, y, 0.8, options.seed)
    model = make_model(random.Random(options.seed))
    loss = nn.MSELoss()
    history = nn.fit(
        model,
        X_train,
        y_train,
        loss=loss,
        optimizer=nn.SGD(model.parameters(), lr=LEARNING_RATE),
        epochs=epochs,
        path=options.path,  # type: ignore[arg-type]  # fit checks it
        progress=not options.quiet,
    )
    comparison = nn.compare_paths(model, X_train, y_train, loss=loss)
    predicted = nn.predict(model, X_test)
    held_out = nn.Confusion.of(y_test, predicted)
    figures = {
        "program": "unit-circle",
        "path": history.path,
        "seed": options.seed,
        "points": points,
        "epochs": epochs,
        "steps": len(history.step_loss),
        "seconds": round(history.seconds, 3),
        "train_loss": nn.evaluate(model, X_train, y_train, loss=loss),
        "test_loss": nn.evaluate(model, X_test, y_test, loss=loss),
        "train_accuracy": nn.Confusion.of(y_train, nn.predict(model, X_train)).accuracy,
        "test_accuracy": held_out.accuracy,
        "false_positives": held_out.false_positives,
        "false_negatives": held_out.false_negatives,
        "gradient_difference": comparison.largest_difference,
        "scalar_step_seconds": comparison.scalar_seconds,
        "vectorised_step_seconds": comparison.vectorised_seconds,
    }
    wrong = ((predicted >= 0.5) != (y_test >= 0.5)).ravel()
    pictures = []
    if options.out is not None:
        pictures = _draw(options.out, model, loss, history, X_test, y_test, wrong)
    text = _text(figures, comparison, held_out, X_test, y_test, wrong)
    return Report(figures, text, pictures)


def _text(
    figures: dict[str, Any],
    comparison: nn.Comparison,
    held_out: nn.Confusion,
    X: Any,
    y: Any,
    wrong: Any,
) -> str:
    always_0 = float(np.mean(y == 0.0))
    lines = [
        f"trained on the {figures['path']} path: {figures['points']:,} points, "
        f"{figures['epochs']:,} epochs, {figures['seconds']:.1f} s",
        *str(comparison).splitlines(),
        f"loss       training {figures['train_loss']:.5f}   held out {figures['test_loss']:.5f}",
        f"accuracy   training {100 * figures['train_accuracy']:.2f} %   held out "
        f"{100 * held_out.accuracy:.2f} % (always answering 0: {100 * always_0:.2f} %)",
        f"held out   {held_out.true_positives} true and {held_out.false_positives} false "
        f"positives, {held_out.true_negatives} true and {held_out.false_negatives} false negatives",
    ]
    if held_out.true_positives == 0:
        lines.append(
            "no point is found inside: from these first weights the network ended at answering 0 "
            "always; another --seed starts elsewhere"
        )
    for (x1, x2), label in zip(X[wrong], y[wrong].ravel(), strict=True):
        lines.append(f"wrong      ({x1:+.3f}, {x2:+.3f}) is {'inside' if label else 'outside'}")
    return "\n".join(lines)


def _draw(
    out: Path, model: nn.Module, loss: nn.Loss, history: nn.History, X: Any, y: Any, wrong: Any
) -> list[Path]:
    """Write the loss curve, the decision boundary, and the graph of one example's loss."""
    curve = plots.loss_curve(history.loss)
    curve.set_title("Unit circle: training loss")
    boundary = plots.decision_boundary(
        lambda grid: nn.predict(model, grid), X, y, wrong=wrong, steps=300
    )
    boundary.set_title("Unit circle: held-out points")
    pictures = [
        plots.save(curve, out / "unit-circle-loss.png"),
        plots.save(boundary, out / "unit-circle-boundary.png"),
    ]
    example = loss(model([engine.Value(x, label=f"x{i}") for i, x in enumerate(X[0], 1)]), y[0])
    example.label = "loss"
    model.label_parameters()
    model.zero_grad()
    example.backward()
    pictures.append(engine.draw(example).save(out / "unit-circle-graph.svg"))
    return pictures
