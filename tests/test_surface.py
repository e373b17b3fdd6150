"""No call of a public function ends in an error that nobody meant, however wrong its arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import nn
import surface
from engine import Value


@pytest.mark.parametrize("name", surface.CALLS)
def test_a_right_call_is_right(name: str) -> None:
    f, make = surface.CALLS[name]
    arguments, keywords = make()
    f(*arguments, **keywords)


@pytest.mark.parametrize("seed", [0])
def test_wrong_calls_are_refused_on_purpose(seed: int) -> None:
    assert [*surface.explore(seed, 400, guided=False)] == []


@pytest.mark.search
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_wrong_calls_are_refused_on_purpose(seed: int) -> None:
    assert [*surface.explore(seed, 3_000)] == []


# --- what was once refused in other words, or not at all ---------------------------------------


def of_itself() -> list[Any]:
    some: list[Any] = [1.0]
    some.append(some)
    return some


ENDLESS = {
    "grad": lambda: engine.grad(lambda x: x[0])(of_itself()),
    "jvp": lambda: engine.jvp(lambda x: x[0], (of_itself(),), (of_itself(),)),
    "compile": lambda: engine.compile(lambda x: x[0])(of_itself()),
    "a result": lambda: engine.compile(lambda x: of_itself())(1.0),
    "wrt": lambda: engine.compile(lambda: 1.0, wrt=of_itself()),
    "accuracy": lambda: engine.accuracy(lambda x: x[0], of_itself()),
    "a loss": lambda: nn.MSELoss()(of_itself(), of_itself()),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_holds_itself_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="what holds itself, or is nested hundreds of times"):
        ENDLESS[name]()


OPTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "argnums of compile": (lambda: engine.compile(abs, argnums=1.5), "argnums is the position"),
    "an array as argnums": (
        lambda: engine.grad(abs, (np.array(["a"]),)),
        "argnums is the position of an argument",
    ),
    "reduce": (lambda: engine.compile(abs, reduce=np.ones(2)), "reduce is None"),
    "in_axes": (lambda: engine.compile(abs, in_axes=(np.ones(2),))(1.0), "in_axes says None or 0"),
    "gradcheck": (lambda: engine.gradcheck(1.0, 2.0), "engine.gradcheck takes a function"),
    "its eps": (lambda: engine.gradcheck(abs, 2.0, eps="a"), "eps is a number, not 'a'"),
    "eps of kinks": (lambda: engine.kinks(abs, 2.0, eps="a"), "eps is a number, not 'a'"),
    "a large eps": (lambda: engine.kinks(abs, 2.0, eps=10**400), "eps is too large for a float"),
    "partials": (lambda: engine.custom_op("f", abs, 1.0), "custom_op takes a name"),
    "a name": (lambda: engine.custom_op(3, abs, [abs]), "custom_op takes a name"),
    "tolerance": (lambda: engine.solve(abs, 1.0, tolerance="a"), "tolerance is a number"),
    "length": (lambda: engine.scan(abs, 1.0, length=np.ones(2)), "scan's length is a whole number"),
    "an array": (lambda: engine.where(True, np.ones((2, 3)), 1.0), r"x\[0\]|one number|array"),
    "Linear": (lambda: nn.Linear(2.0, 3), "in_features is a whole number of at least 1"),
    "MLP": (lambda: nn.MLP([2], [3]), "nin is a whole number"),
    "heads": (lambda: nn.CausalSelfAttention(4, "2"), "num_heads is a whole number"),
    "Softplus": (lambda: nn.Softplus(0.0), "Softplus divides by beta"),
    "Dropout": (lambda: nn.Dropout("a"), "p is a number"),
    "reduction": (lambda: nn.MSELoss(np.ones(2)), "reduction is"),
    "weight": (lambda: nn.NLLLoss(["a"]), "a class's weight is a number"),
    "smoothing": (
        lambda: nn.CrossEntropyLoss(label_smoothing="a"),
        "label_smoothing is a number",
    ),
    "dtype": (lambda: engine.compile(abs, dtype={1: 2}), "dtype is float64 or float32, not {1: 2}"),
    "lr": (lambda: nn.SGD([Value(1.0)], lr=()), r"SGD's lr is a number, not \(\)"),
    "betas": (lambda: nn.Adam([Value(1.0)], betas=("a", 0.9)), "a beta is a number"),
    "max_norm": (lambda: nn.clip_grad_norm_([Value(1.0)], None), "max_norm is a number"),
    "clip_value": (lambda: nn.clip_grad_value_([Value(1.0)], None), "clip_value is a number"),
    "a state": (
        lambda: nn.Linear(1, 1).load_state_dict({"weight": "a", "bias": [1.0]}),
        "'weight' is no array of numbers in the state",
    ),
    "rows": (lambda: nn.TensorDataset([[1.0], [2.0, 3.0]]), "rows of one length"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_an_option_can_not_be_is_said_with_its_name(name: str) -> None:
    call, words = OPTIONS[name]
    with pytest.raises((TypeError, ValueError, RuntimeError), match=words):
        call()
