"""A group of MPI's ranks: each runs the whole program, and computes its share of every batch.

A step is one collective, an allgather, on flat arrays: of each rank a word that says whether all is
well, and the sums of its nodes. Every rank adds these up and moves its own parameters.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from engine.compiled import cache
from engine.errors import whole
from nn.distributed.groups import SHARDS, DistributedError, Group, named, portable, versions
from nn.distributed.shards import Array, Inner, Step, nodes
from nn.identity import difference
from nn.interrupts import Interrupts, Stopped
from nn.scalar_path import BatchLoss

T = TypeVar("T")
_WELL, _ASKED, _FAILED = range(3)  # Ctrl-C asked for an end; an error was raised
_WORD = 8  # bytes
_SPINS, _PAUSE = 1_000, 1e-4  # how a rank waits for others: looks, and then seconds between two


def mpi(comm: Any = None, *, shards: int = SHARDS) -> Group:
    """Train on the ranks of an MPI communicator, of all ranks by default.

    Every rank runs the same program up to `fit`, which divides each batch among them: start it
    with ``gradloom run PROGRAM --mpi 4``, or ``mpiexec -n 4 python -m mpi4py train.py``, which ends
    all ranks where one fails. The first rank's parameters are those that all begin with; it alone
    evaluates, calls callbacks, shows progress and reads and writes checkpoints. All ranks end with
    the same model and History. Of what a callback changes the others take parameters' numbers and
    the optimiser's settings, not data.

    `shards` is as for `local`; more ranks than shards have nothing to do. Raises ImportError
    without mpi4py.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter without a library of MPI
        raise ImportError(f"MPI needs: pip install 'gradloom[distributed]' ({error})") from None
    return _Ranks(MPI.COMM_WORLD if comm is None else comm, whole("shards", shards, 1))


class _Ranks(Group):
    """Ranks, seen from one of them."""

    def __init__(self, comm: Any, shards: int) -> None:
        super().__init__(shards)
        self._comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        self._stopping = False

    def begin(self, interrupts: Interrupts) -> None:
        super().begin(interrupts)
        self._stopping = False

    @contextmanager
    def beginning(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._raise_first(error)
            raise
        self._raise_first(None)

    def _raise_first(self, error: Exception | None) -> None:
        """Raise the error of the first rank that has one."""
        errors = self._comm.allgather(error and portable(error))
        for rank, found in enumerate(errors):
            if found is not None:
                raise named(found, f"rank {rank} of {self.size}") from error

    def compare(self, told: Callable[[], dict[str, Any]]) -> None:
        own = {**versions(), "processor": cache.processor(), "shards": self.shards, **told()}
        text = difference(own, self._comm.bcast(own, root=0))
        for rank, found in enumerate(self._comm.allgather(text)):
            if found:
                raise DistributedError(
                    f"rank {rank} of {self.size} has another run than rank 0: {found}. Give "
                    "all ranks the same data and settings, and the same versions"
                )

    def share(self, make: Callable[[], T]) -> T:
        made: Any = None
        if self.leads:
            try:
                made = make()
            except BaseException as error:
                self._comm.bcast((portable(error), None), root=0)
                raise
        failure, made = self._comm.bcast((None, made), root=0)
        if failure is not None:
            raise failure
        return made  # type: ignore[no-any-return]

    def total(self, step: Step, path: Inner) -> BatchLoss:
        shares = step.shares(self.size)
        counts = [len(nodes(step.whole, share)) for share in shares]
        gradient = (step.theta.dtype, step.theta.shape)
        record = np.dtype([("total", float), ("weight", float), ("gradient", *gradient)])
        sizes = [_WORD + count * record.itemsize for count in counts]
        message, failure = np.zeros(sizes[self.rank], np.uint8), None
        word, sums = message[:_WORD].view(np.int64), message[_WORD:].view(record)
        word[0] = _ASKED if self._interrupts.asked else _WELL
        try:
            for place, (total, weight, own) in enumerate(step.sums(path, shares[self.rank])):
                sums[place] = (total, weight, own)
        except Exception as error:
            word[0], failure = _FAILED, error
        parts = gathered(self._comm, message, sizes)
        words = [int(np.frombuffer(part[:_WORD], np.int64)[0]) for part in parts]
        if _FAILED in words:
            self._raise_first(failure)
        self._stopping = self._stopping or _ASKED in words
        found = [r for part in parts for r in part[_WORD:].view(record)]
        told = [BatchLoss(float(r["total"]), float(r["weight"]), r["gradient"]) for r in found]
        return step.total(shares, told)

    def check_interrupts(self) -> None:
        if self._stopping:
            raise Stopped


def gathered(comm: Any, message: Array, sizes: Sequence[int]) -> list[Array]:
    """The messages of all ranks, of so many bytes each."""
    from mpi4py import MPI

    ends = np.cumsum([0, *sizes])
    received = np.empty(ends[-1], np.uint8)
    waiting = comm.Iallgatherv(message, [received, sizes, ends[:-1], MPI.BYTE])
    for k in itertools.count():
        if waiting.Test():
            break
        time.sleep(_PAUSE if k > _SPINS else 0.0)  # the processor may be wanted by others
    return np.split(received, ends[1:-1])
