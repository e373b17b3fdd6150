"""The rows of the table, one file for each piece of work, in the order in which they are run.

A file has a function `rows(scale)` that yields what is measured side by side, or `figures(scale)`
for what is measured along an axis, or both. To add one, write its file and add its name here.
"""

from __future__ import annotations

import importlib
from types import ModuleType

# The name on the command line, and the file.
NAMES = {
    "moons": "moons",
    "xor": "xor",
    "unit-circle": "unit_circle",
    "mnist": "mnist",
    "gpt": "gpt",
    "lotka-volterra": "lotka_volterra",
    "block-math": "block_math",
    "lowering": "lowering",
    "compiling": "compiling",
    "eager": "eager",
    "growth": "growth",
    "crossover": "crossover",
}


def load(name: str) -> ModuleType:
    """Return the module of some rows. Raises KeyError for a name that is none."""
    return importlib.import_module(f"benchmarks.rows.{NAMES[name]}")
