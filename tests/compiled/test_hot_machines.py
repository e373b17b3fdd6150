"""Long functions of single operations are read by a loop until they are worth writing out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value
from engine.compiled import objects, ready, worker
from engine.compiled.native import layout
from engine.compiled.training import Loop


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each machine's operations are emitted; 10 of them are many, and 5 runs."""
    for module in (worker, layout):
        monkeypatch.setattr(module, "WRITTEN", 10)
    monkeypatch.setattr(worker, "HOT", 5)
    found: list[str] = []

    def noting(*args: Any) -> layout.Layout:
        e = layout.Layout(*args)
        found.append("written out" if e.writes_out else LOOP)
        return e

    monkeypatch.setattr(ready, "Layout", noting)
    return found


LOOP = "read by a loop"


def chain(x: Any) -> Any:
    for _ in range(10):
        x = engine.sin(x) * 1.5
    return x


def test_a_short_function_is_written_out_at_once(made: list[str]) -> None:
    program = engine.compile(lambda x: engine.sin(x) * 1.5)
    for _ in range(10):
        assert program(0.5) == pytest.approx(1.5 * math.sin(0.5), rel=1e-15)
    assert made == ["written out"]


def test_a_long_one_when_it_was_run_often(made: list[str]) -> None:
    program = engine.compile(chain)
    expected = engine.value_and_grad(chain)(0.5)
    for _ in range(10):
        assert program.value_and_grad(0.5) == pytest.approx(expected, rel=1e-13)
    assert made == [LOOP, "written out"]


def test_many_instructions_become_good_code_when_they_are_run_often(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MANY", 1)
    quick, usual = [], objects.code

    def noting(*args: Any, **options: bool) -> Any:
        quick.append(options["quick"])
        return usual(*args, **options)

    monkeypatch.setattr(ready.objects, "code", noting)
    program = engine.compile(lambda x: [engine.sin(engine.sum(x)), x[0] * x[1]])
    once = engine.compile(lambda x: engine.sin(x))
    for _ in range(10):
        assert program([0.5, 0.25, 0.125])[0] == pytest.approx(math.sin(0.875), rel=1e-15)
        once(0.5)
    assert quick == [True, False, False]  # the second is one instruction


def test_chunks_of_a_batch_count(made: list[str]) -> None:
    program = engine.compile(chain, in_axes=0)
    for _ in range(2):
        program([0.001 * k for k in range(300)])  # 5 chunks of 64 lanes at most
    assert made == [LOOP, "written out"]


def test_buffers_are_for_many_runs(made: list[str]) -> None:
    buffered = engine.compile(chain).buffered(0.5)
    assert made == [LOOP]
    assert buffered() == pytest.approx(chain(Value(0.5)).data, rel=1e-13)
    assert made[-1] == "written out"


def test_training_says_what_is_to_come(made: list[str]) -> None:
    for steps, expected in ((3, [LOOP]), (6, ["written out"])):
        made.clear()
        w = Value(0.5)
        nn.minimize(lambda w=w: chain(w), nn.SGD([w], lr=1e-3), steps=steps, progress=False)
        assert made == expected


def test_where_that_was_said_runs_are_not_counted(made: list[str]) -> None:
    w = Value(0.5)
    loop = Loop(engine.compile(lambda: chain(w), wrt=[w]))
    loop.expect(3)
    for _ in range(10):  # as a run does that goes on where it was interrupted
        loop.gradient(np.array([0.5]), np.arange(0), (0, 0))
    assert made == [LOOP]


def test_paths_beyond_a_few_are_made_in_a_quick_way_until_they_are_hot(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, code = [], objects.code

    def noting(*args: Any, **keywords: Any) -> Any:
        quick.append(keywords.get("quick", False))
        return code(*args, **keywords)

    monkeypatch.setattr(objects, "code", noting)

    def f(x: Any) -> Any:
        for k in range(8):
            if x < k:
                return x * (k + 1.0)
        return x

    program = engine.compile(f)
    for k in range(8):
        assert program(k - 0.5) == (k - 0.5) * (k + 1.0)
    assert quick == [False] * 4 + [True] * 4
    for _ in range(10):
        assert program(6.5) == 6.5 * 8.0
    assert quick == [False] * 4 + [True] * 4 + [False]
