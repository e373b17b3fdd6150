"""`read` and `write`: what a source is, and which module reads or writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nn import saving
from nn.exchange import keras_models, state_dicts, torch_models
from nn.exchange.parts import Array, ReadError, opened
from nn.exchange.state_dicts import Activations
from nn.module import Module

# By the package that an object's class, or one above it, is from: the module that reads it.
_OBJECTS = {
    "keras": "keras_models",
    "onnx": "onnx_reading",
    "sklearn": "sklearn_models",
    "torch": "torch_models",
}
# By the end of a file's name: the module that writes it.
_WRITERS = {
    ".h5": "keras_models",
    ".keras": "keras_models",
    ".onnx": "onnx_writing",
    ".pt": "torch_models",
    ".pth": "torch_models",
}


def read(source: Any, *, activations: Activations = None, into: Module | None = None) -> Module:
    """Return a network that was trained elsewhere, read from a file or an object, as one of ours.

    `source` is the path of a file, of which nothing is run: PyTorch's .pt or .pth of a state dict,
    .safetensors, Keras's .keras or .h5, .onnx, or what `nn.save` wrote. Or an object: a module of
    PyTorch's, a mapping of names to tensors or arrays, a fitted MLPClassifier or MLPRegressor, a
    Keras model, an ONNX ModelProto. What it gives is what the foreign network gives for one row,
    of scikit-learn's classifiers `predict_proba`, and for two classes the second's. Keras's models
    are read in evaluation mode: `model.train()` before you train them further. Those that have
    convolutions take channels first here.

    State dicts (.pt, .safetensors, mappings) say nothing of what is between layers. Those of
    Linear layers are read with their `activations`: a name such as "relu" for all but after the
    last, or a list of names, modules and None. For any others build the model and give it: `into`
    gets the numbers, stays as it was unless all of them fit, and is returned.

    Raises ReadError, which names file, layer and reason, for what is damaged or can't be read;
    TypeError and ValueError for arguments that make no sense, OSError where there is no file, and
    ImportError with what to install.

    >>> import numpy as np
    >>> state = {"0.weight": np.array([[2.0, 0.0], [0.0, -1.0]]), "2.weight": np.ones((1, 2))}
    >>> net = read(state, activations="relu")
    >>> net
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=False)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=1, bias=False)
    )
    >>> net([3.0, 5.0])
    [Value(data=6.0, grad=0.0)]
    """
    if into is not None and not isinstance(into, Module):
        raise TypeError(f"into is the Module that gets the numbers, not {into!r:.200}")
    if isinstance(source, str | os.PathLike):
        name, found = source, _in_file(Path(source), into)
    else:
        name, found = type(source).__name__, _in_object(source, into)
    if not isinstance(found, Module):
        return state_dicts.read(name, found, activations, into)
    if activations is not None:
        raise ValueError(f"activations are for a state dict; what {name} has says its own")
    if into is None or into is found:
        return found
    return state_dicts.read(name, found.state_dict(), None, into)


def _in_file(path: Path, into: Module | None) -> Module | dict[str, Array]:
    """What a file holds, by how it begins: a network, or the arrays of a state dict."""
    try:
        content = saving.contents(path)
        if path.suffix.lower() == ".onnx":
            return _module("onnx_reading").read(path)  # type: ignore[no-any-return]
        if content.startswith(b"PK"):
            archive = opened(path, content)
            if "config.json" in archive.namelist():
                return keras_models.in_archive(path, archive)
            return torch_models.state_dict(path, torch_models.tensors(path, archive))
        if content.startswith(b"\x89HDF\r\n"):
            return keras_models.in_hdf5(path, content)
        if content[8:9] == b"{":
            tensors, metadata = saving.read_tensors(path, content)
            if saving.KEY in metadata:
                return saving.load(path, into=into)
            return state_dicts.in_safetensors(path, tensors, metadata)
    except ReadError:
        raise
    except saving.CheckpointError as error:
        raise ReadError(path, "", error.reason) from None
    if content.startswith(torch_models.OLD_MAGIC):
        reason = "it has the format of PyTorch before 1.6; there, save it again as a zip file"
        raise ReadError(path, "", f"{reason}: torch.save(torch.load(path), path)")
    if content.startswith(b"\x80"):
        reason = "it is a pickle, which only running it reads; where you trust it, give the object"
        raise ReadError(path, "", f"{reason}: nn.read(object)")
    kinds = "a state dict of PyTorch, or a file of safetensors, Keras or ONNX (by its name)"
    raise ReadError(path, "", f"it is not {kinds}, or it is damaged at its beginning")


def _in_object(source: Any, into: Module | None) -> Module | dict[str, Array]:
    """What an object is: a network, or the arrays of a state dict."""
    if isinstance(source, Mapping):
        return torch_models.arrays(source)
    packages = [above.__module__.partition(".")[0] for above in type(source).__mro__]
    found = next((package for package in packages if package in _OBJECTS), None)
    if found is None:
        raise TypeError(
            "read takes the path of a file, a module, an estimator or a model of PyTorch, "
            f"scikit-learn, Keras or ONNX, or a state dict, not a {type(source).__name__}"
        )
    if found == "torch" and into is not None and hasattr(source, "state_dict"):
        return torch_models.arrays(source.state_dict())
    return _module(_OBJECTS[found]).read(source)  # type: ignore[no-any-return]


def write(model: Module, target: Any, *, dtype: Any = np.float64) -> None:
    """Write a network so that another library has it.

    `target` is a path: .pt or .pth, a state dict for torch.load; .keras, a whole model, or
    .weights.h5, its numbers; .onnx. The numbers are float64, or float32 if `dtype` says so, and a
    file that was there is replaced when the new one is whole. (A file of `nn.save` has PyTorch's
    names, and is read by safetensors.) Or it is an MLPClassifier or MLPRegressor of scikit-learn,
    which is then as if fitted, with the sizes, the activation and the numbers of the network.

    Raises ValueError for another name or dtype, and for a layer that the target can't have, with
    its name; TypeError for what is no Module, OSError where the file can't be written, and
    ImportError with what to install.

    >>> import tempfile
    >>> from nn.layers import Linear
    >>> model = Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(model, f"{folder}/net.pt")
    ...     twin = read(f"{folder}/net.pt", into=Linear(2, 1))
    >>> twin([3.0, 5.0])[0].data == model([3.0, 5.0])[0].data
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"a Module can be written, not a {type(model).__name__}")
    if not isinstance(target, str | os.PathLike):
        kind = type(target)
        told = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
        foreign = [c.__name__ for c in kind.__mro__ if c.__module__.startswith("sklearn.")]
        if not {"MLPClassifier", "MLPRegressor"} & {*foreign}:
            raise TypeError(
                "a network is written to a path, or to scikit-learn's MLPClassifier or "
                f"MLPRegressor, not to a {told}"
            )
        return _module("sklearn_models").write(model, target)  # type: ignore[no-any-return]
    path = Path(target)
    if path.suffix not in _WRITERS:
        raise ValueError(f"{path} should end in {', '.join(_WRITERS)}, or be written by nn.save")
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise ValueError(f"a network is written in float64 or float32, not {np.dtype(dtype)}")
    return _module(_WRITERS[path.suffix]).write(model, path, dtype)  # type: ignore[no-any-return]


def _module(name: str) -> Any:
    return import_module(f"nn.exchange.{name}")
