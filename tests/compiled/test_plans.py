"""Calls after the first: by a plan, with the same results; and the full way where that is due."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import engine
import nn
from engine import TraceError, Value
from engine.compiled import machine, worker
from engine.compiled.paths import Paths
from engine.compiled.plans import MOST_PLANS
from engine.trees import flatten

TEMPERATURE = 1.0
KINDS = ("__call__", "value_and_grad", "grad")


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass(frozen=True)
class Point:
    x: Any
    y: Any
    name: str = "p"


class Full:
    """Counts calls that went the full way."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        self.count += 1
        return self.run(*args, **keywords)

    run: Any = staticmethod(Paths.run)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[Full]:
    counting = Full()
    monkeypatch.setattr(Paths, "run", lambda *args, **keywords: counting(*args, **keywords))
    yield counting


def told(item: Any) -> Any:
    """A result with its types."""
    if isinstance(item, np.ndarray):
        return "array", item.dtype, item.tolist(), item.shape
    if isinstance(item, Point):
        return Point, told(item.x), told(item.y), item.name
    if isinstance(item, dict):
        return dict, [(key, told(part)) for key, part in item.items()]
    if isinstance(item, list | tuple):
        return type(item), [told(part) for part in item]
    return type(item), item


# --- structures ---------------------------------------------------------------------------------

X8, X20 = [0.5 + 0.25 * k for k in range(8)], [0.125 * k for k in range(20)]
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = {
    "a float": (lambda x: x * engine.exp(x), (1.5,), {}, 0),
    "a constant": (lambda x: 3.0, (1.5,), {}, 0),
    "two, one of them": (lambda x, y: x * y, (1.5, 2.0), {}, 1),
    "two, both": (lambda x, y: x * y, (1.5, 2.0), {}, (1, 0)),
    "from the end": (lambda x, y: x * y, (1.5, 2.0), {}, -1),
    "a list": (lambda x: x[0] * x[1], ([1.5, 2.0],), {}, 0),
    "an empty list": (lambda x, y: y * 2.0, ([], 2.0), {}, (0, 1)),
    "a list of eight": (lambda x: engine.sum(v * v for v in x), (X8,), {}, 0),
    "a long list": (lambda x: engine.sum(v * v for v in x), (X20,), {}, 0),
    "a long tuple": (lambda x: engine.sum(v * v for v in x), (tuple(X20),), {}, 0),
    "long lists": (lambda x, y: engine.dot(x, y), (X20, X20), {}, (0, 1)),
    "a tuple": (lambda x: x[0] * x[1], ((1.5, 2.0),), {}, 0),
    "a named tuple": (lambda p: p.a * p.b, (Pair(1.5, [2.0])[:0] or Pair(1.5, 2.0),), {}, 0),
    "rows": (lambda w: w[0][1] * w[1][0], ([[1.5, 2.0], [3.0, 4.0]],), {}, 0),
    "long rows": (lambda w: engine.dot(w[0], w[1]), ([X20, X20],), {}, 0),
    "a dict": (lambda d: d["a"] * d["b"][0], ({"a": 1.5, "b": [2.0]},), {}, 0),
    "a long dict": (
        lambda d: engine.sum(d[k] * k for k in range(20)),
        (dict(enumerate(X20)),),
        {},
        0,
    ),
    "a dataclass": (lambda p: p.x * p.y[0], (Point(1.5, [2.0]),), {}, 0),
    "statics": (
        lambda x, how, on, none, f: f(x) if how == "f" and on and none is None else x,
        (1.5, "f", True, None, engine.exp),
        {},
        0,
    ),
    "a static in a list": (lambda x: x[0] if x[1] else -x[0], ([1.5, False],), {}, 0),
    "keywords": (lambda x, *, k, s: x * k + s[0], (1.5,), {"k": 2.0, "s": [1.0]}, 0),
    "an array": (lambda x: (x * x).sum(), (np.array([1.5, 2.0]),), {}, 0),
    "a matrix": (lambda x: (x @ x).sum(), (np.array([[1.5, 2.0], [0.0, 1.0]]),), {}, 0),
    "an array of float32": (lambda x: (x * x).sum(), (np.array([1.5, 2.0], np.float32),), {}, 0),
    "every other number": (lambda x: (x * x).sum(), (np.arange(6.0)[::2],), {}, 0),
    "an array and lists": (
        lambda a, x, b: a[0] * x[0] * b[1] * x[1],
        (np.array([1.5, 2.0]), [2.0, 3.0], np.array([4.0, 5.0])),
        {},
        (0, 1, 2),
    ),
}
RESULTS: dict[str, Callable[[Any], Any]] = {
    "a list": lambda x: [x, x * x],
    "nothing": lambda x: [],
    "a long list": lambda x: [x * k for k in range(30)],
    "a tuple": lambda x: (x, [x * x, 1.0]),
    "one in a tuple": lambda x: (x,),
    "a dict": lambda x: {"a": x, 2: (x * x,)},
    "a named tuple": lambda x: Pair(x, [x * x]),
    "a dataclass": lambda x: Point(x, x * x),
    "an array": lambda x: np.array([[x, x * x]]),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_a_call_by_the_plan_is_the_first_call(
    name: str, kind: str, dtype: type, full: Full
) -> None:
    f, args, keywords, argnums = CASES[name]
    call = getattr(engine.compile(f, argnums=argnums, dtype=dtype), kind)
    first = call(*args, **keywords)
    again = [call(*args, **keywords) for _ in range(3)]
    assert full.count == 1
    assert [told(result) for result in again] == [told(first)] * 3


@pytest.mark.parametrize("name", RESULTS)
def test_results_have_the_structure_of_the_first(name: str, full: Full) -> None:
    program = engine.compile(RESULTS[name])
    assert told(program(2.0)) == told(program(2.0))
    assert full.count == 1


def test_results_are_fresh(full: Full) -> None:
    by_list = engine.compile(lambda x: engine.sum(v * v for v in x))
    by_list.grad(X20)
    one = by_list.grad(X20)
    one[0] = 7.0
    assert by_list.grad(X20) is not one
    assert by_list.grad(X20)[0] == 0.0
    by_array = engine.compile(lambda x: (x * x).sum())
    by_array.grad(np.ones(2))
    first, second = by_array.grad(np.ones(2)), by_array.grad(np.full(2, 2.0))
    assert (first.tolist(), second.tolist()) == ([2.0, 2.0], [4.0, 4.0])
    assert full.count == 2


EXAMPLES: dict[str, Callable[[Any, Any], Any]] = {
    "one number": lambda w, x: engine.tanh(w[0] * x[0] + x[1]),
    "a list": lambda w, x: [x[0] * w[0], x[1]],
    "a dict": lambda w, x: {"a": x[0], "b": (x[1], w[1])},
    "without examples": lambda w, x: w[0] * w[1],
    "branches": lambda w, x: x[0] if x[0] > 0.0 else x[1] * w[0],
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_few_examples(name: str, dtype: type, full: Full) -> None:
    program = engine.compile(EXAMPLES[name], in_axes=(None, 0), dtype=dtype)
    X = np.abs(np.random.default_rng(0).normal(size=(300, 2)))
    for count in (5, 3, 1, 8, 5, 40, 64, 2, 300, 1):
        found = program([2.0, 1.5], X[:count])
        other = engine.compile(EXAMPLES[name], in_axes=(None, 0), dtype=dtype)
        assert told(found) == told(other([2.0, 1.5], X[:count]))
    assert 10 < full.count < 15
    X[1] *= -1.0  # another branch, for one of them
    expected = [EXAMPLES[name]([2.0, 1.5], x.tolist()) for x in X[:3]]
    if name in ("one number", "branches"):
        for _ in range(2):
            found = program([2.0, 1.5], X[:3])
            np.testing.assert_allclose(found, [getattr(y, "data", y) for y in expected], rtol=1e-6)


def test_examples_in_arrays_of_other_kinds(full: Full) -> None:
    program = engine.compile(lambda x, y: x[0] * y, in_axes=0)
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    expected = (X[:, 0] * y).tolist()
    for a, b in [(X, y), (X, y), (X.astype(np.float32), y.astype(int)), (X[::-1][::-1], y)]:
        assert program(a, b).tolist() == expected
    assert full.count == 1
    for _ in range(2):
        assert program(X.tolist(), y.tolist()).tolist() == expected
        assert program(X, y).tolist() == expected
    with pytest.raises(ValueError, match="examples"):
        program(X, y[:2])
    with pytest.raises(ValueError, match="no examples"):
        program(X[:0], y[:0])


def test_a_prediction_is_a_plans(full: Full) -> None:
    model, X = nn.MLP(2, [8, 1]), np.random.default_rng(0).normal(size=(200, 2))
    predicted = nn.predict(model, X)
    for _ in range(3):
        np.testing.assert_allclose(nn.predict(model, X[:3]), predicted[:3], rtol=1e-12)
    assert full.count == 1


def test_so_many_paths_have_plans_when_they_are_called_in_turns(full: Full) -> None:
    program = engine.compile(lambda x: engine.sum(x))
    for _ in range(3):
        for count in range(1, MOST_PLANS + 1):
            assert program([0.5] * count) == 0.5 * count
    assert full.count == MOST_PLANS


# --- examples -----------------------------------------------------------------------------------

N = np.random.default_rng(0).uniform(0.5, 1.5, (300, 2, 3))
LEAVES = [Value(0.5 + 0.25 * k) for k in range(12)]
SHARED: dict[str, Any] = {
    "a number": 1.5,
    "a list": [1.5, 2.0],
    "a long list": X20,
    "lists": [[1.5, 2.0], [0.5, 0.25]],
    "a tuple": (1.5, [2.0]),
    "a dict": {"a": 1.5, "b": (2.0, np.array([0.5, 0.25]))},
    "a dataclass": Point(1.5, [2.0]),
    "an array": np.array([[1.5, 2.0], [0.5, 0.25]]),
}
BATCHED: dict[str, Callable[[int], Any]] = {
    "a number each": lambda n: N[:n, 0, 0],
    "a row each": lambda n: N[:n, 0],
    "a matrix each": lambda n: N[:n],
    "a list of numbers": lambda n: N[:n, 0, 0].tolist(),
    "lists": lambda n: N[:n].tolist(),
    "a tuple": lambda n: (N[:n, 0], N[:n, 1, 0]),
    "a dict": lambda n: {"a": N[:n, 0], "b": (N[:n, 1, 0], N[:n])},
    "a dataclass": lambda n: Point(N[:n, 0], N[:n, 1]),
}
COUNTS = (5, 5, 130, 3, 130)
HOW: list[dict[str, Any]] = [
    {"reduce": None, "argnums": (1, 0)},
    {"reduce": "mean", "argnums": (0, 1), "dtype": np.float32},
    {"reduce": "sum", "argnums": 0},
    {"reduce": None, "argnums": 0, "dtype": np.float32},
]


def combined(*trees: Any) -> Any:
    """One number, of all that there are."""
    leaves = [x for tree in trees for x in flatten(tree)[0]]
    return engine.sum(x * engine.tanh(x + 0.1 * k) for k, x in enumerate(leaves))


def in_full(program: engine.Program, kind: str, *args: Any, **keywords: Any) -> Any:
    """What the full way gives."""
    kind = {"__call__": "value", "grad": "value_and_grad"}.get(kind, kind)
    return getattr(program, f"_{kind}_in_full")(args, keywords)


def agrees_for_all_counts(
    program: engine.Program, args_of: Callable[[int], tuple[Any, ...]], full: Full
) -> None:
    """Calls by the plan give what the full way gives, which is taken but once for a kind."""
    for kind in ("__call__", "value_and_grad", "backward"):
        full.count = 0
        for count in COUNTS:
            args = args_of(count)
            found = told(getattr(program, kind)(*args))
            assert full.count <= 1
            assert found == told(in_full(program, kind, *args))
            full.count = 1


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", SHARED)
def test_shared_arguments_of_a_batch(name: str, how: dict[str, Any], full: Full) -> None:
    program = engine.compile(combined, in_axes=(None, 0), **how)
    agrees_for_all_counts(program, lambda n: (SHARED[name], N[:n, 0]), full)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", BATCHED)
def test_batched_arguments(name: str, how: dict[str, Any], full: Full) -> None:
    program = engine.compile(combined, in_axes=0, **how)
    agrees_for_all_counts(program, lambda n: (BATCHED[name](n), N[:n, 1, 0]), full)


@pytest.mark.parametrize("reduce", [None, "mean", "sum"])
def test_an_argument_that_is_batched_in_part(reduce: Any, full: Full) -> None:
    def f(p: Any) -> Any:
        return combined(p["x"], p["w"], p["v"], p["b"])

    axes = ({"w": None, "x": [0, None], "b": None, "v": (0, None)},)
    program = engine.compile(f, in_axes=axes, reduce=reduce)
    arrays = {"w": np.array([[1.5, 2.0], [3.0, 4.0]]), "b": 0.5}

    def args_of(n: int) -> tuple[Any, ...]:
        return ({**arrays, "x": [N[:n, 0], [1.0, 2.0]], "v": (N[:n, 1, 0], 3.0)},)

    def ordered(n: int) -> tuple[Any, ...]:
        return ({key: args_of(n)[0][key] for key in axes[0]},)

    agrees_for_all_counts(program, ordered, full)


UNREAD = Value(3.0)
WRT: dict[str, Any] = {
    "all": LEAVES,
    "one": LEAVES[3],
    "none that is read": [UNREAD],
    "in another order": [*LEAVES[::-1], UNREAD, LEAVES[2]],
    "a dict": {"a": LEAVES[:3], "b": (UNREAD, LEAVES[5])},
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", WRT)
def test_gradients_of_a_batch_by_leaves(name: str, how: dict[str, Any], full: Full) -> None:
    program = engine.compile(lambda x: combined(LEAVES, x), in_axes=0, wrt=WRT[name], **how)
    agrees_for_all_counts(program, lambda n: (N[:n, 0],), full)
    LEAVES[0].data += 0.5
    full.count = 1
    found = program.value_and_grad(N[:5, 0])
    assert full.count == 1
    assert told(found) == told(in_full(program, "value_and_grad", N[:5, 0]))


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_backward_of_a_batch(reduce: Any, full: Full) -> None:
    model = nn.MLP(3, [4, 1])
    program = engine.compile(lambda x: model(x) ** 2, in_axes=0, reduce=reduce)
    for count in COUNTS:
        values, gradients = [], []
        for way in (program.backward, lambda X: in_full(program, "backward", X)):
            model.zero_grad()
            values.append(way(N[:count, 0]))
            gradients.append([p.grad for p in model.parameters()])
        assert values[0] == values[1]
        assert gradients[0] == gradients[1]
    assert full.count == 1 + len(COUNTS)


@pytest.mark.parametrize("reduce", [None, "mean", "sum"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_results_of_a_batch(name: str, reduce: Any, full: Full) -> None:
    program = engine.compile(EXAMPLES[name], in_axes=(None, 0), reduce=reduce)
    for count in COUNTS:
        args = ([2.0, 1.5], N[:count, 0])
        assert told(program(*args)) == told(in_full(program, "__call__", *args))
    assert full.count == 1 + len(COUNTS)


def test_gradients_of_a_batch_are_fresh(full: Full) -> None:
    program = engine.compile(lambda w, x: combined(w, x), in_axes=(None, 0), argnums=(0, 1))
    args = ([1.5, 2.0], N[:5, 0])
    first = program.value_and_grad(*args)
    one, other = program.value_and_grad(*args), program.value_and_grad(*args)
    assert full.count == 1
    for array in (one[0], *one[1]):
        array[:] = 7.0
    assert told(other) == told(first)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_of_other_kinds(dtype: type, full: Full) -> None:
    program = engine.compile(lambda x, y: combined(x, y), in_axes=0, argnums=(0, 1), dtype=dtype)
    X, y = N[:40, 0], N[:40, 1, 0]
    read_only = X.copy()
    read_only.flags.writeable = False
    arrays = [X, np.asfortranarray(X), X[::-1], X[::2], read_only, (4 * X).astype(int)]
    arrays += [X.astype(np.float32), X.astype(np.float16), X.astype(">f8")]
    program.value_and_grad(X, y)
    for array in arrays:
        for other in (y[: len(array)], y[: len(array)].astype(np.float32)):
            full.count = 0
            found = program.value_and_grad(array, other)
            assert full.count == 0
            assert told(found) == told(in_full(program, "value_and_grad", array, other))


def test_batches_that_a_plan_is_not_for() -> None:
    program = engine.compile(lambda x, y: x[0] * y, in_axes=0)
    X, y = N[:5, 0], N[:5, 1, 0]
    for _ in range(2):
        assert program(X, y).tolist() == (X[:, 0] * y).tolist()
        for args, message in [
            ((X, y[:4]), "examples"),
            ((X[:0], y[:0]), "no examples"),
            ((X, np.array(1.0)), "is one number"),
            ((X.tolist(), [[1.0], [1.0, 2.0], [], [], []]), "lengths"),
        ]:
            with pytest.raises(ValueError, match=message):
                program(*args)
        for bad in (y.astype(complex), y.astype(str), [Value(1.0)] * 5, [None] * 5):
            with pytest.raises(TypeError):
                program(X, bad)
        assert program(X, (y > 1.0)).tolist() == np.where(y > 1.0, X[:, 0], 0.0).tolist()
        assert program(X.tolist(), y.tolist()).tolist() == (X[:, 0] * y).tolist()
        assert program(X.astype(object), y).tolist() == (X[:, 0] * y).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_guards_that_fail_for_some_examples(kind: str, full: Full) -> None:
    def f(x: Any) -> Any:
        return x * x if x > 0.0 else engine.sin(x)

    program, other = [engine.compile(f, in_axes=0, reduce="sum") for _ in range(2)]
    x = np.linspace(0.1, 2.0, 150)
    mixed = x * np.where(np.arange(150) % 3, 1.0, -1.0)
    for count in (150, 40, 150):
        for numbers in (x, -x, mixed, mixed, x, -x):
            found = getattr(program, kind)(numbers[:count])
            expected = in_full(other, kind, numbers[:count])
            assert told(found) == told(expected[1] if kind == "grad" else expected)
    full.count = 0
    for numbers in (x, -x) * 3:
        getattr(program, kind)(numbers)
    assert full.count == 0  # each path has its plan again
    for _ in range(3):
        getattr(program, kind)(mixed)
    assert full.count == 3


def test_nan_for_one_example_is_the_exact_rules() -> None:
    def f(x: Any) -> Any:
        return engine.where(x > 0.0, engine.log(x), 0.0) + x

    program = engine.compile(f, in_axes=0)
    x = np.array([2.0, 1.0, 0.5])
    for numbers in (x, x, np.array([2.0, 0.0, -1.0]), x, np.array([math.nan, math.inf, 1.0]), x):
        value, gradient = program.value_and_grad(numbers)
        expected = [engine.value_and_grad(f)(number) for number in numbers.tolist()]
        np.testing.assert_allclose(value, [y for y, _ in expected], rtol=1e-15)
        np.testing.assert_allclose(gradient, [g for _, g in expected], rtol=1e-15)


def test_modes_in_force_for_a_batch(full: Full) -> None:
    program = engine.compile(lambda x: engine.log(x), in_axes=0)
    x = np.array([1.0, 0.0])
    assert program(x).tolist() == program(x).tolist() == [0.0, -math.inf]
    with engine.errstate("raise"):
        for _ in range(2):
            with pytest.raises(engine.DomainError):
                program(x)
    assert program(x).tolist() == [0.0, -math.inf]
    assert full.count == 3


def test_surroundings_of_a_batch_that_change() -> None:
    space = types.SimpleNamespace(k=1.0)
    program = engine.compile(lambda x: x * space.k, in_axes=0, reduce="sum")
    x = np.arange(100.0)
    for k in (1.0, 1.0, 2.0, 2.0, 1.0):
        space.k = k
        value, gradient = program.value_and_grad(x)
        assert value == k * x.sum()
        assert gradient.tolist() == [k] * 100


def test_a_batch_in_single_precision_may_overflow(full: Full) -> None:
    program = engine.compile(lambda x: x * 2.0, in_axes=0, dtype=np.float32, reduce="sum")
    for x in (np.ones(80), np.full(80, 1e300), np.full(80, 1e38), np.ones(80)):
        for _ in range(2):
            found = program.value_and_grad(x)
            assert told(found) == told(in_full(program, "value_and_grad", x))
    assert found[0] == 160.0


def test_batches_that_are_divided_take_the_full_way(
    monkeypatch: pytest.MonkeyPatch, full: Full
) -> None:
    program = engine.compile(lambda x: combined(x), in_axes=0)
    X = N.reshape(300, 6)
    first = program.value_and_grad(X)
    monkeypatch.setattr(machine.Machine, "divides", lambda self, count: count > 100)
    for count in (300, 50, 300, 50):
        value, gradient = program.value_and_grad(X[:count])
        np.testing.assert_allclose(value, first[0][:count], rtol=1e-15)
        np.testing.assert_allclose(gradient, first[1][:count], rtol=1e-15)
    assert full.count == 3


def test_threads_call_with_batches_at_once() -> None:
    w = [Value(1.0 + k) for k in range(12)]
    program = engine.compile(
        lambda x: engine.sum(v * v * x[0] + x[1] for v in w), in_axes=0, reduce="sum", wrt=w
    )
    program.value_and_grad(np.ones((70, 2)))

    def work(k: int) -> bool:
        fine = True
        for j in range(100):
            count = 1 + (7 * k + 13 * j) % 200
            value, gradient = program.value_and_grad(np.full((count, 2), [k, j]))
            fine = fine and value == count * (650.0 * k + 12.0 * j)
            fine = fine and gradient == [2.0 * k * (1.0 + i) * count for i in range(12)]
        return fine

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


# --- leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 20])
def test_leaves_are_read_and_their_gradients_given(count: int, full: Full) -> None:
    w = [Value(float(k)) for k in range(count)]
    program = engine.compile(lambda x: x * engine.sum(v * v for v in w), wrt=w)
    for k in range(4):
        w[0].data = float(k)
        expected = sum(v.data**2 for v in w)
        assert program(2.0) == 2.0 * expected
        value, gradient = program.value_and_grad(2.0)
        assert (value, gradient) == (2.0 * expected, [4.0 * v.data for v in w])
        assert program.backward(2.0) == 2.0 * expected
    assert [v.grad for v in w[1:]] == [16.0 * v.data for v in w[1:]]
    assert full.count == 3


def test_wrt_may_be_in_any_structure_and_partly_read(full: Full) -> None:
    a, b, unread = Value(2.0), Value(3.0), Value(4.0)
    program = engine.compile(lambda x: a * b * x, wrt={"u": [b, unread], "a": (a, b)})
    first = program.grad(1.0)
    assert first == program.grad(1.0) == {"u": [2.0, 0.0], "a": (3.0, 2.0)}
    many = [Value(float(k)) for k in range(40)]
    reversed_ = engine.compile(
        lambda: engine.sum(v * v for v in many[:-1]), wrt=[*many[::-1], many[0]]
    )
    assert reversed_.grad() == reversed_.grad() == [0.0, *[2.0 * k for k in range(38, -1, -1)], 0.0]
    assert full.count == 2


def test_backward_reaches_all_leaves_without_wrt(full: Full) -> None:
    model = nn.MLP(2, [3, 1])
    program = engine.compile(lambda x: model(x) ** 2)
    for _ in range(3):
        program.backward([1.0, 2.0])
    gradients = [p.grad for p in model.parameters()]
    model.zero_grad()
    (model([1.0, 2.0]) ** 2).backward()
    np.testing.assert_allclose(gradients, [3 * p.grad for p in model.parameters()], rtol=1e-12)
    assert full.count == 1


def test_a_leaf_that_takes_anothers_place_is_noticed(full: Full) -> None:
    w = [Value(2.0), Value(3.0)]
    program = engine.compile(lambda: w[0] * w[1])
    assert program() == program() == 6.0
    w[0] = Value(2.0)  # equal, and another
    program()
    w[0].data = 5.0
    assert program() == 15.0


# --- other arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_all_kinds(kind: str, full: Full) -> None:
    program = engine.compile(lambda x: x[0] * x[1] + x[2])
    call = getattr(program, kind)
    first = call([1.0, 2.0, 3.0])
    for x in ([1, 2, 3], [np.float64(1), np.int8(2), 3.0], [np.float32(1), np.uint64(2), 3]):
        assert told(call(x)) == told(first)
    long = engine.compile(lambda x: engine.sum(x))
    assert long(X20) == long([np.float64(x) for x in X20])
    assert long(list(range(20))) == 190.0
    assert full.count == 2


def test_what_a_plan_is_not_for_takes_the_full_way() -> None:
    program = engine.compile(lambda x: x[0] * 2.0 if x[1] else x[0])
    pairs = [([3.0, 1.0], 6.0), ([3.0, True], 6.0), ([3.0, False], 3.0), ([3, 0.0], 3.0)]
    for x, expected in pairs * 3:
        assert program(x) == expected
    by_length = engine.compile(lambda x: engine.sum(x))
    for n in [2, 9, 2, 3, 9, 30, 2]:
        assert by_length([1.0] * n) == n
        assert by_length((1.0,) * n) == n
        assert by_length(range(n)) == n * (n - 1) / 2
        assert by_length(np.ones(n)) == n


@pytest.mark.parametrize("x", [Value(1.0), [Value(1.0)], "1", None, 1j, object(), [], {}])
def test_what_is_refused_is_refused_after_a_call_too(x: Any) -> None:
    program = engine.compile(lambda x: x * 2.0)
    for _ in range(2):
        assert program(3.0) == 6.0
        with pytest.raises((TypeError, TraceError)):
            program(x)
        with pytest.raises(TypeError):
            program()
        with pytest.raises(TypeError):
            program(1.0, x=2.0)


def test_an_int_that_is_too_large() -> None:
    program = engine.compile(lambda x: x * 2.0)
    program(1.0)
    with pytest.raises(ValueError, match="too large"):
        program(10**400)
    assert program(2.0) == 4.0


def test_single_precision_takes_what_is_too_large_for_inf() -> None:
    program = engine.compile(lambda x: x[0] + 0.0, dtype=np.float32)
    assert [program([x]) for x in (1.0, 1e300, -1e300, 1.0)] == [1.0, math.inf, -math.inf, 1.0]
    by_array = engine.compile(lambda x: x[0] + 0.0, dtype=np.float32)
    numbers = [by_array(np.array([x])) for x in (1.0, 1e300, -1e300, 1.0)]
    assert numbers == [1.0, math.inf, -math.inf, 1.0]


# --- when a plan is given up --------------------------------------------------------------------


def test_surroundings_that_change() -> None:
    global TEMPERATURE
    numbers, space = [1.0], types.SimpleNamespace(k=1.0)
    k = 1.0

    def helper(x: Any, by: float = 1.0) -> Any:
        return x * by

    program = engine.compile(lambda x: helper(x) * TEMPERATURE * numbers[0] * space.k * k)
    few = engine.compile(lambda x: helper(x) * k)
    assert program(2.0) == program(2.0) == few(2.0) == few(2.0) == 2.0
    numbers[0] = 2.0
    assert program(2.0) == program(2.0) == 4.0
    space.k = 3.0
    assert program(2.0) == program(2.0) == 12.0
    k = 5.0
    assert (program(2.0), few(2.0)) == (60.0, 10.0)
    helper.__defaults__ = (2.0,)
    assert (program(2.0), few(2.0)) == (120.0, 20.0)
    helper.__code__ = (lambda x, by=1.0: x + by).__code__
    assert (program(2.0), few(2.0)) == (120.0, 20.0)
    helper.__defaults__ = (1.0,)
    assert (program(2.0), few(2.0)) == (90.0, 15.0)
    TEMPERATURE = 2.0
    try:
        assert program(2.0) == 180.0
    finally:
        TEMPERATURE = 1.0


def test_surroundings_that_are_equal_and_others(full: Full) -> None:
    space = types.SimpleNamespace(k=1.0)
    program = engine.compile(lambda x: x * space.k)
    program(2.0)
    space.k = float("1.0")
    assert program(2.0) == program(2.0) == 2.0
    assert full.count == 2


def test_guards_that_fail_and_paths_that_are_known(full: Full) -> None:
    program = engine.compile(lambda x: x * x if x > 0.0 else engine.sin(-x))
    for _ in range(3):
        assert program.value_and_grad(2.0) == (4.0, 4.0)
        assert program.value_and_grad(-3.0) == pytest.approx((math.sin(3.0), -math.cos(3.0)))
    assert full.count == 2  # from then on one plan follows the other
    assert "sin" in program.source()  # of the path used last
    program.value_and_grad(2.0)
    assert "sin" not in program.source()


def test_looks_up_within_bounds() -> None:
    program = engine.compile(lambda x, i: engine.take([x, 2.0 * x], i))
    assert program(3.0, 0.0) == program(3.0, 0.0) == 3.0
    with pytest.raises(IndexError):
        program(3.0, 5.0)
    assert (program(3.0, 1.0), program(3.0, -2.0)) == (6.0, 3.0)


def test_nan_on_the_way_is_the_exact_rules() -> None:
    def f(x: Any) -> Any:
        return engine.where(x > 0.0, engine.log(x), 0.0) + x

    program = engine.compile(f)
    for x in (2.0, 0.0, -1.0, 2.0, math.inf, math.nan):
        value, gradient = engine.value_and_grad(f)(x)
        for _ in range(2):
            assert repr(program.value_and_grad(x)) == repr((value, gradient))


def test_modes_in_force() -> None:
    program = engine.compile(lambda x: engine.log(x))
    assert program(0.0) == program(0.0) == -math.inf
    with engine.errstate("raise"):
        for _ in range(2):
            with pytest.raises(engine.DomainError):
                program(0.0)
    assert program(0.0) == -math.inf
    outer = engine.compile(lambda x: program(x) * program.grad(x))
    assert outer(2.0) == outer(2.0) == pytest.approx(math.log(2.0) / 2.0)
    with engine.no_grad():
        assert program.grad(2.0) == 0.5


def test_draws_go_on() -> None:
    program = engine.compile(lambda x: x * engine.random())
    engine.manual_seed(3)
    drawn = [program(1.0) for _ in range(5)]
    engine.manual_seed(3)
    assert len(set(drawn)) == 5
    assert [program(1.0) for _ in range(5)] == drawn


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_is_called_often_is_compiled_for_that(
    kind: str, monkeypatch: pytest.MonkeyPatch, full: Full
) -> None:
    monkeypatch.setattr(worker, "HOT", 5)

    def chain(x: Any) -> Any:
        for k in range(300):
            x = engine.sin(x) + 0.5 * k if k % 3 else engine.exp(-x * x)
        return x

    program = engine.compile(chain)
    call = getattr(program, kind)
    results = [call(0.5) for _ in range(12)]
    for result in results[1:]:
        np.testing.assert_allclose(np.ravel(result), np.ravel(results[0]), rtol=1e-9)
    paths = program._last
    assert paths is not None
    made: list[machine.Machine] = [m for m, _ in paths.paths[0].machines.values()]
    assert all(m.hot for m in made)
    assert full.count == 2


# --- at once, in between, elsewhere -------------------------------------------------------------


def test_threads_call_at_once() -> None:
    w = [Value(1.0 + k) for k in range(12)]
    f = engine.compile(lambda x: engine.sum(v * v * x[0] + x[1] for v in w), wrt=w)
    branches = engine.compile(lambda x: x * x if x > 0.0 else -x)
    f.value_and_grad([0.0, 0.0])

    def work(k: int) -> bool:
        fine = True
        for j in range(200):
            value, gradient = f.value_and_grad([float(k), float(j)])
            fine = fine and value == 650.0 * k + 12.0 * j
            fine = fine and gradient == [2.0 * k * (1.0 + i) for i in range(12)]
            x = float(k - j)
            fine = fine and branches(x) == (x * x if x > 0.0 else -x)
        return fine

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


def test_a_call_within_a_call() -> None:
    program = engine.compile(lambda x: engine.sum(v * v for v in x))
    assert program.value_and_grad(X20)
    seen = []

    def within(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(program.value_and_grad([1.0] * 20))

    expected = program.value_and_grad(X20)
    thresholds = gc.get_threshold()
    gc.callbacks.append(within)
    gc.set_threshold(1)
    try:
        results = [program.value_and_grad(X20) for _ in range(50)]
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(within)
    assert results == [expected] * 50
    assert seen
    assert all(result == (20.0, [2.0] * 20) for result in seen)


def test_errors_in_between() -> None:
    program = engine.compile(lambda x: x[0] / x[1])
    for _ in range(3):
        assert program.value_and_grad([6.0, 2.0]) == (3.0, [0.5, -1.5])
        with pytest.raises(TypeError):
            program.value_and_grad([6.0, "2"])
        with pytest.raises(TypeError):
            program([6.0, Value(2.0)])
        assert program([1.0, 0.0]) == math.inf


def test_programs_travel_without_their_plans() -> None:
    program = engine.compile(math_free)
    assert program.value_and_grad(2.0) == program.value_and_grad(2.0) == (8.0, 12.0)
    for other in (pickle.loads(pickle.dumps(program)), copy.copy(program), copy.deepcopy(program)):
        assert [other.value_and_grad(2.0) for _ in range(2)] == [(8.0, 12.0)] * 2


def math_free(x: Any) -> Any:
    return x * x * x


def test_programs_are_freed_without_the_collector() -> None:
    program = engine.compile(lambda x: x * x)
    program.value_and_grad(2.0)
    program(2.0)
    gone = weakref.ref(program._plans.last)
    gc.collect()
    gc.disable()
    try:
        del program
        assert gone() is None
    finally:
        gc.enable()


def test_without_machine_code_every_call_takes_the_full_way(full: Full) -> None:
    program = engine.compile(lambda x: x * x, native=False)
    assert [program.value_and_grad(3.0) for _ in range(3)] == [(9.0, 6.0)] * 3
    buffered = program.buffered(3.0)
    assert (buffered(), buffered.gradient.tolist()) == (9.0, [6.0])
    assert full.count == 5
