"""Schedules of the learning rate, with PyTorch's names and recursive forms.

A scheduler sets "lr" of an optimiser's groups at every `step`. Like PyTorch's it computes the
next rate from the present one, so that several schedulers of one optimiser work together, and a
rate that is set by hand is kept to. `nn.fit` steps it, after each epoch or each update.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, Literal, TypeAlias

import numpy as np

from nn.optim.base import Optimizer
from nn.optim.rules import Array

Interval: TypeAlias = Literal["epoch", "step"]


class LRScheduler(ABC):
    """The base of schedulers: a subclass defines `get_lr`.

    `last_epoch` is the number of steps so far, whatever they are after; the first is made at once.
    To go on with a schedule without its state, give the `last_epoch` that it had: the groups need
    their "initial_lr" then. `interval` says what `nn.fit` steps it after: "epoch", or "step" for
    every update of the optimiser.

    Raises TypeError for anything but an optimiser, ValueError for other intervals and a missing
    "initial_lr".
    """

    def __init__(
        self, optimizer: Optimizer, last_epoch: int = -1, *, interval: Interval = "epoch"
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a scheduler is built on an optimiser, not on {optimizer!r}")
        if interval not in ("epoch", "step"):
            raise ValueError(f'interval is "epoch" or "step", not {interval!r}')
        self.optimizer, self.interval = optimizer, interval
        for place, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f'group {place} of the optimiser has no "initial_lr", which a schedule that '
                    f"goes on from last_epoch={last_epoch} needs: load the optimiser's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._is_initial = True
        self.step()
        self._is_initial = False

    @abstractmethod
    def get_lr(self) -> list[float]:
        """Return the rate of each group at step `last_epoch`, from those before that step."""

    def get_last_lr(self) -> list[float]:
        """Return the rates that the last step has set, one a group."""
        return list(self._last_lr)

    def step(self) -> None:
        """Set the rates of the next epoch or update; call it after `optimizer.step()`."""
        self.last_epoch += 1
        try:
            self._last_lr = self.get_lr()
        except BaseException:
            self.last_epoch -= 1
            raise
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    def _first_rates(self) -> list[float]:
        """The rates that the schedule began with, one a group."""
        groups, own = len(self.optimizer.param_groups), len(self.base_lrs)
        if groups != own:
            raise ValueError(
                f"the optimiser has {groups} groups, and had {own} when this {type(self).__name__} "
                "was made: add groups first, or make another scheduler after it"
            )
        return self.base_lrs

    def ahead(self, count: int) -> tuple[Array, Callable[[int], None]]:
        """Step as after so many updates; return the rates of these, and a way back.

        The rates have one row an update, the present ones first, and one column a group. Where
        not all the updates come to be, call what is returned second with the number that did.
        """
        groups = self.optimizer.param_groups
        attributes, present = dict(self.__dict__), [group["lr"] for group in groups]
        rates = []

        def back_to(done: int) -> None:
            self.__dict__.update(attributes)
            for group, rate in zip(groups, present, strict=True):
                group["lr"] = rate
            for _ in range(done):
                self.step()

        try:
            for _ in range(count):
                rates.append([group["lr"] for group in groups])
                self.step()
        except BaseException:
            back_to(0)
            raise
        return np.array(rates), back_to

    def state_dict(self) -> dict[str, Any]:
        """Return all of the scheduler but the optimiser, whose own state is needed as well."""
        return {
            name: list(item) if isinstance(item, list) else item
            for name, item in vars(self).items()
            if name not in ("optimizer", "_is_initial")
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on as the scheduler that `state_dict` is of.

        Rates are part of the optimiser's state, and not set here. Raises ValueError for the state
        of another kind of scheduler, or of other groups.
        """
        own = self.state_dict()
        if set(state_dict) != set(own):
            raise ValueError(
                f"this {type(self).__name__} has {sorted(own)}, the state has {sorted(state_dict)}"
            )
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"the state has {len(state_dict['base_lrs'])} groups, this {type(self).__name__} "
                f"{len(self.base_lrs)}"
            )
        for name, item in state_dict.items():
            setattr(self, name, list(item) if isinstance(item, list) else item)


class StepLR(LRScheduler):
    """Multiplies the rates by `gamma` at every `step_size`-th step.

    Raises ValueError for a `step_size` that is no whole number of at least 1.

    >>> import engine, nn
    >>> optimizer = nn.SGD([engine.Value(1.0)], lr=1.0)
    >>> scheduler, rates = StepLR(optimizer, 2, gamma=0.5), []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.step_size, self.gamma = _count("step_size", step_size), gamma
        super().__init__(optimizer, last_epoch, interval=interval)

    def get_lr(self) -> list[float]:
        """Return the rates, multiplied where it is time."""
        due = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        factor = self.gamma if due else 1.0
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first rate down to `eta_min` in `T_max` steps, and up again after.

    From Loshchilov & Hutter (2017, SGDR, equation 5), without restarts. Raises ValueError for a
    `T_max` that is no whole number of at least 1.

    >>> import engine, nn
    >>> optimizer = nn.SGD([engine.Value(1.0)], lr=1.0)
    >>> scheduler, rates = CosineAnnealingLR(optimizer, T_max=4), []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> [round(rate, 3) for rate in rates]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.T_max, self.eta_min = _count("T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch, interval=interval)

    def get_lr(self) -> list[float]:
        """Return the rates, with what they are above `eta_min` in proportion to the cosine."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        k, period = self.last_epoch, self.T_max
        if self._is_initial:
            return rates
        if (k - 1 - period) % (2 * period) == 0:  # at the bottom, from where no proportion leads
            rise = (1 - math.cos(math.pi / period)) / 2
            return [
                rate + (base - self.eta_min) * rise
                for rate, base in zip(rates, self._first_rates(), strict=True)
            ]
        factor = (1 + math.cos(math.pi * k / period)) / (1 + math.cos(math.pi * (k - 1) / period))
        return [factor * (rate - self.eta_min) + self.eta_min for rate in rates]


class LambdaLR(LRScheduler):
    """The first rates times `lr_lambda(k)` at step k; or a function for each group, in a list.

    The functions may be asked for steps ahead, so they must depend on k alone. Raises ValueError
    for more or fewer functions than groups, TypeError for anything but functions.

    >>> import engine, nn
    >>> optimizer = nn.SGD([engine.Value(1.0)], lr=1.0)
    >>> scheduler = LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / 4))  # a warm-up
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        groups = len(getattr(optimizer, "param_groups", ()))
        given = lr_lambda if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        for function in given:
            if not callable(function):
                raise TypeError(f"lr_lambda is a function of the step's number, not {function!r}")
        if len(given) != groups:
            raise ValueError(f"there are {len(given)} functions for {groups} groups")
        self.lr_lambdas = list(given)
        super().__init__(optimizer, last_epoch, interval=interval)

    def get_lr(self) -> list[float]:
        """Return the first rates times their factors."""
        return [
            base * function(self.last_epoch)
            for base, function in zip(self._first_rates(), self.lr_lambdas, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the state; of functions nothing, of other callables their attributes."""
        kept = [None if isinstance(f, FunctionType) else dict(vars(f)) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on as the scheduler that `state_dict` is of, with the functions that there are."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                vars(function).update(attributes)


def _count(name: str, number: Any) -> int:
    if not isinstance(number, int | np.integer) or number < 1:
        raise ValueError(f"{name} is a whole number of at least 1, not {number!r}")
    return int(number)
