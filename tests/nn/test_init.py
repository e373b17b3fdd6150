"""Filling parameters: distributions, fans and gains as PyTorch has them."""

import math
import random
from typing import Any

import numpy as np
import pytest

from engine import Value
from nn import init

OUTPUTS, INPUTS = 60, 40


def weight(*sizes: int) -> Any:
    return [weight(*sizes[1:]) for _ in range(sizes[0])] if sizes else Value(0.5)


def numbers(item: Any) -> list[float]:
    if isinstance(item, list):
        return [number for part in item for number in numbers(part)]
    return [item.data]


def assert_uniform(drawn: list[float], a: float, b: float) -> None:
    """In [a, b], near to both, and with the mean and the variance; n is 2400."""
    scaled = [(x - a) / (b - a) for x in drawn]
    assert 0.0 <= min(scaled) < 0.01 and 0.99 < max(scaled) <= 1.0
    assert_moments(drawn, (a + b) / 2, (b - a) / math.sqrt(12))


def assert_moments(drawn: list[float], mean: float, std: float) -> None:
    """Four standard errors from the mean and, of a normal distribution, from the deviation."""
    found = sum(drawn) / len(drawn)
    assert abs(found - mean) < 4 * std / math.sqrt(len(drawn))
    deviation = math.sqrt(sum((x - mean) ** 2 for x in drawn) / len(drawn))
    assert abs(deviation / std - 1) < 4 / math.sqrt(2 * len(drawn))


def assert_normal(drawn: list[float], mean: float, std: float) -> None:
    assert_moments(drawn, mean, std)
    for width, share in ((1.0, 0.6827), (2.0, 0.9545)):
        inside = sum(abs(x - mean) < width * std for x in drawn) / len(drawn)
        assert abs(inside - share) < 4 * math.sqrt(share * (1 - share) / len(drawn))


def test_constants() -> None:
    layer = weight(2, 2)
    assert numbers(init.zeros_(layer)) == [0.0] * 4
    assert numbers(init.ones_(layer)) == [1.0] * 4
    assert numbers(init.constant_(layer, -2.5)) == [-2.5] * 4
    assert numbers(init.ones_(Value(0.0))) == [1.0]


def test_uniform_and_normal() -> None:
    rng = random.Random(0)
    assert_uniform(numbers(init.uniform_(weight(OUTPUTS, INPUTS), rng=rng)), 0.0, 1.0)
    assert_uniform(numbers(init.uniform_(weight(2400), -3.0, 5.0, rng=rng)), -3.0, 5.0)
    assert_normal(numbers(init.normal_(weight(OUTPUTS, INPUTS), rng=rng)), 0.0, 1.0)
    assert_normal(numbers(init.normal_(weight(2400), 2.0, 0.1, rng=rng)), 2.0, 0.1)


# The formulas of the papers, for 60 outputs and 40 inputs: what `std` is to be.
SCALED = [
    ("xavier", {}, math.sqrt(2 / 100)),
    ("xavier", {"gain": 5 / 3}, 5 / 3 * math.sqrt(2 / 100)),
    ("kaiming", {}, math.sqrt(2 / 40)),
    ("kaiming", {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / 60)),
    ("kaiming", {"a": math.sqrt(5)}, math.sqrt(1 / 3 / 40)),
    ("kaiming", {"mode": "FAN_IN", "nonlinearity": "tanh", "a": 3.0}, 5 / 3 / math.sqrt(40)),
]


@pytest.mark.parametrize(("name", "options", "std"), SCALED)
def test_scaled_distributions(name: str, options: dict[str, Any], std: float) -> None:
    layer, rng = weight(OUTPUTS, INPUTS), random.Random(1)
    uniform, normal = (getattr(init, f"{name}_{kind}_") for kind in ("uniform", "normal"))
    assert uniform(layer, rng=rng, **options) is layer
    assert_uniform(numbers(layer), -math.sqrt(3) * std, math.sqrt(3) * std)
    assert normal(layer, rng=rng, **options) is layer
    assert_normal(numbers(layer), 0.0, std)


def test_further_dimensions_are_a_field() -> None:
    kernel = init.kaiming_uniform_(weight(8, 4, 5, 5), rng=random.Random(2))
    bound = math.sqrt(6 / 100)
    assert 0.98 * bound < max(map(abs, numbers(kernel))) <= bound


SHAPES = [(5, 5), (3, 7), (7, 3), (4, 3, 2, 2), (1, 4), (4, 1)]


@pytest.mark.parametrize("sizes", SHAPES)
def test_rows_or_columns_are_orthonormal(sizes: tuple[int, ...]) -> None:
    parameter = weight(*sizes)
    assert init.orthogonal_(parameter, gain=3.0, rng=random.Random(3)) is parameter
    matrix = np.reshape(numbers(parameter), (sizes[0], -1)) / 3.0
    matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-14)


def test_all_orthogonal_matrices_are_as_likely() -> None:
    rng, n = random.Random(4), 2000
    drawn = np.array([numbers(init.orthogonal_(weight(2, 2), rng=rng)) for _ in range(n)])
    angles = np.arctan2(drawn[:, 2], drawn[:, 0])  # of the first column: uniform
    assert_uniform(angles.tolist(), -math.pi, math.pi)
    turned = drawn[:, 0] * drawn[:, 3] - drawn[:, 1] * drawn[:, 2]  # a rotation, or mirrored
    np.testing.assert_allclose(np.abs(turned), 1.0, rtol=1e-14)
    assert abs(turned.sum()) < 4 * math.sqrt(n)
    assert abs((angles * turned).sum()) < 4 * math.sqrt(n) * math.pi / math.sqrt(3)


@pytest.mark.oracle
@pytest.mark.parametrize("sizes", SHAPES)
def test_an_orthogonal_matrix_is_pytorchs_of_the_same_numbers(sizes: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    found = numbers(init.orthogonal_(weight(*sizes), 1.5, rng=random.Random(5)))

    def normal_(tensor: Any, *args: Any, **options: Any) -> Any:
        rng = random.Random(5)
        drawn = [rng.gauss(0.0, 1.0) for _ in range(tensor.numel())]
        return tensor.copy_(torch.tensor(drawn, dtype=tensor.dtype).view_as(tensor))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "normal_", normal_)
        theirs = torch.nn.init.orthogonal_(torch.empty(*sizes, dtype=torch.float64), 1.5)
    assert found == pytest.approx(theirs.flatten().tolist(), abs=1e-13)


def test_the_same_seed_gives_the_same_numbers() -> None:
    drawn = [init.xavier_normal_(weight(3, 3), rng=random.Random(5)) for _ in range(2)]
    assert numbers(drawn[0]) == numbers(drawn[1])


GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
    "leaky_relu": math.sqrt(2 / 1.0001),
}


@pytest.mark.parametrize("name", GAINS)
def test_gains(name: str) -> None:
    assert init.calculate_gain(name) == pytest.approx(GAINS[name], rel=1e-15)


def test_the_gain_of_a_slope() -> None:
    assert init.calculate_gain("leaky_relu", 1) == 1.0
    assert init.calculate_gain("relu", 0.2) == init.calculate_gain("relu")


@pytest.mark.oracle
def test_bounds_and_gains_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    for name in GAINS:
        assert init.calculate_gain(name, 0.3) == torch.nn.init.calculate_gain(name, 0.3)

    class Top:  # draws the upper bound, or the standard deviation
        uniform = staticmethod(lambda a, b: b)
        gauss = staticmethod(lambda mu, sigma: sigma)

    # seen through a source that PyTorch has not: its functions that draw are replaced
    for name, options, _ in SCALED:
        for kind, method in (("uniform", "uniform_"), ("normal", "normal_")):
            function, seen = f"{name}_{kind}_", []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch.Tensor, method, lambda t, a, b, seen=seen, **kw: seen.append(b))
                getattr(torch.nn.init, function)(torch.empty(OUTPUTS, INPUTS), **options)
            ours = getattr(init, function)(weight(OUTPUTS, INPUTS), rng=Top(), **options)
            assert set(numbers(ours)) == set(seen)


# --- complaints -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
        init.orthogonal_,
    ],
)
@pytest.mark.parametrize("sizes", [(), (3,)])
def test_fewer_than_two_dimensions_have_no_fans(function: Any, sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"fewer than 2 dimensions, such as a bias"):
        function(weight(*sizes))


@pytest.mark.parametrize("function", [init.xavier_normal_, init.orthogonal_])
def test_rows_of_different_lengths_are_no_matrix(function: Any) -> None:
    with pytest.raises(ValueError, match="a parameter whose rows have different lengths"):
        function([*weight(1, 2), *weight(1, 3)])


def test_unknown_modes_and_nonlinearities_are_named() -> None:
    with pytest.raises(ValueError, match=r"Mode 'fan' not supported, .*'fan_in', 'fan_out'"):
        init.kaiming_uniform_(weight(2, 2), mode="fan")
    with pytest.raises(ValueError, match=r"Unsupported nonlinearity 'swish'; there are linear, "):
        init.kaiming_normal_(weight(2, 2), nonlinearity="swish")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)
