"""The two paths of training: the same numbers from the same model, whatever it is made of."""

import gc
import random
import weakref

import numpy as np
import pytest

import engine
import nn
from engine import TraceError, Value
from nn.data import unit_circle
from nn.programs.unit_circle import make_model

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
BATCHES = {"full": {}, "shuffled": {"batch_size": 7, "shuffle": True, "seed": 5}}


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
    assert runs[1] == pytest.approx(runs[0], rel=1e-9)


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
            traced.append(self.training)
            return [self.w * self.slope * x[0]]

    traced: list[bool] = []
    model = Counting()
    train(model, "vectorised")
    first = traced.count(True)
    train(model, "vectorised")
    # only the check of the shapes calls the model, on plain Values
    assert traced.count(True) - first < first
    before = model.w.data
    model.slope = 3.0
    assert nn.predict(model, [[1.0, 0.0]], path="vectorised")[0, 0] == pytest.approx(3 * before)


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
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, path, callbacks=[fail])
    assert model[0].weight[0][0].data != before


@pytest.mark.parametrize("batches", BATCHES)
def test_many_updates_in_one_call_are_those_of_single_calls(
    batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for seconds in (0.2, 0.0):  # at 0 every call is one update
        monkeypatch.setattr(nn.train, "_CALL_SECONDS", seconds)
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
