"""Training and predicting: from a model for one example to a batch, a run, a history.

`fit` runs a model and a loss that are written in scalars. On the scalar path it builds and
differentiates one example's graph at a time, adding into the parameters, so that memory is one
example's however large the batch is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

import engine
from engine import Value
from nn.losses import Loss
from nn.module import Module
from nn.optim import Optimizer

PathName: TypeAlias = Literal["auto", "scalar", "vectorised"]
_A_WHILE = 60.0  # seconds; a run expected to take longer says so at its beginning
_LINES_EVERY = 5.0  # seconds, where there is no progress bar


@dataclass
class History:
    """What a training run did.

    `loss[i]` is the mean loss per example of epoch i, each taken before the update it caused;
    `step_loss[k]` is the loss of update k as the optimiser sees it; `val_loss` is filled where
    validation data was given. `seconds` is the time of the whole run.
    """

    loss: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    path: str = "scalar"
    seconds: float = 0.0


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
    seed: int = 0,
    validation_data: tuple[Any, Any] | None = None,
    callbacks: Sequence[Callable[[int, History], object]] = (),
    progress: bool = True,
) -> History:
    """Train `model` on the rows of X and y, in place, and return the History.

    X and y have one row an example; a row of y has the shape of the model's output. `batch_size`
    None is the full batch; a last partial batch is used. `shuffle` draws a new order every epoch
    from `seed`. After every epoch each callback is called with its number and the History so far.

    Raises ValueError for NaN and inf, for rows of different lengths, for X and y of different
    lengths, where outputs and targets differ in shape, and where the optimiser moves none of the
    model's parameters; TypeError for a class or a name in place of a loss or an optimiser. The
    parameters are then as they were.
    """
    _check_parts(model, loss, optimizer)
    X, y = _checked_data(model, X, y, loss, "X", "y")
    _check_settings(epochs, batch_size, path)
    if validation_data is not None:
        _checked_data(model, *validation_data, loss, "the validation X", "the validation y")
    history = History()
    began = time.perf_counter()
    order = list(range(len(X)))
    rng = random.Random(seed)
    size = len(X) if batch_size is None else batch_size
    bar = _Bar(epochs * len(X), progress)
    examples = list(zip(X.tolist(), y.tolist(), strict=True))
    try:
        for epoch in range(epochs):
            if shuffle:
                rng.shuffle(order)
            total = 0.0
            for start in range(0, len(order), size):
                batch = [examples[i] for i in order[start : start + size]]
                step_loss = _step(model, batch, loss, optimizer, bar)
                history.step_loss.append(step_loss)
                total += step_loss * (len(batch) if loss.reduction == "mean" else 1.0)
            history.loss.append(total / len(order))
            if validation_data is not None:
                history.val_loss.append(evaluate(model, *validation_data, loss=loss))
            history.seconds = time.perf_counter() - began
            bar.describe(f"loss {history.loss[-1]:.4g}")
            for callback in callbacks:
                callback(epoch, history)
    finally:
        bar.close()
        history.seconds = time.perf_counter() - began
    return history


def _step(
    model: Module,
    batch: Sequence[tuple[Any, Any]],
    loss: Loss,
    optimizer: Optimizer,
    bar: _Bar,
) -> float:
    """One update from the examples of a batch; returns their loss."""
    optimizer.zero_grad()
    total, weight = 0.0, 0.0
    for x, target in batch:
        with engine.enable_grad():
            terms, weights = loss.terms(model(x), target)
            example = engine.sum(terms)
        if isinstance(example, Value):
            example.backward()
        total += _numbers(example)
        weight += sum(weights)
        bar.advance()
    if loss.reduction == "mean":
        total /= weight
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad /= weight
    optimizer.step()
    return total


def predict_one(model: Module, x: Any) -> Any:
    """Return the model's output for one row of an array, without recording it."""
    with engine.no_grad():
        return model(x.tolist() if isinstance(x, np.ndarray | np.number) else x)


def predict(model: Module, X: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the model's outputs for the rows of X, in evaluation mode.

    The shape is (n,) where the model returns one Value, and (n, k) where it returns a list of k.
    Raises ValueError for NaN and inf, and for rows of different lengths.
    """
    with _evaluating(model):
        outputs = [_numbers(predict_one(model, x)) for x in _rows(X, "X")]
    return np.array(outputs, dtype=np.float64)


def evaluate(model: Module, X: Any, y: Any, *, loss: Loss) -> float:
    """Return the loss of the model on the rows of X and y, in evaluation mode: a mean, or a sum.

    Raises ValueError as `fit` does.
    """
    total, weight = 0.0, 0.0
    with _evaluating(model):
        X, y = _checked_data(model, X, y, loss, "X", "y")
        for x, target in zip(X, y, strict=True):
            terms, weights = loss.terms(predict_one(model, x), target.tolist())
            total += sum(_numbers(term) for term in terms)
            weight += sum(weights)
    return total / weight if loss.reduction == "mean" else total


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


def _rows(data: Any, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
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
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
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
        if y.ndim == 1 and isinstance(output, list):
            raise ValueError(
                f"{error}; if each row of {y_name} is one number, use {y_name}.reshape(-1, 1)"
            ) from None
        raise
    return X, y


def _check_parts(model: Module, loss: Loss, optimizer: Optimizer) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"model is an nn.Module, not {model!r}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer is built on the parameters, such as nn.SGD(model.parameters(), lr=0.1), "
            f"not {optimizer!r}"
        )
    moved = {p for group in optimizer.param_groups for p in group["params"]}
    if moved.isdisjoint(model.parameters()):
        raise ValueError(
            "the optimiser moves none of the model's parameters; was it built on them?"
        )


def _check_settings(epochs: int, batch_size: int | None, path: str) -> None:
    for name, number, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
        if name == "batch_size" and number is None:
            continue
        if not isinstance(number, int) or number < least:
            raise ValueError(f"{name} is a whole number of at least {least}, not {number!r}")
    if path == "vectorised":
        raise ValueError('this version has no vectorised path yet; use path="scalar" or "auto"')
    if path not in ("auto", "scalar"):
        raise ValueError(f'path is "auto", "scalar" or "vectorised", not {path!r}')


# --- progress -------------------------------------------------------------------------------


class _Bar:
    """Progress over examples: tqdm's bar where it is installed, else a line now and then."""

    def __init__(self, total: int, shown: bool) -> None:
        self._total, self._done, self._text = total, 0, ""
        self._began = time.perf_counter()
        self._next = self._began + _LINES_EVERY
        self._bar: Any = None
        if shown:
            try:
                from tqdm.auto import tqdm

                self._bar = tqdm(total=total, unit=" examples", unit_scale=True, mininterval=0.2)
            except ImportError:
                self._bar = None
        self._lines = shown and self._bar is None
        self._estimated = not shown

    def advance(self) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        if not self._estimated and self._done >= 100:
            self._estimate()
        if self._lines and self._done % 100 == 0 and time.perf_counter() >= self._next:
            self._line()

    def _line(self) -> None:
        self._next = time.perf_counter() + _LINES_EVERY
        print(f"{100 * self._done / max(1, self._total):3.0f} %  {self._text}".rstrip(), flush=True)

    def _estimate(self) -> None:
        elapsed = time.perf_counter() - self._began
        if elapsed < 0.5:
            return  # too early to tell
        self._estimated = True
        seconds = elapsed / self._done * self._total
        if seconds > _A_WHILE:
            say = print if self._bar is None else self._bar.write
            say(
                f"the scalar path will take about {seconds / 60:.1f} minutes for this; "
                "fewer examples or epochs take less (--points, --epochs)"
            )

    def describe(self, text: str) -> None:
        self._text = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._lines:
            self._line()
