"""The machine: a program's instructions with buffers for their rows, ready to run.

In: `Blocks`, a vector of shared numbers, a matrix with one row an example. Out: the outputs of
every example, gradients, and which guards failed in which lanes. Examples are processed in chunks
whose rows stay in the processor's cache. What runs is machine code of its own (`native`), or the
interpreter.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import locks, modes
from engine.compiled import assembly, objects, threads, updates
from engine.compiled.adjoint import Backward, adjoint
from engine.compiled.blocks import (
    NAN_SEEN,
    NOT_FINITE,
    POOL_HEADER,
    SEED,
    STEP,
    Array,
    Instruction,
    L,
    S,
    View,
)
from engine.compiled.fingerprints import row_fingerprint
from engine.compiled.instructions import ROWS
from engine.compiled.instructions.sums import BLAS_FROM, is_large
from engine.compiled.interpreter import Interpreter, Work
from engine.compiled.lift import Blocks
from engine.compiled.native import driver
from engine.compiled.native.job import AT
from engine.compiled.native.layout import WRITTEN, Layout
from engine.ops import TABLE

CHUNK_BYTES = 1 << 20  # of rows and adjoints of L: about what a core's cache holds beside others
LANES = 64  # of a chunk at most, where products are machine code of their own
MANY = 200  # instructions from which on code is made in a quick way, until it is hot
HOT = 2_000  # chunks of lanes, from which on more of them are worth more compilation
PART_SECONDS = 5e-4  # of a batch that is divided among threads, at least, for each of them
_SHORT = 4_000  # numbers that a call computes which is so short that other threads had better wait
_INTEGERS = np.int64
_ARRAYS = (  # of `Work`
    *("ids", "starts", "data", "order", "outputs", "fail", "found", "weights"),
    *("lane_gradient", "theta", "gradient", "places", "slots", "settings", "losses"),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A machine's code, to be called with buffers of one's own."""

    drive: Any
    job: Array  # in which their addresses are to be put
    held: list[Any]  # what its other addresses are of
    width: int  # most examples
    shapes: dict[str, tuple[int, ...]]  # of `data` and `outputs`
    shared: Array  # rows of S, with the constants
    lanes: Array  # and of L
    pool: Array
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
    """Updates to run in one call.

    `theta` and `gradient` are the numbers that move, in place, and the last gradient; `places`
    their rows in S, -1 for those that the program does not read. For `rule`, `slots` and the rows
    of `settings`, one an update, see `updates`; without a rule gradients are computed alone.
    """

    data: Array  # one row an example; if `in_order` one column
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
    places: Array
    updating: bool = True  # else gradients are computed, and nothing is moved


@dataclass(slots=True)
class _Ready:
    """A machine's instructions made ready for chunks of `width` lanes."""

    width: int
    backward: bool
    training: bool
    hot: bool
    drive: Callable[[int], None] | None = None  # None: by the interpreter
    code: objects.Code | None = None  # keeps `drive` alive
    interpreter: Interpreter | None = None
    large: bool = False  # whether it has products for BLAS


class Machine:
    """Blocks ready to run, for numbers of one type.

    `wanted` are the numbers of the inputs whose gradient will be asked for. With `native`, what can
    be emitted is. One machine runs in one thread at a time.

    Of a program that is `hot` thousands of operations are written out, in as good code as LLVM
    can make, which takes seconds: because it was said to be, or, while it is `counting`, after
    `HOT` chunks of lanes.
    """

    def __init__(
        self,
        blocks: Blocks,
        wanted: Sequence[int],
        dtype: str,
        *,
        native: bool = True,
    ) -> None:
        self.blocks, self.dtype = blocks, np.dtype(dtype)
        self.lock = locks.freed()
        rows_s, rows_l = blocks.rows
        # The pool has words about the run under way: each machine has its own.
        self._lists = dataclasses.replace(blocks.lists, pool=np.append(blocks.lists.pool, 0))
        self.instructions = _with_guards(blocks)
        checks = [(check.row, check.order, check.length) for check in blocks.checks]
        self._checks = np.array(checks, _INTEGERS).reshape(-1, 3)
        self._pool = self._lists.pool
        with np.errstate(all="ignore"):
            self._expected = np.array([check.number for check in blocks.checks]).astype(dtype)
        self._vs, self._gs = np.zeros(rows_s + 1, dtype), np.zeros(rows_s + 1, dtype)
        self._fill(self._vs.reshape(-1, 1), S)
        self._vl = self._gl = np.zeros(1, dtype)
        self._width = 0  # of the chunk that they hold
        self._shared_rows = {number: row for row, number in enumerate(blocks.shared_inputs)}
        lane_rows = {number: row for row, number in enumerate(blocks.lane_inputs)}
        self._lane_rows = {**lane_rows, **blocks.split_inputs}
        self._wanted = [
            (L, self._lane_rows[i]) if i in self._lane_rows else (S, self._shared_rows[i])
            for i in wanted
        ]
        self._native = native and not objects.DISABLED
        instructions = sum(map(len, self.instructions))
        self.hot = len(blocks.lists.segments.code) <= WRITTEN and instructions <= MANY
        self.counting = True  # whether chunks that are run make it hot
        self.trained = False  # whether it will be
        self._chunks = 0  # that were run
        self._wanted_numbers = tuple(wanted)
        self._others: list[Machine] = []  # for the other parts of batches that are divided
        self._parts_lock = locks.freed()
        self._lane_seconds = 0.0 if objects.DISABLED else _seconds(self.instructions[L])
        self._ready: list[_Ready] = []
        most = CHUNK_BYTES // (2 * self.dtype.itemsize * max(1, rows_l))
        self._most = max(16, most // 16 * 16)
        products = [i.shape for i in self.instructions[L] if i.kind == "product"]
        multiplications = [n * inner * cols for n, inner, cols in products]
        if max(multiplications, default=0) * LANES <= BLAS_FROM or not blas():
            self._most = min(self._most, LANES)
        self._outputs = [(int(space), int(row)) for space, row in blocks.outputs]
        self._has_lanes = rows_l > 0
        none = np.zeros(0, self.dtype)
        self._no_training = Training(
            data=np.zeros((0, 0), self.dtype),
            order=np.zeros(1, _INTEGERS),
            in_order=True,
            starts=np.zeros((1, 2), _INTEGERS),
            theta=none,
            gradient=none,
            rule=None,
            slots=none,
            settings=np.zeros((1, 0), self.dtype),
            mean=False,
            losses=np.zeros((1, 2)),
            places=np.full(1, -1, _INTEGERS),
        )
        self._job = np.zeros(len(AT), _INTEGERS)
        self._held: list[Any] = []  # what the addresses in the job are of

    def _fill(self, rows: Array, space: int) -> None:
        """Put constants into their rows."""
        with np.errstate(all="ignore"):  # a large double may be inf in single precision
            for row, number in self.blocks.lists.constants[space].items():
                rows[row] = number

    @functools.cached_property
    def backward(self) -> Backward:
        """The adjoint of the instructions."""
        given = (self.instructions, self._lists, self.blocks.rows)
        return adjoint(*given, self._outputs, self._wanted)

    # --- instructions for some width ---

    def _for(self, count: int, backward: bool, training: bool) -> _Ready:
        """What runs batches of `count` examples: of what is at hand what does."""
        width = 1
        if count > 1 and self._has_lanes:
            grain = objects.vector_bytes() // self.dtype.itemsize if self._native else 1
            chunks = -(-count // self._most)
            width = -(-count // chunks // grain) * grain
        for ready in self._ready:
            filled = -(-count // ready.width) * ready.width
            fits = ready.width == width or (ready.width > width and filled <= 2 * count)
            able = ready.backward >= backward and ready.training >= training
            if fits and able and ready.hot >= self.hot:
                return ready
        ready = self._made(width, backward, training)
        self._ready.insert(0, ready)
        return ready

    def _made(self, width: int, backward: bool, training: bool) -> _Ready:
        parts: dict[str, Sequence[Instruction]] = {
            "forward_shared": self.instructions[S],
            "forward_lanes": self.instructions[L],
        }
        if backward:
            made = self.backward
            parts |= {"begin": made.begin, "backward_lanes": made.lanes}
            parts["backward_shared"] = made.shared
        parts = {name: some for name, some in parts.items() if some}
        ready = _Ready(width, backward, training, self.hot)
        steps = self.backward.steps if backward else np.zeros(0, np.int32)
        size = objects.vector_bytes() if self._native else 32
        e = Layout(self._lists, steps, width, self.dtype.name, size, self.hot)
        if self._native and all(ROWS[i.kind].emits(e, i) for some in parts.values() for i in some):
            columns = self._columns if backward else ()
            frame = driver.Frame(
                self.blocks.rows,
                (len(self.blocks.shared_inputs), len(self.blocks.lane_inputs)),
                self._outputs,
                columns,
                len(self._checks) > 0,
                backward,
                training,
                frozenset(parts),
            )
            key = self._key(width, parts, frame)

            def make() -> tuple[None, str]:
                return None, assembly.text_of(e, parts, frame)

            _, ready.code = objects.code(key, make, quick=not self.hot)
            prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
            ready.drive = prototype(ready.code.address("drive"))
            ready.large = any(is_large(i, width) for some in parts.values() for i in some)
        else:
            self._room(width)
            buffers = (self._vs, self._vl, self._gs, self._gl)
            given = (parts, self._lists, steps, buffers, width, self._checks, self._expected)
            ready.interpreter = Interpreter(*given)
        return ready

    @functools.cached_property
    def _columns(self) -> list[int]:
        """Rows of L whose adjoints may be asked for."""
        return [row for space, row in self._wanted if space == L]

    def _key(self, width: int, parts: Any, frame: driver.Frame) -> str:
        """All that the emitted code depends on."""
        lists, s = self._lists, self._lists.segments
        told: list[Any] = [width, self.dtype.name, self.hot, lists.exact, self._wanted]
        told += [parts, dataclasses.astuple(frame), sorted(frame.parts), lists.constants]
        columns = [lists.pool[POOL_HEADER:], s.code, s.out, s.a, s.b, s.c]
        columns += [self.backward.steps] if frame.backward else []
        told += [hashlib.sha256(column.tobytes()).hexdigest() for column in columns]
        table = list(TABLE)  # as segments number it
        names = {table[code] for code in {*s.code.tolist()}} | {"pass_on"}
        names |= {i.name for some in parts.values() for i in some if i.name}
        told += [(name, row_fingerprint(name)) for name in sorted(names)]
        return repr([*told, assembly.sources()])

    # --- running ---

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
        parts = self._parts(len(lanes))
        if parts > 1 and not modes.state.raising:
            given = (shared, lanes, ids, draws, seeds, lane_gradients, trusted)
            return self._run_in_parts(parts, *given)
        return self._run_part(shared, lanes, ids, draws, seeds, lane_gradients, trusted)

    def _run_part(
        self,
        shared: Array,
        lanes: Array,
        ids: Array,
        draws: tuple[int, int],
        seeds: Array | None,
        lane_gradients: Sequence[int],
        trusted: int,
    ) -> Run:
        """The same in this thread."""
        with self.lock:
            count = len(lanes)
            ready = self._begin(shared, count, draws, backward=seeds is not None)
            self._pool[NOT_FINITE] = -1 if modes.state.raising else 0
            columns = self._columns if ready.backward else []
            work = self._work(ready, ids, self._no_training)
            work.outputs = np.empty((len(self._outputs), max(1, count)), self.dtype)
            work.fail = np.full(max(1, count), -1, _INTEGERS)
            work.found = np.zeros(max(1, count), self.dtype)
            work.lane_gradient = np.zeros((count, len(columns)), self.dtype)
            work.weights = np.zeros(len(self._outputs), self.dtype)
            if seeds is not None:
                work.weights[:] = seeds
            work.backward, work.trusted = seeds is not None, trusted
            work.starts = np.array([[0, count]], _INTEGERS)
            work.in_order = not lanes.flags.c_contiguous or lanes.shape[1] == 1
            if work.in_order:
                work.data = np.ascontiguousarray(lanes.T)
            else:
                work.data, work.order = lanes, np.arange(max(1, count))
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

    def _parts(self, count: int) -> int:
        """Into how many parts a batch is divided, one for each thread, if that is worth it."""
        worth = int(count * self._lane_seconds / PART_SECONDS)
        return min(worth, threads.get_num_threads()) if worth > 1 else 1

    @property
    def calls_until_hot(self) -> int | None:
        """After how many calls of a chunk or none this is worth more compilation; None: never."""
        return None if self.hot or not self.counting else max(0, HOT - self._chunks)

    def divides(self, count: int) -> bool:
        """Whether batches of so many examples are divided among threads."""
        return self._parts(count) > 1

    @property
    def nan_seen(self) -> bool:
        """Whether a step of the chain rule gave nan in the last run, here or in another thread."""
        return any(machine._pool[NAN_SEEN] > 0 for machine in (self, *self._others))

    def _machines(self, count: int) -> list[Machine]:
        """This one, and others like it with buffers of their own."""
        while len(self._others) < count - 1:
            given = (self.blocks, self._wanted_numbers, self.dtype.name)
            made = Machine(*given, native=self._native)
            self._others.append(made)
        for other in self._others:
            other.hot, other.counting, other.trained = self.hot, False, self.trained
        return [self, *self._others[: count - 1]]

    def _run_in_parts(
        self,
        parts: int,
        shared: Array,
        lanes: Array,
        ids: Array,
        draws: tuple[int, int],
        seeds: Array | None,
        lane_gradients: Sequence[int],
        trusted: int,
    ) -> Run:
        """The same in several threads, each with examples and a gradient of its own."""
        with self._parts_lock:
            bounds = np.linspace(0, len(lanes), parts + 1).astype(int)
            tasks = []
            for k, machine in enumerate(self._machines(parts)):
                part = slice(bounds[k], bounds[k + 1])
                tasks.append(
                    functools.partial(
                        machine._run_part,
                        *(shared, lanes[part], ids[part], draws, seeds, lane_gradients, trusted),
                    )
                )
            runs = threads.run_together(tasks)
        return Run(
            np.concatenate([run.outputs for run in runs]),
            np.concatenate([run.fail for run in runs]),
            np.concatenate([run.found for run in runs]),
            np.sum([run.shared_gradient for run in runs], axis=0),
            np.concatenate([run.lane_gradient for run in runs]),
            any(run.nan_seen for run in runs),
            any(run.not_finite for run in runs),
        )

    def prepared(self, *, backward: bool, count: int = 0) -> Prepared | None:
        """What calls with up to `count` examples need (`seats`); more than one chunk is not for
        them. None where the interpreter runs."""
        with self.lock:
            ready = self._begin(np.zeros(0), count, (0, 0), backward=backward)
            if ready.drive is None:
                return None
            assert ready.code is not None
            width, none = ready.width, self._no_training
            work = self._work(ready, np.arange(width), none)
            work.starts, work.backward = np.zeros((1, 2), _INTEGERS), backward
            work.order, work.in_order = np.arange(width), False
            work.data = np.zeros((width, len(self.blocks.lane_inputs)), self.dtype)
            work.outputs = np.zeros((len(self._outputs), width), self.dtype)
            work.weights = np.zeros(len(self._outputs), self.dtype)
            work.weights[:1] = 1.0
            self._set(ready, work)
            # short ones had better not let others take turns
            numbers = self.blocks.rows[S] + width * self.blocks.rows[L]
            prototype = ctypes.PYFUNCTYPE if numbers < _SHORT else ctypes.CFUNCTYPE
            return Prepared(
                drive=prototype(None, ctypes.c_void_p)(ready.code.address("drive")),
                job=self._job.copy(),
                held=[*self._held, ready.code],
                width=width,
                shapes={name: getattr(work, name).shape for name in ("data", "outputs")},
                shared=self._vs.copy(),
                lanes=self._vl.copy(),
                pool=self._pool.copy(),
                checked=len(self._checks) > 0,
            )

    def run_steps(self, shared: Array, training: Training, draws: tuple[int, int]) -> int:
        """Run updates until one needs another path; return how many were done.

        `shared` are the numbers of the shared inputs before the first step.
        """
        most = int(np.diff(training.starts, axis=1).max())
        parts = self._parts(most)
        if parts > 1:
            return self._run_steps_in_parts(parts, shared, training, draws)
        return self._run_steps(shared, training, draws, np.arange(max(1, most)))

    def _run_steps(
        self, shared: Array, training: Training, draws: tuple[int, int], ids: Array
    ) -> int:
        """The same in this thread; `ids` are the numbers of a batch's examples."""
        with self.lock:
            ready = self._begin(shared, len(ids), draws, backward=True, training=True)
            work = self._work(ready, ids, training)
            work.weights = np.zeros(len(self._outputs), self.dtype)
            work.weights[0] = 1.0
            work.fail, work.found = np.zeros(len(ids), _INTEGERS), np.zeros(len(ids), self.dtype)
            work.lane_gradient = np.zeros((len(ids), len(self._columns)), self.dtype)
            work.backward = True
            return self._drive(ready, work)

    def _run_steps_in_parts(
        self, parts: int, shared: Array, training: Training, draws: tuple[int, int]
    ) -> int:
        """The same with each batch divided among threads, which add up gradients of their own."""
        with self._parts_lock:
            machines = self._machines(parts)
            for done, (first, last) in enumerate(training.starts.tolist()):
                bounds = np.linspace(first, last, parts + 1).astype(_INTEGERS)
                shares, tasks = [], []
                for machine, start, end in zip(machines, bounds[:-1], bounds[1:], strict=True):
                    share = dataclasses.replace(
                        training,
                        starts=np.array([[start, end]], _INTEGERS),
                        gradient=np.zeros_like(training.gradient),
                        theta=training.theta.copy(),
                        losses=np.zeros((1, 2)),
                        mean=False,
                        updating=False,
                    )
                    shares.append(share)
                    ids = np.arange(start, max(end, start + 1)) - first
                    step = (draws[0], draws[1] + done)
                    tasks.append(functools.partial(machine._run_steps, shared, share, step, ids))
                if not all(threads.run_together(tasks)):
                    return done
                training.losses[done] = np.sum([share.losses[0] for share in shares], axis=0)
                if len(self._outputs) > 1 and training.losses[done, 1] == 0.0:
                    return done
                gradient = np.sum([share.gradient for share in shares], axis=0)
                scale = 1.0 / training.losses[done, 1] if training.mean else 1.0
                training.gradient[:] = gradient * scale
                if training.rule is not None:
                    self._update(training, done)
        return len(training.starts)

    def _update(self, training: Training, step: int) -> None:
        """One update, outside of a program's own code."""
        assert training.rule is not None
        told = training.settings[step]
        arrays = (training.theta, training.gradient, training.slots, told)
        if not self._native:
            updates.apply(training.rule, *arrays)
            return
        words = [array.ctypes.data for array in arrays]
        prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)
        address = updates.address(training.rule, self.dtype.name)
        prototype(address)(*words, len(training.theta))

    # --- the job ---

    def _begin(
        self,
        shared: Array,
        count: int,
        draws: tuple[int, int],
        *,
        backward: bool,
        training: bool = False,
    ) -> _Ready:
        """Have the code, room for a chunk of lanes, and the shared numbers in place."""
        if self.counting:
            self._chunks += -(-max(1, count) // self._most)
            self.hot = self.hot or self._chunks > HOT
        training = training or (self.trained and backward)
        ready = self._for(count, backward, training)
        self._vs[: len(shared)] = shared
        self._pool[SEED], self._pool[STEP] = (_as_word(counter) for counter in draws)
        self._pool[NAN_SEEN] = self._pool[NOT_FINITE] = 0
        self._room(ready.width)
        return ready

    def _room(self, width: int) -> None:
        """Have room for a chunk of lanes, with the constants in place."""
        if self._width != width:
            room = self.blocks.rows[L] * width
            self._vl, self._gl = np.zeros(room, self.dtype), np.zeros(room, self.dtype)
            self._fill(self._vl.reshape(-1, width), L)
            self._width = width
            for ready in self._ready:
                if ready.interpreter is not None:
                    ready.interpreter.see((self._vs, self._vl, self._gs, self._gl), ready.width)

    def _work(self, ready: _Ready, ids: Array, training: Training) -> Work:
        """What a call is about, as far as it is told by these."""
        missing = -len(ids) % ready.width
        ids = np.append(ids, np.zeros(missing, _INTEGERS)) if missing else ids
        none = np.zeros(0, self.dtype)
        places = training.places if len(training.places) else np.full(1, -1, _INTEGERS)
        return Work(
            starts=training.starts,
            ids=ids,
            data=training.data,
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
            rule=training.rule if training.updating else None,
            slots=training.slots,
            settings=training.settings,
            mean=training.mean,
            losses=training.losses,
        )

    def _drive(self, ready: _Ready, work: Work) -> int:
        """Run it; return how many steps were done."""
        if ready.drive is None:
            return self._interpret(ready, work)
        self._set(ready, work)
        ready.drive(self._job.ctypes.data)
        return int(self._job[AT["done"]])

    def _interpret(self, ready: _Ready, work: Work) -> int:
        assert ready.interpreter is not None
        inputs = (len(self.blocks.shared_inputs), len(self.blocks.lane_inputs))
        columns = self._columns if ready.backward else []
        return ready.interpreter.drive(work, self._outputs, inputs, columns)

    def _set(self, ready: _Ready, work: Work) -> None:
        """Write down in the job what a call is about."""
        job, addresses = (
            self._job,
            {
                "vs": self._vs,
                "gs": self._gs,
                "vl": self._vl,
                "gl": self._gl,
                "pool": self._pool,
                "ops": self._operations(ready.backward),
                "checks": self._checks,
                "expected": self._expected,
            },
        )
        addresses |= {name: getattr(work, name) for name in _ARRAYS}
        self._held = [*addresses.values()]
        for name, array in addresses.items():
            job[AT[name]] = array.ctypes.data
        counts = {
            "gemm": gemm(self.dtype.name) if ready.large else 0,
            "trusted": work.trusted,
            "steps": len(work.starts),
            "stride": work.data.shape[1],
            "in_order": work.in_order,
            "columns": work.outputs.shape[1] if work.outputs.ndim == 2 else 0,
            "backward": work.backward,
            "size": len(work.theta),
            "rule": updates.address(work.rule, self.dtype.name) if work.rule else 0,
            "told": work.settings.shape[1],
            "mean": work.mean,
            "training": work.training,
        }
        for name, count in counts.items():
            job[AT[name]] = count

    def _operations(self, backward: bool) -> Array:
        """The operations of segments, as their loop reads them."""
        found = self._operations_of.get(backward)
        if found is None:
            s = self._lists.segments
            steps = self.backward.steps if backward else np.zeros_like(s.code)
            columns = [s.code, s.out, s.a, s.b, s.c, steps]
            found = np.ascontiguousarray(np.stack(columns, axis=1).astype(np.int32))
            found = self._operations_of[backward] = found if len(found) else np.zeros(1, np.int32)
        return found

    @functools.cached_property
    def _operations_of(self) -> dict[bool, Array]:
        return {}


def _with_guards(blocks: Blocks) -> tuple[list[Instruction], list[Instruction]]:
    """The instructions of S and of L, each with its guards at the end."""
    first, both = 0, (list(blocks.instructions[S]), list(blocks.instructions[L]))
    for space in (S, L):
        count = sum(check.space == space for check in blocks.checks)
        if count:
            both[space].append(Instruction("guard", View(space, 0, 0), shape=(first, count)))
        first += count
    return both


def _seconds(instructions: Sequence[Instruction]) -> float:
    """About how long one example takes, forwards and backwards."""
    numbers = 0
    for i in instructions:
        if i.kind == "product":
            n, inner, cols = i.shape
            numbers += n * (inner + 1) * cols
        elif i.kind == "dot":
            numbers += i.out.count * (i.shape[0] + 1) * max(1, i.shape[1])
        else:
            numbers += 4 * max(i.out.count, i.shape[1] if i.kind == "segment" else 0)
    return numbers * 1e-10


def _as_word(counter: int) -> int:
    """The lower 64 bits of a number, as a signed one."""
    return (counter + (1 << 63)) % (1 << 64) - (1 << 63)


def blas() -> bool:
    """Whether large matrix products are BLAS's: it comes with SciPy."""
    import importlib.util

    return importlib.util.find_spec("scipy") is not None


@functools.cache
def gemm(dtype: str) -> int:
    """The address of SciPy's matrix product; 0 without it."""
    if not blas():
        return 0
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["sgemm" if dtype == "float32" else "dgemm"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = (
        ctypes.c_char_p,
        [ctypes.py_object],
    )
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)))
