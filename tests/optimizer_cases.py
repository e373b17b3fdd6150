"""The cases of optimisers and schedulers that are compared with PyTorch, for `oracle_cases`.

A case of an optimiser is a problem, its name and its settings; the same function runs it with the
scalars of either framework. PyTorch is an argument, never an import.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from engine import Value

STEPS = 30
FROZEN = (0, 1, 9, 29)  # steps whose positions are kept: errors grow, none is lost later

# --- problems -------------------------------------------------------------------------------


def rosenbrock(x: Any, y: Any) -> Any:
    """A curved valley (Rosenbrock 1960), steep across and nearly flat along."""
    return 100.0 * (y - x * x) ** 2 + (1.0 - x) ** 2


def ill_conditioned(*parameters: Any) -> Any:
    """A quadratic whose axes are a million times apart in curvature, and not the parameters'."""
    curvatures = [10.0**k for k in range(3, -4, -2)]
    differences = [a - 0.5 * b for a, b in itertools.pairwise((*parameters, 0.0))]
    return sum(0.5 * c * d * d for c, d in zip(curvatures, differences, strict=True))


def hard_gradients() -> list[list[float]]:
    """Gradients for each step: huge, small, of all sizes, now and then 0, and always 0."""
    rng = random.Random(0)
    scales: list[Callable[[], float]] = [
        lambda: 1.0,
        lambda: 1e140,
        lambda: 1e-12,
        lambda: 10.0 ** rng.uniform(-6, 6),
        lambda: float(rng.random() < 0.3),
        lambda: 0.0,
    ]
    return [[scale() * rng.gauss(0.0, 1.0) for scale in scales] for _ in range(STEPS)]


Problem = tuple[list[float], Callable[..., Any] | list[list[float]]]
PROBLEMS: dict[str, Problem] = {  # where it starts; a function, or gradients
    "valley": ([-1.2, 1.0], rosenbrock),
    "ill-conditioned": ([1.0, -2.0, 0.5, 3.0], ill_conditioned),
    "hard gradients": ([1.0, -2.0, 3.0, -0.5, 0.25, 1.5], hard_gradients()),
}

# --- optimisers and their settings ----------------------------------------------------------


def combined(**choices: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Yield every combination of some settings."""
    for chosen in itertools.product(*choices.values()):
        yield dict(zip(choices, chosen, strict=True))


_FLAGS = (False, True)
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"lr": 1e-6, "maximize": True, "momentum": 0.5, "weight_decay": 0.1},
        *combined(
            lr=(5e-4,),
            momentum=(0.0, 0.9),
            dampening=(0.0, 0.3),
            weight_decay=(0.0, 0.05),
            nesterov=_FLAGS,
        ),
    ],
    "Adam": [
        {},
        {"lr": 0.1, "maximize": True, "amsgrad": True},
        {"lr": 0.1, "betas": (0.0, 0.5)},
        {"lr": 0.1, "betas": (0.3, 0.0), "eps": 0.0, "weight_decay": 1e-3},
        *combined(
            lr=(0.05,),
            amsgrad=_FLAGS,
            weight_decay=(0.0, 0.05),
            betas=((0.9, 0.999), (0.5, 0.9)),
            decoupled_weight_decay=_FLAGS,
        ),
    ],
    "AdamW": [
        {},
        *combined(lr=(0.05,), amsgrad=_FLAGS, maximize=_FLAGS, weight_decay=(0.0, 0.3)),
    ],
    "RMSprop": [
        {},
        {"lr": 1e-3, "maximize": True, "alpha": 0.4, "centered": True, "eps": 1e-3},
        *combined(
            lr=(1e-3,),
            momentum=(0.0, 0.9),
            centered=_FLAGS,
            weight_decay=(0.0, 0.05),
            alpha=(0.99, 0.7),
        ),
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "maximize": True},
        *combined(
            lr=(0.1,),
            lr_decay=(0.0, 0.1),
            weight_decay=(0.0, 0.05),
            initial_accumulator_value=(0.0, 0.5),
            eps=(1e-10, 0.1),
        ),
    ],
}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    f"{problem}: {name}({', '.join(f'{key}={value}' for key, value in settings.items())})": (
        problem,
        name,
        settings,
    )
    for problem in PROBLEMS
    for name, choices in SETTINGS.items()
    for settings in choices
}


def numbers_of(parameters: list[Any]) -> list[float]:
    return [p.item() for p in parameters]


def set_gradients(parameters: list[Any], gradients: list[float]) -> None:
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g if isinstance(p, Value) else p.new_tensor(g)


def descend(framework: Any, scalar: Callable[[float], Any], name: str) -> Any:
    """Return where a case is after each step, with `framework.SGD` and so on, on such scalars;
    or that the optimiser refuses its settings (Nesterov's step needs momentum, undampened)."""
    problem, optimizer_name, settings = CASES[name]
    start, function = PROBLEMS[problem]
    parameters = [scalar(x) for x in start]
    try:
        optimizer = getattr(framework, optimizer_name)(parameters, **settings)
    except ValueError:
        return "refused"
    positions = []
    for k in range(STEPS):
        if callable(function):
            optimizer.zero_grad()
            function(*parameters).backward()
        else:
            set_gradients(parameters, function[k])
        optimizer.step()
        positions.append(numbers_of(parameters))
    return positions


def torch_scalar(torch: Any) -> Callable[[float], Any]:
    return lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True)


def kept(positions: Any) -> Any:
    """What is frozen of positions, as columns: the parameters differ in size."""
    if positions == "refused":
        return positions
    return [list(column) for column in zip(*(positions[k] for k in FROZEN), strict=True)]


# --- schedulers -----------------------------------------------------------------------------

# Functions of the framework's schedulers and an optimiser with two groups; "by hand" sets a rate
# in between, and "going on" begins as if four steps were done.
SCHEDULES: dict[str, Callable[[Any, Any], list[Any]]] = {
    "StepLR": lambda s, o: [s.StepLR(o, 4)],
    "StepLR by hand": lambda s, o: [s.StepLR(o, step_size=3, gamma=0.7)],
    "StepLR going on": lambda s, o: [s.StepLR(o, 5, 0.5, last_epoch=4)],
    "CosineAnnealingLR": lambda s, o: [s.CosineAnnealingLR(o, 30)],
    "CosineAnnealingLR thrice": lambda s, o: [s.CosineAnnealingLR(o, T_max=8, eta_min=0.01)],
    "CosineAnnealingLR to and fro": lambda s, o: [s.CosineAnnealingLR(o, 1, eta_min=0.2)],
    "CosineAnnealingLR by hand": lambda s, o: [s.CosineAnnealingLR(o, 9)],
    "CosineAnnealingLR going on": lambda s, o: [s.CosineAnnealingLR(o, 20, last_epoch=4)],
    "LambdaLR": lambda s, o: [s.LambdaLR(o, lambda k: 0.95**k)],
    "LambdaLR by hand": lambda s, o: [s.LambdaLR(o, lambda k: 1.0 / (k + 1.0))],
    "LambdaLR of two": lambda s, o: [s.LambdaLR(o, [lambda k: 0.9**k, lambda k: k // 3])],
    "LambdaLR going on": lambda s, o: [s.LambdaLR(o, lambda k: 1 + k, last_epoch=4)],
    "two": lambda s, o: [s.StepLR(o, 4, 0.5), s.CosineAnnealingLR(o, 12, eta_min=0.001)],
    "three": lambda s, o: [
        s.LambdaLR(o, lambda k: 0.5),
        s.CosineAnnealingLR(o, 6),
        s.StepLR(o, 5, 0.9),
    ],
}


def rates(optim: Any, schedulers: Any, scalar: Callable[[float], Any], name: str) -> Any:
    """Return for each step the rates that a schedule has set, and those it says it has."""
    groups = [{"params": [scalar(1.0)]}, {"params": [scalar(2.0)], "lr": 0.3}]
    if "going on" in name:
        for group, first in zip(groups, (0.5, 0.7), strict=True):
            group["initial_lr"] = first
    optimizer = optim.SGD(groups, lr=0.1)
    made = SCHEDULES[name](schedulers, optimizer)
    found = []
    for k in range(STEPS):
        present = [group["lr"] for group in optimizer.param_groups]
        found.append([*present, *[rate for s in made for rate in s.get_last_lr()]])
        if "by hand" in name and k == 10:
            optimizer.param_groups[0]["lr"] = 0.05
        optimizer.step()
        for scheduler in made:
            scheduler.step()
    return [list(column) for column in zip(*found, strict=True)]


# --- training -------------------------------------------------------------------------------

EPOCHS, BATCH = 10, 5
_rng = random.Random(0)
X = [[_rng.gauss(0.0, 1.0) for _ in range(2)] for _ in range(13)]
Y = [[math.sin(a) * b + 0.5] for a, b in X]
WEIGHTS = {
    "0.weight": [[_rng.gauss(0.0, 1.0) for _ in range(2)] for _ in range(3)],
    "0.bias": [_rng.gauss(0.0, 1.0) for _ in range(3)],
    "2.weight": [[_rng.gauss(0.0, 1.0) for _ in range(3)]],
    "2.bias": [_rng.gauss(0.0, 1.0)],
}
TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    "Nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "Adam": ("Adam", {"lr": 0.05}),
    "AMSGrad": ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.01}),
    "AdamW": ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {"lr": 0.01}),
    "centred RMSprop": ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.9, "alpha": 0.9}),
    "Adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
}
PLANS: dict[str, tuple[str, str, dict[str, Any]]] = {  # after what, a scheduler, what it is told
    "no schedule": ("", "", {}),
    "StepLR": ("epoch", "StepLR", {"step_size": 3, "gamma": 0.5}),
    "CosineAnnealingLR": ("step", "CosineAnnealingLR", {"T_max": 12}),
    "LambdaLR": ("step", "LambdaLR", {"lr_lambda": lambda k: (k + 1) / 10 if k < 9 else 9 / k}),
}
RUNS = {
    f"training with {name}, {plan}": (*TRAINED[name], *PLANS[plan])
    for name in TRAINED
    for plan in PLANS
}


def training_figure(torch: Any, name: str) -> list[float]:
    """The loss of every update, and then the parameters."""
    optimizer_name, settings, interval, scheduler_name, told = RUNS[name]
    x, y = torch.tensor(X, dtype=torch.float64), torch.tensor(Y, dtype=torch.float64)
    layers = torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)
    model, loss = torch.nn.Sequential(*layers).double(), torch.nn.MSELoss()
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in WEIGHTS.items()})
    optimizer = getattr(torch.optim, optimizer_name)(model.parameters(), **settings)
    schedulers = torch.optim.lr_scheduler
    scheduler = getattr(schedulers, scheduler_name)(optimizer, **told) if scheduler_name else None
    losses = []
    for _ in range(EPOCHS):
        for start in range(0, len(X), BATCH):
            optimizer.zero_grad()
            batch_loss = loss(model(x[start : start + BATCH]), y[start : start + BATCH])
            batch_loss.backward()
            optimizer.step()
            losses.append(batch_loss.item())
            if interval == "step":
                scheduler.step()
        if interval == "epoch":
            scheduler.step()
    return [*losses, *[number for p in model.parameters() for number in p.flatten().tolist()]]


def optimizer_figures(torch: Any) -> dict[str, Any]:
    """PyTorch's figures for all cases, by their names."""
    optim, scalar = torch.optim, torch_scalar(torch)
    return {
        **{name: kept(descend(optim, scalar, name)) for name in CASES},
        **{
            f"rates of {name}": rates(optim, optim.lr_scheduler, scalar, name) for name in SCHEDULES
        },
        **{name: training_figure(torch, name) for name in RUNS},
    }
