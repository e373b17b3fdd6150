"""Recurrent layers, RNN, LSTM and GRU, and single steps of them as cells. Scalars, no arrays.

A layer reads a sequence, a list of positions, and hands a state on from each to the next. Names,
results and the order of gates are PyTorch's for one sequence. The loop is `engine.scan`: Python's
loop eagerly, and compiled one instruction, whose step is traced once for any length.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import engine
from engine.errors import one_of, whole
from nn.init import Rng
from nn.layers import Dropout, affine, checked, has_shape, positions
from nn.module import Module, fresh

State: TypeAlias = tuple[list[Any], ...]  # the hidden numbers, and those of an LSTM's cell
Gates: TypeAlias = list[list[Any]]  # some numbers for each gate
Shapes: TypeAlias = Iterator[tuple[str, tuple[int, ...]]]  # of parameters, by name

_WAYS = ("", "_reverse")  # to read a sequence, by what the names of the weights end in


# --- a step of each kind ----------------------------------------------------------------------
# `given` is W_ih x + b_ih, and `kept` is W_hh h + b_hh, gate by gate.


def _simple(layer: Any, given: Gates, kept: Gates, state: State) -> State:
    function = engine.tanh if layer.nonlinearity == "tanh" else engine.relu
    return ([function(y) for y in _added(given[0], kept[0])],)


def _lstm(layer: Any, given: Gates, kept: Gates, state: State) -> State:
    inputs, forgets, news, outputs = map(_added, given, kept)
    cell = [
        engine.sigmoid(f) * c + engine.sigmoid(i) * engine.tanh(g)
        for i, f, g, c in zip(inputs, forgets, news, state[1], strict=True)
    ]
    return [engine.sigmoid(o) * engine.tanh(c) for o, c in zip(outputs, cell, strict=True)], cell


def _gru(layer: Any, given: Gates, kept: Gates, state: State) -> State:
    resets, updates = map(_added, given[:2], kept[:2])
    news = [
        engine.tanh(a + engine.sigmoid(r) * b)
        for r, a, b in zip(resets, given[2], kept[2], strict=True)
    ]
    numbers = zip(updates, news, state[0], strict=True)
    return ([n + engine.sigmoid(z) * (h - n) for z, n, h in numbers],)


def _added(xs: list[Any], ys: list[Any]) -> list[Any]:
    return [x + y for x, y in zip(xs, ys, strict=True)]


# --- what layers and cells share --------------------------------------------------------------


class _Recurrent(Module):
    """Weights whose names end in a suffix, and a step with those of one suffix."""

    gates: int  # how many lists of hidden_size numbers the weights make
    states = 1  # how many lists a state has
    update: Callable[[Gates, Gates, State], State]  # one of the steps above
    usual: tuple[tuple[str, Any], ...]  # settings that a repr leaves out
    input_size: int
    hidden_size: int
    bias: bool

    if TYPE_CHECKING:  # the parameters

        def __getattr__(self, name: str) -> Any: ...

    @classmethod
    def _shapes(cls, suffix: str, input_size: int, hidden_size: int, bias: bool) -> Shapes:
        """Names and shapes of the weights of one suffix."""
        rows = cls.gates * hidden_size
        yield f"weight_ih{suffix}", (rows, input_size)
        yield f"weight_hh{suffix}", (rows, hidden_size)
        if bias:
            yield f"bias_ih{suffix}", (rows,)
            yield f"bias_hh{suffix}", (rows,)

    def _draw(self, shapes: Shapes, rng: Rng) -> None:
        """Have parameters, uniform on [-1/√hidden_size, 1/√hidden_size]."""
        bound = self.hidden_size**-0.5
        draw = partial(rng.uniform, -bound, bound)
        vars(self).update({name: fresh(draw, *shape) for name, shape in shapes})

    def _step(self, suffix: str, state: State, x: Any) -> State:
        """The state after a position."""
        given, kept = self._sums(f"ih{suffix}", x), self._sums(f"hh{suffix}", state[0])
        return self.update(given, kept, state)

    def _sums(self, name: str, x: list[Any]) -> Gates:
        """W x + b, gate by gate."""
        own = vars(self)
        sums = affine(own[f"weight_{name}"], own.get(f"bias_{name}"), x)
        return [sums[k : k + self.hidden_size] for k in range(0, len(sums), self.hidden_size)]

    def _first(self, hx: Any, *count: int) -> State:
        """The state to begin with, nested lists of so many. Raises ValueError for what is none."""
        shape = (*count, self.hidden_size)
        if hx is None:
            return (_zeros(*shape),) * self.states
        state = (hx,) if self.states == 1 else hx
        if not has_shape(state, self.states, *shape):
            pair = "a pair, h and c, each" if self.states == 2 else "h,"
            size = " x ".join(map(str, shape))
            raise ValueError(
                f"{self!r} begins with {pair} a list of {size} numbers, not {hx!r:.200}"
            )
        return tuple(state)

    def extra_repr(self) -> str:
        """Return the sizes, and what is not as usual, as PyTorch shows them."""
        own = vars(self)
        others = [f"{name}={own[name]}" for name, x in self.usual if own.get(name, x) != x]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *others])


def _zeros(count: int, *sizes: int) -> list[Any]:
    return [_zeros(*sizes) if sizes else 0.0 for _ in range(count)]


# --- layers -----------------------------------------------------------------------------------


class _Layers(_Recurrent):
    """Layers on top of each other; in each, if bidirectional, one that reads from the end too."""

    example_dims = 2
    usual = (
        ("num_layers", 1),
        ("bias", True),
        ("batch_first", False),
        ("dropout", 0.0),
        ("bidirectional", False),
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = random,
    ) -> None:
        self.input_size = whole("input_size", input_size, 1)
        self.hidden_size = whole("hidden_size", hidden_size, 1)
        self.num_layers = whole("num_layers", num_layers, 1)
        Dropout(dropout)  # which raises for what is no probability
        if dropout and num_layers == 1:
            warnings.warn("dropout is between layers, and here is only one", stacklevel=2)
        self.bias, self.batch_first = bias, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        self._draw(self.shapes(input_size, hidden_size, num_layers, bias, bidirectional), rng)

    @classmethod
    def shapes(
        cls,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        bidirectional: bool,
        **_: Any,
    ) -> Shapes:
        """Names and shapes of all weights, by the constructor's arguments."""
        for layer in range(num_layers):
            inputs = hidden_size * (1 + bidirectional) if layer else input_size
            for way in _WAYS[: 1 + bidirectional]:
                yield from cls._shapes(f"_l{layer}{way}", inputs, hidden_size, bias)

    def forward(self, x: Any, hx: Any = None) -> tuple[list[Any], Any]:
        """Return the outputs at all positions, and the last states: see the class."""
        x = positions(self, x, self.input_size)
        ways = _WAYS[: 1 + self.bidirectional]
        first = zip(*self._first(hx, self.num_layers * len(ways)), strict=True)
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = Dropout(self.dropout)(x)
            outputs = []
            for way in ways:
                state, ys = self._read(f"_l{layer}{way}", next(first), x[::-1] if way else x)
                outputs.append(ys[::-1] if way else ys)
                last.append(state)
            x = [[y for part in parts for y in part] for parts in zip(*outputs, strict=True)]
        states = tuple(map(list, zip(*last, strict=True)))
        return x, states if self.states > 1 else states[0]

    def _read(self, suffix: str, first: State, x: list[Any]) -> tuple[State, list[Any]]:
        """The last state, and the hidden numbers after each position."""

        def step(state: State, position: Any) -> tuple[State, list[Any]]:
            state = self._step(suffix, state, position)
            return state, state[0]

        return engine.scan(step, first, x)


class RNN(_Layers):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) from position to position (Elman 1990).

    The input is one sequence, a list of positions of `input_size` numbers; for a batch use
    `nn.predict`, and `nn.fit` to train. So `batch_first`, which is accepted, changes nothing. The
    result is what PyTorch returns for one sequence: the outputs, `hidden_size` numbers for each
    position, twice as many if `bidirectional`; and h_n, the last hidden numbers of each layer and
    direction. With `num_layers` above 1 each layer reads the outputs of the one below, through
    `dropout` while training. `hx`, the state to begin with, is like h_n, or 0.

    Parameters have PyTorch's names, such as weight_ih_l0, bias_hh_l1_reverse. In a Sequential the
    result, a pair, is what the next layer gets; write a Module whose forward says what it wants.

    Raises ValueError for sizes below 1, an unknown `nonlinearity` ("tanh" or "relu") and a state of
    another shape, TypeError for what is no sequence.

    >>> output, h_n = RNN(2, 3)([[0.1, 0.2], [0.3, 0.4]])
    >>> len(output), output[-1] == h_n[0]
    (2, True)
    """

    gates, update = 1, _simple

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = random,
    ) -> None:
        one_of("nonlinearity", nonlinearity, "tanh", "relu")
        self.nonlinearity = nonlinearity
        super().__init__(
            *(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional),
            rng=rng,
        )


class LSTM(_Layers):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, Gers et al. 2000).

    c' = σ(f) c + σ(i) tanh(g) and h' = σ(o) tanh(c'), where i, f, g, o are the four parts of
    W_ih x + b_ih + W_hh h + b_hh. All else is as for `RNN`, but a state is a pair, of h and of c:
    the result is (output, (h_n, c_n)).

    >>> class Last(Module):
    ...     def __init__(self):
    ...         self.lstm = LSTM(2, 3)
    ...     def forward(self, x):
    ...         output, (h_n, c_n) = self.lstm(x)
    ...         return output[-1]
    >>> len(Last()([[0.1, 0.2], [0.3, 0.4]]))
    3
    """

    gates, states, update = 4, 2, _lstm


class GRU(_Layers):
    """Gated recurrent units (Cho et al. 2014).

    h' = (1 - σ(z)) n + σ(z) h, where n = tanh(n_x + σ(r) n_h). r, z and n_x are the parts of
    W_ih x + b_ih, n_h is one of W_hh h + b_hh, whose others add to r and z. All else is as for
    `RNN`.

    >>> GRU(2, 3, num_layers=2)
    GRU(2, 3, num_layers=2)
    """

    gates, update = 3, _gru


# --- cells ------------------------------------------------------------------------------------


class _Cell(_Recurrent):
    """One step."""

    usual = (("bias", True), ("nonlinearity", "tanh"))

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, rng: Rng = random
    ) -> None:
        self.input_size = whole("input_size", input_size, 1)
        self.hidden_size = whole("hidden_size", hidden_size, 1)
        self.bias = bias
        self._draw(self.shapes(input_size, hidden_size, bias), rng)

    @classmethod
    def shapes(cls, input_size: int, hidden_size: int, bias: bool, **_: Any) -> Shapes:
        """Names and shapes of all weights, by the constructor's arguments."""
        return cls._shapes("", input_size, hidden_size, bias)

    def forward(self, x: Any, hx: Any = None) -> Any:
        """Return the state after a position: h, or for an LSTM the pair of h and c."""
        state = self._step("", self._first(hx), checked(self, x, self.input_size))
        return state if self.states > 1 else state[0]


class RNNCell(_Cell):
    """One step of an `RNN`: `cell(x, h)` is the next h.

    >>> len(RNNCell(2, 3)([0.1, 0.2]))
    3
    """

    gates, update = 1, _simple

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: Rng = random,
    ) -> None:
        one_of("nonlinearity", nonlinearity, "tanh", "relu")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, rng=rng)


class LSTMCell(_Cell):
    """One step of an `LSTM`: `cell(x, (h, c))` is the next pair."""

    gates, states, update = 4, 2, _lstm


class GRUCell(_Cell):
    """One step of a `GRU`: `cell(x, h)` is the next h."""

    gates, update = 3, _gru
