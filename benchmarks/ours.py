"""How gradloom is called in the benchmarks: each way in stands here once.

In: models, functions and data of a row. Out: a `Contender`, either through the public way, as
users call it, or the machine alone: the compiled code with its buffers in place, without what
Python does before and after it. Rows say what is computed; only this file knows how it is run.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import engine
import nn
from benchmarks.harness import Array, Contender
from engine.compiled import jit, kernels
from engine.compiled.lift import lift
from engine.compiled.machine import Machine, Training
from engine.compiled.tape import tape_of
from engine.compiled.trace import record_call
from engine.trees import flatten
from nn import paths
from nn.optim import Optimizer

MakeOptimizer = Callable[[list[engine.Value]], Optimizer]
Arguments = tuple[Any, ...]


def numbers_of(tree: Any) -> Array:
    """All numbers of a nested structure, flat."""
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

    def run(self, epochs: int, rows: int | None = None, path: Any = "vectorised") -> nn.History:
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
        )

    def starts(self, rows: int, epochs: int) -> Array:
        """Where each batch begins in `epochs` rounds over rows in their order, and the end."""
        size = rows if self.batch_size is None else self.batch_size
        begins = [epoch * rows + i for epoch in range(epochs) for i in range(0, rows, size)]
        return np.array([*begins, epochs * rows], np.int64)


def fit(fitting: Fitting, epochs: int, units: int, path: str = "vectorised") -> Contender:
    """`nn.fit`: the run of some epochs more, less a run of one, so that checking and copying the
    data, once a call, are no part of it."""

    def numbers() -> list[float]:
        rows, epochs = fitting.check
        fitting.reset()
        losses = fitting.run(epochs, rows, path).step_loss
        return [*losses, *(p.data for p in fitting.parameters)]

    return Contender(
        work=lambda: fitting.run(1 + epochs, path=path),
        less=lambda: fitting.run(1, path=path),
        before=fitting.reset,
        units=units,
        numbers=numbers,
        note="nn.fit",
    )


def fit_alone(fitting: Fitting, epochs: int, units: int) -> Contender:
    """The same updates in one call of the compiled loop."""
    f = fitting
    program = paths.loss_program(f.model, f.loss, f.parameters, f.dtype)
    stepper = program.stepper(f.X[:1], f.y[:1])
    data = np.hstack([f.X.reshape(len(f.X), -1), f.y.reshape(len(f.y), -1)]).astype(f.dtype)

    def train(rows: int, epochs: int) -> Training:
        starts = f.starts(rows, epochs)
        state, group = f.optimizer.state[0], f.optimizer.param_groups[0]
        settings = f.optimizer.settings(group, state.steps + np.arange(len(starts) - 1))
        theta = np.array([p.data for p in f.parameters], f.dtype)
        training = Training(
            data=data,
            order=np.tile(np.arange(rows), epochs),
            in_order=True,  # the rows of each batch follow one another
            starts=starts,
            theta=theta,
            gradient=np.zeros_like(theta),
            rule=paths._loop(type(f.optimizer).rule, f.optimizer.slots),
            slots=state.slots.astype(f.dtype).ravel(),
            steps=state.steps,
            settings=settings.astype(f.dtype),
            mean=f.loss.reduction == "mean",
            losses=np.zeros((len(starts) - 1, 2)),
            places=np.zeros(0, np.int64),
        )
        if stepper.run_steps(training) < len(starts) - 1:
            raise RuntimeError("the compiled loop ended before its last update")
        return training

    def numbers() -> Array:
        f.reset()
        training = train(*f.check)
        sums, weights = training.losses.T
        return np.hstack([sums / weights if training.mean else sums, training.theta])

    return Contender(
        work=lambda: train(len(f.X), epochs),
        before=f.reset,
        units=units,
        numbers=numbers,
    )


# --- calling a program ------------------------------------------------------------------------


def gradient(program: engine.Program, *args: Any) -> Contender:
    """A value and a gradient by `program.value_and_grad`."""
    return Contender(
        work=lambda: program.value_and_grad(*args),
        numbers=lambda: numbers_of(program.value_and_grad(*args)),
        note="program.value_and_grad",
    )


def gradient_alone(program: engine.Program, *args: Any, lifted: bool = True) -> Contender:
    """The run of the machine in it; `lifted=False` is the plain tape."""
    run, numbers = _run(program, args, gradient=True, lifted=lifted)
    return Contender(work=run, numbers=numbers)


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

    return run, numbers


# --- whole updates of a function without data ----------------------------------------------------


def updates(
    program: engine.Program, beginning: Beginning, make_optimizer: MakeOptimizer
) -> Contender:
    """An update: the loss, its gradient, and a step of the optimiser."""
    parameters = beginning.parameters
    optimizer = make_optimizer(parameters)

    def update() -> float:
        optimizer.zero_grad()
        value: float = program.backward()
        optimizer.step()
        return value

    def numbers() -> list[float]:
        beginning.reset()
        losses = [update() for _ in range(CHECKED)]
        return [*losses, *(p.data for p in parameters)]

    return Contender(
        work=update,
        before=beginning.reset,
        numbers=numbers,
        note="program.backward, optimizer.step",
    )


def updates_alone(
    program: engine.Program, beginning: Beginning, make_optimizer: MakeOptimizer
) -> Contender:
    """The run of the machine, and the optimiser's update of an array."""
    program.value_and_grad()  # traced by now
    arguments, found = program._prepared((), {})
    path = found.paths[0]
    machine, _ = found.machine(path, program._wanted(arguments, ()), True, True)
    optimizer = make_optimizer(beginning.parameters)
    theta, places = np.array(beginning.numbers), path.leaf_places
    gradient = np.zeros_like(theta)
    none, one, seeds = np.zeros((0, 0)), np.zeros(1, np.int64), np.ones(1)

    def reset() -> None:
        theta[:] = beginning.numbers

    def update() -> float:
        run = machine.run(theta[places], none, one, (0, 0), seeds)
        gradient[places] = run.shared_gradient
        optimizer.update(theta, gradient)
        return float(run.outputs[0, 0])

    def numbers() -> list[float]:
        reset()
        losses = [update() for _ in range(CHECKED)]
        return [*losses, *theta.tolist()]

    return Contender(work=update, before=reset, numbers=numbers)


CHECKED = 2  # updates whose numbers are compared


# --- the scalar path --------------------------------------------------------------------------


def eager_gradient(model: nn.Module, loss: nn.Loss, X: Array, y: Array) -> Contender:
    """The gradient of a batch on Values, example by example."""
    parameters = model.parameters()
    path = paths.ScalarPath(model, loss, parameters, X, y, lambda: None)
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
    """Seconds of tracing and of lowering, and how many scalar operations were recorded."""
    began = time.perf_counter()
    recording = record_call(f, [], {}, [])
    traced = time.perf_counter()
    tape = tape_of(recording, leaves)
    machine = Machine(lift(tape), list(range(len(tape.leaves))), "float64")
    lowered = time.perf_counter()
    del machine
    return {"tracing": traced - began, "lowering": lowered - traced}, tape.recorded


# --- kernels ----------------------------------------------------------------------------------


def block_kernel(name: str, x: Array) -> Contender:
    """The kernel of a row of the operation table on a block, into a block of its own."""
    code = jit.address(f"ew_{name}", False, x.dtype.name)
    shape = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 7, ctypes.c_int64)
    rows = np.concatenate([x, np.zeros_like(x)])  # the operand's row, and the result's
    words = np.zeros(kernels.WORDS, np.int64)
    words[[kernels.SPACE, kernels.N, kernels.A, kernels.OUT]] = 1, 1, 0, 1
    pool = np.zeros(8, np.int64)
    at_words, at_pool, at_rows = (a.ctypes.data for a in (words, pool, rows))
    operands = (at_words, at_pool, at_pool, at_rows, at_rows, at_rows, at_rows, len(x))
    kernel = shape(code)

    def numbers() -> Array:
        kernel(*operands)
        return rows[len(x) :].copy()

    def work(kept: Any = (words, pool, rows)) -> None:  # what the addresses point to
        kernel(*operands)

    return Contender(work=work, numbers=numbers, note="the kernel, at its address")
