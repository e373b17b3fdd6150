"""Instructions that come again and again are emitted once, and compute the same."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from compiled.instruction_programs import repeated
from compiled.test_instructions import DTYPES, EMITTED, check_functions
from engine.compiled import assembly, repeats
from engine.compiled.blocks import Instruction, L, View
from engine.compiled.repeats import Repeat, folded, moved


def step(t: int, *, length: int = 3) -> list[Instruction]:
    """A map of rows that move on by 3 each time, and one of rows that stay."""
    out = View(L, 10 + 6 * t, length)
    return [
        Instruction("map", out, (View(L, 7 + 6 * t, length),), name="tanh"),
        Instruction("map", out._replace(first=13 + 6 * t), (View(L, 0, 3), out), name="mul"),
    ]


def test_what_comes_again_is_found() -> None:
    steps = [i for t in range(12) for i in step(t)]
    (repeat,) = folded(steps)
    assert isinstance(repeat, Repeat) and repeat.count == 12
    assert repeat.body == step(0) and repeat.strides == [[6, 6], [6, 0, 6]]
    for t in range(12):
        pairs = zip(repeat.body, repeat.strides, strict=True)
        assert [moved(i, strides, t) for i, strides in pairs] == step(t)


def test_what_stands_between_is_kept_in_its_place() -> None:
    other = Instruction("fill", View(L, 90, 2), number=1.0)
    steps = [i for t in range(60) for i in (*step(t), *([other] if t == 28 else []))]
    found = folded([other, *steps, other])
    everything = []
    for x in found:
        if isinstance(x, Instruction):
            everything.append(x)
            continue
        for t in range(x.count):
            pairs = zip(x.body, x.strides, strict=True)
            everything += [moved(i, strides, t) for i, strides in pairs]
    assert everything == [other, *steps, other]
    assert sum(isinstance(x, Repeat) for x in found) == 2


@pytest.mark.parametrize("kind", ["take", "put", "draw", "guard", "segment"])
def test_what_is_emitted_for_known_rows_alone_stays_as_it_is(kind: str) -> None:
    steps = [Instruction(kind, View(L, t, 1), shape=(1, 1)) for t in range(40)]
    assert folded(steps) == steps


def test_rows_that_do_not_move_on_evenly_are_no_repeat() -> None:
    steps = [i for t in range(20) for i in step(t * t)]
    assert folded(steps) == steps


@EMITTED
@DTYPES
def test_repeats_compute_what_their_instructions_do(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def noting(instructions: Any) -> Any:
        made = folded(instructions)
        found.append(any(isinstance(x, Repeat) for x in made))
        return made

    monkeypatch.setattr(assembly, "folded", noting)
    check_functions([repeated(seed, dtype, exact=seed % 4 == 0) for seed in range(12)])
    assert sum(found) > 12  # forwards, and most of them backwards


@pytest.mark.slow
@EMITTED
@DTYPES
@pytest.mark.parametrize("seeds", [range(k, k + 40) for k in range(12, 212, 40)], ids=str)
def test_many_repeats_compute_what_their_instructions_do(seeds: range, dtype: str) -> None:
    check_functions([repeated(seed, dtype, exact=seed % 4 == 0) for seed in seeds])


# --- networks step by step --------------------------------------------------------------------


def weights(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0.0, 0.4, shape).tolist()


def layer(W: list[Any], xs: list[Any]) -> list[Any]:
    return [engine.sum([w * x for w, x in zip(row, xs, strict=True)]) for row in W]


def recurrent(W: list[Any], xs: list[Any]) -> Any:
    state = [0.0] * len(W)
    for x in xs:
        state = [engine.tanh(y) for y in layer(W, [*state, x, 1.0])]
    return engine.sum([y * y for y in state])


def lstm(W: list[Any], xs: list[Any]) -> Any:
    size = len(W) // 4
    state, cell = [0.0] * size, [0.0] * size
    for x in xs:
        gates = layer(W, [*state, x, 1.0])
        into, kept, out = (
            [engine.sigmoid(y) for y in gates[k * size : (k + 1) * size]] for k in range(3)
        )
        new = [engine.tanh(y) for y in gates[3 * size :]]
        cell = [k * c + i * n for k, c, i, n in zip(kept, cell, into, new, strict=True)]
        state = [o * engine.tanh(c) for o, c in zip(out, cell, strict=True)]
    return engine.sum([y * y for y in state])


NETWORKS: dict[str, tuple[Callable[..., Any], tuple[int, int]]] = {
    "recurrent": (recurrent, (6, 8)),
    "lstm": (lstm, (20, 7)),
}


@pytest.mark.parametrize("examples", [0, 1, 13])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_step_by_step(name: str, examples: int) -> None:
    network, shape = NETWORKS[name]
    W, X = weights(*shape), weights(max(1, examples), 25, seed=1)
    expected = [engine.value_and_grad(network)(W, xs) for xs in X]
    if examples:
        program = engine.compile(network, in_axes=(None, 0), reduce="sum")
        value, gradient = program.value_and_grad(W, X)
    else:
        value, gradient = engine.compile(network).value_and_grad(W, X[0])
    assert value == pytest.approx(math.fsum(v for v, _ in expected), rel=1e-12)
    total = np.sum([g for _, g in expected], axis=0)
    np.testing.assert_allclose(gradient, total, rtol=0.0, atol=1e-13 * np.abs(total).max() + 1e-15)


@EMITTED
def test_a_longer_sequence_is_no_more_code(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    text_of = assembly.text_of

    def noting(*given: Any) -> str:
        text = text_of(*given)
        sizes.append(text.count("\n"))
        return text

    monkeypatch.setattr(assembly, "text_of", noting)
    salt = random.Random().random()  # so that nothing is kept of it
    for length in (20, 60):
        W = [[salt, *row[1:]] for row in weights(6, 8)]
        program = engine.compile(lambda W, xs: recurrent(W, xs) * salt)
        program.value_and_grad(W, weights(length))
    assert sizes[1] < 1.2 * sizes[0]


def test_repeats_have_a_least_number() -> None:
    assert len(folded(step(0) * 7)) == 14 and repeats._LEAST == 16
