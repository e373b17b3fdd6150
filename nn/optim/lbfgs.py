"""L-BFGS: steps along directions that the last few gradients suggest, for losses without noise.

An update evaluates the loss several times; all of it works on flat arrays. The order of operations,
the conditions under which it ends and the constants are PyTorch's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from engine.errors import whole
from engine.leaves import numbers_of, set_leaves
from nn.optim.base import Array, Evaluate, Optimizer, settings_of

_LEAST_CURVATURE = 1e-10  # of a step that is remembered
_DECREASE, _FLATTER = 1e-4, 0.9  # Wolfe's conditions: c1 and c2
# steps s, how the gradient changed by each, y, and 1 / (y @ s)
_Pairs = deque[tuple[Array, Array, Any]]


class LBFGS(Optimizer):
    """L-BFGS (Nocedal & Wright 2006, algorithms 7.4 and 7.5).

    One `step` makes up to `max_iter` iterations with up to `max_eval` evaluations of the loss
    (None: 5/4 of `max_iter`), until no gradient is above `tolerance_grad`, or step and loss change
    by less than `tolerance_change`. With `line_search_fn="strong_wolfe"`, which is what one wants
    nearly always, lengths of steps are searched for, else they are `lr`. `history_size` steps are
    remembered.

    The loss has to be the same function at every evaluation. So `nn.minimize` takes L-BFGS, and
    `nn.fit` on all examples at once; a loop of one's own gives `step` a function that sets the
    gradients to 0, computes the loss, calls its backward() and returns it.

    Raises ValueError for settings out of range, and for groups of parameters: there is one.

    >>> from engine import Value
    >>> w = Value(1.0)
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (w - 3.0) ** 4
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).data  # the loss before
    16.0
    >>> f"{w.data:.1f}"
    '3.0'
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None:
            max_eval = whole("max_iter", max_iter, 0) * 5 // 4
        super().__init__(parameters, **settings_of(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        if self.param_groups and self.param_groups[0]["params"] is not group["params"]:
            raise ValueError("LBFGS takes one list of parameters, and no groups")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                f'line_search_fn is None or "strong_wolfe", not {group["line_search_fn"]!r}'
            )
        super()._check({**group, "line_search_fn": 0})
        for name in ("max_iter", "max_eval", "history_size"):
            whole(name, group[name], 0)

    def _slot_names(self) -> tuple[str, ...]:
        places = range(int(self.defaults["history_size"]))
        history = [f"{name}.{k}" for name in ("old_stps", "old_dirs") for k in places]
        return ("prev_flat_grad", "last_step", *history)

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Make an update; return what `closure` did first: the loss before."""
        values = self.parameters()

        def evaluate(theta: Array) -> tuple[float, Array]:
            set_leaves(values, theta.tolist())
            loss = closure()
            return float(getattr(loss, "data", loss)), np.array([p.grad for p in values])

        loss = closure()
        theta, g = np.array(numbers_of(values)), np.array([p.grad for p in values])
        self.update(theta, g, float(getattr(loss, "data", loss)), evaluate)
        set_leaves(values, theta.tolist())
        return loss

    @np.errstate(all="ignore")
    def update(
        self, theta: Array, g: Array, loss: float = math.nan, evaluate: Evaluate | None = None
    ) -> None:
        """Move `theta` in place, from its loss and gradient, by evaluations of the same at other
        places."""
        if evaluate is None:
            raise TypeError("LBFGS evaluates the loss several times: use nn.minimize or nn.fit")
        [group], [state] = self.param_groups, self.state
        tolerance, searching = group["tolerance_change"], group["line_search_fn"] is not None
        (last_g, last_step), history = state.slots[:2].copy(), state.slots[2:]
        size = len(history) // 2
        kept = zip(history[:size], history[size:], strict=True)
        pairs: _Pairs = deque([(s, y, 1.0 / (y @ s)) for s, y in kept if y.any()], size)
        evaluations = 1
        for left in reversed(range(group["max_iter"])):
            if np.abs(g).max() <= group["tolerance_grad"]:
                break
            length, before = group["lr"], loss
            if state.steps == 0:
                length *= min(1.0, 1.0 / np.abs(g).sum())
            elif (curvature := last_step @ (g - last_g)) > _LEAST_CURVATURE:
                pairs.append((last_step, g - last_g, 1.0 / curvature))
            direction = _direction(g, pairs)
            state.steps += 1
            last_g, last_step, slope = g, length * direction, g @ direction
            if slope > -tolerance:
                break
            if searching:
                line, start = _Line(evaluate, theta.copy(), direction), _Point(0.0, loss, g, slope)
                found, count = _search(
                    line, start, length, group["max_eval"] - evaluations, tolerance
                )
                loss, g, last_step = found.loss, found.g, found.t * direction
                evaluations += count
            theta += last_step
            if left and not searching:
                loss, g = evaluate(theta.copy())
                evaluations += 1
            still = np.abs(last_step).max() <= tolerance or abs(loss - before) < tolerance
            if still or evaluations >= group["max_eval"]:
                break
        state.slots[:2] = last_g, last_step
        for k, (s, y, _) in enumerate(pairs):  # those from before move to lower places, in order
            state.slots[2 + k], state.slots[2 + size + k] = s, y


def _direction(g: Array, pairs: _Pairs) -> Array:
    """Downwards by an inverse of the Hessian that fits the pairs (algorithm 7.4)."""
    direction, shares = -g, []
    for s, y, rho in reversed(pairs):
        shares.append((s @ direction) * rho)
        direction = direction - shares[-1] * y
    if pairs:
        s, y, _ = pairs[-1]
        direction = direction * ((y @ s) / (y @ y))
    for s, y, rho in pairs:
        direction = direction + (shares.pop() - (y @ direction) * rho) * s
    return direction


class _Point(NamedTuple):
    """What is known of a line at `t`: the loss, its gradient, and its slope along the line."""

    t: Any
    loss: Any
    g: Array
    slope: Any


class _Line(NamedTuple):
    """From a place in a direction."""

    evaluate: Evaluate
    theta: Array
    direction: Array

    def at(self, t: Any) -> _Point:
        loss, g = self.evaluate(self.theta + (t * self.direction).astype(self.theta.dtype))
        return _Point(np.float64(t), np.float64(loss), g, g @ self.direction)


def _search(line: _Line, start: _Point, t: Any, most: int, tolerance: float) -> tuple[_Point, int]:
    """A point of a line where the loss is lower and flatter, by the strong Wolfe conditions, or
    else the lowest that was found; and how many evaluations it took (algorithms 3.5 and 3.6)."""

    def too_high(point: _Point) -> Any:
        return point.loss > start.loss + _DECREASE * point.t * start.slope

    def flat(point: _Point) -> Any:
        return abs(point.slope) <= -_FLATTER * start.slope

    last, new, count = start, line.at(t), 0
    while count < most:  # farther and farther, until such a point lies between two
        between = too_high(new) or (count > 1 and new.loss >= last.loss)
        if not between and flat(new):
            return new, count + 1
        if between or new.slope >= 0.0:
            break
        t = _lowest(last, new, new.t + 0.01 * (new.t - last.t), 10.0 * new.t)
        last, new, count = new, line.at(t), count + 1
    bracket = [last if count < most else start, new]
    low = int(not bracket[0].loss <= bracket[1].loss)
    stuck, longest = False, np.abs(line.direction).max()
    while count < most and not abs(bracket[1].t - bracket[0].t) * longest < tolerance:
        left, right = sorted(bracket, key=lambda point: point.t)
        t, margin = _lowest(left, right, left.t, right.t), 0.1 * (right.t - left.t)
        close = min(right.t - t, t - left.t) < margin
        if close and (stuck or not left.t < t < right.t):  # away from the end it is close to
            t = right.t - margin if abs(t - right.t) < abs(t - left.t) else left.t + margin
            close = False
        stuck = close
        new, count = line.at(t), count + 1
        if too_high(new) or new.loss >= bracket[low].loss:
            bracket[1 - low] = new
            low = int(not bracket[0].loss <= bracket[1].loss)
        elif flat(new):
            return new, count + 1
        else:
            if new.slope * (bracket[1 - low].t - bracket[low].t) >= 0.0:
                bracket[1 - low] = bracket[low]
            bracket[low] = new
    return bracket[low], count + 1


def _lowest(a: _Point, b: _Point, least: Any, most: Any) -> Any:
    """Where the cubic through two points, `a` before `b`, is lowest, within bounds (equation
    3.59); the middle of these where it has no such place."""
    d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0.0:
        return (least + most) / 2.0
    d2 = np.sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2))
    return min(max(t, least), most)
