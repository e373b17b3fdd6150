"""The plan of a lifted function: which instructions become machine code, and its text."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.compiled.lift import Blocks, Instruction, L, S
from engine.compiled.native import dots, elementwise, matrix, moves, vectormath
from engine.compiled.native.emit import FLOAT, Function, Lanes, UntranslatableError, calls
from engine.compiled.native.layout import Layout, flush
from engine.ops import TABLE

_RUNS = 600  # runs of a list up to which it is written out, rather than read at run time
_OPERATIONS = 60_000  # single operations of a function up to which they are written out
_PART = 64  # single operations of a segment that are written out together
_LONG = 500  # lines of a function: the time that LLVM takes grows faster than its length

# What emits an instruction's kernel forwards, and backwards with the flags of its operands.
_EMITTED: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "segment": (elementwise.segment, elementwise.segment_back),
    "gather": (moves.gather, moves.gather_back),
    "gather_list": (moves.gather, moves.gather_back),
    "broadcast": (moves.broadcast, moves.broadcast_back),
    "broadcast_list": (moves.broadcast, moves.broadcast_back),
    "take": (moves.take, moves.take_back),
    "max": (moves.maxima, moves.maxima_back),
    "mm": (matrix.mm, matrix.mm_back),
    "dot": (dots.dot, dots.dot_back),
}


@dataclass(slots=True)
class Plan:
    """How a lifted function is run.

    `steps[space]` has for each step the number of a pair of emitted functions, or ~i for
    instruction i of that space. `clear[space]` are ranges of adjoint rows to be 0 at first.
    """

    clear: tuple[list[tuple[int, int]], list[tuple[int, int]]]
    steps: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    text: str = ""


def plan(
    blocks: Blocks,
    flags: Sequence[Sequence[int]],
    wanted: Sequence[tuple[int, int]],
    lanes: int,
    dtype: str,
    vector_bytes: int,
    by_kernel: Callable[[Instruction], bool],
) -> Plan:
    """Return the plan for chunks of `lanes` examples.

    `flags` say which operands of each instruction need adjoints, first those of S, then of L;
    `wanted` are the rows (space, row) whose adjoint is read at the end; instructions for which
    `by_kernel` holds stay kernels.
    """
    return _Planner(blocks, flags, Layout(blocks, lanes, dtype, vector_bytes)).run(
        wanted, by_kernel
    )


class _Planner:
    def __init__(self, blocks: Blocks, flags: Sequence[Sequence[int]], layout: Layout) -> None:
        self.blocks, self.layout = blocks, layout
        split = len(blocks.instructions[S])
        self.flags = (flags[:split], flags[split:])
        self.texts: list[str] = []
        self.declared: set[str] = set()
        self._translatable: dict[str, bool] = {}

    def run(
        self, wanted: Sequence[tuple[int, int]], by_kernel: Callable[[Instruction], bool]
    ) -> Plan:
        plan, blocks = Plan(clear=self.layout.ranges), self.blocks
        pieces: list[tuple[int, list[int]]] = []  # space and instructions of each
        for space in (S, L):
            steps = plan.steps[space]
            for i, instruction in enumerate(blocks.instructions[space]):
                if by_kernel(instruction) or not self._writes_out(instruction):
                    steps.append(~i)
                elif steps and steps[-1] >= 0:
                    pieces[-1][1].append(i)
                else:
                    steps.append(len(pieces))
                    pieces.append((space, [i]))
        for space, row in blocks.outputs:
            self.layout.clear(space, row, 1)
        for k, (space, own) in enumerate(pieces):
            some = [part for i in own for part in self._parts(blocks.instructions[space][i])]
            self._piece(f"forward{k}", [functools.partial(self._forward, i=i) for i, _ in some])
        for space in (L, S):
            for step in reversed(plan.steps[space]):
                if step < 0:
                    self._kernel_writes(space, ~step)
                    continue
                emits = []
                for k in reversed(pieces[step][1]):
                    flags = self.flags[space][k]
                    for i, part in reversed([*self._parts(blocks.instructions[space][k])]):
                        emits.append(functools.partial(self._backward, i=i, flags=flags[part]))
                self._piece(f"backward{step}", emits)
        for space, row in wanted:
            self.layout.clear(space, row, 1)
        plan.text = "\n".join([*sorted(self.declared), *self.texts])
        return plan

    def _parts(self, i: Instruction) -> Iterator[tuple[Instruction, slice]]:
        """The instruction, a long segment as several; and which of its flags each has."""
        if i.kernel != "segment":
            yield i, slice(None)
            return
        for first in range(0, i.n, _PART):
            count = min(_PART, i.n - first)
            yield i._replace(n=count, list_1=i.list_1 + first), slice(first, first + count)

    def _piece(self, name: str, emits: Sequence[Callable[[Function], None]]) -> None:
        """Emit a function that does several things in order; a long one calls others."""
        parts: list[str] = []
        f = Function(self.layout.number)
        for k, emit in enumerate(emits):
            emit(f)
            if len(f.lines) > _LONG or k + 1 == len(emits):
                flush(self.layout, f)
            if len(f.lines) > _LONG or (parts and k + 1 == len(emits)):
                parts.append(f"{name}_{len(parts)}")
                self._add(f, parts[-1])
                f = Function(self.layout.number)
        if parts:
            self.texts.append(calls(name, parts))
        else:
            self._add(f, name)

    def _add(self, f: Function, name: str) -> None:
        self.texts.append(f.text(name))
        self.declared |= f.declared

    def _writes_out(self, i: Instruction) -> bool:
        """Whether an instruction becomes machine code of its own."""
        if i.kernel == "segment":
            codes = self.blocks.segments.code[i.list_1 : i.list_1 + i.n]
            return len(self.blocks.segments.code) <= _OPERATIONS and all(
                self._translates(self.layout.names[code]) for code in {*codes.tolist()}
            )
        if i.kernel.startswith("ew_"):
            return self._translates(i.kernel.removeprefix("ew_"))
        if i.kernel in ("gather_list", "broadcast_list"):
            return len(self.layout.runs(i.list_1, i.n)) <= _RUNS
        if i.kernel == "dot":
            if i.space == L and self.layout.lanes > 1:
                return i.n * (i.inner + i.cols) <= 2 * _RUNS
            return dots.size(self.layout, i) <= 4 * _RUNS
        if i.kernel == "take":
            return moves.affine(self.layout, i) is not None
        if i.kernel == "max":
            return i.n * i.inner <= 2 * _RUNS
        return i.kernel in ("gather", "broadcast", "mm")

    def _translates(self, name: str) -> bool:
        found = self._translatable.get(name)
        if found is None:
            f, op = Function(self.layout.number), TABLE[name]
            x = Lanes(f, "%x", FLOAT, 2)
            try:
                vectormath.row(f, name, *[x] * op.arity)
                for k in range(op.arity):
                    vectormath.partial(f, op, k, *[x] * (op.arity + 1))
                found = True
            except (UntranslatableError, TypeError, AttributeError):  # a row may do anything
                found = False
            self._translatable[name] = found
        return found

    def _kernel_writes(self, space: int, k: int) -> None:
        """A kernel adds to the rows of its operands, and reads those of its result."""
        i, flags = self.blocks.instructions[space][k], self.flags[space][k]
        if not any(flags):
            return
        if i.kernel == "segment":
            self.layout.clear(space, 0, self.blocks.rows[space])  # as good as all of them
            return
        self.layout.clear(space, i.out, i.n * (i.cols if i.kernel == "mm" else 1))
        for place, first, count in self._operand_ranges(i, flags[0]):
            self.layout.clear(place, first, count)

    def _operand_ranges(self, i: Instruction, flags: int) -> Iterator[tuple[int, int, int]]:
        """The rows whose adjoints a kernel adds to: space, first and count of each range."""
        ranges: list[tuple[int, int, int]] = []  # one an operand
        if i.kernel.startswith("ew_"):
            ranges = [(i.space, first, i.n) for first in (i.a, i.b, i.c)]
        elif i.kernel == "gather":
            ranges = [(i.space, i.a, i.n)]
        elif i.kernel == "broadcast":
            ranges = [(S, i.a, i.n)]
        elif i.kernel == "mm":
            ranges = [
                (S, i.a, i.n * i.inner),
                (i.space, i.b, i.inner * i.cols),
                (S, i.bias, i.n),
                (i.space, i.init, i.n * i.cols),
            ]
        for k, found in enumerate(ranges):
            if flags >> k & 1:
                yield found
        lists = {
            "gather_list": [(i.space, i.list_1, i.n)],
            "broadcast_list": [(S, i.list_1, i.n)],
            "take": [(i.c, i.list_1, i.n * i.inner)],
            "dot": [
                (i.space, i.list_1, i.n * i.inner),
                (i.space, i.list_2, i.n * i.inner),
                (i.space, i.list_3, i.n * i.cols),
            ],
        }
        for k, (space, first, count) in enumerate(lists.get(i.kernel, [])):
            if flags >> k & 1:
                for row, _, length in self.layout.runs(first, count):
                    yield space, row, length

    def _forward(self, f: Function, i: Instruction) -> None:
        emit, _ = _EMITTED.get(i.kernel) or (elementwise.elementwise, None)
        emit(self.layout, f, i)

    def _backward(self, f: Function, i: Instruction, flags: Sequence[int]) -> None:
        if i.kernel == "segment":
            elementwise.segment_back(self.layout, f, i, flags)
            return
        if not any(flags):
            return
        if i.kernel != "dot" and not matrix.is_straight(self.layout, i):
            flush(self.layout, f)
            count = i.n * (i.cols if i.kernel == "mm" else 1)
            if not self.layout.arrived(i.space, i.out, count):
                return
        _, emit = _EMITTED.get(i.kernel) or (None, elementwise.elementwise_back)
        emit(self.layout, f, i, flags[0])


@functools.cache
def sources() -> str:
    """A hash over the code that emits: what it makes is kept on disk."""
    texts = [file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(texts)).hexdigest()
