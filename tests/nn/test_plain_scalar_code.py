"""Code for a plain class of scalars runs on `engine.Value`, and compiles after two edits."""

import random

import numpy as np
import pytest

import engine
from benchmarks.plain_scalar import PlainValue
from benchmarks.scalar_gpt import (
    document_loss,
    encoded,
    flat,
    made_up,
    make_parameters,
    train,
)
from engine import Value


def parameters_of(scalar: type, seed: int = 0):
    return make_parameters(scalar, random.Random(seed))


def gradient(scalar: type, tokens: list[int]) -> tuple[float, list[float]]:
    """The loss of a document and its gradient, eagerly."""
    parameters = parameters_of(scalar)
    loss = document_loss(parameters, tokens)
    loss.backward()
    return loss.data, [p.grad for p in flat(parameters)]


def assert_near(actual, expected, tolerance: float) -> None:
    """Every number to the size of the largest: sums over paths are in another order."""
    scale = max(abs(x) for x in expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def test_losses_and_gradients_are_those_of_the_plain_class() -> None:
    ours, theirs = (gradient(scalar, encoded("ada")) for scalar in (Value, PlainValue))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-14)
    assert_near(ours[1], theirs[1], 1e-14)


def test_training_is_that_of_the_plain_class() -> None:
    documents = [encoded(name) for name in ("mia", "al", "eve")]
    runs = []
    for scalar in (Value, PlainValue):
        parameters = parameters_of(scalar)
        runs.append([*train(parameters, documents), *[p.data for p in flat(parameters)]])
    assert runs[0] == pytest.approx(runs[1], rel=1e-9)
    assert runs[0][0] == pytest.approx(np.log(27), rel=0.05)


def test_sampling_is_that_of_the_plain_class() -> None:
    names = [made_up(parameters_of(scalar), random.Random(5)) for scalar in (Value, PlainValue)]
    assert names[0] == names[1] and len(names[0]) > 2


def test_compiled_it_has_the_same_gradient() -> None:
    parameters = parameters_of(Value)

    def loss(tokens):
        return document_loss(parameters, tokens, look_up=engine.take, softmax=engine.softmax)

    program = engine.compile(loss, wrt=parameters)
    for name in ("emma", "kora"):  # of one length: the tokens are looked up when it runs
        value, by_parameters = program.value_and_grad([float(t) for t in encoded(name)])
        expected, expected_gradient = gradient(PlainValue, encoded(name))
        assert value == pytest.approx(expected, rel=1e-13)
        assert_near(flat(by_parameters), expected_gradient, 1e-13)
    assert repr(program).endswith("1 path)")


def test_a_softmax_that_detaches_its_largest_score_compiles_too() -> None:
    parameters, tokens = parameters_of(Value), encoded("lea")

    def softmax(scores):
        largest = engine.detach(engine.maximum(scores))
        powers = [(score - largest).exp() for score in scores]
        total = sum(powers)
        return [power / total for power in powers]

    program = engine.compile(
        lambda tokens: document_loss(parameters, tokens, engine.take, softmax), wrt=parameters
    )
    assert_near(flat(program.grad(tokens)), gradient(Value, tokens)[1], 1e-13)
    assert repr(program).endswith("1 path)")
