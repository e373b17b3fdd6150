"""Predicting and evaluating: from a model for one example to the outputs of a batch, and a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, overload

import numpy as np

import engine
from engine import TraceError, Value
from engine.randomness import drawing
from nn.examples import checked_data, checked_rows, predict_one
from nn.losses import Loss
from nn.module import Module
from nn.paths import loss_program, output_program
from nn.updates import PathName, check_path

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Metric: TypeAlias = Callable[[Array, Array], float]
_WORTH_COMPILING = 100  # rows from which on a prediction is compiled


def predict(model: Module, X: Any, *, path: PathName = "auto") -> Array:
    """Return the model's outputs for the rows of X, in evaluation mode.

    The shape is (n,) where the model returns one Value, and (n, k) where it returns a list of k.
    `path` is as for `fit`; "auto" compiles for 100 rows or more. Raises ValueError for NaN and
    inf, and for rows of different lengths.
    """
    X = checked_rows(X, "X")
    check_path(path)
    with _evaluating(model):
        return _predicted(model, X, path)


@overload
def evaluate(model: Module, X: Any, y: Any, *, loss: Loss, path: PathName = "auto") -> float: ...
@overload
def evaluate(
    model: Module,
    X: Any,
    y: Any,
    *,
    loss: Loss,
    metrics: Sequence[Metric],
    path: PathName = "auto",
) -> dict[str, float]: ...
def evaluate(
    model: Module,
    X: Any,
    y: Any,
    *,
    loss: Loss,
    metrics: Sequence[Metric] | None = None,
    path: PathName = "auto",
) -> float | dict[str, float]:
    """Return the loss of the model on the rows of X and y, in evaluation mode: a mean, or a sum.

    With `metrics`, functions of y and the predictions such as `nn.metrics.accuracy`, it is a dict
    with the "loss" and what each function returns by its name. `path` is as for `predict`.
    Raises ValueError as `fit` does.
    """
    check_path(path)
    named = names_of(metrics or ())
    with _evaluating(model):
        X, y = checked_data(model, X, y, loss, "X", "y")
        found = measured(model, X, y, named, loss=loss, path=path)
    return found["loss"] if metrics is None else found


def measured(
    model: Module,
    X: Array,
    y: Array,
    metrics: Mapping[str, Metric],
    *,
    loss: Loss | None,
    path: str,
) -> dict[str, float]:
    """The "loss", unless there is None, and the metrics by name, of data that was checked."""
    found = {}
    with _evaluating(model):
        if loss is not None:
            total, weight = _evaluated(model, X, y, loss, path)
            mean = loss.reduction == "mean"
            found["loss"] = float(engine.div(total, weight)) if mean else total
        if metrics:
            predicted = _predicted(model, X, path)
            found |= {name: float(metric(y, predicted)) for name, metric in metrics.items()}
    return found


def names_of(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """Metrics by their names. Raises TypeError for what is no function, ValueError for two of one
    name."""
    named: dict[str, Metric] = {}
    if callable(metrics) or isinstance(metrics, str):
        raise TypeError(f"metrics is a list of functions such as nn.metrics.accuracy: [{metrics}]")
    for metric in metrics:
        if not callable(metric):
            raise TypeError(
                f"a metric is a function of y and the predictions, such as nn.metrics.accuracy, "
                f"not {metric!r}"
            )
        name = getattr(getattr(metric, "func", metric), "__name__", type(metric).__name__)
        if name in ("loss", *named):
            raise ValueError(f"there is a metric {name!r} already; give this one another __name__")
        named[name] = metric
    return named


def _predicted(model: Module, X: Array, path: str) -> Array:
    """The outputs for the rows of X."""
    if _compiles_at(len(X), path):
        try:
            with drawing(0, 0):
                return np.asarray(output_program(model)(X), dtype=np.float64)
        except TraceError:
            if path == "vectorised":
                raise
    rows = []
    for place, x in enumerate(X):
        with drawing(0, 0, place):
            rows.append(_numbers(predict_one(model, x)))
    return np.array(rows, dtype=np.float64)


def _evaluated(model: Module, X: Array, y: Array, loss: Loss, path: str) -> tuple[float, float]:
    """The sums of the terms and of their weights."""
    if _compiles_at(len(X), path):
        try:
            with drawing(0, 0):
                total, weight = loss_program(model, loss, model.parameters(), np.float64)(X, y)
            return total, weight
        except TraceError:
            if path == "vectorised":
                raise
    total, weight = 0.0, 0.0
    for place, (x, target) in enumerate(zip(X, y, strict=True)):
        with drawing(0, 0, place):
            terms, weights = loss.terms(predict_one(model, x), target.tolist())
        total += sum(_numbers(term) for term in terms)
        weight += sum(weights)
    return total, weight


def _compiles_at(rows: int, path: str) -> bool:
    return path == "vectorised" or (path == "auto" and rows >= _WORTH_COMPILING)


class _evaluating:  # noqa: N801, used like a function
    """Evaluation mode for a while; every module's mode is put back."""

    def __init__(self, model: Module) -> None:
        self._modes = [(module, module.training) for module in model.modules()]

    def __enter__(self) -> None:
        for module, _ in self._modes:
            module.training = False

    def __exit__(self, *error: object) -> None:
        for module, mode in self._modes:
            module.training = mode


def _numbers(output: Any) -> Any:
    if isinstance(output, list | tuple):
        return [_numbers(item) for item in output]
    return output.data if isinstance(output, Value) else output
