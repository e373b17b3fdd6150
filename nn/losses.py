"""Losses, with PyTorch's names, reductions and edge behaviour.

A loss says its terms for one example; `loss(input, target)` reduces them: their mean, their sum,
or the terms themselves in the structure of the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np

import engine
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
        """Return the loss of one output number and its target. A loss defines this; else it raises
        TypeError."""
        raise TypeError(f"{type(self).__name__} defines no term")

    def terms(self, output: Any, target: Any) -> tuple[list[Any], list[Any]]:
        """Return the terms of one example, and their weights in the mean."""
        pairs = list(_flat(self.weighed(_lists(output), _lists(target))))
        return [term for term, _ in pairs], [weight for _, weight in pairs]

    def weighed(self, output: Any, target: Any) -> Any:
        """Return each term with its weight in the mean, a pair, in nested lists as the output's.

        Raises ValueError where the two have different shapes.
        """
        if not isinstance(output, list):
            if isinstance(target, list):
                raise ValueError(f"the output is one number, the target a list of {len(target)}")
            return self.term(output, target), 1.0
        return self.each(output, target)

    def each(self, output: Any, target: Any) -> list[Any]:
        """Return `weighed` of each entry. Raises ValueError where there are not as many."""
        check_length(output, target)
        return [self.weighed(y, t) for y, t in zip(output, target, strict=True)]

    def __call__(self, input: Any, target: Any) -> Any:
        """Return the loss of an input and its target."""
        with engine.scope(type(self).__name__):
            if self.reduction == "none":
                return _terms_of(self.weighed(_lists(input), _lists(target)))
            terms, weights = self.terms(input, target)
            if not terms:
                raise ValueError("there is nothing to compare: the input is empty")
            total = engine.sum(terms)
            return engine.div(total, engine.sum(weights)) if self.reduction == "mean" else total

    def extra_repr(self) -> str:
        """Return nothing, as PyTorch does."""
        return ""


class MSELoss(Loss):
    """(y - t)²: the mean squared error.

    >>> MSELoss()([engine.Value(1.0), engine.Value(3.0)], [0.0, 0.0])
    Value(data=5.0, grad=0.0)
    """

    def term(self, y: Any, t: Any) -> Any:
        """Return (y - t)²."""
        return engine.square(y - t)


class L1Loss(Loss):
    """|y - t|: the mean absolute error.

    >>> L1Loss()([1.0, 3.0], [0.0, 4.0])
    1.0
    """

    def term(self, y: Any, t: Any) -> Any:
        """Return |y - t|."""
        return engine.abs(y - t)


class HuberLoss(Loss):
    """(y - t)² / 2 up to a distance of `delta`, and beyond it linear (Huber 1964).

    Raises ValueError for a delta that is not above 0.

    >>> HuberLoss("none")([1.0, 3.0], [0.0, 0.0])
    [0.5, 2.5]
    """

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not delta > 0.0:
            raise ValueError(f"HuberLoss needs a delta above 0, not {delta!r}")
        self.delta = delta

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one number."""
        distance = engine.abs(y - t)
        near = 0.5 * engine.square(distance)
        far = self.delta * (distance - 0.5 * self.delta)
        return engine.where(distance < self.delta, near, far)


class HingeLoss(Loss):
    """max(0, 1 - t y): what a score y lacks to be on the side of its label t, -1 or 1, by 1.

    It is the max-margin loss of micrograd's demo.

    >>> HingeLoss("none")([0.5, 0.5, 2.0], [1.0, -1.0, 1.0])
    [0.5, 1.5, 0.0]
    """

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one score."""
        return engine.relu(1.0 - t * y)


class BCELoss(Loss):
    """-(t log y + (1 - t) log(1 - y)): the binary cross-entropy of a probability y.

    The logarithms are at least -100, so that a wrong prediction of exactly 0 or 1 costs 100.
    Raises ValueError for a y or t outside [0, 1].

    >>> BCELoss()([1.0, 0.0], [1.0, 1.0])
    50.0
    """

    def term(self, y: Any, t: Any) -> Any:
        """Return the cross-entropy of one probability and its target.

        Raises ValueError where one of them is not from 0 to 1.
        """
        for name, number in (("the input", y), ("the target", t)):
            if number != number:
                raise ValueError(f"BCELoss takes probabilities, and {name} is nan")
            if not 0.0 <= number <= 1.0:
                raise ValueError(
                    f"BCELoss takes probabilities, and {name} is {number}; is a Sigmoid missing?"
                )
        return engine.binary_cross_entropy(y, t)


class BCEWithLogitsLoss(Loss):
    """The binary cross-entropy of sigmoid(y), exact where the sigmoid has come to 0 or 1.

    `pos_weight` multiplies the loss of the label 1: a number (or a list of one), or a list with one
    for each entry of the last dimension.

    Raises ValueError where `pos_weight` has another length.

    >>> f"{BCEWithLogitsLoss()([0.0, 100.0], [1.0, 1.0]):.4f}"
    '0.3466'
    """

    def __init__(self, reduction: Reduction = "mean", *, pos_weight: Any = 1.0) -> None:
        super().__init__(reduction)
        self.pos_weight = _lists(pos_weight)
        if isinstance(self.pos_weight, list) and len(self.pos_weight) == 1:
            self.pos_weight = self.pos_weight[0]

    def term(self, y: Any, t: Any, pos_weight: Any = None) -> Any:
        """Return the cross-entropy of one logit and its target.

        Raises ValueError where `pos_weight` is a list.
        """
        pos_weight = self.pos_weight if pos_weight is None else pos_weight
        if isinstance(pos_weight, list):
            raise ValueError(f"the output is one number, pos_weight a list of {len(pos_weight)}")
        weight = 1.0 + (pos_weight - 1.0) * t
        return (1.0 - t) * y - weight * engine.log_sigmoid(y)

    def each(self, output: Any, target: Any) -> list[Any]:
        """Return the terms and weights; each entry of a list has its own `pos_weight`.

        Raises ValueError where there are not as many of all three.
        """
        if not isinstance(self.pos_weight, list) or (output and isinstance(output[0], list)):
            return super().each(output, target)
        check_length(output, target)
        if len(self.pos_weight) != len(output):
            raise ValueError(
                f"the output has {len(output)} numbers here, pos_weight {len(self.pos_weight)}"
            )
        triples = zip(output, target, self.pos_weight, strict=True)
        return [(self.term(y, t, p), 1.0) for y, t, p in triples]


def check_length(output: list[Any], target: Any) -> None:
    """Raise ValueError unless the target is a list of as many entries as the output."""
    if not isinstance(target, list) or len(output) != len(target):
        what = f"{len(target)}" if isinstance(target, list) else f"one number, {target!r}"
        if len(output) == 1 and not isinstance(target, list):
            what += "; if each row of y is one number, use y.reshape(-1, 1)"
        raise ValueError(f"the output has {len(output)} numbers here, the target {what}")


def _lists(item: Any) -> Any:
    """The same with lists in place of arrays and tuples."""
    if isinstance(item, np.ndarray):
        return item.tolist()
    return [_lists(part) for part in item] if isinstance(item, list | tuple) else item


def _flat(nested: Any) -> Iterator[Any]:
    """What nested lists hold, in order."""
    if isinstance(nested, list):
        for part in nested:
            yield from _flat(part)
    else:
        yield nested


def _terms_of(weighed: Any) -> Any:
    """The terms alone, in the same nested lists."""
    return [_terms_of(part) for part in weighed] if isinstance(weighed, list) else weighed[0]
