"""Sparse derivatives: the Hessian of a chain, and the Jacobian of a grid, beside CasADi's.

Both functions are written once, in scalars, and run by both. Rosenbrock's function of 10,000
numbers has a Hessian of three diagonals; Bratu's equation on 100 × 100 points, 5-point differences
and an exponential, a Jacobian of five. An evaluation gives SciPy's arrays from ours, and the
entries in a buffer from CasADi, as its documentation says for speed; beside that stands its call
that gives a matrix. A set-up is from the function to the first matrix, with nothing cached,
in a process of its own; CasADi also has one with the chain written on vectors.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import engine
from benchmarks import fresh, ours
from benchmarks.harness import ALONE, OURS, Array, Asked, Contender, Row, Scale

BUFFERED, CALLED = "CasADi, buffered Function", "CasADi, Function"
CASADI, VECTORS = "CasADi", "CasADi, on vectors"


def chain(x: Any) -> Any:
    """Rosenbrock's function of n numbers."""
    total = 0.0
    for k in range(len(x) - 1):
        total = total + 100.0 * (x[k + 1] - x[k] * x[k]) ** 2 + (1.0 - x[k]) ** 2
    return total


def grid(u: Any, exp: Any = engine.exp) -> list[Any]:
    """Bratu's equation on a square of points, with 0 around it."""
    m = math.isqrt(len(u))
    found = []
    for k, own in enumerate(u):
        total = -4.0 * own
        if k % m > 0:
            total = total + u[k - 1]
        if k % m < m - 1:
            total = total + u[k + 1]
        if k >= m:
            total = total + u[k - m]
        if k < m * m - m:
            total = total + u[k + m]
        found.append(total * (m + 1) ** 2 + exp(own))
    return found


def rows(scale: Scale) -> Iterator[Row]:
    """Evaluations, and set-ups; a quick run has none of the latter, since they take too long."""
    n = scale.of(10_000, 10_000, 64)
    x = np.random.default_rng(0).uniform(-1.0, 1.0, n)
    m = math.isqrt(n)
    for name, work, derivative in (
        ("hessian", f"Hessian of Rosenbrock's function of {n:,}", engine.sparse_hessian(chain)),
        ("jacobian", f"Jacobian of Bratu's equation, {m} × {m}", engine.sparse_jacobian(grid)),
    ):
        hessian = name == "hessian"
        yield Row(
            f"sparse-{name}",
            f"{work}, sparse",
            {
                OURS: lambda: evaluated(derivative, x),  # noqa: B023, before the next
                ALONE: lambda: ours.values_alone(derivative._program, x),  # noqa: B023
                BUFFERED: lambda: casadi_buffered(x, hessian=hessian),  # noqa: B023
                CALLED: lambda: casadi_called(x, hessian=hessian),  # noqa: B023
            },
            asked=[Asked(1.0, BUFFERED)],
        )
    if scale.name == "quick":
        return
    for name, others in (("hessian", [CASADI, VECTORS]), ("jacobian", [CASADI])):
        first: dict[str, Callable[[], Contender]] = {
            who: functools.partial(fresh.contender, first_matrix(who, name, n))
            for who in [OURS, *others]
        }
        work = f"the first sparse {name} of n = {n:,}, nothing cached"
        yield Row(f"first-sparse-{name}", work, first, asked=[Asked(0.25, CASADI)])


def evaluated(derivative: Any, x: Array) -> Contender:
    """A call, which gives a SciPy array."""
    return Contender(
        work=lambda: derivative(x), numbers=lambda: derivative(x).data, note="csr_array"
    )


def casadi_function(n: int, *, hessian: bool) -> Any:
    """CasADi's Function of the matrix, with the entries of a Jacobian row by row, as ours are."""
    import casadi

    x = casadi.SX.sym("x", n)
    entries = [x[k] for k in range(n)]
    if hessian:
        return casadi.Function("f", [x], [casadi.hessian(chain(entries), x)[0]])
    made = casadi.jacobian(casadi.vertcat(*grid(entries, casadi.exp)), x)
    return casadi.Function("f", [x], [made.T])


def casadi_buffered(x: Array, *, hessian: bool) -> Contender:
    """The entries, written into an array."""
    function = casadi_function(len(x), hessian=hessian)
    buffer, call = function.buffer()
    given, entries = x.copy(), np.zeros(function.nnz_out(0))
    buffer.set_arg(0, given.data)
    buffer.set_res(0, entries.data)

    def numbers() -> Array:
        call()
        return entries

    def work(kept: Any = (buffer, given)) -> None:  # what the call reads
        call()

    return Contender(work=work, numbers=numbers)


def casadi_called(x: Array, *, hessian: bool) -> Contender:
    """A matrix of CasADi's own."""
    function = casadi_function(len(x), hessian=hessian)
    return Contender(work=lambda: function(x), numbers=lambda: np.array(function(x).nonzeros()))


_BEGIN = """
import time, numpy
from benchmarks.rows import sparse
x = numpy.linspace(-1.0, 1.0, {n})
"""
_OURS = """
import engine, scipy.sparse, numba, llvmlite.binding
engine.compile, engine.sparse_{name}
began = time.perf_counter()
numbers = engine.sparse_{name}(sparse.{f})(x).data
done(time.perf_counter() - began, numbers)
"""
_CASADI = """
import casadi
began = time.perf_counter()
numbers = sparse.casadi_function(len(x), hessian={hessian})(x).nonzeros()
done(time.perf_counter() - began, numbers)
"""
_VECTORS = """
import casadi
began = time.perf_counter()
v = casadi.SX.sym("v", len(x))
total = casadi.sum1(100.0 * (v[1:] - v[:-1] ** 2) ** 2 + (1.0 - v[:-1]) ** 2)
numbers = casadi.Function("f", [v], [casadi.hessian(total, v)[0]])(x).nonzeros()
done(time.perf_counter() - began, numbers)
"""


def first_matrix(who: str, name: str, n: int) -> str:
    """A program for `fresh`: from the function to its first matrix."""
    text = _BEGIN + {OURS: _OURS, CASADI: _CASADI, VECTORS: _VECTORS}[who]
    f = "chain" if name == "hessian" else "grid"
    return text.format(n=n, name=name, f=f, hessian=name == "hessian")
