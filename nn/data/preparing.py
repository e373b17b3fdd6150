"""From a data set to what a model is trained on: parts for training and testing, targets, scales.

Plain arrays in, plain arrays out; rows are examples.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def split(X: Array, y: Array, probability: float, seed: int) -> tuple[Array, Array, Array, Array]:
    """Return X_train, X_test, y_train, y_test: each row goes to training with `probability`.

    The sizes are then random, as the unit circle's program asks for; where they are to be exact,
    use `train_test_split`. Raises ValueError where one of the two would be empty.
    """
    chosen = np.random.default_rng([seed, 1]).random(len(X)) < probability
    if chosen.all() or not chosen.any():
        raise ValueError(f"{len(X)} points are too few to split; take more")
    return X[chosen], X[~chosen], y[chosen], y[~chosen]


def one_hot(y: Any, classes: int | None = None) -> Array:
    """Return a row a class number: 1 in its place, 0 elsewhere.

    y has the shape (n,) or (n, 1), whole numbers from 0; the result (n, classes), where `classes`
    None is one more than the largest. Raises ValueError for what is no class number, naming the
    row.

    >>> one_hot([0.0, 2.0]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    numbers = np.asarray(y, dtype=np.float64)
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise ValueError(f"class numbers have the shape (n,) or (n, 1), not {numbers.shape}")
    if classes is None:
        if len(numbers) == 0:
            raise ValueError("there are no class numbers: say how many classes there are")
        # inf and nan are no class number: the next check says where
        classes = int(numbers.max()) + 1 if np.isfinite(numbers).all() else 1
    wrong = ~((numbers >= 0) & (numbers < classes) & (numbers == np.floor(numbers)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"row {row} has {numbers[row]:g}; a class number is a whole number from 0 to "
            f"{max(classes, 1) - 1}"
        )
    return np.eye(classes)[numbers.astype(np.intp)]
