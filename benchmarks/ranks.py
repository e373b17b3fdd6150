"""A training run in a process of its own, or in MPI's ranks: `python -m benchmarks.ranks ROWS`.

It prints the seconds of an update and the parameters, as JSON; without --mpi it is the usual
training, in one thread.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 2_048


def measured(ranks: int, rows: int) -> dict[str, Any]:
    """Train in so many ranks, or for 0 without MPI; return the "seconds" and the "parameters"."""
    command = [sys.executable, "-m", "benchmarks.ranks", str(rows)]
    if ranks:
        mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
        own = ["-m", "mpi4py", "-m", "benchmarks.ranks", str(rows), "--mpi"]
        command = [mpiexec, "-n", str(ranks), sys.executable, *own]
    threads = {"GRADLOOM_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment = os.environ | threads | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(rows: int, on: Any) -> None:
    """Train on digits that are noise."""
    import nn

    rng = np.random.default_rng(0)
    X, y = rng.random((rows, 784)), rng.integers(10, size=rows).astype(float)
    layers = (nn.Linear(784, 50, rng=random.Random(0)), nn.Linear(50, 10, rng=random.Random(1)))
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1])
    optimizer = nn.SGD(model.parameters(), lr=0.01)
    ends: list[float] = []
    nn.fit(
        *(model, X, y),
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        epochs=6,
        batch_size=BATCH,
        callbacks=[lambda *_: ends.append(time.perf_counter())],
        progress=False,
        on=on,
    )
    if ends:  # of the first rank
        seconds = float(np.diff(ends).min()) / -(-rows // BATCH)
        numbers = [p.data for p in model.parameters()]
        print(json.dumps({"seconds": seconds, "parameters": numbers}))


if __name__ == "__main__":
    if "--mpi" in sys.argv:
        from nn.distributed import mpi

        main(int(sys.argv[1]), mpi())
    else:
        main(int(sys.argv[1]), None)
