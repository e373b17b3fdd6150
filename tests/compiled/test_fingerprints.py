"""The cache of machine code on disk: shared by processes, and never an answer to another question.

Numba knows a cached function by its file, its name and its line. What else decides what a row of
the table computes, the constants and functions that it reaches, must be in the fingerprint.
"""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

import engine
from engine.compiled import cache, jitted
from engine.compiled.fingerprints import fingerprint
from engine.ops import TABLE, row
from engine.value import record

ROOT = Path(engine.__file__).parents[1]

# --- fingerprints ---------------------------------------------------------------------------------


def defined(text: str, **names: Any) -> Callable[..., Any]:
    """The first function that a text defines, its global names meaning `names`."""
    exec(text, names)
    return next(x for x in names.values() if isinstance(x, FunctionType) and x.__globals__ is names)


def of_module(**attributes: Any) -> ModuleType:
    module = ModuleType("constants")
    vars(module).update(attributes)
    return module


TEXT = "def f(x):\n    return meaning(x)\n"
CONSTANT = "def f(x):\n    return meaning * x\n"
ATTRIBUTE = "def f(x):\n    return meaning.scale * x\n"
TWICE, THRICE = (
    defined("def g(x):\n    return 2.0 * x\n"),
    defined("def g(x):\n    return 3.0 * x\n"),
)

# A text, and two meanings of a name in it
DIFFERENT: dict[str, tuple[str, Any, Any]] = {
    "callees": (TEXT, TWICE, THRICE),
    "callees of callees": (TEXT, defined(TEXT, meaning=TWICE), defined(TEXT, meaning=THRICE)),
    "floats": (CONSTANT, 2.0, 3.0),
    "floats that look equal": (CONSTANT, 0.1 + 0.2, 0.3),
    "zeros": (CONSTANT, 0.0, -0.0),
    "an int and a float": (CONSTANT, 2, 2.0),
    "tuples of functions": (
        "def f(x):\n    return meaning[0](x)\n",
        (TWICE, TWICE),
        (THRICE, TWICE),
    ),
    "tuples": ("def f(x):\n    return meaning[0] * x\n", (2.0, 1.0), (3.0, 1.0)),
    "single-precision floats": (CONSTANT, np.float32(2.0), np.float32(3.0)),
    "NumPy's ints": (CONSTANT, np.int64(2), np.int64(3)),
    "arrays": ("def f(x):\n    return meaning[0] * x\n", np.array([2.0]), np.array([3.0])),
    "modules": (ATTRIBUTE, math, np),
    "a module's constants": (ATTRIBUTE, of_module(scale=2.0), of_module(scale=3.0)),
    "built-in functions": (TEXT, math.sin, math.cos),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_functions_of_one_text_that_mean_different_things_are_told_apart(kind: str) -> None:
    text, one, other = DIFFERENT[kind]
    assert fingerprint(defined(text, meaning=one)) == fingerprint(defined(text, meaning=one))
    assert fingerprint(defined(text, meaning=one)) != fingerprint(defined(text, meaning=other))


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return 3.0 * x\n",
        "def f(x):\n    return x * 2.0\n",
        "def f(x, y=1.0):\n    return 2.0 * x\n",
        "def f(x):\n    return math.sin(2.0 * x)\n",
        "def f(x):\n    return math.cos(2.0 * x)\n",
        "def f(x):\n    g = lambda: 2.0 * x\n    return g()\n",
        "def f(x):\n    g = lambda: 3.0 * x\n    return g()\n",
    ],
)
def test_another_text_has_another_fingerprint(text: str) -> None:
    f = defined("def f(x):\n    return 2.0 * x\n")
    assert fingerprint(f) != fingerprint(defined(text, math=math))


def test_the_order_of_a_set_does_not_count() -> None:
    text = "def f(x):\n    return x in {}\n"
    one, other = (fingerprint(defined(text.format(x))) for x in ("{0, 8}", "{8, 0}"))
    assert one == other != fingerprint(defined(text.format("{0, 9}")))


def test_defaults_count() -> None:
    text = "def f(x, slope={}):\n    return slope * x\n"
    assert fingerprint(defined(text.format(0.1))) != fingerprint(defined(text.format(0.2)))


def test_names_given_beside_the_function_stand_for_its_globals() -> None:
    f = defined(TEXT, meaning=TWICE)
    assert fingerprint(f, {"meaning": THRICE}) == fingerprint(defined(TEXT, meaning=THRICE))
    assert fingerprint(f, {"elsewhere": THRICE}) == fingerprint(f)


def test_an_attribute_of_a_functions_own_name_is_no_recursion() -> None:
    f = defined("def exp(x):\n    return math.exp(x)\n", math=math)
    assert fingerprint(f) == fingerprint(f)


@pytest.mark.skipif(jitted.DISABLED, reason="nothing is compiled")
def test_what_numba_has_compiled_counts_by_its_code() -> None:
    numba = pytest.importorskip("numba")
    one, other = (fingerprint(defined(TEXT, meaning=numba.njit(f))) for f in (TWICE, THRICE))
    assert one != other


# --- in one process -------------------------------------------------------------------------------


def test_a_row_that_is_replaced_under_its_name_is_compiled_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TABLE, "bent", TABLE["add"])  # so that it is taken out afterwards
    for scale in range(1, 11):  # a row that is gone may leave its place in memory to the next
        row(defined(f"def bent(x):\n    return {scale}.0 * x\n"), (1.0,), "bent", [(-2, 2)])
        program = engine.compile(lambda x: record(TABLE["bent"], (x,)))
        assert program(3.0) == 3.0 * scale
        del program
        gc.collect()


def made_by(scale: float) -> Callable[[float], float]:
    def bent(x: float) -> float:
        return scale * x

    return bent


@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_a_row_may_be_made_in_a_function(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE, "bent", TABLE["add"])  # so that it is taken out afterwards
    row(made_by(scale), (scale,), "bent", [(-2, 2)])
    program = engine.compile(lambda x: record(TABLE["bent"], (x,)))
    assert program.value_and_grad(3.0) == (3.0 * scale, scale)


# --- processes that share a cache -----------------------------------------------------------------

SHAPES = """\
def stretched(x):
    return {} * x

def shrunk(x):
    return 0.5 * x

def shape(x):
    return stretched(x) + 1.0

OFFSET = {}
"""

# A row that is the same text in every process: it differs in what its names mean.
SCRIPT = """\
import json, sys
import engine, shapes
from engine.ops import TABLE, row
from engine.value import record

helper = getattr(shapes, sys.argv[1])
SCALE = float(sys.argv[2])

def bent(x):
    return SCALE * helper(x) + shapes.OFFSET

def slope(x, out):
    return SCALE * (helper(x + 1.0) - helper(x))

row(bent, (slope,), "bent", [(-2.0, 2.0)])
program = engine.compile(lambda x: record(TABLE["bent"], (x,)), in_axes=0, dtype=sys.argv[3])
value, gradient = program.value_and_grad([1.0, 2.0])
print(json.dumps([value.tolist(), gradient.tolist()]))
"""


class Processes:
    """Processes in a folder of their own, with a cache that they share."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache, self.started = folder, folder / "cache", 0
        (folder / "script.py").write_text(SCRIPT)
        self.write_shapes(2.0)

    def write_shapes(self, factor: float, offset: float = 0.0) -> None:
        (self.folder / "shapes.py").write_text(SHAPES.format(factor, offset))

    def start(self, helper: str, scale: float, dtype: str = "float64") -> subprocess.Popen[str]:
        self.started += 1
        environment = {
            **{name: x for name, x in os.environ.items() if name != "NUMBA_DISABLE_JIT"},
            cache.VARIABLE: str(self.cache),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.folder)]),
            "PYTHONDONTWRITEBYTECODE": "1",  # the same size and second would hide an edit
            "PYTHONHASHSEED": str(self.started),  # sets have another order in each
        }
        command = [sys.executable, str(self.folder / "script.py"), helper, str(scale), dtype]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: Any) -> Any:
        return answer(self.start(*arguments))

    def files(self) -> set[Path]:
        return {path for path in self.cache.rglob("*") if path.is_file()}


def answer(process: subprocess.Popen[str]) -> Any:
    """The values at 1 and 2, and the slopes there."""
    out, error = process.communicate()
    assert process.returncode == 0, error
    return json.loads(out)


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> Processes:
    return Processes(tmp_path_factory.mktemp("processes"))


@pytest.fixture
def processes(sharing: Processes) -> Processes:
    """Those of the module, which share a cache, with the functions as they were at first."""
    sharing.write_shapes(2.0)
    return sharing


@pytest.mark.slow
def test_processes_that_run_at_once_get_their_own_answers(processes: Processes) -> None:
    running = [processes.start("stretched", 3.0), processes.start("shrunk", 3.0)]
    assert [answer(process) for process in running] == [
        [[6.0, 12.0], [6.0, 6.0]],
        [[1.5, 3.0], [1.5, 1.5]],
    ]


def test_what_one_process_compiled_another_need_not(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    first = processes.run("stretched", 3.0)
    before = processes.files()
    assert before
    for _ in range(3):
        assert processes.run("stretched", 3.0) == first == [[6.0, 12.0], [6.0, 6.0]]
        assert processes.files() == before


@pytest.mark.slow
@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_files_that_are_cut_short_are_made_anew(left: float, tmp_path: Path) -> None:
    processes = Processes(tmp_path)  # what others have compiled would stay as it is
    expected = processes.run("stretched", 3.0)
    sizes = {path: path.stat().st_size for path in processes.files()}
    for path, size in sizes.items():
        os.truncate(path, int(left * size))
    assert processes.run("stretched", 3.0) == expected
    assert processes.files() == {*sizes}
    assert all(path.stat().st_size > int(left * size) for path, size in sizes.items())


def test_another_constant_is_other_code(processes: Processes) -> None:
    assert processes.run("stretched", 3.0) == [[6.0, 12.0], [6.0, 6.0]]
    assert processes.run("stretched", 5.0) == [[10.0, 20.0], [10.0, 10.0]]


@pytest.mark.slow
def test_another_precision_is_other_code(processes: Processes) -> None:
    third = float(np.float32(0.1))
    assert processes.run("shrunk", 0.1)[0] == [0.05, 0.1]
    assert processes.run("shrunk", 0.1, "float32")[0] == [third / 2.0, third]


@pytest.mark.parametrize("helper", ["stretched", "shape"])  # called by the row, and by its callee
def test_an_edit_of_a_callee_in_another_file_counts(helper: str, processes: Processes) -> None:
    start = 1.0 if helper == "shape" else 0.0
    for factor in (2.0, 7.0, 2.0):
        processes.write_shapes(factor)
        assert processes.run(helper, 1.0) == [
            [start + factor, start + 2.0 * factor],
            [factor, factor],
        ]


def test_an_edit_of_a_constant_in_another_file_counts(processes: Processes) -> None:
    for offset in (0.0, 10.0):
        processes.write_shapes(2.0, offset)
        assert processes.run("shrunk", 2.0) == [[1.0 + offset, 2.0 + offset], [1.0, 1.0]]


# --- what others teach Numba ----------------------------------------------------------------------

# Both lack in Numba. To the first it is taught here for what others compile, and must not be what
# our rows use; a row of the user's may use the second as it is taught.
TAUGHT = """\
import json, math, sys
import engine
from engine.ops import row, TABLE
from engine.value import record
from numba.extending import overload

factor = float(sys.argv[1])
if factor:
    @overload(math.cbrt)
    def _cbrt(x):
        return lambda x: factor * x

    @overload(math.ulp)
    def _ulp(x):
        return lambda x: factor * x

def root(x):
    return math.cbrt(x)

def last(x):
    return math.ulp(x)

found = []
for forward in (root, *([last] if factor else [])):
    row(forward, (1.0,), forward.__name__, [(1.0, 2.0)])
    program = engine.compile(lambda x: record(TABLE[forward.__name__], (x,)))
    found.append(program(8.0))
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(jitted.DISABLED, reason="nothing is compiled")
def test_what_others_teach_numba_is_not_kept_for_those_who_do_not(tmp_path: Path) -> None:
    environment = {**os.environ, cache.VARIABLE: str(tmp_path), "PYTHONPATH": str(ROOT)}
    answers = []
    for factor in ("7.0", "5.0", "0.0", "7.0"):
        command = [sys.executable, "-c", TAUGHT, factor]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    assert answers == [[2.0, 56.0], [2.0, 40.0], [2.0], [2.0, 56.0]]


# --- without SciPy --------------------------------------------------------------------------------

WITHOUT_SCIPY = """\
import sys
sys.modules["scipy"] = None  # as if it were not installed
import engine, numpy
W, X = numpy.ones((300, 500)), numpy.arange(64.0 * 500).reshape(64, 500)
program = engine.compile(lambda W, x: (W @ x).sum(), in_axes=(None, 0), reduce="sum")
value, gradient = program.value_and_grad(W, X)
assert value == 300.0 * X.sum(), value
assert (gradient == X.sum(axis=0)).all()
"""


@pytest.mark.slow
def test_large_products_need_no_scipy(tmp_path: Path) -> None:
    environment = {**os.environ, cache.VARIABLE: str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-c", WITHOUT_SCIPY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
