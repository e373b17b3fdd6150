"""Matrix products, and their adjoints."""

from __future__ import annotations

from typing import Any

from engine.compiled.lift import Instruction, L, S
from engine.compiled.native import tiles
from engine.compiled.native.emit import Function, Lanes
from engine.compiled.native.layout import Layout, Rows, note_nan

_SMALL = 16  # multiplications up to which a product is written out row by row


def is_straight(e: Layout, i: Instruction) -> bool:
    """Whether a product is so small that it is written out with the single rows around it."""
    few = i.n * i.inner * i.cols <= _SMALL
    return i.kernel == "mm" and i.space == L and e.lanes > 1 and e.straight(L) and few


def _straight(e: Layout, f: Function, i: Instruction) -> None:
    rows = Rows(e, f, L, 0, e.lanes)
    for n in range(i.n):
        for c in range(i.cols):
            y = f.literal(0.0, e.lanes) if i.c & 1 else None
            terms = [f.widened(rows.read(i.bias + n, S), e.lanes)] if i.bias >= 0 else []
            if i.init >= 0:
                terms.append(rows.read(i.init + n * i.cols + c))
            for j in range(i.inner):
                weight = f.widened(rows.read(i.a + n * i.inner + j, S), e.lanes)
                terms.append(weight * rows.read(i.b + j * i.cols + c))
            for term in terms:
                y = term if y is None else y + term
            assert y is not None
            rows.write(i.out + n * i.cols + c, y)


def _straight_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    rows = Rows(e, f, L, 0, e.lanes)
    for n in range(i.n):
        for c in range(i.cols):
            g = rows.arrived(i.out + n * i.cols + c)
            if g is None:
                continue
            for j in range(i.inner):
                weight, x = i.a + n * i.inner + j, i.b + j * i.cols + c
                if flags & 1:
                    rows.add(weight, f.sums([g * rows.read(x)])[0], S)
                if flags & 2:
                    rows.add(x, f.widened(rows.read(weight, S), e.lanes) * g)
            if flags & 4:
                rows.add(i.bias + n, f.sums([g])[0], S)
            if flags & 8:
                rows.add(i.init + n * i.cols + c, g)


def mm(e: Layout, f: Function, i: Instruction) -> None:
    """bias + init + matrix @ block."""
    if is_straight(e, i):
        _straight(e, f, i)
        if i.c & 2:
            note_nan(e, f, e.values(L), i.out * e.lanes, i.n * i.cols * e.lanes)
        return
    n, inner, width = i.n, i.inner, e.width(i.space)
    columns, buffer = i.cols * width, e.values(i.space)
    block, out, init = i.b * width, i.out * width, i.init * width

    def begin(row: Any, c: Any, w: int, used: int) -> Lanes | None:
        total = f.literal(0.0, w) if i.c & 1 else None
        if i.bias >= 0:
            bias = f.widened(f.load("%vs", row + i.bias), w)
            total = bias if total is None else total + bias
        if i.init >= 0:
            place = row * columns + init + c
            x = f.load(buffer, place, w, used)
            total = x if total is None else total + x
        return total

    if columns == 1 and inner > 1:

        def put(_: Any, row: Any, total: Lanes, used: int) -> None:
            if i.c & 1:
                total = total + 0.0
            if i.bias >= 0:
                total = total + f.load("%vs", row + i.bias, total.width, used)
            if i.init >= 0:
                total = total + f.load(buffer, row + i.init, total.width, used)
            f.store(total, buffer, row + out, used)

        tiles.reductions(
            e,
            f,
            1,
            n,
            inner,
            lambda _, c, w, used: f.load(buffer, c + block, w, used),
            lambda row, c, w, used: f.load("%vs", row * inner + i.a + c, w, used, -0.0),
            put,
        )
    else:
        tiles.products(
            e,
            f,
            n,
            inner,
            columns,
            lambda row, j: f.load("%vs", row * inner + i.a + j),
            lambda j, c, w, used: f.load(buffer, j * columns + block + c, w, used),
            begin,
            lambda x, row, c, w, used: f.store(x, buffer, row * columns + out + c, used),
        )
    if i.c & 2:
        note_nan(e, f, buffer, out, n * columns)


def mm_back(e: Layout, f: Function, i: Instruction, flags: int) -> None:
    """The adjoints by the matrix, the block, the bias and the init."""
    if is_straight(e, i):
        _straight_back(e, f, i, flags)
        return
    n, inner, width = i.n, i.inner, e.width(i.space)
    columns = i.cols * width
    values, adjoints = e.values(i.space), e.adjoints(i.space)
    block, out = i.b * width, i.out * width

    def adjoint(row: Any, c: Any, w: int = 1, used: int = 1) -> Lanes:
        return f.load(adjoints, row * columns + out + c, w, used)

    def operand(j: Any, c: Any, w: int = 1, used: int = 1) -> Lanes:
        return f.load(values, j * columns + block + c, w, used)

    def weight(row: Any, j: Any, w: int = 1, used: int = 1) -> Lanes:
        return f.load("%vs", row * inner + i.a + j, w, used)

    shared = i.space == L
    if flags & 1:
        adds = e.adds(S, i.a, n * inner, shared)

        def put_weight(x: Lanes, row: Any, j: Any, w: int, used: int) -> None:
            place = row * inner + i.a + j
            if adds:
                x = f.load("%gs", place, w, used) + x
            f.store(x, "%gs", place, used)

        if columns == 1:
            tiles.products(
                e,
                f,
                n,
                1,
                inner,
                lambda row, _: adjoint(row, 0),
                lambda _, j, w, used: f.load(values, j + block, w, used),
                lambda *_: None,
                put_weight,
            )
        elif inner == 1:
            tiles.reductions(
                e,
                f,
                1,
                n,
                columns,
                lambda _, c, w, used: operand(0, c, w, used),
                adjoint,
                lambda _, row, x, used: put_weight(x, 0, row, x.width, used),
            )
        else:
            tiles.reductions(
                e,
                f,
                n,
                inner,
                columns,
                adjoint,
                operand,
                lambda row, j, x, used: put_weight(x, row, j, x.width, used),
            )
    if flags & 2:
        adds_block = e.adds(i.space, i.b, inner * i.cols)

        def before(j: Any, c: Any, w: int, used: int) -> Lanes | None:
            if not adds_block:
                return None
            place = j * columns + block + c
            return f.load(adjoints, place, w, used)

        if columns == 1:
            tiles.products(
                e,
                f,
                1,
                n,
                inner,
                lambda _, row: adjoint(row, 0),
                weight,
                lambda _, j, w, used: (
                    before(j, 0, w, used)
                    if not adds_block
                    else f.load(adjoints, j + block, w, used)
                ),
                lambda x, _, j, w, used: f.store(x, adjoints, j + block, used),
            )
        else:
            tiles.products(
                e,
                f,
                inner,
                n,
                columns,
                lambda j, row: weight(row, j),
                adjoint,
                before,
                lambda x, j, c, w, used: f.store(x, adjoints, j * columns + block + c, used),
            )
    if flags & 4:
        adds_bias = e.adds(S, i.bias, n, shared)

        def put_bias(_: Any, row: Any, x: Lanes, used: int) -> None:
            place = row + i.bias
            if adds_bias:
                x = f.load("%gs", place, x.width, used) + x
            f.store(x, "%gs", place, used)

        tiles.reductions(e, f, 1, n, columns, lambda *_: None, adjoint, put_bias)
    if flags & 8:
        adds_init = e.adds(i.space, i.init, n * i.cols)

        def body(o: Any, w: int, used: int) -> None:
            x = f.load(adjoints, o + out, w, used)
            place = o + i.init * width
            if adds_init:
                x = f.load(adjoints, place, w, used) + x
            f.store(x, adjoints, place, used)

        e.flat(f, n * columns, body)
