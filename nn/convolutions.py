"""Convolutions and pooling, for one example: channels in nested lists, no arrays.

An example is a list of channels, and a channel a list of numbers, as signals are for `Conv1d`, or
of rows of them, as pictures are for `Conv2d`. Every layer here looks at it through windows that
slide over its channels. Where a window reaches into padding of zeros, it holds None.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any, TypeAlias

import engine
from engine.errors import whole
from nn.init import Rng
from nn.module import Module, fresh, values_of

Sizes: TypeAlias = int | Sequence[int]  # one for all dimensions, or one for each

# Which of n numbers is read in place i, by the padding mode; None for a 0.
_PADDED: dict[str, Callable[[int, int], int | None]] = {
    "zeros": lambda i, n: i if 0 <= i < n else None,
    "reflect": lambda i, n: n - 1 - abs(n - 1 - abs(i)),
    "replicate": lambda i, n: min(max(i, 0), n - 1),
    "circular": lambda i, n: i % n,
}


class _Windows(Module):
    """What these layers share: where windows lie, and what an example is."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    dims: int  # 1 for signals, 2 for pictures
    in_channels: int | None = None  # None for however many
    in_tuples = False  # whether settings are kept with a number for each dimension
    padding_mode = "zeros"
    ceil_mode = False

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes = 1
    ) -> None:
        given = {
            "kernel_size": kernel_size,
            "stride": kernel_size if stride is None else stride,
            "dilation": dilation,
            "padding": padding,
        }
        self.example_dims = 1 + self.dims
        each = {name: self._each(name, sizes) for name, sizes in given.items()}
        one = {
            name: x if isinstance(given[name], tuple | list) else x[0] for name, x in each.items()
        }
        vars(self).update(each if self.in_tuples else one)
        self._around = [(n, n) for n in each.pop("padding")]  # zeros before and after
        self._steps = [*zip(*each.values(), strict=True)]

    def _each(self, name: str, sizes: Any) -> tuple[int, ...]:
        """A setting for each dimension. Raises ValueError for what is none."""
        each = sizes if isinstance(sizes, tuple | list) else (sizes,) * self.dims
        least = 0 if name == "padding" else 1
        if len(each) != self.dims or any(not isinstance(n, Integral) or n < least for n in each):
            several = "" if self.dims == 1 else f", or {self.dims} of them in a tuple"
            raise ValueError(
                f"{type(self).__name__} takes as {name} a whole number of at least {least}"
                f"{several}, not {sizes!r}"
            )
        return tuple(map(int, each))  # NumPy's are others in a repr

    def _windows(self, x: Any) -> tuple[list[list[list[Any]]], list[int]]:
        """The windows of each channel, row after row, and how many there are in each dimension."""
        places = [*map(self._places, self._sizes(x), self._steps, self._around)]
        windows = [[*itertools.product(*each)] for each in itertools.product(*places)]
        return (
            [[[_at(channel, place) for place in window] for window in windows] for channel in x],
            [*map(len, places)],
        )

    def _sizes(self, x: Any) -> list[int]:
        """The sizes of an example's channels. Raises TypeError and ValueError for what is none."""
        shape, level = list[int](), [x]
        while level and all(isinstance(part, list | tuple) for part in level):
            shape.append(len(level[0]))
            if any(len(part) != shape[-1] for part in level):
                raise ValueError(f"{self!r} takes lists of one length, and these have several")
            level = [*itertools.chain.from_iterable(level)]
        wanted = ("channels", "length") if self.dims == 1 else ("channels", "height", "width")
        if len(shape) != len(wanted):
            hints = {
                len(wanted) + 1: "; use nn.predict(model, X) for a batch",
                len(wanted) - 1: "; a single channel is in a list, too",
            }
            given = f"of {tuple(shape)}" if shape else repr(x)
            raise TypeError(
                f"{self!r} takes one example, nested lists of ({', '.join(wanted)}) numbers, not "
                f"{given}{hints.get(len(shape), '')}"
            )
        if self.in_channels not in (None, shape[0]):
            raise ValueError(
                f"{self!r} takes {self.in_channels} channels, but was given {shape[0]}"
            )
        return shape[1:]

    def _places(
        self, size: int, steps: tuple[int, ...], around: tuple[int, int]
    ) -> list[list[int | None]]:
        """What each window reads along a dimension of a size: numbers of places, and None."""
        (kernel, stride, dilation), (before, after) = steps, around
        reach, end = dilation * (kernel - 1) + 1, size + after
        count, rest = divmod(before + end - reach, stride)
        # one more that reaches over the end, unless it begins there
        over = self.ceil_mode and rest > 0 and (count + 1) * stride < before + size
        count += 1 + over
        most = {"reflect": size - 1, "circular": size}.get(self.padding_mode, math.inf)
        if count < 1 or not size:
            padding = f" and its padding of {before + after}" if before + after else ""
            raise ValueError(
                f"{self!r} was given {size} numbers in a row or column, too few for its window of "
                f"{reach}{padding}"
            )
        if max(before, after) > most:
            raise ValueError(
                f"{self!r} was given {size} numbers in a row or column, too few to take its "
                f"padding of {max(before, after)} from"
            )
        padded = _PADDED[self.padding_mode]
        return [
            [padded(i, size) for i in range(first, min(first + reach, end), dilation)]
            for first in range(-before, count * stride - before, stride)
        ]


def _at(channel: Any, place: tuple[int | None, ...]) -> Any:
    """The number in a place, None where that lies in the padding."""
    for i in place:
        if i is None:
            return None
        channel = channel[i]
    return channel


def _nested(numbers: list[Any], sizes: Sequence[int]) -> list[Any]:
    """Numbers row after row as nested lists of these sizes."""
    for size in reversed(sizes[1:]):
        numbers = [numbers[k : k + size] for k in range(0, len(numbers), size)]
    return numbers


# --- convolutions ---------------------------------------------------------------------------


class _Conv(_Windows):
    in_channels: int
    in_tuples = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rng: Rng = random,
    ) -> None:
        name = type(self).__name__
        self.in_channels = whole("in_channels", in_channels, 1)
        self.out_channels = whole("out_channels", out_channels, 1)
        self.groups = whole("groups", groups, 1)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name} takes in_channels and out_channels that {groups} groups can share evenly, "
                f"not {in_channels} and {out_channels}"
            )
        if padding_mode not in _PADDED:
            raise ValueError(
                f"{name} takes as padding_mode one of {[*_PADDED]}, not {padding_mode!r}"
            )
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name} takes as padding sizes, 'same' or 'valid', not {padding!r}")
        super().__init__(kernel_size, stride, 0 if isinstance(padding, str) else padding, dilation)
        if isinstance(padding, str):
            self.padding = padding
        if padding == "same":
            if any(step != 1 for _, step, _ in self._steps):
                raise ValueError(f"{name} takes padding='same' with a stride of 1, not {stride!r}")
            more = [dilation * (kernel - 1) for kernel, _, dilation in self._steps]
            self._around = [(n // 2, n - n // 2) for n in more]
        self.padding_mode = padding_mode
        sizes = [in_channels // groups, *self.kernel_size]
        bound = math.prod(sizes) ** -0.5
        draw = partial(rng.uniform, -bound, bound)
        self.weight = fresh(draw, out_channels, *sizes)
        self.bias = fresh(draw, out_channels) if bias else None

    def forward(self, x: Any) -> list[Any]:
        """Return the channels that come out, each of nested lists."""
        channels, sizes = self._windows(x)
        inputs, outputs = self.in_channels // self.groups, self.out_channels // self.groups
        found = []
        for k, kernel in enumerate(self.weight):
            if k % outputs == 0:  # another group begins
                own = channels[k // outputs * inputs :][:inputs]
                patches = [[*itertools.chain(*parts)] for parts in zip(*own, strict=True)]
            flat, bias = values_of(kernel), None if self.bias is None else self.bias[k]
            found.append(_nested([_dot(flat, patch, bias) for patch in patches], sizes))
        return found

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch shows them."""
        none, one = (0,) * self.dims, (1,) * self.dims
        shown = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}, stride={self.stride}",
            f"padding={self.padding}" * (self.padding != none),
            f"dilation={self.dilation}" * (self.dilation != one),
            f"groups={self.groups}" * (self.groups != 1),
            "bias=False" * (self.bias is None),
            f"padding_mode={self.padding_mode}" * (self.padding_mode != "zeros"),
        ]
        return ", ".join(filter(None, shown))


def _dot(kernel: list[Any], patch: list[Any], bias: Any) -> Any:
    if any(x is None for x in patch):  # the products with 0 are left out
        inside = [k for k, x in enumerate(patch) if x is not None]
        kernel, patch = [kernel[k] for k in inside], [patch[k] for k in inside]
    return engine.dot(kernel, patch, start=bias)


class Conv1d(_Conv):
    """The cross-correlation of signals: y[k][t] = b[k] + Σ W[k][c][i] * x[c][t * stride + i].

    `weight` is (out_channels, in_channels / groups, kernel_size), `bias` (out_channels,); both
    start uniform on [-1/√n, 1/√n] for n products in an output. Channels go in `groups` of which
    each sees its own share only. `padding` is how many zeros lie at either end, or "same", as many
    as keep the length, or "valid", none; with the `padding_mode` "reflect", "replicate" or
    "circular" it is the signal's own numbers. A window takes every `dilation`-th number.

    An example has the shape (in_channels, length). Raises ValueError for settings that don't go
    together, for other channels, and for less than a window; TypeError for a batch.

    >>> average = Conv1d(1, 1, 2, bias=False)
    >>> average.load_state_dict({"weight": [[[0.5, 0.5]]]})
    >>> [y.data for y in average([[1.0, 3.0, 7.0]])[0]]
    [2.0, 5.0]
    """

    dims = 1


class Conv2d(_Conv):
    """The cross-correlation of pictures: as `Conv1d`, in two dimensions.

    Sizes are one number, or a pair for height and width; `weight` is (out_channels, in_channels /
    groups, height, width) of the window. An example has the shape (in_channels, height, width).

    >>> layer = Conv2d(1, 4, 3, padding="same")
    >>> layer
    Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), padding=same)
    >>> channels = layer([[[0.0] * 8] * 6])
    >>> len(channels), len(channels[0]), len(channels[0][0])
    (4, 6, 8)
    """

    dims = 2


# --- pooling --------------------------------------------------------------------------------


class _Pool(_Windows):
    """One number for each window of each channel."""

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes = 1
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation)
        halves = [kernel // 2 for kernel, _, _ in self._steps]
        if any(n > half for half, (n, _) in zip(halves, self._around, strict=True)):
            raise ValueError(
                f"{type(self).__name__} takes padding of at most half a window, not {padding!r}"
            )

    pooled: Callable[[list[Any]], Any]

    def forward(self, x: Any) -> list[Any]:
        """Return the channels, each smaller by what the windows make one of."""
        channels, sizes = self._windows(x)
        return [_nested([self.pooled(window) for window in channel], sizes) for channel in channels]


def _larger(x: Any, y: Any) -> Any:
    """The larger number, nan if either is, and x where they are equal."""
    return engine.where((x < y) >= (y == y), y, x)  # of a y that is nan, neither holds


class _MaxPool(_Pool):
    _in_repr = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        if return_indices:
            raise ValueError(f"{type(self).__name__} returns the largest numbers, no indices")
        super().__init__(kernel_size, stride, padding, dilation)
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def pooled(self, window: list[Any]) -> Any:
        """Return the largest number; of equal ones the first, which gets the whole gradient."""
        numbers = [x for x in window if x is not None] or [-math.inf]
        while len(numbers) > 1:  # by pairs, so that all of a compiled picture meet on one level
            odd = numbers[len(numbers) // 2 * 2 :]
            numbers = [*map(_larger, numbers[::2], numbers[1::2]), *odd]
        return numbers[0]


class MaxPool1d(_MaxPool):
    """The largest number of each window, channel by channel, as far as it is not padding.

    Windows lie side by side unless `stride` says otherwise; with `ceil_mode` they may reach over
    the end. An example has the shape (channels, length). Raises as `Conv1d` does.

    >>> MaxPool1d(2)([[1.0, 3.0, 2.0, -1.0]])
    [[3.0, 2.0]]
    """

    dims = 1


class MaxPool2d(_MaxPool):
    """The largest number of each window of pictures: as `MaxPool1d`, in two dimensions.

    >>> MaxPool2d(2)([[[1.0, 3.0], [2.0, -1.0]]])
    [[[3.0]]]
    """

    dims = 2


class _AvgPool(_Pool):
    _in_repr = ("kernel_size", "stride", "padding")
    divisor_override: int | None = None

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def pooled(self, window: list[Any]) -> Any:
        """Return the mean, to which padding counts as zeros, or not at all."""
        numbers = [x for x in window if x is not None]
        count = len(window if self.count_include_pad else numbers)
        return engine.sum(numbers) / (self.divisor_override or count)


class AvgPool1d(_AvgPool):
    """The mean of each window, channel by channel; else as `MaxPool1d`.

    Padding counts as zeros, or with `count_include_pad=False` not at all.

    >>> AvgPool1d(2)([[1.0, 3.0, 2.0, -1.0]])
    [[2.0, 0.5]]
    """

    dims, in_tuples = 1, True


class AvgPool2d(_AvgPool):
    """The mean of each window of pictures: as `AvgPool1d`, in two dimensions.

    `divisor_override` is what sums are divided by in place of the count of their numbers.

    >>> AvgPool2d(2)([[[1.0, 3.0], [2.0, -1.0]]])
    [[[1.25]]]
    """

    dims = 2

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        if divisor_override == 0:
            raise ValueError("AvgPool2d can't divide by a divisor_override of 0")
        self.divisor_override = divisor_override
