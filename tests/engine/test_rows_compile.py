"""The rows are ready for kernels: rebound to jitted functions they compile, and agree with Python.

The same code objects that run here on floats, and under `grad` on Values, become machine code.
"""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from engine.compiled import jit
from engine.ops import TABLE
from engine.rebind import rebind

numba = pytest.importorskip("numba")

OPTIONS = {"error_model": "numpy"}  # IEEE 754's division, as the rows are written for
Kernels = dict[tuple[str, int | None], Callable[..., float]]


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    """The jitted forward (None) and partials (their numbers) of every row."""
    forwards: dict[str, Callable[..., float]] = {}
    known = {"math": jit._math_with_cbrt()}  # Numba lacks this one
    waiting = dict(TABLE)
    while waiting:  # a row can be compiled when the rows that it names are
        for name, op in list(waiting.items()):
            if not (set(op.forward.__code__.co_names) & set(waiting)) - {name}:
                forwards[name] = numba.njit(**OPTIONS)(rebind(op.forward, known | forwards))
                del waiting[name]
    jitted: Kernels = {(name, None): kernel for name, kernel in forwards.items()}
    for op in TABLE.values():
        for i, partial in enumerate(op.partials):
            if not isinstance(partial, float):
                jitted[op.name, i] = numba.njit(**OPTIONS)(rebind(partial, forwards))
    return jitted


@pytest.mark.parametrize("name", TABLE)
def test_a_row_compiles_and_agrees_with_python(name: str, kernels: Kernels) -> None:
    op = TABLE[name]
    rng = random.Random(name)
    points = [[rng.uniform(*interval) for interval in op.samples] for _ in range(3)]
    points += [[x] * op.arity for x in (0.0, -0.0, 3.0, -2.5, math.inf, -math.inf, math.nan)]
    for xs in points:
        y = op.forward(*xs)
        # two implementations of the C library's functions may differ in the last bits
        np.testing.assert_allclose(kernels[name, None](*xs), y, rtol=1e-15, err_msg=str(xs))
        for i, partial in enumerate(op.partials):
            if not isinstance(partial, float):
                computed, expected = kernels[name, i](*xs, y), partial(*xs, y)
                np.testing.assert_allclose(computed, expected, rtol=1e-14, err_msg=str(xs))
