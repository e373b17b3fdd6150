"""Programs such as users write, composed at random: substitutions, recurrences, trees, early ends.

Each structure is made from a random generator, which draws its sizes and constants; it is then a
function of a list of scalars `xs` and of parameters `p` that returns a list. `user_program` draws
some and lets each go on with what the one before returned.
"""

from __future__ import annotations

import collections
import functools
import itertools
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import engine

List = list[Any]
Structure = Callable[[List, List], List]
STRUCTURES: dict[str, Callable[[random.Random], Structure]] = {}

WEIGHTS = [0.7, -0.4, 0.9, 0.2, -0.8, 0.5, 1.1, -0.3]  # a global that some structures read


def structure(make: Callable[[random.Random], Structure]) -> Callable[[random.Random], Structure]:
    STRUCTURES[make.__name__] = make
    return make


# --- running quantities -----------------------------------------------------------------------


@structure
def prefix_sums(rng: random.Random) -> Structure:
    start, stride = rng.uniform(-1.0, 1.0), rng.choice((1, 2, -1))

    def f(xs: List, p: List) -> List:
        total, sums = start, []
        for x in xs[::stride]:
            total += x * p[0]
            sums.append(total)
        return [b - 0.5 * a for a, b in itertools.pairwise([0.0, *sums])] + sums[-1:]

    return f


@structure
def prefix_sums_in_place(rng: random.Random) -> Structure:
    apart = rng.choice((1, 2))

    def f(xs: List, p: List) -> List:
        sums = list(xs)
        for i in range(apart, len(sums)):
            sums[i] += p[1] * sums[i - apart]
        return sums

    return f


@structure
def accumulated_products(rng: random.Random) -> Structure:
    shift = rng.uniform(0.5, 1.5)
    return lambda xs, p: list(itertools.accumulate([shift + 0.3 * x for x in xs], operator.mul))


@structure
def running_max(rng: random.Random) -> Structure:
    by_engine = rng.random() < 0.5

    def f(xs: List, p: List) -> List:
        best, seen = xs[0], []
        for x in xs:
            best = engine.maximum(best, x) if by_engine else max(best, x)
            seen.append(best * p[2] + x)
        return seen

    return f


@structure
def running_argmax(rng: random.Random) -> Structure:
    def f(xs: List, p: List) -> List:
        where, best = 0, xs[0]
        for i, x in enumerate(xs):
            if x * p[0] > best:
                where, best = i, x * p[0]
        return [best, xs[where], WEIGHTS[where % len(WEIGHTS)] * p[1], *xs[:where]]

    return f


@structure
def moving_average(rng: random.Random) -> Structure:
    size = rng.randint(2, 3)

    def f(xs: List, p: List) -> List:
        window: collections.deque[Any] = collections.deque(maxlen=size)
        means = []
        for x in xs:
            window.append(x + p[1])
            means.append(sum(window) / len(window))
        return means

    return f


# --- recurrences ------------------------------------------------------------------------------


@structure
def coupled_recurrence(rng: random.Random) -> Structure:
    count, h = rng.randint(3, 25), rng.uniform(0.01, 0.1)

    def f(xs: List, p: List) -> List:
        a, b = xs[0], xs[-1]
        for _ in range(count):
            a, b = a + h * (p[0] * b - a), b - h * (p[1] * a + b * a)
        return [a, b, *xs[1:]]

    return f


@structure
def recurrence_with_a_branch(rng: random.Random) -> Structure:
    count, level = rng.randint(3, 20), rng.uniform(-0.5, 0.5)

    def f(xs: List, p: List) -> List:
        x, v = xs[0], p[2]
        for k in range(count):
            v = v - 0.1 * x + 0.05 * WEIGHTS[k % 8]
            x = x + 0.2 * v
            if x < level:
                x, v = 2.0 * level - x, -0.8 * v
        return [x, v, *xs]

    return f


@structure
def fibonacci_memoised(rng: random.Random) -> Structure:
    depth = rng.randint(4, 12)

    def f(xs: List, p: List) -> List:
        memo: dict[int, Any] = {0: xs[0], 1: xs[-1]}

        def term(n: int) -> Any:
            if n not in memo:
                memo[n] = 0.6 * term(n - 1) + 0.3 * p[n % 3] * term(n - 2)
            return memo[n]

        @functools.cache
        def other(n: int) -> Any:
            return xs[n] if n < 2 else other(n - 1) * p[0] + other(n - 2)

        return [term(depth), term(depth // 2), other(depth // 2), *xs[:2]]

    return f


@structure
def until_it_is_small(rng: random.Random) -> Structure:
    most, rate = rng.randint(5, 30), rng.uniform(0.2, 0.6)

    def f(xs: List, p: List) -> List:
        x, steps = xs[0], 0
        while abs(x) > 0.1 and steps < most:
            x = x - rate * engine.tanh(x * (1.0 + p[0] * p[0]))
            steps += 1
        return [x, *(x * w for w in WEIGHTS[:3]), 0.1 * steps + xs[-1]]

    return f


@structure
def newton_of_each(rng: random.Random) -> Structure:
    count = rng.randint(2, 9)

    def f(xs: List, p: List) -> List:
        roots = []
        for x in xs:
            a, root = 1.0 + x * x + p[0] * p[0], 1.0
            for _ in range(count):
                root = 0.5 * (root + a / root)
            roots.append(root)
        return roots

    return f


@structure
def horner(rng: random.Random) -> Structure:
    coefficients = [rng.uniform(-0.5, 0.5) for _ in range(rng.randint(3, 14))]

    def f(xs: List, p: List) -> List:
        def polynomial(x: Any) -> Any:
            total = p[0]
            for c in reversed(coefficients):
                total = total * x + c
            return total

        return [polynomial(engine.sin(x)) for x in xs]

    return f


@structure
def scanned(rng: random.Random) -> Structure:
    rate = rng.uniform(0.1, 0.9)

    def f(xs: List, p: List) -> List:
        def step(h: Any, x: Any) -> tuple[Any, Any]:
            h = engine.tanh(rate * h + p[1] * x)
            return h, h * x

        last, ys = engine.scan(step, p[0], xs)
        return [last, *ys]

    return f


# --- matrices as lists of lists ---------------------------------------------------------------


def _matrix(xs: List, p: List, size: int) -> list[List]:
    """Diagonally dominant."""
    entries = itertools.cycle([*xs, *p])
    return [
        [0.4 * next(entries) + (size + 1.0 if i == j else 0.0) for j in range(size)]
        for i in range(size)
    ]


@structure
def triangular_solve(rng: random.Random) -> Structure:
    size, backwards = rng.randint(2, 6), rng.random() < 0.5

    def f(xs: List, p: List) -> List:
        a, b = _matrix(xs, p, size), [x + w for x, w in zip([*xs, *xs, *xs], WEIGHTS, strict=False)]
        y: List = [0.0] * size
        for i in reversed(range(size)) if backwards else range(size):
            known = range(i + 1, size) if backwards else range(i)
            s = b[i]
            for j in known:
                s -= a[i][j] * y[j]
            y[i] = s / a[i][i]
        return y

    return f


@structure
def forward_substitution_by_dots(rng: random.Random) -> Structure:
    size = rng.randint(2, 7)

    def f(xs: List, p: List) -> List:
        a = _matrix(xs, p, size)
        y: List = []
        for i, row in enumerate(a):
            y.append((p[i % 3] - engine.dot(row[:i], y)) / row[i])
        return y

    return f


@structure
def gaussian_elimination(rng: random.Random) -> Structure:
    size, pivoting = rng.randint(2, 4), rng.random() < 0.5

    def f(xs: List, p: List) -> List:
        a = [[*row, p[i % 3]] for i, row in enumerate(_matrix(xs, p, size))]
        if pivoting:
            a = a[1:] + a[:1]
        for k in range(size):
            if pivoting:
                best = max(range(k, size), key=lambda i: abs(a[i][k]))
                a[k], a[best] = a[best], a[k]
            for i in range(k + 1, size):
                factor = a[i][k] / a[k][k]
                for j in range(k, size + 1):
                    a[i][j] -= factor * a[k][j]
        for k in reversed(range(size)):
            a[k][size] /= a[k][k]
            for i in range(k):
                a[i][size] -= a[i][k] * a[k][size]
        return [row[size] for row in a]

    return f


@structure
def matrix_powers(rng: random.Random) -> Structure:
    size, power = rng.randint(2, 3), rng.randint(2, 4)

    def times(a: list[List], b: list[List]) -> list[List]:
        return [
            [
                sum(x * y for x, y in zip(row, column, strict=True))
                for column in zip(*b, strict=True)
            ]
            for row in a
        ]

    def f(xs: List, p: List) -> List:
        a = [[0.2 * entry for entry in row] for row in _matrix(xs, p, size)]
        return [x for row in functools.reduce(times, [a] * power) for x in row]

    return f


@structure
def arrays_of_objects(rng: random.Random) -> Structure:
    table = np.array([[rng.uniform(-0.5, 0.5) for _ in range(3)] for _ in range(4)])

    def f(xs: List, p: List) -> List:
        y = table @ np.array(p, dtype=object)
        y[1:] += np.array([xs[0], xs[-1], p[0]], dtype=object)
        return [*y, y.sum(), *xs[:2]]

    return f


@structure
def convolved(rng: random.Random) -> Structure:
    kernel = [rng.uniform(-1.0, 1.0) for _ in range(rng.randint(2, 3))]

    def f(xs: List, p: List) -> List:
        padded, size = [p[2], *xs, p[2]], len(kernel)
        return [engine.dot(padded[i : i + size], kernel) for i in range(len(padded) - size + 1)]

    return f


# --- branches ---------------------------------------------------------------------------------


@structure
def one_of_three(rng: random.Random) -> Structure:
    low, high = sorted(rng.uniform(-0.7, 0.7) for _ in range(2))

    def f(xs: List, p: List) -> List:
        if xs[0] < low:
            return [p[0] * x for x in xs]
        if xs[0] < high:
            return [x * x for x in xs]
        return [p[1], p[1] * xs[0] * xs[-1]]  # a constant of the examples, and one number

    return f


@structure
def ends_early(rng: random.Random) -> Structure:
    bound = rng.uniform(0.0, 1.0)

    def f(xs: List, p: List) -> List:
        def first_beyond() -> Any:
            total = 0.0
            for k, x in enumerate(xs):
                total = total + engine.exp(x) * p[k % 3]
                if total > bound:
                    return total * (k + 1)
            return -total

        return [first_beyond(), *xs[1:]]

    return f


@structure
def kept_if(rng: random.Random) -> Structure:
    level = rng.uniform(-0.5, 0.5)

    def f(xs: List, p: List) -> List:
        kept = [x * p[0] for x in xs if x > level and x < level + 1.0] or [p[1]]
        return [*kept, sum(kept) / len(kept), 0.1 * len(kept)]

    return f


@structure
def sorted_by(rng: random.Random) -> Structure:
    key = rng.choice((None, abs, lambda x: -x, lambda x: (x - 0.1) ** 2))

    def f(xs: List, p: List) -> List:
        return [w * x for w, x in zip(itertools.cycle(p), sorted(xs, key=key), strict=False)]

    return f


@structure
def bubbles(rng: random.Random) -> Structure:
    rounds = rng.randint(1, 3)

    def f(xs: List, p: List) -> List:
        ys = [*xs[:4], *p[:1]]
        for _ in range(rounds):
            for i in range(len(ys) - 1):
                if ys[i] > ys[i + 1]:
                    ys[i], ys[i + 1] = ys[i + 1], ys[i]
        return [y * WEIGHTS[i] for i, y in enumerate(ys)]

    return f


@structure
def chosen_without_a_branch(rng: random.Random) -> Structure:
    level = rng.uniform(-0.5, 0.5)

    def f(xs: List, p: List) -> List:
        counted = sum(x > level for x in xs)
        arms = [engine.where(x > level, engine.sqrt(x - level), p[0] * x) for x in xs]
        both = (xs[0] > level) & (xs[-1] < level)
        return [*arms, counted * p[1], engine.where(both, p[2], arms[-1])]

    return f


@structure
def any_and_all(rng: random.Random) -> Structure:
    level = rng.uniform(-0.5, 0.5)

    def f(xs: List, p: List) -> List:
        if all(x < level for x in xs):
            return [p[0], *xs]
        if any(level < x < level + 0.3 for x in xs):
            return [p[1] * x for x in xs]
        return [min(xs), max(xs), p[2]]

    return f


@structure
def looked_up(rng: random.Random) -> Structure:
    table = [rng.uniform(-1.0, 1.0) for _ in range(4)]

    def f(xs: List, p: List) -> List:
        place = int(engine.clamp(2.0 + 2.0 * xs[0], 0.0, 3.0))  # read: a guard
        taken = engine.take([*p, xs[-1]], engine.floor(engine.clamp(xs[-1] + 2.0, 0.0, 3.0)))
        return [table[place] * xs[0], taken, *xs[1:3]]

    return f


# --- Python's ways of holding things ------------------------------------------------------------


@structure
def totals_in_a_dict(rng: random.Random) -> Structure:
    groups = rng.randint(2, 3)

    def f(xs: List, p: List) -> List:
        totals: dict[str, Any] = {}
        counts: dict[str, int] = collections.defaultdict(int)
        for i, x in enumerate(xs):
            key = f"group {i % groups}"
            totals[key] = totals.get(key, p[i % 3]) + x
            counts[key] += 1
        return [total / counts[key] for key, total in sorted(totals.items())]

    return f


@structure
def slices(rng: random.Random) -> Structure:
    step = rng.choice((1, 2, -1))

    def f(xs: List, p: List) -> List:
        ys = [b - a * p[0] for a, b in zip(xs[:-1], xs[1:], strict=True)]  # noqa: RUF007
        ys += [x * y for (i, x), y in zip(enumerate(xs), reversed(xs), strict=True) if i % 2 == 0]
        return [engine.dot(xs[1:], xs[:-1]), *ys[::step]]

    return f


@structure
def tree(rng: random.Random) -> Structure:
    node = rng.choice((operator.add, operator.mul, engine.logaddexp, engine.hypot))

    def f(xs: List, p: List) -> List:
        def folded(some: List) -> Any:
            if len(some) == 1:
                return some[0] + 1.5
            middle = len(some) // 2
            return p[0] * node(folded(some[:middle]), folded(some[middle:]))

        return [folded(xs), *xs[:2]]

    return f


@structure
def closure_over_state(rng: random.Random) -> Structure:
    scales = [rng.uniform(-1.0, 1.0) for _ in range(3)]
    settings = {"shift": rng.uniform(-1.0, 1.0), "kind": rng.choice(("tanh", "sin"))}

    class Holder:
        gain = rng.uniform(0.5, 1.5)

    holder = Holder()
    holder.offset = rng.uniform(-1.0, 1.0)  # type: ignore[attr-defined]

    def f(xs: List, p: List) -> List:
        function = {"tanh": engine.tanh, "sin": engine.sin}[settings["kind"]]
        return [
            function(scales[i % 3] * x * holder.gain + holder.offset) + settings["shift"]  # type: ignore[attr-defined]
            for i, x in enumerate(xs)
        ]

    return f


@structure
def counters(rng: random.Random) -> Structure:
    every = rng.randint(2, 3)

    class Mean:
        """A running mean, with what it was told."""

        def __init__(self) -> None:
            self.count, self.total, self.seen = 0, 0.0, []

        def __call__(self, x: Any) -> Any:
            self.count += 1
            self.total = self.total + x
            self.seen.append(x)
            return self.total / self.count

    def f(xs: List, p: List) -> List:
        mean, calls = Mean(), 0

        def told(x: Any) -> Any:
            nonlocal calls
            calls += 1
            return mean(x * p[0]) if calls % every else mean(x) - p[1]

        return [told(x) for x in xs] + mean.seen[-1:]

    return f


@structure
def generated(rng: random.Random) -> Structure:
    count = rng.randint(2, 5)

    def f(xs: List, p: List) -> List:
        def orbit(x: Any, *rest: Any, rate: float = 0.7) -> Iterator[Any]:
            while True:
                yield x
                x = x * rate * (1.0 - x * x) + sum(rest) * 0.1

        return [*itertools.islice(orbit(*xs, rate=0.9), count), *map(operator.mul, p, xs)]

    return f


@structure
def an_alias_that_changes(rng: random.Random) -> Structure:
    def f(xs: List, p: List) -> List:
        ys = xs = list(xs)
        ys[0] = ys[0] * p[0]
        ys.append(xs[0] - xs.pop(1) if len(xs) > 1 else p[1])
        ys[:1] = [xs[0] + p[2], xs[-1]]
        del ys[4:]
        return xs

    return f


@structure
def derived_within(rng: random.Random) -> Structure:
    power = rng.choice((2, 3, 2.5))

    def f(xs: List, p: List) -> List:
        def energy(q: Any) -> Any:
            return engine.sum((1.1 + engine.sin(a * q)) ** power for a in [*xs[:2], p[0]])

        return [engine.grad(energy)(xs[0]), energy(p[1]), *xs[1:]]

    return f


@structure
def no_derivative_there(rng: random.Random) -> Structure:
    inside = rng.random() < 0.5

    def f(xs: List, p: List) -> List:
        if inside:
            with engine.no_grad():
                weights = [x * p[0] for x in xs]
        else:
            weights = [engine.detach(x * p[0]) for x in xs]
        return [w * x + p[1] for w, x in zip(weights, xs, strict=True)]

    return f


@structure
def checkpointed(rng: random.Random) -> Structure:
    def f(xs: List, p: List) -> List:
        inner = engine.checkpoint(lambda a, b: engine.tanh(a * b) + engine.exp(-a * a))
        return [inner(x, p[i % 3]) for i, x in enumerate(xs)]

    return f


# --- drawing a program --------------------------------------------------------------------------

# What keeps numbers near 1 between two structures, so that none makes the next one overflow.
TAMES: list[Callable[[Any], Any]] = [
    engine.tanh,
    engine.sin,
    lambda x: x / (1.0 + abs(x)),
    lambda x: x / (1.0 + x * x) ** 0.5,
    lambda x: engine.clamp(x, -1.5, 1.5) * 0.9 + 0.1 * engine.sigmoid(x),
]


@dataclass(frozen=True)
class UserProgram:
    """Functions f(p, x) of a seed, and numbers to call them with: three parameters `p`, and some
    examples `xs`. `parts` are names of structures, each with its place among those first drawn."""

    seed: int
    parts: tuple[tuple[int, str], ...]
    p: list[float]
    xs: list[list[float]]

    @functools.cached_property
    def _made(self) -> list[tuple[str, Structure, Callable[[Any], Any]]]:
        made = []
        for place, name in self.parts:
            rng = random.Random(f"{self.seed}/{place}/{name}")
            made.append((name, STRUCTURES[name](rng), rng.choice(TAMES)))
        return made

    def _results(self, p: List, x: List) -> dict[str, List]:
        """What each part returned, tamed."""
        results, xs = {}, x
        for i, (name, f, tame) in enumerate(self._made):
            xs = [tame(y) for y in f(xs, p)[:8]]
            results[f"{i} {name}"] = xs
        return results

    def number(self, p: List, x: List) -> Any:
        """One number, into which all results go."""
        ends = self._results(p, x).values()
        return engine.sum(w * y for ys in ends for w, y in zip(WEIGHTS, ys, strict=False))

    def nested(self, p: List, x: List) -> Any:
        """All results, as they were held on the way. Their length is one for all examples."""
        results = {
            name: (len(ys) > 2, [ys[0], (ys[-1],)]) for name, ys in self._results(p, x).items()
        }
        return {"last": results.popitem()[1][1], "others": {n: y for n, (_, y) in results.items()}}

    def without(self, k: int) -> UserProgram:
        """The program with one part less."""
        return UserProgram(self.seed, self.parts[:k] + self.parts[k + 1 :], self.p, self.xs)


def user_program(seed: int, only: Sequence[str] = ()) -> UserProgram:
    """Return the program of a seed, of up to four structures."""
    rng = random.Random(seed)
    names = [rng.choice([*(only or STRUCTURES)]) for _ in range(rng.randint(1, 4))]
    size = rng.randint(2, 6)
    p = [rng.uniform(-1.0, 1.0) for _ in range(3)]
    xs = [[rng.uniform(-1.0, 1.0) for _ in range(size)] for _ in range(rng.choice((1, 5, 19)))]
    return UserProgram(seed, tuple(enumerate(names)), p, xs)
