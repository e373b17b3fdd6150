"""Loops as functions: `scan` over entries, and `while_loop` as long as a condition holds.

In: a step, a function of what is carried from one step to the next. Out: what is carried at the
end, and what each step gave. Eagerly these are Python's loops. In a compiled program they are one
instruction each, whose step was traced once: see `compiled.scans`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence, Sized
from typing import Any

from engine import modes
from engine.conditions import Condition, as_number
from engine.errors import user_line, whole
from engine.trees import flatten, flatten_like, is_array
from engine.value import Value

Step = Callable[..., Any]
LIMIT = 1_000_000  # steps of a `while_loop`, unless it is told otherwise
_FEW = 100  # entries of a list that are looked at one by one


def scan(step: Step, carry: Any, xs: Any = None, length: int | None = None) -> tuple[Any, Any]:
    """Run ``carry, y = step(carry, x)`` for each entry x of `xs`; return the last carry, and the
    list of what the steps gave as y (None where each gave None).

    `carry` is a number, a Value, or a structure of them, and each step returns one like it. `xs`
    is a list, or an array with a row for each step; without it, x is None in `length` steps. In a
    compiled program the step is traced once and becomes the body of one loop, however many entries
    there are; a step that branches on numbers with `if`, or draws random ones, is traced step by
    step. What a step keeps goes into the carry, and what it gives into y: one that changes lists
    or variables outside of it is refused.

    Raises TypeError for a step that returns no such pair, or that keeps state; ValueError for a
    carry of another structure, and for a `length` that disagrees with `xs`.

    >>> scan(lambda total, x: (total + x, total * x), 0.0, [1.0, 2.0, 3.0])
    (6.0, [0.0, 2.0, 9.0])
    """
    entries = _entries(step, xs, length)
    if len(entries) == 0:
        return carry, []
    if modes.tracing and modes.state.trace is not None:
        found = modes.state.trace.scan(step, carry, entries)
        if found is not None:
            return found  # type: ignore[no-any-return]
    ys = []
    for t, x in enumerate(entries):
        carry, y = one_step(step, carry, x, t)
        ys.append(y)
    return carry, gathered(ys)


def while_loop(
    condition: Callable[[Any], Any], step: Step, carry: Any, *, limit: int = LIMIT
) -> Any:
    """Run ``carry = step(carry)`` as long as ``condition(carry)`` holds; return the last carry.

    For what runs as often as the data ask for: Newton's iterations until they converge, an
    integrator that chooses its steps. In a compiled program it is one loop, in which each example
    of a batch takes as many steps as it needs; gradients flow through the steps that were taken.

    Raises RuntimeError where it has not ended after `limit` steps, and says how far it got;
    TypeError for a condition that is no condition, and for a step as `scan` does.

    >>> while_loop(lambda x: x < 100.0, lambda x: 2.0 * x, 3.0)
    192.0
    """
    for f, name in ((condition, "a condition"), (step, "a step")):
        if not callable(f):
            raise TypeError(f"while_loop takes {name}, a function of the carry, not {f!r}")
    limit = whole("while_loop's limit", limit)
    if modes.tracing and modes.state.trace is not None:
        found = modes.state.trace.while_loop(condition, step, carry, limit)
        if found is not None:
            return found[0]
    count = 0
    while holds(condition, carry):
        if count == limit:
            raise RuntimeError(without_end(limit, carry))
        carry, count = another_step(step, carry, count), count + 1
    return carry


# --- what is asked of a step --------------------------------------------------------------------


def one_step(step: Step, carry: Any, x: Any, t: int) -> tuple[Any, Any]:
    """Return what step number t of a `scan` gives. Raises as `scan` does."""
    result = unchanging(step, (carry, x), t)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(
            f"a step of scan returns a pair, (carry, y), not {_told(result)}, {where_is(step, t)}; "
            "where there is no y, return carry, None"
        )
    _check_carry(result[0], carry, step, t)
    return result[0], result[1]


def another_step(step: Step, carry: Any, t: int) -> Any:
    """Return what step number t of a `while_loop` gives. Raises as `while_loop` does."""
    result = unchanging(step, (carry,), t)
    if result is None:
        raise TypeError(
            f"a step of while_loop returns the next carry, not None, {where_is(step, t)}; does it "
            "lack a return statement?"
        )
    _check_carry(result, carry, step, t)
    return result


def holds(condition: Callable[[Any], Any], carry: Any) -> bool:
    """Whether a condition holds. Raises TypeError for what is none."""
    return bool(as_condition(condition(carry), condition))


def is_met(condition: Any) -> bool:
    """Whether a condition holds without which an error is to be raised. Other than `bool`, it is no
    branch: in a step of `scan` under trace it is asked for all steps when they are over."""
    if isinstance(condition, Condition):
        return bool(modes.state.trace.demand(condition.value))
    return bool(condition)


def as_condition(found: Any, condition: Callable[[Any], Any]) -> Any:
    """A condition as a bool, a number or a Value. Raises TypeError for what is none."""
    if isinstance(found, Condition):
        return found.value
    if hasattr(found, "dtype") and getattr(found, "shape", ()) == ():
        found = found.item()
    if not isinstance(found, bool | int | float | Value):
        raise TypeError(
            f"the condition of while_loop is a comparison, as x > 0, not {_told(found)}, "
            f"{where_is(condition, None)}"
        )
    return as_number(found)


def gathered(ys: list[Any]) -> list[Any] | None:
    """What steps gave."""
    return None if all(y is None for y in ys) else ys


def without_end(limit: int, carry: Any) -> str:
    """What is said of a loop that has not ended."""
    numbers = [x._data if isinstance(x, Value) else x for x in flatten(carry)[0][:3]]
    told = ", ".join(f"{x:.6g}" for x in numbers)
    return (
        f"while_loop has not ended after {limit:,} steps, {user_line()}; its carry is {told} then. "
        "If it needs more, give it a larger limit=; else look at its condition"
    )


def _entries(step: Step, xs: Any, length: int | None) -> Sequence[Any]:
    """What the steps are given, one each."""
    if not callable(step):
        raise TypeError(f"scan takes a step, a function of the carry and of x, not {step!r}")
    if length is not None:
        length = whole("scan's length", length, 0)
    if xs is None:
        if length is None:
            raise ValueError("scan needs xs, or length, to know how many steps there are")
        return [None] * length
    if isinstance(xs, dict | str) or not (isinstance(xs, Sized) and hasattr(xs, "__getitem__")):
        raise TypeError(
            f"scan's xs are a list with an entry for each step, not a {type(xs).__name__}; for "
            "several lists write list(zip(a, b))"
        )
    if not getattr(xs, "ndim", 1):
        raise TypeError("scan's xs have an entry for each step, and one number has none")
    entries: Any = xs if is_array(xs) else list(xs)  # type: ignore[call-overload]
    if length is not None and length != len(entries):
        raise ValueError(f"scan was given length={length}, and xs with {len(entries)} entries")
    return entries  # type: ignore[no-any-return]


def unchanging(step: Step, args: tuple[Any, ...], t: int | None) -> Any:
    """What a function returns: step number t of a loop, unless that is None. Step 0, and what is no
    step, is watched for changes to what is outside of it."""
    if t:
        return step(*args)
    before = _surroundings(step)
    result = step(*args)
    after = _surroundings(step)
    for name, state in before.items():
        if after.get(name) != state:
            what, kept = ("function", "an argument") if t is None else ("step", "the carry")
            raise TypeError(
                f"the {what} changes {name}, which is outside of it, {where_is(step, t)}; what it "
                f"keeps goes into {kept}, and what it gives is returned"
            )
    return result


def _surroundings(step: Step) -> dict[str, Any]:
    """What a step reads, by name, as far as one sees at a glance whether it has changed."""
    try:
        read = inspect.getclosurevars(getattr(step, "__func__", step))
    except (TypeError, ValueError):  # it is no plain function, or reads what is not assigned yet
        return {}
    found = {**read.globals, **read.nonlocals, "self": getattr(step, "__self__", None)}
    return {name: _glance(item) for name, item in found.items()}


def _glance(item: Any) -> Any:
    """Something that differs where an object, or what it holds itself, is another."""
    if isinstance(item, list | set | dict):
        entries = item.values() if isinstance(item, dict) else item
        return id(item), len(item), [*map(id, entries)] if len(item) <= _FEW else None
    if type(item).__module__ == "builtins" or callable(item):
        return id(item)
    return id(item), [(name, id(x)) for name, x in getattr(item, "__dict__", {}).items()]


def _check_carry(new: Any, old: Any, step: Step, t: int) -> None:
    try:
        flatten_like(new, old, "the carry that a step returns")
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}, {where_is(step, t)}") from None


def where_is(f: Any, t: int | None) -> str:
    """Where a function stands, and in which step it was."""
    code = getattr(getattr(f, "__func__", f), "__code__", None)
    line = f"at {code.co_filename}:{code.co_firstlineno}" if code else user_line()
    return line if t is None else f"in step {t}, {line}"


def _told(result: Any) -> str:
    size = f" of {len(result)}" if isinstance(result, list | tuple) else ""
    return "None" if result is None else f"a {type(result).__name__}{size}"
