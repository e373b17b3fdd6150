"""A GPT made of scalars learns first names, letter by letter, and makes up new ones.

A name is a sequence of tokens: the letters, and one token that begins and ends it. From the tokens
so far the model scores which one is next: one layer, 16 numbers wide, 4 heads, at most 16 positions
(Radford et al. 2019, with RMSNorm in place of LayerNorm and without biases). It is trained by Adam
on one name an update, at a learning rate that falls linearly to 0.

Names are padded to 16 positions, and what is padded is not scored: so one compiled program serves
names of all lengths.
"""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import numpy as np

import engine
import nn
from nn import plots
from nn.data import first_names
from nn.programs import Options, Report
from nn.programs import problem as common
from nn.sequences import Cache

SUMMARY = "a GPT of 4,192 scalars that makes up first names, Adam"
POINTS, EPOCHS = 1_000, 1
WIDTH, HEADS, CONTEXT = 16, 4, 16
LEARNING_RATE, BETAS = 0.01, (0.85, 0.99)
SAMPLES, TEMPERATURE = 20, 0.5
LETTERS = string.ascii_lowercase
EDGE = len(LETTERS)  # the token that begins and ends a name
NOT_SCORED = -100  # the target that nn.CrossEntropyLoss ignores


class Block(nn.Module):
    """Attention and then a small network at each position, each added to what it was given."""

    def __init__(self, rng: random.Random) -> None:
        self.attention_norm = nn.RMSNorm(WIDTH, eps=1e-5, elementwise_affine=False)
        self.attention = nn.CausalSelfAttention(WIDTH, HEADS, bias=False, rng=rng)
        self.network_norm = nn.RMSNorm(WIDTH, eps=1e-5, elementwise_affine=False)
        self.network = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH, bias=False, rng=rng),
            nn.ReLU(),
            nn.Linear(4 * WIDTH, WIDTH, bias=False, rng=rng),
        )

    def extend(self, x: list[Any], cache: Cache) -> list[Any]:
        """Return the next position's numbers; `cache` holds the positions before."""
        x = added(x, self.attention.extend(self.attention_norm(x), cache))
        return added(x, self.network(self.network_norm(x)))


class GPT(nn.Module):
    """Scores of all tokens for being the next one, at each position of a sequence of tokens."""

    def __init__(self, rng: random.Random) -> None:
        self.tokens = nn.Embedding(EDGE + 1, WIDTH, rng=rng)
        self.positions = nn.Embedding(CONTEXT, WIDTH, rng=rng)
        self.norm = nn.RMSNorm(WIDTH, eps=1e-5, elementwise_affine=False)
        self.block = Block(rng)
        self.head = nn.Linear(WIDTH, EDGE + 1, bias=False, rng=rng)
        nn.init.normal_(self.parameters(), std=0.08, rng=rng)

    def forward(self, tokens: list[Any]) -> list[Any]:
        """Return the scores at all positions."""
        cache: Cache = []
        return [self.extend(token, cache) for token in tokens]

    def extend(self, token: Any, cache: Cache) -> list[Any]:
        """Return the scores at the next position; `cache` holds the positions before."""
        x = self.norm(added(self.tokens(token), self.positions(len(cache))))
        return self.head(self.block.extend(x, cache))


def added(x: list[Any], y: list[Any]) -> list[Any]:
    """Return the sums, number by number."""
    return [a + b for a, b in zip(x, y, strict=True)]


def encoded(names: list[str]) -> tuple[Any, Any]:
    """Return the tokens of each name, and at each position the token after it, as arrays."""
    X = np.full((len(names), CONTEXT), float(EDGE))
    y = np.full((len(names), CONTEXT), float(NOT_SCORED))
    for row, name in enumerate(names):
        tokens = [EDGE, *map(LETTERS.index, name), EDGE][: CONTEXT + 1]
        X[row, : len(tokens) - 1] = tokens[:-1]
        y[row, : len(tokens) - 1] = tokens[1:]
    return X, y


def made_up(model: GPT, rng: random.Random) -> str:
    """Return a name, drawn letter by letter; a low temperature prefers what is likely."""
    cache: Cache = []
    token, name = EDGE, ""
    with engine.no_grad():
        while len(cache) < CONTEXT:
            scores = model.extend(token, cache)
            shares = engine.softmax([score / TEMPERATURE for score in scores])
            token = rng.choices(range(EDGE + 1), [share.data for share in shares])[0]
            if token == EDGE:
                break
            name += LETTERS[token]
    return name


def run(options: Options) -> Report:
    """Train the model, report on names it has not seen, and make up new ones.

    Raises ValueError for more points than half of the names.
    """
    points = POINTS if options.points is None else options.points
    names = first_names()
    if 2 * points > len(names):
        raise ValueError(
            f"of the {len(names):,} names as many are held out as are learnt: at most "
            f"{len(names) // 2:,}, not {points:,}"
        )
    rng = random.Random(options.seed)
    rng.shuffle(names)
    X, y = encoded(names[: 2 * points])
    model = GPT(rng)
    p = common.Problem(
        model,
        nn.CrossEntropyLoss(),
        nn.Adam(model.parameters(), lr=LEARNING_RATE, betas=BETAS),
        *(X[:points], y[:points], X[points:], y[points:]),
        points,
        EPOCHS,
        batch_size=1,
        is_classified=False,
    )
    updates = max(1, points * (EPOCHS if options.epochs is None else options.epochs))
    falling = nn.LambdaLR(p.optimizer, lambda k: 1.0 - k / updates, interval="step")
    history = p.fit(options, scheduler=falling)
    comparison = p.compare_paths(1)
    figures = {
        **common.figures("names-gpt", p, options, history),
        **common.compared(comparison),
        "samples": [made_up(model, rng) for _ in range(SAMPLES)],
    }
    pictures = []
    if options.out is not None:
        pictures = _draw(options.out, history.step_loss)
    return Report(figures, _text(figures, comparison, history.step_loss), pictures)


def _text(figures: dict[str, Any], comparison: nn.Comparison | None, step_loss: list[float]) -> str:
    lines = [
        f"trained on the {figures['path']} path: {common.counted(figures['steps'], 'updates')} of "
        f"one name each in {figures['seconds']:.1f} s",
        *(str(comparison).splitlines() if comparison is not None else []),
    ]
    size = max(1, len(step_loss) // 10)
    for first in range(0, len(step_loss), size):
        some = step_loss[first : first + size]
        lines.append(
            f"updates    {first + 1:5,} to {first + len(some):5,}  loss {np.mean(some):.4f}"
        )
    lines += [
        f"loss       training {figures['train_loss']:.4f}   held out {figures['test_loss']:.4f} "
        f"(all tokens alike: {np.log(EDGE + 1):.4f})",
        f"made up    {', '.join(figures['samples'])}",
    ]
    return "\n".join(lines)


def _draw(out: Path, step_loss: list[float]) -> list[Path]:
    """Write the loss curve: each update, and the mean of those around it."""
    curve = plots.new_axes()
    curve.plot(range(1, len(step_loss) + 1), step_loss, linewidth=0.5, alpha=0.4, label="update")
    size = max(1, len(step_loss) // 20)
    means = [np.mean(step_loss[k : k + size]) for k in range(len(step_loss) - size + 1)]
    curve.plot(np.arange(len(means)) + 0.5 * (size + 1), means, label=f"mean of {size}")
    curve.set(xlabel="update", ylabel="mean loss per position")
    curve.legend(frameon=False)
    return common.saved(out, "names-gpt", {"loss": (curve, "Names: training loss")})
