"""Numbers that write down, in LLVM's language, what is done to them.

A `Lanes` stands for a number, or for a vector of them, that machine code will hold. What is done to
it appends instructions to the `Arithmetic` it belongs to. So plain Python functions on floats, such
as the rows of the operation table, are translated by calling them; where one branches, it is called
once for each way, and the results are selected among (`traced`).
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from engine.compiled.branches import Explorer, UntranslatableError

# What a Lanes holds: floating-point numbers, 64-bit integers of as many lanes, truth values; or
# one index, with which addresses are computed.
FLOAT, INTEGER, TRUTH, INDEX = "float", "integer", "truth", "index"
DOUBLE = "double"  # one number in double precision, whatever the others are


def _operator(name: str, *, swapped: bool = False) -> Callable[[Lanes, Any], Lanes]:
    def method(self: Lanes, other: Any) -> Lanes:
        return self.function.binary(name, other, self)

    def plain(self: Lanes, other: Any) -> Lanes:
        return self.function.binary(name, self, other)

    return method if swapped else plain


def _comparison(how: str) -> Callable[[Lanes, Any], Lanes]:
    return lambda self, other: self.function.compare(how, self, other)


class Lanes:
    """A number, or `width` of them, in machine code. `constant` is its value where it is known."""

    __slots__ = ("constant", "function", "kind", "name", "width")

    def __init__(
        self, function: Arithmetic, name: str, kind: str, width: int, constant: Any = None
    ) -> None:
        self.function, self.name, self.kind = function, name, kind
        self.width, self.constant = width, constant

    __add__, __radd__ = _operator("add"), _operator("add", swapped=True)
    __sub__, __rsub__ = _operator("sub"), _operator("sub", swapped=True)
    __mul__, __rmul__ = _operator("mul"), _operator("mul", swapped=True)
    __truediv__, __rtruediv__ = _operator("div"), _operator("div", swapped=True)
    __and__, __or__ = _operator("and"), _operator("or")
    __lt__, __le__ = _comparison("olt"), _comparison("ole")
    __gt__, __ge__ = _comparison("ogt"), _comparison("oge")
    __eq__, __ne__ = _comparison("oeq"), _comparison("une")  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Lanes:
        if self.constant is not None:
            return self.function.literal(-self.constant, self.width)
        return self.function.result(f"fneg {self.type} {self.name}", FLOAT, self.width)

    def __invert__(self) -> Lanes:
        return self.function.result(
            f"xor {self.type} {self.name}, {self.function.splat('i1', '1', self.width)}",
            TRUTH,
            self.width,
        )

    def __bool__(self) -> bool:
        """Which way `traced` goes at this branch."""
        if self.kind == FLOAT:
            return bool(self != 0.0)
        return self.function.decide(self)

    def __int__(self) -> int:
        raise UntranslatableError("a conversion")

    __float__ = __index__ = __int__

    def __mod__(self, other: Any) -> Lanes:
        raise UntranslatableError("a remainder or a power")

    __rmod__ = __floordiv__ = __rfloordiv__ = __pow__ = __rpow__ = __mod__

    @property
    def type(self) -> str:
        """The name of the type, as "double" or "<8 x double>"."""
        return self.function.type_of(self.kind, self.width)


class Arithmetic:
    """Arithmetic on numbers of one type, as lines of a function under construction.

    `number` is "double" or "float". Without `contract` a product and a sum stay two operations,
    each rounded. Equal instructions are written once, as long as the first is
    sure to have run.
    """

    def __init__(self, number: str, *, contract: bool = True) -> None:
        self.number, self._contract = number, contract
        self.single = number == "float"  # what operands are rounded to, also in `in_double`
        self.smallest = 2.0**-126 if self.single else 2.0**-1022  # of these, that has all digits
        self.lines: list[str] = []
        self.declared: set[str] = set()
        # Numbers of single rows by space and row, and adjoints not yet stored: see `layout.AtHand`.
        self.rows: dict[tuple[int, int], Lanes] = {}
        self.sums_of_rows: dict[tuple[int, int], Lanes] = {}
        self._types: dict[tuple[str, str, int], str] = {}
        self._count = 0
        self._label = "entry"
        self._known: list[dict[str, str]] = [{}]
        self._ways = Explorer()
        self.decided: dict[str, bool] = {}  # conditions by name, while it is known that they hold

    # --- values ---

    def type_of(self, kind: str, width: int) -> str:
        """The name of a type."""
        found = self._types.get((self.number, kind, width))
        if found is None:
            found = self._types[self.number, kind, width] = self._type_of(kind, width)
        return found

    def _type_of(self, kind: str, width: int) -> str:
        if kind == INDEX:
            return "i64"
        integer = "i64" if self.number == "double" else "i32"
        scalar = {FLOAT: self.number, INTEGER: integer, TRUTH: "i1"}[kind]
        return scalar if width == 1 else f"<{width} x {scalar}>"

    def splat(self, scalar: str, text: str, width: int) -> str:
        """A constant of so many equal entries."""
        return text if width == 1 else f"splat ({scalar} {text})"

    def literal(self, x: float, width: int = 1) -> Lanes:
        """A known number."""
        x = float(x)
        if self.number == "float":
            x = _rounded(x)
        return Lanes(self, self.splat(self.number, self._hex(x), width), FLOAT, width, x)

    def integers(self, x: int, width: int = 1) -> Lanes:
        """A known integer, as wide as a number."""
        scalar = self.type_of(INTEGER, 1)
        return Lanes(self, self.splat(scalar, str(x), width), INTEGER, width)

    def index(self, x: int) -> Lanes:
        """A known index."""
        return Lanes(self, str(x), INDEX, 1, x)

    def given(self, name: str, kind: str = INDEX) -> Lanes:
        """A count or a place that the function was given, or a number."""
        return Lanes(self, name, kind, 1)

    def result(self, text: str, kind: str, width: int, pure: bool = True) -> Lanes:
        """What an instruction gives."""
        name = None
        if pure:
            for known in self._known:
                name = known.get(text)
                if name is not None:
                    break
        if name is None:
            self._count += 1
            name = f"%v{self._count}"
            self.lines.append(f" {name} = {text}")
            if pure:
                self._known[-1][text] = name
        return Lanes(self, name, kind, width)

    def _pair(self, x: Any, y: Any) -> tuple[Lanes, Lanes]:
        """Two operands of one kind and width, numbers among them made literals."""
        if isinstance(x, Lanes) and isinstance(y, Lanes) and x.width == y.width:
            return x, y
        like = x if isinstance(x, Lanes) else y
        sides = []
        for side in (x, y):
            if not isinstance(side, Lanes):
                if like.kind == INDEX:
                    side = self.index(side)
                elif like.kind == INTEGER:
                    side = self.integers(side, like.width)
                elif isinstance(side, int | float):
                    side = self.literal(side, like.width)
                else:
                    raise UntranslatableError(f"a {type(side).__name__} as a number")
            sides.append(side)
        width = max(side.width for side in sides)
        x, y = (self.widened(side, width) for side in sides)
        return x, y

    def widened(self, x: Lanes, width: int) -> Lanes:
        """One number in so many lanes."""
        if x.width == width:
            return x
        if x.constant is not None:
            return self.literal(x.constant, width)
        vector, scalar = self.type_of(x.kind, width), self.type_of(x.kind, 1)
        one = self.result(f"insertelement {vector} poison, {scalar} {x.name}, i64 0", x.kind, width)
        return self.result(
            f"shufflevector {vector} {one.name}, {vector} poison, <{width} x i32> zeroinitializer",
            x.kind,
            width,
        )

    def binary(self, name: str, x: Any, y: Any) -> Lanes:
        """What an operator gives; known numbers are computed at once.

        Raises UntranslatableError for one that these kinds do not have."""
        left, right = self._pair(x, y)
        kind, a, b = left.kind, left.constant, right.constant
        if a is not None and b is not None and name in _FOLD and not (name == "div" and b == 0):
            if kind == INDEX:
                return self.index(_FOLD[name](a, b))
            return self.literal(_FOLD[name](a, b), left.width)
        if kind == INDEX and ((name == "add" and b == 0) or (name == "mul" and b == 1)):
            return left
        if kind == INDEX and ((name == "add" and a == 0) or (name == "mul" and a == 1)):
            return right
        if kind == FLOAT and name in ("mul", "div") and b == 1.0:
            return left
        if kind == FLOAT and name == "mul" and a == 1.0:
            return right
        instruction = _INSTRUCTIONS.get((kind, name))
        if instruction is None:
            raise UntranslatableError(f"{name} of {kind}s")
        if not self._contract:
            instruction = instruction.removesuffix(" contract")
        return self.result(f"{instruction} {left.type} {left.name}, {right.name}", kind, left.width)

    def compare(self, how: str, x: Any, y: Any) -> Lanes:
        """A comparison of numbers. Raises UntranslatableError for what is none."""
        x, y = self._pair(x, y)
        if x.kind != FLOAT:
            raise UntranslatableError(f"a comparison of {x.kind}s")
        if x.constant is not None and y.constant is not None:
            holds = _COMPARED[how](x.constant, y.constant)
            name = self.splat("i1", str(int(holds)), x.width)
            return Lanes(self, name, TRUTH, x.width, holds)
        return self.result(f"fcmp {how} {x.type} {x.name}, {y.name}", TRUTH, x.width)

    def select(self, condition: Lanes, x: Any, y: Any) -> Lanes:
        """x where the condition holds, else y."""
        if condition.constant is not None:
            chosen = x if condition.constant else y
            return chosen if isinstance(chosen, Lanes) else self.literal(chosen, condition.width)
        if not isinstance(x, Lanes) and not isinstance(y, Lanes):
            x = self.literal(x, condition.width)
        x, y = self._pair(x, y)
        width = max(x.width, condition.width)
        x, y, condition = (self.widened(side, width) for side in (x, y, condition))
        text = f"select {condition.type} {condition.name}, {x.type} {x.name}, {y.type} {y.name}"
        return self.result(text, x.kind, width)

    def call(self, name: str, *operands: Lanes) -> Lanes:
        """A function of LLVM's that exists for vectors too, such as "fabs"."""
        first = operands[0]
        suffix = "f64" if self.number == "double" else "f32"
        whole = f"llvm.{name}.{'' if first.width == 1 else f'v{first.width}'}{suffix}"
        given = ", ".join(f"{x.type} {x.name}" for x in operands)
        types = ", ".join(x.type for x in operands)
        self.declared.add(f"declare {first.type} @{whole}({types})")
        return self.result(f"call {first.type} @{whole}({given})", FLOAT, first.width)

    def call_each(self, name: str, *operands: Lanes) -> Lanes:
        """A function of the C library in double precision, called for each lane."""
        width = operands[0].width
        types = ", ".join(["double"] * len(operands))
        self.declared.add(f"declare double @{name}({types})")
        out: Lanes | None = None
        for lane in range(width):
            parts = [self._double(self.entry(x, lane)) for x in operands]
            given = ", ".join(f"double {part.name}" for part in parts)
            y = self._single(self.result(f"call double @{name}({given})", FLOAT, 1))
            if width == 1:
                return y
            vector = self.type_of(FLOAT, width)
            before = "poison" if out is None else out.name
            text = f"insertelement {vector} {before}, {self.number} {y.name}, i64 {lane}"
            out = self.result(text, FLOAT, width)
        assert out is not None
        return out

    def _double(self, x: Lanes) -> Lanes:
        if self.number == "double":
            return x
        return self.result(f"fpext float {x.name} to double", FLOAT, 1)

    def _single(self, x: Lanes) -> Lanes:
        if self.number == "double":
            return x
        return self.result(f"fptrunc double {x.name} to float", FLOAT, 1)

    def entry(self, x: Lanes, lane: int) -> Lanes:
        """One lane of a vector."""
        if x.width == 1:
            return x
        if x.constant is not None:
            return self.literal(x.constant)
        return self.result(f"extractelement {x.type} {x.name}, i64 {lane}", x.kind, 1)

    def bits(self, x: Lanes) -> Lanes:
        """The bits of a number as an integer, or those of an integer as a number."""
        kind = INTEGER if x.kind == FLOAT else FLOAT
        wanted = self.type_of(kind, x.width)
        return self.result(f"bitcast {x.type} {x.name} to {wanted}", kind, x.width)

    def sums(self, vectors: Sequence[Lanes]) -> list[Lanes]:
        """The sum of each vector's entries; all vectors have the same width."""
        if not vectors or vectors[0].width == 1:
            return list(vectors)
        width = vectors[0].width
        out: list[Lanes] = []
        for first in range(0, len(vectors), width):
            some = list(vectors[first : first + width])
            if len(some) < width // 2 or len(some) == 1:
                out += [self._sum(x) for x in some]
                continue
            some += [some[-1]] * (width - len(some))
            together = self.sum_each(some)
            out += [self.entry(together, lane) for lane in range(width)]
        return out[: len(vectors)]

    def _sum(self, x: Lanes) -> Lanes:
        """The sum of a vector's entries: halves are added, and their halves."""
        while x.width > 1:
            x = self._folded(x)
        return x

    def _folded(self, x: Lanes) -> Lanes:
        """The sum of a vector's halves."""
        if x.width == 2:
            return self.entry(x, 0) + self.entry(x, 1)
        half, parts = x.width // 2, []
        for side in (0, half):
            mask = ", ".join(f"i32 {side + k}" for k in range(half))
            text = f"shufflevector {x.type} {x.name}, {x.type} poison, <{half} x i32> <{mask}>"
            parts.append(self.result(text, FLOAT, half))
        return parts[0] + parts[1]

    def sum_each(self, vectors: Sequence[Lanes]) -> Lanes:
        """One vector with the sum of each of some vectors: as many as these have entries, or half
        of that, or a quarter, and so on."""
        some = list(vectors)
        while some[0].width > len(some):
            some = [self._folded(x) for x in some]
        width = some[0].width
        wide = self.type_of(FLOAT, width)
        # Each round adds the vectors' halves to each other in pairs, at half the distance.
        distance = 1
        while len(some) > 1:
            pairs = []
            for x, y in zip(some[::2], some[1::2], strict=True):
                low, high = [], []
                for k in range(0, width, 2 * distance):
                    for side, base in ((x, 0), (y, width)):
                        del side
                        low += [base + k + d for d in range(distance)]
                        high += [base + k + distance + d for d in range(distance)]
                sides = []
                for places in (low, high):
                    mask = ", ".join(f"i32 {p}" for p in places)
                    text = (
                        f"shufflevector {wide} {x.name}, {wide} {y.name}, <{width} x i32> <{mask}>"
                    )
                    sides.append(self.result(text, FLOAT, width))
                pairs.append(sides[0] + sides[1])
            some, distance = pairs, 2 * distance
        return some[0]

    def in_double(self, function: Callable[..., Lanes], *operands: Lanes) -> Lanes:
        """What a function on Lanes gives if it works in double precision."""
        if self.number == "double":
            return function(self, *operands)
        wide = []
        for x in operands:
            kind = x.type
            self.number = "double"
            text = f"fpext {kind} {x.name} to {x.type}"
            wide.append(
                self.result(text, FLOAT, x.width)
                if x.constant is None
                else self.literal(x.constant, x.width)
            )
            self.number = "float"
        self.number = "double"
        try:
            out = function(self, *wide)
            kind = out.type
        finally:
            self.number = "float"
        return self.result(f"fptrunc {kind} {out.name} to {out.type}", FLOAT, out.width)

    def _hex(self, x: float) -> str:
        return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"

    # --- plain functions ---

    @contextmanager
    def uncontracted(self) -> Iterator[None]:
        """Have products and sums stay two operations meanwhile, each rounded."""
        before, self._contract = self._contract, False
        try:
            yield
        finally:
            self._contract = before

    def decide(self, condition: Lanes) -> bool:
        """The way taken at a branch of the function under `traced`."""
        known = self.decided.get(condition.name, condition.constant)
        return self._ways.outcome(condition) if known is None else bool(known)

    def traced(self, function: Callable[..., Any], *operands: Lanes) -> Lanes:
        """What a plain function of floats gives: each way through it, selected among."""
        return self.traced_all(function, *operands)[0]

    def traced_all(self, function: Callable[..., Any], *operands: Lanes) -> list[Lanes]:
        """The same for a function that gives several numbers."""
        width = max(x.width for x in operands)

        def run() -> list[Lanes]:
            given = function(*operands)
            numbers = given if isinstance(given, tuple) else (given,)
            return [x if isinstance(x, Lanes) else self.literal(x, width) for x in numbers]

        def choose(condition: Lanes, these: list[Lanes], others: list[Lanes]) -> list[Lanes]:
            pairs = zip(these, others, strict=True)
            return [self.select(condition, x, y) for x, y in pairs]

        return [self.widened(x, width) for x in self._ways.explored(run, choose)]

    def branches(self, function: Callable[..., Any], *operands: Lanes) -> list[Lanes]:
        """The conditions that a plain function branches on, on all ways through it."""
        found: dict[str, Lanes] = {}

        def note(condition: Lanes, these: Any, others: Any) -> Any:
            found.setdefault(condition.name, condition)

        self._ways.explored(lambda: function(*operands), note)
        return [*found.values()]


_INSTRUCTIONS = {  # of LLVM's, by kind and operator
    (FLOAT, "add"): "fadd contract",
    (FLOAT, "sub"): "fsub contract",
    (FLOAT, "mul"): "fmul contract",
    (FLOAT, "div"): "fdiv",
    (TRUTH, "and"): "and",
    (TRUTH, "or"): "or",
    **{(INTEGER, name): name for name in ("add", "sub", "mul", "and", "or", "shl", "ashr")},
    (INTEGER, "lshr"): "lshr",
    (INDEX, "add"): "add nsw",
    (INDEX, "sub"): "sub nsw",
    (INDEX, "mul"): "mul nsw",
    # of hashes, which wrap around
    (INDEX, "plus"): "add",
    (INDEX, "times"): "mul",
    **{(INDEX, name): name for name in ("xor", "and", "or", "lshr", "ashr")},
}
_FOLD: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul")},
    "div": operator.truediv,
}
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    **{f"o{name}": getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq")},
    "une": operator.ne,
    "ugt": lambda a, b: not a <= b,
}


def _rounded(x: float) -> float:
    """The nearest single-precision number, or an infinity."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")
