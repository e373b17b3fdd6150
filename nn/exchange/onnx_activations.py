"""Activations that exporters took apart, found by what they compute.

In: nodes of an ONNX graph that work on one number after the other. Out: the layer that has the same
values, at numbers that tell ours apart. There are many ways to write a GELU, and none is run: the
operations in the table below are all that is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np

from nn.exchange.onnx_graphs import DOMAINS, Graph, Part
from nn.exchange.parts import Array
from nn.layers import ELU, GELU, SELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from nn.module import Module

# Operations on one number after the other.
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "Cast": np.positive,
    "Div": np.divide,
    "Erf": np.vectorize(math.erf),
    "Exp": np.exp,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": np.positive,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "Max": lambda *x: reduce(np.maximum, x),
    "Min": lambda *x: reduce(np.minimum, x),
    "Mul": np.multiply,
    "Neg": np.negative,
    "Pow": np.power,
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0.0),
    "Sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)),
    "Softplus": lambda x: np.logaddexp(0.0, x),
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Sum": lambda *x: reduce(np.add, x),
    "Tanh": np.tanh,
    "Where": np.where,
}
_PROBES = np.concatenate([np.linspace(-45.0, 45.0, 361), [-800.0, -1e-3, 1e-3, 800.0]])
MOST = 16  # parts of the row that may be one activation
# By which share results are off of a constant that was rounded to so many bytes.
_ROUNDING = {2: 2e-4, 4: 1e-6}


def is_elementwise(graph: Graph, part: Part) -> bool:
    """Whether a part works on one number after the other, on each alike."""
    return all(
        node.op_type in _ELEMENTWISE
        and node.domain in DOMAINS
        and {a.name for a in node.attribute} <= {"to"}
        and graph.is_float(node)
        and all(graph.constants[x].size == 1 for x in node.input if x in graph.constants)
        for node in part.nodes
    )


def activation_of(graph: Graph, run: list[Part]) -> Module | None:
    """The layer that computes what several parts do, if there is one."""
    nodes = [node for part in run for node in part.nodes]
    used = {x: graph.constants[x] for node in nodes for x in node.input if x in graph.constants}
    values = {x: array.astype(np.float64).reshape(()) for x, array in used.items()}
    numbers = [float(value) for value in values.values()]
    off = max((_ROUNDING.get(array.itemsize, 0.0) for array in used.values()), default=0.0)
    values[run[0].x] = _PROBES
    for node in nodes:
        inputs = [values[x] for x in node.input]
        values[node.output[0]] = _ELEMENTWISE[node.op_type](*inputs)
    y = np.broadcast_to(values[nodes[-1].output[0]], _PROBES.shape)
    return next((a for a in _candidates(y, numbers) if _agrees(a, y, max(off, 1e-14))), None)


def _candidates(y: Array, numbers: list[float]) -> Iterator[Module]:
    """The activations that may have the values y at the probes, with some numbers in them."""
    at = dict(zip(_PROBES.tolist(), y.tolist(), strict=True))
    yield from (ReLU(), SiLU(), GELU(), Tanh(), Sigmoid(), SELU())
    if at[-1.0] != -1.0:  # which is no activation
        yield LeakyReLU(float(f"{-at[-1.0]:.15g}"))
    yield ELU(float(f"{at[-1.0] / math.expm1(-1.0):.15g}"))
    if 0.0 < at[0.0] < math.inf:
        beta = float(f"{math.log(2.0) / at[0.0]:.15g}")
        yield from (Softplus(beta, threshold) for threshold in [*numbers, math.inf])


def _agrees(layer: Module, y: Array, off: float) -> bool:
    """Whether a layer has the values y at the probes, of which some are tried first."""
    for some in (slice(None, None, 60), slice(None)):
        ours = [getattr(value, "data", value) for value in layer(_PROBES[some].tolist())]
        if not np.allclose(ours, y[some], rtol=off, atol=off):
            return False
    return True
