"""Every row of the table, over its own domain: derivatives of order one to three, and manners."""

import inspect
import itertools
import math
import operator
import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from scipy import special

import engine
import random_graphs
from engine import Value
from engine.ops import TABLE, Op

ROWS = pytest.mark.parametrize("op", TABLE.values(), ids=list(TABLE))
ROWS_BUT_DETACH = pytest.mark.parametrize(
    "op", [TABLE[name] for name in random_graphs.ROWS], ids=random_graphs.ROWS
)
SPECIALS = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-320, 1e308, -1e308, math.inf, -math.inf)


def points(op: Op, count: int = 5) -> list[list[float]]:
    rng = random.Random(op.name)
    return [[rng.uniform(*interval) for interval in op.samples] for _ in range(count)]


def call(op: Op):
    """The row as a function of a list, with the condition of `where` left a plain number."""
    function = engine.functions.FUNCTIONS[op.name]
    return lambda xs: function(*xs)


def varied(op: Op) -> list[int]:
    """The operands that can be moved: neither a condition nor an order, which have one sample."""
    return [k for k, (low, high) in enumerate(op.samples) if low < high]


def differences(f, xs: list[float], i: int) -> np.ndarray:
    """The derivative of f by entry i, by central differences with one Richardson step."""

    def central(h: float) -> np.ndarray:
        up, down = [*xs], [*xs]
        up[i], down[i] = xs[i] + h, xs[i] - h
        return (np.asarray(f(up)) - np.asarray(f(down))) / (up[i] - down[i])

    return (4.0 * central(5e-4) - central(1e-3)) / 3.0


@ROWS_BUT_DETACH
def test_first_derivatives_agree_with_differences(op: Op) -> None:
    for xs in points(op):
        gradient = engine.grad(call(op))(xs)
        for i in varied(op):
            assert gradient[i] == pytest.approx(differences(call(op), xs, i), rel=1e-8, abs=1e-9)


def test_the_derivative_of_detach_is_0_by_definition() -> None:
    detach = engine.functions.FUNCTIONS["detach"]
    assert engine.value_and_grad(detach)(3.0) == (3.0, 0.0)


@ROWS
def test_second_derivatives_agree_with_differences(op: Op) -> None:
    gradient = engine.grad(call(op))
    for xs in points(op):
        hessian = np.array(engine.hessian(call(op))(xs))
        for i in varied(op):
            assert hessian[:, i] == pytest.approx(differences(gradient, xs, i), rel=1e-7, abs=1e-8)


@ROWS
def test_third_derivatives_agree_with_differences(op: Op) -> None:
    hessian = engine.hessian(call(op))
    for xs in points(op, count=2):
        third = np.array(engine.jacobian(hessian)(xs))
        for i in varied(op):
            assert third[:, :, i] == pytest.approx(differences(hessian, xs, i), rel=1e-6, abs=1e-7)


@ROWS
def test_the_four_ways_to_the_first_derivative_agree(op: Op) -> None:
    """Reverse on floats, reverse recorded, forward on floats, forward recorded."""
    for xs in points(op):
        values = [Value(x) for x in xs]
        y = engine.functions.FUNCTIONS[op.name](*values)
        floats = engine.gradients(y, values)
        recorded = [d.data for d in engine.gradients(y, values, create_graph=True)]
        assert recorded == pytest.approx(floats, rel=1e-15, abs=0)
        for i in range(op.arity):
            unit = [float(i == k) for k in range(op.arity)]
            forward = engine.jvp(call(op), (xs,), (unit,))[1]
            assert forward == pytest.approx(floats[i], rel=1e-15, abs=0)
            directions = [Value(t) for t in unit]
            forward = engine.jvp(call(op), (xs,), (directions,))[1]
            assert forward.data == pytest.approx(floats[i], rel=1e-15, abs=0)


@ROWS
def test_hessians_are_symmetric(op: Op) -> None:
    for xs in points(op):
        hessian = np.array(engine.hessian(call(op))(xs))
        assert hessian == pytest.approx(hessian.T, rel=1e-13, abs=1e-15)


@ROWS
def test_no_operand_makes_a_forward_or_a_partial_raise(op: Op) -> None:
    for xs in itertools.product((*SPECIALS, math.nan), repeat=op.arity):
        y = op.forward(*xs)
        assert isinstance(y, float)
        for partial in op.partials:
            assert isinstance(partial if isinstance(partial, float) else partial(*xs, y), float)


def lattice(op: Op) -> Iterator[tuple[float, ...]]:
    """Points at which rows have their kinks, and points between them, where the row is finite."""
    for xs in itertools.product([0.5 * k for k in range(-4, 5)], repeat=op.arity):
        if math.isfinite(op.forward(*xs)):
            yield xs


def one_sided_slopes(op: Op, xs: Sequence[float], k: int) -> tuple[float, float]:
    """The differences to the left and to the right by operand k."""
    h = 1e-7
    low, middle, high = (
        op.forward(*xs[:k], x, *xs[k + 1 :]) for x in (xs[k] - h, xs[k], xs[k] + h)
    )
    return (middle - low) / h, (high - middle) / h


@ROWS
def test_the_row_says_where_it_jumps_or_has_a_corner(op: Op) -> None:
    for xs in lattice(op):
        pairs = [one_sided_slopes(op, xs, k) for k in varied(op)]
        pairs = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
        found = any(math.fabs(a - b) > 1e-3 or math.fabs(a) > 1e6 for a, b in pairs)
        assert op.has_kink(xs) == found, (xs, pairs)


def test_nothing_has_a_kink_at_infinity() -> None:
    for op in TABLE.values():
        for xs in itertools.product((math.inf, -math.inf, math.nan), repeat=op.arity):
            assert not op.has_kink(xs)


@ROWS
def test_an_edge_is_cut_where_the_operand_has_no_influence(op: Op) -> None:
    for k, cut in enumerate(op.cuts):
        if isinstance(cut, bool):
            assert cut == (op.partials[k] == 0.0)
            continue
        for xs in lattice(op):
            if not op.has_kink(xs) and op.family != "arithmetic":  # whose numbers are never -0.0
                assert bool(cut(*xs)) == (one_sided_slopes(op, xs, k) == (0.0, 0.0)), xs


@pytest.mark.parametrize(
    ("name", "at", "cut"),
    [
        ("relu", (0.0,), [True]),
        ("maximum", (1.0, 1.0), [False, False]),
        ("minimum", (1.0, 1.0), [False, False]),
        ("clamp_min", (1.0, 1.0), [False, True]),
        ("clamp_max", (1.0, 1.0), [False, True]),
        ("where", (math.nan, 1.0, 2.0), [True, False, True]),
        ("relu", (math.nan,), [False]),
        ("maximum", (math.nan, 1.0), [False, False]),
    ],
)
def test_what_is_cut_at_a_kink_or_at_nan(name: str, at: tuple[float, ...], cut: list[bool]) -> None:
    cuts = TABLE[name].cuts
    assert [c if isinstance(c, bool) else bool(c(*at)) for c in cuts] == cut


@ROWS
def test_a_cut_can_be_recorded(op: Op) -> None:
    for cut in op.cuts:
        if callable(cut):
            recorded = engine.rebind.rebind(cut, engine.functions.FUNCTIONS)
            for xs in lattice(op):
                assert recorded(*map(Value, xs)).data == cut(*xs)


def test_a_row_of_ones_own_keeps_its_cuts_when_it_is_pickled() -> None:
    cube = engine.custom_op("cube", pow, [lambda x, y, out: 3 * x**2, 0.0])
    op = cube(Value(2.0), Value(3.0)).op
    assert op.cuts == (False, True)


@ROWS
def test_a_row_has_a_method_a_function_and_a_document(op: Op) -> None:
    assert op.doc.endswith(".") and "\n" not in op.doc
    for name in (op.name, *op.aliases):
        assert name in engine.__all__
        assert getattr(engine, name) is getattr(engine, op.name)
        if op.arity <= 2:
            assert getattr(Value, name) is getattr(Value, op.name)
    if op.name not in ("where", "maximum", "minimum"):  # these take more than the row does
        assert inspect.signature(getattr(engine, op.name)).parameters.keys() == (
            inspect.signature(op.forward).parameters.keys()
        )


@ROWS_BUT_DETACH  # which records nothing: see test_functions.py
def test_a_method_records_what_the_function_records(op: Op) -> None:
    if op.arity > 2:
        return
    for xs in points(op, count=2):
        operands = [Value(x) for x in xs]
        first, *others = operands[::-1] if op.name == "polygamma" else operands  # its order is n
        by_method = getattr(first, op.name)(*others)
        by_function = engine.functions.FUNCTIONS[op.name](*operands)
        assert by_method.data == by_function.data == op.forward(*xs)
        assert by_method.op is by_function.op is op
        assert by_method.args == by_function.args


@ROWS
def test_a_function_of_floats_gives_a_float(op: Op) -> None:
    for xs in points(op, count=1):
        assert type(engine.functions.FUNCTIONS[op.name](*xs)) is float


@ROWS
def test_a_literal_operand_gets_no_partial_evaluated(op: Op) -> None:
    def refuse(*args: float) -> float:
        raise AssertionError("the partial of a literal was evaluated")

    for i in range(op.arity):
        partials = [refuse] * op.arity
        partials[i] = 1.0
        watched = Op(op.name, op.label, op.forward, tuple(partials))
        operands = [Value(2.0) if k == i else 1.0 for k in range(op.arity)]
        y = engine.value.record(watched, operands)
        y.backward()
        assert operands[i].grad == 1.0


@pytest.mark.parametrize(
    ("name", "compare"),
    [("less", operator.lt), ("less_equal", operator.le), ("equal", operator.eq)],
    ids=["less", "less_equal", "equal"],
)
def test_a_row_that_compares_is_1_where_the_operator_says_true(
    name: str, compare: Callable[..., bool]
) -> None:
    for x, y in itertools.product((*SPECIALS, math.nan), repeat=2):
        assert TABLE[name].forward(x, y) == compare(x, y) == compare(Value(x), Value(y))


def test_names_are_numpys_or_scipys_and_aliases_others_that_they_have() -> None:
    for op in TABLE.values():
        if op.family == "special":
            assert hasattr(special, op.name), op.name
        for alias in op.aliases:
            assert any(hasattr(m, alias) for m in (np, special, math)), alias


def test_adding_an_operation_is_adding_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new row differentiates to any order, with nothing else written for it."""

    def cube(x: float) -> float:
        """x³."""
        return x * x * x

    def cube_dx(x: float, out: float) -> float:
        return 3.0 * square(x)  # noqa: F821, a name of another row

    op = Op("cube", "cube", cube, (cube_dx,), ((-2, 2),))
    monkeypatch.setitem(TABLE, "cube", op)
    monkeypatch.setitem(cube_dx.__globals__, "square", TABLE["square"].forward)
    function = engine.functions._function(op)
    derivatives = [function]
    for _ in range(4):
        derivatives.append(engine.grad(derivatives[-1]))
    assert [f(2.0) for f in derivatives] == [8.0, 12.0, 12.0, 6.0, 0.0]


@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_a_slope_that_is_not_chosen_does_no_harm(name: str) -> None:
    f = engine.functions.FUNCTIONS[name]
    for slope in (math.inf, math.nan):
        assert engine.grad(lambda x, slope=slope: f(x, slope))(2.0) == 1.0
        assert engine.hessian(lambda x, slope=slope: f(x, slope))(2.0) == 0.0


@pytest.mark.parametrize("name", ["clamp_min", "clamp_max", "maximum", "minimum"])
@pytest.mark.parametrize("operands", [(1.0, math.nan), (math.nan, 1.0), (math.nan, math.nan)])
def test_a_bound_that_is_nan_is_not_passed_over(name: str, operands: tuple[float, float]) -> None:
    """As in PyTorch 2.13 and in JAX."""
    assert math.isnan(getattr(engine, name)(*operands))
    found = engine.compile(lambda x: getattr(engine, name)(x[0], x[1]))(list(operands))
    assert math.isnan(found)
