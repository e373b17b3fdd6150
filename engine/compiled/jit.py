"""Machine code for kernels: compiled when first needed, for one type of numbers, cached on disk.

A kernel becomes a C function, known by its address, so that a program is a table of addresses
and needs no compilation of its own. What Numba makes is kept on disk (`cache`), not in Numba's own
cache, which knows a function by file, qualified name and line, but not by what the names in it
mean: code rebound to another callee would be taken for the same. Here a function is known by a hash
over all that it reaches: its code, its constants, the functions that it calls, and theirs.

Under NUMBA_DISABLE_JIT=1 an "address" is a number in a table of Python functions.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib.util
import math
import pickle
import platform
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from engine import locks
from engine.compiled import cache, kernels
from engine.compiled.objects import DISABLED
from engine.compiled.threads import compiling
from engine.errors import TraceError
from engine.ops import TABLE
from engine.randomness import mix

_SUMMING = (
    "mm",
    "mm_small",
    "dot",
    "broadcast",
    "broadcast_list",
)  # where additions may change their order


def require_numba() -> None:
    """Raise ImportError with what to install where nothing can be compiled."""
    if not DISABLED and any(importlib.util.find_spec(x) is None for x in ("numba", "llvmlite")):
        raise ImportError(cache.NEEDED, name="numba")


@functools.cache
def _numba() -> Any:
    with compiling:
        import numba
        from numba.core.compiler_lock import global_compiler_lock

        locks.waited_for(2, global_compiler_lock)
        return numba


def blas() -> bool:
    """Whether large matrix products are BLAS's: it comes with SciPy."""
    return _scipy()


@functools.cache
def _scipy() -> bool:
    try:
        import scipy.linalg.cython_blas  # noqa: F401
    except ImportError:
        return False
    return True


# --- naming what a function reaches ----------------------------------------------------------


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
    parts += [(name, _meaning_parts(meanings.get(name), above)) for name in _names_of(code)]
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
    constants = [_code_parts(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return (code.co_code.hex(), constants, code.co_names, code.co_varnames)


@functools.cache
def _attributes_of(code: CodeType) -> tuple[str, ...]:
    """The names in some code that may be attributes."""
    inner = [_attributes_of(c) for c in code.co_consts if isinstance(c, CodeType)]
    return tuple(sorted({*code.co_names}.union(*inner)))


@functools.cache
def _names_of(code: CodeType) -> tuple[str, ...]:
    """The global names that some code loads; `co_names` has attributes too."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= {*_names_of(constant)}
    return tuple(sorted(found))


# --- compiling -------------------------------------------------------------------------------


def _named(function: FunctionType, names: dict[str, Any], name: str) -> FunctionType:
    """The function with other meanings of its names, and a name of its own for the cache."""
    renamed = {**function.__globals__, **names}
    defaults, closure = function.__defaults__, function.__closure__
    made = FunctionType(function.__code__, renamed, name, defaults, closure)
    made.__qualname__ = name
    made.__module__ = function.__module__
    return made


def _in_single(function: FunctionType) -> FunctionType:
    """The function with single-precision constants: a double one would make results double."""
    code = function.__code__
    constants = tuple(np.float32(c) if type(c) is float else c for c in code.co_consts)
    made = FunctionType(
        code.replace(co_consts=constants),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__module__ = function.__module__
    return made


def _blas_rule() -> Callable[..., bool]:
    return kernels.when_large if blas() else kernels.never


def _product_rule() -> Callable[..., None]:
    return kernels.by_blas if _scipy() else kernels.by_nobody


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
    """Functions compiled for one type of numbers, and what they call."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.done: dict[str, Any] = {}

    def meanings(
        self, function: FunctionType, fast: bool, rules: dict[str, Callable[..., Any]] | None = None
    ) -> dict[str, Any]:
        """What the names in a function mean to Numba; `rules` say how and when BLAS is called."""
        found: dict[str, Any] = {}
        for name in _names_of(function.__code__):
            meaning = function.__globals__.get(name)
            if meaning is kernels.carray:
                found[name] = _numba().carray
            elif meaning is math and "cbrt" in function.__code__.co_names:
                found[name] = _math_with_cbrt()
            elif rules is not None and name in rules:
                found[name] = self.callee(rules[name])
            elif name == "uniform" and self.dtype == "float32":
                found[name] = self.callee(kernels.uniform_single)
            elif isinstance(meaning, FunctionType):
                found[name] = self.callee(meaning, fast)
            elif isinstance(meaning, float) and self.dtype == "float32":
                found[name] = np.float32(meaning)
        return found

    def callee(self, function: Callable[..., Any], fast: bool = False) -> Any:
        """A function that kernels call, compiled into each of them."""
        assert isinstance(function, FunctionType)
        key = f"{fingerprint(function)}_{fast}"
        if key not in self.done:
            names = self.meanings(function, fast)
            plain = _in_single(function) if self.dtype == "float32" else function
            named = _named(plain, names, f"{function.__name__}_{self.dtype}_{key}")
            self.done[key] = _numba().njit(
                **_options(fast), no_cpython_wrapper=True, no_cfunc_wrapper=True
            )(named)
        return self.done[key]

    def kernel(self, name: str, backward: bool) -> int:
        """The address of a kernel's machine code."""
        function = kernels.kernel_of(name, backward)
        if function is None:
            return 0
        assert isinstance(function, FunctionType)
        fast = name in _SUMMING
        words, numbers, count = self._pointers()
        way = "back" if backward else "forward"
        rules: dict[str, Any] = {"use_blas": _blas_rule(), "product_into": _product_rule()}
        if name == "mm_small":
            rules = {"use_blas": kernels.never, "product_into": kernels.by_nobody}
        unique = f"{name}_{way}_{self.dtype}_{fingerprint(function, rules)}"
        operands = (words, words, words, numbers, numbers, numbers, numbers, count)
        return self._machine_code(function, operands, unique, fast, rules)

    def rule(self, rule: Callable[..., None]) -> int:
        """The address of the machine code of an optimiser's rule."""
        assert isinstance(rule, FunctionType)
        _, numbers, count = self._pointers()
        unique = f"rule_{self.dtype}_{fingerprint(rule)}"
        operands = (numbers, numbers, numbers, numbers, count, count, count, count)
        return self._machine_code(rule, operands, unique, fast=False)

    def _pointers(self) -> tuple[Any, Any, Any]:
        """Numba's types of a pointer to words, one to numbers, and a count."""
        types = _numba().types
        number = types.float32 if self.dtype == "float32" else types.float64
        return types.CPointer(types.int64), types.CPointer(number), types.int64

    def _machine_code(
        self,
        function: FunctionType,
        operands: tuple[Any, ...],
        unique: str,
        fast: bool,
        rules: dict[str, Any] | None = None,
    ) -> int:
        from numba.core.ccallback import CFunc

        signature = (operands, _numba().types.void)
        named = _named(function, self.meanings(function, fast, rules), unique)
        made: Any = CFunc(named, signature, locals={}, options=_options(fast))
        made._cache = _Kept(unique)
        made.compile()
        self.done[unique] = made  # the code lives as long as this object
        return int(made.address)


def _options(fast: bool) -> dict[str, Any]:
    # Numba's "numpy" error model is IEEE 754's division, which the rows are written for.
    options: dict[str, Any] = {"error_model": "numpy"}
    return {**options, "fastmath": {"contract", "reassoc"}} if fast else options


@functools.cache
def _compiler(dtype: str) -> _Compiler:
    return _Compiler(dtype)


def rule_address(rule: Callable[..., None], dtype: str) -> int:
    """Return the address of an optimiser's rule: a function of pointers to the parameters, the
    gradient, the slots and the settings, two unused words, the steps before, and the count."""
    with compiling:
        key = (rule, dtype)
        if key not in _addresses:
            if DISABLED:
                _python_kernels.append(rule)
                _addresses[key] = len(_python_kernels)
            else:
                _addresses[key] = _compiler(dtype).rule(rule)
        return _addresses[key]


_addresses: dict[tuple[Any, ...], int] = {}
_python_kernels: list[Callable[..., None]] = []


def address(name: str, backward: bool, dtype: str) -> int:
    """Return the address of a kernel, compiled on first use; 0 where there is nothing to do.

    `name` is that of an instruction, as "mm" or "ew_tanh"; `dtype` is "float64" or "float32".
    """
    row = TABLE.get(name.removeprefix("ew_"))  # a row may be replaced under its name
    key = (name, backward, dtype, row)
    with compiling:
        if key not in _addresses:
            if DISABLED:
                _addresses[key] = _python_address(name, backward)
            else:
                _addresses[key] = _compiler(dtype).kernel(name, backward)
        return _addresses[key]


def _python_address(name: str, backward: bool) -> int:
    function = kernels.kernel_of(name, backward)
    if function is None:
        return 0
    assert isinstance(function, FunctionType)
    names: dict[str, Any] = {"use_blas": kernels.never, "product_into": kernels.by_blas}
    names |= {"stirred": _stirred, "uniform": _uniform}
    _python_kernels.append(_named(function, names, name))
    return len(_python_kernels)


def python_kernel(number: int) -> Callable[..., None]:
    """The Python function behind an "address"."""
    return _python_kernels[number - 1]


def _stirred(z: int, counter: int) -> int:
    return mix(z ^ (int(counter) & ((1 << 64) - 1)))


def _uniform(z: int) -> float:
    return (z >> 11) * 2.0**-53


# --- the loop over instructions --------------------------------------------------------------


@functools.cache
def invoke() -> Any:
    """An intrinsic that calls the kernel at an address."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def invoke(typingctx, kernel, ins, pool, ids, vs, gs, vl, gl, w):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.int64] * 9)

        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            word = ir.IntType(64)
            shape = ir.FunctionType(ir.VoidType(), [word] * 8)
            function = builder.inttoptr(args[0], shape.as_pointer())
            builder.call(function, args[1:])
            return context.get_dummy_value()

        return signature, generate

    return invoke


@functools.cache
def flush_subnormals() -> Any:
    """An intrinsic that has the processor take subnormal numbers for 0, or not (where it can)."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    able = platform.machine().lower() in ("x86_64", "amd64")

    @intrinsic
    def flush_subnormals(typingctx, on):  # type: ignore[no-untyped-def]
        signature = types.void(types.boolean)

        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            if able:
                word = ir.IntType(32)
                shape = ir.FunctionType(ir.VoidType(), [word.as_pointer()])
                place = builder.alloca(word)
                for name in ("stmxcsr", "ldmxcsr"):
                    known = builder.module.globals.get(f"llvm.x86.sse.{name}")
                    call = known or ir.Function(builder.module, shape, f"llvm.x86.sse.{name}")
                    builder.call(call, [place])
                    bits = builder.load(place)
                    both = ir.Constant(word, 0x8040)  # of results, and of operands
                    set_ = builder.or_(bits, both)
                    clear = builder.and_(bits, builder.not_(both))
                    builder.store(builder.select(args[0], set_, clear), place)
            return context.get_dummy_value()

        return signature, generate

    return flush_subnormals


def renamed(function: Callable[..., Any], names: dict[str, Any]) -> Callable[..., Any]:
    """A function with other meanings of some names, not yet compiled."""
    assert isinstance(function, FunctionType)
    return _named(function, names, function.__name__)


def compiled_entry(function: Callable[..., Any], names: dict[str, Any]) -> Callable[..., Any]:
    """Compile a function that is called from Python, with other meanings of some names.

    Functions among these are compiled into it. It is cached on disk like the kernels.
    """
    assert isinstance(function, FunctionType)
    numba = _numba()
    options = {**_options(False), "nogil": True, "no_cfunc_wrapper": True}
    unique = f"{function.__name__}_{fingerprint(function, names)}"
    named = _named(function, {name: _inner(x) for name, x in names.items()}, unique)
    compiled = numba.njit(**options)(named)
    compiled._cache = _Kept(unique)
    return compiled  # type: ignore[no-any-return]


def _inner(meaning: Any) -> Any:
    """What a compiled function calls, compiled too if it is a function."""
    if not isinstance(meaning, FunctionType):
        return meaning
    names = {
        name: _inner(meaning.__globals__[name])
        for name in _names_of(meaning.__code__)
        if isinstance(meaning.__globals__.get(name), FunctionType)
    }
    unique = f"{meaning.__name__}_{fingerprint(meaning)}"
    options = {**_options(False), "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _numba().njit(**options)(_named(meaning, names, unique))
