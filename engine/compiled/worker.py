"""A worker: a program's instructions with buffers for their rows, which runs them in one thread.

Examples are processed in chunks whose rows stay in the processor's cache. What runs is machine code
of its own (`native`), or the interpreter; what it is told at a call is the job (`native.job`).
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import locks, modes
from engine.compiled import blas, objects, threads, updates
from engine.compiled.blocks import NAN_SEEN, NOT_FINITE, SEED, STEP, Array, L, S, View
from engine.compiled.instructions import ROWS, matrices
from engine.compiled.interpreter import Work
from engine.compiled.lift import Blocks
from engine.compiled.native.job import AT
from engine.compiled.native.layout import WRITTEN
from engine.compiled.ready import Maker, Ready

CHUNK_BYTES = 1 << 20  # of rows and adjoints of L: about what a core's cache holds beside others
MANY = 200  # instructions from which on code is made in a quick way, until it is hot
HOT = 2_000  # chunks of lanes, from which on more of them are worth more compilation
_INTERPRETED = 4  # times as many lanes are in a chunk of the interpreter
_SHORT = 4_000  # numbers that a call computes which is so short that other threads had better wait
_LINE = 64  # bytes of the cache
_INTEGERS = np.int64
_ARRAYS = (  # of `Work`
    *("ids", "starts", "data", "order", "outputs", "fail", "found", "weights"),
    *("lane_gradient", "theta", "gradient", "places", "slots", "settings", "losses"),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A machine's code, to be called with buffers of one's own."""

    ready: Ready
    drive: Any  # does not let other threads take turns, if a chunk is short
    job: Array  # in which their addresses are to be put
    held: list[Any]  # what its other addresses are of
    shared: Array  # rows of S, with the constants
    lanes: Array  # and of L, for a chunk
    pool: Array
    outputs: int
    columns: int  # gradients of single examples
    checked: bool  # whether there are guards


@dataclass(slots=True)
class Run:
    """What one run gave. Lanes whose guard failed have `fail` >= 0, and no part in gradients."""

    outputs: Array  # (examples, outputs), or (1, outputs) without lanes
    fail: Array  # per example the order of the first guard that failed, or -1
    found: Array  # and the number found there
    shared_gradient: Array  # of the rows of shared inputs
    lane_gradient: Array  # (examples, rows asked for)
    nan_seen: bool  # a step of the chain rule gave nan, where the exact rule might have none
    not_finite: bool  # some row was inf or nan; noted only under errstate("raise")


@dataclass(slots=True)
class Training:
    """Updates to run in one call, or parts of a batch.

    `theta` and `gradient` are the numbers that move, in place, and the last gradient; `places`
    their rows in S, -1 for those that the program does not read. For `rule`, `slots` and the rows
    of `settings`, one an update, see `updates`. Without a rule nothing moves, and each step is a
    part of one batch, with a row of `gradient`, and of `ids` what follows those before it.
    """

    data: Array  # one row an example; if `in_order` one column
    apart: tuple[int, Array] | None  # which inputs `data` lacks, from which on: see `in_place`
    order: Array
    in_order: bool  # the examples of a step follow each other: `starts` are places in the data
    starts: Array  # for each step where its examples begin and end, in `order` or in the data
    theta: Array
    gradient: Array
    rule: Callable[..., tuple[Any, ...]] | None
    slots: Array
    settings: Array
    mean: bool  # whether the gradient is divided by the sum of weights
    losses: Array  # (steps, 2): the sum of terms, and of weights
    ids: Array  # numbers of the examples within their batch
    most: int  # examples of a step, by which code is chosen
    places: Array

    def together(self) -> Training:
        """The same with all inputs in `data`."""
        if self.apart is None:
            return self
        first, own = self.apart
        data = np.hstack([self.data[:, :first], own, self.data[:, first:]])
        return dataclasses.replace(self, data=data, apart=None)


def _no_training(dtype: np.dtype[Any]) -> Training:
    """What stands for it where there is none."""
    none = np.zeros(0, dtype)
    return Training(
        data=np.zeros((0, 0), dtype),
        apart=None,
        order=np.zeros(1, _INTEGERS),
        in_order=True,
        starts=np.zeros((1, 2), _INTEGERS),
        theta=none,
        gradient=none,
        rule=None,
        slots=none,
        settings=np.zeros((1, 0), dtype),
        mean=False,
        losses=np.zeros((1, 2)),
        ids=np.zeros(0, _INTEGERS),
        most=0,
        places=np.full(1, -1, _INTEGERS),
    )


class Worker:
    """Instructions with buffers for their rows, to be run in one thread at a time."""

    def __init__(
        self, blocks: Blocks, wanted: Sequence[int], dtype: str, *, native: bool = True
    ) -> None:
        self.blocks, self.dtype = blocks, np.dtype(dtype)
        self.lock = locks.freed()
        lane_rows = {number: row for row, number in enumerate(blocks.lane_inputs)}
        self._lane_rows = {**lane_rows, **blocks.split_inputs}
        rows = {number: (S, row) for row, number in enumerate(blocks.shared_inputs)}
        rows |= {number: (L, row) for number, row in self._lane_rows.items()}
        self._native = native and not objects.DISABLED
        self._grain = objects.vector_bytes() // self.dtype.itemsize if self._native else 1
        self._maker = Maker(blocks, [rows[i] for i in wanted], dtype, self._native)
        self._pool = self._maker.lists.pool
        self._vs, self._gs = (zeros(blocks.rows[S] + 1, dtype) for _ in range(2))
        self._fill(self._vs.reshape(-1, 1), S)
        self._vl = self._gl = np.zeros(1, dtype)
        self._width = 0  # of the chunk that they hold
        instructions = sum(map(len, self._maker.instructions))
        self.hot = len(blocks.lists.segments.code) <= WRITTEN and instructions <= MANY
        self.counting = True  # whether chunks that are run make it hot
        self.trained = False  # whether it will be
        self._chunks = 0  # that were run
        self._ready: list[Ready] = []
        self._most = self._most_lanes()
        self._no_training = _no_training(self.dtype)
        self._job = np.zeros(len(AT), _INTEGERS)
        self._held: list[Any] = []  # what the addresses in the job are of

    def _most_lanes(self) -> int:
        """Of a chunk: what fits into the cache, and no more where products are not BLAS's; of the
        interpreter's, in which each instruction is a call from Python, more."""
        most = CHUNK_BYTES // (2 * self.dtype.itemsize * max(1, self.blocks.rows[L]))
        most = max(16, most // 16 * 16)
        if not self._native:
            return _INTERPRETED * most
        products = [i.shape for i in self._maker.instructions[L] if ROWS[i.kind].is_product]
        lanes = matrices.LANES
        largest = max((n * inner * cols for n, inner, cols in products), default=0) * lanes
        return most if largest > matrices.BLAS_FROM and blas.is_there() else min(most, lanes)

    def _fill(self, rows: Array, space: int) -> None:
        """Put constants into their rows."""
        with np.errstate(all="ignore"):  # a large double may be inf in single precision
            for row, number in self.blocks.lists.constants[space].items():
                rows[row] = number

    # --- instructions for some width ---

    def _width_for(self, count: int) -> int:
        """Of chunks for batches of `count` examples."""
        if count <= 1 or not self.blocks.rows[L]:
            return 1
        chunks = -(-count // self._most)
        return -(-count // chunks // self._grain) * self._grain

    def at_hand(self, count: int, *, backward: bool, training: bool = False) -> Ready | None:
        """What runs a batch of `count` examples, if that was made before: of several what does.

        The batch counts for what makes it hot. Where a thread is to round as others elsewhere do
        (`threads.alone`), what ran before makes no difference.
        """
        exact = threads.is_alone()
        self.hot = self.hot or exact
        if self.counting and not self.hot:
            self._chunks += -(-max(1, count) // self._most)
            self.hot = self._chunks > HOT
        training = training or (self.trained and backward)
        width = self._width_for(count)
        for ready in self._ready:
            if exact and (ready.width, ready.backward, ready.training) != (
                width,
                backward,
                training,
            ):
                continue
            if ready.width != width:
                filled = -(-count // ready.width) * ready.width
                if ready.width < width or filled > 2 * count:
                    continue
            able = ready.backward >= backward and ready.training >= training
            if able and ready.hot >= self.hot and ready.whole >= modes.state.raising:
                return ready
        return None

    def _made(self, count: int, backward: bool, training: bool) -> Ready:
        """The same, made now."""
        training = training or (self.trained and backward)
        width = self._width_for(count)
        self._room(width)
        buffers = (self._vs, self._vl, self._gs, self._gl)
        whole = modes.state.raising  # all rows are looked at
        ready = self._maker.ready(width, backward, training, self.hot, whole, buffers)
        self._ready.insert(0, ready)
        return ready

    def in_place(self, count: int) -> View | None:
        """The inputs of L that training with batches of `count` examples reads where they lie: the
        numbers of one example side by side, at any distance from those of the next."""
        with self.lock:
            ready = self.at_hand(count, backward=True, training=True)
            return (ready or self._made(count, backward=True, training=True)).in_place

    # --- running ---

    def run_here(
        self,
        shared: Array,
        lanes: Array,
        ids: Array,
        draws: tuple[int, int],
        seeds: Array | None,
        lane_gradients: Sequence[int],
        trusted: int,
    ) -> Run:
        """Run all examples, as `Machine.run` has it."""
        with self.lock:
            count = len(lanes)
            ready = self._begin(shared, count, draws, backward=seeds is not None)
            self._pool[NOT_FINITE] = -1 if modes.state.raising else 0
            columns = self._maker.columns if ready.backward else []
            work = self._work(ready, ids, self._no_training)
            work.outputs = np.empty((len(self._maker.outputs), max(1, count)), self.dtype)
            work.fail = np.full(max(1, count), -1, _INTEGERS)
            work.found = np.zeros(max(1, count), self.dtype)
            work.lane_gradient = np.zeros((count, len(columns)), self.dtype)
            work.weights = np.zeros(len(self._maker.outputs), self.dtype)
            if seeds is not None:
                work.weights[:] = seeds
            work.backward, work.trusted = seeds is not None, trusted
            work.starts = np.array([[0, count]], _INTEGERS)
            follow = not lanes.flags.c_contiguous or lanes.shape[1] == 1
            work.in_order = follow and ready.in_place is None
            if work.in_order:
                work.data = np.ascontiguousarray(lanes.T)
            else:
                work.data, work.order = np.ascontiguousarray(lanes), np.arange(max(1, count))
            self._drive(ready, work)
            nan_seen, not_finite = self._pool[NAN_SEEN] > 0, self._pool[NOT_FINITE] > 0
            gradient = self._gs[: len(shared)].copy()
            rows = [self._lane_rows[number] for number in lane_gradients]
            lane_gradient = work.lane_gradient
            if rows != columns:
                lane_gradient = lane_gradient[:, [columns.index(row) for row in rows]]
        return Run(
            work.outputs.T, work.fail, work.found, gradient, lane_gradient, nan_seen, not_finite
        )

    def prepared(self, *, backward: bool, count: int = 0) -> Prepared | None:
        """What calls with about `count` examples need (`seats`). None where the interpreter
        runs."""
        with self.lock:
            ready = self._begin(np.zeros(0), count, (0, 0), backward=backward)
            if ready.drive is None:
                return None
            assert ready.code is not None
            work = self._work(ready, np.zeros(0, _INTEGERS), self._no_training)
            work.starts, work.backward = np.zeros((1, 2), _INTEGERS), backward
            work.outputs = np.zeros((len(self._maker.outputs), 1), self.dtype)
            self._set(ready, work)
            # short ones had better not let others take turns
            numbers = self.blocks.rows[S] + ready.width * self.blocks.rows[L]
            prototype = ctypes.PYFUNCTYPE if numbers < _SHORT else ctypes.CFUNCTYPE
            return Prepared(
                ready=ready,
                drive=prototype(None, ctypes.c_void_p)(ready.code.address("drive")),
                job=self._job.copy(),
                held=[*self._held, ready.code],
                shared=self._vs.copy(),
                lanes=self._vl.copy(),
                pool=self._pool.copy(),
                outputs=len(self._maker.outputs),
                columns=len(self._maker.columns) if ready.backward else 0,
                checked=len(self._maker.checks) > 0,
            )

    def run_steps_here(self, shared: Array, training: Training, draws: tuple[int, int]) -> int:
        """Run updates, as `Machine.run_steps` has it."""
        most = max(1, training.most)
        with self.lock:
            ready = self._begin(shared, most, draws, backward=True, training=True)
            training = training if ready.in_place is not None else training.together()
            work = self._work(ready, training.ids, training)
            work.weights = np.zeros(len(self._maker.outputs), self.dtype)
            work.weights[0] = 1.0
            work.fail, work.found = np.zeros(most, _INTEGERS), np.zeros(most, self.dtype)
            work.lane_gradient = np.zeros((most, len(self._maker.columns)), self.dtype)
            work.backward = True
            return self._drive(ready, work)

    # --- the job ---

    @property
    def calls_until_hot(self) -> int | None:
        """After how many calls of a chunk or none this is worth more compilation; None: never."""
        return None if self.hot or not self.counting else max(0, HOT - self._chunks)

    def _begin(
        self,
        shared: Array,
        count: int,
        draws: tuple[int, int],
        *,
        backward: bool,
        training: bool = False,
    ) -> Ready:
        """Have the code, room for a chunk of lanes, and the shared numbers in place."""
        ready = self.at_hand(count, backward=backward, training=training)
        if ready is None:
            ready = self._made(count, backward, training)
        self._vs[: len(shared)] = shared
        self._pool[SEED], self._pool[STEP] = (_as_word(counter) for counter in draws)
        self._pool[NAN_SEEN] = self._pool[NOT_FINITE] = 0
        self._room(ready.width)
        return ready

    def _room(self, width: int) -> None:
        """Have room for a chunk of lanes, with the constants in place."""
        if self._width != width:
            room = self.blocks.rows[L] * width
            self._vl, self._gl = zeros(room, self.dtype), zeros(room, self.dtype)
            self._fill(self._vl.reshape(-1, width), L)
            self._width = width
            for ready in self._ready:
                if ready.interpreter is not None:
                    ready.interpreter.see((self._vs, self._vl, self._gs, self._gl), ready.width)

    def _work(self, ready: Ready, ids: Array, training: Training) -> Work:
        """What a call is about, as far as it is told by these."""
        # a chunk that is not full goes on behind its examples
        ids = np.append(ids, np.zeros(ready.width - 1, _INTEGERS)) if ready.width > 1 else ids
        none = np.zeros(0, self.dtype)
        places = training.places if len(training.places) else np.full(1, -1, _INTEGERS)
        return Work(
            starts=training.starts,
            ids=ids,
            data=training.data,
            apart=None if training.apart is None else training.apart[1],
            order=training.order,
            in_order=training.in_order,
            outputs=none,
            fail=none,
            found=none,
            weights=none,
            lane_gradient=none,
            backward=False,
            training=training is not self._no_training,
            trusted=0,
            theta=training.theta,
            gradient=training.gradient,
            places=places,
            rule=training.rule,
            slots=training.slots,
            settings=training.settings,
            mean=training.mean,
            losses=training.losses,
        )

    def _drive(self, ready: Ready, work: Work) -> int:
        """Run it; return how many steps were done."""
        if ready.drive is None:
            return self._interpret(ready, work)
        self._set(ready, work)
        ready.drive(self._job.ctypes.data)
        return int(self._job[AT["done"]])

    def _interpret(self, ready: Ready, work: Work) -> int:
        assert ready.interpreter is not None
        inputs = (len(self.blocks.shared_inputs), len(self.blocks.lane_inputs))
        columns = self._maker.columns if ready.backward else []
        return ready.interpreter.drive(work, self._maker.outputs, inputs, columns)

    def _set(self, ready: Ready, work: Work) -> None:
        """Write down in the job what a call is about."""
        addresses = {
            "vs": self._vs,
            "gs": self._gs,
            "vl": self._vl,
            "gl": self._gl,
            "pool": self._pool,
            "ops": self._maker.operations(ready.backward),
            "checks": self._maker.checks,
            "expected": self._maker.expected,
        }
        addresses |= {name: getattr(work, name) for name in _ARRAYS}
        in_place = work.data if work.apart is None else work.apart
        if work.apart is None and ready.in_place is not None:
            in_place = in_place[:, ready.in_place.first :]
        addresses["in_place"] = in_place
        self._held = [*addresses.values()]
        words = {name: address(array) for name, array in addresses.items()}
        words |= {
            "gemm": blas.gemm(self.dtype.name) if ready.large else 0,
            "trusted": work.trusted,
            "steps": len(work.starts),
            "stride": work.data.shape[1],
            "in_order": work.in_order,
            "in_place_stride": in_place.strides[0] // in_place.itemsize,
            "columns": work.outputs.shape[1] if work.outputs.ndim == 2 else 0,
            "backward": work.backward,
            "size": len(work.theta),
            "lacking": 0 if work.apart is None else work.apart.shape[1],
            "rule": updates.address(work.rule, self.dtype.name) if work.rule else 0,
            "told": work.settings.shape[1],
            "mean": work.mean,
            "training": work.training,
        }
        self._job[[AT[name] for name in words]] = [*words.values()]


def zeros(count: int, dtype: Any) -> Array:
    """Numbers that begin where a line of the cache does."""
    size = count * np.dtype(dtype).itemsize
    room = np.zeros(size + _LINE, np.uint8)
    first = -address(room) % _LINE
    return room[first : first + size].view(dtype)


def address(array: Any) -> int:
    """Where an array's numbers are: `ctypes.data`, in a fraction of the time."""
    if not array.size:
        return 0
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, BufferError):  # it is read-only, or has gaps
        return int(array.__array_interface__["data"][0])


def _as_word(counter: int) -> int:
    """The lower 64 bits of a number, as a signed one."""
    return (counter + (1 << 63)) % (1 << 64) - (1 << 63)
