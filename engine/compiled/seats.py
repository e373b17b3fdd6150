"""Seats: buffers for one call at a time of a program's machine code, for no or a few examples.

In: a machine. Out: `Seats`. A caller takes one, packs numbers into it, calls `drive` with its
address, unpacks status and results, and gives it back. Each has buffers of its own, so that
threads, and calls within a call, need not wait for each other.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.compiled.blocks import NAN_SEEN, POOL_HEADER, Array
from engine.compiled.machine import Machine
from engine.compiled.native.job import AT
from engine.compiled.worker import Prepared

Seat = tuple[Any, ...]  # its memory, the address of its job, the views, and what keeps the job
View = tuple[str, slice, tuple[int, ...]]
_WORD, _LINE = 8, 64  # bytes of a word, and of a line of the cache


class Seats:
    """The seats of a machine, made as they are needed; `free` are those that nobody has.

    For each of `views` a seat has an array: over numbers ("vs") or adjoints ("gs") of some shared
    inputs, in a shape; of the examples' numbers ("data") in some columns; or all of its "outputs",
    with a row for each, the first guards that "fail", and where the examples begin and end
    ("starts").
    """

    @classmethod
    def of(
        cls, machine: Machine, *, backward: bool, views: Sequence[View] = (), count: int = 0
    ) -> Seats | None:
        """Those of a machine, for up to `count` examples; None where it has no code of its own."""
        prepared = machine.prepared(backward=backward, count=count)
        return None if prepared is None else cls(prepared, views)

    def __init__(self, prepared: Prepared, views: Sequence[View]) -> None:
        self._prepared, self._views = prepared, views
        self.drive, self.width, self.checked = prepared.drive, prepared.width, prepared.checked
        self.outputs = prepared.shapes["outputs"][0]
        self.free: list[Seat] = []
        self._pool = prepared.pool
        self._pool[:POOL_HEADER] = 0
        dtype, words, shapes = prepared.shared.dtype, np.dtype(np.int64), prepared.shapes
        self._kinds = {
            "pool": (words, self._pool.shape),
            "fail": (words, (self.width,)),
            "found": (dtype, (self.width,)),
            "starts": (words, (2,)),
            "outputs": (dtype, shapes["outputs"]),
            "gs": (dtype, prepared.shared.shape),
            "vs": (dtype, prepared.shared.shape),
            "data": (dtype, shapes["data"]),
            "vl": (dtype, prepared.lanes.shape),
            "gl": (dtype, prepared.lanes.shape),
        }
        self._places, self._size = {}, 0
        for name, (kind, shape) in self._kinds.items():
            grain = _LINE if kind is dtype and name != "outputs" else _WORD
            self._places[name] = self._size = -(-self._size // grain) * grain
            self._size += kind.itemsize * math.prod(shape)
        self._code, self._item = "f" if dtype.itemsize == 4 else "d", dtype.itemsize

    def make(self) -> Seat:
        """Return a new one."""
        memory = bytearray(self._size + _LINE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        shift = -address % _LINE
        whole = memoryview(memory)[shift : shift + self._size]
        job, arrays = self._prepared.job.copy(), {}
        for name, (kind, shape) in self._kinds.items():
            place = self._places[name]
            job[AT[name]] = address + shift + place
            flat = np.frombuffer(whole, kind, math.prod(shape), place)
            arrays[name] = flat.reshape(shape)
        arrays["pool"][:], arrays["fail"][:] = self._pool, -1
        arrays["vs"][:], arrays["vl"][:] = self._prepared.shared, self._prepared.lanes
        views = [self._view(arrays, *view) for view in self._views]
        return (whole, job.ctypes.data, *views, job)

    def _view(
        self, arrays: dict[str, Array], name: str, places: slice, shape: tuple[int, ...]
    ) -> Array:
        if name in ("vs", "gs"):
            return arrays[name][places].reshape(shape)
        if name == "data":
            return arrays[name][:, places].reshape(-1, *shape)
        return arrays[name]

    def clean(self, seat: Seat) -> None:
        """Have the status say that nothing unusual was seen, which a run changes only if so."""
        struct.pack_into("=q", seat[0], self._places["pool"] + _WORD * NAN_SEEN, 0)
        minus_one = b"\xff" * (_WORD * self.width)
        seat[0][self._places["fail"] : self._places["fail"] + len(minus_one)] = minus_one

    def packer(self, given: Sequence[bool]) -> tuple[Any, int]:
        """Return what packs the shared inputs that are given, and where to."""
        return struct.Struct("=" + self._runs(given)).pack_into, self._places["vs"]

    def unpacker(self, wanted: Sequence[bool]) -> Any:
        """Return what unpacks whether a nan was seen, the first guard that failed if there are
        any, the outputs, and the adjoints of the shared inputs that are wanted."""
        parts = ["=", f"{_WORD * NAN_SEEN}xq"]
        at = _WORD * (NAN_SEEN + 1)
        if self.checked:
            parts.append(f"{self._places['fail'] - at}xq")
            at = self._places["fail"] + _WORD
        if self.width > 1:  # outputs and guards of each example are looked at by arrays
            return struct.Struct("".join(parts[:2])).unpack_from
        parts.append(f"{self._places['outputs'] - at}x{self.outputs}{self._code}")
        at = self._places["outputs"] + self.outputs * self._item
        if any(wanted):
            parts.append(f"{self._places['gs'] - at}x{self._runs(wanted)}")
        return struct.Struct("".join(parts)).unpack_from

    def _runs(self, which: Sequence[bool]) -> str:
        """A format of some numbers of several, the others skipped."""
        ends = [k for k in range(1, len(which)) if which[k] != which[k - 1]]
        bounds = [0, *ends, len(which)]
        item = self._item
        return "".join(
            f"{last - first}{self._code}" if which[first] else f"{(last - first) * item}x"
            for first, last in itertools.pairwise(bounds)
            if last > first
        )
