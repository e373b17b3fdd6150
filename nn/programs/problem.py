"""What the programs have in common: a problem to train, its figures, and the lines about them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import nn
from nn import plots
from nn.metrics import accuracy
from nn.module import values_of
from nn.programs import Options

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_SIDE_BY_SIDE = 64  # rows at most of a step that is taken on both paths, for their times


@dataclass
class Problem:
    """What a program trains: a model from its first weights, on the rows of X and y.

    `points` is how many were asked for; `epochs` is how many the program takes by itself. On the
    scalar path all is float64; `dtype` is the vectorised one's.
    """

    model: nn.Module
    loss: nn.Loss
    optimizer: nn.Optimizer
    X: Array
    y: Array
    X_test: Array
    y_test: Array
    points: int
    epochs: int
    batch_size: int | None = None
    shuffle: bool = False
    dtype: str = "float64"
    l2: float = 0.0
    is_classified: bool = True  # whether rows of y are classes, of which some share is right

    def fit(self, options: Options, **more: Any) -> nn.History:
        """Train the model, on the path and as long as the options say; return the History."""
        if options.lr is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = options.lr
        settings: dict[str, Any] = {
            "loss": self.loss,
            "optimizer": self.optimizer,
            "epochs": self.epochs if options.epochs is None else options.epochs,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "path": options.path,
            "dtype": "float64" if options.path == "scalar" else self.dtype,
            "seed": options.seed,
            "progress": not options.quiet,
            "l2": self.l2,
            **options.of_fit(),
        }
        return nn.fit(self.model, self.X, self.y, **(settings | more))

    def compare_paths(self, rows: int = _SIDE_BY_SIDE) -> nn.Comparison | None:
        """Take one step on both paths, with at most so many rows; None without Numba."""
        try:
            return nn.compare_paths(self.model, self.X[:rows], self.y[:rows], loss=self.loss)
        except ImportError:
            return None

    @property
    def batches(self) -> int:
        """How many there are in an epoch."""
        return -(-len(self.X) // (self.batch_size or len(self.X)))

    def train_loss(self) -> float:
        """Return the mean loss of a training example."""
        return self._loss(self.X, self.y)

    def test_loss(self) -> float:
        """Return the mean loss of a held-out example."""
        return self._loss(self.X_test, self.y_test)

    def train_accuracy(self) -> float:
        """Return the share of training examples that are right."""
        return accuracy(self.y, nn.predict(self.model, self.X))

    def test_accuracy(self) -> float:
        """Return the share of held-out examples that are right."""
        return accuracy(self.y_test, nn.predict(self.model, self.X_test))

    def _loss(self, X: Array, y: Array) -> float:
        loss = nn.evaluate(self.model, X, y, loss=self.loss)
        return loss if self.loss.reduction == "mean" else loss / len(X)


def finished(history: nn.History) -> nn.History:
    """Return the History of one of several runs. Raises KeyboardInterrupt where Ctrl-C ended it."""
    if history.stopped:
        raise KeyboardInterrupt
    return history


def figures(
    program: str, problem: Problem, options: Options, history: nn.History
) -> dict[str, Any]:
    """Return what every program that trains on data says with --json."""
    return {
        "program": program,
        "path": history.path,
        "seed": options.seed,
        "points": problem.points,
        "epochs": problem.epochs if options.epochs is None else options.epochs,
        "steps": len(history.step_loss),
        "seconds": round(history.seconds, 3),
        "train_loss": problem.train_loss(),
        "test_loss": problem.test_loss(),
        "train_accuracy": problem.train_accuracy() if problem.is_classified else None,
        "test_accuracy": problem.test_accuracy() if problem.is_classified else None,
        "batches": problem.batches,
    }


def compared(comparison: nn.Comparison | None) -> dict[str, Any]:
    """Return what --json says of a step on both paths."""
    names = ("largest_difference", "scalar_seconds", "vectorised_seconds")
    difference, scalar, vectorised = (getattr(comparison, name, None) for name in names)
    return {
        "gradient_difference": difference,
        "scalar_step_seconds": scalar,
        "vectorised_step_seconds": vectorised,
    }


def lines(figures: dict[str, Any], comparison: nn.Comparison | None = None) -> list[str]:
    """Return the first lines of a report: the training, both paths, losses and accuracies."""
    epochs, batches = (counted(figures[name], name) for name in ("epochs", "batches"))
    told = [
        f"trained on the {figures['path']} path: {counted(figures['points'], 'points')}, {epochs} "
        f"of {batches}: {counted(figures['steps'], 'updates')} in {figures['seconds']:.1f} s"
        + ", compilation included"
        * (figures["path"] == "vectorised")
    ]
    if comparison is not None:
        told += str(comparison).splitlines()
    return [
        *told,
        f"loss       training {figures['train_loss']:.5f}   held out {figures['test_loss']:.5f}",
        f"accuracy   training {100 * figures['train_accuracy']:.2f} %   "
        f"held out {100 * figures['test_accuracy']:.2f} %",
    ]


def counted(count: int, unit: str) -> str:
    """Return a number with its unit, which is told in the plural.

    >>> counted(1, "batches"), counted(2_000, "epochs")
    ('1 batch', '2,000 epochs')
    """
    if count == 1:
        unit = unit.removesuffix("es" if unit.endswith("ches") else "s")
    return f"{count:,} {unit}"


def saved(out: Path, program: str, pictures: dict[str, tuple[Any, str]]) -> list[Path]:
    """Write plots, by name Axes and their title, to a folder; return the files' paths."""
    paths = []
    for name, (ax, title) in pictures.items():
        ax.set_title(title)
        paths.append(plots.save(ax, out / f"{program}-{name}.png"))
    return paths


def data_lines(problem: Problem, samples: int = 0) -> list[str]:
    """Return a table of the dimensions of data and model, and so many points with their labels."""
    p = problem
    arrays = {"X": p.X, "y": p.y, "X held out": p.X_test, "y held out": p.y_test}
    told = ["dimensions"]
    for name, array in (arrays | p.model.state_dict()).items():
        told.append(f"  {name:10s} {' x '.join(f'{size:,}' for size in array.shape)}")
    for row, label in zip(p.X[:samples], p.y, strict=False):
        told.append(
            f"point      ({', '.join(f'{x:+.3f}' for x in row)}) has the label {label[0]:.0f}"
        )
    return told


def accuracy_lines(watched: Watched, every: int) -> list[str]:
    """Return the accuracies every so many steps, and those of the best model, which was kept."""
    told = [
        f"step {step:9,}  training {100 * train:.1f} %   held out {100 * test:.1f} %"
        for step, train, test in watched.every(every)
    ]
    step, train, test = watched.every(1)[watched.best]
    return [
        *told,
        f"kept       step {step:,}: training {100 * train:.1f} %   held out {100 * test:.1f} %",
    ]


# --- watching accuracies, and keeping the best model ----------------------------------------


@dataclass
class Watched:
    """A run with its accuracies after each of `steps`, the first of them 0.

    `best` is the place of the highest training accuracy, after which the model was kept.
    """

    history: nn.History
    steps: list[int]
    train: list[float]
    test: list[float]
    best: int

    def every(self, steps: int) -> list[tuple[int, float, float]]:
        """Return the step and both accuracies, as often as that, and at the end."""
        rows = list(zip(self.steps, self.train, self.test, strict=True))
        return [row for row in rows if row[0] % steps == 0 or row is rows[-1]]


def fit_watching(problem: Problem, options: Options, every: int) -> Watched:
    """Train as `Problem.fit`, and look at the accuracies every so many epochs.

    The model is left as it was at the highest training accuracy.
    """
    before = problem.train_accuracy(), problem.test_accuracy()
    history = problem.fit(
        options,
        validation_data=(problem.X_test, problem.y_test),
        metrics=[accuracy],
        evaluate_every=every,
        early_stopping=nn.EarlyStopping(monitor="accuracy", mode="max"),
    )
    train, test = (history.metrics.get(name, []) for name in ("accuracy", "val_accuracy"))
    looked = [0, *history.evaluated]
    steps, best = [problem.batches * k for k in looked], looked.index(history.best_epoch or 0)
    return Watched(history, steps, [before[0], *train], [before[1], *test], best)


# --- the engine's gradients, to compare with what is derived by hand ------------------------


def engine_gradients(problem: Problem, X: Array, y: Array) -> dict[str, Array]:
    """Return the gradient of the loss of some rows by each parameter, by `backward` on Values."""
    model, loss = problem.model, copy.copy(problem.loss)
    loss.reduction = "sum"
    model.zero_grad()
    weight = 0.0
    for x, target in zip(X.tolist(), y.tolist(), strict=True):
        output = model(x)
        loss(output, target).backward()
        weight += sum(loss.terms(output, target)[1])
    scale = 1.0 / weight if problem.loss.reduction == "mean" else 1.0
    shapes = {name: array.shape for name, array in model.state_dict().items()}
    return {
        name: scale * np.reshape([p.grad for p in values_of(item)], shapes[name])
        for name, item in model.named_parameters()
    }


def largest_difference(ours: dict[str, Array], theirs: dict[str, Array]) -> float:
    """Return by how much two sets of gradients differ at most, relative to their largest entry."""
    scale = max(float(np.abs(array).max()) for array in theirs.values())
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs) / scale
