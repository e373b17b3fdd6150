"""The loop over instructions: what runs between a call from Python and its return.

`run` is one compiled function; kernels and rules are called by address, or in Python where Numba
is switched off. Without types, as the kernels are: Numba finds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiled import jit
from engine.compiled.kernels import BACKWARD, FLAGS, FORWARD, NAN_SEEN, NOT_FINITE, STEP

# Names that `machine` gives a meaning: for addresses or for Python functions, and an intrinsic.
instructions: Any = None
update: Any = None
invoke: Any = None


def run(
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
    training,
    data,
    order,
    in_order,
    starts,
    theta,
    gradient,
    places,
    rule,
    slots,
    steps,
    settings,
    mean,
    losses,
):
    """What is called from Python: one run of the blocks, or, if `training`, whole updates.

    An update gathers a batch, runs the blocks, and moves `theta` by the rule. Step k has the
    examples `order[starts[k] : starts[k + 1]]` of `data`, where `in_order` says that they follow
    each other there; it leaves the sum of its terms and of their weights in `losses[k]`. Returns
    how many updates were done: all, or those before one in which a guard failed or a product gave
    nan, of which nothing is kept.
    """
    for done in range(len(starts) - 1):
        batch = lanes
        if training:
            size = starts[done + 1] - starts[done]
            if in_order:
                first = order[starts[done]]
                batch = data[first : first + size]
            else:
                batch = lanes[:size]
                for i in range(size):
                    example = order[starts[done] + i]
                    for r in range(data.shape[1]):
                        batch[i, r] = data[example, r]
            for p in range(len(places)):
                if places[p] >= 0:
                    vs[places[p]] = theta[p]
            fail[:] = -1
        # S forwards, L chunk by chunk, S backwards
        count = len(batch)
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
            for r in range(batch.shape[1]):
                for i in range(w):
                    vl[r * w + i] = batch[start + i, r]
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
        if training:
            if pool[NAN_SEEN] != 0:
                return done
            losses[done, 0] = 0.0
            losses[done, 1] = 0.0
            for i in range(len(batch)):
                if fail[i] >= 0:
                    return done
                losses[done, 0] += outputs[i, 0]
                losses[done, 1] += outputs[i, 1]
            divisor = losses[done, 1] if mean else 1.0
            for p in range(len(places)):
                gradient[p] = gs[places[p]] / divisor if places[p] >= 0 else 0.0
            update(rule, theta, gradient, slots, settings[done], steps + done)
            pool[STEP] += 1
    return len(starts) - 1


def update_at_address(rule, theta, gradient, slots, settings, steps):
    """Call the compiled rule of an optimiser."""
    invoke(
        rule,
        theta.ctypes.data,
        gradient.ctypes.data,
        slots.ctypes.data,
        settings.ctypes.data,
        0,
        0,
        steps,
        len(theta),
    )


def update_in_python(rule, theta, gradient, slots, settings, steps):
    """The same where it is a Python function."""
    jit.python_kernel(rule)(theta, gradient, slots, settings, 0, 0, steps, len(theta))


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
