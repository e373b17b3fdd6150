"""Schedules of the learning rate, with PyTorch's names and recursive forms.

A scheduler sets "lr" of an optimiser's groups at every `step`. Like PyTorch's it computes the
next rate from the present one, so that several schedulers of one optimiser work together, and a
rate that is set by hand is kept to. `nn.fit` steps it, after each epoch or each update.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any, Literal, TypeAlias

import numpy as np

from engine import Value
from engine.errors import one_of, whole
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

    sets: Sequence[str] = ("lr",)  # the settings of a group that it sets
    is_planned = True  # whether what it sets depends on the number of the step alone

    def __init__(
        self, optimizer: Optimizer, last_epoch: int = -1, *, interval: Interval = "epoch"
    ) -> None:
        groups = _groups(optimizer)
        one_of("interval", interval, "epoch", "step")
        self.optimizer, self.interval = optimizer, interval
        for place, group in enumerate(groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f'group {place} of the optimiser has no "initial_lr", which a schedule that '
                    f"goes on from last_epoch={last_epoch} needs: load the optimiser's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in groups]
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

    def ahead(self, count: int) -> tuple[list[dict[str, Array]], Callable[[int], None]]:
        """Step as after so many updates; return the groups' settings in these, and a way back.

        A dict for each group has what the schedule sets by its name: numbers along the last axis,
        one an update, the present one first. Where not all the updates come to be, call what is
        returned second with the number that did.
        """
        groups, names = self.optimizer.param_groups, self.sets
        attributes, seen = dict(self.__dict__), list[list[dict[str, Any]]]()

        def back_to(done: int) -> None:
            self.__dict__.update(attributes)
            for group, settings in zip(groups, present, strict=True):
                group.update(settings)
            for _ in range(done):
                self.step()

        def now() -> list[dict[str, Any]]:
            return [{name: group[name] for name in names} for group in groups]

        present = now()
        try:
            for _ in range(count):
                seen.append(now())
                self.step()
        except BaseException:
            back_to(0)
            raise
        each = zip(*seen, strict=True)
        return [
            {name: np.array([settings[name] for settings in group]).T for name in names}
            for group in each
        ], back_to

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


class Multiplying(LRScheduler):
    """The base of schedulers that multiply the present rates by one number at every step."""

    @abstractmethod
    def ratio(self) -> float:
        """Return what the rates are multiplied by at step `last_epoch`."""

    def get_lr(self) -> list[float]:
        """Return the rates, multiplied."""
        ratio = self.ratio()
        return [group["lr"] * ratio for group in self.optimizer.param_groups]


class StepLR(Multiplying):
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
        self.step_size, self.gamma = whole("step_size", step_size, 1), gamma
        super().__init__(optimizer, last_epoch, interval=interval)

    def ratio(self) -> float:
        """Return `gamma` where it is time, and else 1."""
        due = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return self.gamma if due else 1.0


class MultiStepLR(Multiplying):
    """Multiplies the rates by `gamma` at each of the steps `milestones`.

    Raises ValueError for milestones that are no whole numbers.

    >>> import engine, nn
    >>> ahead, _ = MultiStepLR(nn.SGD([engine.Value(1.0)], lr=1.0), [2, 3], gamma=0.5).ahead(5)
    >>> ahead[0]["lr"].tolist()
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.milestones = sorted(whole("a milestone", number, 0) for number in milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch, interval=interval)

    def ratio(self) -> float:
        """Return `gamma`, as often as this step is a milestone."""
        return float(self.gamma ** self.milestones.count(self.last_epoch))


class ExponentialLR(Multiplying):
    """Multiplies the rates by `gamma` at every step.

    >>> import engine, nn
    >>> ahead, _ = ExponentialLR(nn.SGD([engine.Value(1.0)], lr=1.0), gamma=0.5).ahead(4)
    >>> ahead[0]["lr"].tolist()
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        gamma: float,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch, interval=interval)

    def ratio(self) -> float:
        """Return `gamma`, but for the first step."""
        return 1.0 if self._is_initial else self.gamma


class ConstantLR(Multiplying):
    """The first rates times `factor` for `total_iters` steps, and then the first rates.

    Raises ValueError for a factor that is not above 0 and at most 1, and for a `total_iters` that
    is no whole number of at least 1.

    >>> import engine, nn
    >>> ahead, _ = ConstantLR(nn.SGD([engine.Value(1.0)], lr=1.0), 0.5, total_iters=2).ahead(4)
    >>> ahead[0]["lr"].tolist()
    [0.5, 0.5, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3.0,
        total_iters: int = 5,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.factor = _share("factor", factor)
        self.total_iters = whole("total_iters", total_iters, 1)
        super().__init__(optimizer, last_epoch, interval=interval)

    def ratio(self) -> float:
        """Return the factor at the first step, and what undoes it at the last."""
        if self.last_epoch == 0:
            return self.factor
        return 1.0 / self.factor if self.last_epoch == self.total_iters else 1.0


class LinearLR(Multiplying):
    """The first rates times a factor that goes straight from `start_factor` to `end_factor` in
    `total_iters` steps.

    Raises ValueError for a `start_factor` that is not above 0 and at most 1, an `end_factor` that
    is not from 0 to 1, and a `total_iters` that is no whole number of at least 1.

    >>> import engine, nn
    >>> ahead, _ = LinearLR(nn.SGD([engine.Value(1.0)], lr=1.0), 0.25, total_iters=3).ahead(5)
    >>> ahead[0]["lr"].tolist()
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3.0,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.start_factor = _share("start_factor", start_factor)
        self.end_factor = _share("end_factor", end_factor, or_0=True)
        self.total_iters = whole("total_iters", total_iters, 1)
        super().__init__(optimizer, last_epoch, interval=interval)

    def ratio(self) -> float:
        """Return this step's factor of the first rates over that of the step before."""
        if self.last_epoch == 0:
            return self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)


class PolynomialLR(Multiplying):
    """The first rates times (1 - k / `total_iters`)**power at step k, and 0 from the last on.

    Raises ValueError for a `total_iters` that is no whole number of at least 1.

    >>> import engine, nn
    >>> ahead, _ = PolynomialLR(nn.SGD([engine.Value(1.0)], lr=1.0), 4, power=2.0).ahead(5)
    >>> ahead[0]["lr"].tolist()
    [1.0, 0.5625, 0.25, 0.0625, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.total_iters, self.power = whole("total_iters", total_iters, 1), power
        super().__init__(optimizer, last_epoch, interval=interval)

    def ratio(self) -> float:
        """Return this step's factor of the first rates over that of the step before."""
        left = self.total_iters - self.last_epoch
        if self._is_initial or left < 0:
            return 1.0
        return float((left / (left + 1)) ** self.power)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first rate down to `eta_min` in `T_max` steps, and up again after.

    From Loshchilov & Hutter (2017, SGDR, equation 5), without restarts. Raises ValueError for a
    `T_max` that is no whole number of at least 1.

    >>> import engine, nn
    >>> optimizer = nn.SGD([engine.Value(1.0)], lr=1.0)
    >>> ahead, _ = CosineAnnealingLR(optimizer, T_max=4).ahead(5)
    >>> ahead[0]["lr"].round(3).tolist()
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
        self.T_max, self.eta_min = whole("T_max", T_max, 1), eta_min
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


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the first rates down to `eta_min` in `T_0` steps, then anew from the
    first rates, each time `T_mult` times as long (Loshchilov & Hutter 2017, SGDR, equation 5).

    Raises ValueError for a `T_0` or `T_mult` that is no whole number of at least 1.

    >>> import engine, nn
    >>> optimizer = nn.SGD([engine.Value(1.0)], lr=1.0)
    >>> ahead, _ = CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=2).ahead(8)
    >>> ahead[0]["lr"].round(3).tolist()
    [1.0, 1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        *,
        interval: Interval = "epoch",
    ) -> None:
        self.T_0, self.T_mult = whole("T_0", T_0, 1), whole("T_mult", T_mult, 1)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch, interval=interval)

    def get_lr(self) -> list[float]:
        """Return the rates, by how much of the cosine under way is over."""
        k, period = self.last_epoch, self.T_0
        while k >= period:
            k, period = k - period, period * self.T_mult
        height = (1.0 + math.cos(math.pi * k / period)) / 2.0
        return [self.eta_min + (base - self.eta_min) * height for base in self._first_rates()]


class OneCycleLR(LRScheduler):
    """Up from `max_lr` / `div_factor` to `max_lr`, and down to `final_div_factor` times less than
    the first rate (Smith & Topin 2018), in `total_steps` steps, or `epochs` * `steps_per_epoch`.

    The way up takes the share `pct_start` of the steps, and goes by half a cosine, or with
    `anneal_strategy` "linear" straight. With `three_phase` the way down is first a mirror of the
    way up, and then to the last rate. With `cycle_momentum` the momentum, or the first beta, goes
    from `max_momentum` down to `base_momentum` while the rates go up, and up again. `max_lr` and
    the momenta may be lists, with a number for each group of the optimiser. Unlike others it is
    stepped by `nn.fit` after every update, unless it is told another interval.

    Raises ValueError for settings out of range, for an optimiser without momentum, whose
    `cycle_momentum` must be False, and for more steps than `total_steps`.

    >>> import engine, nn
    >>> optimizer = nn.SGD([engine.Value(1.0)], momentum=0.9)
    >>> one_cycle = OneCycleLR(optimizer, 1.0, total_steps=6, pct_start=0.5, div_factor=10.0)
    >>> ahead, _ = one_cycle.ahead(6)
    >>> ahead[0]["lr"].round(3).tolist(), ahead[0]["momentum"].round(3).tolist()
    ([0.1, 0.55, 1.0, 0.75, 0.25, 0.0], [0.95, 0.9, 0.85, 0.875, 0.925, 0.95])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
        *,
        interval: Interval = "step",
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
            total_steps = whole("epochs", epochs, 1) * whole("steps_per_epoch", steps_per_epoch, 1)
        self.total_steps = whole("total_steps", total_steps, 1)
        self.pct_start = _share("pct_start", pct_start, or_0=True)
        one_of("anneal_strategy", anneal_strategy, "cos", "linear")
        for name, factor in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            if not factor > 0.0:
                raise ValueError(f"{name} is above 0, not {factor!r}")
        self.anneal_strategy, self.three_phase = anneal_strategy, three_phase
        self.final_div_factor = final_div_factor
        self.max_lrs = _of_groups("max_lr", max_lr, optimizer)
        self.base_momenta = _of_groups("base_momentum", base_momentum, optimizer)
        self.max_momenta = _of_groups("max_momentum", max_momentum, optimizer)
        if cycle_momentum:
            known = [name for name in ("betas", "momentum") if name in optimizer.defaults]
            if not known:
                raise ValueError(
                    f"{type(optimizer).__name__} has no momentum; write cycle_momentum=False"
                )
            self.sets = ["lr", known[0]]
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group["initial_lr"] = rate / div_factor
        super().__init__(optimizer, last_epoch, interval=interval)
        for group in optimizer.param_groups:
            for name in self.sets:
                group.setdefault(f"initial_{name}", group[name])

    def get_lr(self) -> list[float]:
        """Return the rates, and set the momenta."""
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR was made for {self.total_steps} steps, and this is one more; give it "
                "the total_steps of the whole training"
            )
        rates = []
        firsts, groups = self._first_rates(), self.optimizer.param_groups
        settings = self.max_lrs, self.base_momenta, self.max_momenta
        for group, first, top, low, high in zip(groups, firsts, *settings, strict=True):
            back = [first] if self.three_phase else []
            rates.append(self._between(first, top, *back, first / self.final_div_factor))
            momentum = self._between(high, low, *[high for _ in back], high)
            if "betas" in self.sets:
                group["betas"] = (momentum, *group["betas"][1:])
            elif "momentum" in self.sets:
                group["momentum"] = momentum
        return rates

    def _between(self, *levels: float) -> float:
        """The number of this step on the way from level to level."""
        up = self.pct_start * self.total_steps
        ends = [up - 1.0, 2.0 * up - 2.0, self.total_steps - 1.0]
        ends = ends if self.three_phase else ends[::2]
        phases = list(zip((0.0, *ends), ends, levels, levels[1:], strict=False))
        k = self.last_epoch
        begin, end, start, stop = next((p for p in phases if k <= p[1]), phases[-1])
        # a phase of no length is over; PyTorch divides by 0
        share = (k - begin) / (end - begin) if end > begin else 1.0
        if self.anneal_strategy == "linear":
            return start + (stop - start) * share
        return stop + (start - stop) * (1.0 + math.cos(math.pi * share)) / 2.0


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rates by `factor` where a number has not improved for more than `patience`
    steps, each of which is told the number, which may be a Value: `step(loss)`.

    `mode` says whether "min" or "max" is better. An improvement is one by more than `threshold`,
    as a share of the best number so far, or with `threshold_mode` "abs" as such; nan is none.
    After a reduction, `cooldown` steps are not counted. No rate goes below `min_lr`, a number or a
    list with one for each group, and none is changed by `eps` or less.

    In `nn.fit` a step follows every epoch, and the number is `monitor`, a list of the History by
    name: "loss", "val_loss", or a metric such as "val_accuracy"; None is "val_loss" where there is
    validation data, and else "loss". Where `evaluate_every` is above 1, steps that look at anything
    but "loss" follow evaluations. In `nn.minimize` the number is the loss of every update.

    Raises ValueError for settings out of range, TypeError for a step that is told no number.

    >>> import engine, nn
    >>> optimizer = nn.SGD([engine.Value(1.0)], lr=1.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.5, 1.0):
    ...     scheduler.step(loss)
    ...     print(scheduler.get_last_lr())
    [1.0]
    [1.0]
    [1.0]
    [0.5]
    [0.5]
    """

    is_planned = False

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str | None = None,
    ) -> None:
        one_of("mode", mode, "min", "max")
        one_of("threshold_mode", threshold_mode, "rel", "abs")
        if not factor < 1.0:
            raise ValueError(f"factor is below 1, not {factor!r}")
        self.mode, self.threshold_mode, self.factor = mode, threshold_mode, factor
        self.patience = whole("patience", patience, 0)
        self.cooldown = whole("cooldown", cooldown, 0)
        self.threshold, self.eps, self.monitor = threshold, eps, monitor
        self.min_lrs = _of_groups("min_lr", min_lr, optimizer)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def step(self, metrics: Any = None) -> None:
        """Take a number into account, and lower the rates where it is time."""
        if metrics is None and not self._is_initial:
            raise TypeError("ReduceLROnPlateau goes by a number: write scheduler.step(loss)")
        number = metrics.data if isinstance(metrics, Value) else metrics
        self._is_due = not self._is_initial and self._has_waited(float(number))
        super().step()

    def _has_waited(self, number: float) -> bool:
        """Count a step; return whether there were too many without an improvement."""
        less = self.threshold if self.mode == "min" else -self.threshold
        bound = self.best * (1.0 - less) if self.threshold_mode == "rel" else self.best - less
        better = number < bound if self.mode == "min" else number > bound
        self.best = number if better else self.best
        self.num_bad_epochs = 0 if better or self.cooldown_counter else self.num_bad_epochs + 1
        self.cooldown_counter = max(self.cooldown_counter - 1, 0)
        if self.num_bad_epochs <= self.patience:
            return False
        self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        return True

    def get_lr(self) -> list[float]:
        """Return the rates, lowered where it is time."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if not self._is_due:
            return rates
        self._first_rates()  # groups are those that there were
        lower = [max(r * self.factor, least) for r, least in zip(rates, self.min_lrs, strict=True)]
        return [new if old - new > self.eps else old for old, new in zip(rates, lower, strict=True)]


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
        self.lr_lambdas = _of_groups("lr_lambda", lr_lambda, optimizer, "functions")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda is a function of the step's number, not {function!r}")
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


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"a scheduler is built on an optimiser, not on {optimizer!r}")
    return optimizer.param_groups


def _share(name: str, number: float, *, or_0: bool = False) -> float:
    if not 0.0 <= number <= 1.0 or (number == 0.0 and not or_0):
        raise ValueError(f"{name} is {'from' if or_0 else 'above'} 0 to 1, not {number!r}")
    return number


def _of_groups(name: str, given: Any, optimizer: Optimizer, what: str = "numbers") -> list[Any]:
    """One for each group: the same, or those of a list."""
    groups = len(_groups(optimizer))
    if not isinstance(given, list | tuple):
        return [given] * groups
    if len(given) != groups:
        raise ValueError(f"{name} has {len(given)} {what} for {groups} groups")
    return list(given)
