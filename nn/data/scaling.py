"""Scales of columns: fitted to the training rows, undone on what is predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nn.data.streams import Array, Rows, blocks, streamed


class Standardizer:
    """Shifts and scales every column to mean 0 and standard deviation 1, as a fitted set has it.

    Fit it on the training rows, then transform these and the test rows alike. `mean_` and
    `scale_` hold a number a column; a column that is constant there up to rounding is shifted,
    not scaled. The rules are scikit-learn's StandardScaler's (divisor n), but for NaN, which is
    refused. float32 stays float32; whole numbers become float64. Of a memmap, a chunked array or
    `Rows`, what is transformed is `Rows` again, scaled whenever they are read.

    >>> scale = Standardizer().fit([[0.0, 7.0], [2.0, 7.0], [4.0, 7.0]])
    >>> scale.mean_.tolist(), scale.scale_.round(3).tolist()
    ([2.0, 7.0], [1.633, 1.0])
    >>> scale.transform([[2.0, 8.0]]).tolist()
    [[0.0, 1.0]]
    >>> scale.inverse_transform([[0.0, 1.0]]).tolist()
    [[2.0, 8.0]]
    """

    mean_: Array
    scale_: Array

    def fit(self, X: Any) -> Standardizer:
        """Take the means and standard deviations of the columns of X, (n, k); return self.

        Raises ValueError where X is no matrix, has no rows, or has NaN or inf.
        """
        X = _matrix(X)
        if len(X) == 0:
            raise ValueError("X has no rows to fit to")
        parts = blocks(X)
        total: Any = sum(_floats(X, *part).sum(axis=0, dtype=np.float64) for part in parts)
        self.mean_ = total / len(X)
        squares = (np.square(_floats(X, *part) - self.mean_).sum(axis=0) for part in parts)
        variance: Any = sum(squares) / len(X)
        # What rounding leaves of a constant column is no scale: Chan, Golub and LeVeque (1983),
        # "Algorithms for computing the sample variance", bound it by these terms.
        eps = np.finfo(np.float64).eps
        rounding = len(X) * eps * variance + (len(X) * eps * self.mean_) ** 2
        self.scale_ = np.where(variance <= rounding, 1.0, np.sqrt(variance))
        return self

    def transform(self, X: Any) -> Any:
        """Return (X - mean) / scale. Raises ValueError before `fit`, or for other columns."""
        return self._each(
            X, lambda x, mean, scale: (x - mean.astype(x.dtype)) / scale.astype(x.dtype)
        )

    def inverse_transform(self, X: Any) -> Any:
        """Return X * scale + mean, which undoes `transform`; raises as it does."""
        return self._each(
            X, lambda x, mean, scale: x * scale.astype(x.dtype) + mean.astype(x.dtype)
        )

    def fit_transform(self, X: Any) -> Any:
        """Fit to X and return it transformed."""
        return self.fit(X).transform(X)

    def _each(self, X: Any, scaled: Callable[[Array, Array, Array], Array]) -> Any:
        if not hasattr(self, "mean_"):
            raise ValueError("the Standardizer knows no means yet: call fit on the training rows")
        rows = _matrix(X)
        if rows.shape[1] != len(self.mean_):
            raise ValueError(
                f"X has {rows.shape[1]} columns, and was fitted with {len(self.mean_)}"
            )
        if isinstance(rows, np.ndarray) and not isinstance(rows, np.memmap):
            return scaled(_floats(rows, 0, len(rows)), self.mean_, self.scale_)
        for part in blocks(rows):  # what is not finite is found now
            _floats(rows, *part)
        mean, scale = self.mean_, self.scale_  # as they are now, whatever is fitted later
        return Rows([rows], each=lambda x: scaled(_as_floats(x), mean, scale))


def _matrix(X: Any) -> Any:
    """X with rows and columns, where it lies; raises ValueError where it has none."""
    array = streamed(X)
    if not isinstance(array, Rows | np.memmap):
        array = np.asarray(array)
    if array.ndim != 2:
        hint = "; one column is X.reshape(-1, 1)" if array.ndim == 1 else ""
        raise ValueError(f"X needs rows and columns, not the shape {array.shape}{hint}")
    return array


def _floats(X: Any, first: int, last: int) -> Array:
    """Some rows as floats; raises ValueError where one is not finite."""
    array = _as_floats(X[first:last])
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"X has {array[row, column]} in row {first + row}, column {column}")
    return array


def _as_floats(rows: Array) -> Array:
    keeps = rows.dtype in (np.float32, np.float64)
    return rows if keeps else rows.astype(np.float64)
