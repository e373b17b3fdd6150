"""Programs travel into pools, to workers of Dask and ranks of MPI, and compute the same bits."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mapped_programs import ROWS, called, counted, mapped, mean_of_noise, noisy, w

import engine
from engine import Value
from engine.compiled import cache

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore"),  # of the engines: theirs are not ours to mend
]

SCRIPT = """
import sys
import numpy as np
import engine

w = engine.Value(0.3)

@engine.compile
def twice(x):
    return 2.0 * x

def f(x):
    return engine.sin(w * x[0]) * engine.random() + twice(x[1])

def main(on):
    engine.manual_seed(1)
    X = np.random.default_rng(0).normal(size=(300, 2))
    program = engine.compile(f, in_axes=0, reduce="mean", wrt=w)
    print(program.map(X, on=on, kind="value_and_grad", block_size=50))

if __name__ == "__main__":
    if sys.argv[1] == "mpi":
        from mpi4py.futures import MPIPoolExecutor
        with MPIPoolExecutor() as pool:
            main(pool)
    elif sys.argv[1] == "dask":
        from distributed import Client, LocalCluster
        with LocalCluster(1, dashboard_address=None) as cluster, Client(cluster) as client:
            main(client)
            print(client.submit(twice, 4.0).result())
    elif sys.argv[1] == "loky":
        import joblib
        from joblib.externals.loky import get_reusable_executor
        with get_reusable_executor(1) as pool:
            main(pool)
        print(joblib.Parallel(2)([joblib.delayed(twice)(4.0)])[0])
    else:
        main(None)
"""


@pytest.fixture
def pool() -> Iterator[Any]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as made:
        yield made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(3, silence_logs=50, **options) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster: Any) -> Iterator[Any]:
    with cluster.get_client() as made:
        yield made


@pytest.mark.parametrize("way", ["fork", "forkserver", "spawn"])
def test_a_pool_of_processes(way: str) -> None:
    pytest.importorskip("cloudpickle")
    own = Value(5.0)
    closure = engine.compile(lambda x: own * x, wrt=[own])
    program = mean_of_noise()
    expected = mapped(program, ROWS)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(way)) as executor:
        assert executor.submit(called, closure, 3.0).result() == ((15.0, [3.0]), True)
        assert executor.submit(called, engine.compile(noisy, wrt=w), [1.0, 2.0]).result()[1]
        assert mapped(program, ROWS, executor) == expected


def test_a_fresh_worker_makes_no_machine_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))  # an empty one
    program, found = mean_of_noise(), []
    for _ in range(2):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
            found.append(executor.submit(counted, mapped, program, ROWS).result())
    (first, made), (second, made_again) = found
    assert first == second
    assert made > made_again == 0


@pytest.mark.parametrize("engine_of", ["mpi", "dask", "loky"])
def test_functions_of_a_script(engine_of: str, tmp_path: Path) -> None:
    pytest.importorskip({"mpi": "mpi4py", "dask": "distributed", "loky": "joblib"}[engine_of])
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    start = [sys.executable]
    if engine_of == "mpi":
        mpiexec = Path(sys.executable).with_name("mpiexec")
        start = [str(mpiexec), "-n", "3", sys.executable, "-m", "mpi4py.futures"]

    def said(*command: str) -> list[str]:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\n")

    expected = said(sys.executable, str(script), "none")[0]
    found = said(*start, str(script), engine_of)
    assert found[0] == expected
    assert engine_of == "mpi" or found[1] == "8.0"


class Some:
    """A client that hands its tasks to some workers only."""

    def __init__(self, client: Any, count: int) -> None:
        self.client, self.workers = client, sorted(client.nthreads())[:count]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def submit(self, *task: Any, **options: Any) -> Any:
        return self.client.submit(*task, **options, workers=self.workers)


def test_any_number_of_dask_workers(client: Any) -> None:
    program = mean_of_noise()
    expected = mapped(program, ROWS)
    for count in (1, 2, 3):
        assert mapped(program, ROWS, Some(client, count)) == expected


def test_workers_of_dask_that_are_killed(client: Any) -> None:
    program = mean_of_noise()
    X = np.concatenate([ROWS] * 20)
    expected = mapped(program, X)
    rng = random.Random(0)
    for _ in range(3):
        victim = rng.choice(list(client.run(os.getpid).values()))
        timer = threading.Timer(rng.uniform(0.1, 0.4), os.kill, (victim, signal.SIGKILL))
        timer.start()
        while timer.is_alive():
            assert mapped(program, X, client) == expected
        timer.join()
    assert mapped(program, X, client) == expected


def test_rows_of_a_dask_array_and_of_a_file(client: Any, tmp_path: Path, pool: Any) -> None:
    array = pytest.importorskip("dask.array")
    np.save(tmp_path / "rows.npy", ROWS)
    in_file = np.load(tmp_path / "rows.npy", mmap_mode="r")
    chunked = array.from_array(ROWS, chunks=(130, 2))  # other bounds than those of the blocks
    program = mean_of_noise()
    expected = mapped(program, ROWS)
    for X in (chunked, in_file):
        for on in (client, pool, None):
            assert mapped(program, X, on) == expected


def test_a_client_that_is_gone(cluster: Any) -> None:
    client = cluster.get_client()
    client.close()
    with pytest.raises(RuntimeError, match=r"workers of Client are gone \(its status is closed"):
        mapped(mean_of_noise(), ROWS, client)


def test_a_pool_whose_process_was_killed() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
        with pytest.raises(RuntimeError, match="workers of ProcessPoolExecutor are gone"):
            mapped(mean_of_noise(), ROWS, executor)
