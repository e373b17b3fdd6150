"""The way from a `Subject` to an answer: is the function there, is it steady, is an entry wrong?"""

from __future__ import annotations

import numpy as np

from engine.testing.diagnosis import diagnosed, unsteady
from engine.testing.search import Search, WrongGradientError
from engine.testing.subjects import Array, BadShapeError, Subject, defined, place


def wrong_gradient(subject: Subject, seed: int = 0) -> WrongGradientError | None:
    """What is wrong with the gradient of a subject, if anything is."""
    values = _values_at(subject)
    again = subject.values(subject.x)
    if not np.allclose(values, again, rtol=1e3 * subject.precision, atol=0.0):
        o = int(np.argmax(values != again))
        return WrongGradientError(
            subject,
            "random",
            f"Two calls of {subject.name} with the same numbers gave {values[o].item()!r} and "
            f"{again[o].item()!r}: it draws random numbers or remembers something; give it a seed",
        )
    looking = Search(subject, seed)
    try:
        wrong = looking.wrong_entries()
        return unsteady(looking, wrong) or (diagnosed(looking, wrong) if wrong else None)
    except BadShapeError as error:
        return WrongGradientError(subject, error.kind, f"{error}")


def _values_at(subject: Subject) -> Array:
    """The values at the point, which are asked to be there."""
    with defined(subject.name, subject.names, subject.x):
        values = subject.values(subject.x)
    if values.size == 0:
        raise TypeError(f"{subject.name} returned no numbers, so there is nothing to differentiate")
    if not np.isfinite(values).all():
        o = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"{subject.name} is not finite at {place(subject.names, subject.x)}: "
            f"{subject.outputs[o] or 'its result'} is {values[o].item()!r}; choose a point inside "
            "of its domain"
        )
    return values
