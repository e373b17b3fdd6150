"""Exact and enclosed: a recorded graph once more, on fractions, on many digits, or on intervals.

`kinds` has the numbers and the table's rows on them, `replay` runs a graph again, `figures` sets
the numbers beside those of float64, and `losses` says where digits were lost. Nothing in the core
imports this package.
"""

from engine.replaying.figures import Exact, Figure, exact
from engine.replaying.losses import Accuracy, Loss, accuracy

__all__ = ["Accuracy", "Exact", "Figure", "Loss", "accuracy", "exact"]
