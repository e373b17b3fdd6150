"""Programs of instructions with random operands, for those who run them to be compared on.

A `Maker` appends instructions of each kind, of forward and of backward ones, on rows that are
there: operands overlap, lists repeat and negate rows, some of the inputs are constants. `alone`
gives programs of one kind, which work on buffers full of numbers; `together` gives functions of
several instructions with their adjoint, which are run by the driver.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.compiled.adjoint import Adjoint, Backward, adjoint
from engine.compiled.blocks import (
    ADJOINT,
    NOTED,
    POOL_HEADER,
    SEED,
    STEP,
    TRANSPOSED,
    ZERO,
    Inner,
    Instruction,
    L,
    Lists,
    S,
    Segments,
    View,
)
from engine.compiled.instructions import ROWS
from engine.compiled.periods import FEWEST
from engine.ops import TABLE

INPUTS = 32  # rows of each space
INDEX_ROW = 0  # of either space
NAMES = ("add", "sub", "mul", "neg", "square", "tanh", "sigmoid", "chain", "minimum", "where")
NAMES += ("sin",)
BOUNDED = ("tanh", "sigmoid", "sin")
IN_LOOPS = (*BOUNDED, *BOUNDED, "add", "sub", "neg", "mul", "minimum", "where")
WIDTHS = (1, 8, 16, 64)
FORWARD = ("map", "gather", "broadcast", "product", "dot", "max", "take", "segment", "loop")


@dataclass
class Program:
    """Parts of instructions, and all that a driver is told of them."""

    parts: dict[str, list[Instruction]]
    lists: Lists
    rows: tuple[int, int]
    width: int
    dtype: str
    inputs: tuple[int, int] = (0, 0)
    outputs: Sequence[tuple[int, int]] = ()
    wanted: Sequence[tuple[int, int]] = ()
    steps: Any = None
    checks: Any = None
    expected: Any = None
    backward: bool = False
    training: bool = False
    hot: bool = True
    # Adjoints that need not be stored: of what a segment computed, since nobody asks for them
    loose: list[int] = field(default_factory=list)
    inner: dict[int, Backward] = field(default_factory=dict)  # of the steps of loops

    @property
    def columns(self) -> list[int]:
        """Rows of L whose adjoints are given."""
        return [row for space, row in self.wanted if space == L] if self.backward else []

    def __str__(self) -> str:
        head = f"{self.width} lanes, {self.dtype}, rows {self.rows}, outputs {self.outputs}"
        parts = [f"{name}: {i}" for name, some in self.parts.items() for i in some]
        return "\n".join([head, f"wanted {self.wanted}", *parts])


class Maker:
    """Instructions under construction. Unless they are `forward` only, those of adjoints are on
    any rows, and add to what is there or not."""

    def __init__(self, rng: random.Random, width: int, inputs: int = INPUTS) -> None:
        self.rng, self.width, self.inputs = rng, width, inputs
        self.rows = [inputs, inputs]
        self.pool = [0] * POOL_HEADER
        self.pool[SEED], self.pool[STEP] = rng.randrange(-9, 10**9), rng.randrange(10**6)
        self.columns: list[list[int]] = [[] for _ in range(5)]  # of segments
        self.steps: list[int] = []
        self.loose: list[int] = []
        self.inner: list[Inner] = []
        self.inner_back: dict[int, Backward] = {}
        self.checks: list[tuple[int, int, int]] = []
        self.expected: list[float] = []
        self.instructions: list[Instruction] = []
        self.constants: tuple[dict[int, float], dict[int, float]] = ({}, {})
        for space in (S, L):  # some of the inputs are known, alone and in runs
            for _ in range(2):
                first, count = 1 + self.place(space, 4), rng.randint(1, 3)
                x = rng.choice((0.0, -0.0, 1.0, 0.75))
                self.constants[space].update(dict.fromkeys(range(first, first + count), x))

    # --- rows and lists ---

    def place(self, space: int, count: int) -> int:
        """Where so many rows may begin."""
        return self.rng.randint(0, self.rows[space & 1] - count)

    def new(self, space: int, count: int) -> View:
        first = self.rows[space & 1]
        self.rows[space & 1] += count
        return View(space, first, count)

    def run(self, space: int, count: int) -> View:
        """Some rows that follow each other."""
        return View(space, self.place(space, count), count)

    def run_or_new(self, space: int, count: int) -> View:
        """Where results go: new rows in a function, else any that are no constants."""
        return self.new(space, count)

    def listed(self, space: int, entries: Iterable[int]) -> View:
        place = len(self.pool)
        self.pool += [int(row) for row in entries]
        return View(space, place, len(self.pool) - place, True)

    def some(self, space: int, count: int, *, signed: bool) -> list[int]:
        """Rows: runs of some lengths, with repetitions; ~row is a row's negative."""
        found: list[int] = []
        while len(found) < count:
            length = self.rng.choice((1, 1, 2, 5, count) if count < 1000 else (1,))
            length = min(length, count - len(found), self.rows[space & 1])
            first, negative = self.place(space, length), signed and self.rng.random() < 0.3
            found += [~row if negative else row for row in range(first, first + length)]
        return found

    def targets(self, space: int, count: int) -> tuple[View, bool]:
        """Rows that are written to, and whether they are added to: if not, each is there once."""
        rng = self.rng
        if rng.random() < 0.5:
            rows = self.some(space, count, signed=True)
            return self.listed(space, rows), True
        if self.rows[space & 1] < count:
            self.new(space, count)
        if rng.random() < 0.5:
            return self.run(space, count), rng.random() < 0.5
        rows = rng.sample(range(self.rows[space & 1]), count)
        return self.listed(space, [row if rng.random() < 0.7 else ~row for row in rows]), False

    def add(self, kind: str, out: View, *operands: View | None, **fields: Any) -> None:
        self.instructions.append(Instruction(kind, out, operands, **fields))

    def some_or_run(self, space: int, count: int) -> View:
        if self.rng.random() < 0.5:
            return self.run(space, min(count, self.rows[space & 1]))
        return self.listed(space, self.some(space, count, signed=True))

    # --- each kind, forwards ---

    def operands(self, space: int, n: int, name: str) -> list[View]:
        first = self.place(space, n)
        near = [first, min(first + self.rng.randint(0, 3), self.rows[space] - n)]
        firsts = [self.rng.choice((*near, self.place(space, n))) for _ in range(TABLE[name].arity)]
        if name == "where":  # a rounding makes all the difference to a condition that is computed
            firsts[0] = self.rng.randint(0, self.inputs - n)
        return [View(space, first, n) for first in firsts]

    def map(self, space: int, n: int | None = None, name: str = "") -> None:
        n, name = n or self.rng.randint(1, 17), name or self.rng.choice(NAMES)
        operands = self.operands(space, n, name)
        self.add("map", self.new(space, n), *operands, name=name)

    def gather(self, space: int, count: int = 0) -> None:
        view = self.some_or_run(space, count or self.rng.randint(1, 17))
        self.add("gather", self.new(space, view.count), view)

    def broadcast(self, space: int, count: int = 0) -> None:
        view = self.some_or_run(S, count or self.rng.randint(1, 17))
        self.add("broadcast", self.new(L, view.count), view)

    def product(self, space: int, shape: tuple[int, int, int] | None = None) -> None:
        rng = self.rng
        n, inner, cols = shape or (rng.randint(1, 4), rng.randint(1, 5), rng.choice((1, 1, 2, 5)))
        for place, count in ((S, n * inner), (space, inner * cols), (space, n * cols), (S, n)):
            self.rows[place] = max(self.rows[place], count)
        operands = (
            self.run(S, n * inner),
            self.run(space, inner * cols),
            rng.choice((None, self.run(S, n))),
            rng.choice((None, self.run(space, n * cols))),
        )
        flags = rng.choice((0, ZERO)) | rng.choice((0, NOTED))
        out = self.new(space, n * cols)
        self.add("product", out, *operands, shape=(n, inner, cols), flags=flags)

    def dot(self, space: int, form: tuple[int, int, int] | None = None) -> None:
        rng = self.rng
        n, inner, singles = form or (rng.randint(1, 9), rng.randint(0, 6), rng.randint(0, 2))
        singles = singles or int(inner == 0)
        along = 0 < inner <= self.rows[space] and rng.random() < 0.3
        tables = [
            self.table(space, n, inner, signed=True, along=along),
            self.table(space, n, inner, signed=False, along=along),
            self.table(space, n, singles, signed=True),
        ]
        views = [self.listed(space, table) if table else None for table in tables]
        flags = rng.choice((0, ZERO)) | rng.choice((0, NOTED))
        self.add("dot", self.new(space, n), *views, shape=(inner, singles), flags=flags)

    def table(
        self, space: int, n: int, terms: int, *, signed: bool, along: bool = False
    ) -> list[int]:
        """The rows of n sums: of each term by its own rule, in a few pieces; or `along` a sum."""
        rng, table = self.rng, np.zeros((n, terms), np.int64)
        for j in range(terms):
            k = 0
            while k < n:
                pieces = (1, 2, n, n) if n < 900 else (1,)
                count = min(rng.choice(pieces), n - k, self.rows[space])
                first, step = self.place(space, count), rng.choice((0, 1, 1))
                rows = first + step * np.arange(count)
                table[k : k + count, j] = ~rows if signed and rng.random() < 0.3 else rows
                k += count
        if along:
            for k in range(n):
                table[k] = self.place(space, terms) + np.arange(terms)
        if signed and table.size and rng.random() < 0.3:  # one sign differs from its neighbours'
            k, j = rng.randrange(n), rng.randrange(terms)
            table[k, j] = ~table[k, j]
        return [int(row) for row in table.ravel()]

    def max(self, space: int, n: int = 0) -> None:
        n, inner = n or self.rng.randint(1, 4), self.rng.randint(1, 6)
        rows = self.some(space, n * inner, signed=False)
        self.add("max", self.new(space, n), self.listed(space, rows), shape=(inner,))

    def entries(self, source: int) -> tuple[int, list[int]]:
        """The size of an entry, and a table of some: at equal distances, or anyhow."""
        rng = self.rng
        n, length = rng.randint(1, 4), rng.randint(1, 5)
        entry, number = rng.choice(((n, 1), (1, length), (2, 1), (1, 1), (0, 1)))
        first = self.place(source, entry * (length - 1) + number * (n - 1) + 1)
        table = [first + t * entry + k * number for t in range(length) for k in range(n)]
        if rng.random() < 0.3:
            rng.shuffle(table)
        return n, table

    def take(self, space: int) -> None:
        """With an index among the inputs, which is made to be in range or not."""
        of_index, source = (S, S) if space == S else self.rng.choice(((S, L), (L, S), (L, L)))
        n, table = self.entries(source)
        index = View(of_index, INDEX_ROW, 1)
        self.add("take", self.new(space, n), index, self.listed(source, table), shape=(99,))

    def segment(self, space: int, count: int = 0) -> None:
        first = len(self.columns[0])
        count = count or self.rng.choice((1, 3, 20, 150))
        for _ in range(count):
            name = self.rng.choice(NAMES)
            recent = range(max(0, self.rows[space] - 4), self.rows[space])
            rows = [self.rng.choice((*recent, self.place(space, 1))) for _ in range(3)]
            if name == "where":
                rows[0] = self.rng.randrange(self.inputs)
            out = self.new(space, 1).first
            for column, x in zip(self.columns, (list(TABLE).index(name), out, *rows), strict=True):
                column.append(x)
            self.loose.append(out)
            self.steps.append(0)
        self.add("segment", View(space, 0, 0), shape=(first, count))

    # --- each kind, backwards, and what has no adjoint ---

    def edge(self, space: int) -> None:
        n, name = self.rng.randint(1, 17), self.rng.choice(NAMES)
        operands, out = self.operands(space, n, name), self.new(space, n)
        self.add("map", out, *operands, name=name)
        g = self.run(space | ADJOINT, n)
        for k, cut in enumerate(TABLE[name].cuts):
            if cut is True:
                continue
            away = self.rows[space] if k == 1 else 0  # from the others, where they are fused
            target = self.new(space | ADJOINT, n) if away else self.run(space | ADJOINT, n)
            if target.first < g.first + n and g.first < target.first + n:
                target = self.new(space | ADJOINT, n)
            self.add("edge", target, g, *operands, out, name=name, shape=(k,), adds=self.coin())

    def coin(self) -> bool:
        return self.rng.random() < 0.5

    def segment_back(self, space: int) -> None:
        """With any edges, which add or set."""
        self.segment(space)
        i = self.instructions[-1]
        for k in range(i.shape[0], i.shape[0] + i.shape[1]):
            cuts = TABLE[list(TABLE)[self.columns[0][k]]].cuts
            bits = [1 << j for j, cut in enumerate(cuts) if cut is not True and self.coin()]
            self.steps[k] = sum(bits) + sum(8 * bit for bit in bits if self.coin())
        self.instructions.append(i._replace(kind="segment_back", out=i.out.adjoint))

    def loop(self, space: int) -> None:
        """Operands of the same iteration, of the one before, of two or three before, of a row that
        stays, and of others row after row or anywhere; after a segment that is its iteration 0."""
        rng = self.rng
        period, count = rng.randint(1, 12), rng.randint(FEWEST + 1, FEWEST + 6)
        names = [rng.choice(IN_LOOPS) for _ in range(period)]
        kinds = [[self.moving(p, names, j) for j in range(3)] for p in range(period)]
        first = len(self.columns[0])
        begin = self.new(space, period * count).first
        for t in range(count):
            for p, name in enumerate(names):
                out = begin + t * period + p
                rows = [kind(t, begin + t * period) for kind in kinds[p]]
                code = list(TABLE).index(name)
                for column, x in zip(self.columns, (code, out, *rows), strict=True):
                    column.append(x)
                self.loose.append(out)
                self.steps.append(0)
        self.add("segment", View(space, 0, 0), shape=(first, period))
        shape = (first + period, (count - 1) * period, period)
        self.add("loop", View(space, begin + period, (count - 1) * period), shape=shape)

    def moving(self, p: int, names: list[str], j: int) -> Callable[[int, int], int]:
        """The row of operand j of operation p, by the iteration and the row that begins it."""
        rng, back, period = self.rng, self.rng.choice((2, 3)), len(names)
        rows = [rng.randrange(self.inputs) for _ in range(50)]
        start, step = rng.randrange(self.inputs // 2), rng.choice((0, 1))
        kinds = ("here", "before", "long ago", "same", "next", "before or long ago")
        q, kind = rng.randrange(period), rng.choice(kinds)
        # so that numbers do not grow without a bound, and no rounding decides
        if (names[p] == "where" and j == 0) or (names[p] == "mul" and j == 1):
            kind = "same"
        if kind.endswith(("before", "long ago")) and names[q] not in BOUNDED:
            kind = "same"
        if kind == "here" and p:
            return lambda t, begin: begin + q % p
        if kind == "before":
            return lambda t, begin: begin - period + q if t else rows[0]
        if kind == "before or long ago":
            backs = [rng.choice((1, 2)) for _ in range(50)]
            return lambda t, begin: begin - backs[t] * period + q if t >= 2 else rows[t]
        if kind == "long ago":
            return lambda t, begin: begin - back * period + q if t >= back else rows[t]
        if kind == "same":
            return lambda t, begin: rows[0]
        if step:
            return lambda t, begin: start + t
        return lambda t, begin: rows[t]

    def loop_back(self, space: int) -> None:
        """As the adjoint has it where any rows are wanted, and something has arrived at some, in a
        loop at the same in each iteration."""
        self.loop(space)
        i = self.instructions[-1]
        rows = (self.rows[S], self.rows[L])
        a = Adjoint(([], []), self.lists(exact=False), rows)
        first, period = i.out.first, i.shape[2]
        arrives = [self.coin() for _ in range(period)]
        for row in range(rows[space]):
            a.depends[space][row] = row < first and self.rng.random() < 0.8
            inside = row >= first
            a.written[space][row] = arrives[(row - first) % period] if inside else self.coin()
        ROWS["loop"].mark(a, i)
        ROWS["loop"].adjoint(a, i)
        self.steps[i.shape[0] :] = a.made.steps.tolist()[i.shape[0] :]
        self.instructions += a.made.lanes

    def scan(self, space: int, *, conditional: bool | None = None) -> None:
        """A few steps of a few instructions on rows of their own, bounded at the end."""
        rng = self.rng
        counts = [rng.randint(1, 3), rng.randint(0, 3), rng.randint(0, 2) * (space == L)]
        conditional = self.coin() if conditional is None else conditional
        entries = [rng.randint(0, 2), rng.randint(0, 2) * (space == L)]
        counts += [0, 0] if conditional else entries
        if rng.random() < 0.2:
            counts[0], counts[1] = 40, 40
        step = Maker(rng, self.width, max(INPUTS, sum(counts)))
        step.constants = ({}, {})
        step.pool, step.columns, step.steps = self.pool, self.columns, self.steps
        first, inputs = [0, 0], []
        for count, to in zip(counts, (space, S, L, S, L), strict=True):
            inputs.append([*range(first[to], first[to] + count)])
            first[to] += count
        for to in (S, L):
            rest = range(first[to], step.inputs)
            step.constants[to].update({row: rng.choice((0.5, -1.0, 0.0)) for row in rest})
        for _ in range(rng.randint(1, 4)):
            getattr(step, rng.choice(("map", "gather", "product", "dot", "segment")))(space)
        given = 1 if conditional else rng.randint(0, 2)
        step.map(space, counts[0] + given, "tanh")
        last = step.instructions[-1].out.first
        steps, every = rng.randint(1, 7), rng.choice((1, 1, 3))
        self.inner.append(
            Inner(
                (
                    [i for i in step.instructions if i.out.space == S],
                    [i for i in step.instructions if i.out.space == L],
                ),
                (step.rows[S], step.rows[L]),
                step.constants,
                tuple(inputs),
                [(space, row) for row in range(last, last + counts[0] + given)],
                steps,
                conditional,
                every,
            )
        )
        sizes = [counts[0], *counts[1:3], *(steps * n for n in counts[3:])]
        views = [
            self.listed(to, self.some(to, n, signed=False)) if n else None
            for n, to in zip(sizes, (space, S, L, S, L), strict=True)
        ]
        out = self.new(space, self.inner[-1].size)
        self.add("scan", out, *views, shape=(len(self.inner) - 1,))

    def scan_back(self, space: int) -> None:
        """As the adjoint has it where some of the rows are wanted."""
        self.scan(space, conditional=False)
        i = self.instructions.pop()
        lists, rows = self.lists(exact=False), (self.rows[S], self.rows[L])
        a = Adjoint(([], []), lists, rows)
        for to in (S, L):
            for row in range(rows[to]):
                a.depends[to][row] = self.rng.random() < 0.8
        a.written[space][i.out.first : i.out.first + i.out.count] = b"\1" * i.out.count
        ROWS["scan"].adjoint(a, i)
        self.steps[:] = [x | y for x, y in zip(self.steps, a.made.steps.tolist(), strict=True)]
        self.inner_back |= a.made.inner
        self.instructions += a.made.lanes or [i]

    def transposed(self, space: int, shape: tuple[int, int, int] | None = None) -> None:
        rng = self.rng
        n, inner, cols = shape or (rng.randint(1, 5), rng.randint(1, 4), rng.choice((1, 1, 2, 5)))
        for place, count in ((S, n * inner), (space, inner * cols), (space, n * cols)):
            self.rows[place] = max(self.rows[place], count)
        g, out = self.run(space | ADJOINT, inner * cols), self.new(space | ADJOINT, n * cols)
        fields = {"shape": (n, inner, cols), "flags": TRANSPOSED, "adds": self.coin()}
        self.add("product", out, self.run(S, n * inner), g, None, None, **fields)

    def outer(self, space: int, shape: tuple[int, int, int] | None = None) -> None:
        """What comes from the lanes is always added: other chunks of them went before."""
        rng = self.rng
        n, inner, cols = shape or (rng.randint(1, 5), rng.randint(1, 4), rng.choice((1, 1, 2, 5)))
        for place, count in ((space, inner * cols), (space, n * cols)):
            self.rows[place] = max(self.rows[place], count)
        a, b = self.run(space | ADJOINT, n * cols), self.run(space, inner * cols)
        out = self.new(S | ADJOINT, n * inner)
        self.add("outer", out, a, b, shape=(n, inner, cols), adds=space == L or self.coin())

    def scatter(self, space: int, count: int = 0, *, times: bool | None = None) -> None:
        """Each row to one target, or to several; times factors, or not."""
        rng, n = self.rng, count or self.rng.randint(1, 9)
        inner = rng.choice((1, 1, 2, 5)) if not count else 1
        times = rng.choice((False, True)) if times is None else times
        space |= ADJOINT
        if inner > 1 or times:
            if self.coin():
                out, adds = self.targets(space, n * inner)
            else:
                table = self.table(space & 1, n, inner, signed=True, along=inner > 3)
                out, adds = self.listed(space, table), True
            if not out.listed:
                out = self.listed(space, range(out.first, out.first + out.count))
        else:
            out, adds = self.targets(space, n)
        given: list[View | None] = [self.new(space, n)]
        shape: tuple[int, ...] = (inner,) if inner > 1 or times else ()
        if times:
            table = self.table(space & 1, n, inner, signed=True, along=inner > 3)
            given.append(self.listed(space & 1, table))
        self.add("scatter", out, *given, shape=shape, adds=adds)

    def total(self, space: int, count: int = 0) -> None:
        length = 1 if count else self.rng.choice((1, 1, 3))
        n = count or self.rng.randint(1, 17)
        out, adds = self.targets(S | ADJOINT, n)
        self.add("total", out, self.new(space | ADJOINT, n * length), adds=adds)

    def fill(self, space: int) -> None:
        out = self.run(space | ADJOINT, self.rng.randint(1, 17))
        self.add("fill", out, number=self.rng.choice((0.0, -0.0, 1.5)))

    def put(self, space: int) -> None:
        of_index, source = (S, S) if space == S else self.rng.choice(((S, L), (L, S), (L, L)))
        n, table = self.entries(source)
        out, g = self.listed(source | ADJOINT, table), self.new(space | ADJOINT, n)
        self.add("put", out, View(of_index, INDEX_ROW, 1), g, adds=True)

    def draw(self, space: int) -> None:
        calls = self.listed(S, [self.rng.randrange(1000) for _ in range(self.rng.randint(1, 5))])
        self.add("draw", self.new(space, calls.count), shape=(calls.first,))

    def guard(self, space: int) -> None:
        """Of rows that are what is expected or not, and of an index in range or not."""
        first, rng = len(self.checks), self.rng
        for _ in range(rng.randint(1, 4)):
            length = rng.choice((0, 0, 3, 9))
            row = INDEX_ROW if length else rng.randrange(1, 9)
            known = self.constants[space].get(row)
            self.checks.append((row, rng.randrange(20), length))
            choices = (0.0, -0.0, 1.0, np.nan) if known is None else (known, -known, 2.0)
            self.expected.append(rng.choice(choices))
        self.add("guard", View(space, 0, 0), shape=(first, len(self.checks) - first))

    # --- all of it ---

    def lists(self, exact: bool) -> Lists:
        segments = Segments(*[np.array(column, np.int32) for column in self.columns])
        pool = np.array(self.pool, np.int64)
        return Lists(pool, segments, self.constants, exact, self.inner)

    def alone(self, dtype: str, **fields: Any) -> Program:
        """What is there, as one part that is run for one chunk of lanes."""
        checks = np.array(self.checks, np.int64).reshape(-1, 3)
        given = {"steps": np.array(self.steps, np.int32), "loose": self.loose, "checks": checks}
        given["expected"] = np.array(self.expected, dtype)
        given["inner"] = self.inner_back
        parts = {"forward_lanes": self.instructions}
        lists = self.lists(fields.pop("exact", False))
        return Program(parts, lists, (*self.rows,), self.width, dtype, **given, **fields)

    def function(self, dtype: str, *, exact: bool = False, **fields: Any) -> Program:
        """What is there as a function of the inputs, with its adjoint. Outputs are anywhere, so
        that adjoints arrive at some rows of an operand before."""
        rng, last = self.rng, self.instructions[-1].out.space
        outputs = [(last, self.rows[last] - 1 - k) for k in range(rng.randint(1, 3))]
        for space in (S, L):
            outputs += [(space, self.place(space, 1)) for _ in range(rng.randint(0, 3))]
        outputs = fields.pop("outputs", [*dict.fromkeys(outputs)])
        wanted = [(space, row) for space in (S, L) for row in range(self.inputs)]
        wanted = [(s, r) for s, r in wanted if r not in self.constants[s]]
        if rng.random() < 0.3:
            wanted = sorted(rng.sample(wanted, 5))
        wanted = fields.pop("wanted", wanted)
        both = tuple([i for i in self.instructions if i.out.space == s] for s in (S, L))
        lists = self.lists(exact)
        rows = (self.rows[S], self.rows[L])
        back = adjoint(both, lists, rows, outputs, wanted)
        parts = {"forward_shared": both[S], "forward_lanes": both[L], "begin": back.begin}
        parts |= {"backward_lanes": back.lanes, "backward_shared": back.shared}
        checks = np.array(self.checks, np.int64).reshape(-1, 3)
        return Program(
            {name: some for name, some in parts.items() if some},
            lists,
            rows,
            self.width,
            dtype,
            inputs=(self.inputs, self.inputs),
            outputs=outputs,
            wanted=wanted,
            steps=back.steps,
            checks=checks,
            expected=np.array(self.expected, dtype),
            backward=True,
            **fields,
        )


# --- cases of each row of the table ----------------------------------------------------------


def _copies(maker: Maker, kind: str, space: int) -> None:
    view = maker.listed(S if kind == "broadcast" else space, maker.some(S, 1500, signed=True))
    maker.add(kind, maker.new(space, 1500), view)


LONG: dict[str, Callable[[Maker, int], None]] = {  # lists that are read at run time
    "gather": lambda m, space: _copies(m, "gather", space),
    "scatter": lambda m, space: m.scatter(space, 1500, times=False),
    "scatter with factors": lambda m, space: m.scatter(space, 1500, times=True),
    "broadcast": lambda m, space: _copies(m, "broadcast", L),
    "total": lambda m, space: m.total(space, 1500),
    "dot": lambda m, space: m.dot(space, (900, 3, 1)),
    "max": lambda m, space: m.max(space, 1300),
}

KINDS: dict[str, tuple[str, ...]] = {  # of each row of the table, what makes cases of it
    **{kind: (kind,) for kind in ROWS},
    "product": ("product", "transposed"),
}


def alone(kind: str, dtype: str, count: int, widths: Sequence[int] = WIDTHS) -> Iterator[Program]:
    """Programs of one or two instructions of a kind, in both spaces, for chunks of all widths."""
    rng = random.Random(f"{kind}/{dtype}")
    for k in range(count):
        maker = Maker(rng, widths[k % len(widths)])
        for _ in range(rng.choice((1, 2))):
            getattr(maker, rng.choice(KINDS[kind]))(S if k // len(widths) % 2 else L)
        yield maker.alone(dtype, exact=rng.random() < 0.3, hot=rng.random() < 0.7)


def together(seed: Any, dtype: str, **fields: Any) -> Program:
    """Up to twelve instructions, which read the same rows in ranges that overlap in part."""
    rng = random.Random(f"{seed}/{dtype}")
    maker = Maker(rng, rng.choice(WIDTHS))
    for _ in range(rng.randint(2, 12)):
        getattr(maker, rng.choice(FORWARD))(rng.choice((S, L)))
    return maker.function(dtype, hot=rng.random() < 0.7, **fields)


MOVING = ("map", "gather", "broadcast", "product", "dot", "max")


def repeated(seed: Any, dtype: str, **fields: Any) -> Program:
    """A few instructions again and again: on rows of their own and on inputs that move on or do
    not, alone and in lists; between others."""
    rng = random.Random(f"{seed}/{dtype}")
    maker = Maker(rng, rng.choice(WIDTHS))
    space, count = rng.choice((S, L, L)), rng.randint(9, 12)
    maker.map(space)
    first, before = len(maker.instructions), (*maker.rows,)
    for _ in range(rng.randint(2, 4)):
        getattr(maker, rng.choice(MOVING))(space)
    body = maker.instructions[first:]
    made = [maker.rows[k] - before[k] for k in (S, L)]
    steps = {id(x): rng.choice((0, 1)) for i in body for x in i.operands if x is not None}

    def further(x: View | None, t: int) -> View | None:
        if x is None:
            return None
        rows = maker.lists(exact=False).rows(x)
        places = np.where(rows < 0, ~rows, rows)
        step = steps.get(id(x), 0) * (places.max() + count < maker.inputs)
        places = places + np.where(places >= before[x.space], t * made[x.space], t * step)
        if x.listed:
            return maker.listed(x.space, np.where(rows < 0, ~places, places))
        return x._replace(first=int(places[0]))

    for t in range(1, count):
        for i in body:
            out = i.out._replace(first=i.out.first + t * made[i.out.space])
            maker.instructions.append(
                i._replace(out=out, operands=tuple(further(x, t) for x in i.operands))
            )
    for k in (S, L):
        maker.rows[k] += (count - 1) * made[k]
    last = range(before[space], maker.rows[space])
    if last:  # so that something arrives at each
        total = maker.listed(space, last)
        maker.add("dot", maker.new(space, 1), None, None, total, shape=(0, len(last)))
    return maker.function(dtype, hot=rng.random() < 0.7, **fields)
