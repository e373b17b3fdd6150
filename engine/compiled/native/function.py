"""Functions of machine code under construction: memory, counts, loops and branches.

LLVM allots registers and writes the code: see `native`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.compiled.native.numbers import DOUBLE, FLOAT, INDEX, TRUTH, Arithmetic, Lanes


class Function(Arithmetic):
    """The body of a function."""

    def __init__(self, number: str, *, contract: bool = True) -> None:
        super().__init__(number, contract=contract)
        self._rooms: list[str] = []

    # --- memory ---

    def room(self, count: int) -> str:
        """A buffer of the function's own, for so many numbers."""
        name = f"%room{len(self._rooms)}"
        self._rooms.append(f" {name} = alloca [{max(1, count)} x {self.number}], align 64")
        return name

    def address(self, buffer: str, offset: Any) -> str:
        """The address of a number in a buffer."""
        text = f"getelementptr inbounds {self.number}, ptr {buffer}, i64 {_name(offset)}"
        return self.result(text, INDEX, 1).name

    def load(
        self,
        buffer: str,
        offset: Any,
        width: int = 1,
        used: int | None = None,
        unused: float = 0.0,
    ) -> Lanes:
        """`width` numbers of a buffer; all but the first `used` are not read, but `unused`."""
        kind, where = self.type_of(FLOAT, width), self.address(buffer, offset)
        if used is None or used == width:
            text = f"load {kind}, ptr {where}, align {self._align}"
            return self.result(text, FLOAT, width, pure=False)
        whole = f"llvm.masked.load.v{width}{'f64' if self.number == 'double' else 'f32'}.p0"
        self.declared.add(f"declare {kind} @{whole}(ptr, i32, <{width} x i1>, {kind})")
        mask, rest = self.mask(width, used), self.literal(unused, width)
        given = f"ptr {where}, i32 {self._align}, {mask}, {kind} {rest.name}"
        text = f"call {kind} @{whole}({given})"
        return self.result(text, FLOAT, width, pure=False)

    def row(self, buffer: str, first: Any, unused: float = 0.0) -> Callable[[Any, int, int], Lanes]:
        """What loads numbers of a row that begins at a place: from which of its places on, how
        many, and how many of them are used."""
        where = self.address(buffer, first)
        return lambda c, width, used: self.load(where, c, width, used, unused)

    def store(
        self, x: Lanes, buffer: str, offset: Any, used: int | None = None, adds: bool = False
    ) -> None:
        """Put numbers into a buffer, or add them there; only the first `used` of them."""
        if adds:
            x = self.load(buffer, offset, x.width, used) + x
        where = self.address(buffer, offset)
        if used is None or used == x.width:
            self.lines.append(f" store {x.type} {x.name}, ptr {where}, align {self._align}")
            return
        whole = f"llvm.masked.store.v{x.width}{'f64' if self.number == 'double' else 'f32'}.p0"
        self.declared.add(f"declare void @{whole}({x.type}, ptr, i32, <{x.width} x i1>)")
        mask = self.mask(x.width, used)
        self.lines.append(
            f" call void @{whole}({x.type} {x.name}, ptr {where}, i32 {self._align}, {mask})"
        )

    @property
    def _align(self) -> int:
        return 8 if self.number == "double" else 4

    def mask(self, width: int, used: int) -> str:
        """The constant that holds for the first `used` of `width` lanes."""
        flags = ", ".join("i1 1" if k < used else "i1 0" for k in range(width))
        return f"<{width} x i1> <{flags}>"

    # --- numbers in double precision, whatever the others are ---

    def load_double(self, buffer: str, offset: Any) -> Lanes:
        """A double of a buffer, for `from_double`, `quotient` and `differs`."""
        text = f"load double, ptr {self.word_address(buffer, offset)}, align 8"
        return self.result(text, DOUBLE, 1, pure=False)

    def put_double(self, x: Lanes, buffer: str, offset: Any) -> None:
        """Set a double of a buffer."""
        wide = x if x.kind == DOUBLE else self._double(x)
        where = self.word_address(buffer, offset)
        self.lines.append(f" store double {wide.name}, ptr {where}, align 8")

    def add_double(self, x: Lanes, buffer: str, offset: Any) -> None:
        """Add to a double of a buffer."""
        before, wide = self.load_double(buffer, offset), self._double(x)
        both = self.result(f"fadd double {before.name}, {wide.name}", DOUBLE, 1)
        self.put_double(both, buffer, offset)

    def quotient(self, x: float, y: Lanes) -> Lanes:
        """x / y for a double y."""
        return self.result(f"fdiv double {self._hex(x)}, {y.name}", DOUBLE, 1)

    def from_double(self, x: Lanes) -> Lanes:
        """A double as a number."""
        return self._single(x) if self.number == "float" else Lanes(self, x.name, FLOAT, 1)

    def differs(self, x: Lanes, number: float) -> Lanes:
        """Whether a number or a double is not this one; nan is none."""
        kind = "double" if x.kind == DOUBLE else self.number
        return self.result(f"fcmp une {kind} {x.name}, {self._hex(number)}", TRUTH, 1)

    def as_word(self, address: str) -> Lanes:
        """An address as a word."""
        return self.result(f"ptrtoint ptr {address} to i64", INDEX, 1)

    # --- words: addresses, counts and flags, 64 bits each ---

    def word(self, buffer: str, offset: Any) -> Lanes:
        """A word of a buffer."""
        where = self.word_address(buffer, offset)
        return self.result(f"load i64, ptr {where}, align 8", INDEX, 1, pure=False)

    def put_word(self, x: Any, buffer: str, offset: Any) -> None:
        """Set a word of a buffer."""
        self.lines.append(
            f" store i64 {_name(x)}, ptr {self.word_address(buffer, offset)}, align 8"
        )

    def pointer(self, buffer: str, offset: Any) -> str:
        """The address that a word of a buffer is."""
        where = self.word_address(buffer, offset)
        return self.result(f"load ptr, ptr {where}, align 8", INDEX, 1, pure=False).name

    def put_room(self, words: int, buffer: str, offset: Any) -> None:
        """Set a word of a buffer to the address of room for words, while the function runs."""
        room = self.result(f"alloca i64, i64 {words}", INDEX, 1, pure=False)
        self.put_word(self.as_word(room.name), buffer, offset)

    def operation_word(self, offset: Any) -> Lanes:
        """A word of the operations that segments have, which are 32 bits each."""
        where = self.result(
            f"getelementptr inbounds i32, ptr %ops, i64 {_name(offset)}", INDEX, 1
        ).name
        narrow = self.result(f"load i32, ptr {where}, align 4", INDEX, 1, pure=False)
        return self.result(f"sext i32 {narrow.name} to i64", INDEX, 1, pure=False)

    def word_address(self, buffer: str, offset: Any) -> str:
        """The address of a word of a buffer, or of a double."""
        return self.result(
            f"getelementptr inbounds i64, ptr {buffer}, i64 {_name(offset)}", INDEX, 1
        ).name

    def holds(self, how: str, x: Any, y: Any) -> Lanes:
        """A comparison of words, as "slt" or "eq"."""
        return self.result(f"icmp {how} i64 {_name(x)}, {_name(y)}", TRUTH, 1)

    def whole(self, condition: Lanes, x: Any, y: Any) -> Lanes:
        """The word x where the condition holds, else y."""
        text = f"select i1 {condition.name}, i64 {_name(x)}, i64 {_name(y)}"
        return self.result(text, INDEX, 1)

    def number_of(self, x: Lanes) -> Lanes:
        """A word as a number."""
        return self.result(f"sitofp i64 {x.name} to {self.number}", FLOAT, 1)

    def word_like(self, x: Lanes | int) -> Lanes:
        """A word, known or not."""
        return x if isinstance(x, Lanes) else self.index(x)

    def word_of(self, x: Lanes) -> Lanes:
        """A number without its fraction, as a word."""
        return self.result(f"fptosi {x.type} {x.name} to i64", INDEX, 1)

    def any(self, condition: Lanes) -> Lanes:
        """Whether a condition holds in any lane."""
        width = condition.width
        if width == 1:
            return condition
        cast = self.result(f"bitcast {condition.type} {condition.name} to i{width}", TRUTH, 1)
        return self.result(f"icmp ne i{width} {cast.name}, 0", TRUTH, 1)

    def largest(self, x: Lanes) -> Lanes:
        """The largest of numbers without a fraction, as a word."""
        if x.width > 1:
            kind = f"v{x.width}{'f64' if self.number == 'double' else 'f32'}"
            self.declared.add(f"declare {self.number} @llvm.vector.reduce.fmax.{kind}({x.type})")
            text = f"call {self.number} @llvm.vector.reduce.fmax.{kind}({x.type} {x.name})"
            x = self.result(text, FLOAT, 1)
        return self.word_of(x)

    def note_nan(self, x: Lanes, status: int) -> None:
        """Set a status word where there is a nan among the lanes at hand."""
        found = self.any(self.compare("uno", x, x))
        word = self.result(f"zext i1 {found.name} to i64", INDEX, 1)
        before = self.word("%pool", status)
        either = self.result(f"or i64 {before.name}, {word.name}", INDEX, 1, pure=False)
        self.put_word(either, "%pool", status)

    # --- control ---

    def loop(
        self,
        count: Any,
        body: Callable[..., Sequence[Lanes] | None],
        carried: Sequence[Lanes] = (),
        step: int = 1,
        *,
        unrolled: bool = False,
    ) -> list[Lanes]:
        """Run body(i, *carried) for i = 0, step, … below count; it returns the next `carried`, or
        None if there are none.

        Returns the last ones. A body that runs once is no loop, nor is what is `unrolled`; else
        `count` may be known at run time.
        """
        known = count.constant if isinstance(count, Lanes) else count
        if known is not None and (unrolled or known <= step):
            for k in range(0, known, step):
                carried = body(k, *carried) or ()
            return list(carried)
        if known is not None:
            return self._repeat(str(known), body, carried, step)
        some = self.holds("sgt", count, 0)
        return self.when(some, lambda: self._repeat(count.name, body, carried, step), carried)

    def _repeat(
        self,
        count: str,
        body: Callable[..., Sequence[Lanes] | None],
        carried: Sequence[Lanes],
        step: int,
    ) -> list[Lanes]:
        """The same, at least once."""

        def one(i: Lanes, *inside: Lanes) -> tuple[Lanes, Sequence[Lanes]]:
            following = list(body(i, *inside) or ())
            later = self.result(f"add nuw nsw i64 {i.name}, {step}", INDEX, 1, pure=False)
            text = f"icmp slt i64 {later.name}, {count}"
            return self.result(text, TRUTH, 1, pure=False), following

        return self.until(one, carried, step)

    def until(
        self,
        body: Callable[..., tuple[Lanes, Sequence[Lanes]]],
        carried: Sequence[Lanes],
        step: int = 1,
    ) -> list[Lanes]:
        """Run body(t, *carried) for t = 0, step, … as long as the condition holds that it returns
        with the next `carried`, but once at least. Returns the last ones."""
        self._count += 1
        head, after, before = f"loop{self._count}", f"done{self._count}", self._label
        self.lines += [f" br label %{head}", f"{head}:"]
        place = len(self.lines)
        names = [f"%i{self._count}", *[f"%c{self._count}_{k}" for k in range(len(carried))]]
        self.lines += [""] * len(names)
        self._label = head
        self._known.append({})
        t = Lanes(self, names[0], INDEX, 1)
        pairs = zip(names[1:], carried, strict=True)
        more, following = body(t, *[Lanes(self, name, x.kind, x.width) for name, x in pairs])
        later = self.result(f"add nuw nsw i64 {t.name}, {step}", INDEX, 1, pure=False)
        self.lines += [f" br i1 {more.name}, label %{head}, label %{after}", f"{after}:"]
        ends = [(self.index(0), later), *zip(carried, following, strict=True)]
        for k, (name, (x, y)) in enumerate(zip(names, ends, strict=True)):
            self.lines[place + k] = (
                f" {name} = phi {x.type} [ {x.name}, %{before} ], [ {y.name}, %{self._label} ]"
            )
        self._known.pop()
        self._label = after
        return [*following]

    def when(
        self,
        condition: Lanes,
        body: Callable[[], Sequence[Lanes] | None],
        otherwise: Sequence[Lanes] = (),
    ) -> list[Lanes]:
        """Run a body where the condition, of one lane, holds; return what it returns, else the
        same of `otherwise`."""
        self._count += 1
        inside, after, before = f"when{self._count}", f"after{self._count}", self._label
        text = f" br i1 {condition.name}, label %{inside}, label %{after}"
        self.lines += [text, f"{inside}:"]
        self._label = inside
        self._known.append({})
        given = list(body() or ())
        self._known.pop()
        self.lines += [f" br label %{after}", f"{after}:"]
        out = [
            self.result(
                f"phi {y.type} [ {x.name}, %{self._label} ], [ {y.name}, %{before} ]",
                y.kind,
                y.width,
                pure=False,
            )
            for x, y in zip(given, otherwise, strict=True)
        ]
        self._label = after
        return out

    def by_cases(self, conditions: Sequence[Lanes], body: Callable[[], Any]) -> None:
        """Run a body that is written down for each way in which some conditions hold or not."""
        if not conditions:
            body()
            return
        first, *others = conditions
        for holds in (True, False):
            self.decided[first.name] = holds
            self.when(first if holds else ~first, lambda: self.by_cases(others, body))
        del self.decided[first.name]

    def switch(self, word: Lanes, cases: dict[int, Callable[[], None]]) -> None:
        """Run the body whose number a word is; it is one of them."""
        self._count += 1
        after, labels = f"after{self._count}", {k: f"case{self._count}_{k}" for k in cases}
        arms = " ".join(f"i64 {k}, label %{label}" for k, label in labels.items())
        self.lines.append(f" switch i64 {word.name}, label %{after} [ {arms} ]")
        for k, body in cases.items():
            self.lines.append(f"{labels[k]}:")
            self._label = labels[k]
            self._known.append({})
            body()
            self._known.pop()
            self.lines.append(f" br label %{after}")
        self.lines.append(f"{after}:")
        self._label = after

    def call_part(self, name: str, start: Any, w: Any) -> None:
        """Call a part of a program, for the lanes at hand."""
        given = ", ".join(f"ptr {x}" for x in _NAMES)
        self.lines.append(f" call void @{name}({given}, i64 {_name(start)}, i64 {_name(w)})")

    def text(
        self, name: str, parameters: str = "", *, inner: bool = True, good: bool = False
    ) -> str:
        """The whole function: a part of a program, or with `parameters` of its own; `good` if it is
        to be good code also where code is made in a quick way."""
        linkage, how = "internal " if inner else "", "#0" if good else "#1"
        head = f"define {linkage}void @{name}({parameters or PARAMETERS}) {how} {{\nentry:\n"
        return head + "\n".join([*self._rooms, *self.lines, " ret void\n}\n"])


# What each part of a program is given: lists and status words, the operations of segments, the
# job (see `driver`), values and adjoints of both spaces, the first example of the lanes at hand
# and how many of them count.
_NAMES = ("%pool", "%ops", "%job", "%vs", "%gs", "%vl", "%gl")
PARAMETERS = ", ".join(f"ptr noalias {name}" for name in _NAMES) + ", i64 %start, i64 %w"


def _name(x: Any) -> str:
    """A word, known or not, as it is written."""
    return x.name if isinstance(x, Lanes) else str(x)


def calls(name: str, others: Sequence[str]) -> str:
    """A part that calls others, one after the other."""
    f = Function("")
    for other in others:
        f.call_part(other, "%start", "%w")
    return f.text(name)
