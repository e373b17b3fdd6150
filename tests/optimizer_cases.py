"""The cases of optimisers and schedulers that are compared with PyTorch, for `oracle_cases`.

A case of an optimiser is a problem, its name and its settings; the same function runs it with the
scalars of either framework. PyTorch is an argument, never an import.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import re
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


def plane(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """Gradients that are always the same: moderate, huge, tiny, one whose square is inf, and 0."""
    return a + 1e140 * b + 1e-12 * c + 1e200 * d + 0.0 * e


def broken_gradients() -> list[list[float]]:
    """Gradients that are inf or nan at one step, or the larger float64, and ordinary before."""
    rng = random.Random(1)
    gradients = [[rng.gauss(0.0, 1.0) for _ in range(5)] for _ in range(STEPS)]
    gradients[9] = [math.inf, -math.inf, math.nan, 1.7e308, 1.0]
    return gradients


Problem = tuple[list[float], Callable[..., Any] | list[list[float]]]
PROBLEMS: dict[str, Problem] = {  # where it starts; a function, or gradients
    "valley": ([-1.2, 1.0], rosenbrock),
    "ill-conditioned": ([1.0, -2.0, 0.5, 3.0], ill_conditioned),
    "hard gradients": ([1.0, -2.0, 3.0, -0.5, 0.25, 1.5], hard_gradients()),
    "plane": ([1.0, -2.0, 3.0, -0.5, 0.25], plane),
    "broken gradients": ([1.0, -2.0, 3.0, -0.5, 0.25], broken_gradients()),
}
OVERFLOWING = ("plane", "broken gradients")  # squares that are inf

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
    "Adamax": [
        {"lr": 0.05, "maximize": True, "betas": (0.3, 0.6)},
        {"lr": 0.05, "betas": (0.9, 0.0), "eps": 0.1},
        *combined(lr=(0.05,), weight_decay=(0.0, 0.05)),
    ],
    "NAdam": [
        {"lr": 0.05, "maximize": True, "momentum_decay": 0.5},
        {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3, "momentum_decay": 0.0},
        *combined(lr=(0.05,), weight_decay=(0.05,), decoupled_weight_decay=_FLAGS),
    ],
    "RAdam": [
        {"lr": 0.05, "maximize": True},
        {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3},  # whose variance is never known enough
        {"lr": 0.05, "betas": (0.5, 0.9)},
        *combined(lr=(0.05,), weight_decay=(0.05,), decoupled_weight_decay=_FLAGS),
    ],
    "Adadelta": [
        {},
        {"lr": 0.5, "maximize": True, "rho": 0.5, "eps": 1e-3},
        {"lr": 10.0, "rho": 1.0, "weight_decay": 0.05},
        {"lr": 10.0, "rho": 0.0},
    ],
    "LBFGS": [
        {"lr": 1e-3},
        {"max_iter": 1},
        {"max_iter": 3, "lr": 0.1, "history_size": 2},
        *combined(
            line_search_fn=("strong_wolfe",),
            max_iter=(1, 20),
            lr=(1.0, 0.3),
            max_eval=(7,),
        ),
        {"line_search_fn": "strong_wolfe"},
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
    # inf - inf: what is left depends on whether a processor multiplies and adds in one
    if not (settings.get("centered") and problem in OVERFLOWING)
    # a line of random gradients is that of no function: where a search ends there is chance
    if not (settings.get("line_search_fn") and not callable(PROBLEMS[problem][1]))
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

    def evaluate(k: int) -> Any:
        if not callable(function):
            set_gradients(parameters, function[k])
            return sum(g * p.item() for g, p in zip(function[k], parameters, strict=True))
        optimizer.zero_grad()
        loss = function(*parameters)
        loss.backward()
        return loss

    for k in range(STEPS):
        if optimizer_name == "LBFGS":
            optimizer.step(functools.partial(evaluate, k))
        else:
            evaluate(k)
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
    "MultiStepLR": lambda s, o: [s.MultiStepLR(o, [20, 3, 8, 8])],
    "MultiStepLR by hand": lambda s, o: [s.MultiStepLR(o, milestones=[5, 12], gamma=0.5)],
    "MultiStepLR going on": lambda s, o: [s.MultiStepLR(o, [5, 9], 0.5, last_epoch=4)],
    "ExponentialLR by hand": lambda s, o: [s.ExponentialLR(o, 0.5)],
    "ExponentialLR going on": lambda s, o: [s.ExponentialLR(o, gamma=0.5, last_epoch=4)],
    "ConstantLR by hand": lambda s, o: [s.ConstantLR(o, 0.5, 12)],
    "ConstantLR going on": lambda s, o: [s.ConstantLR(o, factor=0.25, total_iters=5, last_epoch=4)],
    "LinearLR": lambda s, o: [s.LinearLR(o)],
    "LinearLR by hand": lambda s, o: [s.LinearLR(o, 1.0, end_factor=0.0, total_iters=14)],
    "LinearLR going on": lambda s, o: [s.LinearLR(o, 0.2, 0.8, 9, last_epoch=4)],
    "PolynomialLR by hand": lambda s, o: [s.PolynomialLR(o, total_iters=14, power=2.0)],
    "PolynomialLR going on": lambda s, o: [s.PolynomialLR(o, 8, last_epoch=4)],
    "CosineAnnealingWarmRestarts": lambda s, o: [
        s.CosineAnnealingWarmRestarts(o, 4, T_mult=2, eta_min=0.01)
    ],
    "CosineAnnealingWarmRestarts alike": lambda s, o: [s.CosineAnnealingWarmRestarts(o, 6)],
    "OneCycleLR": lambda s, o: [s.OneCycleLR(o, [0.5, 0.3], total_steps=30)],
    "OneCycleLR of Adam": lambda s, o: [
        s.OneCycleLR(o, 0.5, epochs=6, steps_per_epoch=5, pct_start=0.4, three_phase=True)
    ],
    "OneCycleLR straight": lambda s, o: [
        s.OneCycleLR(o, 0.5, 40, anneal_strategy="linear", base_momentum=[0.8, 0.7], div_factor=5.0)
    ],
    "OneCycleLR of rates alone": lambda s, o: [
        s.OneCycleLR(o, 0.5, 30, pct_start=0.0, cycle_momentum=False, final_div_factor=10.0)
    ],
    "ReduceLROnPlateau": lambda s, o: [s.ReduceLROnPlateau(o, factor=0.5, patience=1)],
    "ReduceLROnPlateau by hand": lambda s, o: [
        s.ReduceLROnPlateau(o, patience=0, threshold=0.3, threshold_mode="abs", min_lr=[0.01, 0.02])
    ],
    "ReduceLROnPlateau upwards": lambda s, o: [
        s.ReduceLROnPlateau(o, "max", 0.5, 1, 0.05, cooldown=3, eps=0.01)
    ],
    "ReduceLROnPlateau upwards by hand": lambda s, o: [
        s.ReduceLROnPlateau(o, "max", 0.7, patience=2, threshold=0.5, threshold_mode="abs")
    ],
    "two": lambda s, o: [s.StepLR(o, 4, 0.5), s.CosineAnnealingLR(o, 12, eta_min=0.001)],
    "three": lambda s, o: [
        s.LambdaLR(o, lambda k: 0.5),
        s.CosineAnnealingLR(o, 6),
        s.StepLR(o, 5, 0.9),
    ],
}


# what a plateau is seen in: better, worse, hardly better, and no number
WATCHED = [3.0, 2.0, 2.5, 2.1, 1.99995, 2.6, 1.0, 1.2, math.nan, 1.2, 0.8, 0.9, 0.7, 0.5, 0.5]


def told_to(scheduler: Any, number: float) -> list[float]:
    """What a step of a scheduler is told."""
    return [number] if type(scheduler).__name__ == "ReduceLROnPlateau" else []


def rates(optim: Any, schedulers: Any, scalar: Callable[[float], Any], name: str) -> Any:
    """Return for each step the rates that a schedule has set, and those it says it has; and after
    them the momenta of a cycle."""
    groups = [{"params": [scalar(1.0)]}, {"params": [scalar(2.0)], "lr": 0.3}]
    if "going on" in name:
        for group, first in zip(groups, (0.5, 0.7), strict=True):
            group["initial_lr"] = first
    optimizer = (optim.Adam if "Adam" in name else optim.SGD)(groups, lr=0.1)
    made = SCHEDULES[name](schedulers, optimizer)
    found = []
    for k in range(STEPS):
        present = [group["lr"] for group in optimizer.param_groups]
        found.append([*present, *[rate for s in made for rate in s.get_last_lr()]])
        if "OneCycle" in name:
            groups = optimizer.param_groups
            found[-1] += [group.get("momentum", group.get("betas", [0.0])[0]) for group in groups]
        if "by hand" in name and k == 10:
            optimizer.param_groups[0]["lr"] = 0.05
        optimizer.step()
        for scheduler in made:
            scheduler.step(*told_to(scheduler, WATCHED[k % len(WATCHED)]))
    return [list(column) for column in zip(*found, strict=True)]


# --- saved and loaded on the way ------------------------------------------------------------

LEGS = (12, 10, 8)  # steps; the second begins with what the first has saved
Go = Callable[[Any, Any, int], None]  # makes so many steps of an optimiser and its scheduler


def landscape(a: Any, b: Any, c: Any, d: Any) -> Any:
    """A curved valley with two parameters more, one of them bound to the valley's."""
    return rosenbrock(a, b) + 0.5 * (c * a - 1.0) ** 2 + 0.1 * d**4


LANDSCAPE = [-1.2, 1.0, 0.5, 2.0]


def steps_on(function: Callable[..., Any], parameters: list[Any]) -> Go:
    """How both frameworks make steps: one by one."""

    def go(optimizer: Any, scheduler: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            y = function(*parameters)
            y.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step(*told_to(scheduler, y.item()))

    return go


def journey(optim: Any, schedulers: Any, parameters: list[Any], go: Go, name: str) -> Any:
    """Return where the parameters are after each leg of a journey of one group, or of three.

    After the first leg the optimiser and the scheduler are made anew, with other rates, and load
    what was saved. In groups, the second has settings of its own, and the third is added last.
    """
    optimizer_name, settings, _, scheduler_name, told = RUNS[name.partition(": ")[2]]
    in_groups = name.startswith("in groups")
    make = getattr(optim, optimizer_name)

    def made(lr: float) -> tuple[Any, Any]:
        first, second, *_ = parameters
        groups = [{"params": [first]}, {"params": [second], "lr": 0.3 * lr, "weight_decay": 0.1}]
        optimizer = make(groups if in_groups else parameters, **{**settings, "lr": lr})
        if not scheduler_name:
            return optimizer, None
        return optimizer, getattr(schedulers, scheduler_name)(optimizer, **told)

    optimizer, scheduler = made(0.1 * settings["lr"])
    go(optimizer, scheduler, LEGS[0])
    found = [numbers_of(parameters)]
    saved = optimizer, scheduler
    optimizer, scheduler = made(1.0)
    optimizer.load_state_dict(saved[0].state_dict())
    if scheduler is not None:
        scheduler.load_state_dict(saved[1].state_dict())
    go(optimizer, scheduler, LEGS[1])
    found.append(numbers_of(parameters))
    if in_groups:
        optimizer.add_param_group({"params": parameters[2:], "lr": 1e-4})
        scheduler = None  # it is about the groups that there were
    go(optimizer, scheduler, LEGS[2])
    found.append(numbers_of(parameters))
    return [list(column) for column in zip(*found, strict=True)]


# --- what is shown and refused --------------------------------------------------------------

TRIED: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"lr": -1.0},
        {"lr": 0.0},
        {"momentum": -0.1},
        {"momentum": 1.5},
        {"weight_decay": -1.0},
        {"nesterov": True},
        {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
        {"dampening": -1.0},
        {"dampening": 2.0},
    ],
    "Adam": [
        {"lr": -1.0},
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, 1.0)},
        {"betas": (-0.1, 0.9)},
        {"betas": (0.9, -0.1)},
        {"betas": (0.0, 0.0)},
        {"betas": [0.9, 0.99]},
        {"eps": -1.0},
        {"eps": 0.0},
        {"weight_decay": -1.0},
    ],
    "AdamW": [{"lr": -1e-9}, {"betas": (1.0, 1.0)}, {"eps": -1.0}, {"weight_decay": -1.0}],
    "RMSprop": [
        {"lr": -1.0},
        {"alpha": -0.1},
        {"alpha": 1.0},
        {"alpha": 1.5},
        {"momentum": -1.0},
        {"eps": -1.0},
        {"weight_decay": -1.0},
    ],
    "Adagrad": [
        {"lr": -1.0},
        {"lr": 0.0},
        {"lr_decay": -1.0},
        {"initial_accumulator_value": -1.0},
        {"eps": -1.0},
        {"weight_decay": -1.0},
    ],
    "Adamax": [{"lr": -1.0}, {"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}, {"eps": -1.0}],
    "NAdam": [{"betas": (0.9, 1.0)}, {"momentum_decay": -0.1}, {"weight_decay": -1.0}],
    "RAdam": [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"eps": -1.0}, {"weight_decay": -1.0}],
    "Adadelta": [{"rho": 1.5}, {"rho": 1.0}, {"rho": -0.1}, {"eps": -1.0}, {"lr": -1.0}],
    "LBFGS": [{"lr": -1.0}, {"lr": 0.0}, {"max_iter": 1, "max_eval": 1}],
}
TRIALS = {f"{name} told {settings}": (name, settings) for name in TRIED for settings in TRIED[name]}


def verdict(optim: Any, scalar: Callable[[float], Any], name: str) -> str:
    """Whether an optimiser takes its settings."""
    optimizer, settings = TRIALS[name]
    try:
        getattr(optim, optimizer)([scalar(1.0)], **settings)
    except ValueError:
        return "refused"
    return "taken"


# how PyTorch is to compute it, which is not a question here
_ONLY_PYTORCHS = re.compile(r"    (capturable|differentiable|foreach|fused): .*\n")


def shown(optim: Any, schedulers: Any, scalar: Callable[[float], Any], name: str) -> str:
    """The repr of an optimiser with two groups, or the only one that it takes, and a scheduler; 0
    and 0.0 are alike, and rates of 1 and 1.0."""
    groups = [{"params": [scalar(1.0)]}, {"params": [scalar(2.0)], "lr": 0.5, "weight_decay": 0.1}]
    optimizer = getattr(optim, name)(groups[: 1 if name == "LBFGS" else None])
    schedulers.StepLR(optimizer, 3)
    return re.sub(r"(lr: 1|: 0)(?=\n)", r"\1.0", _ONLY_PYTORCHS.sub("", repr(optimizer)))


# --- clipping -------------------------------------------------------------------------------

HARD = [[3.0, -4.0], [0.0, 0.0], [1e-9, 0.5, -0.0], [1e200, 1.0], [math.inf, 1.0], [1.0, math.nan]]
CLIPS = {
    f"clipping {numbers} to {limit}": (numbers, limit)
    for numbers in HARD
    for limit in (0.0, 0.3, 1.0, math.inf)
}
TYPES: list[Any] = [2.0, 1.0, 3.0, 0.5, 0.0, math.inf, -math.inf, "inf"]


def clipped(utils: Any, scalar: Callable[[float], Any], name: str) -> dict[str, list[float]]:
    """Return the gradients after clipping, and the norm, for every kind of norm; and by value."""
    numbers, limit = CLIPS[name]
    found = {}
    for kind in [*TYPES, None]:
        parameters = [scalar(0.0) for _ in numbers]
        set_gradients(parameters, numbers)
        if kind is None:
            utils.clip_grad_value_(parameters, limit)
            norms = []
        else:
            norms = [float(utils.clip_grad_norm_(parameters, limit, kind))]
        found[str(kind)] = [*norms, *[float(p.grad) for p in parameters]]
    return found


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
    "Adamax": ("Adamax", {"lr": 0.05}),
    "NAdam": ("NAdam", {"lr": 0.05, "weight_decay": 0.01, "decoupled_weight_decay": True}),
    "RAdam": ("RAdam", {"lr": 0.05, "weight_decay": 0.01}),
    "Adadelta": ("Adadelta", {"lr": 5.0}),
}
PLANS: dict[str, tuple[str, str, dict[str, Any]]] = {  # after what, a scheduler, what it is told
    "no schedule": ("", "", {}),
    "StepLR": ("epoch", "StepLR", {"step_size": 3, "gamma": 0.5}),
    "CosineAnnealingLR": ("step", "CosineAnnealingLR", {"T_max": 12}),
    "LambdaLR": ("step", "LambdaLR", {"lr_lambda": lambda k: (k + 1) / 10 if k < 9 else 9 / k}),
}
MORE_PLANS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MultiStepLR": ("epoch", "MultiStepLR", {"milestones": [2, 5], "gamma": 0.3}),
    "ExponentialLR": ("step", "ExponentialLR", {"gamma": 0.9}),
    "LinearLR": ("step", "LinearLR", {"total_iters": 15}),
    "OneCycleLR": ("step", "OneCycleLR", {"max_lr": 0.02, "total_steps": 30}),
    "OneCycleLR in three phases": (
        "step",
        "OneCycleLR",
        {"max_lr": 0.05, "total_steps": 30, "three_phase": True, "anneal_strategy": "linear"},
    ),
    "ReduceLROnPlateau": ("epoch", "ReduceLROnPlateau", {"patience": 1, "threshold": 0.2}),
}
PLANNED = [(name, plan) for name in TRAINED for plan in PLANS]
PLANNED += [(name, plan) for name in ("SGD", "Adam") for plan in MORE_PLANS]
PLANNED += [(name, "OneCycleLR") for name in ("centred RMSprop", "NAdam", "RAdam", "Adamax")]
RUNS = {
    f"training with {name}, {plan}": (*TRAINED[name], *{**PLANS, **MORE_PLANS}[plan])
    for name, plan in PLANNED
}
JOURNEYS = [f"{groups}: {name}" for groups in ("at once", "in groups") for name in RUNS]


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
        total = 0.0
        for start in range(0, len(X), BATCH):
            optimizer.zero_grad()
            batch_loss = loss(model(x[start : start + BATCH]), y[start : start + BATCH])
            batch_loss.backward()
            optimizer.step()
            losses.append(batch_loss.item())
            total += losses[-1] * len(x[start : start + BATCH])
            if interval == "step":
                scheduler.step()
        if interval == "epoch":
            scheduler.step(*told_to(scheduler, total / len(X)))
    return [*losses, *[number for p in model.parameters() for number in p.flatten().tolist()]]


def journey_figure(torch: Any, name: str) -> Any:
    parameters = [torch_scalar(torch)(x) for x in LANDSCAPE]
    go = steps_on(landscape, parameters)
    return journey(torch.optim, torch.optim.lr_scheduler, parameters, go, name)


def optimizer_figures(torch: Any) -> dict[str, Any]:
    """PyTorch's figures for all cases, by their names."""
    optim, scalar = torch.optim, torch_scalar(torch)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # else NAdam's product of momenta is in single precision
    try:
        return _optimizer_figures(torch, optim, scalar)
    finally:
        torch.set_default_dtype(default)


def _optimizer_figures(torch: Any, optim: Any, scalar: Callable[[float], Any]) -> dict[str, Any]:
    return {
        **{name: kept(descend(optim, scalar, name)) for name in CASES},
        **{
            f"rates of {name}": rates(optim, optim.lr_scheduler, scalar, name) for name in SCHEDULES
        },
        **{name: training_figure(torch, name) for name in RUNS},
        **{name: journey_figure(torch, name) for name in JOURNEYS},
        **{name: verdict(optim, scalar, name) for name in TRIALS},
        **{f"form {name}": shown(optim, optim.lr_scheduler, scalar, name) for name in SETTINGS},
        **{name: clipped(torch.nn.utils, scalar, name) for name in CLIPS},
    }
