"""Replays compared with Python at every call: what differs is named with its line, and what is only
rounded otherwise is let through."""

import copy
import math
import os
import random
from collections.abc import Callable
from typing import Any

import loop_programs
import numpy as np
import pytest
import scan_programs

import engine
import nn
import random_graphs
from engine import ReplayError, Value
from engine.compiled import paths, surroundings
from engine.compiled.rounding import Bounds
from engine.lines import Recorder

LEAF = Value(0.75, label="leaf")


def hidden() -> float:
    """A number that no trace can watch."""
    return float(os.environ["HIDDEN"])


@pytest.fixture(autouse=True)
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets it."""

    def put(number: float) -> None:
        monkeypatch.setenv("HIDDEN", repr(number))

    put(2.0)
    return put


def scaled(x: Any) -> Any:
    y = engine.sin(x)
    y = y * hidden()
    return y + LEAF * x


SCALED = (
    r"mul\(0\.84147\d+, 2\.0\) is 1\.68294\d+ in the replay, mul\(0\.84147\d+, 3\.0\) is "
    r"2\.52441\d+ in Python, at .*test_verified\.py:\d+: y = y \* hidden\(\)\. It depends on "
)
CALLS: dict[str, Callable[..., Any]] = {
    "value": lambda p, x: p(x),
    "grad": lambda p, x: p.grad(x),
    "value_and_grad": lambda p, x: p.value_and_grad(x),
    "backward": lambda p, x: p.backward(x),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "single": {},
    "batched": {"in_axes": 0},
    "mean": {"in_axes": 0, "reduce": "mean"},
    "sum by a leaf": {"in_axes": 0, "reduce": "sum", "wrt": [LEAF]},
    "each by a leaf": {"in_axes": 0, "wrt": [LEAF]},
    "float32": {"dtype": np.float32, "in_axes": 0, "reduce": "mean"},
    "interpreted": {"native": False},
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("options", OPTIONS)
def test_what_the_trace_could_not_see_is_named(
    options: str, call: str, hide: Callable[[float], None]
) -> None:
    plain = engine.compile(scaled, **OPTIONS[options])
    program = engine.compile(scaled, **OPTIONS[options], verify=True)
    x = np.array([0.5, 1.0, 1.0]) if OPTIONS[options].get("in_axes") == 0 else 1.0
    for _ in range(2):
        np.testing.assert_equal(CALLS[call](program, x), CALLS[call](plain, x))
    hide(3.0)
    numbers = SCALED if options == "single" else ""
    with pytest.raises(ReplayError, match=rf"a replay of scaled differs.*{numbers}") as caught:
        CALLS[call](program, x)
    assert "y = y * hidden()" in str(caught.value)
    assert ("for example 0: the result" in str(caught.value)) == ("in_axes" in OPTIONS[options])
    hide(2.0)
    CALLS[call](program, x)


def test_the_result_is_compared_by_what_rounding_explains(hide: Callable[[float], None]) -> None:
    for dtype, fine, off in ((np.float64, 2.0 + 1e-16, 2.0 + 1e-13), (np.float32, 2 + 1e-8, 2.001)):
        hide(2.0)
        program = engine.compile(scaled, dtype=dtype, verify=True)
        program.value_and_grad(1.0)
        hide(fine)
        program.value_and_grad(1.0)
        hide(off)
        with pytest.raises(ReplayError, match="rounding explains"):
            program.value_and_grad(1.0)


def test_a_buffered_program_is_compared_too(hide: Callable[[float], None]) -> None:
    buffered = engine.compile(scaled, verify=True).buffered(1.0)
    buffered.numbers[:] = 0.5
    assert buffered() == engine.compile(scaled)(0.5)
    hide(3.0)
    with pytest.raises(ReplayError, match=r"y = y \* hidden\(\)"):
        buffered()


def test_updates_are_compared_one_by_one(hide: Callable[[float], None]) -> None:
    w = [Value(1.0, label="w")]
    program = engine.compile(lambda: (w[0] - hidden()) ** 2, wrt=w, verify=True)
    optimizer = nn.SGD(w, lr=0.1)
    history = nn.minimize(program, optimizer, steps=5, progress=False)
    assert history.path == "vectorised" and len(history.loss) == 5
    hide(0.5)
    with pytest.raises(ReplayError, match=r"sub\(.*, 2\.0\) is .* hidden\(\)"):
        nn.minimize(program, optimizer, steps=5, progress=False)


def test_watching_that_is_switched_off_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"k": 2.0}
    f = lambda x: engine.exp(x) - state["k"]  # noqa: E731
    program = engine.compile(f, in_axes=0, verify=True)
    program([1.0, 2.0])
    state["k"] = 3.0
    program([1.0, 2.0])  # it is watched, so that f is traced anew
    monkeypatch.setattr(surroundings._Walk, "places", lambda self: [])
    blind = engine.compile(f, in_axes=0, verify=True)
    blind([1.0, 2.0])
    state["k"] = 4.0
    with pytest.raises(ReplayError, match=r"sub\(2\.718\d+, 3\.0\) .* sub\(2\.718\d+, 4\.0\) "):
        blind([1.0, 2.0])


def test_another_branch_is_named_by_the_operation_that_is_new(
    hide: Callable[[float], None],
) -> None:
    def f(x: Any) -> Any:
        y = x * x
        if hidden() > 2.5:
            y = engine.tanh(y)
        return y

    def g(x: Any) -> Any:
        return engine.cos(x) if hidden() > 2.5 else engine.sin(x)

    programs = [engine.compile(h, verify=True) for h in (f, g)]
    for program in programs:
        program(0.5)
    hide(3.0)
    with pytest.raises(ReplayError, match=r"nothing in the replay, tanh\(0\.25\) .*engine.tanh\(y"):
        programs[0](0.5)
    with pytest.raises(ReplayError, match=r"sin\(0\.5\) is .* in the replay, cos\(0\.5\) is "):
        programs[1](0.5)
    hide(2.0)
    programs = [engine.compile(f, verify=True)]
    hide(3.0)
    programs[0](0.5)
    hide(2.0)
    with pytest.raises(ReplayError, match=r"tanh\(0\.25\) is .* in the replay, nothing in Python"):
        programs[0](0.5)


def test_another_number_of_results_is_said(hide: Callable[[float], None]) -> None:
    program = engine.compile(lambda x: [x] * int(hidden()), verify=True)
    assert program(1.0) == [1.0, 1.0]
    hide(3.0)
    with pytest.raises(ReplayError, match="gives 2 numbers, and Python 3"):
        program(1.0)


def test_a_gradient_that_differs_alone_is_named(hide: Callable[[float], None]) -> None:
    def f(p: Any) -> Any:
        x = p["w"][1]
        return x * (x.detach() if hidden() > 2.5 else x + 0.0)

    program = engine.compile(f, verify=True)
    given = {"w": [1.0, 3.0]}
    assert program.grad(given) == {"w": [0.0, 6.0]}
    hide(3.0)
    with pytest.raises(
        ReplayError, match=r"gradient by p\['w'\]\[1\] is 6.0, and .* 3.0; .*detach"
    ):
        program.grad(given)
    assert program(given) == 9.0  # the value is the same


def test_a_step_of_a_loop_is_looked_into(hide: Callable[[float], None]) -> None:
    def by_scan(x: Any) -> Any:
        def step(total: Any, t: Any) -> Any:
            total = engine.tanh(total * t)
            return total * hidden(), None

        return engine.scan(step, x, [1.0] * 20)[0]

    def in_python(x: Any) -> Any:
        for t in range(30):
            x = engine.tanh(x)
            x = x * (hidden() if t > 20 else 2.0)
        return x

    programs = {f: engine.compile(f, in_axes=0, verify=True) for f in (by_scan, in_python)}
    for program in programs.values():
        program.value_and_grad([0.5, 0.7])
    hide(3.0)
    with pytest.raises(ReplayError, match=r"mul\(.*, 2\.0\) .* mul\(.*, 3\.0\) .*total \* hidden"):
        programs[by_scan]([0.5, 0.7])
    with pytest.raises(ReplayError, match=r"mul\(0\.95\d+, 2\.0\) .*\(hidden\(\) if t > 20"):
        programs[in_python]([0.5, 0.7])


def test_machine_code_that_is_wrong_is_told_from_a_function_that_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = engine.compile(lambda x: x * x, verify=True)
    program(3.0)
    result = paths.Call.result

    def wrong(self: paths.Call) -> paths.Result:
        found = result(self)
        found.outputs = found.outputs + 1e-9
        return found

    monkeypatch.setattr(paths.Call, "result", wrong)
    with pytest.raises(ReplayError, match=r"9\.000000001, and .* 9\.0; .* its operations agree"):
        program(3.0)


# --- no false alarm -----------------------------------------------------------------------------


def all_kinds(w: Any, x: Any) -> Any:
    """Look-ups, draws, branches, numbers that are read, arms, and a Value from outside."""
    y = engine.take([w, x, w * x], 2.0) + engine.random() * LEAF
    y = y * x.detach() + (engine.exp(x) if x > 1.0 else engine.log(w))
    y = y + engine.where(x > 5.0, engine.log(x - 5.0), 0.0) * float(f"{w:.0f}")
    return {"y": [y, engine.softmax([w, x, 1.0])[0]], "floor": engine.floor(10.0 * x)}


def test_all_kinds_of_operations_agree() -> None:
    for options in ({}, {"in_axes": (None, 0)}, {"in_axes": (None, 0), "dtype": np.float32}):
        program = engine.compile(all_kinds, **options, verify=True)
        for w in (1.25, 3.0):
            program(w, [0.25, 1.5, 7.0, 1.0] if options else 1.5)
    first = engine.compile(lambda w, x: all_kinds(w, x)["y"][0], in_axes=(0, 0), verify=True)
    values, gradients = first.value_and_grad([1.0, 2.0, 3.0], [0.5, 1.5, 6.0])
    assert np.isfinite([values, gradients]).all()


def test_infinities_and_nan_agree() -> None:
    f = lambda x: engine.log(x) + engine.exp(x * 800.0)  # noqa: E731
    for dtype in (np.float64, np.float32):
        program = engine.compile(f, in_axes=0, dtype=dtype, verify=True)
        values, gradients = program.value_and_grad([0.0, 1.0, -1.0, 0.5])
        assert values[0] == -math.inf and values[1] == math.inf and math.isnan(values[2])
        assert gradients[0] == math.inf and math.isfinite(gradients[3]) == (dtype is np.float64)


def test_a_value_from_outside_brings_its_rounding_along() -> None:
    p = Value(1.1)
    inner = engine.sum([engine.exp(p * k) for k in range(40)])
    program = engine.compile(lambda x: inner * x, verify=True, wrt=[p])
    assert program.value_and_grad(2.0)[0] == pytest.approx(2.0 * inner.data, rel=1e-14)


def agree(f: Callable[..., Any], at: Any, dtype: Any, batched: bool) -> None:
    given = np.array([at, np.multiply(at, 1.01)]) if batched else list(at)
    options = {"in_axes": 0, "reduce": "mean"} if batched else {}
    engine.compile(f, dtype=dtype, verify=True, **options).value_and_grad(given)


LOOPS = {name: (steps.function, steps.at) for name, steps in loop_programs.STEPS.items()}
LOOPS |= {
    f"scan {name}": (f, [0.3 + 0.1 * k for k in range(count)])
    for name, (f, count) in scan_programs.PROGRAMS.items()
}
GRAPHS = [
    (lambda p, g=graph: random_graphs.run(g, random_graphs.ENGINE, p), graph.inputs)
    for graph in (random_graphs.random_graph(seed, 0) for seed in range(40))
]


@pytest.mark.parametrize("name", ["kalman", "newton", "pendulum", "scan garch", "scan newton"])
def test_loops_agree(name: str) -> None:
    agree(*LOOPS[name], np.float64, batched=False)


def test_random_graphs_agree() -> None:
    for f, at in GRAPHS[:4]:
        agree(f, at, np.float64, batched=False)


@pytest.mark.slow
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_all_loops_and_random_graphs_agree(dtype: Any, batched: bool) -> None:
    for f, at in (*LOOPS.values(), *GRAPHS):
        agree(f, at, dtype, batched)


def bound_of(f: Callable[..., Any], *args: float, dtype: str = "float64") -> tuple[float, float]:
    """A result, and the bound that is computed for it."""
    recorder = Recorder()
    with engine.modes.recorded_by(recorder):
        y = f(*map(Value, args))
    return y.data, Bounds(recorder.spots, dtype, recorder.cuts).of(y)


def test_a_bound_is_neither_missed_nor_far_off() -> None:
    rng = random.Random(0)
    terms = [rng.gauss(0.0, 1.0) * 10.0 ** rng.randrange(9) for _ in range(300)]
    total, bound = bound_of(lambda *xs: engine.sum(xs), *terms)
    others = [sum(rng.sample(terms, len(terms))) for _ in range(50)]
    assert max(abs(other - total) for other in others) <= bound <= 1e-10 * max(map(abs, terms))
    value, bound = bound_of(lambda x: engine.exp(engine.log(x)) - x, 7.0)
    assert abs(value) <= bound < 1e-12
    single, bound = bound_of(lambda x: engine.exp(x) * engine.sin(x), 3.3, dtype="float32")
    x = np.float32(3.3)
    assert abs(float(np.exp(x) * np.sin(x)) - single) <= bound < 1e-3


def test_where_rounding_decides_a_comparison_either_way_is_right(
    hide: Callable[[float], None],
) -> None:
    program = engine.compile(lambda x: engine.where(x * hidden() > 2.0, 9.0, x), verify=True)
    assert program(1.0) == 1.0
    hide(2.0 + 4e-16)
    assert program(1.0) == 1.0
    hide(2.0 + 1e-9)
    with pytest.raises(ReplayError, match=r"is 1\.0, and Python computes 9\.0"):
        program(1.0)


# --- options ------------------------------------------------------------------------------------


def test_copies_are_compared_too(hide: Callable[[float], None]) -> None:
    program = copy.copy(engine.compile(scaled, verify=True))
    program(1.0)
    hide(3.0)
    with pytest.raises(ReplayError):
        program(1.0)


def test_another_word_is_refused() -> None:
    with pytest.raises(TypeError, match="verify is True or False, not 'gradients'"):
        engine.compile(scaled, verify="gradients")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("gammaln", (1.0000001,)),
        ("gammaln", (-2.457024738220801,)),
        ("digamma", (1.4616321449683622,)),
        ("betaln", (1.0000001, 1.0)),
    ],
)
def test_zeros_of_the_gamma_functions_are_no_differences(
    name: str, args: tuple[float, ...]
) -> None:
    """Around them, two libraries agree on as many places as the terms that cancel have."""
    function = getattr(engine, name)
    program = engine.compile(function, verify=True)
    assert program(*args) == pytest.approx(function(*args), rel=0.0, abs=1e-14)
    program.grad(*args)
