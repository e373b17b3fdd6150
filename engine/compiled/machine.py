"""The machine: blocks encoded as words, buffers for their rows, and the loop that runs them.

In: `Blocks`, a vector of shared numbers, a matrix with one row an example. Out: the outputs of
every example, gradients, and which guards failed in which lanes. Examples are processed in chunks
whose rows stay in the processor's cache: S forwards once, then chunk by chunk L forwards and
backwards, then S backwards.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import modes
from engine.compiled import jit, loop
from engine.compiled.kernels import (
    BACKWARD,
    FLAGS,
    FORWARD,
    INNER,
    NAN_SEEN,
    NOT_FINITE,
    SEED,
    SPACE,
    STEP,
    WORDS,
)
from engine.compiled.lift import Blocks, Instruction, L, S
from engine.ops import TABLE

Array = np.ndarray[Any, np.dtype[Any]]
CHUNK_BYTES = 1 << 18  # of rows and adjoints of L: about what a core's cache holds beside others
_INTEGERS = np.int64


@dataclass(slots=True)
class Run:
    """What one run gave. Lanes whose guard failed have `fail` >= 0, and no part in gradients."""

    outputs: Array  # (examples, outputs), or (1, outputs) without lanes
    fail: Array  # per example the order of the first guard that failed, or -1
    found: Array  # and the number found there
    shared_gradient: Array  # of the rows of shared inputs
    lane_gradient: Array  # (examples, rows asked for)
    nan_seen: bool  # a sum of products gave nan, which absorbing might not have
    not_finite: bool  # some row was inf or nan; noted only under errstate("raise")


class Machine:
    """Blocks ready to run, for numbers of one type.

    `wanted` are the numbers of the inputs whose gradient will be asked for. One machine runs in
    one thread at a time.
    """

    def __init__(self, blocks: Blocks, wanted: Sequence[int], dtype: str) -> None:
        self.blocks, self.dtype = blocks, np.dtype(dtype)
        self.lock = threading.Lock()
        rows_s, rows_l = blocks.rows
        self._vs = np.zeros(rows_s, dtype)
        self._gs = np.zeros(rows_s, dtype)
        for row, number in blocks.constants[S].items():
            self._vs[row] = number
        constants = blocks.constants[L]
        self._constant_rows = np.array(list(constants), _INTEGERS)
        self._constant_numbers = np.array(list(constants.values()), dtype)
        self._capacity = 0
        self._vl = self._gl = np.zeros(0, dtype)
        self._most = max(16, CHUNK_BYTES // (2 * self.dtype.itemsize * max(1, rows_l)) // 8 * 8)
        self._pool = np.array([*blocks.pool, 0], _INTEGERS)
        self._shared_rows = {number: row for row, number in enumerate(blocks.shared_inputs)}
        lane_rows = {number: row for row, number in enumerate(blocks.lane_inputs)}
        self._lane_rows = {**lane_rows, **blocks.split_inputs}
        needs = (bytearray(rows_s), bytearray(rows_l))
        for number in wanted:
            if number in self._lane_rows:
                needs[L][self._lane_rows[number]] = 1
            else:
                needs[S][self._shared_rows[number]] = 1
        instructions = [*blocks.instructions[S], *blocks.instructions[L]]
        self._flags = [flags_of(i, needs, self._pool) for i in instructions]
        self._instructions = instructions
        self._words = encode(instructions, self._flags)
        self._counts = np.array([len(blocks.instructions[S]), len(instructions)], _INTEGERS)
        self._addresses(backward=False)
        self._can_go_back = False
        self._outputs = np.array(blocks.outputs, _INTEGERS).reshape(-1, 2)
        self._checks = np.array(
            [(c.row, c.space, c.order, c.length) for c in blocks.checks], _INTEGERS
        ).reshape(-1, 4)
        self._numbers = np.array([c.number for c in blocks.checks], dtype)

    def _addresses(self, *, backward: bool) -> None:
        """Fill in the kernels' addresses, compiling those that were not needed before."""
        names = [i.kernel if f or not backward else "" for i, f in self._flagged()]
        known = {name: jit.address(name, backward, self.dtype.name) for name in set(names) - {""}}
        known[""] = 0
        column = BACKWARD if backward else FORWARD
        self._words[: len(names), column] = [known[name] for name in names]

    def _flagged(self) -> Iterator[tuple[Instruction, int]]:
        return zip(self._instructions, self._flags, strict=True)

    def run(
        self,
        shared: Array,
        lanes: Array,
        ids: Array,
        draws: tuple[int, int],
        seeds: Array | None = None,
        lane_gradients: Sequence[int] = (),
        trusted: int = 0,
    ) -> Run:
        """Run all examples.

        `shared` has the numbers of the shared inputs, `lanes` one row an example, `ids` the
        examples' numbers; `draws` are the seed and the step of random numbers. With `seeds`, one
        number an output, gradients of the outputs' weighted sum over all examples are computed;
        `lane_gradients` are the inputs for which one an example is returned. The first `trusted`
        guards are not checked: another run decided them.
        """
        with self.lock:
            if seeds is not None and not self._can_go_back:
                self._addresses(backward=True)
                self._can_go_back = True
            count = len(lanes)
            self._reserve(count)
            self._vs[: len(shared)] = shared
            self._pool[SEED], self._pool[STEP] = (_as_word(counter) for counter in draws)
            self._pool[NAN_SEEN] = 0
            self._pool[NOT_FINITE] = -1 if modes.state.raising else 0
            outputs = np.zeros((max(1, count), len(self._outputs)), self.dtype)
            fail = np.full(max(1, count), -1, _INTEGERS)
            found = np.zeros(max(1, count), self.dtype)
            rows = np.array([self._lane_rows[number] for number in lane_gradients], _INTEGERS)
            lane_gradient = np.zeros((count, len(rows)), self.dtype)
            weights = np.zeros(len(self._outputs), self.dtype) if seeds is None else seeds
            unchecked = int(np.searchsorted(self._checks[:, 2], trusted))
            _entry()(
                self._words,
                self._counts,
                self._pool,
                ids,
                self._vs,
                self._gs,
                self._vl,
                self._gl,
                self._capacity,
                self.blocks.rows[L],
                self._constant_rows,
                self._constant_numbers,
                lanes,
                outputs,
                self._outputs,
                weights.astype(self.dtype, copy=False),
                self._checks[unchecked:],
                self._numbers[unchecked:],
                fail,
                found,
                lane_gradient,
                rows,
                seeds is not None,
            )
            nan_seen, not_finite = self._pool[NAN_SEEN] > 0, self._pool[NOT_FINITE] > 0
            gradient = self._gs[: len(shared)].copy()
        return Run(outputs, fail, found, gradient, lane_gradient, nan_seen, not_finite)

    def _reserve(self, count: int) -> None:
        """Have room for a chunk of lanes."""
        capacity = max(1, min(count, self._most))
        if capacity > self._capacity:
            self._capacity = capacity
            self._vl = np.zeros(self.blocks.rows[L] * capacity, self.dtype)
            self._gl = np.zeros_like(self._vl)


def _as_word(counter: int) -> int:
    """The lower 64 bits of a number, as a signed one."""
    return (counter + (1 << 63)) % (1 << 64) - (1 << 63)


def encode(instructions: Sequence[Instruction], flags: Sequence[int]) -> Array:
    """The instructions as words, without the kernels' addresses: see `kernels`."""
    count, fields = len(instructions), len(Instruction._fields) - 1
    words = np.zeros((max(1, count), WORDS), _INTEGERS)
    flat = itertools.chain.from_iterable([i[1:] for i in instructions])
    table = np.fromiter(flat, _INTEGERS, count * fields).reshape(count, fields)
    words[:count, SPACE:FLAGS] = table[:, : FLAGS - SPACE]
    words[:count, FLAGS] = flags
    words[:count, INNER:] = table[:, FLAGS - SPACE :]
    return words


def flags_of(i: Instruction, needs: tuple[bytearray, bytearray], pool: Array) -> int:
    """Which operands of an instruction need an adjoint; marks the result's rows if any does."""
    own = needs[i.space]
    kernel, n = i.kernel, i.n
    flags = 0
    differentiable = _differentiable(kernel)
    if differentiable is not None:
        for bit, first in zip(differentiable, (i.a, i.b, i.c), strict=False):
            if bit and (own[first] if n == 1 else 1 in own[first : first + n]):
                flags |= bit
        if flags:
            own[i.out : i.out + n] = b"\1" * n
        return flags
    if kernel == "gather":
        wanted = [1 in own[i.a : i.a + n]]
    elif kernel == "gather_list":
        wanted = [_any(own, pool, i.list_1, n)]
    elif kernel == "broadcast":
        wanted = [1 in needs[S][i.a : i.a + n]]
    elif kernel == "broadcast_list":
        wanted = [_any(needs[S], pool, i.list_1, n)]
    elif kernel == "take":
        wanted = [_any(needs[i.c], pool, i.list_1, n * i.inner)]
    elif kernel == "mm":
        wanted = [
            1 in needs[S][i.a : i.a + n * i.inner],
            1 in own[i.b : i.b + i.inner * i.cols],
            i.bias >= 0 and 1 in needs[S][i.bias : i.bias + n],
            i.init >= 0 and 1 in own[i.init : i.init + n * i.cols],
        ]
    elif kernel == "dot":
        wanted = [
            _any(own, pool, place, n * count)
            for place, count in ((i.list_1, i.inner), (i.list_2, i.inner), (i.list_3, i.cols))
        ]
    else:
        wanted = []
    flags = sum(1 << k for k, flag in enumerate(wanted) if flag)
    if flags:
        rows = n * i.cols if kernel == "mm" else n
        own[i.out : i.out + rows] = b"\1" * rows
    return flags


@functools.cache
def _differentiable(kernel: str) -> tuple[int, ...] | None:
    """For a row of the table, the flag of each operand whose derivative is not 0 everywhere."""
    if not kernel.startswith("ew_"):
        return None
    partials = TABLE[kernel.removeprefix("ew_")].partials
    return tuple(1 << k if callable(p) or p != 0.0 else 0 for k, p in enumerate(partials))


def _any(needs: bytearray, pool: Array, first: int, count: int) -> bool:
    """Whether any row of a list needs an adjoint."""
    rows = pool[first : first + count]
    return bool(np.frombuffer(needs, np.uint8)[np.where(rows >= 0, rows, ~rows)].any())


_entry_lock = threading.Lock()


@functools.cache
def _loaded_entry() -> Callable[..., None]:
    if jit.DISABLED:
        return jit.renamed(loop.run_blocks, {"instructions": loop.instructions_in_python})
    called = jit.renamed(loop.instructions_at_addresses, {"invoke": jit.invoke()})
    names = {"instructions": called, "check": loop.check, "not_finite": loop.not_finite}
    return jit.compiled_entry(loop.run_blocks, names)


def _entry() -> Callable[..., None]:
    with _entry_lock:
        return _loaded_entry()
