#!/bin/sh
# skl2onnx 1.20.0: a multilayer perceptron of two outputs predicts one column, twice as long.
#
# The graph that to_onnx makes of scikit-learn 1.9.1's MLPRegressor ends in a Reshape to (-1, 1),
# whatever the number of outputs. Fitted on targets of shape (6, 2) it gives (12, 1): the numbers are
# right, and lie in the wrong rows. LinearRegression with the same targets gives (6, 2).
#
# Seen (onnxruntime 1.32.0): MLPRegressor (6, 2) as (12, 1), LinearRegression (6, 2) as (6, 2)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 3))
Y = X @ rng.normal(size=(3, 2))
shapes = []
for model in (MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0), LinearRegression()):
    expected = model.fit(X, Y).predict(X)
    content = to_onnx(model, X[:1]).SerializeToString()
    [found] = onnxruntime.InferenceSession(content).run(None, {"X": X})
    print(type(model).__name__, expected.shape, "as", found.shape)
    assert expected.shape == (6, 2) and np.allclose(found.ravel(), expected.ravel())
    shapes.append(found.shape)
assert shapes == [(12, 1), (6, 2)]
PYTHON
