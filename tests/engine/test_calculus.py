"""The transforms: structures, nesting, and the ways in which they must agree."""

import gc
import math
import weakref
from collections import namedtuple

import numpy as np
import pytest

import engine
from engine import Graph, GraphError, Value
from engine.functions import add_products, add_products_plainly


def rosenbrock(p):
    return (1.0 - p[0]) ** 2 + 100.0 * (p[1] - p[0] ** 2) ** 2


# --- structures and kinds -------------------------------------------------------------------


def test_grad_has_the_structure_of_its_argument() -> None:
    Pair = namedtuple("Pair", "a b")
    f = lambda p: p["w"][0] * p["w"][1][0] + p["b"].a * p["b"].b  # noqa: E731
    p = {"w": [2.0, (3.0,)], "b": Pair(4, 5.0)}
    assert engine.grad(f)(p) == {"w": [3.0, (2.0,)], "b": Pair(5.0, 4.0)}


def test_grad_of_arrays_gives_arrays() -> None:
    X = np.array([[1.0, 2.0], [3.0, 4.0]])
    d = engine.grad(lambda X: (X * X).sum())(X)
    assert d.dtype == np.float64 and (d == 2 * X).all()
    H = engine.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    assert (np.diag([6.0, 12.0]) == H).all()


def test_argnums_choose_arguments() -> None:
    f = lambda x, y, k=1.0: k * x * y  # noqa: E731
    assert engine.grad(f, 1)(2.0, 3.0) == 2.0
    assert engine.grad(f, (0, -1))(2.0, 3.0, k=10.0) == (30.0, 20.0)
    assert engine.value_and_grad(f)(2.0, 3.0) == (6.0, 3.0)
    with pytest.raises(ValueError, match="argument 2, but the call has 2"):
        engine.grad(f, 2)(2.0, 3.0)


def test_numbers_in_numbers_out_and_values_in_values_out() -> None:
    assert type(engine.grad(rosenbrock)([1.0, 2.0])[0]) is float
    x = Value(2.0)
    d = engine.grad(lambda v: v**3)(x)
    assert isinstance(d, Value)
    d.backward()
    assert (d.data, x.grad) == (12.0, 12.0)


def test_a_function_that_ignores_its_argument_has_the_gradient_zero() -> None:
    assert engine.grad(lambda x: 3.0)(2.0) == 0.0
    assert engine.grad(lambda p: p[0] * 2.0)([1.0, 5.0]) == [2.0, 0.0]
    assert engine.jacobian(lambda p: [p[0], 7.0])([1.0, 5.0]) == [[1.0, 0.0], [0.0, 0.0]]


def test_a_function_of_more_than_one_result_is_sent_to_jacobian() -> None:
    with pytest.raises(TypeError, match=r"returned a list of 2; use engine\.jacobian"):
        engine.grad(lambda x: [x, x])(1.0)


def test_what_can_not_be_differentiated_by_is_named() -> None:
    with pytest.raises(TypeError, match=r"numbers and Values are needed.* not a str: 'a'"):
        engine.grad(lambda x: x)("a")


# --- orders and nesting ---------------------------------------------------------------------


def test_grad_nests_to_any_order() -> None:
    f = lambda x: x.exp() * x.sin()  # noqa: E731
    derivative = f
    for _ in range(4):
        derivative = engine.grad(derivative)
    assert derivative(0.7) == pytest.approx(-4.0 * math.exp(0.7) * math.sin(0.7), rel=1e-13)


def test_the_hessian_of_rosenbrock() -> None:
    x, y = 1.3, 0.4
    expected = [[2 - 400 * (y - 3 * x * x), -400 * x], [-400 * x, 200.0]]
    assert np.array(engine.hessian(rosenbrock)([x, y])) == pytest.approx(np.array(expected))


def test_a_zero_partial_keeps_its_node() -> None:
    """At 1 the first derivative of (x - 1)² is 0, and the second still 2."""
    assert engine.hessian(lambda x: (x - 1.0) ** 2)(1.0) == 2.0
    assert engine.hessian(lambda x: (x - 1.0) * (x - 1.0))(1.0) == 2.0
    assert engine.grad(engine.grad(engine.grad(lambda x: (x - 1.0) ** 3)))(1.0) == 6.0


def test_the_inner_variable_is_not_mistaken_for_the_outer() -> None:
    """d/dx [x · d/dy (x + y)] is 1: the classic confusion of perturbations would give 2."""
    outer = engine.grad(lambda x: x * engine.grad(lambda y: x + y)(1.0))
    assert outer(1.0) == 1.0
    assert engine.grad(lambda x: engine.grad(lambda y: x * y)(x))(3.0) == 1.0


def test_an_inner_transform_at_a_plain_number_keeps_the_outer_variable() -> None:
    h = lambda w: engine.grad(lambda y: w * y * y)(3.0)  # noqa: E731
    assert (h(1.0), engine.grad(h)(1.0)) == (6.0, 6.0)


def test_transforms_record_inside_of_no_grad() -> None:
    with engine.no_grad():
        assert engine.grad(lambda x: x * x)(3.0) == 6.0


@pytest.mark.parametrize("seed", range(5))
def test_jvp_vjp_hvp_jacobian_and_hessian_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(3, 4))

    def f(x):
        return [engine.tanh(engine.dot(list(row), x)) * x[0] for row in W]

    def total(x):
        return engine.sum(y * y for y in f(x))

    x, t, u = rng.normal(size=4).tolist(), rng.normal(size=4).tolist(), rng.normal(size=3).tolist()
    J, H = np.array(engine.jacobian(f)(x)), np.array(engine.hessian(total)(x))
    assert np.array(engine.jvp(f, (x,), (t,))[1]) == pytest.approx(J @ t, rel=1e-12)
    y, pullback = engine.vjp(f, x)
    assert np.array(pullback(u)[0]) == pytest.approx(u @ J, rel=1e-12)
    assert engine.hvp(total, (x,), (t,)) == pytest.approx((H @ t).tolist(), rel=1e-11)
    assert y == [v.data for v in f([Value(v) for v in x])]
    rows = engine.jacobian(lambda v: f(v)[:1])(x)  # fewer outputs than inputs: the other sweep
    assert rows[0] == pytest.approx(J[0].tolist(), rel=1e-12)


def test_tangents_and_cotangents_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tangents\[0\] must have 2 entries, not 1"):
        engine.jvp(rosenbrock, ([1.0, 2.0],), ([1.0],))
    _, pullback = engine.vjp(rosenbrock, [1.0, 2.0])
    with pytest.raises(ValueError, match="cotangent must be one number, not 2"):
        pullback([1.0, 2.0])


def test_tangents_are_matched_by_key_and_shape() -> None:
    f = lambda p: 10.0 * p["a"] + p["b"]  # noqa: E731
    ones = {"a": 1.0, "b": 1.0}
    assert engine.jvp(f, (ones,), ({"b": 0.0, "a": 1.0},)) == (11.0, 10.0)
    _, pullback = engine.vjp(lambda x: {"a": 10.0 * x, "b": x}, 1.0)
    assert pullback({"b": 0.0, "a": 1.0}) == (10.0,)
    with pytest.raises(ValueError, match=r"tangents\[0\] must have the keys \['a', 'b'\]"):
        engine.jvp(f, (ones,), ({"a": 1.0},))
    with pytest.raises(ValueError, match=r"shape \(2, 3\), not \(3, 2\)"):
        engine.jvp(lambda X: X.sum(), (np.zeros((2, 3)),), (np.zeros((3, 2)),))
    with pytest.raises(ValueError, match=r"tangents\[0\] must have the shape \(2,\), and is no"):
        engine.jvp(lambda x: x[0], (np.array([1.0, 2.0]),), ([[1.0], [1.0, 2.0]],))


def test_a_jacobian_of_arrays_in_structures_is_made_block_by_block() -> None:
    H = engine.hessian(lambda p: (p["w"] ** 2).sum() * p["b"])(
        {"w": np.array([1.0, 2.0]), "b": 3.0}
    )
    assert (H["w"]["w"] == 6.0 * np.eye(2)).all() and (H["w"]["b"] == [2.0, 4.0]).all()
    assert (H["b"]["w"] == [2.0, 4.0]).all() and H["b"]["b"] == 0.0
    J = engine.jacobian(lambda p: {"o": p * 2, "s": p.sum()})(np.array([1.0, 2.0]))
    assert (J["o"] == 2.0 * np.eye(2)).all() and (J["s"] == [1.0, 1.0]).all()
    J = engine.jacobian(lambda x: np.array([x, x * x]))(3.0)
    assert (J == [1.0, 6.0]).all()
    J = engine.jacobian(lambda x, y: [x * y, x], (0, 1))(2.0, 3.0)
    assert J == [(3.0, 2.0), (1.0, 0.0)]


def test_what_lies_behind_a_value_is_not_walked_again() -> None:
    a = Value(2.0)
    b = a * a
    a.data = 9.0  # upstream of the inputs: none of the inner gradient's business
    assert engine.grad(lambda q: q * q)(b).data == 8.0


def test_a_descent_can_be_differentiated_through_its_inner_gradients() -> None:
    def descended(rate):
        p = Value(1.0)
        for _ in range(5):
            p = p - rate * engine.grad(lambda q: q**4)(p)
        return p

    h = 1e-6
    numerical = (descended(0.05 + h).data - descended(0.05 - h).data) / (2 * h)
    assert engine.grad(descended)(0.05) == pytest.approx(numerical, rel=1e-7)


def test_values_in_any_argument_give_values_out() -> None:
    w = Value(3.0)
    d = engine.grad(lambda x, w: w * x * x)(2.0, w)
    d.backward()
    assert (d.data, w.grad) == (12.0, 4.0)


def test_a_function_without_return_is_told_so() -> None:
    with pytest.raises(TypeError, match="returned None; does it lack a return"):
        engine.grad(lambda x: None)(1.0)


# --- gradients of existing graphs -----------------------------------------------------------


def test_gradients_touch_no_grad() -> None:
    x, unused = Value(3.0), Value(1.0)
    y = x * x
    x.grad = y.grad = 17.0
    assert engine.gradients(y, {"x": x, "more": [y, unused]}) == {"x": 6.0, "more": [1.0, 0.0]}
    assert (x.grad, y.grad, unused.grad) == (17.0, 17.0, 0.0)


def test_gradients_of_several_outputs_are_those_of_their_sum() -> None:
    x = Value(3.0)
    assert engine.gradients([x * x, 2.0 * x], x) == 8.0


def test_gradients_takes_values_only() -> None:
    with pytest.raises(TypeError, match=r"engine\.grad"):
        engine.gradients(Value(1.0), 2.0)


def test_a_leaf_assigned_since_is_noticed_where_its_value_is_needed() -> None:
    x = Value(3.0, label="x")
    y = x * x
    x.data = 4.0
    assert engine.gradients(y, x) == 6.0
    with pytest.raises(GraphError, match=r"'x' was 3\.0 when the graph was recorded"):
        engine.gradients(y, x, create_graph=True)


# --- operations of one's own ----------------------------------------------------------------


def test_a_custom_operation_in_functions_of_engine_has_every_order() -> None:
    sine = engine.custom_op("sine", math.sin, [lambda x, out: engine.cos(x)])
    third = engine.grad(engine.grad(engine.grad(sine)))
    assert third(0.3) == pytest.approx(-math.cos(0.3), rel=1e-15)
    assert type(sine(0.3)) is float and sine(Value(0.3))._op == "sine"


def test_a_custom_operation_in_plain_floats_has_one_order_and_says_so() -> None:
    sine = engine.custom_op("sine", math.sin, [lambda x, out: math.cos(x)])
    assert engine.grad(sine)(0.3) == math.cos(0.3)
    with pytest.raises(GraphError, match="partial 0 of 'sine' is written in plain floats"):
        engine.hessian(sine)(0.3)


def test_what_a_partial_raises_on_floats_is_left_as_it_is() -> None:
    def slope(x: float, out: float) -> float:
        raise TypeError("no slope today")

    sine = engine.custom_op("sine", math.sin, [slope])
    with pytest.raises(TypeError, match="no slope today"):
        sine(Value(0.5)).backward()


def test_a_custom_operation_of_three_operands() -> None:
    fma = engine.custom_op(
        "fma",
        lambda a, b, c: a * b + c,
        [lambda a, b, c, out: b, lambda a, b, c, out: a, lambda a, b, c, out: 1],
    )
    assert engine.grad(fma, (0, 1, 2))(2.0, 3.0, 4.0) == (3.0, 2.0, 1.0)
    assert engine.grad(lambda v: fma(v, v, v))(2.0) == 5.0
    assert engine.hessian(lambda v: fma(v, v, v))(2.0) == 2.0
    with pytest.raises(TypeError, match="fma has 3 partials, but was given 2 operands"):
        fma(1.0, 2.0)


@pytest.mark.parametrize(
    ("partials", "message"),
    [
        ([lambda x: 2.0 * x], r"partial 0 of 'square' .* must take 2 arguments, and takes \(x\)"),
        (["2x"], "partial 0 of 'square' .* is a function, not '2x'"),
        ([2.0, 2.0], r"the forward of 'square' must take 2 arguments, and takes \(x\)"),
    ],
)
def test_a_custom_operation_that_can_not_work_is_refused_at_once(partials, message) -> None:
    with pytest.raises(TypeError, match=message):
        engine.custom_op("square", lambda x: x * x, partials)


def test_custom_operations_are_freed() -> None:
    class Large:
        pass

    large = Large()
    op = engine.custom_op("op", lambda x: x, [lambda x, out, held=large: 1.0])
    engine.grad(engine.grad(op))(1.0)
    gone = weakref.ref(large)
    del large, op
    gc.collect()
    assert gone() is None


# --- checkpoint -----------------------------------------------------------------------------


def step(state, w):
    return [engine.tanh(w * state[0] + state[1]), state[0] * state[1]]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_checkpointing_changes_no_derivative(order: int) -> None:
    def run(w, step):
        state = [w, 0.5 * w]
        for _ in range(3):
            state = step(state, w)
        return state[0] + state[1]

    plain, saved = lambda w: run(w, step), lambda w: run(w, engine.checkpoint(step))
    for _ in range(order):
        plain, saved = engine.grad(plain), engine.grad(saved)
    assert saved(0.7) == pytest.approx(plain(0.7), rel=1e-12)


def test_checkpointed_nodes_are_not_kept() -> None:
    x = Value(0.5)

    def long(v):
        for _ in range(500):
            v = (v * 1.001).sin()
        return v

    y = engine.checkpoint(long)(x)
    assert len(engine.Graph(y).nodes) == 2
    y.backward()
    assert x.grad == pytest.approx(engine.grad(long)(0.5), rel=1e-14)


def test_what_a_checkpointed_function_closes_over_gets_its_gradient() -> None:
    w, x = Value(3.0), Value(2.0)
    hidden = w * w
    y = engine.checkpoint(lambda v: v * hidden + w)(x)
    y.backward()
    assert (x.grad, w.grad, hidden.grad) == (9.0, 2.0 * 6.0 + 1.0, 2.0)


def test_a_checkpointed_function_runs_once_more_for_all_its_outputs() -> None:
    calls = []

    def f(v):
        calls.append(1)
        return [v * 2.0, v * v, v.exp()]

    x = Value(1.0)
    a, b, c = engine.checkpoint(f)(x)
    (a * b + c).backward()
    assert (len(calls), x.grad) == (2, pytest.approx(6.0 + math.e))


def test_a_sweep_inside_of_a_sweep_leaves_the_outer_one_alone() -> None:
    """Both checkpoints use w, and the second is differentiated while w's sum is under way."""
    w = Value(2.0)
    f = engine.checkpoint(lambda v: v * w * w)
    y = f(f(Value(3.0))) + w * 5.0
    y.backward()
    assert w.grad == 3.0 * 4 * 2.0**3 + 5.0


def test_transforms_inside_of_a_checkpoint_see_its_inputs_and_what_it_captures() -> None:
    inner = lambda x: engine.grad(lambda y: x * y * y)(2.0)  # noqa: E731
    assert engine.grad(engine.checkpoint(inner))(3.0) == engine.grad(inner)(3.0) == 4.0
    captured = lambda x: engine.checkpoint(lambda z: z * inner(x))(x)  # noqa: E731
    assert engine.grad(captured)(3.0) == 24.0
    assert engine.grad(engine.grad(captured))(3.0) == 8.0


def test_a_checkpoint_passes_on_what_is_no_number_and_keywords() -> None:
    x, w = Value(2.0), Value(3.0)
    f = engine.checkpoint(lambda v, how, twice, *, scale: getattr(v, how)() * scale * (1 + twice))
    f(x, "exp", True, scale=w).backward()
    assert x.grad == pytest.approx(6.0 * math.exp(2.0)) and w.grad == 2.0 * math.exp(2.0)


def test_a_checkpoint_keeps_nothing_when_the_sweep_has_ended() -> None:
    made = []

    def f(v):
        made.append(weakref.ref(witness := _Witness()))
        return [v * 2.0, engine.custom_op("held", lambda x: x, [lambda x, out, w=witness: 1.0])(v)]

    x = Value(1.0)
    first, second = engine.checkpoint(f)(x)
    first.backward()  # the other output is never asked for
    gc.collect()
    assert len(made) == 2 and all(ref() is None for ref in made)
    assert engine.jvp(lambda v: engine.checkpoint(f)(v)[0], (1.0,), (1.0,)) == (2.0, 2.0)
    assert second.data == 1.0


class _Witness:
    pass


# --- helpers over sequences -----------------------------------------------------------------


def values(*numbers: float) -> list[Value]:
    return [Value(x) for x in numbers]


def test_helpers_compute_what_their_names_say() -> None:
    xs, ys = values(1.0, 2.0, 4.0), values(3.0, -1.0, 0.5)
    assert engine.sum(xs).data == 7.0 and engine.mean(xs).data == pytest.approx(7 / 3)
    assert engine.prod(xs).data == 8.0 and engine.dot(xs, ys).data == 3.0
    assert engine.dot(xs, ys, start=Value(1.0)).data == 4.0
    assert engine.norm(values(3.0, 4.0)).data == 5.0
    assert engine.maximum(xs).data == engine.maximum(*xs).data == 4.0
    assert engine.minimum(xs).data == 1.0
    assert engine.clamp(Value(3.0), 0.0, 1.0).data == 1.0
    assert [p.data for p in engine.softmax(xs)] == pytest.approx(
        np.exp([1.0, 2.0, 4.0]) / np.exp([1.0, 2.0, 4.0]).sum()
    )
    assert [p.data for p in engine.log_softmax(xs)] == pytest.approx(
        [math.log(p.data) for p in engine.softmax(xs)]
    )


def test_helpers_of_plain_numbers_give_plain_numbers() -> None:
    assert engine.sum([]) == 0.0 and engine.prod([]) == 1.0 and engine.dot([], []) == 0.0
    assert engine.logsumexp([0.0, 0.0]) == math.log(2.0)
    assert engine.softmax([1.0, 1.0]) == [0.5, 0.5]


def test_logsumexp_and_softmax_hold_in_the_extremes() -> None:
    inf = math.inf
    assert engine.logsumexp(values(1000.0, 1000.0)).data == 1000.0 + math.log(2.0)
    assert engine.logsumexp(values(-inf, -inf)).data == -inf
    assert engine.logsumexp(values(inf, 0.0)).data == inf
    assert [p.data for p in engine.softmax(values(-inf, 0.0))] == [0.0, 1.0]
    assert engine.grad(engine.logsumexp)([1000.0, 1000.0]) == [0.5, 0.5]


def test_the_norm_has_the_gradient_zero_at_zero_and_a_product_is_exact_with_zeros() -> None:
    assert engine.grad(engine.norm)([0.0, 0.0]) == [0.0, 0.0]
    assert engine.grad(engine.prod)([0.0, 2.0, 3.0]) == [6.0, 0.0, 0.0]
    assert engine.grad(engine.maximum)([2.0, 2.0, 2.0]) == [0.25, 0.25, 0.5]


@pytest.mark.parametrize("helper", [engine.mean, engine.maximum, engine.softmax, engine.logsumexp])
def test_nothing_to_reduce_is_a_value_error(helper) -> None:
    with pytest.raises(ValueError, match="empty sequence"):
        helper([])


def test_dot_names_both_lengths() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        engine.dot([1.0], [1.0, 2.0])


@pytest.mark.parametrize("seed", range(10))
def test_the_fast_dot_makes_the_nodes_of_the_plain_one(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def operand():
        x = float(rng.normal())
        return [Value(x), x, np.float64(x), int(10 * x)][rng.integers(4)]

    xs, ys = [operand() for _ in range(6)], [operand() for _ in range(6)]
    start = [None, 1.0, Value(0.5)][seed % 3]
    with engine.scope("here"):
        fast, plain = add_products(start, xs, ys), add_products_plainly(start, xs, ys)
    if not isinstance(plain, Value):
        assert fast == plain
        return
    wanted = [x for x in (start, *xs, *ys) if isinstance(x, Value)]
    assert engine.gradients(fast, wanted) == engine.gradients(plain, wanted)
    first, second = Graph(fast), Graph(plain)
    assert [(n.kind, n.op, n.data) for n in first.nodes] == [
        (n.kind, n.op, n.data) for n in second.nodes
    ]
    assert first.edges == second.edges
    assert {n.scope and n.scope.name for n in first.nodes if n.kind == "operation"} == {"here"}
