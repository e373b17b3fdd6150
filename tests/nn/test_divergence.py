"""Runs that come to inf or nan: they stop at the update where it is, and say why, on both paths."""

import math
import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value
from nn import updates

PATHS = ["scalar", "vectorised"]
X = np.linspace(-3.0, 3.0, 12)[:, None]
Y = X * X
Made = tuple[nn.Module, nn.Optimizer, dict[str, Any]]


class Of(nn.Module):
    """A function of one weight and the input."""

    def __init__(self, function: Callable[[Any, Any], Any], start: float) -> None:
        self.w, self.function = Value(start), function

    def forward(self, x: Any) -> Any:
        return [self.function(self.w, x[0])]


def network() -> nn.Sequential:
    first, last = (nn.Linear(*size, rng=random.Random(0)) for size in ((1, 4), (4, 1)))
    return nn.Sequential(first, nn.ReLU(), last)


def too_fast(lr: float = 1.5, loss: Any = None, **options: Any) -> Made:
    model = network()
    return model, nn.SGD(model.parameters(), lr=lr), {"loss": loss or nn.MSELoss(), **options}


def of(function: Callable[[Any, Any], Any], start: float, make: Any = nn.SGD, lr: float = 0.1):
    model = Of(function, start)
    return model, make(model.parameters(), lr=lr), {"loss": nn.L1Loss()}


def in_groups() -> Made:
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters()}]
    return model, nn.SGD(groups, lr=1.5, momentum=0.9), {"loss": nn.MSELoss()}


def with_schedule(interval: Any) -> Made:
    model, optimizer, options = too_fast()
    schedule = nn.StepLR(optimizer, 1, gamma=0.9, interval=interval)
    return model, optimizer, {**options, "scheduler": schedule}


LR = "the loss had grown from .* to .*: the learning rate 1.5 is likely too large. Try lr=0.15"
# name: what is trained, and what is said
RUNS: dict[str, tuple[Callable[[], Made], str]] = {
    "rate": (
        too_fast,
        rf"^the loss is inf at update .*square\(.*\) is inf, for row \d+ of X; {LR}",
    ),
    "batches": (lambda: too_fast(batch_size=5), LR),
    "sum": (lambda: too_fast(1.5, nn.MSELoss("sum")), LR),
    "shuffled": (lambda: too_fast(batch_size=5, shuffle=True), LR),
    "groups": (in_groups, "the learning rate 1.5 is likely too large"),
    "schedule of epochs": (lambda: with_schedule("epoch"), "the learning rate .* is likely"),
    "schedule of updates": (lambda: with_schedule("step"), "the learning rate .* is likely"),
    "l2": (lambda: too_fast(l2=0.1), LR),
    "weights": (lambda: too_fast(sample_weight=np.arange(12.0)), LR),
    "log of 0": (
        lambda: of(lambda w, x: engine.log(w * 0.0 + engine.abs(x) - 3.0), 1.0),
        r"update 1, in epoch 1 of 20: log\(0\) in Of is -inf, for row 0 of X, at "
        r".*test_divergence.py:\d+. Keep the operand",
    ),
    "log below 0, later": (
        lambda: of(lambda w, x: engine.log(w) * 10.0 + 100.0, 1.0, lr=0.01),
        r"the loss is nan at update \d+, .*log\(w = -",
    ),
    "overflow of exp": (
        lambda: of(lambda w, x: engine.exp(w * x * 400.0), 1.0),
        r"the loss is inf at update 1, .*exp\([\d.]+\) in Of is inf",
    ),
    "gradient": (
        lambda: of(lambda w, x: engine.sqrt(w * engine.square(x)), 0.0),
        "^the gradient has -?inf at update 1, .*sqrt",
    ),
    "gradient of one row": (
        lambda: of(lambda w, x: engine.sqrt(engine.square(x - 3.0) * w), 1.0),
        r"^the gradient has -?(inf|nan) at update 1, .*it begins at sqrt\(0\) in Of: its "
        r"derivative is inf; the gradient -?1 that arrives becomes -?inf, for row 11 of X, "
        r"at .*test_divergence.py:\d+. The slope of a root",
    ),
    "an arm not taken": (
        lambda: of(lambda w, x: engine.where(x > 9.0, 1.0 / (w * 0.0), engine.log(w - 1.0)), 1.0),
        r"^the loss is inf at update 1, .*: log\(0\) in Of is -inf, for row 0 of X",
    ),
    "parameter": (
        lambda: of(lambda w, x: w * x * 1e10, 1.0, lr=1e300),
        "^a parameter would become",
    ),
    "moments": (
        lambda: of(lambda w, x: w * x * 1e200, 1.0, nn.Adam),
        "^what the optimiser keeps of the gradients would become inf",
    ),
}


def run(made: Made, path: str, **options: Any) -> tuple[nn.History, list[float]]:
    """The run, told as it is, and the numbers that it ends with."""
    model, optimizer, own = made
    options = {"epochs": 20, "progress": False, **own, **options}
    history = nn.fit(model, X, Y, optimizer=optimizer, path=path, **options)  # type: ignore[call-overload]
    return history, [p.data for p in model.parameters()]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_stops_before_the_first_update_that_is_not_finite(name: str) -> None:
    make, said = RUNS[name]
    runs = []
    for path in PATHS:
        made = make()
        with pytest.warns(RuntimeWarning, match="the run stopped: ") as caught:
            history, weights = run(made, path)
        assert [str(w.message) for w in caught] == [f"the run stopped: {history.stopped}"]
        assert np.isfinite([*history.loss, *history.step_loss, *weights]).all()
        assert history.stopped.endswith("The parameters are those before this update")
        made_updates = len(history.step_loss)
        assert f" at update {made_updates + 1}, in epoch " in history.stopped
        # what goes with the parameters is as it was then, too
        assert {state.steps for state in made[1].state} == {made_updates}
        assert all(np.isfinite(state.slots).all() for state in made[1].state)
        schedule = made[2].get("scheduler")
        if schedule is not None:
            each = len(history.loss) if schedule.interval == "epoch" else made_updates
            assert schedule.last_epoch == each
        runs.append((history, weights))
    (scalar, at_scalar), (fast, at_fast) = runs
    assert len(scalar.step_loss) == len(fast.step_loss)
    np.testing.assert_allclose(fast.step_loss, scalar.step_loss, rtol=1e-8)
    np.testing.assert_allclose(at_fast, at_scalar, rtol=1e-8)
    for history in (scalar, fast):
        assert re.search(said, history.stopped), history.stopped


def test_the_parameters_are_those_of_the_updates_before() -> None:
    for path in PATHS:
        with pytest.warns(RuntimeWarning):
            history, weights = run(too_fast(), path)
        _, expected = run(too_fast(), path, epochs=len(history.step_loss))
        assert weights == expected


@pytest.mark.parametrize("name", ["rate", "groups", "schedule of updates", "gradient"])
def test_many_updates_in_one_call_stop_where_single_ones_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for seconds in (100.0, 0.0):  # all that there are in one call, or one
        monkeypatch.setattr(updates, "_CALL_SECONDS", seconds)
        with pytest.warns(RuntimeWarning):
            history, weights = run(RUNS[name][0](), "vectorised")
        runs.append((history.step_loss, history.stopped, weights))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("path", PATHS)
def test_the_run_goes_on_if_it_is_told_to(path: str) -> None:
    with pytest.warns(RuntimeWarning, match="The run goes on all the same") as caught:
        history, weights = run(too_fast(), path, on_nonfinite="continue", epochs=15)
    assert len(caught) == 1 and len(history.loss) == 15 and history.stopped == ""
    assert math.isinf(history.loss[5]) and math.isnan(history.loss[-1])
    assert np.isnan(weights).any()


def test_nothing_is_warned_of_where_all_is_finite() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in PATHS:
            assert run(too_fast(0.01), path)[0].stopped == ""


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match='on_nonfinite is "stop" or "continue", not \'ignore\''):
        run(too_fast(), "scalar", on_nonfinite="ignore")


def test_the_clipped_norm_keeps_the_run_finite_as_advised() -> None:
    for path in PATHS:
        history, _ = run(too_fast(), path, clip_norm=1.0)
        assert history.stopped == "" and len(history.loss) == 20


def test_the_curve_is_drawn_up_to_there() -> None:
    with pytest.warns(RuntimeWarning):
        whole, _ = run(too_fast(), "vectorised")
    (curve,) = whole.plot().lines
    assert list(curve.get_ydata()) == whole.loss and len(whole.loss) >= 4
    with pytest.warns(RuntimeWarning):  # within the first epoch
        part, _ = run(too_fast(batch_size=1, lr=1e9), "vectorised")
    assert part.loss == []
    (curve,) = part.plot().lines
    assert list(curve.get_ydata()) == part.step_loss and len(part.step_loss) >= 2


@pytest.mark.parametrize("path", PATHS)
def test_the_best_weights_are_kept_where_they_were_to_be(path: str) -> None:
    options = {"validation_data": (X, Y), "early_stopping": nn.EarlyStopping(restore_best=True)}
    with pytest.warns(RuntimeWarning, match="the run stopped"):
        history, weights = run(too_fast(), path, **options)
    assert history.best_epoch == 1
    assert weights == run(too_fast(), path, epochs=1)[1]


@pytest.mark.parametrize("path", PATHS)
def test_a_run_that_diverged_stays_stopped_where_it_is_resumed(path: str, tmp_path: Path) -> None:
    run(too_fast(), path, epochs=3, checkpoint=tmp_path)
    with pytest.warns(RuntimeWarning, match="the run stopped"):
        history, weights = run(too_fast(), path, checkpoint=tmp_path)
    with pytest.warns(RuntimeWarning):
        assert run(too_fast(), path)[1] == weights
    again, same = run(too_fast(), path, checkpoint=tmp_path)
    assert (again.stopped, again.step_loss, same) == (history.stopped, history.step_loss, weights)


def test_single_precision_ends_earlier_and_says_so() -> None:
    with pytest.warns(RuntimeWarning):
        history, weights = run(too_fast(), "vectorised", dtype=np.float32)
    assert "numbers of float32 end at 3.4e38" in history.stopped and np.isfinite(weights).all()


@pytest.mark.parametrize("path", PATHS)
def test_a_validation_loss_that_is_not_finite_does_not_end_the_run(path: str) -> None:
    far = np.full((2, 1), 1e200)
    stopping = nn.EarlyStopping(patience=9)
    with pytest.warns(RuntimeWarning, match="the validation loss is inf after epoch 1") as caught:
        history, _ = run(
            too_fast(0.01), path, validation_data=(far, far), early_stopping=stopping, epochs=4
        )
    assert len(caught) == 1 and len(history.loss) == 4
    assert history.val_loss == [math.inf] * 4 and history.best_epoch in (None, 1)


@pytest.mark.parametrize("path", PATHS)
def test_metrics_of_predictions_that_are_not_finite_are_nan_and_the_run_goes_on(path: str) -> None:
    far = np.full((2, 1), 1e308)
    options = {"metrics": [nn.metrics.r2], "validation_data": (far, far), "epochs": 4}
    model, optimizer, own = too_fast(0.01)
    optimizer = nn.SGD(model[0].parameters(), lr=0.0)  # type: ignore[index]
    for layer in (model[0], model[2]):  # type: ignore[index]
        for row in layer.weight:
            for w in row:
                w.data = 1.0
    with pytest.warns(RuntimeWarning, match="the validation loss is inf after epoch 1"):
        history, _ = run((model, optimizer, own), path, **options)
    assert len(history.loss) == 4 and np.isfinite(history.metrics["r2"]).all()
    assert np.isnan(history.metrics["val_r2"]).all()
    with pytest.raises(ValueError, match="predicted has inf"):
        nn.evaluate(model, far, far, loss=nn.MSELoss(), metrics=[nn.metrics.r2])


# --- batches that count for nothing ---


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("path", PATHS)
def test_a_batch_whose_weights_are_all_0_makes_no_update(path: str, reduction: Any) -> None:
    weights = np.where(np.arange(12) // 4 == 1, 0.0, 1.0 + np.arange(12) % 3)  # the second of three
    some = weights > 0.0

    def trained(rows: Any, own: Any, batch_size: int) -> tuple[nn.History, list[float], Any]:
        model = network()
        optimizer = nn.Adam(model.parameters(), lr=0.05)
        options = {"loss": nn.MSELoss(reduction), "epochs": 3, "l2": 0.1, "progress": False}
        options |= {"scheduler": nn.StepLR(optimizer, 2, interval="step")}
        history = nn.fit(  # type: ignore[call-overload]
            *(model, X[rows], Y[rows]),
            optimizer=optimizer,
            sample_weight=own[rows],
            batch_size=batch_size,
            path=path,
            **options,
        )
        return history, [p.data for p in model.parameters()], optimizer.state[0].steps

    history, numbers, steps = trained(slice(None), weights, 4)
    without, expected, fewer = trained(some, weights, 4)
    assert numbers == pytest.approx(expected, rel=1e-12) and steps == fewer == 6
    assert history.step_weight[1] == 0.0
    if reduction == "mean":
        assert math.isnan(history.step_loss[1])
        assert history.loss == pytest.approx(without.loss, rel=1e-12)
    else:
        assert history.step_loss[1] == 0.0
        assert history.loss == pytest.approx([loss * 8 / 12 for loss in without.loss], rel=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_a_batch_of_ignored_labels_makes_no_update(path: str) -> None:
    labels = np.where(np.arange(12) < 4, -100, np.arange(12) % 2)
    model = nn.Sequential(nn.Linear(1, 2, rng=random.Random(0)))
    optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9)
    options = {"loss": nn.CrossEntropyLoss(), "epochs": 2, "batch_size": 4, "progress": False}
    history = nn.fit(model, X, labels, optimizer=optimizer, path=path, **options)  # type: ignore[call-overload]
    assert [math.isnan(loss) for loss in history.step_loss] == [True, False, False] * 2
    assert np.isfinite([p.data for p in model.parameters()]).all() and optimizer.state[0].steps == 4
    assert history.loss == pytest.approx(
        [np.mean(history.step_loss[1:3]), np.mean(history.step_loss[4:])]
    )


@pytest.mark.parametrize("path", PATHS)
def test_an_example_of_weight_0_counts_for_nothing_whatever_its_loss_is(path: str) -> None:
    def made() -> Made:
        return of(
            lambda w, x: engine.exp(w * (x - 3.0) + engine.square(x + 3.0) * 25.0), 1.0, lr=1e-9
        )

    weights = np.where(X[:, 0] > 0.5, 0.0, 1.0)
    with_it, numbers = run(made(), path, sample_weight=weights)
    model, optimizer, options = made()
    few = weights > 0.0
    history = nn.fit(  # type: ignore[call-overload]
        model, X[few], Y[few], optimizer=optimizer, epochs=20, progress=False, path=path, **options
    )
    assert with_it.loss == pytest.approx(history.loss, rel=1e-13)
    assert numbers == pytest.approx([p.data for p in model.parameters()], rel=1e-13)


# --- one quantity on one axis ---


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("loss", ["mean", "sum", "weighted"])
@pytest.mark.parametrize("path", PATHS)
def test_losses_of_the_same_data_are_one_number(
    path: str, loss: str, l2: float, batch_size: int | None
) -> None:
    model = nn.Sequential(nn.Linear(1, 3, rng=random.Random(0)))
    labels = np.arange(12.0) % 3
    made: Any = nn.CrossEntropyLoss([1.0, 2.0, 5.0])
    if loss != "weighted":
        made, labels = nn.MSELoss(loss), np.hstack([Y, X, Y])  # type: ignore[arg-type]
    history = nn.fit(
        *(model, X, labels),
        loss=made,
        optimizer=nn.SGD(model.parameters(), lr=0.0),
        epochs=2,
        batch_size=batch_size,
        l2=l2,
        path=path,  # type: ignore[arg-type]
        validation_data=(X, labels),
        progress=False,
    )
    assert history.val_loss == pytest.approx(history.loss, rel=1e-12)
    if l2 == 0.0:
        told = nn.evaluate(model, X, labels, loss=made)
        assert history.loss[0] == pytest.approx(told / (12 if loss == "sum" else 1), rel=1e-12)
