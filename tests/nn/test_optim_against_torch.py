"""Optimisers and schedulers against PyTorch's figures, frozen and live."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import engine
import nn
from engine import Value
from optimizer_cases import (
    BATCH,
    CASES,
    CLIPS,
    EPOCHS,
    JOURNEYS,
    LANDSCAPE,
    PROBLEMS,
    RUNS,
    SCHEDULES,
    SETTINGS,
    STEPS,
    TRIALS,
    WEIGHTS,
    X,
    Y,
    clipped,
    descend,
    journey,
    kept,
    landscape,
    optimizer_figures,
    rates,
    shown,
    steps_on,
    verdict,
)
from oracle_cases import Figures, either, numbers

figures = either("optimizer_figures", optimizer_figures)


def assert_agree(actual: Any, expected: Any) -> None:
    """To 1e-10 of the largest number in each column."""
    assert len(actual) == len(expected)
    for column, (found, wanted) in enumerate(zip(actual, expected, strict=True)):
        sizes = [abs(x) for _, x in numbers(wanted) if math.isfinite(x)]
        allowed = 1e-10 * max(sizes, default=0.0)
        for (place, y), (_, x) in zip(numbers(found), numbers(wanted), strict=True):
            near = math.isclose(y, x, rel_tol=0.0, abs_tol=allowed)
            near = near or (math.isnan(y) and math.isnan(x))
            assert near, f"[{column}]{place} is {y!r}, expected {x!r}"


@pytest.mark.parametrize("name", CASES)
def test_steps(figures: Figures, name: str) -> None:
    actual, expected = kept(descend(nn, Value, name)), figures[name]
    if "refused" in (actual, expected):
        assert actual == expected
    else:
        assert_agree(actual, expected)


class Course:
    """A function of parameters that are put back to where it starts, and its programs."""

    def __init__(self, start: list[float], function: Callable[..., Any]) -> None:
        self.start, self.parameters = start, [Value(x) for x in start]
        self.programs = {  # by how many of the parameters move
            count: engine.compile(lambda: function(*self.parameters), wrt=self.parameters[:count])
            for count in (2, len(start))
        }

    def go(self, optimizer: Any, scheduler: Any, steps: int) -> None:
        """Make steps in a compiled loop."""
        options = {"path": "vectorised", "progress": False, "scheduler": scheduler}
        program = self.programs[len(optimizer.parameters())]
        with warnings.catch_warnings():  # some of the problems end at inf, there and here
            warnings.filterwarnings("ignore", "(?s).*The run goes on", RuntimeWarning)
            nn.minimize(program, optimizer, steps=steps, on_nonfinite="continue", **options)

    def restart(self) -> list[Value]:
        for p, x in zip(self.parameters, self.start, strict=True):
            p.data = x
        return self.parameters


@pytest.fixture(scope="module")
def courses() -> dict[str, Course]:
    """What is compiled once and shared, by the names of the problems."""
    functions = {name: problem for name, problem in PROBLEMS.items() if callable(problem[1])}
    made = {name: Course(*problem) for name, problem in functions.items()}
    return {**made, "landscape": Course(LANDSCAPE, landscape)}


@pytest.mark.parametrize("name", [name for name in CASES if callable(PROBLEMS[CASES[name][0]][1])])
def test_compiled_steps(figures: Figures, courses: dict[str, Course], name: str) -> None:
    problem, optimizer_name, settings = CASES[name]
    course, expected = courses[problem], figures[name]
    parameters = course.restart()
    if expected == "refused":
        with pytest.raises(ValueError):
            getattr(nn, optimizer_name)(parameters, **settings)
        return
    course.go(getattr(nn, optimizer_name)(parameters, **settings), None, STEPS)
    assert_agree(
        [[*column[:-1], p.data] for column, p in zip(expected, parameters, strict=True)], expected
    )


@pytest.mark.parametrize("compiled", [False, True], ids=["on Values", "compiled"])
@pytest.mark.parametrize("name", JOURNEYS)
def test_what_is_saved_and_loaded_on_the_way(
    figures: Figures, courses: dict[str, Course], name: str, compiled: bool
) -> None:
    course = courses["landscape"]
    parameters = course.restart()
    go = course.go if compiled else steps_on(landscape, parameters)
    assert_agree(journey(nn, nn, parameters, go, name), figures[name])


@pytest.mark.parametrize("name", TRIALS)
def test_settings_that_are_refused(figures: Figures, name: str) -> None:
    assert verdict(nn, Value, name) == figures[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_repr(figures: Figures, name: str) -> None:
    assert shown(nn, nn, Value, name) == figures[f"form {name}"]


@pytest.mark.parametrize("name", CLIPS)
def test_clipping(figures: Figures, name: str) -> None:
    actual, expected = clipped(nn, Value, name), figures[name]
    assert list(actual) == list(expected)
    assert_agree(list(actual.values()), list(expected.values()))


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(figures: Figures, name: str) -> None:
    actual, expected = rates(nn, nn, Value, name), figures[f"rates of {name}"]
    assert_agree(actual, expected)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("name", RUNS)
def test_training(figures: Figures, name: str, path: str) -> None:
    optimizer_name, settings, interval, scheduler_name, told = RUNS[name]
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    model.load_state_dict(WEIGHTS)
    optimizer, scheduler = getattr(nn, optimizer_name)(model.parameters(), **settings), None
    if scheduler_name:
        after = {} if scheduler_name == "ReduceLROnPlateau" else {"interval": interval}
        scheduler = getattr(nn, scheduler_name)(optimizer, **told, **after)
    options = {"loss": nn.MSELoss(), "epochs": EPOCHS, "batch_size": BATCH, "progress": False}
    options |= {"optimizer": optimizer, "scheduler": scheduler}
    history = nn.fit(model, X, Y, path=path, **options)
    parameters = [p.data for p in model.parameters()]
    assert_agree([[*history.step_loss, *parameters]], [figures[name]])
