"""Functions of the kinds that lifting is for: layers, convolutions, attention, look-ups and more.

Each is a function of parameters, a tuple of nested lists, and of one example's input, a list. It
is written in scalars, with its weights used in many places.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engine

Matrix = list[list[Any]]


def random_matrix(rng: random.Random, rows: int, columns: int) -> list[list[float]]:
    return [[rng.uniform(-1.0, 1.0) for _ in range(columns)] for _ in range(rows)]


def apply(weight: Matrix, x: list[Any], bias: list[Any] | None = None) -> list[Any]:
    """A dense layer: a matrix times a list, and a bias."""
    starts = bias or [None] * len(weight)
    return [engine.dot(row, x, start) for row, start in zip(weight, starts, strict=True)]


def dense(parameters: Any, x: list[Any]) -> Any:
    first, [bias], second, [last_bias] = parameters
    hidden = [engine.tanh(h) for h in apply(first, x, bias)]
    return engine.logsumexp(apply(second, hidden, last_bias)) - hidden[0] * x[0]


def convolution(parameters: Any, x: list[Any]) -> Any:
    kernels, weight = parameters
    width = len(kernels[0])
    maps = [
        [engine.relu(engine.dot(kernel, x[i : i + width])) for i in range(len(x) - width + 1)]
        for kernel in kernels
    ]
    return engine.sum(y * y for y in apply(weight, [h for row in maps for h in row]))


def attention(parameters: Any, x: list[Any]) -> Any:
    queries, keys, values = parameters
    tokens = [x[i : i + 3] for i in range(0, len(x), 3)]
    q, k, v = ([apply(weight, token) for token in tokens] for weight in (queries, keys, values))
    total = 0.0
    for i in range(len(tokens)):
        shares = engine.softmax([engine.dot(q[i], k[j]) / 1.5 for j in range(i + 1)])
        mixed = [engine.dot(shares, [v[j][c] for j in range(i + 1)]) for c in range(3)]
        total = total + engine.dot(mixed, mixed) - mixed[0] * tokens[i][1]
    return total


def recurrence(parameters: Any, x: list[Any]) -> Any:
    weight, entry = parameters
    state = [0.1] * len(weight)
    for number in x:
        driven = [number * column[0] for column in entry]
        state = [engine.sin(s) for s in apply(weight, state, driven)]
    return engine.prod([1.0 + s * s for s in state]) - engine.maximum(state)


def system(parameters: Any, x: list[Any]) -> Any:
    """Four steps of Heun's method for predator and prey."""
    [[a, b], [c, d]] = parameters[0]
    u, v = 1.0 + x[0] * x[0], 1.0 + x[1] * x[1]
    for _ in range(4):
        du, dv = a * u - b * u * v, c * u * v - d * v
        u_next, v_next = u + 0.1 * du, v + 0.1 * dv
        u = u + 0.05 * (du + a * u_next - b * u_next * v_next)
        v = v + 0.05 * (dv + c * u_next * v_next - d * v_next)
    return u - v / 3.0 + engine.log(u * v)


def embedding(parameters: Any, x: list[Any]) -> Any:
    """Look-ups in a table of parameters, and in one that depends on the example."""
    table, weight = parameters
    indices = [engine.floor(5.0 * engine.sigmoid(number)) for number in x[:2]]
    entries = [engine.take(table, index) for index in indices]
    scores = apply(weight, [a * b for a, b in zip(*entries, strict=True)])
    return engine.take(scores, indices[0] - 5.0) + engine.dot(scores, scores) * x[2]


def noisy(parameters: Any, x: list[Any]) -> Any:
    """Dropout: one draw for each unit."""
    [first] = parameters
    kept = [engine.where(engine.random() < 0.5, h, 0.0) for h in apply(first, x)]
    return engine.sum(engine.exp(h) for h in kept) * engine.random()


def branching(parameters: Any, x: list[Any]) -> Any:
    """Python's own `if`: examples take one of three paths, on one of which they do not matter."""
    [weight] = parameters
    hidden = apply(weight, x)
    if hidden[0] > 0.3:
        return engine.dot(hidden, hidden)
    if hidden[0] > -0.3:
        return weight[0][0] * weight[1][2]
    return engine.sum(engine.sigmoid(h - 3.0 * hidden[0]) for h in hidden)


@dataclass(frozen=True)
class Liftable:
    """A function, the shapes of its parameters, and the length of its input."""

    function: Callable[[Any, list[Any]], Any]
    shapes: tuple[tuple[int, int], ...]
    length: int

    def parameters(self) -> tuple[list[list[float]], ...]:
        rng = random.Random(self.function.__name__)
        return tuple(random_matrix(rng, *shape) for shape in self.shapes)

    def examples(self, count: int) -> list[list[float]]:
        return random_matrix(random.Random(count), count, self.length)


LIFTABLE = {
    f.function.__name__: f
    for f in (
        Liftable(dense, ((5, 3), (1, 5), (4, 5), (1, 4)), 3),
        Liftable(convolution, ((3, 4), (2, 15)), 8),
        Liftable(attention, ((3, 3), (3, 3), (3, 3)), 9),
        Liftable(recurrence, ((4, 4), (4, 1)), 3),
        Liftable(system, ((2, 2),), 2),
        Liftable(embedding, ((5, 4), (5, 4)), 3),
        Liftable(noisy, ((6, 3),), 3),
        Liftable(branching, ((3, 4),), 4),
    )
}
