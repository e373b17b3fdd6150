"""Layers for sequences of tokens: embeddings, norms, attention. Scalars and lists, no arrays.

A sequence is a list of positions, and a position a list of numbers; the layers are written for
one position and applied to each.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import engine
from engine import Value
from nn.init import Rng
from nn.layers import Linear, checked, counted_from_0
from nn.module import Module

# What attention keeps of the positions so far: of each one its key and its value.
Cache: TypeAlias = list[tuple[list[Any], list[Any]]]


class Embedding(Module):
    """A list of `embedding_dim` numbers for each of `num_embeddings` tokens, to be learnt.

    The input is a token's number, from 0 to num_embeddings - 1, or a nested list of such numbers:
    each is replaced by its row of `weight`, by `engine.take`, so that one compiled program serves
    all tokens. The weights are drawn from N(0, 1).

    Raises IndexError for a token out of range, ValueError for one that is not whole.

    >>> Embedding(3, 2)([2, 0])[0][0].op is None  # a parameter itself
    True
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: Rng = random) -> None:
        if num_embeddings < 1 or embedding_dim < 1:
            raise ValueError(
                f"Embedding needs sizes from 1 on, not {num_embeddings} and {embedding_dim}"
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = [
            [Value(rng.gauss(0.0, 1.0)) for _ in range(embedding_dim)]
            for _ in range(num_embeddings)
        ]

    def forward(self, x: Any) -> Any:
        """Return the row of a token, or nested lists of rows."""
        if isinstance(x, list | tuple):
            return [self.forward(token) for token in x]
        token = counted_from_0(x, self.num_embeddings, "token", "tokens")
        return engine.take(self.weight, token)

    def extra_repr(self) -> str:
        """Return the sizes, as PyTorch shows them."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


class _Norm(Module):
    """What both norms share: `weight` starts at 1 for each of the numbers that are normalised."""

    eps: float | None
    normalise: Callable[[list[Any]], list[Any]]  # of one position

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None,
        elementwise_affine: bool,
    ) -> None:
        sizes = [normalized_shape] if isinstance(normalized_shape, int) else [*normalized_shape]
        if len(sizes) != 1 or sizes[0] < 1:
            raise ValueError(
                f"{type(self).__name__} normalises lists of so many numbers, at least 1, not "
                f"{normalized_shape!r}"
            )
        self.normalized_shape, self.eps = (sizes[0],), eps
        self.elementwise_affine = elementwise_affine
        self.weight = [Value(1.0) for _ in range(sizes[0])] if elementwise_affine else None

    def forward(self, x: Any) -> list[Any]:
        """Return the normalised position, or each of a sequence."""
        if isinstance(x, list | tuple) and x and isinstance(x[0], list | tuple):
            return [self.forward(position) for position in x]
        normalised = self.normalise(checked(self, x, *self.normalized_shape))
        if self.weight is None:
            return normalised
        return [w * y for w, y in zip(self.weight, normalised, strict=True)]

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch shows them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class RMSNorm(_Norm):
    """weight * x / √(mean of x² + eps), over each list (Zhang and Sennrich 2019).

    `eps` None is the machine epsilon of a float64. Without `elementwise_affine` there is no weight.

    >>> [f"{y:.4f}" for y in RMSNorm(2, elementwise_affine=False)([engine.Value(3.0), 4.0])]
    ['0.8485', '1.1314']
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine)

    def normalise(self, x: list[Any]) -> list[Any]:
        """Return the numbers at a root mean square of 1."""
        eps = math.ulp(1.0) if self.eps is None else self.eps
        root = engine.sqrt(engine.dot(x, x) / len(x) + eps)
        return [number / root for number in x]


class LayerNorm(_Norm):
    """weight * (x - mean of x) / √(variance of x + eps) + bias, over each list (Ba et al. 2016).

    Without `elementwise_affine` there are no weight and no bias, without `bias` no bias, which
    starts at 0.

    >>> [f"{y:.4f}" for y in LayerNorm(2)([3.0, 5.0])]
    ['-1.0000', '1.0000']
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine)
        has_bias = elementwise_affine and bias
        self.bias = [Value(0.0) for _ in range(*self.normalized_shape)] if has_bias else None

    def normalise(self, x: list[Any]) -> list[Any]:
        """Return the numbers at mean 0 and variance 1."""
        mean = engine.mean(x)
        centred = [number - mean for number in x]
        root = engine.sqrt(engine.dot(centred, centred) / len(x) + self.eps)
        return [number / root for number in centred]

    def forward(self, x: Any) -> list[Any]:
        """Return the normalised position, or each of a sequence."""
        y = super().forward(x)
        if self.bias is None or isinstance(y[0], list):
            return y
        return [number + b for number, b in zip(y, self.bias, strict=True)]

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch shows them."""
        return f"{super().extra_repr()}, bias={self.bias is not None}"


class CausalSelfAttention(Module):
    """Attention of each position to itself and those before, in several heads.

    Each position gets a query, a key and a value, `embed_dim` numbers each, of which every one of
    `num_heads` heads has a part. A head's output is the mean of the values so far, weighted by the
    softmax of the query times their keys, over the square root of the head's width (Vaswani et al.
    2017, section 3.2). `output` mixes the heads.

    Raises ValueError where the heads can't share `embed_dim` evenly.

    >>> attention = CausalSelfAttention(4, 2)
    >>> len(attention([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]))
    3
    """

    def __init__(
        self, embed_dim: int, num_heads: int, bias: bool = True, *, rng: Rng = random
    ) -> None:
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads can't share {embed_dim} numbers evenly")
        self.embed_dim, self.num_heads, self.bias = embed_dim, num_heads, bias
        self.query = Linear(embed_dim, embed_dim, bias, rng=rng)
        self.key = Linear(embed_dim, embed_dim, bias, rng=rng)
        self.value = Linear(embed_dim, embed_dim, bias, rng=rng)
        self.output = Linear(embed_dim, embed_dim, bias, rng=rng)

    def forward(self, x: Any) -> list[Any]:
        """Return the outputs of all positions of a sequence."""
        cache: Cache = []
        return [self.extend(position, cache) for position in x]

    def extend(self, x: Any, cache: Cache) -> list[Any]:
        """Return the output of the next position, and add its key and value to the cache.

        The cache holds those of the positions before; a sequence begins with an empty list.
        """
        query = self.query(x)
        cache.append((self.key(x), self.value(x)))
        width = self.embed_dim // self.num_heads
        mixed: list[Any] = []
        for first in range(0, self.embed_dim, width):
            part = slice(first, first + width)
            scores = [engine.dot(query[part], key[part]) / math.sqrt(width) for key, _ in cache]
            shares = engine.softmax(scores)
            values = zip(*[value[part] for _, value in cache], strict=True)
            mixed += [engine.dot(shares, column) for column in values]
        return self.output(mixed)
