"""Training: a model for one example, and a batch of them, to a run and its History.

`fit` runs a model and a loss that are written in scalars, on one of two paths (`paths`): example
by example, or compiled and a batch at a time. The results are the same. What an update is, is said
in `updates`; here is what goes on around them: epochs, evaluation, checkpoints, ends.
"""

from __future__ import annotations

import functools
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from engine import Value
from engine.errors import whole
from engine.leaves import numbers_of
from nn import identity
from nn.adopting import LossLike, ModelLike, loss_of, model_of, optimizer_of, scheduler_of
from nn.checkpoints import Checkpoints, TrainingState, check_can_be_saved
from nn.compiled_model import CANT_COMPILE
from nn.distributed.groups import DistributedError, Group, ShardedPath, group_of, nothing
from nn.distributed.shards import sizes
from nn.divergence import DivergenceError, OnNonfinite, Watch
from nn.evaluation import Evaluation
from nn.examples import ClassWeight, Examples, checked_data, is_loader
from nn.interrupts import Interrupts, Stopped
from nn.losses import Loss
from nn.module import Module, values_of
from nn.optim import LRScheduler, Optimizer, ReduceLROnPlateau
from nn.optim.update import Update
from nn.predicting import Metric, names_of
from nn.progress import Bar
from nn.scalar_path import ScalarPath, check_first
from nn.settings import (
    Settings,
    check_batches,
    check_monitor,
    check_moved,
    check_shared,
    check_steps,
    checked_callbacks,
)
from nn.stopping import EarlyStopping
from nn.updates import History, PathName, Updates, write
from nn.vectorised_path import VectorisedPath

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
AnyPath: TypeAlias = ScalarPath | VectorisedPath | ShardedPath
Callback: TypeAlias = Callable[[int, History], object]


def fit(
    model: ModelLike,
    X: Any,
    y: Any = None,
    *,
    loss: LossLike,
    optimizer: Any,
    epochs: int,
    batch_size: int | None = None,
    shuffle: bool = False,
    path: PathName = "auto",
    dtype: Any = np.float64,
    native: bool = True,
    seed: int = 0,
    validation_data: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight = None,
    l2: float = 0.0,
    clip_norm: float | None = None,
    scheduler: Any = None,
    early_stopping: EarlyStopping | None = None,
    metrics: Sequence[Metric] = (),
    evaluate_every: int = 1,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    on_nonfinite: OnNonfinite = "stop",
    on: Group | None = None,
) -> History:
    """Train `model` on the rows of X and y, in place, and return the History.

    X and y have one row an example; a row of y has the shape of the model's output. A DataLoader
    may stand for both, and then says the batches. Where the model's forward takes several inputs,
    X is a tuple of arrays, (a, b), or a dict of them by forward's names; a DataLoader has them as
    the fields before the last. PyTorch's DataLoader, or any other iterable of such batches, of
    arrays, tensors or lists, will do as well: it is read once an epoch, into memory.

    `batch_size` None is the full batch; a last partial batch is used. `shuffle` draws a new order
    every epoch from `seed`. `scheduler` is stepped after every epoch, or every update if it was
    made with interval="step"; a `ReduceLROnPlateau` goes by the validation loss, or what it says.

    What is not derived from ours will do as well. The model may be any callable on one example
    whose `parameters()` are Values. The loss may be a function of (output, target) of one example
    that returns one number, or have `terms(output, target)`. The optimiser may have `step()`, which
    moves its `parameters` by their `grad`, the scheduler `step()`; both then run in Python between
    updates, and can't be checkpointed. A callback that sets `history.stopped` ends the run.

    Each example's loss counts by its `sample_weight`, a number each, and by the `class_weight` of
    its label, a dict or "balanced", in the sum and, for a mean, in what it is divided by. `l2` adds
    l2/2 · Σ w² over all parameters that the optimiser moves but biases (those called `bias`,
    `bias_ih_l0` or `b`), and is part of the loss. The gradient's norm is clipped at `clip_norm`.

    After every `evaluate_every` epochs and the last one, the loss on `validation_data` (X and y, or
    a loader) and the `metrics`, functions of y and the predictions such as `nn.metrics.accuracy`,
    of both sets of data are noted in the History, and `early_stopping` looks at them; a function
    with a true attribute `held_out_alone` is of the validation data, which takes less time. After
    every epoch each callback is called with its number and the History so far, and at the end those
    that have a method `at_end` by it, with the History.

    `path` is "scalar" (every example on Values), "vectorised" (the same code, compiled), or
    "auto", which takes "vectorised" where the model compiles; the History says which, and why.
    `dtype` is float64, or on the vectorised path float32. There ``native=False`` runs what was
    compiled on functions that Numba makes, in place of machine code of its own: see
    `engine.compile`.

    A run that diverges stops: before the first update whose loss or gradient is inf or nan, or
    that would make a parameter so. A RuntimeWarning and `stopped` in the History say which update
    it is, at which operation it begins, on which line and for which row of X
    (`engine.find_nonfinite`), the likely cause, and what to try; the model has the weights before
    it, or the best ones of `early_stopping`. With `on_nonfinite="continue"` there is one warning,
    and the run goes on. A batch whose weights are all 0 makes no update.

    Ctrl-C ends the run after the update under way: the model has the last weights, or the best
    ones of `early_stopping`, and the History so far is returned.

    With a folder as `checkpoint`, the run is saved there every few seconds and at its end. Killed
    at any moment and called again with the same arguments, it goes on from there, and ends with
    the very same weights (models that branch on their data, on the vectorised path: but for
    rounding). `epochs` is then the total, so that a higher number goes on with a run that had
    ended. What may differ from the run that was saved are `epochs`, `progress`, `callbacks`, the
    folder's name, the numbers that the model begins with, and the state of a loader's generator;
    another architecture, data, loss or setting is another run. Callbacks of an epoch may be called
    again. Where a checkpoint can't be written, for lack of room for example, there is a warning,
    and the run goes on without.

    With `on` a batch is divided among processes: `nn.distributed.mpi()` or `dask(client)`. Its
    gradient is then the sum of those of 16 shards, or another fixed number of them, in a fixed
    order, each computed in one thread, so that the weights are the same, to the last bit, for any
    number of processes, and for `nn.distributed.local()` (models that branch on their data, on the
    vectorised path: but for rounding). See `docs/distributed.md`.

    Raises ValueError for NaN and inf, for rows of different lengths, for X and y of different
    lengths, where outputs and targets differ in shape, and where the optimiser moves none of the
    model's parameters, or frozen ones, or is not the scheduler's; TypeError for a class or a name
    in place of a loss, an optimiser or a scheduler; TraceError where the vectorised path is asked
    for and can't be; CheckpointError for a checkpoint that is damaged or of another run;
    DistributedError where processes are about different runs. All of this is found before the
    first update; the parameters are then as they were. Where all workers are gone later on, a
    DistributedError leaves the last weights in the model and in the checkpoint.
    """
    group = group_of(on)
    with group.beginning():
        model, loss = model_of(model), loss_of(loss)
        scheduler = scheduler_of(scheduler, optimizer)
        optimizer = optimizer_of(optimizer)
        check_moved(model, optimizer)
        if checkpoint is not None or group.size > 1:
            check_can_be_saved(optimizer, scheduler)
        settings = Settings(
            *(epochs, path, dtype, native, seed, l2, clip_norm),
            *(evaluate_every, progress and group.leads, on_nonfinite),
        )
        examples = Examples(
            *(X, y, loss),
            batch_size=whole("batch_size", batch_size, 1) if batch_size is not None else None,
            shuffle=shuffle,
            seed=settings.seed,
            sample_weight=sample_weight,
            class_weight=class_weight,
        )
        check_batches(optimizer, examples.updates)
        check_shared(examples, group.shards)
        validation = None
        if validation_data is not None:
            pair = (validation_data, None) if is_loader(validation_data) else validation_data
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError("validation_data is a pair of X and y, such as (X_test, y_test)")
            names = ("the validation X", "the validation y")
            validation = checked_data(pair[0], pair[1], loss, *names)
        named = names_of(metrics)
        check_monitor(early_stopping, scheduler, validation is not None, named)
        check_steps(scheduler, examples.updates, settings.epochs, checkpoint is not None)
        history = History()
        evaluation = Evaluation(
            *(model, loss, examples, history),
            validation=validation,
            metrics=named,
            stopping=early_stopping,
            path=settings.path,
            times=settings.epochs // settings.evaluate_every,
        )
        parts = (model, loss, optimizer, scheduler, examples, settings, history, evaluation)
        run = _Run(*parts, group)
        run.callbacks = checked_callbacks(callbacks if group.leads else ())
    return run.go(checkpoint)


class _Run:
    """One call of `fit`: its numbers on their way, `theta`, and what there is around them."""

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        examples: Examples,
        settings: Settings,
        history: History,
        evaluation: Evaluation,
        group: Group,
    ) -> None:
        self.model, self.loss, self.examples, self.settings = model, loss, examples, settings
        self.optimizer, self.scheduler = optimizer, scheduler
        self.group = group
        self.callbacks: list[Callback] = []
        self._pauses = False  # whether some process has any
        self.parameters = optimizer.parameters()
        self.theta = np.array(numbers_of(self.parameters), settings.dtype)
        self.gradient = np.zeros_like(self.theta)
        l2 = _l2_of(model, self.parameters, settings.l2)
        self.update = Update(optimizer, l2=l2, clip_norm=settings.clip_norm)
        self.mean = loss.reduction == "mean"
        self.history, self._evaluation = history, evaluation
        self.epoch = 0  # how many are over
        self._began = time.perf_counter()
        self._generator_state: Any = None  # of a DataLoader's own, before the epoch under way
        self._interrupts = Interrupts()
        group.begin(self._interrupts)
        self._state = TrainingState(
            theta=self.theta,
            gradient=self.gradient,
            optimizer=optimizer,
            scheduler=scheduler,
            history=history,
            best=evaluation.best,
        )
        self._checkpoints: Checkpoints | None = None
        total = settings.epochs * examples.each_epoch
        self.bar = Bar(total, settings.progress, estimate=settings.path == "scalar")
        self._updates = Updates(
            *(self.theta, self.gradient, self.update, self.mean, settings.seed),
            *(self.history, self.bar, self._between_calls, self._watch()),
            fall_back=self._fall_back,
        )

    # --- from the beginning to the end ---

    def go(self, checkpoint: str | os.PathLike[str] | None) -> History:
        """Train, whatever happens on the way, and return the History."""
        history = self.history
        try:
            with self.group.beginning():
                self._step = self._training_path()
                self._check_shapes()
            self.group.compare(lambda: {"epochs": self.settings.epochs, **self._identity()})
            self._pauses = self.group.share(lambda: bool(self.callbacks))
            if checkpoint is not None or self.group.size > 1:
                self._in_one(lambda: self._go_on_from(checkpoint))
            if self.settings.path == "auto" and self.settings.progress:
                self.bar.say(f"{history.path} path: {history.reason}")
            with self._interrupts:
                while self.epoch < self.settings.epochs and not history.stopped:
                    self._some_epochs()
                    self._between_epochs()
            self._save()
            self._evaluation.restore_best(self.theta)
            if self.group.leads:
                self._evaluation.check()
        except DivergenceError as end:
            history.stopped = str(end)
            self._note_epochs()
            self._save()
            self._evaluation.restore_best(self.theta)
            if self.group.leads:
                warnings.warn(f"the run stopped: {end}", RuntimeWarning, stacklevel=3)
        except DistributedError:
            self._save()
            raise
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, Stopped):
                self._save()
            history.stopped = f"Ctrl-C in epoch {self.epoch + 1} of {self.settings.epochs}"
            kept = "best" if self._evaluation.restore_best(self.theta) else "last"
            if self.settings.progress:
                self.bar.say(f"stopped by {history.stopped}: the model has the {kept} weights")
        finally:
            if history.step_loss:
                write(self.parameters, self.theta, self.gradient)
                self._note_epochs()
            self.bar.close()
            self._note_time()
        for callback in self.callbacks:
            if hasattr(callback, "at_end"):
                callback.at_end(history)
        return history

    def _some_epochs(self) -> None:
        """An epoch; or several at once, if they are short and nothing is between them."""
        examples, history = self.examples, self.history
        within = len(history.step_loss) - self.epoch * examples.updates  # done before
        some = max(1, self._updates.burst // examples.updates, -(-within // examples.updates))
        some = min(some, self._epochs_at_once)
        if examples.generator is not None:
            self._generator_state = examples.generator.getstate()
        orders, starts = zip(
            *map(examples.epoch, range(self.epoch, self.epoch + some)), strict=True
        )
        if examples.are_read_anew:
            self._step.read_data()
        ends = np.cumsum([0, *map(len, orders)])[:-1, None] + np.stack(starts)[:, 1:]
        self._updates.run(
            self._step,
            None if self._each_epoch else self.scheduler,
            np.concatenate(orders),
            np.append(0, ends.ravel())[within:],
        )
        self.epoch += some
        self._note_epochs()

    def _watch(self) -> Watch:
        """Who says when an update is not finite, and why: by an example on the scalar path."""
        model, loss, examples, settings = self.model, self.loss, self.examples, self.settings

        def when(update: int) -> str:
            epoch = update // examples.updates + 1
            return f"update {update + 1:,}, in epoch {epoch} of {settings.epochs}"

        def loss_of(row: int) -> Callable[[], Any]:
            path = ScalarPath(model, loss, self.parameters, examples.X, examples.y, lambda: None)
            return lambda: path.loss_of(row)[0]

        parts = (self.optimizer, self.parameters, when, loss_of, model)
        return Watch(settings.on_nonfinite, *parts)

    @property
    def _each_epoch(self) -> bool:
        return self.scheduler is not None and self.scheduler.interval == "epoch"

    @property
    def _epochs_at_once(self) -> int:
        """How many epochs there are before something is to be done between two."""
        own = self.examples.generator is not None  # its state is noted before every epoch
        if self._pauses or self._each_epoch or own or self.examples.are_read_anew:
            return 1
        every, left = self.settings.evaluate_every, self.settings.epochs - self.epoch
        return min(left, every - self.epoch % every) if self._evaluation.is_asked_for else left

    def _between_calls(self) -> None:
        self._note_time()
        if self._checkpoints is not None:
            self._checkpoints.save_if_due(self._progress())
        self.group.check_interrupts()

    def _between_epochs(self) -> None:
        """What is to be done after an epoch, or several that need nothing in between."""
        every, epochs = self.settings.evaluate_every, self.settings.epochs
        due = self.epoch % every == 0 or self.epoch == epochs
        looking = self._evaluation.is_asked_for and due
        if looking or self._pauses:
            self._in_one(lambda: self._look(looking))
        else:
            self._look(looking)
        if self._pauses:  # callbacks may have changed the data
            self._step.read_data()
        self._between_calls()

    def _in_one(self, work: Callable[[], object]) -> None:
        """Do in the first process what is one's to do, and have the others take what it made of
        the run."""

        def done() -> Any:
            work()
            return self._state.content(self._progress()) if self.group.size > 1 else None

        content = self.group.share(done)
        if not self.group.leads:
            self._take_over(self._state.take(*content))

    def _look(self, looking: bool) -> None:
        """Evaluate, if it is time to, step a schedule that goes by epochs, and call callbacks."""
        history, evaluation = self.history, self._evaluation
        if looking or self.callbacks:
            write(self.parameters, self.theta, self.gradient)
        if looking:
            penalty = self.update.penalty(self.theta)
            evaluation.look(self.epoch, self.theta, penalty, anew=bool(self.callbacks))
        self._step_scheduler(looking)
        self._note_time()
        self.bar.describe(self._described())
        for callback in self.callbacks:
            try:
                callback(self.epoch - 1, history)
            finally:
                self.theta[:] = numbers_of(self.parameters)  # it may have moved them

    def _step_scheduler(self, looked: bool) -> None:
        """Step a schedule that goes by epochs; one of a plateau is told what it looks at."""
        scheduler, lists = self.scheduler, self.history.monitored
        if isinstance(scheduler, ReduceLROnPlateau):
            monitor = scheduler.monitor or ("val_loss" if self._evaluation.validation else "loss")
            if looked or monitor == "loss":
                scheduler.step(lists[monitor][-1])
        elif scheduler is not None and self._each_epoch:
            scheduler.step()

    # --- checkpoints ---

    def _go_on_from(self, folder: str | os.PathLike[str] | None) -> None:
        """Save here from now on, and go on from what was saved, if it was."""
        if folder is None:
            return
        self._checkpoints = Checkpoints(folder, self._identity(), self._state)
        progress = self._checkpoints.load()
        if progress is None:
            return
        self._take_over(progress)
        done = len(self.history.step_loss) / self.examples.updates
        self._began -= self.history.seconds
        self.bar.advance(int(done * self.examples.each_epoch))
        if self.settings.progress:
            self.bar.say(f"going on from {self._checkpoints.path}, after {done:.4g} epochs")

    def _save(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.save(self._progress())

    def _take_over(self, progress: dict[str, Any]) -> None:
        """Be where another run, or another process, is."""
        self.epoch = progress["epoch"]
        self.history.stopped = progress["stopped"]
        self.history.best_epoch = self._evaluation.best.epoch
        generator = self.examples.generator
        if generator is not None and progress["generator"]:
            version, numbers, gauss = progress["generator"]
            generator.setstate((version, tuple(numbers), gauss))

    def _identity(self) -> dict[str, Any]:
        """All that makes this the run that it is: see `fit` for what may be another."""
        settings, evaluation = self.settings, self._evaluation
        held_out = None
        if evaluation.validation is not None:
            X, y = evaluation.validation
            held_out = [X.identity(), identity.of_array(y, float)]
        return {
            "model": identity.of_module(self.model),
            "shape of the parameter": identity.of_parameters(self.model),
            "number of parameters that move": len(self.theta),
            **self.examples.identity(),
            "loss": identity.of_module(self.loss),
            "optimiser": type(self.optimizer).__name__,
            "optimiser's group": identity.of_optimizer(self.optimizer),
            "scheduler": identity.of_scheduler(self.scheduler),
            "dtype": settings.dtype.name,
            "path": self.history.path,
            **({} if settings.native else {"native": False}),
            **({"shards": self.group.shards} if self.group.shards else {}),
            "seed": settings.seed,
            "l2": settings.l2,
            "clip_norm": settings.clip_norm,
            "on_nonfinite": settings.on_nonfinite,
            "validation data": held_out,
            "metrics": [*evaluation.metrics],
            "evaluate_every": settings.evaluate_every if evaluation.is_asked_for else None,
            "early stopping": repr(evaluation.stopping),
        }

    def _progress(self) -> dict[str, Any]:
        """Where the run is, besides what the checkpoint knows by itself."""
        examples, state = self.examples, self._generator_state
        is_between_epochs = len(self.history.step_loss) == self.epoch * examples.updates
        if examples.generator is not None and is_between_epochs:
            state = examples.generator.getstate()
        return {"epoch": self.epoch, "stopped": self.history.stopped, "generator": state}

    # --- small things ---

    def _training_path(self) -> AnyPath:
        """The path that was asked for, or the better one that is possible; `history` says why."""
        settings, history, examples = self.settings, self.history, self.examples
        if settings.path == "scalar":
            return self._scalar_path("it was asked for")
        shards = self.group.shards
        make = functools.partial(
            VectorisedPath,
            *(self.model, self.loss, self.parameters, examples.X, examples.y),
            nothing if shards else self.bar.advance,
            settings.dtype,
            examples.size,
            settings.epochs * examples.updates,
            examples.weights,
            native=settings.native,
            sizes=sizes(np.diff(examples.starts).tolist(), shards) if shards else (),
        )
        try:
            step = self._spread(make)
        except CANT_COMPILE as error:
            self._check_auto(error)
            return self._scalar_path(str(error))
        history.path, history.reason = "vectorised", "the model and the loss compile"
        if not self.update.can_loop(settings.dtype):
            own = "step is called" if type(self.optimizer).rule is None else "rule is applied"
            history.reason += f"; the optimiser's own {own} for every update"
        return step

    def _spread(self, make: Callable[[], ScalarPath | VectorisedPath]) -> AnyPath:
        """The path, or if batches are divided, one on which the group computes."""
        if not self.group.shards:
            return make()
        return ShardedPath(make, self.group, self.bar.advance, native=self.settings.native)

    def _check_shapes(self) -> None:
        """Find outputs and targets of different shapes before the first update: tracing did that
        for the examples of the vectorised path."""
        model, loss, step = self.model, self.loss, self._step
        step = step.inner if isinstance(step, ShardedPath) else step
        own = self.examples.X, self.examples.y
        if isinstance(step, ScalarPath):
            check_first(model, loss, *own)
        held_out = self._evaluation.validation
        if held_out is None:
            return
        alike = own[0].form == held_out[0].form and own[1].shape[1:] == held_out[1].shape[1:]
        if alike and isinstance(step, VectorisedPath):
            step.check(*held_out)
        else:
            check_first(model, loss, *held_out)

    def _scalar_path(self, reason: str) -> AnyPath:
        """The path on Values, and why it is taken."""
        self.history.path, self.history.reason = "scalar", reason
        given = (self.model, self.loss, self.parameters, self.examples.X, self.examples.y)
        advance = nothing if self.group.shards else self._advance_by_one
        return self._spread(functools.partial(ScalarPath, *given, advance, self.examples.weights))

    def _fall_back(self, error: Exception) -> AnyPath:
        """The path for the rest of a run in which something came up that can't be compiled."""
        self._check_auto(error)
        self._step = self._scalar_path(str(error))
        if self.settings.progress:
            self.bar.say(f"scalar path from here on: {error}")
        return self._step

    def _check_auto(self, error: Exception) -> None:
        """Raise the error, unless any path will do."""
        if self.settings.path != "auto" or self.settings.dtype != np.float64:
            raise error

    def _advance_by_one(self) -> None:
        """Count an example; what Ctrl-C leaves undone is the update that it is part of."""
        self.bar.advance()
        self._interrupts.check()

    @np.errstate(over="ignore")
    def _note_epochs(self) -> None:
        """Add the mean losses of the epochs that are complete and not yet in the History."""
        history, each = self.history, self.examples.updates
        while (len(history.loss) + 1) * each <= len(history.step_loss):
            part = slice(len(history.loss) * each, (len(history.loss) + 1) * each)
            losses, weights = np.array(history.step_loss[part]), np.array(history.step_weight[part])
            total, weight = losses.sum(), float(self.examples.each_epoch)
            if self.mean:  # of no terms it is nan, and counts for nothing
                counted = weights != 0.0
                total, weight = np.dot(losses[counted], weights[counted]), weights.sum()
            history.loss.append(float(total) / float(weight) if weight else math.nan)

    def _note_time(self) -> None:
        self.history.seconds = time.perf_counter() - self._began

    def _described(self) -> str:
        """What stands beside the progress after an epoch."""
        lists = self.history.monitored.items()
        return ", ".join(f"{name} {numbers[-1]:.4g}" for name, numbers in lists if numbers)


def _l2_of(model: Module, parameters: Sequence[Value], l2: float) -> Array | None:
    """The strength of each parameter's penalty: `l2`, and 0 for biases."""
    if l2 == 0.0:
        return None
    biases = {
        p
        for name, item in model.named_parameters()
        if (own := name.rpartition(".")[2]) == "b" or "bias" in own.split("_")  # as bias_ih_l0
        for p in values_of(item)
    }
    return np.array([0.0 if p in biases else l2 for p in parameters])
