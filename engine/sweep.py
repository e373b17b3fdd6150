"""The reverse sweep: adjoints, from the results of a graph back to its leaves, as plain floats.

This is backpropagation. `calculus` has the same sweep with Values in place of floats, for
derivatives of derivatives. Nodes come from `graph.topological_order`; this file makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from engine import locks
from engine.ops import Op

if TYPE_CHECKING:
    from engine.value import Value

_sweep_lock = locks.waited_for(0)
_sweeps: list[None] = []  # one entry for each sweep under way, guarded by the lock
_afterwards: list[Callable[[], None]] = []  # what to do when the outermost sweep ends


def reverse_sweep(
    nodes: Sequence[Value],
    seeds: Iterable[tuple[Value, float]],
    wanted: Sequence[Value],
    *,
    keep: bool = False,
) -> list[float]:
    """Return the adjoints of the `wanted` nodes: the derivatives of the seeded ones by them.

    `nodes` are in topological order; `seeds` are results with the adjoints they start from. Going
    from the end to the start, each node passes its adjoint times its partials to its operands. A
    contribution whose adjoint or partial is exactly 0 is 0, even against inf or nan, so that the
    arm of `where` that was not taken can't do harm. With `keep`, the `grad` of each node that is
    no leaf is set.
    """
    with _sweep_lock:  # adjoints are gathered in the nodes, and threads may share nodes
        _sweeps.append(None)
        # A pullback or a partial may begin a sweep within this one: it puts back what it changes.
        touched = [*nodes, *wanted] if len(_sweeps) > 1 else []
        before = [getattr(node, "_adjoint", 0.0) for node in touched]
        try:
            for node in wanted:
                node._adjoint = 0.0
            _sweep(nodes, seeds, keep)
            return [node._adjoint for node in wanted]
        finally:
            _sweeps.pop()
            for node, adjoint in zip(touched, before, strict=True):
                node._adjoint = adjoint
            while not _sweeps and _afterwards:
                _afterwards.pop()()


def after_sweep(work: Callable[[], None]) -> None:
    """Have something done when the sweep under way, the outermost one, has ended."""
    with _sweep_lock:
        if _sweeps:
            _afterwards.append(work)
        else:
            work()


def _sweep(nodes: Sequence[Value], seeds: Iterable[tuple[Value, float]], keep: bool) -> None:
    for node in nodes:
        node._adjoint = 0.0
    for node, seed in seeds:
        node._adjoint += seed
    for node in reversed(nodes):
        op = node.op
        if op is None:
            continue
        adjoint = node._adjoint
        if keep:
            node._grad = adjoint
        if adjoint == 0.0:
            continue
        if op.arity == 2 and op.pullback is None:
            p, q = op.partials
            a = node._a
            if a is not None:
                if p.__class__ is not float:
                    p = p(node._x, node._y, node._data)
                if p:  # a nan is true
                    a._adjoint += adjoint * p
            b = node._b
            if b is not None:
                if q.__class__ is not float:
                    q = q(node._x, node._y, node._data)
                if q:
                    b._adjoint += adjoint * q
        elif op.arity == 1 and op.pullback is None:
            a = node._a
            if a is not None:
                p = op.partials[0]
                if p.__class__ is not float:
                    p = p(node._x, node._data)
                if p:
                    a._adjoint += adjoint * p
        else:
            for operand, contribution in _contributions(node, op, adjoint):
                operand._adjoint += contribution


def _contributions(node: Value, op: Op, adjoint: float) -> list[tuple[Value, float]]:
    """What a node of any number of operands, or with a pullback, passes to them."""
    operands = [operand for operand, _ in node._operands()]
    if op.pullback is not None:
        passed: Sequence[float] = op.pullback(node.args, node, adjoint)
    else:
        passed = [adjoint * p if p else 0.0 for p in partials_of(node, op)]
    return [(a, g) for a, g in zip(operands, passed, strict=True) if a is not None]


def partials_of(node: Value, op: Op) -> list[float]:
    """The partials of a node at its recorded numbers, 0.0 for literal operands."""
    operands = node._operands()
    numbers = [x for _, x in operands]
    return [
        0.0 if a is None else p if isinstance(p, float) else p(*numbers, node._data)
        for (a, _), p in zip(operands, op.partials, strict=True)
    ]
