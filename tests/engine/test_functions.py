"""The functions of rows as they present themselves, and those that no row stands for: `detach`,
`take` and functions of lists; what rows compute is in test_ops.py."""

import inspect
import math
import random
from typing import Any

import numpy as np
import pytest

import engine
from engine import Value
from engine.functions import FUNCTIONS
from engine.ops import TABLE

# --- of rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_help_tells_what_the_row_says(name: str) -> None:
    function, op = FUNCTIONS[name], TABLE[name]
    assert (function.__name__, function.__doc__) == (op.name, op.doc)
    assert [*inspect.signature(function).parameters] == [*inspect.signature(op.forward).parameters]


# --- detach ---------------------------------------------------------------------------------


def test_a_detached_value_is_a_new_leaf_of_the_same_number() -> None:
    y = Value(2.0, label="x") * 3.0
    for leaf in (engine.detach(y), y.detach()):
        assert leaf is not y
        assert (leaf.data, leaf.op, leaf.args, leaf.grad) == (6.0, None, (), 0.0)
    assert engine.detach(Value(2.0, label="x")).label == "x"


def test_a_detached_factor_is_a_constant_to_every_order() -> None:
    def f(x: Any) -> Any:
        return x * x * engine.detach(x)

    assert engine.grad(f)(3.0) == 18.0
    assert engine.grad(engine.grad(f))(3.0) == 6.0
    assert engine.jvp(f, (3.0,), (1.0,)) == (27.0, 18.0)


def test_backward_reaches_a_detached_leaf_and_goes_no_further() -> None:
    x = Value(3.0)
    constant = engine.detach(x)
    (x * constant).backward()
    assert (x.grad, constant.grad) == (3.0, 3.0)


def test_detaching_a_plain_number_gives_a_float() -> None:
    assert engine.detach(3) == 3.0 and type(engine.detach(3)) is float
    with pytest.raises(TypeError):
        engine.detach([1.0])


# --- norm -----------------------------------------------------------------------------------


def test_the_norm_of_a_unit_vector_is_1_and_of_zeros_0() -> None:
    for xs, length, gradient in (
        ([0.0, 1.0], 1.0, [0.0, 1.0]),
        ([-1.0], 1.0, [-1.0]),
        ([0.0, 0.0], 0.0, [0.0, 0.0]),
        ([3.0, 4.0], 5.0, [0.6, 0.8]),
    ):
        assert engine.norm(xs) == length
        assert engine.grad(engine.norm)(xs) == pytest.approx(gradient, rel=1e-15)


# --- softmax --------------------------------------------------------------------------------


def test_softmax_of_plain_numbers_never_raises() -> None:
    assert all(math.isnan(p) for p in engine.softmax([-math.inf, -math.inf]))


# --- log_softmax ----------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [1.0, 2.0**30, -(2.0**50)])
def test_what_numbers_have_in_common_takes_nothing_from_log_softmax(offset: float) -> None:
    found = engine.log_softmax([offset, offset + 3.0, offset - 5.0])
    assert found == engine.log_softmax([0.0, 3.0, -5.0])


def test_log_softmax_of_numbers_far_apart_does_not_overflow() -> None:
    assert engine.log_softmax([1e300, 0.0, -1e300]) == [0.0, -1e300, -2e300]


# --- take -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(-3, 3))
@pytest.mark.parametrize("kind", [int, float, np.int64, np.float64, Value])
def test_take_finds_what_indexing_finds(kind: type, index: int) -> None:
    for sequence in ([10.0, 20.0, 30.0], (10.0, 20.0, 30.0), np.array([10.0, 20.0, 30.0])):
        assert engine.take(sequence, kind(index)) == sequence[index]


def test_the_index_may_be_computed() -> None:
    assert engine.take([10.0, 20.0, 30.0], engine.floor(Value(1.7)) + 1.0) == 30.0


def test_an_entry_is_the_sequences_own() -> None:
    rows = [[Value(1.0), 2.0], [Value(3.0), 4.0]]
    assert engine.take(rows, Value(-1.0)) is rows[1]
    assert engine.take(engine.take(rows, 0), Value(0.0)) is rows[0][0]


def test_an_array_of_two_axes_gives_a_row() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert engine.take(matrix, Value(-1.0)).tolist() == [5.0, 6.0]
    values = np.array([[Value(1.0)], [Value(2.0)]])
    assert engine.take(values, Value(1.0))[0] is values[1, 0]


def test_the_gradient_flows_to_the_entry_and_not_to_the_index() -> None:
    entries, index = [Value(2.0), Value(3.0)], Value(1.0)
    (engine.take(entries, index) ** 2).backward()
    assert [x.grad for x in (*entries, index)] == [0.0, 6.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_of_a_look_up_is_that_of_one_hot_weights(seed: int) -> None:
    """As in an embedding: rows looked up several times, or not at all."""
    rng = random.Random(seed)
    table = [[rng.gauss(0.0, 1.0) for _ in range(2)] for _ in range(4)]
    places = [rng.randrange(4) for _ in range(5)]

    def looked_up(table: Any) -> Any:
        return engine.prod(engine.sum(engine.take(table, Value(i))) for i in places)

    def weighted(table: Any) -> Any:
        one_hots = [[float(k == i) for k in range(4)] for i in places]
        sums = [engine.sum(row) for row in table]
        return engine.prod(engine.dot(one_hot, sums) for one_hot in one_hots)

    gradient, expected = (np.array(engine.grad(f)(table)) for f in (looked_up, weighted))
    # rows that are looked up again collect their parts in another order
    assert gradient == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize("index", [1.5, -0.5, math.nan, math.inf, -math.inf])
def test_an_index_that_is_not_whole_is_a_value_error(index: float) -> None:
    for number in (index, Value(index)):
        with pytest.raises(ValueError, match=f"take needs a whole number as index, not {index!r}"):
            engine.take([1.0, 2.0], number)


@pytest.mark.parametrize("index", [3, -4, 10**6])
def test_an_index_out_of_range_is_an_index_error(index: int) -> None:
    message = f"take: index {index} is out of range for 3 entries"
    for number in (index, Value(index)):
        with pytest.raises(IndexError, match=message):
            engine.take([1.0, 2.0, 3.0], number)


def test_nothing_can_be_taken_from_an_empty_sequence() -> None:
    with pytest.raises(IndexError, match="index 0 is out of range for 0 entries"):
        engine.take([], 0)


@pytest.mark.parametrize("index", ["1", None, [0], 1j], ids=repr)
def test_an_index_that_is_no_number_is_a_type_error(index: object) -> None:
    with pytest.raises(TypeError):
        engine.take([1.0, 2.0], index)


@pytest.mark.parametrize("of", [engine.sum, engine.mean])
@pytest.mark.parametrize(
    "rows", [[[1.0, 2.0], [3.0]], [(1.0,), (2.0,)], ["a", "b"], [[Value(1.0)]]]
)
def test_rows_are_not_put_behind_one_another(of: Any, rows: Any) -> None:
    with pytest.raises(TypeError, match=r"\[engine\.sum\(row\) for row in rows\]"):
        of(rows)
