"""What all formats share: the error, activations by their foreign names, and layers made of arrays.

Layers are made by `nn.architecture`, which compares all sizes with the arrays' first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nn import architecture
from nn.module import Module
from nn.saving import CheckpointError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
File: TypeAlias = Path | str  # a path, or what kind of object is read, to be named


class ReadError(CheckpointError):
    """A foreign network can't be read: `path` is its file, or the kind of object that was given,
    `layer` the foreign name of the part at fault ("" for the whole), `reason` why."""

    def __init__(self, path: File, layer: str, reason: str) -> None:
        super().__init__(path, f"{layer!r}: {reason}" if layer else reason)
        self.layer, self.reason = layer, reason


# Activations by their foreign names, in small letters without "_": the class and its arguments.
# Of what other libraries call softplus, only PyTorch's is cut off above a threshold.
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "elu": ("ELU", {"alpha": 1.0}),
    "gelu": ("GELU", {}),
    "identity": ("Identity", {}),
    "leakyrelu": ("LeakyReLU", {"negative_slope": 0.01}),
    "linear": ("Identity", {}),
    "logistic": ("Sigmoid", {}),
    "logsoftmax": ("LogSoftmax", {"dim": -1}),
    "relu": ("ReLU", {}),
    "selu": ("SELU", {}),
    "sigmoid": ("Sigmoid", {}),
    "silu": ("SiLU", {}),
    "softmax": ("Softmax", {"dim": -1}),
    "softplus": ("Softplus", {"beta": 1.0, "threshold": float("inf")}),
    "swish": ("SiLU", {}),
    "tanh": ("Tanh", {}),
}


def activation(path: File, layer: str, name: str, **arguments: Any) -> Module:
    """Return the activation that other libraries call by this name, such as "leaky_relu", with
    other arguments than those in the table where they are given. Raises ReadError for others."""
    if (key := name.lower().replace("_", "")) not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ReadError(path, layer, f"there is no layer for {name!r}, only for {known}")
    kind, usual = _ACTIVATIONS[key]
    return made(path, layer, kind, {}, **usual | arguments)


def linear(path: File, layer: str, weight: Array, bias: Array | None) -> Module:
    """Return a Linear with these numbers, `weight` of shape (out, in). Raises ReadError."""
    if weight.ndim != 2:
        raise ReadError(path, layer, f"its weight has shape {weight.shape}, not (out, in)")
    arrays = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    out_features, in_features = weight.shape
    sizes = {"in_features": in_features, "out_features": out_features}
    return made(path, layer, "Linear", arrays, **sizes, bias=bias is not None)


def made(
    path: File, layer: str, kind: str, arrays: Mapping[str, Array], **arguments: Any
) -> Module:
    """Return a layer of nn's, by the name of its class, the arguments of its constructor and the
    arrays of its `state_dict`. Raises ReadError where they don't fit."""
    told = {"name": "", "class": kind, "arguments": arguments}
    described = {"modules": [told], "tied": {}, "eval": [], "frozen": []}
    try:
        return architecture.build(described, arrays)
    except architecture.UnfitError as error:
        raise ReadError(path, layer, str(error)) from None
