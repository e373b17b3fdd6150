"""Data sets, and what is done to one before training."""

from nn.data.packaged import digits, first_names, iris
from nn.data.preparing import one_hot, split, train_test_split
from nn.data.scaling import Standardizer
from nn.data.sets import blobs, circles, moons, spirals, unit_circle, xor

__all__ = [
    "Standardizer",
    "blobs",
    "circles",
    "digits",
    "first_names",
    "iris",
    "moons",
    "one_hot",
    "spirals",
    "split",
    "train_test_split",
    "unit_circle",
    "xor",
]
