"""What runs step by step: filters, recursions over data, iterations, recurrent networks.

Each is written once, in plain Python with a loop, for us; JAX has it as a `lax.scan` or
`fori_loop`, mapped over sets of parameters, differentiated and jitted. Values and gradients are
what is compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import engine
from benchmarks import ours
from benchmarks.dense import JAX
from benchmarks.harness import ALONE, OURS, Array, Asked, Contender, Row, Scale
from benchmarks.rows.lotka_volterra import advanced

SETS = 256
TORCH = "PyTorch, nn.LSTM"
PI = 3.0  # an angle at which the pendulum's guard is


def garch(p: Any, data: Any) -> Any:
    """The likelihood of a GARCH(1,1) model."""
    omega, alpha, beta = p
    variance, loss = omega / (1.0 - alpha - beta), 0.0
    for r in data:
        loss = loss + engine.log(variance) + r * r / variance
        variance = omega + alpha * r * r + beta * variance
    return 0.5 * loss


def kalman(p: Any, data: Any) -> Any:
    """The likelihood of a Kalman filter of place and speed."""
    q, r = p
    x0, x1, p00, p01, p11, loss = 0.0, 0.0, 1.0, 0.0, 1.0, 0.0
    for y in data:
        x0, p00 = x0 + 0.1 * x1, p00 + 0.2 * p01 + 0.01 * p11 + q
        p01, p11 = p01 + 0.1 * p11, p11 + q
        s, e = p00 + r, y - x0
        k0, k1 = p00 / s, p01 / s
        x0, x1 = x0 + k0 * e, x1 + k1 * e
        p11, p01, p00 = p11 - k1 * p01, p01 - k0 * p01, p00 - k0 * p00
        loss = loss + engine.log(s) + e * e / s
    return loss


def newton(p: Any, data: Any) -> Any:
    """The cube root, by as many of Newton's iterations as there are data."""
    a, x = p
    for _ in data:
        x = x - (x * x * x - a) / (3.0 * x * x)
    return x


def descent(p: Any, data: Any) -> Any:
    """A line fitted by steps of gradient descent, one row after the other."""
    w, b, rate = p
    for x in data:
        e = w * x + b - 0.5 * x
        w, b = w - rate * 2.0 * e * x, b - rate * 2.0 * e
    return w * w + b


def pendulum(p: Any, data: Any) -> Any:
    """A swing, whose angle is looked at in each step."""
    angle, speed, gravity = p
    for _ in data:
        speed = speed - 0.01 * (gravity * engine.sin(angle) + 0.1 * speed)
        angle = angle + 0.01 * speed
        if angle > PI:
            angle = angle - 2.0 * math.pi
    return angle * angle + speed


def orbits(p: Any, data: Any) -> Any:
    """Predator and prey, in as many steps of Runge-Kutta as there are data."""
    x, y = 10.0, 5.0
    for _ in data:
        x, y = advanced(p, x, y)
    return x * x + y


def recurrent(W: Any, xs: Any) -> Any:
    """A recurrent layer; the last columns of W are the weights of an input and of 1."""
    state = [0.0] * len(W)
    for x in xs:
        state = [
            engine.tanh(engine.sum([w * s for w, s in zip(row, [*state, x, 1.0], strict=True)]))
            for row in W
        ]
    return engine.sum([s * s for s in state])


def lstm(W: Any, xs: Any) -> Any:
    """A layer of long short-term memory, with rows of W for four gates."""
    size = len(W) // 4
    state, cell = [0.0] * size, [0.0] * size
    for x in xs:
        given = [*state, x, 1.0]
        z = [engine.sum([w * s for w, s in zip(row, given, strict=True)]) for row in W]
        opened = [engine.sigmoid(y) for y in z[: 3 * size]]
        new = [engine.tanh(y) for y in z[3 * size :]]
        cell = [
            kept * c + into * n
            for kept, c, into, n in zip(
                opened[size : 2 * size], cell, opened[:size], new, strict=True
            )
        ]
        state = [o * engine.tanh(c) for o, c in zip(opened[2 * size :], cell, strict=True)]
    return engine.sum([s * s for s in state])


def orbits_by_scan(p: Any, data: Any) -> Any:
    """The same as `orbits`, where the loop is said."""
    (x, y), _ = engine.scan(lambda s, _: (advanced(p, *s), None), (10.0, 5.0), length=len(data))
    return x * x + y


def newton_by_while(p: Any, data: Any) -> Any:
    """The cube root, by as many iterations as it takes."""
    a, x = p
    return engine.while_loop(
        lambda x: abs(x * x * x - a) > 1e-12, lambda x: x - (x * x * x - a) / (3.0 * x * x), x
    )


def recurrent_by_scan(W: Any, xs: Any) -> Any:
    """The same as `recurrent`, where the loop is said."""

    def step(state: Any, x: Any) -> Any:
        return [engine.tanh(engine.dot(row, [*state, x, 1.0])) for row in W], None

    state, _ = engine.scan(step, [0.0] * len(W), xs)
    return engine.sum([s * s for s in state])


def rows(scale: Scale) -> Iterator[Row]:
    """Each kind for many sets of parameters, and recurrent networks for many sequences."""
    numbers = np.random.default_rng(0)
    sets = scale.of(SETS, SETS, 3)
    short = scale.of(1, 1, 20)

    def sequence(count: int) -> list[float]:
        return numbers.normal(size=max(10, count // short)).tolist()  # type: ignore[no-any-return]

    kinds: list[tuple[str, str, Any, Any, tuple[float, ...], int, int]] = [
        ("garch", "GARCH(1,1) over {} data", garch, _jax_garch, (0.1, 0.1, 0.8), 2000, sets),
        (
            "kalman",
            "a Kalman filter 2 x 2 over {} data",
            kalman,
            _jax_kalman,
            (0.1, 0.5),
            500,
            sets,
        ),
        ("newton", "{} Newton iterations", newton, _jax_newton, (2.0, 1.0), 40, sets),
        ("descent", "{} descents along rows", descent, _jax_descent, (0.1, 0.2, 0.01), 400, sets),
        ("pendulum", "a pendulum, {} guards", pendulum, _jax_pendulum, (1.0, 0.0, 9.8), 300, sets),
        (
            "orbits",
            "Lotka-Volterra, {} RK4 steps",
            orbits,
            _jax_orbits,
            (1.1, 0.4, 0.1, 0.4),
            20_000,
            min(sets, 16),
        ),
        (
            "orbits-scan",
            "Lotka-Volterra, {} RK4 steps by scan",
            orbits_by_scan,
            _jax_orbits,
            (1.1, 0.4, 0.1, 0.4),
            20_000,
            min(sets, 16),
        ),
        (
            "orbits-million",
            "Lotka-Volterra, {} RK4 steps by scan",
            orbits_by_scan,
            _jax_orbits,
            (1.1, 0.4, 0.1, 0.4),
            1_000_000,
            1,
        ),
        (
            "newton-while",
            "Newton until it converges ({} iterations of JAX)",
            newton_by_while,
            _jax_newton,
            (2.0, 1.0),
            10,
            sets,
        ),
    ]
    for name, work, f, in_jax, at, steps, count in kinds:
        data = sequence(steps)
        P = np.array(at) * numbers.uniform(0.99, 1.01, (count, len(at)))
        program = engine.compile(lambda p, f=f, data=data: f(p, data), in_axes=0)
        yield Row(
            f"steps-{name}",
            f"{work.format(len(data))}, {count} sets",
            {
                OURS: lambda program=program, P=P: ours.gradient_built(program, P),  # type: ignore[misc]
                ALONE: lambda program=program, P=P: ours.gradient_alone(program, P),  # type: ignore[misc]
                JAX: lambda in_jax=in_jax, P=P, data=data: _mapped(in_jax, P, data),  # type: ignore[misc]
            },
            asked=[Asked(1.0, JAX)],
            tolerance=1e-7,
        )
    for name, f, in_jax, size, gates, sequences in (
        ("rnn", recurrent, _jax_recurrent, 16, 1, 1),
        ("rnn-64", recurrent, _jax_recurrent, 16, 1, 64),
        ("lstm-64", lstm, _jax_lstm, 32, 4, 64),
        ("rnn-scan-64", recurrent_by_scan, _jax_recurrent, 16, 1, 64),
    ):
        size = scale.of(size, size, 4)
        W = numbers.normal(0.0, 0.3, (gates * size, size + 2))
        X = numbers.normal(size=(sequences, scale.of(100, 100, 12)))
        program = engine.compile(f, in_axes=(None, 0), reduce="mean")
        ways: dict[str, Any] = {
            OURS: lambda program=program, W=W, X=X: ours.gradient_built(program, W, X),
            ALONE: lambda program=program, W=W, X=X: ours.gradient_alone(program, W, X),
            JAX: lambda in_jax=in_jax, W=W, X=X: _averaged(in_jax, W, X),
        }
        if in_jax is _jax_lstm:
            ways[TORCH] = lambda W=W, X=X: _torch_lstm(W, X)
        yield Row(
            f"steps-{name}",
            f"{name.split('-')[0].upper()} {size} wide, {X.shape[1]} steps, {len(X)} at once"
            + ", by scan" * ("scan" in name),
            ways,
            asked=[Asked(1.0, JAX)],
            tolerance=1e-7,
        )


# --- JAX --------------------------------------------------------------------------------------


def _jax() -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def _mapped(make: Callable[[Any], Any], P: Array, data: list[float]) -> Contender:
    """Values and gradients by sets of parameters."""
    jax = _jax()
    run = jax.jit(jax.vmap(jax.value_and_grad(make(jax.numpy.array(data)))))
    on_device = jax.numpy.array(P)

    def numbers() -> Array:
        return np.hstack([np.ravel(part) for part in run(on_device)])

    return Contender(work=lambda: jax.block_until_ready(run(on_device)), numbers=numbers)


def _averaged(f: Callable[[Any, Any], Any], W: Array, X: Array) -> Contender:
    """The mean over sequences, and its gradient by the weights."""
    jax = _jax()

    def mean(W: Any, X: Any) -> Any:
        return jax.numpy.mean(jax.vmap(lambda xs: f(W, xs))(X))

    run = jax.jit(jax.value_and_grad(mean))
    given = jax.numpy.array(W), jax.numpy.array(X)

    def numbers() -> Array:
        return np.hstack([np.ravel(part) for part in run(*given)])

    return Contender(work=lambda: jax.block_until_ready(run(*given)), numbers=numbers)


def _scanned(step: Callable[[Any, Any], Any], state: Any, data: Any) -> Any:
    """The last state, and what each step returned besides."""
    return _jax().lax.scan(step, state, data)


def _jax_garch(data: Any) -> Any:
    jnp = _jax().numpy

    def f(p: Any) -> Any:
        omega, alpha, beta = p

        def step(variance: Any, r: Any) -> Any:
            term = jnp.log(variance) + r * r / variance
            return omega + alpha * r * r + beta * variance, term

        return 0.5 * jnp.sum(_scanned(step, omega / (1.0 - alpha - beta), data)[1])

    return f


def _jax_kalman(data: Any) -> Any:
    jnp = _jax().numpy

    def f(p: Any) -> Any:
        q, r = p

        def step(state: Any, y: Any) -> Any:
            x0, x1, p00, p01, p11 = state
            x0, p00 = x0 + 0.1 * x1, p00 + 0.2 * p01 + 0.01 * p11 + q
            p01, p11 = p01 + 0.1 * p11, p11 + q
            s, e = p00 + r, y - x0
            k0, k1 = p00 / s, p01 / s
            x0, x1 = x0 + k0 * e, x1 + k1 * e
            p11, p01, p00 = p11 - k1 * p01, p01 - k0 * p01, p00 - k0 * p00
            return (x0, x1, p00, p01, p11), jnp.log(s) + e * e / s

        start = tuple(jnp.array(x) for x in (0.0, 0.0, 1.0, 0.0, 1.0))
        return jnp.sum(_scanned(step, start, data)[1])

    return f


def _jax_newton(data: Any) -> Any:
    def f(p: Any) -> Any:
        a, x = p
        return _scanned(lambda x, _: (x - (x * x * x - a) / (3.0 * x * x), None), x, data)[0]

    return f


def _jax_descent(data: Any) -> Any:
    def f(p: Any) -> Any:
        w, b, rate = p

        def step(state: Any, x: Any) -> Any:
            w, b = state
            e = w * x + b - 0.5 * x
            return (w - rate * 2.0 * e * x, b - rate * 2.0 * e), None

        w, b = _scanned(step, (w, b), data)[0]
        return w * w + b

    return f


def _jax_pendulum(data: Any) -> Any:
    jnp = _jax().numpy

    def f(p: Any) -> Any:
        angle, speed, gravity = p

        def step(state: Any, _: Any) -> Any:
            angle, speed = state
            speed = speed - 0.01 * (gravity * jnp.sin(angle) + 0.1 * speed)
            angle = angle + 0.01 * speed
            return (jnp.where(angle > PI, angle - 2.0 * math.pi, angle), speed), None

        angle, speed = _scanned(step, (angle, speed), data)[0]
        return angle * angle + speed

    return f


def _jax_orbits(data: Any) -> Any:
    jnp = _jax().numpy

    def f(p: Any) -> Any:
        start = (jnp.array(10.0), jnp.array(5.0))
        x, y = _scanned(lambda s, _: (advanced(p, *s), None), start, data)[0]
        return x * x + y

    return f


def _jax_recurrent(W: Any, xs: Any) -> Any:
    jnp = _jax().numpy

    def step(state: Any, x: Any) -> Any:
        return jnp.tanh(W @ jnp.concatenate([state, jnp.stack([x, jnp.ones_like(x)])])), None

    state = _scanned(step, jnp.zeros(len(W)), xs)[0]
    return jnp.sum(state * state)


def _jax_lstm(W: Any, xs: Any) -> Any:
    jax = _jax()
    jnp, size = jax.numpy, len(W) // 4

    def step(carry: Any, x: Any) -> Any:
        state, cell = carry
        z = W @ jnp.concatenate([state, jnp.stack([x, jnp.ones_like(x)])])
        opened, new = jax.nn.sigmoid(z[: 3 * size]), jnp.tanh(z[3 * size :])
        cell = opened[size : 2 * size] * cell + opened[:size] * new
        return (opened[2 * size :] * jnp.tanh(cell), cell), None

    state, _ = _scanned(step, (jnp.zeros(size), jnp.zeros(size)), xs)[0]
    return jnp.sum(state * state)


# --- PyTorch ----------------------------------------------------------------------------------


def _torch_lstm(W: Array, X: Array) -> Contender:
    """The mean over sequences, and its gradient by the weights, of PyTorch's own layer."""
    import torch

    size = len(W) // 4
    i, f, o, g = np.arange(4 * size).reshape(4, size)
    order = np.concatenate([i, f, g, o])  # of PyTorch's gates
    layer = torch.nn.LSTM(1, size, batch_first=True, dtype=torch.float64)
    parts = (W[order, size : size + 1], W[order, :size], W[order, size + 1], np.zeros(4 * size))
    with torch.no_grad():
        for parameter, part in zip(layer.parameters(), parts, strict=True):
            parameter.copy_(torch.tensor(part))
    sequences = torch.tensor(X)[..., None]

    def work() -> Any:
        layer.zero_grad()
        _, (state, _) = layer(sequences)
        mean = (state * state).sum() / len(X)
        mean.backward()
        return mean

    def numbers() -> Array:
        mean = work()
        by_x, by_state, by_one, _ = (p.grad.numpy() for p in layer.parameters())
        gradient = np.empty_like(W)
        gradient[order] = np.hstack([by_state, by_x, by_one[:, None]])
        return np.hstack([mean.detach().numpy(), gradient.ravel()])

    return Contender(work=work, numbers=numbers, note=f"{torch.get_num_threads()} threads")
