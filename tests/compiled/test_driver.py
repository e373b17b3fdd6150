"""The emitted driver does step by step what the interpreter's does: it is run on whole batches, in
training and without, with chunks that are not full, guards that fail, draws, and numbers that are
not finite."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest

import engine
from compiled.instruction_programs import Maker, Program
from compiled.program_runs import State, emitted, interpret, state_of, text_of
from engine.compiled import jitted
from engine.compiled.blocks import NAN_SEEN, NOT_FINITE, STEP, L, S, View
from engine.compiled.native.driver import FEW
from nn.optim import rules

pytestmark = pytest.mark.skipif(jitted.DISABLED, reason="nothing is emitted without Numba")

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
TOLERANCE = {"float64": 1e-12, "float32": 3e-5}
WIDTH = 8
COUNTS = (1, 7, 8, 9, 16, 21)
INPUTS = 20  # of S: the first six are weights; of L: 0 an index, 1 to 3 x, 4 a weight, 5 a flag


def program_of(dtype: str, kind: str, *, exact: bool = False) -> Program:
    """A noisy sum of tanh(W x + b) times a weight for each example, and that weight; its guards
    say that the flag is 1 and that the index is one of 3 entries. Or the same of S alone."""
    maker = Maker(random.Random(0), WIDTH, INPUTS)
    for constants in maker.constants:
        constants.clear()
    W, b, scale = View(S, 1, 6), View(S, 7, 2), View(S, 9, 3)
    shared = kind == "shared"
    space = S if shared else L
    maker.add("draw", maker.new(space, 1), shape=(maker.listed(S, [7]).first,))
    noise = View(space, INPUTS, 1)
    x, weight = View(space, 12 if shared else 1, 3), View(space, 15 if shared else 4, 1)
    y = maker.new(space, 2)
    maker.add("product", y, W, x, b, None, shape=(2, 3, 1))
    h = maker.new(space, 2)
    maker.add("map", h, y, name="tanh")
    chosen = maker.new(space, 1)
    maker.add("take", chosen, View(space, 0, 1), maker.listed(S, range(9, 12)), shape=(1,))
    if kind != "plain":
        checks = [(0, 3, 3), (16 if shared else 5, 1, 0)]
        first = len(maker.checks)
        maker.checks += checks
        maker.expected += [0.0, 1.0]
        maker.add("guard", View(space, 0, 0), shape=(first, 2))
    if kind == "guarded":  # of a number that is shared, too
        maker.checks.append((16, 2, 0))
        maker.expected.append(1.0)
        maker.add("guard", View(S, 0, 0), shape=(2, 1))
    noisy = maker.new(space, 1)
    maker.add("map", noisy, noise, chosen, name="mul")
    term = maker.new(space, 1)
    left = maker.listed(space, [h.first, h.first + 1, noisy.first])
    right = maker.listed(space, [weight.first] * 3)
    maker.add("dot", term, left, right, None, shape=(3, 0))
    del scale
    outputs = [(space, term.first), (space, weight.first)]
    wanted = [(S, row) for row in range(1, 12)]
    wanted += [] if shared else [(L, 1), (L, 3)]
    fields = {"outputs": outputs, "wanted": wanted, "training": True}
    return maker.function(dtype, exact=exact, **fields)


@functools.cache
def machine_code(dtype: str) -> dict[str, tuple[Program, Callable[[State], None]]]:
    programs = {kind: program_of(dtype, kind) for kind in ("plain", "guarded", "shared")}
    programs["exact"] = program_of(dtype, "guarded", exact=True)
    runs = emitted([*programs.values()])
    return {kind: (programs[kind], run) for kind, run in zip(programs, runs, strict=True)}


def ready(
    program: Program, seed: int, count: int, *, steps: int = 4, training: bool = True
) -> State:
    """Numbers that all guards hold for, and the work of some steps of `count` examples."""
    rng = random.Random(seed)
    state = state_of(program, rng, steps * count, full=False, steps=steps)
    work, dtype = state.work, program.dtype
    data = work.data if work.in_order else work.data.T
    data[0] = [rng.choice((0.0, 1.0, 2.0, -1.0, -3.0)) for _ in data[0]]
    data[4] = [rng.uniform(0.5, 2.0) for _ in data[4]]
    data[5] = 1.0
    state.vs[[0, 16]] = 1.0
    state.vs[15] = 0.75
    work.starts = np.array([[k * count, (k + 1) * count] for k in range(steps)], np.int64)
    work.training = training
    work.fail, work.found = work.fail[: max(1, count)], work.found[: max(1, count)]
    places = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    if seed % 3 == 1:
        rng.shuffle(places)
        places[3] = -1
    work.places = np.array(places, np.int64)
    work.theta = np.array([rng.uniform(-1.0, 1.0) for _ in places], dtype)
    work.gradient = np.full(len(places), np.nan, dtype)
    work.slots = np.array([rng.uniform(-1.0, 1.0) for _ in places], dtype)
    own = [1.0, 0.1, 0.05, 0.9, 1.0, 0.0]  # of `rules.sgd`
    told = [0.0, math.inf, 0.0, 1.0, len(places), len(own), *own]
    work.settings = np.array([told] * steps, dtype)
    work.rule = rules.sgd if training else None
    work.mean = training and seed % 2 == 0
    work.weights = np.array([1.0, 0.0], dtype)
    work.outputs = np.full((2, steps * count), np.nan, dtype)
    if not training:
        work.theta = work.gradient = work.slots = np.zeros(0, dtype)
        work.places = np.full(1, -1, np.int64)
        work.weights[:] = [rng.choice((0.5, 0.0, -1.0)) for _ in range(2)]
    return state


def compare(state: State, run: Callable[[State], None]) -> State:
    """Run it both ways; all that is there afterwards is the same."""
    dtype = state.program.dtype
    actual, expected = state.copy(dtype), state.copy("float64")
    run(actual)
    interpret(expected)
    near = TOLERANCE[dtype]
    assert actual.done == expected.done
    np.testing.assert_array_equal(actual.pool, expected.pool)
    work, other = actual.work, expected.work
    np.testing.assert_array_equal(work.fail, other.fail)
    failed = work.fail >= 0
    np.testing.assert_array_equal(work.found[failed], other.found[failed].astype(dtype))
    names = ["theta", "slots"] if work.training else ["outputs", "lane_gradient"]
    names += ["gradient"] if work.training and actual.done == len(work.starts) else []
    for name in names:
        a, b = getattr(work, name), getattr(other, name)
        np.testing.assert_allclose(a, b, rtol=near, atol=near, err_msg=name)
    if work.training:
        done = min(actual.done + 1, len(work.starts))
        a, b = work.losses[:done], other.losses[:done]
        np.testing.assert_allclose(a, b, rtol=near, atol=near * 10)
    elif work.backward:
        rows = [row for space, row in state.program.wanted if space == S]
        np.testing.assert_allclose(actual.gs[rows], expected.gs[rows], rtol=near, atol=near * 10)
    return actual


@DTYPES
@pytest.mark.parametrize("kind", ["plain", "guarded", "shared", "exact"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "one call"])
def test_batches_of_all_sizes(kind: str, training: bool, dtype: str) -> None:
    program, run = machine_code(dtype)[kind]
    for seed, count in enumerate(COUNTS):
        steps = 4 if training else 1
        state = ready(program, seed, count, steps=steps, training=training)
        if kind == "shared":
            state.work.starts[:] = 0
        done = compare(state, run)
        assert done.done == steps
        assert done.pool[STEP] - state.pool[STEP] == (steps if training else 0)


@DTYPES
def test_an_example_without_others_draws_by_its_own_number(dtype: str) -> None:
    """Not by its place in the chunk, nor by the data's."""
    program, run = machine_code(dtype)["plain"]
    state = ready(program, 0, 11, steps=1, training=False)
    first = compare(state, run).work.outputs.copy()
    state.work.ids[9] += 1
    second = compare(state, run).work.outputs
    changed = (first != second).any(axis=0)
    assert changed.nonzero()[0].tolist() == [9]


@DTYPES
@pytest.mark.parametrize("kind", ["guarded", "exact"])
@pytest.mark.parametrize("example", [0, 7, 8, 10])
def test_a_guard_that_fails_ends_training_before_that_update(
    kind: str, example: int, dtype: str
) -> None:
    program, run = machine_code(dtype)[kind]
    for row, number, order in ((5, 0.0, 1), (0, 3.0, 3), (0, 0.5, 3)):
        state = ready(program, 1, 11)
        state.work.in_order = True
        state.work.data = np.ascontiguousarray(
            state.work.data if state.work.data.shape[0] == INPUTS else state.work.data.T
        )
        state.work.data[row, 2 * 11 + example] = number
        actual = compare(state, run)
        assert actual.done == 2
        assert actual.work.fail.tolist()[:11] == [order if k == example else -1 for k in range(11)]
        assert actual.work.found[example] == number


@DTYPES
def test_an_example_whose_guard_failed_has_no_part_in_gradients(dtype: str) -> None:
    program, run = machine_code(dtype)["guarded"]
    state = ready(program, 0, 11, steps=1, training=False)
    state.work.weights[:] = 1.0
    data = state.work.data if state.work.in_order else state.work.data.T
    data[5, 4] = -1.0
    actual = compare(state, run)
    place = 4 if state.work.in_order else state.work.order.tolist().index(4)
    assert (actual.work.fail >= 0).nonzero()[0].tolist() == [place]
    assert (actual.work.lane_gradient[place] == 0.0).all()
    state.work.trusted = 2  # then another run has decided about the first
    assert (compare(state, run).work.fail == -1).all()


@DTYPES
def test_a_guard_of_numbers_that_are_shared_fails_for_all_examples(dtype: str) -> None:
    program, run = machine_code(dtype)["shared"]
    state = ready(program, 0, 1, steps=3)
    state.work.starts[:] = 0
    state.vs[16] = 2.0
    actual = compare(state, run)
    assert (actual.done, actual.work.fail[0], actual.work.found[0]) == (0, 1, 2.0)


@DTYPES
@pytest.mark.parametrize("training", [True, False])
def test_such_a_guard_fails_for_each_example_of_a_batch(training: bool, dtype: str) -> None:
    program, run = machine_code(dtype)["guarded"]
    state = ready(program, 0, 11, steps=3 if training else 1, training=training)
    state.vs[16] = 2.0
    actual = compare(state, run)
    assert actual.done == (0 if training else 1)
    assert (actual.work.fail[:11] == 2).all() and (actual.work.found[:11] == 2.0).all()


@DTYPES
@pytest.mark.parametrize("number", [math.nan, math.inf], ids=str)
def test_a_gradient_that_is_nan_ends_training_before_that_update(number: float, dtype: str) -> None:
    program, run = machine_code(dtype)["plain"]
    state = ready(program, 0, 11)
    data = state.work.data if state.work.in_order else state.work.data.T
    where = 3 * 11 + 9 if state.work.in_order else state.work.order[3 * 11 + 9]
    data[2, where] = number
    actual = compare(state, run)
    assert (actual.done, actual.pool[NAN_SEEN]) == (3, 1)
    assert np.isfinite(actual.work.theta).all()


@DTYPES
def test_weights_that_sum_to_0_end_training_before_that_update(dtype: str) -> None:
    program, run = machine_code(dtype)["plain"]
    state = ready(program, 0, 9)
    data = state.work.data if state.work.in_order else state.work.data.T
    places = np.arange(9, 18)
    data[4, places if state.work.in_order else state.work.order[places]] = 0.0
    assert compare(state, run).done == 1
    # gradients alone are those of the sum: a row for each step, of examples that go on
    state.work.rule, state.work.mean = None, False
    state.work.gradient = np.zeros((4, len(state.work.theta)), dtype)
    state.work.ids = np.arange(4 * 9 + 16)
    assert compare(state, run).done == 4


@DTYPES
@pytest.mark.parametrize("place", ["last example", "only in a copy", "shared"])
def test_what_is_not_finite_is_noted_where_that_is_asked_for(place: str, dtype: str) -> None:
    """A chunk is filled up with its first example; what these lanes hold is nobody's."""
    program, run = machine_code(dtype)["plain"]
    state = ready(program, 0, 9, steps=1, training=False)
    data = state.work.data if state.work.in_order else state.work.data.T
    state.pool[NOT_FINITE] = -1
    assert compare(state, run).pool[NOT_FINITE] == -1
    if place == "last example":
        data[6, 8 if state.work.in_order else state.work.order[8]] = math.inf
    elif place == "shared":
        state.vs[18] = -math.inf
    noted = 1 if place != "only in a copy" else -1
    assert compare(state, run).pool[NOT_FINITE] == noted
    state.pool[NOT_FINITE] = 0
    assert compare(state, run).pool[NOT_FINITE] == 0


@DTYPES
def test_without_gradients_only_outputs_are_given(dtype: str) -> None:
    program, run = machine_code(dtype)["guarded"]
    state = ready(program, 2, 13, steps=1, training=False)
    state.work.backward = False
    actual = compare(state, run)
    assert not np.isnan(actual.work.outputs).any()
    assert np.isnan(actual.work.lane_gradient).all()


def test_no_steps_at_all() -> None:
    program, run = machine_code("float64")["plain"]
    state = ready(program, 0, 5)
    state.work.starts = np.zeros((0, 2), np.int64)
    before = state.work.theta.copy()
    run(state)
    assert state.done == 0
    np.testing.assert_array_equal(state.work.theta, before)


@pytest.mark.parametrize("inputs", [1, 3, 6, 23])
@pytest.mark.parametrize("in_order", [False, True], ids=["rows", "columns"])
def test_examples_of_any_size_are_read(inputs: int, in_order: bool) -> None:
    """Some of their numbers together, and the rest one by one."""
    X = np.random.default_rng(inputs).normal(size=(19, inputs))
    program = engine.compile(
        lambda xs: engine.sum([(k + 1.0) * x for k, x in enumerate(xs)]), in_axes=0
    )
    value, gradient = program.value_and_grad(np.asfortranarray(X) if in_order else X)
    weights = np.arange(1.0, inputs + 1.0)
    np.testing.assert_allclose(value, X @ weights, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(gradient, np.tile(weights, (19, 1)))


def program_of_many(count: int) -> Program:
    """tanh of so many inputs of S and of L, with the gradient by each."""
    maker = Maker(random.Random(0), WIDTH, count + 1)  # before them one that is an index elsewhere
    outputs, wanted = [], []
    for space in (S, L):
        maker.constants[space].clear()
        maker.add("map", maker.new(space, count), View(space, 1, count), name="tanh")
        outputs += [(space, count + 1 + row) for row in range(count)]
        wanted += [(space, 1 + row) for row in range(count)]
    random.Random(count).shuffle(outputs)
    return maker.function("float64", outputs=outputs, wanted=wanted, training=True)


def test_outputs_and_gradients_by_example_are_written_out_only_if_they_are_few() -> None:
    program = program_of_many(FEW + 5)
    (run,) = emitted([program])
    for seed in range(3):
        state = state_of(program, random.Random(seed), 11, full=False)
        state.work.training = False
        state.work.weights[:] = np.arange(1.0, len(state.work.weights) + 1.0)
        actual = compare(state, run)
        assert not np.isnan(actual.work.outputs).any()
        assert (actual.work.lane_gradient != 0.0).all()
    sizes = [text_of(program_of_many(count)).count("\n") for count in (600, 1200)]
    assert sizes[1] - sizes[0] < 10


def test_what_drivers_share_is_in_no_program() -> None:
    """A driver calls it, so that more inputs are no more code."""
    sizes = []
    for count in (64, 128):
        maker = Maker(random.Random(0), WIDTH, count)
        maker.map(L, 1, "tanh")
        text = text_of(maker.function("float64", outputs=[(L, count)], wanted=[(L, 1)]))
        sizes.append(text[text.index("@drive") :].count("\n"))
    assert sizes[0] == sizes[1]
