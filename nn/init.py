"""Filling parameters with numbers, in place: PyTorch's `torch.nn.init`, on nested lists of Values.

Every function takes a source of randomness, a `random.Random` or Python's module `random`, and
returns the parameter that it was given.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

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


def _fill(parameter: Any, draw: Callable[[], float]) -> Any:
    for p in values_of(parameter):
        p.data = draw()
    return parameter
