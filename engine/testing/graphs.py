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
from engine.lines import Recorder, argument_names, name_of, named_leaves
from engine.sweep import reverse_sweep
from engine.testing.subjects import Array, Subject, defined, named_outputs
from engine.testing.verdicts import judged
from engine.trees import flatten, flatten_argument, flatten_parts
from engine.value import Value, computed_leaf, to_float


def of_graph(f: Callable[..., Any], args: Sequence[Any], wrt: Any) -> Subject:
    """A function of Values by its arguments, a module by its parameters as well, and `wrt`."""
    leaves, rebuild, names = _arguments(f, args)
    own = [] if wrt is None else list(_values_of(wrt))
    if hasattr(f, "named_parameters"):
        own += [pair for pair in _values_of(f) if pair[1] not in {leaf for _, leaf in own}]
    count = len(leaves)
    if count + len(own) == 0:
        raise TypeError(
            "assert_gradients needs numbers to differentiate by: assert_gradients(f, x), or "
            "wrt=model, or wrt=[w, b] for Values that the function reads"
        )
    x = np.array([*leaves, *(leaf._data for _, leaf in own)], dtype=np.float64)
    held = [leaf for _, leaf in own]

    def run(x: Array) -> tuple[list[Value], list[Any]]:
        inputs = [computed_leaf(number) for number in x[:count].tolist()]
        return inputs, flatten(f(*rebuild(inputs)))[0]

    def values(x: Array) -> Array:
        with _moved(held, x[count:]):
            return _numbers(run(x)[1])

    def pull(x: Array, weights: Array) -> Array:
        with _moved(held, x[count:]), modes.enable_grad():
            inputs, outputs = run(x)
            seeds = [
                (y, w)
                for y, w in zip(outputs, weights.tolist(), strict=True)
                if isinstance(y, Value)
            ]
            nodes = topological_order([y for y, _ in seeds])
            return np.array(reverse_sweep(nodes, seeds, [*inputs, *held]))

    def suspect() -> tuple[str, str] | None:
        recorder = Recorder()
        with modes.recorded_by(recorder), modes.enable_grad():
            outputs = [y for y in run(x)[1] if isinstance(y, Value)]
        fault = first_fault(outputs, _disagreement)
        if fault is not None:
            line = recorder.line(recorder.spots.get(fault.node))
            return "", f"{fault.text}{f', at {line}' if line else ''}"
        for at, how in [
            *((recorder.spots[leaf], reason) for leaf, (_, reason) in recorder.cuts.items()),
            *((at, "read as a plain number") for at in recorder.reads.values()),
        ]:
            return "detached", f"The graph is left ({how}) at {recorder.line(at)}"
        return None

    names += [name for name, _ in own]
    with defined(name_of(f), names, x):
        results = len(values(x))
    return Subject(
        name_of(f),
        x,
        names,
        _shapes(args) + [()] * len(own),
        values,
        pull,
        outputs=named_outputs(results),
        suspect=suspect,
    )


def _disagreement(f: Callable[[float], float], x: float, given: float) -> float | None:
    verdict = judged(given, estimate(lambda t: f(x + t), ladder(x)))
    return None if verdict.agrees or not verdict.conclusive else verdict.found.best.value


def _arguments(
    f: Callable[..., Any], args: Sequence[Any]
) -> tuple[list[float], Callable[[list[Any]], list[Any]], list[str]]:
    """The numbers in the arguments, how to put others in their places, and their names."""
    leaves, rebuild = flatten_arguments(args)
    numbers = [to_float(x.data if isinstance(x, Value) else x) for x in leaves]
    called = zip(args, argument_names(f, len(args)), strict=True)
    given = [(arg, name) for arg, name in called if flatten_argument(arg) is not None]
    return numbers, rebuild, [name for pair in given for name, _ in named_leaves(*pair)]


def _values_of(wrt: Any) -> Iterator[tuple[str, Value]]:
    pairs = (
        [p for name, tree in wrt.named_parameters() for p in named_leaves(tree, name)]
        if hasattr(wrt, "named_parameters")
        else named_leaves(wrt, "wrt")
    )
    for name, leaf in pairs:
        if not isinstance(leaf, Value) or leaf.op is not None:
            raise TypeError(f"wrt has leaf Values, which can be moved, and {name} is {leaf!r}")
        yield leaf.label or name, leaf


@contextmanager
def _moved(leaves: Sequence[Value], numbers: Array) -> Iterator[None]:
    """Leaves with other numbers, for as long as it takes."""
    before = [leaf._data for leaf in leaves]
    try:
        for leaf, number in zip(leaves, numbers.tolist(), strict=True):
            leaf.data = number
        yield
    finally:
        for leaf, number in zip(leaves, before, strict=True):
            leaf.data = number


def _numbers(outputs: Sequence[Any]) -> Array:
    return np.array([y._data if isinstance(y, Value) else y for y in outputs], dtype=np.float64)


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
    numbers, rebuild, _ = _arguments(f, chosen)
    own = [] if wrt is None else list(_values_of(wrt))
    held = [leaf for _, leaf in own]
    count = len(numbers)

    def arguments(x: Array) -> list[Any]:
        made = dict(zip(places, rebuild(x[:count].tolist()), strict=True))
        return [made.get(i, arg) for i, arg in enumerate(args)]

    def values(x: Array) -> Array:
        with _moved(held, x[count:]):
            return np.array(flatten(f(*arguments(x)))[0], dtype=np.float64)

    def pull(x: Array, weights: Array) -> Array:
        with _moved(held, x[count:]):
            gradient = f.grad(*arguments(x))
        if held:
            parts = flatten_parts(gradient)[0]
            pairs = [(0.0, g) for g in parts]
        else:
            tree = (gradient,) if isinstance(argnums, int) else gradient
            pairs = [pair for a, g in zip(chosen, tree, strict=True) for pair in _paired(a, g)]
        return np.concatenate([_weighted(a, g, weights) for a, g in pairs])

    x = np.array([*numbers, *(leaf._data for leaf in held)], dtype=np.float64)
    entries = [name for i in places for name, _ in named_leaves(args[i], names[i])]
    entries += [name for name, _ in own]
    with defined(name_of(f), entries, x):
        results = len(values(x))
    return Subject(
        name_of(f),
        x,
        entries,
        _shapes(chosen) + [()] * len(own),
        values,
        pull,
        float(np.finfo(options["dtype"]).eps),
        named_outputs(results),
    )


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
