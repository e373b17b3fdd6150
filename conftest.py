"""What is asked of every test: that it leaves the process and the checkout as they were, and
passes in any order (`--order-seed N`)."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine.modes

ROOT = Path(__file__).parent
collect_ignore = [] if importlib.util.find_spec("sklearn") else ["nn/sklearn.py"]  # its doctests
OWN_FOLDERS = {".git", ".venv", ".cache", "__pycache__", "build"}  # of tools
# What a library sets when it is imported or first used: scikit-learn, PyTorch, JAX.
ALLOWED = ("$PYTEST_CURRENT_TEST", "$KMP_", "$TORCH", "$TF_CPP_", "$TPU_")
# Threads that wait for more work.
LASTING = ("gradloom", "tqdm_monitor", "asyncio", "AsyncProcess", "Dask", "IO loop", "Profile")
os.environ.setdefault("MPLBACKEND", "agg")  # no test opens a window


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--order-seed`."""
    parser.addoption("--order-seed", type=int, help="shuffle the files, and the tests of each")


def pytest_report_header(config: pytest.Config) -> str:
    """Say the seed of the order."""
    seed = config.getoption("--order-seed")
    return "" if seed is None else f"order: --order-seed {seed}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have Python's collector look at what tests make, and not again and again at the modules and
    the thousands of tests: a fifth of all time was its."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*gc.get_threshold()[:2], 100)
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle, but keep the tests of a file together: they share what is dear to make."""
    seed = config.getoption("--order-seed")
    if seed is not None:
        rng = random.Random(seed)
        files = sorted({item.path for item in items})
        rank = dict(zip(files, rng.sample(range(len(files)), len(files)), strict=True))
        rng.shuffle(items)
        items.sort(key=lambda item: rank[item.path])


@pytest.fixture(autouse=True)
def _process_is_left_as_it_was() -> Iterator[None]:
    """What modules draw from begins the same for each test, figures are closed, the rest is asked
    to be as it was."""
    before, python, numpy = _process(), random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(0)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    random.setstate(python)
    np.random.set_state(numpy)
    after = _process()
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    assert not changed, [(name, before.get(name), after.get(name)) for name in changed]


def _process() -> dict[str, Any]:
    """What a test shares with all that run after it."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    backend = pyplot.rcParams._get("backend") if pyplot else None
    environment = {f"${name}": value for name, value in os.environ.items()}
    return {
        **{name: value for name, value in environment.items() if not name.startswith(ALLOWED)},
        "numpy.errstate": np.geterr(),
        "folder": Path.cwd(),
        "sys.path": list(sys.path),
        "recursion limit": sys.getrecursionlimit(),
        "collector": gc.isenabled(),
        "Ctrl-C": signal.getsignal(signal.SIGINT),
        "threads": {t.name for t in threading.enumerate() if not t.name.startswith(LASTING)},
        "modes": (engine.modes.watched, engine.modes.tracing),
        "backend": backend if isinstance(backend, str) else "agg",  # chosen at the first figure
    }


@pytest.fixture(scope="session", autouse=True)
def _checkout_is_left_as_it_was() -> Iterator[None]:
    before = _files()
    yield
    assert _files() == before
    assert _overloads() == []


def _files() -> set[Path]:
    found = set()
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in OWN_FOLDERS and name[:1] != "."]
        found |= {Path(folder, name) for name in names}
    return found


def _overloads() -> list[str]:
    """Functions that tests have taught Numba; kernels compiled with them would stay in caches."""
    templates: Any = sys.modules.get("numba.core.typing.templates")
    if templates is None:
        return []
    known = [getattr(t, "_overload_func", None) for t in templates.builtin_registry.functions]
    return [repr(f) for f in known if f is not None and str(f.__module__).startswith("test")]
