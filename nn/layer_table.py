"""`summary`: what a model's layers return, hold and compute for one example, as a table."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import engine
from engine import Value
from engine.graph import topological_order
from engine.profiling import bytes_of, size_in_words
from engine.showing import Shown, aligned, bundle, table
from nn.adopting import ModelLike, model_of
from nn.containers import Sequential
from nn.inputs import called
from nn.module import Module, evaluating, frozen_in, values_of

_KINDS = {"add": 0, "sub": 0, "mul": 1}  # what an operation counts as; 2 are the others
_TITLES = ("", "layer", "output", "parameters", "additions", "multiplications", "others")
_LEFT = (0, 1, 2)  # columns of words
_ASK = "for shapes and operations give an example: nn.summary(model, x)"


@dataclass(frozen=True)
class LayerRow:
    """A module, without those below it: its place and class, the shape of its output, how many
    parameters it is the first to hold, how many of these are frozen, and the operations of its own
    in all its calls: additions and subtractions, multiplications, others.

    Several alike in a list are one row, with the numbers of all.
    """

    name: str
    layer: str
    depth: int
    output: str
    parameters: int
    frozen: int
    note: str
    operations: tuple[int, int, int]


@dataclass(frozen=True)
class Summary(Shown):
    """The rows of a table, the model's own first, and totals. `print` it.

    `operations` and `bytes` are those of the graph of one example's output, 0 without an example.
    """

    rows: tuple[LayerRow, ...]
    bytes: int = 0

    @property
    def parameters(self) -> int:
        """How many parameters there are, tied ones counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def frozen(self) -> int:
        """How many of them are frozen."""
        return sum(row.frozen for row in self.rows)

    @property
    def trainable(self) -> int:
        """How many of them are not."""
        return self.parameters - self.frozen

    @property
    def operations(self) -> tuple[int, ...]:
        """How many additions, multiplications, and other operations there are."""
        return tuple(map(sum, zip(*(row.operations for row in self.rows), strict=True)))

    def __str__(self) -> str:
        return "\n".join([*aligned(self._cells(), _LEFT), "", self._totals()])

    def __repr__(self) -> str:
        return str(self)

    def _bundle(self) -> dict[str, str]:
        page = f"{table(self._cells(), _LEFT)}<div>{self._totals()}</div>"
        return bundle(str(self), None, page)

    def _cells(self) -> list[list[str]]:
        rows = [
            [
                "  " * row.depth + row.name,
                row.layer,
                row.output,
                f"{row.note} {row.parameters:,}".strip() if row.parameters else row.note,
                *(f"{count:,}" if count else "" for count in row.operations),
            ]
            for row in self.rows
        ]
        total = [f"{self.parameters:,}", *(f"{n:,}" if self.bytes else "" for n in self.operations)]
        return [[*_TITLES], *rows, ["total", "", "", *total]]

    def _totals(self) -> str:
        text = f"{self.parameters:,} parameters, {self.trainable:,} of them trainable; "
        if not self.bytes:
            return text + _ASK
        count = sum(self.operations)
        return f"{text}{count:,} operations an example, a graph of {size_in_words(self.bytes)}"


def summary(model: ModelLike, example: Any = None) -> Summary:
    """Return a table of a model's layers: the shapes of their outputs, parameters, and operations.

    The model runs on one `example`, a list, nested list or array, in evaluation mode, and the
    operations on Values that its output depends on are counted, each for the module that does it.
    Numbers of an example that are not whole are Values too. A tuple is an input each, a dict inputs
    by forward's names. None takes numbers for the first layer, if that says how many; where it does
    not, or the model takes something else, shapes and operations are left out.

    Raises what the model does for the example, and TypeError for what is no model.

    >>> import nn
    >>> table = nn.summary(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)))
    >>> print(table)  # doctest: +ELLIPSIS
           layer       output  parameters  additions  multiplications  others
           Sequential  (1,)
      0    Linear      (8,)            24         16               16
      1    Tanh        (8,)                                                 8
      2    Linear      (1,)             9          8                8
    total                              33         24               24       8
    <BLANKLINE>
    33 parameters, 33 of them trainable; 56 operations an example, a graph of ... kB
    """
    model = model_of(model)
    nodes, shapes = list[Value](), dict[Module, list[Any]]()
    for given in _guesses(model) if example is None else [example]:
        try:
            nodes, shapes = _recorded(model, given)
            break
        except (TypeError, ValueError, LookupError, AttributeError):
            if example is not None:
                raise
    counts: dict[Module, list[int]] = {}
    for node in nodes:
        assert node.op is not None
        counts.setdefault(_owner(node, model), [0, 0, 0])[_KINDS.get(node.op.name, 2)] += 1
    return Summary(_folded(_rows(model, shapes, counts)), sum(map(bytes_of, nodes)))


def _guesses(model: Module) -> list[Any]:
    """What the first module takes that says how many numbers that are: one position, and a
    sequence of one; none where another with parameters comes before."""
    for module in model.modules():
        if "num_embeddings" in vars(module):
            return [0, [0]]
        for name in ("in_features", "nin", "normalized_shape", "embed_dim", "input_size"):
            if name in vars(module):
                position = [0.5] * math.prod(np.ravel(vars(module)[name]).tolist())
                return [position, [position]]
        if any(not isinstance(item, Module) for _, item in module._items()):
            break
    return []


def _recorded(model: Module, example: Any) -> tuple[list[Value], dict[Module, list[Any]]]:
    """The operations that a model's output depends on, and the shapes of its modules' outputs."""
    shapes: dict[Module, list[Any]] = {}
    if isinstance(example, Mapping):
        names, parts = tuple(map(str, example)), [*example.values()]
    else:
        parts = list(example) if isinstance(example, tuple) else [example]
        names = ("",) * len(parts)
    with evaluating(model), engine.enable_grad(), _watched(model, shapes):
        output = called(model, names, map(_as_values, parts))
    nodes = topological_order(_values_in(output))
    return [node for node in nodes if node.op is not None], shapes


@contextlib.contextmanager
def _watched(model: Module, shapes: dict[Module, list[Any]]) -> Iterator[None]:
    """For a while, note the shape of what every call of a module returns."""
    own = {module: vars(module).get("forward") for module in model.modules()}
    for module in own:
        vars(module)["forward"] = _Noting(module, module.forward, shapes)
    try:
        yield
    finally:
        for module, before in own.items():
            del vars(module)["forward"]
            if before is not None:
                vars(module)["forward"] = before


class _Noting:
    """A module's forward, which calls itself for the parts of a list without a note."""

    def __init__(self, module: Module, forward: Any, shapes: dict[Module, list[Any]]) -> None:
        self.module, self.forward, self.shapes, self.inside = module, forward, shapes, False

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if self.inside:
            return self.forward(*inputs, **named)
        self.inside = True
        try:
            output = self.forward(*inputs, **named)
        finally:
            self.inside = False
        self.shapes.setdefault(self.module, []).append(_shape(output))
        return output


def _shape(output: Any) -> Any:
    """The lengths of nested lists as a tuple; of several outputs, one each."""
    if isinstance(output, Mapping):
        return {name: _shape(part) for name, part in output.items()}
    if not isinstance(output, list | tuple):
        return ()
    parts = [_shape(part) for part in output]
    alike = all(part == parts[0] and isinstance(part, tuple) for part in parts)
    if not alike or (isinstance(output, tuple) and parts != [()] * len(parts)):
        return parts
    return (len(parts), *(parts[0] if parts else ()))


def _as_values(x: Any) -> Any:
    """An example with a Value for every number that is not whole."""
    x = x.tolist() if hasattr(x, "tolist") else x
    if isinstance(x, list | tuple):
        return [_as_values(part) for part in x]
    return Value(x) if isinstance(x, float) else x


def _values_in(output: Any) -> list[Value]:
    if isinstance(output, Mapping | list | tuple):
        parts = output.values() if isinstance(output, Mapping) else output
        return [value for part in parts for value in _values_in(part)]
    return [output] if isinstance(output, Value) else []


def _owner(node: Value, model: Module) -> Module:
    """The innermost module that a node was made in."""
    scope = node.scope
    while scope is not None:
        owner = None if scope.owner is None else scope.owner()
        if isinstance(owner, Module):
            return owner
        scope = scope.parent
    return model


def _rows(
    model: Module, shapes: dict[Module, list[Any]], counts: dict[Module, list[int]]
) -> list[LayerRow]:
    """A row for every module, each above those below it."""
    rows: list[LayerRow] = []
    frozen, counted, seen = frozen_in(model), set[Value](), set[Module]()
    pending = [("", model, 0)]
    while pending:
        name, module, depth = pending.pop()
        if module in seen:
            continue
        seen.add(module)
        held = [item for _, item in module._items() if not isinstance(item, Module)]
        values = dict.fromkeys(values_of(held))
        new = [p for p in values if p not in counted]
        counted.update(new)
        fixed = sum(p in frozen for p in new)
        notes = ["frozen"] * bool(fixed) + ["tied"] * (len(new) < len(values))
        additions, multiplications, others = counts.get(module, [0, 0, 0])
        rows.append(
            LayerRow(
                *(name, type(module).__name__, depth, _output(module, shapes), len(new), fixed),
                *(", ".join(notes), (additions, multiplications, others)),
            )
        )
        below = [(own, part, depth + 1) for own, part in module.named_children()]
        pending += reversed(below)
    return rows


def _output(module: Module, shapes: dict[Module, list[Any]]) -> str:
    """The shape of a module's output in words, and how often it was called."""
    while module not in shapes and isinstance(module, Sequential) and module:
        module = module[-1]  # a Sequential goes through one in it without a call
    found = shapes.get(module, [""])
    return f"{len(found)} x {found[-1]}" if len(found) > 1 else str(found[-1])


def _folded(rows: list[LayerRow]) -> tuple[LayerRow, ...]:
    """Parts of a list that follow each other and are alike, with all below them, in one row."""
    for depth in reversed(range(1, 1 + max(row.depth for row in rows))):
        found: list[LayerRow] = []
        at = 0
        while at < len(rows):
            first, place = rows[at], rows[at].name.rpartition(".")[2]
            size, count = 1, 1
            if first.depth == depth and place.isdigit():
                size = _size(rows, at)
                below, after = rows[at + 1 : at + size], at + size
                while after < len(rows) and size == _size(rows, after):
                    name = f"{first.name.removesuffix(place)}{int(place) + count}"
                    if [replace(first, name=name), *below] != rows[after : after + size]:
                        break
                    count, after = count + 1, after + size
            if count > 1:
                name = f"{first.name}-{int(place) + count - 1}"
                found += [_times(count, row) for row in (replace(first, name=name), *below)]
            else:
                found.append(first)
            at += size * count if count > 1 else 1
        rows = found
    return tuple(rows)


def _size(rows: list[LayerRow], at: int) -> int:
    """How many rows a module and all below it have."""
    below = itertools.takewhile(lambda row: row.depth > rows[at].depth, rows[at + 1 :])
    return 1 + sum(1 for _ in below)


def _times(count: int, row: LayerRow) -> LayerRow:
    """A row for as many that are alike."""
    additions, multiplications, others = (count * number for number in row.operations)
    return replace(
        row,
        layer=f"{count} x {row.layer}",
        parameters=count * row.parameters,
        frozen=count * row.frozen,
        operations=(additions, multiplications, others),
    )
