"""Losses, with PyTorch's names, reductions and edge behaviour.

A loss says its terms for one example; `loss(input, target)` reduces them: their mean, their sum,
or the terms themselves in the structure of the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np

import engine
from engine.errors import one_of
from engine.trees import ENDLESS
from nn.module import Module

Reduction: TypeAlias = Literal["mean", "sum", "none"]


class Loss(Module):
    """The base of losses that compare an output and a target number by number, by their `term`.

    `reduction` is "mean" (over all numbers), "sum", or "none". Called with an input and a target
    of the same structure: numbers, Values, nested lists or arrays of them, a batch too.

    Raises ValueError where the two have different shapes.

    >>> class Quartic(Loss):
    ...     def term(self, y, t):
    ...         return (y - t) ** 4
    >>> Quartic()([1.0, 3.0], [0.0, 1.0])
    8.5
    """

    reduction: Reduction = "mean"

    def __init__(self, reduction: Reduction = "mean") -> None:
        one_of("reduction", reduction, "mean", "sum", "none")
        self.reduction = reduction

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one output number and its target. A loss defines this; else it raises
        TypeError."""
        raise TypeError(
            f"{type(self).__name__} defines no term; write\n"
            "    def term(self, y, t): return (y - t) ** 2"
        )

    def terms(self, output: Any, target: Any) -> tuple[list[Any], list[Any]]:
        """Return the terms of one example, and their weights in the mean.

        Raises TypeError for no output, for a dict of some, and for a tuple of some that are not
        alike.
        """
        if output is None:
            raise TypeError("the model returned None: its forward lacks a return")
        one = type(self).weighed is Loss.weighed  # others may be of several
        unlike = one and isinstance(output, tuple) and len({*map(_length, output)}) > 1
        if isinstance(output, dict) or unlike:
            raise TypeError(
                f"the model returns several outputs, a {type(output).__name__}, and "
                f"{type(self).__name__} is of one: return one of them in forward, or give as loss "
                "a function of (output, target) that returns one number"
            )
        pairs = list(_flat(self.weighed(_lists(output), _lists(target))))
        return [term for term, _ in pairs], [weight for _, weight in pairs]

    def weighed(self, output: Any, target: Any) -> Any:
        """Return each term with its weight in the mean, a pair, in nested lists as the output's.

        Raises ValueError where the two have different shapes.
        """
        if not isinstance(output, list):
            if isinstance(target, list):
                raise ValueError(
                    f"the output is one number, the target a list of {len(target)}: return a list "
                    "of it, [y], or give targets that are numbers"
                )
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


class SmoothL1Loss(Loss):
    """(y - t)² / (2 `beta`) up to a distance of `beta`, and beyond it |y - t| - beta / 2.

    It is the Huber loss over its delta; with a `beta` of 0 it is the L1 loss. Raises ValueError for
    a negative beta.

    >>> SmoothL1Loss("none", beta=2.0)([1.0, 3.0], [0.0, 0.0])
    [0.25, 2.0]
    """

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        if not beta >= 0.0:
            raise ValueError(f"SmoothL1Loss needs a beta of at least 0, not {beta!r}")
        self.beta = beta

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one number."""
        distance = engine.abs(y - t)
        if self.beta == 0.0:
            return distance
        near = 0.5 * engine.square(distance) / self.beta
        return engine.where(distance < self.beta, near, distance - 0.5 * self.beta)


class PoissonNLLLoss(Loss):
    """exp(y) - t y: the negative log-likelihood of a count t, the logarithm of whose mean is y.

    Without `log_input` y is the mean itself, and the loss y - t log(y + `eps`). With `full`,
    Stirling's approximation of log(t!) is added where t is above 1.

    >>> PoissonNLLLoss()([0.0, 0.0], [0.0, 3.0])
    1.0
    >>> f"{PoissonNLLLoss(log_input=False)([2.0], [3.0]):.4f}"
    '-0.0794'
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one number and its count."""
        loss = engine.exp(y) - t * y if self.log_input else y - t * engine.log(y + self.eps)
        if not self.full:
            return loss
        count = engine.maximum(t, 1.0)
        rest = count * engine.log(count) - count + 0.5 * engine.log(2.0 * math.pi * count)
        return loss + engine.where(t > 1.0, rest, 0.0)


class KLDivLoss(Loss):
    """t (log t - y): the Kullback-Leibler divergence of probabilities t from exp(y).

    The input is the logarithms of probabilities, from `LogSoftmax`; with `log_target` the target
    too. The `reduction` "batchmean" is the divergence as it is defined, a mean over examples of
    their sums: called, it divides the sum by the length of the input, and in `nn.fit` by the number
    of examples. "mean" divides by how many numbers each example has as well.

    >>> log_probs = [math.log(0.5), math.log(0.5)]
    >>> f"{KLDivLoss('batchmean')([log_probs], [[1.0, 0.0]]):.4f}"
    '0.6931'
    """

    def __init__(
        self, reduction: Reduction | Literal["batchmean"] = "mean", log_target: bool = False
    ) -> None:
        self.is_batchmean = reduction == "batchmean"
        super().__init__("mean" if reduction == "batchmean" else reduction)
        self.log_target = log_target

    def __call__(self, input: Any, target: Any) -> Any:
        """Return the loss of an input and its target."""
        loss = super().__call__(input, target)
        examples = len(input) if self.is_batchmean and hasattr(input, "__len__") else 1
        return engine.div(loss, examples) if examples > 1 else loss

    def terms(self, output: Any, target: Any) -> tuple[list[Any], list[Any]]:
        """Return the terms of one example, and their weights in the mean."""
        terms, weights = super().terms(output, target)
        return ([engine.sum(terms)], [1.0]) if self.is_batchmean else (terms, weights)

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one number and its target."""
        return engine.exp(t) * (t - y) if self.log_target else engine.xlogy(t, t) - t * y


class GaussianNLLLoss(Loss):
    """(log v + (y - t)² / v) / 2: the negative log-likelihood of t, of which a model says the mean
    y and the variance v.

    Called (input, target, var). `var` has the input's shape, or one number for each row of it, or
    is one number; below `eps` it counts as that, and its gradient is the one there. With `full`
    log(2π) / 2 is added. In `nn.fit` the model returns both, [mean, var], such as

        def forward(self, x):
            mean, spread = self.layers(x)
            return [mean, engine.exp(spread)]  # above 0

    for a y of shape (n,), or two lists for (n, k).

    Raises ValueError where shapes do not fit, and for a variance below 0.

    >>> GaussianNLLLoss()([1.0, 3.0], [0.0, 1.0], [1.0, 1.0])
    1.25
    """

    def __init__(
        self, *, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        if not eps > 0.0:
            raise ValueError(f"GaussianNLLLoss needs an eps above 0, not {eps!r}")
        self.full, self.eps = full, eps

    def __call__(self, input: Any, target: Any, var: Any) -> Any:  # type: ignore[override]
        """Return the loss of an input, its target, and the input's variance."""
        return super().__call__([input, var], target)

    def weighed(self, output: Any, target: Any) -> Any:
        """Return each term with its weight in the mean."""
        y, var = parts_of(output, "mean, var")
        if not isinstance(y, list):
            if isinstance(target, list) or isinstance(var, list):
                raise ValueError("the mean is one number, and the target or var is a list")
            return self.term([y, var], target), 1.0
        check_length(y, target)
        var = var if isinstance(var, list) else [var]
        if len(var) not in (1, len(y)):
            raise ValueError(f"the mean has {len(y)} numbers here, var {len(var)}")
        var = var * len(y) if len(var) == 1 else var
        return [self.weighed([a, v], t) for a, v, t in zip(y, var, target, strict=True)]

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of a mean and a variance, and a target.

        Raises ValueError for a variance below 0.
        """
        mean, var = y
        if var < 0.0:
            raise ValueError(f"a variance is at least 0, not {var}; let the model end with exp")
        var = engine.where(var < self.eps, self.eps + (var - engine.detach(var)), var)
        constant = 0.5 * math.log(2.0 * math.pi) if self.full else 0.0
        return 0.5 * (engine.log(var) + engine.square(mean - t) / var) + constant


class HingeLoss(Loss):
    """max(0, 1 - t y): what a score y lacks to be on the side of its label t, -1 or 1, by 1.

    It is the max-margin loss of micrograd's demo. Raises ValueError for other labels, such as 0.

    >>> HingeLoss("none")([0.5, 0.5, 2.0], [1.0, -1.0, 1.0])
    [0.5, 1.5, 0.0]
    """

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one score. Raises ValueError where the label is not -1 or 1."""
        if not t * t == 1.0:
            raise ValueError(
                f"HingeLoss takes labels -1 and 1, not {t:g}: of 0 and 1 make 2 * y - 1"
            )
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


def parts_of(output: Any, names: str) -> list[Any]:
    """Return what a loss of several takes from a model. Raises ValueError where it is not that."""
    count = names.count(",") + 1
    if not isinstance(output, list) or len(output) != count:
        what = f"one of {len(output)}" if isinstance(output, list) else "one number"
        raise ValueError(f"for this loss a model returns a list of {count}, [{names}], not {what}")
    return output


def _length(part: Any) -> int:
    return len(part) if isinstance(part, list | tuple) else -1


def check_length(output: list[Any], target: Any) -> None:
    """Raise ValueError unless the target is a list of as many entries as the output."""
    if not isinstance(target, list) or len(output) != len(target):
        what = f"{len(target)}" if isinstance(target, list) else f"one number, {target!r}"
        if len(output) == 1 and not isinstance(target, list):
            what += ", and not a list of it; use y.reshape(-1, 1), or [[t] for t in y]"
        numbers = "1 number" if len(output) == 1 else f"{len(output)} numbers"
        raise ValueError(f"the output has {numbers} here, the target {what}")


def _lists(item: Any) -> Any:
    """The same with lists in place of arrays and tuples."""
    if isinstance(item, np.ndarray):
        return item.tolist()
    try:
        return [_lists(part) for part in item] if isinstance(item, list | tuple) else item
    except RecursionError:
        raise ValueError(ENDLESS) from None


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
