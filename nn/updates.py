"""Updates of parameters, one after the other: the loop that `fit` and `minimize` share."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from engine import Value
from engine.errors import one_of
from engine.leaves import set_leaves
from engine.showing import Shown, bundle, words
from nn import plots
from nn.compiled_model import CANT_COMPILE
from nn.divergence import DivergenceError, Watch, not_finite
from nn.optim import LRScheduler, ReduceLROnPlateau
from nn.optim.update import Update
from nn.progress import Bar
from nn.scalar_path import TrainingPath
from nn.vectorised_path import LoopPath

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
PathName: TypeAlias = Literal["auto", "scalar", "vectorised"]
_CALL_SECONDS = 0.2  # at most about so long no Ctrl-C is seen


@dataclass(repr=False)
class History(Shown):
    """What a training run did.

    `loss[i]` is the mean loss per example of epoch i, each taken before the update it caused;
    `step_loss[k]` is the loss of update k as the optimiser sees it, and `step_weight[k]` the sum of
    the weights of what it is a mean of; 0 means that there was nothing to learn, and no update.
    `val_loss` is filled where validation data was given, per example too, and `metrics` has a list
    for each metric by its name, and one with "val_" before it for the validation data: with one
    entry for each of the epochs `evaluated`, whose first is 1. `best_epoch` is that of the weights
    kept by early stopping. `stopped` says why a run ended before its last epoch. `path` is
    "scalar" or "vectorised", and `reason` why it was taken. `seconds` is the time of the whole run,
    compilation included.
    """

    loss: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    step_weight: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    evaluated: list[int] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = ""
    path: Literal["scalar", "vectorised"] = "scalar"
    reason: str = ""
    seconds: float = 0.0

    @property
    def monitored(self) -> dict[str, list[float]]:
        """The lists that have a number an epoch, or an evaluation, by their names."""
        return {"loss": self.loss, "val_loss": self.val_loss, **self.metrics}

    def __repr__(self) -> str:
        """Where it began and ended, not the thousands of numbers between.

        >>> History(loss=[2.0, 1.0, 0.5], step_loss=[2.0, 1.0, 0.5], seconds=0.1)
        History(3 epochs, 3 updates; loss 2 to 0.5; scalar path, 0.1 s)
        """
        count, steps = len(self.loss), len(self.step_loss)
        parts = [f"{count:,} epoch{'' if count == 1 else 's'}, {steps:,} update{'s'[: steps != 1]}"]
        parts += [
            f"{name} {numbers[0]:.4g} to {numbers[-1]:.4g}"
            for name, numbers in self.monitored.items()
            if numbers
        ]
        parts.append(f"{self.path} path, {self.seconds:.3g} s")
        if self.stopped:
            parts.append(f"stopped: {self.stopped}")
        return f"History({'; '.join(parts)})"

    def _bundle(self) -> dict[str, str]:
        text = repr(self)
        if not self.step_loss and not self.loss:
            return bundle(text, None, words(text))
        try:
            still = plots.still_of(self.plot(ax=plots.new_axes()), f"Loss by epoch: {text}")
        except ImportError:  # the text is enough to live on
            return bundle(text, None, words(text))
        return bundle(text, still, still.html() + words(text))

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the loss of every epoch, beside the validation loss, and return the Axes.

        Of a run that stopped in its first epoch it is the loss of every update.
        """
        if self.step_loss and not self.loss:
            ax = plots.loss_curve(self.step_loss, ax=ax)
            ax.set(xlabel="update", ylabel="loss")
            return ax
        return plots.loss_curve(self.loss, self.val_loss, val_epochs=self.evaluated, ax=ax)


@dataclass
class Updates:
    """Updates of parameters' numbers, `theta`, in place; their losses are noted in the History.

    `gradient` is that of the last update. `between` is called after every call of a path, where
    everything is in a state to stop at.
    """

    theta: Array
    gradient: Array
    update: Update
    mean: bool  # whether the loss of a batch is a mean, else a sum
    seed: int
    history: History
    bar: Bar
    between: Callable[[], object]
    watch: Watch
    fall_back: Callable[[Exception], TrainingPath]  # for the rest, where a path can't be compiled
    burst: int = 0  # how many updates a call may make

    @np.errstate(all="ignore")  # the mean of no terms is nan, as in PyTorch
    def run(
        self, step: TrainingPath, scheduler: LRScheduler | None, order: Array, starts: Array
    ) -> None:
        """Make an update by each batch `order[starts[k] : starts[k + 1]]`.

        On the vectorised path many run in one call, no call for longer than about `_CALL_SECONDS`.
        What a call makes inf or nan is undone, and half as many updates are tried, until the one
        at fault is found. Raises DivergenceError there, where the run is to stop.
        """
        k, total = 0, 0.0
        suspect: int | None = None  # if some update before this one gives inf or nan
        while k < len(starts) - 1:
            began = time.perf_counter()
            most = self.burst if suspect is None else (suspect - k) // 2
            some = starts[k : k + max(1, most) + 1]
            try:
                done = self._some(step, scheduler, order, some)
            except CANT_COMPILE as error:  # only this batch takes the way that can't be compiled
                if self.history.path == "scalar":  # the model's own, and no other path helps
                    raise
                step = self.fall_back(error)
                continue
            if done is None:
                suspect = k + len(some) - 1
                continue
            losses = self._losses(done)
            self.history.step_loss += losses.tolist()
            self.history.step_weight += done[:, 1].tolist()
            k, total = k + len(losses), total + float(np.nansum(losses))
            suspect = suspect if suspect is not None and k < suspect else None
            self.bar.describe(f"loss {total / k:.4g}")
            seconds = (time.perf_counter() - began) / len(done)
            self.burst = max(1, min(8 * len(done), int(_CALL_SECONDS / seconds)))
            self.between()

    def _some(
        self, step: TrainingPath, scheduler: LRScheduler | None, order: Array, starts: Array
    ) -> Array | None:
        """Some updates, as many as one call makes; None where of several one is not finite."""
        done = None
        if isinstance(step, LoopPath):
            starts = starts[:2] if step.one_by_one else starts
            done = step.run_steps(
                *(self.theta, order, starts, self._draws, self.update, scheduler),
                *(self.gradient, self.mean, self.watch.watching),
            )
            if done is None and len(starts) > 2:
                return None
        if done is None or len(done) == 0:  # or where this step takes another path
            done = self._one(step, scheduler, order[starts[0] : starts[1]])
        return done

    @property
    def _draws(self) -> tuple[int, int]:
        return self.seed, len(self.history.step_loss)

    def _losses(self, done: Array) -> Array:
        return done[:, 0] / done[:, 1] if self.mean else done[:, 0]

    def _one(self, step: TrainingPath, scheduler: LRScheduler | None, rows: Array) -> Array:
        """One update, moved in Python; none where the batch has no weight."""
        result = step(self.theta, rows, self._draws)
        if result.weight == 0.0:
            return np.array([[result.total, 0.0]])
        # multiplied, not divided, as in the compiled loop: they are to agree to the last bit
        scale = self.theta.dtype.type(1.0 / np.float64(result.weight)) if self.mean else 1.0

        def evaluate(theta: Array) -> tuple[float, Array]:
            with self.bar.still():  # the examples were counted
                again = step(theta, rows, self._draws)
            return again.total * float(scale), again.gradient * scale

        theta, gradient = self.theta.copy(), result.gradient * scale
        before = copy.deepcopy(self.update.optimizer.state)
        penalty = self.update.step(theta, gradient, result.total * float(scale), evaluate)
        done = np.array([[result.total, result.weight]])
        done[:, 0] += penalty * (result.weight if self.mean else 1.0)
        if self.watch.watching:
            loss, state = self._losses(done).item(), self.update.optimizer.state
            kept = [(old.slots, new.slots) for old, new in zip(before, state, strict=True)]
            if what := not_finite(loss, result.gradient, theta, kept):
                try:
                    self.watch.met(
                        *(what, step, self.theta, rows, self._draws, self.history.step_loss)
                    )
                except DivergenceError:
                    self.update.optimizer.state[:] = before
                    raise
        self.theta[:], self.gradient[:] = theta, gradient
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self._losses(done).item())
        elif scheduler is not None:
            scheduler.step()
        return done


def write(parameters: Sequence[Value], theta: Array, gradient: Array) -> None:
    """Put the numbers, and the gradient of the last update, into the Values."""
    set_leaves(parameters, theta.tolist(), gradient.tolist())


def check_path(path: str) -> None:
    """Raise ValueError for a path that there is not."""
    one_of("path", path, "auto", "scalar", "vectorised")
