"""Functions with loops by `scan` and `while_loop`, by name: each takes a list of numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import engine

Program = Callable[[list[Any]], Any]
RETURNS = [random.Random(k).gauss(0.0, 1.0) for k in range(30)]


def integrator(p: list[Any]) -> Any:
    """Lotka and Volterra's equations by Euler's method, with a trajectory."""
    a, b = p

    def step(carry: Any, _: Any) -> Any:
        x, y = carry
        return (x + 0.01 * (a * x - b * x * y), y + 0.01 * (b * x * y - y)), x * y

    (x, y), products = engine.scan(step, (1.0, 0.5), length=50)
    return x * y + 0.01 * engine.sum(products)


def garch(p: list[Any]) -> Any:
    """A likelihood over data, which are numbers."""
    w, alpha, beta = p

    def step(carry: Any, r: Any) -> Any:
        s, total = carry["s"], carry["total"]
        s = 0.1 + w + alpha * 0.1 * r * r + beta * s
        return {"s": s, "total": total + engine.log(s) + r * r / s}, None

    return engine.scan(step, {"s": 1.0, "total": 0.0}, RETURNS)[0]["total"]


def recurrent(p: list[Any]) -> Any:
    """A layer step by step, whose weights are read in each."""
    weights = [p[3 * k : 3 * k + 3] for k in range(3)]

    def step(h: Any, x: Any) -> Any:
        h = [engine.tanh(engine.dot(row, h) + 0.3 * x) for row in weights]
        return h, engine.sum(h)

    h, sums = engine.scan(step, [0.0] * 3, [0.1 * k for k in range(12)])
    return engine.sum(sums) + h[0]


def entries_of_inputs(p: list[Any]) -> Any:
    """Entries that are the inputs, each used in several places."""

    def step(c: Any, x: Any) -> Any:
        return 0.9 * c + x[0] * x[1], c

    c, seen = engine.scan(step, 0.5, [*zip(p, p[::-1], strict=True)])
    return c * engine.sum(seen)


def newton(p: list[Any]) -> Any:
    """A square root, by as many iterations as it takes."""
    (a,) = p
    return engine.while_loop(
        lambda x: abs(x * x - a) > 1e-3, lambda x: 0.5 * (x + a / x), 1.0 + 0.0 * a
    )


def adaptive(p: list[Any]) -> Any:
    """Decay, by an integrator that chooses its steps and repeats those that failed."""
    (k,) = p

    def step(carry: Any) -> Any:
        t, x, h = carry
        slope = -k * x
        other = -k * (x + h * slope)
        error = 0.5 * abs(h * (other - slope))
        good = error < 1e-3
        ratio = 0.9 * engine.sqrt(1e-3 / (error + 1e-12))
        h_next = h * engine.minimum(engine.maximum(ratio, 0.3), 2.0)
        x = engine.where(good, x + 0.5 * h * (slope + other), x)
        t = engine.where(good, t + h, t)
        return t, x, engine.maximum(engine.minimum(h_next, 2.0 - t), 1e-6)

    return engine.while_loop(lambda carry: carry[0] < 2.0 - 1e-4, step, (0.0, 1.0, 0.1))[1]


def scan_in_scan(p: list[Any]) -> Any:
    """A loop whose step has a loop."""
    a, b = p

    def inner(c: Any, x: Any) -> Any:
        return a * c + x, c

    def outer(c: Any, _: Any) -> Any:
        found, seen = engine.scan(inner, c, [0.1, 0.2, 0.3])
        return 0.5 * b * found + 0.1 * engine.sum(seen), found

    c, seen = engine.scan(outer, 0.3, length=5)
    return c + engine.sum(seen)


def while_in_scan(p: list[Any]) -> Any:
    """A loop whose step iterates until it converges."""
    a, b = p

    def outer(c: Any, x: Any) -> Any:
        root = engine.while_loop(
            lambda y: abs(y * y - c) > 1e-3, lambda y: 0.5 * (y + c / y), 1.0 + 0.0 * c
        )
        return root + b * x, root

    c, roots = engine.scan(outer, a, [0.3, 0.4, 0.2])
    return c * engine.sum(roots)


def one_after_the_other(p: list[Any]) -> Any:
    """What a loop gives is gone through by another, backwards."""
    a, b = p
    _, forwards = engine.scan(lambda c, x: (a * c + x, engine.sin(c)), 0.1, RETURNS[:9])
    total, _ = engine.scan(lambda c, y: (b * c + y, None), 0.0, forwards[::-1])
    return total


def rotation(p: list[Any]) -> Any:
    """A rotation, step by step."""

    def step(c: Any, _: Any) -> Any:
        return (c[0] + 0.001 * c[1] * p[0], c[1] - 0.001 * c[0] * p[1]), None

    x, y = engine.scan(step, (1.0, 0.0), length=47)[0]
    return x * y


def maxima(p: list[Any]) -> Any:
    """The most likely path through states."""
    a, b, c = p

    def step(scores: Any, x: Any) -> Any:
        u, v = scores
        stay, change = engine.log(a), engine.log(b)
        here = engine.maximum(u + stay, v + change) - c * (x - 1.0) ** 2
        there = engine.maximum(u + change, v + stay) - c * (x + 1.0) ** 2
        return (here, there), None

    return engine.maximum(*engine.scan(step, (0.0, -1.0), RETURNS)[0])


def cut_off(p: list[Any]) -> Any:
    """A step in which a root of a negative number is not chosen."""
    (a, b) = p

    def step(c: Any, x: Any) -> Any:
        inside = a * x + b
        return c + engine.where(inside > 0.0, engine.sqrt(inside), 0.0 * c), None

    return engine.scan(step, 0.0, RETURNS[:8])[0]


PROGRAMS: dict[str, tuple[Program, int]] = {  # and how many numbers each takes
    f.__name__: (f, count)
    for f, count in (
        (integrator, 2),
        (garch, 3),
        (recurrent, 9),
        (entries_of_inputs, 6),
        (newton, 1),
        (adaptive, 1),
        (scan_in_scan, 2),
        (while_in_scan, 2),
        (one_after_the_other, 2),
        (rotation, 2),
        (maxima, 3),
        (cut_off, 2),
    )
}


# --- at random ----------------------------------------------------------------------------------


def random_loop(rng: random.Random) -> tuple[Program, Program, int]:
    """A function with a random step, by `scan` and by Python's `for`, and how many numbers it
    takes."""
    carries, columns, inputs = rng.randint(1, 4), rng.randint(0, 3), rng.randint(1, 4)
    count = rng.randint(1, 12)
    data = [[rng.uniform(-1.0, 1.0) for _ in range(columns)] for _ in range(count)]
    own = [[rng.random() < 0.3 for _ in range(columns)] for _ in range(count)]
    which = [[rng.randrange(inputs) for _ in range(columns)] for _ in range(count)]
    length = rng.randint(2, 12)
    recipe = [
        (rng.choice(_OPERATIONS), rng.random(), rng.random(), rng.uniform(-1, 1))
        for _ in range(length)
    ]
    ends = [rng.random() for _ in range(carries)]
    given = rng.randint(0, 2)

    def step(p: list[Any], carry: list[Any], x: list[Any]) -> tuple[list[Any], Any]:
        known = [*carry, *(x or []), *p]
        for f, i, j, number in recipe:
            known.append(f(known[int(i * len(known))], known[int(j * len(known))], number))
        found = [engine.tanh(known[int(k * len(known))]) for k in ends]
        return found, [known[-1 - k] for k in range(given)] if given else None

    def entries(p: list[Any]) -> Any:
        rows = zip(data, own, which, strict=True)
        found = [[p[w] if o else x for x, o, w in zip(*row, strict=True)] for row in rows]
        return found if columns else None

    def total(carry: list[Any], ys: Any) -> Any:
        return engine.sum(carry) + sum(
            math.cos(k) * y for k, row in enumerate(ys or []) for y in row
        )

    def by_scan(p: list[Any]) -> Any:
        start = [0.5 * p[k % inputs] for k in range(carries)]
        return total(*engine.scan(lambda c, x: step(p, c, x), start, entries(p), length=count))

    def by_for(p: list[Any]) -> Any:
        carry, ys = [0.5 * p[k % inputs] for k in range(carries)], []
        for x in entries(p) or [None] * count:
            carry, y = step(p, carry, x)
            ys.append(y)
        return total(carry, ys if given else None)

    return by_scan, by_for, inputs


_OPERATIONS: list[Callable[[Any, Any, float], Any]] = [
    lambda x, y, a: x + a * y,
    lambda x, y, a: x * y,
    lambda x, y, a: engine.sin(x) + a,
    lambda x, y, a: engine.tanh(x - y),
    lambda x, y, a: engine.maximum(x, a * y),
    lambda x, y, a: x / (1.5 + y * y),
    lambda x, y, a: engine.where(x > y, x * a, y),
    lambda x, y, a: engine.exp(-x * x) * y,
]
