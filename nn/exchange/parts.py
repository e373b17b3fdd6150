"""What all formats share: the error, activations by their foreign names, and layers made of arrays.

Layers are made by `nn.architecture`, which compares all sizes with the arrays' first.
"""

from __future__ import annotations

import inspect
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from engine.deferred import needed
from nn import architecture
from nn.containers import Sequential
from nn.layers import MLP, Identity, Layer, Linear, Neuron, ReLU
from nn.module import Module
from nn.saving import CheckpointError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
File: TypeAlias = str | os.PathLike[str]  # a path, or a kind of object, to be named


class ReadError(CheckpointError):
    """A foreign network can't be read: `path` is its file, or the kind of object that was given,
    `layer` the foreign name of the part at fault ("" for the whole), `reason` why."""

    def __init__(self, path: File, layer: str, reason: str) -> None:
        super().__init__(path, f"{layer!r}: {reason}" if layer else reason)
        self.layer, self.reason = layer, reason


# Activations by their foreign names, in small letters without "_".
_OURS = "ELU GELU Identity LeakyReLU LogSoftmax ReLU SELU SiLU Sigmoid Softmax Softplus Tanh"
_ACTIVATIONS = {name.lower(): name for name in _OURS.split()}
_ACTIVATIONS |= {"linear": "Identity", "logistic": "Sigmoid", "swish": "SiLU"}


# The types of numbers, by the names that safetensors has for them: NumPy's.
_DTYPES = {
    "BF16": "u2",  # the upper half of a float32, which NumPy doesn't have
    "BOOL": "?",
    "F16": "f2",
    "F32": "f4",
    "F64": "f8",
    "I8": "i1",
    "I16": "i2",
    "I32": "i4",
    "I64": "i8",
    "U8": "u1",
}


def numbers(content: bytes, dtype: str, order: str = "<") -> Array:
    """Return the numbers in these bytes; KeyError for other dtypes, ValueError for half of one."""
    found: Array = np.frombuffer(content, np.dtype(order + _DTYPES[dtype]))
    return (found.astype("u4") << 16).view("f4") if dtype == "BF16" else found


def opened(path: Path, content: bytes) -> ZipFile:
    """Return a zip file to be read by `member`. Raises ReadError for what is none, or says that it
    unpacks to more than itself: the formats that are zip files don't pack what is in them."""
    try:
        archive = ZipFile(BytesIO(content))
    except _DAMAGED as error:
        raise ReadError(path, "", f"it is a damaged zip file ({error})") from None
    if sum(entry.file_size for entry in archive.infolist()) > len(content):
        raise ReadError(path, "", "what is packed in it is larger than the file")
    return archive


def member(path: Path, archive: ZipFile, name: str) -> bytes:
    """Return what a zip file has under a name. Raises ReadError where it is missing or damaged."""
    try:
        return archive.read(name)
    except _DAMAGED as error:
        raise ReadError(path, name, f"it is missing or damaged ({error})") from None


_DAMAGED = (BadZipFile, zlib.error, LookupError, ValueError, OSError, EOFError, RuntimeError)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip file of these, not packed, and the same bytes at any time of day."""
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        for name, item in files.items():
            archive.writestr(ZipInfo(name), item)
    return content.getvalue()


def activation(path: File, layer: str, name: str, **arguments: Any) -> Module:
    """Return the activation of this foreign name, such as "leaky_relu". Raises ReadError."""
    if (key := name.lower().replace("_", "")) not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ReadError(path, layer, f"there is no layer for {name!r}, only for {known}")
    # of what other libraries call softplus, only PyTorch's is cut off above a threshold
    usual = {"threshold": math.inf} if key == "softplus" else {}
    return made(path, layer, _ACTIVATIONS[key], {}, **usual | arguments)


def linear(path: File, layer: str, weight: Array, bias: Array | None) -> Linear:
    """Return a Linear with these numbers, `weight` of shape (out, in). Raises ReadError."""
    if weight.ndim != 2:
        raise ReadError(path, layer, f"its weight has shape {weight.shape}, not (out, in)")
    out_features, in_features = weight.shape
    sizes = {"in_features": in_features, "out_features": out_features}
    found = weighted(path, layer, "Linear", weight, bias, **sizes)
    assert isinstance(found, Linear)
    return found


def convolution(
    path: File, layer: str, weight: Array, bias: Array | None, groups: int, **windows: Any
) -> Module:
    """Return a Conv1d or Conv2d with these numbers, `weight` of shape (out, in / groups, sizes …),
    whose `windows` slide so. Raises ReadError."""
    outputs, inputs, *size = weight.shape
    windows |= {"in_channels": inputs * groups, "out_channels": outputs, "groups": groups}
    return weighted(path, layer, f"Conv{len(size)}d", weight, bias, kernel_size=size, **windows)


def normalized(
    path: File,
    layer: str,
    before: list[Module],
    scale: Array | float,
    shift: Array | float,
    mean: Array,
    variance: Array,
) -> list[Module]:
    """Return what is before a batch norm, one module or none, and the batch norm as it is after
    training, (x - mean) / √variance * scale + shift. That is a part of the Linear or convolution
    before it, with an Identity in its place, or else a Linear of its own. Raises ReadError."""
    factor = scale / np.sqrt(variance)
    shift = shift - mean * factor
    state = before[0].state_dict() if before else {}
    arguments = architecture.arguments_of(type(before[0]), before[0]) if before else {}
    if "bias" not in arguments or len(state.get("weight", ())) != len(factor):
        return [*before, linear(path, layer, np.diag(factor), shift)]
    weight = state["weight"] * factor.reshape(-1, *[1] * (state["weight"].ndim - 1))
    bias = state.get("bias", 0.0) * factor + shift
    del arguments["bias"]
    kind = type(before[0]).__name__
    return [weighted(path, layer, kind, weight, bias, **arguments), Identity()]


def weighted(
    path: File, layer: str, kind: str, weight: Array, bias: Array | None, **arguments: Any
) -> Module:
    """Return a layer of nn's with a weight, and a bias or none, as `made` does."""
    arrays = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return made(path, layer, kind, arrays, bias=bias is not None, **arguments)


def made(
    path: File, layer: str, kind: str, arrays: Mapping[str, Array], **arguments: Any
) -> Module:
    """Return a layer of nn's, by the name of its class, those arguments of its constructor that are
    not as usual, and the arrays of its `state_dict`. Raises ReadError where they don't fit."""
    parameters = inspect.signature(architecture.CLASSES[kind]).parameters.values()
    usual = {p.name: p.default for p in parameters if p.name != "rng" and p.default is not p.empty}
    told = {"name": "", "class": kind, "arguments": usual | arguments}
    described = {"modules": [told], "tied": {}, "eval": [], "frozen": []}
    try:
        return architecture.build(described, arrays)
    except architecture.UnfitError as error:
        raise ReadError(path, layer, str(error)) from None


def row(model: Module) -> Iterator[tuple[str, Module]]:
    """Yield the layers that a model is made of, one after the other, with their names. Those of
    Sequentials are opened, and micrograd's are Linear and ReLU."""
    pending = [("", model)]
    while pending:
        name, module = pending.pop()
        parts: list[Module] = []
        if type(module) is Sequential:
            parts = list(module)
        elif type(module) is MLP:
            parts = list(module.layers)
        elif type(module) in (Layer, Neuron):
            neurons: list[Any] = getattr(module, "neurons", [module])
            weight = np.array([[p.data for p in neuron.w] for neuron in neurons])
            bias = np.array([neuron.b.data for neuron in neurons])
            parts = [linear(name, name, weight, bias)]
            parts += [ReLU()] if neurons[0].nonlin else []
        else:
            yield name, module
        pending += [(f"{name}.{i}".removeprefix("."), part) for i, part in enumerate(parts)][::-1]


def unwritable(name: str, layer: Module, target: str) -> ValueError:
    """Return the error for a layer that can't be written to something, such as "a .keras file"."""
    return ValueError(f"layer {name!r}, {layer!r:.200}, can't be written to {target}")


def package(name: str) -> Any:
    """Return a package of the extra `exchange`. Raises ImportError with what to install."""
    return needed(name, "this", "exchange")
