"""Object code: from LLVM's language to functions at addresses, kept on disk.

In: the text of a module and the names of its functions. Out: `Code`, which has their addresses
and must live as long as they are called. What LLVM made is kept in a file named after a hash over
everything that it depends on, beside Numba's own cache files, so that the next process loads it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MOST_BYTES = 256 << 20  # of the folder; beyond that the files used longest ago are removed
_MOST_LINES = (
    20_000  # of a text that is optimised: LLVM takes some 0.1 ms for each then, else 10 us
)
_FORMAT = 2  # of the files
_lock = threading.RLock()


class Code:
    """Functions in memory, by name; 0 for one that the module does not have."""

    def __init__(self, machine_code: bytes) -> None:
        llvm = _llvm()
        with _lock:
            # As Numba does: ARM's code must be near its constants, for which llvmlite's memory
            # manager cares; on x86 see `_target_machine`.
            self._engine = llvm.create_mcjit_compiler(
                llvm.parse_assembly(""), _target_machine(), use_lmm=not _on_x86()
            )
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
            self._engine.finalize_object()

    def address(self, name: str) -> int:
        """The address of a function."""
        with _lock:
            return int(self._engine.get_function_address(name))


def code(key: str, make: Callable[[], tuple[Any, str]]) -> tuple[Any, Code]:
    """Return what is told of a module, as JSON has it, and its functions.

    `key` says everything that these depend on; `make` is called for them, and for the module's
    text, only if there is no file yet.
    """
    told = (key, _processor(), _llvm().llvm_version_info, vector_bytes(), _FORMAT)
    name = hashlib.sha256(repr(told).encode()).hexdigest()[:40]
    folder = _folder()
    place = folder / f"{name}.o" if folder else None
    if place is not None:
        with contextlib.suppress(OSError, ValueError):  # none yet, or a damaged one
            head, _, machine_code = place.read_bytes().partition(b"\n")
            notes, digest = json.loads(head)
            if digest == hashlib.sha256(machine_code).hexdigest():  # else LLVM might abort
                os.utime(place)  # used just now
                return notes, Code(machine_code)
    notes, text = make()
    machine_code = compiled(text)
    if place is not None:
        with contextlib.suppress(OSError):  # a cache that can't be written is none
            digest = hashlib.sha256(machine_code).hexdigest()
            _keep(place, json.dumps([notes, digest]).encode() + b"\n" + machine_code)
    return notes, Code(machine_code)


def compiled(text: str) -> bytes:
    """What LLVM makes of a module's text."""
    llvm = _llvm()
    attributes = f'nounwind "prefer-vector-width"="{8 * vector_bytes()}"'
    attributes += f' "min-legal-vector-width"="{8 * vector_bytes()}"'
    with _lock:
        module = llvm.parse_assembly(f"{text}\nattributes #0 = {{ {attributes} }}\n")
        level = 2 if text.count("\n") <= _MOST_LINES else 0
        return bytes(_target_machine(level).emit_object(module))


def vector_bytes() -> int:
    """The size of a vector register of this processor, or what is treated as one."""
    return 64 if "+avx512f" in _processor()[1].split(",") else 32


def _keep(place: Path, made: bytes) -> None:
    """Write a file at once, under a temporary name first; and make room."""
    with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".tmp", delete=False) as file:
        file.write(made)
    Path(file.name).replace(place)
    files = sorted(place.parent.glob("*.o"), key=lambda p: p.stat().st_mtime)
    total = sum(p.stat().st_size for p in files)
    for old in files[:-1]:
        if total <= _MOST_BYTES:
            break
        total -= old.stat().st_size
        old.unlink()


@functools.cache
def _folder() -> Path | None:
    """The folder of kept files: beside this one, or where NUMBA_CACHE_DIR says; None without."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    candidates = [Path(given) / "gradloom"] if given else []
    candidates += [
        Path(__file__).parent / "__pycache__" / "native",
        Path.home() / ".cache" / "gradloom",
    ]
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm  # comes with Numba

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def _processor() -> tuple[str, str]:
    """The processor's name, and what it can do."""
    llvm = _llvm()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _on_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


def _target_machine(level: int = 2) -> Any:
    """LLVM's code generator. On x86 code refers to constants and functions by whole addresses:
    what is loaded beside other large libraries may lie more than 2 GB from them."""
    name, features = _processor()
    target = _llvm().Target.from_default_triple()
    reloc = "static" if _on_x86() else "default"
    options = {"opt": level, "reloc": reloc, "codemodel": "jitdefault"}
    return target.create_target_machine(cpu=name, features=features, **options)
