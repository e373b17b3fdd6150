"""Instructions with random numbers in their rows, for kernels and their twins to work on.

A `Case` is one instruction and the buffers around it. Cases of a kernel differ in space, width,
shape and lists; the rows of an instruction lie apart, with rows between them that nobody may
touch. Adjoints are random too, also where a kernel adds to them, and some are 0.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.compiled.kernels import SEED, STEP
from engine.compiled.lift import POOL_HEADER, Instruction, L, S
from engine.compiled.words import encode
from engine.ops import TABLE

WIDTHS = (1, 3, 7, 64)
Filling = Callable[[], float]


@dataclass
class Case:
    """An instruction, the rows of both spaces with their adjoints, the pool and the lanes."""

    instruction: Instruction
    w: int
    pool: Any
    ids: Any
    vs: Any
    gs: Any
    vl: Any
    gl: Any
    flags: list[int] = field(default_factory=lambda: [1])  # all that its backward kernel is asked

    def words(self, flags: int) -> Any:
        return encode([self.instruction], [[flags]])[0][0]

    def buffers(self, dtype: str) -> list[Any]:
        """Copies of the pool, the lanes' numbers and the four buffers, in the kernels' order."""
        numbers = [b.astype(dtype) for b in (self.vs, self.gs, self.vl, self.gl)]
        return [self.pool.copy(), self.ids.copy(), *numbers]


class Layout:
    """A case under construction."""

    def __init__(self, rng: random.Random, w: int) -> None:
        self.rng, self.w = rng, w
        self.pool = [0] * POOL_HEADER
        self.pool[SEED], self.pool[STEP] = rng.randrange(-9, 10**9), rng.randrange(10**6)
        self.fillings: tuple[list[Filling], list[Filling]] = ([], [])
        self.rows(S, 1)
        self.rows(L, 1)

    def rows(self, space: int, count: int, filling: Filling | None = None) -> int:
        """Hand out rows, and leave one free behind them; return the first."""
        rows = self.fillings[space]
        first = len(rows)
        rows += [filling or self.number] * count
        rows.append(self.number)
        return first

    def number(self) -> float:
        return self.rng.uniform(-2.0, 2.0)

    def some_of(self, first: int, rows: int, count: int, *, signed: bool = False) -> int:
        """The place in the pool of a list of `count` of the rows from `first` on."""
        chosen = [first + self.rng.randrange(rows) for _ in range(count)]
        if signed:
            chosen = [row if self.rng.random() < 0.5 else ~row for row in chosen]
        return self.list(chosen)

    def list(self, entries: list[int]) -> int:
        place = len(self.pool)
        self.pool += entries
        return place

    def case(self, kernel: str, space: int, n: int, out: int, **fields: Any) -> Case:
        flags = fields.pop("flags", [1])
        vs = np.array([fill() for fill in self.fillings[S]])
        vl = np.array([[fill() for _ in range(self.w)] for fill in self.fillings[L]]).ravel()
        gs, gl = (np.array([self.adjoint() for _ in v]) for v in (vs, vl))
        ids = np.array([self.rng.randrange(10**6) for _ in range(self.w)])
        instruction = Instruction(kernel, space, n, out, **fields)
        pool = np.array(self.pool, np.int64)
        return Case(instruction, self.w, pool, ids, vs, gs, vl, gl, flags)

    def adjoint(self) -> float:
        return 0.0 if self.rng.random() < 0.1 else self.number()


def cases(name: str) -> Iterator[Case]:
    """The cases of a kernel by its name; those of a row's kernel are at the row's samples."""
    rng = random.Random(name)
    if name.startswith("ew_"):
        yield from _elementwise(name, rng)
    else:
        yield from CASES[name](rng)


def places(rng: random.Random) -> Iterator[tuple[Layout, int]]:
    """A new layout of each width, with each space of the instruction."""
    for w in WIDTHS:
        for space in (S, L):
            yield Layout(rng, w), space


def _elementwise(name: str, rng: random.Random) -> Iterator[Case]:
    op = TABLE[name.removeprefix("ew_")]
    every = list(range(1, 1 << op.arity))
    for layout, space in places(rng):
        for n in (1, 5):
            first = [
                layout.rows(space, n, lambda ends=ends: rng.uniform(*ends)) for ends in op.samples
            ]
            out = layout.rows(space, n)
            yield layout.case(name, space, n, out, **dict(zip("abc", first, strict=False)))
        if op.arity > 1:
            names = "abc"[: op.arity]
            apart = dict(zip(names, first, strict=True))
            same = dict.fromkeys(names, first[0])  # such as x * x
            shifted = {name: first[0] + k for k, name in enumerate(names)}  # such as x[i] * x[i+1]
            for count, rows in ((n, apart), (n, same), (n - op.arity + 1, shifted)):
                yield layout.case(name, space, count, out, **rows, flags=every)


def special_case(name: str, points: list[float], space: int) -> Case:
    """A row's kernel at all combinations of some points, w of them in a row of lanes."""
    op = TABLE[name.removeprefix("ew_")]
    operands = list(itertools.product(points, repeat=op.arity))
    n = len(operands) if space == S else 1
    layout = Layout(random.Random(name), 1 if space == S else len(operands))
    columns = [iter(column) for column in zip(*operands, strict=True)]
    first = [layout.rows(space, n, column.__next__) for column in columns]
    fields = dict(zip("abc", first, strict=False))
    flags = [(1 << op.arity) - 1]
    return layout.case(name, space, n, layout.rows(space, n), **fields, flags=flags)


def _gather(rng: random.Random) -> Iterator[Case]:
    for layout, space in places(rng):
        for n in (1, 5):
            a, out = layout.rows(space, n), layout.rows(space, n)
            yield layout.case("gather", space, n, out, a=a)


def _gather_list(rng: random.Random) -> Iterator[Case]:
    for layout, space in places(rng):
        for n in (1, 8):
            a, out = layout.rows(space, 5), layout.rows(space, n)
            yield layout.case(
                "gather_list", space, n, out, list_1=layout.some_of(a, 5, n, signed=True)
            )


def _broadcast(rng: random.Random) -> Iterator[Case]:
    for w, n in itertools.product(WIDTHS, (1, 5)):
        layout = Layout(rng, w)
        yield layout.case("broadcast", L, n, layout.rows(L, n), a=layout.rows(S, n))


def _broadcast_list(rng: random.Random) -> Iterator[Case]:
    for w, n in itertools.product(WIDTHS, (1, 8)):
        layout = Layout(rng, w)
        rows = layout.some_of(layout.rows(S, 5), 5, n)
        yield layout.case("broadcast_list", L, n, layout.rows(L, n), list_1=rows)


def _take(rng: random.Random) -> Iterator[Case]:
    spaces = [(S, S, S), (L, S, L), (L, L, S), (L, L, L)]  # the result's, index's and entries'
    for w, (space, of_index, of_entries) in itertools.product(WIDTHS, spaces):
        for n, length in ((1, 1), (2, 4), (3, 7)):
            layout = Layout(rng, w)
            index = layout.rows(of_index, 1, lambda end=length: float(rng.randrange(-end, end)))
            rows = layout.some_of(layout.rows(of_entries, 9), 9, n * length)
            out = layout.rows(space, n)
            fields = {"a": index, "b": of_index, "c": of_entries, "inner": length}
            yield layout.case("take", space, n, out, **fields, list_1=rows)


def _draw(rng: random.Random) -> Iterator[Case]:
    for layout, space in places(rng):
        calls = layout.list([rng.randrange(1000) for _ in range(5)])
        yield layout.case("draw", space, 5, layout.rows(space, 5), list_1=calls)


def product(
    rng: random.Random, w: int, space: int, n: int, inner: int, cols: int, bias: bool, init: bool
) -> Case:
    """A matrix product, with all the flags that it can have."""
    layout = Layout(rng, w)
    fields = {
        "a": layout.rows(S, n * inner),
        "b": layout.rows(space, inner * cols),
        "bias": layout.rows(S, n) if bias else -1,
        "init": layout.rows(space, n * cols) if init else -1,
    }
    out = layout.rows(space, n * cols)
    flags = [f for f in range(1, 16) if (bias or not f & 4) and (init or not f & 8)]
    fields["c"] = (n + inner + cols) % 2
    return layout.case("mm", space, n, out, inner=inner, cols=cols, **fields, flags=flags)


def _mm(rng: random.Random) -> Iterator[Case]:
    for inner, cols in itertools.product(range(1, 10), range(1, 6)):
        for w in (rng.choice((1, 3)), 7):
            extras = [rng.random() < 0.5 for _ in range(2)]
            case = product(rng, w, rng.choice((S, L, L)), rng.randint(1, 9), inner, cols, *extras)
            case.flags = [case.flags[-1], rng.choice(case.flags)]
            yield case
    for bias, init in itertools.product((False, True), repeat=2):
        for space in (S, L):
            yield product(rng, 3, space, 3, 2, 2, bias, init)
    for n, inner, cols in ((6, 5, 3), (4, 9, 1), (7, 8, 5)):
        case = product(rng, 64, L, n, inner, cols, True, True)
        case.flags = case.flags[-1:]
        yield case


def large_product(space: int) -> Case:
    """A matrix product of more multiplications than it takes for BLAS to be called."""
    rng = random.Random(0)
    w, n, inner, cols = (64, 9, 30, 3) if space == L else (1, 30, 30, 50)
    case = product(rng, w, space, n, inner, cols, True, True)
    case.flags = case.flags[-1:]
    return case


def _dot(rng: random.Random) -> Iterator[Case]:
    for layout, space in places(rng):
        for k, (n, inner, singles) in enumerate(
            ((1, 1, 0), (1, 2, 1), (3, 0, 3), (4, 3, 0), (5, 9, 2))
        ):
            x, out = layout.rows(space, 6), layout.rows(space, n)
            yield layout.case(
                "dot",
                space,
                n,
                out,
                c=k % 2,
                inner=inner,
                cols=singles,
                list_1=layout.some_of(x, 6, n * inner, signed=True),
                list_2=layout.some_of(x, 6, n * inner),
                list_3=layout.some_of(x, 6, n * singles, signed=True),
                flags=list(range(1, 8)),
            )


def _max(rng: random.Random) -> Iterator[Case]:
    for layout, space in places(rng):
        for n, inner in ((1, 3), (4, 5)):
            x, out = layout.rows(space, 6), layout.rows(space, n)
            rows = layout.some_of(x, 6, n * inner)
            yield layout.case("max", space, n, out, inner=inner, list_1=rows)


CASES: dict[str, Callable[[random.Random], Iterator[Case]]] = {
    "gather": _gather,
    "gather_list": _gather_list,
    "broadcast": _broadcast,
    "broadcast_list": _broadcast_list,
    "take": _take,
    "draw": _draw,
    "mm": _mm,
    "dot": _dot,
    "max": _max,
}
