"""Sparse Jacobians and Hessians: only the entries that there are, by a compiled program.

In: a function and its arguments. Out: its derivatives as SciPy's sparse arrays. The recorded tape
becomes one that computes the entries (`chained`), with colors where columns or rows can be added
up (`coloring`), and then it is a program like any other: a path for each way that f branches, with
a pattern of its own, guards, and a plan for the calls after the first.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from engine.compiled.arguments import Arguments
from engine.compiled.chained import Chain, Seeding, gradient_of
from engine.compiled.coloring import color_columns, color_symmetric, transposed
from engine.compiled.columns import Array
from engine.compiled.paths import MOST_PATHS, Path, Paths, told_result
from engine.compiled.pattern import Sparsity, sparse_arrays
from engine.compiled.portable import Portable
from engine.compiled.program import Program
from engine.compiled.tape import Tape
from engine.compiled.trace import Recording
from engine.errors import TraceError, user_line
from engine.showing import Shown, bundle, words
from engine.signatures import check_transform

Kind = Literal["jacobian", "hessian"]
_LARGE = 32  # columns from which on a dense pattern is worth a warning


class SparseDerivative(Shown):
    """What `sparse_jacobian` and `sparse_hessian` return: call it like the function."""

    def __init__(self, f: Callable[..., Any], kind: Kind, argnums: int) -> None:
        sparse_arrays()
        check_transform(f"sparse_{kind}", f)
        self._f, self._kind, self._argnums = f, kind, argnums
        self._program = _Entries(f, kind, argnums)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Return the derivatives as a `scipy.sparse.csr_array`."""
        return self._program(*args, **keywords)

    @property
    def pattern(self) -> Sparsity:
        """The pattern of the path taken last, as it stands in the result: a `Sparsity`.

        Raises TraceError before the first call.
        """
        found = self._program.pattern
        if found is None:
            raise TraceError(f"{self!r} has no pattern: call it once, or ask engine.sparsity")
        return found

    @property
    def colors(self) -> Array:
        """The color of each column, or of each row (`pattern.by`), of the path taken last."""
        return self.pattern.colors

    def __reduce__(self) -> Any:
        return SparseDerivative, (Portable(self._f), self._kind, self._argnums)

    def __repr__(self) -> str:
        pattern = self._program.pattern
        what = f"{self._kind} of {self._program._name()}, not traced yet"
        return f"<sparse {pattern.counted() if pattern else what}>"

    def _bundle(self) -> dict[str, str]:
        pattern = self._program.pattern
        return pattern._bundle() if pattern else bundle(repr(self), None, words(repr(self)))


class _Entries(Program):
    """The program of the entries."""

    def __init__(self, f: Callable[..., Any], kind: Kind, argnums: int) -> None:
        if not isinstance(argnums, int | np.integer) or isinstance(argnums, bool):
            raise TypeError(
                f"argnums is the number of one argument, as a sparse {kind} is one matrix, not "
                f"{argnums!r}"
            )
        super().__init__(f)
        self._kind, self._argnum = kind, int(argnums)

    @property
    def pattern(self) -> Sparsity | None:
        """The one of the path used last; None before the first."""
        return self._last.paths[0].structure if self._last and self._last.paths else None

    def _new_paths(self, *options: Any) -> Paths:
        return _EntryPaths(self._f, *options, kind=self._kind, argnum=self._argnum)

    def _inlined(self, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        raise TraceError(
            f"a sparse {self._kind} is called while another function is traced, {user_line()}; "
            f"use engine.{self._kind} there"
        )


class _EntryPaths(Paths):
    """Paths whose tapes compute entries in place of results."""

    unrolls = True

    def __init__(
        self, f: Any, arguments: Arguments, *options: Any, kind: Kind, argnum: int
    ) -> None:
        super().__init__(f, arguments, *options)
        count = len(arguments.of_argument)
        if not -count <= argnum < count:
            raise ValueError(f"argnums names argument {argnum}, but {count} are given by position")
        self._kind, self._own = kind, arguments.of_argument[argnum]
        if not self._own:
            raise ValueError(f"argument {argnum} has no numbers to differentiate by")

    def _path(self, *given: Any) -> Path | None:
        del self.paths[MOST_PATHS - 1 :]  # there is no eager way: those used least are made again
        return super()._path(*given)

    def _path_of(self, recording: Recording, example: list[float]) -> Path:
        path = super()._path_of(recording, example)
        tape, name = path.tape, getattr(self.f, "__qualname__", type(self.f).__name__)
        if self._kind == "hessian":
            if not isinstance(path.structure, int):
                raise TypeError(
                    f"a Hessian is of one number, and {name} returns "
                    f"{told_result(path.structure)}; use sparse_jacobian"
                )
            tape = gradient_of(tape, self._own)
        tape, pattern = _entries_of(tape, self._own, f"{self._kind} of {name}", self._kind)
        if pattern.is_dense and len(self._own) >= _LARGE:
            warnings.warn(
                f"the {pattern.name} is dense, {pattern.shape[0]} × {pattern.shape[1]} with as "
                f"many colors as {pattern.by}; engine.{self._kind} does as well",
                RuntimeWarning,
                stacklevel=2,
            )
        return dataclasses.replace(
            path, tape=tape, structure=pattern, leaf_places=self.places_of(tape)
        )


def _entries_of(tape: Tape, inputs: range, name: str, kind: Kind) -> tuple[Tape, Sparsity]:
    """The tape of the derivatives of all outputs by some inputs, entry by entry, and their
    pattern."""
    outputs, count = np.array(tape.outputs, np.int64), len(inputs)
    chain = Chain(tape)
    starts, columns = chain.pattern(inputs)
    shape, rows = (len(outputs), count), np.repeat(np.arange(len(outputs)), np.diff(starts))
    up, mirrored = transposed(starts, columns, count)
    colors = color_columns(starts, columns, count)
    by_columns = Seeding(inputs, colors, forward=True)
    if kind == "hessian" and np.array_equal(up, starts) and np.array_equal(mirrored, columns):
        star = color_symmetric(starts, columns, count)
        if star.max(initial=-1) < colors.max(initial=-1):
            by_columns = Seeding(inputs, star, forward=True)
    by_rows = Seeding(tape.outputs, color_columns(up, mirrored, len(outputs)), forward=False)
    both = sorted([by_columns, by_rows], key=lambda seeding: seeding.colors.max(initial=-1))
    reach = chain.carry(both)
    colors = reach.seeding.colors
    if reach.seeding.forward:
        i, j = _alone(rows, columns, colors)
        tape = chain.derived(reach, outputs[i], colors[j])
    else:
        tape = chain.derived(reach, np.array(inputs, np.int64)[columns], colors[rows])
    by: Literal["columns", "rows"] = "columns" if reach.seeding.forward else "rows"
    return tape, Sparsity(name, shape, starts, columns, colors, by)


def _alone(rows: Array, columns: Array, colors: Array) -> tuple[Array, Array]:
    """For each entry where it stands alone in a color: in its row, or in its mirror image's."""
    keys = rows * (1 + int(colors.max(initial=0))) + colors[columns]
    _, which, count = np.unique(keys, return_inverse=True, return_counts=True)
    alone = count[which] == 1
    return np.where(alone, rows, columns), np.where(alone, columns, rows)


# --- the ways in ----------------------------------------------------------------------------------


def sparse_jacobian(f: Callable[..., Any], argnums: int = 0) -> SparseDerivative:
    """Return a function that gives f's Jacobian as a SciPy `csr_array`, by compiled code.

    f is written in scalars, takes what `engine.compile` takes, and returns m numbers in any
    structure; the result is m × n for the n numbers of argument `argnums`, both in their order.
    Other arguments are parameters. f is traced at the first call and for each other signature or
    path, and a program computes just the entries that are not 0 for all inputs: `.pattern` and
    `.colors` tell which. It serves as `jac=` of SciPy's `least_squares`, `root`, `solve_ivp` and
    constraints.

    Raises ImportError without SciPy, TypeError where f returns no numbers, TraceError as
    `engine.compile` does.

    >>> jacobian = sparse_jacobian(lambda x: [x[0] * x[1], x[1] ** 2, x[2] + 1.0])
    >>> jacobian([2.0, 3.0, 4.0]).toarray().tolist()
    [[3.0, 2.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 1.0]]
    >>> jacobian.colors.tolist()
    [0, 1, 0]
    """
    return SparseDerivative(f, "jacobian", argnums)


def sparse_hessian(f: Callable[..., Any], argnums: int = 0) -> SparseDerivative:
    """Return a function that gives f's Hessian as a SciPy `csr_array`, by compiled code.

    As `sparse_jacobian`, for a function of one number: n × n for the n numbers of argument
    `argnums`. Where the pattern is symmetric, an entry may be taken from its mirror image. It
    serves as `hess=` of SciPy's `minimize` with the methods trust-constr and Newton-CG.

    Raises TypeError where f returns anything but one number, and what `sparse_jacobian` raises.

    >>> def chain(x):
    ...     return sum((b - a * a) ** 2 for a, b in zip(x, x[1:]))
    >>> sparse_hessian(chain)([1.0, 2.0, 3.0]).toarray().tolist()
    [[4.0, -4.0, 0.0], [-4.0, 38.0, -8.0], [0.0, -8.0, 2.0]]
    """
    return SparseDerivative(f, "hessian", argnums)


def sparsity(
    f: Callable[..., Any], *args: Any, argnums: int = 0, of: Kind = "jacobian", **keywords: Any
) -> Sparsity:
    """Return the pattern of f's Jacobian, or Hessian, at these arguments, without computing it.

    f is called once, and the pattern read off what it recorded: an entry is left out only where it
    is 0 for all inputs that take the same path. Print it, or see it in Jupyter. `.csr()` is what
    SciPy's `jac_sparsity` takes.

    >>> print(sparsity(lambda x: [x[0], x[0] * x[1], x[2]], [1.0, 2.0, 3.0]))
    jacobian of <lambda>: 3 × 3, 4 entries (44.4 %), 2 colors of 3 columns
    █··
    ██·
    ··█
    """
    if of not in ("jacobian", "hessian"):
        raise ValueError(f'of is "jacobian" or "hessian", not {of!r}')
    check_transform("sparsity", f)
    program = _Entries(f, of, argnums)
    arguments, paths = program._prepared(args, keywords)
    paths.outputs(arguments, (0, 0))
    assert program.pattern is not None
    return program.pattern
