#!/bin/sh
# keras 3.15.1 with torch 2.13.0 as its backend, NumPy 2.4.6, CPython 3.11, Linux x86-64: reading
# the weights of a model, `model.get_weights()`, warns twice for each of them that __array__ takes
# no copy keyword (a DeprecationWarning of NumPy 2), and so it is an exception where warnings are
# errors, as in many tests. The arrays are right.
#
# Output seen:
#   about the copy keyword: 4 warnings for 2 arrays
#   with warnings as errors: DeprecationWarning
#
# What to do: filter that warning around get_weights(); keras.ops.convert_to_numpy gives it, too.
# Exits with 0 while this is so, with 1 once it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q keras==3.15.1 torch==2.13.0 numpy==2.4.6
cd "$folder"
KERAS_HOME="$folder" KERAS_BACKEND=torch venv/bin/python -W ignore - <<'PYTHON'
import sys
import warnings

import keras

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    arrays = model.get_weights()
said = [w for w in caught if "copy keyword" in str(w.message)]
print(f"about the copy keyword: {len(said)} warnings for {len(arrays)} arrays")
raised = "nothing"
with warnings.catch_warnings():
    warnings.simplefilter("error")
    try:
        model.get_weights()
    except Exception as error:
        raised = type(error).__name__
print("with warnings as errors:", raised)
sys.exit(0 if len(said) == 2 * len(arrays) == 4 and raised == "DeprecationWarning" else 1)
PYTHON
