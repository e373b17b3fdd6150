"""IEEE specials go through, and what was not chosen does no harm, though it be inf or nan."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from engine import DomainError, TraceError, Value
from engine.compiled import paths

INF, NAN = math.inf, math.nan


def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every program run as the plain tape: one instruction a scalar operation."""
    run = paths.Call._run_machine

    def unlifted(self: Any, *args: Any, lifted: bool) -> Any:
        return run(self, *args, lifted=False)

    monkeypatch.setattr(paths.Call, "_run_machine", unlifted)


def flat(tree: Any) -> list[float]:
    return np.array(tree, dtype=float).ravel().tolist()


# Each is a function of (w, x), with a point at which the gradient is finite since an edge is cut.


def dead_relu(w: Any, x: Any) -> Any:
    """The second layer has an infinite weight behind a dead unit, and a finite one."""
    hidden = engine.relu(engine.dot(w[:2], x))
    alive = engine.relu(w[0] * x[0] - w[1] * x[1])
    return engine.where(hidden > 0, w[2] * hidden, 0.0) + w[3] * alive


def untaken_overflow(w: Any, x: Any) -> Any:
    """exp overflows in the arm that is not taken; its operand is a sum of products."""
    s = engine.dot(w, x[:2] + x[:2])
    return engine.where(s > 700.0, s, engine.exp(s))


def untaken_square_root(w: Any, x: Any) -> Any:
    """The slope of the root at 0 is infinite, in an arm not taken."""
    s = w[0] * x[0] + w[1] * x[1] - w[0] * x[0] - w[1] * x[1]
    return engine.where(s > 0, engine.sqrt(s), s * s + w[2])


def infinite_weight_not_used(w: Any, x: Any) -> Any:
    return engine.where(x[0] > 0, engine.dot(w[:2], x), x[1] * w[3])


CASES = [
    (dead_relu, [1.0, 2.0, INF, 0.5], [-1.0, -1.5]),
    (untaken_overflow, [500.0, 1.0, 500.0, 1.0], [1.0, 1.0]),
    (untaken_square_root, [1.0, 2.0, 3.0, 4.0], [0.5, 0.25]),
    (infinite_weight_not_used, [INF, 2.0, 0.0, 3.0], [-1.0, 2.0]),
    (infinite_weight_not_used, [NAN, 2.0, 0.0, 3.0], [-1.0, 2.0]),
    (infinite_weight_not_used, [1.0, -INF, 0.0, 3.0], [-1.0, INF]),
]
IDS = ["relu", "overflow", "root", "inf weight", "nan weight", "inf input"]
cases = pytest.mark.parametrize(("f", "w", "x"), CASES, ids=IDS)
ways = pytest.mark.parametrize("way", ["plain", "lifted"])


@cases
@ways
def test_what_was_not_chosen_spoils_no_gradient(
    f: Callable[..., Any], w: Any, x: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "plain":
        plainly(monkeypatch)
    by_w, by_x = engine.grad(f, (0, 1))(w, x)
    found_w, found_x = engine.compile(f, argnums=(0, 1)).grad(w, x)
    np.testing.assert_allclose(by_w, found_w, rtol=1e-13)
    np.testing.assert_allclose(by_x, found_x, rtol=1e-13)
    if f is not infinite_weight_not_used or x[1] < INF:
        assert np.isfinite([*found_w, *found_x]).all()


@cases
@ways
def test_what_was_not_chosen_spoils_no_gradient_of_a_batch(
    f: Callable[..., Any], w: Any, x: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "plain":
        plainly(monkeypatch)
    X = [x, [0.3, -0.7], x, [0.9, 0.4], [-0.2, 0.1]]
    each = [engine.grad(f, (0, 1))(w, row) for row in X]
    found_w, found_x = engine.compile(f, in_axes=(None, 0), argnums=(0, 1)).grad(w, X)
    np.testing.assert_allclose([g for g, _ in each], found_w, rtol=1e-13)
    np.testing.assert_allclose([g for _, g in each], found_x, rtol=1e-13)
    with np.errstate(invalid="ignore"):
        total = engine.compile(f, in_axes=(None, 0), reduce="sum").grad(w, X)
        np.testing.assert_allclose(np.sum([g for g, _ in each], axis=0), total, rtol=1e-13)


@cases
@ways
def test_what_was_not_chosen_spoils_no_second_derivative(
    f: Callable[..., Any], w: Any, x: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "plain":
        plainly(monkeypatch)
    hessian = engine.hessian(f, 1)
    found = engine.compile(hessian)(w, x)
    np.testing.assert_allclose(flat(hessian(w, x)), flat(found), rtol=1e-12, atol=1e-300)
    batch = engine.compile(hessian, in_axes=(None, 0))(w, [x, x, [0.3, -0.7]])
    np.testing.assert_allclose(flat(found), batch[1].ravel(), rtol=1e-12, atol=1e-300)


def test_a_dead_relu_against_an_infinite_weight_is_finite() -> None:
    f = lambda w, x: w[1] * engine.relu(w[0] * x)  # noqa: E731
    for x, dx in ((-1.0, 0.0), (-2.0, 0.0)):
        assert engine.grad(f, 1)([1.0, INF], x) == dx
        assert engine.compile(f, argnums=1).grad([1.0, INF], x) == dx
    out = engine.compile(f, in_axes=(None, 0), argnums=1).grad([1.0, INF], [-1.0, 1.0])
    assert out.tolist() == [0.0, INF]


def test_missing_numbers_behind_where_do_not_spoil_the_parameters() -> None:
    """nan in the data of one example, which `where` leaves out."""
    w = [Value(1.0), Value(2.0), Value(3.0)]

    def f(x: Any) -> Any:
        return engine.where(x[0] == x[0], engine.dot(w, x), 0.0)

    X = np.array([[1.0, 2.0, 3.0], [NAN, 1.0, 1.0], [4.0, 5.0, 6.0]])
    value, gradient = engine.compile(f, in_axes=0, reduce="sum", wrt=w).value_and_grad(X)
    assert (value, gradient) == (46.0, [5.0, 7.0, 9.0])


def test_an_example_with_nan_does_not_change_the_others() -> None:
    f = lambda w, x: engine.where(x[0] > 0, engine.dot(w, x), engine.exp(x[1]))  # noqa: E731
    program = engine.compile(f, in_axes=(None, 0), argnums=1)
    w = [INF, 2.0]
    alone = program.grad(w, [[-1.0, 2.0]])
    beside = program.grad(w, [[-1.0, 2.0], [NAN, NAN]])
    assert alone.tolist() == [[0.0, math.exp(2.0)]] and (alone[0] == beside[0]).all()


# --- IEEE specials pass through ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (engine.exp, 1000.0),
        (engine.log, 0.0),
        (engine.log, -1.0),
        (lambda x: x ** (1 / 3), -8.0),
        (lambda x: 1.0 / x, 0.0),
        (lambda x: 1.0 / x, -0.0),
        (lambda x: x - x, INF),
        (lambda x: 0.0 * x, INF),
        (lambda x: x / x, 0.0),
        (lambda x: x * 1.0 + 0.0, NAN),
        (engine.sqrt, -1.0),
        (lambda x: -x, 0.0),
        (lambda x: engine.maximum(x, 1.0, 2.0), NAN),
        (lambda x: engine.dot([x, x, x], [0.0, 1.0, x]), INF),
        (lambda x: engine.sum(engine.softmax([x, 1.0, 2.0])), INF),
        (lambda x: x % 2.0, INF),
    ],
)
def test_specials_are_those_of_eager_arithmetic(f: Callable[..., Any], x: float) -> None:
    expected = f(Value(x)).data
    found = [engine.compile(f)(x), *engine.compile(f, in_axes=0)([x, x, x]).tolist()]
    for y in found:
        np.testing.assert_array_equal(expected, y)
        assert math.copysign(1.0, expected) == math.copysign(1.0, y) or math.isnan(y)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_reducing_inf_and_minus_inf_is_nan_without_a_warning(reduce: Any) -> None:
    assert math.isnan(engine.compile(lambda x: x, in_axes=0, reduce=reduce)([INF, -INF]))


def test_float32_overflows_to_inf_without_a_warning() -> None:
    assert engine.compile(lambda x: x, dtype="float32")(1e300) == INF
    assert engine.compile(lambda x: x, in_axes=0, dtype="float32")([1e300])[0] == INF
    assert engine.compile(lambda x: x * 1e300, dtype="float32")(1.0) == INF
    program = engine.compile(lambda x: x * 1e300, in_axes=0, dtype="float32")
    assert program([1.0]).tolist() == [INF]


def test_a_nan_guard_holds_for_nan() -> None:
    f = lambda x: x.data + 1.0 if isinstance(x, Value) else x  # noqa: E731
    program = engine.compile(f, in_axes=0)
    out = program([NAN, 1.0, NAN])
    assert math.isnan(out[0]) and out[1] == 2.0 and math.isnan(out[2])
    assert "2 paths" in repr(program)


def test_comparisons_with_nan_are_false() -> None:
    f = lambda x: 1.0 if x > 0 else 2.0 if x <= 0 else 3.0 if x != x else 4.0  # noqa: E731
    assert engine.compile(f, in_axes=0)([1.0, -1.0, NAN]).tolist() == [1.0, 2.0, 3.0]


# --- errstate ---------------------------------------------------------------------------------


def risky(x: Any) -> Any:
    y = x * 2.0
    return engine.log(y) + 1.0


def line_of_log() -> str:
    _, first = inspect.getsourcelines(risky)
    return rf"test_contract_nan\.py:{first + 2}\b"


@pytest.mark.parametrize("traced_before", [True, False])
def test_errstate_names_the_operation_and_the_line(traced_before: bool) -> None:
    single, batched = engine.compile(risky), engine.compile(risky, in_axes=0)
    if traced_before:
        single(1.0)
        batched([1.0, 2.0])
    with engine.errstate("raise"):
        with pytest.raises(DomainError, match=rf"log\(0\.0\) is -inf.*{line_of_log()}"):
            single(0.0)
        with pytest.raises(DomainError, match=rf"log\(-4\.0\) is nan.*{line_of_log()}"):
            batched([1.0, 3.0, -2.0, 5.0])
        with pytest.raises(DomainError, match="log"):
            single.grad(0.0)
        assert single(0.5) == 1.0
        assert batched([0.5, 0.5]).tolist() == [1.0, 1.0]
    assert single(0.0) == -INF  # and the policy ends with the block


def test_errstate_lets_through_what_was_not_finite_before() -> None:
    program = engine.compile(lambda x: x * 2.0 + 1.0, in_axes=0)
    softmax = engine.compile(lambda x: engine.softmax([x, 1.0])[0])
    with engine.errstate("raise"):
        assert program([INF, 1.0]).tolist() == [INF, 3.0]
        assert math.isnan(program([NAN])[0])
        assert softmax(1.0) == 0.5


def test_errstate_looks_at_the_path_that_is_taken() -> None:
    def f(x: Any) -> Any:
        return engine.log(x) if x > 0 else x * x

    program = engine.compile(f, in_axes=0)
    program([1.0, -1.0])
    with engine.errstate("raise"):
        assert program([1.0, 0.0, -2.0]).tolist() == [0.0, 0.0, 4.0]


def test_errstate_names_the_operation_inside_of_an_inner_program() -> None:
    inner = engine.compile(risky)
    program = engine.compile(lambda x: inner(x) * 2.0)
    program(1.0)
    with engine.errstate("raise"), pytest.raises(DomainError, match=line_of_log()):
        program(0.0)


def test_errstate_changes_no_draw() -> None:
    program = engine.compile(lambda x: engine.log(x) * 0.0 + engine.random(), in_axes=0)
    program([1.0])
    with engine.errstate("raise"), pytest.raises((DomainError, TraceError)):
        program([1.0, 0.0])


def steep(x: Any, y: Any) -> Any:
    inner = engine.square(x)
    return engine.sqrt(inner) * y


LINE_OF_SQRT = r"test_contract_nan\.py:\d+: return engine\.sqrt\(inner\) \* y"


@pytest.mark.parametrize("traced_before", [True, False])
def test_errstate_watches_the_way_back_too(traced_before: bool) -> None:
    single, leaf = engine.compile(steep, argnums=(0, 1)), Value(0.0)
    batched = engine.compile(steep, in_axes=(0, None), reduce="mean")
    if traced_before:
        single.grad(1.0, 2.0)
        batched.grad([1.0, 2.0], 2.0)
    with engine.errstate("raise"):
        said = rf"back through sqrt\(0\.0\): its derivative by operand 0, inf, .*{LINE_OF_SQRT}"
        with pytest.raises(DomainError, match=said):
            single.grad(0.0, 2.0)
        with pytest.raises(DomainError, match=LINE_OF_SQRT):
            batched.value_and_grad([1.0, 0.0, 2.0], 2.0)
        with pytest.raises(DomainError, match=LINE_OF_SQRT):
            engine.compile(lambda: steep(leaf, 2.0)).backward()
        with pytest.raises(DomainError, match=LINE_OF_SQRT):
            single.buffered(0.0, 2.0)()
        assert single(0.0, 2.0) == 0.0  # nobody goes back
        assert single.grad(3.0, 2.0) == (2.0, 3.0)
    assert math.isnan(single.grad(0.0, 2.0)[0])


def test_errstate_knows_the_limits_of_single_precision() -> None:
    f = lambda x: engine.exp(x) * 2.0  # noqa: E731
    program = engine.compile(f, in_axes=0, dtype=np.float32)
    with engine.errstate("raise"):
        assert np.isfinite(program([1.0, 80.0])).all()
        with pytest.raises(DomainError, match=r"exp\(100\.0\) is inf, at .*test_contract_nan"):
            program([1.0, 100.0])
        assert np.isfinite(engine.compile(f, in_axes=0)([1.0, 100.0])).all()


def test_errstate_lets_untaken_arms_be_on_the_way_back() -> None:
    f = lambda x: engine.where(x > 0.0, engine.sqrt(x), 0.0)  # noqa: E731
    with engine.errstate("raise"):
        assert engine.compile(f).grad(0.0) == engine.grad(f)(0.0) == 0.0
        assert engine.compile(f, in_axes=0).grad([0.0, 4.0]).tolist() == [0.0, 0.25]
