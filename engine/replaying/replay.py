"""Run a function once on Values, and the graph that it leaves again on numbers of another kind.

In: the function and its arguments. Out: a `Run`, and of it a `Replay`, whose nodes are copies of
the recorded ones with other numbers and rebound rows. So the reverse sweep over them is that of
`sweep`, and what is cut is cut here, too. What the run branched on is
compared again.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from numbers import Rational
from typing import Any

from engine import modes
from engine.errors import DomainError, user_frame
from engine.graph import topological_order
from engine.lines import (
    Line,
    Recorder,
    Spot,
    argument_names,
    check_function,
    name_of,
    named_leaves,
    named_values,
    spot,
)
from engine.ops import TABLE
from engine.replaying.kinds import Kind, Undefined
from engine.signatures import check_arguments
from engine.sweep import arrivals, partials_of
from engine.trees import (
    ENDLESS,
    flatten,
    flatten_argument,
    is_array,
    is_record,
    record_maker,
    vars_by_field,
)
from engine.value import Value, computed_leaf, record_result, to_float

# --- a run on Values --------------------------------------------------------------------------


class Given(float):
    """An argument that a float comes near to; `exactly` is what it is."""

    exactly: Any


class Comparisons(Recorder):
    """A recorder that keeps what was compared: a row's name, its operands, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, tuple[Any, Any], Spot]] = []

    def compared(self, name: str, node: Value, other: Any, swapped: bool) -> None:
        """A node was compared."""
        pair = (other, node) if swapped else (node, other)
        self.kept.append((name, pair, spot(user_frame())))


@dataclass(frozen=True)
class Run:
    """One run of a function on Values.

    `inputs` are those whose gradients are asked, with their names; `structured` puts a number for
    each into their structure. `exactly` has the arguments' numbers as they were given. `outputs`
    are numbers and Values, `called` what to call them. `nodes` is all that plays a part, in order.
    """

    name: str
    inputs: dict[Value, str]
    structured: Callable[[dict[Value, Any]], Any]
    exactly: dict[Value, Any]
    outputs: list[Any]
    called: list[str]
    rebuild: Callable[[list[Any]], Any]
    recorder: Comparisons
    nodes: list[Value]

    def line(self, node: Value) -> Line | None:
        """Where a node was made."""
        return self.recorder.line(self.recorder.spots.get(node))


def run_once(what: str, f: Callable[..., Any], args: Sequence[Any], wrt: Any) -> Run:
    """Run f on its arguments, for the function `what` that the user called. Raises as that does."""
    check_function(what, f)
    given: list[Any] = []
    inputs: dict[Value, str] = {}
    exactly: dict[Value, Any] = {}
    trees: list[Callable[[dict[Value, Any]], Any]] = []
    try:
        numbers = [*map(_numbers, args)]
    except RecursionError:
        raise ValueError(ENDLESS) from None
    for arg, argument in zip(numbers, argument_names(f, len(args)), strict=True):
        flat = flatten_argument(arg)
        if flat is None:
            given.append(arg)
            trees.append(lambda numbers: None)
            continue
        values = []
        for (name, _), leaf in zip(named_leaves(arg, argument), flat[0], strict=True):
            number = leaf._data if isinstance(leaf, Value) else leaf
            value = computed_leaf(number, name)
            if not math.isfinite(value._data):
                raise ValueError(f"{name} is {value._data}, and {what} needs finite numbers")
            plain: Any = value._data
            if isinstance(number, Rational):  # of Python's integers, where NumPy's would overflow
                plain = Fraction(int(number.numerator), int(number.denominator))
            exactly[value] = getattr(number, "exactly", plain)
            inputs[value] = name
            values.append(value)
        given.append(flat[1](values))
        trees.append(partial(_structured, values, flat[1]))
    structured = trees[0] if len(trees) == 1 else lambda ns: tuple(tree(ns) for tree in trees)
    if wrt is not None:
        inputs = named_values(wrt, what)
        tree = wrt.parameters() if hasattr(wrt, "parameters") else wrt
        structured = partial(_structured, *flatten(tree))
    recorder = Comparisons()
    with modes.enable_grad(), modes.errstate("ignore"), modes.inlining():
        with modes.recorded_by(recorder):
            result = _result(f, args, given)
        other = _result(f, args, given)
    try:
        (outputs, rebuild), (again, _) = flatten(result), flatten(other)
    except TypeError as error:
        raise TypeError(f"{what} needs numbers as results of {name_of(f)}; {error}") from None
    if list(map(_float, again)) != list(map(_float, outputs)):
        raise ValueError(
            f"{name_of(f)} gives another result at each call, and {what} needs one: give random "
            "numbers as arguments, or call engine.manual_seed inside of it"
        )
    behind = [source for source, _ in recorder.cuts.values()]
    looked_at = [x for _, pair, _ in recorder.kept for x in pair if isinstance(x, Value)]
    roots = [y for y in outputs if isinstance(y, Value)]
    nodes = topological_order([*inputs, *behind, *looked_at, *recorder.reads, *roots])
    called = [name for name, _ in named_leaves(result, "value")]
    return Run(name_of(f), inputs, structured, exactly, outputs, called, rebuild, recorder, nodes)


def _numbers(tree: Any) -> Any:
    """An argument with floats for what is no number of Python's: texts, decimals, mpf and arb."""
    if isinstance(tree, dict):
        return {key: _numbers(item) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_numbers(item) for item in tree]
        if hasattr(tree, "_make"):
            return tree._make(items)
        return items if isinstance(tree, list) else tuple(items)
    if is_record(tree):
        fields = vars_by_field(tree)
        return record_maker(tree)({name: _numbers(item) for name, item in fields.items()})
    if is_array(tree) and tree.dtype.hasobject:
        again = tree.copy()
        again.flat = [_numbers(item) for item in tree.flat]
        return again
    if isinstance(tree, Decimal) and not tree.is_finite():
        return float(tree)
    exactly: Any = None
    arb: Any = getattr(sys.modules.get("flint"), "arb", ())
    mpf: Any = getattr(sys.modules.get("mpmath"), "mpf", ())
    if isinstance(tree, arb):
        exactly = Fraction(str(tree.fmpq())) if tree.is_exact() else tree
    elif isinstance(tree, mpf) and math.isfinite(float(tree)):
        sign, mantissa, exponent, _ = tree._mpf_
        exactly = Fraction(-mantissa if sign else mantissa) * Fraction(2) ** exponent
    elif isinstance(tree, str | Decimal):
        try:
            exactly = Fraction(tree)
        except (ValueError, ZeroDivisionError):  # a text that is an option
            return tree
    if exactly is None:
        return tree
    given = Given(to_float(exactly) if isinstance(exactly, Fraction) else float(exactly))
    given.exactly = exactly
    return given


def _structured(
    values: list[Value], rebuild: Callable[[list[Any]], Any], numbers: dict[Value, Any]
) -> Any:
    return rebuild([numbers[value] for value in values])


def _result(f: Callable[..., Any], args: Sequence[Any], given: Sequence[Any]) -> Any:
    try:
        result = f(*given)
    except TypeError as error:
        check_arguments(f, args, {}, error)
        raise
    if result is None:
        raise TypeError(f"{name_of(f)} returned None; does it lack a return statement?")
    return result


def _float(y: Any) -> str:
    return repr(y._data if isinstance(y, Value) else y)


# --- and again on other numbers ---------------------------------------------------------------


class Replay:
    """A run again, on the numbers of a kind: `again` has the copy of each of its nodes."""

    def __init__(self, run: Run, kind: Kind) -> None:
        self.run, self.kind = run, kind
        self.again: dict[Value, Value] = {}
        with modes.enable_grad(), modes.errstate("ignore"):
            for node in run.nodes:
                self.again[node] = self._leaf(node) if node.op is None else self._node(node)

    def _leaf(self, node: Value) -> Value:
        leaf = computed_leaf(0.0)
        source = self.run.recorder.cuts.get(node)  # such as what `detach` took
        number = self.run.exactly.get(node, node._data)
        leaf._data = self.again[source[0]]._data if source else self.kind.number(number)
        return leaf

    def _node(self, node: Value) -> Value:
        assert node.op is not None
        op = self.kind.row(node.op)
        assert op.forward is not None
        pairs = [
            (None, self.kind.number(x)) if a is None else (self.again[a], self.again[a]._data)
            for a, x in node._operands()
        ]
        data: Any = op.forward(*[x for _, x in pairs])
        if isinstance(data, Undefined):
            data = data.at(*self._place(node))
        return record_result(op, data, pairs)

    def _place(self, node: Value) -> tuple[str, str]:
        """A node's call and line, for messages."""
        assert node.op is not None
        numbers = ", ".join(f"{x:.6g}" for _, x in node._operands())
        return f"{node.op.name}({numbers})", _at(self.run.line(node))

    def number(self, y: Any) -> Any:
        """The number of an output, a Value or what it is. Raises DomainError if there is none."""
        return self._plain(self.again[y]._data if isinstance(y, Value) else self.kind.number(y))

    def plain(self, node: Value) -> Any:
        """The number of a node, None if there is none."""
        data: Any = self.again[node]._data
        if isinstance(data, Undefined) or (isinstance(data, float) and not math.isfinite(data)):
            return None
        return self.kind.plain(data)

    def adjoints(self, y: Any) -> dict[Value, Any]:
        """The derivatives of an output by all nodes; only what it depends on is in it."""
        if not isinstance(y, Value):
            return {}
        nodes = topological_order([self.again[y]])
        one: Any = self.kind.number(1.0)
        try:
            found = arrivals(nodes, [(self.again[y], one)], nodes)
        except Undefined as undefined:
            raise DomainError(str(undefined.at("which operand is chosen", ""))) from None
        arrived = dict(zip(nodes, found, strict=True))
        return {node: arrived[copy] for node, copy in self.again.items() if copy in arrived}

    def derivative(self, x: Value, adjoints: dict[Value, Any]) -> Any:
        """One of them as a number. Raises DomainError if there is none."""
        adjoint = adjoints.get(x)
        if isinstance(adjoint, Undefined) and not adjoint.placed:
            for node in reversed([node for node in adjoints if node.op is not None]):
                for p in partials_of(self.again[node], self.again[node].op):  # type: ignore
                    if isinstance(p, Undefined) and adjoints[node] is not None:
                        call, place = self._place(node)
                        raise DomainError(str(p.at(f"the derivative of {call}", place)))
        return self._plain(self.kind.number(0.0 if adjoint is None else adjoint))

    def _plain(self, number: Any) -> Any:
        if isinstance(number, Undefined):
            raise DomainError(str(number))
        if isinstance(number, float) and not math.isfinite(number):
            raise DomainError(f"the result is {number}, which is no number of this kind")
        return self.kind.plain(number)

    def notes(self) -> Iterator[str]:
        """Where the run went by its floats: with these numbers it would have gone another way.

        Raises DomainError where an interval leaves a comparison open.
        """
        recorder = self.run.recorder
        for name, pair, at in recorder.kept:
            floats = [x._data if isinstance(x, Value) else x for x in pair]
            numbers: Any = [
                self.again[x]._data if isinstance(x, Value) else self.kind.number(x) for x in pair
            ]
            line = recorder.line(at)
            text = f"{floats[0]!r} {TABLE[name].label} {floats[1]!r}"
            try:
                now = self.kind.compare(name, *numbers)
            except Undefined as undefined:
                raise DomainError(str(undefined.at(text, _at(line)))) from None
            if now != TABLE[name].forward(*floats):  # type: ignore[misc]
                yield f"{text} comes out otherwise{_at(line)}: the branch taken is that of float64"
        for node, at in recorder.reads.items():
            number = self.plain(node)
            rounded = number is None or not math.isfinite(node._data)
            if rounded or self.kind.error(node._data, number) != 0:
                yield f"{node._data!r} is not right, and was read{_at(recorder.line(at))}"


def _at(line: Line | None) -> str:
    return f", at {line.place}" if line else ""
