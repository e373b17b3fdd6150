"""How good predictions are: plain arrays in, plain numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """How often a yes-or-no prediction was right and wrong, in both ways.

    >>> Confusion.of([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2])
    Confusion(true_positives=1, false_positives=1, true_negatives=1, false_negatives=1)
    """

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @classmethod
    def of(cls, y: Any, predicted: Any, threshold: float = 0.5) -> Confusion:
        """Count; a prediction of at least `threshold` is a yes.

        Raises ValueError where the two have different shapes, or are empty.
        """
        truth, guess = np.asarray(y), np.asarray(predicted)
        if truth.size == 0:
            raise ValueError("there are no predictions to count")
        if truth.shape != guess.shape:
            raise ValueError(f"{truth.shape} labels against {guess.shape} predictions")
        yes, said_yes = truth >= 0.5, guess >= threshold
        return cls(
            int(np.sum(yes & said_yes)),
            int(np.sum(~yes & said_yes)),
            int(np.sum(~yes & ~said_yes)),
            int(np.sum(yes & ~said_yes)),
        )

    @property
    def accuracy(self) -> float:
        """The share that was right, between 0 and 1."""
        right = self.true_positives + self.true_negatives
        return right / (right + self.false_positives + self.false_negatives)
