"""`products` on arrays, for the many sums of a wide level: the same blocks, in NumPy.

Sums with as many products are the rows of one array; those with as many rows and columns in a
group of equal right-hand sides are one array of three dimensions, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.compiled.blocks import Array, L, S
from engine.compiled.lift.rows import Rows, dots, is_run, product
from engine.compiled.lift.sums import Sums, told
from engine.compiled.lift.terms import BIAS, FLAGS, INIT, MATRIX, NODE, PRODUCT, SINGLE, ZERO


@dataclass(slots=True)
class _Matrix:
    """As `products.Matrix`: `left` is (rows, inner), `rights` (columns, inner), and `outputs`
    (rows, columns) are numbers of sums. `first` is where the first of these stands in its level."""

    first: int
    left: Array
    rights: Array
    outputs: Array


def emit_sums(rows: Rows, sums: Sums, space: int, members: Array) -> None:
    """Sums of one level: matrix products where right-hand sides are shared, else dots."""
    numbers = sums.of_node[members]
    own = sums.field(FLAGS)[numbers] & MATRIX > 0
    matrices = _matrices(sums, space, numbers[own])
    others = [m.outputs.ravel() for m in matrices if not _emit_matrix(rows, sums, space, m)]
    left = np.concatenate([numbers[~own], *others])
    products = sums.field(PRODUCT)[left + 1] - sums.field(PRODUCT)[left]
    singles = sums.field(SINGLE)[left + 1] - sums.field(SINGLE)[left]
    singles = singles + (sums.field(BIAS)[left] >= 0) + (sums.field(INIT)[left] >= 0)
    form = np.stack([products, singles, sums.field(FLAGS)[left] & ZERO], axis=1)
    for which in _equal(form):
        _emit_dots(rows, sums, space, left[which])


def _matrices(sums: Sums, space: int, numbers: Array) -> list[_Matrix]:
    """The matrix products that sums make, in the order of the first sum of each."""
    found: list[_Matrix] = []
    counts = sums.field(PRODUCT)[numbers + 1] - sums.field(PRODUCT)[numbers]
    for inner in np.unique(counts).tolist():
        at = np.flatnonzero(counts == inner)
        place = sums.field(PRODUCT)[numbers[at]][:, None] + np.arange(inner)
        # each sum's products in the order of right factors, then of left ones
        pairs = np.sort(sums.right[place].astype(np.int64) << 32 | _above(sums.left[place]), axis=1)
        right, left = pairs >> 32, (pairs & 0xFFFFFFFF) - (1 << 31)
        zero, init, bias = (sums.field(x)[numbers[at]] for x in (FLAGS, INIT, BIAS))
        given = (zero & ZERO) * 2 + (init >= 0) * 2 + (bias >= 0)
        groups = _equal(np.column_stack([given, right]))
        sizes = np.array([len(group) for group in groups])
        for size in np.unique(sizes).tolist():
            group = np.array([g for g in groups if len(g) == size])  # (groups, rows)
            first = group[:, 0]
            found += _merged(sums, space, numbers[at[group]], left[group], right[first], at[first])
    return sorted(found, key=lambda matrix: matrix.first)


def _above(numbers: Array) -> Array:
    """Numbers that may be negative as ones that are not, in the same order."""
    return numbers.astype(np.int64) + (1 << 31)


def _merged(
    sums: Sums, space: int, numbers: Array, left: Array, right: Array, first: Array
) -> Iterator[_Matrix]:
    """Merge groups with equal matrices. `left` is (groups, rows, inner), `right` (groups, inner).

    Rows and columns of a group are put into an order that depends on the matrix alone.
    """
    inner = left.shape[2]
    keys = [left.sum(axis=2), left.min(axis=2)]
    order = np.lexsort(keys, axis=1)
    if _has_ties([np.take_along_axis(key, order, 1) for key in keys]):
        order = np.lexsort([left[:, :, j] for j in range(inner - 1, -1, -1)] + keys, axis=1)
    left = np.take_along_axis(left, order[:, :, None], 1)
    numbers = np.take_along_axis(numbers, order, 1)
    order = np.argsort(left[:, 0], axis=1, kind="stable")
    if _has_ties([np.take_along_axis(left[:, 0], order, 1)]):
        order = np.lexsort([left[:, k] for k in range(left.shape[1] - 1, -1, -1)], axis=1)
    left = np.take_along_axis(left, order[:, None, :], 2)
    right = np.take_along_axis(right, order, 1)
    given = sums.field(FLAGS)[numbers[:, 0]] & ZERO, sums.field(INIT)[numbers[:, 0]] >= 0
    key = [*(x[:, None] for x in given), (sums.field(BIAS)[numbers[:, :1]] >= 0)]
    # In S a bias may differ from column to column: then it is added like an init.
    key += [sums.field(BIAS)[numbers]] if space == L else []
    for which in _equal(np.hstack([*key, left.reshape(len(left), -1)])):
        yield _Matrix(int(first[which[0]]), left[which[0]], right[which], numbers[which].T)


def _has_ties(keys: list[Array]) -> bool:
    """Whether neighbours in some row are equal in all keys."""
    return bool(np.all([key[:, 1:] == key[:, :-1] for key in keys], axis=0).any())


def _equal(table: Array) -> list[Array]:
    """Which rows of a table are equal: their places, in the order of the first of each."""
    if not len(table):
        return []
    # Rows are told apart by a hash, and by themselves where two have the same one.
    factors = np.random.default_rng(0).integers(1, 1 << 62, table.shape[1]) | 1
    with np.errstate(over="ignore"):
        mixed = ((table.astype(np.int64) ^ 0x5851F42D) * factors).sum(axis=1)
        mixed = mixed ^ (mixed >> 29)
    _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
    if not np.array_equal(table[first][which], table):
        _, first, which = np.unique(table, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(which.ravel()))[:-1])
    return [parts[k] for k in np.argsort(first).tolist()]


def _emit_matrix(rows: Rows, sums: Sums, space: int, matrix: _Matrix) -> bool:
    """Emit a matrix product; not if dots are as good, since each number is used but once."""
    row, signed = rows.row, _signed(rows.row, matrix.left)
    # Matrix rows in the order of their numbers' rows; likewise the columns of the product.
    order = np.argsort(signed[:, 0], kind="stable")
    left = signed[order].ravel()
    (n, inner), cols = matrix.left.shape, len(matrix.rights)
    if space == S and min(n, cols) == 1 and (n == cols or not is_run(left)):
        return False
    places = np.argsort(row[matrix.rights[:, 0]], kind="stable")
    right = row[matrix.rights[places].T].ravel()
    outputs = matrix.outputs[order][:, places]
    bias = init = -1
    if sums.field(BIAS)[outputs[0, 0]] >= 0:
        biases = row[sums.field(BIAS)[outputs]]
        if (biases == biases[:, :1]).all():
            bias = rows.contiguous(S, biases[:, 0])
        else:  # it goes by columns, not by rows
            init = rows.contiguous(S, biases.ravel())
    if sums.field(INIT)[outputs[0, 0]] >= 0:
        init = rows.contiguous(space, rows.rows_in(space, sums.field(INIT)[outputs].ravel()))
    a, b = rows.contiguous(S, left), rows.contiguous(space, right)
    out = rows.give(space, sums.field(NODE)[outputs].ravel())
    flags = told(int(np.bitwise_or.reduce(sums.field(FLAGS)[outputs], axis=None)))
    rows.append(product(space, out, (n, inner, cols), (a, b, bias, init), flags))
    return True


def _emit_dots(rows: Rows, sums: Sums, space: int, numbers: Array) -> None:
    """Sums of as many products and single terms, row by row."""
    products = int(sums.field(PRODUCT)[numbers[0] + 1] - sums.field(PRODUCT)[numbers[0]])
    place = (sums.field(PRODUCT)[numbers][:, None] + np.arange(products)).ravel()
    alone = sums.field(SINGLE)[numbers + 1] - sums.field(SINGLE)[numbers]
    ends = np.stack([sums.field(BIAS)[numbers], sums.field(INIT)[numbers]], axis=1)
    single = np.zeros((len(numbers), int(alone[0] + (ends[0] >= 0).sum())), np.int64)
    for count in np.unique(alone).tolist():  # the rest are a bias, an init or both
        own = alone == count
        first = sums.field(SINGLE)[numbers[own]]
        single[own, :count] = sums.singles[first[:, None] + np.arange(count)]
        rest = ends[own]
        single[own, count:] = rest[rest >= 0].reshape(len(rest), -1)
    lists = []
    for operands in (sums.left[place], sums.right[place], single.ravel()):
        found = rows.rows_in(space, np.where(operands >= 0, operands, ~operands))
        lists.append(rows.listed(np.where(operands >= 0, found, ~np.asarray(found))))
    out = rows.give(space, sums.field(NODE)[numbers])
    flags = told(int(np.bitwise_or.reduce(sums.field(FLAGS)[numbers])))
    rows.append(dots(space, out, len(numbers), products, single.shape[1], lists, flags))


def _signed(row: Array, nodes: Array) -> Array:
    return np.where(nodes >= 0, row[np.maximum(nodes, ~nodes)], ~row[np.maximum(nodes, ~nodes)])
