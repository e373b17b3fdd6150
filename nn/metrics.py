"""How good predictions are: plain arrays in, plain numbers out, under scikit-learn's names.

Every function takes (y, predicted), a row an example. Those that count right and wrong answers
understand what models put out, and what they were trained on:

- one score an example, (n,) or (n, 1), against labels 0 and 1: a score of at least `threshold` is
  a yes (0.5 suits probabilities; logits need 0.0);
- k scores an example, (n, k), against class numbers, (n,) or (n, 1), or one-hot rows, (n, k): the
  largest score is the answer, the first of equal ones;
- class numbers, (n,) or (n, 1), such as an argmax, against class numbers or one-hot rows: whole
  numbers of an integer type, or any whole numbers where the labels are not all 0 and 1.

They raise ValueError for different lengths, no rows, NaN and inf, and labels that are no classes,
and TypeError for what is not numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Average: TypeAlias = Literal["binary", "macro", "micro", "weighted"]


# --- of classes -----------------------------------------------------------------------------


def accuracy(y: Any, predicted: Any, threshold: float = 0.5) -> float:
    """Return the share of the answers that are right, between 0 and 1.

    >>> accuracy([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2])
    0.5
    >>> accuracy([2, 0], [[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]])
    1.0
    """
    counts, _ = _counted(y, predicted, threshold)
    return float(counts.trace() / counts.sum())


def confusion_matrix(
    y: Any,
    predicted: Any,
    *,
    threshold: float = 0.5,
    normalize: Literal["true", "pred", "all"] | None = None,
) -> Array:
    """Return how often each class (a row) was taken for each class (a column).

    There is a row for each of k outputs, two for labels 0 and 1, and else one for every number in
    y or `predicted`, in order. `normalize` divides by the sum of the row ("true"), of the column
    ("pred") or of all; a row or column of no counts stays 0. Raises ValueError for another.

    >>> confusion_matrix([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2]).tolist()
    [[1, 1], [1, 1]]
    >>> confusion_matrix([0, 0, 2], [0, 2, 2]).tolist()
    [[1, 1], [0, 1]]
    """
    counts, _ = _counted(y, predicted, threshold)
    if normalize is None:
        return counts
    if normalize not in ("true", "pred", "all"):
        raise ValueError(f'normalize is "true", "pred", "all" or None, not {normalize!r}')
    axis = {"true": 1, "pred": 0, "all": None}[normalize]
    return _ratio(counts, counts.sum(axis=axis, keepdims=True), 0.0)


def precision(
    y: Any,
    predicted: Any,
    *,
    average: Average | None = "binary",
    threshold: float = 0.5,
    zero_division: float = 0.0,
) -> Any:
    """Return the share of the yes answers that are right: true / (true + false positives).

    `average` "binary" is that of class 1; None gives an array with a number a class, in the order
    of `confusion_matrix`. The others are one number: "macro" the mean over the classes that occur
    in y or among the answers, "weighted" that with their counts in y for weights, "micro" that of
    all counts together, which is the accuracy. 0 / 0 is `zero_division`: 0.0, 1.0, or nan, which
    leaves the class out of a mean; no warning is given. Also raises ValueError where "binary" is
    asked of other classes than two.

    >>> precision([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2])
    0.5
    """
    return _averaged("precision", y, predicted, average, threshold, zero_division)


def recall(
    y: Any,
    predicted: Any,
    *,
    average: Average | None = "binary",
    threshold: float = 0.5,
    zero_division: float = 0.0,
) -> Any:
    """Return the share of the ones that were found: true positives / (those + false negatives).

    The arguments, and what is raised, are those of `precision`.

    >>> recall([2, 0, 2, 1], [2, 0, 0, 1], average=None).tolist()
    [1.0, 1.0, 0.5]
    """
    return _averaged("recall", y, predicted, average, threshold, zero_division)


def f1(
    y: Any,
    predicted: Any,
    *,
    average: Average | None = "binary",
    threshold: float = 0.5,
    zero_division: float = 0.0,
) -> Any:
    """Return the harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn).

    The arguments, and what is raised, are those of `precision`; 0 / 0 is a class that occurs
    neither in y nor among the answers.

    >>> f1([1, 1, 0], [1, 0, 0])
    0.6666666666666666
    """
    return _averaged("f1", y, predicted, average, threshold, zero_division)


def multilabel_accuracy(
    y: Any,
    predicted: Any,
    *,
    threshold: float = 0.5,
    average: Literal["subset", "macro"] | None = "subset",
) -> Any:
    """Return how often labels are right of which an example may have any number: y is (n, k) of 0
    and 1, and `predicted` has a score for each.

    `average` "subset" is the share of the rows in which all k are right, "macro" that of all labels
    (1 less the Hamming loss), and None an array with the share of each label. Also raises
    ValueError for labels other than 0 and 1, and another average.

    >>> y, scores = [[1, 0], [1, 1], [0, 0]], [[0.9, 0.2], [0.7, 0.4], [0.6, 0.1]]
    >>> multilabel_accuracy(y, scores)
    0.3333333333333333
    >>> multilabel_accuracy(y, scores, average=None).round(2).tolist()
    [0.67, 0.67]
    """
    truth, guess = _columns(y, predicted)
    _check_labels(truth)
    right = truth == (guess >= threshold)
    if average == "subset":
        return float(right.all(axis=1).mean())
    if average not in ("macro", None):
        raise ValueError(f'average is "subset", "macro" or None, not {average!r}')
    return right.mean(axis=0) if average is None else float(right.mean())


def roc_auc(
    y: Any, predicted: Any, *, average: Literal["macro", "micro", "weighted"] | None = "macro"
) -> Any:
    """Return the area under the ROC curve: the share of pairs of a yes and a no in which the yes
    has the higher score, equal scores counting half.

    Of k scores an example it is that of each class against the rest (or of each label, where y has
    any number of ones in a row), and `average` says what is made of them: "macro" the mean,
    "weighted" by the counts of the classes in y, "micro" the area of all scores together, None an
    array. Scores of classes are compared between rows: let them be probabilities, since what a
    softmax makes of logits depends on the row. Where y has no yes or no no, the area is nan, and
    with it the mean, as in scikit-learn, but without a warning. Also raises ValueError for labels
    other than 0 and 1 where there is one score, and another average.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    >>> scores = [[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.4, 0.5, 0.1]]
    >>> roc_auc([0, 1, 2], scores, average=None).tolist()
    [1.0, 0.75, 0.25]
    """
    truth, guess = _pair(y, predicted)
    guess = guess.reshape(len(guess), -1)
    k = guess.shape[1]
    truth = truth.reshape(len(truth), -1)
    if truth.shape[1] == 1 and k > 1:
        numbers = _class_numbers(truth.ravel(), "y")
        _check_range(numbers, k, "y")
        truth = np.eye(k)[numbers]
    truth, guess = _columns(truth, guess)
    _check_labels(truth)
    if average == "micro":
        return _area(truth.ravel(), guess.ravel())
    if average not in ("macro", "weighted", None):
        raise ValueError(f'average is "macro", "micro", "weighted" or None, not {average!r}')
    each = np.array([_area(*columns) for columns in zip(truth.T, guess.T, strict=True)])
    if average is None:
        return each
    there = truth.sum(axis=0)
    if average == "macro" or not there.any():
        return float(each.mean())
    return float(np.average(each[there > 0], weights=there[there > 0]))


@dataclass(frozen=True)
class Confusion:
    """How often a yes-or-no prediction was right and wrong, in both ways.

    >>> Confusion.of([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2])
    Confusion(true_positives=1, false_positives=1, true_negatives=1, false_negatives=1)
    """

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @classmethod
    def of(cls, y: Any, predicted: Any, threshold: float = 0.5) -> Confusion:
        """Count as `confusion_matrix` does; also raises ValueError where the classes aren't two."""
        counts, classes = _counted(y, predicted, threshold)
        if classes.tolist() != [0, 1]:
            raise ValueError(
                f"yes or no is 1 or 0, not {_listed(classes)}; confusion_matrix counts any classes"
            )
        (tn, fp), (fn, tp) = counts.tolist()
        return cls(tp, fp, tn, fn)

    @property
    def accuracy(self) -> float:
        """The share that was right, between 0 and 1."""
        right = self.true_positives + self.true_negatives
        return right / (right + self.false_positives + self.false_negatives)


# --- of numbers -----------------------------------------------------------------------------


def mean_squared_error(y: Any, predicted: Any) -> float:
    """Return the mean of the squared differences, over all rows and columns.

    Both have the shape (n,) or (n, k); (n,) goes with (n, 1). Raises as the other functions do.

    >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    truth, guess = _columns(y, predicted)
    return float(np.mean((truth - guess) ** 2))


def r2(y: Any, predicted: Any) -> float:
    """Return the coefficient of determination: 1 is perfect, 0 no better than the mean of y.

    It is 1 minus the squared errors over the squared distances of y from its mean; of several
    columns the mean of theirs. Where y is constant it is 1.0 if all is right, else 0.0, and of one
    row nan, as in scikit-learn, but without a warning. Shapes are as for `mean_squared_error`.

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    0.5
    """
    truth, guess = _columns(y, predicted)
    if len(truth) < 2:
        return float("nan")
    errors = np.sum((truth - guess) ** 2, axis=0)
    spread = np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)
    explained = 1.0 - _ratio(errors, spread, 1.0)
    return float(np.mean(np.where((errors == 0.0) & (spread == 0.0), 1.0, explained)))


def _columns(y: Any, predicted: Any) -> tuple[Array, Array]:
    """Both as (n, k) in float64."""
    truth, guess = _pair(y, predicted)
    truth, guess = (array.reshape(len(array), -1).astype(np.float64) for array in (truth, guess))
    if truth.shape != guess.shape:
        raise ValueError(f"y has {truth.shape[1]} columns, and predicted {guess.shape[1]}")
    return truth, guess


# --- counting -------------------------------------------------------------------------------


def _pair(y: Any, predicted: Any) -> tuple[Array, Array]:
    """Both as arrays of as many rows, finite numbers, in one or two dimensions."""
    try:
        truth, guess = np.asarray(y), np.asarray(predicted)
    except ValueError as error:
        raise ValueError(f"y and predicted need rows of one length each: {error}") from None
    for name, array in (("y", truth), ("predicted", guess)):
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must be numbers, not {array.dtype}")
        if array.ndim not in (1, 2):
            raise ValueError(f"{name} has the shape (n,) or (n, k), not {array.shape}")
        if not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0]
            raise ValueError(f"{name} has {array[tuple(where)]} in row {where[0]}")
    if len(truth) != len(guess):
        raise ValueError(f"{truth.shape} labels against {guess.shape} predictions")
    if truth.size == 0 or guess.size == 0:
        raise ValueError("there are no predictions")
    return truth, guess


def _counted(y: Any, predicted: Any, threshold: float) -> tuple[Array, Array]:
    """The confusion matrix, and the class numbers of its rows and columns."""
    truth, guess = _pair(y, predicted)
    outputs = [array.shape[1] for array in (truth, guess) if array.ndim == 2 and array.shape[1] > 1]
    if len(set(outputs)) > 1:
        raise ValueError(f"{truth.shape} labels against {guess.shape} predictions")
    if guess.ndim == 2 and guess.shape[1] > 1:
        guess = guess.argmax(axis=1)
    if truth.ndim == 2 and truth.shape[1] > 1:
        truth = _from_one_hot(truth)
    truth, guess = truth.ravel(), guess.ravel()
    if not outputs and guess.dtype.kind == "f" and np.isin(truth, (0, 1)).all():
        guess = guess >= threshold
    truth, guess = _class_numbers(truth, "y"), _class_numbers(guess, "predicted")
    if outputs:
        classes = np.arange(outputs[0])
        _check_range(truth, outputs[0], "y")
        _check_range(guess, outputs[0], "predicted")
    else:
        classes = np.union1d(truth, guess)
        if np.isin(classes, (0, 1)).all():
            classes = np.arange(2)
    k = len(classes)
    places = k * np.searchsorted(classes, truth) + np.searchsorted(classes, guess)
    return np.bincount(places, minlength=k * k).reshape(k, k), classes


def _from_one_hot(y: Array) -> Array:
    wrong = ~(np.isin(y, (0, 1)).all(axis=1) & (y.sum(axis=1) == 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"row {row} of y is {y[row].tolist()}, which is not one-hot")
    return np.asarray(y.argmax(axis=1))


def _class_numbers(array: Array, name: str) -> Array:
    wrong = array != np.floor(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        hint = "" if name == "y" else "; scores go with labels 0 and 1, or k in a row"
        raise ValueError(f"row {row} of {name} is {array[row]:g}, which is no class number{hint}")
    return array.astype(np.int64)


def _check_labels(truth: Array) -> None:
    wrong = ~np.isin(truth, (0, 1)).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"row {row} of y is {truth[row].tolist()}; labels are 0 or 1 here")


def _area(truth: Array, scores: Array) -> float:
    """The area under the ROC curve, by the ranks of the scores; equal ones have a mean rank."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[places]
    yes = truth == 1.0
    pairs = yes.sum() * (~yes).sum()
    above = ranks[yes].sum() - yes.sum() * (yes.sum() + 1) / 2.0
    return float(above / pairs) if pairs else float("nan")


def _check_range(numbers: Array, k: int, name: str) -> None:
    wrong = (numbers < 0) | (numbers >= k)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"row {row} of {name} is {numbers[row]}; with {k} outputs the classes are 0 to {k - 1}"
        )


def _listed(classes: Array) -> str:
    numbers = ", ".join(str(number) for number in classes[:10])
    return numbers if len(classes) <= 10 else f"{numbers}, … ({len(classes)} classes)"


def _ratio(above: Array, below: Array, zero_division: float) -> Array:
    above, below = np.broadcast_arrays(above, below)
    out = np.full(above.shape, zero_division, dtype=np.float64)
    np.divide(above, below, out=out, where=below != 0)
    return out


def _averaged(
    score: Literal["precision", "recall", "f1"],
    y: Any,
    predicted: Any,
    average: Average | None,
    threshold: float,
    zero_division: float,
) -> float | Array:
    counts, classes = _counted(y, predicted, threshold)
    right, said, there = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    above, below = {
        "precision": (right, said),
        "recall": (right, there),
        "f1": (2 * right, said + there),
    }[score]
    if not (zero_division in (0.0, 1.0) or zero_division != zero_division):
        raise ValueError(f"zero_division is 0.0, 1.0 or nan, not {zero_division!r}")
    if average == "micro":
        return float(_ratio(above.sum(), below.sum(), zero_division))
    each = _ratio(above, below, zero_division)
    if average is None:
        return each
    if average == "binary":
        if len(classes) != 2 or 1 not in classes:
            raise ValueError(
                f'average="binary" is for class 1 of two, not for {_listed(classes)}; take '
                '"macro", "micro", "weighted" or None'
            )
        return float(each[classes == 1][0])
    if average not in ("macro", "weighted"):
        raise ValueError(
            f'average is "binary", "macro", "micro", "weighted" or None, not {average!r}'
        )
    counted = (said + there > 0) & ~np.isnan(each)
    if not counted.any():
        return float("nan")
    weights = there[counted] if average == "weighted" else np.ones(int(counted.sum()))
    if weights.sum() == 0:  # as scikit-learn: then all weigh the same
        weights = np.ones(len(weights))
    return float(np.average(each[counted], weights=weights))
