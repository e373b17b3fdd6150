"""Where boxes and arrows go: by Graphviz where there is a renderer, else in plain columns.

In come the boxes' sizes, the arrows between them, and frames around some; out come points. All
lengths are in pixels, the origin is at the top left, and the computation runs to the right.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.drawing.render import render_source
from engine.errors import DrawingError

Point = tuple[float, float]
_MARGIN = 8.0
_ROW_GAP, _COLUMN_GAP = 14.0, 46.0


class Frame(NamedTuple):
    """A named frame around boxes and other frames, given by their indices."""

    name: str
    boxes: Sequence[int]
    frames: Sequence[int] = ()


class Placing(NamedTuple):
    """`centres` of the boxes, a curve (cubic Béziers) an arrow, `frames` as x, y, width, height."""

    width: float
    height: float
    centres: list[Point]
    curves: list[list[Point]]
    frames: list[tuple[float, float, float, float]]


def place(
    sizes: Sequence[tuple[float, float]],
    arrows: Sequence[tuple[int, int]],
    frames: Sequence[Frame] = (),
    *,
    waits: Sequence[tuple[int, int]] = (),
    ordered: bool = True,
) -> Placing:
    """Return a layout. `arrows` lead from box to box; `waits` are further pairs of boxes of which
    the second is to stand behind the first.

    With `ordered`, those to a box arrive in the order given, for what is no sum: which takes
    Graphviz much longer where many arrive.

    >>> layout = place([(40, 20), (40, 20)], [(0, 1)])
    >>> layout.centres[0][0] < layout.centres[1][0]
    True
    """
    try:
        found = json.loads(render_source(_source(sizes, arrows, frames, waits, ordered), "json"))
    except DrawingError:
        return _in_columns(sizes, arrows)
    return _read(found, len(sizes), len(arrows), len(frames))


def _source(
    sizes: Sequence[tuple[float, float]],
    arrows: Sequence[tuple[int, int]],
    frames: Sequence[Frame],
    waits: Sequence[tuple[int, int]],
    ordered: bool,
) -> str:
    """The boxes as Graphviz source: no texts but for the width of the frames' names."""
    inner = {j for frame in frames for j in frame.frames}
    lines = ["digraph {", "rankdir=LR; nodesep=0.2; ranksep=0.65; edge [arrowhead=none]"]
    lines.append(f"node [shape=box, fixedsize=true{', ordering=in' * ordered}]")

    def add(k: int) -> None:
        # Scopes are nested as deep as somebody wrote `with`: recursion is short here.
        width = "n" * min(len(frames[k].name), 40)
        lines.append(f'subgraph cluster_{k} {{ label="{width}"; labeljust=l; fontsize=11; margin=9')
        lines.extend(f"b{i}" for i in frames[k].boxes)
        for j in reversed(frames[k].frames):
            add(j)
        lines.append("}")

    # Within frames Graphviz places from below, and outside from above: first is to be above.
    framed = {i for frame in frames for i in frame.boxes}
    lines += [
        f"b{i} [width={sizes[i][0] / 72:.4f}, height={sizes[i][1] / 72:.4f}]"
        for i in sorted(range(len(sizes)), key=lambda i: (i in framed, -i if i in framed else i))
    ]
    for k in reversed(range(len(frames))):  # from below
        if k not in inner:
            add(k)
    lines += [
        f"b{a} -> b{b} [id=e{k}, tailport=e, headport=w]"
        for k, (a, b) in [*enumerate(arrows)][:: -1 if frames else 1]
    ]
    lines += [f"b{a} -> b{b} [style=invis]" for a, b in waits]
    return "\n".join([*lines, "}"])


def _read(found: dict[str, Any], boxes: int, arrows: int, frames: int) -> Placing:
    _, _, width, height = _numbers(found["bb"])

    def point(x: float, y: float) -> Point:
        return x + _MARGIN, height - y + _MARGIN

    centres: list[Point] = [(0.0, 0.0)] * boxes
    rectangles = [(0.0, 0.0, 0.0, 0.0)] * frames
    for item in found.get("objects", ()):
        name = item["name"]
        if name.startswith("cluster_") and "bb" in item:
            left, bottom, right, top = _numbers(item["bb"])
            at = point(left, top)
            rectangles[int(name.removeprefix("cluster_"))] = (*at, right - left, top - bottom)
        elif name.startswith("b"):
            x, y = _numbers(item["pos"])
            centres[int(name[1:])] = point(x, y)
    curves: list[list[Point]] = [[] for _ in range(arrows)]
    for item in found.get("edges", ())[:arrows]:
        pairs = [_numbers(pair) for pair in item["pos"].split()]
        curves[int(item["id"][1:])] = [point(x, y) for x, y in pairs]
    return Placing(width + 2 * _MARGIN, height + 2 * _MARGIN, centres, curves, rectangles)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _in_columns(sizes: Sequence[tuple[float, float]], arrows: Sequence[tuple[int, int]]) -> Placing:
    """Each box one column behind its last operand, and operands close to where they are used."""
    count = len(sizes)
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
