"""Sparse Jacobians and Hessians: the numbers of the dense ones, where there are any."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import engine
from engine import sparse_hessian, sparse_jacobian, sparsity
from engine.compiled import paths
from engine.compiled.chained import Chain, Seeding
from random_graphs import ENGINE, random_graph, run

Function = Callable[..., Any]


def dense_pattern(pattern: engine.Sparsity) -> list[list[int]]:
    return pattern.csr().toarray().astype(int).tolist()


def check(f: Function, kind: str, *args: Any, argnums: int = 0, tolerance: float = 1e-12) -> Any:
    """The sparse derivatives agree with the dense ones, which are 0 wherever there is no entry."""
    make = {"jacobian": sparse_jacobian, "hessian": sparse_hessian}[kind]
    derivative = make(f, argnums)
    expected = np.array(getattr(engine, kind)(f, argnums)(*args), float)
    for _ in range(3):  # the full way, then a plan
        found = derivative(*args)
        assert isinstance(found, scipy.sparse.csr_array)
        actual = found.toarray()
        assert actual.shape == expected.reshape(actual.shape).shape
        largest = max(1.0, np.abs(expected).max(initial=0.0))
        assert np.allclose(actual, expected.reshape(actual.shape), rtol=0, atol=tolerance * largest)
        assert derivative.pattern.nnz == found.nnz
    return derivative


def random_functions(seed: int) -> tuple[list[Function], list[float]]:
    """Functions of a few numbers each out of twelve, of all operations of the table."""
    rng = random.Random(seed)
    x0 = [rng.uniform(-1.0, 1.0) for _ in range(12)]

    def made(k: int) -> Function:
        graph = random_graph(1_000 * seed + k, 0)
        chosen = rng.sample(range(len(x0)), len(graph.inputs))
        shifts = [number - x0[i] for i, number in zip(chosen, graph.inputs, strict=True)]
        return lambda x: run(
            graph, ENGINE, [x[i] + shift for i, shift in zip(chosen, shifts, strict=True)]
        )

    return [made(k) for k in range(6)], x0


SEEDS = [*range(3), *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40)]]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_jacobians_are_the_dense_ones(seed: int) -> None:
    functions, x0 = random_functions(seed)
    check(lambda x: [f(x) for f in functions], "jacobian", x0, tolerance=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_hessians_are_the_dense_ones(seed: int) -> None:
    functions, x0 = random_functions(seed)
    check(lambda x: sum(f(x) for f in functions), "hessian", x0, tolerance=1e-10)


def rosenbrock(x: Any) -> Any:
    return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x))


def laplace(u: Any, strength: Any = 1.0) -> list[Any]:
    """Bratu's equation on a square grid."""
    m = math.isqrt(len(u))
    found = []
    for i in range(m):
        for j in range(m):
            beside = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
            inside = [u[m * a + b] for a, b in beside if 0 <= a < m and 0 <= b < m]
            own = u[m * i + j]
            found.append(sum(inside) - 4.0 * own + strength * engine.exp(own))
    return found


def test_the_hessian_of_a_chain_has_three_diagonals() -> None:
    derivative = check(rosenbrock, "hessian", [0.3 * k for k in range(40)])
    i, j = derivative.pattern.rows, derivative.pattern.columns
    assert sorted({*(i - j).tolist()}) == [-1, 0, 1] and derivative.pattern.nnz == 3 * 40 - 2
    assert derivative.colors.max() == 2


def test_the_jacobian_of_a_grid_has_five_points() -> None:
    derivative = check(laplace, "jacobian", [0.01 * k for k in range(49)], 0.7)
    assert derivative.pattern.nnz == 49 + 4 * 7 * 6
    assert 5 <= derivative.colors.max() + 1 <= 7


def test_many_nodes_take_the_loops_in_machine_code() -> None:
    x = np.linspace(-1.0, 1.0, 400)
    found = sparse_hessian(rosenbrock)(x)
    rows = [0, 1, 200, 398, 399]
    for i in rows:
        v = [float(k == i) for k in range(400)]
        column = engine.hvp(rosenbrock, ([*x],), (v,))
        assert np.allclose(found[[i]].toarray()[0], column, rtol=1e-13)


def test_an_irregular_network_is_a_short_program() -> None:
    rng = random.Random(0)
    n = 1_000
    pairs = [rng.sample(range(n), 2) for _ in range(3 * n)]
    weights = [rng.gauss(0.0, 1.0) for _ in pairs]

    def energy(x: Any) -> Any:
        pulls = [w * engine.sin(x[a] - x[b]) ** 2 for w, (a, b) in zip(weights, pairs, strict=True)]
        return engine.sum(pulls)

    x, v = ([rng.gauss(0.0, 1.0) for _ in range(n)] for _ in range(2))
    hessian = sparse_hessian(energy)
    assert np.allclose(hessian(x) @ v, engine.hvp(energy, (x,), (v,)), rtol=1e-9, atol=1e-12)
    assert len(str(hessian._program).splitlines()) < 100


def test_an_arrow_takes_few_colors_either_way() -> None:
    def arrow(x: Any) -> Any:
        return sum(x[0] * engine.sin(a) for a in x[1:])

    star = check(arrow, "hessian", [0.1 * k for k in range(30)])
    assert star.colors.max() == 1

    def row(x: Any) -> list[Any]:
        return [engine.sum([a * a for a in x]), *[a**3 for a in x]]

    by_rows = check(row, "jacobian", [0.1 * k for k in range(30)])
    assert by_rows.pattern.by == "rows" and by_rows.colors.max() == 1


@pytest.mark.parametrize("kind", ["row", "column", "both"])
def test_the_work_for_a_pattern_grows_with_its_entries(kind: str) -> None:
    def f(x: Any) -> list[Any]:
        total = engine.sum([engine.sin(a) for a in x]) if kind != "column" else 0.0
        hub = engine.exp(x[0]) if kind != "row" else 1.0
        return [total, *[hub * a for a in x[1:]]]

    def contributions(n: int) -> int:
        tape = engine.compile(f)
        tape([0.1] * n)
        assert tape._last is not None
        chain = Chain(tape._last.paths[0].tape)
        seeds = [
            Seeding(nodes, np.arange(len(nodes)), forward)
            for nodes, forward in ((range(n), True), (chain.tape.outputs, False))
        ]
        return len(chain.carry(seeds).edge)

    assert contributions(800) < 2.2 * contributions(400)


# --- what is not smooth, and what passes nowhere ------------------------------------------------


@pytest.mark.parametrize("x", [[-1.0, 2.0, 0.0], [2.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
def test_kinks_are_those_of_the_dense_derivatives(x: list[float]) -> None:
    def f(x: Any) -> list[Any]:
        untaken = engine.where(x[0] > 0.0, x[1] * x[0], engine.sqrt(x[0] - 10.0) * x[1])
        return [
            engine.where(x[0] > 0.0, engine.log(x[0]), x[1] * x[1]),
            engine.maximum(x[1], x[2]) * engine.relu(x[0]),
            engine.clamp(x[2], 0.0, 1.0) * engine.sign(x[1]),
            engine.where(x[1] > 0.0, engine.relu(x[0] * x[1]) ** 2, 0.5 * x[2] ** 2),
            engine.where(x[0] > 0.0, untaken, x[2] ** 3),
        ]

    check(f, "jacobian", x)
    check(lambda x: sum(f(x)[1:]), "hessian", x)


def test_an_untaken_arm_does_not_poison() -> None:
    def f(x: Any) -> Any:
        return sum(
            engine.where(a > 0.0, engine.sqrt(a) * b, b * b) for a, b in itertools.pairwise(x)
        )

    found = sparse_hessian(f)([-1.0, 4.0, 2.0, 0.0]).toarray()
    assert np.isfinite(found).all()
    assert found.tolist() == engine.hessian(f)([-1.0, 4.0, 2.0, 0.0])


def test_a_nan_that_arithmetic_makes_stays() -> None:
    found = sparse_jacobian(lambda x: [(x[0] > 0.0) * engine.sqrt(x[0]), x[1]])([0.0, 1.0])
    assert math.isnan(found[0, 0]) and found[1, 1] == 1.0


def test_what_does_not_depend_has_no_entries() -> None:
    def f(x: Any) -> list[Any]:
        return [x[0].detach() * x[1], engine.floor(x[0]), 3.0, x[2], x[2]]

    derivative = check(f, "jacobian", [1.5, 2.0, 3.0])
    assert dense_pattern(derivative.pattern) == [
        [0, 1, 0],
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 1],
        [0, 0, 1],
    ]
    assert check(lambda x: x[0] + 2.0 * x[1], "hessian", [1.0, 2.0]).pattern.nnz == 0
    assert check(lambda x: 1.0, "hessian", [1.0, 2.0]).pattern.nnz == 0
    assert check(lambda x: x[0], "jacobian", [1.0, 2.0]).pattern.nnz == 1


def test_one_input_may_be_the_result() -> None:
    assert sparsity(lambda x: [x[0]], [1.0]).csr().toarray().tolist() == [[1.0]]
    assert sparse_jacobian(lambda x: [x, 2.0, 3.0])(1.0).toarray().tolist() == [[1.0], [0.0], [0.0]]


def test_a_look_up_may_take_any_entry() -> None:
    def f(x: Any, k: Any) -> list[Any]:
        return [engine.take(x[:3], k) * x[3], engine.take(x[2:], k - 3.0)]

    derivative = sparse_jacobian(f)
    for k in (0.0, 1.0, 2.0):
        expected = engine.jacobian(f)([1.0, 2.0, 3.0, 4.0, 5.0], k)
        assert derivative([1.0, 2.0, 3.0, 4.0, 5.0], k).toarray().tolist() == expected
    assert dense_pattern(derivative.pattern) == [[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    check(lambda x, k: engine.take(x[:2], k) ** 2 * x[2], "hessian", [1.0, 2.0, 3.0], 1.0)
    with pytest.raises(IndexError):
        derivative([1.0, 2.0, 3.0, 4.0, 5.0], 3.0)


def test_look_ups_keep_their_entries_where_constants_are_left_out() -> None:
    def f(x: Any, k: Any) -> list[Any]:
        scaled = 7.0 * x[0]  # 7.0 is where the second look-up has its entries
        return [engine.take([x[0], x[1], scaled], k), engine.take([x[1], scaled], k) ** 3]

    for k in (0.0, 1.0):
        check(f, "jacobian", [1.0, 2.0], k)


def test_loops_are_gone_through_step_by_step() -> None:
    def f(x: Any) -> Any:
        (last,), seen = engine.scan(lambda c, a: ((c[0] * a,), c[0] + a), (x[0],), x[1:])
        return last + engine.sum([y**3 for y in seen])

    check(f, "hessian", [1.1, 0.9, 1.2, 0.8])


# --- paths, parameters, leaves ------------------------------------------------------------------


def test_the_pattern_follows_the_path() -> None:
    def f(x: Any) -> list[Any]:
        return [x[0] * x[2] if x[0] > x[1] else x[1] ** 2, x[2]]

    derivative = sparse_jacobian(f)
    for x in ([2.0, 1.0, 3.0], [1.0, 2.0, 3.0]) * 2:
        assert derivative(x).toarray().tolist() == engine.jacobian(f)(x)
        expected = [[1, 0, 1], [0, 0, 1]] if x[0] > x[1] else [[0, 1, 0], [0, 0, 1]]
        assert dense_pattern(derivative.pattern) == expected
        assert dense_pattern(sparsity(f, x)) == expected


def test_there_may_be_more_paths_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.compiled.sparse.MOST_PATHS", 3)
    monkeypatch.setattr(paths, "MOST_PATHS", 3)
    derivative = sparse_jacobian(lambda x: [x[int(x[0])] * x[1]])
    for k in [*range(6), 2, 0, 5]:
        x = [float(k), 2.0, 3.0, 4.0, 5.0, 6.0]
        assert derivative(x).toarray().tolist() == engine.jacobian(derivative._f)(x)


def test_other_arguments_are_parameters() -> None:
    def f(scale: Any, x: Any, *, power: float = 2.0) -> list[Any]:
        return [scale["a"] * v**power for v in x["u"]] + [x["w"] * scale["a"]]

    args = {"a": 3.0}, {"u": [1.0, 2.0], "w": 5.0}
    derivative = sparse_jacobian(f, 1)
    assert derivative(*args).toarray().tolist() == [[6.0, 0, 0], [0, 12.0, 0], [0, 0, 3.0]]
    assert derivative(*args, power=3.0).toarray().tolist() == [[9, 0, 0], [0, 36, 0], [0, 0, 3.0]]
    by_scale = sparse_jacobian(f)(*args)
    assert by_scale.toarray().tolist() == [[1.0], [4.0], [5.0]]


def test_leaves_are_read_at_every_call() -> None:
    w = engine.Value(2.0)
    derivative = sparse_hessian(lambda x: w * x[0] ** 2 + x[1])
    assert derivative([1.0, 1.0]).toarray().tolist() == [[4.0, 0.0], [0.0, 0.0]]
    w.data = 5.0
    assert derivative([1.0, 1.0])[0, 0] == 10.0


def test_draws_are_new_at_every_call() -> None:
    derivative = sparse_jacobian(lambda x: [engine.random() * x[0], x[1]])
    engine.manual_seed(3)
    found = [derivative([1.0, 2.0])[0, 0] for _ in range(3)]
    assert len({*found}) == 3 and all(0.0 < x < 1.0 for x in found)


def test_a_result_is_the_callers_own() -> None:
    derivative = sparse_jacobian(lambda x: [x[0] * x[1], x[1]])
    first, second = derivative([0.0, 3.0]), derivative([0.0, 3.0])
    first.data[:] = 7.0
    second.eliminate_zeros()
    with pytest.raises(ValueError, match="read-only"):
        derivative.pattern.columns[:] = 0
    assert derivative([2.0, 3.0]).toarray().tolist() == [[3.0, 2.0], [0.0, 1.0]]


def test_arrays_and_one_number() -> None:
    grid = np.arange(6.0).reshape(2, 3)
    found = sparse_jacobian(lambda x: x * x)(grid)
    assert np.array_equal(found.toarray(), np.diag(2.0 * grid.ravel()))
    assert sparse_hessian(lambda x: x**3)(2.0).toarray().tolist() == [[12.0]]


def test_derivatives_travel() -> None:
    derivative = sparse_hessian(rosenbrock)
    for again in (pickle.loads(pickle.dumps(derivative)), copy.deepcopy(derivative)):
        expected = derivative([1.0, 2.0, 3.0]).toarray()
        assert np.array_equal(again([1.0, 2.0, 3.0]).toarray(), expected)


# --- SciPy --------------------------------------------------------------------------------------


def test_scipy_solves_with_them() -> None:
    n = 30
    start, strength = np.zeros(25), (0.05,)
    residuals, jacobian = engine.compile(laplace), sparse_jacobian(laplace)
    root = scipy.optimize.least_squares(residuals, start, jacobian, args=strength)
    assert root.success and root.cost < 1e-20
    pattern = sparsity(laplace, start).csr()
    by_differences = scipy.optimize.least_squares(
        residuals, start, args=strength, jac_sparsity=pattern
    )
    assert np.allclose(by_differences.x, root.x, atol=1e-6)
    value = engine.compile(rosenbrock)
    for method in ("trust-constr", "Newton-CG"):
        found = scipy.optimize.minimize(
            value, np.full(n, 0.8), jac=value.grad, hess=sparse_hessian(rosenbrock), method=method
        )
        assert found.success and found.fun < 1e-4


def test_scipy_integrates_a_stiff_system_with_them() -> None:
    import scipy.integrate

    def slopes(t: Any, u: Any) -> list[Any]:
        inside = [0.0, *u, 0.0]
        return [
            50.0 * (a - 2.0 * b + c) - b**3
            for a, b, c in zip(inside, inside[1:], inside[2:], strict=False)
        ]

    u0 = np.sin(np.linspace(0.1, 3.0, 20))
    given: dict[str, Any] = {"method": "Radau", "rtol": 1e-8, "atol": 1e-10}
    found = scipy.integrate.solve_ivp(
        slopes, (0.0, 0.1), u0, jac=sparse_jacobian(slopes, 1), **given
    )
    dense = scipy.integrate.solve_ivp(slopes, (0.0, 0.1), u0, **given)
    assert np.allclose(found.y[:, -1], dense.y[:, -1], atol=1e-7)


# --- pictures and errors ------------------------------------------------------------------------


def test_a_pattern_shows_itself() -> None:
    pattern = sparsity(laplace, [0.0] * 9)
    assert str(pattern).splitlines()[:3] == [
        "jacobian of laplace: 9 × 9, 33 entries (40.7 %), 6 colors of 9 columns",
        "██·█·····",
        "███·█····",
    ]
    svg = pattern.svg()
    assert len(re.findall("M", svg)) == 33 and svg.count("<path") == 6
    shown = pattern._repr_mimebundle_()
    assert shown["image/svg+xml"] == svg and "gradloom-still" in shown["text/html"]
    large = sparsity(rosenbrock, [0.0] * 500, of="hessian")
    assert len(str(large).splitlines()) == 33 and len(large.svg()) < 30_000
    derivative = sparse_jacobian(laplace)
    assert repr(derivative) == "<sparse jacobian of laplace, not traced yet>"
    assert "not traced yet" in derivative._repr_mimebundle_()["text/plain"]
    derivative([0.0] * 9)
    assert derivative._repr_mimebundle_() == shown


def test_a_dense_pattern_is_said_to_be_dense() -> None:
    with pytest.warns(RuntimeWarning, match="dense, 40 × 40 with as many colors as columns"):
        derivative = sparse_hessian(lambda x: sum(x) ** 2)
        derivative([1.0] * 40)
    assert derivative.pattern.is_dense and derivative.colors.tolist() == [*range(40)]
    assert "dense: engine.hessian does as well" in str(derivative.pattern)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: sparse_hessian(laplace)([0.0] * 4),
            TypeError,
            "returns a list of 4; use sparse_jacobian",
        ),
        (lambda: sparse_jacobian(laplace, (0, 1)), TypeError, "argnums is the number of one"),
        (lambda: sparse_jacobian(laplace, 3)([0.0]), ValueError, "3, but 1 are given"),
        (lambda: sparse_jacobian(laplace)([]), ValueError, "has no numbers"),
        (lambda: sparse_jacobian(lambda x: None)([1.0]), TypeError, "None"),
        (lambda: sparse_jacobian(laplace)("ab"), ValueError, "has no numbers"),
        (lambda: sparse_jacobian(laplace).colors, engine.TraceError, "call it once"),
        (lambda: sparsity(laplace, [0.0], of="gradient"), ValueError, "not 'gradient'"),
        (lambda: sparse_jacobian(3), TypeError, "sparse_jacobian takes a function"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_told_in_a_sentence(
    call: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call()


def test_inside_of_another_trace_the_dense_ones_are_named() -> None:
    derivative = sparse_jacobian(laplace)
    with pytest.raises(engine.TraceError, match=r"use engine\.jacobian there"):
        engine.compile(lambda x: derivative(x)[0, 0])([0.0] * 4)


def test_without_scipy_there_is_a_pattern_and_no_derivative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    assert sparsity(laplace, [0.0] * 4).nnz == 12
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[blas\]'"):
        sparse_jacobian(laplace)
