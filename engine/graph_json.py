"""Graphs as JSON text that engines in other languages can read, and back.

A document is an object of five members::

    {"format": "gradloom-graph", "version": 1, "root": 2, "nodes": [
    {"op": "leaf", "label": "x", "data": 2.0, "grad": 3.0},
    {"op": "literal", "data": 3.0},
    {"op": "mul", "operands": [0, 1], "data": 6.0, "grad": 1.0}]}

`nodes` are in topological order: `operands` are places of earlier nodes. "op" is "leaf", "literal"
(a number in an expression, which gets no gradient) or the name of a row of the operation table.
`root` is a place, or a list of places where several Values were written. A `label` that is empty is
left out. `numbers` stands in an operation only where its derivative is to be taken elsewhere than
at its operands' data: the numbers that they had when it was computed, before a leaf was assigned
another. A number is the shortest decimal that reads back as the same float64, or "inf", "-inf",
"nan", which JSON has no numbers for. Scopes are not written.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import Any

from engine import modes
from engine.errors import GraphError
from engine.graph import topological_order
from engine.ops import TABLE
from engine.value import Value, record_result

FORMAT, VERSION = "gradloom-graph", 1
MOST = sys.float_info.max
_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_KEYS = {"leaf": {"op", "label", "data", "grad"}, "literal": {"op", "data"}}
_OPERATION_KEYS = _KEYS["leaf"] | {"operands", "numbers"}


def to_json(x: Value | Iterable[Value]) -> str:
    """Return everything that a Value, or several, were computed from, as JSON: one node a line.

    Labels, numbers and the gradients that `backward` left are written; call it first. The format is
    in the docstring of `engine.graph_json`; `from_json` reads it.

    Raises GraphError where an operation is no row of the table: those of `custom_op`, `checkpoint`
    and nodes made by hand have derivatives that a name does not tell.

    >>> y = Value(2.0, label="x") * 3.0
    >>> y.backward()
    >>> print(to_json(y))
    {"format": "gradloom-graph", "version": 1, "root": 2, "nodes": [
    {"op": "leaf", "label": "x", "data": 2.0, "grad": 3.0},
    {"op": "literal", "data": 3.0},
    {"op": "mul", "operands": [0, 1], "data": 6.0, "grad": 1.0}]}
    """
    modes.refuse_in_trace("to_json")
    roots = [x] if isinstance(x, Value) else list(x) if isinstance(x, Iterable) else [x]
    for root in roots:
        if not isinstance(root, Value):
            raise TypeError(f"to_json writes a Value or several, not a {type(root).__name__}")
    nodes: list[dict[str, Any]] = []
    place: dict[Value, int] = {}
    for value in topological_order(roots):
        op = value.op
        node: dict[str, Any] = {"op": "leaf" if op is None else op.name}
        if op is not None:
            if TABLE.get(op.name) is not op:
                raise GraphError(
                    f"{op.name!r} is no row of the operation table, so its name does not tell "
                    "another engine what to compute; write it in functions of engine instead"
                )
            numbers = [_written(number) for _, number in value._operands()]
            operands = node["operands"] = []
            for (operand, _), number in zip(value._operands(), numbers, strict=True):
                if operand is None:
                    nodes.append({"op": "literal", "data": number})
                operands.append(len(nodes) - 1 if operand is None else place[operand])
            if repr([nodes[k]["data"] for k in operands]) != repr(numbers):
                node["numbers"] = numbers
        if value.label:
            node["label"] = value.label
        node |= {"data": _written(value._data), "grad": _written(value._grad)}
        place[value] = len(nodes)
        nodes.append(node)
    places = place[x] if isinstance(x, Value) else [place[root] for root in roots]
    head = json.dumps({"format": FORMAT, "version": VERSION, "root": places})
    return f'{head[:-1]}, "nodes": [\n' + ",\n".join(map(json.dumps, nodes)) + "]}"


def _written(number: float) -> float | str:
    return number if math.isfinite(number) else repr(number)


def from_json(text: str) -> Any:
    """Return the Value that `to_json` wrote, or the list of Values, with their graph.

    Nothing is computed, and nothing in the text is run: data and gradients are those written.

    Raises TypeError for anything but a str; ValueError, with the place, for what is no such
    document: damaged text, another version, an unknown operation, a wrong number of operands, an
    operand that does not come before.

    >>> y = from_json(to_json(Value(2.0, label="x") * 3.0))
    >>> y.backward()
    >>> y, y.args[0].label, y.args[0].grad
    (Value(data=6.0, grad=1.0), 'x', 3.0)
    """
    modes.refuse_in_trace("from_json")
    if not isinstance(text, str):
        raise TypeError(f"from_json reads a text, not a {type(text).__name__}")
    document = _parsed(text)
    nodes: list[tuple[Value | None, float]] = []
    with modes.enable_grad():
        for place, entry in enumerate(_member(document, "nodes", "the document")):
            nodes.append(_node(entry, f"node {place}", nodes))

    def root(place: Any) -> Value:
        value = nodes[place][0] if type(place) is int and 0 <= place < len(nodes) else None
        if value is None:
            raise ValueError(f"the root {place!r} is the place of no leaf and no operation")
        return value

    found = document.get("root")
    return [root(place) for place in found] if isinstance(found, list) else root(found)


def _parsed(text: str) -> dict[str, Any]:
    """The document, if it is one of this version."""

    def refuse(word: str) -> None:
        raise ValueError(f'{word} is no number in JSON; write "inf", "-inf" or "nan" in quotes')

    try:
        document = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"the text is damaged in line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise ValueError("the text is damaged: its brackets are nested too deeply") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f'this is no graph: it has no "format": "{FORMAT}"')
    if document.get("version") != VERSION:
        raise ValueError(
            f"the graph is of version {document.get('version')!r}, and version {VERSION} is what "
            "this gradloom reads; write it anew with engine.to_json"
        )
    return document


def _node(entry: Any, at: str, before: list[tuple[Value | None, float]]) -> Any:
    """A node with its number; None in place of a literal."""
    if not isinstance(entry, dict):
        raise ValueError(f"{at} is {entry!r:.60}, and not an object")
    name = _member(entry, "op", at)
    if name not in TABLE and name not in _KEYS:
        raise ValueError(f"{at} is of an unknown operation, {name!r:.60}")
    if unknown := entry.keys() - _KEYS.get(name, _OPERATION_KEYS):
        raise ValueError(f"{at} has {min(unknown)!r:.60}, which a node of {name!r} has not")
    data = _number(entry.get("data"), f"the data of {at}")
    if name == "literal":
        return None, data
    label = _member({"label": "", **entry}, "label", at)
    grad = _number(entry.get("grad"), f"the grad of {at}")
    if name == "leaf":
        value = Value(data, label=label)
    else:
        op = TABLE[name]
        operands = _member(entry, "operands", at)
        for place in operands:
            if type(place) is not int or not 0 <= place < len(before):
                raise ValueError(
                    f"{at} has the operand {place!r:.60}, which is no node before it: operands "
                    "come first, and a graph has no cycle"
                )
        numbers = [before[k][1] for k in operands]
        if "numbers" in entry:
            told = _member(entry, "numbers", at)
            numbers = [_number(number, f"the numbers of {at}") for number in told]
        for what, found in (("operands", operands), ("numbers", numbers)):
            if len(found) != op.arity:
                raise ValueError(f"{at} has {len(found)} {what}, and {name} takes {op.arity}")
        pairs = [(before[k][0], number) for k, number in zip(operands, numbers, strict=True)]
        value = record_result(op, data, pairs)
        value.label = label
    value._grad = grad
    return value, data


_KINDS = {"nodes": list, "operands": list, "numbers": list, "op": str, "label": str}


def _member(entry: dict[str, Any], name: str, at: str) -> Any:
    found = entry.get(name)
    if not isinstance(found, _KINDS[name]):
        kind = "list" if _KINDS[name] is list else "text"
        raise ValueError(f"{at} has {found!r:.60} as its {name}, which is a {kind}")
    return found


def _number(found: Any, at: str) -> float:
    if isinstance(found, str) and found in _WORDS:
        return _WORDS[found]
    if isinstance(found, float | int) and type(found) is not bool and -MOST <= found <= MOST:
        return float(found)
    raise ValueError(f'{at} is {found!r:.60}, and not a float64 or "inf", "-inf", "nan"')
