"""Printed programs: the code runs to the same numbers, and what a textbook has looks like there."""

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import nn
from compiled.liftable import LIFTABLE
from engine.compiled.writing.algebra import (
    Expr,
    call,
    full,
    named,
    rebuilt,
    reshaped,
    transposed,
)
from engine.ops import TABLE
from engine.randomness import draw, stream
from engine.value import record
from nn.programs.sigmoid_networks import HalfSquaredError

TOLERANCE = 1e-12  # of the largest number: sums are added in another order


def flat(tree: Any) -> np.ndarray[Any, Any]:
    """All numbers of a result, in their order."""
    if isinstance(tree, list | tuple):
        return np.concatenate([flat(part) for part in tree])
    return np.ravel(np.asarray(tree, float))


def printed(source: str) -> dict[str, Any]:
    changed = set(re.findall(r"^ +(\w+)\[.*\] \+=", source, re.M))
    changed |= set(re.findall(r"np\.add\.at\((\w+)", source))
    for name in changed:  # what is added to in place must not be a view of something else
        assert not re.search(rf"^ +{name} = \w+(\[[^\]]*\]|\.T|\.reshape\(.*\))?$", source, re.M), (
            name
        )
    names: dict[str, Any] = {}
    exec(source, names)
    return names


def agree(expected: Any, actual: Any, scale: Any = ()) -> None:
    expected, actual = flat(expected), flat(actual)
    assert expected.shape == actual.shape
    largest = max(np.abs(expected).max(), np.abs(flat([0.0, *scale])).max())
    assert np.abs(expected - actual).max() <= TOLERANCE * largest


def balanced(equations: str) -> bool:
    pairs = (("{", "}"), (r"\left", r"\right"), (r"\begin", r"\end"))
    return all(equations.count(a) == equations.count(b) for a, b in pairs)


def network(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


RNG = random.Random(1)
CIRCLES = network(nn.Linear(2, 10, rng=RNG), nn.Sigmoid(), nn.Linear(10, 2, rng=RNG), nn.Sigmoid())


def cost(x: list[Any], y: list[Any]) -> Any:
    return 0.5 * sum((a - t) ** 2 for a, t in zip(CIRCLES(x), y, strict=True))


def cost_of_the_program(x: list[Any], y: list[Any]) -> Any:
    return HalfSquaredError()(CIRCLES(x), y)


@pytest.fixture(scope="module", params=[cost, cost_of_the_program])
def circles(request: pytest.FixtureRequest) -> engine.Program:
    """The network's cost, the ½ before the sum or in it."""
    program = engine.compile(request.param, in_axes=0, reduce="sum", wrt=CIRCLES)
    program.grad([[1.0, 2.0], [0.5, -1.0]], [[0.0, 1.0], [1.0, 0.0]])
    return program


def test_the_circles_network_is_what_the_textbook_has(circles: engine.Program) -> None:
    body = circles.source().split('"""\n')[-1]
    assert [line.strip() for line in body.splitlines() if line] == [
        "N = len(x)",
        "x = x.T  # one column an example",
        "y = y.T  # one column an example",
        "z1 = W1 @ x + b1[:, None]",
        "a1 = sigmoid(z1)",
        "z2 = W2 @ a1 + b2[:, None]",
        "a2 = sigmoid(z2)",
        "C = 0.5 * np.sum((a2 - y) ** 2)",
        "delta2 = (a2 - y) * sigmoid_prime(z2)",
        "delta1 = (W2.T @ delta2) * sigmoid_prime(z1)",
        "dW1 = delta1 @ x.T",
        "db1 = np.sum(delta1, axis=1)",
        "dW2 = delta2 @ a1.T",
        "db2 = np.sum(delta2, axis=1)",
        'return C, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}',
    ]


def test_its_equations_are_the_four_of_backpropagation(circles: engine.Program) -> None:
    equations = circles.source("latex")
    assert equations.splitlines()[5:-1] == [
        r"C &= \frac{1}{2} \, \sum_{i,n} (a^{(2)} - y)^{2} \\[6pt]",
        r"\delta^{(2)} &= (a^{(2)} - y) \circ \sigma'(z^{(2)}) \\",
        r"\delta^{(1)} &= (W^{(2)\top} \, \delta^{(2)}) \circ \sigma'(z^{(1)}) \\",
        r"\frac{\partial C}{\partial W^{(1)}} &= \delta^{(1)} \, x^{\top} \\",
        r"\frac{\partial C}{\partial b^{(1)}} &= \sum_{n} \delta^{(1)}_{n} \\",
        r"\frac{\partial C}{\partial W^{(2)}} &= \delta^{(2)} \, a^{(1)\top} \\",
        r"\frac{\partial C}{\partial b^{(2)}} &= \sum_{n} \delta^{(2)}_{n} \\[6pt]",
        r"\sigma'(x) &= \frac{1}{4} \, \operatorname{sech}\left(\frac{1}{2} \, x\right)^{2}",
    ]
    assert equations._repr_latex_() == f"$$\n{equations}\n$$"


@pytest.mark.parametrize("row", TABLE)
def test_a_row_of_the_table_prints_what_it_computes(row: str) -> None:
    op, rng = TABLE[row], random.Random(row)
    columns = [[rng.uniform(*interval) for _ in range(4)] for interval in op.samples]
    if row == "where":
        columns[0] = [0.0, 2.0, -0.5, 0.0]  # what is not 0 counts as true

    def function(*operands: Any) -> Any:
        return 1.5 * record(op, list(operands))

    program = engine.compile(function, in_axes=0, argnums=tuple(range(op.arity)))
    arguments, paths = program._prepared(columns, {})
    paths.outputs(arguments, (0, 0))  # traces, without making machine code
    program._wanted(arguments, columns)
    value, gradient = printed(program.source())["value_and_gradient"](*map(np.array, columns))
    examples = [
        engine.value_and_grad(function, tuple(range(op.arity)))(*map(engine.Value, example))
        for example in zip(*columns, strict=True)
    ]
    agree([v.data for v, _ in examples], value)
    for k, found in enumerate(gradient.values()):
        agree([g[k].data for _, g in examples], found, value)
    assert balanced(program.source("latex"))


@pytest.mark.parametrize("reduce", ["sum", None, "unbatched"])
@pytest.mark.parametrize("name", LIFTABLE)
def test_what_is_lifted_runs_as_printed(name: str, reduce: Any) -> None:
    case = LIFTABLE[name]
    parameters, examples = case.parameters(), case.examples(1 if name == "branching" else 5)
    args: tuple[Any, ...] = (parameters, examples)
    if reduce == "unbatched":
        program = engine.compile(case.function)
        args = (parameters, examples[0])
    else:
        program = engine.compile(case.function, in_axes=(None, 0), reduce=reduce)
    step = stream.step + (stream.call > 0)
    value, gradient = program.value_and_grad(*args)
    source, more = program.source(), {}
    if "draws" in source:
        ids = [stream.example] if reduce == "unbatched" else range(len(examples))
        drawn = np.array([[draw(stream.seed, step, i, k) for k in range(7)] for i in ids])
        more["draws"] = drawn[0] if reduce == "unbatched" else drawn
    arrays = [*map(np.array, parameters), np.array(args[1])]
    v, g = printed(source)["value_and_gradient"](*arrays, **more)
    agree(value, v, flat(gradient))
    agree(gradient, list(g.values()), flat(value))
    assert balanced(program.source("latex"))


def test_examples_have_gradients_too() -> None:
    case = LIFTABLE["dense"]
    parameters, X = case.parameters(), np.array(case.examples(5))
    program = engine.compile(case.function, in_axes=(None, 0), reduce="mean", argnums=1)
    _, gradient = program.value_and_grad(parameters, X)
    _, found = printed(program.source())["value_and_gradient"](*map(np.array, parameters), X)
    agree(gradient, found["x"])


def attention() -> tuple[nn.Module, Callable[..., Any], list[Any]]:
    rng = random.Random(2)
    model = network(nn.Embedding(5, 4, rng=rng), nn.CausalSelfAttention(4, 2, rng=rng))
    model.append(nn.Linear(4, 5, rng=rng))

    def loss(tokens: list[Any], targets: list[Any]) -> Any:
        mixed = model[1](model[0](tokens))
        scores = [engine.log_softmax(model[2](x)) for x in mixed]
        return -sum(engine.take(s, t) for s, t in zip(scores, targets, strict=True))

    return model, loss, [[[1, 4, 0], [2, 2, 3]], [[4, 0, 2], [2, 3, 1]]]


def classifier() -> tuple[nn.Module, Callable[..., Any], list[Any]]:
    rng = random.Random(3)
    norm = nn.LayerNorm(6)
    model = network(nn.Linear(3, 6, rng=rng), norm, nn.GELU(), nn.Linear(6, 4, rng=rng))
    criterion = nn.CrossEntropyLoss()

    def loss(x: list[Any], target: Any) -> Any:
        return engine.sum(criterion.terms(model(x), target)[0])

    return model, loss, [[[0.1, 2.0, -1.0], [1.0, 0.5, 0.2]], [3, 1]]


def unit_circle() -> tuple[nn.Module, Callable[..., Any], list[Any]]:
    rng = random.Random(4)
    model = network(nn.Linear(2, 5, rng=rng), nn.ReLU(), nn.Linear(5, 1, rng=rng), nn.Sigmoid())
    return model, lambda x, y: (model(x)[0] - y) ** 2, [[[0.3, -2.0], [0.5, 0.1]], [0, 1]]


def perceptron() -> tuple[nn.Module, Callable[..., Any], list[Any]]:
    model = nn.MLP(2, [3, 1], rng=random.Random(5))
    return model, lambda x, y: engine.relu(1 - y * model(x)), [[[0.3, -2.0], [0.5, 0.1]], [-1, 1]]


@pytest.mark.parametrize("make", [attention, classifier, unit_circle, perceptron])
def test_a_model_runs_as_printed(make: Callable[..., Any]) -> None:
    model, loss, args = make()
    program = engine.compile(loss, in_axes=0, reduce="mean", wrt=model)
    value = program.backward(*args)
    source = program.source()
    arrays = [np.array(arg, float) for arg in args]
    v, gradient = printed(source)["value_and_gradient"](*arrays, **source.parameters())
    expected = {name: [p.grad for p in leaves.flat] for name, leaves in source.leaves.items()}
    agree(value, v)
    assert set(gradient) == set(expected)
    agree([expected[name] for name in gradient], list(gradient.values()), [value])
    assert balanced(program.source("latex"))


def test_what_is_long_and_narrow_is_a_loop() -> None:
    def chain(w: Any, x: Any) -> Any:
        for _ in range(205):
            x = engine.sin(x) * w
        return x

    program = engine.compile(chain, in_axes=(None, 0), reduce="sum", argnums=(0, 1))
    value, gradient = program.value_and_grad(1.2, [0.5, 1.5])
    source = program.source()
    v, g = printed(source)["value_and_gradient"](1.2, np.array([0.5, 1.5]))
    assert "for t in range(204):" in source and len(source) < 1_500
    agree(value, v)
    agree(gradient, list(g.values()), [value])
    assert balanced(program.source("latex"))


def test_what_the_trace_took_for_granted_is_asserted() -> None:
    program = engine.compile(lambda x: x * x if x > 0.0 else -x)
    program.grad(3.0)
    function = printed(program.source())["value_and_gradient"]
    assert function(4.0) == (16.0, {"x": 8.0})
    with pytest.raises(AssertionError, match="another path"):
        function(-4.0)


def test_several_results_are_one_array_without_a_gradient() -> None:
    program = engine.compile(lambda x: [[v + 1.0, v * v] for v in x], in_axes=0)
    X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    value = program(X)
    assert (printed(program.source())["value"](X) == value).all()


def test_numbers_that_differ_are_an_array_in_the_text() -> None:
    program = engine.compile(lambda x: [v * c + 1.0 for v, c in zip(x, (1.5, 2.5), strict=True)])
    program([1.0, 2.0])
    assert "h1 = x * np.array([1.5, 2.5]) + 1" in program.source().splitlines()[-2]


X = named("x", (2, 3))


@pytest.mark.parametrize(
    ("e", "operand"),
    [
        (call("neg", named("y", (2, 3))), call("neg", X)),
        (transposed(named("y", (3, 2))), transposed(X)),
        (reshaped(named("y", (6,)), (2, 3)), reshaped(X, (6,))),
        (full(named("y", (1, 3)), (2, 3)), X),
    ],
)
def test_an_expression_on_other_operands_is_simplified_again(e: Expr, operand: Expr) -> None:
    assert rebuilt(e, [operand]) == X


def test_names_are_those_of_labels_where_there_are_some() -> None:
    a, b = engine.Value(2.0, label="slope"), [engine.Value(x, label=f"shift[{x}]") for x in (0, 1)]
    program = engine.compile(lambda x: a * x[0] + b[0] * b[1] * x[1], wrt=[a, *b])
    program.grad([1.0, 2.0])
    assert set(program.source().leaves) == {"slope", "shift"}


def test_there_is_nothing_to_print_before_a_call() -> None:
    program = engine.compile(cost, in_axes=0)
    with pytest.raises(engine.TraceError, match="call it once"):
        program.source()


def test_another_kind_of_text_is_refused(circles: engine.Program) -> None:
    with pytest.raises(ValueError, match='"numpy", "latex" or "c"'):
        circles.source("fortran")


LATEX = {  # what has a form of its own
    "div": r"\frac{x}{y}",
    "sqrt": r"\sqrt{x}",
    "cbrt": r"\sqrt[3]{x}",
    "direction": r"\frac{x}{\sqrt{x^{2} + y^{2}}}",
    "one_minus_square": r"(1 - x^{2})",
    "exp": r"\exp(x)",
    "exp2": r"2^{x}",
    "log": r"\log(x)",
    "log2": r"\log_{2}(x)",
    "log10": r"\log_{10}(x)",
    "sin": r"\sin(x)",
    "cos": r"\cos(x)",
    "tan": r"\tan(x)",
    "asin": r"\arcsin(x)",
    "acos": r"\arccos(x)",
    "atan": r"\arctan(x)",
    "sinh": r"\sinh(x)",
    "cosh": r"\cosh(x)",
    "sech": r"\operatorname{sech}(x)",
    "tanh": r"\tanh(x)",
    "sigmoid": r"\sigma(x)",
    "abs": r"\left|x\right|",
    "floor": r"\left\lfloor x \right\rfloor",
    "ceil": r"\left\lceil x \right\rceil",
    "maximum": r"\max(x, y)",
    "minimum": r"\min(x, y)",
    "gammaln": r"\log\Gamma(x)",
    "digamma": r"\psi(x)",
    "polygamma": r"\psi^{(x)}(y)",
    "betaln": r"\log\mathrm{B}(x, y)",
    "xlogy": r"x \log y",
    "xlog1py": r"x \log(1 + y)",
    "erfinv": r"\operatorname{erf}^{-1}(x)",
    "i0": r"I_0(x)",
    "i1": r"I_1(x)",
    "i0e": r"e^{-|x|} I_0(x)",
    "i1e": r"e^{-|x|} I_1(x)",
}


def test_functions_are_written_in_latex_as_people_do() -> None:
    names = [name for name, op in TABLE.items() if op.latex]
    found = {}
    for op in (TABLE[name] for name in names):
        by_arity = [lambda x, op=op: record(op, [x]), lambda x, y, op=op: record(op, [x, y])]
        program = engine.compile(by_arity[op.arity - 1])
        program(*[0.5 * (low + high) + 0.01 for low, high in op.samples])
        found[op.name] = program.source("latex").split("\n")[1]
    assert found == {name: rf"C &= {text} \\[6pt]" for name, text in LATEX.items()}


IN_BRACKETS = {
    "xlogy": r"(x^{(1)} + 1) \log (x^{(2)} - 2.5)",
    "direction": r"\frac{x^{(1)} + 1}{\sqrt{(x^{(1)} + 1)^{2} + (x^{(2)} - 2.5)^{2}}}",
    "one_minus_square": r"(1 - (x^{(1)} + 1)^{2})",
    "div": r"\frac{x^{(1)} + 1}{x^{(2)} - 2.5}",
    "floor": r"\left\lfloor x^{(1)} + 1 \right\rfloor",
    "abs": r"\left|x^{(1)} + 1\right|",
    "polygamma": r"\psi^{(x^{(1)} + 1)}(x^{(2)} - 2.5)",
    "xlog1py": r"(x^{(1)} + 1) \log(1 + x^{(2)} - 2.5)",
}


@pytest.mark.parametrize("name", IN_BRACKETS)
def test_operands_that_are_sums_are_in_brackets(name: str) -> None:
    op = TABLE[name]
    program = engine.compile(lambda *xs: record(op, [xs[0] + 1.0, xs[1] - 2.5][: op.arity]))
    program(3.0, 4.0)
    assert program.source("latex").split("\n")[1] == rf"C &= {IN_BRACKETS[name]} \\[6pt]"


def test_an_operand_with_an_index_above_has_no_second_exponent() -> None:
    program = engine.compile(lambda *xs: record(TABLE["one_minus_square"], [xs[0]]))
    program(3.0, 4.0)
    assert r"C &= (1 - (x^{(1)})^{2})" in program.source("latex")
