"""`Program.map`: blocks of examples, to the same bits whoever computes them."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mapped_programs import (
    ROWS,
    fits,
    looked_up,
    mapped,
    mean_of_noise,
    noisy,
    payoff,
    structured,
    w,
)

import engine
from engine import Value, spreading
from engine.compiled import mapped as mapping
from engine.compiled import worker


class Backwards:
    """An executor that does what it was given last first: results come in another order."""

    _max_workers = 64

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, work: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, work, args))
        if len(self.waiting) == 16:  # 1,000 rows in blocks of 64
            for done, waited, given in reversed(self.waiting):
                done.set_result(waited(*given))
        return future


def test_the_bits_are_the_same_whoever_computes_them_and_in_whatever_order() -> None:
    program = mean_of_noise()
    expected = mapped(program, ROWS)
    assert mapped(program, ROWS, Backwards()) == expected
    for count in (1, 2, 3):
        with ThreadPoolExecutor(count) as pool:
            assert mapped(program, ROWS, pool) == expected


def test_what_ran_before_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    market, paths = [100.0, 0.04, -0.7], np.arange(700.0)

    def found(*before: int) -> Any:
        program = engine.compile(payoff, in_axes=(None, 0), reduce="mean")
        for count in before:
            program.value_and_grad(market, paths[:count])
        engine.manual_seed(2)
        return program.map(market, paths, kind="value_and_grad", block_size=300)

    bits = []
    for runs in (10**9, 0):  # after which code is worth more compilation
        monkeypatch.setattr(worker, "HOT", runs)
        bits += [found(), found(90, 700)]
    assert bits == [bits[0]] * 4


def test_it_is_what_a_call_returns_up_to_rounding() -> None:
    batch = {"x": ROWS, "y": ROWS[:, 0]}
    for reduce in (None, "sum", "mean"):
        for argnums in (0, 1, (1, 0)):
            options: dict[str, Any] = {"in_axes": (None, 0), "reduce": reduce, "argnums": argnums}
            program = engine.compile(fits, **options)
            with ThreadPoolExecutor(2) as pool:
                found = program.map(
                    [0.7, 2.0], batch, on=pool, kind="value_and_grad", block_size=300
                )
            expected = program.value_and_grad([0.7, 2.0], batch)
            assert_alike(found, expected)
            alone = program.map([0.7, 2.0], batch, kind="grad", block_size=300)
            assert_alike(alone, found[1])


def assert_alike(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_alike(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, e in zip(found, expected, strict=True):
            assert_alike(a, e)
    else:
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_structures_are_put_together_as_a_call_returns_them() -> None:
    class Batch(NamedTuple):
        x: Any

    for reduce in (None, "sum"):
        program = engine.compile(structured, in_axes=(None, 0), reduce=reduce)
        found = program.map([2.0, 3.0], {"x": ROWS.tolist()}, block_size=100)
        assert_alike(found, program([2.0, 3.0], {"x": ROWS.tolist()}))
    tuples = engine.compile(lambda t: [t.x[0], (t.x[1], 1.0)], in_axes=(Batch(0),))
    assert_alike(tuples.map(Batch(ROWS), block_size=300), tuples(Batch(ROWS)))


def test_keywords_and_float32_go_along() -> None:
    program = engine.compile(lambda x, k: k * x[0], in_axes=(0,), reduce="mean", dtype="float32")
    assert program.map(ROWS, k=3.0, block_size=300) == pytest.approx(program(ROWS, k=3.0), rel=1e-5)


def test_leaves_are_read_at_every_call() -> None:
    program = mean_of_noise()
    with ThreadPoolExecutor(2) as pool:
        first = mapped(program, ROWS, pool)
        w.data = 0.5
        try:
            second = mapped(program, ROWS, pool)
            assert second == mapped(program, ROWS) != first
        finally:
            w.data = 0.3
        assert mapped(program, ROWS, pool) == first


def test_leaves_that_only_a_graph_holds_are_read_too() -> None:
    pytest.importorskip("cloudpickle")
    leaf = Value(2.0)
    above = leaf * leaf  # the function reads this, not the leaf
    program = engine.compile(lambda x: above * x, in_axes=0)
    with ThreadPoolExecutor(1) as pool:
        assert program.map([1.0, 2.0], on=pool).tolist() == [4.0, 8.0]
        leaf.data = 3.0
        assert program.map([1.0, 2.0], on=pool).tolist() == [9.0, 18.0]


def test_the_draws_go_on_after_it() -> None:
    program = engine.compile(noisy, in_axes=0)
    engine.manual_seed(1)
    first, second = (program.map(ROWS, block_size=400) for _ in range(2))
    assert len(np.unique(first)) == len(ROWS), "blocks draw alike"
    assert np.all(first != second)
    engine.manual_seed(1)
    assert (program.map(ROWS, block_size=400) == first).all()
    still = engine.compile(lambda x: x[0], in_axes=0)
    before = engine.randomness.counters()
    still.map(ROWS)
    assert engine.randomness.counters() == before


def test_rows_of_a_memmap_stay_in_their_file(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    program = mean_of_noise()
    whole = np.load(tmp_path / "rows.npy", mmap_mode="r")
    sent: list[Any] = []

    class Watching(ThreadPoolExecutor):
        def submit(self, work: Any, *args: Any, **keywords: Any) -> Any:
            sent.append(pickle.dumps(args[5]))
            return super().submit(work, *args, **keywords)

    with Watching(2) as pool:
        for rows in (whole, whole[100:], whole[:, :]):
            assert mapped(program, rows, pool) == mapped(program, np.array(rows))
        assert max(map(len, sent)) < 64 * 2 * 8 / 2, "rows were sent"
        assert mapped(program, whole[:, ::-1], pool) == mapped(program, ROWS[:, ::-1].copy())
    copied = np.load(tmp_path / "rows.npy", mmap_mode="c")
    copied[0, 0] = 9.0  # which the file does not have
    with ThreadPoolExecutor(2) as pool:
        assert mapped(program, copied, pool) == mapped(program, np.array(copied))
    with pytest.raises(OSError, match=r"process \d+ on .* can't read the rows in .*gone.npy"):
        mapping._Span(str(tmp_path / "gone.npy"), 0, np.dtype(float), (1,)).read()


@pytest.mark.parametrize(
    ("given", "options", "error", "words"),
    [
        (([],), {}, ValueError, "there are no examples to map over"),
        ((np.zeros((0, 2)),), {}, ValueError, "there are no examples to map over"),
        ((ROWS,), {"kind": "hessian"}, ValueError, "kind is one of value, grad"),
        ((ROWS,), {"block_size": 0}, ValueError, "block_size is a whole number of at least 1"),
        ((ROWS,), {"on": 3}, TypeError, "on is a Dask client, an executor"),
        ((1.0,), {}, ValueError, "no sequence of examples: 1.0"),
        ((ROWS, ROWS[1:]), {}, ValueError, "different numbers of examples: 999 and 1000"),
    ],
)
def test_what_can_not_be_is_said_at_once(
    given: Any, options: Any, error: type[Exception], words: str
) -> None:
    program = engine.compile(lambda x, y=(0.0,): x[0] + y[0], in_axes=0)
    with pytest.raises(error, match=words):
        program.map(*given, **options)


def test_without_a_batch_there_is_nothing_to_map_over() -> None:
    with pytest.raises(ValueError, match="say which ones are with in_axes"):
        engine.compile(noisy).map(ROWS)


def test_workers_that_are_gone_are_told_of() -> None:
    program = mean_of_noise()
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="the workers of ThreadPoolExecutor are gone"):
        mapped(program, ROWS, pool)


def test_what_the_function_raises_comes_through() -> None:
    table = engine.compile(looked_up, in_axes=0)
    with ThreadPoolExecutor(1) as pool, pytest.raises(IndexError):
        table.map([0, 1, 1, 7], on=pool, block_size=2)


def test_a_function_that_can_not_travel_is_refused_before_work() -> None:
    pytest.importorskip("cloudpickle")
    lock = threading.Lock()

    def guarded(x: Any) -> Any:
        with lock:
            return w * x

    with ThreadPoolExecutor(1) as pool, pytest.raises(pickle.PicklingError, match="guarded"):
        engine.compile(guarded, in_axes=0).map([1.0], on=pool)


def test_a_worker_of_another_version_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    program = mean_of_noise()
    monkeypatch.setattr(mapping, "_task", of_another_version)
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(RuntimeError, match=r"process \d+ on .* has gradloom 0.* was sent by 9\.9"),
    ):
        mapped(program, ROWS, pool)


_usual = mapping._task


def of_another_version(version: str, *others: Any) -> Any:
    return _usual("9.9", *others)


def test_the_version_tells_files_apart() -> None:
    number, _, digest = spreading.version().partition(" ")
    assert number == engine.__version__
    assert len(digest) == 10
