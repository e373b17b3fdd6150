"""The optimisers, with PyTorch's names, defaults and order of operations.

Each says what may be set, and with what numbers its rule (`rules`) is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from engine.errors import check_number
from nn.optim import rules
from nn.optim.base import Optimizer, State, rows, settings_of
from nn.optim.rules import Array


def _each(function: Callable[[int, float], Any], steps: Array, setting: Any) -> Array:
    """A function of each step's number and a setting. Powers in it are Python's: NumPy's may
    differ from one length of array to another."""
    settings = np.broadcast_to(setting, steps.shape).tolist()
    return np.array([function(k, x) for k, x in zip(steps.tolist(), settings, strict=True)])


def _told(group: dict[str, Any], steps: Array, *settings: Any) -> Array:
    """What a rule is told, one row an update: the sign of the gradient, so that it goes down, and
    the group's settings of these names, or what is computed of them."""
    sign = -1.0 if group["maximize"] else 1.0
    return rows(steps, sign, *(group[x] if isinstance(x, str) else x for x in settings))


class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum: see `rules.sgd`.

    Raises ValueError for settings out of range.

    >>> from engine import Value
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
        super().__init__(parameters, **settings_of(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] <= 0.0 or group["dampening"] != 0.0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        undamped = np.where(steps == 0, 1.0, 1.0 - group["dampening"])
        return _told(group, steps, "weight_decay", "lr", "momentum", undamped, "nesterov")


class _Moments(Optimizer):
    """What Adam and its kin have in common: two betas, of averages that begin at 0."""

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"{type(self).__name__}'s betas are two numbers, not {betas!r}")
        for beta in betas:
            check_number("a beta", beta)
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{type(self).__name__} needs betas from 0 to below 1, not {betas}")

    def _powers(self, group: dict[str, Any], steps: Array) -> Array:
        """beta**k at update k, which is by how much an average is too small: a row a beta."""
        return np.array([_each(lambda k, beta: beta**k, steps + 1, b) for b in group["betas"]])

    def _of_moments(self, group: dict[str, Any]) -> tuple[Any, ...]:
        """The settings that rules of two moments begin with: decay in two ways, and betas."""
        (beta1, beta2), decay = group["betas"], group["weight_decay"]
        both = (0.0, 1.0 - group["lr"] * decay) if group["decoupled_weight_decay"] else (decay, 1.0)
        return (*both, 1.0 - beta1, beta2, 1.0 - beta2)


class Adam(_Moments):
    """Adam, with AMSGrad's maximum if `amsgrad` is true: see `rules.adam`.

    `weight_decay` adds to the gradient; with `decoupled_weight_decay` it shrinks the parameters
    instead, as `AdamW` does. Raises ValueError for settings out of range.

    >>> from engine import Value
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
        super().__init__(parameters, **settings_of(locals()))

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update: the bias corrections are in them."""
        correction1, correction2 = 1.0 - self._powers(group, steps)
        size, root = group["lr"] / correction1, np.sqrt(correction2)
        return _told(group, steps, *self._of_moments(group), size, root, "eps", "amsgrad")


class AdamW(Adam):
    """Adam with a weight decay that does not pass through its moments.

    Raises ValueError for settings out of range.

    >>> from engine import Value
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
        super().__init__(parameters, **settings_of(locals()), decoupled_weight_decay=True)


class Adamax(_Moments):
    """Adam with the largest of the gradient's sizes, fading, for its root mean square: see
    `rules.adamax`.

    Raises ValueError for settings out of range.

    >>> from engine import Value
    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> Adamax([w], lr=0.1).step()
    >>> f"{w.data:.1f}"
    '0.9'
    """

    rule = staticmethod(rules.adamax)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(parameters, **settings_of(locals()))

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        beta1, beta2 = group["betas"]
        size = group["lr"] / (1.0 - self._powers(group, steps)[0])
        return _told(group, steps, "weight_decay", 1.0 - beta1, beta2, size, "eps")


class NAdam(_Moments):
    """Adam with Nesterov's momentum, which grows to beta1 with `momentum_decay`: see `rules.nadam`.

    `weight_decay` adds to the gradient; with `decoupled_weight_decay` it shrinks the parameters
    instead. Raises ValueError for settings out of range.

    >>> from engine import Value
    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> NAdam([w], lr=0.1).step()
    >>> f"{w.data:.2f}"
    '0.89'
    """

    rule = staticmethod(rules.nadam)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(parameters, **settings_of(locals()))

    def _new_state(self, group: dict[str, Any]) -> State:
        state = super()._new_state(group)
        state.slots[self._slot_names().index("mu_product")] = 1.0
        return state

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update: the momenta are in them."""
        decay, (beta1, _) = group["momentum_decay"], group["betas"]

        def momentum(k: int, beta: float) -> Any:
            return beta * (1.0 - 0.5 * 0.96 ** (k * decay))

        momenta = (_each(momentum, steps + k, beta1) for k in (1, 2))
        correction2 = 1.0 - self._powers(group, steps)[1]
        return _told(group, steps, *self._of_moments(group), "lr", *momenta, correction2, "eps")


class RAdam(_Moments):
    """Adam whose first steps are shorter, where the variance is not known well: see `rules.radam`.

    `weight_decay` adds to the gradient; with `decoupled_weight_decay` it shrinks the parameters
    instead. Raises ValueError for settings out of range.

    >>> from engine import Value
    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> RAdam([w], lr=0.1).step()
    >>> f"{w.data:.1f}"
    '0.7'
    """

    rule = staticmethod(rules.radam)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(parameters, **settings_of(locals()))

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update: the rectification is in them."""
        power1, power2 = self._powers(group, steps)
        beta2 = np.asarray(group["betas"][1])
        longest = 2.0 / (1.0 - beta2) - 1.0  # how many gradients the average is of, in the end
        length = longest - 2.0 * (steps + 1) * power2 / (1.0 - power2)
        known = length > 5.0
        ratio = (length - 4.0) * (length - 2.0) * longest
        ratio = ratio / np.where(known, (longest - 4.0) * (longest - 2.0) * length, 1.0)
        size = group["lr"] / (1.0 - power1)
        rectified = np.sqrt(np.where(known, ratio * (1.0 - power2), 0.0))
        return _told(group, steps, *self._of_moments(group), size, rectified, "eps")


class RMSprop(Optimizer):
    """Steps over a running root mean square of the gradient: see `rules.rmsprop`.

    With `centered` it is over an estimate of the gradient's standard deviation, which rounding
    does not bring below 0 (PyTorch's steps are nan then): where a gradient hardly changes, steps
    grow up to lr * gradient / eps. Raises ValueError for settings out of range.

    >>> from engine import Value
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
        super().__init__(parameters, **settings_of(locals()))

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        averaged = ("alpha", 1.0 - group["alpha"], "eps")
        return _told(group, steps, "weight_decay", "lr", *averaged, "momentum", "centered")


class Adagrad(Optimizer):
    """Steps over the root of the sum of all squared gradients: see `rules.adagrad`.

    The rate of update k is lr / (1 + k * lr_decay). Raises ValueError for settings out of range.

    >>> from engine import Value
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
        super().__init__(parameters, **settings_of(locals()))

    def _new_state(self, group: dict[str, Any]) -> State:
        state = super()._new_state(group)
        state.slots[:] = group["initial_accumulator_value"]
        return state

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        rate = group["lr"] / (1.0 + steps * group["lr_decay"])
        return _told(group, steps, "weight_decay", rate, "eps")


class Adadelta(Optimizer):
    """Steps in the parameters' own units, by root mean squares of steps and gradients: see
    `rules.adadelta`.

    Raises ValueError for settings out of range.

    >>> from engine import Value
    >>> w = Value(1.0)
    >>> (w * 3.0).backward()
    >>> Adadelta([w], lr=100.0).step()
    >>> f"{w.data:.2f}"
    '0.68'
    """

    rule = staticmethod(rules.adadelta)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(parameters, **settings_of(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if group["rho"] > 1.0:
            raise ValueError(f"Adadelta needs a rho from 0 to 1, not {group['rho']}")

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return the rule's settings, one row an update."""
        return _told(group, steps, "weight_decay", "lr", "rho", 1.0 - group["rho"], "eps")
