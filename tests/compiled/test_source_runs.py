"""A printed program runs to the same numbers: whatever its inputs are called, on random graphs,
with loops and guards."""

from __future__ import annotations

import builtins
import inspect
import keyword
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import engine
from engine.ops import TABLE
from random_graphs import ENGINE, random_graph, run

TOLERANCE = 1e-11  # of the largest number: a text may add and multiply in another order
# What a text may call things of its own, and what it may need of Python.
NAMES = [
    *("N", "np", "math", "C", "x", "y", "z1", "a1", "h1", "h2", "g1", "k1", "r1", "dx", "dN"),
    *("delta1", "W1", "theta", "draws", "LIST_1", "t", "k"),
    *("j", "out", "value", "value_and_gradient", "sigmoid"),
    *("sigmoid_prime", "pow_dx", "iv", "irection", "x²", "σ", "ﬁ", "fi", "N_", "np_", "_", "match"),
    *(name for name in dir(builtins) if name.isidentifier() and not keyword.iskeyword(name)),
    *TABLE,
]


def named(f: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """The same function with other names for its parameters."""

    def function(*operands: Any) -> Any:
        return f(*operands)

    kind = inspect.Parameter.POSITIONAL_ONLY
    legal = [name for name in names if name.isidentifier()]
    assert len(legal) == len(names)
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in names]
    )
    return function


def printed(program: engine.Program, *args: Any) -> tuple[Any, list[Any]]:
    """The value and the gradient by its text, without making machine code."""
    arguments, paths = program._prepared(args, {})
    paths.outputs(arguments, (0, 0))
    program._wanted(arguments, args)
    names: dict[str, Any] = {}
    exec(program.source(), names)
    value, gradient = names["value_and_gradient"](*[np.array(x, float) for x in args])
    return value, list(gradient.values())


def eager(f: Callable[..., Any], *args: Any) -> tuple[Any, tuple[Any, ...]]:
    return engine.value_and_grad(f, tuple(range(len(args))))(*args)


def assert_close(found: tuple[Any, Any], wanted: tuple[Any, Any]) -> None:
    numbers = [np.concatenate([np.ravel(part) for part in (v, *g)]) for v, g in (found, wanted)]
    largest = np.abs(numbers[1]).max()
    np.testing.assert_allclose(*numbers, rtol=0.0, atol=TOLERANCE * largest)


def check_graph(seed: int) -> None:
    """A random graph under random names, alone and as a batch that shares the first input."""
    rng = random.Random(f"names {seed}")
    graph = random_graph(seed, 0)
    arity = len(graph.inputs)
    legal = [name for name in NAMES if name.isidentifier()]
    f = named(lambda *xs: run(graph, ENGINE, xs), rng.sample(legal, arity))
    wanted = eager(f, *graph.inputs)
    assert_close(printed(engine.compile(f, argnums=tuple(range(arity))), *graph.inputs), wanted)

    axes = (None, *[0] * (arity - 1)) if arity > 1 else (0,)
    factors = np.array([1.0, 1.0 + 1e-7, 1.0 - 1e-7])
    columns = [
        x if axis is None else x * factors for x, axis in zip(graph.inputs, axes, strict=True)
    ]
    examples = [
        eager(f, *[x if axis is None else x[k] for x, axis in zip(columns, axes, strict=True)])
        for k in range(len(factors))
    ]
    each = [np.array(g) for g in zip(*[g for _, g in examples], strict=True)]
    summed = [g.sum() if axis is None else g for g, axis in zip(each, axes, strict=True)]
    values = np.array([v for v, _ in examples])
    for reduce, expected in (("sum", (values.sum(), summed)), (None, (values, each))):
        program = engine.compile(f, in_axes=axes, reduce=reduce, argnums=tuple(range(arity)))
        assert_close(printed(program, *columns), expected)


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_run_as_printed(seed: int) -> None:
    check_graph(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(k, k + 50) for k in range(12, 212, 50)], ids=str)
def test_many_random_graphs_run_as_printed(seeds: range) -> None:
    for seed in seeds:
        check_graph(seed)


def everything(x: Any, w: Any) -> Any:
    """A helper, a loop, a long literal; over a batch, a sum."""
    y = engine.sum(k * 0.25 * x for k in range(12)) * engine.silu(w)
    for _ in range(205):
        y = engine.sin(y) * w
    return engine.sigmoid(y) / w


ARGS = ([0.5, 1.5], 1.2)


def compiled(f: Callable[..., Any]) -> engine.Program:
    return engine.compile(f, in_axes=(0, None), reduce="sum", argnums=(0, 1))


@pytest.fixture(scope="module")
def wanted() -> tuple[Any, Any]:
    examples = [eager(everything, x, ARGS[1]) for x in ARGS[0]]
    value = np.sum([v for v, _ in examples])
    return value, [[g[0] for _, g in examples], np.sum([g[1] for _, g in examples])]


SHOWN = ("N", "np", "len", "t", "range", "reversed", "sum", "silu_prime", "dx", "C", "σ", "ﬁ")


@pytest.mark.parametrize("name", SHOWN)
def test_an_input_may_be_called_what_the_text_uses(name: str, wanted: tuple[Any, Any]) -> None:
    program = compiled(named(everything, [name, "fi"]))
    assert_close(printed(program, *ARGS), wanted)
    text = program.source()
    assert "for t in range(" in text and "N = len(" in text and "def silu(" in text


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(NAMES), 25))
def test_an_input_may_have_any_name(first: int, wanted: tuple[Any, Any]) -> None:
    for name in filter(str.isidentifier, NAMES[first : first + 25]):
        for names in ([name, f"{name}_"], [f"{name}_", name]):
            assert_close(printed(compiled(named(everything, names)), *ARGS), wanted)


@pytest.mark.parametrize("label", ["x²", "½", "np", "lambda", "1st", "a b", "ﬁ", "N", "…", "w[0]"])
def test_a_leaf_may_have_any_label(label: str) -> None:
    leaf, other = engine.Value(2.0, label=label), engine.Value(5.0, label="fi")
    program = engine.compile(lambda x: leaf * x * other, wrt=[leaf, other])
    program.grad(3.0)
    source, names = program.source(), dict[str, Any]()
    exec(source, names)
    value, gradient = names["value_and_gradient"](3.0, **source.parameters())
    assert value == 30.0 and sorted(gradient.values()) == [6.0, 15.0]


# --- seeds, signs, loops and guards -----------------------------------------------------------


def test_the_seeds_of_a_batch_are_summed() -> None:
    program = engine.compile(lambda w, x: w * w, in_axes=(None, 0), reduce="sum")
    assert_close(printed(program, 3.0, [1.0, 2.0, 5.0]), (27.0, [18.0]))
    program = engine.compile(lambda w, x: w * w, in_axes=(None, 0), reduce="mean")
    assert_close(printed(program, 3.0, [1.0, 2.0, 5.0]), (9.0, [6.0]))


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: engine.tanh(x) / -y,
        lambda x, y: -engine.sin(x) / y,
        lambda x, y: -(x - y) * -y,
        lambda x, y: (-x) ** 2 - (-y) ** 3,
        lambda x, y: -(x / (-y / x)),
        lambda x, y: x - (y - (x - -y)),
        lambda x, y: engine.exp(-x) * -(x * -y),
        lambda x, y: -abs(-x) - -y,
    ],
)
def test_no_sign_is_lost(f: Callable[..., Any]) -> None:
    program = engine.compile(f, argnums=(0, 1))
    assert_close(printed(program, 0.7, 1.3), eager(f, 0.7, 1.3))
    batched = engine.compile(f, in_axes=0, reduce="sum", argnums=(0, 1))
    examples = [eager(f, 0.7, 1.3), eager(f, -0.4, 0.6)]
    wanted = sum(v for v, _ in examples), np.transpose([g for _, g in examples])
    assert_close(printed(batched, [0.7, -0.4], [1.3, 0.6]), wanted)


def newton(x: Any) -> Any:
    y = x
    while abs(y * y - 2.0) > 1e-6:
        y = y - (y * y - 2.0) / (2.0 * y)
    return y


def halvings(x: Any) -> Any:
    count = 0
    while x > 1.0:
        x, count = x * 0.5, count + 1
    return x * count


def guarded_before_a_sum(x: Any) -> Any:
    total = engine.sum([x * k for k in range(5)])
    return total if total > x * x else -total


@pytest.mark.parametrize("f", [newton, halvings, guarded_before_a_sum])
def test_loops_and_branches_run_as_printed(f: Callable[..., Any]) -> None:
    assert_close(printed(engine.compile(f), 3.0), eager(f, 3.0))
    batched = engine.compile(f, in_axes=0, reduce="sum")
    examples = [eager(f, x) for x in (3.0, 3.001)]
    wanted = sum(v for v, _ in examples), [[g[0] for _, g in examples]]
    assert_close(printed(batched, [3.0, 3.001]), wanted)


def test_numbers_on_another_path_are_refused() -> None:
    program = engine.compile(halvings)
    printed(program, 3.0)
    names: dict[str, Any] = {}
    exec(program.source(), names)
    with pytest.raises(AssertionError, match="another path"):
        names["value_and_gradient"](9.0)
