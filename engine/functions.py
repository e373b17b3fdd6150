"""The functions of `engine`: one for each row of the table, and helpers over sequences.

``engine.exp(v)`` records a node for a Value and returns a float for a float. The helpers are
written in operations of the table, so that what they build can be drawn, differentiated to any
order and compiled like anything else.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter, Signature, signature
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

from engine import modes
from engine.conditions import Condition, as_number
from engine.deferred import numpy_class
from engine.ops import TABLE, Op, inf
from engine.randomness import next_draw
from engine.value import Value, check_domain, computed_leaf, record, to_float

Number: TypeAlias = Value | float
# Which numbers have squares out of range, and what they are divided by: the outer two in double
# precision, whose constants are 0 and inf in single precision, the inner two in single precision.
_SMALL = ((1e-140, 2.0**-664), (1e-18, 2.0**-80))
_LARGE = ((1e140, 2.0**664), (1e15, 2.0**80))

if TYPE_CHECKING:  # the functions of the rows are made from the table, below

    def __getattr__(name: str) -> Callable[..., Any]: ...


def checked_operand(op: Op, operand: object) -> Number:
    """An operand as a Value or a float. Raises TypeError for what is neither."""
    operand = as_number(operand)
    if isinstance(operand, Value):
        return operand
    try:
        return to_float(operand)
    except TypeError:
        text = f"{op.name} takes Values and numbers, not a {type(operand).__name__}"
        if isinstance(operand, list | tuple) or hasattr(operand, "__array__"):
            name = op.name if op.family == "custom" else f"engine.{op.name}"
            others = ", ..." * (op.arity > 1)
            text += f"; for a list or an array: [{name}(x{others}) for x in data]"
        raise TypeError(text) from None


def _sequence(name: str, items: Any) -> Any:
    """A sequence as it is; TypeError for what is none, above all for a number."""
    if not hasattr(items, "__iter__"):
        raise TypeError(
            f"{name} takes a sequence of Values and numbers, such as a list, not {items!r}"
        )
    return items


def _checked(op: Op, numbers: Sequence[Any]) -> float:
    """Compute on plain numbers, as `errstate` has it."""
    assert op.forward is not None
    data = op.forward(*numbers)
    if modes.watched:
        check_domain(op, data, [(None, x) for x in numbers])
    return data


def _function(op: Op) -> Any:
    """The function of a row: a Value if any operand is one, else a float."""
    assert op.forward is not None
    shape = signature(op.forward)
    function = _unary(op) if op.arity == 1 else _of_several(op, shape)
    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.doc
    function.__signature__ = Signature(list(shape.parameters.values()))
    return function


def _unary(op: Op) -> Any:
    def function(x: Any) -> Number:
        x = checked_operand(op, x)
        return record(op, (x,)) if isinstance(x, Value) else _checked(op, [x])

    return function


def _of_several(op: Op, shape: Signature) -> Any:
    arity = op.arity
    defaults = [parameter.default for parameter in shape.parameters.values()]

    def function(*operands: Any) -> Number:
        if len(operands) != arity:
            operands += tuple(defaults[len(operands) :])
        if len(operands) != arity or any(x is Parameter.empty for x in operands):
            names = ", ".join(shape.parameters)
            given = sum(operand is not Parameter.empty for operand in operands)
            raise TypeError(f"{op.name}({names}) takes {arity} operands, got {given}")
        checked = [checked_operand(op, operand) for operand in operands]
        if any(isinstance(operand, Value) for operand in checked):
            return record(op, checked)
        return _checked(op, checked)

    return function


# What a recorded derivative calls: the functions of all rows, by the names of the rows.
FUNCTIONS: dict[str, Callable[..., Any]] = {op.name: _function(op) for op in TABLE.values()}

for _op in TABLE.values():
    for _name in (_op.name, *_op.aliases):
        globals()[_name] = FUNCTIONS[_op.name]


def where(condition: Any, x: Number, y: Number) -> Number:
    """Return x where the condition holds, else y, keeping both in the graph.

    The arm that is not taken gets the derivative 0, even where its own is inf or nan. Raises
    TypeError for a condition that is no comparison.

    >>> x = Value(0.0)
    >>> y = where(x > 0, sqrt(x), 0.0)
    >>> y.backward()
    >>> x.grad
    0.0
    """
    if isinstance(condition, Condition):  # a comparison under trace
        return _where(condition.value, x, y)  # type: ignore[no-any-return]
    if not isinstance(condition, bool) and not isinstance(condition, numpy_class("bool_")):
        raise TypeError(
            f"where takes a comparison such as where(x > 0, ...), not {condition!r} as condition"
        )
    return _where(float(condition), x, y)  # type: ignore[no-any-return]


_where = FUNCTIONS["where"]


def detach(x: Number) -> Number:
    """Return x as a constant: no gradient flows through it. See `Value.detach`.

    >>> x = Value(3.0)
    >>> (x * detach(x)).backward()
    >>> x.grad
    3.0
    """
    x = as_number(x)
    return x.detach() if isinstance(x, Value) else to_float(x)


_pow = FUNCTIONS["pow"]


@functools.wraps(_pow)
def pow(x: Number, y: Number) -> Any:
    # x ** 0 is 1 at every x, which therefore gets nothing where the exponent is a number
    flat = isinstance(x, Value) and isinstance(y, int | float) and y == 0
    return _pow(detach(x) if flat else x, y)


power = pow
FUNCTIONS["pow"] = pow  # also in derivatives


def take(sequence: Any, index: Number) -> Any:
    """Return ``sequence[index]``, where the index may be a Value whose number is whole.

    For look-ups whose place is data, such as embeddings: a compiled program looks the index up
    at every replay, where ``sequence[int(index)]`` would fix it. No gradient flows to the index.
    Entries are Values, numbers, or nested lists of them, in a trace all of one structure.

    Raises IndexError for an index out of range, ValueError for one that is not whole.

    >>> take([[1.0, 2.0], [3.0, 4.0]], Value(-1.0))
    [3.0, 4.0]
    """
    if not hasattr(sequence, "__getitem__"):
        raise TypeError(f"take takes a sequence first, then an index, not {sequence!r}")
    index = as_number(index)
    if isinstance(index, Value) and modes.tracing and modes.state.trace is not None:
        return modes.state.trace.take(sequence, index)
    if not isinstance(index, Value | Real):
        raise TypeError(f"take's index is a whole number, or a Value of one, not {index!r}")
    number = index._data if isinstance(index, Value) else to_float(index)
    return sequence[checked_index(number, len(sequence))]


def checked_index(number: float, length: int) -> int:
    """The number as an index into a sequence; raises as `take` does."""
    if not math.isfinite(number) or number != math.floor(number):
        raise ValueError(f"take needs a whole number as index, not {number!r}")
    if not -length <= number < length:
        raise IndexError(f"take: index {int(number)} is out of range for {length} entries")
    return int(number)


def random() -> Value:
    """Return a number drawn uniformly from [0, 1): a leaf, drawn anew at every evaluation.

    A compiled program draws at every replay. The numbers depend on the seed (`manual_seed`), and
    in `nn.fit` on the step and the example, but not on the path, or the order of evaluation.
    """
    if modes.tracing and modes.state.trace is not None:
        return modes.state.trace.random()  # type: ignore[no-any-return]
    return computed_leaf(next_draw())


def maximum(*operands: Any) -> Number:
    """Return the largest of two or more operands, or of one sequence; nan if any is nan.

    Two equal operands share the gradient by halves; of more, the larger of the first two meets
    the third, and so on. Raises ValueError for an empty sequence.

    >>> maximum(Value(1.0), 3.0, 2.0)
    Value(data=3.0, grad=0.0)
    """
    return _chain_of("maximum", operands)


def minimum(*operands: Any) -> Number:
    """Return the smallest of two or more operands, or of one sequence, as `maximum` does.

    >>> minimum([Value(1.0), 3.0])
    Value(data=1.0, grad=0.0)
    """
    return _chain_of("minimum", operands)


def _chain_of(name: str, operands: tuple[Any, ...]) -> Number:
    items = list(_sequence(name, operands[0]) if len(operands) == 1 else operands)
    if not items:
        raise ValueError(f"{name} of an empty sequence")
    binary = FUNCTIONS[name]
    result: Number = checked_operand(TABLE[name], items[0])
    for item in items[1:]:
        result = binary(result, item)
    return result


def clamp(x: Number, low: Number | None = None, high: Number | None = None) -> Number:
    """Return x, but at least `low` and at most `high`; at a bound the derivative is 1.

    >>> clamp(Value(3.0), 0.0, 1.0)
    Value(data=1.0, grad=0.0)
    """
    if low is not None:
        x = FUNCTIONS["clamp_min"](x, low)
    if high is not None:
        x = FUNCTIONS["clamp_max"](x, high)
    return x


# --- over sequences -------------------------------------------------------------------------


def sum(terms: Iterable[Number], start: Number | None = None) -> Number:
    """Return the sum of the terms, from the first to the last; 0.0 if there are none.

    Raises TypeError for lists, which Python would put behind one another.

    >>> sum([Value(1.0), Value(2.0)])
    Value(data=3.0, grad=0.0)
    """
    total = start
    for term in _sequence("sum", terms):
        total = term if total is None else total + term
    if isinstance(total, list | tuple | str):
        raise TypeError(
            f"what is added up are Values and numbers, not a {type(total).__name__}; of a list of "
            "rows: [engine.sum(row) for row in rows]"
        )
    return 0.0 if total is None else total


def mean(terms: Iterable[Number]) -> Number:
    """Return the arithmetic mean. Raises ValueError for an empty sequence."""
    items = list(_sequence("mean", terms))
    if not items:
        raise ValueError("mean of an empty sequence")
    return sum(items) / len(items)


def prod(factors: Iterable[Number]) -> Number:
    """Return the product of the factors; 1.0 if there are none. Exact where factors are 0."""
    result: Number | None = None
    for factor in _sequence("prod", factors):
        result = factor if result is None else result * factor
    return 1.0 if result is None else result


def dot(xs: Sequence[Number], ys: Sequence[Number], start: Number | None = None) -> Number:
    """Return start + x0*y0 + x1*y1 + …, added from left to right.

    Raises ValueError where the sequences differ in length.

    >>> dot([1.0, 2.0], [Value(3.0), Value(4.0)])
    Value(data=11.0, grad=0.0)
    """
    if not (hasattr(xs, "__len__") and hasattr(ys, "__len__")):
        return dot(list(_sequence("dot", xs)), list(_sequence("dot", ys)), start)
    if len(xs) != len(ys):
        raise ValueError(f"dot needs sequences of one length, got {len(xs)} and {len(ys)}")
    total = add_products(start, xs, ys)
    return 0.0 if total is None else total


def norm(xs: Iterable[Number]) -> Number:
    """Return the Euclidean norm, the square root of the sum of squares; its gradient at 0 is 0.

    Where squares would over- or underflow, the numbers are scaled by a power of two.

    >>> norm([3e-200, 4e-200])
    5e-200
    """
    items = list(_sequence("norm", xs))
    if not items:
        return 0.0
    largest = detach(maximum([FUNCTIONS["abs"](x) for x in items]))
    scale: Number = 1.0
    for bound, unit in reversed(_LARGE):
        scale = where(largest > bound, unit, scale)
    for bound, unit in reversed(_SMALL):
        scale = where(largest < bound, unit, scale)
    total = sum(FUNCTIONS["square"](x / scale) for x in items)
    return where(total == 0.0, 0.0, scale * FUNCTIONS["sqrt"](total))


def logsumexp(xs: Iterable[Number]) -> Number:
    """Return log(e**x0 + e**x1 + …) without overflow. Raises ValueError for no terms.

    >>> logsumexp([Value(1000.0), Value(1000.0)])
    Value(data=1000.6931471805599, grad=0.0)
    """
    items = list(_sequence("logsumexp", xs))
    largest = maximum(items)
    shift = _finite(largest)
    exp, log = FUNCTIONS["exp"], FUNCTIONS["log"]
    total = log(sum(exp(x - shift) for x in items)) + shift
    return where(largest == inf, largest, total)  # beside inf, no other term has a share


def softmax(xs: Iterable[Number]) -> list[Number]:
    """Return e**x divided by the sum of these, for each x. Raises ValueError for no terms.

    >>> [f"{p:.3f}" for p in softmax([Value(1.0), Value(2.0)])]
    ['0.269', '0.731']
    """
    items = list(_sequence("softmax", xs))
    shift = _finite(maximum(items))
    powers = [FUNCTIONS["exp"](x - shift) for x in items]
    total = sum(powers)
    div = FUNCTIONS["div"]  # beside -inf alone the total is 0, where Python's `/` raises
    return [div(power, total) for power in powers]


def log_softmax(xs: Iterable[Number]) -> list[Number]:
    """Return the logarithms of `softmax`, exact in the tails. Raises ValueError for no terms.

    >>> log_softmax([1e16, 1e16 - 40.0])
    [0.0, -40.0]
    """
    items = list(_sequence("log_softmax", xs))
    shift = _finite(maximum(items))
    shifted = [x - shift for x in items]  # first: what numbers have in common would hide the rest
    total = FUNCTIONS["log"](sum(FUNCTIONS["exp"](x) for x in shifted))
    return [x - total for x in shifted]


def _finite(largest: Number) -> Number:
    """The largest item as a constant, 0 where it is infinite; it cancels out of the result."""
    largest = detach(largest)
    return where((largest > -inf) & (largest < inf), largest, 0.0)


__all__ = sorted(
    {name for op in TABLE.values() for name in (op.name, *op.aliases)}
    | {"clamp", "dot", "log_softmax", "logsumexp", "maximum", "mean", "minimum", "norm"}
    | {"prod", "random", "softmax", "sum", "take", "where"}
)


_ADD, _MUL = TABLE["add"], TABLE["mul"]
_new = object.__new__


def add_products(
    total: Value | float | None, xs: Sequence[Value | float], ys: Sequence[Value | float]
) -> Value | float | None:
    """Return ``total + x0 * y0 + x1 * y1 + …``: what `dot` is, with the nodes written out.

    This is where most nodes of a network are made, in half the time that ``*`` and ``+`` take.
    """
    if modes.watched:
        return add_products_plainly(total, xs, ys)
    scope = modes.current_scope() if modes.scoped else None
    made = None if scope is None else scope.made
    for x, y in zip(xs, ys, strict=True):
        if type(total) is not Value or type(x) is not Value:
            total = x * y if total is None else total + x * y
            continue
        product: Value = _new(Value)
        product._a = x
        product._x = x._data
        if type(y) is Value:
            product._b = y
            product._y = y._data
        elif type(y) is float:
            product._b = None
            product._y = y
        else:
            total = total + x * y
            continue
        product._data = product._x * product._y
        product.op = _MUL
        product._rest = ()
        product._grad = 0.0
        product.label = ""
        product.scope = scope
        node: Value = _new(Value)
        node._a = total
        node._x = total._data
        node._b = product
        node._y = product._data
        node._data = node._x + node._y
        node.op = _ADD
        node._rest = ()
        node._grad = 0.0
        node.label = ""
        node.scope = scope
        if made is not None:
            made.note(product)
            made.note(node)
        total = node
    return total


def add_products_plainly(
    total: Value | float | None, xs: Sequence[Value | float], ys: Sequence[Value | float]
) -> Value | float | None:
    """`add_products` in operators."""
    for x, y in zip(xs, ys, strict=True):
        total = x * y if total is None else total + x * y
    return total
