"""From a `Picture` to Graphviz source.

A picture that is not folded has micrograd's look: each number a box with its data and gradient,
each operation a circle before its result. In a folded one each box has a head that says what it
stands for. Labels are data, never markup: every text goes through `_text`, which makes it safe
inside of Graphviz's HTML-like labels.
"""

from __future__ import annotations

import graphviz

from engine.drawing.picture import Arrow, Box, Cluster, Key, Picture
from engine.drawing.theme import LIGHT, Theme, markup, number_text, row_text, title_text

_FONT = "Helvetica"
_THICK = 3.0  # the width of what is marked
_CIRCLES = 300  # boxes, up to which operations stand before their results


def to_dot(picture: Picture, rankdir: str = "LR", theme: Theme = LIGHT) -> str:
    """Return the DOT source of a picture. Its nodes are called as the boxes are."""
    attributes = {
        "rankdir": rankdir,
        "bgcolor": theme.background,
        "fontname": _FONT,
        "nodesep": "0.15",
        "ranksep": "0.5" if picture.is_folded else "0.3",
    }
    if len(picture.boxes) > _CIRCLES:  # Graphviz would take minutes over a prettier layout
        attributes |= {"nslimit": "1", "nslimit1": "1", "mclimit": "0.3", "splines": "line"}
    foot = _foot(picture, theme)
    if foot:
        attributes |= {"label": f"<{foot}>", "labelloc": "b", "labeljust": "l"}
    dot = graphviz.Digraph(
        graph_attr=attributes,
        node_attr={"fontname": _FONT, "fontsize": "11", "fontcolor": theme.ink},
        edge_attr={
            "color": theme.arrow,
            "arrowsize": "0.6",
            "fontname": _FONT,
            "fontsize": "9",
            "fontcolor": theme.muted,
        },
    )
    _add_boxes(dot, picture, theme)
    circles = {box.id for box in picture.boxes if _has_circle(box, picture)}
    for arrow in picture.arrows:
        target = f"op_{arrow.target}" if arrow.target in circles else arrow.target
        dot.edge(arrow.source, target, **_look(arrow, theme))
    for box in picture.boxes:
        if box.id in circles:
            look = {"color": theme.mark, "penwidth": str(_THICK)} if box.is_marked else {}
            dot.edge(f"op_{box.id}", box.id, arrowhead="none", **look)
    return str(dot.source)


def _look(arrow: Arrow, theme: Theme) -> dict[str, str]:
    """How an arrow differs from the others."""
    look = {}
    if arrow.label:
        text = f'<FONT COLOR="{theme.ink}">{_text(arrow.label)}</FONT>'
        look["label"] = f'<<TABLE BORDER="0" CELLPADDING="3"><TR><TD>{text}</TD></TR></TABLE>>'
    if arrow.shade is not None:
        look["color"] = theme.shade(arrow.shade, stroke=True)
    if arrow.weight is not None:
        look["penwidth"] = f"{0.5 + 3.5 * arrow.weight:.2f}"
    if arrow.is_marked:
        look |= {"color": theme.mark, "penwidth": str(_THICK)}
    return look


def _has_circle(box: Box, picture: Picture) -> bool:
    return box.kind == "operation" and not picture.is_folded and len(picture.boxes) <= _CIRCLES


def _add_boxes(dot: graphviz.Digraph, picture: Picture, theme: Theme) -> None:
    """Add all boxes, each in its frame, and frames inside of their parents."""
    inside: dict[str | None, list[Box]] = {None: []}
    children: dict[str | None, list[Cluster]] = {None: []}
    for cluster in picture.clusters:
        inside[cluster.id], children[cluster.id] = [], []
        children[cluster.parent].append(cluster)
    for box in picture.boxes:
        inside[box.cluster].append(box)

    pending: list[Cluster | str | None] = [None]  # a str ends the frame it follows
    while pending:
        cluster_or_end = pending.pop()
        if isinstance(cluster_or_end, str):
            dot.body.append(cluster_or_end)
            continue
        name = None
        if cluster_or_end is not None:
            cluster, name = cluster_or_end, cluster_or_end.id
            fill, border = theme.frame
            times = f" × {cluster.repeats:,}" if cluster.repeats > 1 else ""
            dot.body.append(f"\tsubgraph cluster_{name} {{\n")
            dot.attr(label=f"<{_text(cluster.name + times)}>", style="rounded,filled")
            dot.attr(color=border, fillcolor=fill, fontsize="11", fontcolor=theme.muted)
            dot.attr(labelloc="t", labeljust="l")
            pending.append("\t}\n")
        for box in inside[name]:
            if box.kind in ("literal", "more"):
                text = box.title or number_text(box.rows[0].number)
                dot.node(box.id, f"<{_text(text)}>", **_bare(theme))
            elif _has_circle(box, picture):
                _add_with_circle(dot, box, theme)
            else:
                dot.node(box.id, f"<{_table(box, theme, headed=True)}>", shape="plain")
        pending += reversed(children[name])


def _bare(theme: Theme) -> dict[str, str]:
    return {"shape": "plain", "fontcolor": theme.muted, "margin": "0.05"}


def _add_with_circle(dot: graphviz.Digraph, box: Box, theme: Theme) -> None:
    """A number, and the operation before it."""
    dot.node(box.id, f"<{_table(box, theme, headed=False)}>", shape="plain")
    fill, border = theme.families.get(box.family, theme.families["custom"])
    if box.shade is not None:
        fill, border = theme.number  # colours mean numbers here, not families
    dot.node(
        f"op_{box.id}",
        f"<{_text(box.title)}>",
        shape="circle" if len(box.title) <= 3 else "box",
        style="filled,rounded" if len(box.title) > 3 else "filled",
        fillcolor=fill,
        color=theme.mark if box.is_marked else border,
        margin="0.03",
        width="0.3",
        height="0.3",
        # In the order of the operands, so that a - b does not look like b - a.
        ordering="in",
    )


def _table(box: Box, theme: Theme, *, headed: bool) -> str:
    """A box as a table: what it stands for (if `headed`), its label, its numbers."""
    ink = theme.ink
    if headed and box.operations:
        fill, border = theme.families.get(box.family, theme.scope)
    else:
        fill, border = theme.number if box.operations else theme.leaf
    if box.is_root:
        fill, border = (fill if headed else theme.root[0]), theme.root[1]
    if box.shade is not None:
        fill = theme.shade(box.shade)
    title = title_text(box) if headed else ""
    rows = "".join(
        f'<TR><TD COLSPAN="2"><FONT COLOR="{ink}"><B>{line}</B></FONT></TD></TR>'
        # the spaces are for fonts wider than Graphviz takes them to be
        for line in (f"  {_text(title)}  " if title else "", _text(box.label) if box.label else "")
        if line
    )
    for row in box.rows:
        colour = theme.gradient if row.name == "grad" and box.shade is None else ink
        name_colour = theme.muted if box.shade is None else ink
        rows += (
            f'<TR><TD ALIGN="LEFT"><FONT COLOR="{name_colour}" POINT-SIZE="9">{_text(row.name)}'
            f'</FONT></TD><TD ALIGN="RIGHT"><FONT COLOR="{colour}">{_text(row_text(row))}</FONT>'
            "</TD></TR>"
        )
    width = "1"
    if box.is_marked:
        border, width = theme.mark, "3"
    elif box.is_root and headed:
        width = "2"
    return (
        f'<TABLE BORDER="{width}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" STYLE="ROUNDED" '
        f'COLOR="{border}" BGCOLOR="{fill}">{rows or "<TR><TD> </TD></TR>"}</TABLE>'
    )


def _foot(picture: Picture, theme: Theme) -> str:
    """Legend and caption, in a table below the picture; "" without either."""
    lines = []
    if picture.legend:
        cells = "".join(_key(key, theme) for key in picture.legend)
        lines.append(
            '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="2"><TR>'
            f"{cells}</TR></TABLE>"
        )
    if picture.caption:
        lines.append(_small(picture.caption, theme))
    if not lines:
        return ""
    rows = "".join(f'<TR><TD ALIGN="LEFT">{line}</TD></TR>' for line in lines)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{rows}</TABLE>'


def _key(key: Key, theme: Theme) -> str:
    text = _small(key.text, theme)
    if key.sample == "note":
        return f"<TD>{text}</TD>"
    if key.sample == "shade":
        fill = theme.shade(float(key.value))
        ink = f'<FONT COLOR="{theme.ink}" POINT-SIZE="9">{_text(key.text)}</FONT>'
        return f'<TD BGCOLOR="{fill}">{ink}</TD>'
    if key.sample == "family":
        fill = theme.families.get(str(key.value), theme.scope)[0]
        return f'<TD BGCOLOR="{fill}">{text}</TD>'
    return f'<TD><FONT COLOR="{theme.mark}"><B>\N{EM DASH}</B></FONT> {text}</TD>'


def _small(text: str, theme: Theme) -> str:
    return f'<FONT COLOR="{theme.muted}" POINT-SIZE="9">{_text(text)}</FONT>'


def _text(label: str) -> str:
    """A text as it may stand in an HTML-like label: markup and controls made harmless."""
    escaped = markup(label).replace("\\", "\\\\")  # Graphviz has escapes of its own
    return escaped.replace("\n", "<BR/>") or " "
