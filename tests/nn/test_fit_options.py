"""What `fit` offers around plain updates: weights, L2, clipping, loaders, metrics, ends."""

import math
import random
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import engine
import nn
from nn import metrics
from nn.compiled_model import has_output_program

PATHS = ["scalar", "vectorised"]
rng = np.random.default_rng(0)
X = rng.normal(size=(24, 2))
Y = (X[:, :1] * X[:, 1:] > 0).astype(float)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, 3, rng=random.Random(0)),
        nn.Tanh(),
        nn.Linear(3, 1, rng=random.Random(1)),
        nn.Sigmoid(),
    )


def trained(path: str, data: Any = (X, Y), **options: Any) -> tuple[nn.History, list[float]]:
    """The history of a run, and the numbers at its end."""
    model = network()
    optimizer = nn.SGD(model.parameters(), lr=0.5, momentum=0.9)
    options = {"loss": nn.MSELoss(), "epochs": 5, "batch_size": 8, "progress": False, **options}
    history = nn.fit(model, *data, optimizer=optimizer, path=path, **options)  # type: ignore[call-overload]
    return history, [p.data for p in model.parameters()]


def by_hand(batch_loss: Any, clip_norm: float | None = None) -> tuple[list[float], list[float]]:
    """The losses and the numbers of the same updates in a loop as PyTorch's users write it."""
    model = network()
    optimizer, losses = nn.SGD(model.parameters(), lr=0.5, momentum=0.9), []
    for _ in range(5):
        for first in range(0, 24, 8):
            loss = batch_loss(model, slice(first, first + 8))
            optimizer.zero_grad()
            loss.backward()
            if clip_norm is not None:
                nn.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            losses.append(loss.data)
    return losses, [p.data for p in model.parameters()]


def mse(model: nn.Module, rows: slice) -> Any:
    return nn.MSELoss()([model(x) for x in X[rows].tolist()], Y[rows])


def assert_same(
    run: tuple[nn.History, list[float]], other: tuple[list[float], list[float]]
) -> None:
    assert run[0].step_loss == pytest.approx(other[0], rel=1e-12)
    assert run[1] == pytest.approx(other[1], rel=1e-11)


@pytest.mark.parametrize("path", PATHS)
def test_l2_is_part_of_the_loss_and_leaves_biases_alone(path: str) -> None:
    def loss(model: nn.Module, rows: slice) -> Any:
        weights = [w for layer in (0, 2) for row in model[layer].weight for w in row]  # type: ignore[index]
        return mse(model, rows) + 0.05 / 2 * engine.sum([w * w for w in weights])

    assert_same(trained(path, l2=0.05), by_hand(loss))


@pytest.mark.parametrize("path", PATHS)
def test_l2_is_added_once_to_a_sum(path: str) -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False, rng=random.Random(0)))
    (w,) = np.array(model.state_dict()["0.weight"])
    optimizer = nn.SGD(model.parameters(), lr=0.0)
    options = {"loss": nn.MSELoss("sum"), "epochs": 1, "l2": 3.0, "progress": False}
    history = nn.fit(model, X, Y, optimizer=optimizer, path=path, **options)  # type: ignore[call-overload]
    expected = np.sum((X @ w - Y[:, 0]) ** 2) + 1.5 * np.sum(w * w)
    assert history.step_loss == pytest.approx([expected], rel=1e-13)


@pytest.mark.parametrize("path", PATHS)
def test_the_norm_is_clipped_with_the_penalty_in_it(path: str) -> None:
    assert_same(trained(path, clip_norm=0.01), by_hand(mse, clip_norm=0.01))
    free, clipped = trained(path, l2=0.5), trained(path, l2=0.5, clip_norm=1e9)
    assert clipped[1] == free[1]
    assert trained(path, l2=0.5, clip_norm=0.01)[1] != free[1]


@pytest.mark.parametrize("path", PATHS)
def test_an_example_of_weight_2_is_there_twice(path: str) -> None:
    weights = np.where(np.arange(24) % 3 == 0, 2.0, 1.0)
    rows = np.repeat(np.arange(24), weights.astype(int))
    for reduction in ("mean", "sum"):
        options: dict[str, Any] = {"loss": nn.MSELoss(reduction), "batch_size": None}
        options["clip_norm"] = 0.1  # so that sums make no large steps
        weighed = trained(path, sample_weight=weights, **options)
        twice = trained(path, (X[rows], Y[rows]), **options)
        assert weighed[0].step_loss == pytest.approx(twice[0].step_loss, rel=1e-12)
        assert weighed[1] == pytest.approx(twice[1], rel=1e-11)


@pytest.mark.parametrize("path", PATHS)
def test_classes_weigh_what_they_are_said_to(path: str) -> None:
    labels = Y[:, 0]
    given = trained(path, class_weight={1: 3.0}, sample_weight=np.full(24, 2.0))
    assert given[1] == trained(path, sample_weight=np.where(labels == 1, 6.0, 2.0))[1]
    balanced = trained(path, class_weight="balanced")
    ones = labels.sum()
    same = np.where(labels == 1, 24 / (2 * ones), 24 / (2 * (24 - ones)))
    assert balanced[1] == trained(path, sample_weight=same)[1]


@pytest.mark.parametrize("path", PATHS)
def test_weights_of_classes_and_of_examples_multiply(path: str) -> None:
    own, labels = 1.0 + np.arange(24) % 5, Y[:, 0]
    balanced = np.where(labels == 1, 12 / labels.sum(), 12 / (24 - labels.sum()))
    given: list[tuple[Any, np.ndarray]] = [
        ({0: 0.5, 1: 3.0}, np.where(labels == 1, 3.0, 0.5)),
        ({1: 3.0}, np.where(labels == 1, 3.0, 1.0)),
        ({0: 0.0}, np.where(labels == 1, 1.0, 0.0)),
        ("balanced", balanced),
    ]
    for class_weight, expected in given:
        both = trained(path, sample_weight=own, class_weight=class_weight)
        assert_same(both, (trained(path, sample_weight=own * expected)[0].step_loss, both[1]))
        product = trained(path, sample_weight=own * expected)[1]
        assert both[1] == product != trained(path, class_weight=class_weight)[1]


def test_classes_are_told_from_one_hot_rows_too() -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=random.Random(0)), nn.Sigmoid())
    both = np.hstack([1 - Y, Y])
    runs = []
    for weight in ({"class_weight": {1: 5.0}}, {"sample_weight": 1 + 4 * Y[:, 0]}):
        optimizer = nn.SGD(model.parameters(), lr=0.0)
        options = {"loss": nn.MSELoss(), "epochs": 1, "progress": False, **weight}
        runs.append(nn.fit(model, X, both, optimizer=optimizer, **options).loss)  # type: ignore[call-overload]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("path", PATHS)
def test_a_loader_stands_for_x_and_y(path: str) -> None:
    loader = nn.DataLoader(nn.TensorDataset(X, Y), batch_size=8)
    assert trained(path, (loader,), batch_size=None)[1] == trained(path)[1]


def test_a_loader_may_leave_examples_out_and_shuffle() -> None:
    data = nn.TensorDataset(X, Y)
    dropping = nn.DataLoader(data, batch_size=9, drop_last=True)
    history, _ = trained("auto", (dropping,), batch_size=None)
    assert (len(history.step_loss), len(history.loss)) == (10, 5)
    runs = []
    for generator in (None, None, random.Random(1), random.Random(1), random.Random(2)):
        loader = nn.DataLoader(data, batch_size=8, shuffle=True, generator=generator)
        runs.append(trained("auto", (loader,), batch_size=None)[1])
    assert runs[0] == runs[1] != runs[2] == runs[3] != runs[4]


@pytest.mark.parametrize("path", PATHS)
def test_groups_have_settings_of_their_own(path: str) -> None:
    def optimizer(model: nn.Sequential) -> nn.Optimizer:
        groups = [{"params": model[2].parameters(), "lr": 0.1}, {"params": model[0].parameters()}]
        return nn.Adam(groups, lr=0.02)

    model = network()
    nn.fit(
        model,
        *(X, Y),
        loss=nn.MSELoss(),
        optimizer=optimizer(model),
        epochs=4,
        path=path,
        progress=False,
    )
    other = network()
    stepping = optimizer(other)
    for _ in range(4):
        stepping.zero_grad()
        mse(other, slice(None)).backward()
        stepping.step()
    expected = [p.data for p in other.parameters()]
    assert [p.data for p in model.parameters()] == pytest.approx(expected, rel=1e-11)


# --- between epochs ---


def test_metrics_and_validation_are_noted_for_the_epochs_evaluated() -> None:
    options = {"metrics": [metrics.accuracy], "validation_data": (X[:6], Y[:6]), "epochs": 7}
    history, _ = trained("auto", evaluate_every=3, **options)
    assert history.evaluated == [3, 6, 7]
    assert list(map(len, (history.val_loss, history.loss))) == [3, 7]
    every, _ = trained("auto", **options)
    for name in ("accuracy", "val_accuracy"):
        assert history.metrics[name] == [every.metrics[name][k] for k in (2, 5, 6)]
    model = network()
    figures = nn.evaluate(model, X, Y, loss=nn.MSELoss(), metrics=[metrics.accuracy])
    right = metrics.accuracy(Y, nn.predict(model, X))
    assert figures == {"loss": nn.evaluate(model, X, Y, loss=nn.MSELoss()), "accuracy": right}


class Rising:
    """A metric that says one number after another."""

    def __init__(self, numbers: Iterator[float]) -> None:
        self.numbers, self.__name__ = numbers, "rising"

    def __call__(self, y: Any, predicted: Any) -> float:
        return next(self.numbers)


def test_what_is_looked_at_often_is_compiled_though_there_are_few_rows() -> None:
    for epochs, compiled in ((2, False), (40, True)):
        model = network()
        options: dict[str, Any] = {"loss": nn.MSELoss(), "epochs": epochs, "progress": False}
        options |= {"optimizer": nn.SGD(model.parameters()), "metrics": [metrics.accuracy]}
        nn.fit(model, X, Y, **options)
        assert has_output_program(model, ("",)) == compiled


@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping_keeps_the_best_weights(restore: bool) -> None:
    numbers = [0.1, float("nan"), 0.5, 0.55, 0.4, 0.55, 0.9]
    stopping = nn.EarlyStopping(3, "rising", "max", min_delta=0.1, restore_best=restore)
    rising = Rising(iter(numbers))
    history, weights = trained("auto", early_stopping=stopping, metrics=[rising], epochs=9)
    assert history.metrics["rising"] == pytest.approx(numbers[:6], nan_ok=True)
    assert (history.best_epoch, history.stopped) == (3, "rising has not improved since epoch 3")
    assert weights == trained("auto", epochs=3 if restore else 6)[1]


def test_without_patience_the_best_is_kept_to_the_end() -> None:
    numbers = iter([5.0, 1.0, 2.0, 3.0])
    stopping = nn.EarlyStopping(monitor="rising")
    history, weights = trained("auto", early_stopping=stopping, metrics=[Rising(numbers)], epochs=4)
    assert (history.best_epoch, history.stopped, len(history.loss)) == (2, "", 4)
    assert weights == trained("auto", epochs=2)[1]


@pytest.fixture
def _python_handles_ctrl_c() -> Iterator[None]:
    """As usual; a shell that runs tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_python_handles_ctrl_c")
@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_ctrl_c_gives_back_the_history_so_far(path: str, best: bool) -> None:
    def interrupt(epoch: int, history: nn.History) -> None:
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)

    options: dict[str, Any] = {"callbacks": [interrupt], "epochs": 9}
    if best:
        options["metrics"] = [Rising(iter([1.0, 3.0, 2.0]))]
        options["early_stopping"] = nn.EarlyStopping(monitor="rising", mode="max")
    history, weights = trained(path, **options)
    assert (len(history.loss), history.stopped) == (3, "Ctrl-C in epoch 4 of 9")
    assert weights == trained(path, epochs=2 if best else 3)[1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("_python_handles_ctrl_c")
def test_ctrl_c_in_the_middle_of_a_batch_leaves_that_update_out() -> None:
    class Interrupting(nn.Identity):
        calls = 0

        def forward(self, x: Any) -> Any:
            Interrupting.calls += 1
            if Interrupting.calls == 1 + 8 * 4 + 3:  # the first call looks at shapes
                signal.raise_signal(signal.SIGINT)
            return x

    model = network()
    layers = nn.Sequential(Interrupting(), *model.children())
    optimizer = nn.SGD(model.parameters(), lr=0.5, momentum=0.9)
    options = {"loss": nn.MSELoss(), "batch_size": 8, "progress": False, "path": "scalar"}
    history = nn.fit(layers, X, Y, optimizer=optimizer, epochs=5, **options)  # type: ignore[call-overload]
    losses, _ = by_hand(mse)
    assert history.step_loss == pytest.approx(losses[:4], rel=1e-12)
    assert len(history.loss) == 1


# --- what is refused ---

LOADER = nn.DataLoader(nn.TensorDataset(X, Y), batch_size=8)
LOADER_OF_3 = nn.DataLoader(nn.TensorDataset(X, Y, Y), batch_size=8)


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        ((X,), {}, TypeError, "y is missing"),
        ((LOADER, Y), {"batch_size": None}, TypeError, "without y"),
        ((LOADER,), {}, ValueError, "has its own batch_size"),
        ((LOADER_OF_3,), {"batch_size": None}, TypeError, "inputs of X, 2: too many positional"),
        ((X, Y), {"sample_weight": [1.0]}, ValueError, r"shape \(1,\); for 24 examples"),
        ((X, Y), {"sample_weight": np.zeros(24)}, ValueError, "not all 0"),
        ((X, Y), {"sample_weight": np.full(24, -1.0)}, ValueError, "row 0 is -1.0"),
        ((X, Y), {"sample_weight": [np.nan] * 24}, ValueError, "sample_weight has nan in row 0"),
        ((X, Y), {"sample_weight": np.ones((24, 1))}, ValueError, r"shape \(24, 1\); for 24"),
        ((X, Y), {"class_weight": {1: np.nan}}, ValueError, r"finite, .* row \d+ is nan"),
        ((X, Y), {"class_weight": {1: np.inf}}, ValueError, r"finite, .* row \d+ is inf"),
        ((X, Y), {"class_weight": {1: -2.0}}, ValueError, r"at least 0, .* row \d+ is -2.0"),
        ((X, Y), {"class_weight": {0: 0.0, 1: 0.0}}, ValueError, "not all 0"),
        ((X + 0j, Y), {}, TypeError, "X must be numbers, one row an example: complex"),
        ((iter(X), Y), {}, TypeError, "X must be numbers, one row an example"),
        ((np.full((24, 2, 3), np.inf), Y), {}, ValueError, "inf in row 0, position 0, column 0"),
        ((X, Y), {"shuffle": "no"}, TypeError, "shuffle is True or False, not 'no'"),
        ((X, Y), {"seed": "a"}, ValueError, "seed is a whole number of at least 0, not 'a'"),
        ((X, Y), {"seed": -1}, ValueError, "seed is a whole number of at least 0, not -1"),
        ((X, Y), {"validation_data": X}, TypeError, "a pair of X and y"),
        ((X, Y), {"validation_data": (X, Y, Y)}, TypeError, "a pair of X and y"),
        ((X, Y), {"class_weight": {2: 1.0}}, ValueError, r"names \[2\]; the classes in y are"),
        ((X, Y), {"class_weight": "equal"}, TypeError, "balanced"),
        ((X, Y), {"l2": -1.0}, ValueError, "l2 is a number of at least 0, not -1.0"),
        ((X, Y), {"clip_norm": 0.0}, ValueError, "clip_norm is a number above 0"),
        ((X, Y), {"metrics": metrics.accuracy}, TypeError, "a list of functions"),
        ((X, Y), {"metrics": [metrics.accuracy] * 2}, ValueError, "accuracy"),
        ((X, Y), {"early_stopping": 3}, TypeError, r"nn\.EarlyStopping\(patience="),
        ((X, Y), {"early_stopping": nn.EarlyStopping(3)}, ValueError, "validation_data for val_lo"),
        ((X, Y), {"evaluate_every": 0}, ValueError, "evaluate_every is a whole number"),
    ],
)
def test_what_makes_no_sense_is_named(
    data: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trained("auto", data, **options)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    plain = trained("auto", seed=3, shuffle=True)
    numpy = {"seed": np.int64(3), "shuffle": np.bool(True), "batch_size": np.int32(8)}
    assert trained("auto", epochs=np.int64(5), **numpy)[1] == plain[1]


def test_settings_of_early_stopping_are_checked() -> None:
    for settings in ({"mode": "least"}, {"patience": 0}, {"min_delta": -1.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            nn.EarlyStopping(**settings)  # type: ignore[arg-type]


def test_a_history_draws_itself() -> None:
    history, _ = trained("auto", validation_data=(X, Y), evaluate_every=2)
    training, held_out = history.plot().lines
    assert list(training.get_xdata()) == [1, 2, 3, 4, 5]
    assert list(held_out.get_xdata()) == [2, 4, 5]


def test_a_plot_grows_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bytes] = []
    places: list[Any] = []

    class Handle:
        def update(self, picture: dict[str, Any], raw: bool) -> None:
            shown.append(picture["image/png"])

    def display(picture: dict[str, Any], raw: bool, display_id: bool) -> Handle:
        shown.append(picture["image/png"])
        places.append(Handle())
        return places[-1]

    monkeypatch.setattr(nn.live, "_display", lambda: display)
    plot = nn.LivePlot(seconds=0.0)
    trained("auto", callbacks=[plot], epochs=3)
    assert len(shown) == 4  # after every epoch, and at the end
    assert len(set(shown)) == 3 and all(png.startswith(b"\x89PNG") for png in shown)
    trained("auto", callbacks=[plot], epochs=1)
    assert len(places) == 2  # another training has a plot of its own


def test_a_film_alone_shows_nothing_while_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.live, "_display", lambda: pytest.fail)
    film = nn.LivePlot(seconds=math.inf, keep=2)
    trained("auto", callbacks=[film], epochs=3)
    assert list(film.frames) == [1, 3]
