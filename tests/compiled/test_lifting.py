"""Lifting finds the matrix products in scalar code, and `str(program)` shows them."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value


def products(program: engine.Program) -> list[str]:
    """The shapes of a program's matrix products, as it prints them."""
    return re.findall(r"^ +matrix product (.+?)(?: \+ \w+)* +[sl]\d", str(program), re.MULTILINE)


def instructions(program: engine.Program) -> int:
    found = re.search(r"became ([\d,]+) instruction", str(program))
    assert found is not None
    return int(found[1].replace(",", ""))


def scalar_operations(program: engine.Program) -> int:
    found = re.search(r": ([\d,]+) scalar operations became", str(program))
    assert found is not None
    return int(found[1].replace(",", ""))


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).tolist()


# --- dense layers -----------------------------------------------------------------------------


def dense(W: Any, b: Any, x: Any) -> Any:
    """A layer as micrograd writes its neurons."""
    return [
        sum((wi * xi for wi, xi in zip(w, x, strict=True)), bj) for w, bj in zip(W, b, strict=True)
    ]


def test_a_dense_layer_is_one_product() -> None:
    W, b, X = numbers(5, 7), numbers(5), numbers(20, 7)
    program = engine.compile(dense, in_axes=(None, None, 0))
    np.testing.assert_allclose(np.array(X) @ np.array(W).T + b, program(W, b, X), rtol=1e-12)
    assert products(program) == ["(5 × 7) @ (7 × lanes)"] and instructions(program) == 1
    assert "+ bias" in str(program)
    single = engine.compile(dense)
    np.testing.assert_allclose(np.array(W) @ X[0] + b, single(W, b, X[0]), rtol=1e-12)
    assert products(single) == ["(5 × 7) @ (7 × 1)"]


def shuffled_dense(W: Any, b: Any, x: Any, seed: int) -> list[Any]:
    """The same with each neuron's terms, and each term's factors, in an order of its own."""
    rng = random.Random(seed)
    out = []
    for w, bj in zip(W, b, strict=True):
        terms = [wi * xi if rng.random() < 0.5 else xi * wi for wi, xi in zip(w, x, strict=True)]
        terms.append(bj)
        rng.shuffle(terms)
        while len(terms) > 1:  # any bracketing
            k = rng.randrange(len(terms) - 1)
            terms[k : k + 2] = [terms[k] + terms[k + 1]]
        out.append(terms[0])
    return out


@pytest.mark.parametrize("seed", range(5), ids="seed{}".format)
def test_the_order_of_terms_and_factors_does_not_matter(seed: int) -> None:
    W, b, X = numbers(6, 5), numbers(6), numbers(9, 5)
    program = engine.compile(lambda x, W, b: shuffled_dense(W, b, x, seed), in_axes=(0, None, None))
    np.testing.assert_allclose(np.array(X) @ np.array(W).T + b, program(X, W, b), rtol=1e-12)
    assert products(program) == ["(6 × 5) @ (5 × lanes)"]
    leaves, offsets = [[Value(w) for w in row] for row in W], [Value(x) for x in b]
    live = engine.compile(lambda x: shuffled_dense(leaves, offsets, x, seed))
    np.testing.assert_allclose(np.array(W) @ X[0] + b, live(X[0]), rtol=1e-12)
    assert instructions(live) == 1  # a product, or as many sums


@pytest.mark.parametrize(
    ("rows", "turned"),
    [
        ([[1, 2], [2, 1], [0, 3]], False),
        ([[0, 1, 2], [2, 0, 1]], False),
        ([[0, 0], [1, 2], [3, 3]], True),
    ],
    ids=["rows", "a circulant", "columns"],
)
def test_a_matrix_that_repeats_its_weights_is_one_product(
    rows: list[list[int]], turned: bool
) -> None:
    """In whatever order its rows come, and its columns."""
    size = len(rows[0])

    def layer(w: Any, tokens: Any) -> Any:
        out = []
        for t, token in enumerate(tokens):
            rng, found = random.Random(t), {}
            for i in rng.sample(range(len(rows)), len(rows)):
                found[i] = sum(w[rows[i][k]] * token[k] for k in rng.sample(range(size), size))
            out.append([found[i] for i in range(len(rows))])
        return out

    w, tokens = numbers(4), numbers(1_500, size, seed=1)
    program = engine.compile(
        lambda w, tokens: layer(
            w, [x[::-1] if turned and t % 2 else x for t, x in enumerate(tokens)]
        )
    )
    X = np.array(tokens)
    X[1::2] = X[1::2, ::-1] if turned else X[1::2]
    np.testing.assert_allclose(program(w, tokens), X @ np.array(w)[np.array(rows)].T, rtol=1e-11)
    assert products(program) == [f"({len(rows)} × {size}) @ ({size} × 1500)"]


def test_look_ups_by_one_index_may_be_in_lists_of_several_lengths() -> None:
    program = engine.compile(
        lambda table, i: engine.take(table[:2], i) * 10.0 + engine.take(table, i),
        in_axes=(None, 0),
    )
    value, gradient = program.value_and_grad([1.0, 2.0, 4.0], [0, 1, -1])
    assert value.tolist() == [11.0, 22.0, 24.0]
    assert gradient.tolist() == [[11.0, 0.0, 0.0], [0.0, 11.0, 0.0], [0.0, 10.0, 1.0]]


@pytest.mark.parametrize(
    "module",
    [
        nn.Layer(4, 3, nonlin=False, rng=random.Random(0)),
        nn.Linear(4, 3, rng=random.Random(0)),
        nn.Linear(4, 3, bias=False, rng=random.Random(0)),
    ],
    ids=repr,
)
def test_the_layers_of_nn_are_one_product(module: Any) -> None:
    program = engine.compile(module, in_axes=0)
    X = numbers(10, 4)
    expected = [[y.data for y in module(x)] for x in X]
    np.testing.assert_allclose(expected, program(X), rtol=1e-13)
    assert products(program) == ["(3 × 4) @ (4 × lanes)"]
    assert instructions(program) <= 3  # a Layer's weights and biases alternate: they are copied


@pytest.mark.parametrize("batched", [False, True])
def test_a_network_has_one_block_a_layer(batched: bool) -> None:
    model = nn.MLP(3, [8, 8, 1], rng=random.Random(0))
    program = engine.compile(model, in_axes=0 if batched else None)
    X = numbers(5, 3)
    out = program(X) if batched else [program(x) for x in X]
    np.testing.assert_allclose([model(x).data for x in X], out, rtol=1e-12)
    if batched:
        expected = [f"({n} × {k}) @ ({k} × lanes)" for n, k in ((8, 3), (8, 8), (1, 8))]
        assert products(program) == expected
    else:  # each layer is a product or as many sums; two have an activation
        assert instructions(program) == 5


@pytest.mark.parametrize("seed", range(4), ids="seed{}".format)
def test_signs_constants_and_repetitions_stay_in_the_product(seed: int) -> None:
    """Terms are added and subtracted, negated, doubled, and joined by constants."""
    rng = random.Random(seed)
    signs = [[rng.choice([1, -1]) for _ in range(4)] for _ in range(3)]
    constants = [rng.choice([0.0, 2.5, -1.0]) for _ in range(3)]

    def f(W: Any, x: Any) -> Any:
        out = []
        for row, w, c in zip(signs, W, constants, strict=True):
            total = w[0] * x[0]
            for sign, wi, xi in zip(row, w, x, strict=True):
                total = total + wi * xi if sign > 0 else total - xi * wi
            out.append(-(c - total))
        return out

    W, X = numbers(3, 4), numbers(6, 4)
    M = np.array(W) * signs
    M[:, 0] += np.array(W)[:, 0]
    expected = np.array(X) @ M.T - constants
    program = engine.compile(f, in_axes=(None, 0))
    np.testing.assert_allclose(expected, program(W, X), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(expected[0], engine.compile(f)(W, X[0]), rtol=1e-12, atol=1e-14)
    g = lambda W, x: engine.sum(engine.tanh(y) for y in f(W, x))  # noqa: E731
    both = engine.compile(g, in_axes=(None, 0), argnums=(0, 1)).grad(W, X)
    for k, (dW, dx) in enumerate(engine.grad(g, (0, 1))(W, x) for x in X):
        np.testing.assert_allclose(dW, both[0][k], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(dx, both[1][k], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_zero_that_is_added_stays_in_the_product(zero: float, sign: int) -> None:
    def f(W: Any, x: Any) -> Any:
        sums = [engine.dot(w, x) for w in W]
        return [y + zero if sign > 0 else y - zero for y in sums]

    program = engine.compile(f, in_axes=(None, 0))
    W, x = [[0.0, -1.0], [1.0, 2.0]], [-0.0, 0.0]  # -0.0 and 0.0 in the end
    (out,) = program(W, [x])
    assert [*map(repr, out.tolist())] == [*map(repr, f(W, x))]
    assert products(program) == ["(2 × 2) @ (2 × lanes)"] and instructions(program) == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda w, x: w[0] * x[0] + w[0] * x[0] + w[1] * x[1],  # a product twice
        lambda w, x: w[0] * x[0] - w[0] * x[0] + x[1],
        lambda w, x: (w[0] * x[0] + w[1]) + (w[0] * x[0] + w[1]) * x[1],  # a sum used twice
        lambda w, x: 3.0 - w[0] - (x[0] - (2.0 - w[1] * x[1])),
        lambda w, x: w[0] * w[0] + x[0] * x[0] - x[1] ** 2 + w[1] * w[0],
        lambda w, x: -(-(w[0] * x[0]) - (-x[1])) - (-w[1]),
        lambda w, x: 2.0 * x[0] + 3.0 * x[1] + 4.0 * w[0] + 5.0,
        lambda w, x: engine.sum([w[0] * x[0]] * 5) + engine.sum([x[1]] * 4),
        lambda w, x: x[0] + x[0] + x[0] - w[0] - w[0] - w[0],
        lambda w, x: w[0] * 0.0 + x[0] * 0.0 + 0.0 * x[1] + 0.0,
    ],
)
def test_awkward_sums_are_right(f: Callable[..., Any]) -> None:
    W, X = [0.7, -1.3], numbers(4, 2)
    program = engine.compile(f, in_axes=(None, 0), argnums=(0, 1))
    single = engine.compile(f, argnums=(0, 1))
    values, (dw, dx) = program.value_and_grad(W, X)
    for k, x in enumerate(X):
        value, gradient = engine.value_and_grad(f, (0, 1))(W, x)
        for found in ((values[k], (dw[k], dx[k])), single.value_and_grad(W, x)):
            np.testing.assert_allclose(value, found[0], rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(gradient, found[1], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("lanes", [0, 1, 3])
def test_a_long_sum_passes_on_the_adjoint_that_came_to_it_last(lanes: int) -> None:
    pairs = [*itertools.combinations(range(120), 2)]  # too many to be written out
    random.Random(0).shuffle(pairs)

    def f(w: list[Any], x: Any) -> Any:
        inner = engine.sin(engine.sum(x * w[i] * w[j] for i, j in pairs[:3000]))
        return engine.sum([w[i] * w[j] for i, j in pairs[3000:6200]] + [inner * w[0]])

    def g(w: list[Any], x: Any) -> Any:  # all in the same space
        inner = engine.sin(engine.sum(w[i] * w[j] for i, j in pairs[:3000]))
        return engine.sum([w[i] * w[j] for i, j in pairs[3000:6200]] + [inner * w[0] * x])

    w, xs = numbers(120), numbers(max(1, lanes), seed=1)
    for loss in (f, g):
        eager = [engine.value_and_grad(loss, (0, 1))(w, x) for x in xs]
        axes = {"in_axes": (0, 0)} if lanes else {}
        program = engine.compile(loss, argnums=(0, 1), **axes)
        if not lanes:
            found = [program.value_and_grad(w, xs[0])]
        else:
            values, (dw, dx) = program.value_and_grad([w] * lanes, xs)
            found = [(values[k], (dw[k], dx[k])) for k in range(lanes)]
        for (value, (to_w, to_x)), (v, (gw, gx)) in zip(eager, found, strict=True):
            np.testing.assert_allclose((v, gx), (value, to_x), rtol=1e-12)
            np.testing.assert_allclose(gw, to_w, rtol=1e-11, atol=1e-11)


# --- convolutions -----------------------------------------------------------------------------


def convolution(kernels: Any, image: Any) -> Any:
    size, m = len(image), len(kernels[0])
    places = range(size - m + 1)
    return [
        [
            [
                engine.sum(kernel[a][b] * image[i + a][j + b] for a in range(m) for b in range(m))
                for j in places
            ]
            for i in places
        ]
        for kernel in kernels
    ]


def test_a_convolution_written_as_loops_is_one_product() -> None:
    kernels, images = np.array(numbers(4, 3, 3)), np.array(numbers(5, 8, 8, seed=1))
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    expected = np.einsum("nijab,kab->nkij", windows, kernels)
    program = engine.compile(convolution, in_axes=(None, 0))
    out = program(kernels.tolist(), images.tolist())
    np.testing.assert_allclose(expected, out, rtol=1e-11, atol=1e-13)
    assert products(program) == ["(4 × 9) @ (9 × 36 × lanes)"] and instructions(program) <= 2
    single = engine.compile(convolution)
    out = single(kernels.tolist(), images[2].tolist())
    np.testing.assert_allclose(expected[2], out, rtol=1e-11, atol=1e-13)
    assert products(single) == ["(4 × 9) @ (9 × 36)"]


def test_the_gradient_of_a_convolution() -> None:
    f = lambda k, image: engine.sum(  # noqa: E731
        engine.tanh(y) for plane in convolution(k, image) for row in plane for y in row
    )
    kernels, images = numbers(2, 2, 2), numbers(3, 4, 4, seed=1)
    program = engine.compile(f, in_axes=(None, 0), argnums=(0, 1))
    dk, di = program.grad(kernels, images)
    for k, image in enumerate(images):
        expected = engine.grad(f, (0, 1))(kernels, image)
        np.testing.assert_allclose(expected[0], dk[k], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(expected[1], di[k], rtol=1e-12, atol=1e-14)


# --- weights shared over positions ------------------------------------------------------------


@pytest.mark.parametrize("T", [2, 6, 9])
def test_a_layer_on_every_position_is_one_product(T: int) -> None:
    layer = nn.Linear(4, 3, rng=random.Random(1))
    X = numbers(5, T, 4)
    program = engine.compile(layer, in_axes=0)
    expected = [[[y.data for y in position] for position in layer(x)] for x in X]
    np.testing.assert_allclose(expected, program(X), rtol=1e-12)
    assert products(program) == [f"(3 × 4) @ (4 × {T} × lanes)"]
    single = engine.compile(layer)
    np.testing.assert_allclose(expected[0], single(X[0]), rtol=1e-12)
    assert products(single) == [f"(3 × 4) @ (4 × {T})"]


def attention(layers: Sequence[nn.Linear], x: Any) -> Any:
    """One head, in which every position looks at all positions."""
    q, k, v = (layer(x) for layer in layers)
    mixed = []
    for query in q:
        weights = engine.softmax([engine.dot(query, key) * 0.5 for key in k])
        mixed.append(
            [engine.sum(p * row[j] for p, row in zip(weights, v, strict=True)) for j in range(4)]
        )
    return mixed


@pytest.mark.parametrize("batched", [False, True])
def test_attention_groups_into_blocks(batched: bool) -> None:
    layers = [nn.Linear(4, 4, bias=False, rng=random.Random(k)) for k in range(3)]
    X = np.array(numbers(3, 6, 4))
    q, k, v = (X @ np.array([[w.data for w in row] for row in m.weight]).T for m in layers)
    e = np.exp(0.5 * q @ k.transpose(0, 2, 1))
    expected = e / e.sum(axis=2, keepdims=True) @ v
    program = engine.compile(lambda x: attention(layers, x), in_axes=0 if batched else None)
    out = program(X.tolist() if batched else X[0].tolist())
    np.testing.assert_allclose(expected if batched else expected[0], out, rtol=1e-11, atol=1e-13)
    text = str(program)
    for block in ("exp of 36", "div of 36", "sub of 36", "6 sums of 6 terms", "6 largest of 6"):
        assert block in text
    assert scalar_operations(program) > 900 and instructions(program) < 30


def test_instructions_do_not_grow_with_the_length() -> None:
    layers = [nn.Linear(4, 4, bias=False, rng=random.Random(k)) for k in range(3)]
    counts = []
    for T in (6, 12):
        program = engine.compile(lambda x: attention(layers, x), in_axes=0)
        program(numbers(2, T, 4))
        counts.append(instructions(program))
    assert counts[1] <= counts[0] + 2


# --- micrograd's own --------------------------------------------------------------------------


def moons(n: int = 100) -> tuple[Any, Any]:
    rng = np.random.default_rng(1337)
    angle, y = rng.uniform(0.0, math.pi, n), rng.integers(0, 2, n) * 2 - 1
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X = np.where(y[:, None] > 0, [1.0, 0.5] - upper, upper)
    return X + 0.1 * rng.normal(size=(n, 2)), y


def moons_loss(model: Any, X: Any, y: Any) -> Any:
    """The loss of micrograd's demo.ipynb, without the accuracy."""
    inputs = [list(map(Value, xrow)) for xrow in X] if isinstance(X, np.ndarray) else X

    # forward the model to get scores
    scores = list(map(model, inputs))

    # svm "max-margin" loss
    losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    # L2 regularization
    alpha = 1e-4
    reg_loss = alpha * sum((p * p for p in model.parameters()))  # noqa: UP034, as it is there
    return data_loss + reg_loss


def eager_moons(model: Any, X: Any, y: Any) -> tuple[float, list[float]]:
    total = moons_loss(model, X, y)
    return total.data, engine.gradients(total, model.parameters())


def check_moons(program: engine.Program, model: Any, X: Any, y: Any, *args: Any) -> None:
    for _ in range(2):
        value, gradient = program.value_and_grad(*args)
        expected, by_parameter = eager_moons(model, X, y)
        scale = max(abs(expected), *map(abs, by_parameter))
        assert abs(expected - value) <= 1e-12 * scale
        assert np.abs(np.subtract(by_parameter, gradient)).max() <= 1e-12 * scale
        for p, g in zip(model.parameters(), gradient, strict=True):  # and once more, after a step
            p.data -= 0.1 * g


def test_the_moons_loss_compiles_unchanged_to_a_few_products() -> None:
    X, y = moons()
    model = nn.MLP(2, [16, 16, 1], rng=random.Random(1337))
    program = engine.compile(lambda: moons_loss(model, X, y), wrt=model)
    check_moons(program, model, X, y)
    assert scalar_operations(program) > 60_000
    assert len(products(program)) <= 6 and instructions(program) <= 40


def test_the_moons_loss_with_the_data_as_arguments() -> None:
    X, y = moons()
    model = nn.MLP(2, [16, 16, 1], rng=random.Random(1337))
    program = engine.compile(lambda X, y: moons_loss(model, X, y), wrt=model)
    check_moons(program, model, X, y, X.tolist(), y.tolist())
    assert len(products(program)) <= 6 and instructions(program) <= 40


def test_the_moons_loss_as_a_batch_of_examples() -> None:
    X, y = moons()
    model = nn.MLP(2, [16, 16, 1], rng=random.Random(1337))
    program = engine.compile(
        lambda x, yi: moons_loss(model, [x], [yi]), in_axes=0, reduce="mean", wrt=model
    )
    check_moons(program, model, X, y, X, y)
    lanes = ["(16 × 2) @ (2 × lanes)", "(16 × 16) @ (16 × lanes)", "(1 × 16) @ (16 × lanes)"]
    assert lanes == products(program)


def test_the_printed_program_says_what_became_of_the_code() -> None:
    model = nn.MLP(2, [4, 1], rng=random.Random(0))
    program = engine.compile(model, in_axes=0)
    program(numbers(3, 2))
    text = str(program)
    assert "scalar operations became" in text and "2 matrix products" in text
    assert "17 numbers shared, 2 in each lane" in text
    assert "relu of 4" in text and "lanes: for each example" in text
    assert all(len(line) < 120 for line in text.splitlines())


# --- step by step -----------------------------------------------------------------------------


def predators(steps: int) -> Callable[..., Any]:
    """Lotka and Volterra's equations, integrated by Euler's method."""

    def end(rates: Sequence[Any], x: Any, y: Any) -> Any:
        a, b, c, d = rates
        for _ in range(steps):
            x, y = x + 0.01 * (a * x - b * x * y), y + 0.01 * (c * x * y - d * y)
        return x * x + y

    return end


RATES = [1.1, 0.4, 0.1, 0.4]


@pytest.mark.parametrize("steps", [50, 200])
def test_what_runs_step_by_step_is_a_loop(steps: int) -> None:
    program = engine.compile(predators(steps), argnums=(0, 1, 2))
    found, gradient = program.value_and_grad(RATES, 2.0, 1.0)
    value, exact = engine.value_and_grad(predators(steps), argnums=(0, 1, 2))(RATES, 2.0, 1.0)
    assert instructions(program) == 3
    assert f"for t in range({steps - 2}): 12 operations, carries 2" in str(program)
    assert found == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(np.hstack(exact), np.hstack(gradient), rtol=1e-11)


def test_what_steps_in_lanes_read_of_shared_numbers_is_repeated_once() -> None:
    program = engine.compile(predators(50), in_axes=(None, 0, None), argnums=1)
    X = np.linspace(1.0, 3.0, 9)
    _, gradient = program.value_and_grad(RATES, X, 1.0)
    assert instructions(program) == 5  # one operation of shared numbers alone
    assert "repeat 6 in every lane" in str(program)
    grad = engine.grad(predators(50), argnums=1)
    np.testing.assert_allclose([grad(RATES, x, 1.0) for x in X.tolist()], gradient, rtol=1e-11)


def test_few_steps_are_blocks() -> None:
    program = engine.compile(predators(10))
    program(RATES, 2.0, 1.0)
    assert "sum of 2 products" in str(program)


def test_layers_step_by_step_are_products() -> None:
    W, b, x = numbers(8, 8), numbers(8), numbers(8)

    def recurrent(W: Any, b: Any, x: Any) -> Any:
        for _ in range(40):
            x = [engine.tanh(y) for y in dense(W, b, x)]
        return x

    program = engine.compile(recurrent)
    program(W, b, x)
    assert products(program) == ["(8 × 8) @ (8 × 1)"] and instructions(program) == 2
    assert "  for t in range(40):\n" in str(program)
