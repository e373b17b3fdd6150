"""Optimisers, schedules and clipping: what they do, keep and complain of; alone and in `fit`."""

import itertools
import json
import math
import random
from collections.abc import Iterator

import numpy as np
import pytest

import nn
from engine import Value
from engine.compiled import objects
from engine.compiled.updates import translates
from nn import updates
from nn.data import unit_circle
from nn.programs.unit_circle import make_model
from optimizer_cases import WATCHED, told_to

X, Y = unit_circle(40, 1)
OPTIMIZERS = {
    "SGD": lambda p: nn.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "Adam": lambda p: nn.Adam(p, lr=0.01),
    "AMSGrad": lambda p: nn.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.01),
    "AdamW": lambda p: nn.AdamW(p, lr=0.01),
    "RMSprop": lambda p: nn.RMSprop(p, lr=1e-3),
    "centred RMSprop": lambda p: nn.RMSprop(p, lr=1e-3, centered=True, momentum=0.9, alpha=0.9),
    "Adagrad": lambda p: nn.Adagrad(p, lr=0.05, lr_decay=0.1, initial_accumulator_value=0.1),
    "Adamax": lambda p: nn.Adamax(p, lr=0.01, weight_decay=0.01),
    "NAdam": lambda p: nn.NAdam(p, lr=0.01, weight_decay=0.01, momentum_decay=0.1),
    "RAdam": lambda p: nn.RAdam(p, lr=0.01, weight_decay=0.01, decoupled_weight_decay=True),
    "Adadelta": lambda p: nn.Adadelta(p, lr=2.0, weight_decay=0.01),
}


SCHEDULERS = {
    "none": lambda optimizer: None,
    "every epoch": lambda optimizer: nn.StepLR(optimizer, 1, gamma=0.5),
    "every update": lambda optimizer: nn.CosineAnnealingLR(optimizer, 15, interval="step"),
    "one cycle": lambda optimizer: nn.OneCycleLR(
        optimizer, 0.02, 24, cycle_momentum=not {"betas", "momentum"}.isdisjoint(optimizer.defaults)
    ),
    "plateau": lambda optimizer: nn.ReduceLROnPlateau(optimizer, patience=0, threshold=0.3),
}


class Branching(nn.Module):
    """Takes another path, of other weights, from one update to the next."""

    def __init__(self) -> None:
        self.w, self.edge = [Value(0.5), Value(-0.5)], Value(0.1)

    def forward(self, x):
        if x[0] + x[1] > self.edge:
            return [self.w[0] * x[0] + self.edge]
        return [self.w[1] * x[1] - self.edge]


class Plain(nn.Optimizer):
    """Gradient descent with a rule that keeps nothing."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)

    @staticmethod
    def rule(w, g, settings):
        return w - settings[0] * g


class Counting(Plain):
    """Gradient descent with a rule that keeps more than there are loops for."""

    @staticmethod
    def rule(w, g, a, b, c, d, settings):
        return w - settings[0] * g, a + 1, b, c, d


def trained(optimizer, path: str, schedule: str = "none", make=None, **options) -> list[float]:
    """The losses, the parameters and the last rate of a short run."""
    model = make() if make else make_model(random.Random(0))
    options = {"epochs": 4, "batch_size": 7, "shuffle": True, "loss": nn.MSELoss(), **options}
    made = optimizer(model.parameters())
    options |= {"optimizer": made, "scheduler": SCHEDULERS[schedule](made)}
    history = nn.fit(model, X, Y, path=path, progress=False, **options)
    rates = [group["lr"] for group in made.param_groups]
    return [*history.step_loss, *[p.data for p in model.parameters()], *rates]


SOME = ("SGD", "centred RMSprop", "NAdam")  # for schedules that are more than a rate
BOTH = [(n, s) for s in SCHEDULERS for n in (SOME if s in ("one cycle", "plateau") else OPTIMIZERS)]


@pytest.mark.parametrize(("name", "schedule"), BOTH)
def test_both_paths_take_the_same_steps(name: str, schedule: str) -> None:
    runs = [trained(OPTIMIZERS[name], path, schedule) for path in ("scalar", "vectorised")]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-10)


@pytest.mark.parametrize("schedule", ["every update", "one cycle"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_many_updates_in_one_call_are_those_of_single_calls(
    name: str, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for seconds in (0.2, 0.0):  # at 0 every call is one update
        monkeypatch.setattr(updates, "_CALL_SECONDS", seconds)
        runs.append(trained(OPTIMIZERS[name], "vectorised", schedule))
    assert runs[0] == runs[1]


def test_a_schedule_keeps_step_where_updates_take_other_paths() -> None:
    options = {"make": Branching, "epochs": 20, "batch_size": 1}
    runs = [
        trained(OPTIMIZERS["Adam"], path, "every update", **options)
        for path in ("scalar", "vectorised")
    ]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-9)


@pytest.mark.parametrize("schedule", ["every epoch", "every update"])
@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_a_schedule_is_stepped_after_what_it_says(path: str, schedule: str) -> None:
    model = make_model(random.Random(0))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    scheduler = SCHEDULERS[schedule](optimizer)
    seen = []
    nn.fit(
        model,
        X,
        Y,
        loss=nn.MSELoss(),
        optimizer=optimizer,
        scheduler=scheduler,
        epochs=3,
        batch_size=7,  # six updates an epoch
        path=path,
        progress=False,
        callbacks=[lambda epoch, history: seen.append(scheduler.last_epoch)],
    )
    assert seen == ([1, 2, 3] if schedule == "every epoch" else [6, 12, 18])


@pytest.mark.parametrize("kind", [Plain, Counting])
def test_an_optimiser_of_ones_own_runs_on_both_paths(kind: type[nn.Optimizer]) -> None:
    expected = trained(lambda p: nn.SGD(p, lr=0.1), "scalar", "every update")
    for path in ("scalar", "vectorised"):
        actual = trained(lambda p: kind(p, lr=0.1), path, "every update")
        np.testing.assert_allclose(actual, expected, rtol=1e-10)


def of_choices(w, g, largest, settings):
    """All of NumPy's functions that become machine code."""
    largest = np.maximum(np.clip(0.9 * largest, 1e-9, 10.0), np.minimum(np.abs(g), 20.0))
    step = np.where(largest > 1e-3, np.sign(g) * np.sqrt(np.square(g) / largest), 0.0)
    return w - settings[0] * step, largest


def of_logarithms(w, g, settings):
    """One that does not, which is applied to arrays."""
    return w - settings[0] * np.copysign(np.log1p(np.abs(g)), g)


@pytest.mark.parametrize(("rule", "compiles"), [(of_choices, True), (of_logarithms, False)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_rule_of_ones_own_may_choose_and_may_use_any_function(rule, compiles, dtype) -> None:
    kind = type("Own", (Plain,), {"rule": staticmethod(rule)})
    assert translates(rule, dtype) == (compiles or objects.DISABLED)
    expected = trained(lambda p: kind(p, lr=0.01), "scalar")
    actual = trained(lambda p: kind(p, lr=0.01), "vectorised", dtype=np.dtype(dtype))
    np.testing.assert_allclose(actual, expected, rtol=1e-10 if dtype == "float64" else 1e-3)
    model = make_model(random.Random(0))
    history = nn.fit(
        model, X, Y, loss=nn.MSELoss(), optimizer=kind(model.parameters(), lr=0.1), epochs=1
    )
    assert ("own rule is applied for every update" in history.reason) == (not compiles)


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        (lambda self, w, g, settings: w - settings[0] * g, "returned 1 of what it should: w, g"),
        (lambda w, g, m, settings: w - settings[0] * g, "returned 1 of what it should: w, m"),
        (lambda w, g, settings: w - settings[0] * g if g > 0 else w, "ambiguous"),
        (lambda w, g, settings: w - settings[1] * g, "out of bounds"),
    ],
)
@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_what_is_no_rule_is_told(rule, wrong: str, path: str) -> None:
    kind = type("Own", (Plain,), {"rule": staticmethod(rule)})
    with pytest.raises(TypeError, match=rf"Own\.rule failed: .*{wrong}.* staticmethod of w, g"):
        trained(lambda p: kind(p, lr=0.1), path)


def test_groups_are_trained_with_their_own_settings_on_both_paths() -> None:
    def grouped(p):
        groups = [{"params": p[:20], "lr": 0.02, "betas": (0.5, 0.9)}, {"params": p[20:]}]
        return nn.Adam(groups, lr=0.01)

    runs = [trained(grouped, path, "every update") for path in ("scalar", "vectorised")]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_single_precision(name: str) -> None:
    double, single = (
        trained(OPTIMIZERS[name], "vectorised", dtype=dtype) for dtype in (np.float64, np.float32)
    )
    assert single != double
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4)


def test_the_settings_of_an_optimiser_can_be_taken_over() -> None:
    w = Value(1.0)
    first = nn.SGD([w], lr=0.1, momentum=0.9)
    w.grad = 1.0
    first.step()
    second = nn.SGD(first.param_groups)
    second.step()
    assert w.data == pytest.approx(1.0 - 0.1 - 0.1)


def test_sgd_momentum_and_decay_by_hand() -> None:
    w = Value(2.0)
    sgd = nn.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.5)
    velocity = 0.0
    expected = 2.0
    for k, g in enumerate((1.0, -2.0, 0.5)):
        w.grad = g
        sgd.step()
        g += 0.5 * expected
        velocity = g if k == 0 else 0.9 * velocity + g
        expected -= 0.1 * velocity
        assert w.data == pytest.approx(expected, rel=1e-15)


def test_adam_by_hand() -> None:
    w = Value(2.0)
    adam = nn.Adam([w], lr=0.1, betas=(0.8, 0.9), eps=0.5)
    m, v, expected = 0.0, 0.0, 2.0
    for k, g in enumerate((1.0, -2.0, 0.5), start=1):
        w.grad = g
        adam.step()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        expected -= 0.1 * m / (1 - 0.8**k) / ((v / (1 - 0.9**k)) ** 0.5 + 0.5)
        assert w.data == pytest.approx(expected, rel=1e-14)


def test_groups_have_settings_of_their_own() -> None:
    a, b = Value(1.0), Value(1.0)
    sgd = nn.SGD([{"params": [a], "lr": 1.0}, {"params": [b]}], lr=0.5)
    a.grad = b.grad = 1.0
    sgd.step()
    sgd.zero_grad(set_to_none=True)
    assert (a.data, b.data, a.grad) == (0.0, 0.5, 0.0)


# Rates at the edges of schedules, as PyTorch 2.13 computes them from 0.1.
EDGES = {
    "every step": (lambda o: nn.StepLR(o, 1, 0.5), [0.1, 0.05, 0.025, 0.0125]),
    "never yet": (lambda o: nn.StepLR(o, 9, 0.5), [0.1] * 4),
    "down to 0": (lambda o: nn.StepLR(o, 2, 0.0), [0.1, 0.1, 0.0, 0.0, 0.0]),
    "up": (lambda o: nn.StepLR(o, 3, 2.0), [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.4]),
    "in turns": (lambda o: nn.StepLR(o, 2, -0.5), [0.1, 0.1, -0.05, -0.05, 0.025]),
    "cosine of 1": (lambda o: nn.CosineAnnealingLR(o, 1), [0.1, 0.0, 0.1, 0.0, 0.1]),
    "with a floor": (
        lambda o: nn.CosineAnnealingLR(o, 2, eta_min=0.02),
        [0.1, 0.06, 0.02, 0.06, 0.1, 0.06, 0.02],
    ),
    "a floor above": (
        lambda o: nn.CosineAnnealingLR(o, 2, eta_min=1.0),
        [0.1, 0.55, 1.0, 0.55, 0.1],
    ),
    "a floor there": (lambda o: nn.CosineAnnealingLR(o, 3, eta_min=0.1), [0.1] * 5),
    "milestones of the first step": (
        lambda o: nn.MultiStepLR(o, [0, 2, 2], 0.5),
        [0.05, 0.05, 0.0125, 0.0125],
    ),
    "constant of 1": (lambda o: nn.ConstantLR(o, 0.5, 1), [0.05, 0.1, 0.1]),
    "straight to 0": (lambda o: nn.LinearLR(o, 1.0, 0.0, 2), [0.1, 0.05, 0.0, 0.0, 0.0]),
    "power of 0": (lambda o: nn.PolynomialLR(o, 2, 0.0), [0.1, 0.1, 0.1, 0.1]),
    "restarts every step": (lambda o: nn.CosineAnnealingWarmRestarts(o, 1), [0.1] * 4),
    "a cycle of 1": (lambda o: nn.OneCycleLR(o, 0.1, 1, div_factor=4.0), [2.5e-6]),
    "0 between": (
        lambda o: nn.LambdaLR(o, lambda k: 0.0 if k == 2 else 1.0 / (k + 1)),
        [0.1, 0.05, 0.0, 0.025, 0.02],
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_schedules_at_their_edges(name: str) -> None:
    make, expected = EDGES[name]
    optimizer = nn.SGD([Value(1.0)], lr=0.1)
    scheduler, rates = make(optimizer), []
    for _ in expected:
        rates.append(optimizer.param_groups[0]["lr"])
        assert scheduler.get_last_lr() == rates[-1:]
        scheduler.step()
    assert rates == pytest.approx(expected, abs=1e-15)  # PyTorch rounds alike
    other = nn.SGD([Value(1.0)], lr=0.1)
    assert make(other).ahead(len(expected))[0][0]["lr"].tolist() == rates


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_the_variance_of_a_constant_gradient_is_never_below_0(path: str) -> None:
    w = Value(0.0)
    optimizer = nn.RMSprop([w], lr=1e-12, centered=True)
    history = nn.minimize(lambda: 0.1 * w, optimizer, steps=5_000, path=path, progress=False)
    assert history.stopped == "" and math.isfinite(w.data)
    square, average, _ = optimizer.state[0].slots[:, 0]
    assert square - average**2 < 0.0  # by rounding: PyTorch takes the root of this
    # with a variance of 0 a step is lr * g / eps, and never longer
    assert 0.0 < -w.data <= 5_000 * 1e-12 * 0.1 / 1e-8


def test_overflow_passes_in_silence() -> None:
    w = Value(1.0)
    adam = nn.Adam([w])
    w.grad = 1e200  # its square is inf
    adam.step()
    assert w.data == 1.0


# --- saving and loading ---------------------------------------------------------------------


def gradients(count: int, seed: int) -> Iterator[list[float]]:
    rng = random.Random(seed)
    while True:
        yield [rng.gauss(0.0, 1.0) for _ in range(count)]


def moved(optimizer: nn.Optimizer, gradient: Iterator[list[float]], steps: int) -> list[float]:
    for _ in range(steps):
        for p, g in zip(optimizer.parameters(), next(gradient), strict=True):
            p.grad = g
        optimizer.step()
    return [p.data for p in optimizer.parameters()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loaded_state_goes_on_exactly(name: str) -> None:
    first = OPTIMIZERS[name]([Value(1.0), Value(-2.0)])
    first.add_param_group({"params": [Value(3.0)], "lr": 0.3})
    gradient = gradients(3, 0)
    numbers = moved(first, gradient, 3)
    state = first.state_dict()
    values = [Value(number) for number in numbers]
    second = type(first)([{"params": values[:2]}, {"params": values[2:]}])
    second.load_state_dict(state)
    copied = [next(gradient) for _ in range(4)]
    assert moved(second, iter(copied), 4) == moved(first, iter(copied), 4)
    for state in (first.state_dict(), second.state_dict()):
        assert [group["step"] for group in state["state"]] == [7, 7]
        assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]


def test_a_state_is_a_copy() -> None:
    adam = nn.Adam([Value(1.0)])
    state = adam.state_dict()
    moved(adam, gradients(1, 0), 1)
    assert state["state"] == [{"step": 0, "exp_avg": 0.0, "exp_avg_sq": 0.0, "max_exp_avg_sq": 0.0}]
    adam.load_state_dict(state)
    moved(adam, gradients(1, 0), 1)
    assert state["state"][0]["exp_avg"] == 0.0


def test_a_state_can_pass_through_json() -> None:
    adam, other = nn.Adam([Value(1.0)], betas=(0.5, 0.5)), nn.Adam([Value(1.0)])
    moved(adam, gradients(1, 0), 2)
    state = adam.state_dict()
    text = json.dumps(state, default=np.ndarray.tolist)
    other.load_state_dict(json.loads(text))
    assert json.dumps(other.state_dict(), default=np.ndarray.tolist) == text


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (nn.Adam, lambda s: s.pop("state"), 'a dict with "state" and "param_groups"'),
        (nn.SGD, lambda s: None, "SGD has no setting"),
        (
            nn.Adam,
            lambda s: s["param_groups"].append(s["param_groups"][0]),
            "2 groups, this Adam 1",
        ),
        (nn.Adam, lambda s: s["param_groups"][0]["params"].pop(), "1 parameters in the state, and"),
        (nn.Adam, lambda s: s["param_groups"][0].update(lr=-1.0), "needs lr to be at least 0"),
        (nn.Adam, lambda s: s["state"][0].pop("exp_avg"), "Adam keeps"),
        (nn.Adam, lambda s: s["state"][0].update(exp_avg=[1.0]), r"exp_avg of shape \(1,\)"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(make, change, message: str) -> None:
    state = nn.Adam([Value(1.0), Value(2.0)], lr=0.5).state_dict()
    state["state"][0]["step"] = 3
    change(state)
    optimizer = make([Value(1.0), Value(2.0)], lr=0.1)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.state[0].steps == 0


@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        ([Value(1.0)], TypeError, 'a group is a dict with "params"'),
        ({"lr": 0.1}, TypeError, 'a group is a dict with "params"'),
        ({"params": [Value(1.0)], "rate": 0.1}, ValueError, "no setting"),
        ({"params": [1.0]}, TypeError, "not a float"),
    ],
)
def test_a_group_that_does_not_fit_is_not_added(group, error, message: str) -> None:
    optimizer = nn.SGD([Value(1.0)], lr=0.1)
    with pytest.raises(error, match=message):
        optimizer.add_param_group(group)
    with pytest.raises(ValueError, match="given twice"):
        optimizer.add_param_group({"params": optimizer.parameters()})
    assert len(optimizer.param_groups) == len(optimizer.state) == 1


# --- schedules ------------------------------------------------------------------------------


def ready(lr: float = 1.0) -> nn.Optimizer:
    return nn.SGD([Value(1.0)], lr=lr)


@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_schedule_can_go_ahead_and_back(done: int) -> None:
    optimizer = nn.SGD([{"params": [Value(1.0)]}, {"params": [Value(1.0)], "lr": 2.0}], lr=1.0)
    scheduler = nn.StepLR(optimizer, 2, gamma=0.5)
    scheduler.step()
    planned, back_to = scheduler.ahead(4)
    rates = np.transpose([settings["lr"] for settings in planned])
    assert rates.tolist() == [[1.0, 2.0], [0.5, 1.0], [0.5, 1.0], [0.25, 0.5]]
    assert scheduler.get_last_lr() == [0.25, 0.5]
    back_to(done)
    assert scheduler.last_epoch == 1 + done
    assert scheduler.get_last_lr() == rates[done].tolist()
    assert [group["lr"] for group in optimizer.param_groups] == rates[done].tolist()


def test_a_schedule_that_fails_ahead_has_not_moved() -> None:
    optimizer = ready()
    scheduler = nn.LambdaLR(optimizer, lambda k: [1.0, 0.5, 0.25][k])
    with pytest.raises(IndexError):
        scheduler.ahead(5)
    assert (scheduler.last_epoch, optimizer.param_groups[0]["lr"]) == (0, 1.0)


class Factor:
    """A function of the step with an attribute, which a schedule's state keeps."""

    def __init__(self, base: float) -> None:
        self.base = base

    def __call__(self, k: int) -> float:
        return self.base**k


GOING_ON = [
    lambda optimizer: nn.StepLR(optimizer, 3, gamma=0.5),
    lambda optimizer: nn.CosineAnnealingLR(optimizer, 7, eta_min=0.1),
    lambda optimizer: nn.LambdaLR(optimizer, lambda k: 0.5**k),
    lambda optimizer: nn.LambdaLR(optimizer, Factor(0.5)),
    lambda optimizer: nn.MultiStepLR(optimizer, [2, 7, 7], gamma=0.3),
    lambda optimizer: nn.ExponentialLR(optimizer, 0.9),
    lambda optimizer: nn.ConstantLR(optimizer, 0.3, 7),
    lambda optimizer: nn.LinearLR(optimizer, 0.3, 0.9, 7),
    lambda optimizer: nn.PolynomialLR(optimizer, 8, 0.7),
    lambda optimizer: nn.CosineAnnealingWarmRestarts(optimizer, 2, 2),
    lambda optimizer: nn.OneCycleLR(optimizer, 0.3, 12),
    lambda optimizer: nn.OneCycleLR(optimizer, 0.3, 13, three_phase=True, anneal_strategy="linear"),
    lambda optimizer: nn.ReduceLROnPlateau(optimizer, factor=0.7, patience=1, cooldown=1),
]


@pytest.mark.parametrize("kind", [nn.SGD, nn.NAdam])
@pytest.mark.parametrize("make", GOING_ON)
def test_a_loaded_schedule_goes_on_to_the_same_bits(make, kind) -> None:
    def step(scheduler, optimizer, k: int) -> None:
        optimizer.parameters()[0].grad = 0.3 * k - 1.0
        optimizer.step()
        scheduler.step(*told_to(scheduler, WATCHED[k]))

    def seen(optimizer) -> object:
        settings = {n: x for n, x in optimizer.param_groups[0].items() if n != "params"}
        return settings, optimizer.parameters()[0].data

    for done in range(12):
        first, second = kind([Value(1.0)], lr=1.0), kind([Value(1.0)], lr=5.0)
        schedulers = [make(first), make(second)]
        for k in range(done):
            step(schedulers[0], first, k)
        second.load_state_dict(first.state_dict())
        second.parameters()[0].data = first.parameters()[0].data
        saved = json.loads(json.dumps(schedulers[0].state_dict()))
        schedulers[1].load_state_dict(saved)
        assert schedulers[1].get_last_lr() == schedulers[0].get_last_lr()
        for k in range(done, 12):
            step(schedulers[0], first, k)
            step(schedulers[1], second, k)
            assert seen(second) == seen(first)


# What a rate is at step k, of those that begin at 1: the formulas that there are besides recursion.
CLOSED = {
    "MultiStepLR": (lambda o: nn.MultiStepLR(o, [3, 5], 0.5), lambda k: 0.5 ** ((k > 2) + (k > 4))),
    "ExponentialLR": (lambda o: nn.ExponentialLR(o, 0.9), lambda k: 0.9**k),
    "ConstantLR": (lambda o: nn.ConstantLR(o, 0.3, 7), lambda k: 0.3 if k < 7 else 1.0),
    "LinearLR": (lambda o: nn.LinearLR(o, 0.3, 0.8, 9), lambda k: 0.3 + 0.5 * min(k, 9) / 9),
    "PolynomialLR": (lambda o: nn.PolynomialLR(o, 9, 1.7), lambda k: max(0.0, 1.0 - k / 9) ** 1.7),
    "CosineAnnealingWarmRestarts": (
        lambda o: nn.CosineAnnealingWarmRestarts(o, 5),
        lambda k: 0.5 + 0.5 * math.cos(math.pi * (k % 5) / 5),
    ),
    "OneCycleLR": (  # up in 9 steps, and down in 20
        lambda o: nn.OneCycleLR(o, 2.0, 30, pct_start=1 / 3, div_factor=2, final_div_factor=2),
        lambda k: (
            1.5 - 0.5 * math.cos(math.pi * k / 9)
            if k <= 9
            else 1.25 + 0.75 * math.cos(math.pi * (k - 9) / 20)
        ),
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_schedules_keep_to_their_closed_forms(name: str) -> None:
    make, rate = CLOSED[name]
    planned, _ = make(ready()).ahead(30)
    expected = [rate(k) for k in range(30)]
    assert planned[0]["lr"].tolist() == pytest.approx(expected, rel=1e-13, abs=1e-15)


def test_a_cycle_can_begin_at_its_peak() -> None:
    optimizer = ready()  # PyTorch divides 0 by 0 at the first step
    planned, _ = nn.OneCycleLR(optimizer, 1.0, total_steps=10, pct_start=0.1).ahead(10)
    assert planned[0]["lr"][0] == 1.0 and planned[0]["momentum"][0] == 0.85
    assert (np.diff(planned[0]["lr"]) < 0.0).all()


def plateau(rate: float = 1e-9, **options) -> list[float]:
    """What the rate has become after each of six epochs that change next to nothing."""
    model = nn.Sequential(nn.Linear(2, 1, rng=random.Random(0)))
    optimizer = nn.SGD(model.parameters(), lr=rate)
    told = {name: options.pop(name) for name in ("mode", "monitor") if name in options}
    scheduler = nn.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, eps=0.0, **told)
    seen = []
    options |= {"loss": nn.MSELoss(), "optimizer": optimizer, "scheduler": scheduler}
    options["callbacks"] = [lambda *_: seen.append(scheduler.get_last_lr()[0] / rate)]
    nn.fit(model, X, Y, epochs=6, progress=False, **options)
    return seen


MOMENTS = itertools.count()


def rising(y, predicted) -> float:
    return next(MOMENTS)


STILL, MOVING = [1.0, 1.0, 0.5, 0.5, 0.25, 0.25], [1.0] * 6


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_a_plateau_is_seen_in_what_it_looks_at(path: str) -> None:
    assert plateau(path=path) == STILL
    assert plateau(0.01, path=path) == MOVING
    held_out = {"validation_data": (X[:3], Y[:3]), "path": path}
    assert plateau(**held_out) == STILL
    # the training loss falls at every epoch; what is held out was met before the first
    exact = nn.Sequential(nn.Linear(2, 1, rng=random.Random(0)))
    far = {"validation_data": (X[:3], nn.predict(exact, X[:3]))}
    assert plateau(0.01, **far, path=path) == STILL
    assert plateau(0.01, **far, path=path, monitor="loss") == MOVING
    upwards = {"metrics": [rising], "monitor": "rising", "path": path}
    assert plateau(**upwards, mode="max") == MOVING
    assert plateau(**upwards) == STILL


def test_a_plateau_between_evaluations_goes_by_those_that_there_are() -> None:
    held_out = {"validation_data": (X[:3], Y[:3]), "evaluate_every": 2}
    assert plateau(**held_out) == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5]
    assert plateau(**held_out, monitor="loss") == STILL


def test_minimize_tells_a_plateau_the_loss_of_every_update() -> None:
    for path in ("scalar", "vectorised"):
        w = Value(1.0)
        optimizer = nn.SGD([w], lr=1.0)  # to and fro: the loss stays 1
        scheduler = nn.ReduceLROnPlateau(optimizer, factor=0.25, patience=2)
        options = {"scheduler": scheduler, "path": path, "progress": False}
        run = nn.minimize(lambda: w * w, optimizer, steps=6, **options)  # noqa: B023
        assert run.loss == [1.0, 1.0, 1.0, 1.0, 1.0, 0.25]


def test_a_plateau_that_is_looked_for_where_nothing_is_noted_is_found_at_once() -> None:
    with pytest.raises(ValueError, match=r"the scheduler looks at 'val_loss', .* notes \['loss'\]"):
        plateau(monitor="val_loss")


def test_a_cycle_too_short_for_the_run_is_found_before_it() -> None:
    model = make_model(random.Random(0))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    before = [p.data for p in model.parameters()]
    scheduler = nn.OneCycleLR(optimizer, 0.1, total_steps=12)
    options = {"optimizer": optimizer, "scheduler": scheduler, "loss": nn.MSELoss()}
    options |= {"batch_size": 20, "progress": False}
    message = r"12 steps left of its 12, and this run makes 14, .* total_steps=14"
    with pytest.raises(ValueError, match=message):
        nn.fit(model, X, Y, epochs=7, **options)
    assert [p.data for p in model.parameters()] == before
    nn.fit(model, X, Y, epochs=5, **options)
    with pytest.raises(ValueError, match=r"2 steps left of its 12, .* makes 4, .* total_steps=14"):
        nn.fit(model, X, Y, epochs=2, **options)
    nn.fit(model, X, Y, epochs=1, **options)
    with pytest.raises(ValueError, match="made for 12 steps, and this is one more"):
        scheduler.step()
    assert scheduler.last_epoch == 12


def test_what_a_function_of_a_schedule_keeps_is_loaded() -> None:
    first, second = nn.LambdaLR(ready(), Factor(0.5)), nn.LambdaLR(ready(), Factor(0.9))
    second.load_state_dict(first.state_dict())
    second.step()
    assert second.get_last_lr() == [0.5]


def test_a_plateau_is_told_a_loss_as_it_comes() -> None:
    rates = []
    for losses in ([2.0, 3.0], [Value(2.0), Value(3.0)]):
        scheduler = nn.ReduceLROnPlateau(nn.SGD([Value(1.0)], lr=1.0), factor=0.5, patience=0)
        for loss in losses:
            scheduler.step(loss)
        rates.append(scheduler.get_last_lr())
    assert rates == [[0.5], [0.5]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.StepLR([Value(1.0)], 1), TypeError, "built on an optimiser"),
        (lambda: nn.StepLR(ready(), 0), ValueError, "step_size is a whole number of at least 1"),
        (lambda: nn.CosineAnnealingLR(ready(), 2.5), ValueError, "T_max is a whole number"),
        (lambda: nn.StepLR(ready(), 1, interval="batch"), ValueError, '"epoch" or "step"'),
        (lambda: nn.StepLR(ready(), 1, last_epoch=2), ValueError, 'no "initial_lr"'),
        (lambda: nn.MultiStepLR(ready(), [1.5]), ValueError, "a milestone is a whole number"),
        (lambda: nn.ConstantLR(ready(), 0.0), ValueError, "factor is above 0 to 1, not 0.0"),
        (lambda: nn.LinearLR(ready(), 0.0), ValueError, "start_factor is above 0 to 1"),
        (lambda: nn.LinearLR(ready(), end_factor=1.5), ValueError, "end_factor is from 0 to 1"),
        (lambda: nn.PolynomialLR(ready(), 0), ValueError, "total_iters is a whole number of"),
        (lambda: nn.CosineAnnealingWarmRestarts(ready(), 2, 0), ValueError, "T_mult is a whole"),
        (lambda: nn.OneCycleLR(ready(), 1.0), ValueError, "total_steps, or epochs and steps_per"),
        (lambda: nn.OneCycleLR(ready(), 1.0, epochs=3), ValueError, "and steps_per_epoch"),
        (lambda: nn.OneCycleLR(ready(), 1.0, 9, div_factor=0), ValueError, "div_factor is above 0"),
        (lambda: nn.ReduceLROnPlateau(ready(), cooldown=-1), ValueError, "cooldown is a whole"),
        (lambda: nn.OneCycleLR(ready(), 1.0, 5, pct_start=1.5), ValueError, "pct_start is from 0"),
        (lambda: nn.OneCycleLR(ready(), [1.0, 2.0], 5), ValueError, "2 numbers for 1 groups"),
        (lambda: nn.OneCycleLR([Value(1.0)], 1.0, 5), TypeError, "built on an optimiser"),
        (
            lambda: nn.OneCycleLR(ready(), 1.0, 5, anneal_strategy="exp"),
            ValueError,
            '"cos" or "linear", not \'exp\'',
        ),
        (
            lambda: nn.OneCycleLR(nn.Adagrad([Value(1.0)]), 1.0, 5),
            ValueError,
            "Adagrad has no momentum; write cycle_momentum=False",
        ),
        (lambda: nn.ReduceLROnPlateau(ready(), "low"), ValueError, '"min" or "max", not \'low\''),
        (lambda: nn.ReduceLROnPlateau(ready(), factor=1.0), ValueError, "factor is below 1"),
        (lambda: nn.ReduceLROnPlateau(ready(), patience=-1), ValueError, "patience is a whole num"),
        (lambda: nn.ReduceLROnPlateau(ready(), min_lr=[0, 0]), ValueError, "min_lr has 2 numbers"),
        (lambda: nn.ReduceLROnPlateau(ready()).step(), TypeError, r"write scheduler.step\(loss\)"),
        (
            lambda: nn.ReduceLROnPlateau(ready(), threshold_mode="share"),
            ValueError,
            'threshold_mode is "rel" or "abs"',
        ),
        (lambda: nn.LambdaLR(ready(), 0.5), TypeError, "a function of the step's number, not 0.5"),
        (lambda: nn.LambdaLR(ready(), [abs, abs]), ValueError, "2 functions for 1 groups"),
        (
            lambda: nn.StepLR(ready(), 1).load_state_dict(
                nn.CosineAnnealingLR(ready(), 1).state_dict()
            ),
            ValueError,
            "this StepLR has",
        ),
    ],
)
def test_schedulers_complain_at_once(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: nn.CosineAnnealingLR(optimizer, 1),
        lambda optimizer: nn.LambdaLR(optimizer, lambda k: 0.5**k),
        lambda optimizer: nn.OneCycleLR(optimizer, 1.0, 9),
    ],
)
def test_a_group_that_a_schedule_knows_nothing_of_is_named(make) -> None:
    optimizer = ready()
    scheduler = make(optimizer)
    optimizer.add_param_group({"params": [Value(1.0)]})
    with pytest.raises(ValueError, match=r"has 2 groups, and had 1 when this \w+ was made"):
        for _ in range(3):
            scheduler.step()
    assert optimizer.param_groups[0]["lr"] == scheduler.get_last_lr()[0]


def test_a_schedule_of_present_rates_takes_a_later_group_along() -> None:
    optimizer = ready()
    scheduler = nn.StepLR(optimizer, 1, gamma=0.5)
    optimizer.add_param_group({"params": [Value(1.0)], "lr": 4.0})
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5, 2.0]  # as PyTorch's


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda optimizer: nn.StepLR, TypeError, "scheduler is built on the optimiser"),
        (lambda optimizer: nn.StepLR(ready(), 1), ValueError, "another optimiser's"),
    ],
)
def test_a_scheduler_that_does_not_belong_is_noticed(make, error, message: str) -> None:
    model = make_model(random.Random(0))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "optimizer": optimizer, "epochs": 1}
    with pytest.raises(error, match=message):
        nn.fit(model, X, Y, scheduler=make(optimizer), **options)


# --- clipping -------------------------------------------------------------------------------


def with_gradients(numbers: list[float]) -> list[Value]:
    values = [Value(0.0) for _ in numbers]
    for p, g in zip(values, numbers, strict=True):
        p.grad = g
    return values


def test_clipping_by_the_norm_by_hand() -> None:
    values = with_gradients([3.0, -4.0])
    nn.clip_grad_norm_(values, 1.0)
    assert [p.grad for p in values] == [3.0 * (1.0 / 5.000001), -4.0 * (1.0 / 5.000001)]


@pytest.mark.parametrize(
    ("numbers", "by_norm", "by_value"),
    [
        ([math.inf, -0.5], [math.nan, -0.0], [1.0, -0.5]),
        ([math.nan, -math.inf], [math.nan, math.nan], [math.nan, -1.0]),
    ],
)
def test_clipping_does_not_hide_inf_and_nan(numbers, by_norm, by_value) -> None:
    for clip, expected in ((nn.clip_grad_norm_, by_norm), (nn.clip_grad_value_, by_value)):
        values = with_gradients(numbers)
        clip(values, 1.0)
        assert repr([p.grad for p in values]) == repr(expected)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf])
def test_clipped_gradients_have_the_norm_and_the_direction(norm_type: float) -> None:
    values = with_gradients([3.0, -4.0])
    norm = nn.clip_grad_norm_(values, 0.5, norm_type)
    assert norm == {2.0: 5.0, 1.0: 7.0, math.inf: 4.0}[norm_type]
    clipped = [p.grad for p in values]
    assert np.linalg.norm(clipped, norm_type) == pytest.approx(0.5, rel=1e-6)
    assert clipped[0] / clipped[1] == pytest.approx(-0.75, rel=1e-15)


def test_small_gradients_are_not_clipped() -> None:
    values = with_gradients([3.0, -4.0])
    assert nn.clip_grad_norm_(values, 6.0) == 5.0
    nn.clip_grad_value_(values, 4.0)
    assert [p.grad for p in values] == [3.0, -4.0]
    assert nn.clip_grad_norm_([], 1.0) == 0.0


@pytest.mark.parametrize("numbers", [[math.inf, 1.0], [1.0, math.nan], [1e200, 1e200]])
def test_a_norm_that_is_not_finite_is_an_error_on_demand(numbers: list[float]) -> None:
    values = with_gradients(numbers)
    with pytest.raises(RuntimeError, match=r"norm of (inf|nan) \("):
        nn.clip_grad_norm_(values, 1.0, error_if_nonfinite=True)
    assert repr([p.grad for p in values]) == repr(numbers)


@pytest.mark.parametrize("clip", [nn.clip_grad_norm_, nn.clip_grad_value_])
@pytest.mark.parametrize(
    ("parameters", "limit", "error", "message"),
    [
        ([Value(1.0)], -1.0, ValueError, "at least 0, not -1.0"),
        ([Value(1.0)], math.nan, ValueError, "at least 0, not nan"),
        ([1.0], 1.0, TypeError, "not of a float"),
    ],
)
def test_clipping_complains(clip, parameters, limit: float, error, message: str) -> None:
    with pytest.raises(error, match=message):
        clip(parameters, limit)


# --- complaints -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.SGD([], lr=0.1), ValueError, "empty"),
        (lambda: nn.SGD([1.0]), TypeError, "not a float"),
        (lambda: nn.SGD([Value(1.0)], lr=-1.0), ValueError, "needs lr to be at least 0"),
        (lambda: nn.SGD([Value(1.0)], nesterov=True), ValueError, "nesterov needs"),
        (lambda: nn.SGD([{"params": [Value(1.0)], "rate": 1.0}]), ValueError, "rate"),
        (lambda: nn.SGD([v := Value(1.0), v]), ValueError, "given twice"),
        (lambda: nn.Adam([Value(1.0)], betas=(0.9, 1.0)), ValueError, "betas from 0 to below 1"),
        (lambda: nn.Adam([Value(1.0)], betas=0.9), TypeError, "betas are two numbers, not 0.9"),
        (lambda: nn.Adam([Value(1.0)], "0.1"), TypeError, "lr is a number, not '0.1'"),
        (lambda: nn.Adam([{"params": [Value(1.0)], "eps": -1.0}]), ValueError, "needs eps"),
    ],
)
def test_optimisers_complain_at_once(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_grad_of_none_counts_as_zero() -> None:
    p, q = Value(1.0), Value(2.0)
    p.grad, q.grad = None, 3.0
    assert nn.clip_grad_norm_([p, q], 1.5) == 3.0
    nn.SGD([p, q], lr=1.0).step()
    assert p.data == 1.0 and q.data == pytest.approx(0.5, abs=1e-5)
