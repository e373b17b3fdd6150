"""Paths: the traces of a function for one signature, and which example takes which.

Each way that Python can branch, and each number that a function read, is a path of its own, kept
with its machines. A run on many examples begins with the path used last. Where a guard fails, what
the run computed for those examples is dropped, and they go on with a path on which all guards up
to that one come out as they did; if there is none, one of them is traced, told these outcomes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine import locks, modes
from engine.compiled import threads
from engine.compiled.arguments import Arguments
from engine.compiled.blocks import follow
from engine.compiled.lift import Blocks, lift
from engine.compiled.machine import Machine
from engine.compiled.origins import Origins, lift_with_origins
from engine.compiled.surroundings import Surroundings
from engine.compiled.tape import Tape, tape_of
from engine.compiled.trace import Recording, record_call
from engine.compiled.worker import Run, Training
from engine.errors import TraceError
from engine.functions import checked_index
from engine.graph import collector_paused, topological_order
from engine.lines import recorder_for
from engine.randomness import drawing, stream
from engine.sweep import reverse_sweep
from engine.trees import flatten, flatten_like, is_record, simplified, vars_by_field
from engine.value import Value, computed_leaf, to_float

Array = np.ndarray[Any, np.dtype[Any]]
MOST_PATHS = 64
_FEW = 4  # paths beyond which code is made in a quick way, until it is hot: maybe few take them
_SOMETHING_ELSE = (
    "the function does something else by now than when it was traced: has a module's mode "
    "changed, or a number that it reads? Call it again, and look at that"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose gradient is wanted: inputs by number, and leaves by place (None: all that are read).

    With `per_example`, that of shared inputs and leaves too is one for each example; otherwise
    it is summed over them.
    """

    inputs: tuple[int, ...] = ()
    leaves: tuple[int, ...] | range | None = ()
    per_example: bool = False


@dataclass(slots=True)
class Result:
    """What a call gave. Gradients are of the outputs' weighted sum over all examples."""

    outputs: Array  # one row an example
    structure: Any  # of one, with each number's place instead
    inputs: Array  # gradient by each shared input, in the order of their numbers
    leaves: Array  # and by each leaf
    columns: dict[tuple[str, int], Array]  # one number an example, by ("input" or "leaf", number)
    path: Path | None  # that all examples took, where nothing else was to be done


@dataclass(slots=True)
class Path:
    """One trace: its tape, and the blocks and machines made of it."""

    tape: Tape
    structure: Any  # the function's result, with each number's place among the outputs instead
    leaf_places: Array  # of the tape's leaves among the leaves of all paths
    example: list[float]  # the numbers that it was traced with
    blocks: dict[tuple[Any, ...], Blocks] = field(default_factory=dict)
    machines: dict[tuple[Any, ...], tuple[Machine, dict[tuple[str, int], int]]] = field(
        default_factory=dict
    )

    def agrees_with(self, outcomes: Sequence[float]) -> bool:
        """Whether the first guards have these numbers on this path."""
        numbers = [guard.number for guard in self.tape.guards[: len(outcomes)]]
        return len(numbers) == len(outcomes) and all(map(_same, numbers, outcomes))


@dataclass(frozen=True, slots=True)
class Lifted:
    """A path to look at: its tape, the blocks, and where on the tape these come from."""

    tape: Tape
    blocks: Blocks
    origins: Origins


def _same(x: float, y: float) -> bool:
    return _bits(x) == _bits(y)


def _bits(x: float) -> float | str:
    """A key for a number: 0.0 and -0.0 are two, and nan is one."""
    return x if x == x and x != 0.0 else repr(x)


def _keys(found: Array) -> Array:
    """The same for each of several."""
    return np.where(found == found, found, np.nan).view(f"i{found.itemsize}")


class Paths:
    """All paths of a function for arguments of one signature, and one state of its surroundings.

    `leaves` are the first of the Values from outside that it reads, in the order in which their
    gradients are wanted. With `native` machine code is emitted where that can be.
    Raises what the function raises when it is traced.
    """

    unrolls = False  # whether loops by `scan` and `while_loop` are traced step by step

    def __init__(
        self,
        f: Callable[..., Any],
        arguments: Arguments,
        leaves: Sequence[Value],
        dtype: str,
        around: Surroundings,
        native: bool = True,
    ) -> None:
        self.f, self.dtype, self.around, self.native = f, dtype, around, native
        self.lanes = [i for i, lane in enumerate(arguments.is_lane) if lane]
        self.shared = [i for i, lane in enumerate(arguments.is_lane) if not lane]
        self.batched = arguments.count is not None
        self.signature, self.positional = arguments.signature, len(arguments.of_argument)
        self.build = arguments.build
        self.statics = arguments.statics
        self.leaves = list(leaves)
        self._places = {leaf: k for k, leaf in enumerate(self.leaves)}
        self.paths: list[Path] = []  # the one used last comes first
        self.draws = False  # whether any of them draws random numbers
        self.hot = False  # whether machines are to be made for many runs
        self.expected = False  # whether that is known, and not for machines to find out
        self.lock = locks.freed()
        self._warned = False

    # --- a run ---

    def run(
        self,
        arguments: Arguments,
        draws: tuple[int, int],
        *,
        weights: Array | None = None,
        wanted: Wanted = Wanted(),
        leaf_numbers: Array | None = None,
    ) -> Result:
        """Run all examples, and with `weights`, one an output, compute gradients.

        `draws` are the seed and the step of random numbers. `leaf_numbers` stand for the numbers
        of the first leaves, where the caller has them at hand. Raises IndexError and ValueError
        for the index of a look-up, naming the example.

        Where sums are to be rounded as elsewhere (`threads.alone`), examples are taken together
        with the first of them, whatever path was used last.
        """
        call = Call(self, arguments, draws, weights, wanted, leaf_numbers)
        # examples, outcomes of their guards, and how many of these are of all of them
        pending: list[tuple[Array, tuple[float, ...], int]] = [(np.arange(call.count), (), 0)]
        while pending:
            which, outcomes, known = pending.pop()
            path = self._path(outcomes, call, int(which[0]))
            if path is None:
                call.run_eagerly(which)
                continue
            fail, found = call.run_on(path, which, known)
            failed = fail >= 0
            together = threads.is_alone() and bool(failed[0])
            if together:
                failed[1:] = False
            for order in np.unique(fail[failed]).tolist():
                here = failed & (fail == order)
                guard = path.tape.guards[order]
                before = tuple(guard.number for guard in path.tape.guards[:order])
                if guard.kind == "index":
                    first = int(np.flatnonzero(here)[0])
                    with self.naming(int(which[first])):
                        checked_index(float(found[first]), int(guard.number))
                keys = _keys(found)
                _, firsts = np.unique(keys[here], return_index=True)
                for k in np.flatnonzero(here)[np.sort(firsts)].tolist():
                    own = (*before, float(found[k]))
                    if together:
                        pending.append((which, own, known))
                        break
                    alike = here & (keys == keys[k])
                    pending.append((which[alike], own, len(own)))
        return self._checked(call, call.result())

    def _checked(self, call: Call, result: Result) -> Result:
        """Return the result of a run, which others look at more closely."""
        return result

    @property
    def in_full(self) -> bool:
        """Whether every call takes the full way, none goes by a plan."""
        return self.draws

    def run_steps(
        self,
        arguments: Arguments,
        draws: tuple[int, int],
        wanted: Wanted,
        moving: int,
        trainings: Callable[[Machine], Iterable[Training]],
    ) -> int:
        """Run updates of the first `moving` leaves, in a call for each training that there is for
        a machine, on the path used last; return how many were done."""
        path = self.paths[0]
        first = len(self.shared)
        own = path.leaf_places < moving
        places = np.full(moving, -1, np.int64)
        places[path.leaf_places[own]] = first + np.flatnonzero(own)
        shared = np.zeros(first + len(own), self.dtype)  # those that move have their numbers there
        shared[:first] = arguments.shared
        others = path.leaf_places[~own].tolist()
        shared[first:][~own] = [self.leaves[k]._data for k in others]
        machine, _ = self.machine(path, wanted, backward=True, lifted=True)
        done = 0
        for training in trainings(machine):
            training.places = places
            step = (draws[0], draws[1] + done if training.rule is not None else draws[1])
            some = machine.run_steps(shared, training, step)
            if some == 0 and machine.nan_seen and training.rule is not None:
                # as in `run_on`, for all of these steps at once
                exact, _ = self.machine(path, wanted, backward=True, lifted=False)
                some = exact.run_steps(shared, training, step)
            done += some
            if some < len(training.starts):
                break
        return done

    def outputs(self, arguments: Arguments, draws: tuple[int, int]) -> int:
        """How many numbers the function returns; it is traced if it was not yet."""
        if not self.paths:
            with self.naming(0), drawing(*draws, stream.example), collector_paused():
                self.paths.append(self._trace(arguments, 0, ()))
        return len(self.paths[0].tape.outputs)

    def _path(self, outcomes: tuple[float, ...], call: Call, example: int) -> Path | None:
        """The path for an example whose first guards have these outcomes; None: run eagerly."""
        for k, path in enumerate(self.paths):
            if path.agrees_with(outcomes):
                self.paths.insert(0, self.paths.pop(k))
                return path
        if len(self.paths) >= MOST_PATHS:
            self._warn(len(outcomes) - 1)
            return None
        counter = call.first + example if self.batched else stream.example
        call.write_leaves()
        with self.naming(example), drawing(*call.draws, counter), collector_paused():
            path = self._trace(call.arguments, example, outcomes)
        self.paths.insert(0, path)
        return path

    def use(self, path: Path | None) -> None:
        """Have a path be the one used last."""
        with self.lock:
            for k, other in enumerate(self.paths):
                if other is path:
                    self.paths.insert(0, self.paths.pop(k))

    def machine(
        self, path: Path, wanted: Wanted, backward: bool, lifted: bool
    ) -> tuple[Machine, dict[tuple[str, int], int]]:
        """The machine of a path for some gradients, and the inputs with a gradient an example."""
        key = (wanted, backward, lifted)
        found = path.machines.get(key)
        if found is not None:
            self._tell(found[0])
            return found
        first = len(self.shared) + len(self.lanes)  # leaves are numbered after the inputs
        leaves = None if wanted.leaves is None else {*wanted.leaves}
        numbers = {("input", i): i for i in wanted.inputs}
        for k, place in enumerate(path.leaf_places.tolist()):
            if leaves is None or place in leaves:
                numbers["leaf", place] = first + k
        in_lanes = {*self.lanes}
        split = [i for i in numbers.values() if i not in in_lanes]
        if not (backward and wanted.per_example and self.batched):
            split = []
        with collector_paused():
            blocks = path.blocks.get((lifted, *split))
            if blocks is None:
                blocks = lift(path.tape, self.lanes, split, lifted=lifted, batched=self.batched)
                path.blocks[lifted, *split] = blocks
            machine = Machine(blocks, [*numbers.values()], self.dtype, native=self.native)
            machine.hot = machine.hot and len(self.paths) <= _FEW
            self._tell(machine)
        columns = {name: i for name, i in numbers.items() if i in in_lanes or i in split}
        made = (machine, columns if backward else {})
        path.machines[key] = made
        if not split:  # the same machine computes values alone
            path.machines[wanted, False, lifted] = (made[0], {})
        return made

    def _tell(self, machine: Machine) -> None:
        """Have a machine know what is known of the runs to come."""
        machine.hot = machine.hot or self.hot
        machine.counting = not self.expected
        machine.trained = machine.trained or self.expected

    @contextmanager
    def naming(self, example: int) -> Iterator[None]:
        """Have errors about an index, raised inside, say which example they are about."""
        try:
            yield
        except (IndexError, ValueError) as error:
            if self.batched and str(error).startswith("take"):
                raise type(error)(f"example {example}: {error}") from None
            raise

    def _trace(self, arguments: Arguments, example: int, outcomes: Sequence[float]) -> Path:
        inputs = [computed_leaf(x) for x in arguments.example(example)]
        recording = record_call(
            *(self.f, arguments.build, inputs, outcomes, self.around),
            evaluated if self.native else None,
            first=not self.paths,
            unrolled=self.unrolls,
        )
        return self._path_of(recording, arguments.example(example))

    def _path_of(self, recording: Recording, example: list[float]) -> Path:
        tape = tape_of(recording, self.leaves)
        for leaf in tape.leaves:
            self.add_leaf(leaf)
        structure = recording.rebuild(list(range(len(tape.outputs))))
        if self.batched and self.paths:
            structure, order = self.paths[0].structure, self._matched(structure)
            tape.outputs = [tape.outputs[int(k)] for k in order]  # floats within an array
        self.draws = self.draws or bool(recording.draws)
        return Path(tape, structure, self.places_of(tape), example)

    def places_of(self, tape: Tape) -> Array:
        """The places of a tape's leaves among the leaves of all paths."""
        return np.array([self._places[leaf] for leaf in tape.leaves], np.int64)

    def _matched(self, result: Any) -> list[Any]:
        """The numbers of a result in the order of those of the first path; dicts go by their keys.

        Raises TraceError where it has another structure: a batch has one result.
        """
        first = self.paths[0].structure
        if _form(result) != _form(first):
            raise TraceError(
                f"the function returns {told_result(result)} for this example and "
                f"{told_result(first)} for others of the batch; the results of a batch have one "
                "structure, so return the same keys and lengths on every path"
            )
        return flatten_like(result, first, "the result")

    # --- looking at it ---

    def lifted(self) -> Lifted | None:
        """The path used last as it was lifted for the last run; None before the first."""
        made = [key for path in self.paths[:1] for key in path.blocks if key[0]]
        if not made:
            return None
        path, split = self.paths[0], made[-1][1:]
        blocks, origins = lift_with_origins(path.tape, self.lanes, split, batched=self.batched)
        return Lifted(path.tape, blocks, origins)

    def record_again(self) -> tuple[Recording, dict[Value, int]]:
        """Run the function again as the path used last; return what it recorded, and the place of
        each node on the path's tape.

        Raises TraceError where that is something else by now.
        """
        path = self.paths[0]
        recording = self._recorded_again(path, [guard.number for guard in path.tape.guards])
        places: dict[Value, int] = {}
        tape = tape_of(recording, self.leaves, places)
        if not tape.equals(path.tape):
            raise TraceError(_SOMETHING_ELSE)
        return recording, places

    def _recorded_again(
        self, path: Path, outcomes: Sequence[float], *, unrolled: bool = False
    ) -> Recording:
        if not self.around.hold() and not self.around.hold_exactly():
            raise TraceError(_SOMETHING_ELSE)
        inputs = [computed_leaf(x) for x in path.example]
        given = (self.f, self.build, inputs, outcomes, self.around)
        with drawing(stream.seed, stream.step, stream.example):
            return record_call(*given, evaluated if self.native else None, unrolled=unrolled)

    def unrolled(self) -> Path:
        """The path used last, with loops by `scan` and `while_loop` step by step.

        Raises TraceError where the function does something else by now.
        """
        path = self.paths[0]
        if not path.tape.loops:
            return path
        return self._path_of(self._recorded_again(path, (), unrolled=True), path.example)

    def add_leaf(self, leaf: Value) -> None:
        """Give a Value from outside a place among the leaves."""
        if leaf not in self._places:
            self._places[leaf] = len(self.leaves)
            self.leaves.append(leaf)

    def _warn(self, order: int) -> None:
        if self._warned:
            return
        self._warned = True
        line = self.paths[0].tape.guards[order].line
        warnings.warn(
            f"this compiled function takes more than {MOST_PATHS} paths, {line}; further examples "
            "run eagerly: right, but slow. engine.where or engine.maximum instead of if, and "
            "v.detach() instead of v.data, need no path of their own",
            RuntimeWarning,
            stacklevel=2,
        )


class Call:
    """One run under way: what goes in, and what has come out so far."""

    def __init__(
        self,
        paths: Paths,
        arguments: Arguments,
        draws: tuple[int, int],
        weights: Array | None,
        wanted: Wanted,
        leaf_numbers: Array | None,
    ) -> None:
        self.paths, self.arguments, self.draws = paths, arguments, draws
        self.weights, self.wanted = weights, wanted
        dtype = paths.dtype
        with np.errstate(all="ignore"):  # a large double may be inf in single precision
            self.shared = arguments.shared_vector(dtype)
            self.lanes = arguments.lane_matrix(dtype)
        if paths.batched:
            arguments.matrix = self.lanes  # to look examples up in
        self.count = max(1, len(self.lanes)) if paths.batched else 1
        self.first = arguments.first
        self.given = leaf_numbers
        self.outputs: Array | None = None
        self.structure: Any = None  # of one example's result
        self.inputs = np.zeros(len(paths.shared), dtype)
        self.parts: list[tuple[Array, Array]] = []  # places of leaves, and their gradients
        self.columns: dict[tuple[str, int], Array] = {}
        self.path: Path | None = None

    def result(self) -> Result:
        assert self.outputs is not None
        leaves = np.zeros(len(self.paths.leaves), self.paths.dtype)
        for places, gradient in self.parts:
            if len(places) == len(leaves) and follow(places):
                leaves += gradient
            else:
                leaves[places] += gradient
        given = (self.outputs, self.structure, self.inputs, leaves, self.columns)
        return Result(*given, self.path)

    def write_leaves(self) -> None:
        """Put the numbers that the caller has at hand into the leaves, which f is about to read."""
        if self.given is not None:
            for leaf, number in zip(self.paths.leaves, self.given.tolist(), strict=False):
                leaf._data = number

    def _put(self, which: Array, outputs: Array) -> None:
        if self.outputs is None and len(which) == self.count:  # all at once, and in order
            self.outputs = outputs
            return
        if self.outputs is None:
            self.outputs = np.zeros((self.count, outputs.shape[1]), self.paths.dtype)
        self.outputs[which] = outputs

    def _put_column(self, key: tuple[str, int], which: Array, column: Any) -> None:
        if key not in self.columns:
            self.columns[key] = np.zeros(self.count, self.paths.dtype)
        self.columns[key][which] = column

    def _leaf_numbers(self, places: Array) -> Array:
        leaves = self.paths.leaves
        if self.given is not None and (not len(places) or places.max() < len(self.given)):
            if len(places) == len(self.given) and follow(places):
                return self.given  # all of them in order, as in training
            return self.given[places]
        numbers = np.array([leaves[k]._data for k in places.tolist()], self.paths.dtype)
        if self.given is not None:
            known = places < len(self.given)
            numbers[known] = self.given[places[known]]
        return numbers

    # --- a path on some examples ---

    def run_on(self, path: Path, which: Array, trusted: int) -> tuple[Array, Array]:
        """Run examples on a path; return for each the first guard that failed, or -1, and the
        number found there. The first `trusted` guards are known to hold: were they computed
        again, they might be rounded otherwise, and two paths send an example to each other.
        Nothing is kept of a run that the first example, which others go by, sends elsewhere."""
        dtype = self.paths.dtype
        weights = self.weights
        if weights is not None and len(weights) == 1 and not isinstance(path.structure, int):
            weights = None  # there is no gradient here, which matters if an example goes this way
        shared = np.concatenate([self.shared, self._leaf_numbers(path.leaf_places)])
        lanes = np.zeros((0, 0), dtype)
        if self.paths.batched:
            lanes = self.lanes if len(which) == len(self.lanes) else self.lanes[which]
        given = (path, shared, lanes, which, weights, trusted)
        run, names = self._run_machine(*given, lifted=True)
        usual = not run.nan_seen
        if not usual:  # maybe 0 * inf where nothing arrived: the tape alone knows that
            run, names = self._run_machine(*given, lifted=False)
        held = run.fail < 0
        if not held.any() or (threads.is_alone() and not held[0]):
            return run.fail, run.found
        if weights is not self.weights:
            raise TypeError(
                "a gradient is of one number, and the function returns "
                f"{told_result(path.structure)}; use engine.jacobian"
            )
        self.structure = path.structure
        gradients = run.shared_gradient, run.lane_gradient
        wrong = run.not_finite or not all(np.isfinite(g).all() for g in gradients)
        if modes.state.raising and (wrong or path.tape.loops):
            self._look_for_the_first(which[held])
        if held.all():
            self._put(which, run.outputs)
            if usual and len(which) == self.count:
                self.path = path
        else:
            self._put(which[held], run.outputs[held])
        if self.weights is not None:
            count = len(self.inputs)
            self.inputs += run.shared_gradient[:count]
            self.parts.append((path.leaf_places, run.shared_gradient[count:]))
            for k, name in enumerate(names):
                self._put_column(name, which[held], run.lane_gradient[held, k])
        return run.fail, run.found

    def _run_machine(
        self,
        path: Path,
        shared: Array,
        lanes: Array,
        which: Array,
        weights: Array | None,
        trusted: int,
        *,
        lifted: bool,
    ) -> tuple[Run, list[tuple[str, int]]]:
        """A run, and what its columns of gradients are gradients by."""
        backward = weights is not None
        machine, columns = self.paths.machine(path, self.wanted, backward, lifted)
        ids = which + self.first if self.paths.batched else np.array([stream.example])
        asked = list(columns.values())
        with np.errstate(all="ignore"):  # inf and nan are results like others
            run = machine.run(shared, lanes, ids, self.draws, weights, asked, trusted)
        return run, list(columns)

    # --- examples one by one ---

    def run_eagerly(self, which: Array) -> None:
        """Run examples on Values, beyond the last path that is kept."""
        for i in which.tolist():
            inputs, outputs, mark = self.eager_outputs(i)
            self._put(np.array([i]), np.array([[_number(y) for y in outputs]], self.paths.dtype))
            if self.weights is None:
                continue
            seeds = self.seeds(outputs)
            nodes = topological_order([y for y, _ in seeds])
            own = {*inputs}
            for node in nodes:  # this path may read leaves that no path before it has
                if node.op is None and node not in own and not modes.is_under(node.scope, mark):
                    self.paths.add_leaf(node)
            leaves = self.paths.leaves
            gradient = np.array(reverse_sweep(nodes, seeds, [*inputs, *leaves]))
            by_input, by_leaf = gradient[: len(inputs)], gradient[len(inputs) :]
            self.inputs += by_input[self.paths.shared].astype(self.paths.dtype)
            self.parts.append((np.arange(len(leaves)), by_leaf))
            for k in self.wanted.inputs:
                if k in self.paths.lanes or self.wanted.per_example:
                    self._put_column(("input", k), np.array([i]), by_input[k])
            if self.wanted.per_example:
                for k in self.wanted.leaves or ():
                    self._put_column(("leaf", k), np.array([i]), by_leaf[k])

    def seeds(self, outputs: Sequence[Any]) -> list[tuple[Value, float]]:
        """Those outputs that are Values, with what their adjoints begin with."""
        weights = () if self.weights is None else self.weights.tolist()
        return [(y, w) for y, w in zip(outputs, weights, strict=False) if isinstance(y, Value)]

    def eager_outputs(self, i: int) -> tuple[list[Value], list[Any], modes.Scope | None]:
        """An example's inputs and outputs, and the scope of what was made on the way."""
        self.write_leaves()
        inputs = [computed_leaf(x) for x in self.arguments.example(i)]
        args, keywords = self.arguments.build(inputs)
        example = self.first + i if self.paths.batched else stream.example
        with (
            modes.enable_grad(),
            modes.inlining(),
            modes.scope("eager"),
            drawing(*self.draws, example),
            self.paths.naming(i),
        ):
            result = self.paths.f(*args, **keywords)
            if self.paths.batched:
                self.structure = self.paths.paths[0].structure
                return inputs, self.paths._matched(result), modes.state.scope
            outputs, rebuild = flatten(result)
            self.structure = rebuild(list(range(len(outputs))))
            return inputs, outputs, modes.state.scope

    def _look_for_the_first(self, which: Array) -> None:
        """Under errstate("raise"): run eagerly, so that the error names operation and line."""
        for i in which.tolist():
            with modes.recorded_by(recorder_for(self.paths.dtype)):
                _, outputs, _ = self.eager_outputs(i)
                seeds = self.seeds(outputs)
                reverse_sweep(topological_order([y for y, _ in seeds]), seeds, [])


def evaluated(recording: Recording, inputs: list[Value]) -> list[float]:
    """The numbers of a recording's outputs, by machine code."""
    tape = tape_of(recording, inputs)
    machine = Machine(lift(tape, batched=False), [], "float64")
    shared = np.array([leaf._data for leaf in tape.leaves])
    with np.errstate(all="ignore"):
        run = machine.run(shared, np.zeros((0, 0)), np.zeros(1, np.int64), (0, 0))
    found: list[float] = run.outputs[0].tolist()
    return found


def _form(result: Any) -> Any:
    """The structure of a result, in which dicts of the same keys are alike."""
    if isinstance(result, dict):
        return dict, {key: _form(part) for key, part in result.items()}
    if is_record(result):
        parts = simplified(result)
        kept = {name: x for name, x in vars_by_field(result).items() if name not in parts}
        return type(result), _form(parts), kept
    if isinstance(result, list | tuple):
        return type(result), [_form(part) for part in result]
    return np.shape(result) if isinstance(result, np.ndarray) else "number"


def told_result(result: Any) -> str:
    """What a result is, in words."""
    if isinstance(result, dict):
        return f"a dict with the keys {[*result]}"
    if is_record(result):
        return f"{result!r}"
    if isinstance(result, list | tuple):
        return f"a {type(result).__name__} of {len(result)}"
    return f"an array of shape {result.shape}" if isinstance(result, np.ndarray) else "one number"


def _number(y: Any) -> float:
    return y._data if isinstance(y, Value) else to_float(y)
