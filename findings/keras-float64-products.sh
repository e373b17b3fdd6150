#!/bin/sh
# keras 3.15.1 with torch 2.13.0 as its backend, NumPy 2.4.6, CPython 3.11, Linux x86-64: a model all
# of float64 (floatx, policy, input, weights, output) multiplies matrices in float32. The predictions
# are a float64 array with the accuracy of float32: those of one Dense layer differ from the same
# product in NumPy by 1e-7. `keras.ops.matmul` of two float64 tensors gives a float32 one.
#
# Output seen:
#   result_type: float32
#   ops.matmul of two float64 tensors: torch.float32
#   layer: weights float64, predictions float64
#   largest difference from NumPy: 1.8e-07
#
# What to do: don't judge by Keras's predictions to more than 6 digits, whatever its dtypes say.
# Exits with 0 while this is so, with 1 once it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q keras==3.15.1 torch==2.13.0 numpy==2.4.6
cd "$folder"
KERAS_HOME="$folder" KERAS_BACKEND=torch venv/bin/python -W ignore - <<'PYTHON'
import sys

import keras
import numpy as np
import torch

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
double = torch.ones((2, 2), dtype=torch.float64)
product = keras.ops.matmul(double, double).dtype
print("result_type:", keras.backend.result_type("float64", "float64"))
print("ops.matmul of two float64 tensors:", product)

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
W = np.random.default_rng(1).normal(size=(3, 4))
model.set_weights([W, np.zeros(4)])
X = np.random.default_rng(0).normal(size=(20, 3))
predicted = model.predict(X, verbose=0)
print(f"layer: weights {model.get_weights()[0].dtype}, predictions {predicted.dtype}")
off = np.abs(predicted - X @ W).max()
print(f"largest difference from NumPy: {off:.1e}")
same = product == torch.float32 and predicted.dtype == np.float64 and 1e-9 < off < 1e-5
sys.exit(0 if same else 1)
PYTHON
