"""PyTorch's modules and tensors, read from the objects, which bring PyTorch along."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nn.architecture import CLASSES, arguments_of
from nn.containers import Sequential
from nn.exchange.parts import Array, ReadError, made, normalized
from nn.layers import Flatten, Linear
from nn.module import Module, set_mode

_IN_PLACE = (r"(, )?inplace=(True|False)", "")  # what a repr may say that makes no difference


def arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    """Return a state dict of tensors or arrays as arrays; tensors that are the same storage, seen
    alike, as one. Raises ReadError for what is no tensor of numbers."""
    found: dict[str, Array] = {}
    first: dict[Any, Array] = {}
    state = dict(state)  # which holds them, so that no other tensor takes the place of one
    for name, tensor in state.items():
        seen: Any = id(tensor)
        try:
            if not isinstance(name, str):
                raise TypeError("its name is no text")
            if "complex" in str(getattr(tensor, "dtype", "")):
                raise TypeError("it is complex")
            if hasattr(tensor, "data_ptr"):
                seen = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
                tensor = tensor.detach().cpu().double().numpy()
            found[name] = first.setdefault(seen, np.asarray(tensor, dtype=np.float64))
        except (TypeError, ValueError, RuntimeError) as error:
            reason = f"it is no tensor of numbers ({type(error).__name__}: {error!s:.200})"
            raise ReadError("state dict", str(name), reason) from None
    return found


def read(module: Any) -> Module:
    """Return a module of PyTorch's as one of ours: one of its own layers, or a Sequential of them,
    however nested, in the modes in which they are, and tied as they are. Batch norms are what
    they are in evaluation, a part of the layer before. Raises ReadError for others."""
    return _read(type(module).__name__, "", module, {})


def _read(source: str, name: str, module: Any, known: dict[int, Any]) -> Module:
    """A module by its name in the whole; `known` are those before it, and their parameters."""
    if id(module) in known:
        return known[id(module)]  # type: ignore[no-any-return]
    kind, package = type(module).__name__, type(module).__module__
    if not package.startswith("torch.nn.modules.") or kind not in CLASSES:
        advice = "build the same model here, and give it: nn.read(source, into=model)"
        raise ReadError(source, name, f"nn has no layer for a {package}.{kind}; {advice}")
    if module._forward_hooks or module._forward_pre_hooks:
        raise ReadError(source, name, "it has hooks, which are code")
    found: Module
    if kind == "Sequential":
        parts: list[Module] = []
        for k, (own, part) in enumerate(module._modules.items()):  # one that is there twice, too
            place = f"{name}.{own}".removeprefix(".")
            if type(part).__name__ in ("BatchNorm1d", "BatchNorm2d"):
                later = list(module._modules.values())[k + 1 :]
                rows = _gives_rows(known) and not _is_convolved(later)
                parts[-1:] = _normalized(source, place, parts[-1:], part, rows)
            else:
                parts.append(_read(source, place, part, known))
        found = Sequential(*parts)
    else:
        arguments = arguments_of(CLASSES[kind], module)
        if arguments.get("dim", -1) in (1, None) and _gives_rows(known):
            arguments["dim"] = -1
        found = made(source, name, kind, arrays(module.state_dict()), **arguments)
        said = re.sub(r"\(dim=(1|None)\)", "(dim=-1)", repr(module))
        if re.sub(*_IN_PLACE, said) != re.sub(*_IN_PLACE, repr(found)):
            raise ReadError(source, name, f"it is a {module!r}, and nn has only {found!r}")
        for own, parameter in module.named_parameters(recurse=False):
            vars(found)[own] = known.setdefault(id(parameter), vars(found)[own])
    set_mode(found, "training", module.training)
    return known.setdefault(id(module), found)  # type: ignore[no-any-return]


def _gives_rows(known: Mapping[int, Any]) -> bool:
    """Whether each example is a list of numbers after the layers that are known: then PyTorch's
    dimension 1, after that of the batch, is the last."""
    shaping = [
        module
        for module in known.values()
        if isinstance(module, Flatten)
        or (isinstance(module, Module) and type(module) is not Sequential and module.parameters())
    ]
    return not shaping or isinstance(shaping[-1], Linear | Flatten)


def _is_convolved(modules: Sequence[Any]) -> bool:
    """Whether the first of PyTorch's modules that tells the shape of its input is a convolution."""
    names = [type(part).__name__ for module in modules for part in module.modules()]
    shaping = (name for name in names if name.startswith(("Conv", "Linear", "Flatten")))
    return next(shaping, "").startswith("Conv")


def _normalized(
    source: str, name: str, before: list[Module], norm: Any, rows: bool
) -> list[Module]:
    """The module before a batch norm, and that as it is in evaluation; `rows` says whether an
    example is a list of numbers there."""
    if norm.running_mean is None:
        raise ReadError(source, name, "it keeps no running mean, and takes that of each batch")
    state = arrays(norm.state_dict())
    scale, shift = state.get("weight", 1.0), state.get("bias", 0.0)
    mean, variance = state["running_mean"], state["running_var"]
    found = normalized(source, name, before, scale, shift, mean, variance + norm.eps)
    if isinstance(found[-1], Linear) and not (rows and type(norm).__name__ == "BatchNorm1d"):
        raise ReadError(source, name, "a batch norm of channels is read after a convolution alone")
    return found
