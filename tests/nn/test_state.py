"""Models with state: both paths of training do what Python does, or the scalar path is taken."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine
import nn
from engine import TraceError, Value
from notes import Notes

TEMPERATURE = 1.0
RNG = np.random.default_rng(0)
X = np.random.default_rng(1).normal(size=(12, 2))
Y = X[:, :1] * X[:, 1:]
MANY = np.tile(X, (10, 1))


class Model(nn.Module):
    """A layer, and what a test adds to it."""

    def __init__(self) -> None:
        self.linear = nn.Linear(2, 1, rng=random.Random(0))
        self.random, self.rng = random.Random(1), np.random.default_rng(1)
        self.mean, self.calls, self.scale, self.log = 0.0, 0, 1.0, [0.0]
        self.kept: Any = None
        self.hidden: Any = None

    def forward(self, x: Any) -> Any:
        [y] = self.linear(x)
        return [self.more(x, y)]

    def more(self, x: Any, y: Any) -> Any:
        return y


class Drawing(Model):
    def more(self, x: Any, y: Any) -> Any:
        return y + 0.1 * self.rng.normal()


class DrawingPlainly(Model):
    def more(self, x: Any, y: Any) -> Any:
        return y + (0.1 * self.random.gauss(0.0, 1.0) if self.training else 0.0)


class DrawingLate(Model):
    """On a branch that the first examples don't take."""

    def more(self, x: Any, y: Any) -> Any:
        return y + self.random.random() if y > 0.6 else y


class Running(Model):
    def more(self, x: Any, y: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x[0]
        return y - self.mean


class Remembering(Model):
    def more(self, x: Any, y: Any) -> Any:
        last = 0.0 if self.hidden is None else self.hidden
        self.hidden = y.data if isinstance(y, Value) else y
        return y + 0.1 * last


class Logging(Model):
    def more(self, x: Any, y: Any) -> Any:
        self.log.append(self.log[-1] + 1.0)
        return y * (1.0 + 1e-3 * len(self.log))


STATEFUL = [Drawing, DrawingPlainly, DrawingLate, Running, Remembering, Logging]


def trained(kind: Callable[[], nn.Module], path: str, **options: Any) -> tuple[Any, nn.Module]:
    model = kind()
    options = {"epochs": 5, "batch_size": 5, "loss": nn.MSELoss(), "progress": False} | options
    optimizer = nn.SGD(model.parameters(), lr=0.2)
    return nn.fit(model, X.copy(), Y, optimizer=optimizer, path=path, **options), model


def numbers(model: nn.Module) -> list[float]:
    return [p.data for p in model.parameters()]


@pytest.mark.parametrize("kind", STATEFUL, ids=lambda kind: kind.__name__)
def test_a_model_with_state_takes_the_scalar_path_and_says_why(kind: type[Model]) -> None:
    scalar, expected = trained(kind, "scalar")
    auto, model = trained(kind, "auto")
    assert auto.path == "scalar" and "test_state.py" in auto.reason
    assert auto.loss == pytest.approx(scalar.loss, rel=1e-13)
    assert numbers(model) == pytest.approx(numbers(expected), rel=1e-13)
    assert not isinstance(vars(model)["mean"], Value) or kind is Running
    with pytest.raises(TraceError, match=r"test_state\.py:\d+ in more"):
        trained(kind, "vectorised")


def test_in_the_midst_of_a_run_it_says_so_too(capsys: pytest.CaptureFixture[str]) -> None:
    trained(DrawingLate, "auto", progress=True)
    out = capsys.readouterr().out
    assert "vectorised path: " in out and "scalar path from here on: " in out


@pytest.mark.parametrize("error", [ImportError, TraceError])
@pytest.mark.parametrize("path", ["scalar", "auto"])
def test_what_a_model_raises_on_the_scalar_path_is_raised(
    path: Any, error: type[Exception]
) -> None:
    """There is no path left to fall back to, neither in `fit` nor in `minimize`."""
    w = Value(1.0)

    def late() -> Any:
        calls[0] += 1
        if calls[0] > 4:
            raise error("not today")
        return (w - 3.0) ** 2 * (1.0 + 0.1 * rng.random())

    class Late(Model):
        def more(self, x: Any, y: Any) -> Any:
            return y * late()

    calls, rng = [0], random.Random(0)
    with pytest.raises(error, match="not today"):
        trained(Late, path)
    calls, rng = [0], random.Random(0)
    with pytest.raises(error, match="not today"):
        nn.minimize(late, nn.SGD([w], lr=0.1), steps=9, path=path, progress=False)


@pytest.mark.parametrize("kind", [Drawing, Running, Remembering, Logging])
def test_predictions_and_losses_warn_why_they_are_slow(kind: type[Model]) -> None:
    expected = nn.predict(kind(), MANY, path="scalar")
    with pytest.warns(RuntimeWarning, match=r"on the scalar path.*test_state\.py"):
        found = nn.predict(kind(), MANY)
    assert found.tolist() == expected.tolist()
    y = np.zeros((120, 1))
    expected_loss = nn.evaluate(kind(), MANY, y, loss=nn.MSELoss(), path="scalar")
    with pytest.warns(RuntimeWarning, match="on the scalar path"):
        assert nn.evaluate(kind(), MANY, y, loss=nn.MSELoss()) == expected_loss


def test_few_rows_need_no_warning() -> None:
    assert nn.predict(Drawing(), MANY[:5]).shape == (5, 1)


def test_minimize_falls_back_too() -> None:
    def noisy() -> Any:
        return (w - 3.0) ** 2 * (1.0 + 0.1 * rng.random())

    runs = []
    for path in ("scalar", "auto"):
        w, rng = Value(1.0), random.Random(0)
        history = nn.minimize(noisy, nn.SGD([w], lr=0.1), steps=5, path=path, progress=False)
        runs.append([*history.loss, w.data])
        assert history.path == "scalar"
    assert runs[0] == runs[1] and "rng" in history.reason


# --- numbers that change ----------------------------------------------------------------------


class Tempered(Model):
    def more(self, x: Any, y: Any) -> Any:
        return y / TEMPERATURE


def test_a_prediction_reads_a_global_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tempered()
    first = nn.predict(model, MANY)
    monkeypatch.setitem(globals(), "TEMPERATURE", 4.0)
    assert nn.predict(model, MANY).tolist() == (first / 4.0).tolist()


@pytest.mark.parametrize("change", ["a global", "an attribute", "X", "a mode", "a part"])
def test_what_a_callback_changes_counts_on_both_paths(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for path in ("scalar", "vectorised"):
        monkeypatch.setitem(globals(), "TEMPERATURE", 1.0)
        model = Tempered()
        data = X.copy()

        def callback(epoch: int, history: Any, model: Any = model, data: Any = data) -> None:
            global TEMPERATURE
            if change == "a global":
                TEMPERATURE *= 1.5
            elif change == "an attribute":
                model.linear.in_features, model.scale = 2, model.scale * 1.5
            elif change == "X":
                data *= 1.25
            elif change == "a mode":
                model.train(epoch % 2 == 0)
            else:
                model.linear.weight[0] = [Value(p.data) for p in model.linear.weight[0]]

        loss, parameters = nn.MSELoss(), model.parameters()
        optimizer = nn.SGD(parameters, lr=0.1)
        options = {"epochs": 5, "batch_size": 5, "progress": False, "callbacks": [callback]}
        history = nn.fit(model, data, Y, loss=loss, optimizer=optimizer, path=path, **options)
        runs.append([*history.loss, *numbers(model)])
    assert runs[1] == pytest.approx(runs[0], rel=1e-10)


def test_a_loss_of_the_same_numbers_is_not_traced_anew() -> None:
    notes = Notes()

    class Noted(Model):
        def more(self, x: Any, y: Any) -> Any:
            notes.add()
            return y

    model = Noted()
    counts = []
    for weight in (1.0, 1.0, 2.0, 1.0):
        loss = nn.HuberLoss(delta=weight)
        before = len(notes)
        nn.fit(model, X, Y, loss=loss, optimizer=nn.SGD(model.parameters(), lr=0.0), epochs=1,
               path="vectorised", progress=False)  # fmt: skip
        counts.append(len(notes) - before)
    assert counts == [1, 0, 1, 0]


def test_a_kept_activation_does_no_harm() -> None:
    class Keeping(Model):
        def more(self, x: Any, y: Any) -> Any:
            self.hidden = engine.tanh(y)
            return self.hidden + y

    runs = [trained(Keeping, path) for path in ("scalar", "vectorised")]
    assert runs[1][0].loss == pytest.approx(runs[0][0].loss, rel=1e-12)
    model = runs[1][1]
    assert len(model.parameters()) == 3
    np.testing.assert_allclose(nn.predict(model, MANY), nn.predict(model, MANY, path="scalar"))


def test_copies_and_files_have_no_programs() -> None:
    import copy
    import pickle

    model = Tempered()
    nn.predict(model, MANY)
    for again in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again._programs == {} != model._programs
        assert nn.predict(again, MANY).tolist() == nn.predict(model, MANY).tolist()


# --- models as Hypothesis writes them ---------------------------------------------------------


def pieces() -> dict[str, Callable[[Any, Any, Any], Any]]:
    """What a model may do to its output, given itself, x and y."""

    def kept(m: Any, x: Any, y: Any) -> Any:
        m.kept = y * 2.0
        return m.kept - y

    def running(m: Any, x: Any, y: Any) -> Any:
        m.mean = 0.9 * m.mean + 0.1 * x[0]
        return y - m.mean

    def counting(m: Any, x: Any, y: Any) -> Any:
        m.calls += 1
        return y + 1e-3 * m.calls

    return {
        "scaled": lambda m, x, y: y * m.scale,
        "by mode": lambda m, x, y: y * 2.0 if m.training else y,
        "tempered": lambda m, x, y: y / TEMPERATURE,
        "a branch": lambda m, x, y: y if y > 0.1 else 0.5 * y,
        "by condition": lambda m, x, y: y * (1 + (x[0] > 0)),
        "a derivative": lambda m, x, y: y + engine.grad(lambda t: t**3 * y)(0.3),
        "engine's random": lambda m, x, y: y + 0.1 * engine.random(),
        "read": lambda m, x, y: y + round(getattr(x[0], "data", x[0]), 1),
        "kept": kept,
        "running": running,
        "counting": counting,
        "drawing": lambda m, x, y: y + 0.1 * m.random.random(),
        "drawing in training": lambda m, x, y: y + 0.1 * m.rng.normal() if m.training else y,
    }  # fmt: skip


PIECES = pieces()


class Written(Model):
    """A model made of some pieces."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.pieces = [PIECES[name] for name in names]

    def more(self, x: Any, y: Any) -> Any:
        for piece in self.pieces:
            y = piece(self, x, y)
        return y


CHANGES: dict[str, Callable[[Any, Any], object]] = {
    "nothing": lambda m, data: None,
    "scale": lambda m, data: setattr(m, "scale", m.scale * 1.1),
    "mode": lambda m, data: m.train(not m.training),
    "data": lambda m, data: np.multiply(data, 1.1, out=data),
    "temperature": lambda m, data: globals().update(TEMPERATURE=TEMPERATURE * 1.1),
    "parameter": lambda m, data: setattr(m.linear.bias[0], "data", 0.125),
    "order": lambda m, data: m.pieces.reverse(),
}


def both_paths_agree(names: list[str], change: str, seed: int) -> None:
    runs = []
    for path in ("scalar", "auto"):
        globals()["TEMPERATURE"] = 1.0
        model, data = Written(names), X.copy()
        history = nn.fit(
            model, data, Y, loss=nn.MSELoss(), optimizer=nn.SGD(model.parameters(), lr=0.05),
            epochs=3, batch_size=5, path=path, progress=False, seed=seed,
            callbacks=[lambda epoch, history, m=model, d=data: CHANGES[change](m, d)],
        )  # fmt: skip
        found = [*history.loss, *numbers(model)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            predicted = nn.predict(model, MANY, path=path)
        runs.append([*found, *predicted[:3].ravel()])
        if path == "auto":
            stateful = {"running", "counting", "drawing", "drawing in training"} & {*names}
            assert (history.path == "scalar") >= bool(stateful - {"drawing in training"})
    globals()["TEMPERATURE"] = 1.0
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-8, atol=1e-10)


WRITTEN = {
    "names": st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=3),
    "change": st.sampled_from(sorted(CHANGES)),
    "seed": st.integers(0, 3),
}
OPTIONS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=12, **OPTIONS)
@given(**WRITTEN)
def test_both_paths_agree_on_models_with_state(names: list[str], change: str, seed: int) -> None:
    both_paths_agree(names, change, seed)


@pytest.mark.slow
@settings(max_examples=300, **OPTIONS)
@given(**WRITTEN)
def test_both_paths_agree_on_many_models_with_state(
    names: list[str], change: str, seed: int
) -> None:
    both_paths_agree(names, change, seed)
