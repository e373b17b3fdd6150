"""The two paths of training: the same numbers from the same model, whatever it is made of."""

import gc
import random
import weakref
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import TraceError, Value
from nn import vectorised_path
from nn.data import unit_circle
from nn.programs.unit_circle import make_model
from notes import Notes

X, Y = unit_circle(60, 1)


class Branching(nn.Module):
    """Different weights on either side of a line that moves while it learns."""

    def __init__(self) -> None:
        self.w, self.edge = [Value(0.5), Value(-0.5)], Value(0.1)

    def forward(self, x):
        if x[0] + x[1] > self.edge:
            return [self.w[0] * x[0] + self.edge]
        return [self.w[1] * x[1] - self.edge]


class Noisy(nn.Module):
    """Drops inputs at random while training."""

    def __init__(self) -> None:
        self.linear = nn.Linear(2, 1, rng=random.Random(3))

    def forward(self, x):
        if self.training:
            x = [engine.where(engine.random() < 0.5, 0.0, 2.0 * part) for part in x]
        return self.linear(x)


class Custom(nn.Module):
    """Uses an operation that only Python can compute."""

    def __init__(self) -> None:
        self.w = Value(0.5)

    def forward(self, x):
        cube = engine.custom_op("cube", lambda x: x**3, [lambda x, out: 3 * x * x])
        return [cube(self.w) * x[0]]


MODELS = {
    "unit circle": lambda: make_model(random.Random(0)),
    "micrograd's": lambda: nn.Sequential(nn.MLP(2, [3, 1], rng=random.Random(0)), Listed()),
    "branching": Branching,
    "noisy": Noisy,
}
BATCHES = {"full": {}, "shuffled": {"batch_size": 7, "shuffle": True, "seed": 6}}


class Listed(nn.Module):
    """The one number of an MLP as a list."""

    def forward(self, x):
        return [x]


def train(model: nn.Module, path: str, **options):
    optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9)
    options = {"epochs": 20, "loss": nn.MSELoss(), "progress": False, **options}
    return nn.fit(model, X, Y, optimizer=optimizer, path=path, **options)


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("name", MODELS)
def test_both_paths_take_the_same_steps(name: str, batches: str) -> None:
    runs = []
    for path in ("scalar", "vectorised"):
        model = MODELS[name]()
        history = train(model, path, **BATCHES[batches])
        assert history.path == path
        runs.append([*history.step_loss, *[p.data for p in model.parameters()]])
    # Rounding errors grow from step to step where the loss falls to a millionth.
    assert runs[1][:30] == pytest.approx(runs[0][:30], rel=1e-9)
    assert runs[1] == pytest.approx(runs[0], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("batches", BATCHES)
def test_many_inputs_take_the_same_steps(batches: str) -> None:
    """They are read where the examples lie, in machine code, and copied by Numba."""
    rng = np.random.default_rng(0)
    wide, classes, runs = rng.normal(size=(37, 70)), rng.integers(0, 3, 37), []
    ways: list[dict[str, Any]] = [{"path": "scalar"}, {}, {"native": False}]
    for way in ways:
        source = random.Random(0)
        layers = nn.Linear(70, 5, rng=source), nn.ReLU(), nn.Linear(5, 3, rng=source)
        model = nn.Sequential(*layers)
        given: dict[str, Any] = {"epochs": 3, "loss": nn.CrossEntropyLoss(), "progress": False}
        optimizer = nn.Adam(model.parameters(), lr=0.01)
        options = given | BATCHES[batches] | way
        history = nn.fit(model, wide, classes, optimizer=optimizer, **options)
        runs.append([*history.step_loss, *[p.data for p in model.parameters()]])
    for run in runs[1:]:
        assert run == pytest.approx(runs[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_and_losses_agree(name: str) -> None:
    model = MODELS[name]()
    predicted = [nn.predict(model, X, path=path) for path in ("scalar", "vectorised")]
    assert predicted[0].shape == predicted[1].shape == (60, 1)
    np.testing.assert_allclose(predicted[1], predicted[0], rtol=1e-12)
    for loss in (nn.MSELoss(), nn.MSELoss("sum")):
        losses = [nn.evaluate(model, X, Y, loss=loss, path=p) for p in ("scalar", "vectorised")]
        assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def test_outputs_that_are_one_number_or_several() -> None:
    for model, shape in ((nn.MLP(2, [1]), (60,)), (nn.MLP(2, [4, 3]), (60, 3))):
        assert nn.predict(model, X, path="vectorised").shape == shape
        scalar = nn.predict(model, X, path="scalar")
        np.testing.assert_allclose(nn.predict(model, X, path="vectorised"), scalar, rtol=1e-12)


def test_auto_compiles_where_it_can_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    history = train(make_model(random.Random(0)), "auto", epochs=1, progress=True)
    assert (history.path, history.reason) == ("vectorised", "the model and the loss compile")
    assert "vectorised path: the model and the loss compile" in capsys.readouterr().out


def test_auto_takes_the_scalar_path_where_it_must_and_says_why() -> None:
    history = train(Custom(), "auto", epochs=2)
    assert history.path == "scalar" and "custom operation 'cube'" in history.reason
    with pytest.warns(RuntimeWarning, match="on the scalar path: .*custom operation 'cube'"):
        assert nn.predict(Custom(), np.ones((200, 2))).shape == (200, 1)


def test_asked_for_and_impossible_is_an_error_that_changes_nothing() -> None:
    model = Custom()
    with pytest.raises(TraceError, match=r"'cube' can't be compiled, at .*test_paths"):
        train(model, "vectorised")
    assert model.w.data == 0.5


def test_fitting_again_traces_nothing_until_the_model_changes() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            self.w, self.slope = Value(0.5), 2.0

        def forward(self, x):
            traced.add(self.training)
            return [self.w * self.slope * x[0]]

    traced = Notes()
    model = Counting()
    train(model, "vectorised")
    first = traced.lines.count("True")
    train(model, "vectorised")
    # only the check of the shapes calls the model, on plain Values
    assert traced.lines.count("True") - first < first
    before = model.w.data
    model.slope = 3.0
    assert nn.predict(model, [[1.0, 0.0]], path="vectorised")[0, 0] == pytest.approx(3 * before)


class Scaled(nn.Module):
    """Has settings of several kinds besides its parameter."""

    def __init__(self) -> None:
        self.w, self.scales, self.bend = Value(1.0), np.array([1.0]), lambda v: v

    def forward(self, x):
        return [self.bend(self.w * float(self.scales[0]) * x[0])]


def test_settings_that_are_changed_in_place_count() -> None:
    model = Scaled()
    for k in range(4):
        model.scales[0] = k
        assert nn.predict(model, np.ones((100, 1)))[0, 0] == k
    model.scales[0] = 1.0
    for k in range(4):
        model.bend = None  # so that the next function may get the place of the last one
        model.bend = lambda v, k=k: v * k
        assert nn.predict(model, np.ones((100, 1)))[0, 0] == k


def test_a_loss_that_is_changed_does_not_change_another() -> None:
    class Power(nn.Loss):
        def __init__(self, k: float) -> None:
            super().__init__("sum")
            self.k = k

        def term(self, y, t):
            return self.k * (y - t)

    model, one, other = Scaled(), Power(1.0), Power(1.0)
    rows, targets = np.ones((100, 1)), np.zeros((100, 1))
    before = nn.evaluate(model, rows, targets, loss=one)
    one.k = 100.0
    model.scales[0] = 2.0
    assert nn.evaluate(model, rows, targets, loss=other) == pytest.approx(2.0 * before)
    assert nn.evaluate(model, rows, targets, loss=one) == pytest.approx(200.0 * before)


class Reading(nn.Module):
    """Reads its input's number, so that every number is a path of its own."""

    def __init__(self) -> None:
        self.w = Value(0.5)

    def forward(self, x):
        return [self.w * (x[0].data if isinstance(x[0], Value) else x[0])]


@pytest.mark.filterwarnings("ignore:this compiled function takes more than")
def test_examples_beyond_the_last_path_learn_too() -> None:
    rows = np.linspace(0.1, 1.0, 80)[:, None]
    runs = []
    for path in ("scalar", "vectorised"):
        model = Reading()
        optimizer = nn.SGD(model.parameters(), lr=0.5)
        options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False, "path": path}
        runs.append(nn.fit(model, rows, 3.0 * rows, epochs=4, **options).step_loss)
    assert runs[1] == pytest.approx(runs[0], rel=1e-12)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_where_a_domain_ends_is_said_on_either_path(path: str) -> None:
    class Logarithm(nn.Module):
        def __init__(self) -> None:
            self.w = Value(1.0)

        def forward(self, x):
            return [self.w.log() * x[0]]

    model = Logarithm()
    optimizer = nn.SGD(model.parameters(), lr=100.0)
    options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False, "path": path}
    with engine.errstate("raise"), pytest.raises(engine.DomainError, match="log"):
        nn.fit(model, np.ones((3, 1)), -np.ones((3, 1)), epochs=3, **options)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_what_a_callback_changes_in_the_model_counts(path: str) -> None:
    losses = []

    def halve(epoch: int, history: nn.History) -> None:
        model.scales[0] *= 0.5

    model = Scaled()
    optimizer = nn.SGD(model.parameters(), lr=0.0)
    options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False, "path": path}
    history = nn.fit(
        model, np.ones((5, 1)), np.zeros((5, 1)), epochs=3, callbacks=[halve], **options
    )
    losses = history.loss
    assert losses == pytest.approx([1.0, 0.25, 0.0625])


def test_predictions_draw_the_same_on_both_paths() -> None:
    class Drawing(nn.Module):
        def forward(self, x):
            return (x[0] * engine.random(), engine.random() + x[1])

    predicted = [nn.predict(Drawing(), X, path=path) for path in ("scalar", "vectorised")]
    assert predicted[0].shape == (60, 2)
    np.testing.assert_allclose(predicted[1], predicted[0], rtol=1e-14)


def test_a_program_goes_with_its_model() -> None:
    model = make_model(random.Random(0))
    train(model, "vectorised", epochs=1)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_single_precision() -> None:
    runs = [
        train(make_model(random.Random(0)), "vectorised", dtype=dtype).step_loss
        for dtype in (np.float64, np.float32)
    ]
    assert runs[1] != runs[0] and runs[1] == pytest.approx(runs[0], rel=1e-4)
    with pytest.raises(ValueError, match="the scalar path computes in float64"):
        train(make_model(random.Random(0)), "scalar", dtype=np.float32)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_only_the_optimisers_parameters_move(path: str) -> None:
    model = make_model(random.Random(0))
    frozen = [p.data for p in model[0].parameters()]
    optimizer = nn.SGD(model[4].parameters(), lr=0.1)
    nn.fit(model, X, Y, loss=nn.MSELoss(), optimizer=optimizer, epochs=2, path=path, progress=False)
    assert [p.data for p in model[0].parameters()] == frozen


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_callbacks_see_and_may_change_the_parameters(path: str) -> None:
    model = make_model(random.Random(0))
    seen = []

    def reset(epoch: int, history: nn.History) -> None:
        seen.append(model[0].weight[0][0].data)
        model[0].weight[0][0].data = 0.25

    train(model, path, epochs=3, callbacks=[reset])
    assert len(set(seen)) == 3
    assert model[0].weight[0][0].data == 0.25


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_what_was_learnt_is_kept_when_a_callback_fails(path: str) -> None:
    model = make_model(random.Random(0))
    before = model[0].weight[0][0].data

    def fail(epoch: int, history: nn.History) -> None:
        if epoch == 1:
            raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        train(model, path, callbacks=[fail])
    assert model[0].weight[0][0].data != before


@pytest.mark.parametrize("batches", BATCHES)
def test_many_updates_in_one_call_are_those_of_single_calls(
    batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for seconds in (0.2, 0.0):  # at 0 every call is one update
        monkeypatch.setattr(nn.updates, "_CALL_SECONDS", seconds)
        model = make_model(random.Random(0))
        history = train(model, "vectorised", **BATCHES[batches])
        runs.append([*history.step_loss, *[p.data for p in model.parameters()]])
    assert runs[0] == runs[1]


def test_the_optimisers_state_goes_on_in_a_later_fit() -> None:
    runs = []
    for parts in ([4], [1, 3], [2, 2]):
        model = make_model(random.Random(0))
        optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        for path, epochs in zip(("vectorised", "scalar"), parts, strict=False):
            options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
            nn.fit(model, X, Y, epochs=epochs, path=path, **options)
        runs.append([p.data for p in model.parameters()])
    assert runs[1] == pytest.approx(runs[0], rel=1e-12)
    assert runs[2] == pytest.approx(runs[0], rel=1e-12)


def test_comparing_the_paths() -> None:
    comparison = nn.compare_paths(make_model(random.Random(0)), X, Y, loss=nn.MSELoss())
    assert comparison.largest_difference <= 1e-12 * comparison.largest_gradient
    assert comparison.ratio == comparison.scalar_seconds / comparison.vectorised_seconds
    assert "times as fast" in str(comparison)


def test_parameters_that_the_optimiser_leaves_alone_are_read_beside_those_it_moves() -> None:
    losses = []
    for path in ("scalar", "vectorised"):
        model = Branching()
        optimizer = nn.SGD(model.w, lr=0.1)
        options = {"loss": nn.MSELoss(), "optimizer": optimizer, "batch_size": 7, "path": path}
        losses.append(nn.fit(model, X, Y, epochs=4, progress=False, **options).step_loss)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)


def test_arms_not_taken_that_would_be_nan_leave_training_in_one_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Roots(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Linear(3, 4, rng=random.Random(1))
            self.outer = nn.Linear(4, 1, rng=random.Random(2))

        def forward(self, x: list[Any]) -> Any:
            roots = [engine.where(v > 0, engine.sqrt(v), 0.0) for v in self.inner(x)]
            return self.outer(roots)

    single: list[Any] = []
    run = vectorised_path.VectorisedPath.__call__

    def noted(self: vectorised_path.VectorisedPath, *args: Any) -> Any:
        single.append(args)
        return run(self, *args)

    monkeypatch.setattr(vectorised_path.VectorisedPath, "__call__", noted)
    X = np.random.default_rng(0).normal(size=(64, 3))
    losses = []
    for path in ("scalar", "vectorised"):
        model = Roots()
        optimizer = nn.SGD(model.parameters(), lr=0.01)
        options = {"loss": nn.MSELoss(), "optimizer": optimizer, "batch_size": 8, "path": path}
        losses.append(nn.fit(model, X, X[:, :1], epochs=10, progress=False, **options).step_loss)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
    assert len(single) < 5  # of 80 updates
