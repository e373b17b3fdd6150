"""What runs step by step becomes loops, which compute what the steps do."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest

import engine
from compiled.loop_programs import DATA, STEPS, Function, Steps

DECIDED = ("bisection", "ends early", "bouncing ball", "adaptive steps")  # by a rounding
TOLERANCE = {"float64": 1e-11, "float32": 2e-3}


def named(*quick: int) -> Any:
    """All programs up to order 2; slow but for these orders, and for values with their gradient
    where steps are wide."""
    cases = [
        pytest.param(name, order, marks=[] if order in given else pytest.mark.slow)
        for name, steps in STEPS.items()
        for given in [quick if steps.looped is not None else (1,)]
        for order in range(3)
    ]
    return pytest.mark.parametrize(("name", "order"), cases)


def looped(program: engine.Program) -> float:
    """Which share of the operations on single rows loops have."""
    text = str(program).replace(",", "")
    loops = re.findall(r"for t in range\((\d+)\): (\d+) operation", text)
    total = sum(int(count) * int(size) for count, size in loops)
    return total / max(1, total + sum(map(int, re.findall(r"tape of (\d+) operation", text))))


def near(at: list[float], count: int, seed: int = 0) -> list[list[float]]:
    rng = random.Random(seed)
    return [[x * (1.0 + 0.02 * rng.random()) for x in at] for _ in range(count)]


def directional(f: Function) -> Function:
    """Its gradient in a direction: a function whose own gradient is of second order."""
    return lambda p: engine.sum([(k + 1.0) * g for k, g in enumerate(engine.grad(f)(p))])


def of_order(f: Function, order: int) -> Function:
    """A function whose value, or value and gradient, are derivatives of f up to an order."""
    return f if order < 2 else directional(f)


def check_batch(
    f: Function, points: list[list[float]], order: int, dtype: str = "float64"
) -> engine.Program:
    """Compare a batch with the engine's own scalars; return the program."""
    f = of_order(f, order)
    program = engine.compile(f, in_axes=0, dtype=dtype)
    expected = [engine.value_and_grad(f)(p) for p in points]
    values, tolerance = np.array([v for v, _ in expected]), TOLERANCE[dtype]
    size = np.abs(values).max() if order == 2 else 1.0  # a derivative by itself, in a direction
    if order == 0:
        actual = program(points)
    else:
        actual, gradients = program.value_and_grad(points)
        exact = np.array([g for _, g in expected])
        least = tolerance * (np.abs(exact).max() + 1.0)
        np.testing.assert_allclose(gradients, exact, rtol=0.0, atol=least)
    np.testing.assert_allclose(actual, values, rtol=tolerance, atol=tolerance * size)
    return program


@pytest.mark.parametrize("name", [name for name in STEPS if STEPS[name].looped is not None])
def test_steps_are_loops(name: str) -> None:
    steps = STEPS[name]
    program = engine.compile(steps.function)
    assert program(steps.at) == pytest.approx(engine.value_and_grad(steps.function)(steps.at)[0])
    share = looped(program)
    assert steps.looped is not None and share >= steps.looped, str(program)


def test_wide_steps_are_blocks() -> None:
    """All that Gram-Schmidt does to vectors, but for the roots of 12 sums and a first number."""
    program = engine.compile(STEPS["gram schmidt"].function)
    program(STEPS["gram schmidt"].at)
    text = str(program)
    assert sum(map(int, re.findall(r"tape of (\d+) operation", text))) <= 13, text
    assert "sums of 12 products" in text


@named(0, 1)
def test_a_batch_of_loops_is_what_the_engine_computes(name: str, order: int) -> None:
    steps = STEPS[name]
    check_batch(steps.function, near(steps.at, 19 if order < 2 else 5), order)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STEPS if name not in DECIDED])
def test_a_batch_of_loops_in_single_precision(name: str) -> None:
    check_batch(STEPS[name].function, near(STEPS[name].at, 19), 1, "float32")


@named(1, 2)  # values alone are looked at above
def test_one_example_of_loops_is_what_the_engine_computes(name: str, order: int) -> None:
    steps = STEPS[name]
    f = of_order(steps.function, order)
    program = engine.compile(f)
    for p in near(steps.at, 2):
        expected, exact = engine.value_and_grad(f)(p)
        if order == 0:
            assert program(p) == pytest.approx(expected, rel=1e-10)
            continue
        value, gradient = program.value_and_grad(p)
        assert value == pytest.approx(expected, rel=1e-10)
        size = np.abs(exact).max() + 1e-6
        np.testing.assert_allclose(gradient, exact, rtol=0.0, atol=1e-10 * size)


@pytest.mark.parametrize("name", ["newton", "kalman", "viterbi", "a loop in a loop"])
def test_loops_of_numba_are_what_the_engine_computes(name: str) -> None:
    steps = STEPS[name]
    points = near(steps.at, 3)
    program = engine.compile(steps.function, in_axes=0, native=False)
    values, gradients = program.value_and_grad(points)
    expected = [engine.value_and_grad(steps.function)(p) for p in points]
    np.testing.assert_allclose(values, [v for v, _ in expected], rtol=1e-12)
    np.testing.assert_allclose(gradients, [g for _, g in expected], rtol=1e-9, atol=1e-12)


FLIPPING = {
    "bouncing ball": [[h, 0.0, 0.4] for h in (0.5, 1.0, 2.0, 4.0, 9.0)],
    "pendulum": [[1.0, 0.0, 9.8], [3.1, 0.5, 9.8], [3.0, 4.0, 9.8], [2.0, 9.0, 9.8]],
    "bisection": [[0.0, 3.0, target] for target in (0.5, 2.0, 3.3, 7.1)],
    "ends early": [[0.5, 2.0], [0.7, 2.0], [1.5, 2.0], [0.5, 0.3]],
}


@pytest.mark.parametrize("order", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FLIPPING)
def test_guards_that_flip_in_the_middle_take_another_path(name: str, order: int) -> None:
    """In a batch, and from one call to the next."""
    f, points = STEPS[name].function, FLIPPING[name]
    assert "paths" in repr(check_batch(f, points, order))
    f = of_order(f, order)
    program = engine.compile(f)
    for p in [*points, *points]:
        value, gradient = engine.value_and_grad(f)(p)
        if order == 0:
            assert program(p) == pytest.approx(value, rel=1e-10)
            continue
        actual, found = program.value_and_grad(p)
        assert actual == pytest.approx(value, rel=1e-10)
        least = 1e-10 * (np.abs(gradient).max() + 1.0)
        np.testing.assert_allclose(found, gradient, rtol=0.0, atol=least)
    assert "paths" in repr(program)


def test_what_overflows_within_a_loop_is_found_where_it_happens() -> None:
    def growing(p: list[Any]) -> Any:
        x, y = p
        for _ in range(60):
            y = y + 1.0 / (1.0 + engine.exp(x))  # inf, and then 0
            x = x + 20.0
        return y

    program = engine.compile(growing)
    assert program([1.0, 0.5]) == pytest.approx(engine.value_and_grad(growing)([1.0, 0.5])[0])
    with engine.errstate("raise"), pytest.raises(engine.DomainError, match="exp"):
        program([1.0, 0.5])


@pytest.mark.parametrize("repeats", [6, 400])
def test_what_repeats_too_seldom_is_no_loop(repeats: int) -> None:
    def f(p: list[Any]) -> Any:
        x, y = p
        for k in range(repeats):
            x = engine.sin(x * y) + DATA[k % 2] * x
        return x

    program = engine.compile(f)
    program([0.5, 0.7])
    assert ("for t in" in str(program)) == (repeats > 6)


# --- operands that are no plain recurrence -----------------------------------------------------


def one_of_many_that_is_read_in_each_step(p: list[Any]) -> Any:
    order = random.Random(1).choices(range(len(p)), k=60)
    x = p[1]
    for k in order:
        x = engine.tanh(0.5 * x * p[0] + p[k])
    return x


def the_one_before_or_the_one_before_that(p: list[Any]) -> Any:
    order = random.Random(2).choices((1, 2), k=60)
    xs, y = [p[0], p[1]], p[2]
    for back in order:
        y = engine.sin(0.5 * y + xs[-back])
        xs.append(engine.tanh(xs[-1] + 0.3 * y))
    return xs[-1] * y


def some_steps_are_results(p: list[Any]) -> Any:
    chosen = random.Random(3).choices((0.0, 1.0), k=60)
    x, y, seen = p[0], p[1], 0.0
    for weight in chosen:
        x, y = engine.tanh(x + p[2] * y), engine.sin(0.9 * y + p[2])
        if weight:
            seen = seen + x * x
    return seen * y


def the_first_steps_are_others(p: list[Any]) -> Any:
    x, y = p[0], p[1]
    for k in range(150):
        x = engine.tanh(x + (p[2] if k < 50 else y))
        y = engine.sin(y * x) if k < 100 else engine.sin(y * p[2])
    return x * y


def steps_within_long_steps(p: list[Any]) -> Any:
    x, y = p[0], p[1]
    for _ in range(12):
        for _ in range(40):
            x = engine.tanh(0.9 * x + 0.1 * y)
        y = engine.sin(y + x) * p[2]
    return x * y


def some_steps_are_looked_at(p: list[Any]) -> Any:
    x, y, seen = p[0], p[1], []
    for _ in range(60):
        x, y = x + 0.1 * p[2] * y - 0.05 * x * y, y - 0.1 * p[3] * x * x
        seen.append(x)
    loss = engine.sum([(x - 0.3) ** 2 for x in seen[3::7]])
    return loss + engine.maximum(seen[30], y) * x


@pytest.mark.parametrize("lanes", [1, 9])
def test_steps_of_which_some_are_looked_at_are_one_loop_backwards(lanes: int) -> None:
    program = engine.compile(some_steps_are_looked_at, in_axes=0)
    program.grad(near([0.4, -0.3, 0.8, 0.2], lanes))
    assert str(engine.draw(program, backward=True)).count("for t in reversed(range(") == 1


@pytest.mark.parametrize("lanes", [0, 9])
@pytest.mark.parametrize(
    "f",
    [
        some_steps_are_looked_at,
        one_of_many_that_is_read_in_each_step,
        the_one_before_or_the_one_before_that,
        some_steps_are_results,
        the_first_steps_are_others,
        steps_within_long_steps,
    ],
    ids=lambda f: f.__name__.replace("_", " "),
)
def test_operands_that_are_no_plain_recurrence(f: Function, lanes: int) -> None:
    points = near([0.4, -0.3, 0.8, 0.2, -0.6], lanes or 1)
    expected = [engine.value_and_grad(f)(p) for p in points]
    program = engine.compile(f, in_axes=0 if lanes else None)
    values, gradients = program.value_and_grad(points if lanes else points[0])
    np.testing.assert_allclose(values, [v for v, _ in expected][: lanes or 1], rtol=1e-12)
    exact = np.array([g for _, g in expected])
    np.testing.assert_allclose(
        np.reshape(gradients, exact.shape), exact, rtol=0.0, atol=1e-12 * np.abs(exact).max()
    )
    assert looped(program) > 0.5, str(program)


# --- programs at random ------------------------------------------------------------------------


def at_random(seed: int) -> Steps:
    """A recurrence of a few numbers at random: each is computed of what is there by then, in this
    step or the one before, of data of the step, of inputs and of what was two steps ago."""
    rng = random.Random(seed)
    size, count = rng.randint(1, 4), rng.randint(20, 60)
    chosen = [
        [(rng.choice(("mul", "add", "tanh", "sin", "max")), *_sources(rng)) for _ in range(size)]
        for _ in range(rng.randint(1, 3))
    ]
    skipped = rng.random() < 0.3  # iterations that do a little more

    def f(p: list[Any]) -> Any:
        state = [p[k % len(p)] for k in range(size)]
        ago, total = [state, state], 0.0
        for t in range(count):
            for part in chosen:
                state = [
                    _step(name, [_read(x, p, state, ago, t) for x in sources])
                    for name, *sources in part
                ]
            if skipped and t % 17 == 5:
                state[0] = engine.sin(state[0] + p[0])
            ago = [ago[-1], state]
            if size > 2:
                total = total + state[-1] * state[-1]
        return engine.sum(state) + total

    return Steps(f, [rng.uniform(-0.9, 0.9) for _ in range(3)])


def _sources(rng: random.Random) -> list[tuple[str, int]]:
    kinds = ("state", "state", "input", "data", "ago", "constant")
    return [(rng.choice(kinds), rng.randrange(4)) for _ in range(2)]


def _read(source: tuple[str, int], p: list[Any], state: Any, ago: Any, t: int) -> Any:
    kind, k = source
    known = {
        "state": lambda: state[k % len(state)],
        "input": lambda: p[k % len(p)],
        "data": lambda: DATA[t + k],
        "ago": lambda: ago[0][k % len(state)],
        "constant": lambda: 0.25 * k,
    }
    return known[kind]()


def _step(name: str, operands: list[Any]) -> Any:
    a, b = operands
    if name == "mul":
        return 0.5 * a * b
    if name == "add":
        return 0.4 * a - 0.5 * b
    if name == "max":
        return engine.maximum(0.9 * a, 0.5 * b)
    return (engine.tanh if name == "tanh" else engine.sin)(a + 0.3 * b)


def check(seed: int) -> float:
    steps = at_random(seed)
    points = near(steps.at, 5, seed)
    program = engine.compile(steps.function, in_axes=0)
    values, gradients = program.value_and_grad(points)
    for k, p in enumerate(points):
        value, exact = engine.value_and_grad(steps.function)(p)
        size = np.abs(exact).max() + 1e-3
        assert values[k] == pytest.approx(value, rel=1e-10, abs=1e-12)
        np.testing.assert_allclose(gradients[k], exact, rtol=0.0, atol=1e-10 * size)
    return looped(program)


def test_recurrences_at_random() -> None:
    shares = [check(seed) for seed in range(12)]
    assert sum(share > 0.7 for share in shares) >= 4, shares  # many are soon constant


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(k, k + 50) for k in range(12, 512, 50)], ids=str)
def test_many_recurrences_at_random(seeds: range) -> None:
    for seed in seeds:
        check(seed)
