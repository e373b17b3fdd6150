"""Guards and run-time indices: Python branches on data, and both sides come out right."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import engine
from engine import Value
from engine.compiled import paths
from notes import Notes

X = [-2.0, 3.0, -0.5, 0.0, 1.0, 7.5, 1.0, -2.0]


def line_of(f: Callable[..., Any], text: str) -> str:
    """The place of the first line of f with a text, as an error or a warning names it."""
    import inspect

    lines, first = inspect.getsourcelines(f)
    offset = next(k for k, line in enumerate(lines) if text in line)
    return f"{__file__}:{first + offset}"


def agree(f: Callable[..., Any], *columns: Any, in_axes: Any = 0) -> None:
    """f compiled gives what f gives: example by example and as a batch, values and gradients,
    with every way to reduce."""
    batched = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(columns)
    count = len(next(c for c, axis in zip(columns, batched, strict=True) if axis == 0))
    rows = [
        [c[i] if axis == 0 else c for c, axis in zip(columns, batched, strict=True)]
        for i in range(count)
    ]
    argnums = tuple(range(len(columns)))
    expected = [engine.value_and_grad(f, argnums)(*row) for row in rows]
    single = engine.compile(f, argnums=argnums)
    for row, (value, gradient) in zip(rows, expected, strict=True):
        assert single(*row) == pytest.approx(value, rel=1e-14)
        assert single.grad(*row) == pytest.approx(gradient, rel=1e-14)
    values = np.array([value for value, _ in expected])
    program = engine.compile(f, in_axes=in_axes, argnums=argnums)
    out, gradients = program.value_and_grad(*columns)
    np.testing.assert_allclose(values, out, rtol=1e-14)
    for k in argnums:
        np.testing.assert_allclose([g[k] for _, g in expected], gradients[k], rtol=1e-13)
    for reduce, scale in (("sum", 1.0), ("mean", 1.0 / count)):
        reduced = engine.compile(f, in_axes=in_axes, argnums=argnums, reduce=reduce)
        value, gradients = reduced.value_and_grad(*columns)
        assert value == pytest.approx(scale * values.sum(), rel=1e-13)
        for k in argnums:
            each = np.array([g[k] for _, g in expected]) * scale
            total = each if batched[k] == 0 else each.sum(axis=0)
            np.testing.assert_allclose(total, gradients[k], rtol=1e-13, atol=1e-15)


# --- what Python branches on ------------------------------------------------------------------


def branch(x: Any) -> Any:
    if x > 0:
        return x * x
    return -3.0 * x


def nested(x: Any, y: Any) -> Any:
    if x > 0:
        if y > x:
            return x * y
        return x - y * y
    if y != 1.0:
        return engine.exp(x) * y
    return x


def halved(x: Any) -> Any:
    n = 0
    while x > 1:
        x = x / 2
        n += 1
    return x * x + n


def newton(x: Any) -> Any:
    y = x * 0.5 + 1.0
    for _ in range(30):
        step = (y * y - x) / (2.0 * y)
        y = y - step
        if abs(step) < 1e-10:
            break
    return y


def largest(x: Any) -> Any:
    return max([x, 1.0, -x]) * x + min(x, 0.5)


def ordered(x: Any) -> Any:
    a, b, c = sorted([x, 2.0 * x + 1.0, 1.0 - x])
    return a + 10.0 * b + 100.0 * c * c


def by_number(x: Any) -> Any:
    return x * x.data + int(x) * x + x.item() if isinstance(x, Value) else x * x + int(x) * x + x


def equal(x: Any) -> Any:
    if x == 1.0:
        return 5.0 * x
    return x if x in [0.0, -0.5] else x**3


def truth(x: Any) -> Any:
    return x**2 + 1.0 if x else 3.0 * x


def chained(x: Any) -> Any:
    return 2.0 * x if -1.0 < x <= 1.0 else x * x


ONE = [branch, halved, largest, ordered, equal, truth, chained]


@pytest.mark.parametrize("f", ONE, ids=lambda f: f.__name__)
def test_branches_come_out_right(f: Callable[..., Any]) -> None:
    agree(f, X)


def test_nested_branches_come_out_right() -> None:
    agree(nested, X, [1.0, 5.0, 2.0, 1.0, 0.5, 8.0, 1.0, 1.0])


def test_a_loop_until_convergence_comes_out_right() -> None:
    agree(newton, [0.5, 2.0, 9.0, 1e4, 1e-3, 2.0])


def test_numbers_that_are_read_come_out_right() -> None:
    read = lambda x: x * x.data + int(x) * x + x.item()  # noqa: E731
    program = engine.compile(read, in_axes=0)
    values, gradient = program.value_and_grad(X)
    assert [x * x + int(x) * x + x for x in X] == values.tolist()
    assert [x + int(x) for x in X] == gradient.tolist()
    single = engine.compile(read)
    assert [single(x) for x in X] == values.tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_zeros_of_two_signs_are_two_paths_and_nan_is_one(dtype: type) -> None:
    nan = float("nan")
    program = engine.compile(lambda x: x + math.copysign(2.0, x.data), in_axes=0, dtype=dtype)
    out = program(np.array([1.0, 0.0, nan, -0.0, nan, 0.0, -0.0])).tolist()
    assert repr(out) == repr([3.0, 2.0, nan, -2.0, nan, 2.0, -2.0])
    assert repr(program).endswith("4 paths)")


@pytest.mark.parametrize("seed", range(3), ids="seed{}".format)
def test_random_batches_go_their_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 200)) * 3.0
    agree(nested, x.tolist(), y.tolist())


def test_every_path_is_traced_once() -> None:
    calls = Notes()

    def f(x: Any) -> Any:
        calls.add()
        return branch(x)

    program = engine.compile(f, in_axes=0)
    for _ in range(3):
        program(X)
        program([1.0])
        program([-1.0, -2.0])
    assert len(calls) == 2 and "2 paths" in repr(program)


def test_a_guard_on_a_shared_number_sends_the_whole_batch() -> None:
    def f(w: Any, x: Any) -> Any:
        return w * x if w > 0 else x - w * w

    for w in (2.0, -3.0):
        agree(f, w, X, in_axes=(None, 0))
    program = engine.compile(f, in_axes=(None, 0), reduce="sum")
    expected = [2.0 * sum(X), sum(X) - 9.0 * len(X), 2.0 * sum(X)]
    assert [program(w, X) for w in (2.0, -3.0, 2.0)] == pytest.approx(expected)


def test_a_guard_on_a_parameter_is_read_at_each_call() -> None:
    w = Value(2.0)
    program = engine.compile(lambda x: w * x if w > 0 else x * x, in_axes=0, wrt=w, reduce="sum")
    assert program.value_and_grad([3.0, 4.0]) == (14.0, 7.0)
    w.data = -1.0
    assert program.value_and_grad([3.0, 4.0]) == (25.0, 0.0)


def test_shared_and_lane_guards_meet() -> None:
    def f(w: Any, x: Any) -> Any:
        if x > w:
            return x * w if w > 1 else x + w
        return w * w if x * w < -1 else x * x * w

    for w in (2.0, 0.5, -1.0):
        agree(f, w, X, in_axes=(None, 0))


def test_gradients_by_wrt_gather_from_all_paths() -> None:
    w = [Value(2.0), Value(3.0)]
    program = engine.compile(lambda x: w[0] * x if x > 0 else w[1] * x, in_axes=0, wrt=w)
    assert program.grad([1.0, -2.0]).tolist() == [[1.0, 0.0], [0.0, -2.0]]
    program.backward([1.0, -2.0, 5.0])
    assert [v.grad for v in w] == [6.0, -2.0]


# --- these tests fail where guards are ignored ------------------------------------------------


def test_ignored_guards_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = paths.Machine.run

    def ignoring(*args: Any, **keywords: Any) -> Any:
        result = run(*args, **keywords)
        result.fail[:] = -1
        return result

    monkeypatch.setattr(paths.Machine, "run", ignoring)
    for f in (branch, halved, largest, ordered, equal, truth, chained):
        with pytest.raises(AssertionError):
            agree(f, X)


# --- what records a guard, and what doesn't ---------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x: engine.where(x > 0, x * x, -x),
        lambda x: engine.where((x > 0) & (x < 2) | (x <= -1), x * x, -x),
        lambda x: engine.where((x == 1.0) | False, x * x, -x),
        lambda x: engine.where(True & (x != 1.0), x * x, -x),
        lambda x: engine.maximum(x, 0.5, -x) + engine.minimum([x, 1.0]),
        lambda x: engine.clamp(x, -1.0, 1.5) * x,
        lambda x: abs(x) + engine.relu(x) + engine.floor(x) * x,
        lambda x: engine.sum(engine.softmax([x, 2.0 * x, 0.0])[:1]),
    ],
)
def test_operations_that_choose_need_no_guard(f: Callable[..., Any]) -> None:
    agree(f, X)
    program = engine.compile(f, in_axes=0)
    program(X)
    assert "1 path" in repr(program) and "checked at every run" not in str(program)


def test_detach_is_live_and_needs_no_guard() -> None:
    program = engine.compile(lambda x: x * x.detach() + engine.detach(2.0 * x), in_axes=0)
    values, gradient = program.value_and_grad(X)
    assert [x * x + 2.0 * x for x in X] == values.tolist() and gradient.tolist() == X
    assert "1 path" in repr(program) and "checked at every run" not in str(program)


def test_a_condition_in_where_and_in_if_is_guarded_by_the_if_alone() -> None:
    def f(x: Any, y: Any) -> Any:
        positive = x > 0
        z = engine.where(positive & (y > 0), x * y, x)
        return z * z if positive else z

    agree(f, X, X[::-1])
    program = engine.compile(f, in_axes=0)
    program(X, X[::-1])
    assert "2 paths" in repr(program)


def test_conditions_in_if_with_and_or_not() -> None:
    def f(x: Any, y: Any) -> Any:
        if (x > 0 and y > 0) or not x < 5:
            return x * y
        if (x > -1) & (y <= 1):
            return x + y
        return x - y

    agree(f, X, X[::-1])


@pytest.mark.parametrize("compare", ["==", "!="])
def test_comparing_two_conditions_is_right_or_refused(compare: str) -> None:
    def f(x: Any, y: Any) -> Any:
        same = (x > 0) == (y > 0) if compare == "==" else (x > 0) != (y > 0)
        return 2.0 * x if same else 3.0 * y

    program = engine.compile(f, in_axes=0)
    try:
        out = program(X, X[::-1])
    except (TypeError, engine.TraceError):
        return
    assert [f(x, y) for x, y in zip(X, X[::-1], strict=True)] == out.tolist()


# --- rounding ---------------------------------------------------------------------------------


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A program may try each of its paths, but not go on without end."""
    run, runs = paths.Machine.run, []

    def counting(*args: Any, **keywords: Any) -> Any:
        runs.append(1)
        assert len(runs) < 500, "paths send an example to one another without end"
        return run(*args, **keywords)

    monkeypatch.setattr(paths.Machine, "run", counting)
    yield


@pytest.mark.usefixtures("bounded")
def test_a_trace_is_told_the_outcome_that_a_replay_found() -> None:
    """In float32 a + b is 1 where in float64 it is more: the replay's outcome counts."""
    seen = Notes()

    def f(a: Any, b: Any) -> Any:
        more = bool(a + b > 1.0)
        seen.add(more)
        return a if more else b

    assert engine.compile(f)(1.0, 1e-9) == 1.0
    assert engine.compile(f, dtype="float32")(1.0, 1e-9) == np.float32(1e-9)
    assert seen.lines == ["True", "True", "False"]


@pytest.mark.usefixtures("bounded")
def test_paths_that_round_differently_come_to_an_end() -> None:
    """Each path computes s such that it belongs to the other one: -2**53 + 1 + 2**53 is 1 or 0."""

    def f(u: Any, v: Any, x: Any, y: Any) -> Any:
        t = u * v + x
        s = t + y
        if s > 0.5:
            return s
        return s + t  # t is used twice now, so s is not summed in one go

    result = engine.compile(f)(-(2.0**53), 1.0, 1.0, 2.0**53)
    assert result in (0.0, 1.0, 1.0 - 2.0**53, 2.0 - 2.0**53)


# --- more than 64 paths -----------------------------------------------------------------------


def only_warning(caught: list[warnings.WarningMessage]) -> str:
    assert [w.category for w in caught] == [RuntimeWarning]
    return str(caught[0].message)


def many(x: Any) -> Any:
    k = int(x)  # a path for each whole number
    return x * x + k * x


@pytest.mark.parametrize("reduce", [None, "sum", "mean"])
def test_beyond_64_paths_results_are_right_with_one_warning(reduce: Any) -> None:
    xs = np.arange(80.0) + 0.5
    program = engine.compile(many, in_axes=0, reduce=reduce)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = [program.value_and_grad(xs) for _ in range(2)]
    message = only_warning(caught)
    assert line_of(many, "int(x)") in message
    assert all(name in message for name in ("where", "maximum", "detach"))
    scale = 1.0 / 80 if reduce == "mean" else 1.0
    expected = xs * xs + np.floor(xs) * xs
    for value, gradient in results:
        np.testing.assert_allclose(expected if reduce is None else scale * expected.sum(), value)
        np.testing.assert_allclose((2 * xs + np.floor(xs)) * scale, gradient)
    assert "64 paths" in repr(program)
    one = np.array([99.5])  # a batch none of which is compiled
    assert program(one) == 99.5 * 99.5 + 99 * 99.5
    assert program.grad(one) == 2 * 99.5 + 99


def test_beyond_64_paths_single_calls_are_right_with_one_warning() -> None:
    program = engine.compile(many)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in [k + 0.25 for k in range(70)]:
            assert program.value_and_grad(x) == (x * x + int(x) * x, 2 * x + int(x))
    assert line_of(many, "int(x)") in only_warning(caught)


def test_beyond_64_paths_the_warning_names_the_guard_of_the_path() -> None:
    """Paths of one function have guards of different lines and counts."""

    def f(x: Any) -> Any:
        if x < 0:
            return x
        n = 0
        while x > 1:
            x, n = x / 2, n + 1
        return x * n

    xs = np.concatenate([-np.ones(3), 1.1 * 2.0 ** np.arange(90)])
    program = engine.compile(f, in_axes=0)
    for seed in range(3):
        batch = np.random.default_rng(seed).permutation(xs)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out = program(batch)
        assert [f(x) for x in batch.tolist()] == out.tolist()
        if seed == 0:
            assert line_of(f, "while") in only_warning(caught)
        else:
            assert caught == []


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
def test_beyond_64_paths_leaves_that_no_path_read_get_their_gradient() -> None:
    table = [Value(float(k)) for k in range(100)]
    program = engine.compile(lambda i: 2.0 * table[int(i)], in_axes=0)
    assert program.backward(np.arange(100.0)).tolist() == [2.0 * k for k in range(100)]
    assert [w.grad for w in table] == [2.0] * 100


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
def test_beyond_64_paths_gradients_by_wrt_are_right() -> None:
    table = [Value(float(k)) for k in range(70)]
    program = engine.compile(lambda i: i * table[int(i)] ** 2, in_axes=0, wrt=table)
    assert np.diag(2.0 * np.arange(70.0) ** 2).tolist() == program.grad(np.arange(70.0)).tolist()


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
def test_beyond_64_paths_derivatives_inside_are_right() -> None:
    def f(x: Any) -> Any:
        return engine.grad(lambda w: w * w * x)(1.0) * x + int(x)

    xs = np.arange(70.0) + 0.5
    np.testing.assert_allclose(4.0 * xs, engine.compile(f, in_axes=0).grad(xs))


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
def test_beyond_64_paths_programs_inside_are_inlined() -> None:
    square = engine.compile(lambda x: x * x)
    xs = np.arange(70.0) + 0.5
    out = engine.compile(lambda x: square(x) + int(x), in_axes=0)(xs)
    np.testing.assert_allclose(xs * xs + np.floor(xs), out)


# --- take: an index at run time ---------------------------------------------------------------

INDICES = [0.0, 2.0, -1.0, 1.0, 2.0, -3.0]
TABLE = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def looked_up(table: Any, i: Any) -> Any:
    a, b = engine.take(table, i)
    return a * b * b


def test_take_of_a_shared_table_needs_no_path_of_its_own() -> None:
    program = engine.compile(looked_up, in_axes=(None, 0))
    out, by_table = program.value_and_grad(TABLE, INDICES)
    expected = [engine.value_and_grad(looked_up)(TABLE, i) for i in INDICES]
    assert [v for v, _ in expected] == out.tolist()
    assert [g for _, g in expected] == by_table.tolist()
    assert "1 path" in repr(program)
    single = engine.compile(looked_up)
    assert [single.value_and_grad(TABLE, i) for i in INDICES] == expected
    assert "1 path" in repr(single)


def test_take_of_a_batched_table() -> None:
    rng = np.random.default_rng(0)
    tables = rng.normal(size=(6, 3, 2))
    program = engine.compile(looked_up, in_axes=0)
    out, by_table = program.value_and_grad(tables.tolist(), INDICES)
    expected = [
        engine.value_and_grad(looked_up)(table, i)
        for table, i in zip(tables.tolist(), INDICES, strict=True)
    ]
    np.testing.assert_allclose([v for v, _ in expected], out, rtol=1e-15)
    np.testing.assert_allclose([g for _, g in expected], by_table, rtol=1e-15)
    shared = engine.compile(looked_up, in_axes=(0, None))
    np.testing.assert_allclose(tables[:, 2].prod(axis=1) * tables[:, 2, 1], shared(tables, 2.0))


def test_the_gradient_of_take_adds_up_where_indices_repeat() -> None:
    w = [[Value(x) for x in row] for row in TABLE]
    program = engine.compile(lambda i: engine.take(w, i)[0] ** 2, in_axes=0, reduce="sum", wrt=w)
    # entries 0, 1, 2 are taken 2, 1 and 3 times
    assert program.grad(INDICES) == [[4.0, 0.0], [6.0, 0.0], [30.0, 0.0]]
    program.backward(INDICES)
    assert [[v.grad for v in row] for row in w] == [[4.0, 0.0], [6.0, 0.0], [30.0, 0.0]]


def test_the_index_may_be_computed_and_the_table_too() -> None:
    def f(x: Any, i: Any) -> Any:
        table = [x, x * x, engine.sin(x), 4.0]
        return engine.take(table, engine.floor(i / 2.0) - 1.0) * x

    agree(lambda x, i: f(x, i), X, [0.0, 1.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.9])


def test_a_table_changed_between_two_looks_is_looked_up_as_it_is() -> None:
    def f(i: Any, x: Any) -> Any:
        table = [1.0 * x, 2.0 * x]
        first = engine.take(table, i)
        table[0] = 5.0 * x
        return first + 10.0 * engine.take(table, i)

    program = engine.compile(f, in_axes=0)
    assert program([0.0, 1.0], [1.0, 1.0]).tolist() == [51.0, 22.0]


@pytest.mark.parametrize("sequence", [(1.0, 2.0, 4.0), np.array([1.0, 2.0, 4.0])], ids=["t", "a"])
def test_take_of_plain_numbers(sequence: Any) -> None:
    program = engine.compile(lambda i, x: engine.take(sequence, i) * x, in_axes=(0, None))
    assert program([0.0, -1.0, 1.0], 3.0).tolist() == [3.0, 12.0, 6.0]


def test_an_index_out_of_range_names_the_example() -> None:
    program = engine.compile(looked_up, in_axes=(None, 0), reduce="sum")
    program(TABLE, INDICES)
    with pytest.raises(IndexError, match=r"example 2\b.*index 3 .*3 entries"):
        program(TABLE, [0.0, 1.0, 3.0, 1.0])
    with pytest.raises(IndexError, match=r"example 1\b.*index -4 "):
        program.grad(TABLE, [0.0, -4.0])
    with pytest.raises(IndexError, match=r"example 0\b"):
        engine.compile(looked_up, in_axes=(None, 0))(TABLE, [9.0, 0.0])
    with pytest.raises(IndexError, match=r"^take: index 3"):
        engine.compile(looked_up)(TABLE, 3.0)
    assert program(TABLE, [0.0]) == 4.0  # and the program goes on


@pytest.mark.parametrize("index", [0.5, float("nan"), float("inf")])
def test_an_index_that_is_not_whole_is_a_value_error(index: float) -> None:
    program = engine.compile(looked_up, in_axes=(None, 0))
    program(TABLE, INDICES)
    with pytest.raises(ValueError, match=r"example 1\b.*whole number"):
        program(TABLE, [0.0, index])
    with pytest.raises(ValueError, match="whole number"):
        engine.compile(looked_up)(TABLE, index)


def test_a_refused_index_changes_nothing() -> None:
    w = [Value(1.0), Value(2.0)]
    program = engine.compile(lambda i: engine.take(w, i) ** 2, in_axes=0)
    program.backward([0.0, 1.0])
    before = [(v.data, v.grad) for v in w]
    with pytest.raises(IndexError):
        program.backward([0.0, 1.0, 5.0])
    assert before == [(v.data, v.grad) for v in w]


def test_a_take_on_the_branch_not_taken_is_no_error() -> None:
    def f(i: Any) -> Any:
        if i < 3:
            return engine.take([10.0, 20.0, 30.0], i) * i
        return -1.0 * i

    program = engine.compile(f, in_axes=0)
    assert program([0.0, 1.0, 2.0]).tolist() == [0.0, 20.0, 60.0]
    assert program([7.0, 1.0, 3.5]).tolist() == [-7.0, 20.0, -3.5]
    assert engine.compile(f, in_axes=0)([7.0, 1.0]).tolist() == [-7.0, 20.0]
    with pytest.raises(IndexError, match=r"example 1\b"):
        program([7.0, -4.0])


def test_a_guard_behind_a_take_is_still_a_guard() -> None:
    def f(i: Any, x: Any) -> Any:
        y = engine.take([x, -x, 2.0 * x], i)
        return y * y if y > 0 else 3.0 * y

    agree(f, [0.0, 1.0, 2.0, -1.0, -2.0, -3.0, 0.0, 2.0], X)


def test_second_derivatives_through_take() -> None:
    table = [[1.5, 2.0], [3.0, -4.0], [0.5, 6.0]]
    hessian = engine.hessian(looked_up)
    program = engine.compile(hessian)
    for i in INDICES:
        np.testing.assert_allclose(
            np.array(hessian(table, i)).reshape(6, 6), np.array(program(table, i)).reshape(6, 6)
        )
    first = engine.grad(
        lambda t, i: engine.sum(row[1] ** 2 for row in engine.grad(looked_up)(t, i))
    )
    out = engine.compile(first, in_axes=(None, 0))(table, INDICES)
    np.testing.assert_allclose([first(table, i) for i in INDICES], out, rtol=1e-14)


def test_entries_of_different_structures_are_refused_with_the_line() -> None:
    def f(i: Any) -> Any:
        return engine.take([[1.0], [2.0, 3.0]], i)[0]

    with pytest.raises(engine.TraceError, match=re.escape(line_of(f, "take"))):
        engine.compile(f)(0.0)
