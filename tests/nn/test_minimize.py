"""Minimising functions without data: both paths, programs used again, and what is refused."""

from __future__ import annotations

import math
import random

import pytest

import engine
import nn
from engine import TraceError, Value
from notes import Notes

PATHS = pytest.mark.parametrize("path", ["scalar", "vectorised"])


def rosenbrock(p: list[Value]) -> Value:
    return (1.0 - p[0]) ** 2 + 100.0 * (p[1] - p[0] ** 2) ** 2


def values(*numbers: float) -> list[Value]:
    return [Value(x) for x in numbers]


@PATHS
def test_a_function_falls(path: str) -> None:
    p = values(-1.0, 1.0)
    history = nn.minimize(
        lambda: rosenbrock(p), nn.Adam(p, lr=0.05), steps=800, path=path, progress=False
    )
    assert history.path == path
    assert len(history.loss) == len(history.step_loss) == 800
    assert history.loss[0] == 4.0
    assert history.step_weight == [1.0] * 800
    assert history.loss[-1] < 1e-3


def test_all_paths_take_the_same_steps() -> None:
    runs = []
    for path, native in (("scalar", True), ("vectorised", True), ("vectorised", False)):
        p = values(-0.5, 0.7)
        optimizer = nn.Adam(p, lr=0.02)
        scheduler = nn.LambdaLR(optimizer, lambda k: 1.0 / (1.0 + k), interval="step")
        history = nn.minimize(
            lambda p=p: rosenbrock(p),
            optimizer,
            steps=50,
            scheduler=scheduler,
            path=path,
            native=native,
            progress=False,
        )
        runs.append([*history.loss, *[x.data for x in p]])
    assert runs[1] == pytest.approx(runs[0], rel=1e-10)
    assert runs[2] == pytest.approx(runs[0], rel=1e-10)


def test_a_loss_over_rows_of_an_mlp_as_in_micrograd() -> None:
    rng = random.Random(0)
    model = nn.MLP(2, [4, 1], rng=rng)
    rows = [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.choice([-1, 1])) for _ in range(10)]

    def loss() -> Value:
        margins = sum((1 + -label * model(list(x))).relu() for x, label in rows)
        return margins / len(rows) + 1e-4 * sum(p * p for p in model.parameters())

    start = [p.data for p in model.parameters()]
    runs = []
    for path in ("scalar", "vectorised"):
        for p, x in zip(model.parameters(), start, strict=True):
            p.data = x
        optimizer = nn.SGD(model.parameters(), lr=0.05)
        runs.append(nn.minimize(loss, optimizer, steps=20, path=path, progress=False).loss)
    assert runs[1] == pytest.approx(runs[0], rel=1e-10)
    assert runs[0][-1] < runs[0][0]


def test_a_branch_that_comes_out_otherwise_on_the_way_is_followed() -> None:
    runs = []
    for path in ("scalar", "vectorised"):
        p = values(3.0)

        def f(p: list[Value] = p) -> Value:
            return p[0] ** 2 if p[0] > 1.0 else (p[0] - 0.5) ** 4

        history = nn.minimize(f, nn.SGD(p, lr=0.1), steps=30, path=path, progress=False)
        runs.append(history.loss)
    assert runs[1] == pytest.approx(runs[0], rel=1e-12)


def test_a_program_is_used_again() -> None:
    p = values(-1.0, 1.0)
    calls = Notes()

    def f() -> Value:
        calls.add()
        return rosenbrock(p)

    program = engine.compile(f, wrt=p)
    for _ in range(3):
        nn.minimize(program, nn.SGD(p, lr=1e-3), steps=10, path="vectorised", progress=False)
    assert len(calls) == 1


@PATHS
@pytest.mark.parametrize("wrt", [(0, 1), (1, 0), (1,), None])
def test_a_program_of_other_parameters_or_in_another_order_is_as_good(path: str, wrt) -> None:
    p = values(1.0, 2.0)
    named = None if wrt is None else [p[k] for k in wrt]
    program = engine.compile(lambda: p[0] ** 2 + 10.0 * p[1], wrt=named)
    history = nn.minimize(program, nn.SGD(p, lr=0.25), steps=2, path=path, progress=False)
    assert (history.path, [x.data for x in p]) == (path, [0.25, -3.0])


def test_the_gradient_of_the_last_update_is_in_the_parameters() -> None:
    p = values(2.0)
    nn.minimize(lambda: p[0] ** 2, nn.SGD(p, lr=0.25), steps=2, progress=False)
    assert p[0].data == 0.5
    assert p[0].grad == 2.0


def test_draws_are_new_at_every_step_and_alike_on_both_paths() -> None:
    runs = []
    for path in ("scalar", "vectorised"):
        p = values(1.0)

        def f(p: list[Value] = p) -> Value:
            return p[0] * engine.random()

        history = nn.minimize(f, nn.SGD(p, lr=0.0), steps=5, seed=3, path=path, progress=False)
        runs.append(history.loss)
    assert runs[0] == runs[1]
    assert len({*runs[0]}) == 5


def test_what_does_not_compile_runs_on_values_and_says_so() -> None:
    cube = engine.custom_op("cube", lambda x: x**3, [lambda x, out: 3 * x * x])
    p = values(1.0)
    history = nn.minimize(lambda: cube(p[0]), nn.SGD(p, lr=0.1), steps=2, progress=False)
    assert history.path == "scalar"
    assert "cube" in history.reason
    with pytest.raises(TraceError, match="cube"):
        nn.minimize(
            lambda: cube(p[0]), nn.SGD(p, lr=0.1), steps=2, path="vectorised", progress=False
        )


@PATHS
def test_what_is_no_one_number_is_refused_and_the_parameters_stay(path: str) -> None:
    p = values(1.0)
    for f in (lambda: [p[0], p[0]], lambda: 1.0):
        with pytest.raises(TypeError, match=r"one (number|Value)"):
            nn.minimize(f, nn.SGD(p, lr=0.1), steps=2, path=path, progress=False)
    assert p[0].data == 1.0


def test_wrong_settings_are_refused() -> None:
    p = values(1.0)
    with pytest.raises(ValueError, match="steps is at least 1, not 0"):
        nn.minimize(lambda: p[0] ** 2, nn.SGD(p, lr=0.1), steps=0)
    with pytest.raises(TypeError, match="a function of no arguments"):
        nn.minimize(3.0, nn.SGD(p, lr=0.1), steps=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="optimizer is built on"):
        nn.minimize(lambda: p[0] ** 2, nn.SGD, steps=1)  # type: ignore[arg-type]


@PATHS
def test_a_loss_that_becomes_nan_is_shown_as_such(path: str) -> None:
    p = values(-1.0)
    options = {"steps": 3, "path": path, "progress": False}
    with pytest.warns(RuntimeWarning, match=r"the loss is nan at update 1 of 3: sqrt\(.*goes on"):
        history = nn.minimize(
            lambda: engine.sqrt(p[0]), nn.SGD(p, lr=0.1), on_nonfinite="continue", **options
        )
    assert len(history.loss) == 3 and all(math.isnan(x) for x in history.loss)


@PATHS
def test_a_function_that_leaves_its_domain_stops_there(path: str) -> None:
    p = values(1.0)
    optimizer = nn.SGD(p, lr=0.4)
    with pytest.warns(RuntimeWarning, match="the run stopped"):
        history = nn.minimize(
            lambda: engine.log(p[0]), optimizer, steps=9, path=path, progress=False
        )
    # 1, 0.6, and then below 0
    assert history.loss == pytest.approx([0.0, math.log(0.6)]) and p[0].data > -0.1
    assert history.stopped.startswith("the loss is nan at update 3 of 9: log(")
