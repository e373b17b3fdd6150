"""Filling parameters with numbers, in place: PyTorch's `torch.nn.init`, on nested lists of Values.

Every function returns the parameter that it was given. Those that draw numbers take a source of
randomness, a `random.Random` or Python's module `random`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from nn.module import values_of


class Rng(Protocol):
    """A source of random numbers: `random.Random`, or the module `random`."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number between a and b."""

    def gauss(self, mu: float, sigma: float) -> float:
        """Return a normally distributed number."""


def uniform_(parameter: Any, a: float = 0.0, b: float = 1.0, *, rng: Rng = random) -> Any:
    """Draw every number uniformly from [a, b]."""
    return _fill(parameter, lambda: rng.uniform(a, b))


def normal_(parameter: Any, mean: float = 0.0, std: float = 1.0, *, rng: Rng = random) -> Any:
    """Draw every number from the normal distribution."""
    return _fill(parameter, lambda: rng.gauss(mean, std))


def constant_(parameter: Any, value: float) -> Any:
    """Set every number to `value`."""
    return _fill(parameter, lambda: value)


def zeros_(parameter: Any) -> Any:
    """Set every number to 0."""
    return constant_(parameter, 0.0)


def ones_(parameter: Any) -> Any:
    """Set every number to 1."""
    return constant_(parameter, 1.0)


# --- scaled to a layer's inputs and outputs -------------------------------------------------


def xavier_uniform_(parameter: Any, gain: float = 1.0, *, rng: Rng = random) -> Any:
    """Draw uniformly from [-b, b], b = gain * √(6 / (inputs + outputs)) (Glorot, Bengio 2010).

    A weight has one row an output, and one number an input in each. Raises ValueError for a
    parameter that is no list of lists.

    >>> import nn
    >>> layer = nn.Linear(3, 3)
    >>> all(-1.0 <= w.data <= 1.0 for row in xavier_uniform_(layer.weight) for w in row)
    True
    """
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(_fans(parameter)))
    return uniform_(parameter, -bound, bound, rng=rng)


def xavier_normal_(parameter: Any, gain: float = 1.0, *, rng: Rng = random) -> Any:
    """Draw from N(0, std²), std = gain * √(2 / (inputs + outputs)); else as `xavier_uniform_`."""
    std = gain * math.sqrt(2.0 / sum(_fans(parameter)))
    return normal_(parameter, 0.0, std, rng=rng)


def kaiming_uniform_(
    parameter: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Rng = random,
) -> Any:
    """Draw uniformly from [-b, b], b = gain * √(3 / fan) (He et al. 2015).

    The fan is the number of inputs, or with `mode` "fan_out" of outputs, and the gain that of
    `nonlinearity`, with the slope `a` for "leaky_relu". Raises ValueError for another mode or
    nonlinearity, and for a parameter that is no list of lists.

    >>> import nn
    >>> layer = nn.Linear(6, 1)
    >>> all(-1.0 <= w.data <= 1.0 for w in kaiming_uniform_(layer.weight)[0])
    True
    """
    bound = math.sqrt(3.0) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform_(parameter, -bound, bound, rng=rng)


def kaiming_normal_(
    parameter: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Rng = random,
) -> Any:
    """Draw from N(0, std²), std = gain / √fan; else as `kaiming_uniform_`."""
    return normal_(parameter, 0.0, _kaiming_std(parameter, a, mode, nonlinearity), rng=rng)


def orthogonal_(parameter: Any, gain: float = 1.0, *, rng: Rng = random) -> Any:
    """Draw a matrix with orthonormal rows, or columns where there are fewer of these, times `gain`
    (Saxe et al. 2014); all such matrices are as likely (Mezzadri 2007).

    Of more than two dimensions all but the first are columns. Raises ValueError for a parameter
    that is no list of lists.

    >>> import nn
    >>> first, second = orthogonal_(nn.Linear(3, 2).weight, gain=2.0)
    >>> dot = sum(a.data * b.data for a, b in zip(first, second))
    >>> f"{abs(dot):.6f}, {sum(a.data**2 for a in first):.6f}"
    '0.000000, 4.000000'
    """
    rows, *others = _sizes(parameter, "There is no orthogonal matrix in")
    columns = math.prod(others)
    drawn = np.array([[rng.gauss(0.0, 1.0) for _ in range(columns)] for _ in range(rows)])
    q, r = np.linalg.qr(drawn if rows >= columns else drawn.T)
    q = gain * q * np.sign(np.diagonal(r))
    numbers = iter((q if rows >= columns else q.T).ravel().tolist())
    return _fill(parameter, lambda: next(numbers))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return PyTorch's factor for the weights before a nonlinearity, named as a function of its.

    `param` is the slope of "leaky_relu" below 0, by default 0.01. Raises ValueError for a
    nonlinearity that PyTorch has no factor for, and for a slope that is no number.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ValueError(f"negative_slope {param!r} not a valid number")
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"Unsupported nonlinearity {nonlinearity!r}; there are {known}")
    return _GAINS[nonlinearity]


_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d"), 1.0),
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def _kaiming_std(parameter: Any, a: float, mode: str, nonlinearity: str) -> float:
    modes = ("fan_in", "fan_out")
    if not isinstance(mode, str) or mode.lower() not in modes:
        raise ValueError(f"Mode {mode!r} not supported, please use one of {modes}")
    fan = _fans(parameter)[modes.index(mode.lower())]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _fans(parameter: Any) -> tuple[int, int]:
    """How many inputs each output depends on, and how many outputs on each input."""
    outputs, inputs, *field = _sizes(parameter, "Fan in and fan out can not be computed for")
    return inputs * math.prod(field), outputs * math.prod(field)  # the field of a convolution


def _sizes(parameter: Any, what: str) -> list[int]:
    """The lengths of nested lists; `what` begins the complaint where they are not nested."""
    sizes, part = list[int](), parameter
    while isinstance(part, list | tuple):
        sizes.append(len(part))
        part = part[0] if part else None
    if len(sizes) < 2:
        raise ValueError(
            f"{what} a parameter with fewer than 2 dimensions, such as a bias; a weight is a list "
            "of lists"
        )
    if math.prod(sizes) != len(values_of(parameter)):
        raise ValueError(f"{what} a parameter whose rows have different lengths")
    return sizes


def _fill(parameter: Any, draw: Callable[[], float]) -> Any:
    for p in values_of(parameter):
        p.data = draw()
    return parameter
