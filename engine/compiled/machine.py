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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import modes
from engine.compiled import jit, loop
from engine.compiled.kernels import (
    BACKWARD,
    BLAS_FROM,
    FLAGS,
    FORWARD,
    INNER,
    KERNELS,
    NAN_SEEN,
    NOT_FINITE,
    OUT,
    SEED,
    SPACE,
    STEP,
    WORDS,
    A,
    B,
    C,
    N,
)
from engine.compiled.lift import Blocks, Instruction, L, S, Segments
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


@dataclass(slots=True)
class Training:
    """Updates to run in one call: see `loop.run`.

    `theta` and `gradient` are the numbers that move, in place, and the last gradient; `places`
    their rows in S, -1 for those that the program does not read. The `rule` is a function of
    (theta, gradient, slots, settings, 0, 0, steps, count) that works number by number, so that it
    can be compiled; None for a single run without an update.
    """

    data: Array  # one row an example
    order: Array
    in_order: bool
    starts: Array  # of each step in `order`, and the end
    theta: Array
    gradient: Array
    rule: Callable[..., None] | None
    slots: Array
    steps: int
    settings: Array  # of the rule, one row an update
    mean: bool  # whether the gradient is divided by the sum of weights
    losses: Array  # (steps, 2): the sum of terms, and of weights
    places: Array


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
        needs = Needs(blocks, self._pool)
        for number in wanted:
            if number in self._lane_rows:
                needs.rows[L][self._lane_rows[number]] = 1
            else:
                needs.rows[S][self._shared_rows[number]] = 1
        both = blocks.instructions
        products = [i for i in (*both[S], *both[L]) if i.kernel == "mm"]
        sizes = [i.n * i.inner * i.cols * (self._most if i.space else 1) for i in products]
        self._large = max(sizes, default=0) >= BLAS_FROM  # else code for BLAS is not even made
        flags = [needs.of(i) for i in (*both[S], *both[L])]
        self._words, self._kernels = encode([*both[S], *both[L]], flags, blocks.segments)
        shared = sum(i.n if i.kernel == "segment" else 1 for i in both[S])
        self._counts = np.array([shared, len(self._kernels)], _INTEGERS)
        self._addresses(backward=False)
        self._can_go_back = False
        none = np.zeros(0, self.dtype)
        self._no_training = Training(
            data=np.zeros((0, 0), self.dtype),
            order=np.zeros(0, _INTEGERS),
            in_order=True,
            starts=np.zeros(2, _INTEGERS),
            theta=none,
            gradient=none,
            rule=None,
            slots=none,
            steps=0,
            settings=np.zeros((1, 0), self.dtype),
            mean=False,
            losses=np.zeros((0, 2)),
            places=np.zeros(0, _INTEGERS),
        )
        self._outputs = np.array(blocks.outputs, _INTEGERS).reshape(-1, 2)
        self._checks = np.array(
            [(c.row, c.space, c.order, c.length) for c in blocks.checks], _INTEGERS
        ).reshape(-1, 4)
        self._numbers = np.array([c.number for c in blocks.checks], dtype)

    def _addresses(self, *, backward: bool) -> None:
        """Fill in the kernels' addresses, compiling those that were not needed before."""
        count = len(self._kernels)
        used = self._words[:count, FLAGS] != 0 if backward else np.ones(count, bool)
        names = kernel_names()
        addresses = np.zeros(len(names), _INTEGERS)
        for code in np.unique(self._kernels[used]).tolist():
            name = "mm_small" if names[code] == "mm" and not self._large else names[code]
            addresses[code] = jit.address(name, backward, self.dtype.name)
        column = BACKWARD if backward else FORWARD
        self._words[:count, column] = np.where(used, addresses[self._kernels], 0)

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
            count = len(lanes)
            self._begin(shared, count, draws, backward=seeds is not None)
            self._pool[NOT_FINITE] = -1 if modes.state.raising else 0
            outputs = np.zeros((max(1, count), len(self._outputs)), self.dtype)
            fail = np.full(max(1, count), -1, _INTEGERS)
            found = np.zeros(max(1, count), self.dtype)
            rows = np.array([self._lane_rows[number] for number in lane_gradients], _INTEGERS)
            lane_gradient = np.zeros((count, len(rows)), self.dtype)
            weights = np.zeros(len(self._outputs), self.dtype) if seeds is None else seeds
            unchecked = int(np.searchsorted(self._checks[:, 2], trusted))
            self._call(
                ids,
                lanes,
                outputs,
                weights.astype(self.dtype, copy=False),
                unchecked,
                fail,
                found,
                lane_gradient,
                rows,
                seeds is not None,
                self._no_training,
            )
            nan_seen, not_finite = self._pool[NAN_SEEN] > 0, self._pool[NOT_FINITE] > 0
            gradient = self._gs[: len(shared)].copy()
        return Run(outputs, fail, found, gradient, lane_gradient, nan_seen, not_finite)

    def run_steps(self, shared: Array, training: Training, draws: tuple[int, int]) -> int:
        """Run updates until one needs another path; return how many were done.

        `shared` are the numbers of the shared inputs before the first step.
        """
        with self.lock:
            most = int(np.diff(training.starts).max())
            self._begin(shared, most, draws, backward=True)
            weights = np.zeros(len(self._outputs), self.dtype)
            weights[0] = 1.0
            gathered = 0 if training.in_order else most
            return self._call(
                np.arange(most),
                np.zeros((gathered, training.data.shape[1]), self.dtype),
                np.zeros((most, len(self._outputs)), self.dtype),
                weights,
                0,
                np.zeros(most, _INTEGERS),
                np.zeros(most, self.dtype),
                np.zeros((0, 0), self.dtype),
                np.zeros(0, _INTEGERS),
                True,
                training,
            )

    def _call(
        self,
        ids: Array,
        lanes: Array,
        outputs: Array,
        weights: Array,
        unchecked: int,
        fail: Array,
        found: Array,
        lane_gradient: Array,
        gradient_rows: Array,
        backward: bool,
        training: Training,
    ) -> int:
        """Call the loop."""
        return _entry()(
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
            weights,
            self._checks[unchecked:],
            self._numbers[unchecked:],
            fail,
            found,
            lane_gradient,
            gradient_rows,
            backward,
            training.rule is not None,
            training.data,
            training.order,
            training.in_order,
            training.starts,
            training.theta,
            training.gradient,
            training.places,
            jit.rule_address(training.rule, self.dtype.name) if training.rule else 0,
            training.slots,
            training.steps,
            training.settings,
            training.mean,
            training.losses,
        )

    def _begin(self, shared: Array, count: int, draws: tuple[int, int], *, backward: bool) -> None:
        """Have the kernels, room for a chunk of lanes, and the shared numbers in place."""
        if backward and not self._can_go_back:
            self._addresses(backward=True)
            self._can_go_back = True
        self._vs[: len(shared)] = shared
        self._pool[SEED], self._pool[STEP] = (_as_word(counter) for counter in draws)
        self._pool[NAN_SEEN] = self._pool[NOT_FINITE] = 0
        capacity = max(1, min(count, self._most))
        if capacity > self._capacity:
            self._capacity = capacity
            self._vl = np.zeros(self.blocks.rows[L] * capacity, self.dtype)
            self._gl = np.zeros_like(self._vl)


def _as_word(counter: int) -> int:
    """The lower 64 bits of a number, as a signed one."""
    return (counter + (1 << 63)) % (1 << 64) - (1 << 63)


def kernel_names() -> list[str]:
    """Kernels by number: rows of the table, in its order, as segments have them; then others."""
    return [f"ew_{name}" for name in TABLE] + list(KERNELS)


def encode(
    instructions: Sequence[Instruction],
    flags: Sequence[Sequence[int]],
    segments: Segments | None = None,
) -> tuple[Array, Array]:
    """The instructions as words, without the kernels' addresses (see `kernels`), and the number
    of each one's kernel. A segment is written out: as one instruction for each operation."""
    segments = segments or Segments()
    number = {name: k for k, name in enumerate(kernel_names())}
    sizes = [i.n if i.kernel == "segment" else 1 for i in instructions]
    starts = list(itertools.accumulate(sizes, initial=0))
    words = np.zeros((max(1, starts[-1]), WORDS), _INTEGERS)
    kernels = np.zeros(starts[-1], _INTEGERS)
    words[: starts[-1], FLAGS] = list(itertools.chain.from_iterable(flags))
    columns = {OUT: segments.out, A: segments.a, B: segments.b, C: segments.c}
    arrays = {word: np.array(column, _INTEGERS) for word, column in columns.items()}
    codes = np.array(segments.code, _INTEGERS)
    others, places = [], []
    for i, start in zip(instructions, starts, strict=False):
        if i.kernel == "segment":
            rows, part = slice(start, start + i.n), slice(i.list_1, i.list_1 + i.n)
            words[rows, SPACE], words[rows, N] = i.space, 1
            for word, array in arrays.items():
                words[rows, word] = array[part]
            kernels[rows] = codes[part]
        else:
            others.append(i)
            places.append(start)
    fields = len(Instruction._fields) - 1
    flat = itertools.chain.from_iterable([i[1:] for i in others])
    table = np.fromiter(flat, _INTEGERS, len(others) * fields).reshape(-1, fields)
    words[places, SPACE:FLAGS] = table[:, : FLAGS - SPACE]
    words[places, INNER:] = table[:, FLAGS - SPACE :]
    kernels[places] = [number[i.kernel] for i in others]
    return words, kernels


class Needs:
    """Which rows need an adjoint: those that depend on what gradients are wanted by.

    `of` is called for the instructions in order. It returns which operands of an instruction need
    one, as flags, one number an instruction and for a segment one an operation; and it marks the
    rows of the result if any does.
    """

    def __init__(self, blocks: Blocks, pool: Array) -> None:
        self.rows = (bytearray(blocks.rows[S]), bytearray(blocks.rows[L]))
        self._pool, self._segments = pool, blocks.segments
        self._bits = [(*_bits(name), 0, 0)[:3] for name in TABLE]

    def of(self, i: Instruction) -> list[int]:
        """The flags of the next instruction."""
        if i.kernel == "segment":
            return self._of_segment(i)
        own, shared, n = self.rows[i.space], self.rows[S], i.n
        wanted: Sequence[bool]
        if i.kernel.startswith("ew_"):
            bits = _bits(i.kernel.removeprefix("ew_"))
            operands = zip(bits, (i.a, i.b, i.c), strict=False)
            wanted = [bit > 0 and 1 in own[first : first + n] for bit, first in operands]
        elif i.kernel == "gather":
            wanted = [1 in own[i.a : i.a + n]]
        elif i.kernel == "gather_list":
            wanted = [self._any(own, i.list_1, n)]
        elif i.kernel == "broadcast":
            wanted = [1 in shared[i.a : i.a + n]]
        elif i.kernel == "broadcast_list":
            wanted = [self._any(shared, i.list_1, n)]
        elif i.kernel == "take":
            wanted = [self._any(self.rows[i.c], i.list_1, n * i.inner)]
        elif i.kernel == "mm":
            n = i.n * i.cols
            wanted = [
                1 in shared[i.a : i.a + i.n * i.inner],
                1 in own[i.b : i.b + i.inner * i.cols],
                i.bias >= 0 and 1 in shared[i.bias : i.bias + i.n],
                i.init >= 0 and 1 in own[i.init : i.init + n],
            ]
        elif i.kernel == "dot":
            wanted = [
                self._any(own, i.list_1, n * i.inner),
                self._any(own, i.list_2, n * i.inner),
                self._any(own, i.list_3, n * i.cols),
            ]
        else:
            wanted = []
        flags = sum(1 << k for k, flag in enumerate(wanted) if flag)
        if flags:
            own[i.out : i.out + n] = b"\1" * n
        return [flags]

    def _of_segment(self, i: Instruction) -> list[int]:
        """The same for operations on single rows, of which there may be millions."""
        own, segments = self.rows[i.space], self._segments
        part = slice(i.list_1, i.list_1 + i.n)
        columns = (segments.code, segments.out, segments.a, segments.b, segments.c)
        found = []
        for code, out, a, b, c in zip(*[column[part] for column in columns], strict=True):
            by_a, by_b, by_c = self._bits[code]
            flags = (own[a] and by_a) | (by_b and own[b] and by_b) | (by_c and own[c] and by_c)
            if flags:
                own[out] = 1
            found.append(flags)
        return found

    def _any(self, needs: bytearray, first: int, count: int) -> bool:
        """Whether any row of a list needs an adjoint."""
        rows = self._pool[first : first + count]
        if count < 32:
            return any(needs[row if row >= 0 else ~row] for row in rows.tolist())
        return bool(np.frombuffer(needs, np.uint8)[np.where(rows >= 0, rows, ~rows)].any())


def _bits(row: str) -> tuple[int, ...]:
    """For a row of the table, the flag of each operand whose derivative is not 0 everywhere."""
    partials = TABLE[row].partials
    return tuple(1 << k if callable(p) or p != 0.0 else 0 for k, p in enumerate(partials))


_entry_lock = threading.Lock()


@functools.cache
def _loaded_entry() -> Callable[..., int]:
    if jit.DISABLED:
        names = {
            "instructions": loop.instructions_in_python,
            "update": loop.update_in_python,
        }
        return jit.renamed(loop.run, names)
    invoke = {"invoke": jit.invoke()}
    names = {
        "instructions": jit.renamed(loop.instructions_at_addresses, invoke),
        "update": jit.renamed(loop.update_at_address, invoke),
        "check": loop.check,
        "not_finite": loop.not_finite,
    }
    return jit.compiled_entry(loop.run, names)


def _entry() -> Callable[..., int]:
    with _entry_lock:
        return _loaded_entry()
