"""Greeks of a Heston Monte Carlo: a price, all its sensitivities, and how far each can be trusted.

Every block of paths is a task, which this process computes, or workers do.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

import engine
from engine import cos, exp, log, maximum, random, sin, sqrt

Array = np.ndarray[Any, np.dtype[Any]]
MARKET = [100.0, 0.04, 0.02, 2.0, 0.04, 0.3, -0.7]  # spot, variance, rate, kappa, theta, xi, rho
STRIKE, YEARS, STEPS = 100.0, 1.0, 32
CALLS = 20  # each of other random numbers: their spread gives the errors


def payoff(market: Any, _: Any) -> Any:
    """What a call option pays on one path, in today's money."""
    spot, v, rate, kappa, theta, xi, rho = market
    dt = YEARS / STEPS
    x = log(spot)
    for _ in range(STEPS):
        radius, angle = sqrt(-2.0 * log(1.0 - random())), 2.0 * math.pi * random()
        z1, z2 = radius * cos(angle), radius * sin(angle)
        positive = maximum(v, 0.0)
        size = sqrt(positive * dt)
        x = x + (rate - 0.5 * positive) * dt + size * z1
        v = v + kappa * (theta - positive) * dt + xi * size * (rho * z1 + sqrt(1 - rho * rho) * z2)
    return exp(-rate * YEARS) * maximum(exp(x) - STRIKE, 0.0)


@cache
def program() -> engine.Program:
    """The mean over paths, compiled."""
    return engine.compile(payoff, in_axes=(None, 0), reduce="mean")


def estimates(on: Any, paths: int, block: int, calls: int = CALLS) -> Array:
    """Return the price and the seven Greeks, and their standard errors, (2, 8).

    `on` is what `Program.map` takes; a task is a `block` of paths.
    """
    engine.manual_seed(1)
    numbers = np.arange(paths // calls, dtype=float)
    given: dict[str, Any] = {"on": on, "kind": "value_and_grad", "block_size": block}
    found = [program().map(MARKET, numbers, **given) for _ in range(calls)]
    each = np.array([[value, *gradient] for value, gradient in found])
    return np.array([each.mean(axis=0), each.std(axis=0) / math.sqrt(max(1, calls - 1))])
