"""micrograd's own demo, a step: a loop over 100 points in one function, compiled and eagerly.

The function is the demo's, and none of it is told that the points are a batch: 66,000 scalar
operations, of which lifting makes what it finds. `lowering` has what the compiling costs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import engine
import nn
from benchmarks import ours
from benchmarks.harness import ALONE, EAGER, OURS, Asked, Contender, Row, Scale

MICROGRAD = "micrograd"
LR = 0.1
Points = Sequence[Sequence[float]]


def moons(count: int, seed: int = 1) -> tuple[list[list[float]], list[int]]:
    """The demo's points and their labels, -1 and 1, as lists."""
    X, y = nn.data.moons(count, seed=seed)
    return X.tolist(), [1 if label else -1 for label in y]


def operations(points: int) -> int:
    """How many scalar operations the loss is."""
    return 644 * points + 677


def make_model(mlp: Callable[..., Any] = nn.MLP) -> Any:
    """The demo's network in either library, from the same numbers: both draw from `random`."""
    state = random.getstate()
    random.seed(0)
    model = mlp(2, [16, 16, 1])
    random.setstate(state)
    return model


def loss_of(model: Any, X: Points, y: Sequence[int], value: Callable[[float], Any]) -> Any:
    """The demo's loss: max-margin over all points, and an L2 term."""
    scores = [model([value(x) for x in row]) for row in X]
    losses = [(1 + -yi * score).relu() for yi, score in zip(y, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    return data_loss + 1e-4 * sum(p * p for p in model.parameters())


def stepped(
    model: Any, X: Points, y: Sequence[int], value: Callable[[float], Any], note: str = ""
) -> Contender:
    """A step of the demo, eagerly: every score, the loss, its gradient, and an update."""
    beginning = ours.Beginning(model.parameters())

    def step() -> Any:
        total = loss_of(model, X, y, value)
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= LR * p.grad
        return total

    def numbers() -> list[float]:
        beginning.reset()
        losses = [step().data for _ in range(ours.CHECKED)]
        return [*losses, *(p.data for p in model.parameters())]

    return Contender(work=step, before=beginning.reset, numbers=numbers, note=note)


def in_micrograd(X: Points, y: Sequence[int]) -> Contender:
    """micrograd's step."""
    import micrograd.engine
    import micrograd.nn

    return stepped(make_model(micrograd.nn.MLP), X, y, micrograd.engine.Value)


def rows(scale: Scale) -> Iterator[Row]:
    """A step with the collector on, as users run it, and off."""
    X, y = moons(scale.of(100, 100, 4))

    model = make_model()
    beginning = ours.Beginning(model.parameters())
    program = engine.compile(lambda: loss_of(model, X, y, lambda x: x), wrt=model)

    steps = scale.of(500, 200, 2)

    def compiled(way: Callable[..., Contender]) -> Contender:
        return way(program, beginning, lambda parameters: nn.SGD(parameters, lr=LR), steps)

    for collector, compiled_ratio, eager_ratio in ((True, 10_000, 5), (False, 1_000, 2)):
        state = "collector on, as users run it" if collector else "collector off"
        yield Row(
            "moons" if collector else "moons-no-collector",
            f"micrograd's moons, {len(X)} points in a loop, a step, {state}",
            {
                OURS: lambda: compiled(ours.minimize),
                ALONE: lambda: compiled(ours.minimize_alone),
                EAGER: lambda: stepped(make_model(), X, y, engine.Value, "on Values"),
                MICROGRAD: lambda: in_micrograd(X, y),
            },
            asked=[Asked(compiled_ratio, MICROGRAD), Asked(eager_ratio, MICROGRAD, of=EAGER)],
            collector=collector,
        )
