"""Minimising a function of parameters that has no examples: all of it, at every update."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from engine import Program, Value
from engine.leaves import numbers_of
from nn.adopting import optimizer_of, scheduler_of
from nn.compiled_model import CANT_COMPILE
from nn.divergence import DivergenceError, OnNonfinite, Watch
from nn.interrupts import Interrupts
from nn.optim.update import Update
from nn.progress import Bar
from nn.scalar_path import ScalarFunctionPath, TrainingPath
from nn.updates import History, PathName, Updates, check_path, write
from nn.vectorised_path import FunctionPath


def minimize(
    function: Callable[[], Any],
    optimizer: Any,
    *,
    steps: int,
    scheduler: Any = None,
    path: PathName = "auto",
    dtype: Any = np.float64,
    native: bool = True,
    seed: int = 0,
    progress: bool = True,
    on_nonfinite: OnNonfinite = "stop",
) -> History:
    """Lower a function of the optimiser's parameters by `steps` updates, in place.

    `function()` returns one number, computed from the parameters' Values: a loss with all of its
    data in it, or anything else that is to become small. It may be a program of
    ``engine.compile(f, wrt=optimizer.parameters())``, which is then used again, as it was made; one
    of other parameters, or in another order, is compiled anew. `path`, `dtype`, `native`, `seed`,
    `scheduler` (stepped after every update, whatever its interval) and `on_nonfinite` are as for
    `fit`, and so is Ctrl-C. In the History `loss` is `step_loss`: that of each update, before it.
    Where the function has no noise, `nn.LBFGS` needs the fewest evaluations of it, by far.

    Raises TypeError where the function takes arguments or returns anything but one number, and
    for wrong optimisers and schedulers; TraceError where the vectorised path is asked for and
    can't be taken.

    >>> from engine import Value
    >>> from nn.optim import SGD
    >>> w = Value(1.0)
    >>> history = minimize(lambda: (w - 3.0) ** 2, SGD([w], lr=0.25), steps=3, progress=False)
    >>> w.data, history.loss
    (2.75, [4.0, 1.0, 0.25])
    """
    if not callable(function):
        raise TypeError(f"minimize takes a function of no arguments, not {function!r}")
    scheduler = scheduler_of(scheduler, optimizer)
    optimizer = optimizer_of(optimizer)
    check_path(path)
    if steps < 1:
        raise ValueError(f"steps is at least 1, not {steps}")
    history, began = History(), time.perf_counter()
    parameters = optimizer.parameters()
    bar = Bar(steps, progress, estimate=path == "scalar", unit="steps")
    theta = np.array(numbers_of(parameters), dtype)
    gradient = np.zeros_like(theta)
    plain, function = _both(function, parameters)

    def fall_back(error: Exception) -> TrainingPath:
        if path != "auto" or np.dtype(dtype) != np.float64:
            raise error
        history.path, history.reason = "scalar", str(error)
        return ScalarFunctionPath(plain, parameters, bar.advance)

    try:
        step: TrainingPath = ScalarFunctionPath(plain, parameters, bar.advance)
        history.reason = "it was asked for"
        if path != "scalar":
            try:
                step = FunctionPath(function, parameters, bar.advance, dtype, steps, native=native)
                history.path, history.reason = "vectorised", "the function compiles"
            except CANT_COMPILE as error:
                step = fall_back(error)
        with Interrupts() as interrupts:
            watch = Watch(
                *(on_nonfinite, optimizer, parameters),
                lambda update: f"update {update + 1:,} of {steps:,}",
                lambda row: plain,
            )
            run = Updates(
                *(theta, gradient, Update(optimizer), False, seed),
                *(history, bar, interrupts.check, watch),
                fall_back=fall_back,
            )
            run.run(step, scheduler, np.arange(steps), np.arange(steps + 1))
    except DivergenceError as end:
        history.stopped = str(end)
        warnings.warn(f"the run stopped: {end}", RuntimeWarning, stacklevel=2)
    except KeyboardInterrupt:
        history.stopped = f"Ctrl-C after {len(history.step_loss)} of {steps} updates"
        if progress:
            bar.say(f"stopped by {history.stopped}")
    finally:
        if history.step_loss:
            write(parameters, theta, gradient)
        history.loss = list(history.step_loss)
        bar.close()
        history.seconds = time.perf_counter() - began
    return history


def _both(function: Any, parameters: list[Value]) -> tuple[Any, Any]:
    """The function to call on Values, and what to compile: the program, if it is of these very
    parameters, whose gradient it gives in their order."""
    if not isinstance(function, Program):
        return function, function
    plain = function.__wrapped__  # type: ignore[attr-defined]
    named = list(map(id, function._leaves))
    return plain, function if named == list(map(id, parameters)) else plain
