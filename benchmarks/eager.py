"""How fast the eager engine is: micrograd's own demo, side by side, and the cost of a long chain.

The work of the first table is one full step of micrograd's moons demo: 100 points, an
MLP(2, [16, 16, 1]), the max-margin loss with an L2 term, backward, and an update. Each engine
runs it with its own `nn`, in turn, so that a slow moment of the machine meets both; the median
of the ratios is what counts. Run it by `make bench`.
"""

from __future__ import annotations

import argparse
import copy
import gc
import math
import pickle
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

import engine
import nn

POINTS = 100


def moons(count: int, seed: int) -> tuple[list[list[float]], list[int]]:
    """Two noisy half circles, labelled -1 and 1, as scikit-learn's make_moons describes them."""
    rng = random.Random(seed)
    X, y = [], []
    for i in range(count):
        angle, label = math.pi * rng.random(), 1 if i % 2 else -1
        x = [math.cos(angle), math.sin(angle)]
        if label == 1:
            x = [1.0 - x[0], 0.5 - x[1]]
        X.append([c + rng.gauss(0.0, 0.1) for c in x])
        y.append(label)
    return X, y


def step(Value: type, model: Any, X: list[list[float]], y: list[int]) -> Any:
    """One step of the demo: every score, the loss, its gradient, and an update."""
    scores = [model([Value(x) for x in row]) for row in X]
    losses = [(1 + -yi * score).relu() for yi, score in zip(y, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    l2 = 1e-4 * sum(p * p for p in model.parameters())
    total = data_loss + l2
    model.zero_grad()
    total.backward()
    for p in model.parameters():
        p.data -= 0.1 * p.grad
    return total


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds for the work, and its loss.

    What others left behind is collected before, and the graph is freed after the measurement:
    otherwise one engine would pay for the other's garbage (micrograd's graphs are cyclic).
    """
    gc.collect()
    began = time.perf_counter()
    total = work()
    seconds = time.perf_counter() - began
    return seconds, total.data


def compare(micrograd: ModuleType, rounds: int, collector: bool) -> tuple[float, float, float]:
    """Median seconds of micrograd and of gradloom, and the median of the ratios."""
    X, y = moons(POINTS, seed=1)
    times = []
    (gc.enable if collector else gc.disable)()
    try:
        for _ in range(rounds):
            random.seed(0)
            theirs = micrograd.nn.MLP(2, [16, 16, 1])
            random.seed(0)
            ours = nn.MLP(2, [16, 16, 1])
            their_seconds, their_loss = timed(lambda: step(micrograd.engine.Value, theirs, X, y))  # noqa: B023
            our_seconds, our_loss = timed(lambda: step(engine.Value, ours, X, y))  # noqa: B023
            if abs(their_loss - our_loss) > 1e-12:
                raise SystemExit(f"the two disagree: {their_loss} and {our_loss}")
            times.append((their_seconds, our_seconds, their_seconds / our_seconds))
    finally:
        gc.enable()
    theirs_median, ours_median, ratio = (
        statistics.median(column) for column in zip(*times, strict=True)
    )
    return theirs_median, ours_median, ratio


def chain(length: int) -> dict[str, float]:
    """What a chain of operations costs: nanoseconds per node by stage, and bytes per node."""
    costs: dict[str, float] = {}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        costs[name] = (time.perf_counter() - began) / length * 1e9
        return result

    def build() -> engine.Value:
        y = engine.Value(1.0)
        for _ in range(length):
            y = y * 1.0000001
        return y

    gc.collect()
    held = [stage("build", build)]
    stage("backward", held[0].backward)
    stage("copy", lambda: copy.deepcopy(held[0]))
    pickled = stage("pickle", lambda: pickle.dumps(held[0]))
    stage("load", lambda: pickle.loads(pickled))
    size = sys.getsizeof(held[0]) + sum(sys.getsizeof(n) for n in (held[0].data, held[0].grad))
    stage("free", held.clear)
    return {**costs, "bytes": size}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
        f"one thread, float64, median of {rounds} rounds\n"
    )
    try:
        import micrograd.engine
        import micrograd.nn
    except ImportError:
        print("micrograd is not installed: pip install 'gradloom[peers]'\n")
    else:
        print(
            f"A step of micrograd's moons demo, {POINTS} points, micrograd {version('micrograd')}"
        )
        print("| garbage collector | micrograd | gradloom | ratio |\n|---|---|---|---|")
        for collector in (True, False):
            theirs, ours, ratio = compare(micrograd, rounds, collector)
            name = "on, as users run it" if collector else "off"
            print(f"| {name} | {theirs * 1e3:.0f} ms | {ours * 1e3:.0f} ms | {ratio:.1f} |")
        print()
    for collector in (True, False):
        state = "on" if collector else "off"
        print(f"A chain of operations, nanoseconds per node, garbage collector {state}")
        for i, length in enumerate((1_000, 10_000, 100_000, 1_000_000)):
            (gc.enable if collector else gc.disable)()
            costs = chain(length)
            gc.enable()
            if i == 0:
                print(
                    "| length | " + " | ".join(costs) + " per node |\n|---|" + "---|" * len(costs)
                )
            print(f"| {length:,} | " + " | ".join(f"{cost:.0f}" for cost in costs.values()) + " |")
        print()


if __name__ == "__main__":
    main()
