"""From a `Graph` to Graphviz source.

Labels are data, never markup: every text goes through `_text`, which makes it safe inside of
Graphviz's HTML-like labels.
"""

from __future__ import annotations

import html
import math

import graphviz

from engine.graph import Graph, Node
from engine.modes import Scope

_FONT = "Helvetica"
_INK, _MUTED, _GRADIENT = "#1f2933", "#6b7280", "#b4530a"
_FILLS = {"leaf": "#e3f0fb", "operation": "#ffffff", "root": "#e2f5ec"}
_BORDERS = {"leaf": "#4a90c2", "operation": "#9aa5b1", "root": "#2a9d6f"}


def to_dot(graph: Graph, rankdir: str) -> str:
    """Return the DOT source of a graph's picture."""
    dot = graphviz.Digraph(
        graph_attr={
            "rankdir": rankdir,
            "bgcolor": "white",
            "fontname": _FONT,
            "nodesep": "0.15",
            "ranksep": "0.3",
        },
        node_attr={"fontname": _FONT, "fontsize": "11", "fontcolor": _INK},
        edge_attr={"color": "#7b8794", "arrowsize": "0.6"},
    )
    _add_nodes(dot, graph)
    for source, target, _ in graph.edges:
        dot.edge(f"n{source}", f"op{target}")
    for node in graph.nodes:
        if node.kind == "operation":
            dot.edge(f"op{node.index}", f"n{node.index}", arrowhead="none")
    return str(dot.source)


def _add_nodes(dot: graphviz.Digraph, graph: Graph) -> None:
    """Add all nodes, each in the frame of its scope, and scopes inside of their parents."""
    inside: dict[Scope | None, list[Node]] = {None: []}
    children: dict[Scope | None, list[Scope]] = {None: []}
    for node, scope in zip(graph.nodes, _frames(graph), strict=True):
        outer = scope
        while outer is not None and outer not in inside:
            inside[outer] = []
            children.setdefault(outer, [])
            children.setdefault(outer.parent, []).append(outer)
            outer = outer.parent
        inside[scope].append(node)

    pending: list[Scope | str | None] = [None]  # a str ends the frame it follows
    frames = 0
    while pending:
        scope_or_end = pending.pop()
        if isinstance(scope_or_end, str):
            dot.body.append(scope_or_end)
            continue
        if scope_or_end is not None:
            dot.body.append(f"\tsubgraph cluster_{frames} {{\n")
            dot.attr(label=f"<{_text(scope_or_end.name)}>", style="rounded,filled")
            dot.attr(color="#cbd2d9", fillcolor="#0000000a", fontsize="11", fontcolor=_MUTED)
            frames += 1
            pending.append("\t}\n")
        for node in inside[scope_or_end]:
            _add_node(dot, node, is_root=node.index in graph.roots)
        pending += reversed(children[scope_or_end])


def _frames(graph: Graph) -> list[Scope | None]:
    """The scope to draw each node in: a leaf that one operation uses, such as a weight, in its."""
    users: dict[int, list[int]] = {}
    for source, target, _ in graph.edges:
        users.setdefault(source, []).append(target)
    frames = []
    for node in graph.nodes:
        at = users.get(node.index, [])
        single = node.kind == "leaf" and node.scope is None and len(at) == 1
        frames.append(graph.nodes[at[0]].scope if single else node.scope)
    return frames


def _add_node(dot: graphviz.Digraph, node: Node, is_root: bool) -> None:
    name = f"n{node.index}"
    if node.kind == "literal":
        dot.node(name, f"<{_number(node.data)}>", shape="plain", fontcolor=_MUTED, margin="0.05")
        return
    style = "root" if is_root else node.kind
    rows = f'<TR><TD COLSPAN="2"><B>{_text(node.label)}</B></TD></TR>' if node.label else ""
    assert node.grad is not None
    for what, number, colour in (("data", node.data, _INK), ("grad", node.grad, _GRADIENT)):
        rows += (
            f'<TR><TD ALIGN="LEFT"><FONT COLOR="{_MUTED}" POINT-SIZE="9">{what}</FONT></TD>'
            f'<TD ALIGN="RIGHT"><FONT COLOR="{colour}">{_number(number)}</FONT></TD></TR>'
        )
    table = (
        '<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" STYLE="ROUNDED" '
        f'COLOR="{_BORDERS[style]}" BGCOLOR="{_FILLS[style]}">{rows}</TABLE>'
    )
    dot.node(name, f"<{table}>", shape="plain")
    if node.kind == "operation":
        # In the order of the operands, so that a - b does not look like b - a.
        dot.node(
            f"op{node.index}",
            f"<{_text(node.op)}>",
            shape="circle" if len(node.op) <= 3 else "box",
            style="filled,rounded" if len(node.op) > 3 else "filled",
            fillcolor="#fdf1d7",
            color="#d9a441",
            margin="0.03",
            width="0.3",
            height="0.3",
            ordering="in",
        )


def _number(x: float) -> str:
    """Four digits, with a real minus sign, and without one for zero."""
    text = f"{x + 0.0:.4g}" if math.isfinite(x) else str(x)
    return text.replace("-", "\N{MINUS SIGN}")


def _text(label: str) -> str:
    """A text as it may stand in an HTML-like label: markup and controls made harmless."""
    printable = "".join(
        c if c.isprintable() or c in "\n\N{ZERO WIDTH JOINER}" else "\N{REPLACEMENT CHARACTER}"
        for c in label.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    )
    escaped = html.escape(printable).replace("\\", "\\\\")  # Graphviz has escapes of its own
    return escaped.replace("\n", "<BR/>") or " "
