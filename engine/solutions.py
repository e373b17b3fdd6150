"""Solutions of equations, differentiated by the implicit function theorem.

Where F(x, p) = 0, the derivative of x by p is -(dF/dx)⁻¹ dF/dp, however x was found. So iterations
run on plain numbers, and leave no graph; a solution is one node for each unknown, whose rule
evaluates F once more. The rule is made of operations on Values where Values come in, and then
refers to solutions that have this rule, so that derivatives of any order follow. A compiled program
has the iterations as one loop, and after it a Newton step whose Jacobian is constant: its
derivative is the same, and after two such steps the second derivative is too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from engine import modes
from engine.calculus import (
    captured_in,
    flatten_arguments,
    is_traced,
    own_node,
    pulled_back,
    recorded_args,
    ruled,
    vjp,
)
from engine.errors import check_number, whole
from engine.functions import FUNCTIONS, Number, detach, dot, maximum, where
from engine.iteration import is_met, unchanging, where_is, while_loop
from engine.randomness import counters
from engine.signatures import check_arguments, check_transform
from engine.trees import flatten, flatten_like
from engine.value import Value, to_float

EPSILON = math.ulp(1.0)
Numbers = list[Any]
Step = Callable[[Numbers], Numbers]


def solve(
    residual: Callable[..., Any],
    x0: Any,
    *parameters: Any,
    tolerance: float = 1e-10,
    max_steps: int = 50,
) -> Any:
    """Return the x at which ``residual(x, *parameters)`` is 0, by Newton's method from `x0`.

    x is a number or a structure of them like `x0`, and the residual has an equation for each
    unknown in the same structure. It ends when a step changes no unknown by more than
    `tolerance`, relative to the unknown where that is larger than 1; since Newton's steps square
    the error, the result is about as exact as rounding allows. Derivatives by the parameters and by
    Values that the residual reads are those of the solution, to any order; `x0` only says where to
    begin, and has none. In a compiled program the iterations are one loop. Linear systems are
    solved as dense ones: it is for some dozens of unknowns.

    Raises RuntimeError where it does not converge within `max_steps`, where the residual is not
    finite, and where its Jacobian is singular; TypeError or ValueError for a residual of another
    structure, or one that keeps state or draws random numbers.

    >>> solve(lambda x, a: x * x - a, 1.0, 2.0)
    1.414213562373095
    >>> from engine import grad
    >>> grad(lambda a: solve(lambda x, a: x * x - a, 1.0, a))(4.0)
    0.25
    """
    equation = Equation("solve", residual, x0, parameters)
    return equation.solution(equation.newton_step, tolerance, max_steps)


def fixed_point(
    step: Callable[..., Any],
    x0: Any,
    *parameters: Any,
    tolerance: float = 1e-10,
    max_steps: int = 1000,
) -> Any:
    """Return the x for which ``x = step(x, *parameters)``, by repeating the step from `x0`.

    It ends as `solve` does, followed by one step of Newton's method. Derivatives are those of the
    solution, as in `solve`, and do not depend on the number of steps. For a step that is no
    contraction use `solve` on ``x - step(x)``.

    Raises as `solve` does.

    >>> f"{fixed_point(lambda x, a: 0.5 * (x + a / x), 1.0, 2.0):.10f}"
    '1.4142135624'
    """
    equation = Equation("fixed_point", step, x0, parameters)
    return equation.solution(equation.step, tolerance, max_steps)


def linear_solutions(rows: Sequence[Numbers], *rights: Numbers) -> list[Numbers]:
    """The solutions of linear systems, by Householder's reflections: without a branch, so that it
    is the same on floats, on Values and in a trace. They are not finite for a singular matrix."""
    div, n = FUNCTIONS["div"], len(rows)
    columns = [*transposed(rows), *map(list, rights)]
    for j in range(n - 1):
        below = columns[j][j:]
        size = FUNCTIONS["sqrt"](dot(below, below))
        head = where(below[0] > 0.0, -size, size)
        v = [below[0] - head, *below[1:]]
        scale = head * (head - below[0])
        columns[j][j] = head
        for column in columns[j + 1 :]:
            share = div(dot(v, column[j:]), scale)
            column[j:] = [x - share * y for x, y in zip(column[j:], v, strict=True)]
    solutions = []
    for right in columns[n:]:
        found: Numbers = []  # from the last unknown to the first
        for i in reversed(range(n)):
            known = [columns[j][i] for j in reversed(range(i + 1, n))]
            found.append(div(right[i] - dot(known, found), columns[i][i]))
        solutions.append(found[::-1])
    return solutions


class Posed:
    """A function f(*first, x, *parameters) on flat lists of numbers, where x, and what f returns,
    have the structure of `x0`; `first` are numbers."""

    def __init__(
        self, name: str, f: Callable[..., Any], x0: Any, parameters: Any, *first: Number
    ) -> None:
        check_transform(name, f)
        self.name, self.f, self.x0 = name, f, x0
        start, self.rebuild = flatten(x0)
        if not start:
            raise ValueError(f"{name} was given no number to begin with: there is nothing to find")
        self.start = [x if isinstance(x, Value) else to_float(x) for x in start]
        self.given, self._arguments = flatten_arguments(parameters)
        check_steady(name, f, self.numbers_at(self.start, *first), x0)

    def result(self, xs: Numbers, given: Numbers, *first: Number) -> Numbers:
        """What f returns."""
        found = self.f(*first, self.rebuild(xs), *self._arguments(given))
        return flatten_like(found, self.x0, f"what {self.name}'s function returns")

    def numbers_at(self, xs: Numbers, *first: Number) -> tuple[Any, ...]:
        """The arguments of f, on the numbers at hand."""
        given = self._arguments([*map(number_of, self.given)])
        return (*map(number_of, first), self.rebuild([*map(number_of, xs)]), *given)


class Equation(Posed):
    """F(x, p) = 0 on flat lists of numbers; for `fixed_point`, F is x - step(x, p)."""

    # --- the equation ---------------------------------------------------------------------------

    def step(self, xs: Numbers) -> Numbers:
        """What `fixed_point` repeats."""
        return self.result(xs, [*map(now, self.given)])

    def residual(self, xs: Numbers, given: Numbers) -> Numbers:
        """F."""
        found = self.result(xs, given)
        if self.name == "solve":
            return found
        return [x - y for x, y in zip(xs, found, strict=True)]

    def newton_step(self, xs: Numbers) -> Numbers:
        """What `solve` repeats."""
        given = [*map(now, self.given)]
        fs, pull = vjp(lambda x: self.residual(x, given), xs)
        rows = [pull(unit)[0] for unit in identity(len(xs))]
        return [x - d for x, d in zip(xs, *linear_solutions(rows, fs), strict=True)]

    # --- its solution ---------------------------------------------------------------------------

    def solution(self, step: Step, tolerance: float, max_steps: int) -> Any:
        """Iterate, and give the solution the rule of its derivative."""
        check_number("tolerance", tolerance)
        max_steps = whole(f"{self.name}'s max_steps", max_steps)
        if not tolerance >= 2.0 * EPSILON:
            raise ValueError(
                f"{self.name}'s tolerance is relative and {2.0 * EPSILON:.1e} or more, which is "
                f"what rounding allows, not {tolerance!r}"
            )

        def next_carry(carry: Any) -> Any:
            xs, change, _, count = carry
            new = step(xs)
            pairs = [*zip(xs, new, strict=True)]
            moved = maximum([abs(y - x) / maximum(1.0, abs(x)) for x, y in pairs] + [0.0])
            kept = [where(moved < math.inf, y, x) for x, y in pairs]
            return kept, moved, change, count + 1.0

        with modes.no_grad():
            xs, change, before, _ = while_loop(
                lambda carry: (carry[1] > tolerance) & (carry[3] < max_steps),
                next_carry,
                ([now(x) for x in self.start], math.inf, math.inf, 0.0),
                limit=max_steps + 1,
            )
        if not is_met(change <= tolerance):
            self._fail(xs, change, max_steps)
        # a double root is approached by halves, whatever the tolerance
        squares = (change <= 0.25 * before) | (change <= 16.0 * EPSILON)
        if step == self.newton_step and not is_met(squares):
            raise RuntimeError(
                f"solve: the Jacobian is singular at the solution x = {told(xs)}, a double root, "
                f"{where_is(self.f, None)}: there it has no derivative; give it an equation that "
                "crosses 0, or a smaller tolerance if it does"
            )
        return self.rebuild(self._with_rule(xs))

    def _with_rule(self, xs: Numbers) -> Numbers:
        """The unknowns after one more step of Newton's method, as nodes that have the rule."""
        n, traced = len(xs), is_traced()
        with modes.enable_grad(), modes.scope(self.name):
            mark = modes.state.scope
            given = self.given if traced else map(number_of, self.given)
            self._inputs = [own_node(x) for x in (*xs, *given)]
            self._outputs = self.residual(self._inputs[:n], self._inputs[n:])
            self._captured = captured_in(self._outputs, self._inputs, mark)
            rows = self._jacobian(self._inputs, self._outputs, traced)
            self._rows = [[*map(detach, row)] for row in rows]
            fs = self._outputs if traced else [*map(now, self._outputs)]
            [steps] = linear_solutions(self._rows, fs)
            self._numbers = [x - d for x, d in zip(xs, steps, strict=True)]
            if traced and modes.state.trace.unrolled:  # for a tape that is differentiated twice
                [more] = linear_solutions(self._rows, self.residual(self._numbers, self.given))
                self._numbers = [x - d for x, d in zip(self._numbers, more, strict=True)]
        if not is_met(maximum([abs(now(d)) for d in steps]) < math.inf):
            self._fail(xs, math.nan, 0)
        operands = as_operands((*self.given, *self._captured))
        if not any(isinstance(x, Value) for x in (*self.start, *self.given, *self._captured)):
            return self._numbers
        return [self._node(k, operands) for k in range(n)]

    def _node(self, k: int, operands: Sequence[tuple[Value | None, float]]) -> Value:
        pullback = functools.partial(self._pull_back, k)
        return ruled(self.name, self._numbers[k], operands, pullback)

    def _pull_back(
        self, k: int, args: Sequence[Number], node: Value, adjoint: Number
    ) -> Sequence[Number | None]:
        """Of unknown k: the adjoint times row k of -(dF/dx)⁻¹, through F to what it reads."""
        n, recorded = len(self._numbers), isinstance(adjoint, Value)
        if not recorded:
            inputs, outputs, row = self._inputs, self._outputs, self._inverse[k]
        else:
            operands = node._operands()[1:]
            xs = [node if j == k else self._node(j, operands) for j in range(n)]
            given = recorded_args(node)[1 : 1 + len(self.given)]
            inputs = [own_node(x) for x in (*xs, *given)]
            outputs = self.residual(inputs[:n], inputs[n:])
            rows = self._jacobian(inputs, outputs, True)
            [row] = linear_solutions(transposed(rows), identity(n)[k])
        times = FUNCTIONS["pass_on"] if recorded else FUNCTIONS["mul"]
        seeds = [(y, times(adjoint, -x)) for y, x in zip(outputs, row, strict=True)]
        return pulled_back(seeds, [*inputs, *self._captured], recorded)[n:]

    @functools.cached_property
    def _inverse(self) -> list[Numbers]:
        """(dF/dx)⁻¹ by rows."""
        return linear_solutions(transposed(self._rows), *identity(len(self._rows)))

    def _jacobian(self, inputs: Numbers, outputs: Numbers, recorded: bool) -> list[Numbers]:
        """dF/dx, a row for each equation."""
        stop = [*inputs, *self._captured]
        rows = [pulled_back([(y, 1.0)], stop, recorded)[: len(outputs)] for y in outputs]
        return [[0.0 if d is None else d for d in row] for row in rows]

    # --- what can be wrong ----------------------------------------------------------------------

    def _fail(self, xs: Numbers, change: Number, max_steps: int) -> NoReturn:
        """Say why it has not ended well at these numbers."""
        fs = numbers_of(self.name, self.f, self.numbers_at(xs), self.x0)
        if self.name != "solve":
            fs = [x - f for x, f in zip(map(number_of, xs), fs, strict=True)]
        at = f"x = {told(xs)}, {where_is(self.f, None)}"
        if not all(map(math.isfinite, fs)):
            raise RuntimeError(
                f"{self.name}: the residual is {told(fs)} at {at}; begin nearer to the solution, "
                "or write it so that it is finite there"
            )
        if math.isnan(number_of(change)) or number_of(change) == math.inf:
            raise RuntimeError(
                f"{self.name}: the Jacobian is singular, or not finite, at {at}, where the "
                f"residual is {told(fs)}; begin elsewhere, and see that every unknown counts and "
                "no equation follows from the others"
            )
        raise RuntimeError(
            f"{self.name} has not converged after {max_steps:,} steps: the last one changed x by "
            f"{number_of(change):.3g}, and the residual is {told(fs)} at {at}; begin nearer to the "
            "solution, or allow more max_steps or a larger tolerance"
        )


def transposed(rows: Sequence[Numbers]) -> list[Numbers]:
    """The columns of a matrix."""
    return [[*column] for column in zip(*rows, strict=True)]


def identity(n: int) -> list[Numbers]:
    """The identity matrix by rows."""
    return [[float(i == k) for k in range(n)] for i in range(n)]


def numbers_of(name: str, f: Callable[..., Any], args: tuple[Any, ...], like: Any) -> list[float]:
    """What a function returns for numbers. Raises where it is not of the structure of `like`, or
    the function changes what is around it."""
    with modes.traced_by(None), modes.no_grad():
        try:
            found = unchanging(f, args, None)
        except TypeError as error:
            check_arguments(f, args, {}, error)
            raise
    try:
        return [number_of(x) for x in flatten_like(found, like, "it")]
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"what {name}'s function returns is to have the structure of what it is to find: "
            f"{error}, {where_is(f, None)}"
        ) from None


def check_steady(name: str, f: Callable[..., Any], args: tuple[Any, ...], like: Any) -> None:
    """Raise TypeError for a function that keeps state or draws random numbers; see `numbers_of`."""
    drawn = counters()
    found = [repr(numbers_of(name, f, args, like)) for _ in range(2)]
    if counters() != drawn or found[0] != found[1]:
        raise TypeError(
            f"{name}'s function gives other results when it is called again, with random numbers "
            f"or by what it keeps, {where_is(f, None)}; draw before, and give what is drawn as a "
            "parameter"
        )


def now(x: Number) -> Number:
    """A number without a derivative: live, if it is traced."""
    return detach(x) if is_traced() else number_of(x)


def number_of(x: Number) -> float:
    """The number itself."""
    return x._data if isinstance(x, Value) else to_float(x)


def as_operands(numbers: Sequence[Number]) -> list[tuple[Value | None, float]]:
    """Numbers and Values as operands of a node."""
    return [(x, x._data) if isinstance(x, Value) else (None, to_float(x)) for x in numbers]


def told(numbers: Sequence[Number]) -> str:
    """Some numbers for a message."""
    shown = ", ".join(f"{number_of(x):.6g}" for x in numbers[:3])
    return f"[{shown}, …]" if len(numbers) > 3 else shown if len(numbers) == 1 else f"[{shown}]"
