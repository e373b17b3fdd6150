"""Products: sums of one level become matrix products where they share their factors.

Sums with the same right-hand sides are the rows of a matrix, and such matrices that are equal are
one matrix product: so dense layers, weights shared over positions and convolutions are found. What
is left are sums of products, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from engine.compiled.blocks import L, S
from engine.compiled.lift.marks import Nodes
from engine.compiled.lift.rows import Rows, dots, is_run, product
from engine.compiled.lift.sums import Sums, told
from engine.compiled.lift.terms import BIAS, FLAGS, INIT, MATRIX, PRODUCT, SINGLE, ZERO


@dataclass(slots=True)
class Matrix:
    """A matrix product found: `left[k][j]` times `rights[q][j]`, summed over j, is part of the
    node `outputs[k][q]`. What is negative says the negative of ~left."""

    left: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]
    outputs: list[list[int]]


class Terms:
    """The terms of sums, as Python's numbers."""

    def __init__(self, nodes: Nodes, sums: Sums) -> None:
        self.sums = sums
        columns = [sums.of_node, sums.left, sums.right, sums.singles]
        columns += [sums.field(name) for name in (PRODUCT, SINGLE, BIAS, INIT, FLAGS)]
        viewed = [memoryview(x) if nodes.many else x for x in columns]
        self.of_node, self.left, self.right, self.singles = viewed[:4]
        self.product, self.single, self.bias, self.init, self.flags = viewed[4:]

    def products(self, k: int) -> tuple[list[int], list[int]]:
        """Left and right factors of sum k."""
        first, last = self.product[k], self.product[k + 1]
        return list(self.left[first:last]), list(self.right[first:last])

    def added(self, k: int) -> list[int]:
        """All terms of sum k that are no products."""
        found = list(self.singles[self.single[k] : self.single[k + 1]])
        return found + [x for x in (self.bias[k], self.init[k]) if x >= 0]


def emit_sums(rows: Rows, terms: Terms, space: int, members: Sequence[int]) -> None:
    """Sums of one level: matrix products where right-hand sides are shared, else dots."""
    dots: list[int] = []
    by_right: dict[tuple[int, ...], list[tuple[tuple[int, ...], int]]] = {}
    for i in members:
        k = terms.of_node[i]
        flags = terms.flags[k]
        if not flags & MATRIX:
            dots.append(i)
            continue
        left, right = terms.products(k)
        pairs = sorted(zip(right, left, strict=True))
        given = (flags & ZERO, terms.init[k] >= 0, terms.bias[k] >= 0)
        key = (*given, *[y for y, _ in pairs])
        by_right.setdefault(key, []).append((tuple([x for _, x in pairs]), i))
    for matrix in _merged(by_right, terms, space):
        if not _emit_matrix(rows, terms, space, matrix):
            dots += [i for outputs in matrix.outputs for i in outputs]
    by_form: dict[tuple[int, int, int], list[int]] = {}
    for i in dots:
        k = terms.of_node[i]
        products, added = terms.product[k + 1] - terms.product[k], terms.added(k)
        by_form.setdefault((products, len(added), terms.flags[k] & ZERO), []).append(i)
    for (products, singles, _), nodes in by_form.items():
        _emit_dots(rows, terms, space, products, singles, nodes)


def _merged(
    by_right: dict[tuple[int, ...], list[tuple[tuple[int, ...], int]]], terms: Terms, space: int
) -> list[Matrix]:
    """Merge groups with equal matrices. A group's rows and columns are put into an order that
    depends on the matrix alone, so that equal ones are recognised whatever they multiply."""
    found: dict[tuple[object, ...], Matrix] = {}
    for (zero, init, bias, *right), own in by_right.items():
        own.sort(key=lambda entry: (min(entry[0]), sum(entry[0]), entry[0]))
        columns = list(zip(*[left for left, _ in own], strict=True))
        order = sorted(range(len(right)), key=columns.__getitem__)
        left = [tuple([row[j] for j in order]) for row, _ in own]
        # In S a bias may differ from column to column: then it is added like an init.
        biases = tuple(terms.bias[terms.of_node[i]] for _, i in own) if space == L else ()
        key = (zero, init, bias, biases, *left)
        matrix = found.get(key)
        if matrix is None:
            matrix = found[key] = Matrix(left, [], [[] for _ in own])
        matrix.rights.append(tuple(right[j] for j in order))
        for outputs, (_, i) in zip(matrix.outputs, own, strict=True):
            outputs.append(i)
    return [*found.values()]


def _emit_matrix(rows: Rows, terms: Terms, space: int, matrix: Matrix) -> bool:
    """Emit a matrix product; not if dots are as good, since each number is used but once."""
    row = rows.row_at
    # Matrix rows in the order of their numbers' rows; likewise the columns of the product.
    order = sorted(range(len(matrix.left)), key=lambda k: _signed(row, matrix.left[k][0]))
    left = [_signed(row, x) for k in order for x in matrix.left[k]]
    if space == S and min(len(order), len(matrix.rights)) == 1:
        one = len(order) == len(matrix.rights) == 1
        if one or not is_run(left):
            return False
    places = sorted(range(len(matrix.rights)), key=lambda q: row[matrix.rights[q][0]])
    right = [row[matrix.rights[q][j]] for j in range(len(matrix.left[0])) for q in places]
    outputs = [matrix.outputs[k][q] for k in order for q in places]
    of = terms.of_node
    bias = init = -1
    biases = [[row[terms.bias[of[matrix.outputs[k][q]]]] for q in places] for k in order]
    if terms.bias[of[outputs[0]]] >= 0:
        if all(len({*of_row}) == 1 for of_row in biases):
            bias = rows.contiguous(S, [of_row[0] for of_row in biases])
        else:  # it goes by columns, not by rows
            init = rows.contiguous(S, [x for of_row in biases for x in of_row])
    if terms.init[of[outputs[0]]] >= 0:
        init = rows.contiguous(space, rows.rows_in(space, [terms.init[of[i]] for i in outputs]))
    a, b = rows.contiguous(S, left), rows.contiguous(space, right)
    out = rows.give(space, outputs)
    n, inner, cols = len(order), len(matrix.left[0]), len(places)
    flags = told(reduce(or_, [terms.flags[of[i]] for i in outputs]))
    rows.append(product(space, out, (n, inner, cols), (a, b, bias, init), flags))
    return True


def _emit_dots(
    rows: Rows, terms: Terms, space: int, products: int, singles: int, nodes: list[int]
) -> None:
    """Sums of so many products and single terms, row by row."""
    left: list[int] = []
    right: list[int] = []
    single: list[int] = []
    for i in nodes:
        of_left, of_right = terms.products(terms.of_node[i])
        left += of_left
        right += of_right
        single += terms.added(terms.of_node[i])
    lists = []
    for operands in (left, right, single):
        found = rows.rows_in(space, [max(x, ~x) for x in operands])
        signed = [r if x >= 0 else ~r for r, x in zip(found, operands, strict=True)]
        lists.append(rows.listed(signed))
    out = rows.give(space, nodes)
    flags = told(reduce(or_, [terms.flags[terms.of_node[i]] for i in nodes]))
    rows.append(dots(space, out, len(nodes), products, singles, lists, flags))


def _signed(row: Sequence[int], x: int) -> int:
    return row[x] if x >= 0 else ~row[~x]
