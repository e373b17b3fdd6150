"""The kernels: what each instruction computes, forwards and backwards.

A kernel works on flat buffers: `vs` and `vl` hold the rows of the two spaces, `gs` and `gl`
their adjoints. A row of L is `w` numbers, one for each lane of the chunk at hand, and rows follow
one another, so that a block of rows is one run of memory. `ins` is the instruction, in words (see
`WORDS`); `pool` has the lists of rows; `ids` the number of each lane's example. In a list, ~row
means the negative of the row. A backward kernel adds to the adjoints of the operands that the
instruction's flags name.

The plain tape follows the chain rule exactly: its adjoints are -0.0 where nothing has arrived,
which changes nothing that it is added to, and which `pass_on` knows. Everything else multiplies
plainly: its adjoints begin with 0.0. Where that gives nan, it is noted, and the tape is asked.

The functions here are plain Python, and run as such under NUMBA_DISABLE_JIT=1; `jit` compiles
them. `forward` and `partial_0` stand for a row of the operation table: one elementwise kernel
serves all rows of as many operands; `cut_0` says where nothing passes to an operand. `twins` has
each kernel once more, slow and plain.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from engine.ops import TABLE
from engine.rebind import rebind

# The words of an instruction. The first two are the addresses of its kernels.
WORDS = 16
FORWARD, BACKWARD, SPACE, N, OUT, A, B, C, FLAGS = range(9)
INNER, COLS, BIAS, INIT, LIST_1, LIST_2, LIST_3 = range(9, 16)
# In the pool: what the draws depend on, whether any row was inf or nan (-1 asks for that), whether
# a sum of products, a step of the chain rule or a gradient gave nan, and whether this is the tape.
SEED, STEP, NOT_FINITE, NAN_SEEN, EXACT = range(5)
BLAS_FROM = 40_000  # multiplications, from which on a call of BLAS is worth its overhead

_SHAPE = (1 << 40,)  # of views on the buffers, whose sizes the kernels need not know


# Names that mean something else in every kernel compiled: see `kernel_of` and `jit`.
forward: Any = None
partial_0: Any = None
partial_1: Any = None
partial_2: Any = None
cut_0: Any = None
cut_1: Any = None
cut_2: Any = None
pass_on: Any = TABLE["pass_on"].forward
maximum: Any = TABLE["maximum"].forward
use_blas: Any = None
product_into: Any = None
constant: float = 0.0


def carray(buffer: Any, shape: Any) -> Any:
    """Stands for Numba's function of this name, which makes an array of a pointer."""
    return buffer


# --- element by element: a row of the table on blocks ----------------------------------------


def elementwise_1(ins, pool, ids, vs, gs, vl, gl, w):
    """out = forward(a)."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    n = ins[N] * width
    x = v[ins[A] * width : ins[A] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    for i in range(n):
        out[i] = forward(x[i])


def elementwise_2(ins, pool, ids, vs, gs, vl, gl, w):
    """out = forward(a, b)."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    n = ins[N] * width
    x = v[ins[A] * width : ins[A] * width + n]
    y = v[ins[B] * width : ins[B] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    for i in range(n):
        out[i] = forward(x[i], y[i])


def elementwise_3(ins, pool, ids, vs, gs, vl, gl, w):
    """out = forward(a, b, c)."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    n = ins[N] * width
    x = v[ins[A] * width : ins[A] * width + n]
    y = v[ins[B] * width : ins[B] * width + n]
    z = v[ins[C] * width : ins[C] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    for i in range(n):
        out[i] = forward(x[i], y[i], z[i])


def step_noted(ins, pool, ids, vs, gs, vl, gl, w):
    """`elementwise_2` for the row `pass_on`: a nan is noted."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    n = ins[N] * width
    g = v[ins[A] * width : ins[A] * width + n]
    p = v[ins[B] * width : ins[B] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    for i in range(n):
        out[i] = pass_on(g[i], p[i])
    if any_nan(out):
        pool[NAN_SEEN] = 1


def elementwise_1_back(ins, pool, ids, vs, gs, vl, gl, w):
    """Add each adjoint times the partial, except where the edge is cut."""
    if ins[SPACE] == 1:
        v, g, width = carray(vl, _SHAPE), carray(gl, _SHAPE), w
    else:
        v, g, width = carray(vs, _SHAPE), carray(gs, _SHAPE), 1
    n = ins[N] * width
    x = v[ins[A] * width : ins[A] * width + n]
    gx = g[ins[A] * width : ins[A] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    go = g[ins[OUT] * width : ins[OUT] * width + n]
    for i in range(n):
        if not cut_0(x[i]):
            gx[i] += pass_on(go[i], partial_0(x[i], out[i]))


def elementwise_2_back(ins, pool, ids, vs, gs, vl, gl, w):
    """The same by each of two operands that is wanted."""
    if ins[SPACE] == 1:
        v, g, width = carray(vl, _SHAPE), carray(gl, _SHAPE), w
    else:
        v, g, width = carray(vs, _SHAPE), carray(gs, _SHAPE), 1
    n = ins[N] * width
    x = v[ins[A] * width : ins[A] * width + n]
    y = v[ins[B] * width : ins[B] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    go = g[ins[OUT] * width : ins[OUT] * width + n]
    if ins[FLAGS] & 1:
        gx = g[ins[A] * width : ins[A] * width + n]
        for i in range(n):
            if not cut_0(x[i], y[i]):
                gx[i] += pass_on(go[i], partial_0(x[i], y[i], out[i]))
    if ins[FLAGS] & 2:
        gy = g[ins[B] * width : ins[B] * width + n]
        for i in range(n):
            if not cut_1(x[i], y[i]):
                gy[i] += pass_on(go[i], partial_1(x[i], y[i], out[i]))


def elementwise_3_back(ins, pool, ids, vs, gs, vl, gl, w):
    """The same by each of three operands that is wanted."""
    if ins[SPACE] == 1:
        v, g, width = carray(vl, _SHAPE), carray(gl, _SHAPE), w
    else:
        v, g, width = carray(vs, _SHAPE), carray(gs, _SHAPE), 1
    n = ins[N] * width
    x = v[ins[A] * width : ins[A] * width + n]
    y = v[ins[B] * width : ins[B] * width + n]
    z = v[ins[C] * width : ins[C] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    go = g[ins[OUT] * width : ins[OUT] * width + n]
    if ins[FLAGS] & 1:
        gx = g[ins[A] * width : ins[A] * width + n]
        for i in range(n):
            if not cut_0(x[i], y[i], z[i]):
                gx[i] += pass_on(go[i], partial_0(x[i], y[i], z[i], out[i]))
    if ins[FLAGS] & 2:
        gy = g[ins[B] * width : ins[B] * width + n]
        for i in range(n):
            if not cut_1(x[i], y[i], z[i]):
                gy[i] += pass_on(go[i], partial_1(x[i], y[i], z[i], out[i]))
    if ins[FLAGS] & 4:
        gz = g[ins[C] * width : ins[C] * width + n]
        for i in range(n):
            if not cut_2(x[i], y[i], z[i]):
                gz[i] += pass_on(go[i], partial_2(x[i], y[i], z[i], out[i]))


# --- moving rows -----------------------------------------------------------------------------


def gather(ins, pool, ids, vs, gs, vl, gl, w):
    """Copy n rows from row a on."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    n = ins[N] * width
    x = v[ins[A] * width : ins[A] * width + n]
    out = v[ins[OUT] * width : ins[OUT] * width + n]
    for i in range(n):
        out[i] = x[i]


def gather_back(ins, pool, ids, vs, gs, vl, gl, w):
    """Add the adjoints of the copies."""
    g, width = (carray(gl, _SHAPE), w) if ins[SPACE] == 1 else (carray(gs, _SHAPE), 1)
    n = ins[N] * width
    gx = g[ins[A] * width : ins[A] * width + n]
    go = g[ins[OUT] * width : ins[OUT] * width + n]
    for i in range(n):
        gx[i] += go[i]


def gather_list(ins, pool, ids, vs, gs, vl, gl, w):
    """Copy the rows of a list, negated where it says so."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    for k in range(ins[N]):
        row = pool[ins[LIST_1] + k]
        out = v[(ins[OUT] + k) * width : (ins[OUT] + k + 1) * width]
        x = v[unsigned(row) * width : (unsigned(row) + 1) * width]
        if row >= 0:
            for i in range(width):
                out[i] = x[i]
        else:
            for i in range(width):
                out[i] = -x[i]


def gather_list_back(ins, pool, ids, vs, gs, vl, gl, w):
    """Add the adjoints of the copies to the rows of the list."""
    g, width = (carray(gl, _SHAPE), w) if ins[SPACE] == 1 else (carray(gs, _SHAPE), 1)
    for k in range(ins[N]):
        row = pool[ins[LIST_1] + k]
        go = g[(ins[OUT] + k) * width : (ins[OUT] + k + 1) * width]
        gx = g[unsigned(row) * width : (unsigned(row) + 1) * width]
        accumulate(gx, go, row < 0)


def broadcast(ins, pool, ids, vs, gs, vl, gl, w):
    """Repeat n rows of S, from row a on, in every lane."""
    x = carray(vs, _SHAPE)[ins[A] : ins[A] + ins[N]]
    for k in range(ins[N]):
        out = carray(vl, _SHAPE)[(ins[OUT] + k) * w : (ins[OUT] + k + 1) * w]
        for i in range(w):
            out[i] = x[k]


def broadcast_back(ins, pool, ids, vs, gs, vl, gl, w):
    """Add the sum of a row's adjoints over the lanes."""
    gx = carray(gs, _SHAPE)[ins[A] : ins[A] + ins[N]]
    for k in range(ins[N]):
        go = carray(gl, _SHAPE)[(ins[OUT] + k) * w : (ins[OUT] + k + 1) * w]
        total = go[0]
        for i in range(1, w):
            total += go[i]
        gx[k] += total


def broadcast_list(ins, pool, ids, vs, gs, vl, gl, w):
    """Repeat the rows of a list, all of S, in every lane."""
    for k in range(ins[N]):
        x = carray(vs, _SHAPE)[pool[ins[LIST_1] + k]]
        out = carray(vl, _SHAPE)[(ins[OUT] + k) * w : (ins[OUT] + k + 1) * w]
        for i in range(w):
            out[i] = x


def broadcast_list_back(ins, pool, ids, vs, gs, vl, gl, w):
    """Add the sum of a row's adjoints over the lanes."""
    for k in range(ins[N]):
        go = carray(gl, _SHAPE)[(ins[OUT] + k) * w : (ins[OUT] + k + 1) * w]
        total = go[0]
        for i in range(1, w):
            total += go[i]
        carray(gs, _SHAPE)[pool[ins[LIST_1] + k]] += total


def take(ins, pool, ids, vs, gs, vl, gl, w):
    """Copy the n numbers of the entry that row a (in space b) says, of `inner` entries in a list
    of rows of space c. An index out of range takes the first entry: a check refuses it later."""
    width = w if ins[SPACE] == 1 else 1
    v = carray(vl, _SHAPE) if ins[SPACE] == 1 else carray(vs, _SHAPE)
    source, stride = (carray(vl, _SHAPE), w) if ins[C] == 1 else (carray(vs, _SHAPE), 1)
    index, step = (carray(vl, _SHAPE), w) if ins[B] == 1 else (carray(vs, _SHAPE), 1)
    n, length = ins[N], ins[INNER]
    for i in range(width):
        lane = i if step > 1 else 0
        t = entry_at(index[ins[A] * step + lane], length)
        lane = i if stride > 1 else 0
        for k in range(n):
            row = pool[ins[LIST_1] + t * n + k]
            v[(ins[OUT] + k) * width + i] = source[row * stride + lane]


def take_back(ins, pool, ids, vs, gs, vl, gl, w):
    """Add the adjoint to the entry that was taken."""
    width = w if ins[SPACE] == 1 else 1
    g = carray(gl, _SHAPE) if ins[SPACE] == 1 else carray(gs, _SHAPE)
    source, stride = (carray(gl, _SHAPE), w) if ins[C] == 1 else (carray(gs, _SHAPE), 1)
    index, step = (carray(vl, _SHAPE), w) if ins[B] == 1 else (carray(vs, _SHAPE), 1)
    n, length = ins[N], ins[INNER]
    for i in range(width):
        lane = i if step > 1 else 0
        t = entry_at(index[ins[A] * step + lane], length)
        lane = i if stride > 1 else 0
        for k in range(n):
            row = pool[ins[LIST_1] + t * n + k]
            source[row * stride + lane] += g[(ins[OUT] + k) * width + i]


def draw(ins, pool, ids, vs, gs, vl, gl, w):
    """Draw anew: `randomness.draw` of the seed, the step, the example and the call."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    start = stirred(stirred(0, pool[SEED]), pool[STEP])
    for i in range(width):
        lane = stirred(start, ids[i])
        for k in range(ins[N]):
            z = stirred(lane, pool[ins[LIST_1] + k])
            v[(ins[OUT] + k) * width + i] = uniform(z)


# --- sums of products ------------------------------------------------------------------------


def mm(ins, pool, ids, vs, gs, vl, gl, w):
    """out = bias + init + matrix @ block: the n x inner matrix from row a of S on; a block of
    inner x cols rows from row b on; a bias of n rows of S; an init of as many rows as out. Sums
    begin with 0.0 where c has flag 1, else with -0.0, which added to anything changes nothing."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    n, inner, cols = ins[N], ins[INNER], ins[COLS] * width
    matrix = carray(vs, _SHAPE)[ins[A] : ins[A] + n * inner]
    block = v[ins[B] * width : ins[B] * width + inner * cols]
    out = v[ins[OUT] * width : ins[OUT] * width + n * cols]
    zero = 0.0 if ins[C] & 1 else -0.0
    if use_blas(n * inner * cols):
        right = block.reshape((inner, cols))
        product_into(matrix.reshape((n, inner)), right, out.reshape((n, cols)))
    elif cols < 4:
        for i in range(n):
            for c in range(cols):
                total = matrix[i * inner] * block[c]
                for j in range(1, inner):
                    total += matrix[i * inner + j] * block[j * cols + c]
                out[i * cols + c] = zero + total
    else:
        for i in range(n):
            row = out[i * cols : (i + 1) * cols]
            left = matrix[i * inner : (i + 1) * inner]
            rest = inner % 4
            for c in range(cols):
                row[c] = zero
            for j in range(rest):
                m0 = left[j]
                x0 = block[j * cols : (j + 1) * cols]
                for c in range(cols):
                    row[c] += m0 * x0[c]
            for j in range(rest, inner, 4):
                m0, m1, m2, m3 = left[j], left[j + 1], left[j + 2], left[j + 3]
                x0 = block[j * cols : (j + 1) * cols]
                x1 = block[(j + 1) * cols : (j + 2) * cols]
                x2 = block[(j + 2) * cols : (j + 3) * cols]
                x3 = block[(j + 3) * cols : (j + 4) * cols]
                for c in range(cols):
                    row[c] += (m0 * x0[c] + m1 * x1[c]) + (m2 * x2[c] + m3 * x3[c])
    if ins[BIAS] >= 0:
        bias = carray(vs, _SHAPE)[ins[BIAS] : ins[BIAS] + n]
        for i in range(n):
            row = out[i * cols : (i + 1) * cols]
            for c in range(cols):
                row[c] += bias[i]
    if ins[INIT] >= 0:
        init = v[ins[INIT] * width : ins[INIT] * width + n * cols]
        for i in range(n * cols):
            out[i] += init[i]
    if any_nan(out):
        pool[NAN_SEEN] = 1


def mm_back(ins, pool, ids, vs, gs, vl, gl, w):
    """By the matrix (flag 1), the block (2), the bias (4) and the init (8)."""
    if ins[SPACE] == 1:
        v, g, width = carray(vl, _SHAPE), carray(gl, _SHAPE), w
    else:
        v, g, width = carray(vs, _SHAPE), carray(gs, _SHAPE), 1
    n, inner, cols = ins[N], ins[INNER], ins[COLS] * width
    block = v[ins[B] * width : ins[B] * width + inner * cols]
    go = g[ins[OUT] * width : ins[OUT] * width + n * cols]
    if ins[FLAGS] & 1:
        gm = carray(gs, _SHAPE)[ins[A] : ins[A] + n * inner]
        if use_blas(n * inner * cols):
            product = np.empty((n, inner), go.dtype)
            product_into(go.reshape((n, cols)), block.reshape((inner, cols)).T, product)
            accumulate(gm, product.ravel(), False)
        else:
            for i in range(n):
                row = go[i * cols : (i + 1) * cols]
                for j in range(inner):
                    x = block[j * cols : (j + 1) * cols]
                    total = row[0] * x[0]
                    for c in range(1, cols):
                        total += row[c] * x[c]
                    gm[i * inner + j] += total
        if any_nan(gm):
            pool[NAN_SEEN] = 1
    if ins[FLAGS] & 2:
        matrix = carray(vs, _SHAPE)[ins[A] : ins[A] + n * inner]
        gb = g[ins[B] * width : ins[B] * width + inner * cols]
        if use_blas(n * inner * cols):
            product = np.empty((inner, cols), go.dtype)
            product_into(matrix.reshape((n, inner)).T, go.reshape((n, cols)), product)
            accumulate(gb, product.ravel(), False)
        elif cols < 4:
            for i in range(n):
                for c in range(cols):
                    adjoint = go[i * cols + c]
                    for j in range(inner):
                        gb[j * cols + c] += matrix[i * inner + j] * adjoint
        else:
            rest = n % 4
            for j in range(inner):
                row = gb[j * cols : (j + 1) * cols]
                for i in range(rest):
                    m0 = matrix[i * inner + j]
                    x0 = go[i * cols : (i + 1) * cols]
                    for c in range(cols):
                        row[c] += m0 * x0[c]
                for i in range(rest, n, 4):
                    m0, m1 = matrix[i * inner + j], matrix[(i + 1) * inner + j]
                    m2, m3 = matrix[(i + 2) * inner + j], matrix[(i + 3) * inner + j]
                    x0 = go[i * cols : (i + 1) * cols]
                    x1 = go[(i + 1) * cols : (i + 2) * cols]
                    x2 = go[(i + 2) * cols : (i + 3) * cols]
                    x3 = go[(i + 3) * cols : (i + 4) * cols]
                    for c in range(cols):
                        row[c] += (m0 * x0[c] + m1 * x1[c]) + (m2 * x2[c] + m3 * x3[c])
        if any_nan(gb):
            pool[NAN_SEEN] = 1
    if ins[FLAGS] & 4:
        gbias = carray(gs, _SHAPE)[ins[BIAS] : ins[BIAS] + n]
        for i in range(n):
            row = go[i * cols : (i + 1) * cols]
            total = row[0]
            for c in range(1, cols):
                total += row[c]
            gbias[i] += total
    if ins[FLAGS] & 8:
        ginit = g[ins[INIT] * width : ins[INIT] * width + n * cols]
        for i in range(n * cols):
            ginit[i] += go[i]


def dot(ins, pool, ids, vs, gs, vl, gl, w):
    """n sums, each of `inner` products of rows from lists 1 and 2 and `cols` rows from list 3.
    They begin with 0.0 where c has flag 1, else with -0.0."""
    n, inner, singles = ins[N], ins[INNER], ins[COLS]
    zero = 0.0 if ins[C] & 1 else -0.0
    if ins[SPACE] == 0:
        dot_of_numbers(ins, pool, carray(vs, _SHAPE), zero)
        return
    v = carray(vl, _SHAPE)
    for k in range(n):
        out = v[(ins[OUT] + k) * w : (ins[OUT] + k + 1) * w]
        for i in range(w):
            out[i] = zero
        for j in range(singles):
            row = pool[ins[LIST_3] + k * singles + j]
            accumulate(out, v[unsigned(row) * w : (unsigned(row) + 1) * w], row < 0)
        for j in range(inner):
            row = pool[ins[LIST_1] + k * inner + j]
            other = pool[ins[LIST_2] + k * inner + j]
            x = v[unsigned(row) * w : (unsigned(row) + 1) * w]
            y = v[other * w : (other + 1) * w]
            accumulate_product(out, x, y, row < 0)
    if any_nan(v[ins[OUT] * w : (ins[OUT] + n) * w]):
        pool[NAN_SEEN] = 1


def dot_of_numbers(ins, pool, v, zero):
    """`dot` in S: the same, where a row is one number."""
    n, inner, singles = ins[N], ins[INNER], ins[COLS]
    left = carray(pool, _SHAPE)[ins[LIST_1] : ins[LIST_1] + n * inner]
    right = carray(pool, _SHAPE)[ins[LIST_2] : ins[LIST_2] + n * inner]
    single = carray(pool, _SHAPE)[ins[LIST_3] : ins[LIST_3] + n * singles]
    for k in range(n):
        total = zero
        for j in range(singles):
            row = single[k * singles + j]
            total = total + v[row] if row >= 0 else total - v[~row]
        for j in range(inner):
            row, y = left[k * inner + j], v[right[k * inner + j]]
            total = total + v[row] * y if row >= 0 else total - v[~row] * y
        v[ins[OUT] + k] = total
        if total != total:
            pool[NAN_SEEN] = 1


def dot_back(ins, pool, ids, vs, gs, vl, gl, w):
    """By list 1 (flag 1), list 2 (flag 2) and list 3 (flag 4)."""
    n, inner, singles = ins[N], ins[INNER], ins[COLS]
    if ins[SPACE] == 0:
        dot_of_numbers_back(ins, pool, carray(vs, _SHAPE), carray(gs, _SHAPE))
        return
    v, g = carray(vl, _SHAPE), carray(gl, _SHAPE)
    seen = False
    for k in range(n):
        go = g[(ins[OUT] + k) * w : (ins[OUT] + k + 1) * w]
        if ins[FLAGS] & 4:
            for j in range(singles):
                row = pool[ins[LIST_3] + k * singles + j]
                accumulate(g[unsigned(row) * w : (unsigned(row) + 1) * w], go, row < 0)
        for j in range(inner):
            row = pool[ins[LIST_1] + k * inner + j]
            other = pool[ins[LIST_2] + k * inner + j]
            first, last = unsigned(row) * w, (unsigned(row) + 1) * w
            if ins[FLAGS] & 1:
                y = v[other * w : (other + 1) * w]
                accumulate_product(g[first:last], go, y, row < 0)
                seen = seen or any_nan(g[first:last])
            if ins[FLAGS] & 2:
                gy = g[other * w : (other + 1) * w]
                accumulate_product(gy, go, v[first:last], row < 0)
                seen = seen or any_nan(gy)
    if seen:
        pool[NAN_SEEN] = 1


def dot_of_numbers_back(ins, pool, v, g):
    """`dot_back` in S."""
    n, inner, singles = ins[N], ins[INNER], ins[COLS]
    left = carray(pool, _SHAPE)[ins[LIST_1] : ins[LIST_1] + n * inner]
    right = carray(pool, _SHAPE)[ins[LIST_2] : ins[LIST_2] + n * inner]
    single = carray(pool, _SHAPE)[ins[LIST_3] : ins[LIST_3] + n * singles]
    by_left, by_right = ins[FLAGS] & 1, ins[FLAGS] & 2
    seen = 0
    for k in range(n):
        adjoint = g[ins[OUT] + k]
        if ins[FLAGS] & 4:
            for j in range(singles):
                row = single[k * singles + j]
                if row >= 0:
                    g[row] += adjoint
                else:
                    g[~row] -= adjoint
        for j in range(inner):
            row, other = left[k * inner + j], right[k * inner + j]
            signed = adjoint if row >= 0 else -adjoint
            row = unsigned(row)
            if by_left:
                total = g[row] + signed * v[other]
                g[row] = total
                seen += total != total
            if by_right:
                total = g[other] + signed * v[row]
                g[other] = total
                seen += total != total
    if seen:
        pool[NAN_SEEN] = 1


def maxima(ins, pool, ids, vs, gs, vl, gl, w):
    """n largest numbers, each of `inner` rows of list 1; nan if any is. It has no derivative."""
    v, width = (carray(vl, _SHAPE), w) if ins[SPACE] == 1 else (carray(vs, _SHAPE), 1)
    inner = ins[INNER]
    for k in range(ins[N]):
        out = v[(ins[OUT] + k) * width : (ins[OUT] + k + 1) * width]
        row = pool[ins[LIST_1] + k * inner]
        x = v[row * width : (row + 1) * width]
        for i in range(width):
            out[i] = x[i]
        for j in range(1, inner):
            row = pool[ins[LIST_1] + k * inner + j]
            x = v[row * width : (row + 1) * width]
            for i in range(width):
                out[i] = maximum(out[i], x[i])


# --- what kernels call -----------------------------------------------------------------------


def entry_at(number, length):
    """The place that an index means, counted from the end where it is negative; 0 if there is
    none, which a check refuses later."""
    if number >= -length and number < length:
        place = int(number)
        return place if place >= 0 else place + length
    return 0


def unsigned(row):
    """The row of an entry in a list, whether it is negated there or not."""
    return row if row >= 0 else ~row


def accumulate(total, x, negative):
    """total += x, or -= x."""
    if negative:
        for i in range(len(total)):
            total[i] -= x[i]
    else:
        for i in range(len(total)):
            total[i] += x[i]


def accumulate_product(total, x, y, negative):
    """total += x * y, or -= x * y."""
    if negative:
        for i in range(len(total)):
            total[i] -= x[i] * y[i]
    else:
        for i in range(len(total)):
            total[i] += x[i] * y[i]


def any_nan(x):
    """Whether there is a nan in an array."""
    count = 0
    for i in range(len(x)):
        if x[i] != x[i]:
            count += 1
    return count > 0


def stirred(z, counter):
    """`randomness.mix` of z and a counter. Numba's int64 wraps around, as the hash wants."""
    z = (z ^ counter) + -7046029254386353131
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def uniform(z):
    """The upper 53 bits of a hash as a number in [0, 1)."""
    return ((z >> 11) & 0x1FFFFFFFFFFFFF) * 1.1102230246251565e-16


def uniform_single(z):
    """The same in single precision, where 53 bits might round to 1."""
    return ((z >> 40) & 0xFFFFFF) * 5.960464477539063e-08


def by_blas(x, y, out):
    """out = x @ y, where SciPy brings BLAS: without it Numba does not even compile this."""
    np.dot(x, y, out)


def by_nobody(x, y, out):
    """Stands for `by_blas` where it is never called."""


def never(multiplications):
    """Whether to call BLAS, where SciPy is not installed."""
    return False


def when_large(multiplications):
    """Whether to call BLAS, where SciPy brings it."""
    return multiplications >= BLAS_FROM


# The kernels by the names that instructions have, with their backward ones.
KERNELS: dict[str, tuple[Callable[..., None], Callable[..., None] | None]] = {
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
ELEMENTWISE = (
    (elementwise_1, elementwise_1_back),
    (elementwise_2, elementwise_2_back),
    (elementwise_3, elementwise_3_back),
)


def kernel_of(name: str, backward: bool) -> Callable[..., None] | None:
    """The plain function of a kernel, "mm_small" being "mm" that never calls BLAS; and of a row
    of the table for a name such as "ew_mul", with the rows it calls in place. None where there is
    nothing to do backwards."""
    ahead, back = KERNELS.get(name.removesuffix("_small"), (None, None))
    rows: dict[str, Any] = {}
    if name.startswith("ew_"):
        op = TABLE[name.removeprefix("ew_")]
        ahead, back = ELEMENTWISE[op.arity - 1]
        rows = {f"partial_{i}": _function(op.arity + 1, p) for i, p in enumerate(op.partials)}
        rows |= {f"cut_{i}": _function(op.arity, cut) for i, cut in enumerate(op.cuts)}
        rows["forward"] = op.forward
        ahead = step_noted if name == "ew_pass_on" else ahead
        back = None if op.is_flat else back
    function = back if backward else ahead
    return None if function is None else rebind(function, rows)


def _function(arguments: int, meaning: Any) -> Callable[..., Any]:
    """A partial or a cut of a row, as a function also where it is the same everywhere."""
    if isinstance(meaning, FunctionType):
        return meaning
    return rebind(_CONSTANT[arguments], {"constant": float(meaning)})


def _constant_1(x: float) -> float:
    return constant


def _constant_2(x: float, y: float) -> float:
    return constant


def _constant_3(x: float, y: float, z: float) -> float:
    return constant


def _constant_4(x: float, y: float, z: float, out: float) -> float:
    return constant


_CONSTANT: dict[int, Callable[..., Any]] = {
    1: _constant_1,
    2: _constant_2,
    3: _constant_3,
    4: _constant_4,
}
