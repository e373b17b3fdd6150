"""Losses, with PyTorch's names, reductions and edge behaviour.

A loss says its terms for one example; `loss(input, target)` reduces them: their mean, their sum,
or the terms themselves in the structure of the input.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

import engine
from engine import Value
from nn.module import Module

Reduction: TypeAlias = Literal["mean", "sum", "none"]


class Loss(Module):
    """The base of losses that compare an output and a target number by number.

    `reduction` is "mean" (over all numbers), "sum", or "none". Called with an input and a target
    of the same structure: numbers, Values, nested lists or arrays of them, a batch too.

    Raises ValueError where the two have different shapes.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
        self.reduction = reduction

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one output number and its target. A loss defines this."""
        raise TypeError(f"{type(self).__name__} defines no term")

    def terms(self, output: Any, target: Any) -> tuple[list[Any], list[float]]:
        """Return the terms of one example, and their weights in the mean."""
        terms = [self.term(y, t) for y, t in _pairs(output, target)]
        return terms, [1.0] * len(terms)

    def __call__(self, input: Any, target: Any) -> Any:
        """Return the loss of an input and its target."""
        input, target = _lists(input), _lists(target)
        with engine.scope(type(self).__name__):
            if self.reduction == "none":
                return self._structured(input, target)
            terms, weights = self.terms(input, target)
            if not terms:
                raise ValueError("there is nothing to compare: the input is empty")
            total = engine.sum(terms)
            return total / sum(weights) if self.reduction == "mean" else total

    def _structured(self, input: Any, target: Any) -> Any:
        if not isinstance(input, list):
            return engine.sum(self.terms(input, target)[0])
        _same_length(input, target)
        return [self._structured(y, t) for y, t in zip(input, target, strict=True)]

    def extra_repr(self) -> str:
        """Return nothing, as PyTorch does."""
        return ""


class MSELoss(Loss):
    """(y - t)²: the mean squared error.

    >>> MSELoss()([Value(1.0), Value(3.0)], [0.0, 0.0])
    Value(data=5.0, grad=0.0)
    """

    def term(self, y: Any, t: Any) -> Any:
        """Return (y - t)²."""
        return engine.square(y - t)


class BCELoss(Loss):
    """-(t log y + (1 - t) log(1 - y)): the binary cross-entropy of a probability y.

    The logarithms are at least -100, so that a wrong prediction of exactly 0 or 1 costs 100.
    Raises ValueError for a y or t outside [0, 1].

    >>> BCELoss()([1.0, 0.0], [1.0, 1.0])
    50.0
    """

    def term(self, y: Any, t: Any) -> Any:
        """Return the cross-entropy of one probability and its target."""
        for name, number in (("the input", y), ("the target", t)):
            if number != number:
                raise ValueError(f"BCELoss takes probabilities, and {name} is nan")
            if not 0.0 <= number <= 1.0:
                raise ValueError(
                    f"BCELoss takes probabilities, and {name} is {number}; is a Sigmoid missing?"
                )
        return engine.binary_cross_entropy(y, t)


def _lists(item: Any) -> Any:
    """The same with lists in place of arrays and tuples."""
    if isinstance(item, np.ndarray):
        return item.tolist()
    return [_lists(part) for part in item] if isinstance(item, list | tuple) else item


def _same_length(output: Any, target: Any) -> None:
    if not isinstance(target, list) or len(output) != len(target):
        what = f"{len(target)}" if isinstance(target, list) else f"one number, {target!r}"
        raise ValueError(f"the output has {len(output)} numbers here, the target {what}")


def _pairs(output: Any, target: Any) -> list[tuple[Value | float, Value | float]]:
    """Each number of an output with its target; raises ValueError where the shapes differ."""
    if not isinstance(output, list):
        if isinstance(target, list):
            raise ValueError(f"the output is one number, the target a list of {len(target)}")
        return [(output, target)]
    _same_length(output, target)
    return [pair for y, t in zip(output, target, strict=True) for pair in _pairs(y, t)]
