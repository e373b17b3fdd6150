"""What Numba compiles: matrix products on batches, and rows of the operation table on arrays.

This is the jitted path that works without emission: the interpreter calls it, where a program is
asked for with ``native=False``, or has a row whose forward can't be emitted. What Numba makes is
kept on disk (`cache`), not in Numba's own cache, which knows a function by file, qualified name and
line, but not by what the names in it mean: code rebound to another callee would be taken for the
same. Numba is imported when the first function is asked for; under NUMBA_DISABLE_JIT=1 all of them
are the plain Python that stands here.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import pickle
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from engine import locks
from engine.compiled import cache
from engine.compiled.fingerprints import fingerprint, names_of
from engine.compiled.objects import DISABLED
from engine.compiled.threads import compiling
from engine.ops import TABLE
from engine.rebind import rebind


@functools.cache
def require() -> None:
    """Raise ImportError with what to install where nothing can be compiled."""
    if not DISABLED and any(importlib.util.find_spec(x) is None for x in ("numba", "llvmlite")):
        raise ImportError(cache.NEEDED, name="numba")


# --- what is compiled: plain Python on flat arrays -------------------------------------------

# Names that mean something else in every function compiled.
forward: Any = None
partial: Any = None
cut: Any = None
rule: Any = None
pass_on: Any = TABLE["pass_on"].forward
constant: float = 0.0


def product(x: Any, y: Any, out: Any) -> None:
    """out += x @ y, for matrices: four rows and four terms at a time, so that a number that is read
    serves four times."""
    n, inner = x.shape
    cols = y.shape[1]
    most, rest = n - n % 4, inner % 4
    for i in range(0, most, 4):
        o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        for j in range(rest):
            a0, a1, a2, a3 = x[i, j], x[i + 1, j], x[i + 2, j], x[i + 3, j]
            x0 = y[j]
            for c in range(cols):
                v0 = x0[c]
                o0[c] += a0 * v0
                o1[c] += a1 * v0
                o2[c] += a2 * v0
                o3[c] += a3 * v0
        for j in range(rest, inner, 4):
            x0, x1, x2, x3 = y[j], y[j + 1], y[j + 2], y[j + 3]
            a0, a1, a2, a3 = x[i, j], x[i, j + 1], x[i, j + 2], x[i, j + 3]
            b0, b1, b2, b3 = x[i + 1, j], x[i + 1, j + 1], x[i + 1, j + 2], x[i + 1, j + 3]
            c0, c1, c2, c3 = x[i + 2, j], x[i + 2, j + 1], x[i + 2, j + 2], x[i + 2, j + 3]
            d0, d1, d2, d3 = x[i + 3, j], x[i + 3, j + 1], x[i + 3, j + 2], x[i + 3, j + 3]
            for c in range(cols):
                v0, v1, v2, v3 = x0[c], x1[c], x2[c], x3[c]
                o0[c] += (a0 * v0 + a1 * v1) + (a2 * v2 + a3 * v3)
                o1[c] += (b0 * v0 + b1 * v1) + (b2 * v2 + b3 * v3)
                o2[c] += (c0 * v0 + c1 * v1) + (c2 * v2 + c3 * v3)
                o3[c] += (d0 * v0 + d1 * v1) + (d2 * v2 + d3 * v3)
    for i in range(most, n):
        row = out[i]
        for j in range(inner):
            a0, x0 = x[i, j], y[j]
            for c in range(cols):
                row[c] += a0 * x0[c]


def map_1(x: Any, out: Any) -> None:
    """out = forward(x)."""
    for i in range(len(out)):
        out[i] = forward(x[i])


def map_2(x: Any, y: Any, out: Any) -> None:
    """out = forward(x, y)."""
    for i in range(len(out)):
        out[i] = forward(x[i], y[i])


def map_3(x: Any, y: Any, z: Any, out: Any) -> None:
    """out = forward(x, y, z)."""
    for i in range(len(out)):
        out[i] = forward(x[i], y[i], z[i])


def fold_2(source: Any, rows: Any, out: Any) -> None:
    """out = forward(forward(x, y), z), of rows of the source; and so on."""
    for k in range(len(out)):
        for c in range(out.shape[1]):
            out[k, c] = source[rows[k, 0], c]
        for j in range(1, rows.shape[1]):
            for c in range(out.shape[1]):
                out[k, c] = forward(out[k, c], source[rows[k, j], c])


def edge_1(g: Any, x: Any, out: Any, to: Any, adds: Any, exact: Any) -> None:
    """What passes from an adjoint g to the operand: see policy 3 in `maps.passed`."""
    for i in range(len(to)):
        passed = -0.0 if exact else 0.0
        if not cut(x[i]):
            p = partial(x[i], out[i])
            passed = pass_on(g[i], p) if exact else g[i] * p
        to[i] = to[i] + passed if adds else passed


def edge_2(g: Any, x: Any, y: Any, out: Any, to: Any, adds: Any, exact: Any) -> None:
    """The same for a row of two operands."""
    for i in range(len(to)):
        passed = -0.0 if exact else 0.0
        if not cut(x[i], y[i]):
            p = partial(x[i], y[i], out[i])
            passed = pass_on(g[i], p) if exact else g[i] * p
        to[i] = to[i] + passed if adds else passed


def edge_3(g: Any, x: Any, y: Any, z: Any, out: Any, to: Any, adds: Any, exact: Any) -> None:
    """The same for a row of three operands."""
    for i in range(len(to)):
        passed = -0.0 if exact else 0.0
        if not cut(x[i], y[i], z[i]):
            p = partial(x[i], y[i], z[i], out[i])
            passed = pass_on(g[i], p) if exact else g[i] * p
        to[i] = to[i] + passed if adds else passed


def move_0(w: Any, g: Any, slots: Any, settings: Any) -> None:
    """The rule of an optimiser, which keeps so many numbers beside each one, on all of them."""
    for i in range(len(w)):
        w[i] = rule(w[i], g[i], settings)[0]


def move_1(w: Any, g: Any, slots: Any, settings: Any) -> None:
    """The same with one number."""
    for i in range(len(w)):
        w[i], slots[0, i] = rule(w[i], g[i], slots[0, i], settings)


def move_2(w: Any, g: Any, slots: Any, settings: Any) -> None:
    """The same with two."""
    for i in range(len(w)):
        w[i], slots[0, i], slots[1, i] = rule(w[i], g[i], slots[0, i], slots[1, i], settings)


def move_3(w: Any, g: Any, slots: Any, settings: Any) -> None:
    """The same with three."""
    for i in range(len(w)):
        w[i], slots[0, i], slots[1, i], slots[2, i] = rule(
            w[i], g[i], slots[0, i], slots[1, i], slots[2, i], settings
        )


_MAPS: tuple[Callable[..., None], ...] = (map_1, map_2, map_3)
_EDGES: tuple[Callable[..., None], ...] = (edge_1, edge_2, edge_3)
_MOVES: tuple[Callable[..., None], ...] = (move_0, move_1, move_2, move_3)


def map_of(name: str, dtype: Any) -> Callable[..., None]:
    """A row of the table on arrays: its operands, then the result."""
    op = TABLE[name]
    return _made(op, -1, dtype, _MAPS[op.arity - 1], {"forward": op.forward})


def fold_of(name: str, dtype: Any) -> Callable[..., None]:
    """A row of the table of two operands, from number to number: all numbers, the rows of them that
    each result is of, and the results."""
    op = TABLE[name]
    return _made(op, -1, dtype, fold_2, {"forward": op.forward})


def edge_of(name: str, k: int, dtype: Any) -> Callable[..., None]:
    """What a row passes to operand k: the adjoint, operands and result, the target, whether it is
    added to, and whether the chain rule is followed exactly."""
    op = TABLE[name]
    names = {"partial": _function(op.partials[k]), "cut": _function(op.cuts[k])}
    return _made(op, k, dtype, _EDGES[op.arity - 1], names)


def matrix_product(dtype: Any) -> Callable[..., None]:
    """`product`, compiled."""
    return _made(None, -1, dtype, product, {}, fast=True)


def move_of(rule: Any, slots: int, dtype: Any) -> Callable[..., None]:
    """What the rule of an optimiser does to numbers, by their gradients, in place: these, a row for
    each of its slots, and the settings. As on arrays, products and sums are rounded one by one."""
    return _made(rule, -1, dtype, _MOVES[slots], {"rule": rule})


MOST_SLOTS = len(_MOVES) - 1  # of a rule


def errors() -> type[Exception]:
    """What Numba raises for what it can't compile."""
    return _numba().core.errors.NumbaError  # type: ignore[no-any-return]


_made_of: dict[tuple[Any, ...], Callable[..., None]] = {}


def _made(
    op: Any,
    k: int,
    dtype: Any,
    function: Callable[..., None],
    names: dict[str, Any],
    *,
    fast: bool = False,
) -> Callable[..., None]:
    single = np.dtype(dtype) == np.float32
    key = (op, k, single, function)
    known = _made_of.get(key)
    if known is not None:
        return known
    with compiling:
        if key not in _made_of:
            bound = rebind(function, names)
            _made_of[key] = bound if DISABLED else _Compiler(fast, single).entry(bound)
        return _made_of[key]


def _function(meaning: Any) -> Callable[..., Any]:
    """A partial or a cut of a row, as a function also where it is the same everywhere."""
    if isinstance(meaning, FunctionType):
        return meaning
    return rebind(_everywhere, {"constant": float(meaning)})


def _everywhere(*numbers: float) -> float:
    return constant


# --- compiling -------------------------------------------------------------------------------


@functools.cache
def _numba() -> Any:
    with compiling:
        import numba
        from numba.core.compiler_lock import global_compiler_lock

        locks.waited_for(2, global_compiler_lock)
        return numba


@functools.cache
def _math_with_cbrt() -> ModuleType:
    """`math` for Numba, which lacks one function that the table uses. To teach it that one would
    be for all that this process compiles, whoever does."""
    made = ModuleType("math")
    vars(made).update(vars(math), cbrt=_numba().njit(lambda x: np.cbrt(x)))
    return made


class _Kept:
    """Where Numba asks for code that is kept, and gives what it has made: in place of its own
    cache of a function."""

    cache_path = None

    def __init__(self, unique: str) -> None:
        self._unique = unique

    def load_overload(self, signature: Any, target: Any) -> Any:
        """What is kept for a signature, ready to run; else None."""
        from numba.core.compiler import CompileResult

        target.refresh()
        content = cache.read(self._name(signature, target.codegen()))
        if content is None:
            return None
        rebuild: Any = CompileResult._rebuild
        return rebuild(target, *pickle.loads(content))

    def save_overload(self, signature: Any, made: Any) -> None:
        """Keep what was made, unless it can serve this process only."""
        from numba.core import serialize

        dumps: Callable[[Any], bytes] = serialize.dumps
        if not made.library.has_dynamic_globals:
            cache.keep(self._name(signature, made.library.codegen), dumps(made._reduce()))

    def _name(self, signature: Any, codegen: Any) -> str:
        made_by = (_numba().__version__, codegen.magic_tuple())  # the processor as Numba was told
        return cache.name_of("kernel", self._unique, str(signature), *made_by)


class _Compiler:
    """Functions compiled, and what they call; each under a name made of all that it reaches.

    Where additions may be done in any order it is `fast`; `single` has constants in single
    precision: a double one would make results double.
    """

    def __init__(self, fast: bool, single: bool) -> None:
        self._fast, self._single = fast, single
        self._unique = f"{fast:d}{single:d}"

    def entry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is called from Python."""
        assert isinstance(function, FunctionType)
        unique = f"{function.__name__}_{fingerprint(function)}_{self._unique}"
        made = self._compiled(function, unique, nogil=True, no_cfunc_wrapper=True)
        made._cache = _Kept(unique)
        return made  # type: ignore[no-any-return]

    def _callee(self, function: FunctionType) -> Any:
        """A function that is compiled into those that call it."""
        unique = f"{function.__name__}_{fingerprint(function)}_{self._unique}"
        if unique not in _callees:
            options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
            _callees[unique] = self._compiled(function, unique, **options)
        return _callees[unique]

    def _compiled(self, function: FunctionType, unique: str, **options: Any) -> Any:
        # Numba's "numpy" error model is IEEE 754's division, which the rows are written for.
        fast = {"fastmath": {"contract", "reassoc"}} if self._fast else {}
        named = self._named(function, unique)
        return _numba().njit(error_model="numpy", **fast, **options)(named)

    def _named(self, function: FunctionType, unique: str) -> FunctionType:
        """The function with what its names mean to Numba, and a name of its own."""
        code, names = function.__code__, dict(function.__globals__)
        for name in names_of(code):
            meaning = names.get(name)
            if meaning is math and "cbrt" in code.co_names:
                names[name] = _math_with_cbrt()
            elif isinstance(meaning, FunctionType):
                names[name] = self._callee(meaning)
            elif isinstance(meaning, float) and self._single:
                names[name] = np.float32(meaning)
        if self._single:
            constants = [np.float32(c) if type(c) is float else c for c in code.co_consts]
            code = code.replace(co_consts=tuple(constants))
        made = FunctionType(code, names, unique, function.__defaults__, function.__closure__)
        made.__qualname__, made.__module__ = unique, function.__module__
        return made


_callees: dict[str, Any] = {}
