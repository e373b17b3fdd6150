"""From `Parts` to a `Picture`: which box each node is in, and what is written on the boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

from engine.drawing.names import numbered
from engine.drawing.parts import Part, Parts, Rolled, stem
from engine.drawing.picture import Arrow, Box, Cluster, Picture, Row, row_of
from engine.drawing.theme import number_text
from engine.graph import Graph, Node

Keys = dict[int, Hashable | None]


def leaf_keys(
    graph: Graph,
    parts: Parts,
    rolled: Rolled,
    *,
    folded: bool,
    rolls: bool,
    keeps: bool = True,
) -> Keys:
    """By leaf the key of the box that it shares with others; None if it is inside of its user.

    What is used only inside of a box of several operations goes in, but for what the user gave a
    name of its own, such as an input (if `keeps`): parameters of modules have names with dots and
    brackets. In a `folded` picture literals always go in. With `rolls`, leaves of one kind that
    the same boxes use share a box; in any folded picture those without names of their own do.
    """
    nodes = graph.nodes
    sizes: Counter[int] = Counter()
    for part, box in zip(parts.parts, rolled.box_of, strict=True):
        sizes[box] += part.size
    roots = set(graph.roots)
    found: Keys = {}
    for leaf, uses in parts.leaves.items():
        node = nodes[leaf]
        users = {rolled.box_of[p] for p in uses}
        if len(users) == 1 and leaf not in roots:
            [box] = users
            literal = node.kind == "literal"
            if (sizes[box] > 1 and (literal or not (keeps and _is_named(node)))) or (
                folded and literal
            ):
                found[leaf] = None
                continue
        name = (stem(node), node.scope) if keeps else ()
        alike = (frozenset(users), node.kind, leaf in roots, *name)
        found[leaf] = alike if rolls or (folded and not _is_named(node)) else leaf
    return found


def assembled(
    graph: Graph, shown: Sequence[Node], parts: Parts, rolled: Rolled, leaves: Keys, caption: str
) -> Picture:
    """Return the picture of these parts. `shown` are the nodes that are in it."""
    keys: list[Hashable] = [None] * len(graph.nodes)  # by node that of its box
    for i, p in enumerate(parts.of_node):
        if p >= 0:
            keys[i] = rolled.box_of[p]
    for leaf, key in leaves.items():
        within = key is None
        keys[leaf] = rolled.box_of[next(iter(parts.leaves[leaf]))] if within else ("leaf", key)
    writer = _Writer(graph, parts, rolled, folded=bool(caption))
    boxes, ids = writer.boxes(shown, keys)
    arrows = _arrows(graph, keys, ids, aggregated=bool(caption))
    if len(shown) < len(graph.nodes):
        _add_rest(graph, keys, ids, boxes, arrows)
    counts: Counter[int] = Counter()
    for box in boxes:
        frame = None if box.cluster is None else int(box.cluster[1:])
        while frame is not None:
            counts[frame] += box.count
            frame = rolled.frames[frame][1]
    clusters = tuple(
        Cluster(
            f"c{k}",
            scope.name if repeats > 1 else numbered(scope),
            None if parent is None else f"c{parent}",
            repeats,
            counts[k],
        )
        for k, (scope, parent, repeats) in enumerate(rolled.frames)
        if counts[k]
    )
    return Picture(tuple(boxes), tuple(arrows), clusters, caption.format(len(boxes)))


class _Writer:
    """Writes the boxes of one picture."""

    def __init__(self, graph: Graph, parts: Parts, rolled: Rolled, *, folded: bool) -> None:
        self.nodes, self.operands = graph.nodes, graph.operands
        self.roots = frozenset(graph.roots)
        self.parts, self.rolled = parts, rolled
        # Where nothing was differentiated, zeros would take up room in every box.
        self.with_grads = not folded or any(node.grad for node in graph.nodes)

    def boxes(
        self, shown: Sequence[Node], keys: list[Hashable]
    ) -> tuple[list[Box], dict[Hashable, str]]:
        """Return the boxes, in the order of computation, and the id of each key's."""
        members: dict[Hashable, list[int]] = {}
        for node in shown:
            members.setdefault(keys[node.index], []).append(node.index)
        seen = self._seen_outside(keys)
        repeats = Counter(self.rolled.box_of)
        boxes, ids = [], {}
        for key in sorted(members, key=lambda key: members[key][-1]):  # where it is complete
            inside = members[key]
            if len(inside) == 1:
                box = self._single(self.nodes[inside[0]])
            elif isinstance(key, int):
                box = self._several(inside, seen, repeats[key])
            else:
                box = self._leaves(inside)
            ids[key] = box.id
            boxes.append(box)
        return boxes, ids

    def _seen_outside(self, keys: list[Hashable]) -> set[int]:
        """The nodes whose number leaves their box."""
        seen = set(self.roots)
        for i, sources in enumerate(self.operands):
            key = keys[i]
            seen.update([source for source in sources if keys[source] != key])
        return seen

    def _single(self, node: Node) -> Box:
        """A node as it is."""
        detail = [node.label] if node.label else []
        detail.append(f"{node.op or node.kind}: {node.data!r}")
        rows = [Row("data", node.data)]
        if node.grad is not None and self.with_grads:
            rows.append(Row("grad", node.grad))
            detail.append(f"grad {node.grad!r}")
        if node.scope is not None:
            detail.append("in " + "/".join(node.scope.path))
        return Box(
            id=f"n{node.index}",
            kind=node.kind,
            title=node.op,
            label=node.label,
            rows=tuple(rows),
            operations=int(node.kind == "operation"),
            cluster=self._frame(node),
            family=node.family,
            is_root=node.index in self.roots,
            members=(node.index,),
            detail="\n".join(detail),
        )

    def _several(self, inside: list[int], seen: set[int], repeats: int) -> Box:
        """Operations that are folded or rolled up, with leaves that only they use."""
        found = [self.nodes[i] for i in inside]
        operations = [node for node in found if node.kind == "operation"]
        if len(operations) == 1 and all(node.kind != "leaf" for node in found):
            box = self._single(operations[0])
            title = self._with_literals(operations[0])
            whole = replace(box, title=title, count=len(inside), members=tuple(inside))
            return replace(whole, outputs=box.members)
        part = self._part(operations[0])
        outputs = [node for node in operations if node.index in seen] or operations
        rows = self._rows(outputs)
        parameters = sum(node.kind == "leaf" for node in found)
        if parameters:
            rows.append(Row("parameters", parameters))
        labels = {node.label for node in outputs}
        return self._folded(
            inside,
            title=self._title(part, operations),
            label=labels.pop() if len(labels) == 1 else "",
            rows=tuple(rows),
            operations=len(operations),
            repeats=repeats,
            cluster=self._cluster(part),
            family=part.family,
            outputs=tuple(node.index for node in outputs),
        )

    def _leaves(self, inside: list[int]) -> Box:
        """Leaves that are alike."""
        found = [self.nodes[i] for i in inside]
        names = {stem(node) or "leaves" for node in found}
        return self._folded(
            inside,
            title=names.pop() if len(names) == 1 else "leaves",
            rows=tuple(self._rows(found)),
            repeats=len(inside),
            cluster=self._frame(found[0]),
        )

    def _folded(self, inside: list[int], **told: Any) -> Box:
        return Box(
            id=f"g{inside[-1]}",
            kind="fold",
            count=len(inside),
            is_root=not self.roots.isdisjoint(inside),
            members=tuple(inside),
            detail=_contents([self.nodes[i] for i in inside]),
            **told,
        )

    def _rows(self, nodes: Sequence[Node]) -> list[Row]:
        rows = [row_of("data", [node.data for node in nodes])]
        if self.with_grads:
            rows.append(row_of("grad", [node.grad or 0.0 for node in nodes]))
        return rows

    def _title(self, part: Part, operations: Sequence[Node]) -> str:
        """The part's title, without its number if those that are rolled up differ in it."""
        if part.title == part.loosely:
            return part.title
        same = {self._part(node).title for node in operations}
        return part.title if len(same) == 1 else part.loosely.replace(" of {}", "")

    def _with_literals(self, node: Node) -> str:
        """An operation with its literal operand: "* 0.5"."""
        operands = [self.nodes[i] for i in self.operands[node.index]]
        texts = [number_text(a.data) if a.kind == "literal" else "" for a in operands]
        if len(texts) == 2 and node.op[0].isalpha():
            return f"{node.op}({', '.join(text or '·' for text in texts)})"
        if len(texts) == 2:
            return f"{texts[0]} {node.op} {texts[1]}".strip()
        return node.op

    def _part(self, node: Node) -> Part:
        return self.parts.parts[self.parts.of_node[node.index]]

    def _cluster(self, part: Part) -> str | None:
        return None if part.scope is None else f"c{self.rolled.frame_of[part.scope]}"

    def _frame(self, node: Node) -> str | None:
        """The frame of a single box: a leaf that is used once, such as a weight, is in its user's.

        So is one of a folded scope in the nearest that is drawn.
        """
        if node.kind == "operation":
            return self._cluster(self._part(node))
        uses = self.parts.leaves[node.index]
        scope = node.scope
        if scope is None and sum(uses.values()) == 1:
            scope = self.parts.parts[next(iter(uses))].scope
        while scope is not None and scope not in self.rolled.frame_of:
            scope = scope.parent
        return None if scope is None else f"c{self.rolled.frame_of[scope]}"


def _arrows(
    graph: Graph, keys: list[Hashable], ids: dict[Hashable, str], *, aggregated: bool
) -> list[Arrow]:
    """One arrow an edge, in the order of operands; if `aggregated` one for all of two boxes."""
    counts: Counter[tuple[Hashable, Hashable, int]] = Counter()
    for i, sources in enumerate(graph.operands):
        key = keys[i]
        if key is not None:
            for k, source in enumerate(sources):
                if keys[source] is not None and keys[source] != key:
                    counts[keys[source], key, 0 if aggregated else k] += 1
    return [
        Arrow(
            ids[a],
            ids[b],
            count,
            operand=None if aggregated else k,
            detail=f"{count:,} edges" if count > 1 else "",
        )
        for (a, b, k), count in counts.items()
    ]


def _add_rest(
    graph: Graph,
    keys: list[Hashable],
    ids: dict[Hashable, str],
    boxes: list[Box],
    arrows: list[Arrow],
) -> None:
    """Add an ellipsis wherever a part of a graph is cut off from the rest."""
    cut: Counter[tuple[str, Hashable]] = Counter()  # by what is before a box, or uses it
    for i, sources in enumerate(graph.operands):
        for source in sources:
            if keys[source] is None and keys[i] is not None:
                cut["b", keys[i]] += 1
            elif keys[i] is None and keys[source] is not None:
                cut["u", keys[source]] += 1
    cluster = {box.id: box.cluster for box in boxes}
    for (sign, key), count in sorted(cut.items(), key=lambda item: item[0][0]):
        name, at = f"{sign}_{ids[key]}", ids[key]
        detail = f"{count:,} edges, not shown"
        boxes.append(Box(name, "more", "…", count=0, cluster=cluster[at], detail=detail))
        arrows.append(Arrow(name, at, count) if sign == "b" else Arrow(at, name, count))


def _is_named(node: Node) -> bool:
    """Whether a leaf has a name of its own, and not one of many: "x1", but not "0.weight[2]"."""
    return bool(node.label) and "." not in node.label and "[" not in node.label


def _contents(nodes: Sequence[Node]) -> str:
    """How many of what a box stands for."""
    kinds = Counter(node.op or node.kind for node in nodes)
    lines = [f"{len(nodes):,} nodes"]
    lines += [f"{count:,} {kind}" for kind, count in kinds.most_common(8)]
    scopes = {node.scope for node in nodes if node.scope is not None}
    if len(scopes) == 1:
        lines.append("in " + "/".join(scopes.pop().path))
    return "\n".join(lines)
