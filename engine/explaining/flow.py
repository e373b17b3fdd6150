"""The reverse sweep with its books kept: every contribution to every adjoint, by node and operand.

In: the result of a function, its inputs, and the cuts of the graph that a `lines.Recorder` saw.
Out: a `Flow`, in which one can look where a gradient came from, where it died, and where the first
number that is not finite was born. Nothing here is about words; see `causes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.sweep import partials_of, passed
from engine.value import Value


class Edge(NamedTuple):
    """What node `user` passes to its operand number `k`, which is node `to`."""

    user: int
    k: int
    to: int
    partial: float
    passed: float


class Step(NamedTuple):
    """One edge of a path, and by how much the other users of `edge.to` change what it gathers."""

    edge: Edge
    gathered: float


@dataclass
class Flow:
    """All nodes behind some results, each behind its operands, and what flows back through them.

    An edge that an operation cuts has the partial 0, and so has one from a node that the graph was
    cut at to what it was made of.
    """

    nodes: list[Value]
    index: dict[Value, int]
    adjoints: list[float]  # 0.0 where nothing has arrived
    arrived: list[bool]
    users: list[list[Edge]]  # for each node, the edges by which it gets its adjoint
    cuts: Mapping[Value, tuple[Value, str]]
    roots: Sequence[Value]
    _best: list[tuple[float, Edge | None]] = field(default_factory=list)

    # --- zeros ---

    def deaths(self, members: Iterable[int]) -> Iterator[Edge | int]:
        """Where the gradient of some nodes became 0: edges that pass 0 of a gradient that is not,
        and nodes whose contributions cancel exactly."""
        for i in self._upwards(members, lambda edge: self.adjoints[edge.user] == 0.0):
            contributions = [edge for edge in self.users[i] if edge.passed != 0.0]
            if contributions:
                yield i
            for edge in self.users[i]:
                if edge.passed == 0.0 and self.adjoints[edge.user] != 0.0:
                    yield edge

    def absorbed(self, members: Iterable[int]) -> Edge | None:
        """An edge where nothing arrives, and whose partial is inf or nan, if there is one.

        These partials play no part in a sweep, so they are calculated here.
        """
        for i in self._upwards(members, lambda edge: self.adjoints[edge.user] == 0.0):
            for edge in self.users[i]:
                if not self.arrived[edge.user]:
                    partial = self._partial(edge)
                    if not math.isfinite(partial):
                        return edge._replace(partial=partial)
        return None

    def _partial(self, edge: Edge) -> float:
        node = self.nodes[edge.user]
        if node in self.cuts or node.op is None or node.op.pullback is not None:
            return 0.0
        try:
            return partials_of(node, node.op)[edge.k] or 0.0
        except (ArithmeticError, ValueError):  # a custom operation's, which a sweep never asked
            return math.nan

    # --- inf and nan ---

    def births(self, members: Iterable[int]) -> Iterator[Edge | int]:
        """The edges that pass inf or nan out of a finite adjoint, to nodes that reach some, and
        nodes whose contributions are finite and add up to more than there is."""

        def spoiled(edge: Edge) -> bool:
            passed = edge.passed
            return not math.isfinite(passed) and not math.isfinite(self.adjoints[edge.user])

        for i in self._upwards(members, spoiled):
            wrong = [edge for edge in self.users[i] if not math.isfinite(edge.passed)]
            if not wrong and not math.isfinite(self.adjoints[i]):
                yield i
            yield from (edge for edge in wrong if math.isfinite(self.adjoints[edge.user]))

    def not_finite(self) -> list[int]:
        """The nodes that are inf or nan though their operands are finite; leaves first."""
        found = []
        for i, node in enumerate(self.nodes):
            if not math.isfinite(node._data):
                operands = [x for _, x in node._operands()]
                if node not in self.cuts and all(map(math.isfinite, operands)):
                    found.append(i)
        return found

    def chosen(self, *, spoiled: bool = False) -> set[int]:
        """The nodes that the results were computed of, without what operations did not choose, as
        the arm that `where` did not take. With `spoiled` only those that are not finite, behind
        results that are not."""

        def counts(x: float) -> bool:
            return not (spoiled and math.isfinite(x))

        reached = {self.index[root] for root in self.roots if counts(root._data)}
        for i in reversed(range(len(self.nodes))):
            node = self.nodes[i]
            if i not in reached:
                continue
            if node in self.cuts:
                reached.add(self.index[self.cuts[node][0]])
            elif node.op is not None:
                numbers = [x for _, x in node._operands()]
                for k, (operand, x) in enumerate(node._operands()):
                    # an edge that is cut at all numbers, as that of a detach, is no choice
                    passed_over = node.op.cuts[k] is not True and node.op.cuts_at(k, numbers)
                    if operand in self.index and counts(x) and not passed_over:
                        reached.add(self.index[operand])
        return reached

    # --- sizes ---

    def path_to(self, i: int) -> list[Step]:
        """The path from the result to node i with the largest product of partials; [] for none."""
        steps: list[Step] = []
        if not self._best:
            self._find_best()
        edge = self._best[i][1]
        while edge is not None:
            adjoint = self.adjoints[edge.to]
            steps.append(Step(edge, adjoint / edge.passed if edge.passed else 1.0))
            edge = self._best[edge.user][1]
        steps.reverse()
        return steps

    def _find_best(self) -> None:
        """For each node the logarithm of the largest product of a path to it, and its last edge."""
        best: list[tuple[float, Edge | None]] = [(-math.inf, None)] * len(self.nodes)
        best[-1] = (0.0, None)
        for i in reversed(range(len(self.nodes))):
            for edge in self.users[i]:
                size = math.fabs(edge.partial)
                if edge.passed != 0.0 and 0.0 < size < math.inf:
                    reached = best[edge.user][0] + math.log(size)
                    if reached > best[i][0]:
                        best[i] = (reached, edge)
        self._best = best

    def loss_at(self, i: int) -> float:
        """The sum of the sizes of a node's contributions over the size of their sum: 1 if none
        cancel, 1e6 if six digits do."""
        adjoint = math.fabs(self.adjoints[i])
        total = math.fsum(math.fabs(edge.passed) for edge in self.users[i])
        return total / adjoint if adjoint and math.isfinite(total) else 1.0

    def _upwards(self, members: Iterable[int], follow: object) -> Iterator[int]:
        """The members, and the users that edges lead to from there, as far as `follow` says."""
        assert callable(follow)
        stack = list(members)
        seen = set(stack)
        while stack:
            i = stack.pop()
            yield i
            for edge in self.users[i]:
                if edge.user not in seen and follow(edge):
                    seen.add(edge.user)
                    stack.append(edge.user)


def trace_back(
    roots: Sequence[Value],
    inputs: Sequence[Value],
    cuts: Mapping[Value, tuple[Value, str]],
    rounded: Callable[[float], float] = float,
) -> Flow:
    """Run the reverse sweep from the sum of `roots`, and keep everything; `rounded` is what becomes
    of each number.

    Raises GraphError where a node was made by hand.
    """
    nodes = _order(roots, set(inputs), cuts)
    index = {node: i for i, node in enumerate(nodes)}
    adjoints, arrived = [0.0] * len(nodes), [False] * len(nodes)
    users: list[list[Edge]] = [[] for _ in nodes]
    for root in roots:
        adjoints[index[root]] += 1.0
        arrived[index[root]] = True
    behind = set(inputs)
    for i in reversed(range(len(nodes))):
        node, adjoint = nodes[i], adjoints[i]
        if node in behind:
            continue  # what an input was made of does not matter here
        cut = cuts.get(node)
        if cut is not None:
            users[index[cut[0]]].append(Edge(i, 0, index[cut[0]], 0.0, 0.0))
            continue
        found = _passed(node, adjoint) if arrived[i] else None
        for k, (operand, _) in enumerate(node._operands()):
            if operand is not None:
                to = index[operand]
                partial, g = found[k] if found is not None else (None, None)
                if g is not None:
                    g = rounded(g)
                    adjoints[to] = rounded(adjoints[to] + g)
                    arrived[to] = True
                users[to].append(Edge(i, k, to, partial or 0.0, g or 0.0))
    return Flow(nodes, index, adjoints, arrived, users, cuts, roots)


def _passed(node: Value, adjoint: float) -> list[tuple[float | None, float | None]]:
    """For each operand the partial, and what it gets; None for nothing."""
    op = node.op
    if op is None:
        return []
    whole = passed(node, adjoint)
    if op.pullback is None:
        return list(zip(partials_of(node, op), whole, strict=True))
    factor = adjoint if adjoint and math.isfinite(adjoint) else math.nan
    return [(None if g is None else g / factor, g) for g in whole]


def _order(
    roots: Sequence[Value], stop: set[Value], cuts: Mapping[Value, tuple[Value, str]]
) -> list[Value]:
    """`graph.topological_order`, which goes through cuts of the graph too, and not behind `stop`.

    So a gradient that ends at a cut can be told from one that never came near.
    """
    nodes: list[Value] = []
    seen: set[Value] = set()
    # what is still to be visited, and the node that it is below
    stack: list[tuple[Iterator[Value], Value | None]] = [(iter(roots), None)]
    while stack:
        below, user = stack[-1]
        node = next((x for x in below if x not in seen), None)
        if node is not None:
            seen.add(node)
            stack.append((_below(node, stop, cuts), node))
        else:
            stack.pop()
            nodes += [user] if user is not None else []
    return nodes


def _below(
    node: Value, stop: set[Value], cuts: Mapping[Value, tuple[Value, str]]
) -> Iterator[Value]:
    if node in stop:
        return iter(())
    if node in cuts:
        return iter((cuts[node][0],))
    return iter([operand for operand, _ in node._operands() if operand is not None])
