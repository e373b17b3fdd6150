"""Estimators for scikit-learn's pipelines, searches and scores, trained by `nn.fit`.

Arguments and attributes have the names of scikit-learn's `MLPClassifier` and `MLPRegressor` where
they mean the same. No other module imports scikit-learn.
"""

from __future__ import annotations

import copy
import inspect
import math
import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self, TypeAlias

import numpy as np

from engine.errors import whole
from nn import layers
from nn.containers import Sequential
from nn.layers import Activation, Dropout, Identity, Linear, LogSoftmax, Sigmoid
from nn.list_losses import CrossEntropyLoss, MultiMarginLoss, NLLLoss
from nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    HingeLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    PoissonNLLLoss,
    SmoothL1Loss,
)
from nn.metrics import r2
from nn.module import Module
from nn.optim import Optimizer, optimizers
from nn.predicting import predict
from nn.stopping import EarlyStopping
from nn.train import fit
from nn.updates import History, PathName

try:
    from scipy.special import expit, logit, softmax
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import LabelBinarizer
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise ModuleNotFoundError(
        "nn.sklearn needs scikit-learn 1.6 or later: pip install 'gradloom[sklearn]'",
        name="sklearn",
    ) from error

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def _by_name(module: Any, base: type) -> dict[str, Any]:
    """A module's public classes derived from `base`, by their names in small letters."""
    found = {name.lower(): item for name, item in vars(module).items() if name[0] != "_"}
    classes = {name: item for name, item in found.items() if inspect.isclass(item)}
    return {name: c for name, c in classes.items() if issubclass(c, base) and c is not base}


_SOLVERS = _by_name(optimizers, Optimizer)
_ACTIVATIONS = {**_by_name(layers, Activation), "identity": Identity, "logistic": Sigmoid}
del _ACTIVATIONS["dropout"]
_OF_NUMBERS = (MSELoss, L1Loss, HuberLoss, SmoothL1Loss, PoissonNLLLoss)
_OF_ONE_CLASS = (NLLLoss, MultiMarginLoss)  # which take the number of a class
_OF_LABELS = (BCELoss, BCEWithLogitsLoss, HingeLoss)  # which take a yes or no for each class
_OF_MARGINS = (HingeLoss, MultiMarginLoss)  # whose scores are no probabilities
_OUTPUT_LAYERS = {BCELoss: Sigmoid, NLLLoss: LogSoftmax}  # where a loss does not take scores


class _HalfSquaredLoss(MSELoss):
    """(y - t)² / 2, which is scikit-learn's: `alpha` then weighs as much as there."""

    def term(self, y: Any, t: Any) -> Any:
        return 0.5 * super().term(y, t)


@dataclass(repr=False, eq=False)
class _MLP(BaseEstimator):  # type: ignore[misc]
    """What the estimators have in common. The fields are the constructor's arguments."""

    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    dropout: Any = 0.0
    model: Callable[..., Module] | None = None
    solver: Any = "adam"
    alpha: float = 0.0001
    batch_size: Any = "auto"
    learning_rate_init: float = 0.001
    scheduler: Callable[[Any], Any] | None = None
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    fit_options: Mapping[str, Any] | None = None

    # --- what was learnt ---

    @property
    def coefs_(self) -> list[Array]:
        """The weights of the model's Linear layers, (inputs, outputs) each."""
        return [state["weight"].T for state in self._linear()]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of the model's Linear layers, 0 where there is none."""
        return [state.get("bias", np.zeros(len(state["weight"]))) for state in self._linear()]

    @property
    def n_layers_(self) -> int:
        """How many layers there are, that of the inputs included."""
        return len(self._linear()) + 1

    def _linear(self) -> list[dict[str, Array]]:
        return [part.state_dict() for part in self.model_.modules() if isinstance(part, Linear)]

    # --- learning ---

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Learn from X, (n, features), and y, (n,) or (n, labels or numbers), and return this.

        With X_val and y_val the validation curve and `early_stopping` are of these, else the
        latter is of the `validation_fraction` of the rows; there all rows count alike. Raises
        ValueError for data that do not fit together, or the estimator, such as one class alone.
        """
        return self._train(X, y, sample_weight, (X_val, y_val))

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        held_out: tuple[Any, Any] = (None, None),
        *,
        classes: Any = None,
        further: bool = False,
    ) -> Self:
        """Train anew; with `warm_start` from the weights that there are; or `further` by an epoch,
        with the optimiser that there is, too. Return the estimator."""
        self._check_settings(further)
        first = not hasattr(self, "model_") or not (further or self.warm_start)
        X, y = self._checked(X, y, reset=first)
        if first:
            self._learn_classes(y, classes, further)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes are {classes}, and were {self.classes_} at first")
        if not first and self.model is None:
            own = [weights.shape[1] for weights in self.coefs_[:-1]]
            if (sizes := self._sizes()) != own:
                raise ValueError(
                    f"hidden_layer_sizes is {sizes}, and the model that this goes on with has "
                    f"{own}: fit once with warm_start=False"
                )
        if sample_weight is None:
            weights = None
        else:
            weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        weights = self._weighed(y, weights, further)
        state = check_random_state(self.random_state)
        seed, validation = int(state.randint(2**31 - 1)), None
        if (held_out[0] is None) != (held_out[1] is None):
            raise ValueError("X_val and y_val go together: give both, or none")
        if held_out[0] is not None:
            validation = self._checked(*held_out, reset=False)
        elif self.early_stopping:
            X, y, weights, validation = self._divided(X, y, weights, state)
        if first:
            encoded = self._encoded(y)
            self.n_outputs_ = encoded.shape[1] if encoded.ndim == 2 else len(self.classes_)
            self.model_ = self._built(X, random.Random(seed))
            self.loss_curve_: list[float] = []
            self.t_ = 0
        if first or not further:
            self.optimizer_ = self._optimizer()
            self._scheduler = self.scheduler and self.scheduler(self.optimizer_)
        loss, targets = self._loss(), self._targets(y)
        size = len(X) if self.batch_size is None else self.batch_size
        size = min(200 if size == "auto" else whole("batch_size", size, 1), len(X))
        terms = size * targets[0].size * (1.0 if weights is None else weights.mean() or 1.0)
        options, rests = dict(self.fit_options or {}), self.n_iter_no_change < math.inf
        if self.early_stopping:
            patience = int(self.n_iter_no_change) + 1 if rests else None
            options["early_stopping"] = EarlyStopping(patience, "val_score", "max", self.tol)
        elif rests:
            options["callbacks"] = [*options.get("callbacks", ()), self._stop_at_rest]

        def score(y: Array, outputs: Array) -> float:
            return float(self._score(y, outputs))

        score.held_out_alone = True  # type: ignore[attr-defined]  # as in scikit-learn

        told: dict[str, Any] = {
            "loss": loss,
            "optimizer": self.optimizer_,
            "epochs": 1 if further else self.max_iter,
            "batch_size": size,
            "shuffle": self.shuffle,
            "seed": seed + len(self.loss_curve_),
            "validation_data": validation and (validation[0], self._targets(validation[1])),
            "sample_weight": weights,
            "l2": self.alpha / (1.0 if getattr(loss, "reduction", "") == "sum" else terms),
            "scheduler": self._scheduler,
            "metrics": [score] if validation else [],
            "progress": bool(self.verbose),
        }
        if twice := sorted(told.keys() & options.keys()):
            raise ValueError(f"fit_options has {twice}, of which the estimator's arguments tell")
        self.history_: History = fit(self.model_, X, targets, **told, **options)
        self._note(len(X))
        if rests and not further and self.n_iter_ == self.max_iter and not self.history_.stopped:
            warnings.warn(
                f"training has not converged in the {self.max_iter} iterations of max_iter",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _check_settings(self, further: bool) -> None:
        for name in ("alpha", "learning_rate_init", "tol"):
            number = getattr(self, name)
            if not isinstance(number, int | float | np.number) or not 0.0 <= number < math.inf:
                raise ValueError(f"{name} is a number of at least 0, not {number!r}")
        whole("max_iter", self.max_iter, 1)
        if self.n_iter_no_change != math.inf:
            whole("n_iter_no_change", self.n_iter_no_change, 1)
        if further and self.early_stopping:
            raise ValueError("partial_fit trains for one epoch: it needs early_stopping=False")

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        numeric = not is_classifier(self)
        X, y = validate_data(
            self, X, y, multi_output=True, y_numeric=numeric, dtype=np.float64, reset=reset
        )
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _divided(self, X: Array, y: Array, weights: Array | None, state: Any) -> tuple[Any, ...]:
        """X, y and weights to learn from, and the X and y to validate with."""
        rows, others = train_test_split(
            np.arange(len(X)),
            test_size=self.validation_fraction,
            random_state=state,
            stratify=y if is_classifier(self) and y.ndim == 1 else None,
        )
        if len(others) < 2:
            raise ValueError(
                f"{len(others)} of {len(X)} rows is too few to validate with: give a larger "
                "validation_fraction, or X_val and y_val"
            )
        return X[rows], y[rows], None if weights is None else weights[rows], (X[others], y[others])

    def _built(self, X: Array, rng: random.Random) -> Module:
        """The model, before it has learnt anything."""
        self._bare = False  # whether it returns one number that is in no list
        if self.model is not None:
            return self._own(X, rng)
        inputs, parts = X.shape[1], list[Module]()
        sizes = self._sizes()
        activations = _each("activation", self.activation, sizes)
        dropouts = _each("dropout", self.dropout, sizes)
        for size, activation, p in zip(sizes, activations, dropouts, strict=True):
            parts += [Linear(inputs, whole("hidden_layer_sizes", size, 1), rng=rng)]
            parts += [_activation(activation), *([Dropout(p)] if p else [])]
            inputs = size
        parts.append(Linear(inputs, self.n_outputs_, rng=rng))
        output_layer = _OUTPUT_LAYERS.get(type(self._loss()))
        return Sequential(*parts, *([output_layer()] if output_layer else []))

    def _sizes(self) -> list[Any]:
        return np.ravel(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()

    def _own(self, X: Array, rng: random.Random) -> Module:
        """The model that the user's function makes."""
        made = None
        if callable(self.model) and not isinstance(self.model, Module):
            named = {"rng": rng} if "rng" in inspect.signature(self.model).parameters else {}
            made = self.model(X.shape[1], self.n_outputs_, **named)
        if not isinstance(made, Module):
            raise TypeError(
                "model is a function of the numbers of features and outputs that returns an "
                f"nn.Module, such as lambda n, k: nn.Linear(n, k); this is {self.model!r:.200}"
            )
        output = predict(made, X[:1])
        if output.size != self.n_outputs_:
            raise ValueError(
                f"the model gives {output.size} outputs, and {self.n_outputs_} are needed here"
            )
        self._bare = output.ndim == 1
        return made

    def _optimizer(self) -> Any:
        make = _named("solver", self.solver, _SOLVERS)
        if not callable(make):
            raise TypeError(
                "solver is a name, or a function of parameters and lr that makes an optimiser, "
                f"such as nn.Adam, not {make!r:.200}"
            )
        settings: dict[str, Any] = {"lr": self.learning_rate_init}
        known = inspect.signature(make).parameters if isinstance(self.solver, str) else {}
        if "nesterov" in known:
            nesterov = self.nesterovs_momentum and self.momentum > 0.0
            settings |= {"momentum": self.momentum, "nesterov": nesterov}
        if "betas" in known:
            settings |= {"betas": (self.beta_1, self.beta_2), "eps": self.epsilon}
        return make(self.model_.parameters(), **settings)

    def _learn_classes(self, y: Array, classes: Any, further: bool) -> None:
        """Note what classes there are, where y is of classes."""

    def _weighed(self, y: Array, weights: Array | None, further: bool) -> Array | None:
        """The weights of the rows, times those of their classes."""
        return weights

    def _targets(self, y: Array) -> Array:
        """What the loss is told of y."""
        encoded = self._encoded(y)
        return np.ravel(encoded) if self._bare else np.asarray(encoded)

    def _stop_at_rest(self, epoch: int, history: History) -> None:
        """A callback: stop where the loss is no longer less by `tol` than the least before."""
        losses, count = np.array(history.loss), int(self.n_iter_no_change) + 1
        better = losses[1:] <= np.fmin.accumulate(losses)[:-1] - self.tol
        if epoch >= count and not better[-count:].any():
            history.stopped = f"the loss was not less by {self.tol} for {count} epochs"

    def _note(self, rows: int) -> None:
        """Set the attributes that tell of the training."""
        history = self.history_
        self.n_iter_ = len(history.loss)
        self.t_ += rows * self.n_iter_
        self.loss_curve_ += history.loss
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else math.nan
        self.best_loss_ = min(self.loss_curve_, default=math.nan)
        self.validation_curve_ = history.val_loss or None
        self.validation_scores_ = history.metrics.get("val_score")
        self.best_validation_score_ = max(self.validation_scores_ or [math.nan])

    # --- predicting ---

    def _outputs(self, X: Any) -> Array:
        """The model's outputs, (rows, n_outputs_)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        path: PathName = "vectorised" if self.history_.path == "vectorised" else "auto"
        return predict(self.model_, X, path=path).reshape(len(X), -1)


def _has_probabilities(estimator: MLPClassifier) -> bool:
    return not isinstance(estimator.loss, _OF_MARGINS) and estimator.loss != "hinge"


@dataclass(repr=False, eq=False)
class MLPClassifier(ClassifierMixin, _MLP):  # type: ignore[misc]
    """A network that tells classes apart, or, of a y with a column of 0 and 1 for each, which
    of several labels a row has.

    What goes by scikit-learn's `MLPClassifier`, defaults included, are `alpha`, `batch_size`,
    `learning_rate_init`, `max_iter`, `shuffle`, `random_state`, `tol`, `n_iter_no_change`,
    `verbose`, `warm_start`, `early_stopping`, `validation_fraction`, `momentum` and
    `nesterovs_momentum` (of "sgd"), `beta_1`, `beta_2` and `epsilon` (of "adam" and its kin). A
    `batch_size` of None is all rows, `n_iter_no_change` inf trains for all of `max_iter`. The rest:

    - `hidden_layer_sizes`: a number or several; () is a linear model;
    - `activation`: "relu", "tanh", "logistic", "identity", "gelu", "silu", … in small letters for
      any of nn's, an object such as nn.LeakyReLU(0.1), a function of one number such as engine.sin;
      or a list with one for each hidden layer;
    - `dropout`: the probability of `nn.Dropout` after each hidden layer, or a list of these;
    - `model`: in place of these three, a function of the numbers of features and outputs, and of
      `rng` if it has such an argument, that returns an nn.Module;
    - `solver`: "adam", "sgd", "rmsprop", … for any of nn's optimisers but LBFGS, or a function of
      parameters and `lr`, such as functools.partial(nn.SGD, momentum=0.5), or nn.LBFGS with a
      `batch_size` of None; `scheduler`: a function of the optimiser that makes one;
    - `loss`: "log_loss", "hinge", or an object: CrossEntropyLoss, NLLLoss, MultiMarginLoss,
      BCEWithLogitsLoss, BCELoss, HingeLoss, or a function of (output, target) of one example, which
      is given what "log_loss" is: for more than two classes their scores and the number of one,
      else lists;
    - `class_weight`: a dict of classes, or "balanced", as elsewhere in scikit-learn;
    - `fit_options`: further arguments of `nn.fit`, such as {"clip_norm": 1.0, "path": "scalar"}.

    Once fitted it has scikit-learn's `classes_`, `coefs_`, `intercepts_`, `out_activation_`,
    `loss_`, `loss_curve_`, `best_loss_`, `n_iter_`, `t_`, `n_layers_`, `n_outputs_`,
    `n_features_in_`, `feature_names_in_`, `validation_scores_`, `best_validation_score_`; and
    `validation_curve_`, the loss on the validation rows after each epoch, the `history_` of it all,
    the `optimizer_`, and `model_`, the nn.Module: it gives scores, and can be drawn, explained,
    saved and compiled.

    Raises ValueError and TypeError for settings and data that it can't take, before it trains.

    >>> from nn import data
    >>> X, y = data.iris()
    >>> names = np.array(["setosa", "versicolor", "virginica"])[y.astype(int)]
    >>> estimator = MLPClassifier([16], ["tanh"], learning_rate_init=0.02, random_state=0)
    >>> estimator.fit(X, names).score(X, names) > 0.95
    True
    >>> estimator.predict(X[:1]), estimator.model_
    (array(['setosa'], dtype='<U10'), Sequential(
      (0): Linear(in_features=4, out_features=16, bias=True)
      (1): Tanh()
      (2): Linear(in_features=16, out_features=3, bias=True)
    ))
    """

    _: KW_ONLY
    loss: Any = "log_loss"
    class_weight: Any = None

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Learn from these rows for one epoch more, and return this.

        The first time `classes` says which there will be. Raises ValueError as `fit` does.
        """
        return self._train(X, y, sample_weight, classes=classes, further=True)

    def decision_function(self, X: Any) -> Array:
        """Return scores: (n,) of two classes, above 0 for the second, else a column for each."""
        return self._scores(self._outputs(X))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, or of each label, a column each.

        There is none with HingeLoss and MultiMarginLoss, whose scores are no probabilities.
        """
        scores = self.decision_function(X)
        if self.out_activation_ == "softmax" and scores.ndim == 2:
            return np.asarray(softmax(scores, axis=1))
        found = np.asarray(expit(scores))
        if found.ndim == 1:
            return np.stack([1.0 - found, found], axis=1)
        return found if self._is("multilabel-indicator") else found / found.sum(1, keepdims=True)

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`."""
        return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Any) -> Array:
        """Return the class of each row, or a column of 0 and 1 for each label."""
        return self._labels(self.decision_function(X))

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of scores: "softmax", "logistic", or "identity" for none."""
        if isinstance(self._loss(), _OF_MARGINS):
            return "identity"
        return "softmax" if self._by_number() else "logistic"

    # --- classes, as the loss and the model have them ---

    def _loss(self) -> Any:
        default = CrossEntropyLoss if self._is("multiclass") else BCEWithLogitsLoss
        loss = _named("loss", self.loss, {"log_loss": default(), "hinge": HingeLoss()})
        loss = _fit_for("classes", loss, (CrossEntropyLoss, *_OF_ONE_CLASS, *_OF_LABELS))
        if isinstance(loss, _OF_ONE_CLASS) and self._is("multilabel-indicator"):
            raise ValueError(
                f"{type(loss).__name__} is for one class of several, and y has several labels a "
                "row: take nn.BCEWithLogitsLoss()"
            )
        return loss

    def _is(self, kind: str) -> bool:
        return bool(self._binarizer.y_type_ == kind)

    def _by_number(self) -> bool:
        """Whether the target is the number of a class, else a yes or no for each column."""
        loss = self._loss()
        return isinstance(loss, _OF_ONE_CLASS) or (
            self._is("multiclass") and not isinstance(loss, _OF_LABELS)
        )

    def _learn_classes(self, y: Array, classes: Any, further: bool) -> None:
        check_classification_targets(y)
        if further and classes is None and y.ndim == 1:
            raise ValueError("classes must be passed on the first call to partial_fit")
        self._binarizer = LabelBinarizer().fit(y if classes is None or y.ndim == 2 else classes)
        self.classes_: Array = self._binarizer.classes_
        if len(self.classes_) < 2 and y.ndim == 1:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()}; there must be two or more"
            )

    def _encoded(self, y: Array) -> Array:
        if y.ndim == 1 and (unknown := np.setdiff1d(unique_labels(y), self.classes_)).size:
            raise ValueError(f"y has the classes {unknown}, and those known are {self.classes_}")
        columns = self._binarizer.transform(y)
        if self._by_number():
            return np.asarray(columns[:, 0] if self._is("binary") else columns.argmax(axis=1))
        return np.asarray(2 * columns - 1 if isinstance(self._loss(), HingeLoss) else columns)

    def _scores(self, outputs: Array) -> Array:
        outputs = logit(outputs) if isinstance(self._loss(), BCELoss) else outputs
        if self._is("binary"):
            return outputs[:, 1] - outputs[:, 0] if self._by_number() else outputs[:, 0]
        return outputs

    def _labels(self, scores: Array) -> Array:
        return np.asarray(self._binarizer.inverse_transform(scores, threshold=0.0))

    def _score(self, targets: Array, outputs: Array) -> float:
        n = len(targets)
        if self._by_number():
            known = self.classes_[targets.astype(int)]
        else:
            columns = targets.reshape(n, -1) - 0.5  # above 0 is yes
            known = self._labels(columns[:, 0] if self._is("binary") else columns)
        found = self._labels(self._scores(outputs.reshape(n, -1)))
        return float((found == known).reshape(n, -1).all(axis=1).mean())

    def _weighed(self, y: Array, weights: Array | None, further: bool) -> Array | None:
        if self.class_weight is None:
            return weights
        if further and self.class_weight == "balanced":
            raise ValueError(
                "partial_fit can't know what is balanced: give class_weight as a dict, which "
                "sklearn.utils.class_weight.compute_class_weight makes from all of y"
            )
        own = compute_sample_weight(self.class_weight, y)
        return np.asarray(own if weights is None else weights * own)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(repr=False, eq=False)
class MLPRegressor(RegressorMixin, _MLP):  # type: ignore[misc]
    """A network that estimates numbers, one or several a row.

    Arguments and attributes are those of `MLPClassifier`, but for `class_weight`, `classes_` and
    the `loss`: "squared_error", which as in scikit-learn is half of the square, "absolute_error",
    "huber", "poisson" (the model then gives logarithms), a loss of nn's that compares numbers, such
    as nn.HuberLoss(delta=2.0), or a function of (output, target) of one example, two lists of
    `n_outputs_` numbers. `validation_scores_` are R².

    >>> import engine
    >>> def pinball(output, target):  # nine in ten are below
    ...     error = target[0] - output[0]
    ...     return engine.maximum(0.9 * error, -0.1 * error)
    >>> X = np.linspace(0.0, 1.0, 200).reshape(-1, 1)
    >>> y = X[:, 0] + np.random.default_rng(0).normal(size=200)
    >>> estimator = MLPRegressor((), loss=pinball, learning_rate_init=0.05, random_state=0)
    >>> f"{np.mean(y < estimator.fit(X, y).predict(X)):.1f}"
    '0.9'
    """

    _: KW_ONLY
    loss: Any = "squared_error"

    @property
    def out_activation_(self) -> str:
        """What makes predictions of outputs: "exp" where these are logarithms, else "identity"."""
        loss = self._loss()
        return "exp" if isinstance(loss, PoissonNLLLoss) and loss.log_input else "identity"

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from these rows for one epoch more, and return this. Raises as `fit` does."""
        return self._train(X, y, sample_weight, further=True)

    def predict(self, X: Any) -> Array:
        """Return the numbers of each row, (n,) or (n, outputs)."""
        found = self._numbers(self._outputs(X))
        return found.ravel() if self.n_outputs_ == 1 else found

    def _numbers(self, outputs: Array) -> Array:
        return np.exp(outputs) if self.out_activation_ == "exp" else outputs

    def _score(self, targets: Array, outputs: Array) -> float:
        return r2(targets, self._numbers(outputs))

    def _loss(self) -> Any:
        known = {
            "squared_error": _HalfSquaredLoss(),
            "absolute_error": L1Loss(),
            "huber": HuberLoss(),
            "poisson": PoissonNLLLoss(),
        }
        return _fit_for("numbers", _named("loss", self.loss, known), _OF_NUMBERS)

    def _encoded(self, y: Array) -> Array:
        return y.reshape(len(y), -1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _named(what: str, given: Any, known: Mapping[str, Any]) -> Any:
    """What a name stands for, or what was given in its place."""
    if not isinstance(given, str):
        return given
    if given not in known:
        raise ValueError(
            f"{what} is {', '.join(map(repr, known))}, or an object of nn's or your own, "
            f"not {given!r}"
        )
    return known[given]


def _fit_for(what: str, loss: Any, fit: tuple[type, ...]) -> Any:
    """The loss, if it is one of those that are fit, or is none of nn's."""
    if type(loss).__module__.startswith("nn.") and not isinstance(loss, fit):
        names = ", ".join(kind.__name__ for kind in fit)
        raise ValueError(f"{type(loss).__name__} is no loss of {what}; take {names}, or a function")
    return loss


def _each(what: str, given: Any, sizes: list[Any]) -> list[Any]:
    """A setting for each hidden layer: as given, or the same for all."""
    each = list(given) if isinstance(given, list | tuple) else [given] * len(sizes)
    if len(each) != len(sizes):
        raise ValueError(f"{what} has {len(each)} entries for {len(sizes)} hidden layers")
    return each


def _activation(given: Any) -> Module:
    """An activation by its name, its class, or one to copy."""
    found = _named("activation", given, _ACTIVATIONS)
    if isinstance(found, Module):
        return copy.deepcopy(found)
    if not callable(found):
        raise TypeError(f"activation is a name, or such as nn.LeakyReLU(0.1), not {given!r}")
    if inspect.isclass(found) and issubclass(found, Module):
        return found()
    made = Activation()
    made.function = found
    return made
