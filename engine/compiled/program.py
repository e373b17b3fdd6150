"""Program: what `engine.compile` returns. Called like the function, it runs compiled.

In: a function and how to call it. Out: values and gradients, in the structures of JAX's
transforms. The first call with arguments of a signature takes the full way: it takes them apart
(`arguments`), traces the function, runs (`paths`), and puts the results together. Those after it
go by a plan (`plan`), as long as nothing is unusual.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from engine import calculus, locks, modes
from engine.compiled import jitted
from engine.compiled.arguments import Arguments, take_apart
from engine.compiled.buffered import Buffered
from engine.compiled.describe import describe
from engine.compiled.mapped import mapped, packed
from engine.compiled.paths import Array, Paths, Result, Wanted
from engine.compiled.plan import AGAIN
from engine.compiled.plans import Asked, Plans
from engine.compiled.portable import Portable, found_at, is_global, places_of
from engine.compiled.results import GradientTree, batched, of_examples, rebuilt
from engine.compiled.source import Source, source
from engine.compiled.surroundings import Surroundings
from engine.compiled.verified import VerifiedPaths
from engine.errors import TraceError, user_line
from engine.randomness import begin_step, step_to_run, stream
from engine.showing import Shown, bundle, pictures, words
from engine.signatures import check_argnums
from engine.trees import flatten
from engine.value import Value, gradient_lock

Reduce = Literal["mean", "sum"] | None
MOST_STATES = 16  # of what a function reads, whose traces are kept for each signature


class Program(Shown):
    """A compiled function: see `engine.compile`."""

    def __init__(
        self,
        f: Callable[..., Any],
        *,
        in_axes: Any = None,
        reduce: Reduce = None,
        argnums: int | Sequence[int] = 0,
        wrt: Any = None,
        dtype: Any = np.float64,
        native: bool = True,
        verify: bool = False,
    ) -> None:
        if not callable(f):
            raise TypeError(f"compile takes a function, not {f!r}")
        jitted.require()
        if reduce is not None and (not isinstance(reduce, str) or reduce not in ("mean", "sum")):
            raise ValueError(f'reduce is None, "mean" or "sum", not {reduce!r}')
        try:
            self._dtype = np.dtype(dtype).name
        except (TypeError, ValueError):
            raise TypeError(f"dtype is float64 or float32, not {dtype!r}") from None
        if self._dtype not in ("float64", "float32"):
            raise ValueError(f"a program computes in float64 or float32, not {self._dtype}")
        if not isinstance(verify, bool):
            raise TypeError(f"verify is True or False, not {verify!r}")
        check_argnums(argnums)
        functools.update_wrapper(self, f, updated=())
        self._f, self._in_axes, self._reduce = f, in_axes, reduce
        self._argnums = int(argnums) if isinstance(argnums, int | np.integer) else argnums
        self._native = bool(native)
        self._verify = verify
        self._by_signature: dict[Any, list[Paths]] = {}  # the one used last comes first
        self._last: Paths | None = None
        self._wrt = wrt
        self._lock = locks.freed()
        self._wanted_of: dict[Any, Wanted] = {}
        self._plans = Plans()
        self._of_sums: Program | None = None  # for `map`
        self._sent: tuple[Paths, bytes, list[Value]] | None = None
        self._leaves: list[Value] = []
        self._wrt_places: list[int] = []
        self._rebuild_wrt: Callable[[list[Any]], Any] | None = None
        if wrt is not None:
            tree = wrt.parameters() if hasattr(wrt, "parameters") else wrt
            named, self._rebuild_wrt = flatten(tree)
            if type(tree) is list and {*map(type, tree)} <= {Value}:
                self._rebuild_wrt = list
            self._leaves = list(dict.fromkeys(named))  # a tied one may be named twice
            place = {leaf: k for k, leaf in enumerate(self._leaves)}
            self._wrt_places = [place[leaf] for leaf in named]
            for leaf in self._leaves:
                if not isinstance(leaf, Value) or leaf.op is not None:
                    raise TypeError(
                        f"wrt has the Values whose gradient is wanted, all of them leaves, not "
                        f"{leaf!r}; for arguments there is argnums"
                    )

    # --- calling ---

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Return f(*args), computed by the program."""
        found = self._plans.last.value(args, keywords)
        return self._otherwise("value", args, keywords) if found is AGAIN else found

    def grad(self, *args: Any, **keywords: Any) -> Any:
        """Return the gradient with respect to `argnums`, or to `wrt`, in its structure.

        Raises TypeError where f returns anything but one number.
        """
        return self.value_and_grad(*args, **keywords)[1]

    def value_and_grad(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        """Return the value and the gradient, from one run."""
        found: tuple[Any, Any] = self._plans.last.value_and_grad(args, keywords)
        if found is AGAIN:
            found = self._otherwise("value_and_grad", args, keywords)
        return found

    def backward(self, *args: Any, **keywords: Any) -> Any:
        """Add the gradient to the `grad` of the leaves that f reads; return the value.

        The leaves are those of `wrt`, or all. Without `reduce`, gradients are summed over the
        examples.
        """
        found = self._plans.last.backward(args, keywords)
        return self._otherwise("backward", args, keywords) if found is AGAIN else found

    def _otherwise(self, kind: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The same where it is not like the last call: by another plan, or the full way."""
        found, paths = self._plans.another(kind, args, keywords)
        if paths is None:
            return getattr(self, f"_{kind}_in_full")(args, keywords)
        self._last = paths
        return found

    def _value_in_full(self, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        if _traced():
            return self._inlined(args, keywords)
        arguments, paths = self._prepared(args, keywords)
        wanted = self._wanted(arguments, args, strict=False)
        result = self._run(paths, arguments, None, wanted)
        asked = Asked(self._reduce)
        self._plans.keep("value", paths, result.path, wanted, arguments, asked)
        return self._value(arguments, result)

    def _value_and_grad_in_full(
        self, args: Sequence[Any], keywords: dict[str, Any]
    ) -> tuple[Any, Any]:
        if _traced():
            return self._inlined_gradient(args, keywords)
        arguments, paths = self._prepared(args, keywords)
        wanted = self._wanted(arguments, args)
        result = self._run(paths, arguments, self._weight(arguments), wanted)
        asked = Asked(self._reduce, leaves=self._wrt_places, rebuild=self._rebuild_wrt)
        if asked.rebuild is None:
            chosen, single = _chosen(self._argnums, args), isinstance(self._argnums, int)
            axes = [self._axis(k) for k in range(len(args))]
            asked = Asked(self._reduce, chosen, single, args, axes)
        self._plans.keep("value_and_grad", paths, result.path, wanted, arguments, asked)
        value = self._value(arguments, result)
        return value, self._gradient(args, arguments, result, wanted)

    def _backward_in_full(self, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        _refuse_in_trace()
        arguments, paths = self._prepared(args, keywords)
        leaves = tuple(range(len(self._leaves))) if self._rebuild_wrt is not None else None
        wanted = Wanted((), leaves)
        result = self._run(paths, arguments, self._weight(arguments), wanted)
        self._plans.keep("backward", paths, result.path, wanted, arguments, Asked(self._reduce))
        value = self._value(arguments, result)
        chosen = paths.leaves if leaves is None else self._leaves
        with gradient_lock:  # two threads may share leaves
            for leaf, gradient in zip(chosen, result.leaves.tolist(), strict=False):
                leaf._grad += gradient
        return value

    def buffered(self, *args: Any) -> Buffered:
        """Return the program with buffers for its numbers, for calls that build nothing.

        `args` say the structure, and the numbers to begin with. Raises ValueError for a program
        over batches, TypeError where f returns anything but one number.
        """
        arguments, paths = self._prepared(args, {})
        if arguments.count is not None:
            raise ValueError("buffers are for programs without batched arguments (in_axes)")
        wanted = self._wanted(arguments, args)
        self._run(paths, arguments, self._weight(arguments), wanted)
        return Buffered(self, paths, arguments, wanted, self._leaves)

    def map(
        self,
        *args: Any,
        on: Any = None,
        kind: Literal["value", "grad", "value_and_grad"] = "value",
        block_size: int = 4096,
        **keywords: Any,
    ) -> Any:
        """Return what a call would, or `grad` or `value_and_grad`, from blocks of the examples that
        workers compute.

        `on` is a client of Dask, an executor of `concurrent.futures` (of joblib's loky or
        mpi4py's, too), or None for this process. A block has `block_size` examples, one thread
        and random numbers of its own, and sums over examples go up one pairwise tree of blocks:
        the bits are the same for any number of workers, on processors of one kind. They differ by
        rounding from those of one call. Values of leaves go along with each block; where a worker
        of Dask dies, others do its blocks.

        Batched arguments may be larger than memory: rows of a `numpy.memmap` are read by the
        workers from its file, those of a Dask array computed there.

        Raises ValueError where nothing is batched or there are no examples, PicklingError for a
        function that can't travel, RuntimeError for workers that are gone or have another version.

        >>> import engine
        >>> program = engine.compile(lambda w, x: w * x * x, in_axes=(None, 0), reduce="sum")
        >>> program.map(2.0, [1.0, 2.0, 3.0], kind="value_and_grad", block_size=2)
        (28.0, 14.0)
        """
        return mapped(self, args, keywords, on, kind, block_size)

    def _summed(self) -> Program:
        """The same with sums in place of means."""
        if self._of_sums is None:
            options = self._options() | {"reduce": "sum"}
            self._of_sums = _again(self._f, options, places_of(self._wrt, self._f))
        return self._of_sums

    def _packed(self) -> tuple[bytes, list[Value]]:
        """The program as it was called last, as workers get it, and the leaves that they set."""
        paths = self._last
        assert paths is not None
        if self._sent is None or self._sent[0] is not paths:
            reached = {id(item) for item in paths.around.objects}
            leaves = [leaf for leaf in paths.leaves if id(leaf) in reached]
            self._sent = paths, packed(self, leaves), leaves
        paths, content, leaves = self._sent
        if len(leaves) < len(paths.leaves):  # there are some that only what travels has
            self._sent = None
        return content, leaves

    def _gradient_axes(self, axes: Sequence[Any]) -> Any:
        """Of which examples are side by side in the gradient of a sum over them."""
        if self._rebuild_wrt is not None:
            return None
        chosen = [axes[k] for k in _chosen(self._argnums, axes)]
        return chosen[0] if isinstance(self._argnums, int) else tuple(chosen)

    # --- a run ---

    def _prepared(self, args: Sequence[Any], keywords: dict[str, Any]) -> tuple[Arguments, Paths]:
        arguments = take_apart(args, keywords, self._in_axes)
        if self._reduce is not None and arguments.count is None:
            raise ValueError(
                f'reduce="{self._reduce}" is over the examples of a batch, and no argument is '
                "batched; say which ones are with in_axes"
            )
        return arguments, self._current(arguments)

    def _current(self, arguments: Arguments) -> Paths:
        """The paths for arguments of this signature, as the surroundings of f are now."""
        with self._lock:
            kept = self._by_signature.setdefault(arguments.signature, [])
            paths = next(_of_now(kept, arguments.statics), None)
            if paths is None:
                around = Surroundings([self._f, *arguments.statics])
                paths = next((p for p in kept if p.around.key == around.key), None)
                if paths is None:
                    options = (arguments, self._leaves, self._dtype, around, self._native)
                    paths = self._new_paths(*options)
                    kept.insert(0, paths)
                    del kept[MOST_STATES:]
                paths.around, paths.statics = around, arguments.statics
            if paths is not kept[0]:
                kept.remove(paths)
                kept.insert(0, paths)
            self._last = paths
        return paths

    def _new_paths(self, *options: Any) -> Paths:
        return (VerifiedPaths if self._verify else Paths)(self._f, *options)

    def _run(
        self, paths: Paths, arguments: Arguments, weights: Array | None, wanted: Wanted
    ) -> Result:
        step = step_to_run()
        with paths.lock:
            result = paths.run(arguments, (stream.seed, step), weights=weights, wanted=wanted)
        if paths.draws:
            begin_step(step + 1)
        return result

    def _weight(self, arguments: Arguments) -> Array:
        """What the adjoint of f's one number begins with."""
        mean = self._reduce == "mean"
        return np.array([1.0 / arguments.count if mean and arguments.count else 1.0])

    def _wanted(self, arguments: Arguments, args: Sequence[Any], *, strict: bool = True) -> Wanted:
        """Whose gradient `argnums` and `wrt` name; one object for all calls of a signature.

        Raises ValueError where an argument that `argnums` names is not there, if `strict`.
        """
        wanted = self._wanted_of.get(arguments.signature)
        if wanted is None:
            if self._rebuild_wrt is None and not strict:
                try:
                    _chosen(self._argnums, args)
                except ValueError:
                    return Wanted()
            per_example = self._reduce is None and arguments.count is not None
            inputs: list[int] = []
            if self._rebuild_wrt is None:
                chosen = _chosen(self._argnums, args)
                inputs = [i for k in chosen for i in arguments.of_argument[k]]
            wanted = Wanted(tuple(inputs), tuple(range(len(self._leaves))), per_example)
            self._wanted_of[arguments.signature] = wanted
        return wanted

    # --- results ---

    def _value(self, arguments: Arguments, result: Result) -> Any:
        structure, outputs = result.structure, result.outputs
        if arguments.count is None:
            return rebuilt(structure, outputs[0].tolist(), self._dtype)
        return of_examples(structure, self._reduce, outputs.T)

    def _gradient(
        self, args: Sequence[Any], arguments: Arguments, result: Result, wanted: Wanted
    ) -> Any:
        if self._rebuild_wrt is not None:
            places = self._wrt_places
            if wanted.per_example:
                structure = self._rebuild_wrt(list(range(len(places))))
                zero = np.zeros(len(result.outputs), self._dtype)
                columns = [result.columns.get(("leaf", k), zero) for k in places]
                return batched(structure, columns)
            numbers = result.leaves.tolist()
            return self._rebuild_wrt([numbers[k] for k in places])
        chosen = _chosen(self._argnums, args)
        stacked = wanted.per_example
        trees = [self._by_argument(args[k], k, arguments, result, stacked) for k in chosen]
        return trees[0] if isinstance(self._argnums, int) else tuple(trees)

    def _by_argument(
        self, arg: Any, k: int, arguments: Arguments, result: Result, stacked: bool
    ) -> Any:
        own, columns = arguments.of_argument[k], result.columns
        lanes = np.array(arguments.is_lane, bool)
        shared = np.zeros(len(lanes), self._dtype)
        shared[~lanes] = result.inputs
        shared = shared[own.start : own.stop]
        if not any(("input", i) in columns for i in own):
            if isinstance(arg, np.ndarray):
                return shared.reshape(arg.shape)
            return GradientTree(self._dtype, stacked).of(arg, self._axis(k), iter(shared.tolist()))
        entries = [columns.get(("input", i), x) for i, x in zip(own, shared.tolist(), strict=True)]
        return GradientTree(self._dtype, stacked).of(arg, self._axis(k), iter(entries))

    def _axis(self, k: int) -> Any:
        return self._in_axes[k] if isinstance(self._in_axes, tuple) else self._in_axes

    # --- inside of another trace ---

    def _inlined(self, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        if self._inlines(args):
            return self._f(*args, **keywords)
        raise TraceError(
            f"{self._name()} is compiled for batches and called while another function is traced, "
            f"{user_line()}; call the function itself, for one example"
        )

    def _inlined_gradient(self, args: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, Any]:
        if self._rebuild_wrt is None and self._inlines(args):
            return calculus.value_and_grad(self._f, self._argnums)(*args, **keywords)
        value = self._inlined(args, keywords)
        assert self._rebuild_wrt is not None
        if isinstance(value, list | tuple | dict | np.ndarray):
            raise TypeError(
                f"a gradient is of one number, and {self._name()} returns a "
                f"{type(value).__name__}; use engine.jacobian"
            )
        found = [0.0] * len(self._leaves)
        if isinstance(value, Value):
            found = calculus.gradients(value, self._leaves, create_graph=True)
        return value, self._rebuild_wrt([found[k] for k in self._wrt_places])

    def _inlines(self, args: Sequence[Any]) -> bool:
        """Whether a call is one of the function itself: nothing is batched."""
        return self._in_axes is None or self._in_axes == (None,) * len(args)

    # --- travelling ---

    def __reduce__(self) -> Any:
        if is_global(self):
            return self.__qualname__  # type: ignore[attr-defined]
        return _again, (Portable(self._f), self._options(), places_of(self._wrt, self._f))

    def __copy__(self) -> Program:
        return _again(self._f, self._options(), places_of(self._wrt, self._f))

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        f = copy.deepcopy(self._f, memo)
        return _again(f, self._options(), places_of(self._wrt, self._f))

    def _options(self) -> dict[str, Any]:
        """What it was made with, besides the function and `wrt`."""
        options = {"in_axes": self._in_axes, "reduce": self._reduce, "dtype": self._dtype}
        options |= {"native": self._native, "verify": self._verify}
        return {**options, "argnums": self._argnums}

    # --- looking at it ---

    def _name(self) -> str:
        return getattr(self._f, "__qualname__", None) or type(self._f).__name__

    def __repr__(self) -> str:
        count = sum(len(paths.paths) for kept in self._by_signature.values() for paths in kept)
        traced = f"{count} path{'' if count == 1 else 's'}" if count else "not traced yet"
        return f"Program({self._name()}, {traced})"

    def __str__(self) -> str:
        """What the path used last became: instruction by instruction."""
        if self._last is None or not self._last.paths:
            return f"{self!r}: call it once, and it is traced"
        return describe(self._name(), self._last)

    def source(self, kind: str = "numpy") -> Source:
        """Return the path used last, and its gradient, as a text to read.

        "numpy" is a function in NumPy of the same arguments, of the Values that f reads and, where
        it draws random numbers, of these: what it returns agrees with the program's results.
        "latex" are its equations, which Jupyter shows. Both print the program's instructions and
        those of its adjoint. The text's `parameters()` are the Values as arrays, by its names.

        "c" is a text in C99: `value` and `value_and_gradient`, functions of the number of examples
        N (where there is a batch), of the same arrays by rows, of the seed and the step (where it
        draws), of memory for WORK_SIZE numbers, and of arrays for the result and the gradients.
        They return 0, or the number of the first check that failed: what the trace branched on or
        read, or an index out of range. It compiles with ``cc -std=c99 -Wall -Wextra -Werror``.

        Raises TraceError before the first call, ValueError for another kind, and TypeError for an
        operation that can't be written down, as one whose forward loops.

        >>> import engine
        >>> f = lambda w, x: engine.exp(w * x)
        >>> program = engine.compile(f, in_axes=(None, 0), reduce="sum")
        >>> value = program(2.0, [0.0, 1.0])
        >>> [line.strip() for line in program.source().splitlines() if " = " in line]
        ['N = len(x)', 'h1 = np.exp(w * x)', 'C = np.sum(h1)', 'dw = np.sum(h1 * x)']
        >>> [line for line in program.source("c").splitlines() if line.startswith("int")]
        ['int value(', 'int value_and_gradient(']
        """
        paths = self._last
        if paths is None or not paths.paths:
            raise TraceError(
                f"{self._name()} was not traced yet: call it once, then ask for source"
            )
        wanted = self._wanted_last(paths)
        return source(kind, self._f, paths, wanted, self._reduce, self._parameter_names())

    def _wanted_last(self, paths: Paths) -> Wanted:
        """Whose gradient the last call's arguments had, or would have had."""
        named = self._rebuild_wrt is not None
        leaves = tuple(range(len(self._leaves))) if named else None
        return self._wanted_of.get(paths.signature) or Wanted((), leaves)

    def _parameter_names(self) -> dict[str, Any]:
        """The parameters of the module that `wrt` is, by their names."""
        by_name = getattr(self._wrt, "named_parameters", None)
        return dict(by_name()) if by_name is not None else {}

    def _bundle(self) -> dict[str, str]:
        text = str(self)
        if self._last is None or self._last.lifted() is None:
            return bundle(text, None, words(text))
        return {**pictures["Program"](self)._bundle(), "text/plain": text}


def compile(
    f: Callable[..., Any],
    *,
    in_axes: Any = None,
    reduce: Reduce = None,
    argnums: int | Sequence[int] = 0,
    wrt: Any = None,
    dtype: Any = np.float64,
    native: bool = True,
    verify: bool = False,
) -> Program:
    """Return a `Program`: f, traced once and replayed as block operations in machine code.

    f is written in scalars, for one example. Its arguments are numbers, nested lists, tuples,
    dicts and arrays of numbers; str, bool, None and functions are static. It is traced at the
    first call, and anew for other structures or static arguments, never for another batch size.

    `in_axes` says which arguments are batched: None for none, 0 for all (along their first axis),
    or a tuple with None or 0 for each positional argument. `reduce` says what becomes of the
    examples: None gives one result each, "mean" and "sum" one number. ``program.grad`` is with
    respect to `argnums`, or to `wrt`: a Value, a module, or a nested list of Values that f reads.
    Leaf Values that f reaches from outside are read at every call. `dtype` is float64 or float32.
    With ``native=False`` the instructions are not written out as machine code, but run one by one,
    on functions that Numba compiles: slower, and the same numbers up to rounding.

    With ``verify=True`` every call is compared with what Python computes, value and gradients, of
    each example: for tests, and for a look at a function that reads what can't be watched. It runs
    f on Values each time, and is as slow. Numbers may differ by what rounding explains, for which
    a bound is computed beside them; else a ReplayError says what differs, and names the first
    operation that does, with its source line and the numbers of both.

    What else f reads is watched, and f traced anew where it has changed, so that a call gives what
    Python would: numbers, texts and flags in globals, closures, defaults and attributes, in
    modules, in lists, dicts and arrays (of up to 4,096 numbers; of a larger one only whether it is
    the same object), the mode, parts and attributes of an nn.Module, and all of this for the
    functions and methods that f calls. Not watched is what code of the standard library, of NumPy
    and of other installed packages than f's own reads, what `eval` and `globals` find by name, and
    what lies outside of Python: files, the clock, environment variables, a generator that f itself
    makes without a seed.

    What f branches on, and what it reads by `.data`, is checked at every call; where it comes out
    otherwise, f is traced on that path too. `where`, `maximum`, `take` and `detach` need none.

    Raises TraceError where f does what a replay can't repeat, naming the line: it draws from a
    random generator, goes on with an iterator, or changes what it reads, such as a counter or a
    running mean. An attribute that is only written, or written first, is allowed. Raises
    ImportError with what to install where Numba is missing.

    >>> import engine
    >>> program = engine.compile(lambda w, x: engine.tanh(w[0] * x + w[1]), in_axes=(None, 0))
    >>> program([2.0, 0.0], [0.0, 1.0]).round(4).tolist()
    [0.0, 0.964]
    """
    options = {"reduce": reduce, "argnums": argnums, "wrt": wrt, "dtype": dtype, "native": native}
    return Program(f, in_axes=in_axes, verify=verify, **options)


def _again(f: Callable[..., Any], options: dict[str, Any], wrt: Any) -> Program:
    """The program of a function that has travelled."""
    return Program(f, **options, wrt=found_at(wrt, f))


def _of_now(kept: Sequence[Paths], statics: Sequence[Any]) -> Iterator[Paths]:
    """Those paths whose surroundings are as they were."""
    same = [p for p in kept if all(map(operator.is_, p.statics, statics))]
    yield from (paths for paths in same if paths.around.hold())
    yield from (paths for paths in same if paths.around.hold_exactly())


def _traced() -> bool:
    """Whether the call is part of a trace: then the function itself is called."""
    return modes.state.inlined or (bool(modes.tracing) and modes.state.trace is not None)


def _refuse_in_trace() -> None:
    if _traced():
        raise TraceError(
            f"program.backward inside of a compiled function, {user_line()}: a replay would not "
            "repeat it; use program.grad there"
        )


def _chosen(argnums: int | Sequence[int], args: Sequence[Any]) -> list[int]:
    chosen = [argnums] if isinstance(argnums, int) else list(argnums)
    for k in chosen:
        if not -len(args) <= k < len(args):
            raise ValueError(
                f"argnums names argument {k}, but the call has {len(args)}; for the gradient by "
                "Values that the function reads there is wrt"
            )
    return [k % len(args) for k in chosen]
