"""Modules made of modules: one after the other in `Sequential`, to be called by hand in a
`ModuleList`. Both are PyTorch's, and lists to look at and to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from reprlib import recursive_repr
from typing import Any, TypeVar, overload

import numpy as np

from engine import modes
from nn.module import Module, shown

R = TypeVar("R", bound="_Row")


class _Row(Module):
    """Modules in a row, as attributes "0", "1", …: then parameters have PyTorch's names, such as
    "0.weight"."""

    def _named(self) -> list[tuple[str, Module]]:
        return [(name, item) for name, item in vars(self).items() if isinstance(item, Module)]

    def _checked(self, modules: Iterable[Any]) -> list[Module]:
        if isinstance(modules, Module) and not isinstance(modules, _Row):
            raise TypeError(f"{type(self).__name__} takes several modules here, as a list")
        found = list(modules)
        for module in found:
            if not isinstance(module, Module):
                raise TypeError(
                    f"{type(self).__name__} takes modules, not a {type(module).__name__}: derive "
                    "its class from nn.Module, with forward(self, x) in place of __call__"
                )
        return found

    def _set(self, modules: Iterable[Any]) -> None:
        """Have these modules, under new numbers."""
        modules = self._checked(modules)
        for name, _ in self._named():
            del vars(self)[name]
        vars(self).update({str(i): module for i, module in enumerate(modules)})

    def _like(self: R, modules: Sequence[Module]) -> R:
        row = type(self).__new__(type(self))
        row._set(modules)
        return row

    def _place(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range for {len(self)} modules")
        return i % len(self)

    def __iter__(self) -> Iterator[Module]:
        return iter([module for _, module in self._named()])

    def __len__(self) -> int:
        return len(self._named())

    @overload
    def __getitem__(self, i: int) -> Module: ...

    @overload
    def __getitem__(self: R, i: slice) -> R: ...

    def __getitem__(self: R, i: int | slice) -> Module | R:
        modules = list(self)
        return self._like(modules[i]) if isinstance(i, slice) else modules[self._place(i)]

    def __setitem__(self, i: int, module: Module) -> None:
        name, _ = self._named()[self._place(i)]
        [vars(self)[name]] = self._checked([module])

    def __delitem__(self, i: int | slice) -> None:
        modules = list(self)
        del modules[i if isinstance(i, slice) else self._place(i)]
        self._set(modules)

    def append(self: R, module: Module) -> R:
        """Add a module at the end, and return this one."""
        return self.extend([module])

    def extend(self: R, modules: Iterable[Module]) -> R:
        """Add modules at the end, and return this one. Raises TypeError for anything else."""
        for i, module in enumerate(self._checked(modules), len(self)):
            vars(self)[str(i)] = module
        return self

    def insert(self: R, i: int, module: Module) -> R:
        """Add a module before the one at i, and return this one; those after it are renumbered."""
        modules = list(self)
        modules.insert(i, module)
        self._set(modules)
        return self

    def pop(self, i: int = -1) -> Module:
        """Remove a module and return it; those after it are renumbered."""
        module = self[i]
        del self[i]
        return module


class Sequential(_Row):
    """Modules in a row, each on the output of the one before.

    It is a list, too: of a length, to be gone through, indexed, sliced (a slice is a Sequential of
    the same modules) and changed. Raises TypeError for what is no module.

    >>> from nn.layers import Linear, Sigmoid
    >>> Sequential(Linear(2, 1), Sigmoid())
    Sequential(
      (0): Linear(in_features=2, out_features=1, bias=True)
      (1): Sigmoid()
    )
    """

    def __init__(self, *modules: Module) -> None:
        self._set(modules)

    def forward(self, x: Any) -> Any:
        """Return the last module's output."""
        # rows within this one are gone through here, not called: they may be nested thousands deep
        rows, outer = [iter(self)], list[Any]()
        try:
            while rows:
                module = next(rows[-1], None)
                if module is None:
                    rows.pop()
                    if outer:
                        modes.leave_scope(outer.pop())
                elif type(module) is Sequential and not isinstance(x, np.ndarray):
                    outer.append(modes.enter_scope(type(module).__name__))
                    rows.append(iter(module))
                else:
                    x = module(x)
        finally:
            if outer:
                modes.leave_scope(outer[0])
        return x


class ModuleList(_Row):
    """A list of modules for a forward of one's own, whose parameters have PyTorch's names.

    A plain list of modules has the same names; this one also shows in the repr. Raises TypeError
    for what is no module.

    >>> from nn.layers import Linear
    >>> layers = ModuleList([Linear(2, 2), Linear(2, 2)])
    >>> [name for name, _ in layers.append(Linear(2, 1, bias=False)).named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias', '2.weight']
    >>> layers
    ModuleList(
      (0-1): 2 x Linear(in_features=2, out_features=2, bias=True)
      (2): Linear(in_features=2, out_features=1, bias=False)
    )
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self._set(modules)

    @recursive_repr()
    def __repr__(self) -> str:
        """Modules that look alike and follow each other are shown once, as PyTorch does."""
        lines, first = [], 0
        for text, alike in groupby(map(shown, self)):
            count = len(list(alike))
            places = f"{first}-{first + count - 1}): {count} x " if count > 1 else f"{first}): "
            lines.append(f"  ({places}{text}".replace("\n", "\n  "))
            first += count
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)" if lines else "ModuleList()"
