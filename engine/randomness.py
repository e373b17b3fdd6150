"""Random numbers that a replay draws anew and that no order of evaluation changes.

A draw is a hash of four counters: the seed, the step, the example, and the number of the call
within the evaluation of one example. So an eager loop over examples, a compiled batch in any
chunks, and a run that was resumed all draw the same numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

_MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / the golden ratio: splitmix64's increment
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB


class _Stream(threading.local):
    seed: int = 0
    step: int = 0
    example: int = 0
    call: int = 0


stream = _Stream()


def manual_seed(seed: int) -> None:
    """Start the draws of `engine.random` in this thread anew, from a whole number.

    Every thread has a stream of its own, which begins with seed 0. Raises TypeError for a seed
    that is no whole number.

    >>> from engine import manual_seed, random
    >>> manual_seed(7)
    >>> first = random().data
    >>> manual_seed(7)
    >>> random().data == first
    True
    """
    if not isinstance(seed, int):
        raise TypeError(f"a seed is a whole number, not {seed!r}")
    stream.seed, stream.step, stream.example, stream.call = seed, 0, 0, 0


def drawing(seed: int, step: int, example: int = 0) -> AbstractContextManager[None]:
    """Set the counters for a while: `nn.fit` does so for every step and example."""
    return redrawing((seed, step, example, 0))


def counters() -> tuple[int, int, int, int]:
    """Return where this thread's stream is, for `redrawing`."""
    return (stream.seed, stream.step, stream.example, stream.call)


@contextmanager
def redrawing(at: tuple[int, int, int, int]) -> Iterator[None]:
    """Draw again from where the stream was, and leave it as it is now."""
    before = counters()
    stream.seed, stream.step, stream.example, stream.call = at
    try:
        yield
    finally:
        stream.seed, stream.step, stream.example, stream.call = before


def step_to_run() -> int:
    """The step that a compiled run draws in: this one, or the next, if this has begun."""
    return stream.step + (stream.call > 0)


def begin_step(step: int) -> None:
    """Have what is drawn next be the first of a step."""
    stream.step, stream.call = step, 0


def next_draw() -> float:
    """Return the next number of this thread's stream."""
    number = draw(stream.seed, stream.step, stream.example, stream.call)
    stream.call += 1
    return number


def mix(z: int) -> int:
    """Return a well-stirred 64-bit number: the finaliser of splitmix64 (Steele et al. 2014)."""
    z = (z + GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * MIX_1) & _MASK
    z = ((z ^ (z >> 27)) * MIX_2) & _MASK
    return z ^ (z >> 31)


def draw(seed: int, step: int, example: int, call: int) -> float:
    """Return a number in [0, 1) of 53 random bits, the same for the same counters.

    >>> draw(0, 0, 0, 0) == draw(0, 0, 0, 0) != draw(0, 0, 0, 1)
    True
    """
    z = 0
    for counter in (seed, step, example, call):
        z = mix(z ^ (counter & _MASK))
    return (z >> 11) * 2.0**-53
