"""BLAS's matrix product, which comes with SciPy: for products that are large enough."""

from __future__ import annotations

import ctypes
import functools
import importlib.util


def is_there() -> bool:
    """Whether large matrix products are BLAS's."""
    return importlib.util.find_spec("scipy") is not None


@functools.cache
def gemm(dtype: str) -> int:
    """The address of the matrix product; 0 without SciPy."""
    if not is_there():
        return 0
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["sgemm" if dtype == "float32" else "dgemm"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)))
