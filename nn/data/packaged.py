"""Data sets that come with the package; SOURCE.md beside this file says where from."""

from __future__ import annotations

import gzip
import io
from importlib import resources
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def first_names() -> list[str]:
    """Return 32,033 first names in the letters a to z, in the order of the file.

    >>> names = first_names()
    >>> len(names), names[0], max(map(len, names))
    (32033, 'emma', 15)
    """
    return _unpacked("names.txt.gz").split()


def digits() -> tuple[Array, Array]:
    """Return 1,797 handwritten digits of 8x8 pixels, as scikit-learn's `load_digits` has them.

    X has the shape (1797, 64), row by row from the top left, in whole numbers from 0 (paper) to
    16 (ink): nothing is scaled, so divide by 16 before training. y (1797,) holds the digits, 0 to
    9. The rows are in the order of the writers: shuffle before splitting off a part.

    >>> X, y = digits()
    >>> X.shape, X.max(), y[:5].tolist()
    ((1797, 64), np.float64(16.0), [0.0, 1.0, 2.0, 3.0, 4.0])
    """
    return _table("digits.csv.gz", header=0)


def iris() -> tuple[Array, Array]:
    """Return Fisher's 150 irises, as scikit-learn's `load_iris` has them.

    X has the shape (150, 4): the lengths and widths of sepals, then of petals, in centimetres.
    y (150,) is the species: 0 setosa, 1 versicolor, 2 virginica, 50 of each, one after the other:
    shuffle before splitting off a part.

    >>> X, y = iris()
    >>> X[0].tolist(), y[0], X.shape
    ([5.1, 3.5, 1.4, 0.2], np.float64(0.0), (150, 4))
    """
    return _table("iris.csv.gz", header=1)


def _unpacked(name: str) -> str:
    packed = resources.files("nn.data").joinpath(name).read_bytes()
    return gzip.decompress(packed).decode("ascii")


def _table(name: str, header: int) -> tuple[Array, Array]:
    """All columns but the last, and the last."""
    table = np.loadtxt(io.StringIO(_unpacked(name)), delimiter=",", skiprows=header)
    return table[:, :-1].copy(), table[:, -1].copy()
