"""Why is this gradient zero, nan, inf or huge? `explain` runs a function again, and says.

`flow` keeps the books of a reverse sweep, `causes` reads them, `words` has what to say and to
advise, and `report` is what comes out; `nonfinite` asks only where the first inf or nan was born,
of Values and compiled programs too; `ties` looks for kinks nearby. Nothing in the core imports
this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine import modes
from engine.errors import check_number
from engine.explaining.causes import Inquiry
from engine.explaining.flow import Flow, trace_back
from engine.explaining.nonfinite import Nonfinite, find_nonfinite
from engine.explaining.report import Cause, Explanation, Finding
from engine.explaining.ties import Kink, TieRecorder
from engine.lines import Recorder, check_function, name_of, named_inputs
from engine.value import Value, to_float


def explain(
    f: Callable[..., Any],
    *args: Any,
    wrt: Any = None,
    huge: float = 1e4,
    tiny: float = 1e-7,
) -> Explanation:
    """Return why each gradient of `f(*args)` is what it is: zero, nan, inf, huge, tiny or fine.

    It runs f once, with source lines recorded. Print the result; in Jupyter it shows itself.
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
    >>> explanation = explain(f, -1.5, 2.0)
    >>> explanation["w"].status, explanation["w"].causes[0].text
    ('zero', 'relu(-3) has the derivative 0: the operand is not above 0, where relu is flat')
    >>> print(explain(lambda x: (x - 1.0).relu(), 0.5))
    the result = 0, from 2 operations and 1 input
    <BLANKLINE>
    ZERO  x: gradient 0
      relu(-0.5) has the derivative 0: the operand is not above 0, where relu is flat
    ...
    """
    check_function("explain", f)
    given, names = named_inputs(f, args, wrt, "explain")
    recorder = Recorder()
    with modes.recorded_by(recorder), modes.enable_grad(), modes.errstate("ignore"):
        result = f(*given)
    flow = None
    if isinstance(result, Value):
        output = result._data
        flow = trace_back([result], list(names), recorder.cuts)
    else:
        output = _plain(f, result)
    inquiry = Inquiry(flow, recorder, names, huge, tiny)
    gradients = {name: inquiry.gradient(value) for value, name in names.items()}
    operations = 0 if flow is None else sum(node.op is not None for node in flow.nodes)
    return Explanation(name_of(f), output, gradients, operations, inquiry.findings())


def kinks(f: Callable[..., Any], *args: Any, eps: float = 1e-6, wrt: Any = None) -> list[Kink]:
    """Return where `f(*args)` is not smooth, or within `eps` of it, with the slopes of both sides.

    Those are the operations and comparisons that are near a tie. Print an entry: it names the
    operation, the distance, and the source line.

    A tie is where an operation jumps or has a corner: relu at 0, a maximum of equal numbers, a
    floor at a whole one. How near is told by the operands: ``eps * max(1, |operand|)``. Arguments
    and `wrt` are as in `explain`.

    Raises TypeError where f is no function or there are no inputs, and what f raises.

    >>> (kink,) = kinks(lambda x: (x - 1.0).relu() + x.abs(), 1.0 + 1e-9)
    >>> kink.operation, kink.left, kink.right
    ('relu', 0.0, 1.0)
    >>> print(kinks(lambda x: (x - 1.0).relu(), 1.0)[0])
    relu(0) is at its tie, where the derivative is 0 below it and 1 above
    ...
    """
    check_function("kinks", f)
    check_number("eps", eps)
    if not eps >= 0.0:
        raise ValueError(f"eps is a distance, 0 or more, not {eps!r}")
    given, _ = named_inputs(f, args, wrt, "kinks")
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


__all__ = [
    "Cause",
    "Explanation",
    "Finding",
    "Flow",
    "Kink",
    "Nonfinite",
    "explain",
    "find_nonfinite",
    "kinks",
]
