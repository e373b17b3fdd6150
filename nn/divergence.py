"""Runs that diverge: the first number that is not finite, and what is said about it.

`updates` looks at every update; here is what it looks for, and the search for the cause: the
example at fault is run once more on Values, and `engine.find_nonfinite` looks at it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

import engine
from engine import Value
from engine.errors import one_of, user_frame
from engine.leaves import numbers_of, set_leaves
from engine.lines import Line
from engine.randomness import drawing
from nn.optim import Optimizer
from nn.scalar_path import TrainingPath

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
OnNonfinite: TypeAlias = Literal["stop", "continue"]
_GROWN = 100.0  # times as large as before: then the steps of the run are too long


class DivergenceError(ArithmeticError):
    """An update would give numbers that are not finite; the message says which and why."""


def not_finite(
    loss: float, gradient: Array, theta: Array, kept: Sequence[tuple[Array, Array]]
) -> str:
    """What of an update is inf or nan first, or "" if nothing is.

    `kept` is what the optimiser keeps of each group, before and after: what was inf may stay so.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss:g}"
    parts = [("the gradient has", gradient), ("a parameter would become", theta)]
    for before, after in kept:
        own = np.where(np.isfinite(before), after, 0.0)
        parts.append(("what the optimiser keeps of the gradients would become", own))
    for what, numbers in parts:
        wrong = ~np.isfinite(numbers)
        if wrong.any():
            return f"{what} {numbers[wrong][0]:g}"
    return ""


class Watch:
    """What is done about an update that gives numbers that are not finite.

    `when` says which update one is by its number, 0 for the first; `loss_of` returns a function
    of no arguments, the loss of the example in a row, as it is computed on `parameters`. `wrt` is
    the model, if there is one, which has names for them.
    """

    def __init__(
        self,
        on_nonfinite: OnNonfinite,
        optimizer: Optimizer,
        parameters: Sequence[Value],
        when: Callable[[int], str],
        loss_of: Callable[[int], Callable[[], Any]],
        wrt: Any = None,
    ) -> None:
        one_of("on_nonfinite", on_nonfinite, "stop", "continue")
        self.watching = True
        self._stops = on_nonfinite == "stop"
        self._optimizer, self._parameters = optimizer, parameters
        self._largest = _largest(np.array(numbers_of(parameters)))
        self._when, self._loss_of = when, loss_of
        self._wrt = list(parameters) if wrt is None else wrt

    def met(
        self,
        what: str,
        path: TrainingPath,
        theta: Array,
        rows: Array,
        draws: tuple[int, int],
        losses: Sequence[float],
    ) -> None:
        """Raise DivergenceError for an update at `theta`, or warn, once, where the run is to go on.

        `losses` are those before it.
        """
        text = f"{what} at {self._when(len(losses))}"
        where, advice = self._cause(path, theta, rows, draws)
        text += f": {where}" if where else ""
        growth = self._growth(losses, theta)
        rates = [group["lr"] for group in self._optimizer.param_groups if "lr" in group]
        rate = f"{max(rates):.3g}" if rates else "of the optimiser"
        if growth:
            text += f"; {growth}: the learning rate {rate} is likely too large"
            text += f". Try lr={max(rates) / 10.0:.3g}" if rates else ". Try a smaller one"
            text += ", clip_norm=1.0, or inputs of about the size 1 (nn.data.Standardizer)"
        elif advice:
            text += f". {advice.rstrip('.')}"
        else:
            text += f". Try a smaller learning rate than {rate}, clip_norm=1.0, or smaller inputs"
        if theta.dtype == np.float32:
            text += "; numbers of float32 end at 3.4e38, those of float64 at 1.8e308"
        if self._stops:
            raise DivergenceError(f"{text}. The parameters are those before this update")
        self.watching = False
        warnings.warn(f"{text}. The run goes on all the same", RuntimeWarning, stacklevel=2)

    def _cause(
        self, path: TrainingPath, theta: Array, rows: Array, draws: tuple[int, int]
    ) -> tuple[str, str]:
        """The operation where a loss, or its gradient, is first inf or nan, and what to do about
        it; two empty texts where each is finite, and only the sum or the update is not."""
        before = numbers_of(self._parameters)
        place = path.at_fault(theta, rows, draws)
        row = int(rows[place or 0])
        try:
            set_leaves(self._parameters, theta.tolist())
            with drawing(*draws, place or 0):
                loss = self._loss_of(row)
                found = engine.find_nonfinite(loss, wrt=self._wrt, dtype=theta.dtype)
        finally:
            set_leaves(self._parameters, before)
        if not found:
            return "", ""
        text = found.text if place is None else f"{found.text}, for row {row} of X"
        # within nn alone the line is the one that called `fit`, which tells nothing
        caller = user_frame()
        if found.line not in (None, Line(caller.f_code.co_filename, caller.f_lineno)):
            text += f", at {found.line.place}"
        return text, " ".join(found.advice)

    def _growth(self, losses: Sequence[float], theta: Array) -> str:
        """What has become much larger since the run began, if anything has."""
        finite = [loss for loss in losses if math.isfinite(loss)]
        least = min(finite, key=abs, default=0.0)
        if finite and abs(finite[-1]) > _GROWN * max(abs(least), 1e-30):
            return f"the loss had grown from {least:.3g} to {finite[-1]:.3g}"
        if (most := _largest(theta)) > _GROWN * max(self._largest, 1.0):
            return f"the largest parameter had grown from {self._largest:.3g} to {most:.3g}"
        return ""


def _largest(numbers: Array) -> float:
    return float(np.abs(numbers).max(initial=0.0))
