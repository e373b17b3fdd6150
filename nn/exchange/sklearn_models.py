"""scikit-learn's MLPClassifier and MLPRegressor: the fitted objects read, and made."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn.containers import Sequential
from nn.exchange.parts import ReadError, activation, linear, row, unwritable
from nn.layers import Dropout, Identity, Linear, ReLU, Sigmoid, Softmax, Tanh
from nn.module import Module


def read(estimator: Any) -> Sequential:
    """Return the network of a fitted MLPClassifier or MLPRegressor, whose output is that of
    `predict_proba` or `predict`; two classes are one probability, that of the second."""
    kind = type(estimator).__name__
    if isinstance(getattr(estimator, "model_", None), Module):
        raise ReadError(kind, "", "it is an estimator of nn.sklearn: its network is its `model_`")
    if steps := getattr(estimator, "steps", None):
        one = f"nn.read(pipeline[{steps[-1][0]!r}])"
        reason = f"it is a pipeline; read its last step, {one}, of rows that those before gave"
        raise ReadError(kind, "", reason)
    if not hasattr(estimator, "coefs_"):
        raise ReadError(kind, "", "it is no fitted MLPClassifier or MLPRegressor")
    last = len(estimator.coefs_) - 1
    found: list[Module] = []
    for i, (weight, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        found.append(linear(kind, f"coefs_[{i}]", weight.T, bias))
        name = estimator.out_activation_ if i == last else estimator.activation
        if name != "identity":
            found.append(activation(kind, f"coefs_[{i}]", name))
    return Sequential(*found)


_NAMES: dict[type[Module], str] = {
    ReLU: "relu",
    Sigmoid: "logistic",
    Softmax: "softmax",
    Tanh: "tanh",
}


def write(model: Module, estimator: Any) -> None:
    """Have an MLPClassifier or MLPRegressor be as if fitted: it predicts what the network gives.

    That is of Linear layers, with one activation between all of them: relu, tanh, logistic or none.
    A regressor's ends there; a classifier's ends in Softmax, or in Sigmoid, of which one is the
    probability of the second of two classes, and several are those of labels. The classes are
    those that the estimator has, or else 0, 1, …. Raises ValueError for other networks.
    """
    kind = type(estimator)
    layers, names = _layers(model, kind.__name__)
    *inner, last = names
    is_classifier = hasattr(kind, "predict_proba")
    if len({*inner}) > 1 or "softmax" in inner or (last == "identity") == is_classifier:
        raise ValueError(
            f"{kind.__name__} has one activation between layers, relu, tanh, logistic or identity, "
            f"and ends in {'Softmax or Sigmoid' if is_classifier else 'none'}, not in {names}"
        )
    weights = [layer.state_dict()["weight"] for layer in layers]
    biases = [layer.state_dict().get("bias", np.zeros(layer.out_features)) for layer in layers]
    outputs = layers[-1].out_features
    if last == "softmax" and outputs == 2:  # where scikit-learn has one column
        weights[-1], biases[-1] = np.diff(weights[-1], axis=0), np.diff(biases[-1])
    sizes = tuple(layer.out_features for layer in layers[:-1])
    settings = {"hidden_layer_sizes": sizes, "activation": inner[0] if inner else "identity"}
    # scikit-learn sets up what belongs to a fitted one, on a row of zeros
    twin = kind(**settings, random_state=0)
    x, y = np.zeros((1, layers[0].in_features)), np.zeros((1, outputs))
    if is_classifier:
        classes = getattr(estimator, "classes_", np.arange(max(outputs, 2)))
        if len(classes) != max(outputs, 2):
            raise ValueError(f"the estimator has {len(classes)} classes, the network {outputs}")
        labels = last == "logistic" and outputs > 1
        twin.partial_fit(x, y if labels else classes[:1], classes=classes)
    else:
        twin.partial_fit(x, y if outputs > 1 else y[0])
    for found, own in zip([*weights, *biases], [*twin.coefs_, *twin.intercepts_], strict=True):
        own[...] = found.T
    del twin._optimizer, twin.loss_curve_[:]
    estimator.set_params(**settings)
    for name in [name for name in vars(estimator) if name.endswith("_") or name == "_optimizer"]:
        delattr(estimator, name)  # of another fit
    fitted = vars(twin).keys() - twin.get_params().keys()
    vars(estimator).update({name: vars(twin)[name] for name in fitted})


def _layers(model: Module, target: str) -> tuple[list[Linear], list[str]]:
    """The Linear layers of a model, and the names of the activations after them."""
    layers: list[Linear] = []
    names: list[str] = []
    for name, layer in row(model):
        if type(layer) is Linear:
            layers.append(layer)
            names.append("identity")
        elif type(layer) in _NAMES and names and names[-1] == "identity":
            names[-1] = _NAMES[type(layer)]
        elif type(layer) not in (Dropout, Identity):
            raise unwritable(name, layer, f"an {target}")
    if not layers:
        raise ValueError("there is no Linear in the model to be written")
    return layers, names
