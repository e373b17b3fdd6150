"""From which batch on the vectorised path is the faster one, for a small network.

`nn.fit` on either path: a step of a run that is under way; and the first step of a model that was
never compiled, with all that has to be done for it. (Machine code is on the disk by then.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

import nn
from benchmarks import ours
from benchmarks.harness import Contender, Figure, Row, Scale

STEPS = {path: f"gradloom, {path} path, a step" for path in ("scalar", "vectorised")}
FIRST = {path: f"gradloom, {path} path, the first step" for path in STEPS}


def figures(scale: Scale) -> Iterator[Figure]:
    """One figure."""
    batches = scale.of((1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024), (1, 8, 64, 512), (1, 2))
    yield Figure(
        "crossover",
        "nn.fit of 2-16-1, tanh, on either path",
        "batch",
        ((batch, _row(batch)) for batch in batches),
        crossings=[
            (STEPS["scalar"], STEPS["vectorised"]),
            (FIRST["scalar"], FIRST["vectorised"]),
        ],
    )


def _model() -> nn.Module:
    rng = random.Random(0)
    return nn.Sequential(nn.Linear(2, 16, rng=rng), nn.Tanh(), nn.Linear(16, 1, rng=rng))


def _row(batch: int) -> Row:
    X = np.random.default_rng(0).normal(size=(batch, 2))
    y = X[:, :1] * X[:, 1:]

    def fitting() -> ours.Fitting:
        return ours.Fitting(
            *(_model(), X, y, nn.MSELoss()),
            make_optimizer=lambda p: nn.SGD(p, lr=0.01),
            batch_size=None,
            dtype="float64",
            check=(batch, 1),
        )

    def first(path: Any) -> Contender:
        return Contender(work=lambda: fitting().run(1, path=path), numbers=None)

    return Row(
        f"crossover-{batch}",
        f"nn.fit of 2-16-1, batch {batch}",
        {
            STEPS["scalar"]: lambda: ours.fit(fitting(), 2, 2, "scalar"),
            STEPS["vectorised"]: lambda: ours.fit(fitting(), 100, 100),
            FIRST["scalar"]: lambda: first("scalar"),
            FIRST["vectorised"]: lambda: first("vectorised"),
        },
    )
