"""Plots of training and of what a model learned. Every function takes and returns Axes.

matplotlib is an extra, and is imported when a plot is made.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

import engine
from engine.deferred import needed
from engine.files import write_whole
from engine.showing import Still
from engine.trees import flatten
from nn.adopting import loss_of
from nn.containers import Sequential
from nn.examples import checked_data
from nn.module import Module, evaluating, values_of

_ORANGE, _BLUE = "#d55e00", "#0072b2"
COLOURS = (_BLUE, _ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # of runs, in turn
SHADES = "PuOr_r"  # of activations, from negative to positive; weights have RdBu_r
_PAGE = 6.5  # inches of text across a page: a wider figure is shown smaller, and its letters too
_BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncol": 2, "frameon": False}
_BAR = {"fraction": 0.046, "pad": 0.04, "aspect": 30}  # a colour bar as high as a square of Axes


def new_axes(width: float = 6.0, height: float = 4.0, *, pyplot: bool = False) -> Any:
    """Return the Axes of a new figure, which is drawn without a screen.

    They show themselves as the last line of a notebook's cell. With `pyplot`, as the plots here
    make them, `plt.show()` shows them as well. Lines take colours in turn that the colour-blind can
    tell apart, and the numbers of logarithmic axes are written plainly.

    Raises ImportError with what to install where matplotlib is missing.
    """
    needed("matplotlib.figure", "a plot", "plot")
    from nn import axes  # which imports it

    make = axes.of_pyplot if pyplot else axes.of_its_own
    return make(figsize=(width, height), dpi=120, colours=COLOURS)


def _axes(ax: Any, width: float = 6.0, height: float = 4.0) -> Any:
    """The Axes that are given, or new ones."""
    return new_axes(width, height, pyplot=True) if ax is None else ax


def loss_curve(
    loss: Sequence[float],
    val_loss: Sequence[float] = (),
    *,
    val_epochs: Sequence[int] = (),
    ax: Any = None,
) -> Any:
    """Draw the loss of every epoch, beside the validation loss, up to the first that is not finite.

    The scale is logarithmic where all losses are above 0, and one at least twice another.
    `val_epochs` are the epochs that the validation loss is of, 1 for the first; by default all.
    """
    ax = _axes(ax)
    epochs = val_epochs or range(1, len(val_loss) + 1)
    drawn = [x for x in (*loss, *val_loss) if math.isfinite(x)]
    if 0.0 < 2.0 * min(drawn, default=0.0) <= max(drawn, default=0.0):
        ax.set_yscale("log")  # before anything is drawn: linear margins of 1e200 overflow
    _curve(ax, range(1, len(loss) + 1), loss, _BLUE, "training")
    if len(val_loss):
        _curve(ax, epochs, val_loss, _ORANGE, "held out")
    lost = next((k for k, x in enumerate(loss, 1) if not math.isfinite(x)), None)
    if lost is not None:
        ax.axvline(lost, color="gray", linestyle=":", label=f"{loss[lost - 1]:g} from here on")
        ax.set_xlim(left=min(0.5, lost - 1.0), right=lost + 0.5)
    if len(ax.get_legend_handles_labels()[0]) > 1 or lost is not None:
        ax.legend(frameon=False)
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    ax.set_xlabel("epoch")
    ax.set_ylabel("mean loss per example")
    ax.grid(alpha=0.3, which="both")
    return ax


def _curve(ax: Any, xs: Sequence[int], ys: Sequence[float], colour: str, label: str) -> None:
    """A line up to the first number that is not finite."""
    end = next((k for k, y in enumerate(ys) if not math.isfinite(y)), len(ys))
    marker = "o" if end == 1 else None  # a line of one point is not seen
    ax.plot(xs[:end], ys[:end], color=colour, marker=marker, label=label)


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
    X, labels = np.asarray(X), np.asarray(y).ravel()
    xs, ys, grid = _plane(X, steps)
    ax = _axes(ax, 5.6, 1.3 + _height(X))
    scores = np.asarray(score(grid)).reshape(steps, steps)
    beyond = "both" if scores.min() < 0.0 or scores.max() > 1.0 else "neither"
    look = {"cmap": "RdBu_r", "alpha": 0.6, "extend": beyond}
    filled = ax.contourf(xs, ys, scores, levels=np.linspace(0.0, 1.0, 11), **look)
    ax.figure.colorbar(
        filled, ax=ax, label="the model's score", ticks=np.linspace(0.0, 1.0, 6), **_BAR
    )
    if scores.min() < 0.5 < scores.max():
        ax.contour(xs, ys, scores, levels=[0.5], colors="black", linewidths=1.2)
    for label, colour, marker in ((0, _BLUE, "o"), (1, _ORANGE, "s")):
        ax.scatter(
            *X[labels == label].T,
            s=20 if len(X) <= 500 else 9,
            color=colour,
            marker=marker,
            edgecolor="white",
            linewidth=0.5,
            label=f"label {label}",
        )
    if wrong is not None and np.any(wrong):
        ax.scatter(
            *X[np.asarray(wrong).ravel()].T,
            s=90,
            facecolor="none",
            edgecolor="black",
            linewidth=1.3,
            label="predicted wrong",
        )
    ax.set(xlabel="x₁", ylabel="x₂", aspect="equal")
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "ncol": 4, "borderaxespad": 4.5}
    ax.legend(**below, frameon=False, fontsize=9, columnspacing=1.0)
    return ax


def accuracy_curve(
    steps: Sequence[int],
    train: Sequence[float],
    test: Sequence[float] = (),
    *,
    best: int | None = None,
    xlabel: str = "epoch",
    ax: Any = None,
) -> Any:
    """Draw accuracies, shares between 0 and 1, as percentages by step: training and held out.

    The one at the place `best` of these lists is marked.
    """
    ax = _axes(ax)
    for accuracies, colour, name in ((train, _BLUE, "training"), (test, _ORANGE, "held out")):
        if len(accuracies):
            few = "." if len(accuracies) <= 20 else ""
            ax.plot(steps, 100.0 * np.asarray(accuracies), marker=few, color=colour, label=name)
    if best is not None:
        ax.plot(steps[best], 100.0 * train[best], "o", color=_BLUE, label="best in training")
    ax.legend(frameon=False, loc="lower right")
    return _percent(ax, xlabel)


def overfitting_curves(
    curves: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]],
    *,
    xlabel: str = "step",
    ax: Any = None,
) -> Any:
    """Draw runs to compare how far held-out accuracy stays below training accuracy.

    `curves` has by name the steps, and both accuracies at each, shares between 0 and 1. Of each
    run training is a dashed line, held out a full one of the same colour, and between them is
    what was learnt by heart only.
    """
    ax = _axes(ax, _PAGE, 4.6)
    for (name, (steps, train, test)), colour in zip(curves.items(), cycle(COLOURS), strict=False):
        high, low = 100.0 * np.asarray(train), 100.0 * np.asarray(test)
        ax.plot(steps, high, color=colour, linestyle="--", linewidth=1.2)
        apart = f"{abs(high[-1] - low[-1]):.0f}"
        ax.plot(
            *(steps, low),
            color=colour,
            label=f"{name}: {apart} point{'s' * (apart != '1')} apart",
        )
        ax.fill_between(steps, low, high, color=colour, alpha=0.08, linewidth=0)
    ax.plot([], [], color="gray", linestyle="--", linewidth=1.2, label="training")
    ax.plot([], [], color="gray", label="held out")
    ax.legend(**_BELOW, fontsize=9)
    return _percent(ax, xlabel)


def _percent(ax: Any, xlabel: str) -> Any:
    ax.set(xlabel=xlabel, ylabel="right, in %")
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    ax.grid(alpha=0.3)
    return ax


def confusion_matrix(counts: Any, *, names: Sequence[str] = (), ax: Any = None) -> Any:
    """Draw how often each class (a row) was predicted as each (a column), `counts` of (k, k)."""
    counts = np.asarray(counts)
    ax = _axes(ax, 5.4, 5.0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    ax.figure.colorbar(image, ax=ax, label="share of the class", **_BAR)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            ink = "white" if shares[row, column] > 0.5 else "black"
            number = f"{counts[row, column]:.0f}"
            ax.text(column, row, number, ha="center", va="center", color=ink, fontsize=9)
    labels = names or [str(k) for k in range(len(counts))]
    ax.set_xticks(range(len(counts)), labels)
    ax.set_yticks(range(len(counts)), labels)
    ax.set(xlabel="predicted", ylabel="true")
    return ax


def prediction_scatter(X: Any, predicted: Any, *, ax: Any = None) -> Any:
    """Draw points of the plane, (n, 2), in the colours of what a model predicts at each."""
    X, predicted = np.asarray(X), np.asarray(predicted).ravel()
    ax = _axes(ax, 5.6, 0.9 + _height(X))
    edge = {"edgecolor": "gray", "linewidth": 0.4}  # or else what is near a half is not seen
    points = ax.scatter(*X.T, c=predicted, s=18, cmap="RdBu_r", vmin=-0.2, vmax=1.2, **edge)
    ax.figure.colorbar(points, ax=ax, label="prediction", extend="both", **_BAR)
    ax.set(xlabel="x₁", ylabel="x₂", aspect="equal")
    return ax


def weight_images(weight: Any, shape: tuple[int, int], *, ax: Any = None) -> Any:
    """Draw the weights (units, inputs) of a layer as images of `shape`, one a unit.

    Red is positive, blue negative. Raises ValueError where the inputs are not as many as the
    shape has places.
    """
    weight = np.asarray(weight)
    height, width = shape
    if weight.ndim != 2 or weight.shape[1] != height * width:
        raise ValueError(f"weights of shape {weight.shape} are no images of {height} x {width}")
    across = int(np.ceil(np.sqrt(1.6 * len(weight))))
    down = -(-len(weight) // across)
    sheet = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for unit, image in enumerate(weight.reshape(-1, height, width)):
        top, left = (unit // across) * (height + 1), (unit % across) * (width + 1)
        sheet[top : top + height, left : left + width] = image
    across_page = 0.84 * _PAGE  # beside it is the colour bar
    ax = _axes(ax, _PAGE, across_page * sheet.shape[0] / sheet.shape[1] + 0.5)
    # a few large weights are not to make all others pale
    most = float(np.quantile(np.abs(weight), 0.995)) or 1.0
    drawn = ax.imshow(sheet, cmap="RdBu_r", vmin=-most, vmax=most)
    ax.figure.colorbar(drawn, ax=ax, label="weight", extend="both", fraction=0.03, pad=0.02)
    ax.set_axis_off()
    return ax


def gradient_norms(model: Module, *, ax: Any = None) -> Any:
    """Draw the norm of each parameter's gradient, layer by layer, on a logarithmic scale.

    The gradients are those in the parameters' `grad`: of the last `backward`, or of the last update
    of `nn.fit`. Where they shrink from layer to layer, the first layers hardly learn; where a norm
    is 0, nan or inf, that stands in place of the bar.
    """
    norms = {
        name: math.sqrt(math.fsum(p.grad * p.grad for p in values_of(item)))
        for name, item in model.named_parameters()
    }
    ax = _axes(ax, 6.0, 1.2 + 0.3 * len(norms))
    _bars(ax, norms.values())
    ax.set_yticks(range(len(norms)), norms)
    ax.set_ylim(len(norms) - 0.4, -0.6)  # the first layer on top
    ax.set_xlabel("norm of the gradient")
    return ax


def _bars(ax: Any, sizes: Collection[float]) -> None:
    """A bar for each size, on a logarithmic scale; 0, nan and inf as text."""
    drawn = [size for size in sizes if 0.0 < size < math.inf]
    low = min(drawn, default=1.0) / 10.0
    ax.set_xscale("log")
    ax.set_xlim(low, max(drawn, default=1.0) * 2.0)
    for place, size in enumerate(sizes):
        if 0.0 < size < math.inf:
            ax.barh(place, size - low, left=low, height=0.65, color=_BLUE)
        else:
            ax.text(low * 1.1, place, f"{size:g}", va="center", color=_ORANGE)
    ax.grid(alpha=0.3, axis="x")
    ax.set_axisbelow(True)


def gradient_flow(model: Any, X: Any, y: Any, loss: Any, *, ax: Any = None) -> Any:
    """Draw what each module of a Sequential gives, and the gradient that comes back to it.

    At the left is how the outputs of each module are spread, over all its units and the rows of X,
    each to its own height; with how many units are dead, 0 for all rows, and, if more than a tenth,
    the share of outputs at either end of their range: they are saturated. At the right is the root
    mean square of the loss's gradient by these outputs, on a logarithmic scale; where it is 0, nan
    or inf, that stands in place of the bar. `loss` and y are as for `nn.fit`; the model is in
    evaluation mode. Takes and returns Axes.

    Raises TypeError for a model that is no Sequential, or has no modules, and what `nn.fit` raises
    for X, y and loss.

    >>> import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    >>> ax = gradient_flow(model, [[0.0, 1.0], [1.0, 0.0]], [[1.0], [0.0]], nn.MSELoss())
    >>> [label.get_text() for label in ax.child_axes[0].get_yticklabels()]
    ['0: Linear', '1: Tanh', '2: Linear']
    """
    if not isinstance(model, Sequential) or not len(model):
        raise TypeError(
            f"gradient_flow goes through the modules of a Sequential, and finds none in {model!r}"
        )
    loss = loss_of(loss)
    inputs, y = checked_data(X, y, loss, "X", "y")
    given, slopes = _flow(model, inputs.arrays[0], y, loss)
    names = [f"{k}: {type(module).__name__}" for k, module in enumerate(model)]
    ax = _axes(ax, _PAGE, 1.2 + 0.4 * len(names))
    ax.set_axis_off()
    left, right = ax.inset_axes([0.0, 0.0, 0.6, 1.0]), ax.inset_axes([0.65, 0.0, 0.35, 1.0])
    every = np.concatenate([numbers[np.isfinite(numbers)] for numbers in given] or [[0.0]])
    edges = np.histogram_bin_edges(every, 60)
    for place, numbers in enumerate(given):
        heights = np.histogram(numbers, edges)[0]
        tops = place + 0.4 - 0.8 * heights / max(heights.max(), 1)
        left.stairs(tops, edges, baseline=place + 0.4, fill=True, color=_BLUE)
        said = _dead_or_saturated(numbers)
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.0}
        left.text(edges[-1], place, said, color=_ORANGE, ha="right", va="center", bbox=paper)
    left.set_yticks(range(len(names)), names)
    left.set_xlabel("outputs")
    _bars(right, [math.sqrt(np.mean(numbers * numbers)) for numbers in slopes])
    right.set_yticks(range(len(names)), [""] * len(names))
    right.set_xlabel("gradient by an output (rms)")
    for part in (left, right):
        part.set_ylim(len(names) - 0.4, -0.6)  # the first module on top
    return ax


def _dead_or_saturated(numbers: Any) -> str:
    """What hinders the units of a module from learning, by its outputs, (n, units)."""
    if not np.isfinite(numbers).all():
        return "nan or inf"
    dead, low, high = int(np.sum(np.all(numbers == 0.0, axis=0))), numbers.min(), numbers.max()
    near = 0.01 * (high - low)
    at_ends = np.sum((numbers <= low + near) | (numbers >= high - near))
    said = [f"{dead} of {numbers.shape[1]} dead"] * bool(dead)
    if low != 0.0 and low < high and at_ends > 2 + 0.1 * numbers.size:
        said.append(f"{at_ends / numbers.size:.0%} saturated")
    return ", ".join(said)


def _flow(model: Sequential, X: Any, y: Any, loss: Any) -> tuple[list[Any], list[Any]]:
    """Each module's outputs, (n, units), and the gradients of each example's loss by them."""

    def outputs(x: Any, nudges: Any = None) -> list[Any]:
        found, x = [], _listed(x)
        for k, module in enumerate(model):
            numbers, rebuilt = flatten(module(x))
            if nudges is not None:
                numbers = [a + b for a, b in zip(numbers, nudges[k], strict=True)]
            found.append(numbers)
            x = rebuilt(numbers)
        return [*found, x]

    def loss_at(x: Any, target: Any, nudges: Any) -> Any:
        return loss(outputs(x, nudges)[-1], _listed(target))

    with evaluating(model):
        given = engine.compile(lambda x: outputs(x)[:-1], in_axes=0)(X)
        nudges = [[0.0] * numbers.shape[1] for numbers in given]
        slope = engine.compile(loss_at, in_axes=(0, 0, None), argnums=2).grad
        return given, slope(X, y, nudges)


def _listed(x: Any) -> Any:
    return x.tolist() if isinstance(x, np.ndarray) else x


def unit_responses(
    hidden: Callable[[Any], Any], X: Any, y: Any = None, *, steps: int = 60, ax: Any = None
) -> Any:
    """Draw what each unit of a layer makes of every point of the plane, a panel for each unit.

    `hidden` takes an example of two numbers to a list of the units' outputs: the first modules of
    a model, such as `model[:2]` of a Sequential. `X`, (n, 2), are examples, drawn in the colours of
    their labels `y`. A unit that is dead, or at its ends for nine examples of ten or more, and so
    hardly learns, is called that. One scale of colours is for all panels. Takes and returns Axes.

    Raises ValueError where X has no two columns, or y not one label for each of its rows.

    >>> import nn
    >>> layer = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    >>> ax = unit_responses(layer, [[0.0, 1.0], [1.0, 0.0]])
    >>> [panel.get_title() for panel in ax.child_axes]
    ['$h_{1}$', '$h_{2}$', '$h_{3}$']
    """
    from matplotlib.ticker import MaxNLocator

    X = np.asarray(X, float)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"unit_responses draws examples of two numbers, not {X.shape}")
    labels = np.zeros(len(X)) if y is None else np.asarray(y).ravel()
    if len(labels) != len(X):
        raise ValueError(f"y has {len(labels)} labels for {len(X)} examples")
    xs, ys, grid = _plane(X, steps)
    points = np.concatenate([grid, X])
    found = np.reshape(engine.compile(hidden, in_axes=0)(points), (len(points), -1))
    over, at = found[: len(grid)], found[len(grid) :]
    units = over.shape[1]
    across = math.ceil(math.sqrt(units))
    down = -(-units // across)
    wide = min(2.3 * across + 1.0, _PAGE)
    ax = _axes(ax, wide, 1.1 * wide * down / across)
    ax.set_axis_off()
    most = float(np.abs(over).max()) or 1.0
    wide, high = 1.0 / across, 1.0 / down
    for unit in range(units):
        left, top = (unit % across) * wide, 1.0 - (unit // across) * high
        panel = ax.inset_axes([left, top - high, 0.9 * wide, 0.8 * high])
        image = panel.contourf(
            xs, ys, over[:, unit].reshape(steps, steps), np.linspace(-most, most, 21), cmap=SHADES
        )
        for label, colour, marker in zip(np.unique(labels), cycle(COLOURS), cycle("osD^v")):
            ink = "black" if y is None else colour
            look = {"s": 16, "edgecolor": "white", "linewidth": 0.8, "marker": marker}
            panel.scatter(*X[labels == label].T, color=ink, **look)
        name = f"$h_{{{unit + 1}}}${_trouble(at[:, unit], over[:, unit])}"
        panel.set_title(name, fontsize=9)
        first, lowest = unit % across == 0, unit + across >= units
        panel.tick_params(labelsize=9, labelleft=first, labelbottom=lowest)
        panel.set_xlabel("x₁" * lowest, fontsize=9, labelpad=1.0)
        panel.set_ylabel("x₂" * first, fontsize=9, labelpad=1.0)
        panel.locator_params(nbins=3)
    bar = ax.figure.colorbar(image, ax=ax, label="the unit's output", ticks=MaxNLocator(6), **_BAR)
    bar.ax.set_ylim(min(over.min(), 0.0), max(over.max(), 0.0))
    return ax


def _trouble(at: Any, over: Any) -> str:
    """What is wrong with a unit, by its outputs for the examples and over the plane."""
    low, high = min(over.min(), at.min()), max(over.max(), at.max())
    near = 0.01 * (high - low)
    if np.ptp(at) == 0.0:
        return f": dead, {at[0]:g} for all" if at[0] == 0.0 else f": {at[0]:g} for all"
    off, on = np.mean(at <= low + near), np.mean(at >= high - near)
    if low == 0.0 and off >= 0.9:
        return f": off for {off:.0%}"
    return f": saturated for {off + on:.0%}" if low != 0.0 and off + on >= 0.9 else ""


def _height(X: Any) -> float:
    """Inches for a plane with these points that is 3.9 wide, whose axes have one scale."""
    across, up = np.ptp(X, axis=0)
    return float(np.clip(3.9 * up / (across or 1.0), 1.2, 5.0))


def _plane(X: Any, steps: int) -> tuple[Any, Any, Any]:
    """Places along both axes around the points of the plane, and the grid of these, (steps², 2)."""
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.05 * (high - low)
    xs, ys = np.linspace(low - margin, high + margin, steps).T
    return xs, ys, np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def descents(
    f: Callable[..., Any],
    start: Sequence[float],
    rates: Sequence[float] = (0.02, 0.1, 0.5),
    *,
    steps: int = 20,
    window: Sequence[tuple[float, float]] = (),
    ax: Any = None,
) -> Any:
    """Draw a loss of one or two weights, and the steps of gradient descent at some learning rates.

    `f` takes as many numbers as `start` has to a Value. Each rate makes `steps` steps, drawn up to
    the first outside of the picture, whose `window` has a pair of ends for each weight, by default
    around the best place that is found. Takes and returns Axes.

    Raises ValueError for another number of weights than one or two, no rates, and a window of
    another shape.

    >>> ax = descents(lambda w: (w - 1.0) ** 2, [3.0], rates=[0.1, 1.2])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['learning rate 0.1', 'learning rate 1.2: leaves at step 1']
    """
    if len(start) not in (1, 2):
        raise ValueError(f"descents draws a loss of one or two weights, not {len(start)}")
    if not len(rates) or (len(window) and np.shape(window) != (len(start), 2)):
        raise ValueError(
            f"descents takes learning rates, and as window a pair of ends for each of {len(start)} "
            f"weights, not {rates!r} and {window!r}"
        )
    slope = engine.value_and_grad(f, argnums=tuple(range(len(start))))
    runs = [_descent(slope, start, rate, steps) for rate in rates]
    if len(window):
        low, high = np.array(window, float).T
    else:
        _, end = min((loss, tuple(run[-1])) for run, loss in runs)
        reach = 1.4 * max(np.abs(np.subtract(end, start)).max(), 1e-3)
        low, high = np.subtract(end, reach), np.add(end, reach)
    ax = _axes(ax, 6.4, 4.6)
    _draw_loss(ax, f, low, high)
    for rate, (run, _), colour in zip(rates, runs, cycle(COLOURS), strict=False):
        outside = (k for k, at in enumerate(run) if not ((low <= at) & (at <= high)).all())
        left = next(outside, None)
        points = np.array(run[: None if left is None else left + 1]).T
        if len(points) == 1:
            points = np.array([points[0], engine.compile(f, in_axes=0)(points[0])])
        name = f"learning rate {rate:g}{'' if left is None else f': leaves at step {left}'}"
        ax.plot(*points, "o-", markersize=4, linewidth=1.2, color=colour, label=name)
    ax.legend(**_BELOW, fontsize=9)
    return ax


def _descent(
    slope: Callable[..., Any], start: Sequence[float], rate: float, steps: int
) -> tuple[list[Any], float]:
    """Where gradient descent goes while numbers are finite, and the loss at the last place."""
    run = [np.array(start, float)]
    loss, gradient = slope(*map(float, run[0]))
    for _ in range(steps):
        at = run[-1] - rate * np.array(gradient)
        now, gradient = slope(*map(float, at))
        if not (math.isfinite(now) and np.isfinite(gradient).all()):
            return run, math.inf
        run, loss = [*run, at], now
    return run, loss


def _draw_loss(ax: Any, f: Callable[..., Any], low: Any, high: Any) -> None:
    """A loss of one weight as a curve, of two as lines of equal loss."""
    places = [np.linspace(a, b, 101) for a, b in zip(low, high, strict=True)]
    mesh = [part.ravel() for part in np.meshgrid(*places)]
    loss = np.asarray(engine.compile(f, in_axes=0)(*mesh))
    if len(places) == 1:
        ax.plot(places[0], loss, color="0.5", linewidth=1.0)
        margin = 0.05 * (np.nanmax(loss) - np.nanmin(loss))
        ax.set(xlabel="weight", ylabel="loss", xlim=(low[0], high[0]))
        ax.set_ylim(np.nanmin(loss) - margin, np.nanmax(loss) + margin)
        return
    levels = np.quantile(loss[np.isfinite(loss)], np.linspace(0.0, 1.0, 16)[1:-1] ** 2)
    lines = ax.contour(*places, loss.reshape(101, 101), np.unique(levels), colors="0.7")
    ax.clabel(lines, fontsize=9, fmt="%.3g", colors="0.3")
    ax.set(xlabel="first weight", ylabel="second weight", xlim=(low[0], high[0]))
    ax.set_ylim(low[1], high[1])


def still_of(ax: Any, alt: str = "") -> Still:
    """The figure of some Axes as a picture of a page; `alt` says what there is to see."""
    from nn import axes

    return axes.still_of(ax.figure, alt)


def save(ax: Any, path: Path) -> Path:
    """Write the figure of some Axes to a file, whole or not at all, and return its path.

    `plt.show()` then shows it no more.
    """
    from nn.axes import close

    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format=path.suffix.lstrip(".") or "png")
    close(ax.figure)
    write_whole(path, buffer.getvalue())
    return path
