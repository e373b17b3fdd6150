"""Machine code on disk: a folder of the user's own, shared by processes.

A file is called by a hash over everything that its content depends on, and begins with a digest
of its name and content: what is cut short, damaged or renamed is not there. Nothing is read that
somebody else could have written, and whatever goes wrong, one goes on without: code is then made
anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import stat
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from engine import locks

VARIABLE = "GRADLOOM_CACHE_DIR"
NEEDED = "compiling needs Numba: pip install numba"
_ENDING, _UNFINISHED = ".gradloom", ".gradloom-new"
_MOST_BYTES = 256 << 20  # of the folder; beyond that the files used longest ago are removed
_FORMAT = 3  # of the files
_OLD = 3600.0  # seconds, after which a file that is still being written never will be
_told: set[str] = set()  # what was warned of
_unseen: dict[Path, int] = {}  # bytes that this process has written since it looked for room


def place() -> Path | None:
    """The folder that the environment variable GRADLOOM_CACHE_DIR names, or else the system has for
    the user's caches, whether or not it is there; None where there is none, without a home."""
    import platformdirs

    given = os.environ.get(VARIABLE)
    try:
        if given:
            return Path(given).expanduser().absolute()
        folder = Path(platformdirs.user_cache_dir("gradloom", appauthor=False))
    except RuntimeError:  # without a home
        return None
    return folder if folder.is_absolute() else None


def name_of(*told: Any) -> str:
    """The name of what depends on all this, on the processor, and on who makes machine code."""
    versions = (platform.python_implementation(), platform.python_version(), np.__version__)
    maker = llvm()
    made_by = (sys.modules["llvmlite"].__version__, maker.llvm_version_info, *processor())
    return hashlib.sha256(repr((_FORMAT, versions, made_by, told)).encode()).hexdigest()[:40]


def read(name: str) -> bytes | None:
    """The content of a file; None where there is none, or none that can be trusted."""
    folder = _folder()
    if folder is None:
        return None
    path = folder / (name + _ENDING)
    try:
        with path.open("rb") as file:
            if not _is_own(os.fstat(file.fileno())):
                return None
            whole = file.read()
    except OSError:
        return None
    digest, content = whole[:32], whole[32:]
    if digest != _digest(name, content):
        return None
    with contextlib.suppress(OSError):  # of a folder that is only read
        os.utime(path)  # used just now
    return content


def keep(name: str, content: bytes) -> None:
    """Write a file, whole or not at all, and make room for it."""
    folder = _folder()
    if folder is None:
        return
    try:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=_UNFINISHED, delete=False) as file:
            try:
                file.write(_digest(name, content) + content)
                file.close()
                Path(file.name).replace(folder / (name + _ENDING))
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        unseen = _unseen.get(folder)
        _unseen[folder] = (unseen or 0) + len(content)
        if unseen is None or _unseen[folder] > _MOST_BYTES // 64:  # to look takes a while
            _unseen[folder] = 0
            _make_room()
    except OSError as error:
        _tell(f"{folder} can't be written ({_reason(error)})")


def size() -> tuple[int, int]:
    """How many files there are, and their bytes."""
    found = _files()
    return len(found), sum(size for _, size, _ in found)


def clear() -> tuple[int, int]:
    """Remove all files; return how many these were, and their bytes.

    Raises OSError where one can't be removed.
    """
    files = _files()
    for _, _, path in files:
        path.unlink(missing_ok=True)
    return len(files), sum(size for _, size, _ in files)


def _files() -> list[tuple[float, int, Path]]:
    """Our files in the folder, and what is left of some: when each was used, its bytes, and its
    path; the last used ones last."""
    folder, found = place(), []
    if folder is None or not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((_ENDING, _UNFINISHED)):
                with contextlib.suppress(OSError):  # another process has removed it
                    state = entry.stat()
                    if stat.S_ISREG(state.st_mode):
                        found.append((state.st_mtime, state.st_size, Path(entry.path)))
    return sorted(found)


def _make_room() -> None:
    files = _files()
    total = sum(size for _, size, _ in files)
    for used, size, path in files[:-1]:
        unfinished = path.suffix == _UNFINISHED and time.time() - used > _OLD
        if total > _MOST_BYTES or unfinished:
            total -= size
            path.unlink(missing_ok=True)


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + content).digest()


# --- whom to trust ------------------------------------------------------------------------------


def complaint() -> str:
    """Why the folder, which is made if it was not there, can't be used; "" if it can."""
    folder = place()
    if folder is None:
        return "there is no folder of yours for caches"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = _is_own(folder.stat())
    except OSError as error:
        return f"{folder} can't be used ({_reason(error)})"
    return "" if own else f"others can write to {folder}, or own it"


def _folder() -> Path | None:
    """The folder; None, and a warning, where it can't be used."""
    problem = complaint()
    if problem:
        _tell(problem)
    return None if problem else place()


def _is_own(found: os.stat_result) -> bool:
    """Whether nobody but this user and the system's can have written it, as far as can be told."""
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _tell(problem: str) -> None:
    """Warn once, in a sentence."""
    if problem not in _told:
        _told.add(problem)
        warnings.warn(
            f"machine code is not kept, and is made anew in each process: {problem}; the "
            f"environment variable {VARIABLE} names another folder",
            RuntimeWarning,
            stacklevel=2,
        )


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


# --- what makes machine code, and for which processor ------------------------------------------


@functools.cache
def llvm() -> Any:
    """llvmlite's way to LLVM. Raises ImportError with what to install."""
    try:
        import llvmlite.binding as binding
    except ImportError:
        raise ImportError(NEEDED, name="llvmlite") from None
    if (lock := getattr(getattr(binding.ffi.lib, "_lock", None), "_lock", None)) is not None:
        locks.waited_for(3, lock)  # finalizers take it, too
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@functools.cache
def processor() -> tuple[str, str]:
    """The processor's name, and what it can do."""
    return llvm().get_host_cpu_name(), llvm().get_host_cpu_features().flatten()
