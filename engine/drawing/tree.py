"""From a `Picture` to a text: a tree from the results down to the leaves, for terminals."""

from __future__ import annotations

from engine.drawing.picture import Box, Picture
from engine.drawing.theme import number_text, plain, row_text, title_text

DEPTH = 16  # levels below a result
LINES = 200


def to_tree(picture: Picture, depth: int = DEPTH, lines: int = LINES) -> str:
    """Return a picture as a tree, each box below what uses it, its own sub-tree only once.

    >>> from engine import Graph, Value
    >>> from engine.drawing.fold import fold
    >>> x = Value(2.0, label="x")
    >>> print(to_tree(fold(Graph(x * x + 1.0))))
    + = 5
    ├─ * = 4
    │  ├─ x = 2
    │  └─ x = 2 (above)
    └─ 1
    """
    box_of = {box.id: box for box in picture.boxes}
    operands: dict[str, list[str]] = {box.id: [] for box in picture.boxes}
    for arrow in picture.arrows:
        operands[arrow.target].append(arrow.source)
    used = {arrow.source for arrow in picture.arrows}
    roots = [box.id for box in picture.boxes if box.is_root] or [
        box.id for box in picture.boxes if box.id not in used
    ]
    paths: dict[str | None, str] = {None: ""}
    for cluster in picture.clusters:  # parents come first
        outer = paths[cluster.parent]
        paths[cluster.id] = (f"{outer} / " if outer else "") + title_text(cluster)
    written: list[str] = []
    seen: set[str] = set()
    # what is to be written: the box, what stands before it, before what is below it, its level
    pending = [(root, "", "", 0) for root in reversed(roots)]
    while pending:
        if len(written) == lines:
            written.append(f"… and more: {len(box_of) - len(seen):,} boxes are not shown")
            break
        name, before, below, level = pending.pop()
        text = _line(box_of[name], paths[box_of[name].cluster])
        inside = operands[name]
        if name in seen:
            written.append(f"{before}{text} (above)")
            continue
        seen.add(name)
        if inside and level == depth:
            text, inside = f"{text} …", []
        written.append(before + text)
        for k, source in enumerate(reversed(inside)):
            branch, bar = ("├─ ", "│  ") if k else ("└─ ", "   ")
            pending.append((source, below + branch, below + bar, level + 1))
    if picture.caption:
        written.append(f"({picture.caption})")
    return "\n".join(plain(line) for line in written)


def _line(box: Box, frame: str) -> str:
    if box.is_bare:
        return box.title or number_text(box.rows[0].number)
    names = [name.replace("\n", " ") for name in (box.label, title_text(box)) if name]
    text = ": ".join(names)
    rows = {row.name: row for row in box.rows}
    if "data" in rows:
        text = f"{text} = {row_text(rows['data'])}" if text else row_text(rows["data"])
    notes = [
        f"{row.name} {row_text(row)}"
        for row in box.rows
        if row.name != "data" and (row.number or row.high)
    ]
    if frame and box.kind == "fold":
        notes.append(f"in {frame}")
    return f"{text} ({', '.join(notes)})" if notes else text
