"""Layers and activations, for one example: scalars and lists, no arrays.

`Neuron`, `Layer` and `MLP` are micrograd's, `Linear` and the activations PyTorch's, with their
names, defaults and reprs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import engine
from engine import Value
from engine.errors import check_number, whole
from nn.init import Rng
from nn.module import Module, fresh


def checked(layer: object, x: Any, size: int) -> Any:
    """Return the input of a layer. Raises TypeError or ValueError unless it is one example, a
    list of `size` numbers."""
    if not isinstance(x, list | tuple):
        raise TypeError(f"{layer} takes a list of {size} numbers, not {x!r}")
    if x and isinstance(x[0], list | tuple):
        raise TypeError(
            f"{layer} takes one example, a list of {size} numbers, and this is a list of "
            f"{len(x)} lists; use nn.predict(model, X) for a batch"
        )
    if len(x) != size:
        raise ValueError(f"{layer} takes {size} inputs, but was given {len(x)}")
    return x


def has_shape(x: Any, *shape: int) -> bool:
    """Return whether these are nested lists of such lengths."""
    if not shape or not isinstance(x, list | tuple):
        return not shape and not isinstance(x, list | tuple)
    return len(x) == shape[0] and all(has_shape(part, *shape[1:]) for part in x)


def positions(layer: object, x: Any, size: int) -> list[Any]:
    """Return the positions of a sequence. Raises as `checked` does for what is none."""
    refuse_pair(layer, x)
    if not isinstance(x, list | tuple) or not x or not isinstance(x[0], list | tuple):
        raise TypeError(
            f"{layer} takes a sequence, lists of {size} numbers in a list, not {x!r:.200}"
        )
    return [checked(layer, position, size) for position in x]


def refuse_pair(layer: object, x: Any) -> None:
    """Raise TypeError for what recurrent layers and attention return, outputs and something."""
    if isinstance(x, tuple) and x and isinstance(x[0], list) and x[0] and isinstance(x[0][0], list):
        raise TypeError(
            f"{layer} was given a tuple, such as the (output, state) of a recurrent layer; call "
            "that one in a forward of your own, and hand on what is meant, as output or output[-1]"
        )


def affine(weight: list[list[Any]], bias: list[Any] | None, x: list[Any]) -> list[Any]:
    """Return W x + b, or W x."""
    if bias is None:
        return [engine.dot(row, x) for row in weight]
    return [engine.dot(row, x, start=b) for row, b in zip(weight, bias, strict=True)]


def counted_from_0(index: Any, count: int, one: str, several: str) -> Any:
    """Return what to tell `engine.take`, which knows places from the end too: a number below 0
    misses these as well. Raises IndexError at once where the index is a plain number."""
    if not isinstance(index, Value) and index < 0:
        raise IndexError(f"there is no {one} {index:g}: the {count} {several} begin with 0")
    return engine.where(index < 0, index - count, index)


# --- micrograd's ----------------------------------------------------------------------------


class Neuron(Module):
    """A weighted sum of `nin` inputs and a bias, through ReLU unless `nonlin` is False.

    Weights are uniform on [-1, 1], the bias is 0.

    >>> Neuron(2, rng=random.Random(0))
    ReLUNeuron(2)
    """

    def __init__(self, nin: int, nonlin: bool = True, *, rng: Rng = random) -> None:
        self.w = [Value(rng.uniform(-1.0, 1.0)) for _ in range(whole("nin", nin, 0))]
        self.b = Value(0.0)
        self.nin, self.nonlin = nin, nonlin

    def forward(self, x: Sequence[Any]) -> Value:
        """Return the neuron's output."""
        total: Value = engine.dot(self.w, checked(self, x, len(self.w)), start=self.b)
        return total.relu() if self.nonlin else total

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """`nout` neurons on the same `nin` inputs. The output is a list, or a Value if `nout` is 1.

    >>> Layer(2, 3, nonlin=False)
    Layer of [LinearNeuron(2), LinearNeuron(2), LinearNeuron(2)]
    """

    def __init__(self, nin: int, nout: int, nonlin: bool = True, *, rng: Rng = random) -> None:
        self.nin, self.nout, self.nonlin = nin, nout, nonlin
        self.neurons = [Neuron(nin, nonlin, rng=rng) for _ in range(whole("nout", nout, 0))]

    def forward(self, x: Sequence[Any]) -> Any:
        """Return the outputs of the neurons."""
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """Layers of neurons: `nin` inputs, then `nouts` outputs each, ReLU on all but the last.

    >>> MLP(2, [2, 1])
    MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]
    """

    def __init__(self, nin: int, nouts: Sequence[int], *, rng: Rng = random) -> None:
        self.nin, self.nouts = nin, list(nouts)
        sizes = [nin, *nouts]
        last = len(nouts) - 1
        self.layers = [
            Layer(sizes[i], sizes[i + 1], nonlin=i != last, rng=rng) for i in range(len(nouts))
        ]

    def forward(self, x: Sequence[Any]) -> Any:
        """Return the last layer's output."""
        out: Any = x
        for i, layer in enumerate(self.layers):
            # A layer of one neuron gives a bare Value; the next layer wants a list again.
            out = layer(out if i == 0 or isinstance(out, list) else [out])
        return out

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


# --- PyTorch's ------------------------------------------------------------------------------


class Linear(Module):
    """y = W x + b: `weight` is a list of `out_features` rows of `in_features`, `bias` a list.

    Both start uniform on [-1/√in_features, 1/√in_features]. For a sequence, a list of lists, it
    applies to each position. Raises ValueError for sizes below 1.

    >>> Linear(2, 3)
    Linear(in_features=2, out_features=3, bias=True)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: Rng = random
    ) -> None:
        self.in_features = whole("in_features", in_features, 1)
        self.out_features = whole("out_features", out_features, 1)
        bound = in_features**-0.5
        draw = partial(rng.uniform, -bound, bound)
        self.weight = fresh(draw, out_features, in_features)
        self.bias = fresh(draw, out_features) if bias else None

    def forward(self, x: Any) -> list[Any]:
        """Return the outputs, a list of Values."""
        if isinstance(x, list | tuple) and x and isinstance(x[0], list | tuple):
            refuse_pair(self, x)
            return [self.forward(position) for position in x]
        return affine(self.weight, self.bias, checked(self, x, self.in_features))

    def extra_repr(self) -> str:
        """Return the sizes, as PyTorch shows them."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Activation(Module):
    """A function of one number, applied to each number of a nested list."""

    function: Callable[[Any], Any]  # of one number

    def forward(self, x: Any) -> Any:
        """Return the same structure with the function's results."""
        if isinstance(x, list | tuple):
            refuse_pair(self, x)
            return [self.forward(item) for item in x]
        return self.function(x)


class ReLU(Activation):
    """max(x, 0)."""

    function = staticmethod(engine.relu)


class LeakyReLU(Activation):
    """x for x > 0, else negative_slope * x."""

    _in_repr = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def function(self, x: Any) -> Any:
        """Return the activation of x."""
        return engine.leaky_relu(x, self.negative_slope)


class ELU(Activation):
    """x for x > 0, else alpha * (e**x - 1)."""

    _in_repr = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def function(self, x: Any) -> Any:
        """Return the activation of x."""
        return engine.elu(x, self.alpha)


class SELU(Activation):
    """1.0507 * ELU(x, alpha=1.6733): keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    alpha = 1.6732632423543772
    scale = 1.0507009873554805

    def function(self, x: Any) -> Any:
        """Return the activation of x."""
        return self.scale * engine.elu(x, self.alpha)


class GELU(Activation):
    """x * Φ(x), with the exact normal distribution function."""

    function = staticmethod(engine.gelu)

    def extra_repr(self) -> str:
        """Return that this is no approximation, as PyTorch shows it."""
        return "approximate='none'"


class SiLU(Activation):
    """x * sigmoid(x)."""

    function = staticmethod(engine.silu)


class Tanh(Activation):
    """The hyperbolic tangent."""

    function = staticmethod(engine.tanh)


class Sigmoid(Activation):
    """1 / (1 + e**-x)."""

    function = staticmethod(engine.sigmoid)


class Softplus(Activation):
    """log(1 + e**(beta*x)) / beta, and x itself where beta*x is above the threshold."""

    _in_repr = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        check_number("beta", beta)
        check_number("threshold", threshold)
        if not beta:
            raise ValueError("Softplus divides by beta, which is not 0")
        self.beta, self.threshold = beta, threshold

    def function(self, x: Any) -> Any:
        """Return the activation of x."""
        scaled = self.beta * x
        return engine.where(scaled > self.threshold, x, engine.softplus(scaled) / self.beta)


class Dropout(Activation):
    """While training, each number is 0 with the probability p, else divided by 1 - p; in
    evaluation mode the numbers themselves (Srivastava et al. 2014).

    It draws from `engine.random`, anew for every step and example, alike on both paths. Raises
    ValueError for a p outside [0, 1].

    >>> Dropout(0.25).eval()([1.0, 2.0])
    [1.0, 2.0]
    """

    def __init__(self, p: float = 0.5) -> None:
        check_number("p", p)
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"Dropout takes a probability, not {p!r}")
        self.p = p

    def function(self, x: Any) -> Any:
        """Return the number, 0 or made larger."""
        if not self.training:
            return x
        scale = 1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0
        return engine.where(engine.random() < self.p, 0.0, scale * x)

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch shows them."""
        return f"p={self.p}, inplace=False"


class _OverList(Module):
    """A function of a list of numbers, applied to the innermost lists: PyTorch's dim=-1."""

    _in_repr = ("dim",)
    function: Callable[[Any], Any]  # of a list of numbers

    def __init__(self, dim: int = -1) -> None:
        if dim != -1:
            raise ValueError(f"{type(self).__name__} works on the last dimension, -1, not {dim}")
        self.dim = dim

    def forward(self, x: Any) -> Any:
        """Return the same structure with the function's results."""
        if not isinstance(x, list | tuple) or not x:
            raise TypeError(f"{self!r} takes a list of numbers, not {x!r}")
        if isinstance(x[0], list | tuple):
            return [self.forward(item) for item in x]
        return self.function(x)


class Softmax(_OverList):
    """e**x divided by the sum of these, over a list: positive, with the sum 1."""

    function = staticmethod(engine.softmax)


class LogSoftmax(_OverList):
    """The logarithms of `Softmax`, exact in the tails."""

    function = staticmethod(engine.log_softmax)


class Identity(Module):
    """The input itself."""

    def forward(self, x: Any) -> Any:
        """Return the input."""
        return x


class Flatten(Module):
    """All numbers of nested lists, such as the rows of a picture, in one list.

    PyTorch counts the dimension of a batch as 0, so that its defaults are the dimensions of an
    example, and these are all there is here. Raises ValueError for other ones.

    >>> Flatten()([[1.0, 2.0], [3.0, 4.0]])
    [1.0, 2.0, 3.0, 4.0]
    """

    _in_repr = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        if (start_dim, end_dim) != (1, -1):
            raise ValueError(
                f"Flatten joins all dimensions of an example, 1 to -1, not {start_dim} to {end_dim}"
            )
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> list[Any]:
        """Return the numbers in their order."""
        if not isinstance(x, list | tuple):
            return [x]
        refuse_pair(self, x)
        return [number for part in x for number in self.forward(part)]
