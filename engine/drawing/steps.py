"""A graph's forward and backward pass, step by step, as plain data.

In goes a node; out come dicts with a sentence or two, and the numbers in it: what each operation
computes, what each passes back to its operands, and where that adds up. Nobody's `grad` is
touched: the adjoints are those of a sweep of its own, which starts at 1.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

from engine.drawing.formula import ATOM, Term, partial, written
from engine.drawing.names import numbering, short_names
from engine.drawing.theme import number_text, plain
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.sweep import arrivals, partials_of, passed
from engine.value import Value

_LISTED = 3  # of a folded box's operations, and the others are counted
_WRITTEN = 12  # operations of a sum of products that is written as one formula
_LEAVES_LISTED = 24
_TERMS_LISTED = 4  # of a sum of contributions
_LONGEST = 60  # characters of a label


class Passed(NamedTuple):
    """What a node passes to one operand in the backward pass."""

    target: int
    operand: int
    partial: float | None  # None for an operation that computes its contributions at once
    contribution: float
    total: float  # of the operand's gradient so far
    arrived: int  # how many contributions that are
    cut: bool  # whether nothing is passed, since the operand was not chosen


class Walk:
    """Both passes over everything that `root` was computed from.

    `values` are in topological order, and a node is named by its place in it; `names` are their
    labels, or v1, v2, … where there is none. Raises GraphError where a node was made by hand.
    """

    def __init__(self, root: Value) -> None:
        self.values = topological_order((root,))
        self.places = {value: i for i, value in enumerate(self.values)}
        self._uses = Counter(j for value in self.values for j in self._sources(value))
        given = short_names(self.values, unique=True)
        self.names = _names(self.values, given)
        # Leaves in the order of the computation, but parameters as their modules have them.
        order = {value: k for k, value in enumerate(given, len(self.values))}
        leaves = [i for i, value in enumerate(self.values) if value.op is None]
        self.leaves = sorted(leaves, key=lambda i: order.get(self.values[i], i))
        found = arrivals(self.values, [(root, 1.0)], self.values)
        self.grads = [adjoint or 0.0 for adjoint in found]
        self.arrived = [adjoint is not None for adjoint in found]
        self.passed: dict[int, list[Passed]] = {}
        self._received: list[list[float]] = [[] for _ in self.values]
        self._pass_back()

    def _pass_back(self) -> None:
        totals = [0.0] * len(self.values)
        totals[-1] = 1.0
        for i in reversed(range(len(self.values))):
            node, op, adjoint = self.values[i], self.values[i].op, self.grads[i]
            if op is None or not self.arrived[i]:
                continue
            operands, contributions = node._operands(), passed(node, adjoint)
            partials: list[float | None] = [None] * len(operands)
            if op.pullback is None:
                partials = [p or 0.0 for p in partials_of(node, op)]
            steps = self.passed[i] = []
            for k, (operand, _) in enumerate(operands):
                if operand is not None:
                    j, c = self.places[operand], contributions[k] or 0.0
                    totals[j] += c
                    self._received[j].append(c)
                    cut = contributions[k] is None
                    count = len(self._received[j])
                    steps.append(Passed(j, k, partials[k], c, totals[j], count, cut))

    # --- what is said of one node ---

    def forward(self, i: int) -> tuple[list[str], list[str]]:
        """The formula of an operation, with its numbers, and notes on it."""
        node, op = self.values[i], self.values[i].op
        assert op is not None
        named, plain = self._terms(node)
        parts = [self.names[i], written(op, *named).text, written(op, *plain).text]
        notes = []
        if op.label.isidentifier() and op.doc and TABLE.get(op.name) is op:
            notes.append(_described(op))
        numbers = [x for _, x in node._operands()]
        if not math.isfinite(node._data) and all(map(math.isfinite, numbers)):
            notes.append(f"From finite numbers: here {number_text(node._data)} is born.")
        for operand, x in node._operands():
            if operand is not None and operand._data != x and x == x:
                now, name = number_text(operand._data), self.names[self.places[operand]]
                notes.append(f"{name} was {number_text(x)} then, and is {now} now.")
        return [_equal(*parts, number_text(node._data))], notes

    def backward(self, i: int) -> tuple[list[str], list[str]]:
        """What an operation passes back, operand by operand, and notes on it."""
        node, op, name = self.values[i], self.values[i].op, self.names[i]
        assert op is not None
        if not self.arrived[i]:
            notes = [f"{name}.grad is 0: nothing arrived, so nothing is passed on."]
            partials = [p or 0.0 for p in partials_of(node, op)] if op.pullback is None else []
            if not all(map(math.isfinite, partials)):
                notes.append("A derivative is not finite here, and does no harm.")
            return [], notes
        lines: list[str] = []
        notes = self._notes(node, op)
        for step in self.passed[i]:
            lines += self._passing(i, step)
            if step.cut:
                target = self.names[step.target]
                notes.append(f"{target} was not chosen here: the edge is cut, and nothing passes.")
        return lines, notes

    # --- what is said of a sum of products, such as a neuron's, as a whole ---

    def sum_of_products(self, group: Sequence[int]) -> tuple[str, str] | None:
        """What these operations compute, in names and in numbers; None where it is nothing so."""
        add, mul = TABLE["add"], TABLE["mul"]
        if not 1 < len(group) <= _WRITTEN or self.values[group[-1]].op is not add:
            return None
        products: list[tuple[str, ...]] = []
        others: list[tuple[str, ...]] = []
        for i in group:
            op, sources = self.values[i].op, self._sources(self.values[i])
            if op not in (add, mul) or (i != group[-1] and self._uses[i] != 1):
                return None
            if op is mul and any(j in group for j in sources):
                return None
            ways = self._terms(self.values[i])
            if op is mul:
                products.append(tuple(f"{x.within(ATOM)} × {y.within(ATOM)}" for x, y in ways))
            for k, j in enumerate(sources if op is add else ()):
                if j not in group:
                    others.append(tuple(way[k].within(ATOM) for way in ways))
        named, plain = zip(*products, *others, strict=True)
        return " + ".join(named), " + ".join(plain)

    def _sources(self, node: Value) -> list[int]:
        """The places of a node's operands, −1 for a literal."""
        return [-1 if a is None else self.places[a] for a, _ in node._operands()]

    def backward_of_sum(self, group: Sequence[int]) -> tuple[list[str], list[str]]:
        """What a sum of products passes back, operand by operand."""
        name, adjoint = self.names[group[-1]], self.grads[group[-1]]
        if not self.arrived[group[-1]]:
            return [], [f"{name}.grad is 0: nothing arrived, so nothing is passed on."]
        lines: list[str] = []
        for i in group:
            named, plain = self._terms(self.values[i])
            for step in self.passed.get(i, ()):
                if step.target in group:
                    continue
                target, sides = self.names[step.target], [f"{name}.grad"]
                if self.values[i].op is TABLE["mul"]:
                    other = 1 - step.operand
                    sides = [f"{sides[0]} × {named[other].text}"]
                    sides.append(f"{number_text(adjoint)} × {plain[other].within(ATOM)}")
                lines.append(f"{target}.grad += {_equal(*sides, number_text(step.contribution))}")
                lines += self._sum_so_far(step)
        return lines, []

    def _passing(self, i: int, step: Passed) -> list[str]:
        node, op, name = self.values[i], self.values[i].op, self.names[i]
        target = self.names[step.target]
        assert op is not None
        derivative = f"∂{name}/∂{target}"
        contribution = number_text(step.contribution)
        lines = []
        if step.partial is None:
            lines.append(f"{target}.grad += {contribution}, as {op.label} computes it")
        else:
            named, plain = self._terms(node)
            symbolic = partial(op, step.operand, named, Term(name, node._data))
            numeric = partial(op, step.operand, plain, Term(number_text(node._data), node._data))
            p = number_text(step.partial)
            sides = [term.side for term in (symbolic, numeric) if term is not None]
            lines.append(_equal(derivative, *sides, p))
            factors = f"{number_text(self.grads[i])} × {f'({p})' if step.partial < 0 else p}"
            change = _equal(f"{name}.grad × {derivative}", factors, contribution)
            lines.append(f"{target}.grad += {change}")
        return lines + self._sum_so_far(step)

    def _sum_so_far(self, step: Passed) -> list[str]:
        """The gradient of an operand as the sum of what has arrived, if that is several."""
        target, contribution = self.names[step.target], number_text(step.contribution)
        received = self._received[step.target][: step.arrived]
        if len(received) <= 1:
            return []
        if len(received) > _TERMS_LISTED:
            before = step.total - step.contribution
            terms = f"{number_text(before)} (of {len(received) - 1} contributions) + {contribution}"
        else:
            terms = " + ".join(
                f"({number_text(c)})" if c < 0 and k else number_text(c)
                for k, c in enumerate(received)
            )
        return [f"{target}.grad = {terms} = {number_text(step.total)}"]

    def _notes(self, node: Value, op: Op) -> list[str]:
        numbers = [x for _, x in node._operands()]
        notes = []
        places = [self.places[a] for a, _ in node._operands() if a is not None]
        notes += [
            f"{self.names[j]} is more than one operand here: each passes its own part."
            for j in dict.fromkeys(places)
            if places.count(j) > 1
        ]
        if op.has_kink(numbers):
            where = ", ".join(
                f"{self.names[self.places[operand]]} = {number_text(x)}"
                for operand, x in node._operands()
                if operand is not None
            )
            notes.append(f"{where} is at a kink or a jump. {_described(op)}")
        if op is TABLE["where"]:
            arm = "second" if numbers[0] else "third"
            other = "third" if numbers[0] else "second"
            notes.append(
                f"The condition is {number_text(numbers[0])}: the {arm} operand was taken, and the "
                f"{other} gets 0, whatever its own derivatives are."
            )
        return notes

    def _terms(self, node: Value) -> tuple[list[Term], list[Term]]:
        """The operands as terms: by their names, and by their numbers."""
        named = [
            Term(number_text(x) if a is None else self.names[self.places[a]], x)
            for a, x in node._operands()
        ]
        return named, [Term(number_text(x), x) for _, x in node._operands()]


def _described(op: Op) -> str:
    """What the table says of an operation, in the names that it gives the operands."""
    assert op.forward is not None
    return f"{op.label}({', '.join(signature(op.forward).parameters)}): {op.doc}"


def _equal(*parts: str) -> str:
    """The parts with = between, without empty ones and repetitions."""
    kept: list[str] = []
    for part in parts:
        if part and part not in kept[-1:]:
            kept.append(part)
    return " = ".join(kept)


# --- names --------------------------------------------------------------------------------------


def _names(values: Sequence[Value], given: Mapping[Value, str]) -> list[str]:
    """A name for each node: its label as one line, numbered where others have the same.

    What has none is called as it is in `given`, or v1, v2, …
    """
    used: Counter[str] = Counter()
    names = []
    for value in values:
        label = in_line(value.label)
        if label:
            used[label] += 1
            again = numbering(used[label]) if used[label] > 1 else ""
            names.append(_isolated(label + again))
        else:
            names.append(given.get(value, ""))
    free = (name for k in itertools.count(1) if (name := f"v{k}") not in used)
    return [name or next(free) for name in names]


def in_line(label: str) -> str:
    """A label as one line of text that can be shown: with signs for line breaks and controls."""
    shown = plain(label.strip()).replace("\n", " ↵ ")
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def _isolated(name: str) -> str:
    """A name that is written from right to left keeps that to itself, and leaves numbers alone."""
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in name):
        return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"
    return name


# --- the steps ----------------------------------------------------------------------------------


def make_steps(
    walk: Walk, groups: Sequence[Sequence[int]], titles: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the steps of both passes as dicts.

    `groups` are the operations that make one step together, each behind what it uses, and
    `titles` what they are called where they are several. A step has the keys phase ("start",
    "forward", "seed", "backward" or "leaves"), nodes, node (the name of the last one), title, text
    (lines of formulas), notes (a list of sentences) and numbers: those of the operations that are
    written out, which are all but where many make one step.
    """
    pairs = list(zip(groups, titles, strict=True))
    return [
        _start(walk),
        *(_forward(walk, group, title) for group, title in pairs),
        _seed(walk),
        *(_backward(walk, group[::-1], title) for group, title in reversed(pairs)),
        _leaves(walk),
    ]


def _start(walk: Walk) -> dict[str, Any]:
    data = [walk.values[i]._data for i in walk.leaves]
    lines = [f"{walk.names[i]} = {number_text(x)}" for i, x in zip(walk.leaves, data, strict=True)]
    title = "The leaves have their numbers"
    return _made("start", walk.leaves, "", title, _first(lines), [], data=data)


def _forward(walk: Walk, group: Sequence[int], title: str) -> dict[str, Any]:
    last, listed = group[-1], group[:_LISTED]
    name = walk.names[last]
    lines, notes = _said([walk.forward(i) for i in listed], len(group))
    whole = walk.sum_of_products(group)
    if whole is not None:
        result = number_text(walk.values[last]._data)
        lines = [_equal(name, *whole, result)]
    if len(group) > 1 and whole is None:
        title = f"{title}: {len(group):,} operations"
        if len(group) > _LISTED:
            lines.append(f"at last {walk.forward(last)[0][0]}")
    else:
        title = f"{name} is computed"
    operands = [[x for _, x in walk.values[i]._operands()] for i in listed]
    results = [walk.values[i]._data for i in listed]
    return _made("forward", group, name, title, lines, notes, operands=operands, results=results)


def _seed(walk: Walk) -> dict[str, Any]:
    root, name = len(walk.values) - 1, walk.names[-1]
    notes = [f"From here backwards: how does {name} change with each number behind it?"]
    lines = [f"{name}.grad = ∂{name}/∂{name} = 1"]
    return _made("seed", [root], name, f"{name}.grad starts at 1", lines, notes, adjoint=1.0)


def _backward(walk: Walk, group: Sequence[int], title: str) -> dict[str, Any]:
    name, listed = walk.names[group[0]], group[:_LISTED]
    lines, notes = _said([walk.backward(i) for i in listed], len(group))
    whole = walk.sum_of_products(group[::-1])
    if whole is not None:
        lines, notes = walk.backward_of_sum(group[::-1])
    if len(group) > 1 and whole is None:
        title = f"{title}: {len(group):,} operations pass on their gradients"
    else:
        title = f"{name}.grad = {number_text(walk.grads[group[0]])} is passed on"
    passed = [[step._asdict() for step in walk.passed.get(i, ())] for i in listed]
    adjoints = [walk.grads[i] for i in listed]
    return _made("backward", group, name, title, lines, notes, adjoints=adjoints, passed=passed)


def _leaves(walk: Walk) -> dict[str, Any]:
    grads = [walk.grads[i] for i in walk.leaves]
    names, root = [walk.names[i] for i in walk.leaves], walk.names[-1]
    lines = [
        f"{name}.grad = ∂{root}/∂{name} = {number_text(g)}"
        for name, g in zip(names, grads, strict=True)
    ]
    title = "The leaves have their gradients"
    return _made("leaves", walk.leaves, "", title, _first(lines), [], grads=grads)


def _said(parts: Sequence[tuple[list[str], list[str]]], count: int) -> tuple[list[str], list[str]]:
    """What is said of the first operations of a step, and how many more there are."""
    lines = [line for more, _ in parts for line in more]
    notes = list(dict.fromkeys(note for _, more in parts for note in more))
    if count > len(parts):
        lines.append(f"… and {count - len(parts):,} more operations")
    return lines, notes


def _first(lines: list[str]) -> list[str]:
    rest = len(lines) - _LEAVES_LISTED
    return lines if rest <= 1 else [*lines[:_LEAVES_LISTED], f"… and {rest:,} more"]


def _made(
    phase: str,
    nodes: Sequence[int],
    name: str,
    title: str,
    lines: list[str],
    notes: list[str],
    **numbers: Any,
) -> dict[str, Any]:
    text = {"title": title, "text": "\n".join(lines), "notes": notes}
    return {"phase": phase, "nodes": list(nodes), "node": name, **text, "numbers": numbers}
