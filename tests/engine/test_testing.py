"""assert_gradients: what it takes, what it says, what it refuses, and what it costs."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import engine
import nn
from engine.testing import WrongGradientError, assert_gradients


def wrong(f: Any, *args: Any, **options: Any) -> WrongGradientError:
    with pytest.raises(WrongGradientError) as caught:
        assert_gradients(f, *args, **options)
    return caught.value


square = engine.custom_op("square", lambda x: x * x, [lambda x, out: 3.0 * x])


# --- what it takes ----------------------------------------------------------------------------


def test_functions_of_values_with_nested_arguments() -> None:
    def f(x: Any, p: Any) -> Any:
        return [engine.tanh(x * w) + p["b"] for w in p["w"]]

    assert_gradients(f, 0.5, {"w": [2.0, -1.0], "b": 1.0})
    error = wrong(lambda x, p: square(p["w"][1]) * x, 0.5, {"w": [2.0, -1.0]})
    assert (error.input, error.output, error.kind) == ("p['w'][1]", "", "factor")


def test_values_that_the_function_reads() -> None:
    w = engine.Value(1.5, label="w")
    assert_gradients(lambda: w * w.sin(), wrt=[w])
    assert wrong(lambda: square(w), wrt=w).input == "w"
    assert w.data == 1.5 and w.grad == 0.0


def test_modules_by_argument_and_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=random.Random(0)), nn.Tanh(), nn.Linear(3, 1))
    before = [p.data for p in model.parameters()]
    assert_gradients(model, [0.5, -1.0])
    assert [p.data for p in model.parameters()] == before

    class Wrong(nn.Module):
        def __init__(self) -> None:
            self.w = [engine.Value(2.0), engine.Value(3.0)]

        def forward(self, x: Any) -> Any:
            return self.w[0] * x + square(self.w[1])

    assert wrong(Wrong(), 1.0).input == "w[1]"


def loss(w: Any, x: Any) -> Any:
    return sum((a * b).sin() for a, b in zip(w, x, strict=True))


def test_compiled_programs() -> None:
    w, X = [0.1, 0.2], np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
    assert_gradients(engine.compile(loss), w, [1.0, 2.0])
    assert_gradients(engine.compile(loss, argnums=(0, 1)), w, [1.0, 2.0])
    for options in ({"reduce": "mean"}, {}, {"argnums": (0, 1)}, {"dtype": "float32"}):
        assert_gradients(engine.compile(loss, in_axes=(None, 0), **options), w, X)
    model = nn.MLP(2, [3, 1], rng=random.Random(0))
    program = engine.compile(lambda x: model(x), in_axes=0, reduce="sum", wrt=model)
    assert_gradients(program, X)


def test_a_program_with_another_gradient_is_found() -> None:
    program = engine.compile(loss)
    right = program.grad
    program.grad = lambda *args: [-g for g in right(*args)]  # type: ignore[method-assign]
    assert wrong(program, [0.1, 0.2], [1.0, 2.0]).kind == "sign"


ROSEN = np.array([0.5, -1.0, 2.0])


def test_the_callbacks_of_scipy() -> None:
    fun, jac, hess = scipy.optimize.rosen, scipy.optimize.rosen_der, scipy.optimize.rosen_hess
    product = scipy.optimize.rosen_hess_prod
    assert_gradients(fun, ROSEN, jac=jac, hess=hess, hessp=product)
    assert_gradients(fun, ROSEN, jac=jac(ROSEN))
    assert_gradients(fun, ROSEN, jac=jac, hess=hess(ROSEN))
    assert_gradients(lambda x: (fun(x), jac(x)), ROSEN, jac=True)
    assert_gradients(lambda x, a: a * fun(x), ROSEN, 2.0, jac=lambda x, a: a * jac(x))
    assert_gradients(jac, ROSEN, jac=lambda x: scipy.sparse.csr_array(hess(x)))
    assert wrong(fun, ROSEN, jac=lambda x: -jac(x)).kind == "sign"
    error = wrong(fun, ROSEN, jac=jac, hess=lambda x: np.triu(hess(x)))
    assert (error.what, error.input, error.output) == ("Hessian", "x[0]", "d/dx[1]")
    assert wrong(fun, ROSEN, jac=jac, hessp=lambda x, p: 2.0 * product(x, p)).kind == "factor"


def test_one_number_is_no_array() -> None:
    assert_gradients(lambda x: x**3, 2.0, jac=lambda x: 3.0 * x**2)
    assert wrong(lambda x: x**3, 2.0, jac=lambda x: x**2).kind == "factor"


# --- what it says -----------------------------------------------------------------------------


def test_a_failure_says_entry_numbers_steps_and_diagnosis() -> None:
    def f(x: Any) -> Any:
        return x[0] * x[1] ** 2

    error = wrong(f, [2.0, 3.0], jac=lambda x: [x[1] ** 2, 4.0 * x[0] * x[1]])
    assert (error.input, error.given, error.kind) == ("x[1]", 24.0, "factor")
    assert abs(error.expected - 12.0) <= error.error < 1e-9
    assert str(error) == (
        "the gradient of f is wrong by x[1] (= 3.0): it is 24, and differences give "
        f"12 ± {error.error:.1g} (steps down to {error.step:.1g}). It is 2 times too large (a "
        "square or a half forgotten) by x[1]."
    )
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.kind, again.table()) == (str(error), error.kind, error.table())


def test_the_first_node_at_fault_is_named_with_its_line() -> None:
    def f(x: Any) -> Any:
        y = x.sin()
        return engine.exp(square(y))

    error = wrong(f, 0.5)
    assert "first node at fault is square(0.479" in error.where
    assert "return engine.exp(square(y))" in error.where and Path(__file__).name in error.where


@pytest.mark.parametrize("leave", [lambda x: x.detach(), lambda x: x.data])
def test_where_the_graph_was_left_is_said(leave: Any) -> None:
    error = wrong(lambda x: x.sin() * leave(x), 0.7)
    assert error.kind == "detached" and Path(__file__).name in error.where


def test_a_function_that_has_slopes_along_the_axes_only() -> None:
    def f(x: Any) -> Any:
        return x[0] ** 2 * x[1] / (x @ x) if x.any() else 0.0

    assert wrong(f, np.zeros(2), jac=lambda x: np.zeros(2)).kind == "direction"


def network(seed: int) -> tuple[Any, Any, Any]:
    """Two layers of random sizes and scales, their Jacobian, and a point."""
    rng = np.random.default_rng(seed)
    size, results = rng.integers(2, 9), rng.integers(1, 4)
    V = rng.normal(size=(5, size)) * 10.0 ** rng.uniform(-1.0, 0.5)
    W, x = rng.normal(size=(results, 5)), rng.normal(size=size)

    def fun(x: Any) -> Any:
        return W @ np.sin(V @ x) + np.maximum(V @ x, 0.0).sum()

    def jac(x: Any) -> Any:
        return (W * np.cos(V @ x) + (V @ x > 0.0)) @ V

    return fun, jac, x


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_pass_and_one_part_in_a_thousand_of_an_entry_is_found(seed: int) -> None:
    fun, jac, x = network(seed)
    assert_gradients(fun, x, jac=jac, seed=seed)
    j = seed % len(x)

    def wrong_jac(x: Any) -> Any:
        return jac(x) * np.where(np.arange(len(x)) == j, 1.001, 1.0)

    error = wrong(fun, x, jac=wrong_jac, seed=seed)
    assert (error.kind, error.input) == ("factor", f"x[{j}]")


# --- bad input --------------------------------------------------------------------------------

ONES = np.ones(2)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: assert_gradients(engine.log, -1.0), ValueError, r"log is not finite at x = -1\.0"),
        (
            lambda: assert_gradients(lambda x: 1 / x[1].item(), [1.0, 0.0], jac=lambda x: x),
            ValueError,
            r"not defined at x\[0\] = 1\.0, x\[1\] = 0\.0 \(ZeroDivisionError",
        ),
        (
            lambda: assert_gradients(lambda x: 0.0 if x == 0.0 else np.nan, 0.0, jac=lambda x: x),
            ValueError,
            r"no step from x = 0\.0 stays where the function is finite",
        ),
        (lambda: assert_gradients(engine.sin, np.nan), ValueError, "x is nan: choose a finite"),
        (lambda: assert_gradients(lambda x: "a", 1.0), TypeError, "not a str"),
        (lambda: assert_gradients(lambda x: "a", 1.0, jac=np.sin), TypeError, "real numbers"),
        (lambda: assert_gradients(np.sum, ONES, jac=lambda x: 1j * x), TypeError, "real numbers"),
        (lambda: assert_gradients(np.sum, ["a"], jac=np.sin), TypeError, "array of real numbers"),
        (lambda: assert_gradients(np.sum, jac=np.sin), TypeError, "needs the point"),
        (lambda: assert_gradients(engine.sin), TypeError, "needs numbers to differentiate by"),
        (lambda: assert_gradients(3.0, 1.0), TypeError, "takes a function, not 3.0"),  # type: ignore[arg-type]
        (lambda: assert_gradients(engine.sin, 1.0, hess=np.sin), TypeError, "hess belongs to jac"),
        (lambda: assert_gradients(lambda x: [], 1.0), TypeError, "returned no numbers"),
        (
            lambda: assert_gradients(np.sum, ONES, jac=lambda x: [[1], [2, 3]]),
            TypeError,
            "jac gives an",
        ),
        (lambda: assert_gradients(np.sum, [], jac=np.sin), TypeError, "array of real numbers"),
        (lambda: assert_gradients(np.sum, ONES, jac="2-point"), TypeError, "not '2-point'"),
        (lambda: assert_gradients(np.sum, ONES, jac=True), TypeError, "returns value and gradient"),
        (
            lambda: assert_gradients(np.sum, ONES, jac=ONES, hess=np.diag),
            TypeError,
            "hess needs jac as a function",
        ),
        (
            lambda: assert_gradients(engine.sin, 1.0, wrt=[engine.Value(1.0) * 2.0]),
            TypeError,
            r"leaf Values, which can be moved, and wrt\[0\] is",
        ),
    ],
)
def test_bad_input_gets_a_sentence(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_a_jac_of_another_shape_is_said_to_be_transposed_where_it_is() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    error = wrong(lambda x: rows @ x, np.ones(3), jac=lambda x: rows.T)
    assert error.kind == "transposed" and "jac has the shape (3, 2)" in str(error)
    error = wrong(lambda x: rows @ x, np.ones(3), jac=lambda x: rows[0])
    assert error.kind == "shape" and "(2, 3) is needed" in str(error)


# --- what it costs ----------------------------------------------------------------------------


def test_the_number_of_calls_does_not_depend_on_the_size() -> None:
    def calls(size: int) -> int:
        count = 0

        def fun(x: Any) -> Any:
            nonlocal count
            count += 1
            return np.sin(x).sum()

        assert_gradients(fun, np.linspace(0.5, 1.5, size), jac=np.cos)
        return count

    assert abs(calls(3) - calls(3000)) < 10 and calls(3000) < 200


def test_a_wrong_entry_among_many_is_found_by_halves() -> None:
    def jac(x: Any) -> Any:
        gradient = np.cos(x)
        gradient[1234] *= 1.001
        return gradient

    error = wrong(lambda x: np.sin(x).sum(), np.linspace(0.5, 1.5, 4000), jac=jac)
    assert error.input == "x[1234]"


def test_many_wrong_entries_among_many_are_not_all_looked_for() -> None:
    calls = 0

    def fun(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return np.sin(x).sum()

    error = wrong(fun, np.linspace(0.5, 1.5, 4000), jac=lambda x: np.cos(x) + np.sin(x))
    assert error.kind == "term" and calls < 3000


def test_import_engine_does_not_load_it_and_it_loads_no_other_library() -> None:
    code = (
        "import sys, engine\n"
        "assert not any(m.startswith('engine.testing') for m in sys.modules)\n"
        "engine.testing.assert_gradients(engine.sin, 0.5)\n"
        "assert not {'torch', 'jax', 'scipy', 'casadi', 'numba', 'pytest'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- in pytest --------------------------------------------------------------------------------

TESTS = """
def test_right(gradients):
    gradients(lambda x: x * x, 0.5)


def test_wrong(gradients):
    import math
    gradients(math.sin, 0.5, jac=math.sin)


def test_with_a_bug(gradients):
    gradients(lambda x: undefined, 0.5)
"""


def test_the_plugin_has_a_fixture_and_a_section_and_hides_our_frames(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "pytest_gradloom", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--color=no", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert "1 passed" in done.stdout and "2 failed" in done.stdout, done.stdout
    first, second = done.stdout.split("_ test_wrong _")[1].split("_ test_with_a_bug _")
    assert "- wrong gradient -" in first and "diagnosis" in first
    assert "gradients(math.sin, 0.5, jac=math.sin)" in first
    assert "assert_gradients(" not in first and "search(" not in first
    assert "NameError" in second and "wrong gradient" not in second


def test_the_plugin_is_found_and_loads_next_to_nothing() -> None:
    code = (
        "import sys, pytest, pytest_gradloom\n"
        "assert not {'engine', 'nn', 'numpy'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
