"""Whatever is changed between two calls: a compiled function gives what Python would give now.

Hypothesis writes small functions over state of all kinds, changes it, and calls; every call is
compared with the eager one. With the watching switched off it finds that out at once.
"""

from __future__ import annotations

import math
import random
import types
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import engine
import nn
from engine import TraceError, Value
from engine.compiled import paths, surroundings, trace
from engine.compiled.machine import Machine

# Lines of a function that read state, and such as change it, which are to be refused.
LINES = [
    "y = y * G0",
    "y = y + math.copysign(1.0, G1)",
    "y = -y if x > G1 else y",
    "y = y + L[0] * len(L)",
    "for k in L: y = y + k",
    "y = y * D['k'] + len(D)",
    "y = y - float(A[2])",
    "y = y * S.scale + S.nested['w'][1]",
    "y = y * Settings.shared",
    "y = y + S.scaled(x)",
    "y = y + getattr(S, 'sometimes', 0.5)",
    "y = y + helper(x)",
    "y = y + default(x)",
    "y = y * around()",
    "y = y * CONFIG.T",
    "y = y * (2.0 if FLAG else 3.0) + (FLAG is True)",
    "y = y * {'a': 1.0, 'b': -2.0}[MODE]",
    "y = y * P",
    "y = y + V[0] * V[1]",
    "y = model(y)",
    "y = y + engine.grad(lambda t: t * t * G0 * P)(x)",
    "y = y * float(f'{x:.0f}')",
    "S.kept = y * 2.0; y = S.kept + y",
    "y = y + sum(SET)",
    "y = y * PAIR[1] + len(PAIR)",
    "y = y * ROWS[0].k",
]
CHANGING = [
    "if STATEFUL: y = y + RNG.random()",
    "if STATEFUL: y = y + next(TICKS)",
    "if STATEFUL: S.mean = 0.5 * S.mean + x; y = y - S.mean",
    "if STATEFUL: LOG.append(1.0); y = y * len(LOG)",
    "if STATEFUL: OWN.step(); y = y * OWN.k",
]
PREAMBLE = """
def helper(x):
    return x * G1 + 1.0

def default(x, scale=L):
    return x * scale[0]

def f(x):
    y = x
"""
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 1, True, 2.0, -1.5, 3, 0.25])


class Settings:
    shared = 1.0

    def __init__(self) -> None:
        self.scale: Any = 1.0
        self.nested, self.mean = {"w": [1.0, 2.0]}, 0.0

    def scaled(self, x: Any) -> Any:
        return x * self.scale


class Row(NamedTuple):
    k: Any


class Own:
    """A state that changes by a method."""

    def __init__(self) -> None:
        self.k = 1.0

    def step(self) -> None:
        self.k = self.k * 1.5


class Model(nn.Module):
    """Has a parameter, a mode, a part and numbers."""

    def __init__(self) -> None:
        self.w, self.bias, self.part = Value(0.5), [0.25], nn.Sequential(nn.Tanh())
        self.noted: list[float] = []

    def forward(self, x: Any) -> Any:
        x = x * self.w if self.training else x + self.w
        return self.part([x])[0] + self.bias[0]


def variable() -> tuple[Any, Any]:
    """A function that reads a variable of this one, and one that sets it."""
    k = 1.0

    def around() -> Any:
        return k

    def put(number: Any) -> None:
        nonlocal k
        k = number

    return around, put


class Replays(RuleBasedStateMachine):
    """One function, its state, and two programs of it."""

    @initialize(
        lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=4),
        changing=st.lists(st.sampled_from(CHANGING), max_size=1),
        stateful=st.booleans(),
    )
    def write(self, lines: list[str], changing: list[str], stateful: bool) -> None:
        around, self.put_around = variable()
        self.settings: Any = Settings()
        self.own = type("Settings", (Settings,), {})
        space = {"math": math, "engine": engine, "around": around, "model": Model()}
        space |= {"G0": 1.0, "G1": 0.5, "L": [1.0, 2.0], "D": {"k": 1.0}, "A": np.ones(3)}
        space |= {"S": self.own(), "Settings": self.own, "CONFIG": types.ModuleType("config")}
        space |= {"FLAG": True, "MODE": "a", "P": Value(2.0), "V": [Value(1.0), Value(2.0)]}
        space |= {"PAIR": (0.0, 1.0), "ROWS": [Row(1.0)]}
        space |= {
            "SET": {1.0},
            "STATEFUL": bool(changing) and stateful,
            "RNG": random.Random(0),
            "LOG": [],
            "OWN": Own(),
        }
        space |= {"TICKS": iter(range(10**6)), "__name__": "replayed"}
        space["CONFIG"].T = 1.0
        source = (
            PREAMBLE + "".join(f"    {line}\n" for line in [*lines, *changing]) + "    return y\n"
        )
        exec(compile(source, "<replayed>", "exec"), space)
        self.space, self.stateful = space, bool(changing)
        self.f = space["f"]
        self.single = engine.compile(self.f)
        self.batch = engine.compile(self.f, in_axes=0)

    # --- changes ---

    @rule(name=st.sampled_from(["G0", "G1"]), number=NUMBERS)
    def a_global(self, name: str, number: Any) -> None:
        self.space[name] = number

    @rule(number=NUMBERS, which=st.sampled_from("LDASWTCV"))
    def a_number_somewhere(self, number: Any, which: str) -> None:
        space = self.space
        if which == "L":
            space["L"][0] = number
        elif which == "D":
            space["D"]["k"] = number
        elif which == "A":
            space["A"][2] = number
        elif which == "S":
            space["S"].scale = number
        elif which == "W":
            space["S"].nested["w"][1] = number
        elif which == "T":
            space["CONFIG"].T = number
        elif which == "C":
            self.own.shared = number
        else:
            self.put_around(number)

    @rule(grow=st.booleans())
    def a_length(self, grow: bool) -> None:
        if grow:
            self.space["L"].append(0.5)
            self.space["D"]["more"] = 1.0
            self.space["SET"].add(2.0)
        else:
            del self.space["L"][1:]
            self.space["D"].pop("more", None)
            self.space["SET"].discard(2.0)

    @rule(there=st.booleans())
    def an_attribute_that_comes_and_goes(self, there: bool) -> None:
        vars(self.space["S"]).pop("sometimes", None)
        if there:
            self.space["S"].sometimes = 4.0

    @rule(flag=st.sampled_from([True, False, 1]), mode=st.sampled_from("ab"))
    def flags(self, flag: Any, mode: str) -> None:
        self.space["FLAG"], self.space["MODE"] = flag, mode

    @rule(number=NUMBERS, new=st.booleans())
    def a_parameter(self, number: Any, new: bool) -> None:
        if new:
            self.space["P"] = Value(self.space["P"].data)
            self.space["V"][1] = Value(self.space["V"][1].data)
        self.space["P"].data = number
        self.space["V"][1].data = number

    @rule(training=st.booleans(), part=st.sampled_from([nn.Tanh, nn.ReLU, None]), number=NUMBERS)
    def a_module(self, training: bool, part: Any, number: Any) -> None:
        model = self.space["model"]
        model.train(training)
        if part is not None:
            model.part[0] = part()
        model.bias[0] = number
        model.noted.append(1.0)

    @rule(number=NUMBERS)
    def other_objects(self, number: Any) -> None:
        self.space["L"] = [number, *self.space["L"][1:]]
        self.space["S"], self.space["PAIR"] = self.own(), (0.0, number)
        self.space["ROWS"][0] = Row(number)
        self.space["A"] = np.array([0.0, 0.0, number])

    @rule(source=st.sampled_from(["x * G1 + 1.0", "x + G0", "x * 3.0"]))
    def a_helper(self, source: str) -> None:
        exec(f"def helper(x): return {source}", self.space)

    @precondition(lambda self: self.stateful)
    @rule()
    def stateful_or_not(self) -> None:
        self.space["STATEFUL"] = not self.space["STATEFUL"]

    # --- calls ---

    def eager(self, x: float) -> tuple[float, float]:
        """The value and the derivative as Python computes them."""
        value, slope = engine.value_and_grad(self.f)(x)
        return getattr(value, "data", value), getattr(slope, "data", slope)

    def state(self) -> list[Any]:
        space = self.space
        return [space["RNG"].getstate(), space["S"].mean, list(space["LOG"]), space["OWN"].k,
                space["TICKS"].__reduce__()[2:]]  # fmt: skip

    @rule(x=st.sampled_from([-2.0, 0.0, -0.0, 0.75, 3.0]))
    def call(self, x: float) -> None:
        if self.space["STATEFUL"]:
            before = self.state()
            with pytest.raises(TraceError, match=r"<replayed>|test_replays"):
                self.single(x)
            assert self.state() == before
            return
        expected, slope = self.eager(x)
        for _ in range(2):  # by the plan, if there is one by then
            value, gradient = self.single.value_and_grad(x)
            np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-12)

    @rule(xs=st.lists(st.sampled_from([-2.0, 0.75, 3.0]), min_size=1, max_size=3))
    def call_a_batch(self, xs: list[float]) -> None:
        if self.space["STATEFUL"]:
            with pytest.raises(TraceError):
                self.batch(xs)
            return
        found = self.batch(xs)
        expected = [self.eager(x)[0] for x in xs]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)

    @invariant()
    def a_call_is_what_python_would_do(self) -> None:
        if hasattr(self, "own"):  # it is written
            self.call(0.75)
            assert type(self.space["S"]) is self.own


def options(examples: int, **more: Any) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=9,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine code is made for each trace: what is looked at here is whether there is one."""

    def made(*args: Any, **options: Any) -> Machine:
        return Machine(*args, **options | {"native": False})

    monkeypatch.setattr(paths, "Machine", made)


def test_every_call_is_what_python_would_do() -> None:
    run_state_machine_as_test(Replays, settings=options(12))


@pytest.mark.slow
def test_every_call_is_what_python_would_do_in_200_sequences() -> None:
    run_state_machine_as_test(Replays, settings=options(200))


@pytest.mark.slow
@pytest.mark.usefixtures("interpreted")
def test_every_call_is_what_python_would_do_in_2000_sequences() -> None:
    run_state_machine_as_test(Replays, settings=options(2000))


@pytest.mark.usefixtures("interpreted")
def test_without_the_watching_it_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings._Walk, "places", lambda self: [])
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_state_machine_as_test(Replays, settings=options(50, phases=[Phase.generate]))


@pytest.mark.usefixtures("interpreted")
def test_without_looking_for_changes_it_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "run_once", lambda run, *_, **__: run())
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_state_machine_as_test(Replays, settings=options(50, phases=[Phase.generate]))
