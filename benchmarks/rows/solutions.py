"""Derivatives through solutions: of equations, implicit steps, steady states and an oscillator.

The equations are written once, and gradloom, JAX and CasADi all run them. JAX has Newton's method
in a `lax.while_loop`, whose derivative `lax.custom_root` tells; CasADi has a `rootfinder` by
Newton's method, through a buffer. All three differentiate by the implicit function theorem. The
oscillator is integrated by JAX's `odeint` and CasADi's CVODES, and differentiated by the adjoint,
while ours goes through its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import engine
from benchmarks import ours
from benchmarks.dense import JAX
from benchmarks.harness import ALONE, BUILT, OURS, Array, Contender, Row, Scale
from benchmarks.rows.lotka_volterra import BUFFERED, MAP, through_buffers

TOLERANCE = 1e-10  # of everyone's iterations
VOLATILITY, WIDTH = 0.3, 6
END, ALLOWED = 5.0, 1e-8  # of the oscillator: its time, and the error of a step


def overpriced(sigma: Any, quote: Any, m: Any) -> Any:
    """How much Black and Scholes's price of a call at this volatility is above the quote."""
    price, spot, strike, rate, years = (quote[k] for k in range(5))
    width = sigma * m.sqrt(years)
    d = (m.log(spot / strike) + (rate + sigma * sigma / 2) * years) / width
    shares, paid = (0.5 + 0.5 * m.erf(x * 0.5**0.5) for x in (d, d - width))
    return spot * shares - strike * m.exp(-rate * years) * paid - price


def quotes(count: int) -> Array:
    """Prices of calls near the money, at volatilities between 15 and 60 per cent."""
    rng = np.random.default_rng(0)
    low, high = [0.15, 90.0, 80.0, 0.0, 0.2], [0.6, 110.0, 120.0, 0.05, 2.0]
    found = rng.uniform(low, high, (count, 5))
    for row in found:
        sigma, row[0] = row[0], 0.0
        row[0] = overpriced(sigma, row, engine)
    return found


def robertson(y: Any, before: Any, h: Any, k: Any) -> Any:
    """An implicit Euler step of Robertson's reaction, whose third equation is algebraic; k scales
    its rates."""
    slow, middle, fast = 0.04 * k[0], 3e7 * k[1], 1e4 * k[2]
    left = -slow * y[0] + fast * y[1] * y[2]
    right = middle * y[1] * y[1]
    return [
        y[0] - before[0] - h * left,
        y[1] - before[1] - h * (-left - right),
        y[0] + y[1] + y[2] - 1.0,
    ]


def steady(h: Any, p: Any, m: Any) -> Any:
    """What a recurrent layer makes of its state; p are its weights and biases."""
    n = WIDTH
    return [m.tanh(sum(p[n * i + j] * h[j] for j in range(n)) + p[n * n + i]) for i in range(n)]


def oscillator(u: Any, mu: Any) -> list[Any]:
    """Van der Pol's equation."""
    return [u[1], mu * (1.0 - u[0] * u[0]) * u[1] - u[0]]


def rows(scale: Scale) -> Iterator[Row]:
    """Implied volatilities of 256 quotes, a stiff reaction, a steady state, an oscillator."""
    count, steps = scale.of((256, 40), (256, 40), (3, 4))
    Q = quotes(count)
    volatility = engine.compile(
        lambda q: engine.solve(lambda s, q: overpriced(s, q, engine), VOLATILITY, q), in_axes=0
    )
    yield Row(
        "implied-volatility",
        f"implied volatility of {count} quotes by Newton's method, gradients of 5 numbers",
        {
            OURS: lambda: ours.gradient_built(volatility, Q),
            ALONE: lambda: ours.gradient_alone(volatility, Q),
            MAP: lambda: casadi_volatility(Q),
            JAX: lambda: jax_gradient(jax_volatility, Q),
        },
        tolerance=1e-8,
    )
    sizes, k = [1e-4 * 1.5**i for i in range(steps)], [1.0, 1.1, 0.9]

    def reaction(k: Any) -> Any:
        def step(y: Any, h: Any) -> Any:
            return engine.solve(robertson, y, y, h, k), None

        return engine.scan(step, [1.0, 0.0, 0.0], sizes)[0][0]

    yield one_of(
        "implicit-euler",
        f"Robertson's reaction as a DAE, {steps} implicit Euler steps, gradient of 3 rates",
        engine.compile(reaction),
        k,
        lambda: casadi_reaction(np.array([k]), sizes),
        lambda: jax_gradient(lambda k: jax_reaction(k, np.array(sizes)), np.array(k)),
    )
    p = np.random.default_rng(1).normal(0.0, 0.3, WIDTH * (WIDTH + 1))

    def energy(p: Any) -> Any:
        h = engine.fixed_point(lambda h, p: steady(h, p, engine), [0.0] * WIDTH, p)
        return engine.dot(h, h)

    yield one_of(
        "steady-state",
        f"steady state of a recurrent layer of {WIDTH}, gradient of {p.size} weights",
        engine.compile(energy),
        p.tolist(),
        lambda: casadi_energy(p[None]),
        lambda: jax_gradient(jax_energy, p),
    )

    def swung(p: Any) -> Any:
        found = engine.integrate(
            lambda t, u, mu: oscillator(u, mu),
            [p[1], 0.0],
            [0.0, END],
            p[0],
            rtol=ALLOWED,
            atol=ALLOWED,
        )
        return found[-1][0]

    yield one_of(
        "adaptive-steps",
        f"van der Pol's oscillator in adaptive steps, rtol {ALLOWED:.0e}, gradient of 2 numbers",
        engine.compile(swung),
        [0.5, 2.0],
        lambda: casadi_swung(np.array([[0.5, 2.0]])),
        lambda: jax_gradient(jax_swung, np.array([0.5, 2.0])),
        tolerance=1e-5,  # the methods are others
    )


def one_of(
    name: str,
    work: str,
    program: engine.Program,
    point: list[float],
    casadi: Callable[[], Contender],
    jax: Callable[[], Contender],
    tolerance: float = 1e-8,
) -> Row:
    """The row of a value and its gradient at one point."""
    contenders = {
        OURS: lambda: ours.gradient(program, point),
        ALONE: lambda: ours.gradient_alone(program, point),
        BUILT: lambda: ours.gradient_built(program, point),
        BUFFERED: casadi,
        JAX: jax,
    }
    return Row(name, work, contenders, tolerance=tolerance)


# --- CasADi -------------------------------------------------------------------------------------


def casadi_root(x: Any, p: Any, equations: Any) -> Any:
    """A Function from (x0, p) to the x at which the equations hold."""
    import casadi

    options = {"abstol": TOLERANCE, "abstolStep": TOLERANCE}
    return casadi.rootfinder("root", "newton", {"x": x, "p": p, "g": equations}, options)


def casadi_gradient(p: Any, value: Any, P: Array) -> Contender:
    """Through buffers: an expression and its gradient."""
    import casadi

    return through_buffers(casadi.Function("f", [p], [value, casadi.gradient(value, p)]), P)


def casadi_volatility(Q: Array) -> Contender:
    """Newton's method for each of the quotes."""
    import casadi

    sigma, quote, q = casadi.SX.sym("s"), casadi.SX.sym("q", 5), casadi.MX.sym("q", 5)
    root = casadi_root(sigma, quote, overpriced(sigma, quote, casadi))
    return casadi_gradient(q, root(VOLATILITY, q), Q)


def casadi_reaction(k: Array, sizes: list[float]) -> Contender:
    """A `mapaccum` of implicit steps."""
    import casadi

    y, p = casadi.SX.sym("y", 3), casadi.SX.sym("p", 7)
    equations = casadi.vertcat(*robertson(y, p[:3], p[3], p[4:]))
    root = casadi_root(y, p, equations)
    before, h, rates = casadi.MX.sym("y", 3), casadi.MX.sym("h"), casadi.MX.sym("k", 3)
    next_y = root(before, casadi.vertcat(before, h, rates))
    steps = casadi.Function("step", [before, h, rates], [next_y]).mapaccum(len(sizes))
    last = steps(casadi.DM([1.0, 0.0, 0.0]), casadi.DM(sizes).T, rates)[0, -1]
    return casadi_gradient(rates, last, k)


def casadi_energy(p: Array) -> Contender:
    """Newton's method for the steady state."""
    import casadi

    h, w, weights = (
        casadi.SX.sym("h", WIDTH),
        casadi.SX.sym("w", p.size),
        casadi.MX.sym("w", p.size),
    )
    root = casadi_root(h, w, h - casadi.vertcat(*steady(h, w, casadi)))
    found = root(casadi.DM.zeros(WIDTH), weights)
    return casadi_gradient(weights, casadi.dot(found, found), p)


def casadi_swung(P: Array) -> Contender:
    """Sundials's CVODES."""
    import casadi

    u, mu, p = casadi.SX.sym("u", 2), casadi.SX.sym("mu"), casadi.MX.sym("p", 2)
    equations = {"x": u, "p": mu, "ode": casadi.vertcat(*oscillator(u, mu))}
    options = {"reltol": ALLOWED, "abstol": ALLOWED}
    run = casadi.integrator("run", "cvodes", equations, 0.0, END, options)
    return casadi_gradient(p, run(x0=casadi.vertcat(p[1], 0.0), p=p[0])["xf"][0], P)


# --- JAX ----------------------------------------------------------------------------------------


def jax_gradient(f: Callable[[Any], Any], p: Array) -> Contender:
    """Value and gradient, mapped over rows where there are some, jitted."""
    import jax

    jax.config.update("jax_enable_x64", True)
    gradient = jax.value_and_grad(f)
    run = jax.jit(jax.vmap(gradient) if p.ndim > 1 else gradient)
    on_device = jax.numpy.array(p)

    def numbers() -> Array:
        return np.hstack([np.ravel(part) for part in run(on_device)])

    return Contender(work=lambda: jax.block_until_ready(run(on_device)), numbers=numbers)


def jax_root(equations: Callable[[Any], Any], x0: Any, moved: Callable[..., Any]) -> Any:
    """The x at which the equations are 0; ``moved(equations, x)`` is the next iterate."""
    import jax
    import jax.numpy as jnp

    def iterate(f: Any, x0: Any) -> Any:
        def step(carry: Any) -> Any:
            x, _ = carry
            new = moved(f, x)
            return new, jnp.max(jnp.abs(new - x))

        return jax.lax.while_loop(lambda c: c[1] > TOLERANCE, step, (x0, jnp.inf))[0]

    def tangent(g: Any, y: Any) -> Any:
        return y / g(1.0) if y.ndim == 0 else jnp.linalg.solve(jax.jacobian(g)(y), y)

    return jax.lax.custom_root(equations, x0, iterate, tangent)


def newton(f: Any, x: Any) -> Any:
    """The next iterate of Newton's method, in JAX."""
    import jax

    slope = jax.jacobian(f)(x)
    return x - (f(x) / slope if x.ndim == 0 else jax.numpy.linalg.solve(slope, f(x)))


def jax_volatility(q: Any) -> Any:
    """The volatility of one quote."""
    import jax
    import jax.numpy as jnp

    class M:
        sqrt, log, exp, erf = jnp.sqrt, jnp.log, jnp.exp, jax.scipy.special.erf

    return jax_root(lambda s: overpriced(s, q, M), jnp.array(VOLATILITY), newton)


def jax_reaction(k: Any, sizes: Array) -> Any:
    """A `lax.scan` of implicit steps."""
    import jax
    import jax.numpy as jnp

    def step(y: Any, h: Any) -> Any:
        return jax_root(lambda z: jnp.stack(robertson(z, y, h, k)), y, newton), None

    return jax.lax.scan(step, jnp.array([1.0, 0.0, 0.0]), jnp.array(sizes))[0][0]


def jax_energy(p: Any) -> Any:
    """Fixed-point iterations."""
    import jax.numpy as jnp

    n = WIDTH

    def moved(h: Any) -> Any:
        return jnp.tanh(p[: n * n].reshape(n, n) @ h + p[n * n :])

    h = jax_root(lambda h: h - moved(h), jnp.zeros(n), lambda f, h: h - f(h))
    return h @ h


def jax_swung(p: Any) -> Any:
    """JAX's own integrator, by Dormand and Prince's method."""
    import jax.numpy as jnp
    from jax.experimental.ode import odeint

    def slope(u: Any, t: Any, mu: Any) -> Any:
        return jnp.stack(oscillator(u, mu))

    start, times = jnp.array([1.0, 0.0]) * p[1], jnp.array([0.0, END])
    return odeint(slope, start, times, p[0], rtol=ALLOWED, atol=ALLOWED)[-1, 0]
