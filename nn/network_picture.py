"""A network as it is drawn on blackboards: columns of circles, joined by their weights.

For the computation itself, number by number, there is `engine.draw`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

import engine
from nn import plots
from nn.exchange import parts
from nn.layers import Linear
from nn.module import Module, evaluating

_SHOWN = 16  # circles of a column at most; of more, the first and the last ones
_ROOM_FOR_TEXT = 12  # circles up to which each has its number written in it
_PICTURE = (-0.3, 4.4)  # where an example that is a picture is, and its height in circles


@dataclass
class _Column:
    """A column of circles: how many, what the example makes of them, and the weights into them."""

    size: int
    activations: list[float] | None = None
    weights: Any = None  # (size, size of the column before)

    @cached_property
    def shown(self) -> list[int]:
        """Which circles are drawn: all, or the first and the last."""
        every, half = list(range(self.size)), _SHOWN // 2
        return every if self.size <= _SHOWN else every[:half] + every[-half:]

    @cached_property
    def heights(self) -> Any:
        """Where these are: few circles further apart, and room for three dots among many."""
        places = np.arange(float(len(self.shown)))
        if self.size > _SHOWN:
            places[_SHOWN // 2 :] += 1.5
        places *= min(2.2, max(1.0, 0.95 * _SHOWN / len(places)))
        return places.mean() - places


def draw_network(
    model: Module, x: Any = None, ax: Any = None, *, shape: tuple[int, int] | None = None
) -> Any:
    """Draw a model of dense layers: inputs, hidden units and outputs as columns of circles.

    Each edge has the colour of its weight, red for positive and blue for negative, and is as thick
    as the weight is large; of more than 16 circles the middle ones are left out. With an example x,
    a list of numbers, the colour of a circle is its activation, on one scale for all columns. An x
    that is a picture, of a `shape` in rows and columns, is shown as one. Takes and returns Axes.

    Raises TypeError for a model that is not made of Linear, Neuron, Layer, MLP or Sequential, and
    ValueError for a `shape` that x does not have.

    >>> import random, nn
    >>> ax = draw_network(nn.MLP(2, [3, 1], rng=random.Random(0)), [1.0, -2.0])
    >>> [text.get_text() for text in ax.texts if "\\n" in text.get_text()]
    ['input\\n2', 'hidden\\n3', 'output\\n1']
    """
    if shape is not None and (x is None or len(x) != shape[0] * shape[1]):
        given = "there is no x" if x is None else f"x has {len(x)} numbers"
        raise ValueError(f"shape={shape} is of the example x, and {given}")
    columns = _columns(model, None if x is None else [float(number) for number in x])
    wide = min(2.2 + 2.0 * len(columns), 6.5)  # as wide as a page's text at most
    ax = plots.new_axes(wide, 5.6, pyplot=True) if ax is None else ax
    tallest = max(float(column.heights[0]) for column in columns)
    _draw_edges(ax, columns[1:] if shape else columns, first=int(bool(shape)))
    most = max((abs(a) for c in columns[bool(shape) :] for a in c.activations or ()), default=1.0)
    for place, column in enumerate(columns):
        if shape and place == 0:
            _draw_example(ax, np.reshape(column.activations or [], shape), columns[1])
        else:
            circles = _draw_circles(ax, place, column, most or 1.0)
        name = "input" if place == 0 else "output" if place == len(columns) - 1 else "hidden"
        if name == "hidden" and len(columns) > 3:
            name = f"hidden {place}"
        above = _PICTURE[0] if shape and place == 0 else place
        text = f"{name}\n{column.size}"
        ax.text(above, tallest + 0.9, text, ha="center", va="bottom", fontsize=9)
    if x is not None:
        ax.figure.colorbar(circles, ax=ax, label="activation", fraction=0.035, pad=0.02)
    ax.set(
        xlim=(-0.75 if shape else -0.35, len(columns) - 0.65), ylim=(-tallest - 2.0, tallest + 2.6)
    )
    ax.set_axis_off()
    return ax


def _draw_example(ax: Any, picture: Any, column: _Column) -> None:
    """An example as the picture that it is, which all circles of the first column look at."""
    middle, height = _PICTURE
    right = middle + 0.32 * picture.shape[1] / picture.shape[0]
    box = (2.0 * middle - right, right, -0.5 * height, 0.5 * height)
    ax.imshow(picture, cmap="gray_r", extent=box, aspect="auto")
    ax.plot([box[k] for k in (0, 1, 1, 0, 0)], [box[k] for k in (2, 2, 3, 3, 2)], "0.6", lw=0.8)
    for to in column.heights:
        ax.plot([right, 1.0], [0.0, to], "0.6", lw=0.4, zorder=1)


def _draw_edges(ax: Any, columns: list[_Column], first: int) -> None:
    from matplotlib.collections import LineCollection

    if len(columns) < 2:
        return
    drawn = [c.weights[np.ix_(c.shown, before.shown)] for before, c in pairwise(columns)]
    most = max(float(np.abs(weights).max()) for weights in drawn) or 1.0
    edges, numbers = [], []
    pairs = zip(pairwise(columns), drawn, strict=True)
    for place, ((before, column), weights) in enumerate(pairs, first):
        for row, to in enumerate(column.heights):
            for i, start in enumerate(before.heights):
                edges.append([(place, start), (place + 1, to)])
                numbers.append(weights[row, i])
    order = np.argsort(np.abs(numbers))  # the strong ones over the weak ones
    sizes = np.abs(numbers)[order] / most
    lines = LineCollection(
        [edges[k] for k in order],
        array=np.array(numbers)[order],
        cmap="RdBu_r",
        clim=(-most, most),
        linewidths=0.3 + 2.2 * sizes,
        alpha=0.35 + 0.6 * sizes,
        zorder=1,
    )
    ax.add_collection(lines)
    ax.figure.colorbar(lines, ax=ax, label="weight", fraction=0.035, pad=0.02)


def _draw_circles(ax: Any, place: int, column: _Column, most: float) -> Any:
    """The circles of a column, coloured from -most to most; a colour bar is made of them."""
    activations = column.activations or [0.0] * column.size
    numbers = [activations[k] for k in column.shown]
    written = column.activations is not None and len(numbers) <= _ROOM_FOR_TEXT
    circles = ax.scatter(
        [place] * len(column.shown),
        column.heights,
        s=780 if written else 170,
        c=numbers,
        cmap=plots.SHADES,
        vmin=-most,
        vmax=most,
        edgecolor="black",
        linewidth=0.8,
        zorder=2,
    )
    if written:
        for a, height in zip(numbers, column.heights, strict=True):
            ink = "white" if abs(a) > 0.6 * most else "black"
            number = f"{a:z.2f}" if abs(a) < 10.0 else f"{a:.0f}"
            number = number.replace("-", "\N{MINUS SIGN}")
            ax.text(place, height, number, ha="center", va="center", fontsize=9, color=ink)
    if len(column.shown) < column.size:
        ax.text(place, 0.0, "⋮", ha="center", va="center", fontsize=16)
    return circles


# --- what there is to draw ---


def _columns(model: Module, x: list[float] | None) -> list[_Column]:
    """The columns of a model, with their activations if there is an example."""
    columns: list[_Column] = []
    value: Any = x
    for _, layer in parts.row(model):
        if isinstance(layer, Linear):
            weights = layer.state_dict()["weight"]
            columns += [] if columns else [_Column(layer.in_features, x)]
            columns.append(_Column(layer.out_features, weights=weights))
        elif layer.parameters():
            raise TypeError(
                "draw_network draws dense layers (Linear, Neuron, Layer, MLP) in Sequential, not a "
                f"{type(layer).__name__}; engine.draw(model(x)) draws any computation"
            )
        if x is not None:
            with engine.no_grad(), evaluating(layer):
                value = layer(value)
            value = value if isinstance(value, list) else [value]
            if columns:
                columns[-1].activations = [engine.Value.item(y) for y in value]
    if not columns:
        raise TypeError(f"{type(model).__name__} has no dense layers to draw")
    return columns
