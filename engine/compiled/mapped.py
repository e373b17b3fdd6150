"""A program over many examples, in blocks that workers share: `Program.map`.

In: a program, its arguments, and what runs tasks (`engine.spreading`). Out: what one call would
return. Blocks are fixed by `block_size` alone, each is computed by one thread and draws its own
random numbers, and sums go up one pairwise tree of blocks: so the bits are the same for any number
of workers. A task carries the pickled program, which a worker makes once and keeps; numbers of
leaves, which it sets; and its rows, or for a file that is mapped into memory where they are in it.
"""

from __future__ import annotations

import functools
import mmap
import pickle
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine import spreading
from engine.compiled import threads
from engine.compiled.portable import found_at, places_of
from engine.randomness import begin_step, drawing, step_to_run, stream
from engine.trees import is_record, is_static, record_fields, record_maker

KINDS = ("value", "grad", "value_and_grad")
_one_at_a_time = threading.Lock()  # in a worker: the leaves of a program are shared


class _Span(NamedTuple):
    """Rows that are in a file."""

    file: str
    position: int  # in bytes
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def read(self) -> Any:
        try:
            return np.memmap(self.file, self.dtype, "r", self.position, self.shape)
        except (OSError, ValueError) as error:
            raise OSError(
                f"{spreading.here()} can't read the rows in {self.file}: {error}; put the file "
                "where all workers find it by this name"
            ) from None


def mapped(
    program: Any,
    args: Sequence[Any],
    keywords: dict[str, Any],
    on: Any,
    kind: str,
    block_size: int,
) -> Any:
    """Return what `program` would for these arguments: see `Program.map`."""
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
        raise ValueError(f"block_size is a whole number of at least 1, not {block_size!r}")
    in_axes = program._in_axes
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    if len(axes) != len(args):
        raise ValueError(f"in_axes names {len(axes)} arguments, and the call has {len(args)}")
    count = _count(args, axes)
    if on is not None:
        spreading.check(on)
    of_blocks = program if program._reduce != "mean" else program._summed()
    begin = step_to_run()
    first = [_rows(arg, axis, 0, 1) for arg, axis in zip(args, axes, strict=True)]
    # What raises here does so before there is work elsewhere.
    _block(of_blocks, kind, (stream.seed, begin), first, keywords)
    draws = of_blocks._last.draws
    starts = range(0, count, block_size)
    spans = ((a, min(a + block_size, count)) for a in starts)
    blocks = ([_rows(x, i, *span) for x, i in zip(args, axes, strict=True)] for span in spans)
    given = ((kind, (stream.seed, begin + k), block, keywords) for k, block in enumerate(blocks))
    if on is None:
        tasks: Iterator[Any] = ((of_blocks, *task) for task in given)
        found = spreading.finished(_block, tasks)
    else:
        content, leaves = of_blocks._packed()
        told = (spreading.version(), content, np.array([leaf.data for leaf in leaves]))
        tasks = ((*told, kind, at, _sent(block, on), keywords) for _, at, block, _ in given)
        found = spreading.finished(_task, tasks, on)
    how = 0 if program._reduce is None else None  # examples side by side, or their sum
    by_gradient = program._gradient_axes(axes) if how is None else 0
    layout = {"value": how, "grad": by_gradient, "value_and_grad": (how, by_gradient)}[kind]
    with np.errstate(all="ignore"):
        total = spreading.pairwise(found, functools.partial(_together, axis=layout))
        if program._reduce == "mean":
            total = _divided(total, count)
    if draws:
        begin_step(begin + len(starts))
    return total


def _count(args: Sequence[Any], axes: Sequence[Any]) -> int:
    """How many examples there are."""
    counts = {n for arg, axis in zip(args, axes, strict=True) for n in _lengths(arg, axis)}
    if not counts:
        raise ValueError(
            "map is over the examples of a batch, and no argument is batched; say which ones are "
            "with in_axes"
        )
    if len(counts) > 1:
        told = " and ".join(map(str, sorted(counts)))
        raise ValueError(f"the batched arguments have different numbers of examples: {told}")
    if (count := counts.pop()) == 0:
        raise ValueError("there are no examples to map over: a batched argument is empty")
    return count


def _lengths(arg: Any, axis: Any) -> Iterator[int]:
    if axis is None or is_static(arg):
        return
    parts = _parts(arg, axis, listed=True)
    if parts is not None:
        for part, own in parts[0].values():
            yield from _lengths(part, own)
    elif not hasattr(arg, "__len__"):
        raise ValueError(f"a batched argument (in_axes) is no sequence of examples: {arg!r}")
    else:
        yield len(arg)


def _rows(arg: Any, axis: Any, a: int, b: int) -> Any:
    """The argument with the examples from a to b alone."""
    if axis is None or is_static(arg):
        return arg
    parts = _parts(arg, axis, listed=True)
    if parts is None:
        return arg.iloc[a:b] if hasattr(arg, "iloc") else arg[a:b]
    return parts[1]({key: _rows(part, own, a, b) for key, (part, own) in parts[0].items()})


def _parts(
    arg: Any, axis: Any, *, listed: bool = False
) -> tuple[dict[Any, tuple[Any, Any]], Any] | None:
    """The parts of a structure, each with its axis, and how to make it of others; None for what
    has none, or is a batch, as a list is in an argument (`listed`)."""
    if is_record(arg):
        named = {name: getattr(arg, name) for name in record_fields(arg)}
        named = {name: part for name, part in named.items() if not is_static(part)}
        return {name: (part, axis) for name, part in named.items()}, record_maker(arg)
    if isinstance(arg, dict):
        own = axis if isinstance(axis, dict) else dict.fromkeys(arg, axis)
        return {key: (part, own[key]) for key, part in arg.items()}, dict
    if isinstance(arg, tuple) or (isinstance(arg, list) and not (listed and axis == 0)):
        each = axis if isinstance(axis, list | tuple) else [axis] * len(arg)
        make = getattr(type(arg), "_make", type(arg))
        return dict(enumerate(zip(arg, each, strict=True))), lambda found: make(found.values())
    return None


def _together(a: Any, b: Any, axis: Any) -> Any:
    """Results of two blocks, those of examples side by side, the others added."""
    if a is None:
        return None
    parts, others = _parts(a, axis), _parts(b, axis)
    if parts is not None and others is not None:
        return parts[1](
            {key: _together(x, others[0][key][0], own) for key, (x, own) in parts[0].items()}
        )
    return a + b if axis is None else np.concatenate([a, b])


def _divided(total: Any, count: int) -> Any:
    if total is None:
        return None
    parts = _parts(total, None)
    if parts is None:
        return total / count
    return parts[1]({key: _divided(part, count) for key, (part, _) in parts[0].items()})


def _sent(block: list[Any], on: Any) -> list[Any]:
    """The rows as workers get them: computed there, where Dask has them or a file does."""
    return [_reference(arg, on) for arg in block]


def _reference(arg: Any, on: Any) -> Any:
    if hasattr(arg, "__dask_graph__") and hasattr(on, "compute"):
        return on.compute(arg)  # a future, which the task waits for
    if isinstance(arg, np.memmap) and arg.filename is not None and arg.mode != "c":
        whole: Any = arg._mmap  # type: ignore[attr-defined]
        into = arg.ctypes.data - np.frombuffer(whole, np.uint8).ctypes.data
        position = arg.offset - arg.offset % mmap.ALLOCATIONGRANULARITY + into
        if arg.flags.c_contiguous:
            return _Span(str(arg.filename), position, arg.dtype, arg.shape)
    return np.asarray(arg) if isinstance(arg, np.memmap) else arg


def _held(arg: Any) -> Any:
    """Rows that are here."""
    if isinstance(arg, _Span):
        return arg.read()
    return np.asarray(arg) if hasattr(arg, "__dask_graph__") else arg


def _run(program: Any, kind: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
    # In full: plans of earlier calls may take machine code that another process does not have.
    if kind == "value":
        return program._value_in_full(args, keywords)
    found = program._value_and_grad_in_full(args, keywords)
    return found if kind == "value_and_grad" else found[1]


def _block(
    program: Any, kind: str, at: tuple[int, int], args: Sequence[Any], keywords: dict[str, Any]
) -> Any:
    """One block, here."""
    with threads.alone(), drawing(*at):
        return _run(program, kind, [_held(arg) for arg in args], keywords)


def packed(program: Any, leaves: Sequence[Any]) -> bytes:
    """The program with places of leaves that it reads, as workers get it."""
    return pickle.dumps((program, places_of(leaves, program._f)))


@functools.lru_cache(maxsize=8)
def unpacked(content: bytes) -> tuple[Any, list[Any]]:
    """The program and the leaves, made once in a process."""
    program, places = pickle.loads(content)
    return program, found_at(places, program._f)


def _task(
    sender: str, content: bytes, numbers: Any, kind: str, at: Any, args: Any, keywords: Any
) -> Any:
    """One block, in a worker."""
    spreading.check_sender(sender, "program")
    with _one_at_a_time:
        program, leaves = unpacked(content)
        for leaf, number in zip(leaves, numbers.tolist(), strict=True):
            leaf.data = number
        return _block(program, kind, at, args, keywords)
