"""Handwritten digits for the programs: MNIST's where its files are, else smaller ones.

`--data PATH`, or the environment variable GRADLOOM_MNIST, names MNIST's files; where neither does,
the 1,797 digits of 8x8 pixels that come with the package stand in for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from nn.data import digits, mnist, train_test_split
from nn.programs import Options

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
DATA_OPTION = {
    "metavar": "PATH",
    "help": "MNIST's archive or folder (default: what GRADLOOM_MNIST names, or digits of 8x8)",
}


@dataclass(frozen=True)
class Digits:
    """Images as rows of pixels from 0 to 1, their digits, and what there is to say about them."""

    X: Array
    y: Array
    X_test: Array
    y_test: Array
    shape: tuple[int, int]
    source: str
    note: str = ""

    def some(self, train: int, test: int, seed: int) -> Digits:
        """Return so many of each, drawn at random. Raises ValueError where there are fewer."""
        rng = np.random.default_rng([seed, 2])
        chosen = []
        for there, count in ((len(self.X), train), (len(self.X_test), test)):
            if count > there:
                raise ValueError(f"there are {there:,} digits of {self.source}, not {count:,}")
            chosen.append(rng.permutation(there)[:count])
        a, b = chosen
        return replace(self, X=self.X[a], y=self.y[a], X_test=self.X_test[b], y_test=self.y_test[b])


def handwritten(options: Options) -> Digits:
    """Return MNIST's digits, or those of 8x8 pixels with a note how to get MNIST's.

    Raises FileNotFoundError and ValueError for files that are named, and are not there or damaged.
    """
    place = options.own.get("data")
    try:
        train, test = mnist(place, split="train"), mnist(place, split="test")
    except FileNotFoundError as error:
        if place or os.environ.get("GRADLOOM_MNIST"):
            raise
        X, y = digits()
        X_train, X_test, y_train, y_test = train_test_split(
            X / 16.0, y, test_size=0.2, seed=options.seed, stratify=True
        )
        return Digits(X_train, y_train, X_test, y_test, (8, 8), "8x8 pixels", str(error))
    return Digits(*train, *test, (28, 28), "MNIST")


def note_lines(found: Digits) -> list[str]:
    """Return what a report says of the data: nothing of MNIST's own."""
    if not found.note:
        return []
    told = "these are 1,797 digits of 8x8 pixels, and not MNIST's: "
    return [f"data       {told}{found.note}"]
