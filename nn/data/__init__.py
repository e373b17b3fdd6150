"""Data sets."""

from nn.data.packaged import first_names
from nn.data.sets import split, unit_circle

__all__ = ["first_names", "split", "unit_circle"]
