"""Optimisers with PyTorch's names, defaults and order of operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import Value
from nn.optim import rules


@dataclass
class State:
    """What an optimiser keeps of a group: one row of numbers a slot, and how many updates."""

    slots: rules.Array
    steps: int = 0


class Optimizer:
    """The base of optimisers: parameters, and the numbers that steer their steps.

    An optimiser has a `rule` (see `rules`), how many `slots` of numbers it keeps beside each
    parameter, and `settings` for the rule. `parameters` is a list of Values, or a list of dicts
    with such a list as "params" and with settings of their own (`param_groups`). Raises
    ValueError for no parameters or one given twice, TypeError for anything but Values.
    """

    rule: rules.Rule
    slots: int = 0

    def __init__(self, parameters: Iterable[Any], **defaults: Any) -> None:
        try:
            given = list(parameters)
        except TypeError:
            raise TypeError(
                f"an optimiser takes model.parameters(), not a {type(parameters).__name__}"
            ) from None
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = []
        for group in groups:
            unknown = set(group) - {"params", *defaults}
            if unknown:
                raise ValueError(f"{type(self).__name__} has no setting {sorted(unknown)}")
            self.param_groups.append({**defaults, **group, "params": list(group["params"])})
        values = [p for group in self.param_groups for p in group["params"]]
        if not values:
            raise ValueError("an optimiser needs parameters, and this list is empty")
        for p in values:
            if not isinstance(p, Value):
                raise TypeError(f"an optimiser moves Values, not a {type(p).__name__}: {p!r}")
        if len(set(values)) != len(values):
            raise ValueError("a parameter is given twice, and would be moved twice in a step")
        self.state = [self._new_state(len(group["params"])) for group in self.param_groups]

    def _new_state(self, count: int) -> State:
        return State(np.zeros((self.slots, count)))

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

    def update(self, theta: rules.Array, g: rules.Array) -> None:
        """Move numbers of all `parameters`, an array, in place by their gradient, once."""
        first = 0
        for group, state in zip(self.param_groups, self.state, strict=True):
            last = first + len(group["params"])
            part, settings = slice(first, last), self.settings(group)
            rules.applied(type(self).rule, theta[part], g[part], state.slots, state.steps, settings)
            state.steps += 1
            first = last

    def settings(self, group: dict[str, Any]) -> rules.Array:
        """Return what the rule is told of a group."""
        raise TypeError(f"{type(self).__name__} defines no settings")


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
    slots = 1

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        for name, number in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if not number >= 0.0:
                raise ValueError(f"SGD needs a {name} of at least 0, not {number}")
        if nesterov and (momentum <= 0.0 or dampening != 0.0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")
        super().__init__(
            parameters,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def settings(self, group: dict[str, Any]) -> rules.Array:
        """Return lr, momentum, dampening, weight_decay, nesterov."""
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        return np.array([float(group[name]) for name in names])
