"""The cases of optimisers that are compared with PyTorch, for `oracle_cases`.

A case is a problem, an optimiser's name and its settings. The same functions run it with the
scalars of either framework: `torch` is an argument, never an import.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

from engine import Value

STEPS = 30
FROZEN = (0, 1, 2, 9, 29)  # steps whose positions are kept: errors grow, none is lost later

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


def optimizer_figures(torch: Any) -> dict[str, Any]:
    """PyTorch's figures for all cases, by their names."""
    return {name: kept(descend(torch.optim, torch_scalar(torch), name)) for name in CASES}
