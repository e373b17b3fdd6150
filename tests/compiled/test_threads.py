"""Large batches are divided among threads: the same results, whatever their number."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine.compiled import machine, threads


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = threads._wanted
    yield
    threads._wanted = before


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Small batches count as large; how many parts each run had."""
    monkeypatch.setattr(machine, "PART_SECONDS", 1e-12)
    found: list[int] = []
    for name in ("_run_in_parts", "_run_steps_in_parts"):
        usual = getattr(machine.Machine, name)

        def counting(self: Any, parts: int, *given: Any, usual: Any = usual) -> Any:
            found.append(parts)
            return usual(self, parts, *given)

        monkeypatch.setattr(machine.Machine, name, counting)
    return found


def f(w, x):
    return engine.where(x[0] > 0.0, engine.tanh(w[0] * x[0] + w[1] * x[1]), x[1] * w[0])


W = [0.5, -1.5]
X = np.random.default_rng(0).normal(size=(301, 2))


@pytest.mark.parametrize("reduce", [None, "sum", "mean"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_number_of_threads_gives_the_same(
    reduce: str | None, count: int, divided: list[int]
) -> None:
    runs = []
    for number in (1, count):
        engine.set_num_threads(number)
        program = engine.compile(f, in_axes=(None, 0), reduce=reduce, argnums=(0, 1))
        value, (by_w, by_x) = program.value_and_grad(W, X)
        runs.append([np.array(value), *map(np.array, by_w), by_x])
    assert divided == [count]
    for one, many in zip(*runs, strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-13)


def test_guards_and_indices_are_those_of_each_example(divided: list[int]) -> None:
    engine.set_num_threads(3)

    def g(x):
        return engine.take([1.0, 2.0, 4.0], x[0]) * x[1] if x[1] > 0 else -x[1]

    rows = [[k % 3, (-1.0) ** k * k] for k in range(50)]
    program = engine.compile(g, in_axes=0)
    assert program(rows).tolist() == [g(x) for x in rows]
    rows[41][0] = 7
    rows[41][1] = 1.0
    with pytest.raises(IndexError, match="example 41"):
        program(rows)
    assert divided


def test_draws_are_those_of_one_thread(divided: list[int]) -> None:
    runs = []
    for number in (1, 4):
        engine.set_num_threads(number)
        engine.manual_seed(3)
        runs.append(engine.compile(lambda x: x * engine.random(), in_axes=0)(np.ones(40)))
    assert runs[0].tolist() == runs[1].tolist()
    assert divided == [4]


def test_training_on_divided_batches_takes_the_same_steps(divided: list[int]) -> None:
    y = (X[:, :1] > X[:, 1:]).astype(float)
    runs = []
    for number in (1, 2):
        engine.set_num_threads(number)
        rng = random.Random(0)
        model = nn.Sequential(nn.Linear(2, 5, rng=rng), nn.Tanh(), nn.Linear(5, 1, rng=rng))
        history = nn.fit(
            *(model, X, y),
            loss=nn.MSELoss(),
            optimizer=nn.SGD(model.parameters(), lr=0.1),
            epochs=20,
            progress=False,
        )
        runs.append([*history.loss, *[p.data for p in model.parameters()]])
    assert len(divided) > 1  # a run to begin with, and calls with many updates
    assert runs[1] == pytest.approx(runs[0], rel=1e-11)


def test_an_error_in_a_part_is_raised() -> None:
    def fails() -> int:
        raise ValueError("in a part")

    with pytest.raises(ValueError, match="in a part"):
        threads.run_together([lambda: 1, fails])
    assert threads.run_together([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]


def test_the_number_of_threads_is_settable(monkeypatch: pytest.MonkeyPatch) -> None:
    engine.set_num_threads(3)
    assert engine.get_num_threads() == 3
    with pytest.raises(ValueError, match="at least 1 thread, not 0"):
        engine.set_num_threads(0)
    threads._wanted = None
    monkeypatch.setenv("GRADLOOM_NUM_THREADS", "7")
    assert engine.get_num_threads() == 7
    monkeypatch.delenv("GRADLOOM_NUM_THREADS")
    assert 1 <= engine.get_num_threads() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    script = """
import os
from engine.compiled import threads
threads.run_together([int, int, int])
child = os.fork()
if child == 0:
    os._exit(0 if threads.run_together([lambda: 1, lambda: 2]) == [1, 2] else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
