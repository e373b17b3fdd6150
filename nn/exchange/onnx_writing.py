"""Networks as ONNX files, which onnxruntime and others run.

In: a Module of nn's layers. Out: a file of opset 20 with one input, "input", of which each row is
an example, and one output, "output". onnxruntime 1.32 lacks some activations in float64, so that
these are written as simpler operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import write_whole
from nn import layers
from nn.convolutions import AvgPool1d, AvgPool2d, Conv1d, Conv2d, MaxPool1d, MaxPool2d
from nn.exchange.parts import Array, package, row, unwritable
from nn.module import Module, values_of
from nn.sequences import LayerNorm

_OPSET, _IR = 20, 10


def write(model: Module, path: Path, dtype: Any) -> None:
    """Write a model as it predicts, for any number of examples; raises as `routes.write` does."""
    graph, y = _Graph(np.dtype(dtype)), "input"
    for graph.name, layer in row(model):
        if type(layer) not in _LAYERS:
            raise unwritable(graph.name, layer, "ONNX")
        y = _LAYERS[type(layer)](graph, layer, y)
    write_whole(path, graph.file(y))


class _Graph:
    """The graph as it is written: calling it adds an operation, and gives the name of its result.

    Results have the layer's name; nodes have none, since onnxruntime refuses equal ones.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.onnx = package("onnx")
        self.dtype = dtype
        self.name = ""  # of the layer that is written
        self.shapes: list[list[Any]] = []  # of what layers take and give, where they say so
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.known: dict[tuple[Any, ...], str] = {}  # tensors, by their shapes and Values

    def __call__(self, operation: str, *inputs: Any, **attributes: Any) -> str:
        names = [x if isinstance(x, str) else self.tensor(np.array(x)) for x in inputs]
        y = f"{self.name}.{operation}:{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operation, names, [y], **attributes))
        return y

    def tensor(self, array: Array, name: str = "constant") -> str:
        """The name of a new tensor of these numbers."""
        with np.errstate(over="ignore"):
            rounded = array.astype(self.dtype)
        if np.any(np.isinf(rounded) & ~np.isinf(array)):
            raise ValueError(f"{self.name!r} has numbers too large for {self.dtype}")
        name = f"{self.name}.{name}:{len(self.tensors)}"
        self.tensors.append(self.onnx.numpy_helper.from_array(rounded, name))
        return name

    def parameters(self, layer: Module) -> list[str]:
        """The names of the tensors of a layer's parameters; tied ones have one."""
        arrays, found = layer.state_dict(), []
        for name, item in layer.named_parameters():
            key = (arrays[name].shape, *values_of(item))
            if key not in self.known:
                self.known[key] = self.tensor(arrays[name], name)
            found.append(self.known[key])
        return found

    def need_float32(self, layer: Module, missing: str) -> None:
        """Raise ValueError in float64, where onnxruntime has something `missing`."""
        if self.dtype == np.float64:
            told = f"ONNX in float64, in which onnxruntime has {missing}; float32 will do"
            raise unwritable(self.name, layer, told)

    def file(self, y: str) -> bytes:
        """The whole file, in which y is the output."""
        make, onnx = self.onnx.helper, self.onnx
        kind = make.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes.append(make.make_node("Identity", [y], ["output"]))
        given, last = (self.shapes[0], self.shapes[-1]) if self.shapes else ([None], [None])
        x = make.make_tensor_value_info("input", kind, ["batch", *given])
        out = make.make_tensor_value_info("output", kind, ["batch", *last])
        graph = make.make_graph(self.nodes, "network", [x], [out], self.tensors)
        opsets = [make.make_opsetid("", _OPSET)]
        model = make.make_model(
            graph, producer_name="gradloom", opset_imports=opsets, ir_version=_IR
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


# --- layers, each as operations -------------------------------------------------------------


def _linear(graph: _Graph, layer: layers.Linear, x: str) -> str:
    graph.shapes += [[layer.in_features], [layer.out_features]]
    return graph("Gemm", x, *graph.parameters(layer), transB=1)


def _layer_norm(graph: _Graph, layer: LayerNorm, x: str) -> str:
    if layer.weight is None:
        raise unwritable(graph.name, layer, "ONNX, which has weights there")
    graph.shapes += [[len(layer.weight)]]
    return graph("LayerNormalization", x, *graph.parameters(layer), epsilon=layer.eps)


def _sliding(graph: _Graph, layer: Any) -> dict[str, Any]:
    """The attributes of windows that slide."""
    if not isinstance(layer, MaxPool1d | MaxPool2d):
        graph.need_float32(layer, "none")
    names = {"kernel_size": "kernel_shape", "stride": "strides", "dilation": "dilations"}
    names |= {} if isinstance(layer.padding, str) else {"padding": "pads"}
    found = {name: getattr(layer, own, 1) for own, name in names.items()}
    each = {k: [*v] if isinstance(v, tuple) else [v] * layer.dims for k, v in found.items()}
    if "pads" in each:
        each["pads"] *= 2  # before and after
        return each
    return {**each, "auto_pad": {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]}


def _conv(graph: _Graph, layer: Any, x: str) -> str:
    if layer.padding_mode != "zeros":
        raise unwritable(graph.name, layer, "ONNX, whose padding is of zeros")
    size = [None] * layer.dims
    graph.shapes += [[layer.in_channels, *size], [layer.out_channels, *size]]
    names, windows = graph.parameters(layer), _sliding(graph, layer)
    return graph("Conv", x, *names, group=layer.groups, **windows)


def _pool(graph: _Graph, layer: Any, x: str) -> str:
    graph.shapes += [[None] * (layer.dims + 1)] * (not graph.shapes)
    windows = _sliding(graph, layer)
    if isinstance(layer, MaxPool1d | MaxPool2d):
        return graph("MaxPool", x, ceil_mode=int(layer.ceil_mode), **windows)
    if layer.ceil_mode or layer.divisor_override:
        raise unwritable(graph.name, layer, "ONNX, where a mean is of the whole window")
    return graph("AveragePool", x, count_include_pad=int(layer.count_include_pad), **windows)


def _flatten(graph: _Graph, layer: layers.Flatten, x: str) -> str:
    graph.shapes += [[None]]
    return graph("Flatten", x)


def _gelu(graph: _Graph, layer: layers.GELU, x: str) -> str:
    graph.need_float32(layer, "no erf")
    return graph("Gelu", x)


def _leaky_relu(graph: _Graph, layer: layers.LeakyReLU, x: str) -> str:
    if graph.dtype == np.float32:
        return graph("LeakyRelu", x, alpha=layer.negative_slope)
    below = graph("Mul", graph("Min", x, 0.0), layer.negative_slope)
    return graph("Add", graph("Max", x, 0.0), below)


def _elu(graph: _Graph, layer: layers.ELU | layers.SELU, x: str) -> str:
    if graph.dtype == np.float32:
        return graph("Elu", x, alpha=layer.alpha)
    below = graph("Sub", graph("Exp", graph("Min", x, 0.0)), 1.0)
    return graph("Add", graph("Max", x, 0.0), graph("Mul", below, layer.alpha))


def _selu(graph: _Graph, layer: layers.SELU, x: str) -> str:
    if graph.dtype == np.float32:
        return graph("Selu", x)
    return graph("Mul", _elu(graph, layer, x), layer.scale)


def _softplus(graph: _Graph, layer: layers.Softplus, x: str) -> str:
    scaled = x if layer.beta == 1.0 else graph("Mul", x, layer.beta)
    if graph.dtype == np.float32:
        y = graph("Softplus", scaled)
    else:  # never the exponential of a large number
        small = graph("Exp", graph("Neg", graph("Abs", scaled)))
        y = graph("Add", graph("Max", scaled, 0.0), graph("Log", graph("Add", small, 1.0)))
    y = y if layer.beta == 1.0 else graph("Div", y, layer.beta)
    if layer.threshold == math.inf:
        return y
    return graph("Where", graph("Greater", scaled, layer.threshold), x, y)


def _nothing(graph: _Graph, layer: Module, x: str) -> str:
    return x


def _named(operation: str, **attributes: Any) -> Callable[[_Graph, Any, str], str]:
    """A layer that is one operation."""
    return lambda graph, layer, x: graph(operation, x, **attributes)


_LAYERS: dict[type[Module], Callable[[_Graph, Any, str], str]] = {
    layers.ELU: _elu,
    layers.GELU: _gelu,
    layers.SELU: _selu,
    **dict.fromkeys([AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d], _pool),
    **dict.fromkeys([Conv1d, Conv2d], _conv),
    layers.Dropout: _nothing,  # as in evaluation mode
    layers.Flatten: _flatten,
    layers.Identity: _nothing,
    LayerNorm: _layer_norm,
    layers.LeakyReLU: _leaky_relu,
    layers.Linear: _linear,
    layers.LogSoftmax: _named("LogSoftmax", axis=-1),
    layers.ReLU: _named("Relu"),
    layers.SiLU: lambda graph, layer, x: graph("Mul", x, graph("Sigmoid", x)),
    layers.Sigmoid: _named("Sigmoid"),
    layers.Softmax: _named("Softmax", axis=-1),
    layers.Softplus: _softplus,
    layers.Tanh: _named("Tanh"),
}
