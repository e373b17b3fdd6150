"""A dense network, trained in gradloom, PyTorch and JAX: one `Task`, three ways.

Each way is written as somebody would who knows the library and wants this network fast: PyTorch
with its data in place, batches as views, functions in place of modules and its fused Adam; JAX
with all epochs in one jitted `lax.scan` over batches. Batches follow each other in the order of
the rows, and a last one may be smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nn
from benchmarks import ours
from benchmarks.harness import ALONE, OURS, Array, Contender

TORCH, JAX = "PyTorch eager", "JAX jit + lax.scan"


@dataclass(frozen=True)
class Task:
    """What is trained: a model of dense layers with ReLU between them, from its first weights.

    `y` has a row of targets for the mean squared error, or a class for the cross-entropy. With
    `adam` the optimiser is Adam, else plain gradient descent. The numbers of all contenders are
    compared after `check`: of how many rows, and how many epochs of them. Times are of a step, or
    of an epoch.
    """

    X: Array
    y: Array
    model: nn.Module
    lr: float
    batch: int
    check: tuple[int, int]
    dtype: str = "float64"
    sigmoid: bool = False  # after the last layer
    cross_entropy: bool = False
    adam: bool = False
    by_epoch: bool = False

    def units(self, epochs: int) -> int:
        """How many of what is timed there are in some epochs."""
        return epochs * (1 if self.by_epoch else -(-len(self.X) // self.batch))

    def weights(self) -> list[Array]:
        """The weight (out, in) and the bias (out,) of each layer, copies."""
        return [array.astype(self.dtype) for array in self.model.state_dict().values()]


def fitting_of(task: Task, dtype: str = "") -> ours.Fitting:
    """What nn.fit is given for it."""
    return ours.Fitting(
        model=task.model,
        X=task.X,
        y=task.y,
        loss=nn.CrossEntropyLoss() if task.cross_entropy else nn.MSELoss(),
        make_optimizer=lambda p: nn.Adam(p, lr=task.lr) if task.adam else nn.SGD(p, lr=task.lr),
        batch_size=task.batch,
        dtype=dtype or task.dtype,
        check=task.check,
    )


def contenders(task: Task, *, epochs: int, torch_epochs: int) -> dict[str, Any]:
    """The ways to train it: ours and JAX's for some epochs at once, PyTorch's for fewer."""
    fitting = fitting_of(task)
    return {
        OURS: lambda: (
            ours.fit_epochs(fitting, epochs)
            if task.by_epoch
            else ours.fit(fitting, epochs, task.units(epochs))
        ),
        ALONE: lambda: ours.fit_alone(fitting, epochs, task.units(epochs)),
        TORCH: lambda: torch_eager(task, torch_epochs),
        JAX: lambda: jax_scan(task, epochs),
    }


def torch_eager(task: Task, epochs: int) -> Contender:
    """The task in PyTorch, step by step from Python."""
    import torch
    from torch.nn import functional

    dtype = getattr(torch, task.dtype)
    X = torch.tensor(task.X, dtype=dtype)
    y = torch.tensor(task.y, dtype=torch.int64 if task.cross_entropy else dtype)
    first = [torch.tensor(array) for array in task.weights()]
    parameters = [torch.empty_like(p).requires_grad_() for p in first]
    layers = [(i, *parameters[i : i + 2]) for i in range(0, len(parameters), 2)]
    loss_of = functional.cross_entropy if task.cross_entropy else functional.mse_loss
    adam: Any = None

    def reset() -> None:
        nonlocal adam
        with torch.no_grad():
            for p, start in zip(parameters, first, strict=True):
                p.copy_(start)
        adam = torch.optim.Adam(parameters, lr=task.lr, fused=True) if task.adam else None

    def step(x: Any, t: Any) -> Any:
        for p in parameters:
            p.grad = None
        for i, weight, bias in layers:
            x = functional.linear(x.relu() if i else x, weight, bias)
        loss = loss_of(x.sigmoid() if task.sigmoid else x, t)
        loss.backward()
        if adam is not None:
            adam.step()
        else:
            with torch.no_grad():
                for p in parameters:
                    p.sub_(p.grad, alpha=task.lr)
        return loss

    def train(batches: list[tuple[Any, Any]], epochs: int) -> list[Any]:
        return [step(x, t) for _ in range(epochs) for x, t in batches]

    def batched(rows: int) -> list[tuple[Any, Any]]:
        return list(zip(X[:rows].split(task.batch), y[:rows].split(task.batch), strict=True))

    def numbers() -> Array:
        reset()
        losses = train(batched(task.check[0]), task.check[1])
        moved = [p.detach().numpy().ravel() for p in parameters]
        return np.hstack([[loss.item() for loss in losses], *moved])

    batches = batched(len(X))
    return Contender(
        work=lambda: train(batches, epochs),
        before=reset,
        units=task.units(epochs),
        numbers=numbers,
        note=f"{torch.get_num_threads()} threads",
    )


def jax_scan(task: Task, epochs: int) -> Contender:
    """The task in JAX: all epochs in one compiled function."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from jax import lax

    def score(parameters: Any, x: Any) -> Any:
        for i in range(0, len(parameters), 2):
            x = (jax.nn.relu(x) if i else x) @ parameters[i].T + parameters[i + 1]
        return jax.nn.sigmoid(x) if task.sigmoid else x

    def loss(parameters: Any, x: Any, t: Any) -> Any:
        outputs = score(parameters, x)
        if task.cross_entropy:
            chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs), t[:, None], axis=1)
            return -jnp.mean(chosen)
        return jnp.mean((outputs - t) ** 2)

    def sgd(state: Any, gradient: Any) -> Any:
        return jax.tree.map(lambda p, g: p - task.lr * g, state, gradient)

    def adam(state: Any, gradient: Any) -> Any:
        parameters, m, v, k = state
        k = k + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)
        lr = task.lr / (1 - 0.9**k)
        scale = 1 / jnp.sqrt(1 - 0.999**k)
        parameters = jax.tree.map(
            lambda p, m, v: p - lr * m / (jnp.sqrt(v) * scale + 1e-8), parameters, m, v
        )
        return parameters, m, v, k

    def step(state: Any, batch: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(state[0] if task.adam else state, *batch)
        return (adam if task.adam else sgd)(state, gradient), value

    def trained(epochs: int) -> Callable[..., Any]:
        def epoch(state: Any, batches: Any, rest: Any) -> Any:
            state, values = lax.scan(step, state, batches)
            if len(rest[0]):
                state, value = step(state, rest)
                values = jnp.append(values, value)
            return state, values

        def run(state: Any, batches: Any, rest: Any) -> Any:
            return lax.scan(lambda s, _: epoch(s, batches, rest), state, length=epochs)

        compiled: Callable[..., Any] = jax.jit(run)
        return compiled

    def batched(rows: int) -> tuple[Any, Any]:
        kinds = (task.dtype, "int64" if task.cross_entropy else task.dtype)
        arrays = [a[:rows].astype(kind) for a, kind in zip((task.X, task.y), kinds, strict=True)]
        whole = rows // task.batch * task.batch
        batches = [a[:whole].reshape(-1, task.batch, *a.shape[1:]) for a in arrays]
        return tuple(map(jnp.array, batches)), tuple(jnp.array(a[whole:]) for a in arrays)

    def start() -> Any:
        parameters = [jnp.array(array) for array in task.weights()]
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        return (parameters, zeros, zeros, jnp.zeros((), task.dtype)) if task.adam else parameters

    def numbers() -> Array:
        rows, epochs = task.check
        state, values = trained(epochs)(first, *batched(rows))
        return np.hstack([np.ravel(part) for part in (values, *(state[0] if task.adam else state))])

    first, data, run = start(), batched(len(task.X)), trained(epochs)
    return Contender(
        work=lambda: jax.block_until_ready(run(first, *data)),
        units=task.units(epochs),
        numbers=numbers,
        note="all epochs in one call, XLA's own threads",
    )
