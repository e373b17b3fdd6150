"""Functions of Values, modules and compiled programs as subjects.

In: a callable of this project, its arguments, and Values that it reads. Out: a `Subject`. For a
graph it can also say which node is at fault, or where the graph was left, on which line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from engine import modes
from engine.calculus import flatten_arguments
from engine.checking import first_fault
from engine.differences import estimate, ladder
from engine.graph import topological_order
from engine.leaves import set_leaves
from engine.lines import Recorder, argument_names, leaves_of, name_of, named_arguments, named_leaves
from engine.sweep import reverse_sweep
from engine.testing.search import judged
from engine.testing.subjects import Array, Subject
from engine.trees import flatten, flatten_argument, flatten_parts
from engine.value import Value, computed_leaf, to_float


def of_graph(f: Callable[..., Any], args: Sequence[Any], wrt: Any) -> Subject:
    """A function of Values by its arguments, a module by its parameters as well, and `wrt`."""
    leaves, names, rebuild = named_arguments(f, args)
    own = [] if wrt is None else _values_of(wrt)
    if hasattr(f, "named_parameters"):
        own += [pair for pair in _values_of(f) if pair[1] not in {leaf for _, leaf in own}]
    if len(leaves) + len(own) == 0:
        raise TypeError(
            "assert_gradients needs numbers to differentiate by: assert_gradients(f, x), or "
            "wrt=model, or wrt=[w, b] for Values that the function reads"
        )

    def run(numbers: Sequence[float]) -> tuple[list[Value], list[Any]]:
        inputs = [computed_leaf(number) for number in numbers]
        return inputs, flatten(f(*rebuild(inputs)))[0]

    def values(numbers: Sequence[float]) -> Array:
        outputs = run(numbers)[1]
        return np.array([y._data if isinstance(y, Value) else y for y in outputs], dtype=np.float64)

    def pull(numbers: Sequence[float], weights: Array) -> Array:
        with modes.enable_grad():
            inputs, outputs = run(numbers)
            pairs = zip(outputs, weights.tolist(), strict=True)
            seeds = [(y, w) for y, w in pairs if isinstance(y, Value)]
            nodes = topological_order([y for y, _ in seeds])
            return np.array(reverse_sweep(nodes, seeds, [*inputs, *(leaf for _, leaf in own)]))

    def suspect() -> tuple[str, str] | None:
        recorder = Recorder()
        with modes.recorded_by(recorder), modes.enable_grad():
            numbers = subject.x[: len(leaves)].tolist()
            outputs = [y for y in run(numbers)[1] if isinstance(y, Value)]
        fault = first_fault(outputs, _disagreement)
        if fault is not None:
            node, text = fault
            line = recorder.line(recorder.spots.get(node))
            return "", f"{text}{f', at {line}' if line else ''}"
        for at, how in [
            *((recorder.spots[leaf], reason) for leaf, (_, reason) in recorder.cuts.items()),
            *((at, "read as a plain number") for at in recorder.reads.values()),
        ]:
            return "detached", f"The graph is left ({how}) at {recorder.line(at)}"
        return None

    subject = _subject(f, (leaves, names, _shapes(args)), own, values, pull)
    subject.suspect = suspect
    return subject


def _subject(
    f: Callable[..., Any],
    given: tuple[list[Any], list[str], list[tuple[int, ...]]],
    own: Sequence[tuple[str, Value]],
    values: Callable[[list[float]], Array],
    pull: Callable[[list[float], Array], Array],
) -> Subject:
    """A function by numbers that it is given, with their names and shapes, and by Values of its
    own, which have other numbers while `values` and `pull` run."""
    leaves, names, shapes = given
    held, count = [leaf for _, leaf in own], len(leaves)

    def at(x: Array, run: Callable[..., Array], *more: Array) -> Array:
        with _moved(held, x[count:].tolist()):
            return run(x[:count].tolist(), *more)

    numbers = [to_float(x.data if isinstance(x, Value) else x) for x in [*leaves, *held]]
    return Subject(
        name_of(f),
        np.array(numbers, dtype=np.float64),
        [*names, *(name for name, _ in own)],
        shapes + [()] * len(own),
        lambda x: at(x, values),
        lambda x, weights: at(x, pull, weights),
    )


def _disagreement(f: Callable[[float], float], x: float, given: float) -> float | None:
    verdict = judged(given, estimate(lambda t: f(x + t), ladder(x)))
    return None if verdict.agrees or not verdict.conclusive else verdict.found.best.value


def _values_of(wrt: Any) -> list[tuple[str, Value]]:
    found = leaves_of(wrt)
    for name, leaf in found:
        if not isinstance(leaf, Value) or leaf.op is not None:
            raise TypeError(f"wrt has leaf Values, which can be moved, and {name} is {leaf!r}")
    return [(leaf.label or name, leaf) for name, leaf in found]


@contextmanager
def _moved(leaves: Sequence[Value], numbers: Sequence[float]) -> Iterator[None]:
    """Leaves with other numbers, for as long as it takes."""
    before = [leaf._data for leaf in leaves]
    try:
        set_leaves(leaves, numbers)
        yield
    finally:
        set_leaves(leaves, before)


def _shapes(args: Sequence[Any]) -> list[tuple[int, ...]]:
    """The shapes of the arrays and square lists among the arguments, () for each other number."""
    found: list[tuple[int, ...]] = []
    for arg in args:
        flat = flatten_argument(arg)
        if flat is None:
            continue
        try:
            shape = np.shape(arg)
        except ValueError:  # a list of rows that are not of one length
            shape = ()
        found += [shape] if np.prod(shape) == len(flat[0]) else [()] * len(flat[0])
    return found


def of_program(f: Any, args: Sequence[Any], wrt: Any) -> Subject:
    """A compiled program by the arguments that it differentiates by, or by `wrt`."""
    options = f._options()
    wrt = f._wrt if wrt is None else wrt
    argnums = options["argnums"]
    places = [argnums] if isinstance(argnums, int) else list(argnums)
    chosen = [args[i] for i in places]
    if wrt is not None:
        places, chosen = [], []
    names = argument_names(f, len(args))
    leaves, rebuild = flatten_arguments(chosen)
    own = [] if wrt is None else _values_of(wrt)

    def arguments(numbers: list[float]) -> list[Any]:
        made = dict(zip(places, rebuild(numbers), strict=True))
        return [made.get(i, arg) for i, arg in enumerate(args)]

    def values(numbers: list[float]) -> Array:
        return np.array(flatten(f(*arguments(numbers)))[0], dtype=np.float64)

    def pull(numbers: list[float], weights: Array) -> Array:
        gradient = f.grad(*arguments(numbers))
        if own:
            pairs = [(0.0, g) for g in flatten_parts(gradient)[0]]
        else:
            tree = (gradient,) if isinstance(argnums, int) else gradient
            pairs = [pair for a, g in zip(chosen, tree, strict=True) for pair in _paired(a, g)]
        return np.concatenate([_weighted(a, g, weights) for a, g in pairs])

    entries = [name for i in places for name, _ in named_leaves(args[i], names[i])]
    subject = _subject(f, (leaves, entries, _shapes(chosen)), own, values, pull)
    subject.precision = float(np.finfo(options["dtype"]).eps)
    return subject


def _paired(argument: Any, gradient: Any) -> list[tuple[Any, Any]]:
    """The numbers and arrays of an argument, each with its gradient."""
    ours, theirs = flatten_parts(argument)[0], flatten_parts(gradient)[0]
    if len(ours) != len(theirs):  # lists of lists, whose gradient is an array
        return [(argument, gradient)]
    return list(zip(ours, theirs, strict=True))


def _weighted(argument: Any, gradient: Any, weights: Array) -> Array:
    """The gradient of the weighted sum over examples, flat, from those of the examples."""
    g = np.asarray(gradient, dtype=np.float64)
    if len(weights) == 1:
        return np.ravel(g * weights)
    if g.ndim > np.ndim(argument):  # shared by the examples
        return np.ravel(np.tensordot(weights, g, 1))
    return np.ravel(g * weights.reshape(-1, *[1] * (g.ndim - 1)))
