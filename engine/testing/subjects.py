"""What is to be checked, in one form: flat numbers in, flat numbers out, and a gradient to doubt.

A `Subject` is made by `graphs` of this engine's own functions, by `plain` of functions with `jac`,
and by `peers` of those of other libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.differences import DOUBLE

Array = npt.NDArray[np.float64]


class BadShapeError(Exception):
    """A jac or hess of another shape than the function has."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass
class Subject:
    """A function of `x`, flat, and the gradient that is claimed.

    `pull(x, w)` is the claimed gradient of the sum of the results, weighted by w. `names` has the
    name of each entry of x, `shapes` the shapes of the arrays that they are of, in order.
    `imaginary` is the function on complex numbers; None where it has none. `suspect`, for graphs
    of this engine, names what went wrong inside.
    """

    name: str
    x: Array
    names: list[str]
    shapes: list[tuple[int, ...]]
    values: Callable[[Array], Array]
    pull: Callable[[Array, Array], Array]
    precision: float = DOUBLE
    outputs: list[str] = field(default_factory=list)  # names; [] until they are counted
    imaginary: Callable[[npt.NDArray[np.complex128]], Any] | None = None
    suspect: Callable[[], tuple[str, str] | None] = lambda: None
    what: str = "gradient"
    arguments: Callable[[Array], Sequence[Any]] | None = None
    fixed: bool = False


def named_outputs(count: int) -> list[str]:
    """The names of so many results; one alone has none."""
    return [""] if count == 1 else [f"output {i}" for i in range(count)]


def place(names: Sequence[str], x: Array, most: int = 4, digits: str = "") -> str:
    """A point in words: the first entries with their names."""
    pairs = zip(names[:most], x.tolist(), strict=False)
    return ", ".join(f"{n} = {v:{digits}}" for n, v in pairs) + (", …" if len(names) > most else "")


@contextmanager
def defined(name: str, names: Sequence[str], x: Array) -> Iterator[None]:
    """A first call of a function: ValueError says that it is not defined at x, if it is not."""
    if not np.isfinite(x).all():
        j = int(np.argmin(np.isfinite(x)))
        raise ValueError(f"{names[j]} is {x[j].item()!r}: choose a finite point")
    try:
        with np.errstate(all="ignore"):
            yield
    except (ArithmeticError, ValueError) as error:
        raise ValueError(
            f"{name} is not defined at {place(names, x)} ({type(error).__name__}: {error}); choose "
            "a point inside of its domain"
        ) from error
