"""Loops over examples that stay where they lie: the same numbers as by one matrix of all data."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import Value
from engine.compiled import threads, training
from engine.compiled.training import Loop, Steps
from nn.optim import SGD
from nn.optim.update import Update

ROWS, INPUTS = 50, 3
rng = np.random.default_rng(0)
X = rng.normal(size=(ROWS, INPUTS)).astype(np.float32)
LABELS = rng.integers(0, 2, ROWS, np.uint8)
STARTS = np.array([0, 7, 14, 30, 31, 50])


def loss_of(w: Any, x: Any, label: Any) -> Any:
    score = engine.tanh(engine.sum([a * b for a, b in zip(w, x, strict=True)]))
    return [(score - label) ** 2, 1.0]


def trained(X: Any, y: Any, order: Any, dtype: str = "float64") -> tuple[Any, ...]:
    """The losses, the parameters and the last gradient of an update by each batch."""
    w = [Value(0.1 * k) for k in range(np.shape(X)[1])]
    program = engine.compile(
        lambda x, label: loss_of(w, x, label), in_axes=0, reduce="sum", wrt=w, dtype=dtype
    )
    loop = Loop(program, X, y)
    theta = np.array([p.data for p in w], loop.dtype)
    update = Update(SGD(w, lr=0.5))
    steps = Steps(
        order=order,
        starts=STARTS,
        theta=theta,
        gradient=np.zeros_like(theta),
        rule=update.rule,
        slots=update.slots(theta.dtype),
        settings=update.settings(len(STARTS) - 1).astype(theta.dtype),
        mean=True,
    )
    assert loop.run(steps, (0, 0)) == len(STARTS) - 1
    return steps.losses.tolist(), theta.tolist(), steps.gradient.tolist()


ORDERS = {
    "in order": np.arange(ROWS),
    "shuffled": rng.permutation(ROWS),
    "in order but for batches": np.concatenate([np.arange(14, 50), np.arange(14)]),
}


@pytest.mark.parametrize("narrow", [64, 0])
@pytest.mark.parametrize("block", [1, 300, 1 << 20])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_blocks_of_rows_give_what_all_data_in_one_matrix_give(
    order: Any, block: int, narrow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(X.astype(float), LABELS.astype(float), order)
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    monkeypatch.setattr(training, "BLOCK_BYTES", block)
    monkeypatch.setattr(training, "NARROW", narrow)
    for found, number in zip(trained(X, LABELS, order), expected, strict=True):
        np.testing.assert_allclose(found, number, rtol=1e-12)  # code is for the largest batch


def test_data_of_any_type_and_layout_are_read_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.arange(ROWS * INPUTS, dtype=np.int16).reshape(ROWS, INPUTS) % 5
    order = ORDERS["shuffled"]
    expected = trained(numbers.astype(float), LABELS.astype(float), order)
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    np.save(tmp_path / "X.npy", numbers)
    kinds = {
        "memory map": np.load(tmp_path / "X.npy", mmap_mode="r"),
        "by columns": np.asfortranarray(numbers),
        "backwards": numbers[::-1].copy()[::-1],
        "every other": np.repeat(numbers, 2, axis=0)[::2],
        "half": numbers.astype(np.float16),
    }
    for kind, array in kinds.items():
        assert trained(array, LABELS.astype(bool), order) == expected, kind


def test_large_data_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    monkeypatch.setattr(training, "BLOCK_BYTES", 1 << 12)
    wide = np.tile(X, (1, 40))
    trained(wide, LABELS, ORDERS["in order"], "float32")  # what is kept of programs is there now
    large = np.broadcast_to(wide[:, None], (ROWS, 100, 40 * INPUTS)).reshape(-1, 40 * INPUTS)
    labels = np.repeat(LABELS, 100)
    tracemalloc.start()
    trained(large, labels, np.arange(len(large)), "float32")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert large.nbytes > 2_000_000 and peak < large.nbytes // 4


def test_small_data_are_copied_and_read_anew_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    w = [Value(1.0)]
    program = engine.compile(lambda x: w[0] * x, in_axes=0, reduce="sum", wrt=w)
    for kept, before in ((1 << 20, 2.0), (0, 3.0)):
        monkeypatch.setattr(training, "KEPT_BYTES", kept)
        data = np.array([2.0])
        loop = Loop(program, data)
        data[0] = 3.0
        rows, theta = np.arange(1), np.ones(1)
        assert loop.outputs(theta, rows, (0, 0)).item() == before
        loop.read_data()
        assert loop.outputs(theta, rows, (0, 0)).item() == 3.0
        assert loop.outputs(theta, rows, (0, 0), (np.array([5.0]),)).item() == 5.0


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("kept", [1 << 20, 0])
@pytest.mark.parametrize("bent", [False, True])
def test_parts_of_a_batch_are_what_each_is_alone(
    bent: bool, kept: int, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "KEPT_BYTES", kept)
    monkeypatch.setattr(training, "BLOCK_BYTES", 200)  # some rows
    w = [Value(0.1 * k) for k in range(INPUTS)]

    def loss(x: Any, label: Any) -> Any:
        score, weight = loss_of(w, [a * engine.random() for a in x], label)
        if bent and w[0] + x[0] > 1.0:  # true of a few
            score = score * w[1]
        return [score, weight]

    program = engine.compile(loss, in_axes=0, reduce="sum", wrt=w, native=native)
    loop = Loop(program, X, LABELS)
    theta, order, draws = np.array([p.data for p in w]), ORDERS["shuffled"], (5, 3)
    expected = [
        loop.gradient(theta, order[first:last], draws, first)
        for first, last in itertools.pairwise(STARTS.tolist())
    ]
    for begin in (0, 2):  # of all parts, and of the last ones
        own = STARTS[begin:]
        gradient = np.full((len(own) - 1, INPUTS), np.nan)
        steps = Steps(order, own, theta, gradient, first=int(own[0]), most=19)
        with threads.alone():
            done = loop.run(steps, draws)
        # up to one with an example that takes the other way
        assert done < len(own) - 1 if bent else done == len(own) - 1
        for k in range(done):
            outputs, alone = expected[begin + k]
            np.testing.assert_allclose(steps.losses[k], outputs.sum(axis=0), rtol=1e-13)
            np.testing.assert_allclose(gradient[k], alone, rtol=1e-12, atol=1e-15)
        assert np.isnan(gradient[done:]).all()
    np.testing.assert_array_equal(theta, [p.data for p in w])
