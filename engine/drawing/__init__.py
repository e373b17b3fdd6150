"""Pictures of computation graphs.

This package reads `Graph`, a snapshot, and knows nothing else of the engine; nothing in the core
imports it. `dot` writes a picture down as Graphviz source, `render` turns the source into SVG or
PNG with whatever renderer there is, and `Drawing` shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from engine.drawing.dot import to_dot
from engine.drawing.player import Player, step_through
from engine.drawing.render import Drawing
from engine.errors import DrawingError
from engine.graph import Graph, topological_order
from engine.value import Value

NODE_LIMIT = 1000  # about where a layout takes a second, and nobody can read it any more


def draw_graph(
    root: Value | Sequence[Value],
    *,
    limit: int = NODE_LIMIT,
    rankdir: Literal["LR", "TB"] = "LR",
    format: Literal["svg", "png"] = "svg",
) -> Drawing:
    """Return a picture of everything that `root` (a Value, or several) was computed from.

    Each number is a box with its label, its data and its gradient, each operation a circle
    between its operands and its result; `engine.scope` draws a frame. `rankdir` is the direction
    of the computation: "LR" from left to right, "TB" from top to bottom. `format` is what
    `Drawing.save` writes for a file name without ending.

    Raises DrawingError where the graph has more than `limit` nodes, not counting literals,
    TypeError where `root` is no Value, and ValueError for another `rankdir` or `format`.

    >>> x = Value(2.0, label="x")
    >>> "x" in draw_graph(x * x).source
    True
    """
    roots = tuple(root) if isinstance(root, list | tuple) else (root,)
    for value in roots:
        if not isinstance(value, Value):
            raise TypeError(f"draw takes a Value, or a list of them, not a {type(value).__name__}")
    if rankdir not in ("LR", "TB"):
        raise ValueError(f'rankdir is "LR" or "TB", not {rankdir!r}')
    count = len(topological_order(roots))  # before the snapshot, which takes more time and memory
    if count > limit:
        raise DrawingError(
            f"this graph has {count:,} nodes, and a picture of more than {limit:,} is "
            "slow to make and hard to read. Draw a part of it, from a Value further up; or build "
            "the same computation on one example and fewer units; or pass limit= to insist"
        )
    return Drawing(to_dot(Graph(*roots), rankdir), format)


__all__ = ["NODE_LIMIT", "Drawing", "Player", "draw_graph", "step_through"]
