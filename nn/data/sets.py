"""Data sets that are made, not loaded: every function takes a seed and returns arrays X and y.

X has a row a point. Where the question is one of yes or no, y has the shape (points, 1) and is 1
or 0, as a model with one output has it; where there are classes, y has the shape (points,) and
holds their numbers, as `nn.CrossEntropyLoss` has them. All is float64. The rows are in random
order, so that a run of them is a fair batch.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    _check(points)
    X = np.random.default_rng(seed).uniform(-5.0, 5.0, (points, 2))
    return X, (np.sum(X * X, axis=1, keepdims=True) < 1.0).astype(np.float64)


def xor(points: int = 1000, seed: int = 0) -> tuple[Array, Array]:
    """Return points uniform on [0, 1)², and 1 where exactly one coordinate is at least a half.

    X has the shape (points, 2), y (points, 1). Raises ValueError for fewer than one point.

    >>> X, y = xor(4)
    >>> X.round(2).tolist(), y.ravel().tolist()
    ([[0.64, 0.27], [0.04, 0.02], [0.81, 0.91], [0.61, 0.73]], [1.0, 0.0, 0.0, 0.0])
    """
    _check(points)
    X = np.random.default_rng(seed).random((points, 2))
    return X, ((X[:, :1] >= 0.5) != (X[:, 1:] >= 0.5)).astype(np.float64)


def circles(
    points: int = 500, *, noise: float = 0.1, factor: float = 0.8, seed: int = 0
) -> tuple[Array, Array]:
    """Return two concentric circles: 0 for the unit circle, 1 for the one of radius `factor`.

    The construction of scikit-learn's `make_circles`: half of the points on either (the odd one
    inside), at evenly spaced angles, each moved by a normal step of standard deviation `noise`.
    X has the shape (points, 2), y (points, 1). Raises ValueError for fewer than two points, a
    negative noise, or a factor that is not in [0, 1).

    >>> X, y = circles(noise=0.0)
    >>> X.shape, y.shape, int(y.sum())
    ((500, 2), (500, 1), 250)
    >>> sorted(set(np.hypot(*X.T).round(9).tolist()))
    [0.8, 1.0]
    """
    _check(points, 2, noise)
    if not 0.0 <= factor < 1.0:
        raise ValueError(f"factor is the inner circle's radius, in [0, 1), not {factor!r}")
    outer = np.linspace(0.0, 2.0 * np.pi, points // 2, endpoint=False)
    inner = np.linspace(0.0, 2.0 * np.pi, points - points // 2, endpoint=False)
    return _yes_or_no(_on_circle(outer), factor * _on_circle(inner), noise, seed)


def moons(points: int = 100, *, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Return two half circles that reach into each other: 0 for the upper one, 1 for the lower.

    The construction of scikit-learn's `make_moons`, the set of micrograd's demo (whose labels,
    for a max-margin loss, are `2 * y - 1`): half of the points on either (the odd one on the
    lower), at evenly spaced angles, each moved by a normal step of standard deviation `noise`.
    X has the shape (points, 2), y (points, 1). Raises ValueError for fewer than two points or a
    negative noise.

    >>> X, y = moons(4, noise=0.0)
    >>> sorted(zip(y.ravel().tolist(), X.round(9).tolist()))
    [(0.0, [-1.0, 0.0]), (0.0, [1.0, 0.0]), (1.0, [0.0, 0.5]), (1.0, [2.0, 0.5])]
    """
    _check(points, 2, noise)
    upper = np.linspace(0.0, np.pi, points // 2)
    lower = np.linspace(0.0, np.pi, points - points // 2)
    return _yes_or_no(_on_circle(upper), [1.0, 0.5] - _on_circle(lower), noise, seed)


def spirals(
    points: int = 300, *, classes: int = 3, noise: float = 0.2, seed: int = 0
) -> tuple[Array, Array]:
    """Return as many spiral arms as there are classes, wound into each other around the origin.

    Along an arm the radius grows evenly from 0 to 1 while the angle turns by 4 radians, plus a
    normal step of standard deviation `noise` radians; the arms start at evenly spaced angles and
    have as many points, or one more. (The set of Stanford's CS231n notes, "Putting it together".)
    X has the shape (points, 2), y (points,). Raises ValueError for fewer than one class, fewer
    points than classes, or a negative noise.

    >>> X, y = spirals(300)
    >>> X.shape, np.bincount(y.astype(int)).tolist()
    ((300, 2), [100, 100, 100])
    """
    if classes < 1:
        raise ValueError(f"there is at least one class, not {classes}")
    _check(points, classes, noise)
    rng = np.random.default_rng(seed)
    sizes = _even(points, classes)
    radius = np.concatenate([np.linspace(0.0, 1.0, size) for size in sizes])[:, None]
    y = np.repeat(np.arange(classes, dtype=np.float64), sizes)
    angle = 2.0 * np.pi / classes * y + 4.0 * radius[:, 0] + noise * rng.normal(size=points)
    order = rng.permutation(points)
    return (radius * _on_circle(angle))[order], y[order]


def blobs(
    points: int = 300,
    *,
    centers: int | Sequence[Sequence[float]] | Array = 3,
    std: float = 1.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Return round clouds: a class of normal points of standard deviation `std` at each center.

    `centers` are points of the plane, or how many to draw, uniform on [-10, 10]²; their classes
    have as many points, or one more. X has the shape (points, 2), y (points,). Raises ValueError
    for fewer than one center, fewer points than centers, centers that are no points of the plane,
    or a negative standard deviation.

    >>> X, y = blobs(200, centers=[[0.0, 0.0], [5.0, 5.0]])
    >>> X[y == 1.0].mean(axis=0).round()
    array([5., 5.])
    """
    rng = np.random.default_rng(seed)
    if isinstance(centers, int):
        centers = rng.uniform(-10.0, 10.0, (max(centers, 0), 2))
    middle = np.asarray(centers, dtype=np.float64)
    if middle.ndim != 2 or middle.shape[1] != 2 or len(middle) == 0:
        raise ValueError(f"centers are one or more points, of shape (k, 2), not {middle.shape}")
    _check(points, len(middle), std)
    y = np.repeat(np.arange(len(middle), dtype=np.float64), _even(points, len(middle)))
    X = np.repeat(middle, _even(points, len(middle)), axis=0) + std * rng.normal(size=(points, 2))
    order = rng.permutation(points)
    return X[order], y[order]


def _check(points: int, least: int = 1, noise: float = 0.0) -> None:
    if points < least:
        need = "one point" if least == 1 else f"{least} points, one a class"
        raise ValueError(f"a data set needs at least {need}, not {points}")
    if not 0.0 <= noise < np.inf:
        raise ValueError(f"the noise is a standard deviation of at least 0, not {noise!r}")


def _on_circle(angle: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _even(points: int, classes: int) -> list[int]:
    """How many points each class has; the last ones have the odd ones."""
    return [(points + k) // classes for k in range(classes)]


def _yes_or_no(no: Array, yes: Array, noise: float, seed: int) -> tuple[Array, Array]:
    """The points of both, with noise, and their labels, in random order."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([no, yes])
    y = np.repeat([[0.0], [1.0]], [len(no), len(yes)], axis=0)
    order = rng.permutation(len(X))
    return X[order] + noise * rng.normal(size=X.shape), y[order]
