"""The reverse sweep: adjoints, from the results of a graph back to its leaves, as plain floats.

This is backpropagation: an adjoint times a partial is passed along each edge, as IEEE arithmetic
has it, so that 0 * inf is nan. What an operation did not choose, such as the arm that `where` did
not take, gets nothing: its row cuts the edge. A node to which nothing came passes nothing on, so
what lies behind a cut can't do harm, but a 0 that arithmetic made is a number like any other.

`calculus` has the same sweep with Values in place of floats, for derivatives of derivatives. Nodes
come from `graph.topological_order`; this file makes none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from engine import locks, modes
from engine.errors import DomainError, told, user_line
from engine.ops import Op

if TYPE_CHECKING:
    from engine.value import Value

# The adjoint of a node to which nothing has come: a 0.0 of its own, which `is` tells from the zeros
# that sums and products make, so that adding to it needs no question.
NOTHING = float("0.0")

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

    `nodes` are in topological order; `seeds` are results with the adjoints they start from, where
    exactly 0.0 is as good as none. An adjoint is 0.0 where nothing came. With `keep`, the `grad` of
    each node that is no leaf is set.
    """
    chosen = [(node, seed) for node, seed in seeds if seed != 0.0]
    found = arrivals(nodes, chosen, wanted, keep=keep)
    return [0.0 if adjoint is None else adjoint for adjoint in found]


def arrivals(
    nodes: Sequence[Value],
    seeds: Iterable[tuple[Value, float]],
    wanted: Sequence[Value],
    *,
    keep: bool = False,
) -> list[float | None]:
    """`reverse_sweep` that says None where nothing came; every seed has arrived, also 0.0."""
    with _sweep_lock:  # adjoints are gathered in the nodes, and threads may share nodes
        _sweeps.append(None)
        # A pullback or a partial may begin a sweep within this one: it puts back what it changes.
        touched = [*nodes, *wanted] if len(_sweeps) > 1 else []
        before = [getattr(node, "_adjoint", NOTHING) for node in touched]
        try:
            for node in itertools.chain(wanted, nodes):
                node._adjoint = NOTHING
            for node, seed in seeds:
                node._adjoint += seed
            if modes.watched and modes.state.raising:
                _careful_sweep(nodes, keep)
            else:
                _sweep(nodes, keep)
            return [None if node._adjoint is NOTHING else node._adjoint for node in wanted]
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


def _sweep(nodes: Sequence[Value], keep: bool) -> None:
    nothing = NOTHING
    for node in reversed(nodes):
        op = node.op
        if op is None:
            continue
        adjoint = node._adjoint
        if adjoint is nothing:
            if keep:
                node._grad = 0.0
            continue
        if keep:
            node._grad = adjoint
        plain = op.plain
        if plain == 2:
            p, q = op.partials
            a = node._a
            if a is not None:
                if p.__class__ is not float:
                    p = p(node._x, node._y, node._data)
                a._adjoint += adjoint * p
            b = node._b
            if b is not None:
                if q.__class__ is not float:
                    q = q(node._x, node._y, node._data)
                b._adjoint += adjoint * q
        elif plain == 1:
            a = node._a
            if a is not None:
                p = op.partials[0]
                if p.__class__ is not float:
                    p = p(node._x, node._data)
                a._adjoint += adjoint * p
        elif op.arity == 2 and op.pullback is None:  # the same, where edges may be cut
            (p, q), (cut, other) = op.partials, op.cuts
            x, y = node._x, node._y
            a = node._a
            if a is not None and cut is not True and not (cut and cut(x, y)):
                if p.__class__ is not float:
                    p = p(x, y, node._data)
                a._adjoint += adjoint * p
            b = node._b
            if b is not None and other is not True and not (other and other(x, y)):
                if q.__class__ is not float:
                    q = q(x, y, node._data)
                b._adjoint += adjoint * q
        elif op.arity == 1 and op.pullback is None:
            a, cut = node._a, op.cuts[0]
            if a is None or cut is True or (cut and cut(node._x)):
                continue
            p = op.partials[0]
            if p.__class__ is not float:
                p = p(node._x, node._data)
            a._adjoint += adjoint * p
        else:
            contributions = passed(node, adjoint)
            for (operand, _), g in zip(node._operands(), contributions, strict=True):
                if operand is not None and g is not None:
                    operand._adjoint += g


def _careful_sweep(nodes: Sequence[Value], keep: bool) -> None:
    """The same under errstate("raise"), which looks at every number."""
    for node in reversed(nodes):
        op, adjoint = node.op, node._adjoint
        if op is None:
            continue
        if keep:
            node._grad = adjoint
        if adjoint is NOTHING:
            continue
        operands, contributions = node._operands(), passed(node, adjoint)
        finite = all(map(math.isfinite, (adjoint, *(x for _, x in operands))))
        for k, ((operand, _), g) in enumerate(zip(operands, contributions, strict=True)):
            if operand is not None and g is not None:
                total = operand._adjoint + g
                if finite and math.isfinite(operand._adjoint) and not math.isfinite(total):
                    raise DomainError(_message(node, k, g))
                operand._adjoint = total


def _message(node: Value, k: int, g: float) -> str:
    """That what a node passes to operand k, or what it adds it to, is not finite."""
    op, operands, adjoint = node.op, node._operands(), node._adjoint
    assert op is not None
    call, named = told(op.name, operands)
    what = f"its derivative by operand {k}"
    if op.pullback is None:
        what += f", {partials_of(node, op)[k]},"
    text = f"going back through {call}{named}: {what} times the gradient {adjoint} is {g}"
    before = operands[k][0]
    if math.isfinite(g) and before is not None:
        text += f", and with the {before._adjoint} that came before inf"
    recorder = modes.state.recorder if modes.tracing else None
    line = None if recorder is None else recorder.line(recorder.spots.get(node))
    hint = "; engine.find_nonfinite(f, *args) names the line of the operation"
    return f"{text}, " + (f"{user_line()}{hint}" if line is None else f"at {line}")


def passed(node: Value, adjoint: float) -> Sequence[float | None]:
    """What the result of an operation passes to each operand, None for nothing."""
    op = node.op
    assert op is not None
    if op.pullback is not None:
        return op.pullback(node.args, node, adjoint)
    return [None if p is None else adjoint * p for p in partials_of(node, op)]


def partials_of(node: Value, op: Op) -> list[float | None]:
    """The partials of a node at its recorded numbers; None for a literal and for a cut edge."""
    operands = node._operands()
    numbers = [x for _, x in operands]
    return [
        None
        if operand is None or op.cuts_at(k, numbers)
        else p
        if isinstance(p, float)
        else p(*numbers, node._data)
        for k, ((operand, _), p) in enumerate(zip(operands, op.partials, strict=True))
    ]
