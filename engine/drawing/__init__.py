"""Pictures of computation graphs.

This package reads `Graph`, a snapshot, and little else of the engine; nothing in the core imports
it. `fold` makes a `Picture` of a graph, boxes and arrows without any renderer (`parts`, `names`
and `boxes` are its tools); `flow` and `paint` colour it; `dot` and `tree` write it down, `svg` and
`render` make files of it, and `Drawing` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from engine.drawing import paint
from engine.drawing.flow import flow_of, index_of
from engine.drawing.fold import LARGE, LIMIT, fold
from engine.drawing.names import short_names
from engine.drawing.picture import Arrow, Box, Cluster, Key, Picture, Row
from engine.drawing.player import Player, step_through
from engine.drawing.render import Drawing
from engine.errors import whole
from engine.graph import Graph
from engine.value import Value


def draw_graph(
    root: Value | Sequence[Value],
    *,
    depth: int | None = None,
    around: Value | Sequence[Value] | None = None,
    radius: int = 3,
    path: bool = False,
    color: Literal["value", "gradient", "derivative"] | None = None,
    rankdir: Literal["LR", "TB", "RL", "BT"] = "LR",
    theme: Literal["auto", "light", "dark"] = "auto",
    limit: int | None = None,
    format: Literal["svg", "png", "pdf", "html", "dot", "txt"] = "svg",
    folding: Callable[[Graph, Sequence[Value], int | None], Picture] | None = None,
) -> Drawing:
    """Return a picture of everything that `root` (a Value, or several) was computed from.

    A small graph has a box for each number, with its label, its data and its gradient, and a
    circle for each operation, coloured by its family; modules and `engine.scope` are frames. A
    graph of more than 100 numbers is folded until it can be read, and the picture says so: sums
    of products become one box each, neurons and layers that are alike one box with a count, and
    scopes, from the inside out, one box each.

    - `depth`: how many levels of scopes are drawn as frames; a scope below these is one box.
    - `limit`: how many boxes there may be; 100, or 1,000 where `depth` is given.
    - `around`: only what this Value was computed from in `radius` steps, and what uses it.
    - `path`: mark the chain along which the gradient is strongest.
    - `color`: shade and width show each "value", its "gradient" (of the sum of the roots, computed
      here, whatever `.grad` holds), or the local "derivative" of each operation on its arrows.
    - `rankdir`: the direction of the computation, "LR" from left to right, "TB" from top to bottom.
    - `theme`: "light", "dark", or "auto": light, but in HTML as its reader has it.
    - `format`: what `Drawing.save` writes for a file name without ending.
    - `folding`: what makes the picture of the graph, the roots and `limit` in place of `fold`.

    Raises TypeError where `root` or `around` is no Value, ValueError where `around` is not in the
    graph or an option is none of those above, and GraphError for gradients of nodes made by hand.

    >>> x = Value(2.0, label="x")
    >>> print(draw_graph(x * x))
    * = 4
    ├─ x = 2
    └─ x = 2 (above)
    """
    roots = _values(root, "draw")
    if color not in (None, *paint.COLOURS):
        raise ValueError(f"color is one of {', '.join(paint.COLOURS)}, or None, not {color!r}")
    for name, number, least in (("depth", depth, 0), ("limit", limit, 1), ("radius", radius, 0)):
        if number is not None:
            whole(name, number, least)
    graph = Graph(*roots)
    places = index_of(graph, roots)
    centre: list[int] = []
    for value in () if around is None else _values(around, "around"):
        if value not in places:
            raise ValueError(f"around={value!r} is not in the graph of what is drawn")
        centre.append(places[value])
    only = None if around is None else neighbours(graph, centre, radius)
    if folding is None:
        picture = fold(graph, depth=depth, limit=limit, only=only)
    elif depth is None and only is None:
        picture = folding(graph, roots, limit)
    else:
        raise ValueError("depth= and around= are about scopes and nodes: leave them out, or fold=")
    names = short_names(list(places))
    picture = paint.with_names(picture, {places[value]: name for value, name in names.items()})
    if only is not None:
        part = f"{len(only):,} of {len(graph.nodes):,} nodes, {radius} steps around one"
        caption = f"{part}; {picture.caption}" if picture.caption else part
        picture = paint.with_marks(replace(picture, caption=caption), centre)
    flow = flow_of(graph, roots) if path or color in ("gradient", "derivative") else None
    if color == "derivative" and flow is not None:
        picture = paint.by_derivative(picture, graph, flow)
    elif color is not None:
        picture = paint.by_number(picture, graph, flow if color == "gradient" else None)
    else:
        picture = paint.families(picture)
    if path and flow is not None:
        picture = paint.with_path(picture, graph, flow)
    return Drawing(picture, rankdir, theme, format)


def neighbours(graph: Graph, centre: Iterable[int], radius: int) -> set[int]:
    """The nodes that some were computed from in `radius` steps, and those that use them."""
    users: list[list[int]] = [[] for _ in graph.nodes]
    for i, operands in enumerate(graph.operands):
        for source in operands:
            users[source].append(i)
    found = set(centre)
    for links in (graph.operands, users):
        edge = set(centre)
        for _ in range(radius):
            edge = {j for i in edge for j in links[i]}
            found |= edge
    return found


def _values(given: Value | Sequence[Value], name: str) -> tuple[Value, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    for value in values:
        if not isinstance(value, Value):
            advice = "; draw what it returns" if callable(value) else ""
            raise TypeError(
                f"{name} takes a Value, or a list of them, not a {type(value).__name__}{advice}"
            )
    return values


__all__ = [
    "LARGE",
    "LIMIT",
    "Arrow",
    "Box",
    "Cluster",
    "Drawing",
    "Key",
    "Picture",
    "Player",
    "Row",
    "draw_graph",
    "fold",
    "neighbours",
    "step_through",
]
