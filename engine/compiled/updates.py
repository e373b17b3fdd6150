"""An optimiser's update of all numbers that move: machine code made of its rule, and its twin.

A rule is plain arithmetic about one number `w` and its gradient `g`: it returns the number moved
and, after it in a tuple, what it keeps beside a number, its slots, which it is given too;
`settings` are numbers for this update. The same function runs on arrays (`apply`) and is emitted
(`address`): products and sums stay separate operations, so that both give the same bits.

What an update is told, in a row of numbers: a place for the L2 penalty, which is left there; the
largest norm that the gradient may have, or inf; whether the slots begin with the numbers' L2; how
many groups there are; and for each group where it ends, how many settings its rule has, and these.
Slots of a group follow one another.
"""

from __future__ import annotations

import ctypes
import functools
import math
import platform
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.compiled import assembly, jitted, objects
from engine.compiled.blocks import Array
from engine.compiled.fingerprints import fingerprint
from engine.compiled.native import vectormath
from engine.compiled.native.function import Function
from engine.compiled.native.numbers import INDEX, Lanes
from engine.compiled.threads import compiling

Rule = Callable[..., tuple[Any, ...]]

_TOGETHER = 4096  # numbers that a rule is applied to at once: their arrays stay in the cache
_SETTLED = 4  # branches of a rule for whose ways there are loops; on others numbers are selected
_PARAMETERS = ", ".join(f"i64 %{x}" for x in ("theta_", "gradient_", "slots_", "told_", "size"))


def slots_of(rule: Rule) -> int:
    """How many numbers a rule keeps beside each one."""
    return rule.__code__.co_argcount - 3


def factor(norm: Any, most: Any) -> Any:
    """What a gradient of some norm is multiplied by: 1 at most, nan where the norm is."""
    found = most / (norm + 1e-6)
    return 1.0 if found >= 1.0 else found


def apply(
    rule: Rule,
    theta: Array,
    gradient: Array,
    slots: Array,
    told: Array,
    move: Callable[..., None] | None = None,
) -> None:
    """Do the update on arrays, in place; inf and nan pass without a warning. `move` does what
    `_moved` does, in less time."""
    move = functools.partial(_moved, rule) if move is None else move
    count, at = len(theta), 0
    with np.errstate(all="ignore"):
        if told[2] != 0.0:
            pull, at = slots[:count] * theta, count
            told[0] = 0.5 * np.dot(pull, theta)
            gradient += pull
        if told[1] < math.inf:
            gradient *= factor(np.sqrt(np.dot(gradient, gradient)), told[1])
        first, s, kept = 0, 4, slots_of(rule)
        for _ in range(int(told[3])):
            last, settings = int(told[s]), told[s + 2 : s + 2 + int(told[s + 1])]
            size = last - first
            own = slots[at : at + kept * size].reshape(kept, size)
            move(theta[first:last], gradient[first:last], own, settings)
            at, s, first = at + kept * size, s + 2 + len(settings), last


def _moved(rule: Rule, theta: Array, gradient: Array, slots: Array, settings: Array) -> None:
    """Move numbers by a rule, in place, some at a time."""
    for begin in range(0, len(theta), _TOGETHER):
        part = slice(begin, begin + _TOGETHER)
        found = rule(theta[part], gradient[part], *slots[:, part], settings)
        moved, *left = found if isinstance(found, tuple) else (found,)
        for slot, new in zip(slots, left, strict=True):
            slot[part] = new
        theta[part] = moved


def by_numba(rule: Rule, dtype: Any) -> Callable[..., None] | None:
    """What moves numbers by a rule in a loop that Numba compiles; None where it can't."""
    slots = slots_of(rule)
    if objects.DISABLED or slots > jitted.MOST_SLOTS:
        return None
    key = (rule, np.dtype(dtype).name)
    if key not in _by_numba:
        move, nothing = jitted.move_of(rule, slots, dtype), np.zeros(0, dtype)
        try:  # a rule of anybody's may be beyond Numba
            move(nothing, nothing, np.zeros((slots, 0), dtype), nothing)
        except jitted.errors():
            _by_numba[key] = None
        else:
            _by_numba[key] = move
    return _by_numba[key]


_by_numba: dict[tuple[Rule, str], Callable[..., None] | None] = {}


@functools.cache
def _code(rule: Rule, dtype: str) -> objects.Code:
    told = ("update", fingerprint(rule), dtype, assembly.sources(), fingerprint(factor))
    return objects.code(repr(told), lambda: (None, _text(rule, dtype)))[1]


def address(rule: Rule, dtype: str) -> int:
    """Return the address of the update's machine code: a function of the addresses of the numbers,
    their gradient, the slots and what is told, and of how many numbers there are."""
    with compiling:
        return _code(rule, dtype).address("update")


def move(
    rule: Rule, theta: Array, gradient: Array, slots: Array, told: Array, *, native: bool = True
) -> None:
    """Do one update outside of a program's own code, in place."""
    if not native or objects.DISABLED:
        apply(rule, theta, gradient, slots, told)
        return
    words = [array.ctypes.data for array in (theta, gradient, slots, told)]
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)
    prototype(address(rule, theta.dtype.name))(*words, len(theta))


@functools.cache
def translates(rule: Rule, dtype: str) -> bool:
    """Return whether machine code can be made of a rule, where it is made at all."""
    try:
        return objects.DISABLED or bool(address(rule, dtype))
    except (AttributeError, TypeError, ValueError):  # a rule may do anything
        return False


class _Settings:
    """Stands for the settings of a rule: numbers that are read when they are first asked for."""

    def __init__(self, read: Callable[[int], Lanes]) -> None:
        self._read, self._known = read, dict[int, Lanes]()

    def __getitem__(self, k: int) -> Lanes:
        if k not in self._known:
            self._known[k] = self._read(k)
        return self._known[k]


def _text(rule: Rule, dtype: str) -> str:
    """The module of `update`."""
    f = Function("float" if dtype == "float32" else "double", contract=False)
    for name in ("theta", "gradient", "slots", "told"):
        f.lines.append(f" %{name} = inttoptr i64 %{name}_ to ptr")
    size = f.given("%size")
    single = dtype == "float32" and platform.machine().lower() in ("x86_64", "amd64")
    if single:
        _flush_subnormals(f, on=True)
    at = f.when(f.load("%told", 2) != 0.0, lambda: [_pull(f, size)], [f.index(0)])[0]
    f.when(f.load("%told", 1) < math.inf, lambda: _clip(f, size))

    def group(_: Any, first: Lanes, s: Lanes, at: Lanes) -> list[Lanes]:
        last = f.word_of(f.load("%told", s))
        own = f.binary("sub", last, first)
        settings = _Settings(lambda k: f.load("%told", s + 2 + k))
        _move(f, rule, settings, first, own, at)
        told = f.word_of(f.load("%told", s + 1))
        return [last, s + 2 + told, at + own * slots_of(rule)]

    f.loop(f.word_of(f.load("%told", 3)), group, [f.index(0), f.index(4), at])
    if single:
        _flush_subnormals(f, on=False)
    text = f.text("update", _PARAMETERS, inner=False)
    return "\n".join([*sorted(f.declared), text])


def _each(
    f: Function, size: Lanes, body: Callable[[Any, int], None], cases: Sequence[Lanes] = ()
) -> None:
    """Run body(place, width) for all places, vector by vector, with loops for these cases."""
    vector = objects.vector_bytes() // (4 if f.number == "float" else 8)
    whole = f.binary("and", size, -vector)

    def some(i: Any) -> None:
        body(i, vector)

    def one(i: Any) -> None:
        body(whole + i, 1)

    f.by_cases(cases, lambda: f.loop(whole, some, step=vector))
    f.loop(f.binary("sub", size, whole), one)


def _move(
    f: Function, rule: Rule, settings: _Settings, first: Lanes, size: Lanes, at: Lanes
) -> None:
    """Move the numbers of a group, in a loop for each way that settings have a rule take."""
    on_lanes = vectormath.on_lanes(f, rule)

    def way(*numbers: Lanes) -> Any:
        return on_lanes(*numbers, settings)

    def body(i: Any, w: int) -> None:
        places = [at + size * k + i for k in range(slots_of(rule))]
        given = [f.load("%theta", first + i, w), f.load("%gradient", first + i, w)]
        slots = [f.load("%slots", place, w) for place in places]
        moved, *kept = f.traced_all(way, *given, *slots)
        f.store(moved, "%theta", first + i)
        for place, slot, new in zip(places, slots, kept, strict=True):
            if new.name != slot.name:
                f.store(new, "%slots", place)

    # run on any two numbers at once: what it reads and branches on that is one number, are settings
    branches = f.branches(way, *[f.load("%told", 0, 2)] * (2 + slots_of(rule)))
    settled = [branch for branch in branches if branch.width == 1][:_SETTLED]
    _each(f, size, body, settled)


def _pull(f: Function, size: Lanes) -> Lanes:
    """Add the gradient of the L2 penalty, and leave the penalty; return where slots go on."""

    def one(i: Any, penalty: Lanes) -> list[Lanes]:
        w = f.load("%theta", i)
        pull = f.load("%slots", i) * w
        f.store(f.load("%gradient", i) + pull, "%gradient", i)
        return [penalty + pull * w]

    (penalty,) = f.loop(size, one, [f.literal(0.0)])
    f.store(penalty * 0.5, "%told", 0)
    return size


def _clip(f: Function, size: Lanes) -> None:
    """Scale the gradient to the largest norm."""

    def one(i: Any, total: Lanes) -> list[Lanes]:
        g = f.load("%gradient", i)
        return [total + g * g]

    (total,) = f.loop(size, one, [f.literal(0.0)])
    by = f.traced(factor, f.call("sqrt", total), f.load("%told", 1))

    def scale(i: Any, w: int) -> None:
        f.store(f.load("%gradient", i, w) * f.widened(by, w), "%gradient", i)

    _each(f, size, scale)


def _flush_subnormals(f: Function, *, on: bool) -> None:
    """Have the processor take subnormal numbers for 0, or not. In single precision moments that
    are no longer fed soon become subnormal, and stay so; then arithmetic is ten times as slow."""
    f.declared |= {f"declare void @llvm.x86.sse.{name}(ptr)" for name in ("stmxcsr", "ldmxcsr")}
    both = 0x8040  # of results, and of operands
    name = f.result("alloca i32", INDEX, 1, pure=False).name
    f.lines += [
        f" call void @llvm.x86.sse.stmxcsr(ptr {name})",
        f" {name}.was = load i32, ptr {name}",
        f" {name}.is = {'or' if on else 'and'} i32 {name}.was, {both if on else ~both}",
        f" store i32 {name}.is, ptr {name}",
        f" call void @llvm.x86.sse.ldmxcsr(ptr {name})",
    ]
