"""Where nan was born: the operation, its operands, the user's line, of Values, functions and
programs, forwards and backwards."""

import functools
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import nn
import random_graphs
from engine import Value
from engine.lines import Recorder

INF, NAN = math.inf, math.nan
HERE = "test_nonfinite.py"


def logarithm(x: Any, y: Any) -> Any:
    return x * y + engine.log(y)


def quotient(x: Any, y: Any) -> Any:
    total = x + y
    return x / total


def growing(x: Any, y: Any) -> Any:
    return y * engine.exp(x)


def softmax_by_hand(x: Any, y: Any) -> Any:
    weights = [engine.exp(v) for v in (x, y)]
    return -engine.log(weights[0] / sum(weights))


def product(x: Any, y: Any) -> Any:
    return engine.tanh(x * y)


def difference(x: Any, y: Any) -> Any:
    high = engine.square(x)
    return high - high * y


def far_root(x: Any, y: Any) -> Any:
    return engine.sqrt(x - 1.0) * y


def steps_of_scan(x: Any, y: Any) -> Any:
    def step(total: Any, t: Any) -> Any:
        total = total * x
        return total, engine.log(total - t)

    return engine.sum(engine.scan(step, y, [0.0, 1.0, 2.0, 30.0])[1])


def loop_in_python(x: Any, y: Any) -> Any:
    for _ in range(60):
        y = engine.square(y) * x
    return y


def norm_by_hand(x: Any, y: Any) -> Any:
    return engine.sqrt(x * x + y * y) * 3.0


def power(x: Any, y: Any) -> Any:
    return (x + y) ** 0.5 + y


def absorbed(x: Any, y: Any) -> Any:
    return y / (1.0 + engine.exp(-x))


def overflow(x: Any, y: Any) -> Any:
    inner = x * 1e200
    return engine.tanh(inner * 1e-200) * 1e200 + y


# a function, arguments for which all is well, others, and what is found with these
FORWARDS: dict[str, tuple[Callable[..., Any], tuple[float, float], tuple[float, float], Any]] = {
    "log of 0": (logarithm, (2.0, 1.0), (2.0, 0.0), ("log", (0.0,), "engine.log(y)")),
    "log below 0": (logarithm, (2.0, 1.0), (2.0, -1.0), ("log", (-1.0,), "engine.log(y)")),
    "0 / 0": (quotient, (1.0, 1.0), (0.0, 0.0), ("div", (0.0, 0.0), "x / total")),
    "1 / 0": (quotient, (1.0, 1.0), (1.0, -1.0), ("div", (1.0, 0.0), "x / total")),
    "exp": (growing, (2.0, 1.0), (710.0, 1.0), ("exp", (710.0,), "engine.exp(x)")),
    "softmax": (softmax_by_hand, (3.0, 1.0), (3.0, 800.0), ("exp", (800.0,), "engine.exp(v)")),
    "inf - inf": (difference, (3.0, 1.0), (1e200, 1.0), ("square", (1e200,), "engine.square(x)")),
    "root": (far_root, (3.0, 1.0), (0.5, 1.0), ("sqrt", (-0.5,), "engine.sqrt(x - 1.0)")),
    "scan": (steps_of_scan, (4.0, 1.0), (2.0, 1.0), ("log", (-14.0,), "engine.log(total - t)")),
    "loop": (loop_in_python, (1.0, 0.5), (1.0, 2.0), ("square", (2.0**512,), "engine.square(y)")),
}
# the same with the adjoint that arrives, the partial, and what is passed on
BACKWARDS: dict[str, tuple[Callable[..., Any], tuple[float, float], tuple[float, float], Any]] = {
    "norm": (norm_by_hand, (3.0, 4.0), (0.0, 0.0), ("sqrt", 3.0, INF, INF)),
    "power": (power, (1.0, 0.5), (0.0, 0.0), ("pow", 1.0, INF, INF)),
    "0 * inf": (absorbed, (1.0, 1.0), (-800.0, 1.0), ("exp", 0.0, INF, NAN)),
    "products": (overflow, (1e-200, 1.0), (0.5, 1.0), None),
    "root": (far_root, (3.0, 1.0), (1.0, 2.0), ("sqrt", 2.0, INF, INF)),
}
each = pytest.mark.parametrize
WAYS = ["function", "values", "program", "batch"]


def found_by(way: str, f: Callable[..., Any], good: tuple[float, float], bad: tuple[float, float]):
    """What is found with the bad arguments, in one of several ways."""
    if way == "function":
        return engine.find_nonfinite(f, *bad)
    if way == "values":
        recorder = Recorder()
        with engine.modes.recorded_by(recorder):
            root = f(*[Value(x, label=name) for x, name in zip(bad, "xy", strict=True)])
        return engine.find_nonfinite(root, lines=recorder)
    if way == "program":
        program = engine.compile(f, argnums=(0, 1))
        program(*good)
        return engine.find_nonfinite(program, *bad)
    program = engine.compile(f, in_axes=0, reduce="mean")
    found = engine.find_nonfinite(program, *np.array([good, good, bad, good, bad]).T)
    assert found.example == 2 and "example 2 of the batch" in str(found)
    return found


@each("way", WAYS)
@each("name", FORWARDS)
def test_the_first_operation_that_is_not_finite_is_named(name: str, way: str) -> None:
    f, good, bad, (operation, operands, source) = FORWARDS[name]
    found = found_by(way, f, good, bad)
    assert found and found.kind == "forward"
    assert (found.operation, found.operands) == (operation, operands)
    assert HERE in found.line.place and found.line.part == source
    assert not engine.find_nonfinite(f, *good)


@each("way", WAYS)
@each("name", [name for name in BACKWARDS if name != "products"])
def test_a_gradient_that_is_not_finite_is_led_back_to_its_edge(name: str, way: str) -> None:
    f, good, bad, expected = BACKWARDS[name]
    found = found_by(way, f, good, bad)
    assert found.kind == "backward" and HERE in found.line.place
    got = (found.operation, found.adjoint, found.partial, found.passed)
    np.testing.assert_equal(got, expected)
    assert found.k == 0 and not engine.find_nonfinite(f, *good)


def test_an_operand_just_outside_of_the_domain_is_told_from_the_border() -> None:
    found = engine.find_nonfinite(engine.acos, 1.0 + 2.0**-52)
    assert "= 1.0000000000000002) is nan" in found.text or "(1.0000000000000002)" in found.text


def test_an_overflow_going_back_is_told_from_an_infinite_slope() -> None:
    found = engine.find_nonfinite(overflow, 0.5, 1.0)
    assert not found  # tanh(0.5) * 1e200 is as large as it may be
    steep = engine.find_nonfinite(lambda x: (x * 1e200) * 1e200, 1e-200)
    assert (steep.kind, steep.operation, steep.passed) == ("backward", "mul", INF)
    assert (steep.adjoint, steep.partial) == (1e200, 1e200)
    assert "overflow going back through mul" in steep.text


def test_contributions_that_add_up_to_inf_are_named() -> None:
    found = engine.find_nonfinite(lambda x: x * 1e308 + x * 1e308, 0.0)
    assert found.kind == "backward" and "the 2 contributions to x add up to inf" in found.text


@each("f", [
    lambda x: engine.where(x > 0.0, engine.log(x), 0.0),
    lambda x: engine.where(x > 0.0, engine.where(x > 1.0, engine.sqrt(x), 1.0 / x), x),
    lambda x: engine.maximum(engine.log(x), -100.0),
    lambda x: engine.clamp(engine.log(x), -100.0, 100.0),
    lambda x: engine.relu(engine.log(x)),
])  # fmt: skip
def test_what_was_not_chosen_is_not_reported(f: Any) -> None:
    for subject in (f, engine.compile(f)):
        found = engine.find_nonfinite(subject, 0.0)
        assert not found and found.causes == ()
        assert str(found).endswith("the results and the gradients are finite")
    batch = engine.compile(f, in_axes=0)
    assert not engine.find_nonfinite(batch, [0.0, 2.0, 0.0])


def test_a_number_on_the_way_that_does_no_harm_is_mentioned() -> None:
    found = engine.find_nonfinite(lambda x: x + 1.0 / engine.exp(x).detach(), 1000.0)
    assert not found and found.kind == ""
    assert "finite; on the way a number was not" in str(found)
    assert found.text == "exp(x = 1000) is inf"


def test_a_number_that_came_in_is_named() -> None:
    found = engine.find_nonfinite(lambda p: p["a"] * p["b"], {"a": 1.0, "b": NAN})
    assert (found.kind, found.text) == ("given", "p['b'] was nan to begin with")
    constant = engine.find_nonfinite(lambda x: x * Value(INF, label="scale"), 1.0)
    assert (constant.kind, constant.text) == ("given", "scale was inf to begin with")


def test_a_graph_without_lines_is_told_by_labels() -> None:
    rate = Value(0.0, label="rate")
    found = engine.find_nonfinite([rate + 1.0, rate.log() * 2.0])
    assert found.text == "log(rate = 0) is -inf" and found.line is None
    assert "find_nonfinite(f, *args) names the line" in str(found)


def test_gradients_of_a_model_are_looked_at_by_its_names() -> None:
    model = nn.Linear(1, 1)
    model.weight[0][0].data = model.bias[0].data = 0.0
    found = engine.find_nonfinite(lambda: engine.sqrt(engine.abs(model([1.0])[0])), wrt=model)
    assert (found.kind, found.operation) == ("backward", "sqrt")
    x = Value(0.0)  # of which nobody asks
    assert not engine.find_nonfinite(lambda: model([1.0])[0] + engine.sqrt(x), wrt=model)
    program = engine.compile(lambda t: model([t])[0] + engine.sqrt(t), in_axes=0, wrt=model)
    assert not engine.find_nonfinite(program, [0.0, 1.0])


def test_the_line_is_the_users_where_a_library_calculates() -> None:
    def deviation(x: Any) -> Any:
        return np.std(np.array(x, dtype=object))

    def ratio(x: Any) -> Any:
        return functools.singledispatch(engine.div)(x[0], x[1])

    assert engine.find_nonfinite(deviation, [2.0, 2.0]).line.part.startswith("np.std")
    found = engine.find_nonfinite(ratio, [0.0, 0.0])
    assert found.line.text == "return functools.singledispatch(engine.div)(x[0], x[1])"
    line = engine.find_nonfinite(lambda x: engine.sum([engine.log(v) for v in x]), [0.0]).line
    assert line.part == "engine.log(v)"


def test_single_precision_has_its_own_limits() -> None:
    f = lambda x: engine.log(engine.exp(x))  # noqa: E731
    program = engine.compile(f, in_axes=0, dtype=np.float32)
    found = engine.find_nonfinite(program, [1.0, 100.0])
    assert (found.example, found.operation, found.operands) == (1, "exp", (100.0,))
    assert not engine.find_nonfinite(f, 100.0)
    assert engine.find_nonfinite(f, 100.0, dtype=np.float32)


def test_a_sum_over_examples_that_overflows_is_no_examples_fault() -> None:
    program = engine.compile(lambda w, x: w * x, in_axes=(None, 0), reduce="sum")
    found = engine.find_nonfinite(program, 1.0, [1e308, 1e308, 1.0])
    assert found.kind == "lost" and found.example == 1 and "overflowed" in found.text
    total = engine.compile(lambda x: x - 1.0, in_axes=0, reduce="sum")
    assert engine.find_nonfinite(total, [1e308, 1e308]).kind == "lost"  # its gradient is finite
    mean = engine.compile(lambda w, x: w * x, in_axes=(None, 0), reduce="mean")
    assert not engine.find_nonfinite(mean, 0.5, [1e308, 1e308])


def test_the_examples_of_a_batch_keep_their_draws() -> None:
    f = lambda x: engine.log(engine.random() - 0.9) * x  # noqa: E731
    program = engine.compile(f, in_axes=0)
    for seed in range(4):
        engine.manual_seed(seed)
        numbers = program(np.ones(40))
        engine.manual_seed(seed)
        found = engine.find_nonfinite(program, np.ones(40))
        assert found.example == int(np.argmin(np.isfinite(numbers)))
        assert found.operation == "log" and found.operands[0] < 0.0


def test_keywords_static_arguments_and_paths_are_those_of_the_call() -> None:
    def f(x: Any, kind: str, *, shift: Any) -> Any:
        y = engine.log(x + shift) if kind == "log" else x
        return y if x > 0.0 else y / (x - x)

    program = engine.compile(f, in_axes=(0, None))
    assert not engine.find_nonfinite(program, [1.0, 2.0], "log", shift=1.0)
    found = engine.find_nonfinite(program, [1.0, -0.5], "log", shift=1.0)
    assert (found.example, found.operation) == (1, "div")
    assert engine.find_nonfinite(program, [1.0, 2.0], "log", shift=-2.0).operation == "log"


def test_programs_that_a_function_calls_are_called_as_they_are() -> None:
    table = engine.compile(lambda t: t * 2.0, in_axes=0)
    found = engine.find_nonfinite(lambda x: engine.log(x * table([1.0, 2.0])[1]), 0.0)
    assert (found.operation, found.operands) == ("log", (0.0,))
    inner = engine.compile(lambda t: engine.sqrt(t))
    outer = engine.find_nonfinite(engine.compile(lambda x: inner(x) * 2.0), 0.0)
    assert (outer.kind, outer.line.part) == ("backward", "engine.sqrt(t)")


@each("f, at, advice", [
    (lambda x: x**0.5, -4.0, "Keep the base away from 0, and above it"),
    (lambda x: x**300.0, -1e9, "work with its logarithm"),
    (lambda x: x**300.0, 1e9, "work with its logarithm"),
    (lambda x: engine.acosh(x), 0.5, "above 1"),
    (lambda x: engine.asin(x), 1.5, "engine.clamp(x, -0.999999, 0.999999)"),
    (lambda x: engine.exp(x) / (1.0 + engine.exp(x)), 800.0, "sigmoid(x)"),
    (lambda x: engine.log(x), 0.0, "engine.clamp(x, 1e-12)"),
    (lambda x: 1.0 / x, 0.0, "engine.where"),
])  # fmt: skip
def test_the_advice_suits_the_operation(f: Any, at: float, advice: str) -> None:
    found = engine.find_nonfinite(f, at)
    assert advice in " ".join(found.advice) and len(found.advice) == 1


def test_the_report_prints_and_shows_itself() -> None:
    found = engine.find_nonfinite(norm_by_hand, 0.0, 0.0)
    text = str(found).splitlines()
    assert text[0] == "norm_by_hand: the results are finite, and a gradient is not:"
    assert "it begins at sqrt(0): its derivative is inf; the gradient 3 that" in text[1]
    assert any("engine.norm" in line for line in text) and max(map(len, text)) <= 110
    assert f"{HERE}:" in str(found) and repr(found) == str(found)
    assert "^^^^" in str(found) and "&lt;" not in found._repr_html_()


@each("call, message", [
    (lambda: engine.find_nonfinite("log"), "lists, tuples, dicts, dataclasses and arrays"),
    (lambda: engine.find_nonfinite(Value(1.0), 2.0), r"find_nonfinite\(f, \*args\)"),
    (lambda: engine.find_nonfinite(lambda x: None, 1.0), "returned None; does it lack a return"),
    (lambda: engine.find_nonfinite(lambda x: "y", 1.0), "here numbers and Values are needed"),
    (lambda: engine.find_nonfinite(lambda: Value(1.0), wrt=[2.0]), "wrt has the Values"),
    (lambda: engine.find_nonfinite(engine.compile(abs, in_axes=0), 1.0), "is one number"),
    (lambda: engine.find_nonfinite(engine.compile(abs), 1.0, wrt=[Value(1.0)]), "those of the"),
    (lambda: engine.find_nonfinite(abs, 1.0, lines=Recorder()), "lines= is for Values"),
    (lambda: engine.find_nonfinite(abs, 1.0, dtype=np.float16), "not float16"),
])  # fmt: skip
def test_a_wrong_call_is_refused_in_a_sentence(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_plain_numbers_are_said_to_leave_no_trace() -> None:
    found = engine.find_nonfinite(lambda x: math.log(x.data + 1.0) * INF, 1.0)
    assert found.kind == "lost" and "a plain number inf among them, of which" in found.text
    both = engine.find_nonfinite(lambda x: [NAN, engine.log(x)], 0.0)
    assert (both.kind, both.operation) == ("forward", "log")
    assert engine.find_nonfinite(lambda x: [NAN, engine.log(x)], 1.0).kind == "lost"


def test_in_a_compiled_function_it_is_refused() -> None:
    with pytest.raises(engine.TraceError, match="find_nonfinite"):
        engine.compile(lambda x: x * bool(engine.find_nonfinite(x)))(1.0)


@pytest.mark.oracle
def test_pytorch_names_where_nan_appears_and_lets_inf_pass() -> None:
    torch = pytest.importorskip("torch")

    def gradient(f: Any) -> float:
        x = torch.zeros((), dtype=torch.float64, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.autograd.detect_anomaly():
                f(x).backward()
        return x.grad.item()

    with pytest.raises(RuntimeError, match="'MulBackward0' returned nan"):
        gradient(lambda x: torch.sqrt(x * x))
    assert gradient(torch.sqrt) == gradient(torch.log) == INF  # of which it says nothing
    found = engine.find_nonfinite(lambda x: engine.sqrt(x * x), 0.0)
    assert (found.kind, found.operation) == ("backward", "sqrt")


@each("seed", range(60))
def test_whatever_is_not_finite_is_led_back_to_a_birth(seed: int) -> None:
    graph = random_graphs.random_graph(seed, 0)
    rng = random.Random(seed)
    f = lambda *x: random_graphs.run(graph, random_graphs.ENGINE, x)  # noqa: E731
    for _ in range(4):
        given = [rng.choice([0.0, 1.0, -1e200, 1e200, 1e-200, x]) for x in graph.inputs]
        value, gradient = engine.value_and_grad(f, tuple(range(len(given))))(*given)
        found = engine.find_nonfinite(f, *given)
        assert bool(found) != all(map(math.isfinite, (value, *gradient))), found
        assert (found.kind == "forward") == (not math.isfinite(value))
        if found.kind == "forward":
            assert all(map(math.isfinite, found.operands))
            forward = engine.ops.TABLE[found.operation].forward
            assert not math.isfinite(forward(*found.operands))
        elif found.kind == "backward" and found.k is not None:
            assert math.isfinite(found.adjoint)
            np.testing.assert_equal(found.adjoint * found.partial, found.passed)
            assert not math.isfinite(found.passed)
