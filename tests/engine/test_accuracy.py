"""Derivatives of order one to three keep their digits over the whole domain of every row.

The truth is the row's own forward, run on mpmath's numbers of a thousand digits, or mpmath's own
where that has only a double's digits, and its central differences. Points are tiny and huge, near
the ends of domains, and far out where a function levels off. A derivative must be within 1e-12 of
the truth, relatively, or be the truth at operands a few units in the last place away (near one of
its zeros nothing else can be asked for).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import engine
from engine.ops import TABLE, Op
from exact_rows import exact, mp

RELATIVE = 1e-12
UNITS = 16 * 2.0**-52  # how far operands may be off, relatively, where the truth is near 0
LEAST, MOST = 1e-290, 1e290  # beyond, a factor of the result may have left the range of a float64
STEP = 25  # digits of an operand that a difference leaves alone

# Not flat, which is 0.0 in the row itself; and `where`, `chain` and such at their samples' signs.
ROWS = [op for op in TABLE.values() if not op.is_flat]

# Where less can be had, and why.
EXCEPT: dict[str, tuple[str, Callable[..., bool]]] = {
    "pow": (
        "a power is multiplied by its exponents: it must be in range itself",
        lambda x, y: abs((abs(y) + 3.0) * math.log10(abs(x))) < 280.0,
    ),
    "binary_cross_entropy": (
        "its gradient is PyTorch's (p - t) / (p (1 - p)), with logarithms from -100 and "
        "denominators from 1e-12 on: where p is small, terms of its derivatives cancel",
        lambda p, t: 1e-3 <= p < 1.0 - 1e-3 and t > 0.1,
    ),
    "erfc": ("mpmath has no erfc beyond", lambda x: abs(x) < 1e100),
    "gelu": ("mpmath has no erfc beyond", lambda x: abs(x) < 1e100),
    "fmod": ("the quotient must be known to the unit", lambda x, y: abs(x / y) < 1e6),
    "remainder": ("the quotient must be known to the unit", lambda x, y: abs(x / y) < 1e6),
    "betaln": (
        "its derivatives are differences of those of gammaln",
        lambda x, y: 0.3 <= x <= 20.0 and 0.3 <= y <= 20.0,
    ),
    "i0e": ("terms of its derivatives cancel far out", lambda x: abs(x) <= 5.0),
    "i1e": ("terms of its derivatives cancel far out", lambda x: abs(x) <= 5.0),
    "polygamma": ("beyond it is nan, as it says", lambda n, x: x > 0.0),
}


def difference(f: Any, xs: Sequence[Any], order: Sequence[int], steps: Sequence[Any]) -> Any:
    """The partial derivative of these orders by the operands, as a central difference."""
    sides = [
        [(mp.mpf(n) / 2 - k, (-1) ** k * math.comb(n, k)) for k in range(n + 1)] for n in order
    ]
    total = mp.mpf(0)
    for chosen in itertools.product(*sides):
        weight = math.prod(w for _, w in chosen)
        total += weight * f(*[x + o * h for x, (o, _), h in zip(xs, chosen, steps, strict=True)])
    return total / math.prod(h**n for h, n in zip(steps, order, strict=True))


MAGNITUDES = [
    *(1e-300, 1e-200, 1e-100, 1e-20, 1e-8, 1e-3, 0.1, 0.3, 0.7, 0.9, 0.999, 1.0 - 1e-10),
    *(1.0 - 2.0**-52, 1.0 + 1e-10, 1.5, 2.2, 3.3, 5.0, 9.0, 20.0, 36.0, 50.0, 300.0, 700.0, 745.0),
    *(1e4, 1e8, 1e20, 1e100, 1e160, 1e200, 1e300),
]
FEW = [1e-100, 1e-20, 0.3, 0.999, 1.5, 5.0, 20.0, 300.0, 1e8]


def points(op: Op, magnitudes: Sequence[float], count: int) -> list[list[float]]:
    """Operands of both signs where the row is smooth, at most so many."""
    _, holds = EXCEPT.get(op.name, ("", lambda *xs: True))
    numbers = [sign * x for x in magnitudes for sign in (1.0, -1.0)]
    every = [list(xs) for xs in itertools.product(numbers, repeat=op.arity)]
    if len(every) > count:
        every = random.Random(op.name).sample(every, len(every))
    smooth = (xs for xs in every if not op.has_kink(xs) and holds(*xs))
    inside = (xs for xs in smooth if math.isfinite(op.forward(*xs)) and not at_end(op, xs))
    return list(itertools.islice(inside, count))


def at_end(op: Op, xs: Sequence[float]) -> bool:
    """Whether a little aside the row is no number: there it has no derivative from both sides."""
    for k, x in enumerate(xs):
        for y in (math.nextafter(x, math.inf), math.nextafter(x, -math.inf)):
            if not math.isfinite(op.forward(*xs[:k], y, *xs[k + 1 :])):
                return True
    return False


def check(op: Op, xs: list[float]) -> None:
    function = engine.functions.FUNCTIONS[op.name]

    def f(values: Any) -> Any:
        return function(*values)

    tensors = [engine.grad(f)(xs), engine.hessian(f)(xs), engine.jacobian(engine.hessian(f))(xs)]
    sizes = [min(abs(x), 1.0) for x in xs]
    above = sum(max(0.0, math.log10(abs(x))) for x in xs)
    # What levels off is within 1e-308 of its limit, and differences take digits away.
    digits = 320 + 4 * STEP + 2 * above - 4 * math.log10(min(sizes))
    with mp.workdps(int(digits)):
        forward = exact(op)
        steps = [mp.mpf(size) * mp.mpf(10) ** -STEP for size in sizes]

        def true(order: tuple[int, ...], at: Sequence[Any]) -> Any:
            return difference(forward, at, order, steps)

        for order in range(1, 4):
            known: dict[tuple[int, ...], Any] = {}
            for place in itertools.product(range(op.arity), repeat=order):
                by = tuple(place.count(k) for k in range(op.arity))
                at = [mp.mpf(x) for x in xs]
                expected = known[by] = known.get(by) or true(by, at)
                found: Any = tensors[order - 1]
                for k in place:
                    found = found[k]
                if abs(expected) > MOST or close(found, expected):
                    continue
                if math.isnan(found) and max(map(abs, known.values())) > MOST:
                    continue  # the difference of two terms that are out of range
                near = [
                    true(by, [x * (1 + s * UNITS) for x, s in zip(at, signs, strict=True)])
                    for signs in itertools.product((-1, 1), repeat=op.arity)
                ]
                assert min(near) <= found <= max(near), (xs, by, found, float(expected))


def close(found: float, expected: Any) -> bool:
    if not math.isfinite(found):
        return False
    return bool(abs(mp.mpf(found) - expected) <= RELATIVE * abs(expected) + LEAST)


@pytest.mark.parametrize("op", ROWS, ids=[op.name for op in ROWS])
def test_derivatives_keep_their_digits(op: Op) -> None:
    for xs in points(op, FEW, 12 if op.arity == 1 else 6):
        check(op, xs)


@pytest.mark.slow
@pytest.mark.parametrize("op", ROWS, ids=[op.name for op in ROWS])
def test_derivatives_keep_their_digits_everywhere(op: Op) -> None:
    for xs in points(op, MAGNITUDES, 60):
        check(op, xs)


def test_the_truth_is_that_of_mpmath() -> None:
    """The reference itself: rebound forwards, and their differences."""
    with mp.workdps(500):
        h = [mp.mpf(10) ** -40]
        third = difference(exact(TABLE["tanh"]), [mp.mpf(20)], [3], h)
        assert abs(third / mp.diff(mp.tanh, 20, 3) - 1) < 1e-30
