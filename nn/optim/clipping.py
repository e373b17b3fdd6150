"""Clipping of gradients between `backward` and `step`, as PyTorch's `nn.utils` does it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from engine import Value
from engine.errors import check_number


def clip_grad_norm_(
    parameters: Value | Iterable[Value],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale the gradients so that their norm is at most `max_norm`; return it as it was before.

    The norm is over all the gradients as one vector; `norm_type` is the p of the p-norm, and may
    be `math.inf`. As in PyTorch the factor is max_norm / (norm + 1e-6), and never above 1.

    Raises RuntimeError for a norm of inf or nan if `error_if_nonfinite` is true (the gradients
    are then as they were), ValueError for a negative `max_norm`, TypeError for anything but Values.

    >>> a, b = Value(3.0), Value(4.0)
    >>> ((a * a + b * b) / 2).backward()
    >>> clip_grad_norm_([a, b], 1.0)
    5.0
    >>> f"{a.grad:.3f}, {b.grad:.3f}"
    '0.600, 0.800'
    """
    values = _values(parameters)
    check_number("max_norm", max_norm)
    if not max_norm >= 0.0:
        raise ValueError(f"max_norm is a number of at least 0, not {max_norm}")
    if not values:
        return 0.0
    with np.errstate(all="ignore"):
        norm = float(np.linalg.norm([p.grad for p in values], float(norm_type)))
    if error_if_nonfinite and not math.isfinite(norm):
        first = next((p for p in values if not math.isfinite(p.grad)), None)
        cause = "each is finite, but not their norm" if first is None else f"as that of {first!r}"
        raise RuntimeError(
            f"the gradients have a norm of {norm} ({cause}), and can't be clipped; with "
            "error_if_nonfinite=False they are scaled all the same"
        )
    factor = min(max_norm / (norm + 1e-6), 1.0)
    for p in values:
        p.grad *= factor
    return norm


def clip_grad_value_(parameters: Value | Iterable[Value], clip_value: float) -> None:
    """Bring every gradient into [-clip_value, clip_value]; nan stays nan.

    Raises ValueError for a negative `clip_value`, TypeError for anything but Values.

    >>> a = Value(3.0)
    >>> (a * a).backward()
    >>> clip_grad_value_([a], 0.5)
    >>> a.grad
    0.5
    """
    values = _values(parameters)
    check_number("clip_value", clip_value)
    if not clip_value >= 0.0:
        raise ValueError(f"clip_value is a number of at least 0, not {clip_value}")
    limit = float(clip_value)
    for p in values:
        p.grad = min(max(p.grad, -limit), limit)  # in this order nan passes


def _values(parameters: Value | Iterable[Value]) -> list[Value]:
    values = [parameters] if isinstance(parameters, Value) else list(parameters)
    for p in values:
        if not isinstance(p, Value):
            raise TypeError(f"gradients are those of Values, not of a {type(p).__name__}: {p!r}")
    return values
