"""Instructions as words: the form in which kernels take them, and what adjoints each needs.

In: instructions of `lift`. Out: rows of `WORDS` integers, without the kernels' addresses, and the
number of each one's kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.compiled.kernels import FLAGS, INNER, KERNELS, OUT, SPACE, WORDS, A, B, C, N
from engine.compiled.lift import Blocks, Instruction, L, S, Segments
from engine.ops import TABLE

Array = np.ndarray[Any, np.dtype[Any]]
_INTEGERS = np.int64


def kernel_names() -> list[str]:
    """Kernels by number: rows of the table, in its order, as segments have them; then others."""
    return [f"ew_{name}" for name in TABLE] + list(KERNELS)


def encode(
    instructions: Sequence[Instruction],
    flags: Sequence[Sequence[int]],
    segments: Segments | None = None,
) -> tuple[Array, Array]:
    """The instructions as words, without the kernels' addresses (see `kernels`), and the number
    of each one's kernel. A segment is written out: as one instruction for each operation."""
    segments = segments or Segments()
    number = {name: k for k, name in enumerate(kernel_names())}
    sizes = [i.n if i.kernel == "segment" else 1 for i in instructions]
    starts = list(itertools.accumulate(sizes, initial=0))
    words = np.zeros((max(1, starts[-1]), WORDS), _INTEGERS)
    kernels = np.zeros(starts[-1], _INTEGERS)
    words[: starts[-1], FLAGS] = list(itertools.chain.from_iterable(flags))
    columns = {OUT: segments.out, A: segments.a, B: segments.b, C: segments.c}
    arrays = {word: np.array(column, _INTEGERS) for word, column in columns.items()}
    codes = np.array(segments.code, _INTEGERS)
    others, places = [], []
    for i, start in zip(instructions, starts, strict=False):
        if i.kernel == "segment":
            rows, part = slice(start, start + i.n), slice(i.list_1, i.list_1 + i.n)
            words[rows, SPACE], words[rows, N] = i.space, 1
            for word, array in arrays.items():
                words[rows, word] = array[part]
            kernels[rows] = codes[part]
        else:
            others.append(i)
            places.append(start)
    fields = len(Instruction._fields) - 1
    flat = itertools.chain.from_iterable([i[1:] for i in others])
    table = np.fromiter(flat, _INTEGERS, len(others) * fields).reshape(-1, fields)
    words[places, SPACE:FLAGS] = table[:, : FLAGS - SPACE]
    words[places, INNER:] = table[:, FLAGS - SPACE :]
    kernels[places] = [number[i.kernel] for i in others]
    return words, kernels


class Needs:
    """Which rows need an adjoint: those that depend on what gradients are wanted by.

    `of` is called for the instructions in order. It returns which operands of an instruction need
    one, as flags, one number an instruction and for a segment one an operation; and it marks the
    rows of the result if any does.
    """

    def __init__(self, blocks: Blocks, pool: Array) -> None:
        self.rows = (bytearray(blocks.rows[S]), bytearray(blocks.rows[L]))
        self._pool, self._segments = pool, blocks.segments
        self._bits = [(*_bits(name), 0, 0)[:3] for name in TABLE]

    def of(self, i: Instruction) -> list[int]:
        """The flags of the next instruction."""
        if i.kernel == "segment":
            return self._of_segment(i)
        own, shared, n = self.rows[i.space], self.rows[S], i.n
        wanted: Sequence[bool]
        if i.kernel.startswith("ew_"):
            bits = _bits(i.kernel.removeprefix("ew_"))
            operands = zip(bits, (i.a, i.b, i.c), strict=False)
            wanted = [bit > 0 and 1 in own[first : first + n] for bit, first in operands]
        elif i.kernel == "gather":
            wanted = [1 in own[i.a : i.a + n]]
        elif i.kernel == "gather_list":
            wanted = [self._any(own, i.list_1, n)]
        elif i.kernel == "broadcast":
            wanted = [1 in shared[i.a : i.a + n]]
        elif i.kernel == "broadcast_list":
            wanted = [self._any(shared, i.list_1, n)]
        elif i.kernel == "take":
            wanted = [self._any(self.rows[i.c], i.list_1, n * i.inner)]
        elif i.kernel == "mm":
            n = i.n * i.cols
            wanted = [
                1 in shared[i.a : i.a + i.n * i.inner],
                1 in own[i.b : i.b + i.inner * i.cols],
                i.bias >= 0 and 1 in shared[i.bias : i.bias + i.n],
                i.init >= 0 and 1 in own[i.init : i.init + n],
            ]
        elif i.kernel == "dot":
            wanted = [
                self._any(own, i.list_1, n * i.inner),
                self._any(own, i.list_2, n * i.inner),
                self._any(own, i.list_3, n * i.cols),
            ]
        else:
            wanted = []
        flags = sum(1 << k for k, flag in enumerate(wanted) if flag)
        if flags:
            own[i.out : i.out + n] = b"\1" * n
        return [flags]

    def _of_segment(self, i: Instruction) -> list[int]:
        """The same for operations on single rows, of which there may be millions."""
        own = self.rows[i.space]
        found = []
        for code, out, a, b, c in self._segments.listed(i.list_1, i.n):
            by_a, by_b, by_c = self._bits[code]
            flags = (own[a] and by_a) | (by_b and own[b] and by_b) | (by_c and own[c] and by_c)
            if flags:
                own[out] = 1
            found.append(flags)
        return found

    def _any(self, needs: bytearray, first: int, count: int) -> bool:
        """Whether any row of a list needs an adjoint."""
        rows = self._pool[first : first + count]
        if count < 32:
            return any(needs[row if row >= 0 else ~row] for row in rows.tolist())
        return bool(np.frombuffer(needs, np.uint8)[np.where(rows >= 0, rows, ~rows)].any())


def _bits(row: str) -> tuple[int, ...]:
    """For a row of the table, the flag of each operand whose derivative is not 0 everywhere."""
    return tuple(0 if cut is True else 1 << k for k, cut in enumerate(TABLE[row].cuts))
