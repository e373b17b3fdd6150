"""Metrics: what models put out is understood, and the figures are scikit-learn's."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
from nn import Confusion
from nn.data import one_hot
from nn.metrics import (
    accuracy,
    confusion_matrix,
    f1,
    mean_squared_error,
    multilabel_accuracy,
    precision,
    r2,
    recall,
    roc_auc,
)

SCORED: list[Callable[..., Any]] = [precision, recall, f1]


def in_sklearn(name: str, *args: Any, **options: Any) -> Any:
    """What scikit-learn's function says, without the warnings that ours doesn't give."""
    module = pytest.importorskip("sklearn.metrics")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(module, name)(*args, **options)


def three_classes(seed: int = 0) -> tuple[Any, Any]:
    """Class numbers and outputs, right for about the half."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 50)
    return y, rng.normal(size=(50, 3)) + one_hot(y)


def test_scores_are_cut_at_the_threshold_itself() -> None:
    y, scores = [1, 0, 1, 0], [0.5, 0.5, 0.49, 0.2]
    assert confusion_matrix(y, scores).tolist() == [[1, 1], [1, 1]]
    assert confusion_matrix(y, scores, threshold=0.49).tolist() == [[1, 1], [0, 2]]
    assert accuracy(y, scores, 0.49) == 0.75
    assert recall([1, 1, 0], [-0.3, 2.0, -4.0], threshold=0.0) == 0.5


@pytest.mark.parametrize("shape_y", [(4,), (4, 1)])
@pytest.mark.parametrize("shape_scores", [(4,), (4, 1)])
def test_a_column_is_as_good_as_a_row_of_numbers(shape_y: Any, shape_scores: Any) -> None:
    y = np.array([1.0, 0.0, 0.0, 1.0]).reshape(shape_y)
    scores = np.array([0.9, 0.6, 0.1, 0.2]).reshape(shape_scores)
    assert confusion_matrix(y, scores).tolist() == [[1, 1], [1, 1]]
    assert accuracy(y, scores) == 0.5
    assert mean_squared_error(y, scores) == pytest.approx((0.01 + 0.36 + 0.01 + 0.64) / 4)


def test_outputs_answer_class_numbers_and_one_hot_rows_alike() -> None:
    y, outputs = three_classes()
    answers = outputs.argmax(axis=1)
    expected = confusion_matrix(y, answers)
    assert expected.trace() == np.sum(y == answers) and expected.sum() == 50
    assert expected[0, 2] == np.sum((y == 0) & (answers == 2)) > 0
    for truth in (y, y.astype(float), y.reshape(-1, 1), one_hot(y)):
        for predicted in (outputs, answers, answers.astype(float), answers.reshape(-1, 1)):
            np.testing.assert_array_equal(confusion_matrix(truth, predicted), expected)
            assert accuracy(truth, predicted) == np.mean(y == answers)


def test_equal_outputs_answer_the_first() -> None:
    assert accuracy([0, 1, 1], [[2.0, 2.0], [2.0, 2.0], [1.0, 2.0]]) == pytest.approx(2 / 3)


def test_a_matrix_has_a_row_for_each_output_though_none_is_of_it() -> None:
    outputs = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert confusion_matrix([1, 1], outputs).shape == (4, 4)
    assert recall([1, 1], outputs, average=None).tolist() == [0.0, 0.5, 0.0, 0.0]
    assert confusion_matrix([0, 0], [0.1, 0.2]).tolist() == [[2, 0], [0, 0]]
    assert confusion_matrix([5, -1, 5], [5, 5, -1]).tolist() == [[0, 1], [1, 1]]


@pytest.mark.oracle
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("score", SCORED)
def test_scores_of_three_classes_are_scikit_learns(score: Any, average: Any) -> None:
    y, outputs = three_classes(1)
    expected = in_sklearn(f"{score.__name__}_score", y, outputs.argmax(axis=1), average=average)
    np.testing.assert_allclose(score(y, outputs, average=average), expected, rtol=1e-14)


NEVER_SAID = ([0, 0, 1, 2, 2], [0, 1, 1, 0, 1])  # 2 is never answered
NEVER_THERE = ([0, 0, 1, 1], [0, 2, 1, 2])  # 2 is in no label
ALL_WRONG = ([0, 0, 1], [1, 1, 2])


@pytest.mark.parametrize(
    ("score", "each", "weighted"),
    [
        (precision, [1 / 2, 1 / 3, 0.0], (2 * 1 / 2 + 1 / 3) / 5),
        (recall, [1 / 2, 1.0, 0.0], 2 / 5),
        (f1, [2 / 4, 2 / 4, 0.0], (2 * 2 / 4 + 2 / 4) / 5),
    ],
)
def test_averages_are_those_counted_by_hand(score: Any, each: list[float], weighted: float) -> None:
    def averaged(average: Any) -> Any:
        return score(*NEVER_SAID, average=average)

    assert averaged(None).tolist() == pytest.approx(each)
    assert averaged("macro") == pytest.approx(sum(each) / 3)
    assert averaged("weighted") == pytest.approx(weighted)
    assert averaged("micro") == accuracy(*NEVER_SAID) == 2 / 5


@pytest.mark.oracle
@pytest.mark.parametrize("zero_division", [0.0, 1.0, float("nan")])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("score", SCORED)
def test_nothing_over_nothing_is_scikit_learns(
    score: Any, average: Any, zero_division: float
) -> None:
    for y, predicted in (NEVER_SAID, NEVER_THERE, ALL_WRONG):
        options = {"average": average, "zero_division": zero_division}
        expected = in_sklearn(f"{score.__name__}_score", y, predicted, **options)
        np.testing.assert_allclose(score(y, predicted, **options), expected, rtol=1e-14)


@pytest.mark.oracle
@pytest.mark.parametrize("zero_division", [0.0, 1.0, float("nan")])
@pytest.mark.parametrize("score", SCORED)
def test_scores_of_yes_and_no_are_scikit_learns(score: Any, zero_division: float) -> None:
    rng = np.random.default_rng(2)
    for y, predicted in (
        (rng.integers(0, 2, 30), rng.random(30)),
        ([0, 0, 0], [0.1, 0.2, 0.3]),
        ([0, 0, 1], [0.1, 0.2, 0.3]),
        ([0, 0, 0], [0.1, 0.2, 0.9]),
        ([1, 1, 1], [0.6, 0.7, 0.8]),
    ):
        cut = (np.asarray(predicted) >= 0.5).astype(int)
        options = {"zero_division": zero_division}
        expected = in_sklearn(f"{score.__name__}_score", y, cut, **options)
        np.testing.assert_allclose(score(y, predicted, **options), expected, rtol=1e-14)
        logits = np.column_stack([np.zeros(len(y)), np.asarray(predicted) - 0.5 + 1e-12])
        np.testing.assert_allclose(score(y, logits, **options), expected, rtol=1e-14)


@pytest.mark.oracle
@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_matrices_are_scikit_learns(normalize: Any) -> None:
    y, outputs = three_classes(3)
    for truth, answers in ((y, outputs.argmax(axis=1)), NEVER_SAID, NEVER_THERE):
        expected = in_sklearn("confusion_matrix", truth, answers, normalize=normalize)
        np.testing.assert_allclose(confusion_matrix(truth, answers, normalize=normalize), expected)


@pytest.mark.oracle
def test_errors_of_numbers_are_scikit_learns() -> None:
    rng = np.random.default_rng(4)
    for shape in ((20,), (20, 1), (20, 3)):
        y, predicted = rng.normal(size=shape), rng.normal(size=shape)
        assert r2(y, predicted) == pytest.approx(in_sklearn("r2_score", y, predicted), rel=1e-13)
        expected = in_sklearn("mean_squared_error", y, predicted)
        assert mean_squared_error(y, predicted) == pytest.approx(expected, rel=1e-14)
    for y, predicted in (
        ([2.0, 2.0], [2.0, 2.0]),
        ([2.0, 2.0], [2.0, 3.0]),
        ([[1.0, 2.0], [1.0, 3.0]], [[1.0, 2.0], [1.5, 3.0]]),
        ([1.0], [1.0]),
    ):
        expected = in_sklearn("r2_score", y, predicted)
        np.testing.assert_allclose(r2(y, predicted), expected, rtol=1e-14)


@pytest.mark.parametrize("answers", ["numbers", "scores"])
def test_a_mean_over_classes_leaves_out_those_that_nobody_speaks_of(answers: str) -> None:
    y, predicted = [0, 0, 1], np.array([0, 2, 1])
    if answers == "scores":  # of five classes, two of which occur nowhere
        predicted = np.eye(5)[predicted]
    # of 0 and 1 all answers are right, of 2 none; of 0 half are found, and of 2 there are none
    for score, expected in ((precision, 2 / 3), (recall, 0.5), (f1, 5 / 9)):
        assert score(y, predicted, average="macro") == pytest.approx(expected, rel=1e-15)


def test_confusion_counts_both_ways() -> None:
    counts = Confusion.of([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]], [0.9, 0.8, 0.1, 0.7, 0, 0])
    assert counts == Confusion(2, 1, 2, 1)
    assert counts.accuracy == pytest.approx(4 / 6)
    assert Confusion.of([0, 0], [[1.0, 0.0], [0.0, 1.0]]) == Confusion(0, 1, 1, 0)


# --- several labels, and areas ---

LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
SCORES = np.array([[0.9, 0.1, 0.5], [0.2, 0.6, 0.1], [0.7, 0.8, 0.9], [0.1, 0.3, 0.4]])


def test_labels_are_right_row_by_row_or_one_by_one() -> None:
    # wrong are the second of row 1, and that of row 3
    assert multilabel_accuracy(LABELS, SCORES) == 0.5
    assert multilabel_accuracy(LABELS, SCORES, average="macro") == 10 / 12
    assert multilabel_accuracy(LABELS, SCORES, average=None).tolist() == [1.0, 0.5, 1.0]
    assert multilabel_accuracy(LABELS, SCORES, threshold=0.61, average=None)[1] == 0.75
    assert multilabel_accuracy(LABELS, LABELS) == multilabel_accuracy([1, 0], [[0.5], [0.1]]) == 1.0


def test_an_area_is_the_share_of_pairs_in_their_order() -> None:
    y, scores = [1, 0, 1, 0, 0], [0.7, 0.7, 0.2, 0.1, 0.9]
    # of six pairs 0.7 > 0.1 and 0.2 > 0.1 are, and 0.7 = 0.7 is by half
    assert roc_auc(y, scores) == roc_auc(y, [[x] for x in scores]) == 2.5 / 6
    assert roc_auc([0, 1], [-3.0, 8.0]) == 1.0 and roc_auc([0, 1], [8.0, -3.0]) == 0.0
    assert roc_auc([0, 1, 1, 0], [0.3] * 4) == 0.5
    assert np.isnan(roc_auc([1, 1], [0.1, 0.2])) and np.isnan(roc_auc([0, 0], [0.1, 0.2]))
    assert np.isnan(roc_auc(LABELS * 0, SCORES, average="weighted"))  # scikit-learn: 0


def test_areas_of_classes_are_those_of_each_against_the_rest() -> None:
    y, outputs = three_classes(5)
    each = roc_auc(y, outputs, average=None)
    assert each.tolist() == [roc_auc(y == k, outputs[:, k]) for k in range(3)]
    assert roc_auc(y, outputs) == pytest.approx(each.mean())
    assert roc_auc(y, outputs, average="weighted") == pytest.approx(np.bincount(y) @ each / 50)
    for truth in (y.astype(float), y.reshape(-1, 1), one_hot(y)):
        assert roc_auc(truth, outputs, average=None).tolist() == each.tolist()


@pytest.mark.oracle
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_areas_are_scikit_learns(average: Any) -> None:
    rng = np.random.default_rng(6)
    y, outputs = three_classes(6)
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    expected = in_sklearn("roc_auc_score", y, shares, average=average, multi_class="ovr")
    np.testing.assert_allclose(roc_auc(y, shares, average=average), expected, rtol=1e-14)
    for labels in (rng.integers(0, 2, (30, 4)), LABELS, LABELS * [1, 1, 0]):
        scores = rng.integers(0, 5, labels.shape) / 4.0  # many are equal
        expected = in_sklearn("roc_auc_score", labels, scores, average=average)
        np.testing.assert_allclose(roc_auc(labels, scores, average=average), expected, rtol=1e-14)
    y, scores = rng.integers(0, 2, 200), rng.integers(0, 9, 200)
    assert roc_auc(y, scores, average=average) == pytest.approx(
        in_sklearn("roc_auc_score", y, scores), rel=1e-14
    )


@pytest.mark.oracle
def test_accuracies_of_labels_are_scikit_learns() -> None:
    rng = np.random.default_rng(7)
    labels, scores = rng.integers(0, 2, (40, 3)), rng.random((40, 3))
    answers = (scores >= 0.5).astype(int)
    assert multilabel_accuracy(labels, scores) == in_sklearn("accuracy_score", labels, answers)
    assert multilabel_accuracy(labels, scores, average="macro") == pytest.approx(
        1.0 - in_sklearn("hamming_loss", labels, answers), rel=1e-14
    )


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_areas_and_labels_are_noted_by_fit_and_evaluate(path: Any) -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(30, 2))
    y = (X @ [[1.0, -1.0, 0.5], [1.0, 1.0, -2.0]] > 0.2).astype(float)
    model = nn.Sequential(nn.Linear(2, 3, rng=random.Random(0)), nn.Sigmoid())
    optimizer, metrics = nn.Adam(model.parameters(), lr=0.5), [multilabel_accuracy, roc_auc]
    options: dict[str, Any] = {"loss": nn.BCELoss(), "metrics": metrics, "path": path}
    options |= {"optimizer": optimizer, "epochs": 20, "progress": False}
    history = nn.fit(model, X, y, validation_data=(X[:20], y[:20]), **options)
    for name in ("multilabel_accuracy", "val_multilabel_accuracy", "roc_auc", "val_roc_auc"):
        found = history.metrics[name]
        assert found[0] < found[-1] and 0.9 < found[-1] <= 1.0
    noted = nn.evaluate(model, X, y, loss=nn.BCELoss(), metrics=metrics, path=path)
    del noted["loss"]
    assert noted == {name: history.metrics[name][-1] for name in ("multilabel_accuracy", "roc_auc")}
    assert noted["roc_auc"] == roc_auc(y, nn.predict(model, X))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: multilabel_accuracy([[0, 2]], [[0.1, 0.2]]),
            r"y is \[0.0, 2.0\]; labels are",
        ),
        (lambda: multilabel_accuracy(LABELS, SCORES[:, :2]), "y has 3 columns, and predicted 2"),
        (lambda: multilabel_accuracy(LABELS, SCORES, average="micro"), "not 'micro'"),  # type: ignore[arg-type]
        (lambda: roc_auc([1, 2], [0.1, 0.2]), r"row 1 of y is \[2.0\]; labels are 0 or 1 here"),
        (lambda: roc_auc([0, 3], np.eye(3)[:2]), "row 1 of y is 3; with 3 outputs"),
        (lambda: roc_auc(LABELS, SCORES[:, 0]), "y has 3 columns, and predicted 1"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], average="samples"), "or None, not 'samples'"),  # type: ignore[arg-type]
        (lambda: accuracy([], []), "no predictions"),
        (lambda: accuracy([1, 0], [0.2]), r"\(2,\) labels against \(1,\) predictions"),
        (lambda: accuracy([[1, 0]], [[0.2, 0.1, 0.7]]), r"\(1, 2\) labels against \(1, 3\)"),
        (lambda: accuracy([0, 1], [0.2, np.nan]), "predicted has nan in row 1"),
        (lambda: accuracy([0, 1], [[0.2, 1], [np.inf, 0]]), "predicted has inf in row 1"),
        (lambda: accuracy(0, [0.2]), r"y has the shape .* not \(\)"),
        (lambda: accuracy([0.5, 1], [2, 1]), "row 0 of y is 0.5, which is no class number$"),
        (lambda: accuracy([2, 1], [0.3, 1.0]), "row 0 of predicted is 0.3, .* labels 0 and 1"),
        (lambda: accuracy([-1, 1], [0.3, 1.0]), "row 0 of predicted is 0.3"),
        (lambda: accuracy([0, 3], np.eye(3)[:2]), "row 1 of y is 3; with 3 outputs .* 0 to 2"),
        (lambda: accuracy(np.eye(2), [0, 2]), "row 1 of predicted is 2; with 2 outputs"),
        (lambda: accuracy([[1, 1], [0, 1]], np.eye(2)), r"row 0 of y is \[1, 1\], .* one-hot"),
        (lambda: accuracy([[0.5, 0.5]], [[1, 0]]), "not one-hot"),
        (lambda: precision([0, 1, 2], [0, 1, 2]), 'for class 1 of two, not for 0, 1, 2; take "mac'),
        (lambda: recall([0, 2], [2, 0]), "class 1 of two, not for 0, 2"),
        (lambda: f1([0], [0], average="mean"), "not 'mean'"),  # type: ignore[arg-type]
        (lambda: f1([0], [0], zero_division=0.5), "0.0, 1.0 or nan, not 0.5"),
        (lambda: confusion_matrix([0], [0], normalize="rows"), "not 'rows'"),  # type: ignore[arg-type]
        (lambda: Confusion.of([0, 2], [2, 0]), "yes or no is 1 or 0, not 0, 2"),
        (lambda: r2([1.0, 2.0], [[1.0, 2.0], [1.0, 2.0]]), "y has 1 columns, and predicted 2"),
        (lambda: mean_squared_error([1.0], [np.nan]), "predicted has nan"),
    ],
)
def test_what_cannot_be_counted_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_words_are_no_labels() -> None:
    with pytest.raises(TypeError, match="y must be numbers"):
        accuracy(["yes"], [1.0])
    assert nn.metrics.accuracy is accuracy
