"""Inputs that products read where the examples lie, row by row: the same numbers as by copies.

What is compared with is the interpreter (`native=False`), which copies all inputs, and scalars.
"""

from __future__ import annotations

import functools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import Value
from engine.compiled import jitted, training
from engine.compiled.blocks import L, View
from engine.compiled.training import Loop, Steps
from nn.optim import Adam
from nn.optim.update import Update

pytestmark = pytest.mark.skipif(jitted.DISABLED, reason="nothing is emitted without Numba")

ROWS = 150
STARTS = (0, 7, 8, 24, 90, 150)  # batches of less than a vector, of one, and of more than a chunk
NEAR = {"float64": 1e-12, "float32": 2e-5}
SIZES = [(65, 1), (70, 2), (71, 5), (100, 7), (136, 13)]
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
ORDERS = {"in order": np.arange(ROWS), "shuffled": np.random.default_rng(1).permutation(ROWS)}
ORDER = pytest.mark.parametrize("order", ORDERS)


def examples(inputs: int, dtype: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(inputs)
    return rng.normal(size=(ROWS, inputs)).astype(dtype), rng.normal(size=ROWS)


class Net:
    """A layer of tanh and a sum of its results, whose square error is the loss. With `last` the
    target is the first argument; `shown` makes an input part of the loss, too."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        dtype: str,
        *,
        native: bool = True,
        last: bool = False,
        shown: bool = False,
    ) -> None:
        rng = np.random.default_rng(hidden)
        numbers = rng.normal(size=(hidden, inputs)) / inputs**0.5
        self.weights = [[Value(w) for w in row] for row in numbers.tolist()]
        self.biases = [Value(b) for b in rng.normal(size=hidden).tolist()]
        self.parameters = [*self.biases, *[w for row in self.weights for w in row]]
        self.last, self.shown, self.dtype = last, shown, dtype
        options: Any = {"in_axes": 0, "reduce": "sum", "dtype": dtype, "native": native}
        self.program = engine.compile(self.loss, wrt=self.parameters, **options)

    def loss(self, *example: Any) -> list[Any]:
        x, target = example[::-1] if self.last else example
        sums = [
            engine.sum([w * a for w, a in zip(row, x, strict=True)]) + b
            for row, b in zip(self.weights, self.biases, strict=True)
        ]
        y = engine.sum([engine.tanh(s) for s in sums])
        return [(y - target) ** 2 + (x[0] if self.shown else 0.0), 1.0]

    def loop(self, X: Any, y: Any) -> Loop:
        return Loop(self.program, *((y, X) if self.last else (X, y)))

    def steps(self, order: Any) -> Steps:
        theta = np.array([p.data for p in self.parameters], self.dtype)
        update = Update(Adam(self.parameters, lr=0.01))
        return Steps(
            order=order,
            starts=np.array(STARTS),
            theta=theta,
            gradient=np.zeros_like(theta),
            rule=update.rule,
            slots=update.slots(theta.dtype),
            settings=update.settings(len(STARTS) - 1).astype(theta.dtype),
            mean=True,
        )

    def trained(self, X: Any, y: Any, order: Any) -> list[Any]:
        """The losses, the parameters and the last gradient of an update by each batch."""
        loop, steps = self.loop(X, y), self.steps(order)
        assert loop.run(steps, (0, 0)) == len(STARTS) - 1
        return [steps.losses, steps.theta, steps.gradient]


def machine_of(loop: Loop) -> Any:
    """The machine that a loop which has run trains with."""
    paths = loop._paths
    return paths.machine(paths.paths[0], loop._wanted, backward=True, lifted=True)[0]


def assert_same(actual: Any, expected: Any, dtype: str) -> None:
    for a, b in zip(actual, expected, strict=True):
        scale = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0.0, atol=NEAR[dtype] * scale)


@functools.cache
def trained_by_copies(inputs: int, hidden: int, dtype: str, order: str) -> list[Any]:
    net = Net(inputs, hidden, dtype, native=False)
    return net.trained(*examples(inputs, dtype), ORDERS[order])


@DTYPES
@ORDER
@pytest.mark.parametrize(("inputs", "hidden"), SIZES)
@pytest.mark.parametrize("kept", [1 << 20, 0, ROWS * 8])  # all, in blocks, the targets alone
def test_training(
    inputs: int, hidden: int, order: str, dtype: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = examples(inputs, dtype)
    expected = trained_by_copies(inputs, hidden, dtype, order)
    monkeypatch.setattr(training, "KEPT_BYTES", kept)
    monkeypatch.setattr(training, "BLOCK_BYTES", 40_000)
    assert_same(Net(inputs, hidden, dtype).trained(X, y, ORDERS[order]), expected, dtype)


def test_which_inputs_are_read_in_place() -> None:
    def found(net: Net, inputs: int = 70) -> View | None:
        loop = net.loop(*examples(inputs, net.dtype))
        loop.run(net.steps(ORDERS["in order"]), (0, 0))
        return machine_of(loop).in_place(9)  # type: ignore[no-any-return]

    assert found(Net(70, 3, "float32")) == View(L, 0, 70)
    assert found(Net(70, 3, "float32", last=True)) == View(L, 1, 70)
    assert found(Net(70, 3, "float32", shown=True)) is None  # one of them is read otherwise
    assert found(Net(64, 3, "float32"), 64) is None  # as few are read as columns
    assert found(Net(70, 3, "float32", native=False)) is None


@pytest.mark.parametrize("last", [False, True])
def test_arrays_that_lie_otherwise(
    last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be read where it lies is copied; either gives the same bits."""
    X, y = examples(70, "float32")
    net, order = Net(70, 3, "float32", last=last), ORDERS["shuffled"]
    monkeypatch.setattr(training, "KEPT_BYTES", ROWS * 8)
    expected = net.trained(X, y, order)
    np.save(tmp_path / "X.npy", X)
    kinds = {
        "memory map": np.load(tmp_path / "X.npy", mmap_mode="r"),
        "by columns": np.asfortranarray(X),
        "every other": np.repeat(X, 2, axis=0)[::2],
        "double": X.astype(float),
        "bytes swapped": X.astype(X.dtype.newbyteorder()),
        "not aligned": np.frombuffer(b"." + X.tobytes(), X.dtype, offset=1).reshape(X.shape),
    }
    for kind, array in kinds.items():
        for a, b in zip(net.trained(array, y, order), expected, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=kind)


def test_examples_of_several_axes_are_read_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    w = [Value(0.01 * k) for k in range(72)]

    def loss(x: Any, target: Any) -> Any:
        flat = [a for row in x for a in row]
        return [(engine.sum([a * b for a, b in zip(w, flat, strict=True)]) - target) ** 2, 1.0]

    program = engine.compile(loss, in_axes=0, reduce="sum", wrt=w)
    X, y = examples(72, "float64")
    theta, rows = np.array([p.data for p in w]), np.arange(ROWS)
    expected = Loop(program, X.reshape(ROWS, 8, 9), y).gradient(theta, rows, (0, 0))[1]
    monkeypatch.setattr(training, "KEPT_BYTES", ROWS * 8)
    net = Net(72, 1, "float64")
    steps = net.steps(rows)
    steps.starts, steps.theta, steps.gradient = np.array([0, ROWS]), theta, np.zeros(72)
    steps.settings, steps.slots, steps.losses = np.zeros((1, 4)), np.zeros(0), np.zeros((1, 2))
    steps.settings[0, 1], steps.mean = np.inf, False
    assert Loop(program, X.reshape(ROWS, 8, 9), y).run(steps, (0, 0)) == 1
    np.testing.assert_allclose(steps.gradient, expected, rtol=1e-12)


def test_large_data_are_not_copied_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "KEPT_BYTES", 1 << 16)
    X, y = examples(640, "float32")
    net = Net(640, 2, "float32")
    net.trained(X, y, ORDERS["in order"])  # what is kept of programs is there now
    large, targets = np.tile(X, (20, 1)), np.tile(y, 20)
    loop, steps = net.loop(large, targets), net.steps(np.arange(len(large)))
    tracemalloc.start()
    loop.run(steps, (0, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < large.nbytes // 10


def test_a_machine_that_copies_gets_all_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of single operations, which the exact rule is asked of after a nan."""
    X, y = examples(70, "float64")
    monkeypatch.setattr(training, "KEPT_BYTES", ROWS * 8)
    for last in (False, True):
        net = Net(70, 3, "float64", last=last)
        expected = net.trained(X, y, ORDERS["shuffled"])
        loop, steps = net.loop(X, y), net.steps(ORDERS["shuffled"])
        loop.run(net.steps(ORDERS["shuffled"]), (0, 0))
        (given,) = loop._trainings(steps, machine_of(loop))
        assert given.apart is not None and given.data.shape == (ROWS, 1)
        paths = loop._paths
        exact = paths.machine(paths.paths[0], loop._wanted, backward=True, lifted=False)[0]
        given.places = np.arange(len(net.parameters))
        shared = np.zeros(len(net.parameters))
        assert exact.run_steps(shared, given, (0, 0)) == len(STARTS) - 1
        assert_same([steps.losses, steps.theta, steps.gradient], expected, "float64")


def value(net: Net, x: Any) -> Any:
    """The loss, as a function of the inputs alone."""
    return net.loss(x, 0.5)[0]


@functools.cache
def eager_figures(dtype: str) -> tuple[Any, Any]:
    """The values and gradients of `test_calls`, example by example."""
    net, rows = Net(70, 5, dtype), examples(70, dtype)[0][:130].astype(float).tolist()
    f = engine.value_and_grad(functools.partial(value, net))
    found = [[y.data, *[g.data for g in gradient]] for y, gradient in map(f, rows)]
    return np.array(found)[:, 0], np.array(found)[:, 1:]


@DTYPES
@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 130])
def test_calls(count: int, dtype: str) -> None:
    """Values and gradients by all arguments, of arrays of several layouts."""
    X, y = examples(70, dtype)
    net, slow = Net(70, 5, dtype), Net(70, 5, dtype, native=False)
    order = np.arange(count)
    loops = [each.loop(X, y) for each in (net, slow)]
    theta = net.steps(order).theta
    first, second = [loop.gradient(theta, order, (0, 0)) for loop in loops]
    assert_same(first, second, dtype)

    f = engine.compile(functools.partial(value, net), in_axes=0, dtype=dtype)
    expected, by_x = (figures[:count] for figures in eager_figures(dtype))
    for array in (X[:count], np.asfortranarray(X[:count]), np.repeat(X[:count], 2, axis=1)[:, ::2]):
        for _ in range(2):  # a second call is by a plan
            assert_same([f(array)], [expected], dtype)
        values, gradients = f.value_and_grad(array)
        assert_same([values, gradients], [expected, by_x], dtype)
