"""ONNX files of PyTorch and skl2onnx predict as the models they were made of, and ours, run by
onnxruntime, as our models.
"""

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_onnx import MODELS, PICTURED, X, refused

import nn

pytestmark = pytest.mark.oracle

# Layers of torch.nn, and what is read of them; of a norm over the batch nothing is left.
LAYERS = {
    "ReLU()": "ReLU",
    "LeakyReLU(0.2)": "LeakyReLU",
    "ELU(0.7)": "ELU",
    "SELU()": "SELU",
    "GELU()": "GELU",
    "SiLU()": "SiLU",
    "Sigmoid()": "Sigmoid",
    "Softplus(2.0, 50.0)": "Softplus",
    "Softmax(-1)": "Softmax",
    "LogSoftmax(-1)": "LogSoftmax",
    "PReLU()": "LeakyReLU",
    "BatchNorm1d(5)": "",
    "Dropout(0.5)": "",
    "LayerNorm(5)": "LayerNorm",
    "Tanh()": "Tanh",
}


def exported(model: Any, path: Path, *, dynamo: bool, x: Any, **options: Any) -> None:
    """Write a model of torch, which warns of much."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (x,), path, dynamo=dynamo, verbose=False, **options)


@pytest.mark.parametrize("dynamo", [False, True])
def test_files_of_torch(dynamo: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    parts = [torch.nn.Linear(3, 5)]
    for name in LAYERS:
        layer = eval(f"torch.nn.{name}", {"torch": torch})
        parts += [layer, torch.nn.Sequential(torch.nn.Linear(5, 5, bias="S" not in name))]
    model, x = torch.nn.Sequential(*parts).double(), torch.tensor(X)
    model(x)  # gives the norm over the batch its mean and variance
    model.eval()
    exported(model, tmp_path / "net.onnx", dynamo=dynamo, x=x)
    read = nn.read(tmp_path / "net.onnx")
    kinds = [kind for name in LAYERS for kind in (LAYERS[name], "Linear") if kind]
    assert [type(layer).__name__ for layer in read] == ["Linear", *kinds]
    expected = model(x).detach().numpy()
    np.testing.assert_allclose(nn.predict(read, X), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("opset", [9, 12, 17])
def test_files_of_torch_with_older_opsets(opset: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 3)
    parts = [torch.nn.Flatten(), torch.nn.Linear(12, 3), torch.nn.GELU(), layer, torch.nn.SiLU()]
    model = torch.nn.Sequential(*parts, layer, torch.nn.Softmax(dim=1)).double().eval()
    x = torch.tensor(np.random.default_rng(0).normal(size=(6, 3, 2, 2)))
    path = tmp_path / "net.onnx"
    axes = {"x": {0: "n"}}
    exported(
        model, path, dynamo=False, x=x, opset_version=opset, input_names=["x"], dynamic_axes=axes
    )
    read = nn.read(path)
    expected = model(x).detach().numpy()
    found = nn.predict(read, x.numpy(), path="scalar")
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert read[3].weight[0][0] is read[5].weight[0][0]


@pytest.mark.parametrize("dynamo", [False, True])
def test_files_of_torch_with_convolutions(dynamo: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = [
        torch.nn.Conv2d(2, 4, 3, padding="same"),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2, padding=1),
        torch.nn.Conv2d(4, 4, (3, 2), (1, 2), 1, groups=2, bias=False),
        torch.nn.SiLU(),
        torch.nn.AvgPool2d(2, stride=1),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 3),
    ]
    model, x = torch.nn.Sequential(*layers).double(), torch.randn(5, 2, 6, 6, dtype=torch.float64)
    model(x)
    exported(model.eval(), tmp_path / "net.onnx", dynamo=dynamo, x=x)
    read = nn.read(tmp_path / "net.onnx")
    kinds = ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "SiLU", "AvgPool2d", "Flatten", "Linear"]
    assert [type(layer).__name__ for layer in read] == kinds
    found = nn.predict(read, x.numpy(), path="scalar")
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-12, atol=1e-12)


def test_what_torch_can_export_and_nn_lacks_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for layer in (torch.nn.ReLU6(), torch.nn.GELU("tanh"), torch.nn.GLU()):
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), layer)
        exported(model, tmp_path / "net.onnx", dynamo=False, x=torch.tensor(X).float())
        told = refused(tmp_path / "net.onnx")
        assert any(part in told for part in ("nn has", "branched")), told


# --- Keras ----------------------------------------------------------------------------------

KERAS = """
import sys
import keras
import numpy as np

Dense, folder = keras.layers.Dense, sys.argv[1]
leaky, dropout = keras.layers.LeakyReLU(0.2), keras.layers.Dropout(0.2)
last = [Dense(4, activation="gelu"), Dense(2, activation="softmax")]
model = keras.Sequential([keras.Input((3,)), Dense(5, activation="elu"), leaky, dropout, *last])
predicted = model(np.load(f"{folder}/X.npy"))
np.save(f"{folder}/y.npy", keras.ops.convert_to_numpy(predicted))
model.export(f"{folder}/net.onnx", format="onnx", verbose=False)
"""


def test_files_of_keras(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    if not importlib.util.find_spec("keras"):
        pytest.skip("Keras is not installed")
    np.save(tmp_path / "X.npy", X)
    command = [sys.executable, "-W", "ignore", "-c", KERAS, str(tmp_path)]  # Keras sets variables
    environment = {**os.environ, "KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    read = nn.read(tmp_path / "net.onnx")
    kinds = ["Linear", "ELU", "LeakyReLU", "Linear", "GELU", "Linear", "Softmax"]
    assert [type(layer).__name__ for layer in read] == kinds
    expected = np.load(tmp_path / "y.npy")  # in float32
    np.testing.assert_allclose(nn.predict(read, X), expected, rtol=1e-5, atol=1e-6)


# --- skl2onnx -------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("zipmap", [False, True])
def test_files_of_skl2onnx(activation: str, zipmap: bool, tmp_path: Path) -> None:
    neural_network = pytest.importorskip("sklearn.neural_network")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skl2onnx = pytest.importorskip("skl2onnx")
        pipeline = pytest.importorskip("sklearn.pipeline")
        preprocessing = pytest.importorskip("sklearn.preprocessing")
        rng = np.random.default_rng(0)
        X = rng.normal(size=(60, 4)) + 1.0
        several, two = np.array(["a", "b", "c"])[X[:, :3].argmax(1)], X[:, 0] > X[:, 1]
        options = {"hidden_layer_sizes": (5, 4), "activation": activation, "max_iter": 5}
        for y in (several, two):
            net = neural_network.MLPClassifier(random_state=0, **options)
            model = pipeline.make_pipeline(preprocessing.StandardScaler(), net).fit(X, y)
            proto = skl2onnx.to_onnx(model, X[:1], options={"zipmap": zipmap})
            expected = model.predict_proba(X)
            expected = expected if y is several else expected[:, 1:]
            found = nn.predict(nn.read(proto), X, path="scalar")
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        net = neural_network.MLPRegressor(random_state=0, **options).fit(
            X, X @ [1.0, 2.0, 3.0, 4.0]
        )
        found = nn.predict(nn.read(skl2onnx.to_onnx(net, X[:1], target_opset=12)), X, path="scalar")
        np.testing.assert_allclose(found[:, 0], net.predict(X), rtol=1e-12, atol=1e-12)
        net = neural_network.MLPRegressor(random_state=0, **options).fit(X, X[:, :2])
        # skl2onnx 1.20 lays both numbers of an example in rows of their own
        told = refused(skl2onnx.to_onnx(net, X[:1]))
        assert "it makes rows of 1, and an example has 2 numbers" in told


# --- onnxruntime ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_onnxruntime_computes_what_is_written(model: nn.Module, dtype: Any, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "net.onnx"
    if dtype == np.float64 and any(isinstance(m, nn.GELU) for m in model.modules()):
        pytest.skip("refused: tests/nn/test_onnx.py")
    nn.write(model, path, dtype=dtype)
    [found] = runtime.InferenceSession(path).run(None, {"input": X.astype(dtype)})
    expected = nn.predict(model, X, path="scalar").reshape(len(X), -1)
    digits = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(found, expected, rtol=digits, atol=digits)


@pytest.mark.parametrize("x, layers", PICTURED, ids=["pictures", "signals", "means"])
def test_onnxruntime_slides_windows_as_they_are_written(
    x: Any, layers: Any, tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = nn.Sequential(*layers)
    nn.write(model, tmp_path / "net.onnx", dtype=np.float32)
    session = runtime.InferenceSession(tmp_path / "net.onnx")
    [found] = session.run(None, {"input": x.astype(np.float32)})
    expected = nn.predict(model, x, path="scalar")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
