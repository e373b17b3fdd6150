"""Data sets that are made, not loaded: every function takes a seed and returns arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def unit_circle(points: int, seed: int) -> tuple[Array, Array]:
    """Return points uniform on [-5, 5]², and 1 for those inside of the unit circle, else 0.

    X has the shape (points, 2), y (points, 1); about π/100 of the labels are 1. Raises
    ValueError for fewer than one point.

    >>> X, y = unit_circle(1000, seed=0)
    >>> X.shape, y.shape, int(y.sum())
    ((1000, 2), (1000, 1), 31)
    """
    if points < 1:
        raise ValueError(f"a data set needs at least one point, not {points}")
    X = np.random.default_rng(seed).uniform(-5.0, 5.0, (points, 2))
    return X, (np.sum(X * X, axis=1, keepdims=True) < 1.0).astype(np.float64)


def split(X: Array, y: Array, probability: float, seed: int) -> tuple[Array, Array, Array, Array]:
    """Return X_train, X_test, y_train, y_test: each row goes to training with `probability`.

    Raises ValueError where one of the two would be empty.
    """
    chosen = np.random.default_rng([seed, 1]).random(len(X)) < probability
    if chosen.all() or not chosen.any():
        raise ValueError(f"{len(X)} points are too few to split; take more")
    return X[chosen], X[~chosen], y[chosen], y[~chosen]
