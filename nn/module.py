"""Module: what layers, models and losses have in common.

A module is written for one example, in scalars and lists. It finds its parameters by looking at
its attributes: Values, other modules, and lists and dicts of them, however nested. Nothing has to
be registered. A Value is a parameter if it is a leaf of the graph, not a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, TypeVar

import numpy as np

from engine import Value, modes

M = TypeVar("M", bound="Module")


class Module:
    """The base of layers and models: a `forward` for one example, and parameters.

    Calling the module calls `forward`, in a scope of the class's name, so that a drawing shows it
    as a frame. An array of one example becomes a list; more than one example is a TypeError.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    ...     def forward(self, x):
    ...         return self.slope * x + self.offset
    >>> Line()(3.0)
    Value(data=7.0, grad=0.0)
    """

    training: bool = True

    def forward(self, *inputs: Any) -> Any:
        """Compute the output for one example. A module defines this."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def __call__(self, *inputs: Any) -> Any:
        for x in inputs:
            if isinstance(x, np.ndarray):
                return self(*map(self._example, inputs))
        # `with engine.scope(...)`, written out: a network has many small modules
        modes.scoped = True
        state = modes.state
        outer = state.scope
        state.scope = modes.Scope(type(self).__name__, outer)
        try:
            return self.forward(*inputs)
        finally:
            state.scope = outer

    def _example(self, x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        if x.ndim > 1:
            raise TypeError(
                f"a module takes one example, and this array of shape {x.shape} looks like a "
                "batch; use nn.predict(model, X), or model(x) for each row x"
            )
        return x.tolist()

    # --- what a module is made of ---

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below this one."""
        for _, item in self._items():
            if isinstance(item, Module):
                yield item

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        seen: dict[int, Module] = {}
        pending: list[Module] = [self]
        while pending:
            module = pending.pop()
            if id(module) not in seen:
                seen[id(module)] = module
                yield module
                pending += reversed(list(module.children()))

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield PyTorch's name and the Value, or the nested list of Values, of each parameter."""
        yield from self._named_parameters(prefix, ())

    def _named_parameters(
        self, prefix: str, above: tuple[Module, ...]
    ) -> Iterator[tuple[str, Any]]:
        for name, item in self._items():
            if not isinstance(item, Module):
                yield f"{prefix}{name}", item
            elif not any(item is module for module in (*above, self)):  # a link to a parent
                yield from item._named_parameters(f"{prefix}{name}.", (*above, self))

    def parameters(self) -> list[Value]:
        """Return all Values of all parameters in one flat list, each once."""
        found: dict[Value, None] = {}
        for _, item in self.named_parameters():
            found.update(dict.fromkeys(values_of(item)))
        return list(found)

    def _items(self) -> Iterator[tuple[str, Any]]:
        """The attributes that are modules or parameters; modules of a list one by one."""
        for name, item in vars(self).items():
            yield from _modules_and_parameters(name, item)

    # --- state ---

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the `grad` of every parameter to 0. `set_to_none` is accepted for PyTorch's sake."""
        for p in self.parameters():
            p.grad = 0.0

    def label_parameters(self) -> None:
        """Label each parameter that has no label with its name, for drawings: "0.weight[2][1]"."""
        for name, item in self.named_parameters():
            for place, p in _places(item):
                p.label = p.label or name + place

    def train(self: M, mode: bool = True) -> M:
        """Set training mode in this module and all below, and return it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Set evaluation mode in this module and all below, and return it."""
        return self.train(False)

    def apply(self: M, function: Callable[[Module], object]) -> M:
        """Call a function on this module and all below, from the leaves up, and return it."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    def state_dict(self) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """Return the numbers of all parameters, as arrays by PyTorch's names."""
        return {name: _to_array(item) for name, item in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Set the parameters to the numbers of a `state_dict`; arrays, lists or tensors will do.

        Nothing is changed unless all of it fits. Raises RuntimeError for missing or unexpected
        keys (unless `strict` is False) and for arrays of other shapes.
        """
        own = dict(self.named_parameters())
        problems = []
        if missing := [key for key in own if key not in state]:
            problems.append("Missing key(s): " + ", ".join(map(repr, missing)))
        if unexpected := [key for key in state if key not in own]:
            problems.append("Unexpected key(s): " + ", ".join(map(repr, unexpected)))
        problems = problems if strict else []
        arrays = {key: np.asarray(state[key], dtype=np.float64) for key in own if key in state}
        for key, array in arrays.items():
            shape = _to_array(own[key]).shape
            if array.shape != shape:
                problems.append(f"{key!r} has shape {shape} here, {array.shape} in the state")
        if problems:
            raise RuntimeError(f"can't load into {type(self).__name__}: " + "; ".join(problems))
        for key, array in arrays.items():
            for p, number in zip(values_of(own[key]), array.ravel().tolist(), strict=True):
                p.data = number

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the module's repr."""
        return ""

    @recursive_repr()
    def __repr__(self) -> str:
        below = [(name, item) for name, item in self._items() if isinstance(item, Module)]
        if not below:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"  ({name}): {item!r}".replace("\n", "\n  ") for name, item in below]
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)"


def _modules_and_parameters(name: str, item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, np.ndarray) and item.dtype == object:
        item = item.tolist()
    if isinstance(item, Module):
        yield name, item
    elif isinstance(item, dict):
        for key, part in item.items():
            yield from _modules_and_parameters(f"{name}.{key}", part)
    elif isinstance(item, Value | list | tuple):
        leaves = _leaves(item)
        if all(isinstance(leaf, Value) for leaf in leaves):
            # Parameters are leaves of the graph; results that a forward kept are not.
            if leaves and all(leaf.op is None for leaf in leaves):
                yield name, item
        elif isinstance(item, list | tuple):
            for i, part in enumerate(item):
                yield from _modules_and_parameters(f"{name}.{i}", part)


def _places(item: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested list, with their indices as they are written."""
    if isinstance(item, list | tuple):
        for i, part in enumerate(item):
            yield from _places(part, f"{place}[{i}]")
    else:
        yield place, item


def _leaves(item: Any) -> list[Any]:
    return [leaf for _, leaf in _places(item)]


def values_of(item: Any) -> list[Value]:
    """Return the Values of a Value or a nested list, in order.

    >>> values_of([[Value(1.0)], Value(2.0)])
    [Value(data=1.0, grad=0.0), Value(data=2.0, grad=0.0)]
    """
    return _leaves(item)


def _to_array(item: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    def numbers(part: Any) -> Any:
        return part.data if isinstance(part, Value) else [numbers(x) for x in part]

    return np.array(numbers(item), dtype=np.float64)
