"""The rows of the table on mpmath's numbers: what a forward is without rounding."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import mpmath

from engine.ops import Op
from engine.rebind import rebind

mp = mpmath.mp
# What polynomials compute in the row itself, to the digits of a double.
BY_MPMATH: dict[str, Callable[..., Any]] = {
    "gammaln": lambda x: mp.loggamma(x).real,
    "digamma": lambda x: mp.digamma(x),
    "polygamma": lambda n, x: mp.polygamma(int(n), x),
    "betaln": lambda x, y: (mp.loggamma(x) + mp.loggamma(y) - mp.loggamma(x + y)).real,
    "erfinv": lambda x: mp.erfinv(x),
    "i0": lambda x: mp.besseli(0, x),
    "i1": lambda x: mp.besseli(1, x),
    "i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
    "i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
}


class ExactMath:
    """`math` for mpmath's numbers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mp, name)

    def copysign(self, x: Any, y: Any) -> Any:
        return -abs(x) if y < 0 else abs(x)

    def cbrt(self, x: Any) -> Any:
        return -mp.cbrt(-x) if x < 0 else mp.cbrt(x)

    def log2(self, x: Any) -> Any:
        return mp.log(x) / mp.ln2

    def exp(self, x: Any) -> Any:
        if abs(x) > 1e6:  # far beyond every float64, and mpmath takes for ever
            return mp.mpf(0) if x < 0 else mp.inf
        return mp.exp(x)

    def pow(self, x: Any, y: Any) -> Any:
        if x > 0 and abs(y * mp.log(x)) > 1e6:
            return self.exp(y * mp.log(x))
        return mp.power(x, y)


def truth(f: FunctionType) -> Any:
    """A forward on mpmath's numbers, its constants as exact as they are."""
    names: dict[str, Any] = {
        "math": ExactMath(),
        "_EXP_MAX": mp.inf,
        "_SINH_MAX": mp.inf,
        "_LN2": mp.ln(2),
        "_LN10": mp.ln(10),
        "_SQRT_HALF": mp.sqrt(mp.mpf(0.5)),
    }
    for name in f.__code__.co_names:
        meaning = f.__globals__.get(name)
        if isinstance(meaning, FunctionType) and meaning is not f:
            names[name] = truth(meaning)
    return rebind(f, names)


def exact(op: Op) -> Callable[..., Any]:
    """What a row computes, on mpmath's numbers."""
    assert isinstance(op.forward, FunctionType)
    return BY_MPMATH.get(op.name) or truth(op.forward)
