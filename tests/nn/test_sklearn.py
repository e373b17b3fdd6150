"""The estimators among scikit-learn's: its own checks pass, its tools take them, and they do what
its `MLPClassifier` and `MLPRegressor` do, and what these don't."""

from __future__ import annotations

import functools
import inspect
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import engine
import nn

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:training has not converged")]

import joblib  # noqa: E402
from sklearn import neural_network as theirs  # noqa: E402
from sklearn.base import clone, is_classifier, is_regressor  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.datasets import load_diabetes, load_digits, load_iris  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.inspection import permutation_importance  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler  # noqa: E402
from sklearn.utils.class_weight import compute_sample_weight  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from nn.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

SMALL: dict[str, Any] = {"hidden_layer_sizes": [8], "learning_rate_init": 0.02, "random_state": 0}
RNG = np.random.default_rng(0)
X3 = RNG.normal(size=(120, 3))
y3 = np.array(["left", "right", "up"])[(X3 @ RNG.normal(size=(3, 3))).argmax(axis=1)]
yes = np.where(X3[:, 0] > 0, "yes", "no")
numbers = X3 @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=120)
several = np.stack([numbers, 1.0 - X3[:, 1] ** 2], axis=1)
labels = (X3 > 0.2).astype(int)


def own(n_features: int, n_outputs: int, rng: Any) -> nn.Module:
    """A model of one's own, deterministic by `rng`."""
    return nn.Sequential(
        nn.Linear(n_features, 6, rng=rng), nn.GELU(), nn.Linear(6, n_outputs, rng=rng)
    )


def focal(output: Any, target: Any) -> Any:
    """A loss of one's own: the cross-entropy of scores and a class, less where it is small."""
    log_p = engine.take(engine.log_softmax(output), target)
    return -((1.0 - engine.exp(log_p)) ** 2) * log_p


# --- scikit-learn's own checks ---------------------------------------------------------------

ESTIMATORS = {
    "classifier": MLPClassifier(**SMALL),
    "regressor": MLPRegressor(**SMALL),
    "a model of one's own": MLPClassifier(**SMALL, model=own, solver=nn.RMSprop, alpha=0.0),
    "hinge": MLPClassifier(**SMALL, loss="hinge"),
    "sgd": MLPRegressor(**SMALL, solver="sgd", activation="tanh", batch_size=None, loss="huber"),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_scikit_learns_checks_pass(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = check_estimator(ESTIMATORS[name], on_fail=None, on_skip=None)
    assert [x for x in done if x["status"] == "failed"] == []
    skipped = {str(x["exception"]).partition(" ")[0] for x in done if x["status"] == "skipped"}
    allowed = {"pandas", "SCIPY_ARRAY_API", *(["MLPClassifier"] if name == "hinge" else [])}
    assert skipped <= allowed  # the last: there is no predict_proba
    assert len(done) > 55


# --- beside scikit-learn's -------------------------------------------------------------------

DATA: dict[str, Any] = {"several classes": y3, "two": yes, "numbers": numbers}
COLUMNS = {"labels": labels, "several numbers": several}


def from_the_same_weights(
    data: str, weights: Any = None, faster: int = 1, **options: Any
) -> tuple[Any, Any]:
    """Scikit-learn's estimator and ours, trained alike, ours with `faster` times the rate."""
    y = (DATA | COLUMNS)[data]
    pair: list[Any] = [theirs.MLPRegressor(), MLPRegressor(learning_rate_init=0.001 * faster)]
    if "numbers" not in data:
        pair = [theirs.MLPClassifier(), MLPClassifier(learning_rate_init=0.001 * faster)]
    begin: dict[str, Any] = {"hidden_layer_sizes": (7, 5), "activation": "tanh", "alpha": 0.5}
    begin |= {"shuffle": False, "warm_start": True, "batch_size": 40 if weights is None else 120}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for estimator in pair:
            estimator.set_params(**begin | options | {"max_iter": 1}).fit(X3, y, weights)
        state = {}
        for k, (w, b) in enumerate(zip(pair[0].coefs_, pair[0].intercepts_, strict=True)):
            state |= {f"{2 * k}.weight": w.T, f"{2 * k}.bias": b}
        pair[1].model_.load_state_dict(state)
        expected, found = (e.set_params(**options).fit(X3, y, weights) for e in pair)
    return expected, found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("data", DATA)
def test_training_is_scikit_learns_from_the_same_weights(
    data: str, solver: str, weighted: bool
) -> None:
    weights = np.linspace(0.5, 2.0, 120) if weighted else None
    expected, found = from_the_same_weights(data, weights, solver=solver, max_iter=30)
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if solver == "sgd" else {"rtol": 1e-3, "atol": 1e-5}
    # Adam's epsilon counts for more at first in ours, as in PyTorch's
    np.testing.assert_allclose(found.loss_curve_[1:], expected.loss_curve_[1:], **tolerance)
    for name in ("coefs_", "intercepts_"):
        for ours, other in zip(getattr(found, name), getattr(expected, name), strict=True):
            np.testing.assert_allclose(ours, other, **tolerance)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (found.predict(X3) == expected.predict(X3)).all() or data == "numbers"
    if data != "numbers":
        assert found.classes_.tolist() == expected.classes_.tolist()
        np.testing.assert_allclose(
            found.predict_log_proba(X3), expected.predict_log_proba(X3), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("data", COLUMNS)
def test_steps_of_several_columns_are_along_the_gradient_of_the_loss(data: str) -> None:
    k = COLUMNS[data].shape[1]  # scikit-learn 1.9's are k times that, and alpha weighs 1 / k
    expected, found = from_the_same_weights(data, faster=k, solver="sgd", max_iter=30)
    for ours, other in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-12)
    if data == "labels":  # of which its loss is the sum
        assert k * found.loss_ == pytest.approx(expected.loss_, rel=1e-9)


def test_training_ends_when_scikit_learns_does() -> None:
    expected, found = from_the_same_weights("several classes", solver="sgd", tol=1e-3, max_iter=900)
    assert found.n_iter_ == expected.n_iter_ < 900
    assert found.loss_ == pytest.approx(expected.loss_, rel=1e-9)
    assert found.history_.stopped == "the loss was not less by 0.001 for 11 epochs"


@pytest.mark.parametrize("load", [load_iris, load_digits, load_diabetes])
def test_held_out_scores_are_like_scikit_learns(load: Any) -> None:
    X, y = load(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    options: dict[str, Any] = {"hidden_layer_sizes": (30,), "random_state": 0, "max_iter": 60}
    options |= {"learning_rate_init": 0.01, "alpha": 10.0}
    pair: list[Any] = [theirs.MLPClassifier(**options), MLPClassifier(**options)]
    if load is load_diabetes:
        y_train, y_test = (y_train - 150.0) / 77.0, (y_test - 150.0) / 77.0
        pair = [theirs.MLPRegressor(**options), MLPRegressor(**options)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        expected, found = (
            make_pipeline(StandardScaler(), e).fit(X_train, y_train).score(X_test, y_test)
            for e in pair
        )
    assert found > expected - 0.05
    assert found > (0.2 if load is load_diabetes else 0.9)


# --- scikit-learn's tools --------------------------------------------------------------------


@pytest.fixture
def workers() -> Iterator[None]:
    """Processes that are ended after the test."""
    yield
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


def test_it_is_searched_for_in_a_pipeline_by_two_processes(workers: None) -> None:
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SMALL, max_iter=30))
    grid = {"mlpclassifier__dropout": [0.0, 0.1], "mlpclassifier__activation": ["tanh", ["gelu"]]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X3, y3)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.score(X3, y3) > 0.8


def test_it_is_cross_validated_calibrated_and_looked_into() -> None:
    classifier = MLPClassifier(**SMALL, max_iter=30)
    assert cross_val_score(classifier, X3, y3, cv=3).mean() > 0.7
    assert cross_val_score(MLPRegressor(**SMALL), X3, numbers, cv=3).mean() > 0.8
    assert cross_val_predict(classifier, X3, yes, cv=2, method="predict_proba").shape == (120, 2)
    for loss in ("log_loss", "hinge"):
        calibrated = CalibratedClassifierCV(clone(classifier).set_params(loss=loss), cv=2)
        assert calibrated.fit(X3, y3).predict_proba(X3).sum() == pytest.approx(120.0)
    found = permutation_importance(classifier.fit(X3, yes), X3, yes, random_state=0, n_repeats=3)
    assert found.importances_mean.argmax() == 0


def test_copies_are_the_same_and_clones_know_nothing(tmp_path: Any) -> None:
    given = MLPClassifier(**SMALL, activation=[nn.LeakyReLU(0.1)], max_iter=20, solver="adamw")
    estimator = clone(given).partial_fit(X3, y3, classes=np.unique(y3))
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    for other in (
        pickle.loads(pickle.dumps(estimator)),
        joblib.load(tmp_path / "estimator.joblib"),
    ):
        assert (other.predict_proba(X3) == estimator.predict_proba(X3)).all()
        twin = pickle.loads(pickle.dumps(other))
        other.partial_fit(X3, y3)  # with what the optimiser knows
        twin.partial_fit(X3, y3)
        assert all(map(np.array_equal, other.coefs_, twin.coefs_))
    assert repr(clone(estimator)) == repr(given)
    with pytest.raises(NotFittedError):
        clone(estimator).predict(X3)
    assert is_classifier(estimator) and is_regressor(MLPRegressor())


def test_columns_have_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X3, columns=["a", "b", "c"])
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SMALL, max_iter=5))
    pipeline.set_output(transform="pandas").fit(frame, y3)
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        pipeline[-1].predict(frame[["b", "a", "c"]])


# --- targets and weights ---------------------------------------------------------------------


def test_labels_are_told_apart_one_by_one() -> None:
    estimator = MLPClassifier(**SMALL).fit(X3, labels)
    assert estimator.score(X3, labels) > 0.85
    assert estimator.predict_proba(X3).shape == (120, 3)
    assert estimator.decision_function(X3).shape == (120, 3)
    names = MultiLabelBinarizer().fit_transform([("a", "b"), ("b",), (), ("a",)] * 30)
    assert MLPClassifier(**SMALL, early_stopping=True).fit(X3, names).predict(X3).shape == (120, 2)


def test_several_numbers_are_estimated() -> None:
    estimator = MLPRegressor(**SMALL).fit(X3, several)
    assert estimator.predict(X3).shape == (120, 2)
    assert estimator.score(X3, several) > 0.8


def test_weights_count_rows_and_classes() -> None:
    options: dict[str, Any] = SMALL | {"batch_size": None, "max_iter": 20}
    given = {"left": 2.0, "right": 1.0, "up": 0.0}
    found = MLPClassifier(**options, class_weight=given).fit(X3, y3)
    by_row = MLPClassifier(**options).fit(X3, y3, compute_sample_weight(given, y3))
    assert (found.predict_proba(X3) == by_row.predict_proba(X3)).all()
    assert "up" not in found.predict(X3)
    balanced = MLPClassifier(**options, class_weight="balanced").fit(X3, y3)
    by_row = MLPClassifier(**options).fit(X3, y3, compute_sample_weight("balanced", y3))
    assert (balanced.predict_proba(X3) == by_row.predict_proba(X3)).all()


def test_fitting_goes_on_with_partial_fit_and_warm_start() -> None:
    whole = MLPRegressor(**SMALL, shuffle=False, max_iter=3).fit(X3, numbers)
    some = MLPRegressor(**SMALL, shuffle=False)
    for _ in range(3):
        some.partial_fit(X3, numbers)
    assert all(map(np.array_equal, whole.coefs_, some.coefs_))
    assert some.loss_curve_ == whole.loss_curve_ and some.t_ == whole.t_ == 360
    before = whole.set_params(warm_start=True).coefs_[0]
    assert len(whole.fit(X3, numbers).loss_curve_) == 6
    assert np.abs(whole.coefs_[0] - before).max() < 0.1
    first = MLPClassifier(**SMALL).partial_fit(X3[:9], y3[:9], classes=["up", "left", "right"])
    assert first.classes_.tolist() == ["left", "right", "up"]


def test_fitting_does_not_go_on_with_other_layers() -> None:
    estimator = MLPRegressor(**SMALL | {"hidden_layer_sizes": (3,)}, warm_start=True, max_iter=1)
    estimator.fit(X3, numbers).set_params(hidden_layer_sizes=[3]).fit(X3, numbers)
    estimator.set_params(hidden_layer_sizes=(4, 2))
    for again in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=r"sizes is \[4, 2\], and the model .* has \[3\]: fit"):
            again(X3, numbers)
    widths = [len(b) for b in estimator.set_params(warm_start=False).fit(X3, numbers).intercepts_]
    assert widths == [4, 2, 1]


# --- what scikit-learn's lack ----------------------------------------------------------------


def test_early_stopping_is_on_rows_that_are_given_or_held_out() -> None:
    options: dict[str, Any] = SMALL | {"early_stopping": True, "n_iter_no_change": 5}
    given = MLPClassifier(**options).fit(X3[:80], y3[:80], X_val=X3[80:], y_val=y3[80:])
    scores = given.validation_scores_
    assert len(scores) == len(given.validation_curve_) == given.n_iter_ < 200
    assert given.best_validation_score_ == max(scores) == given.score(X3[80:], y3[80:])
    assert given.history_.best_epoch == scores.index(max(scores)) + 1
    held_out = MLPRegressor(**options, validation_fraction=0.25).fit(X3, several)
    assert held_out.t_ == 90 * held_out.n_iter_
    only_looking = MLPRegressor(**SMALL, max_iter=4).fit(X3, numbers, X_val=X3, y_val=numbers)
    assert len(only_looking.validation_curve_) == 4
    assert "score" not in only_looking.history_.metrics
    assert only_looking.validation_scores_[-1] == pytest.approx(only_looking.score(X3, numbers))


def test_only_rows_that_are_held_out_are_scored() -> None:
    """As in scikit-learn: the rows to learn from would take nine times as long."""
    scored = []

    class Counting(MLPRegressor):
        def _score(self, targets: Any, outputs: Any) -> float:
            scored.append(len(targets))
            return super()._score(targets, outputs)

    fitted = Counting(**SMALL, early_stopping=True, max_iter=3).fit(X3, numbers)
    assert scored == [12] * 3 and len(fitted.validation_scores_) == 3


def test_layers_have_their_own_activations_and_dropout() -> None:
    estimator = MLPRegressor(
        [4, 3, 2], ["gelu", nn.LeakyReLU(0.2), engine.sin], dropout=[0.0, 0.5, 0.0], max_iter=2
    ).fit(X3, numbers)
    layers = [type(module).__name__ for module in estimator.model_]
    assert layers == [
        *("Linear", "GELU", "Linear", "LeakyReLU", "Dropout", "Linear", "Activation", "Linear"),
    ]
    assert (estimator.predict(X3) == estimator.predict(X3)).all()  # it drops nothing now
    assert [w.shape for w in estimator.coefs_] == [(3, 4), (4, 3), (3, 2), (2, 1)]


LOSSES: list[Any] = ["log_loss", "hinge", nn.NLLLoss(), nn.BCELoss(), nn.MultiMarginLoss()]
LOSSES += [nn.CrossEntropyLoss(label_smoothing=0.1), nn.BCEWithLogitsLoss()]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_losses_of_classes(loss: Any) -> None:
    options: dict[str, Any] = SMALL | {"early_stopping": True, "n_iter_no_change": np.inf}
    options |= {"max_iter": 80}
    for y in (yes, y3):
        estimator = MLPClassifier(**options, loss=loss).fit(X3, y)
        assert estimator.score(X3, y) > 0.85
        assert estimator.best_validation_score_ > 0.7
        scores = estimator.decision_function(X3)
        assert scores.shape == ((120, 3) if y is y3 else (120,))
        if hasattr(estimator, "predict_proba"):
            found = estimator.predict_proba(X3)
            assert found.sum(axis=1) == pytest.approx(np.ones(120))
            assert (estimator.classes_[found.argmax(axis=1)] == estimator.predict(X3)).all()
        else:
            assert estimator._loss().__class__ in (nn.HingeLoss, nn.MultiMarginLoss)
            assert estimator.out_activation_ == "identity"


def test_counts_are_estimated_by_their_logarithms() -> None:
    counts = np.random.default_rng(0).poisson(np.exp(X3[:, 0]))
    estimator = MLPRegressor(**SMALL, loss="poisson", max_iter=60)
    estimator.fit(X3, counts, X_val=X3, y_val=counts)
    assert (estimator.predict(X3) > 0.0).all()
    assert estimator.out_activation_ == "exp"
    assert estimator.validation_scores_[-1] == pytest.approx(estimator.score(X3, counts))
    assert np.corrcoef(np.log(estimator.predict(X3)), X3[:, 0])[0, 1] > 0.9


def test_a_loss_of_ones_own() -> None:
    estimator = MLPClassifier(**SMALL, loss=focal).fit(X3, y3)
    assert estimator.score(X3, y3) > 0.9


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", nn.HuberLoss(delta=0.5)], ids=str
)
def test_losses_of_numbers(loss: Any) -> None:
    assert MLPRegressor(**SMALL, loss=loss).fit(X3, several).score(X3, several) > 0.8


@pytest.mark.parametrize(
    "solver",
    ["adam", "adamw", "rmsprop", "adagrad", nn.Adam, functools.partial(nn.SGD, momentum=0.5)],
    ids=str,
)
def test_solvers(solver: Any) -> None:
    options = SMALL | {"learning_rate_init": 0.1, "max_iter": 60, "solver": solver}
    scheduler = functools.partial(nn.CosineAnnealingLR, T_max=60)
    estimator = MLPRegressor(**options, scheduler=scheduler, n_iter_no_change=np.inf)
    assert estimator.fit(X3, numbers).score(X3, numbers) > 0.7
    assert estimator.n_iter_ == 60
    assert estimator.optimizer_.param_groups[0]["lr"] < 1e-9


class Bare(nn.Module):
    """A model that returns a number, where one is needed."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        self.w = [engine.Value(0.0) for _ in range(n_features)]

    def forward(self, x: Any) -> Any:
        return engine.dot(self.w, x)


def test_models_of_ones_own() -> None:
    assert MLPRegressor(**SMALL, model=Bare).fit(X3, numbers).score(X3, numbers) > 0.9
    estimator = MLPClassifier(**SMALL, model=Bare).fit(X3, yes, X_val=X3, y_val=yes)
    assert estimator.validation_scores_[-1] == estimator.score(X3, yes) > 0.85
    assert MLPClassifier(**SMALL, model=own).fit(X3, y3).n_layers_ == 3


def test_options_of_fit_are_passed_on() -> None:
    seen: list[int] = []
    options = {"path": "scalar", "callbacks": [lambda epoch, history: seen.append(epoch)]}
    estimator = MLPRegressor([2], max_iter=2, fit_options=options).fit(X3[:20], numbers[:20])
    assert (estimator.history_.path, seen) == ("scalar", [0, 1])
    assert estimator.predict(X3[:5]).shape == (5,)


def test_the_arguments_are_scikit_learns_where_they_are_called_so() -> None:
    for ours, other in (
        (MLPClassifier, theirs.MLPClassifier),
        (MLPRegressor, theirs.MLPRegressor),
    ):
        expected = inspect.signature(other).parameters
        same = [p for p in inspect.signature(ours).parameters.values() if p.name in expected]
        assert len(same) >= 19
        assert {p.name: p.default for p in same} == {p.name: expected[p.name].default for p in same}


# --- what can't be ---------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, Any, str]] = {
    "activation": (MLPClassifier(activation="tahn"), y3, "activation is 'relu'.*not 'tahn'"),
    "activations": (MLPClassifier([3, 3], ["relu"]), y3, "activation has 1 entries for 2 hidden"),
    "activation of 3": (MLPClassifier(activation=3), y3, "activation is a name, or such as"),
    "dropout": (MLPClassifier(dropout=1.5), y3, "Dropout takes a probability, not 1.5"),
    "dropout's type": (MLPClassifier(dropout="0.5"), y3, "p is a number, not '0.5'"),
    "fit_options": (MLPClassifier(fit_options={"epochs": 9}), y3, "fit_options has .*'epochs'"),
    "sizes": (MLPClassifier([3, 0]), y3, "hidden_layer_sizes is a whole number of at least 1"),
    "solver": (MLPClassifier(solver="lbfgs"), y3, "solver is 'sgd', 'adam'.*not 'lbfgs'"),
    "solver's object": (
        MLPClassifier(solver=nn.SGD([engine.Value(0.0)])),
        y3,
        "solver is a name, or a function of parameters and lr",
    ),
    "loss's name": (MLPRegressor(loss="mse"), numbers, "loss is 'squared_error'.*not 'mse'"),
    "loss of numbers": (MLPClassifier(loss=nn.MSELoss()), y3, "MSELoss is no loss of classes"),
    "loss of classes": (
        MLPRegressor(loss=nn.NLLLoss()),
        numbers,
        "NLLLoss is no loss of numbers; take MSE",
    ),
    "loss of two": (MLPRegressor(loss=nn.GaussianNLLLoss()), numbers, "is no loss of numbers"),
    "loss of one class": (MLPClassifier(loss=nn.NLLLoss()), labels, "several labels a row"),
    "loss's class": (MLPClassifier(loss=nn.HingeLoss), y3, "loss is an instance such as"),
    "model": (MLPClassifier(model=nn.ReLU()), y3, "model is a function of the numbers of"),
    "model's size": (
        MLPClassifier(model=lambda n, k: nn.Linear(n, 2)),
        y3,
        "the model gives 2 outputs, and 3 are needed",
    ),
    "alpha": (MLPClassifier(alpha=-1.0), y3, "alpha is a number of at least 0, not -1.0"),
    "max_iter": (MLPClassifier(max_iter=2.5), y3, "max_iter is a whole number"),
    "batch_size": (MLPClassifier(batch_size="all"), y3, "batch_size is a whole number"),
    "one class": (MLPClassifier(), ["a"] * 120, "y has one class, .'a'."),
    "numbers for classes": (MLPClassifier(), numbers, "Unknown label type: continuous"),
    "classes for numbers": (MLPRegressor(), y3, "could not convert string to float"),
    "class_weight": (MLPClassifier(class_weight={"down": 2.0}), y3, "are not in class_weight"),
    "validation": (
        MLPClassifier(early_stopping=True, validation_fraction=1),
        yes,
        "1 of 120 rows is too few|should be greater or equal",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_it_cant_take_is_said_before_it_trains(name: str) -> None:
    estimator, y, message = WRONG[name]
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(X3, y)
    assert not hasattr(estimator, "loss_")


def test_rows_to_validate_with_are_checked() -> None:
    estimator = MLPClassifier(**SMALL)
    with pytest.raises(ValueError, match=r"y has the classes \['down'\], and those known are"):
        estimator.fit(X3, y3, X_val=X3[:1], y_val=["down"])
    with pytest.raises(ValueError, match="X has 2 features"):
        estimator.fit(X3, y3, X_val=X3[:, :2], y_val=y3)
    with pytest.raises(ValueError, match="X_val and y_val go together"):
        estimator.fit(X3, y3, y_val=y3)


def test_partial_fit_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X3, y3)
    with pytest.raises(ValueError, match="early_stopping=False"):
        MLPRegressor(early_stopping=True).partial_fit(X3, numbers)
    with pytest.raises(ValueError, match="can't know what is balanced"):
        MLPClassifier(class_weight="balanced").partial_fit(X3, y3, classes=np.unique(y3))
    estimator = MLPClassifier(**SMALL).partial_fit(X3, yes, classes=["yes", "no"])
    estimator.partial_fit(X3, yes, classes=["no", "yes"])
    with pytest.raises(ValueError, match=r"classes are .*'perhaps'.*, and were .* at first"):
        estimator.partial_fit(X3, yes, classes=["no", "perhaps", "yes"])
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        estimator.partial_fit(X3, yes, -np.ones(120))


def test_what_has_not_converged_is_warned_of() -> None:
    with pytest.warns(ConvergenceWarning, match="not converged in the 2 iterations of max_iter"):
        MLPRegressor(**SMALL, max_iter=2).fit(X3, numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPRegressor(**SMALL, max_iter=2, n_iter_no_change=np.inf).fit(X3, numbers)


def test_a_run_that_diverges_keeps_the_last_numbers() -> None:
    with pytest.warns(RuntimeWarning, match="the run stopped"):
        estimator = MLPRegressor(**SMALL | {"solver": "sgd", "learning_rate_init": 1e3})
        estimator.fit(X3, numbers)
    assert np.isfinite(estimator.predict(X3)).all()
