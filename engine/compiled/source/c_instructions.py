"""Instructions as statements in C99, for one example.

Rows of S and L, and their adjoints, are the arrays s, l, ds and dl. Each row of the table of
instructions has a method that writes it down; adjoints follow policy 3 step by step: -0.0 says that
nothing has arrived, and `chain` passes it on.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.blocks import ADJOINT, TRANSPOSED, ZERO, Instruction, L, Lists, View
from engine.compiled.instructions import ROWS
from engine.compiled.source.algebra import Expr, named, number
from engine.compiled.source.c_formulas import PRODUCT, SUM, Expressions
from engine.compiled.source.plain import singles
from engine.ops import TABLE

_FEW = 4  # statements up to which a loop is written out; of terms in all, four times as many


class Index(NamedTuple):
    """A place: a number, plus what loop variables say."""

    first: int
    rest: str = ""

    def __str__(self) -> str:
        parts = [self.rest] * bool(self.rest) + [str(self.first)] * bool(
            self.first or not self.rest
        )
        return " + ".join(reversed(parts))


_Var = int | str  # of a loop: 0 where it has one round


def at(*terms: tuple[int, _Var]) -> Index:
    """The sum of products of strides and variables."""
    first = sum(stride * var for stride, var in terms if isinstance(var, int))
    rest = [
        var if stride == 1 else f"{stride} * {var}" for stride, var in terms if isinstance(var, str)
    ]
    return Index(first, " + ".join(rest))


class Section:
    """Instructions as the body of a function, and which arrays it reads and writes."""

    def __init__(self, e: Expressions, lists: Lists, steps: Any) -> None:
        self.e, self.lists, self.steps = e, lists, steps
        self.lines: list[str] = []
        self.written: set[str] = set()
        self.draws = self.checks = False

    def append(self, i: Instruction) -> None:
        """Write an instruction down."""
        before = len(self.lines)
        getattr(self, f"_{i.kind}")(i)
        if len(self.lines) > before + 1:
            title = ROWS[i.kind].title(self.lists, i).replace(" × lanes", "").replace("lanes", "1")
            self.lines.insert(before, f"/* {title} */")

    def function(self, name: str) -> str:
        """The definition."""
        body = self.lines + (["return 0;"] if self.checks else [])
        given = [f"{'' if w else 'const '}{self.e.real} *{x}" for x, w in self._given()]
        if self.draws:
            given += [f"unsigned long long {x}" for x in ("seed", "step", "example")]
        text = textwrap.indent("\n".join(body), "    ")
        kind = "int" if self.checks else "void"
        return f"static {kind} {name}({', '.join(given)})\n{{\n{text}\n}}"

    def call(self, name: str, example: str) -> str:
        """How it is called."""
        draws = ["seed", "step", example] if self.draws else []
        return f"{name}({', '.join([*[x for x, _ in self._given()], *draws])})"

    def _given(self) -> list[tuple[str, bool]]:
        """The arrays that it is about, and whether it writes to them."""
        text = "\n".join(self.lines)
        found = [x for x in ("s", "l", "ds", "dl") if re.search(rf"\b{x}\b[^:]", text)]
        return [(x, x in self.written) for x in found]

    # --- rows ---

    def _array(self, space: int) -> str:
        return ("s", "l", "ds", "dl")[space]

    def _place(self, view: View, k: Index) -> tuple[str, bool]:
        """The place of a row in its array, and whether it is said by a list with negative ones."""
        if not view.listed:
            return str(Index(view.first + k.first, k.rest)), False
        rows = self.lists.rows(view).tolist()
        if not k.rest:
            return str(rows[k.first]), rows[k.first] < 0
        if len({*rows}) == 1 and rows[0] >= 0:
            return str(rows[0]), False
        return f"{self.e.table(rows)}[{k}]", min(rows) < 0

    def _read(self, view: View | None, k: Index) -> Expr:
        """Row k of a view."""
        assert view is not None
        place, signed = self._place(view, k)
        if not k.rest:
            row = max(int(place), ~int(place))
            constants = self.lists.constants[view.space] if view.space <= L else {}
            known = row in constants
            x = number(constants[row]) if known else self._cell(view.space, str(row))
            return Expr("call", ("neg", x), ()) if signed else x
        if signed:
            return named(f"{self.e.helper('signed_row')}({self._array(view.space)}, {place})", ())
        return self._cell(view.space, place)

    def _cell(self, space: int, place: str) -> Expr:
        return named(f"{self._array(space)}[{place}]", ())

    def _write(self, view: View, k: Index, text: str, adds: bool = False) -> str:
        """A statement: row k of a view is something, or has it added."""
        place, signed = self._place(view, k)
        array = self._array(view.space)
        self.written.add(array)
        if signed and k.rest:
            self.e.helper("chain")
            name = self.e.helper("add_to_row" if adds else "set_row")
            return f"{name}({array}, {place}, {text});"
        if signed:
            place, text = str(~int(place)), self.e.chain(text, number(-1.0))
        return f"{array}[{place}] {'+=' if adds else '='} {text};"

    def _text(self, view: View | None, k: Index, above: int = 0) -> str:
        return self.e.text(self._read(view, k), above)

    def _times(self, a: View | None, j: Index, b: View | None, k: Index) -> str:
        return f"{self._text(a, j, PRODUCT)} * {self._text(b, k, PRODUCT + 1)}"

    # --- loops ---

    def _each(
        self, var: str, count: int, body: Callable[[_Var], list[str]], few: int = _FEW
    ) -> list[str]:
        """Statements for all values of a variable."""
        if count <= few:
            return [line for k in range(count) for line in body(k)]
        lines = body(var)
        head = f"for (int {var} = 0; {var} < {count}; {var}++)"
        inside = [f"    {line}" for line in lines]
        if len(lines) == 1 or (
            lines[0].startswith("for") and all(line.startswith((" ", "}")) for line in lines[1:])
        ):
            return [head, *inside]
        if (lines[0], lines.index("}") if "}" in lines else -1) == ("{", len(lines) - 1):
            return [f"{head} {{", *lines[1:]]
        return [f"{head} {{", *inside, "}"]

    def _sum(
        self,
        begin: list[str],
        terms: list[tuple[int, Callable[[_Var], str]]],
        put: Callable[[str], str],
    ) -> list[str]:
        """A sum of some texts and of terms, so many of each kind; `put` says where it goes."""
        if sum(count for count, _ in terms) <= 2 * _FEW:
            parts = begin + [term(j) for count, term in terms for j in range(count)]
            return [put(" + ".join(parts).replace("+ -", "- ") if parts else self.e.literal(-0.0))]
        real, start = self.e.real, " + ".join(begin) or self.e.literal(-0.0)
        lines = [f"{real} y = {start};"]
        for count, term in terms:
            lines += self._each("j", count, lambda j, term=term: [f"y += {term(j)};"], 1)  # type: ignore[misc]
        return _block([*lines, put("y")])

    # --- element by element ---

    def _map(self, i: Instruction) -> None:
        def one(k: _Var) -> list[str]:
            operands = [self._read(x, at((1, k))) for x in i.operands]
            return [
                self._write(i.out, at((1, k)), self.e.text(Expr("call", (i.name, *operands), ())))
            ]

        self.lines += self._each("i", i.out.count, one)

    def _edge(self, i: Instruction) -> None:
        def one(k: _Var) -> list[str]:
            g, *operands, out = (self._read(x, at((1, k))) for x in i.operands)
            y = self.e.passed(i.name, i.shape[0], self.e.text(g), operands, out)
            return [self._write(i.out, at((1, k)), y, i.adds)]

        self.lines += self._each("i", i.out.count, one)

    def _segment(self, i: Instruction) -> None:
        for each in singles(i, self.lists, self.steps):
            getattr(self, f"_{each.kind}")(each)

    _segment_back = _segment

    # --- loops: the rows of a body, iteration by iteration ---

    def _loop(self, i: Instruction) -> None:
        first, total, period = i.shape
        body = [[rows, *operands] for rows, operands in self._columns(first, total, period)]
        names = self._names(i)

        def one(t: _Var) -> list[str]:
            lines = []
            for name, columns in zip(names, body, strict=True):
                out, *operands = (self._moving(column, t) for column in columns)
                given = [self._number(i.out.space, x) for x in operands]
                text = self.e.text(Expr("call", (name, *given), ()))
                lines.append(self._set(i.out.space, out, text))
            return lines

        self.lines += self._each("t", total // period, one)

    def _loop_back(self, i: Instruction) -> None:
        """Iterations from the last to the first; those of which other steps are told are loops of
        their own, or written out where they are few."""
        first, total, period = i.shape[:3]
        steps = np.array(self.steps[first : first + total]).reshape(-1, period)[::-1]
        changes = np.flatnonzero((steps[1:] != steps[:-1]).any(axis=1)) + 1
        names, count = self._names(i), len(steps)
        for begin, end in itertools.pairwise([0, *changes.tolist(), count]):
            low = first + (count - end) * period
            body = [
                [rows[::-1], *[x[::-1] for x in operands]]
                for rows, operands in self._columns(low, (end - begin) * period, period)
            ]
            told = [int(x) for x in steps[begin]]

            def one(t: _Var, body: Any = body, told: Any = told) -> list[str]:
                lines = []
                for p in reversed(range(period)):
                    out, *operands = (self._moving(column, t) for column in body[p])
                    lines += self._edges(i.out.space & L, names[p], out, operands, told[p])
                return lines

            self.lines += self._each("t", end - begin, one)

    def _edges(
        self, space: int, name: str, out: Index, operands: list[Index], steps: int
    ) -> list[str]:
        """What an operation passes on to its operands."""
        lines = []
        g = self.e.text(self._number(space | ADJOINT, out))
        numbers = [self._number(space, x) for x in operands]
        for j, x in enumerate(operands):
            if steps >> j & 1:
                y = self.e.passed(name, j, g, numbers, self._number(space, out))
                lines.append(self._set(space | ADJOINT, x, y, bool(steps >> j & 8)))
        return lines

    def _names(self, i: Instruction) -> list[str]:
        """The operations of a loop's body."""
        table = list(TABLE)
        first, period = i.shape[0], i.shape[2]
        return [table[code] for code in self.lists.segments.code[first : first + period]]

    def _columns(self, first: int, total: int, period: int) -> list[tuple[Any, list[Any]]]:
        """By operation of a body: the rows of its result and of its operands, by iteration."""
        s, at_, shape = self.lists.segments, slice(first, first + total), (-1, period)
        out, *columns = (x[at_].reshape(shape) for x in (s.out, s.a, s.b, s.c))
        arities = [op.arity for op in TABLE.values()]
        return [
            (out[:, p], [x[:, p] for x in columns[: arities[s.code[first + p]]]])
            for p in range(period)
        ]

    def _moving(self, rows: Any, t: _Var) -> Index:
        """The row in an iteration: one for all, evenly apart, or by a table."""
        if isinstance(t, int):
            return Index(int(rows[t]))
        steps = np.diff(rows)
        if not (steps == steps[0]).all():
            return Index(0, f"{self.e.table(rows.tolist())}[{t}]")
        step = int(steps[0])
        if step < 0:
            return Index(0, f"{rows[0]} - {-step} * {t}" if step < -1 else f"{rows[0]} - {t}")
        return at((int(rows[0]), 1), (step, t)) if step else Index(int(rows[0]))

    def _number(self, space: int, row: Index) -> Expr:
        constants = {} if row.rest or space > L else self.lists.constants[space]
        known = constants.get(row.first)
        return self._cell(space, str(row)) if known is None else number(known)

    def _set(self, space: int, row: Index, text: str, adds: bool = False) -> str:
        array = self._array(space)
        self.written.add(array)
        return f"{array}[{row}] {'+=' if adds else '='} {text};"

    # --- moving rows ---

    def _gather(self, i: Instruction) -> None:
        self.lines += self._each(
            "i",
            i.out.count,
            lambda k: [self._write(i.out, at((1, k)), self._text(i.operands[0], at((1, k))))],
        )

    _broadcast = _gather

    def _scatter(self, i: Instruction) -> None:
        g, factors = i.operand(0), i.operands[1] if len(i.operands) > 1 else None
        inner = i.shape[0] if i.shape else 1

        def target(k: _Var, j: _Var) -> list[str]:
            place = at((inner, k), (1, j))
            y = self._text(g, at((1, k)))
            y = y if factors is None else self.e.chain(y, self._read(factors, place))
            return [self._write(i.out, place, y, i.adds)]

        few = _FEW if g.count <= _FEW else 1
        self.lines += self._each(
            "i", g.count, lambda k: self._each("j", inner, lambda j: target(k, j), few)
        )

    def _total(self, i: Instruction) -> None:
        g, n = i.operand(0), i.out.count
        per = g.count // n
        self.lines += self._each(
            "i",
            n,
            lambda k: self._sum(
                [],
                [(per, lambda j: self._text(g, at((per, k), (1, j)), SUM + 1))],
                lambda y: self._write(i.out, at((1, k)), y, i.adds),
            ),
        )

    def _fill(self, i: Instruction) -> None:
        x = self.e.literal(i.number)
        self.lines += self._each("i", i.out.count, lambda k: [self._write(i.out, at((1, k)), x)])

    def _take(self, i: Instruction) -> None:
        n, table = i.out.count, i.operand(1)
        self._look_up(i, table, n, lambda k, t: self._write(i.out, k, self._text(table, t)))

    def _put(self, i: Instruction) -> None:
        g = i.operand(1)
        self._look_up(
            i, i.out, g.count, lambda k, t: self._write(i.out, t, self._text(g, k), adds=True)
        )

    def _look_up(
        self, i: Instruction, table: View, n: int, move: Callable[[Index, Index], str]
    ) -> None:
        """Statements for the numbers of the entry that an index chooses."""
        index, length = self._text(i.operands[0], at()), table.count // n
        moves = self._each("i", n, lambda k: [move(at((1, k)), at((n, "t"), (1, k)))])
        head = f"const int t = {self.e.helper('entry')}({index}, {length});"
        self.lines += _block([head, *moves])

    def _max(self, i: Instruction) -> None:
        source, larger = i.operand(0), self.e.function("maximum")
        inner = i.shape[0]

        def one(k: _Var) -> list[str]:
            first = f"{self.e.real} y = {self._text(source, at((inner, k)))};"
            more = self._each(
                "j",
                inner - 1,
                lambda j: [
                    f"y = {larger}(y, {self._text(source, at((inner, k), (1, j), (1, 1)))});"
                ],
                1,
            )
            return _block([first, *more, put(k)])

        def put(k: _Var) -> str:
            return self._write(i.out, at((1, k)), "y")

        self.lines += self._each("i", i.out.count, one)

    def _draw(self, i: Instruction) -> None:
        self.draws = True
        draw = self.e.helper("draw")
        for k in range(i.out.count):
            call = int(self.lists.pool[i.shape[0] + k])
            self.lines.append(
                self._write(i.out, at((1, k)), f"{draw}(seed, step, example, {call}ULL)")
            )

    def _guard(self, i: Instruction) -> None:
        """Written by `check`."""

    def check(self, row: View, order: int, length: int, x: float) -> None:
        """Return where a row is not what the trace had."""
        self.checks = True
        given = self._text(row, at())
        test = "is_index" if length else "same"
        self.e.helper(test)
        test += f"({given}, {length if length else self.e.literal(x)})"
        self.lines += [f"if (!{test})", f"    return {order + 1};"]

    # --- sums of products ---

    def _product(self, i: Instruction) -> None:
        n, inner, cols = i.shape
        matrix, block, bias, init = i.operands

        def one(k: _Var, c: _Var) -> list[str]:
            begin = [self.e.literal(0.0)] * bool(i.flags & ZERO)
            begin += [] if bias is None else [self._text(bias, at((1, k)), SUM)]
            begin += [] if init is None else [self._text(init, at((cols, k), (1, c)), SUM + 1)]

            def term(j: _Var) -> str:
                weight = at((n, j), (1, k)) if i.flags & TRANSPOSED else at((inner, k), (1, j))
                other = at((cols, j), (1, c))
                if i.out.space > L:
                    return self.e.chain(self._text(block, other), self._read(matrix, weight))
                return self._times(matrix, weight, block, other)

            place = at((cols, k), (1, c))
            return self._sum(begin, [(inner, term)], lambda y: self._write(i.out, place, y, i.adds))

        few = 1 if n * cols * inner > 4 * _FEW else n * cols
        self.lines += self._each(
            "i", n, lambda k: self._each("c", cols, lambda c: one(k, c), few), few
        )

    def _outer(self, i: Instruction) -> None:
        (n, inner, cols), (a, b) = i.shape, i.operands

        def one(k: _Var, j: _Var) -> list[str]:
            def term(c: _Var) -> str:
                g = self._text(a, at((cols, k), (1, c)))
                return self.e.chain(g, self._read(b, at((cols, j), (1, c))))

            place = at((inner, k), (1, j))
            return self._sum([], [(cols, term)], lambda y: self._write(i.out, place, y, i.adds))

        few = 1 if n * cols * inner > 4 * _FEW else n * inner
        self.lines += self._each(
            "i", n, lambda k: self._each("h", inner, lambda j: one(k, j), few), few
        )

    def _dot(self, i: Instruction) -> None:
        (inner, cols), (left, right, single) = i.shape, i.operands

        def one(k: _Var) -> list[str]:
            def product(j: _Var) -> str:
                place = at((inner, k), (1, j))
                return self._times(left, place, right, place)

            terms: list[tuple[int, Callable[[_Var], str]]] = [
                (cols, lambda j: self._text(single, at((cols, k), (1, j)), SUM + 1)),
                (inner, product),
            ]
            begin = [self.e.literal(0.0)] * bool(i.flags & ZERO)
            return self._sum(begin, terms, lambda y: self._write(i.out, at((1, k)), y))

        few = i.out.count if i.out.count * (inner + cols) <= 4 * _FEW else 1
        self.lines += self._each("i", i.out.count, one, few)


def _block(lines: list[str]) -> list[str]:
    return ["{", *[f"    {line}" for line in lines], "}"]
