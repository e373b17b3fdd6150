"""Plain functions of arrays as subjects, with the gradient or Jacobian that comes with them.

In: what SciPy's functions take, `fun` and `jac`, `hess` or `hessp`. Out: a `Subject`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.differences import DOUBLE
from engine.lines import argument_names, name_of, named_leaves
from engine.testing.subjects import Array, BadShapeError, Subject, defined


def of_plain(f: Callable[..., Any], args: Sequence[Any], jac: Any) -> Subject:
    """A function of one array, and its gradient or Jacobian."""
    if not args:
        raise TypeError("assert_gradients needs the point: assert_gradients(fun, x, jac=jac)")
    given = np.asarray(args[0])
    if given.dtype.kind not in "iuf" or given.size == 0:
        raise TypeError(f"x is an array of real numbers, not {args[0]!r}")
    if isinstance(jac, str):
        raise TypeError(
            f"jac is a function, an array, or True, not {jac!r}: there is none to check"
        )
    dtype = given.dtype if given.dtype.kind == "f" else np.dtype(np.float64)
    shape = given.shape
    whole, claimed = (_part(f, 0), _part(f, 1)) if jac is True else (f, jac)

    def point(x: Any) -> Any:
        return x.astype(dtype).reshape(shape) if shape else x.item()

    def arguments(x: Array) -> Sequence[Any]:
        return (point(x), *args[1:])

    def results(x: Any) -> Any:
        return _array(name_of(f), whole(*arguments(x)))

    def values(x: Array) -> Array:
        made = results(x)
        if made.dtype.kind not in "iufb":
            raise TypeError(
                f"assert_gradients needs real numbers from the function, not {made.dtype} {made!r}"
            )
        return np.asarray(made.ravel(), dtype=np.float64)

    def imaginary(z: npt.NDArray[np.complex128]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = np.asarray(whole(z.reshape(shape) if shape else z.item(), *args[1:]))
        if made.dtype.kind != "c":
            raise TypeError("no complex numbers came out")
        return made.ravel()

    x = given.ravel().astype(np.float64)
    names = [name for name, _ in named_leaves(given, argument_names(f, 1)[0])]
    with defined(name_of(f), names, x):
        first = results(x)
    rounding = np.finfo(first.dtype).eps if first.dtype.kind == "f" else DOUBLE
    precision = float(max(np.finfo(dtype).eps, rounding))
    return Subject(
        name_of(f),
        x,
        names,
        [shape],
        values,
        _pulled("jac", claimed, arguments, first.shape, shape),
        precision,
        imaginary=imaginary if precision == DOUBLE else None,
        arguments=arguments,
        fixed=not callable(claimed),
    )


def _part(f: Callable[..., Any], k: int) -> Callable[..., Any]:
    """One of the results of a function that returns several."""

    def part(*args: Any) -> Any:
        results = f(*args)
        if not isinstance(results, tuple) or len(results) != 2:
            raise TypeError(
                f"with jac=True {name_of(f)} returns value and gradient, not {results!r}"
            )
        return results[k]

    return part


def _array(name: str, made: Any) -> Any:
    """What a function gave as an array; of a sparse matrix, too."""
    try:
        return np.asarray(made.toarray() if hasattr(made, "toarray") else made)
    except ValueError as error:  # rows that are not of one length
        raise TypeError(f"{name} gives an array of numbers, not {made!r}") from error


def derivative_of(subject: Subject, name: str, claimed: Any) -> Subject:
    """The subject whose function is the gradient of another one, itself checked already."""
    size, x = len(subject.x), subject.x
    count = len(subject.outputs)
    weights = np.eye(count)

    def values(x: Array) -> Array:
        return np.concatenate([subject.pull(x, w) for w in weights])

    arguments = subject.arguments
    if arguments is None:
        raise TypeError(f"{name} belongs to jac: assert_gradients(fun, x, jac=jac, {name}={name})")
    if subject.fixed:
        raise TypeError(f"{name} needs jac as a function: an array has no differences")
    shape = (size,) if count == 1 else (count, size)
    pull = _pulled(name, claimed, arguments, shape, (size,))
    if name == "hessp":
        if count != 1:
            raise TypeError("hessp belongs to a function of one result")

        def pull(x: Array, weights: Array) -> Array:
            point, *others = arguments(x)
            product = claimed(point, weights.reshape(np.shape(point)), *others)
            return np.asarray(product, dtype=np.float64).ravel()

    names = [
        f"{subject.outputs[o]} by {n}".strip() if count > 1 else f"d/d{n}"
        for o in range(count)
        for n in subject.names
    ]
    return Subject(
        subject.name,
        x,
        subject.names,
        subject.shapes,
        values,
        pull,
        subject.precision,
        names,
        what="Hessian",
        fixed=not callable(claimed),
    )


def _pulled(
    name: str,
    claimed: Any,
    arguments: Callable[[Array], Sequence[Any]],
    results: tuple[int, ...],
    inputs: tuple[int, ...],
) -> Callable[[Array, Array], Array]:
    """The pullback of a matrix, whose shape is asked to be the right one."""
    count, size = int(np.prod(results)), int(np.prod(inputs))

    def pull(x: Array, weights: Array) -> Array:
        matrix = claimed(*arguments(x)) if callable(claimed) else claimed
        matrix = _array(name, matrix)
        if matrix.dtype.kind not in "iufb":
            raise TypeError(f"{name} gives real numbers, not {matrix.dtype} {matrix!r}")
        shape = matrix.shape
        fits = shape in (results + inputs, (count, size), (1, *results, *inputs))
        if not fits and not matrix.size == count * size == 1:
            right = (count, size) if results else inputs
            if shape == right[::-1] or shape == (size, count):
                raise BadShapeError(
                    f"{name} has the shape {shape}, and is transposed: {right} is needed, with a "
                    "row for each result and a column for each entry of x",
                    "transposed",
                )
            raise BadShapeError(f"{name} has the shape {shape}, and {right} is needed", "shape")
        pulled: Array = weights @ matrix.reshape(count, size).astype(np.float64)
        return pulled

    return pull
