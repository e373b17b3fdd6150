"""gradcheck: what it accepts, what it refuses, and what it says."""

import math
import random

import pytest

import engine
from engine import GradcheckError, gradcheck, gradgradcheck


def test_right_derivatives_pass_to_the_second_order() -> None:
    assert gradcheck(lambda x, p: engine.tanh(x * p["w"]) + p["b"], (0.5, {"w": 2.0, "b": 1.0}))
    assert gradcheck(lambda xs: [xs[0] * xs[1], xs[0].exp()], [0.3, -2.0], order=2)
    assert gradgradcheck(lambda x: x**3, 1e6)


def wrong_square(x):
    square = engine.custom_op("my_square", lambda x: x * x, [lambda x, out: 2.0 * x + 0.5])
    return square(x * 3.0) + x.sin()


def test_a_wrong_partial_is_named_with_input_numbers_and_node() -> None:
    with pytest.raises(GradcheckError) as caught:
        gradcheck(wrong_square, 2.0)
    message = str(caught.value)
    assert "output 0 by input 0 (= 2.0)" in message
    assert "first node at fault is my_square(6.0)" in message and "12.5" in message


def test_false_in_place_of_an_error() -> None:
    assert gradcheck(wrong_square, 2.0, raise_exception=False) is False


def test_a_wrong_second_derivative_is_found() -> None:
    # right as a number, but a constant to the next derivative
    partial = lambda x, out: 3.0 * getattr(x, "data", x) ** 2  # noqa: E731
    cube = engine.custom_op("cube", lambda x: x**3, [partial])
    assert gradcheck(cube, 2.0)
    with pytest.raises(GradcheckError):
        gradcheck(cube, 2.0, order=2)


@pytest.mark.parametrize("kink", [lambda x: abs(x), lambda x: x.relu(), lambda x: x.maximum(0.0)])
def test_a_kink_is_called_a_kink(kink) -> None:
    with pytest.raises(GradcheckError, match=r"sits at a kink: the slope is .* from the left"):
        gradcheck(kink, 0.0)


def test_large_and_small_inputs_get_a_step_of_their_scale() -> None:
    assert gradcheck(lambda x: x * x, 1e8)
    assert gradcheck(lambda x: x.log(), 1e-2)


def test_a_function_that_leaves_the_graph_is_found() -> None:
    with pytest.raises(GradcheckError, match=r"leave the graph, by \.data"):
        gradcheck(lambda x: x * math.exp(x.data), 1.0)


def test_other_troubles_are_not_called_kinks() -> None:
    curved = engine.custom_op("q", lambda x: 100.0 * x * x, [lambda x, out: 200.0 * x + 1.0])
    with pytest.raises(GradcheckError, match="first node at fault is q"):
        gradcheck(curved, 0.0)
    with pytest.raises(GradcheckError, match="not finite there"):
        gradcheck(lambda x: (x - 2.0).log(), 1.0)
    noise = random.Random(0)
    with pytest.raises(GradcheckError, match="another result at each call"):
        gradcheck(lambda x: x + noise.random(), 1.0)
    with pytest.raises(GradcheckError, match="leave the graph"):
        gradcheck(lambda x: x * x.detach(), 1.0)


def test_only_two_orders() -> None:
    with pytest.raises(ValueError, match="order is 1 or 2, not 3"):
        gradcheck(lambda x: x, 1.0, order=3)
