"""XOR of a point's halves: is exactly one of its two coordinates at least a half?

1,000 points, uniform on the unit square; a network 2-64-1 (ReLU, then linear) with all weights and
biases uniform on [0, 1), trained on the mean squared error in batches of 5, always in the same
order: 60,000 steps of gradient descent at the rate 0.01. A network 2-1, without a hidden layer, is
trained beside it: its answers are a plane over the square, and fail.

The gradient is that of the whole batch. (A printed program that this follows sums the error over a
batch, but passes it back through the input and the ReLU mask of the batch's last example alone,
which ends at 87 to 95 % in place of 93 to 99.) Layer by layer it is also computed by rules derived
by hand, and compared with the engine's.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import nn
from nn import plots
from nn.data import xor
from nn.programs import Options, Report
from nn.programs import problem as common
from nn.programs.problem import Array, Problem

SUMMARY = "XOR on the unit square, 2-64-1, gradient descent in batches of 5"
POINTS, EPOCHS = 1_000, 300
LEARNING_RATE, BATCH, HIDDEN = 0.01, 5, 64
SHOWN = 5  # points of the data that are written out
RULES = (  # of a layer y = W x + b, and of the ReLU h of z
    "de/dx = Wᵀ de/dy",
    "de/dW = de/dy xᵀ",
    "de/db = de/dy",
    "de/dz = de/dh where z > 0, else 0",
)


def make_model(rng: random.Random) -> nn.Sequential:
    """Return the network, all its numbers uniform on [0, 1)."""
    model = nn.Sequential(nn.Linear(2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    nn.init.uniform_(model.parameters(), rng=rng)
    return model


def problem(options: Options) -> Problem:
    """Return what is trained; as many points again are held out."""
    points = POINTS if options.points is None else options.points
    X, y = xor(2 * points, options.seed)
    model = make_model(random.Random(options.seed))
    return Problem(
        model,
        nn.MSELoss(),
        nn.SGD(model.parameters(), lr=LEARNING_RATE),
        *(X[:points], y[:points], X[points:], y[points:]),
        points,
        EPOCHS,
        batch_size=BATCH,
    )


def without_hidden_layer(p: Problem, options: Options) -> Problem:
    """Return the same task for a network 2-1, which is linear."""
    model = nn.Sequential(nn.Linear(2, 1))
    nn.init.uniform_(model.parameters(), rng=random.Random(options.seed))
    return replace(p, model=model, optimizer=nn.SGD(model.parameters(), lr=LEARNING_RATE))


def hand_rules(model: nn.Module, X: Array, y: Array) -> dict[str, Array]:
    """Return the gradients of the mean squared error of a batch, layer by layer, by hand.

    Of a layer y = W x + b whose output's derivative de/dy is known: de/dx = Wᵀ de/dy,
    de/dW = de/dy xᵀ, de/db = de/dy, the last two summed over the batch's columns.
    """
    W1, b1, W2, b2 = model.state_dict().values()
    x = X.T
    z = W1 @ x + b1[:, None]
    hidden = np.maximum(z, 0.0)
    output = W2 @ hidden + b2[:, None]
    de_doutput = 2.0 * (output - y.T) / y.size
    de_dhidden = W2.T @ de_doutput
    de_dz = de_dhidden * (z > 0.0)
    return {
        "0.weight": de_dz @ x.T,
        "0.bias": de_dz.sum(axis=1),
        "2.weight": de_doutput @ hidden.T,
        "2.bias": de_doutput.sum(axis=1),
    }


def quadrants(X: Array, predicted: Array) -> dict[str, float | None]:
    """Return the mean prediction in each quarter of the square, None in one without points."""
    sides = {"low": X < 0.5, "high": X >= 0.5}
    means = {}
    for first, x1 in sides.items():
        for second, x2 in sides.items():
            inside = x1[:, 0] & x2[:, 1]
            mean = float(predicted[inside].mean()) if inside.any() else None
            means[f"{first} {second}"] = mean
    return means


def run(options: Options) -> Report:
    """Train the network, and see whether the four quarters of the square come apart."""
    p = problem(options)
    batch = p.X[:BATCH], p.y[:BATCH]
    by_hand = common.largest_difference(
        common.engine_gradients(p, *batch), hand_rules(p.model, *batch)
    )
    history = p.fit(options)
    linear = without_hidden_layer(p, options)
    linear_history = None if history.stopped else linear.fit(options)
    comparison = p.compare_paths(BATCH)
    predicted = nn.predict(p.model, p.X)
    epoch_error, linear_error = _by_epoch(p, history), _by_epoch(linear, linear_history)
    figures = common.figures("xor", p, options, history)
    figures |= {
        "summed_absolute_error": float(np.abs(predicted - p.y).sum()),
        "quadrant_means": quadrants(p.X, predicted),
        "first_epoch_error": epoch_error[0] if epoch_error else None,
        "last_epoch_error": epoch_error[-1] if epoch_error else None,
        "linear_train_loss": linear.train_loss(),
        "linear_train_accuracy": linear.train_accuracy(),
        "hand_rules_difference": by_hand,
        **common.compared(comparison),
    }
    text = "\n".join([*common.data_lines(p, SHOWN), *_text(figures, comparison, epoch_error)])
    pictures = []
    if options.out is not None:
        pictures = _draw(options.out, p, epoch_error, linear, linear_error)
    return Report(figures, text, pictures)


def _by_epoch(p: Problem, history: nn.History | None) -> list[float]:
    """The errors summed over the batches of each epoch; Ctrl-C ends a training within one."""
    if history is None:
        return []
    whole = len(history.loss) * p.batches
    return np.reshape(history.step_loss[:whole], (-1, p.batches)).sum(axis=1).tolist()  # type: ignore[no-any-return]


def _text(
    figures: dict[str, Any], comparison: nn.Comparison | None, epoch_error: list[float]
) -> list[str]:
    lines = common.lines(figures, comparison)
    for epoch in sorted({1, *range(50, len(epoch_error), 50), len(epoch_error)}):
        if epoch_error:
            error = epoch_error[epoch - 1]
            lines.append(f"epoch {epoch:4d} error summed over the batches {error:.4g}")
    lines.append(f"all points summed absolute error {figures['summed_absolute_error']:.2f}")
    for name, mean in figures["quadrant_means"].items():
        if mean is not None:
            wanted = float(len(set(name.split())) == 2)
            lines.append(f"x1, x2 {name:9s} mean prediction {mean:.3f}, to be {wanted:.0f}")
    difference = figures["hand_rules_difference"]
    loss, right = figures["linear_train_loss"], 100 * figures["linear_train_accuracy"]
    lines.append(
        f"linear     2-1, without a hidden layer: mean squared error {loss:.4f}, "
        f"{right:.1f} % right: no plane is XOR"
    )
    lines += [f"by hand    {rule}" for rule in RULES]
    lines.append(
        f"by hand    rules by hand and the engine differ by {difference:.1e} of the largest entry"
    )
    return lines


def _draw(
    out: Path, p: Problem, epoch_error: list[float], linear: Problem, linear_error: list[float]
) -> list[Path]:
    """Write the errors by epoch, and the predictions over the square, also those of 2-1."""
    curve = plots.loss_curve(epoch_error)
    curve.lines[0].set_label("2-64-1")
    epochs, style = range(1, len(linear_error) + 1), "o-" if len(linear_error) == 1 else "-"
    curve.semilogy(
        epochs, linear_error, style, color=plots.COLOURS[1], label="2-1, no hidden layer"
    )
    curve.legend(frameon=False)
    curve.set_ylabel("error summed over the batches")
    pictures = {"error": (curve, "XOR: training error")}
    for name, trained, title in (
        ("prediction", p, "2-64-1"),
        ("linear", linear, "2-1, no hidden layer"),
    ):
        scatter = plots.prediction_scatter(p.X, nn.predict(trained.model, p.X))
        scatter.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
        scatter.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
        pictures[name] = scatter, f"XOR: prediction of {title}"
    network = nn.draw_network(p.model, p.X[0])
    return common.saved(
        out, "xor", pictures | {"network": (network, "XOR: the network, on one point")}
    )
