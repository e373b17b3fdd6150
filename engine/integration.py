"""Solutions of differential equations, differentiated by their own steps or by the adjoint.

dy/dt = f(t, y, p) is integrated by Runge-Kutta methods, in steps of one size, or in steps chosen by
an estimate of the error. Derivatives are those of the steps that were taken, whose sizes count as
constants; or those that the adjoint equation gives, integrated backwards from each time to the one
before, which keeps nothing of the steps (Chen et al. 2018, Neural ordinary differential equations).
The adjoint equation is integrated by the same function, so that derivatives of any order follow.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

from engine import modes
from engine.calculus import (
    captured_in,
    is_traced,
    own_node,
    pulled_back,
    recorded_args,
    ruled,
)
from engine.errors import GraphError, one_of, whole
from engine.functions import FUNCTIONS, Number, clamp, dot, maximum, minimum, where
from engine.iteration import is_met, scan, where_is, while_loop
from engine.solutions import EPSILON, Numbers, Posed, as_operands, now, number_of, numbers_of, told
from engine.trees import flatten
from engine.value import Value, to_float

# How a stage, and in the end the step, is made of the slopes before it.
_Rows = tuple[tuple[float, ...], ...]
_CLASSICAL: _Rows = ((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
# Dormand and Prince 1980, A family of embedded Runge-Kutta formulae, table 2: of order 5 and 4.
_DORMAND_PRINCE: _Rows = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# The result of order 5 less that of order 4, whose last slope is the first of the next step.
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_SMALLEST = 16.0 * EPSILON  # step, relative to the time
_LEAST = sys.float_info.min  # error that is allowed

Slope = Callable[[Number, Numbers], Numbers]


def integrate(
    f: Callable[..., Any],
    y0: Any,
    t: Sequence[Number],
    *parameters: Any,
    steps: int | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    max_steps: int = 10_000,
    derivative: Literal["steps", "adjoint"] = "steps",
) -> list[Any]:
    """Return y at the times `t`, where ``dy/dt = f(t, y, *parameters)`` and y is `y0` at the first.

    y is a number or a structure of them. With `steps` there are so many steps of the classical
    Runge-Kutta method between two times; without, Dormand and Prince's method chooses them, so that
    each step's error is within ``atol + rtol * |y|``, root mean square, and at most `max_steps`
    between two times. In a compiled program steps are one loop.

    Derivatives go through the steps; with ``derivative="adjoint"`` they are those of the adjoint
    equation, whose memory does not grow with the number of steps. It goes back in time along y,
    which where solutions draw together is less exact, or impossible, unless `t` has more times: at
    each it begins anew. What a compiled program's own `grad` gives goes through the steps in both
    cases; `engine.grad` of an integral within a program takes them one by one, but for the adjoint.

    Raises ValueError for times that do not increase and options out of range; RuntimeError where
    the steps become too small or too many, the slope is not finite, or there is no way back for the
    adjoint; TypeError and ValueError for an f whose result has not the structure of y, or that
    keeps state or draws random numbers.

    >>> decay = lambda t, y, k: -k * y
    >>> f"{integrate(decay, 1.0, [0.0, 1.0], 2.0, rtol=1e-9)[-1]:.6f}"
    '0.135335'
    """
    times = _times(t)
    steps = None if steps is None else whole("integrate's steps", steps)
    if not (rtol >= 10.0 * EPSILON and atol >= 0.0):
        raise ValueError(
            f"integrate's rtol is {10.0 * EPSILON:.1e} or more, which is what rounding allows, "
            f"and its atol is not negative; they are {rtol!r} and {atol!r}"
        )
    one_of("integrate's derivative", derivative, "steps", "adjoint")
    options = _Options(steps, rtol, atol, whole("integrate's max_steps", max_steps))
    problem = _Problem(options, f, y0, parameters, times[0])
    return problem.at(times, adjoint=derivative == "adjoint")


class _Options(NamedTuple):
    steps: int | None
    rtol: float
    atol: float
    max_steps: int


class _Problem(Posed):
    """dy/dt = f(t, y, p), on flat lists of numbers, and how to integrate it."""

    def __init__(self, options: _Options, *posed: Any) -> None:
        super().__init__("integrate", *posed)
        self.options = options

    def at(self, times: list[Number], *, adjoint: bool) -> list[Any]:
        """y at these times."""
        found = [self.start]
        if not adjoint:
            slope = functools.partial(self.slope, given=self.given)
            found += self._integrated(slope, self.start, times)
        elif any(isinstance(t, Value) for t in times):
            raise TypeError(
                'integrate with derivative="adjoint" takes times that are numbers, not Values; the '
                'derivative by a time needs derivative="steps"'
            )
        else:
            for before, after in itertools.pairwise(times):
                found.append(_Interval(self, found[-1], before, after).results())
        return [self.rebuild(ys) for ys in found]

    def slope(self, t: Number, ys: Numbers, given: Numbers) -> Numbers:
        """dy/dt."""
        return self.result(ys, given, t)

    # --- steps ----------------------------------------------------------------------------------

    def _integrated(self, slope: Slope, ys: Numbers, times: list[Number]) -> list[Numbers]:
        """y after each of the intervals between these times."""
        spans = [*itertools.pairwise(times)]
        first, over_span = slope(times[0], ys), self._equally
        start: tuple[Any, ...] = ys, first
        if self.options.steps is None:
            over_span = self._adaptively
            start = ys, first, self._first_step(first, ys, *spans[0])
        return scan(functools.partial(over_span, slope), start, spans)[1]  # type: ignore[no-any-return]

    def _equally(self, slope: Slope, carry: Any, span: tuple[Number, Number]) -> Any:
        """y at the end of a span of time, with the slope there, in steps of one size."""
        (t, end), steps = span, self.options.steps
        assert steps is not None
        h = (end - t) / steps

        def step(carry: Any, i: Number) -> Any:
            ys, first = carry
            slopes, new = _stepped(slope, t + i * h, ys, h, _CLASSICAL, first)
            return (new, slopes[-1]), None

        carry, _ = scan(step, carry, [*map(float, range(steps))])
        return carry, carry[0]

    def _first_step(self, first: Numbers, ys: Numbers, t: Number, end: Number) -> Number:
        """One that changes y by a hundredth (Hairer, Nørsett, Wanner, II.4), or a thousandth of the
        interval."""
        with modes.no_grad():
            size, speed = self._size(ys, ys, ys), self._size(first, ys, ys)
            found, span = 0.01 * FUNCTIONS["div"](size, speed), now(end) - now(t)
            known: Any = (size > 1e-5) & (speed > 1e-5)
            return where(known, minimum(found, span), 1e-3 * span)

    def _size(self, errors: Numbers, ys: Numbers, others: Numbers) -> Number:
        """The root mean square of errors, in units of what is allowed."""
        allowed = [  # something at 0 too, where an error of 0 is none
            maximum(_LEAST, self.options.atol + self.options.rtol * maximum(*map(abs, pair)))
            for pair in zip(map(now, ys), map(now, others), strict=True)
        ]
        ratios = [now(e) / unit for e, unit in zip(errors, allowed, strict=True)]
        size: Number = FUNCTIONS["sqrt"](dot(ratios, ratios) / len(ratios))
        return size

    def _adaptively(self, slope: Slope, carry: Any, span: tuple[Number, Number]) -> Any:
        """y at the end of a span of time, with the slope there and the size of the next step."""
        (ys, first, h), (t, end) = carry, span
        smallest = _SMALLEST * maximum(abs(now(t)), abs(now(end)))

        def step(carry: Any) -> Any:
            t, ys, first, h, count = carry
            last = h >= now(end) - now(t)
            size = where(last, end - t, h)
            slopes, new = _stepped(slope, t, ys, size, _DORMAND_PRINCE, first)
            errors = [now(size) * dot(_ERROR, [*map(now, ks)]) for ks in zip(*slopes, strict=True)]
            error = self._size(errors, ys, new)
            good = error <= 1.0
            # the error of a step is of order 5; a step that gave nan or inf was far too long
            factor = clamp(0.9 * FUNCTIONS["pow"](maximum(error, 1e-9), -0.2), 0.2, 5.0)
            next_h = now(size) * where(error < math.inf, factor, 0.2)
            return (
                where(good, where(last, end, t + size), t),
                [where(good, y, x) for x, y in zip(ys, new, strict=True)],
                [where(good, y, x) for x, y in zip(first, slopes[-1], strict=True)],
                where(good & last, maximum(h, next_h), next_h),
                count + 1.0,
            )

        t, ys, first, h, _ = while_loop(
            lambda c: (now(c[0]) < now(end)) & (c[3] > smallest) & (c[4] < self.options.max_steps),
            step,
            (t, ys, first, h, 0.0),
            limit=self.options.max_steps + 1,
        )
        if not is_met(now(t) >= now(end)):
            self._fail(t, ys, h, smallest)
        return (ys, first, h), ys

    def _fail(self, t: Number, ys: Numbers, h: Number, smallest: Number) -> NoReturn:
        slopes = numbers_of("integrate", self.f, self.numbers_at(ys, t), self.x0)
        at = f"at t = {number_of(t):.6g}, where y = {told(ys)}, {where_is(self.f, None)}"
        if not all(map(math.isfinite, slopes)):
            raise RuntimeError(
                f"integrate: the slope is {told(slopes)} {at}; end before, or write f so that it "
                "is finite there"
            )
        if number_of(h) <= number_of(smallest):
            raise RuntimeError(
                f"integrate: the step fell to {number_of(h):.3g} {at}; y grows without bound "
                "there, or f jumps, or rtol and atol are below rounding"
            )
        raise RuntimeError(
            f"integrate has taken {self.options.max_steps:,} steps and is {at}, with steps of "
            f"{number_of(h):.3g}; if the equation is stiff solve implicit steps by engine.solve, "
            "else allow more max_steps or a larger tolerance"
        )


class _Interval:
    """From one time to the next: results whose derivative is that of the adjoint equation."""

    def __init__(self, problem: _Problem, ys: Numbers, before: Number, after: Number) -> None:
        self._problem, self._ys, self._span = problem, ys, (before, after)
        traced = is_traced()
        given = problem.given if traced else [*map(number_of, problem.given)]
        start = ys if traced else [*map(number_of, ys)]
        slope = functools.partial(problem.slope, given=given)
        with modes.enable_grad() if traced else modes.no_grad():
            self._ends: Numbers = problem._integrated(slope, start, [before, after])[0]
            if not traced:
                self._ends = [*map(number_of, self._ends)]
        self._captured: list[Value] = []
        self._captured = self._pulled(before, start, [0.0] * len(ys), given, check=False)[2]

    def results(self) -> Numbers:
        """y at the end: each a node whose operands are y at the beginning, and what f reads."""
        operands = as_operands((*self._ys, *self._problem.given, *self._captured))
        if all(operand is None for operand, _ in operands):
            return self._ends
        return [self._node(k, operands) for k in range(len(self._ends))]

    def _node(self, k: int, operands: Sequence[tuple[Value | None, float]]) -> Value:
        pullback = functools.partial(self._pull_back, k)
        return ruled("integrate", self._ends[k], operands, pullback)

    def _pulled(
        self, t: Number, ys: Numbers, adjoints: Numbers, given: Numbers, *, check: bool = True
    ) -> tuple[Numbers, Numbers, list[Value]]:
        """f, what it passes back to y, to what it is given and to what it reads besides."""
        with modes.enable_grad(), modes.scope("integrate"):
            mark = modes.state.scope
            inputs = [own_node(x) for x in (*ys, *given)]
            slopes = self._problem.slope(t, inputs[: len(ys)], inputs[len(ys) :])
            captured = captured_in(slopes, inputs, mark)
        if check and not {*captured} <= {*self._captured}:
            raise GraphError(
                f"integrate's function reads a Value at t = {number_of(t):.6g} that it did not "
                f"read at the beginning, {where_is(self._problem.f, None)}; give it as a parameter"
            )
        recorded = modes.state.recording or is_traced()
        stop = [*inputs, *self._captured]
        found = pulled_back(zip(slopes, adjoints, strict=True), stop, recorded)
        passed = [0.0 if g is None else g + 0.0 for g in found]
        return (slopes if recorded else [*map(number_of, slopes)]), passed, captured

    def _pull_back(
        self, k: int, args: Sequence[Number], node: Value, adjoint: Number
    ) -> Sequence[Number | None]:
        """Integrate the adjoint equation, in -t: y, its adjoint, and what is passed to the rest."""
        problem, n, recorded = self._problem, len(self._ys), isinstance(adjoint, Value)
        numbers, operands = recorded_args(node)[1:], node._operands()[1:]
        ends = self._ends
        if recorded:
            ends = [node if j == k else self._node(j, operands) for j in range(n)]
        else:
            numbers = [*map(number_of, numbers)]  # type: ignore[assignment]
        given = numbers[n : n + len(problem.given)]

        def backwards(s: Number, state: Numbers, *given: Number) -> Numbers:
            slopes, passed, _ = self._pulled(-s, state[:n], state[n : 2 * n], [*given])
            return [*(-slope for slope in slopes), *passed]

        unit = [float(j == k) for j in range(n)]
        state = [*ends, *unit, *[0.0] * (len(numbers) - n)]
        before, after = self._span
        with modes.enable_grad() if recorded else modes.no_grad():
            try:
                found = integrate(
                    backwards,
                    state,
                    [-after, -before],
                    *given,
                    **problem.options._asdict(),
                    derivative="adjoint" if recorded else "steps",
                )[-1]
            except GraphError:  # a RuntimeError too
                raise
            except RuntimeError as error:
                raise self._no_way_back(str(error)) from None
        off = maximum([abs(now(x) - now(y)) for x, y in zip(found[:n], numbers[:n], strict=True)])
        size = maximum([abs(now(x)) for x in (*numbers[:n], *ends)])
        if not is_met(off <= 0.01 * size + 1e3 * problem.options.atol):
            raise self._no_way_back(f"it comes to y = {told(found[:n])}, not {told(numbers[:n])}")
        times = FUNCTIONS["pass_on"] if recorded else FUNCTIONS["mul"]
        return [times(adjoint, x) for x in found[n:]]

    def _no_way_back(self, reason: str) -> RuntimeError:
        before, after = map(number_of, self._span)
        return RuntimeError(
            f"integrate's adjoint finds no way back from t = {after:.6g} to t = {before:.6g}, "
            f"{where_is(self._problem.f, None)}: solutions draw together there, and can't be told "
            f"apart on the way back; give more times in t, at each of which it begins anew, or "
            f'derivative="steps". What it met: {reason}'
        )


def _stepped(
    slope: Slope, t: Number, ys: Numbers, h: Number, rows: _Rows, first: Numbers
) -> tuple[list[Numbers], Numbers]:
    """The slopes of the stages of a step, and y after it, with the slope there as the last."""
    slopes = [first]
    for row in rows:
        told = [(a, ks) for a, ks in zip(row, slopes, strict=True) if a != 0.0]
        weights, columns = zip(*told, strict=True)
        new = [y + h * dot(weights, ks) for y, *ks in zip(ys, *columns, strict=True)]
        slopes.append(slope(t + math.fsum(row) * h, new))
    return slopes, new


# --- what can be wrong --------------------------------------------------------------------------


def _times(t: Any) -> list[Number]:
    times, _ = flatten(t)
    times = [x if isinstance(x, Value) else to_float(x) for x in times]
    if len(times) < 2:
        raise ValueError(
            f"integrate takes two times or more, the first of them that of y0, not {t!r}"
        )
    if not all(math.isfinite(number_of(x)) for x in times):
        raise ValueError(f"integrate's times are finite, not {told(times)}")
    for i, (before, after) in enumerate(itertools.pairwise(times)):
        if not after > before:
            raise ValueError(
                f"integrate's times increase, but t[{i + 1}] = {number_of(after)!r} is not above "
                f"t[{i}] = {number_of(before)!r}; to go back in time, integrate -f in -t"
            )
    return times
