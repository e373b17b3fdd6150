"""The update rules of the optimisers, each written once, on flat arrays.

A rule changes the parameters `theta` and its own state arrays in place, from the gradient `g`.
`optimizers` calls it for Values; it is plain array arithmetic, so that it can be compiled too.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def sgd(
    theta: Array,
    g: Array,
    velocity: Array,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent, with momentum as PyTorch has it (Sutskever et al. 2013).

    The first step takes the gradient as velocity, without dampening.
    """
    if weight_decay != 0.0:
        g = g + weight_decay * theta
    if momentum != 0.0:
        if first:
            velocity[:] = g
        else:
            velocity[:] = momentum * velocity + (1.0 - dampening) * g
        g = g + momentum * velocity if nesterov else velocity
    theta -= lr * g
