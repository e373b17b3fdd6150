"""Networks of a course: sigmoid everywhere, C = ½ Σ (a - y)², and backpropagation in four lines.

Three programs train one: a neuron, circles in the plane, and few handwritten digits.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

import engine
import nn
from nn.losses import Reduction

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class HalfSquaredError(nn.Loss):
    """(a - y)² / 2, by default summed: the course's cost, whose derivative by a is a - y.

    >>> HalfSquaredError()([1.0, 3.0], [0.0, 0.0])
    5.0
    """

    def __init__(self, reduction: Reduction = "sum") -> None:
        super().__init__(reduction)

    def term(self, y: Any, t: Any) -> Any:
        """Return (y - t)² / 2."""
        return 0.5 * engine.square(y - t)


def make_model(sizes: Sequence[int], rng: random.Random, dropout: float = 0.0) -> nn.Sequential:
    """Return dense layers of these sizes, a sigmoid after each; weights N(0, 1), biases 0.

    With `dropout`, hidden activations are dropped with this probability while training.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        if modules and dropout:
            modules.append(nn.Dropout(dropout))
        layer = nn.Linear(inputs, outputs, rng=rng)
        nn.init.normal_(layer.weight, rng=rng)
        nn.init.zeros_(layer.bias)
        modules += [layer, nn.Sigmoid()]
    return nn.Sequential(*modules)


def four_equations(model: nn.Module, X: Array, y: Array) -> dict[str, Array]:
    """Return the gradients of the summed cost, by the four equations of backpropagation.

    A slow and obvious twin of what the engine does, in arrays with a column an example; M layers:

        δ_M = (a_M - y) ∘ σ'(z_M)              δ_l = W_{l+1}ᵀ δ_{l+1} ∘ σ'(z_l)
        ∂C/∂b_l = δ_l                          ∂C/∂W_l = δ_l a_{l-1}ᵀ

    summed over the examples; with a = σ(z), σ'(z) is a (1 - a). (The course spells σ' in two ways
    that differ, and its one-hot vector of the digit 7 has eleven entries where ten digits take
    ten.)
    """
    state = model.state_dict()
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    a = [X.T]
    for name in names:
        z = state[f"{name}.weight"] @ a[-1] + state[f"{name}.bias"][:, None]
        a.append(1.0 / (1.0 + np.exp(-z)))
    gradients = {}
    delta = (a[-1] - y.T) * a[-1] * (1.0 - a[-1])
    for place in reversed(range(len(names))):
        gradients[f"{names[place]}.bias"] = delta.sum(axis=1)
        gradients[f"{names[place]}.weight"] = delta @ a[place].T
        delta = state[f"{names[place]}.weight"].T @ delta * a[place] * (1.0 - a[place])
    return gradients
