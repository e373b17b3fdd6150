"""Each kernel once more, slow and plain: what it is compared with.

A twin takes the same words and buffers as the kernel of its name, and does what that kernel's
docstring says, number by number, with the forwards and partials of the operation table as they
are. It looks at a space as rows of lanes: `v[row, lane]`. Sums are added up in the order of their
terms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from engine import randomness
from engine.compiled.kernels import (
    BIAS,
    COLS,
    FLAGS,
    INIT,
    INNER,
    LIST_1,
    LIST_2,
    LIST_3,
    NAN_SEEN,
    OUT,
    SEED,
    SPACE,
    STEP,
    A,
    B,
    C,
    N,
)
from engine.ops import TABLE, Op

Twin = Callable[..., None]


def in_rows(space: int, shared: Any, lanes: Any, w: int) -> Any:
    """One of two buffers, that of a space, as rows of lanes; S has one lane."""
    return lanes.reshape(-1, w) if space == 1 else shared.reshape(-1, 1)


def signed(entry: int) -> tuple[int, float]:
    """The row that an entry of a list means, and its sign: ~row is the negative of row."""
    return (entry, 1.0) if entry >= 0 else (~entry, -1.0)


def own_space(ins: Any, vs: Any, gs: Any, vl: Any, gl: Any, w: int) -> tuple[Any, Any, range]:
    """The numbers and the adjoints of the instruction's space, and its lanes."""
    v, g = in_rows(ins[SPACE], vs, vl, w), in_rows(ins[SPACE], gs, gl, w)
    return v, g, range(v.shape[1])


# --- element by element ----------------------------------------------------------------------


def elementwise(op: Op, ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        for i in lanes:
            operands = [float(v[ins[word] + k, i]) for word in (A, B, C)[: op.arity]]
            v[ins[OUT] + k, i] = out = op.forward(*operands)
            if op.name == "pass_on" and out != out:
                pool[NAN_SEEN] = 1


def elementwise_back(op: Op, ins, pool, ids, vs, gs, vl, gl, w):
    v, g, lanes = own_space(ins, vs, gs, vl, gl, w)
    for number, (word, partial) in enumerate(zip((A, B, C), op.partials, strict=False)):
        if op.arity > 1 and not ins[FLAGS] & 1 << number:
            continue
        for k in range(ins[N]):
            for i in lanes:
                operands = [float(v[ins[word] + k, i]) for word in (A, B, C)[: op.arity]]
                out = float(v[ins[OUT] + k, i])
                adjoint = float(g[ins[OUT] + k, i])
                if op.cuts_at(number, operands) or repr(adjoint) == "-0.0":
                    continue  # the operand was not chosen, or nothing has arrived
                slope = partial(*operands, out) if callable(partial) else partial
                g[ins[word] + k, i] += adjoint * slope + 0.0


# --- moving rows -----------------------------------------------------------------------------


def gather(ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        for i in lanes:
            v[ins[OUT] + k, i] = v[ins[A] + k, i]


def gather_back(ins, pool, ids, vs, gs, vl, gl, w):
    _, g, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        for i in lanes:
            g[ins[A] + k, i] += g[ins[OUT] + k, i]


def gather_list(ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        row, sign = signed(pool[ins[LIST_1] + k])
        for i in lanes:
            v[ins[OUT] + k, i] = sign * v[row, i]


def gather_list_back(ins, pool, ids, vs, gs, vl, gl, w):
    _, g, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        row, sign = signed(pool[ins[LIST_1] + k])
        for i in lanes:
            g[row, i] += sign * g[ins[OUT] + k, i]


def broadcast(ins, pool, ids, vs, gs, vl, gl, w):
    for k in range(ins[N]):
        for i in range(w):
            vl.reshape(-1, w)[ins[OUT] + k, i] = vs[ins[A] + k]


def broadcast_back(ins, pool, ids, vs, gs, vl, gl, w):
    for k in range(ins[N]):
        for i in range(w):
            gs[ins[A] + k] += gl.reshape(-1, w)[ins[OUT] + k, i]


def broadcast_list(ins, pool, ids, vs, gs, vl, gl, w):
    for k in range(ins[N]):
        for i in range(w):
            vl.reshape(-1, w)[ins[OUT] + k, i] = vs[pool[ins[LIST_1] + k]]


def broadcast_list_back(ins, pool, ids, vs, gs, vl, gl, w):
    for k in range(ins[N]):
        for i in range(w):
            gs[pool[ins[LIST_1] + k]] += gl.reshape(-1, w)[ins[OUT] + k, i]


def taken(ins, pool, vs, vl, w, i):
    """The rows of the entry that lane i takes; the first entry where the index is out of range."""
    index = in_rows(ins[B], vs, vl, w)
    number = index[ins[A], i if index.shape[1] > 1 else 0]
    t = int(number) if -ins[INNER] <= number < ins[INNER] else 0
    t = t + ins[INNER] if t < 0 else t
    return [pool[ins[LIST_1] + t * ins[N] + k] for k in range(ins[N])]


def take(ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    source = in_rows(ins[C], vs, vl, w)
    for i in lanes:
        for k, row in enumerate(taken(ins, pool, vs, vl, w, i)):
            v[ins[OUT] + k, i] = source[row, i if source.shape[1] > 1 else 0]


def take_back(ins, pool, ids, vs, gs, vl, gl, w):
    _, g, lanes = own_space(ins, vs, gs, vl, gl, w)
    source = in_rows(ins[C], gs, gl, w)
    for i in lanes:
        for k, row in enumerate(taken(ins, pool, vs, vl, w, i)):
            source[row, i if source.shape[1] > 1 else 0] += g[ins[OUT] + k, i]


def draw(ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        for i in lanes:
            counters = (pool[SEED], pool[STEP], ids[i], pool[ins[LIST_1] + k])
            v[ins[OUT] + k, i] = randomness.draw(*map(int, counters))


# --- sums of products ------------------------------------------------------------------------


def mm(ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    inner, cols = ins[INNER], ins[COLS]
    for i in range(ins[N]):
        for c in range(cols):
            for lane in lanes:
                total = 0.0 if ins[C] == 1 else -0.0
                for j in range(inner):
                    total += vs[ins[A] + i * inner + j] * v[ins[B] + j * cols + c, lane]
                if ins[BIAS] >= 0:
                    total += vs[ins[BIAS] + i]
                if ins[INIT] >= 0:
                    total += v[ins[INIT] + i * cols + c, lane]
                v[ins[OUT] + i * cols + c, lane] = total
                if total != total:
                    pool[NAN_SEEN] = 1


def mm_back(ins, pool, ids, vs, gs, vl, gl, w):
    v, g, lanes = own_space(ins, vs, gs, vl, gl, w)
    inner, cols, flags = ins[INNER], ins[COLS], ins[FLAGS]
    for i in range(ins[N]):
        for c in range(cols):
            for lane in lanes:
                adjoint = g[ins[OUT] + i * cols + c, lane]
                for j in range(inner):
                    if flags & 1:
                        gs[ins[A] + i * inner + j] += adjoint * v[ins[B] + j * cols + c, lane]
                    if flags & 2:
                        g[ins[B] + j * cols + c, lane] += adjoint * vs[ins[A] + i * inner + j]
                if flags & 4:
                    gs[ins[BIAS] + i] += adjoint
                if flags & 8:
                    g[ins[INIT] + i * cols + c, lane] += adjoint
    of_matrix = gs[ins[A] : ins[A] + ins[N] * inner]
    of_block = g[ins[B] : ins[B] + inner * cols]
    if (flags & 1 and np.isnan(of_matrix).any()) or (flags & 2 and np.isnan(of_block).any()):
        pool[NAN_SEEN] = 1


def dot(ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        for i in lanes:
            total = 0.0 if ins[C] == 1 else -0.0
            for j in range(ins[COLS]):
                row, sign = signed(pool[ins[LIST_3] + k * ins[COLS] + j])
                total += sign * v[row, i]
            for j in range(ins[INNER]):
                row, sign = signed(pool[ins[LIST_1] + k * ins[INNER] + j])
                total += sign * v[row, i] * v[pool[ins[LIST_2] + k * ins[INNER] + j], i]
            v[ins[OUT] + k, i] = total
            if total != total:
                pool[NAN_SEEN] = 1


def dot_back(ins, pool, ids, vs, gs, vl, gl, w):
    v, g, lanes = own_space(ins, vs, gs, vl, gl, w)
    flags = ins[FLAGS]
    for k in range(ins[N]):
        for i in lanes:
            adjoint = g[ins[OUT] + k, i]
            for j in range(ins[COLS]):
                row, sign = signed(pool[ins[LIST_3] + k * ins[COLS] + j])
                if flags & 4:
                    g[row, i] += sign * adjoint
            for j in range(ins[INNER]):
                row, sign = signed(pool[ins[LIST_1] + k * ins[INNER] + j])
                other = pool[ins[LIST_2] + k * ins[INNER] + j]
                if flags & 1:
                    g[row, i] += sign * adjoint * v[other, i]
                    pool[NAN_SEEN] |= int(np.isnan(g[row, i]))
                if flags & 2:
                    g[other, i] += sign * adjoint * v[row, i]
                    pool[NAN_SEEN] |= int(np.isnan(g[other, i]))


def maxima(ins, pool, ids, vs, gs, vl, gl, w):
    v, _, lanes = own_space(ins, vs, gs, vl, gl, w)
    for k in range(ins[N]):
        for i in lanes:
            rows = [pool[ins[LIST_1] + k * ins[INNER] + j] for j in range(ins[INNER])]
            v[ins[OUT] + k, i] = functools.reduce(
                TABLE["maximum"].forward, [float(v[row, i]) for row in rows]
            )


TWINS: dict[str, tuple[Twin, Twin | None]] = {
    "gather": (gather, gather_back),
    "gather_list": (gather_list, gather_list_back),
    "broadcast": (broadcast, broadcast_back),
    "broadcast_list": (broadcast_list, broadcast_list_back),
    "take": (take, take_back),
    "draw": (draw, None),
    "mm": (mm, mm_back),
    "dot": (dot, dot_back),
    "max": (maxima, None),
}


def twin_of(name: str, backward: bool) -> Twin | None:
    """The twin of a kernel, or of a row of the table for a name such as "ew_mul"; None where
    there is nothing to do backwards."""
    if name in TWINS:
        return TWINS[name][backward]
    op = TABLE[name.removeprefix("ew_")]
    if backward:
        return None if op.is_flat else functools.partial(elementwise_back, op)
    return functools.partial(elementwise, op)
