"""Expressions of whole arrays, which simplify as a textbook would while they are put together.

An `Expr` says what is computed and the shape of it; nothing here computes. The last axis of what
each example has of its own has the length `LANES`. Shapes broadcast as NumPy's do, and lengths
that are broadcast stay 1, or away: an expression may be smaller than what it stands for.

Zeros and factors of 1 vanish, numbers gather in front, a * a is a square. For infinite numbers
that is not exact: x * 0 is 0 here. Nor is the chain rule where derivatives are infinite: an edge
that is cut passes 0, which is multiplied on like any number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.ops import TABLE

LANES = "N"
Dim: TypeAlias = int | str
Shape: TypeAlias = tuple[Dim, ...]
ALL = slice(None)  # of an axis


@dataclass(frozen=True, slots=True)
class Expr:
    """`kind` is one of

    name (a number while it is unknown what to call it), number, array (nested numbers),
    call (a row of the table, or with a prime one of its derivatives, and operands),
    matmul, contract (two operands, their axes), outer, sum and max (operand, axes),
    index (operand, selection), reshape, move (operand, axes in their new order),
    full (operand, repeated to the shape), join (operands, along the first axis),
    lookup (table, index, whether each example has a table of its own), empty (to be filled);
    in loops step (what is added to t, which is multiplied by what): an index; and
    over (operand, summed over so many steps).
    """

    kind: str
    parts: tuple[Any, ...]
    shape: Shape

    @property
    def operands(self) -> tuple[Expr, ...]:
        """The expressions that this one is made of."""
        return tuple(part for part in self.parts if isinstance(part, Expr))

    @property
    def size(self) -> int:
        """How many operations are in it."""
        return (self.kind not in ("name", "number")) + sum(e.size for e in self.operands)


def named(name: str | int, shape: Shape) -> Expr:
    """A name; names that are numbers are given better ones in the end."""
    return Expr("name", (name,), shape)


def number(x: float) -> Expr:
    """A literal number."""
    return Expr("number", (float(x),), ())


def names_in(e: Expr) -> Iterator[int | str]:
    """The names that an expression reads, as often as it does."""
    if e.kind == "name":
        yield e.parts[0]
    for part in e.operands:
        yield from names_in(part)


ZERO, ONE = number(0.0), number(1.0)
N = named(LANES, ())  # how many examples there are


def array(numbers: Sequence[Any], shape: Shape) -> Expr:
    """A literal array, from its numbers in their order; one number if they are all the same."""
    if len({repr(x) for x in numbers}) == 1 and isinstance(numbers[0], float):
        return number(numbers[0])
    return Expr("array", tuple(numbers), shape)


def broadcast(*shapes: Shape) -> Shape:
    """The shape that these are broadcast to."""
    rank = max(map(len, shapes), default=0)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(next((d for d in dims if d != 1), 1) for dims in zip(*aligned, strict=True))


# --- a row of the table ----------------------------------------------------------------------


def call(row: str, *args: Expr) -> Expr:
    """A row on operands, simplified."""
    if row in _SIMPLER:
        simpler: Expr = _SIMPLER[row](*args)
        return simpler
    if all(arg.kind == "number" for arg in args) and row in TABLE:
        forward = TABLE[row].forward
        assert forward is not None
        return number(forward(*[arg.parts[0] for arg in args]))
    if row == "where" and args[0].kind == "number":
        return args[1] if args[0].parts[0] else args[2]
    if row == "pow" and args[1].kind == "number":
        exponent = args[1].parts[0]
        if exponent in (1.0, 2.0):
            return args[0] if exponent == 1.0 else call("square", args[0])
    return Expr("call", (row, *args), broadcast(*[arg.shape for arg in args]))


def coefficient(e: Expr) -> tuple[float, Expr]:
    """A number and an expression whose product e is."""
    if e.kind == "number":
        return e.parts[0], ONE
    if e.kind == "call":
        row, *args = e.parts
        if row == "neg":
            c, rest = coefficient(args[0])
            return -c, rest
        if row == "mul" and args[0].kind == "number":
            return args[0].parts[0], args[1]
        if row == "div":
            c, rest = coefficient(args[0])
            if c != 1.0 and math.isfinite(c):
                return c, Expr("call", ("div", rest, args[1]), e.shape)
    return 1.0, e


def scaled(c: float, e: Expr) -> Expr:
    """c * e."""
    own, rest = coefficient(e)
    c *= own
    if rest == ONE:
        return number(c)
    if c == 0.0:
        return ZERO
    if c == 1.0:
        return rest
    if rest.kind == "call" and rest.parts[0] == "div":
        row, above, below = rest.parts
        return Expr("call", (row, scaled(c, above), below), rest.shape)
    if c == -1.0:
        if rest.kind == "call" and rest.parts[0] == "sub":
            return plus(rest.parts[2], scaled(-1.0, rest.parts[1]))
        return Expr("call", ("neg", rest), rest.shape)
    return Expr("call", ("mul", number(c), rest), rest.shape)


def times(a: Expr, b: Expr) -> Expr:
    """a * b, element by element."""
    (ca, ra), (cb, rb) = coefficient(a), coefficient(b)
    if ra == ONE or rb == ONE:
        return scaled(ca * cb, rb if ra == ONE else ra)
    for x, y in ((ra, rb), (rb, ra)):
        if x.kind == "call" and x.parts[0] == "div" and x.parts[1] == ONE:
            return scaled(ca * cb, quotient(y, x.parts[2]))
    if ra == rb:
        product = Expr("call", ("square", ra), ra.shape)
    else:
        product = Expr("call", ("mul", ra, rb), broadcast(ra.shape, rb.shape))
    return scaled(ca * cb, product)


def plus(a: Expr, b: Expr) -> Expr:
    """a + b."""
    if ZERO in (a, b):
        return b if a == ZERO else a
    (ca, ra), (cb, rb) = coefficient(a), coefficient(b)
    if ra == rb:
        return scaled(ca + cb, ra)
    if a.kind == "call" and a.parts[0] == "add" and coefficient(a.parts[2])[1] == rb:
        return plus(a.parts[1], plus(a.parts[2], b))
    shape = broadcast(a.shape, b.shape)
    if cb < 0.0:
        return Expr("call", ("sub", a, scaled(-1.0, b)), shape)
    if ca < 0.0:
        return Expr("call", ("sub", b, scaled(-1.0, a)), shape)
    return Expr("call", ("add", a, b), shape)


def quotient(a: Expr, b: Expr) -> Expr:
    """a / b."""
    if b.kind == "number" and (a.kind == "number" or b.parts[0] in (1.0, -1.0)):
        return call_of_numbers("div", a, b) if a.kind == "number" else scaled(b.parts[0], a)
    (ca, ra), (cb, rb) = coefficient(a), coefficient(b)
    if cb == -1.0:
        ca, b = -ca, rb
    shape = broadcast(ra.shape, b.shape)
    return scaled(ca, Expr("call", ("div", ra, b), shape)) if ca else ZERO


def call_of_numbers(row: str, *args: Expr) -> Expr:
    """The number that a row gives for numbers."""
    forward = TABLE[row].forward
    assert forward is not None
    return number(forward(*[arg.parts[0] for arg in args]))


def _square(a: Expr) -> Expr:
    return number(a.parts[0] ** 2) if a.kind == "number" else times(a, a)


_SIMPLER: dict[str, Any] = {
    "add": plus,
    "sub": lambda a, b: plus(a, scaled(-1.0, b)),
    "mul": times,
    "pass_on": times,  # what is printed multiplies plainly, and knows no nothing
    "arrive": lambda g: g,
    "nothing": lambda g: ZERO,
    "div": quotient,
    "neg": lambda a: scaled(-1.0, a),
    "square": _square,
    "reciprocal": lambda a: quotient(ONE, a),
    "identity": lambda a: a,
    "detach": lambda a: a,
}


# --- sums and products of matrices -----------------------------------------------------------


def total(e: Expr, full: Shape, axes: Sequence[int]) -> Expr:
    """The sum along some axes of what has the shape `full`, of which e may be a smaller part."""
    missing = len(full) - len(e.shape)
    factor: Expr = ONE
    summed: list[int] = []
    dropped: list[int] = []
    for axis in axes:
        own = e.shape[axis - missing] if axis >= missing else 1
        if own == 1:
            length = full[axis]
            factor = times(factor, N if length == LANES else number(float(length)))
        if axis >= missing:
            (dropped if own == 1 else summed).append(axis - missing)
    c, rest = coefficient(e)
    if rest.kind == "call" and rest.parts[0] == "div" and rest.parts[2].shape == ():
        inner = total(rest.parts[1], (*full[:missing], *e.shape), axes)
        return scaled(c, quotient(inner, rest.parts[2]))
    if dropped:
        rest = index(rest, tuple(0 if k in dropped else ALL for k in range(len(e.shape))))
        summed = [k - sum(j < k for j in dropped) for k in summed]
    if summed:
        rest = _sum(rest, tuple(summed))
    return scaled(c, times(factor, rest))


def _sum(e: Expr, axes: tuple[int, ...]) -> Expr:
    c, e = coefficient(e)
    if e.kind == "sum":  # of a sum: one of all their axes
        below = [k for k in range(len(e.parts[0].shape)) if k not in e.parts[1]]
        axes, e = tuple(sorted((*e.parts[1], *[below[k] for k in axes]))), e.parts[0]
    shape = tuple(d for k, d in enumerate(e.shape) if k not in axes)
    return scaled(c, Expr("sum", (e, axes), shape))


def largest(e: Expr, axis: int) -> Expr:
    """The largest along an axis."""
    return Expr("max", (e, (axis,)), (*e.shape[:axis], *e.shape[axis + 1 :]))


def matmul(a: Expr, b: Expr) -> Expr:
    """The matrix product of what has one or two axes."""
    if (same := alike(a)) is not None:
        return times(same, total(_core(b), b.shape, (0,)))
    (ca, ra), (cb, rb) = coefficient(a), coefficient(b)
    shape = ra.shape[:-1] + (rb.shape[1:] if len(rb.shape) == 2 else ())
    return scaled(ca * cb, Expr("matmul", (ra, rb), shape))


def contract(a: Expr, b: Expr, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> Expr:
    """The sum of products over some axes of both: `tensordot`."""
    keep = [d for k, d in enumerate(a.shape) if k not in axes[0]]
    keep += [d for k, d in enumerate(b.shape) if k not in axes[1]]
    return Expr("contract", (a, b, axes), tuple(keep))


def outer(a: Expr, b: Expr) -> Expr:
    """The products of all pairs."""
    if (same := alike(a)) is not None:
        core = _core(b)
        return times(same, index(core, (None,)) if core.shape else core)
    (ca, ra), (cb, rb) = coefficient(a), coefficient(b)
    return scaled(ca * cb, Expr("outer", (ra, rb), (*a.shape, *b.shape)))


def alike(e: Expr) -> Expr | None:
    """What each entry of a vector is, if they are all the same number."""
    alike = e.kind == "full" and len(e.shape) == 1 and e.parts[0].shape == ()
    return e.parts[0] if alike else None


def _core(e: Expr) -> Expr:
    """The expression without what only repeats it."""
    return e.parts[0] if e.kind == "full" else e


# --- the same numbers elsewhere --------------------------------------------------------------


def transposed(e: Expr) -> Expr:
    """The axes of a matrix in the other order."""
    return moved(e, (1, 0)) if len(e.shape) == 2 else e


def moved(e: Expr, axes: tuple[int, ...]) -> Expr:
    """The axes in another order."""
    if e.kind == "move":
        axes, e = tuple(e.parts[1][k] for k in axes), e.parts[0]
    if axes == tuple(range(len(axes))):
        return e
    return Expr("move", (e, axes), tuple(e.shape[k] for k in axes))


def index(e: Expr, selection: tuple[Any, ...]) -> Expr:
    """Part of an array; each axis gets an int, a slice or nested tuples, None makes an axis."""
    if selection and isinstance(selection[0], Expr):
        return _entry(e, *selection)
    while selection and selection[-1] == ALL:
        selection = selection[:-1]
    if not selection or e.kind == "number":
        return e
    if (
        e.kind == "index"
        and _adds_lanes(e)
        and sum(x is not None for x in selection) < len(e.shape)
    ):
        inner = index(e.parts[0], selection)  # then for each example, not before
        return index(inner, (*[ALL] * len(inner.shape), None)) if inner.shape else inner
    if e.kind == "index":
        before = tuple(e.parts[1])
        if all(isinstance(item, int) for item in before):
            return index(e.parts[0], (*before, *selection))
        run = before[0]
        one = len(before) == 1 and isinstance(run, slice) and run.step is None
        if one and isinstance(selection[0], int):
            return index(e.parts[0], ((run.start or 0) + selection[0], *selection[1:]))
    shape: list[Dim] = []
    rest = list(e.shape)
    for item in selection:
        if item is None:
            shape.append(1)
            continue
        length = rest.pop(0)
        if isinstance(item, slice):
            shape.append(length if item == ALL else len(range(*item.indices(int(length)))))
        elif isinstance(item, Places):
            shape += item.shape
        else:
            assert isinstance(item, int)
    return Expr("index", (e, _Selection(selection)), (*shape, *rest))


def at(e: Expr, further: int = 0) -> Expr:
    """The entry of an array for step t of a loop, or one further on."""
    return index(e, (Expr("step", (further, 1), ()),))


def _entry(e: Expr, step: Expr) -> Expr:
    """The same; of a part of an array an entry of that."""
    items: list[Any] = [*e.parts[1]] if e.kind == "index" else []
    along = next((k for k, item in enumerate(items) if isinstance(item, slice)), None)
    if along is None:
        return Expr("index", (e, _Selection((step,))), e.shape[1:])
    (further, _), run = step.parts, items[along]
    items[along] = Expr("step", ((run.start or 0) + further * (run.step or 1), run.step or 1), ())
    return Expr("index", (e.parts[0], _Selection(items)), e.shape[1:])


def _adds_lanes(e: Expr) -> bool:
    """Whether an index only adds an axis at the end."""
    *rest, last = e.parts[1]
    return last is None and len(rest) == len(e.parts[0].shape) and all(x == ALL for x in rest)


class _Selection(tuple[Any, ...]):
    """A selection; slices have no hash of their own in all Pythons."""

    def __hash__(self) -> int:
        return hash(tuple(repr(item) for item in self))


@dataclass(frozen=True, slots=True)
class Places:
    """A list of places, nested as `shape` says: what an axis is indexed with."""

    numbers: tuple[int, ...]
    shape: tuple[int, ...]


def reshaped(e: Expr, shape: Shape) -> Expr:
    """The same numbers in another shape."""
    if e.kind == "reshape":
        e = e.parts[0]
    if e.shape == shape or e.kind == "number":
        return e
    if shape == (1, *e.shape):
        return index(e, (None,))
    if e.shape == (1, *shape):
        return index(e, (0,))
    if shape == ():
        return index(e, (0,) * len(e.shape))
    return Expr("reshape", (e,), shape)


def full(e: Expr, shape: Shape) -> Expr:
    """The expression with every length of the shape that it stands for."""
    return e if e.shape == shape else Expr("full", (e,), shape)


def join(parts: Sequence[Expr]) -> Expr:
    """One after the other along the first axis."""
    if len(parts) == 1:
        return parts[0]
    length = sum(int(part.shape[0]) for part in parts)
    return Expr("join", tuple(parts), (length, *parts[0].shape[1:]))


def rebuilt(e: Expr, operands: Sequence[Expr]) -> Expr:
    """The expression on other operands of the same shapes, simplified again."""
    if e.kind == "call":
        return call(e.parts[0], *operands)
    if e.kind == "sum":
        return _sum(operands[0], e.parts[1])
    if e.kind == "matmul":
        return matmul(*operands)
    if e.kind == "outer":
        return outer(*operands)
    if e.kind == "move":
        return moved(operands[0], e.parts[1])
    if e.kind == "index":
        return index(operands[0], tuple(e.parts[1]))
    if e.kind == "reshape":
        return reshaped(operands[0], e.shape)
    if e.kind == "full":
        return full(operands[0], e.shape)
    rest = iter(operands)
    parts = tuple(next(rest) if isinstance(part, Expr) else part for part in e.parts)
    return Expr(e.kind, parts, e.shape)
