"""Products and sums over matrices, in tiles whose totals stay in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.compiled.native.function import Function
from engine.compiled.native.layout import Layout
from engine.compiled.native.numbers import Lanes

Row = Callable[[Any, int, int], Lanes]  # numbers from a place on: how many, and which are used

_UNROLLED = 128  # multiplications up to which a product is written without loops


def products(
    e: Layout,
    f: Function,
    n: int,
    inner: int,
    columns: int,
    left: Callable[[Any, Any], Lanes],
    right: Callable[[Any, Any, int, int], Lanes],
    start: Callable[[Any, Any, int, int], Lanes | None],
    finish: Callable[[Lanes, Any, Any, int, int], None],
) -> None:
    """For all i and c: finish(start(i, c) + Σ_j left(i, j) * right(j, c)), in tiles whose
    sums stay in registers."""
    strips = e.strips(columns)
    full = columns // e.vector
    group = 2 if full > 1 else 1
    unrolled = n * inner * len(strips) <= _UNROLLED

    def tile(i: Any, rows: int, c: Any, pieces: Sequence[tuple[int, int, int]]) -> None:
        places = [(i + k, c + o, w, u) for k in range(rows) for o, w, u in pieces]
        sums = [start(*place) for place in places]

        def step(j: Any, *totals: Lanes | None) -> list[Lanes]:
            block = [right(j, c + o, w, u) for o, w, u in pieces]
            out = []
            for k in range(rows):
                x = left(i + k, j)
                for s, y in enumerate(block):
                    product = f.widened(x, y.width) * y
                    total = totals[k * len(pieces) + s]
                    out.append(product if total is None else total + product)
            return out

        if inner * rows * len(pieces) <= _UNROLLED // 2:
            for j in range(inner):
                sums = list(step(j, *sums))
            ended = sums
        else:
            begun = [
                f.literal(-0.0, w) if x is None else x
                for x, (_, _, w, _) in zip(sums, places, strict=True)
            ]
            ended = list(f.loop(inner, step, begun))
        for x, place in zip(ended, places, strict=True):
            assert x is not None
            finish(x, *place)

    def rows_of(c: Any, pieces: Sequence[tuple[int, int, int]]) -> None:
        def some(i: Any, rows: int) -> None:
            tile(i, rows, c, pieces)

        _evenly(f, n, e.totals // len(pieces), some, unrolled)

    groups, step = full // group, group * e.vector
    pieces = [(k * e.vector, e.vector, e.vector) for k in range(group)]
    f.loop(groups * step, lambda c: rows_of(c, pieces), step=step, unrolled=unrolled)
    if rest := strips[groups * group :]:
        rows_of(0, rest)


def reductions(
    e: Layout,
    f: Function,
    n: int,
    m: int,
    length: int,
    left: Callable[[Any], Row | None],
    right: Callable[[Any], Row],
    put: Callable[[Any, Any, Lanes, int], None],
) -> None:
    """For all i and j: put(i, j, Σ_c left(i)(c) * right(j)(c)), for several j at once. Where `left`
    gives None, the right-hand sides are summed."""
    strips = e.strips(length)
    full = length // e.vector
    width = strips[0][1]
    if full and len(strips) > full:  # a rest is read with the width of the others
        strips[-1] = (strips[-1][0], e.vector, strips[-1][2])
    across = 4 if n > 1 else width
    unrolled = n * m * len(strips) <= _UNROLLED

    def tile(i: Any, height: int, j: Any, across: int) -> None:
        xs, ys = [left(i + k) for k in range(height)], [right(j + q) for q in range(across)]

        def step(c: Any, *totals: Lanes, used: int = e.vector, w: int = width) -> list[Lanes]:
            own = [x and x(c, w, used) for x in xs]
            out: list[Lanes] = []
            for y in ys:
                other = y(c, w, used)
                for x in own:
                    product = other if x is None else x * other
                    out.append(totals[len(out)] + product if totals else product)
            return out

        sums: list[Lanes] = []
        if full * height * across <= _UNROLLED:
            for o, w, used in strips:
                sums = step(f.index(o), *sums, used=used, w=w)
        else:
            zeros = [f.literal(-0.0, width)] * (height * across)
            sums = f.loop(full * e.vector, step, zeros, step=e.vector)
            for o, w, used in strips[full:]:
                sums = step(f.index(o), *sums, used=used, w=w)
        for k in range(height):
            own = sums[k::height]
            if 1 < across <= width and across & (across - 1) == 0:
                put(i + k, j, f.sum_each(own), across)
            else:
                for q, total in enumerate(f.sums(own)):
                    put(i + k, j + q, total, 1)

    def of(j: Any, across: int) -> None:
        _evenly(f, n, e.totals // 4, lambda i, height: tile(i, height, j, across), unrolled)

    whole = m // across * across
    f.loop(whole, lambda j: of(j, across), step=across, unrolled=unrolled)
    if m > whole:
        of(whole, m - whole)


def _evenly(
    f: Function, n: int, most: int, body: Callable[[Any, int], None], unrolled: bool
) -> None:
    """Run body(i, rows) for n rows, in the fewest pieces of at most so many, of nearly one size."""
    pieces = -(-n // most)
    rows, larger = divmod(n, pieces)
    first = larger * (rows + 1)
    f.loop(first, lambda i: body(i, rows + 1), step=rows + 1, unrolled=unrolled)
    f.loop(n - first, lambda i: body(i + first, rows), step=rows, unrolled=unrolled)
