"""The update rules of the optimisers, each written once, on flat arrays.

A rule changes the parameters `theta` in place, from the gradient `g`. `slots` has one row for
each number that it keeps beside a parameter, `steps` is how many updates there were before, and
`settings` are what the optimiser was told. It is plain array arithmetic: NumPy runs it for
`Optimizer.step`, and Numba compiles it into training loops.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def sgd(theta: Array, g: Array, slots: Array, steps: int, settings: Array) -> None:
    """Stochastic gradient descent, with momentum as PyTorch has it (Sutskever et al. 2013).

    `settings` are lr, momentum, dampening, weight_decay, nesterov; slot 0 is the velocity. The
    first step takes the gradient as velocity, without dampening.
    """
    lr, momentum, dampening = settings[0], settings[1], settings[2]
    weight_decay, nesterov = settings[3], settings[4]
    velocity = slots[0]
    if weight_decay != 0.0:
        g = g + weight_decay * theta
    if momentum != 0.0:
        if steps == 0:
            velocity[:] = g
        else:
            velocity[:] = momentum * velocity + (1.0 - dampening) * g
        g = g + momentum * velocity if nesterov != 0.0 else velocity
    theta -= lr * g
