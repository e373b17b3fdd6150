"""What a model is given: an array with a row an example, or several, by place or by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nn.identity import of_array
from nn.module import Module

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Inputs:
    """Arrays of as many rows, and the name by which `forward` takes each; "" is by its place."""

    arrays: tuple[Array, ...]
    names: tuple[str, ...] = ("",)

    def __len__(self) -> int:
        return len(self.arrays[0])

    @property
    def form(self) -> list[Any]:
        """What examples that go through the same program have in common."""
        return [self.names, *(array.shape[1:] for array in self.arrays)]

    def output(self, model: Module, row: int) -> Any:
        """What a model gives for the example in a row."""
        return called(model, self.names, [row_of(array, row) for array in self.arrays])

    def identity(self) -> str:
        """The content in words."""
        told = [of_array(array, float) for array in self.arrays]
        return ", ".join(
            f"{name} {text}".strip() for name, text in zip(self.names, told, strict=True)
        )

    def check(self, model: Module) -> None:
        """Raise TypeError where the model's forward can't be called with these."""
        signature = inspect.signature(model.forward)
        try:
            called(signature.bind, self.names, self.names)
        except TypeError as error:
            takes = ", ".join(signature.parameters)
            given = [*filter(None, self.names)] or len(self.names)
            raise TypeError(
                f"{type(model).__name__}.forward({takes}) can't be called with the inputs of X, "
                f"{given}: {error}. Several inputs are a tuple of arrays, or a dict by the names "
                "that forward has for them; of a loader's fields the last is y"
            ) from None


def called(model: Any, names: Sequence[str], inputs: Iterable[Any]) -> Any:
    """What a model gives for an example's inputs, by their names."""
    by_place, by_name = [], {}
    for name, x in zip(names, inputs, strict=True):
        if name:
            by_name[name] = x
        else:
            by_place.append(x)
    return model(*by_place, **by_name)


def row_of(array: Array, row: int) -> Any:
    """An example's numbers: floats in nested lists, or one float."""
    return np.asarray(array[row], np.float64).tolist()
