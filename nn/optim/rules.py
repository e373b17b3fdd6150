"""The update rules of the optimisers, each written once.

A rule says what becomes of one parameter `w` by its gradient `g`: it returns the parameter moved,
and after it what it keeps beside a parameter, its slots, which it is given too. `steps` is how many
updates there were before, and `settings` are what the optimiser was told. It is plain arithmetic
that holds for a number and for arrays alike: `applied` runs it on arrays for `Optimizer.step`, and
Numba compiles `LOOPS` around it, number by number, into training loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Rule: TypeAlias = Callable[..., tuple[Any, ...]]

rule: Any = None  # what LOOPS are about: each rule takes this name in turn


def sgd(w: Any, g: Any, velocity: Any, steps: int, settings: Array) -> tuple[Any, Any]:
    """Stochastic gradient descent, with momentum as PyTorch has it (Sutskever et al. 2013).

    `settings` are lr, momentum, dampening, weight_decay, nesterov. The first step takes the
    gradient as velocity, without dampening.
    """
    lr, momentum, dampening = settings[0], settings[1], settings[2]
    weight_decay, nesterov = settings[3], settings[4]
    if weight_decay != 0.0:
        g = g + weight_decay * w
    if momentum != 0.0:
        velocity = g if steps == 0 else momentum * velocity + (1.0 - dampening) * g
        g = g + momentum * velocity if nesterov != 0.0 else velocity
    return w - lr * g, velocity


def applied(rule: Rule, theta: Array, g: Array, slots: Array, steps: int, settings: Array) -> None:
    """Move `theta` and `slots` in place, by arrays."""
    moved, *kept = rule(theta, g, *slots, steps, settings)
    for slot, new in zip(slots, kept, strict=True):
        slot[:] = new
    theta[:] = moved


def with_one_slot(
    theta: Any, g: Any, slots: Any, settings: Any, _1: Any, _2: Any, steps: Any, count: Any
) -> None:
    """`applied`, number by number, for a rule that keeps one number beside each parameter."""
    for i in range(count):
        theta[i], slots[i] = rule(theta[i], g[i], slots[i], steps, settings)


LOOPS: dict[int, Callable[..., None]] = {1: with_one_slot}
