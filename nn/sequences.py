"""Layers for sequences of tokens: embeddings, norms, attention. Scalars and lists, no arrays.

A sequence is a list of positions, and a position a list of numbers; the layers are written for
one position and applied to each.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import engine
from engine import Value
from engine.errors import whole
from nn.init import Rng, xavier_uniform_, zeros_
from nn.layers import (
    Dropout,
    Linear,
    affine,
    checked,
    counted_from_0,
    has_shape,
    positions,
)
from nn.module import Module, fresh

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
        self.num_embeddings = whole("num_embeddings", num_embeddings, 1)
        self.embedding_dim = whole("embedding_dim", embedding_dim, 1)
        self.weight = fresh(partial(rng.gauss, 0.0, 1.0), num_embeddings, embedding_dim)

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
    bias: list[Value] | None = None
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
        if self.weight is not None:
            normalised = [w * y for w, y in zip(self.weight, normalised, strict=True)]
        if self.bias is not None:
            normalised = [y + b for y, b in zip(normalised, self.bias, strict=True)]
        return normalised

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

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch shows them."""
        return f"{super().extra_repr()}, bias={self.bias is not None}"


class CausalSelfAttention(Module):
    """Attention of each position to itself and those before, in several heads.

    Each position gets a query, a key and a value, `embed_dim` numbers each, of which every one of
    `num_heads` heads has a part. A head's output is the mean of the values so far, weighted by the
    softmax of the query times their keys, over the square root of the head's width (Vaswani et al.
    2017, section 3.2). `output` mixes the heads. What it has over `MultiheadAttention` is `extend`,
    for sequences that are made up position by position.

    Raises ValueError where the heads can't share `embed_dim` evenly.

    >>> attention = CausalSelfAttention(4, 2)
    >>> len(attention([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]))
    3
    """

    example_dims = 2

    def __init__(
        self, embed_dim: int, num_heads: int, bias: bool = True, *, rng: Rng = random
    ) -> None:
        _check_heads(embed_dim, num_heads)
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
        keys, values = zip(*cache, strict=True)
        return self.output(_attended(query, keys, values, (), self.num_heads)[0])


class MultiheadAttention(Module):
    """Attention of the positions of one sequence to those of another, or to its own (Vaswani et al.
    2017), with PyTorch's parameters.

    `in_proj_weight` and `in_proj_bias` make queries, keys and values, a third of their rows each;
    `out_proj` mixes the heads. Called with (query, key, value), three sequences of positions of
    `embed_dim` numbers, for self-attention the same one, it returns the outputs at the positions of
    `query`, and the shares that each gives to those of `key`: the mean over heads, or a list for
    each head without `average_attn_weights`, or None without `need_weights`. While training, shares
    go through `dropout`. `batch_first` changes nothing, as there is no batch.

    `attn_mask` has a row for each query and an entry for each key, `key_padding_mask` an entry for
    each key: True (also a comparison, such as token == 0) where it is not to be seen, or a number
    that is added to the score. With `is_causal` a position sees none after it; no mask is needed.

    Raises ValueError where the heads can't share `embed_dim` evenly, for masks of another shape and
    for a query that sees nothing; TypeError for what is no sequence.

    >>> x = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> output, shares = MultiheadAttention(2, 1)(x, x, x, is_causal=True)
    >>> len(output), shares[0][1:]  # of the first position, to those after it
    (3, [0.0, 0.0])
    """

    example_dims = 2

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        batch_first: bool = False,
        rng: Rng = random,
    ) -> None:
        _check_heads(embed_dim, num_heads)
        Dropout(dropout)  # which raises for what is no probability
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.bias, self.batch_first = bias, batch_first
        self.in_proj_weight = xavier_uniform_(fresh(float, 3 * embed_dim, embed_dim), rng=rng)
        self.in_proj_bias = fresh(float, 3 * embed_dim) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, rng=rng)
        zeros_(self.out_proj.bias or [])

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[list[Any], list[Any] | None]:
        """Return the outputs, and the shares or None: see the class."""
        queries, keys, values = map(self._projected, range(3), (query, key, value))
        length = len(keys)
        rows = [[0.0] * length] * len(queries) if attn_mask is None else attn_mask
        padding = [0.0] * length if key_padding_mask is None else key_padding_mask
        fits = has_shape(rows, len(queries), length) and has_shape(padding, length)
        if len(values) != length or not fits:
            raise ValueError(
                f"MultiheadAttention: {len(queries)} queries and {length} keys need as many values "
                f"as keys, an attn_mask of {len(queries)} x {length} and a key_padding_mask of "
                f"{length}, not {len(values)}, {attn_mask!r:.80} and {key_padding_mask!r:.80}"
            )
        outputs, weights = [], []
        for t, (q, row) in enumerate(zip(queries, rows, strict=True)):
            after = [is_causal and s > t for s in range(length)]
            added = [engine.sum(map(_addend, x)) for x in zip(after, row, padding, strict=True)]
            seen = [s for s, x in enumerate(added) if not (isinstance(x, float) and x == -math.inf)]
            if not seen:
                raise ValueError(
                    f"MultiheadAttention: query {t} is to see no key, and needs one at least"
                )
            own_keys, own_values, own_added = (
                [of[s] for s in seen] for of in (keys, values, added)
            )
            dropout = self.dropout * self.training
            mixed, shares = _attended(q, own_keys, own_values, own_added, self.num_heads, dropout)
            outputs.append(self.out_proj(mixed))
            by_key = [dict(zip(seen, head, strict=True)) for head in shares]
            weights.append([[of.get(s, 0.0) for s in range(length)] for of in by_key])
        if not need_weights:
            return outputs, None
        if average_attn_weights:
            return outputs, [[*map(engine.mean, zip(*heads, strict=True))] for heads in weights]
        return outputs, [[*by_query] for by_query in zip(*weights, strict=True)]

    def _projected(self, third: int, x: Any) -> list[list[Any]]:
        """What a third of the weights makes of each position."""
        own = slice(third * self.embed_dim, (third + 1) * self.embed_dim)
        bias = self.in_proj_bias and self.in_proj_bias[own]
        return [
            affine(self.in_proj_weight[own], bias, position)
            for position in positions(type(self).__name__, x, self.embed_dim)
        ]


def _check_heads(embed_dim: int, num_heads: int) -> None:
    if whole("embed_dim", embed_dim, 1) % whole("num_heads", num_heads, 1):
        raise ValueError(f"{num_heads} heads can't share {embed_dim} numbers evenly")


def _addend(mask: Any) -> Any:
    """What a mask's entry adds to a score."""
    return mask if isinstance(mask, Value | float) else engine.where(mask, -math.inf, 0.0)


def _attended(
    query: list[Any],
    keys: Sequence[Any],
    values: Sequence[Any],
    added: Sequence[Any],
    heads: int,
    dropout: float = 0.0,
) -> tuple[list[Any], list[list[Any]]]:
    """What the heads mix of the values, one after the other, and the shares by which each does."""
    width = len(query) // heads
    mixed: list[Any] = []
    shares: list[list[Any]] = []
    for first in range(0, len(query), width):
        part = slice(first, first + width)
        scores = [engine.dot(query[part], key[part]) / math.sqrt(width) for key in keys]
        if any(isinstance(x, Value) or x != 0.0 for x in added):
            scores = [score + x for score, x in zip(scores, added, strict=True)]
        shares.append(engine.softmax(scores))
        if dropout:
            shares[-1] = Dropout(dropout)(shares[-1])
        columns = zip(*[value[part] for value in values], strict=True)
        mixed += [engine.dot(shares[-1], column) for column in columns]
    return mixed, shares
