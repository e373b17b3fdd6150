"""Picture: what is to be drawn, before any renderer: boxes, arrows between them, and frames.

`fold` makes pictures of graphs, `paint` colours them; `dot`, `tree` and whatever else draws reads
them. Pictures are plain data: other code may build its own, of anything that has boxes and arrows.
Texts in them are data, never markup.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """A number of a box with its name; with `high` a range of numbers, from `number` to it."""

    name: str
    number: float
    high: float | None = None


def row_of(name: str, numbers: Sequence[float]) -> Row:
    """The row of a number, or of the range of several."""
    low, high = min(numbers), max(numbers)
    return Row(name, low, high if high != low else None)


@dataclass(frozen=True, slots=True)
class Box:
    """One thing in a picture: a number, an operation with its result, or many folded to one."""

    id: str  # unique in its picture; letters, digits and _
    kind: str  # "leaf", "literal", "operation", "fold" for several, "more" for what is cut off
    title: str = ""  # the operation, or what is folded: "Σ of 64 products", "Neuron"
    label: str = ""  # the name that the user gave
    rows: tuple[Row, ...] = ()
    count: int = 1  # of scalars that it stands for
    operations: int = 0  # of these
    repeats: int = 1  # of alike parts that are rolled up here
    cluster: str | None = None  # the id of the frame that it is in
    family: str = ""  # of its operation, as in the table; "reduction" for sums and the like
    is_root: bool = False
    is_marked: bool = False  # what the reader asked for: the strongest path, the centre of a part
    shade: float | None = None  # from -1 to 1, for a colour
    members: tuple[int, ...] = ()  # the indices of its nodes in the Graph
    outputs: tuple[int, ...] = ()  # those whose numbers others use; all, where it is empty
    detail: str = ""  # more to read, on hovering

    @property
    def is_bare(self) -> bool:
        """Whether it is a text without a box around."""
        return self.kind in ("literal", "more")

    @property
    def shown(self) -> tuple[int, ...]:
        """The nodes whose numbers it shows."""
        return self.outputs or self.members


@dataclass(frozen=True, slots=True)
class Arrow:
    """The box `target` uses the box `source`."""

    source: str
    target: str
    count: int = 1  # of edges that it stands for
    operand: int | None = None  # which operand of the target it is, if it is only one edge
    label: str = ""
    is_marked: bool = False
    shade: float | None = None  # from -1 to 1, for a colour
    weight: float | None = None  # from 0 to 1, for a width
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A frame around boxes and other frames."""

    id: str
    name: str
    parent: str | None = None
    repeats: int = 1
    count: int = 0  # of scalars inside


class Key(NamedTuple):
    """A part of the legend: a `sample`, its value, and what it means.

    Samples are "family" (with its name), "shade" (from -1 to 1), "mark" and "note", without one.
    """

    sample: str
    value: str | float
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes in the order of computation, arrows, frames (parents first), caption and legend."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    clusters: tuple[Cluster, ...] = ()
    caption: str = ""
    legend: tuple[Key, ...] = ()

    @property
    def is_folded(self) -> bool:
        """Whether any box stands for several nodes."""
        return any(box.kind == "fold" for box in self.boxes)

    def nested(self, step: int = 1) -> Iterator[Box | Cluster | None]:
        """Yield the boxes in no frame, and then frames, each before what is in it, with None at its
        end; with a `step` of -1 the last ones first."""
        boxes: dict[str | None, list[Box]] = defaultdict(list)
        for box in self.boxes[::step]:
            boxes[box.cluster].append(box)
        frames: dict[str | None, list[Cluster | None]] = defaultdict(list)
        for cluster in self.clusters[::-step]:
            frames[cluster.parent].append(cluster)
        yield from boxes[None]
        pending = frames[None]
        while pending:
            frame = pending.pop()
            yield frame
            if frame is not None:
                yield from boxes[frame.id]
                pending += [None, *frames[frame.id]]

    def waits(self) -> list[tuple[str, str]]:
        """Pairs of boxes of which the second, a leaf, is to stand behind the first.

        The first comes from another frame into an operation, and the second is its other operand:
        so a layer stands to the right of what it takes, weights and all.
        """
        frames = {cluster.id: cluster.parent for cluster in self.clusters}
        cluster = {box.id: box.cluster for box in self.boxes}
        operands: dict[str, list[str]] = {box.id: [] for box in self.boxes}
        uses = Counter(arrow.source for arrow in self.arrows)
        for arrow in self.arrows:
            operands[arrow.target].append(arrow.source)
        pairs = dict[tuple[str, str], None]()
        inputs, first = dict[str, None](), dict[str, None]()
        for target, sources in operands.items():
            around = set[str | None]()
            frame = cluster[target]
            while frame is not None:
                around.add(frame)
                frame = frames[frame]
            entering = [s for s in sources if (cluster[s] or around) and cluster[s] not in around]
            leaves = [s for s in sources if not operands[s] and uses[s] == 1 and s not in entering]
            pairs |= dict.fromkeys((source, leaf) for source in entering for leaf in leaves)
            given = [s for s in entering if cluster[s] is None and not operands[s]]
            if given:
                inputs |= dict.fromkeys(given)
                first |= dict.fromkeys(leaves)
        pairs |= dict.fromkeys((source, leaf) for source in inputs for leaf in [*first][:1])
        return list(pairs)

    def __repr__(self) -> str:
        return (
            f"Picture({len(self.boxes)} boxes, {len(self.arrows)} arrows, "
            f"{len(self.clusters)} frames)"
        )
