"""Random scalar graphs, as data that any kind of number can run: Values, tensors, mpmath.

`random_graph` draws inputs and steps from a seed and the operation table; `run` computes the
graph with the functions of a framework. A graph knows nothing of the engine's nodes, so that what
is compared with the engine does not come from it.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath

import engine
from engine.ops import TABLE, Interval, Op
from exact_rows import BY_MPMATH

TOLERANCE = 1e-12  # of a value and its gradient, against the largest of these numbers
TOLERANCE_2 = 1e-10  # of second derivatives: one more differentiation cancels more digits

# What a graph may draw. Not `detach`: its derivative is 0 by definition, where differences find 1;
# and not what only recorded sweeps are made of.
ROWS = tuple(name for name in TABLE if name not in ("detach", "nothing", "arrive", "pass_on"))

Operand = int | float  # the place of a node, or a literal
Functions = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Graph:
    """Inputs, and steps by the name of an operation; the nodes are the inputs, then the steps."""

    inputs: tuple[float, ...]
    steps: tuple[tuple[str, tuple[Operand, ...]], ...]


def random_graph(seed: int, offset: int, rows: Sequence[str] = ROWS) -> Graph:
    """Return the graph of a seed; with another offset, the one to take in its place."""
    return _Builder(random.Random(f"{seed}/{offset}"), [TABLE[name] for name in rows]).graph()


def run(
    graph: Graph,
    functions: Functions,
    inputs: Sequence[Any],
    literal: Callable[[float], Any] = float,
) -> Any:
    """Compute the last node of a graph, from inputs in place of its own."""
    nodes = list(inputs)
    for name, places in graph.steps:
        operands = [nodes[a] if isinstance(a, int) else literal(a) for a in places]
        nodes.append(functions[name](*operands))
    return nodes[-1]


def disagreement(actual: Sequence[float], expected: Sequence[float], tolerance: float) -> str:
    """Say how two lists, each a value and its gradient, disagree; the empty string if they agree.

    They are compared in units of the largest expected number: a sum of large terms that cancel
    has no small relative error in any arithmetic.
    """
    scale = max(abs(number) for number in expected)
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        if not abs(a - b) <= tolerance * scale:  # not `>`, which a nan would pass
            name = f"derivative {i - 1}" if i else "value"
            return f"{name} is {a!r}, expected {b!r}, where the largest number is {scale!r}"
    return ""


# --- drawing a graph ------------------------------------------------------------------------


class _Builder:
    """A graph under construction, with the number that every node has in plain floats."""

    def __init__(self, rng: random.Random, rows: Sequence[Op]) -> None:
        self.rng, self.rows = rng, rows
        self.inputs = [rng.uniform(-2.0, 2.0) for _ in range(rng.randint(1, 5))]
        self.numbers = list(self.inputs)
        self.steps: list[tuple[str, tuple[Operand, ...]]] = []

    def graph(self) -> Graph:
        for _ in range(self.rng.randint(5, 60)):
            self.draw()
        used = {place for _, places in self.steps for place in places if isinstance(place, int)}
        ends = [i for i in range(len(self.numbers)) if i not in used]
        total = functools.reduce(lambda a, b: self.add("add", a, b), ends)
        if self.rng.random() < 0.5:
            self.add("div", total, float(len(ends)))
        return Graph(tuple(self.inputs), tuple(self.steps))

    def add(self, name: str, *places: Operand) -> int:
        forward = TABLE[name].forward
        assert forward is not None
        self.numbers.append(forward(*[self.number(a) for a in places]))
        self.steps.append((name, places))
        return len(self.numbers) - 1

    def number(self, place: Operand) -> float:
        return self.numbers[place] if isinstance(place, int) else place

    def draw(self) -> None:
        """Add an operation, its operands within an interval that is free of kinks and poles."""
        row = self.rng.choice(self.rows)
        domain = self.rng.choice(_domains(row))
        places = [self.pick() for _ in domain]
        if self.rng.random() < 0.2:
            places = [places[0]] * row.arity  # such as x * x
        operands: list[Operand] = [
            self.condition() if low == high else self.within(place, low, high)
            for place, (low, high) in zip(places, domain, strict=True)
        ]
        if row.arity > 1 and self.rng.random() < 0.3:
            i = self.rng.randrange(row.arity)
            operands[i] = self.rng.uniform(*domain[i])
        self.add(row.name, *operands)

    def pick(self) -> int:
        """A node: half of the time a recent one, so that graphs are deep and wide."""
        count = len(self.numbers)
        return self.rng.randrange(max(0, count - 4) if self.rng.random() < 0.5 else 0, count)

    def condition(self) -> int:
        other = self.pick() if self.rng.random() < 0.5 else self.rng.uniform(-2.0, 2.0)
        return self.add("less", self.pick(), other)

    def within(self, node: int, low: float, high: float) -> int:
        """The node itself if its number is in the interval, else one moved or squashed into it."""
        if low <= self.numbers[node] <= high:
            return node
        if self.rng.random() < 0.7:  # squashing alone would make all gradients vanish
            return self.add("sub", node, self.numbers[node] - self.rng.uniform(low, high))
        share = self.add("sigmoid", node)
        return self.add("add", float(low), self.add("mul", float(high - low), share))


@functools.cache
def _domains(row: Op) -> list[tuple[Interval, ...]]:
    """The row's samples, with their signs and order changed wherever it is finite there too.

    So a kink at 0 is seen from both sides, and `maximum` with either operand the larger.
    """
    assert row.forward is not None
    found: dict[tuple[Interval, ...], None] = {}
    for order in itertools.permutations(row.samples) if row.arity == 2 else [row.samples]:
        for mirrored in itertools.product((False, True), repeat=row.arity):
            domain = tuple(
                (-high, -low) if flip else (low, high)
                for (low, high), flip in zip(order, mirrored, strict=True)
            )
            # uneven shares: at whole numbers `pow` is finite for negative numbers too
            points = [[a + (b - a) * t for t in (0.0, 0.3, 0.5, 0.8, 1.0)] for a, b in domain]
            if all(math.isfinite(row.forward(*x)) for x in itertools.product(*points)):
                found[domain] = None
    return list(found)


# --- the engine -----------------------------------------------------------------------------


def _where(condition: Any, x: Any, y: Any) -> Any:
    return engine.where(condition != 0.0, x, y)  # the function takes a comparison


ENGINE: Functions = {name: getattr(engine, name) for name in ROWS} | {"where": _where}

# The same in Python's operators, where there is one; a literal may stand on either side of them.
ENGINE_OPERATORS: Functions = {
    **ENGINE,
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "neg", "pow", "abs")},
    "div": operator.truediv,
    "remainder": operator.mod,
    "floor_divide": operator.floordiv,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
}


def engine_figures(graph: Graph, functions: Functions = ENGINE) -> list[float]:
    """The value and the gradient, by `backward`."""
    inputs = [engine.Value(x) for x in graph.inputs]
    out = run(graph, functions, inputs)
    out.backward()
    return [out.data, *[x.grad for x in inputs]]


# --- extended precision ---------------------------------------------------------------------


def _mp_bce(p: Any, t: Any) -> Any:
    return -t * mpmath.log(p) - (1 - t) * mpmath.log(1 - p)


# Where mpmath has no function of a row's name, or one that means something else.
_MPMATH: Functions = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "chain": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "abs": operator.abs,
    "pow": operator.pow,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "identity": lambda x: +x,
    "direction": lambda x, y: x / mpmath.hypot(x, y),
    "one_minus_square": lambda x: 1 - x * x,
    "exp2": lambda x: mpmath.power(2, x),
    "logaddexp2": lambda x, y: mpmath.log(2**x + 2**y) / mpmath.log(2),
    "rad2deg": mpmath.degrees,
    "deg2rad": mpmath.radians,
    "trunc": lambda x: mpmath.sign(x) * mpmath.floor(abs(x)),
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "logaddexp": lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log(1 + mpmath.exp(-x)),
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "leaky_relu": lambda x, slope: x if x > 0 else slope * x,
    "elu": lambda x, alpha: x if x > 0 else alpha * mpmath.expm1(x),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "binary_cross_entropy": _mp_bce,
    "step": lambda x: mpmath.mpf(x > 0),
    "round": mpmath.nint,
    "less": lambda x, y: mpmath.mpf(x < y),
    "less_equal": lambda x, y: mpmath.mpf(x <= y),
    "equal": lambda x, y: mpmath.mpf(x == y),
    "where": lambda condition, x, y: x if condition else y,
    "maximum": max,
    "minimum": min,
    "clamp_min": max,
    "clamp_max": min,
    "fmod": lambda x, y: x - y * mpmath.sign(x / y) * mpmath.floor(abs(x / y)),
    "remainder": lambda x, y: x - y * mpmath.floor(x / y),
    "floor_divide": lambda x, y: mpmath.floor(x / y),
    **BY_MPMATH,
    "log1mexp": lambda x: mpmath.log(1 - mpmath.exp(-x)),
    "xlogy": lambda x, y: x * mpmath.log(y),
    "xlog1py": lambda x, y: x * mpmath.log(1 + y),
}


def extended_figures(graph: Graph, digits: int = 60) -> list[Any]:
    """The value and the gradient to more than a third of the digits, by differences of numbers."""
    functions = {name: _MPMATH.get(name) or getattr(mpmath, name) for name, _ in graph.steps}
    with mpmath.workdps(digits):
        inputs = [mpmath.mpf(x) for x in graph.inputs]
        step = mpmath.mpf(10) ** (5 - digits // 2)
        value = run(graph, functions, inputs, mpmath.mpf)
        figures = [value]
        for i, x in enumerate(inputs):
            moved = [*inputs[:i], x + step, *inputs[i + 1 :]]
            figures.append((run(graph, functions, moved, mpmath.mpf) - value) / step)
    return figures


# --- PyTorch, given as an argument: it need not be installed ----------------------------------


def _torch_functions(torch: Any) -> Functions:
    functional = torch.nn.functional
    # Where PyTorch has no function of a row's name for two tensors, or one that means another.
    special: Functions = {
        "cbrt": lambda x: torch.sign(x) * torch.abs(x) ** (1.0 / 3.0),
        "chain": torch.mul,
        "floor_divide": lambda x, y: torch.floor(x / y),  # its own has no derivative
        "identity": torch.clone,
        "direction": lambda x, y: x / torch.hypot(x, y),
        "one_minus_square": lambda x: 1.0 - x * x,
        "sech": lambda x: 1.0 / torch.cosh(x),
        "softplus": functional.softplus,
        "log_sigmoid": functional.logsigmoid,
        "leaky_relu": lambda x, slope: torch.where(x > 0.0, x, slope * x),
        "elu": lambda x, alpha: torch.where(x > 0.0, x, alpha * torch.expm1(x)),
        "gelu": functional.gelu,
        "silu": functional.silu,
        # its own function refuses targets outside of [0, 1]
        "binary_cross_entropy": lambda p, t: -t * torch.log(p) - (1.0 - t) * torch.log1p(-p),
        "step": lambda x: (x > 0.0).double(),
        "less": lambda x, y: (x < y).double(),
        "less_equal": lambda x, y: (x <= y).double(),
        "equal": lambda x, y: (x == y).double(),
        "where": lambda condition, x, y: torch.where(condition != 0.0, x, y),
        "log1mexp": lambda x: torch.log(-torch.expm1(-x)),
        "polygamma": lambda n, x: torch.special.polygamma(int(n), x),
        "betaln": lambda x, y: torch.lgamma(x) + torch.lgamma(y) - torch.lgamma(x + y),
    }
    modules = (torch.special, torch)
    return {
        name: special.get(name) or next(getattr(m, name) for m in modules if hasattr(m, name))
        for name in ROWS
    }


def _torch_run(torch: Any, graph: Graph) -> tuple[Any, list[Any]]:
    def tensor(x: float) -> Any:
        return torch.tensor(x, dtype=torch.float64)

    inputs = [tensor(x).requires_grad_() for x in graph.inputs]
    return run(graph, _torch_functions(torch), inputs, tensor), inputs


def torch_figures(torch: Any, graph: Graph) -> list[float]:
    """The value and the gradient."""
    out, inputs = _torch_run(torch, graph)
    if not out.requires_grad:  # no input reaches the result
        return [out.item()] + [0.0] * len(inputs)
    gradient = torch.autograd.grad(out, inputs, materialize_grads=True)
    return [out.item(), *[g.item() for g in gradient]]


def torch_second_figures(torch: Any, graph: Graph) -> Iterator[list[float]]:
    """Each first derivative with its own gradient: a row of the Hessian."""
    out, inputs = _torch_run(torch, graph)
    gradient = torch.autograd.grad(out, inputs, create_graph=True, materialize_grads=True)
    for g in gradient:
        row = [torch.zeros(())] * len(inputs)
        if g.requires_grad:
            row = torch.autograd.grad(g, inputs, retain_graph=True, materialize_grads=True)
        yield [g.item(), *[h.item() for h in row]]
