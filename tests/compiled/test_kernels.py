"""Every kernel against its twin: all the words, buffers and lanes that it may be given."""

from __future__ import annotations

import ctypes
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from compiled import blas_variants, kernel_cases
from compiled.blas_variants import VARIANTS
from compiled.kernel_cases import Case, cases, large_product, special_case
from compiled.twins import TWINS, twin_of
from engine import randomness
from engine.compiled import jit, kernels
from engine.compiled.kernels import NAN_SEEN, SEED, STEP
from engine.compiled.lift import L, S
from engine.ops import TABLE, Op

NAMES = [*kernels.KERNELS, *[f"ew_{row}" for row in TABLE]]
# Additions may be in another order than the twin's, and its numbers are always double.
TOLERANCE = {"float64": 1e-13, "float32": 1e-5}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)
SPACES = pytest.mark.parametrize("space", [S, L], ids=["shared", "lanes"])

Kernel = Callable[..., None]
KernelOf = Callable[[str, bool, str], Kernel | None]
_POINTERS = [ctypes.c_void_p] * 7
_KERNEL = ctypes.CFUNCTYPE(None, *_POINTERS, ctypes.c_int64)


def kernel_at(address: int) -> Kernel | None:
    """The kernel at an address, for arrays; None at 0."""
    if address == 0:
        return None
    if jit.DISABLED:
        return jit.python_kernel(address)
    machine_code = _KERNEL(address)
    return lambda *arrays_and_w: machine_code(
        *[array.ctypes.data for array in arrays_and_w[:-1]], arrays_and_w[-1]
    )


def kernel_of(name: str, backward: bool, dtype: str) -> Kernel | None:
    return kernel_at(jit.address(name, backward, dtype))


def variant(rule: str) -> KernelOf:
    """The same, with matrix products that follow a rule of when to call BLAS."""
    return lambda *kernel: kernel_at(blas_variants.address(rule, *kernel))


def run(kernel: Kernel, case: Case, flags: int, buffers: list[Any]) -> list[Any]:
    """The pool and the buffers after a kernel, or a twin, worked on them."""
    with np.errstate(all="ignore"):
        kernel(case.words(flags), *buffers, case.w)
    return [buffers[0], *buffers[2:]]


def assert_same(actual: list[Any], expected: list[Any], tolerance: float) -> None:
    """The pools are equal, and the buffers equal but for rounding."""
    np.testing.assert_array_equal(actual[0], expected[0], err_msg="pool")
    for name, a, b in zip(("vs", "gs", "vl", "gl"), actual[1:], expected[1:], strict=True):
        scale = max([1.0, *np.abs(b[np.isfinite(b)])])
        np.testing.assert_allclose(a, b, rtol=0.0, atol=tolerance * scale, err_msg=name)


def compare(case: Case, dtype: str, kernel_of: KernelOf = kernel_of) -> None:
    """Run forwards, then from there backwards with each of the case's flags."""
    name = case.instruction.kernel
    start = case.buffers(dtype)
    for backward in (False, True):
        kernel, twin = kernel_of(name, backward, dtype), twin_of(name, backward)
        assert (kernel is None) == (twin is None)
        if kernel is None or twin is None:
            continue
        for flags in case.flags if backward else [0]:
            actual = run(kernel, case, flags, [b.copy() for b in start])
            expected = run(twin, case, flags, in_double(start))
            assert_same(actual, expected, TOLERANCE[dtype])
        if not backward:
            run(kernel, case, 0, start)


def in_double(buffers: list[Any]) -> list[Any]:
    return [b.copy() if b.dtype == np.int64 else b.astype(np.float64) for b in buffers]


def test_each_kernel_has_a_twin_and_cases() -> None:
    assert TWINS.keys() == kernels.KERNELS.keys() == kernel_cases.CASES.keys()
    for name, kernel in kernels.KERNELS.items():
        assert [twin is None for twin in TWINS[name]] == [part is None for part in kernel]


@DTYPES
@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_does_what_its_twin_does(name: str, dtype: str) -> None:
    for case in cases(name):
        compare(case, dtype)


# --- rows at the ends of their domains -------------------------------------------------------

POINTS = {
    "float64": [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-320, 1e308, math.inf, -math.inf, math.nan],
    "float32": [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, math.inf, -math.inf, math.nan],
}


@DTYPES
@SPACES
@pytest.mark.parametrize("row", TABLE)
def test_a_row_at_special_points_has_the_numbers_of_the_table(
    row: str, space: int, dtype: str
) -> None:
    case = special_case(f"ew_{row}", POINTS[dtype], space)
    case.gs[:] = case.gl[:] = 0.0  # so that an adjoint is one product, with no sum to cancel in
    first, count = case.instruction.out * case.w, case.instruction.n * case.w
    (case.gl if space == L else case.gs)[first : first + count] = 1.0
    buffers = case.buffers(dtype)
    for backward in (False, True):
        kernel = kernel_of(case.instruction.kernel, backward, dtype)
        twin = twin_of(case.instruction.kernel, backward)
        if kernel is None or twin is None:
            continue
        expected = run(twin, case, case.flags[0], in_double(buffers))
        actual = run(kernel, case, case.flags[0], buffers)
        for a, b in zip(actual[1:], expected[1:], strict=True):
            with np.errstate(over="ignore"):
                np.testing.assert_allclose(a, b.astype(dtype), rtol=TOLERANCE[dtype])
            zeros = (b == 0.0) & (not backward)
            np.testing.assert_array_equal(np.signbit(a[zeros]), np.signbit(b[zeros]))


@DTYPES
@pytest.mark.parametrize("arity", [1, 2, 3])
def test_a_partial_may_be_any_constant(
    arity: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes = (2.5, -0.75, 1.0)[:arity]
    forward = (lambda x: 2.5 * x, lambda x, y: x - y, lambda x, y, z: x + y + z)[arity - 1]
    op = Op("sloping", "sloping", forward, slopes, ((-2.0, 2.0),) * arity)
    monkeypatch.setitem(TABLE, "sloping", op)
    for case in cases("ew_sloping"):
        compare(case, dtype)


# --- with and without BLAS -------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("rule", VARIANTS)
def test_a_matrix_product_is_the_same_by_blas_and_by_loops(rule: str, dtype: str) -> None:
    for case in cases("mm"):
        compare(case, dtype, variant(rule))


@DTYPES
@SPACES
@pytest.mark.parametrize("rule", ["as installed", *VARIANTS])
def test_a_large_matrix_product_is_right(rule: str, space: int, dtype: str) -> None:
    case = large_product(space)
    i = case.instruction
    assert i.n * i.inner * i.cols * case.w >= kernels.BLAS_FROM
    compare(case, dtype, kernel_of if rule == "as installed" else variant(rule))


# --- signs of zero ---------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("name", ["mm", "dot"])
def test_a_sum_of_zeros_has_the_sign_that_its_words_say(name: str, dtype: str) -> None:
    """By loops: BLAS begins every sum with 0.0."""
    rng = random.Random(0)
    kernel, twin = variant("loops")(name, False, dtype), twin_of(name, False)
    assert kernel is not None and twin is not None
    for case in cases(name):
        for numbers in (case.vs, case.vl):
            numbers[:] = [rng.choice((0.0, -0.0)) for _ in numbers]
        actual = run(kernel, case, 0, case.buffers(dtype))
        expected = run(twin, case, 0, in_double(case.buffers(dtype)))
        for a, b in zip(actual[1:], expected[1:], strict=True):
            np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


# --- what the pool has -----------------------------------------------------------------------


@SPACES
@pytest.mark.parametrize("seed", [0, -1, 2**62], ids=lambda seed: f"seed {seed}")
def test_draws_are_exactly_those_of_the_engine(seed: int, space: int) -> None:
    [case] = [c for c in cases("draw") if c.w == 7 and c.instruction.space == space]
    case.pool[SEED] = seed
    buffers = case.buffers("float64")
    run(kernel_of("draw", False, "float64"), case, 0, buffers)
    drawn = buffers[4 if space == L else 2].reshape(-1, 7 if space == L else 1)
    for k in range(5):
        call = case.pool[case.instruction.list_1 + k]
        for i in range(7 if space == L else 1):
            counters = map(int, (seed, case.pool[STEP], case.ids[i], call))
            assert drawn[case.instruction.out + k, i] == randomness.draw(*counters)


@DTYPES
@pytest.mark.parametrize("rule", VARIANTS)
@pytest.mark.parametrize("name", ["mm", "dot"])
def test_a_sum_of_products_that_is_nan_is_noted(name: str, rule: str, dtype: str) -> None:
    """As 0 * inf is; `paths` runs the plain tape then, which knows where nothing arrived."""
    rng = random.Random(0)
    noted = set()
    for case in cases(name):
        for numbers in (case.vs, case.gs, case.vl, case.gl):
            special = [rng.random() < 0.02 for _ in numbers]
            numbers[special] = [rng.choice((0.0, math.inf, math.nan)) for _ in range(sum(special))]
        compare(case, dtype, variant(rule))
        noted.add(noted_by(variant(rule)(name, False, dtype), case, dtype))
    assert noted == {False, True}


def noted_by(kernel: Kernel | None, case: Case, dtype: str) -> bool:
    assert kernel is not None
    return bool(run(kernel, case, 0, case.buffers(dtype))[0][NAN_SEEN])
