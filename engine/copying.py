"""Copies of Values and their pickles, which take the graph below along, without recursion."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine import modes
from engine.graph import topological_order

if TYPE_CHECKING:
    from engine.value import Value

_new = object.__new__


class Copied:
    """How `Value` is copied and pickled."""

    __slots__ = ()

    def __copy__(self: Any) -> Any:
        if modes.tracing and modes.state.trace is not None:
            return self.detach()  # a number of its own, like any copy, but a live one
        return _rebuilt(self, self._operands())

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if modes.tracing and modes.state.trace is not None:
            return self.detach()
        for node in topological_order((self,)):
            if id(node) not in memo:
                operands = [(None if c is None else memo[id(c)], x) for c, x in node._operands()]
                memo[id(node)] = _rebuilt(node, operands)
        return memo[id(self)]

    def __reduce__(self: Any) -> tuple[Any, ...]:
        modes.refuse_in_trace("pickling")
        if self.op is None:
            state = (self._data, self._grad, self.label, self.scope, self._y)
            return (_load_leaf, (type(self), *state))
        # Leaves are pickled as themselves, so that a parameter shared by two graphs stays
        # shared; the nodes above them in columns, one entry a node, which pickle compactly.
        nodes = topological_order((self,))
        leaves = [node for node in nodes if node.op is None]
        inner = [node for node in nodes if node.op is not None]
        place: dict[Value | None, int] = {node: i for i, node in enumerate(leaves + inner)}
        columns = (
            [node.op for node in inner],
            array("d", [node._data for node in inner]),
            array("d", [node._grad for node in inner]),
            array("q", [place.get(node._a, -1) for node in inner]),
            array("d", [node._x for node in inner]),
            array("q", [place.get(node._b, -1) for node in inner]),
            array("d", [node._y for node in inner]),
        )
        rest = {
            place[node]: [(place.get(c, -1), x) for c, x in node._rest]
            for node in inner
            if node._rest
        }
        notes = {
            place[node]: (node.label, node.scope)
            for node in inner
            if node.label or node.scope is not None
        }
        return (_load_graph, (type(self), leaves, columns, rest, notes))


def set_operands(node: Value, operands: Sequence[tuple[Value | None, float]]) -> None:
    """Let a node have these operands, and the numbers that they had."""
    (node._a, node._x), (node._b, node._y) = [*operands, (None, 0.0), (None, 0.0)][:2]
    node._rest = tuple(operands[2:])


def _rebuilt(node: Value, operands: Sequence[tuple[Value | None, float]]) -> Value:
    """A copy of a node with other operands."""
    copied = _new(type(node))
    copied._data, copied.op, copied._grad = node._data, node.op, node._grad
    copied.label, copied.scope = node.label, node.scope
    set_operands(copied, operands)
    if node.op is None:
        copied._x, copied._y = modes.calls, node._y
    return copied


def _load_leaf(
    kind: type[Value], data: float, grad: float, label: str, scope: modes.Scope | None, y: float
) -> Value:
    leaf = kind(data, label=label)
    leaf._grad, leaf.scope, leaf._y = grad, scope, y
    return leaf


def _load_graph(
    kind: type[Value],
    leaves: list[Value],
    columns: tuple[Sequence[Any], ...],
    rest: dict[int, list[tuple[int, float]]],
    notes: dict[int, tuple[str, modes.Scope | None]],
) -> Value:
    nodes: list[Value | None] = [*leaves, *[None] * len(columns[0]), None]  # the last for -1
    for i, (op, data, grad, a, x, b, y) in enumerate(zip(*columns, strict=True), len(leaves)):
        node = _new(kind)
        node._data, node.op, node._grad = data, op, grad
        node._a, node._x, node._b, node._y = nodes[a], x, nodes[b], y
        node._rest = tuple((nodes[c], z) for c, z in rest[i]) if i in rest else ()
        node.label, node.scope = notes.get(i, ("", None))
        nodes[i] = node
    root = nodes[-2]
    assert root is not None
    return root
