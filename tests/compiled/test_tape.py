"""The tape: in the order of recording, folded, without repetitions; on objects and on columns."""

from __future__ import annotations

import gc
import itertools
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from liftable import LIFTABLE

import engine
from engine import TraceError, Value
from engine.compiled import lift as lifting
from engine.compiled import objects, sequential
from engine.compiled.columns import CONSTANT, DRAW, INPUT, TAKE
from engine.compiled.lift import Blocks, lift
from engine.compiled.origins import lift_with_origins
from engine.compiled.surroundings import Surroundings
from engine.compiled.tape import Tape, tape_of
from engine.compiled.trace import Recording, record_call
from engine.functions import FUNCTIONS
from engine.trees import flatten
from engine.value import computed_leaf
from random_graphs import random_graph, run

native = pytest.mark.skipif(objects.DISABLED, reason="nothing becomes machine code")


def recorded(f: Callable[..., Any], *args: Any) -> Recording:
    """What f records on some arguments."""
    numbers, rebuild = flatten(list(args))
    inputs = [computed_leaf(x) for x in numbers]
    build = lambda leaves: (rebuild(list(leaves)), {})  # noqa: E731
    return record_call(f, build, inputs, (), Surroundings([f]))


def tape(f: Callable[..., Any], *args: Any) -> Tape:
    return tape_of(recorded(f, *args))


def text(tape: Tape) -> list[str]:
    """The operations of a tape, by name and places."""
    kinds = {INPUT: "input", CONSTANT: "constant", DRAW: "draw", TAKE: "take"}
    found = []
    for op, a, b, c, number in zip(tape.op, tape.a, tape.b, tape.c, tape.number, strict=True):
        if op in kinds and op != TAKE:
            found.append(f"{kinds[op]} {number:g}")
        else:
            name = kinds[TAKE] if op == TAKE else tape.names[op]
            found.append(" ".join(map(str, [name, *(int(x) for x in (a, b, c) if x >= 0)])))
    return found


# --- what is on it ----------------------------------------------------------------------------


def test_nodes_are_in_the_order_in_which_they_were_made() -> None:
    def f(x: Any) -> Any:
        late = x.exp()
        unused = late * 2.0  # noqa: F841
        first = x * 3.0
        return first + late

    assert text(tape(f, 1.5)) == ["input 0", "exp 0", "constant 3", "mul 0 2", "add 3 1"]


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: (x * 1.0) / 1.0 * (1.0 * x) ** 1.0, ["input 0", "constant 1", "mul 0 0"]),
        (lambda x: x.exp() + x.exp(), ["input 0", "exp 0", "add 1 1"]),
        (lambda x: x * 0.0, ["input 0", "constant 0", "mul 0 1"]),
        (lambda x: x - x, ["input 0", "sub 0 0"]),
        (lambda x: x + Value(2.0).exp().log(), ["input 0", "constant 2", "constant 7.38906"]),
        (
            lambda x: x + 0.0 - (-0.0),
            ["input 0", "constant 0", "add 0 1", "constant -0", "sub 2 3"],
        ),
    ],
)
def test_constants_and_repetitions_are_dropped_and_nothing_else(
    f: Callable[..., Any], expected: list[str]
) -> None:
    assert text(tape(f, 0.5))[: len(expected)] == expected


def test_what_a_constant_gives_is_what_the_row_computes_bit_for_bit() -> None:
    numbers = [0.1, -0.0, 1e300, float("nan"), float("inf"), -3.7]
    for name in ("sin", "exp", "cbrt", "log", "sqrt", "square"):
        forward = engine.ops.TABLE[name].forward
        assert forward is not None
        for x in numbers:
            found = tape(lambda y, x=x, name=name: y + getattr(Value(x), name)(), 1.0)
            folded = found.number[found.b[found.outputs[0]]]
            assert repr(float(folded)) == repr(forward(x))


def test_a_tape_takes_24_bytes_an_operation() -> None:
    found = tape(lambda x: engine.sum(engine.sin(x * k) for k in range(100)), 0.5)
    columns = (found.op, found.a, found.b, found.c, found.number)
    assert sum(column.itemsize for column in columns) <= 24
    assert all(column.base is None for column in columns)  # nothing larger is kept alive


def test_the_recorded_graph_is_freed_without_the_collector() -> None:
    program = engine.compile(lambda x: engine.exp(x * 2.0) + (x if x > 0.0 else engine.random()))

    def values() -> int:
        return sum(type(x) is Value for x in gc.get_objects())

    gc.collect()
    before = values()
    gc.disable()
    try:
        for x in (1.0, -1.0):
            program(x)
        assert values() == before
    finally:
        gc.enable()


# --- on objects and on columns ----------------------------------------------------------------

W = [Value(0.3), Value(-0.7), Value(1.1)]
INSIDE = W[0] * W[1] + W[2].exp()  # an interior Value from outside
V = [Value(k + 0.5) for k in range(4)]  # leaves that are met on the way, in the order of their use
OPS = [INSIDE.tanh() * W[2], INSIDE + 1.0]


def unpickled(x: Any) -> Any:
    """A graph that is made in a way of its own, and reaches what was made under trace."""
    return pickle.loads(PICKLED) * x


PICKLED = pickle.dumps((Value(2.0) * Value(3.0)).sin())


def tangled(x: Any) -> Any:
    """Nodes whose operands were made inside, though none of them was noted."""
    own = x * 2.0
    node = engine.sin(own)
    copied = Value.__new__(Value)
    for name in ("_data", "op", "_a", "_x", "_b", "_y", "_rest", "_grad", "label", "scope"):
        setattr(copied, name, getattr(node, name))
    return copied * own + node


def second(x: Any) -> Any:
    return engine.grad(engine.grad(lambda z: engine.sin(z * W[0]) * engine.where(z > 0, z, 1.0)))(x)


def stepwise(rate: Any, x: Any) -> Any:
    """Very many levels with little on each, of one argument, of both, and of neither, with more on
    some."""
    y, z, w = x, rate, rate * 0.0 + 1.0
    for k in range(60):
        z, w = z + 0.1 * (rate * w - z * w), w * engine.cos(z)
        x, y = x + 0.1 * (rate * engine.sin(y) - z * k), engine.tanh(x * y - x * w)
    wide = engine.sum(engine.exp(x * k) * k for k in range(40))
    for _ in range(60):
        wide = engine.maximum(wide * 0.5 - rate * w, engine.where(wide > 1, y, x * rate))
    return [x, y, wide]


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "outside": (lambda x: [INSIDE * x, OPS[1], OPS[0] * INSIDE, W[1], 3.0], (0.5,)),
    "outside alone": (lambda x: OPS, (0.5,)),
    "leaves alone": (lambda x: [W[2], x, 1.5, Value(2.5), W[0]], (0.5,)),
    "guards": (lambda x: x * W[0] if INSIDE > 0 and x < 1 and W[1].data < 5 else x, (0.5,)),
    "takes": (
        lambda x, i: [
            engine.take([x * k for k in range(5)], i) * engine.take([x * k for k in range(5)], i),
            engine.take([W[0], 2.0, 2.0, INSIDE], i),
        ],
        (0.5, 2.0),
    ),
    "choices": (
        lambda x: [
            engine.where(Value(1.0) > 0.0, x, 2.0 * x) + engine.where(x > 0, 3.0, W[0]),
            engine.where(x > x * 0.0, Value(float("nan")) * 2.0, -Value(0.0)),
        ],
        (0.5,),
    ),
    "leaves of a choice": (lambda x: engine.where(x > V[3], V[1], V[2]) * V[0], (0.5,)),
    "leaves of a take": (
        lambda x, i: x * V[3] * V[2] * engine.take([V[0], x, V[1]], i),
        (0.5, 2.0),
    ),
    "no operations": (lambda x: [x, 2.0], (0.5,)),
    "second derivatives": (second, (0.5,)),
    "unpickled": (unpickled, (0.5,)),
    "tangled": (tangled, (0.5,)),
    "stepwise": (stepwise, (0.3, 0.5)),
    "draws": (lambda x: x * engine.random() + engine.random() * W[0], (0.5,)),
    **{name: (f.function, (f.parameters(), f.examples(1)[0])) for name, f in LIFTABLE.items()},
}


def random_case(seed: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    graph = random_graph(seed, 0)
    return lambda x: run(graph, FUNCTIONS, x), ([*graph.inputs],)


CASES |= {f"random{seed}": random_case(seed) for seed in range(30)}


@native
@pytest.mark.parametrize("name", CASES)
def test_columns_give_the_tape_that_objects_give(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, args = CASES[name]
    recording = recorded(f, *args)
    places: list[dict[Value, int]] = [{}, {}]
    plain = tape_of(recording, W[1:], places[0])
    monkeypatch.setattr(sequential, "MANY", 0)
    found = tape_of(recording, W[1:], places[1])
    assert found.equals(plain) and text(found) == text(plain)
    assert [*map(id, found.leaves)] == [*map(id, plain.leaves)]
    assert (found.outputs, repr(found.guards)) == (plain.outputs, repr(plain.guards))
    assert found.recorded == plain.recorded
    assert {id(x): k for x, k in places[0].items()} == {id(x): k for x, k in places[1].items()}


@native
@pytest.mark.parametrize("many", [False, True])
def test_an_operation_that_is_not_in_the_table_matters_only_where_it_is_reached(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequential, "MANY", 0 if many else 10**9)
    twice = engine.custom_op("twice", lambda x: 2.0 * x, [lambda x, y: 2.0])
    outside = twice(W[0])

    def unused(x: Any) -> Any:
        outside * x
        return x * 2.0

    assert text(tape(unused, 1.0)) == ["input 0", "constant 2", "mul 0 1"]
    with pytest.raises(TraceError, match="the operation 'twice' of a node is not in the table"):
        tape(lambda x: outside * x, 1.0)


# --- lifting, too -----------------------------------------------------------------------------


def parts(blocks: Blocks) -> list[Any]:
    """All that blocks are, to be compared."""
    segments = blocks.lists.segments
    columns = (segments.code, segments.out, segments.a, segments.b, segments.c)
    single = [column.tolist() for column in columns]
    constants = [repr(sorted(numbers.items())) for numbers in blocks.lists.constants]
    found: Sequence[Any] = (
        *(blocks.instructions, blocks.rows, constants, blocks.shared_inputs, blocks.lane_inputs),
        *(
            blocks.split_inputs,
            blocks.outputs,
            repr(blocks.checks),
            blocks.lists.pool.tolist(),
            single,
        ),
    )
    return [*found]


@native
@pytest.mark.parametrize("lifted", [True, False])
@pytest.mark.parametrize("lanes", [0, 1, 100])
@pytest.mark.parametrize("name", CASES)
def test_arrays_give_the_blocks_that_lists_give(
    name: str, lanes: int, lifted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, args = CASES[name]
    found = tape(f, *args)
    arguments = int((found.op == INPUT).sum()) - len(found.leaves)
    given = range(arguments)[-lanes:] if lanes else []
    split = range(arguments)[: -lanes or None][:1] if lanes else []
    plain = lift(found, given, split, lifted=lifted, batched=lanes > 0)
    monkeypatch.setattr(sequential, "MANY", 0)
    for long in (64, 1):  # groups from which on all is done on arrays
        monkeypatch.setattr(lifting, "LONG", long)
        monkeypatch.setattr(lifting.emit, "LONG", long)
        again = lift(found, given, split, lifted=lifted, batched=lanes > 0)
        assert parts(again) == parts(plain)
        if lifted:
            blocks, origins = lift_with_origins(found, given, split, batched=lanes > 0)
            assert parts(blocks) == parts(plain)
            assert len(origins.instruction) == len(found)


@native
def test_a_wide_function_gives_the_same_blocks_on_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers shared over positions, with signs, repetitions and biases of several kinds."""
    rng = np.random.default_rng(0)
    weight = [[Value(w) for w in row] for row in rng.normal(size=(9, 6)).tolist()]
    bias = [Value(b) for b in rng.normal(size=9).tolist()]

    def f(X: Any) -> Any:
        total: Any = 0.0
        for n, x in enumerate(X):
            hidden = []
            for row, b in zip(weight, bias, strict=True):
                terms = [w * y if n % 2 else y * w for w, y in zip(row, x, strict=True)]
                sign = -1.0 if n % 3 == 0 else 1.0
                hidden.append(engine.relu(engine.sum(terms) + sign * b + (x[0] if n % 5 else 0.0)))
            total = total + engine.sum(h * g for h, g in itertools.pairwise(hidden))
        return total

    X = rng.normal(size=(40, 6)).tolist()
    found = tape(f, X)
    assert len(found) > sequential.MANY
    arrays = parts(lift(found))
    monkeypatch.setattr(sequential, "MANY", 10**9)
    assert parts(lift(found)) == arrays
