"""The shards of a batch, and the tree in which what they give is added up.

A batch of some rows has so many shards, or as many as it has rows, whoever computes them. A node of
the tree is a range of shards: its left half is the largest power of two that is smaller. Processes
compute ranges of shards, and tell each other the nodes that these consist of.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from engine.compiled import threads
from nn.scalar_path import BatchLoss, ScalarPath
from nn.vectorised_path import VectorisedPath

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Inner: TypeAlias = ScalarPath | VectorisedPath
Node: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Step:
    """What an update is about, and in how many shards: what a path is told of it."""

    theta: Array
    rows: Array
    draws: tuple[int, int]
    shards: int  # at most

    @property
    def whole(self) -> Node:
        """All shards."""
        return 0, min(self.shards, len(self.rows))

    def shares(self, count: int) -> list[Node]:
        """The shards of each of so many processes; those of some may be none."""
        bounds = _divided(self.whole[1], count)
        return list(itertools.pairwise(bounds))

    @np.errstate(all="ignore")  # inf and nan are looked for later
    def sums(self, path: Inner, share: Node) -> list[BatchLoss]:
        """The sums of the nodes that these shards consist of, computed in this thread alone."""
        bounds, some = _divided(len(self.rows), self.whole[1]), range(*share)
        with threads.alone():
            parts = path.parts(self.theta, self.rows, bounds, some, self.draws)
        shards = {(k, k + 1): part for k, part in zip(some, parts, strict=True)}
        return [summed(node, shards.get) for node in nodes(self.whole, share)]

    @np.errstate(all="ignore")
    def total(self, shares: Sequence[Node], sums: Sequence[BatchLoss]) -> BatchLoss:
        """The sum of all shards, out of those of the nodes of all shares, in their order."""
        own = [node for share in shares for node in nodes(self.whole, share)]
        return summed(self.whole, dict(zip(own, sums, strict=True)).get)


def sizes(batches: Sequence[int], shards: int) -> tuple[int, ...]:
    """How many rows the shards of batches have, each number once.

    >>> sizes([100, 40], 16)
    (7, 6, 3, 2)
    """
    found = {
        int(size)
        for rows in {*batches}
        for size in np.diff(_divided(int(rows), min(shards, int(rows))))
    }
    return tuple(sorted(found, reverse=True))


def nodes(node: Node, share: Node) -> list[Node]:
    """The largest nodes within `node` of which a range of shards consists.

    >>> nodes((0, 16), (5, 11))
    [(5, 6), (6, 8), (8, 10), (10, 11)]
    """
    if share[0] <= node[0] and node[1] <= share[1] and node[0] < node[1]:
        return [node]
    if node[1] <= share[0] or share[1] <= node[0] or share[0] == share[1]:
        return []
    return [part for half in _halves(node) for part in nodes(half, share)]


def summed(node: Node, known: Callable[[Node], BatchLoss | None]) -> BatchLoss:
    """The sum of a node: what is known of it, or else the sum of its halves, in the arrays of these
    that are known."""
    if (own := known(node)) is not None:
        return own
    left, right = (summed(half, known) for half in _halves(node))
    gradient = left.gradient
    gradient += right.gradient
    return BatchLoss(left.total + right.total, left.weight + right.weight, gradient)


def _halves(node: Node) -> tuple[Node, Node]:
    middle = node[0] + (1 << (node[1] - node[0] - 1).bit_length() - 1)
    return (node[0], middle), (middle, node[1])


def _divided(count: int, parts: int) -> list[int]:
    """The bounds of parts as equal as can be."""
    return [count * k // parts for k in range(parts + 1)]
