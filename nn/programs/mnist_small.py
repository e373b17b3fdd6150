"""500 handwritten digits, learnt by heart: over-fitting, and three answers to it.

A network 784-30-10 of sigmoids, with the cost C = ½ Σ (a - y)² summed over the examples, is
trained by 20,000 steps of gradient descent on 500 digits only, for its 23,860 weights and biases.
It comes to know these digits much better than 100 others. Then the same again with more data, the
first answer where there are any: as many steps, each on 500 of ten times as many digits; with a
term λ/2 Σ w² in the cost (L2), which keeps weights small; and with dropout, where each step is done
by a random half of the hidden units. In all three the two accuracies are closer together.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import nn
from nn import plots
from nn.data import one_hot
from nn.programs import Options, Report
from nn.programs import problem as common
from nn.programs.handwritten import DATA_OPTION, Digits, handwritten, note_lines
from nn.programs.problem import Problem, Watched
from nn.programs.sigmoid_networks import HalfSquaredError, make_model

SUMMARY = "500 handwritten digits learnt by heart, 784-30-10 of sigmoids; more data, L2 and dropout"
OPTIONS = {"data": DATA_OPTION}
POINTS, EPOCHS = 500, 20_000
HIDDEN, CLASSES = 30, 10
LEARNING_RATE = 5e-4
MORE, L2, DROPOUT = 10, 0.5, 0.5  # times as many digits, λ, and the share of units off
LOOK, TELL = 500, 1_000  # steps from one look at the accuracies to the next, and between lines
PUBLISHED = "training 10.8, 46.4, 59.2, … 85.6 %; best 85.8 %, test 59 %"


def problem(options: Options) -> Problem:
    """Return what is trained, without an answer to over-fitting."""
    return problem_of(some(handwritten(options), options), options)


def problem_of(
    found: Digits,
    options: Options,
    l2: float = 0.0,
    dropout: float = 0.0,
    batch_size: int | None = None,
) -> Problem:
    """Return what is trained on some digits, all of them in each step or a batch."""
    sizes = [found.X.shape[1], HIDDEN, CLASSES]
    model = make_model(sizes, random.Random(options.seed), dropout)
    return Problem(
        model,
        HalfSquaredError(),
        nn.SGD(model.parameters(), lr=LEARNING_RATE),
        *(found.X, one_hot(found.y, CLASSES), found.X_test, one_hot(found.y_test, CLASSES)),
        len(found.X),
        EPOCHS,
        batch_size=batch_size,
        shuffle=batch_size is not None,
        dtype="float32",
        l2=l2,
    )


def some(all_digits: Digits, options: Options, times: int = 1) -> Digits:
    """Return the few digits to learn, or so many times as many, if there are, and others to ask."""
    points = POINTS if options.points is None else options.points
    many = points if times == 1 else min(times * points, len(all_digits.X))
    return all_digits.some(many, max(1, points // 5), options.seed)


def fit_watching(p: Problem, options: Options) -> Watched:
    """Train in as many steps as there are epochs for a full batch, and look every LOOK steps."""
    steps = EPOCHS if options.epochs is None else options.epochs
    epochs, look = -(-steps // p.batches), max(1, LOOK // p.batches)
    return common.fit_watching(p, replace(options, epochs=epochs), look)


def run(options: Options) -> Report:
    """Train four times: plainly, on more data, with L2, and with dropout."""
    all_digits = handwritten(options)
    found, more = some(all_digits, options), some(all_digits, options, MORE)
    p = problem_of(found, options)
    answers = {
        "plain": p,
        "more data": problem_of(more, options, batch_size=len(found.X)),
        "L2": problem_of(found, options, l2=L2),
        "dropout": problem_of(found, options, dropout=DROPOUT),
    }
    runs = {}
    for name, answer in answers.items():
        runs[name] = fit_watching(answer, options)
        common.finished(runs[name].history)
    figures = common.figures("mnist-small", p, options, runs["plain"].history)
    figures |= {
        "data": found.source,
        "parameters": len(p.model.parameters()),
        "more_points": len(more.X),
        "best_step": runs["plain"].history.best_epoch,
        "at_the_end": {
            name: {"train_accuracy": run.train[-1], "test_accuracy": run.test[-1]}
            for name, run in runs.items()
        },
    }
    pictures = [] if options.out is None else _draw(options.out, found, answers, runs)
    return Report(figures, _text(figures, found, runs), pictures)


def _text(figures: dict[str, Any], found: Digits, runs: dict[str, Watched]) -> str:
    lines = [*note_lines(found), *common.lines(figures)]
    lines += common.accuracy_lines(runs["plain"], TELL)
    if found.source == "MNIST":
        lines.append(f"published  {PUBLISHED}")
    for name, run in runs.items():
        train, test = 100 * run.train[-1], 100 * run.test[-1]
        lines.append(
            f"at the end {name:9s} training {train:.1f} %   held out {test:.1f} %: "
            f"{train - test:.1f} points apart"
        )
    return "\n".join(lines)


def _draw(
    out: Path, found: Digits, answers: dict[str, Problem], runs: dict[str, Watched]
) -> list[Path]:
    """Write the accuracies of all runs by step, and the weights of two.

    Plainly trained they still are mostly the random ones of the beginning.
    """
    named = {"plain": "plain", "more data": "more data"}
    named |= {"L2": f"L2, λ = {L2}", "dropout": f"dropout {DROPOUT}"}
    curves = plots.overfitting_curves(
        {named[name]: (run.steps, run.train, run.test) for name, run in runs.items()}
    )
    pictures = {"overfitting": (curves, f"{len(found.X)} digits: training against held out")}
    for name in ("plain", "L2"):
        weights = answers[name].model.state_dict()["0.weight"]
        title = f"What each of the {HIDDEN} hidden units looks for: {named[name]}"
        pictures[f"weights-{name.lower()}"] = plots.weight_images(weights, found.shape), title
    return common.saved(out, "mnist-small", pictures)
