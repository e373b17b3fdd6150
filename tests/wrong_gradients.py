"""Gradients that are wrong, each in a way of its own, and right ones that look wrong: a catalogue.

A case is a function of a NumPy array with the gradient that is claimed for it, and is had in four
forms: operations of this engine, a `torch.autograd.Function`, a `jax.custom_vjp`, and SciPy's pair
of callbacks. `FORMS` makes them, with the libraries imported when they are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import engine

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """`kinds` are the right names of what is wrong; none for a right gradient."""

    name: str
    make: Callable[[], tuple[Callable[[Array], Any], Callable[[Array], Any]]]
    x: Array
    kinds: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("ours", "torch", "jax", "scipy")


WRONG: list[Case] = []
RIGHT: list[Case] = []

_rng = np.random.default_rng(5)
A = _rng.normal(size=(4, 4))
B = _rng.normal(size=(3, 3))
X = np.array([0.7, -1.3, 0.4, 2.1])
_SCIPY = ("scipy",)


def _wrong(name: str, kinds: str, fun: Any, jac: Any, x: Any = X, **options: Any) -> None:
    point = np.asarray(x)
    WRONG.append(Case(name, lambda: (fun, jac), point, tuple(kinds.split("|")), **options))


def _made(name: str, kinds: str, make: Any, x: Any = X, **options: Any) -> None:
    WRONG.append(Case(name, make, np.asarray(x), tuple(kinds.split("|")), **options))


def _right(name: str, fun: Any, jac: Any, x: Any = X, **options: Any) -> None:
    RIGHT.append(Case(name, lambda: (fun, jac), np.asarray(x), **options))


# --- functions, and their gradients as they should be -------------------------------------------


def waves(x: Array) -> Any:
    return np.sum(np.sin(x) ** 2 * [1.0, 2.0, 3.0, 4.0])


def d_waves(x: Array) -> Any:
    return np.sin(2.0 * x) * [1.0, 2.0, 3.0, 4.0]


def layer(x: Array) -> Any:
    return np.tanh(A @ x)


def d_layer(x: Array) -> Any:
    return (1.0 - np.tanh(A @ x) ** 2)[:, None] * A


def form(X: Array) -> Any:
    return np.sum(np.sin(X) * B)


def d_form(X: Array) -> Any:
    return np.cos(X) * B


def mean_square(x: Array) -> Any:
    return np.mean((x - 1.0) ** 2)


def d_mean_square(x: Array) -> Any:
    return 2.0 * (x - 1.0) / x.size


def softmax(x: Array) -> Any:
    e = np.exp(x - x.max())
    return e / e.sum()


def d_softmax(x: Array) -> Any:
    p = softmax(x)
    return np.diag(p) - np.outer(p, p)


def zeroed(gradient: Array, *places: int) -> Array:
    gradient = gradient.copy()
    gradient[list(places)] = 0.0
    return gradient


def times(gradient: Array, j: int, factor: float) -> Array:
    gradient = gradient.copy()
    gradient[j] *= factor
    return gradient


def single(f: Any) -> Any:
    """A function computed in float32, whatever it is given."""
    return lambda x: np.float32(f(x.astype(np.float32)))


# --- wrong: the sign, a factor ------------------------------------------------------------------

_wrong("sign", "sign", waves, lambda x: -d_waves(x))
_wrong("sign of an entry", "sign", waves, lambda x: times(d_waves(x), 1, -1.0))
_wrong("sign of a Jacobian", "sign", layer, lambda x: -d_layer(x))
_wrong("cos for -sin", "sign", lambda x: np.sum(np.cos(x)), np.sin)
_wrong("half of a square", "factor", waves, lambda x: 0.5 * d_waves(x))
_wrong("twice too large", "factor", layer, lambda x: 2.0 * d_layer(x))
_wrong("a sum for a mean", "factor", mean_square, lambda x: x.size * d_mean_square(x))
_wrong("a mean for a sum", "factor", waves, lambda x: d_waves(x) / x.size)
_wrong(
    "inner derivative forgotten", "factor", lambda x: np.sum(np.sin(3 * x)), lambda x: np.cos(3 * x)
)
_wrong(
    "degrees", "factor", lambda x: np.sum(np.sin(np.radians(x))), lambda x: np.cos(np.radians(x))
)
_wrong("factor of an entry", "factor", waves, lambda x: times(d_waves(x), 2, 2.0))
_wrong("one per cent", "factor", waves, lambda x: 1.01 * d_waves(x))
_wrong(
    "one per cent in float32",
    "factor",
    lambda x: np.float32(waves(x)),
    lambda x: np.float32(1.01) * d_waves(x).astype(np.float32),
    X.astype(np.float32),
)

# --- wrong: the order of entries ----------------------------------------------------------------

_wrong("transposed Jacobian", "transposed", layer, lambda x: d_layer(x).T)
_wrong("transposed matrix", "transposed", form, lambda X: d_form(X).T, B + 0.5)
_wrong(
    "shape transposed",
    "transposed",
    lambda x: layer(x)[:3],
    lambda x: d_layer(x)[:3].T,
    forms=_SCIPY,
)
_wrong("shape", "shape", waves, lambda x: d_waves(x)[:2], forms=_SCIPY)
_wrong("one place early", "off by one", waves, lambda x: np.roll(d_waves(x), -1))
_wrong("one place late, an end lost", "off by one", waves, lambda x: np.r_[0.0, d_waves(x)[:-1]])
_wrong("the last one missed", "off by one", waves, lambda x: zeroed(d_waves(x), 3))
_wrong("rows one place late", "off by one", layer, lambda x: np.roll(d_layer(x), 1, axis=0))
_wrong("reverse order", "off by one", waves, lambda x: d_waves(x)[::-1])

# --- wrong: parts missing -----------------------------------------------------------------------

_wrong("product rule", "term", lambda x: np.sum(x * np.exp(x)), np.exp)
_wrong("a quadratic form that is not symmetric", "term", lambda x: x @ A @ x, lambda x: A @ x)
_wrong("penalty forgotten", "missing", lambda x: waves(x) + 0.05 * np.sum(x * x), d_waves)
_wrong("entry forgotten", "missing", waves, lambda x: zeroed(d_waves(x), 1))
_wrong("off the diagonal", "missing", softmax, lambda x: np.diag(np.diag(d_softmax(x))))
_wrong(
    "leak forgotten",
    "branch",
    lambda x: np.sum(np.where(x > 0, x * x, 0.1 * x)),
    lambda x: np.where(x > 0, 2 * x, 0.0),
    -X[::-1],
)
_wrong(
    "far branch forgotten",
    "branch",
    lambda x: np.sum(np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5)),
    lambda x: x,
)
_wrong(
    "epsilon left in", "term", lambda x: np.sum(np.log(x)), lambda x: 1 / (x + 1e-9), [1e-8, 2e-7]
)

# --- wrong: not a function of x -----------------------------------------------------------------


def _first_call() -> Any:
    kept: list[Array] = []

    def jac(x: Array) -> Array:
        kept.append(d_waves(x))
        return kept[0]

    return waves, jac


def _last_value() -> Any:
    seen = {"x": X}

    def fun(x: Array) -> Any:
        seen["x"] = x.copy()
        return waves(x)

    return fun, lambda x: d_waves(seen["x"])


def _random_gradient() -> Any:
    rng = np.random.default_rng(0)
    return waves, lambda x: d_waves(x) * (rng.random(4) < 0.5)


def _random_function() -> Any:
    rng = np.random.default_rng(0)
    return lambda x: waves(x * (rng.random(4) < 0.5)), d_waves


_made("kept from the first call", "stale", _first_call)
_made("of the last point computed", "stale", _last_value, forms=_SCIPY)
_made("random gradient", "random", _random_gradient)
_made("random function", "random", _random_function)

# --- wrong: where there is no derivative, or none to be seen -------------------------------------

_wrong(
    "outside of a kink",
    "kink",
    lambda x: np.sum(np.maximum(x, 0)),
    lambda x: 2.0 + 0 * x,
    [0.0, 1.0],
)
_wrong("at a jump", "jump", lambda x: np.sum(np.floor(x) + x), lambda x: 1.0 + 0 * x, [2.0, 0.5])
_wrong(
    "flat where it is steep",
    "steep",
    lambda x: np.sum(np.sqrt(np.abs(x))),
    lambda x: 0 * x,
    [0.0, 0.0],
)
_wrong(
    "hidden by noise",
    "noise",
    lambda x: np.sum(1e-3 * x) + 1e-2 * np.sin(1e9 * np.sum(x)),
    lambda x: 1e-3 + 0 * x,
)
_wrong("nan", "not finite", lambda x: np.sum(x * x), lambda x: 2 * x * (x / x), [0.0, 1.0])
_wrong(
    "sign at a border",
    "sign",
    lambda x: np.sum(np.sqrt(1 - x)),
    lambda x: 0.5 / np.sqrt(1 - x),
    [1 - 1e-7, 0.5],
)

# --- right, though a naive check refuses them -----------------------------------------------------


def _relu(x: Array) -> Any:
    return np.sum(np.maximum(x, 0.0))


_right("relu at 0", _relu, lambda x: 1.0 * (x > 0), [0.0, 0.0, 1.0])
_right("relu at 0, from the right", _relu, lambda x: 1.0 * (x >= 0), [0.0, -1.0])
_right("relu beside 0", _relu, lambda x: 1.0 * (x > 0), [1e-9, -1e-9, 1e-7, -1e-12])
_right("abs at 0", lambda x: np.sum(np.abs(x)), np.sign, [0.0, 2.0])
_right(
    "abs at 0, as JAX has it",
    lambda x: np.sum(np.abs(x)),
    lambda x: np.where(x < 0, -1.0, 1.0),
    [0.0],
)
_right(
    "a difference of kinks",
    lambda x: np.abs(x[0]) - np.abs(x[1]),
    lambda x: np.sign(x + 1e-99) * [1.0, -1.0],
    [0.0, 0.0],
)
_right(
    "clip at its bound",
    lambda x: np.sum(np.clip(x, -1, 1)),
    lambda x: 1.0 * (np.abs(x) < 1),
    [1.0, -1.0, 0.2],
)
_right(
    "maximum of a tie",
    lambda x: np.max(x),
    lambda x: (x == x.max()) / np.sum(x == x.max()),
    [1.0, 1.0, 0.0],
)
_right(
    "norm at 0",
    lambda x: np.sqrt(np.sum(x * x)),
    lambda x: x / max(np.sqrt(np.sum(x * x)), 1e-99),
    [0.0, 0.0],
)
_right(
    "hinge at its tie", lambda x: np.maximum(0.0, 1 - x).sum(), lambda x: -1.0 * (x < 1), [1.0, 0.5]
)
_right(
    "kinks in many outputs",
    lambda x: np.maximum(x, 0.1 * x),
    lambda x: np.diag(np.where(x > 0, 1, 0.1)),
    [0.0, 3.0, -2.0],
)
_right("sqrt beside 0", lambda x: np.sum(np.sqrt(x)), lambda x: 0.5 / np.sqrt(x), [1e-12, 1e-6])
_right("sqrt at 0", lambda x: np.sum(np.sqrt(x)), lambda x: 0.5 / np.sqrt(x), [0.0])
_right(
    "border of a domain", lambda x: np.sum(x * np.sqrt(x)), lambda x: 1.5 * np.sqrt(x), [0.0, 0.3]
)
_right("log of tiny numbers", lambda x: np.sum(np.log(x)), lambda x: 1 / x, [1e-30, 1e-9, 2.0])
_right(
    "arcsin at its border",
    lambda x: np.sum(np.arcsin(x)),
    lambda x: 1 / np.sqrt(1 - x * x),
    [1 - 1e-9, -0.5],
)
_right(
    "entropy of small numbers",
    lambda x: -np.sum(x * np.log(x)),
    lambda x: -np.log(x) - 1,
    [1e-10, 0.3],
)
_right("reciprocal of a small number", lambda x: np.sum(1 / x), lambda x: -1 / x**2, [1e-5, -1e-3])
_right(
    "a bound on one side", lambda x: np.sum(np.log1p(-x)), lambda x: -1 / (1 - x), [1 - 1e-6, 0.1]
)
_right("float32", single(waves), lambda x: d_waves(x).astype(np.float32), X.astype(np.float32))
_right("float32 inside", lambda x: float(single(waves)(x)), lambda x: d_waves(x))
_right(
    "float32, large",
    single(lambda x: np.float32(1e3) + waves(x)),
    lambda x: d_waves(x).astype(np.float32),
    X.astype(np.float32),
)
_right("rounded to six digits", lambda x: np.round(waves(x), 6), d_waves)
_right("noise of a solver", lambda x: waves(x) + 1e-7 * np.sin(1e9 * np.sum(x)), d_waves)
_right("large numbers", lambda x: np.sum(x * x), lambda x: 2 * x, [1e8, -3e9])
_right("small beside large", lambda x: 1e8 + waves(x), d_waves)
_right(
    "fast waves", lambda x: np.sum(np.sin(1e5 * x)), lambda x: 1e5 * np.cos(1e5 * x), [0.3, -0.2]
)
_right("a wave far out", lambda x: np.sum(np.sin(x)), np.cos, [1e7, 3.0])
_right("small values", lambda x: 1e-20 * waves(x), lambda x: 1e-20 * d_waves(x))
_right(
    "scales mixed",
    lambda x: np.sum(np.sin(x / [1e-6, 1.0, 1e6])),
    lambda x: np.cos(x / [1e-6, 1.0, 1e6]) / [1e-6, 1.0, 1e6],
    [2e-6, 1.0, 4e5],
)
_right("steep exponential", lambda x: np.sum(np.exp(x)), np.exp, [50.0, -3.0])
_right(
    "a narrow peak",
    lambda x: np.sum(np.exp(-(x**2) / 1e-8)),
    lambda x: -2e8 * x * np.exp(-(x**2) / 1e-8),
    [5e-5, 1e-5],
)
_right("saturated", lambda x: np.sum(np.tanh(x)), lambda x: 1 / np.cosh(x) ** 2, [15.0, 0.5])
_right(
    "next to nothing",
    lambda x: np.sum(1.0 - np.exp(-x)),
    lambda x: np.exp(-x),
    [60.0, 300.0],
)
_right("constant", lambda x: 3.0 + 0 * np.sum(x), lambda x: 0 * x)


# --- forms ------------------------------------------------------------------------------------


def ours(case: Case) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Operations made by `custom_op`, one for each result."""
    fun, jac = case.make()
    shape = case.x.shape
    single = case.x.dtype

    def at(numbers: Any) -> Array:
        return np.array(numbers, dtype=single).reshape(shape)

    size = np.size(fun(case.x)) if case.kinds != ("random",) else 1

    def partial(o: int, j: int) -> Any:
        def derivative(*args: float) -> float:
            return float(np.reshape(jac(at(args[:-1])), (size, case.x.size))[o, j])

        return derivative

    def operation(o: int) -> Any:
        def forward(*numbers: float) -> float:
            return float(np.ravel(fun(at(numbers)))[o])

        forward.__name__ = "forward"
        count = case.x.size
        names = ", ".join(f"x{k}" for k in range(count))
        scope = {"forward": forward, "partials": [partial(o, j) for j in range(count)]}
        exec(f"def f({names}): return forward({names})", scope)
        partials = [
            eval(f"lambda {names}, out: partials[{j}]({names}, out)", scope) for j in range(count)
        ]
        return engine.custom_op("f", scope["f"], partials)

    operations = [operation(o) for o in range(size)]

    def f(x: Any) -> Any:
        numbers = list(np.ravel(x))
        results = [op(*numbers) for op in operations]
        return results if size > 1 else results[0]

    return f, (case.x,), {}


def torch(case: Case) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A torch.autograd.Function."""
    import torch

    fun, jac = case.make()

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.tensor(np.asarray(fun(x.detach().numpy()), dtype=case.x.dtype))

        @staticmethod
        def backward(ctx: Any, w: Any) -> Any:
            (x,) = ctx.saved_tensors
            matrix = np.asarray(jac(x.numpy()), dtype=case.x.dtype).reshape(w.numel(), -1)
            return torch.tensor((w.numpy().ravel() @ matrix).reshape(x.shape))

    F.__name__ = "f"
    return F, (torch.tensor(case.x),), {}


def jax(case: Case) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A jax.custom_vjp, in double precision."""
    import jax

    fun, jac = case.make()
    jax.config.update("jax_enable_x64", True)

    @jax.custom_vjp
    def f(x: Any) -> Any:
        return jax.numpy.asarray(np.asarray(fun(np.asarray(x)), dtype=case.x.dtype))

    def backward(x: Any, w: Any) -> Any:
        matrix = np.asarray(jac(np.asarray(x)), dtype=case.x.dtype).reshape(np.size(w), -1)
        pulled = np.ravel(np.asarray(w)) @ matrix
        return (jax.numpy.asarray(pulled.reshape(np.shape(x)), dtype=case.x.dtype),)

    f.defvjp(lambda x: (f(x), x), backward)
    return f, (jax.numpy.asarray(case.x),), {}


def scipy(case: Case) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A function and its jac, of an array."""
    fun, jac = case.make()
    return fun, (case.x,), {"jac": jac}


FORMS = {"ours": ours, "torch": torch, "jax": jax, "scipy": scipy}


def cases(catalogue: list[Case], *forms: str) -> list[tuple[Case, str]]:
    """All cases in some forms."""
    pairs = itertools.product(catalogue, forms)
    return [(case, form) for case, form in pairs if form in case.forms]
