"""Work in MPI's ranks, measured: `python -m benchmarks.ranks step ROWS`, or `collective SIZE`.

`step` is an update of a training, by its seconds and the parameters; without --mpi it is the usual
training, in one thread. `collective` is what the ranks tell each other in a step, SIZE bytes from
each; without --mpi it is what they do with it, adding up two of them. The first rank prints JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 2_048
_TIMES = 20  # that a collective is repeated


def measured(ranks: int, what: str, size: int) -> dict[str, Any]:
    """Do it in so many ranks, or for 0 without MPI; return what the first one found."""
    command = [sys.executable, "-m", "benchmarks.ranks", what, str(size)]
    if ranks:
        mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
        own = ["-m", "mpi4py", "-m", "benchmarks.ranks", what, str(size), "--mpi"]
        command = [mpiexec, "-n", str(ranks), sys.executable, *own]
    threads = {"GRADLOOM_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment = os.environ | threads | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def step(rows: int, on: Any) -> dict[str, Any]:
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
    seconds = float(np.diff(ends).min()) / -(-rows // BATCH) if ends else 0.0  # the first rank's
    return {"seconds": seconds, "parameters": [p.data for p in model.parameters()]}


def collective(size: int, on: Any) -> dict[str, Any]:
    """Gather messages of as many bytes from all ranks, or add up two arrays of as many."""
    if on is None:
        one, other = np.ones(size // 8), np.ones(size // 8)
        return {"seconds": _least(lambda: one + other, lambda: None)}
    from nn.distributed.ranks import gathered

    comm, message = on._comm, np.full(size, on.rank, np.uint8)
    sizes = [size] * on.size
    assert all((part == k).all() for k, part in enumerate(gathered(comm, message, sizes)))
    return {"seconds": _least(lambda: gathered(comm, message, sizes), comm.Barrier)}


def _least(work: Callable[[], object], begin: Callable[[], object]) -> float:
    times: list[float] = []
    while len(times) < _TIMES:  # as often in every rank
        begin()
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main(what: str, size: str, *options: str) -> None:
    """Do it, and print what was found."""
    on = None
    if options:
        from nn.distributed import mpi

        on = mpi()
    found = {"step": step, "collective": collective}[what](int(size), on)
    if on is None or on.leads:
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
