"""How gradloom is called in the benchmarks: each way in stands here once.

In: models, functions and data of a row. Out: a `Contender`, either through the public way, as
users call it, or the machine alone: the compiled code with its buffers in place, without what
Python does before and after it. Rows say what is computed; only this file knows how it is run.

What is no public name is imported where it is used: an older build (`against`) may lack it, and is
then measured in the other ways.
"""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import engine
import nn
from benchmarks.harness import Array, Contender, SkippedError
from nn.optim import Optimizer

if TYPE_CHECKING:
    from engine.compiled.training import Loop, Steps

MakeOptimizer = Callable[[list[engine.Value]], Optimizer]
Arguments = tuple[Any, ...]


def numbers_of(tree: Any) -> Array:
    """All numbers of a nested structure, flat."""
    from engine.trees import flatten

    parts = [np.ravel(np.asarray(leaf, np.float64)) for leaf in flatten(tree)[0]]
    return np.concatenate(parts)


class Beginning:
    """Parameters, and the numbers that every measurement begins with."""

    def __init__(self, parameters: list[engine.Value]) -> None:
        self.parameters = parameters
        self.numbers = [p.data for p in parameters]

    def reset(self) -> None:
        """Put the numbers back."""
        for p, number in zip(self.parameters, self.numbers, strict=True):
            p.data = number


# --- training on data -------------------------------------------------------------------------


@dataclass
class Fitting:
    """What `nn.fit` is given."""

    model: nn.Module
    X: Array
    y: Array
    loss: nn.Loss
    make_optimizer: MakeOptimizer
    batch_size: int | None
    dtype: str
    check: tuple[int, int]  # of how many rows, and epochs of them, the numbers are compared

    def __post_init__(self) -> None:
        self.parameters = self.model.parameters()
        self._beginning = Beginning(self.parameters)
        self.reset()

    def reset(self) -> None:
        """Begin again: with the first parameters, and a new optimiser."""
        self._beginning.reset()
        self.optimizer = self.make_optimizer(self.parameters)

    def run(
        self, epochs: int, rows: int | None = None, path: Any = "vectorised", **options: Any
    ) -> nn.History:
        """Train through nn.fit."""
        return nn.fit(
            self.model,
            self.X[:rows],
            self.y[:rows],
            loss=self.loss,
            optimizer=self.optimizer,
            epochs=epochs,
            batch_size=self.batch_size,
            path=path,
            dtype=self.dtype,
            progress=False,
            **options,
        )

    def checked(self, path: str = "vectorised", **options: Any) -> list[float]:
        """The numbers to compare: losses of updates, and the parameters at the end."""
        rows, epochs = self.check
        self.reset()
        losses = self.run(epochs, rows, path, **options).step_loss
        return [*losses, *(p.data for p in self.parameters)]


def fit(fitting: Fitting, epochs: int, units: int, path: str = "vectorised") -> Contender:
    """`nn.fit`: the run of some epochs more, less a run of one, so that checking and copying the
    data, once a call, are no part of it."""

    return Contender(
        work=lambda: fitting.run(1 + epochs, path=path),
        less=lambda: fitting.run(1, path=path),
        before=fitting.reset,
        units=units,
        numbers=lambda: fitting.checked(path),
        note="nn.fit",
    )


def fit_epochs(fitting: Fitting, epochs: int, **options: Any) -> Contender:
    """The median epoch of `nn.fit` after the first, with options of it that may be newer than a
    build. A schedule that changes nothing is the clock: it is stepped at the end of each."""
    missing = options.keys() - inspect.signature(nn.fit).parameters.keys()
    if missing:
        raise SkippedError(f"nn.fit has no option {', '.join(missing)}")

    def work() -> float:
        ends: list[float] = []

        def note(epoch: int) -> float:
            ends.append(time.perf_counter())
            return 1.0

        fitting.run(1 + epochs, scheduler=nn.LambdaLR(fitting.optimizer, note), **options)
        return float(np.median(np.diff(ends[1:])))

    return Contender(
        work=work,
        clocked=True,
        before=fitting.reset,
        numbers=lambda: fitting.checked(**options),
        note="nn.fit, the median epoch",
    )


def fit_few(fitting: Fitting, rows: int) -> Contender:
    """An epoch of `nn.fit` on the scalar path, from some of its rows: less a run of one, so that
    what is done once a call is no part of it."""
    return Contender(
        work=lambda: fitting.run(1, 1 + rows, "scalar"),
        less=lambda: fitting.run(1, 1, "scalar"),
        before=fitting.reset,
        units=rows / len(fitting.X),
        numbers=lambda: fitting.checked("scalar"),
        note=f"{rows} examples, extrapolated",
    )


def fit_alone(fitting: Fitting, epochs: int, units: int) -> Contender:
    """The same updates in one call of the compiled loop, less the time of a call for one epoch."""
    from engine.compiled.training import Loop
    from nn.compiled_model import loss_program

    f = fitting
    program = loss_program(f.model, f.loss, f.parameters, f.dtype)
    loop = Loop(program, f.X, f.y, loss=f.loss)

    def train(rows: int, epochs: int) -> Steps:
        f.reset()
        size = rows if f.batch_size is None else f.batch_size
        ends = np.minimum(np.arange(0, rows, size) + size, rows)
        starts = np.append(0, (np.arange(epochs)[:, None] * rows + ends).ravel())
        order = np.tile(np.arange(rows), epochs)
        return _trained(loop, order, starts, f.optimizer, f.loss.reduction == "mean")

    return Contender(
        work=lambda: train(len(f.X), 1 + epochs),
        less=lambda: train(len(f.X), 1),
        units=units,
        numbers=lambda: _figures(train(*f.check)),
    )


def _trained(loop: Loop, order: Array, starts: Array, optimizer: Optimizer, mean: bool) -> Steps:
    """Updates by a new optimiser in one call, each about some rows."""
    from engine.compiled.training import Steps
    from nn.optim.update import Update

    theta = np.array([p.data for p in optimizer.parameters()], loop.dtype)
    update = Update(optimizer)
    settings = update.settings(len(starts) - 1).astype(theta.dtype)
    slots, gradient = update.slots(theta.dtype), np.zeros_like(theta)
    steps = Steps(order, starts, theta, gradient, update.rule, slots, settings, mean)
    if loop.run(steps, (0, 0)) < len(starts) - 1:
        raise RuntimeError("the compiled loop ended before its last update")
    return steps


def _figures(steps: Steps) -> Array:
    """The losses of updates, and the parameters at the end."""
    sums, weights = steps.losses.T
    return np.hstack([sums / weights if steps.mean else sums, steps.theta])


# --- calling a program ------------------------------------------------------------------------


def gradient(program: engine.Program, *args: Any) -> Contender:
    """A value and a gradient through buffers: nothing is built but a number."""
    buffered = program.buffered(*args)

    def numbers() -> Array:
        return np.hstack([buffered(), buffered.gradient])

    return Contender(work=buffered, numbers=numbers, note="program.buffered")


def gradient_built(program: engine.Program, *args: Any) -> Contender:
    """A value and a gradient in the arguments' structure, taken apart and built at every call."""
    return Contender(
        work=lambda: program.value_and_grad(*args),
        numbers=lambda: numbers_of(program.value_and_grad(*args)),
        note="program.value_and_grad",
    )


def gradient_alone(program: engine.Program, *args: Any, lifted: bool = True) -> Contender:
    """The run of the machine in it; `lifted=False` is the plain tape."""
    run, numbers = _run(program, args, gradient=True, lifted=lifted)
    return Contender(work=run, numbers=numbers)


def first_gradient(f: Callable[[], Any], wrt: Any) -> Contender:
    """From a function to its first value and gradient, in a process that knows all its code."""

    def first() -> Array:
        value, gradient = engine.compile(f, wrt=wrt).value_and_grad()
        return np.hstack([value, numbers_of(gradient)])

    return Contender(work=first, numbers=first, note="compile, and program.value_and_grad")


def values(program: engine.Program, *args: Any) -> Contender:
    """The outputs alone, by calling the program."""
    return Contender(
        work=lambda: program(*args),
        numbers=lambda: numbers_of(program(*args)),
        note="program(…)",
    )


def values_alone(program: engine.Program, *args: Any) -> Contender:
    """The run of the machine in it."""
    run, numbers = _run(program, args, gradient=False, lifted=True)
    return Contender(work=run, numbers=numbers)


def _run(
    program: engine.Program, args: Arguments, *, gradient: bool, lifted: bool
) -> tuple[Callable[[], Any], Callable[[], Array]]:
    """A call of the machine with these arguments; and the numbers that it gives, in the order in
    which the program returns them."""
    (program.value_and_grad if gradient else program)(*args)  # traced by now
    arguments, found = program._prepared(args, {})
    wanted = program._wanted(arguments, args, strict=gradient)
    path = found.paths[0]
    machine, columns = found.machine(path, wanted, gradient, lifted)
    leaves = [found.leaves[k].data for k in path.leaf_places.tolist()]
    shared = np.array([*arguments.shared, *leaves], found.dtype)
    lanes = arguments.lane_matrix(found.dtype)
    ids = np.arange(max(1, len(lanes)))
    seeds = program._weight(arguments) if gradient else None
    asked = list(columns.values())

    def run() -> Any:
        return machine.run(shared, lanes, ids, (0, 0), seeds, asked)

    again = None if found.draws else _alone(machine, shared, lanes, gradient)

    def numbers() -> Array:
        done = run()
        if not gradient:
            return numbers_of(done.outputs)
        if wanted.per_example:
            return np.hstack([done.outputs.ravel(), done.lane_gradient.ravel()])
        value = done.outputs.mean() if program._reduce == "mean" else done.outputs.sum()
        by_input = done.shared_gradient[: len(arguments.shared)]
        by_leaf = np.zeros(len(program._leaves))
        by_leaf[path.leaf_places] = done.shared_gradient[len(arguments.shared) :]
        return np.hstack([value, by_leaf if len(by_leaf) else by_input])

    return again or run, numbers


def _alone(machine: Any, shared: Array, lanes: Array, backward: bool) -> Callable[[], Any] | None:
    """The machine code with as little as can be around it; None where it is not to be had, or
    would run in several threads."""
    try:
        from engine.compiled.seats import Seats
    except ImportError:  # an older build
        return machine.repeater(shared) if backward and not len(lanes) else None
    count = len(lanes)
    if machine.divides(count) or (count and not hasattr(Seats, "run")):  # an older build
        return None
    machine.hot = True
    views = [("vs", slice(0, len(shared)), shared.shape)]
    seats = Seats.of(machine, backward=backward, views=views, count=count)
    if seats is None:
        return None
    _, at, numbers, _ = seat = seats.make()
    drive = seats.drive

    def again() -> Any:
        numbers[:] = shared
        if count:
            return seats.run(seat, lanes)
        drive(at)
        return seat  # which keeps its memory

    return again


# --- whole updates of a function without data ----------------------------------------------------

CHECKED = 2  # updates whose numbers are compared


def minimize(
    program: engine.Program, beginning: Beginning, make_optimizer: MakeOptimizer, steps: int
) -> Contender:
    """An update of `nn.minimize`: of the run of some more, less a run of one."""

    def run(steps: int) -> nn.History:
        optimizer = make_optimizer(beginning.parameters)
        return nn.minimize(program, optimizer, steps=steps, path="vectorised", progress=False)

    def numbers() -> list[float]:
        beginning.reset()
        losses = run(CHECKED).step_loss
        return [*losses, *(p.data for p in beginning.parameters)]

    return Contender(
        work=lambda: run(1 + steps),
        less=lambda: run(1),
        before=beginning.reset,
        units=steps,
        numbers=numbers,
        note="nn.minimize",
    )


def minimize_alone(
    program: engine.Program, beginning: Beginning, make_optimizer: MakeOptimizer, steps: int
) -> Contender:
    """The same updates in one call of the compiled loop."""
    from engine.compiled.training import Loop

    loop = Loop(program)

    def train(steps: int) -> Steps:
        beginning.reset()
        optimizer = make_optimizer(beginning.parameters)
        return _trained(loop, np.arange(steps), np.arange(steps + 1), optimizer, mean=False)

    return Contender(
        work=lambda: train(1 + steps),
        less=lambda: train(1),
        units=steps,
        numbers=lambda: _figures(train(CHECKED)),
    )


# --- the scalar path --------------------------------------------------------------------------


def eager_gradient(model: nn.Module, loss: nn.Loss, X: Array, y: Array) -> Contender:
    """The gradient of a batch on Values, example by example."""
    try:
        from nn.scalar_path import ScalarPath
    except ImportError:  # an older build
        from nn.paths import ScalarPath  # type: ignore[import-not-found, no-redef]

    parameters = model.parameters()
    try:
        from nn.inputs import Inputs
    except ImportError:  # an older build
        path = ScalarPath(model, loss, parameters, X, y, lambda: None)  # type: ignore[arg-type]
    else:
        path = ScalarPath(model, loss, parameters, Inputs((X,)), y, lambda: None)
    theta, rows = np.array([p.data for p in parameters]), np.arange(len(X))

    def numbers() -> Array:
        step = path(theta, rows, (0, 0))
        return np.hstack([step.total, step.gradient])

    return Contender(work=lambda: path(theta, rows, (0, 0)), numbers=numbers)


def batch_program(model: nn.Module, loss: nn.Loss) -> engine.Program:
    """The program of the same: of the sum over a batch of X and y."""

    def summed(x: Any, t: Any) -> Any:
        return engine.sum(loss.terms(model(x.tolist()), t.tolist())[0])

    return engine.compile(summed, in_axes=0, reduce="sum", wrt=model)


# --- the passes from a function to a machine --------------------------------------------------


def passes(f: Callable[[], Any], leaves: list[engine.Value]) -> tuple[dict[str, float], int]:
    """Seconds of tracing, of lowering to blocks, and of making machine code of these and running
    it once, backwards too; and how many scalar operations were recorded."""
    from engine.compiled.lift import lift
    from engine.compiled.machine import Machine
    from engine.compiled.surroundings import Surroundings
    from engine.compiled.tape import tape_of
    from engine.compiled.trace import record_call

    times = [time.perf_counter()]
    recording = record_call(f, lambda leaves: ([], {}), [], (), Surroundings([f]))
    times.append(time.perf_counter())
    tape = tape_of(recording, leaves)
    blocks = lift(tape)
    times.append(time.perf_counter())
    machine = Machine(blocks, list(range(len(tape.leaves))), "float64")
    shared, none = np.array([leaf.data for leaf in tape.leaves]), np.zeros((0, 0))
    machine.run(shared, none, np.zeros(1, np.int64), (0, 0), np.ones(1))
    times.append(time.perf_counter())
    spent = [after - before for before, after in itertools.pairwise(times)]
    return dict(zip(PASSES, spent, strict=True)), tape.recorded


PASSES = ("tracing", "lowering", "machine code")


# --- a block by itself ------------------------------------------------------------------------


def block(f: Callable[[Any], Any], rows: Array) -> Contender:
    """A function of one number on a block of rows and lanes, by the code at its address: what a
    program does between its arguments, which lie there as an array, and its results."""
    from engine.compiled import threads

    program = engine.compile(lambda x: [f(number) for number in x], in_axes=0)
    with threads.alone():  # all lanes in one chunk
        program(rows.T)
        arguments, found = program._prepared((rows.T,), {})
        path = found.paths[0]
        machine, _ = found.machine(path, program._wanted(arguments, (rows.T,)), False, True)
        machine.run(np.zeros(0), rows.T, np.arange(rows.shape[1]), (0, 0))
    ready, width = machine._ready[0], rows.shape[1]
    if ready.drive is None or ready.width != width:
        raise ValueError(f"a chunk has {ready.width} lanes, and the block {width}")
    drive, job = ready.drive, machine._job.copy()

    def work(kept: Any = (machine, machine._held, job)) -> None:  # what the addresses point to
        drive(job.ctypes.data)

    def numbers() -> Array:
        work()
        rows = [row for _, row in machine.blocks.outputs]
        return numbers_of(machine._vl.reshape(-1, width)[rows])

    return Contender(work=work, numbers=numbers, note="the code of the block, at its address")
