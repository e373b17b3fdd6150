"""A scalar engine as people write one in a language of their own, and how it runs the fixtures.

Plain Python of its own, from what the README beside the fixtures says: nothing of gradloom is
imported. Each operation is its value and the function that gives its derivatives.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def divided(x: float, y: float) -> float:
    if y == 0.0:
        sign = math.copysign(1.0, x) * math.copysign(1.0, y)
        return math.nan if x == 0.0 or x != x else sign * math.inf
    return x / y


def exp(x: float) -> float:
    return math.inf if x > 709.782712893384 else math.exp(x)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x)) if x >= 0.0 else exp(x) / (1.0 + exp(x))


def root(x: float) -> float:
    return math.sqrt(x) if x >= 0.0 else math.nan


def logarithm(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan


def sin(x: float) -> float:
    return math.sin(x) if abs(x) < math.inf else math.nan


def cos(x: float) -> float:
    return math.cos(x) if abs(x) < math.inf else math.nan


def steep(x: float) -> float:  # the derivative of tanh
    small = exp(-2.0 * abs(x))
    return 4.0 * small / (1.0 + small) ** 2


def tied(x: float, y: float, sign: float) -> tuple[float | None, float | None]:
    if x == y:
        return 0.5, 0.5
    return (None, 1.0) if sign * x < sign * y else (1.0, None) if x == x and y == y else (1.0, 1.0)


# name: (value, derivatives by the operands); None where an operand was not chosen
OPERATIONS: dict[str, tuple[Any, Any]] = {
    "add": (lambda x, y: x + y, lambda x, y: (1.0, 1.0)),
    "sub": (lambda x, y: x - y, lambda x, y: (1.0, -1.0)),
    "mul": (lambda x, y: x * y, lambda x, y: (y, x)),
    "div": (divided, lambda x, y: (divided(1.0, y), -divided(divided(x, y), y))),
    "neg": (lambda x: -x, lambda x: (-1.0,)),
    "square": (lambda x: x * x, lambda x: (2.0 * x,)),
    "exp": (exp, lambda x: (exp(x),)),
    "log": (logarithm, lambda x: (divided(1.0, x),)),
    "sqrt": (root, lambda x: (divided(0.5, root(x)),)),
    "sin": (sin, lambda x: (cos(x),)),
    "cos": (cos, lambda x: (-sin(x),)),
    "tanh": (math.tanh, lambda x: (steep(x),)),
    "sigmoid": (sigmoid, lambda x: (steep(x / 2.0) / 4.0,)),
    "silu": (lambda x: x * sigmoid(x), lambda x: (sigmoid(x) + x * (steep(x / 2.0) / 4.0),)),
    "relu": (lambda x: 0.0 if x <= 0.0 else x, lambda x: (None if x <= 0.0 else 1.0,)),
    "abs": (abs, lambda x: ((x > 0.0) - float(x < 0.0) if x == x else x,)),
    "maximum": (
        lambda x, y: x + y if x != x or y != y else max(x, y),
        lambda x, y: tied(x, y, 1.0),
    ),
    "minimum": (
        lambda x, y: x + y if x != x or y != y else min(x, y),
        lambda x, y: tied(x, y, -1.0),
    ),
    "where": (
        lambda c, x, y: x if c != 0.0 else y,
        lambda c, x, y: (None, 1.0, None) if c != 0.0 else (None, None, 1.0),
    ),
    "detach": (lambda x: x, lambda x: (None,)),
}


class Node:
    def __init__(self, op: str, data: float, operands: list[Node]) -> None:
        self.op, self.data, self.operands = op, data, operands
        self.numbers = [operand.data for operand in operands]  # when it was computed
        self.grad, self.adjoint, self.arrived = 0.0, 0.0, False


def order(root: Node) -> list[Node]:
    found, seen, stack = [], set(), [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            found.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack += [(node, True), *((operand, False) for operand in node.operands)]
    return found


def backward(root: Node, seed: float) -> None:
    nodes = order(root)
    for node in nodes:
        node.adjoint, node.arrived = 0.0, False
    root.adjoint, root.arrived = seed, seed != 0.0
    for node in reversed(nodes):
        node.grad = node.grad + node.adjoint if node.op == "leaf" else node.adjoint
        if node.op in OPERATIONS and node.arrived:
            for operand, slope in zip(
                node.operands, OPERATIONS[node.op][1](*node.numbers), strict=True
            ):
                if slope is not None:
                    operand.adjoint += node.adjoint * slope
                    operand.arrived = True


def failure(case: dict[str, Any]) -> str:
    """Where this engine and the fixture part; the empty string where they agree."""

    def differs(found: float, expected: Any, what: str) -> str:
        a, b = found, float(expected)
        near = a == b or (a != a and b != b) or abs(a - b) <= case["atol"] + case["rtol"] * abs(b)
        same = near if math.isfinite(b) else a == b or (a != a and b != b)
        return "" if same else f"{what} is {a!r}, expected {b!r}"

    nodes: list[Node] = []
    for place, told in enumerate(case["graph"]["nodes"]):
        op, data = told["op"], float(told["data"])
        operands = [nodes[k] for k in told.get("operands", [])]
        if op in OPERATIONS:
            data = OPERATIONS[op][0](*[operand.data for operand in operands])
            if wrong := differs(data, told["data"], f"node {place}, {op},"):
                return wrong
        nodes.append(Node(op, data, operands))
    pairs = list(zip(case["graph"]["nodes"], nodes, strict=True))
    leaves = {told["label"]: node for told, node in pairs if "label" in told}
    for label, number in case["assign"].items():
        leaves[label].data = number
    for root, seed in case["passes"]:
        backward(nodes[case["graph"]["root"][root]], seed)
    for place, (told, node) in enumerate(pairs):
        if "grad" in told and (
            wrong := differs(node.grad, told["grad"], f"the grad of node {place}")
        ):
            return wrong
    update = case.get("update", {"rate": 0.0, "data": {}})
    for label, expected in update["data"].items():
        moved = leaves[label].data - update["rate"] * leaves[label].grad
        if wrong := differs(moved, expected, f"{label} after the update"):
            return wrong
    return ""


def run(folder: Path) -> Iterator[tuple[str, str, str | None]]:
    """Each case's file, its name, and where it failed; None for one that can't be run."""
    for path in sorted(folder.glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            known = {*OPERATIONS, "leaf", "literal"}
            runs = all(node["op"] in known for node in case["graph"]["nodes"])
            yield path.stem, case["name"], failure(case) if runs else None


if __name__ == "__main__":
    for file, name, wrong in run(Path(sys.argv[1])):
        if wrong:
            print(f"{file}: {name}: {wrong}")
