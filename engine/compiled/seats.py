"""Seats: buffers for one call at a time of a program's machine code.

In: a machine. Out: `Seats`. A caller takes one, packs numbers into it, calls `drive` with its
address, unpacks status and results, and gives it back. Each has buffers of its own, so that
threads, and calls within a call, need not wait for each other. Examples are read where they lie,
and what is computed for each goes into new arrays (`run`).
"""

from __future__ import annotations

import ctypes
import itertools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.compiled.blocks import NAN_SEEN, POOL_HEADER, Array
from engine.compiled.machine import Machine
from engine.compiled.native.job import AT
from engine.compiled.ready import Ready
from engine.compiled.worker import Prepared, address

Seat = tuple[Any, ...]  # its memory, the address of its job, the views, and what a run writes to
View = tuple[str, slice, tuple[int, ...]]
_WORD, _LINE = 8, 64  # bytes of a word, and of a line of the cache
_RUN_AT = _WORD * AT["data"]  # where the words about a run are in the job
_PACK_RUN = struct.Struct(f"={1 + AT['lane_gradient'] - AT['data']}q").pack_into


class Seats:
    """The seats of a machine, made as they are needed; `free` are those that nobody has.

    For each of `views` a seat has an array, over numbers ("vs") or adjoints ("gs") of some shared
    inputs, in a shape.
    """

    @classmethod
    def of(
        cls, machine: Machine, *, backward: bool, views: Sequence[View] = (), count: int = 0
    ) -> Seats | None:
        """Those of a machine, for about `count` examples, or for none; None where it has no code
        of its own."""
        prepared = machine.prepared(backward=backward, count=count)
        return None if prepared is None else cls(prepared, views, count > 0)

    def __init__(self, prepared: Prepared, views: Sequence[View], batched: bool) -> None:
        self._prepared, self._views, self._batched = prepared, views, batched
        self.drive, self.ready, self.checked = prepared.drive, prepared.ready, prepared.checked
        self._drive_long: Any = prepared.ready.drive
        self.outputs = 0 if batched else prepared.outputs  # that are in a seat
        self.free: list[Seat] = []
        self._pool = prepared.pool
        self._pool[:POOL_HEADER] = 0
        self._dtype, words = prepared.shared.dtype, np.dtype(np.int64)
        dtype = self._dtype
        self._kinds = {"pool": (words, self._pool.size)}
        if not batched:
            self._kinds |= {"fail": (words, 1), "found": (dtype, 1)}
        self._kinds |= {
            "starts": (words, 2),
            "weights": (dtype, max(1, prepared.outputs)),
            "outputs": (dtype, self.outputs),
            "gs": (dtype, prepared.shared.size),
            "vs": (dtype, prepared.shared.size),
            "vl": (dtype, prepared.lanes.size),
            "gl": (dtype, prepared.lanes.size),
        }
        self._places, self._size = {}, 0
        for name, (kind, count) in self._kinds.items():
            grain = _LINE if name in ("gs", "vs", "vl", "gl") else _WORD
            self._places[name] = self._size = -(-self._size // grain) * grain
            self._size += kind.itemsize * count
        self._order = np.zeros(0, np.int64), 0  # of the examples, and its address
        self._code, self._item = "f" if dtype.itemsize == 4 else "d", dtype.itemsize

    def make(self) -> Seat:
        """Return a new one."""
        memory = bytearray(self._size + _LINE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        shift = -address % _LINE
        whole = memoryview(memory)[shift : shift + self._size]
        job, arrays = self._prepared.job.copy(), {}
        for name, (kind, count) in self._kinds.items():
            place = self._places[name]
            job[AT[name]] = address + shift + place
            arrays[name] = np.frombuffer(whole[place:], kind, count)
        arrays["pool"][:], arrays["weights"][:1] = self._pool, 1.0
        arrays["vs"][:], arrays["vl"][:] = self._prepared.shared, self._prepared.lanes
        if not self._batched:
            arrays["fail"][:] = -1
        views = [arrays[name][places].reshape(shape) for name, places, shape in self._views]
        return (whole, job.ctypes.data, *views, (job, arrays["starts"], arrays["weights"]))

    def run(self, seat: Seat, data: Array, weight: float = 1.0) -> tuple[Array, Array, bool]:
        """Run examples, a row of the data for each, with a weight of their one output. Return the
        outputs, a row for each; gradients of single examples, a column for each; and whether a
        guard failed."""
        count, inputs = data.shape
        job, starts, weights = seat[-1]
        order, at_order = self._order
        if len(order) < count:
            order = np.arange(2 * count)
            at_order = address(order)
            self._order = order, at_order
        outputs = np.empty((self._prepared.outputs, count), self._dtype)
        gradients = np.empty((count, self._prepared.columns), self._dtype)
        starts[1], weights[0] = count, weight
        at_fail = at_found = 0
        if self.checked:
            fail, found = np.full(count, -1), np.empty(count, self._dtype)
            at_fail, at_found = address(fail), address(found)
        given = (address(data), inputs, inputs == 1, at_order)
        results = (address(outputs), count, at_fail, at_found, address(gradients))
        _PACK_RUN(job, _RUN_AT, *given, *results)
        if self.ready.in_place is not None:
            job[AT["in_place"]] = given[0] + self.ready.in_place.first * self._item
            job[AT["in_place_stride"]] = inputs
        drive = self.drive if count <= self.ready.width else self._drive_long
        drive(seat[1])
        return outputs, gradients, self.checked and bool(fail.max() >= 0)

    def clean(self, seat: Seat) -> None:
        """Have the status say that nothing unusual was seen, which a run changes only if so."""
        struct.pack_into("=q", seat[0], self._places["pool"] + _WORD * NAN_SEEN, 0)
        if not self._batched:
            struct.pack_into("=q", seat[0], self._places["fail"], -1)

    def packer(self, given: Sequence[bool]) -> tuple[Any, int]:
        """Return what packs the shared inputs that are given, and where to."""
        return struct.Struct("=" + self._runs(given)).pack_into, self._places["vs"]

    def unpacker(self, wanted: Sequence[bool], *, outputs: bool = True) -> Any:
        """Return what unpacks whether a nan was seen, the first guard that failed, the `outputs`,
        if these are wanted and in the seat, and the adjoints of shared inputs that are `wanted`."""
        parts = ["=", f"{_WORD * NAN_SEEN}xq"]
        at = _WORD * (NAN_SEEN + 1)
        if self.checked and not self._batched:
            parts.append(f"{self._places['fail'] - at}xq")
            at = self._places["fail"] + _WORD
        if outputs:
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


class SeatsByWidth:
    """The seats of a machine for batches of any size, for each width of chunks that it has code
    for, as it chooses it (`Worker.at_hand`)."""

    def __init__(self, machine: Machine, *, backward: bool, views: Sequence[View]) -> None:
        self._machine, self._backward, self._views = machine, backward, views
        self._made: dict[Ready | None, Seats] = {}

    def __call__(self, count: int) -> Seats | None:
        """Those for `count` examples, or for none; None where there is no code, and where examples
        are divided among threads."""
        machine, backward = self._machine, self._backward
        if machine.divides(count):
            return None
        seats = self._made.get(machine.at_hand(count, backward=backward))
        if seats is None:
            seats = Seats.of(machine, backward=backward, views=self._views, count=count)
            if seats is not None:
                self._made[seats.ready] = seats
        return seats
