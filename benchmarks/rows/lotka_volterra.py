"""Predator and prey: 200 steps of Runge-Kutta, and the gradient of a misfit by 4 parameters.

`misfit` is written once, in plain arithmetic, and gradloom, CasADi, autograd and PyTorch all run
it; only JAX has its own, with the loop as a `lax.scan`. CasADi is called as its documentation says
for speed: an SX Function of the value and the gradient, through a buffer; and mapped over 256
sets of parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import engine
from benchmarks import ours
from benchmarks.dense import JAX, TORCH
from benchmarks.harness import ALONE, BUILT, OURS, Array, Asked, Contender, Row, Scale

BUFFERED, MAP, AUTOGRAD = "CasADi, buffered Function", "CasADi, map", "autograd"
STEP, SETS, EVERY = 0.05, 256, 20
TRUE = (1.1, 0.4, 0.1, 0.4)


def slopes(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """How fast prey x and predators y grow."""
    return a * x - b * x * y, c * x * y - d * y


def advanced(p: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """One step of the classical Runge-Kutta method."""
    a, b, c, d = p
    h = STEP
    k1, l1 = slopes(a, b, c, d, x, y)
    k2, l2 = slopes(a, b, c, d, x + h / 2 * k1, y + h / 2 * l1)
    k3, l3 = slopes(a, b, c, d, x + h / 2 * k2, y + h / 2 * l2)
    k4, l4 = slopes(a, b, c, d, x + h * k3, y + h * l3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), y + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)


def misfit(p: Any, seen: Any) -> Any:
    """Squared distances to what was seen after every 20 steps, from 10 prey and 5 predators."""
    x, y, total = 10.0, 5.0, 0.0
    for x_seen, y_seen in seen:
        for _ in range(EVERY):
            x, y = advanced(p, x, y)
        total = total + (x - x_seen) * (x - x_seen) + (y - y_seen) * (y - y_seen)
    return total


def observations(steps: int) -> list[tuple[float, float]]:
    """What the true parameters give."""
    x, y = 10.0, 5.0
    seen = []
    for _ in range(steps // EVERY):
        for _ in range(EVERY):
            x, y = advanced(TRUE, x, y)
        seen.append((x, y))
    return seen


def rows(scale: Scale) -> Iterator[Row]:
    """One set of parameters, and 256."""
    steps, sets = scale.of((200, SETS), (200, SETS), (EVERY, 3))
    seen = observations(steps)
    P = np.array(TRUE) * np.random.default_rng(0).uniform(0.9, 1.1, (sets, 4))
    one: list[float] = P[0].tolist()

    def f(p: Any) -> Any:
        return misfit(list(p), seen)

    single, batched = engine.compile(f), engine.compile(f, in_axes=0)
    yield Row(
        "lotka-volterra",
        f"Lotka-Volterra, {steps} RK4 steps, gradient of 4 parameters",
        {
            OURS: lambda: ours.gradient(single, one),
            ALONE: lambda: ours.gradient_alone(single, one),
            BUILT: lambda: ours.gradient_built(single, one),
            BUFFERED: lambda: casadi_buffered(P[:1], seen),
            JAX: lambda: jax_scan(P[0], seen),
            AUTOGRAD: lambda: autograd_gradient(P[0], seen),
        },
        asked=[Asked(2.5, BUFFERED)],
        tolerance=1e-8,
    )
    yield Row(
        "lotka-volterra-256",
        f"Lotka-Volterra, {steps} RK4 steps, gradients of {sets} sets of 4 parameters",
        {
            OURS: lambda: ours.gradient_built(batched, P),
            ALONE: lambda: ours.gradient_alone(batched, P),
            MAP: lambda: casadi_buffered(P, seen),
            JAX: lambda: jax_scan(P, seen),
            TORCH: lambda: torch_eager(P, seen),
        },
        asked=[Asked(8.0, MAP)],
        tolerance=1e-8,
    )


def casadi_buffered(P: Array, seen: Any) -> Contender:
    """CasADi: a Function of values and gradients."""
    import casadi

    p = casadi.SX.sym("p", 4)
    value = misfit([p[i] for i in range(4)], seen)
    return through_buffers(casadi.Function("misfit", [p], [value, casadi.gradient(value, p)]), P)


def through_buffers(function: Any, P: Array) -> Contender:
    """A Function of CasADi's that gives a value and a gradient, mapped over rows, with buffers in
    place."""
    buffer, call = (function.map(len(P)) if len(P) > 1 else function).buffer()
    p_in, value_out, gradient_out = P.ravel().copy(), np.zeros(len(P)), np.zeros(P.size)
    buffer.set_arg(0, p_in.data)
    buffer.set_res(0, value_out.data)
    buffer.set_res(1, gradient_out.data)

    def work(kept: Any = (buffer, p_in)) -> None:  # what the call reads
        call()

    def numbers() -> Array:
        work()
        return np.hstack([value_out, gradient_out])

    return Contender(work=work, numbers=numbers, note="one thread")


def jax_scan(p: Array, seen: Any) -> Contender:
    """JAX: the loop as a scan, differentiated, mapped over rows where there are some, jitted."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from jax import lax

    targets = jnp.array(seen)

    def loss(p: Any) -> Any:
        def interval(state: Any, target: Any) -> Any:
            state, _ = lax.scan(lambda s, _: (advanced(p, *s), None), state, length=EVERY)
            return state, jnp.sum((jnp.stack(state) - target) ** 2)

        start = (jnp.array(10.0), jnp.array(5.0))
        return jnp.sum(lax.scan(interval, start, targets)[1])

    gradient = jax.value_and_grad(loss)
    run = jax.jit(jax.vmap(gradient) if p.ndim > 1 else gradient)
    on_device = jnp.array(p)

    def numbers() -> Array:
        return np.hstack([np.ravel(part) for part in run(on_device)])

    return Contender(work=lambda: jax.block_until_ready(run(on_device)), numbers=numbers)


def torch_eager(P: Array, seen: Any) -> Contender:
    """PyTorch: the same code on vectors with an entry for each set."""
    import torch

    columns = [torch.tensor(column, requires_grad=True) for column in P.T]

    def work() -> Any:
        values = misfit(columns, seen)
        return values, torch.autograd.grad(values.sum(), columns)

    def numbers() -> Array:
        values, gradient = work()
        return np.hstack([values.detach().numpy(), torch.stack(gradient, dim=1).numpy().ravel()])

    return Contender(work=work, numbers=numbers, note=f"{torch.get_num_threads()} threads")


def autograd_gradient(p: Array, seen: Any) -> Contender:
    """autograd: the same code on NumPy's numbers."""
    import autograd

    gradient = autograd.value_and_grad(lambda p: misfit([p[i] for i in range(4)], seen))
    return Contender(work=lambda: gradient(p), numbers=lambda: np.hstack(gradient(p)))
