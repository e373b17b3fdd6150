#!/bin/sh
# scikit-learn 1.9.1: MLPRegressor of k outputs steps along k times the gradient of its loss_.
#
# The loss that is reported is a mean over rows and outputs, but what is propagated back is the
# difference of output and target, divided by the rows alone. With alpha=0 that is a learning rate k
# times as large as the loss says. With a penalty, whose gradient is not multiplied, it is another
# minimum: loss_ goes up again while training goes on towards the minimum of something else, in
# which alpha weighs 1 / k of what it weighs in loss_, loss_curve_, and the stopping by tol.
#
# Seen: 1 output: step over gradient 1.000000; 2 outputs: 2.000000; 5 outputs: 5.000000;
#       alpha 20: the least loss_ was 1.0132, after 20 of 300 iterations; at the end it is 1.0535
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
from sklearn.neural_network import MLPRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(20, 3))
SETTINGS = {"hidden_layer_sizes": (), "solver": "sgd", "momentum": 0.0, "random_state": 0}
SETTINGS |= {"batch_size": 20, "shuffle": False, "warm_start": True}


def step(Y, W, rate=0.25):
    """The loss at the weights W, and the step that is made from there."""
    model = MLPRegressor(**SETTINGS, alpha=0.0, learning_rate_init=rate, max_iter=1).fit(X, Y)
    model.coefs_[0][:], model.intercepts_[0][:] = W, 0.0
    model.fit(X, Y)
    return model.loss_, (W - model.coefs_[0]) / rate


for k in (1, 2, 5):
    Y, W = rng.normal(size=(20, k)), rng.normal(size=(3, k))
    E = np.zeros((3, k))
    E[0, 0] = 1e-4
    targets = Y.ravel() if k == 1 else Y
    slope = (step(targets, W + E)[0] - step(targets, W - E)[0]) / 2e-4
    ratio = step(targets, W)[1][0, 0] / slope
    print(f"{k} output{'s'[: k > 1]}: step over gradient {ratio:.6f}")
    assert abs(ratio - k) < 1e-6

Y = np.stack([X @ [1.0, -1.0, 0.5], X[:, 0], X[:, 1], X[:, 2], X.sum(axis=1)], axis=1)
model = MLPRegressor(**SETTINGS, alpha=20.0, learning_rate_init=0.05, max_iter=300)
model.set_params(n_iter_no_change=300)
curve = model.fit(X, Y).loss_curve_
least = int(np.argmin(curve))
print(f"alpha 20: the least loss_ was {curve[least]:.4f}, after {least} of {len(curve)} iterations; "
      f"at the end it is {curve[-1]:.4f}")
assert least < len(curve) // 2 and curve[-1] > 1.02 * curve[least]
PYTHON
