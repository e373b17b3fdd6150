"""Programs that run step by step, as people write them: functions of a few numbers.

Each is a function of a list `p`, with numbers to call it with. What a program reads besides, such
as data, is known.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engine

_rng = random.Random(7)
DATA = [_rng.gauss(0.0, 1.0) for _ in range(400)]

Function = Callable[[list[Any]], Any]


@dataclass(frozen=True)
class Steps:
    """A function, where to call it, and the least share of single operations that loops have; None
    where steps are so wide that they are lifted to blocks instead."""

    function: Function
    at: list[float]
    looped: float | None = 0.75


STEPS: dict[str, Steps] = {}


def steps(at: list[float], looped: float | None = 0.75) -> Callable[[Function], Function]:
    def note(function: Function) -> Function:
        STEPS[function.__name__.replace("_", " ").strip()] = Steps(function, at, looped)
        return function

    return note


@steps([1.1, 0.4, 0.9, 0.3, 2.0, 1.0])
def lotka_volterra(p: list[Any]) -> Any:
    a, b, c, d, x, y = p

    def slope(x: Any, y: Any) -> tuple[Any, Any]:
        return a * x - b * x * y, d * x * y - c * y

    h = 0.05
    for _ in range(30):
        k1 = slope(x, y)
        k2 = slope(x + 0.5 * h * k1[0], y + 0.5 * h * k1[1])
        k3 = slope(x + 0.5 * h * k2[0], y + 0.5 * h * k2[1])
        k4 = slope(x + h * k3[0], y + h * k3[1])
        x = x + h / 6.0 * (k1[0] + 2.0 * k2[0] + 2.0 * k3[0] + k4[0])
        y = y + h / 6.0 * (k1[1] + 2.0 * k2[1] + 2.0 * k3[1] + k4[1])
    return x * x + y


@steps([0.1, 0.1, 0.8])
def garch(p: list[Any]) -> Any:
    omega, alpha, beta = p
    variance, loss = omega / (1.0 - alpha - beta), 0.0
    for r in DATA[:80]:
        loss = loss + engine.log(variance) + r * r / variance
        variance = omega + alpha * (r * r) + beta * variance
    return 0.5 * loss


@steps([0.1, 0.5])
def kalman(p: list[Any]) -> Any:
    q, r = p
    x0, x1, p00, p01, p11, loss = 0.0, 0.0, 1.0, 0.0, 1.0, 0.0
    for y in DATA[:40]:
        x0, p00 = x0 + 0.1 * x1, p00 + 0.2 * p01 + 0.01 * p11 + q
        p01, p11 = p01 + 0.1 * p11, p11 + q
        s, e = p00 + r, y - x0
        k0, k1 = p00 / s, p01 / s
        x0, x1 = x0 + k0 * e, x1 + k1 * e
        p11, p01, p00 = p11 - k1 * p01, p01 - k0 * p01, p00 - k0 * p00
        loss = loss + engine.log(s) + e * e / s
    return loss


@steps([2.0, 1.0])
def newton(p: list[Any]) -> Any:
    a, x = p
    for _ in range(40):
        x = x - (x * x * x - a) / (3.0 * x * x)
    return x


@steps([0.1, 0.2, 0.01])
def descent_over_rows(p: list[Any]) -> Any:
    w, b, rate = p
    for _ in range(3):  # epochs
        for x, y in zip(DATA[:40], DATA[40:80], strict=True):
            e = w * x + b - y
            w, b = w - rate * 2.0 * e * x, b - rate * 2.0 * e
    return w * w + b


@steps([1.0, 0.0, 9.8])
def pendulum(p: list[Any]) -> Any:
    angle, speed, g = p
    for _ in range(60):
        speed = speed - 0.01 * (g * engine.sin(angle) + 0.1 * speed)
        angle = angle + 0.01 * speed
        if angle > math.pi:
            angle = angle - 2.0 * math.pi
    return angle * angle + speed


@steps([0.5, -0.3, 0.1, 0.2])
def autoregression(p: list[Any]) -> Any:
    a, b, before, x = p
    loss = 0.0
    for k in range(60):
        before, x = x, a * x + b * before + DATA[k]
        loss = loss + (x - DATA[k + 1]) ** 2
    return loss


@steps([1.0, 0.0, 0.4], 0.6)  # until it is on the ground for the first time
def bouncing_ball(p: list[Any]) -> Any:
    height, speed, loss = p
    for _ in range(80):
        speed = speed - 0.2
        height = height + 0.1 * speed
        if height < 0.0:
            height, speed = -height, -loss * speed
    return height + 0.1 * speed


@steps([2.0, 0.5, 3.0, 0.7, 0.2])
def back_substitution(p: list[Any]) -> Any:
    a, b, c, d, e = p
    x = d / a
    xs = [x]
    for k in range(60):
        x = (DATA[k] - b * x - e) / (a + c)
        xs.append(x)
    return engine.sum(xs)


@steps([0.1, 1.0, -0.5])
def heat_equation(p: list[Any]) -> Any:
    rate, left, right = p
    u = [left, *[0.0 * left] * 4, right]
    for _ in range(40):
        inside = [u[k] + rate * (u[k - 1] - 2.0 * u[k] + u[k + 1]) for k in range(1, 5)]
        u = [left, *inside, right]
    return engine.sum([x * x for x in u])


@steps([0.3, 1.0])
def adaptive_steps(p: list[Any]) -> Any:
    rate, x = p
    t, h = 0.0, 0.01
    for _ in range(60):
        half = x + 0.5 * h * (-rate * x)
        full, two = x - h * rate * x, half - 0.5 * h * rate * half
        error = engine.abs(full - two)
        x, t = two, t + h
        h = engine.minimum(engine.maximum(0.9 * h * engine.sqrt(1e-4 / (error + 1e-9)), 1e-3), 0.1)
    return x * t


@steps([0.8, 0.6, 0.3])
def hidden_markov(p: list[Any]) -> Any:
    stay, leave, spread = p
    a, b, loss = 0.5, 0.5, 0.0
    for y in DATA[:50]:
        seen = engine.exp(-spread * (y - 1.0) ** 2), engine.exp(-spread * (y + 1.0) ** 2)
        a, b = (stay * a + (1.0 - leave) * b) * seen[0], ((1.0 - stay) * a + leave * b) * seen[1]
        total = a + b
        a, b, loss = a / total, b / total, loss + engine.log(total)
    return loss


@steps([0.4, 0.7, 0.2])
def viterbi(p: list[Any]) -> Any:
    stay, move, weight = p
    a, b = 0.0 * stay, -1.0 + 0.0 * stay
    for y in DATA[:60]:
        a, b = (
            engine.maximum(a + stay, b - move) + weight * y,
            engine.maximum(b + stay, a - move) - weight * y,
        )
    return engine.maximum(a, b)


@steps([0.0, 3.0, 2.0])
def bisection(p: list[Any]) -> Any:
    low, high, target = p
    for _ in range(50):
        middle = 0.5 * (low + high)
        above = engine.detach(middle * middle - target) > 0.0
        low, high = (low, middle) if above else (middle, high)
    return 0.5 * (low + high) * target


@steps([0.7, -0.2, 0.4])
def levinson(p: list[Any]) -> Any:
    a, b, x = p
    error = 1.0 + 0.0 * a
    for k in range(50):
        reflection = (x * DATA[k] + a) / (error + 2.0)
        x = x + reflection * b
        error = error * (1.0 - 0.01 * reflection * reflection)
    return error + x


@steps([1.01, 0.99, 0.1])
def cumulative_products(p: list[Any]) -> Any:
    a, b, c = p
    x, products = 1.0, []
    for k in range(60):
        x = x * (a if k % 2 else b) + c
        products.append(x)
    return engine.sum(products[::3])


@steps([0.9, 0.3])
def horner(p: list[Any]) -> Any:
    x, scale = p
    total = 0.0 * x
    for c in DATA[:120]:
        total = total * x + scale * c
    return total


@steps([0.5, 2.0])
def ends_early(p: list[Any]) -> Any:
    rate, x = p
    for _ in range(500):
        if x < 0.05:
            break
        x = x - 0.05 * rate * x
    return x * rate


@steps([0.2, 0.3, 0.4])
def two_that_feed_each_other(p: list[Any]) -> Any:
    a, b, x = p
    trajectory, y = [], x
    for k in range(50):
        y = y + 0.1 * (a * DATA[k] - y)
        trajectory.append(y)
    z = 0.0 * x
    for y in trajectory:
        z = z + 0.1 * (b * engine.tanh(y) - z * z)
    return z


@steps([2.0, 1.0])
def a_loop_in_a_loop(p: list[Any]) -> Any:
    a, x = p
    for _ in range(30):
        y = x
        for _ in range(9):
            y = y - 0.1 * (y * y - a)
        x = x + 0.05 * (y - x)
    return x


@steps([0.5, -0.2, 0.3, 0.1, 0.2])
def gated_cell(p: list[Any]) -> Any:
    w, u, v, b, h = p
    for x in DATA[:50]:
        gate = engine.sigmoid(w * x + u * h + b)
        h = gate * h + (1.0 - gate) * engine.tanh(v * x + w * h)
    return h


@steps([0.8, 1.5, -0.3], None)
def gram_schmidt(p: list[Any]) -> Any:
    """Of 12 vectors of 12 numbers."""
    a, b, c = p
    size, basis = 12, []
    for i in range(size):
        v = [a * DATA[size * i + j] + (b if i == j else c * DATA[i + j]) for j in range(size)]
        for u in basis:
            shared = u[0] * v[0]
            for x, y in zip(u[1:], v[1:], strict=True):
                shared = shared + x * y
            v = [y - shared * x for x, y in zip(u, v, strict=True)]
        square = v[0] * v[0]
        for y in v[1:]:
            square = square + y * y
        basis.append([y / engine.sqrt(square) for y in v])
    return engine.sum([DATA[k] * x for u in basis for k, x in enumerate(u)])


@steps([0.7, -0.3, 0.5], None)
def ctc(p: list[Any]) -> Any:
    """Connectionist temporal classification: the loss of 40 frames for a label of four symbols."""
    scale, blank, shift = p
    label = [0, 1, 0, 2, 0, 2, 0, 3, 0]  # 0 is the blank
    alpha: list[Any] = [None] * len(label)  # log-probabilities; None for what can't be by then
    for t in range(40):
        scores = [
            blank,
            *[scale * DATA[3 * t + k] + shift * DATA[120 + 3 * t + k] for k in range(3)],
        ]
        total = engine.logsumexp(scores)
        before, alpha = alpha, []
        for s, symbol in enumerate(label):
            skips = s > 1 and symbol not in (0, label[s - 2])
            ways = [x for x in before[max(0, s - 1 - skips) : s + 1] if x is not None]
            begun = ways or ([0.0] if t == 0 and s < 2 else [])
            arrived = functools.reduce(engine.logaddexp, begun) if begun else None
            alpha.append(None if arrived is None else arrived + scores[symbol] - total)
    return -engine.logaddexp(alpha[-1], alpha[-2])
