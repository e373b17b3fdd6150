"""Random graphs with a batch of inputs for each, and what the eager engine makes of them.

The examples of a batch differ in the inputs that are batched, and share the others. Graphs, and
the examples too, are drawn again where rounding alone would explain a disagreement: where errors
in the last place of every number change the figures by as much as the tolerance, or nearly so.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.ops import TABLE
from oracle_cases import frozen
from random_graphs import ENGINE, Graph, disagreement, engine_figures, random_graph, run

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
LAST_PLACE = {"float64": 2.0**-53, "float32": 2.0**-24}  # the relative error of one rounding
SHARE = 1.0 / 3.0  # of the tolerance, that rounding may take up in a suitable graph
SHAKE = 2.0**-30  # large against double's own errors, small enough for effects to be linear
COUNTS = (1, 3, 17)


@dataclass(frozen=True)
class Batch:
    """A graph, the places of its batched inputs, and for each example all inputs and figures."""

    seed: int
    graph: Graph
    batched: tuple[int, ...]
    examples: list[list[float]]
    figures: list[list[float]]  # the value, and the gradient by all inputs

    @property
    def shared(self) -> list[int]:
        return [i for i in range(len(self.graph.inputs)) if i not in self.batched]

    def function_of_all(self) -> Callable[[Sequence[Any]], Any]:
        """The graph as a function of all inputs."""
        return lambda inputs: run(self.graph, ENGINE, inputs)

    def function(self) -> Callable[[Sequence[Any], Sequence[Any]], Any]:
        """The graph as a function of its batched inputs and its shared ones."""

        def f(lanes: Sequence[Any], others: Sequence[Any]) -> Any:
            inputs = dict(zip([*self.batched, *self.shared], [*lanes, *others], strict=True))
            return run(self.graph, ENGINE, [inputs[i] for i in range(len(inputs))])

        return f

    def arguments(self) -> tuple[list[list[float]], list[float]]:
        """What `function` takes, with a batch of its first argument."""
        lanes = [[example[i] for i in self.batched] for example in self.examples]
        return lanes, [self.examples[0][i] for i in self.shared]


@functools.cache
def batch_of(seed: int, dtype: str) -> Batch:
    """The batch of a seed: of a graph that was frozen, for doubles; they are suitable."""
    rng = random.Random(f"{seed}/{dtype}")
    if dtype == "float64":
        figures = frozen_figures()
        graph = random_graph(seed, figures[str(seed)]["offset"], figures["rows"])
    else:
        graph = next(
            graph
            for graph in (random_graph(seed, offset) for offset in itertools.count())
            if is_suitable(graph, graph.inputs, dtype)
        )
    places = range(len(graph.inputs))
    batched = tuple(i for i in places if rng.random() < 0.6) or (rng.choice(places),)
    examples = [moved(rng, graph, batched, dtype) for _ in range(rng.choice(COUNTS))]
    figures = [engine_figures(dataclasses.replace(graph, inputs=tuple(x))) for x in examples]
    return Batch(seed, graph, batched, examples, figures)


@functools.cache
def frozen_figures() -> dict[str, Any]:
    return frozen("random_graphs")


def moved(rng: random.Random, graph: Graph, batched: Sequence[int], dtype: str) -> list[float]:
    """Inputs near those of the graph, at which it is suitable too."""
    size = 0.05
    while size > 1e-4:
        inputs = [
            x * (1.0 + rng.uniform(-size, size)) if i in batched else x
            for i, x in enumerate(graph.inputs)
        ]
        if is_suitable(graph, inputs, dtype):
            return inputs
        size *= 0.7
    return list(graph.inputs)


def is_suitable(graph: Graph, inputs: Sequence[float], dtype: str) -> bool:
    """Whether errors in the last place leave the figures within a share of the tolerance."""
    figures = shaken_figures(graph, inputs, random.Random(0), 0.0)
    if not any(figures[1:]) or not all(map(math.isfinite, figures)):
        return False
    allowed = SHARE * TOLERANCE[dtype] * SHAKE / LAST_PLACE[dtype]
    shaken = [shaken_figures(graph, inputs, random.Random(k), SHAKE) for k in range(2)]
    return not any(disagreement(other, figures, allowed) for other in shaken)


def shaken_figures(
    graph: Graph, inputs: Sequence[float], rng: random.Random, size: float
) -> list[float]:
    """The value and the gradient, where each number is wrong by a relative error of up to `size`.

    It reads the table and none of the engine's sweeps.
    """

    def shaken(x: float) -> float:
        return x * (1.0 + size * rng.uniform(-1.0, 1.0))

    numbers = [shaken(x) for x in inputs]
    operands = []
    for name, places in graph.steps:
        operands.append([numbers[a] if isinstance(a, int) else a for a in places])
        numbers.append(shaken(TABLE[name].forward(*operands[-1])))
    adjoints = [0.0] * len(numbers)
    adjoints[-1] = 1.0
    for k in reversed(range(len(graph.steps))):
        name, places = graph.steps[k]
        out = len(inputs) + k
        for i, (place, partial) in enumerate(zip(places, TABLE[name].partials, strict=True)):
            if isinstance(place, int) and not TABLE[name].cuts_at(i, operands[k]):
                slope = partial(*operands[k], numbers[out]) if callable(partial) else partial
                adjoints[place] += shaken(adjoints[out] * slope)
    return [numbers[-1], *adjoints[: len(inputs)]]
