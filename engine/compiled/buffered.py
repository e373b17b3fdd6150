"""A program with buffers for its numbers, for optimisers that call it again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine import modes
from engine.compiled.arguments import Arguments
from engine.compiled.blocks import as_slice
from engine.compiled.paths import Path, Paths, Wanted
from engine.compiled.seats import Seats
from engine.randomness import begin_step, step_to_run, stream
from engine.value import Value

if TYPE_CHECKING:
    from engine.compiled.program import Program


class Buffered:
    """A program of one number whose arguments are in an array, and its gradient in another.

    Made by `Program.buffered`. Write the arguments' numbers into `numbers`, in their order, and
    after them those of the leaves of `wrt`; call the object, which returns the value; `gradient`
    then has the derivatives by the numbers of `argnums`, or by the leaves of `wrt`. Other leaves
    that the function reads are read at every call, as are its guards.

    >>> import engine
    >>> buffered = engine.compile(lambda x: x[0] * engine.exp(x[1])).buffered([1.0, 0.0])
    >>> buffered.numbers[:] = 3.0, 0.0
    >>> buffered(), buffered.gradient.tolist()
    (3.0, [1.0, 3.0])
    """

    def __init__(
        self,
        program: Program,
        paths: Paths,
        arguments: Arguments,
        wanted: Wanted,
        leaves: Sequence[Value],
    ) -> None:
        self._program, self._paths = program, paths
        self._arguments, self._wanted = arguments, wanted
        self._count = len(arguments.shared)
        numbers = [*arguments.shared, *[leaf._data for leaf in leaves]]
        self.numbers = np.array(numbers, paths.dtype)
        self.gradient = np.zeros(len(wanted.inputs) or len(leaves), paths.dtype)
        self._path: Path | None = None  # the one that the seat is for
        self._seats: Seats | None = None

    def __call__(self) -> float:
        """Run the program at `numbers`; return the value and fill `gradient`."""
        if not self._paths.around.hold():
            self._paths = self._program._current(self._arguments)
        paths = self._paths
        with paths.lock:
            if not paths.paths or paths.in_full or modes.special:
                return self._anew()
            if self._path is not paths.paths[0]:
                self._bind(paths.paths[0])
            if self._seats is None:
                return self._anew()
            memory, at, shared, adjoints, _ = self._seat
            shared[self._rows] = self.numbers[self._used]
            if self._others:
                shared[self._other_rows] = [leaf._data for leaf in self._others]
            self._seats.drive(at)
            nan_seen, *fail, value = self._unpack(memory)
            if nan_seen or (fail and fail[0] >= 0):
                self._seats.clean(self._seat)
                return self._anew()
            self.gradient[self._into] = adjoints[self._taken]
            return float(value)

    def _bind(self, path: Path) -> None:
        """Prepare calls on a path: where each number goes, and each derivative comes from."""
        paths, count = self._paths, self._count
        made, _ = paths.machine(path, self._wanted, backward=True, lifted=True)
        made.hot = True  # or nobody would ask for this
        places = path.leaf_places
        known = places < len(self.numbers) - count
        rows = count + np.arange(len(places))
        self._rows = as_slice(np.append(np.arange(count), rows[known]))
        self._used = as_slice(np.append(np.arange(count), count + places[known]))
        self._other_rows = rows[~known]
        self._others = [paths.leaves[k] for k in places[~known].tolist()]
        self.gradient[:] = 0.0
        taken, into = rows[known], places[known]
        if self._wanted.inputs:
            taken, into = np.array(self._wanted.inputs, np.int64), np.arange(len(self.gradient))
        self._taken, self._into = as_slice(taken), as_slice(into)
        self._path = path
        shared = slice(0, count + len(places))
        views = [(name, shared, (shared.stop,)) for name in ("vs", "gs")]
        self._seats = Seats.of(made, backward=True, views=views)
        if self._seats is not None:
            self._seat, self._unpack = self._seats.make(), self._seats.unpacker(())

    def _anew(self) -> float:
        """The same by a run that may trace other paths, or go by the plain tape."""
        arguments, count = self._arguments, self._count
        arguments.shared = self.numbers[:count].tolist()
        step = step_to_run()
        result = self._paths.run(
            arguments,
            (stream.seed, step),
            weights=np.ones(1),
            wanted=self._wanted,
            leaf_numbers=self.numbers[count:],
        )
        if self._paths.draws:
            begin_step(step + 1)
        by_leaf = result.leaves[: len(self.gradient)]
        by_input = result.inputs[list(self._wanted.inputs)]
        self.gradient[:] = by_input if self._wanted.inputs else by_leaf
        return float(result.outputs[0, 0])
