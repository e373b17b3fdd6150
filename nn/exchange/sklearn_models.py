"""scikit-learn's MLPClassifier and MLPRegressor, read from the fitted object."""

from __future__ import annotations

from typing import Any

from nn.containers import Sequential
from nn.exchange.parts import ReadError, activation, linear
from nn.module import Module


def read(estimator: Any) -> Sequential:
    """Return the network of a fitted MLPClassifier or MLPRegressor, whose output is that of
    `predict_proba` or `predict`; two classes are one probability, that of the second."""
    kind = type(estimator).__name__
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
