"""The scalar path: examples one by one, on Values; and what `fit` asks of any path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

import engine
from engine import Value
from engine.leaves import set_leaves
from engine.randomness import drawing
from nn.inputs import Inputs, row_of
from nn.losses import Loss
from nn.module import Module

Array = np.ndarray[Any, np.dtype[Any]]


class BatchLoss(NamedTuple):
    """A batch's loss: the sum of its terms, of their weights, and the gradient of the former."""

    total: float
    weight: float
    gradient: Array


class TrainingPath(Protocol):
    """What `fit` asks for at every update: a BatchLoss, at some numbers of the parameters."""

    def __call__(
        self, theta: Array, rows: Array, draws: tuple[int, int], first: int = 0
    ) -> BatchLoss:
        """`rows` are the numbers of the batch's examples, or from its `first` one on of some of
        them; `draws` are the seed and the step."""

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int | None:
        """The place in `rows` of the first example whose loss is inf or nan, or if none is, whose
        gradient is; 0 if there is none, and None where there are no examples."""


class ScalarPath:
    """Examples one by one, on Values; `advance` is called after each.

    `weights` has a number for each example, which its loss counts by; None is 1 for all.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        parameters: Sequence[Value],
        X: Inputs,
        y: Array,
        advance: Callable[[], object],
        weights: Array | None = None,
    ) -> None:
        self._model, self._loss, self._parameters = model, loss, parameters
        self._X, self._y, self._weights = X, y, weights
        self._advance = advance

    def read_data(self) -> None:
        """Nothing: the data are read where they are."""

    def __call__(
        self, theta: Array, rows: Array, draws: tuple[int, int], first: int = 0
    ) -> BatchLoss:
        """Run and differentiate each example, adding into the parameters."""
        set_leaves(self._parameters, theta.tolist(), [0.0] * len(theta))
        total, weight = 0.0, 0.0
        for place, row in enumerate(rows.tolist(), first):
            with engine.enable_grad(), drawing(*draws, place):
                example, own = self.loss_of(row)
            if isinstance(example, Value):
                example.backward()
                total += example.data
            else:
                total += example
            weight += own
            self._advance()
        return BatchLoss(total, weight, np.array([p.grad for p in self._parameters]))

    def parts(
        self, theta: Array, rows: Array, bounds: Sequence[int], share: range, draws: tuple[int, int]
    ) -> list[BatchLoss]:
        """Of parts of a batch, `rows[bounds[k] : bounds[k + 1]]` each, those of a share."""
        some = [slice(bounds[k], bounds[k + 1]) for k in share]
        return [self(theta, rows[part], draws, part.start) for part in some]

    def loss_of(self, row: int) -> tuple[Any, Any]:
        """The sum of the terms of the example in a row, and of their weights."""
        own = 1.0 if self._weights is None else float(self._weights[row])
        if own == 0.0:
            return 0.0, 0.0  # whatever its loss is, inf and nan too
        output = self._X.output(self._model, row)
        terms, weights = self._loss.terms(output, row_of(self._y, row))
        return own * engine.sum(terms), own * sum(weights)

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """Compute the losses, up to the first that is not finite, with their gradients."""
        set_leaves(self._parameters, theta.tolist())
        steep: list[int] = []
        for place, row in enumerate(rows.tolist()):
            with engine.enable_grad(), drawing(*draws, place):
                example, _ = self.loss_of(row)
            if not math.isfinite(getattr(example, "data", example)):
                return place
            if not steep and isinstance(example, Value):
                gradient = engine.gradients(example, self._parameters)
                steep += [] if all(map(math.isfinite, gradient)) else [place]
        return steep[0] if steep else 0


class ScalarFunctionPath:
    """A loss without data, on Values; `advance` is called after each update."""

    def __init__(
        self,
        function: Callable[[], Any],
        parameters: Sequence[Value],
        advance: Callable[[int], object],
    ) -> None:
        self._function, self._parameters, self._advance = function, parameters, advance

    def __call__(
        self, theta: Array, rows: Array, draws: tuple[int, int], first: int = 0
    ) -> BatchLoss:
        """Compute and differentiate the function once."""
        set_leaves(self._parameters, theta.tolist(), [0.0] * len(theta))
        with engine.enable_grad(), drawing(*draws):
            y = one_value(self._function())
            y.backward()
        self._advance(1)
        return BatchLoss(y.data, 1.0, np.array([p.grad for p in self._parameters]))

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> None:
        """There are no examples."""


def one_value(y: Any) -> Value:
    """What a function returned that is to be minimised. Raises TypeError for all but a Value."""
    if not isinstance(y, Value):
        raise TypeError(f"what is minimised is one Value, and the function returns {y!r}")
    return y


def check_first(model: Module, loss: Loss, X: Inputs, y: Array) -> None:
    """Compute the loss of the first example. Raises what the model and the loss raise for it."""
    X.check(model)
    with engine.no_grad():
        loss.terms(X.output(model, 0), row_of(y, 0))
