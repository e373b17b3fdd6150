"""The programs that `gradloom run` runs, one short file each.

A program has a SUMMARY line, and a function `run(options)` that trains a model and returns a
`Report`. It may have its own options of the command line: OPTIONS, by name what argparse is told
of each. One that trains on data has the numbers POINTS and EPOCHS that are taken by default, and a
function `problem(options)` that says what is trained, as a `nn.programs.problem.Problem`. To add a
program, write its file and add its name here.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

# The name on the command line, and the file.
PROGRAMS = {
    "unit-circle": "unit_circle",
    "xor": "xor",
    "mnist": "mnist",
    "neuron": "neuron",
    "circles": "circles",
    "mnist-small": "mnist_small",
    "building-blocks": "building_blocks",
    "names-gpt": "names_gpt",
}


@dataclass(frozen=True)
class Options:
    """What the command line asked for; None where it said nothing.

    `own` has what it said of a program's own OPTIONS, by name. `on` are the processes to train
    on, as for `nn.fit`, and `checkpoint` is a folder for the checkpoints.
    """

    path: str = "auto"
    seed: int = 0
    epochs: int | None = None
    points: int | None = None
    lr: float | None = None
    out: Path | None = None
    quiet: bool = False  # no progress bar
    own: Mapping[str, Any] = field(default_factory=dict)
    on: Any = None
    checkpoint: Path | None = None
    _fits: Iterator[int] = field(default_factory=itertools.count)

    def of_fit(self) -> dict[str, Any]:
        """What the program's next `nn.fit` is told of these: each has a folder of its own."""
        folder = self.checkpoint and self.checkpoint / str(next(self._fits))
        return {"on": self.on, "checkpoint": folder}


@dataclass
class Report:
    """What a program has to say: `figures` for --json, `text` for people, `pictures` it wrote."""

    figures: dict[str, Any]
    text: str
    pictures: list[Path] = field(default_factory=list)


def load(name: str) -> ModuleType:
    """Return the module of a program. Raises KeyError for a name that is none."""
    return importlib.import_module(f"nn.programs.{PROGRAMS[name]}")
