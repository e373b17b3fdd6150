#!/bin/sh
# onnx 1.23.2, the reference evaluator: GlobalMaxPool of signals also takes the maximum of the channels.
#
# For an input of shape (N, C, L) the operator's result is (N, C, 1), which shape inference says and
# onnxruntime 1.32.0 gives. The evaluator gives (N, 1): it takes the axes 1 and 2, which are right for
# pictures, (N, C, H, W), only by their being two. GlobalAveragePool of the same signals is right.
#
# Seen of two signals of three channels:
# GlobalMaxPool [[11.0], [23.0]], onnxruntime [[[3.0], [7.0], [11.0]], [[15.0], [19.0], [23.0]]]
# GlobalAveragePool the same as onnxruntime, (2, 3, 1)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
found = {}
for kind in ("GlobalMaxPool", "GlobalAveragePool"):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3, 1])
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"])], kind, [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model, full_check=True)
    [reference] = ReferenceEvaluator(model).run(None, {"x": X})
    [run] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    print(kind, reference.shape, reference.tolist(), "onnxruntime", run.shape, run.tolist())
    assert run.shape == (2, 3, 1)
    found[kind] = reference.shape
assert found == {"GlobalMaxPool": (2, 1), "GlobalAveragePool": (2, 3, 1)}
PYTHON
