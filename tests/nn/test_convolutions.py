"""Convolutions and pooling: against PyTorch's figures, by hand, in training, and what they say."""

import math
import random
from typing import Any

import numpy as np
import pytest

import engine
import nn
from convolution_cases import (
    BATCH,
    EPOCHS,
    LAYERS,
    REFUSED,
    SETTINGS,
    TRAINED,
    convolution_figures,
    data_of,
    example_of,
    flat,
    layer_of,
    model_of,
    weighted,
)
from engine import Value
from oracle_cases import Figures, either, mapped, state_of

figures = either("convolution_figures", lambda torch: convolution_figures(torch, state_of))


def assert_agree(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    found, wanted = np.array(flat(actual)), np.array(flat(expected))
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(found, wanted, rtol=0.0, atol=tolerance * np.abs(wanted).max())


def data_of_values(x: Any) -> Any:
    return mapped(lambda y: y.data if isinstance(y, Value) else y, x)


def grads_of(x: Any) -> Any:
    return mapped(lambda y: y.grad, x)


def test_sizes_of_numpy_and_in_lists_are_as_others() -> None:
    size = np.int64(2)
    for made, same in (
        (nn.Conv2d(1, 1, size), nn.Conv2d(1, 1, 2)),
        (nn.Conv2d(1, 1, [size, 1]), nn.Conv2d(1, 1, (2, 1))),  # type: ignore[list-item]
        (nn.MaxPool2d([2, size]), nn.MaxPool2d((2, 2))),  # type: ignore[list-item]
    ):
        assert repr(made) == repr(same)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(figures: Figures, name: str) -> None:
    layer, expected = layer_of(nn, name), figures[name]
    assert repr(layer) == expected["repr"]
    layer.load_state_dict(state_of(layer))
    x = mapped(Value, example_of(name))
    y = layer(x)
    weighted(flat(y)).backward()
    assert_agree(data_of_values(y), expected["outputs"])
    assert_agree(grads_of(x), expected["gradient"])
    parameters = dict(layer.named_parameters())
    assert list(parameters) == list(expected["parameters"])
    for key, p in parameters.items():
        assert_agree(grads_of(p), expected["parameters"][key])


@pytest.mark.parametrize("name", LAYERS)
def test_compiled_layers(figures: Figures, name: str) -> None:
    layer, expected = layer_of(nn, name), figures[name]
    layer.load_state_dict(state_of(layer))
    X = np.array([example_of(name)] * 2)
    outputs = nn.predict(layer, X, path="vectorised")
    assert_agree(outputs.tolist(), [expected["outputs"]] * 2)
    program = engine.compile(lambda x: weighted(flat(layer(x))))
    assert_agree(program.grad(example_of(name)), expected["gradient"])


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("name", TRAINED)
def test_training(figures: Figures, name: str, path: str) -> None:
    model = model_of(nn, name)
    model.load_state_dict(state_of(model))
    X, y = data_of(name)
    history = nn.fit(
        model,
        np.array(X),
        y,
        loss=nn.CrossEntropyLoss(),
        optimizer=nn.SGD(model.parameters(), **SETTINGS),
        epochs=EPOCHS,
        batch_size=BATCH,
        path=path,
        progress=False,
    )
    found = [*history.step_loss, *[p.data for p in model.parameters()]]
    assert_agree(found, figures[f"training on {name}"], 1e-10)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("Conv")])
def test_states_go_to_pytorch_and_back(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = layer_of(nn, name), layer_of(torch.nn, name).double()
    assert {k: p.shape for k, p in ours.state_dict().items()} == {
        k: tuple(p.shape) for k, p in theirs.state_dict().items()
    }
    ours.load_state_dict(theirs.state_dict())
    X = np.array([example_of(name)] * 2)
    with torch.no_grad():
        assert_agree(nn.predict(ours, X).tolist(), theirs(torch.tensor(X)).tolist())


@pytest.mark.parametrize("name", REFUSED)
def test_what_pytorch_refuses_is_refused(name: str) -> None:
    layer, arguments, settings, shape = REFUSED[name]
    with pytest.raises((ValueError, TypeError)):
        getattr(nn, layer)(*arguments, **settings)(np.zeros(shape).tolist())


def test_first_weights_are_uniform_by_the_products_of_an_output() -> None:
    state = nn.Conv2d(6, 40, (3, 2), groups=2, rng=random.Random(0)).state_dict()
    bound = (3 * 3 * 2) ** -0.5
    assert state["weight"].shape == (40, 3, 3, 2) and state["bias"].shape == (40,)
    assert 0.99 * bound < np.abs(state["weight"]).max() <= bound
    assert 0.8 * bound < np.abs(state["bias"]).max() <= bound
    again = nn.Conv2d(6, 40, (3, 2), groups=2, rng=random.Random(0)).state_dict()
    np.testing.assert_array_equal(again["weight"], state["weight"])


def test_a_convolution_finds_an_edge() -> None:
    layer = nn.Conv2d(1, 1, (1, 2), bias=False)
    layer.load_state_dict({"weight": [[[[-1.0, 1.0]]]]})
    picture = [[0.0, 0.0, 5.0, 5.0], [0.0, 5.0, 5.0, 5.0]]
    assert data_of_values(layer([picture])) == [[[0.0, 5.0, 0.0], [5.0, 0.0, 0.0]]]


@pytest.mark.parametrize("compiled", [False, True])
def test_of_equal_numbers_the_first_gets_the_gradient(compiled: bool) -> None:
    def largest(x: Any) -> Any:
        return nn.MaxPool1d(5)([x])[0][0]

    x = [0.0, 2.0, 1.0, 2.0, 2.0]
    gradient = engine.compile(largest).grad(x) if compiled else engine.grad(largest)(x)
    assert gradient == [0.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("place", range(4))
def test_the_largest_of_nan_is_nan(place: int) -> None:
    window = [1.0, 2.0, 3.0, 4.0]
    window[place] = math.nan
    assert math.isnan(nn.MaxPool1d(4)([window])[0][0])


# --- data -----------------------------------------------------------------------------------


def digits_and_model() -> tuple[np.ndarray, np.ndarray, nn.Module]:
    X, y = nn.data.digits()
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=random.Random(0)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 10, rng=random.Random(1)),
    )
    return X[:300].reshape(-1, 1, 8, 8) / 16.0, y[:300], model


def test_pictures_go_through_training_and_predicting() -> None:
    X, y, model = digits_and_model()
    told: dict[str, Any] = {"loss": nn.CrossEntropyLoss(), "epochs": 20, "progress": False}
    loader = nn.DataLoader(nn.TensorDataset(X, y), batch_size=30)
    optimizer = nn.Adam(model.parameters(), lr=0.01)
    history = nn.fit(model, loader, optimizer=optimizer, validation_data=(X, y), **told)
    assert history.path == "vectorised" and history.val_loss[-1] < 0.3 < history.loss[0]
    measured = nn.evaluate(model, X, y, loss=told["loss"], metrics=[nn.metrics.accuracy])
    assert measured["accuracy"] > 0.9
    outputs = nn.predict(model, X)
    one = [score.data for score in model(X[7])]  # an array of one example
    np.testing.assert_allclose(one, outputs[7], rtol=1e-12)
    other = nn.predict(model, X[7:8].tolist(), path="scalar")
    np.testing.assert_allclose(other, outputs[7:8], rtol=1e-12)


def test_a_convolution_is_one_matrix_product() -> None:
    X, _, model = digits_and_model()
    program = engine.compile(model, in_axes=0)
    program(X[:2])
    listed = str(program)
    assert "matrix product (4 × 9) @ (9 × 36 × lanes) + bias" in listed
    assert listed.count("matrix product (") == 2  # this, and the linear layer


@pytest.mark.parametrize("as_array", [False, True])
def test_a_batch_in_place_of_an_example(as_array: bool) -> None:
    X, _, model = digits_and_model()
    with pytest.raises(TypeError, match=r"one example.*use nn\.predict\(model, X\)"):
        model(X[:3] if as_array else X[:3].tolist())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (1.0, r"Conv2d\(2, 1, .*\) takes one example, nested lists of \(channels, height, width"),
        ([[0.0] * 3] * 3, r"not of \(3, 3\); a single channel is in a list, too$"),
        ([[[0.0] * 3] * 3], "takes 2 channels, but was given 1$"),
        ([[[0.0] * 3] * 2] * 2, "given 2 numbers in a row or column, too few for its window of 3$"),
        ([[[0.0] * 3] * 3, [[0.0] * 3] * 4], "takes lists of one length, and these have several$"),
        ([[[0.0] * 3] * 3, 1.0], r"not of \(2,\)$"),
        ([], r"not of \(0,\)$"),
    ],
)
def test_what_is_no_example_is_said(x: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        nn.Conv2d(2, 1, 3)(x)
