"""Fingerprints: what a function is known by on disk, where machine code made of it is kept.

A function is known by a hash over all that it reaches: its code, its constants, the functions that
it calls, and theirs. Two of one text that reach different functions differ.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import math
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from engine.errors import TraceError
from engine.ops import TABLE


def fingerprint(
    function: Callable[..., Any],
    names: dict[str, Any] | None = None,
    above: tuple[FunctionType, ...] = (),
) -> str:
    """Return a hash over a function's code and everything that its names mean.

    `names` are meanings in place of its globals, as for `rebind`; `above` are the functions that
    call this one. Two functions of one text have the same fingerprint only if they reach the same
    code and constants. Raises TraceError for a function that calls itself.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__
    if any(function is other for other in above):
        raise TraceError(
            f"{function.__name__}, of the operation table, calls itself and can't be compiled; "
            "write it as a loop"
        )
    above = (*above, function)
    parts: list[Any] = [_code_parts(code), repr(function.__defaults__)]
    meanings = {**function.__globals__, **(names or {})}
    parts += [(name, _meaning_parts(meanings.get(name), above)) for name in names_of(code)]
    if function.__closure__:
        parts += [_meaning_parts(cell.cell_contents, above) for cell in function.__closure__]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def row_fingerprint(name: str) -> str:
    """A hash over what a row of the table computes, its partials and its cuts."""
    op = TABLE[name]
    parts = (op.forward, *op.partials, *op.cuts)
    return " ".join(fingerprint(p) if callable(p) else repr(p) for p in parts)


def _meaning_parts(meaning: Any, above: tuple[FunctionType, ...]) -> Any:
    """What tells one meaning of a name from another; never an address, which repr may hold."""
    meaning = getattr(meaning, "py_func", meaning)  # of what Numba has compiled
    if isinstance(meaning, FunctionType):
        return fingerprint(meaning, above=above)
    if isinstance(meaning, ModuleType):
        names = _attributes_of(above[-1].__code__)
        attributes = {name: getattr(meaning, name) for name in names if hasattr(meaning, name)}
        if meaning in (math, np):
            return (meaning.__name__, _taught(attributes, above))
        parts = [(name, _meaning_parts(x, above)) for name, x in attributes.items()]
        return (meaning.__name__, parts)
    if isinstance(meaning, tuple):
        return [_meaning_parts(part, above) for part in meaning]
    if isinstance(meaning, np.ndarray):
        return (str(meaning.dtype), meaning.shape, meaning.tobytes().hex())
    if meaning is None or isinstance(meaning, bool | int | float | str | np.generic):
        return repr(meaning)
    # a built-in function or an intrinsic is known by its name
    return getattr(meaning, "__name__", type(meaning).__name__)


def _taught(functions: dict[str, Any], above: tuple[FunctionType, ...]) -> list[Any]:
    """What others have taught Numba that library functions mean, which decides about those that it
    does not know by itself."""
    if "numba" not in sys.modules:
        return []
    from numba.core.typing.templates import builtin_registry

    taught = [
        (name, getattr(template, "_overload_func", None))
        for name, function in functions.items()
        for known, meant in builtin_registry.globals
        if known is function
        for template in getattr(meant, "templates", ())
    ]
    return [
        (name, fingerprint(meaning, above=above))
        for name, meaning in taught
        if isinstance(meaning, FunctionType) and meaning not in above
        if not str(meaning.__module__).startswith("numba.")
    ]


def _code_parts(code: CodeType) -> Any:
    constants = [_constant_parts(c) for c in code.co_consts]
    return (code.co_code.hex(), constants, code.co_names, code.co_varnames)


def _constant_parts(constant: Any) -> Any:
    if isinstance(constant, CodeType):
        return _code_parts(constant)
    if isinstance(constant, frozenset):  # whose order is another in each process
        return sorted(map(repr, constant))
    return repr(constant)


@functools.cache
def _attributes_of(code: CodeType) -> tuple[str, ...]:
    """The names in some code that may be attributes."""
    inner = [_attributes_of(c) for c in code.co_consts if isinstance(c, CodeType)]
    return tuple(sorted({*code.co_names}.union(*inner)))


@functools.cache
def names_of(code: CodeType) -> tuple[str, ...]:
    """The global names that some code loads; `co_names` has attributes too."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= {*names_of(constant)}
    return tuple(sorted(found))
