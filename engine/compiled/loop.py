"""The loop over instructions: what runs between a call from Python and its return.

`run_blocks` is one compiled function; the kernels are called by address, or in Python where Numba
is switched off. Without types, as the kernels are: Numba finds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiled import jit
from engine.compiled.kernels import BACKWARD, FLAGS, FORWARD, NAN_SEEN, NOT_FINITE, STEP

# Names that `machine` gives a meaning: one of the two functions at the end, and an intrinsic.
instructions: Any = None
invoke: Any = None
rule: Any = None


def run_blocks(
    words,
    counts,
    pool,
    ids,
    vs,
    gs,
    vl,
    gl,
    capacity,
    rows_l,
    constant_rows,
    constant_numbers,
    lanes,
    outputs,
    output_rows,
    weights,
    checks,
    numbers,
    fail,
    found,
    lane_gradient,
    gradient_rows,
    backward,
):
    """Run all instructions: S forwards, L chunk by chunk, S backwards."""
    count = len(lanes)
    gs[:] = 0.0
    instructions(words, 0, counts[0], False, pool, ids, vs, gs, vl, gl, 1)
    watch = pool[NOT_FINITE] != 0
    if watch and not_finite(vs):
        pool[NOT_FINITE] = 1
    check(checks, numbers, 0, vs, 1, fail[:1], found[:1])
    if fail[0] >= 0:
        fail[:] = fail[0]
        found[:] = found[0]
    held = 0  # lanes whose guards held
    width = 0
    for start in range(0, count, capacity):
        w = min(capacity, count - start)
        if w != width:  # the rows lie elsewhere now
            width = w
            for k in range(len(constant_rows)):
                vl[constant_rows[k] * w : (constant_rows[k] + 1) * w] = constant_numbers[k]
        for r in range(lanes.shape[1]):
            for i in range(w):
                vl[r * w + i] = lanes[start + i, r]
        here = ids[start:]
        instructions(words, counts[0], counts[1], False, pool, here, vs, gs, vl, gl, w)
        if watch and not_finite(vl[: rows_l * w]):
            pool[NOT_FINITE] = 1
        check(checks, numbers, 1, vl, w, fail[start : start + w], found[start : start + w])
        for k in range(len(output_rows)):
            row = output_rows[k, 1]
            if output_rows[k, 0] == 1:
                for i in range(w):
                    outputs[start + i, k] = vl[row * w + i]
        if backward:
            gl[: rows_l * w] = 0.0
            for k in range(len(output_rows)):
                if output_rows[k, 0] == 1:
                    row = output_rows[k, 1]
                    for i in range(w):
                        if fail[start + i] < 0:
                            gl[row * w + i] += weights[k]
            for i in range(w):
                held += fail[start + i] < 0
            instructions(words, counts[0], counts[1], True, pool, here, vs, gs, vl, gl, w)
            for k in range(len(gradient_rows)):
                for i in range(w):
                    lane_gradient[start + i, k] = gl[gradient_rows[k] * w + i]
    for k in range(len(output_rows)):
        if output_rows[k, 0] == 0:
            outputs[:, k] = vs[output_rows[k, 1]]
            if backward:
                gs[output_rows[k, 1]] += weights[k] * (held if count else 1)
    if backward:
        instructions(words, 0, counts[0], True, pool, ids, vs, gs, vl, gl, 1)


def run_steps(
    words,
    counts,
    pool,
    ids,
    vs,
    gs,
    vl,
    gl,
    capacity,
    rows_l,
    constant_rows,
    constant_numbers,
    data,
    order,
    in_order,
    starts,
    lanes,
    outputs,
    output_rows,
    weights,
    checks,
    numbers,
    fail,
    found,
    theta,
    gradient,
    places,
    slots,
    steps,
    settings,
    mean,
    losses,
):
    """Run whole updates: gather a batch, run the blocks, move `theta` by the rule.

    Step k has the examples `order[starts[k] : starts[k + 1]]` of `data`, where `in_order` says
    that they follow each other there; it leaves the sum of its terms and of their weights in
    `losses[k]`. Returns how many steps were done: all, or those
    before one in which a guard failed or a product gave nan, of which nothing is kept.
    """
    no_rows = places[:0]
    for k in range(len(starts) - 1):
        count = starts[k + 1] - starts[k]
        if in_order:
            first = order[starts[k]]
            batch = data[first : first + count]
        else:
            batch = lanes[:count]
            for i in range(count):
                example = order[starts[k] + i]
                for r in range(data.shape[1]):
                    batch[i, r] = data[example, r]
        for p in range(len(places)):
            if places[p] >= 0:
                vs[places[p]] = theta[p]
        fail[:count] = -1
        run_blocks(
            words,
            counts,
            pool,
            ids,
            vs,
            gs,
            vl,
            gl,
            capacity,
            rows_l,
            constant_rows,
            constant_numbers,
            batch,
            outputs[:count],
            output_rows,
            weights,
            checks,
            numbers,
            fail[:count],
            found[:count],
            lanes[:0],
            no_rows,
            True,
        )
        if pool[NAN_SEEN] != 0 or np.any(fail[:count] >= 0):
            return k
        losses[k, 0] = outputs[:count, 0].sum()
        losses[k, 1] = outputs[:count, 1].sum()
        divisor = losses[k, 1] if mean else 1.0
        for p in range(len(places)):
            gradient[p] = gs[places[p]] / divisor if places[p] >= 0 else 0.0
        rule(theta, gradient, slots, steps + k, settings)
        pool[STEP] += 1
    return len(starts) - 1


def not_finite(x):
    """Whether there is an inf or a nan in an array."""
    count = 0
    for i in range(len(x)):
        if not np.isfinite(x[i]):
            count += 1
    return count > 0


def check(checks, numbers, space, v, w, fail, found):
    """Note for each lane the first guard of a space that does not hold."""
    for k in range(len(checks)):
        if checks[k, 1] != space:
            continue
        row, order, length = checks[k, 0], checks[k, 2], checks[k, 3]
        for i in range(w):
            number = v[row * w + i]
            if length:
                holds = number >= -length and number < length and number == np.floor(number)
            else:
                expected = numbers[k]
                holds = number == expected or (number != number and expected != expected)
                if number == 0.0:  # 0.0 and -0.0 are equal, but a function may tell them apart
                    holds = holds and np.copysign(1.0, number) == np.copysign(1.0, expected)
            if not holds and (fail[i] < 0 or order < fail[i]):
                fail[i] = order
                found[i] = number


def instructions_at_addresses(words, first, last, backward, pool, ids, vs, gs, vl, gl, w):
    """Call the kernels of some instructions, in order or in reverse."""
    start, stride = words.ctypes.data, 8 * words.shape[1]
    pools, examples = pool.ctypes.data, ids.ctypes.data
    at_vs, at_gs, at_vl, at_gl = vs.ctypes.data, gs.ctypes.data, vl.ctypes.data, gl.ctypes.data
    if backward:
        for i in range(last - 1, first - 1, -1):
            if words[i, BACKWARD] != 0 and words[i, FLAGS] != 0:
                invoke(
                    words[i, BACKWARD],
                    start + i * stride,
                    pools,
                    examples,
                    at_vs,
                    at_gs,
                    at_vl,
                    at_gl,
                    w,
                )
    else:
        for i in range(first, last):
            invoke(
                words[i, FORWARD],
                start + i * stride,
                pools,
                examples,
                at_vs,
                at_gs,
                at_vl,
                at_gl,
                w,
            )


def instructions_in_python(words, first, last, backward, pool, ids, vs, gs, vl, gl, w):
    """The same where kernels are Python functions."""
    if backward:
        for i in range(last - 1, first - 1, -1):
            if words[i, BACKWARD] != 0 and words[i, FLAGS] != 0:
                jit.python_kernel(words[i, BACKWARD])(words[i], pool, ids, vs, gs, vl, gl, w)
    else:
        for i in range(first, last):
            jit.python_kernel(words[i, FORWARD])(words[i], pool, ids, vs, gs, vl, gl, w)
