"""What `nn.fit` costs beside its updates: a call for 0 epochs, and the memory that it takes.

Of MNIST's shape and size, in single precision, by a model that was fitted before.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np

from benchmarks import ours
from benchmarks.dense import fitting_of
from benchmarks.harness import OURS, Asked, Contender, Row, Scale
from benchmarks.rows.mnist import BATCH, task

X_ITSELF = "X itself"


def rows(scale: Scale) -> Iterator[Row]:
    """Seconds, and bytes."""
    digits = task(scale.of(59_904, 6_400, BATCH))
    fitting = fitting_of(digits)
    size = f"{len(digits.X):,} x {digits.X.shape[1]} float32"

    def fitted() -> list[float]:
        fitting.reset()
        fitting.run(0)
        return [p.data for p in fitting.parameters]

    yield Row(
        "fit-nothing",
        f"nn.fit of 0 epochs, {size}, not the first",
        {OURS: lambda: Contender(lambda: fitting.run(0), fitted, before=fitting.reset)},
        dtype="float32",
    )
    yield Row(
        "fit-memory",
        f"the memory that nn.fit of an epoch takes at its most, {size}, without shuffling",
        {
            OURS: lambda: peak(fitting),
            X_ITSELF: lambda: Contender(lambda: digits.X.nbytes, None, clocked=True),
        },
        asked=[Asked(10.0, X_ITSELF)],
        dtype="float32",
        unit="bytes",
    )


def peak(fitting: ours.Fitting) -> Contender:
    """What is allocated at most, by Python and NumPy, by a fit that is not the first."""
    fitting.run(0)

    def work() -> float:
        fitting.reset()
        tracemalloc.start()
        try:
            fitting.run(1)
            return float(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    return Contender(work, lambda: np.zeros(1), clocked=True, note="as tracemalloc counts")
