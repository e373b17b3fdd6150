"""What optimisers have in common: parameters in groups, steps, and a state to save.

An optimiser holds parameters in groups with settings of their own, and tells a rule (`rules`) how
to move them: by `step` from the gradients in the Values, or inside of `nn.fit` on flat arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from engine import Value
from engine.leaves import numbers_of, set_leaves
from nn.optim import rules

Array = rules.Array
Evaluate: TypeAlias = Callable[[Array], tuple[float, Array]]  # a loss and its gradient somewhere


@dataclass
class State:
    """What an optimiser keeps of a group: one row of numbers a slot, and how many updates."""

    slots: Array
    steps: int = 0


def settings_of(given: dict[str, Any]) -> dict[str, Any]:
    """Return what a constructor was told to set, of its local names: all but the parameters."""
    return {name: x for name, x in given.items() if name not in ("self", "parameters", "__class__")}


def rows(steps: Array, *columns: Any) -> Array:
    """Return settings as rows, one for each of the steps."""
    found = np.empty((len(steps), len(columns)))
    for k, column in enumerate(columns):
        found[:, k] = column
    return found


class Optimizer:
    """The base of optimisers: parameters, and the numbers that steer their steps.

    An optimiser has a `rule` (see `rules`), which is compiled with the training; or it has a `step`
    of its own, which moves the parameters by their `grad`, and is called for every update. The rule
    is told the settings, in the order of `defaults`, unless `settings` says more. `parameters` is a
    list of Values, or a list of dicts with such a list as "params" and with settings of their own
    (`param_groups`, whose settings may be set anew at any time).

    Raises ValueError for no parameters, one given twice, and settings unknown or out of range;
    TypeError for anything but Values, for a class with neither rule nor step, and, in an update,
    for a rule that is none.

    >>> class Signs(Optimizer):
    ...     def __init__(self, parameters, lr=0.1):
    ...         super().__init__(parameters, lr=lr)
    ...
    ...     @staticmethod
    ...     def rule(w, g, settings):
    ...         return (w - settings[0] * np.sign(g),)
    >>> w = Value(1.0, label="w")
    >>> (w * 3.0).backward()
    >>> Signs([w]).step()
    >>> w.data
    0.9
    """

    rule: rules.Rule | None = None

    def __init__(self, parameters: Iterable[Any], **defaults: Any) -> None:
        try:
            given = list(parameters)
        except TypeError:
            raise TypeError(
                f"an optimiser takes model.parameters(), not a {type(parameters).__name__}"
            ) from None
        if type(self).rule is None and type(self).step is Optimizer.step:
            raise TypeError(
                f"{type(self).__name__} has neither a rule nor a step of its own; write\n"
                "    def step(self):\n"
                "        for p in self.parameters(): p.data -= 0.1 * p.grad"
            )
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: list[State] = []
        for group in given if given and isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)
        if not self.parameters():
            raise ValueError(
                "an optimiser needs parameters, and this list is empty; those of a module are the "
                "engine.Values among its attributes, as in self.w = engine.Value(0.5)"
            )

    def __repr__(self) -> str:
        """Return the settings of every group, as PyTorch shows them."""
        lines = [f"{type(self).__name__} ("]
        for place, group in enumerate(self.param_groups):
            settings = sorted(name for name in group if name != "params")
            lines += ["", f"Parameter Group {place}"] if place else [f"Parameter Group {place}"]
            lines += [f"    {name}: {group[name]}" for name in settings]
        return "\n".join([*lines, ")"])

    @property
    def slots(self) -> int:
        """How many numbers are kept beside each parameter."""
        return len(self._slot_names())

    def _slot_names(self) -> tuple[str, ...]:
        rule = type(self).rule
        return () if rule is None else rules.slot_names(rule)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; what `group` does not set is as by default.

        Raises what the making of an optimiser does, and leaves this one as it was then.

        >>> a, b = Value(1.0), Value(1.0)
        >>> from nn.optim import SGD
        >>> optimizer = SGD([a], lr=0.1)
        >>> optimizer.add_param_group({"params": [b], "lr": 0.2})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.2]
        """
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f'a group is a dict with "params" and settings, not {group!r}')
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
        """Raise for settings unknown or out of range: most numbers are at least 0."""
        known = {name for own in self.defaults for name in (own, f"initial_{own}")}
        unknown = set(group) - {"params", *known}
        if unknown:
            raise ValueError(f"{type(self).__name__} has no setting {sorted(unknown)}")
        for name in self.defaults:
            number = group[name]
            if name == "betas":  # two numbers
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
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Value]:
        """Return the Values of all groups, in their order."""
        return [p for group in self.param_groups for p in group["params"]]

    def step(self) -> None:
        """Move every parameter once, by its `grad`."""
        values = self.parameters()
        theta = np.array(numbers_of(values))
        self.update(theta, np.array([p.grad for p in values]))
        set_leaves(values, theta.tolist())

    def update(
        self, theta: Array, g: Array, loss: float = math.nan, evaluate: Evaluate | None = None
    ) -> None:
        """Move numbers of all `parameters`, an array, in place by their gradient, once.

        `loss` is that of `theta`, and `evaluate` gives the same batch's anywhere, with its
        gradient, for optimisers that ask for it.
        """
        rule = type(self).rule
        if rule is None:
            self._update_by_step(theta, g)
            return
        first = 0
        for group, state in zip(self.param_groups, self.state, strict=True):
            last = first + len(group["params"])
            part = slice(first, last)
            settings = self.settings(group, np.array([state.steps]))[0]
            self._apply(theta[part], g[part], state.slots, settings)
            state.steps += 1
            first = last

    def try_rule(self) -> None:
        """Apply the rule, if there is one, to numbers of no meaning. Raises TypeError where it is
        none; machine code would not notice."""
        for group in self.param_groups if type(self).rule is not None else ():
            theta, g, slots = np.ones(2), np.ones(2), np.ones((self.slots, 2))
            self._apply(theta, g, slots, self.settings(group, np.array([0]))[0])

    def _apply(self, theta: Array, g: Array, slots: Array, settings: Array) -> None:
        rule = type(self).rule
        assert rule is not None
        try:
            rules.applied(rule, theta, g, slots, settings)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise TypeError(
                f"{type(self).__name__}.rule failed: {error}. A rule is a staticmethod of w, g, "
                "what it keeps beside w, and settings; they are arrays (np.where, np.maximum), and "
                "it returns w moved, and in a tuple after it what it keeps"
            ) from error

    def _update_by_step(self, theta: Array, g: Array) -> None:
        """The same by a `step` of one's own, on the Values."""
        values = self.parameters()
        set_leaves(values, theta.tolist(), g.tolist())
        self.step()
        theta[:] = numbers_of(values)
        for state in self.state:
            state.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all that steps depend on besides parameters and gradients, copied.

        "state" has for each group the number of updates, "step", and under PyTorch's names an
        array with one number a parameter for what is kept; "param_groups" has the settings, with
        the places of the parameters in `parameters()` as "params".

        >>> w = Value(1.0)
        >>> (w * 3.0).backward()
        >>> from nn.optim import Adagrad
        >>> optimizer = Adagrad([w])
        >>> optimizer.step()
        >>> optimizer.state_dict()["state"]
        [{'step': 1, 'sum': array([9.])}]
        """
        names = self._slot_names()
        places = iter(range(len(self.parameters())))
        return {
            "state": [
                {"step": state.steps, **dict(zip(names, state.slots.copy(), strict=True))}
                for state in self.state
            ],
            "param_groups": [
                {**group, "params": [next(places) for _ in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on as the optimiser that `state_dict` is of: take its settings, and what it kept.

        Raises ValueError where groups, numbers of parameters, settings or what is kept differ in
        kind; this optimiser is then as it was.
        """
        name = type(self).__name__
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError('the state of an optimiser is a dict with "state" and "param_groups"')
        given, kept = list(state_dict["param_groups"]), list(state_dict["state"])
        if not len(given) == len(kept) == len(self.param_groups):
            raise ValueError(f"the state has {len(given)} groups, this {name} {len(self.state)}")
        groups, states = [], []
        for place, (own, group, state) in enumerate(
            zip(self.param_groups, given, kept, strict=True)
        ):
            count = len(own["params"])
            if len(group["params"]) != count:
                raise ValueError(
                    f"group {place} has {len(group['params'])} parameters in the state, and {count}"
                    f" in this {name}"
                )
            made = {**own, **group, "params": own["params"]}
            self._check(made)
            groups.append(made)
            states.append(self._state_of(state, place, count))
        self.param_groups[:], self.state[:] = groups, states

    def _state_of(self, kept: dict[str, Any], place: int, count: int) -> State:
        """What `state_dict` tells of a group, as a State."""
        names = self._slot_names()
        if set(kept) != {"step", *names}:
            raise ValueError(
                f"group {place} has {sorted(kept)} in the state, and {type(self).__name__} keeps "
                f"{sorted(['step', *names])}"
            )
        slots = np.zeros((len(names), count))
        for slot, name in zip(slots, names, strict=True):
            numbers = np.asarray(kept[name], dtype=np.float64)
            if numbers.shape != (count,):
                raise ValueError(
                    f"group {place} has {name} of shape {numbers.shape} in the state, and {count} "
                    "parameters"
                )
            slot[:] = numbers
        return State(slots, int(kept["step"]))

    def settings(self, group: dict[str, Any], steps: Array) -> Array:
        """Return what the rule is told of a group in some updates, one row each.

        By default they are the group's settings, in the order of `defaults`. `steps` says of each
        update how many there were before it. The group's settings may be arrays too, with one
        number an update, and a row for each of two betas.
        """
        return rows(steps, *[group[name] for name in self.defaults])
