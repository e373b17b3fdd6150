"""What makes a training run the run that it is, as plain data: to be saved, and compared later.

Numbers that training moves are no part of it. A difference is told by its place and both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from engine import Value
from nn.module import Module
from nn.optim import LRScheduler, Optimizer

_AT_ONCE = 1 << 18  # numbers that are looked at together
_LONG = 1000  # entries of a list that are told one by one; more are told by a digest


def of_module(module: Module) -> dict[str, str]:
    """Each module by its name: its class and settings, but for the numbers of its parameters."""
    return {name: _of_object(part) for name, part in module.named_modules()}


def of_parameters(module: Module) -> dict[str, list[int]]:
    """The shape of each parameter by its name."""
    return {name: list(array.shape) for name, array in module.state_dict().items()}


def of_optimizer(optimizer: Optimizer) -> list[dict[str, str]]:
    """The settings of each group; what a schedule sets is as it was in the beginning."""
    return [
        {name: _told(group.get(f"initial_{name}", group[name])) for name in optimizer.defaults}
        for group in optimizer.param_groups
    ]


def of_scheduler(scheduler: LRScheduler | None) -> dict[str, str] | None:
    """What a schedule does, but for where it is."""
    if scheduler is None:
        return None
    moving = {"optimizer", "last_epoch", "_last_lr", "_is_initial"}
    moving |= {"best", "num_bad_epochs", "cooldown_counter", "_is_due"}  # of a plateau
    told = {name: _told(x) for name, x in vars(scheduler).items() if name not in moving}
    return {"class": type(scheduler).__qualname__, **told}


def of_array(array: np.ndarray[Any, Any] | None, dtype: Any = None) -> str:
    """The type, the shape, and a digest of the content: as numbers of `dtype`, if one is given."""
    if array is None:
        return "none"
    kind = array.dtype if dtype is None else np.dtype(dtype)
    digest, rows = hashlib.sha256(), array if array.ndim else np.atleast_1d(array)
    some = max(1, _AT_ONCE * len(rows) // max(1, rows.size))
    for first in range(0, len(rows), some):  # memory for all of it may not be there twice
        digest.update(np.ascontiguousarray(rows[first : first + some], kind).tobytes())
    return f"{kind} of shape {array.shape} with digest {digest.hexdigest()[:16]}"


def difference(saved: Any, here: Any, name: str = "") -> str:
    """Where two descriptions differ first, in words; "" where they are the same."""
    if isinstance(saved, dict) and isinstance(here, dict):
        for key in [*here, *(key for key in saved if key not in here)]:
            part = f"{name}, {key or 'itself'}" if name else str(key)
            if text := difference(saved.get(key, "missing"), here.get(key, "missing"), part):
                return text
        return ""
    if isinstance(saved, list) and isinstance(here, list) and len(saved) == len(here):
        for k, (one, other) in enumerate(zip(saved, here, strict=True)):
            if text := difference(one, other, f"{name} {k}"):
                return text
        return ""
    return "" if saved == here else f"its {name} is {saved!r}, here it is {here!r}"


def _of_object(item: Any) -> str:
    """A class with its attributes, as it would be made."""
    given = [
        f"{name}={_told(x)}"
        for name, x in sorted(vars(item).items())
        if not _is_made_of(x, Module | Value)
    ]
    return f"{type(item).__qualname__}({', '.join(given)})"


def _told(item: Any, above: tuple[int, ...] = ()) -> str:
    """Something in words that are the same in another process."""
    item = item.item() if isinstance(item, np.generic) else item
    if item is None or isinstance(item, bool | int | float | complex | str | bytes):
        return repr(item)
    if isinstance(item, np.ndarray):
        if item.dtype != object:
            return of_array(item)
        item = item.tolist()
    if id(item) in above:
        return "itself"
    inside = (*above, id(item))
    if isinstance(item, Mapping):
        parts = [f"{_told(k, inside)}: {_told(x, inside)}" for k, x in item.items()]
        return f"{{{', '.join(parts)}}}"
    if isinstance(item, list | tuple):
        return _of_list([_told(x, inside) for x in item])
    if isinstance(item, FunctionType | MethodType):
        return f"{item.__qualname__} {_digest(_of_code(item.__code__, inside).encode())}"
    plain = {} if isinstance(item, Value | type | ModuleType) else getattr(item, "__dict__", {})
    settings = [
        f"{n}={x!r}"
        for n, x in plain.items()
        if isinstance(x, bool | int | float | str) and not n.startswith("__")
    ]
    name = getattr(item, "__qualname__", type(item).__qualname__)
    return f"{name}({', '.join(settings)})" if settings else name


def _of_list(parts: list[str]) -> str:
    if len(parts) > 1 and len(parts) == parts.count(parts[0]):
        return f"{len(parts)} x {parts[0]}"
    text = f"[{', '.join(parts)}]"
    return text if len(parts) <= _LONG else f"{len(parts)} with digest {_digest(text.encode())}"


def _of_code(code: CodeType, above: tuple[int, ...]) -> str:
    """What a function does, but for what it reads from outside."""
    constants = [
        _of_code(x, above) if isinstance(x, CodeType) else _told(x, above) for x in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _is_made_of(item: Any, kinds: Any) -> bool:
    """Whether these are modules or parameters, which are told by themselves."""
    while isinstance(item, list | tuple | Mapping) and item:
        item = next(iter(item.values())) if isinstance(item, Mapping) else item[0]
    return isinstance(item, kinds)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
