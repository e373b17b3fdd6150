"""NumPy's own validation tables of elementary functions: inputs, and the true results.

They lie in NumPy's installation, if that came with its test data: one file a function.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.ops import TABLE

PREFIX = "umath-validation-set-"
FOLDER = Path(np.__file__).parent / "_core" / "tests" / "data"
ROW_NAMES = {name for op in TABLE.values() for name in (op.name, *op.aliases)}
FILES = {path.stem.removeprefix(PREFIX): path for path in sorted(FOLDER.glob(f"{PREFIX}*.csv"))}
TABLES = {name: path for name, path in FILES.items() if name in ROW_NAMES}


def read(path: Path, dtype: type[np.floating[Any]]) -> tuple[Any, Any]:
    """The inputs and the true results of a table; both are bit patterns in hexadecimal."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    chosen = [row for row in rows if row[0] == f"np.{dtype.__name__}"]
    unsigned = f"u{np.dtype(dtype).itemsize}"
    inputs, outputs = (
        np.array([int(row[column], 16) for row in chosen], dtype=unsigned).view(dtype)
        for column in (1, 2)
    )
    return inputs, outputs
