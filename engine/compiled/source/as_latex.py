"""A derived function as equations in LaTeX.

Elementwise products are ∘, sums name the axes that they run along (n: the examples), a bracket
with a comparison in it is 1 where that holds and 0 elsewhere. A loop is a recurrence: lines below
"for t = 0, …, n" are all done for one t, then for the next. A primed function is its derivative;
a line at the end says what it is. What an operation did not choose gets a 0 that is multiplied on,
which is gradloom's rule where all numbers are finite.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from engine.compiled.source.derive import Derived
from engine.compiled.writing.algebra import ALL, LANES, Expr, named
from engine.compiled.writing.arrays import Statement
from engine.compiled.writing.formulas import (
    PRIME,
    derivative,
    indicator,
    parameters,
    unprimed,
)
from engine.compiled.writing.writer import ATOM, MATMUL, POWER, PRODUCT, SUM, Writer
from engine.ops import TABLE

_SYMBOLS = {"delta": r"\delta", "theta": r"\theta"}
_SIGNS = {"<=": r"\le", ">=": r"\ge", "==": "=", "!=": r"\ne"}
# Of an operand in a row's `latex`: as a whole between brackets, and elsewhere.
_WITHIN = re.compile(r"(?<=[{(| ])#(\d)(?= ?\\right|[})|])")
_PLACE = re.compile(r"#(\d)")
_NUMBERED = re.compile(r"(delta|theta|[A-Za-z])(\d+)")
_AXES = "ijk"


class LatexText(Writer):
    """Writes expressions, in the symbols that names have."""

    comma, first = ",", "0"

    def __init__(self, symbols: dict[str, str]) -> None:
        self.symbols = symbols
        self.primes: dict[str, None] = {}  # whose definitions come at the end

    def grouped(self, written: str) -> str:
        """Parentheses, as high as what is in them."""
        high = any(part in written for part in (r"\frac", r"\sum", r"\begin", r"\left"))
        return rf"\left({written}\right)" if high else super().grouped(written)

    def _name(self, e: Expr) -> tuple[str, int]:
        return self.symbol(e.parts[0]), ATOM

    def symbol(self, name: str) -> str:
        """How a name is written."""
        found = self.symbols.get(name)
        if found is None:
            match = _NUMBERED.fullmatch(name)
            if match:
                found = f"{_SYMBOLS.get(match[1], match[1])}^{{({match[2]})}}"
            elif len(name) == 1:
                found = name
            else:
                written = name.replace("_", r"\_")
                found = _SYMBOLS.get(name) or rf"\mathrm{{{written}}}"
        return found

    def _number(self, e: Expr) -> tuple[str, int]:
        x = e.parts[0]
        if math.isnan(x) or math.isinf(x):
            return {"nan": r"\mathrm{nan}", "inf": r"\infty"}.get(str(x), r"-\infty"), ATOM
        binds = ATOM if x >= 0.0 else PRODUCT
        if x == int(x) and abs(x) < 1e9:
            return str(int(x)), binds
        below = round(1.0 / x)
        if below and abs(below) < 1000 and 1.0 / below == x:
            return rf"{'-' if x < 0 else ''}\frac{{1}}{{{abs(below)}}}", binds
        digits, _, power = f"{x:.6g}".partition("e")
        if not power:
            return digits, binds
        factor = "" if digits == "1" else rf"{digits} \cdot "
        return f"{factor}10^{{{int(power)}}}", PRODUCT

    def _array(self, e: Expr) -> tuple[str, int]:
        shown = [self._number(Expr("number", (x,), ()))[0] for x in e.parts[:6]]
        dots = [r"\dots"] * (len(e.parts) > 6)
        return rf"\left[{', '.join(shown + dots)}\right]", ATOM

    def _call(self, e: Expr) -> tuple[str, int]:
        row, *args = e.parts
        if row in ("add", "sub"):
            sign = "+" if row == "add" else "-"
            right = SUM + (row == "sub")
            return f"{self.text(args[0], SUM)} {sign} {self.text(args[1], right)}", SUM
        if row == "neg":
            return f"-{self.text(args[0], PRODUCT)}", SUM
        if row == "mul":
            a, b = (self.text(arg, PRODUCT) for arg in args)
            if b[0].isdigit():
                return rf"{a} \cdot {b}", PRODUCT
            plain = args[0].shape == () or args[1].shape == ()
            return (rf"{a} \, {b}" if plain else rf"{a} \circ {b}"), PRODUCT
        if row in ("square", "pow"):
            power = "2" if row == "square" else self.text(args[1])
            return f"{self._base(args[0])}^{{{power}}}", POWER
        if row == "where":
            yes, no = self.text(args[1]), self.text(args[2])
            test = self._holds(args[0])
            cases = rf"{yes} & \text{{if }} {test} \\ {no} & \text{{else}}"
            return rf"\begin{{cases}} {cases} \end{{cases}}", ATOM
        test_of = indicator(row, args)
        if test_of is not None:
            return rf"\left[{self._holds(test_of)}\right]", ATOM
        texts = [self.text(arg) for arg in args]
        pattern = TABLE[row].latex if row in TABLE else ""
        if "#" in pattern:
            pattern = _WITHIN.sub(lambda place: texts[int(place[1]) - 1], pattern)
            return _PLACE.sub(lambda place: self._base(args[int(place[1]) - 1]), pattern), ATOM
        return self.function(row) + self.grouped(", ".join(texts)), ATOM

    def _base(self, e: Expr) -> str:
        """What an exponent can be put on."""
        text = self.text(e, ATOM)
        return self.grouped(text) if text[-1] == "}" and "^" in text else text

    def _compare(self, e: Expr) -> tuple[str, int]:
        return rf"\left[{self._holds(e)}\right]", ATOM

    def _holds(self, e: Expr) -> str:
        """A condition."""
        if e.kind == "call" and e.parts[0] in TABLE:
            e = indicator(e.parts[0], list(e.operands)) or e
        if e.kind == "compare":
            sign, x, y = e.parts
            return f"{self.text(x)} {_SIGNS.get(sign, sign)} {self.text(y)}"
        return rf"{self.text(e)} \ne 0"

    def function(self, name: str) -> str:
        """How a row is written, or a primed one."""
        row, k = unprimed(name)
        written = TABLE[row].latex
        if not written or "#" in written:
            label = row.replace("_", r"\_")
            written = rf"\operatorname{{{label}}}"
        if PRIME not in name:
            return written
        self.primes[name] = None
        if TABLE[row].arity == 1:
            return written + "'"
        return rf"\partial_{{{parameters(row)[k]}}} {written}"

    def _matmul(self, e: Expr) -> tuple[str, int]:
        a, b = e.parts
        left = self.text(a, MATMUL if a.kind == "matmul" else POWER)
        return rf"{left} \, {self.text(b, POWER)}", MATMUL

    def _contract(self, e: Expr) -> tuple[str, int]:
        a, b, _ = e.parts
        return rf"{self.text(a, PRODUCT)} \cdot {self.text(b, PRODUCT)}", PRODUCT

    def _outer(self, e: Expr) -> tuple[str, int]:
        a, b = e.parts
        return rf"{self.text(a, PRODUCT)} \, {self._raised(b, _TOP)}", PRODUCT

    def _raised(self, e: Expr, mark: str) -> str:
        """An expression with a mark at its upper right."""
        written = self.text(e, ATOM)
        if written.endswith(")}") and e.kind == "name" and "^" in written:
            return f"{written[:-1]}{mark}}}"
        return f"{written}^{{{mark}}}"

    def _sum(self, e: Expr) -> tuple[str, int]:
        return self._along(r"\sum", e), PRODUCT

    def _max(self, e: Expr) -> tuple[str, int]:
        return self._along(r"\max", e), PRODUCT

    def _along(self, function: str, e: Expr) -> str:
        operand, axes = e.parts
        letters = ["n" if operand.shape[k] == LANES else _AXES[min(k, 2)] for k in axes]
        written = self.text(operand, PRODUCT)
        written = self.grouped(written) if written.startswith(r"\frac") else written
        if operand.kind == "name" and letters == ["n"]:
            written += "_{n}"
        return rf"{function}_{{{','.join(letters)}}} {written}"

    def _index(self, e: Expr) -> tuple[str, int]:
        operand, selection = e.parts
        chosen = [item for item in selection if item is not None]
        while chosen and chosen[-1] == ALL:
            chosen.pop()
        if not chosen:
            return getattr(self, "_" + operand.kind)(operand)  # type: ignore[no-any-return]
        written = self.text(operand, ATOM)
        written = self.grouped(written) if written.startswith(r"\frac") else written
        return f"{written}_{{{self.selection(chosen)}}}", ATOM

    def listed(self, places: Sequence[int]) -> str:
        """The first few of a list."""
        dots = r"\dots" if len(places) > 4 else ""
        return rf"[{','.join(map(str, places[:4]))}{dots}]"

    def _reshape(self, e: Expr) -> tuple[str, int]:
        return getattr(self, "_" + e.parts[0].kind)(e.parts[0])  # type: ignore[no-any-return]

    _full = _copy = _whole = _reshape

    def _move(self, e: Expr) -> tuple[str, int]:
        return self._raised(e.parts[0], _TOP), ATOM

    def _join(self, e: Expr) -> tuple[str, int]:
        rows = r" \\ ".join(map(self.text, e.parts))
        return rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}", ATOM

    def _zeros(self, e: Expr) -> tuple[str, int]:
        return "0", ATOM

    def _lanes(self, e: Expr) -> tuple[str, int]:
        return "n", ATOM

    def _lookup(self, e: Expr) -> tuple[str, int]:
        table, at, own = e.parts
        return f"{self.text(table, ATOM)}_{{{self.text(at)}{',n' if own else ''}}}", ATOM

    def _step(self, e: Expr) -> tuple[str, int]:
        further, stride = e.parts
        t = f"{stride if stride > 1 else ''}t"
        return f"{t}+{further}" if further else t, SUM

    def _over(self, e: Expr) -> tuple[str, int]:
        term, count = e.parts
        return rf"\sum_{{t=0}}^{{{count - 1}}} {self.text(term, PRODUCT)}", PRODUCT

    def definition(self, name: str) -> str:
        """The equation of a primed row."""
        row, _ = unprimed(name)
        names, formula, _ = derivative(name)
        again = Expr("call", (row, *[named(n, ()) for n in names]), ())
        self.symbols["out"] = self.text(again)
        arguments = ", ".join(map(self.symbol, names))
        return f"{self.function(name)}({arguments}) &= {self.text(formula)}"


_TOP = r"\top"


def latex_text(derived: Derived) -> str:
    """The equations, aligned."""
    symbols: dict[str, str] = {}
    writer = LatexText(symbols)
    for s in derived.statements:
        name = s.target.parts[0]
        if s.about is not None and name not in symbols and not _NUMBERED.fullmatch(name):
            about = s.about if s.about.kind == "name" else Expr("name", (name[1:],), ())
            symbols[name] = rf"\frac{{\partial C}}{{\partial {writer.symbol(about.parts[0])}}}"
    lines: list[str] = []
    steps = None
    for k, s in enumerate(derived.statements):
        if s.expr.kind == "empty":
            continue
        if s.steps is not None and s.steps is not steps:
            lines.append(rf"&\text{{for }} t = {s.steps[0]}, \dots, {s.steps[-1]}\text{{:}}")
        steps = s.steps
        lines.append(r"\quad " * (steps is not None) + _line(s, writer))
        if s.role == "cost" and k < len(derived.statements) - 1:
            lines[-1] += r" \\[6pt]"
    for k in range(len(lines) - 1):
        lines[k] += "" if lines[k].endswith("]") and r"\\[" in lines[k][-8:] else r" \\"
    if len(derived.outputs) > 1:
        results = [writer.text(e) for e in derived.outputs]
        lines = [line if line.endswith("\\") else line + r" \\" for line in lines]
        lines.append(rf"C &= \left({', '.join(results)}\right)")
    done: list[str] = []
    while len(done) < len(writer.primes):
        name = list(writer.primes)[len(done)]
        done.append(writer.definition(name))
    if done:
        lines[-1] += r" \\[6pt]"
        lines.append(" \\\\\n".join(done))
    return "\\begin{aligned}\n" + "\n".join(lines) + "\n\\end{aligned}"


def _line(s: Statement, writer: LatexText) -> str:
    target, sign = writer.text(s.target), "&="
    if s.selection is not None:
        sign = "&=" if s.sets else r"&\mathrel{+}="
        target = f"{target}_{{{writer.selection(list(s.selection))}}}"
        if s.target.parts[0] in writer.symbols:
            at = f"_{{{writer.selection(list(s.selection))}}}"
            target = rf"\left({writer.text(s.target)}\right){at}"
    return f"{target} {sign} {writer.text(s.expr)}"
