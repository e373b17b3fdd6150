"""The data sets that are made and those that come along, and what is done to them."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nn.data import (
    Standardizer,
    blobs,
    circles,
    digits,
    iris,
    moons,
    one_hot,
    spirals,
    train_test_split,
    xor,
)

YES_OR_NO: list[Callable[..., Any]] = [circles, moons, xor]
CLASSES: list[Callable[..., Any]] = [spirals, blobs]


def in_order(X: Any, y: Any) -> Any:
    """The rows of both, whatever order they came in."""
    rows = np.column_stack([np.ravel(y), X]).round(12) + 0.0
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("make", [*YES_OR_NO, *CLASSES])
def test_a_set_depends_on_its_seed_alone(make: Callable[..., Any]) -> None:
    (X, y), (again, y_again), (other, _) = make(31, seed=3), make(31, seed=3), make(31, seed=4)
    assert X.shape == (31, 2) and X.dtype == y.dtype == np.float64
    assert y.shape == ((31, 1) if make in YES_OR_NO else (31,))
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, y_again)
    assert not np.any(other == X)
    assert np.any(np.diff(y.ravel()) < 0), "the classes come one after the other"


@pytest.mark.oracle
@pytest.mark.parametrize("make", [circles, moons])
@pytest.mark.parametrize("points", [2, 41, 100])
def test_without_noise_circles_and_moons_are_scikit_learns(make: Any, points: int) -> None:
    sets = pytest.importorskip("sklearn.datasets")
    X, y = make(points, noise=0.0, seed=5)
    expected = getattr(sets, f"make_{make.__name__}")(points, noise=None)
    np.testing.assert_allclose(in_order(X, y), in_order(*expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [circles, moons])
def test_noise_is_normal_with_the_standard_deviation_asked_for(make: Any) -> None:
    clean, noisy = make(20_000, noise=0.0, seed=1)[0], make(20_000, noise=0.3, seed=1)[0]
    step = noisy - clean  # the same order: it is drawn first
    assert step.std() == pytest.approx(0.3, rel=0.02)
    assert np.mean(np.abs(step) < 0.3) == pytest.approx(0.6827, abs=0.01)
    assert abs(step.mean()) < 0.01 and abs(np.corrcoef(step.T)[0, 1]) < 0.03


def test_the_best_rule_for_the_published_circles_is_right_on_84_percent() -> None:
    X, y = circles(100_000, seed=0)
    radius = np.hypot(*X.T)
    best = max(np.mean((radius < cut) == y[:, 0]) for cut in np.linspace(0.8, 1.0, 41))
    assert best == pytest.approx(0.84, abs=0.01)


def test_xor_is_1_where_exactly_one_coordinate_is_large() -> None:
    X, y = xor(200)
    assert X.min() >= 0.0 and X.max() < 1.0
    assert y[:, 0].tolist() == [float((a >= 0.5) != (b >= 0.5)) for a, b in X]


def test_arms_of_a_spiral_differ_by_a_turn_only() -> None:
    X, y = spirals(60, classes=4, noise=0.0)
    arms = [X[y == c][np.argsort(np.hypot(*X[y == c].T))] for c in range(4)]
    for arm, following in pairwise(arms):
        np.testing.assert_allclose(following, arm @ [[0.0, 1.0], [-1.0, 0.0]], atol=1e-12)
    assert np.hypot(*X.T).max() == pytest.approx(1.0)
    assert arms[0][-1] == pytest.approx([np.cos(4.0), np.sin(4.0)])  # 4 radians, from the x-axis


def test_blobs_lie_around_their_centers() -> None:
    centers = np.array([[0.0, 0.0], [9.0, 1.0], [-4.0, 7.0]])
    X, y = blobs(3001, centers=centers, std=0.5, seed=2)
    assert np.bincount(y.astype(int)).tolist() == [1000, 1000, 1001]
    for c, center in enumerate(centers):
        np.testing.assert_allclose(X[y == c].mean(axis=0), center, atol=0.06)
        np.testing.assert_allclose(X[y == c].std(axis=0), 0.5, rtol=0.08)
    assert set(blobs(50, centers=5)[1].tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert set(blobs(50)[1].tolist()) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: circles(1), "at least 2 points.* not 1"),
        (lambda: circles(10, noise=-0.1), "noise .* -0.1"),
        (lambda: circles(10, factor=1.0), r"factor .* \[0, 1\), not 1.0"),
        (lambda: moons(10, noise=float("nan")), "noise .* nan"),
        (lambda: xor(0), "at least one point, not 0"),
        (lambda: spirals(2, classes=3), "at least 3 points"),
        (lambda: spirals(classes=0), "at least one class"),
        (lambda: blobs(centers=0), "one or more points"),
        (lambda: blobs(centers=[[1.0, 2.0, 3.0]]), r"shape \(k, 2\), not \(1, 3\)"),
        (lambda: one_hot([0, 1.5]), "row 1 has 1.5"),
        (lambda: one_hot([0, -1, 2]), "row 1 has -1"),
        (lambda: one_hot([0, 3], 3), "row 1 has 3; .* 0 to 2"),
        (lambda: one_hot([0, float("nan")]), "row 1 has nan"),
        (lambda: one_hot([[0, 1]]), r"\(n, 1\), not \(1, 2\)"),
        (lambda: one_hot([]), "no class numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_one_hot_has_a_column_a_class() -> None:
    assert one_hot([[1.0], [0.0]], 3).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    assert one_hot([], 2).shape == (0, 2)


def test_what_comes_along_is_whole() -> None:
    X, y = digits()
    assert (X.sum(), (X * X).sum(), (X[:, 3] * y).sum()) == (561718.0, 6907012.0, 95264.0)
    assert np.bincount(y.astype(int)).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    X, y = iris()  # the means of Fisher's paper
    np.testing.assert_allclose(X[y == 0].mean(axis=0), [5.006, 3.428, 1.462, 0.246])
    np.testing.assert_allclose(X[y == 1].mean(axis=0), [5.936, 2.770, 4.260, 1.326])
    np.testing.assert_allclose(X[y == 2].mean(axis=0), [6.588, 2.974, 5.552, 2.026])


@pytest.mark.oracle
@pytest.mark.parametrize("load", [digits, iris])
def test_what_comes_along_is_what_scikit_learn_loads(load: Any) -> None:
    sets = pytest.importorskip("sklearn.datasets")
    X, y = load()
    expected = getattr(sets, f"load_{load.__name__}")(return_X_y=True)
    np.testing.assert_array_equal(X, expected[0])
    np.testing.assert_array_equal(y, expected[1])
    assert X.dtype == y.dtype == np.float64


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize(("test_size", "count"), [(0.25, 15), (0.21, 13), (7, 7), (57, 57), (3, 3)])
def test_a_split_has_exact_sizes_and_loses_no_row(
    test_size: float, count: int, stratify: bool
) -> None:
    y = np.repeat([0.0, 1.0, 2.0], [40, 15, 5])
    X = np.arange(60, dtype=np.uint8).reshape(-1, 1)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=test_size, stratify=stratify
    )
    assert X_test.shape == (count, 1) and X_train.dtype == np.uint8
    rows = np.concatenate([X_train, X_test]).ravel()
    assert sorted(rows) == list(range(60)) and list(rows) != list(range(60))
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), y[rows])
    if stratify:
        for c, size in enumerate([40, 15, 5]):
            taken, left = np.sum(y_test == c), np.sum(y_train == c)
            assert min(taken, left) >= 1 and abs(taken - size * count / 60) < 1.5


def test_a_stratified_split_takes_one_hot_rows_and_columns_of_labels() -> None:
    y = np.repeat([0.0, 1.0], [30, 10])
    X = np.arange(40.0)
    plain = train_test_split(X, y, test_size=8, stratify=True)
    assert plain[3].sum() == 2.0
    for shape in (one_hot(y), y.reshape(-1, 1)):
        test = train_test_split(X, shape, test_size=8, stratify=True)[3]
        assert len(test) == 8 and test[:, -1].sum() == 2.0


def test_other_seeds_split_otherwise() -> None:
    X = np.arange(50.0)
    first, again, other = (train_test_split(X, X, seed=seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_size": 1.5}, "share between 0 and 1 .* 1.5"),
        ({"test_size": 0}, "0 of 4 rows"),
        ({"test_size": 0.9}, "4 of 4 rows for testing leaves 0"),
        ({"test_size": 5}, "5 of 4 rows for testing leaves 0"),
        ({"test_size": 2, "stratify": True}, "class 2.0 has one row only"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_test_split([[1.0]] * 4, [1.0, 1.0, 1.0, 2.0], **options)
    with pytest.raises(ValueError, match=r"\(4, 1\) and \(3,\)"):
        train_test_split([[1.0]] * 4, [1.0] * 3, **options)


@pytest.mark.oracle
def test_a_standardizer_does_what_scikit_learns_does() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rng = np.random.default_rng(0)
    X = rng.normal([3.0, 3.0, 3.0, 0.1, 1e9], [1e-6, 1.0, 1e5, 0.0, 1.0], (40, 5))
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        rows = X[:, :4].astype(dtype) if dtype == np.float32 else X
        ours, theirs = Standardizer(), preprocessing.StandardScaler()
        np.testing.assert_allclose(
            ours.fit_transform(rows), theirs.fit_transform(rows), rtol=tolerance, atol=tolerance
        )
        np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-14)
        np.testing.assert_allclose(ours.scale_, theirs.scale_, rtol=1e-9)
        other = rows[:7] + 1
        assert ours.transform(other).dtype == dtype
        back = ours.inverse_transform(ours.transform(other))
        np.testing.assert_allclose(back, other, rtol=tolerance)
    assert ours.scale_[3] == 1.0


def test_transformed_columns_have_mean_0_and_deviation_1_but_constant_ones() -> None:
    X = np.random.default_rng(0).normal(3.0, [1e-6, 1.0, 1e5], (40, 3))
    X = np.column_stack([X, np.full(40, 0.1)])  # whose mean is not exactly 0.1
    scale = Standardizer()
    Z = scale.fit_transform(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(Z.std(axis=0), [1.0, 1.0, 1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(scale.inverse_transform(Z), X, rtol=1e-12)
    assert scale.scale_[3] == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardizer().transform([[1.0]]), "call fit"),
        (lambda: Standardizer().fit([1.0, 2.0]), r"reshape\(-1, 1\)"),
        (lambda: Standardizer().fit(np.zeros((0, 2))), "no rows"),
        (lambda: Standardizer().fit([[1.0, 2.0], [np.nan, 2.0]]), "nan in row 1, column 0"),
        (lambda: Standardizer().fit([[1.0, 2.0]]).transform([[1.0]]), "1 columns, .* with 2"),
    ],
)
def test_a_standardizer_refuses_what_it_cannot_scale(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
