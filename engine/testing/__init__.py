"""Testing gradients, whoever computed them: `assert_gradients`, for pytest and without it.

    from engine.testing import assert_gradients

    assert_gradients(f, [0.5, -1.0])                    # f is written with engine's functions
    assert_gradients(program, x)                        # compiled, or a module of nn
    assert_gradients(rosen, x, jac=rosen_der, hess=rosen_hess)      # as for SciPy
    assert_gradients(MyFunction, torch_tensor)          # a torch.autograd.Function
    assert_gradients(my_function, jax_array)            # a jax.custom_vjp or custom_jvp

There is no tolerance and no step to choose: each numerical derivative comes with an error bar (see
`differences`), and a gradient is wrong if it lies outside. `graphs`, `plain` and `peers` bring all
into one form, a `Subject`; `search` looks for an entry that is wrong, `diagnosis` says what is
wrong there. `import engine` loads none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.testing.diagnosis import diagnosed, unsteady
from engine.testing.graphs import of_graph, of_program
from engine.testing.peers import of_peer
from engine.testing.plain import derivative_of, of_plain
from engine.testing.search import Search, WrongGradientError
from engine.testing.subjects import Array, BadShapeError, Subject, defined, named_outputs, place
from engine.value import Value

__all__ = ["WrongGradientError", "assert_gradients"]


def assert_gradients(
    f: Callable[..., Any],
    *args: Any,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    wrt: Any = None,
    seed: int = 0,
) -> None:
    """Raise WrongGradientError, an AssertionError, if the gradient of `f` at `args` is wrong.

    `f` is a function of Values, a compiled Program, a module (its parameters are checked, too), an
    operation of `custom_op`; or PyTorch's, JAX's, autograd's or CasADi's: a callable of theirs, or
    any callable on their arrays. Arguments are numbers and nested structures of them. `wrt` has
    Values that f reads besides, or a module.

    With `jac`, f is a function of one array, as SciPy's are, and `jac(x, *others)` its gradient or
    Jacobian; True if f returns both. `hess(x, *others)` is then the Hessian, or Jacobian of `jac`;
    `hessp(x, p, *others)` its product with a vector. Each may be an array, for that x.

    First random directions are tried, four whatever the size; where one disagrees, it is halved
    until the entries are found. At a kink every number between the slopes of the two sides is
    right; at the border of a domain the slope of the one side is. `seed` is of the directions.

    Raises ValueError where f is not defined or not finite at `args`, or no step can be taken from
    there, and TypeError where arguments or results are no numbers.

    >>> assert_gradients(lambda x: x * x.exp(), 0.5)
    >>> assert_gradients(lambda x: x[0] * x[1] ** 2, [2.0, 3.0], jac=lambda x: [x[1] ** 2, 6.0])
    Traceback (most recent call last):
    engine.testing.search.WrongGradientError: the gradient of the function is wrong ...
    """
    __tracebackhide__ = True
    subject = _subject(f, args, jac, wrt)
    wrong = _wrong_gradient(subject, seed)
    for name, claimed in (("hess", hess), ("hessp", hessp)):
        if wrong is None and claimed is not None:
            wrong = _wrong_gradient(derivative_of(subject, name, claimed), seed)
    if wrong is not None:
        raise wrong


def _subject(f: Callable[..., Any], args: tuple[Any, ...], jac: Any, wrt: Any) -> Subject:
    if not callable(f) or isinstance(f, Value):
        raise TypeError(f"assert_gradients takes a function, not {f!r}: assert_gradients(f, x)")
    if jac is not None and jac is not False:
        return of_plain(f, args, jac)
    theirs = of_peer(f, args)
    if theirs is not None:
        return theirs
    if type(f).__module__ == "engine.compiled.program":
        return of_program(f, args, wrt)
    return of_graph(f, args, wrt)


def _wrong_gradient(subject: Subject, seed: int) -> WrongGradientError | None:
    """What is wrong with the gradient of a subject, if anything is."""
    values = _values_at(subject)
    again = subject.values(subject.x)
    if not np.allclose(values, again, rtol=1e3 * subject.precision, atol=0.0):
        o = int(np.argmax(values != again))
        return WrongGradientError(
            subject,
            "random",
            f"Two calls of {subject.name} with the same numbers gave {values[o].item()!r} and "
            f"{again[o].item()!r}: it draws random numbers or remembers something; give it a seed",
        )
    looking = Search(subject, seed)
    try:
        wrong = looking.wrong_entries()
        return unsteady(looking, wrong) or (diagnosed(looking, wrong) if wrong else None)
    except BadShapeError as error:
        return WrongGradientError(subject, error.kind, f"{error}")


def _values_at(subject: Subject) -> Array:
    """The values at the point, which are asked to be there, and are counted."""
    with defined(subject.name, subject.names, subject.x):
        values = subject.values(subject.x)
    subject.outputs = subject.outputs or named_outputs(len(values))
    if values.size == 0:
        raise TypeError(f"{subject.name} returned no numbers, so there is nothing to differentiate")
    if not np.isfinite(values).all():
        o = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"{subject.name} is not finite at {place(subject.names, subject.x)}: "
            f"{subject.outputs[o] or 'its result'} is {values[o].item()!r}; choose a point inside "
            "of its domain"
        )
    return values
