"""What a measurement depends on beside the code: the machine, the threads, the versions.

Nothing of it says who or where: no names of hosts or users, no paths.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "scipy",
    "torch",
    "jax",
    "jaxlib",
    "casadi",
    "autograd",
    "micrograd",
    "matplotlib",
)
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_DISABLE_JIT")


def facts() -> dict[str, Any]:
    """Return them, ready for JSON. Nothing is imported to find a version."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "collector": {"enabled": gc.isenabled(), "thresholds": list(gc.get_threshold())},
        "threads": {name: os.environ[name] for name in _LIMITS if name in os.environ},
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "commit": commit(Path(__file__).parent),
    }


def same_machine(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether figures of two runs can be compared in seconds."""
    return all(one.get(key) == other.get(key) for key in ("processor", "cores", "system"))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory(kind: str = "MemTotal") -> int:
    """Return bytes of memory, all or "MemAvailable"; 0 where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        if kind == "MemTotal" and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return 0
    sizes = dict(line.split(":", 1) for line in lines)
    return int(sizes.get(kind, "0 kB").split()[0]) * 1024


def fits(size: int) -> bool:
    """Return whether so many bytes are available, as far as the system tells."""
    return not 0 < memory("MemAvailable") < size


def work_of_others() -> float | None:
    """Return seconds of all cores' work for others than this process and what it started.

    None where the system does not tell. Two of these, and the time between, tell how busy the
    machine was with other things.
    """
    try:
        line = Path("/proc/stat").read_text().splitlines()[0].split()
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    user, nice, system, _idle, _waiting, *interrupts = map(int, line[1:8])
    return (user + nice + system + sum(interrupts)) / ticks - sum(os.times()[:4])


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    if sys.platform == "darwin":
        named = _output(["sysctl", "-n", "machdep.cpu.brand_string"])
        if named:
            return named
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit(folder: Path) -> str | None:
    """Return the commit of a checkout, with a + where files were changed since."""
    found = _output(["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"])
    changed = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return f"{found}+" if found and changed else found


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
