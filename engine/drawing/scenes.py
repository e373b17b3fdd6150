"""What happens to a picture of a graph at each step of the two passes over it.

In go the walk over the nodes (`steps`) and the picture (`fold`), whose boxes may stand for many of
them; out come the steps, and for each what a player has to change in what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.drawing.formula import number
from engine.drawing.picture import Box, Picture
from engine.drawing.steps import Walk, in_line, make_steps
from engine.graph import Graph


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
        self.seen = self._seen()
        self.changes = self._changes()
        self.last_grads = {b: text for change in self.changes for b, text in change["grads"]}

    def _seen(self) -> list[list[int]]:
        """By box: the nodes whose gradients it shows, which are those used outside."""
        root = len(self.walk.values) - 1
        used = {root}
        for node, b in self.box_of.items():
            for operand, _ in self.walk.values[node]._operands():
                if operand is not None and self.box_of[self.walk.places[operand]] != b:
                    used.add(self.walk.places[operand])
        return [[i for i in inside if i in used] or inside for inside in self.inside]

    def _changes(self) -> list[dict[str, Any]]:
        totals = [0.0] * len(self.walk.values)
        totals[-1] = 1.0
        root_box = self.box_of[len(totals) - 1]
        leaf_boxes = [b for b, i in enumerate(self.inside) if i and b not in set(self.active)]
        changes: list[dict[str, Any]] = [_change("start", leaf_boxes)]
        changes += [_change("forward", [b]) for b in self.active]
        changes.append(_change("seed", [root_box], grads=[(root_box, "1")]))
        told = {root_box}
        arrows: dict[tuple[int, int], list[int]] = {}
        for a, ends in enumerate(self.arrow_ends):
            arrows.setdefault(ends, []).append(a)
        for b in reversed(self.active):
            sent: dict[int, list[float]] = {}
            for node in reversed(self.inside[b]):
                for passed in self.walk.passed.get(node, ()):
                    totals[passed.target] = passed.total
                    sent.setdefault(self.box_of[passed.target], []).append(passed.contribution)
            notes = [
                (a, text)
                for source, contributions in sent.items()
                if source != b
                for a, text in _notes(arrows[source, b], contributions)
            ]
            grads = [(source, self._grads(source, totals)) for source in sent]
            # Where nothing has arrived when its turn comes, that is final.
            grads += [] if b in told else [(b, self._grads(b, totals))]
            told.update(box for box, _ in grads)
            changes.append(_change("backward", [b], notes, grads))
        last = [(b, self._grads(b, totals)) for b in leaf_boxes]
        return [*changes, _change("leaves", leaf_boxes, grads=last)]

    def _grads(self, b: int, totals: Sequence[float]) -> str:
        grads = [totals[i] for i in self.seen[b]]
        return in_range(min(grads), max(grads))

    def description(self) -> str:
        """What the player is, for those who don't see it."""
        boxes = f"{len(self.picture.boxes)} boxes"
        return (
            f"Computation of {self.walk.names[-1]} and its gradients, {boxes}, "
            f"{len(self.steps)} steps. Arrow keys go from step to step, space plays."
        )


def _change(
    phase: str,
    boxes: list[int],
    arrows: Sequence[tuple[int, str]] = (),
    grads: Sequence[tuple[int, str]] = (),
) -> dict[str, Any]:
    return {"phase": phase, "boxes": boxes, "arrows": arrows, "grads": grads}


def _notes(arrows: Sequence[int], contributions: Sequence[float]) -> list[tuple[int, str]]:
    """What is written at arrows between the same two boxes: what flows back, or how much of it."""
    if len(arrows) == len(contributions):
        return [(a, _signed(c)) for a, c in zip(arrows, contributions, strict=True)]
    return [(arrows[0], f"{len(contributions):,} ×")]


def _signed(x: float) -> str:
    text = number(x)
    return text if text.startswith("\N{MINUS SIGN}") else f"+{text}"


def in_range(low: float, high: float) -> str:
    return number(low) if low == high or low != low else f"{number(low)} … {number(high)}"


def title_of(box: Box) -> str:
    """What a folded box is called."""
    if not box.family and box.repeats == box.count:
        return f"{box.count:,} leaves {in_line(box.title.removeprefix('leaves'))}".strip()
    times = f" × {box.repeats}" if box.repeats > 1 else ""
    return f"{in_line(box.title)}{times}"
