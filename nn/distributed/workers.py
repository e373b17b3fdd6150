"""A group of Dask's workers: the client trains, and the workers compute shares of every batch.

The model and the data go to each worker once, by `Client.run`. A share is a task, which any worker
can do: of one that dies the scheduler gives its tasks to another one, and a worker that is new says
that it lacks the data, and gets them.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.compiled import threads
from engine.deferred import needed
from engine.errors import whole
from nn.distributed.groups import SHARDS, DistributedError, Group, named, portable, versions
from nn.distributed.shards import Inner, Node, Step
from nn.identity import difference
from nn.scalar_path import BatchLoss

PATIENCE = 60.0  # seconds for which there may be no worker
_LOOK_EVERY = 1.0  # seconds after which the client looks who is there
_KEPT = 4  # runs whose data a worker has at hand


def dask(client: Any, *, shards: int = SHARDS) -> Group:
    """Train on the workers of a Dask cluster, told by its `Client`.

    This process evaluates, calls callbacks and moves the parameters; the workers compute gradients.
    Workers may come and go: the work of one that dies is done by others, to the same bits. With
    none at all it waits a minute for one. `shards` is as for `local`.

    The model, the loss and the data must be such as can be pickled, by cloudpickle, which takes
    classes of a notebook too. Processors of different kinds round differently.

    Raises ImportError without Dask, TypeError for what is no Client, and DistributedError for a
    client that is closed.
    """
    if not isinstance(client, needed("distributed", "dask", "distributed").Client):
        raise TypeError(f"dask takes a distributed.Client, such as Client(), not {client!r:.200}")
    group = _Workers(client, whole("shards", shards, 1))
    group.check()
    return group


class _Answer(NamedTuple):
    """What a worker has to say of a share: sums, an error, or neither where it lacks the data."""

    worker: str
    sums: list[BatchLoss] | None = None
    error: Any = None


class _Workers(Group):
    """Workers, seen from their client."""

    def __init__(self, client: Any, shards: int) -> None:
        super().__init__(shards)
        self._client = client
        self._key, self._content = "", b""
        self._addresses: list[str] = []
        self._looked = 0.0

    def check(self) -> None:
        """Raise DistributedError where the client is gone."""
        if self._client.status != "running":
            raise DistributedError(
                f"the Dask client is {self._client.status}, not running: make a new one, and give "
                "dask(client) that; what was trained so far is in the model"
            )

    def use(self, make: Callable[[], Inner]) -> None:
        import cloudpickle

        self.check()
        try:
            self._content = cloudpickle.dumps(make)
        except Exception as error:
            raise TypeError(
                "the model, the loss or the data can't be sent to Dask's workers "
                f"({type(error).__name__}: {error}): leave what can't be pickled, such as open "
                "files and locks, out of them"
            ) from None
        self._key = hashlib.sha256(self._content).hexdigest()
        self._look()
        self._send(self._addresses)

    def _look(self) -> None:
        """See who is there, and wait for a while where nobody is."""
        until = time.monotonic() + PATIENCE
        while True:
            self.check()
            self._addresses = sorted(self._client.nthreads())
            if self._addresses:
                break
            if time.monotonic() > until:
                raise DistributedError(
                    f"the Dask scheduler has had no worker for {PATIENCE:.0f} s: start some, and "
                    "train again; what was trained so far is in the model"
                )
            time.sleep(0.05)
        self._looked = time.monotonic()

    def _send(self, addresses: list[str]) -> None:
        """Have workers keep the data; those that die meanwhile are no matter. (`Client.run` would
        try for half a minute to reach a worker that is gone.)"""
        options = {"allow_other_workers": False, "pure": False}
        given = _keep, self._key, self._content
        pending = {a: self._client.submit(*given, workers=[a], **options) for a in addresses}
        for worker, future in pending.items():
            try:
                there = self._result(future, worker)
                text = "" if there is None else difference(there, versions())
            except (ImportError, AttributeError) as error:
                text = str(error)
            if text:
                raise DistributedError(
                    f"the Dask worker {worker} has other versions than the client: {text}"
                )

    def _result(self, future: Any, worker: str) -> Any:
        """What a task returns; None where the worker that it was for is gone. (Dask 2026.8.0 leaves
        a task that came when there was no worker at all undone for ever, even if any may do it.)"""
        from distributed import CancelledError, KilledWorker, TimeoutError
        from distributed.comm.core import CommClosedError

        while True:
            try:
                return future.result(timeout=_LOOK_EVERY)
            except TimeoutError:
                self._look()
                if worker not in self._addresses:
                    future.cancel()
                    return None
            except (CancelledError, KilledWorker, CommClosedError, OSError):
                self._look()
                return None

    def total(self, step: Step, path: Inner) -> BatchLoss:
        self.check()
        if time.monotonic() > self._looked + _LOOK_EVERY:
            self._look()
        shares = [share for share in step.shares(len(self._addresses)) if share[0] < share[1]]
        pending = [self._asked(step, share, k) for k, share in enumerate(shares)]
        found: list[BatchLoss] = []
        for k, share in enumerate(shares):
            while True:
                answer = self._result(*pending[k])
                if answer is not None and answer.error is not None:
                    raise named(answer.error, f"the Dask worker {answer.worker}")
                if answer is not None and answer.sums is not None:
                    break
                if answer is not None:
                    self._send([answer.worker])
                pending[k] = self._asked(step, share, k)
            found += answer.sums
        return step.total(shares, found)

    def _asked(self, step: Step, share: Node, k: int) -> tuple[Any, str]:
        """A task for one of the workers, or for any if that one is gone, and that one."""
        worker = self._addresses[k % len(self._addresses)]
        options = {"workers": [worker], "allow_other_workers": True, "pure": False}
        return self._client.submit(_sums, self._key, step, share, **options), worker


# --- in a worker ---------------------------------------------------------------------------------

_contents: dict[str, bytes] = {}
_paths: dict[str, Inner] = {}
_lock = threading.Lock()  # a path computes one share at a time


def _keep(key: str, content: bytes) -> dict[str, str]:
    """Keep the data; return the versions here."""
    while len(_contents) >= _KEPT:
        oldest = next(iter(_contents))
        del _contents[oldest]
        _paths.pop(oldest, None)
    _contents[key] = content
    return versions()


def _sums(key: str, step: Step, share: Node) -> _Answer:
    """Compute a share."""
    import dask
    from distributed import get_worker

    worker = get_worker().address
    # Rows of Dask's arrays are computed here: the scheduler of a client's settings, which workers
    # may inherit, asks for a client (Dask 2026.8.0).
    with _lock, dask.config.set(scheduler="synchronous"):
        if key not in _contents:
            return _Answer(worker)
        try:
            if key not in _paths:
                _paths[key] = _made(_contents[key])
            return _Answer(worker, step.sums(_paths[key], share))
        except Exception as error:
            return _Answer(worker, error=portable(error))


def _made(content: bytes) -> Inner:
    """The path of this process."""
    import cloudpickle

    try:
        with threads.alone():
            path: Inner = cloudpickle.loads(content)()
    except Exception as error:  # it could be made in the client
        raise DistributedError(
            f"what the client sent can't be used there ({type(error).__name__}: {error}): have "
            "the modules of the model and the loss on the workers too (Client.upload_file)"
        ) from None
    return path
