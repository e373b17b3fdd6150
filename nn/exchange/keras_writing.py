"""Networks as files of Keras 3: .keras, a whole model, and .weights.h5, the numbers alone for a
model of the same layers that is there already. h5py writes them; Keras is not needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import write_whole
from nn import layers
from nn.exchange.parts import Array, package, row, unwritable, zipped
from nn.module import Module

# Layers without numbers: the class in Keras, and its config.
_PLAIN: dict[type[Module], Callable[[Any], tuple[str, dict[str, Any]]]] = {
    layers.Dropout: lambda layer: ("Dropout", {"rate": layer.p}),
    layers.ELU: lambda layer: ("ELU", {"alpha": layer.alpha}),
    layers.Flatten: lambda layer: ("Flatten", {}),
    layers.LeakyReLU: lambda layer: ("LeakyReLU", {"negative_slope": layer.negative_slope}),
}
_FUNCTIONS: dict[type[Module], str] = {
    layers.GELU: "gelu",
    layers.LogSoftmax: "log_softmax",
    layers.ReLU: "relu",
    layers.SELU: "selu",
    layers.SiLU: "silu",
    layers.Sigmoid: "sigmoid",
    layers.Softmax: "softmax",
    layers.Softplus: "softplus",  # with the usual settings: Keras has no others
    layers.Tanh: "tanh",
}


def write(model: Module, path: Path, dtype: Any) -> None:
    """Write a network to a .keras or .weights.h5 file, whose layers work in float64 or float32.

    Raises ValueError for another name and for a layer that can't be written, with its name; OSError
    where the file can't be written, and ImportError with what to install.
    """
    if path.suffix == ".h5" and not path.name.endswith(".weights.h5"):
        raise ValueError(f"{path} is written as .keras, or as .weights.h5 for the numbers alone")
    configs, arrays = _told(model, np.dtype(dtype))
    weights = _hdf5(arrays)
    if path.suffix == ".keras":
        told = {"module": "keras", "class_name": "Sequential", "registered_name": None}
        files = {
            "metadata.json": json.dumps({"keras_version": "3.0.0"}).encode(),
            "config.json": json.dumps(
                {**told, "config": {"name": "net", "layers": configs}}
            ).encode(),
            "model.weights.h5": weights,
        }
        weights = zipped(files)
    write_whole(path, weights)


def _told(model: Module, dtype: np.dtype[Any]) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """What the config says of each layer, and all arrays by their places in the weights."""
    configs: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for name, layer in row(model):
        if type(layer) is layers.Identity:
            continue
        if isinstance(layer, layers.Softplus) and (layer.beta != 1.0 or layer.threshold < 20.0):
            raise unwritable(name, layer, "a file of Keras")
        if type(layer) is layers.Linear:
            count = sum(told["class_name"] == "Dense" for told in configs)
            group = f"layers/dense_{count}" if count else "layers/dense"
            state = layer.state_dict()
            arrays[f"{group}/vars/0"] = state["weight"].T.astype(dtype)
            if "bias" in state:
                arrays[f"{group}/vars/1"] = state["bias"].astype(dtype)
            if not count:
                shape = {"batch_shape": [None, layer.in_features]}
                configs.insert(0, _layer("InputLayer", "input", dtype, shape))
            config: dict[str, Any] = {"units": layer.out_features, "use_bias": "bias" in state}
            config["activation"] = "linear"
            told = _layer("Dense", name, dtype, config)
            told["build_config"] = {"input_shape": [None, layer.in_features]}
        elif type(layer) in _PLAIN:
            kind, config = _PLAIN[type(layer)](layer)
            told = _layer(kind, name, dtype, config)
        elif type(layer) in _FUNCTIONS:
            told = _layer("Activation", name, dtype, {"activation": _FUNCTIONS[type(layer)]})
        else:
            raise unwritable(name, layer, "a file of Keras")
        configs.append(told)
    return configs, arrays


def _layer(kind: str, name: str, dtype: np.dtype[Any], config: dict[str, Any]) -> dict[str, Any]:
    config = {"name": f"layer_{name}".replace(".", "_"), "dtype": dtype.name, **config}
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": config,
        "registered_name": None,
    }


def _hdf5(arrays: dict[str, Array]) -> bytes:
    content = BytesIO()
    with package("h5py").File(content, "w") as file:
        for place, array in arrays.items():
            file[place] = array
    return content.getvalue()
