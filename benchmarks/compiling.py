"""How long compiling takes: the first time, in a later process, and as graphs grow.

Run it with `make bench-compiling`. The first part starts new processes with a cache folder of
their own: the first has to make all machine code, the second finds it. Imports of NumPy and Numba
are not counted. The second part lowers graphs of growing size, from recorded nodes to
instructions; tracing them, which is running the function once on Values, is told beside it.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import engine
import nn
from engine.compiled.lift import lift
from engine.compiled.tape import tape_of
from engine.compiled.trace import record_call

PROCESSES = 3
REPEATS = 3
MOONS = (2, [16, 16, 1])
ROWS = (10, 230, 2000)  # of the moons loss: 6,500, 150,000 and 1,300,000 nodes

CHILD = """
import sys, time
import engine
assert "numba" not in sys.modules, "import engine loads Numba"
import random, numpy, numba, numba.extending
import nn
from nn.programs.unit_circle import make_model
from nn.data import unit_circle
X, y = unit_circle(1000, 0)
model, loss = make_model(random.Random(0)), nn.MSELoss()
began = time.perf_counter()
program = engine.compile(
    lambda x, t: loss(model(x.tolist()), t.tolist()), in_axes=0, reduce="mean", wrt=model
)
program.value_and_grad(X, y)
print(time.perf_counter() - began)
"""


def first_gradient(cache: str) -> float:
    """Seconds to a first gradient of the unit circle's loss, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def moons_loss(rows: int) -> tuple[nn.MLP, object]:
    """micrograd's loss of its moons demo, rows in a Python loop, and its model."""
    rng = random.Random(0)
    model = nn.MLP(*MOONS, rng=rng)
    examples = [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(rows)]
    labels = [1 if x * y > 0 else -1 for x, y in examples]

    def loss() -> object:
        scores = [model([engine.Value(x) for x in row]) for row in examples]
        losses = [(1 + -label * score).relu() for label, score in zip(labels, scores, strict=True)]
        data = sum(losses) * (1.0 / len(losses))
        return data + 1e-4 * sum(p * p for p in model.parameters())

    return model, loss


def lowering(rows: int) -> tuple[int, float, float, int]:
    """Nodes, median seconds of tracing and of lowering, and the instructions that came out."""
    model, loss = moons_loss(rows)
    traced, lowered = [], []
    for _ in range(REPEATS):
        began = time.perf_counter()
        recording = record_call(loss, [], {}, [])
        middle = time.perf_counter()
        tape = tape_of(recording, model.parameters())
        blocks = lift(tape)
        lowered.append(time.perf_counter() - middle)
        traced.append(middle - began)
        count = tape.recorded
        del recording
    instructions = sum(map(len, blocks.instructions))
    return count, statistics.median(traced), statistics.median(lowered), instructions


def main() -> None:
    """Print both parts."""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, medians")
    fresh, later = [], []
    for _ in range(PROCESSES):
        with tempfile.TemporaryDirectory() as cache:
            fresh.append(first_gradient(cache))
            later += [first_gradient(cache) for _ in range(2)]
    print("first gradient of the unit circle's loss, 1,000 rows, imports not counted")
    print(f"  nothing in the cache   {statistics.median(fresh):6.2f} s")
    print(f"  a later process        {statistics.median(later):6.2f} s")
    print("lowering the moons loss, from recorded nodes to instructions")
    for rows in ROWS:
        nodes, traced, lowered, instructions = lowering(rows)
        print(
            f"  {nodes:>9,} nodes to {instructions} instructions: {lowered:5.2f} s "
            f"({1e6 * lowered / nodes:.1f} us a node), traced in {traced:.2f} s"
        )


if __name__ == "__main__":
    main()
