"""Under NUMBA_DISABLE_JIT=1 programs run by the interpreter, as the Python that it is, with the
same answers: so they can be stepped through with a debugger, and their coverage be measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GRAPHS = "test_graphs_of_batches_and_shared_numbers[interpreted-seeds 0 to 49-float64]"
SELECTED = {  # tests, and an expression that chooses among them
    "instructions": (["test_instructions.py"], "by_numba"),
    "graphs": ([f"test_agreement.py::{GRAPHS}"], ""),
    "functions": (
        ["test_agreement.py"],
        "interpreted and not float32 and not graphs and not full_chunk",
    ),
    "contract": (sorted(path.name for path in HERE.glob("test_contract_*.py")), ""),
}


def run_in_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SELECTED)
def test_the_tests_of_compiled_functions_pass_without_machine_code(name: str) -> None:
    tests, expression = SELECTED[name]
    paths = [str(HERE / test) for test in tests]
    options = ["-q", "-p", "no:cacheprovider", "--no-header", "-k", expression]
    done = run_in_python("-m", "pytest", *options, *paths)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert " passed" in done.stdout


PROGRAM = """\
import sys
import engine

def f(w, x):
    h = [engine.tanh(engine.dot(row, x)) for row in w]
    return engine.where(h[0] > h[1], engine.exp(500.0 * h[0]) * engine.exp(500.0 * h[1]), h[0])

def same(x, y):
    return x == y or abs(x - y) <= 1e-12 * abs(y)

w, xs = [[0.9, 2.0], [0.8, 1.0]], [[1.0, 2.0], [-1.0, 0.5], [0.1, 0.2]]
values, gradients = engine.compile(f, in_axes=(None, 0)).value_and_grad(w, xs)
assert values[0] == float("inf")
for x, value, gradient in zip(xs, values, gradients):
    expected, (row, other) = engine.value_and_grad(f)(w, x)
    assert all(map(same, [value, *gradient.ravel()], [expected, *row, *other]))
sys.exit("numba was loaded" if "numba" in sys.modules else 0)
"""


def test_numba_is_not_loaded_and_numbers_overflow_in_silence() -> None:
    done = run_in_python("-W", "error", "-c", PROGRAM)
    assert (done.returncode, done.stderr) == (0, "")
