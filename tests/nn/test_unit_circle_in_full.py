"""The unit circle as published, 10,000 points and 1,000 epochs: PyTorch's trajectory, and how good
the network gets."""

import random
import statistics

import numpy as np
import pytest

import nn
from nn.data import split, unit_circle
from nn.programs.unit_circle import EPOCHS, LEARNING_RATE, POINTS, make_model


def train(seed: int, epochs: int, path: str):
    """The history, and the share of held-out points that are right."""
    X, X_test, y, y_test = split(*unit_circle(POINTS, seed), 0.8, seed)
    model = make_model(random.Random(seed))
    optimizer = nn.SGD(model.parameters(), lr=LEARNING_RATE)
    options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
    history = nn.fit(model, X, y, epochs=epochs, path=path, **options)
    return history, nn.Confusion.of(y_test, nn.predict(model, X_test))


def torch_losses(seed: int, epochs: int) -> list[float]:
    """The loss before every update, by PyTorch from the same points and first weights."""
    torch = pytest.importorskip("torch")
    X, _, y, _ = split(*unit_circle(POINTS, seed), 0.8, seed)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    layers = torch.nn.Sequential(
        *(torch.nn.Linear(2, 10), torch.nn.ReLU(), torch.nn.Linear(10, 5), torch.nn.ReLU()),
        *(torch.nn.Linear(5, 1), torch.nn.Sigmoid()),
    ).double()
    state = make_model(random.Random(seed)).state_dict()
    layers.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    optimizer = torch.optim.SGD(layers.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(layers(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.oracle
def test_every_step_of_the_vectorised_path_is_pytorchs() -> None:
    history, _ = train(0, EPOCHS, "vectorised")
    assert history.step_loss == pytest.approx(torch_losses(0, EPOCHS), rel=1e-9)


@pytest.mark.full
def test_the_first_20_steps_of_the_scalar_path_are_the_vectorised_ones() -> None:
    scalar, _ = train(0, 20, "scalar")
    vectorised, _ = train(0, 20, "vectorised")
    assert scalar.step_loss == pytest.approx(vectorised.step_loss, rel=1e-9)


@pytest.mark.full
def test_accuracy_over_20_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """About one seed in ten ends at answering 0 always; it counts like the others."""
    confusions = [train(seed, EPOCHS, "vectorised")[1] for seed in range(20)]
    wrong = [c.false_positives + c.false_negatives for c in confusions]
    collapsed = [seed for seed, c in enumerate(confusions) if c.true_positives == 0]
    accuracies = [c.accuracy for c in confusions]
    with capsys.disabled():
        print(f"\nheld out, wrong by seed: {wrong}; always 0: {collapsed}")
        print(f"median accuracy {100 * statistics.median(accuracies):.2f} %")
    assert statistics.median(accuracies) >= 0.993 and min(wrong) <= 5
    assert np.isfinite(accuracies).all()
