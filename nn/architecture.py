"""How a model is built, as plain data, and the model built again from it.

Only nn's own layers are told, as the names of their classes and the arguments of their
constructors. To build from a description is to call these classes and nothing else, after all
sizes were compared with those of the arrays: nothing larger than the arrays is ever made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from nn import containers, convolutions, layers, recurrent, sequences
from nn.containers import ModuleList, Sequential
from nn.module import Module, values_of

Arrays: TypeAlias = Mapping[str, np.ndarray[Any, np.dtype[Any]]]
Shapes: TypeAlias = Iterator[tuple[str, tuple[int, ...]]]

# All layers of nn, by name.
CLASSES: dict[str, type[Module]] = {
    name: found
    for source in (containers, convolutions, layers, recurrent, sequences)
    for name, found in vars(source).items()
    if inspect.isclass(found)
    and issubclass(found, Module)
    and found.__module__ == source.__name__
    and not name.startswith("_")
    and found is not layers.Activation
}


# Their constructors' arguments with what is said of them, but for the source of randomness.
_ARGUMENTS: dict[type[Module], dict[str, str]] = {
    kind: {
        p.name: p.annotation for p in inspect.signature(kind).parameters.values() if p.name != "rng"
    }
    for kind in CLASSES.values()
}
# What an argument may be, by what the constructor says of it; a list is one of ints.
_TYPES: dict[str, list[type]] = {
    "int": [int],
    "bool": [bool],
    "float": [int, float],
    "float | None": [int, float, type(None)],
    "int | None": [int, type(None)],
    "str": [str],
    "Sizes": [int, list],
    "Sizes | None": [int, list, type(None)],
    "Sizes | str": [int, list, str],
}


class UnfitError(ValueError):
    """A model can't be told, or what is told of one makes no sense; the message says why."""


def describe(model: Module, arrays: Arrays) -> dict[str, Any]:
    """Return what `build` needs to make a model again, in JSON's types, from its `state_dict`.

    Raises UnfitError where a module is of another class, or is not what its constructor makes.
    """
    places: dict[int, str] = {}
    modules: list[dict[str, Any]] = []
    pending: list[tuple[str, Module]] = [("", model)]
    while pending:
        name, module = pending.pop()
        if type(module) not in _ARGUMENTS:
            raise UnfitError(f"{type(module).__name__} is no class of nn's own")
        if id(module) in places:
            modules.append({"name": name, "same": places[id(module)]})
            continue
        places[id(module)] = name
        told = {"name": name, "class": type(module).__name__}
        if isinstance(module, Sequential | ModuleList):
            pending += [(_joined(name, str(i)), m) for i, m in enumerate(module)][::-1]
            modules.append(told)
        else:
            modules.append({**told, "arguments": arguments_of(type(module), module)})
    described = {
        "modules": modules,
        "tied": _tied(model),
        "eval": [name for name, module in model.named_modules() if not module.training],
        "frozen": [name for name, module in model.named_modules() if not module.requires_grad],
    }
    twin = build(described, arrays)
    if _form(twin) != _form(model) or _tied(twin) != described["tied"]:
        raise UnfitError("it was changed after it was made")
    return described


def build(described: Mapping[str, Any], arrays: Arrays) -> Module:
    """Return the model of a description, with the numbers of its `state_dict`.

    Raises UnfitError unless the description makes sense and is the arrays'.
    """
    try:
        built: dict[str, Module] = {}
        for told in described["modules"]:
            _add(built, told, arrays)
        model = built[""]
        named = _by_all_names(model)
        for name in described["eval"]:
            named[name].training = False
        for name in described["frozen"]:
            named[name].requires_grad = False
        for name, first in described["tied"].items():
            _tie(named, name, first, arrays)
        model.load_state_dict(arrays)
    except UnfitError:
        raise
    except (LookupError, TypeError, AttributeError, OverflowError, ValueError) as error:
        raise UnfitError(
            f"its description makes no sense ({type(error).__name__}: {error})"
        ) from None
    except RuntimeError as error:
        raise UnfitError(str(error)) from None
    return model


def _add(built: dict[str, Module], told: Mapping[str, Any], arrays: Arrays) -> None:
    """Make the module that is told of, and put it where it belongs."""
    name = told["name"]
    if "same" in told:
        module = built[told["same"]]
        if isinstance(module, Sequential | ModuleList):  # once more, and again inside of itself …
            raise UnfitError(f"{name!r} is the same {type(module).__name__} as {told['same']!r}")
    else:
        module = _made(name, told, arrays)
    if name:
        above, _, own = name.rpartition(".")
        parent = built[above]
        inside = vars(parent)  # for now nothing but modules
        if not isinstance(parent, Sequential | ModuleList) or own != str(len(inside)):
            raise UnfitError(f"there is no place for {name!r}")
        inside[own] = module
    if name in built:
        raise UnfitError(f"{name!r} is told of twice")
    built[name] = module


def _made(name: str, told: Mapping[str, Any], arrays: Arrays) -> Module:
    if told["class"] not in CLASSES:
        raise UnfitError(f"{name!r} has the class {told['class']!r}, and nn has none of this name")
    kind = CLASSES[told["class"]]
    if kind in (Sequential, ModuleList):
        return kind()
    arguments = told["arguments"]
    wanted = _ARGUMENTS[kind]
    if set(arguments) != set(wanted):
        raise UnfitError(f"{kind.__name__} takes {[*wanted]}, not {[*arguments]}")
    for key, annotation in wanted.items():
        if not _is_a(arguments[key], annotation):
            raise UnfitError(f"{kind.__name__} can't have {arguments[key]!r:.50} as {key}")
    shapes: Callable[..., Shapes] = _SHAPES.get(kind, lambda **_: iter(()))
    for own, shape in shapes(**arguments):
        key = _joined(name, own)
        if key not in arrays:
            raise UnfitError(f"there is no array {key!r}")
        if arrays[key].shape != shape:
            raise UnfitError(f"{key!r} has shape {shape} as told, and {arrays[key].shape} in truth")
    return kind(**arguments)


def _is_a(argument: Any, annotation: str) -> bool:
    if type(argument) not in _TYPES.get(annotation, [list]):
        return False
    return type(argument) is not list or all(type(part) is int for part in argument)


def arguments_of(kind: type[Module], module: Any) -> dict[str, Any]:
    """Return the arguments of one of nn's constructors that would make a module such as this one,
    which may be PyTorch's: attributes of the same name, or whether there is a bias."""
    found = {}
    for name in _ARGUMENTS[kind]:
        value = getattr(module, name, None)
        if name == "bias":
            value = value is not None and value is not False
        elif isinstance(value, list | tuple):
            value = [_plain(part) for part in value]
        found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


_MODES = ("training", "requires_grad")


def _form(model: Module) -> list[Any]:
    """What two models have in common where all but their numbers and modes is the same."""

    def told(value: Any) -> Any:
        parts = [_plain(x) for x in (value if isinstance(value, list | tuple) else [value])]
        if all(part is None or isinstance(part, int | float | str) for part in parts):
            return repr(parts)
        return type(value)

    return [
        (
            name,
            type(module),
            {key: told(value) for key, value in vars(module).items() if key not in _MODES},
        )
        for name, module in model.named_modules()
    ]


# --- tied parameters ------------------------------------------------------------------------


def _tied(model: Module) -> dict[str, str]:
    """For each parameter whose Values are another's before it, in order, the other's name."""
    first: dict[tuple[int, ...], str] = {}
    tied = {}
    for name, item in model.named_parameters():
        values = tuple(map(id, values_of(item)))
        if first.setdefault(values, name) != name:
            tied[name] = first[values]
    if len({p for values in first for p in values}) != sum(map(len, first)):
        raise UnfitError("some of its parameters share a part of their Values")
    return tied


def _tie(named: Mapping[str, Module], name: str, first: str, arrays: Arrays) -> None:
    """Have one parameter be another's Values, in a model of `named` modules."""
    one, other = arrays[first], arrays[name]
    if (one.shape, one.tobytes()) != (other.shape, other.tobytes()):
        raise UnfitError(f"{name!r} is tied to {first!r}, and has other numbers")
    (above, _, own), (above_first, _, own_first) = name.rpartition("."), first.rpartition(".")
    old, new = (dict(named[a]._items())[o] for a, o in ((above, own), (above_first, own_first)))
    if isinstance(old, Module) or isinstance(new, Module):
        raise UnfitError(f"{name!r} and {first!r} are no parameters")
    vars(named[above])[own] = new


def _by_all_names(model: Module) -> dict[str, Module]:
    """The modules by their names, by each of them where there are several."""
    named: dict[str, Module] = {}
    pending = [("", model)]
    while pending:
        name, module = pending.pop()
        named[name] = module
        pending += [(_joined(name, own), m) for own, m in module._items() if isinstance(m, Module)]
    return named


def _joined(name: str, own: str) -> str:
    return f"{name}.{own}" if name else own


# --- the shapes of parameters, by the arguments of constructors -------------------------------


def _linear(in_features: int, out_features: int, bias: bool) -> Shapes:
    yield "weight", (out_features, in_features)
    if bias:
        yield "bias", (out_features,)


def _conv(
    in_channels: int, out_channels: int, kernel_size: list[int], groups: int, bias: bool, **_: Any
) -> Shapes:
    if groups > 0:
        yield "weight", (out_channels, in_channels // groups, *kernel_size)
    if bias:
        yield "bias", (out_channels,)


def _embedding(num_embeddings: int, embedding_dim: int) -> Shapes:
    yield "weight", (num_embeddings, embedding_dim)


def _norm(
    normalized_shape: list[int], eps: Any, elementwise_affine: bool, bias: bool = False
) -> Shapes:
    if elementwise_affine:
        yield "weight", tuple(normalized_shape)
        if bias:
            yield "bias", tuple(normalized_shape)


def _attention(embed_dim: int, num_heads: int, bias: bool) -> Shapes:
    for part in ("query", "key", "value", "output"):
        for own, shape in _linear(embed_dim, embed_dim, bias):
            yield f"{part}.{own}", shape


def _multihead(embed_dim: int, bias: bool, **_: Any) -> Shapes:
    yield "in_proj_weight", (3 * embed_dim, embed_dim)
    if bias:
        yield "in_proj_bias", (3 * embed_dim,)
    for own, shape in _linear(embed_dim, embed_dim, bias):
        yield f"out_proj.{own}", shape


def _neuron(nin: int, nonlin: bool) -> Shapes:
    yield "w", (nin,)
    yield "b", ()


def _layer(nin: int, nout: int, nonlin: bool) -> Shapes:
    for i in range(nout):
        for own, shape in _neuron(nin, nonlin):
            yield f"neurons.{i}.{own}", shape


def _mlp(nin: int, nouts: list[int]) -> Shapes:
    for i, (inputs, outputs) in enumerate(zip([nin, *nouts], nouts, strict=False)):
        for own, shape in _layer(inputs, outputs, True):
            yield f"layers.{i}.{own}", shape


# In their order, as long as they are asked for: a file without the next one is found out before
# the one after it is thought of.
_SHAPES: dict[type[Module], Callable[..., Shapes]] = {
    convolutions.Conv1d: _conv,
    convolutions.Conv2d: _conv,
    layers.Linear: _linear,
    layers.Neuron: _neuron,
    layers.Layer: _layer,
    layers.MLP: _mlp,
    sequences.Embedding: _embedding,
    sequences.LayerNorm: _norm,
    sequences.RMSNorm: _norm,
    sequences.CausalSelfAttention: _attention,
    sequences.MultiheadAttention: _multihead,
    **{kind: kind.shapes for kind in (recurrent.RNN, recurrent.LSTM, recurrent.GRU)},
    **{kind: kind.shapes for kind in (recurrent.RNNCell, recurrent.LSTMCell, recurrent.GRUCell)},
}
