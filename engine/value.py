"""Value: a number that remembers how it was computed, and `backward`, which differentiates it.

A node keeps its result, the row of the operation table that made it, its operands, and the
numbers that these had at the time: derivatives are those of the recorded computation. There are
no closures and no reference cycles, so a graph is freed with its last reference. A literal
operand (the 2.0 in ``v * 2.0``) is a recorded number without a node.

The methods for the rows of the table are added at the end of this file, from the table.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from inspect import Parameter, signature
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn

from engine import locks, modes
from engine.copying import Copied, set_operands
from engine.errors import DomainError, GraphError, told, user_line
from engine.graph import topological_order
from engine.ops import TABLE, Op
from engine.sweep import reverse_sweep

if TYPE_CHECKING:
    from engine.rows import RowMethods
else:
    RowMethods = object  # they are made at the end of this file, from the table

_new = object.__new__
gradient_lock = locks.freed()
compared: object = None  # what a caller puts here is gone as soon as any two are compared
NUMBERS = (float, int, Real)  # the first two only for speed; NumPy's scalars are Real


# --- how the methods of Value are made from the rows of the table -----------------------------


def _unary(op: Op) -> Callable[[Value], Value]:
    forward = op.forward
    assert forward is not None

    def method(self: Value) -> Value:
        x = self._data
        return _node(op, forward(x), self, x, None, 0.0)

    return method


def _operator(op: Op) -> Callable[[Value, Any], Value]:
    """A binary operator: NotImplemented for what is no number, so that Python tries the other."""
    forward = op.forward
    assert forward is not None

    def method(self: Value, other: Any) -> Any:
        x = self._data
        if type(other) is Value:
            y, b = other._data, other
        elif isinstance(other, NUMBERS):
            y, b = to_float(other), None
        else:
            return NotImplemented
        # `_node`, written out: most nodes of most graphs are made here
        node: Value = _new(Value)
        node._data = forward(x, y)
        node.op = op
        node._a = self
        node._x = x
        node._b = b
        node._y = y
        node._rest = ()
        node._grad = 0.0
        node.label = ""
        if modes.scoped:
            scope = node.scope = modes.current_scope()
            if scope is not None and scope.made is not None:
                scope.made.note(node)
        else:
            node.scope = None
        return _attend(node) if modes.watched else node

    return method


def _reflected(op: Op) -> Callable[[Value, Any], Any]:
    """The same with self on the right: ``2.0 - v``."""
    forward = op.forward
    assert forward is not None

    def method(self: Value, other: Any) -> Any:
        if isinstance(other, NUMBERS):
            x, y = to_float(other), self._data
            return _node(op, forward(x, y), None, x, self, y)
        return NotImplemented

    return method


def _binary(op: Op) -> Callable[..., Value]:
    forward = op.forward
    assert forward is not None
    defaults = [p.default for p in list(signature(forward).parameters.values())[1:]]

    def method(self: Value, other: Any = defaults[0]) -> Value:
        if other is Parameter.empty:
            raise TypeError(f"{op.name} needs its second operand: v.{op.name}(w)")
        return record(op, (self, other if isinstance(other, Value) else to_float(other)))

    return method


def _comparison(
    compare: Callable[[Any, Any], bool], name: str, *, swapped: bool = False, negated: bool = False
) -> Any:
    """A comparison by data; while tracing, a Condition made of the row `name`."""

    def method(self: Value, other: object) -> Any:
        global compared
        compared = None
        if isinstance(other, Value):
            number: Any = other._data
        elif isinstance(other, NUMBERS):
            number = other  # an int stays one: Python compares it with a float exactly
        else:
            return NotImplemented
        if modes.tracing:
            if modes.state.trace is not None:
                operands = (other, self) if swapped else (self, other)
                return modes.state.trace.compare(name, operands, negated)
            if modes.state.recorder is not None:
                modes.state.recorder.compared(name, self, other, swapped)
        return compare(self._data, number)

    return method


class Value(Copied, RowMethods):
    """A scalar in a computation graph.

    Calculate with it as with a float; then `backward()` puts the derivative of the result with
    respect to every number behind it into that number's `grad`.

    >>> x = Value(3.0, label="x")
    >>> y = x * x + 2.0 * x
    >>> y.backward()
    >>> y.data, x.grad
    (15.0, 8.0)

    Copying and pickling a node takes everything it was computed from along, and keeps what its
    graph shares; two nodes pickled in one list share their leaves only, so pickle the last one.

    `data` is an int or a float, kept as a float64. `_children` and `_op` make a node by hand,
    as micrograd has it, for drawings; it can't be differentiated (use `engine.custom_op`).

    Raises TypeError where `data` is anything but one real number.
    """

    # _a and _b are the first two operands, None for a literal or where there is none, and _x and
    # _y the numbers that they had; _rest has such pairs for the third and later operands.
    # In a leaf, _x is the number of calls of transforms that had begun when it was made, and _y is
    # 1.0 if a computation made it: see `modes.begin_call` and `is_computed`.
    # _adjoint is the reverse sweep's, and has a meaning only during one.
    __slots__ = (
        *("_data", "_grad", "op", "_a", "_x", "_b", "_y", "_rest"),
        *("_adjoint", "label", "scope"),
    )
    _adjoint: float

    def __init__(
        self, data: float, _children: Iterable[Value] = (), _op: str = "", label: str = ""
    ) -> None:
        self._data = to_float(data)
        self._a: Value | None = None
        self._b: Value | None = None
        self._x: float = modes.calls
        self._y = 0.0
        self._rest: tuple[tuple[Value | None, float], ...] = ()
        self._grad = 0.0
        self.op: Op | None = None
        if not isinstance(label, str):
            raise TypeError(f"a label is a str, not a {type(label).__name__}: {label!r}")
        self.label = label
        self.scope = modes.current_scope() if modes.scoped else None
        if type(_children) is not tuple or _children or _op:
            self._make_by_hand(_children, _op)

    def _make_by_hand(self, given: Any, name: str) -> None:
        if isinstance(given, str):
            raise TypeError(f"the second argument is for operands; write label={given!r}")
        children = tuple(given) if hasattr(given, "__iter__") else (given,)
        if not all(isinstance(child, Value) for child in children):
            raise TypeError(f"the second argument is for operands, which are Values: {given!r}")
        if not children and not name:
            return

        def refuse(operands: Sequence[Any], out: Any, adjoint: Any) -> Sequence[Any]:
            raise GraphError(
                f"the node {name!r} was made by hand, so its derivative is not known; "
                "make the operation with engine.custom_op(name, forward, partials)"
            )

        self.op = Op(name, name, None, (0.0,) * len(children), pullback=refuse)
        set_operands(self, [(child, child._data) for child in children])

    def __init_subclass__(cls) -> None:
        raise TypeError("Value has no subclasses: operations on them would give plain Values")

    # --- looking at a node ---

    @property
    def data(self) -> float:
        """The number. It may be assigned for a leaf, not for the result of an operation.

        While `engine.compile` traces, reading it records that the rest depends on this number.

        Assigning raises GraphError for the result of an operation, TypeError for no number.
        """
        if modes.tracing:
            if modes.state.trace is not None:
                return modes.state.trace.read(self)  # type: ignore[no-any-return]
            if modes.state.recorder is not None:
                modes.state.recorder.read(self)
        return self._data

    @data.setter
    def data(self, number: float) -> None:
        modes.refuse_in_trace("assigning data")
        if self.op is not None:
            raise GraphError(
                f"the data of {self._describe()} is the result of {self.op.name} and can't be "
                "assigned; assign the data of a leaf and compute again"
            )
        self._data = to_float(number)

    @property
    def grad(self) -> float:
        """What `backward` left here: the derivative of its root by this node.

        It may be assigned a number; None, which PyTorch has for no gradient, is 0.0.
        """
        modes.refuse_in_trace("reading grad")
        return self._grad

    @grad.setter
    def grad(self, number: float | None) -> None:
        modes.refuse_in_trace("assigning grad")
        self._grad = 0.0 if number is None else to_float(number)

    @property
    def args(self) -> tuple[Value | float, ...]:
        """The operands: Values, and floats for literals; empty for a leaf."""
        return tuple(x if operand is None else operand for operand, x in self._operands())

    @property
    def _prev(self) -> set[Value]:
        """The operands that are Values (micrograd's name)."""
        return {operand for operand, _ in self._operands() if operand is not None}

    @property
    def _op(self) -> str:
        """The operation's label, "" for a leaf (micrograd's name)."""
        if self.op is None:
            return ""
        if self.op is _POW and self._b is None:
            return f"**{self._y:g}"
        return self.op.label

    def _operands(self) -> list[tuple[Value | None, float]]:
        """Each operand (None for a literal) with the number it had."""
        arity = self.op.arity if self.op is not None else 0
        pairs = [(self._a, self._x), (self._b, self._y)][:arity]
        return [*pairs, *self._rest] if arity > 2 else pairs

    def item(self) -> float:
        """Return the number, as NumPy and PyTorch spell it."""
        return self.data

    def detach(self) -> Value:
        """Return a new leaf of the same number: no gradient flows through it.

        In a compiled program it is an operation of derivative 0, whose number is live.
        """
        if modes.tracing and modes.state.trace is not None:
            return record(TABLE["detach"], (self,))
        return _constant(self, "detach")

    def _describe(self) -> str:
        return f"{self!r} labelled {self.label!r}" if self.label else repr(self)

    def __repr__(self) -> str:
        if modes.tracing and modes.state.trace is not None:
            return "Value(data=…)"  # a number would be that of the trace for ever
        return f"Value(data={self._data}, grad={self._grad})"

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    # --- differentiating ---

    def backward(self, gradient: float = 1.0) -> None:
        """Add the derivatives of this node, times `gradient`, to the `grad` of every leaf below.

        The `grad` of every node between is set, not added to, so that a second call is never
        wrong: it doubles what the leaves have collected, as for the examples of a batch.

        Raises GraphError where a node below was made by hand.
        """
        modes.refuse_in_trace("backward()")
        if not isinstance(gradient, NUMBERS):
            raise TypeError(
                f"the gradient that backward begins with is a plain number, not {gradient!r}; for "
                "gradients that are Values: engine.gradients(output, inputs, create_graph=True)"
            )
        nodes = topological_order((self,))
        leaves = [node for node in nodes if node.op is None]
        grads = reverse_sweep(nodes, [(self, to_float(gradient))], leaves, keep=True)
        with gradient_lock:  # two threads may share parameters
            for leaf, grad in zip(leaves, grads, strict=True):
                leaf._grad += grad

    # --- comparing: by data; sets and dicts go by identity ---

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return bool(self != 0.0)

    __eq__ = _comparison(operator.eq, "equal")
    __ne__ = _comparison(operator.ne, "equal", negated=True)
    __lt__ = _comparison(operator.lt, "less")
    __le__ = _comparison(operator.le, "less_equal")
    __gt__ = _comparison(operator.gt, "less", swapped=True)
    __ge__ = _comparison(operator.ge, "less_equal", swapped=True)

    # --- operators ---

    _power = _operator(TABLE["pow"])

    def __pos__(self) -> Value:
        return self

    def conjugate(self) -> Value:
        """Return self: a real number is its own conjugate. NumPy's `var` and `vdot` ask for it."""
        return self

    conj = conjugate

    def __pow__(self, other: Value | float, modulus: None = None) -> Value:
        if modulus is not None:
            raise TypeError("pow of a Value takes no modulus; write x**y % m")
        if isinstance(other, NUMBERS):
            if other == 2:
                return record(_SQUARE, (self,))
            if other == 0:  # it is 1 at every base, which therefore gets nothing
                return self.detach()._power(other)
        return self._power(other)

    def __divmod__(self, other: Any) -> Any:
        quotient = self // other
        return quotient if quotient is NotImplemented else (quotient, self % other)

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def pow(self, y: Value | float) -> Value:
        """self ** y in the reals: nan for self < 0 and y not whole; 1 at every self for y = 0."""
        return self**y

    power = pow

    def polygamma(self, n: Value | float) -> Value:
        """The derivative of digamma of order n at self, as PyTorch's method of this name."""
        return record(TABLE["polygamma"], (n if isinstance(n, Value) else to_float(n), self))

    def __round__(self, digits: int | None = None) -> Value:
        if digits is None or not (digits := operator.index(digits)):
            return self.round()
        if not -22 <= digits <= 22:  # beyond, a power of ten is no longer exact
            raise ValueError(f"a Value is rounded to -22 to 22 digits, not {digits}")
        scale = 10.0**digits
        return (self * scale).round() / scale

    def __int__(self) -> int:
        return int(self.data)

    def __float__(self) -> NoReturn:
        """Raise TypeError, also for the ratio that `statistics` asks for, and fractions."""
        raise TypeError(
            "a Value does not turn into a plain number by itself, because its derivative would be "
            "lost; use engine.exp(v) or v.exp() instead of math.exp(v), engine.mean(values) "
            "instead of that of statistics, and v.data for the plain number"
        )

    __complex__ = as_integer_ratio = __float__

    def __index__(self) -> int:
        if modes.tracing and modes.state.trace is not None:
            raise TypeError(
                f"a Value is no index and no count, {user_line()}; in a compiled function write "
                "engine.take(sequence, v) for an entry, and for a count range(int(v)), of which "
                "each number is a path of its own, or fix it: functools.partial(f, n=3)"
            )
        raise TypeError(
            "a Value is no index and no count; int(v) gives the plain number, and "
            "engine.take(sequence, v) the entry"
        )


# --- leaves: where they come from -------------------------------------------------------------


def is_from_before(leaf: Value, call: int) -> bool:
    """Whether a leaf was there before a call of a transform began."""
    return leaf._x < call


def computed_leaf(number: float, label: str = "") -> Value:
    """A leaf that a computation makes, as an input or a constant, and the user does not."""
    leaf: Value = _new(Value)
    leaf._data = number if type(number) is float else to_float(number)
    leaf.op = leaf._a = leaf._b = None
    leaf._x, leaf._y, leaf._rest = modes.calls, 1.0, ()
    leaf._grad, leaf.label = 0.0, label
    leaf.scope = modes.current_scope() if modes.scoped else None
    return leaf


def is_computed(node: Value) -> bool:
    """Whether this is the result of a computation, and not a number that the user made a Value.

    So are the inputs of a transform, numbers drawn, and results without operands (`no_grad`).
    """
    return node.op is not None or node._y != 0.0


# --- making nodes ---------------------------------------------------------------------------


def to_float(number: object) -> float:
    """Return a real number as a float; raise TypeError for anything else.

    >>> to_float(3)
    3.0
    """
    if isinstance(number, NUMBERS):
        try:
            return float(number)
        except OverflowError:
            raise ValueError(f"the {type(number).__name__} is too large for a float64") from None
    if isinstance(number, Value):
        raise TypeError("this is a Value already; use v.detach() for a leaf with its number")
    kind = type(number).__name__
    if isinstance(number, list | tuple) or hasattr(number, "__array__"):
        instead = "x.item()" if getattr(number, "ndim", 1) == 0 else "[Value(x) for x in data]"
        raise TypeError(f"a Value holds one number, not a {kind}; use {instead}")
    advice = "; write float(x)" if isinstance(number, Decimal) else ""
    raise TypeError(f"a Value holds an int or a float, not a {kind}: {number!r}{advice}")


def _node(op: Op, data: float, a: Value | None, x: float, b: Value | None, y: float) -> Value:
    """Make the node of an operation with one or two operands."""
    node: Value = _new(Value)
    node._data = data
    node.op = op
    node._a = a
    node._x = x
    node._b = b
    node._y = y
    node._rest = ()
    node._grad = 0.0
    node.label = ""
    if modes.scoped:
        _take_scope(node)
    else:
        node.scope = None
    return _attend(node) if modes.watched else node


def _take_scope(node: Value) -> None:
    """Set the scope of a node that an operation made; a function under trace is told of it."""
    if modes.scoped:
        scope = node.scope = modes.current_scope()
        if scope is not None and scope.made is not None:
            scope.made.note(node)
    else:
        node.scope = None


def record(op: Op, operands: Sequence[Value | float]) -> Value:
    """Compute an operation and return its node. Operands are Values, and floats for literals."""
    assert op.forward is not None
    pairs = [(x, x._data) if isinstance(x, Value) else (None, x) for x in operands]
    data = op.forward(*[x for _, x in pairs])
    return record_result(op, data, pairs)


def record_result(op: Op, data: float, pairs: Sequence[tuple[Value | None, float]]) -> Value:
    """Return the node of an operation whose result is known."""
    node: Value = _new(Value)
    node._data, node.op, node._grad, node.label = data, op, 0.0, ""
    set_operands(node, pairs)
    _take_scope(node)
    return _attend(node) if modes.watched else node


def _attend(node: Value) -> Value:
    """Do what the thread's modes ask for: errstate, a recorder, no_grad."""
    assert node.op is not None
    check_domain(node.op, node._data, node._operands())
    if modes.tracing and modes.state.recorder is not None:
        modes.state.recorder.made(node)
    if modes.state.recording:
        return node
    if modes.tracing:
        if modes.state.trace is not None:
            with modes.enable_grad():
                return node.detach()  # a constant for derivatives, but live
        return _constant(node, "no_grad")
    node.op = node._a = node._b = None  # `_constant`, without a second node
    node._x, node._y, node._rest = modes.calls, 1.0, ()
    return node


def _constant(node: Value, reason: str) -> Value:
    """A leaf of a node's number and label, through which no gradient flows."""
    leaf = Value(node._data, label=node.label)
    leaf._y = 1.0 if is_computed(node) else 0.0  # a parameter's copy may be a parameter
    if modes.tracing and modes.state.recorder is not None:
        modes.state.recorder.cut(node, leaf, reason)
    return leaf


def check_domain(op: Op, data: float, operands: Sequence[tuple[Value | None, float]]) -> None:
    """Raise DomainError where errstate asks for it and finite operands gave inf or nan."""
    if not modes.state.raising or math.isfinite(data):
        return
    if all(math.isfinite(x) for _, x in operands):
        call, named = told(op.name, operands)
        raise DomainError(f"{call} is {data}{named}, {user_line()}")


# --- the other methods, from the table ------------------------------------------------------


# The rows that operators are, by Python's names of these.
_OPERATORS = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "mod": "remainder"}
_OPERATORS |= {"floordiv": "floor_divide", "pow": "pow"}


def _add_methods() -> None:
    """Give Value its operators, and a method for each row of one or two operands, under its name
    and aliases."""
    for name, row in _OPERATORS.items():
        if name != "pow":  # which is written out above
            setattr(Value, f"__{name}__", _operator(TABLE[row]))
        setattr(Value, f"__r{name}__", _reflected(TABLE[row]))
    for name in ("neg", "abs", "floor", "ceil", "trunc"):
        setattr(Value, f"__{name}__", _unary(TABLE[name]))
    for op in TABLE.values():
        assert op.forward is not None
        if op.arity <= 2:  # `where` begins with a condition: a function only
            method = _unary(op) if op.arity == 1 else _binary(op)
            first = next(iter(signature(op.forward).parameters))
            method.__doc__ = f"{op.doc} Here {first} is self."
            method.__name__, method.__qualname__ = op.name, f"Value.{op.name}"
            for name in (op.name, *op.aliases):
                if name not in vars(Value):  # as `detach`, which is written out above
                    setattr(Value, name, method)


_POW = TABLE["pow"]
_SQUARE = TABLE["square"]
_add_methods()
