"""Where a computation spends its nodes, its bytes and its time: by source line, scope or operation.

`profile` runs a function several times: plainly, to measure the time as it is; and once under a
`lines.Recorder`, to see which line makes which nodes. Nothing in the core imports this.
"""

from __future__ import annotations

import gc
import html
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

from engine import modes
from engine.calculus import flatten_arguments
from engine.errors import one_of, user_frame, whole
from engine.graph import collector_paused, topological_order
from engine.lines import Line, Recorder, Spot, check_function, name_of, spot
from engine.showing import Told, aligned, table
from engine.sweep import passed, reverse_sweep
from engine.trees import flatten
from engine.value import Value, computed_leaf

_LEFT = (5, 6)  # columns of words
_SHOWN = 20  # rows of the table that are written out
_FLOAT = sys.getsizeof(1.0)


@dataclass(frozen=True)
class Row:
    """What one line (or scope, or operation) makes and takes; `nodes` are operations recorded."""

    name: str
    text: str
    nodes: int
    bytes: int
    forward: float  # seconds
    backward: float


@dataclass(frozen=True, repr=False)
class Profile(Told):
    """The rows of a table, the most time first, and totals. `print` it.

    `nodes` and `bytes` are of operations made, with their results, whether or not they are kept;
    `kept` of them belong to the graph of the result. `forward` and `backward` are seconds: the
    best of several plain runs.
    """

    name: str
    by: str
    rows: tuple[Row, ...]
    nodes: int
    kept: int
    bytes: int
    forward: float
    backward: float

    def __str__(self) -> str:
        return "\n".join([self._head(), "", *aligned(self._cells(), _LEFT), *self._more()])

    def _page(self) -> str:
        more = "".join(f"<div>{html.escape(line)}</div>" for line in self._more() if line)
        return f"<div><b>{html.escape(self._head())}</b></div>{table(self._cells(), _LEFT)}{more}"

    def _head(self) -> str:
        kept = "all" if self.kept == self.nodes else f"{self.kept:,}"
        return (
            f"{self.name}: {self.nodes:,} nodes, {kept} in the graph of the result, "
            f"{size_in_words(self.bytes)}; forward {_seconds(self.forward)}, "
            f"backward {_seconds(self.backward)}"
        )

    def _cells(self) -> list[tuple[str, ...]]:
        whole = (self.forward + self.backward) or 1.0
        rows: list[tuple[str, ...]] = [
            ("nodes", "memory", "forward", "backward", "time", self.by, "")
        ]
        for row in self.rows[:_SHOWN]:
            share = f"{100 * (row.forward + row.backward) / whole:.0f}%"
            times = (_seconds(row.forward), _seconds(row.backward), share)
            rows.append((f"{row.nodes:,}", size_in_words(row.bytes), *times, row.name, row.text))
        return rows

    def _more(self) -> list[str]:
        rest = self.rows[_SHOWN:]
        if not rest:
            return []
        nodes = sum(row.nodes for row in rest)
        plural = "s" if len(rest) > 1 else ""
        return [f"… and {len(rest):,} more {self.by}{plural}, with {nodes:,} nodes; see .rows"]


def profile(
    f: Callable[..., Any],
    *args: Any,
    by: Literal["line", "scope", "operation"] = "line",
    repeat: int = 3,
) -> Profile:
    """Return the nodes, bytes and time of `f(*args)` and its gradient, by source line.

    Numbers in the arguments become Values; anything else is handed on as it is, and f may use
    Values of its own, such as a model's. With `by="scope"` rows are scopes, such as the modules
    of a model, with "operation" the rows of the table of operations.

    How it is measured. Nodes are counted in one recorded run. Bytes are those of the node objects
    and of their results as floats, as `sys.getsizeof` has them; operands are shared, and what f
    keeps besides is not counted. Times are totals of plain runs, the best of `repeat` without the
    garbage collector, divided among the lines: forward in proportion to the time from the node
    before to this one in the recorded run, the recorder's own time taken out, so that Python's
    work between two nodes counts for the line of the second; backward in proportion to the time of
    each node's step in a sweep with a clock. Shares of a few microseconds are noise.

    f runs `repeat` + 1 times. Raises TypeError where f is no function or returns no number, and
    ValueError for another `by` or a `repeat` below 1.

    >>> def f(x):
    ...     y = x * x + 1.0
    ...     return y.log()
    >>> found = profile(f, 2.0)
    >>> found.nodes, sorted(row.nodes for row in found.rows)
    (3, [1, 2])
    """
    check_function("profile", f, "")
    one_of("by", by, "line", "scope", "operation")
    whole("repeat", repeat)
    leaves, rebuild = flatten_arguments(args)
    given = rebuild([x if isinstance(x, Value) else computed_leaf(x) for x in leaves])
    forward = backward = math.inf
    gc.collect()
    with collector_paused():  # as timeit does: it would strike lines at random
        for _ in range(repeat):
            begin = perf_counter()
            result = f(*given)
            forward = min(forward, perf_counter() - begin)
            roots = _roots(f, result)
            begin = perf_counter()
            reverse_sweep(topological_order(roots), [(root, 1.0) for root in roots], [])
            backward = min(backward, perf_counter() - begin)
            del result, roots
        clock = _Clock()
        with modes.recorded_by(clock):
            clock.start()
            result = f(*given)
        back = _backward_steps(_roots(f, result), clock) or 1.0
    rows = clock.rows(by, forward, backward / back)
    kept = sum(entry.kept for entry in clock.made_at.values())
    nodes, size = sum(row.nodes for row in rows), sum(row.bytes for row in rows)
    return Profile(name_of(f), by, tuple(rows), nodes, kept, size, forward, backward)


def _roots(f: Callable[..., Any], result: Any) -> list[Value]:
    """The Values that a function returned, in whatever structure."""
    if result is None:
        raise TypeError(f"{name_of(f)} returned None; does it lack a return statement?")
    try:
        return [y for y in flatten(result)[0] if isinstance(y, Value)]
    except TypeError as error:
        raise TypeError(f"profile differentiates what {name_of(f)} returns; {error}") from None


@dataclass(slots=True)
class _Made:
    """What was made at one spot, in one scope, by one operation."""

    nodes: int = 0
    bytes: int = 0
    forward: float = 0.0
    backward: float = 0.0
    kept: int = 0


_Key = tuple[Spot, str, str]


class _Clock(Recorder):
    """A recorder that keeps no nodes: it counts what is made where, and how long it took."""

    looks_inside = False

    def __init__(self) -> None:
        super().__init__()
        self.made_at: dict[_Key, _Made] = defaultdict(_Made)
        self.keys: dict[int, _Key] = {}  # by id; a node freed since is overwritten by its follower
        self._before = 0.0

    def start(self) -> None:
        self._before = perf_counter()

    def made(self, node: Value) -> None:
        now = perf_counter()
        scope = node.scope
        assert node.op is not None
        path = "" if scope is None else "/".join(scope.path)
        key = (spot(user_frame()), path, node.op.name)
        entry = self.made_at[key]
        entry.nodes += 1
        entry.bytes += bytes_of(node)
        entry.forward += now - self._before
        self.keys[id(node)] = key
        self._before = perf_counter()

    def _nothing(self, *args: Any, **keywords: Any) -> None:
        """What is not made costs nothing."""

    cut = read = compared = _nothing

    def rows(self, by: str, forward: float, scale: float) -> list[Row]:
        """A row for what belongs together: seconds forward are `forward` in all, back scaled."""
        scale_ahead = forward / (sum(entry.forward for entry in self.made_at.values()) or 1.0)
        sums: dict[tuple[str, str], _Made] = defaultdict(_Made)
        for key, entry in self.made_at.items():
            made = sums[_row_name(by, key, self)]
            made.nodes += entry.nodes
            made.bytes += entry.bytes
            made.forward += entry.forward * scale_ahead
            made.backward += entry.backward * scale
        rows = [Row(*title, m.nodes, m.bytes, m.forward, m.backward) for title, m in sums.items()]
        return sorted(rows, key=lambda row: (-row.forward - row.backward, row.name))


def _backward_steps(roots: Sequence[Value], clock: _Clock) -> float:
    """A reverse sweep that tells the clock what takes how long. Returns the seconds in all."""
    nodes = topological_order(roots)
    adjoints = dict.fromkeys(roots, 1.0)
    total = 0.0
    for node in reversed(nodes):
        if node.op is None:
            continue
        adjoint = adjoints.get(node)
        begin = perf_counter()
        if adjoint is not None:
            for (operand, _), g in zip(node._operands(), passed(node, adjoint), strict=True):
                if operand is not None and g is not None:
                    adjoints[operand] = adjoints.get(operand, 0.0) + g
        spent = perf_counter() - begin
        total += spent
        key = clock.keys.get(id(node))
        if key is not None:
            clock.made_at[key].kept += 1
            clock.made_at[key].backward += spent
    return total


def _row_name(by: str, key: _Key, clock: _Clock) -> tuple[str, str]:
    at, scope, operation = key
    if by == "scope":
        return scope or "(no scope)", ""
    if by == "operation":
        return operation, ""
    line: Line | None = clock.line(at)
    assert line is not None
    return line.place, line.text


# --- writing it down --------------------------------------------------------------------------


def bytes_of(node: Value) -> int:
    """Return how many bytes the node of an operation has, with its result."""
    rest = [node._rest, *node._rest] if node._rest else []
    return _FLOAT + sum(map(sys.getsizeof, [node, *rest]))


def size_in_words(count: int) -> str:
    """Return a size in bytes in the unit that suits it."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000.0:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:.3g} GB"


def _seconds(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


__all__ = ["Profile", "Row", "bytes_of", "profile", "size_in_words"]
