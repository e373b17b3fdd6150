"""What `nn.fit` is told besides model and data, checked before anything is changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import whole
from nn.divergence import OnNonfinite
from nn.examples import Examples
from nn.module import Module, frozen_in
from nn.optim import LBFGS, OneCycleLR, Optimizer
from nn.stopping import EarlyStopping
from nn.updates import PathName, check_path


@dataclass
class Settings:
    """What `fit` was told, where it needs no other name. Raises ValueError and TypeError."""

    epochs: int
    path: PathName
    dtype: Any
    native: bool
    seed: int
    l2: float
    clip_norm: float | None
    evaluate_every: int
    progress: bool
    on_nonfinite: OnNonfinite

    def __post_init__(self) -> None:
        self.epochs = whole("epochs", self.epochs, 0)
        self.seed = whole("seed", self.seed, 0)
        self.evaluate_every = whole("evaluate_every", self.evaluate_every, 1)
        check_path(self.path)
        self.dtype = np.dtype(self.dtype)
        if self.dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ValueError(f"training is in float64 or float32, not {self.dtype}")
        if self.path == "scalar" and self.dtype != np.float64:
            raise ValueError("the scalar path computes in float64; float32 needs path='vectorised'")
        if not 0.0 <= self.l2 < math.inf:
            raise ValueError(f"l2 is a number of at least 0, not {self.l2!r}")
        if self.clip_norm is not None and not self.clip_norm > 0.0:
            raise ValueError(f"clip_norm is a number above 0, or None, not {self.clip_norm!r}")


def check_monitor(
    stopping: EarlyStopping | None, scheduler: Any, validating: bool, metrics: Mapping[str, Any]
) -> None:
    """Raise TypeError or ValueError for early stopping, or a scheduler, that looks at what the run
    does not note."""
    if stopping is not None and not isinstance(stopping, EarlyStopping):
        raise TypeError(f"early_stopping is nn.EarlyStopping(patience=...), not {stopping!r}")
    known = ["loss", *names_of_all(metrics)]
    if validating:
        known += ["val_loss", *(f"val_{name}" for name in metrics)]
    for who, monitor in (
        ("early stopping", getattr(stopping, "monitor", None)),
        ("the scheduler", getattr(scheduler, "monitor", None)),
    ):
        if monitor is not None and monitor not in known:
            raise ValueError(
                f"{who} looks at {monitor!r}, and this run notes {known}: give validation_data "
                "for val_loss, and metrics"
            )


def names_of_all(metrics: Mapping[str, Any]) -> list[str]:
    """The metrics that are of the training data too: all but those of `held_out_alone`."""
    return [name for name, f in metrics.items() if not getattr(f, "held_out_alone", False)]


def check_steps(scheduler: Any, updates: int, epochs: int, anew: bool) -> None:
    """Raise ValueError for a schedule that ends before the run does: `updates` an epoch, and
    `epochs` in all, or where the run is no new one, more."""
    if not isinstance(scheduler, OneCycleLR):
        return
    steps = epochs * (updates if scheduler.interval == "step" else 1)
    left = scheduler.total_steps - (0 if anew else scheduler.last_epoch)
    if steps > left:
        raise ValueError(
            f"the OneCycleLR has {left} steps left of its {scheduler.total_steps}, and this run "
            f"makes {steps}, one after each {scheduler.interval}: "
            f"make it with total_steps={scheduler.total_steps - left + steps}"
        )


def checked_callbacks(callbacks: Sequence[Any]) -> list[Any]:
    """The callbacks in a list. Raises TypeError for what can't be called."""
    found = list(callbacks)
    for callback in found:
        if isinstance(callback, type) or not callable(callback):
            raise TypeError(
                "a callback is a function of the epoch's number and the History, or an object "
                f"with __call__ and perhaps at_end, not {callback!r:.200}"
            )
    return found


def check_moved(model: Module, optimizer: Optimizer) -> None:
    """Raise ValueError where the optimiser moves none of the model's parameters, or frozen ones."""
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


def check_batches(optimizer: Optimizer, updates: int) -> None:
    """Raise ValueError where an epoch has several updates, and the optimiser is for one loss."""
    if isinstance(optimizer, LBFGS) and updates > 1:
        raise ValueError(
            "LBFGS compares gradients of one function, and every batch is another: leave "
            "batch_size out, so that an update is about all examples, or use nn.minimize"
        )


def check_shared(examples: Examples, shards: int) -> None:
    """Raise ValueError where batches are computed in shards, by processes that can't have them."""
    if shards and examples.are_read_anew:
        raise ValueError(
            "with `on`, every process has all examples at hand, and a loader of another library "
            "gives others in every pass: give X and y, or an nn.DataLoader"
        )
