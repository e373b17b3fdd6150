"""What may be given to the transforms, and what they say of the rest."""

import types
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import engine
from engine import Value
from engine.lines import named_leaves

Pair = namedtuple("Pair", "a b")


class Column:
    """What a data frame's column looks like from outside."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = numbers

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numbers, dtype=dtype)


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 1.0
    name: str = ""


@dataclass
class Settings:
    rates: list
    start: Point
    mode: str | None = None
    double: bool = False
    apply: object = engine.exp
    cached: float = field(default=0.0, init=False)


square = lambda v: v * v  # noqa: E731, a function of one line
product = lambda p: p[0] * p[1]  # noqa: E731
TAKEN = {
    "int": (square, 3, 6.0),
    "Fraction": (square, Fraction(1, 4), 0.5),
    "float32": (square, np.float32(1.5), 3.0),
    "int8": (square, np.int8(2), 4.0),
    "bool": (square, True, 2.0),
    "array of no dimension": (square, np.array(1.5), 3.0),
    "Value in an array of no dimension": (square, np.array(Value(1.5)), 3.0),
    "fractions in a list": (product, [Fraction(1, 2), 4], [4.0, 0.5]),
    "range": (product, range(2, 4), [3.0, 2.0]),
    "deque": (product, deque([2.0, 3.0]), [3.0, 2.0]),
    "OrderedDict": (lambda p: p["a"] ** 2, OrderedDict(a=2.0), {"a": 4.0}),
    "read-only dict": (lambda p: p["a"] ** 2, types.MappingProxyType({"a": 2.0}), {"a": 4.0}),
    "named tuple": (lambda p: p.a * p.b, Pair(2.0, 3.0), Pair(3.0, 2.0)),
    "column": (lambda c: (c * c).sum(), Column(1, 2), np.array([2.0, 4.0])),
    "column in a dict": (lambda p: p["c"].sum(), {"c": Column(1, 2)}, {"c": np.array([1.0, 1.0])}),
    "dataclass": (lambda p: p.x**2 * p.y, Point(2.0, 3.0, "a"), Point(12.0, 4.0, "a")),
    "dataclasses": (
        lambda s: s.apply(s.start.x) * s.rates[0] + s.cached,
        Settings([2.0], Point(0.0)),
        Settings([1.0], Point(2.0, 0.0)),
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_arguments_of_many_kinds_are_differentiated_by(name: str) -> None:
    f, argument, expected = TAKEN[name]
    found = engine.grad(f)(argument)
    if name == "dataclasses":
        assert found.cached == 1.0  # a field that is made after the others is one of the numbers
        found.cached = 0.0
    np.testing.assert_equal(found.data if isinstance(found, Value) else found, expected)


def test_all_transforms_take_dataclasses() -> None:
    f = lambda p: p.x**2 * p.y  # noqa: E731, a function of one line
    at, along = Point(2.0, 3.0), Point(1.0, 0.0)
    assert engine.jvp(f, (at,), (along,)) == (12.0, 12.0)
    assert engine.hvp(f, (at,), (along,)) == Point(6.0, 4.0)
    assert engine.hessian(f)(at) == Point(Point(6.0, 4.0), Point(4.0, 0.0))
    assert engine.vjp(lambda p: Point(p.x * 2, p.y), at)[1](along) == (Point(2.0, 0.0),)
    assert engine.checkpoint(f)(at) == 12.0
    assert [name for name, _ in named_leaves(Settings([1.0], at), "s")] == [
        *("s.rates[0]", "s.start.x", "s.start.y", "s.cached"),
    ]


REFUSED = {
    "Decimal": (Decimal("1.5"), r"a Decimal: .*; write float\(x\)"),
    "complex": (1j, "a complex: 1j; give the real and the imaginary part"),
    "complex array": (np.array([1j]), "a complex: .* give the real"),
    "set": ({1.0}, r"a set: \{1\.0\}; write sorted\(x\)"),
    "iterator": (iter([1.0]), r"write list\(x\)"),
    "None": ([1.0, None], "not a NoneType"),
    "str": ("1.5", "not a str: '1.5'"),
    "dates": (np.array(["2020-01-01"], dtype="datetime64[D]"), "not a date"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_arguments_are_refused_with_what_to_write(name: str) -> None:
    argument, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        engine.grad(lambda x: 1.0)(argument)


def rosenbrock(p):
    return (1.0 - p[0]) ** 2 + 100.0 * (p[1] - p[0] ** 2) ** 2


def two(x, y):
    return x * y


def test_the_only_primal_may_be_given_as_it_is() -> None:
    x, v = np.array([1.2, 1.0]), np.array([1.0, 0.0])
    assert (engine.hvp(rosenbrock, x, v) == engine.hvp(rosenbrock, (x,), (v,))).all()
    assert engine.jvp(rosenbrock, x, v) == engine.jvp(rosenbrock, (x,), (v,))
    assert engine.jvp(lambda q: q * q, 3.0, 1.0) == (9.0, 6.0)
    assert engine.hvp(lambda q: q["a"] ** 3, {"a": 2.0}, {"a": 1.0}) == {"a": 12.0}


TOLD = [
    (lambda: engine.hvp(rosenbrock, [1.0, 2.0], [1.0, 0.0]), r"rosenbrock\(p\) .* write \(x,\)"),
    (lambda: engine.hvp(rosenbrock, ([1.0, 2.0],), 1.0), r"write \(v,\) .* not a float"),
    (lambda: engine.jvp(two, (1.0, 2.0), 1.0), "primals is a tuple of f's 2 arguments"),
    (lambda: engine.jvp(two, 1.0, 2.0), "missing a required argument: 'y'"),
    (lambda: engine.vjp(two, 1.0), r"two\(x, y\) can't be called with 1 positional argument"),
    (lambda: engine.vjp(two, 1.0, 2.0)[1](1.0, 2.0), "takes one cotangent"),
    (lambda: engine.grad(two)(1.0, 2.0, 3.0), "too many positional arguments"),
    (lambda: engine.grad(two)(1.0, z=2.0), "missing a required argument: 'y'"),
    (lambda: engine.gradcheck(two, 1.0, 2.0), r"gradcheck\(f, \(x, y\)\)"),
    (lambda: engine.gradgradcheck(two, 1.0, 2.0), r"gradgradcheck\(f, \(x, y\)\)"),
    (lambda: engine.gradcheck(two, [1.0, 2.0]), r"or as a tuple: \(x, y\)"),
    (lambda: engine.grad(two, 1.0), r"argnums is the position of an argument.* not 1\.0"),
    (lambda: engine.jacobian(two, (0, "y")), "not 'y', and keywords have none: wrap f"),
    (lambda: engine.hessian(two, True), "not True"),
    (lambda: engine.grad(Value(2.0)), r"takes a function, so f itself, not f\(x\).* the Value"),
    (lambda: engine.value_and_grad(2.0), r"value_and_grad takes a function.* a float: 2\.0"),
    (lambda: engine.hvp(None, 1.0, 1.0), "hvp takes a function"),
    (lambda: engine.vjp([two], 1.0), "vjp takes a function"),
    (lambda: engine.checkpoint(Value(1.0)), "checkpoint takes a function"),
    (lambda: engine.custom_op("f", lambda x: x, [1.0])([1.0]), r"f takes Values.*\[f\(x\) for x"),
]


@pytest.mark.parametrize("k", range(len(TOLD)))
def test_calls_that_can_not_work_are_told_in_sentences(k: int) -> None:
    call, message = TOLD[k]
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("argnums", [(), (0, 0), (0, -2), 2, -3, (0, 5)])
def test_argnums_name_arguments_that_there_are_and_each_once(argnums) -> None:
    with pytest.raises(ValueError, match="argnums"):
        engine.grad(two, argnums)(1.0, 2.0)


def test_argnums_may_be_numpys_and_ranges() -> None:
    assert engine.grad(two, np.int64(1))(2.0, 3.0) == 2.0
    assert engine.grad(two, range(2))(2.0, 3.0) == (3.0, 2.0)


def test_a_keyword_is_no_position() -> None:
    with pytest.raises(ValueError, match="the call has 0, keywords not counted"):
        engine.grad(two)(x=1.0, y=2.0)


def test_an_error_inside_of_the_function_comes_through() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        engine.grad(lambda x: x + "a")(1.0)


COMPILED = ["Fraction", "range", "deque", "read-only dict", "column", "dataclass", "dataclasses"]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_functions_take_the_same(name: str) -> None:
    f, argument, _ = TAKEN[name]
    np.testing.assert_equal(engine.compile(f).grad(argument), engine.grad(f)(argument))


def test_a_compiled_dataclass_has_its_batch_in_each_field() -> None:
    f = lambda p: p.x**2 * p.y  # noqa: E731, a function of one line
    program = engine.compile(f, in_axes=0)
    batch = Point([1.0, 2.0], [3.0, 4.0], "a")
    np.testing.assert_equal(program(batch), [3.0, 16.0])
    gradient = program.grad(batch)
    assert (gradient.x == [6.0, 16.0]).all() and (gradient.y == [1.0, 4.0]).all()
    assert gradient.name == "a"


def test_a_class_of_arrays_is_no_array() -> None:
    with pytest.raises(TypeError, match=r"here numbers and Values are needed.*not a type"):
        engine.grad(lambda x: x)(np.float32)
