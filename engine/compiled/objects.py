"""Object code: from LLVM's language to functions at addresses, kept on disk.

In: the text of a module and the names of its functions. Out: `Code`, which has their addresses and
must live as long as they are called. What LLVM made is kept on disk (`cache`) with the notes about
it, so that the next process loads both.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.compiled import cache
from engine.compiled.threads import compiling

# Numba's variable, with which nothing becomes machine code: all runs in plain Python.
DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
_MOST_LINES = (
    20_000  # of a text that is optimised: LLVM takes some 0.1 ms for each then, else 10 us
)


class Code:
    """Functions in memory, by name; 0 for one that the module does not have."""

    def __init__(self, machine_code: bytes) -> None:
        llvm = cache.llvm()
        with compiling:
            # As Numba does: ARM's code must be near its constants, for which llvmlite's memory
            # manager cares; on x86 see `_target_machine`.
            self._engine = llvm.create_mcjit_compiler(
                llvm.parse_assembly(""), _target_machine(), use_lmm=not _on_x86()
            )
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
            self._engine.finalize_object()

    def address(self, name: str) -> int:
        """The address of a function."""
        with compiling:
            return int(self._engine.get_function_address(name))


def code(key: str, make: Callable[[], tuple[Any, str]], *, quick: bool = False) -> tuple[Any, Code]:
    """Return what is told of a module, as JSON has it, and its functions.

    `key` says everything that these depend on; `make` is called for them, and for the module's
    text, only if they are not kept yet. Code that is made in a `quick` way takes a quarter of the
    time to make, and several times as long to run.
    """
    name = cache.name_of("blocks", key, quick, vector_bytes(), _source())
    kept = cache.read(name)
    if kept is None:
        with compiling:
            kept = cache.read(name)  # which another thread may have kept meanwhile
            if kept is None:
                notes, text = make()
                kept = json.dumps(notes).encode() + b"\n" + compiled(text, quick=quick)
                cache.keep(name, kept)
    head, _, machine_code = kept.partition(b"\n")
    return json.loads(head), Code(machine_code)


@functools.cache
def _source() -> str:
    """A hash over this file, which says how LLVM is asked."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def compiled(text: str, *, quick: bool = False) -> bytes:
    """What LLVM makes of a module's text."""
    llvm = cache.llvm()
    attributes = f'nounwind "prefer-vector-width"="{8 * vector_bytes()}"'
    attributes += f' "min-legal-vector-width"="{8 * vector_bytes()}"'
    with compiling:
        plain = " noinline optnone" if quick or text.count("\n") > _MOST_LINES else ""
        kinds = f"attributes #0 = {{ {attributes} }}\nattributes #1 = {{ {attributes}{plain} }}\n"
        module = llvm.parse_assembly(f"{text}\n{kinds}")
        if " = alloca " in text:  # buffers of loops, which had better be registers
            _run_passes(module, "add_sroa_pass")
        level = 0 if quick and ") #0 {" not in text else 2  # not for loops, which are always good
        return bytes(_target_machine(level).emit_object(module))


def optimised(text: str) -> str:
    """A module's text with variables in registers, for what was written down plainly: of LLVM's
    passes those alone that matter, since all of them take five times as long."""
    llvm = cache.llvm()
    with compiling:
        module = llvm.parse_assembly(text)
        module.verify()
        names = ("add_sroa_pass", "add_instruction_combine_pass", "add_simplify_cfg_pass")
        _run_passes(module, *names)
        return str(module)


def _run_passes(module: Any, *names: str) -> None:
    """Run some of LLVM's passes over each function."""
    llvm = cache.llvm()
    builder = llvm.create_pass_builder(_target_machine(), llvm.create_pipeline_tuning_options())
    passes = llvm.create_new_function_pass_manager()
    for name in names:
        getattr(passes, name)()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)


def vector_bytes() -> int:
    """The size of a vector register of this processor, or what is treated as one."""
    return 64 if "+avx512f" in cache.processor()[1].split(",") else 32


def _on_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


def _target_machine(level: int = 2) -> Any:
    """LLVM's code generator. On x86 code refers to constants and functions by whole addresses:
    what is loaded beside other large libraries may lie more than 2 GB from them."""
    name, features = cache.processor()
    target = cache.llvm().Target.from_default_triple()
    reloc = "static" if _on_x86() else "default"
    options = {"opt": level, "reloc": reloc, "codemodel": "jitdefault"}
    return target.create_target_machine(cpu=name, features=features, **options)
