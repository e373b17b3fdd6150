"""What is in an ONNX file: its constants, and the row of nodes from its input to its output.

In: a path, or an onnx.ModelProto. Out: a `Graph`. The row is walked from the output back to the
input, so that what other outputs need, such as a classifier's labels, is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nn.exchange.parts import Array, File, ReadError, package

DOMAINS = ("", "ai.onnx")  # of ONNX's own operations
# Constants that are made of constants.
_FOLDED: dict[str, Callable[..., Array]] = {
    "Cast": lambda told, x: x,
    "Identity": lambda told, x: x,
    "Reshape": lambda told, x, shape: x.reshape(shape.tolist()),
    "Transpose": lambda told, x: x.transpose(told.get("perm")),
}


@dataclass
class Part:
    """The nodes between one tensor of the row, x, and the next one, in the order they run in."""

    nodes: list[Any]
    x: str


class Graph:
    """The graph of one file."""

    def __init__(self, source: Any) -> None:
        onnx = package("onnx")
        self.onnx = onnx
        is_path = isinstance(source, str | Path)
        self.file: File = source if is_path else type(source).__name__
        try:
            model = _loaded(onnx, Path(source)) if is_path else source
            onnx.checker.check_model(model)
            self.constants = {t.name: self.array(t) for t in model.graph.initializer}
        except (onnx.checker.ValidationError, LookupError, TypeError, ValueError) as error:
            told = f"{type(error).__name__}: {error}".strip().split("\n")[0]
            raise self.error(None, f"it is damaged, or no ONNX file ({told})") from None
        self.graph = model.graph
        self.opset = next((o.version for o in model.opset_import if o.domain in DOMAINS), 0)
        if self.opset < 7:
            raise self.error(None, f"it has opset {self.opset}, and those from 7 on are read")
        self.places: dict[str, int] = {}  # tensors, by the node that makes them
        for place, node in enumerate(self.graph.node):
            if not self.is_constant(node):
                self.places.update(dict.fromkeys(filter(None, node.output), place))
        inputs = [i for i in self.graph.input if i.name not in self.constants]
        if len(inputs) != 1:
            raise self.error(None, f"it has {len(inputs)} inputs, and a Sequential has one")
        self.x = inputs[0].name
        self.shape = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim] or [0, 0]

    def error(self, node: Any, reason: str) -> ReadError:
        """The error at a node, or of the whole file."""
        return ReadError(self.file, name_of(node) if node else "", reason)

    def array(self, tensor: Any) -> Array:
        """The numbers of a tensor."""
        found: Array = self.onnx.numpy_helper.to_array(tensor)
        return found

    def told(self, node: Any) -> dict[str, Any]:
        """The attributes of a node. Those that are numbers have seven digits: 0.2 is 0.2 again."""
        found = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        return {k: decimal(v) if isinstance(v, float) else v for k, v in found.items()}

    def is_constant(self, node: Any) -> bool:
        """Whether a node makes a constant, which is then kept."""
        told, kind = self.told(node), node.op_type
        try:
            if kind == "Constant":
                [value] = told.values()
                made = self.array(value) if hasattr(value, "dims") else np.asarray(value)
            elif kind in _FOLDED and all(name in self.constants for name in node.input):
                made = _FOLDED[kind](told, *[self.constants[name] for name in node.input])
            else:
                return False
        except (ValueError, TypeError) as error:
            raise self.error(node, f"it can't be computed ({error})") from None
        self.constants[node.output[0]] = made
        return True

    def output(self) -> str:
        """The output that is no label."""
        types = self.onnx.TensorProto
        labels = (types.INT64, types.INT32, types.STRING, types.BOOL)
        found: list[str] = [
            o.name for o in self.graph.output if o.type.tensor_type.elem_type not in labels
        ]
        if len(found) != 1:
            raise self.error(None, f"it has {len(found)} outputs of numbers, and a Sequential one")
        return found[0]

    def parts(self) -> list[Part]:
        """The row, from the input to the output."""
        found, y = list[Part](), self.output()
        while y != self.x:
            found.append(self.part(y))
            y = found[-1].x
        return found[::-1]

    def part(self, y: str) -> Part:
        """The nodes that make y of one other tensor: one node, or branches from where they part."""
        nodes, waiting = list[Any](), {y}
        while not nodes or len(waiting) > 1:
            last = max(waiting, key=lambda name: self.places.get(name, -1))
            waiting.remove(last)
            if last in self.places:
                nodes.insert(0, self.graph.node[self.places[last]])
                waiting |= {x for x in nodes[0].input if x and x not in self.constants}
            if not waiting:
                raise self.error(nodes[0] if nodes else None, "it does not depend on the input")
        return Part(nodes, *waiting)

    def is_float(self, node: Any) -> bool:
        """Whether a node leaves digits behind the point: all but a Cast to whole numbers do."""
        types = self.onnx.TensorProto
        floats = (types.FLOAT, types.FLOAT16, types.DOUBLE, types.BFLOAT16)
        return node.op_type != "Cast" or self.told(node)["to"] in floats


def name_of(node: Any) -> str:
    """How errors name a node: names of nodes may be missing, those of what they make may not."""
    return f"{node.op_type} -> {', '.join(node.output):.80}"


def decimal(x: float) -> float:
    """The shortest number that is x in float32, as it was before it was rounded to that."""
    return float(str(np.float32(x)))


def _loaded(onnx: Any, path: Path) -> Any:
    """The model of a file, with what it has in files beside it. Raises ValueError where it is
    damaged."""
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ValueError(str(error)) from None
    lying = [{e.key: e.value for e in t.external_data} for t in model.graph.initializer]
    sizes = {str(told["location"]): _size(path, told["location"]) for told in lying if told}
    wanted = [int(told.get("length", sizes[told["location"]])) for told in lying if told]
    if sum(wanted) > sum(sizes.values()):  # before anything is read, since they may overlap
        raise ValueError(f"{sum(wanted)} bytes are said to be in {', '.join(sizes)}: too many")
    onnx.load_external_data_for_model(model, str(path.parent))
    return model


def _size(path: Path, name: str) -> int:
    """The size of a file beside another one."""
    beside = path.parent / name
    if not beside.is_file() or path.parent.resolve() not in beside.resolve().parents:
        raise ValueError(f"its numbers are in {name!r}, and there is no such file in its folder")
    return beside.stat().st_size
