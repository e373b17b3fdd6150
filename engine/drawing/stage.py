"""The picture that a player plays on, and what happens to it at each step of the two passes.

In go the walk over the nodes (`steps`) and the picture (`fold`), whose boxes may stand for many of
them; out come the steps with what a player has to change at each, and an SVG of boxes, arrows and
frames that can be told apart. Graphviz only says where things go (`placing`): so that the colours
are the page's, light or dark, and each number can change by itself.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from engine.drawing.formula import sign
from engine.drawing.picture import Arrow, Box, Cluster, Picture, row_of
from engine.drawing.placing import place
from engine.drawing.steps import Walk, in_line, make_steps
from engine.drawing.theme import number_text, row_text, title_text
from engine.drawing.widths import room
from engine.graph import Graph

_ROW, _PAD, _GAP = 17.0, 9.0, 7.0
_FORMULA = 50  # characters of a sum that is written in its box


class Scenes:
    """The steps, and for each which boxes and arrows it is about, and which gradients change."""

    def __init__(self, walk: Walk, graph: Graph, picture: Picture) -> None:
        self.walk, self.picture = walk, picture
        numbers = [node.index for node in graph.nodes if node.kind != "literal"]
        walked = {index: i for i, index in enumerate(numbers)}  # the walk has no literals
        self.inside = [[walked[m] for m in box.members if m in walked] for box in picture.boxes]
        self.box_of = {i: b for b, inside in enumerate(self.inside) for i in inside}
        operations = [[i for i in inside if walk.values[i].op] for inside in self.inside]
        self.active = [b for b, inside in enumerate(operations) if inside]
        self.steps = make_steps(
            walk,
            [operations[b] for b in self.active],
            [title_of(picture.boxes[b]) for b in self.active],
        )
        index = {box.id: b for b, box in enumerate(picture.boxes)}
        self.arrow_ends = [(index[a.source], index[a.target]) for a in picture.arrows]
        self.outputs = [[walked[m] for m in box.shown if m in walked] for box in picture.boxes]
        self._arrows = {
            (*ends, arrow.operand): a
            for a, (ends, arrow) in enumerate(zip(self.arrow_ends, picture.arrows, strict=True))
        }
        self.changes = self._changes()
        # By box: the gradients that it shows, one after the other.
        self.grads: dict[int, list[str]] = {}
        for change in self.changes:
            for b, text in change["grads"]:
                self.grads.setdefault(b, []).append(text)

    def _changes(self) -> list[dict[str, Any]]:
        totals = [0.0] * len(self.walk.values)
        totals[-1] = 1.0
        root_box = self.box_of[len(totals) - 1]
        leaf_boxes = [b for b, i in enumerate(self.inside) if i and b not in set(self.active)]
        changes: list[dict[str, Any]] = [_change("start", leaf_boxes)]
        changes += [_change("forward", [b]) for b in self.active]
        changes.append(_change("seed", [root_box], grads=[(root_box, "1")]))
        told = {root_box}
        for b in reversed(self.active):
            sent: dict[int, list[float]] = {}  # by arrow
            reached = dict[int, None]()
            for node in reversed(self.inside[b]):
                for step in self.walk.passed.get(node, ()):
                    source = self.box_of[step.target]
                    totals[step.target] = step.total
                    reached[source] = None
                    if source != b:
                        arrow = self._arrow(source, b, step.operand)
                        sent.setdefault(arrow, []).append(step.contribution)
            notes = [
                (arrow, _signed(each[0]) if len(each) == 1 else f"{len(each):,} ×")
                for arrow, each in sent.items()
            ]
            grads = [(source, self._grads(source, totals)) for source in reached]
            # Where nothing has arrived when its turn comes, that is final.
            grads += [] if b in told else [(b, self._grads(b, totals))]
            told.update(box for box, _ in grads)
            changes.append(_change("backward", [b], notes, grads))
        last = [(b, self._grads(b, totals)) for b in leaf_boxes]
        return [*changes, _change("leaves", leaf_boxes, grads=last)]

    def _arrow(self, source: int, target: int, operand: int) -> int:
        """The arrow for an operand: its own, or that of all between two boxes."""
        own = self._arrows.get((source, target, operand))
        return self._arrows[source, target, None] if own is None else own

    def _grads(self, b: int, totals: Sequence[float]) -> str:
        return row_text(row_of("grad", [totals[i] for i in self.outputs[b]]))


def _change(
    phase: str,
    boxes: list[int],
    arrows: Sequence[tuple[int, str]] = (),
    grads: Sequence[tuple[int, str]] = (),
) -> dict[str, Any]:
    return {"phase": phase, "boxes": boxes, "arrows": arrows, "grads": grads}


def _signed(x: float) -> str:
    text = number_text(x)
    return text if text.startswith("\N{MINUS SIGN}") else f"+{text}"


def title_of(box: Box) -> str:
    """What a folded box is called."""
    if not box.family and box.repeats == box.count:
        return f"{box.count:,} leaves {in_line(box.title.removeprefix('leaves'))}".strip()
    return in_line(title_text(box))


# --- as SVG --------------------------------------------------------------------------------------


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
    group = f'<g class="gl-box" transform="translate({left:.1f} {top:.1f})"'
    if box.kind == "literal":
        text = f'<text class="gl-literal" x="{shape.whole / 2:.1f}" y="13" text-anchor="middle">'
        return f"{group}>{text}{html.escape(shape.name)}</text></g>"
    kind = "root" if box.is_root else "leaf" if is_leaf else "number"
    if box.kind == "fold" and box.family and not box.is_root:
        kind = box.family
    style = f"--fill: var(--{kind}); --edge: var(--{kind}-line)"
    told = box.detail if box.kind == "fold" else in_line(box.label) or box.title
    parts = [f'{group} style="{style}"><title>{html.escape(told)}</title>']
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
