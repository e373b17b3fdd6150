"""The cost model of a step over many ranks, for docs/distributed.md: the table, and the picture.

mpiexec -n 2 python docs/distributed.py    measure latency and bandwidth, and print them
python docs/distributed.py                 draw docs/distributed.svg, and print the table
"""

import sys
import time
from pathlib import Path

import numpy as np

LATENCY, BANDWIDTH = 35e-6, 0.8e9  # seconds, and bytes a second: between two ranks of one machine
ADDING = 2e9  # bytes a second that a rank adds up
RANKS = 2 ** np.arange(11)
STEPS = {"5 ms, 1,000": (5e-3, 1e3), "50 ms, 40,000": (50e-3, 4e4), "5 s, 1,000,000": (5.0, 1e6)}


def seconds(step: float, parameters: float, ranks: np.ndarray) -> np.ndarray:
    """A step over ranks that have as many shards each, by an allgather of log2(ranks) rounds."""
    received = (ranks - 1) * 8 * parameters
    return step / ranks + np.log2(ranks) * LATENCY + received / BANDWIDTH + received / ADDING


def measure() -> None:
    """Print the time of an allgather by its size, the least of several."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    for size in 8 ** np.arange(9):
        mine, all_of_them = np.zeros(size, np.uint8), np.zeros(size * comm.size, np.uint8)
        times = []
        for _ in range(20):
            comm.Barrier()
            began = time.perf_counter()
            for _ in range(10):
                comm.Allgather(mine, all_of_them)
            times.append((time.perf_counter() - began) / 10)
        if comm.rank == 0:
            print(f"{size:>12,} bytes {1e6 * min(times):12,.1f} us")


def draw() -> None:
    """Write the picture, and print the rows of the table."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    ax.loglog(RANKS, RANKS, color="0.8", label="as many times as ranks")
    for name, (step, parameters) in STEPS.items():
        gain = step / seconds(step, parameters, RANKS)
        best = int(np.argmax(gain))
        ax.loglog(RANKS, gain, marker=".", label=f"a step of {name} parameters")
        shown = " | ".join(f"{gain[np.searchsorted(RANKS, k)]:.1f}" for k in (2, 4, 16, 64, 1024))
        print(f"| {name} | {shown} | {RANKS[best]:,} ranks, {gain[best]:.0f} times |")
    ax.set(xlabel="ranks", ylabel="times as fast as one", ylim=(0.1, 1500))
    ax.legend()
    plt.rcParams["svg.hashsalt"] = "distributed"
    plt.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    from importlib.util import find_spec

    if find_spec("mpi4py"):
        from mpi4py import MPI

        if MPI.COMM_WORLD.Get_size() > 1:
            measure()
            sys.exit()
    draw()
