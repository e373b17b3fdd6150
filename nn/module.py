"""Module: what layers, models and losses have in common.

A module is written for one example, in scalars and lists. It finds its parameters by looking at
its attributes: Values, other modules, and lists, dicts and dataclasses of them, however nested.
Nothing has to be registered. A Value is a parameter if the user made it, as `Value(0.5)` does, and
no computation: results that a forward kept, its inputs and what it drew are none.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import chain
from reprlib import recursive_repr
from types import ModuleType
from typing import Any, ParamSpec, Protocol, TypeVar
from weakref import ref

import numpy as np

from engine import Value, modes
from engine.leaves import all_given, set_leaves
from engine.trees import is_record, record_fields

M = TypeVar("M", bound="Module")
P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class _Defines(Protocol[P, R]):
    """What defines a forward: a call takes what that takes, and gives what it gives."""

    def forward(self, *inputs: P.args, **named: P.kwargs) -> R: ...


class Module:
    """The base of layers and models: a `forward` for one example, and parameters.

    Calling the module calls `forward`, in a scope of the class's name, so that a drawing shows it
    as a frame. An array of one example becomes a list; more than one example is a TypeError.
    A module may be a dataclass, of any kind; sets and dicts tell modules apart by identity.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    ...     def forward(self, x):
    ...         return self.slope * x + self.offset
    >>> Line()(3.0)
    Value(data=7.0, grad=0.0)
    """

    __slots__ = ("__dict__", "__weakref__", "_own_programs")
    _own_programs: dict[Any, Any]
    training: bool = True
    example_dims: int = 1  # of an array that is one example for this module
    _in_repr: tuple[str, ...] = ()  # the settings that its repr shows
    requires_grad: bool = True  # False where `requires_grad_` froze the parameters held here

    _slots: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if vars(cls).get("__hash__") is None:  # a dataclass leaves one that it finds as it is
            inherited: Any = super(cls, cls).__hash__
            cls.__hash__ = inherited or object.__hash__  # type: ignore[method-assign]
        slots = vars(cls).get("__slots__", ())
        cls._slots = (*cls._slots, *([slots] if isinstance(slots, str) else slots))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Compute the output for one example. A module defines this; else it raises TypeError."""
        raise TypeError(
            f"{type(self).__name__} defines no forward; write\n    def forward(self, x): ..."
        )

    def __call__(self: _Defines[P, R], *inputs: P.args, **named: P.kwargs) -> R:
        module: Any = self
        for x in (*inputs, *named.values()) if named else inputs:
            if isinstance(x, np.ndarray):
                given = {name: module._example(x) for name, x in named.items()}
                return module(*map(module._example, inputs), **given)  # type: ignore[no-any-return]
        # `with engine.scope(...)`, written out: a network has many small modules
        modes.scoped = True
        inner = modes.Scope(type(self).__name__, modes.current_scope(), ref(self))
        outer = modes.set_scope(inner)
        try:
            return self.forward(*inputs, **named)
        except RecursionError as error:
            _count(error)
            raise
        finally:
            modes.leave_scope(outer)

    def _example(self, x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        if x.ndim > 1 and x.ndim > _most_dims(self):
            raise TypeError(
                f"a module takes one example, and this array of shape {x.shape} looks like a "
                "batch; use nn.predict(model, X), or model(x) for each row x"
            )
        return x.tolist()

    @property
    def _programs(self) -> dict[Any, Any]:
        """What was compiled of this module: beside its attributes, and no part of a copy."""
        try:
            return self._own_programs
        except AttributeError:
            object.__setattr__(self, "_own_programs", {})  # it may be a frozen dataclass
            return self._own_programs

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        if isinstance(state, tuple):  # attributes, and slots
            state[1].pop("_own_programs", None)
        return state

    # --- what a module is made of ---

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly below this one with their names, each once."""
        seen: set[int] = set()
        for attribute, held in self._attributes().items():
            if isinstance(held, _PLAIN) or _is_of_values(held):
                continue
            alone = isinstance(held, Module)
            for name, item in [(attribute, held)] if alone else _inside(attribute, held):
                if isinstance(item, Module) and id(item) not in seen:
                    seen.add(id(item))
                    yield name, item

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below this one, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module, named `prefix`, and all below, such as "0" and "0.1", each once.

        >>> import nn
        >>> net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
        >>> [name for name, _ in net.named_modules()]
        ['', '0', '0.0', '1']
        """
        seen: set[int] = set()
        pending: list[tuple[str, Module]] = [(prefix, self)]
        while pending:
            name, module = pending.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                below = [
                    (f"{name}.{own}" if name else own, m) for own, m in module.named_children()
                ]
                pending += reversed(below)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield PyTorch's name and the Value, or the nested list of Values, of each parameter."""
        for name, item, _ in self._held(prefix):
            yield name, item

    def _held(self, prefix: str = "") -> Iterator[tuple[str, Any, Module]]:
        """What `named_parameters` yields, and the module that holds it.

        A module that is used twice comes under both names, but one that is part of a circle, as
        with a link to its parent, once: it has no end of names.
        """
        path: list[tuple[Module, str, Iterator[tuple[str, Any]]]] = [(self, prefix, self._items())]
        place = {id(self): 0}  # of the modules of the path
        seen, circular = {id(self)}, set[int]()
        while path:
            module, prefix, items = path[-1]
            for name, item in items:
                if not isinstance(item, Module):
                    yield f"{prefix}{name}", item, module
                elif id(item) in place:
                    circular.update(id(part) for part, _, _ in path[place[id(item)] :])
                elif id(item) not in seen or id(item) not in circular:
                    seen.add(id(item))
                    place[id(item)] = len(path)
                    path.append((item, f"{prefix}{name}.", item._items()))
                    break
            else:
                path.pop()
                del place[id(module)]

    def parameters(self) -> list[Value]:
        """Return the Values of all parameters in one flat list, each once, but for frozen ones.

        It is what optimisers are built on; see `requires_grad_`.
        """
        found: dict[Value, None] = {}
        frozen: set[Value] = set()
        for _, item, holder in self._held():
            values = values_of(item)
            found.update(dict.fromkeys(values))
            if not holder.requires_grad:
                frozen.update(values)
        return [p for p in found if p not in frozen]

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze the parameters of this module and all below, or no longer, and return it.

        `parameters()` leaves frozen ones out, so that an optimiser built on it afterwards does not
        move them, by `step` or in `nn.fit`, which refuses one that was built before. They stay
        in `named_parameters` and `state_dict`, and as every leaf they get a `grad` by `backward`.
        A parameter of several modules is frozen where one of them is.

        >>> import nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False))
        >>> net[0].requires_grad_(False).parameters(), len(net.parameters())
        ([], 2)
        """
        for module in self.modules():
            set_mode(module, "requires_grad", requires_grad)
        return self

    def _items(self) -> Iterator[tuple[str, Any]]:
        """The attributes that are modules or parameters; modules of a list one by one."""
        for name, item in self._attributes().items():
            if isinstance(item, Module) or _is_parameter(item):
                yield name, item
            elif not isinstance(item, _PLAIN):
                yield from _inside(name, item)

    def _attributes(self) -> dict[str, Any]:
        """The attributes by name, those in slots first."""
        if not self._slots:
            return vars(self)
        slots = {name: getattr(self, name) for name in self._slots if hasattr(self, name)}
        return {**slots, **vars(self)}

    # --- state ---

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the `grad` of every parameter to 0. `set_to_none` is accepted for PyTorch's sake."""
        for _, item in self.named_parameters():
            for p in values_of(item):
                p.grad = 0.0

    def label_parameters(self) -> None:
        """Label each parameter that has no label with its name, for drawings: "0.weight[2][1]"."""
        for name, item in self.named_parameters():
            for place, p in _places(item):
                p.label = p.label or name + place

    def train(self: M, mode: bool = True) -> M:
        """Set training mode in this module and all below, and return it."""
        for module in self.modules():
            set_mode(module, "training", mode)
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
        keys (unless `strict` is False), for arrays of other shapes, and for what is no array.
        """
        own = dict(self.named_parameters())
        problems = []
        if missing := [key for key in own if key not in state]:
            problems.append("Missing key(s): " + ", ".join(map(repr, missing)))
        if unexpected := [key for key in state if key not in own]:
            problems.append("Unexpected key(s): " + ", ".join(map(repr, unexpected)))
        problems = problems if strict else []
        arrays = {}
        for key in (key for key in own if key in state):
            try:
                arrays[key] = np.asarray(state[key], dtype=np.float64)
            except (TypeError, ValueError, OverflowError) as error:
                problems.append(f"{key!r} is no array of numbers in the state ({error})")
        for key, array in arrays.items():
            shape = _to_array(own[key]).shape
            if array.shape != shape:
                problems.append(f"{key!r} has shape {shape} here, {array.shape} in the state")
        if problems:
            raise RuntimeError(f"can't load into {type(self).__name__}: " + "; ".join(problems))
        for key, array in arrays.items():
            set_leaves(values_of(own[key]), array.ravel().tolist())

    def __deepcopy__(self: M, memo: dict[int, Any]) -> M:
        """Copy this module and all below it one by one, however deep they are nested."""
        own = Module.__deepcopy__
        parts = [m for m in self.modules() if type(m).__deepcopy__ is own and id(m) not in memo]
        for module in parts:
            memo[id(module)] = type(module).__new__(type(module))
        for module in parts:
            for name, item in module._attributes().items():
                copied = item if isinstance(item, ModuleType) else copy.deepcopy(item, memo)
                object.__setattr__(memo[id(module)], name, copied)
        return memo[id(self)]  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the module's repr."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._in_repr)

    @recursive_repr()
    def __repr__(self) -> str:
        below = [(name, item) for name, item in self._items() if isinstance(item, Module)]
        if not below:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"  ({name}): {shown(item)}".replace("\n", "\n  ") for name, item in below]
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)"


_deep: ContextVar[int] = ContextVar("_deep", default=0)
_DEEPEST = 100  # modules within each other that a repr shows


def shown(module: Module) -> str:
    """Return the repr of a module within another one's, cut off where they are nested deep."""
    depth = _deep.get()
    if depth >= _DEEPEST:
        return f"{type(module).__name__}(…)"
    before = _deep.set(depth + 1)
    try:
        return repr(module)
    finally:
        _deep.reset(before)


def _count(error: RecursionError) -> None:
    """Count a module on the way out of an error, and say so where they are what is nested."""
    modules = getattr(error, "modules", 0) + 1
    error.modules = modules  # type: ignore[attr-defined]
    limit = sys.getrecursionlimit()
    if modules > limit // 10:
        error.args = (
            f"modules call each other {modules} deep and deeper, and Python ends at {limit} "
            "functions within each other; put layers side by side in one nn.Sequential, or call "
            "sys.setrecursionlimit with more first",
        )


def set_mode(module: Module, name: str, value: bool) -> None:
    """Set a flag of a module, of a frozen dataclass too."""
    object.__setattr__(module, name, value)


class evaluating:  # noqa: N801, used like a function
    """Evaluation mode for a while, or several; every module's mode is put back."""

    def __init__(self, model: Module) -> None:
        self._modules = list(model.modules())
        self._changed: list[Module] = []

    def __enter__(self) -> None:
        self._changed = [module for module in self._modules if module.training]
        for module in self._changed:
            set_mode(module, "training", False)

    def __exit__(self, *error: object) -> None:
        for module in self._changed:
            set_mode(module, "training", True)


_PLAIN = (int, float, str, type(None))  # most attributes, in which there is nothing to find


def _is_parameter(item: Any) -> bool:
    """Whether this is a Value, or a nested list of Values, that the user made such."""
    if isinstance(item, Value):
        return all_given((item,))
    if not isinstance(item, list | tuple):
        return False
    leaves = _leaves(item)
    return bool(leaves) and all_given(leaves)


def _is_of_values(item: Any) -> bool:
    """Whether this is a Value, or a nested list of Values: in these there is no module."""
    if not isinstance(item, list | tuple):
        return isinstance(item, Value)
    kinds = set(map(type, item))
    if kinds and kinds <= {list, tuple}:  # such as the rows of a matrix
        kinds = set(map(type, chain.from_iterable(item)))
    return kinds <= {Value} or set(map(type, _leaves(item))) <= {Value}


def _inside(name: str, item: Any) -> Iterator[tuple[str, Any]]:
    """The modules and parameters in an attribute that is neither, with their names."""
    path = [(0, iter([(name, item)]))]  # the containers that are open, and what is left in each
    inside = {0}  # their ids
    while path:
        for name, item in path[-1][1]:
            if isinstance(item, np.ndarray) and item.dtype == object:
                item = item.tolist()
            if isinstance(item, Module) or _is_parameter(item):
                yield name, item
                continue
            parts = _parts(name, item)
            if parts is not None and id(item) not in inside:
                inside.add(id(item))
                path.append((id(item), parts))
                break
        else:
            inside.discard(path.pop()[0])


def _parts(name: str, item: Any) -> Iterator[tuple[str, Any]] | None:
    """What a container has, with names; None for what is none."""
    if isinstance(item, list | tuple):
        return ((f"{name}.{i}", part) for i, part in enumerate(item))
    if isinstance(item, dict):
        return ((f"{name}.{key}", part) for key, part in item.items())
    if is_record(item):
        return ((f"{name}.{key}", getattr(item, key)) for key in record_fields(item))
    return None


def _places(item: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested list, with their indices as they are written."""
    if isinstance(item, list | tuple):
        for i, part in enumerate(item):
            yield from _places(part, f"{place}[{i}]")
    else:
        yield place, item


def _leaves(item: Any) -> list[Any]:
    """The leaves alone, fast: every look for parameters goes through here."""
    level, above = [item], set[int]()
    while True:  # where all are lists, such as the rows of a matrix, all are opened at once
        nested = [issubclass(kind, list | tuple) for kind in set(map(type, level))]
        if not any(nested):
            return level
        own = set(map(id, level))
        if not all(nested) or own & above:  # a list may hold itself
            return _leaves_one_by_one(item)
        above |= own
        level = list(chain.from_iterable(level))


def _leaves_one_by_one(item: Any) -> list[Any]:
    """The same for lists of whatever form."""
    found: list[Any] = []
    path, inside = [(id(item), iter(item))], {id(item)}  # the lists that are open
    while path:
        own, parts = path[-1]
        for part in parts:
            if not isinstance(part, list | tuple):
                found.append(part)
            elif id(part) not in inside:
                inside.add(id(part))
                path.append((id(part), iter(part)))
                break
        else:
            path.pop()
            inside.discard(own)
    return found


def _most_dims(module: Module) -> int:
    """Of an example, as the part that takes the most has it. No method: what a call of a module
    reads by name is watched in compiled functions, and this would be all."""
    return max(part.example_dims for part in module.modules())


def values_of(item: Any) -> list[Value]:
    """Return the Values of a Value or a nested list, in order.

    >>> values_of([[Value(1.0)], Value(2.0)])
    [Value(data=1.0, grad=0.0), Value(data=2.0, grad=0.0)]
    """
    return _leaves(item)


def fresh(draw: Callable[[], float], *sizes: int) -> list[Any]:
    """Return new Values in nested lists of these sizes, with numbers drawn in their order.

    >>> fresh(lambda: 0.5, 2, 1)
    [[Value(data=0.5, grad=0.0)], [Value(data=0.5, grad=0.0)]]
    """
    count, *others = sizes
    return [fresh(draw, *others) if others else Value(draw()) for _ in range(count)]


def frozen_in(module: Module) -> dict[Value, str]:
    """Return the Values that `requires_grad_` froze in a module, with their parameters' names."""
    return {
        p: name
        for name, item, holder in module._held()
        if not holder.requires_grad
        for p in values_of(item)
    }


def _to_array(item: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    def numbers(part: Any) -> Any:
        return part.data if isinstance(part, Value) else [numbers(x) for x in part]

    return np.array(numbers(item), dtype=np.float64)
