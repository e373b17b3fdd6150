"""Long tables of operations as texts: what comes again and again is written once."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from engine.compiled.periods import FEWEST, left, periods, runs, stretches

_LEAST = 50  # operations that are written as a loop
_WIDTH = 96
Operation = tuple[str, tuple[int, ...]]  # its row of the operation table, and where operands are


def table_text(operations: Sequence[Operation]) -> str:
    """A list of tuples, as Python has it."""
    lines: list[str] = []
    place = 0
    for first, count, period in [*_loops(operations), (len(operations), 0, 0)]:
        if first > place:
            plain = " ".join(f"{_tuple(x)}," for x in operations[place:first])
            lines += textwrap.wrap(plain, _WIDTH, break_long_words=False)
        if count:
            body = zip(*(operations[first + k * period :][:period] for k in range(2)), strict=True)
            lines += ["*(", "    row", f"    for t in range({count})", "    for row in ("]
            lines += [f"        {_moving(*pair)}," for pair in body]
            lines += ["    )", "),"]
        place = first + count * period
    return "[\n" + textwrap.indent("\n".join(lines), "    ") + "\n]"


def _loops(operations: Sequence[Operation]) -> Iterator[tuple[int, int, int]]:
    """Where operations begin to come again with places that move on evenly, how often they come,
    and how many they are."""
    known: dict[object, int] = {}
    names = [known.setdefault((row, len(places)), len(known)) for row, places in operations]
    words = np.array(names, np.uint64)
    if len(words) < _LEAST:
        return
    period = min(periods(words), key=lambda p: left(words, p, _LEAST), default=0)
    for first, last in runs(words, period, _LEAST) if period else []:
        count = (last - first) // period
        steps = np.diff(
            [
                [place for _, places in operations[k : k + period] for place in places]
                for k in range(first, first + count * period, period)
            ],
            axis=0,
        )
        for begin, end in stretches((steps == np.median(steps, axis=0)).all(axis=1)):
            if end - begin + 1 >= FEWEST:
                yield first + begin * period, end - begin + 1, period


def _tuple(operation: Operation) -> str:
    row, places = operation
    return f'("{row}", {", ".join(map(str, places))})'


def _moving(operation: Operation, later: Operation) -> str:
    """An operation of iteration t, by those of the first two."""
    row, places = operation
    terms = []
    for place, other in zip(places, later[1], strict=True):
        step = other - place
        sign = "-" if step < 0 else "+"
        times = "t" if abs(step) == 1 else f"{abs(step)} * t"
        terms.append(f"{place} {sign} {times}" if step else str(place))
    return f'("{row}", {", ".join(terms)})'
