"""Source lines: where in the user's code each node of a computation was made.

A `Recorder` is put in force by `modes.recorded_by` while a function runs; then every node that is
made, every number that is read from a node, and every cut of the graph is reported to it. Without
one, nothing of this costs anything. `explaining` and `profiling` are built on it.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from engine import modes
from engine.calculus import flatten_arguments
from engine.copying import set_operands
from engine.errors import TraceError, shown, user_frame
from engine.trees import flatten, flatten_argument, is_array, is_record, simplified
from engine.value import Value, check_domain, computed_leaf

Spot = tuple[CodeType, int]  # a code object and an instruction in it


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A line of source. Two of one file and number are equal, whatever part of it is meant."""

    file: str
    number: int
    text: str = field(compare=False, default="")
    part: str = field(compare=False, default="")  # the expression meant, "" where not known

    @property
    def place(self) -> str:
        """The file, shortened where it is below the working folder, and the number."""
        name = shown(self.file)
        path = Path(name)
        if path.is_absolute() and path.is_relative_to(Path.cwd()):
            name = str(path.relative_to(Path.cwd()))
        return f"{name}:{self.number}"

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.text else self.place

    def marked(self) -> list[str]:
        """The line, and below it marks under the part that is meant, where that is not all."""
        indent = self.text.find(self.part)
        if self.part in ("", self.text) or indent < 0:
            return [str(self)]
        return [str(self), " " * (len(self.place) + 2 + indent) + "^" * len(self.part)]


def line_of(spot: Spot) -> Line:
    """The source line of an instruction, with the expression that it belongs to."""
    code, instruction = spot
    positions = itertools.islice(code.co_positions(), instruction // 2, None)
    start, end, left, right = next(positions, (None, None, None, None))
    if start is None:
        return Line(code.co_filename, code.co_firstlineno)
    source = linecache.getline(code.co_filename, start)
    part = ""
    if start == end and left is not None and right is not None:
        part = source.encode()[left:right].decode(errors="replace")  # columns count bytes
    return Line(code.co_filename, start, source.strip(), part)


class Recorder:
    """Remembers the source line of every node that is made, in the order of making.

    Override `made` and the rest to do something else with what is reported.
    """

    looks_inside = True  # whether checkpointed functions are to keep their nodes

    def __init__(self) -> None:
        self.spots: dict[Value, Spot] = {}
        self.cuts: dict[Value, tuple[Value, str]] = {}  # a leaf, what it was made of, and how
        self.reads: dict[Value, Spot] = {}  # nodes whose data was read
        self.comparisons: dict[Value, Spot] = {}
        self.ties: dict[Spot, float] = {}  # comparisons of two equal numbers
        self._lines: dict[Spot, Line] = {}

    def made(self, node: Value) -> None:
        """An operation was recorded."""
        self.spots[node] = spot(user_frame())

    def cut(self, node: Value, leaf: Value, reason: str) -> None:
        """A leaf was made of a node: by "detach" or "no_grad"."""
        self.cuts[leaf] = (node, reason)
        self.spots[leaf] = spot(user_frame())

    def read(self, node: Value) -> None:
        """The data of a node was read."""
        self.reads.setdefault(node, spot(user_frame()))

    def compared(self, name: str, node: Value, other: Any, swapped: bool) -> None:
        """A node was compared with a number or a node, or if `swapped` that with the node.

        `name` is a row's, such as "less".
        """
        frame = user_frame()
        at = spot(frame)
        number = other._data if isinstance(other, Value) else other
        # Comparisons in this project's own code are checks, and mean nothing to the user.
        if name != "equal" and node._data == number and frame is sys._getframe(2):
            self.ties[at] = node._data
        for one in (node, other):
            if isinstance(one, Value):
                self.comparisons.setdefault(one, at)

    def rounded(self, x: float) -> float:
        """What becomes of a number in the precision of the run."""
        return x

    def line(self, at: Spot | None) -> Line | None:
        """The line of a spot; None for what was not made under this recorder."""
        if at is None:
            return None
        found = self._lines.get(at)
        if found is None:
            found = self._lines[at] = line_of(at)
        return found


class _Single(Recorder):
    """A recorder in whose runs each number is one of float32."""

    def made(self, node: Value) -> None:
        """An operation was recorded: it is computed again of rounded operands."""
        super().made(node)
        set_operands(node, [(operand, self.rounded(x)) for operand, x in node._operands()])
        if node.op is not None and node.op.forward is not None:
            node._data = self.rounded(node.op.forward(*[x for _, x in node._operands()]))
            check_domain(node.op, node._data, node._operands())

    def rounded(self, x: float) -> float:
        """The number in float32, inf where it is too large."""
        import numpy as np

        with np.errstate(all="ignore"):
            return float(np.float32(x))


def recorder_for(dtype: Any) -> Recorder:
    """A recorder for runs in float64, which None stands for, or in float32.

    Raises ValueError for another dtype.
    """
    if dtype is None:
        return Recorder()
    import numpy as np

    if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise ValueError(f"numbers are of float64 or float32, not {np.dtype(dtype)}")
    return _Single() if np.dtype(dtype) == np.float32 else Recorder()


def spot(frame: FrameType) -> Spot:
    """Where a frame is."""
    return frame.f_code, frame.f_lasti


# --- running the user's function on named Values ----------------------------------------------


def named_leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The leaves of nested lists, tuples, dicts and arrays, in the order of `trees.flatten`.

    >>> [name for name, _ in named_leaves({"a": [1.0, 2.0], "b": 3.0}, "p")]
    ["p['a'][0]", "p['a'][1]", "p['b']"]
    """
    record = is_record(tree)
    tree = simplified(tree)
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from named_leaves(item, f"{name}.{key}" if record else f"{name}[{key!r}]")
    elif isinstance(tree, list | tuple):
        for i, item in enumerate(tree):
            yield from named_leaves(item, f"{name}[{i}]")
    elif is_array(tree):
        for place in itertools.product(*map(range, tree.shape)):
            yield name + "".join(f"[{i}]" for i in place), tree.item(*place)
    else:
        yield name, tree


def leaves_of(wrt: Any) -> list[tuple[str, Any]]:
    """The leaves of a module's parameters, or of a nested structure, with their names."""
    if hasattr(wrt, "named_parameters"):  # a module, which this layer does not know
        return [x for name, p in wrt.named_parameters() for x in named_leaves(p, name)]
    return list(named_leaves(wrt, "wrt"))


def named_values(wrt: Any, what: str) -> dict[Value, str]:
    """The Values in a module's parameters, or in a nested structure, with their names.

    Raises TypeError, naming the function `what`, where there are none, or where there are others.
    """
    if not hasattr(wrt, "named_parameters"):
        flatten(wrt)  # raises TypeError for what holds no numbers
    names: dict[Value, str] = {}
    for name, leaf in leaves_of(wrt):
        if not isinstance(leaf, Value):
            raise TypeError(
                f"wrt has the Values whose gradients are asked, and {name} is {leaf!r}; "
                f"numbers are given as arguments: {what}(f, *args)"
            )
        taken = hasattr(wrt, "named_parameters") or leaf.label in names.values()
        names.setdefault(leaf, name if taken else leaf.label or name)
    if not names:
        raise TypeError("wrt holds no Values: a module without parameters, or an empty list")
    return names


def argument_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of the parameters that so many positional arguments go to.

    >>> argument_names(lambda x, *rest: None, 3)
    ['x', 'rest[0]', 'rest[1]']
    """
    names: list[str] = []
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return [*names, *(f"argument {i}" for i in range(len(names), count))][:count]


def named_arguments(
    f: Callable[..., Any], args: Sequence[Any]
) -> tuple[list[Any], list[str], Callable[[list[Any]], list[Any]]]:
    """The numbers in the arguments, their names, and how to put others in their places."""
    leaves, rebuild = flatten_arguments(args)
    called = zip(args, argument_names(f, len(args)), strict=True)
    trees = [pair for pair in called if flatten_argument(pair[0]) is not None]
    return leaves, [name for tree in trees for name, _ in named_leaves(*tree)], rebuild


def named_inputs(
    f: Callable[..., Any], args: Sequence[Any], wrt: Any, needed_by: str = ""
) -> tuple[list[Any], dict[Value, str]]:
    """The arguments to call f with, and the Values whose gradients are asked, with names.

    Raises TypeError where `wrt` holds anything else, and where there are none though a function,
    which is `needed_by`, can't do without.
    """
    if wrt is not None:
        return list(args), named_values(wrt, needed_by or "find_nonfinite")
    leaves, called, rebuild = named_arguments(f, args)
    pairs = zip(leaves, called, strict=True)
    values = [x if isinstance(x, Value) else computed_leaf(x, name) for x, name in pairs]
    names: dict[Value, str] = {}
    for value, name in zip(values, called, strict=True):
        taken = value.label in names.values()
        names.setdefault(value, name if taken else value.label or name)
    if needed_by and not names:
        raise TypeError(
            f"{needed_by} needs inputs whose gradients are asked: numbers as arguments, or "
            "wrt=model, or wrt=[w, b] for Values that the function uses"
        )
    return rebuild(values), names


def name_of(f: Callable[..., Any]) -> str:
    """What to call a function in a message."""
    name = getattr(f, "__name__", type(f).__name__)
    return "the function" if name == "<lambda>" else str(name)


def refuse_in_trace(what: str) -> None:
    """Raise TraceError where a function is being compiled."""
    if modes.tracing and modes.state.trace is not None:
        raise TraceError(f"{what} runs a function to look at it; call it outside of engine.compile")


def check_function(what: str, f: Any, wrt: str = ", wrt=model") -> None:
    """Raise TypeError for what `what` can't run, and TraceError as `refuse_in_trace`."""
    refuse_in_trace(what)
    if not callable(f) or isinstance(f, Value):
        raise TypeError(
            f"{what} takes a function, which it runs, not a {type(f).__name__}: write "
            f"{what}(f, *args), or {what}(lambda: loss(model(x), y){wrt})"
        )
