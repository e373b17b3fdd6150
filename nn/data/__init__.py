"""Data sets."""

from nn.data.sets import split, unit_circle

__all__ = ["split", "unit_circle"]
