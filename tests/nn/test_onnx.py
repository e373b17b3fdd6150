"""ONNX files: networks are read as onnx itself computes them, and written as they are read."""

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import nn
from nn.exchange.onnx_writing import _LAYERS
from nn.exchange.parts import ReadError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3)) * 3.0
W, V = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 4))
B = RNG.normal(size=4)
HALF, ONE, TWO = np.array(0.5), np.array(1.0), np.array([[2.0]])


def node(operation: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node, with the names of its tensors in one text."""
    return helper.make_node(operation, inputs.split(), outputs.split(), **attributes)


def network(
    *nodes: Any,
    opset: int = 20,
    ir: int = 10,
    x: tuple[Any, ...] = ("batch", 3),
    outputs: dict[str, int] | None = None,
    dtype: type = np.float64,
    **tensors: Any,
) -> Any:
    """A model of these nodes from "x" to "y", with these tensors as initialisers."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    given = {
        name: numpy_helper.from_array(a.astype(dtype) if a.dtype.kind == "f" else a, name)
        for name, a in tensors.items()
    }
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", kind, x)],
        [
            helper.make_tensor_value_info(name, elements, [None, None])
            for name, elements in (outputs or {"y": kind}).items()
        ],
        list(given.values()),
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def check_as_reference(model: Any, *layers: str, x: Any = X, tolerance: float = 1e-13) -> None:
    """The model is read as layers of these classes, and computes what onnx's own evaluator does."""
    read = nn.read(model)
    assert [type(layer).__name__ for layer in read] == list(layers)
    [expected] = ReferenceEvaluator(model).run(["y"], {"x": x})
    found = nn.predict(read, x, path="scalar")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def refused(source: Any) -> str:
    """Why a file or model is refused."""
    with pytest.raises(ReadError) as caught:
        nn.read(source)
    assert str(caught.value).startswith(f"can't load {caught.value.path}: ")
    return f"{caught.value.layer}: {caught.value.reason}"


# --- what is one Linear ---------------------------------------------------------------------

DENSE = {
    "Gemm": [node("Gemm", "x W B", "y")],
    "Gemm, transposed": [node("Gemm", "x Wt B", "y", transB=1, alpha=0.5, beta=3.0)],
    "Gemm without bias": [node("Gemm", "x W", "y")],
    "Gemm with one number as bias": [node("Gemm", "x W one", "y")],
    "MatMul": [node("MatMul", "x W", "y")],
    "bias last": [node("MatMul", "x W", "h"), node("Add", "h B", "y")],
    "bias first": [node("MatMul", "x W", "h"), node("Add", "B h", "y")],
    "bias as a row": [node("MatMul", "x W", "h"), node("Sub", "h row", "y")],
    "subtracted from": [node("MatMul", "x W", "h"), node("Sub", "B h", "y")],
    "scaled before": [
        node("Sub", "x mean", "h"),
        node("Div", "h deviation", "i"),
        node("Gemm", "i W B", "y"),
    ],
    "scaled after": [node("Gemm", "x W B", "h"), node("Mul", "h B", "i"), node("Add", "i B", "y")],
    "normalised": [
        node("Gemm", "x W B", "h"),
        node("BatchNormalization", "h B B row4 squares", "y", epsilon=0.125),
    ],
    "of constants by nodes": [
        node("Constant", "", "c", value=numpy_helper.from_array(W.T.copy())),
        node("Identity", "c", "d"),
        node("Transpose", "d", "e", perm=[1, 0]),
        node("MatMul", "x e", "y"),
    ],
    "between Casts": [
        node("Cast", "x", "h", to=TensorProto.DOUBLE),
        node("Identity", "h", "i"),
        node("Gemm", "i W B", "j"),
        node("Reshape", "j rows", "y"),
    ],
}
CONSTANTS = {
    "W": W,
    "Wt": W.T.copy(),
    "B": B,
    "one": ONE,
    "row": B[None],
    "row4": B + 1.0,
    "squares": B**2,
    "mean": X.mean(0),
    "deviation": X.std(0),
    "rows": np.array([-1, 4]),
}


@pytest.mark.parametrize("name", DENSE)
def test_products_with_what_is_added_and_scaled_are_one_linear(name: str) -> None:
    check_as_reference(network(*DENSE[name], **CONSTANTS), "Linear", tolerance=1e-12)


def test_two_products_are_two_layers() -> None:
    model = network(node("MatMul", "x W", "h"), node("Gemm", "h V B", "y"), W=W, V=V, B=B)
    check_as_reference(model, "Linear", "Linear")
    assert nn.read(model)[0].bias is None


@pytest.mark.parametrize("opset", [7, 11, 13, 17, 24])
def test_other_opsets_are_read(opset: int) -> None:
    nodes = node("Gemm", "x W B", "h"), node("Softmax", "h", "i"), node("Dropout", "i", "y mask")
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip("this onnx does not know it")
    ir = 11 if opset == 24 else 8
    check_as_reference(
        network(*nodes, opset=opset, ir=ir, W=W, B=B), "Linear", "Softmax", "Dropout"
    )


def test_initialisers_may_be_inputs_as_before_ir_4() -> None:
    model = network(node("Gemm", "x W B", "y"), opset=9, ir=3, W=W, B=B)
    tensors = [("W", [3, 4]), ("B", [4])]
    model.graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape) for name, shape in tensors
    )
    check_as_reference(model, "Linear")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rounded_weights_are_read_as_they_are(dtype: type) -> None:
    model = network(node("Gemm", "x W B", "h"), node("Relu", "h", "y"), dtype=dtype, W=W, B=B)
    read = nn.read(model)
    assert np.array_equal(read.state_dict()["0.weight"], W.T.astype(dtype).astype(np.float64))
    [expected] = ReferenceEvaluator(model).run(None, {"x": X.astype(dtype)})
    digits = 10 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(nn.predict(read, X), expected, rtol=digits, atol=10 * digits)


def test_tied_weights_are_the_same_values() -> None:
    model = network(
        node("MatMul", "x W", "h"),
        node("Tanh", "h", "i"),
        node("Gemm", "i V", "j"),
        node("Gemm", "j V", "k", transB=1),
        node("Gemm", "k W B3", "y", transB=1),
        W=W,
        V=V,
        B3=B[:3],
    )
    check_as_reference(model, "Linear", "Tanh", "Linear", "Linear", "Linear")
    first, _, second, third, last = nn.read(model)
    assert second.weight[1][2] is third.weight[2][1]
    assert first.weight[3][1] is last.weight[1][3]
    assert len(nn.read(model).parameters()) == W.size + V.size + 3


# --- activations ----------------------------------------------------------------------------

ROOT = np.array(2.0**0.5)
ACTIVATIONS = {
    "Elu": ("ELU", [node("Elu", "h", "y", alpha=0.5)]),
    "LeakyRelu": ("LeakyReLU", [node("LeakyRelu", "h", "y", alpha=0.25)]),
    "PRelu": ("LeakyReLU", [node("PRelu", "h half", "y")]),
    "Softplus": ("Softplus", [node("Softplus", "h", "y")]),
    "LogSoftmax": ("LogSoftmax", [node("LogSoftmax", "h", "y", axis=1)]),
    "LayerNormalization": ("LayerNorm", [node("LayerNormalization", "h B B", "y", epsilon=0.5)]),
    "LayerNormalization with a bias named nothing": (
        "LayerNorm",
        [helper.make_node("LayerNormalization", ["h", "B", ""], ["y"], epsilon=0.5)],
    ),
    "Gelu": ("GELU", [node("Gelu", "h", "y")]),
    "Gelu before opset 20": (
        "GELU",
        [
            node("Div", "h root", "i"),
            node("Erf", "i", "j"),
            node("Add", "j one", "k"),
            node("Mul", "h k", "l"),
            node("Mul", "l half", "y"),
        ],
    ),
    "Gelu with the half first": (
        "GELU",
        [
            node("Mul", "half h", "i"),
            node("Div", "h root", "j"),
            node("Erf", "j", "k"),
            node("Add", "one k", "l"),
            node("Mul", "i l", "y"),
        ],
    ),
    "SiLU": ("SiLU", [node("Sigmoid", "h", "i"), node("Mul", "i h", "y")]),
    "Softplus of beta": (
        "Softplus",
        [node("Mul", "h two", "i"), node("Softplus", "i", "j"), node("Div", "j two", "y")],
    ),
    "LeakyReLU by where": (
        "LeakyReLU",
        [
            node("Mul", "h half", "i"),
            node("Greater", "h zero", "j"),
            node("Where", "j h i", "y"),
        ],
    ),
    "ReLU by a maximum": ("ReLU", [node("Max", "zero h", "y")]),
    "ELU by exponentials": (
        "ELU",
        [
            node("Min", "h zero", "i"),
            node("Exp", "i", "j"),
            node("Sub", "j one", "k"),
            node("Max", "h zero", "l"),
            node("Add", "k l", "y"),
        ],
    ),
    "absolute values": ("LeakyReLU", [node("Abs", "h", "y")]),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_found_by_name_or_by_what_they_compute(name: str) -> None:
    kind, nodes = ACTIVATIONS[name]
    constants = {"half": HALF, "one": ONE, "two": TWO, "zero": 0.0 * ONE, "root": ROOT}
    model = network(node("Gemm", "x W B", "h"), *nodes, W=W, B=B, **constants)
    # onnx 1.23 computes erf in float32, also of float64
    check_as_reference(model, "Linear", kind, tolerance=1e-6 if kind == "GELU" else 1e-13)


def test_slopes_are_the_numbers_that_were_meant() -> None:
    model = network(node("LeakyRelu", "x", "h", alpha=0.2), node("Elu", "h", "y", alpha=1.0 / 3.0))
    leaky, elu = nn.read(model)
    assert leaky.negative_slope == 0.2 and elu.alpha == float(str(np.float32(1.0 / 3.0)))


def test_pictures_are_flattened() -> None:
    pictures = RNG.normal(size=(5, 2, 2, 3))
    tensors = {"M": RNG.normal(size=(12, 2)), "rows": np.array([0, -1])}
    flat = network(
        node("Flatten", "x", "h"), node("MatMul", "h M", "y"), x=(None, 2, 2, 3), **tensors
    )
    check_as_reference(flat, "Flatten", "Linear", x=pictures)
    rows = network(
        node("Reshape", "x rows", "h"), node("MatMul", "h M", "y"), x=(None, 2, 2, 3), **tensors
    )
    check_as_reference(rows, "Flatten", "Linear", x=pictures)


# --- pictures and signals -------------------------------------------------------------------

PICTURES, SIGNALS = RNG.normal(size=(3, 4, 6, 5)), RNG.normal(size=(3, 4, 7))
K, C = RNG.normal(size=(6, 2, 3, 2)), RNG.normal(size=6)
WINDOWS: dict[str, tuple[list[str], Any, Any, list[Any]]] = {
    "Conv": (["Conv2d"], PICTURES, (None, 4, None, None), [node("Conv", "x K C", "y", group=2)]),
    "Conv, with all settings": (
        ["Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear"],
        PICTURES,
        (None, 4, 6, 5),
        [
            node("Conv", "x K", "h", group=2, strides=[2, 1], pads=[2, 1, 2, 1], dilations=[2, 1]),
            node("Relu", "h", "i"),
            node("MaxPool", "i", "j", kernel_shape=[2, 3], strides=[1, 2], pads=[1, 1, 1, 1]),
            node("Reshape", "j rows72", "k"),
            node("MatMul", "k W72", "y"),
        ],
    ),
    "as wide as it was": (
        ["Conv2d"],
        PICTURES,
        (None, 4, 6, 5),
        [node("Conv", "x K C", "y", group=2, auto_pad="SAME_UPPER")],
    ),
    "the same, spelt out": (
        ["Conv2d"],
        PICTURES,
        (None, 4, 6, 5),
        [node("Conv", "x K C", "y", group=2, pads=[1, 0, 1, 1])],
    ),
    "signals": (
        ["Conv1d", "AvgPool1d"],
        SIGNALS,
        (None, 4, 7),
        [
            node("Conv", "x K1 C", "h", pads=[1, 1]),
            node("AveragePool", "h", "y", kernel_shape=[3], strides=[2], pads=[1, 1]),
        ],
    ),
    "padding counts": (
        ["AvgPool2d"],
        PICTURES,
        (None, 4, None, None),
        [node("AveragePool", "x", "y", kernel_shape=[2, 2], pads=[1] * 4, count_include_pad=1)],
    ),
    "whole channels": (
        ["AvgPool2d", "Flatten", "Linear"],
        PICTURES,
        (None, 4, 6, 5),
        [
            node("GlobalAveragePool", "x", "h"),
            node("Flatten", "h", "i"),
            node("MatMul", "i V", "y"),
        ],
    ),
    "largest of whole channels": (
        ["MaxPool2d"],
        PICTURES,
        (None, 4, 6, 5),
        [node("GlobalMaxPool", "x", "y")],
    ),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_slide_as_in_onnx(name: str) -> None:
    kinds, x, shape, nodes = WINDOWS[name]
    constants = {"K": K, "C": C, "K1": RNG.normal(size=(6, 4, 3)), "V": V}
    constants |= {"rows72": np.array([-1, 72]), "W72": RNG.normal(size=(72, 2))}
    model = network(*nodes, x=shape, **constants)
    check_as_reference(model, *kinds, x=x)


def test_windows_that_nn_lacks_are_refused() -> None:
    pool = {"kernel_shape": [2, 2]}
    for windows, why in [
        (node("Conv", "x K", "y", group=2, pads=[1, 0, 0, 0]), "[1, 0] before and [0, 0] after"),
        (node("Conv", "x K", "y", group=2, auto_pad="SAME_LOWER"), "its auto_pad is SAME_LOWER"),
        (node("Conv", "x K5", "y"), "windows of 3 dimensions"),
        (node("Conv", "x K", "y", group=4), "it takes 8 channels, and is given 4"),
        (node("AveragePool", "x", "y", ceil_mode=1, **pool), "means are of windows with no gaps"),
        (node("MaxPool", "x", "y", strides=[0, 1], **pool), "make no sense"),
        (node("MaxPool", "x", "y", pads=[2, 2, 2, 2], **pool), "padding of at most half a window"),
    ]:
        assert why in refused(network(windows, x=(None, 4, 6, 5), K=K, K5=np.ones((2, 4, 1, 1, 1))))


# --- what classifiers have at the end -------------------------------------------------------


def test_of_a_classifier_the_probabilities_are_read() -> None:
    model = network(
        node("Cast", "x", "c", to=TensorProto.DOUBLE),
        node("Gemm", "c W B", "h"),
        node("Softmax", "h", "y"),
        node("ArgMax", "y", "i", axis=1),
        node("Cast", "i", "label", to=TensorProto.INT64),
        outputs={"label": TensorProto.INT64, "y": TensorProto.DOUBLE},
        W=W,
        B=B,
    )
    check_as_reference(model, "Linear", "Softmax")


def test_of_two_classes_it_is_the_probability_of_the_second() -> None:
    nodes = (
        node("MatMul", "x W1", "h"),
        node("Sigmoid", "h", "p"),
        node("Sub", "one p", "q"),
        node("Concat", "q p", "both", axis=1),
        node("Identity", "both", "y"),
    )
    model = network(*nodes, W1=W[:, :1], one=ONE)
    read = nn.read(model)
    [both] = ReferenceEvaluator(model).run(None, {"x": X})
    np.testing.assert_allclose(nn.predict(read, X), both[:, 1:], rtol=1e-14)
    swapped = network(*nodes[:3], node("Concat", "p q", "y", axis=1), W1=W[:, :1], one=ONE)
    assert "Concat -> y: it joins what branched at 'p'" in refused(swapped)


# --- what is refused ------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, str]] = {
    "an operation that nn lacks": (
        network(node("Gemm", "x W B", "h"), node("HardSigmoid", "h", "y"), W=W, B=B),
        "HardSigmoid -> y: nn has no layer that does this",
    ),
    "a function of several nodes that nn lacks": (
        network(node("Softplus", "x", "h"), node("Tanh", "h", "i"), node("Mul", "x i", "y")),
        "Mul -> y: it joins what branched at 'x', which goes to Softplus and Mul",
    ),
    "a shortcut": (
        network(node("Gemm", "x V3", "h"), node("Add", "x h", "y"), V3=V[:3, :3]),
        "Add -> y: it joins what branched at 'x', which goes to Gemm and Add; a Sequential is one",
    ),
    "an approximated GELU": (
        network(node("Gelu", "x", "y", approximate="tanh")),
        "Gelu -> y: approximate is b'tanh', and nn has only b'none'",
    ),
    "another SELU": (network(node("Selu", "x", "y", alpha=1.0)), "alpha is 1.0, and nn has only"),
    "examples as columns": (
        network(node("Gemm", "x W", "y", transA=1), W=W),
        "Gemm -> y: it is no product of examples, as rows, and a matrix",
    ),
    "a constant on the left": (
        network(node("MatMul", "W x", "y"), W=W.T.copy()),
        "MatMul -> y: 'x' is computed, and only a constant can be read here",
    ),
    "a bias for each example": (
        network(
            node("MatMul", "x W", "h"), node("Add", "h C", "y"), W=W, C=RNG.normal(size=(7, 4))
        ),
        "Add -> y: 'C' has other numbers for each example",
    ),
    "sizes that don't fit": (
        network(node("MatMul", "x V", "y"), V=V),
        "MatMul -> y: it takes 4 numbers, and is given 3",
    ),
    "a scale with no Linear": (
        network(node("Relu", "x", "h"), node("Mul", "h two", "y"), two=TWO),
        "Mul -> y: it moves or scales numbers that no Linear is next to",
    ),
    "a division by the input": (
        network(node("Div", "one x", "y"), one=ONE),
        "Div -> y: nn has no layer that divides by its input",
    ),
    "rounding": (
        network(node("Cast", "x", "h", to=TensorProto.INT32), node("Cast", "h", "y", to=11)),
        "Cast -> h: it cuts off the digits behind the point",
    ),
    "another axis": (
        network(node("Softmax", "x", "y", axis=0)),
        "Softmax -> y: it works on axis 0, and here on the last one alone",
    ),
    "examples taken apart": (
        network(node("MatMul", "x W", "h"), node("Reshape", "h r", "y"), W=W, r=np.array([-1, 1])),
        "Reshape -> y: it makes rows of 1, and an example has 4 numbers",
    ),
    "several slopes": (network(node("PRelu", "x B3", "y"), B3=B[:3]), "it has several slopes"),
    "two inputs": (network(node("Relu", "x", "y")), ": it has 2 inputs, and a Sequential has one"),
    "two outputs": (
        network(node("Relu", "x", "y"), node("Tanh", "x", "z"), outputs={"y": 11, "z": 11}),
        ": it has 2 outputs of numbers",
    ),
    "labels alone": (
        network(node("ArgMax", "x", "y", axis=1), outputs={"y": TensorProto.INT64}),
        ": it has 0 outputs of numbers",
    ),
    "no way from the input": (
        network(node("RandomNormal", "", "y", shape=[2])),
        "RandomNormal -> y: it does not depend on the input",
    ),
    "an old opset": (network(node("Relu", "x", "y"), opset=6), ": it has opset 6"),
    "another domain": (
        network(node("Scaler", "x", "y", domain="ai.onnx.ml", offset=[1.0], scale=[1.0])),
        "Scaler -> y: nn has no layer that does this",
    ),
    "a graph that is none": (network(node("Relu", "z", "y")), ": it is damaged"),
}
REFUSED["two inputs"][0].graph.input.append(helper.make_tensor_value_info("z", 11, [3]))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_row_of_layers_is_refused_with_the_node(name: str) -> None:
    model, why = REFUSED[name]
    assert why in refused(model)


def test_one_tensor_can_not_become_endless_weights() -> None:
    nodes = [node("Gemm", f"h{i} V", f"h{i + 1}", alpha=2.0) for i in range(9)]
    model = network(*nodes, node("Identity", "h9", "y"), node("Relu", "x", "h0"), x=("n", 4), V=V)
    model.graph.node.insert(0, model.graph.node.pop())
    assert "there are more weights than the file has numbers" in refused(model)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file."""
    nn.write(nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(), nn.Linear(4, 2)), tmp_path / "n.onnx")
    return tmp_path / "n.onnx"


def test_damaged_files_are_refused_and_nothing_else_happens(path: Path) -> None:
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        assert "it is damaged, or no ONNX file" in refused(path)
    rng = random.Random(0)
    for _ in range(300):
        flipped = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            flipped[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(flipped)
        try:
            nn.read(path)
        except ReadError as error:
            assert error.path == path


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nn.read(tmp_path / "none.onnx")


def test_a_part_of_a_file_is_no_model_and_a_name_in_capitals_is_none_the_worse(
    path: Path,
) -> None:
    graph = onnx.load(path).graph
    with pytest.raises(nn.ReadError, match="GraphProto: it is damaged, or no ONNX file"):
        nn.read(graph)
    assert repr(nn.read(path.rename(path.with_name("N.ONNX")))).count("Linear") == 2


def with_data_at(path: Path, location: str, **told: Any) -> Path:
    """A file whose weights are in another file, as it says."""
    model = network(node("MatMul", "x W", "y"), W=W)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **told}.items():
        tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_a_file_beside_are_read(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"12345678" + W.tobytes())
    path = with_data_at(tmp_path / "n.onnx", "weights", offset=8, length=W.nbytes)
    assert np.array_equal(nn.read(path).state_dict()["0.weight"], W.T)


def test_weights_are_read_from_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "weights").write_bytes(W.tobytes())
    for location in ("../weights", str(tmp_path / "weights"), "missing", ".", ""):
        assert "is damaged" in refused(with_data_at(folder / "n.onnx", location))
    (folder / "link").symlink_to(tmp_path / "weights")
    assert "no such file in its folder" in refused(with_data_at(folder / "n.onnx", "link"))
    (folder / "short").write_bytes(W.tobytes()[:-8])
    for told in ({}, {"length": W.nbytes}, {"length": -1}, {"length": "x"}, {"offset": 10**9}):
        assert "is damaged" in refused(with_data_at(folder / "n.onnx", "short", **told))


def test_what_reading_needs_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[exchange\]'"):
        nn.read(path)
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[exchange\]'"):
        nn.write(nn.ReLU(), path)


# --- writing --------------------------------------------------------------------------------

# ONNX keeps a slope, an alpha and an epsilon in float32
ONE_LAYER: list[nn.Module] = [
    *(kind() for kind in (nn.ReLU, nn.SELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softmax)),
    *(nn.LogSoftmax(), nn.GELU(), nn.LeakyReLU(1.0 / 3.0), nn.ELU(0.7), nn.Identity()),
    *(
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Softplus(),
        nn.Softplus(2.0, 5.0),
        nn.LayerNorm(4, eps=0.125),
    ),
    nn.Linear(4, 4, bias=False),
]
MODELS = [
    *(nn.Sequential(nn.Linear(3, 4), nn.Sequential(layer, nn.Linear(4, 2))) for layer in ONE_LAYER),
    nn.MLP(3, [4, 2, 1], rng=random.Random(0)),
    nn.Sequential(nn.Layer(3, 2), nn.Neuron(2, nonlin=False)),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_written_is_read_again(model: nn.Module, dtype: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    if dtype == np.float64 and any(isinstance(m, nn.GELU) for m in model.modules()):
        with pytest.raises(ValueError, match=r"^layer '1.0', GELU.* onnxruntime has no erf"):
            nn.write(model, path, dtype=dtype)
        assert not path.exists()
        return
    nn.write(model, path, dtype=dtype)
    expected = nn.predict(model, X, path="scalar").reshape(len(X), -1)
    digits = 1e-12 if dtype == np.float64 else 1e-5
    for found in (
        nn.predict(nn.read(path), X, path="scalar"),
        ReferenceEvaluator(onnx.load(path)).run(None, {"input": X.astype(dtype)})[0],
    ):
        np.testing.assert_allclose(found, expected, rtol=digits, atol=digits)


def test_all_layers_that_can_be_written_are_tried() -> None:
    tried = {type(m) for model in MODELS for m in model.modules()}
    assert set(_LAYERS) <= tried | {type(layer) for _, layers in PICTURED for layer in layers}


PICTURED: list[tuple[Any, list[nn.Module]]] = [
    (
        PICTURES,
        [
            nn.Conv2d(4, 6, (3, 2), (2, 1), (2, 1), groups=2),
            nn.ReLU(),
            nn.MaxPool2d(2, 1, 1),
            nn.Conv2d(6, 3, 3, padding="same", bias=False),
            nn.AvgPool2d((2, 1), count_include_pad=False),
            nn.Flatten(),
            nn.Linear(42, 2),
        ],
    ),
    (SIGNALS, [nn.MaxPool1d(2, ceil_mode=True), nn.Conv1d(4, 2, 3, padding="valid", dilation=1)]),
    (SIGNALS, [nn.AvgPool1d(3, 2, 1), nn.SiLU()]),
]


@pytest.mark.parametrize("x, layers", PICTURED, ids=["pictures", "signals", "means"])
def test_windows_that_are_written_are_read_again(x: Any, layers: Any, tmp_path: Path) -> None:
    model, path = nn.Sequential(*layers), tmp_path / "net.onnx"
    with pytest.raises(ValueError, match=r"onnxruntime has none; float32 will do"):
        nn.write(model, path)
    nn.write(model, path, dtype=np.float32)
    read = nn.read(path)
    kinds = [[type(layer) for layer in network] for network in (model, read)]
    assert kinds[0] == kinds[1]
    expected = nn.predict(model, x, path="scalar")
    [found] = ReferenceEvaluator(onnx.load(path)).run(None, {"input": x.astype(np.float32)})
    np.testing.assert_allclose(nn.predict(read, x, path="scalar"), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_inputs_have_a_batch_of_any_size_and_names(tmp_path: Path) -> None:
    nn.write(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), tmp_path / "pictures.onnx")
    model = onnx.load(tmp_path / "pictures.onnx")
    for n in (1, 5):
        [y] = ReferenceEvaluator(model).run(["output"], {"input": np.ones((n, 4))})
        assert y.shape == (n, 2)
    assert [t.name for t in model.graph.initializer] == ["1.weight:0", "1.bias:1"]


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    first = nn.Linear(3, 3)
    nn.write(nn.Sequential(first, nn.Tanh(), first), tmp_path / "tied.onnx")
    assert len(onnx.load(tmp_path / "tied.onnx").graph.initializer) == 2
    again = nn.read(tmp_path / "tied.onnx")
    assert again[0].weight[0][0] is again[2].weight[0][0]


def test_what_can_not_be_written_leaves_the_file_alone(path: Path) -> None:
    class Own(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"^layer '1', Own\(\), can't be written to ONNX"):
        nn.write(nn.Sequential(nn.ReLU(), Own()), path)
    with pytest.raises(ValueError, match=r"float64 or float32, not float16"):
        nn.write(nn.ReLU(), path, dtype=np.float16)
    large = nn.Linear(1, 1)
    large.weight[0][0].data = 1e39
    with pytest.raises(ValueError, match=r"'0' has numbers too large for float32"):
        nn.write(nn.Sequential(large), path, dtype=np.float32)
    assert path.read_bytes() == content
