"""Models, losses, optimisers, schedulers and callbacks that are not derived from ours."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value

PATHS = ["scalar", "vectorised"]
X = np.linspace(-1.0, 1.0, 10)[:, None]
Y = 3.0 * X + 1.0


class Line:
    """A model as micrograd's users write it."""

    def __init__(self) -> None:
        self.w, self.b = Value(0.5), Value(-0.5)

    def __call__(self, x: Any) -> Any:
        return [self.w * x[0] + self.b]

    def parameters(self) -> list[Value]:
        return [self.w, self.b]


class Twin(nn.Module):
    """The same, derived."""

    def __init__(self) -> None:
        self.w, self.b = Value(0.5), Value(-0.5)

    forward = Line.__call__


class Descent:
    """An optimiser as micrograd's users write it, with a momentum that it keeps by itself."""

    def __init__(self, parameters: list[Value], lr: float = 0.1) -> None:
        self.parameters, self.lr, self.steps = parameters, lr, 0
        self.kept = [0.0] * len(parameters)

    def step(self) -> None:
        self.steps += 1
        for k, p in enumerate(self.parameters):
            self.kept[k] = 0.9 * self.kept[k] + p.grad
            p.data -= self.lr * self.kept[k]


class InGroups(Descent):
    def __init__(self, parameters: list[Value], lr: float = 0.1) -> None:
        super().__init__(parameters, lr)
        self.param_groups = [{"params": parameters, "lr": lr}]


class ByMethod:
    def __init__(self, parameters: list[Value], lr: float = 0.1) -> None:
        self.own = Descent(parameters, lr)
        self.step = self.own.step

    def params(self) -> list[Value]:
        return self.own.parameters


class Derived(nn.Optimizer):
    """One of ours with a step of its own."""

    def __init__(self, parameters: list[Value], lr: float = 0.1) -> None:
        super().__init__(parameters, lr=lr)
        self.own = Descent(parameters, lr)

    def step(self) -> None:
        self.own.step()


class Squares:
    """A loss with `terms`."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def terms(self, output: Any, target: Any) -> Any:
        return [(y - t) ** 2 for y, t in zip(output, target, strict=True)], [1.0] * len(output)


def square(output: Any, target: Any) -> Any:
    return (output[0] - target[0]) ** 2


class Square(nn.Module):
    """A loss written as a module."""

    def forward(self, output: Any, target: Any) -> Any:
        return square(output, target)


class Halving:
    """A scheduler of one's own."""

    def __init__(self, optimizer: Any, interval: str | None = None) -> None:
        self.of, self.calls = optimizer, 0
        if interval:
            self.interval = interval

    def step(self) -> None:
        self.calls += 1
        for group in self.of.param_groups:
            group["lr"] *= 0.5


def run(
    path: str, model: Any = Twin, optimizer: Any = None, loss: Any = None, **options: Any
) -> tuple[nn.History, list[float]]:
    made = model()
    moving = (optimizer or momentum)(made.parameters())
    if "schedule" in options:
        options["scheduler"] = options.pop("schedule")(moving)
    options = {"epochs": 4, "batch_size": 4, "progress": False, **options}
    history = nn.fit(made, X, Y, loss=loss or nn.MSELoss(), optimizer=moving, path=path, **options)  # type: ignore[arg-type]
    return history, [p.data for p in made.parameters()]


def momentum(parameters: list[Value]) -> nn.Optimizer:
    return nn.SGD(parameters, lr=0.1, momentum=0.9)


KINDS: dict[str, dict[str, Any]] = {
    "model": {"model": Line},
    "optimiser": {"optimizer": Descent},
    "optimiser with groups": {"optimizer": InGroups},
    "optimiser with a method": {"optimizer": ByMethod},
    "derived optimiser": {"optimizer": Derived},
    "loss with terms": {"loss": Squares()},
    "function as loss": {"loss": square},
    "module as loss": {"loss": Square()},
    "object as loss": {"loss": type("Own", (), {"__call__": lambda self, y, t: square(y, t)})()},
    "all": {"model": Line, "optimizer": Descent, "loss": square},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_derived_from_ours_trains_alike(path: str, kind: str) -> None:
    expected, numbers = run(path)
    history, own = run(path, **KINDS[kind])
    assert history.path == path
    assert history.step_loss == pytest.approx(expected.step_loss, rel=1e-12)
    assert own == pytest.approx(numbers, rel=1e-12)


def test_auto_compiles_what_is_ones_own() -> None:
    history, _ = run("auto", **KINDS["all"])
    assert history.path == "vectorised"
    assert history.reason.endswith("; the optimiser's own step is called for every update")
    assert run("auto", model=Line, loss=square)[0].reason == "the model and the loss compile"


@pytest.mark.parametrize("path", PATHS)
def test_a_sum_of_ones_own_is_a_sum(path: str) -> None:
    expected, _ = run(path, loss=nn.MSELoss("sum"))
    history, _ = run(path, loss=Squares("sum"))
    assert history.step_loss == pytest.approx(expected.step_loss, rel=1e-12)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("interval", [None, "step"])
def test_a_scheduler_of_ones_own_is_stepped(path: str, interval: Any) -> None:
    made: list[Halving] = []

    def schedule(optimizer: Any) -> Halving:
        made.append(Halving(optimizer, interval))
        return made[0]

    def ours(optimizer: Any) -> nn.LRScheduler:
        return nn.StepLR(optimizer, 1, 0.5, interval=interval or "epoch")

    history, numbers = run(path, schedule=schedule)
    expected, same = run(path, schedule=ours)
    assert history.step_loss == pytest.approx(expected.step_loss, rel=1e-12)
    assert numbers == pytest.approx(same, rel=1e-12)
    assert made[0].calls == (12 if interval else 4)


@pytest.mark.parametrize("path", ["auto", "scalar", "vectorised"])
def test_predicting_evaluating_and_comparing_take_them_too(path: Any) -> None:
    for rows in (X, np.tile(X, (15, 1))):  # few, and enough to compile
        expected = nn.predict(Twin(), rows, path=path)
        assert nn.predict(Line(), rows, path=path) == pytest.approx(expected)
        targets = 3.0 * rows + 1.0
        told = nn.evaluate(Twin(), rows, targets, loss=nn.MSELoss(), path=path)
        assert nn.evaluate(Line(), rows, targets, loss=square, path=path) == pytest.approx(told)
    assert nn.compare_paths(Line(), X, Y, loss=square).largest_difference < 1e-12


@pytest.mark.parametrize("path", PATHS)
def test_minimising_takes_an_optimiser_of_ones_own(path: Any) -> None:
    ends = []
    for optimizer in (momentum, Descent, Derived):
        w = Value(1.0)
        options = {"steps": 5, "path": path, "progress": False}
        nn.minimize(lambda w=w: (w - 3.0) ** 2, optimizer([w]), **options)  # type: ignore[misc]
        ends.append(w.data)
    assert ends == pytest.approx([ends[0]] * 3) and ends[0] != 1.0


def test_a_callback_may_end_the_run() -> None:
    def enough(epoch: int, history: nn.History) -> None:
        if epoch == 1:
            history.stopped = "it was enough"

    for path in PATHS:
        history, _ = run(path, callbacks=[enough])
        assert (history.stopped, len(history.loss)) == ("it was enough", 2)


class Nothing:
    pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": nn.MSELoss}, r"an instance such as nn.MSELoss\(\)"),
        ({"loss": "mse"}, r"a function of \(output, target\)"),
        ({"loss": lambda y, t: [y[0] - t[0]]}, r"one number, and .*lambda> returned a list"),
        ({"optimizer": lambda p: Nothing()}, r"with their list as `parameters` and with step\(\)"),
        ({"optimizer": lambda p: nn.SGD}, r"such as nn.SGD\(model.parameters\(\), lr=0.1\)"),
        ({"optimizer": lambda p: Descent([1.0])}, r"is built on the parameters"),  # type: ignore[list-item]
        ({"schedule": lambda o: 3}, r"or is an object with step\(\), not 3"),
        ({"schedule": lambda o: nn.StepLR}, "is built on the optimiser"),
        ({"callbacks": [3]}, "a callback is a function of the epoch's number and the History"),
        ({"callbacks": [nn.LivePlot]}, "or an object with __call__"),
        ({"early_stopping": Nothing()}, r"nn.EarlyStopping\(patience=...\)"),
        ({"metrics": [3]}, "a metric is a function"),
    ],
)
def test_what_lacks_what_is_needed_is_told_what_to_write(
    options: dict[str, Any], message: str
) -> None:
    for path in PATHS:
        with pytest.raises(TypeError, match=message):
            run(path, **dict(options))


@pytest.mark.parametrize("model", [Nothing(), abs, Line, 3], ids=type)
def test_what_is_no_model_is_told_what_to_write(model: Any) -> None:
    optimizer = nn.SGD([Value(1.0)], lr=0.1)
    message = r"(?s)an nn.Module, or a callable with parameters\(\), not .*def forward\(self, x\)"
    options: dict[str, Any] = {"loss": nn.MSELoss()}
    with pytest.raises(TypeError, match=message):
        nn.fit(model, X, Y, optimizer=optimizer, epochs=1, **options)
    with pytest.raises(TypeError, match=message):
        nn.predict(model, X)
    with pytest.raises(TypeError, match=message):
        nn.evaluate(model, X, Y, **options)


def test_an_optimiser_without_rule_and_step_is_told_so_when_it_is_made() -> None:
    class Lazy(nn.Optimizer):
        pass

    with pytest.raises(TypeError, match=r"(?s)Lazy has neither.*p.data -= 0.1 \* p.grad"):
        Lazy([Value(1.0)])


def test_modules_in_a_row_are_derived() -> None:
    with pytest.raises(TypeError, match=r"derive its class from nn.Module, with forward"):
        nn.Sequential(Line())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{"optimizer": Descent}, {"optimizer": Derived}, {"schedule": Halving}],
    ids=["optimiser", "derived optimiser", "scheduler"],
)
def test_what_keeps_its_own_state_is_not_checkpointed(
    options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match="or leave the checkpoint out"):
        run("scalar", checkpoint=tmp_path, **options)
    run("scalar", checkpoint=tmp_path, model=Line, loss=square)  # these have none
    assert len(run("scalar", checkpoint=tmp_path, model=Line, loss=square, epochs=6)[0].loss) == 6


@pytest.mark.parametrize("path", PATHS)
def test_ones_own_optimiser_that_diverges_is_stopped_with_its_parameters_kept(path: str) -> None:
    with pytest.warns(RuntimeWarning, match="the run stopped"):
        history, numbers = run(path, optimizer=lambda p: Descent(p, lr=1e3), epochs=99)
    assert np.isfinite([*numbers, *history.step_loss]).all()


def test_a_network_of_ones_own_neurons_learns() -> None:
    class Neuron:
        def __init__(self, size: int, rng: random.Random) -> None:
            self.w, self.b = [Value(rng.uniform(-1, 1)) for _ in range(size)], Value(0.0)

        def __call__(self, x: Any) -> Any:
            return engine.tanh(sum((w * y for w, y in zip(self.w, x, strict=True)), self.b))

        def parameters(self) -> list[Value]:
            return [*self.w, self.b]

    class Net:
        def __init__(self) -> None:
            rng = random.Random(0)
            self.hidden, self.out = [Neuron(1, rng) for _ in range(4)], Neuron(4, rng)

        def __call__(self, x: Any) -> Any:
            return self.out([neuron(x) for neuron in self.hidden])

        def parameters(self) -> list[Value]:
            return [p for neuron in [*self.hidden, self.out] for p in neuron.parameters()]

    runs = []
    for path in PATHS:
        net = Net()
        history = nn.fit(
            *(net, X, np.sin(3.0 * X[:, 0]) / 2.0),
            loss=lambda y, t: (y - t) ** 2,
            optimizer=nn.SGD(net.parameters(), lr=0.1, momentum=0.9),
            epochs=60,
            path=path,  # type: ignore[arg-type]
            progress=False,
        )
        runs.append(history.loss)
    assert runs[1] == pytest.approx(runs[0], rel=1e-8) and runs[0][-1] < 0.5 * runs[0][0]


class NoStart(nn.Loss):
    """A loss that sets nothing of the base's."""

    def __init__(self) -> None:
        pass

    def term(self, y: Any, t: Any) -> Any:
        return (y - t) ** 2


@pytest.mark.parametrize("path", PATHS)
def test_a_loss_without_the_bases_start_is_a_mean(path: str) -> None:
    runs = []
    for loss in (NoStart(), nn.MSELoss()):
        model = Twin()
        optimizer = nn.SGD(model.parameters(), lr=0.1)
        options = {"loss": loss, "optimizer": optimizer, "epochs": 3, "progress": False}
        runs.append(nn.fit(model, X, Y, path=path, **options).loss)
    assert runs[0] == runs[1]


class Mute(Twin):
    def forward(self, x: Any) -> None:
        Line.__call__(self, x)


class Bare(Twin):
    def forward(self, x: Any) -> Any:
        return self.w * x[0] + self.b


class Empty(nn.Module):
    def __init__(self) -> None:
        self.w = [0.5]

    def forward(self, x: Any) -> Any:
        return [self.w[0] * x[0]]


class Untold(nn.Loss):
    def forward(self, y: Any, t: Any) -> Any:
        return (y[0] - t[0]) ** 2


@pytest.mark.parametrize(
    ("model", "loss", "what"),
    [
        (Mute, nn.MSELoss(), "returned None: its forward lacks a return"),
        (Bare, nn.MSELoss(), r"return a list of it, \[y\]"),
        (Empty, nn.MSELoss(), r"self\.w = engine\.Value"),
        (Twin, Untold(), r"Untold defines no term; write\n    def term"),
        (nn.Module, nn.MSELoss(), r"defines no forward; write\n    def forward|engine\.Values"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_what_a_part_of_ones_own_lacks_is_told(model: Any, loss: Any, what: str, path: str) -> None:
    made = model()
    with pytest.raises((TypeError, ValueError), match=what):
        optimizer = nn.SGD(made.parameters(), lr=0.1)
        nn.fit(made, X, Y, loss=loss, optimizer=optimizer, epochs=1, path=path, progress=False)


def test_a_loss_that_takes_lists_for_numbers_is_told_so() -> None:
    model = Twin()
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError) as caught:
        nn.fit(model, X, Y, loss=lambda y, t: (y - t) ** 2, optimizer=optimizer, epochs=1)
    assert "a list of 1, and its target: output[0] is" in caught.value.__notes__[0]
