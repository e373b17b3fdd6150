"""engine.random in a program: drawn anew at each call, and what eager evaluation would draw."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import engine
from engine import TraceError, Value
from engine.compiled import worker
from engine.randomness import draw, drawing, manual_seed


@pytest.fixture(autouse=True)
def same_stream() -> Iterator[None]:
    manual_seed(0)
    yield
    manual_seed(0)


def noisy(w: Any, x: Any) -> Any:
    return w * x * engine.random() + engine.random() * engine.random()


def expected(seed: int, step: int, example: int, w: float, x: float) -> float:
    a, b, c = (draw(seed, step, example, call) for call in range(3))
    return w * x * a + b * c


# --- which numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7, -3, 2**63 + 11], ids="seed{}".format)
def test_a_batch_draws_what_the_counters_say(seed: int) -> None:
    program = engine.compile(noisy, in_axes=(None, 0))
    xs = np.linspace(-1.0, 2.0, 9)
    manual_seed(seed)
    for step in range(3):
        out = program(1.5, xs)
        reference = [expected(seed, step, i, 1.5, x) for i, x in enumerate(xs.tolist())]
        np.testing.assert_allclose(reference, out, rtol=1e-13)


def test_a_batch_draws_what_an_eager_loop_draws() -> None:
    program = engine.compile(noisy, in_axes=(None, 0))
    xs = np.linspace(-1.0, 2.0, 5).tolist()
    with drawing(5, 3):
        out, gradient = program.value_and_grad(1.5, xs)
    for i, x in enumerate(xs):
        with drawing(5, 3, i):
            value, slope = engine.value_and_grad(noisy)(1.5, x)
        assert (value, slope) == pytest.approx((out[i], gradient[i]), rel=1e-13)


def test_one_call_draws_what_an_eager_call_draws() -> None:
    program = engine.compile(noisy)
    manual_seed(11)
    eager = noisy(2.0, Value(3.0)).data
    manual_seed(11)
    assert program(2.0, 3.0) == pytest.approx(eager, rel=1e-13)


def test_one_call_draws_for_the_example_that_is_set() -> None:
    program = engine.compile(noisy)
    with drawing(7, 2, example=3):
        eager = noisy(2.0, Value(3.0)).data
    with drawing(7, 2, example=3):
        assert program(2.0, 3.0) == pytest.approx(eager, rel=1e-13)


def test_every_call_draws_anew() -> None:
    program = engine.compile(lambda x: x + engine.random())
    assert len({program(0.0) for _ in range(50)}) == 50
    assert all(0.0 <= program(0.0) < 1.0 for _ in range(50))
    batch = engine.compile(lambda x: x + engine.random(), in_axes=0)
    assert len({*batch(np.zeros(100)).tolist(), *batch(np.zeros(100)).tolist()}) == 200


def test_a_call_does_not_repeat_what_was_drawn_eagerly_before() -> None:
    program = engine.compile(lambda x: x + engine.random())
    before = [engine.random().data for _ in range(3)]
    assert program(0.0) not in before
    after = [engine.random().data for _ in range(3)]
    assert len({*before, *after}) == 6


def test_the_same_seed_gives_the_same_numbers_also_at_the_first_call() -> None:
    runs = []
    for _ in range(2):
        program = engine.compile(noisy)
        for _ in range(2):  # traced, and not
            manual_seed(3)
            runs.append([program(1.0, 2.0) for _ in range(4)])
    assert all(run == runs[0] for run in runs)


def test_programs_without_draws_leave_the_stream_alone() -> None:
    program = engine.compile(lambda x: x * x)
    first = engine.random().data
    manual_seed(0)
    program(3.0)
    assert first == engine.random().data


# --- independent of how it is computed --------------------------------------------------------


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    xs = np.linspace(-1.0, 1.0, 1000)
    with drawing(1, 2):
        whole = engine.compile(noisy, in_axes=(None, 0)).value_and_grad(1.5, xs)
    monkeypatch.setattr(worker, "CHUNK_BYTES", 1)  # 16 lanes at a time
    with drawing(1, 2):
        chunked = engine.compile(noisy, in_axes=(None, 0)).value_and_grad(1.5, xs)
    np.testing.assert_allclose(whole[0], chunked[0], rtol=1e-13)
    np.testing.assert_allclose(whole[1], chunked[1], rtol=1e-13)


def test_the_batch_does_not_matter() -> None:
    program = engine.compile(noisy, in_axes=(None, 0))
    xs = np.linspace(-1.0, 1.0, 40)
    outs = []
    for size in (40, 7, 1):
        with drawing(1, 2):
            outs.append(program(1.5, xs[:size]))
    np.testing.assert_allclose(outs[0][:7], outs[1], rtol=1e-13)
    np.testing.assert_allclose(outs[0][:1], outs[2], rtol=1e-13)


def test_examples_draw_the_same_on_whatever_path_they_are() -> None:
    def f(x: Any) -> Any:
        r = engine.random()
        if x > 0:
            return r + engine.random()
        return r * engine.random()

    xs = [1.0, -1.0, 2.0, -2.0, 3.0]
    with drawing(4, 9):
        out = engine.compile(f, in_axes=0)(xs)
    for i, x in enumerate(xs):
        a, b = draw(4, 9, i, 0), draw(4, 9, i, 1)
        assert out[i] == (a + b if x > 0 else a * b)


def test_a_branch_on_a_draw() -> None:
    def f(x: Any) -> Any:
        return x if engine.random() < 0.5 else 2.0 * x

    program = engine.compile(f, in_axes=0)
    for step in range(3):
        with drawing(6, step):
            out = program(np.ones(50))
        assert [1.0 if draw(6, step, i, 0) < 0.5 else 2.0 for i in range(50)] == out.tolist()


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
def test_beyond_64_paths_the_draws_are_the_same() -> None:
    program = engine.compile(lambda x: int(x) + engine.random(), in_axes=0)
    with drawing(8, 1):
        out = program(np.arange(80.0))
    assert [k + draw(8, 1, k, 0) for k in range(80)] == out.tolist()


def test_draws_inside_of_derivatives_are_drawn_once() -> None:
    program = engine.compile(engine.grad(lambda x: engine.random() * x * x), in_axes=0)
    with drawing(2, 5):
        out = program([1.0, 2.0])
    assert [2.0 * draw(2, 5, i, 0) * x for i, x in enumerate((1.0, 2.0))] == out.tolist()


def test_draws_are_uniform() -> None:
    out = engine.compile(lambda x: engine.random(), in_axes=0)(np.zeros(20_000))
    counts, _ = np.histogram(out, bins=20, range=(0.0, 1.0))
    assert np.abs(counts - 1000).max() < 150  # five standard deviations


def test_float32_draws_stay_below_one() -> None:
    out = engine.compile(lambda x: engine.random(), in_axes=0, dtype="float32")(np.zeros(1000))
    assert out.dtype == np.float32 and out.min() >= 0.0 and out.max() <= 1.0


# --- draws from elsewhere ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda: random.random(), "Python's random"),
        (lambda: random.gauss(0.0, 1.0), "Python's random"),
        (lambda: np.random.rand(), r"numpy\.random"),
        (lambda: np.random.randn(), r"numpy\.random"),
    ],
    ids=["random", "gauss", "rand", "randn"],
)
def test_other_draws_inside_are_refused(function: Any, named: str) -> None:
    def spoiled(x: Any) -> Any:
        return x * function()

    random.seed(0)
    np.random.seed(0)
    for _ in range(3):  # of two normal numbers that are made at once, the second is kept aside
        with pytest.raises(TraceError, match=rf"spoiled .*{named}.*engine\.random"):
            engine.compile(spoiled)(1.0)


def test_drawing_before_is_fine() -> None:
    noise = random.random()
    assert engine.compile(lambda x: x + noise)(1.0) == 1.0 + noise
