"""Calling a program: what is traced when, what arguments mean, and what kinds results have."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import TraceError, Value
from engine.compiled.native import driver
from notes import Notes

Pair = namedtuple("Pair", "a b")


def counted(f: Callable[..., Any]) -> tuple[Callable[..., Any], Notes]:
    """The function, and notes with a line for each time that it was called."""
    calls = Notes()

    def g(*args: Any, **keywords: Any) -> Any:
        calls.add()
        return f(*args, **keywords)

    return g, calls


def line(w: Any, x: Any) -> Any:
    return engine.tanh(w[0] * x + w[1])


W = [0.5, -0.25]
X = np.array([0.5, -1.0, 2.0, 0.0, 3.5])


# --- tracing: at the first call, once a signature ---------------------------------------------


def test_a_program_traces_at_its_first_call_and_never_for_other_numbers() -> None:
    f, calls = counted(lambda x: x * x)
    program = engine.compile(f)
    assert len(calls) == 0
    assert [program(x) for x in (2.0, 3, np.float64(4.0), np.int64(5))] == [4.0, 9.0, 16.0, 25.0]
    assert len(calls) == 1


def test_no_batch_size_traces_again() -> None:
    f, calls = counted(line)
    program = engine.compile(f, in_axes=(None, 0))
    for size in (1, 2, 5, 1000, 3):
        assert program(W, np.ones(size)).shape == (size,)
    assert len(calls) == 1


def test_values_gradients_and_backward_share_one_trace() -> None:
    f, calls = counted(lambda x: x**3)
    program = engine.compile(f)
    assert (program.grad(2.0), program(2.0), program.value_and_grad(2.0)) == (
        12.0,
        8.0,
        (8.0, 12.0),
    )
    program.backward(2.0)
    assert len(calls) == 1


def test_other_lengths_and_containers_trace_again_once_each() -> None:
    f, calls = counted(lambda xs: engine.sum(list(xs)))
    program = engine.compile(f)
    for _ in range(2):
        assert program([1.0, 2.0]) == 3.0
        assert program([1.0, 2.0, 3.0]) == 6.0
        assert program((1.0, 2.0)) == 3.0
        assert program(np.array([1.0, 2.0])) == 3.0
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("one", "two"), [("a", "b"), (True, False), (None, "a"), (engine.exp, engine.sin)]
)
def test_static_arguments_are_part_of_the_signature(one: Any, two: Any) -> None:
    seen = Notes()

    def f(x: Any, kind: Any) -> Any:
        seen.add(kind)
        return kind(x) if callable(kind) else x * (2.0 if kind == one else 3.0)

    program = engine.compile(f)
    for kind in (one, two, one, two):
        expected = kind(1.5) if callable(kind) else 1.5 * (2.0 if kind == one else 3.0)
        assert program(1.5, kind) == pytest.approx(expected, rel=1e-15)
        assert program(1.5, kind=kind) == pytest.approx(expected, rel=1e-15)
    assert seen.lines == [str(kind) for kind in (one, one, two, two)]  # positional and by keyword


def test_true_is_no_one() -> None:
    program = engine.compile(lambda x, flag: x if isinstance(flag, bool) else x * flag)
    assert (program(3.0, True), program(3.0, 1), program(3.0, 2.0)) == (3.0, 3.0, 6.0)
    assert repr(program).endswith("2 paths)")


def test_a_failed_trace_leaves_nothing_behind() -> None:
    broken = [True]

    def f(x: Any) -> Any:
        if broken[0]:
            raise KeyError("not now")
        return x * 2.0

    program = engine.compile(f)
    with pytest.raises(KeyError, match="not now"):
        program(1.0)
    assert "not traced yet" in repr(program)
    broken[0] = False
    assert program(1.0) == 2.0
    assert engine.log(Value(1.0)).data == 0.0 and Value(1.0).data == 1.0  # no trace is left open


# --- what f sees ------------------------------------------------------------------------------


def test_f_sees_lists_as_lists_and_arrays_as_arrays() -> None:
    kinds = Notes()

    def f(xs: Any, M: Any, t: Any, d: Any, n: Any) -> Any:
        kinds.add((type(xs), type(xs[0]), type(M), M.dtype, M.shape, type(t), type(d), type(n)))
        return (M @ np.array(xs, dtype=object)).sum() * t[0] * d["k"] * n.a

    args = ([1.0, 2.0], np.eye(2), (3.0,), {"k": 4.0}, Pair(5.0, 6.0))
    assert engine.compile(f)(*args) == 180.0
    expected = (list, Value, np.ndarray, np.dtype(object), (2, 2), tuple, dict, Pair)
    assert kinds.lines == [str(expected)]


def test_an_example_of_a_batch_keeps_its_kind() -> None:
    kinds = Notes()

    def f(rows: Any, M: Any, pair: Any) -> Any:
        kinds.add((type(rows), type(rows[0]), type(M), M.shape, type(pair), type(pair[1])))
        return rows[0] + M.sum() + pair[0] * pair[1][1]

    program = engine.compile(f, in_axes=0)
    rows = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    out = program(rows, np.ones((3, 2, 2)), (np.arange(3.0), [[1.0, 2.0]] * 3))
    assert out.tolist() == [5.0, 9.0, 13.0]
    assert kinds.lines == [str((list, Value, np.ndarray, (2, 2), tuple, list))]


def test_keywords_are_shared_numbers() -> None:
    program = engine.compile(lambda x, k: x * k[0], in_axes=0)
    assert program(np.arange(3.0), k=[2.0]).tolist() == [0.0, 2.0, 4.0]
    assert program(np.arange(3.0), k=[3.0]).tolist() == [0.0, 3.0, 6.0]


# --- in_axes ----------------------------------------------------------------------------------


def test_in_axes_none_shares_all_and_zero_batches_all() -> None:
    f = lambda x, y: x * y  # noqa: E731
    assert engine.compile(f)(2.0, 3.0) == 6.0
    assert engine.compile(f, in_axes=0)([1.0, 2.0], [3.0, 4.0]).tolist() == [3.0, 8.0]
    assert engine.compile(f, in_axes=(0, None))([1.0, 2.0], 3.0).tolist() == [3.0, 6.0]


def test_in_axes_may_be_a_tree_prefix() -> None:
    f = lambda p, x: p[0] * x["a"] * x["b"][0] + p[1][0]  # noqa: E731
    program = engine.compile(f, in_axes=((None, 0), {"a": 0, "b": None}))
    p, x = (2.0, [[1.0], [10.0]]), {"a": [3.0, 4.0], "b": [5.0]}
    assert program(p, x).tolist() == [31.0, 50.0]
    dp = program.grad(p, x)
    assert dp[0].tolist() == [15.0, 20.0] and dp[1].tolist() == [[1.0], [1.0]]
    dx = engine.compile(f, in_axes=((None, 0), {"a": 0, "b": None}), argnums=1).grad(p, x)
    assert dx["a"].tolist() == [10.0, 10.0] and dx["b"].tolist() == [[6.0], [8.0]]


def test_static_arguments_may_stand_beside_batches() -> None:
    program = engine.compile(lambda x, name: x * len(name), in_axes=(0, None))
    assert program([1.0, 2.0], "abc").tolist() == [3.0, 6.0]


@pytest.mark.parametrize(
    "axes", [(0,), (0, None, None), (1, None), (-1, 0), ("0", None), (True, 0)]
)
def test_wrong_in_axes_are_value_errors(axes: Any) -> None:
    with pytest.raises(ValueError, match="in_axes"):
        engine.compile(lambda x, y: x * y, in_axes=axes)([1.0, 2.0], [3.0, 4.0])


@pytest.mark.parametrize(
    ("axes", "arg"),
    [(({"a": 0},), {"b": [1.0]}), (((0, 0),), [[1.0]]), (((0, None),), 3.0), (({"a": 0},), [1.0])],
)
def test_prefixes_that_do_not_fit_are_value_errors(axes: Any, arg: Any) -> None:
    with pytest.raises(ValueError, match="in_axes"):
        engine.compile(lambda x: 1.0, in_axes=axes)(arg)


# --- reduce -----------------------------------------------------------------------------------


def test_without_reduce_gradients_are_one_an_example_also_for_shared_arguments() -> None:
    program = engine.compile(line, in_axes=(None, 0), argnums=(0, 1))
    values, (dw, dx) = program.value_and_grad(W, X)
    each = [engine.value_and_grad(line, (0, 1))(W, x) for x in X.tolist()]
    np.testing.assert_allclose([v for v, _ in each], values, rtol=1e-15)
    np.testing.assert_allclose([g[0] for _, g in each], dw, rtol=1e-15)
    np.testing.assert_allclose([g[1] for _, g in each], dx, rtol=1e-15)
    assert (dw.shape, dx.shape) == ((5, 2), (5,))


def test_without_reduce_gradients_by_wrt_are_one_an_example() -> None:
    w = [Value(x) for x in W]
    program = engine.compile(lambda x: line(w, x), in_axes=0, wrt=w)
    dw = program.grad(X)
    np.testing.assert_allclose([engine.grad(line)(W, x) for x in X.tolist()], dw, rtol=1e-15)


@pytest.mark.parametrize(("reduce", "scale"), [("sum", 1.0), ("mean", 0.2)])
def test_reduced_gradients_are_those_of_one_number(reduce: Any, scale: float) -> None:
    program = engine.compile(line, in_axes=(None, 0), reduce=reduce, argnums=(0, 1))
    value, (dw, dx) = program.value_and_grad(W, X)
    each = [engine.value_and_grad(line, (0, 1))(W, x) for x in X.tolist()]
    assert type(value) is float and type(dw) is list and isinstance(dx, np.ndarray)
    assert value == pytest.approx(scale * sum(v for v, _ in each), rel=1e-14)
    for k in range(2):
        assert dw[k] == pytest.approx(scale * sum(g[0][k] for _, g in each), rel=1e-14)
    np.testing.assert_allclose([scale * g[1] for _, g in each], dx, rtol=1e-14)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_reduce_of_nothing_batched_is_a_value_error(reduce: Any) -> None:
    with pytest.raises(ValueError, match=r"in_axes"):
        engine.compile(lambda x: x, reduce=reduce)(1.0)


def test_an_unknown_reduce_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r'"mean" or "sum"'):
        engine.compile(lambda x: x, reduce="max")  # type: ignore[arg-type]


# --- the kinds of results ---------------------------------------------------------------------


def test_results_have_the_structure_that_f_returns() -> None:
    def f(x: Any) -> Any:
        return {"one": x, "list": [x, 2.0 * x], "tuple": (x, 3), "pair": Pair(x, [x])}

    out = engine.compile(f)(2.0)
    assert out == {"one": 2.0, "list": [2.0, 4.0], "tuple": (2.0, 3.0), "pair": Pair(2.0, [2.0])}
    assert type(out["one"]) is float and type(out["pair"]) is Pair
    batched = engine.compile(f, in_axes=0)([2.0, 5.0])
    assert batched["one"].tolist() == [2.0, 5.0]
    assert batched["list"].tolist() == [[2.0, 4.0], [5.0, 10.0]]
    assert [part.tolist() for part in batched["tuple"]] == [[2.0, 5.0], [3.0, 3.0]]
    assert type(batched["pair"]) is Pair and batched["pair"].b.tolist() == [[2.0], [5.0]]
    assert engine.compile(f, in_axes=0, reduce="sum")([2.0, 5.0])["list"] == [7.0, 14.0]


def test_arrays_come_back_as_arrays() -> None:
    M = np.arange(6.0).reshape(2, 3)
    program = engine.compile(lambda M: M * M)
    assert isinstance(program(M), np.ndarray) and program(M).dtype == np.float64
    assert (program(M) == M * M).all()
    batched = engine.compile(lambda x: x * 2.0, in_axes=0)(np.stack([M, M + 1]))
    assert (np.stack([M, M + 1]) * 2.0 == batched).all()


def test_the_gradient_has_the_structure_of_the_argument() -> None:
    p = {"w": [2.0, (3.0,)], "M": np.array([[4.0, 5.0]]), "pair": Pair(6.0, 7)}
    f = lambda p: (  # noqa: E731
        p["w"][0] * p["w"][1][0] + (p["M"] * p["M"]).sum() + p["pair"].a * p["pair"].b
    )
    d = engine.compile(f).grad(p)
    assert (d["w"], d["pair"], d["M"].tolist()) == ([3.0, (2.0,)], Pair(7.0, 6.0), [[8.0, 10.0]])
    assert type(d["w"][0]) is float


def test_a_list_of_arrays_has_a_list_of_arrays_as_gradient() -> None:
    f = lambda a: (a[0] * a[1]).sum()  # noqa: E731
    arg = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    d = engine.compile(f).grad(arg)
    assert [np.asarray(part).tolist() for part in d] == [[3.0, 4.0], [1.0, 2.0]]


def test_argnums_choose_arguments() -> None:
    f = lambda x, y, z: x * y**2 * z**3  # noqa: E731
    assert engine.compile(f, argnums=1).grad(2.0, 3.0, 1.0) == 12.0
    assert engine.compile(f, argnums=-1).grad(2.0, 3.0, 1.0) == 54.0
    assert engine.compile(f, argnums=(2, 0)).grad(2.0, 3.0, 1.0) == (54.0, 9.0)
    assert engine.compile(f, argnums=(1,)).grad(2.0, 3.0, 1.0) == (12.0,)
    with pytest.raises(ValueError, match="argument 3"):
        engine.compile(f, argnums=3).grad(2.0, 3.0, 1.0)


def test_a_gradient_passes_by_static_parts_of_an_argument() -> None:
    f = lambda d: d["w"] ** 2 if d["mode"] == "square" else d["w"]  # noqa: E731
    assert engine.compile(f).grad({"mode": "square", "w": 3.0})["w"] == 6.0


def test_arguments_without_influence_have_the_gradient_zero() -> None:
    assert engine.compile(lambda x, y: x, argnums=(0, 1)).grad(2.0, [3.0]) == (1.0, [0.0])
    d = engine.compile(lambda x, y: x, in_axes=0, argnums=1).grad([1.0, 2.0], [[3.0], [4.0]])
    assert d.tolist() == [[0.0], [0.0]]
    assert engine.compile(lambda x: 5.0).value_and_grad(1.0) == (5.0, 0.0)


def test_results_are_fresh_at_every_call() -> None:
    program = engine.compile(lambda w, x: w[0] * x, in_axes=(None, 0))
    first = program.value_and_grad([2.0], X)
    copies = [first[0].copy(), first[1].copy()]
    for part in first:
        part[...] = -7.0
    second = program.value_and_grad([2.0], X)
    assert [(c == s).all() for c, s in zip(copies, second, strict=True)] == [True, True]


def test_float32_programs_give_float32_arrays() -> None:
    program = engine.compile(line, in_axes=(None, 0), argnums=(0, 1), dtype=np.float32)
    value, (dw, dx) = program.value_and_grad(W, X)
    assert {value.dtype, dw.dtype, dx.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose([line([*W], Value(x)).data for x in X], value, rtol=1e-6)


def test_float32_programs_give_float32_arrays_without_a_batch() -> None:
    M = np.arange(3.0)
    assert engine.compile(lambda M: M * M, dtype="float32")(M).dtype == np.float32
    assert engine.compile(lambda M: (M * M).sum(), dtype="float32").grad(M).dtype == np.float32


def test_other_dtypes_are_value_errors() -> None:
    with pytest.raises(ValueError, match="float64 or float32"):
        engine.compile(lambda x: x, dtype=np.int64)


# --- wrt and backward -------------------------------------------------------------------------


def test_wrt_gives_the_gradient_in_its_structure() -> None:
    w, b = [Value(2.0), Value(3.0)], Value(4.0)
    f = lambda x: (w[0] * x + w[1]) * b  # noqa: E731
    assert engine.compile(f, wrt=b).grad(5.0) == 13.0
    assert engine.compile(f, wrt=[w, [b]]).grad(5.0) == [[20.0, 4.0], [13.0]]
    assert engine.compile(f, wrt={"w": w, "b": b}).grad(5.0) == {"w": [20.0, 4.0], "b": 13.0}
    unused = Value(1.0)
    assert engine.compile(f, wrt=[unused, b]).value_and_grad(5.0) == (52.0, [0.0, 13.0])


def test_wrt_may_name_a_value_twice() -> None:
    w = Value(2.0)
    y = w * 3.0
    assert engine.gradients(y, [w, w]) == [3.0, 3.0]
    assert engine.compile(lambda x: w * x, wrt=[w, w]).grad(3.0) == [3.0, 3.0]


def test_wrt_may_be_a_module() -> None:
    model = nn.Linear(2, 1)
    program = engine.compile(lambda x: model(x)[0] ** 2, wrt=model)
    d = program.grad([1.0, 2.0])
    y = model([1.0, 2.0])[0].data
    np.testing.assert_allclose([2 * y, 4 * y, 2 * y], d, rtol=1e-15)


def test_wrt_takes_leaves_only() -> None:
    with pytest.raises(TypeError, match="leaves"):
        engine.compile(lambda x: x, wrt=Value(2.0) * 3.0)
    with pytest.raises(TypeError, match="argnums"):
        engine.compile(lambda x: x, wrt=[1.0])


def test_backward_adds_into_the_leaves() -> None:
    w, b, other = Value(2.0), Value(3.0), Value(4.0)
    program = engine.compile(lambda x: w * x + b + 0.0 * other.data)
    b.grad = 10.0
    assert program.backward(5.0) == 13.0
    assert program.backward(7.0) == 17.0
    assert (w.grad, b.grad, other.grad) == (12.0, 12.0, 0.0)


def test_backward_with_wrt_adds_into_those_leaves_only() -> None:
    w, b = Value(2.0), Value(3.0)
    engine.compile(lambda x: w * x + b, wrt=[w]).backward(5.0)
    assert (w.grad, b.grad) == (5.0, 0.0)


@pytest.mark.parametrize(("reduce", "expected"), [(None, 6.0), ("sum", 6.0), ("mean", 2.0)])
def test_backward_of_a_batch_sums_or_averages(reduce: Any, expected: float) -> None:
    w = Value(2.0)
    engine.compile(lambda x: w * x, in_axes=0, reduce=reduce).backward([1.0, 2.0, 3.0])
    assert w.grad == pytest.approx(expected)


@pytest.mark.parametrize("way", ["grad", "value_and_grad", "backward"])
@pytest.mark.parametrize(
    "f", [lambda x: [x, x], lambda x: (x,), lambda x: {"a": x}, lambda x: np.array([x, x])]
)
def test_a_gradient_of_anything_but_one_number_names_jacobian(f: Any, way: str) -> None:
    program = engine.compile(f)
    program(1.0)
    with pytest.raises(TypeError, match="jacobian"):
        getattr(program, way)(1.0)
    with pytest.raises(TypeError, match="jacobian"):
        getattr(engine.compile(f, in_axes=0), way)([1.0, 2.0])


# --- Values, and programs inside of programs --------------------------------------------------


@pytest.mark.parametrize("arg", [Value(1.0), [Value(1.0)], {"a": (Value(1.0),)}])
def test_a_value_as_argument_is_a_type_error(arg: Any) -> None:
    with pytest.raises(TypeError, match=r"Value.*v\.data|plain numbers"):
        engine.compile(lambda x: 1.0)(arg)


@pytest.mark.parametrize("arg", [[Value(1.0)], np.array([[Value(1.0)]])])
def test_a_batch_of_values_is_a_type_error(arg: Any) -> None:
    with pytest.raises(TypeError, match="plain numbers"):
        engine.compile(lambda x: 1.0, in_axes=0)(arg)


def test_inside_of_another_trace_a_program_is_inlined() -> None:
    f = lambda x: engine.sin(x) * x  # noqa: E731
    inner = engine.compile(f)
    outer = engine.compile(lambda x: inner(x * x) + inner(x))
    assert outer.grad(0.7) == pytest.approx(engine.grad(lambda x: f(x * x) + f(x))(0.7), rel=1e-14)
    assert "not traced yet" in repr(inner)


def test_program_grad_inside_of_a_trace_can_be_differentiated_again() -> None:
    w = Value(2.0)
    by_argument = engine.compile(lambda x: x**3)
    by_leaf = engine.compile(lambda x: w**2 * x, wrt=w)
    outer = engine.compile(lambda x: by_argument.grad(x) + by_leaf.value_and_grad(x)[1])
    assert outer.value_and_grad(2.0) == (20.0, 16.0)
    assert engine.compile(lambda x: by_leaf.grad(x) * 1.5, wrt=w).grad(3.0) == 9.0


def test_a_batched_program_or_backward_inside_of_a_trace_is_refused() -> None:
    batched = engine.compile(lambda x: x, in_axes=0)
    with pytest.raises(TraceError, match=r"batches.*test_contract_calls\.py:\d+"):
        engine.compile(lambda x: batched([x]))(1.0)
    plain = engine.compile(lambda x: x)
    with pytest.raises(TraceError, match=r"test_contract_calls\.py:\d+.*program\.grad"):
        engine.compile(lambda x: plain.backward(x))(1.0)


# --- arguments that are refused ---------------------------------------------------------------


def test_ragged_batches_are_value_errors() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        engine.compile(lambda x: x[0], in_axes=0)([[1.0, 2.0], [3.0]])


def test_batches_of_different_lengths_are_value_errors() -> None:
    with pytest.raises(ValueError, match=r"3 examples.*2|2.*3"):
        engine.compile(lambda x, y: x * y, in_axes=0)([1.0, 2.0], [1.0, 2.0, 3.0])


def test_an_empty_batch_and_a_batched_number_are_value_errors() -> None:
    program = engine.compile(lambda x: x, in_axes=0)
    with pytest.raises(ValueError, match="no examples"):
        program([])
    with pytest.raises(ValueError, match="one number"):
        program(3.0)


@pytest.mark.parametrize("arg", [1j, object(), b"x", {1.0, 2.0}, np.array([1j])])
def test_what_holds_no_real_numbers_is_a_type_error(arg: Any) -> None:
    with pytest.raises(TypeError, match="argument 0"):
        engine.compile(lambda x: 1.0)(arg)


@pytest.mark.parametrize("batch", [["1", "2"], [1.0, None], [1j, 2j]], ids=repr)
def test_a_batch_without_real_numbers_is_an_error(batch: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="argument 0"):
        engine.compile(lambda x: x * 2.0, in_axes=0)(batch)


def test_a_function_that_returns_nothing_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"None.*return"):
        engine.compile(lambda x: None)(1.0)


def test_only_functions_are_compiled() -> None:
    with pytest.raises(TypeError, match="takes a function"):
        engine.compile(3.0)  # type: ignore[arg-type]


# --- looking at a program ---------------------------------------------------------------------


def test_a_program_has_the_names_of_its_function() -> None:
    def polynomial(x: Any) -> Any:
        """Some polynomial."""
        return x * x + 3.0 * x

    program = engine.compile(polynomial)
    assert (program.__name__, program.__doc__) == ("polynomial", "Some polynomial.")
    assert "polynomial" in repr(program) and "not traced yet" in repr(program)
    assert "call it once" in str(program)
    program(2.0)
    assert "1 path" in repr(program)
    assert "3 scalar operations became" in str(program)


def test_a_program_names_what_has_no_name() -> None:
    import functools

    program = engine.compile(functools.partial(lambda k, x: k * x, 3.0))
    assert program(2.0) == 6.0 and "partial" in repr(program)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("count", [driver.FEW, driver.FEW + 1, 3 * driver.FEW])
def test_many_results_that_all_examples_share(count: int, native: bool) -> None:
    def f(x: Any, y: Any) -> list[Any]:
        return [y, *[x[k % 5] * (k + 1.0) for k in range(count)], x[0], y * x[1]]

    x, y = [0.5, 1.5, -2.0, 3.0, 0.25], [1.0, 2.0, -1.0]
    program = engine.compile(f, in_axes=(None, 0), native=native)
    for _ in range(2):
        assert program(x, y).tolist() == [f(x, one) for one in y]
    alone = engine.compile(f, native=native)
    for _ in range(2):
        assert alone(x, 3.0) == f(x, 3.0)
    total = engine.compile(lambda x, y: f(x, y), in_axes=(None, 0), reduce="sum", native=native)
    assert np.allclose(total(x, y), np.sum([f(x, one) for one in y], axis=0))
