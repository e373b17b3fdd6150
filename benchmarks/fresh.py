"""Work in a process of its own: what is done first in it, and how long its imports take.

In: a program's text, which calls `done(seconds, numbers)` at its end. It runs with the gradloom
that this process has, and what it caches goes to a folder of its own: with `warm` one that it
filled before, else an empty one. Byte code is kept, as it is for whoever runs a program again.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import engine
from benchmarks.harness import Contender, SkippedError

_HEAD = """
import json as _json, sys as _sys
def done(seconds, numbers=()):
    print(_json.dumps([seconds, [float(x) for x in numbers]]))
"""
_MISSING = "ModuleNotFoundError: No module named "


def contender(program: str, *, warm: bool = False, note: str = "") -> Contender:
    """The seconds that a program says it took, and its numbers, if it computes some.

    Raises SkippedError for a missing library.
    """
    kept = _folder() if warm else None
    _, numbers = run(program, kept)

    def work() -> float:
        return run(program, kept)[0]

    return Contender(work, (lambda: numbers) if numbers else None, clocked=True, note=note)


def run(program: str, kept: str | None = None) -> tuple[float, list[float]]:
    """Run it with a folder for caches, or an empty one; return what it says at its end."""
    if kept is None:
        with tempfile.TemporaryDirectory() as empty:
            return run(program, empty)
    environment = {key: x for key, x in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "GRADLOOM_CACHE_DIR": kept,
        "NUMBA_CACHE_DIR": kept,  # where older builds keep theirs
        "PYTHONPYCACHEPREFIX": _byte_code(),
        "PYTHONPATH": str(Path(engine.__file__).resolve().parents[1]),
    }
    command = [sys.executable, "-P", "-c", _HEAD + program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        if last.startswith(_MISSING):
            raise SkippedError(f"{last.removeprefix(_MISSING).strip(chr(39))} is not installed")
        raise RuntimeError(last)
    answer: Any = json.loads(done.stdout.strip().splitlines()[-1])
    return answer[0], answer[1]


@cache
def _byte_code() -> str:
    return _folder()


def _folder() -> str:
    """A folder that is removed when this process ends."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
