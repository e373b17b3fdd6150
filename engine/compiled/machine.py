"""The machine: blocks encoded as words, buffers for their rows, and the loop that runs them.

In: `Blocks`, a vector of shared numbers, a matrix with one row an example. Out: the outputs of
every example, gradients, and which guards failed in which lanes. Examples are processed in chunks
whose rows stay in the processor's cache: S forwards once, then chunk by chunk L forwards and
backwards, then S backwards.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import locks, modes
from engine.compiled import jit, loop, native, objects, threads
from engine.compiled.kernels import (
    BACKWARD,
    BLAS_FROM,
    COLS,
    FLAGS,
    FORWARD,
    INNER,
    NAN_SEEN,
    NOT_FINITE,
    SEED,
    SPACE,
    STEP,
    WORDS,
    N,
)
from engine.compiled.lift import Blocks, Instruction, L, S
from engine.compiled.objects import Code
from engine.compiled.words import Needs, encode, kernel_names
from engine.ops import TABLE

Array = np.ndarray[Any, np.dtype[Any]]
CHUNK_BYTES = 1 << 20  # of rows and adjoints of L: about what a core's cache holds beside others
NATIVE_LANES = 64  # of a chunk at most, where products are machine code of their own
NATIVE_MOST = 8_000_000  # multiplications, up to which that is as fast as BLAS on one thread
QUICK = 4_000  # single operations that are written out at once: it takes half a second
HOT = 2_000  # chunks of lanes, from which on more of them are worth being written out
PART_SECONDS = 5e-4  # of a batch that is divided among threads, at least, for each of them
_INTEGERS = np.int64


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
    """Updates to run in one call: see `loop.run`.

    `theta` and `gradient` are the numbers that move, in place, and the last gradient; `places`
    their rows in S, -1 for those that the program does not read. The `rule` is a function of
    (theta, gradient, slots, settings, 0, 0, steps, count) that works number by number, so that it
    can be compiled; None for a single run without an update.
    """

    data: Array  # one row an example; if `in_order` one column
    order: Array
    in_order: bool  # the examples of a step follow each other: `starts` are places in the data
    starts: Array  # for each step where its examples begin and end, in `order` or in the data
    theta: Array
    gradient: Array
    rule: Callable[..., None] | None
    slots: Array
    steps: int
    settings: Array  # of the rule, one row an update
    mean: bool  # whether the gradient is divided by the sum of weights
    losses: Array  # (steps, 2): the sum of terms, and of weights
    places: Array
    updating: bool = True  # else gradients are computed, and nothing is moved


@dataclass(slots=True)
class _Encoded:
    """A machine's instructions for chunks of `width` lanes, as `loop.run` takes them."""

    width: int
    words: Array
    kernels: Array  # the number of each word row's kernel; -1 for emitted code
    counts: Array
    clear: tuple[Array, Array]  # ranges of adjoint rows of S and of L that are 0 at first
    code: Code | None = None  # keeps the emitted functions alive
    hot: bool = True  # whether this is the best that there is
    can_go_back: bool = False


class Machine:
    """Blocks ready to run, for numbers of one type.

    `wanted` are the numbers of the inputs whose gradient will be asked for. With `native`, blocks
    are written out as machine code where that can be, else all are calls of kernels. One machine
    runs in one thread at a time.

    To write out thousands of single operations takes seconds. Then kernels do until the machine is
    `hot`: because it was said to be, or, while it is `counting`, after `HOT` chunks of lanes.
    """

    def __init__(
        self, blocks: Blocks, wanted: Sequence[int], dtype: str, *, native: bool = True
    ) -> None:
        self.blocks, self.dtype = blocks, np.dtype(dtype)
        self.lock = locks.freed()
        rows_s, rows_l = blocks.rows
        self._vs = np.zeros(rows_s, dtype)
        self._gs = np.zeros(rows_s, dtype)
        with np.errstate(all="ignore"):  # a large double may be inf in single precision
            for row, number in blocks.constants[S].items():
                self._vs[row] = number
        self._vl = self._gl = np.zeros(0, dtype)
        self._width = 0  # of the chunk that they hold
        self._pool = np.array([*blocks.pool, 0], _INTEGERS)
        self._shared_rows = {number: row for row, number in enumerate(blocks.shared_inputs)}
        lane_rows = {number: row for row, number in enumerate(blocks.lane_inputs)}
        self._lane_rows = {**lane_rows, **blocks.split_inputs}
        needs = Needs(blocks, self._pool)
        self._wanted = [
            (L, self._lane_rows[i]) if i in self._lane_rows else (S, self._shared_rows[i])
            for i in wanted
        ]
        for space, row in self._wanted:
            needs.rows[space][row] = 1
        both = blocks.instructions
        self._flags = [needs.of(i) for i in (*both[S], *both[L])]
        self._native = native and not objects.DISABLED
        self.hot = len(blocks.segments.code) <= QUICK
        self.counting = True  # whether chunks that are run make it hot
        self._chunks = 0  # that were run
        self._wanted_numbers = tuple(wanted)
        self._others: list[Machine] = []  # for the other parts of batches that are divided
        self._parts_lock = locks.freed()
        self._lane_seconds = _seconds(both[L]) if not objects.DISABLED else 0.0
        self._encoded: list[_Encoded] = []
        most = CHUNK_BYTES // (2 * self.dtype.itemsize * max(1, rows_l))
        self._most = max(16, most // 16 * 16)
        multiplications = [i.n * i.inner * i.cols for i in both[L] if i.kernel == "mm"]
        if self._native and max(multiplications, default=0) * NATIVE_LANES <= NATIVE_MOST:
            self._most = min(self._most, NATIVE_LANES)
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

    # --- instructions for some width ---

    def _for(self, count: int) -> _Encoded:
        """The instructions for batches of `count` examples: those at hand if they do."""
        width = 1
        if count > 1 and self.blocks.rows[L]:
            grain = objects.vector_bytes() // self.dtype.itemsize if self._native else 1
            chunks = -(-count // self._most)
            width = -(-count // chunks // grain) * grain
        for encoded in self._encoded:
            filled = -(-count // encoded.width) * encoded.width
            fits = encoded.width == width or (encoded.width > width and filled <= 2 * count)
            if fits and encoded.hot >= self.hot:
                return encoded
        written_out = self._native and self.hot
        encoded = self._written_out(width) if written_out else self._by_kernels(width)
        self._encoded.insert(0, encoded)
        self._fill_in(encoded, backward=False)
        return encoded

    def _by_kernels(self, width: int) -> _Encoded:
        """Every instruction as a kernel."""
        both = self.blocks.instructions
        words, kernels = encode([*both[S], *both[L]], self._flags, self.blocks.segments)
        shared = sum(i.n if i.kernel == "segment" else 1 for i in both[S])
        clear = tuple(np.array([(0, rows)], _INTEGERS) for rows in self.blocks.rows)
        counts = np.array([shared, len(kernels)], _INTEGERS)
        clears = (clear[S], clear[L])
        return _Encoded(width, words, kernels, counts, clears, hot=not self._native)

    def _written_out(self, width: int) -> _Encoded:
        """Instructions as machine code, but for those that are better left to kernels."""
        blocks = self.blocks

        def make() -> tuple[Any, str]:
            plan = native.plan(
                blocks,
                self._flags,
                self._wanted,
                width,
                self.dtype.name,
                objects.vector_bytes(),
                lambda i: self._by_kernel(i, width),
            )
            return [plan.steps, plan.clear], plan.text

        (steps, clear), code = objects.code(self._key(width), make)
        parts: list[Array] = []
        kernels: list[Array] = []
        counts = []
        flags = iter(self._flags)
        for space in (S, L):
            own = [next(flags) for _ in blocks.instructions[space]]
            for step in steps[space]:
                if step >= 0:
                    row = np.zeros((1, WORDS), _INTEGERS)
                    row[0, FORWARD] = code.address(f"forward{step}")
                    row[0, BACKWARD] = code.address(f"backward{step}")
                    row[0, FLAGS] = 1
                    parts.append(row)
                    kernels.append(np.array([-1]))
                else:
                    one = encode([blocks.instructions[space][~step]], [own[~step]], blocks.segments)
                    parts.append(one[0][: len(one[1])])
                    kernels.append(one[1])
            counts.append(sum(map(len, kernels)))
        words = np.concatenate(parts) if parts else np.zeros((1, WORDS), _INTEGERS)
        numbers = np.concatenate(kernels) if kernels else np.zeros(0, _INTEGERS)
        ranges = [np.array(part, _INTEGERS).reshape(-1, 2) for part in clear]
        made = np.array(counts, _INTEGERS)
        return _Encoded(width, words, numbers, made, (ranges[S], ranges[L]), code)

    def _by_kernel(self, i: Instruction, width: int) -> bool:
        """Whether an instruction is better left to a kernel."""
        lanes = width if i.space == L else 1
        large = i.n * i.inner * i.cols * lanes > NATIVE_MOST
        return i.kernel == "mm" and large and jit.blas()

    def _key(self, width: int) -> str:
        """All that the emitted code depends on."""
        blocks = self.blocks
        told: list[Any] = [width, self.dtype.name, jit.blas(), NATIVE_MOST, self._wanted]
        told += [blocks.instructions, blocks.constants, blocks.outputs, blocks.pool, self._flags]
        segments = blocks.segments
        told += segments.listed(0, len(segments.code))
        table = list(TABLE)  # as segments number it
        names = {table[code] for code in np.unique(segments.code).tolist()}
        for i in (*blocks.instructions[S], *blocks.instructions[L]):
            if i.kernel.startswith("ew_"):
                names.add(i.kernel.removeprefix("ew_"))
        told += [(name, jit.row_fingerprint(name)) for name in sorted(names)]
        return repr([*told, native.sources()])

    def _fill_in(self, encoded: _Encoded, *, backward: bool) -> None:
        """Fill in the kernels' addresses, compiling those that were not needed before."""
        count = len(encoded.kernels)
        words = encoded.words[:count]
        used = encoded.kernels >= 0
        if backward:
            used = used & (words[:, FLAGS] != 0)
        names = kernel_names()
        for number in np.unique(encoded.kernels[used]).tolist():
            name = names[number]
            here = used & (encoded.kernels == number)
            if name == "mm":
                large = any(
                    w[N] * w[INNER] * w[COLS] * (encoded.width if w[SPACE] else 1) >= BLAS_FROM
                    for w in words[here]
                )
                name = "mm" if large else "mm_small"  # else code for BLAS is not even made
            words[here, BACKWARD if backward else FORWARD] = jit.address(
                name, backward, self.dtype.name
            )
        encoded.can_go_back = backward

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
            encoded = self._begin(shared, count, draws, backward=seeds is not None)
            self._pool[NOT_FINITE] = -1 if modes.state.raising else 0
            outputs = np.empty((len(self._outputs), max(1, count)), self.dtype)
            fail = np.full(max(1, count), -1, _INTEGERS)
            found = np.zeros(max(1, count), self.dtype)
            rows = np.array([self._lane_rows[number] for number in lane_gradients], _INTEGERS)
            lane_gradient = np.zeros((count, len(rows)), self.dtype)
            weights = np.zeros(len(self._outputs), self.dtype) if seeds is None else seeds
            unchecked = int(np.searchsorted(self._checks[:, 2], trusted))
            training = self._no_training
            training.starts[0, 1] = count
            training.in_order = not lanes.flags.c_contiguous or lanes.shape[1] == 1
            if training.in_order:
                training.data = np.ascontiguousarray(lanes.T)
            else:
                training.data, training.order = lanes, np.arange(max(1, count))
            operands = self._operands(
                encoded,
                ids,
                outputs,
                weights.astype(self.dtype, copy=False),
                unchecked,
                fail,
                found,
                lane_gradient,
                rows,
                seeds is not None,
                len(shared),
                training,
            )
            _entry()(*operands)
            nan_seen, not_finite = self._pool[NAN_SEEN] > 0, self._pool[NOT_FINITE] > 0
            gradient = self._gs[: len(shared)].copy()
        return Run(outputs.T, fail, found, gradient, lane_gradient, nan_seen, not_finite)

    def _parts(self, count: int) -> int:
        """Into how many parts a batch is divided, one for each thread, if that is worth it."""
        worth = int(count * self._lane_seconds / PART_SECONDS)
        return min(worth, threads.get_num_threads()) if worth > 1 else 1

    @property
    def nan_seen(self) -> bool:
        """Whether a step of the chain rule gave nan in the last run, here or in another thread."""
        return any(machine._pool[NAN_SEEN] > 0 for machine in (self, *self._others))

    def _machines(self, count: int) -> list[Machine]:
        """This one, and others like it with buffers of their own."""
        while len(self._others) < count - 1:
            wanted, dtype = self._wanted_numbers, self.dtype.name
            self._others.append(Machine(self.blocks, wanted, dtype, native=self._native))
        for other in self._others:
            other.hot, other.counting = self.hot, False
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

    def repeater(self, shared: Array) -> Callable[[], tuple[float, bool]]:
        """Return a function that runs the blocks without lanes, at what `shared` then has.

        It returns the output, and whether that holds: whether every guard did and no product gave
        nan. The output's gradient by the shared inputs is then in `gradient`.
        """
        self.hot = True  # or nobody would ask for this
        encoded = self._begin(shared, 0, (0, 0), backward=True)
        outputs, fail = np.zeros((1, 1), self.dtype), np.full(1, -1, _INTEGERS)
        weights, none = np.ones(1, self.dtype), np.zeros(0, _INTEGERS)
        found, columns = np.zeros(1, self.dtype), np.zeros((0, 0), self.dtype)
        entry, count, pool = _entry(), len(shared), self._pool
        rest = self._operands(
            encoded,
            *(np.zeros(1, _INTEGERS), outputs, weights, 0, fail, found, columns, none),
            *(True, count, self._no_training),
        )

        def again() -> tuple[float, bool]:
            with self.lock:
                self._vs[:count] = shared
                pool[NAN_SEEN] = 0
                fail[0] = -1
                entry(*rest)
                return float(outputs[0, 0]), fail[0] < 0 and pool[NAN_SEEN] == 0

        return again

    def gradient(self, first: int, count: int) -> Array:
        """What the last run found for some of the shared inputs: a view, until the next run."""
        return self._gs[first : first + count]

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
            encoded = self._begin(shared, len(ids), draws, backward=True)
            weights = np.zeros(len(self._outputs), self.dtype)
            weights[0] = 1.0
            operands = self._operands(
                encoded,
                ids,
                np.zeros((0, 0), self.dtype),
                weights,
                0,
                np.zeros(len(ids), _INTEGERS),
                np.zeros(len(ids), self.dtype),
                np.zeros((0, 0), self.dtype),
                np.zeros(0, _INTEGERS),
                True,
                len(shared),
                training,
            )
            return _entry()(*operands)

    def _run_steps_in_parts(
        self, parts: int, shared: Array, training: Training, draws: tuple[int, int]
    ) -> int:
        """The same with each batch divided among threads, which add up gradients of their own."""
        update = _update()
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
                update(
                    self._rule_address(training),
                    training.theta,
                    training.gradient,
                    training.slots,
                    training.settings[done],
                    training.steps + done,
                )
        return len(training.starts)

    def _rule_address(self, training: Training) -> int:
        return jit.rule_address(training.rule, self.dtype.name) if training.rule else 0

    def _operands(
        self,
        encoded: _Encoded,
        ids: Array,
        outputs: Array,
        weights: Array,
        unchecked: int,
        fail: Array,
        found: Array,
        lane_gradient: Array,
        gradient_rows: Array,
        backward: bool,
        shared: int,
        training: Training,
    ) -> tuple[Any, ...]:
        """What the loop takes, in its order."""
        missing = -len(ids) % encoded.width
        return (
            encoded.words,
            encoded.counts,
            self._pool,
            np.append(ids, np.zeros(missing, _INTEGERS)) if missing else ids,
            self._vs,
            self._gs,
            self._vl,
            self._gl,
            encoded.width,
            *encoded.clear,
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
            shared,
            training.data,
            training.order,
            training.in_order,
            training.starts,
            training.rule is not None,
            training.theta,
            training.gradient,
            training.places,
            self._rule_address(training) if training.updating else 0,
            training.slots,
            training.steps,
            training.settings,
            training.mean,
            training.losses,
        )

    def _begin(
        self, shared: Array, count: int, draws: tuple[int, int], *, backward: bool
    ) -> _Encoded:
        """Have the code, room for a chunk of lanes, and the shared numbers in place."""
        if self.counting:
            self._chunks += -(-max(1, count) // self._most)
            self.hot = self.hot or self._chunks > HOT
        encoded = self._for(count)
        if backward and not encoded.can_go_back:
            self._fill_in(encoded, backward=True)
        self._vs[: len(shared)] = shared
        self._pool[SEED], self._pool[STEP] = (_as_word(counter) for counter in draws)
        self._pool[NAN_SEEN] = self._pool[NOT_FINITE] = 0
        room = self.blocks.rows[L] * encoded.width
        if len(self._vl) != room or self._width != encoded.width:  # else the constants are there
            self._vl = np.zeros(room, self.dtype)
            self._gl = np.zeros(room, self.dtype)
            rows = self._vl.reshape(-1, encoded.width)
            for row, number in self.blocks.constants[L].items():
                rows[row] = number
            self._width = encoded.width
        return encoded


def _seconds(instructions: Sequence[Instruction]) -> float:
    """About how long one example takes, forwards and backwards."""
    numbers = 0
    for i in instructions:
        numbers += i.n * (i.inner + 1) * i.cols if i.kernel in ("mm", "dot") else 4 * i.n
    return numbers * 1e-10


def _as_word(counter: int) -> int:
    """The lower 64 bits of a number, as a signed one."""
    return (counter + (1 << 63)) % (1 << 64) - (1 << 63)


@functools.cache
def _compiled(name: str) -> Callable[..., Any]:
    """A function of `loop` that is called from Python: "run" or "update"."""
    if objects.DISABLED:
        names: dict[str, Any] = {
            "instructions": loop.instructions_in_python,
            "update": loop.update_in_python,
        }
        return jit.renamed(loop.run, names) if name == "run" else loop.update_in_python
    invoke = {"invoke": jit.invoke()}
    both = {**invoke, "flush_subnormals": jit.flush_subnormals()}
    if name == "update":
        return jit.compiled_entry(loop.update_at_address, both)
    names = {
        "instructions": jit.renamed(loop.instructions_at_addresses, invoke),
        "update": jit.renamed(loop.update_at_address, both),
        "check": loop.check,
        "not_finite": loop.not_finite,
        "total": loop.total,
    }
    return jit.compiled_entry(loop.run, names)


def _entry() -> Callable[..., int]:
    with threads.compiling:
        return _compiled("run")


def _update() -> Callable[..., None]:
    with threads.compiling:
        return _compiled("update")
