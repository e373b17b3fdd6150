"""Colours and widths for a `Picture`: numbers, gradients, derivatives, paths, families.

What is painted is only looked up; the shape of a picture is `fold`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from engine.drawing.flow import Flow, strongest_path
from engine.drawing.picture import Arrow, Key, Picture, row_of
from engine.drawing.theme import number_text, row_text
from engine.graph import Graph

COLOURS = ("value", "gradient", "derivative")
LABELLED = 60  # arrows, up to which each says its derivative


def families(picture: Picture) -> Picture:
    """Add a legend of the operations' families, if there are several."""
    found = dict.fromkeys(box.family for box in picture.boxes if box.family)
    keys = [Key("family", family, family) for family in found]
    if any(box.operations > 1 and not box.family for box in picture.boxes):
        keys.append(Key("family", "", "scope"))
    return _with_legend(picture, keys) if len(keys) > 1 else picture


def with_names(picture: Picture, names: Mapping[int, str]) -> Picture:
    """Give boxes of one node without a label its name."""
    boxes = [
        replace(box, label=names.get(box.members[0], ""))
        if len(box.members) == 1 and not box.label
        else box
        for box in picture.boxes
    ]
    return replace(picture, boxes=tuple(boxes))


def by_number(picture: Picture, graph: Graph, flow: Flow | None) -> Picture:
    """Colour the boxes by their gradients, if `flow` is given, or else by their numbers.

    A box that stands for several has the root of their mean square, with the sign of their sum.
    The widths of arrows are what passes along them: the operands' numbers, or gradients.
    """
    numbers = [node.data for node in graph.nodes] if flow is None else list(flow.adjoints)
    of_box = {
        box.id: _typical([numbers[i] for i in box.shown])
        for box in picture.boxes
        if not box.is_bare
    }
    scale = _Scale(of_box.values())
    boxes = []
    for box in picture.boxes:
        if not box.is_bare:
            box = replace(box, shade=scale.shade(of_box[box.id]))
            if flow is not None:
                row = row_of("grad", [numbers[i] for i in box.shown])
                rows = [row if old.name == "grad" else old for old in box.rows]
                if row not in rows:
                    rows.insert(1, row)
                box = replace(box, rows=tuple(rows))
        boxes.append(box)
    passing = [
        _typical(
            [
                flow.passed[i][k] if flow is not None else numbers[graph.operands[i][k]]
                for i, k in edges
            ]
        )
        for edges in _edges(picture, graph)
    ]
    widths = _Scale(passing)
    arrows = [_weighted(arrow, x, widths) for arrow, x in zip(picture.arrows, passing, strict=True)]
    name = "number" if flow is None else "gradient"
    return _with_legend(
        replace(picture, boxes=tuple(boxes), arrows=tuple(arrows)), scale.keys(name)
    )


def by_derivative(picture: Picture, graph: Graph, flow: Flow) -> Picture:
    """Colour the arrows by the local derivatives, and write these on them where they are few."""
    bare = {box.id for box in picture.boxes if box.is_bare}
    found = [
        [] if arrow.source in bare else [flow.partials[i][k] for i, k in edges]
        for arrow, edges in zip(picture.arrows, _edges(picture, graph), strict=True)
    ]
    scale = _Scale([_typical(partials) for partials in found if partials])
    few = sum(map(bool, found)) <= LABELLED
    arrows = []
    for arrow, partials in zip(picture.arrows, found, strict=True):
        if partials:
            text, typical = row_text(row_of("", partials)), _typical(partials)
            arrow = replace(arrow, shade=scale.shade(typical), detail=f"local derivative {text}")
            arrow = _weighted(replace(arrow, label=text if few else ""), typical, scale)
        arrows.append(arrow)
    return _with_legend(replace(picture, arrows=tuple(arrows)), scale.keys("local derivative"))


def with_path(picture: Picture, graph: Graph, flow: Flow) -> Picture:
    """Mark the boxes and arrows on the strongest path."""
    path = strongest_path(graph, flow)
    box_of = _box_of(picture)
    nodes = {i for edge in path for i in edge}
    ends = {(box_of.get(a), box_of.get(b)) for a, b in path}
    arrows = [
        replace(arrow, is_marked=True) if (arrow.source, arrow.target) in ends else arrow
        for arrow in picture.arrows
    ]
    text = "where most of the gradient passes"
    if path:
        leaf, user = path[-1]
        edges = zip(graph.operands[user], flow.passed[user], strict=True)
        passed = max((g for i, g in edges if i == leaf), key=abs)
        label = graph.nodes[leaf].label
        text += f": {number_text(passed)} at its end" + (f", {label}" if label else "")
    else:
        text = "no gradient passes"
    marked = with_marks(replace(picture, arrows=tuple(arrows)), nodes)
    return _with_legend(marked, [Key("mark", "", text)])


def with_marks(picture: Picture, nodes: Iterable[int]) -> Picture:
    """Mark the boxes of these nodes."""
    marked = set(nodes)
    boxes = [
        replace(box, is_marked=True) if marked.intersection(box.members) else box
        for box in picture.boxes
    ]
    return replace(picture, boxes=tuple(boxes))


class _Scale:
    """From numbers to -1 to 1: the root of their share of the largest, which tells small ones."""

    def __init__(self, numbers: Iterable[float]) -> None:
        sizes = [abs(x) for x in numbers if math.isfinite(x)]
        self.largest = max(sizes, default=0.0)

    def shade(self, x: float) -> float | None:
        if math.isnan(x):
            return None
        share = 0.0 if self.largest == 0.0 else min(1.0, math.sqrt(abs(x) / self.largest))
        if math.isinf(x):
            share = 1.0
        return math.copysign(share, x) + 0.0

    def keys(self, name: str) -> list[Key]:
        samples = [
            Key("shade", s, number_text(math.copysign(s * s * self.largest, s) + 0.0))
            for s in (-1.0, -0.6, 0.0, 0.6, 1.0)
        ]
        return [Key("note", "", name), *samples]


def _weighted(arrow: Arrow, number: float, scale: _Scale) -> Arrow:
    shade = scale.shade(number)
    return replace(arrow, weight=None if shade is None else abs(shade))


def _typical(numbers: Sequence[float]) -> float:
    """The number itself; of several the root of their mean square, with the sign of their sum."""
    if len(numbers) < 2:
        return numbers[0] if numbers else 0.0
    size = max(map(abs, numbers))
    if not 0.0 < size < math.inf:
        return size
    mean = sum((x / size) ** 2 for x in numbers) / len(numbers)
    return math.copysign(size * math.sqrt(mean), sum(x / size for x in numbers))


def _box_of(picture: Picture) -> dict[int, str]:
    return {i: box.id for box in picture.boxes for i in box.members}


def _edges(picture: Picture, graph: Graph) -> list[list[tuple[int, int]]]:
    """By arrow the edges that it stands for: (node, operand number)."""
    box_of = _box_of(picture)
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for i, operands in enumerate(graph.operands):
        for k, source in enumerate(operands):
            if i in box_of and source in box_of:
                found.setdefault((box_of[source], box_of[i]), []).append((i, k))
    return [
        [
            (i, k)
            for i, k in found.get((arrow.source, arrow.target), ())
            if arrow.operand in (None, k)
        ]
        for arrow in picture.arrows
    ]


def _with_legend(picture: Picture, keys: Sequence[Key]) -> Picture:
    return replace(picture, legend=(*picture.legend, *keys))
