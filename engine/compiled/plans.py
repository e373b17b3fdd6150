"""A program's plans: which is tried first, what each of its functions does, when one is made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine import locks, modes
from engine.compiled.arguments import Arguments
from engine.compiled.paths import Path, Paths, Wanted
from engine.compiled.plan import AGAIN, NOTHING, Call, Plan, Writer
from engine.compiled.results import of_examples

FEW_EXAMPLES = 64  # up to which a batch is few rows: one chunk
MOST_PLANS = 8  # that are tried before the full way is taken


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose gradients a program returns: arguments by their numbers, or leaves."""

    chosen: Sequence[int] = ()
    single: bool = False  # the gradient by one argument, not a tuple of some
    leaves: Sequence[int] = ()  # by their places
    rebuild: Callable[[list[Any]], Any] | None = None  # makes of a list what is returned
    examples: int = 0  # how many there may be, for values of each


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
        wanted: Wanted,
        arguments: Arguments,
        asked: Asked = Asked(),
    ) -> None:
        """After a call that went the full way, have a plan for others like it, if there can be
        one."""
        count = arguments.count or 0
        if paths.draws or modes.special or (count and not 0 < asked.examples >= count):
            return
        with paths.lock:
            path = paths.paths[0]
            plan = next((plan for plan in self._kept if plan.holds(paths)), None) or Plan(paths)
            machine, _ = paths.machine(path, wanted, kind != "value", lifted=True)
            if plan.needs(kind, machine, count):
                write = {"value": _value, "value_and_grad": _gradient, "backward": _backward}[kind]
                given = (paths, path, wanted, arguments, asked)
                plan.put(kind, machine, count, lambda writer: write(writer, *given))
            self._put_first(plan)


def _value(
    writer: Writer, paths: Paths, path: Path, wanted: Wanted, arguments: Arguments, asked: Asked
) -> Call:
    writer.arguments(arguments.signature, len(arguments.of_argument))
    if arguments.count is not None:
        by_output = writer.run_on_examples(path, arguments.count)
        made = functools.partial(of_examples, path.structure)
        return writer.end(f"{writer.keep(made)}({by_output}.T)")
    outputs, _ = writer.run(path, backward=False)
    return writer.end(writer.result(path.structure, outputs))


def _gradient(
    writer: Writer, paths: Paths, path: Path, wanted: Wanted, arguments: Arguments, asked: Asked
) -> Call:
    parts = writer.arguments(arguments.signature, len(arguments.of_argument))
    leaves = _read(path, wanted)
    outputs, found = writer.run(path, wanted.inputs, [*leaves.values()], backward=True)
    if asked.rebuild is not None:
        first = len(arguments.is_lane)
        by_place = {place: found[first + k] for place, k in leaves.items()}
        gradient = writer.list_of([by_place.get(place, NOTHING) for place in asked.leaves])
        if asked.rebuild is not list:
            gradient = f"{writer.keep(asked.rebuild)}({gradient})"
    else:
        trees = [parts[k](found) for k in asked.chosen]
        gradient = trees[0] if asked.single else f"({''.join([f'{tree}, ' for tree in trees])})"
    return writer.end(f"({writer.result(path.structure, outputs)}, {gradient})")


def _backward(
    writer: Writer, paths: Paths, path: Path, wanted: Wanted, arguments: Arguments, asked: Asked
) -> Call:
    writer.arguments(arguments.signature, len(arguments.of_argument))
    leaves = _read(path, wanted)
    outputs, found = writer.run(path, (), [*leaves.values()], backward=True)
    writer.add([paths.leaves[place] for place in leaves], [*found.values()])
    return writer.end(writer.result(path.structure, outputs))


def _read(path: Path, wanted: Wanted) -> dict[int, int]:
    """Those leaves, by their places, that are wanted and that the path reads: which of its own."""
    places = enumerate(path.leaf_places.tolist())
    named = None if wanted.leaves is None else {*wanted.leaves}
    return {place: k for k, place in places if named is None or place in named}
