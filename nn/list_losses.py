"""Losses whose terms are of lists of numbers each: the scores of all classes at once.

The classes are always the last dimension: an output is (C,) for one example, (T, C) for a sequence
or a batch, and so on. Beyond two dimensions PyTorch has the classes second instead.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from typing import Any

import engine
from engine.errors import check_number
from nn.layers import counted_from_0
from nn.losses import Loss, Reduction, check_length, parts_of


class ClassLoss(Loss):
    """The base of losses of the scores of C classes: a subclass defines `of_one`.

    `weight` has a number a class. Raises TypeError where it is a reduction.
    """

    def __init__(self, weight: Any = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        if isinstance(weight, str):
            raise TypeError(f"weight is a list with a number a class; write reduction={weight!r}")
        if weight is not None and not hasattr(weight, "__iter__"):
            raise TypeError(f"weight is a list with a number a class, not {weight!r}")
        weights = [] if weight is None else list(weight)
        for w in weights:
            check_number("a class's weight", w)
        self.weight = None if weight is None else [float(w) for w in weights]

    def weighed(self, output: Any, target: Any) -> Any:
        """Return the terms and weights, one pair for each list of classes.

        Raises ValueError where shapes do not fit.
        """
        shape = _shape(output)
        if 0 in shape or not shape:
            raise ValueError(f"the output has the shape {shape}, and there are no classes in it")
        wanted = self.target_shapes(shape)
        if _shape(target) not in wanted:
            raise ValueError(
                f"{type(self).__name__} of an output of shape {shape} takes a target of shape "
                f"{' or '.join(map(str, wanted))}, not {_shape(target)}"
            )
        if len(shape) > 1:
            return self.each(output, target)
        if self.weight is not None and len(self.weight) != len(output):
            raise ValueError(f"the output has {len(output)} classes, weight {len(self.weight)}")
        return self.of_one(output, target)

    def target_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shapes that a target may have for an output of this shape."""
        return [shape[:-1]]

    def of_one(self, scores: list[Any], t: Any) -> tuple[Any, Any]:
        """Return the term of one list of scores, and its weight. Raises TypeError in a class that
        does not define it."""
        raise TypeError(f"{type(self).__name__} defines no of_one")

    def _weight_of(self, index: Any) -> Any:
        return 1.0 if self.weight is None else engine.take(self.weight, index)


class NLLLoss(ClassLoss):
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
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def of_one(self, scores: list[Any], t: Any) -> tuple[Any, Any]:
        """Return the term of one list of logarithms of probabilities, and its weight."""
        ignored = t == self.ignore_index
        index = engine.where(ignored, 0.0, t)
        index = counted_from_0(index, len(scores), "class", "classes")
        weight = self._weight_of(index)
        term = -weight * engine.take(scores, index)
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
        check_number("label_smoothing", label_smoothing)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing is between 0 and 1, not {label_smoothing!r}")
        self.label_smoothing = label_smoothing

    def target_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shapes of classes, and of probabilities."""
        return [shape[:-1], shape]

    def of_one(self, scores: list[Any], t: Any) -> tuple[Any, Any]:
        """Return the term of one list of scores, and its weight."""
        log_probs = engine.log_softmax(scores)
        weighted = log_probs
        if self.weight is not None:
            weighted = [w * x for w, x in zip(self.weight, log_probs, strict=True)]
        share = self.label_smoothing / len(scores)
        if isinstance(t, list):
            smoothed = [(1.0 - self.label_smoothing) * p + share for p in t]
            return -engine.dot(smoothed, weighted), 1.0
        term, weight = super().of_one(log_probs, t)
        if self.label_smoothing != 0.0:
            spread = engine.where(t == self.ignore_index, 0.0, -share * engine.sum(weighted))
            term = (1.0 - self.label_smoothing) * term + spread
        return term, weight


class MultiMarginLoss(ClassLoss):
    """Σ weight[t] * max(0, margin - x[t] + x[j])**p / C over all classes j but the right one, t.

    `p` is 1 or 2, and `weight` has a number a class; the mean is over all terms. The input and the
    target are as for `NLLLoss`, scores instead of probabilities, and none is ignored.

    Raises ValueError where shapes do not fit, and for another p; IndexError for a class out of
    range.

    >>> MultiMarginLoss()([0.5, 0.25, 1.0, 0.0], 2)
    0.1875
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss has a p of 1 or 2, not {p!r}")
        self.p, self.margin = p, margin

    def of_one(self, scores: list[Any], t: Any) -> tuple[Any, Any]:
        """Return the term of one list of scores; its weight in the mean is 1."""
        index = counted_from_0(t, len(scores), "class", "classes")
        right = engine.take(scores, index)
        short = [engine.relu(self.margin - right + x) ** self.p for x in scores]
        others = [engine.where(index == j, 0.0, x) for j, x in enumerate(short)]
        return self._weight_of(index) * engine.sum(others) / len(scores), 1.0


class MultiLabelMarginLoss(ClassLoss):
    """Σ max(0, 1 - x[t] + x[j]) / C over all labels t, and all classes j that are no label.

    The target has the input's shape, (C,) or (T, C): the classes that are labels, and -1 after the
    last of them.

    Raises ValueError where shapes do not fit, IndexError for a class out of range.

    >>> MultiLabelMarginLoss()([0.0, 0.5, 0.25, 1.0], [3, 0, -1, -1])
    0.875
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__(None, reduction)

    def target_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shape of the output."""
        return [shape]

    def of_one(self, scores: list[Any], t: Any) -> tuple[Any, Any]:
        """Return the term of one list of scores; its weight in the mean is 1."""
        goes_on = list(itertools.accumulate([label != -1 for label in t], operator.and_))
        indices = [
            counted_from_0(engine.where(there, label, 0.0), len(scores), "class", "classes")
            for there, label in zip(goes_on, t, strict=True)
        ]
        labels = list(zip(goes_on, indices, strict=True))
        terms = []
        for j, x in enumerate(scores):
            is_label = functools.reduce(operator.or_, [there & (i == j) for there, i in labels])
            short = [
                engine.where(there, engine.relu(1.0 - engine.take(scores, i) + x), 0.0)
                for there, i in labels
            ]
            terms.append(engine.where(is_label, 0.0, engine.sum(short)))
        return engine.sum(terms) / len(scores), 1.0


class TripletMarginLoss(Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), of distances of lists.

    d is the `p`-norm of the differences, to each of which `eps` is added; with `swap` the negative
    may be nearer to the positive than to the anchor, and then that distance counts (Balntas et al.
    2016). Called (anchor, positive, negative): lists of numbers, or lists of such lists.

    In `nn.fit` the model returns the three, and the target is not looked at: with rows of X that
    have three examples each, (n, 3, k), and layers of k numbers,

        def forward(self, x):
            return [self.layers(example) for example in x]

        nn.fit(model, X, np.zeros(len(X)), loss=nn.TripletMarginLoss(), …)

    Raises ValueError for a margin or a p that is not above 0, and for lists of different lengths.

    >>> loss = TripletMarginLoss(margin=2.0)
    >>> f"{loss([0.0, 0.0], [0.0, 1.0], [2.0, 0.0]):.4f}"
    '1.0000'
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        for name, number in (("margin", margin), ("p", p)):
            if not number > 0.0:
                raise ValueError(f"TripletMarginLoss needs a {name} above 0, not {number!r}")
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def __call__(self, anchor: Any, positive: Any, negative: Any) -> Any:  # type: ignore[override]
        """Return the loss of three inputs."""
        return super().__call__([anchor, positive, negative], None)

    def weighed(self, output: Any, target: Any) -> Any:
        """Return the terms and weights, one pair for each triple of lists."""
        three = parts_of(output, "anchor, positive, negative")
        if len({_shape(part) for part in three}) > 1 or 0 in (_shape(three[0]) or [0]):
            shapes = ", ".join(str(_shape(part)) for part in three)
            raise ValueError(
                f"anchor, positive and negative are lists of numbers of one shape, not {shapes}"
            )
        if isinstance(three[0][0], list):
            return [self.weighed(list(triple), target) for triple in zip(*three, strict=True)]
        return self.term(three, target), 1.0

    def term(self, y: Any, t: Any) -> Any:
        """Return the loss of one triple of lists."""
        anchor, positive, negative = y
        far = self._distance(anchor, negative)
        if self.swap:
            far = engine.minimum(far, self._distance(positive, negative))
        return engine.clamp_min(self.margin + self._distance(anchor, positive) - far, 0.0)

    def _distance(self, a: list[Any], b: list[Any]) -> Any:
        sizes = [engine.abs(x - y + self.eps) for x, y in zip(a, b, strict=True)]
        if self.p == math.inf:
            return engine.maximum(sizes)
        total = engine.sum(size**self.p for size in sizes)
        return engine.where(total == 0.0, 0.0, total ** (1.0 / self.p))


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
        x1, x2 = parts_of(output, "x1, x2")
        if not isinstance(target, list):
            if {len(_shape(x1)), len(_shape(x2))} != {1}:
                raise ValueError(
                    f"x1 and x2 are a list of numbers each for a label, not {_shape(x1)} and "
                    f"{_shape(x2)}"
                )
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
