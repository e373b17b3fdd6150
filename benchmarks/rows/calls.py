"""Calls of compiled functions so small that the way in and out is most of them.

Of one float, of short and long lists, and of a Module's parameters, which a function reads without
being given them. Lists are taken apart and built at every call; JAX has arrays in their place.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import engine
import nn
from benchmarks import ours
from benchmarks.harness import OURS, Array, Asked, Contender, Row, Scale

JAX = "JAX jit"
LONG = 337  # as many as micrograd's network for the moons has parameters


def wave(x: Any) -> Any:
    """A function of one number."""
    return (x * x + 1.0) * x - 3.0


def rosenbrock(p: Any) -> Any:
    """Rosenbrock's function, along a list."""
    return sum(100.0 * (y - x * x) ** 2 + (1.0 - x) ** 2 for x, y in itertools.pairwise(p))


def rosenbrock_of_array(p: Any) -> Any:
    """The same in arrays."""
    return (100.0 * (p[1:] - p[:-1] ** 2) ** 2 + (1.0 - p[:-1]) ** 2).sum()


def rows(scale: Scale) -> Iterator[Row]:
    """The value, and the value with the gradient, of each function."""
    long = np.random.default_rng(0).uniform(-1.0, 1.0, scale.of(LONG, LONG, 5)).tolist()
    pairs = (
        ("float", "one float", wave, wave, 0.5, 5.0),
        ("list-2", "a list of 2", rosenbrock, rosenbrock_of_array, [-1.2, 1.0], 5.0),
        ("list-337", f"a list of {len(long)}", rosenbrock, rosenbrock_of_array, long, None),
    )
    for name, work, f, of_array, x, ratio in pairs:
        yield from _both(name, work, engine.compile(f), x, (of_array, np.array(x)), ratio)
    hidden = scale.of([16, 16], [16, 16], [2])
    model = nn.MLP(2, [*hidden, 1], rng=random.Random(0))
    program = engine.compile(lambda x: model(x), wrt=model)
    work = f"a Module's {len(model.parameters())} captured parameters"
    yield from _both("captured-337", work, program, [0.5, -1.0], network(model), None)


def _both(
    name: str,
    work: str,
    program: engine.Program,
    x: Any,
    in_jax: tuple[Callable[..., Any], Any],
    ratio: float | None,
) -> Iterator[Row]:
    for way, gradient in ((ours.values, False), (ours.gradient_built, True)):
        yield Row(
            f"call-{name}{'-gradient' if gradient else ''}",
            f"{work}: {'value and gradient' if gradient else 'the value'}",
            {
                OURS: lambda: way(program, x),  # noqa: B023, called before the next
                JAX: lambda: jitted(*in_jax, gradient=gradient),  # noqa: B023
            },
            asked=[Asked(ratio, JAX)] if ratio is not None else (),
        )


def network(model: nn.MLP) -> tuple[Callable[[Any], Any], list[Array]]:
    """The model in arrays, at the same input: a matrix a layer, its last column the biases."""
    matrices = [
        np.array([[*(w.data for w in neuron.w), neuron.b.data] for neuron in layer.neurons])
        for layer in model.layers
    ]

    def output(given: Sequence[Any]) -> Any:
        import jax.numpy as jnp

        x = jnp.array([0.5, -1.0])
        for matrix in given:
            x = matrix[:, :-1] @ x + matrix[:, -1]
            if matrix is not given[-1]:
                x = jnp.maximum(x, 0.0)
        return x[0]

    return output, matrices


def jitted(f: Callable[..., Any], x: Any, *, gradient: bool) -> Contender:
    """A call of the jitted function, or of its value_and_grad, with arrays that JAX has already."""
    import jax

    jax.config.update("jax_enable_x64", True)
    given = jax.tree.map(jax.numpy.asarray, x)
    run = jax.jit(jax.value_and_grad(f) if gradient else f)

    def numbers() -> Array:
        return np.hstack([np.ravel(part) for part in jax.tree.leaves(run(given))])

    return Contender(lambda: jax.block_until_ready(run(given)), numbers)
