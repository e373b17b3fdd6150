"""A character GPT made of scalars: a document forwards and backwards, and 1,000 steps of training.

The document's row runs `scalar_gpt`, which is written for any class of scalars and knows nothing
of gradloom, on a plain class of scalars and compiled. The training row is that of `gradloom run
names-gpt` from the beginning: with tracing and lowering, checking the data, and Adam. Others have
the model rewritten in arrays, PyTorch eagerly and JAX jitted.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import engine
import nn
from benchmarks import ours, scalar_gpt
from benchmarks.harness import ALONE, BUILT, EAGER, OURS, Array, Asked, Contender, Row, Scale
from benchmarks.plain_scalar import PlainValue
from nn.data import first_names
from nn.programs.names_gpt import BETAS, GPT, LEARNING_RATE, NOT_SCORED, encoded

PLAIN = "the same code on a plain scalar class"
TORCH, JAX = "PyTorch eager, rewritten in tensors", "JAX jit, rewritten in arrays"
POSITIONS, STEPS = 15, 1_000
# Measured elsewhere by others, on other machines: a document in seconds, and 1,000 of them.
KNOWN_DOCUMENT = {"hand-written C, SIMD, float32": 16e-6}
KNOWN_TRAINING = {"hand-written C++": 0.2}


def rows(scale: Scale) -> Iterator[Row]:
    """A document, and a training run."""
    positions, steps = scale.of((POSITIONS, STEPS), (POSITIONS, 50), (4, 2))
    name = next(name for name in first_names() if len(name) == positions - 1)
    tokens = scalar_gpt.encoded(name)
    program = _program()
    yield Row(
        "gpt",
        f"a character GPT in scalars, {positions} positions, forward and backward",
        {
            OURS: lambda: ours.gradient(program, tokens),
            ALONE: lambda: ours.gradient_alone(program, tokens),
            BUILT: lambda: ours.gradient_built(program, tokens),
            EAGER: lambda: _eagerly(engine.Value, tokens),
            PLAIN: lambda: _eagerly(PlainValue, tokens),
            TORCH: lambda: _torch_document(tokens),
            JAX: lambda: _jax_document(tokens),
        },
        asked=[Asked(5_000.0, PLAIN), Asked(seconds=60e-6)],
        known=KNOWN_DOCUMENT,
        tolerance=1e-11,
    )
    yield Row(
        "gpt-training",
        f"{steps:,} training steps of the GPT with Adam, tracing included",
        {OURS: lambda: _training(steps), TORCH: lambda: _torch_training(steps)},
        asked=[Asked(seconds=3.0)] if steps == STEPS else [],
        known=KNOWN_TRAINING if steps == STEPS else {},
        tolerance=1e-8,
    )


# --- a document -------------------------------------------------------------------------------


def _parameters(scalar: Any) -> dict[str, Any]:
    return scalar_gpt.make_parameters(scalar, random.Random(0))  # type: ignore[no-any-return]


def _program() -> engine.Program:
    parameters = _parameters(engine.Value)

    def loss(tokens: Any) -> Any:
        return scalar_gpt.document_loss(
            parameters, tokens, look_up=engine.take, softmax=engine.softmax
        )

    return engine.compile(loss, wrt=scalar_gpt.flat(parameters))


def _eagerly(scalar: Any, tokens: list[int]) -> Contender:
    """The document on a class of scalars, as it is."""
    parameters = _parameters(scalar)
    weights = scalar_gpt.flat(parameters)

    def work() -> float:
        for p in weights:
            p.grad = 0.0
        loss = scalar_gpt.document_loss(parameters, tokens)
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(100_000)  # the plain class recurs
        try:
            loss.backward()
        finally:
            sys.setrecursionlimit(before)
        return float(loss.data)

    return Contender(work=work, numbers=lambda: [work(), *(p.grad for p in weights)])


def _torch_document(tokens: list[int]) -> Contender:
    import torch

    W = {
        name: torch.tensor(matrix, dtype=torch.float64, requires_grad=True)
        for name, matrix in _parameters(float).items()
    }
    weights = list(W.values())
    given, wanted = torch.tensor(tokens[:-1]), torch.tensor(tokens[1:])

    def work() -> Any:
        for p in weights:
            p.grad = None
        loss = torch.nn.functional.cross_entropy(_torch_scores(W, given), wanted)
        loss.backward()
        return loss

    def numbers() -> Array:
        loss = work()
        return np.hstack([loss.item(), *(p.grad.numpy().ravel() for p in weights)])

    return Contender(work=work, numbers=numbers, note=f"{torch.get_num_threads()} threads")


def _torch_scores(W: Any, tokens: Any) -> Any:
    """The scores at all positions, by matrices."""
    from torch.nn import functional

    width, heads = scalar_gpt.WIDTH, scalar_gpt.HEADS

    def normed(x: Any) -> Any:
        return functional.rms_norm(x, (width,), eps=1e-5)

    def by_head(x: Any) -> Any:
        return x.view(len(tokens), heads, -1).transpose(0, 1)

    x = normed(W["tokens"][tokens] + W["positions"][: len(tokens)])
    y = normed(x)
    q, k, v = (by_head(functional.linear(y, W[name])) for name in ("query", "key", "value"))
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + functional.linear(mixed.transpose(0, 1).reshape(-1, width), W["mix"])
    hidden = functional.linear(normed(x), W["widen"]).relu()
    return functional.linear(x + functional.linear(hidden, W["narrow"]), W["head"])


def _jax_document(tokens: list[int]) -> Contender:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    heads, count = scalar_gpt.HEADS, len(tokens) - 1

    def normed(x: Any) -> Any:
        return x * (jnp.mean(x * x, axis=-1, keepdims=True) + 1e-5) ** -0.5

    def loss(W: Any, tokens: Any) -> Any:
        x = normed(W["tokens"][tokens[:-1]] + W["positions"][:count])
        y = normed(x)
        q, k, v = ((y @ W[name].T).reshape(count, heads, -1) for name in ("query", "key", "value"))
        products = jnp.einsum("thd,shd->hts", q, k) / q.shape[-1] ** 0.5
        seen = jnp.tril(jnp.ones((count, count), bool))
        shares = jax.nn.softmax(jnp.where(seen, products, -jnp.inf), axis=-1)
        mixed = jnp.einsum("hts,shd->thd", shares, v).reshape(count, -1)
        x = x + mixed @ W["mix"].T
        x = x + jax.nn.relu(normed(x) @ W["widen"].T) @ W["narrow"].T
        chances = jax.nn.log_softmax(x @ W["head"].T)
        return -jnp.mean(chances[jnp.arange(count), tokens[1:]])

    run = jax.jit(jax.value_and_grad(loss))
    W = {name: jnp.array(matrix) for name, matrix in _parameters(float).items()}
    given = jnp.array(tokens)

    def numbers() -> Array:
        value, slopes = run(W, given)
        return np.hstack([value, *(np.ravel(slopes[name]) for name in W)])

    return Contender(work=lambda: jax.block_until_ready(run(W, given)), numbers=numbers)


# --- training ---------------------------------------------------------------------------------


def _documents(steps: int) -> list[str]:
    names = first_names()
    random.Random(0).shuffle(names)
    return names[:steps]


def _training(steps: int) -> Contender:
    """nn.fit of a model that no program was made of before."""
    X, y = encoded(_documents(steps))

    def work() -> list[float]:
        model = GPT(random.Random(0))
        optimizer = nn.Adam(model.parameters(), lr=LEARNING_RATE, betas=BETAS)
        schedule = nn.LambdaLR(optimizer, lambda k: 1.0 - k / steps, interval="step")
        return nn.fit(
            *(model, X, y),
            loss=nn.CrossEntropyLoss(),
            optimizer=optimizer,
            scheduler=schedule,
            epochs=1,
            batch_size=1,
            path="vectorised",
            progress=False,
        ).step_loss

    return Contender(work=work, numbers=work, note="nn.fit, from tracing to the last step")


def _torch_training(steps: int) -> Contender:
    """The same documents, not padded, in tensors."""
    import torch

    names = {
        "tokens": "tokens.weight",
        "positions": "positions.weight",
        "query": "block.attention.query.weight",
        "key": "block.attention.key.weight",
        "value": "block.attention.value.weight",
        "mix": "block.attention.output.weight",
        "widen": "block.network.0.weight",
        "narrow": "block.network.2.weight",
        "head": "head.weight",
    }
    state = GPT(random.Random(0)).state_dict()
    X, y = encoded(_documents(steps))
    documents = [
        (torch.tensor(x[t != NOT_SCORED]).long(), torch.tensor(t[t != NOT_SCORED]).long())
        for x, t in zip(X, y, strict=True)
    ]

    def work() -> list[Any]:
        W = {name: torch.tensor(state[ours], requires_grad=True) for name, ours in names.items()}
        adam = torch.optim.Adam(W.values(), lr=LEARNING_RATE, betas=BETAS, fused=True)
        losses = []
        for k, (tokens, wanted) in enumerate(documents):
            adam.param_groups[0]["lr"] = LEARNING_RATE * (1.0 - k / steps)
            loss = torch.nn.functional.cross_entropy(_torch_scores(W, tokens), wanted)
            loss.backward()
            adam.step()
            adam.zero_grad()
            losses.append(loss)
        return losses

    return Contender(
        work=work,
        numbers=lambda: [loss.item() for loss in work()],
        note=f"{torch.get_num_threads()} threads",
    )
