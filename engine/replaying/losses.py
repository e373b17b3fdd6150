"""`accuracy`: how many digits float64 has right, and where the others were lost.

In: a run and its replay on many digits. From a figure that is off one goes back to the operand that
most of the error came from, and on; where a result has fewer digits right than that operand,
digits were lost. For a gradient one goes along the adjoints first, as the sweep did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from engine.errors import DomainError
from engine.lines import Line
from engine.replaying.figures import Figure, Figures, adjoints, counted
from engine.replaying.kinds import Kind, Undefined, as_float, kind_of
from engine.replaying.replay import Replay, Run, run_once
from engine.showing import Told
from engine.sweep import partials_of
from engine.value import Value

_FULL = 15.0  # digits that a float64 has
_GOOD = 13.0  # with so many there is nothing to explain
_SHOWN = 12  # figures that are written out, and losses
_PRECISIONS = (40, 100, 400)  # tried until the numbers themselves are certain
_CERTAIN = 24.0  # digits


@dataclass(frozen=True)
class Loss:
    """Digits lost at an operation: so many of those that its operand had.

    `figures` are the names of what suffers from it, and `text` says what happened. `instead` says
    what to write.
    """

    figures: tuple[str, ...]
    operation: str
    digits: float
    text: str
    instead: str
    line: Line | None

    def __str__(self) -> str:
        count = len(self.figures)
        who = self.figures[0] if count == 1 else f"{self.figures[0]} and {count - 1} more"
        lines = [f"{who}: {counted(round(self.digits))} lost where {self.text}"]
        lines += [f"  {text}" for text in (self.line.marked() if self.line else ())]
        return "\n".join([*lines, f"  Write {self.instead}"])


@dataclass(frozen=True, repr=False)
class Accuracy(Told):
    """How right a float64 result is. `print` it.

    `value` and `gradient` (by the names of the inputs) are beside what they really are; `losses`
    are where digits went, the most first; `notes` are comparisons that exact numbers would
    have decided otherwise.
    """

    name: str
    value: Figure
    gradient: dict[str, Figure]
    losses: tuple[Loss, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        gradient = list(self.gradient.values())
        if len(gradient) > _SHOWN:
            gradient.sort(key=lambda figure: figure.digits)
        texts = [_told(replace(self.value, name=self.name)), *map(_told, gradient[:_SHOWN])]
        if len(gradient) > _SHOWN:
            texts.append(f"… and {len(gradient) - _SHOWN:,} more that are as right; see .gradient")
        for loss in self.losses[:_SHOWN]:
            texts += ["", str(loss)]
        return "\n".join([*texts, *(f"\n{note}" for note in self.notes)])


def _told(figure: Figure) -> str:
    right = "exact" if figure.digits == math.inf else f"{counted(min(figure.digits, 16))} right"
    truth = "" if figure.digits >= _FULL else f", it is {figure.text}"
    return f"{figure.name} = {figure.approximate!r}: {right}{truth}"


def accuracy(
    f: Callable[..., Any],
    *args: Any,
    numbers: Literal["mpmath", "interval"] = "mpmath",
    wrt: Any = None,
) -> Accuracy:
    """Return how many digits of `f(*args)` and its gradient are right, and where others were lost.

    f runs in float64, and its graph again on mpmath's numbers, with more and more digits until
    these are certain: two precisions agree. With "interval" they are enclosed, so that what is
    said to be right is proved, and what lies on a kink is refused. Arguments and `wrt` are as in
    `exact`: a float is the double that it is, so errors in data don't count. f gives one number.

    Raises what `exact` does, and TypeError where f gives several numbers.

    >>> from engine import cos
    >>> print(accuracy(lambda x: 1 - cos(x), 1e-4))
    the function = 4.999999969612645e-09: 8 digits right, it is 4.9999999958333338e-9
    gradient x = 9.999999983333334e-05: 16 digits right
    <BLANKLINE>
    the value: 7 digits lost where 1 - 0.999999995 = 5e-09 cancels
    ...
      Write 2 * sin(x / 2)**2 in place of 1 - cos(x)
    """
    run = run_once("accuracy", f, args, wrt)
    if len(run.outputs) != 1:
        raise TypeError(
            f"accuracy needs one number as result, and {run.name} gives {len(run.outputs)}; look "
            "at one of them: accuracy(lambda *args: f(*args)[0], *args)"
        )
    if numbers not in ("mpmath", "interval"):
        raise ValueError(f'numbers is "mpmath" or "interval", not {numbers!r}')
    (y,) = run.outputs
    for digits in _PRECISIONS:
        kind, last = kind_of(numbers, digits), digits == _PRECISIONS[-1]
        with kind.precision():
            try:
                figures = Figures(run, kind, shown=17)
                value = _as_far(kind, figures.value(y))
                gradient = {x: _as_far(kind, d) for x, d in figures.gradient(y).items()}
                notes = tuple(figures.replay.notes())
            except DomainError:  # an interval may be too wide yet
                if last:
                    raise
                continue
            if last or all(d.known > _CERTAIN for d in (value, *gradient.values())):
                losses = _Search(run, figures.replay, y).losses(value, gradient)
                break
    named = {run.inputs[x]: figure for x, figure in gradient.items()}
    return Accuracy(run.name, value, named, losses, notes)


def _as_far(kind: Kind, figure: Figure) -> Figure:
    """A figure that counts as 0 where it is below all floats."""
    if as_float(kind.bounds(abs(figure.number))[1]) > 0.0:
        return figure
    right = math.inf if figure.approximate == 0.0 else 0.0
    return replace(figure, text="0", digits=right, known=math.inf)


@dataclass(frozen=True)
class _Pair:
    """A number as float64 has it and as it is, with the size of the error, and digits right."""

    approximate: float
    exact: Any
    error: Any
    digits: float


class _Search:
    """Goes back from figures to where their digits were lost."""

    def __init__(self, run: Run, replay: Replay, y: Any) -> None:
        self.run, self.replay, self.kind = run, replay, replay.kind
        self.floats, self.exact = adjoints(y), replay.adjoints(y)
        self.y = y
        self.users: dict[Value, list[tuple[Value, int]]] = {}
        for node in self.floats:
            for k, (operand, _) in enumerate(node._operands()):
                if operand is not None:
                    self.users.setdefault(operand, []).append((node, k))

    def losses(self, value: Figure, gradient: dict[Value, Figure]) -> tuple[Loss, ...]:
        """What was lost, by line and operation, the most first."""
        ways = [self._forwards(self.y)] if value.digits < _GOOD else []
        names = ["the value"] * len(ways)
        for x, figure in gradient.items():
            if figure.digits < _GOOD:
                ways.append(self._backwards(x))
                names.append(figure.name)
        folded: dict[tuple[Any, ...], Loss] = {}
        for name, way in zip(names, ways, strict=True):
            for loss in _summed(way):
                before = folded.setdefault((loss.line, loss.operation), replace(loss, digits=0.0))
                worse = max(before, loss, key=lambda loss: loss.digits)
                folded[loss.line, loss.operation] = replace(worse, figures=(*before.figures, name))
        return tuple(sorted(folded.values(), key=lambda loss: -loss.digits))

    def _pair(self, x: float, number: Any) -> _Pair:
        """Two numbers that should be one; `number` may be a float where it is that exactly."""
        exact = self.kind.plain(number)
        if not math.isfinite(x):
            return _Pair(x, exact, math.inf, 0.0)
        error = self.kind.error(x, exact)
        return _Pair(x, exact, error, min(self.kind.digits(error, exact), _FULL))

    def _node(self, node: Value) -> _Pair:
        return self._pair(node._data, self.replay.again[node]._data)

    def _partials(self, node: Value) -> list[_Pair | None]:
        again = self.replay.again[node]
        assert node.op is not None and again.op is not None
        return [
            None if x is None or p is None or isinstance(p, Undefined) else self._pair(x, p)
            for x, p in zip(partials_of(node, node.op), partials_of(again, again.op), strict=True)
        ]

    def _forwards(self, node: Value) -> Iterator[Loss]:
        """Losses on the way to a node, from it backwards."""
        while node.op is not None:
            here = self._node(node)
            worst, most, before = None, 0.0, _FULL
            for (operand, _), p in zip(node._operands(), self._partials(node), strict=True):
                if operand is not None and p is not None:
                    pair = self._node(operand)
                    share = _size(p.exact, pair.error)
                    if share > most:
                        worst, most, before = operand, share, pair.digits
            what = _what(node, alone=worst is None)
            yield self._loss(node, before - here.digits, what)
            if worst is None:
                return
            node = worst

    def _backwards(self, node: Value) -> Iterator[Loss]:
        """Losses on the way to the adjoint of a node."""
        while node is not self.y:
            here = self._pair(self.floats[node] or 0.0, self.exact[node])
            terms = []
            for user, k in self.users[node]:
                p, adjoint, exact = self._partials(user)[k], self.floats[user], self.exact[user]
                if p is not None and adjoint is not None and exact is not None:
                    a = self._pair(adjoint, exact)
                    passed = a.approximate * p.approximate
                    terms.append(
                        (self._pair(passed, self.kind.number(exact) * p.exact), user, a, p)
                    )
            if not terms:  # at a kink
                user, _ = self.users[node][0]
                yield self._loss(user, _FULL, _what(user, alone=True))
                return
            term, user, a, p = max(terms, key=lambda entry: as_float(entry[0].error))
            if len(terms) > 1:
                parts = sorted((t.approximate for t, *_ in terms), key=abs)
                sizes = f"such as {parts[-1]:.6g} and {parts[-2]:.6g}"
                what = f"contributions to the gradient, {sizes}, cancel to {here.approximate:.6g}"
                loss = self._loss(user, term.digits - here.digits, what)
                yield replace(loss, operation="gradient", instead=_DIFFERENCE)
            if _size(p.exact, a.error) < _size(a.exact, p.error):
                near = [user, *(x for x, _ in user._operands() if x is not None)]
                taken = [x for x in near if self.replay.plain(x) is not None]
                worst = min(taken, key=lambda x: self._node(x).digits)
                what = f"the derivative {p.approximate:.6g} of {_call(user)} is taken"
                yield self._loss(user, self._node(worst).digits - p.digits, what)
                yield from self._forwards(worst)
                return
            node = user

    def _loss(self, node: Value, digits: float, what: str) -> Loss:
        assert node.op is not None
        return Loss((), node.op.name, digits, what, _instead(node), self.run.line(node))


def _size(p: Any, error: Any) -> float:
    """The size of an error that is passed on by a factor."""
    if isinstance(error, float):  # inf
        return error
    return as_float(abs(p) * error)


def _summed(way: Iterator[Loss]) -> list[Loss]:
    """The losses on a way, those of one line and operation as one; small ones are left out."""
    groups: dict[tuple[Any, ...], list[Loss]] = {}
    for loss in way:
        groups.setdefault((loss.line, loss.operation), []).append(loss)
    found = []
    for group in groups.values():
        worst = max(group, key=lambda loss: loss.digits)
        more = sum(loss is not worst and loss.digits >= 0.5 for loss in group)
        text = worst.text + (f", and {more} more times there" if more else "")
        found.append(replace(worst, digits=sum(loss.digits for loss in group), text=text))
    return [loss for loss in found if loss.digits >= 1.0]


def _call(node: Value) -> str:
    assert node.op is not None
    numbers = [f"{x:.12g}" for _, x in node._operands()]
    if node.op.label in ("+", "-", "*", "/"):
        return f" {node.op.label} ".join(numbers)
    return f"{node.op.name}({', '.join(numbers)})"


def _what(node: Value, alone: bool) -> str:
    """What happened at a node; `alone` where no error came in."""
    assert node.op is not None
    if not math.isfinite(node._data):
        return f"{_call(node)} is {node._data}"
    if alone:
        what = "comes out otherwise in exact numbers"
    else:
        cancels = node.op.name in ("add", "sub")
        what = "cancels" if cancels else "magnifies the rounding of its operand"
    return f"{_call(node)} = {node._data:.6g} {what}"


_DIFFERENCE = "the function without a difference of nearly equal numbers, such as factored"
# What to write in place of an operation on results of these operations ("" for any operand).
_INSTEAD: dict[tuple[str, ...], str] = {
    ("sub", "1", "cos"): "2 * sin(x / 2)**2 in place of 1 - cos(x)",
    ("sub", "exp", "1"): "expm1(x) in place of exp(x) - 1",
    ("sub", "1", "exp"): "-expm1(x) in place of 1 - exp(x)",
    ("sub", "1", "erf"): "erfc(x) in place of 1 - erf(x)",
    ("sub", "1", "sigmoid"): "sigmoid(-x) in place of 1 - sigmoid(x)",
    ("sub", "1", "square"): "one_minus_square(x) in place of 1 - x**2",
    ("sub", "square", "square"): "(x - y) * (x + y) in place of x**2 - y**2",
    ("sub", "log", "log"): "log(x / y) in place of log(x) - log(y)",
    ("sub", "sqrt", "sqrt"): "(x - y) / (sqrt(x) + sqrt(y)) in place of sqrt(x) - sqrt(y)",
    ("sub", "div", "square"): "mean((x - mean(x))**2) in place of mean(x**2) - mean(x)**2",
    ("add", "", "sqrt"): "q / (p - sqrt(p**2 - q)) in place of p + sqrt(p**2 - q), where p < 0",
    ("sub", "", "sqrt"): "q / (p + sqrt(p**2 - q)) in place of p - sqrt(p**2 - q)",
    ("sub", "sqrt", ""): "q / (p + sqrt(p**2 + q)) in place of sqrt(p**2 + q) - p",
    ("log", "add"): "log1p(x) in place of log(1 + x), or logsumexp of the exponents",
    ("log", "sub"): "log1p(-x) in place of log(1 - x)",
    ("log", "sigmoid"): "log_sigmoid(x) in place of log(sigmoid(x))",
    ("sqrt", "add"): "hypot(x, y) in place of sqrt(x**2 + y**2)",
    ("square",): "hypot or norm, which scale, in place of a root of squares",
    ("exp",): "logsumexp, softplus, sigmoid or log_softmax, which don't leave the range",
}


def _instead(node: Value) -> str:
    assert node.op is not None
    kinds = [("1" if x == 1.0 else "") if a is None else _name(a) for a, x in node._operands()]
    name = _name(node)
    for key in [(name, *kinds), (name, "", *kinds[1:]), (name, *kinds[:1], ""), (name,)]:
        if key in _INSTEAD:
            return _INSTEAD[key]
    if name in ("add", "sub"):
        return _DIFFERENCE
    return f"what goes into {name} in another form, so that it is not rounded before"


def _name(node: Value) -> str:
    """The operation of a node; x * x is a square."""
    if node.op is None:
        return ""
    same = node.op.name == "mul" and node._a is not None and node._a is node._b
    return "square" if same else node.op.name


__all__ = ["Accuracy", "Loss", "accuracy"]
