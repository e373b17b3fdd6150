"""Keras's models, read from .keras and .h5 files, by h5py alone, or from the objects; and written.

Each says its layers in JSON, and has their arrays under names that are not the same in the three:
what finds a layer's arrays is a function of the layer's place. Written are files of Keras 3:
.keras, a whole model, and .weights.h5, the numbers alone for a model of the same layers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import ZipFile

import numpy as np

from engine.files import write_whole
from nn import layers
from nn.containers import Sequential
from nn.convolutions import AvgPool1d, AvgPool2d, Conv1d, Conv2d, MaxPool1d, MaxPool2d
from nn.exchange.parts import (
    Array,
    File,
    ReadError,
    activation,
    convolution,
    linear,
    made,
    member,
    normalized,
    package,
    row,
    unwritable,
    weighted,
    zipped,
)
from nn.layers import Flatten, Linear, LogSoftmax, Softmax
from nn.module import Module
from nn.sequences import LayerNorm

# A layer's place: of each model that it is within, and of itself, the name and, as the weights of
# a .keras file are called, the class with a number.
Place: TypeAlias = tuple[tuple[str, str], ...]
Weights: TypeAlias = Callable[[Place], Sequence[Array]]
_SLOPE_OF_FUNCTION = 0.2  # of Keras's function leaky_relu, whose layer has 0.3
_ORDER = ("kernel", "gamma", "bias", "beta", "moving_mean", "moving_variance")  # in .h5


def read(model: Any) -> Sequential:
    """Return the network of a Keras model. Raises ReadError."""

    def weights(place: Place) -> Sequence[Array]:
        layer = model
        for name, _ in place:
            layer = layer.get_layer(name)
        return layer.get_weights()  # type: ignore[no-any-return]

    return _built(type(model).__name__, model.to_json(), weights)


def in_archive(path: Path, archive: ZipFile) -> Sequential:
    """Return the network of a .keras file. Raises ReadError."""
    file = _Hdf5(path, member(path, archive, "model.weights.h5"))

    def weights(place: Place) -> Sequence[Array]:
        group = "".join(f"/layers/{own}" for _, own in place) + "/vars"
        return [file.array(f"{group}/{i}") for i in range(len(file.at(group)))]

    with file:
        return _built(path, member(path, archive, "config.json"), weights)


def in_hdf5(path: Path, content: bytes) -> Sequential:
    """Return the network of a .h5 file of a whole model. Raises ReadError."""
    file = _Hdf5(path, content)

    def weights(place: Place) -> Sequence[Array]:
        group, own = f"model_weights/{place[0][0]}", place[-1][0]
        found = {}
        for name in file.at(group).attrs["weight_names"]:
            name = name.decode() if isinstance(name, bytes) else name
            *_, layer, variable = name.removesuffix(":0").split("/")
            if layer == own:
                found[variable] = f"{group}/{name}"
        return [file.array(found[name]) for name in sorted(found, key=_ORDER.index)]

    with file:
        if "model_config" not in file.at("").attrs:
            reason = "it has weights alone, and says nothing of layers: save the model as .keras"
            raise ReadError(path, "", reason)
        return _built(path, file.at("").attrs["model_config"], weights)


# What h5py raises where bytes make no sense, and what comes of a config that makes none.
_DAMAGED: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError, MemoryError)
_DAMAGED += (OSError, RuntimeError, TypeError, ValueError)


class _Hdf5:
    """An HDF5 file, of which only what is in it is read, and not more than its size."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._library, self._left = path, package("h5py"), len(content)
        try:
            self._file = self._library.File(BytesIO(content), "r")
        except _DAMAGED as error:
            raise ReadError(path, "", f"its HDF5 is damaged ({error})") from None

    def __enter__(self) -> _Hdf5:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    def at(self, place: str) -> Any:
        """Return the group or dataset at a place, to which no link leads, here or elsewhere."""
        found = self._file
        for name in filter(None, place.split("/")):
            link = found.get(name, getlink=True)
            if link is not None and type(link) is not self._library.HardLink:
                raise ReadError(self._path, place, "it is a link, which is not followed")
            found = found[name]
        return found

    def array(self, place: str) -> Array:
        """Return the numbers at a place."""
        found = self.at(place)
        if found.external or found.is_virtual or found.dtype.kind not in "fiu":
            raise ReadError(self._path, place, "it is no array of numbers in this file")
        self._left -= found.nbytes
        if self._left < 0:
            raise ReadError(self._path, place, "what is packed in it is larger than the file")
        return np.asarray(found[()], dtype=np.float64)


def _built(path: File, text: str | bytes, weights: Weights) -> Sequential:
    """The model that a config tells of, in evaluation mode."""
    try:
        return _channels_first(path, _model(path, json.loads(text), weights, ())).eval()
    except ReadError:
        raise
    except _DAMAGED as error:
        reason = f"it is damaged, or of another version ({type(error).__name__}: {error})"
        raise ReadError(path, "", reason) from None


def _model(path: File, told: Any, weights: Weights, place: Place) -> Sequential:
    config = told["config"]
    layers = config if isinstance(config, list) else config["layers"]  # Keras 2.2 had a list
    counted = Counter[str]()
    places = {}
    for layer in layers:
        kind = _snake(layer["class_name"])
        own = f"{kind}_{counted[kind]}" if counted[kind] else kind
        counted[kind] += 1
        places[layer["config"]["name"]] = (*place, (layer["config"]["name"], own))
    known: dict[str, list[Module]] = {}
    found: list[Module] = []
    for layer in _in_a_row(path, told["class_name"], config, layers):
        name = layer["config"]["name"]
        if layer["class_name"] == "BatchNormalization":
            found[-1:] = _normalized(path, layer, weights(places[name]), found[-1:])
        else:
            if name not in known:
                known[name] = _layer(path, layer, weights, places[name])
            found += known[name]
    return Sequential(*found)


def _snake(name: str) -> str:
    """The name of a class as Keras has it in weights: LeakyReLU is leaky_re_lu."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _layer(path: File, layer: Any, weights: Weights, place: Place) -> list[Module]:
    """What a layer becomes: nothing, one of ours, or that with its activation."""
    kind, config = layer["class_name"], layer["config"]
    name = config["name"]
    if kind in ("InputLayer", "ActivityRegularization"):
        return []
    if kind in ("Sequential", "Functional", "Model"):
        return [_model(path, layer, weights, place)]
    if kind in ("Dense", "Conv1D", "Conv2D"):
        arrays = weights(place)
        if len(arrays) != 1 + config["use_bias"]:
            reason = f"it has {len(arrays)} arrays, not its kernel and bias: never built, or packed"
            raise ReadError(path, name, reason)
        kernel, bias = arrays[0], arrays[1] if len(arrays) > 1 else None
        if kind == "Dense":
            found: Module = linear(path, name, kernel.T, bias)
        else:
            found = _convolution(path, layer, kernel, bias)
        return [found, *_activation(path, name, config["activation"])]
    if kind == "LayerNormalization":
        return [_layer_norm(path, layer, weights(place))]
    if kind == "Activation":
        return _activation(path, name, config["activation"])
    if kind in _PLAIN:
        ours, names, usual = _PLAIN[kind]
        if any(config.get(key, value) != value for key, value in usual.items()):
            raise ReadError(path, name, f"nn's {ours} is as with {usual} alone")
        if kind == "LeakyReLU" and "alpha" in config:  # as Keras 2 calls it
            config = {"negative_slope": config["alpha"], **config}
        arguments = {own: config[key] for key, own in names.items()}
        return [made(path, name, ours, {}, **arguments)]
    raise ReadError(path, name, f"nn has no layer for a {kind}")


def _convolution(path: File, layer: Any, kernel: Array, bias: Array | None) -> Module:
    """A layer whose kernel is (sizes …, in_channels / groups, filters) in Keras."""
    config = layer["config"]
    for key, values in {"padding": ("valid", "same"), "data_format": ("channels_last",)}.items():
        if config[key] not in values:
            raise ReadError(path, config["name"], f"its {key} is {config[key]!r}, not {values}")
    weight, padding = np.moveaxis(kernel, (-1, -2), (0, 1)), config["padding"]
    return convolution(
        *(path, config["name"], weight, bias, config["groups"]),
        stride=config["strides"],
        padding=0 if padding == "valid" else padding,
        dilation=config["dilation_rate"],
    )


_WINDOWS = {"pool_size": "kernel_size", "strides": "stride"}
_WHOLE = {"padding": "valid", "data_format": "channels_last"}
# Of a layer without arrays: ours, what Keras calls its arguments, and what others must be as here.
_PLAIN: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "AveragePooling1D": ("AvgPool1d", _WINDOWS, _WHOLE),
    "AveragePooling2D": ("AvgPool2d", _WINDOWS, _WHOLE),
    "Dropout": ("Dropout", {"rate": "p"}, {}),
    "ELU": ("ELU", {"alpha": "alpha"}, {}),
    "Flatten": ("Flatten", {}, {}),
    "LeakyReLU": ("LeakyReLU", {"negative_slope": "negative_slope"}, {}),
    "MaxPooling1D": ("MaxPool1d", _WINDOWS, _WHOLE),
    "MaxPooling2D": ("MaxPool2d", _WINDOWS, _WHOLE),
    "ReLU": ("ReLU", {}, {"max_value": None, "negative_slope": 0, "threshold": 0}),
    "Softmax": ("Softmax", {}, {"axis": -1}),
}


def _activation(path: File, name: str, told: Any) -> list[Module]:
    """What follows a layer, by its config: a name, or a layer."""
    if isinstance(told, dict) and told["class_name"] in _PLAIN:
        return _layer(path, told, lambda place: (), ())
    if not isinstance(told, str | None):
        raise ReadError(path, name, f"its activation is of no known kind: {told!s:.200}")
    if told in (None, "linear"):
        return []
    usual = {"negative_slope": _SLOPE_OF_FUNCTION} if told == "leaky_relu" else {}
    return [activation(path, name, told, **usual)]


def _normalized(
    path: File, layer: Any, arrays: Sequence[Array], before: list[Module]
) -> list[Module]:
    """The layer before a batch norm, and that as it is after training."""
    config, (*affine, mean, variance) = layer["config"], arrays
    name = config["name"]
    _check_axis(path, layer)
    scale = affine.pop(0) if config["scale"] else 1.0
    shift = affine.pop(0) if config["center"] else 0.0
    return normalized(path, name, before, scale, shift, mean, variance + config["epsilon"])


def _layer_norm(path: File, layer: Any, arrays: Sequence[Array]) -> Module:
    config = layer["config"]
    _check_axis(path, layer)
    if config.get("rms_scaling"):
        raise ReadError(path, config["name"], "its rms_scaling is no mean and variance")
    kept = [name for name, key in (("weight", "scale"), ("bias", "center")) if config[key]]
    found = dict(zip(kept, arrays, strict=True))
    if not kept:
        reason = "it has neither scale nor center, and its size is not told"
        raise ReadError(path, config["name"], reason)
    weight = found.get("weight", np.ones_like(arrays[0]))
    sizes = {"normalized_shape": [*weight.shape], "eps": config["epsilon"]}
    return weighted(path, config["name"], "LayerNorm", weight, found.get("bias"), **sizes)


def _check_axis(path: File, layer: Any) -> None:
    """Raise ReadError where a layer does not normalise along the last axis alone."""
    axis = layer["config"]["axis"]
    last = len(layer.get("build_config", {}).get("input_shape", [None, None])) - 1
    if axis not in (-1, [-1], last, [last]):
        raise ReadError(path, layer["config"]["name"], f"its axis is {axis}, not the last")


def _channels_first(path: File, model: Sequential) -> Sequential:
    """Have a model with convolutions take its channels first, as ours do: in Keras they are last.
    Then Flatten gives another order, so that what reads it has its columns in that."""
    layers, flattened = [*row(model)], 0  # `channels`, how many there are, and how many there were
    channels = -1 if any(isinstance(layer, Conv1d | Conv2d) for _, layer in layers) else 0
    for name, layer in layers:
        if isinstance(layer, Conv1d | Conv2d):
            channels = layer.out_channels
        elif isinstance(layer, MaxPool1d | MaxPool2d | AvgPool1d | AvgPool2d) and channels < 1:
            raise ReadError(path, name, f"{layer!r} is before all convolutions")
        elif isinstance(layer, Flatten):
            channels, flattened = 0, channels
        elif isinstance(layer, Linear | LayerNorm | Softmax | LogSoftmax) and channels:
            raise ReadError(path, name, f"{layer!r} is on channels, which are first here")
        elif isinstance(layer, LayerNorm) and flattened:
            raise ReadError(path, name, "it is on channels that are flattened, in another order")
        elif isinstance(layer, Linear) and flattened:
            order = np.arange(layer.in_features).reshape(-1, flattened).T.ravel().tolist()
            layer.weight = [[weights[i] for i in order] for weights in layer.weight]
            flattened = 0
    if flattened:
        raise ReadError(path, "", "it ends in channels that are flattened, and have another order")
    return model


def _in_a_row(path: File, kind: str, config: Any, layers: Any) -> list[Any]:
    """The layers in the order in which they are called, which must be one after the other."""
    if kind == "Sequential":
        return layers  # type: ignore[no-any-return]
    if kind not in ("Functional", "Model"):
        raise ReadError(path, "", f"a {kind} has a call of its own, which no file tells")
    named = {layer["config"]["name"]: layer for layer in layers}
    calls = {
        (name, i): [*_sources(call)]
        for name, layer in named.items()
        for i, call in enumerate(layer["inbound_nodes"])
    }
    [first], [last] = (
        _single(path, f"the model's {key}", [*_sources(config[key])])
        for key in ("input_layers", "output_layers")
    )
    row: list[Any] = []
    while last != first:
        row.append(named[last[0]])
        [last] = _single(path, last[0], calls[last])
        if len(row) > len(calls):
            raise ReadError(path, last[0], "the layers go round in a ring")
    return row[::-1]


def _single(path: File, name: str, sources: list[tuple[str, int]]) -> list[tuple[str, int]]:
    if len(sources) != 1:
        said = ", ".join(source for source, _ in sources)
        reason = f"it has {len(sources)} inputs ({said}), and a Sequential is a chain"
        raise ReadError(path, name, reason)
    return sources


def _sources(item: Any) -> Iterator[tuple[str, int]]:
    """The layers, and which call of each, whose outputs are told of in a config, in Keras 3's way
    or in Keras 2's, ["dense", 0, 0]."""
    if isinstance(item, dict):
        yield from _sources(item.get("keras_history", [*item.values()]))
    elif isinstance(item, list) and [*map(type, item[:3])] == [str, int, int]:
        yield item[0], item[1]
    elif isinstance(item, list):
        for part in item:
            yield from _sources(part)


# --- writing --------------------------------------------------------------------------------

_WRITTEN = (layers.Dropout, layers.ELU, layers.Flatten, layers.LeakyReLU)  # by the table above
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
    """Write a network, whose layers work in float64 or float32; raises as `routes.write` does."""
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
                configs.insert(0, _written("InputLayer", "input", dtype, shape))
            config: dict[str, Any] = {"units": layer.out_features, "use_bias": "bias" in state}
            config["activation"] = "linear"
            told = _written("Dense", name, dtype, config)
            told["build_config"] = {"input_shape": [None, layer.in_features]}
        elif type(layer) in _WRITTEN:
            kind = type(layer).__name__
            config = {key: getattr(layer, own) for key, own in _PLAIN[kind][1].items()}
            told = _written(kind, name, dtype, config)
        elif type(layer) in _FUNCTIONS:
            told = _written("Activation", name, dtype, {"activation": _FUNCTIONS[type(layer)]})
        else:
            raise unwritable(name, layer, "a file of Keras")
        configs.append(told)
    return configs, arrays


def _written(kind: str, name: str, dtype: np.dtype[Any], config: dict[str, Any]) -> dict[str, Any]:
    config = {"name": f"layer_{name}".replace(".", "_"), "dtype": dtype.name, **config}
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def _hdf5(arrays: dict[str, Array]) -> bytes:
    content = BytesIO()
    with package("h5py").File(content, "w") as file:
        for place, array in arrays.items():
            file[place] = array
    return content.getvalue()
