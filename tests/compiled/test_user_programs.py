"""Programs such as users write, at random: each way of running them gives what the engine does."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from compiled.test_source_c import CC, both
from compiled.test_source_runs import printed
from compiled.user_programs import STRUCTURES, UserProgram, user_program
from random_graphs import disagreement

TOLERANCE = 1e-9  # of the largest number: some of the programs enlarge what rounding does
TOLERANCE_2 = 1e-7


def flat(tree: Any) -> list[float]:
    """The numbers of nested lists, tuples, dicts and arrays."""
    if isinstance(tree, dict):
        return [x for key in tree for x in flat(tree[key])]
    if isinstance(tree, list | tuple):
        return [x for part in tree for x in flat(part)]
    return np.ravel(tree).tolist()


def figures(program: UserProgram) -> list[list[float]]:
    """For each example the value, and the gradient by parameters and the example, eagerly."""
    both_of = engine.value_and_grad(program.number, (0, 1))
    return [flat(both_of(program.p, x)) for x in program.xs]


# --- ways -------------------------------------------------------------------------------------

Way = Callable[[UserProgram], Iterator[str]]  # gives what is wrong


def same(found: Any, expected: Any, tolerance: float = TOLERANCE) -> str:
    return disagreement(flat(found), flat(expected), tolerance)


def alone(program: UserProgram) -> Iterator[str]:
    """One example after another, forwards and then backwards."""
    compiled = engine.compile(program.number, argnums=(0, 1))
    for x, expected in [*zip(program.xs, figures(program), strict=True)][:6] * 2:
        yield same(compiled.value_and_grad(program.p, x), expected)
        yield same(compiled(program.p, x), expected[0])


def batched(program: UserProgram) -> Iterator[str]:
    """All examples at once: each for itself, and summed up."""
    expected = np.array(figures(program))
    m = len(program.p)
    for reduce in (None, ("sum", "mean")[program.seed % 2]):
        compiled = engine.compile(program.number, in_axes=(None, 0), reduce=reduce, argnums=(0, 1))
        value, (by_p, by_x) = compiled.value_and_grad(program.p, program.xs)
        if reduce is None:
            yield same(np.column_stack([value, by_p, by_x]), expected)
            continue
        of = expected if reduce == "sum" else expected / len(expected)
        summed = [*of[:, : 1 + m].sum(axis=0), *of[:, 1 + m :].ravel()]
        yield same([value, by_p, by_x], summed)


def buffered(program: UserProgram) -> Iterator[str]:
    call = engine.compile(program.number, argnums=(0, 1)).buffered(program.p, program.xs[0])
    for x, expected in [*zip(program.xs, figures(program), strict=True)][:6]:
        call.numbers[:] = [*program.p, *x]
        yield same([call(), *call.gradient], expected)


def in_single_precision(program: UserProgram) -> Iterator[str]:
    """Within bounds of the rounding, by which programs compare themselves with Python."""
    options: dict[str, Any] = {"dtype": np.float32, "verify": True, "argnums": (0, 1)}
    try:
        engine.compile(program.number, **options).value_and_grad(program.p, program.xs[0])
        batches = engine.compile(program.number, in_axes=(None, 0), **options)
        batches.value_and_grad(program.p, program.xs)
    except engine.ReplayError as error:
        yield str(error)


def without_machine_code(program: UserProgram) -> Iterator[str]:
    options: dict[str, Any] = {"in_axes": (None, 0), "argnums": (0, 1), "native": False}
    compiled = engine.compile(program.number, **options)
    value, (by_p, by_x) = compiled.value_and_grad(program.p, program.xs)
    yield same(np.column_stack([value, by_p, by_x]), figures(program))


def structured(program: UserProgram) -> Iterator[str]:
    """Results in dicts, tuples and lists."""
    for x in program.xs[:3]:
        expected = program.nested(program.p, x)
        found = engine.compile(program.nested)(program.p, x)
        yield same(found, expected)
        yield "" if shape(found) == shape(expected) else f"{found} is not like {expected}"


def shape(tree: Any) -> Any:
    """The structure, with the order of keys."""
    if isinstance(tree, dict):
        return [(key, shape(part)) for key, part in tree.items()]
    return (type(tree), *map(shape, tree)) if isinstance(tree, list | tuple) else float


def forwards(program: UserProgram) -> Iterator[str]:
    """A derivative in a direction, eagerly and compiled."""
    rng = random.Random(program.seed)
    t = [rng.uniform(-1.0, 1.0) for _ in (*program.p, *program.xs[0])]
    directions = t[: len(program.p)], t[len(program.p) :]

    def f(p: Any, x: Any) -> Any:
        return engine.jvp(program.number, (p, x), directions)

    compiled = engine.compile(f)
    for x, (value, *gradient) in [*zip(program.xs, figures(program), strict=True)][:3]:
        expected = [value, np.dot(gradient, t)]
        scale = [0.0, *gradient]  # what the slope is a sum of
        yield same([*f(program.p, x), *scale], [*expected, *scale])
        yield same([*compiled(program.p, x), *scale], [*expected, *scale])


def curvature(program: UserProgram) -> Iterator[str]:
    hessian = engine.hessian(program.number)
    expected = [hessian(program.p, x) for x in program.xs[:3]]
    yield same(
        [engine.compile(hessian)(program.p, x) for x in program.xs[:3]], expected, TOLERANCE_2
    )
    found = engine.compile(hessian, in_axes=(None, 0))(program.p, program.xs[:3])
    yield same(found, expected, TOLERANCE_2)


def in_numpy(program: UserProgram) -> Iterator[str]:
    """The text that is printed, for the examples that go the first one's way. As it says, a nan in
    an arm that `where` does not take may be one of the gradient: such programs are left out, and
    those that read a number, since another one in the last digit is another way for the text."""
    if any(name in ("chosen_without_a_branch", "looked_up") for _, name in program.parts):
        return
    compiled = engine.compile(program.number, argnums=(0, 1))
    yield same(printed(compiled, program.p, program.xs[0]), figures(program)[0])


def in_c(program: UserProgram, folder: Path) -> Iterator[str]:
    compiled = engine.compile(program.number, argnums=(0, 1))
    compiled.value_and_grad(program.p, program.xs[0])
    yield same(both(compiled, folder, ["p", "x"], [program.p, program.xs[0]]), figures(program)[0])


WAYS: list[Way] = [alone, batched, buffered, structured, forwards, in_numpy]


def complaint(program: UserProgram, ways: Sequence[Way]) -> str:
    """What is wrong with a program in some way, with as few parts as show it."""
    for way in ways:
        wrong = next(filter(None, way(program)), "")
        if wrong:
            for k in reversed(range(len(program.parts))):
                less = program.without(k)
                if less.parts and (still := complaint(less, [way])):
                    return still
            return f"{getattr(way, '__name__', way)} of {program}: {wrong}"
    return ""


SHORT = [alone, batched, structured]


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure(name: str) -> None:
    assert complaint(user_program(0, [name]), [SHORT[len(name) % 3]]) == ""


@pytest.mark.parametrize("seed", range(len(WAYS)))
def test_a_program(seed: int) -> None:
    assert complaint(user_program(seed), [WAYS[seed]]) == ""


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(k, k + 20) for k in range(0, 160, 20)], ids=str)
def test_many_programs(seeds: range) -> None:
    """Each in all ways but the dear ones, of which it is one's turn."""
    dear = [in_single_precision, curvature, without_machine_code]
    found = {seed: complaint(user_program(seed), [*WAYS, dear[seed % 3]]) for seed in seeds}
    assert {seed: words for seed, words in found.items() if words} == {}


@pytest.mark.slow
@pytest.mark.skipif(CC is None, reason="there is no C compiler, cc")
@pytest.mark.parametrize("seeds", [range(k, k + 20) for k in range(0, 60, 20)], ids=str)
def test_programs_in_c(seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert complaint(user_program(seed), [functools.partial(in_c, folder=folder)]) == ""
