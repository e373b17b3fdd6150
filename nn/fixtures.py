"""`gradloom fixtures DIR`: a graded set of graphs and numbers, for engines in other languages.

Who ports a scalar engine has its tests here, as data: each row of the operation table at ordinary
points, at kinks, in tails, at edges of its domain and at infinities; graphs that trip hasty
engines; repeated and seeded passes; what is not chosen; steps of training. The files' format is
told in fixtures.md, which is written beside them as README.md. The figures are the engine's own.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import engine
import nn
from engine import Value, to_json
from engine.files import make_writable, write_whole
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.value import record

FORMAT, VERSION = "gradloom-fixtures", 1
RELATIVE = 1e-12  # libraries' functions differ by less, in all the points chosen here
NOTHING = 1e-300  # what is smaller counts as 0: some processors have no smaller numbers
Case = dict[str, Any]

# Where operations have their kinks, ties and ends, and where something over- or underflows.
_TIES = (0.0, 0.5, 1.0, 2.0, 2.5, math.inf)
_FAR = (1e-308, 1e-160, 1e-20, 1e-8, 20.0, 40.0, 100.0, 700.0, 709.9, 710.6, 745.5, 1023.5)
_FURTHER = (1e5, 1e20, 1e155, 1e200, 1e308)
_OF_TWO = (0.0, 1e-200, 1.0, 2.0, 1e200, math.inf)


def write(folder: Path) -> list[tuple[Path, int]]:
    """Write all files, and return each with how many cases it has.

    Raises OSError where the folder can't be written to.
    """
    make_writable(folder)
    written = []
    for name, cases in _files().items():
        head = json.dumps({"format": FORMAT, "version": VERSION})
        text = f'{head[:-1]}, "cases": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]}\n"
        write_whole(folder / f"{name}.json", text.encode())
        written.append((folder / f"{name}.json", len(cases)))
    write_whole(folder / "README.md", Path(__file__).with_suffix(".md").read_bytes())
    return written


def _files() -> dict[str, list[Case]]:
    """The cases of each file, from easy to hard."""
    edges: dict[str, list[Case]] = {"kinks": [], "tails": [], "edges": [], "infinities": []}
    for op in TABLE.values():
        for numbers in edge_points(op):
            edges[kind_of(op, numbers)].append(_row(op, numbers))
    return {
        "1-rows": [_row(op, numbers) for op in TABLE.values() for numbers in ordinary_points(op)],
        "2-graphs": list(_graphs()),
        "3-passes": list(_passes()),
        "4-training": list(_training()),
        "5-kinks": edges["kinks"],
        "6-tails": edges["tails"],
        "7-not-chosen": list(_not_chosen()),
        "8-edges": edges["edges"],
        "9-infinities": edges["infinities"],
    }


def _case(
    name: str,
    *roots: Value,
    why: str = "",
    passes: Sequence[tuple[int, float]] = ((0, 1.0),),
    assign: Mapping[str, float] | None = None,
    rate: float = 0.0,
    absolute: float | None = None,
) -> Case:
    """Run the passes, each from a root with a seed, and write down what they left.

    `assign` gives leaves, by their labels, other numbers before the passes; `rate` is that of a
    step of gradient descent after them.
    """
    leaves = {v.label: v for v in topological_order(roots) if v.op is None and v.label}
    before = {label: leaf.data for label, leaf in leaves.items()}
    for label, number in (assign or {}).items():
        leaves[label].data = number
    for root, seed in passes:
        roots[root].backward(seed)
    for label, number in before.items():
        leaves[label].data = number
    graph = json.loads(to_json(roots))
    if absolute is None:
        found = [float(node.get(key, 0.0)) for node in graph["nodes"] for key in ("data", "grad")]
        absolute = RELATIVE * max(abs(x) for x in found if math.isfinite(x))
    case = {"name": name, "why": why, "rtol": RELATIVE, "atol": absolute, "graph": graph}
    case |= {"assign": dict(assign or {}), "passes": passes}
    if rate:
        after = {label: leaf.data - rate * leaf.grad for label, leaf in leaves.items()}
        case["update"] = {"rate": rate, "data": after}
    return case


# --- single rows --------------------------------------------------------------------------------


def _row(op: Op, numbers: Sequence[float]) -> Case:
    assert op.forward is not None
    names = signature(op.forward).parameters
    operands = [Value(x, label=name) for x, name in zip(numbers, names, strict=True)]
    root = record(op, operands)
    name = f"{op.name}({', '.join(map(repr, numbers))})"
    return _case(name, root, why=op.doc, absolute=NOTHING)


def ordinary_points(op: Op) -> Iterator[tuple[float, ...]]:
    """Three points where the row is smooth."""
    for shares in ((0.3, 0.6, 0.4), (0.55, 0.15, 0.8), (0.9, 0.75, 0.1)):
        pairs = zip(op.samples, shares, strict=False)
        yield tuple(low + share * (high - low) for (low, high), share in pairs)


def edge_points(op: Op) -> list[tuple[float, ...]]:
    """Operands at and around whatever makes a row special: a lattice of such numbers.

    >>> (0.0,) in edge_points(TABLE["relu"]), (2.0, 2.0) in edge_points(TABLE["maximum"])
    (True, True)
    """
    sizes = (*_TIES, *_FAR, *_FURTHER) if op.arity == 1 else _OF_TWO
    numbers = [*(-x for x in reversed(sizes)), *sizes, math.nan]
    if op.arity == 3:  # a condition, and its arms
        return list(itertools.product((0.0, -0.0, 1.0, math.nan), *[(2.0, math.inf, math.nan)] * 2))
    return list(itertools.product(numbers, repeat=op.arity))


def kind_of(op: Op, numbers: Sequence[float]) -> str:
    """What is special at such a point: "infinities", "kinks", "edges" or "tails".

    >>> kind_of(TABLE["log"], [0.0]), kind_of(TABLE["log"], [1e20])
    ('edges', 'tails')
    """
    if not all(map(math.isfinite, numbers)):
        return "infinities"
    if op.has_kink(numbers):
        return "kinks"
    assert op.forward is not None
    found = op.forward(*numbers)
    partials = [p if isinstance(p, float) else p(*numbers, found) for p in op.partials]
    return "tails" if all(map(math.isfinite, [found, *partials])) else "edges"


# --- graphs ---------------------------------------------------------------------------------------


def _inputs(**numbers: float) -> list[Value]:
    return [Value(number, label=label) for label, number in numbers.items()]


def _graphs() -> Iterator[Case]:
    x, y, z = _inputs(x=-2.0, y=3.0, z=0.5)
    yield _case("two inputs", x * y + z.tanh(), why="each input used once")
    [x] = _inputs(x=3.0)
    yield _case("x + x", x + x, why="both operands are one node: its gradient is added up")
    [x] = _inputs(x=3.0)
    yield _case("x * x * x", x * x * x, why="one leaf in three places")
    [x] = _inputs(x=3.0)
    yield _case("x / x", x / x, why="contributions that cancel")
    [x] = _inputs(x=1.5)
    yield _case("x ** x", engine.pow(x, x), why="both operands of a power are one node")
    x, y = _inputs(x=0.7, y=-1.2)
    a = x * y
    b = a.sin()
    yield _case("diamond", a * b + b, why="a result used three times, at different depths")
    [x] = _inputs(x=0.5)
    a = x * 2.0
    b = a.exp()
    yield _case(
        "early and late",
        a + (b * a).tanh() * a,
        why="a must pass back only when all that use it have passed to it: sort, don't recurse",
    )
    [x] = _inputs(x=0.3)
    y = x
    for _ in range(20):
        y = y + y
    yield _case(
        "doubling", y, why="2**20 paths: a sweep by nodes takes 20 steps, by paths for ever"
    )
    x, y = _inputs(x=2.0, y=5.0)
    yield _case(
        "literals",
        (10.0 - x) / y + 2.0**x + x**3 + 1.0 / y - x % 1.5,
        why="literal operands on either side get no gradient",
    )
    [x] = _inputs(x=2.0)
    yield _case("a leaf as root", x, why="d x / d x = 1")
    x, y = _inputs(x=2.0, y=4.0)
    yield _case("no influence", x + 0.0 * y, why="a gradient that is 0 by arithmetic")
    [x] = _inputs(x=0.9)
    y = x
    for k in range(3000):
        y = y.sin() + 0.5 if k % 2 else y * 1.01
    yield _case("depth", y, why="6,000 operations in a chain: neither pass may recurse")
    [x] = _inputs(x=0.01)
    yield _case(
        "fan-out", engine.sum([x * float(k) for k in range(300)]), why="one leaf used 300 times"
    )


def _passes() -> Iterator[Case]:
    def product() -> list[Value]:
        x, y = _inputs(x=3.0, y=-2.0)
        a = x * y
        return [a, a * a + x]

    a, root = product()
    yield _case(
        "a second backward",
        root,
        passes=[(0, 1.0), (0, 1.0)],
        why="leaves add up, to twice the gradient; the nodes between are set, not added to",
    )
    a, root = product()
    yield _case("a seed", root, passes=[(0, -2.5)], why="every gradient times the seed")
    a, root = product()
    yield _case(
        "two roots",
        root,
        a,
        passes=[(0, 1.0), (1, 10.0)],
        why="leaves add up over roots; the second root is a node of the first, and is set",
    )
    x, y = _inputs(x=0.5, y=2.0)
    yield _case(
        "examples of a batch",
        *[(x * k - y).tanh() for k in (1.0, 2.0, 3.0)],
        passes=[(0, 1 / 3), (1, 1 / 3), (2, 1 / 3)],
        why="a mean over examples, one backward each: parameters add up",
    )
    x, y = _inputs(x=3.0, y=2.0)
    yield _case(
        "a leaf assigned in between",
        x * y * x,
        assign={"x": 100.0},
        why="derivatives are those of the numbers that were computed with",
    )
    [x] = _inputs(x=0.0)
    yield _case(
        "a seed of 0",
        x.log(),
        passes=[(0, 0.0)],
        why="a seed of exactly 0 has not arrived: 0 * inf is not asked for",
    )
    x, y = _inputs(x=1.0, y=2.0)
    yield _case("one after another", x * y, y.exp(), passes=[(0, 1.0), (1, 1.0), (0, 1.0)])


def _not_chosen() -> Iterator[Case]:
    """What was not chosen gets nothing, whatever stands there; a computed 0 is a number."""
    [x] = _inputs(x=0.0)
    yield _case("where(x > 0, sqrt(x), 0)", engine.where(x > 0.0, x.sqrt(), 0.0 * x))
    [x] = _inputs(x=-1.0)
    yield _case(
        "an arm that is nan",
        engine.where(x > 0.0, x.log(), x * x),
        why="the logarithm of -1 is nan, but was not taken",
    )
    [x] = _inputs(x=0.0)
    inner = engine.where(x == 0.0, 1.0 + 0.0 * x, x.sin() / x)
    yield _case("an arm within an arm", engine.where(x == 0.0, inner, 1.0 / x), why="sin(x)/x at 0")
    for name, make in _CHOICES.items():
        x, y = _inputs(x=0.0, y=1.0)
        yield _case(name, make(x, y))
    [x] = _inputs(x=0.0)
    yield _case("0 * sqrt(x)", 0.0 * x.sqrt(), why="0 * inf is nan: arithmetic's 0 is no cut")
    [x] = _inputs(x=1000.0)
    yield _case("log(exp(1000))", x.exp().log(), why="1/inf * inf is nan, and says so")
    [x] = _inputs(x=0.0)
    yield _case("detach", x.detach() * x.sqrt(), why="a constant for the gradient")
    x, y = _inputs(x=0.0, y=3.0)
    yield _case("x ** 0", x**0.0 * y, why="a literal exponent of 0: x has no influence")


# Where x is 0 and y is 1: in each, the root of 0 loses or is cut off.
_CHOICES: dict[str, Callable[[Value, Value], Value]] = {
    "the loser of a maximum": lambda x, y: engine.maximum(x.sqrt(), y),
    "the loser of a minimum": lambda x, y: engine.minimum(x.sqrt() + 2.0, y),
    "relu below 0": lambda x, y: engine.relu(x.sqrt() - y),
    "relu at 0": lambda x, y: engine.relu(x.sqrt()) + y,
    "a clamp beyond its bound": lambda x, y: engine.clamp(x.sqrt(), 0.5, 2.0) * y,
    "rounding": lambda x, y: engine.floor(x.sqrt()) + y,
    "a sign": lambda x, y: engine.sign(x.sqrt()) + y,
}


# --- training -------------------------------------------------------------------------------------

_POINTS = [([0.5, -1.0], 1.0), ([-1.5, 0.25], -1.0), ([2.0, 1.0], 1.0)]


def _hinge(model: Any) -> Any:
    margins = [(1.0 - t * model(x)).relu() for x, t in _POINTS]
    return engine.mean(margins) + 1e-3 * engine.sum([p * p for p in model.parameters()])


def _squares(model: Any) -> Any:
    return engine.mean([(model(x)[0] - t) ** 2 for x, t in _POINTS])


def _cross_entropy(model: Any) -> Any:
    loss = nn.CrossEntropyLoss()
    return engine.mean([loss(model(x), int(t > 0.0)) for x, t in _POINTS])


def _training() -> Iterator[Case]:
    """Steps of gradient descent; each begins with the parameters that the last one left."""
    rng = random.Random(3)
    models: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "micrograd's MLP(2, [4, 1]), max-margin loss": (nn.MLP(2, [4, 1], rng=rng), _hinge),
        "2-3-1, tanh, mean squared error": (
            nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Tanh(), nn.Linear(3, 1, rng=rng)),
            _squares,
        ),
        "2-3-2, SiLU, cross entropy": (
            nn.Sequential(nn.Linear(2, 3, rng=rng), nn.SiLU(), nn.Linear(3, 2, rng=rng)),
            _cross_entropy,
        ),
    }
    for name, (model, loss) in models.items():
        parameters = {f"p{i}": p for i, p in enumerate(model.parameters())}
        for label, p in parameters.items():
            p.label = label
        for step in range(1, 4):
            case = _case(f"{name}, step {step}", loss(model), rate=0.1)
            yield case
            for label, p in parameters.items():
                p.data, p.grad = case["update"]["data"][label], 0.0
