"""Comparisons inside of a compiled function are what Python's bools are outside of one."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import engine
from engine import TraceError, Value
from notes import Notes

X = [-2.0, 3.0, -0.5, 0.0, 1.0, 7.5, 1.0]


def number(y: Any) -> float:
    return y.data if isinstance(y, Value) else float(y)


def agrees_with_python(f: Callable[..., Any], xs: list[float] = X) -> engine.Program:
    """f compiled, as a batch and one by one, gives what f gives on Values, and its gradient."""
    expected = [number(f(Value(x))) for x in xs]
    program = engine.compile(f, in_axes=0)
    single = engine.compile(f)
    assert expected == pytest.approx(program(xs).tolist(), rel=1e-15, abs=0.0)
    assert expected == pytest.approx([single(x) for x in xs], rel=1e-15, abs=0.0)
    slopes = [engine.grad(lambda v: f(v) + 0.0 * v)(x) for x in xs]
    assert slopes == pytest.approx(program.grad(xs).tolist(), rel=1e-14, abs=0.0)
    return program


# --- what counts as 0 or 1 without a guard ----------------------------------------------------

COUNTED: dict[str, Callable[[Any], Any]] = {
    "times": lambda v: (v > 0) * v + v * (v > 1),
    "one minus": lambda v: 1 - (v > 0) + v,
    "sums": lambda v: sum(v > k for k in range(3)) * v,
    "engine's sum": lambda v: engine.sum([v > 0, v > 1, v > 2]) * v,
    "a mean": lambda v: engine.mean([v > 0, v > 1]) + v,
    "dot": lambda v: engine.dot([v > 0, v > 1], [v, 2.0]),
    "divided": lambda v: (v > 2) / (2 + (v > 1)) + v,
    "powers": lambda v: 2 ** (v > 1) * v - (v > 0) ** 2,
    "signs": lambda v: -(v > 0) * v + abs(v < 0) + +(v > 1),
    "remainders": lambda v: (5 * (v > 0)) % 3 + (7 * (v > 1)) // 2 + v,
    "compared": lambda v: engine.where((v > 0) == 1, v, -v),
    "ordered": lambda v: engine.where((v > 0) < (v > 1) + 0.5, v, 3.0 * v),
    "either, not both": lambda v: v * ((v > 0) ^ (v < 2)),
    "with whole numbers": lambda v: v * ((v > 0) & 1) + (0 | (v < 2)) - ((v > 1) ^ np.int64(1)),
    "and, or": lambda v: v * ((v > 0) & (v < 2)) + 2.0 * ((v < -1) | (v > 5)),
    "in a function": lambda v: engine.exp(v > 0) * v,
    "an arm": lambda v: engine.where(v > 0, v > 1, v) + v,
    "detached": lambda v: engine.detach(v > 0) * v,
    "an array": lambda v: (np.array([1.0, 2.0]) * (v > 0)).sum() * v,
    "an object array": lambda v: np.array([v > 0, v > 1], dtype=object).sum() * v,
    "taken": lambda v: engine.take([v, 3.0 * v], v > 0),
    "alone": lambda v: v > 0,
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_comparison_counts_without_a_guard(name: str) -> None:
    program = agrees_with_python(COUNTED[name])
    assert "1 path" in repr(program)


# --- what Python needs to know at once --------------------------------------------------------

KNOWN: dict[str, Callable[[Any], Any]] = {
    "an index": lambda v: [v, 3.0 * v][v > 0],
    "an index of an array": lambda v: np.array([v, 3.0 * v])[int(v > 0)],
    "float": lambda v: float(v > 0) * v,
    "int": lambda v: int(v > 0) * v,
    "a key": lambda v: {True: v, False: 2.0 * v}[v > 0],
    "a text": lambda v: v if str(v > 0) == "True" else -3.0 * v,
    "formatted": lambda v: v if f"{v > 0}" == "True" else -3.0 * v,
    "math": lambda v: math.exp(v > 0) * v,
    "a count": lambda v: sum(v for _ in range(int(1 + (v > 0)))),
    "not": lambda v: v if not v > 0 else -2.0 * v,
    "any": lambda v: v * any([v > 0]),
    "in": lambda v: v * ((v > 0) in [True]),
    "rounded": lambda v: round(v > 0) * v,
    "statistics": lambda v: statistics.mean([v > 0, 3]) * v,
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_python_must_know_is_a_guard(name: str) -> None:
    program = agrees_with_python(KNOWN[name])
    assert "2 paths" in repr(program)


# --- numbers that are read --------------------------------------------------------------------

READ: dict[str, Callable[[Any], Any]] = {
    "f-string": lambda v: v * float(f"{v:.1f}"),
    "format": lambda v: v * float(format(v, ".2e")),
    "str.format": lambda v: v * float("{:.1f}".format(v)),  # noqa: UP032
    "item": lambda v: v * v.item(),
    "data": lambda v: v * round(v.data, 1),
    "int": lambda v: v * int(v),
    "percent d": lambda v: v * float("%d" % v),  # noqa: UP031
    "a copysign": lambda v: math.copysign(1.0, v.data) + v,
    "a new Value": lambda v: Value(v.data) * v,
    "a key": lambda v: {x: k for k, x in enumerate(X)}[v.data] * v,
}


@pytest.mark.parametrize("name", READ)
def test_a_number_that_is_read_is_a_guard(name: str) -> None:
    agrees_with_python(READ[name])


def test_a_number_read_as_text_holds_for_that_number_alone() -> None:
    program = engine.compile(lambda x: x * float(f"{x:.1f}"))
    assert [program(3.72), program(10005.26)] == [3.72 * 3.7, 10005.26 * 10005.3]


def test_the_repr_of_a_traced_value_shows_no_number() -> None:
    seen = Notes()
    engine.compile(lambda x: [seen.add(f"{x!r} {x} {x + 1.0}"), x][1])(3.72)
    assert seen.lines == ["Value(data=…) Value(data=…) Value(data=…)"]
    with pytest.raises(ValueError, match="could not convert"):
        engine.compile(lambda x: x * float(repr(x).split("=")[1].split(",")[0]))(3.72)


def test_zeros_of_two_signs_are_two_paths() -> None:
    program = engine.compile(lambda x: math.copysign(1.0, x.data) + x, in_axes=0)
    assert program([0.0, -0.0]).tolist() == [1.0, -1.0]
    assert program([-0.0, 0.0]).tolist() == [-1.0, 1.0]
    single = engine.compile(lambda x: math.copysign(1.0, x.data) + x)
    assert [single(0.0), single(-0.0), single(0.0)] == [1.0, -1.0, 1.0]


def test_zeros_of_two_signs_are_two_constants() -> None:
    f = engine.compile(lambda x: [engine.atan2(x, 0.0), engine.atan2(x, -0.0)])
    assert f(0.0) == [0.0, math.pi]
    g = engine.compile(lambda x: [engine.atan2(x, -0.0), engine.atan2(x, 0.0)])
    assert g(0.0) == [math.pi, 0.0]
    total = engine.compile(lambda a, b, c: a + b + c - 0.0)(-0.0, -0.0, -0.0)
    assert math.copysign(1.0, total) == -1.0
    total = engine.compile(lambda a, b, c: a + b + c + 0.0)(-0.0, -0.0, -0.0)
    assert math.copysign(1.0, total) == 1.0


# --- what is refused, with what to write ------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: engine.where(~(x > 0), x, -x), r"test_contract_conditions.*where\(condition"),
        (lambda x: x if ~(x > 0) else -x, "not"),
    ],
)
def test_the_tilde_is_refused_naming_what_to_write(f: Any, words: str) -> None:
    with pytest.raises(TraceError, match=words):
        engine.compile(f)(1.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda w, a: w[a],
        lambda w, a: w[a + 1],
        lambda w, a: w[a:][0],
        lambda w, a: np.arange(3.0)[a] * w[0],
    ],
)
def test_an_index_that_is_traced_names_take_and_the_line(f: Any) -> None:
    with pytest.raises((TypeError, IndexError), match=r"engine\.take|only integers"):
        engine.compile(f)([1.0, 2.0, 3.0], 1)


def test_a_count_that_is_traced_says_what_to_write() -> None:
    def f(x: Any, n: Any) -> Any:
        return engine.sum(x**k for k in range(n))

    with pytest.raises(TypeError, match=re.escape("range(int(v))")):
        engine.compile(f)(2.0, 3)
    fixed = engine.compile(lambda x, n: engine.sum(x**k for k in range(int(n))))
    assert [fixed(2.0, n) for n in (3, 5, 3)] == [7.0, 31.0, 7.0]


# --- structures of numbers --------------------------------------------------------------------


def product(r: Any) -> Any:
    return r[0] * r[1] * r[2]


class Series:
    """What NumPy can make an array of, as a pandas Series is."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = numbers

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.numbers, dtype)


@pytest.mark.parametrize("arg", [range(1, 4), Series(1.0, 2.0, 3.0), [Fraction(1), 2, 3]])
def test_ranges_series_and_fractions_are_taken(arg: Any) -> None:
    for way in (engine.grad(product), engine.compile(product).grad):
        assert list(way(arg)) == [6.0, 3.0, 2.0]


def test_ranges_and_series_are_batches_too() -> None:
    square = engine.compile(lambda x: x * x, in_axes=0)
    assert square.grad(range(1, 4)).tolist() == [2.0, 4.0, 6.0]
    assert square.grad(Series(1.0, 2.0)).tolist() == [2.0, 4.0]


def refused() -> list[tuple[Any, str]]:
    from decimal import Decimal

    return [(Decimal("1.5"), r"float\(x\)"), ({1.0, 2.0}, "sorted")]


@pytest.mark.parametrize(("arg", "words"), refused(), ids=["Decimal", "set"])
def test_what_is_not_taken_says_what_to_write(arg: Any, words: str) -> None:
    for way in (engine.grad(lambda x: x), engine.compile(lambda x: x)):
        with pytest.raises(TypeError, match=words):
            way(arg)


def test_an_array_and_a_list_of_the_same_numbers_are_two_signatures() -> None:
    def f(x: Any) -> Any:
        return engine.sum(list(x * 2)) if isinstance(x, np.ndarray) else engine.sum(x * 2) + 1.0

    program = engine.compile(f)
    for _ in range(2):
        assert program([1.0, 2.0]) == 7.0
        assert program(np.array([1.0, 2.0])) == 6.0
    batch = engine.compile(f, in_axes=0)
    for _ in range(2):
        assert batch([[1.0, 2.0]]).tolist() == [7.0]
        assert batch(np.array([[1.0, 2.0]])).tolist() == [6.0]


# --- results of all paths have one structure --------------------------------------------------


def scored(x: Any) -> Any:
    loss, score = x * x, x * 0.0 + 1000.0
    return {"loss": loss, "acc": score} if x > 0 else {"acc": score, "loss": loss}


def test_results_are_matched_by_key() -> None:
    mean = engine.compile(scored, in_axes=0, reduce="mean")
    assert mean([1.0, -1.0, 2.0, -2.0]) == {"loss": 2.5, "acc": 1000.0}
    assert mean([-1.0, 1.0]) == {"loss": 1.0, "acc": 1000.0}
    each = engine.compile(lambda x: [scored(x), x], in_axes=0)([2.0, -3.0])
    assert each[0]["loss"].tolist() == [4.0, 9.0] and each[1].tolist() == [2.0, -3.0]


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
def test_beyond_64_paths_results_are_matched_by_key() -> None:
    xs = np.linspace(-4.0, 4.0, 100)
    program = engine.compile(lambda x: scored(x + 0.0 * x.data), in_axes=0)
    assert program(xs)["loss"].tolist() == (xs * xs).tolist()
    assert set(program(xs)["acc"].tolist()) == {1000.0}


def test_arrays_on_several_paths_are_one_array() -> None:
    X = np.array([[1.0, 2.0], [3.0, 1.0], [-1.0, -2.0]])
    lines = engine.compile(lambda p: {"a": 2.0 * p if p[0] > p[1] else p * p}, in_axes=0)
    assert lines(X)["a"].tolist() == [[1.0, 4.0], [6.0, 2.0], [-2.0, -4.0]]
    bent = engine.hessian(lambda p: p[0] * p[1] if p[0] > p[1] else p[0] ** 2)
    assert engine.compile(bent, in_axes=0)(X).tolist() == [bent(x).tolist() for x in X]


OTHERS: dict[str, Callable[[Any], Any]] = {
    "a number": lambda x: [x, x] if x < 4 else x,
    "another length": lambda x: [x, x] if x < 4 else [x, x, x],
    "a tuple": lambda x: [x, x] if x < 4 else (x, x),
    "another key": lambda x: {"a": x} if x < 4 else {"b": x},
    "one more key": lambda x: {"a": x} if x < 4 else {"a": x, "b": x},
    "nested otherwise": lambda x: [x, [x]] if x < 4 else [[x], x],
    "an array": lambda x: [x, x] if x < 4 else np.array([x, x]),
}


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
@pytest.mark.parametrize("count", [5, 100])
@pytest.mark.parametrize("name", OTHERS)
def test_another_structure_on_another_path_is_a_trace_error(name: str, count: int) -> None:
    f = OTHERS[name]
    with pytest.raises(TraceError, match="structure"):
        engine.compile(lambda x: f(x + 0.0 * x.data), in_axes=0)(np.linspace(0.0, 4.0, count))


@dataclass
class Answer:
    """A result with numbers, a list and a word."""

    loss: Any
    parts: list[Any]
    word: str = "fine"


def test_a_dataclass_is_a_result() -> None:
    def f(x: Any) -> Answer:
        return Answer(x * x, [x, 2.0 * x]) if x > 0 else Answer(-x, [x, 3.0 * x])

    assert engine.compile(f)(3.0) == Answer(9.0, [3.0, 6.0])
    assert engine.compile(f, in_axes=0, reduce="sum")([3.0, -1.0]) == Answer(10.0, [2.0, 3.0])
    batch = engine.compile(f, in_axes=0)([3.0, -1.0])
    assert batch.loss.tolist() == [9.0, 1.0] and batch.word == "fine"
    assert batch.parts.tolist() == [[3.0, 6.0], [-1.0, -3.0]]


def test_dataclasses_of_one_batch_say_the_same_words() -> None:
    def f(x: Any) -> Answer:
        return Answer(x, [x]) if x > 0 else Answer(x, [x], "below")

    with pytest.raises(TraceError, match="one structure"):
        engine.compile(f, in_axes=0)([3.0, -1.0])


def test_without_a_batch_each_path_has_its_own_structure() -> None:
    program = engine.compile(lambda x: [x, 2.0 * x] if x > 0 else x)
    assert [program(x) for x in (1.0, -1.0, 2.0)] == [[1.0, 2.0], -1.0, [2.0, 4.0]]
    assert program.grad(-3.0) == 1.0
    with pytest.raises(TypeError, match=r"list of 2.*jacobian"):
        program.grad(3.0)
    assert list(engine.compile(scored)(-1.0)) == ["acc", "loss"]


# --- further paths ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:this compiled function takes more")
def test_beyond_64_paths_there_are_gradients_by_shared_arguments() -> None:
    xs = np.arange(80.0)
    program = engine.compile(lambda w, x: w * w * x.data, in_axes=(None, 0))
    assert program.grad(3.0, xs).tolist() == (6.0 * xs).tolist()
    summed = engine.compile(lambda w, x: w * w * x.data, in_axes=(None, 0), reduce="sum")
    assert summed.grad(3.0, xs) == 6.0 * xs.sum()


def test_the_first_guard_that_fails_counts_whether_shared_or_a_lanes() -> None:
    def f(w: Any, x: Any) -> Any:
        if w > 0:  # shared
            return 10.0 * x if x > 0 else 20.0 * x
        return 100.0 * x if x > 0 else 99.0 * x + 11.0 * w

    program = engine.compile(f, in_axes=(None, 0))
    for w, xs in ((1.0, [1.0, 2.0]), (-1.0, [-1.0, 1.0]), (1.0, [-1.0, -2.0]), (-1.0, [1.0])):
        assert program(w, xs).tolist() == [f(w, x) for x in xs]


def test_a_shared_guard_behind_one_of_a_lane() -> None:
    def f(w: Any, x: Any) -> Any:
        y = x + 1.0 if x > 0 else x - 100.0
        return y * 10.0 if w > 0 else y + 0.5

    program = engine.compile(f, in_axes=(None, 0))
    assert program(1.0, [1.0]).tolist() == [20.0]
    assert program(-1.0, [-1.0]).tolist() == [-100.5]  # both flip in one call
    assert program(1.0, [10.0, -10.0]).tolist() == [110.0, -1100.0]


def test_two_takes_of_one_index_are_two() -> None:
    def f(t: Any, i: Any) -> Any:
        return engine.take(t[:2], i) * engine.take(t, i)

    program = engine.compile(f, in_axes=(None, 0))
    assert program([2.0, 3.0, 5.0], [-1.0, 0.0, 1.0, -2.0]).tolist() == [15.0, 4.0, 9.0, 6.0]
    assert engine.compile(f)([2.0, 3.0, 5.0], -1.0) == 15.0
