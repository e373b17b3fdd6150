"""Optimisers with PyTorch's names, defaults and order of operations.

An optimiser holds parameters in groups with settings of their own, and tells a rule (`rules`) how
to move them: by `step` from the gradients in the Values, or inside of `nn.fit` on flat arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import Value
from nn.optim import rules

Array = rules.Array


@dataclass
class State:
    """What an optimiser keeps of a group: one row of numbers a slot, and how many updates."""

    slots: Array
    steps: int = 0


class Optimizer:
    """The base of optimisers: parameters, and the numbers that steer their steps.

    An optimiser has a `rule` (see `rules`) and `settings` for it. `parameters` is a list of
    Values, or a list of dicts with such a list as "params" and with settings of their own
    (`param_groups`, whose settings may be set anew at any time).

    Raises ValueError for no parameters, one given twice, and settings unknown or out of range;
    TypeError for anything but Values.
    """

    rule: rules.Rule

    def __init__(self, parameters: Iterable[Any], **defaults: Any) -> None:
        try:
            given = list(parameters)
        except TypeError:
            raise TypeError(
                f"an optimiser takes model.parameters(), not a {type(parameters).__name__}"
            ) from None
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: list[State] = []
        for group in given if given and isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)
        if not self.parameters():
            raise ValueError("an optimiser needs parameters, and this list is empty")

    @property
    def slots(self) -> int:
        """How many numbers are kept beside each parameter."""
        return len(rules.slot_names(type(self).rule))

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; what `group` does not set is as by default.

        Raises what the making of an optimiser does, and leaves this one as it was then.

        >>> a, b = Value(1.0), Value(1.0)
        >>> optimizer = SGD([a], lr=0.1)
        >>> optimizer.add_param_group({"params": [b], "lr": 0.2})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.2]
        """
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f'a group is a dict with "params" and settings, not {group!r}')
        unknown = set(group) - {"params", "initial_lr", *self.defaults}
        if unknown:
            raise ValueError(f"{type(self).__name__} has no setting {sorted(unknown)}")
        params = group["params"]
        values = [params] if isinstance(params, Value) else list(params)
        for p in values:
            if not isinstance(p, Value):
                raise TypeError(f"an optimiser moves Values, not a {type(p).__name__}: {p!r}")
        if len({*values, *self.parameters()}) != len(values) + len(self.parameters()):
            raise ValueError("a parameter is given twice, and would be moved twice in a step")
        made = {**self.defaults, **group, "params": values}
        self._check(made)
        self.param_groups.append(made)
        self.state.append(self._new_state(made))

    def _check(self, group: dict[str, Any]) -> None:
        """Raise for settings out of range: a number is at least 0, unless it is said otherwise."""
        for name in self.defaults:
            number = group[name]
            if isinstance(number, tuple | list):
                continue
            if not isinstance(number, int | float | np.number):
                raise TypeError(f"{type(self).__name__}'s {name} is a number, not {number!r}")
            if not number >= 0.0 and name != "dampening":
                raise ValueError(
                    f"{type(self).__name__} needs {name} to be at least 0, not {number}"
                )

    def _new_state(self, group: dict[str, Any]) -> State:
        return State(np.zeros((self.slots, len(group["params"]))))

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the gradients to 0. `set_to_none` is accepted for PyTorch's sake."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = 0.0

    def parameters(self) -> list[Value]:
        """Return the Values of all groups, in their order."""
        return [p for group in self.param_groups for p in group["params"]]

    def step(self) -> None:
        """Move every parameter once, by its `grad`."""
        values = self.parameters()
        theta = np.array([p.data for p in values])
        self.update(theta, np.array([p.grad for p in values]))
        for p, number in zip(values, theta.tolist(), strict=True):
            p.data = number

    def update(self, theta: Array, g: Array) -> None:
        """Move numbers of all `parameters`, an array, in place by their gradient, once."""
        first = 0
        for group, state in zip(self.param_groups, self.state, strict=True):
            last = first + len(group["params"])
            part = slice(first, last)
            settings = self.settings(group, np.array([state.steps]))[0]
            rules.applied(type(self).rule, theta[part], g[part], state.slots, settings)
            state.steps += 1
            first = last

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return what the rule is told of a group in some updates, one row each.

        `steps` says of each how many updates there were before it. The group's settings may be
        arrays too, with one number an update.
        """
        raise TypeError(f"{type(self).__name__} defines no settings")


def _rows(steps: Array, *columns: Any) -> Array:
    """Settings as rows, one for each of the steps."""
    rows = np.empty((len(steps), len(columns)))
    for k, column in enumerate(columns):
        rows[:, k] = column
    return rows


def _sign(group: dict[str, Any]) -> float:
    """What the gradient is multiplied by, so that the rule goes down."""
    return -1.0 if group["maximize"] else 1.0


class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum: see `rules.sgd`.

    Raises ValueError for settings out of range.

    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> SGD([w], lr=0.1).step()
    >>> f"{w.data:.1f}"
    '0.7'
    """

    rule = staticmethod(rules.sgd)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] <= 0.0 or group["dampening"] != 0.0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        return _rows(
            steps,
            _sign(group),
            group["weight_decay"],
            group["lr"],
            group["momentum"],
            np.where(steps == 0, 1.0, 1.0 - group["dampening"]),
            group["nesterov"],
        )


class Adam(Optimizer):
    """Adam, with AMSGrad's maximum if `amsgrad` is true: see `rules.adam`.

    `weight_decay` adds to the gradient; with `decoupled_weight_decay` it shrinks the parameters
    instead, as `AdamW` does. Raises ValueError for settings out of range.

    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> Adam([w], lr=0.1).step()
    >>> f"{w.data:.1f}"
    '0.9'
    """

    rule = staticmethod(rules.adam)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"{type(self).__name__}'s betas are two numbers, not {betas!r}")
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{type(self).__name__} needs betas from 0 to below 1, not {betas}")

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update: the bias corrections are in them."""
        beta1, beta2 = group["betas"]
        # powers of Python's: NumPy's may differ from one length of array to another
        correction1 = np.array([1.0 - beta1**k for k in (steps + 1).tolist()])
        correction2 = np.array([1.0 - beta2**k for k in (steps + 1).tolist()])
        decay = group["weight_decay"]
        decoupled = group["decoupled_weight_decay"]
        return _rows(
            steps,
            _sign(group),
            0.0 if decoupled else decay,
            1.0 - group["lr"] * decay if decoupled else 1.0,
            1.0 - beta1,
            beta2,
            1.0 - beta2,
            group["lr"] / correction1,
            np.sqrt(correction2),
            group["eps"],
            group["amsgrad"],
        )


class AdamW(Adam):
    """Adam with a weight decay that does not pass through its moments.

    Raises ValueError for settings out of range.

    >>> w = Value(1.0)  # no gradient: only the decay is left
    >>> AdamW([w], lr=0.1, weight_decay=0.5).step()
    >>> f"{w.data:.2f}"
    '0.95'
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )


class RMSprop(Optimizer):
    """Steps over a running root mean square of the gradient: see `rules.rmsprop`.

    With `centered` it is over an estimate of the gradient's standard deviation. Raises ValueError
    for settings out of range.

    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> RMSprop([w], lr=0.01).step()
    >>> f"{w.data:.1f}"
    '0.9'
    """

    rule = staticmethod(rules.rmsprop)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        return _rows(
            steps,
            _sign(group),
            group["weight_decay"],
            group["lr"],
            group["alpha"],
            1.0 - group["alpha"],
            group["eps"],
            group["momentum"],
            group["centered"],
        )


class Adagrad(Optimizer):
    """Steps over the root of the sum of all squared gradients: see `rules.adagrad`.

    The rate of update k is lr / (1 + k * lr_decay). Raises ValueError for settings out of range.

    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> Adagrad([w], lr=0.1).step()
    >>> f"{w.data:.1f}"
    '0.9'
    """

    rule = staticmethod(rules.adagrad)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )

    def _new_state(self, group: dict[str, Any]) -> State:
        state = super()._new_state(group)
        state.slots[:] = group["initial_accumulator_value"]
        return state

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        return _rows(
            steps,
            _sign(group),
            group["weight_decay"],
            group["lr"] / (1.0 + steps * group["lr_decay"]),
            group["eps"],
        )
