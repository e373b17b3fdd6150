"""Data sets that come with the package; SOURCE.md beside this file says where from."""

from __future__ import annotations

import gzip
from importlib import resources


def first_names() -> list[str]:
    """Return 32,033 first names in the letters a to z, in the order of the file.

    >>> names = first_names()
    >>> len(names), names[0], max(map(len, names))
    (32033, 'emma', 15)
    """
    packed = resources.files("nn.data").joinpath("names.txt.gz").read_bytes()
    return gzip.decompress(packed).decode("ascii").split()
