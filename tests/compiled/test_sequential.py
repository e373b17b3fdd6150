"""Loops over columns: machine code and the plain function are one and the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.compiled import numbering, objects, sequential
from engine.compiled.instructions import segments
from engine.compiled.lift import emit, levels, marks, terms
from engine.compiled.sequential import Bytes, Ints, Longs, Shorts, loop

pytestmark = pytest.mark.skipif(objects.DISABLED, reason="nothing becomes machine code")

LIMIT = 7


@loop
def greatest(x: Ints, n: int) -> int:
    """The place of the greatest number."""
    best = 0
    for k in range(1, n):
        if x[k] > x[best]:
            best = k
    return best


@loop
def arithmetic(x: Ints, y: Longs, n: int) -> int:
    for k in range(n):
        i = x[k]
        y[k] = ((i * 31 + (i << 3)) ^ (i & 1023)) - (i >> 2) | (i == 5) + ~i
        y[k] += -i if i < LIMIT else i
    return 0


@loop
def choices(x: Ints, y: Ints, n: int) -> int:
    """Loops from both ends, with ways out of them; what is behind an `and` is not always there."""
    found = 0
    for k in range(n - 1, -1, -2):
        if x[k] in (1, 2, LIMIT):
            continue
        if x[k] > 90 and not x[k] & 2:
            y[k] = 1 if x[k] & 1 else 2
        elif (k + 1 < n and x[k + 1] < 0) or x[k] < -90:
            break
        else:
            y[k] = greatest(x, k + 1)
        found += 1
    while found and (y[found - 1] != 2 or x[found - 1] > 0):
        found -= 1
    return found


@loop
def columns(a: Bytes, b: Shorts, c: Longs, n: int) -> int:
    for k in range(n):
        a[k] = a[k] + b[k]
        c[k] = c[k] - b[k]
        b[k] = (c[k] < 0) + (a[k] != b[k])
    return n


def run_both(code: Any, *args: Any) -> tuple[list[Any], list[Any]]:
    """The result and all columns after the plain function and after machine code."""
    lists = [x.tolist() if isinstance(x, np.ndarray) else x for x in args]
    arrays = [x.copy() if isinstance(x, np.ndarray) else x for x in args]
    plain, native = code(*lists), code.over(sequential.MANY)(*arrays)
    found = [x.tolist() if isinstance(x, np.ndarray) else x for x in arrays]
    return [plain, *lists], [native, *found]


@pytest.mark.parametrize("seed", range(20), ids="seed{}".format)
def test_machine_code_does_what_the_function_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    x = rng.integers(-100, 100, n).astype(np.int32)
    for code, args in (
        (greatest, (x, n)),
        (arithmetic, (x, np.zeros(n, np.int64), n)),
        (choices, (x, np.zeros(n, np.int32), n)),
    ):
        plain, native = run_both(code, *args)
        assert plain == native, code.name
    of_types = [rng.integers(0, 9, n).astype(t) for t in (np.uint8, np.int16, np.int64)]
    plain, native = run_both(columns, *of_types, n)
    assert plain == native


def test_columns_are_filled_by_python_as_well() -> None:
    x, filled = np.array([3, -5, 2**31 - 1], np.int32), []
    for count in (3, sequential.MANY):
        y = np.zeros(3, np.int64)
        assert arithmetic.on_columns(count)(x, y, 3) == 0
        filled.append(y.tolist())
    assert filled[0] == filled[1] != [0, 0, 0]


def test_few_nodes_are_left_to_python() -> None:
    assert greatest.over(sequential.MANY - 1) is greatest.plain


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="greatest takes Ints, not a column of int64"):
        greatest.over(sequential.MANY)(np.zeros(3, np.int64), 3)


def test_what_has_no_translation_is_refused_by_name() -> None:
    @loop
    def divided(x: Ints, n: int) -> int:
        return x[0] // n

    with pytest.raises(TypeError, match=r"divided can't be translated: x\[0\] // n"):
        sequential._Translation(divided, {}).text()


PASSES = (numbering, marks, terms, levels, emit, segments)


@pytest.mark.parametrize("module", PASSES, ids=lambda module: module.__name__)
def test_the_loops_of_the_passes_are_translated(module: Any) -> None:
    loops = sequential._loops(module.__name__)
    assert loops
    for x in loops.values():
        assert f"@{x.name}(" in sequential._Translation(x, sequential._loops(x.module)).text()
