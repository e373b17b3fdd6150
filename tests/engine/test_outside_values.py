"""A derivative that depends on a Value from outside can be differentiated further."""

import copy
import pickle
import random

import numpy as np
import pytest

import engine
import nn
from engine import Value


def loss(w: Value) -> Value:
    """With the slope of w t³ at ½ in it: (¾ w - 2)² + w², of which the gradient is -0.8125."""
    return (engine.grad(lambda t: w * t**3)(0.5) - 2.0) ** 2 + w * w


def slope_of(result: Value, w: Value) -> float:
    w.grad = 0.0
    result.backward()
    return w.grad


def test_a_derivative_within_a_loss_is_differentiated_further() -> None:
    w = Value(0.7)
    assert slope_of(loss(w), w) == pytest.approx(-0.8125)


def test_so_it_is_when_the_loss_is_compiled_explained_or_minimised() -> None:
    w = Value(0.7)
    assert engine.compile(lambda: loss(w), wrt=[w]).grad() == pytest.approx([-0.8125])
    assert engine.explain(lambda: loss(w), wrt=w).gradients["wrt"] == pytest.approx(-0.8125)
    for path in ("scalar", "vectorised"):
        p = Value(0.7)
        optimizer = nn.SGD([p], lr=1.0)
        nn.minimize(lambda p=p: loss(p), optimizer, steps=1, path=path, progress=False)
        assert p.data == pytest.approx(0.7 + 0.8125)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_fit_trains_a_model_by_its_slope(path: str) -> None:
    class Slope(nn.Module):
        def __init__(self) -> None:
            self.w = Value(0.7)

        def forward(self, x):
            return engine.grad(lambda t: self.w * t**3)(x[0])

    model = Slope()
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "optimizer": optimizer, "epochs": 1, "path": path}
    nn.fit(model, [[0.5]], [2.0], progress=False, **options)
    assert model.w.data == pytest.approx(0.7 - 0.1 * 2.0 * (0.75 * 0.7 - 2.0) * 0.75)


W = Value(0.7)
CUBE = lambda x: W * x**3  # noqa: E731, a function of one line
# each of it at 2, where the number is W times what stands beside it
TRANSFORMS = {
    "grad": (lambda: engine.grad(CUBE)(2.0), 12.0),
    "value": (lambda: engine.value_and_grad(CUBE)(2.0)[0], 8.0),
    "value_and_grad": (lambda: engine.value_and_grad(CUBE)(2.0)[1], 12.0),
    "jacobian": (lambda: engine.jacobian(lambda p: {"a": [CUBE(p[0]), p[1]]})([2.0, 1.0]), 12.0),
    "jacobian, few inputs": (lambda: engine.jacobian(lambda x: [CUBE(x), x])(2.0), 12.0),
    "hessian": (lambda: engine.hessian(lambda p: CUBE(p["a"]))({"a": 2.0}), 12.0),
    "jvp": (lambda: engine.jvp(CUBE, (2.0,), (10.0,))[1], 120.0),
    "vjp": (lambda: engine.vjp(CUBE, 2.0)[1](10.0), 120.0),
    "hvp": (lambda: engine.hvp(CUBE, (2.0,), (1.0,)), 12.0),
    "checkpoint": (lambda: engine.checkpoint(CUBE)(2.0), 8.0),
    "grad of a checkpoint": (lambda: engine.grad(engine.checkpoint(CUBE))(2.0), 12.0),
    "arrays": (lambda: engine.grad(lambda a: CUBE(a[0]))(np.array([2.0])), 12.0),
    "keyword": (lambda: engine.grad(lambda x, k: k * x**3)(2.0, k=W), 12.0),
}


def first_leaf(tree):
    if isinstance(tree, dict):
        return first_leaf(next(iter(tree.values())))
    return tree if isinstance(tree, Value | float) else first_leaf(tree[0])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_depends_on_a_value_from_outside_is_a_value(name: str) -> None:
    compute, factor = TRANSFORMS[name]
    result = first_leaf(compute())
    assert isinstance(result, Value) and result.data == pytest.approx(factor * 0.7)
    assert slope_of(result, W) == pytest.approx(factor)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "checkpoint"])
def test_under_no_grad_it_is_a_number(name: str) -> None:
    compute, factor = TRANSFORMS[name]
    with engine.no_grad():
        result = first_leaf(compute())
    assert isinstance(result, float) and result == pytest.approx(factor * 0.7)


def test_under_no_grad_values_in_give_constants_out() -> None:
    x = Value(2.0)
    with engine.no_grad():
        out, slope = engine.value_and_grad(lambda v: W * v * v)(x)
    assert (slope.data, slope.args, out.args) == (pytest.approx(2.8), (), ())


def test_the_whole_result_of_a_call_is_of_one_kind() -> None:
    J = engine.jacobian(lambda p: [W * p[0], 2.0 * p[1]])([1.0, 1.0])
    assert all(isinstance(d, Value) for row in J for d in row)


def test_what_depends_on_no_value_from_outside_is_a_number() -> None:
    assert type(engine.grad(lambda x: x * x)(2.0)) is float
    assert type(engine.grad(lambda x: W.data * x)(2.0)) is float
    with engine.no_grad():
        hidden = W * 2.0
    number = hidden.data
    assert type(engine.grad(lambda x: number * x)(2.0)) is float


MADE_INSIDE = {
    "a leaf": lambda: Value(0.7),
    "an operation": lambda: Value(0.35) * 2.0,
    "a detached one": lambda: W.detach(),
    "a copy": lambda: copy.copy(W),
    "a deep copy": lambda: copy.deepcopy([W])[0],
    "a pickled one": lambda: pickle.loads(pickle.dumps(W)),
    "a drawn one": lambda: engine.random() * 0.0 + 0.7,
}


@pytest.mark.parametrize("name", MADE_INSIDE)
def test_a_value_made_inside_counts_as_a_number(name: str) -> None:
    result = engine.grad(lambda x: MADE_INSIDE[name]() * x)(2.0)
    assert type(result) is float and result == pytest.approx(0.7)
    nested = engine.grad(lambda x: MADE_INSIDE[name]() * engine.grad(lambda y: x * y)(1.0))(2.0)
    assert type(nested) is float and nested == pytest.approx(0.7)


def test_a_value_made_inside_is_from_outside_for_what_is_called_then() -> None:
    def outer(x):
        c = Value(3.0)
        inner = engine.grad(lambda y: c * y * y)(x.data)
        assert isinstance(inner, Value)
        return inner * x

    assert engine.grad(outer)(2.0) == 12.0


@pytest.mark.parametrize("order", [1, 2, 3])
def test_orders_mix_with_values_from_outside(order: int) -> None:
    w = Value(1.3)
    f = lambda x: (w * x).sin() * w  # noqa: E731, a function of one line
    derivative = f
    for _ in range(order):
        derivative = engine.grad(derivative)
    expected = engine.compile(derivative, wrt=w)
    assert slope_of(derivative(0.4), w) == pytest.approx(expected.grad(0.4), rel=1e-12)


def test_what_lies_behind_a_value_from_outside_is_not_swept() -> None:
    a = Value(2.0)
    b = a * a
    a.data = 9.0  # since b was computed; none of the inner gradient's business
    assert engine.grad(lambda x: b * x * x)(1.0).data == 8.0


def test_checking_looks_at_numbers_whatever_the_function_reads() -> None:
    assert engine.gradcheck(lambda x: W * x * x, 2.0, order=2)
    assert engine.gradcheck(engine.grad(CUBE), 2.0)


def test_a_partial_that_reads_a_value_which_is_no_operand_is_refused() -> None:
    op = engine.custom_op("scaled", lambda x: 0.7 * x, [lambda x, out: W])
    with pytest.raises(engine.GraphError, match=r"partial 0 of 'scaled' .* make that an operand"):
        engine.grad(op)(2.0)
    scaled = engine.custom_op("scaled", lambda x, w: w * x, [lambda x, w, o: w, lambda x, w, o: x])
    assert slope_of(engine.grad(lambda x: scaled(x, W))(2.0), W) == 1.0


def random_function(seed: int):
    """A function of x and w, made of a few operations drawn at random."""
    rng = random.Random(seed)
    operations = [
        lambda a, b: a * b,
        lambda a, b: engine.tanh(a) + engine.sin(b),
        lambda a, b: engine.where(a > b, a * a, b),
        lambda a, b: engine.maximum(a, 0.5 * b),
        lambda a, b: engine.exp(-a * a) * b,
    ]
    chosen = [(rng.choice(operations), rng.randrange(3), rng.randrange(3)) for _ in range(6)]

    def f(x, w):
        kept = [x, w, x * w]
        for k, (operation, i, j) in enumerate(chosen):
            kept[k % 3] = operation(kept[i], kept[j])
        return kept[0] + kept[1] * kept[2]

    return f, rng.uniform(-1.0, 1.0), rng.uniform(-1.0, 1.0)


OF_ONE = {
    "grad": lambda g, x: engine.grad(g)(x),
    "hessian": lambda g, x: engine.hessian(g)(x),
    "jvp": lambda g, x: engine.jvp(g, x, 1.3)[1],
    "vjp": lambda g, x: engine.vjp(g, x)[1](0.7)[0],
    "hvp": lambda g, x: engine.hvp(g, x, 1.1),
    "checkpoint": lambda g, x: engine.grad(engine.checkpoint(g))(x),
    "jacobian": lambda g, x: engine.jacobian(lambda q: [g(q), q])(x)[0],
    "a product": lambda g, x: engine.grad(lambda q: engine.grad(g)(q) * g(q))(x),
}


@pytest.mark.parametrize("name", OF_ONE)
@pytest.mark.parametrize("seed", range(8))
def test_a_value_reached_from_outside_is_as_good_as_an_argument(name: str, seed: int) -> None:
    transform, (f, x, number) = OF_ONE[name], random_function(seed)
    expected = engine.grad(lambda v: transform(lambda q: f(q, v), x))(number)
    w = Value(number)
    for reached in (w, w * 1.0):
        result = transform(lambda q, w=reached: f(q, w), x)
        found = slope_of(result, w) if isinstance(result, Value) else 0.0
        assert found == pytest.approx(expected, rel=1e-11, abs=1e-13)


def test_long_computations_that_reach_a_value_from_outside() -> None:
    def f(x):
        for _ in range(20_000):
            x = x + W * 1e-6
        return x * x

    assert slope_of(engine.grad(f)(1.0), W) == pytest.approx(2.0 * 20_000 * 1e-6)
