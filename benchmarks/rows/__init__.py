"""The rows of the table, one file for each piece of work, in the order in which they are run.

A file has a function `rows(scale)` that yields what is measured side by side, or `figures(scale)`
for what is measured along an axis, or both. To add one, write its file and add its name here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

from benchmarks.harness import Row, Scale

# What shares a process: those with the same peers. A garbage collector takes the longer the more
# is loaded, so what builds graphs on Values is by itself.
PROCESSES = (
    ("importing", "compiling"),
    ("moons",),
    (
        *("xor", "unit-circle", "mnist", "convolutions", "gpt", "lotka-volterra"),
        *("solutions", "sparse", "steps", "sequences", "calls"),
    ),
    ("block-math", "lowering", "fitting", "distributed"),
    ("eager", "growth", "crossover"),
)
NAMES = [name for names in PROCESSES for name in names]


def load(name: str) -> ModuleType:
    """Return the module of some rows. Raises ImportError for a name that is none."""
    return importlib.import_module(f"benchmarks.rows.{name.replace('-', '_')}")


def rows_of(name: str, scale: Scale) -> Iterator[Row]:
    """Yield the rows of a benchmark, and then those along the axes of its figures."""
    module = load(name)
    if hasattr(module, "rows"):
        yield from module.rows(scale)
    if hasattr(module, "figures"):
        for figure in module.figures(scale):
            for _, row in figure.points:
                yield row
