"""Saving models, as arrays with a description in one file, in the safetensors format.

A file holds numbers and a JSON text, and reading it runs nothing. It also holds the SHA-256 of
both, so that a damaged file is found out; that is no protection from those who write files.

safetensors is an extra, and is imported when a file is written or read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from engine.deferred import needed
from engine.files import make_writable, write_whole
from nn import architecture
from nn.module import Module

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_VERSION = 1
KEY = "gradloom"  # of what we say of a file, in the metadata of the format
_DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8"}  # the format's names, and NumPy's


class CheckpointError(ValueError):
    """A file is not what was saved, or not what was asked for; `path` says which, `reason` why."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"can't load {path}: {reason}")
        self.path, self.reason = path, reason


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Write a model to a file: its parameters, how it is built, its modes, what is tied or frozen.

    Numbers come back bit for bit; gradients, labels and optimisers' states are not saved. A file
    that was there is replaced in one moment, when the new one is wholly on the disk.

    Raises TypeError for anything but a Module, OSError where the file can't be written, and
    ImportError with what to install.

    >>> import tempfile, nn
    >>> net = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(net, f"{folder}/net.safetensors")
    ...     twin = nn.load(f"{folder}/net.safetensors")
    >>> twin([1.0, 2.0])[0].data == net([1.0, 2.0])[0].data
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"a Module can be saved, not a {type(model).__name__}")
    arrays = model.state_dict()
    about: dict[str, Any] = {"kind": "model", "class": type(model).__name__}
    try:
        about["architecture"] = architecture.describe(model, arrays)
    except architecture.UnfitError as error:
        about["why not"] = str(error)
    write_arrays(path, arrays, about)


def load(path: str | os.PathLike[str], *, into: Module | None = None) -> Module:
    """Return the model that `save` wrote to a file, built again; or with its numbers, `into`.

    A model that has modules of your own classes can't be built from a file: build it as before,
    and give it as `into`. It gets the numbers alone, and stays as it was unless all of them fit.

    Raises CheckpointError for any other file, for a damaged one, and for one that does not fit;
    OSError where there is none or it can't be read, and ImportError with what to install. Of a
    file that someone wrote for you nothing is run, and nothing larger than the file is made.
    """
    if into is not None and not isinstance(into, Module):
        raise TypeError(f"into is the Module that gets the numbers, not {into!r}")
    arrays, about = read_arrays(path)
    path = Path(path)
    if about.get("kind") != "model":
        raise CheckpointError(path, "it holds no model")
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise CheckpointError(path, f"{name!r} is {array.dtype}; a model has float64")
    if into is not None:
        try:
            into.load_state_dict(arrays)
        except RuntimeError as error:
            raise CheckpointError(path, str(error)) from None
        return into
    if "architecture" not in about:
        raise CheckpointError(
            path,
            f"the {about.get('class')} in it can't be built from a file ({about.get('why not')}); "
            "build it as before, and give it: nn.load(path, into=model)",
        )
    try:
        return architecture.build(about["architecture"], arrays)
    except architecture.UnfitError as error:
        raise CheckpointError(path, str(error)) from None


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, Array], about: Mapping[str, Any]
) -> None:
    """Write arrays of float64, float32 or int64, and what JSON can say about them, to a file.

    A file that was there is kept until the new one is whole. Raises TypeError for other arrays
    and for what JSON can't say, OSError where the file can't be written, and ImportError with
    what to install.
    """
    library = _safetensors()
    plain = {name: _plain_array(name, array) for name, array in arrays.items()}
    said = {"version": _VERSION, "sha256": _digest(plain, about), "about": about}
    write_whole(Path(path), library.numpy.save(plain, metadata={KEY: json.dumps(said)}))


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays of a file that `write_arrays` made, and what was said about them.

    Raises CheckpointError for any other file and for a damaged one, OSError where there is none
    or it can't be read, and ImportError with what to install.
    """
    _safetensors()  # what to install is said first
    path = Path(path)
    tensors, metadata = read_tensors(path, contents(path))
    if KEY not in metadata:
        raise CheckpointError(
            path,
            "gradloom did not write it; another program's file is read by nn.read, or give its "
            "arrays to model.load_state_dict",
        )
    arrays = {name: _array(path, name, tensor) for name, tensor in tensors}
    return arrays, _about(path, metadata[KEY], arrays)


def contents(path: Path) -> bytes:
    """Return what is in a file. Raises CheckpointError for a folder, and OSError as `open` does."""
    if path.is_dir():
        raise CheckpointError(path, "it is a folder, not a file")
    return path.read_bytes()


def read_tensors(path: Path, content: bytes) -> tuple[list[tuple[str, Any]], dict[str, str]]:
    """Return the names and tensors of a safetensors file, and its metadata.

    Raises CheckpointError for any other file, and ImportError with what to install.
    """
    library = _safetensors()
    try:
        tensors = library.deserialize(content)
        header = json.loads(
            content[8 : 8 + int.from_bytes(content[:8], "little")],
            object_pairs_hook=_without_duplicates,
        )
    except (library.SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(path, f"it is damaged, or no safetensors file ({error})") from None
    return tensors, header.get("__metadata__") or {}


def _about(path: Path, text: str, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """What a file says about its arrays, if it is whole."""
    try:
        said = json.loads(text, object_pairs_hook=_without_duplicates)
        version, digest, about = said["version"], said["sha256"], said["about"]
        whole = version != _VERSION or (
            isinstance(about, dict) and digest == _digest(arrays, about)
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"its description is damaged ({type(error).__name__}: {error})"
        raise CheckpointError(path, reason) from None
    if version != _VERSION:
        reason = f"it has version {version!r}, and this gradloom reads {_VERSION}"
        raise CheckpointError(path, reason)
    if not whole:
        raise CheckpointError(path, "it is damaged: its SHA-256 is another")
    return about  # type: ignore[no-any-return]


def _plain_array(name: str, array: Array) -> Array:
    """The array as it lies in a file."""
    for dtype in _DTYPES.values():
        if name != "__metadata__" and array.dtype == np.dtype(dtype).newbyteorder("="):
            return np.asarray(array, dtype=dtype, order="C")
    raise TypeError(
        f"{name!r} can't be saved: arrays of float64, float32 and int64 can, not {array.dtype}"
    )


def _array(path: Path, name: str, tensor: Mapping[str, Any]) -> Array:
    """An array of its own from what the library read."""
    if tensor["dtype"] not in _DTYPES:
        raise CheckpointError(path, f"{name!r} is {tensor['dtype']}, not one of {[*_DTYPES]}")
    dtype = np.dtype(_DTYPES[tensor["dtype"]])
    try:
        array = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    except ValueError as error:  # more dimensions, or larger ones, than NumPy has
        raise CheckpointError(path, f"{name!r} is no array ({error})") from None
    return array.astype(dtype.newbyteorder("="))


def _digest(arrays: Mapping[str, Array], about: Mapping[str, Any]) -> str:
    """The SHA-256 of all that a file says."""
    parts = [(name, array.dtype.str[1:], array.shape) for name, array in sorted(arrays.items())]
    digest = hashlib.sha256(json.dumps([about, parts]).encode())
    for _, array in sorted(arrays.items()):
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name is there twice")
    return names


def check_saving(folder: Path) -> None:
    """Have a folder in which files can be saved. Raises OSError where nothing can be written there,
    and ImportError with what to install."""
    _safetensors()
    make_writable(folder)


def _safetensors() -> Any:
    needed("safetensors.numpy", "saving", "io")
    return needed("safetensors", "saving", "io")
