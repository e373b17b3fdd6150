"""Operations of the scalar table on blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.compiled.blocks import Instruction, Lists, View
from engine.compiled.instructions.row import Row
from engine.compiled.native import vectormath
from engine.compiled.native.layout import note_nan
from engine.compiled.writing.algebra import ZERO, call, times
from engine.compiled.writing.arrays import line
from engine.compiled.writing.c_formulas import Index
from engine.compiled.writing.formulas import partial_of
from engine.ops import TABLE, Op

if TYPE_CHECKING:
    from engine.compiled.adjoint import Adjoint
    from engine.compiled.interpreter import Interpreter
    from engine.compiled.native.function import Function
    from engine.compiled.native.layout import Layout
    from engine.compiled.native.numbers import Lanes
    from engine.compiled.source.c_statements import Section
    from engine.compiled.source.derive import Derive

_TOGETHER = 4  # edges that are computed in one loop


def passed(e: Layout, f: Function, op: Op, k: int, g: Lanes, numbers: Sequence[Lanes]) -> Lanes:
    """What passes to operand k, of the adjoint g, the operands and the result: g times the
    partial, nothing where the edge is cut. This is policy 3, for all that is emitted."""
    p = vectormath.partial(f, op, k, *numbers)
    cut = vectormath.cut(f, op, k, *numbers[:-1])
    if e.lists.exact:
        p = f.literal(p, g.width) if isinstance(p, float) else p
        y = vectormath.row(f, "pass_on", g, p)
    elif isinstance(p, float) and abs(p) == 1.0:
        y = g if p == 1.0 else -g
    else:
        y = g * p
    return y if cut is None else f.select(cut, e.lists.nothing, y)


class Map(Row):
    """out = op(operands), for the operation `name`, row by row."""

    kind = "map"

    def colour(self, i: Instruction) -> str:
        """That of the operation."""
        return TABLE[i.name].family

    def title(self, lists: Lists, i: Instruction) -> str:
        """The operation."""
        return f"{i.name} of {i.out.count}"

    def mark(self, a: Adjoint, i: Instruction) -> None:
        """A result depends on what its operands do, but where an edge is cut everywhere."""
        cuts = TABLE[i.name].cuts
        if any(cut is not True and a.is_wanted(x) for cut, x in zip(cuts, i.operands, strict=True)):
            a.mark(i.out)

    def adjoint(self, a: Adjoint, i: Instruction) -> None:
        """An edge for each operand that is wanted."""
        g = a.arrived(i.out)
        if g is None:
            return
        operands = (g, *i.operands, i.out)
        for k, x in enumerate(i.operands):
            if x is not None and TABLE[i.name].cuts[k] is not True and a.is_wanted(x):
                a.add("edge", x, operands, name=i.name, shape=(k,))

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Number by number."""
        m.once(i, lambda: m.map(i.name, [m.rows(x) for x in i.operands], m.rows(i.out)))()
        if i.name == "pass_on":
            m.note_nan(m.rows(i.out))

    def cost(self, i: Instruction) -> int:
        """Functions take longer than arithmetic."""
        return (4 if TABLE[i.name].family in ("arithmetic", "choice") else 20) * i.out.count

    def emits(self, e: Layout, i: Instruction) -> bool:
        """Not if the forward loops, or calls what has no counterpart."""
        return vectormath.translates(e.number, i.name)

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector by vector."""
        operands = [e.operand(f, x) for x in i.operands if x is not None]
        buffer, out = e.place(i.out)

        def body(o: Any, w: int, used: int) -> None:
            y = vectormath.row(f, i.name, *[x(o, w, used) for x in operands])
            f.store(y, buffer, o + out, used)

        e.flat(f, e.numbers(i.out), body)
        if i.name == "pass_on":
            note_nan(e, f, i.out)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """The operation on arrays, in the layout that tells most."""
        layouts = [line(i.out.count)]
        for x in i.operands:
            assert x is not None
            block, layout = d.block(x), d.layout_of(x)
            if layout is not None and not block.uniform and block.constants is None:
                layouts.append(layout)
        layout = max(layouts, key=len)
        d.new(i.out, layout, call(i.name, *[d.at(x, layout).expr for x in i.operands]))

    def in_c(self, c: Section, i: Instruction) -> None:
        """Row by row."""
        c.row_by_row(i.out, lambda k: c.e.call(i.name, [c.read(x, k) for x in i.operands]))


class Edge(Row):
    """What passes from a map's result to its operand `shape[0]`: operands are the adjoint of the
    result, the map's operands, and its result."""

    kind = "edge"
    colour = Map.colour

    def named(self, i: Instruction) -> str:
        """The operation."""
        return f"back through {i.name}"

    def title(self, lists: Lists, i: Instruction) -> str:
        """The operation, and which of several operands."""
        to = f", to operand {i.shape[0] + 1}" if TABLE[i.name].arity > 1 else ""
        return f"back through {i.name} of {i.out.count}{to}"

    def reads(self, lists: Lists, i: Instruction) -> Iterator[View]:
        """The adjoint; the numbers, if the partial depends on them, or where the edge is cut."""
        op, k = TABLE[i.name], i.shape[0]
        plain = not callable(op.partials[k]) and isinstance(op.cuts[k], bool)
        yield from (x for x in i.operands[: 1 if plain else None] if x is not None)

    def run(self, m: Interpreter, i: Instruction) -> None:
        """Number by number."""

        def make() -> Callable[[], None]:
            g, *numbers = (m.rows(x) for x in i.operands)
            return m.edge(i.name, i.shape[0], g, numbers, m.rows(i.out), i.adds)

        m.once(i, make)()

    def emits(self, e: Layout, i: Instruction) -> bool:
        """As its map."""
        return vectormath.translates(e.number, i.name)

    def fuses(self, some: Sequence[Instruction], i: Instruction) -> bool:
        """Edges of one map, to rows that are not the same."""
        return len(some) < _TOGETHER and all(
            i.operands == other.operands and abs(i.out.first - other.out.first) >= i.out.count
            for other in some
        )

    def emit(self, e: Layout, f: Function, i: Instruction, *more: Instruction) -> None:
        """Vector by vector, several edges at once."""
        op = TABLE[i.name]
        given = [e.operand(f, x) for x in i.operands if x is not None]

        def body(o: Any, w: int, used: int) -> None:
            g, *numbers = (x(o, w, used) for x in given)
            for each in (i, *more):
                y = passed(e, f, op, each.shape[0], g, numbers)
                buffer, out = e.place(each.out)
                if each.adds:
                    y = f.load(buffer, o + out, w, used) + y
                f.store(y, buffer, o + out, used)

        e.flat(f, e.numbers(i.out), body)

    def in_arrays(self, d: Derive, i: Instruction) -> None:
        """The adjoint times the partial."""
        g, layout = d.arrived(i.operands[0])
        if g != ZERO:
            args = tuple(d.at(x, layout).expr for x in i.operands[1:-1])
            out = d.block(i.operands[-1]).value
            d.at(i.out, layout).add(times(g, partial_of(i.name, i.shape[0], args, out)))

    def in_c(self, c: Section, i: Instruction) -> None:
        """Row by row."""

        def passed(k: Index) -> str:
            g, *operands, out = (c.read(x, k) for x in i.operands)
            return c.e.passed(i.name, i.shape[0], c.e.text(g), operands, out)

        c.row_by_row(i.out, passed, i.adds)
