"""From a program's trace to a `Source`: a text that remembers which numbers it is about."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from engine.compiled.adjoint import adjoint
from engine.compiled.blocks import NOTED, L, S
from engine.compiled.columns import DRAW
from engine.compiled.lift import Blocks, lift
from engine.compiled.paths import Path, Paths, Wanted
from engine.compiled.source.as_c import Subject, c_text
from engine.compiled.source.as_latex import latex_text
from engine.compiled.source.as_numpy import numpy_text
from engine.compiled.source.derive import Named, derive
from engine.compiled.source.inputs import arguments_of, identifier, numbers_wanted, parameters_of
from engine.compiled.source.tidy import tidy
from engine.compiled.writing.formulas import free_name
from engine.trees import flatten, to_array

Array = np.ndarray[Any, np.dtype[Any]]


class Source(str):
    """A text: code or equations. `leaves` are the Values that it reads, in arrays of objects, by
    the names that it has for them."""

    leaves: dict[str, Array]

    def parameters(self) -> dict[str, Array]:
        """The numbers that these Values have now, in arrays of the same names."""
        numbers = {name: [v.data for v in values.flat] for name, values in self.leaves.items()}
        return {name: np.array(x).reshape(self.leaves[name].shape) for name, x in numbers.items()}

    def _repr_markdown_(self) -> str:
        return f"```python\n{self}```"


class Equations(Source):
    """Equations in LaTeX. In Jupyter they are shown as such."""

    def _repr_markdown_(self) -> str:
        return f"$$\n{self}\n$$"

    def _repr_latex_(self) -> str:
        return self._repr_markdown_()


class CSource(Source):
    """A text in C."""

    def _repr_markdown_(self) -> str:
        return f"```c\n{self}```"


def source(
    kind: str,
    f: Callable[..., Any],
    paths: Paths,
    wanted: Wanted,
    reduce: str | None,
    by_module: Mapping[str, Any] | None,
) -> Source:
    """Return the text of the path used last. `by_module` are the parameters by a module's names.

    Raises ValueError for another `kind`, and TypeError for an operation that it can't write.
    """
    if not isinstance(kind, str) or kind not in ("numpy", "latex", "c"):
        raise ValueError(f'a source is "numpy", "latex" or "c", not {kind!r}')
    path = paths.unrolled()
    one_number = isinstance(path.structure, int)
    blocks, numbers = _lifted(paths, path, wanted, one_number)
    if kind == "c" and _chains(blocks):
        blocks, numbers = _lifted(paths, path, wanted, one_number, lifted=False)
    inputs, leaves = _inputs(f, paths, path, blocks, numbers, by_module)
    name = getattr(f, "__name__", type(f).__name__).replace("<lambda>", "the function")
    gradient = one_number and bool(numbers)
    if kind == "c":
        result: Source = CSource(_in_c(blocks, inputs, paths, path, reduce, gradient, name))
        result.leaves = leaves
        return result
    derived = derive(blocks, inputs, reduce, batched=paths.batched, gradient=gradient)
    tidy(derived)
    shape = None if one_number else _shape(path.structure)
    if kind == "numpy":
        result = Source(numpy_text(derived, name, _returns(reduce, paths.batched), shape))
    else:
        result = Equations(latex_text(derived))
    result.leaves = leaves
    return result


def _lifted(
    paths: Paths, path: Path, wanted: Wanted, one_number: bool, *, lifted: bool = True
) -> tuple[Blocks, list[int]]:
    """The blocks, and the numbers of the inputs whose gradient is wanted."""
    numbers = numbers_wanted(paths, path, wanted)
    lanes = {*paths.lanes}
    per_example = wanted.per_example and paths.batched and one_number
    split = [i for i in numbers if i not in lanes] if per_example else []
    return lift(path.tape, paths.lanes, split, lifted=lifted, batched=paths.batched), numbers


def _chains(blocks: Blocks) -> bool:
    """Whether sums have steps of the chain rule as their terms: they would follow it but nearly."""
    return any(i.flags & NOTED for i in itertools.chain(*blocks.instructions))


def _in_c(
    blocks: Blocks,
    inputs: list[Named],
    paths: Paths,
    path: Path,
    reduce: str | None,
    gradient: bool,
    name: str,
) -> str:
    """The text in C."""
    instructions, lists = blocks.instructions, replace(blocks.lists, exact=True)
    inputs = [each for each in inputs if each.rows]  # draws are made where they are needed
    back = None
    if gradient:
        wanted = [row for each in inputs if each.wanted for row in each.wanted_rows()]
        back = adjoint(instructions, lists, blocks.rows, blocks.outputs[:1], wanted)
    real = "float" if paths.dtype == "float32" else "double"
    lines = [str(guard.line) for guard in path.tape.guards]
    given = (blocks, instructions, lists, back, inputs, reduce, paths.batched, real, name, lines)
    return c_text(Subject(*given))


def _inputs(
    f: Callable[..., Any],
    paths: Paths,
    path: Path,
    blocks: Blocks,
    wanted: list[int],
    by_module: Mapping[str, Any] | None,
) -> tuple[list[Named], dict[str, Array]]:
    """The arrays that the function takes, and the leaves that some of them are."""
    rows = {i: (S, row) for row, i in enumerate(blocks.shared_inputs)}
    rows |= {i: (L, row) for row, i in enumerate(blocks.lane_inputs)}
    found: list[Named] = []
    taken: set[str] = set()
    asked = {*wanted}

    def add(name: str, layout: tuple[int, ...], numbers: Sequence[int]) -> str:
        name = free_name(name, taken)
        taken.add(name)
        places = [rows[i] for i in numbers]
        split = [blocks.split_inputs[i] for i in numbers if i in blocks.split_inputs]
        chosen = bool(numbers) and asked.issuperset(numbers)
        space = places[0][0] if places else S
        each = Named(name, space, layout, [r for _, r in places], chosen, split)
        if numbers:
            found.append(each)
        return name

    i = 0
    for name, _, _, shape in arguments_of(f, paths.signature, paths.positional):
        size = math.prod(shape)
        add(name, shape, range(i, i + size))
        i += size
    leaves: dict[str, Array] = {}
    of_row = {rows[i + k][1]: i + k for k in range(len(path.tape.leaves))}
    first = len(blocks.shared_inputs) - len(path.tape.leaves)
    for name, shape, where in parameters_of(path.tape.leaves, first, blocks, by_module):
        numbers = [of_row[row] for row in where]
        name = add(identifier(name), shape, numbers)
        leaves[name] = to_array([path.tape.leaves[k - i] for k in numbers], shape)
    calls = [k for k, op in enumerate(path.tape.op) if op == DRAW]
    if calls:
        found.append(Named("draws", L if paths.batched else S, (len(calls),), []))
    return found, leaves


def _shape(structure: Any) -> tuple[int, ...]:
    """The shape of a function's result, if it is an array; else one axis of all its numbers."""
    try:
        numbers = np.array(structure)
        if numbers.dtype.kind == "i":
            return numbers.shape
    except ValueError:
        pass
    return (len(flatten(structure)[0]),)


def _returns(reduce: str | None, batched: bool) -> str:
    if not batched:
        return ""
    return {"sum": ", summed over N examples", "mean": ", the mean of N examples"}.get(
        reduce or "", " of each of N examples"
    )
