"""The picture that a player plays on, as SVG: boxes, arrows and frames that can be told apart.

Graphviz only says where things go: so that the colours are the page's, light or dark, and each
number can change by itself. Boxes and arrows come in the order of the picture.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from engine.drawing.formula import sign
from engine.drawing.picture import Arrow, Box, Cluster
from engine.drawing.placing import place
from engine.drawing.scenes import Scenes, title_of
from engine.drawing.steps import in_line
from engine.drawing.theme import number_text, row_text, title_text
from engine.drawing.widths import room

_ROW, _PAD, _GAP = 17.0, 9.0, 7.0
_FORMULA = 50  # characters of a sum that is written in its box


class _Shape(NamedTuple):
    """A box as it is drawn: its texts, and how much room they take."""

    name: str
    is_made: bool  # whether the name is v1, v2, …, which nobody gave
    badge: tuple[str, float] | None  # the sign of an operation, left of its box, and its width
    rows: list[tuple[str, str, str]]  # class, key, number
    width: float
    height: float

    @property
    def whole(self) -> float:
        """The width with the sign."""
        return self.width + (self.badge[1] + _GAP if self.badge else 0.0)


def draw_stage(scenes: Scenes) -> tuple[float, float, str]:
    """The picture's width, height and content."""
    picture = scenes.picture
    shapes = [_shape(box, b, scenes) for b, box in enumerate(picture.boxes)]
    layout = place(picture, [(shape.whole, shape.height) for shape in shapes])
    parts = [
        f'<rect class="gl-frame" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="8"/>'
        f'<text class="gl-frame-name" x="{x + 9:.1f}" y="{y + 16:.1f}">'
        f"{_frame_name(cluster)}</text>"
        for cluster, (x, y, w, h) in zip(picture.clusters, layout.frames, strict=False)
    ]
    parts += [_arrow(a, curve) for a, curve in zip(picture.arrows, layout.curves, strict=True)]
    active = set(scenes.active)
    for b, (shape, centre) in enumerate(zip(shapes, layout.centres, strict=True)):
        parts.append(_box(picture.boxes[b], shape, centre, is_leaf=b not in active))
    parts += [_note_place(curve) for curve in layout.curves]  # last, so that nothing covers them
    return layout.width, layout.height, "\n".join(parts)


def _shape(box: Box, b: int, scenes: Scenes) -> _Shape:
    if box.kind == "literal":
        text = number_text(box.rows[0].number)
        return _Shape(text, False, None, [], _width(text) + 8, 18.0)
    walk, inside = scenes.walk, scenes.inside[b]
    data, grads = row_text(box.rows[0]), scenes.grads.get(b, [""])
    rows = [("gl-data", "data", data), ("gl-grad", "grad", grads[-1])]
    badge = None
    if box.kind == "fold":
        name, is_made = title_of(box), False
        outputs = [i for i in scenes.outputs[b] if walk.values[i].op]
        if len(outputs) == 1:
            sums = walk.sum_of_products([i for i in inside if walk.values[i].op])
            if sums is not None and len(sums[0]) <= _FORMULA:
                name = sums[0]
            name = f"{walk.names[outputs[0]]} = {name}"
    else:
        name, is_made = walk.names[inside[-1]], not walk.values[inside[-1]].label.strip()
        if box.kind == "operation":
            text = _cut(sign(in_line(box.title)), 16)
            badge = (text, max(26.0, _width(text) + 14))
    name = _cut(name, _FORMULA + 12)
    numbers = max(_width(text) for text in (data, "−0.0000", *grads))
    widest = max(_width(name), 34 + numbers)
    return _Shape(name, is_made, badge, rows, widest + 2 * _PAD, 24 + _ROW * len(rows) + 4)


def _box(box: Box, shape: _Shape, centre: tuple[float, float], *, is_leaf: bool) -> str:
    left, top = centre[0] - shape.whole / 2, centre[1] - shape.height / 2
    if box.kind == "literal":
        text = f'<text class="gl-literal" x="{shape.whole / 2:.1f}" y="13" text-anchor="middle">'
        return f'<g class="gl-box" {_at(left, top)}>{text}{html.escape(shape.name)}</text></g>'
    kind = "root" if box.is_root else "leaf" if is_leaf else "number"
    if box.kind == "fold" and box.family and not box.is_root:
        kind = box.family
    style = f"--fill: var(--{kind}); --edge: var(--{kind}-line)"
    head = f'<g class="gl-box" {_at(left, top)} style="{style}">'
    parts = [f"{head}<title>{_tooltip(box)}</title>"]
    x = 0.0
    if shape.badge is not None:
        (text, width), middle = shape.badge, shape.height / 2
        parts.append(
            f'<rect class="gl-sign" x="0" y="{middle - 13:.1f}" '
            f'style="--fill: var(--{box.family}); --edge: var(--{box.family}-line)" '
            f'width="{width:.1f}" height="26" rx="13"/><text class="gl-op" '
            f'x="{width / 2:.1f}" y="{middle + 4.5:.1f}">{html.escape(text)}</text>'
        )
        x = width + _GAP
    parts.append(
        f'<rect class="gl-body" x="{x:.1f}" y="0" width="{shape.width:.1f}" '
        f'height="{shape.height:.1f}" rx="7"/><text class="gl-name{" gl-made" * shape.is_made}" '
        f'x="{x + _PAD:.1f}" y="17">{html.escape(shape.name)}</text>'
    )
    for k, (name, key, text) in enumerate(shape.rows):
        y = 24 + _ROW * k + 12
        parts.append(
            f'<text class="gl-key" x="{x + _PAD:.1f}" y="{y:.0f}">{key}</text><text '
            f'class="{name}" x="{x + shape.width - _PAD:.1f}" y="{y:.0f}" text-anchor="end">'
            f"{html.escape(text)}</text>"
        )
    return "".join([*parts, "</g>"])


def _tooltip(box: Box) -> str:
    return html.escape(box.detail if box.kind == "fold" else in_line(box.label) or box.title)


def _at(x: float, y: float) -> str:
    return f'transform="translate({x:.1f} {y:.1f})"'


def _arrow(arrow: Arrow, curve: Sequence[tuple[float, float]]) -> str:
    (x0, y0), *rest = [(round(x, 1), round(y, 1)) for x, y in curve]
    x, y = rest[-1]
    points = " ".join(f"{x:g},{y:g}" for x, y in [*rest[:-1], (x - 3, y)])
    width = f' style="stroke-width: {min(4.0, 1.2 + 0.3 * arrow.count):.1f}"' * (arrow.count > 1)
    return (
        f'<g class="gl-arrow"><path d="M{x0:g},{y0:g} C{points}"{width}/>'
        f'<polygon points="{x:g},{y:g} {x - 7:g},{y - 3.5:g} {x - 7:g},{y + 3.5:g}"/></g>'
    )


def _note_place(curve: Sequence[tuple[float, float]]) -> str:
    """An empty text at the middle of an arrow, for what flows back along it."""
    k = (len(curve) - 1) // 6 * 3  # the first point of a cubic in the middle
    if (len(curve) - 1) // 3 % 2:  # an odd number of pieces: the middle of the middle one
        p = curve[k : k + 4]
        x, y = ((p[0][i] + 3 * p[1][i] + 3 * p[2][i] + p[3][i]) / 8 for i in (0, 1))
    else:
        x, y = curve[k]
    return f'<text class="gl-note" x="{x:.1f}" y="{y - 6:.1f}"></text>'


def _width(text: str) -> float:
    """The room that a text takes, in pixels, at the size of the picture."""
    return room(text, 12.0)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _frame_name(cluster: Cluster) -> str:
    return html.escape(title_text(replace(cluster, name=_cut(in_line(cluster.name), 40))))
