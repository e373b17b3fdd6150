"""Arrays by PyTorch's names: a chain of Linear layers, or the numbers of a model that is given.

A state dict says nothing of what is between the layers, so the activations are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from nn.containers import Sequential
from nn.exchange.parts import Array, File, ReadError, activation, linear, numbers
from nn.layers import Linear
from nn.module import Module

Activations: TypeAlias = str | Sequence[str | Module | None] | None
_WRAPPERS = ("module.", "_orig_mod.")  # DataParallel's and torch.compile's


def read(
    path: File, arrays: Mapping[str, Array], activations: Activations, into: Module | None
) -> Module:
    """Return `into` with these numbers, or else a Sequential of Linear layers in their order, with
    the activations between. Names that all begin with a wrapper's do without it.

    An array that is there under two names is tied. Raises ReadError where the arrays don't fit, or
    are of other layers, and where they don't say enough.
    """
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in arrays):
            arrays = {name.removeprefix(wrapper): array for name, array in arrays.items()}
    if into is None:
        return _chain(path, arrays, activations)
    try:
        into.load_state_dict(arrays)
    except RuntimeError as error:
        raise ReadError(path, "", str(error)) from None
    return into


def in_safetensors(path: Path, tensors: Any, metadata: Mapping[str, str]) -> dict[str, Array]:
    """Return the arrays in a file of safetensors, with "layer.10" after "layer.9": the file itself
    keeps no order. Of tied tensors it has one, and says so. Raises ReadError."""
    arrays = {}
    for name, tensor in tensors:
        try:
            arrays[name] = numbers(tensor["data"], tensor["dtype"]).reshape(tensor["shape"])
        except (KeyError, ValueError) as error:
            raise ReadError(path, name, f"{tensor['dtype']} is not read here ({error})") from None
    tied = {
        name: arrays[kept]
        for name, kept in metadata.items()
        if kept in arrays and name not in arrays
    }
    return dict(sorted({**arrays, **tied}.items(), key=lambda item: _by_numbers(item[0])))


def _by_numbers(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def _chain(path: File, arrays: Mapping[str, Array], activations: Activations) -> Sequential:
    advice = "build the model, and give it: nn.read(source, into=model)"
    if not arrays:
        raise ReadError(path, "", "it has no arrays")
    layers: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        place, _, own = name.rpartition(".")
        layers.setdefault(place, {})[own] = array
    made: list[Linear] = []
    first: dict[int, Any] = {}  # what was made of an array
    for name, found in layers.items():
        if "weight" not in found or not {*found} <= {"weight", "bias"} or found["weight"].ndim != 2:
            shapes = {own: array.shape for own, array in found.items()}
            raise ReadError(path, name, f"it has {shapes}, and is no Linear; {advice}")
        layer = linear(path, name, found["weight"], found.get("bias"))
        if made and made[-1].out_features != layer.in_features:
            reason = (
                f"it takes {layer.in_features} numbers, and the layer before it gives "
                f"{made[-1].out_features}: is this the order of layers? If so, {advice}"
            )
            raise ReadError(path, name, reason)
        made.append(layer)
        for own, array in found.items():
            vars(layer)[own] = first.setdefault(id(array), vars(layer)[own])
    return _between(path, made, activations, advice)


def _between(
    path: File, layers: Sequence[Linear], activations: Activations, advice: str
) -> Sequential:
    """The layers with the activations after them."""
    inner = len(layers) - 1
    if activations is None and inner:
        reason = (
            f"it has the numbers of {len(layers)} Linear layers, and says nothing of what is "
            f'between: give activations="relu", or a list of {inner}; or {advice}'
        )
        raise ReadError(path, "", reason)
    told: Any = () if activations is None else activations
    told = [told] * inner if isinstance(told, str) else told
    sound = isinstance(told, list | tuple)
    if not sound or not all(isinstance(after, str | Module | None) for after in told):
        reason = 'activations are a name such as "relu", or a list of names, modules and None, not '
        raise TypeError(f"{reason}{activations!r:.200}")
    if len(told) not in (inner, len(layers)):
        reason = f"{len(layers)} Linear layers take {inner} or {len(layers)} activations, not "
        raise ValueError(f"{reason}{len(told)}")
    found: list[Module] = []
    for i, layer in enumerate(layers):
        found.append(layer)
        after = told[i] if i < len(told) else None
        if isinstance(after, str):
            usual = {"threshold": 20.0} if after == "softplus" else {}  # as PyTorch has it
            after = activation(path, "activations", after, **usual)
        if after is not None:
            found.append(after)
    return Sequential(*found)
