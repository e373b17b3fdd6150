"""From a data set to what a model is trained on: parts for training and testing, targets.

Plain arrays in, plain arrays out; rows are examples.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


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


def train_test_split(
    X: Any, y: Any, *, test_size: float = 0.25, seed: int = 0, stratify: bool = False
) -> tuple[Array, Array, Array, Array]:
    """Return X_train, X_test, y_train, y_test: rows drawn without replacement, in exact sizes.

    `test_size` is a share, rounded up to whole rows, or a count, as in scikit-learn. `stratify`
    gives either part the same shares of the classes in y, (n,) or one-hot (n, k), as near as whole
    rows come. The arrays keep their types. `split` is for a random size. Raises ValueError where
    a part would be empty, X and y have different lengths, or a class can't be in both parts.

    >>> from nn.data import iris
    >>> X_train, X_test, y_train, y_test = train_test_split(*iris(), test_size=0.2, stratify=True)
    >>> X_train.shape, np.bincount(y_test.astype(int)).tolist()
    ((120, 4), [10, 10, 10])
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim == 0 or y.ndim == 0 or len(X) != len(y):
        raise ValueError(f"X and y need as many rows, not the shapes {X.shape} and {y.shape}")
    count = _test_count(len(X), test_size)
    rng = np.random.default_rng(seed)
    if not stratify:
        order = rng.permutation(len(X))
        test, train = order[:count], order[count:]
        return X[train], X[test], y[train], y[test]
    classes, which = np.unique(y.reshape(len(y), -1), axis=0, return_inverse=True)
    sizes = np.bincount(which.ravel())
    _check_strata(classes, sizes, count)
    parts = [np.zeros(0, np.intp), np.zeros(0, np.intp)]
    for c, taken in enumerate(_shares(sizes, count)):
        rows = rng.permutation(np.flatnonzero(which.ravel() == c))
        parts = [np.append(parts[0], rows[taken:]), np.append(parts[1], rows[:taken])]
    train, test = (rng.permutation(rows) for rows in parts)
    return X[train], X[test], y[train], y[test]


def _test_count(rows: int, test_size: float) -> int:
    if isinstance(test_size, int | np.integer):
        count = int(test_size)
    elif 0.0 < test_size < 1.0:
        count = int(np.ceil(test_size * rows))
    else:
        raise ValueError(
            f"test_size is a share between 0 and 1 or a whole number of rows, not {test_size!r}"
        )
    if not 0 < count < rows:
        raise ValueError(
            f"{count} of {rows} rows for testing leaves {max(rows - count, 0)} for training; "
            "neither may be empty"
        )
    return count


def _check_strata(classes: Array, sizes: Array, count: int) -> None:
    if sizes.min() < 2:
        label = np.squeeze(classes[np.argmin(sizes)]).tolist()
        raise ValueError(f"class {label} has one row only, and can't be in both parts")
    if min(count, int(sizes.sum()) - count) < len(classes):
        raise ValueError(
            f"{count} of {sizes.sum()} rows for testing: either part needs at least one row of "
            f"each of the {len(classes)} classes"
        )


def _shares(sizes: Array, count: int) -> list[int]:
    """How many rows of each class make `count` in all: as near to its share as whole rows come.

    Either part has at least one row of each class.
    """
    exact = sizes * (count / sizes.sum())
    taken = np.clip(np.floor(exact).astype(np.intp), 1, sizes - 1)
    while (missing := count - taken.sum()) != 0:
        step = np.sign(missing)
        possible = (taken + step >= 1) & (taken + step < sizes)
        taken[np.argmax(np.where(possible, step * (exact - taken), -np.inf))] += step
    return [int(number) for number in taken]
