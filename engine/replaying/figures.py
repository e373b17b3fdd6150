"""`exact`: the value and the gradient of a function on numbers of another kind, and each node's.

In: a function and its arguments. Out: `Exact`, which sets every number beside the one that float64
arithmetic gave, with a bound on how far the two are apart.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from engine.graph import topological_order
from engine.lines import Line
from engine.replaying.kinds import Kind, as_float, kind_of
from engine.replaying.replay import Replay, Run, run_once
from engine.showing import Told
from engine.sweep import arrivals
from engine.value import Value

_SHOWN = 20  # figures that are written out
_WIDTH = 80  # of a number


@dataclass(frozen=True)
class Figure:
    """A number as float64 has it and as it is: `error` bounds how far they are apart.

    `digits` is how many decimal digits of `approximate` are right at least, inf where it is the
    number itself: the error relative to the number is at most 10 ** -digits. In the same way
    `known` is how many digits of `number` are certain, which is `text` in words. `name` is the
    operation of a node, "value", or "gradient" and an input's name; `line` is where a node stands.
    """

    name: str
    approximate: float
    number: Any
    error: float
    digits: float
    known: float
    text: str
    line: Line | None = None

    @property
    def right(self) -> str:
        """The digits in words."""
        if self.digits == math.inf:
            return "exact"
        return f"{counted(self.digits)} right, error at most {self.error:.2g}"

    def __str__(self) -> str:
        text = self.text
        if len(text) > _WIDTH:
            text = f"{text[: _WIDTH // 2]}…{text[-_WIDTH // 2 :]}"
        return f"{self.name} = {text}; float64 {self.approximate!r}: {self.right}"


def counted(digits: float) -> str:
    """So many whole digits, in words.

    >>> counted(15.95), counted(1.0)
    ('15 digits', '1 digit')
    """
    return f"{int(digits)} digit{'' if int(digits) == 1 else 's'}"


@dataclass(frozen=True, repr=False)
class Exact(Told):
    """What `exact` found; `print` it. `value` has f's structure, `gradient` that of the arguments.

    `figures` are the values and derivatives beside those of float64, and `nodes` every operation
    behind them, in order.
    """

    value: Any
    gradient: Any
    figures: tuple[Figure, ...]
    nodes: tuple[Figure, ...]

    @property
    def digits(self) -> float:
        """How many decimal digits of each figure float64 has right at least; inf for all."""
        return min((figure.digits for figure in self.figures), default=math.inf)

    def __str__(self) -> str:
        rest = len(self.figures) - _SHOWN
        more = [f"… and {rest:,} more; see .figures"] if rest > 0 else []
        return "\n".join([*map(str, self.figures[:_SHOWN]), *more])


def exact(
    f: Callable[..., Any],
    *args: Any,
    numbers: Literal["fraction", "mpmath", "interval"] = "fraction",
    digits: int = 50,
    wrt: Any = None,
) -> Exact:
    """Run `f(*args)` and its gradient on exact numbers, on many digits, or on intervals.

    f runs on Values, twice, to see that it gives the same. Its graph is computed again, forwards
    and backwards, by the rows of the table of operations:

    - "fraction": on `fractions.Fraction`. Nothing is rounded; what has no form in fractions, such
      as exp, is refused.
    - "mpmath": on mpmath's numbers, calculated with a few more than `digits` digits, and again
      with twice as many; what the two differ by counts as their error.
    - "interval": on Arb's balls (python-flint), which hold the true number whatever is rounded:
      their bounds are proofs. One that reaches over a kink or a branch is refused.

    Arguments are numbers and nested structures of them, as in `grad`. A float is the double that
    it is: 0.1 is a little more than a tenth, and "0.1", a Fraction, a Decimal or an mpf is what it
    says; an `arb` is taken as an interval. So are numbers that f reads elsewhere; what f computes
    of plain numbers alone is a float. Branches follow the run on floats: one that comes out
    otherwise for these numbers is a RuntimeWarning, as is a rounded number that f reads by `.data`.

    The gradient is by the arguments: the structure of the one, or a tuple; with `wrt` by a
    module's parameters, or Values that f uses. Where f returns several numbers, there is a
    gradient in the place of each.

    Raises DomainError where a number can't be had, naming operation and line; ImportError where a
    package is missing; TypeError where f gives no numbers; ValueError for another kind of
    `numbers`, `digits` below 1, inf or nan in arguments, and an f that gives a new result each
    time.

    >>> found = exact(lambda x, y: x / (x + y), 0.5, "1/3")
    >>> found.value, found.gradient
    (Fraction(3, 5), (Fraction(12, 25), Fraction(-18, 25)))
    """
    run = run_once("exact", f, args, wrt)
    kind = kind_of(numbers, digits)
    with kind.precision():
        found = Figures(run, kind, digits)
        for note in found.replay.notes():
            warnings.warn(f"with other numbers than floats, {note}", RuntimeWarning, stacklevel=2)
        called = [""] if len(run.called) == 1 else run.called
        values = [found.value(y, name) for y, name in zip(run.outputs, run.called, strict=True)]
        gradients = [found.gradient(y, name) for y, name in zip(run.outputs, called, strict=True)]
        nodes = tuple(found.nodes())
    by_input = [{x: part.number for x, part in gradient.items()} for gradient in gradients]
    parts = [part for gradient in gradients for part in gradient.values()]
    return Exact(
        run.rebuild([value.number for value in values]),
        run.rebuild(list(map(run.structured, by_input))),
        (*values, *parts),
        nodes,
    )


class Figures:
    """The numbers of a run's replay beside those of the run itself.

    `replay` is on numbers of the `kind`. Where these say nothing of their own errors, it is on
    twice as many digits, and what differs in one on the kind itself counts as error.
    """

    def __init__(self, run: Run, kind: Kind, shown: int) -> None:
        self.run, self.kind, self._shown = run, kind, shown
        for x, number in run.exactly.items():
            if not isinstance(number, Real) and kind.name != "interval":
                raise ValueError(f'{x.label} is an interval, {number}: take numbers="interval"')
        finer = kind.finer()
        self.replay = Replay(run, finer or kind)
        self._replays = [self.replay, Replay(run, kind)] if finer else [self.replay]

    def value(self, y: Any, name: str = "value") -> Figure:
        """The figure of an output."""
        x = y._data if isinstance(y, Value) else float(y)
        return self._figure(name, x, *(replay.number(y) for replay in self._replays))

    def gradient(self, y: Any, of: str = "") -> dict[Value, Figure]:
        """The figures of the derivatives by the inputs, of an output that has a name or none."""
        floats = adjoints(y)
        found = [(replay, replay.adjoints(y)) for replay in self._replays]
        return {
            x: self._figure(
                f"gradient {name} of {of}" if of else f"gradient {name}",
                floats.get(x) or 0.0,
                *(replay.derivative(x, arrived) for replay, arrived in found),
            )
            for x, name in self.run.inputs.items()
        }

    def nodes(self) -> Iterator[Figure]:
        """The figures of all operations behind the outputs."""
        for node in topological_order([y for y in self.run.outputs if isinstance(y, Value)]):
            numbers = [replay.plain(node) for replay in self._replays]
            if node.op is not None and None not in numbers:  # else in an arm that is not taken
                figure = self._figure(node.op.name, node._data, *numbers)
                yield dataclasses.replace(figure, line=self.run.line(node))

    def _figure(self, name: str, x: float, number: Any, coarse: Any = None) -> Figure:
        kind = self.kind
        open_ = kind.radius(number) if coarse is None else abs(number - coarse)
        known, text = kind.digits(open_, number), kind.text(number, self._shown)
        bound, digits = math.inf, 0.0
        if math.isfinite(x):
            error = kind.error(x, number) + (0 if coarse is None else open_)
            bound = math.nextafter(as_float(error), math.inf) if error != 0 else 0.0
            digits = kind.digits(error, number)
        return Figure(name, x, kind.given(number), bound, digits, known, text)


def adjoints(y: Any) -> dict[Value, float | None]:
    """The derivatives of an output by all nodes, in float64; None where nothing arrives."""
    if not isinstance(y, Value):
        return {}
    nodes = topological_order([y])
    return dict(zip(nodes, arrivals(nodes, [(y, 1.0)], nodes), strict=True))
