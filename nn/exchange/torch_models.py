"""PyTorch's modules and tensors, from the objects; and its .pt and .pth files, without PyTorch.

Such a file is a zip of raw storages and of one pickle, which says what tensors see of them. The
pickle is gone through here opcode by opcode: it can name what is in `_CALLS`, and nothing else.
No function or class is ever looked up by a name in a file, and nothing larger than the file is
made of it.
"""

from __future__ import annotations

import math
import pickletools
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from engine.files import write_whole
from nn.architecture import CLASSES, arguments_of
from nn.containers import Sequential
from nn.exchange.parts import Array, ReadError, made, member, normalized, numbers, zipped
from nn.layers import Flatten, Linear
from nn.module import Module, set_mode

_IN_PLACE = (r"(, )?inplace=(True|False)", "")  # what a repr may say that makes no difference
# The dtypes of storages, by the names of their classes, as `parts.numbers` calls them.
_STORAGES = {
    "torch BFloat16Storage": "BF16",
    "torch BoolStorage": "BOOL",
    "torch ByteStorage": "U8",
    "torch CharStorage": "I8",
    "torch DoubleStorage": "F64",
    "torch FloatStorage": "F32",
    "torch HalfStorage": "F16",
    "torch IntStorage": "I32",
    "torch LongStorage": "I64",
    "torch ShortStorage": "I16",
}
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # of files before PyTorch 1.6
_ADVICE = "save the numbers alone: torch.save(model.state_dict(), path)"


def tensors(path: Path, archive: ZipFile) -> Any:
    """Return what a file holds: dicts, lists, numbers and texts, with arrays in place of tensors.

    Tensors that see the same of one storage are the same array. Raises ReadError.
    """
    names = archive.namelist()
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ReadError(path, "", "it is no file of torch.save: it has no data.pkl, or several")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise ReadError(path, "", f"it is a TorchScript program, with code in it; {_ADVICE}")
    order = member(path, archive, f"{root}byteorder") if f"{root}byteorder" in names else b"little"
    if order not in (b"little", b"big"):
        raise ReadError(path, "byteorder", f"it is {order!r:.40}, not little or big")
    storages = _Storages(path, archive, f"{root}data/", "<" if order == b"little" else ">")
    content = member(path, archive, pickles[0])
    try:
        return _unpickled(content, storages)
    except ReadError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
        reason = f"it is damaged ({type(error).__name__}: {error})"
        raise ReadError(path, "data.pkl", reason) from None


class _Name(str):
    """What a pickle calls a function or a class: a text here, too."""


@dataclass(frozen=True)
class _Storage:
    """All the numbers of a storage, in a row: of a class that no pickle can make."""

    key: str
    numbers: Array


class _Storages:
    """The storages of a file, each read once, and the arrays that are views of them."""

    def __init__(self, path: Path, archive: ZipFile, folder: str, order: str) -> None:
        self.path, self._archive, self._folder, self._order = path, archive, folder, order
        self._read: dict[str, _Storage] = {}
        self._views: dict[Any, Array] = {}
        self._left = sum(entry.file_size for entry in archive.infolist())

    def named(self, told: Any) -> _Storage:
        """Return a storage, of what a pickle says of it."""
        _, kind, key, _, count = told
        if not (isinstance(key, str) and isinstance(kind, str) and kind in _STORAGES):
            raise ReadError(self.path, "data", f"{_told(key)} is a {_told(kind)}: not read here")
        if key not in self._read:
            content = member(self.path, self._archive, f"{self._folder}{key}")
            self._read[key] = _Storage(key, numbers(content, _STORAGES[kind], self._order))
        size = len(self._read[key].numbers)
        if type(count) is not int or size != count:
            reason = f"it has {size} numbers, and the pickle tells of {_told(count)}"
            raise ReadError(self.path, f"data/{key}", reason)
        return self._read[key]

    def tensor(self, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Array:
        """Return what a tensor sees of a storage (torch._utils._rebuild_tensor_v2)."""
        if type(storage) is not _Storage:  # but an array, of which more might be seen than it has
            raise TypeError(f"a tensor is a view of a storage, not of a {type(storage).__name__}")
        key, found = storage.key, storage.numbers
        shape, stride = tuple(shape), tuple(stride)
        if any(type(n) is not int or n < 0 for n in (offset, *shape, *stride)):
            raise ReadError(self.path, f"data/{key}", "a tensor's sizes are no whole numbers")
        if len(rest) > 2 and rest[2]:
            raise ReadError(self.path, f"data/{key}", "a tensor is stored as its conjugate or -x")
        view = (key, offset, shape, stride)
        if view in self._views:
            return self._views[view]
        size = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if size and last >= len(found):
            reason = f"a tensor {shape} with the strides {stride} from {offset} on is not inside"
            raise ReadError(self.path, f"data/{key}", reason)
        self._left -= size
        if self._left < 0:
            raise ReadError(self.path, f"data/{key}", "its tensors have more numbers than bytes")
        steps = [step * found.itemsize for step in stride]
        array = np.lib.stride_tricks.as_strided(found[offset:] if size else found, shape, steps)
        return self._views.setdefault(view, array)


def _told(item: Any) -> str:
    """What is said of something in a pickle: not more, for it may be nested without end."""
    return f"{item!r:.60}" if isinstance(item, str | int | float) else type(item).__name__


def _flat(items: Any) -> list[Any]:
    """A list of what may be in sets and the keys of dicts. Raises TypeError for others: to hash
    what is nested deep takes for ever."""
    for item in items:
        if not isinstance(item, str | int | float | None):
            raise TypeError(f"a {type(item).__name__} is no key")
    return list(items)


# What a pickle may call, and what takes the place of it.
_CALLS: dict[str, Callable[..., Any]] = {
    "__builtin__ set": lambda storages, items=(): set(_flat(items)),
    "builtins set": lambda storages, items=(): set(_flat(items)),
    "collections OrderedDict": lambda storages: {},
    "torch Size": lambda storages, sizes: tuple(sizes),
    "torch device": lambda storages, *place: place,
    "torch._utils _rebuild_parameter": lambda storages, tensor, *rest: tensor,
    "torch._utils _rebuild_tensor_v2": _Storages.tensor,
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_LITERALS = {
    *("BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINBYTES", "BINUNICODE", "SHORT_BINBYTES", "SHORT_BINUNICODE"),
}
_ADD: dict[str, Callable[[Any, Any], None]] = {
    "APPEND": list.append,
    "APPENDS": list.extend,
    "ADDITEMS": set.update,
}


def _unpickled(content: bytes, storages: _Storages) -> Any:
    """Go through a pickle. Raises ReadError, and what indices and types that are wrong raise."""
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks under the marks
    memo: dict[int, Any] = {}
    argument: Any
    items: Any
    for opcode, argument, _ in pickletools.genops(content):
        name, items = opcode.name, None
        if opcode.stack_before and opcode.stack_before[-1] is pickletools.stackslice:
            items, stack = stack, below.pop()  # what is above the mark
        if name in ("PROTO", "FRAME"):
            pass
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            below.append(stack)
            stack = []
        elif name == "TUPLE":
            stack.append(tuple(items))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in _ADD:
            item = stack.pop() if items is None else items
            _ADD[name](stack[-1], _flat(item) if name == "ADDITEMS" else item)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if items is None else items
            dict.update(stack[-1], zip(_flat(items[::2]), items[1::2], strict=True))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_known(storages.path, argument))
        elif name == "STACK_GLOBAL":
            stack[-2:] = [_known(storages.path, " ".join(stack[-2:]))]
        elif name == "BINPERSID":
            stack.append(storages.named(stack.pop()))
        elif name == "REDUCE":
            function, arguments = stack[-2:]
            if type(function) is not _Name or function not in _CALLS:
                raise ReadError(storages.path, "data.pkl", f"it calls {_told(function)}; {_ADVICE}")
            stack[-2:] = [_CALLS[function](storages, *arguments)]
        elif name == "BUILD" and type(stack[-2]) is dict:
            stack.pop()  # attributes of an OrderedDict: the versions of modules
        elif name == "STOP":
            return stack[-1]
        else:
            reason = f"it has the instruction {name}, which tensors don't need; {_ADVICE}"
            raise ReadError(storages.path, "data.pkl", reason)
    raise ValueError("it has no end")


def _known(path: Path, name: str) -> _Name:
    """A name that a pickle says, if it is one of those that tensors need, or a torch.dtype."""
    module, _, own = name.partition(" ")
    if name in _CALLS or module == "torch":
        return _Name(name)
    reason = f"it holds {f'{module}.{own}':.80}, and nothing is run here; {_ADVICE}"
    raise ReadError(path, "data.pkl", reason)


def state_dict(path: Path, found: Any) -> dict[str, Array]:
    """Return the one mapping of names to arrays in what a file holds: all of it, or an entry of a
    checkpoint beside an optimiser's. Raises ReadError where there is none, or several."""
    entries = {"": found, **found} if isinstance(found, dict) else {}
    fit: dict[Any, dict[str, Array]] = {k: item for k, item in entries.items() if _is_state(item)}
    for usual in ("", "state_dict", "model_state_dict", "model"):
        if usual in fit:
            return fit[usual]
    if len(fit) != 1:
        said = f"more than one state dict: {[*fit]}" if fit else "no state dict"
        raise ReadError(path, "", f"it holds {said:.200}; {_ADVICE}")
    return next(iter(fit.values()))


def _is_state(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and bool(item)
        and all(isinstance(key, str) for key in item)
        and all(isinstance(array, np.ndarray) for array in item.values())
    )


# --- modules and tensors, as objects ---------------------------------------------------------


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


# --- writing --------------------------------------------------------------------------------


def write(model: Module, path: Path, dtype: Any) -> None:
    """Write a model's state dict as torch.save would; raises as `routes.write` does."""
    kind, order = ("Double", "<f8") if np.dtype(dtype) == np.float64 else ("Float", "<f4")
    files = {"net/data.pkl": b"", "net/byteorder": b"little", "net/version": b"3\n"}
    entries = []
    for i, (name, array) in enumerate(model.state_dict().items()):
        files[f"net/data/{i}"] = array.astype(order).tobytes()
        storage = [_text("storage"), f"ctorch\n{kind}Storage\n".encode(), _text(str(i))]
        shape = [*map(_number, array.shape)]
        steps = [_number(math.prod(array.shape[k + 1 :])) for k in range(array.ndim)]
        seen = [_tuple(*storage, _text("cpu"), _number(array.size)) + b"Q", _number(0)]
        hooks = _call("collections", "OrderedDict")
        rebuilt = (*seen, _tuple(*shape), _tuple(*steps), b"\x89", hooks)
        entries += [_text(name), _call("torch._utils", "_rebuild_tensor_v2", *rebuilt)]
    files["net/data.pkl"] = b"\x80\x02}(" + b"".join(entries) + b"u."
    write_whole(path, zipped(files))


def _text(item: str) -> bytes:
    content = item.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _number(n: int) -> bytes:
    return b"J" + struct.pack("<i", n)


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def _call(module: str, name: str, *arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + _tuple(*arguments) + b"R"
