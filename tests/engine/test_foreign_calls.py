"""What other code does with Values: numbers of its own, or an error that says what to write."""

import cmath
import math
import operator
import pickle
import random
import statistics
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import engine
from engine import Value

v, w = Value(7.5), Value(-2.0)
three = [Value(1.0), Value(3.0), Value(2.0)]

# what Python's own floats answer too
SAME = {
    "divmod": lambda a, b, _: divmod(a, b),
    "divmod with a number": lambda a, b, _: divmod(a, 2),
    "divmod of a number": lambda a, b, _: divmod(20, a),
    "pow": lambda a, b, _: pow(a, 2),
    "round": lambda a, b, _: [round(a), round(a, 1), round(a, -1), round(a, np.int64(1))],
    "floor": lambda a, b, _: [math.floor(a), math.ceil(b), math.trunc(a)],
    "signs": lambda a, b, _: [-a, +b, abs(b)],
    "comparisons": lambda a, b, _: [a < b, a >= 1, b < 3, a == 7.5, a != b, not a],
    "builtins": lambda a, b, c: [sum(c), sum(c, a), min(c), max(c), max(a, 1.0), *sorted(c)],
    "math.prod": lambda a, b, c: math.prod(c),
    "median": lambda a, b, c: statistics.median(c),
    "uniform": lambda a, b, c: random.Random(0).uniform(b, a),
    "lists": lambda a, b, c: [c.index(3.0), c.count(2.0), 2.0 in c, 9.0 in c],
    "fractions": lambda a, b, c: [Fraction(1, 2) * a, a - Fraction(1, 4)],
    "formats": lambda a, b, c: f"{a:.3f} {a:>8} {b:+.1e}",
    "numpy": lambda a, b, c: [np.sum(c), np.mean(c), np.max(c), np.dot(c, c), np.polyval(c, a)],
    "arrays": lambda a, b, c: np.array([1.0, 2.0]) * a + b,
    "reduce": lambda a, b, c: [np.add.reduce(c), *np.cumsum(c), *np.outer(c, c).ravel()],
    "operator": lambda a, b, c: [operator.mul(a, b), operator.truediv(a, b), operator.mod(a, b)],
}


def plain(answer):
    if isinstance(answer, Value):
        return answer.data
    return list(map(plain, answer)) if isinstance(answer, list | tuple | np.ndarray) else answer


@pytest.mark.parametrize("name", SAME)
def test_values_answer_as_floats_do(name: str) -> None:
    expected = SAME[name](7.5, -2.0, [1.0, 3.0, 2.0])
    assert plain(SAME[name](v, w, three)) == plain(expected)


PLAIN = r"v\.data for the plain number"
TOLD = {
    "float": (lambda: float(v), r"engine\.exp\(v\) or v\.exp\(\).*" + PLAIN),
    "complex": (lambda: complex(v), PLAIN),
    "complex with a part": (lambda: complex(v, 1), PLAIN),
    "math.exp": (lambda: math.exp(v), PLAIN),
    "math.hypot": (lambda: math.hypot(v, w), PLAIN),
    "math.fsum": (lambda: math.fsum(three), PLAIN),
    "math.isnan": (lambda: math.isnan(v), PLAIN),
    "cmath.exp": (lambda: cmath.exp(v), PLAIN),
    "percent": (lambda: "%.2f" % v, PLAIN),  # noqa: UP031, what is tested
    "np.float64": (lambda: np.float64(v), PLAIN),
    "np.array of floats": (lambda: np.array(three, dtype=float), PLAIN),
    "astype": (lambda: np.array(three).astype(float), PLAIN),
    "statistics.mean": (lambda: statistics.mean(three), r"engine\.mean\(values\)"),
    "statistics.stdev": (lambda: statistics.stdev(three), r"engine\.mean\(values\)"),
    "statistics.fmean": (lambda: statistics.fmean(three), r"engine\.mean\(values\)"),
    "random.choices": (lambda: random.choices([1, 2], weights=three[:2]), PLAIN),
    "index": (lambda: [1, 2, 3][v], r"engine\.take\(sequence, v\)"),
    "slice": (lambda: [1, 2, 3][:v], r"int\(v\)"),
    "range": (lambda: range(v), r"int\(v\)"),
    "repetition": (lambda: [0] * v, r"int\(v\)"),
    "chr": (lambda: chr(v), r"int\(v\)"),
    "pow of three": (lambda: pow(v, 2, 5), r"takes no modulus; write x\*\*y % m"),
    "round by a float": (lambda: round(v, 1.5), "cannot be interpreted as an integer"),
    "round by a Value": (lambda: round(v, Value(1.0)), r"int\(v\)"),
    "two positions": (lambda: v.exp(2), r"Value\.exp\(\) takes 1 positional"),
    "one too few": (lambda: v.add(), r"v\.add\(w\)"),
    "Value of a Decimal": (lambda: Value(Decimal(1)), r"write float\(x\)"),
    "Value of an array": (lambda: Value(np.array(1.0)), r"use x\.item\(\)"),
    "Value of a list": (lambda: Value([1.0]), r"\[Value\(x\) for x in data\]"),
    "Value of a Value": (lambda: Value(v), r"v\.detach\(\)"),
    "Value with a number": (lambda: Value(2.0, 3), "for operands, which are Values: 3"),
    "Value of numbers": (lambda: Value(2.0, [1.0]), r"for operands, which are Values: \[1\.0\]"),
    "exp of a list": (lambda: engine.exp(three), r"\[engine\.exp\(x\) for x in data\]"),
    "atan2 of lists": (lambda: engine.atan2(three, v), r"\[engine\.atan2\(x, \.\.\.\) for"),
    "exp of None": (lambda: engine.exp(None), "Values and numbers, not a NoneType$"),
    "exp of a str": (lambda: engine.exp("1"), "Values and numbers, not a str$"),
    "sum of one": (lambda: engine.sum(v), r"sum takes a sequence .* not Value\(data=7\.5"),
    "mean of one": (lambda: engine.mean(1.0), r"mean takes a sequence .* not 1\.0"),
    "prod of one": (lambda: engine.prod(v), "prod takes a sequence"),
    "maximum of one": (lambda: engine.maximum(v), "maximum takes a sequence"),
    "norm of one": (lambda: engine.norm(v), "norm takes a sequence"),
    "softmax of one": (lambda: engine.softmax(v), "softmax takes a sequence"),
    "log_softmax of one": (lambda: engine.log_softmax(v), "log_softmax takes a sequence"),
    "logsumexp of one": (lambda: engine.logsumexp(v), "logsumexp takes a sequence"),
    "dot of two numbers": (lambda: engine.dot(v, w), "dot takes a sequence"),
    "dot of a list and a number": (lambda: engine.dot(three, 2.0), "dot takes a sequence"),
    "take of a Value": (lambda: engine.take(v, 0), "takes a sequence first, then an index"),
    "take by a str": (lambda: engine.take(three, "a"), "take's index is a whole number.* not 'a'"),
    "backward from a Value": (lambda: v.backward(w), r"a plain number, not .*create_graph=True"),
    "backward from a str": (lambda: v.backward("a"), "a plain number, not 'a'"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_has_no_answer_says_what_to_write(name: str) -> None:
    call, message = TOLD[name]
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("other", ["a", None, [1.0], 1j, Decimal(1)], ids=repr)
def test_operators_leave_other_kinds_to_python(other) -> None:
    for operation in (operator.add, operator.mul, operator.pow, divmod, operator.lt):
        for operands in ((v, other), (other, v)):
            with pytest.raises(TypeError, match="Value"):
                operation(*operands)
    assert (v == other) is False and v != other


def test_dot_takes_iterators() -> None:
    assert engine.dot(iter(three), (x for x in (1.0, 1.0, 1.0))).data == 6.0


def test_methods_travel() -> None:
    assert pickle.loads(pickle.dumps(Value(0.0).exp))().data == 1.0
    assert Value.exp.__qualname__ == "Value.exp" and Value.arctan.__name__ == "atan"


def test_divmod_is_differentiated() -> None:
    x = Value(7.5)
    quotient, rest = divmod(x, 2.0)
    (quotient + rest).backward()
    assert (quotient.data, rest.data, x.grad) == (3.0, 1.5, 1.0)
