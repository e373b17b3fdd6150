"""Updates by an optimiser's rule: machine code and arrays give the same bits.

Where a norm or a penalty is summed up, the order differs, and with it the last digits.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import pytest

import nn
from engine import Value
from engine.compiled import jitted, updates
from nn.optim import rules
from nn.optim.update import Update

pytestmark = pytest.mark.skipif(jitted.DISABLED, reason="nothing is emitted without Numba")

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
SIZES = (1, 7, 8, 37)  # of groups: below a vector, one, and more with a rest


def after(steps: int, optimizer: nn.Optimizer) -> nn.Optimizer:
    """An optimiser that takes so many updates for done."""
    for state in optimizer.state:
        state.steps = steps
    return optimizer


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda p: nn.SGD(p, lr=0.1),
    "SGD with momentum": lambda p: nn.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
    "SGD of Nesterov": lambda p: nn.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "SGD upwards": lambda p: nn.SGD(p, lr=0.1, weight_decay=0.1, maximize=True),
    "Adam": lambda p: nn.Adam(p, lr=0.05),
    "Adam with decay": lambda p: nn.Adam(p, lr=0.05, weight_decay=0.2, betas=(0.4, 0.9)),
    "AMSGrad": lambda p: nn.Adam(p, lr=0.05, amsgrad=True),
    "AdamW": lambda p: nn.AdamW(p, lr=0.05, weight_decay=0.2),
    "RMSprop": lambda p: nn.RMSprop(p, lr=0.05, weight_decay=0.1),
    "RMSprop, centred": lambda p: nn.RMSprop(p, lr=0.05, centered=True, momentum=0.5),
    "Adagrad": lambda p: nn.Adagrad(p, lr=0.05, lr_decay=0.1, weight_decay=0.1),
    "Adamax": lambda p: nn.Adamax(p, lr=0.05, weight_decay=0.1),
    "NAdam": lambda p: nn.NAdam(p, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True),
    "RAdam at first": lambda p: nn.RAdam(p, lr=0.05, weight_decay=0.1),
    "RAdam": lambda p: after(9, nn.RAdam(p, lr=0.05)),
    "Adadelta": lambda p: nn.Adadelta(p, weight_decay=0.1),
}


OTHERS = ["Adagrad", "Adamax", "NAdam", "RAdam", "Adadelta"]


def address_of(rule: Any, dtype: str) -> Any:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)(updates.address(rule, dtype))


class Runs:
    """The same numbers updated by machine code and by arrays."""

    def __init__(self, name: str, dtype: str, sizes: tuple[int, ...], **options: Any) -> None:
        self.rng, self.dtype, count = np.random.default_rng(0), dtype, sum(sizes)
        groups = [
            {"params": [Value(0.0) for _ in range(size)], "lr": 0.1 / (k + 1)}
            for k, size in enumerate(sizes)
        ]
        update = Update(OPTIMIZERS[name](groups), **options)
        self.rule: Any = update.rule
        self.settings = update.settings(4).astype(dtype)
        theta = self.rng.normal(size=count).astype(dtype)
        slots = update.slots(dtype)
        self.both = [(theta.copy(), slots.copy(), self.settings.copy()) for _ in range(2)]
        self.code = address_of(self.rule, dtype)

    def step(self, k: int, gradient: Any) -> list[list[Any]]:
        """What is there after an update, by machine code and by arrays."""
        found = []
        for way, (theta, slots, told) in enumerate(self.both):
            g = gradient.astype(self.dtype)
            if way == 0:
                words = [x.ctypes.data for x in (theta, g, slots, told[k])]
                self.code(*words, len(theta))
            else:
                updates.apply(self.rule, theta, g, slots, told[k])
            found.append([theta, slots, g, told[k]])
        return found


@DTYPES
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rule_gives_the_same_bits_as_machine_code_and_on_arrays(name: str, dtype: str) -> None:
    runs = Runs(name, dtype, SIZES)
    before = runs.both[0][0].copy()
    for k in range(4):
        gradient = runs.rng.normal(size=sum(SIZES))
        gradient[k] = 0.0
        for a, b in zip(*runs.step(k, gradient), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (runs.both[0][0] != before).all()


@DTYPES
@pytest.mark.parametrize(
    "name",
    ["SGD of Nesterov", "Adam with decay", "AMSGrad", "RMSprop, centred", *OTHERS],
)
def test_a_rule_gives_the_same_bits_by_numba(name: str, dtype: str) -> None:
    runs = Runs(name, dtype, SIZES)
    move = updates.by_numba(runs.rule, dtype)
    assert move is not None
    for k in range(4):
        gradient = runs.rng.normal(size=sum(SIZES)).astype(dtype)
        gradient[k] = (0.0, math.inf, math.nan, 1e-40)[k]
        for (theta, slots, told), given in zip(runs.both, (None, move), strict=True):
            updates.apply(runs.rule, theta, gradient.copy(), slots, told[k], given)
        for a, b in zip(*runs.both, strict=True):
            np.testing.assert_array_equal(a, b)


def many_ways(w: Any, g: Any, slot: Any, settings: Any) -> tuple[Any, Any]:
    """Branches on settings, more than have loops of their own, and on the numbers themselves."""
    for k in range(6):
        w = w + (k + 1) * g if settings[k] > 0.0 else w * g
    return (w, slot) if g < 0.0 else (w - g, slot + w)


@DTYPES
@pytest.mark.parametrize("way", range(0, 64, 9))
def test_a_rule_of_many_ways(way: int, dtype: str) -> None:
    rng, code = np.random.default_rng(way), address_of(many_ways, dtype)
    theta, slot, g = (rng.normal(size=21).astype(dtype) for _ in range(3))
    told = np.array([0, math.inf, 0, 1, 21, 6, *(way >> k & 1 for k in range(6))], dtype)
    expected, kept = theta.copy(), slot.copy()
    for k in range(21):
        given = (expected[k], g[k], kept[k], told[6:])
        expected[k], kept[k] = many_ways(*given)
    code(*[x.ctypes.data for x in (theta, g, slot, told)], 21)
    np.testing.assert_array_equal(theta, expected)
    np.testing.assert_array_equal(slot, kept)


def test_a_rule_that_numba_can_not_compile_runs_on_arrays() -> None:
    def odd(w: Any, g: Any, slot: Any, settings: Any) -> tuple[Any, Any]:
        return w - sum({0.5 * settings[0]: g}.values()) * float("1"), slot

    def many(w: Any, g: Any, a: Any, b: Any, c: Any, d: Any, settings: Any) -> tuple[Any, ...]:
        return w - g, a, b, c, d

    assert updates.by_numba(odd, "float64") is None
    assert updates.by_numba(many, "float64") is None


def test_every_rule_is_tried() -> None:
    tried = {type(make([Value(0.0)])).rule for make in OPTIMIZERS.values()}
    written = {x for x in vars(rules).values() if "settings" in getattr(x, "__annotations__", {})}
    assert tried == written - {rules.applied, rules.moments}


@DTYPES
@pytest.mark.parametrize("name", ["SGD with momentum", "AMSGrad", "RMSprop, centred", *OTHERS])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
def test_what_is_not_finite_goes_the_same_way(name: str, number: float, dtype: str) -> None:
    runs = Runs(name, dtype, SIZES)
    for k in range(3):
        gradient = runs.rng.normal(size=sum(SIZES))
        gradient[[0, 3, 12]] = number
        for a, b in zip(*runs.step(k, gradient), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.isfinite(runs.both[0][0]).all()


@DTYPES
@pytest.mark.parametrize("name", ["SGD with momentum", "AdamW"])
@pytest.mark.parametrize("clip", [0.5, 1e6, None], ids=["clipped", "below the norm", "unclipped"])
@pytest.mark.parametrize("l2", [False, True], ids=["", "L2"])
def test_a_penalty_and_a_largest_norm(name: str, clip: float | None, l2: bool, dtype: str) -> None:
    size = sum(SIZES)
    pull = np.random.default_rng(1).uniform(0.0, 0.5, size) if l2 else None
    runs = Runs(name, dtype, SIZES, clip_norm=clip, l2=pull)
    near = 1e-13 if dtype == "float64" else 1e-5
    for k in range(3):
        theta = runs.both[0][0].astype(float)
        gradient = runs.rng.normal(size=size)
        (actual, expected) = runs.step(k, gradient)
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=near, atol=near)
        total = gradient + (0.0 if pull is None else pull * theta)
        norm = float(np.linalg.norm(total))
        scale = 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))
        np.testing.assert_allclose(actual[2], total * scale, rtol=10 * near, atol=10 * near)
        penalty = 0.0 if pull is None else 0.5 * float(np.dot(pull * theta, theta))
        assert actual[3][0] == pytest.approx(penalty, rel=10 * near)


@pytest.mark.parametrize("norm", [math.nan, math.inf, 0.0])
def test_a_norm_that_is_no_number(norm: float) -> None:
    for clip in (0.5, 2.0):
        runs = Runs("SGD", "float64", (5,), clip_norm=clip)
        gradient = np.array([norm, 0.0, 0.0, 0.0, 0.0])
        for a, b in zip(*runs.step(0, gradient), strict=True):
            np.testing.assert_array_equal(a, b)


def test_subnormal_numbers_are_those_of_before_after_an_update() -> None:
    """In single precision they count as 0 during an update, and for nobody else."""
    runs = Runs("Adam", "float32", (8,))
    runs.step(0, runs.rng.normal(size=8))
    assert np.float32(1e-40) * np.float32(0.5) > 0.0


def test_no_numbers_at_all() -> None:
    runs = Runs("Adam", "float64", (3,))
    theta, slots, told = runs.both[0]
    told[0, 3] = 0.0  # no groups
    before = theta.copy()
    runs.code(*[x.ctypes.data for x in (theta, theta, slots, told[0])], 0)
    np.testing.assert_array_equal(theta, before)
