"""A program as C99: a function of its value, and one of value and gradient.

The text needs <math.h> and <stddef.h> alone, and memory that the caller lends (`work`). Examples
are gone through one after the other, by functions that have the program's instructions, and those
of its adjoint.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from engine.compiled.adjoint import Backward
from engine.compiled.blocks import Instruction, L, Lists, S, View
from engine.compiled.lift import Blocks
from engine.compiled.source.c_statements import Section
from engine.compiled.source.derive import Named
from engine.compiled.writing.c_formulas import Expressions, Index, at

_LISTED = 12  # checks that the comment tells
# What an argument can't be called.
_RESERVED = """
auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef union unsigned
void volatile while main errno N NAN INFINITY k i s l ds dl seed step work result status failed
size_t value value_and_gradient WORK_SIZE forward_shared forward_lanes backward_shared
backward_lanes
"""


class Subject(NamedTuple):
    """What a text is about."""

    blocks: Blocks
    instructions: tuple[Sequence[Instruction], Sequence[Instruction]]
    lists: Lists
    back: Backward | None  # without one there is no gradient
    inputs: list[Named]
    reduce: str | None
    batched: bool
    real: str  # double or float
    title: str
    lines: list[str]  # where in the user's code each check stands


def c_text(program: Subject) -> str:
    """The whole text. Raises TypeError for rows of the table that C has no words for."""
    return _Text(program).text()


class _Text:
    def __init__(self, program: Subject) -> None:
        self.p, self.e = program, Expressions(program.real)
        self.sections: dict[str, Section] = {}
        p = program
        for space, name in ((S, "forward_shared"), (L, "forward_lanes")):
            checks = [c for c in p.blocks.checks if c.space == space]
            made = self._section(name, p.instructions[space])
            for check in sorted(checks, key=lambda c: c.order):
                made.check(View(space, check.row, 1), check.order, check.length, check.number)
        self.begin = Section(self.e, p.lists, ())
        if p.back is not None:
            for i in p.back.begin:
                self.begin.append(i)
            self._section("backward_lanes", p.back.lanes)
            self._section("backward_shared", p.back.shared)
        self.names: dict[str, str] = {}
        for each in p.inputs:
            self.names[each.name] = _identifier(each.name, self.names.values())
        for each in p.inputs:
            if each.wanted:
                self.names[f"d {each.name}"] = _identifier(f"d{each.name}", self.names.values())

    def _section(self, name: str, instructions: Sequence[Instruction]) -> Section:
        back = self.p.back
        made = Section(self.e, self.p.lists, () if back is None else back.steps)
        for i in instructions:
            made.append(i)
        self.sections[name] = made
        return made

    def text(self) -> str:
        p, e = self.p, self.e
        size = 2 * sum(p.blocks.rows)
        functions = [self._function("value", gradient=False)]
        if p.back is not None:
            functions.append(self._function("value_and_gradient", gradient=True))
        tables = [
            "\n".join(
                textwrap.wrap(
                    f"static const int {name}[] = {{{', '.join(map(str, rows))}}};",
                    96,
                    subsequent_indent="    ",
                )
            )
            for rows, name in e.tables.items()
        ]
        sections = [s.function(name) for name, s in self.sections.items() if s.lines]
        head = "#include <math.h>\n#include <stddef.h>"
        parts = [
            self._about() + "\n" + head,
            f"const size_t WORK_SIZE = {max(1, size)};",
            *(["\n".join(tables)] if tables else []),
            *e.helpers.values(),
            *sections,
            *functions,
        ]
        return "\n\n".join(parts) + "\n"

    def _about(self) -> str:
        """The comment that the text begins with."""
        p = self.p
        count = "N" if p.batched else ""
        returns = {"sum": ", summed over N examples", "mean": ", the mean of N examples"}
        of_each = " of each of N examples" if p.batched else ""
        shapes = [
            f"{self.names[each.name]} {shape}".strip()
            for each in p.inputs
            for shape in [" x ".join([*([count] * each.space), *map(str, each.layout)])]
        ]
        checked = (
            ", or where the numbers do not take the path that was traced, k > 0 for check number "
            "k, the first that failed: then the result is NAN, and no gradient is valid"
        )
        text = [
            f"{p.title}{returns.get(p.reduce or '', of_each)}, in C99. The functions return 0"
            f"{checked * bool(p.blocks.checks)}. `work` is memory for WORK_SIZE numbers, `result` "
            f"for {self._results()}."
        ]
        if shapes:
            text.append(f"Arrays lie by rows: {', '.join(shapes)}.")
        if p.back is not None:
            text.append(
                "Each gradient is as large as what it is of. To an operand that was not chosen "
                "nothing passes, which an adjoint says by -0.0."
            )
        checks = sorted(p.blocks.checks, key=lambda c: c.order)
        for check in checks[:_LISTED]:
            says = f"an index below {check.length}" if check.length else f"{check.number:g}"
            text.append(f"Check {check.order + 1}: {says}, {p.lines[check.order]}")
        if len(checks) > _LISTED:
            text.append(f"and {len(checks) - _LISTED} more checks.")
        lines = [line for part in text for line in textwrap.wrap(part.replace("*/", "* /"), 94)]
        return "/* " + "\n * ".join(lines) + "\n */"

    def _results(self) -> str:
        many = len(self.p.blocks.outputs)
        each = f"{many} numbers" if many > 1 else "one number"
        return f"{each} an example" if self._by_example() else each

    def _by_example(self) -> bool:
        return self.p.batched and self.p.reduce is None

    def _function(self, name: str, gradient: bool) -> str:
        body = [*self._body(gradient)]
        given = ["size_t N"] if self.p.batched else []
        for each in self.p.inputs:
            pointer = "*" if each.layout or each.space else ""
            given.append(
                f"{'const ' * bool(pointer)}{self.e.real} {pointer}{self.names[each.name]}"
            )
        if any(s.draws for s in self.sections.values()):
            given += ["unsigned long long seed", "unsigned long long step"]
        given += [f"{self.e.real} *work", f"{self.e.real} *result"]
        if gradient:
            wanted = [each for each in self.p.inputs if each.wanted]
            given += [f"{self.e.real} *{self.names[f'd {each.name}']}" for each in wanted]
        of_s, of_l = self.p.blocks.rows
        starts = {"s": 0, "l": of_s, "ds": of_s + of_l, "dl": 2 * of_s + of_l}
        arrays = [
            f"{self.e.real} *{array} = work{f' + {start}' * bool(start)};"
            for array, start in starts.items()
            if re.search(rf"\b{array}\b", "\n".join(body))
        ]
        status = ["int status = 0;"] * bool(self.p.blocks.checks)
        inside = textwrap.indent("\n".join([*arrays, *status, *body]), "    ")
        unbroken = ", ".join(each.replace(" ", "\u00a0") for each in given)
        head = textwrap.fill(unbroken, 92).replace("\u00a0", " ")
        return f"int {name}(\n{textwrap.indent(head, '    ')})\n{{\n{inside}\n}}"

    def _body(self, gradient: bool) -> Iterator[str]:
        p, e = self.p, self.e
        outputs = p.blocks.outputs
        zero, one = e.literal(0.0), e.literal(1.0)
        for each in p.inputs:
            if each.space == S:
                yield from self._copies(each)
        for space in (S, L):
            numbers = p.lists.constants[space].items()
            yield from (f"{'sl'[space]}[{row}] = {e.literal(x)};" for row, x in numbers)
        yield from self._run("forward_shared", "status = ")
        seeded = gradient and outputs[0][0] == S
        if gradient:
            yield from self.begin.lines
            if seeded:
                yield f"ds[{outputs[0][1]}] = {e.literal(-0.0)};"
        if p.batched:
            if p.reduce is not None:
                yield from (f"result[{k}] = {zero};" for k in range(len(outputs)))
            yield "for (size_t k = 0; k < N; k++) {"
            yield from (f"    {line}" for line in self._example(gradient))
            yield "}"
        else:
            for k, (_, row) in enumerate(outputs):
                yield f"result[{k}] = s[{row}];"
        if p.blocks.checks:
            many = len(outputs)
            count = f"N * {many}" if self._by_example() else str(many)
            yield "if (status) {"
            yield f"    for (size_t k = 0; k < {count}; k++)"
            yield "        result[k] = NAN;"
            yield "    return status;"
            yield "}"
        if p.reduce == "mean":
            yield from (f"result[{k}] /= ({e.real})N;" for k in range(len(outputs)))
        if gradient:
            if seeded:
                total = f"({e.real})N" if p.batched and p.reduce != "mean" else one
                yield f"ds[{outputs[0][1]}] += {total};"
            yield from self._run("backward_shared")
            yield from self._gradients(S)
        yield "return 0;"

    def _example(self, gradient: bool) -> Iterator[str]:
        """What is done for each example."""
        p, e = self.p, self.e
        outputs = p.blocks.outputs
        for each in p.inputs:
            if each.space == L:
                yield from self._copies(each)
        if any(c.space == L for c in p.blocks.checks):
            yield from self._run("forward_lanes", "const int failed = ")
            yield "if (failed && (!status || failed < status))"
            yield "    status = failed;"
        else:
            yield from self._run("forward_lanes")
        if p.blocks.checks:
            yield "if (status)"
            yield "    continue;"
        for k, (space, row) in enumerate(outputs):
            place = str(at((len(outputs), "k"), (k, 1))) if self._by_example() else str(k)
            sign = "=" if self._by_example() else "+="
            yield f"result[{place}] {sign} {'sl'[space]}[{row}];"
        if gradient:
            space, row = outputs[0]
            if space == L:
                one = e.literal(1.0)
                yield f"dl[{row}] = {f'{one} / ({e.real})N' if p.reduce == 'mean' else one};"
            yield from self._run("backward_lanes")
            yield from self._gradients(L)

    def _run(self, name: str, before: str = "") -> Iterator[str]:
        section = self.sections[name]
        if section.lines:
            yield (
                (before if section.checks else "")
                + section.call(name, "k" if self.p.batched else "0")
                + ";"
            )

    def _copies(self, each: Named) -> Iterator[str]:
        """Numbers of an input to its rows."""
        array, name = "sl"[each.space], self.names[each.name]
        if each.space == S and not each.layout:
            yield f"s[{each.rows[0]}] = {name};"
        else:
            yield from self._moves(
                each.space, each.rows, lambda x, row: (f"{array}[{row}]", x), name
            )

    def _gradients(self, space: int) -> Iterator[str]:
        """Adjoints to where the caller wants them: -0.0, for nothing, as 0.0."""
        zero = self.e.literal(0.0)
        for each in self.p.inputs:
            if each.wanted and each.gradient[0] == space:
                name, array = self.names[f"d {each.name}"], "ds" if space == S else "dl"
                yield from self._moves(
                    *each.gradient,
                    lambda x, row, array=array: (x, f"{array}[{row}] + {zero}"),  # type: ignore[misc]
                    name,
                )

    def _moves(
        self, space: int, rows: list[int], pair: Callable[[str, str], tuple[str, str]], name: str
    ) -> Iterator[str]:
        """Statements that move numbers between an array of the caller and rows."""
        strides = [(len(rows), "k")] if space == L else []
        if len(rows) == 1:
            to, source = pair(f"{name}[{at(*strides)}]", str(rows[0]))
            yield f"{to} = {source};"
            return
        run = rows == [*range(rows[0], rows[0] + len(rows))]
        row = str(Index(rows[0], "i")) if run else f"{self.e.table(rows)}[i]"
        to, source = pair(f"{name}[{at(*strides, (1, 'i'))}]", row)
        yield f"for (int i = 0; i < {len(rows)}; i++)"
        yield f"    {to} = {source};"


def _identifier(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that C can have and nothing else in the text has."""
    name = "".join(c if c.isascii() else f"u{ord(c):04x}" for c in name)
    while name in taken or name in _RESERVED.split() or name.startswith(("op_", "LIST_")):
        name = f"{name}_" if not name.startswith(("op_", "LIST_")) else f"p{name}"
    return name
