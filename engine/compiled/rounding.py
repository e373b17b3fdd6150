"""How far numbers may be off by rounding, found out by rounding otherwise.

In: nodes, each behind its operands, and the type that they are computed in. Out: by how much each
may differ where the same is computed in another order, with other elementary functions, or in that
type. Each operation is computed again several times, on operands that are off already, and its
result is moved by its own rounding: of the size of the terms for sums, which may be added up in any
order, and of the result for everything else. How far a number then strays is what rounding does to
it: errors that cancel do so here, too, and a comparison near a tie moves all that hangs on it. See
D. S. Parker, Monte Carlo Arithmetic (1997). The signs are always the same, so nothing is by chance.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from engine.graph import topological_order
from engine.value import Value

_ULPS = 4.0  # by which an elementary function and another one may differ
_CANCELLING = ("gammaln", "digamma", "polygamma", "betaln")  # of terms above 1 around their zeros
_SMALL = 2.0**11  # the square root of what float32 still tells from its neighbours
_LOOSE = 1e4  # times as much for what is many operations, as a loop
_RUNS = 4  # all errors of one sign, and signs at random
_SAFETY = 16.0  # how much farther a number may be off than it strayed

Strayed = tuple[float, ...]  # a number in each of the runs


class Bounds:
    """The bounds of nodes computed in a `dtype`; `cuts` says which leaves were made of which nodes.

    >>> from engine import Value
    >>> x = Value(0.1)
    >>> square = x * x
    >>> y = square - 0.01
    >>> bounds = Bounds([square, y], "float64", {})
    >>> 0.0 < y.data < 1e-17 < bounds.of(y) < 1e-15, bounds.of(x)
    (True, 0.0)
    """

    def __init__(
        self, nodes: Iterable[Any], dtype: str, cuts: Mapping[Value, tuple[Value, str]]
    ) -> None:
        limits = np.finfo(dtype)
        self._unit, self._round = float(limits.eps), np.dtype(dtype).type
        self._largest, self._least = float(limits.max), float(limits.smallest_normal)
        self._signs = random.Random(0)
        self._strayed: dict[Value, Strayed] = {}
        self._sizes: dict[Value, float] = {}
        with np.errstate(all="ignore"):  # a large double may be inf in single precision
            for node in nodes:
                cut = cuts.get(node)
                self._strayed[node] = self._node(node) if cut is None else self._of(cut[0])

    def of(self, node: Value | None, number: float = 0.0) -> float:
        """By how much a node, or without one a plain number, may be off."""
        with np.errstate(all="ignore"):
            strayed, number = self._of(node, number), number if node is None else node._data
        far = max(0.0 if x == number else math.fabs(x - number) for x in strayed)
        if number != number:
            return 0.0
        return _SAFETY * far if math.isfinite(far) else math.inf

    def holds(self, one: float, other: float, bound: float) -> bool:
        """Whether two numbers differ by no more than a bound; nan and inf by nothing."""
        return one == other or (one != one and other != other) or math.fabs(one - other) <= bound

    def are_tied(self, node: Value, other: Any) -> bool:
        """Whether rounding decides how a node compares with a number or a node."""
        one, number = (other, other._data) if isinstance(other, Value) else (None, float(other))
        bound = self.of(node) + self.of(one, number)
        return bound > 0.0 and math.fabs(node._data - number) <= bound

    def sum_of(self, terms: Iterable[float], bounds: Iterable[float]) -> float:
        """The bound of a sum over examples, whatever its order, from its terms and their bounds."""
        sizes = [math.fabs(x) for x in terms]
        return math.fsum(bounds) + self._unit * len(sizes) * math.fsum(sizes)

    def _of(self, node: Value | None, number: float = 0.0) -> Strayed:
        if node is not None:
            if node not in self._strayed and node.op is not None:  # it was made before
                for made in topological_order([node], self._strayed):
                    self._strayed[made] = self._node(made)
            if node in self._strayed:
                return self._strayed[node]
            number = node._data
        return (float(self._round(number)),) * _RUNS

    def _node(self, node: Value) -> Strayed:
        op, value = node.op, node._data
        if op is None:
            return self._of(None, value)
        operands = node._operands()
        strayed = [self._of(operand, x) for operand, x in operands]
        size = math.fabs(value)
        if op.name in ("add", "sub"):
            size = sum(self._size(operand, x) for operand, x in operands)
        if op.name in _CANCELLING:
            size = max(size, 1.0)
        self._sizes[node] = size
        rounding = _ULPS * self._unit * size + self._least if size else 0.0
        if op.is_flat or (op.name in ("add", "sub", "mul") and _are_small({*sum(strayed, ())})):
            rounding = 0.0  # jumps between numbers, and conditions that are reckoned with
        if size > self._largest:
            rounding = math.inf
        if op.forward is None:  # as a look-up
            away = [max((s[k] - x for s, (_, x) in zip(strayed, operands, strict=True)), key=abs)
                    for k in range(_RUNS)]  # fmt: skip
            found, rounding = [value + x for x in away], rounding * _LOOSE
        else:
            found = [op.forward(*run) for run in zip(*strayed, strict=True)]
        if not math.isfinite(value):
            return tuple(found)
        rest = (self._signs.choice((-1.0, 1.0)) for _ in range(_RUNS - 1))
        return tuple(x + s * rounding for x, s in zip(found, (1.0, *rest), strict=True))

    def _size(self, node: Value | None, number: float) -> float:
        return math.fabs(number) if node is None else self._sizes.get(node, math.fabs(number))


def _are_small(numbers: Iterable[float]) -> bool:
    """Whether all are whole numbers whose sums and products are exact."""
    return all(math.fabs(x) < _SMALL and x == math.floor(x) for x in numbers)
