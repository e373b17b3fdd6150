"""Every exception that the engine raises on purpose.

A message says what happened, with which numbers, where, and what to do next.
This module imports nothing of the engine, so that any layer may raise from it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from types import FrameType
from typing import Any


class GraphError(RuntimeError):
    """A graph can't do what was asked: a hand-made node, a changed leaf, an interior assignment."""


class DomainError(ArithmeticError):
    """Under ``errstate("raise")`` an operation made inf or nan from finite operands, or in a
    gradient from a finite adjoint; or one has no number of the kind that `exact` was asked for."""


def told(name: str, operands: Sequence[tuple[Any, float]]) -> tuple[str, str]:
    """An operation on its operands (Values, None for literals) and their numbers, as messages have
    it, and what their labels tell: "log(0.0)" and " ('rate' is 0.0)"."""
    labels = [f"{v.label!r} is {x!r}" for v, x in operands if v is not None and v.label]
    named = f" ({', '.join(labels)})" if labels else ""
    return f"{name}({', '.join(f'{x!r}' for _, x in operands)})", named


class GradcheckError(AssertionError):
    """An analytic derivative and a numerical one disagree, or the input sits at a kink."""


class ReplayError(AssertionError):
    """Under ``compile(f, verify=True)`` a replay differs from what Python computes."""


class DrawingError(RuntimeError):
    """A picture can't be made: no renderer is installed, or the one found fails."""


class TraceError(RuntimeError):
    """A function can't be compiled as it is: it does what a replay could not do again."""


def check_number(name: str, number: Any) -> None:
    """Raise TypeError for what is no real number, where a setting of this name is one, and
    ValueError for one that no float can be."""
    if not isinstance(number, Real):
        raise TypeError(f"{name} is a number, not {number!r}")
    try:
        float(number)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float") from None


def whole(name: str, number: Any, least: int = 1) -> int:
    """A whole number, of NumPy's too. Raises ValueError for anything else, and below `least`."""
    if not isinstance(number, Integral) or isinstance(number, bool) or number < least:
        raise ValueError(f"{name} is a whole number of at least {least}, not {number!r}")
    return int(number)


def one_of(name: str, given: Any, *choices: str) -> None:
    """Raise ValueError for anything but one of these texts."""
    if not isinstance(given, str) or given not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} is {', '.join(others)} or {last}, not {given!r}")


_HOUSE = Path(__file__).parent.parent
_STANDARD = (f"{Path(os.__file__).parent}{os.sep}", "<frozen ")
_OURS = tuple(f"{_HOUSE / package}{os.sep}" for package in ("engine", "nn"))


def is_ours(frame: FrameType) -> bool:
    """Whether a frame runs code of this project's packages."""
    return frame.f_code.co_filename.startswith(_OURS)


def user_frame() -> FrameType:
    """The innermost frame of the user's code: outside of this project's packages, and of what is
    installed, such as NumPy's `mean`, unless all is."""
    first = sys._getframe(1)
    while first.f_back is not None and is_ours(first):
        first = first.f_back
    frame: FrameType | None = first
    while frame is not None and (is_ours(frame) or _is_installed(frame.f_code.co_filename)):
        frame = frame.f_back
    return frame or first


@functools.cache
def _is_installed(file: str) -> bool:
    """Whether a file is one of the standard library or of an installed package."""
    return file.startswith(_STANDARD) or "site-packages" in file or "dist-packages" in file


def user_line() -> str:
    """The innermost source line of the user's code."""
    frame = user_frame()
    return f"at {shown(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"


def shown(file: str) -> str:
    """The name of a file of source, as messages have it."""
    return "notebook cell" if "ipykernel" in file or file.startswith("<ipython") else file
