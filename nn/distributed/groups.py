"""Groups of processes that train together, as `fit` sees them from within one; and a group of one.

`fit` tells a group where an error may come up in one process alone (`beginning`), what all are to
have in common (`compare`), and what one does for all (`share`); a `ShardedPath` asks it for sums.
"""

from __future__ import annotations

import importlib.metadata
import pickle
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

import engine
from engine.compiled import threads, updates
from engine.compiled.training import Steps
from engine.errors import whole
from nn.distributed.shards import Array, Inner, Step
from nn.interrupts import Interrupts
from nn.scalar_path import BatchLoss
from nn.vectorised_path import LoopPath, VectorisedPath

T = TypeVar("T")
SHARDS = 16


class DistributedError(ValueError):
    """A training on several processes that can't begin, or go on; the message says at whom it
    lies."""


class Group:
    """One process alone, which does what there is to do by itself.

    `shards` is how many each batch has, or 0 where batches are not divided.
    """

    rank = 0
    size = 1  # processes that run `fit`

    def __init__(self, shards: int = 0) -> None:
        self.shards = shards

    @property
    def leads(self) -> bool:
        """Whether this process tells the user, and writes files."""
        return self.rank == 0

    def begin(self, interrupts: Interrupts) -> None:
        """Have this ready for a run, which ends early where `interrupts` say so."""
        self._interrupts = interrupts

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Have what is raised inside in one process be raised in all, with the name of that one."""
        yield

    def compare(self, told: Callable[[], dict[str, Any]]) -> None:
        """Raise DistributedError where processes say different things of the run."""

    def share(self, make: Callable[[], T]) -> T:
        """Return what the first process has made, or raise what was raised there."""
        return make()

    def use(self, make: Callable[[], Inner]) -> None:
        """Have `make` at hand wherever sums are computed: it makes the path of one process."""

    def total(self, step: Step, path: Inner) -> BatchLoss:
        """The loss of a whole batch. Raises what was raised in any process."""
        return step.total([step.whole], step.sums(path, step.whole))

    def check_interrupts(self) -> None:
        """Raise Stopped where Ctrl-C asked for it, in all processes after the same update."""
        self._interrupts.check()


class ShardedPath(LoopPath):
    """A path on which every batch is computed in shards, by a group; `advance` is told how many
    examples are done, and `make` makes the path on which this process computes. With `native`
    parameters are moved by machine code.

    Updates are made one by one, as every process is to end after the same.
    """

    one_by_one = True

    def __init__(
        self,
        make: Callable[[], Inner],
        group: Group,
        advance: Callable[[int], object],
        *,
        native: bool,
    ) -> None:
        self._group, self._advance, self._native = group, advance, native
        with threads.alone():
            self.inner = make()
        group.use(make)

    def __call__(
        self, theta: Array, rows: Array, draws: tuple[int, int], first: int = 0
    ) -> BatchLoss:
        """Have the group compute it."""
        total = self._group.total(Step(theta, rows, draws, self._group.shards), self.inner)
        self._advance(len(rows))
        return total

    def run_steps(self, *given: Any) -> Array | None:
        """Make an update by machine code, unless this process computes on Values."""
        compiled = isinstance(self.inner, VectorisedPath)
        return super().run_steps(*given) if compiled else np.zeros((0, 2))

    def _run(self, steps: Steps, draws: tuple[int, int]) -> int:
        assert steps.rule is not None
        rows = steps.order[slice(*steps.starts)]
        step = Step(steps.theta, rows, draws, self._group.shards)
        loss = self._group.total(step, self.inner)
        if loss.weight == 0.0:
            return 0
        scale = 1.0 / np.float64(loss.weight) if steps.mean else 1.0
        np.multiply(loss.gradient, steps.theta.dtype.type(scale), out=steps.gradient)
        steps.losses[0] = loss.total, loss.weight
        numbers = steps.theta, steps.gradient, steps.slots, steps.settings[0]
        updates.move(steps.rule, *numbers, native=self._native)
        return 1

    def read_data(self) -> None:
        """Take the data as they are now."""
        self.inner.read_data()

    def at_fault(self, theta: Array, rows: Array, draws: tuple[int, int]) -> int:
        """Look for it in this process."""
        return self.inner.at_fault(theta, rows, draws)


def nothing(*_: object) -> None:
    """What a path of a group is told to do after some examples: the group counts batches."""


def local(*, shards: int = SHARDS) -> Group:
    """Train in this process, in one thread, with the bits that any number of processes gives.

    `shards` is in how many parts each batch is computed, or in as many as it has rows; another
    number rounds otherwise. Raises TypeError and ValueError for what is no such number.

    >>> import random, nn
    >>> model = nn.Linear(1, 1, rng=random.Random(0))
    >>> optimizer = nn.SGD(model.parameters(), lr=0.1)
    >>> options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
    >>> nn.fit(model, [[1.0], [2.0]], [[2.0], [4.0]], epochs=9, on=local(), **options).path
    'vectorised'
    """
    return Group(whole("shards", shards, 1))


def group_of(on: Any) -> Group:
    """The group that `fit` was given as `on`. Raises TypeError for anything else."""
    if on is None:
        return Group()
    if isinstance(on, Group):
        return on
    raise TypeError(
        "on is what nn.distributed.local(), mpi() or dask(client) returns, with its brackets, not "
        f"{on!r:.200}"
    )


def versions() -> dict[str, str]:
    """What is to be the same in all processes, so that these compute the same."""
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "llvmlite")}
    return {"gradloom": engine.__version__, "Python": platform.python_version(), **packages}


def portable(error: BaseException) -> BaseException:
    """The error, or where it can't travel another one with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return DistributedError(f"{type(error).__name__}: {error}")
    return error


def named(error: Exception, who: str) -> Exception:
    """The same error with the name of the process that it comes from."""
    try:
        return type(error)(f"{who}: {error}")
    except Exception:  # it is made in another way
        return DistributedError(f"{who}: {type(error).__name__}: {error}")
