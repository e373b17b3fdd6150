"""Checking derivatives: numerical differences against the engine's own.

`gradcheck` is for tests of functions that use Values, and of operations made by `custom_op`. It
says which input and which node is at fault, and tells a wrong derivative from a kink. It takes one
step, as PyTorch's does, and loads no NumPy; `testing.assert_gradients` finds the steps itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.calculus import grad, jacobian
from engine.differences import Slopes, slopes
from engine.errors import GradcheckError, check_number, told
from engine.functions import sum
from engine.graph import topological_order
from engine.modes import no_grad
from engine.signatures import check_arguments, check_transform
from engine.sweep import partials_of
from engine.trees import flatten
from engine.value import Value, computed_leaf, to_float


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *others: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    order: int = 1,
) -> bool:
    """Return True if the derivatives of `func` agree with central differences.

    `inputs` is a tuple of arguments (numbers or nested structures of numbers), or the only
    argument. The step for an input x is ``eps * max(1, |x|)``; numbers agree if they differ by
    at most ``atol + rtol * |numerical|``. With `order` 2 the second derivatives are checked too.

    A disagreement raises GradcheckError, or returns False without `raise_exception`. The error
    names the input, both numbers, and the first node whose own derivative is wrong. Where the
    slopes from the left and from the right differ, there is no derivative to agree with, and the
    error says that the input sits at a kink.

    >>> gradcheck(lambda x, y: (x * y).tanh(), (0.5, 2.0), order=2)
    True
    """
    check_transform("gradcheck", func)
    arguments = _arguments("gradcheck", inputs, others)
    for name, number in (("eps", eps), ("atol", atol), ("rtol", rtol), ("order", order)):
        check_number(name, number)
    if order not in (1, 2):
        raise ValueError(f"order is 1 or 2, not {order}")
    try:
        _Check(func, arguments, eps, atol, rtol).run()
        if order == 2:
            gradgradcheck(func, arguments, eps=eps, atol=atol, rtol=rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *others: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Return True if the second derivatives of `func` agree with differences of the first.

    The outputs are weighted with different numbers and summed, and the gradient of this sum is
    checked as `gradcheck` does.

    >>> gradgradcheck(lambda x: [x**3, x.exp()], 0.5)
    True
    """
    arguments = _arguments("gradgradcheck", inputs, others)

    def weighted(*args: Any) -> Any:
        outputs = flatten(func(*args))[0]
        return sum((1.0 + 0.25 * i) * y for i, y in enumerate(outputs))

    gradient = grad(weighted, tuple(range(len(arguments))))
    return gradcheck(
        gradient, arguments, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )


def _arguments(name: str, inputs: Any, others: tuple[Any, ...]) -> tuple[Any, ...]:
    if others:
        raise TypeError(
            f"{name} takes the inputs as one tuple: {name}(f, (x, y)); steps and tolerances are "
            "given by name, as in eps=1e-6"
        )
    return inputs if isinstance(inputs, tuple) else (inputs,)


@dataclass
class _Check:
    func: Callable[..., Any]
    arguments: tuple[Any, ...]
    eps: float
    atol: float
    rtol: float

    def run(self) -> None:
        self.numbers, self.rebuild = flatten(list(self.arguments))
        self.numbers = [to_float(x.data if isinstance(x, Value) else x) for x in self.numbers]
        centre = self._outputs(self.numbers)
        analytic = self._analytic()
        for i, x in enumerate(self.numbers):
            h = self.eps * max(1.0, math.fabs(x))
            above, below = (self._outputs(self._moved(i, at)) for at in (x + h, x - h))
            for o, (down, middle, up) in enumerate(zip(below, centre, above, strict=True)):
                found, given, text = slopes(x, h, down, middle, up), analytic[o][i], ""
                jumps = not self._agree(found.left, found.right)
                jumps = jumps and self._jumps_as_far(o, i, 8.0 * h, found)
                if not self._agree(given, found.central):
                    text = f"the engine's derivative is {given!r}, the numerical one "
                    text += f"{found.central!r}. {'' if jumps else self._fault(centre)}"
                if jumps:
                    text += (
                        f"The input sits at a kink: the slope is {found.left:.6g} from the left "
                        f"and {found.right:.6g} from the right. Check the function at another point"
                    )
                if text:
                    raise GradcheckError(f"output {o} by input {i} (= {x!r}): {text}")

    def _moved(self, i: int, x: float) -> list[float]:
        return [*self.numbers[:i], x, *self.numbers[i + 1 :]]

    def _outputs(self, numbers: Sequence[float]) -> list[float]:
        outputs = flatten(self._call(numbers))[0]
        return [y.data if isinstance(y, Value) else float(y) for y in outputs]

    def _call(self, numbers: Sequence[float]) -> Any:
        args = self.rebuild([computed_leaf(x) for x in numbers])
        try:
            return self.func(*args)
        except TypeError as error:
            check_arguments(self.func, args, {}, error)
            raise

    def _analytic(self) -> list[list[float]]:
        """The derivative of each output by each input."""

        def flat(*args: Any) -> list[Any]:
            return flatten(self.func(*args))[0]

        every = tuple(range(len(self.arguments)))
        with no_grad():  # plain numbers, whatever Values the function reads
            rows = jacobian(flat, every)(*self.rebuild(self.numbers))
        return [flatten(row)[0] for row in rows]

    def _agree(self, a: float, b: float) -> bool:
        return math.fabs(a - b) <= self.atol + self.rtol * math.fabs(b)

    def _jumps_as_far(self, o: int, i: int, h: float, found: Slopes) -> bool:
        """Whether the slope jumps as far over a longer step: curvature and noise don't."""
        x = self.numbers[i]
        longer = slopes(x, h, *(self._outputs(self._moved(i, at))[o] for at in (x - h, x, x + h)))
        return 0.5 < (longer.right - longer.left) / (found.right - found.left) < 2.0

    def _fault(self, centre: Sequence[float]) -> str:
        """What is wrong: the function, or the first node whose own differences disagree."""
        if not all(map(math.isfinite, centre)):
            return "The function is not finite there"
        if self._outputs(self.numbers) != centre:
            return "The function gives another result at each call"
        outputs = flatten(self._call(self.numbers))[0]
        fault = first_fault([y for y in outputs if isinstance(y, Value)], self._disagreement)
        if fault is not None:
            return fault[1]
        return (
            "Each node's own derivative is right: does the function leave the graph, by .data, "
            "detach or float arithmetic, or jump there?"
        )

    def _disagreement(self, f: Callable[[float], float], x: float, given: float) -> float | None:
        h = self.eps * max(1.0, math.fabs(x))
        numerical = slopes(x, h, f(x - h), f(x), f(x + h)).central
        return None if self._agree(given, numerical) else numerical


def first_fault(
    outputs: Sequence[Value],
    disagreement: Callable[[Callable[[float], float], float, float], float | None],
) -> tuple[Value, str] | None:
    """The first node behind `outputs` whose own partial is wrong, and a sentence that says so, if
    there is one.

    ``disagreement(f, x, partial)`` is the slope of f at x as differences have it, or None where it
    agrees with the partial.
    """
    for node in topological_order(outputs):
        op = node.op
        if op is None or op.forward is None or op.pullback is not None:
            continue
        operands = node._operands()
        numbers = [x for _, x in operands]
        for k, p in enumerate(partials_of(node, op)):
            if operands[k][0] is None:
                continue
            along = partial(_along, op.forward, numbers[:k], numbers[k + 1 :])
            numerical = disagreement(along, numbers[k], p or 0.0)
            if numerical is not None:
                label = f" labelled {node.label!r}" if node.label else ""
                return node, (
                    f"The first node at fault is {told(op.name, operands)[0]}{label}: its partial "
                    f"by operand {k} is {p or 0.0!r}, differences give {numerical!r}"
                )
    return None


def _along(
    forward: Callable[..., float], before: Sequence[float], after: Sequence[float], x: float
) -> float:
    """The forward of an operation as a function of one operand."""
    return forward(*before, x, *after)
