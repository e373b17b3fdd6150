"""The vectorised path: all examples of a batch at once, and many batches in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import engine
from engine import Value
from engine.compiled.faults import are_finite, first_example
from engine.compiled.training import Loop, Steps
from engine.leaves import numbers_of
from nn.compiled_model import loss_program
from nn.inputs import Inputs
from nn.losses import Loss
from nn.module import Module
from nn.optim import LRScheduler
from nn.optim.update import Update
from nn.scalar_path import BatchLoss, one_value

Array = np.ndarray[Any, np.dtype[Any]]


def _stay_finite(slots: Array, update: Update) -> bool:
    """Whether nothing that an optimiser keeps has become inf or nan: what was may stay so."""
    finite = np.isfinite(slots)
    return bool(finite.all() or (finite | ~np.isfinite(update.slots(slots.dtype))).all())


class LoopPath:
    """What compiled paths have in common: a loop, which makes many updates in one call."""

    _loop: Loop
    _advance: Callable[[int], object]  # is told how many examples, or updates, are done
    one_by_one = False  # whether a call makes a single update

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
        """Make the updates of some batches in one call, in place, as far as one path through the
        model goes, with a step of the scheduler after each; return the sum of terms and of weights
        of each that was made.

        It ends before a batch without any weight. Where the loss, the gradient or a parameter
        becomes inf or nan, and that is watched for, all is undone, and None returned.
        """
        count = len(starts) - 1
        planable = getattr(scheduler, "is_planned", scheduler is None)
        if not planable or not update.can_loop(theta.dtype):
            return np.zeros((0, 2))
        before = theta.copy(), gradient.copy()
        planned, back_to = (None, None) if scheduler is None else scheduler.ahead(count)
        settings = update.settings(count, planned).astype(theta.dtype)
        slots = update.slots(theta.dtype)
        steps = Steps(order, starts, theta, gradient, update.rule, slots, settings, mean)
        done = 0
        try:
            done = self._run(steps, draws)
        finally:
            if back_to is not None and done < count:
                back_to(done)
        losses, penalties = steps.losses[:done], settings[:done, 0]
        losses[:, 0] += penalties * (losses[:, 1] if mean else 1.0)
        if watching and not (
            np.isfinite(losses[:, 0]).all()
            and np.isfinite(theta).all()
            and _stay_finite(slots, update)
        ):
            theta[:], gradient[:] = before
            if back_to is not None:
                back_to(0)
            return None
        update.take(slots, done)
        self._count(starts, losses)
        return losses

    def _run(self, steps: Steps, draws: tuple[int, int]) -> int:
        """See `Loop.run`."""
        return self._loop.run(steps, draws)

    def _count(self, starts: Array, losses: Array) -> None:
        """Take note of the updates that were made."""
        self._advance(int(starts[len(losses)] - starts[0]))


class VectorisedPath(LoopPath):
    """All examples of a batch at once, by a program; `weights` are as for `ScalarPath`.

    `advance` is called with how many examples are done. Where `sizes` are given, a batch is run in
    parts of as many rows: the program is then one of its own, and code is made for these sizes in
    their order, so that a part is rounded alike in any process, whatever ran there before.

    Raises TraceError where there can be no program, and ValueError where outputs and targets
    differ in shape.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        parameters: Sequence[Value],
        X: Inputs,
        y: Array,
        advance: Callable[[int], object],
        dtype: Any = np.float64,
        batch_size: int | None = None,
        updates: int = 1,
        weights: Array | None = None,
        *,
        native: bool = True,
        sizes: tuple[int, ...] = (),
    ) -> None:
        X.check(model)
        arrays = (*X.arrays, y) if weights is None else (*X.arrays, y, weights)
        self.program = loss_program(model, loss, parameters, dtype, native, X.names, sizes)
        self._loop = Loop(self.program, *arrays, loss=loss)
        self._parameters, self._arrays = parameters, len(arrays)
        whole = min(batch_size or len(X), len(X))
        self._loop.expect(updates, whole)
        self._size = sizes[0] if sizes else whole
        # once now: what can't be compiled is found here, and code is made for such a batch
        theta = np.array(numbers_of(parameters), dtype)
        for size in sizes or (self._size,):
            self._loop.gradient(theta, np.arange(size), (0, 0))
        self._advance = advance

    def check(self, X: Inputs, y: Array) -> None:
        """Compute the loss of other examples of the same shapes, as many as in a batch.

        Raises what the model and the loss raise for them.
        """
        theta = np.array(numbers_of(self._parameters), self._loop.dtype)
        rows = np.arange(self._size) % len(X)
        self._loop.outputs(theta, rows, (0, 0), (*X.arrays, y, np.ones(len(X)))[: self._arrays])

    def read_data(self) -> None:
        """Take the data as they are now."""
        self._loop.read_data()

    def __call__(
        self, theta: Array, rows: Array, draws: tuple[int, int], first: int = 0
    ) -> BatchLoss:
        """Run the program on the rows."""
        outputs, gradient = self._loop.gradient(theta, rows, draws, first)
        total, weight = outputs.sum(axis=0, dtype=np.float64).tolist()
        self._advance(len(rows))
        return BatchLoss(total, weight, gradient)

    def parts(
        self, theta: Array, rows: Array, bounds: Sequence[int], share: range, draws: tuple[int, int]
    ) -> list[BatchLoss]:
        """Run the program on many parts in one call, as far as one path through the model goes.

        Whatever path was used last, a part whose examples take the same path is run by such a call,
        and another one by itself, so that the bits are the same in any process.
        """
        starts, most = np.array(bounds), int(np.diff(bounds).max())

        def run(k: int, last: int) -> list[BatchLoss]:
            own = starts[k : last + 1]
            gradient = np.empty((last - k, len(theta)), theta.dtype)
            steps = Steps(rows, own, theta, gradient, first=bounds[k], most=most)
            done = self._loop.run(steps, draws)
            return [*map(BatchLoss, *steps.losses[:done].T.tolist(), gradient[:done])]

        found: list[BatchLoss] = []
        while len(found) < len(share):
            k = share.start + len(found)
            some = run(k, share.stop)
            if not some:
                alone = self(theta, rows[bounds[k] : bounds[k + 1]], draws, bounds[k])
                some = (run(k, k + 1) if self._loop.took_one_path else []) or [alone]
            found += some
        return found

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """Compute the losses of all of them, then gradients of fewer and fewer."""

        def is_finite(some: int) -> bool:
            return are_finite(self._loop.gradient(theta, rows[:some], draws)[1])

        finite = np.isfinite(self._loop.outputs(theta, rows, draws)[:, 0])
        if not finite.all():
            return int(np.argmin(finite))
        return first_example(len(rows), is_finite) or 0


class FunctionPath(LoopPath):
    """A loss without data, compiled: every update is about the same function of the parameters.

    `function` is a program with the gradient by `parameters`, or is made one. `advance` is called
    with how many updates are done. Raises TraceError where there can be no program.
    """

    def __init__(
        self,
        function: Any,
        parameters: Sequence[Value],
        advance: Callable[[int], object],
        dtype: Any = np.float64,
        updates: int = 1,
        *,
        native: bool = True,
    ) -> None:
        self.program = function
        if not isinstance(function, engine.Program):
            options = {"wrt": list(parameters), "dtype": dtype, "native": native}
            self.program = engine.compile(lambda: one_value(function()), **options)
        self._loop, self._advance = Loop(self.program), advance
        self._loop.expect(updates)
        self._loop.gradient(np.array(numbers_of(parameters), dtype), _NONE, (0, 0))

    def __call__(
        self, theta: Array, rows: Array, draws: tuple[int, int], first: int = 0
    ) -> BatchLoss:
        """Run the program once."""
        outputs, gradient = self._loop.gradient(theta, _NONE, draws)
        self._advance(1)
        return BatchLoss(float(outputs[0, 0]), 1.0, gradient)

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> None:
        """There are no examples."""

    def _count(self, starts: Array, losses: Array) -> None:
        losses[:, 1] = 1.0
        self._advance(len(losses))


_NONE = np.zeros(0, np.int64)  # the rows of no examples
