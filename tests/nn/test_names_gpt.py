"""The GPT that learns names: what it is fed, what it learns, and PyTorch's trajectory."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

import nn
from nn.cli import main
from nn.data import first_names
from nn.programs import names_gpt
from nn.programs.names_gpt import BETAS, EDGE, GPT, LEARNING_RATE, NOT_SCORED, encoded, made_up


def train(updates: int, path: str, seed: int = 0) -> list[float]:
    """The loss before each update, as the program trains."""
    names = first_names()
    rng = random.Random(seed)
    rng.shuffle(names)
    model = GPT(rng)
    optimizer = nn.Adam(model.parameters(), lr=LEARNING_RATE, betas=BETAS)
    scheduler = nn.LambdaLR(optimizer, lambda k: 1.0 - k / 1000, interval="step")
    options = {"optimizer": optimizer, "scheduler": scheduler, "path": path, "progress": False}
    X, y = encoded(names[:updates])
    loss = nn.CrossEntropyLoss()
    return nn.fit(model, X, y, loss=loss, epochs=1, batch_size=1, **options).step_loss


def test_a_name_is_padded_and_what_is_padded_is_not_scored() -> None:
    X, y = encoded(["abz", "a" * 15, "a" * 20])
    assert X.shape == y.shape == (3, 16)
    assert X[0].tolist() == [EDGE, 0, 1, 25] + [EDGE] * 12
    assert y[0].tolist() == [0, 1, 25, EDGE] + [NOT_SCORED] * 12
    assert y[1].tolist() == [0] * 15 + [EDGE] and y[2].tolist() == [0] * 16


def test_the_model_has_4192_weights_of_deviation_8_hundredths() -> None:
    weights = [p.data for p in GPT(random.Random(0)).parameters()]
    assert len(weights) == 4192
    assert np.mean(weights) == pytest.approx(0.0, abs=0.005)
    assert np.std(weights) == pytest.approx(0.08, rel=0.05)


def test_position_by_position_the_scores_are_those_of_the_whole() -> None:
    model, cache = GPT(random.Random(0)), []
    tokens = [EDGE, 3, 0]
    one_by_one = [[s.data for s in model.extend(token, cache)] for token in tokens]
    assert one_by_one == [[s.data for s in scores] for scores in model(tokens)]


def test_padding_changes_nothing() -> None:
    model, loss = GPT(random.Random(0)), nn.CrossEntropyLoss()
    X, y = encoded(["lea"])
    padded = loss(model(X[0]), y[0]).data
    assert loss(model(X[0, :4]), y[0, :4]).data == pytest.approx(padded, rel=1e-14)


def test_both_paths_take_the_same_steps() -> None:
    assert train(3, "vectorised") == pytest.approx(train(3, "scalar"), rel=1e-9)


@pytest.mark.full
def test_the_first_20_steps_of_the_scalar_path_are_the_vectorised_ones() -> None:
    assert train(20, "vectorised") == pytest.approx(train(20, "scalar"), rel=1e-9)


def torch_losses(updates: int) -> list[float]:
    """The same training in PyTorch, in tensors."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    names = first_names()
    rng = random.Random(0)
    rng.shuffle(names)
    state = GPT(rng).state_dict()
    W = {name: torch.tensor(x, requires_grad=True) for name, x in state.items()}

    def normed(x):
        return functional.rms_norm(x, (16,), eps=1e-5)

    def heads(x):
        return x.view(-1, 4, 4).transpose(0, 1)

    def scores(tokens):
        x = normed(W["tokens.weight"][tokens] + W["positions.weight"][: len(tokens)])
        q, k, v = (
            heads(normed(x) @ W[f"block.attention.{part}.weight"].T)
            for part in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.transpose(0, 1).reshape(-1, 16) @ W["block.attention.output.weight"].T
        hidden = torch.relu(normed(x) @ W["block.network.0.weight"].T)
        return (x + hidden @ W["block.network.2.weight"].T) @ W["head.weight"].T

    optimizer = torch.optim.Adam(W.values(), lr=LEARNING_RATE, betas=BETAS)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1.0 - k / 1000)
    X, y = (torch.from_numpy(array).long() for array in encoded(names[:updates]))
    losses = []
    for tokens, targets in zip(X, y, strict=True):
        optimizer.zero_grad()
        loss = functional.cross_entropy(scores(tokens), targets, ignore_index=NOT_SCORED)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


@pytest.mark.oracle
def test_every_update_of_the_vectorised_path_is_pytorchs() -> None:
    assert train(1000, "vectorised") == pytest.approx(torch_losses(1000), rel=1e-9)


# --- the program ----------------------------------------------------------------------------


def test_names_are_made_of_letters_and_follow_from_the_seed() -> None:
    model = GPT(random.Random(0))
    names = [made_up(model, random.Random(seed)) for seed in (1, 1, 2)]
    assert names[0] == names[1] != names[2]
    assert all(name.isascii() and name.islower() and len(name) <= 16 for name in names)


@pytest.mark.slow
def test_the_default_run_learns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "names-gpt", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(figures) == [
        *("program", "path", "seed", "points", "epochs", "steps", "seconds", "train_loss"),
        *("test_loss", "train_accuracy", "test_accuracy", "batches", "gradient_difference"),
        *("scalar_step_seconds", "vectorised_step_seconds", "samples"),
    ]
    assert (figures["path"], figures["steps"]) == ("vectorised", 1000)
    assert figures["gradient_difference"] < 1e-12
    assert len(figures["samples"]) == 20 and len({*figures["samples"]}) > 10
    names = first_names()
    # knowing how frequent letters are, and no more, costs this much a letter
    text = "".join(f"{name}." for name in names)
    shares = [text.count(token) / len(text) for token in sorted({*text})]
    unigram = -sum(p * math.log(p) for p in shares)
    assert 1.9 < figures["test_loss"] < 0.9 * unigram


@pytest.mark.parametrize(
    ("path", "epochs"), [pytest.param("scalar", 2, marks=pytest.mark.slow), ("auto", 0)]
)
def test_it_prints_the_loss_and_names_and_draws_the_curve(
    path: str,
    epochs: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names_gpt, "SAMPLES", 2)
    call = ["run", "names-gpt", "--path", path, "--points", "2", "--epochs", str(epochs)]
    assert main([*call, "--seed", "3", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["names-gpt-loss.png"]
    assert f"{2 * epochs} updates of one name each" in out
    assert out.count("updates  ") == 2 * epochs
    [line] = [line for line in out.splitlines() if line.startswith("made up  ")]
    assert line.count(",") == 1


def test_as_many_names_are_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "names-gpt", "--points", "20000"]) == 1
    assert "at most 16,016, not 20,000" in capsys.readouterr().err


def test_the_letters_are_the_ones_of_the_names() -> None:
    assert {*"".join(first_names())} == {*names_gpt.LETTERS}
