"""Matrix products that always call BLAS, or never, whatever their size: compiled for the tests."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from engine.compiled import jit, kernels
from engine.compiled.jit import address as _usual_address  # before a test replaces it


def always(multiplications):
    """Whether to call BLAS: for the smallest product too."""
    return True


RULES: dict[str, Callable[[int], bool]] = {"loops": kernels.never, "BLAS": always}
VARIANTS = [
    "loops",
    pytest.param(
        "BLAS",
        marks=pytest.mark.skipif(
            jit.DISABLED or not jit.blas(), reason="Numba calls BLAS through SciPy"
        ),
    ),
]


@functools.cache
def _compiler(rule: str, dtype: str) -> jit._Compiler:
    return jit._Compiler(dtype)


@functools.cache
def address(rule: str, name: str, backward: bool, dtype: str) -> int:
    """The address of a kernel that follows one of the `RULES`, as `jit.address` has it."""
    if jit.DISABLED:
        return _usual_address(name, backward, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit, "_blas_rule", lambda: RULES[rule])
        patch.setattr(jit, "blas", lambda: rule)  # it is part of the name in the cache
        return _compiler(rule, dtype).kernel(name, backward)
