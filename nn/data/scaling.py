"""Scales of columns: fitted to the training rows, undone on what is predicted."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Standardizer:
    """Shifts and scales every column to mean 0 and standard deviation 1, as a fitted set has it.

    Fit it on the training rows, then transform these and the test rows alike. `mean_` and
    `scale_` hold a number a column; a column that is constant there up to rounding is shifted,
    not scaled. The rules are scikit-learn's StandardScaler's (divisor n), but for NaN, which is
    refused. float32 stays float32; whole numbers become float64.

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
        self.mean_ = X.mean(axis=0, dtype=np.float64)
        variance = X.var(axis=0, dtype=np.float64)
        # What rounding leaves of a constant column is no scale: Chan, Golub and LeVeque (1983),
        # "Algorithms for computing the sample variance", bound it by these terms.
        eps = np.finfo(np.float64).eps
        rounding = len(X) * eps * variance + (len(X) * eps * self.mean_) ** 2
        self.scale_ = np.where(variance <= rounding, 1.0, np.sqrt(variance))
        return self

    def transform(self, X: Any) -> Array:
        """Return (X - mean) / scale. Raises ValueError before `fit`, or for other columns."""
        rows = self._checked(X)
        scaled: Array = (rows - self.mean_.astype(rows.dtype)) / self.scale_.astype(rows.dtype)
        return scaled

    def inverse_transform(self, X: Any) -> Array:
        """Return X * scale + mean, which undoes `transform`; raises as it does."""
        rows = self._checked(X)
        back: Array = rows * self.scale_.astype(rows.dtype) + self.mean_.astype(rows.dtype)
        return back

    def fit_transform(self, X: Any) -> Array:
        """Fit to X and return it transformed."""
        return self.fit(X).transform(X)

    def _checked(self, X: Any) -> Array:
        if not hasattr(self, "mean_"):
            raise ValueError("the Standardizer knows no means yet: call fit on the training rows")
        rows = _matrix(X)
        if rows.shape[1] != len(self.mean_):
            raise ValueError(
                f"X has {rows.shape[1]} columns, and was fitted with {len(self.mean_)}"
            )
        return rows


def _matrix(X: Any) -> Array:
    """X as an array of floats; raises ValueError where it is none, or not finite."""
    array: Array = np.asarray(X)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != 2:
        hint = "; one column is X.reshape(-1, 1)" if array.ndim == 1 else ""
        raise ValueError(f"X needs rows and columns, not the shape {array.shape}{hint}")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"X has {array[row, column]} in row {row}, column {column}")
    return array
