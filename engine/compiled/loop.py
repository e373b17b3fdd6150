"""The loop over instructions: what runs between a call from Python and its return.

`run` is one compiled function; kernels and rules are called by address, or in Python where Numba
is switched off. Without types, as the kernels are: Numba finds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiled import jit
from engine.compiled.kernels import BACKWARD, EXACT, FLAGS, FORWARD, NAN_SEEN, NOT_FINITE, STEP

# Names that `machine` gives a meaning: for addresses or for Python functions, and intrinsics.
instructions: Any = None
update: Any = None
invoke: Any = None
flush_subnormals: Any = None


def run(
    words,
    counts,
    pool,
    ids,
    vs,
    gs,
    vl,
    gl,
    width,
    clear_s,
    clear_l,
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
    shared,
    data,
    order,
    in_order,
    starts,
    training,
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

    Step k is about the examples `order[starts[k, 0] : starts[k, 1]]`, the rows of `data`; or,
    where `in_order` says so, about these columns of it. They are processed in chunks of `width`
    lanes; the last chunk is filled up with copies of its first example, to which no adjoint
    arrives. An update moves `theta`, whose numbers are in the rows `places` of S, by the rule, and
    leaves the sum of the step's terms and of their weights in `losses[k]`; where the rule is 0, it
    is left to the caller. Returns how many steps
    were done: all, or those before an update in which a guard failed, a product gave nan, or the
    weights' sum is 0, of which nothing is kept. `gradient` is that of the last one.
    """
    checked = len(checks) > 0
    inputs = data.shape[0] if in_order else data.shape[1]
    together = len(places) > 0 and places[0] >= 0  # whether parameters follow each other in S
    for p in range(len(places)):
        together = together and places[p] == places[0] + p
    base, size = places[0] if together else 0, len(theta)
    if together:  # they live there for the time being
        vs[base : base + size] = theta
    nothing = -0.0 if pool[EXACT] else 0.0  # the adjoint where nothing has arrived: see `kernels`
    done = 0
    while done < len(starts):
        count = starts[done, 1] - starts[done, 0]
        if training:
            if not together:
                for p in range(len(places)):
                    if places[p] >= 0:
                        vs[places[p]] = theta[p]
            losses[done, 0] = 0.0
            losses[done, 1] = 0.0
            if checked:
                fail[:] = -1
        # S forwards, L chunk by chunk, S backwards
        for k in range(len(clear_s)):
            for i in range(clear_s[k, 0], clear_s[k, 1]):
                gs[i] = nothing
        if counts[0] > 0:
            instructions(words, 0, counts[0], False, pool, ids, vs, gs, vl, gl, 1)
        watch = pool[NOT_FINITE] != 0
        if watch and not_finite(vs, len(vs), 1, 1):
            pool[NOT_FINITE] = 1
        if checked:
            check(checks, numbers, 0, vs, 1, 1, 0, fail, found)
            if fail[0] >= 0:
                fail[:] = fail[0]
                found[:] = found[0]
        held = 0  # lanes whose guards held
        for start in range(0, count, width):
            w = min(width, count - start)  # lanes that count
            first = starts[done, 0] + start
            if in_order:
                for r in range(inputs):
                    vl[r * width : r * width + w] = data[r, first : first + w]
                    vl[r * width + w : (r + 1) * width] = data[r, first]
            else:
                for part in range(0, inputs, 16):  # what a line of the cache holds, or two
                    for i in range(width):
                        example = data[order[first + i if i < w else first]]
                        for r in range(part, min(part + 16, inputs)):
                            vl[r * width + i] = example[r]
            here = ids[start:]
            instructions(words, counts[0], counts[1], False, pool, here, vs, gs, vl, gl, width)
            if watch and not_finite(vl, len(vl) // width, width, w):
                pool[NOT_FINITE] = 1
            if checked:
                check(checks, numbers, 1, vl, width, w, start, fail, found)
            for k in range(len(output_rows)):
                if output_rows[k, 0] == 1:
                    row = vl[output_rows[k, 1] * width : output_rows[k, 1] * width + w]
                    if training:
                        losses[done, k] += total(row)
                    else:
                        outputs[k, start : start + w] = row
            if backward:
                for k in range(len(clear_l)):
                    gl[clear_l[k, 0] * width : clear_l[k, 1] * width] = nothing
                for k in range(len(output_rows)):
                    if output_rows[k, 0] == 1 and weights[k] != 0.0:
                        row = gl[output_rows[k, 1] * width : output_rows[k, 1] * width + w]
                        for i in range(w):
                            if not checked or fail[start + i] < 0:
                                row[i] += weights[k]
                held += w
                if checked:
                    for i in range(w):
                        held -= fail[start + i] >= 0
                instructions(words, counts[0], counts[1], True, pool, here, vs, gs, vl, gl, width)
                for k in range(len(gradient_rows)):
                    row = gl[gradient_rows[k] * width : gradient_rows[k] * width + w]
                    for i in range(w):
                        lane_gradient[start + i, k] = row[i] + 0.0
                        if row[i] != row[i]:
                            pool[NAN_SEEN] = 1
        for k in range(len(output_rows)):
            if output_rows[k, 0] == 0:
                if training:
                    losses[done, k] = vs[output_rows[k, 1]] * max(1, count)
                else:
                    outputs[k, :] = vs[output_rows[k, 1]]
                seed = weights[k] * (held if count else 1)
                if backward and seed != 0.0:
                    gs[output_rows[k, 1]] += seed
        if rule != 0 and len(output_rows) > 1 and losses[done, 1] == 0.0:
            break
        if backward:
            if counts[0] > 0:
                instructions(words, 0, counts[0], True, pool, ids, vs, gs, vl, gl, 1)
            scale = gs.dtype.type(1.0 / losses[done, 1] if training and mean else 1.0)
            nans = 0
            for i in range(shared):
                gs[i] = gs[i] * scale + 0.0
                nans += gs[i] != gs[i]
            if nans:
                pool[NAN_SEEN] = 1
        if training:
            if pool[NAN_SEEN] != 0 or (checked and fail.max() >= 0):
                break
            if not together:
                for p in range(size):
                    gradient[p] = gs[places[p]] if places[p] >= 0 else 0.0
            if rule != 0 and together:
                x, g = vs[base : base + size], gs[base : base + size]
                update(rule, x, g, slots, settings[done], steps + done)
            elif rule != 0:
                update(rule, theta, gradient, slots, settings[done], steps + done)
            pool[STEP] += 1
        done += 1
    if together:
        theta[:] = vs[base : base + size]
        if done == len(starts):
            gradient[:] = gs[base : base + size]
    return done


def total(x):
    """The sum of numbers, by four sums that need not wait for each other."""
    a = b = c = d = 0.0
    whole = len(x) // 4 * 4
    for i in range(0, whole, 4):
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
    for i in range(whole, len(x)):
        a += x[i]
    return (a + b) + (c + d)


def update_at_address(rule, theta, gradient, slots, settings, steps):
    """Call the compiled rule of an optimiser.

    In single precision moments that are no longer fed soon become subnormal, and stay so; then
    arithmetic is ten times as slow. They are taken for 0.
    """
    single = theta.itemsize == 4
    if single:
        flush_subnormals(True)
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
    if single:
        flush_subnormals(False)


def update_in_python(rule, theta, gradient, slots, settings, steps):
    """The same where it is a Python function."""
    jit.python_kernel(rule)(theta, gradient, slots, settings, 0, 0, steps, len(theta))


def not_finite(v, rows, width, w):
    """Whether there is an inf or a nan in the first `w` lanes of any row."""
    count = 0
    for row in range(rows):
        for i in range(w):
            if not np.isfinite(v[row * width + i]):
                count += 1
    return count > 0


def check(checks, numbers, space, v, width, w, start, fail, found):
    """Note for each of `w` lanes the first guard of a space that does not hold."""
    for k in range(len(checks)):
        if checks[k, 1] != space:
            continue
        row, order, length = checks[k, 0], checks[k, 2], checks[k, 3]
        for i in range(w):
            number = v[row * width + i]
            if length:
                holds = number >= -length and number < length and number == np.floor(number)
            else:
                expected = numbers[k]
                holds = number == expected or (number != number and expected != expected)
                if number == 0.0:  # 0.0 and -0.0 are equal, but a function may tell them apart
                    holds = holds and np.copysign(1.0, number) == np.copysign(1.0, expected)
            if not holds and (fail[start + i] < 0 or order < fail[start + i]):
                fail[start + i] = order
                found[start + i] = number


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
