"""Programs run in three ways, for tests: as machine code, by the interpreter, and in plain Python.

LLVM takes its time for each module, so many programs become one (`emitted`). `Plain` is the
interpreter with nothing that is compiled: rows of the operation table as they stand there.
`Scalars` runs forward instructions on the engine's Values, and knows nothing of adjoints.
"""

from __future__ import annotations

import ctypes
import functools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import engine
from compiled.instruction_programs import INDEX_ROW, Program
from engine import Value
from engine.compiled import assembly, blas, objects, updates
from engine.compiled.blocks import ZERO, Array, Instruction, L, S, View
from engine.compiled.interpreter import Interpreter, Work
from engine.compiled.native.driver import Outline, pool_with_lists
from engine.compiled.native.function import PARAMETERS, Function
from engine.compiled.native.job import AT
from engine.compiled.native.layout import Layout
from engine.compiled.objects import Code
from engine.ops import TABLE
from engine.value import record

_MOST_LINES = 15_000  # of a module: beyond a few more, LLVM is told not to optimise
_DRIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@dataclass
class State:
    """Buffers of a program, and what a call is about."""

    program: Program
    vs: Array
    vl: Array
    gs: Array
    gl: Array
    pool: Array
    work: Work
    gemm: int = 0
    done: int = field(default=0, init=False)

    @property
    def buffers(self) -> tuple[Array, Array, Array, Array]:
        return self.vs, self.vl, self.gs, self.gl

    def rows(self, space: int) -> Array:
        """The rows of a space of values or adjoints."""
        width = self.program.width if space & 1 == L else 1
        return self.buffers[space].reshape(-1, width)

    def copy(self, dtype: str) -> State:
        """The same, with numbers of a type."""
        work = {name: getattr(self.work, name) for name in Work.__slots__}
        for name, x in work.items():
            if isinstance(x, np.ndarray):
                work[name] = x.copy() if name in _NOT_NUMBERS else x.astype(dtype)
        buffers = [x.astype(dtype) for x in self.buffers]
        return State(self.program, *buffers, self.pool.copy(), Work(**work), self.gemm)


_NOT_NUMBERS = ("starts", "ids", "order", "fail", "places", "losses")


def state_of(
    program: Program, rng: random.Random, count: int, *, full: bool, steps: int = 1
) -> State:
    """Buffers with the constants in place, else all nan, or `full` of numbers; and the work of
    `count` examples with random inputs."""
    width, dtype = program.width, program.dtype
    sizes = (program.rows[S], program.rows[L] * width) * 2
    buffers = [np.full(size + 1, np.nan, dtype)[:size] for size in sizes]
    if full:
        numbers = np.random.default_rng(rng.randrange(10**9))
        for x in buffers:
            x[:] = numbers.uniform(-1.5, 1.5, len(x))
    inputs, outputs = program.inputs, len(program.outputs)
    data = np.array([[rng.uniform(-1.5, 1.5) for _ in range(inputs[L])] for _ in range(count)])
    data = data.reshape(count, inputs[L]).astype(dtype)
    none = np.zeros(0, dtype)
    order = list(range(count))
    rng.shuffle(order)
    in_order = rng.random() < 0.5 or full
    work = Work(
        starts=np.array([[0, count]] * steps, np.int64),
        ids=np.array([rng.randrange(10**6) for _ in range(count + width)], np.int64),
        data=np.ascontiguousarray(data.T) if in_order else data,
        order=np.array(order, np.int64),
        in_order=in_order,
        outputs=np.full((outputs, max(1, count)), np.nan, dtype),
        fail=np.array([rng.choice((-1, -1, 5)) for _ in range(max(1, count))], np.int64)
        if full
        else np.full(max(1, count), -1, np.int64),
        found=np.zeros(max(1, count), dtype),
        weights=np.array([rng.choice((0.0, 1.0, -0.5)) for _ in range(outputs)], dtype),
        lane_gradient=np.full((count, len(program.columns)), np.nan, dtype),
        backward=program.backward,
        training=program.training,
        trusted=rng.choice((0, 0, 3)) if full else 0,
        theta=none,
        gradient=none,
        places=np.full(1, -1, np.int64),
        rule=None,
        slots=none,
        settings=np.zeros((steps, 0), dtype),
        mean=False,
        losses=np.full((steps, 2), np.nan),
    )
    pool = pool_with_lists(program.lists.pool, program.outputs, program.columns)
    state = State(program, *buffers, pool, work)
    state.vs[: inputs[S]] = [rng.uniform(-1.5, 1.5) for _ in range(inputs[S])]
    asked = {row for space, row in program.wanted if space == S}
    state.gs[[row for row in range(inputs[S]) if row not in asked]] = 0.0
    for space in (S, L):
        rows = state.rows(space)
        if len(rows) > INDEX_ROW and full:  # an index is sometimes out of range
            rows[INDEX_ROW] = [rng.choice((*map(float, range(-7, 8)), np.nan)) for _ in rows[0]]
        with np.errstate(over="ignore"):
            for row, x in program.lists.constants[space].items():
                rows[row] = x
    work.fail[0] = -1  # else all examples are taken to have failed in S
    if inputs[S] and not full:
        state.vs[INDEX_ROW] = float(rng.randint(-7, 7))
    if inputs[L] and not full:
        column = work.data[INDEX_ROW] if in_order else work.data[:, INDEX_ROW]
        column[:] = [float(rng.randint(-7, 7)) for _ in range(count)]
        for row, x in program.lists.constants[L].items():  # inputs that are known
            if in_order:
                work.data[row] = x
            else:
                work.data[:, row] = x
    return state


# --- machine code ----------------------------------------------------------------------------


def frame_of(program: Program) -> Outline:
    return Outline(
        program.rows,
        program.inputs,
        program.outputs,
        len(program.lists.pool),  # where a machine's pool has its lists
        program.columns,
        program.checks is not None and len(program.checks) > 0,
        program.backward,
        program.training,
        tuple(program.parts),
    )


def layout_of(program: Program) -> Layout:
    given = (program.lists, program.steps, program.width, program.dtype, objects.vector_bytes())
    e = Layout(*given, program.hot)
    e.inner, e.write = program.inner, assembly.write
    return e


def emitted(programs: Sequence[Program]) -> list[Callable[[State], None]]:
    """Functions that run each program as machine code, in as few modules as may be."""
    found: list[Callable[[State], None]] = []
    texts: list[str] = []
    size = 0
    for program in programs:
        text = text_of(program)
        if texts and size + text.count("\n") > _MOST_LINES:
            found += _module(texts)
            texts, size = [], 0
        texts.append(text)
        size += text.count("\n")
    return found + (_module(texts) if texts else [])


def text_of(program: Program) -> str:
    """The module of a program; without all that the driver does, if it is one part for one chunk
    of lanes."""
    e = layout_of(program)
    if program.outputs or program.inputs != (0, 0) or program.training:
        every = [i for some in program.parts.values() for i in some]
        guards = [i for i in every if i.kind == "guard"]
        checked = [(i.out.space, row) for i in guards for row in _checked(i, program)]
        assembly.note_read(e, every, program.rows, [*program.outputs, *checked])
        return assembly.text_of(e, program.parts, frame_of(program))
    ((name, instructions),) = program.parts.items()
    declared: set[str] = set()
    texts = [*assembly._functions(e, name, instructions, declared)]
    f = Function(e.number)
    pointers = {x: f.pointer("%job", AT[x]) for x in ("pool", "ops", "vs", "gs", "vl", "gl")}
    pointers["job"] = "%job"
    order = [x.split("%")[1] for x in PARAMETERS.split(", i64")[0].split(", ")]
    given = ", ".join(f"ptr {pointers[x]}" for x in order)
    f.lines.append(f" call void @{name}({given}, i64 0, i64 {program.width})")
    texts.append(f.text("drive", "ptr noalias %job", inner=False))
    return "\n".join([*sorted(declared), *texts])


def _checked(guard: Instruction, program: Program) -> list[int]:
    """The rows that a guard looks at."""
    first, count = guard.shape
    return [int(row) for row, _, _ in program.checks[first : first + count]]


def _module(texts: Sequence[str]) -> list[Callable[[State], None]]:
    declared: set[str] = set()
    renamed = []
    for k, text in enumerate(texts):
        lines = text.splitlines()
        declared |= {line for line in lines if line.startswith("declare")}
        text = "\n".join(line for line in lines if not line.startswith("declare"))
        renamed.append(re.sub(r"@(forward|backward|begin|drive)", rf"@p{k}_\1", text))
    for number in ("double", "float"):
        assembly.link(number)
    code = Code(objects.compiled("\n".join([*sorted(declared), *renamed])))

    def runner(k: int) -> Callable[[State], None]:
        drive = _DRIVE(code.address(f"p{k}_drive"))
        return lambda state: _run(drive, state, code)

    return [runner(k) for k in range(len(texts))]


def _run(drive: Any, state: State, code: Code) -> None:
    del code  # it had to live until here
    program, work = state.program, state.work
    s = program.lists.segments
    steps = program.steps if len(program.steps) else np.zeros_like(s.code)
    operations = np.stack([s.code, s.out, s.a, s.b, s.c, steps], axis=1).astype(np.int32)
    arrays = {
        "vs": state.vs,
        "gs": state.gs,
        "vl": state.vl,
        "gl": state.gl,
        "pool": state.pool,
        "ops": np.ascontiguousarray(operations),
        "checks": program.checks,
        "expected": program.expected,
    }
    names = ("ids", "starts", "data", "order", "outputs", "fail", "found", "weights")
    names += ("lane_gradient", "theta", "gradient", "places", "slots", "settings", "losses")
    arrays |= {name: getattr(work, name) for name in names}
    job = np.zeros(len(AT), np.int64)
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        job[AT[name]] = array.ctypes.data
    counts = {
        "gemm": state.gemm,
        "trusted": work.trusted,
        "steps": len(work.starts),
        "stride": work.data.shape[1],
        "in_order": work.in_order,
        "columns": work.outputs.shape[1],
        "backward": work.backward,
        "size": len(work.theta),
        "rule": updates.address(work.rule, program.dtype) if work.rule else 0,
        "told": work.settings.shape[1],
        "mean": work.mean,
        "training": work.training,
    }
    for name, count in counts.items():
        job[AT[name]] = count
    drive(job.ctypes.data)
    state.done = int(job[AT["done"]])


def gemm(dtype: str) -> int:
    """Where SciPy's matrix product is; 0 without it."""
    return blas.gemm(dtype)


# --- interpreters ----------------------------------------------------------------------------


class Plain(Interpreter):
    """The interpreter with nothing that is compiled."""

    def map(self, name: str, operands: Sequence[Array], out: Array) -> Callable[[], None]:
        forward = TABLE[name].forward
        assert forward is not None

        def run() -> None:
            numbers = zip(*[x.ravel().tolist() for x in operands], strict=True)
            out[:] = np.array([forward(*xs) for xs in numbers]).reshape(out.shape)

        return run

    def edge(
        self, name: str, k: int, g: Array, numbers: Sequence[Array], to: Array, adds: bool
    ) -> Callable[[], None]:
        op, exact = TABLE[name], self.lists.exact
        pass_on = TABLE["pass_on"].forward
        assert pass_on is not None

        def run() -> None:
            passed = []
            columns = [x.ravel().tolist() for x in (g, *numbers)]
            for adjoint, *operands, out in zip(*columns, strict=True):
                partial = op.partials[k]
                slope = partial(*operands, out) if callable(partial) else partial
                y = pass_on(adjoint, slope) if exact else adjoint * slope
                passed.append((-0.0 if exact else 0.0) if op.cuts_at(k, operands) else y)
            found = np.array(passed).reshape(to.shape)
            to[:] = to + found if adds else found

        return run

    def move(self, rule: Any) -> Any:
        return None

    def fold(self, name: str, source: Array, rows: Array, out: Array) -> None:
        forward = TABLE[name].forward
        assert forward is not None
        for k, own in enumerate(source[rows].swapaxes(1, 2).tolist()):
            out[k] = [functools.reduce(forward, numbers) for numbers in own]

    def product(self, x: Array, y: Array, out: Array) -> None:
        out += x @ y


def interpret(state: State, kind: type[Interpreter] = Plain) -> None:
    """Run a program instruction by instruction."""
    program = state.program
    lists = program.lists
    before, lists.pool = lists.pool, state.pool
    try:
        given = (program.parts, lists, program.steps, state.buffers, program.width)
        m = kind(*given, program.checks, program.expected, program.inner)
        tail = (program.outputs, program.inputs, program.columns)
        state.done = m.drive(state.work, *tail)
    finally:
        lists.pool = before


# --- on Values -------------------------------------------------------------------------------


def entry_at(number: float, length: int) -> int:
    """The place that an index means, counted from the end where it is negative; 0 if there is
    none."""
    return int(number) % length if -length <= number < length else 0


class Scalars:
    """A program's forward instructions on the engine's scalars, for a batch of any size."""

    def __init__(self, state: State) -> None:
        program, work = state.program, state.work
        count = len(work.lane_gradient)
        self.program, self.count = program, count
        data = work.data.T if work.in_order else work.data[work.order]
        self.rows: tuple[dict[int, list[Any]], dict[int, list[Any]]] = ({}, {})
        for row in range(program.inputs[S]):
            self.rows[S][row] = [Value(float(state.vs[row]))]
        for row in range(program.inputs[L]):
            self.rows[L][row] = [Value(float(x)) for x in data[:, row]]
        for space in (S, L):
            for row, x in program.lists.constants[space].items():
                self.rows[space][row] = [Value(float(x))] * (count if space == L else 1)
        self.leaves = [self.rows[space][row] for space, row in program.wanted]
        for part in ("forward_shared", "forward_lanes"):
            for i in program.parts.get(part, ()):
                getattr(self, i.kind)(i)

    def gradients(self, weights: Sequence[float]) -> list[list[float]]:
        """Of the weighted sum of outputs over all examples, by each wanted row."""
        terms = []
        for (space, row), weight in zip(self.program.outputs, weights, strict=True):
            if weight:
                times = self.count if space == S else 1
                terms += [x * float(weight * times) for x in self.rows[space][row]]
        leaves = [x for row in self.leaves for x in row]
        if not terms:
            return [[0.0] * len(row) for row in self.leaves]
        found = iter(engine.gradients([engine.sum(terms)], leaves))
        return [[float(next(found)) for _ in row] for row in self.leaves]

    def read(self, view: View) -> list[list[Any]]:
        found = []
        for row in self.program.lists.rows(view).tolist():
            numbers = self.rows[view.space][max(row, ~row)]
            found.append([-x for x in numbers] if row < 0 else numbers)
        return found

    def write(self, view: View, rows: Sequence[list[Any]]) -> None:
        for k, row in enumerate(rows):
            self.rows[view.space][view.first + k] = row

    def width(self, space: int) -> int:
        return self.count if space == L else 1

    def map(self, i: Instruction) -> None:
        operands = [self.read(x) for x in i.operands if x is not None]
        rows = [
            [record(TABLE[i.name], xs) for xs in zip(*row, strict=True)]
            for row in zip(*operands, strict=True)
        ]
        self.write(i.out, rows)

    def loop(self, i: Instruction) -> None:
        self.segment(i)

    def segment(self, i: Instruction) -> None:
        s, space = self.program.lists.segments, i.out.space
        for k in range(i.shape[0], i.shape[0] + i.shape[1]):
            op = list(TABLE.values())[s.code[k]]
            rows = [self.rows[space][int(x[k])] for x in (s.a, s.b, s.c)][: op.arity]
            self.rows[space][int(s.out[k])] = [record(op, xs) for xs in zip(*rows, strict=True)]

    def gather(self, i: Instruction) -> None:
        assert i.operands[0] is not None
        self.write(i.out, self.read(i.operands[0]))

    def broadcast(self, i: Instruction) -> None:
        assert i.operands[0] is not None
        self.write(i.out, [row * self.count for row in self.read(i.operands[0])])

    def take(self, i: Instruction) -> None:
        index, table = i.operands
        assert index is not None and table is not None
        (at,), rows = self.read(index), self.read(table)
        n, width = i.out.count, self.width(i.out.space)
        out = []
        for k in range(n):
            entries = [
                entry_at(float(at[lane if len(at) > 1 else 0].data), len(rows) // n)
                for lane in range(width)
            ]
            found = [rows[t * n + k] for t in entries]
            out.append([row[lane if len(row) > 1 else 0] for lane, row in enumerate(found)])
        self.write(i.out, out)

    def max(self, i: Instruction) -> None:
        view = i.operands[0]
        assert view is not None
        rows, inner, op = self.read(view), view.count // i.out.count, TABLE["maximum"]
        out = []
        for k in range(i.out.count):
            numbers = [x.data for x in rows[k * inner]]
            for row in rows[k * inner + 1 : (k + 1) * inner]:
                assert op.forward is not None
                numbers = [op.forward(x, y.data) for x, y in zip(numbers, row, strict=True)]
            out.append([Value(x) for x in numbers])
        self.write(i.out, out)

    def dot(self, i: Instruction) -> None:
        inner, singles = i.shape
        left, right, single = ([] if x is None else self.read(x) for x in i.operands)
        out = []
        for k in range(i.out.count):
            row = []
            for lane in range(self.width(i.out.space)):
                terms = [x[lane] for x in single[k * singles : (k + 1) * singles]]
                for x, y in zip(
                    left[k * inner : (k + 1) * inner],
                    right[k * inner : (k + 1) * inner],
                    strict=True,
                ):
                    terms.append(x[lane] * y[lane])
                row.append(engine.sum(terms) + (0.0 if i.flags & ZERO else -0.0))
            out.append(row)
        self.write(i.out, out)

    def product(self, i: Instruction) -> None:
        n, inner, cols = i.shape
        matrix, block, bias, init = (None if x is None else self.read(x) for x in i.operands)
        assert matrix is not None and block is not None
        out = []
        for k in range(n):
            for c in range(cols):
                row = []
                for lane in range(self.width(i.out.space)):
                    terms = [
                        matrix[k * inner + j][0] * block[j * cols + c][lane] for j in range(inner)
                    ]
                    terms += [] if bias is None else [bias[k][0]]
                    terms += [] if init is None else [init[k * cols + c][lane]]
                    row.append(engine.sum(terms))
                out.append(row)
        self.write(i.out, out)
