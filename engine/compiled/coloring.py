"""Colors for the columns of a sparse matrix, so that few products with vectors give all entries.

In: a pattern by rows. Out: a color for each column. Columns of one color are added up, and still
every entry stands alone somewhere: in its row (`color_columns`), or, where the matrix is
symmetric, in its row or in that of its mirror image (`color_symmetric`). The colors are greedy, in
the natural order and with the columns of most neighbours first; the fewer of the two are taken.

Gebremedhin, Manne and Pothen, "What Color Is Your Jacobian?", SIAM Review 47, 2005: partial
distance-2 coloring (section 3), star coloring (algorithm 4.1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.compiled.columns import Array
from engine.compiled.sequential import Ints, loop


def color_columns(starts: Array, columns: Array, count: int) -> Array:
    """Color `count` columns so that no row has two of one color. Row i has the entries from
    `starts[i]` to `starts[i + 1]`, in `columns`."""
    length = np.diff(starts)
    least = int(length.max(initial=0))
    if least == count:  # a full row: each column has a color of its own
        return np.arange(count, dtype=np.int32)
    up, rows = transposed(starts, columns, count)
    degree = np.add.reduceat(np.append(length[rows], 0), up[:-1]) * (np.diff(up) > 0)

    def color(order: Array) -> Array:
        colors, taken = np.full(count, -1, np.int32), np.full(count + 1, -1, np.int32)
        _color_columns.on_columns(len(columns))(
            starts, columns, up, rows, order, colors, taken, count
        )
        return colors

    return _best(color, degree, least)


def color_symmetric(starts: Array, columns: Array, count: int) -> Array:
    """Color the columns of a symmetric pattern so that neighbours differ, and every path of four
    has three colors at least."""
    rows = np.repeat(np.arange(count), np.diff(starts))
    beside = columns[columns != rows]
    degree = np.bincount(rows[columns != rows], minlength=count)
    first = np.append(0, np.cumsum(degree)).astype(np.int32)

    def color(order: Array) -> Array:
        colors, taken = np.full(count, -1, np.int32), np.full(count + 1, -1, np.int32)
        _color_stars.on_columns(len(columns))(first, beside, order, colors, taken, count)
        return colors

    return _best(color, degree, 2)


def transposed(starts: Array, columns: Array, count: int) -> tuple[Array, Array]:
    """The same pattern by columns, of which there are `count`."""
    rows = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
    up = np.append(0, np.cumsum(np.bincount(columns, minlength=count))).astype(np.int32)
    return up, rows[np.argsort(columns, kind="stable")]


def _best(color: Callable[[Array], Array], degree: Array, least: int) -> Array:
    natural = color(np.arange(len(degree), dtype=np.int32))
    if natural.max(initial=-1) < least:
        return natural
    largest_first = color(np.argsort(-degree, kind="stable").astype(np.int32))
    return min(natural, largest_first, key=lambda colors: int(colors.max(initial=-1)))


@loop
def _color_columns(
    starts: Ints,
    columns: Ints,
    up: Ints,
    rows: Ints,
    order: Ints,
    colors: Ints,
    taken: Ints,
    count: int,
) -> int:
    """Give each column the first color that no column in its rows has; `taken` says for which
    column a color was last found to be taken."""
    for k in range(count):
        j = order[k]
        for r in range(up[j], up[j + 1]):
            row = rows[r]
            for e in range(starts[row], starts[row + 1]):
                other = colors[columns[e]]
                if other >= 0:
                    taken[other] = j
        color = 0
        while taken[color] == j:
            color += 1
        colors[j] = color
    return 0


@loop
def _color_stars(
    starts: Ints, beside: Ints, order: Ints, colors: Ints, taken: Ints, count: int
) -> int:
    """Give each vertex v the first color that its neighbours w lack, and that makes no path
    v, w, x, y of two colors."""
    for k in range(count):
        v = order[k]
        for e in range(starts[v], starts[v + 1]):
            w = beside[e]
            if colors[w] >= 0:
                taken[colors[w]] = v
            for d in range(starts[w], starts[w + 1]):
                x = beside[d]
                if x == v or colors[x] < 0 or taken[colors[x]] == v:
                    continue
                if colors[w] < 0:
                    taken[colors[x]] = v
                    continue
                for c in range(starts[x], starts[x + 1]):
                    if beside[c] != w and colors[beside[c]] == colors[w]:
                        taken[colors[x]] = v
                        break
        color = 0
        while taken[color] == v:
            color += 1
        colors[v] = color
    return 0
