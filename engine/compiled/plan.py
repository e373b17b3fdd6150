"""The call plan: what a call of a program does after the first, for arguments of one signature.

In: a path, and the signature of the arguments. Out: functions, written for just these, that check
the arguments, pack their numbers, run the machine code and build the results. Where anything is
unusual they return `AGAIN`: another type or length, surroundings that changed, a mode in force, a
guard that failed, a nan on the way. Then the program takes the full way (`paths`), which knows.
"""

from __future__ import annotations

import functools
import itertools
import operator
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any

import numpy as np

from engine import modes
from engine.compiled.arguments import rows_of
from engine.compiled.blocks import Array, follow
from engine.compiled.machine import Machine
from engine.compiled.paths import Path, Paths
from engine.compiled.results import Whole, rebuilt
from engine.compiled.seats import Seats, SeatsByWidth, View
from engine.trees import record_maker
from engine.value import gradient_lock, to_float

AGAIN: Any = object()
Call = Callable[[tuple[Any, ...], dict[str, Any]], Any]
Part = Callable[[Mapping[int, int]], str]  # the gradient by a part, from places of adjoints
_FEW = 8  # numbers that are given names of their own
_MOST_LINES = 2_000  # of a function: structures of more parts take the full way
NOTHING = -1  # the place of a gradient that is 0.0, since the path does not read the leaf


def _again(args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return AGAIN


class Plan:
    """The functions for a path, and a state of what it reads: `value`, `value_and_grad` and
    `backward`. Each is made when it is first needed."""

    def __init__(self, paths: Paths | None = None, path: Path | None = None) -> None:
        self._paths, self.path = paths, path
        self._state = _state(paths) if paths else ()
        self._made: dict[str, tuple[Machine, bool, Call]] = {}
        self.value: Call = _again
        self.value_and_grad: Call = _again
        self.backward: Call = _again

    @property
    def paths(self) -> Paths:
        """Where the path is from."""
        assert self._paths is not None
        return self._paths

    def replaced_by(self, other: Plan) -> bool:
        """Whether that is a plan for the same path."""
        return other._paths is self._paths and other.path is self.path

    def holds(self, paths: Paths, path: Path) -> bool:
        """Whether this is the plan for a path, with its surroundings as they are."""
        same = paths is self._paths and path is self.path
        now = _state(paths) if same else ()
        return len(now) == len(self._state) and all(map(operator.is_, now, self._state))

    def put(self, kind: str, machine: Machine, write: Callable[[Writer], Call]) -> None:
        """Have a function for this machine as it is; of what is too unusual for one there is
        none."""
        made = self._made.get(kind)
        if made is None or made[:2] != (machine, machine.hot):
            try:
                call = write(Writer(self.paths, machine))
            except UnfitError:
                call = _again
            made = self._made[kind] = (machine, machine.hot, call)
        setattr(self, kind, made[2])

    def rest(self, kind: str) -> None:
        """Have a function not be tried until it is put there again."""
        setattr(self, kind, _again)


def _state(paths: Paths) -> tuple[Any, ...]:
    """What functions of a plan are written for, besides the path."""
    tests = paths.around.tests or ()
    return (
        paths,
        paths.around,
        paths.statics,
        len(tests),
        *[x for test in tests for x in test[1:]],
    )


class UnfitError(Exception):
    """An argument is of another kind than the plan is for, or there can't be a plan."""


# What else may be raised: by packing, where surroundings are gone, where two take one seat.
_UNFIT = (UnfitError, OverflowError, struct.error, LookupError, ValueError)


def number(x: Any) -> float:
    """Return a number that is not exactly a float as one. Raises UnfitError for anything else."""
    if type(x) is int or isinstance(x, np.floating | np.integer):
        return to_float(x)
    raise UnfitError


def numbers(items: Iterable[Any]) -> list[float]:
    """The same for several, some of which may be floats."""
    return [x if type(x) is float else number(x) for x in items]


def examples(x: Any) -> Array:
    """Return a list as an array. Raises UnfitError for anything but numbers."""
    if type(x) is list:
        x = np.asarray(x)
    if type(x) is np.ndarray and x.dtype.kind in "fiu":
        return x
    raise UnfitError


_SPACE = {
    "AGAIN": AGAIN,
    "UNFIT": _UNFIT,
    "DOUBLE": np.dtype(np.float64),
    "errstate": np.errstate,
    "examples": examples,
    "gradient_lock": gradient_lock,
    "maker": record_maker,
    "modes": modes,
    "ndarray": np.ndarray,
    "number": number,
    "numbers": numbers,
    "rows_of": rows_of,
    "zeros": np.zeros,
}


class Writer:
    """Writes a function of a plan: `arguments` first, then `run`, then `end`."""

    def __init__(self, paths: Paths, machine: Machine) -> None:
        self._paths, self._machine = paths, machine
        self._lines: list[str] = []
        self._count = itertools.count()
        self._given: list[str] = []  # expressions of numbers to pack
        self._packed: list[bool] = []  # which of the shared inputs these are
        self._arrays: dict[int, tuple[str, tuple[int, ...]]] = {}  # by their first input
        self._gradients: dict[int, str] = {}  # views of their adjoints
        self._batches: list[str] = []  # arrays with a row an example
        self._views: list[View] = []
        self._statics = iter(paths.statics)
        self._space = dict(_SPACE)
        self._outputs = ""  # all of them in one array, where the result is made of that
        self._named = True  # whether each result has a name of its own

    # --- text ---

    def keep(self, item: Any) -> str:
        """A name for an object."""
        if item is None:
            return "None"
        name = f"k{next(self._count)}"
        self._space[name] = item
        return name

    def line(self, text: str) -> None:
        """Add a line. Raises UnfitError where there are too many."""
        self._lines.append(text)
        if len(self._lines) > _MOST_LINES:
            raise UnfitError

    def _check(self, unfit: str) -> None:
        self.line(f"if {unfit}: return AGAIN")

    def _new(self, count: int) -> list[str]:
        return [f"v{next(self._count)}" for _ in range(count)]

    # --- arguments ---

    def arguments(self, signature: Sequence[Any], positional: int) -> list[Part]:
        """Check the arguments, and what the function reads besides; return their gradients."""
        self._check("modes.special")
        keywords = tuple(key[0] for key in signature[positional:])
        keys = [*signature[:positional], *[key[1] for key in signature[positional:]]]
        self._check(f"tuple(keywords) != {self.keep(keywords)}" if keywords else "keywords")
        self._check(f"len(args) != {positional}")
        names = self._new(len(signature))
        if positional:
            self.line(f"{', '.join(names[:positional])}, = args")
        for name, keyword in zip(names[positional:], keywords, strict=True):
            self.line(f"{name} = keywords[{keyword!r}]")
        parts = [self._take(name, key) for name, key in zip(names, keys, strict=True)]
        self._check_surroundings()
        return parts

    def _take(self, name: str, key: Any) -> Part:
        """Check an argument, or a part of one, by its signature (`arguments`)."""
        if key == "number":
            self.line(f"if type({name}) is not float: {name} = number({name})")
            return self._number(name)
        kind = key[0]
        if kind == "static":
            self._take_static(name, key)
            return lambda places: "None"
        if kind in ("batch", "batch array"):
            return self._take_batch(name, *key)
        if kind == "array":
            return self._take_array(name, key[1])
        if kind == "dict":
            keys = tuple(k for k, _ in key[1])
            self._check(f"type({name}) is not dict or tuple({name}) != {self.keep(keys)}")
            parts = self._take_parts(f"{name}.values()", [part for _, part in key[1]])
            kept = [self.keep(k) for k in keys]
            return lambda places: _dict_of(kept, [part(places) for part in parts])
        if issubclass(kind, list | tuple):
            return self._take_sequence(name, *key)
        return self._take_record(name, *key)

    def _take_static(self, name: str, key: Any) -> None:
        if len(key) == 2:  # a function
            self._check(f"{name} is not {self.keep(next(self._statics))}")
        elif key[1] is str:
            self._check(f"type({name}) is not {self.keep(str)} or {name} != {key[2]!r}")
        elif key[2] in (None, True, False):
            self._check(f"{name} is not {key[2]}")
        else:
            raise UnfitError

    def _number(self, expression: str) -> Part:
        at = len(self._packed)
        self._put(expression, 1)
        return lambda places: self.text(places[at])

    def _put(self, expression: str, count: int) -> None:
        self._given.append(expression)
        self._packed += [True] * count

    def _take_sequence(self, name: str, kind: type, keys: Sequence[Any]) -> Part:
        self._check(f"type({name}) is not {self.keep(kind)} or len({name}) != {len(keys)}")
        opening, closing = "[", "]"
        if not issubclass(kind, list):
            opening, closing = f"{self.keep(getattr(kind, '_make', tuple))}([", "])"
        if len(keys) <= _FEW or any(key != "number" for key in keys):
            parts = self._take_parts(name, keys)
            return lambda places: opening + ", ".join([p(places) for p in parts]) + closing
        at, floats = len(self._packed), self.keep([float] * len(keys))
        self.line(f"if [*map(type, {name})] != {floats}: {name} = numbers({name})")
        self._put(f"*{name}", len(keys))
        inputs = range(at, at + len(keys))
        return lambda places: opening[:-1] + self.list_of([places[i] for i in inputs]) + closing[1:]

    def _take_parts(self, name: str, keys: Sequence[Any]) -> list[Part]:
        names = self._new(len(keys))
        if names:
            self.line(f"{', '.join(names)}, = {name}")
        return [self._take(own, key) for own, key in zip(names, keys, strict=True)]

    def _take_record(self, name: str, kind: type, fields: Sequence[tuple[str, Any]]) -> Part:
        self._check(f"type({name}) is not {self.keep(kind)}")
        names = self._new(len(fields))
        parts: dict[str, Part] = {}
        for own, (field, key) in zip(names, fields, strict=True):
            self.line(f"{own} = {name}.{field}")
            part = self._take(own, key)
            if key[0] != "static":
                parts[repr(field)] = part

        def made(places: Mapping[int, int]) -> str:
            return f"maker({name})({_dict_of(parts, [part(places) for part in parts.values()])})"

        return made

    def _take_array(self, name: str, shape: tuple[int, ...]) -> Part:
        self._check(f"type({name}) is not ndarray or {name}.shape != {self.keep(shape)}")
        self._check(f"{name}.dtype is not DOUBLE and {name}.dtype.kind not in 'fiu'")
        at, size = len(self._packed), int(np.prod(shape, dtype=int))
        if not size:
            raise UnfitError
        self._arrays[at] = name, shape
        self._packed += [False] * size
        return lambda places: f"{self._gradients[at]}.copy()"

    def _take_batch(self, name: str, kind: str, shape: tuple[int, ...]) -> Part:
        if 0 in shape:
            raise UnfitError
        if shape:
            self._check(f"type({name}) is not {'ndarray' if kind == 'batch array' else 'list'}")
        self.line(f"if type({name}) is not ndarray or {name}.dtype is not DOUBLE:")
        self.line(f" {name} = examples({name})")
        self._check(f"len({name}.shape) != {1 + len(shape)} or {name}.shape[1:] != {shape}")
        if self._batches:
            self._check(f"len({name}) != count")
        else:
            self.line(f"count = len({name})")
        self._batches.append(name)
        return lambda places: "None"

    def _check_surroundings(self) -> None:
        around = self._paths.around
        tests = around.tests
        if tests is None:
            self._check(f"not {self.keep(around.hold)}()")
        elif tests:
            texts = [text.format(self.keep(x), self.keep(y)) for text, x, y in tests]
            self._check(" or ".join(texts))

    # --- a run ---

    def run(
        self,
        path: Path,
        inputs: Sequence[int] = (),
        leaves: Sequence[int] = (),
        *,
        backward: bool,
        count: int = 0,
        mean: bool = False,
    ) -> tuple[list[int], dict[int, int]]:
        """Run the machine code. Return the places of outputs among the results, and those of
        adjoints: by input for shared `inputs`, and after them by leaf for `leaves` of the path.

        With examples, as now `count`, the outputs are an array, `outputs`, with a row for each, and
        the gradients of examples another, `gradients`, with a column for each; their weights are
        such that it is the `mean` of which gradients are, or the sum.
        Raises UnfitError where there is no machine code."""
        after = len(self._packed)
        self._read_leaves([self._paths.leaves[k] for k in path.leaf_places.tolist()])
        chosen = {*inputs}
        own = [k for k in inputs if self._packed[k]] + [after + k for k in leaves]
        whole = isinstance(path.structure, Whole)  # its outputs are no single numbers
        arrays = [(name, self._view("vs", at, shape)) for at, (name, shape) in self._arrays.items()]
        for at, (_, shape) in self._arrays.items():
            if at in chosen:
                self._gradients[at] = self._view("gs", at, shape)
        if whole:
            self._outputs = self._view("outputs", 0, (len(path.tape.outputs),))
        seats = self._take_seat(backward, count)
        self._fill(seats, arrays)
        wanted = np.zeros(len(self._packed), bool)
        wanted[own] = True
        self._space["unpack"] = seats.unpacker(wanted.tolist(), outputs=not whole)
        first, unpacked = 1 + (seats.checked and not count), 0 if whole else seats.outputs
        total = first + unpacked + int(wanted.sum())
        self._named = total <= 2 * _FEW
        unusual = self.text(0)
        if count:
            weight = "1.0 / count" if mean else "1.0"
            self.line(f"outputs, gradients, failed = seats.run(seat, data, {weight})")
            unusual += " or failed"
        else:
            self.line("drive(at)")
            unusual += f" or {self.text(1)} >= 0" if seats.checked else ""
        results = f"{', '.join(map(self.text, range(total)))}," if self._named else "r"
        self.line(f"{results} = unpack(memory)")
        self.line(f"if {unusual}:")
        self.line(" clean(seat)")
        self.line(" free.append(seat)")
        self.line(" return AGAIN")
        adjoints = range(first + unpacked, total)
        outputs = list(range(first, first + unpacked))
        return outputs, dict(zip(np.flatnonzero(wanted).tolist(), adjoints, strict=True))

    def _read_leaves(self, leaves: Sequence[Any]) -> None:
        if len(leaves) > _FEW:
            self._put(f"*[leaf._data for leaf in {self.keep(leaves)}]", len(leaves))
        else:
            for leaf in leaves:
                self._put(f"{self.keep(leaf)}._data", 1)

    def _view(self, buffer: str, at: int, shape: tuple[int, ...]) -> str:
        self._views.append((buffer, slice(at, at + int(np.prod(shape, dtype=int))), shape))
        return f"view{len(self._views) - 1}"

    def _heat(self) -> None:
        """Have a machine that is called often compiled for that, as it does by itself."""
        most = self._machine.calls_until_hot
        if most is None:
            return
        machine, calls = self.keep(self._machine), self.keep(itertools.count(1))
        self.line(f"if {machine}.hot or next({calls}) > {most}:")
        self.line(f" {machine}.hot = True")
        self.line(" return AGAIN")

    def _take_seat(self, backward: bool, count: int) -> Seats:
        by_width = SeatsByWidth(self._machine, backward=backward, views=self._views)
        seats = by_width(count)
        if seats is None:
            raise UnfitError
        if count:
            self.line(f"seats = {self.keep(by_width)}(count) if count else None")
            self._check("seats is None")
            self.line("free, make, clean = seats.free, seats.make, seats.clean")
        else:
            self._space |= {"free": seats.free, "make": seats.make, "clean": seats.clean}
            self._space["drive"] = seats.drive
            self._heat()
        views = [f"view{k}" for k in range(len(self._views))]
        self.line("seat = free.pop() if free else make()")
        self.line(f"{', '.join(['memory', 'at', *views, '_'])} = seat")
        return seats

    def _fill(self, seats: Seats, arrays: Sequence[tuple[str, str]]) -> None:
        if self._given:
            self._space["pack"], place = seats.packer(self._packed)
            self.line(f"pack(memory, {place}, {', '.join(self._given)})")
        copies = [f"{view}[...] = {name}" for name, view in arrays]
        if self._batches:
            dtype = self.keep(np.dtype(self._paths.dtype))
            copies.append(f"data = rows_of([{', '.join(self._batches)}], {dtype})")
        if copies and self._paths.dtype == "float32":  # where a large double may be inf
            copies = ["with errstate(all='ignore'):", *[f" {line}" for line in copies]]
        for line in copies:
            self.line(line)

    # --- results ---

    def text(self, place: int) -> str:
        """A result."""
        if place == NOTHING:
            return "0.0"
        return f"r{place}" if self._named else f"r[{place}]"

    def list_of(self, places: Sequence[int]) -> str:
        """A list of results."""
        if self._named or len(places) <= _FEW:
            return f"[{', '.join(map(self.text, places))}]"
        if [*places] == [*range(places[0], places[0] + len(places))] and places[0] != NOTHING:
            return f"[*r[{places[0]}:{places[0] + len(places)}]]"
        return f"[*{self.keep(operator.itemgetter(*places))}((*r, 0.0))]"

    def result(self, structure: Any, outputs: Sequence[int]) -> str:
        """What the function returns: a structure with outputs in its places."""
        if isinstance(structure, int):
            return self.text(outputs[structure])
        if isinstance(structure, Whole):
            return f"{self.keep(structure.of)}({self._outputs}.copy())"
        if type(structure) is list and all(isinstance(part, int) for part in structure):
            return self.list_of([outputs[k] for k in structure])
        if type(structure) is list:
            return f"[{', '.join([self.result(part, outputs) for part in structure])}]"
        if type(structure) is tuple:
            return f"({''.join([f'{self.result(part, outputs)}, ' for part in structure])})"
        if type(structure) is dict:
            parts = [self.result(part, outputs) for part in structure.values()]
            return _dict_of([self.keep(key) for key in structure], parts)
        dtype = self._paths.dtype
        make = functools.partial(lambda filling: rebuilt(structure, filling, dtype))
        return f"{self.keep(make)}({self.list_of(outputs)})"

    def of_columns(
        self,
        make: Callable[..., Any],
        entries: Sequence[int | str],
        structure: str,
        sample_of: Any,
    ) -> str:
        """What is made of a structure, which may be like `sample_of`, and of entries for it:
        columns of `gradients`, by their places or `NOTHING`, and numbers, by what they are
        called."""
        some = [0.0 if isinstance(e, str) else np.array([e]) for e in entries]
        sample = make(sample_of, entries=iter(some))
        if isinstance(sample, np.ndarray):
            return f"{self.keep(_taking(sample))}(gradients)"
        self.line("columns = [*gradients.T.copy(), zeros(count, gradients.dtype)]")
        parts = [e if isinstance(e, str) else f"columns[{e}]" for e in entries]
        return f"{self.keep(make)}({structure}, entries=iter([{', '.join(parts)}]))"

    def adjoint(self, row: int, found: Mapping[int, int]) -> str:
        """The adjoint of a shared input, as a number."""
        if row in found:
            return self.text(found[row])
        at = max(at for at in self._gradients if at <= row)
        return f"{self._gradients[at]}.item({row - at})"

    def add(self, leaves: Sequence[Any], places: Sequence[int]) -> None:
        """Add gradients to those of leaves."""
        self.line("with gradient_lock:")
        self.line(f" for leaf, g in zip({self.keep(leaves)}, {self.list_of(places)}):")
        self.line("  leaf._grad += g")

    def end(self, result: str) -> Call:
        """Return the function, which returns this."""
        lines = [*self._lines, f"result = {result}", "free.append(seat)", "return result"]
        body = "\n".join(f"  {line}" for line in lines)
        text = f"def call(args, keywords):\n try:\n{body}\n except UNFIT:\n  return AGAIN\n"
        exec(_compiled(text), self._space)
        call: Call = self._space.pop("call")  # or it would be in a cycle
        return call


def _taking(sample: Array) -> Callable[[Array], Array]:
    """What takes columns of a matrix, as in a sample of one row, where each has its place."""
    shape, places = sample.shape[1:], sample[0].ravel()
    if places[0] != NOTHING and follow(places):
        part = slice(int(places[0]), int(places[-1]) + 1)
        return lambda matrix: np.ascontiguousarray(matrix[:, part]).reshape(-1, *shape)

    def take(matrix: Array) -> Array:
        padded = np.hstack([matrix, np.zeros((len(matrix), 1), matrix.dtype)])
        taken: Array = padded.take(places, axis=1)
        return taken.reshape(-1, *shape)

    return take


def _dict_of(keys: Iterable[str], parts: Iterable[str]) -> str:
    entries = [f"{key}: {part}" for key, part in zip(keys, parts, strict=True)]
    return f"{{{', '.join(entries)}}}"


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> CodeType:
    return compile(text, "<call plan>", "exec")
