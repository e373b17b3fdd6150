"""One update of all parameters: L2 is added to the gradient, it is clipped, the optimiser moves.

`Update.step` does so on arrays, once. Training loops do the same in machine code made of the
optimiser's rule (`engine.compiled.updates`), with the numbers that it works on laid out by
`Update.slots` and `Update.settings`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.compiled.updates import factor, translates
from nn.optim.base import Evaluate, Optimizer
from nn.optim.rules import Array, Rule


class Update:
    """What happens to the parameters of an optimiser in every update of a training run.

    `l2` has a number for each parameter, the strength of its penalty l2/2 · w², or is None. The
    gradient, the penalty's included, is scaled to a norm of at most `clip_norm`, unless that is
    None, as `clip_grad_norm_` does it.
    """

    def __init__(
        self, optimizer: Optimizer, *, l2: Array | None = None, clip_norm: float | None = None
    ) -> None:
        optimizer.try_rule()
        self.optimizer, self.l2 = optimizer, l2
        self.clip_norm = math.inf if clip_norm is None else clip_norm

    def step(self, theta: Array, gradient: Array, loss: float, evaluate: Evaluate) -> float:
        """Update `theta` in place, and leave in `gradient` what it was moved by; return the
        penalty at the numbers before.

        `loss` is without it, and so is what `evaluate` gives of the same batch at other numbers.
        """

        def with_penalty(theta: Array) -> tuple[float, Array]:
            loss, gradient = evaluate(theta)
            return loss + self._penalise(theta, gradient), gradient

        with np.errstate(all="ignore"):
            penalty = self._penalise(theta, gradient)
            self.optimizer.update(theta, gradient, loss + penalty, with_penalty)
        return penalty

    def _penalise(self, theta: Array, gradient: Array) -> float:
        """Return the penalty, after its gradient was added, and the sum clipped, in place."""
        if self.l2 is not None:
            gradient += self.l2 * theta
        if self.clip_norm < math.inf:
            gradient *= factor(float(np.linalg.norm(gradient)), self.clip_norm)
        return self.penalty(theta)

    def penalty(self, theta: Array) -> float:
        """l2/2 · Σ w², which is part of the loss."""
        return 0.0 if self.l2 is None else 0.5 * float(np.dot(self.l2 * theta, theta))

    # --- the same in a training loop ---

    def can_loop(self, dtype: Any) -> bool:
        """Whether this optimiser has a `rule` that machine code can be made of."""
        rule = type(self.optimizer).rule
        return rule is not None and translates(rule, np.dtype(dtype).name)

    @property
    def rule(self) -> Rule:
        """The optimiser's rule: see `engine.compiled.updates` for what it is told."""
        rule = type(self.optimizer).rule
        assert rule is not None  # asked for where it `can_loop`
        return rule

    def slots(self, dtype: Any) -> Array:
        """The numbers beside the parameters, flat: their L2, then each group's slots."""
        parts = [] if self.l2 is None else [self.l2]
        parts += [state.slots.ravel() for state in self.optimizer.state]
        return np.concatenate(parts).astype(dtype)

    def take(self, slots: Array, done: int) -> None:
        """Have the optimiser go on from what `done` updates in a loop have made of the slots."""
        first = 0 if self.l2 is None else len(self.l2)
        for state in self.optimizer.state:
            last = first + state.slots.size
            state.slots[:] = slots[first:last].reshape(state.slots.shape)
            state.steps += done
            first = last

    def settings(self, count: int, planned: Sequence[dict[str, Array]] | None = None) -> Array:
        """What `updates` is told of `count` updates, one row each.

        `planned` has for each group what a schedule sets in these updates: see
        `LRScheduler.ahead`.
        """
        optimizer, last = self.optimizer, 0
        parts = [[0.0, self.clip_norm, self.l2 is not None, len(optimizer.param_groups)]]
        rows = [np.tile(np.array(parts, dtype=np.float64), (count, 1))]
        planned = planned or [{}] * len(optimizer.param_groups)
        for group, state, plan in zip(
            optimizer.param_groups, optimizer.state, planned, strict=True
        ):
            own = optimizer.settings({**group, **plan}, state.steps + np.arange(count))
            last += len(group["params"])
            rows += [np.tile([float(last), float(own.shape[1])], (count, 1)), own]
        return np.concatenate(rows, axis=1)
