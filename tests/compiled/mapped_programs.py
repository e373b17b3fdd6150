"""Programs that workers compute in blocks: their functions are found in other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import engine
from engine import Value
from engine.compiled import objects

w, b = Value(0.3), Value(-0.2)
ROWS = np.random.default_rng(0).normal(size=(1_000, 2))


def noisy(x: Any) -> Any:
    """A number of leaves, of two numbers and of chance."""
    return engine.exp(w * x[0]) * engine.random() + b * x[1]


def payoff(market: Any, _: Any) -> Any:
    """A loop of many operations, with draws: an option in Heston's model."""
    spot, v, rho = market
    x = engine.log(spot)
    for _ in range(32):
        radius = engine.sqrt(-2.0 * engine.log(1.0 - engine.random()))
        angle = 6.0 * engine.random()
        z1, z2 = radius * engine.cos(angle), radius * engine.sin(angle)
        positive = engine.maximum(v, 0.0)
        size = engine.sqrt(positive * 0.1)
        x = x - 0.05 * positive + size * z1
        v = v + 0.2 * (0.04 - positive)
        v = v + 0.3 * size * (rho * z1 + engine.sqrt(1.0 - rho * rho) * z2)
    return engine.maximum(engine.exp(x) - 100.0, 0.0)


def structured(scale: Any, batch: Any) -> Any:
    """A dict, of which a part does not depend on the example."""
    return {"y": scale[0] * batch["x"][0] ** 2 + batch["x"][1], "s": scale[1]}


def looked_up(i: Any) -> Any:
    return engine.take([w, b], i)


def fits(scale: Any, batch: Any) -> Any:
    return engine.sin(scale[0] * batch["x"][0]) * batch["y"] + scale[1]


def mean_of_noise() -> Any:
    return engine.compile(noisy, in_axes=0, reduce="mean", wrt={"w": w, "all": [w, b]})


def mapped(program: Any, X: Any, on: Any = None) -> Any:
    """The value and the gradient in blocks, from the beginning of one stream."""
    engine.manual_seed(5)
    return program.map(X, on=on, kind="value_and_grad", block_size=64)


def counted(work: Callable[..., Any], *args: Any) -> tuple[Any, int]:
    """What is returned, and how often LLVM made machine code for it."""
    made = []
    usual = objects.compiled
    objects.compiled = lambda *a, **k: made.append(1) or usual(*a, **k)
    try:
        return work(*args), len(made)
    finally:
        objects.compiled = usual


def called(program: Any, *args: Any) -> tuple[Any, bool]:
    """A program's value and gradient, and whether `wrt` are the leaves that its function reads."""
    [first, *_] = program._leaves
    before = program(*args)
    first.data += 1.0
    moved = program(*args)
    first.data -= 1.0
    return program.value_and_grad(*args), bool(np.any(moved != before))
