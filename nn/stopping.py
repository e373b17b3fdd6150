"""Stopping a training early, and keeping the best weights: what `nn.fit` is told, and its state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.errors import one_of

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop where `monitor` has not improved for `patience` evaluations; keep the best weights.

    `monitor` is a list of the History by name: "val_loss", "loss", or a metric, such as "accuracy"
    or "val_accuracy"; `mode` says whether "min" or "max" is better. An improvement is one by more
    than `min_delta`; nan is none. With a `patience` of None nothing is stopped. With
    `restore_best` the model ends with the weights of the best evaluation, else with the last.

    Raises ValueError for a mode that there is not, and for negative numbers.

    >>> EarlyStopping(patience=3, monitor="val_accuracy", mode="max").mode
    'max'
    """

    patience: int | None = None
    monitor: str = "val_loss"
    mode: Literal["min", "max"] = "min"
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        one_of("mode", self.mode, "min", "max")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is at least 1, or None, not {self.patience!r}")
        if not self.min_delta >= 0.0:
            raise ValueError(f"min_delta is at least 0, not {self.min_delta!r}")


@dataclass
class Best:
    """The best evaluation of a run so far."""

    number: float = math.nan  # what was monitored
    epoch: int | None = None  # 1 is the first
    waited: int = 0  # evaluations since
    theta: Array | None = None  # the weights then

    def see(self, rule: EarlyStopping, number: float, epoch: int, theta: Array) -> bool:
        """Take an evaluation into account; return whether training is to stop."""
        better = number - self.number if rule.mode == "max" else self.number - number
        if (self.epoch is None and not math.isnan(number)) or better > rule.min_delta:
            self.number, self.epoch, self.waited = number, epoch, 0
            self.theta = theta.copy()
        else:
            self.waited += 1
        return rule.patience is not None and self.waited >= rule.patience
