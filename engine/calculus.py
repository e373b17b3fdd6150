"""Derivatives of functions, to any order: grad, jacobian, hessian, jvp, vjp, hvp and more.

The transforms have JAX's names and take Python functions of numbers and nested structures. What
they compute is once more made of Values when it was asked of Values, so transforms nest: when an
argument holds one, or f's result depends on one that was there before the call, such as a
parameter (unless under `no_grad`). The whole result of a call is of one kind. One rule makes every
order: the partials of the operation table are rebound to functions that record (`rebind`), and
the same sweep runs with Values in place of floats.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from engine import modes
from engine.errors import GraphError, TraceError, user_line
from engine.functions import FUNCTIONS, Number, checked_operand
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.randomness import counters, redrawing
from engine.rebind import rebind
from engine.signatures import (
    check_arguments,
    check_signature,
    check_transform,
    names_one,
    one_for_each,
    positions_in,
)
from engine.sweep import after_sweep, arrivals, partials_of, reverse_sweep
from engine.trees import (
    flatten,
    flatten_argument,
    flatten_like,
    flatten_parts,
    holds_value,
    is_array,
    simplified,
    to_array,
)
from engine.value import (
    Value,
    check_domain,
    computed_leaf,
    is_from_before,
    record,
    record_result,
    to_float,
)

# --- the sweep on Values --------------------------------------------------------------------
#
# What is computed here holds for other inputs too, and with them other edges may be cut. So where
# nothing arrives is recorded as a number: -0.0, which added to anything changes nothing. The rows
# `arrive`, `nothing` and `pass_on` know it.


class _Adjoint(NamedTuple):
    """An adjoint, or a tangent. If it is `sure` it has arrived, whatever the inputs are; else `g`
    is -0.0 where it has not, and never -0.0 where it has."""

    g: Number
    sure: bool

    def plus(self, other: _Adjoint | None) -> _Adjoint:
        return self if other is None else _Adjoint(self.g + other.g, self.sure or other.sure)

    def number(self) -> Number:
        """As a result: 0.0 where nothing arrived."""
        return self.g if self.sure else self.g + 0.0

    def marked(self) -> Value:
        """As a Value that is -0.0 only where nothing arrived."""
        g = FUNCTIONS["pass_on"](1.0, self.g) if self.sure else self.g
        return g if isinstance(g, Value) else Value(g)


def _seed(g: Number) -> _Adjoint | None:
    """The adjoint of a result, or the tangent of an input; a literal 0.0 is as good as none."""
    if isinstance(g, Value):
        return _Adjoint(FUNCTIONS["arrive"](g), False)
    return None if g == 0.0 else _Adjoint(g, True)


def _recording(op: Op) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The partials and the cuts of an operation as functions that record what they compute."""
    # Those of a custom operation are used as they are: in functions of `engine`, or not.
    return _rebound(op) if TABLE.get(op.name) is op else (op.partials, op.cuts)


@functools.cache
def _rebound(op: Op) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    def all_of(entries: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(rebind(x, FUNCTIONS) if callable(x) else x for x in entries)

    return all_of(op.partials), all_of(op.cuts)


def _times(g: Number, p: Number) -> Number:
    for factor, other in ((g, p), (p, g)):
        if not isinstance(factor, Value):
            if factor == 1.0:
                return other
            if factor == -1.0:
                return -other
    return g * p


def _passed(adjoint: _Adjoint, p: Number, cut: Number) -> _Adjoint | None:
    """What an edge with this partial passes on; None where that is nothing for all inputs."""
    g, sure = adjoint
    pass_on = FUNCTIONS["pass_on"]
    g = _times(g, p) if sure else g if isinstance(p, float) and p == 1.0 else pass_on(g, p)
    if isinstance(cut, Value):
        return _Adjoint(FUNCTIONS["where"](cut, -0.0, pass_on(1.0, g) if sure else g), False)
    return None if cut else _Adjoint(g, sure)


def record_rule(
    op: Op, slot: int, args: Sequence[Number], result: Number, g: Value, *, sure: bool
) -> Number:
    """Record what one operation passes on: of the adjoint g of its result to the operand in a slot,
    or of the tangent g of that operand to the result.

    `sure` says that g has arrived, whatever the inputs are; else it is -0.0 where it has not.
    """
    partials, cuts = _recording(op)
    p, cut = partials[slot], cuts[slot]
    p = p if isinstance(p, float) else p(*args, result)
    passed = _passed(_Adjoint(g, sure), p, cut if isinstance(cut, bool) else cut(*args))
    return 0.0 if passed is None else passed.g


def recorded_args(node: Value) -> tuple[Number, ...]:
    """The operands of a node, to record its derivative on. Raises GraphError where one was assigned
    another number since."""
    for operand, x in node._operands():
        if operand is not None and operand._data is not x and operand._data != x:
            raise GraphError(
                f"{operand._describe()} was {x} when the graph was recorded and was assigned "
                "since; its derivative needs the graph computed again"
            )
    return node.args


def _edges(node: Value, op: Op, recorded: bool) -> list[tuple[Number, Number]]:
    """For each operand the partial, and whether the edge is cut, as floats or recorded."""
    if not recorded:
        pulled = op.pullback(node.args, node, 1.0) if op.pullback else partials_of(node, op)
        return [(0.0, True) if p is None else (p, False) for p in pulled]
    args = recorded_args(node)
    if op.pullback is not None:
        pulled = op.pullback(args, node, Value(1.0))
        nothing = FUNCTIONS["nothing"]
        return [(0.0, True) if p is None else (p, nothing(p)) for p in pulled]
    found: list[tuple[Number, Number]] = []
    for arg, p, cut in zip(args, *_recording(op), strict=True):
        here = cut if isinstance(cut, bool) else cut(*args)
        if not isinstance(arg, Value) or (here and not isinstance(here, Value)):
            found.append((0.0, True))
        else:
            found.append((p if isinstance(p, float) else p(*args, node), here))
    return found


def _recorded_sweep(
    nodes: Sequence[Value], seeds: Iterable[tuple[Value, Number]], wanted: Sequence[Value]
) -> list[Value]:
    """`reverse_sweep` with Values as numbers: what it returns can be differentiated again."""
    with modes.enable_grad():
        chosen = [(node, seed) for node, g in seeds if (seed := _seed(g)) is not None]
        found = _recorded_arrivals(nodes, chosen, wanted)
        numbers = [0.0 if adjoint is None else adjoint.number() for adjoint in found]
        return [g if isinstance(g, Value) else Value(g) for g in numbers]


def _recorded_arrivals(
    nodes: Sequence[Value], seeds: Iterable[tuple[Value, _Adjoint]], wanted: Sequence[Value]
) -> list[_Adjoint | None]:
    """`arrivals` with Values as numbers."""
    adjoints: dict[Value, _Adjoint] = {}
    for node, seed in seeds:
        adjoints[node] = seed.plus(adjoints.get(node))
    for node in reversed(nodes):
        op, adjoint = node.op, adjoints.get(node)
        if op is None or adjoint is None:
            continue
        passed: list[_Adjoint | None]
        if op.pullback is not None:
            pulled = op.pullback(recorded_args(node), node, adjoint.marked())
            passed = [None if g is None else _Adjoint(g, False) for g in pulled]
        else:
            passed = [_passed(adjoint, p, cut) for p, cut in _edges(node, op, recorded=True)]
        for operand, contribution in zip(node.args, passed, strict=True):
            if isinstance(operand, Value) and contribution is not None:
                before = adjoints.get(operand)
                adjoints[operand] = contribution if before is None else before.plus(contribution)
    return [adjoints.get(node) for node in wanted]


def pulled_back(
    seeds: Iterable[tuple[Number, Number]], wanted: Sequence[Value], recorded: bool
) -> Sequence[Number | None]:
    """What results with these adjoints pass back to the `wanted` nodes, as a pullback gives it."""
    chosen = [(y, g) for y, g in seeds if isinstance(y, Value)]
    nodes = topological_order([y for y, _ in chosen], stop=wanted)
    if not recorded:
        return arrivals(nodes, chosen, wanted)  # type: ignore[arg-type]
    told = [(y, _Adjoint(g, not isinstance(g, Value))) for y, g in chosen]
    found = _recorded_arrivals(nodes, told, wanted)
    return [None if g is None else g.marked() for g in found]


def _forward_sweep(
    nodes: Sequence[Value],
    directions: Iterable[tuple[Value, Number]],
    outputs: Sequence[Any],
    recorded: bool,
) -> list[Number]:
    """Carry tangents from inputs to outputs: one column of the Jacobian at a time."""
    with modes.enable_grad():
        tangents = {x: seed for x, t in directions if (seed := _seed(t)) is not None}
        for node in nodes:
            op = node.op
            operands = [operand for operand, _ in node._operands()]
            if op is None or node in tangents or not any(a in tangents for a in operands):
                continue
            total: _Adjoint | None = None
            for operand, (p, cut) in zip(operands, _edges(node, op, recorded), strict=True):
                t = tangents.get(operand) if operand is not None else None
                term = None if t is None else _passed(t, p, cut)
                if term is not None:
                    total = term if total is None else total.plus(term)
            if total is not None:
                tangents[node] = total
        found = [tangents.get(y) if isinstance(y, Value) else None for y in outputs]
        return [0.0 if t is None else t.number() for t in found]


def gradients(outputs: Any, inputs: Any, *, create_graph: bool = False) -> Any:
    """Return the derivatives of an existing graph, without touching any `grad`.

    `outputs` is a Value, or a nested structure of Values whose sum is meant; `inputs` a nested
    structure of Values. The result has the structure of `inputs`: floats, or with `create_graph`
    Values that can be differentiated again. An input that is not used has the derivative 0.

    Raises TypeError where an output or input is no Value, and GraphError where with
    `create_graph` a leaf was assigned since the graph was recorded.

    >>> x = Value(3.0)
    >>> [d] = gradients(x**3, [x], create_graph=True)
    >>> d.data, gradients(d, x)
    (27.0, 18.0)
    """
    roots, _ = flatten(outputs)
    wanted, rebuild = flatten(inputs)
    for node in (*roots, *wanted):
        if not isinstance(node, Value):
            raise TypeError(
                f"gradients takes Values of an existing graph, got the number {node!r}; for a "
                "function of numbers use engine.grad"
            )
    nodes = topological_order(roots)
    seeds = [(root, 1.0) for root in roots]
    if create_graph or is_traced():
        found = _recorded_sweep(nodes, seeds, wanted)
        return rebuild(found if create_graph else [_number(d) for d in found])
    return rebuild(reverse_sweep(nodes, seeds, wanted))


# --- calling a function on fresh inputs -----------------------------------------------------


def is_traced() -> bool:
    """Whether this thread traces a function: then every result must stay a Value."""
    return bool(modes.tracing) and modes.state.trace is not None


def _number(x: Any) -> Any:
    """A derivative as the number that it is without `create_graph`: live on replay, if traced."""
    return x.detach() if isinstance(x, Value) else x


def own_node(x: Number) -> Value:
    """A node of its own for an input, so that the same Value reached in another way, through a
    closure, is not mistaken for it."""
    return record(TABLE["identity"], (x,)) if isinstance(x, Value) else computed_leaf(x)


class _Call:
    """One call of f: its result, its inputs as own nodes, and whether Values are wanted."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        chosen: Sequence[int],
        keywords: dict[str, Any] | None = None,
    ) -> None:
        self._connected = modes.state.recording  # whether results keep their operands
        call = modes.begin_call()
        given = list(args)
        self.inputs: list[Value] = []
        self.rebuilds: list[Callable[[Iterable[Any]], Any]] = []
        with _AS_IT_IS if self._connected else modes.enable_grad():
            for i in chosen:
                numbers, rebuild = flatten(args[i])
                nodes = [own_node(x) for x in numbers]
                given[i] = rebuild(nodes)
                self.inputs += nodes
                self.rebuilds.append(rebuild)
            try:
                self.result = f(*given, **keywords or {})
            except TypeError as error:
                check_arguments(f, args, keywords or {}, error)
                raise
        if self.result is None:
            raise TypeError("the function returned None; does it lack a return statement?")
        self.outputs, self.rebuild_outputs = flatten(self.result)
        # What lies behind the inputs does not matter here, and may be long.
        roots = [y for y in self.outputs if isinstance(y, Value)]
        self.nodes = topological_order(roots, stop=self.inputs)
        self.recorded = holds_value(args) or is_traced()
        if self._connected:
            leaves = itertools.filterfalse(_get_op, self.nodes)
            outside = any(is_from_before(leaf, call) for leaf in leaves)
            self.recorded = self.recorded or outside
            if outside:  # what does not depend on the inputs needs no sweep
                self.nodes = _depending(self.nodes, self.inputs)

    def structured(self, derivatives: Sequence[Any], single: bool) -> Any:
        """Put one derivative an input into the structure of the arguments."""
        rest = iter(derivatives)  # of which each takes what it needs
        trees = [rebuild(rest) for rebuild in self.rebuilds]
        return trees[0] if single else tuple(trees)

    def plain(self, y: Any) -> Any:
        """An output as it is given to the caller."""
        if not isinstance(y, Value):
            return y
        if self.recorded:
            return y if self._connected else y.detach()
        return y._data

    def reverse(self, seeds: Sequence[tuple[Any, Number]], recorded: bool) -> Sequence[Number]:
        """The derivatives of the seeded outputs by all inputs."""
        chosen = [(y, g) for y, g in seeds if isinstance(y, Value)]
        if recorded:
            found: Sequence[Number] = _recorded_sweep(self.nodes, chosen, self.inputs)
            return found if self._connected else [self.plain(d) for d in found]
        floats = [(y, to_float(g)) for y, g in chosen]
        return reverse_sweep(self.nodes, floats, self.inputs)

    def forward(self, tangents: Iterable[tuple[Value, Number]], recorded: bool) -> list[Number]:
        """The derivatives of all outputs in the direction of the tangents."""
        moved = _forward_sweep(self.nodes, tangents, self.outputs, recorded)
        if not recorded:
            return moved
        values = [t if isinstance(t, Value) else Value(t) for t in moved]
        return list(values if self._connected else map(self.plain, values))

    def one_output(self, name: str) -> Any:
        """The output, if it is one number; else a TypeError that names jacobian."""
        result = simplified(self.result)
        if len(self.outputs) != 1 or isinstance(result, list | tuple | dict) or is_array(result):
            raise TypeError(
                f"{name} needs a function that returns one number, and this one returned a "
                f"{type(self.result).__name__} of {len(self.outputs)}; use engine.jacobian"
            )
        return self.outputs[0]


_AS_IT_IS = nullcontext()
_get_op = operator.attrgetter("op")


def _depending(nodes: Sequence[Value], inputs: Sequence[Value]) -> list[Value]:
    """Those of the nodes, which are in order, that depend on an input."""
    found = dict.fromkeys(inputs)
    for node in nodes:
        if any(operand in found for operand, _ in node._operands() if operand is not None):
            found[node] = None
    return list(found)[len(inputs) :]


# --- the transforms -------------------------------------------------------------------------


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that computes f and its gradient at once.

    See `grad`, of which this is the full form.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (9.0, 6.0)
    """
    return _value_and_grad("value_and_grad", f, argnums)


def _value_and_grad(
    name: str, f: Callable[..., Any], argnums: int | Sequence[int]
) -> Callable[..., tuple[Any, Any]]:
    check_transform(name, f, argnums)

    @functools.wraps(f)
    def value_and_gradient(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        call = _Call(f, args, positions_in(argnums, args), keywords)
        y = call.one_output(name)
        derivatives = call.reverse([(y, 1.0)], call.recorded)
        return call.plain(y), call.structured(derivatives, names_one(argnums))

    return value_and_gradient


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that computes the gradient of f.

    `argnums` says by which positional argument, or by which ones (then the result is a tuple).
    Arguments are numbers, Values, and nested lists, tuples, dicts, dataclasses and arrays of them;
    the result has the argument's structure. Numbers in give numbers out, Values in give Values out.
    A Value from outside that f's result depends on, such as a parameter, counts as one that goes
    in, so that a derivative can be part of a loss; not under `no_grad`, or detached before.

    Raises TypeError where f returns anything but one number, ValueError where the call has no
    such argument.

    >>> grad(lambda p: p["a"] ** 2 * p["b"])({"a": 3.0, "b": 2.0})
    {'a': 12.0, 'b': 9.0}
    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> w = Value(0.5)
    >>> slope = grad(lambda x: w * x**3)(2.0)
    >>> slope.backward()
    >>> slope.data, w.grad
    (6.0, 12.0)
    """
    both = _value_and_grad("grad", f, argnums)

    @functools.wraps(f)
    def gradient(*args: Any, **keywords: Any) -> Any:
        return both(*args, **keywords)[1]

    return gradient


def jacobian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that computes all derivatives of all outputs of f.

    The result has the structure of f's result, with a structure like the argument in place of
    each number: for lists, ``result[i][j]`` is the derivative of output i by input j; for arrays,
    an array of the output's shape and then the input's.

    >>> jacobian(lambda p: [p[0] * p[1], p[0] + p[1]])([2.0, 3.0])
    [[3.0, 2.0], [1.0, 1.0]]
    """
    check_transform("jacobian", f, argnums)

    @functools.wraps(f)
    def derivative(*args: Any, **keywords: Any) -> Any:
        chosen = positions_in(argnums, args)
        call = _Call(f, args, chosen, keywords)
        rows: list[Sequence[Number]]
        if len(call.inputs) < len(call.outputs):
            columns = [call.forward([(x, 1.0)], call.recorded) for x in call.inputs]
            rows = list(zip(*columns, strict=True)) or [[] for _ in call.outputs]
        else:
            rows = [call.reverse([(y, 1.0)], call.recorded) for y in call.outputs]
        tree = args[chosen[0]] if names_one(argnums) else tuple(args[i] for i in chosen)
        return _blocks(call.result, tree, rows)

    return derivative


def _blocks(result: Any, argument: Any, rows: Sequence[Sequence[Number]]) -> Any:
    """Put the rows of a Jacobian into the structure of the result, each of the argument's.

    A block of an array and an array has the shape of the one and then of the other.
    """
    outputs, rebuild_outputs = flatten_parts(result)
    inputs, rebuild_inputs = flatten_parts(argument)
    structured = []
    below = iter(rows)
    for output in outputs:
        own = [next(below) for _ in range(math.prod(_shape(output)))]
        blocks, first = [], 0
        for part in inputs:
            shape = _shape(output) + _shape(part)
            last = first + math.prod(_shape(part))
            entries = [d for row in own for d in row[first:last]]
            arrays = is_array(output) or is_array(part)
            blocks.append(to_array(entries, shape) if arrays else entries[0])
            first = last
        structured.append(rebuild_inputs(blocks))
    return rebuild_outputs(structured)


def _shape(part: Any) -> tuple[int, ...]:
    """Of an array, or of one number."""
    return part.shape if is_array(part) else ()


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that computes the second derivatives of a function of one result.

    For a list, ``result[i][j]`` is the derivative of gradient entry i by input j.

    >>> hessian(lambda p: p[0] ** 2 * p[1])([3.0, 2.0])
    [[4.0, 6.0], [6.0, 0.0]]
    """
    check_transform("hessian", f, argnums)
    return jacobian(grad(f, argnums), argnums)


def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Return f(*primals), and its derivative in the direction of `tangents`.

    Both are tuples or lists with an entry for each argument; for a function of one argument that
    is no tuple or list, it and its direction may be given as they are.

    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    (6.0, 23.0)
    """
    check_transform("jvp", f)
    primals, tangents = one_for_each(primals, tangents, "tangents")
    call = _Call(f, primals, range(len(primals)))
    directions = _leaves_like(tangents, primals, "tangents")
    recorded = call.recorded or any(isinstance(t, Value) for t in directions)
    moved = call.forward(zip(call.inputs, directions, strict=True), recorded)
    outputs = call.rebuild_outputs([call.plain(y) for y in call.outputs])
    return outputs, call.rebuild_outputs(moved)


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Return f(*primals), and the function that pulls a cotangent of it back to the primals.

    >>> y, pullback = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> y, pullback(10.0)
    (6.0, (30.0, 20.0))
    """
    check_transform("vjp", f)
    call = _Call(f, primals, range(len(primals)))

    def pullback(cotangent: Any, *others: Any) -> tuple[Any, ...]:
        if others:
            raise TypeError("the pullback takes one cotangent, of the structure of f's result")
        weights = _leaves_like(cotangent, call.result, "the cotangent")
        recorded = call.recorded or any(isinstance(g, Value) for g in weights)
        derivatives = call.reverse(list(zip(call.outputs, weights, strict=True)), recorded)
        structured: tuple[Any, ...] = call.structured(derivatives, single=False)
        return structured

    outputs = call.rebuild_outputs([call.plain(y) for y in call.outputs])
    return outputs, pullback


def hvp(f: Callable[..., Any], primals: Any, vectors: Any) -> Any:
    """Return the Hessian of f at the primals, times `vectors`, without building the Hessian.

    With one primal the result has its structure, with more it is a tuple of such. Primals and
    vectors are given as in `jvp`.

    >>> hvp(lambda p: p[0] ** 2 * p[1], ([3.0, 2.0],), ([1.0, 0.0],))
    [4.0, 6.0]
    """
    check_transform("hvp", f)
    primals, vectors = one_for_each(primals, vectors, "vectors")
    _leaves_like(vectors, primals, "vectors")
    every = tuple(range(len(primals)))
    result = jvp(grad(f, every), primals, vectors)[1]
    return result[0] if len(primals) == 1 else result


def _leaves_like(tree: Any, like: Any, name: str) -> list[Any]:
    leaves = flatten_like(tree, like, name)
    return [leaf if isinstance(leaf, Value) else to_float(leaf) for leaf in leaves]


# --- operations of one's own ----------------------------------------------------------------


def custom_op(
    name: str, forward: Callable[..., float], partials: Sequence[Callable[..., Any] | float]
) -> Callable[..., Any]:
    """Return a new operation: a function that records one node.

    `forward` takes one float an operand and returns a float; `partials` has, for each operand, a
    function of the operands and then the result, or a float where it is the same everywhere.
    Partials in plain floats can be differentiated once; partials in functions of `engine` to any
    order.

    Raises TypeError where a function takes another number of arguments. What `forward` raises,
    such as ValueError from `math.log`, comes through.

    >>> cube = custom_op("cube", lambda x: x**3, [lambda x, out: 3 * x**2])
    >>> grad(cube)(2.0), grad(grad(cube))(2.0)
    (12.0, 12.0)
    """
    if not isinstance(name, str) or not isinstance(partials, list | tuple):
        raise TypeError(
            "custom_op takes a name, a function, and a list with a partial for each operand, not "
            f"{name!r} and {partials!r}"
        )
    count = len(partials)
    check_signature(forward, f"the forward of {name!r}", count)
    checked = tuple(_checked_partial(name, i, p, count) for i, p in enumerate(partials))
    op = Op(name, name, lambda *numbers: to_float(forward(*numbers)), checked)

    def operation(*operands: Any) -> Any:
        if len(operands) != count:
            raise TypeError(f"{name} has {count} partials, but was given {len(operands)} operands")
        given = [checked_operand(op, x) for x in operands]
        if is_traced():
            raise TraceError(
                f"the custom operation {name!r} can't be compiled, {user_line()}: its forward is "
                "Python on plain floats; write it in functions of engine instead"
            )
        if any(isinstance(x, Value) for x in given):
            return record(op, given)
        numbers = [to_float(x) for x in given]
        data = to_float(forward(*numbers))
        check_domain(op, data, [(None, x) for x in numbers])
        return data

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = forward.__doc__
    return operation


def _checked_partial(name: str, i: int, partial: Any, operands: int) -> Any:
    what = f"partial {i} of {name!r}"
    if isinstance(partial, int | float):
        return to_float(partial)  # the same everywhere
    check_signature(partial, f"{what} (of the operands and the result)", operands + 1)

    def checked(*args: Any) -> Number:
        try:
            p = partial(*args)
        except TypeError as error:
            if any(isinstance(arg, Value) for arg in args):
                raise GraphError(
                    f"{what} is written in plain floats, so it can be differentiated only once; "
                    f"write it in functions of engine (engine.exp, not math.exp): {error}"
                ) from error
            raise
        if not isinstance(p, Value):
            return to_float(p)
        if not any(isinstance(arg, Value) for arg in args):
            raise GraphError(
                f"{what} gave the Value {p!r} for plain numbers, so it reads a Value that is no "
                f"operand; make that an operand of {name!r}, with a partial of its own"
            )
        return p

    return checked


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f without its inner nodes: they are computed again when gradients are wanted.

    This trades time for memory in long computations: a loop of n steps, in which each √n steps
    are one checkpointed call, holds the nodes of about √n steps at a time in place of n. f must be
    deterministic, but for `engine.random`, whose draws are repeated. Its positional arguments are
    numbers, Values and structures of them, or anything else, which is handed on as it is.
    Values that f closes over, or is given by keyword, get their gradients too.

    >>> step = checkpoint(lambda x: (x * x + 1.0).log())
    >>> x = Value(2.0)
    >>> y = step(step(x))
    >>> y.backward()
    >>> f"{x.grad:.6f}"
    '0.717240'
    """

    check_transform("checkpoint", f)

    @functools.wraps(f)
    def checkpointed(*args: Any, **keywords: Any) -> Any:
        g = functools.partial(f, **keywords)
        # a replay keeps no nodes, so there is nothing to save
        saving = modes.state.recording and not is_traced()
        if saving and modes.tracing and modes.state.recorder is not None:
            saving = not modes.state.recorder.looks_inside
        return _Segment(g, args).results() if saving else g(*args)

    return checkpointed


class _Segment:
    """One call of a checkpointed function: what goes in, what comes out, and how to redo it."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._f = f
        given, self._rebuild = flatten_arguments(args)
        inputs = [computed_leaf(x.data if isinstance(x, Value) else x) for x in given]
        self._draws = counters()
        with modes.scope("checkpoint"):
            mark = modes.state.scope
            outputs, self._rebuild_outputs = flatten(f(*self._rebuild(inputs)))
        self._captured = captured_in(outputs, inputs, mark)
        self._numbers = [(y.data, True) if isinstance(y, Value) else (y, False) for y in outputs]
        self._inputs = len(given)
        self._operands = [(x, x.data) if isinstance(x, Value) else (None, x) for x in given]
        self._operands += [(c, c.data) for c in self._captured]
        self._redone: tuple[list[Value], list[Any]] | None = None

    def results(self) -> Any:
        """The outputs: each a node whose operands are all inputs and captured Values."""
        operands, self._operands = self._operands, []  # from here on the nodes hold them
        if all(operand is None for operand, _ in operands):
            return self._rebuild_outputs([number for number, _ in self._numbers])
        outputs: list[Number] = []
        for k, (number, is_value) in enumerate(self._numbers):
            pullback = functools.partial(self._pull_back, k)
            op = Op("checkpoint", "checkpoint", None, (0.0,) * len(operands), pullback=pullback)
            outputs.append(record_result(op, number, operands) if is_value else number)
        return self._rebuild_outputs(outputs)

    def _pull_back(
        self, k: int, args: Sequence[Number], node: Value, adjoint: Number
    ) -> Sequence[Number | None]:
        args = recorded_args(node)[: self._inputs]
        if isinstance(adjoint, Value):
            inputs, outputs = self._compute([own_node(x) for x in args])
        else:
            inputs, outputs = self._again(node)
        wanted = [*inputs, *self._captured]
        return pulled_back([(outputs[k], adjoint)], wanted, isinstance(adjoint, Value))

    def _compute(self, inputs: list[Value]) -> tuple[list[Value], list[Any]]:
        with modes.enable_grad(), redrawing(self._draws):
            return inputs, flatten(self._f(*self._rebuild(inputs)))[0]

    def _again(self, node: Value) -> tuple[list[Value], list[Any]]:
        """The computation on the recorded numbers, once a sweep for all outputs."""
        redone = self._redone
        if redone is None:
            redone = self._compute([computed_leaf(x) for _, x in node._operands()[: self._inputs]])
            self._redone = redone
            after_sweep(self._forget)
        return redone

    def _forget(self) -> None:
        self._redone = None


class Ruled(Op):
    """The operation of a result whose derivative a rule tells. Its first operand is the same number
    computed in operations of the table, which is what a trace compiles; else a literal."""

    __slots__ = ()


def ruled(
    name: str,
    result: Number,
    operands: Sequence[tuple[Value | None, float]],
    pullback: Callable[[Sequence[Number], Value, Number], Sequence[Number | None]],
) -> Value:
    """A node of this result, whose `pullback` says what the operands get, as that of an `Op`."""

    def pull_back(args: Sequence[Number], node: Value, g: Number) -> Sequence[Number | None]:
        return [None, *pullback(args[1:], node, g)]

    op = Ruled(name, name, None, (0.0,) * (1 + len(operands)), pullback=pull_back)
    first = (result, result._data) if isinstance(result, Value) else (None, result)
    return record_result(op, first[1], [first, *operands])


def flatten_arguments(
    args: Sequence[Any],
) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
    """`flatten` for positional arguments, of which those that hold no numbers stay as they are."""
    kept: dict[int, Any] = {}
    trees: list[Any] = []
    for i, arg in enumerate(args):
        if flatten_argument(arg) is None:
            kept[i] = arg
        else:
            trees.append(arg)
    leaves, rebuild = flatten(trees)

    def rebuild_all(others: list[Any]) -> list[Any]:
        rest = iter(rebuild(others))
        return [kept[i] if i in kept else next(rest) for i in range(len(args))]

    return leaves, rebuild_all


def captured_in(
    outputs: Sequence[Any], inputs: Sequence[Value], mark: modes.Scope | None
) -> list[Value]:
    """The Values that f reached from outside: those not made in the scope `mark`."""
    found: dict[Value, None] = {}
    seen = set(inputs)
    stack = [y for y in outputs if isinstance(y, Value)]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if modes.is_under(node.scope, mark):
            stack += [arg for arg in node.args if isinstance(arg, Value)]
        else:
            found[node] = None
    return list(found)
