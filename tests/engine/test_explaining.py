"""`engine.explain`: what is the matter with a gradient, at which operation, on which line."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

import engine
import nn
import random_graphs
from engine import DomainError, Value
from engine.explaining import Cause, Explanation
from engine.explaining.words import _ON_NOT_FINITE, _ON_ZERO, _WHY_ZERO
from engine.ops import TABLE

explain = engine.explain


def only(explanation: Explanation, name: str) -> Cause:
    [cause] = explanation[name].causes
    return cause


def kinds(explanation: Explanation, name: str) -> list[str]:
    return [cause.kind for cause in explanation[name].causes]


def source(cause: Cause) -> tuple[str, str]:
    assert cause.line is not None and cause.line.file == __file__
    return cause.line.text, cause.line.part


# --- zero -------------------------------------------------------------------------------------


def test_units_that_are_off_are_counted_and_shown_with_their_line() -> None:
    def network(w: list[Any], x: list[Any]) -> Any:
        sums = [engine.dot(row, x) for row in w]
        hidden = [engine.relu(s) for s in sums]
        return engine.sum(hidden)

    explanation = explain(network, [[-1.0, -2.0], [1.0, 1.0], [-3.0, 0.0]], [1.0, 0.5])
    finding = explanation["w[0][1]"]
    assert (finding.status, len(finding.inputs), finding.total) == ("zero", 4, 6)
    [cause] = finding.causes
    assert (cause.kind, cause.operation, cause.count) == ("flat", "relu", 2)
    assert source(cause) == ("hidden = [engine.relu(s) for s in sums]", "engine.relu(s)")
    assert explanation["w[1][0]"].status == explanation["x"].status == "fine"
    assert "4 of 6 numbers of w" in str(explanation) and "LeakyReLU" in str(explanation)


@pytest.mark.parametrize(
    ("f", "operation", "reason"),
    [
        (lambda x: engine.sigmoid(x * 900.0), "sigmoid", "saturated"),
        (lambda x: (x * 900.0).tanh(), "tanh", "saturated"),
        (lambda x: engine.where(x > 5, x, 0.0), "where", "the other arm was chosen"),
        (lambda x: x.floor() + 1.0, "floor", "flat between its jumps"),
        (lambda x: x * 0.0, "mul", "its other factor on, and that is 0"),
        (lambda x: x * (x - 1.0).relu(), "mul", "and that is 0, the result of relu(0)"),
        (lambda x: engine.maximum(x, 3.0), "maximum", "the other operand, 3, is larger"),
        (lambda x: engine.clamp(x, 2.0, 3.0), "clamp_min", "outside of the bound 2"),
        (lambda x: (x - 1.0) ** 2, "square", "its graph is level there"),
        (lambda x: (x**2).detach(), "detach", "on purpose"),
    ],
)
def test_the_operation_in_which_a_gradient_died_is_named_with_the_reason(
    f: Callable[[Any], Any], operation: str, reason: str
) -> None:
    finding = explain(f, 1.0)["x"]
    [found] = [cause for cause in finding.causes if cause.operation == operation]
    assert finding.status == "zero" and reason in found.text
    assert len(finding.advice) == len({cause.operation for cause in finding.causes})


def test_no_grad_is_named_like_a_detach() -> None:
    def f(x: Any) -> Any:
        with engine.no_grad():
            y = x * 2.0
        return y * 3.0

    cause = only(explain(f, 1.0), "x")
    assert (cause.kind, cause.operation) == ("cut", "no_grad")
    assert source(cause)[1] == "x * 2.0"


def test_contributions_that_cancel_to_0_are_shown() -> None:
    cause = only(explain(lambda x: 3.0 * x - x * 3.0, 2.0), "x")
    assert cause.kind == "cancelled" and cause.text.endswith("cancel to 0: 3, -3")


def test_underflow_is_told_from_a_derivative_of_0() -> None:
    cause = only(explain(lambda x: (x * 1e-200) * 1e-200, 1.0), "x")
    assert (cause.kind, cause.operation) == ("underflow", "mul")


def test_an_input_that_is_read_as_a_number_says_where() -> None:
    def f(x: Any, y: Any) -> Any:
        scaled = y * 2.0
        return x * math.exp(scaled.data)

    explanation = explain(f, 1.0, 2.0)
    cause = only(explanation, "y")
    assert cause.kind == "read" and source(cause)[1] == "scaled.data"
    assert explanation["x"].status == "fine"


def test_an_input_that_is_only_compared_says_where() -> None:
    def f(x: Any) -> Any:
        return 1.0 if x > 0.5 else 2.0

    explanation = explain(f, 1.0)
    assert explanation.output == 1.0 and explanation["x"].gradients == (0.0,)
    cause = only(explanation, "x")
    assert cause.kind == "compared" and source(cause)[1] == "x > 0.5"


def test_an_input_whose_result_is_dropped_is_told_from_one_not_used() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        product = x * y
        del product
        return y + 1.0

    explanation = explain(f, 1.0, 2.0, 3.0)
    assert source(only(explanation, "x"))[1] == "x * y"
    assert "no operation uses it" in only(explanation, "z").text


# --- inf and nan ------------------------------------------------------------------------------


def test_the_first_number_that_is_not_finite_is_found_forwards() -> None:
    def cross_entropy(p: list[Any]) -> Any:
        return -engine.sum(x.log() for x in p)

    explanation = explain(cross_entropy, [0.5, 0.0])
    forward, bad, good = explanation.findings
    assert (forward.status, bad.status, good.status) == ("forward", "inf", "fine")
    [born] = forward.causes
    assert (born.kind, born.operation, born.operands) == ("born", "log", (0.0,))
    assert born.text == "log(p[1] = 0) is -inf" and source(born)[1] == "x.log()"
    assert bad.inputs == ("p[1]",) and bad.gradients == (-math.inf,)
    assert "clamp" in forward.advice[0]


def test_a_slope_that_is_infinite_is_found_backwards() -> None:
    explanation = explain(lambda x: (x * 2.0).sqrt() + 1.0, 0.0)
    assert [finding.status for finding in explanation.findings] == ["inf"]
    cause = only(explanation, "x")
    assert (cause.kind, cause.operation) == ("partial", "sqrt")
    assert "sqrt(x + 1e-12)" in explanation["x"].advice[0]


def test_overflow_on_the_way_back_is_told_from_an_infinite_slope() -> None:
    cause = only(explain(lambda x: (x * 1e200) * 1e200, 1e-300), "x")
    assert (cause.kind, cause.operation) == ("overflow", "mul")


def test_the_arm_of_where_not_taken_is_said_to_spoil_nothing() -> None:
    explanation = explain(lambda x: engine.where(x > 0, (x - 0.0).sqrt(), 0.0), 0.0)
    assert kinds(explanation, "x") == ["flat", "absorbed"]
    explanation = explain(lambda x: engine.where(x > 0, x.log(), 0.0), -1.0)
    assert [cause.kind for cause in explanation.findings[0].causes] == ["born", "absorbed"]
    assert explanation["x"].status == "zero" and explanation.output == 0.0


def test_0_times_inf_is_said_to_be_nan() -> None:
    explanation = explain(lambda x: (x * x).sqrt(), 0.0)
    assert explanation["x"].status == "nan"
    assert "it begins at sqrt(0): its derivative is inf" in str(explanation)
    cause = only(explain(lambda x: x.exp().log(), 1000.0), "x")
    assert "its derivative is inf, because inf came in or out there" in cause.text
    assert cause.text.endswith("; times the gradient 0 that arrives there, it is nan")


def test_an_input_that_is_nan_itself_is_named() -> None:
    explanation = explain(lambda x, y: x * y, math.nan, 2.0)
    [given] = explanation.findings[0].causes
    assert (given.kind, given.text) == ("given", "x was nan to begin with")
    assert explanation["y"].status == "nan" and explanation["x"].status == "fine"


# --- sizes ------------------------------------------------------------------------------------


def power(h: Any, w: Any) -> Any:
    for _ in range(50):
        h = h * w
    return h


@pytest.mark.parametrize(("w", "status"), [(1.8, "huge"), (0.5, "tiny")])
def test_a_chain_that_explodes_or_vanishes_is_folded_into_one_factor(w: float, status: str) -> None:
    finding = explain(power, 1.0, w)["h"]
    path, factor = finding.causes
    assert finding.status == status
    assert (path.kind, path.count, path.factor) == ("path", 50, pytest.approx(w**50))
    assert (factor.kind, factor.count, factor.factor) == ("factor", 50, pytest.approx(w**50))
    assert source(factor) == ("h = h * w", "h * w")
    assert f"× {w:g}, 50 times" in factor.text and "carries 100% of it" in path.text


def test_growth_by_many_paths_is_told_from_growth_by_factors() -> None:
    def doubled(x: Any) -> Any:
        for _ in range(50):
            x = x + x
        return x

    path, *gathered = explain(doubled, 1.0)["x"].causes
    assert path.factor == 1.0 and "very many paths" in path.text
    assert [cause.kind for cause in gathered] == ["gathered"]
    assert gathered[0].factor == pytest.approx(2.0**49)


def test_one_factor_among_many_operations_is_singled_out() -> None:
    explanation = explain(lambda x: ((x + 1.0).sin() * 1e6 + 2.0).tanh() * 1.0 + 1e9 * x.sin(), 0.3)
    factors = [cause for cause in explanation["x"].causes if cause.kind == "factor"]
    assert [cause.operation for cause in factors] == ["mul"]
    assert "1e+09" in factors[0].text


def test_parts_that_cancel_nearly_are_said_to_lose_digits() -> None:
    finding = explain(lambda x: 1e9 * x - 1.000000000001e9 * x, 2.0)["x"]
    assert finding.status == "fine"
    [cause] = finding.causes
    assert cause.kind == "cancelled" and "about 12 of 16 digits" in cause.text


def test_a_saturated_sigmoid_makes_a_gradient_tiny() -> None:
    finding = explain(lambda w: engine.sigmoid(w * 1.0), 30.0)["w"]
    assert [cause.operation for cause in finding.causes] == ["", "sigmoid"]
    assert "BCEWithLogitsLoss" in finding.advice[0]


def test_the_advice_on_a_steep_power_is_about_its_base() -> None:
    [advice] = explain(lambda x: x**50, 10.0)["x"].advice
    assert advice.startswith("A high power of a number above 1 is steep: scale the base, 10 here")
    [advice] = explain(lambda x: x**0.5, 1e-30)["x"].advice
    assert advice.startswith("Keep the base away from 0")


def test_what_is_huge_and_tiny_can_be_said() -> None:
    assert explain(lambda x: 100.0 * x, 1.0)["x"].status == "fine"
    assert explain(lambda x: 100.0 * x, 1.0, huge=10.0)["x"].status == "huge"
    assert explain(lambda x: 100.0 * x, 1.0, tiny=1e3)["x"].status == "tiny"


# --- kinks ------------------------------------------------------------------------------------


def test_kinks_met_exactly_are_said_with_the_convention() -> None:
    def f(x: Any, y: Any) -> Any:
        return x.relu() + abs(x) * 2.0 + engine.maximum(x, y) + (y - 0.5).relu()

    explanation = explain(f, 0.0, 0.0)
    assert explanation.findings[-1].status == "kink"
    operations = {cause.operation for cause in explanation.findings[-1].causes}
    assert operations == {"relu", "abs", "maximum"}
    assert "the derivative at 0 is 0" in explanation.findings[-1].causes[0].text


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: engine.round(x) + x, 0.5),
        (lambda x: engine.floor(x) + x, 2.0),
        (lambda x: x % 1.0, 3.0),
        (lambda x: x // 2.0 + x, 4.0),
        (lambda x: engine.leaky_relu(x), 0.0),
        (lambda x: engine.hypot(x, 0.0), 0.0),
    ],
    ids=["round", "floor", "remainder", "floor_divide", "leaky_relu", "hypot"],
)
def test_a_kink_of_any_row_is_told(f: Any, x: float) -> None:
    assert explain(f, x).findings[-1].status == "kink"
    assert explain(f, x + 0.25).findings[-1].status != "kink"


def test_a_branch_decided_by_a_tie_is_a_kink() -> None:
    def f(x: Any) -> Any:
        return x * 2.0 if x > 1.0 else x

    [*_, kink] = explain(f, 1.0).findings
    assert kink.status == "kink" and source(kink.causes[0])[1] == "x > 1.0"
    assert explain(f, 1.5).healthy and len(explain(f, 1.5).findings) == 1


# --- models, names, structures ----------------------------------------------------------------


def model_and_loss() -> tuple[nn.Module, Callable[[], Any]]:
    rng = random.Random(0)
    model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.ReLU(), nn.Linear(4, 1, rng=rng))
    return model, lambda: nn.MSELoss()(model([1.0, 0.0, 2.0]), [1.0])


def test_a_models_parameters_are_grouped_by_name() -> None:
    model, loss = model_and_loss()
    explanation = explain(loss, wrt=model)
    assert {finding.group for finding in explanation.findings} == {
        *("0.weight", "0.bias", "2.weight", "2.bias"),
    }
    finding = explanation["0.weight[0][1]"]
    assert finding.status == "zero" and {cause.scope for cause in finding.causes} >= {
        "Sequential/Linear"
    }
    values = dict(zip(explanation.gradients, nn.module.values_of(model.parameters()), strict=True))
    root = loss()
    assert explanation.gradients == {name: engine.gradients(root, v) for name, v in values.items()}


def test_arguments_keep_their_structure_and_give_names() -> None:
    def f(p: dict[str, Any], kind: str, *rest: Any) -> Any:
        assert kind == "sum" and isinstance(p["w"], list)
        return p["w"][0] * p["b"] + p["w"][1] + rest[0]

    explanation = explain(f, {"w": [2.0, 3.0], "b": 5.0}, "sum", 7)
    assert explanation.gradients == {
        "p['w'][0]": 5.0,
        "p['w'][1]": 1.0,
        "p['b']": 2.0,
        "rest[0]": 1.0,
    }


def test_values_given_are_used_as_they_are_and_keep_their_labels() -> None:
    w = Value(3.0, label="weight") * 1.0
    v = Value(2.0, label="v")
    explanation = explain(lambda x: x * x + v, w)
    assert explanation.gradients == {"x": 6.0}
    assert explain(lambda: w * v, wrt=[v, w]).gradients == {"v": 3.0, "wrt[1]": 2.0}
    assert (v.grad, w.grad) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_gradients_are_those_of_backward(seed: int) -> None:
    graph = random_graphs.random_graph(seed, 0)
    explanation = explain(
        lambda *inputs: random_graphs.run(graph, random_graphs.ENGINE, inputs), *graph.inputs
    )
    actual = [explanation.output, *explanation.gradients.values()]
    expected = random_graphs.engine_figures(graph)
    assert random_graphs.disagreement(actual, expected, random_graphs.TOLERANCE) == ""


def test_inside_of_a_checkpoint_lines_are_found_too() -> None:
    def f(x: Any) -> Any:
        return engine.checkpoint(lambda y: (y * 2.0).relu())(x)

    assert only(explain(f, -1.0), "x").operation == "relu"


def test_a_custom_operation_is_named() -> None:
    triple = engine.custom_op("triple", lambda x: 3 * x, [lambda x, out: 0.0])
    cause = only(explain(lambda x: triple(x), 1.0), "x")
    assert (cause.operation, cause.kind) == ("triple", "flat")


def test_long_chains_need_no_recursion() -> None:
    def long(x: Any) -> Any:
        for _ in range(5000):
            x = x * 1.01
        return x

    assert explain(long, 1.0)["x"].causes[1].count == 5000


# --- how it is shown --------------------------------------------------------------------------


def test_the_text_points_at_the_expression() -> None:
    lines = str(explain(lambda x: (x - 2.0).relu() * 3.0, 1.0)).splitlines()
    at = next(i for i, line in enumerate(lines) if "test_explaining.py:" in line)
    start = lines[at + 1].index("^")
    assert lines[at][start : len(lines[at + 1])] == "(x - 2.0).relu()"


def test_what_inputs_have_in_common_is_told_once() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return (x + y).relu() + (z - 2.0).relu()

    text = str(explain(f, -1.0, 0.5, 1.0))
    assert text.count("relu(-0.5) has the derivative 0") == 1 and "same reason as x" in text
    assert text.count("LeakyReLU") == 1


def test_a_few_tiny_gradients_among_many_are_fine() -> None:
    scales = [1e-9, *[1.0] * 29]
    explanation = explain(lambda w: engine.dot(w, scales), [1.0] * 30)
    assert explanation.healthy and len(explanation["w"].inputs) == 30
    assert explain(lambda w: engine.dot(w, scales[:5]), [1.0] * 5)["w[0]"].status == "tiny"


def test_a_chain_of_sigmoids_is_not_called_saturated() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = engine.sigmoid(x)
        return x

    finding = explain(f, 0.5)["x"]
    assert finding.causes[1].count == 20 and "nn.ReLU for sigmoid" in finding.advice[0]


def test_in_a_notebook_markup_in_the_source_is_harmless() -> None:
    def f(x: Any) -> Any:
        return (x * 0.0) if x < 3 else x  # "<script>"

    text = explain(f, 1.0)._repr_html_()
    assert "&lt;script&gt;" in text and "<script>" not in text


def test_a_name_that_does_not_exist_is_a_key_error_with_those_that_do() -> None:
    with pytest.raises(KeyError, match="no input 'z'; there are x, y"):
        explain(lambda x, y: x * y, 1.0, 2.0)["z"]


def test_words_are_about_operations_that_exist() -> None:
    named = {*_WHY_ZERO, *_ON_ZERO, *_ON_NOT_FINITE}
    assert named - set(TABLE) == {"no_grad"}


# --- errors, and leaving no trace -------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain(Value(1.0)), "explain takes a function, which it runs, not a Value"),
        (lambda: explain(lambda: Value(1.0)), "needs inputs whose gradients are asked"),
        (lambda: explain(lambda x: None, 1.0), "lack a return statement"),
        (lambda: explain(lambda x: [x, x], 1.0), "needs one number as result"),
        (lambda: explain(lambda x: x, 1.0, wrt=[2.0]), "wrt[0] is 2.0; numbers are given as"),
        (lambda: explain(lambda x: x, 1.0, wrt=nn.ReLU()), "a module without parameters"),
    ],
)
def test_a_wrong_call_is_a_type_error_that_says_what_to_write(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(TypeError) as raised:
        call()
    assert message in str(raised.value)


def test_what_the_function_raises_comes_through_and_recording_ends() -> None:
    def f(x: Any) -> Any:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        explain(f, 1.0)
    assert engine.modes.state.recorder is None
    assert engine.modes.watched == engine.modes.tracing == 0


def test_the_modes_around_a_call_do_not_change_it() -> None:
    with engine.no_grad(), engine.errstate("raise"):
        explanation = explain(lambda x: x.log(), 0.0)
        with pytest.raises(DomainError):
            engine.log(0.0)
    assert explanation["x"].status == "inf"


def test_in_a_compiled_function_it_is_refused() -> None:
    program = engine.compile(lambda x: explain(lambda y: y, x)["y"].gradients[0])
    with pytest.raises(engine.TraceError, match=r"outside of engine\.compile"):
        program(1.0)
