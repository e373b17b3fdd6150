"""The two paths of training: the same model and loss, example by example or compiled.

Each is a function of the parameters' numbers, flat, and a batch, to the batch's loss and its
gradient, flat as well. `ScalarPath` builds and differentiates one example's graph at a time, so
that memory is one example's however large the batch is; `VectorisedPath` runs the program that
`engine.compile` makes of the very same code.

Programs are kept for as long as their model lives, and used again: they watch what they read.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

import engine
from engine import Value
from engine.compiled.machine import Training
from engine.randomness import drawing
from engine.value import numbers_of, set_leaves
from nn.losses import Loss
from nn.module import Module
from nn.optim import LRScheduler
from nn.optim.update import Update

Array = np.ndarray[Any, np.dtype[Any]]


CANT_COMPILE = (engine.TraceError, ImportError)  # the latter without Numba
_NARROW = 64  # numbers of an example, up to which batches are read as columns, and not as rows


class Step(NamedTuple):
    """A batch's loss: the sum of its terms, of their weights, and the gradient of the former."""

    total: float
    weight: float
    gradient: Array


class TrainingPath(Protocol):
    """What `fit` asks for at every update: a Step, from numbers of the parameters and a batch."""

    def __call__(self, theta: Array, rows: Array, draws: tuple[int, int]) -> Step:
        """`rows` are the numbers of the batch's examples, `draws` the seed and the step."""

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """The place in `rows` of the first example whose loss is inf or nan; 0 if there is none."""


class ScalarPath:
    """Examples one by one, on Values; `advance` is called after each.

    `weights` has a number for each example, which its loss counts by; None is 1 for all.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        parameters: Sequence[Value],
        X: Array,
        y: Array,
        advance: Callable[[], object],
        weights: Array | None = None,
    ) -> None:
        self._model, self._loss, self._parameters = model, loss, parameters
        self._X, self._y, self._weights = X, y, weights
        self._advance = advance

    def read_data(self) -> None:
        """Nothing: the data are read where they are."""

    def __call__(self, theta: Array, rows: Array, draws: tuple[int, int]) -> Step:
        """Run and differentiate each example, adding into the parameters."""
        set_leaves(self._parameters, theta.tolist(), [0.0] * len(theta))
        total, weight = 0.0, 0.0
        for place, row in enumerate(rows.tolist()):
            with engine.enable_grad(), drawing(*draws, place):
                example, own = self.loss_of(row)
            if isinstance(example, Value):
                example.backward()
                total += example.data
            else:
                total += example
            weight += own
            self._advance()
        return Step(total, weight, np.array([p.grad for p in self._parameters]))

    def loss_of(self, row: int) -> tuple[Any, Any]:
        """The sum of the terms of the example in a row, and of their weights."""
        own = 1.0 if self._weights is None else float(self._weights[row])
        if own == 0.0:
            return 0.0, 0.0  # whatever its loss is, inf and nan too
        output = self._model(self._X[row].tolist())
        terms, weights = self._loss.terms(output, self._y[row].tolist())
        return own * engine.sum(terms), own * sum(weights)

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """Compute the losses, up to the first that is not finite."""
        for p, number in zip(self._parameters, theta.tolist(), strict=True):
            p.data = number
        for place, row in enumerate(rows.tolist()):
            with engine.no_grad(), drawing(*draws, place):
                example, _ = self.loss_of(row)
            if not math.isfinite(getattr(example, "data", example)):
                return place
        return 0


class VectorisedPath:
    """All examples of a batch at once, by a program; `weights` are as for `ScalarPath`.

    Raises TraceError where none can be made.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        parameters: Sequence[Value],
        X: Array,
        y: Array,
        advance: Callable[[int], object],
        dtype: Any = np.float64,
        batch_size: int | None = None,
        updates: int = 1,
        weights: Array | None = None,
    ) -> None:
        self._arrays = arrays = [X, y] if weights is None else [X, y, weights]
        self.program = loss_program(model, loss, parameters, dtype)
        self._stepper = self.program.stepper(*(array[:1] for array in arrays), loss=loss)
        width = sum(array[0].size for array in arrays)
        self._matrix = np.empty((len(X), width), dtype)
        self.read_data()
        self._stepper.expect(updates, batch_size or len(X))
        # once now: what can't be compiled is found here, and code is made for such a batch
        self._stepper(np.array(numbers_of(parameters), dtype), self._matrix[:batch_size])
        self._advance = advance

    def read_data(self) -> None:
        """Take the data as they are now."""
        blocks = [array.reshape(len(array), -1) for array in self._arrays]
        np.concatenate(blocks, axis=1, out=self._matrix, casting="same_kind")
        vars(self).pop("_columns", None)

    @functools.cached_property
    def _columns(self) -> Array:
        """The data with one column an example: batches that lie together are read in place."""
        return np.ascontiguousarray(self._matrix.T)

    def run_steps(
        self,
        theta: Array,
        order: Array,
        starts: Array,
        draws: tuple[int, int],
        update: Update,
        scheduler: LRScheduler | None,
        gradient: Array,
        mean: bool,
        watching: bool,
    ) -> Array | None:
        """Run the updates of some batches in one call, in place, as far as one path goes, with a
        step of the scheduler after each; return the sum of terms and of weights of each.

        It ends before a batch without any weight. Where the loss, the gradient or a parameter
        becomes inf or nan, and that is watched for, all is undone, and None returned."""
        within = np.diff(order[starts[0] : starts[-1]])
        within[starts[1:-1] - starts[0] - 1] = 1  # what follows in another step does not count
        steps = np.stack([starts[:-1], starts[1:]], axis=1)
        batches = Batches(self._matrix, order, False, steps)
        if self._matrix.shape[1] <= _NARROW and (within == 1).all():
            steps += (order[starts[:-1]] - starts[:-1])[:, None]
            batches = Batches(self._columns, order, True, steps)
        losses = _run_steps(
            *(self._stepper, batches, draws, theta, gradient, update, scheduler, mean, watching)
        )
        if losses is not None:
            self._advance(int(starts[len(losses)] - starts[0]))
        return losses

    def __call__(self, theta: Array, rows: Array, draws: tuple[int, int]) -> Step:
        """Run the program on the rows."""
        outputs, gradient = self._stepper(theta, self._rows(rows), draws)
        total, weight = outputs.sum(axis=0, dtype=np.float64).tolist()
        self._advance(len(rows))
        return Step(total, weight, gradient)

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """Compute the losses of all of them."""
        outputs, _ = self._stepper(theta, self._rows(rows), draws, gradient=False)
        return int(np.argmin(np.isfinite(outputs[:, 0])))

    def _rows(self, rows: Array) -> Array:
        """The data of some examples, one row each."""
        whole = len(rows) == len(self._matrix) and bool((np.diff(rows) == 1).all())
        if whole:
            narrow = self._matrix.shape[1] <= _NARROW
            return self._columns.T if narrow else self._matrix
        return self._matrix[rows]


class ScalarFunctionPath:
    """A loss without data, on Values; `advance` is called after each update."""

    def __init__(
        self,
        function: Callable[[], Any],
        parameters: Sequence[Value],
        advance: Callable[[int], object],
    ) -> None:
        self._function, self._parameters, self._advance = function, parameters, advance

    def __call__(self, theta: Array, rows: Array, draws: tuple[int, int]) -> Step:
        """Compute and differentiate the function once."""
        set_leaves(self._parameters, theta.tolist(), [0.0] * len(theta))
        with engine.enable_grad(), drawing(*draws):
            y = _one_value(self._function())
            y.backward()
        self._advance(1)
        return Step(y.data, 1.0, np.array([p.grad for p in self._parameters]))

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """There are no examples."""
        return 0


class FunctionPath:
    """A loss without data, compiled: every update is about the same function of the parameters.

    `function` is a program with the gradient by `parameters`, or is made one. Raises TraceError
    where it can't be.
    """

    def __init__(
        self,
        function: Any,
        parameters: Sequence[Value],
        advance: Callable[[int], object],
        dtype: Any = np.float64,
        updates: int = 1,
    ) -> None:
        self.program = function
        if not isinstance(function, engine.Program):
            options = {"wrt": list(parameters), "dtype": dtype}
            self.program = engine.compile(lambda: _one_value(function()), **options)
        self._stepper, self._advance = self.program.stepper(), advance
        self._stepper.expect(updates)
        self._none = np.zeros((0, 0), dtype)
        self._stepper(np.array(numbers_of(parameters), dtype), self._none)

    def run_steps(
        self,
        theta: Array,
        order: Array,
        starts: Array,
        draws: tuple[int, int],
        update: Update,
        scheduler: LRScheduler | None,
        gradient: Array,
        mean: bool,
        watching: bool,
    ) -> Array | None:
        """Run updates in one call, in place, as far as one path goes; return each one's loss, or
        None as `VectorisedPath` does."""
        nothing = np.zeros((len(starts) - 1, 2), np.int64)
        losses = _run_steps(
            self._stepper,
            Batches(self._none, order, True, nothing),
            *(draws, theta, gradient, update, scheduler, mean, watching),
        )
        if losses is not None:
            losses[:, 1] = 1.0
            self._advance(len(losses))
        return losses

    def __call__(self, theta: Array, rows: Array, draws: tuple[int, int]) -> Step:
        """Run the program once."""
        outputs, gradient = self._stepper(theta, self._none, draws)
        self._advance(1)
        return Step(float(outputs[0, 0]), 1.0, gradient)

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """There are no examples."""
        return 0


def _one_value(y: Any) -> Value:
    if not isinstance(y, Value):
        raise TypeError(f"what is minimised is one Value, and the function returns {y!r}")
    return y


class Batches(NamedTuple):
    """What some updates are about: see `engine.compiled.machine.Training`."""

    data: Array
    order: Array
    in_order: bool
    starts: Array


def _run_steps(
    stepper: Any,
    batches: Batches,
    draws: tuple[int, int],
    theta: Array,
    gradient: Array,
    update: Update,
    scheduler: LRScheduler | None,
    mean: bool,
    watching: bool,
) -> Array | None:
    """Run updates in one call; return the sums of terms and of weights of those that were done.

    Where something becomes inf or nan all are undone, if `watching`, and None is returned.
    """
    count = len(batches.starts)
    if not update.can_loop or not isinstance(scheduler, LRScheduler | None):
        return np.zeros((0, 2))
    before = theta.copy(), gradient.copy()
    rates = back_to = None
    if scheduler is not None:
        rates, back_to = scheduler.ahead(count)
    slots, settings = update.slots(theta.dtype), update.settings(count, rates)
    training = Training(
        **batches._asdict(),
        theta=theta,
        gradient=gradient,
        rule=update.rule,
        slots=slots,
        steps=0,
        settings=settings.astype(theta.dtype),
        mean=mean,
        losses=np.zeros((count, 2)),
        places=np.zeros(0, np.int64),
    )
    done = 0
    try:
        done = stepper.run_steps(training, draws)
    finally:
        if back_to is not None and done < count:
            back_to(done)
    losses, penalties = training.losses[:done], training.settings[:done, 0]
    losses[:, 0] += penalties * (losses[:, 1] if mean else 1.0)
    if watching and not (
        np.isfinite(losses[:, 0]).all()
        and np.isfinite(theta).all()
        and (np.isfinite(slots) | ~np.isfinite(update.slots(theta.dtype))).all()
    ):
        theta[:], gradient[:] = before
        if back_to is not None:
            back_to(0)
        return None
    update.take(slots, done)
    return losses


# --- programs, kept with their models --------------------------------------------------------

_MOST_PROGRAMS = 16  # of one model


def loss_program(
    model: Module, loss: Loss, parameters: Sequence[Value], dtype: Any
) -> engine.Program:
    """Return the program of a batch's loss: the sum of its terms, and of their weights.

    Its arguments are X, y and, if examples count differently, a number for each of them; and by
    its name the `loss`.
    """

    def batch_loss(x: Any, target: Any, own: Any = None, *, loss: Loss) -> Any:
        terms, weights = loss.terms(model(_plain(x)), _plain(target))
        sums = [engine.sum(terms), engine.sum(weights)]
        if own is None:
            return sums
        # where it is 0 the loss counts for nothing, if it is inf or nan too
        return [engine.where(own == 0.0, 0.0, own * part) for part in sums]

    key = ("loss", tuple(map(id, parameters)), np.dtype(dtype).name)
    options = {"in_axes": 0, "reduce": "sum", "wrt": list(parameters), "dtype": dtype}
    return _kept(model, key, lambda: engine.compile(batch_loss, **options))


def output_program(model: Module) -> engine.Program:
    """Return the program of a model's output for each example of a batch."""

    def output(x: Any) -> Any:
        y = model(_plain(x))
        return list(y) if isinstance(y, tuple | np.ndarray) else y

    return _kept(model, ("output",), lambda: engine.compile(output, in_axes=0))


def _plain(x: Any) -> Any:
    return x.tolist() if isinstance(x, np.ndarray) else x


def _kept(
    model: Module, key: tuple[Any, ...], make: Callable[[], engine.Program]
) -> engine.Program:
    """The program of a key, which goes by what the model is at every call."""
    programs: dict[Any, engine.Program] = model._programs
    if key not in programs:
        while len(programs) >= _MOST_PROGRAMS:
            del programs[next(iter(programs))]
        programs[key] = make()
    return programs[key]
