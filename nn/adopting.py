"""Models, losses, optimisers and schedulers that are not derived from ours, taken for what they do.

What is needed of each is said by the function that takes it. What lacks it is an error with the
lines that are to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from engine import Value
from nn.losses import Loss, Reduction
from nn.module import Module
from nn.optim import LRScheduler, Optimizer

ModelLike: TypeAlias = Module | Callable[..., Any]
LossLike: TypeAlias = Loss | Callable[[Any, Any], Any] | Any


def model_of(model: Any) -> Module:
    """The model as a Module: one, or a callable on one example whose `parameters()` are Values,
    such as micrograd's. Raises TypeError for anything else."""
    if isinstance(model, Module):
        return model
    if callable(model) and not isinstance(model, type) and callable(_get(model, "parameters")):
        return _Model(model)
    raise TypeError(
        f"model is an nn.Module, or a callable with parameters(), not {model!r:.200}; write\n"
        "    class Model(nn.Module):\n"
        "        def forward(self, x): ...\n"
        "and make one: Model()"
    )


def loss_of(loss: Any) -> Loss:
    """The loss as a Loss: one; an object with `terms(output, target)` of one example, two lists;
    or a function of (output, target) of one example that returns one number. Its `reduction` is
    "mean" unless it has one. Raises TypeError for anything else."""
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, type) and (callable(_get(loss, "terms")) or callable(loss)):
        return _Loss(loss)
    raise TypeError(
        f"loss is an instance such as nn.MSELoss(), or a function of (output, target) of one "
        f"example that returns one number, not {loss!r:.200}"
    )


def optimizer_of(optimizer: Any) -> Optimizer:
    """The optimiser as an Optimizer: one, or an object with `step()`, which moves Values by their
    `grad`, and with these as `parameters` or `params`, a list or a method, or in `param_groups`.
    Raises TypeError for anything else."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, type) and callable(_get(optimizer, "step")):
        parameters = _moved_by(optimizer)
        if parameters and all(isinstance(p, Value) for p in parameters):
            return _Optimizer(optimizer, parameters)
    raise TypeError(
        "optimizer is built on the parameters, such as nn.SGD(model.parameters(), lr=0.1), or is "
        f"an object with their list as `parameters` and with step(), not {optimizer!r:.200}"
    )


def scheduler_of(scheduler: Any, optimizer: Any) -> Any:
    """The scheduler: one of this optimiser, or an object with `step()`, which sets the rates in
    the optimiser; it is stepped after every epoch, or after every update where its `interval` is
    "step". Raises TypeError for anything else, ValueError for another optimiser's."""
    if scheduler is None:
        return None
    if isinstance(scheduler, type) or not callable(_get(scheduler, "step")):
        raise TypeError(
            "scheduler is built on the optimiser, such as nn.StepLR(optimizer, step_size=10), or "
            f"is an object with step(), not {scheduler!r:.200}"
        )
    if _get(scheduler, "optimizer", optimizer) is not optimizer:
        raise ValueError("the scheduler is another optimiser's: build it on the one given here")
    return scheduler if isinstance(scheduler, LRScheduler) else _Scheduler(scheduler)


class _Model(Module):
    """A callable with `parameters()`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.model(*inputs, **named)

    def _items(self) -> Any:
        yield "parameters", list(dict.fromkeys(self.model.parameters()))

    def named_children(self) -> Any:
        return iter(())


class _Loss(Loss):
    """An object with `terms`, or a function of an output and a target."""

    def __init__(self, loss: Any) -> None:
        reduction: Reduction = _get(loss, "reduction", "mean")
        super().__init__(reduction)
        self.loss = loss

    def terms(self, output: Any, target: Any) -> tuple[list[Any], list[Any]]:
        if callable(_get(self.loss, "terms")):
            terms, weights = self.loss.terms(output, target)
            return list(terms), list(weights)
        try:
            number = self.loss(output, target)
        except TypeError as error:
            if isinstance(output, list):
                error.add_note(
                    f"{_name(self.loss)} was given what the model returns for one example, a list "
                    f"of {len(output)}, and its target: output[0] is the first number"
                )
            raise
        if not isinstance(number, Value | int | float):
            raise TypeError(
                f"the loss of one example is one number, and {_name(self.loss)} returned a "
                f"{type(number).__name__}; return engine.sum(...) or engine.mean(...) of it"
            )
        return [number], [1.0]


class _Optimizer(Optimizer):
    """An object with `step()`."""

    def __init__(self, optimizer: Any, parameters: list[Value]) -> None:
        super().__init__(parameters)
        self.optimizer = optimizer

    def step(self) -> None:
        self.optimizer.step()


class _Scheduler:
    """An object with `step()`, which nothing can ask for rates ahead."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.interval = _get(scheduler, "interval", "epoch")

    def step(self) -> None:
        self.scheduler.step()


def _moved_by(optimizer: Any) -> list[Any]:
    """The parameters that an object says that it moves."""
    if groups := _get(optimizer, "param_groups"):
        return [p for group in groups for p in group["params"]]
    found = _get(optimizer, "parameters", _get(optimizer, "params", ()))
    found = found() if callable(found) else found
    return list(found) if isinstance(found, Iterable) else []


def _get(item: Any, name: str, default: Any = None) -> Any:
    return getattr(item, name, default)


def _name(item: Any) -> str:
    return str(getattr(item, "__qualname__", type(item).__qualname__))
