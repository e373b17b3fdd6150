"""The first gradient in a new process: where nothing is cached yet, and in a later process.

Processes have a cache folder of their own: the first has to make all machine code, later ones
find it. Imports of NumPy and Numba are not counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Asked, Row, Scale

FIRST, LATER = "nothing cached", "a later process"
_CHILD = """
import random, sys, time
import engine
assert "numba" not in sys.modules, "import engine loads Numba"
import numba, numba.extending
import nn
from nn.data import unit_circle
from nn.programs.unit_circle import make_model
X, y = unit_circle({points}, 0)
model, loss = make_model(random.Random(0)), nn.MSELoss()
began = time.perf_counter()
program = engine.compile(
    lambda x, t: loss(model(x.tolist()), t.tolist()), in_axes=0, reduce="mean", wrt=model
)
program.value_and_grad(X, y)
print(time.perf_counter() - began)
"""


def first_gradient(cache: str, points: int = 1000) -> float:
    """Seconds to a first gradient of the unit circle's loss, in a new process."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", _CHILD.format(points=points)],
        env={**os.environ, "GRADLOOM_CACHE_DIR": cache, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def rows(scale: Scale) -> Iterator[Row]:
    """One row; a quick run has none, since it takes too long."""

    def stages() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as cache:
            return {FIRST: first_gradient(cache), LATER: first_gradient(cache)}

    if scale.name == "full":
        yield Row(
            "compiling",
            "the first gradient of the unit circle's loss in a process, imports not counted",
            stages=stages,
            asked=[Asked(seconds=10.0, of=FIRST), Asked(seconds=0.6, of=LATER)],
        )
