"""What a compiled function reaches from outside, and what it must not do inside."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from engine import TraceError, Value


def here(f: Callable[..., Any], text: str) -> str:
    """`file:line` of the line of f with a text, as messages name it (a pattern)."""
    lines, first = inspect.getsourcelines(f)
    offset = next(k for k, line in enumerate(lines) if text in line)
    return rf"test_contract_leaves\.py:{first + offset}\b"


# --- what is live, and what is frozen ---------------------------------------------------------


def test_leaves_from_outside_are_read_at_every_call() -> None:
    w, b = Value(2.0), Value(3.0)
    program = engine.compile(lambda x: w * x + b)
    assert program(5.0) == 13.0
    w.data, b.data = -1.0, 0.5
    assert program(5.0) == -4.5
    assert engine.compile(lambda x: w * x + b, in_axes=0)([1.0, 2.0]).tolist() == [-0.5, -1.5]


def test_leaves_in_lists_arrays_and_modules_are_live() -> None:
    w = np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
    program = engine.compile(lambda x: (w @ x).sum(), wrt=w)
    x = np.array([1.0, 10.0])
    assert (program(x), program.grad(x).tolist()) == (64.0, [[1.0, 10.0], [1.0, 10.0]])
    w[1, 1].data = 0.0
    assert program(x) == 24.0


def test_an_interior_value_from_outside_is_recomputed_from_its_leaves() -> None:
    w = Value(3.0)
    square = w * w
    program = engine.compile(lambda x: square * x, wrt=w)
    assert program.value_and_grad(2.0) == (18.0, 12.0)
    w.data = 5.0
    assert program.value_and_grad(2.0) == (50.0, 20.0)
    assert square.data == 9.0
    program.backward(2.0)
    assert w.grad == 20.0


def test_a_guard_on_an_interior_value_goes_by_the_live_number() -> None:
    w = Value(3.0)
    shifted = w - 4.0
    program = engine.compile(lambda x: x if shifted > 0 else -x)
    assert program(2.0) == -2.0
    w.data = 5.0
    assert program(2.0) == 2.0
    assert engine.compile(lambda x: x if shifted > 0 else -x)(2.0) == 2.0


def test_values_made_inside_are_constants() -> None:
    program = engine.compile(lambda x: x * Value(3.0) + engine.exp(Value(0.0)))
    assert (program(2.0), program.grad(2.0)) == (7.0, 3.0)
    program.backward(2.0)  # no leaf to add to


def test_a_leaf_that_is_an_argument_elsewhere_keeps_its_number() -> None:
    w = Value(2.0)
    program = engine.compile(lambda x: w * x)
    program(7.0)
    assert (w.data, w.grad) == (2.0, 0.0)


def test_copies_made_inside_have_the_number_of_the_call() -> None:
    for duplicate in (copy.copy, copy.deepcopy):
        program = engine.compile(lambda x, duplicate=duplicate: duplicate(x) * 2.0)
        try:
            numbers = [program(1.0), program(5.0)]
        except TraceError:
            continue
        assert numbers == [2.0, 10.0]


# --- what a replay can't repeat ---------------------------------------------------------------

w = Value(2.0, label="w")


def calls_backward(x: Any) -> Any:
    (x * w).backward()
    return x


def reads_grad(x: Any) -> Any:
    return x * w.grad


def assigns_data(x: Any) -> Any:
    w.data = 5.0
    return x * w


def assigns_grad(x: Any) -> Any:
    w.grad = 0.0
    return x * w


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (calls_backward, "backward()"),
        (reads_grad, "w.grad"),
        (assigns_data, "w.data ="),
        (assigns_grad, "w.grad ="),
    ],
)
def test_what_changes_state_is_refused_naming_grad_and_the_line(f: Any, text: str) -> None:
    with pytest.raises(TraceError, match=rf"{here(f, text)}.*engine\.grad"):
        engine.compile(f)(1.0)
    with pytest.raises(TraceError, match=here(f, text)):
        engine.compile(f, in_axes=0)([1.0, 2.0])
    assert (w.data, w.grad) == (2.0, 0.0)


def test_a_custom_operation_inside_is_refused_with_the_line() -> None:
    cube = engine.custom_op("cube", lambda x: x**3, [lambda x, out: 3 * x * x])

    def f(x: Any) -> Any:
        return cube(x) + 1.0

    with pytest.raises(TraceError, match=rf"'cube'.*{here(f, 'cube(x)')}"):
        engine.compile(f)(2.0)


@pytest.mark.parametrize("kind", ["made by hand", "custom", "checkpoint"])
def test_a_node_that_no_row_makes_is_refused_from_outside_too(kind: str) -> None:
    leaf = Value(2.0)
    node = {
        "made by hand": lambda: Value(4.0, (leaf,), "mystery"),
        "custom": lambda: engine.custom_op("mystery", lambda x: 2 * x, [2.0])(leaf),
        "checkpoint": lambda: engine.checkpoint(lambda x: x * x)(leaf),
    }[kind]()
    with pytest.raises(TraceError, match=r"mystery|checkpoint"):
        engine.compile(lambda x: node * x)(1.0)


def test_turning_a_value_into_a_float_says_what_to_call() -> None:
    with pytest.raises(TypeError, match=r"engine\.exp"):
        engine.compile(lambda x: math.exp(x))(1.0)


# --- what may be done inside ------------------------------------------------------------------

POINT = [0.7, -1.2]


def bumpy(p: Any) -> Any:
    return engine.sin(p[0] * p[1]) + p[0] ** 3 * engine.exp(p[1])


@pytest.mark.parametrize(
    "f",
    [
        engine.grad(bumpy),
        engine.value_and_grad(bumpy),
        engine.jacobian(lambda p: [bumpy(p), p[0] * p[1], 3.0]),
        engine.hessian(bumpy),
        engine.grad(lambda p: engine.sum(engine.grad(bumpy)(p))),
        engine.jacobian(engine.grad(bumpy)),
        lambda p: engine.jvp(bumpy, (p,), ([1.0, p[0]],)),
        lambda p: engine.hvp(bumpy, (p,), ([0.5, p[1]],)),
        lambda p: engine.vjp(bumpy, p)[1](p[1]),
        lambda p: engine.gradients(bumpy(p), p),
        lambda p: engine.gradients(bumpy(p), p, create_graph=True),
        lambda p: engine.checkpoint(bumpy)(p) * p[0],
        lambda p: [p[0] * engine.grad(lambda q: bumpy([q, p[1]]))(1.5)],
    ],
    ids=[
        "grad",
        "value_and_grad",
        "jacobian",
        "hessian",
        "grad grad",
        "jacobian grad",
        "jvp",
        "hvp",
        "vjp",
        "gradients",
        "create_graph",
        "checkpoint",
        "closure",
    ],
)
def test_derivatives_can_be_compiled(f: Callable[..., Any]) -> None:
    program = engine.compile(f)
    for point in (POINT, [0.1, 0.4], [-2.0, 0.3]):
        expected = flat(f([Value(x) for x in point]))
        np.testing.assert_allclose(expected, flat(program(point)), rtol=1e-13, atol=1e-15)
    batch = engine.compile(f, in_axes=0)(np.array([POINT, [0.1, 0.4]]).tolist())
    expected = flat(f([Value(0.1), Value(0.4)]))
    np.testing.assert_allclose(expected, flat(batch, 1), rtol=1e-13, atol=1e-15)
    assert "1 path" in repr(program)


def test_gradients_without_create_graph_are_numbers_in_a_trace_too() -> None:
    def f(x: Any) -> Any:
        y = engine.sin(x * x)
        return engine.gradients(y, x) * x + engine.gradients(y, x, create_graph=True)

    program, at = engine.compile(f), Value(1.3)
    program(0.2)
    f(at).backward()
    assert program.grad(1.3) == pytest.approx(at.grad, rel=1e-14)


def flat(tree: Any, example: int | None = None) -> list[float]:
    """The numbers of a structure, or those of one example of a batch."""
    if isinstance(tree, Value):
        return [tree.data]
    if isinstance(tree, np.ndarray) and example is not None:
        return tree[example].ravel().tolist()
    if isinstance(tree, list | tuple):
        return [x for part in tree for x in flat(part, example)]
    return [float(tree)]


def test_a_compiled_gradient_can_be_differentiated_once_more() -> None:
    program = engine.compile(engine.grad(lambda x: engine.sin(x) * x**2))
    third = engine.grad(engine.grad(lambda x: engine.sin(x) * x**2))
    assert program.grad(0.8) == pytest.approx(third(0.8), rel=1e-14)


def test_jacobian_of_arrays() -> None:
    A = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    J = engine.compile(engine.jacobian(lambda x: A @ x))(np.array([1.0, 2.0]))
    assert isinstance(J, np.ndarray) and (J == A).all()


def test_no_grad_inside_is_live_and_has_no_derivative() -> None:
    def f(x: Any) -> Any:
        with engine.no_grad():
            y = x * x
        return y * x

    program = engine.compile(f)
    for x in (3.0, -2.0):
        assert program.value_and_grad(x) == (x**3, x * x)


def test_calling_under_no_grad_changes_nothing() -> None:
    with engine.no_grad():
        program = engine.compile(lambda x: x**3)
        assert program.value_and_grad(2.0) == (8.0, 12.0)


def test_nested_derivatives_see_live_leaves() -> None:
    slope = Value(2.0)
    program = engine.compile(lambda x: engine.grad(lambda y: slope * y**2)(x), wrt=slope)
    assert program.value_and_grad(3.0) == (12.0, 6.0)
    slope.data = 5.0
    assert program.value_and_grad(3.0) == (30.0, 6.0)


def test_scopes_and_labels_inside_do_no_harm() -> None:
    def f(x: Any) -> Any:
        with engine.scope("inner"):
            y = x * Value(2.0, label="two")
        y.label = "y"
        return y

    assert engine.compile(f).value_and_grad(3.0) == (6.0, 2.0)
