"""Predicting and evaluating: from a model for one example to the outputs of a batch, and a loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias, overload

import numpy as np

import engine
from engine import Program, Value
from engine.randomness import drawing, stream
from nn.adopting import LossLike, ModelLike, loss_of, model_of
from nn.compiled_model import (
    CANT_COMPILE,
    drop_output_program,
    has_output_program,
    listed,
    loss_program,
    output_program,
)
from nn.examples import checked_data, checked_inputs
from nn.inputs import Inputs, row_of
from nn.losses import Loss
from nn.module import Module, evaluating
from nn.updates import PathName, check_path

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Metric: TypeAlias = Callable[[Array, Array], float]
_WORTH_COMPILING = 100  # rows from which on a prediction is compiled
_AT_ONCE = 1 << 21  # numbers of rows that go through a program together


def predict(model: ModelLike, X: Any, *, path: PathName = "auto") -> Array:
    """Return the model's outputs for the rows of X, in evaluation mode.

    The shape is (n,) where the model returns one Value, and (n, k) where it returns a list of k;
    several outputs of different shapes are a list or a dict of arrays, as the model has them. X is
    as for `fit`: a tuple or a dict of arrays for a model of several inputs.
    `path` is as for `fit`; "auto" compiles for 100 rows or more, where that can be, and warns why
    not where it can't; what was compiled then serves for fewer rows too. Raises ValueError for NaN
    and inf, and for rows of different lengths.
    """
    model, X = model_of(model), checked_inputs(X, "X")
    check_path(path)
    measure = Measure(model, X, X.arrays[0], path=path)
    outputs = measure.outputs()
    _say_why(measure)
    return outputs


@overload
def evaluate(
    model: ModelLike, X: Any, y: Any = None, *, loss: LossLike, path: PathName = "auto"
) -> float: ...
@overload
def evaluate(
    model: ModelLike,
    X: Any,
    y: Any = None,
    *,
    loss: LossLike,
    metrics: Sequence[Metric],
    path: PathName = "auto",
) -> dict[str, float]: ...
def evaluate(
    model: ModelLike,
    X: Any,
    y: Any = None,
    *,
    loss: LossLike,
    metrics: Sequence[Metric] | None = None,
    path: PathName = "auto",
) -> float | dict[str, float]:
    """Return the loss of the model on the rows of X and y, in evaluation mode: a mean, or a sum.

    With `metrics`, functions of y and the predictions such as `nn.metrics.accuracy`, it is a dict
    with the "loss" and what each function returns by its name. `path` is as for `predict`; X and y
    are as for `fit`, also a loader for both.
    Raises ValueError as `fit` does.
    """
    model, loss = model_of(model), loss_of(loss)
    check_path(path)
    named = names_of(metrics or ())
    X, y = checked_data(X, y, loss, "X", "y")
    measure = Measure(model, X, y, loss=loss, metrics=named, path=path)
    found = measure()
    _say_why(measure)
    return found["loss"] if metrics is None else found


class Measure:
    """What a model does on data that was checked: called, it returns the "loss", unless there is
    None, and the metrics by name, in evaluation mode. It is called `times` times.

    Where predictions are inf or nan, a metric is nan if `lenient`, and else says what it will.
    `reason` says why it was not compiled, though it was worth it.
    """

    reason = ""

    def __init__(
        self,
        model: Module,
        X: Inputs,
        y: Array,
        *,
        loss: Loss | None = None,
        metrics: Mapping[str, Metric] = MappingProxyType({}),
        path: str,
        lenient: bool = False,
        times: int = 1,
    ) -> None:
        X.check(model)
        self._model, self._X, self._y = model, X, y
        self._loss, self._metrics, self._path = loss, metrics, path
        self._evaluating, self._lenient = evaluating(model), lenient
        known = loss is None and has_output_program(model, X.names)
        worth = times * len(X) >= _WORTH_COMPILING or known
        self._compiles = path == "vectorised" or (path == "auto" and worth)
        self._programs: dict[str, Program] = {}

    def __call__(self) -> dict[str, float]:
        """Compute them."""
        found = {}
        with self._evaluating:
            if self._loss is not None:
                total, weight = self._sums(self._loss)
                mean = self._loss.reduction == "mean"
                found["loss"] = float(engine.div(total, weight)) if mean else total
            if self._metrics:
                outputs = self._outputs()
                y = np.asarray(self._y, dtype=np.float64)
                unknown = self._lenient and not np.isfinite(outputs).all()
                for name, metric in self._metrics.items():
                    found[name] = math.nan if unknown else float(metric(y, outputs))
        return found

    def outputs(self) -> Array:
        """The outputs for the rows of X, in evaluation mode."""
        with self._evaluating:
            return self._outputs()

    def _outputs(self) -> Array:

        def program(model: Module) -> Program:
            return output_program(model, self._X.names)

        if (compiled := self._run("outputs", program, *self._X.arrays)) is not None:
            return compiled[0] if len(compiled) == 1 else np.concatenate(compiled)
        rows = []
        for place in range(len(self._X)):
            with engine.no_grad(), drawing(0, 0, place):
                rows.append(_numbers(listed(self._X.output(self._model, place))))
        stacked: Array = _stacked(rows)
        return stacked

    def _sums(self, loss: Loss) -> tuple[float, float]:
        """The sums of the loss's terms and of their weights."""

        def program(model: Module) -> Program:
            return loss_program(model, loss, model.parameters(), np.float64, names=self._X.names)

        total, weight = 0.0, 0.0
        data = (*self._X.arrays, self._y)
        if (compiled := self._run("loss", program, *data, loss=loss)) is not None:
            for some, own in compiled:
                total, weight = total + some, weight + own
            return total, weight
        for place in range(len(self._X)):
            with engine.no_grad(), drawing(0, 0, place):
                output = self._X.output(self._model, place)
                terms, weights = loss.terms(output, row_of(self._y, place))
            total += sum(_numbers(term) for term in terms)
            weight += sum(weights)
        return total, weight

    def _run(
        self, name: str, make: Callable[[Module], Program], *data: Array, **keywords: Any
    ) -> list[Any] | None:
        """What the program gives for the rows, some at a time; None where it is not worth one, or
        there can't be one."""
        if not self._compiles:
            return None
        try:
            if name not in self._programs:
                self._programs[name] = make(self._model)
            return list(_in_blocks(self._programs[name], data, keywords))
        except CANT_COMPILE as error:
            drop_output_program(self._model, self._X.names)
            if self._path == "vectorised":
                raise
            self._compiles, self.reason = False, str(error)
            return None


def _in_blocks(program: Program, data: Sequence[Array], keywords: dict[str, Any]) -> Iterator[Any]:
    """What a program gives for rows of arrays, as many at once as are not too much in memory."""
    count = len(data[0])
    some = max(1, _AT_ONCE * count // max(1, sum(array.size for array in data)))
    for first in range(0, count, some):
        with drawing(0, 0):
            found = program(*(array[first : first + some] for array in data), **keywords)
            draws = stream.step > 0
        if draws and some < count:  # numbers that go by the example's place among all
            with drawing(0, 0):
                yield program(*data, **keywords)
            return
        yield found


def _say_why(measure: Measure) -> None:
    """Warn where it took longer than it might have."""
    if measure.reason:
        warnings.warn(f"on the scalar path: {measure.reason}", RuntimeWarning, stacklevel=3)


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


def _stacked(outputs: list[Any]) -> Any:
    """The outputs of examples in one array; several of different shapes each in one, as those in
    a tuple or dict within."""
    first = outputs[0] if outputs else 0.0
    if isinstance(first, dict):
        return {name: _stacked([output[name] for output in outputs]) for name in first}
    whole = isinstance(first, list) and not any(isinstance(x, tuple | dict) for x in first)
    if whole or not isinstance(first, list | tuple):
        try:
            return np.array(outputs, dtype=np.float64)
        except ValueError:
            pass
    parts = [_stacked(list(part)) for part in zip(*outputs, strict=True)]
    return tuple(parts) if isinstance(first, tuple) else parts


def _numbers(output: Any) -> Any:
    if isinstance(output, dict):
        return {name: _numbers(item) for name, item in output.items()}
    if isinstance(output, list | tuple):
        numbers = [_numbers(item) for item in output]
        return tuple(numbers) if isinstance(output, tuple) else numbers
    return output.data if isinstance(output, Value) else output
