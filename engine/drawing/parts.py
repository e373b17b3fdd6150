"""Graphs contracted: several operations as one part, step by step. `fold` decides which.

A step makes `Parts` of `Parts`, so that the hundred thousand nodes of a graph are walked once,
and not for every step.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.graph import Node
from engine.modes import Scope


@dataclass(slots=True)
class Part:
    """Operations that are drawn as one box, as long as nothing is rolled up or folded further."""

    title: str
    loosely: str  # parts of one title may be rolled up where they do the same, else of one of these
    scope: Scope | None
    family: str
    size: int = 1


@dataclass(slots=True)
class Parts:
    """A graph contracted: parts, what each uses, and which parts use the leaves."""

    parts: list[Part]
    operands: list[dict[int, int]]  # by part: the parts that it uses, with the number of edges
    of_node: list[int]  # by node of the graph: its part, -1 for leaves and literals
    leaves: dict[int, dict[int, int]] = field(default_factory=dict)  # by leaf: parts, edges


@dataclass(slots=True)
class Rolled:
    """Which parts are drawn as one box, and which scopes as one frame."""

    box_of: list[int]
    frame_of: dict[Scope, int]
    frames: list[tuple[Scope, int | None, int]]  # one of them, parent, how many are alike


def contracted(parts: Parts, keys: Sequence[Hashable], made: Mapping[Hashable, Part]) -> Parts:
    """Parts of one key as one part: that of `made`, or the only one of its key."""
    place: dict[Hashable, int] = {}
    new: list[Part] = []
    at = []
    for part, key in zip(parts.parts, keys, strict=True):
        if key in place:
            new[place[key]].size += part.size
        else:
            place[key] = len(new)
            like = made.get(key, part)
            new.append(Part(like.title, like.loosely, like.scope, like.family, part.size))
        at.append(place[key])
    operands: list[dict[int, int]] = [{} for _ in new]
    for p, sources in enumerate(parts.operands):
        for q, count in sources.items():
            if at[p] != at[q]:
                operands[at[p]][at[q]] = operands[at[p]].get(at[q], 0) + count
    leaves: dict[int, dict[int, int]] = {}
    for leaf, uses in parts.leaves.items():
        leaves[leaf] = defaultdict(int)
        for p, count in uses.items():
            leaves[leaf][at[p]] += count
    return Parts(new, operands, [p if p < 0 else at[p] for p in parts.of_node], leaves)


class Order:
    """Parts in topological order, and how far each is from the inputs.

    `within` counts steps within a scope only. Parts on a cycle, which a scope that is entered
    again may make, come last.
    """

    def __init__(self, parts: Parts, *, within: bool = False) -> None:
        count = len(parts.parts)
        missing = [len(operands) for operands in parts.operands]
        users: list[list[int]] = [[] for _ in range(count)]
        for p, operands in enumerate(parts.operands):
            for q in operands:
                users[q].append(p)
        self.height = [0] * count
        self.order = [p for p in range(count) if not missing[p]]
        for p in self.order:  # which grows
            scope = parts.parts[p].scope
            for user in users[p]:
                if not within or parts.parts[user].scope is scope:
                    self.height[user] = max(self.height[user], self.height[p] + 1)
                missing[user] -= 1
                if not missing[user]:
                    self.order.append(user)
        self.cyclic = set(range(count)).difference(self.order)
        self.order += sorted(self.cyclic)


def stem(node: Node) -> str:
    """A leaf's label without its numbers at the end: what the inputs x1 and x2 have in common."""
    label = node.label
    return re.sub(r"[\d\[\], ]+$", "", re.sub(r"\[\d+\]", "[]", label)) if label else ""
