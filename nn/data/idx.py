"""IDX, the format of the MNIST files: an array of numbers behind a header of a few bytes.

Two zero bytes, the type of the elements, the number of dimensions, their sizes as big-endian
32-bit numbers, then the elements, big-endian, the last dimension fastest. (Y. LeCun, C. Cortes,
C. Burges, "The MNIST database of handwritten digits".)
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> Array:
    """Return the array in an IDX file, raw or gzipped, in its own type and this machine's order.

    Raises FileNotFoundError, and ValueError naming the file where it is damaged or no IDX file.
    """
    return parse_idx(unzipped(Path(path).read_bytes(), str(path)), str(path))


def unzipped(content: bytes, name: str) -> bytes:
    """Return what is inside, where `content` is gzipped, else `content` itself.

    Raises ValueError with `name` where it is damaged.
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{name} is cut short or damaged ({error}); fetch it again") from None


def parse_idx(content: bytes, name: str = "the content") -> Array:
    """Return the array that the bytes of an IDX file describe; `name` is for messages.

    Raises ValueError for another format, and for more or fewer bytes than the header announces.

    >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([[7, 8, 9]], dtype=uint8)
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        known = ", ".join(f"{code:#04x}" for code in TYPES)
        raise ValueError(
            f"{name} is no IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, and not "
            f"with 00 00, a type ({known}) and a number of dimensions"
        )
    dtype, dimensions = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(f"{name} ends after {len(content)} bytes, within its header")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + dtype.itemsize * math.prod(shape)
    if len(content) != expected:
        what = "is cut short" if len(content) < expected else "goes on after its end"
        raise ValueError(
            f"{name} {what}: with the shape {shape} of its header it would have {expected:,} "
            f"bytes, and has {len(content):,}; fetch it again"
        )
    elements = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return elements.astype(dtype.newbyteorder("="))  # a copy, so it may be written to
