"""The data sets that are made and those that come along, and what is done to them."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nn.data import blobs, circles, moons, one_hot, spirals, xor

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


def test_blobs_lie_around_their_centers() -> None:
    centers = np.array([[0.0, 0.0], [9.0, 1.0], [-4.0, 7.0]])
    X, y = blobs(3001, centers=centers, std=0.5, seed=2)
    assert np.bincount(y.astype(int)).tolist() == [1000, 1000, 1001]
    for c, center in enumerate(centers):
        np.testing.assert_allclose(X[y == c].mean(axis=0), center, atol=0.06)
        np.testing.assert_allclose(X[y == c].std(axis=0), 0.5, rtol=0.08)
    assert set(blobs(50, centers=5)[1].tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


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
