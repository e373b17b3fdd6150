"""Routines: what the drivers of all programs have in common, emitted once for a type of numbers.

They move examples, outputs and gradients, add up losses and look for numbers that are not finite:
loops whose bounds are known at run time, which LLVM would else compile again for every program.
In: a row of `ROUTINES`, called by its name (`call`). Out: `text`, the module that has them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.compiled.blocks import NAN_SEEN, NOT_FINITE
from engine.compiled.native.function import Function
from engine.compiled.native.job import AT
from engine.compiled.native.numbers import FLOAT, INDEX, Lanes

_BLOCK = 8  # inputs of an example that are read together: a line of the cache, or half of one

Numbers = dict[str, Lanes]  # what a routine is given, but for pointers, by name
ROUTINES: dict[str, tuple[str, Callable[[Function, Numbers], None]]] = {}


def _routine(given: str) -> Callable[[Any], Any]:
    """Put a routine into the table, with its parameters: pointers, as `%to`, words, as `count`, and
    numbers, as `=x`."""

    def note(body: Callable[[Function, Numbers], None]) -> Callable[[Function, Numbers], None]:
        ROUTINES[body.__name__] = given, body
        return body

    return note


def name_of(routine: str, number: str) -> str:
    """What a routine for numbers of a type is called in machine code."""
    return f"gradloom_{routine}_{number}"


def call(f: Function, routine: str, *given: Any) -> None:
    """Call a routine from a function under construction: with addresses, words and numbers."""
    types = [_type(x, f.number) for x in ROUTINES[routine][0].split()]
    words = [x.name if isinstance(x, Lanes) else str(x) for x in given]
    pairs = ", ".join(f"{kind} {x}" for kind, x in zip(types, words, strict=True))
    name = name_of(routine, f.number)
    f.declared.add(f"declare void @{name}({', '.join(types)})")
    f.lines.append(f" call void @{name}({pairs})")


def text(number: str) -> str:
    """The module of all routines for a type of numbers."""
    texts, declared = [], set()
    for routine, (given, body) in ROUTINES.items():
        f = Function(number)
        named = {x.strip("%="): x for x in given.split()}
        known = {
            name: f.given(f"%{name}", FLOAT if x[0] == "=" else INDEX) for name, x in named.items()
        }
        body(f, known)
        parameters = ", ".join(f"{_type(x, number)} %{name}" for name, x in named.items())
        texts.append(f.text(name_of(routine, number), parameters, inner=False))
        declared |= f.declared
    return "\n".join([*sorted(declared), *texts])


def _type(parameter: str, number: str) -> str:
    return {"%": "ptr", "=": number}.get(parameter[0], "i64")


# --- moving numbers ---


@_routine("%source %to count")
def copy(f: Function, x: Numbers) -> None:
    """Copy numbers, in their order."""
    _copy(f, "%source", "%to", x["count"])


def _copy(f: Function, source: str, to: str, count: Any) -> None:
    size = f.binary("mul", count, 8 if f.number == "double" else 4)
    whole = "llvm.memcpy.p0.p0.i64"
    f.declared.add(f"declare void @{whole}(ptr, ptr, i64, i1)")
    f.lines.append(f" call void @{whole}(ptr {to}, ptr {source}, i64 {size.name}, i1 false)")


@_routine("%to =x count")
def fill(f: Function, x: Numbers) -> None:
    """Set numbers that follow each other."""
    f.loop(x["count"], lambda i: f.store(x["x"], "%to", i))


@_routine("%to x count")
def fill_words(f: Function, x: Numbers) -> None:
    """Set words that follow each other."""
    f.loop(x["count"], lambda i: f.put_word(x["x"], "%to", i))


@_routine("%theta %places %vs size")
def put(f: Function, x: Numbers) -> None:
    """Put numbers that move into their rows of S, as far as they have one."""

    def one(p: Any) -> None:
        row = f.word("%places", p)
        f.when(f.holds("sge", row, 0), lambda: f.store(f.load("%theta", p), "%vs", row))

    f.loop(x["size"], one)


@_routine("%gs %places %gradient size")
def collect(f: Function, x: Numbers) -> None:
    """Put the adjoints of numbers that move together; 0 for those without a row of S."""

    def one(p: Any) -> None:
        row = f.word("%places", p)
        there = f.holds("sge", row, 0)
        g = f.load("%gs", f.whole(there, row, 0))
        f.store(f.select(there, g, 0.0), "%gradient", p)

    f.loop(x["size"], one)


# --- examples ---


@_routine("%job %vl inputs width first w")
def read(f: Function, x: Numbers) -> None:
    """Fill the inputs of L with w examples from the first on, and up to a width with that one."""
    data, stride = f.pointer("%job", AT["data"]), f.word("%job", AT["stride"])
    in_order = f.holds("ne", f.word("%job", AT["in_order"]), 0)
    f.when(in_order, lambda: _by_columns(f, x, data, stride))
    f.when(~in_order, lambda: _by_rows(f, x, data, stride))


def _by_columns(f: Function, x: Numbers, data: str, stride: Lanes) -> None:
    """Where the examples follow each other, as columns of the data."""
    width, w = x["width"], x["w"]
    rest = f.binary("sub", width, w)

    def row(r: Any) -> None:
        at, to = r * stride + x["first"], r * width
        filling = f.load(data, at)
        _copy(f, f.address(data, at), f.address("%vl", to), w)
        f.loop(rest, lambda i: f.store(filling, "%vl", to + w + i))

    f.loop(x["inputs"], row)


def _by_rows(f: Function, x: Numbers, data: str, stride: Lanes) -> None:
    """Where each example is a row of the data, at a place that `order` says."""
    order, width, w = f.pointer("%job", AT["order"]), x["width"], x["w"]

    def some(part: Any, count: int) -> None:
        def lane(i: Any) -> None:
            which = f.whole(f.holds("slt", i, w), i, 0)
            at = f.word(order, x["first"] + which) * stride + part
            to = part * width + i
            for r in range(count):
                f.store(f.load(data, at + r), "%vl", to)
                to = to + width

        f.loop(width, lane)

    whole = f.binary("and", x["inputs"], -_BLOCK)
    f.loop(whole, lambda part: some(part, _BLOCK), step=_BLOCK)
    f.loop(f.binary("sub", x["inputs"], whole), lambda part: some(whole + part, 1))


@_routine("%job %vl inputs width first w offset")
def read_columns(f: Function, x: Numbers) -> None:
    """The same with some columns of the data, from that offset on, where each example is a row."""
    data = f.address(f.pointer("%job", AT["data"]), x["offset"])
    _by_rows(f, x, data, f.word("%job", AT["stride"]))


@_routine("%gl %fail =weight checked w")
def seed(f: Function, x: Numbers) -> None:
    """Add the weight of an output to its adjoints, where guards held, if there are any."""

    def add(i: Any) -> None:
        f.store(x["weight"], "%gl", i, adds=True)

    def one(i: Any) -> None:
        f.when(f.holds("slt", f.word("%fail", i), 0), lambda: add(i))

    some, checked = f.differs(x["weight"], 0.0), f.holds("ne", x["checked"], 0)
    f.when(some & checked, lambda: f.loop(x["w"], one))
    f.when(some & ~checked, lambda: f.loop(x["w"], add))


@_routine("%gl %out %pool stride w")
def give_gradient(f: Function, x: Numbers) -> None:
    """Give the gradient by an input, example by example."""

    def one(i: Any) -> None:
        g = f.load("%gl", i)
        f.store(g + 0.0, "%out", i * x["stride"])
        f.when(f.compare("uno", g, g), lambda: f.put_word(1, "%pool", NAN_SEEN))

    f.loop(x["w"], one)


@_routine("%vl %loss w")
def add_up(f: Function, x: Numbers) -> None:
    """Add an output of w examples to a double, by four sums that need not wait for each other."""
    w = x["w"]
    quads = f.binary("and", w, -4)

    def four(i: Any, *totals: Lanes) -> list[Lanes]:
        return [t + f.load("%vl", i + j) for j, t in enumerate(totals)]

    sums = f.loop(quads, four, [f.literal(0.0)] * 4, step=4)
    rest = f.binary("sub", w, quads)
    (last,) = f.loop(rest, lambda i, total: [total + f.load("%vl", quads + i)], [sums[0]])
    f.add_double((last + sums[1]) + (sums[2] + sums[3]), "%loss", 0)


# --- looking ---


@_routine("%buffer %pool rows width w")
def watch(f: Function, x: Numbers) -> None:
    """Note whether there is an inf or a nan in the first w lanes of any row."""

    def row(r: Any) -> None:
        def lane(i: Any) -> None:
            finite = f.call("fabs", f.load("%buffer", r * x["width"] + i)) < float("inf")
            f.when(~finite, lambda: f.put_word(1, "%pool", NOT_FINITE))

        f.loop(x["w"], lane)

    f.loop(x["rows"], row)
