"""The machine: a program's instructions ready to run, batches divided among threads.

In: `Blocks`, a vector of shared numbers, a matrix with one row an example. Out: the outputs of
every example, gradients, and which guards failed in which lanes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine import locks, modes
from engine.compiled import objects, threads, updates
from engine.compiled.blocks import NAN_SEEN, Array, L
from engine.compiled.instructions import ROWS
from engine.compiled.lift import Blocks
from engine.compiled.worker import Run, Training, Worker

PART_SECONDS = 1e-3  # of a batch that is divided among threads, at least, for each of them


class Machine(Worker):
    """Blocks ready to run, for numbers of one type.

    `wanted` are the numbers of the inputs whose gradient will be asked for. With `native`, what can
    be emitted is. One machine runs in one thread at a time.

    Of a program that is `hot` thousands of operations are written out, in as good code as LLVM
    can make, which takes seconds: because it was said to be, or, while it is `counting`, after
    `HOT` chunks of lanes.
    """

    def __init__(
        self, blocks: Blocks, wanted: Sequence[int], dtype: str, *, native: bool = True
    ) -> None:
        super().__init__(blocks, wanted, dtype, native=native)
        self._wanted = tuple(wanted)
        self._others: list[Worker] = []  # for the other parts of batches that are divided
        self._parts_lock = locks.freed()
        cost = sum(ROWS[i.kind].cost(i) for i in self._maker.instructions[L])
        self._lane_seconds = 0.0 if objects.DISABLED else cost * 1e-10  # of an example

    def run(
        self,
        shared: Array,
        lanes: Array,
        ids: Array,
        draws: tuple[int, int],
        seeds: Array | None = None,
        lane_gradients: Sequence[int] = (),
        trusted: int = 0,
    ) -> Run:
        """Run all examples.

        `shared` has the numbers of the shared inputs, `lanes` one row an example, `ids` the
        examples' numbers; `draws` are the seed and the step of random numbers. With `seeds`, one
        number an output, gradients of the outputs' weighted sum over all examples are computed;
        `lane_gradients` are the inputs for which one an example is returned. The first `trusted`
        guards are not checked: another run decided them.
        """
        parts = self._parts(len(lanes))
        if parts > 1 and not modes.state.raising:
            given = (shared, lanes, ids, draws, seeds, lane_gradients, trusted)
            return self._run_in_parts(parts, *given)
        return self.run_here(shared, lanes, ids, draws, seeds, lane_gradients, trusted)

    def _parts(self, count: int) -> int:
        """Into how many parts a batch is divided, one for each thread, if that is worth it."""
        worth = int(count * self._lane_seconds / PART_SECONDS)
        return min(worth, threads.get_num_threads()) if worth > 1 else 1

    def divides(self, count: int) -> bool:
        """Whether batches of so many examples are divided among threads."""
        return self._parts(count) > 1

    @property
    def nan_seen(self) -> bool:
        """Whether a step of the chain rule gave nan in the last run, here or in another thread."""
        return any(worker._pool[NAN_SEEN] > 0 for worker in (self, *self._others))

    def _workers(self, count: int) -> list[Worker]:
        """This one, and others like it with buffers of their own."""
        while len(self._others) < count - 1:
            given = (self.blocks, self._wanted, self.dtype.name)
            made = Worker(*given, native=self._native)
            self._others.append(made)
        for other in self._others:
            other.hot, other.counting, other.trained = self.hot, False, self.trained
        return [self, *self._others[: count - 1]]

    def _run_in_parts(
        self, parts: int, shared: Array, lanes: Array, ids: Array, *others: Any
    ) -> Run:
        """The same in several threads, each with examples and a gradient of its own."""
        with self._parts_lock:
            bounds = np.linspace(0, len(lanes), parts + 1).astype(int)
            tasks = []
            for k, worker in enumerate(self._workers(parts)):
                part = slice(bounds[k], bounds[k + 1])
                tasks.append(
                    functools.partial(
                        worker.run_here,
                        *(shared, lanes[part], ids[part], *others),
                    )
                )
            runs = threads.run_together(tasks)
        return Run(
            np.concatenate([run.outputs for run in runs]),
            np.concatenate([run.fail for run in runs]),
            np.concatenate([run.found for run in runs]),
            np.sum([run.shared_gradient for run in runs], axis=0),
            np.concatenate([run.lane_gradient for run in runs]),
            any(run.nan_seen for run in runs),
            any(run.not_finite for run in runs),
        )

    def run_steps(self, shared: Array, training: Training, draws: tuple[int, int]) -> int:
        """Run updates until one needs another path; return how many were done.

        `shared` are the numbers of the shared inputs before the first step.
        """
        parts = self._parts(training.most)
        if parts > 1 and training.rule is not None:
            return self._run_steps_in_parts(parts, shared, training, draws)
        return self.run_steps_here(shared, training, draws)

    def _run_steps_in_parts(
        self, parts: int, shared: Array, training: Training, draws: tuple[int, int]
    ) -> int:
        """The same with each batch divided among threads, which add up gradients of their own."""
        with self._parts_lock:
            workers = self._workers(parts)
            for done, (first, last) in enumerate(training.starts.tolist()):
                bounds = np.linspace(first, last, parts + 1).astype(np.int64)
                shares, tasks = [], []
                for worker, start, end in zip(workers, bounds[:-1], bounds[1:], strict=True):
                    ids = np.arange(start, max(end, start + 1)) - first
                    share = dataclasses.replace(
                        training,
                        starts=np.array([[start, end]], np.int64),
                        gradient=np.zeros_like(training.gradient),
                        theta=training.theta.copy(),
                        losses=np.zeros((1, 2)),
                        mean=False,
                        rule=None,
                        ids=ids,
                        most=len(ids),
                    )
                    shares.append(share)
                    step = (draws[0], draws[1] + done)
                    tasks.append(functools.partial(worker.run_steps_here, shared, share, step))
                if not all(threads.run_together(tasks)):
                    return done
                training.losses[done] = np.sum([share.losses[0] for share in shares], axis=0)
                if len(self.blocks.outputs) > 1 and training.losses[done, 1] == 0.0:
                    return done
                gradient = np.sum([share.gradient for share in shares], axis=0)
                scale = 1.0 / training.losses[done, 1] if training.mean else 1.0
                training.gradient[:] = gradient * scale
                assert training.rule is not None
                told = training.settings[done]
                arrays = (training.theta, training.gradient, training.slots, told)
                updates.move(training.rule, *arrays, native=self._native)
        return len(training.starts)
