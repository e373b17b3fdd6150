"""Training: many updates of a program's numbers in one call, about data that stay where they are.

What a training loop needs of the compiler is here, and nothing else: a `Loop` binds the program of
a batch's loss to arrays with a row an example, of any type and layout, memory maps too, or what
reads rows when asked for them; `Steps` say which updates are to be made. Small data are copied
once, to be at hand in the program's type. Large ones are read in place, if machine code can do so
and they are of that type; else as many rows as a few steps are about are copied, one block after
the other.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine import modes
from engine.compiled import worker
from engine.compiled.blocks import View, follow
from engine.compiled.instructions import matrices
from engine.compiled.machine import Machine
from engine.compiled.paths import Result, Wanted
from engine.compiled.program import Program
from engine.compiled.ready import NARROW
from engine.compiled.worker import Training

Array = np.ndarray[Any, np.dtype[Any]]
KEPT_BYTES = 1 << 22  # of data in the program's type, up to which they are copied whole
BLOCK_BYTES = 6 << 20  # of rows that are copied together, unless a single step is about more


@dataclass(slots=True)
class Steps:
    """Updates to make in one call: step k is about the rows `order[starts[k] : starts[k + 1]]`.

    `theta` are the numbers that move, those of the program's `wrt`, and `gradient` the last
    gradient, both changed in place, as are `slots`, what the rule keeps. For the `rule` and what
    it is told, a row of `settings` an update, see `updates`. With `mean` the gradient is divided by
    the sum of the batch's weights, the program's second output. Without a rule the steps are parts
    of one batch, each with a row of `gradient`; `first` is the number of its first example there,
    and `most` how many any part of the batch has.
    """

    order: Array
    starts: Array
    theta: Array
    gradient: Array
    rule: Callable[..., tuple[Any, ...]] | None = None
    slots: Array = field(default_factory=lambda: np.zeros(0))
    settings: Array = field(default_factory=lambda: np.zeros((0, 0)))
    mean: bool = False
    first: int = 0
    most: int = 0
    losses: Array = field(init=False)  # (steps, 2): the sum of terms, and of weights

    def __post_init__(self) -> None:
        self.losses = np.zeros((len(self.starts) - 1, 2))
        self.most = self.most or int(np.diff(self.starts).max())
        if self.rule is None:
            self.settings = np.zeros((len(self.losses), 0))


class Loop:
    """A program of a batch's loss, bound to the examples that it is trained on.

    `arrays` are its batched arguments, with a row an example; none for a program without any.
    `keywords` are its other arguments. Raises what the program raises when it is traced.
    """

    def __init__(self, program: Program, *arrays: Array, **keywords: Any) -> None:
        self._program = program
        self._arguments, self._paths = program._prepared([a[:1] for a in arrays], keywords)
        self._wanted = Wanted((), range(len(program._leaves)))  # which is hashed quickly
        self.dtype = np.dtype(self._paths.dtype)
        self.took_one_path = False  # all examples of the last gradient, through the function
        self._rows = _Rows(arrays, self.dtype)

    def expect(self, runs: int, examples: int = 1) -> None:
        """Say what is to come, before the first run: so many runs of so many examples are worth
        more compilation, or not. It is no matter of time, nor of where a run was interrupted, so
        that the same runs are the same."""
        chunks = runs * -(-examples // matrices.LANES)
        self._paths.hot = self._paths.hot or chunks > worker.HOT
        self._paths.expected = True

    def read_data(self) -> None:
        """Take the data as they are now, where they were copied."""
        self._rows.read()

    def outputs(
        self, theta: Array, rows: Array, draws: tuple[int, int], others: tuple[Array, ...] = ()
    ) -> Array:
        """Return the outputs for some examples, a row each, at numbers `theta` of `wrt`.

        `draws` are the seed and the step of random numbers. `others` are arrays to take the rows
        of in place of the loop's own.
        """
        source = _Rows(others, self.dtype) if others else self._rows
        return self._run(theta, source.of(rows), draws, gradient=False).outputs

    def gradient(
        self, theta: Array, rows: Array, draws: tuple[int, int], first: int = 0
    ) -> tuple[Array, Array]:
        """Return the same, and the gradient of the first output's sum over them by `theta`.

        `first` is the number of the first example within its batch, as random numbers go by it.
        """
        result = self._run(theta, self._rows.of(rows), draws, gradient=True, first=first)
        self.took_one_path = result.path is not None
        return result.outputs, result.leaves[: len(theta)]

    def _run(
        self,
        theta: Array,
        matrix: Array,
        draws: tuple[int, int],
        *,
        gradient: bool,
        first: int = 0,
    ) -> Result:
        arguments = dataclasses.replace(
            self._arguments, matrix=matrix, count=len(matrix), first=first
        )
        self._go_by_now()
        with self._paths.lock:
            weights = None
            if gradient:
                weights = np.zeros(self._paths.outputs(arguments, draws))
                weights[0] = 1.0
            return self._paths.run(
                arguments, draws, weights=weights, wanted=self._wanted, leaf_numbers=theta
            )

    def run(self, steps: Steps, draws: tuple[int, int]) -> int:
        """Make the updates, without Python in between, and return how many were made; or of how
        many parts of a batch there is the gradient.

        Where it is fewer than asked for, the next one takes another path through the function, or
        its batch has no weight: ask for its `gradient`.
        """
        if modes.state.raising:
            return 0  # what is looked for is found example by example
        self._go_by_now()
        with self._paths.lock:
            self._paths.outputs(self._arguments, draws)
            given = (self._arguments, draws, self._wanted, len(steps.theta))
            return self._paths.run_steps(*given, functools.partial(self._trainings, steps))

    def _go_by_now(self) -> None:
        """Take the paths of the surroundings as they are now."""
        before, self._paths = self._paths, self._program._current(self._arguments)
        self._paths.hot = self._paths.hot or before.hot
        self._paths.expected = self._paths.expected or before.expected

    def _trainings(self, steps: Steps, machine: Machine) -> Iterator[Training]:
        """The steps in the form that a machine takes them, as many at once as have their rows in
        memory."""
        view = machine.in_place(steps.most)
        apart, rows = self._rows.apart(view)
        for first, last in rows.blocks(steps.starts):
            data, order, in_order, starts = rows.block(
                *(steps.order, steps.starts, first, last), columns=view is None
            )
            some, ids = slice(first, last), np.arange(max(1, steps.most))
            if steps.rule is None:
                ids = steps.first + np.arange(*(steps.starts[[first, last]] - steps.starts[0]))
            yield Training(
                data=data,
                apart=apart,
                order=order,
                in_order=in_order,
                starts=starts,
                theta=steps.theta,
                gradient=steps.gradient if steps.rule else steps.gradient[some],
                rule=steps.rule,
                slots=steps.slots,
                settings=steps.settings[some],
                mean=steps.mean,
                losses=steps.losses[some],
                ids=ids,
                most=steps.most,
                places=np.zeros(0, np.int64),
            )


class _Rows:
    """Examples as a machine takes them: numbers of one type, an example's side by side."""

    def __init__(self, arrays: tuple[Array, ...], dtype: Any) -> None:
        self._arrays, self._dtype = arrays, dtype
        self._count = len(arrays[0]) if arrays else 0
        self._widths = [math.prod(array.shape[1:]) for array in arrays]
        self._width = sum(self._widths)
        self._room = np.empty(0, dtype)  # for a block
        size = self._width * np.dtype(dtype).itemsize
        self._at_once = max(1, BLOCK_BYTES // max(1, size))  # rows of a block
        self._is_kept = self._count * size <= KEPT_BYTES
        self._kept = np.empty((self._count, self._width), dtype) if self._is_kept else None
        self._columns: Array | None = None  # the same, turned
        self._others: _Rows | None = None  # without an array that is read in place
        self.read()

    def read(self) -> None:
        """Copy the data, if they are small."""
        if self._kept is not None:
            self._fill(self._kept, slice(None))
            self._columns = None
        self._others = None

    def apart(self, view: View | None) -> tuple[tuple[int, Array] | None, _Rows]:
        """What of the examples can be read in place, from which of their numbers on, and the rows
        of the others: one of the arrays, if a machine asks for just its numbers, if they lie as it
        has them, and if the others are small."""
        first = 0
        for k, (array, width) in enumerate(zip(self._arrays, self._widths, strict=True)):
            here = view is not None and (first, width) == (view.first, view.count)
            lies = isinstance(array, np.ndarray) and array.dtype == self._dtype
            lies = lies and array.flags.c_contiguous and array.flags.aligned
            if here and lies and self._kept is None and len(self._arrays) > 1:
                if self._others is None:
                    others = (*self._arrays[:k], *self._arrays[k + 1 :])
                    self._others = _Rows(others, self._dtype)
                if self._others._kept is not None:
                    return (first, array.reshape(len(array), width)), self._others
            first += width
        return None, self

    def of(self, rows: Array) -> Array:
        """Some examples, a row each."""
        if self._kept is None:
            return self._fill(np.empty((len(rows), self._width), self._dtype), rows)
        if len(rows) != self._count or not follow(rows):
            return self._kept[rows]
        return self._turned().T if self._width <= NARROW else self._kept

    def blocks(self, starts: Array) -> Iterator[tuple[int, int]]:
        """The steps that are made together, from one to before another."""
        first, last = 0, len(starts) - 1
        while first < last:
            end = last
            if self._kept is None:
                end = int(np.searchsorted(starts, starts[first] + self._at_once, "right")) - 1
            end = min(max(first + 1, end), last)
            yield first, end
            first = end

    def block(
        self, order: Array, starts: Array, first: int, last: int, *, columns: bool
    ) -> tuple[Array, Array, bool, Array]:
        """What `Training` is told of the examples of some steps: data, order, whether they are
        columns that follow each other, if there may be any, and where steps begin and end."""
        if not self._arrays:
            return self._turned(), order, True, np.zeros((last - first, 2), np.int64)
        begins, ends = starts[first:last], starts[first + 1 : last + 1]
        steps = np.stack([begins, ends], axis=1)
        narrow = columns and self._width <= NARROW
        if self._kept is not None:
            follow = np.diff(order[starts[first] : starts[last]])
            follow[ends[:-1] - starts[first] - 1] = 1  # another step's, which need not
            if not (narrow and (follow == 1).all()):
                return self._kept, order, False, steps
            steps += (order[begins] - begins)[:, None]
            return self._turned(), order, True, steps
        rows = order[starts[first] : starts[last]]
        if len(self._room) < len(rows) * self._width:
            self._room = np.empty(len(rows) * self._width, self._dtype)
        room = self._room[: len(rows) * self._width]
        data = room.reshape(self._width, -1) if narrow else room.reshape(-1, self._width)
        self._fill(data.T if narrow else data, rows)
        return data, np.arange(len(rows)), narrow, steps - starts[first]

    def _turned(self) -> Array:
        """The data that were copied, with a column an example."""
        assert self._kept is not None
        if self._columns is None:
            self._columns = np.ascontiguousarray(self._kept.T)
        return self._columns

    def _fill(self, matrix: Array, rows: Any) -> Array:
        """Copy some examples into a matrix, and return it."""
        if not isinstance(rows, slice) and len(rows) and follow(rows):
            rows = slice(int(rows[0]), int(rows[-1]) + 1)
        ends = itertools.accumulate(self._widths)
        with np.errstate(all="ignore"):  # a large double may be inf in single precision
            for array, width, end in zip(self._arrays, self._widths, ends, strict=True):
                matrix[:, end - width : end] = array[rows].reshape(len(matrix), width)
        return matrix
