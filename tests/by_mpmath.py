"""What rows of the table approximate by polynomials, to a double's digits: the functions themselves,
on mpmath's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

mpmath = pytest.importorskip("mpmath")

BY_MPMATH: dict[str, Callable[..., Any]] = {
    "gammaln": lambda x: mpmath.loggamma(x).real,
    "digamma": lambda x: mpmath.digamma(x),
    "polygamma": lambda n, x: mpmath.polygamma(int(n), x),
    "betaln": lambda x, y: mpmath.loggamma(x) + mpmath.loggamma(y) - mpmath.loggamma(x + y),
    "erfinv": lambda x: mpmath.erfinv(x),
    "i0": lambda x: mpmath.besseli(0, x),
    "i1": lambda x: mpmath.besseli(1, x),
    "i0e": lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
    "i1e": lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
}
