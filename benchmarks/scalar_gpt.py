"""A GPT in plain Python, for any class of scalars that has + * ** log exp relu, data and grad.

Nothing here knows of gradloom: with `PlainValue` (plain_scalar) or with `engine.Value` it computes
the same. The model is that of `gradloom run names-gpt`: one layer, 16 wide, 4 heads, 16 positions.

Two things keep such code from being compiled for all documents at once: a look-up by a plain index,
and a softmax that reads `.data`. They are arguments, `look_up` and `softmax`, in whose place
`engine.take` and `engine.softmax` may be given.
"""

from __future__ import annotations

import itertools
import operator

WIDTH, HEADS, CONTEXT, TOKENS = 16, 4, 16, 27
EDGE = TOKENS - 1  # the token that begins and ends a name
SIZES = {
    "tokens": (TOKENS, WIDTH),
    "positions": (CONTEXT, WIDTH),
    "query": (WIDTH, WIDTH),
    "key": (WIDTH, WIDTH),
    "value": (WIDTH, WIDTH),
    "mix": (WIDTH, WIDTH),
    "widen": (4 * WIDTH, WIDTH),
    "narrow": (WIDTH, 4 * WIDTH),
    "head": (TOKENS, WIDTH),
}
RATE, BETA1, BETA2, EPS = 0.01, 0.85, 0.99, 1e-8


def make_parameters(Value, rng):
    """Return the matrices by name, lists of rows, drawn from N(0, 0.08²)."""
    return {
        name: [[Value(rng.gauss(0.0, 0.08)) for _ in range(columns)] for _ in range(rows)]
        for name, (rows, columns) in SIZES.items()
    }


def flat(parameters):
    """Return all scalars of the matrices in one list."""
    return [p for matrix in parameters.values() for row in matrix for p in row]


def encoded(name):
    """Return the tokens of a name, with those that begin and end it."""
    return [EDGE, *(ord(letter) - ord("a") for letter in name), EDGE]


def times(matrix, x):
    return [sum(w * xi for w, xi in zip(row, x, strict=True)) for row in matrix]


def normed(x):
    mean_square = sum(xi * xi for xi in x) / len(x)
    scale = (mean_square + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def plain_softmax(scores):
    largest = max(score.data for score in scores)
    powers = [(score - largest).exp() for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def next_scores(parameters, token, keys, values, look_up, softmax):
    """Return the score of each token for coming next; keys and values get one entry more."""
    embedded = look_up(parameters["tokens"], token)
    place = parameters["positions"][len(keys)]
    x = normed([a + b for a, b in zip(embedded, place, strict=True)])

    before = x
    x = normed(x)
    query = times(parameters["query"], x)
    keys.append(times(parameters["key"], x))
    values.append(times(parameters["value"], x))
    size = WIDTH // HEADS
    heads = []
    for first in range(0, WIDTH, size):
        q = query[first : first + size]
        ks = [key[first : first + size] for key in keys]
        vs = [value[first : first + size] for value in values]
        products = [sum(a * b for a, b in zip(q, k, strict=True)) for k in ks]
        shares = softmax([product / size**0.5 for product in products])
        heads += [sum(s * v[j] for s, v in zip(shares, vs, strict=True)) for j in range(size)]
    x = [a + b for a, b in zip(times(parameters["mix"], heads), before, strict=True)]

    before = x
    hidden = [h.relu() for h in times(parameters["widen"], normed(x))]
    x = [a + b for a, b in zip(times(parameters["narrow"], hidden), before, strict=True)]
    return times(parameters["head"], x)


def document_loss(parameters, tokens, look_up=operator.getitem, softmax=plain_softmax):
    """Return the mean over positions of -log of the probability of the token that came next."""
    keys, values, losses = [], [], []
    for token, target in itertools.pairwise(tokens[: CONTEXT + 1]):
        scores = next_scores(parameters, token, keys, values, look_up, softmax)
        losses.append(-look_up(softmax(scores), target).log())
    return sum(losses) / len(losses)


def train(parameters, documents):
    """Make one update of Adam a document, at a falling rate; return the losses before them."""
    weights = flat(parameters)
    first, second = [0.0] * len(weights), [0.0] * len(weights)
    losses = []
    for step, tokens in enumerate(documents):
        loss = document_loss(parameters, tokens)
        loss.backward()
        losses.append(loss.data)
        rate = RATE * (1 - step / len(documents))
        for i, p in enumerate(weights):
            first[i] = BETA1 * first[i] + (1 - BETA1) * p.grad
            second[i] = BETA2 * second[i] + (1 - BETA2) * p.grad**2
            mean = first[i] / (1 - BETA1 ** (step + 1))
            square = second[i] / (1 - BETA2 ** (step + 1))
            p.data -= rate * mean / (square**0.5 + EPS)
            p.grad = 0
    return losses


def made_up(parameters, rng, temperature=0.5):
    """Return the tokens of a new name, drawn one by one."""
    keys, values, tokens = [], [], [EDGE]
    while len(keys) < CONTEXT and (len(tokens) == 1 or tokens[-1] != EDGE):
        scores = next_scores(parameters, tokens[-1], keys, values, operator.getitem, plain_softmax)
        shares = plain_softmax([score / temperature for score in scores])
        tokens.append(rng.choices(range(TOKENS), [share.data for share in shares])[0])
    return tokens
