"""Updates of parameters, one after the other: the loop that `fit` and `minimize` share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from engine import Value
from nn import plots
from nn.optim import LRScheduler, Optimizer
from nn.optim.update import Update
from nn.paths import FunctionPath, TrainingPath, VectorisedPath
from nn.progress import Bar

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
PathName: TypeAlias = Literal["auto", "scalar", "vectorised"]
_CALL_SECONDS = 0.2  # at most about so long no Ctrl-C is seen


@dataclass
class History:
    """What a training run did.

    `loss[i]` is the mean loss per example of epoch i, each taken before the update it caused;
    `step_loss[k]` is the loss of update k as the optimiser sees it. `val_loss` is filled where
    validation data was given, and `metrics` has a list for each metric by its name, and one with
    "val_" before it for the validation data: with one entry for each of the epochs `evaluated`,
    whose first is 1. `best_epoch` is that of the weights kept by early stopping. `stopped` says why
    a run ended before its last epoch. `path` is "scalar" or "vectorised", and `reason` why it was
    taken. `seconds` is the time of the whole run, compilation included.
    """

    loss: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    evaluated: list[int] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = ""
    path: Literal["scalar", "vectorised"] = "scalar"
    reason: str = ""
    seconds: float = 0.0

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the loss of every epoch, beside the validation loss, and return the Axes."""
        return plots.loss_curve(self.loss, self.val_loss, val_epochs=self.evaluated, ax=ax)


@np.errstate(divide="ignore", invalid="ignore")  # the mean of no terms is nan, as in PyTorch
def updates(
    step: TrainingPath,
    theta: Array,
    gradient: Array,
    order: Array,
    starts: Array,
    update: Update,
    scheduler: LRScheduler | None,
    mean: bool,
    seed: int,
    history: History,
    bar: Bar,
    burst: int,
    between: Callable[[], object],
) -> int:
    """An update by each batch `order[starts[k] : starts[k + 1]]`, in place; their losses are noted.

    On the vectorised path many run in one call, no call for longer than about `_CALL_SECONDS`.
    `burst` is how many; returns how many may be next. `between` is called after each call, where
    everything is in a state to stop at.
    """
    k, total = 0, 0.0
    while k < len(starts) - 1:
        draws = (seed, len(history.step_loss))
        done = np.zeros((0, 2))
        began = time.perf_counter()
        if isinstance(step, VectorisedPath | FunctionPath):
            some = starts[k : k + max(1, burst) + 1]
            done = step.run_steps(theta, order, some, draws, update, scheduler, gradient, mean)
        if len(done) == 0:  # on the scalar path, or where this step takes another path
            result = step(theta, order[starts[k] : starts[k + 1]], draws)
            # multiplied, not divided, as in the compiled loop: they are to agree to the last bit
            scale = theta.dtype.type(1.0 / np.float64(result.weight)) if mean else 1.0
            gradient[:] = result.gradient * scale
            penalty = update.step(theta, gradient) * (result.weight if mean else 1.0)
            if scheduler is not None:
                scheduler.step()
            done = np.array([[result.total + penalty, result.weight]])
        losses = done[:, 0] / done[:, 1] if mean else done[:, 0]
        history.step_loss += losses.tolist()
        k, total = k + len(losses), total + float(losses.sum())
        bar.describe(f"loss {total / k:.4g}")
        seconds = (time.perf_counter() - began) / len(done)
        burst = max(1, min(8 * len(done), int(_CALL_SECONDS / seconds)))
        between()
    return burst


def write(parameters: Sequence[Value], theta: Array, gradient: Array) -> None:
    """Put the numbers, and the gradient of the last update, into the Values."""
    for p, number, g in zip(parameters, theta.tolist(), gradient.tolist(), strict=True):
        p.data, p.grad = number, g


def check_optimizer(optimizer: Optimizer, scheduler: LRScheduler | None) -> None:
    """Raise TypeError or ValueError for what is no optimiser, or another one's scheduler."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer is built on the parameters, such as nn.SGD(model.parameters(), lr=0.1), "
            f"not {optimizer!r}"
        )
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        raise TypeError(
            "scheduler is built on the optimiser, such as nn.StepLR(optimizer, step_size=10), "
            f"not {scheduler!r}"
        )
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise ValueError("the scheduler is another optimiser's: build it on the one given here")


def check_path(path: str) -> None:
    """Raise ValueError for a path that there is not."""
    if path not in ("auto", "scalar", "vectorised"):
        raise ValueError(f'path is "auto", "scalar" or "vectorised", not {path!r}')
