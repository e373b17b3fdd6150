"""The cases of losses that are compared with PyTorch, for `oracle_cases`: alone, and in training.

PyTorch is an argument, never an import.
"""

from __future__ import annotations

import functools
import math
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_rng = random.Random(0)
_EDGES = [0.0, 1.0, 5e-324, 1e-300, 1e-45, 1e-44, 1e-12, 1e-8, 1.0 - 2.0**-53, 1.0 - 1e-12, 0.5]


@dataclass(frozen=True)
class Pair:
    """An input and a target of a loss, nested lists or numbers, and the loss's options.

    Classes are ints.
    """

    input: Any
    target: Any
    options: dict[str, Any] = field(default_factory=dict)


def _drawn(*shape: int) -> Any:
    return [_drawn(*shape[1:]) for _ in range(shape[0])] if shape else _rng.gauss(0, 2)


def _log_softmax(scores: list[float]) -> list[float]:
    total = math.log(sum(map(math.exp, scores)))
    return [x - total for x in scores]


def _distribution(count: int) -> list[float]:
    return [math.exp(x) for x in _log_softmax(_drawn(count))]


def _of_classes() -> dict[str, Pair]:
    """Scores of classes, as the losses of classes take them."""
    rows, weight = _drawn(5, 4), [0.5, 2.0, 0.0, 1.5]
    return {
        "one": Pair(_drawn(4), 2),
        "batch": Pair(rows, [3, 0, 1, 1, 2]),
        "weighted": Pair(rows, [3, 0, 1, 1, 2], {"weight": weight}),
        "ignoring": Pair(rows, [3, -100, 1, -100, 2]),
        "ignoring a class": Pair(rows, [3, 0, 1, 1, 2], {"weight": weight, "ignore_index": 1}),
    }


PAIRS: dict[str, dict[str, Pair]] = {
    "MSELoss": {
        "batch": Pair(
            *[[[_rng.gauss(0, 2) for _ in range(3)] for _ in range(4)] for _ in range(2)]
        ),
        "equal": Pair([1.5, -2.0], [1.5, -2.0]),
        "tiny": Pair([1e-170, 0.0, 3e-160], [0.0, 1e-170, -1e-160]),
        "overflowing": Pair([1e160, 1.0], [-1e160, 0.0]),
    },
    "BCELoss": {
        "batch": Pair(*[[[_rng.random() for _ in range(3)] for _ in range(4)] for _ in range(2)]),
        "labels": Pair([_rng.random() for _ in range(6)], [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]),
        "edges": Pair(
            [p for p in _EDGES for _ in range(3)], [t for _ in _EDGES for t in (0.0, 1.0, 0.3)]
        ),
    },
    "L1Loss": {
        "batch": Pair(_drawn(4, 3), _drawn(4, 3)),
        "edges": Pair([1.0, -2.0, 1e300, 5e-324], [1.0, 3.0, -1e300, 0.0]),
    },
    "HuberLoss": {
        "batch": Pair(_drawn(4, 3), _drawn(4, 3)),
        "wide": Pair(_drawn(4, 3), _drawn(4, 3), {"delta": 2.5}),
        "edges": Pair([1.0, 2.0, 2.5, -0.5, 1e300, 1e-170], [1.0, 1.0, 1.0, 1.0, -1e300, 0.0]),
    },
    "BCEWithLogitsLoss": {
        "batch": Pair(_drawn(4, 3), [[_rng.random() for _ in range(3)] for _ in range(4)]),
        "weighted": Pair(
            _drawn(4, 3),
            [[_rng.random() for _ in range(3)] for _ in range(4)],
            {"pos_weight": [3.0, 0.0, 0.5]},
        ),
        "edges": Pair(
            [y for y in (0.0, 40.0, -40.0, 800.0, -800.0) for _ in range(3)],
            [t for _ in range(5) for t in (0.0, 1.0, 0.3)],
        ),
        "huge": Pair([1e300, -1e300, 1e300, -1e300], [1.0, 1.0, 0.0, 0.0]),
    },
    "NLLLoss": _of_classes(),
    "CrossEntropyLoss": {
        **_of_classes(),
        "smoothed": Pair(
            _drawn(3, 4), [1, -100, 0], {"weight": [0.5, 2.0, 1.0, 3.0], "label_smoothing": 0.3}
        ),
        "probabilities": Pair(_drawn(3, 4), [_distribution(4) for _ in range(3)]),
        "probabilities of one": Pair(_drawn(4), _distribution(4)),
        "probabilities, weighted and smoothed": Pair(
            _drawn(3, 4),
            [_distribution(4) for _ in range(3)],
            {"weight": [0.5, 2.0, 0.0, 3.0], "label_smoothing": 0.1},
        ),
        "edges": Pair(
            [[1e3, 0.0, -1e3], [1e16, 1e16 - 4.0, 0.0], [5.0, 5.0, 5.0], [-800.0, -810.0, -790.0]],
            [2, 1, 0, 0],
        ),
    },
    "CosineEmbeddingLoss": {
        "batch": Pair([_drawn(5, 3), _drawn(5, 3)], [1, -1, 1, -1, -1]),
        "margin": Pair([_drawn(5, 3), _drawn(5, 3)], [1, -1, -1, -1, -1], {"margin": 0.5}),
        "one": Pair([_drawn(3), _drawn(3)], -1),
        "edges": Pair(
            [
                [[1.0, 2.0], [1.0, 0.0], [0.0, 0.0], [3.0, 0.0], [1e-7, 0.0], [1.0, 1.0]],
                [[2.0, 4.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [1e-7, 1e-7], [-1.0, 2.0]],
            ],
            [1, -1, 1, -1, -1, 1],
        ),
    },
}


def _rows(*shape: int, rng: random.Random | None = None) -> Any:
    """Numbers of the cases below: other streams, so that those above stay as they are."""
    rng = rng or _more
    return [_rows(*shape[1:], rng=rng) for _ in range(shape[0])] if shape else rng.gauss(0, 2)


def _shares(*shape: int, rng: random.Random | None = None) -> Any:
    """Numbers between 0 and 1."""
    rng = rng or _more
    return [_shares(*shape[1:], rng=rng) for _ in range(shape[0])] if shape else rng.random()


def _in_shapes(draw: Callable[..., Any], target: Callable[..., Any]) -> dict[str, Pair]:
    """A loss of single numbers on one number, on one example, and on sequences of examples."""
    shapes = {"number": (), "one": (3,), "sequences": (2, 3, 2)}
    return {name: Pair(draw(*shape), target(*shape)) for name, shape in shapes.items()}


def _of_sequences() -> dict[str, Pair]:
    """Classes of sequences and of images: beyond two dimensions PyTorch has the classes second."""
    weight, sequences = [0.5, 2.0, 0.25, 1.5], [[3, 0, 1], [1, 2, 0]]
    return {
        "sequences": Pair(_rows(2, 3, 4), sequences),
        "sequences, weighted and ignoring": Pair(
            _rows(2, 3, 4), [[3, -1, 1], [-1, 2, 0]], {"weight": weight, "ignore_index": -1}
        ),
        "images": Pair(_rows(2, 2, 3, 4), [sequences, [[0, 0, 0], [2, -100, 1]]]),
        "one ignored": Pair(_rows(4), -100),
        "all ignored": Pair(_rows(2, 4), [-100, -100], {"weight": weight}),
        "no chance": Pair([[-math.inf, -1.0, -2.0], [-1.0, -math.inf, -math.inf]], [0, 0]),
        "two alike": Pair([[0.5, 0.5, -1.0], [-1.0, -1.0, -1.0]], [1, 0]),
    }


def _hard_scores() -> dict[str, Pair]:
    """What only the cross-entropy has: scores far apart, and all of its options."""
    hard = [[1e3, -1e3, 0.0, 5.0], [-math.inf, 0.0, 1.0, 2.0], [1e308, 0.0, -1e308, 0.0]]
    probabilities = [[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 0.0], [5e-324, 1.0 - 1e-16, 0.0, 1e-310]]
    options = {"weight": [0.5, 2.0, 0.25, 1.5], "label_smoothing": 0.2}
    ignoring = {**options, "ignore_index": 1}
    smoothed = {"label_smoothing": 1.0}
    return {
        "hard, the right class": Pair(hard, [0, 3, 0]),
        "hard, a wrong class": Pair(hard, [1, 1, 2]),
        "hard, the class of no chance": Pair(hard, [1, 0, 2]),
        "all together": Pair(_rows(4, 4), [1, 0, 3, 2], ignoring),
        "all together on sequences": Pair(_rows(2, 3, 4), [[3, 1, 1], [1, 2, 0]], ignoring),
        "all together, all ignored": Pair(_rows(2, 4), [1, 1], ignoring),
        "smoothed to the end": Pair(_rows(2, 4), [1, -100], smoothed),
        "probabilities, hard": Pair(_rows(3, 4), probabilities),
        "probabilities of hard scores": Pair([hard[0]] * 3, probabilities),
        "probabilities of sequences": Pair(_rows(2, 3, 4), [probabilities] * 2, options),
    }


def _hinge() -> dict[str, Pair]:
    labels = [[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]]
    return {
        "batch": Pair(_rows(2, 3), labels),
        "edges": Pair([1.0, -1.0, 1e3, -1e3, math.inf, 0.0], [1.0, -1.0, -1.0, -1.0, 1.0, 1.0]),
        "number": Pair(0.5, -1.0),
        "sequences": Pair([_rows(2, 3), _rows(2, 3)], [labels, labels]),
    }


def _several() -> dict[str, dict[str, Pair]]:
    """Losses of more than an input and a target, and of margins between classes."""
    rng = random.Random(2)
    rows, shares = functools.partial(_rows, rng=rng), functools.partial(_shares, rng=rng)
    means, counts = rows(3, 2), [[0.0, 1.0], [2.0, 7.0], [1.5, 30.0]]
    three, weight = rows(3, 4, 3), [0.5, 2.0, 0.0, 1.5]
    scores, none = rows(4, 4), [0.0] * 4
    return {
        "SmoothL1Loss": {
            "batch": Pair(rows(3, 2), rows(3, 2)),
            "one": Pair(rows(3), rows(3), {"beta": 2.5}),
            "of 0": Pair([1.0, -2.0, 0.5], [1.0, 0.0, 0.5 + 2.0**-50], {"beta": 0.0}),
            "at beta": Pair([0.5, -0.5, 0.5 - 2.0**-54, 1e300], [0.0] * 4, {"beta": 0.5}),
        },
        "KLDivLoss": {
            "batch": Pair([_log_softmax(rows(3)) for _ in range(2)], [shares(3), shares(3)]),
            "logarithms": Pair(rows(2, 2, 2), rows(2, 2, 2), {"log_target": True}),
            "edges": Pair([-1.0, -800.0, 0.0, -2.0], [0.0, 1.0, 5e-324, 1.0]),
        },
        "PoissonNLLLoss": {
            "batch": Pair(means, counts),
            "one full": Pair(rows(4), [0.0, 1.0, 1.0 + 2.0**-52, 8.0], {"full": True}),
            "means": Pair(shares(3, 2), counts, {"log_input": False, "full": True, "eps": 1e-3}),
            "edges": Pair([0.0, 1e-300, 1e300], [1.0, 0.0, 2.0], {"log_input": False}),
        },
        "GaussianNLLLoss": {
            "batch": Pair([rows(3, 2), shares(3, 2)], rows(3, 2), {"full": True}),
            "one": Pair([rows(3), shares(3)], rows(3)),
            "edges": Pair([[1.0, 1.0, 2.0], [0.0, 1e-3, 0.5]], [1.5, 1.0, 2.0], {"eps": 1e-2}),
        },
        "TripletMarginLoss": {
            "batch": Pair(three, none, {"margin": 2.0}),
            "swapped": Pair(three, none, {"swap": True, "p": 1.0, "margin": 4.0}),
            "of a third power": Pair(three, none, {"p": 3.0, "eps": 1e-2, "margin": 5.0}),
            "largest": Pair(three, none, {"p": math.inf, "margin": 2.0}),
            "alike": Pair([[[1.0, 2.0]] * 2] * 3, none[:2], {"eps": 0.0}),
            "one": Pair(rows(3, 2), 0.0, {"margin": 5.0}),
        },
        "MultiMarginLoss": {
            "batch": Pair(scores, [3, 0, 1, 2]),
            "squared": Pair(scores, [3, 0, 1, 2], {"p": 2, "margin": 0.7, "weight": weight}),
            "one": Pair([0.5, 1.5, 0.25, 1.5], 1, {"margin": 1.25}),
        },
        "MultiLabelMarginLoss": {
            "batch": Pair(scores, [[3, 0, -1, 1], [-1, 2, 1, 0], [0, 1, 2, 3], [2, -1, -1, -1]]),
            "one": Pair([0.5, 1.5, 0.25, 0.5], [1, 1, -1, -1]),
        },
    }


_INFINITE = [math.inf, -math.inf, 1e3, -1e3, 1e300, -1e300]
_more = random.Random(1)
_ADDED: dict[str, dict[str, Pair]] = {
    "MSELoss": {**_in_shapes(_rows, _rows), "infinite": Pair(_INFINITE, [0.0] * 6)},
    "L1Loss": {**_in_shapes(_rows, _rows), "infinite": Pair(_INFINITE, [0.0] * 6)},
    "HuberLoss": {
        **_in_shapes(_rows, _rows),
        "infinite": Pair(_INFINITE, [0.0] * 6),
        "narrow": Pair(_rows(3), _rows(3), {"delta": 1e-3}),
        "at delta": Pair([0.5, -0.5, 0.5 - 2.0**-54, 0.5 + 2.0**-53], [0.0] * 4, {"delta": 0.5}),
    },
    "HingeLoss": _hinge(),
    "BCELoss": {
        **_in_shapes(_shares, _shares),
        "perfect": Pair([0.0, 1.0], [0.0, 1.0]),
        "wrong": Pair([0.0, 1.0], [1.0, 0.0]),
        "subnormal": Pair([5e-324, 1e-310, 1e-44, 0.5], [1.0, 0.5, 5e-324, 5e-324]),
    },
    "BCEWithLogitsLoss": {
        **_in_shapes(_rows, _shares),
        "sequences, weighted": Pair(_rows(2, 3, 2), _shares(2, 3, 2), {"pos_weight": [1e3, 1e-3]}),
        "one weighted": Pair(_rows(2), [0.0, 1.0], {"pos_weight": [3.0, 0.5]}),
        "infinite": Pair([math.inf, -math.inf, math.inf, -math.inf], [0.0, 0.0, 0.5, 0.5]),
    },
    "NLLLoss": _of_sequences(),
    "CrossEntropyLoss": {**_of_sequences(), **_hard_scores()},
    "CosineEmbeddingLoss": {
        "labels that are none": Pair([_rows(3, 2), _rows(3, 2)], [0, 1, 2]),
        "zeros": Pair([[[0.0, 0.0]] * 2, [[0.0, 0.0]] * 2], [1, -1], {"margin": -0.5}),
        "sums": Pair([_rows(4, 3), _rows(4, 3)], [-1, -1, -1, 1], {"margin": -1.0}),
    },
}
PAIRS = {loss: {**PAIRS.get(loss, {}), **added} for loss, added in _ADDED.items()}
PAIRS |= _several()
LOSSES: dict[str, tuple[str, str, Pair]] = {
    f"{loss} {reduction} {name}": (loss, reduction, pair)
    for loss, pairs in PAIRS.items()
    for name, pair in pairs.items()
    for reduction in ("mean", "sum", "none", "batchmean")[: 4 if loss == "KLDivLoss" else 3]
}
# what a loss is called with, where that is not an input and a target: of an input of several parts
_CALLED: dict[str, Callable[[Any, Any], tuple[Any, ...]]] = {
    "CosineEmbeddingLoss": lambda x, t: (*x, t),
    "GaussianNLLLoss": lambda x, t: (x[0], t, x[1]),
    "TripletMarginLoss": lambda x, t: tuple(x),
}


def called_with(loss: str, x: Any, t: Any) -> tuple[Any, ...]:
    """The arguments of a loss, of either framework."""
    return _CALLED[loss](x, t) if loss in _CALLED else (x, t)


def has_parts(loss: str) -> bool:
    """Whether the input of a loss has several parts, each with all examples."""
    return loss in _CALLED


def torch_loss(torch: Any, loss: str, reduction: str, options: dict[str, Any]) -> Any:
    """PyTorch's loss, or for the hinge, of which it has none, an expression."""
    if loss == "HingeLoss":
        reduce = {"mean": torch.mean, "sum": torch.sum, "none": lambda terms: terms}[reduction]
        return lambda y, t: reduce(torch.relu(1.0 - t * y))
    tensors = {
        key: torch.tensor(option, dtype=torch.float64) if isinstance(option, list) else option
        for key, option in options.items()
    }
    made = getattr(torch.nn, loss)(reduction=reduction, **tensors)
    if loss == "KLDivLoss":
        return quietly(made)
    if loss not in ("NLLLoss", "CrossEntropyLoss"):
        return made

    def of_classes(y: Any, t: Any) -> Any:
        """With the classes last, as we have them."""
        if y.dim() > 2:
            if t.dim() == y.dim():
                t = t.movedim(-1, 1).contiguous()
            y = y.movedim(-1, 1).contiguous()
        return made(y, t)

    return of_classes


def quietly(loss: Any) -> Any:
    """The loss without PyTorch's warning that a "mean" is none of the divergence."""

    def call(*given: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "reduction: 'mean' divides", UserWarning)
            return loss(*given)

    return call


def torch_target(torch: Any, target: Any) -> Any:
    """A tensor; whole numbers stay whole: they are classes."""
    tensor = torch.tensor(target)
    floating = tensor.is_floating_point()
    return torch.tensor(target, dtype=torch.float64) if floating else tensor


def loss_figure(torch: Any, name: str) -> Any:
    loss, reduction, pair = LOSSES[name]
    x = torch.tensor(pair.input, dtype=torch.float64, requires_grad=True)
    given = called_with(loss, x, torch_target(torch, pair.target))
    y = torch_loss(torch, loss, reduction, pair.options)(*given)
    y.sum().backward()
    return {"value": y.tolist(), "gradient": x.grad.tolist()}


# --- training -------------------------------------------------------------------------------

LOSS_EPOCHS, LOSS_BATCH = 10, 5  # of 13 examples: 30 updates, every third by a smaller batch


@dataclass(frozen=True)
class Training:
    """A loss, its options, what comes after the layers, and the targets of the examples; what
    `nn.fit` is told besides, and whether the layers are in groups of the optimiser."""

    loss: str
    targets: Any
    options: dict[str, Any] = field(default_factory=dict)
    last: str = ""
    reduction: str = "mean"
    told: dict[str, Any] = field(default_factory=dict)
    in_groups: bool = False


def _classes(*shape: int) -> Any:
    return [_classes(*shape[1:]) for _ in range(shape[0])] if shape else _more.randrange(4)


def _labels(*shape: int) -> Any:
    return [_labels(*shape[1:]) for _ in range(shape[0])] if shape else _more.choice([-1.0, 1.0])


_weight = [0.5, 2.0, 0.25, 1.5]
_options = {"weight": _weight, "ignore_index": 2, "label_smoothing": 0.2}
_counts = [float(k % 4) for k in range(13)]  # some examples count for nothing
INPUTS, SEQUENCES = _rows(13, 3), _rows(13, 2, 3)
TRIPLES = [[*pair, row] for pair, row in zip(SEQUENCES, INPUTS, strict=True)]
TRAINED: dict[str, Training] = {
    "MSELoss": Training("MSELoss", _rows(13, 4)),
    "MSELoss, summed": Training("MSELoss", _rows(13, 4), reduction="sum"),
    "L1Loss": Training("L1Loss", _rows(13, 4)),
    "HuberLoss": Training("HuberLoss", _rows(13, 4), {"delta": 0.7}),
    "HingeLoss": Training("HingeLoss", _labels(13, 4)),
    "BCELoss": Training("BCELoss", _shares(13, 4), last="Sigmoid"),
    "BCEWithLogitsLoss": Training(
        "BCEWithLogitsLoss", _shares(13, 4), {"pos_weight": [3.0, 0.5, 1.0, 2.0]}
    ),
    "NLLLoss": Training("NLLLoss", _classes(13), {"weight": _weight}, "LogSoftmax"),
    "NLLLoss, ignoring": Training("NLLLoss", _classes(13), {"ignore_index": 1}, "LogSoftmax"),
    "CrossEntropyLoss": Training("CrossEntropyLoss", _classes(13)),
    "CrossEntropyLoss, weighted": Training("CrossEntropyLoss", _classes(13), {"weight": _weight}),
    "CrossEntropyLoss, all together": Training("CrossEntropyLoss", _classes(13), _options),
    "CrossEntropyLoss, summed": Training(
        "CrossEntropyLoss", _classes(13), _options, reduction="sum"
    ),
    "CrossEntropyLoss of probabilities": Training(
        "CrossEntropyLoss",
        [_distribution(4) for _ in range(13)],
        {"weight": _weight, "label_smoothing": 0.1},
    ),
    "CrossEntropyLoss of sequences": Training("CrossEntropyLoss", _classes(13, 2), _options),
    "MSELoss, in groups": Training("MSELoss", _rows(13, 4), in_groups=True),
    "MSELoss, examples weighted": Training(
        "MSELoss", _rows(13, 4), told={"sample_weight": _counts}
    ),
    "MSELoss, summed and weighted": Training(
        "MSELoss", _rows(13, 4), told={"sample_weight": _counts, "l2": 0.3}, reduction="sum"
    ),
    "BCEWithLogitsLoss, penalised and clipped": Training(
        "BCEWithLogitsLoss", _shares(13, 4), told={"l2": 0.1, "clip_norm": 0.2}
    ),
    "CrossEntropyLoss, classes weighted": Training(
        "CrossEntropyLoss",
        _classes(13),
        told={"class_weight": dict(enumerate(_weight)), "l2": 0.05, "clip_norm": 0.3},
        in_groups=True,
    ),
    "CosineEmbeddingLoss": Training(
        "CosineEmbeddingLoss", [int(x) for x in _labels(13)], {"margin": 0.2}, "pairs"
    ),
    "SmoothL1Loss": Training("SmoothL1Loss", _rows(13, 4), {"beta": 0.7}),
    "KLDivLoss": Training(
        "KLDivLoss", [_distribution(4) for _ in range(13)], last="LogSoftmax", reduction="batchmean"
    ),
    "PoissonNLLLoss": Training(
        "PoissonNLLLoss", [[float(k) for k in _classes(4)] for _ in range(13)], {"full": True}
    ),
    "GaussianNLLLoss of sequences": Training(  # of a mean and a variance
        "GaussianNLLLoss", _shares(13, 4), {"full": True}, "Sigmoid"
    ),
    "TripletMarginLoss of sequences": Training(  # of three
        "TripletMarginLoss", [0.0] * 13, {"swap": True, "margin": 0.5}
    ),
    "MultiMarginLoss": Training("MultiMarginLoss", _classes(13), {"p": 2, "weight": _weight}),
    "MultiLabelMarginLoss": Training(
        "MultiLabelMarginLoss", [_more.sample([-1, 0, 1, 2, 3], 4) for _ in range(13)]
    ),
}


def inputs_of(name: str) -> Any:
    if "Triplet" in name:
        return TRIPLES
    return SEQUENCES if "sequences" in name else INPUTS


def layers_of(framework: Any, training: Training) -> Any:
    """The layers before the loss, of either framework."""
    last: list[Any] = []
    if training.last == "LogSoftmax":
        last = [framework.LogSoftmax(dim=-1)]
    elif training.last == "Sigmoid":
        last = [framework.Sigmoid()]
    outputs = 3 if training.last == "pairs" else 4
    layers = framework.Linear(3, 5), framework.Tanh(), framework.Linear(5, outputs)
    return framework.Sequential(*layers, *last)


def trained_figure(torch: Any, name: str, state_of: Callable[[Any], Any]) -> list[float]:
    """The loss of every update, and then the parameters."""
    training = TRAINED[name]
    model = layers_of(torch.nn, training).double()
    state = state_of(model)
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in state.items()})
    options, told = training.options, training.told
    if "class_weight" in told:
        options = {**options, "weight": list(told["class_weight"].values())}
    weighted = "sample_weight" in told
    loss = torch_loss(torch, training.loss, "none" if weighted else training.reduction, options)
    x = torch.tensor(inputs_of(name), dtype=torch.float64)
    targets = torch_target(torch, training.targets)
    optimizer = torch.optim.SGD(moved_of(model, training), **settings_of(training))
    losses = []
    for _ in range(LOSS_EPOCHS):
        for first in range(0, len(x), LOSS_BATCH):
            part = slice(first, first + LOSS_BATCH)
            optimizer.zero_grad()
            outputs = model(x[part])
            if training.last == "pairs":
                outputs = [outputs, x[part]]
            elif has_parts(training.loss):
                outputs = outputs.unbind(1)
            step_loss = loss(*called_with(training.loss, outputs, targets[part]))
            if weighted:
                counts = torch.tensor(told["sample_weight"][part], dtype=torch.float64)[:, None]
                step_loss = (counts * step_loss).sum()
                if training.reduction == "mean":
                    step_loss = step_loss / (counts.sum() * targets.shape[1])
            squares = [p.square().sum() for key, p in model.named_parameters() if "weight" in key]
            step_loss = step_loss + told.get("l2", 0.0) / 2.0 * sum(squares)
            step_loss.backward()
            if "clip_norm" in told:
                torch.nn.utils.clip_grad_norm_(model.parameters(), told["clip_norm"])
            optimizer.step()
            losses.append(step_loss.item())
    return [*losses, *[number for p in model.parameters() for number in p.flatten().tolist()]]


def moved_of(model: Any, training: Training) -> Any:
    """The parameters of the layers as the optimiser is given them, in either framework."""
    if not training.in_groups:
        return model.parameters()
    last = {"params": list(model[2].parameters()), "lr": 0.02, "weight_decay": 0.1}
    return [{"params": list(model[0].parameters())}, last]


def settings_of(training: Training) -> dict[str, float]:
    """What stochastic gradient descent is told: a sum is larger than a mean."""
    return {"lr": 0.05 if training.reduction == "mean" else 0.005, "momentum": 0.9}
