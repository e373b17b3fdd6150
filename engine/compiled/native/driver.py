"""The driver: what runs a program's parts in order, emitted with them.

`drive(job)` runs steps, or the one step of a program that can't be trained. In each, S forwards;
then, chunk by chunk of lanes, the examples are read, L goes forwards and backwards; then S
backwards. Inputs that are read in place are not copied for that: a row of addresses says where each
example has them. A chunk that is not full is filled up with copies of its first example, to which
no adjoint arrives. In training the step ends with an update by the rule, a function at an address;
without one the steps are parts of a batch, whose gradients follow each other, as do the numbers of
their examples. `done` says how many steps were done then: all, or those before an update in which a
guard failed, a nan was seen, or the weights' sum is 0; nothing is kept of that.

The Python of it is `interpreter.drive`, line by line: its slow twin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from engine.compiled.blocks import NAN_SEEN, NOT_FINITE, STEP, Array, L, S
from engine.compiled.native import routines
from engine.compiled.native.function import Function
from engine.compiled.native.layout import STRIPS, Layout
from engine.compiled.native.numbers import Lanes

FEW = 16  # outputs of a space, and gradients by example, that are written out; more in a loop


@dataclass(frozen=True, slots=True)
class Outline:
    """What the driver knows of a program besides its parts."""

    rows: tuple[int, int]  # of S and of L
    inputs: tuple[int, int]  # how many of S and of L come first
    outputs: Sequence[tuple[int, int]]  # space and row
    listed: int  # where the pool has what `pool_with_lists` puts there
    columns: Sequence[int]  # rows of L whose adjoints are asked for, example by example
    checked: bool
    backward: bool  # whether there is an adjoint at all
    training: bool  # whether it can be trained, too
    parts: Sequence[str]  # those that are there, in their order

    @property
    def lanes(self) -> bool:
        """Whether there are examples to run chunk by chunk."""
        outputs = any(space == L for space, _ in self.outputs)
        return outputs or self.inputs[L] > 0 or "forward_lanes" in self.parts

    @property
    def calls_routines(self) -> bool:
        """Whether the driver calls any of what drivers share."""
        return self.lanes or self.training


Places = list[tuple[int, int]]  # among outputs, or gradients by example; and rows


def _lists(outputs: Sequence[tuple[int, int]], columns: Sequence[int]) -> tuple[Places, ...]:
    """What the driver goes through: the outputs of S, those of L, and what is asked by example."""
    of_space = [[(k, row) for k, (space, row) in enumerate(outputs) if space == s] for s in (S, L)]
    return (*of_space, [*enumerate(columns)])


def pool_with_lists(
    pool: Array, outputs: Sequence[tuple[int, int]], columns: Sequence[int]
) -> Array:
    """The pool of a machine, which has at its end all of each list but the first few: the places,
    then the rows."""
    rest = [np.array(some[FEW:], np.int64).T.ravel() for some in _lists(outputs, columns)]
    return np.concatenate([pool, *rest])


def drive(e: Layout, frame: Outline) -> Function:
    """Return the function `drive`."""
    return _Driver(e, frame).function()


class _Driver:
    def __init__(self, e: Layout, frame: Outline) -> None:
        self.e, self.frame = e, frame
        self.f = Function(e.number)
        lists = _lists(frame.outputs, frame.columns)
        starts = accumulate((2 * len(some[FEW:]) for some in lists), initial=frame.listed)
        self.of_shared, self.of_lanes, self.by_example = zip(starts, lists, strict=False)
        for name in ("pool", "ops", "vs", "gs", "vl", "gl"):
            pointer = self.f.pointer("%job", e.job(name))
            self.f.lines.append(f" %{name} = getelementptr i8, ptr {pointer}, i64 0")
        if e.in_place is not None:
            self.f.put_room(e.lanes, "%job", e.job("rows"))

    # --- small things ---

    def word(self, name: str) -> Lanes:
        """A word of the job."""
        return self.f.word("%job", self.e.job(name))

    def at(self, name: str) -> str:
        """An address in the job."""
        return self.f.pointer("%job", self.e.job(name))

    def flag(self, name: str) -> Lanes:
        """Whether a word of the job is set."""
        return self.f.holds("ne", self.word(name), 0)

    def call(self, part: str, start: Any = 0, w: Any = 1) -> None:
        """Run a part of the program, if it has this one."""
        if part in self.frame.parts:
            self.f.call_part(part, start, w)

    def routine(self, name: str, *given: Any) -> None:
        """Call a routine that drivers share."""
        routines.call(self.f, name, *given)

    def at_least_one(self, count: Lanes) -> Lanes:
        """The count; 1 for 0."""
        return self.f.whole(self.f.holds("sgt", count, 1), count, 1)

    def either(self, in_training: Callable[[], None] | None, else_: Callable[[], None]) -> None:
        """Write down what is done in training, and what else."""
        if not self.frame.training:
            else_()
            return
        if in_training is not None:
            self.f.when(self.training, in_training)
        self.f.when(~self.training, else_)

    def each(self, listed: tuple[int, Places], body: Callable[[Any, Any], None]) -> None:
        """Do something for each of a list: with its place, and its row."""
        f, (at, places) = self.f, listed
        for k, row in places[:FEW]:
            body(k, row)
        rest = len(places[FEW:])
        if rest:
            f.loop(rest, lambda i: body(f.word("%pool", i + at), f.word("%pool", i + (at + rest))))

    # --- the whole ---

    def function(self) -> Function:
        f = self.f
        if not self.frame.training:  # there is one step then: LLVM has half as much to do
            self.step(f.index(0))
            return f
        steps = self.word("steps")
        f.put_word(0, "%job", self.e.job("done"))
        self.training, self.rule = self.flag("training"), self.flag("rule")
        self.theta, self.gradient = self.numbers_that_move()

        def one(step: Any) -> tuple[Lanes, Sequence[Lanes]]:
            ok = self.step(step)
            later = step + 1
            f.when(ok, lambda: f.put_word(later, "%job", self.e.job("done")))
            return ok & f.holds("slt", later, steps), ()

        f.when(f.holds("sgt", steps, 0), lambda: f.until(one, ()))
        self.give_back(steps)
        return f

    def step(self, step: Lanes) -> Lanes:
        """Run a step; return whether it was done."""
        f, frame = self.f, self.frame
        starts = self.at("starts")
        first, last = f.word(starts, step * 2), f.word(starts, step * 2 + 1)
        count = f.binary("sub", last, first)
        self.first, self.count = first, count
        if frame.training:
            f.when(self.training, lambda: self.prepare(step, count))
        self.call("begin")
        backward = self.flag("backward") if frame.backward else None
        if frame.backward:
            nothing = f.literal(self.e.lists.nothing)
            self.each(self.of_shared, lambda _, row: f.store(nothing, "%gs", row))
        self.call("forward_shared")
        watching = f.holds("ne", f.word("%pool", NOT_FINITE), 0)
        f.when(watching, self.watch_shared)
        if frame.checked and frame.lanes:
            self.spread_failure(count)
        held = f.index(0)
        if frame.lanes:
            held = self.chunks(step, backward, watching)
        weights = self.at("weights")
        given = (weights, held, backward)
        self.each(self.of_shared, lambda k, row: self.shared_output(step, k, row, *given))
        ok: Lanes = f.holds("eq", 0, 0)
        if frame.training and len(frame.outputs) > 1:
            total = f.load_double(self.at("losses"), step * 2 + 1)  # there is one where it counts
            ok = ~self.rule | f.differs(total, 0.0)
        if backward is not None:
            both = ok & backward
            f.when(both, lambda: self.back(step))
        if frame.training:
            ok = ok & (~self.training | self.update(step, ok, count))
        return ok

    # --- guards and watching ---

    def watch_shared(self) -> None:
        """Note whether there is an inf or a nan in S."""
        f = self.f

        def row(r: Any) -> None:
            finite = f.call("fabs", f.load("%vs", r)) < float("inf")
            f.when(~finite, lambda: f.put_word(1, "%pool", NOT_FINITE))

        f.loop(self.frame.rows[S], row)

    def spread_failure(self, count: Lanes) -> None:
        """A guard of S that failed, failed for all examples."""
        f, fail, found = self.f, self.at("fail"), self.at("found")
        order, number = f.word(fail, 0), f.load(found, 0)

        def all_of_them() -> None:
            self.routine("fill_words", fail, order, count)
            self.routine("fill", found, number, count)

        f.when(f.holds("sge", order, 0), all_of_them)

    # --- lanes ---

    def chunks(self, step: Lanes, backward: Lanes | None, watching: Lanes) -> Lanes:
        """Run the examples chunk by chunk; return for how many of them the guards held."""
        f, e, frame = self.f, self.e, self.frame
        width = e.lanes
        total = f.binary("sub", f.binary("plus", self.count, width), 1)
        chunks = f.result(f"sdiv i64 {total.name}, {width}", "index", 1)

        def chunk(c: Any, held: Lanes) -> list[Lanes]:
            start = c * width
            rest = f.binary("sub", self.count, start)
            w = f.whole(f.holds("slt", rest, width), rest, width)
            self.read_examples(start, w)
            self.call("forward_lanes", start, w)
            given = ("%vl", "%pool", frame.rows[L], width, w)
            f.when(watching, lambda: self.routine("watch", *given))
            self.each(self.of_lanes, lambda k, row: self.lane_output(step, k, row, start, w))
            if backward is None:
                return [held]

            def back() -> list[Lanes]:
                self.seed_lanes(start, w)
                self.call("backward_lanes", start, w)
                self.lane_gradients(start, w)
                return [held + self.held(start, w)]

            return f.when(backward, back, [held])

        return f.loop(chunks, chunk, [f.index(0)])[0]

    def read_examples(self, start: Lanes, w: Lanes) -> None:
        """Fill the inputs of L; of those that are read in place, note where each example at hand
        has them."""
        f, width, inputs = self.f, self.e.lanes, self.frame.inputs[L]
        first, view = self.first + start, self.e.in_place
        if view is None:
            if inputs:
                self.routine("read", "%job", "%vl", inputs, width, first, w)
            return
        rows, numbers, order = self.at("rows"), self.at("in_place"), self.at("order")
        stride = self.word("in_place_stride")

        def lane(i: Any) -> None:
            at = f.word(order, first + f.whole(f.holds("slt", i, w), i, 0)) * stride
            f.put_word(f.as_word(f.address(numbers, at)), rows, i)

        f.loop(width, lane)
        end = view.first + view.count
        offset = f.binary("sub", f.index(end), self.word("lacking"))
        for begin, count, column in ((0, view.first, 0), (end, inputs - end, offset)):
            if count:
                given = (f.address("%vl", begin * width), count, width, first, w, column)
                self.routine("read_columns", "%job", *given)

    def lane_output(self, step: Lanes, k: Any, row: Any, start: Lanes, w: Lanes) -> None:
        """Give an output of the examples at hand, or add them up in training."""
        f, numbers = self.f, self.f.address("%vl", row * self.e.lanes)

        def add_up() -> None:
            losses = f.word_address(self.at("losses"), step * 2 + k)
            self.routine("add_up", numbers, losses, w)

        def give() -> None:
            place = self.word("columns") * k + start
            self.routine("copy", numbers, f.address(self.at("outputs"), place), w)

        self.either(add_up if isinstance(k, int) and k < 2 else None, give)

    def seed_lanes(self, start: Lanes, w: Lanes) -> None:
        """Set the adjoints of outputs: weights, where guards held."""
        f, width, weights = self.f, self.e.lanes, self.at("weights")
        nothing, fail = f.literal(self.e.lists.nothing), f.word_address(self.at("fail"), start)

        def clear(_: Any, row: Any) -> None:
            self.routine("fill", f.address("%gl", row * width), nothing, width)

        def seed(k: Any, row: Any) -> None:
            given = (f.load(weights, k), int(self.frame.checked), w)
            self.routine("seed", f.address("%gl", row * width), fail, *given)

        self.each(self.of_lanes, clear)
        self.each(self.of_lanes, seed)

    def held(self, start: Lanes, w: Lanes) -> Lanes:
        """For how many of the examples at hand all guards held."""
        f = self.f
        if not self.frame.checked:
            return w
        fail = self.at("fail")

        def one(i: Any, held: Lanes) -> list[Lanes]:
            holds = f.holds("slt", f.word(fail, start + i), 0)
            return [held + f.whole(holds, 1, 0)]

        return f.loop(w, one, [f.index(0)])[0]

    def lane_gradients(self, start: Lanes, w: Lanes) -> None:
        """Give the gradients that are asked for example by example."""
        f, columns = self.f, len(self.frame.columns)

        def give(k: Any, row: Any) -> None:
            out = f.address(self.at("lane_gradient"), start * columns + k)
            gradient = f.address("%gl", row * self.e.lanes)
            self.routine("give_gradient", gradient, out, "%pool", columns, w)

        self.each(self.by_example, give)

    # --- S, after the lanes ---

    def shared_output(
        self,
        step: Lanes,
        k: Any,
        row: Any,
        weights: str,
        held: Lanes,
        backward: Lanes | None,
    ) -> None:
        """Give an output of S, for each example; and set its adjoint."""
        f, x = self.f, self.f.load("%vs", row)
        times = self.at_least_one(self.count)

        def note() -> None:
            f.put_double(x * f.number_of(times), self.at("losses"), step * 2 + k)

        def give() -> None:
            outputs, columns = self.at("outputs"), self.word("columns")
            place = f.address(outputs, columns * k)
            if self.frame.lanes:
                self.routine("fill", place, x, columns)
            else:
                f.store(x, place, 0)

        self.either(note if isinstance(k, int) and k < 2 else None, give)
        if backward is None:
            return
        there = f.holds("sgt", self.count, 0)
        for_each = f.whole(there, held, 1) if self.frame.lanes else f.index(1)
        seed = f.load(weights, k) * f.number_of(for_each)
        seed = f.select(f.differs(seed, 0.0), seed, self.e.lists.nothing)
        f.when(backward, lambda: f.store(seed, "%gs", row, adds=True))

    def back(self, step: Lanes) -> None:
        """S backwards; its gradient, scaled, is then in the adjoints of the inputs."""
        f, shared = self.f, self.frame.inputs[S]
        self.call("backward_shared")
        scale = f.literal(1.0)
        if self.frame.training:

            def inverse() -> list[Lanes]:
                total = f.load_double(self.at("losses"), step * 2 + 1)
                return [f.from_double(f.quotient(1.0, total))]

            (scale,) = f.when(self.flag("mean"), inverse, [scale])

        def some(o: Any, found: Lanes, used: int = self.e.vector) -> list[Lanes]:
            g = f.load("%gs", o, found.width, used)
            g = g * f.widened(scale, g.width) + 0.0 if self.frame.training else g + 0.0
            f.store(g, "%gs", o, used)
            return [f.select(f.compare("uno", g, g), g, found)]

        strips = self.e.strips(shared)
        full = shared // self.e.vector
        width, found = self.e.vector, list[Lanes]()
        if full:
            none = [f.literal(0.0, width)]
            found = f.loop(full * width, some, none, step=width, unrolled=full <= STRIPS)
        for o, w, used in strips[full:]:
            found += some(o, f.literal(0.0, w), used)
        for x in found:  # a nan, if there was one
            f.note_nan(x, NAN_SEEN)

    # --- training ---

    def numbers_that_move(self) -> tuple[Lanes, Lanes]:
        """Where the rule finds the numbers that move, and their gradient: in S, if they follow
        each other there, where they live for the time being; else where the caller has them."""
        f = self.f
        places, size = self.at("places"), self.word("size")
        self.base = f.word(places, 0)

        def one(p: Any, together: Lanes) -> list[Lanes]:
            follows = f.holds("eq", f.word(places, p), self.base + p)
            return [f.whole(follows, together, 0)]

        begins = f.whole(f.holds("sge", self.base, 0), 1, 0)
        (together,) = f.loop(size, one, [begins])
        self.together = f.holds("ne", together, 0)
        theta = self.at("theta")

        first = f.address("%vs", self.base)
        f.when(self.together, lambda: self.routine("copy", theta, first, size))
        found = []
        for buffer, name in (("%vs", "theta"), ("%gs", "gradient")):
            here = f.as_word(f.address(buffer, self.base))
            found.append(f.whole(self.together, here, self.word(name)))
        return found[0], found[1]

    def prepare(self, step: Lanes, count: Lanes) -> None:
        """Begin a step: numbers that move in their rows, no sums, no failed guards."""
        f = self.f
        given = (self.at("theta"), self.at("places"), "%vs", self.word("size"))
        f.when(~self.together, lambda: self.routine("put", *given))
        losses = self.at("losses")
        for k in range(2):
            f.put_double(f.literal(0.0), losses, step * 2 + k)
        if self.frame.checked:
            self.routine("fill_words", self.at("fail"), -1, self.at_least_one(count))

    def update(self, step: Lanes, ok: Lanes, count: Lanes) -> Lanes:
        """Move the numbers by the rule; return whether that was to be."""
        f = self.f
        fine = ok & self.training & f.holds("eq", f.word("%pool", NAN_SEEN), 0)
        if self.frame.checked:
            fail = self.at("fail")

            def one(i: Any, good: Lanes) -> list[Lanes]:
                return [f.whole(f.holds("slt", f.word(fail, i), 0), good, 0)]

            (good,) = f.loop(self.at_least_one(count), one, [f.index(1)])
            fine = fine & f.holds("ne", good, 0)
        size = self.word("size")

        def move() -> None:
            told = f.as_word(f.address(self.at("settings"), step * self.word("told")))
            given = [self.theta, self.gradient, self.word("slots"), told, size]
            words = ", ".join(f"i64 {x.name}" for x in given)
            f.lines.append(f" call void {self.at('rule')}({words})")
            f.put_word(f.word("%pool", STEP) + 1, "%pool", STEP)

        def go_on() -> None:
            f.when(self.together, lambda: self.copy_back("gradient", "%gs"))
            gradient, ids = f.address(self.at("gradient"), size), self.at("ids")
            f.put_word(f.as_word(gradient), "%job", self.e.job("gradient"))
            f.put_word(f.as_word(f.word_address(ids, count)), "%job", self.e.job("ids"))

        def both() -> None:
            out = ("%gs", self.at("places"), self.at("gradient"), size)
            f.when(~self.together, lambda: self.routine("collect", *out))
            f.when(self.rule, move)
            f.when(~self.rule, go_on)

        f.when(fine, both)
        return fine

    def copy_back(self, name: str, buffer: str) -> None:
        """Put numbers that live in S where the caller has them."""
        self.routine("copy", self.f.address(buffer, self.base), self.at(name), self.word("size"))

    def give_back(self, steps: Lanes) -> None:
        """At the end, put the numbers that lived in S where the caller has them."""
        f, moved = self.f, self.together & self.rule
        f.when(moved, lambda: self.copy_back("theta", "%vs"))
        whole = moved & f.holds("eq", self.word("done"), steps)
        f.when(whole, lambda: self.copy_back("gradient", "%gs"))
