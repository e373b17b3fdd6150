"""exp, log, tanh, sigmoid and softmax of a large block, beside NumPy's ufuncs.

Of the first four it is the machine code that a compiled program has for such a block, called at
its address, against the ufunc with `out=`; NumPy has no sigmoid, so that is four of its calls, in
place. softmax is a compiled program over a batch of 64 numbers an example, copied in and out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import engine
from benchmarks import ours
from benchmarks.harness import ALONE, OURS, Array, Asked, Contender, Row, Scale

NUMPY = "NumPy"
LANES, CLASSES = 16, 64  # of a chunk of so many rows; of an example


def rows(scale: Scale) -> Iterator[Row]:
    """A row for each function."""
    size = scale.of(1 << 20, 1 << 18, 512)
    x = np.random.default_rng(0).uniform(-5.0, 5.0, (size // LANES, LANES))
    functions: dict[str, tuple[Callable[[Any], Any], Callable[[Array, Array], Any]]] = {
        "exp": (engine.exp, lambda x, out: np.exp(x, out=out)),
        "log": (engine.log, lambda x, out: np.log(x, out=out)),
        "tanh": (engine.tanh, lambda x, out: np.tanh(x, out=out)),
        "sigmoid": (engine.sigmoid, _sigmoid),
    }
    for name, (function, ufunc) in functions.items():
        block = np.abs(x) + 0.1 if name == "log" else x
        yield Row(
            f"block-{name}",
            f"{name} of a block of {size:,}",
            {
                OURS: lambda: ours.block(function, block),  # noqa: B023
                NUMPY: lambda: _in_numpy(ufunc, block),  # noqa: B023
            },
            asked=[Asked(1.0, NUMPY)],
            tolerance=1e-14,
        )
    batch, softmax = x.reshape(-1, CLASSES), engine.compile(_softmax, in_axes=0)
    yield Row(
        "block-softmax",
        f"softmax of {len(batch):,} lists of {CLASSES}",
        {
            OURS: lambda: ours.values(softmax, batch),
            ALONE: lambda: ours.values_alone(softmax, batch),
            NUMPY: lambda: _in_numpy(_softmax_in_numpy, batch),
        },
        asked=[Asked(1.0, NUMPY)],
        tolerance=1e-14,
    )


def _softmax(x: Any) -> Any:
    return engine.softmax(list(x))


def _in_numpy(ufunc: Callable[[Array, Array], Any], x: Array) -> Contender:
    out = np.zeros_like(x)

    def numbers() -> Array:
        ufunc(x, out)
        return out.ravel()

    return Contender(work=lambda: ufunc(x, out), numbers=numbers, note="into arrays in place")


def _sigmoid(x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1.0, out=out)
    np.reciprocal(out, out=out)


def _softmax_in_numpy(x: Array, out: Array) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=1, keepdims=True), out=out)
