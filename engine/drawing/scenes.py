"""What happens to a picture of a graph at each step of the two passes over it.

In go the walk over the nodes (`steps`) and the picture (`fold`), whose boxes may stand for many of
them; out come the steps, and for each what a player has to change in what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.drawing.picture import Box, Picture, row_of
from engine.drawing.steps import Walk, in_line, make_steps
from engine.drawing.theme import number_text, row_text, title_text
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


def _signed(x: float) -> str:
    text = number_text(x)
    return text if text.startswith("\N{MINUS SIGN}") else f"+{text}"


def title_of(box: Box) -> str:
    """What a folded box is called."""
    if not box.family and box.repeats == box.count:
        return f"{box.count:,} leaves {in_line(box.title.removeprefix('leaves'))}".strip()
    return in_line(title_text(box))
