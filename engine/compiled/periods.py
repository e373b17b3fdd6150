"""Periods: at which distances words come again, and where they do so again and again."""

from __future__ import annotations

import numpy as np

from engine.compiled.blocks import Array

FEWEST = 8  # times that something is repeated
_LONGEST = 1_000  # a period
_LOOKED_AT = 1 << 14  # words among which periods are looked for
_GRAMS = (2, 8, 32, 128)  # words in a row that come again
_COST = 20  # words that a repetition costs to be written down, beside those of a period


def periods(words: Array) -> list[int]:
    """The distances at which some words in a row come again most often, in the middle of all."""
    middle = len(words) // 2
    grams = words[max(0, middle - _LOOKED_AT // 2) : middle + _LOOKED_AT // 2]
    found: dict[int, None] = {}
    length = 1
    for wanted in _GRAMS:
        while length < wanted and len(grams) > length:
            grams = grams[:-length] * np.uint64(0xBF58476D1CE4E5B9 + 2 * length) + grams[length:]
            length *= 2
        order = np.argsort(grams, kind="stable")
        again = grams[order[1:]] == grams[order[:-1]]
        distances = np.diff(order)[again]
        counts = np.bincount(distances[distances <= _LONGEST], minlength=1)
        found |= dict.fromkeys(k for k in np.argsort(-counts)[:3].tolist() if counts[k])
    return [*found]


def runs(words: Array, period: int, least: int) -> list[tuple[int, int]]:
    """Where words repeat with a period, often enough, and `least` words at least: from the first
    one up to an end."""
    same = np.concatenate([[False], words[period:] == words[:-period], [False]])
    edges = np.flatnonzero(np.diff(same)).reshape(-1, 2)
    long = edges[edges[:, 1] - edges[:, 0] >= max((FEWEST - 1) * period, least - period)]
    place, found = 0, []
    for first, last in long.tolist():
        first = max(first, place)  # what two runs share is of the first
        if last + period - first >= FEWEST * period:
            found.append((first, last + period))
            place = last + period
    return found


def left(words: Array, period: int, least: int) -> int:
    """How many words there are to be written down if these runs are written down once."""
    return len(words) - sum(
        last - first - period - _COST for first, last in runs(words, period, least)
    )


def stretches(holds: Array) -> list[tuple[int, int]]:
    """Where something holds: from the first place up to an end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]])))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
