"""Training over MPI and Dask on this machine: the same bits for any number of ranks and workers,
and after some of them were killed."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
from nn import checkpoints

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("default"),  # of Dask, about workers that were killed
]
ROOT = Path(nn.__file__).parents[1]

# A program as a user would write it; what it finds is printed by every rank.
PROGRAM = """
    import hashlib
    import json
    import os
    import random
    import shutil
    import sys
    import tempfile

    import numpy as np

    import nn
    from nn import checkpoints

    def run(on, epochs=6, rows=101, checkpoint=None, change=None, **settings):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(rows, 3))
        y = (X[:, :1] * X[:, 1:2] > 0).astype(float)
        if change:
            X[5, 1] += change
        model = nn.Sequential(
            nn.Linear(3, 6, rng=random.Random(0)),
            nn.Tanh(),
            nn.Dropout(0.2),
            nn.Linear(6, 1, rng=random.Random(1)),
            nn.Sigmoid(),
        )
        optimizer = nn.Adam(model.parameters(), lr=0.05)
        given = dict(epochs=epochs, batch_size=40, shuffle=True, l2=1e-3, clip_norm=1.0)
        history = nn.fit(
            model, X, y, loss=nn.BCELoss(), optimizer=optimizer, on=on, progress=False,
            scheduler=nn.ReduceLROnPlateau(optimizer, patience=1),
            validation_data=(X[:9], y[:9]), metrics=[nn.metrics.accuracy],
            early_stopping=nn.EarlyStopping(), checkpoint=checkpoint, **given | settings,
        )
        bits = np.array([p.data for p in model.parameters()] + history.val_loss).tobytes()
        return hashlib.sha256(bits).hexdigest()

    def several(on):
        return [run(on), run(on, rows=3), run(on, path="scalar", epochs=1),
                run(on, dtype="float32"), run(on, epochs=2, callbacks=[lambda *_: None])]

    def stored(X):
        # the rows in an array, in files and in chunks, by the name of the way
        import dask.array
        import zarr

        folder = tempfile.mkdtemp()
        np.save(folder + "/first.npy", X[:30])
        np.save(folder + "/second.npy", X[30:])
        np.save(folder + "/whole", X)
        array = zarr.create_array(folder + "/z", shape=X.shape, chunks=(16, 3), dtype=X.dtype)
        array[:] = X
        yield "array", X
        yield "memmap", np.load(folder + "/whole.npy", mmap_mode="r")
        os.remove(folder + "/whole.npy")
        yield "folder", nn.data.read_npy_folder(folder)
        yield "zarr", array
        zarr.core.sync.cleanup_resources()  # its threads
        with dask.config.set(scheduler="synchronous"):
            yield "ragged dask", dask.array.from_array(X, chunks=((1, 70, 9), (2, 1)))
        shutil.rmtree(folder)

    def streamed(on):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(80, 3))
        found = {}
        for name, data in stored(X):
            model = nn.Linear(3, 1, rng=random.Random(0))
            pairs = nn.TensorDataset(data, X[:, :1])
            loader = nn.DataLoader(pairs, 30, shuffle=True, block_size=20, window=2)
            optimizer = nn.SGD(model.parameters(), lr=0.1)
            nn.fit(model, loader, loss=nn.MSELoss(), optimizer=optimizer, epochs=1, on=on,
                   progress=False)
            found[name] = [p.data for p in model.parameters()]
        return found
"""
names: dict[str, Any] = {}
exec(textwrap.dedent(PROGRAM), names)
run, several, streamed = names["run"], names["several"], names["streamed"]


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """What one process finds."""
    found: list[str] = several(nn.distributed.local())
    return found


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def started(count: int, call: str, folder: Path) -> subprocess.Popen[str]:
    """Start the program with a call at its end on so many ranks."""
    (folder / "program.py").write_text(textwrap.dedent(PROGRAM) + textwrap.dedent(call))
    mpiexec = Path(sys.executable).parent / "mpiexec"
    command = [mpiexec, "-n", str(count), sys.executable, "-m", "mpi4py", "program.py"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment(), cwd=folder, text=True, **pipes)


def ranks(count: int, call: str, folder: Path) -> tuple[str, str]:
    """Run it to its end; return its output and errors."""
    return started(count, call, folder).communicate(timeout=100)


def check_ranks(count: int, function: str, expected: Any, folder: Path) -> None:
    """What each of so many ranks finds by a function is this; the first prints it for all of them,
    since what several print may be mixed."""
    call = f"""
        on = nn.distributed.mpi()
        found = on._comm.allgather({function}(on))
        print(json.dumps(found) if on.rank == 0 else "", flush=True)
    """
    out, errors = ranks(count, call, folder)
    assert json.loads(out) == [expected] * count, errors


@pytest.mark.parametrize("count", [1, 2, 4])
def test_ranks_give_the_same_bits(count: int, expected: list[str], tmp_path: Path) -> None:
    check_ranks(count, "several", expected, tmp_path)


def test_rows_from_files_and_chunks_give_the_bits_of_memory(tmp_path: Path) -> None:
    alone = streamed(nn.distributed.local())
    assert all(weights == alone["array"] for weights in alone.values())
    check_ranks(2, "streamed", alone, tmp_path)
    import dask

    # workers inherit it, as they do after a client that was there before
    with dask.config.set(scheduler="dask.distributed"), cluster(2) as (_, client):
        assert streamed(nn.distributed.dask(client)) == alone


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("run(on, change=on.rank == 1 and 1e-9)", "rank 1 of 2 has another run than rank 0: its"),
        ("run(on, l2=0.1 * on.rank)", "rank 1 of 2 has another run than rank 0: its l2 is 0.1,"),
        ("run(on, epochs=3 + on.rank)", "its epochs is 4, here it is 3"),
        ("run(on, change=on.rank == 1 and np.nan)", "rank 1 of 2: X has nan in row 5, column 1"),
        ("run(on, checkpoint='/proc/none')", "can't write to /proc/none"),
        (
            "run(on, callbacks=[lambda *_: 1 / 0] if on.rank == 0 else [])",
            "division by zero",
        ),
    ],
)
def test_what_is_wrong_in_one_rank_ends_all(call: str, said: str, tmp_path: Path) -> None:
    text = f"""
        on = nn.distributed.mpi()
        try:
            {call}
        except Exception as error:
            print(error, flush=True)
    """
    assert ranks(2, text, tmp_path)[0].count(said) == 2


# --- the command line ----------------------------------------------------------------------------

RUN = [sys.executable, "-m", "nn.cli", "run", "unit-circle", "--points", "3000"]


def one_of_the_ranks(parent: int, rng: random.Random) -> int | None:
    """The process of some rank, by what the processes below a parent run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"mpi4py" in words and b"mpiexec" not in words[0] and b"hydra" not in words[0]:
                above = int(folder.name)
                while above > 1:
                    above = int(
                        (folder.parent / str(above) / "stat").read_text().split(") ")[1].split()[1]
                    )
                    if above == parent:
                        found.append(int(folder.name))
    return rng.choice(sorted(found)) if found else None


def test_a_rank_that_is_killed_is_told(tmp_path: Path) -> None:
    command = [*RUN, "--epochs", "100000000", "--mpi", "2", "--checkpoint", str(tmp_path / "kept")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment(), text=True, **pipes)
    time.sleep(6.0)
    victim = one_of_the_ranks(process.pid, random.Random(7))
    assert victim is not None, process.communicate()
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() < began + 10.0
    assert "was killed (SIGKILL)" in errors  # and which one, once it has said so
    assert f"it goes on from {tmp_path / 'kept'}" in errors


def test_ranks_that_are_killed_at_any_moment_go_on_to_the_same_bits(tmp_path: Path) -> None:
    call = """
        import time

        checkpoints.SAVE_SECONDS = 0.05
        pause = [lambda *_: time.sleep(0.05)]
        on = nn.distributed.mpi()
        bits = run(on, epochs=60, checkpoint="kept", callbacks=pause)
        print(bits if on.rank == 0 else "", flush=True)
    """
    rng, kept = random.Random(7), tmp_path / "kept"
    file = kept / "checkpoint.safetensors"
    whole = run(nn.distributed.local(), epochs=60, callbacks=[lambda *_: None])
    killed = resumed = 0
    while killed < 20:
        before = file.stat().st_mtime_ns if file.exists() else 0
        resumed += before > 0
        process = started(2, call, tmp_path)
        anywhere = killed % 4 == 0  # or else after something was saved
        while process.poll() is None and not (
            one_of_the_ranks(process.pid, rng)
            if anywhere
            else file.exists() and file.stat().st_mtime_ns > before
        ):
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 3.0 if anywhere else 0.5))
        if (victim := one_of_the_ranks(process.pid, rng)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        out, errors = process.communicate(timeout=30)
        killed += process.returncode != 0
        if process.returncode == 0:  # it came to its end: once more, from the beginning
            assert out.strip() == whole, errors
            shutil.rmtree(kept)
    assert resumed > 5
    out, errors = ranks(2, call, tmp_path)
    assert out.strip() == whole, errors


def test_ctrl_c_ends_all_ranks(tmp_path: Path) -> None:
    command = [*RUN, "--epochs", "100000000", "--mpi", "2", "--json"]
    given: dict[str, Any] = {"env": environment(), "text": True}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **given)
    time.sleep(12.0)  # it trains by then
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode in (0, 130), errors
    assert "Traceback" not in errors
    assert "mpiexec" not in out + errors


# --- Dask ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[tuple[Any, Any]]:
    import dask
    from distributed import Client, LocalCluster

    environment = dict(os.environ)  # Dask adds to it
    with (
        # After that a worker that is down, be it for another time, is not started again.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=50,
        ) as started,
        Client(started) as client,
    ):
        yield started, client
    os.environ.clear()
    os.environ.update(environment)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_give_the_same_bits(workers: int, expected: list[str]) -> None:
    with cluster(workers) as (_, client):
        assert several(nn.distributed.dask(client)) == expected
    with pytest.raises(nn.distributed.DistributedError, match="the Dask client is closed"):
        nn.distributed.dask(client)


def test_workers_that_are_killed_change_no_bit() -> None:
    rng, killed = random.Random(7), 0

    def kill(_: int, history: nn.History) -> None:
        nonlocal killed
        # One that dies while it starts is not started again by Dask.
        there = client.nthreads()
        alive = [
            w.pid
            for w in started.workers.values()
            if w.worker_address in there and w.process.status.name == "running"
        ]
        if killed < 20 and alive:
            victim, after = rng.choice(sorted(alive)), rng.uniform(0.0, 0.05)
            timers.append(threading.Timer(after, os.kill, (victim, signal.SIGKILL)))
            timers[-1].start()
            killed += 1
            time.sleep(rng.uniform(0.0, 0.5))

    timers: list[threading.Timer] = []
    whole = run(nn.distributed.local(), epochs=24, callbacks=[lambda *_: None])
    with cluster(3) as (started, client):
        assert run(nn.distributed.dask(client), epochs=24, callbacks=[kill]) == whole
        for timer in timers:
            timer.join()
    assert killed == 20


class Locked(nn.Linear):
    """A layer that can't be pickled."""

    def __init__(self) -> None:
        super().__init__(1, 1, rng=random.Random(0))
        self.lock = threading.Lock()


def trained(model: nn.Module, on: Any, **settings: Any) -> nn.History:
    """A short training."""
    options: dict[str, Any] = {"loss": nn.MSELoss(), "progress": False, "epochs": 1}
    options["optimizer"] = nn.SGD(model.parameters(), lr=0.1)
    return nn.fit(model, np.ones((40, 1)), np.ones((40, 1)), on=on, **options | settings)


def test_what_is_wrong_with_workers_is_found_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster(1) as (_, client):
        group = nn.distributed.dask(client)
        with pytest.raises(TypeError, match="can't be sent to Dask's workers"):
            trained(Locked(), group)
        with pytest.raises(TypeError, match=r"dask takes a distributed\.Client"):
            nn.distributed.dask("127.0.0.1")
        monkeypatch.setattr("engine.__version__", "9.9")
        model = nn.Linear(1, 1)
        before = [p.data for p in model.parameters()]
        with pytest.raises(nn.distributed.DistributedError, match=r"worker tcp.* its gradloom is"):
            trained(model, group)
        assert [p.data for p in model.parameters()] == before


def test_a_client_that_goes_loses_nothing(tmp_path: Path) -> None:
    seen: list[list[float]] = []
    model = nn.Linear(1, 1, rng=random.Random(0))
    with cluster(1) as (_, client):

        def leave(epoch: int, history: nn.History) -> None:
            seen.append([p.data for p in model.parameters()])
            if epoch == 2:
                client.close()

        with pytest.raises(nn.distributed.DistributedError, match="the Dask client is closed"):
            settings = {"epochs": 5, "callbacks": [leave], "checkpoint": tmp_path}
            trained(model, nn.distributed.dask(client), **settings)
    assert [p.data for p in model.parameters()] == seen[-1]
    other = nn.Linear(1, 1)
    trained(other, nn.distributed.local(), epochs=3, checkpoint=tmp_path)
    assert [p.data for p in other.parameters()] == seen[-1]
    assert checkpoints.SAVE_SECONDS == 10.0
