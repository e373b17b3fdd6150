"""Why is this gradient zero, nan, inf or huge? `explain` runs a function again, and says.

`flow` keeps the books of a reverse sweep, `causes` reads them, `words` has what to say and to
advise, and `report` is what comes out; `ties` looks for kinks nearby. Nothing in the core imports
this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine import modes
from engine.explaining.causes import Inquiry
from engine.explaining.flow import Flow, trace_back
from engine.explaining.report import Cause, Explanation, Finding
from engine.explaining.ties import Kink, TieRecorder
from engine.lines import Recorder, argument_names, name_of, named_leaves, refuse_in_trace
from engine.trees import flatten, flatten_argument
from engine.value import Value, computed_leaf, to_float


def explain_gradients(
    f: Callable[..., Any],
    *args: Any,
    wrt: Any = None,
    huge: float = 1e4,
    tiny: float = 1e-7,
) -> Explanation:
    """Run `f(*args)`, differentiate it, and say why each gradient is what it is.

    Arguments are numbers, Values, and nested lists, tuples, dicts and arrays of them; anything
    else is handed on as it is. With `wrt`, the inputs are its Values instead: a module's
    parameters, a Value, or a nested structure of Values that f uses. `f` returns one number.

    For a gradient of 0 the explanation names the operations where it died; for nan and inf the
    first number born so, forwards or backwards; for one larger than `huge` or smaller than `tiny`
    the path that carries most and the factors on it; and it tells where parts cancel and where
    the function sits exactly at a kink. Each comes with the source line and with advice.

    Raises TypeError where f is no function, where there are no inputs, or where f returns anything
    but one number, and what f raises.

    >>> def f(w, x):
    ...     return (w * x).relu()
    >>> explanation = explain_gradients(f, -1.5, 2.0)
    >>> explanation["w"].status, explanation["w"].causes[0].text
    ('zero', 'relu(-3) has the derivative 0: the operand is not above 0, where relu is flat')
    """
    refuse_in_trace("explain")
    if not callable(f) or isinstance(f, Value):
        raise TypeError(
            f"explain takes a function, which it runs again, not a {type(f).__name__}: write "
            "explain(f, *args), or explain(lambda: loss(model(x), y), wrt=model)"
        )
    given, names = _inputs(f, args, wrt)
    recorder = Recorder()
    with modes.recorded_by(recorder), modes.enable_grad(), modes.errstate("ignore"):
        result = f(*given)
    flow = None
    if isinstance(result, Value):
        output = result._data
        flow = trace_back(result, list(names), recorder.cuts)
    else:
        output = _plain(f, result)
    inquiry = Inquiry(flow, recorder, names, huge, tiny)
    gradients = {name: inquiry.gradient(value) for value, name in names.items()}
    operations = 0 if flow is None else sum(node.op is not None for node in flow.nodes)
    return Explanation(name_of(f), output, gradients, operations, inquiry.findings())


def kinks_near(f: Callable[..., Any], *args: Any, eps: float = 1e-6, wrt: Any = None) -> list[Kink]:
    """Return the operations and comparisons in `f(*args)` that are within `eps` of a tie.

    A tie is where an operation jumps or has a corner: relu at 0, a maximum of equal numbers, a
    floor at a whole one. How near is told by the operands: ``eps * max(1, |operand|)``. Arguments
    and `wrt` are as in `explain_gradients`.

    Raises TypeError where f is no function or there are no inputs, and what f raises.

    >>> (kink,) = kinks_near(lambda x: (x - 1.0).relu() + x.abs(), 1.0 + 1e-9)
    >>> kink.operation, kink.left, kink.right
    ('relu', 0.0, 1.0)
    """
    refuse_in_trace("kinks")
    if not callable(f) or isinstance(f, Value):
        raise TypeError(f"kinks takes a function, which it runs, not a {type(f).__name__}")
    if not eps >= 0.0:
        raise ValueError(f"eps is a distance, 0 or more, not {eps!r}")
    given, _ = _inputs(f, args, wrt)
    recorder = TieRecorder(eps)
    with modes.recorded_by(recorder), modes.enable_grad(), modes.errstate("ignore"):
        f(*given)
    return list(recorder.kinks())


def _plain(f: Callable[..., Any], result: Any) -> float:
    """The result of a function that returned no Value."""
    if result is None:
        raise TypeError(f"{name_of(f)} returned None; does it lack a return statement?")
    try:
        return to_float(result)
    except TypeError:
        raise TypeError(
            f"explain needs one number as result, and {name_of(f)} returned a "
            f"{type(result).__name__}; explain one of its numbers, such as "
            "explain(lambda *args: f(*args)[0], *args), or their sum"
        ) from None


def _inputs(
    f: Callable[..., Any], args: Sequence[Any], wrt: Any
) -> tuple[list[Any], dict[Value, str]]:
    """The arguments to call f with, and the Values whose gradients are asked, with names."""
    names: dict[Value, str] = {}
    if wrt is not None:
        for name, leaf in _named(wrt):
            if not isinstance(leaf, Value):
                raise TypeError(
                    f"wrt has the Values whose gradients are asked, and {name} is {leaf!r}; "
                    "numbers are given as arguments: explain(f, *args)"
                )
            taken = hasattr(wrt, "named_parameters") or leaf.label in names.values()
            names.setdefault(leaf, name if taken else leaf.label or name)
        if not names:
            raise TypeError("wrt holds no Values: a module without parameters, or an empty list")
        return list(args), names
    given: list[Any] = []
    for arg, argument in zip(args, argument_names(f, len(args)), strict=True):
        flat = flatten_argument(arg)
        if flat is None:
            given.append(arg)
            continue
        leaves, rebuild = flat
        values = []
        for (name, _), leaf in zip(named_leaves(arg, argument), leaves, strict=True):
            value = leaf if isinstance(leaf, Value) else computed_leaf(leaf, name)
            taken = value.label in names.values()
            names.setdefault(value, name if taken else value.label or name)
            values.append(value)
        given.append(rebuild(values))
    if not names:
        raise TypeError(
            "explain needs inputs whose gradients are asked: numbers as arguments, or "
            "wrt=model, or wrt=[w, b] for Values that the function uses"
        )
    return given, names


def _named(wrt: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(wrt, "named_parameters"):  # a module, which this layer does not know
        for name, parameter in wrt.named_parameters():
            yield from named_leaves(parameter, name)
    else:
        flatten(wrt)  # raises TypeError for what holds no numbers
        yield from named_leaves(wrt, "wrt")


__all__ = ["Cause", "Explanation", "Finding", "Flow", "Kink", "explain_gradients", "kinks_near"]
