"""A program's plans: which is tried first, what each of its functions does, when one is made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine import locks, modes
from engine.compiled.arguments import Arguments
from engine.compiled.paths import Path, Paths, Wanted
from engine.compiled.plan import AGAIN, NOTHING, Call, Part, Plan, Writer
from engine.compiled.results import GradientTree, batched, of_examples

MOST_PLANS = 8  # that are tried before the full way is taken


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program returns: of examples each or their mean or sum; and whose gradients, those of
    arguments by their numbers, or of leaves."""

    reduce: str | None = None
    chosen: Sequence[int] = ()
    single: bool = False  # the gradient by one argument, not a tuple of some
    args: Sequence[Any] = ()  # of the call at hand
    axes: Sequence[Any] = ()  # and which of them are batched
    leaves: Sequence[int] = ()  # by their places
    rebuild: Callable[[list[Any]], Any] | None = None  # makes of a list what is returned


@dataclass(frozen=True, slots=True)
class Given:
    """What a function is written for."""

    paths: Paths
    path: Path
    wanted: Wanted
    arguments: Arguments
    asked: Asked
    columns: dict[tuple[str, int], int]  # gradients of single examples, and their places


class Plans:
    """The plans of a program. `last` is for a call like the last one; where that one went the full
    way, no plan is."""

    def __init__(self) -> None:
        self.last = Plan()
        self._kept: tuple[Plan, ...] = ()  # the one used last comes first
        self._lock = locks.freed()

    def another(
        self, kind: str, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[Any, Paths | None]:
        """What a call gives by a plan that was not used last, and whose paths it took; `AGAIN`
        where none fits."""
        for plan in self._kept:
            if plan is self.last:
                continue
            found = getattr(plan, kind)(args, keywords)
            if found is not AGAIN:
                self._put_first(plan)
                plan.paths.use(plan.path)
                return found, plan.paths
        self.last = Plan()
        return AGAIN, None

    def _put_first(self, plan: Plan) -> None:
        """Have a plan in place of those that are of the same path."""
        with self._lock:
            others = [p for p in self._kept if not p.replaced_by(plan)]
            self._kept = (plan, *others[: MOST_PLANS - 1])
            self.last = plan

    def keep(
        self,
        kind: str,
        paths: Paths,
        path: Path | None,
        wanted: Wanted,
        arguments: Arguments,
        asked: Asked,
    ) -> None:
        """After a call that went the full way, have a plan for others like it, if there can be
        one: if all went by this path.

        Where examples went by several, the plans for these rest, since others like it would run in
        vain by each."""
        if paths.in_full or modes.special:
            return
        if path is None:
            for plan in self._kept if arguments.count else ():
                if plan.paths is paths:
                    plan.rest(kind)
            return
        with paths.lock:
            machine, columns = paths.machine(path, wanted, kind != "value", lifted=True)
            if machine.divides(arguments.count or 0):
                return
            held = (plan for plan in self._kept if plan.holds(paths, path))
            plan = next(held, None) or Plan(paths, path)
            write = {"value": _value, "value_and_grad": _gradient, "backward": _backward}[kind]
            places = {name: place for place, name in enumerate(columns)}
            given = Given(paths, path, wanted, arguments, asked, places)
            plan.put(kind, machine, lambda writer: write(writer, given))
            self._put_first(plan)


def _value(writer: Writer, given: Given) -> Call:
    _, value, _ = _run(writer, given, (), (), backward=False)
    return writer.end(value)


def _gradient(writer: Writer, given: Given) -> Call:
    asked, columns = given.asked, given.columns
    rows = {i: row for row, i in enumerate(given.paths.shared)}
    leaves = {} if given.wanted.per_example else _read(given.path, given.wanted)
    inputs = [rows[i] for i in given.wanted.inputs if ("input", i) not in columns]
    parts, value, found = _run(writer, given, inputs, [*leaves.values()], backward=True)
    if asked.rebuild is None:
        trees = []
        for k in asked.chosen:
            own = given.arguments.of_argument[k]
            places = [columns.get(("input", i), NOTHING) for i in own]
            if {*places} <= {NOTHING}:
                trees.append(parts[k](found))
                continue
            entries = [
                writer.adjoint(rows[i], found) if place == NOTHING else place
                for i, place in zip(own, places, strict=True)
            ]
            tree = GradientTree(given.paths.dtype, given.wanted.per_example)
            make = functools.partial(tree.of, axis=asked.axes[k])
            trees.append(writer.of_columns(make, entries, f"args[{k}]", asked.args[k]))
        gradient = trees[0] if asked.single else f"({''.join([f'{tree}, ' for tree in trees])})"
    elif given.wanted.per_example:
        structure = asked.rebuild([*range(len(asked.leaves))])
        places = [columns.get(("leaf", place), NOTHING) for place in asked.leaves]
        gradient = writer.of_columns(
            lambda structure, entries: batched(structure, [*entries]),
            *(places, writer.keep(structure), structure),
        )
    else:
        by_place = {place: found[len(rows) + k] for place, k in leaves.items()}
        gradient = writer.list_of([by_place.get(place, NOTHING) for place in asked.leaves])
        if asked.rebuild is not list:
            gradient = f"{writer.keep(asked.rebuild)}({gradient})"
    return writer.end(f"({value}, {gradient})")


def _backward(writer: Writer, given: Given) -> Call:
    leaves = _read(given.path, given.wanted)
    _, value, found = _run(writer, given, (), [*leaves.values()], backward=True)
    writer.add([given.paths.leaves[place] for place in leaves], [*found.values()])
    return writer.end(value)


def _run(
    writer: Writer, given: Given, inputs: Sequence[int], leaves: Sequence[int], *, backward: bool
) -> tuple[list[Part], str, dict[int, int]]:
    """Check the arguments and run the machine code. Return what gives gradients by the arguments,
    what the function returns, and the places of adjoints (`Writer.run`)."""
    arguments, asked, path = given.arguments, given.asked, given.path
    parts = writer.arguments(arguments.signature, len(arguments.of_argument))
    count, mean = arguments.count or 0, asked.reduce == "mean"
    outputs, found = writer.run(path, inputs, leaves, backward=backward, count=count, mean=mean)
    if not count:
        return parts, writer.result(path.structure, outputs), found
    if asked.reduce is None and isinstance(path.structure, int):
        return parts, f"outputs[{path.structure}]", found
    made = functools.partial(of_examples, path.structure, asked.reduce)
    return parts, f"{writer.keep(made)}(outputs)", found


def _read(path: Path, wanted: Wanted) -> dict[int, int]:
    """Those leaves, by their places, that are wanted and that the path reads: which of its own."""
    places = enumerate(path.leaf_places.tolist())
    named = None if wanted.leaves is None else {*wanted.leaves}
    return {place: k for k, place in places if named is None or place in named}
