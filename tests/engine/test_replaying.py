"""`exact` and `accuracy`: recorded graphs on fractions, on many digits, and on intervals."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import random
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import engine
import nn
import random_graphs
from engine import cos, exp, log, sqrt, where
from engine.errors import DomainError
from engine.ops import TABLE
from exact_rows import BY_MPMATH

mpmath = pytest.importorskip("mpmath")
HERE = "test_replaying.py"


@pytest.fixture
def flint() -> Any:
    return pytest.importorskip("flint")


# --- fractions --------------------------------------------------------------------------------


def rational(seed: int, xs: Any) -> Any:
    """A random rational function without poles, of any numbers that have operators."""
    rng = random.Random(seed)
    nodes = list(xs)
    for _ in range(8):
        a, b = rng.choice(nodes), rng.choice(nodes)
        made: list[Callable[[], Any]] = [
            lambda a=a, b=b: a + b * rng.randint(1, 9),
            lambda a=a, b=b: a * b - a,
            lambda a=a, b=b: a / (b * b + 1),
            lambda a=a: -a / 3,
            lambda a=a: a**3,
            lambda a=a, b=b: (a * a + b * b + 2) ** -2,
        ]
        nodes.append(rng.choice(made)())
    return nodes[-1] + nodes[-2]


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(40))
def test_fractions_are_those_of_sympy(seed: int) -> None:
    sympy = pytest.importorskip("sympy")
    rng = random.Random(f"point {seed}")
    point = [Fraction(rng.randint(-9, 9), rng.randint(1, 9)) for _ in range(3)]
    symbols = sympy.symbols("x y z")
    formula = rational(seed, symbols)
    at = {
        s: sympy.Rational(x.numerator, x.denominator) for s, x in zip(symbols, point, strict=True)
    }
    expected = [formula, *(sympy.diff(formula, s) for s in symbols)]
    found = engine.exact(lambda xs: rational(seed, xs), point)
    assert [sympy.Rational(str(x)) for x in (found.value, *found.gradient)] == [
        sympy.sympify(e).subs(at) for e in expected
    ]


def test_floats_are_the_doubles_they_are_and_others_what_they_say() -> None:
    def tenfold(x: Any) -> Any:
        return 10 * x

    assert engine.exact(tenfold, 0.1).value == 10 * Fraction(0.1) != 1
    for tenth in ("0.1", "1/10", Decimal("0.1"), Fraction(1, 10)):
        assert engine.exact(tenfold, tenth).value == 1
    assert engine.exact(tenfold, mpmath.mpf(0.1)).value == 10 * Fraction(0.1)
    assert engine.exact(tenfold, engine.Value(0.1)).value == 10 * Fraction(0.1)
    assert engine.exact(tenfold, 10**20 + 1).value == 10**21 + 10


def test_numbers_of_numpy_are_what_they_are() -> None:
    def thrice(x: Any) -> Any:
        return x * 3

    for x in (np.float32(0.1), np.float64(0.1), np.int64(2**62), np.uint8(200)):
        assert engine.exact(thrice, x).value == 3 * Fraction(x.item())


def test_gradients_have_the_structure_of_the_arguments() -> None:
    found = engine.exact(lambda p: p["w"][0] ** 2 * p["b"], {"w": ["1/3", 5.0], "b": 2})
    assert found.value == Fraction(2, 9)
    assert found.gradient == {"w": [Fraction(4, 3), 0], "b": Fraction(1, 9)}
    assert engine.exact(lambda x, how, y: x / y, 1.0, "up", 3.0).gradient == (
        Fraction(1, 3),
        None,
        Fraction(-1, 9),
    )
    array = engine.exact(lambda a: (a * a).sum() / 3, np.array([[1.0, 2.0]])).gradient
    assert array.shape == (1, 2)
    assert array.tolist() == [[Fraction(2, 3), Fraction(4, 3)]]
    several = engine.exact(lambda x: {"a": x / 3, "b": [x * x]}, 3.0)
    assert several.value == {"a": 1, "b": [9]}
    assert several.gradient == {"a": Fraction(1, 3), "b": [6]}
    assert several.figures[-1].name == "gradient x of value['b'][0]"


def test_numbers_in_records_and_arrays_of_objects_are_taken_as_they_are() -> None:
    point = Point(Decimal("0.1"), "1/3")
    assert engine.exact(lambda p: p.x * p.y, point).gradient == Point(
        Fraction(1, 3), Fraction(1, 10)
    )
    pair = np.array([Decimal("0.1"), Fraction(1, 3)], object)
    assert engine.exact(lambda p: p[0] * p[1], pair).value == Fraction(1, 30)
    assert "x is inf, and exact" in raised(ValueError, lambda x: x, Decimal("inf"))


def test_no_numbers_have_no_gradients() -> None:
    found = engine.exact(lambda xs: [2 * x for x in xs], [])
    assert (found.value, found.gradient, found.digits) == ([], [], math.inf)


def test_parameters_get_their_gradients_by_wrt() -> None:
    model = nn.MLP(2, [3, 1], rng=random.Random(0))
    found = engine.exact(lambda x: model(x) ** 2 / 3, [0.5, -1.0], wrt=model)
    loss = model([0.5, -1.0]) ** 2 / 3
    loss.backward()
    assert float(found.value) == pytest.approx(loss.data, rel=1e-15)
    for exactly, parameter in zip(found.gradient, model.parameters(), strict=True):
        assert isinstance(exactly, Fraction)
        assert float(exactly) == pytest.approx(parameter.grad, rel=1e-14)
    assert found.figures[1].name == "gradient layers.0.neurons.0.w[0]"


def test_transforms_and_loops_inside_are_exact() -> None:
    def hessian(x: Any) -> Any:
        return engine.hessian(lambda z: z[0] ** 3 * z[1])(x)

    assert engine.exact(hessian, [2, "1/3"]).value == [[4, 12], [12, 0]]
    assert engine.exact(lambda x: engine.grad(lambda z: z**3 / x)(x), "1/3").gradient == 3
    compiled = engine.compile(lambda x: x / 3)
    checkpointed = engine.checkpoint(lambda x: x / 3)
    for f in (compiled, checkpointed):
        assert engine.exact(lambda x, f=f: f(x) + x, 1.0).value == Fraction(4, 3)

    def halved(x: Any) -> Any:
        return engine.while_loop(lambda c: c > 1, lambda c: c / 3, x)

    assert engine.exact(halved, 10.0).value == Fraction(10, 27)


def test_what_is_cut_off_is_exact_and_gets_nothing() -> None:
    def f(x: Any) -> Any:
        with engine.no_grad():
            third = x / 3
        return x * third + (x / 7).detach()

    found = engine.exact(f, 1.0)
    assert found.value == Fraction(1, 3) + Fraction(1, 7)
    assert found.gradient == Fraction(1, 3)


def test_arms_that_are_not_taken_do_no_harm() -> None:
    found = engine.exact(lambda x: where(x > 0, exp(x) + sqrt(x), x / 3), -1.0)
    assert (found.value, found.gradient) == (Fraction(-1, 3), Fraction(1, 3))
    assert engine.exact(lambda x: engine.minimum(math.inf, x, x * x), 0.25).value == Fraction(1, 16)


@dataclasses.dataclass
class Point:
    x: Any
    y: Any


KINKS = [
    (op.name, xs)
    for op in TABLE.values()
    for xs in itertools.product((-1.0, 0.0, 0.5, 1.0, 2.0), repeat=op.arity)
    if op.has_kink(xs) and op.name not in ("hypot", "direction", "atan2", "elu")
]


@pytest.mark.parametrize("numbers", ["fraction", "interval"])
def test_kinks_have_the_derivative_of_the_row(numbers: Any) -> None:
    if numbers == "interval":
        pytest.importorskip("flint")
    for name, xs in KINKS:
        if (name, numbers) == ("i0e", "fraction"):  # which has no form there
            continue
        f = getattr(engine, name)
        found = engine.exact(f, *xs, numbers=numbers)
        expected = engine.grad(f, tuple(range(len(xs))))(*xs)
        gradient = found.gradient if len(xs) > 1 else (found.gradient,)
        assert float(found.value) == f(*xs), name
        assert tuple(map(float, gradient)) == expected, (name, xs)


def test_fractions_of_many_digits_are_shown_rounded() -> None:
    found = engine.exact(lambda x: x**2000, 0.9, digits=20)
    assert found.value == Fraction(0.9) ** 2000
    assert str(found).startswith("value = about 3.0550539125986596") and len(str(found)) < 300


def test_roots_of_squares_are_fractions() -> None:
    found = engine.exact(lambda x, y: engine.hypot(x, y), 3.0, 4.0)
    assert (found.value, found.gradient) == (5, (Fraction(3, 5), Fraction(4, 5)))


# --- what is refused --------------------------------------------------------------------------


def raised(kind: type[Exception], f: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        engine.exact(f, *args, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_has_no_form_names_row_and_line_and_what_to_take() -> None:
    text = raised(DomainError, lambda x: 1.0 + exp(x), 1.0)
    assert text.startswith("exp(1) has no exact form over fractions, at ") and HERE in text
    assert text.endswith('take numbers="mpmath" or numbers="interval"')
    assert "pow(2, 0.5)" in raised(DomainError, lambda x: x**0.5, 2.0)
    assert "pow(1.1, 1e+09)" in raised(DomainError, lambda x: x**1e9, 1.1)
    assert "sqrt(2)" in raised(DomainError, lambda x: sqrt(x), 2.0)
    assert "tanh(1) has" in raised(DomainError, lambda x: engine.less(x.tanh(), 0.5), 1.0)
    double = engine.custom_op("double", lambda x: 2 * x, [lambda x, out: 2.0])
    assert "double(1) is known on floats alone" in raised(DomainError, double, 1.0)


@pytest.mark.parametrize("numbers", ["fraction", "mpmath"])
def test_what_is_not_finite_names_row_and_line(numbers: Any) -> None:
    options = {"numbers": numbers}
    assert "div(1, 0) is not finite, at " in raised(DomainError, lambda x: 1 / x, 0.0, **options)
    slope = raised(DomainError, lambda x: sqrt(x) + x, 0.0, **options)
    assert slope.startswith("the derivative of sqrt(0) is not finite, at ") and HERE in slope


def test_numbers_that_outgrow_all_bounds_are_refused() -> None:
    def squared(x: Any) -> Any:
        for _ in range(60):
            x = x * x
        return x

    text = raised(DomainError, squared, "3/2")
    assert "has too many digits as a fraction, at " in text and "mpmath" in text
    for numbers in ("mpmath", "interval"):
        if numbers == "interval":
            pytest.importorskip("flint")
        text = raised(DomainError, lambda x: exp(exp(exp(x))), 1000.0, numbers=numbers)
        assert "exp(inf) is not finite" in text


def test_bad_arguments_are_named() -> None:
    assert "terms[1] is nan" in raised(ValueError, engine.sum, [1.0, math.nan])
    assert "x is inf" in raised(ValueError, lambda x: x, mpmath.inf)
    assert "returned None" in raised(TypeError, lambda x: None, 1.0)
    assert "not a str: 'one'" in raised(TypeError, lambda x: ["one"], 1.0)
    assert "missing a required argument" in raised(TypeError, lambda x, y: x, 1.0)
    assert "takes a function" in raised(TypeError, engine.Value(1.0))
    assert 'not "float"' in raised(ValueError, abs, 1.0, numbers="float").replace("'", '"')
    assert "1 or more" in raised(ValueError, abs, 1.0, digits=0)
    for draw in (engine.random, random.random):
        assert "another result" in raised(ValueError, lambda x, draw=draw: x * draw(), 1.0)
    with pytest.raises(TypeError, match="gives 2; look"):
        engine.accuracy(lambda x: [x, x], 1.0)


@pytest.mark.parametrize("numbers", ["mpmath", "interval"])
def test_a_missing_package_is_named(numbers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mpmath", "flint"):
        monkeypatch.setitem(sys.modules, name, None)
    text = raised(ImportError, abs, 1.0, numbers=numbers)
    assert "pip install 'gradloom[exact]'" in text


def test_a_branch_that_comes_out_otherwise_is_said() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        return a / 3 if a + b > c else b

    with pytest.warns(RuntimeWarning, match=rf"0.3 < 0.30000000000000004 .*{HERE}") as caught:
        found = engine.exact(f, "0.1", "0.2", "0.3")
    assert len(caught) == 1
    assert found.value == Fraction(1, 30)  # of the branch that was recorded
    assert engine.exact(f, "0.1", "0.2", "0.2").value == Fraction(1, 30)
    (note,) = engine.accuracy(f, "0.1", "0.2", "0.3").notes
    assert HERE in note


def test_a_rounded_number_that_is_read_is_said() -> None:
    def f(x: Any) -> Any:
        third = x / 3
        return x * third.data

    with pytest.warns(RuntimeWarning, match=rf"0.3333333333333333 .* was read, at .*{HERE}"):
        assert engine.exact(f, 1.0).value == Fraction(1 / 3)
    assert engine.exact(lambda x: x * x.data, 0.1).value == Fraction(0.1) ** 2  # that is right


# --- many digits and intervals ----------------------------------------------------------------


def test_numbers_are_right_to_the_digits_asked_for() -> None:
    found = engine.exact(lambda x: exp(x) * x.sin(), "0.1", numbers="mpmath", digits=60)
    with mpmath.workdps(80):
        x = mpmath.mpf("0.1")
        value = mpmath.exp(x) * mpmath.sin(x)
        slope = value + mpmath.exp(x) * mpmath.cos(x)
        assert abs(found.value / value - 1) < mpmath.mpf(10) ** -60
        assert abs(found.gradient / slope - 1) < mpmath.mpf(10) ** -60
    assert found.digits > 14
    assert [node.name for node in found.nodes] == ["exp", "sin", "mul"]
    assert all(isinstance(figure.number, mpmath.mpf) for figure in (*found.figures, *found.nodes))
    assert all(node.line is not None and HERE in node.line.file for node in found.nodes)


def test_nothing_leaves_the_range() -> None:
    for numbers in ("mpmath", "fraction"):
        squared = engine.exact(lambda x: x**2 / 10**300, 1e200, numbers=numbers)
        assert float(squared.value) == pytest.approx(1e100)
    found = engine.exact(lambda x: log(exp(x)), 1000.0, numbers="mpmath")
    assert found.value == 1000
    assert found.digits == 0.0  # float64 says inf
    assert engine.exact(engine.exp2, 2000.0, numbers="mpmath").value == 2**2000


def test_a_bound_on_the_error_is_one(flint: Any) -> None:
    for seed in range(20):
        point = [0.1 * (seed % 7) - 0.3, 0.7, -1.1]
        exactly = engine.exact(lambda xs, seed=seed: rational(seed, xs), point)
        for numbers in ("interval", "mpmath"):
            found = engine.exact(lambda xs, seed=seed: rational(seed, xs), point, numbers=numbers)
            pairs = zip(
                [*exactly.figures, *exactly.nodes], [*found.figures, *found.nodes], strict=True
            )
            for known, figure in pairs:
                error = abs(Fraction(known.approximate) - known.number)
                assert (
                    error
                    <= Fraction(figure.error)
                    <= error * (1 + Fraction(1, 10**9)) + (Fraction(1, 10**40))
                )


def outside(flint: Any, seed: int) -> str | None:
    """What of a random graph is not in its intervals, where the truth is mpmath's; None at a tie.

    A tie is a comparison of what is the same number, calculated in two ways.
    """
    graph = random_graphs.random_graph(seed, 0)
    try:
        found = engine.exact(
            lambda xs: random_graphs.run(graph, random_graphs.ENGINE, xs),
            list(graph.inputs),
            numbers="interval",
            digits=20,
        )
    except DomainError as error:
        assert "is not decided" in str(error)
        return None
    truth = random_graphs.extended_figures(graph, 120)  # whose differences have 50 digits
    with flint.ctx.workdps(130):
        slack = 1e-45 * max(1.0, *(float(abs(x)) for x in truth))
        for ball, x in zip([found.value, *found.gradient], truth, strict=True):
            if not ball.overlaps(flint.arb(mpmath.nstr(x, 120), slack)) or ball.rad() > 1e-15:
                return f"seed {seed}: {x} is not in {ball.str(40)}"
    return ""


def check_random_graphs(flint: Any, count: int) -> None:
    found = [outside(flint, seed) for seed in range(count)]
    assert [complaint for complaint in found if complaint] == []
    assert found.count(None) <= 0.01 * count


def test_intervals_hold_the_truth_in_random_graphs(flint: Any) -> None:
    check_random_graphs(flint, 120)


@pytest.mark.slow
def test_intervals_hold_the_truth_in_ten_thousand_random_graphs(flint: Any) -> None:
    check_random_graphs(flint, 10_000)


def test_intervals_as_arguments_hold_what_is_inside(flint: Any) -> None:
    def f(x: Any) -> Any:
        return x.softplus() * x.sigmoid() + x**2

    found = engine.exact(f, flint.arb(0, 0.5), numbers="interval")
    for inside in (-0.5, -0.1, 0.0, 0.3, 0.5):
        value, slope = engine.value_and_grad(f)(inside)
        assert found.value.contains(flint.arb(value, 1e-12))
        assert found.gradient.contains(flint.arb(slope, 1e-12))
    assert "is an interval" in raised(ValueError, f, flint.arb(0, 1), numbers="mpmath")
    root = engine.exact(lambda x: engine.cbrt(x).detach(), flint.arb(-1, 8), numbers="interval")
    assert root.value.contains(flint.arb(-2.07)) and root.value.contains(flint.arb(1.91))
    assert engine.exact(lambda x: engine.cbrt(x).detach(), 0.0, numbers="interval").value == 0


def test_an_interval_over_a_kink_or_a_branch_is_refused(flint: Any) -> None:
    options: dict[str, Any] = {"numbers": "interval"}
    for f in (engine.relu, abs, engine.floor, engine.sign, lambda x: engine.maximum(x, 0.1)):
        text = raised(DomainError, lambda x, f=f: f(x) + x, flint.arb(0, 1), **options)
        assert "is not decided: the interval reaches over a kink" in text and HERE in text
    for f in (lambda x: sqrt(x), lambda x: log(x), lambda x: 1 / x):
        assert "not decided" in raised(DomainError, f, flint.arb(0, 1), **options)
    # A rounded number that should be the tie: no precision tells on which side it is.
    tie = raised(DomainError, lambda x: engine.relu(sqrt(x) ** 2 - 2), 2.0, **options)
    assert "relu(4.44089e-16)" in tie
    branch = raised(DomainError, lambda x: x if sqrt(x) ** 2 > 2 else -x, 2.0, **options)
    assert branch.startswith("2 < 2.0000000000000004 is not decided") and HERE in branch


# --- accuracy ---------------------------------------------------------------------------------


def one_minus_cos(x: Any) -> Any:
    c = cos(x)
    return 1 - c


def log_of_one_plus(x: Any) -> Any:
    y = 1 + x
    return log(y)


def quadratic(a: Any, b: Any, c: Any) -> Any:
    root = sqrt(b * b - 4 * a * c)
    numerator = -b + root
    return numerator / (2 * a)


def variance(xs: Any) -> Any:
    mean = engine.mean(xs)
    squares = engine.mean([x * x for x in xs])
    return squares - mean**2


def needle(a: Any, b: Any, c: Any) -> Any:
    s = (a + b + c) / 2
    left = s - a
    return sqrt(s * left * (s - b) * (s - c))


def muller(y: Any, z: Any) -> Any:
    for _ in range(12):
        y, z = z, 108 - (815 - 1500 / y) / z
    return z


def polynomial(x: Any) -> Any:
    left = x**6 - 6 * x**5 + 15 * x**4 - 20 * x**3
    return left + (15 * x**2 - 6 * x + 1)


EXAMPLES: list[tuple[Any, tuple[Any, ...], str, str]] = [
    (one_minus_cos, (1e-4,), "return 1 - c", "2 * sin(x / 2)**2"),
    (log_of_one_plus, (1e-9,), "return log(y)", "log1p(x)"),
    (quadratic, (1.0, 1e5, 1.0), "numerator = -b + root", "q / (p - sqrt"),
    (variance, ([1e6, 1e6 + 1, 1e6 + 2],), "return squares - mean**2", "mean((x - mean(x))**2)"),
    (needle, (1.1, 0.7, 0.4 + 1e-12), "left = s - a", "without a difference"),
    (muller, (4.0, 4.25), "y, z = z, 108 - (815 - 1500 / y) / z", "without a difference"),
    (polynomial, (1.01,), "return left + (15 * x**2 - 6 * x + 1)", "without a difference"),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=[f.__name__ for f, *_ in EXAMPLES])
def test_the_line_that_cancels_is_named(example: Any) -> None:
    f, args, text, instead = example
    found = engine.accuracy(f, *args)
    truth = engine.exact(f, *args, numbers="mpmath", digits=80).figures[0]
    assert found.value.digits == pytest.approx(truth.digits, abs=1e-6)
    assert found.value.digits < 13
    (loss,) = [loss for loss in found.losses if "the value" in loss.figures]
    assert loss.line is not None
    assert (loss.line.text, HERE in loss.line.file) == (text, True)
    assert instead in loss.instead
    assert loss.digits > 15 - truth.digits - 2.5
    assert text in str(found) and instead in str(found)


def test_what_is_written_instead_keeps_its_digits() -> None:
    for f, args in [
        (lambda x: 2 * engine.sin(x / 2) ** 2, (1e-4,)),
        (engine.log1p, (1e-9,)),
        (lambda b: 2 / (-b - sqrt(b * b - 4)), (1e5,)),
        (lambda xs: engine.mean([(x - engine.mean(xs)) ** 2 for x in xs]), ([1e6, 1e6 + 1],)),
    ]:
        found = engine.accuracy(f, *args)
        assert found.value.digits > 14
        assert found.losses == ()


def test_gradients_have_losses_of_their_own() -> None:
    found = engine.accuracy(quadratic, 1.0, 1e5, 1.0)
    assert found.gradient["c"].digits > 14
    assert found.gradient["b"].digits < 7
    (loss,) = [loss for loss in found.losses if "gradient b" in loss.figures and loss.digits > 8.5]
    assert loss.operation == "gradient" and "cancel" in loss.text

    def steep(x: Any) -> Any:
        near = 1 + x
        return (near - 1) ** 2

    (loss,) = engine.accuracy(steep, 1e-10).losses
    assert loss.figures == ("the value", "gradient x")
    assert loss.line is not None and loss.line.part == "near - 1"


def test_the_worst_of_many_gradients_are_shown() -> None:
    weights = [engine.Value(1.0 + i) for i in range(30)]

    def loss() -> Any:
        return engine.sum(weights) + weights[-1] ** 8 - 30.0**8 + sqrt(weights[-1] - 30.0 + 1e-9)

    found = engine.accuracy(loss, wrt=weights)
    assert list(found.gradient) == [f"wrt[{i}]" for i in range(30)]
    assert found.gradient["wrt[29]"].digits < found.gradient["wrt[0]"].digits
    lines = str(found).splitlines()
    assert lines[1].startswith("gradient wrt[29] = ") and len(lines) < 30
    assert "… and 18 more that are as right; see .gradient" in lines


def test_overflow_is_a_loss() -> None:
    found = engine.accuracy(lambda x, y: log(exp(x) + exp(y)), 1000.0, 999.0)
    (loss,) = found.losses
    assert (loss.operation, loss.text) == ("exp", "exp(1000) is inf")
    assert "logsumexp" in loss.instead
    assert found.value.text.startswith("1000.313")


def test_zeros_are_told_from_what_is_lost() -> None:
    found = engine.accuracy(lambda x, y: sqrt(x) ** 2 - 2 + 0 * y, 2.0, 1.0)
    assert found.value.text == "0"
    assert found.value.digits == 0.0
    assert found.gradient["y"].digits == math.inf
    tie = engine.accuracy(lambda x: engine.relu(sqrt(x) ** 2 - 2) * x, 2.0)
    assert all(loss.digits > 10 for loss in tie.losses)


def test_digits_are_proved_by_intervals(flint: Any) -> None:
    for f, args, *_ in EXAMPLES:
        proved, found = (engine.accuracy(f, *args, numbers=n) for n in ("interval", "mpmath"))
        for a, b in zip(proved.gradient.values(), found.gradient.values(), strict=True):
            assert a.digits == pytest.approx(b.digits, abs=1e-6)
        assert [loss.line for loss in proved.losses] == [loss.line for loss in found.losses]
    with pytest.raises(DomainError, match="not decided"):
        engine.accuracy(lambda x: engine.relu(sqrt(x) ** 2 - 2), 2.0, numbers="interval")


def test_reports_show_themselves() -> None:
    found = engine.accuracy(one_minus_cos, 1e-4)
    assert "1 - c\n" in found._bundle()["text/html"]
    lines = str(found).splitlines()
    assert lines[0] == (
        "one_minus_cos = 4.999999969612645e-09: 8 digits right, it is 4.9999999958333338e-9"
    )
    assert lines[1].startswith("gradient x = ") and lines[1].endswith("16 digits right")
    exactly = str(engine.exact(lambda x: x / 3, 1.0))
    assert exactly.splitlines()[0].startswith("value = 1/3; float64 0.3333333333333333: 16 digits")


@pytest.mark.parametrize("name", BY_MPMATH)
@pytest.mark.parametrize("share", [0.1, 0.75])
def test_what_a_row_approximates_has_all_digits(flint: Any, name: str, share: float) -> None:
    """Its polynomials have those of a float64, and no more."""
    op, f, exactly = TABLE[name], getattr(engine, name), BY_MPMATH[name]
    args = [(1.0 - share) * low + share * high for low, high in op.samples]
    if name == "polygamma":  # whose order has no derivative
        order = args.pop(0)
        f, exactly = functools.partial(f, order), functools.partial(exactly, order)
    by_mpmath = engine.exact(f, *args, numbers="mpmath", digits=50)
    balls = engine.exact(f, *args, numbers="interval", digits=50)
    with mpmath.workdps(100):
        at = [*map(mpmath.mpf, args)]
        unit = itertools.permutations([1] + [0] * (len(at) - 1))
        slopes = [mpmath.diff(exactly, tuple(at), one) for one in dict.fromkeys(unit)]
        truth = [exactly(*at), *slopes]

        def numbers(found: Any) -> list[Any]:
            gradient = found.gradient
            return [found.value, *(gradient if isinstance(gradient, tuple) else [gradient])]

        for x, exact in zip(numbers(by_mpmath), truth, strict=True):
            assert abs(x - exact) < 1e-45 * abs(exact)
        with flint.ctx.workdps(80):
            for ball, exact in zip(numbers(balls), truth, strict=True):
                assert ball.overlaps(flint.arb(mpmath.nstr(exact, 60), 1e-45))
                assert ball.rad() < 1e-45


@pytest.mark.parametrize("kind", ["mpmath", "interval"])
def test_what_a_row_approximates_is_known_below_0_and_at_0(flint: Any, kind: Any) -> None:
    trigamma = engine.exact(engine.digamma, -0.25, numbers=kind)
    with mpmath.workdps(40):
        assert abs(float(trigamma.gradient - mpmath.psi(1, -0.25))) < 1e-30
    assert engine.exact(lambda x: engine.polygamma(0, x), -0.25, numbers=kind).digits > 14
    for f in (engine.i1, engine.i1e):
        assert float(engine.exact(f, 0.0, numbers=kind).gradient) == 0.5
    far = engine.exact(engine.i0e, 1e5, numbers=kind)  # where i0 leaves every range
    assert far.figures[0].digits > 14


def test_poles_of_what_a_row_approximates_are_said() -> None:
    assert "gammaln(0) is not finite" in raised(DomainError, engine.gammaln, 0.0, numbers="mpmath")
