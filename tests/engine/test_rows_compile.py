"""The rows as Numba compiles them for programs that are not emitted: on arrays, they agree with
Python.

The same code objects that run here on floats, and under `grad` on Values, become machine code.
"""

import math
import random

import numpy as np
import pytest

from engine.compiled import jitted
from engine.ops import TABLE

pytest.importorskip("numba")

SINGLE = pytest.param("float32", marks=pytest.mark.slow)
SPECIAL = (0.0, -0.0, 3.0, -2.5, math.inf, -math.inf, math.nan)
# two implementations of the C library's functions may differ in the last bits
RELATIVE = {"float64": (1e-15, 1e-14), "float32": (1e-5, 1e-5)}
NEAR_ZEROS = {"gammaln": 2e-15, "betaln": 4e-15}  # of these, whose logarithms differ as much


@pytest.mark.parametrize("dtype", ["float64", SINGLE])
@pytest.mark.parametrize("name", TABLE)
def test_a_row_compiles_and_agrees_with_python(name: str, dtype: str) -> None:
    op = TABLE[name]
    rng = random.Random(name)
    points = [[rng.uniform(*interval) for interval in op.samples] for _ in range(3)]
    points += [[x] * op.arity for x in SPECIAL]
    columns = [np.array(column, dtype) for column in zip(*points, strict=True)]
    rounded = [*zip(*[column.tolist() for column in columns], strict=True)]
    out = np.empty(len(points), dtype)
    jitted.map_of(name, np.dtype(dtype))(*columns, out)
    numbers = [op.forward(*xs) for xs in rounded]
    forwards, slopes = RELATIVE[dtype]
    absolute = NEAR_ZEROS.get(name, 0.0)
    np.testing.assert_allclose(out, np.array(numbers).astype(dtype), rtol=forwards, atol=absolute)
    out = np.array(numbers).astype(dtype)
    for k, partial in enumerate(op.partials):
        if op.cuts[k] is True:
            continue
        g = np.array([rng.choice((1.0, -2.0, -0.0)) for _ in points], dtype)
        before = np.array([rng.uniform(-1.0, 1.0) for _ in points], dtype)
        for adds, exact in ((False, False), (True, False), (False, True), (True, True)):
            to = before.copy()
            jitted.edge_of(name, k, np.dtype(dtype))(g, *columns, out, to, adds, exact)
            expected = []
            for x, xs, y, old in zip(
                g.tolist(), rounded, out.tolist(), before.tolist(), strict=True
            ):
                slope = partial(*xs, y) if callable(partial) else partial
                passed = TABLE["pass_on"].forward(x, slope) if exact else x * slope
                if op.cuts_at(k, xs):
                    passed = -0.0 if exact else 0.0
                expected.append(old + passed if adds else passed)
            wanted = np.array(expected).astype(dtype)
            near = forwards if dtype == "float64" else 1e-6  # where a sum cancels
            np.testing.assert_allclose(to, wanted, rtol=slopes, atol=near, err_msg=f"{k} {xs}")
