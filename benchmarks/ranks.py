"""Work in MPI's ranks, measured: `python -m benchmarks.ranks digits ROWS`, or `collective SIZE`.

`digits` and the other `TRAININGS` are updates, by their seconds and the parameters; without --mpi
it is the usual training, in one thread. `collective` is what the ranks tell each other in a step,
SIZE bytes from each; without --mpi it is what they do with it, adding up two of them. The first
rank prints JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Training(NamedTuple):
    """What is trained, and on how many examples at once."""

    model: str
    batch: int


TRAININGS = {
    "lstm": Training("nn.LSTM(8, 32), sequences of 32", 512),
    "tanh": Training("32-64-64-1, tanh", 8_192),
    "digits": Training("784-50-10", 2_048),
}
_TIMES = 20  # that a collective is repeated
_EPOCHS, _ROUNDS = 6, 3  # that are timed


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


def step(what: str, rows: int, on: Any) -> dict[str, Any]:
    """Train on numbers that mean nothing; what begins and ends a training is not counted."""
    import nn

    told, rng = TRAININGS[what], np.random.default_rng(0)
    model, loss, X, y = {"digits": _digits, "tanh": _tanh, "lstm": _lstm}[what](rng, rows)

    def seconds(epochs: int) -> float:
        optimizer = nn.SGD(model.parameters(), lr=0.01)
        given: dict[str, Any] = {"loss": loss, "optimizer": optimizer, "on": on, "progress": False}
        return nn.fit(model, X, y, epochs=epochs, batch_size=told.batch, **given).seconds

    seconds(1)  # compiles
    found = [[seconds(epochs) for _ in range(_ROUNDS)] for epochs in (1, 1 + _EPOCHS)]
    less, more = map(min, found)
    each = (more - less) / (_EPOCHS * -(-rows // told.batch))
    return {"seconds": each, "parameters": [p.data for p in model.parameters()]}


def _digits(rng: Any, rows: int) -> tuple[Any, ...]:
    import nn

    layers = (nn.Linear(784, 50, rng=random.Random(0)), nn.Linear(50, 10, rng=random.Random(1)))
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1])
    X, y = rng.random((rows, 784)), rng.integers(10, size=rows).astype(float)
    return model, nn.CrossEntropyLoss(), X, y


def _tanh(rng: Any, rows: int) -> tuple[Any, ...]:
    import nn

    sizes = itertools.pairwise((32, 64, 64, 1))
    layers = [nn.Linear(n, m, rng=random.Random(n + m)) for n, m in sizes]
    model = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
    X = rng.random((rows, 32))
    return model, nn.MSELoss(), X, X[:, :1] * X[:, 1:2]


def _lstm(rng: Any, rows: int) -> tuple[Any, ...]:
    import nn

    class Mean(nn.Module):
        """One number for a sequence."""

        def __init__(self) -> None:
            self.lstm = nn.LSTM(8, 32, rng=random.Random(0))
            self.head = nn.Linear(32, 1, rng=random.Random(1))

        def forward(self, xs: Any) -> Any:
            return self.head(self.lstm(xs)[0][-1])

    X = rng.normal(size=(rows, 32, 8))
    return Mean(), nn.MSELoss(), X, X[:, :, 0].mean(axis=1, keepdims=True)


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
    found = collective(int(size), on) if what == "collective" else step(what, int(size), on)
    if on is None or on.leads:
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
