"""L-BFGS: in a loop of one's own, in `minimize` and in `fit`; how many evaluations it needs.

That its steps are PyTorch's is among the cases of test_optim_against_torch.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value
from nn.data import blobs
from notes import Notes

X, Y = blobs(40, centers=[[-1.0, 0.0], [1.0, 0.5]], seed=2)
SEARCHING = {"line_search_fn": "strong_wolfe"}


def rosenbrock(p: list[Any]) -> Any:
    pairs = itertools.pairwise(p)
    return engine.sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in pairs)


def by_hand(start: list[float], f: Callable[..., Any], steps: int, **settings: Any) -> list[float]:
    """The losses, and where it ends."""
    p = [Value(x) for x in start]
    optimizer = nn.LBFGS(p, **settings)

    def closure() -> Value:
        optimizer.zero_grad()
        loss = f(p)
        loss.backward()
        return loss

    return [*[optimizer.step(closure).data for _ in range(steps)], *[x.data for x in p]]


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("settings", [{"lr": 0.1, "max_iter": 3}, SEARCHING, {"max_iter": 1}])
def test_minimize_makes_the_steps_of_a_loop_of_ones_own(
    settings: dict[str, Any], path: str
) -> None:
    start = [-1.2, 1.0, 0.3]
    p = [Value(x) for x in start]
    optimizer = nn.LBFGS(p, **settings)
    history = nn.minimize(lambda: rosenbrock(p), optimizer, steps=5, path=path, progress=False)
    found = [*history.loss, *[x.data for x in p]]
    assert history.path == path
    assert found == pytest.approx(by_hand(start, rosenbrock, 5, **settings), rel=1e-8, abs=1e-12)


def quadratic(p: list[Any]) -> Any:
    return engine.sum((k + 1.0) ** 3 * (x - 1.0) ** 2 for k, x in enumerate(p))


def nist(name: str, model: Callable[..., Any]) -> tuple[Callable[..., Any], list[float]]:
    """A sum of squares of NIST's, in units of what it is lowest at, and where it starts."""
    data = json.loads((Path(__file__).parents[1] / "data" / "nist_lower.json").read_text())[name]
    units = data["certified"]

    def f(p: list[Any]) -> Any:
        b = [x * unit for x, unit in zip(p, units, strict=True)]
        pairs = zip(data["x"], data["y"], strict=True)
        return engine.sum((model(b, x) - y) ** 2 for [x], y in pairs)

    return f, [x / unit for x, unit in zip(data["start1"], units, strict=True)]


@pytest.mark.parametrize(
    ("f", "start"),
    [
        (rosenbrock, [-1.2, 1.0]),
        (rosenbrock, [-1.2, 1.0] * 15),
        (quadratic, [0.0] * 20),
        nist("DanWood", lambda b, x: b[0] * x ** b[1]),
        nist("Misra1a", lambda b, x: b[0] * (1.0 - engine.exp(-b[1] * x))),
    ],
    ids=["Rosenbrock", "Rosenbrock of 30", "quadratic", "DanWood", "Misra1a"],
)
def test_it_needs_about_as_many_evaluations_as_scipy(f: Callable[..., Any], start: Any) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    program, calls = engine.compile(f), Notes()

    def evaluate(x: Any) -> Any:
        calls.add()
        return program.value_and_grad(x)

    options = {"gtol": 1e-7, "ftol": 0.0, "maxcor": 100}
    told: dict[str, Any] = {"method": "L-BFGS-B", "options": options}
    optimize.minimize(evaluate, np.array(start), jac=True, **told)
    theirs, theta = len(calls), np.array(start)
    settings = {"max_iter": 500, "tolerance_change": 0.0, **SEARCHING}
    optimizer = nn.LBFGS([Value(x) for x in start], **settings)
    loss, g = evaluate(theta)
    optimizer.update(theta, g, loss, evaluate)
    assert np.abs(program.grad(theta)).max() <= 1e-7
    assert theta == pytest.approx(np.ones(len(start)), abs=1e-5)
    assert len(calls) - theirs <= 1.25 * theirs


def model() -> nn.Module:
    layers = nn.Linear(2, 3, rng=random.Random(0)), nn.Tanh(), nn.Linear(3, 2, rng=random.Random(1))
    return nn.Sequential(*layers)


def fitted(path: str = "vectorised", **options: Any) -> tuple[nn.History, list[float]]:
    trained = model()
    optimizer = nn.LBFGS(trained.parameters(), max_iter=4, history_size=5, **SEARCHING)
    options = {"epochs": 6, "progress": False, "l2": 1e-3} | options
    loss = nn.CrossEntropyLoss()
    history = nn.fit(trained, X, Y, loss=loss, optimizer=optimizer, path=path, **options)
    return history, [p.data for p in trained.parameters()]


def test_fit_takes_it_on_all_examples_on_both_paths() -> None:
    (history, theta), (again, same) = fitted(), fitted("scalar")
    assert again.loss == pytest.approx(history.loss, rel=1e-8)
    assert same == pytest.approx(theta, rel=1e-6)
    assert history.loss == sorted(history.loss, reverse=True)


def test_fit_in_single_precision_goes_down() -> None:
    history, _ = fitted(dtype=np.float32)
    assert history.loss[-1] < 0.8 * history.loss[0]


def test_fit_on_batches_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"every batch is another: leave batch_size out.*minimize"):
        fitted(batch_size=10)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_a_checkpoint_goes_on_to_the_same_bits(path: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    whole = fitted(path)
    for epochs in (2, 6):
        history, theta = fitted(path, epochs=epochs, checkpoint=tmp_path)
    assert (history.loss, theta) == (whole[0].loss, whole[1])


def test_a_loaded_state_goes_on_exactly() -> None:
    p, q = [Value(-1.2), Value(1.0)], [Value(0.0), Value(0.0)]
    first, second = (nn.LBFGS(v, lr=0.5, max_iter=3, history_size=2) for v in (p, q))
    nn.minimize(lambda: rosenbrock(p), first, steps=4, progress=False)
    second.load_state_dict(first.state_dict())
    for own, other in zip(q, p, strict=True):
        own.data = other.data
    for v, optimizer in ((p, first), (q, second)):
        nn.minimize(lambda v=v: rosenbrock(v), optimizer, steps=4, progress=False)
    assert [x.data for x in q] == [x.data for x in p]


def test_progress_counts_updates_and_no_evaluations(capsys: pytest.CaptureFixture[str]) -> None:
    p = [Value(-1.2), Value(1.0)]
    nn.minimize(lambda: rosenbrock(p), nn.LBFGS(p), steps=3)
    shown = "".join(capsys.readouterr())
    assert "100%" in shown or "100 %" in shown
    assert "3.00/3.00" in shown or "100 %" in shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"line_search_fn": "armijo"}, "None or \"strong_wolfe\", not 'armijo'"),
        ({"lr": -1.0}, "lr to be at least 0"),
        ({"max_iter": -1}, "max_iter is a whole number of at least 0, not -1"),
        ({"max_iter": "many"}, "max_iter is a whole number"),
        ({"max_eval": 2.5}, "max_eval is a whole number"),
        ({"history_size": 5.0}, "history_size is a whole number"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.LBFGS([Value(1.0)], **settings)


def test_groups_and_steps_without_the_loss_are_refused() -> None:
    a, b = Value(1.0), Value(2.0)
    with pytest.raises(ValueError, match="one list of parameters, and no groups"):
        nn.LBFGS([{"params": [a]}, {"params": [b]}])
    optimizer = nn.LBFGS([a])
    with pytest.raises(ValueError, match="no groups"):
        optimizer.add_param_group({"params": [b]})
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"use nn\.minimize or nn\.fit"):
        optimizer.update(np.ones(1), np.ones(1))
