"""The text of a program: a long part is several functions, which compute what one would."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from compiled.instruction_programs import Maker, Program
from compiled.program_runs import emitted, interpret, state_of, text_of
from engine.compiled import jitted
from engine.compiled.blocks import L, View
from engine.ops import TABLE

pytestmark = pytest.mark.skipif(jitted.DISABLED, reason="nothing is emitted without Numba")


def additions(count: int, width: int) -> Program:
    """Sums and differences of any two rows before: their order cannot be changed unnoticed."""
    rng, maker = random.Random(count), Maker(random.Random(count), width)
    for _ in range(count):
        operands = [rng.randrange(max(0, maker.rows[L] - 9), maker.rows[L]) for _ in range(3)]
        code = [*TABLE].index(rng.choice(("add", "sub")))
        entries = (code, maker.new(L, 1).first, *operands)
        for column, entry in zip(maker.columns, entries, strict=True):
            column.append(entry)
    maker.add("segment", View(L, 0, 0), shape=(0, count))
    return maker.alone("float64")


@pytest.mark.parametrize("width", [1, 64])
@pytest.mark.parametrize(("count", "several"), [(3, False), (64, False), (1_000, True)])
def test_a_long_part_is_several_functions(count: int, several: bool, width: int) -> None:
    program = additions(count, width)
    functions = re.findall(r"^define .*?@(\w+)\(", text_of(program), re.MULTILINE)
    *pieces, whole, driver = functions
    assert (whole, driver) == ("forward_lanes", "drive")
    assert pieces == [f"forward_lanes_{k}" for k in range(len(pieces))]
    assert (len(pieces) > 1) == several
    state = state_of(program, random.Random(count), width, full=True)
    actual, expected = state.copy("float64"), state.copy("float64")
    emitted([program])[0](actual)
    interpret(expected)
    np.testing.assert_array_equal(actual.rows(L), expected.rows(L))
