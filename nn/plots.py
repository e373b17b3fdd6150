"""Plots of training and of what a model learned. Every function takes and returns Axes.

matplotlib is an extra, and is imported when a plot is made.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import write_whole

_ORANGE, _BLUE, _RED = "#d55e00", "#0072b2", "#b4233c"


def new_axes(width: float = 6.0, height: float = 4.0) -> Any:
    """Return the Axes of a new figure, which is drawn without a screen.

    Raises ImportError with what to install where matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'gradloom[plot]'") from None
    return Figure(figsize=(width, height), dpi=120, layout="constrained").add_subplot()


def loss_curve(
    loss: Sequence[float],
    val_loss: Sequence[float] = (),
    *,
    val_epochs: Sequence[int] = (),
    ax: Any = None,
) -> Any:
    """Draw the loss of every epoch, on a logarithmic scale, beside the validation loss.

    `val_epochs` are the epochs that the latter is of, 1 for the first; by default all.
    """
    ax = new_axes() if ax is None else ax
    ax.semilogy(range(1, len(loss) + 1), loss, color=_BLUE, label="training")
    if len(val_loss):
        epochs = val_epochs or range(1, len(val_loss) + 1)
        ax.semilogy(epochs, val_loss, color=_ORANGE, label="held out")
        ax.legend(frameon=False)
    ax.set_xlabel("epoch")
    ax.set_ylabel("mean loss per example")
    ax.grid(alpha=0.3, which="both")
    return ax


def decision_boundary(
    score: Callable[[Any], Any],
    X: Any,
    y: Any,
    *,
    wrong: Any = None,
    steps: int = 80,
    ax: Any = None,
) -> Any:
    """Draw where a model of two inputs says yes, and the points with their labels.

    `score` maps an array (n, 2) to n numbers between 0 and 1; the boundary is drawn at 0.5. The
    points whose row of `wrong` is true are ringed.
    """
    ax = new_axes(5.6, 5.0) if ax is None else ax
    X, labels = np.asarray(X), np.asarray(y).ravel()
    low, high = X.min(axis=0), X.max(axis=0)
    xs, ys = np.linspace(low[0], high[0], steps), np.linspace(low[1], high[1], steps)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    scores = np.asarray(score(grid)).reshape(steps, steps)
    filled = ax.contourf(xs, ys, scores, levels=np.linspace(0.0, 1.0, 11), cmap="RdBu_r", alpha=0.6)
    ax.figure.colorbar(filled, ax=ax, label="the model's score", ticks=np.linspace(0.0, 1.0, 6))
    if scores.min() < 0.5 < scores.max():
        ax.contour(xs, ys, scores, levels=[0.5], colors="black", linewidths=1.2)
    for label, colour, name in ((0, _BLUE, "label 0"), (1, _ORANGE, "label 1")):
        chosen = labels == label
        ax.scatter(*X[chosen].T, s=12, color=colour, edgecolor="white", linewidth=0.4, label=name)
    if wrong is not None and np.any(wrong):
        ax.scatter(
            *X[np.asarray(wrong).ravel()].T,
            s=90,
            facecolor="none",
            edgecolor=_RED,
            linewidth=1.5,
            label="predicted wrong",
        )
    ax.set_xlabel("x1")
    ax.set_ylabel("x2")
    ax.set_aspect("equal")
    ax.legend(loc="upper right", fontsize=8)
    return ax


def save(ax: Any, path: Path) -> Path:
    """Write the figure of some Axes to a file, whole or not at all, and return its path."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format=path.suffix.lstrip(".") or "png")
    write_whole(path, buffer.getvalue())
    return path
