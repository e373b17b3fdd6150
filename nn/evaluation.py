"""What `fit` looks at between epochs: validation data, metrics, and whether it is time to stop."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from nn.examples import Examples
from nn.inputs import Inputs
from nn.losses import Loss
from nn.module import Module
from nn.predicting import Measure, Metric
from nn.settings import names_of_all
from nn.stopping import Best, EarlyStopping
from nn.updates import History

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Evaluation:
    """The loss on `validation` data, the metrics of it and of `examples`, and early stopping.

    What is found is noted in the `history`, and in `best` the weights that `stopping` keeps. It
    looks up to `times` times.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        examples: Examples,
        history: History,
        *,
        validation: tuple[Inputs, Array] | None,
        metrics: Mapping[str, Metric],
        stopping: EarlyStopping | None,
        path: str,
        times: int,
    ) -> None:
        self._model, self._loss, self._examples = model, loss, examples
        self._history, self._path, self._times, self.best = history, path, times, Best()
        self.validation, self.metrics, self.stopping = validation, metrics, stopping
        self._measures: list[Measure] | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether there is anything to look at."""
        return self.validation is not None or bool(self.metrics) or self.stopping is not None

    def look(self, epoch: int, theta: Array, penalty: float, *, anew: bool) -> None:
        """Note the validation loss and the metrics after an epoch, and whether to stop.

        `penalty` is that of L2 at `theta`. With `anew` the model may be another than before.
        """
        history = self._history
        if self._measures is None or anew:
            self._measures = self._made()
        found, *others = [measure() for measure in self._measures]
        for numbers in others:
            history.val_loss.append(self._per_example(numbers.pop("loss"), penalty))
            found |= {f"val_{name}": number for name, number in numbers.items()}
        for name, number in found.items():
            history.metrics.setdefault(name, []).append(number)
        history.evaluated.append(epoch)
        if self.stopping is not None:
            number = history.monitored[self.stopping.monitor][-1]
            if self.best.see(self.stopping, number, epoch, theta):
                history.stopped = (
                    f"{self.stopping.monitor} has not improved since epoch {self.best.epoch}"
                )
            history.best_epoch = self.best.epoch

    def _made(self) -> list[Measure]:
        """What measures the training data, and the validation data if there are any."""
        options: dict[str, Any] = {"path": self._path, "lenient": True}
        options["times"] = self._times if self._history.path == "vectorised" else 1
        X, y, metrics = self._examples.X, self._examples.y, self.metrics
        of_all = {name: metrics[name] for name in names_of_all(metrics)}
        measures = [Measure(self._model, X, y, metrics=of_all, **options)]
        if self.validation is not None:
            options |= {"metrics": metrics, "loss": self._loss}
            measures.append(Measure(self._model, *self.validation, **options))
        return measures

    def _per_example(self, loss: float, penalty: float) -> float:
        """The loss on the validation data as that of an epoch is told: L2 is part of it."""
        if self._loss.reduction == "mean" or self.validation is None:
            return loss + penalty
        examples = self._examples  # a sum has the penalty once a batch
        return loss / len(self.validation[0]) + penalty * examples.updates / examples.each_epoch

    def restore_best(self, theta: Array) -> bool:
        """Put the best weights into `theta`, if they were to be kept; return whether it was so."""
        stopping = self.stopping
        if stopping is None or not stopping.restore_best or self.best.theta is None:
            return False
        theta[:] = self.best.theta
        return True

    def check(self) -> None:
        """Warn where the validation loss was not finite, in a run that did not diverge."""
        wrong = np.flatnonzero(~np.isfinite(self._history.val_loss))
        if len(wrong):
            k = int(wrong[0])
            warnings.warn(
                f"the validation loss is {self._history.val_loss[k]} after epoch "
                f"{self._history.evaluated[k]}, though the training loss is finite: are there "
                "validation rows far from those of training? Early stopping takes it for no "
                "improvement",
                RuntimeWarning,
                stacklevel=4,
            )
