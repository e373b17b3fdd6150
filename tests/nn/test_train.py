"""fit, predict, evaluate: what a run does, and what it refuses before it has changed anything."""

import random
import sys

import numpy as np
import pytest

import engine
import nn
from engine import Value


def line() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 1, rng=random.Random(0)))


X, Y = np.linspace(-1.0, 1.0, 8)[:, None], 3.0 * np.linspace(-1.0, 1.0, 8)[:, None] + 1.0


def fit(model: nn.Module, X=X, y=Y, *, lr: float = 0.3, **options):
    optimizer = nn.SGD(model.parameters(), lr=lr)
    options = {"epochs": 40, "progress": False, "loss": nn.MSELoss(), **options}
    return nn.fit(model, X, y, optimizer=optimizer, **options)


def test_a_line_is_found() -> None:
    model = line()
    history = fit(model)
    weight, bias = (p.data for p in model.parameters())
    assert (weight, bias) == (pytest.approx(3.0, abs=0.01), pytest.approx(1.0, abs=0.01))
    assert len(history.loss) == len(history.step_loss) == 40 and history.path == "vectorised"
    assert history.loss[-1] < 1e-4 < history.loss[0]


def test_a_step_is_the_one_of_numpy() -> None:
    model = line()
    w, b = (p.data for p in model.parameters())
    history = fit(model, epochs=1)
    error = w * X + b - Y
    assert history.loss == [pytest.approx(np.mean(error**2), rel=1e-14)]
    moved = [w - 0.3 * np.mean(2 * error * X), b - 0.3 * np.mean(2 * error)]
    assert [p.data for p in model.parameters()] == pytest.approx(moved, rel=1e-14)


def test_the_mean_is_over_all_numbers_of_a_batch() -> None:
    model = nn.Sequential(nn.Linear(1, 2, rng=random.Random(0)))
    W, b = (np.array(array) for array in model.state_dict().values())
    targets = np.hstack([Y, -X])
    fit(model, X, targets, epochs=1)
    error = X @ W.T + b - targets
    moved = model.state_dict()
    assert moved["0.weight"] == pytest.approx(W - 0.3 * 2 * error.T @ X / 16, rel=1e-13)
    assert moved["0.bias"] == pytest.approx(b - 0.3 * 2 * error.sum(axis=0) / 16, rel=1e-13)


def test_shuffling_draws_a_new_order_every_epoch() -> None:
    losses = fit(line(), batch_size=2, epochs=3, shuffle=True, lr=0.0).step_loss
    first, second, third = losses[:4], losses[4:8], losses[8:]
    assert sum(first) == pytest.approx(sum(second)) == pytest.approx(sum(third))
    assert first != second != third != first


def test_batches_are_taken_in_order_and_the_last_may_be_smaller() -> None:
    history = fit(line(), batch_size=3, epochs=2, lr=0.0)
    assert len(history.step_loss) == 6
    one = history.step_loss[:3]
    assert history.loss[0] == pytest.approx((3 * one[0] + 3 * one[1] + 2 * one[2]) / 8, rel=1e-14)


def test_a_sum_loss_is_told_per_example() -> None:
    mean = fit(line(), epochs=1, lr=0.0)
    total = fit(line(), epochs=1, lr=0.0, loss=nn.MSELoss("sum"))
    assert total.step_loss[0] == pytest.approx(8 * mean.step_loss[0])
    assert total.loss[0] == pytest.approx(mean.loss[0])


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    runs = [
        fit(line(), batch_size=3, epochs=3, shuffle=True, seed=seed).step_loss for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_zero_epochs_change_nothing() -> None:
    model = line()
    before = model.state_dict()
    assert fit(model, epochs=0).loss == []
    assert model.state_dict()["0.weight"] == before["0.weight"]


def test_validation_and_callbacks_see_every_epoch() -> None:
    seen = []
    history = fit(
        line(),
        epochs=3,
        validation_data=(X[:2], Y[:2]),
        callbacks=[lambda epoch, history: seen.append((epoch, len(history.val_loss)))],
    )
    assert seen == [(0, 1), (1, 2), (2, 3)] and history.val_loss[-1] < history.val_loss[0]


def test_predict_gives_one_row_an_example() -> None:
    assert nn.predict(line(), X).shape == (8, 1)
    assert nn.predict(nn.MLP(1, [1]), X).shape == (8,)
    assert nn.predict(nn.MLP(1, [4, 3]), X.tolist()).shape == (8, 3)


def test_predicting_and_evaluating_leave_the_mode() -> None:
    class Mode(nn.Module):
        def __init__(self) -> None:
            self.w, self.seen = Value(1.0), []

        def forward(self, x):
            self.seen.append(self.training)
            return [self.w * x[0]]

    model = Mode()
    nn.predict(model, X[:2])
    nn.evaluate(model, X[:2], Y[:2], loss=nn.MSELoss())
    assert not any(model.seen) and len(model.seen) >= 4 and model.training
    nn.predict(model.eval(), X[:2])
    assert not model.training


def test_evaluate_is_the_mean_or_the_sum() -> None:
    model = line()
    errors = (nn.predict(model, X) - Y) ** 2
    assert nn.evaluate(model, X, Y, loss=nn.MSELoss()) == pytest.approx(errors.mean())
    assert nn.evaluate(model, X, Y, loss=nn.MSELoss("sum")) == pytest.approx(errors.sum())


def nan_at(array: np.ndarray, row: int) -> np.ndarray:
    spoilt = array.copy()
    spoilt[row, 0] = np.nan
    return spoilt


@pytest.mark.parametrize(
    ("X", "y", "options", "error", "message"),
    [
        (nan_at(X, 3), Y, {}, ValueError, "X has nan in row 3, column 0"),
        (X, nan_at(Y, 5), {}, ValueError, "y has nan in row 5, column 0"),
        ([[1.0], [2.0, 3.0]], Y[:2], {}, ValueError, "row 0 has 1 numbers, row 1 has 2"),
        (X, Y[:3], {}, ValueError, "X has 8 rows and y has 3"),
        (X[:0], Y[:0], {}, ValueError, "no examples"),
        ([["a"]], Y[:1], {}, TypeError, "X must be numbers"),
        (1.0, Y, {}, ValueError, "X is one number"),
        (np.zeros((8, 2)), Y, {}, ValueError, "takes 1 inputs, but was given 2"),
        (X, Y[:, 0], {}, ValueError, "the output has 1 number here, the target one number"),
        (X, np.zeros((8, 2)), {}, ValueError, "the output has 1 number here, the target 2"),
        (X, Y, {"epochs": -1}, ValueError, "epochs is a whole number of at least 0, not -1"),
        (X, Y, {"batch_size": 0}, ValueError, "batch_size is a whole number of at least 1, not 0"),
        (X, Y, {"dtype": "int32"}, ValueError, "float64 or float32, not int32"),
        (X, Y, {"path": "fast"}, ValueError, "'fast'"),
        (X, Y, {"epochs": "3"}, ValueError, "epochs is a whole number of at least 0, not '3'"),
        (X, Y[:, 0], {}, ValueError, r"use y\.reshape\(-1, 1\)"),
        (X, Y, {"loss": nn.MSELoss}, TypeError, r"an instance such as nn\.MSELoss\(\)"),
        (X, Y, {"loss": nn.MSELoss("none")}, ValueError, 'use "mean" or "sum"'),
        (X, Y, {"validation_data": (nan_at(X, 1), Y)}, ValueError, "the validation X has nan"),
        (X, Y, {"validation_data": (X, Y[:2])}, ValueError, "the validation y has 2"),
    ],
)
def test_bad_input_is_named_and_nothing_is_lost(X, y, options, error, message: str) -> None:
    model = line()
    before = [p.data for p in model.parameters()]
    with pytest.raises(error, match=message):
        fit(model, X, y, **options)
    assert [p.data for p in model.parameters()] == before


def test_an_optimiser_of_another_model_is_noticed() -> None:
    optimizer = nn.SGD(line().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="moves none of the model's parameters"):
        nn.fit(line(), X, Y, loss=nn.MSELoss(), optimizer=optimizer, epochs=1)
    with pytest.raises(TypeError, match=r"such as nn\.SGD\(model\.parameters\(\)"):
        nn.fit(line(), X, Y, loss=nn.MSELoss(), optimizer="sgd", epochs=1)


def test_training_records_inside_of_no_grad() -> None:
    with engine.no_grad():
        history = fit(line(), epochs=2)
    assert history.loss[1] < history.loss[0]


def test_examples_that_need_no_parameter_count_in_the_loss() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            self.w = Value(1.0)

        def forward(self, x):
            return [self.w * x[0]] if x[0] > 0 else [2.0]

    history = fit(Sometimes(), [[1.0], [-1.0]], [[1.0], [0.0]], epochs=1, lr=0.0)
    assert history.loss == [2.0]


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_what_was_learnt_is_kept_when_an_epoch_is_interrupted(path: str) -> None:
    def rate(update: int) -> float:
        if update == 5:
            raise KeyboardInterrupt
        return 1.0

    model = line()
    before = [p.data for p in model.parameters()]
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    scheduler = nn.LambdaLR(optimizer, rate, interval="step")
    options = {"loss": nn.MSELoss(), "optimizer": optimizer, "scheduler": scheduler, "path": path}
    history = nn.fit(model, X, Y, epochs=1, batch_size=1, progress=False, **options)
    assert history.stopped == "Ctrl-C in epoch 1 of 1"
    assert [p.data for p in model.parameters()] != before


def test_the_loss_is_shown_while_an_epoch_is_under_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(nn.progress, "_LINES_EVERY", 0.0)
    rows = np.tile(X, (25, 1))
    fit(line(), rows, 3.0 * rows, epochs=1, batch_size=1, path="scalar", progress=True)
    first_line = capsys.readouterr().out.splitlines()[0]
    assert first_line.startswith(" 50 %  loss ")


def test_a_long_run_on_the_scalar_path_is_announced_early(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nn.progress, "_ENOUGH", 0.0)
    monkeypatch.setattr(nn.progress, "_A_WHILE", 1e-9)
    fit(line(), epochs=1, path="scalar", progress=True)
    announced = "the scalar path will take about 0.0 minutes for this; fewer examples or epochs"
    assert capsys.readouterr().out.count(announced) == 1
    fit(line(), epochs=1, path="vectorised", progress=True)
    assert "minutes" not in capsys.readouterr().out


def test_what_was_before_the_first_example_is_not_in_the_estimate() -> None:
    pytest.importorskip("tqdm")
    bar = nn.progress.Bar(100, True, estimate=False)
    bar._bar.start_t -= 1_000.0  # as if compiling had taken so many seconds
    bar._bar.last_print_t -= 1_000.0
    bar.advance(10)
    assert bar._bar.format_dict["elapsed"] < 500.0
    bar.close()
