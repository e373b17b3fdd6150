"""A model compiled: the program of its outputs, and that of a batch's loss, kept with the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import engine
from engine import Value
from nn.inputs import called
from nn.losses import Loss
from nn.module import Module

CANT_COMPILE = (engine.TraceError, ImportError)  # the latter without Numba
_MOST_PROGRAMS = 16  # of one model


def loss_program(
    model: Module,
    loss: Loss,
    parameters: Sequence[Value],
    dtype: Any,
    native: bool = True,
    names: tuple[str, ...] = ("",),
    sizes: tuple[int, ...] = (),
) -> engine.Program:
    """Return the program of a batch's loss: the sum of its terms, and of their weights.

    Its arguments are the inputs, whose `names` are as those of `Inputs`, y and, if examples count
    differently, a number for each of them; and by its name the `loss`. There is one for the
    `sizes` that batches are run in, which runs in no others.
    """

    def batch_loss(*data: Any, loss: Loss) -> Any:
        *inputs, target = map(_plain, data[: len(names) + 1])
        terms, weights = loss.terms(called(model, names, inputs), target)
        sums = [engine.sum(terms), engine.sum(weights)]
        for own in data[len(names) + 1 :]:
            # where it is 0 the loss counts for nothing, if it is inf or nan too
            sums = [engine.where(own == 0.0, 0.0, own * part) for part in sums]
        return sums

    key = ("loss", tuple(map(id, parameters)), np.dtype(dtype).name, native, names, sizes)
    options: dict[str, Any] = {"in_axes": 0, "reduce": "sum", "wrt": list(parameters)}
    options |= {"dtype": dtype, "native": native}
    return _kept(model, key, lambda: engine.compile(batch_loss, **options))


def output_program(model: Module, names: tuple[str, ...]) -> engine.Program:
    """Return the program of a model's output for each example of a batch."""

    def output(*inputs: Any) -> Any:
        return listed(called(model, names, map(_plain, inputs)))

    return _kept(model, ("output", names), lambda: engine.compile(output, in_axes=0))


def listed(output: Any) -> Any:
    """A model's output, of which a tuple or an array counts as a list."""
    return list(output) if isinstance(output, tuple | np.ndarray) else output


def has_output_program(model: Module, names: tuple[str, ...]) -> bool:
    """Whether there is such a program by now."""
    return ("output", names) in model._programs


def drop_output_program(model: Module, names: tuple[str, ...]) -> None:
    """Forget it, if there is one: it turned out that the model does not compile."""
    model._programs.pop(("output", names), None)


def _plain(x: Any) -> Any:
    return x.tolist() if isinstance(x, np.ndarray) else x


def _kept(
    model: Module, key: tuple[Any, ...], make: Callable[[], engine.Program]
) -> engine.Program:
    """The program of a key, which goes by what the model is at every call."""
    programs: dict[Any, engine.Program] = model._programs
    if key not in programs:
        while len(programs) >= _MOST_PROGRAMS:
            del programs[next(iter(programs))]
        programs[key] = make()
    return programs[key]
