"""Data sets, and what is done to one before training."""

from nn.data.packaged import first_names
from nn.data.preparing import one_hot, split
from nn.data.sets import blobs, circles, moons, spirals, unit_circle, xor

__all__ = [
    "blobs",
    "circles",
    "first_names",
    "moons",
    "one_hot",
    "spirals",
    "split",
    "unit_circle",
    "xor",
]
