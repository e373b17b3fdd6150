"""The example at fault: which of a batch gives inf or nan first, in a result or in a gradient.

In: a program and the arguments of a call, or how to run the first so many examples. Out: the
number of the example, and what to call the function itself with. A run of many examples costs
little more than one of a few, so the search halves the batch, and gradients stay sums.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from engine import modes
from engine.compiled.blocks import Array
from engine.compiled.paths import Wanted
from engine.compiled.program import Program
from engine.randomness import drawing, step_to_run, stream


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """An example whose numbers are not all finite, None where there is no batch; the arguments
    that the function itself takes for it; and in what its random numbers are drawn."""

    example: int | None
    args: Sequence[Any]
    keywords: Mapping[str, Any]
    drawn: AbstractContextManager[Any]


def first_example(count: int, is_finite: Callable[[int], bool]) -> int | None:
    """The first of `count` examples without which those before it are finite, or None.

    >>> first_example(8, lambda some: some <= 5)  # how many examples are run
    5
    """
    found = bisect.bisect_left(range(1, count + 1), True, key=lambda some: not is_finite(some))
    return found if found < count else None


def are_finite(*arrays: Array) -> bool:
    """Whether all numbers are."""
    return all(np.isfinite(array).all() for array in arrays)


def first_fault(program: Program, args: Sequence[Any], keywords: Mapping[str, Any]) -> Fault | None:
    """The first example of a call whose results are not finite, or their gradients by `wrt`, if
    the program has that, or else by all that the function reads. Raises what the call raises."""
    with modes.errstate("ignore"):
        arguments, paths = program._prepared(args, dict(keywords))
        draws = stream.seed, step_to_run()
        matrix = arguments.lane_matrix(paths.dtype)
        count = len(matrix) if arguments.count is not None else 1
        wanted = Wanted(tuple(range(len(arguments.is_lane))), leaves=None)
        if program._wrt is not None:
            wanted = Wanted((), tuple(range(len(program._leaves))))

        def is_finite(some: int) -> bool:
            given = arguments
            if given.count is not None:
                given = dataclasses.replace(arguments, matrix=matrix[:some], count=some)
            weights = np.repeat(program._weight(arguments), paths.outputs(given, draws))
            result = paths.run(given, draws, weights=weights, wanted=wanted)
            gradients = (result.inputs, result.leaves, *result.columns.values())
            outputs = result.outputs
            if program._reduce is not None:  # a sum of finite numbers may be infinite
                with np.errstate(over="ignore", invalid="ignore"):
                    outputs = np.add.reduce(outputs, axis=0)
            return are_finite(outputs, *gradients)

        with paths.lock:
            example = first_example(count, is_finite)
    if example is None:
        return None
    one, own = arguments.build(arguments.example(example))
    if arguments.count is None:
        return Fault(None, one, own, drawing(*draws, stream.example))
    return Fault(example, one, own, drawing(*draws, example))
