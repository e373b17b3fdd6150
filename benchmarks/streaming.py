"""A training on a file, in a process of its own: `python -m benchmarks.streaming FILE HOW`.

It prints the anonymous memory that the training took at its most beyond what Python and the
libraries take, in bytes, and the parameters, as JSON. With HOW "memory" the file is read first,
which counts as well; with "r" rows are read when they are needed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 500  # numbers in a row, in single precision
_BLOCK = 20_000  # rows that are written together


def written(file: Path, rows: int) -> Path:
    """Write rows of noise to a file; return it."""
    data = np.lib.format.open_memmap(file, "w+", np.float32, (rows, WIDTH))
    for k in range(0, rows, _BLOCK):
        part = data[k : k + _BLOCK]
        part[:] = np.random.default_rng(k).random(part.shape, np.float32)
    data.flush()
    return file


def measured(file: Path, how: str = "r") -> dict[str, Any]:
    """Train on a file; return the "bytes" and the "parameters"."""
    command = [sys.executable, "-m", "benchmarks.streaming", str(file), how]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(file: str, how: str) -> None:
    """Train for an epoch, shuffled by blocks."""
    import nn

    before, peak, done = _anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    X = np.load(file, mmap_mode="r") if how == "r" else np.load(file)
    y = np.arange(len(X), dtype=np.float32)[:, None] % 7
    model = nn.Linear(WIDTH, 1)
    for parameter in model.parameters():
        parameter.data = 0.01
    nn.fit(
        model,
        nn.DataLoader(nn.TensorDataset(X, y), 256, shuffle=True, block_size=2_000),
        loss=nn.MSELoss(),
        optimizer=nn.SGD(model.parameters(), lr=0.001),
        epochs=1,
        dtype="float32",
        progress=False,
    )
    done.set()
    watcher.join()
    print(json.dumps({"bytes": peak - before, "parameters": [p.data for p in model.parameters()]}))


def _anonymous() -> int:
    """Bytes of memory that no file stands behind (Linux)."""
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
