"""Networks in ONNX files, such as those of torch.onnx and skl2onnx, as Sequentials.

In: a path, or an onnx.ModelProto. Out: layers in a row. What a node is, its operation says; what
scales and moves numbers next to a Linear becomes a part of that, and where nodes are no layer by
name, `onnx_activations` looks at what they compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np

from engine import Value
from nn.containers import Sequential
from nn.exchange.onnx_activations import MOST, activation_of, is_elementwise
from nn.exchange.onnx_graphs import DOMAINS, Graph, Part, decimal, name_of
from nn.exchange.parts import Array, activation, convolution, linear, made, weighted
from nn.layers import Flatten, LeakyReLU
from nn.module import Module

# Activations that are one operation, and how their attributes are called here.
_NAMED: dict[str, dict[str, str]] = {
    "Elu": {"alpha": "alpha"},
    "LeakyRelu": {"alpha": "negative_slope"},
    "Relu": {},
    "Sigmoid": {},
    "Softplus": {},
    "Tanh": {},
}
# Those that nn has with these attributes alone.
_USUAL: dict[str, dict[str, Any]] = {
    "Gelu": {"approximate": b"none"},
    "Selu": {"alpha": 1.6732632, "gamma": 1.050701},
}
_POOLS = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool")
_NOTHING = ("Cast", "Identity", "ZipMap")  # what leaves numbers as they are


def read(source: Any) -> Sequential:
    """Return the network of an ONNX file or ModelProto, in evaluation mode.

    Numbers become float64. Of a classifier that skl2onnx wrote it has the probabilities, of two
    classes that of the second. Raises ReadError for a damaged file, and for a graph that is no row
    of layers that nn has, with the node; ImportError with what to install.
    """
    with np.errstate(all="ignore"):  # inf and nan come out as they would elsewhere
        return _Reader(source).model()


@dataclass
class _Affine:
    """scale * (weight @ x) + bias, or without a weight scale * x + bias."""

    node: Any
    scale: Any = 1.0  # a number, or one for each row
    bias: Any = None
    weight: Array | None = None
    tied: tuple[str, bool] | None = None  # the tensor that the weight is, and whether transposed

    def then(self, after: _Affine) -> _Affine | None:
        """Both, one after the other, where that is one again."""
        if after.weight is None:
            bias = _sum(None if self.bias is None else self.bias * after.scale, after.bias)
            return replace(self, scale=self.scale * after.scale, bias=bias)
        if self.weight is not None:
            return None
        bias = after.bias
        if self.bias is not None:
            moved = after.weight @ np.broadcast_to(self.bias, after.weight.shape[1])
            bias = _sum(after.scale * moved, bias)
        return replace(after, weight=after.weight * self.scale, bias=bias, tied=None)


class _Reader(Graph):
    """A graph, and the layers that were found in it so far."""

    def __init__(self, source: Any) -> None:
        super().__init__(source)
        self.layers: list[Module | _Affine] = []
        self.weights: dict[str, list[list[Value]]] = {}  # by the tensor, as they lie there
        # Tied weights are the same Values: more than this make no sense, and would fill the memory.
        self.room = 4 * sum(array.size for array in self.constants.values())

    def model(self) -> Sequential:
        """The layers of the whole row."""
        parts = self.parts()
        while parts:
            run = list(takewhile(lambda part: is_elementwise(self, part), parts[:MOST]))
            for count in range(len(run), 0, -1):
                named = all(n.op_type in _NAMED for part in run[:count] for n in part.nodes)
                if not named and (layer := activation_of(self, run[:count])):
                    self.layers.append(layer)
                    parts = parts[count:]
                    break
            else:
                part = parts.pop(0)
                if len(part.nodes) == 1:
                    self.add(*part.nodes)
                elif not self.is_of_two_classes(part, parts):
                    kinds = " and ".join(n.op_type for n in part.nodes if part.x in n.input)
                    told = f"it joins what branched at {part.x!r:.80}, which goes to {kinds}"
                    raise self.error(part.nodes[-1], f"{told}; a Sequential is one row")
        return Sequential(*map(self.built, self.layers)).eval()

    def is_of_two_classes(self, part: Part, after: list[Part]) -> bool:
        """Whether a part makes [1 - p, p] of p, and is the end, as skl2onnx writes it."""
        first, last = part.nodes[0], part.nodes[-1]
        return (
            all(node.op_type in _NOTHING for part in after for node in part.nodes)
            and [node.op_type for node in part.nodes] == ["Sub", "Concat"]
            and list(last.input) == [first.output[0], part.x]
            and first.input[0] in self.constants
            and self.constants[first.input[0]].ravel().tolist() == [1.0]
        )

    def add(self, node: Any) -> None:
        """Add the layer that a node is; some are none, and leave all numbers as they are."""
        kind, told = node.op_type, self.told(node)
        layer: Module | _Affine | None
        if kind in _STEPS and node.domain in (*DOMAINS, "ai.onnx.ml"):
            layer = _STEPS[kind](self, node, told)
        elif kind in _NAMED and node.domain in DOMAINS:
            arguments = {_NAMED[kind][name]: value for name, value in told.items()}
            layer = activation(self.file, name_of(node), kind, **arguments)
        else:
            raise self.error(node, "nn has no layer that does this")
        last = self.layers[-1] if self.layers else None
        if isinstance(layer, _Affine) and isinstance(last, _Affine) and (both := last.then(layer)):
            self.layers.pop()
            layer = both
        self.layers += [layer] if layer else []

    def built(self, found: Module | _Affine) -> Module:
        """A layer with its Values; those of a tensor that has been used before are the same."""
        if isinstance(found, Module):
            return found
        if found.weight is None:
            raise self.error(found.node, "it moves or scales numbers that no Linear is next to")
        scale, bias = np.reshape(found.scale, (-1, 1)), found.bias
        if bias is not None:
            bias = np.broadcast_to(bias, len(found.weight))
        layer = linear(self.file, name_of(found.node), found.weight * scale, bias)
        if found.tied and np.all(scale == 1.0):
            tensor, transposed = found.tied
            rows = _transposed(layer.weight) if transposed else layer.weight
            if (first := self.weights.setdefault(tensor, rows)) is not rows:
                layer.weight = _transposed(first) if transposed else first
                return layer
        self.room -= found.weight.size
        if self.room < 0:
            raise self.error(found.node, "there are more weights than the file has numbers")
        return layer

    def numbers(self, node: Any, place: int) -> Array:
        """An input of a node that is to be constant, in float64."""
        name = node.input[place]
        if name not in self.constants:
            raise self.error(
                node, f"{name!r:.80} is computed, and only a constant can be read here"
            )
        array = self.constants[name]
        if not array.size or array.dtype.kind in "OSU":
            raise self.error(node, f"{name!r:.80} has no numbers")
        return array.astype(np.float64)

    def row(self, node: Any, place: int) -> Array:
        """An input of a node that is one number, or has one for each feature."""
        row = self.numbers(node, place)
        if row.size == 1:
            return row.reshape(())
        if row.size != row.shape[-1]:
            raise self.error(node, f"{node.input[place]!r:.80} has other numbers for each example")
        self.fit(node, row.size)
        return row.reshape(-1)

    def fit(self, node: Any, size: int) -> None:
        """Raise ReadError unless a node can be given lists of this size."""
        if self.shape[-1] not in (0, size):
            raise self.error(node, f"it takes {size} numbers, and is given {self.shape[-1]}")
        self.shape[-1] = size

    def on_last_axis(self, node: Any, axis: int) -> None:
        """Raise ReadError unless an axis is the last one."""
        if axis not in (-1, len(self.shape) - 1):
            raise self.error(node, f"it works on axis {axis}, and here on the last one alone")

    # --- what a node is, by its operation ---

    def nothing(self, node: Any, told: dict[str, Any]) -> None:
        """What leaves numbers as they are."""
        if not self.is_float(node):
            raise self.error(node, "it cuts off the digits behind the point")

    def dense(self, node: Any, told: dict[str, Any]) -> _Affine:
        """A MatMul or Gemm."""
        weight = self.numbers(node, 1)
        if weight.ndim != 2 or told.get("transA"):
            raise self.error(node, "it is no product of examples, as rows, and a matrix")
        transposed = not told.get("transB", 0)
        weight = weight.T if transposed else weight
        self.fit(node, weight.shape[1])
        self.shape[-1] = len(weight)
        bias = None
        if len(node.input) > 2 and node.input[2]:
            bias = told.get("beta", 1.0) * self.row(node, 2)
        return _Affine(node, told.get("alpha", 1.0), bias, weight, (node.input[1], transposed))

    def moved(self, node: Any, told: dict[str, Any]) -> _Affine:
        """An Add, Sub, Mul or Div of constants."""
        kind, place = node.op_type, 0 if node.input[0] in self.constants else 1
        row = self.row(node, place)
        if kind == "Div" and place == 0:
            raise self.error(node, "nn has no layer that divides by its input")
        if kind in ("Mul", "Div"):
            return _Affine(node, row if kind == "Mul" else 1.0 / row)
        if kind == "Add" or place == 0:
            return _Affine(node, 1.0 if kind == "Add" else -1.0, row)
        return _Affine(node, 1.0, -row)

    def batch_norm(self, node: Any, told: dict[str, Any]) -> _Affine:
        """A BatchNormalization with the mean and variance that were learnt."""
        if told.get("training_mode") or len(self.shape) != 2:
            raise self.error(node, "it is read only as it predicts, and of lists of numbers")
        weight, bias, mean, variance = (self.row(node, place) for place in (1, 2, 3, 4))
        scale = weight / np.sqrt(variance + told.get("epsilon", 1e-5))
        return _Affine(node, scale, bias - scale * mean)

    def flat(self, node: Any, told: dict[str, Any]) -> Module | None:
        """A Flatten, or a Reshape that is one."""
        size, flat = math.prod(self.shape[1:]), node.op_type == "Flatten"
        rows, *features = [-1, -1] if flat else self.numbers(node, 1).astype(int).ravel().tolist()
        if told.get("axis", 1) not in (1, 1 - len(self.shape)):
            raise self.error(node, "it flattens other dimensions than those of an example")
        if rows not in (0, -1, self.shape[0] or 1) or features not in ([-1], [size or -1]):
            shape = " by ".join(map(str, features)) or "nothing"
            raise self.error(node, f"it makes rows of {shape}, and an example has {size} numbers")
        flat = flat or len(self.shape) > 2
        self.shape = [self.shape[0], size]
        return Flatten() if flat else None

    def softmax(self, node: Any, told: dict[str, Any]) -> Module:
        """A Softmax or LogSoftmax."""
        self.on_last_axis(node, told.get("axis", -1 if self.opset >= 13 else 1))
        return activation(self.file, name_of(node), node.op_type)

    def layer_norm(self, node: Any, told: dict[str, Any]) -> Module:
        """A LayerNormalization."""
        self.on_last_axis(node, told.get("axis", -1))
        weight, bias = self.row(node, 1).reshape(-1), None
        if len(node.input) > 2 and node.input[2]:
            bias = self.row(node, 2).reshape(-1)
        sizes = {"normalized_shape": [weight.size], "eps": told.get("epsilon", 1e-5)}
        return weighted(self.file, name_of(node), "LayerNorm", weight, bias, **sizes)

    def dropout(self, node: Any, told: dict[str, Any]) -> Module:
        """A Dropout, which does nothing in evaluation mode."""
        p = told.get("ratio", 0.5)
        if len(node.input) > 1 and node.input[1]:
            p = decimal(self.numbers(node, 1).ravel()[0])
        return made(self.file, name_of(node), "Dropout", {}, p=p)

    def slid(
        self, node: Any, told: dict[str, Any], size: list[int], channels: int
    ) -> dict[str, Any]:
        """How windows of a size slide over channels, as nn's layers are told it."""
        dims = len(size)
        if dims not in (1, 2) or len(self.shape) != dims + 2:
            raise self.error(node, f"it has windows of {dims} dimensions, and nn of 1 and 2")
        steps, spread = told.get("strides", [1] * dims), told.get("dilations", [1] * dims)
        around = told.get("pads", [0] * 2 * dims)
        if [len(steps), len(spread), len(around)] != [dims, dims, 2 * dims] or min(steps) < 1:
            raise self.error(node, "its strides, dilations and pads make no sense")
        reach = [d * (k - 1) for d, k in zip(spread, size, strict=True)]
        same = [r // 2 for r in reach] + [r - r // 2 for r in reach]
        if (auto := told.get("auto_pad", b"NOTSET")) == b"SAME_UPPER" and set(steps) == {1}:
            around = same
        elif auto not in (b"NOTSET", b"VALID"):
            raise self.error(node, f"its auto_pad is {auto.decode()}, which PyTorch doesn't have")
        before, after = around[:dims], around[dims:]
        if before != after and not (
            around == same and set(steps) == {1} and node.op_type == "Conv"
        ):
            raise self.error(node, f"its padding is {before} before and {after} after a picture")
        sizes = [
            n and (n + b + a - r - 1) // step + 1  # where it is known
            for n, b, a, r, step in zip(self.shape[2:], before, after, reach, steps, strict=True)
        ]
        self.shape = [self.shape[0], channels, *(0 if told.get("ceil_mode") else n for n in sizes)]
        padding = before if before == after else "same"
        return {"stride": steps, "padding": padding, "dilation": spread}

    def conv(self, node: Any, told: dict[str, Any]) -> Module:
        """A convolution."""
        weight = self.numbers(node, 1)
        bias = self.numbers(node, 2) if len(node.input) > 2 and node.input[2] else None
        if weight.ndim < 3:
            raise self.error(node, "its weight has no windows")
        (outputs, inputs, *size), groups = weight.shape, told.get("group", 1)
        if len(self.shape) > 1 and self.shape[1] not in (0, inputs * groups):
            took = f"it takes {inputs * groups} channels, and is given {self.shape[1]}"
            raise self.error(node, took)
        windows = self.slid(node, told, list(size), outputs)
        return convolution(self.file, name_of(node), weight, bias, groups, **windows)

    def pool(self, node: Any, told: dict[str, Any]) -> Module:
        """The largest number or the mean of windows, or of whole channels."""
        kind, size = node.op_type, told.get("kernel_shape", self.shape[2:])
        if kind.startswith("Global"):
            told = {"strides": size}
            if not all(size):
                raise self.error(node, "the size of pictures is not said, which it needs")
        windows = self.slid(node, told, size, self.shape[1])
        ceil_mode = bool(told.get("ceil_mode", 0))
        if kind.endswith("MaxPool"):
            windows |= {"kernel_size": size, "ceil_mode": ceil_mode}
            return made(self.file, name_of(node), f"MaxPool{len(size)}d", {}, **windows)
        if ceil_mode or set(windows.pop("dilation")) != {1}:
            raise self.error(node, "nn's means are of windows with no gaps, within the picture")
        windows["kernel_size"] = size
        windows["count_include_pad"] = bool(told.get("count_include_pad", 0))
        return made(self.file, name_of(node), f"AvgPool{len(size)}d", {}, **windows)

    def prelu(self, node: Any, told: dict[str, Any]) -> Module:
        """A PRelu with one slope for all."""
        slope, *others = set(self.numbers(node, 1).ravel().tolist())
        if others:
            raise self.error(node, "it has several slopes, and nn.LeakyReLU has one")
        return LeakyReLU(slope)

    def usual(self, node: Any, told: dict[str, Any]) -> Module:
        """An activation whose attributes can only be the usual ones."""
        for name, value in told.items():
            usual = _USUAL[node.op_type][name]
            if value != usual:
                raise self.error(node, f"{name} is {value!r}, and nn has only {usual!r}")
        return activation(self.file, name_of(node), node.op_type)


# What an operation is: a layer, part of a Linear, or None for nothing.
_STEPS: dict[str, Callable[[_Reader, Any, dict[str, Any]], Module | _Affine | None]] = {
    **dict.fromkeys(_NOTHING, _Reader.nothing),
    **dict.fromkeys(["Gemm", "MatMul"], _Reader.dense),
    **dict.fromkeys(["Add", "Div", "Mul", "Sub"], _Reader.moved),
    **dict.fromkeys(["Flatten", "Reshape"], _Reader.flat),
    **dict.fromkeys(["LogSoftmax", "Softmax"], _Reader.softmax),
    **dict.fromkeys(_USUAL, _Reader.usual),
    **dict.fromkeys(_POOLS, _Reader.pool),
    "BatchNormalization": _Reader.batch_norm,
    "Conv": _Reader.conv,
    "Dropout": _Reader.dropout,
    "LayerNormalization": _Reader.layer_norm,
    "PRelu": _Reader.prelu,
}


def _sum(x: Any, y: Any) -> Any:
    """x + y, where None is nothing."""
    return y if x is None else x if y is None else x + y


def _transposed(rows: list[list[Value]]) -> list[list[Value]]:
    return [list(column) for column in zip(*rows, strict=True)]
