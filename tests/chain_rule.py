"""The chain rule, slow and plain: what every sweep of the engine is compared with; and graphs to
compare on, in which arms are not taken, and numbers are infinite, 0 or nan.

It reads the operation table and nothing else of the engine's calculus. What is a number there may
be a Value, so that it differentiates its own results.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import engine
from engine import Value
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.rebind import rebind
from random_graphs import Graph

Number = Any  # a float or a Value


def derivatives(root: Number, inputs: Sequence[Value]) -> list[Number]:
    """The derivatives of a node by others, as Values that can be differentiated once more."""
    adjoints: dict[Value, Number] = {root: 1.0}  # of the nodes at which something has arrived
    for node in reversed(topological_order((root,))):
        for k, operand in enumerate(node.args):
            numbers = [x for _, x in node._operands()]
            if node in adjoints and isinstance(operand, Value) and not node.op.cuts_at(k, numbers):
                passed = adjoints[node] * partial(node.op, k, [*node.args, node])
                adjoints[operand] = adjoints[operand] + passed if operand in adjoints else passed
    return [adjoints.get(x, 0.0) for x in inputs]


def partial(op: Op, k: int, operands: Sequence[Number]) -> Number:
    p = op.partials[k]
    return rebind(p, engine.functions.FUNCTIONS)(*operands) if callable(p) else p


def tensors(root: Number, inputs: Sequence[Value], order: int, by: Callable[..., Any]) -> list[Any]:
    """All derivatives up to an order, each by the function `by` of a node and the inputs."""
    rows, found = [root], []
    for _ in range(order):
        rows = [
            d
            for row in rows
            for d in (by(row, inputs) if isinstance(row, Value) else [0.0] * len(inputs))
        ]
        found += [d.data if isinstance(d, Value) else d for d in rows]
    return found


# --- graphs -------------------------------------------------------------------------------------

NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, 1000.0, -1000.0, float("inf"))
CHOOSING = ("where", "relu", "maximum", "minimum", "clamp_min", "clamp_max")
TRAPS = ("sqrt", "log", "exp", "reciprocal", "div", "atan", "tanh", "hypot", "abs", "square", "pow")
PLAIN = ("add", "sub", "mul", "neg")
SLOPELESS = ("less", "less_equal", "equal", "floor", "sign")


def wild_graph(seed: int, inputs: int = 2, steps: int = 9) -> Graph:
    """A graph at numbers that nobody would choose; most steps are used by a later one."""
    rng = random.Random(seed)
    numbers = tuple(rng.choice(NUMBERS) for _ in range(inputs))
    made: list[tuple[str, tuple[int | float, ...]]] = []
    for count in range(inputs, inputs + steps):
        rows = rng.choices((CHOOSING, TRAPS, PLAIN, SLOPELESS), (5, 6, 6, 1))[0]
        op = TABLE[rng.choice(rows)]

        def operand(count: int = count) -> int | float:
            if rng.random() < 0.12:
                return rng.choice(NUMBERS)
            return rng.randrange(count) if rng.random() < 0.4 else rng.randrange(count - 2, count)

        operands = [operand() for _ in range(op.arity)]
        if not any(isinstance(x, int) for x in operands):
            operands[-1] = count - 1
        made.append((op.name, tuple(operands)))
    return Graph(numbers, tuple(made))
