"""Training and predicting: from a model for one example to a batch, a run, a history.

`fit` runs a model and a loss that are written in scalars, on one of two paths (`paths`): example
by example, or compiled and a batch at a time. The results are the same.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

import engine
from engine import TraceError, Value
from engine.randomness import drawing
from nn.losses import Loss
from nn.module import Module, frozen_in
from nn.optim import LRScheduler, Optimizer
from nn.paths import (
    ScalarPath,
    TrainingPath,
    VectorisedPath,
    loss_program,
    output_program,
)
from nn.progress import Bar
from nn.updates import History, PathName, check_optimizer, check_path, updates, write

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_WORTH_COMPILING = 100  # rows from which on a prediction is compiled


def fit(
    model: Module,
    X: Any,
    y: Any,
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    shuffle: bool = False,
    path: PathName = "auto",
    dtype: Any = np.float64,
    seed: int = 0,
    validation_data: tuple[Any, Any] | None = None,
    scheduler: LRScheduler | None = None,
    callbacks: Sequence[Callable[[int, History], object]] = (),
    progress: bool = True,
) -> History:
    """Train `model` on the rows of X and y, in place, and return the History.

    X and y have one row an example; a row of y has the shape of the model's output. `batch_size`
    None is the full batch; a last partial batch is used. `shuffle` draws a new order every epoch
    from `seed`. `scheduler` is stepped after every epoch, or every update if it was made with
    interval="step". After every epoch each callback is called with its number and the History so
    far.

    `path` is "scalar" (every example on Values), "vectorised" (the same code, compiled), or
    "auto", which takes "vectorised" where the model compiles; the History says which, and why.
    `dtype` is float64, or on the vectorised path float32.

    Raises ValueError for NaN and inf, for rows of different lengths, for X and y of different
    lengths, where outputs and targets differ in shape, and where the optimiser moves none of the
    model's parameters, or frozen ones, or is not the scheduler's; TypeError for a class or a name
    in place of a loss, an optimiser or a scheduler; TraceError where the vectorised path is asked
    for and can't be. All of this is found before the first update; the parameters are then as they
    were.
    """
    _check_parts(model, loss, optimizer, scheduler)
    X, y = _checked_data(model, X, y, loss, "X", "y")
    _check_settings(epochs, batch_size, path, dtype)
    if validation_data is not None:
        _checked_data(model, *validation_data, loss, "the validation X", "the validation y")
    history = History()
    began = time.perf_counter()
    parameters = optimizer.parameters()
    bar = Bar(epochs * len(X), progress, estimate=path == "scalar")
    theta = np.array([p.data for p in parameters], dtype)
    gradient = np.zeros_like(theta)
    order = np.arange(len(X))
    mean = loss.reduction == "mean"
    rng = random.Random(seed)
    size = len(X) if batch_size is None else batch_size
    starts = np.append(np.arange(0, len(X), size), len(X))
    after_epochs = scheduler is not None and scheduler.interval == "epoch"
    after_updates = None if after_epochs else scheduler
    pausing = validation_data is not None or bool(callbacks) or after_epochs
    try:
        planned = epochs * (len(starts) - 1)
        step = _training_path(
            model, loss, parameters, X, y, bar, path, dtype, size, planned, history
        )
        if path == "auto" and progress:
            bar.say(f"{history.path} path: {history.reason}")
        burst = epoch = 0
        while epoch < epochs:
            # Several at once, if they are short and nothing is to be done between them.
            some = 1 if pausing else min(epochs - epoch, max(1, burst // (len(starts) - 1)))
            orders = []
            for _ in range(some):
                if shuffle:
                    shuffled = order.tolist()
                    rng.shuffle(shuffled)
                    order = np.array(shuffled)
                orders.append(order)
            offsets = len(X) * np.arange(some)[:, None]
            burst = updates(
                step,
                theta,
                gradient,
                np.concatenate(orders),
                np.append((starts[:-1] + offsets).ravel(), some * len(X)),
                optimizer,
                after_updates,
                mean,
                seed,
                history,
                bar,
                burst,
            )
            epoch += some
            if scheduler is not None and after_epochs:
                scheduler.step()
            _note_epochs(history, starts, mean)
            if validation_data is not None or callbacks:
                write(parameters, theta, gradient)
            if validation_data is not None:
                history.val_loss.append(evaluate(model, *validation_data, loss=loss, path=path))
            history.seconds = time.perf_counter() - began
            bar.describe(f"loss {history.loss[-1]:.4g}")
            for callback in callbacks:
                try:
                    callback(epoch - 1, history)
                finally:
                    theta[:] = [p.data for p in parameters]  # it may have moved them
            if callbacks and history.path == "vectorised":  # or have changed the model
                step = _training_path(
                    *(model, loss, parameters, X, y, bar, path, dtype, size, planned, history)
                )
    finally:
        if history.step_loss:
            write(parameters, theta, gradient)
            _note_epochs(history, starts, mean)
        bar.close()
        history.seconds = time.perf_counter() - began
    return history


def _note_epochs(history: History, starts: Array, mean: bool) -> None:
    """Add the mean losses of the epochs that are complete and not yet in the History."""
    sizes, updates = np.diff(starts), len(starts) - 1
    while (len(history.loss) + 1) * updates <= len(history.step_loss):
        first = len(history.loss) * updates
        losses = history.step_loss[first : first + updates]
        total = np.dot(losses, sizes) if mean else np.sum(losses)
        history.loss.append(float(total) / int(starts[-1]))


def _training_path(
    model: Module,
    loss: Loss,
    parameters: list[Value],
    X: Array,
    y: Array,
    bar: Bar,
    path: str,
    dtype: Any,
    size: int,
    updates: int,
    history: History,
) -> TrainingPath:
    """The path that was asked for, or the better one that is possible; `history` says why."""
    if path != "scalar":
        try:
            step = VectorisedPath(
                *(model, loss, parameters, X, y, bar.advance, dtype, size, updates)
            )
            history.path, history.reason = "vectorised", "the model and the loss compile"
            return step
        except TraceError as error:
            if path == "vectorised" or np.dtype(dtype) != np.float64:
                raise
            history.path, history.reason = "scalar", str(error)
    else:
        history.reason = "it was asked for"
    return ScalarPath(model, loss, parameters, X, y, bar.advance)


def predict_one(model: Module, x: Any) -> Any:
    """Return the model's output for one row of an array, without recording it."""
    with engine.no_grad():
        return model(x.tolist() if isinstance(x, np.ndarray | np.number) else x)


def predict(model: Module, X: Any, *, path: PathName = "auto") -> Array:
    """Return the model's outputs for the rows of X, in evaluation mode.

    The shape is (n,) where the model returns one Value, and (n, k) where it returns a list of k.
    `path` is as for `fit`; "auto" compiles for 100 rows or more. Raises ValueError for NaN and
    inf, and for rows of different lengths.
    """
    X = _rows(X, "X")
    check_path(path)
    with _evaluating(model):
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


def evaluate(model: Module, X: Any, y: Any, *, loss: Loss, path: PathName = "auto") -> float:
    """Return the loss of the model on the rows of X and y, in evaluation mode: a mean, or a sum.

    `path` is as for `predict`. Raises ValueError as `fit` does.
    """
    check_path(path)
    with _evaluating(model):
        X, y = _checked_data(model, X, y, loss, "X", "y")
        total, weight = _evaluated(model, X, y, loss, path)
    return float(engine.div(total, weight)) if loss.reduction == "mean" else total


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


# --- checking what comes in -----------------------------------------------------------------


def _rows(data: Any, name: str) -> Array:
    """The data as an array with one row an example; raises ValueError for what can't be one."""
    try:
        array = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError) as error:
        rows = [row for row in data if hasattr(row, "__len__")]
        if len(rows) == len(data) and len({len(row) for row in rows}) > 1:
            first = next(i for i, row in enumerate(data) if len(row) != len(data[0]))
            raise ValueError(
                f"the rows of {name} have different lengths: row 0 has {len(data[0])} numbers, "
                f"row {first} has {len(data[first])}"
            ) from None
        raise TypeError(f"{name} must be numbers, one row an example: {error}") from None
    if array.ndim == 0:
        raise ValueError(f"{name} is one number; it needs one row an example")
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        column = f", column {where[1]}" if array.ndim > 1 else ""
        raise ValueError(f"{name} has {array[tuple(where)]} in row {where[0]}{column}")
    return array


def _checked_data(
    model: Module, X: Any, y: Any, loss: Loss, X_name: str, y_name: str
) -> tuple[Array, Array]:
    """The data as arrays; differing lengths and shapes are found on the first example."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is an instance such as nn.MSELoss(), not {loss!r}")
    if loss.reduction == "none":
        raise ValueError('a loss with reduction="none" is many numbers; use "mean" or "sum"')
    X, y = _rows(X, X_name), _rows(y, y_name)
    if len(X) != len(y):
        raise ValueError(f"{X_name} has {len(X)} rows and {y_name} has {len(y)}")
    if len(X) == 0:
        raise ValueError(f"{X_name} has no rows: there are no examples")
    output = predict_one(model, X[0])
    try:
        loss.terms(output, y[0].tolist())
    except ValueError as error:
        if y.ndim == 1 and isinstance(output, list) and len(output) == 1:
            raise ValueError(
                f"{error}; if each row of {y_name} is one number, use {y_name}.reshape(-1, 1)"
            ) from None
        raise
    return X, y


def _check_parts(
    model: Module, loss: Loss, optimizer: Optimizer, scheduler: LRScheduler | None
) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"model is an nn.Module, not {model!r}")
    check_optimizer(optimizer, scheduler)
    moved, frozen = set(optimizer.parameters()), frozen_in(model)
    if wrong := [name for p, name in frozen.items() if p in moved]:
        raise ValueError(
            f"{wrong[0]!r} is frozen, and the optimiser would move it; build the optimiser on "
            "model.parameters() after requires_grad_(False)"
        )
    if moved.isdisjoint(model.parameters()):
        raise ValueError(
            "the optimiser moves none of the model's parameters; was it built on them?"
        )


def _check_settings(epochs: int, batch_size: int | None, path: str, dtype: Any) -> None:
    for name, number, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
        if name == "batch_size" and number is None:
            continue
        if not isinstance(number, int) or number < least:
            raise ValueError(f"{name} is a whole number of at least {least}, not {number!r}")
    check_path(path)
    if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise ValueError(f"training is in float64 or float32, not {np.dtype(dtype)}")
    if path == "scalar" and np.dtype(dtype) != np.float64:
        raise ValueError("the scalar path computes in float64; float32 needs path='vectorised'")
