"""Instructions as statements in C99, for one example.

Rows of S and L, and their adjoints, are the arrays s, l, ds and dl. Each row of the table of
instructions says how it is written down (`Row.in_c`); adjoints follow policy 3 step by step: -0.0
says that nothing has arrived, and `chain` passes it on.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.compiled.blocks import Instruction, L, Lists, View
from engine.compiled.instructions import ROWS
from engine.compiled.writing.algebra import Expr, named, number
from engine.compiled.writing.c_formulas import FEW, Expressions, Index, Var, at, block
from engine.compiled.writing.writer import PRODUCT

_ARRAYS = ("s", "l", "ds", "dl")  # by space


class Section:
    """Instructions as the body of a function, and which arrays it reads and writes: what rows of
    the table see of them."""

    at = staticmethod(at)

    def __init__(self, e: Expressions, lists: Lists, steps: Any) -> None:
        self.e, self.lists, self.steps = e, lists, steps
        self.lines: list[str] = []
        self.written: set[str] = set()
        self.draws = self.checks = False

    def append(self, i: Instruction) -> None:
        """Write an instruction down, with its title."""
        before = len(self.lines)
        self.write_down(i)
        if len(self.lines) > before + 1:
            title = ROWS[i.kind].title(self.lists, i).replace(" × lanes", "").replace("lanes", "1")
            self.lines.insert(before, f"/* {title} */")

    def write_down(self, i: Instruction) -> None:
        """Write an instruction down."""
        ROWS[i.kind].in_c(self, i)

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
        found = [x for x in _ARRAYS if re.search(rf"\b{x}\b[^:]", text)]
        return [(x, x in self.written) for x in found]

    # --- rows ---

    def cell(self, space: int, row: Index) -> Expr:
        """The number of a row."""
        known = None if row.rest or space > L else self.lists.constants[space].get(row.first)
        return named(f"{_ARRAYS[space]}[{row}]", ()) if known is None else number(known)

    def set(self, space: int, row: Index, text: str, adds: bool = False) -> str:
        """A statement: a row is something, or has it added."""
        self.written.add(_ARRAYS[space])
        return f"{_ARRAYS[space]}[{row}] {'+=' if adds else '='} {text};"

    def moving(self, rows: Any, t: Var) -> Index:
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

    def _place(self, view: View, k: Index) -> tuple[Index, bool]:
        """The place of row k of a view, and whether that is a row's negative, or may be one where a
        table says it."""
        if not view.listed:
            return Index(view.first + k.first, k.rest), False
        rows = self.lists.rows(view).tolist()
        if not k.rest:
            row = rows[k.first]
            return Index(max(row, ~row)), row < 0
        if len({*rows}) == 1 and rows[0] >= 0:
            return Index(0, str(rows[0])), False
        return Index(0, f"{self.e.table(rows)}[{k}]"), min(rows) < 0

    def read(self, view: View | None, k: Index) -> Expr:
        """Row k of a view."""
        assert view is not None
        place, signed = self._place(view, k)
        if signed and place.rest:
            return named(f"{self.e.helper('signed_row')}({_ARRAYS[view.space]}, {place})", ())
        x = self.cell(view.space, place)
        return Expr("call", ("neg", x), ()) if signed else x

    def write(self, view: View, k: Index, text: str, adds: bool = False) -> str:
        """A statement: row k of a view is something, or has it added."""
        place, signed = self._place(view, k)
        if signed and place.rest:
            self.written.add(_ARRAYS[view.space])
            self.e.helper("chain")
            name = self.e.helper("add_to_row" if adds else "set_row")
            return f"{name}({_ARRAYS[view.space]}, {place}, {text});"
        text = self.e.chain(text, number(-1.0)) if signed else text
        return self.set(view.space, place, text, adds)

    def text(self, view: View | None, k: Index, above: int = 0) -> str:
        """Row k of a view, in parentheses where what is around it binds as tightly."""
        return self.e.text(self.read(view, k), above)

    def times(self, a: View | None, j: Index, b: View | None, k: Index) -> str:
        """The product of two rows."""
        return f"{self.text(a, j, PRODUCT)} * {self.text(b, k, PRODUCT + 1)}"

    # --- loops ---

    def each(
        self, var: str, count: int, body: Callable[[Var], list[str]], few: int = FEW
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

    def sum(
        self,
        begin: list[str],
        terms: Sequence[tuple[int, Callable[[Var], str]]],
        put: Callable[[str], str],
    ) -> list[str]:
        """A sum of some texts and of terms, so many of each kind; `put` says where it goes."""
        if sum(count for count, _ in terms) <= 2 * FEW:
            parts = begin + [term(j) for count, term in terms for j in range(count)]
            return [put(" + ".join(parts).replace("+ -", "- ") if parts else self.e.literal(-0.0))]
        real, start = self.e.real, " + ".join(begin) or self.e.literal(-0.0)
        lines = [f"{real} y = {start};"]
        for count, term in terms:
            lines += self.each("j", count, lambda j, term=term: [f"y += {term(j)};"], 1)  # type: ignore[misc]
        return block([*lines, put("y")])

    def row_by_row(self, out: View, text: Callable[[Index], str], adds: bool = False) -> None:
        """Statements for all rows of a view."""

        def one(k: Var) -> list[str]:
            return [self.write(out, at((1, k)), text(at((1, k))), adds)]

        self.lines += self.each("i", out.count, one)

    def check(self, row: View, order: int, length: int, x: float) -> None:
        """Return where a row is not what the trace had."""
        self.checks = True
        given = self.text(row, at())
        test = "is_index" if length else "same"
        self.e.helper(test)
        test += f"({given}, {length if length else self.e.literal(x)})"
        self.lines += [f"if (!{test})", f"    return {order + 1};"]
