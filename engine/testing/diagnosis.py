"""What is wrong with a gradient: changes of it that would make it right are tried.

In: a `Search` and the entries that it found. Out: a `WrongGradientError`. A change (another sign, a
factor, a transposition, a shift) counts if it makes the gradient agree with the differences in
directions that it was not found in, at other points, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.testing.search import (
    MOST_ENTRIES,
    Entry,
    Line,
    Search,
    Verdict,
    WrongGradientError,
    number,
)
from engine.testing.subjects import Array, place

_LISTED = 6  # wrong entries that a message names


def diagnosed(search: Search, wrong: Sequence[Entry]) -> WrongGradientError:
    """The error to raise for wrong entries, of which there is one at least."""
    # An entry that is wrong says more than one that can't be told.
    entry = min(wrong, key=lambda e: (not e.verdict.conclusive, e.verdict.found.kind == "jump"))
    where = ""
    found = _of_function(search, entry) if entry.input >= 0 else None
    if found is None:
        suspect = search.subject.suspect()
        found = _of_gradient(search, wrong, entry, suspect)
        where = suspect[1] if suspect else ""
    kind, text = found
    return _error(search, entry, kind, text, where)


def unsteady(search: Search, wrong: Sequence[Entry]) -> WrongGradientError | None:
    """A gradient that depends on more than x: on chance, or on what was computed before."""
    subject, weights = search.subject, search.weights
    if subject.fixed:
        return None
    before = search.pulled(weights)
    after = search.claimed(search.x, weights)
    if not _close(search, before, after):
        again = search.claimed(search.x, weights)
        j = int(np.argmax(before != after))
        numbers = f"{before[j].item()!r}, and later {after[j].item()!r}"
        name = subject.names[j]
        says = f"For the same x it gave {numbers}, by {name}"
        kind, text = "random", "it draws random numbers; give it a seed"
        if _close(search, after, again):
            kind = "stale"
            text = "it depends on what was computed before: a value kept from another point"
        return WrongGradientError(subject, kind, f"{says}: {text}", input=name)
    if wrong:
        return None
    [x] = _nearby(search, 1)
    try:
        elsewhere = search.claimed(x, weights)
    except (ArithmeticError, ValueError):
        return None
    same = np.array_equal(elsewhere, before)
    if same and any(not p.verdict.agrees for p in _probes(search, [x], weights=weights)):
        text = (
            f"At another point, {_point(search, x)}, it gives exactly what it gave before, which "
            "is wrong there: a value kept from the first call"
        )
        return WrongGradientError(subject, "stale", text)
    if not _close(search, search.claimed(search.x, weights), before):
        text = "Called at another point and then here again, it gives something else"
        return WrongGradientError(subject, "stale", f"{text}: a value kept from another call")
    return None


def _close(search: Search, a: Array, b: Array) -> bool:
    """Whether two gradients differ by rounding alone."""
    return np.allclose(a, b, rtol=1e3 * search.subject.precision, atol=0.0, equal_nan=True)


# --- the function is to blame -------------------------------------------------------------------


def _of_function(search: Search, entry: Entry) -> tuple[str, str] | None:
    verdict, found = entry.verdict, entry.verdict.found
    if found.kind == "jump":
        return "jump", (
            f"The function jumps there by {number(found.jump)}, so it has no derivative: check it "
            "at another point"
        )
    if found.kind == "steep":
        return "steep", "The function is infinitely steep there: its slope grows without bound"
    if not math.isfinite(verdict.given):
        return "not finite", f"The gradient is {verdict.given!r} where the function has a slope"
    if found.kind == "kink":
        return "kink", (
            f"The function has a kink there, with the slopes {number(found.low)} and "
            f"{number(found.high)}, and the gradient lies outside of them"
        )
    if not verdict.conclusive:
        return "noise", (
            f"The function's values are uncertain by about {found.best.noise:.1g}, which hides the "
            "slope: compute it in float64, tighten a solver inside, or check at larger numbers"
        )
    return None


# --- the gradient is --------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """A direction at a point, and the verdict on the claimed gradient in it."""

    x: Array
    weights: Array
    direction: Array
    gradient: Array
    verdict: Verdict


def _nearby(search: Search, count: int) -> list[Array]:
    """Points around x, each closer than the one before."""
    scale = 0.3 * search.scales()[0]
    return [search.x + search.random(scale) * 2.0**-k for k in range(count)]


def _probes(
    search: Search,
    points: Sequence[Array],
    *,
    weights: Array | None = None,
    direction: Array | None = None,
) -> Iterator[Probe]:
    """Directions at some points, drawn or given, where the function is smooth."""
    relative, _ = search.scales()
    for x in points:
        v = search.random(relative) if direction is None else direction
        w = search.weighting() if weights is None else weights
        try:
            if not np.isfinite(search.subject.values(x)).all():
                continue
            claimed = search.claimed(x, w)
        except (ArithmeticError, ValueError):
            continue
        verdict = search.verdict(Line(search.subject, x, v), v, claimed, w, search.ladder)
        if verdict.found.kind == "smooth" and verdict.conclusive and np.isfinite(claimed).all():
            yield Probe(x, w, v, claimed, verdict)


def _of_gradient(
    search: Search, wrong: Sequence[Entry], entry: Entry, suspect: tuple[str, str] | None
) -> tuple[str, str]:
    if suspect and suspect[0] == "detached":
        return "detached", "A part of the function is left out of the gradient"
    probes = list(_probes(search, [search.x, search.x, *_nearby(search, 3)]))
    refuted = [probe for probe in probes if not probe.verdict.agrees]
    if refuted and len(probes) > 2:
        found = (
            _factor(search, probes)
            or _transposed(search, probes)
            or _shifted(search, probes)
            or _proportional(search, probes)
        )
        if found:
            return found
    return (
        _branch(search, wrong, probes)
        or _local(search, wrong)
        or ("direction" if entry.input < 0 else "term", _off_by(entry))
    )


def _off_by(entry: Entry) -> str:
    if entry.input < 0:
        return (
            "Entry by entry it agrees, and in this direction it doesn't: the function is not "
            "differentiable there, though it has slopes along the axes"
        )
    missing = entry.verdict.found.best.value - entry.verdict.given
    return (
        f"A term is missing or wrong: it is off by {number(missing)}, and no factor, sign, "
        "transposition or shift explains it"
    )


def _factor(search: Search, probes: Sequence[Probe]) -> tuple[str, str] | None:
    surest = max(probes, key=lambda p: abs(p.verdict.given) / (p.verdict.tolerance + 1e-300))
    if surest.verdict.given == 0.0 or surest.verdict.agrees:
        return None
    c = surest.verdict.found.best.value / surest.verdict.given
    if c == 0.0 or not all(p.verdict.agrees_with(c * p.verdict.given) for p in probes):
        return None
    if math.isclose(c, -1.0, rel_tol=1e-3):
        return "sign", "It has the wrong sign, everywhere"
    return "factor", f"It is {_factor_words(search, c)}, everywhere"


def _factor_words(search: Search, c: float) -> str:
    """By what the claimed gradient is too large, if c times it is right."""
    rows = next((s[0] for s in search.subject.shapes if len(s) == 2), 0)
    sizes = {
        "that is the number of entries": float(len(search.x)),
        "that is the number of results": search.outputs,
        "that is the number of rows": rows,
    }
    sizes = {name: n for name, n in sizes.items() if n > 2}
    sizes |= {"a square or a half forgotten": 2.0, "degrees and radians": 180 / math.pi}
    size = math.fabs(c)
    text = f"{1 / size:.6g} times too large" if size < 1.0 else f"{size:.6g} times too small"
    if c < 0.0:
        text += ", and of the wrong sign"
    for name, n in sizes.items():
        if any(math.isclose(size, at, rel_tol=1e-3) for at in (n, 1.0 / n)):
            return f"{text} ({name})"
    return text


def _transposed(search: Search, probes: Sequence[Probe]) -> tuple[str, str] | None:
    if search.outputs == len(search.x) > 1 and search.outputs <= 64:

        def turned(p: Probe) -> Array:
            rows = np.array([search.claimed(p.x, w) for w in np.eye(search.outputs)])
            return rows @ p.weights

        if _all_agree(probes, turned):
            return "transposed", "It is the transpose of the Jacobian: rows belong to results"
    shapes = search.subject.shapes
    if any(len(s) == 2 and s[0] == s[1] > 1 for s in shapes):
        ends = np.cumsum([math.prod(s) for s in shapes])[:-1]

        def parts(p: Probe) -> Array:
            pieces = zip(np.split(p.gradient, ends), shapes, strict=True)
            return np.concatenate(
                [g.reshape(s).T.ravel() if len(s) == 2 and s[0] == s[1] else g for g, s in pieces]
            )

        if _all_agree(probes, parts):
            return "transposed", "The gradient by a square matrix is transposed"
    return None


def _all_agree(probes: Sequence[Probe], change: Callable[[Probe], Array]) -> bool:
    return all(p.verdict.agrees_with(float(change(p) @ p.direction)) for p in probes)


def _shifted(search: Search, probes: Sequence[Probe]) -> tuple[str, str] | None:
    if len(search.x) < 2 and search.outputs < 2:
        return None
    for by in (1, -1):
        text = (
            f"Its entries are one place too {'early' if by > 0 else 'late'}: an index is off by one"
        )
        if _all_agree(probes, lambda p, by=by: np.roll(p.gradient, by)):  # type: ignore[misc]
            return "off by one", text
        if search.outputs > 1 and _all_agree(
            probes,
            lambda p, by=by: search.claimed(p.x, np.roll(p.weights, -by)),  # type: ignore[misc]
        ):
            return "off by one", f"{text}, of the results"
        if len(search.x) > 3 and all(_inner_agree(search, p, by) for p in probes):
            return "off by one", f"{text}, and an end is missed"
    if _all_agree(probes, lambda p: p.gradient[::-1]):
        return "off by one", "Its entries are in the reverse order"
    return None


def _inner_agree(search: Search, p: Probe, by: int) -> bool:
    """Whether a shifted gradient agrees but for the ends."""
    direction = p.direction.copy()
    direction[[0, -1]] = 0.0
    line = Line(search.subject, p.x, direction)
    moved = np.roll(p.gradient, by)
    return search.verdict(line, direction, moved, p.weights, search.ladder).agrees


def _proportional(search: Search, probes: Sequence[Probe]) -> tuple[str, str] | None:
    """A term in x that is missing, as of a penalty on its square."""
    if search.outputs > 1 or len(search.x) < 2:
        return None
    missing = [
        (p.verdict.found.best.value - p.verdict.given, float(p.x @ p.direction)) for p in probes
    ]
    surest, at = max(missing, key=lambda pair: abs(pair[1]))
    c = surest / at if at else 0.0
    agree = all(
        p.verdict.agrees_with(p.verdict.given + c * along)
        for p, (_, along) in zip(probes, missing, strict=True)
    )
    if not agree or c == 0.0:
        return None
    return "missing", f"The term {c:.6g} · x is missing, as of a penalty on the square of x"


def _branch(
    search: Search, wrong: Sequence[Entry], probes: Sequence[Probe]
) -> tuple[str, str] | None:
    """Entries that are wrong only on one side of something; or a gradient right elsewhere."""
    bad = {e.input for e in wrong}
    good = {*range(len(search.x))} - bad
    if good and len(bad) > 1 and len(search.x) <= MOST_ENTRIES:
        x, b, g = search.x, list(bad), list(good)
        for sign in (1.0, -1.0):
            low, high = (sign * x[b]).max(), (sign * x[g]).min()
            if low < high and (low < 0.0 <= high or low <= 0.0 < high):
                side = "negative" if sign > 0 else "positive"
                return "branch", (
                    f"It is wrong where x is {side}, and right elsewhere: a branch is missing"
                )
    far = [] if all(p.verdict.agrees for p in probes) else [-search.x, 3.0 * search.x, search.x / 3]
    elsewhere = [p for p in (*probes, *_probes(search, far)) if p.x is not search.x]
    right = [p for p in elsewhere if p.verdict.agrees and p.gradient[[*bad]].all()]
    if right:
        return "branch", (
            f"It is right at another point, {_point(search, right[0].x)}: a branch is missing, or "
            "a case that only holds there"
        )
    return None


def _local(search: Search, wrong: Sequence[Entry]) -> tuple[str, str] | None:
    """What the wrong entries have in common."""
    entries = [e for e in wrong if e.verdict.conclusive and e.verdict.found.kind == "smooth"]
    if not entries or entries[0].input < 0:
        return None
    names = _names(search, entries)
    count = len(search.x)
    if all(e.verdict.given == 0.0 for e in entries):
        at_end = {e.input for e in entries} in ({0}, {count - 1}) and count > 2
        if at_end:
            return (
                "off by one",
                f"It is 0 by {names}, an end: an index is off by one, or it is left out",
            )
        return "missing", f"It is 0 by {names}, which the function depends on: a part is missing"
    c = entries[0].verdict.found.best.value / (entries[0].verdict.given or math.nan)
    if not c or not all(e.verdict.agrees_with(c * e.verdict.given) for e in entries):
        return None
    if not all(_holds(search, e, c) for e in entries[:4]):
        return None
    if math.isclose(c, -1.0, rel_tol=1e-3):
        return "sign", f"It has the wrong sign by {names}"
    return "factor", f"It is {_factor_words(search, c)} by {names}"


def _holds(search: Search, entry: Entry, c: float) -> bool:
    """Whether a factor makes an entry right at other points, too."""
    weights = np.eye(search.outputs)[entry.output]
    direction = np.zeros_like(search.x)
    direction[entry.input] = 1.0
    probes = _probes(search, _nearby(search, 3), weights=weights, direction=direction)
    verdicts = [probe.verdict for probe in probes]
    return all(v.agrees_with(c * v.given) for v in verdicts if v.given != 0.0)


# --- words ------------------------------------------------------------------------------------


def _error(search: Search, entry: Entry, kind: str, text: str, where: str) -> WrongGradientError:
    subject, found = search.subject, entry.verdict.found
    fields: dict[str, Any] = {
        "given": entry.verdict.given,
        "expected": found.best.value,
        "error": found.best.error,
        "step": found.best.step,
        "where": where,
    }
    if entry.input < 0:
        says = " in a direction"
    else:
        fields |= {"input": subject.names[entry.input], "output": subject.outputs[entry.output]}
        of = f" for {fields['output']}" if fields["output"] else ""
        says = f"{of} by {fields['input']} (= {search.x[entry.input].item()!r})"
    given = f": it is {number(entry.verdict.given)}"
    if found.kind == "kink":
        numbers = f"{given}, and differences give {_bar(found.left)} and {_bar(found.right)}"
    elif found.kind in ("steep", "jump"):
        numbers = given
    else:
        numbers = f"{given}, and differences give {_bar(found.best)}"
        exact = found.best.step < 1e-25
        numbers += " (a complex step)" if exact else f" (steps down to {found.best.step:.1g})"
    return WrongGradientError(subject, kind, text, numbers=says + numbers, **fields)


def _bar(slope: Any) -> str:
    return f"{number(slope.value)} ± {slope.error:.1g}"


def _names(search: Search, entries: Sequence[Entry]) -> str:
    names = list(dict.fromkeys(search.subject.names[e.input] for e in entries))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _point(search: Search, x: Array) -> str:
    return place(search.subject.names, x, 3, ".4g")
