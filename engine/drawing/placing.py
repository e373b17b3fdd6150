"""Where boxes and arrows go: by Graphviz where there is a renderer, else in plain columns.

In come the boxes' sizes, the arrows between them, and frames around some; out come points. All
lengths are in pixels, the origin is at the top left, and the computation runs to the right.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.drawing.picture import Box, Picture
from engine.drawing.render import render_source
from engine.errors import DrawingError

Point = tuple[float, float]
_MARGIN = 8.0
_ROW_GAP, _COLUMN_GAP = 14.0, 46.0


class Placing(NamedTuple):
    """`centres` of the boxes, a curve (cubic Béziers) an arrow, `frames` as x, y, width, height."""

    width: float
    height: float
    centres: list[Point]
    curves: list[list[Point]]
    frames: list[tuple[float, float, float, float]]


def place(picture: Picture, sizes: Sequence[tuple[float, float]]) -> Placing:
    """Return a layout of a picture whose boxes have these sizes.

    Arrows to a box arrive in their order but in a folded picture: for its sums that means nothing,
    and takes Graphviz much longer where many arrive.

    >>> from engine.drawing.picture import Arrow, Box
    >>> picture = Picture((Box("a", "leaf"), Box("b", "leaf")), (Arrow("a", "b"),))
    >>> layout = place(picture, [(40, 20), (40, 20)])
    >>> layout.centres[0][0] < layout.centres[1][0]
    True
    """
    try:
        found = json.loads(render_source(_source(picture, sizes), "json"))
    except DrawingError:
        return _in_columns(picture, sizes)
    return _read(picture, found)


def _source(picture: Picture, sizes: Sequence[tuple[float, float]]) -> str:
    """The boxes as Graphviz source: no texts but for the width of the frames' names."""
    ordered = ", ordering=in" * (not picture.is_folded)
    lines = ["digraph {", "rankdir=LR; nodesep=0.2; ranksep=0.65; edge [arrowhead=none]"]
    lines.append(f"node [shape=box, fixedsize=true{ordered}]")
    # Within frames Graphviz places from below, and outside from above: first is to be above.
    lines += [
        f"{box.id} [width={sizes[i][0] / 72:.4f}, height={sizes[i][1] / 72:.4f}]"
        for i, box in sorted(
            enumerate(picture.boxes),
            key=lambda place: (0, place[0]) if place[1].cluster is None else (1, -place[0]),
        )
    ]
    for item in picture.nested(-1):
        if isinstance(item, Box):
            lines.append(item.id)
        elif item is None:
            lines.append("}")
        else:
            label = "n" * min(len(item.name), 40)
            lines.append(f'subgraph cluster_{item.id} {{ label="{label}"')
            lines.append("labeljust=l; fontsize=11; margin=9")
    lines += [
        f"{arrow.source} -> {arrow.target} [id=e{k}, tailport=e, headport=w]"
        for k, arrow in [*enumerate(picture.arrows)][:: -1 if picture.clusters else 1]
    ]
    lines += [f"{a} -> {b} [style=invis]" for a, b in picture.waits()]
    return "\n".join([*lines, "}"])


def _read(picture: Picture, found: dict[str, Any]) -> Placing:
    _, _, width, height = _numbers(found["bb"])

    def point(x: float, y: float) -> Point:
        return x + _MARGIN, height - y + _MARGIN

    objects = {item["name"]: item for item in found.get("objects", ())}
    centres = [point(*_numbers(objects[box.id]["pos"])) for box in picture.boxes]
    frames = []
    for cluster in picture.clusters:
        left, bottom, right, top = _numbers(objects[f"cluster_{cluster.id}"]["bb"])
        frames.append((*point(left, top), right - left, top - bottom))
    edges = {item["id"]: item["pos"] for item in found.get("edges", ()) if "id" in item}
    curves = [
        [point(*_numbers(pair)) for pair in edges[f"e{k}"].split()]
        for k in range(len(picture.arrows))
    ]
    return Placing(width + 2 * _MARGIN, height + 2 * _MARGIN, centres, curves, frames)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _in_columns(picture: Picture, sizes: Sequence[tuple[float, float]]) -> Placing:
    """Each box one column behind its last operand, and operands close to where they are used."""
    count, index = len(sizes), {box.id: i for i, box in enumerate(picture.boxes)}
    arrows = [(index[arrow.source], index[arrow.target]) for arrow in picture.arrows]
    column = [0] * count
    for a, b in sorted(arrows, key=lambda arrow: arrow[1]):  # the boxes come in topological order
        column[b] = max(column[b], column[a] + 1)
    for a in reversed(range(count)):
        later = [column[b] for source, b in arrows if source == a]
        column[a] = min(later) - 1 if later else column[a]
    columns = [
        [i for i in range(count) if column[i] == c] for c in range(max(column, default=0) + 1)
    ]
    centres: list[Point] = [(0.0, 0.0)] * count
    right = _MARGIN
    for members in columns:
        wish = {
            i: [centres[a][1] for a, b in arrows if b == i and column[a] < column[i]]
            for i in members
        }
        members.sort(key=lambda i: sum(wish[i]) / len(wish[i]) if wish[i] else 0.0)
        width = max((sizes[i][0] for i in members), default=0.0)
        below = _MARGIN
        for i in members:
            w, h = sizes[i]
            at = sum(wish[i]) / len(wish[i]) - h / 2 if wish[i] else below
            below = max(below, at)
            centres[i] = (right + width - w / 2, below + h / 2)
            below += h + _ROW_GAP
        right += width + _COLUMN_GAP
    curves = []
    for a, b in arrows:
        x0, x1 = centres[a][0] + sizes[a][0] / 2, centres[b][0] - sizes[b][0] / 2
        (_, y0), (_, y1), half = centres[a], centres[b], (x1 - x0) / 2
        curves.append([(x0, y0), (x0 + half, y0), (x1 - half, y1), (x1, y1)])
    bottom = max((y + h / 2 for (_, y), (_, h) in zip(centres, sizes, strict=True)), default=0.0)
    return Placing(right - _COLUMN_GAP + _MARGIN, bottom + _MARGIN, centres, curves, [])
