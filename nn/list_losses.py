"""Losses whose terms are of lists of numbers each: the scores of all classes at once.

The classes are always the last dimension: an output is (C,) for one example, (T, C) for a sequence
or a batch, and so on. Beyond two dimensions PyTorch has the classes second instead.
"""

from __future__ import annotations

from typing import Any

import engine
from nn.layers import counted_from_0
from nn.losses import Loss, Reduction, check_length


class NLLLoss(Loss):
    """-weight[t] * log_probs[t]: the negative log-likelihood of the class t.

    The input is the logarithms of the probabilities of C classes, from `LogSoftmax`, the target a
    class from 0 to C - 1: shapes (C,) and (), (T, C) and (T,). `weight` has a number a class. Where
    the target is `ignore_index` the loss is 0. The mean is over the sum of the weights used, of all
    but what is ignored: nan where that is all.

    Raises ValueError where shapes do not fit, IndexError for a class out of range.

    >>> NLLLoss()([[-0.5, -1.0], [-0.25, -1.5]], [1, -100])
    1.0
    """

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        if isinstance(weight, str):
            raise TypeError(f"weight is a list with a number a class; write reduction={weight!r}")
        self.weight = None if weight is None else [float(w) for w in weight]
        self.ignore_index = ignore_index

    def weighed(self, output: Any, target: Any) -> Any:
        """Return the terms and weights, one pair for each list of classes.

        Raises ValueError where shapes do not fit.
        """
        shape = _shape(output)
        if 0 in shape or not shape:
            raise ValueError(f"the output has the shape {shape}, and there are no classes in it")
        wanted = self._target_shapes(shape)
        if _shape(target) not in wanted:
            raise ValueError(
                f"{type(self).__name__} of an output of shape {shape} takes a target of shape "
                f"{' or '.join(map(str, wanted))}, not {_shape(target)}"
            )
        if len(shape) > 1:
            return self.each(output, target)
        if self.weight is not None and len(self.weight) != len(output):
            raise ValueError(f"the output has {len(output)} classes, weight {len(self.weight)}")
        return self._of_one(output, target)

    def _target_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes that a target may have for an output of this shape."""
        return [shape[:-1]]

    def _of_one(self, log_probs: list[Any], t: Any) -> tuple[Any, Any]:
        ignored = t == self.ignore_index
        index = engine.where(ignored, 0.0, t)
        index = counted_from_0(index, len(log_probs), "class", "classes")
        weight = 1.0 if self.weight is None else engine.take(self.weight, index)
        term = -weight * engine.take(log_probs, index)
        return engine.where(ignored, 0.0, term), engine.where(ignored, 0.0, weight)


class CrossEntropyLoss(NLLLoss):
    """-weight[t] * log_softmax(scores)[t]: the cross-entropy of scores (logits) and a class.

    As `NLLLoss` of a `LogSoftmax`; or the target has a probability p for each class, and is of the
    output's shape: then a term is -Σ weight[c] * p[c] * log_softmax(scores)[c], and the mean is
    over all terms. With `label_smoothing` s every target counts as (1 - s) times itself and s / C
    for each of the C classes (Szegedy et al. 2016).

    Raises ValueError where shapes do not fit, IndexError for a class out of range.

    >>> scores = [engine.Value(0.0), engine.Value(0.0)]
    >>> f"{CrossEntropyLoss()(scores, 1):.4f}"
    '0.6931'
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index=ignore_index, reduction=reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing is between 0 and 1, not {label_smoothing!r}")
        self.label_smoothing = label_smoothing

    def _target_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [shape[:-1], shape]

    def _of_one(self, scores: list[Any], t: Any) -> tuple[Any, Any]:
        log_probs = engine.log_softmax(scores)
        weighted = log_probs
        if self.weight is not None:
            weighted = [w * x for w, x in zip(self.weight, log_probs, strict=True)]
        share = self.label_smoothing / len(scores)
        if isinstance(t, list):
            smoothed = [(1.0 - self.label_smoothing) * p + share for p in t]
            return -engine.dot(smoothed, weighted), 1.0
        term, weight = super()._of_one(log_probs, t)
        if self.label_smoothing != 0.0:
            spread = engine.where(t == self.ignore_index, 0.0, -share * engine.sum(weighted))
            term = (1.0 - self.label_smoothing) * term + spread
        return term, weight


class CosineEmbeddingLoss(Loss):
    """1 - cos(x1, x2) where the target is 1, and max(0, cos(x1, x2) - margin) where it is -1.

    Called (x1, x2, target): two lists of numbers and a label, or lists of such lists and of labels.
    In `nn.fit` the model returns both, [x1, x2].

    Raises ValueError where x1, x2 and the target have different lengths.

    >>> loss = CosineEmbeddingLoss(reduction="none")
    >>> loss([[1.0, 0.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]], [1, -1])
    [1.0, 0.0]
    """

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def __call__(self, x1: Any, x2: Any, target: Any) -> Any:  # type: ignore[override]
        """Return the loss of two inputs and their target."""
        return super().__call__([x1, x2], target)

    def weighed(self, output: Any, target: Any) -> Any:
        """Return the terms and weights, one pair for each pair of lists."""
        x1, x2 = output
        if not isinstance(target, list):
            return self.term(output, target), 1.0
        check_length(x1, target)
        check_length(x2, target)
        return [self.weighed([a, b], t) for a, b, t in zip(x1, x2, target, strict=True)]

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one pair of lists."""
        x1, x2 = y
        tiny = 9.999999960041972e-13  # 1e-12 in single precision, as PyTorch: zeros have a cosine
        squares = (engine.dot(x1, x1) + tiny) * (engine.dot(x2, x2) + tiny)
        cosine = engine.dot(x1, x2) / engine.sqrt(squares)
        apart = engine.where(t == -1, engine.clamp_min(cosine - self.margin, 0.0), 0.0)
        return engine.where(t == 1, 1.0 - cosine, apart)


def _shape(item: Any) -> tuple[int, ...]:
    """The lengths of nested lists, as their first entries say."""
    if not isinstance(item, list):
        return ()
    return (len(item), *(_shape(item[0]) if item else ()))
