"""The two paths side by side: one step of training on each, from the same numbers."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.leaves import numbers_of
from nn.adopting import LossLike, ModelLike, loss_of, model_of
from nn.examples import checked_data
from nn.scalar_path import ScalarPath
from nn.vectorised_path import VectorisedPath

_REPEATS = 15


@dataclass(frozen=True)
class Comparison:
    """One step of training, loss and gradient of a batch, on either path.

    `largest_difference` is that of the two gradients, entry by entry, and `largest_gradient` the
    largest entry. Times are seconds a step, of the vectorised path the median of several.
    """

    largest_difference: float
    largest_gradient: float
    scalar_seconds: float
    vectorised_seconds: float

    @property
    def ratio(self) -> float:
        """How many times as fast the vectorised path is."""
        return self.scalar_seconds / self.vectorised_seconds

    def __str__(self) -> str:
        return (
            f"a step on the scalar path takes {1e3 * self.scalar_seconds:,.0f} ms, on the "
            f"vectorised one {1e3 * self.vectorised_seconds:.2f} ms: {self.ratio:,.0f} times as "
            f"fast\nthe gradients differ by {self.largest_difference:.1e} at most, where the "
            f"largest entry is {self.largest_gradient:.1e}"
        )


def compare_paths(model: ModelLike, X: Any, y: Any = None, *, loss: LossLike) -> Comparison:
    """Compute the loss of the rows of X and y, and its gradient, on each path; compare them.

    The model is not changed, but for the `grad` of its parameters. Raises TraceError where the
    model does not compile.

    >>> import random, nn
    >>> comparison = nn.compare_paths(nn.MLP(1, [1]), [[1.0], [2.0]], [0.0, 1.0], loss=nn.MSELoss())
    >>> comparison.largest_difference < 1e-12
    True
    """
    model, loss = model_of(model), loss_of(loss)
    X, y = checked_data(X, y, loss, "X", "y")
    parameters = model.parameters()
    theta = np.array(numbers_of(parameters))
    rows = np.arange(len(X))
    vectorised = VectorisedPath(model, loss, parameters, X, y, lambda count: None)
    fast = vectorised(theta, rows, (0, 0))  # what is compiled once is not part of a step
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        fast = vectorised(theta, rows, (0, 0))
        times.append(time.perf_counter() - began)
    scalar = ScalarPath(model, loss, parameters, X, y, lambda: None)
    began = time.perf_counter()
    slow = scalar(theta, rows, (0, 0))
    seconds = time.perf_counter() - began
    return Comparison(
        float(np.abs(fast.gradient - slow.gradient).max()),
        float(np.abs(slow.gradient).max()),
        seconds,
        statistics.median(times),
    )
