"""Several Python threads compile and run at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import engine
from engine import Value
from engine.randomness import draw, drawing
from notes import Notes

THREADS = 6


def at_once(work: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """Run work(0), work(1), … in threads that start together; raise what they raise."""
    barrier = threading.Barrier(threads)

    def start(k: int) -> Any:
        barrier.wait(timeout=30.0)
        return work(k)

    with ThreadPoolExecutor(threads) as pool:
        return [
            future.result(timeout=60.0)
            for future in [pool.submit(start, k) for k in range(threads)]
        ]


def layer(w: Any, x: Any) -> Any:
    return engine.sum(engine.tanh(engine.dot(row, x)) for row in w)


W = np.random.default_rng(0).normal(size=(5, 4)).tolist()


def test_threads_share_a_program() -> None:
    program = engine.compile(layer, in_axes=(None, 0), reduce="sum")

    def work(k: int) -> Any:
        X = np.random.default_rng(k).normal(size=(10 + 50 * k, 4))
        return [program.value_and_grad(W, X) for _ in range(20)]

    for k, results in enumerate(at_once(work)):
        X = np.random.default_rng(k).normal(size=(10 + 50 * k, 4))
        hidden = np.tanh(X @ np.array(W).T)
        for value, gradient in results:
            np.testing.assert_allclose(hidden.sum(), value, rtol=1e-11)
            np.testing.assert_allclose((1 - hidden**2).T @ X, gradient, rtol=1e-9, atol=1e-11)


def test_threads_trace_one_program_once() -> None:
    calls = Notes()

    def f(x: Any) -> Any:
        calls.add()
        return engine.sum(x[0] ** k for k in range(2, 100))

    program = engine.compile(f)
    assert {98.0} == set(at_once(lambda k: program([1.0])))
    assert len(calls) == 1


def test_threads_compile_programs_of_their_own() -> None:
    def work(k: int) -> Any:
        program = engine.compile(lambda x: engine.sin(x) ** (k + 2) * k + engine.exp(-x))
        return [program.value_and_grad(0.1 * j) for j in range(20)]

    for k, results in enumerate(at_once(work)):
        for j, (value, slope) in enumerate(results):
            s, c, e = np.sin(0.1 * j), np.cos(0.1 * j), np.exp(-0.1 * j)
            np.testing.assert_allclose(s ** (k + 2) * k + e, value, rtol=1e-13)
            np.testing.assert_allclose((k + 2) * k * s ** (k + 1) * c - e, slope, rtol=1e-12)


def test_threads_take_different_paths_of_one_program() -> None:
    def f(x: Any) -> Any:
        n = 0
        while x > 1:
            x, n = x / 2, n + 1
        return x * n

    program = engine.compile(f, in_axes=0)
    batches = [np.random.default_rng(k).uniform(0.5, 4000.0, size=100) for k in range(THREADS)]
    for batch, out in zip(batches, at_once(lambda k: program(batches[k])), strict=True):
        assert [f(x) for x in batch.tolist()] == out.tolist()


def test_threads_trace_and_build_graphs_at_once() -> None:
    """One thread's trace must not see another thread's eager comparisons, or the reverse."""

    def eager(k: int) -> Any:
        total = Value(0.0)
        for j in range(300):
            total = total + j if Value(float(j)) > 100 else total * 1.0
            total.data  # noqa: B018
        total.backward()
        return total.data

    def compiled(k: int) -> Any:
        f = lambda x: x * x if x > k else x - k  # noqa: E731
        return [engine.compile(f)(k + d) for d in (-1.0, 1.0) for _ in range(20)][::20]

    results = at_once(lambda k: eager(k) if k % 2 else compiled(k))
    assert [float(sum(range(101, 300)))] * 3 == results[1::2]
    assert [[-1.0, (k + 1.0) ** 2] for k in (0, 2, 4)] == results[::2]


def test_threads_add_gradients_into_shared_leaves() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        _add_gradients()
    finally:
        sys.setswitchinterval(interval)


def _add_gradients() -> None:
    w = [Value(1.0) for _ in range(20)]
    program = engine.compile(lambda x: engine.sum(x * v for v in w), in_axes=0)
    eager = Value(1.0)

    def work(k: int) -> None:
        for _ in range(400):
            program.backward([1.0, 2.0])
            (eager * 1.0).backward()

    at_once(work)
    assert [v.grad for v in w] == [3.0 * 400 * THREADS] * 20
    assert eager.grad == 400.0 * THREADS


def test_programs_inside_of_each_other_do_not_wait_for_each_other() -> None:
    one = engine.compile(lambda x: x * x if x > 0 else x)
    two = engine.compile(lambda x: one(x) + 1.0 if x < 5 else x)
    three = engine.compile(lambda x: one(two(x)) + two(one(x)))

    def work(k: int) -> Any:
        return [
            p(x) for x in (2.0, -3.0, 7.0) for p in ((one, two, three), (three, two, one))[k % 2]
        ]

    results = at_once(work)
    assert results[0][:3] == [4.0, 5.0, 42.0]
    assert all(r == results[0] for r in results[::2]) and all(
        r == results[1] for r in results[1::2]
    )


def test_every_thread_has_a_stream_of_its_own() -> None:
    program = engine.compile(lambda x: engine.random() + x)

    def work(k: int) -> Any:
        with drawing(k, 0):
            return [program(0.0) for _ in range(10)]

    for k, results in enumerate(at_once(work)):
        assert [draw(k, step, 0, 0) for step in range(10)] == results
