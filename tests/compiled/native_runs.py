"""Blocks written out as machine code, for tests: planned, compiled together, and run on arrays.

LLVM takes its time for each module, so the plans of many blocks become one. A `Written` runs one
of them step by step, as the machine does, on buffers that the test has filled.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compiled.twins import twin_of
from engine.compiled import machine, native, objects
from engine.compiled.lift import POOL_HEADER, Blocks, Instruction, L, S, Segments
from engine.compiled.objects import Code
from engine.compiled.words import Needs, encode, kernel_names

_FUNCTION = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 7, ctypes.c_int64)
_MOST_LINES = 15_000  # of a module: beyond a few more, LLVM is told not to optimise


def blocks_of(
    instructions: Sequence[Instruction],
    rows: tuple[int, int],
    *,
    outputs: Sequence[tuple[int, int]] = (),
    constants: tuple[dict[int, float], dict[int, float]] = ({}, {}),
    pool: Sequence[int] = (0,) * POOL_HEADER,
    segments: Segments | None = None,
) -> Blocks:
    """Blocks of these instructions, as if every row that none of them writes were an input."""
    shared = [i for i in instructions if i.space == S]
    lanes = [i for i in instructions if i.space == L]
    return Blocks(
        (shared, lanes),
        rows,
        constants,
        [],
        [],
        {},
        list(outputs),
        [],
        list(pool),
        segments or Segments(),
        0,
    )


@dataclass
class Program:
    """Blocks, what is wanted of them, and how they are to be written out."""

    blocks: Blocks
    wanted: Sequence[tuple[int, int]]  # rows whose adjoint is read
    width: int
    dtype: str
    by_kernel: Callable[[Instruction], bool] = lambda instruction: False
    flags: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        needs = Needs(self.blocks, np.array(self.blocks.pool, np.int64))
        for space, row in self.wanted:
            needs.rows[space][row] = 1
        self.flags = [needs.of(i) for space in (S, L) for i in self.blocks.instructions[space]]

    def plan(self) -> native.Plan:
        return native.plan(
            self.blocks,
            self.flags,
            self.wanted,
            self.width,
            self.dtype,
            objects.vector_bytes(),
            self.by_kernel,
        )

    def flags_in(self, space: int) -> list[list[int]]:
        split = len(self.blocks.instructions[S])
        return self.flags[:split] if space == S else self.flags[split:]


class Buffers:
    """The numbers of rows and their adjoints, at first all nan but for the constants."""

    def __init__(self, program: Program) -> None:
        self.width = program.width
        rows_s, rows_l = program.blocks.rows
        self.pool = np.array(program.blocks.pool, np.int64)
        self.ids = np.arange(program.width)
        self.vs, self.gs = (np.full(rows_s, np.nan, program.dtype) for _ in range(2))
        room = rows_l * program.width
        self.vl, self.gl = (np.full(room, np.nan, program.dtype) for _ in range(2))
        with np.errstate(over="ignore"):
            for space in (S, L):
                for row, x in program.blocks.constants[space].items():
                    self.values(space)[row] = x

    def values(self, space: int) -> Any:
        """The numbers of a space: one row of lanes for each row."""
        return self.vl.reshape(-1, self.width) if space == L else self.vs.reshape(-1, 1)

    def adjoints(self, space: int) -> Any:
        return self.gl.reshape(-1, self.width) if space == L else self.gs.reshape(-1, 1)

    def arrays(self) -> list[Any]:
        return [self.pool, self.ids, self.vs, self.gs, self.vl, self.gl]


@dataclass
class Written:
    """A program as machine code."""

    program: Program
    plan: native.Plan
    code: Code
    prefix: str

    def run(self, buffers: Buffers, space: int, *, backward: bool) -> None:
        """Run the steps of a space; instructions that stay kernels are run by their twins."""
        steps = self.plan.steps[space]
        for step in reversed(steps) if backward else steps:
            if step >= 0:
                name = f"{self.prefix}{'backward' if backward else 'forward'}{step}"
                pointers = [array.ctypes.data for array in [buffers.pool, *buffers.arrays()]]
                _FUNCTION(self.code.address(name))(*pointers, buffers.width)
            else:
                run_twins(self.program, buffers, space, [~step], backward=backward)

    def clear(self, buffers: Buffers, space: int) -> None:
        """Make 0 what the plan says has to be."""
        for first, last in self.plan.clear[space]:
            buffers.adjoints(space)[first:last] = 0.0


def run_twins(
    program: Program,
    buffers: Buffers,
    space: int,
    which: Iterable[int] | None = None,
    *,
    backward: bool,
    twin_of: Callable[[str, bool], Any] = twin_of,
) -> None:
    """Run instructions of a space by their slow twins."""
    instructions, flags = program.blocks.instructions[space], program.flags_in(space)
    order = list(range(len(instructions)) if which is None else which)
    names = kernel_names()
    for k in reversed(order) if backward else order:
        words, kernels = encode([instructions[k]], [flags[k]], program.blocks.segments)
        places = range(len(kernels))
        for place in reversed(places) if backward else places:
            if backward and not words[place, machine.FLAGS]:
                continue
            twin = twin_of(names[kernels[place]], backward)
            if twin is not None:
                with np.errstate(all="ignore"):
                    twin(words[place], *buffers.arrays(), buffers.width)


def written(programs: Sequence[Program]) -> list[Written]:
    """The programs as machine code, in as few modules as may be."""
    found: list[Written] = []
    open_: list[tuple[Program, native.Plan]] = []
    size = 0
    for program in programs:
        plan = program.plan()
        if open_ and size + plan.text.count("\n") > _MOST_LINES:
            found += _module(open_)
            open_, size = [], 0
        open_.append((program, plan))
        size += plan.text.count("\n")
    return found + (_module(open_) if open_ else [])


def _module(plans: Sequence[tuple[Program, native.Plan]]) -> list[Written]:
    declared: set[str] = set()
    texts = []
    for k, (_, plan) in enumerate(plans):
        lines = plan.text.splitlines()
        declared |= {line for line in lines if line.startswith("declare")}
        text = "\n".join(line for line in lines if not line.startswith("declare"))
        texts.append(re.sub(r"@(forward|backward)", rf"@p{k}_\1", text))
    code = Code(objects.compiled("\n".join([*sorted(declared), *texts])))
    return [Written(*pair, code, f"p{k}_") for k, pair in enumerate(plans)]
