"""`read` and `write`: what a source is, and which module reads or writes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nn.exchange.parts import ReadError
from nn.module import Module

# By the package that an object's class, or one above it, is from: the module that reads it.
_OBJECTS = {
    "keras": "keras_reading",
    "onnx": "onnx_reading",
    "sklearn": "sklearn_models",
    "torch": "torch_modules",
}
_WRITERS = {".onnx": "onnx_writing"}  # by the end of the file's name


def read(
    source: Any, *, activations: str | Sequence[Any] | None = None, into: Module | None = None
) -> Module:
    """Return a network that was trained elsewhere as one of ours."""
    if isinstance(source, str | os.PathLike):
        return _module(_reader_of(Path(source))).read(Path(source))  # type: ignore[no-any-return]
    for above in type(source).__mro__:
        if (package := above.__module__.partition(".")[0]) in _OBJECTS:
            return _module(_OBJECTS[package]).read(source)  # type: ignore[no-any-return]
    raise TypeError(f"there is no way to read a {type(source).__name__}")


def write(model: Module, path: str | os.PathLike[str], *, dtype: Any = np.float64) -> None:
    """Write a network to a file that another library reads, by the end of the file's name."""
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise ValueError(f"{path} ends in none of {', '.join(_WRITERS)}, which can be written")
    _module(_WRITERS[path.suffix]).write(model, path, dtype)


def _reader_of(path: Path) -> str:
    """The module that reads a file, by what is in it."""
    if path.suffix == ".onnx":
        return "onnx_reading"
    raise ReadError(path, "", "it is no file of a kind that can be read")


def _module(name: str) -> Any:
    return import_module(f"nn.exchange.{name}")
