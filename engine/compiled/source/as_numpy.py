"""A derived function as the text of a function in NumPy."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from engine.compiled.source.derive import Derived, Named
from engine.compiled.writing.algebra import LANES, Expr, Shape, named, names_in
from engine.compiled.writing.arrays import Statement
from engine.compiled.writing.formulas import (
    PRIME,
    derivative,
    forward,
    helper_of,
    indicator,
    unprimed,
)
from engine.compiled.writing.writer import ATOM, MATMUL, POWER, PRODUCT, SIGN, SUM, Writer
from engine.ops import TABLE

_WIDE = 8  # literal numbers in a line; more have a name of their own
_INFIX = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "pow": ("**", POWER),
}


def ufunc_of(row: str) -> str | None:
    """NumPy's function for a row, if it has one that gives floats."""
    for name in (row, *TABLE[row].aliases):
        f = getattr(np, name, None)
        if (
            isinstance(f, np.ufunc)
            and f.nin == TABLE[row].arity
            and "d->d" in "".join(t[-4:] for t in f.types if t.endswith("->d"))
        ):
            return f"np.{name}"
    return None


class NumpyText(Writer):
    """Writes expressions, and remembers which helpers and literals these need."""

    def __init__(self) -> None:
        self.helpers: dict[str, str] = {}  # in the order in which they must be defined
        self.literals: dict[str, str] = {}  # by their text
        self.uses_math = self.uses_special = False

    # --- expressions ---

    def _name(self, e: Expr) -> tuple[str, int]:
        return str(e.parts[0]), ATOM

    def _number(self, e: Expr) -> tuple[str, int]:
        written = number_text(e.parts[0])
        return written, SIGN if written.startswith("-") else ATOM

    def _array(self, e: Expr) -> tuple[str, int]:
        literal = f"np.array({self._list([number_text(x) for x in e.parts])})"
        if len(e.shape) > 1:
            literal += f".reshape({self.shape(e.shape)})"
        return literal, ATOM

    def _call(self, e: Expr) -> tuple[str, int]:
        row, *args = e.parts
        if row in _INFIX:
            sign, binds = _INFIX[row]
            right = binds + (row in ("sub", "div"))
            left = binds + (row == "pow")
            texts = [self._factor(args[0], left, row), self._factor(args[1], right, row)]
            if row == "mul" and all(self._test(arg) for arg in args):
                texts[1] = self.text(args[1])
            return f"{texts[0]} {sign} {texts[1]}", binds
        if row == "neg":
            return f"-{self.text(args[0], PRODUCT)}", SIGN
        if row == "square":
            return f"{self.text(args[0], POWER + 1)} ** 2", POWER
        if row == "where":
            test = self._test(args[0]) or self.text(args[0])
            return f"np.where({test}, {self.text(args[1])}, {self.text(args[2])})", ATOM
        if self._test(e):
            return f"np.where({self._test(e)}, 1.0, 0.0)", ATOM
        name = self.function(row)
        return f"{name}({', '.join(self.text(arg) for arg in args)})", ATOM

    def _factor(self, e: Expr, above: int, row: str) -> str:
        """An operand; a comparison needs no more than parentheses where it is multiplied."""
        test = self._test(e) if row == "mul" else ""
        return f"({test})" if test else self.text(e, above)

    def _test(self, e: Expr) -> str:
        """The comparison that an expression is, if it is one."""
        if e.kind == "compare":
            sign, x, y = e.parts
            return f"{self.text(x, SUM)} {sign} {self.text(y, SUM)}"
        found = indicator(e.parts[0], e.operands) if e.kind == "call" else None
        return "" if found is None else self._test(found)

    def _compare(self, e: Expr) -> tuple[str, int]:
        return f"np.where({self._test(e)}, 1.0, 0.0)", ATOM

    def _matmul(self, e: Expr) -> tuple[str, int]:
        a, b = e.parts
        left = self.text(a, MATMUL if a.kind == "matmul" else POWER)
        return f"{left} @ {self.text(b, POWER)}", MATMUL

    def _contract(self, e: Expr) -> tuple[str, int]:
        a, b, (left, right) = e.parts
        axes = (left[0], right[0]) if len(left) == 1 else (left, right)
        return f"np.tensordot({self.text(a)}, {self.text(b)}, axes={axes})", ATOM

    def _outer(self, e: Expr) -> tuple[str, int]:
        return f"np.outer({', '.join(self.text(x) for x in e.parts)})", ATOM

    def _sum(self, e: Expr) -> tuple[str, int]:
        return self._reduced("sum", e), ATOM

    def _max(self, e: Expr) -> tuple[str, int]:
        return self._reduced("max", e), ATOM

    def _reduced(self, function: str, e: Expr) -> str:
        operand, axes = e.parts
        if len(axes) == len(operand.shape):
            return f"np.{function}({self.text(operand)})"
        axis = axes[0] if len(axes) == 1 else axes
        return f"np.{function}({self.text(operand)}, axis={axis})"

    def _index(self, e: Expr) -> tuple[str, int]:
        operand, selection = e.parts
        return f"{self.text(operand, ATOM)}[{self.selection(selection)}]", ATOM

    def listed(self, places: Sequence[int]) -> str:
        """A list; a long one has a name."""
        return self._list([*map(str, places)])

    def _reshape(self, e: Expr) -> tuple[str, int]:
        return f"{self.text(e.parts[0], ATOM)}.reshape({self.shape(e.shape)})", ATOM

    def _move(self, e: Expr) -> tuple[str, int]:
        operand, axes = e.parts
        if axes == (1, 0):
            return f"{self.text(operand, ATOM)}.T", ATOM
        return f"np.transpose({self.text(operand)}, {axes})", ATOM

    def _full(self, e: Expr) -> tuple[str, int]:
        shape = self.shape(e.shape)
        shape = f"({shape}{',' if len(e.shape) == 1 else ''})"
        return f"np.broadcast_to({self.text(e.parts[0])}, {shape})", ATOM

    def _join(self, e: Expr) -> tuple[str, int]:
        if all(self._is_row(part) for part in e.parts):
            return f"np.stack([{', '.join(self.text(p.parts[0]) for p in e.parts)}])", ATOM
        return f"np.concatenate([{', '.join(map(self.text, e.parts))}])", ATOM

    def _is_row(self, e: Expr) -> bool:
        return e.kind == "index" and tuple(e.parts[1]) == (None,)

    def _zeros(self, e: Expr) -> tuple[str, int]:
        shape = self.shape(e.shape)
        return f"np.{e.kind}({f'({shape})' if len(e.shape) != 1 else shape})", ATOM

    _empty = _zeros

    def _step(self, e: Expr) -> tuple[str, int]:
        further, stride = e.parts
        t = f"{stride} * t" if stride > 1 else "t"
        return f"{t} + {further}" if further else t, SUM

    def _over(self, e: Expr) -> tuple[str, int]:
        term, count = e.parts
        return f"sum({self.text(term)} for t in range({count}))", ATOM

    def _copy(self, e: Expr) -> tuple[str, int]:
        operand, in_order = e.parts
        shown = operand if operand.shape == e.shape else Expr("full", (operand,), e.shape)
        if in_order:  # rows are added to it by a view of it as a list
            return f'np.array({self.text(shown)}, float, order="C")', ATOM
        if shown.kind in _NEW:
            return self.text(shown), 0
        return f"np.array({self.text(shown)}, float)", ATOM

    def _whole(self, e: Expr) -> tuple[str, int]:
        return f"np.int64({self.text(e.parts[0])})", ATOM

    def _lanes(self, e: Expr) -> tuple[str, int]:
        return f"np.arange({LANES})", ATOM

    def _lookup(self, e: Expr) -> tuple[str, int]:
        table, at, own = e.parts
        inside = self.text(at)
        if own:
            inside += ", :" * (len(table.shape) - 2) + f", np.arange({LANES})"
        return f"{self.text(table, ATOM)}[{inside}]", ATOM

    def shape(self, shape: Shape) -> str:
        """Lengths, with commas between them."""
        return ", ".join(map(str, shape))

    def _list(self, items: list[str]) -> str:
        written = f"[{', '.join(items)}]"
        if len(items) <= _WIDE:
            return written
        return self.literals.setdefault(written, f"LIST_{len(self.literals) + 1}")

    # --- helpers ---

    def function(self, name: str) -> str:
        """The name of the function that computes a row, or a primed one; it is defined if need
        be."""
        ufunc = ufunc_of(name) if name in TABLE else None
        if ufunc:
            return ufunc
        if name in TABLE and TABLE[name].family == "special":
            self.uses_special = True
            return f"special.{name}"
        helper = helper_of(name)
        if helper not in self.helpers:
            written = self._defined(name, unprimed(name)[0], helper)
            self.helpers[helper] = written
        return helper

    def _defined(self, name: str, row: str, helper: str) -> str:
        if PRIME in name:
            names, formula, uses_out = derivative(name)
            of = names[unprimed(name)[1]]
            lines = [f'"""The derivative of {row} by {of}."""']
            if uses_out:
                again = Expr("call", (row, *[named(n, ()) for n in names]), ())
                lines.append(f"out = {self.text(again)}")
        else:
            names, formula = forward(row)
            if formula.kind == "call" and formula.parts[0] == row:  # the C library's
                self.uses_math = True
                return f"{helper} = np.vectorize(math.{row}, otypes=[float])"
            lines = [f'"""{TABLE[row].doc}"""']
        lines.append(f"return {self.text(formula)}")
        body = textwrap.indent("\n".join(lines), "    ")
        return f"def {helper}({', '.join(names)}):\n{body}"

    # --- statements ---

    def lines(self, statements: Sequence[Statement]) -> Iterator[str]:
        """Statements, those of a loop within it."""
        for _, group in itertools.groupby(statements, key=lambda s: id(s.steps)):
            some = [*group]
            steps, indent = some[0].steps, ""
            if steps is not None:
                forward = f"range({len(steps)})"
                yield f"for t in {forward if steps.step > 0 else f'reversed({forward})'}:"
                indent = "    "
            yield from (indent + self._line(s) for s in some)

    def _line(self, s: Statement) -> str:
        target = self.text(s.target)
        if s.selection is None:
            return f"{target} = {self.text(s.expr)}"
        if s.flat:
            rest = s.target.shape[-1:] if s.target.shape[-1] == LANES else ()
            target += f".reshape({self.shape((-1, *rest))})"
        chosen = self.selection(s.selection)
        if not s.repeated:
            return f"{target}[{chosen}] {'=' if s.sets else '+='} {self.text(s.expr)}"
        if len(s.selection) > 1 and not isinstance(s.selection[0], Expr):
            chosen = f"({chosen})"
        return f"np.add.at({target}, {chosen}, {self.text(s.expr)})"


_NEW = ("call", "matmul", "contract", "outer", "sum", "join")  # never a view of another array


def number_text(x: float) -> str:
    """A number, without the point where it is whole."""
    if math.isnan(x) or math.isinf(x):
        return "np.nan" if math.isnan(x) else ("np.inf" if x > 0 else "-np.inf")
    return str(int(x)) if x == int(x) and abs(x) < 1e15 and repr(x) != "-0.0" else repr(x)


def numpy_text(derived: Derived, title: str, returns: str, shape: tuple[int, ...] | None) -> str:
    """The whole module: imports, helpers, and the function."""
    writer = NumpyText()
    body: list[str] = []
    batched = [each for each in derived.inputs if each.space]
    if batched:
        body.append(f"{LANES} = len({batched[0].name})")
        body += [
            f"{each.name} = {_columns(each)}  # one column an example"
            for each in batched
            if each.layout
        ]
    results = dict(derived.gradients)
    forward_ends = _forward_ends(derived)
    body += writer.lines(derived.statements[:forward_ends])
    back = [*writer.lines(derived.statements[forward_ends:])]
    body += [_guard_line(guard, writer) for guard in derived.guards]
    body += [""] * bool(results and back)
    body += back
    if shape is not None:
        value = f"[{', '.join(_lane_full(writer, e, bool(batched)) for e in derived.outputs)}]"
        stacked = f"np.stack({value}, axis=-1)"
        value = (
            f"{stacked}.reshape({', '.join(map(str, ((-1,) if batched else ()) + shape))})"
            if len(shape) != 1
            else stacked
        )
    else:
        value = writer.text(derived.value)
    if results:
        wanted = {each.name: each for each in derived.inputs}
        entries = [f'"{name}": {_rows_of(writer, e, wanted[name])}' for name, e in results.items()]
        body.append(f"return {value}, {{{', '.join(entries)}}}")
    else:
        body.append(f"return {value}")
    name = "value_and_gradient" if results else "value"
    doc = _docstring(derived, title, returns, bool(results), bool(batched))
    head = f"def {name}({', '.join(each.name for each in derived.inputs)}):"
    function = "\n".join(
        [head, textwrap.indent(doc, "    "), textwrap.indent("\n".join(body), "    ")]
    )
    literals = [f"{n} = {_wrapped(text)}" for text, n in writer.literals.items()]
    imports = ("import math\n\n" if writer.uses_math else "") + "import numpy as np"
    imports += "\nfrom scipy import special" if writer.uses_special else ""
    parts = [imports, *writer.helpers.values(), *literals, function]
    return "\n\n\n".join(parts) + "\n"


def _forward_ends(derived: Derived) -> int:
    """How many statements compute the result and what the guards look at."""
    looked_at = {name for guard in derived.guards for name in names_in(guard.expr)}
    ends = [
        k + 1
        for k, s in enumerate(derived.statements)
        if s.role == "cost" or s.target.parts[0] in looked_at
    ]
    end = max(ends, default=0 if derived.gradients else len(derived.statements))
    steps = [s.steps for s in derived.statements]
    while 0 < end < len(steps) and steps[end] is steps[end - 1] is not None:
        end += 1  # no loop is cut
    return end


def _lane_full(writer: NumpyText, e: Expr, batched: bool) -> str:
    if batched and e.shape != (LANES,):
        e = Expr("full", (e,), (LANES,))
    return writer.text(e)


def _columns(each: Named) -> str:
    if len(each.layout) == 1:
        return f"{each.name}.T"
    return f"np.moveaxis({each.name}, 0, -1)"


def _rows_of(writer: NumpyText, e: Expr, each: Named) -> str:
    """A gradient as it is returned: examples along the first axis."""
    text = writer.text(e)
    if (each.space or each.split) and each.layout:
        return f"{text}.T" if len(each.layout) == 1 else f"np.moveaxis({text}, -1, 0)"
    return text


def _guard_line(guard: Any, writer: NumpyText) -> str:
    e = guard.expr
    if guard.length:
        low, high = (
            f"-{guard.length} <= {writer.text(e, SUM)}",
            f"{writer.text(e, SUM)} < {guard.length}",
        )
        return f'assert np.all(({low}) & ({high})), "an index out of range"'
    test = f"{writer.text(e, SUM)} == {number_text(guard.number)}"
    return f'assert np.all({test}), "these numbers take another path"'


def _docstring(derived: Derived, title: str, returns: str, gradient: bool, batched: bool) -> str:
    shapes = []
    for each in derived.inputs:
        shape = ((LANES,) if each.space else ()) + each.layout
        written = f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(map(str, shape))})"
        shapes.append(f"{each.name} {written}" if shape else f"{each.name} one number")
    names = list(derived.gradients)
    first = f"Return {title}{returns}" + (", and its gradient." if gradient else ".")
    about = [f"Arrays: {', '.join(shapes)}."]
    if batched:
        about.append(f"Inside, {LANES} examples are columns.")
    if gradient and names:
        about.append("dx stands for the derivative of the result by x, delta for that by z.")
    about.append(
        "What an operation did not choose gets 0 here, which is multiplied on like any number: "
        "against inf or nan that is nan, where gradloom has 0."
    )
    text = "\n".join(textwrap.wrap(" ".join(about), 92))
    return f'"""{first}\n\n{text}\n"""'


def _wrapped(literal: str) -> str:
    return "\n".join(textwrap.wrap(literal, 96, subsequent_indent="    ", break_on_hyphens=False))
