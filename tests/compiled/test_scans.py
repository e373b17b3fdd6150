"""Loops by `scan` and `while_loop` in compiled programs: what eager loops give, at orders 0 to 2,
single and batched, as machine code and interpreted."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import nn
from compiled.scan_programs import PROGRAMS, random_loop
from engine import Value
from engine.compiled import blocks
from engine.compiled.lift import nested
from engine.compiled.program import Program

NAMES = pytest.mark.parametrize("name", PROGRAMS)
# `adaptive` compares numbers that single precision rounds otherwise: it takes other steps
TOLERANCE = {"float64": 1e-10, "float32": 2e-3}
WAYS = {
    "native": {},
    "native, as of many rows and steps": {},
    "interpreted": {"native": False},
    "float32": {"dtype": np.float32},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How programs run. Large steps have their own rows beside those of the program, and of many
    steps not each has its carry saved."""
    if request.param in ("native, as of many rows and steps", "interpreted"):
        monkeypatch.setattr(blocks, "_ON_STACK", 3)
        monkeypatch.setattr(nested, "_KEPT", 8)
    return str(request.param)


def points(count: int, examples: int = 11) -> np.ndarray[Any, Any]:
    """Inputs of some examples."""
    return np.random.default_rng(count).uniform(0.2, 0.9, (examples, count))


def loops_in(program: Program) -> int:
    """How many loops there are by `scan` or `while_loop` in what a program says it does."""
    return str(program).count("while a condition holds") + str(program).count("for t in range")


@NAMES
def test_values_and_gradients_are_those_of_the_eager_loop(name: str, way: str) -> None:
    f, count = PROGRAMS[name]
    tolerance = TOLERANCE.get(way, 1e-10)
    x = points(count)
    wanted = [engine.value_and_grad(f)(row) for row in x.tolist()]
    values, gradients = (np.array(part) for part in zip(*wanted, strict=True))
    single = engine.compile(f, **WAYS[way])
    value, gradient = single.value_and_grad(x[0].tolist())
    np.testing.assert_allclose(value, values[0], tolerance, tolerance)
    np.testing.assert_allclose(gradient, gradients[0], tolerance, tolerance)
    batched = engine.compile(f, in_axes=0, **WAYS[way])
    np.testing.assert_allclose(batched(x), values, tolerance, tolerance)
    found = batched.value_and_grad(x)
    np.testing.assert_allclose(found[0], values, tolerance, tolerance)
    np.testing.assert_allclose(found[1], gradients, tolerance, tolerance)
    assert loops_in(single) >= 1
    assert loops_in(batched) >= 1


@NAMES
def test_second_derivatives_are_those_of_the_eager_loop(name: str) -> None:
    f, count = PROGRAMS[name]
    x = points(count)[0].tolist()
    program = engine.compile(lambda p: engine.sum(engine.grad(f)(p)))
    value, gradient = program.value_and_grad(x)
    np.testing.assert_allclose(value, sum(engine.grad(f)(x)), 1e-10, 1e-10)
    hessian = np.array(engine.hessian(f)(x))
    np.testing.assert_allclose(gradient, hessian.sum(axis=0), 1e-9, 1e-9)


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(k, marks=pytest.mark.slow) for k in range(8, 150))]
)
def test_random_steps(seed: int) -> None:
    by_scan, by_for, count = random_loop(random.Random(seed))
    x = points(count, 5)
    wanted = [engine.value_and_grad(by_for)(row) for row in x.tolist()]
    found = [engine.value_and_grad(by_scan)(row) for row in x.tolist()]
    np.testing.assert_allclose([y for y, _ in found], [y for y, _ in wanted], 1e-12)
    batched = engine.compile(by_scan, in_axes=0)
    values, gradients = batched.value_and_grad(x)
    np.testing.assert_allclose(values, [y for y, _ in wanted], 1e-9, 1e-9)
    np.testing.assert_allclose(gradients, [g for _, g in wanted], 1e-8, 1e-8)
    value, gradient = engine.compile(by_scan).value_and_grad(x[0].tolist())
    np.testing.assert_allclose(value, wanted[0][0], 1e-9, 1e-9)
    np.testing.assert_allclose(gradient, wanted[0][1], 1e-8, 1e-8)


# --- what becomes one loop ----------------------------------------------------------------------


def test_a_million_steps_are_one_instruction() -> None:
    def f(a: Any) -> Any:
        return engine.scan(lambda c, _: (c + a * (1.0 - c) * 1e-6, None), 0.0, length=1_000_000)[0]

    program = engine.compile(f)
    value, gradient = program.value_and_grad(1.0)
    assert value == pytest.approx(1.0 - (1.0 - 1e-6) ** 1_000_000, rel=1e-9)
    assert gradient == pytest.approx((1.0 - 1e-6) ** 999_999, rel=1e-9)
    assert "4,000,000 scalar operations became 2 instructions" in str(program)


def test_each_example_takes_as_many_steps_as_it_needs() -> None:
    def f(x: Any) -> Any:
        return engine.while_loop(
            lambda c: c[0] < 100.0, lambda c: (2.0 * c[0], c[1] + 1.0), (x, 0.0)
        )

    program = engine.compile(f, in_axes=0)
    x = np.array([200.0, 60.0, 3.0, 1e-9])
    doubled, count = program(x)
    np.testing.assert_array_equal(count, [0, 1, 6, 37])
    np.testing.assert_array_equal(doubled, x * 2.0**count)
    by_x = engine.compile(lambda y: f(y)[0], in_axes=0).value_and_grad(x)[1]
    np.testing.assert_array_equal(by_x, 2.0**count)


def test_a_step_that_branches_is_traced_step_by_step() -> None:
    def f(p: list[Any]) -> Any:
        def step(c: Any, _: Any) -> Any:
            return (c * p[0] if c > 0.5 else c + p[1]), c

        c, seen = engine.scan(step, 0.1, length=10)
        return c + engine.sum(seen)

    x = points(2)
    values, gradients = engine.compile(f, in_axes=0).value_and_grad(x)
    wanted = [engine.value_and_grad(f)(row) for row in x.tolist()]
    np.testing.assert_allclose(values, [y for y, _ in wanted], 1e-12)
    np.testing.assert_allclose(gradients, [g for _, g in wanted], 1e-12)


def test_a_loop_in_a_step_is_asked_whether_it_ended_when_all_steps_are_over() -> None:
    def f(a: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            return engine.while_loop(lambda y: y < x, lambda y: a * y, c, limit=50), None

        return engine.scan(step, 1.0, [3.0, 10.0, 40.0])[0]

    program = engine.compile(f, in_axes=0)
    a = np.array([2.0, 3.0, 1.5])
    values, gradients = program.value_and_grad(a)
    wanted = [engine.value_and_grad(f)(x) for x in a.tolist()]
    np.testing.assert_allclose(values, [y for y, _ in wanted], 1e-12)
    np.testing.assert_allclose(gradients, [g for _, g in wanted], 1e-12)
    assert str(program).count("while a condition holds") == 1
    with pytest.raises(RuntimeError, match="has not ended after 50 steps"):
        program(np.array([2.0, 1.0]))


def test_a_step_that_draws_draws_anew_in_each() -> None:
    def f(x: Any) -> Any:
        return engine.scan(lambda c, _: (c + engine.random(), None), x, length=9)[0]

    engine.manual_seed(3)
    eager = f(0.0).data
    engine.manual_seed(3)
    program = engine.compile(f)
    assert program(0.0) == pytest.approx(eager, rel=1e-15)
    assert program(0.0) != pytest.approx(eager, rel=1e-6)


def test_entries_that_are_used_as_python_numbers_are_traced_step_by_step() -> None:
    data = [0.5, 0.25, 2.0]

    def f(x: Any) -> Any:
        return engine.scan(lambda c, k: (c * data[k] + k, None), x, range(3))[0]

    assert engine.compile(f).value_and_grad(3.0) == engine.value_and_grad(f)(3.0)


@pytest.mark.parametrize("kind", ["list", "array", "array of rows", "Values", "dicts"])
def test_kinds_of_entries(kind: str) -> None:
    rows = [[0.1 * k, 0.2 * k] for k in range(9)]

    def entries(x: Any) -> Any:
        return {
            "list": [row[0] for row in rows],
            "array": np.array(rows)[:, 0],
            "array of rows": np.array(rows),
            "Values": [x * row[0] for row in rows],
            "dicts": [{"a": row[0], "b": x * row[1]} for row in rows],
        }[kind]

    def number(x: Any) -> Any:
        if kind == "dicts":
            return x["a"] + x["b"]
        return x[0] - x[1] if kind == "array of rows" else x

    def f(x: Any) -> Any:
        c, seen = engine.scan(
            lambda c, e: (c * x + number(e), {"seen": [c, c * c]}), 0.3, entries(x)
        )
        return c + engine.sum([y["seen"][1] for y in seen])

    value, gradient = engine.value_and_grad(f)(0.7)
    program = engine.compile(f)
    np.testing.assert_allclose(program.value_and_grad(0.7), (value, gradient), 1e-12)
    assert loops_in(program) == 1
    batched = engine.compile(f, in_axes=0).value_and_grad(np.array([0.7, 0.2]))
    np.testing.assert_allclose([part[0] for part in batched], (value, gradient), 1e-12)


def test_structures_come_back_as_in_an_eager_loop() -> None:
    def f(x: Any) -> Any:
        carry, ys = engine.scan(
            lambda c, e: ({"a": c["a"] * e, "b": (c["b"][1], c["b"][0])}, (c["a"], [e])),
            {"a": x, "b": (x + 1.0, 2.0)},
            [1.0, 2.0, 3.0],
        )
        nothing, none = engine.scan(lambda c, _: (c, None), x, length=2)
        same, empty = engine.scan(lambda c, _: (c, c), x, [])
        return carry, ys, nothing, same, [] if none is None and empty == [] else None

    assert engine.compile(f)(3.0) == f(3.0)


def test_no_grad_inside_holds() -> None:
    def f(x: Any) -> Any:
        with engine.no_grad():
            c, _ = engine.scan(lambda c, _: (c * x, None), 1.0, length=4)
        return c * x

    assert engine.compile(f).value_and_grad(2.0) == engine.value_and_grad(f)(2.0) == (32.0, 16.0)


def test_a_root_that_is_not_chosen_passes_nothing_on() -> None:
    def f(x: Any) -> Any:
        def step(c: Any, e: Any) -> Any:
            return c + engine.where(e > 0.0, engine.sqrt(x * e), 0.0), None

        return engine.scan(step, 0.0, [0.0, 1.0, -1.0, 4.0])[0]

    assert engine.compile(f).value_and_grad(4.0) == engine.value_and_grad(f)(4.0) == (6.0, 0.75)
    values, gradients = engine.compile(f, in_axes=0).value_and_grad(np.array([4.0, 1.0]))
    assert (values.tolist(), gradients.tolist()) == ([6.0, 3.0], [0.75, 1.5])


def test_errstate_names_the_operation_within_a_step() -> None:
    def f(x: Any) -> Any:
        return engine.scan(
            lambda c, e: (c + engine.exp(-engine.exp(e * x)), None), 0.0, [1.0, 9.0]
        )[0]

    program = engine.compile(f)
    assert np.isfinite(program(100.0))
    with engine.errstate("raise"), pytest.raises(engine.DomainError, match=r"exp\(900"):
        program(100.0)


class Recurrent(nn.Module):
    """A recurrent layer and a layer on what it ends with."""

    def __init__(self, width: int, rng: random.Random) -> None:
        self.into = nn.Linear(2, width, rng=rng)
        self.again = nn.Linear(width, width, rng=rng)
        self.out = nn.Linear(width, 1, rng=rng)
        self.unrolled = False

    def forward(self, x: Any) -> Any:
        """The output after all entries of a flat list of pairs."""
        pairs = [x[k : k + 2] for k in range(0, len(x), 2)]

        def step(h: Any, e: Any) -> Any:
            added = zip(self.into(e), self.again(h), strict=True)
            return [engine.tanh(u + v) for u, v in added], None

        h = [0.0] * len(self.again.bias)
        if self.unrolled:
            for pair in pairs:
                h, _ = step(h, pair)
        else:
            h, _ = engine.scan(step, h, pairs)
        return self.out(h)


def test_a_model_trains_as_its_unrolled_self() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 10))
    y = x[:, :2].sum(axis=1, keepdims=True)
    losses = []
    for unrolled in (False, True):
        model = Recurrent(5, random.Random(0))
        model.unrolled = unrolled
        history = nn.fit(
            model,
            x,
            y,
            loss=nn.MSELoss(),
            optimizer=nn.Adam(model.parameters(), lr=0.01),
            epochs=3,
            batch_size=8,
            seed=0,
            progress=False,
        )
        losses.append(history.loss)
    np.testing.assert_allclose(losses[0], losses[1], 1e-9)
    assert losses[0][-1] < losses[0][0]


# --- what is refused, eagerly and compiled alike ------------------------------------------------


def keeps_state(x: Any) -> Any:
    """A step that appends to a list."""
    seen: list[Any] = []

    def step(c: Any, _: Any) -> Any:
        seen.append(c)
        return c * x, None

    return engine.scan(step, 1.0, length=3)[0]


def counts(x: Any) -> Any:
    """A step that counts in a variable of the function around it."""
    count = 0

    def step(c: Any) -> Any:
        nonlocal count
        count += 1
        return c * x

    return engine.while_loop(lambda c: c < 10.0, step, 1.0)


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "a carry that grows": (
        lambda x: engine.scan(lambda c, _: ([*c, x], None), [x], length=3),
        ValueError,
        r"the carry that a step returns must have 1 entries, not 2, in step 0, at .*test_scans",
    ),
    "a carry with other keys": (
        lambda x: engine.while_loop(lambda c: c["a"] < 9.0, lambda c: {"b": c["a"] + x}, {"a": x}),
        ValueError,
        r"must have the keys \['a'\], not \['b'\], in step 0",
    ),
    "a length that disagrees": (
        lambda x: engine.scan(lambda c, e: (c * e, None), x, [1.0, 2.0], length=3),
        ValueError,
        r"scan was given length=3, and xs with 2 entries",
    ),
    "no length": (
        lambda x: engine.scan(lambda c, _: (c, None), x),
        ValueError,
        r"scan needs xs, or length",
    ),
    "a negative length": (
        lambda x: engine.scan(lambda c, _: (c, None), x, length=-1),
        ValueError,
        r"length is a whole number of at least 0, not -1",
    ),
    "xs of several lists in a dict": (
        lambda x: engine.scan(lambda c, _: (c, None), x, {"a": [1.0]}),
        TypeError,
        r"not a dict; for several lists write list\(zip\(a, b\)\)",
    ),
    "a step that returns nothing": (
        lambda x: engine.scan(lambda c, _: None, x, length=3),
        TypeError,
        r"returns a pair, \(carry, y\), not None, in step 0, at .*test_scans",
    ),
    "a step that returns the carry alone": (
        lambda x: engine.scan(lambda c, _: c * x, x, length=3),
        TypeError,
        r"where there is no y, return carry, None",
    ),
    "a step of while_loop that returns nothing": (
        lambda x: engine.while_loop(lambda c: c < 9.0, lambda c: None, x),
        TypeError,
        r"returns the next carry, not None, in step 0, at .*test_scans",
    ),
    "a step that keeps state": (keeps_state, TypeError, r"the step changes seen, .* in step 0"),
    "a step that counts": (counts, TypeError, r"the step changes count, .* in step 0"),
    "no step": (
        lambda x: engine.scan(3.0, x, length=3),  # type: ignore[arg-type]
        TypeError,
        r"scan takes a step, a function of the carry and of x, not 3.0",
    ),
    "a condition that is none": (
        lambda x: engine.while_loop(lambda c: [c], lambda c: c * 2.0, x),
        TypeError,
        r"the condition of while_loop is a comparison, as x > 0, not a list of 1, at .*test_scans",
    ),
    "no limit": (
        lambda x: engine.while_loop(lambda c: c < 9.0, lambda c: c * 2.0, x, limit=0),
        ValueError,
        r"limit is a whole number of at least 1, not 0",
    ),
    "a loop that never ends": (
        lambda x: engine.while_loop(lambda c: c > 0.0, lambda c: c * 1.5, x, limit=50),
        RuntimeError,
        r"not ended after 50 steps, at .*test_scans.*; its carry is 1.27524e\+09 then",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_loops_are_refused_eagerly_and_compiled_alike(name: str) -> None:
    f, kind, words = BAD[name]
    for way in (f, engine.compile(f), engine.compile(lambda x: f(x) and x)):
        with pytest.raises(kind, match=words):
            way(2.0)


def test_an_example_of_a_batch_that_never_ends_is_told() -> None:
    program = engine.compile(
        lambda x: engine.while_loop(lambda c: c < 9.0, lambda c: c + x, 0.0, limit=90), in_axes=0
    )
    np.testing.assert_array_equal(program(np.array([1.0, 2.0])), [9.0, 10.0])
    with pytest.raises(RuntimeError, match="not ended after 90 steps"):
        program(np.array([1.0, 0.0, 2.0]))


def test_a_value_of_a_step_that_is_used_outside_of_it_is_refused() -> None:
    class Box:
        def __init__(self) -> None:
            self.content: Any = None

    box = Box()
    box.content = Box()

    def f(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            box.content.content = 2.0 * c
            return c * x, None

        return engine.scan(step, 1.0, length=5)[0] + box.content.content

    with pytest.raises(engine.TraceError, match=r"made in a step|changes"):
        engine.compile(f)(2.0)


def test_values_outside_get_gradients() -> None:
    a, b = Value(0.5), Value(0.25)
    program = engine.compile(
        lambda x: engine.scan(lambda c, e: (a * c + b * e * x, None), 0.0, [1.0, 2.0, 3.0])[0],
        wrt=[a, b],
    )
    value, gradient = program.value_and_grad(2.0)
    a.grad = b.grad = 0.0
    y = engine.scan(lambda c, e: (a * c + b * e * 2.0, None), 0.0, [1.0, 2.0, 3.0])[0]
    y.backward()
    assert (value, gradient) == (pytest.approx(y.data), pytest.approx([a.grad, b.grad]))


# --- as texts and pictures ----------------------------------------------------------------------


@NAMES
def test_printed_functions_compute_the_same(name: str) -> None:
    f, count = PROGRAMS[name]
    x = points(count)[0]
    program = engine.compile(f)
    value, gradient = program.value_and_grad(x.tolist())
    space: dict[str, Any] = {}
    exec(program.source("numpy"), space)
    with np.errstate(invalid="ignore"):  # of a root that is not chosen, as the text says
        found, by_name = space["value_and_gradient"](x)
    np.testing.assert_allclose(found, value, 1e-10)
    if name != "cut_off":
        np.testing.assert_allclose(np.ravel(by_name["p"]), gradient, 1e-9)
    assert "int main" not in program.source("c")


def test_a_loop_is_drawn_with_what_its_step_does() -> None:
    f, count = PROGRAMS["integrator"]
    program = engine.compile(f)
    program.value_and_grad([0.5] * count)
    assert "for t in range(50): carries 2" in str(engine.draw(program))
    assert "back through 2 carried" in str(engine.draw(program, backward=True))
    lines = str(program).splitlines()
    (k,) = [k for k, line in enumerate(lines) if "for t in range(50)" in line]
    assert lines[k + 1].startswith("    ")
