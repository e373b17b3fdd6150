"""Programs as C99: what a C compiler makes of the text computes what the program does."""

from __future__ import annotations

import ctypes
import functools
import math
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from compiled.liftable import LIFTABLE
from compiled.test_source import CIRCLES, attention, classifier, cost, flat, perceptron, unit_circle
from engine.compiled.writing.c_formulas import Expressions
from engine.ops import TABLE, row
from engine.randomness import manual_seed, stream
from engine.value import record
from nn.programs import names_gpt
from random_graphs import ENGINE, random_graph, run

TOLERANCE = 1e-12  # of the largest number: sums are added in another order
FLAGS = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC")
CC = shutil.which("cc")

pytestmark = pytest.mark.skipif(CC is None, reason="there is no C compiler, cc")
_PROTOTYPE = re.compile(r"^int (\w+)\(\n(.*?)\)$", re.M | re.S)


class InC:
    """A text, compiled: a function of arrays by their names in C."""

    def __init__(self, text: str, folder: Path) -> None:
        source, library = folder / "program.c", folder / "program.so"
        source.write_text(text)
        command = [CC or "", *FLAGS, str(source), "-o", str(library), "-lm"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        self.library = ctypes.CDLL(str(library))
        self.arguments = {
            name: [tuple(each.replace("*", "").split()[-2:]) for each in given.split(",")]
            for name, given in _PROTOTYPE.findall(text)
        }
        self.pointers = {each.split("*")[1] for each in re.findall(r"\w+ \*\w+", text)}

    def __call__(
        self, name: str, given: dict[str, Any], out: dict[str, int], *, real: Any = np.float64
    ) -> tuple[int, dict[str, Any]]:
        """Its status, and what it wrote to arrays of these sizes; first one is `result`."""
        size = ctypes.c_size_t.in_dll(self.library, "WORK_SIZE").value
        arrays = {key: np.full(count, 7.0, real) for key, count in out.items()}
        arrays["work"] = np.full(size, 7.0, real)
        values: list[Any] = []
        for kind, key in self.arguments[name]:
            x = given.get(key)
            if key in arrays:
                values.append(arrays[key].ctypes.data_as(ctypes.c_void_p))
            elif kind in ("size_t", "long"):
                values.append((ctypes.c_size_t if kind == "size_t" else ctypes.c_ulonglong)(x))
            elif key in self.pointers:
                given[key] = array = np.ascontiguousarray(x, real)  # kept while it runs
                values.append(array.ctypes.data_as(ctypes.c_void_p))
            else:
                values.append((ctypes.c_double if real is np.float64 else ctypes.c_float)(x))
        status = getattr(self.library, name)(*values)
        return status, {key: arrays[key] for key in out}


def both(
    program: engine.Program, folder: Path, names: list[str], args: list[Any], many: int = 1
) -> tuple[Any, list[Any]]:
    """The value and the gradients that the text in C gives, in the order of its arguments."""
    text = program.source("c")
    compiled = InC(text, folder)
    given = {"N": len(np.atleast_1d(args[-1])), "seed": stream.seed, "step": stream.step}
    given |= dict(zip(names, args, strict=True))
    given |= text.parameters()  # type: ignore[attr-defined]
    kinds = [key for _, key in compiled.arguments["value_and_gradient"]]
    wanted = kinds[kinds.index("result") + 1 :]
    out = {"result": many} | {key: np.size(given[key[1:]]) for key in wanted}
    if program._reduce is None and program._in_axes is not None:
        out = {key: n if key[1:] == names[-1] else n * many for key, n in out.items()}
        out["result"] = many
    status, found = compiled("value_and_gradient", given, out)
    assert status == 0
    status, alone = compiled("value", given, {"result": many})
    assert status == 0 and (alone["result"] == found["result"]).all()
    return found.pop("result"), list(found.values())


def agree(expected: Any, actual: Any, scale: Any = ()) -> None:
    expected, actual = flat(expected), flat(actual)
    assert expected.shape == actual.shape
    largest = max(np.abs(expected).max(), np.abs(flat([0.0, *scale])).max())
    assert np.abs(expected - actual).max() <= TOLERANCE * largest


def check(program: engine.Program, folder: Path, names: list[str], args: list[Any]) -> None:
    """A program of arguments whose gradients are wanted, or of leaves."""
    value, gradient = program.value_and_grad(*args)
    found = both(program, folder, names, args)
    agree(value, found[0])
    agree(gradient, found[1], [value])


# --- programs -----------------------------------------------------------------------------------


def check_model(make: Callable[[], Any], folder: Path, names: list[str]) -> None:
    model, loss, args = make()
    program = engine.compile(loss, in_axes=0, reduce="mean", wrt=model)
    value = program.backward(*args)
    source = program.source("c")
    found, gradients = both(program, folder, names, args)
    expected = {name: [p.grad for p in leaves.flat] for name, leaves in source.leaves.items()}
    agree(value, found)
    agree(list(expected.values()), gradients, [value])


def mlp() -> Any:
    model = nn.Sequential(
        nn.Linear(7, 12, rng=random.Random(1)), nn.GELU(), nn.LayerNorm(12),
        nn.Linear(12, 5, rng=random.Random(2)),
    )  # fmt: skip
    criterion = nn.CrossEntropyLoss()
    X = np.random.default_rng(3).normal(size=(6, 7)).tolist()
    return model, lambda x, y: engine.sum(criterion.terms(model(x), y)[0]), [X, [0, 1, 4, 2, 2, 3]]


def test_the_loss_of_a_network(tmp_path: Path) -> None:
    check_model(mlp, tmp_path, ["x", "y"])


def test_the_text_has_a_loop_for_a_layer() -> None:
    model = nn.MLP(3, [20, 1], rng=random.Random(0))
    program = engine.compile(lambda x: model(x) ** 2, in_axes=0, reduce="sum", wrt=model)
    program.grad([[1.0, 2.0, 3.0]])
    source = program.source("c")
    assert "/* matrix product (20 × 3) @ (3) + bias */\n    for (int i = 0; i < 20; i++)" in source
    assert source.count("op_relu(") == 2  # the function, and a call


def test_the_circles(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 2)).tolist()
    Y = [[float(a * a + b * b < 1.0), float(a * a + b * b >= 1.0)] for a, b in X]
    check_model(lambda: (CIRCLES, cost, [X, Y]), tmp_path, ["x", "y"])


def test_an_integration_of_a_differential_equation(tmp_path: Path) -> None:
    def lotka_volterra(p: Any, start: Any) -> Any:
        a, b, c, d = p

        def slope(x: Any, y: Any) -> Any:
            return a * x - b * x * y, c * x * y - d * y

        x, y = start
        h = 0.05
        for _ in range(10):
            k1 = slope(x, y)
            k2 = slope(x + 0.5 * h * k1[0], y + 0.5 * h * k1[1])
            k3 = slope(x + 0.5 * h * k2[0], y + 0.5 * h * k2[1])
            k4 = slope(x + h * k3[0], y + h * k3[1])
            x, y = (
                z + h / 6.0 * (q1 + 2.0 * q2 + 2.0 * q3 + q4)
                for z, q1, q2, q3, q4 in zip((x, y), k1, k2, k3, k4, strict=True)
            )
        return (x - 1.0) ** 2 + (y - 0.5) ** 2

    args: list[Any] = [[1.1, 0.4, 0.1, 0.4], [2.0, 1.0]]
    check(engine.compile(lotka_volterra, argnums=(0, 1)), tmp_path, ["p", "start"], args)


def test_a_convolution(tmp_path: Path) -> None:
    def convolved(kernel: Any, image: Any) -> Any:
        total = 0.0
        for i in range(6):
            for j in range(6):
                patch = [image[i + a][j + b] for a in range(3) for b in range(3)]
                total = (
                    total + engine.tanh(engine.dot([w for row in kernel for w in row], patch)) ** 2
                )
        return total

    rng = np.random.default_rng(5)
    args = [rng.normal(size=(3, 3)), rng.normal(size=(4, 8, 8))]
    program = engine.compile(convolved, in_axes=(None, 0), reduce="mean", argnums=(0, 1))
    check(program, tmp_path, ["kernel", "image"], args)


def test_the_gpt(tmp_path: Path) -> None:
    def make() -> Any:
        model, criterion = names_gpt.GPT(random.Random(0)), nn.CrossEntropyLoss()
        tokens, targets = names_gpt.encoded(["ada", "emmy", "sofia"])

        def loss(x: list[Any], y: list[Any]) -> Any:
            return engine.sum(criterion.terms(model(x), y)[0])

        return model, loss, [tokens[:2, :5], targets[:2, :5]]

    check_model(make, tmp_path, ["x", "y"])


@pytest.mark.parametrize("make", [attention, classifier, unit_circle, perceptron])
def test_a_model(make: Callable[..., Any], tmp_path: Path) -> None:
    names = ["tokens", "targets"] if make is attention else ["x", "y"]
    check_model(make, tmp_path, ["x", "target"] if make is classifier else names)


CASES = [(name, "sum") for name in LIFTABLE]
CASES += [("dense", None), ("noisy", None), ("noisy", "unbatched"), ("branching", "unbatched")]


@pytest.mark.parametrize(("name", "reduce"), CASES)
def test_what_is_lifted(name: str, reduce: Any, tmp_path: Path) -> None:
    case = LIFTABLE[name]
    parameters, examples = case.parameters(), case.examples(1 if name == "branching" else 5)
    if reduce == "unbatched":
        program, args = engine.compile(case.function), [parameters, examples[0]]
    else:
        program = engine.compile(case.function, in_axes=(None, 0), reduce=reduce)
        args = [parameters, examples]
    manual_seed(0)
    value, gradient = program.value_and_grad(*args)
    keys = [key for _, key in _arguments(program.source("c"), "value")]
    keys = [k for k in keys if k not in ("N", "seed", "step", "work", "result")]
    given = [*parameters] if len(keys) > 2 else [parameters]
    many = len(examples) if reduce is None else 1
    manual_seed(0)
    found = both(program, tmp_path, keys, [*given, args[1]], many)
    agree(value, found[0], flat(gradient))
    agree(gradient, found[1], flat(value))


def _arguments(text: str, function: str) -> list[tuple[str, str]]:
    [given] = [given for name, given in _PROTOTYPE.findall(text) if name == function]
    return [tuple(each.replace("*", "").split()[-2:]) for each in given.split(",")]  # type: ignore[misc]


# --- the table ----------------------------------------------------------------------------------


def test_every_row_of_the_table(tmp_path: Path) -> None:
    """And all of its partials, in one program."""
    rng = random.Random(7)
    names = [n for n in TABLE if n not in ("nothing", "arrive", "pass_on")]
    numbers = [rng.uniform(*interval) for n in names for interval in TABLE[n].samples]

    def function(x: list[Any]) -> Any:
        rest, total = iter(x), 0.0
        for k, name in enumerate(names):
            op = TABLE[name]
            total = total + (1.0 + 0.01 * k) * record(op, [next(rest) for _ in range(op.arity)])
        return total

    program = engine.compile(function)
    trace(program, [numbers])
    value, gradient = engine.value_and_grad(function)(numbers)
    found = both(program, tmp_path, ["x"], [numbers])
    agree([value, *gradient], [found[0], *found[1]])


@pytest.mark.parametrize("arity", [1, 2, 3])
def test_rows_at_their_edges_are_as_in_python(arity: int, tmp_path: Path) -> None:
    """All tuples of special numbers: infinities, nan, zeros of both signs, halves, kinks."""
    special = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan]
    columns = [np.ravel(grid).tolist() for grid in np.meshgrid(*[special] * arity)]
    ops = [op for op in TABLE.values() if op.arity == arity]
    program = engine.compile(lambda *xs: [record(op, list(xs)) for op in ops], in_axes=0)
    trace(program, columns)
    compiled = InC(program.source("c"), tmp_path)
    keys = [key for _, key in compiled.arguments["value"]][1:-2]
    given = dict(zip(keys, columns, strict=True)) | {"N": len(columns[0])}
    status, out = compiled("value", given, {"result": len(columns[0]) * len(ops)})
    assert status == 0
    for op, found in zip(ops, out["result"].reshape(-1, len(ops)).T, strict=True):
        assert op.forward is not None
        expected = np.array([op.forward(*xs) for xs in zip(*columns, strict=True)])
        np.testing.assert_allclose(
            found, expected, rtol=1e-15, atol=2e-15 * (op.family == "special"), err_msg=op.name
        )
        zero = expected == 0.0
        assert (np.signbit(found[zero]) == np.signbit(expected[zero])).all(), op.name


def trace(program: engine.Program, args: list[Any]) -> None:
    """Have a text to ask for, without making machine code."""
    arguments, paths = program._prepared(args, {})
    paths.outputs(arguments, (0, 0))
    program._wanted(arguments, args, strict=False)


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed, 0)
    arity = len(graph.inputs)
    wanted = tuple(range(arity))
    value, gradient = engine.value_and_grad(lambda *xs: run(graph, ENGINE, xs), wanted)(
        *graph.inputs
    )
    program = engine.compile(lambda *xs: run(graph, ENGINE, xs), argnums=wanted)
    trace(program, [*graph.inputs])
    keys = [key for _, key in _arguments(program.source("c"), "value")][:arity]
    found = both(program, tmp_path, keys, [*graph.inputs])
    agree([value, *gradient], [found[0], *found[1]])


def halvings(x: float) -> float:
    """Half of x, again and again, until it is below 1."""
    while x > 1.0:
        x = 0.5 * x
    return x


def spacing(x: float) -> float:
    """A function that C is not told of."""
    return math.ulp(x)


@pytest.mark.parametrize("f", [halvings, spacing])
def test_a_row_that_can_not_be_written_is_refused_by_name(
    f: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLE, f.__name__, TABLE["add"])  # so that it is taken out afterwards
    row(f, (1.0,), f.__name__, [(2, 3)])
    with pytest.raises(TypeError, match=f"the row '{f.__name__}' can't be written"):
        Expressions("double").function(f.__name__)


# --- what is checked, drawn and not chosen --------------------------------------------------------


def test_the_status_is_the_first_guard_that_failed(tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        y = x * x if x > 0.0 else -x
        return engine.take([y, x], 0 if y < 5.0 else 1)

    program = engine.compile(f, in_axes=0, reduce="sum")
    program.grad([1.0, 2.0])
    compiled = InC(program.source("c"), tmp_path)
    for x, expected in ([1.0, 2.0], 0), ([1.0, 3.0], 2), ([-1.0, 2.0], 1), ([3.0, -1.0], 1):
        given = {"N": 2, "x": x}
        status, found = compiled("value_and_gradient", given, {"result": 1, "dx": 2})
        assert status == expected
        assert bool(np.isnan(found["result"][0])) is (expected > 0)


def test_look_ups_are_checked(tmp_path: Path) -> None:
    program = engine.compile(engine.take, in_axes=(None, 0), reduce=None)
    program.value_and_grad([1.0, 2.0, 4.0], [0, -1])
    compiled = InC(program.source("c"), tmp_path)
    sequence, index = [key for _, key in compiled.arguments["value"]][1:3]
    for place, expected in (1.0, 2.0), (-3.0, 1.0), (3.0, None), (-4.0, None), (0.5, None):
        given = {"N": 1, sequence: [1.0, 2.0, 4.0], index: [place]}
        status, found = compiled("value", given, {"result": 1})
        assert (status, found["result"][0]) == (0, expected) if expected else status == 1


def test_draws_are_those_of_the_program(tmp_path: Path) -> None:
    program = engine.compile(lambda x: x * engine.random() + engine.random(), in_axes=0)
    manual_seed(5)
    value = program([1.0, 2.0, 3.0])
    compiled = InC(program.source("c"), tmp_path)
    given = {"N": 3, "x": [1.0, 2.0, 3.0], "seed": 5, "step": 0}
    assert compiled("value", given, {"result": 3})[1]["result"].tolist() == value.tolist()


def test_what_is_not_chosen_passes_nothing(tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        return engine.where(x > 0.0, engine.sqrt(x), 0.0) + engine.relu(engine.log(x) * 1e300)

    program = engine.compile(f, in_axes=0)
    compiled_value, gradient = program.value_and_grad([0.0, 4.0])
    found = both(program, tmp_path, ["x"], [[0.0, 4.0]], 2)
    assert found[0].tolist() == compiled_value.tolist()
    assert found[1][0].tolist() == gradient.tolist()
    assert gradient[0] == 0.0


def test_a_program_in_single_precision(tmp_path: Path) -> None:
    program = engine.compile(
        lambda w, x: engine.tanh(w * x + 0.1), in_axes=(None, 0), reduce="sum", dtype=np.float32
    )
    value, gradient = program.value_and_grad(0.3, [0.5, 1.5])
    text = program.source("c")
    assert "double" not in text
    given = {"N": 2, "w": 0.3, "x": [0.5, 1.5]}
    status, found = InC(text, tmp_path)(
        "value_and_gradient", given, {"result": 1, "dw": 1}, real=np.float32
    )
    assert status == 0
    np.testing.assert_allclose([found["result"][0], found["dw"][0]], [value, gradient], rtol=1e-6)


@pytest.mark.parametrize("reduce", ["sum", "mean", None])
def test_a_result_that_no_example_changes(reduce: Any, tmp_path: Path) -> None:
    program = engine.compile(lambda w, x: w * w, in_axes=(None, 0), reduce=reduce)
    value, gradient = program.value_and_grad(3.0, [1.0, 2.0, 5.0])
    given = {"N": 3, "w": 3.0, "x": [1.0, 2.0, 5.0]}
    out = {"result": np.size(value), "dw": np.size(gradient)}
    _, found = InC(program.source("c"), tmp_path)("value_and_gradient", given, out)
    assert found["result"].tolist() == np.ravel(value).tolist()
    assert found["dw"].tolist() == np.ravel(gradient).tolist()


def test_no_sign_is_lost(tmp_path: Path) -> None:
    """Sums that subtract, in long lists and in short ones; largest ones; nothing at all."""

    def f(a: list[Any], b: list[Any]) -> Any:
        mixed = [a[0] * b[k] - a[1] * b[k - 1] - a[k % 5] + b[k] for k in range(20)]
        crossed = [a[k] - b[0] * a[4 - k] - b[k] * b[1] for k in range(3)]
        most = functools.reduce(engine.maximum, [-x for x in mixed[:9]])
        return engine.sum([-engine.tanh(x) for x in [*mixed, *crossed]]) - most

    rng = np.random.default_rng(2)
    args = [rng.normal(size=5), rng.normal(size=(3, 20))]
    program = engine.compile(f, in_axes=(None, 0), reduce="sum", argnums=(0, 1))
    check(program, tmp_path, ["a", "b"], [args[0].tolist(), args[1].tolist()])


def test_several_results(tmp_path: Path) -> None:
    program = engine.compile(lambda x: [[v + 1.0, v * v] for v in x], in_axes=0)
    X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    value = program(X)
    compiled = InC(program.source("c"), tmp_path)
    found = compiled("value", {"N": 2, "x": X}, {"result": value.size})[1]["result"]
    assert (found.reshape(value.shape) == value).all()


NAMES = ("int", "register", "s", "k", "work", "N", "σ", "exp", "j1", "op_tanh", "LIST_1", "value")


def test_names_are_those_that_c_can_have(tmp_path: Path) -> None:
    leaves = [engine.Value(1.0 + k, label=name) for k, name in enumerate(NAMES)]
    program = engine.compile(lambda x: engine.sum(engine.tanh(v * x) for v in leaves), wrt=leaves)
    value, gradient = program.value_and_grad(0.1)
    text = program.source("c")
    compiled = InC(text, tmp_path)
    kinds = [key for _, key in compiled.arguments["value_and_gradient"]]
    numbers = dict(zip(kinds, [0.1, *[v.data for v in leaves]], strict=False))
    wanted = kinds[kinds.index("result") + 1 :]
    status, found = compiled("value_and_gradient", numbers, dict.fromkeys(["result", *wanted], 1))
    assert status == 0
    agree([value, *gradient], [x[0] for x in found.values()])


def test_a_derivative_within_a_program_follows_the_chain_rule_exactly(tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        slope = engine.grad(lambda v: engine.relu(engine.log(v) * 1e300) + v * v)(x)
        return slope * slope

    program = engine.compile(f, in_axes=0)
    value, gradient = program.value_and_grad([0.0])
    assert (value, gradient) == (0.0, 0.0)  # 4 x², 8 x
    found = both(program, tmp_path, ["x"], [[0.0]])
    assert (found[0], found[1][0]) == (0.0, 0.0)
